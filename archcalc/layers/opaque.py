"""What specs don't know: an operation of which only the outside is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Count, Operator, Shapes
from archcalc.layers.base import Layer, Sentences, layer
from archcalc.layers.merge import stretched
from archcalc.layers.reads import ALL, SAME, Reads
from archcalc.shape import AXES, Shape
from archcalc.symbolic import Dim, differ, known, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


@layer("opaque")
class Opaque(Layer):
    """An operation that specs don't know: what it makes and what it holds is known, what it computes isn't.

    Shapes: any number of any → the axes that are given; without them, or value by value, that of what enters.

    >>> Opaque("fft_rfft2", C=3, H=32, W=17).output_shape(Shape(C=3, H=32, W=32))
    Shape(C=3, H=32, W=17)
    """

    also = ("unknown", "custom", "lambda")

    operator: Operator
    C: Dim | None = None
    D: Dim | None = None
    H: Dim | None = None
    W: Dim | None = None
    T: Dim | None = None
    R: Dim | None = None
    on: Shapes | None = None
    learned: Shapes | None = None
    stored: Shapes | None = None
    products: Count | None = None
    pointwise: bool = False
    output: Dim = 1

    is_opaque = True
    uncounted = "what specs don't know"
    sentences = Sentences(
        weights="as many as the operation reads; which of them are added isn't known",
        buffers="as many as the operation reads",
    )

    @property
    def has_known_macs(self) -> bool:
        return self.pointwise or self.products is not None

    def output_shape(self, *inputs: Shape) -> Shape:
        self._check_entering(inputs)
        sizes = {axis: getattr(self, axis) for axis in AXES}
        given = Shape(**{axis: size for axis, size in sizes.items() if size is not None})
        if not self.pointwise:
            return given or inputs[0]
        if given:
            raise ShapeError("what works value by value has the shape of what enters", code="E211")
        return stretched(inputs)

    def _check_entering(self, inputs: Sequence[Shape]) -> None:
        """Refuse volumes other than those `on` which it's known what the operation makes."""
        if self.on is None:
            return
        if len(self.on) != len(inputs):
            raise ShapeError(f"{self.operator} is known on {len(self.on)} volumes, not on {len(inputs)}", code="E201")
        for sizes, x in zip(self.on, inputs, strict=True):
            found = tuple(x.values())
            if len(sizes) != len(found) or any(differ(a, b) for a, b in zip(sizes, found, strict=True)):
                message = f"what {self.operator} makes is known on {'x'.join(map(str, sizes))} alone, not on {x.text()}"
                raise ShapeError(message, code="E208", hint="import the module with this size")

    def weights(self, *inputs: Shape) -> Dim:
        return sum(prod(sizes) for sizes in self.learned or ())

    def buffers(self, *inputs: Shape) -> Dim:
        return sum(prod(sizes) for sizes in self.stored or ())

    def tensors(self, *inputs: Shape) -> Mapping[str, tuple[Dim, ...]]:
        every = [*(self.learned or ()), *(self.stored or ())]
        return {str(number): tuple(sizes) for number, sizes in enumerate(every, 1)}

    def macs(self, *inputs: Shape) -> Dim:
        return self.products or 0

    def reads(self, *inputs: Shape) -> Sequence[Reads]:
        """Everything, which is the most that it may read; value by value the same position."""
        return [SAME if self.pointwise else ALL] * len(inputs)

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, *inputs: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        y = tuple(map(known, self.output_shape(*inputs).values()))
        learned, stored = ([tuple(map(known, sizes)) for sizes in each or ()] for each in (self.learned, self.stored))
        return tm.Opaque(self.operator, y, learned, stored)
