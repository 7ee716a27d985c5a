"""Convolutions: shared kernels that slide over the spatial axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from archcalc.errors import ShapeError
from archcalc.layers.arguments import (
    Amounts,
    Bias,
    Channels,
    Extent,
    FilterNorm,
    Number,
    Padding,
    Table,
    Tie,
    WeightNorm,
    per_axis,
    sliding_windows,
    transposed_windows,
)
from archcalc.layers.base import Sentences, layer, spatial_axes
from archcalc.layers.kept import Extra, Kept, Moments, Width
from archcalc.layers.reads import Everywhere, Groups, Linked, Relation
from archcalc.layers.sliding import Sliding, padded, pads_apart, spatial_sizes
from archcalc.shape import Shape, TransposedWindow, Window
from archcalc.symbolic import Dim, agreement, differ, exceeds, floor_div, is_symbolic, known, maximum, prod, shared_out

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank

STANDARDISED = ("standard", "gain")
"""Where each filter is less its mean, over its deviation. Sources: Qiao et al. 2019; with factors Brock et al. 2021."""


class Convolution(Sliding):
    """What all convolutions share; a kind says how many filters in how many groups, and where its kernel is applied."""

    over_batch = True

    kernel_size: Extent
    stride: Extent
    padding: Padding
    dilation: Extent
    bias: Bias

    connect: Table | None = None
    tie: Tie | None = None
    weight_norm: FilterNorm = "none"
    weight_eps: Number = Fraction(1, 1_000_000)
    weight_scale: Number = 1

    weight_layer = True
    normed_parts: ClassVar[Mapping[str, str]] = {"filter": "filter", "tap": "tap"}
    """What has a learned length with `weight_norm`: a part of the weight along its first axis, or its last."""
    sentences = Sentences(
        weights="each of the {C_out} filters has {taps} taps on each of the {fan} channels that it sees",
        biases="one for each filter",
        macs="every weight is used once at each output position",
    )

    @property
    def linear(self) -> bool:
        """Whether weights of 1 add up what it reads: standardised, they'd be 0."""
        return self.weight_norm not in STANDARDISED

    def sentence(self, quantity: str, x: Shape) -> str:
        text = super().sentence(quantity, x)
        if quantity == "biases" and self.bias == "position":
            text = "one for each output position of each filter"
        elif quantity == "weights":
            if self.connect is not None:
                text = "the table connects pairs of an input and an output channel, each with {taps} taps"
            taps, fan = "*".join(map(str, self.taps(x))), str(self.kernels(x)[1])
            text = text.replace("{taps}", taps).replace("{fan}", fan)
            if self._is_normed():
                text += f"; {self._sentence_of_norm()}"
        return text

    def _sentence_of_norm(self) -> str:
        if self.weight_norm == "standard":
            return "each filter is standardised"
        if self.weight_norm == "gain":
            return "a learned factor for each filter, which is standardised"
        return f"a learned length for each {self.normed_parts[self.weight_norm]}"

    def filters(self, x: Shape) -> Dim:
        """How many channels the output has."""
        raise NotImplementedError

    def group_count(self, x: Shape) -> Dim:
        """Into how many groups, connected each to its own, input and output channels are divided."""
        raise NotImplementedError

    def applications(self, x: Shape) -> Dim:
        """How often each weight is used: once for each output position."""
        return self.output_shape(x).without("C").numel

    def windows(self, x: Shape) -> Mapping[str, Window]:
        return sliding_windows(spatial_sizes(x), self.kernel_size, self.stride, self.dilation, self.padding)

    def output_shape(self, x: Shape) -> Shape:
        self._check_channels(x)
        return super().output_shape(x).with_(C=self.filters(x))

    def _check_channels(self, x: Shape) -> None:
        inputs, outputs, groups = x.C, self.filters(x), self.group_count(x)
        if differ(inputs % groups, 0):
            raise ShapeError(f"in_channels={inputs} is not divisible by groups={groups}", code="E205")
        if differ(outputs % groups, 0):
            raise ShapeError(f"out_channels={outputs} is not divisible by groups={groups}", code="E205")
        self._check_norm(x)
        if self.connect is None:
            return
        rows, columns = len(self.connect), len(self.connect[0])
        if differ(rows, inputs) or differ(columns, outputs):
            raise ShapeError(
                f"the table is {rows}x{columns}, the layer connects {inputs} to {outputs} channels", code="E206"
            )
        if differ(groups, 1):
            raise ShapeError("takes either groups or a connection table", code="E206")

    def _check_norm(self, x: Shape) -> None:
        if self.weight_norm not in STANDARDISED and self.weight_eps != Convolution.weight_eps:
            raise ShapeError("weight_eps goes with weight_norm=standard or gain", code="E211")
        if self.weight_norm != "gain" and self.weight_scale != 1:
            raise ShapeError("weight_scale goes with weight_norm=gain", code="E211")
        if not self._is_normed():
            return
        if self.connect is not None or self.tie:
            raise ShapeError("weight_norm goes neither with a connection table nor with tie", code="E211")
        if self.weight_norm == "tap" and len(x.spatial) > 1:
            raise ShapeError(f"weight_norm=tap is for kernels along one axis; the input is {x}", code="E211")
        if self.weight_norm in STANDARDISED and exceeds(2, prod(self.kernels(x)[1:])):
            raise ShapeError(f"weight_norm={self.weight_norm} needs filters of more than one weight", code="E211")

    def _is_normed(self) -> bool:
        return self.weight_norm != "none"

    def lengths(self, x: Shape) -> Dim:
        """How many parts of the weight have a learned length or factor; 0 without `weight_norm`."""
        if self.weight_norm in ("none", "standard"):
            return 0
        return prod(self.taps(x)) if self.weight_norm == "tap" else self.kernels(x)[0]

    def taps(self, x: Shape) -> tuple[Dim, ...]:
        """The kernel's sides, one per spatial axis."""
        return tuple(per_axis(self.kernel_size, x.spatial, "kernel").values())

    def weight_shape(self, x: Shape) -> tuple[Dim, ...]:
        return () if self._is_normed() else self.kernels(x)  # what has lengths apart can't be shared

    def kernels(self, x: Shape) -> tuple[Dim, ...]:
        """(out, in / groups, *kernel); with a connection table one kernel per connected pair: (pairs, 1, *kernel)."""
        if self.connect is not None:
            return (sum(map(sum, self.connect)), 1, *self.taps(x))
        return (self.filters(x), shared_out(x.C, self.group_count(x)), *self.taps(x))

    def weight_factors(self, x: Shape) -> tuple[Dim | tuple[Dim, ...], ...]:
        if self._is_normed():
            return ()
        filters, depth, *taps = self.kernels(x)
        return (tuple(taps) if self.connect is not None else (*taps, depth)), filters

    def weights(self, x: Shape) -> Dim:
        return 0 if self.tie else prod(self.kernels(x)) + self.lengths(x)

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        """Beside the kernels their lengths, if these are learned apart; a bias of each position is a volume."""
        found = {"weight": self.kernels(x)} if self.weights(x) != 0 else {}
        if self.weight_norm not in ("none", "standard"):
            found["gain" if self.weight_norm == "gain" else "length"] = (self.lengths(x),)
        if self.bias == "position":
            return {**found, "bias": tuple(self.output_shape(x).without("R", "T").values())}
        return {**found, "bias": (self.filters(x),)} if self.bias else found

    def biases(self, x: Shape) -> Dim:
        if self.bias == "position":
            return self.output_shape(x).without("R", "T").numel
        return self.filters(x) if self.bias else 0

    def macs(self, x: Shape) -> Dim:
        return self.applications(x) * prod(self.kernels(x))

    def mixes(self, x: Shape) -> Relation:
        if self.connect is not None:
            return Linked(self.connect)
        groups = self.group_count(x)
        if not is_symbolic(groups) and groups == 1:
            return Everywhere()
        return Groups(floor_div(self.filters(x), groups), floor_div(x.C, groups))

    def connections(self, x: Shape) -> Dim:
        return self.macs(x) + (self.output_shape(x).numel if self.bias else 0)

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, or what is made of it first: padded unevenly, gathered for a connection table.

        With a table, also both lists of channels, and the kernels' results, which are summed. With `weight_norm`, also
        the weight, which is made of parameters, and the lengths that it had.
        """
        read = padded(x, self.windows(x)) if self._pads_first(x) else x
        if self.connect is None:
            first = () if read is x else (Extra(read.numel),)
            return Kept((0,) if read is x else (), extras=(*first, *self._normed(x)))
        links = sum(map(sum, self.connect))
        results = links * (read.without("C").numel + self.output_shape(x).without("C").numel)
        return Kept(extras=(Extra(results), Extra(links * (1 + needs[0]), Width.index, per_example=False)))

    def working(self, x: Shape) -> Moments:
        """What each step makes, with what it reads; the step before is freed when it has run."""
        made, links = self.output_shape(x).numel, sum(map(sum, self.connect or ()))
        entering, leaving = x.with_(C=links or x.C), self.output_shape(x).with_(C=links or self.filters(x))
        full, uncut = self._before_crop(leaving, x)
        volumes = [entering.numel] if links else []
        if self._pads_first(x):
            volumes.append(padded(entering, self.windows(x)).numel)
        volumes.append(uncut * leaving.numel + (1 - uncut) * full)
        numbers = (Extra(links, Width.index, per_example=False),) if links else ()
        steps = [(Extra(volumes[0]), *numbers)] if links or len(volumes) == 1 else []
        steps += [(Extra(before + after),) for before, after in pairwise(volumes)]
        if self._is_normed():
            entered = (Extra(volumes[0]),) if len(volumes) > 1 else ()
            steps = [(*entered, *self._normed(x)), (*steps[-1], self._normed(x)[0])]
        if uncut != 1:
            steps.append((Extra((1 - uncut) * (full + leaving.numel)),))
        if links:  # zeros, to which the kernels' results are added
            steps.append((Extra(leaving.numel + 2 * made), *numbers))
        if self.bias == "position" or (links and self.bias):
            steps.append((Extra(2 * made),))
        return tuple(steps)

    def _normed(self, x: Shape) -> tuple[Extra, ...]:
        """The weight that is made of parameters, and the lengths that its parts had; nothing without `weight_norm`.

        Of one that is standardised each filter's mean and deviation, and its factor.
        """
        if not self._is_normed():
            return ()
        weight = Extra(prod(self.kernels(x)), per_example=False)
        if self.weight_norm in STANDARDISED:
            statistics = Extra(2 * self.filters(x), Width.statistic, per_example=False)
            return weight, statistics, *((Extra(self.filters(x), per_example=False),) if self.lengths(x) else ())
        return weight, Extra(self.lengths(x), Width.statistic, per_example=False)

    def _before_crop(self, leaving: Shape, x: Shape) -> tuple[Dim, Dim]:
        """What the kernels make if their result is cropped in a step of its own, and 1 if it isn't, 0 if it is.

        A transposed convolution's is, if its padding is uneven.
        """
        windows = self.windows(x)
        if not any(isinstance(w, TransposedWindow) for w in windows.values()):
            return 0, 1
        return padded(leaving, windows).numel, agreement((w.before, w.after) for w in windows.values())

    def _pads_first(self, x: Shape) -> bool:
        """Whether the input is padded in a step of its own."""
        return pads_apart(self.windows(x), self.padding)

    def program(self, at: Sheet, x: Blank) -> Blank:
        """Uneven padding, a connection table and a bias for each position are steps of their own."""
        from archcalc.paper import operations as op

        (shape,), links = at.shapes, sum(map(sum, self.connect or ()))
        entering, leaving = shape.with_(C=links or shape.C), at.output.with_(C=links or self.filters(shape))
        if links:
            x = op.gathered(x, at.sizes(entering), links)
        if self._pads_first(shape):
            x = op.resized(x, at.sizes(padded(entering, self.windows(shape))))
        _, uncut = self._before_crop(leaving, shape)
        x = self._convolved(at, x, at.sizes(leaving) if uncut else at.sizes(padded(leaving, self.windows(shape))))
        if not uncut:
            x = op.resized(x, at.sizes(leaving))
        if links:
            x = op.spread_sums(x, at.sizes(), links)
        if self.bias == "position" or (links and self.bias):
            sizes = x.sizes[1:] if self.bias == "position" else (x.sizes[1], *[1] * len(shape.spatial))
            x = op.added(x, at.parameter(*sizes))
        return x

    def _convolved(self, at: Sheet, x: Blank, sizes: tuple[int, ...]) -> Blank:
        """What the kernels make."""
        from archcalc.paper import operations as op

        if self.weight_norm in STANDARDISED:
            raise at.unknown(self)
        weight = at.parameter(*self.kernels(*at.shapes))
        if self._is_normed():
            weight = op.normed(weight, at.parameter(self.lengths(*at.shapes)))
        bias = self.bias is True and self.connect is None
        return op.convolved(x, weight, at.parameter(self.filters(*at.shapes)) if bias else None, sizes)

    def torch_module(self, x: Shape) -> nn.Module:
        """The kernels; uneven padding, a connection table and a bias per position become steps of their own."""
        from archcalc.layers import torch_modules as tm

        windows, outputs = tuple(self.windows(x).values()), known(self.filters(x))
        links = [(i, o) for i, row in enumerate(self.connect or ()) for o, linked in enumerate(row) if linked]
        steps = self._torch_kernels(x, windows, len(links))
        if links:
            sources, targets = zip(*links, strict=True)
            steps = [tm.TakeChannels(sources), *steps, tm.SumChannels(targets, outputs)]
            steps += [tm.Bias((outputs, *[1] * len(windows)))] if self.bias is True else []
        if self.bias == "position":
            steps.append(tm.Bias([*map(known, self.output_shape(x).without("R", "T").values())]))
        return tm.over_batch(x, *steps)

    def _torch_kernels(self, x: Shape, windows: Sequence[Window], links: int) -> list[nn.Module]:
        """PyTorch's convolution, grouped by pair if there are linked pairs, and padding that it does not know."""
        from archcalc.layers import torch_modules as tm

        extra = tuple(w.extra for w in windows if isinstance(w, TransposedWindow))
        even = all(w.before == w.after for w in windows) and not self._pads_first(x)
        kernels = tm.of_rank("ConvTranspose" if extra else "Conv", len(windows))(
            links or x.C,
            links or self.filters(x),
            self.taps(x),
            stride=tuple(w.stride for w in windows),
            padding=tuple(w.before for w in windows) if even else 0,
            dilation=tuple(w.dilation for w in windows),
            groups=links or self.group_count(x),
            bias=self.bias is True and not links,
            **({"output_padding": extra} if extra else {}),
        )
        if self.weight_norm in STANDARDISED:
            scale = float(self.weight_scale) if self.weight_norm == "gain" else None
            kernels = tm.Standardised(kernels, float(self.weight_eps), scale)
        elif self._is_normed():
            kernels = tm.WeightNorm(kernels, 0 if self.weight_norm == "filter" else 2)
        if even:
            # slow_conv_transpose3d starts from memory like its input's
            return [kernels, tm.Fitted()] if extra and len(windows) == 3 else [kernels]
        if extra:
            return [kernels, tm.Pad([(-before, -after) for before, after in (w.pads for w in windows)])]
        return [tm.Pad([w.pads for w in windows]), kernels]


@layer("conv")
class Conv(Convolution):
    """N-d cross-correlation over C and the spatial axes.

    With a connection table, each output channel sees only some of the input's.
    Shapes: input (C, …), output (out_channels, …), … one to three of D, H, W.
    Source: Dumoulin & Visin 2016; connection table and counts: LeCun et al. 1998, table I.

    >>> Conv(64, 3, padding=1).params(Shape(C=3, H=224, W=224))
    1792
    """

    also = ("convolution",)

    out_channels: Channels
    kernel_size: Extent
    stride: Extent = 1
    padding: Padding = 0
    dilation: Extent = 1
    groups: Dim = 1
    bias: Bias = True
    connect: Table | None = None
    tie: Tie | None = None
    weight_norm: FilterNorm = "none"
    weight_eps: Number = Fraction(1, 1_000_000)
    weight_scale: Number = 1

    def filters(self, x: Shape) -> Dim:
        return self.out_channels

    def group_count(self, x: Shape) -> Dim:
        return self.groups


@layer("dwconv")
class DepthwiseConv(Convolution):
    """Convolution of every channel on its own, with `multiplier` filters each.

    Shapes: input (C, …), output (C·multiplier, …).
    Source: Howard et al. 2017, section 3.1.

    >>> DepthwiseConv(3, padding=1, bias=False).weights(Shape(C=32, H=112, W=112))
    288
    """

    also = ("depthwise", "depthwise_conv")

    kernel_size: Extent
    stride: Extent = 1
    padding: Padding = 0
    dilation: Extent = 1
    multiplier: Dim = 1
    bias: Bias = True
    tie: Tie | None = None
    weight_norm: FilterNorm = "none"
    weight_eps: Number = Fraction(1, 1_000_000)
    weight_scale: Number = 1

    sentences = Convolution.sentences._replace(weights="each filter sees one channel only, with {taps} taps")

    def filters(self, x: Shape) -> Dim:
        return x.C * self.multiplier

    def group_count(self, x: Shape) -> Dim:
        return x.C


@layer("tconv")
class TransposedConv(Convolution):
    """Transposed convolution: each input position writes a kernel into the output, so MACs follow the input positions.

    Shapes: input (C, …), output (out_channels, …); with `same` padding every spatial size times its stride.
    Source: Dumoulin & Visin 2016, relationship 14.

    >>> TransposedConv(64, 2, stride=2).output_shape(Shape(C=128, H=28, W=28))
    Shape(C=64, H=56, W=56)
    """

    also = ("deconv", "conv_transpose", "transposed_conv", "upconv")

    out_channels: Channels
    kernel_size: Extent
    stride: Extent = 1
    padding: Padding = 0
    output_padding: Amounts = 0
    dilation: Extent = 1
    groups: Dim = 1
    bias: Bias = True
    tie: Tie | None = None
    connect: Table | None = None
    weight_norm: WeightNorm = "none"

    normed_parts: ClassVar[Mapping[str, str]] = {"filter": "input channel", "tap": "tap"}
    sentences = Convolution.sentences._replace(
        weights="each of the {C_in} input channels has a kernel of {taps} taps for each output channel of its group",
        macs="every weight is used once at each input position",
    )

    def filters(self, x: Shape) -> Dim:
        return self.out_channels

    def group_count(self, x: Shape) -> Dim:
        return self.groups

    def _pads_first(self, x: Shape) -> bool:
        return False  # it crops its output

    def applications(self, x: Shape) -> Dim:
        """How often each weight is used: once for each input position."""
        return x.without("C").numel

    def windows(self, x: Shape) -> Mapping[str, Window]:
        extras = per_axis(self.output_padding, spatial_axes(x), "output_padding")
        if self.padding == "same" and any(differ(extra, 0) for extra in extras.values()):
            raise ShapeError("takes either output_padding or padding=same", code="E211")
        found = transposed_windows(
            spatial_sizes(x), self.kernel_size, self.stride, self.dilation, self.padding, self.output_padding
        )
        for axis, extra in extras.items():
            stride, dilation = found[axis].stride, found[axis].dilation
            if exceeds(extra + 1, maximum(stride, dilation)):
                raise ShapeError(
                    f"output_padding {extra} must be smaller than the stride {stride} or the dilation {dilation}",
                    code="E207",
                )
        return found

    def kernels(self, x: Shape) -> tuple[Dim, ...]:
        """(in, out / groups, *kernel); with a connection table one kernel per connected pair: (pairs, 1, *kernel)."""
        if self.connect is not None:
            return super().kernels(x)
        return (x.C, shared_out(self.filters(x), self.group_count(x)), *self.taps(x))
