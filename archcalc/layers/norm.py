"""Normalisation, and learned scales and shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Number
from archcalc.layers.base import Layer, Sentences, layer, spatial_axes
from archcalc.layers.kept import INPUT, Extra, Kept, Moments, Width
from archcalc.layers.reads import Everywhere, Groups, Reads, Relation, over
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, differ, exceeds, floor_div, known, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


EPSILON = Fraction(1, 100_000)
"""PyTorch's default of what is added to a variance, lest a root be 0."""


def normalised(groups: Dim, per_example: bool = True, more: tuple[Extra, ...] = ()) -> Kept:
    """What a normalisation keeps: its input, and mean and deviation of each group of values."""
    return Kept(inputs=(0,), extras=(Extra(2 * groups, Width.statistic, per_example), *more))


def folded(x: Shape) -> Dim:
    """How many regions and tokens join the batch."""
    return prod(x[axis] for axis in ("R", "T") if axis in x)


def _over_channels(x: Shape, statistics: Extra) -> Moments:
    """What a norm over C makes, which wants C last: the result and its statistics, then perhaps a copy in order."""
    first = (Extra(x.numel), statistics)
    return (first, (Extra(2 * x.numel),)) if x.spatial else (first,)


class Channelwise(Layer):
    """One learned factor and one learned summand for each channel, as far as the kind has them; the shape stays."""

    uncounted = "elementwise"
    normalises = True
    sentences = Sentences(weights="a learned factor for each channel", biases="a learned summand for each channel")

    affine: bool = True
    bias: bool = True

    def output_shape(self, x: Shape) -> Shape:
        _ = x.C  # raises if there are no channels
        return x

    def weights(self, x: Shape) -> Dim:
        return x.C if self.affine else 0

    def biases(self, x: Shape) -> Dim:
        return x.C if self.affine and self.bias else 0


@layer("bn")
class BatchNorm(Channelwise):
    """Batch normalisation of each channel: scale is a weight, shift a bias, running mean and variance are buffers.

    PyTorch's counter `num_batches_tracked` is not a statistic and is left out. A frozen one learns nothing and looks at
    no batch, not in training either: scale and shift are buffers as well. Shapes: any with C, unchanged.
    Source: Ioffe & Szegedy 2015; torch.nn.BatchNorm2d; frozen: torchvision.ops.FrozenBatchNorm2d.

    >>> BatchNorm().params(Shape(C=64, H=56, W=56)), BatchNorm(frozen=True).buffers(Shape(C=64, H=56, W=56))
    (128, 256)
    """

    over_batch = True

    also = ("batchnorm", "batch_normalization", "frozen_batch_norm")

    affine: bool = True
    eps: Number = EPSILON
    frozen: bool = False

    uncounted = "normalisation"
    sentences = Channelwise.sentences._replace(buffers="running mean and variance of each channel")

    @property
    def counters(self) -> int:
        """That of the batches that it has seen."""
        return 0 if self.frozen else 1

    def weights(self, x: Shape) -> Dim:
        return 0 if self.frozen else super().weights(x)

    def biases(self, x: Shape) -> Dim:
        return 0 if self.frozen else super().biases(x)

    def buffers(self, x: Shape) -> Dim:
        return (4 if self.frozen and self.affine else 2) * x.C

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        names = (*(("weight", "bias") if self.affine else ()), "running_mean", "running_var")
        return dict.fromkeys(names, (x.C,))

    def sentence(self, quantity: str, *inputs: Shape) -> str:
        said = super().sentence(quantity, *inputs)
        return f"{said}, its scale and its shift" if quantity == "buffers" and self.frozen and self.affine else said

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """A frozen one keeps each channel's factor alone, not its input."""
        return Kept(extras=(Extra(x.C, per_example=False),)) if self.frozen else normalised(x.C, per_example=False)

    def working(self, x: Shape) -> Moments:
        """A frozen one first makes one factor and one summand for each channel of what it stores."""
        if not self.frozen:
            return super().working(x)
        return (Extra(3 * x.C, per_example=False),), (Extra(x.numel), Extra(2 * x.C, per_example=False))

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        if not self.frozen:
            return super().program(at, x)
        return op.fixed_scale(x, known(at.output.C), self.affine)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        if self.frozen:
            norm = tm.FrozenBatchNorm(known(x.C), float(self.eps), self.affine, len(x.spatial))
            return tm.over_batch(x, norm)
        kind = tm.of_rank("BatchNorm", max(len(x.spatial), 1))
        return tm.over_batch(x, kind(x.C, eps=float(self.eps), affine=self.affine))


@layer("ln")
class LayerNorm(Channelwise):
    """Layer normalisation over C, at each position or token separately. Shapes: any with C, unchanged.

    Source: Ba et al. 2016; over channels of images: Liu et al. 2022 (ConvNeXt).
    """

    also = ("layernorm", "layer_normalization")

    bias: bool = True
    eps: Number = EPSILON
    affine: bool = True

    uncounted = "normalisation"
    takes_turned = True

    def mixes(self, x: Shape) -> Relation:
        return Everywhere()

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        return normalised(x.without("C").numel)

    def working(self, x: Shape) -> Moments:
        return _over_channels(x, Extra(2 * x.without("C").numel, Width.statistic))

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        made = super().program(at, x)
        return op.copied(made) if at.output.spatial else made

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        return tm.over_channels(x, nn.LayerNorm(known(x.C), float(self.eps), self.affine, self.bias))


@layer("rmsnorm")
class RMSNorm(Channelwise):
    """Division by the root mean square over C, at each position or token separately. Shapes: any with C, unchanged.

    `eps` is added to the mean square; left out, it's PyTorch's: the distance from 1 to the next number of the dtype.
    Source: Zhang & Sennrich 2019; torch.nn.RMSNorm.

    >>> RMSNorm().params(Shape(T=4, C=64))
    64
    """

    also = ("rms_normalization", "llama_rms_norm", "t5_layer_norm")

    eps: Number | None = None
    affine: bool = True

    uncounted = "normalisation"
    keeps_the_least = True

    def biases(self, x: Shape) -> Dim:
        return 0

    def mixes(self, x: Shape) -> Relation:
        return Everywhere()

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, and of each position one over its root mean square, as the fused kernel does."""
        return Kept(inputs=(0,), extras=(Extra(x.without("C").numel, Width.statistic),))

    def working(self, x: Shape) -> Moments:
        return _over_channels(x, Extra(x.without("C").numel, Width.statistic))

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        made = super().program(at, x)
        return op.copied(made) if at.output.spatial else made

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        eps = None if self.eps is None else float(self.eps)
        return tm.over_channels(x, nn.RMSNorm(known(x.C), eps, self.affine))


@layer("l2norm")
class L2Norm(Layer):
    """Division by the Euclidean length over C, or by `eps` where that is larger, at each position or token separately.

    Shapes: any with C, unchanged. A learned factor is a layer of its own: `l2norm -> scale bias=false`.
    Source: Liu et al. 2016 (ParseNet), equation 1; torch.nn.functional.normalize.
    """

    also = ("normalize", "l2_normalize", "unit_normalization")

    eps: Number = Fraction(1, 10**12)

    uncounted = "normalisation"
    normalises = True

    def output_shape(self, x: Shape) -> Shape:
        _ = x.C  # raises if there are no channels
        return x

    def mixes(self, x: Shape) -> Relation:
        return Everywhere()

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, the lengths, and what is divided by."""
        return Kept(inputs=(0,), extras=(Extra(2 * x.without("C").numel),))

    def working(self, x: Shape) -> Moments:
        """The result, and what was divided by."""
        return ((Extra(x.numel + x.without("C").numel),),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        axis = 1 + tuple(at.output).index("C")
        one = (*x.sizes[:axis], 1, *x.sizes[axis + 1 :])
        return op.quotient(x, op.spread(op.no_less(op.length(x, one)), x.sizes))

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Unit(-1 - len(x.spatial), float(self.eps))


@layer("groupnorm")
class GroupNorm(Channelwise):
    """Normalisation of groups of channels over all spatial positions, each region and token separately.

    Shapes: any with C, unchanged. Source: Wu & He 2018; torch.nn.GroupNorm.
    """

    over_batch = True

    also = ("gn", "group_normalization")

    num_groups: Dim
    eps: Number = EPSILON
    affine: bool = True

    uncounted = "normalisation"

    def needs_dense(self, x: Shape) -> bool:
        return True

    def output_shape(self, x: Shape) -> Shape:
        if differ(x.C % self.num_groups, 0):
            raise ShapeError(f"{x.C} channels are not divisible by num_groups={self.num_groups}", code="E205")
        return x

    def reads(self, x: Shape) -> Sequence[Reads]:
        channels = floor_div(x.C, self.num_groups)
        return [Reads({**dict.fromkeys(x.spatial, Everywhere()), "C": Groups(channels, channels)})]

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        return tm.over_batch(x, nn.GroupNorm(known(self.num_groups), known(x.C), float(self.eps), self.affine))

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """Its statistics are as wide as the values."""
        return Kept(inputs=(0,), extras=(Extra(2 * self.num_groups * folded(x)),))

    def working(self, x: Shape) -> Moments:
        return ((Extra(x.numel + 2 * self.num_groups * folded(x)),),)


@layer("instancenorm")
class InstanceNorm(Channelwise):
    """Normalisation of each channel over its spatial positions, at least two. Shapes: (C, H, W), unchanged.

    Source: Ulyanov et al. 2016; torch.nn.InstanceNorm2d.
    """

    over_batch = True

    also = ("in_norm", "instance_normalization")

    affine: bool = False
    eps: Number = EPSILON

    uncounted = "normalisation"

    def output_shape(self, x: Shape) -> Shape:
        if exceeds(2, prod(x[axis] for axis in spatial_axes(x))):
            raise ShapeError(f"needs more than one position; the input is {x}", code="E208")
        return super().output_shape(x)

    def needs_dense(self, x: Shape) -> bool:
        return True

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [over(x.spatial, Everywhere())]

    def program(self, at: Sheet, x: Blank) -> Blank:
        """Each example's channels are a batch norm's channels, with a copy of the factors and summands for each."""
        from archcalc.paper import operations as op

        own = [at.parameter(x.sizes[1]) for _ in range(2)] if self.affine else []
        return op.normalised_apart(x, own, x.sizes[0] * x.sizes[1])

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        norm = tm.of_rank("InstanceNorm", len(x.spatial))
        return tm.over_batch(x, norm(x.C, eps=float(self.eps), affine=self.affine))

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """As batch normalisation of a batch of one, for which the factors are repeated."""
        groups = x.C * folded(x)
        return normalised(groups, more=(Extra(groups),) if self.affine else ())

    def working(self, x: Shape) -> Moments:
        """The result and its statistics; factors and summands are repeated."""
        groups = x.C * folded(x)
        return ((Extra(x.numel + (2 * groups if self.affine else 0)), Extra(2 * groups, Width.statistic)),)


@layer("lrn")
class LocalResponseNorm(Layer):
    """Local response normalisation: a / (k + alpha·Σ a²)^beta, the sum over `size` neighbouring channels.

    AlexNet's constants by default; PyTorch's alpha is `size` times as large. Shapes: any with C, unchanged.
    Source: Krizhevsky et al. 2012, section 3.3.
    """

    over_batch = True

    also = ("local_response_norm",)

    size: Dim = 5
    alpha: Number = Fraction(1, 10_000)
    beta: Number = Fraction(3, 4)
    k: Number = 2

    uncounted = "normalisation"
    normalises = True
    slides_name = "NORM"

    def output_shape(self, x: Shape) -> Shape:
        _ = x.C  # raises if there are no channels
        return x

    def mixes(self, x: Shape) -> Relation:
        before = floor_div(self.size, 2)
        return Window(self.size, before=before, after=self.size - 1 - before)

    def program(self, at: Sheet, x: Blank) -> Blank:
        """The input divided by a power of the mean of squares around it, made of a padded copy."""
        from archcalc.paper import operations as op

        wide = (x.sizes[0], x.sizes[1] + known(self.size) - 1, *x.sizes[2:])
        padded = op.resized(op.view(op.product(x, x), x.sizes), wide)
        mean = op.view(op.kernel([padded], x.sizes, [padded]), x.sizes)
        del padded
        mean = op.raised(op.shifted(op.scaled(mean)))
        return op.quotient(x, mean)

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        size = known(self.size)
        norm = nn.LocalResponseNorm(size, float(self.alpha * size), float(self.beta), float(self.k))
        if x.spatial:
            return tm.over_batch(x, norm)
        return tm.over_batch(x, nn.Unflatten(1, (known(x.C), 1)), norm, nn.Flatten(1))  # it wants an axis after C

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, the squares with zeros for the neighbours that edge channels lack, the sums, and their powers."""
        return Kept(inputs=(0,), extras=(Extra(self._padded(x) + 2 * x.numel),))

    def working(self, x: Shape) -> Moments:
        """The squares and their padded copy, or the means; later the means and two sums made of them."""
        return (Extra(x.numel + self._padded(x)),), (Extra(3 * x.numel),)

    def _padded(self, x: Shape) -> Dim:
        return x.with_(C=x.C + self.size - 1).numel


@layer("scale")
class Scale(Channelwise):
    """A learned factor and summand for each channel, as in LeNet-5's subsampling. Shapes: any with C, unchanged.

    Source: LeCun et al. 1998, section II.B (layer S2: 12 parameters; with its averages 5,880 connections).

    >>> Scale().params(Shape(C=6, H=14, W=14))
    12
    """

    bias: bool = True

    linear = True
    keeps = INPUT

    def connections(self, x: Shape) -> Dim:
        return x.numel if self.bias else 0

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        sizes = (self.weights(*at.shapes), *[1] * len(at.output.spatial))
        scaled = op.product(x, at.parameter(*sizes))
        return op.added(scaled, at.parameter(*sizes)) if self.bias else scaled

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        sizes = (known(x.C), *[1] * len(x.spatial))
        return nn.Sequential(tm.Scale(sizes), tm.Bias(sizes)) if self.bias else tm.Scale(sizes)

    def working(self, x: Shape) -> Moments:
        """The products, and with a bias the sums."""
        return ((Extra(2 * x.numel if self.bias else x.numel),),)


@layer("layerscale")
class LayerScale(Channelwise):
    """A learned factor for each channel, which starts at `init`. Shapes: any with C, unchanged.

    Source: Touvron et al. 2021 (CaiT), section 2.
    """

    also = ("layer_scale",)

    init: Number = Fraction(1, 1_000_000)

    keeps = INPUT

    def biases(self, x: Shape) -> Dim:
        return 0

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.product(x, at.parameter(at.output.C, *[1] * len(at.output.spatial)))

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Scale((known(x.C), *[1] * len(x.spatial)), float(self.init))


@layer("noise")
class Noise(Layer):
    """Adds noise that all channels share, a stored number for each position, times a learned strength. Shapes: any.

    Source: Karras et al. 2019 (StyleGAN), section 3.2; one strength for all channels: Karras et al. 2020, section 2.1.
    """

    also = ("noise_injection",)

    linear = True
    uncounted = "elementwise"
    sentences = Sentences(weights="the strength, for all positions", buffers="the noise, a number for each position")

    def output_shape(self, x: Shape) -> Shape:
        spatial_axes(x)  # fails if there are none
        return x

    def weights(self, x: Shape) -> Dim:
        return 1

    def buffers(self, x: Shape) -> Dim:
        return prod(x[axis] for axis in x.spatial)

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        return {"strength": (1,), "noise": tuple(x[axis] for axis in x.spatial)}

    def working(self, x: Shape) -> Moments:
        return ((Extra(x.numel), Extra(self.buffers(x), per_example=False)),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Noise(tuple(known(x[axis]) for axis in x.spatial))
