"""Which configurations of a sweep to keep: those that meet a condition, and those that no other one beats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

from archcalc.errors import LocalError, UsageError, suggestion
from archcalc.questions.budgets import without_units
from archcalc.questions.grid import BLOCK, Columns
from archcalc.questions.measures import DOTTED, column, measure
from archcalc.spec.arithmetic import COMPARISONS, OPERATIONS
from archcalc.spec.expression import Binary, Environment, Expr, Literal, Name, Unary, decide
from archcalc.spec.grammar import parse_expression

Aims: TypeAlias = "str | Iterable[str] | Mapping[str, str]"

_NUMBER = re.compile(r"-?\d{1,60}(\.\d{1,60})?")
_COUNT = re.compile(r"\d[\d.]*(?:[KMG]i?)(?!\w)")
STRONG = 32
"""Configurations of a block with which all others are compared first."""
SMALL = 500
"""Different rows of four costs or more that are compared without NumPy."""
COMPARED = 1 << 17
"""Pairs of rows that are compared at once."""
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
        return filter(_length, map(self.keep, blocks))

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

            mask = numpy.broadcast_to(numpy.asarray(truth, dtype=bool), (_length(block),))
            return {name: _masked(values, mask) for name, values in block.items()}
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


@dataclass(frozen=True)
class Front:
    """What keeps the configurations that no other one beats: nowhere worse, and better somewhere. Equal ones all stay.

    `aims` are columns, and whether more is better.
    """

    aims: tuple[tuple[str, bool], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it's about, in order."""
        return tuple(name for name, _ in self.aims)

    def check(self, known: Sequence[str]) -> None:
        """See that all of its columns are there.

        Raises: UsageError: one isn't.
        """
        for name in self.names:
            refuse_unknown(name, known, "pareto")

    def of(self, blocks: Iterable[Columns]) -> Iterator[Columns]:
        """The configurations of all blocks that are on the front, in order of the aims.

        Blocks wait until they are as many as the front, so that it's seldom gone through.
        """
        best: list[Columns] = []
        waiting: list[Columns] = []
        for block in filter(_length, blocks):
            waiting.append(_thinned(block, self.aims))
            if sum(map(_length, waiting)) > max([BLOCK, *map(_length, best)]):
                best, waiting = [_front([*best, *waiting], self.aims)], []
        if best or waiting:
            front = _front([*best, *waiting], self.aims)
            for start in range(0, _length(front), BLOCK):
                yield {name: values[start : start + BLOCK] for name, values in front.items()}


def front(aims: Aims) -> Front:
    """`"params,macs"` (the less the better), `"depth:max"`, a list of such texts, or `{"params": "min"}`.

    Raises: UsageError: it can't be read, or a column is named twice.
    """
    found: list[tuple[str, bool]] = []
    for text in _aims(aims):
        name, colon, way = (piece.strip() for piece in text.partition(":"))
        if not name or (colon and way not in ("min", "max")):
            raise UsageError(f"can't read pareto '{text.strip()}'", "pareto: params,depth:max")
        name = column(name)
        if name in dict(found):
            raise UsageError(f"pareto names '{name}' twice", "pareto: params,depth:max")
        found.append((name, way == "max"))
    return Front(tuple(found))


def _aims(aims: Aims) -> list[str]:
    """The aims one by one."""
    if isinstance(aims, Mapping):
        return [f"{name}:{way}" for name, way in aims.items()]
    texts = aims.split(",") if isinstance(aims, str) else list(aims) if isinstance(aims, Iterable) else [aims]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"pareto takes columns, not {aims!r:.60}", "pareto='params,macs:max'")
    return texts


def _front(blocks: Sequence[Columns], aims: Sequence[tuple[str, bool]]) -> Columns:
    """The front of several blocks."""
    joined = {name: _joined([block[name] for block in blocks]) for name in blocks[0]}
    costs = [_cost(joined, name, more) for name, more in aims]
    if all(hasattr(cost, "dtype") for cost in costs):
        places = _sorted_front(costs)
        return {n: v[places] if hasattr(v, "dtype") else [v[i] for i in places] for n, v in joined.items()}
    listed = list(zip(*(cost.tolist() if hasattr(cost, "dtype") else cost for cost in costs), strict=True))
    order = sorted(range(len(listed)), key=listed.__getitem__)
    kept = _unbeaten(list(dict.fromkeys(listed[place] for place in order)))
    found = [place for place in order if listed[place] in kept]
    return {name: [values[place] for place in found] for name, values in joined.items()}


def _joined(parts: Sequence[Any]) -> Any:
    if all(hasattr(part, "dtype") for part in parts):
        import numpy

        return numpy.concatenate(parts)
    return [value for part in parts for value in (part.tolist() if hasattr(part, "dtype") else part)]


def _cost(block: Columns, name: str, more: bool) -> Any:
    """What is to be small: an array of 64-bit integers, or a list."""
    values = block[name]
    if hasattr(values, "dtype") and values.dtype != object:
        return -values if more else values
    return [-value if more else value for value in integers(block, name, "pareto")]


def _sorted_front(costs: Sequence[Any]) -> Any:
    """The places of what isn't beaten, in order of the costs."""
    import numpy

    order = numpy.lexsort(costs[::-1])
    ranked = numpy.stack([cost[order] for cost in costs], axis=1)
    new = numpy.ones(len(order), dtype=bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    rows = ranked[new]
    if rows.shape[1] <= 2:
        last = rows[:, -1] if rows.shape[1] == 2 else rows[:, 0]
        kept = numpy.ones(len(rows), dtype=bool)
        kept[1:] = last[1:] < numpy.minimum.accumulate(last)[:-1]
    elif rows.shape[1] == 3:
        kept = numpy.array(_unbeaten_of_three(*(rows[:, i].tolist() for i in (1, 2))), dtype=bool)
    else:
        kept = _unbeaten_rows(rows)
    return order[kept[numpy.cumsum(new) - 1]]


def _unbeaten(rows: Sequence[tuple[int, ...]]) -> set[tuple[int, ...]]:
    """Those of different rows, sorted, that no other one beats; of many the ranks are compared, which fit in arrays."""
    if len(rows[0]) == 3:
        kept = _unbeaten_of_three([row[1] for row in rows], [row[2] for row in rows])
        return {row for row, keep in zip(rows, kept, strict=True) if keep}
    if len(rows[0]) > 3 and len(rows) > SMALL:
        import numpy

        ranks = [{value: rank for rank, value in enumerate(sorted(set(column)))} for column in zip(*rows, strict=True)]
        ranked = numpy.array([[rank[value] for rank, value in zip(ranks, row, strict=True)] for row in rows])
        return {row for row, keep in zip(rows, _unbeaten_rows(ranked), strict=True) if keep}
    front: list[tuple[int, ...]] = []
    for row in rows:  # with two aims the last of the front is the best in the second: asking it is enough
        asked = front[-1:] if len(row) <= 2 else front
        if not any(all(a <= b for a, b in zip(known, row, strict=True)) for known in asked):
            front.append(row)
    return set(front)


def _unbeaten_of_three(seconds: Sequence[int], thirds: Sequence[int]) -> list[bool]:
    """Of different rows sorted by three numbers: whether none before has a second and third as small.

    A tree (Fenwick 1994) has the least third for all seconds up to one.
    """
    ranks = {value: rank for rank, value in enumerate(sorted(set(seconds)), start=1)}
    least: list[int | None] = [None] * (len(ranks) + 1)
    kept = []
    for second, third in zip(seconds, thirds, strict=True):
        place, beaten = ranks[second], False
        while place and not beaten:
            known = least[place]
            beaten = known is not None and known <= third
            place &= place - 1
        kept.append(not beaten)
        place = ranks[second]
        while not beaten and place < len(least):
            known = least[place]
            if known is None or third < known:
                least[place] = third
            place += place & -place
    return kept


def _unbeaten_rows(rows: Any) -> Any:
    """Which of an array's rows, sorted and different, no other one beats.

    Only one of the first half can beat one of the second (Kung et al. 1975).
    """
    import numpy

    if len(rows) <= 1:
        return numpy.ones(len(rows), dtype=bool)
    half = len(rows) // 2
    kept = numpy.concatenate([_unbeaten_rows(rows[:half]), _unbeaten_rows(rows[half:])])
    first, places = rows[:half][kept[:half]], half + numpy.flatnonzero(kept[half:])
    kept[places] = ~_beaten(first[:, 1:], rows[places, 1:])
    return kept


def _beaten(first: Any, second: Any) -> Any:
    """Of which rows of `second` some row of `first` is nowhere larger.

    Both are cut at a value of the first column: below it a row of `first` needs to be compared in the other columns
    alone with what is above. With two columns left, the least of the second up to each value of the first says it.
    """
    import numpy

    if not len(first) or not len(second):
        return numpy.zeros(len(second), dtype=bool)
    if first.shape[1] == 1:
        return second[:, 0] >= first[:, 0].min()
    if first.shape[1] == 2:
        order = numpy.argsort(first[:, 0], kind="stable")
        place = numpy.searchsorted(first[order, 0], second[:, 0], side="right")
        least = numpy.minimum.accumulate(first[order, 1])
        return (place > 0) & (least[place - 1] <= second[:, 1])
    if len(first) * len(second) <= COMPARED:
        beats = first[:, 0] <= second[:, 0][:, None]
        for axis in range(1, first.shape[1]):
            beats &= first[:, axis] <= second[:, axis][:, None]
        return beats.any(axis=1)
    cut = numpy.median(numpy.concatenate([first[:, 0], second[:, 0]]))
    return _beaten_around(cut, first, second)


def _beaten_around(cut: Any, first: Any, second: Any) -> Any:
    """The same, cut at a value of the first column; where nothing lies on one side, that column says nothing more."""
    import numpy

    if first[:, 0].max() <= second[:, 0].min():
        return _beaten(first[:, 1:], second[:, 1:])
    ends = numpy.concatenate([first[:, 0], second[:, 0]])
    if cut >= ends.max():
        cut = ends[ends < ends.max()].max()
    low, below = first[:, 0] <= cut, second[:, 0] <= cut
    found = numpy.zeros(len(second), dtype=bool)
    found[below] = _beaten(first[low], second[below])
    found[~below] = _beaten(first[~low], second[~below]) | _beaten(first[low][:, 1:], second[~below][:, 1:])
    return found


def _thinned(block: Columns, aims: Sequence[tuple[str, bool]]) -> Columns:
    """The block without most of what is beaten, where that's quick to see: by those whose ranks are low altogether."""
    if not all(hasattr(block[name], "dtype") and block[name].dtype != object for name, _ in aims):
        return block
    import numpy

    costs = [_cost(block, name, more) for name, more in aims]
    ranks = [numpy.argsort(numpy.argsort(cost)) for cost in costs]
    places = numpy.arange(len(costs[0]))
    for strong in numpy.argsort(sum(ranks))[:STRONG]:
        worse = numpy.ones(len(places), dtype=bool)
        better = numpy.zeros(len(places), dtype=bool)
        for cost in costs:
            mine = cost[places]
            worse &= mine >= cost[strong]
            better |= mine > cost[strong]
        places = places[~(worse & better)]
    mask = numpy.zeros(len(costs[0]), dtype=bool)
    mask[places] = True
    return {name: _masked(values, mask) for name, values in block.items()}
