"""Reading claims: published figures, each with its source, for the whole graph or for a named part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from archcalc.data import dataclass
from archcalc.errors import LocalError, suggestion
from archcalc.language.budgets import FORMS, Amount, Budget, Written, is_budget
from archcalc.language.expression import Environment, Expr, Literal, Several, Unary
from archcalc.language.model import Claim, Hparam, Value, Variant
from archcalc.language.printed import Printed
from archcalc.language.tree import Map, Scalar, Seq, Tree
from archcalc.quantities import BYTES, DTYPE, SHAPE, Total, claimable

if TYPE_CHECKING:
    from archcalc.language.tree_reader import TreeReader

DETAILS = ("source", "digits", "tol", "at", "dtype", "holds", "note", "variant")
MAX_TOLERANCE = Fraction(1, 10)
"""A tenth: "about 60M" may be 54M to 66M. Beyond that a figure of two digits would say less than its first one."""

_SUBJECT = re.compile(r"([a-z_]+)(?:\(([^()]+)\))?")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s*%")
_AMOUNT = re.compile(r"(\d[\d.]*(?:[eE][+-]?\d+)?)(k(?=B)|K|M|G|Ki|Mi|Gi)?(B?)")


@dataclass(frozen=True)
class _Entry:
    """What the figures of one entry have in common."""

    source: str
    variant: str
    at: Mapping[str, Value]
    digits: int | None
    tolerance: Fraction | None
    holds: bool
    note: str
    dtype: str


class ClaimReader:
    """Reads the claims of a spec; what can't be read is reported."""

    def __init__(self, reader: TreeReader, variants: Mapping[str, Variant], hparams: Mapping[str, Hparam]) -> None:
        self.reader, self.hparams = reader, hparams
        self.variants = {name: v.name for v in variants.values() for name in (v.name, *v.aliases)}

    def claims(self, tree: Tree | None) -> Iterator[Claim]:
        """One claim for each figure."""
        for entry in tree.items if isinstance(tree, Seq) else ():
            if isinstance(entry, Map):
                yield from self.figures(entry)
            else:
                self.reader.error("E012", "a claim is a mapping: {source: …, params: …}", entry.mark)
        if tree is not None and not isinstance(tree, Seq):
            self.reader.error("E012", "'claims' takes a list", tree.mark, hint="- {source: Table 2, params: 138M}")

    def figures(self, tree: Map) -> Iterator[Claim]:
        """The figures of one entry."""
        entry = self.entry(tree)
        subjects = [(key, value) for key, value in tree.entries if key.text not in DETAILS]
        if not subjects:
            hint = "known: " + ", ".join(claimable())
            self.reader.error("E030", "a claim needs a quantity", tree.mark, hint=hint)
        figures = [figure for _, value in subjects for figure in _figures(value)]
        if not entry.source and not (figures and all(map(_is_budget, figures))):
            self.reader.error("E030", "a claim needs a 'source'", tree.mark)
        for key, value in subjects:
            match = _SUBJECT.fullmatch(key.text)
            if not match or match[1] not in claimable():
                hint = suggestion(match[1] if match else key.text, claimable())
                self.reader.error("E031", f"unknown quantity '{key.text}'", key.mark, hint=hint)
                continue
            quantity, path = match[1], match[2] or ""
            if claimable()[quantity].total is Total.NONE and not path:
                self.reader.error("E031", f"'{quantity}' needs a path: {quantity}(conv1)", key.mark)
                continue
            for variant, figure in self.by_variant(key, value, entry.variant):
                if (said := self.said(figure, quantity, entry)) is not None:
                    expected, printed, budget = said
                    yield Claim(
                        entry.source, quantity, path, variant, expected, printed, entry.digits, entry.tolerance,
                        entry.at, entry.holds, entry.note, key.mark, budget, entry.dtype,
                    )  # fmt: skip

    def said(self, figure: Tree, quantity: str, entry: _Entry) -> tuple[Value, Printed | None, Budget | None] | None:
        """What is claimed, and how it's judged; None after reporting that it can't be read."""
        if isinstance(figure, Scalar) and is_budget(figure.text):
            budget = self.budget(figure, quantity, entry)
            return None if budget is None else (Value(Several(0, ()), figure.text.strip(), figure.mark), None, budget)
        if isinstance(figure, Scalar) and not figure.text.strip() and ">" in self.reader.source.line(figure.mark):
            hint = "a text that starts with > needs quotes: '>= 5M'"
            self.reader.error("E012", "a value is missing", figure.mark, hint=hint)
            return None
        expected = self.expected(figure, quantity)
        return None if expected is None else (expected, self.printed(expected, entry), None)

    # --- what an entry says besides its figures -------------------------------------------------------------------

    def entry(self, tree: Map) -> _Entry:
        reader = self.reader
        source, note, holds = reader.text(tree, "source"), reader.text(tree, "note"), reader.text(tree, "holds")
        if holds not in ("", "true", "false"):
            reader.error("E012", "'holds' takes true or false", tree.mark)
        if holds == "false" and not note:
            reader.error("E030", "an erratum (holds: false) needs a 'note' that says why", tree.mark)
        variant = reader.text(tree, "variant")
        if variant and variant not in self.variants:
            reader.unknown("E042", "variant", variant, self.variants, tree.get("variant"))
        at = dict(reader.values(tree.get("at")))
        for name in at.keys() - self.hparams.keys():
            hint = suggestion(name, self.hparams)
            reader.error("E043", f"'at' sets '{name}', which is not a declared hparam", at[name].mark, hint=hint)
        digits, tolerance = self.digits(tree.get("digits")), self.tolerance(tree.get("tol"))
        if digits is not None and tolerance is not None:
            reader.error("E032", "'digits' and 'tol' exclude each other", tree.mark, hint="leave one out")
        dtype = self.dtype(tree)
        return _Entry(source, self.variants.get(variant, variant), at, digits, tolerance, holds != "false", note, dtype)

    def dtype(self, tree: Map) -> str:
        """That of the values whose bytes are claimed."""
        dtype = self.reader.text(tree, "dtype") or DTYPE
        if dtype not in BYTES:
            self.reader.unknown("E032", "dtype", dtype, BYTES, tree.get("dtype"))
        return dtype if dtype in BYTES else DTYPE

    def digits(self, tree: Tree | None) -> int | None:
        """How many of the printed digits mean something."""
        if tree is None:
            return None
        if isinstance(tree, Scalar) and re.fullmatch(r"[1-9]\d?", tree.text):
            return int(tree.text)
        self.reader.error("E032", "'digits' takes a number from 1 to 99", tree.mark, hint="digits: 2")
        return None

    def tolerance(self, tree: Tree | None) -> Fraction | None:
        """How far a figure that says "about" may be off, as a share of it."""
        if tree is None:
            return None
        match = _SHARE.fullmatch(tree.text) if isinstance(tree, Scalar) else None
        if match is None:
            self.reader.error("E032", "'tol' takes a percentage", tree.mark, hint="tol: 2%")
            return None
        share = Fraction(match[1]) / 100
        if not 0 < share <= MAX_TOLERANCE:
            hint = "a figure without 'tol' is judged by its digits; 'tol' is for those that say \"about\""
            self.reader.error("E032", "'tol' is more than 0% and at most 10%", tree.mark, hint=hint)
            return None
        return share

    # --- figures --------------------------------------------------------------------------------------------------

    def by_variant(self, key: Scalar, tree: Tree, variant: str) -> Iterator[tuple[str, Tree]]:
        """(variant, figure) pairs: one, or one for each key of a mapping."""
        if not isinstance(tree, Map):
            yield variant, tree
            return
        if not tree.entries:
            self.reader.error("E030", f"'{key.text}' has no figure", key.mark)
        if variant:
            message = "'variant' stands beside a mapping of variants"
            self.reader.error("E007", message, key.mark, hint="leave one of them out")
        for name, figure in tree.entries:
            if name.text not in self.variants:
                self.reader.unknown("E042", "variant", name.text, self.variants, name)
            else:
                yield self.variants[name.text], figure

    def expected(self, tree: Tree, quantity: str) -> Value | None:
        """A claimed value, if the quantity can have such a one."""
        if quantity == "shape":
            return self.sizes(tree)
        value = self.amount(tree, quantity)
        if value is not None and (problem := _impossible(value, quantity)):
            self.reader.error(problem.code, problem.message, value.mark, hint=problem.hint)
            return None
        return value

    def sizes(self, tree: Tree) -> Value | None:
        """A shape; its sizes may be names (`Rx84`), which the grammar's `3x3` does not allow."""
        if not isinstance(tree, Scalar):
            return self.reader.value(tree)
        sizes: list[Expr] = []
        offset = 0
        for part in tree.text.split("x"):
            value = self.reader.value(Scalar(" " * offset + part, tree.mark, tree.in_flow))
            if value is None:
                return None
            sizes.append(value.expr)
            offset += len(part) + 1
        return Value(Several(0, tuple(sizes), dims=True), tree.text, tree.mark)

    def amount(self, tree: Tree, quantity: str) -> Value | None:
        """A number or an expression. Rounded bytes name their unit (93MB, 58.1MiB), counts have none."""
        match = _AMOUNT.fullmatch(tree.text.strip()) if isinstance(tree, Scalar) else None
        if match is None or not isinstance(tree, Scalar):
            return self.reader.value(tree)
        number, suffix, unit = match[1], match[2] or "", match[3]
        if unit and not claimable()[quantity].in_bytes:
            self.reader.error(
                "E034", f"'{quantity}' is counted, not measured in bytes", tree.mark, hint=number + suffix
            )
            return None
        if suffix and not unit and claimable()[quantity].in_bytes:
            hint = f"{number}{suffix}B; MB is 10^6 bytes, MiB 2^20"
            self.reader.error("E034", f"'{quantity}' needs a unit beside its {suffix}", tree.mark, hint=hint)
            return None
        start = tree.text[: len(tree.text) - len(tree.text.lstrip())]
        value = self.reader.value(Scalar(start + number + suffix.replace("k", "K"), tree.mark, tree.in_flow))
        return value and Value(value.expr, tree.text, tree.mark)

    def printed(self, value: Value, entry: _Entry) -> Printed | None:
        """The digits that decide; None where the value itself does, or the entry's tolerance."""
        expr = value.expr
        if not isinstance(expr, Literal) or entry.tolerance is not None:
            if entry.digits is not None or (entry.tolerance is not None and isinstance(expr, Several)):
                what = "digits" if entry.digits is not None else "tol"
                self.reader.error("E032", f"'{what}' needs a printed number, not '{value.text}'", value.mark)
            return None
        figure = Printed(int(expr.value / expr.step), expr.step)
        if entry.digits is None:
            return figure if expr.rounded else None
        if (shortened := figure.shortened(entry.digits)) is None:
            message = f"'{value.text}' has more than {entry.digits} digits that are not zeros"
            self.reader.error("E032", message, value.mark)
        return shortened

    def budget(self, figure: Scalar, quantity: str, entry: _Entry) -> Budget | None:
        """What a figure allows the quantity to be; None after reporting why it's no budget."""
        for name, given in (("digits", entry.digits), ("tol", entry.tolerance)):
            if given is not None:
                message = f"'{name}' needs a printed number, and '{figure.text.strip()}' is a budget"
                self.reader.error("E032", message, figure.mark, hint="a budget is exact")
        try:
            if quantity == SHAPE.name:
                raise LocalError("'shape' is several sizes, and a budget is about one number", code="E039")
            written = Written.of(figure.text)
            limits: list[Amount | None] = []
            for place in (written.low, written.high):
                limit = self.amount(_part(figure, *place), quantity) if place else None
                if place and limit is None:
                    return None  # it can't be read, which is reported
                limits.append(None if limit is None else _limit(limit))
            low, high = limits
            return written.budget(low, high, claimable()[quantity])
        except LocalError as error:
            self.reader.error(error.code, error.message, figure.mark, hint=error.hint)
            return None


def _figures(tree: Tree) -> Iterator[Tree]:
    """The figures that stand under a quantity: one, or one for each variant."""
    yield from (figure for _, figure in tree.entries) if isinstance(tree, Map) else (tree,)


def _is_budget(figure: Tree) -> bool:
    return isinstance(figure, Scalar) and is_budget(figure.text)


def _part(scalar: Scalar, start: int, end: int) -> Scalar:
    """A part of a text, at its place."""
    return Scalar(" " * start + scalar.text[start:end], scalar.mark, scalar.in_flow)


def _limit(value: Value) -> Amount:
    """A limit of a budget.

    Raises: LocalError: it isn't a number, or has no exact value.
    """
    if names := value.expr.names():
        hint = "give the figure for each variant, or in a claim of its own with 'at'"
        raise LocalError(f"a budget's limit is a number, which '{min(names)}' isn't", code="E039", hint=hint)
    found = value.expr.evaluate(Environment({}))
    if isinstance(found, bool) or not isinstance(found, (int, Fraction)) or value.text.rstrip().endswith("%"):
        raise LocalError(f"a budget's limit is a number, not '{value.text.strip()}'", code="E039", hint=FORMS)
    return found


def _impossible(value: Value, quantity: str) -> LocalError | None:
    """Why no number of this sort can be the value that is claimed; None if one can."""
    expr, hint = value.expr, ""
    if isinstance(expr, Several) and not claimable()[quantity].axis:
        message = f"'{quantity}' is one number, not several"
    elif isinstance(expr, Literal) and isinstance(expr.value, bool):
        message = f"'{quantity}' is a number, not {value.text}"
    elif value.text.rstrip().endswith("%"):
        message = f"'{quantity}' is a number, not a share"
    elif isinstance(expr, Literal) and expr.rounded and expr.value == 0:
        message = f"'{value.text}' says nothing: zero has no digits that could be rounded"
        hint = "write 0 for none at all"
    elif isinstance(expr, Unary) and isinstance(expr.operand, Literal) and quantity != "rf_padding":
        message = f"'{quantity}' is never negative"
    else:
        return None
    return LocalError(message, code="E033", hint=hint)
