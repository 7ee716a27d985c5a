"""Sets of positive integers that end in a pattern: ranges, residue classes, and unions of both, exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from archcalc.errors import UsageError

MANY_RANGES, REPEATS = 10, 3
"""Of so many ranges the pattern is looked for, which must repeat so often."""
MAX_PERIOD = 1 << 16
"""The longest pattern that two sets may make together."""


class Unsolvable(UsageError):
    """What is asked can't be answered exactly: an expression of another kind, or too long a pattern."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The integers from `first` to `last` (None: without end) whose remainder by `period` is in `residues`."""

    first: int
    last: int | None
    period: int = 1
    residues: frozenset[int] = frozenset({0})

    def __contains__(self, number: int) -> bool:
        inside = self.first <= number and (self.last is None or number <= self.last)
        return inside and number % self.period in self.residues

    def __and__(self, other: Segment) -> Segment | None:
        first = max(self.first, other.first)
        ends = [end for end in (self.last, other.last) if end is not None]
        last = min(ends) if ends else None
        if last is not None and last < first:
            return None
        period, residues = math.lcm(self.period, other.period), frozenset(_common_residues(self, other))
        return Segment(first, last, period, residues) if residues else None

    def over(self, period: int) -> frozenset[int]:
        """The residues by a multiple of the period."""
        if period == self.period:
            return self.residues
        return frozenset(start + r for start in range(0, period, self.period) for r in self.residues)

    @property
    def count(self) -> int | None:
        """How many members there are; None: no end."""
        if self.last is None:
            return None
        return sum((self.last - r) // self.period - (self.first - 1 - r) // self.period for r in self.residues)

    def runs(self) -> Iterator[tuple[int, int | None, int]]:
        """The same as runs of equal steps: the first, the last (None: no end), and the step."""
        for residue in sorted(self.residues, key=lambda residue: (residue - self.first) % self.period):
            first = self.first + (residue - self.first) % self.period
            last = None if self.last is None else self.last - (self.last - residue) % self.period
            if last is None or first <= last:
                yield first, last, self.period

    def up(self, number: int) -> int | None:
        """The least member that is `number` or more."""
        start = max(number, self.first)
        found = min((start + (r - start) % self.period for r in self.residues), default=None)
        return found if found is not None and found in self else None

    def down(self, number: int) -> int | None:
        """The greatest member that is `number` or less."""
        start = number if self.last is None else min(number, self.last)
        found = max((start - (start - r) % self.period for r in self.residues), default=None)
        return found if found is not None and found in self else None


class Integers:
    """A set of positive integers, maybe without end: disjoint segments in order.

    `in`, `&`, `|` and `==` work on all; iterating and `len` on those that have an end, of others see `up_to`.

    >>> import archcalc
    >>> numbers = archcalc.Integers.of(range(32, 257, 32))
    >>> numbers
    Integers(multiples of 32 to 256)
    >>> 160 in numbers, numbers.min, numbers.max, list(numbers & archcalc.Integers.between(100, 200))
    (True, 32, 256, [128, 160, 192])
    """

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self.segments = tuple(_merged(segments))

    @classmethod
    def between(cls, first: int = 1, last: int | None = None) -> Integers:
        """All integers of a range; without `last` it has no end."""
        return cls([Segment(max(first, 1), last)])

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Integers:
        """The given numbers, runs of equal steps as one segment, many runs as the pattern that they repeat.

        A range isn't gone through.

        >>> import archcalc
        >>> print(archcalc.Integers.of([1, 2, 3, 16, 32, 48]))
        1..3; multiples of 16 to 48
        """
        if isinstance(numbers, range) and numbers and numbers[0] > 0 and numbers.step > 0:
            return cls([Segment(numbers[0], numbers[-1], numbers.step, frozenset({numbers[0] % numbers.step}))])
        ordered = sorted({number for number in numbers if number > 0})
        runs = list(_runs(ordered))
        if len(runs) < MANY_RANGES:
            return cls(runs)
        return min(cls(runs), cls(Segment(n, n) for n in ordered), key=lambda found: len(found.segments))

    @classmethod
    def union(cls, sets: Iterable[Integers]) -> Integers:
        """The integers that are in any of the sets.

        >>> from archcalc import Integers
        >>> Integers.union([Integers.between(1, 3), Integers.of([7]), Integers.between(2, 5)])
        Integers(1..5; 7)
        """
        segments = {segment for numbers in sets for segment in numbers.segments}
        plain = sorted(((s.first, s.last) for s in segments if s.period == 1), key=lambda ends: ends[0])
        rest = [cls(_overlapping_joined(plain)), *(cls([segment]) for segment in segments if segment.period > 1)]
        while len(rest) > 1:
            rest = [a | b for a, b in zip(rest[::2], [*rest[1::2], cls()], strict=False)]
        return rest[0]

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and any(number in segment for segment in self.segments)

    def __iter__(self) -> Iterator[int]:
        if self.is_endless:
            raise UsageError(f"there is no end to '{self}'", "up_to(1000) has an end")
        return self.up_to(self.max or 0)

    def __len__(self) -> int:
        if (count := self.count) is None:
            raise UsageError(f"there is no end to '{self}'", "up_to(1000) has an end")
        return count

    def __bool__(self) -> bool:
        return bool(self.segments)

    def __and__(self, other: Integers) -> Integers:
        if other == EVERYTHING:
            return self
        pairs = (a & b for a in self.segments for b in other.segments)
        return Integers(sorted((found for found in pairs if found), key=lambda segment: segment.first))

    def __or__(self, other: Integers) -> Integers:
        cuts = sorted({cut for s in (*self.segments, *other.segments) for cut in (s.first, (s.last or 0) + 1)} - {1})
        return Integers(_united(self.segments, other.segments, [1, *cuts]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Integers) and self.segments == other.segments

    def __hash__(self) -> int:
        return hash(self.segments)

    def __repr__(self) -> str:
        return f"Integers({self})"

    def up_to(self, last: int) -> Iterator[int]:
        """The members up to a number, in order."""
        for segment in self.segments:
            end = last if segment.last is None else min(last, segment.last)
            for start in range(segment.first - segment.first % segment.period, end + 1, segment.period):
                yield from (n for r in sorted(segment.residues) if (n := start + r) in segment and n <= last)

    def up(self, number: int) -> int | None:
        """The least member that is `number` or more."""
        return next((n for segment in self.segments if (n := segment.up(number)) is not None), None)

    def down(self, number: int) -> int | None:
        """The greatest member that is `number` or less."""
        return next((n for segment in reversed(self.segments) if (n := segment.down(number)) is not None), None)

    @property
    def count(self) -> int | None:
        """How many members there are; None: no end."""
        counts = [segment.count for segment in self.segments]
        return None if None in counts else sum(count for count in counts if count is not None)

    @cached_property
    def min(self) -> int | None:
        """The least member; None of an empty set."""
        return self.up(1)

    @property
    def max(self) -> int | None:
        """The greatest member; None if there is none."""
        last = self.segments[-1].last if self.segments else None
        return None if last is None else self.segments[-1].down(last)

    @property
    def is_endless(self) -> bool:
        """Whether there's no greatest member."""
        return bool(self.segments) and self.segments[-1].last is None

    def nearest(self, number: int) -> list[int]:
        """The nearest members on both sides (itself, if it's one)."""
        return sorted({n for n in (self.down(number), self.up(number)) if n is not None})

    def text(self, name: str = "n") -> str:
        """As a condition: `32 <= n <= 63`, `n % 32 == 0`, alternatives joined by `or`."""
        if not self.segments:
            return f"no {name}"
        return " or ".join(_condition(segment, name) for segment in self.segments)

    def __str__(self) -> str:
        return "; ".join(map(_told, self.segments)) or "none"


def _common_residues(a: Segment, b: Segment) -> Iterator[int]:
    """The residues by both periods' least common multiple that both have, by the Chinese remainder theorem."""
    if len(a.residues) * len(b.residues) > MAX_PERIOD and a.period % b.period and b.period % a.period:
        raise _too_long(math.lcm(a.period, b.period))
    a, b = (a, b) if a.period >= b.period else (b, a)
    common = math.gcd(a.period, b.period)
    if b.period == common:
        yield from (r for r in a.residues if r % b.period in b.residues)
        return
    inverse = pow(a.period // common, -1, b.period // common)
    for r in a.residues:
        for s in b.residues:
            if (s - r) % common == 0:
                yield r + a.period * ((s - r) // common * inverse % (b.period // common))


def _too_long(period: int) -> Unsolvable:
    return Unsolvable(f"the sizes follow a pattern that repeats only after {period:,}", "give a range: 1..1000")


def _joint_period(*periods: int) -> int:
    period = math.lcm(*periods)
    if period > MAX_PERIOD and len(periods) > 1:
        raise _too_long(period)
    return period


def _united(ones: Sequence[Segment], others: Sequence[Segment], cuts: Sequence[int]) -> Iterator[Segment]:
    """The union of two rows of disjoint segments, piece by piece between all places where one begins or ends."""
    places = [0, 0]
    for number, first in enumerate(cuts):
        last = cuts[number + 1] - 1 if number + 1 < len(cuts) else None
        here = []
        for side, segments in enumerate((ones, others)):
            while places[side] < len(segments) and (segments[places[side]].last or first) < first:
                places[side] += 1
            if places[side] < len(segments) and segments[places[side]].first <= first:
                here.append(segments[places[side]])
        if here:
            period = _joint_period(*(segment.period for segment in here))
            yield Segment(first, last, period, frozenset().union(*(segment.over(period) for segment in here)))


def _overlapping_joined(ranges: Iterable[tuple[int, int | None]]) -> Iterator[Segment]:
    """Ranges in the order of their starts, those that overlap as one."""
    start: int | None = None
    end: int | None = 0
    for first, last in ranges:
        if start is not None and end is not None and first > end + 1:
            yield Segment(start, end)
            start, end = first, last
        else:
            start = first if start is None else start
            end = None if end is None or last is None else max(end, last)
    if start is not None:
        yield Segment(start, end)


def _runs(numbers: Sequence[int]) -> Iterator[Segment]:
    """Numbers in order as ranges and as runs of at least three equal steps."""
    place = 0
    while place < len(numbers):
        step = numbers[place + 1] - numbers[place] if place + 1 < len(numbers) else 1
        end = place + 1
        while end < len(numbers) and numbers[end] - numbers[end - 1] == step:
            end += 1
        if step > 1 and (end - place < 3 or (end < len(numbers) and numbers[end] - numbers[end - 1] == 1)):
            end = place + 1 if end - place < 3 else end - 1
            step = 1 if end - place == 1 else step
        yield Segment(numbers[place], numbers[end - 1], step, frozenset({numbers[place] % step}))
        place = end


def _patterned(found: list[Segment]) -> list[Segment]:
    """Many ranges as one segment, if what they have between their ends repeats; else as they are.

    The first and the last range may be cut off.
    """
    if len(found) < MANY_RANGES or any(segment.period > 1 or segment.last is None for segment in found):
        return found
    ends = [(segment.first, segment.last or 0) for segment in found]
    inside = [(last - first, after - first) for (first, last), (after, _) in pairwise(ends[1:])]
    overlaps = [0] * len(inside)  # how far what leads up to each repeats the start (Knuth, Morris & Pratt 1977)
    for place in range(1, len(inside)):
        length = overlaps[place - 1]
        while length and inside[place] != inside[length]:
            length = overlaps[length - 1]
        overlaps[place] = length + (inside[place] == inside[length])
    cycle = len(inside) - overlaps[-1]
    period = sum(step for _, step in inside[:cycle])
    residues = {n % period for first, last in ends[1 : cycle + 1] for n in range(first, last + 1)}
    whole = Segment(ends[0][0], ends[-1][1], period, frozenset(residues))
    same = whole.count == sum(last - first + 1 for first, last in ends)
    if len(inside) < REPEATS * cycle or not same:
        return found
    return [whole] if all(n in whole for first, last in (ends[0], ends[-1]) for n in range(first, last + 1)) else found


def _condition(segment: Segment, name: str) -> str:
    first, last = segment.first, segment.last
    parts = []
    if first == last:
        return f"{name} == {first}"
    if last is not None:
        parts.append(f"{first} <= {name} <= {last}")
    elif segment.period == 1 or replace(segment, first=1, last=first - 1).up(1):
        parts.append(f"{name} >= {segment.up(first)}")
    if segment.period > 1:
        rest = sorted(segment.residues)
        several = f"in ({', '.join(map(str, rest))})" if len(rest) > 1 else f"== {rest[0]}"
        parts.append(f"{name} % {segment.period} {several}")
    return " and ".join(parts)


def _told(segment: Segment) -> str:
    first, last = segment.first, segment.last
    if segment.period == 1:
        return str(first) if first == last else f"{first} and more" if last is None else f"{first}..{last}"
    least, start = segment.up(1), ""
    if least != min(r or segment.period for r in segment.residues):
        start = f" from {least}"
    end = f" to {segment.down(last)}" if last is not None else ""
    if segment.residues == {0}:
        return f"multiples of {segment.period}{start}{end}"
    rest = ", ".join(map(str, sorted(segment.residues)))
    return f"{rest} (mod {segment.period}){start}{end}"


def _merged(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Disjoint segments in order → the fewest: short ones as ranges, neighbours joined, the pattern begun early."""
    found: list[Segment] = []
    for segment in segments:
        for part in _simple(segment):
            joined = _joined(found[-1], part) if found else None
            if joined:
                found[-1] = joined
            else:
                found.append(part)
    return iter(_pattern_first(_patterned(found)))


def _simple(segment: Segment) -> Iterator[Segment]:
    """A segment with its least period; a short one as ranges."""
    period, residues = segment.period, segment.residues
    for times in range(len(residues), 1, -1):
        if len(residues) % times == 0 and period % times == 0:
            kept = frozenset(r % (period // times) for r in residues)
            if len(kept) * times == len(residues):
                period, residues = period // times, kept
                break
    if segment.last is None or segment.last - segment.first >= 2 * period:
        yield Segment(segment.first, segment.last, period, residues)
        return
    first = segment.first - segment.first % period
    members = [
        n for start in range(first, segment.last + 1, period) for r in sorted(residues) if (n := start + r) in segment
    ]
    for place, number in enumerate(members):
        if place == 0 or members[place - 1] < number - 1:
            start = number
        if place + 1 == len(members) or members[place + 1] > number + 1:
            yield Segment(start, number)


def _joined(a: Segment, b: Segment) -> Segment | None:
    if (a.period, a.residues) == (b.period, b.residues) and a.last is not None and a.last + 1 == b.first:
        return Segment(a.first, b.last, a.period, a.residues)
    return None


def _pattern_first(found: list[Segment]) -> list[Segment]:
    """Ranges before an endless pattern that follow it already become a part of it."""
    if not found or found[-1].last is not None:
        return found
    tail, head = found[-1], found[:-1]
    members = {
        n for s in head if s.last is not None for n in range(max(s.first, tail.first - 4096), s.last + 1) if n in s
    }
    first = tail.first
    while first > max(1, tail.first - 4096) and ((first - 1) in members) == (
        (first - 1) % tail.period in tail.residues
    ):
        first -= 1
    rest = []
    for segment in head:
        if segment.first < first:
            last = segment.last if segment.last is None else min(segment.last, first - 1)
            rest.append(Segment(segment.first, last, segment.period, segment.residues))
    return [*rest, Segment(first, None, tail.period, tail.residues)]


EVERYTHING = Integers.between()
