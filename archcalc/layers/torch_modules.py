"""PyTorch modules for what torch.nn lacks; only `torch_module` methods import this file.

Tensors have the batch first, then the axes of their shape in the order R, T, C, D, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it

from archcalc.shape import Shape


def of_rank(name: str, rank: int) -> Any:
    """PyTorch's class for volumes with `rank` spatial axes: ("Conv", 2) gives Conv2d."""
    return getattr(nn, f"{name}{rank}d")


def over_batch(x: Shape, *steps: nn.Module) -> nn.Module:
    """The steps in sequence; regions and tokens, if `x` has any, join the batch meanwhile.

    PyTorch takes the axis after the batch for channels: a volume without C has one channel meanwhile.
    """
    module = steps[0] if len(steps) == 1 else nn.Sequential(*steps)
    if "C" not in x:
        module = OneChannel(module)
    leading = sum(axis in x for axis in ("R", "T"))
    return Folded(module, leading) if leading else module


def over_channels(x: Shape, module: nn.Module) -> nn.Module:
    """A module that works over the last axis, applied to C."""
    return ChannelsLast(len(x.spatial), module) if x.spatial else module


class OneChannel(nn.Module):
    """Apply a module that wants channels to inputs without an axis for them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self.module(*(x.unsqueeze(1) for x in inputs))
        return result.squeeze(1)


class Folded(nn.Module):
    """Apply a module to inputs whose axes in front of C are folded into the batch."""

    def __init__(self, module: nn.Module, leading: int) -> None:
        super().__init__()
        self.module, self.leading = module, leading

    def forward(self, *inputs: Tensor) -> Tensor:
        batch = inputs[0].shape[: 1 + self.leading]
        result: Tensor = self.module(*(x.flatten(0, self.leading) for x in inputs))
        return result.reshape(*batch, *result.shape[1:])


class First(nn.Module):
    """Apply a module to the first input alone."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return self.module(x)  # type: ignore[no-any-return]


class Pad(nn.Module):
    """Pad the last axes with (before, after) positions each, axis by axis; negative numbers crop."""

    def __init__(self, pads: Sequence[tuple[int, int]], value: float = 0) -> None:
        super().__init__()
        self.pads, self.value = tuple(pads), value

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        amounts = [amount for pair in reversed(self.pads) for amount in pair]  # F.pad starts from the last axis
        return F.pad(x, amounts, value=self.value)


def crop(x: Tensor, amounts: Sequence[tuple[int, int]]) -> Tensor:
    """Cut (before, after) positions off each of the last axes."""
    return F.pad(x, [-amount for pair in reversed(amounts) for amount in pair])


class Narrow(nn.Module):
    """Keep the first positions along the last axes, as many as `sizes` says; the others' memory is freed."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, x: Tensor) -> Tensor:
        kept = x
        for axis, size in enumerate(reversed(self.sizes), start=1):
            kept = kept.narrow(-axis, 0, size)
        return x if kept.shape == x.shape else kept.clone(memory_format=torch.contiguous_format)


class Fitted(nn.Module):
    """Memory of the volume's own size: PyTorch's CPU kernels may make a small volume in the place of a large one."""

    def forward(self, x: Tensor) -> Tensor:
        memory, size = x.untyped_storage(), x.numel() * x.element_size()
        if memory.nbytes() > size:
            memory.resize_(size)
        return x


class AvgPoolWithoutPadding(nn.Module):
    """Pad, then take the mean of what isn't padding."""

    def __init__(self, pad: nn.Module, pool: nn.Module) -> None:
        super().__init__()
        self.pad, self.pool = pad, pool

    def forward(self, x: Tensor) -> Tensor:
        sums, shares = self.pool(self.pad(x)), self.pool(self.pad(torch.ones_like(x)))
        return sums / shares  # type: ignore[no-any-return]


class TakeChannels(nn.Module):
    """The channels at the given indices, which may repeat."""

    def __init__(self, indices: Sequence[int]) -> None:
        super().__init__()
        self.indices = list(indices)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, torch.tensor(self.indices, device=x.device)]


class SumChannels(nn.Module):
    """Channels summed: channel i of the input goes into channel indices[i] of the output."""

    def __init__(self, indices: Sequence[int], channels: int) -> None:
        super().__init__()
        self.indices, self.channels = list(indices), channels

    def forward(self, x: Tensor) -> Tensor:
        total = x.new_zeros(x.shape[0], self.channels, *x.shape[2:])
        return total.index_add(1, torch.tensor(self.indices, device=x.device), x)


class QuickGELU(nn.Module):
    """The input times the sigmoid of 1.702 times the input."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Exp(nn.Module):
    """e to the power of the input."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


class Square(nn.Module):
    """The input times itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square()


class Times(nn.Module):
    """The input times a fixed number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Gated(nn.Module):
    """The first half along an axis times the gate of the second half."""

    def __init__(self, gate: nn.Module, axis: int) -> None:
        super().__init__()
        self.gate, self.axis = gate, axis

    def forward(self, x: Tensor) -> Tensor:
        values, gates = x.chunk(2, self.axis)
        return values * self.gate(gates)  # type: ignore[no-any-return]


class Bias(nn.Module):
    """A learned summand, broadcast over the axes where `shape` is 1."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.bias = nn.Parameter(torch.zeros(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Scale(nn.Module):
    """A learned factor, broadcast over the axes where `shape` is 1."""

    def __init__(self, shape: Sequence[int], init: float = 1) -> None:
        super().__init__()
        self.shape, self.init = tuple(shape), float(init)
        self.weight = nn.Parameter(torch.full(self.shape, self.init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class MaxUnpool(nn.Module):
    """Put each value where the maximum was: as pooling `like` says, else at the start of its window."""

    def __init__(self, pads: Sequence[tuple[int, int]], sizes: Sequence[int], pool: Any, stride: Sequence[int]) -> None:
        super().__init__()
        self.pads, self.sizes, self.pool, self.stride = tuple(pads), tuple(sizes), pool, tuple(stride)

    def forward(self, x: Tensor, like: Tensor | None = None, switches: Tensor | None = None) -> Tensor:
        if switches is not None:  # the pool's own: places in the volume without its padding
            volume = x.new_zeros(*x.shape[:2], torch.Size(self.sizes).numel())
            return volume.scatter(2, switches.flatten(2), x.flatten(2)).reshape(*x.shape[:2], *self.sizes)
        padded = [size + before + after for size, (before, after) in zip(self.sizes, self.pads, strict=True)]
        places = self._first_positions(x, padded) if like is None else self._switches(x, like)
        volume = x.new_zeros(*x.shape[:2], torch.Size(padded).numel()).scatter(2, places, x.flatten(2))
        return crop(volume.reshape(*x.shape[:2], *padded), self.pads)

    @torch.no_grad()
    def _switches(self, x: Tensor, like: Tensor) -> Tensor:
        padded = Pad(self.pads, -torch.inf)(like)
        _, switches = self.pool(padded)
        wanted: Tensor = switches[(..., *(slice(size) for size in x.shape[2:]))]
        return wanted.clone(memory_format=torch.contiguous_format).flatten(2)

    def _first_positions(self, x: Tensor, padded: Sequence[int]) -> Tensor:
        places = torch.zeros(x.shape[2:], dtype=torch.long, device=x.device)
        for axis, (count, stride, (before, _)) in enumerate(zip(x.shape[2:], self.stride, self.pads, strict=True)):
            starts = torch.arange(0, count * stride, stride, device=x.device).clamp_(min=before)
            row = torch.Size(padded[axis + 1 :]).numel()
            places += starts.mul_(row).reshape(-1, *[1] * (len(padded) - axis - 1))
        return places.flatten().expand(*x.shape[:2], -1)


class ChannelsLast(nn.Module):
    """Apply a module that works over the last axis to C, in front of `rank` spatial axes."""

    def __init__(self, rank: int, module: nn.Module) -> None:
        super().__init__()
        self.rank, self.module = rank, module

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.module(x.movedim(-1 - self.rank, -1))
        return result.movedim(-1, -1 - self.rank).clone(memory_format=torch.contiguous_format)


class Unit(nn.Module):
    """Vectors along one axis, divided by their lengths."""

    def __init__(self, axis: int, eps: float) -> None:
        super().__init__()
        self.axis, self.eps = axis, eps

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=self.axis, eps=self.eps)


class FrozenBatchNorm(nn.Module):
    """Batch normalisation by stored statistics, with a stored scale and shift; nothing of it is learned."""

    running_mean: Tensor
    running_var: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, eps: float, affine: bool, rank: int) -> None:
        super().__init__()
        self.channels, self.eps, self.affine, self.rank = channels, eps, affine, rank
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        if affine:
            self.register_buffer("weight", torch.ones(channels))
            self.register_buffer("bias", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        factor = (self.running_var + self.eps).rsqrt()
        factor = factor * self.weight if self.affine else factor
        summand = self.bias - self.running_mean * factor if self.affine else -self.running_mean * factor
        ones = (1,) * self.rank
        return torch.addcmul(summand.reshape(-1, *ones), x, factor.reshape(-1, *ones))


class RadialBasis(nn.Module):
    """Squared distance to each row of `codes`, which is fixed."""

    codes: Tensor

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.features, self.units = features, units
        self.register_buffer("codes", torch.randn(units, features).sign())

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(-2) - self.codes).square().sum(-1)


class Add(nn.Module):
    """The sum of all inputs; of one input, a copy."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        total = first + others[0] if others else first.clone()
        for other in others[1:]:
            total = total + other
        return total


class Multiply(nn.Module):
    """The product of all inputs, broadcast; of one input, a copy."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        product = first * others[0] if others else first.clone()
        for other in others[1:]:
            product = product * other
        return product


class Stretched(nn.Module):
    """Apply a module to inputs that get the axes which they lack, with size 1."""

    def __init__(self, module: nn.Module, sizes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.module, self.sizes = module, tuple(map(tuple, sizes))

    def forward(self, *inputs: Tensor) -> Tensor:
        volumes = (x.reshape(x.shape[0], *sizes) for x, sizes in zip(inputs, self.sizes, strict=True))
        return self.module(*volumes)  # type: ignore[no-any-return]


class Concat(nn.Module):
    """The inputs joined along one axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, self.axis)


class Reshape(nn.Module):
    """The same values in another shape, excluding the batch."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.sizes)


class Tokens(nn.Module):
    """The last `rank` axes become one, in front of C: a view, or a copy."""

    def __init__(self, rank: int, copy: bool = False) -> None:
        super().__init__()
        self.rank, self.copy = rank, copy

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(-self.rank).transpose(-1, -2)
        return tokens.clone(memory_format=torch.contiguous_format) if self.copy else tokens


class Crop(nn.Module):
    """Some positions along the last axes, from `start` up to `stop` each: a view, or a copy."""

    def __init__(self, cuts: Sequence[tuple[int, int]], copy: bool = False) -> None:
        super().__init__()
        self.cuts, self.copy = tuple(cuts), copy

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        where: Any = (..., *(slice(start, stop) for start, stop in self.cuts))
        cut = x[where]
        return cut.clone(memory_format=torch.contiguous_format) if self.copy else cut


class Grid(nn.Module):
    """The axis in front of C becomes the last axes, of the given sizes: a view, or a copy."""

    def __init__(self, sizes: Sequence[int], copy: bool = False) -> None:
        super().__init__()
        self.sizes, self.copy = tuple(sizes), copy

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        turned = x.transpose(-1, -2)
        grid = turned.reshape(*turned.shape[:-1], *self.sizes)
        return grid.clone(memory_format=torch.contiguous_format) if self.copy else grid


class Swap(nn.Module):
    """The first two axes after the batch exchanged, in memory as well."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).clone(memory_format=torch.contiguous_format)


class Slice(nn.Module):
    """Every so many-th position along each of the last axes: a view, or a copy."""

    def __init__(self, strides: Sequence[int], copy: bool = False) -> None:
        super().__init__()
        self.strides, self.copy = tuple(strides), copy

    def forward(self, x: Tensor) -> Tensor:
        where: Any = (..., *(slice(None, None, stride) for stride in self.strides))
        taken = x[where]
        return taken.clone(memory_format=torch.contiguous_format) if self.copy else taken


class Select(nn.Module):
    """One position along one axis: a view, or a copy."""

    def __init__(self, axis: int, index: int, copy: bool = False) -> None:
        super().__init__()
        self.axis, self.index, self.copy = axis, index, copy

    def forward(self, x: Tensor) -> Tensor:
        one = x.select(self.axis, self.index)
        return one.clone(memory_format=torch.contiguous_format) if self.copy else one


class Part(nn.Module):
    """The positions from `start` up to `stop`, or every `step`-th of them, along one axis: a view, or a copy."""

    def __init__(self, axis: int, start: int, stop: int, step: int = 1, copy: bool = False) -> None:
        super().__init__()
        self.axis, self.start, self.stop, self.step, self.copy = axis, start, stop, step, copy

    def forward(self, x: Tensor) -> Tensor:
        where: Any = (*[slice(None)] * self.axis, slice(self.start, self.stop, self.step))
        part = x[where]
        return part.clone(memory_format=torch.contiguous_format) if self.copy else part


class Permute(nn.Module):
    """The axes after the batch in the order of their numbers: a view, or a copy."""

    def __init__(self, axes: Sequence[int], copy: bool = False) -> None:
        super().__init__()
        self.axes, self.copy = tuple(axes), copy

    def forward(self, x: Tensor) -> Tensor:
        turned = x.permute(0, *self.axes)
        return turned.clone(memory_format=torch.contiguous_format) if self.copy else turned


class PixelShuffle(nn.Module):
    """`nn.PixelShuffle` with sides of their own, along any number of axes.

    What numbers the channels of blocks, the slowest first, `parts` say: 0 is the channel of a place, 1 the place along
    the first axis, 2 along the second.
    """

    def __init__(self, sides: Sequence[int], parts: Sequence[int]) -> None:
        super().__init__()
        self.sides, self.parts = tuple(sides), tuple(parts)

    def forward(self, x: Tensor) -> Tensor:
        rank, parts = len(self.sides), self.parts
        split = x.reshape(x.shape[0], *((-1, *self.sides)[part] for part in parts), *x.shape[2:])
        places = [1 + parts.index(part) for part in range(rank + 1)]  # in front of blocks: 1 + rank of them
        pairs = [place for axis in range(rank) for place in (2 + rank + axis, places[1 + axis])]
        joined = split.permute(0, places[0], *pairs).clone(memory_format=torch.contiguous_format)
        sizes = [size * side for size, side in zip(x.shape[2:], self.sides, strict=True)]
        return joined.reshape(*joined.shape[:2], *sizes)


class PixelUnshuffle(nn.Module):
    """`nn.PixelUnshuffle` with sides of their own, along any number of axes.

    What numbers the channels of blocks, the slowest first, `parts` say: 0 is the channel of a place, 1 the place along
    the first axis, 2 along the second.
    """

    def __init__(self, sides: Sequence[int], parts: Sequence[int]) -> None:
        super().__init__()
        self.sides, self.parts = tuple(sides), tuple(parts)

    def forward(self, x: Tensor) -> Tensor:
        rank, parts = len(self.sides), self.parts
        pairs = [part for size, side in zip(x.shape[2:], self.sides, strict=True) for part in (size // side, side)]
        split = x.reshape(*x.shape[:2], *pairs)
        inside, blocks = [1 + 2 * part for part in parts], range(2, 2 + 2 * rank, 2)
        return split.permute(0, *inside, *blocks).clone(memory_format=torch.contiguous_format).flatten(1, 1 + rank)


class Learned(nn.Module):
    """A learned volume for each example of the batch."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.weight = nn.Parameter(torch.randn(self.sizes))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.repeat(x.shape[0], *[1] * len(self.sizes))


class Opaque(nn.Module):
    """An operation that specs don't know, with the parameters that it holds: it can't be run.

    Where it `stands_in`, to have the others run, it makes zeros, and sends zeros back.
    """

    stands_in = False

    def __init__(
        self,
        operator: str,
        made: Sequence[int],
        learned: Sequence[tuple[int, ...]] = (),
        stored: Sequence[tuple[int, ...]] = (),
    ) -> None:
        super().__init__()
        self.operator, self.made = operator, tuple(made)
        for number, sizes in enumerate(learned, 1):
            self.register_parameter(f"learned{number}", nn.Parameter(torch.zeros(sizes)))
        for number, sizes in enumerate(stored, 1):
            self.register_buffer(f"stored{number}", torch.zeros(sizes))

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self.stands_in:
            raise NotImplementedError(f"{self.operator} is an operation that specs don't know: it can't be run")
        return cast("Tensor", _Zeros.apply(self.made, *inputs))  # type: ignore[no-untyped-call]


class _Zeros(torch.autograd.Function):
    """Zeros that gradients go through, though none arrives."""

    @staticmethod
    def forward(ctx: Any, made: tuple[int, ...], *inputs: Tensor) -> Tensor:
        ctx.shapes = [(x.shape, x.is_floating_point()) for x in inputs]
        floats = [x for x in inputs if x.is_floating_point()]
        dtype = floats[0].dtype if floats else None
        return torch.zeros(inputs[0].shape[0], *made, device=inputs[0].device, dtype=dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        return None, *(gradient.new_zeros(shape) if floats else None for shape, floats in ctx.shapes)


class Recurrent(nn.Module):
    """One of PyTorch's recurrent layers on tokens; with `reverse`, from the last one to the first.

    It works on tokens in front of the batch, in memory as well.
    """

    def __init__(
        self, cell: str, features: int, hidden: int, projected: int = 0, bias: bool = True, reverse: bool = False
    ) -> None:
        super().__init__()
        self.cell, self.features, self.hidden, self.projected = cell, features, hidden, projected
        self.bias, self.reverse = bias, reverse
        more = {"proj_size": projected} if projected else {}
        self.cells = getattr(nn, cell)(features, hidden, bias=bias, **more)

    def forward(self, x: Tensor) -> Tensor:
        made = self.cells(self._in_order(x))[0]
        if self.reverse:
            made = made.flip(0)
        return made.transpose(0, 1).clone(memory_format=torch.contiguous_format)  # type: ignore[no-any-return]

    def _in_order(self, x: Tensor) -> Tensor:
        ordered = x.flip(1) if self.reverse else x
        return ordered.transpose(0, 1).clone(memory_format=torch.contiguous_format)


class SelectiveScan(nn.Module):
    """A state for each channel of tokens, updated and read by what depends on the token (Gu & Dao 2023)."""

    def __init__(self, channels: int, size: int, skip: bool = True) -> None:
        super().__init__()
        self.channels, self.size, self.skip = channels, size, skip
        self.rates = nn.Parameter(torch.arange(1.0, size + 1).log().repeat(channels, 1))
        self.past = nn.Parameter(torch.ones(channels)) if skip else None

    def forward(self, x: Tensor, delta: Tensor, b: Tensor, c: Tensor) -> Tensor:
        left = (delta.unsqueeze(-1) * -self.rates.exp()).exp_()
        written = (delta * x).unsqueeze(-1) * b.unsqueeze(-2)
        state, made = x.new_zeros((x.shape[0], self.channels, self.size)), []
        for token in range(x.shape[1]):
            state = torch.addcmul(written[:, token], left[:, token], state)
            made.append((state @ c[:, token].unsqueeze(-1)).squeeze(-1))
        result = torch.stack(made, 1)
        made.clear()
        return result if self.past is None else torch.addcmul(result, x, self.past)


class WeightNorm(nn.Module):
    """A layer with learned lengths of its weight along an axis, apart from directions. Salimans & Kingma 2016."""

    def __init__(self, module: nn.Module, axis: int = 0) -> None:
        super().__init__()
        self.module, self.axis = module, axis
        self.length = nn.Parameter(torch.norm_except_dim(module.get_parameter("weight").detach(), 2, axis))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch._weight_norm(self.module.get_parameter("weight"), self.length, self.axis)
        result: Tensor = torch.func.functional_call(self.module, {"weight": weight}, (x,))
        return result


class Standardised(nn.Module):
    """A convolution whose filters are standardised, and may have learned factors over the root of their size.

    Sources: Qiao et al. 2019, equation 3; with factors Brock et al. 2021, equation 1.
    """

    def __init__(self, module: nn.Conv1d | nn.Conv2d | nn.Conv3d, eps: float, scale: float | None = None) -> None:
        super().__init__()
        self.module, self.eps, self.scale = module, eps, scale
        self.gain = None if scale is None else nn.Parameter(torch.ones(len(module.weight)))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.module._conv_forward(x, self.standardised(self.module.weight), self.module.bias)
        return result

    def standardised(self, weight: Tensor) -> Tensor:
        """Each filter less its mean, over its deviation, times its factor."""
        factors = None
        if self.gain is not None and self.scale is not None:
            factors = self.gain * (self.scale * weight[0].numel() ** -0.5)
        rows = weight.reshape(1, len(weight), -1)
        return F.batch_norm(rows, None, None, factors, training=True, momentum=0, eps=self.eps).reshape(weight.shape)


class ModulatedConv(nn.Module):
    """A convolution whose weights a style scales for each example; each filter may get length 1. Karras et al. 2020."""

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: Sequence[int],
        padding: Sequence[int],
        demodulate: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.filters, self.kernel, self.padding = channels, filters, tuple(kernel), tuple(padding)
        self.demodulate = demodulate
        self.weight = nn.Parameter(torch.randn(filters, channels, *self.kernel))
        self.bias = nn.Parameter(torch.zeros(filters)) if bias else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        batch, ones = len(x), [1] * len(self.kernel)
        weight = self.weight * style.reshape(batch, 1, self.channels, *ones)
        if self.demodulate:
            axes = tuple(range(2, weight.ndim))
            weight = weight * weight.square().sum(axes, keepdim=True).add_(1e-8).rsqrt_()
        convolve = (F.conv1d, F.conv2d, F.conv3d)[len(ones) - 1]
        joined = x.reshape(1, batch * self.channels, *x.shape[2:])  # each example is a group of its own
        made = convolve(joined, weight.flatten(0, 1), padding=self.padding, groups=batch)
        result = made.reshape(batch, self.filters, *made.shape[2:])
        return result if self.bias is None else result.add_(self.bias.reshape(self.filters, *ones))


class DeformableConv(nn.Module):
    """A convolution whose taps are moved, down and right, at each position; with or without a mask.

    Dai et al. 2017, Zhu et al. 2019. Tensors are ordered as for torchvision's `deform_conv2d`.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.filters, self.groups = channels, filters, groups
        self.kernel, self.stride, self.padding, self.dilation = map(tuple, (kernel, stride, padding, dilation))
        self.weight = nn.Parameter(torch.randn(filters, channels // groups, *self.kernel))
        self.bias = nn.Parameter(torch.zeros(filters)) if bias else None

    def forward(self, x: Tensor, offset: Tensor, *mask: Tensor) -> Tensor:
        taps, (height, width) = self.kernel[0] * self.kernel[1], offset.shape[2:]
        groups = len(x) * offset.shape[1] // (2 * taps)
        places = self._places(x, offset.reshape(groups, taps, 2, height, width)).flatten(1, 2)
        found = F.grid_sample(x.reshape(groups, -1, *x.shape[2:]), places, align_corners=False)
        del places
        for shares in mask:
            found = found * shares.reshape(groups, 1, taps * height, width)
        rows = found.reshape(len(x), -1, taps * height, width)  # a tap's are `height` rows after the last tap's
        weight = self.weight.flatten(2).unsqueeze(-1)
        return F.conv2d(rows, weight, self.bias, dilation=(height, 1), groups=self.groups)

    def _places(self, x: Tensor, offset: Tensor) -> Tensor:
        """Where values are looked up, x and y, from -1 to 1 between the map's sides."""
        sides = [self._along(axis, x, moved) for axis, moved in enumerate(offset.unbind(2))]
        return torch.stack(sides[::-1], -1)

    def _along(self, axis: int, x: Tensor, moved: Tensor) -> Tensor:
        size, count = x.shape[2 + axis], moved.shape[2 + axis]
        taps = [(row, column)[axis] for row in range(self.kernel[0]) for column in range(self.kernel[1])]
        firsts = [tap * self.dilation[axis] - self.padding[axis] for tap in taps]
        regular = [[(2 * (first + i * self.stride[axis]) + 1) / size - 1 for i in range(count)] for first in firsts]
        unmoved = torch.tensor(regular, dtype=x.dtype, device=x.device).unsqueeze(2 - axis)
        return torch.add(unmoved, moved, alpha=2 / size)


class Noise(nn.Module):
    """Add the same noise to all channels and examples, times a learned strength. Karras et al. 2019."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.noise * self.strength  # type: ignore[operator]  # a buffer
