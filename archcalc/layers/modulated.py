"""Convolutions whose weights another volume scales, for each example in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Amounts, Channels, Extent, Tensor, per_axis, sliding_windows
from archcalc.layers.base import Sentences, layer
from archcalc.layers.kept import Extra, Kept, Moments
from archcalc.layers.reads import Everywhere, Reads, over
from archcalc.layers.sliding import Sliding, spatial_sizes
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, differ, known, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


@layer("modconv")
class ModulatedConv(Sliding):
    """Convolution whose weights are multiplied by a style, a number for each input channel, in each example another.

    With `demodulate`, each filter is then divided by its length. Shapes: input (C, …), style (C), output (out, …).
    Source: Karras et al. 2020 (StyleGAN2), equations 1 and 3.

    >>> ModulatedConv(64, 3, "style", padding=1).macs(Shape(C=32, H=8, W=8), Shape(C=32))
    1179648
    """

    also = ("modulated_conv", "style_conv", "styled_conv")

    out_channels: Channels
    kernel_size: Extent
    style: Tensor
    padding: Amounts = 0
    demodulate: bool = True
    bias: bool = True

    weight_layer = True
    uncounted = "styles times weights, and lengths of filters"
    sentences = Sentences(
        weights="each of the {C_out} filters has a kernel for each of the channels",
        biases="one for each filter",
        macs="every weight is used once at each output position",
    )

    def windows(self, x: Shape, style: Shape) -> Mapping[str, Window]:
        return sliding_windows(spatial_sizes(x), self.kernel_size, 1, 1, self.padding)

    def output_shape(self, x: Shape, style: Shape) -> Shape:
        if "R" in x or "T" in x:
            raise ShapeError(f"needs one volume for each example; the input is {x}", code="E210")
        if tuple(style) != ("C",) or differ(style.C, x.C):
            raise ShapeError(f"the style is {style}, a vector of C={x.C} is needed", code="E208")
        return super().output_shape(x, style).with_(C=self.out_channels)

    def needs_dense(self, x: Shape) -> bool:
        return True

    def weights(self, x: Shape, style: Shape) -> Dim:
        return self.out_channels * x.C * prod(per_axis(self.kernel_size, x.spatial, "kernel").values())

    def tensors(self, x: Shape, style: Shape) -> Mapping[str, tuple[Dim, ...]]:
        sides = per_axis(self.kernel_size, x.spatial, "kernel").values()
        weight: tuple[Dim, ...] = (self.out_channels, x.C, *sides)
        return {"weight": weight, **({"bias": (self.out_channels,)} if self.bias else {})}

    def biases(self, x: Shape, style: Shape) -> Dim:
        return self.out_channels if self.bias else 0

    def macs(self, x: Shape, style: Shape) -> Dim:
        return self.output_shape(x, style).without("C").numel * self.weights(x, style)

    def connections(self, x: Shape, style: Shape) -> Dim:
        return self.macs(x, style) + (self.output_shape(x, style).numel if self.bias else 0)

    def reads(self, x: Shape, style: Shape) -> Sequence[Reads]:
        return [Reads({**self.windows(x, style), "C": Everywhere()}), over("C", Everywhere())]

    def kept(self, needs: Sequence[bool], x: Shape, style: Shape) -> Kept:
        """Both inputs, and for each example its weights; before and after the division, and what is divided by."""
        own = self.weights(x, style)
        return Kept((0, 1), extras=(Extra(2 * own + self.out_channels if self.demodulate else own),))

    def working(self, x: Shape, style: Shape) -> Moments:
        """Weights with their squares, or with what comes of the division; then those and the result."""
        own, made = self.weights(x, style), self.output_shape(x, style).numel
        first = 2 * own + self.out_channels if self.demodulate else own
        return (Extra(first),), (Extra(own + made),)

    def program(self, at: Sheet, x: Blank, style: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, style: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        windows = self.windows(x, style).values()
        kernel, padding = (
            tuple(known(side) for side in sides) for sides in zip(*((w.kernel, w.before) for w in windows), strict=True)
        )
        return tm.ModulatedConv(known(x.C), known(self.out_channels), kernel, padding, self.demodulate, self.bias)
