"""What a layer's program needs beside its inputs: their shapes, and its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from archcalc.errors import UsageError
from archcalc.layers.kept import Extra, Kept, Width
from archcalc.paper import operations as op
from archcalc.paper.tensors import Blank, Meter, parameter
from archcalc.shape import Shape
from archcalc.symbolic import Dim, known

if TYPE_CHECKING:
    from archcalc.layers import Layer


class Sheet:
    """One layer of one network in training: `shapes` of its inputs, of its `output`, and a batch of examples.

    `owned` are parameters of a layer whose own it uses: all of them, or its matrix alone.
    """

    def __init__(
        self, meter: Meter, shapes: Sequence[Shape], output: Shape, batch: int, width: int, owned: Sequence[Blank]
    ) -> None:
        self.meter, self.shapes, self.output, self.batch, self.width = meter, shapes, output, batch, width
        self._owned = list(owned)
        self.overwrites = self.copies = self.is_folded = False
        self.parameters: list[Blank] = []

    def unknown(self, layer: Layer) -> UsageError:
        """What to raise for a kind, or a form of one, whose backward pass has no program."""
        return UsageError(f"what {layer.kind} holds during its backward pass isn't modelled yet: {layer}")

    def parameter(self, *sizes: Dim) -> Blank:
        """The next parameter of the layer's module."""
        made = self._owned.pop(0) if self._owned else parameter(self.meter, tuple(map(known, sizes)), self.width)
        self.parameters.append(made)
        return made

    def sizes(self, shape: Shape | None = None) -> tuple[int, ...]:
        """Those of a whole batch of volumes, by default of the output's; regions and tokens may have joined it."""
        shape = self.output if shape is None else shape
        if not self.is_folded:
            return self.batch, *map(known, shape.values())
        batch = self.batch * prod([known(shape.get(axis, 1)) for axis in ("R", "T")])
        return batch, known(shape.get("C", 1)), *(known(shape[axis]) for axis in shape.spatial)

    def run(self, layer: Layer, *inputs: Blank) -> Blank:
        """What the layer makes; where its module adds an axis, or takes one away meanwhile, views around it."""
        first, *others = (x.alias() if place in layer.sizes_only else x for place, x in enumerate(inputs))
        if not layer.is_seen_otherwise(*self.shapes):
            return layer.program(self, first, *others)
        self.is_folded = True
        made = layer.program(self, op.view(first, self.sizes(self.shapes[0])), *others)
        self.is_folded = False
        return op.view(made, self.sizes())

    def one_kernel(self, layer: Layer, inputs: Sequence[Blank], kept: Kept) -> Blank:
        """A program of one operation, with all parameters; it saves what the kind keeps."""
        counts = layer.weights(*self.shapes), layer.biases(*self.shapes)
        own = [self.parameter(count) for count in counts if count]
        saved = [inputs[place] for place in kept.inputs]
        extras = [self._numbers(extra) for extra in kept.extras]
        return op.kernel([*inputs, *own], self.sizes(), saved, kept.output, extras)

    def _numbers(self, extra: Extra) -> tuple[int, int]:
        widths = {Width.value: self.width, Width.statistic: max(self.width, 4), Width.index: 8, Width.mask: 1}
        return known(extra.amount) * (self.batch if extra.per_example else 1), widths[extra.width]
