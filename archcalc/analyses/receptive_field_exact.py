"""What one output position sees exactly, with the borders of every volume on the way respected.

A set of positions goes backward through the graph, from the output to the input. Clipping a window at the end would not
do: what a layer reads from its own padding leads nowhere, and dilated or cropped paths see less than their hull.
All channels of a position are asked for, and a position is seen if any channel of it is; on the way each is followed
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from archcalc.analyses.positions import Seen, positions_of, read
from archcalc.errors import UsageError
from archcalc.graph import Application, Graph
from archcalc.layers.reads import Reads, is_open
from archcalc.symbolic import is_symbolic, known
from archcalc.work import spend

LARGEST = 1 << 24
"""The size of an axis, and the values of a volume that is reshaped: larger ones aren't looked at one by one."""
STEPS = 50_000
"""Sets of positions that are followed back for the fields of global layers, one or two seconds' worth; the other fields
are bounds."""


def exact_field(graph: Graph, index: int, position: Mapping[str, int], source: int = 0) -> Seen:
    """The positions of a node's volume (the first input) on which one output position depends.

    `position` gives a coordinate for each axis of the output but C; axes that are left out are seen from everywhere.
    Raises: UsageError: a size is symbolic, or there is no such position.
    """
    shape = graph.nodes[index].shape
    _check_numbers(graph, index, source)
    sizes = {axis: known(size) for axis, size in positions_of(shape).items()}
    for axis, at in position.items():
        if axis not in sizes or not 0 <= at < sizes[axis]:
            there = ", ".join(f"{a} 0 to {n - 1}" for a, n in sizes.items()) or "none: it is one vector"
            raise UsageError(f"'{graph.nodes[index].name}' has no position {axis}={at}", f"its positions: {there}")
    _check_size(graph, index)
    sets = {index: Seen.box(shape, position)}
    for current in range(index, source, -1):
        if current in sets:
            _check_size(graph, current)
            step_back(graph, current, sets, source)
    return sets.get(source, Seen.nothing(graph.nodes[source].shape)).without_channels


def _check_size(graph: Graph, index: int) -> None:
    if problem := problem_of(graph.nodes[index].application):
        raise UsageError(f"'{graph.nodes[index].name}' {problem}")


def reads_of(at: Application) -> Sequence[Reads | None]:
    """What a layer's positions read of its inputs; ask with `at.once`."""
    return at.layer.reads(*at.input_shapes)


def step_back(graph: Graph, current: int, sets: dict[int, Seen], source: int) -> None:
    """Replace a node's positions by those of its inputs that they read; nothing before the source matters."""
    node, seen = graph.nodes[current], sets.pop(current)
    spend(10 * seen.weight, "what single positions see")
    at = node.application
    for place, reads, shape in zip(node.inputs, at.once(reads_of), at.input_shapes, strict=True):
        if reads is not None and place >= source:
            before = read(reads, seen, shape, at.output_shape)
            if before:
                sets[place] = sets[place] | before if place in sets else before


class Walker:
    """What whole volumes see of one node's volume. Where only one volume is left on the way back, answers are kept."""

    def __init__(self, graph: Graph, source: int) -> None:
        self.graph, self.source = graph, source
        self._known: dict[tuple[int, Seen], Seen] = {}
        self._steps = STEPS

    def seen(self, index: int, start: Seen | None = None) -> Seen | None:
        """What some positions of a node see, or all; None where sizes are symbolic or huge, or it takes too long."""
        if problem_of(self.graph.nodes[index].application):
            return None
        start = Seen.everything(self.graph.nodes[index].shape) if start is None else start
        sets: dict[int, Seen] = {index: start}
        passed: list[tuple[int, Seen]] = []
        found = Seen.nothing(self.graph.nodes[self.source].shape)
        while sets:
            current = max(sets)
            if len(sets) == 1:
                key = (current, sets[current])
                if key in self._known or current == self.source:
                    found = self._known.get(key, sets[current])
                    break
                passed.append(key)
            if current <= self.source or self._steps < 0 or problem_of(self.graph.nodes[current].application):
                return None
            self._steps -= sets[current].weight
            step_back(self.graph, current, sets, self.source)
        self._known.update(dict.fromkeys(passed, found))
        return found


def has_symbols(at: Application) -> bool:
    """Whether a size, or what positions read, depends on a symbol: sizes may be numbers where arguments are none."""
    shapes = (at.output_shape, *at.input_shapes)
    if any(is_symbolic(size) for shape in shapes for size in shape.values()):
        return True
    return any(is_open(how) for how in at.once(reads_of) if how is not None)


def problem_of(at: Application) -> str:
    """Why sets of positions can't go through a layer: its sizes or arguments are symbols, or it is too large."""
    if at.once(has_symbols):
        return "has symbolic sizes or arguments: the window of one position needs numbers"
    grouped = any(how.groups for how in at.once(reads_of) if how is not None)
    sizes = [[*map(known, shape.values())] for shape in (at.output_shape, *at.input_shapes)]
    if all((prod(axes) if grouped else max(axes, default=1)) <= LARGEST for axes in sizes):
        return ""
    return f"has too many positions to follow single ones: {at.output_shape}"


def _check_numbers(graph: Graph, index: int, source: int) -> None:
    for node in (graph.nodes[index], graph.nodes[source]):
        sizes = [f"{axis}={size}" for axis, size in positions_of(node.shape).items() if is_symbolic(size)]
        if sizes:
            raise UsageError(
                f"'{node.name}' has symbolic sizes ({', '.join(sizes)}): the window of one position needs numbers",
                "give them values, as in --set R=300",
            )
