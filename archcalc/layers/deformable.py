"""Convolutions whose taps another volume moves, for each position in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Channels, Extent, Padding, Tensor, per_axis, sliding_windows
from archcalc.layers.base import Sentences, layer
from archcalc.layers.kept import Extra, Kept, Moments
from archcalc.layers.reads import Everywhere, Groups, Linked, Reads, Relation, over
from archcalc.layers.sliding import Sliding, spatial_sizes
from archcalc.shape import Shape, Window, unequal_axes
from archcalc.symbolic import Dim, differ, floor_div, is_symbolic, known, prod, shared_out

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


@layer("deform_conv")
class DeformableConv(Sliding):
    """Convolution whose taps are moved by `offset`, two numbers for each tap at each output position: down, right.

    Where no value is, four neighbours are interpolated; zeros lie around the map. With `mask`, what a tap finds is
    multiplied by a number of its own. Of k taps, 2·k·g channels of offsets, and k·g of masks, move each of g groups of
    input channels by themselves; other layers make them, most often a convolution of the same kernel and stride.
    Shapes: input (C, H, W), offset (2·k·g, H', W'), mask (k·g, H', W'), output (out_channels, H', W').
    Source: Dai et al. 2017, section 2.1; with a mask: Zhu et al. 2019, equation 1; torchvision.ops.deform_conv2d.

    >>> DeformableConv(64, 3, "offset", padding=1).macs(Shape(C=32, H=8, W=8), Shape(C=18, H=8, W=8))
    1179648
    """

    also = ("deformable_conv", "deform_conv2d", "dcn", "dcnv2", "modulated_deform_conv")

    out_channels: Channels
    kernel_size: Extent
    offset: Tensor
    stride: Extent = 1
    padding: Padding = 0
    dilation: Extent = 1
    groups: Dim = 1
    bias: bool = True
    mask: Tensor | None = None

    weight_layer = True
    uncounted = "interpolation"
    sentences = Sentences(
        weights="each of the {C_out} filters has a tap at each place of the kernel for each channel that it sees",
        biases="one for each filter",
        macs="every weight is used once at each output position",
    )

    def windows(self, x: Shape, *others: Shape) -> Mapping[str, Window]:
        if set(x) != {"C", "H", "W"}:
            raise ShapeError(f"needs one map for each example, with the axes C, H and W; the input is {x}", code="E210")
        return sliding_windows(spatial_sizes(x), self.kernel_size, self.stride, self.dilation, self.padding)

    def output_shape(self, x: Shape, *others: Shape) -> Shape:
        y = super().output_shape(x, *others).with_(C=self.out_channels)
        for name, channels in (("in_channels", x.C), ("out_channels", self.out_channels)):
            if differ(channels % self.groups, 0):
                raise ShapeError(f"{name}={channels} is not divisible by groups={self.groups}", code="E205")
        self._check_places(x, y, *others)
        return y

    def _check_places(self, x: Shape, y: Shape, offset: Shape, *mask: Shape) -> None:
        taps = self._taps(x)
        if set(offset) != set(y) or unequal_axes(offset, y, ["H", "W"]) or differ(offset.C % (2 * taps), 0):
            wanted = f"two for each of {taps} taps, {2 * taps}, or a multiple of that, at {y.without('C')} are needed"
            raise ShapeError(f"the offset is {offset}: {wanted}", code="E208")
        moved = self._moved(x, offset)
        if differ(x.C % moved, 0):
            raise ShapeError(f"the offset is for {moved} groups, which don't divide {x.C} channels", code="E208")
        for shape in mask:
            if set(shape) != set(y) or unequal_axes(shape, y, ["H", "W"]) or differ(shape.C, taps * moved):
                raise ShapeError(f"the mask is {shape}; {y.with_(C=taps * moved)} is needed", code="E208")

    def needs_dense(self, x: Shape) -> bool:
        return True

    def gates(self, *inputs: Shape) -> tuple[int, ...]:
        return tuple(range(1, len(inputs)))

    def _taps(self, x: Shape) -> Dim:
        return prod(per_axis(self.kernel_size, x.spatial, "kernel").values())

    def _moved(self, x: Shape, offset: Shape) -> Dim:
        """How many groups of channels are moved by themselves."""
        return floor_div(offset.C, 2 * self._taps(x))

    def _found(self, x: Shape, *others: Shape) -> Dim:
        """How many values the taps find, at all output positions."""
        return x.C * self._taps(x) * self.output_shape(x, *others).without("C").numel

    def weights(self, x: Shape, *others: Shape) -> Dim:
        return self.out_channels * shared_out(x.C, self.groups) * self._taps(x)

    def tensors(self, x: Shape, *others: Shape) -> Mapping[str, tuple[Dim, ...]]:
        sides = per_axis(self.kernel_size, x.spatial, "kernel").values()
        found: dict[str, tuple[Dim, ...]] = {"weight": (self.out_channels, shared_out(x.C, self.groups), *sides)}
        return {**found, "bias": (self.out_channels,)} if self.bias else found

    def biases(self, x: Shape, *others: Shape) -> Dim:
        return self.out_channels if self.bias else 0

    def macs(self, x: Shape, *others: Shape) -> Dim:
        return self.output_shape(x, *others).without("C").numel * self.weights(x, *others)

    def connections(self, x: Shape, *others: Shape) -> Dim:
        return self.macs(x, *others) + (self.output_shape(x, *others).numel if self.bias else 0)

    def reads(self, x: Shape, offset: Shape, *mask: Shape) -> Sequence[Reads]:
        anywhere = {"H": Everywhere(), "W": Everywhere(), "C": self._sees(x)}
        each = (over("C", self._moved_by(x, offset, shape)) for shape in (offset, *mask))
        return [Reads(anywhere), *each]

    def _sees(self, x: Shape) -> Relation:
        """The channels of the map that a filter reads."""
        if not is_symbolic(self.groups) and self.groups == 1:
            return Everywhere()
        return Groups(floor_div(self.out_channels, self.groups), floor_div(x.C, self.groups))

    def _moved_by(self, x: Shape, offset: Shape, numbers: Shape) -> Relation:
        """The channels of the offset, or of the mask, that say where, or how much, a filter reads."""
        sizes = (self.groups, self._moved(x, offset), x.C, self.out_channels, numbers.C)
        if any(map(is_symbolic, sizes)) or 1 in sizes[:2]:
            return Everywhere()
        groups, moved, channels, filters, count = map(known, sizes)
        read = {(c * moved // channels, c * groups // channels) for c in range(channels)}
        by, of = [n * moved // count for n in range(count)], [o * groups // filters for o in range(filters)]
        return Linked(tuple([tuple([(number, group) in read for group in of]) for number in by]))

    def kept(self, needs: Sequence[bool], x: Shape, *others: Shape) -> Kept:
        """What the taps find, after the mask and before; the map, the mask, and where the taps are.

        A kernel of its own, as torchvision's, would keep its inputs alone, and look for all of it once more.
        """
        found, looked = Extra(self._found(x, *others)), needs[0] or needs[1]
        inputs, places = ((0, 2) if self.mask else (0,), [Extra(others[0].numel)]) if looked else ((), [])
        return Kept(inputs, extras=(found, *places, *([found] if self.mask and needs[2] else [])))

    def working(self, x: Shape, *others: Shape) -> Moments:
        """Where the taps are, by axis and joined; that and what they find; with the mask; then that and the result."""
        places, found = others[0].numel, self._found(x, *others)
        masked = ((Extra(2 * found),),) if self.mask else ()
        made = self.output_shape(x, *others).numel
        return ((Extra(2 * places),), (Extra(places + found),), *masked, (Extra(found + made),))

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, *others: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        windows = self.windows(x).values()
        kernel, stride, padding, dilation = (
            tuple(map(known, sizes))
            for sizes in zip(*((w.kernel, w.stride, w.before, w.dilation) for w in windows), strict=True)
        )
        channels, filters = known(x.C), known(self.out_channels)
        return tm.DeformableConv(channels, filters, kernel, stride, padding, dilation, known(self.groups), self.bias)
