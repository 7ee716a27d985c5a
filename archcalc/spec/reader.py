"""The marked tree → a `Spec`. Errors are collected, so that one reading shows all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from archcalc.errors import Mark, SpecError, suggestion
from archcalc.spec.check import check_spec
from archcalc.spec.claims import read_claims
from archcalc.spec.expression import Expr, Literal, Several
from archcalc.spec.grammar import GrammarError, parse_chain, parse_expression, parse_header, parse_template
from archcalc.spec.items import (
    CallUnit,
    Chain,
    Given,
    If,
    Item,
    Long,
    Loop,
    Merge,
    Named,
    Residual,
    Restart,
    Sequence,
    Template,
)
from archcalc.spec.model import Block, Hparam, Output, Spec, Use, Value, Variant
from archcalc.spec.tree import Diagnostics, Map, Scalar, Seq, Source, Tree, parse_tree, read_source

TOP_LEVEL = (
    "archcalc", "name", "title", "source", "input", "inputs", "hparams", "defaults", "tables", "use", "blocks",
    "layers", "outputs", "variants", "default", "claims", "notes",
)  # fmt: skip
MERGES = ("add", "mul", "concat")
STRUCTS = (*MERGES, "residual", "for", "if", "op")
LANGUAGE_VERSION = "1"


def load_spec(path: Path) -> Spec:
    """Read one spec file.

    Raises: SpecError: everything that is wrong with it.
    """
    return parse_spec(read_source(path))


def parse_spec(source: Source) -> Spec:
    """Parse a spec's text.

    Raises: SpecError: everything that is wrong with it.
    """
    diagnostics = Diagnostics()
    reader = Reader(source, diagnostics)
    tree = parse_tree(source, diagnostics)
    if not isinstance(tree, Map):
        reader.error("E012", "a spec is a mapping", tree.mark, hint="start with 'archcalc: 1'")
        raise SpecError(diagnostics.found)
    spec = reader.spec(tree)
    check_spec(spec, diagnostics)
    if diagnostics.failed:
        raise SpecError(diagnostics.sorted())
    return replace(spec, warnings=tuple(diagnostics.sorted()))


class Reader:
    """Reads the parts of one spec; what can't be read is reported to the source and left out."""

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.source, self.diagnostics = source, diagnostics

    def error(self, code: str, message: str, mark: Mark, **more: Any) -> None:
        self.diagnostics.report(self.source, code, message, mark, **more)

    def reported(self, code: str) -> bool:
        return any(found.code == code for found in self.diagnostics.found)

    # --- the file -------------------------------------------------------------------------------------------------

    def spec(self, tree: Map) -> Spec:
        self.check_keys(tree, TOP_LEVEL, "top-level key", "E011")
        first_key = tree.entries[0][0] if tree.entries else None
        if first_key is None or first_key.text != "archcalc":
            self.error("E010", "'archcalc: 1' must come first", tree.mark, hint="it names the language's version")
        elif (version := self.text(tree, "archcalc")) != LANGUAGE_VERSION:
            self.error(
                "E013", f"unknown language version '{version}'", tree.entries[0][1].mark, hint="this is version 1"
            )
        name = self.text(tree, "name") or (Path(self.source.file).stem if "name" not in self.keys(tree) else "unnamed")
        hparams = dict(self.hparams(tree.get("hparams")))
        variants = dict(self.variants(tree.get("variants"), hparams))
        default = self.text(tree, "default")
        if default and not any(default == v.name or default in v.aliases for v in variants.values()):
            self.unknown("E042", "variant", default, variants, tree.get("default"))
        layers = tree.get("layers")
        if layers is None and not self.reported("E011"):
            self.error("E010", "'layers' is missing", tree.mark)
        return Spec(
            name=name,
            source=self.source,
            title=self.text(tree, "title"),
            citation=self.text(tree, "source"),
            notes=self.text(tree, "notes"),
            default=default or (name if name in variants else next(iter(variants), "")),
            inputs=dict(self.inputs(tree)),
            hparams=hparams,
            defaults={kind.text: dict(self.values(args)) for kind, args in self.entries(tree.get("defaults"))},
            tables=dict(self.tables(tree.get("tables"))),
            uses=dict(self.uses(tree.get("use"))),
            blocks=dict(self.blocks(tree.get("blocks"))),
            layers=self.item(layers) if layers is not None else Sequence((), tree.mark),
            variants=variants,
            outputs=tuple(self.outputs(tree.get("outputs"))),
            claims=tuple(read_claims(self, tree.get("claims"), variants, hparams)),
        )

    # --- helpers --------------------------------------------------------------------------------------------------

    @staticmethod
    def keys(tree: Map) -> list[str]:
        return [key.text for key, _ in tree.entries]

    def check_keys(self, tree: Map, known: tuple[str, ...], what: str = "key", code: str = "E011") -> None:
        for key, _ in tree.entries:
            if key.text not in known:
                self.error(code, f"unknown {what} '{_clip(key.text)}'", key.mark, hint=suggestion(key.text, known))

    def unknown(self, code: str, what: str, name: str, known: Any, where: Tree | Mark | None) -> None:
        mark = where if isinstance(where, Mark) else where.mark if where else Mark(self.source.file, 1, 1)
        self.error(code, f"unknown {what} '{_clip(name)}'", mark, hint=suggestion(name, known))

    def text(self, tree: Map, key: str) -> str:
        value = tree.get(key)
        if isinstance(value, Scalar):
            return value.text
        if value is not None:
            self.error("E012", f"'{key}' takes text", value.mark)
        return ""

    def entries(self, tree: Tree | None) -> Iterator[tuple[Scalar, Tree]]:
        """The entries of a mapping; nothing may stand for an empty one."""
        if isinstance(tree, Map):
            yield from tree.entries
        elif tree is not None and not (isinstance(tree, Scalar) and not tree.text):
            self.error("E012", "expected a mapping (key: value)", tree.mark)

    def parsed(self, parse: Callable[[str], Any], scalar: Scalar) -> Any:
        """The parsed text, or None after reporting why it can't be parsed."""
        try:
            return parse(scalar.text)
        except GrammarError as error:
            hint = error.hint
            if scalar.in_flow and "missing at end" in error.message:
                hint = "inside a YAML [ ] list a comma ends the item"
            mark = scalar.mark if "\n" in scalar.text else scalar.mark.moved(error.offset)
            self.error(error.code, error.message, mark, hint=hint)
            return None

    def value(self, tree: Tree) -> Value | None:
        """An expression, or nested lists of them."""
        expr = self.expression(tree)
        return None if expr is None else Value(expr, tree.text if isinstance(tree, Scalar) else "\n", tree.mark)

    def expression(self, tree: Tree) -> Expr | None:
        if isinstance(tree, Scalar):
            if not tree.text.strip():
                self.error("E012", "a value is missing", tree.mark)
                return None
            return self.parsed(parse_expression, tree)  # type: ignore[no-any-return]
        if isinstance(tree, Map):
            self.error("E012", "expected a value, found a mapping", tree.mark)
            return None
        items = [self.expression(item) for item in tree.items]
        return None if None in items else Several(0, tuple(item for item in items if item is not None))

    def values(self, tree: Tree | None) -> Iterator[tuple[str, Value]]:
        for key, entry in self.entries(tree):
            value = self.value(entry)
            if value is not None:
                yield key.text, value

    def name(self, scalar: Scalar, what: str) -> bool:
        """Whether a declared name can be used in expressions."""
        if scalar.text.isidentifier() and scalar.text not in ("x", "in", "if", "else", "and", "or", "not", "from"):
            return True
        self.error("E014", f"'{_clip(scalar.text)}' can't be the name of {what}", scalar.mark)
        return False

    # --- declarations ---------------------------------------------------------------------------------------------

    def inputs(self, tree: Map) -> Iterator[tuple[str, dict[str, Value]]]:
        from archcalc.shape import AXES

        one, several = tree.get("input"), tree.get("inputs")
        if (one is None) is (several is None):
            if one is not None or not self.reported("E011"):
                message = "give 'input' or 'inputs', not both" if one else "'input' is missing"
                self.error("E010", message, (several or tree).mark, hint="input: {C: 3, H: 224, W: 224}")
            if one is None:
                return
        named = [("input", one)] if one is not None else [(key.text, entry) for key, entry in self.entries(several)]
        for name, axes in named:
            if isinstance(axes, Map):
                self.check_keys(axes, AXES, "axis", "E015")
            sizes = {axis: value for axis, value in self.values(axes) if axis in AXES}
            if not sizes and axes is not None:
                self.error("E015", f"'{name}' has no axes", axes.mark, hint="input: {C: 3, H: 224, W: 224}")
            yield name, sizes

    def hparams(self, tree: Tree | None) -> Iterator[tuple[str, Hparam]]:
        for key, entry in self.entries(tree):
            if not self.name(key, "an hparam"):
                continue
            if not isinstance(entry, Map):
                if (value := self.value(entry)) is not None:
                    yield key.text, Hparam(key.text, value)
                continue
            self.check_keys(entry, ("value", "min", "multiple_of", "doc"))
            bounds = dict(self.values(Map(tuple(e for e in entry.entries if e[0].text not in ("doc",)), entry.mark)))
            if "value" not in bounds:
                self.error("E010", f"hparam '{key.text}' has no value", entry.mark)
                continue
            doc = self.text(entry, "doc")
            yield key.text, Hparam(key.text, bounds["value"], bounds.get("min"), bounds.get("multiple_of"), doc)

    def variants(self, tree: Tree | None, hparams: dict[str, Hparam]) -> Iterator[tuple[str, Variant]]:
        found: dict[str, Variant] = {}
        for key, entry in self.entries(tree):
            extends, aliases = "", ()
            values = {}
            for name, value in self.entries(entry):
                if name.text == "extends" and isinstance(value, Scalar):
                    extends = value.text
                elif name.text == "as":
                    aliases = tuple(
                        s.text for s in (value.items if isinstance(value, Seq) else (value,)) if isinstance(s, Scalar)
                    )
                elif name.text not in hparams:
                    message = f"variant '{key.text}' sets '{_clip(name.text)}', which is not a declared hparam"
                    self.error("E043", message, name.mark, hint=suggestion(name.text, [*hparams, "extends", "as"]))
                elif (parsed := self.value(value)) is not None:
                    values[name.text] = parsed
            found[key.text] = Variant(key.text, extends, aliases, values, key.mark)
        taken: dict[str, Mark] = {}
        for variant in found.values():
            if variant.extends and variant.extends not in found:
                self.unknown("E042", "variant", variant.extends, found, variant.mark)
            elif self.circular(variant, found):
                self.error("E045", f"variant '{variant.name}' extends itself", variant.mark)
            for name in (variant.name, *variant.aliases):
                if name in taken:
                    detail = f"first at line {taken[name].line}"
                    self.error("E007", f"two variants are called '{name}'", variant.mark, details=(detail,))
                taken[name] = variant.mark
        yield from found.items()

    @staticmethod
    def circular(variant: Variant, variants: dict[str, Variant]) -> bool:
        seen = set()
        current: Variant | None = variant
        while current is not None and current.name not in seen:
            seen.add(current.name)
            current = variants.get(current.extends)
        return current is not None

    def tables(self, tree: Tree | None) -> Iterator[tuple[str, tuple[tuple[bool, ...], ...]]]:
        for key, entry in self.entries(tree):
            rows = entry.items if isinstance(entry, Seq) else ()
            texts = [row.text for row in rows if isinstance(row, Scalar)]
            if not texts or len(texts) != len(rows) or set("".join(texts)) - set("X."):
                self.error("E016", f"table '{key.text}' takes rows of X and .", entry.mark, hint="- X...XXX..")
            elif len({len(text) for text in texts}) > 1:
                self.error("E016", f"the rows of table '{key.text}' differ in length", entry.mark)
            elif self.name(key, "a table"):
                yield key.text, tuple(tuple(letter == "X" for letter in text) for text in texts)

    def uses(self, tree: Tree | None) -> Iterator[tuple[str, Use]]:
        for key, entry in self.entries(tree):
            if not isinstance(entry, Map) or not self.name(key, "a used spec"):
                self.error("E012", "write {spec: FILE.yaml, variant: NAME, upto: PATH}", entry.mark)
                continue
            self.check_keys(entry, ("spec", "variant", "upto"))
            file = self.text(entry, "spec")
            if not file or Path(file).is_absolute() or ".." in Path(file).parts:
                self.error("E050", f"'{_clip(file)}' must be a path below this file's folder", entry.mark)
                continue
            yield key.text, Use(key.text, file, self.text(entry, "variant"), self.text(entry, "upto"), key.mark)

    def blocks(self, tree: Tree | None) -> Iterator[tuple[str, Block]]:
        seen: dict[str, Mark] = {}
        for key, entry in self.entries(tree):
            header = self.parsed(parse_header, key)
            body = self.item(entry)
            if header is None:
                continue
            name, formals = header
            if name in seen:
                detail = f"first defined at line {seen[name].line}"
                self.error("E007", f"duplicate block '{name}'", key.mark, details=(detail,))
            if len({formal for formal, _ in formals}) < len(formals):
                self.error("E007", f"block '{name}' has two formals of one name", key.mark)
            seen[name] = key.mark
            yield name, Block(name, formals, body, key.mark)

    def outputs(self, tree: Tree | None) -> Iterator[Output]:
        for item in tree.items if isinstance(tree, Seq) else () if tree is None else (tree,):
            if not isinstance(item, Scalar):
                self.error("E012", "an output is a path", item.mark)
                continue
            path, _, condition = item.text.partition(" if ")
            template = self.parsed(parse_template, Scalar(path.strip(), item.mark, item.in_flow))
            place = item.mark.moved(len(path) + len(" if "))
            expr = self.parsed(parse_expression, Scalar(condition, place, item.in_flow)) if condition else None
            if template is not None:
                yield Output(template, expr, item.text, item.mark)

    # --- items ----------------------------------------------------------------------------------------------------

    def item(self, tree: Tree) -> Item:
        """Any item; what can't be read becomes the identity, so that the rest is still checked."""
        if isinstance(tree, Scalar):
            chain = self.parsed(lambda text: parse_chain(text, tree.mark), tree)
            return chain if chain is not None else Chain((), "", tree.mark)
        if isinstance(tree, Seq):
            return Sequence(tuple(map(self.item, tree.items)), tree.mark)
        keys = self.keys(tree)
        struct = next((key for key in STRUCTS if key in keys), None)
        if struct is not None and (
            len(keys) > 1 or not isinstance(tree.get(struct), Scalar) or struct in ("residual", "op")
        ):
            return self.struct(struct, tree)
        if len(keys) == 1:
            key, value = tree.entries[0]
            template = self.parsed(parse_template, key)
            inner = self.item(value)
            return inner if template is None else Named(template, inner, key.mark)
        items = tuple(self.item(Map((entry,), entry[0].mark)) for entry in tree.entries)
        if keys and struct is None:
            hint = "start each named item with '- '"
            self.error("E017", "several names in one item; their order would not be said", tree.mark, hint=hint)
        return Sequence(items, tree.mark)

    def struct(self, kind: str, tree: Map) -> Item:
        known = {
            "residual": ("residual", "shortcut"),
            "for": ("for", "do"),
            "if": ("if", "then", "else"),
        }.get(kind, (kind, "axis"))
        if kind != "op":
            self.check_keys(tree, (*known, "from", "note"))
        item: Item
        if kind == "residual":
            shortcut = tree.get("shortcut")
            item = Residual(self.item(self.need(tree, kind)), self.item(shortcut) if shortcut else None, tree.mark)
        elif kind == "for":
            item = Loop(tuple(self.variables(self.need(tree, kind))), self.item(self.need(tree, "do")), tree.mark)
        elif kind == "if":
            item = self.conditional(tree)
        elif kind == "op":
            item = self.long_form(tree)
        else:
            item = self.merge(kind, tree)
        path = tree.get("from")
        if isinstance(path, Scalar) and (template := self.parsed(parse_template, path)) is not None:
            return Restart(template, item, path.mark)
        return item

    def need(self, tree: Map, key: str) -> Tree:
        value = tree.get(key)
        if value is None:
            self.error("E010", f"'{key}' is missing", tree.mark)
            return Seq((), tree.mark)
        return value

    def merge(self, kind: str, tree: Map) -> Merge:
        branches: list[tuple[str, Item]] = []
        value = self.need(tree, kind)
        if isinstance(value, Map):
            branches = [(key.text, self.item(entry)) for key, entry in value.entries]
        elif isinstance(value, Seq):
            for number, entry in enumerate(value.items):
                item = self.item(entry)
                named = isinstance(item, Named) and item.name.constant
                letter = chr(ord("a") + number) if number < 26 else f"branch{number + 1}"
                branches.append((named, item.item) if isinstance(item, Named) and named else (letter, item))
        if not branches:
            self.error("E018", f"{kind} needs branches", value.mark, hint="a list, or a mapping of names")
        names = [name for name, _ in branches]
        for name in {name for name in names if names.count(name) > 1}:
            self.error("E007", f"two branches are called '{name}'", value.mark)
        axis = tree.get("axis")
        given = () if axis is None or (expr := self.expression(axis)) is None else (Given("axis", expr, 0),)
        return Merge(kind, tuple(branches), given, tree.mark)

    def variables(self, tree: Tree) -> Iterator[tuple[tuple[str, ...], Expr, Mark]]:
        if not isinstance(tree, Map) or not tree.entries:
            self.error(
                "E060", "'for' takes variables and their lists", tree.mark, hint="for: {i: 1..4, c: [64,128,256,512]}"
            )
            return
        for key, entry in tree.entries:
            names = tuple(key.text.replace(",", " ").split())
            ok = all([self.name(Scalar(name, key.mark), "a loop variable") for name in names])
            expr = self.expression(entry)
            if ok and expr is not None:
                yield names, expr, entry.mark

    def conditional(self, tree: Map) -> Item:
        condition = self.need(tree, "if")
        expr = self.expression(condition)
        other = tree.get("else")
        text = condition.text if isinstance(condition, Scalar) else ""
        then = self.item(self.need(tree, "then"))
        return If(
            expr if expr is not None else Literal(0, True),
            then,
            self.item(other) if other is not None else None,
            condition.mark,
            text,
        )

    def long_form(self, tree: Map) -> Item:
        name = tree.get("op")
        if not isinstance(name, Scalar) or not name.text.isidentifier():
            self.error("E012", "'op' takes the name of a layer kind or block", (name or tree).mark)
            return Sequence((), tree.mark)
        arguments, marks = [], []
        for key, entry in tree.entries:
            if key.text in ("op", "from", "note"):
                continue
            value: Expr | Template | None
            if isinstance(entry, Scalar) and entry.text.startswith("@"):
                value = self.parsed(parse_template, Scalar(entry.text[1:], entry.mark.moved(1)))
            else:
                value = self.expression(entry)
            if value is not None:
                arguments.append(Given(key.text, value, 0))
                marks.append(entry.mark)
        return Long(CallUnit(name.text, tuple(arguments), 0), tuple(marks), name.mark)


def _clip(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
