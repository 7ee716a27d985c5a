"""The exact receptive field of one output position, with the borders of every volume on the way respected.

A set of positions goes backward through the graph, from the output to the input. Clipping a window at the end would not
do: what a layer reads from its own padding leads nowhere, and dilated or cropped paths see less than their hull.
Channels are taken as a whole: a position is seen if any channel of it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, singledispatch
from itertools import product
from math import prod

from archcalc.analyses.receptive_field import main_inputs
from archcalc.errors import UsageError
from archcalc.graph import Application, Graph
from archcalc.layers import Layer
from archcalc.layers.arguments import per_axis
from archcalc.layers.attention import Attention, ClassToken
from archcalc.layers.merge import Concat
from archcalc.layers.pool import AdaptivePool
from archcalc.layers.reshape import Flatten, Reshape, Select, Tokens
from archcalc.shape import AXES, Shape, Window
from archcalc.symbolic import ceil_div, is_symbolic


@dataclass(frozen=True, slots=True)
class Seen:
    """A set of positions in a volume: `rows` maps coordinates along all axes but the last to bits along the last."""

    sizes: Mapping[str, int]
    rows: Mapping[tuple[int, ...], int]

    @classmethod
    def everything(cls, shape: Shape) -> Seen:
        """All positions of a volume."""
        sizes = positions_of(shape)
        *leading, last = sizes.values() or (1,)
        return cls(sizes, dict.fromkeys(product(*map(range, leading)), (1 << last) - 1))

    @classmethod
    def of(cls, sizes: Mapping[str, int], positions: Iterable[Sequence[int]]) -> Seen:
        """The given positions, coordinates in the order of the axes."""
        rows: dict[tuple[int, ...], int] = {}
        for position in positions:
            *leading, last = position or (0,)
            rows[*leading,] = rows.get((*leading,), 0) | 1 << last
        return cls(sizes, rows)

    @property
    def count(self) -> int:
        """How many positions are seen."""
        return sum(row.bit_count() for row in self.rows.values())

    def positions(self) -> list[tuple[int, ...]]:
        """The coordinates of all positions, in order."""
        found = [(*leading, last) for leading, row in self.rows.items() for last in _bits(row)]
        return sorted(position[: len(self.sizes)] for position in found)

    def interval(self, axis: str) -> tuple[int, int] | None:
        """The first and the last position along an axis; None if nothing is seen."""
        place = list(self.sizes).index(axis)
        if place == len(self.sizes) - 1:
            union = 0
            for row in self.rows.values():
                union |= row
            return ((union & -union).bit_length() - 1, union.bit_length() - 1) if union else None
        along = [leading[place] for leading in self.rows]
        return (min(along), max(along)) if along else None

    @property
    def share(self) -> float:
        """The share of the hull that is really seen: less than 1 where dilation or strides leave gaps."""
        sides = [interval[1] - interval[0] + 1 for axis in self.sizes if (interval := self.interval(axis))]
        return self.count / prod(sides) if self.rows else 0.0

    def __or__(self, other: Seen) -> Seen:
        rows = dict(self.rows)
        for leading, row in other.rows.items():
            rows[leading] = rows.get(leading, 0) | row
        return replace(self, rows=rows)

    def along(self, axis: str, size: int, table: Sequence[Sequence[int]]) -> Seen:
        """Every position replaced by those in `table` along one axis, which becomes `size` long."""
        sizes = {**self.sizes, axis: size}
        rows: dict[tuple[int, ...], int] = {}
        place = list(sizes).index(axis)
        if place == len(sizes) - 1:
            bits = [sum(1 << i for i in set(inputs)) for inputs in table]
            moved = {row: _union(bits[o] for o in _bits(row)) for row in set(self.rows.values())}
            return Seen(sizes, {leading: moved[row] for leading, row in self.rows.items() if moved[row]})
        for leading, row in self.rows.items():
            for i in table[leading[place]]:
                target = (*leading[:place], i, *leading[place + 1 :])
                rows[target] = rows.get(target, 0) | row
        return Seen(sizes, rows)


def exact_field(graph: Graph, index: int, position: Mapping[str, int], source: int = 0) -> Seen:
    """The positions of a node's volume (the first input) on which one output position depends.

    `position` gives a coordinate for each axis of the output but C; axes that are left out are seen from everywhere.
    Raises: UsageError: a size is symbolic, or there is no such position.
    """
    shape = graph.nodes[index].shape
    _check_numbers(graph, index, source)
    sizes = positions_of(shape)
    for axis, at in position.items():
        if axis not in sizes or not 0 <= at < sizes[axis]:
            known = ", ".join(f"{a} 0 to {n - 1}" for a, n in sizes.items()) or "none: it is one vector"
            raise UsageError(f"'{graph.nodes[index].name}' has no position {axis}={at}", f"its positions: {known}")
    ranges = [[position[axis]] if axis in position else range(size) for axis, size in sizes.items()]
    sets = {index: Seen.of(sizes, product(*ranges))}
    for current in range(index, source, -1):
        seen = sets.pop(current, None)
        if seen is None:
            continue
        node = graph.nodes[current]
        for place, before in zip(node.inputs, _before(node.layer, node.application, seen), strict=False):
            if before is not None and before.rows and place >= source:
                sets[place] = sets[place] | before if place in sets else before
    return sets.get(source, Seen(positions_of(graph.nodes[source].shape), {}))


def positions_of(shape: Shape) -> dict[str, int]:
    """The sizes along all axes but C, in the order of the volume's axes."""
    return {axis: shape[axis] for axis in AXES if axis in shape and axis != "C"}


def _check_numbers(graph: Graph, index: int, source: int) -> None:
    for node in (graph.nodes[index], graph.nodes[source]):
        sizes = [f"{axis}={size}" for axis, size in positions_of(node.shape).items() if is_symbolic(size)]
        if sizes:
            raise UsageError(
                f"'{node.name}' has symbolic sizes ({', '.join(sizes)}): the window of one position needs numbers",
                "give them with --input or --set",
            )


def _bits(row: int) -> Iterable[int]:
    while row:
        low = row & -row
        yield low.bit_length() - 1
        row ^= low


def _union(rows: Iterable[int]) -> int:
    union = 0
    for row in rows:
        union |= row
    return union


@lru_cache(maxsize=1024)
def _table(window: Window, outputs: int, inputs: int) -> tuple[tuple[int, ...], ...]:
    """For each output position the input positions under the window, without those in the padding."""
    return tuple(tuple(i for i in window.reads(o) if 0 <= i < inputs) for o in range(outputs))


@singledispatch
def _before(layer: Layer, at: Application, seen: Seen) -> list[Seen | None]:
    """What a layer reads of each input (None: nothing) to compute the positions `seen` of its output."""
    inputs = at.input_shapes[: main_inputs(at)]
    if layer.global_view(*at.input_shapes):
        return [Seen.everything(shape) for shape in inputs]
    windows = layer.windows(*at.input_shapes)
    if windows:
        for axis, window in windows.items():
            size = inputs[0][axis]
            seen = seen.along(axis, size, _table(window, at.output_shape[axis], size))
        return [seen]
    return [_broadcast(seen, positions_of(shape)) for shape in inputs]


def _broadcast(seen: Seen, sizes: Mapping[str, int]) -> Seen:
    """The same positions; 0 along the axes that are broadcast, as a gate's are."""
    for axis, size in sizes.items():
        if size == 1 and seen.sizes.get(axis, 1) != 1:
            seen = seen.along(axis, 1, [(0,)] * seen.sizes[axis])
    return seen


@_before.register
def _(layer: Concat, at: Application, seen: Seen) -> list[Seen | None]:
    axis, offset, found = layer.axis, 0, []
    if axis == "C":
        return [seen] * len(at.input_shapes)
    for shape in at.input_shapes:
        size = shape[axis]
        own = [(o - offset,) if 0 <= o - offset < size else () for o in range(seen.sizes[axis])]
        found.append(seen.along(axis, size, own))
        offset += size
    return list(found)


@_before.register
def _(layer: AdaptivePool, at: Application, seen: Seen) -> list[Seen | None]:
    x = at.input_shapes[0]
    for axis, m in per_axis(layer.output_size, x.spatial, "output size").items():
        n = x[axis]
        seen = seen.along(axis, n, [range(i * n // m, ceil_div((i + 1) * n, m)) for i in range(m)])
    return [seen]


@_before.register
def _(layer: Attention, at: Application, seen: Seen) -> list[Seen | None]:
    """Every token of the keys, or with a causal mask none that comes later; of the queries the token itself."""
    source = at.input_shapes[-1]["T"]
    reach: Callable[[int], range] = (lambda o: range(min(o + 1, source))) if layer.causal else lambda _: range(source)
    keys = seen.along("T", source, [reach(o) for o in range(seen.sizes["T"])])
    return [seen | keys] if len(at.input_shapes) == 1 else [seen, keys]


@_before.register
def _(_layer: ClassToken, at: Application, seen: Seen) -> list[Seen | None]:
    size = at.input_shapes[0]["T"]
    return [seen.along("T", size, [(), *((t,) for t in range(size))])]


@_before.register
def _(layer: Select, at: Application, seen: Seen) -> list[Seen | None]:
    sizes = positions_of(at.input_shapes[0])
    token, place = layer.index % sizes["T"], list(sizes).index("T")
    return [Seen.of(sizes, ((*p[:place], token, *p[place:]) for p in seen.positions()))]


@_before.register
def _(_layer: Tokens, at: Application, seen: Seen) -> list[Seen | None]:
    sizes = positions_of(at.input_shapes[0])
    return [Seen.of(sizes, (_coordinates(_number(p, seen.sizes), sizes) for p in seen.positions()))]


@_before.register(Flatten)
@_before.register(Reshape)
def _(_layer: Layer, at: Application, seen: Seen) -> list[Seen | None]:
    """Value by value: the values at the positions seen, and the positions of the same values in the input."""
    x, y = at.input_shapes[0], at.output_shape
    if not seen.sizes:
        return [Seen.everything(x)]
    kept, sizes = list(seen.sizes), positions_of(x)
    wanted = set(seen.positions())
    found = set()
    for number, value in enumerate(product(*map(range, y.values()))):
        place = dict(zip(y, value, strict=True))
        if tuple(place[axis] for axis in kept) in wanted:
            there = _coordinates(number, x)
            found.add(tuple(at for axis, at in zip(x, there, strict=True) if axis != "C"))
    return [Seen.of(sizes, found)]


def _number(position: Sequence[int], sizes: Mapping[str, int]) -> int:
    """The position's place when all are counted, the last axis first."""
    number = 0
    for at, size in zip(position, sizes.values(), strict=True):
        number = number * size + at
    return number


def _coordinates(number: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The inverse of `_number`."""
    found = []
    for size in reversed([*sizes.values()]):
        number, at = divmod(number, size)
        found.append(at)
    return tuple(reversed(found))
