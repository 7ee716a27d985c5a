"""The way back up: unpooling and upsampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import (
    Extent,
    Interpolation,
    Number,
    Padding,
    Sampling,
    Tensor,
    per_axis,
    transposed_windows,
)
from archcalc.layers.base import Layer, layer, spatial_axes
from archcalc.layers.kept import Extra, Kept, Moments, Width, value_and_place
from archcalc.layers.pool import MaxPool, pool_windows
from archcalc.layers.reads import Everywhere, Only, Reads, Relation, Sampled
from archcalc.layers.sliding import Sliding, padded, spatial_sizes
from archcalc.shape import Shape, TransposedWindow, Window, unequal_axes
from archcalc.symbolic import Dim, agreement, exceeds, floor_div, known, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


@layer("unpool")
class Unpool(Sliding):
    """Max-unpooling: each value returns to the place its pool took it from (the stored switches), zeros elsewhere.

    Shapes: x (C, …), output (C, …); `like` is the volume that the pool read, whose spatial size the output takes.
    Source: Zeiler & Fergus 2014, section 2.1; torch.nn.MaxUnpool2d.

    >>> Unpool(3, stride=2).output_shape(Shape(C=96, H=55, W=55), Shape(C=96, H=110, W=110))
    Shape(C=96, H=110, W=110)
    """

    over_batch = True

    also = ("max_unpool",)

    kernel_size: Extent
    stride: Extent | None = None
    padding: Padding = 0
    like: Tensor | None = None

    sizes_only = (1,)

    def needs_dense(self, x: Shape) -> bool:
        return True

    def kept(self, needs: Sequence[bool], x: Shape, like: Shape | None = None) -> Kept:
        """The places of the values: the switches, or one pattern for all channels."""
        if like is None:
            return Kept(extras=(Extra(prod(spatial_sizes(x).values()), Width.index, per_example=False),))
        return Kept(extras=(Extra(x.numel, Width.index),))

    def working(self, x: Shape, like: Shape | None = None) -> Moments:
        """Zeros, and the volume made of them, both with padding, and the places; before, perhaps, pooling `like`."""
        windows = self.windows(x, *(() if like is None else (like,)))
        wide = padded(self.output_shape(x, *(() if like is None else (like,))), windows)
        places = self.kept((True,), x, like).extras
        filling = (Extra(2 * wide.numel), *places)
        if like is None:
            return (filling,)
        pooled = {axis: Window(w.kernel, w.stride, ceil=True).positions(wide[axis]) for axis, w in windows.items()}
        return ((Extra(wide.numel), *value_and_place(x.with_(**pooled).numel)[0], *places), filling)

    def windows(self, x: Shape, like: Shape | None = None) -> Mapping[str, Window]:
        sizes = spatial_sizes(x)
        if like is None:
            pool_windows(sizes, self.kernel_size, self.stride, self.padding)  # for its check of the padding
            stride = self.kernel_size if self.stride is None else self.stride
            return transposed_windows(sizes, self.kernel_size, stride, 1, self.padding)
        pools = self._pools_of(like, x)
        return {axis: _inverse(pools[axis], sizes[axis], like[axis]) for axis in sizes}

    def _pools_of(self, like: Shape, x: Shape) -> dict[str, Window]:
        """The windows that pool `like` to x; whether their count is rounded up or down isn't known.

        The two counts differ by 1 at most, so what lies between them is one of them.
        """
        if like.spatial != x.spatial or unequal_axes(like, x, ("R", "T", "C")):
            raise ShapeError(f"like is {like}, which does not pool to {x}", code="E208")
        arguments = spatial_sizes(like), self.kernel_size, self.stride, self.padding
        down, up = pool_windows(*arguments), pool_windows(*arguments, ceil=True)
        for axis, target in spatial_sizes(x).items():
            size = like[axis]
            most, least = up[axis].positions(size), down[axis].rounded_down(size)
            if exceeds(target, most) or exceeds(least, target):
                pooled = least if least == most else f"{least} or {most}"
                raise ShapeError(f"like has {axis}={size}, which pools to {pooled}, not to {target}", code="E208")
        return down

    def undoes(self, pool: Layer, pooled: Shape, *inputs: Shape) -> Dim:
        """Whether the pool has the same windows, no padding that PyTorch's pool doesn't know, and made what enters.

        Only PyTorch's own module can say where its maxima were, not one around it for other axes than C, D, H and W.
        """
        if not isinstance(pool, MaxPool) or pool.pads_apart(pooled) or {"R", "T"} & {*pooled} or "C" not in pooled:
            return 0
        equal = [*zip(pool.output_shape(pooled).values(), inputs[0].values(), strict=True)]
        for w, p in zip(self.windows(*inputs).values(), pool.windows(pooled).values(), strict=True):
            equal += [(w.kernel, p.kernel), (w.stride, p.stride), (w.before, p.before), (w.after, p.after)]
            equal.append((1, p.dilation))
        return agreement(equal)

    def program(self, at: Sheet, x: Blank, *like: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, like: Shape | None = None) -> nn.Module:
        """Given `like`, the switches are those of pooling it; else each value goes to the start of its window."""
        from archcalc.layers import torch_modules as tm

        windows = self.windows(x) if like is None else self.windows(x, like)
        sizes = self.output_shape(x, *(() if like is None else (like,)))
        kernel, stride = (tuple(getattr(w, side) for w in windows.values()) for side in ("kernel", "stride"))
        pool = tm.of_rank("MaxPool", len(windows))(kernel, stride, ceil_mode=True, return_indices=True)
        pads = [w.pads for w in windows.values()]
        unpool = tm.MaxUnpool(pads, [known(sizes[axis]) for axis in x.spatial], pool, stride)
        return tm.over_batch(x, unpool)


def _inverse(pool: Window, size: Dim, target: Dim) -> TransposedWindow:
    """The window that undoes a pool's, and makes `target` positions of `size`."""
    window = TransposedWindow(pool.kernel, pool.stride, pool.dilation, pool.before, pool.after)
    return replace(window, extra=target - window.span(size))


@layer("upsample")
class Upsample(Sliding):
    """Each spatial size times `factor`: values repeated (nearest) or interpolated (bilinear; linear in 1-d, 3-d alike).

    Shapes: input (C, H, W), output (C, H·factor, W·factor). Source: torch.nn.Upsample, align_corners=False.

    >>> Upsample(2).output_shape(Shape(C=64, H=7, W=7))
    Shape(C=64, H=14, W=14)
    """

    over_batch = True

    also = ("up_sampling",)

    factor: Extent
    mode: Interpolation = "nearest"

    uncounted = "interpolation"
    linear = True

    def windows(self, x: Shape) -> Mapping[str, Window]:
        """The transposed window with the same reach; linear interpolation is a triangle of two steps' width."""
        found = {}
        for axis, factor in per_axis(self.factor, spatial_axes(x), "factor").items():
            if self.mode == "nearest":
                found[axis] = TransposedWindow(factor, factor)
            else:
                half = floor_div(factor, 2)
                found[axis] = TransposedWindow(factor + 2 * half, factor, before=half, after=half)
        return found

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        modes = {"nearest": ["nearest"] * 3, "bilinear": ["linear", "bilinear", "trilinear"]}
        sizes = tuple(known(self.output_shape(x)[axis]) for axis in x.spatial)
        return tm.over_batch(x, nn.Upsample(sizes, mode=modes[self.mode][len(sizes) - 1]))


@layer("resize")
class Resize(Layer):
    """Spatial axes sampled anew: ⌊size·factor⌋ positions, as many as `size` says, or as another volume has.

    Positions are taken where they lie on the input, by the quotient of both sizes. `bilinear` is linear along one axis
    and trilinear along three, `bicubic` needs two; with `align_corners` the outermost positions lie on each other.
    Shapes: input (C, H, W), output (C, h, w). Source: torch.nn.functional.interpolate; bicubic: Keys 1981.

    >>> Resize(Fraction(3, 2)).output_shape(Shape(C=64, H=7, W=8))
    Shape(C=64, H=10, W=12)
    """

    over_batch = True

    also = ("interpolate",)

    factor: Number | None = None
    size: Extent | None = None
    like: Tensor | None = None
    mode: Sampling = "nearest"
    align_corners: bool = False

    uncounted = "interpolation"
    linear = True
    sizes_only = (1,)

    def output_shape(self, x: Shape, like: Shape | None = None) -> Shape:
        if self.align_corners and self.mode == "nearest":
            raise ShapeError("mode=nearest has no corners to align", code="E211")
        if self.mode == "bicubic" and len(spatial_axes(x)) != 2:
            raise ShapeError(f"mode=bicubic needs two spatial axes; the input is {x}", code="E202")
        targets = self._targets(x, like)
        for axis, target in targets.items():
            if exceeds(1, target):
                raise ShapeError(f"factor={self.factor} leaves nothing of {axis}={x[axis]}", code="E208")
        return x.with_(**targets)

    def _targets(self, x: Shape, like: Shape | None) -> Mapping[str, Dim]:
        """The size along each spatial axis."""
        axes = spatial_axes(x)
        if sum(given is not None for given in (self.factor, self.size, self.like)) != 1:
            raise ShapeError(
                "needs a factor, a size or like",
                code="E211",
                hint="write 'resize 3/2', 'resize size=56' or 'resize like=@path'",
            )
        if like is not None:
            if like.spatial != axes:
                raise ShapeError(f"like is {like}, the input {x}: their spatial axes differ", code="E202")
            return {axis: like[axis] for axis in axes}
        if self.factor is None:
            return per_axis(self.size or 1, axes, "size")
        if self.factor <= 0:
            raise ShapeError(f"factor={self.factor} is not greater than 0", code="E211")
        factor = Fraction(self.factor)
        return {axis: floor_div(x[axis] * factor.numerator, factor.denominator) for axis in axes}

    def reads(self, x: Shape, *like: Shape) -> Sequence[Reads | None]:
        y = self.output_shape(x, *like)
        return [Reads({axis: self._relation(x[axis], y[axis]) for axis in x.spatial}), *[None] * len(like)]

    def _relation(self, size: Dim, count: Dim) -> Relation:
        if size == 1:
            return Everywhere()
        if self.align_corners and count == 1:
            return Only(0)
        return Sampled(count, {"nearest": 1, "bilinear": 2, "bicubic": 4}[self.mode], self.align_corners)

    def torch_module(self, x: Shape, *like: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        sizes = tuple(known(size) for axis, size in self.output_shape(x, *like).items() if axis in x.spatial)
        mode = {"bilinear": ["linear", "bilinear", "trilinear"][len(sizes) - 1]}.get(self.mode, self.mode)
        module = tm.over_batch(x, nn.Upsample(sizes, mode=mode, align_corners=self.align_corners or None))
        return tm.First(module) if like else module
