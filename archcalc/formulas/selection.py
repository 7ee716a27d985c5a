"""Which configurations of a sweep to keep: those that meet a condition, and those that no other one beats."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields as dataclass_fields
from fractions import Fraction
from typing import Any

from archcalc.errors import LocalError, UsageError, suggestion
from archcalc.formulas.amounts import without_units
from archcalc.formulas.sweep import Columns
from archcalc.quantities import QUANTITIES
from archcalc.spec.arithmetic import COMPARISONS, OPERATIONS
from archcalc.spec.expression import Binary, Environment, Expr, Literal, Name, Unary, decide
from archcalc.spec.grammar import parse_expression

_NUMBER = re.compile(r"-?\d{1,60}(\.\d{1,60})?")
_COUNT = re.compile(r"\d[\d.]*(?:[KMG]i?)(?!\w)")
EXAMPLE = "--where 'params<5M and saved_bytes<64MB'"


def condition(text: str, names: Sequence[str]) -> Callable[[Columns], Columns]:
    """What keeps the configurations of a block for which `text`, in the spec language's expressions, is true.

    Bytes may have units, as budgets do: 64MB, 64MiB; counts have K, M and G.
    Raises: UsageError: it can't be read, or mentions an unknown name, or gives counts in bytes or bytes without the B.
    """
    expr = _parsed(text, names)

    def kept(block: Columns) -> Columns:
        try:
            truth = _vectorised(expr, block) if _is_numpy(block) and _is_simple(expr) else _one_by_one(expr, block)
        except LocalError as error:
            raise UsageError(f"can't compute --where '{text}': {error.message}", EXAMPLE) from None
        if _is_numpy(block):
            import numpy

            mask = numpy.broadcast_to(numpy.asarray(truth, dtype=bool), (_length(block),))
            return {name: _masked(values, mask) for name, values in block.items()}
        return {name: [v for v, keep in zip(values, truth, strict=True) if keep] for name, values in block.items()}

    return kept


def mentioned(text: str) -> set[str]:
    """The names in a condition.

    Raises: UsageError: it can't be read.
    """
    return _read(text)[0].names()


def _read(text: str) -> tuple[Expr, str, dict[int, str]]:
    plain, in_bytes = without_units(text)
    try:
        return parse_expression(plain), plain, in_bytes
    except LocalError as error:
        raise UsageError(f"can't read --where '{text}': {error.message}", EXAMPLE) from None


def _parsed(text: str, names: Sequence[str]) -> Expr:
    expr, plain, in_bytes = _read(text)
    for name in sorted(expr.names()):
        if name not in names:
            raise UsageError(f"--where doesn't know '{name}'", suggestion(name, names))
    for comparison in _comparisons(expr):
        offsets = [part.offset for part in _parts(comparison) if isinstance(part, Literal)]
        compared = sorted(comparison.names())
        measured = [name in QUANTITIES and QUANTITIES[name].in_bytes for name in compared]
        for offset in offsets:
            if offset in in_bytes and not any(measured):
                wrong = f"{' and '.join(compared) or 'this'} {'is' if len(compared) < 2 else 'are'} not"
                raise UsageError(f"--where '{text}': '{in_bytes[offset]}' is in bytes, and {wrong}", EXAMPLE)
            count = _COUNT.match(plain, offset)
            if count and compared and all(measured):
                raise UsageError(f"--where '{text}': '{count[0]}' has no unit of bytes", f"{count[0]}B is in bytes")
    return expr


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


def _length(block: Columns) -> int:
    return len(next(iter(block.values())))


def _masked(values: Any, mask: Any) -> Any:
    return values[mask] if hasattr(values, "dtype") else [v for v, keep in zip(values, mask, strict=True) if keep]


def _one_by_one(expr: Expr, block: Columns) -> list[bool]:
    names = sorted(expr.names())
    columns = [_exact(block[name]) for name in names]
    rows = zip(*columns, strict=True) if columns else [()] * _length(block)
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


def integers(block: Columns, name: str, option: str) -> list[int]:
    """A column's values as Python's integers.

    Raises: UsageError: they are words, or lists.
    """
    found = _exact(block[name])
    if all(isinstance(value, int) for value in found):
        return found
    word = next(value for value in found if not isinstance(value, int))
    raise UsageError(f"{option} needs whole numbers: {name} is '{str(word)[:40]}'", f"{option} params,macs")


def objectives(text: str, names: Sequence[str]) -> list[tuple[str, bool]]:
    """`params,macs` (the less the better) or `depth:max`: columns, and whether more is better.

    Raises: UsageError: a column is unknown, or named twice.
    """
    found: list[tuple[str, bool]] = []
    for part in text.split(","):
        name, colon, way = (piece.strip() for piece in part.partition(":"))
        if name not in names:
            raise UsageError(f"--pareto doesn't know '{name}'", suggestion(name, names))
        if colon and way not in ("min", "max"):
            raise UsageError(f"can't read --pareto '{part.strip()}'", "--pareto params,depth:max")
        if name in dict(found):
            raise UsageError(f"--pareto names '{name}' twice", "--pareto params,depth:max")
        found.append((name, way == "max"))
    return found


def pareto(blocks: Iterable[Columns], aims: Sequence[tuple[str, bool]]) -> Iterator[Columns]:
    """The configurations that no other one beats: nowhere worse, and better somewhere. Equal ones all stay."""
    best: list[tuple[tuple[int, ...], tuple[Any, ...]]] = []
    names: list[str] = []
    for block in blocks:
        names = list(block)
        best = list(_front([*best, *_candidates(block, aims)]))
    if best:
        yield dict(zip(names, map(list, zip(*(row for _, row in best), strict=True)), strict=True))


def _candidates(block: Columns, aims: Sequence[tuple[str, bool]]) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """(what is to be small, the row) of those that may be on the front."""
    if _is_numpy(block) and len(aims) == 2:
        block = _thinned(block, aims)
    columns = [values.tolist() if hasattr(values, "dtype") else values for values in block.values()]
    costs = [[-n if more else n for n in integers(block, name, "--pareto")] for name, more in aims]
    yield from zip(zip(*costs, strict=True), zip(*columns, strict=True), strict=True)


def _thinned(block: Columns, aims: Sequence[tuple[str, bool]]) -> Columns:
    """Two aims: sorted by the first, only those that set a new best (or equal it) in the second can be on the front."""
    import numpy

    if not all(hasattr(block[name], "dtype") for name, _ in aims):
        return block
    first, second = ((-1 if more else 1) * block[name] for name, more in aims)
    order = numpy.lexsort((second, first)) if first.dtype != object and second.dtype != object else None
    if order is None:
        return block
    lowest = numpy.minimum.accumulate(second[order])
    mask = numpy.zeros(len(order), dtype=bool)
    mask[order] = second[order] <= lowest
    return {name: _masked(values, mask) for name, values in block.items()}


def _front(
    rows: Sequence[tuple[tuple[int, ...], tuple[Any, ...]]],
) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """In order of the aims; a row is beaten by one before it that is nowhere worse and not equal."""
    front: list[tuple[int, ...]] = []
    for aims, row in sorted(rows, key=lambda pair: pair[0]):
        if front and front[-1] == aims:
            yield aims, row
        elif not any(all(a <= b for a, b in zip(known, aims, strict=True)) for known in _last_first(front, len(aims))):
            front.append(aims)
            yield aims, row


def _last_first(front: list[tuple[int, ...]], count: int) -> Sequence[tuple[int, ...]]:
    """With two aims the last of the front is the best in the second: asking it is enough."""
    return front[-1:] if count <= 2 else front
