"""The effective receptive field: how much of the gradient reaches each input position, from the graph alone.

A walk goes back from one output position: at each layer to one of the positions that it reads, all alike; at a merge
into one of the branches, all alike (into those of a concatenation in proportion to their channels). Where walks end is
where paths are many: with random weights of equal variance, the share of walks that end at a position is its expected
share of the squared gradient. Walks that leave through the padding end there and are not counted.
Source: Luo, Li, Urtasun & Zemel 2016, sections 2 and 3 (uniform and random weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from archcalc.analyses.receptive_field_exact import has_symbols, reads_of
from archcalc.errors import UsageError
from archcalc.graph import Graph, Node
from archcalc.layers.reads import Everywhere, Part, Reads, Relation, bits_of
from archcalc.shape import Shape, TransposedWindow, Window
from archcalc.symbolic import is_symbolic, known
from archcalc.work import spend

Walks: TypeAlias = "dict[int, float]"
"""The share of walks at each position along one axis."""

ANYWHERE = -1
"""The position of walks in volumes that lack the axis, or where positions are mixed: all are alike."""

LARGEST = 1 << 20
"""The greatest size of any axis; walks are counted position by position."""

HELD = 0.9545
"""The share of a normal distribution within two standard deviations of its mean."""


Grid: TypeAlias = Sequence[Sequence[float]]
"""Shares of the squared gradient, down and across."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How the squared gradient is spread along one axis: its share at each position, which add up to 1."""

    shares: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Its centre."""
        return sum(place * share for place, share in enumerate(self.shares))

    @property
    def deviation(self) -> float:
        """Its standard deviation, in positions."""
        mean = self.mean
        return float(sum((place - mean) ** 2 * share for place, share in enumerate(self.shares)) ** 0.5)

    @property
    def size(self) -> int:
        """The effective size: the fewest neighbouring positions that hold 95.45 % (two deviations, if it's normal)."""
        first, last = self.interval
        return last - first + 1

    @property
    def interval(self) -> tuple[int, int]:
        """The first and the last of those positions."""
        best, first, held = (0, len(self.shares) - 1), 0, 0.0
        for last, share in enumerate(self.shares):
            held += share
            while held - self.shares[first] >= HELD:
                held -= self.shares[first]
                first += 1
            if held >= HELD and last - first < best[1] - best[0]:
                best = first, last
        return best


@dataclass(frozen=True)
class Measurement:
    """What was found by running a network: along each axis, and over the last two."""

    profiles: Mapping[str, Profile]
    grid: Grid


def effective_field(graph: Graph, index: int, position: Mapping[str, int], source: int = 0) -> dict[str, Profile]:
    """The estimated profile along each spatial axis of the first input, or of another node's volume.

    Raises: UsageError: a size is symbolic, or no path leads there.
    """
    shape = graph.nodes[source].shape
    if not shape.spatial:
        raise UsageError(f"{graph.name} has no effective field: '{graph.nodes[source].name}' has no spatial axes")
    nodes = graph.nodes[source : index + 1]
    if any(map(is_symbolic, shape.values())) or any(node.application.once(has_symbols) for node in nodes[1:]):
        raise UsageError(
            "an effective field needs numbers for all sizes and arguments", "give them values, as in --set R=300"
        )
    largest = max(known(size) for node in nodes for size in node.shape.values())
    spend(largest, "an effective field of so many positions")
    if largest > LARGEST:
        raise UsageError(f"an effective field is computed for sizes up to {LARGEST:,}; here is one of {largest:,}")
    start = {axis: _start(graph.nodes[index], axis, position) for axis in shape.spatial}
    arrived: dict[int, dict[str, Walks]] = {index: start}
    for current in range(index, source, -1):
        here = arrived.pop(current, None)
        if here is None:
            continue
        node = graph.nodes[current]
        for place, reads, x, weight in _branches(node):
            if place >= source:
                ahead = arrived.setdefault(place, {axis: {} for axis in here})
                for axis, walks in here.items():
                    _add(ahead[axis], _back(reads, axis, walks, x), weight)
    found = arrived.get(source, {})
    if not found or not all(found.values()):
        raise UsageError(f"'{graph.nodes[index].name}' does not depend on '{graph.nodes[source].name}'")
    return {axis: profile([walks.get(i, 0.0) for i in range(known(shape[axis]))]) for axis, walks in found.items()}


def profile(weights: Sequence[float]) -> Profile:
    """The weights as shares of their sum."""
    total = sum(weights)
    return Profile(tuple(weight / total for weight in weights))


def _start(node: Node, axis: str, position: Mapping[str, int]) -> Walks:
    if axis in node.shape:
        return {position.get(axis, known(node.shape[axis]) // 2): 1.0}
    return {ANYWHERE: 1.0}


def _branches(node: Node) -> list[tuple[int, Reads, Shape, float]]:
    """The inputs that reach the output, how they are read, their shapes, and the share of walks into each."""
    shapes, reads = node.application.input_shapes, node.application.once(reads_of)
    found = [
        (place, how, shape, float(known(shape["C"])) if isinstance(how.along.get("C"), Part) else 1.0)
        for place, how, shape in zip(node.inputs, reads, shapes, strict=True)
        if how is not None
    ]
    total = sum(weight for *_, weight in found)
    return [(place, how, shape, weight / total) for place, how, shape, weight in found]


def _add(ahead: Walks, walks: Walks, weight: float) -> None:
    for position, share in walks.items():
        ahead[position] = ahead.get(position, 0.0) + weight * share


def _back(reads: Reads, axis: str, walks: Walks, x: Shape) -> Walks:
    """Where walks are before one layer, along one axis; those that leave through the padding end."""
    relation, found = reads.along.get(axis), dict[int, float]()
    size = known(x[axis]) if axis in x else None
    among_tokens = "T" in x and "T" in reads.along
    mixed = any("C" in {*mine, *yours} and len({*mine, *yours} - {"R"}) > 1 for mine, yours in reads.groups)
    mixed |= any(axis in yours for _, yours in reads.groups) and any(
        axis in mine and axis not in yours
        for mine, yours in reads.groups  # it's another axis now
    )
    if reads.all_of_it or mixed or among_tokens or isinstance(relation, Everywhere):
        found = {ANYWHERE: sum(walks.values())}
    elif relation is None:
        found = {position if size is None else min(position, size - 1): share for position, share in walks.items()}
    elif size is not None:
        spend(len(walks) * (15 + size // 500), "an effective field of so many positions")
        for position, share in walks.items():
            reached = list(bits_of(relation.read_by(1 << position, size)))
            for i in reached:
                found[i] = found.get(i, 0.0) + share / _ways(relation, len(reached))
    if size is not None and ANYWHERE in found:
        _add(found, dict.fromkeys(range(size), 1.0), found.pop(ANYWHERE) / size)
    return found


def _ways(relation: Relation, reads: int) -> int:
    """Among how many positions a walk chooses: all taps of a window, those in the padding too; else what is there."""
    if isinstance(relation, Window) and not isinstance(relation, TransposedWindow):
        return known(relation.kernel)
    return reads
