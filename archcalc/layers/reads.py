"""What an output position reads of an input: how positions travel through a layer, said once, by its kind.

Along one axis a relation says which input positions an output position reads: a `Window`, or one of those below. Sets
of positions are bits of an integer, so that a relation is applied to a whole set at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from math import floor, gcd
from struct import pack, unpack
from typing import Any, TypeAlias

from archcalc.data import dataclass
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, is_symbolic, known


class Reading:
    """Which input positions the output positions along one axis read.

    Classes without generated methods: those would cost a tenth of the start-up time.
    """

    __slots__: tuple[str, ...] = ()

    def __init__(self, *values: Dim | bool | tuple[tuple[bool, ...], ...]) -> None:
        for name, value in zip(self.__slots__, values, strict=True):
            setattr(self, name, value)

    def read_by(self, outputs: int, size: int) -> int:
        """The positions, of `size`, that a set of output positions reads."""
        raise NotImplementedError

    @property
    def values(self) -> tuple[Any, ...]:
        """What it's made of."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.values == other.values

    def __hash__(self) -> int:
        return hash((type(self), self.values))

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.values}"


Relation: TypeAlias = "Window | Reading"


class Everywhere(Reading):
    """Every output position reads all of them."""

    __slots__ = ()

    def read_by(self, outputs: int, size: int) -> int:
        """All, if anything is asked for."""
        return (1 << size) - 1 if outputs else 0


class UpTo(Reading):
    """Output position o reads the positions up to o: a causal mask."""

    __slots__ = ()

    def read_by(self, outputs: int, size: int) -> int:
        """As many as the last position that is asked for reads."""
        return (1 << min(outputs.bit_length(), size)) - 1


class From(Reading):
    """Output position o reads the positions from o on."""

    __slots__ = ()

    def read_by(self, outputs: int, size: int) -> int:
        """Those from the first position on that is asked for."""
        return (1 << size) - (outputs & -outputs) if outputs else 0


class Only(Reading):
    """Every output position reads this one."""

    __slots__ = ("place",)

    place: Dim

    def read_by(self, outputs: int, size: int) -> int:  # as all relations
        """That one, if anything is asked for."""
        return 1 << known(self.place) if outputs else 0


class Part(Reading):
    """The input is the part of the output that starts at `offset`."""

    __slots__ = ("offset",)

    offset: Dim

    def read_by(self, outputs: int, size: int) -> int:
        """The positions that lie in the part."""
        return outputs >> known(self.offset) & ((1 << size) - 1)


class Runs(Reading):
    """Output positions read neighbours, a few each, and in the same way again and again."""

    __slots__ = ()

    follows_size = True
    """Whether they lie elsewhere in an input of another size."""

    def bounds(self, place: int, size: int) -> tuple[int, int]:
        """The first position that is read, and the first one after them, beyond the input's ends too."""
        raise NotImplementedError

    def period(self, size: int) -> tuple[int, int] | None:
        """After how many output positions all is as at the start, so many input positions on; None if it never is."""
        raise NotImplementedError

    def read_by(self, outputs: int, size: int) -> int:
        """The union of what is read, inside the input."""
        found = 0
        for place in bits_of(outputs):
            first, end = self.bounds(place, size)
            found |= (1 << min(end, size)) - (1 << max(first, 0))
        return found


class Bins(Runs):
    """Output position i of `count` reads the inputs from ⌊i·n/count⌋ to ⌈(i + 1)·n/count⌉, that one left out."""

    __slots__ = ("count",)

    count: Dim

    def bounds(self, place: int, size: int) -> tuple[int, int]:
        """The first position in a bin, and the first one after it."""
        count = known(self.count)
        return place * size // count, -(-(place + 1) * size // count)

    def period(self, size: int) -> tuple[int, int] | None:
        common = gcd(known(self.count), size)
        return known(self.count) // common, size // common


class Blocks(Runs):
    """Every output position reads the block of `length` in which it lies; one of them starts at `shift`.

    An input that one block would hold is one block.
    """

    __slots__ = ("length", "shift")

    length: Dim
    shift: Dim

    follows_size = False

    def bounds(self, place: int, size: int) -> tuple[int, int]:
        """The first position of the block, and the first one after it."""
        length = known(self.length)
        shift = known(self.shift) if size > length else 0
        first = (place - shift) // length * length + shift
        return first, first + length

    def period(self, size: int) -> tuple[int, int]:
        return known(self.length), known(self.length)


class Spaced(Reading):
    """Every output position reads `count` positions, its own among them, with equal gaps all over the input."""

    __slots__ = ("count",)

    count: Dim

    def read_by(self, outputs: int, size: int) -> int:
        """All that are a multiple of the gap away."""
        gap = size // known(self.count)
        starts = {place % gap for place in bits_of(outputs)}
        return sum(1 << place for place in range(size) if place % gap in starts)


class Sampled(Bins):
    """Output position i of `count` lies at i·n/count on the input, and reads `taps` of its neighbours there.

    One tap is the position below, as PyTorch finds it in single precision. Two and four lie around the place where the
    middle of the output position is, or, if `aligned`, where it is when the outermost positions lie on each other. What
    has no weight isn't read.
    """

    __slots__ = ("count", "taps", "aligned")  # noqa: RUF023  # in the order in which they are given

    taps: int
    aligned: bool

    def bounds(self, place: int, size: int) -> tuple[int, int]:
        """The first position that is read, and the first one after them, beyond the input's ends too."""
        count = known(self.count)
        if self.taps == 1:
            first = min(_nearest(place, size, count), size - 1)
            return first, first + 1
        if self.aligned:
            first, rest = divmod(place * (size - 1), max(count - 1, 1))
        else:
            first, rest = divmod((2 * place + 1) * size - count, 2 * count)
        return (first - self.taps // 2 + 1, first + self.taps // 2 + 1) if rest else (first, first + 1)

    def read_by(self, outputs: int, size: int) -> int:
        """The union of what is read; beyond an end, that's the position there."""
        found = 0
        for place in bits_of(outputs):
            first, end = self.bounds(place, size)
            found |= (1 << min(end, size)) - (1 << max(first, 0)) if end > 0 else 1
        return found

    def period(self, size: int) -> tuple[int, int] | None:
        count = known(self.count)
        if self.taps == 1:
            common = gcd(count, size)
            turns = (common, count // common, size // common)
            if any(_nearest(turn * turns[1], size, count) != turn * turns[2] for turn in range(common)):
                return None
        outputs, inputs = (count - 1, size - 1) if self.aligned else (count, size)
        common = gcd(outputs, inputs)
        return outputs // common, inputs // common

    def covers(self, size: Dim) -> bool:
        """Whether each of `size` positions is certainly read from some output position; False if that's unclear."""
        if is_symbolic(size) or is_symbolic(self.count):
            return False
        return self.read_by((1 << known(self.count)) - 1, known(size)) == (1 << known(size)) - 1


def _nearest(place: int, size: int, count: int) -> int:
    """⌊place·size/count⌋ in single precision (ATen/native/UpSample.h, nearest_idx)."""
    if count in (size, 2 * size):
        return place * size // count
    return floor(_single(place * _single(size / count)))


def _single(value: float) -> float:
    """The nearest number of single precision."""
    found: float = unpack("f", pack("f", value))[0]
    return found


class Rolled(Reading):
    """Input position i becomes output i + `shift`, counted on from the start after the end."""

    __slots__ = ("shift",)

    shift: Dim

    def read_by(self, outputs: int, size: int) -> int:
        """Where the outputs come from."""
        away = known(self.shift) % size
        return outputs >> away | (outputs & ((1 << away) - 1)) << (size - away)


class Groups(Reading):
    """Each group of `outputs` neighbours reads a group of `inputs` neighbours, the first the first."""

    __slots__ = ("outputs", "inputs")  # noqa: RUF023  # in the order in which they are given

    outputs: Dim
    inputs: Dim

    def read_by(self, outputs: int, size: int) -> int:  # as all relations
        """The groups of all outputs that are asked for."""
        inputs, ways = known(self.inputs), known(self.outputs)
        groups = {place // ways for place in bits_of(outputs)}
        return sum(((1 << inputs) - 1) << group * inputs for group in groups)


class Repeated(Reading):
    """Each group of `size` neighbours is there `times` times, one after the other: all of them read it in its order."""

    __slots__ = ("size", "times")

    size: Dim
    times: Dim

    def read_by(self, outputs: int, size: int) -> int:  # as all relations
        """Where the outputs come from."""
        length, times = known(self.size), known(self.times)
        return sum(1 << place for place in {o // (length * times) * length + o % length for o in bits_of(outputs)})


class Linked(Reading):
    """Output o reads the inputs i with `links[i][o]`: a connection table."""

    __slots__ = ("links",)

    links: tuple[tuple[bool, ...], ...]

    def read_by(self, outputs: int, size: int) -> int:  # as all relations
        """The inputs linked to any of the outputs."""
        return sum(1 << i for i, row in enumerate(self.links) if any(row[o] for o in bits_of(outputs)))


class Shuffled(Reading):
    """Input i of group g becomes output i·groups + g."""

    __slots__ = ("groups",)

    groups: Dim

    def read_by(self, outputs: int, size: int) -> int:
        """Where the outputs come from."""
        groups = known(self.groups)
        return sum(1 << o % groups * (size // groups) + o // groups for o in bits_of(outputs))


def is_open(reads: Reads) -> bool:
    """Whether what is read depends on a symbol."""
    for relation in reads.along.values():
        if isinstance(relation, Reading):
            values = relation.values
        else:
            values = (relation.kernel, relation.stride, relation.dilation, relation.before)
        if any(map(is_symbolic, values)):
            return True
    return False


Axes: TypeAlias = "tuple[str, ...]"
Factors: TypeAlias = "Mapping[str, Mapping[str, Dim]]"
"""Axes whose positions are numbered by several indices: by axis, the indices' names and sizes, the slowest first."""


NO_FACTORS: tuple[Factors, Factors] = ({}, {})


@dataclass(frozen=True, slots=True)
class Reads:
    """What an output position reads of one input.

    `along` has the axes on which that isn't simply the same position; an axis that the output lacks is there, too.
    `groups` pairs axes of the input with axes of the output that hold the same values in the same order: then positions
    are numbered anew. `all_of_it`: everything, whatever the axes are. With `factors`, of the input's axes and of the
    output's, `groups` pairs those; then `along` says for single axes what comes of it.
    """

    along: Mapping[str, Relation] = field(default_factory=dict)
    groups: tuple[tuple[Axes, Axes], ...] = ()
    all_of_it: bool = False
    factors: tuple[Factors, Factors] = NO_FACTORS


SAME = Reads()
"""The same position, every channel of it; 0 along axes on which the input has size 1 and is broadcast."""
ALL = Reads(all_of_it=True)


def over(axes: Sequence[str], relation: Relation) -> Reads:
    """One relation along several axes."""
    return Reads(dict.fromkeys(axes, relation))


def factored(shape: Shape, factors: Factors) -> dict[str, Dim]:
    """The sizes along all axes, with factors in place of those that have some.

    >>> factored(Shape(C=8, H=6), {"H": {"H": 3, "h": 2}})
    {'C': 8, 'H': 3, 'h': 2}
    """
    return {name: part for axis, size in shape.items() for name, part in factors.get(axis, {axis: size}).items()}


def regrouped(x: Shape, y: Shape) -> Reads:
    """The same values in the same order under other axes: the finest groups of axes that hold as many values.

    >>> regrouped(Shape(C=6, H=4, W=5), Shape(R=2, C=3, H=2, W=10)).groups
    ((('C',), ('R', 'C')), (('H', 'W'), ('H', 'W')))
    """
    before, after = list(x)[::-1], list(y)[::-1]
    groups: list[tuple[Axes, Axes]] = []
    while before or after:
        mine, yours = [], []
        if before and after and (before[0] == after[0] and x[before[0]] == y[after[0]]):
            mine, yours = [before.pop(0)], [after.pop(0)]
        else:
            mine, yours = _group(before, after, x, y)
        groups.append((tuple(reversed(mine)), tuple(reversed(yours))))
    return Reads(groups=tuple(reversed(groups)))


def _group(before: list[str], after: list[str], x: Shape, y: Shape) -> tuple[list[str], list[str]]:
    """The fewest axes from the ends of both lists that hold equally many values; all of them if that's undecided."""
    mine, yours = before[:1], after[:1]
    left: Dim = x[mine[0]] if mine else 1
    right: Dim = y[yours[0]] if yours else 1
    while left != right and (len(mine) < len(before) or len(yours) < len(after)):
        first = is_symbolic(left) or is_symbolic(right) or left < right
        if len(mine) < len(before) and (first or len(yours) == len(after)):
            mine.append(before[len(mine)])
            left = left * x[mine[-1]]
        else:
            yours.append(after[len(yours)])
            right = right * y[yours[-1]]
    del before[: len(mine)], after[: len(yours)]
    return mine, yours


def bits_of(positions: int) -> Iterator[int]:
    """The members of a set, in order."""
    while positions:
        low = positions & -positions
        yield low.bit_length() - 1
        positions ^= low
