"""Reading the marked tree: texts, mappings, expressions, and errors with their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from archcalc.errors import Mark, suggestion
from archcalc.language.expression import Expr, Several
from archcalc.language.grammar import parse_expression
from archcalc.language.model import Value
from archcalc.language.parser import GrammarError, clip, is_name
from archcalc.language.tree import Diagnostics, Map, Scalar, Source, Tree

RESERVED = ("x", "in", "if", "else", "and", "or", "not", "from", "true", "false", "sym")


class TreeReader:
    """Reads parts of one spec's tree; what can't be read is reported and left out."""

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.source, self.diagnostics = source, diagnostics

    def error(self, code: str, message: str, mark: Mark, **more: Any) -> None:
        self.diagnostics.report(self.source, code, message, mark, **more)

    def reported(self, code: str) -> bool:
        return any(found.code == code for found in self.diagnostics.found)

    @staticmethod
    def keys(tree: Map) -> list[str]:
        return [key.text for key, _ in tree.entries]

    def check_keys(self, tree: Map, known: tuple[str, ...], what: str = "key", code: str = "E011") -> None:
        for key, _ in tree.entries:
            if key.text not in known:
                self.error(code, f"unknown {what} '{clip(key.text)}'", key.mark, hint=suggestion(key.text, known))

    def unknown(self, code: str, what: str, name: str, known: Any, where: Tree | Mark | None) -> None:
        mark = where if isinstance(where, Mark) else where.mark if where else Mark(self.source.file, 1, 1)
        self.error(code, f"unknown {what} '{clip(name)}'", mark, hint=suggestion(name, known))

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
            mark = scalar.mark.moved(error.offset)
            self.error(error.code, error.message, mark, hint=hint)
            return None

    def value(self, tree: Tree) -> Value | None:
        """An expression, or nested lists of them."""
        expr = self.expression(tree)
        if expr is None:
            return None
        if isinstance(tree, Scalar):
            return Value(expr, tree.text, tree.mark)
        return Value(expr, "[…]", replace(tree.mark, fixed=True))

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
        if is_name(scalar.text) and scalar.text not in RESERVED:
            return True
        hint = "" if scalar.text in RESERVED else "letters, digits and _, the first one from a to z"
        self.error("E014", f"'{clip(scalar.text)}' can't be the name of {what}", scalar.mark, hint=hint)
        return False
