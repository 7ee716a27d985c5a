"""Which configurations of a sweep to keep: those that meet a condition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

from archcalc.errors import LocalError, UsageError, suggestion
from archcalc.language.arithmetic import COMPARISONS, OPERATIONS
from archcalc.language.expression import Binary, Environment, Expr, Literal, Name, Unary, decide
from archcalc.language.grammar import parse_expression
from archcalc.questions.budgets import without_units
from archcalc.questions.grid import Columns, length
from archcalc.questions.measures import DOTTED, column, measure

_NUMBER = re.compile(r"-?\d{1,60}(\.\d{1,60})?")
_COUNT = re.compile(r"\d[\d.]*(?:[KMG]i?)(?!\w)")
EXAMPLE = "where: 'params<5M and saved_bytes<64MB'"


class Step(Protocol):
    """What the blocks of a sweep go through."""

    @property
    def names(self) -> Sequence[str]:
        """The columns that it's about."""

    def check(self, known: Sequence[str]) -> None:
        """See that all of its columns are there, else raise a UsageError."""

    def of(self, blocks: Iterable[Columns]) -> Iterator[Columns]:
        """What it makes of all blocks."""


@dataclass(frozen=True)
class Condition:
    """What keeps configurations: an expression in the spec language that is true of them.

    Bytes may have units, as budgets do: 64MB, 64MiB; counts have K, M and G. Numbers of layers stand in it as in
    columns: `conv5/pool.rf >= 200`.
    """

    text: str

    def __post_init__(self) -> None:
        _read(self.text)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it's about, in order."""
        return tuple(sorted(_read(self.text).columns.values()))

    def check(self, known: Sequence[str]) -> None:
        """See that all of its columns are there.

        Raises: UsageError: one isn't, or counts are compared with bytes, or bytes without the B.
        """
        read = _read(self.text)
        for name in self.names:
            refuse_unknown(name, known, "where")
        for comparison in _comparisons(read.expr):
            _refuse_units(comparison, read)

    def of(self, blocks: Iterable[Columns]) -> Iterator[Columns]:
        """The configurations of all blocks for which it's true.

        Raises: UsageError: it can't be computed.
        """
        return filter(length, map(self.keep, blocks))

    def keep(self, block: Columns) -> Columns:
        """Those of one block.

        Raises: UsageError: it can't be computed.
        """
        read = _read(self.text)
        seen = {inner: block[name] for inner, name in read.columns.items()}
        seen = seen or {"": next(iter(block.values()))}  # for the length
        try:
            simple = _is_numpy(block) and _is_simple(read.expr)
            truth = _vectorised(read.expr, seen) if simple else _one_by_one(read.expr, seen)
        except LocalError as error:
            raise UsageError(f"can't compute where '{self.text}': {error.message}", EXAMPLE) from None
        if _is_numpy(block):
            import numpy

            mask = numpy.broadcast_to(numpy.asarray(truth, dtype=bool), (length(block),))
            return {name: masked(values, mask) for name, values in block.items()}
        return {name: [v for v, keep in zip(values, truth, strict=True) if keep] for name, values in block.items()}


@dataclass(frozen=True)
class _Read:
    """A condition that has been read: its expression, the column for each name in it, and amounts of bytes."""

    text: str
    expr: Expr
    plain: str
    columns: Mapping[str, str]
    in_bytes: Mapping[int, str]


@lru_cache(64)
def _read(text: str) -> _Read:
    found: dict[str, str] = {}

    def replaced(match: re.Match[str]) -> str:
        name = f"_{len(found)}_of_a_layer"
        found[name] = column(match[0])
        return name

    if not isinstance(text, str):
        raise UsageError(f"where is a condition, not {text!r:.60}", EXAMPLE)
    plain, in_bytes = without_units(DOTTED.sub(replaced, text))
    try:
        expr = parse_expression(plain)
    except LocalError as error:
        raise UsageError(f"can't read where '{text}': {error.message}", EXAMPLE) from None
    return _Read(text, expr, plain, {name: found.get(name, name) for name in expr.names()}, in_bytes)


def _refuse_units(comparison: Expr, read: _Read) -> None:
    offsets = [part.offset for part in _parts(comparison) if isinstance(part, Literal)]
    compared = sorted(read.columns[name] for name in comparison.names())
    measured = [_is_in_bytes(name) for name in compared]
    for offset in offsets:
        if offset in read.in_bytes and not any(measured):
            wrong = f"{' and '.join(compared) or 'this'} {'is' if len(compared) < 2 else 'are'} not"
            raise UsageError(f"where '{read.text}': '{read.in_bytes[offset]}' is in bytes, and {wrong}", EXAMPLE)
        count = _COUNT.match(read.plain, offset)
        if count and compared and all(measured):
            raise UsageError(f"where '{read.text}': '{count[0]}' has no unit of bytes", f"{count[0]}B is in bytes")


def _is_in_bytes(column: str) -> bool:
    try:
        return measure(column).in_bytes
    except UsageError:
        return False  # it's what is swept


def _parts(expr: Expr) -> Iterator[Expr]:
    """An expression and all that it consists of."""
    yield expr
    for each in dataclass_fields(expr):
        value = getattr(expr, each.name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Expr):
                yield from _parts(inner)


def _comparisons(expr: Expr) -> Iterator[Expr]:
    signs = (*COMPARISONS, "==", "!=")
    return (part for part in _parts(expr) if isinstance(part, Binary) and part.operation in signs)


def _is_numpy(block: Columns) -> bool:
    return any(hasattr(values, "dtype") for values in block.values())


def masked(values: Any, mask: Any) -> Any:
    """The values of a column where the mask is true."""
    return values[mask] if hasattr(values, "dtype") else [v for v, keep in zip(values, mask, strict=True) if keep]


def _one_by_one(expr: Expr, block: Columns) -> list[bool]:
    names = sorted(expr.names())
    columns = [_exact(block[name]) for name in names]
    rows = zip(*columns, strict=True) if columns else [()] * length(block)
    return [decide(expr.evaluate(Environment(dict(zip(names, row, strict=True)))), expr) for row in rows]


def _exact(values: Any) -> list[Any]:
    """Python's numbers; texts that are numbers as such."""
    found = values.tolist() if hasattr(values, "dtype") else list(values)
    return [_number(value) if isinstance(value, str) else value for value in found]


def _number(text: str) -> int | Fraction | str:
    if not _NUMBER.fullmatch(text):
        return text
    number = Fraction(text)
    return number.numerator if number.denominator == 1 else number


def _is_simple(expr: Expr) -> bool:
    """Whether it only compares columns with integers and with each other, so that 64 bits can't overflow."""
    if isinstance(expr, Binary) and expr.operation in ("and", "or"):
        return _is_simple(expr.left) and _is_simple(expr.right)
    if isinstance(expr, Unary) and expr.operation == "not":
        return _is_simple(expr.operand)
    if isinstance(expr, Binary) and (expr.operation in COMPARISONS or expr.operation in ("==", "!=")):
        return all(isinstance(side, (Name, Literal)) for side in (expr.left, expr.right))
    return False


def _vectorised(expr: Expr, block: Columns) -> Any:
    """A simple condition on whole columns."""
    if isinstance(expr, Unary):
        return ~_truths(_vectorised(expr.operand, block))
    if isinstance(expr, Binary) and expr.operation in ("and", "or"):
        left, right = _truths(_vectorised(expr.left, block)), _truths(_vectorised(expr.right, block))
        return left & right if expr.operation == "and" else left | right
    assert isinstance(expr, Binary)
    left, right = _side(expr.left, block), _side(expr.right, block)
    if isinstance(left, Fraction) or isinstance(right, Fraction):
        left, right = (
            _scaled(side, Fraction(left if isinstance(left, Fraction) else right).denominator) for side in (left, right)
        )
    if expr.operation in ("==", "!="):
        return left == right if expr.operation == "==" else left != right
    return OPERATIONS[expr.operation](left, right)


def _truths(value: Any) -> Any:
    import numpy

    return numpy.asarray(value, dtype=bool)


def _scaled(side: Any, by: int) -> Any:
    return side.astype(object) * by if hasattr(side, "dtype") else int(side * by)


def _side(expr: Expr, block: Columns) -> Any:
    import numpy

    if isinstance(expr, Literal):
        return expr.value
    assert isinstance(expr, Name)
    values = block[expr.name]
    return values if hasattr(values, "dtype") else numpy.array(_exact(values), dtype=object)


def refuse_unknown(name: str, known: Sequence[str], what: str) -> None:
    """See that there's a column of this name; `what` asks for it.

    Raises: UsageError: there isn't.
    """
    if name not in known:
        if "." in name:
            measure(name, what)
        raise UsageError(f"{what} doesn't know '{name}'", suggestion(name, known))


def integers(block: Columns, name: str, option: str) -> list[int]:
    """A column's values as Python's integers.

    Raises: UsageError: they are words, or lists.
    """
    found = _exact(block[name])
    if all(isinstance(value, int) for value in found):
        return found
    word = next(value for value in found if not isinstance(value, int))
    raise UsageError(f"{option} needs whole numbers: {name} is '{str(word)[:40]}'", f"{option}: params,macs")
