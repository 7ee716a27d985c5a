"""Which configurations of a sweep no other one beats: Pareto fronts of any number of aims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from archcalc.errors import UsageError
from archcalc.questions.grid import BLOCK, Columns, length
from archcalc.questions.measures import column
from archcalc.questions.selection import integers, masked, refuse_unknown

Aims: TypeAlias = "str | Iterable[str] | Mapping[str, str]"
STRONG = 32
"""Configurations of a block with which all others are compared first."""
SMALL = 500
"""Different rows of four costs or more that are compared without NumPy."""
COMPARED = 1 << 17
"""Pairs of rows that are compared at once."""


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
        for block in filter(length, blocks):
            waiting.append(_thinned(block, self.aims))
            if sum(map(length, waiting)) > max([BLOCK, *map(length, best)]):
                best, waiting = [_front([*best, *waiting], self.aims)], []
        if best or waiting:
            front = _front([*best, *waiting], self.aims)
            for start in range(0, length(front), BLOCK):
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
    return {name: masked(values, mask) for name, values in block.items()}
