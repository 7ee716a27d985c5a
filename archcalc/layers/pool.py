"""Pooling: fewer positions, the same channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from archcalc.errors import ShapeError
from archcalc.layers.arguments import (
    Extent,
    Padding,
    are_equal,
    per_axis,
    sliding_windows,
)
from archcalc.layers.base import Layer, layer, spatial_axes
from archcalc.layers.kept import (
    INPUT,
    NOTHING,
    Extra,
    Kept,
    Moments,
    input_and_places,
    value_and_place,
)
from archcalc.layers.reads import Bins, Everywhere, Reads, over
from archcalc.layers.sliding import Sliding, padded, pads_apart, spatial_sizes
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, exceeds, floor_div, is_symbolic, known, maximum, minimum, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


def pool_windows(
    sizes: dict[str, Dim],
    kernel: Extent,
    stride: Extent | None,
    padding: Padding,
    dilation: Extent = 1,
    ceil: bool = False,
) -> dict[str, Window]:
    """The windows of a pool, whose stride defaults to its kernel.

    Raises: ShapeError: a padding is more than half of its kernel, so that a window might see nothing else.
    """
    found = sliding_windows(sizes, kernel, kernel if stride is None else stride, dilation, padding, ceil)
    if padding in ("same", "half"):
        return found
    for window in found.values():
        for amount in (window.before, window.after):
            if exceeds(amount, floor_div(window.kernel, 2)):
                raise ShapeError(f"padding {amount} is more than half of the kernel {window.kernel}", code="E207")
    return found


class Pool(Sliding):
    """A window that reduces what it sees, channel by channel; PyTorch's rules, its ceil mode included."""

    over_batch = over_planes = True

    kernel_size: Extent
    stride: Extent | None
    padding: Padding
    dilation: Extent = 1
    ceil: bool

    def windows(self, x: Shape) -> Mapping[str, Window]:
        return pool_windows(
            spatial_sizes(x), self.kernel_size, self.stride, self.padding, dilation=self.dilation, ceil=self.ceil
        )

    def connections(self, x: Shape) -> Dim:
        windows = self.windows(x).values()
        return self.output_shape(x).numel * prod(window.kernel for window in windows)

    def pads_apart(self, x: Shape) -> bool:
        """Whether the padding is more than PyTorch's pools know: uneven, or more than half of the kernel."""
        windows = self.windows(x)
        if pads_apart(windows, self.padding):
            return True
        if self.padding != "same":
            return False  # `pool_windows` allows at most half of the kernel
        more = (maximum(w.before - floor_div(w.kernel, 2), 0) for w in windows.values())
        return not all(are_equal(amount, 0, "more than half of the kernel is padded") for amount in more)

    def _bare_windows(self, x: Shape) -> dict[str, Window]:
        """The windows on the volume that has its padding already; there may be more of them, in ceil mode."""
        sizes = padded(x, windows := self.windows(x))
        return {
            axis: Window(minimum(w.kernel, sizes[axis]), w.stride, w.dilation, ceil=self.ceil)
            for axis, w in windows.items()
        }

    def _read(self, x: Shape) -> tuple[Shape, Shape]:
        """The volume that the pool itself reads, and the one that it makes."""
        if not self.pads_apart(x):
            return x, self.output_shape(x)
        wide = padded(x, self.windows(x))
        return wide, wide.with_(**{axis: w.positions(wide[axis]) for axis, w in self._bare_windows(x).items()})

    def _torch_steps(self, x: Shape, name: str, filler: float, **options: Any) -> list[nn.Module]:
        """PyTorch's pool alone, or, around it, padding that it lacks and the cut that its ceil mode then needs."""
        from archcalc.layers import torch_modules as tm

        windows, pool = self.windows(x), tm.of_rank(name, len(x.spatial))
        pads = [w.pads for w in windows.values()]
        inner = self._bare_windows(x) if self.pads_apart(x) else windows
        kernel, stride = (tuple(getattr(w, side) for w in inner.values()) for side in ("kernel", "stride"))
        if inner is windows:
            padding = tuple(before for before, _ in pads)
            return [pool(kernel, stride, padding, ceil_mode=self.ceil, **options)]
        bare = pool(kernel, stride, ceil_mode=self.ceil, **options)
        return [tm.Pad(pads, filler), bare, tm.Narrow([known(w.positions(x[axis])) for axis, w in windows.items()])]


@layer("maxpool")
class MaxPool(Pool):
    """Greatest value under the window; padding never wins. The stride defaults to the kernel.

    Shapes: input (C, …), output (C, …), … one to three of D, H, W.
    Source: torch.nn.MaxPool2d.

    >>> MaxPool(3, stride=2, ceil=True).output_shape(Shape(C=64, H=112, W=112))
    Shape(C=64, H=56, W=56)
    """

    also = ("max_pooling", "pool", "pooling")

    kernel_size: Extent
    stride: Extent | None = None
    padding: Padding = 0
    dilation: Extent = 1
    ceil: bool = False

    uncounted = "comparisons"
    slides_name = "POOL"

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, padded if that's a step of its own, and where each maximum was."""
        wide, made = self._read(x)
        kept = input_and_places(made.numel)
        return kept if wide is x else Kept(extras=(Extra(wide.numel), *kept.extras))

    def working(self, x: Shape) -> Moments:
        """Maxima and their places, which are written whether or not they're wanted; perhaps the padded input."""
        wide, made = self._read(x)
        first = value_and_place(made.numel)
        return first if wide is x else ((Extra(wide.numel), *first[0]),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        wide, made = self._read(*at.shapes)
        if wide is not at.shapes[0]:
            x = op.resized(x, at.sizes(wide))
        places = [(at.batch * known(made.numel), 8)]
        if len(made.spatial) == 1 and not x.needs_grad:
            places = []  # along one axis, they are found for a gradient alone
        most = op.kernel([x], at.sizes(made), [x], extras=places)
        return most if made == at.output else op.narrowed(most, at.sizes())

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        dilation = tuple(w.dilation for w in self.windows(x).values())
        return tm.over_batch(x, *self._torch_steps(x, "MaxPool", -math.inf, dilation=dilation))


@layer("avgpool")
class AvgPool(Pool):
    """Mean of the values under the window; zeros of explicit padding count unless `count_include_pad` is false.

    Shapes: input (C, …), output (C, …), … one to three of D, H, W. `same` padding never counts, as in TensorFlow.
    Source: torch.nn.AvgPool2d.
    """

    also = ("average_pooling", "mean_pool")

    kernel_size: Extent
    stride: Extent | None = None
    padding: Padding = 0
    ceil: bool = False
    count_include_pad: bool = True

    uncounted = "additions"
    linear = True

    def pads_apart(self, x: Shape) -> bool:
        """Also in three dimensions: avg_pool3d alone compares its kernel with the input without padding."""
        if super().pads_apart(x) or len(x.spatial) < 3:
            return super().pads_apart(x)
        return self.ceil or not all(are_equal(w.before, 0, "there's padding") for w in self.windows(x).values())

    def _counts_padding(self) -> bool:
        return self.count_include_pad and self.padding != "same"

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, padded if that's a step of its own; then perhaps also how much of each window isn't padding."""
        wide, made = self._read(x)
        if wide is x:
            return INPUT
        return Kept(extras=(Extra(wide.numel if self._counts_padding() else wide.numel + made.numel),))

    def working(self, x: Shape) -> Moments:
        """The means, perhaps the padded input; then perhaps also how much of each window isn't padding."""
        wide, made = self._read(x)
        if wide is x:
            return ((Extra(made.numel),),)
        if self._counts_padding():
            return ((Extra(wide.numel + made.numel),),)
        return (Extra(x.numel + wide.numel + made.numel),), (Extra(wide.numel + 2 * made.numel),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        wide, made = self._read(*at.shapes)
        if wide is at.shapes[0]:
            return super().program(at, x)
        sums = op.resized(x, at.sizes(wide))
        sums = op.kernel([sums], at.sizes(made), [sums])
        if not self._counts_padding():
            ones = x.new()
            filled = ones.new(at.sizes(wide))
            del ones
            shares = filled.new(at.sizes(made))
            del filled
            sums = op.quotient(sums, shares)
        return sums if made == at.output else op.narrowed(sums, at.sizes())

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        steps = self._torch_steps(x, "AvgPool", 0, count_include_pad=self._counts_padding())
        if len(steps) > 1 and not self._counts_padding():
            pad, pool, cut = steps
            steps = [tm.AvgPoolWithoutPadding(pad, pool), cut]
        return tm.over_batch(x, *steps)


class GreatestOfMany(Layer):
    """A maximum of values that don't slide: PyTorch keeps its place, as of windows."""

    uncounted = "comparisons"
    torch_name: ClassVar[str] = "AdaptiveMaxPool"

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        return input_and_places(self.output_shape(x).numel)

    def working(self, x: Shape) -> Moments:
        return value_and_place(self.output_shape(x).numel)


class GlobalPool(Layer):
    """One value for each channel, from all positions; the spatial axes stay, with size 1."""

    over_batch = over_planes = True

    torch_name: ClassVar[str]

    def output_shape(self, x: Shape) -> Shape:
        return x.with_(**dict.fromkeys(spatial_axes(x), 1))

    def connections(self, x: Shape) -> Dim:
        return x.numel

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [over(x.spatial, Everywhere())]

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.over_batch(x, tm.of_rank(self.torch_name, len(x.spatial))(1))


@layer("global_avgpool")
class GlobalAvgPool(GlobalPool):
    """Mean of each channel over all positions. Shapes: input (C, H, W), output (C, 1, 1). Source: Lin et al. 2014."""

    also = ("gap", "global_average_pooling")

    uncounted = "additions"
    linear = True
    torch_name = "AdaptiveAvgPool"


@layer("global_maxpool")
class GlobalMaxPool(GreatestOfMany, GlobalPool):
    """Greatest value of each channel over all positions. Shapes: input (C, H, W), output (C, 1, 1)."""

    also = ("gmp", "global_max_pooling")


class AdaptivePool(Layer):
    """Bins, as equal as can be, that cover the input: bin i of m reads ⌊i·n/m⌋ up to ⌈(i+1)·n/m⌉ of n positions."""

    over_batch = over_planes = True

    output_size: Extent
    torch_name: ClassVar[str]

    def output_shape(self, x: Shape) -> Shape:
        return x.with_(**per_axis(self.output_size, spatial_axes(x), "output size"))

    def windows(self, x: Shape) -> Mapping[str, Window]:
        """The bins as windows, if all are equal; none otherwise."""
        bins = per_axis(self.output_size, spatial_axes(x), "output size")
        if any(is_symbolic(x[axis]) or is_symbolic(m) or x[axis] % m for axis, m in bins.items()):
            return {}
        return {axis: Window(x[axis] // m, x[axis] // m) for axis, m in bins.items()}

    def reads(self, x: Shape) -> Sequence[Reads]:
        bins = per_axis(self.output_size, x.spatial, "output size")
        return [Reads({axis: Everywhere() if count == 1 else Bins(count) for axis, count in bins.items()})]

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        sizes = tuple(per_axis(self.output_size, x.spatial, "output size").values())
        return tm.over_batch(x, tm.of_rank(self.torch_name, len(sizes))(sizes))


@layer("adaptive_avgpool")
class AdaptiveAvgPool(AdaptivePool):
    """Mean over bins, as many as `output_size` says. Shapes: input (C, H, W), output (C, *output_size).

    Source: torch.nn.AdaptiveAvgPool2d.
    """

    output_size: Extent

    uncounted = "additions"
    linear = True
    torch_name = "AdaptiveAvgPool"

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, for its size; nothing for a single bin, which PyTorch computes as a mean."""
        sizes = (self.output_shape(x)[axis] for axis in x.spatial)
        return NOTHING if all(are_equal(size, 1, "there's one bin") for size in sizes) else INPUT


@layer("adaptive_maxpool")
class AdaptiveMaxPool(GreatestOfMany, AdaptivePool):
    """Greatest value in bins, as many as `output_size` says. Shapes: input (C, H, W), output (C, *output_size).

    Source: torch.nn.AdaptiveMaxPool2d.
    """

    output_size: Extent
