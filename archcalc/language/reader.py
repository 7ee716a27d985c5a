"""The marked tree → a `Spec`. Errors are collected, so that one reading shows all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from archcalc.errors import Diagnostic, Mark, SpecError, suggestion
from archcalc.files import leads_out
from archcalc.language.check import check_spec
from archcalc.language.claims import ClaimReader
from archcalc.language.grammar import parse_expression, parse_header, parse_template
from archcalc.language.item_reader import ItemReader
from archcalc.language.items import Loop, Sequence
from archcalc.language.model import Block, Hparam, Output, Spec, Table, Use, Value, Variant
from archcalc.language.parser import clip
from archcalc.language.tree import Diagnostics, Map, Scalar, Seq, Source, Tree, parse_tree, read_source

TOP_LEVEL = (
    "archcalc", "name", "title", "source", "input", "inputs", "hparams", "defaults", "tables", "use", "blocks",
    "modules", "layers", "outputs", "variants", "default", "claims", "notes",
)  # fmt: skip
VARIANT_KEYS = ("extends", "as", "title")
"""What a variant says besides the values of hparams."""
LANGUAGE_VERSION = "1"
PUBLIC_NAME = re.compile(r"\w[\w.+-]{0,99}")


def load_spec(path: Path) -> Spec:
    """Read one spec file.

    Raises: SpecError: everything that is wrong with it; of what a symbolic link leads to in another folder, which may
    be anything, only that something is.
    """
    try:
        return parse_spec(read_source(path))
    except SpecError:
        if not leads_out(path, path.parent):
            raise
        message = f"'{path}' is a symbolic link that leads out of its folder, and not to a sound spec"
        hint = "name the file itself to see what is wrong"
        raise SpecError([Diagnostic("E002", message, Mark(str(path), 1, 1), hint=hint)]) from None


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


class Reader(ItemReader):
    """Reads a whole spec."""

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
        self.public_name(name, (tree.get("name") or tree).mark)
        hparams = dict(self.hparams(tree.get("hparams")))
        variants = dict(self.variants(tree.get("variants"), hparams))
        default = self.text(tree, "default")
        canonical = {alias: v.name for v in variants.values() for alias in (v.name, *v.aliases)}
        if default and default not in canonical:
            self.unknown("E042", "variant", default, variants, tree.get("default"))
        layers = tree.get("layers")
        if isinstance(layers, Scalar) and not layers.text.strip():
            self.error("E010", "'layers' is empty", layers.mark)
        if layers is None and not self.reported("E011"):
            self.error("E010", "'layers' is missing", tree.mark)
        return Spec(
            name=name,
            source=self.source,
            title=self.text(tree, "title"),
            citation=self.text(tree, "source"),
            notes=self.text(tree, "notes"),
            default=canonical.get(default) or (name if name in variants else next(iter(variants), "")),
            inputs=dict(self.inputs(tree)),
            hparams=hparams,
            defaults={kind.text: dict(self.values(args)) for kind, args in self.entries(tree.get("defaults"))},
            tables=dict(self.tables(tree.get("tables"))),
            uses=dict(self.uses(tree.get("use"))),
            blocks=dict(self.blocks(tree)),
            layers=self.item(layers) if layers is not None else Sequence((), tree.mark),
            variants=variants,
            outputs=tuple(self.outputs(tree.get("outputs"))),
            claims=tuple(ClaimReader(self, variants, hparams).claims(tree.get("claims"))),
        )

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
        if isinstance(several, Map) and not named:
            self.error("E010", "'inputs' is empty", several.mark, hint="inputs: {left: {C: 3, H: 224, W: 224}}")
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
            if key.text in VARIANT_KEYS:
                hint = f"under 'variants', '{key.text}' is a key of its own"
                self.error("E014", f"'{key.text}' can't be the name of an hparam", key.mark, hint=hint)
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
            self.public_name(key.text, key.mark)
            texts = {"extends": "", "title": ""}
            aliases: tuple[str, ...] = ()
            values = {}
            for name, value in self.entries(entry):
                if name.text in texts and isinstance(entry, Map):
                    texts[name.text] = self.text(entry, name.text)
                elif name.text == "as":
                    aliases = tuple(self.aliases(value))
                elif name.text not in hparams:
                    message = f"variant '{key.text}' sets '{clip(name.text)}', which is not a declared hparam"
                    self.error("E043", message, name.mark, hint=suggestion(name.text, [*hparams, *VARIANT_KEYS]))
                elif (parsed := self.value(value)) is not None:
                    values[name.text] = parsed
            found[key.text] = Variant(key.text, texts["extends"], aliases, values, key.mark, texts["title"])
        self.check_variants(found)
        yield from found.items()

    def public_name(self, name: str, mark: Mark) -> None:
        """Names of specs and variants are typed in shells and become file names."""
        if not PUBLIC_NAME.fullmatch(name):
            hint = "letters, digits, _ . + and - make a name; it starts with a letter or digit"
            self.error("E014", f"'{clip(name)}' can't be the name of a spec or variant", mark, hint=hint)

    def aliases(self, tree: Tree) -> Iterator[str]:
        for item in tree.items if isinstance(tree, Seq) else (tree,):
            if isinstance(item, Scalar):
                self.public_name(item.text, item.mark)
                yield item.text
            else:
                self.error("E012", "'as' takes a name, or a list of names", item.mark)

    def check_variants(self, variants: dict[str, Variant]) -> None:
        """Every extended variant is there, none extends itself, and no name is used twice."""
        taken: dict[str, Mark] = {}
        for variant in variants.values():
            if variant.extends and variant.extends not in variants:
                self.unknown("E042", "variant", variant.extends, variants, variant.mark)
            elif self.circular(variant, variants):
                self.error("E045", f"variant '{variant.name}' extends itself", variant.mark)
            for name in (variant.name, *variant.aliases):
                if name in taken:
                    detail = f"first at line {taken[name].line}"
                    self.error("E007", f"two variants are called '{name}'", variant.mark, details=(detail,))
                taken[name] = variant.mark

    @staticmethod
    def circular(variant: Variant, variants: dict[str, Variant]) -> bool:
        seen = set()
        current: Variant | None = variant
        while current is not None and current.name not in seen:
            seen.add(current.name)
            current = variants.get(current.extends)
        return current is not None

    def tables(self, tree: Tree | None) -> Iterator[tuple[str, Table]]:
        for key, entry in self.entries(tree):
            rows = entry.items if isinstance(entry, Seq) else ()
            texts = [row.text for row in rows if isinstance(row, Scalar)]
            if not texts or len(texts) != len(rows) or set("".join(texts)) - set("X."):
                self.error("E016", f"table '{key.text}' takes rows of X and .", entry.mark, hint="- X...XXX..")
            elif len({len(text) for text in texts}) > 1:
                self.error("E016", f"the rows of table '{key.text}' differ in length", entry.mark)
            elif self.name(key, "a table"):
                known = tuple(tuple(letter == "X" for letter in text) for text in texts)
                yield key.text, Table(known, key.mark)

    def uses(self, tree: Tree | None) -> Iterator[tuple[str, Use]]:
        for key, entry in self.entries(tree):
            if not isinstance(entry, Map) or not self.name(key, "a used spec"):
                self.error("E012", "write {spec: FILE.yaml, variant: NAME, at: {…}, upto: PATH}", entry.mark)
                continue
            self.check_keys(entry, ("spec", "variant", "at", "upto"))
            file = self.text(entry, "spec")
            if not file or Path(file).is_absolute() or ".." in Path(file).parts:
                self.error("E050", f"'{clip(file)}' must be a path below this file's folder", entry.mark)
                continue
            values = dict(self.values(entry.get("at")))
            yield key.text, Use(key.text, file, self.text(entry, "variant"), self.text(entry, "upto"), key.mark, values)

    def blocks(self, tree: Map) -> Iterator[tuple[str, Block]]:
        """Blocks and modules."""
        seen: dict[str, Block] = {}
        declared = [
            (key, entry, what) for what in ("block", "module") for key, entry in self.entries(tree.get(f"{what}s"))
        ]
        for key, entry, what in declared:
            header = self.parsed(parse_header, key)
            body = self.item(entry)
            if header is None:
                continue
            name, formals = header
            if name in seen:
                detail = f"first defined at line {seen[name].mark.line}"
                self.error("E007", f"duplicate {seen[name].what} '{name}'", key.mark, details=(detail,))
            self.name(Scalar(name, key.mark), f"a {what}")
            for formal, _ in formals:
                self.name(Scalar(formal, key.mark), "a formal")
            if len({formal for formal, _ in formals}) < len(formals):
                self.error("E007", f"{what} '{name}' has two formals of one name", key.mark)
            seen[name] = Block(name, formals, body, key.mark, what == "module")
            yield name, seen[name]

    def outputs(self, tree: Tree | None) -> Iterator[Output]:
        for item in tree.items if isinstance(tree, Seq) else () if tree is None else (tree,):
            path: Tree = item
            each: Loop | None = None
            if isinstance(item, Map):
                self.check_keys(item, ("for", "do"))
                each = Loop(tuple(self.variables(self.need(item, "for"))), Sequence((), item.mark), item.mark)
                path = self.need(item, "do")
            if not isinstance(path, Scalar):
                self.error("E012", "an output is a path", path.mark, hint="or {for: {i: 1..3}, do: p<i>}")
            elif (output := self.output(path, each)) is not None:
                yield output

    def output(self, item: Scalar, each: Loop | None) -> Output | None:
        path, _, condition = item.text.partition(" if ")
        template = self.parsed(parse_template, Scalar(path.strip(), item.mark, item.in_flow))
        place = item.mark.moved(len(path) + len(" if "))
        expr = self.parsed(parse_expression, Scalar(condition, place, item.in_flow)) if condition else None
        return None if template is None else Output(template, expr, item.text, item.mark, each)
