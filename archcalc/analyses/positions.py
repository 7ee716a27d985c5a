"""Sets of values in a volume, exact, and small where they are regular.

A value has a position and a channel. What is asked for and told are positions: one is seen if any channel of it is.

Along the last axis a set is an integer's bits. Along the others positions with equal slices share one: a box is one
slice on each axis, a cross two. Every set has one form, so that equal sets are equal objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from archcalc.errors import UsageError
from archcalc.layers.reads import Axes, Everywhere, Factors, Reads, Relation, bits_of, factored
from archcalc.shape import AXES, Shape
from archcalc.symbolic import Dim, is_symbolic, known
from archcalc.work import spend

MANY = 64
"""Slices of an irregular set from which on each step is counted as work."""

Slices: TypeAlias = Any
"""Bits on the last axis; on those before it ((bits, slices), …), no position and no slices twice, none empty."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A set of values in a volume, or of positions: the sizes of all axes (but C), and the slices along them."""

    axes: tuple[tuple[str, Dim], ...]
    slices: Slices

    @classmethod
    def everything(cls, shape: Shape) -> Seen:
        """All values of a volume."""
        return cls.box(shape, {})

    @classmethod
    def nothing(cls, shape: Shape) -> Seen:
        """No value of a volume."""
        axes = tuple(shape.items())
        return cls(axes, () if len(axes) > 1 else 0)

    @classmethod
    def box(cls, shape: Shape, position: Mapping[str, int]) -> Seen:
        """One position with all its channels; all along the axes that are left out."""
        sides = [1 << position[axis] if axis in position else (1 << known(size)) - 1 for axis, size in shape.items()]
        return cls(tuple(shape.items()), _box(sides))

    @classmethod
    def of(cls, shape: Shape, positions: Iterable[Sequence[int]]) -> Seen:
        """The given positions, coordinates in the order of the axes."""
        axes = tuple(positions_of(shape).items())
        return cls(axes, _gathered(list(positions), len(axes)))

    @property
    def without_channels(self) -> Seen:
        """The positions of which any channel is seen."""
        names = [axis for axis, _ in self.axes]
        if "C" not in names:
            return self
        place, axes = names.index("C"), tuple(axis for axis in self.axes if axis[0] != "C")
        return Seen(axes, _projected(self.slices, place, len(names)))

    @property
    def sizes(self) -> dict[str, Dim]:
        """The volume's sizes along these axes."""
        return dict(self.axes)

    @property
    def count(self) -> int:
        """How many positions are seen."""
        return _count(self.slices)

    def positions(self) -> list[tuple[int, ...]]:
        """The coordinates of all positions, in order."""
        return sorted(position[: len(self.axes)] for position in _positions(self.slices))

    def bits(self, axis: str) -> int:
        """The positions along one axis, whatever those along the others are."""
        return _along(self.slices, [name for name, _ in self.axes].index(axis))

    def interval(self, axis: str) -> tuple[int, int] | None:
        """The first and the last position along an axis; None if nothing is seen."""
        bits = self.bits(axis)
        return ((bits & -bits).bit_length() - 1, bits.bit_length() - 1) if bits else None

    @property
    def share(self) -> float:
        """The share of the hull that is really seen: less than 1 where dilation or strides leave gaps."""
        sides = [interval[1] - interval[0] + 1 for axis, _ in self.axes if (interval := self.interval(axis))]
        return self.count / prod(sides) if self else 0.0

    @property
    def weight(self) -> int:
        """How much there is to go through: slices, and more where they are long."""
        return _weight(self.slices)

    def __bool__(self) -> bool:
        return bool(self.slices)

    def __or__(self, other: Seen) -> Seen:
        return Seen(self.axes, _joined(self.slices, other.slices))


def positions_of(shape: Shape) -> dict[str, Dim]:
    """The sizes along all axes but C, in the order of the volume's axes."""
    return {axis: shape[axis] for axis in AXES if axis in shape and axis != "C"}


def middle_of(shape: Shape) -> dict[str, int]:
    """The position in the middle; of two, the later one.

    Raises: UsageError: a size is symbolic.
    """
    if any(map(is_symbolic, positions_of(shape).values())):
        hint = "give them values, as in --set R=300"
        raise UsageError(f"{shape} has no middle: that needs numbers for all sizes", hint)
    return {axis: known(size) // 2 for axis, size in positions_of(shape).items()}


def read(reads: Reads, seen: Seen, x: Shape, y: Shape) -> Seen:
    """What is read of an input `x` to compute the positions `seen` of the output `y`."""
    if not seen:
        return Seen.nothing(x)
    if reads.all_of_it or (reads.groups and seen == Seen.everything(y)):
        return Seen.everything(x)
    if reads.groups:
        mine, yours = reads.factors
        slices = _in_factors(seen.slices, y, yours)
        slices = _renumbered(reads.groups, slices, factored(x, mine), factored(y, yours))
        return Seen(tuple(x.items()), _without_factors(slices, x, mine))
    slices, names = seen.slices, [axis for axis, _ in seen.axes]
    for axis in [axis for axis in names if axis not in x]:
        slices = _projected(slices, names.index(axis), len(names))
        names.remove(axis)
    for place, (axis, size) in enumerate(x.items()):
        relation = reads.along.get(axis)
        if axis not in names:  # one that the output lacks: each of its positions reads the same ones
            slices = _inserted(slices, place, relation.read_by(1, known(size)) if relation else 1, len(names))
            names.insert(place, axis)
        elif relation is not None:
            slices = _image(slices, place, _reader(relation, size))
        elif size != y[axis]:  # broadcast, or a kind that doesn't say
            slices = _image(slices, place, _reader(Everywhere(), size))
    return Seen(tuple(x.items()), slices)


def _reader(relation: Relation, size: Dim) -> Callable[[int], int]:
    number = known(size)
    return lambda bits: relation.read_by(bits, number)


def _renumbered(
    groups: Sequence[tuple[Axes, Axes]], slices: Slices, x: Mapping[str, Dim], y: Mapping[str, Dim]
) -> Slices:
    """Group by group, from the last: numbered along one axis, and numbered as the input does; then in its order."""
    names = list(y)
    for place in reversed(range(len(groups))):
        mine, yours = groups[place]
        start = sum(len(axes) for _, axes in groups[:place])
        if mine != yours or any(x[axis] != y[axis] for axis in mine):
            slices = _as_one(slices, len(names), start, [known(y[axis]) for axis in yours])
            names[start : start + len(yours)] = [""]
            slices = _as_many(slices, len(names), start, [known(x[axis]) for axis in mine])
            names[start : start + 1] = mine
    for target, axis in enumerate(x):
        for place in range(names.index(axis), target, -1):
            slices = _swapped(slices, place - 1)
            names[place - 1], names[place] = names[place], names[place - 1]
    return slices


def _in_factors(slices: Slices, shape: Shape, factors: Factors) -> Slices:
    """The same values, with factors in place of the axes that have some."""
    depth = len(shape)
    for place, axis in reversed(list(enumerate(shape))):
        if axis in factors:
            slices = _as_many(slices, depth, place, [*map(known, factors[axis].values())])
            depth += len(factors[axis]) - 1
    return slices


def _without_factors(slices: Slices, shape: Shape, factors: Factors) -> Slices:
    """The inverse of `_in_factors`."""
    depth = len(factored(shape, factors))
    for place, axis in enumerate(shape):
        if axis in factors:
            slices = _as_one(slices, depth, place, [*map(known, factors[axis].values())])
            depth -= len(factors[axis]) - 1
    return slices


def _as_one(slices: Slices, depth: int, start: int, sizes: Sequence[int]) -> Slices:
    """A group's axes as a single one."""
    if not sizes:
        return _inserted(slices, start, 1, depth)
    for place in range(len(sizes) - 1, 0, -1):
        slices = _merged(slices, start + place - 1, prod(sizes[place:]))
    return slices


def _as_many(slices: Slices, depth: int, start: int, sizes: Sequence[int]) -> Slices:
    """A single axis as a group's."""
    for place in range(len(sizes) - 1):
        slices = _split(slices, start + place, sizes[place], prod(sizes[place + 1 :]))
    return slices if sizes else _projected(slices, start, depth)


def _swapped(slices: Slices, place: int) -> Slices:
    """The axis at `place` and the next one exchanged."""
    if place:
        return _below(slices, lambda below: _swapped(below, place - 1))
    pieces: list[tuple[int, Slices]] = []
    for bits, below in slices:
        for others, rest in [(below, None)] if isinstance(below, int) else below:
            pieces = _with(pieces, others, bits if rest is None else ((bits, rest),))
    return _canonical(pieces)


def _box(sides: Sequence[int]) -> Slices:
    """All positions with each coordinate among its side's."""
    if not sides:
        return 1
    if not all(sides):
        return () if len(sides) > 1 else 0
    slices: Slices = sides[-1]
    for bits in reversed(sides[:-1]):
        slices = ((bits, slices),)
    return slices


def _gathered(positions: Sequence[Sequence[int]], depth: int) -> Slices:
    if depth == 0:
        return int(bool(positions))
    if depth == 1:
        return _union(1 << place for (place,) in positions)
    found: dict[int, list[Sequence[int]]] = {}
    for place, *others in positions:
        found.setdefault(place, []).append(others)
    return _canonical((1 << place, _gathered(others, depth - 1)) for place, others in found.items())


def _joined(a: Slices, b: Slices) -> Slices:
    if not a or not b or a == b:
        return a or b
    if isinstance(a, int):
        return a | b
    pieces = list(a)
    for bits, below in b:
        pieces = _with(pieces, bits, below)
    return _canonical(pieces)


def _with(pieces: list[tuple[int, Slices]], bits: int, below: Slices) -> list[tuple[int, Slices]]:
    """Disjoint pieces, with one more that may overlap them."""
    if len(pieces) > MANY:
        spend(len(pieces), "what single positions see")
    found = []
    for own, slices in pieces:
        common = own & bits
        if not common or slices == below:
            found.append((own, slices))
        else:
            found.append((common, _joined(slices, below)))
            if own != common:
                found.append((own ^ common, slices))
        bits &= ~common
    if bits:
        found.append((bits, below))
    return found


def _canonical(pieces: Iterable[tuple[int, Slices]]) -> Slices:
    """Disjoint pieces in the one form: equal slices together, the first position's first, nothing empty."""
    found: dict[Slices, int] = {}
    for bits, below in pieces:
        if bits and below:
            found[below] = found.get(below, 0) | bits
    return tuple(sorted(((bits, below) for below, bits in found.items()), key=lambda piece: piece[0] & -piece[0]))


def _below(slices: Slices, change: Callable[[Slices], Slices]) -> Slices:
    """The same change in each slice."""
    return _canonical((bits, change(below)) for bits, below in slices)


def _image(slices: Slices, place: int, reader: Callable[[int], int]) -> Slices:
    """The positions along one axis replaced by those that they read."""
    if place:
        return _below(slices, lambda below: _image(below, place - 1, reader))
    if isinstance(slices, int):
        return reader(slices)
    pieces: list[tuple[int, Slices]] = []
    for bits, below in slices:
        pieces = _with(pieces, reader(bits), below)
    return _canonical(pieces)


def _inserted(slices: Slices, place: int, bits: int, depth: int) -> Slices:
    """A new axis before the one at `place`, with the same positions everywhere."""
    if depth == 0:
        return bits if slices else 0
    if not slices or not bits:
        return ()
    if place == 0:
        return ((bits, slices),)
    if isinstance(slices, int):
        return ((slices, bits),)
    return _below(slices, lambda below: _inserted(below, place - 1, bits, depth - 1))


def _projected(slices: Slices, place: int, depth: int) -> Slices:
    """Without one axis: the positions that are seen anywhere along it."""
    if depth == 1:
        return int(bool(slices))
    if place == 0:
        found: Slices = ()
        for _, below in slices:
            found = _joined(found, below)
        return found or (0 if depth == 2 else ())
    if place == 1 and depth == 2:
        return _union(bits for bits, _ in slices)
    return _below(slices, lambda below: _projected(below, place - 1, depth - 1))


def _merged(slices: Slices, place: int, size: int) -> Slices:
    """The axis at `place` and the next one, which has `size` positions, numbered as one."""
    if place:
        return _below(slices, lambda below: _merged(below, place - 1, size))
    pieces: list[tuple[int, Slices]] = []
    last = 0
    for bits, below in slices:
        rows = int(("0" * (size - 1)).join(f"{bits:b}"), 2)
        if isinstance(below, int):
            last |= rows * below
        else:
            pieces += [(rows * columns, rest) for columns, rest in below]
    return _canonical(pieces) if pieces else last


def _split(slices: Slices, place: int, first: int, second: int) -> Slices:
    """The axis at `place`, `first` times `second` long, as two."""
    if place:
        return _below(slices, lambda below: _split(below, place - 1, first, second))
    if isinstance(slices, int):
        return _canonical(_cut(slices, first, second))
    pieces: list[tuple[int, Slices]] = []
    for bits, rest in slices:
        for row, columns in _cut(bits, first, second):
            pieces = _with(pieces, row, ((columns, rest),))
    return _canonical(pieces)


def _cut(bits: int, first: int, second: int) -> Iterator[tuple[int, int]]:
    """A row's place as a bit, and the row, of each row with anything in it."""
    text = f"{bits:0{first * second}b}"
    found: dict[str, int] = {}
    for row in range(first):
        row_text = text[len(text) - (row + 1) * second : len(text) - row * second]
        found[row_text] = found.get(row_text, 0) | 1 << row
    return ((rows, columns) for key, rows in found.items() if (columns := int(key, 2)))


def _weight(slices: Slices) -> int:
    if isinstance(slices, int):
        return 1 + slices.bit_length() // 2048
    return sum(1 + bits.bit_length() // 2048 + _weight(below) for bits, below in slices)


def _count(slices: Slices) -> int:
    if isinstance(slices, int):
        return slices.bit_count()
    return sum(bits.bit_count() * _count(below) for bits, below in slices)


def _positions(slices: Slices) -> Iterator[tuple[int, ...]]:
    if isinstance(slices, int):
        yield from ((place,) for place in bits_of(slices))
        return
    for bits, below in slices:
        inner = list(_positions(below))
        yield from ((place, *others) for place in bits_of(bits) for others in inner)


def _along(slices: Slices, place: int) -> int:
    if isinstance(slices, int):
        return slices
    if place == 0:
        return _union(bits for bits, _ in slices)
    return _union(_along(below, place - 1) for _, below in slices)


def _union(sets: Iterable[int]) -> int:
    found = 0
    for bits in sets:
        found |= bits
    return found
