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
class Peak:
    """The most bytes at once, of what, and the layer that runs then, forward or backward."""

    bytes: int
    parts: Mapping[str, int]
    layer: str
    is_backward: bool


@dataclass(frozen=True)
class Held:
    """The bytes that a training step holds: at its peak, and, by name, at its end.

    `forward` is the most in the forward pass, `left` what that leaves, `backward` the most in the backward pass.
    """

    forward: int
    left: int
    backward: int
    peak: Peak
    after: Mapping[str, int]


def held(graph: Graph, batch: int, dtype: str) -> Held:
    """What a training step holds, whose loss is one number that keeps nothing itself.

    Raises: UsageError: what a layer holds during its backward pass isn't modelled.
    """
    first = _metered(graph, batch, dtype, Meter())
    last = _metered(graph, batch, dtype, Meter(first.meter.most_at))
    parts, (layer, is_backward) = last.meter.seen, last.meter.seen_at
    peak = Peak(first.meter.most, parts, layer, is_backward)
    return Held(first.forward_most, first.left, first.backward_most, peak, first.meter.alive())


def _metered(graph: Graph, batch: int, dtype: str, meter: Meter) -> _Step:
    graph.spend(20, "running so many layers on paper")
    step = _Step(graph, batch, dtype, meter)
    step.loss = op.loss(step.forward())
    step.left, step.forward_most, meter.most_since = meter.now, meter.most, 0
    backward(step.loss)
    step.backward_most = meter.most_since
    return step


class _Step:
    """A network in training, its variables and parameters."""

    def __init__(self, graph: Graph, batch: int, dtype: str, meter: Meter) -> None:
        self.graph, self.batch, self.width, self.meter = graph, batch, BYTES[dtype], meter
        self.left = self.forward_most = self.backward_most = 0
        self.parameters: dict[int, list[Blank]] = {}
        self.inputs: list[Blank] = []
        """Held by the caller to the end, as the outputs are."""
        self.outputs: list[Blank] = []
        self.loss: Blank | None = None

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
