"""Merges: one volume from several; they take any number of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Axis
from archcalc.layers.base import Layer, layer
from archcalc.layers.kept import Extra, Kept, Moments
from archcalc.layers.reads import Part, Reads, over
from archcalc.shape import AXES, SPATIAL, Shape, unequal_axes
from archcalc.symbolic import maximum, none_equal, prod

if TYPE_CHECKING:
    from torch import nn


NOT_SPATIAL = tuple(axis for axis in AXES if axis not in SPATIAL)


def _mismatch() -> ShapeError:
    return ShapeError("branches have different shapes", code="E201")


def _in_a_row(operator: str, names: Sequence[str]) -> str:
    """The tensors joined one after the other; of a single one a copy."""
    return operator.join(names) if len(names) > 1 else f"{names[0]}.clone()"


@layer("add")
class Add(Layer):
    """Elementwise sum of equal shapes. Source: He et al. 2016, equation 1."""

    also = ("sum", "plus")

    uncounted = "additions"
    linear = True
    is_residual = True
    symbol = "+"

    def output_shape(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        if any(unequal_axes(first, other, AXES) for other in inputs[1:]):
            raise _mismatch()
        return first

    def working(self, *inputs: Shape) -> Moments:
        """The sum, and of more than two summands also that of all but the last."""
        return ((Extra(inputs[0].numel * (2 if len(inputs) > 2 else 1)),),)

    def torch_module(self, *inputs: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Add()

    def expression(self, names: Sequence[str], y: Shape) -> str:
        return _in_a_row(" + ", names)


@layer("mul")
class Multiply(Layer):
    """Elementwise product of equal shapes; an input whose spatial axes are all 1 is a gate for every position.

    Source: Hu et al. 2018 (squeeze and excitation), equation 4.
    """

    also = ("multiply", "product")

    uncounted = "products"
    symbol = "×"

    def output_shape(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        if any(other.spatial != first.spatial or unequal_axes(first, other, NOT_SPATIAL) for other in inputs):
            raise _mismatch()
        result = first.with_(**{axis: maximum(*(shape[axis] for shape in inputs)) for axis in first.spatial})
        for other in inputs if first.spatial else ():
            smaller = sum(result[axis] - other[axis] for axis in first.spatial)
            if none_equal((smaller, 0), (prod(other[axis] for axis in first.spatial), 1)):
                raise _mismatch()
        return result

    def gates(self, *inputs: Shape) -> tuple[int, ...]:
        """Those with size 1 along every spatial axis, beside a larger one; of equally small ones all but the first."""
        small = [i for i, x in enumerate(inputs) if x.spatial and all(x[axis] == 1 for axis in x.spatial)]
        return tuple(small) if len(small) < len(inputs) else tuple(small[1:])

    def kept(self, needs: Sequence[bool], *inputs: Shape) -> Kept:
        """Of two factors, each whose other factor needs a gradient; several are multiplied one after the other."""
        kept: set[int] = set()
        products = []
        for last in range(1, len(inputs)):
            if any(needs[:last]):
                kept.add(last)
            if needs[last] and last == 1:
                kept.add(0)
            elif needs[last]:
                products.append(Extra(self.output_shape(*inputs[:last]).numel))
        return Kept(tuple(sorted(kept)), extras=tuple(products))

    def working(self, *inputs: Shape) -> Moments:
        """The product, and of more than two factors also that of all but the last."""
        before = self.output_shape(*inputs[:-1]).numel if len(inputs) > 2 else 0
        return ((Extra(self.output_shape(*inputs).numel + before),),)

    def torch_module(self, *inputs: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Multiply()

    def expression(self, names: Sequence[str], y: Shape) -> str:
        return _in_a_row(" * ", names)


@layer("concat")
class Concat(Layer):
    """Joined along one axis, C by default; equal along the others. Source: Szegedy et al. 2015, figure 2.

    >>> Concat().output_shape(Shape(C=64, H=28, W=28), Shape(C=128, H=28, W=28))
    Shape(C=192, H=28, W=28)
    """

    also = ("cat", "concatenate")

    axis: Axis = "C"

    takes_turned = True
    linear = True
    symbol = "‖ concat"

    def output_shape(self, *inputs: Shape) -> Shape:
        first, others = inputs[0], [axis for axis in AXES if axis != self.axis]
        if all(self.axis not in shape for shape in inputs):
            raise ShapeError(f"the branches have no axis {self.axis}; the first is {first}", code="E210")
        if any(self.axis not in shape or unequal_axes(first, shape, others) for shape in inputs):
            raise _mismatch()
        return first.with_(**{self.axis: sum(shape[self.axis] for shape in inputs)})

    def reads(self, *inputs: Shape) -> Sequence[Reads]:
        starts = accumulate((shape[self.axis] for shape in inputs), initial=0)
        return [over((self.axis,), Part(start)) for start, _ in zip(starts, inputs, strict=False)]

    def torch_module(self, *inputs: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Concat(tuple(inputs[0]).index(self.axis) + 1)

    def expression(self, names: Sequence[str], y: Shape) -> str:
        return f"torch.cat([{', '.join(names)}], dim={tuple(y).index(self.axis) + 1})"
