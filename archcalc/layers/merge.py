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
from archcalc.symbolic import is_symbolic, known, maximum, none_equal, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


NOT_SPATIAL = tuple(axis for axis in AXES if axis not in SPATIAL)


def _mismatch(hint: str = "") -> ShapeError:
    return ShapeError("branches have different shapes", code="E201", hint=hint)


class Elementwise(Layer):
    """Value by value; with `broadcast`, an axis of size 1 is stretched, and so is one that an input lacks."""

    commutes = True
    merges = True

    broadcast: bool = False

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.broadcast:
            return stretched(inputs)
        try:
            return self.unstretched(*inputs)
        except ShapeError:
            raise _mismatch(_could_stretch(inputs)) from None

    def unstretched(self, *inputs: Shape) -> Shape:
        """The output without `broadcast`.

        Raises: ShapeError: the inputs don't fit.
        """
        raise NotImplementedError(self.kind)

    def working(self, *inputs: Shape) -> Moments:
        """The result, and of more than two inputs also that of all but the last."""
        before = self.output_shape(*inputs[:-1]).numel if len(inputs) > 2 else 0
        return ((Extra(self.output_shape(*inputs).numel + before),),)

    def stretched(self, at: Sheet, inputs: Sequence[Blank]) -> Sequence[Blank]:
        """The inputs with all axes, those that they lack of size 1."""
        from archcalc.paper import operations as op

        axes = tuple(at.output)
        if all(len(x) == len(axes) for x in at.shapes):
            return inputs
        wide = [(at.batch, *(known(x.get(axis, 1)) for axis in axes)) for x in at.shapes]
        return [op.view(x, sizes) for x, sizes in zip(inputs, wide, strict=True)]

    def _module(self, plain: nn.Module, *inputs: Shape) -> nn.Module:
        """The module, or one around it that gives each input the axes that it lacks."""
        from archcalc.layers import torch_modules as tm

        y = self.output_shape(*inputs)
        if all(len(x) == len(y) for x in inputs):
            return plain
        return tm.Stretched(plain, [tuple(known(x.get(axis, 1)) for axis in y) for x in inputs])


def stretched(inputs: Sequence[Shape]) -> Shape:
    """The shape that all inputs are stretched to."""
    sizes = {axis: [x[axis] for x in inputs if axis in x] for axis in AXES if any(axis in x for x in inputs)}
    result = Shape(**{axis: maximum(*found) for axis, found in sizes.items()})
    if any(none_equal((size, result[axis]), (size, 1)) for axis, found in sizes.items() for size in found):
        raise _mismatch()
    return result


def _could_stretch(inputs: Sequence[Shape]) -> str:
    """What to write if the inputs would fit with `broadcast`."""
    axes = {axis for x in inputs for axis in x}
    sizes = [{x[axis] for x in inputs if axis in x} - {1} for axis in axes]
    fits = all(len(found) <= 1 and not any(map(is_symbolic, found)) for found in sizes)
    return "write 'broadcast: true' beside them to stretch axes of size 1 and missing ones" if fits else ""


def _in_a_row(operator: str, names: Sequence[str]) -> str:
    """The tensors joined one after the other; of a single one a copy."""
    return operator.join(names) if len(names) > 1 else f"{names[0]}.clone()"


@layer("add")
class Add(Elementwise):
    """Elementwise sum of equal shapes, or, with `broadcast`, of what can be stretched to one.

    Source: He et al. 2016, equation 1.

    >>> Add(broadcast=True).output_shape(Shape(C=64, H=7, W=7), Shape(C=64))
    Shape(C=64, H=7, W=7)
    """

    also = ("sum", "plus")

    broadcast: bool = False

    uncounted = "additions"
    linear = True
    is_residual = True
    symbol = "+"

    def unstretched(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        if any(unequal_axes(first, other, AXES) for other in inputs[1:]):
            raise _mismatch()
        return first

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.one_by_one(op.added, self.stretched(at, inputs))

    def torch_module(self, *inputs: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return self._module(tm.Add(), *inputs)

    def expression(self, names: Sequence[str], y: Shape) -> str:
        return "" if self.broadcast else _in_a_row(" + ", names)


@layer("mul")
class Multiply(Elementwise):
    """Elementwise product of equal shapes; an input whose spatial axes are all 1 is a gate for every position.

    With `broadcast`, any axis of size 1 is stretched, and one that an input lacks.
    Source: Hu et al. 2018 (squeeze and excitation), equation 4; one channel for all: Woo et al. 2018 (CBAM).

    >>> Multiply(broadcast=True).output_shape(Shape(C=64, H=7, W=7), Shape(C=1, H=7, W=7))
    Shape(C=64, H=7, W=7)
    """

    also = ("multiply", "product")

    broadcast: bool = False

    uncounted = "products"
    symbol = "×"

    def unstretched(self, *inputs: Shape) -> Shape:
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
        """Those with size 1 along every spatial axis, beside a larger one; of equally small ones all but the first.

        With `broadcast`, those that are stretched, unless all are.
        """
        if self.broadcast:
            y = self.output_shape(*inputs)
            stretched = tuple(i for i, x in enumerate(inputs) if x != y)
            return stretched if len(stretched) < len(inputs) else ()
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

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.one_by_one(op.product, self.stretched(at, inputs))

    def torch_module(self, *inputs: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return self._module(tm.Multiply(), *inputs)

    def expression(self, names: Sequence[str], y: Shape) -> str:
        return "" if self.broadcast else _in_a_row(" * ", names)


@layer("concat")
class Concat(Layer):
    """Joined along one axis, C by default; equal along the others. Source: Szegedy et al. 2015, figure 2.

    >>> Concat().output_shape(Shape(C=64, H=28, W=28), Shape(C=128, H=28, W=28))
    Shape(C=192, H=28, W=28)
    """

    also = ("cat", "concatenate")

    axis: Axis = "C"

    merges = True
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

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.joined(inputs, 1 + tuple(at.output).index(self.axis))

    def torch_module(self, *inputs: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Concat(tuple(inputs[0]).index(self.axis) + 1)

    def expression(self, names: Sequence[str], y: Shape) -> str:
        return f"torch.cat([{', '.join(names)}], dim={tuple(y).index(self.axis) + 1})"
