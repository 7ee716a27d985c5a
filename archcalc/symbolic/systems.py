"""Relations over several unknowns at once: all solutions, or an error; never only some of them.

Within limits that are proved (see `limits`), all unknowns but one are tried value by value. The last one is bisected
where the relations' form allows it, else looked at value by value too, or solved for. Where it moves one way only as
the last but one grows, that one isn't tried either, but halved into ranges. What can't be done within bounded work is
refused with a hint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, cast

from archcalc.symbolic import solve
from archcalc.symbolic.arithmetic import dim, is_symbolic
from archcalc.symbolic.compiled import Program, Uncompilable, compare
from archcalc.symbolic.conditions import Condition
from archcalc.symbolic.fractions import as_fraction
from archcalc.symbolic.integer_sets import EVERYTHING, Integers, Segment, Unsolvable
from archcalc.symbolic.limits import Limits
from archcalc.work import spend

MAX_TRIED = 200_000
"""Combinations of all unknowns but the last that are tried one by one."""
MAX_CELLS = 2_000_000
"""Combinations of all unknowns that are looked at one by one."""
MAX_SOLVED = 2_000
"""Combinations of all unknowns but the last for which the last is solved for."""
MAX_VALUED = 20_000
"""Combinations for which a relation is evaluated that can't be compiled."""
BLOCK = 4096
WIDE = 1 << 62

Arrays = dict[int, Any]
"""NumPy arrays of the same length, by the place of the unknown."""


@dataclass(frozen=True)
class Row:
    """Sets, one for each unknown: all their combinations are solutions."""

    sets: tuple[Integers, ...]


@dataclass(frozen=True)
class SolutionSet:
    """All solutions: unknowns that are free of each other, and rows of sets for those that depend on each other."""

    alone: Mapping[str, Integers]
    together: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    possible: bool = True
    """Whether the conditions hold that no unknown affects."""

    def __contains__(self, numbers: Mapping[str, int]) -> bool:
        if not self.possible or not all(numbers[name] in found for name, found in self.alone.items()):
            return False
        values = [numbers[name] for name in self.together]
        return not self.together or any(
            all(value in found for value, found in zip(values, row.sets, strict=True)) for row in self.rows
        )

    def __bool__(self) -> bool:
        return self.possible and all(self.alone.values()) and bool(self.rows or not self.together)

    @property
    def largest(self) -> dict[str, int | None]:
        """The greatest value of each unknown (None: there's no end), each by itself."""
        found = {name: numbers.max for name, numbers in self.alone.items()}
        for place, name in enumerate(self.together):
            ends = {row.sets[place].max for row in self.rows}
            found[name] = None if None in ends else max((end for end in ends if end is not None), default=None)
        return found


def solved_for(conditions: Iterable[Any], domains: Mapping[str, Integers]) -> SolutionSet:
    """All values of the unknowns, each within its domain (else any positive integer), that meet all conditions.

    Raises: Unsolvable: there would be no end to the list, it would be too long, or a condition can't be solved.
    """
    alone: dict[str, Integers] = dict(domains)
    joint = []
    for condition in sorted(_apart(conditions), key=_has_extremes):
        symbols = sorted(condition.symbols, key=lambda symbol: symbol.name)
        if not symbols:
            left, right = (side.doit() if is_symbolic(side) else side for side in (condition.left, condition.right))
            if not compare(left, condition.relation, right):
                return SolutionSet(dict.fromkeys(alone, Integers()), possible=False)
            continue
        found = None
        for symbol in symbols:
            alone.setdefault(symbol.name, EVERYTHING)
        if len(symbols) == 1 and _has_extremes(condition):
            found = _looked_at(condition, symbols[0], alone[symbols[0].name])
        if len(symbols) == 1 and found is None:
            found = solve(condition.left, condition.relation, condition.right, symbols[0])
        if found is None:
            joint.append(condition)
        else:
            alone[symbols[0].name] = alone[symbols[0].name] & found
    if not joint or not all(alone.values()):
        return SolutionSet(alone)
    names = sorted({symbol.name for condition in joint for symbol in condition.symbols})
    order, rows = _System(names, joint, [alone.pop(name) for name in names]).solved()
    if len(order) == 1:
        only = next((row.sets[0] for row in rows), Integers())
        return SolutionSet({**alone, order[0]: only})
    return SolutionSet(alone, order, rows)


def _has_extremes(condition: Any) -> bool:
    """Whether a side has minima or maxima: solving takes the cases apart, of which there may be very many."""
    import sympy

    return any(side.has(sympy.Min, sympy.Max) for side in (condition.left, condition.right) if is_symbolic(side))


def _looked_at(condition: Any, symbol: Any, numbers: Integers) -> Integers | None:
    """Those of few numbers that meet a condition, looked at one by one; None: they're many, or it can't be compiled."""
    import sympy

    if numbers.max is None or (numbers.count or 0) > MAX_TRIED:
        return None
    try:
        difference = as_fraction(sympy.sympify(condition.left) - sympy.sympify(condition.right))[0]
        function = Program([difference], [symbol]).python()
    except Uncompilable:
        return None
    spend(numbers.count or 0, "looking at numbers one by one")
    members = list(numbers.up_to(numbers.max))
    kept = [n for n in members if _holds(function, (n,), condition.relation)]
    if kept and kept == members[: len(kept)]:  # mostly; what they have in common stays a pattern
        return Integers.between(1, kept[-1])
    return Integers.of(kept)


def _apart(conditions: Iterable[Any]) -> Iterator[Any]:
    """The conditions; those that all values of an extreme have to meet, as one on each of them."""
    for condition in conditions:
        kind = {"<=": "Max", ">=": "Min"}.get(condition.relation)
        if kind and type(condition.left).__name__ == kind:
            yield from (Condition(value, condition.relation, condition.right) for value in condition.left.args)
        else:
            yield condition


class _System:
    """Unknowns that depend on each other."""

    def __init__(self, names: Sequence[str], relations: Sequence[Any], allowed: Sequence[Integers]) -> None:
        self.names, self.relations, self.allowed = list(names), list(relations), list(allowed)
        self.symbols = [dim(name) for name in names]
        places = {symbol: place for place, symbol in enumerate(self.symbols)}
        self.uses = [{places[symbol] for symbol in relation.symbols} for relation in relations]
        self.low: list[int] = [found.min or 1 for found in allowed]
        self.high: list[int | None] = [found.max for found in allowed]
        self.limits = Limits(self.symbols, relations, self.low)
        self._programs: dict[int, Program | None] = {}

    def solved(self) -> tuple[tuple[str, ...], tuple[Row, ...]]:
        """The unknowns in the order in which they are tried, and the solutions."""
        if not self._narrowed():
            return tuple(self.names), ()
        order = sorted(range(len(self.names)), key=self._count)
        *outer, last = order
        for place in outer:
            if self.high[place] is None:
                name = self.names[place]
                raise Unsolvable(f"there's no end to what {name} may be", f"give it a range: --set {name}=1..100")
        if outer and self._are_stairs(outer[-1], last):
            rows = self._stairs(outer[:-1], outer[-1], last)
        else:
            tried = self._tried(outer)
            rows = self._gathered(outer, tried, self._lasts(outer, last, tried))
        return tuple(self.names[place] for place in order), tuple(rows)

    def _count(self, place: int) -> float:
        count = self._within(place).count
        return float("inf") if count is None else count

    # --- the last two unknowns, where the ends of the last one move one way only

    def _are_stairs(self, x: int, y: int) -> bool:
        """Whether for each x the y are between two ends, neither of which ever turns back while x grows."""
        if self._is_endless(x) or self._is_endless(y):
            return False
        with_y = [n for n, uses in enumerate(self.uses) if y in uses]
        with_x = [n for n, uses in enumerate(self.uses) if x in uses and y not in uses]
        if not all(self._is_settled(n, y) for n in with_y) or not all(self._is_settled(n, x) for n in with_x):
            return False
        limits = self.limits
        bounds = [bound for n in with_y for bound in limits.of_relation[n]]
        upper = [bound for bound in bounds if y in limits.growing[bound]]
        lower = [bound for bound in bounds if y in limits.falling[bound]]
        return len(upper) + len(lower) == len(bounds) and limits.one_way(upper, x) and limits.one_way(lower, x)

    def _stairs(self, outer: Sequence[int], x: int, y: int) -> Iterator[Row]:
        """The rows: where both ends of a range of x have the same y, all of it has them, else it is halved."""
        import numpy

        known = self._tried(outer)
        length = len(known[outer[0]]) if outer else 1
        starts, ends = self._ranges(known, length, x)
        firsts, lasts = self._ranges(known, length, y)
        rows = numpy.flatnonzero((starts <= ends) & (firsts <= lasts))

        def at(rows: Any, xs: Any) -> Any:
            part = {**{place: values[rows] for place, values in known.items()}, x: xs}
            return numpy.stack([rows, xs, *self._edges(part, y, firsts[rows], lasts[rows])])

        left, right = at(rows, starts[rows]), at(rows, ends[rows])
        found = [left, right]
        while True:
            open_ones = (left[2:] != right[2:]).any(axis=0) & (right[1] - left[1] > 1)
            if not open_ones.any():
                break
            left, right = left[:, open_ones], right[:, open_ones]
            middle = at(left[0], (left[1] + right[1]) >> 1)
            found.append(middle)
            if sum(part.shape[1] for part in found) > MAX_TRIED:
                raise self._too_many(MAX_TRIED, x)
            left, right = numpy.hstack([left, middle]), numpy.hstack([middle, right])
        points = numpy.hstack(found)
        points = points[:, numpy.lexsort((points[1], points[0]))]
        yield from self._steps([known[place] for place in outer], x, y, points.T.tolist())

    def _steps(self, columns: Sequence[Any], x: int, y: int, points: Sequence[Sequence[int]]) -> Iterator[Row]:
        """Points (row, x, least y, greatest y) in order → a row of sets for each step of the stairs."""
        for (number, least, greatest), group in groupby(points, key=lambda point: (point[0], *point[2:])):
            xs = [point[1] for point in group]
            sets = _between(xs[0], xs[-1]) & self.allowed[x], _between(least, greatest) & self.allowed[y]
            if all(sets):
                yield Row((*(Integers.of([int(column[number])]) for column in columns), *sets))

    def _edges(self, known: Arrays, place: int, firsts: Any, lasts: Any) -> tuple[Any, Any]:
        """Between which values the last unknown lies, the others being known: `firsts` and `lasts` at the utmost.

        Where there are none, the first is beyond the last; both still move with the others as if there were some.
        """
        import numpy

        length = len(firsts)
        low, high = (cast("Any", numpy.empty(length, dtype=numpy.int64)) for _ in range(2))
        todo = [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]
        while todo:
            start, stop = todo.pop()
            part = {other: values[start:stop] for other, values in known.items()}
            first, last = firsts[start:stop], lasts[start:stop]
            tops = [int(part[n].max()) if n in part else self.high[n] for n in range(len(self.names))]
            if self._is_narrow(tops, place, int(last.max())):
                low[start:stop], high[start:stop], _ = self._bisected(part, place, first, last)
            elif stop - start == 1:
                values = [int(part[n][0]) if n in part else self.low[n] for n in range(len(self.names))]
                least, most = ([*values[:place], int(end[0]), *values[place + 1 :]] for end in (first, last))
                low[start], high[start] = self.limits.edges(least, most, place)
            else:
                middle = (start + stop) // 2
                todo += [(start, middle), (middle, stop)]
        return low, high

    # --- the last unknown, row by row

    def _within(self, place: int) -> Integers:
        return self.allowed[place] & Integers.between(self.low[place], self.high[place])

    def _is_endless(self, place: int) -> bool:
        """Whether there's no end to an unknown, or one that NumPy's integers don't hold."""
        high = self.high[place]
        return high is None or high > WIDE

    def _narrowed(self) -> bool:
        """Narrow what each unknown may be, by what the others may; false if nothing is left."""
        for _ in range(50):
            before = [*self.low], [*self.high]
            for place, allowed in enumerate(self.allowed):
                ends = self.limits.ends(self.low, self.high, place)
                low = None if ends is None else allowed.up(ends[0])
                if ends is None or low is None:
                    return False
                high = None if ends[1] is None else allowed.down(ends[1])
                if ends[1] is not None and (high is None or high < low):
                    return False
                self.low[place], self.high[place] = low, high
            if before == (self.low, self.high):
                break
        return True

    def _tried(self, outer: Sequence[int]) -> Arrays:
        """All combinations of the outer unknowns that may have a solution."""
        known: Arrays = {}
        length = 1
        for place in outer:
            members = self._members(place, MAX_TRIED)
            lows, highs = self._ranges(known, length, place)
            known = self._extended(known, place, members, lows, highs, MAX_TRIED)
            known = self._kept(known, [n for n, uses in enumerate(self.uses) if place in uses and uses <= {*known}])
            length = len(known[place])
        return known

    def _members(self, place: int, limit: int) -> Any:
        import numpy

        within, last = self._within(place), self.high[place]
        if last is None or self._is_endless(place) or (within.count or 0) > limit:
            raise self._too_many(limit, place)
        return numpy.fromiter(within.up_to(last), dtype=numpy.int64)

    def _too_many(self, limit: int, place: int) -> Unsolvable:
        """What is said where each of so many numbers would need a line of its own."""
        name, last = self.names[place], self.high[place]
        others = " and ".join(other for other in self.names if other != name)
        many = f"{name} can be as large as {last:,}, and" if last is not None else f"{name} can be very large, and"
        squares = "squares alone: --square; or a number for one of both: --input H=224"
        return Unsolvable(
            f"{many} what {others} may be has to be found for each {name}: more than {limit:,} combinations",
            squares if {*self.names} == {"H", "W"} else f"a range helps: --set {name}=1..100",
        )

    def _extended(self, known: Arrays, place: int, members: Any, lows: Any, highs: Any, limit: int) -> Arrays:
        """Each row once for each member of one more unknown that lies in the row's range."""
        import numpy

        first, beyond = numpy.searchsorted(members, lows, "left"), numpy.searchsorted(members, highs, "right")
        counts = numpy.maximum(beyond - first, 0)
        total = int(counts.sum())
        if total > limit:
            raise self._too_many(limit, place)
        index = numpy.repeat(numpy.arange(len(counts)), counts)
        steps = numpy.arange(total) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
        return {**{other: values[index] for other, values in known.items()}, place: members[first[index] + steps]}

    def _ranges(self, known: Arrays, length: int, place: int) -> tuple[Any, Any]:
        """For each row between which values one more unknown can lie, the rest being somewhere in its limits."""
        import numpy

        lows, highs = numpy.ones(length, dtype=numpy.int64), numpy.zeros(length, dtype=numpy.int64)
        todo = [(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]
        while todo:
            start, stop = todo.pop()
            part = {other: values[start:stop] for other, values in known.items()}
            low, high = list(self.low), list(self.high)
            for other, values in part.items():
                low[other], high[other] = int(values.min()), int(values.max())
            ends = self.limits.ends(low, high, place)
            if ends is None or ends[1] is None:
                continue
            if low == high or stop - start == 1:
                lows[start:stop], highs[start:stop] = ends[0], ends[1]
            elif self._is_narrow(high, place, ends[1]):
                smallest, greatest, possible = self._bisected(part, place, ends[0], ends[1])
                lows[start:stop], highs[start:stop] = smallest, numpy.where(possible, greatest, 0)
            else:
                middle = (start + stop) // 2
                todo += [(start, middle), (middle, stop)]
        return lows, highs

    def _is_narrow(self, high: Sequence[int | None], place: int, end: int) -> bool:
        """Whether 64 bits are enough for everything that is computed on the way."""
        tops = [end if n == place else self.low[n] if top is None else top for n, top in enumerate(high)]
        moved = self.limits.moved(tops)
        return max(self.limits.grow.bound(moved), self.limits.fall.bound(moved), *tops) < WIDE

    def _bisected(self, known: Arrays, place: int, first: Any, last: Any) -> tuple[Any, Any, Any]:
        """For many rows the least and the greatest value within `first` and `last`, and whether there is any."""
        limits, length = self.limits, len(next(iter(known.values())))
        grow, fall = limits.arrays
        low: list[Any] = [known.get(n, first if n == place else self.low[n]) for n in range(len(self.names))]
        tops = [self.low[n] if top is None else top for n, top in enumerate(self.high)]
        high: list[Any] = [known.get(n, last if n == place else tops[n]) for n in range(len(self.names))]
        least, most = grow(*limits.moved(low)), fall(*limits.moved(high))
        ends = [last if n == place or n in known else self.high[n] for n in range(len(self.names))]

        def fits(values: Any) -> Any:
            found = grow(*limits.moved([*low[:place], values, *low[place + 1 :]]))
            return self._all(length, (found[bound] <= most[bound] for bound in limits.upper(ends, place)))

        def misses(values: Any) -> Any:
            found = fall(*limits.moved([*high[:place], values, *high[place + 1 :]]))
            return ~self._all(length, (least[bound] <= found[bound] for bound in limits.lower(ends, place)))

        possible = self._all(length, (least[bound] <= most[bound] for bound in limits.usable(ends)))
        return _last_ones(misses, first, last, length) + 1, _last_ones(fits, first, last, length), possible

    @staticmethod
    def _all(length: int, truths: Iterable[Any]) -> Any:
        import numpy

        found = numpy.ones(length, dtype=bool)
        for truth in truths:
            found &= truth
        return found

    def _kept(self, known: Arrays, relations: Sequence[int]) -> Arrays:
        """The rows that meet some relations, whose unknowns are all known: compared exactly."""
        import numpy

        length = len(next(iter(known.values())))
        if not relations or not length:
            return known
        masks = []
        for start in range(0, length, 16 * BLOCK):
            part = {place: values[start : start + 16 * BLOCK] for place, values in known.items()}
            size = len(next(iter(part.values())))
            masks.append(self._all(size, (self._truth(relation, part) for relation in relations)))
        mask = numpy.concatenate(masks)
        return {place: values[mask] for place, values in known.items()}

    def _truth(self, relation: int, known: Arrays) -> Any:
        import numpy

        program = self._program(relation)
        columns = [known[place] for place in sorted(self.uses[relation])]
        if program is None:
            return self._valued(relation, columns)
        largest = [int(values.max()) for values in columns]
        kind = self.relations[relation].relation
        if program.bound(largest) < WIDE:
            try:
                with numpy.errstate(divide="raise", invalid="raise"):
                    result, *checks = program.numpy()(*columns)
                truth = compare(result, kind, 0)
                for check in checks:
                    truth = truth & (check == 0)
                return truth
            except FloatingPointError:
                pass  # a division by 0 somewhere: those rows are no solutions
        function = program.python()
        rows = zip(*(values.tolist() for values in columns), strict=True)
        return numpy.array([_holds(function, row, kind) for row in rows], dtype=bool)

    def _valued(self, relation: int, columns: Sequence[Any]) -> Any:
        """The same where a relation can't be compiled: one value after the other."""
        import numpy

        if len(columns[0]) > MAX_VALUED:
            raise Unsolvable(f"can't solve {self.relations[relation]}", "give what is open ranges: --set k=1..20")
        names = [self.names[place] for place in sorted(self.uses[relation])]
        rows = zip(*(values.tolist() for values in columns), strict=True)
        holds = self.relations[relation].holds
        return numpy.array([holds(dict(zip(names, row, strict=True))) for row in rows], dtype=bool)

    def _program(self, relation: int) -> Program | None:
        if relation not in self._programs:
            import sympy

            condition = self.relations[relation]
            difference = sympy.sympify(condition.left) - sympy.sympify(condition.right)
            used = [self.symbols[place] for place in sorted(self.uses[relation])]
            try:
                self._programs[relation] = Program([as_fraction(difference)[0]], used)
            except Uncompilable:
                self._programs[relation] = None
        return self._programs[relation]

    def _lasts(self, outer: Sequence[int], last: int, tried: Arrays) -> list[Integers]:
        """For each row what the last unknown may be."""
        length = len(tried[outer[0]]) if outer else 1
        about = [n for n, uses in enumerate(self.uses) if last in uses]
        if self._is_endless(last):
            return self._solved(outer, last, tried, about, [self.allowed[last]] * length)
        lows, highs = self._ranges(tried, length, last)
        unsettled = [n for n in about if not self._is_settled(n, last)]
        ranges = list(zip(lows.tolist(), highs.tolist(), strict=True))
        sets = {ends: _between(*ends) & self.allowed[last] for ends in {*ranges}}
        if not unsettled:
            return [sets[ends] for ends in ranges]
        if sum(sets[ends].count or 0 for ends in ranges) <= MAX_CELLS and (self._within(last).count or 0) <= MAX_CELLS:
            return self._looked_at(tried, length, last, unsettled, lows, highs)
        return self._solved(outer, last, tried, unsettled, [sets[ends] for ends in ranges])

    def _is_settled(self, relation: int, last: int) -> bool:
        """Whether bisecting says all about it: it has bounds, and each either grows or falls with the last unknown."""
        bounds = self.limits.of_relation[relation]
        return self.limits.exact[relation] and not any(
            last in self.limits.growing[bound] and last in self.limits.falling[bound] for bound in bounds
        )

    def _looked_at(
        self, tried: Arrays, length: int, last: int, relations: Sequence[int], lows: Any, highs: Any
    ) -> list[Integers]:
        import numpy

        row = len(self.names)  # one more column: which row it is
        cells = {**tried, row: numpy.arange(length)}
        cells = self._kept(
            self._extended(cells, last, self._members(last, MAX_CELLS), lows, highs, MAX_CELLS), relations
        )
        found = [Integers()] * length
        pairs = zip(cells[row].tolist(), cells[last].tolist(), strict=True)
        for number, group in groupby(pairs, key=lambda pair: pair[0]):
            found[number] = Integers.of(value for _, value in group)
        return found

    def _solved(
        self, outer: Sequence[int], last: int, tried: Arrays, relations: Sequence[int], within: list[Integers]
    ) -> list[Integers]:
        """The last unknown solved for, row by row."""
        if len(within) > MAX_SOLVED:
            raise self._too_many(MAX_SOLVED, outer[0])
        rows = zip(*(tried[place].tolist() for place in outer), strict=True) if outer else [()]
        found = []
        for numbers, allowed in zip(rows, within, strict=True):
            values = {self.symbols[place]: number for place, number in zip(outer, numbers, strict=True)}
            for relation in relations:
                if allowed:
                    allowed = allowed & self._one(self.relations[relation], values, self.symbols[last])
            found.append(allowed)
        return found

    def _one(self, condition: Any, values: Mapping[Any, int], symbol: Any) -> Integers:
        left, right = (side.subs(values) if is_symbolic(side) else side for side in (condition.left, condition.right))
        found = solve(left, condition.relation, right, symbol)
        if found is None:
            name = symbol.name
            raise Unsolvable(f"can't solve {condition} for {name}", f"give {name} a range: --set {name}=1..100")
        return found

    def _gathered(self, outer: Sequence[int], tried: Arrays, lasts: Sequence[Integers]) -> Iterator[Row]:
        """The rows that have solutions; neighbours that differ in the last outer unknown alone, as one."""
        columns = [tried[place].tolist() for place in outer]
        rows = [row for row in zip(*columns, lasts, strict=True) if row[-1]] if outer else [(lasts[0],)]
        single = cache(lambda n: Integers([Segment(n, n)]))
        for _, group in groupby(rows, key=lambda row: (*row[:-2], row[-1]) if outer else row):
            members = list(group)
            *ahead, found = members[0]
            if not found:
                continue
            sets = [single(n) for n in ahead]
            if len(members) > 1:
                sets[-1] = Integers.of(row[-2] for row in members)
            yield Row((*sets, found))


def _between(first: int, last: int) -> Integers:
    return Integers.between(first, last) if first <= last else Integers()


def _holds(function: Any, numbers: Sequence[int], relation: str) -> bool:
    try:
        result, *checks = function(*numbers)
    except ZeroDivisionError:
        return False
    return bool(compare(result, relation, 0)) and not any(checks)


def _last_ones(fits: Any, first: Any, last: Any, length: int) -> Any:
    """For each row the last number from `first` to `last` that fits, if all up to it do; `first` - 1 if none does."""
    import numpy

    nothing = numpy.zeros(length, dtype=numpy.int64)
    low, high = nothing + first - 1, nothing + last
    while (low < high).any():
        middle = (low + high + 1) >> 1
        truth = fits(middle)
        low, high = numpy.where(truth, middle, low), numpy.where(truth, high, middle - 1)
    return low
