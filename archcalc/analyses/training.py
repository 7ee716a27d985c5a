"""A training step of a whole network, on paper: what it holds when, in the order in which PyTorch works.

The program is the one that `archcalc export` writes, in training: a forward pass, a loss, a backward pass, and an
optimiser's step. The law is PyTorch's own: a tensor is held as long as something refers to it. Not in it: weights,
buffers and what an optimiser keeps, which are there before and after; scratch memory of kernels; what an allocator
rounds up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import prod

from archcalc.analyses.lifetimes import held_until
from archcalc.analyses.memory import token_volumes
from archcalc.analyses.storages import places
from archcalc.data import dataclass
from archcalc.graph import Graph, Node
from archcalc.layers.sheet import Sheet
from archcalc.paper import operations as op
from archcalc.paper.tensors import Blank, Meter, Storage, backward
from archcalc.quantities import BYTES
from archcalc.symbolic import known


@dataclass(frozen=True)
class Held:
    """The bytes that a training step holds: the most in each pass, what the first leaves, and, by name, the end's.

    `most_at` is the number of the storage that makes it the most of all.
    """

    forward: int
    left: int
    backward: int
    after: Mapping[str, int]
    most_at: int

    @property
    def most(self) -> int:
        """The most at once, in either pass."""
        return max(self.forward, self.backward)


@dataclass(frozen=True)
class Peak:
    """What is alive at once when it's most, by name, and the layer that runs then, forward or backward."""

    parts: Mapping[str, int]
    layer: str
    is_backward: bool


def held(graph: Graph, batch: int, dtype: str) -> Held:
    """What a training step holds, whose loss is one number that keeps nothing itself.

    Raises: UsageError: what a layer holds during its backward pass isn't modelled.
    """
    return _run(graph, batch, dtype, Meter())


def peak(graph: Graph, batch: int, dtype: str, step: Held) -> Peak:
    """What the step consists of at its peak: it's run once more, and looked at there."""
    meter = Meter(step.most_at)
    _run(graph, batch, dtype, meter)
    layer, is_backward = meter.seen_at
    return Peak(meter.seen, layer, is_backward)


def _run(graph: Graph, batch: int, dtype: str, meter: Meter) -> Held:
    graph.spend(20, "running so many layers on paper")
    step = _Step(graph, batch, dtype, meter)
    loss = op.loss(step.forward())
    left, forward, meter.most_since = meter.now, meter.most, 0
    backward(loss)
    return Held(forward, left, meter.most_since, meter.alive(), meter.most_at)


class _Step:
    """A network in training, its variables and parameters."""

    def __init__(self, graph: Graph, batch: int, dtype: str, meter: Meter) -> None:
        self.graph, self.batch, self.width, self.meter = graph, batch, BYTES[dtype], meter
        self.parameters: dict[int, list[Blank]] = {}
        self.inputs: list[Blank] = []
        """Held by the caller to the end, as the outputs are."""
        self.outputs: list[Blank] = []

    def forward(self) -> Sequence[Blank]:
        """The outputs. A variable is held as long as the program names it."""
        where, tokens = places(self.graph), token_volumes(self.graph)
        ending = defaultdict[int, list[int]](list)
        for wire, last in held_until(self.graph, {}).items():
            ending[last].append(wire)
        named = {wire for wires in ending.values() for wire in wires}
        returned = set(self.graph.outputs.values())
        values: dict[int, Blank] = {}
        for index, node in enumerate(self.graph.nodes):
            self.meter.at = node.name, False
            if node.inputs:
                sheet = self._sheet(node)
                sheet.overwrites, sheet.copies = index in where.overwriting, index in where.copied
                values[index] = sheet.run(node.layer, *[values[place] for place in node.inputs])
                self.parameters[index] = sheet.parameters
            else:
                values[index] = self._input(node, index in tokens)
            for wire in ending[index] if index in named else [*ending[index], index]:
                if wire not in returned:
                    values.pop(wire, None)
        self.outputs = [values[index] for index in self.graph.outputs.values()]
        for output in self.outputs:
            output.storage.name = "outputs" if output.storage.name == "volumes" else output.storage.name
        return self.outputs

    def _sheet(self, node: Node) -> Sheet:
        owned = [] if node.tied is None else self.parameters[node.tied]
        at = node.application
        return Sheet(
            self.meter, at.input_shapes, at.output_shape, self.batch, self.width, owned if node.reuses else owned[:1]
        )

    def _input(self, node: Node, has_tokens: bool) -> Blank:
        width = 8 if has_tokens else self.width
        sizes = (self.batch, *map(known, node.shape.values()))
        made = Blank(Storage(self.meter, prod(sizes) * width, "inputs"), sizes, width)
        self.inputs.append(made)
        return made
