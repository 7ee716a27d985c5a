"""The receptive field of one layer, from few passes of each repeat.

The law. A pass makes of the fields that enter it sums with fixed numbers, and hulls: the least of the first positions,
the greatest of the last ones. So where the bounds that enter grow by the same from pass to pass, each bound in the pass
is the greatest or least of straight lines, which is bent to one side only: if it's on one line in three passes in a
row, and in one far beyond them, then it is in all between. The three are gone through, and so is the far one, on what
would enter it then; if it has what the line says, the bounds that leave it have grown by the same, and so on.

All else about a field must be the same in these passes: its stride, its phases, and what is said of it. Two fields
whose centres differ in three passes might have the same one in a pass between, and be aligned there; but what comes
after is then said to be misaligned already, since the pass before it was.

What all positions see together is followed back through the passes. If two in a row are asked for the same positions,
so are all passes between them, however many. That takes a number of steps, after which the walk over all layers has
bounds instead; so where layers can be listed, this is left to the walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archcalc.analyses.field import Field, Fields, Interval
from archcalc.analyses.positions import Seen
from archcalc.analyses.receptive_field import Forward
from archcalc.analyses.receptive_field_exact import problem_of, step_back
from archcalc.graph import Graph
from archcalc.graph.graph import Shortened

LONGEST = 5000
"""Layers through which positions are followed back."""


class _Unlike(Exception):
    """Passes don't grow steadily, or it isn't known whether they do."""


def receptive_field(graph: Graph, index: int, source: int = 0) -> Fields | None:
    """A node's receptive field on another node's output; None where all layers have to be gone through for it."""
    if index < source or (short := graph.shortened(source, index)) is None:
        return None
    short.graph.spend(6, "receptive fields of so many layers")
    try:
        return _OverPasses(short, source, not graph.is_listed).field(short.wires[index])
    except _Unlike:
        return None


class _OverPasses(Forward):
    """Fields forward through few passes: one that stands for others has the first's, the one after it the last's."""

    def __init__(self, short: Shortened, source: int, goes_back: bool) -> None:
        super().__init__(short.graph, short.wires[source])
        self._twins, self._goes_back = short.twins, goes_back
        self._ends = {2 * second - first: (second, second - first, many) for first, second, many in short.twins}
        self._expected: dict[int, list[Fields]] = {}
        """What a pass must have that ends ahead of a node."""

    def field(self, index: int) -> Fields:
        """One node's field.

        Raises: _Unlike: there's a repeat before it whose passes don't grow steadily.
        """
        self._begin()
        for place in range(self.source + 1, index + 1):
            node = self.graph.nodes[place]
            self._go_through(node.application, node.inputs)
            if (expected := self._expected.get(place + 1)) and expected != self.found[-len(expected) :]:
                raise _Unlike
            if place + 1 in self._ends:
                self._leave_out(*self._ends[place + 1])
        return self.found[index]

    def _leave_out(self, start: int, size: int, many: int) -> None:
        """Go on from a pass, by its first node, to the last of `many`, and say what the next one must have."""
        later: list[Fields] = []
        for node in range(start, start + size):
            three = node - 2 * size, node - size, node
            if len({(self.covers[each], self.alike[each], *self.found[each]) for each in three}) > 1:
                raise _Unlike
            passes = {axis: [self.found[each][axis] for each in three] for axis in self.found[node]}
            later.append({axis: _grown(fields, many) for axis, fields in passes.items()})
            self.found[node] = {axis: _grown(fields, many - 1) for axis, fields in passes.items()}
        self._expected[start + 2 * size] = later

    def seen_by(self, place: int, start: Seen | None = None) -> Seen | None:
        """What some positions of a node see, or all; None where sizes are symbols, or too large.

        Raises: _Unlike: it takes too long, or two passes are asked for different positions.
        """
        if not self._goes_back:
            raise _Unlike
        nodes, asked = self.graph.nodes, dict[int, Seen]()
        if problem_of(nodes[place].application):
            return None
        sets = {place: Seen.everything(nodes[place].shape) if start is None else start}
        while (current := max(sets, default=self.source)) > self.source:
            if problem_of(nodes[current].application):
                return None
            asked[current] = sets[current]
            if len(asked) > LONGEST:
                raise _Unlike
            step_back(self.graph, current, sets, self.source)
        for first, second, _ in self._twins:
            if 2 * second - first <= place and any(
                asked.get(node) != asked.get(node + second - first) for node in range(first, second)
            ):
                raise _Unlike
        return sets.get(self.source, Seen.nothing(self.shape))


def _grown(passes: Sequence[Field], more: int) -> Field:
    """The field so many passes after the third of three.

    Raises: _Unlike: it isn't on one line in them, or not only its bounds differ.
    """
    first, second, third = passes
    if replace(first, windows=third.windows) != third or replace(second, windows=third.windows) != third:
        raise _Unlike
    windows = tuple([_moved(each, more) for each in zip(first.windows, second.windows, third.windows, strict=True)])
    if third.constant and windows != third.windows:
        raise _Unlike
    return replace(third, windows=windows)


def _moved(passes: Sequence[Interval], more: int) -> Interval:
    first, second, third = passes
    if first is None or second is None or third is None:
        if first is second is third:
            return None
        raise _Unlike
    steps = [(after[0] - before[0], after[1] - before[1]) for before, after in ((first, second), (second, third))]
    if steps[0] != steps[1]:
        raise _Unlike
    return third[0] + more * steps[0][0], third[1] + more * steps[0][1]
