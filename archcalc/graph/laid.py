"""Graphs whose number of layers is a symbol, laid out with a few passes each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archcalc.graph.application import Application, Node
from archcalc.graph.composite import Call, Composite, Repeat
from archcalc.graph.labels import Label, Numbered
from archcalc.symbolic import Dim, is_symbolic

Passes = Callable[[Repeat], Sequence[Dim]]
"""For each pass that is laid out of a repeat, how many it stands for."""


class Laid:
    """The nodes of a tree as it's laid out; for each how many it stands for; and the node of each of the tree's wires.

    Of passes whose number is a symbol only the last one's wires have a node: nothing else is read from outside.
    """

    def __init__(self, body: Composite, label: Label, passes: Passes) -> None:
        self.nodes: list[Node] = []
        self.times: list[Dim] = []
        self._passes = passes
        self.wires = self._lay(body, label, (), "", 1)

    def _lay(self, call: Call, label: Label | None, entering: Sequence[int], path: str, times: Dim) -> Sequence[int]:
        if isinstance(call, Application):
            self.nodes.append(Node(path, call, tuple(entering)))
            self.times.append(times)
            return [len(self.nodes) - 1]
        assert label is not None
        assert isinstance(call, Composite)
        wires: list[int] = []
        prefix = f"{path}/" if path else ""
        for item, name, inner in zip(call.items, label.names, label.inner, strict=True):
            reads = [wires[wire] if wire >= 0 else entering[~wire] for wire in item.reads]
            if isinstance(item.call, Repeat):
                assert isinstance(name, Numbered)
                names = name._replace(before=prefix + name.before)
                wires += self._lay_passes(item.call, inner, reads, names, times)
            else:
                wires += self._lay(item.call, inner, reads, f"{prefix}{name}", times)
            if item.tied is not None:
                owner = wires[item.tied] if item.tied >= 0 else entering[~item.tied]
                self.nodes[-1] = self.nodes[-1]._replace(tied=owner)
        return wires

    def _lay_passes(
        self, repeat: Repeat, label: Label | None, entering: Sequence[int], names: Numbered, times: Dim
    ) -> Sequence[int]:
        reads, wires = [*entering], list[int]()
        is_open = is_symbolic(repeat.times)
        for number, many in enumerate(self._passes(repeat)):
            path = f"{names.before}{names.numbers.start + number * names.numbers.step}{names.after}"
            made = self._lay(repeat.body, label, reads, path, times * many)
            if repeat.chained >= 0 and repeat.output >= 0:
                reads[repeat.chained] = made[repeat.output]
            wires = [*made] if is_open else [*wires, *made]
        if not is_open:
            return wires
        if not wires:  # what enters is returned
            wires = [entering[repeat.chained]] * repeat.body.size
        return [-1] * (repeat.size - repeat.body.size) + wires
