"""Receptive fields as PyTorch's autograd sees them: where the gradient of one output position arrives.

The truth behind `analyses.receptive_field_exact`: the layers' own modules, with every weight 1, everything that isn't
linear made linear, and means made sums, so that no gradient vanishes by chance. On its way each gradient is reduced to
zeros and ones, so that none overflows or underflows in the deepest net.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it

from archcalc.analyses.positions import Seen, positions_of
from archcalc.graph import Graph, Node
from archcalc.layers import torch_modules as tm
from archcalc.layers.activation import Softmax
from archcalc.layers.arguments import per_axis
from archcalc.layers.attention import Attention
from archcalc.layers.linear import OverFeatures
from archcalc.layers.merge import Multiply
from archcalc.layers.norm import GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from archcalc.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from archcalc.layers.region import Proposals, RoIPool
from archcalc.layers.reshape import ChannelShuffle
from archcalc.layers.resize import Unpool, Upsample
from archcalc.shape import Shape
from archcalc.symbolic import known, prod

ROUNDING = 1e-4
"""A gradient below this is an interpolation weight's rounding error; with means scaled up, real ones are about 1."""


@dataclass(frozen=True, slots=True)
class Question:
    """One position of one node's output, by axis; an axis that is left out stands for all its positions."""

    node: int
    position: Mapping[str, int]


def supports(
    graph: Graph, questions: Sequence[Question], source: int = 0, device: str | torch.device = "cpu"
) -> Iterator[Seen]:
    """For each question the positions of the source's volume at which a gradient arrives.

    Only the graph up to the last node asked for is built; sizes must be numbers.
    """
    values = _values(graph, {source, *(question.node for question in questions)}, source, device)
    shape = graph.nodes[source].shape
    for question in questions:
        yield _support(values[source], values[question.node], graph.nodes[question.node].shape, question, shape)


def _support(source: Tensor, value: Tensor, shape: Shape, question: Question, target: Shape) -> Seen:
    seed = torch.zeros_like(value)
    seed[0, *(question.position.get(axis, slice(None)) for axis in shape)] = 1
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, source, seed, retain_graph=True, allow_unused=True)
    sizes = positions_of(target)
    if gradient is None:
        return Seen.nothing(target).without_channels
    mask = _reduced(gradient)[0] > 0
    if "C" in target:
        mask = mask.any(dim=list(target).index("C"))
    return Seen.of(target, mask.nonzero().tolist() if sizes else [()] * bool(mask))


def _reduced(gradient: Tensor) -> Tensor:
    return (gradient.abs() > ROUNDING).to(gradient.dtype)


def _values(graph: Graph, wanted: set[int], source: int, device: str | torch.device) -> dict[int, Tensor]:
    """The values of the wanted nodes, on zeros, as far as autograd needs them to know the way back to the source."""
    values: dict[int, Tensor] = {}
    last_use = {i: index for index, node in enumerate(graph.nodes) for i in node.inputs}
    for index, node in enumerate(graph.nodes[: max(wanted) + 1]):
        if node.inputs:
            value = _module(node, device)(*(values[i] for i in node.inputs))
        else:
            value = torch.zeros(1, *map(known, node.shape.values()), device=device)
        if index == source:
            value = value.detach().requires_grad_()
        if value.requires_grad:
            value.register_hook(_reduced)
        values[index] = value
        for i in {*node.inputs, index} - wanted:
            if last_use.get(i, index) <= index:
                values.pop(i, None)
    return values


def _module(node: Node, device: str | torch.device) -> nn.Module:
    """A node's linear module with weights of 1, built without initialising them first."""
    with torch.device("meta"):
        module = _linear(node)
    module.to_empty(device=device)
    for name, parameter in module.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
        parameter.requires_grad_(False)
    return module.eval()


def _linear(node: Node) -> nn.Module:
    """A module that is linear, and reads what the node's layer reads: its own module, if that is linear."""
    layer, x = node.layer, node.application.input_shapes[0]
    if isinstance(layer, (AvgPool, MaxPool)):
        return _Scaled(_alike(node), known(prod(w.kernel for w in layer.windows(x).values())))
    if isinstance(layer, (GlobalAvgPool, GlobalMaxPool, AdaptiveAvgPool, AdaptiveMaxPool)):
        return _Scaled(_alike(node), known(prod(x[axis] for axis in x.spatial)))
    if isinstance(layer, Upsample):
        factors = per_axis(layer.factor, x.spatial, "factor").values()
        return _Scaled(_Double(_alike(node)), known(prod(2 * factor for factor in factors)))
    return _alike(node)


def _alike(node: Node) -> nn.Module:
    """The same, with shares of an input that may be as small as one part in a window."""
    at, layer = node.application, node.layer
    x = at.input_shapes[0]
    if isinstance(layer, MaxPool):
        return _pool(layer, x, at.output_shape)
    if isinstance(layer, Unpool):
        windows = layer.windows(*at.input_shapes)
        cuts = [(known(w.before), known(at.output_shape[axis])) for axis, w in windows.items()]
        kernel, stride = ([getattr(w, side) for w in windows.values()] for side in ("kernel", "stride"))
        return tm.over_batch(x, _Spread(kernel, stride, cuts))
    if isinstance(layer, (GlobalMaxPool, AdaptiveMaxPool)):
        twin = GlobalAvgPool() if isinstance(layer, GlobalMaxPool) else AdaptiveAvgPool(layer.output_size)
        return twin.torch_module(x)
    if isinstance(layer, Multiply):
        return tm.Add()
    if isinstance(layer, Attention):
        return _Attend(layer.causal)
    if isinstance(layer, (GroupNorm, InstanceNorm)):
        return tm.over_batch(x, _Normalised(known(x.C if isinstance(layer, InstanceNorm) else layer.num_groups)))
    if isinstance(layer, (LayerNorm, Softmax)):
        return tm.over_batch(x, _Neighbours(known(x.C), known(x.C)))
    if isinstance(layer, LocalResponseNorm):
        return tm.over_batch(x, _Neighbours(known(layer.size) // 2, (known(layer.size) - 1) // 2))
    if isinstance(layer, (RoIPool, Proposals)):
        return _Everything(at.output_shape)
    moves = isinstance(layer, (OverFeatures, ChannelShuffle))
    if len(at.input_shapes) == 1 and at.output_shape == x and not layer.windows(x) and not moves:
        return nn.Identity()
    return layer.torch_module(*at.input_shapes)


def _pool(layer: MaxPool, x: Shape, y: Shape) -> nn.Module:
    """A pool that takes the mean where the layer takes the maximum."""
    windows = layer.windows(x)
    if all(w.dilation == 1 for w in windows.values()):
        return AvgPool(layer.kernel_size, layer.stride, layer.padding, layer.ceil).torch_module(x)
    sides = {side: [getattr(w, side) for w in windows.values()] for side in ("kernel", "stride", "dilation")}
    # behind, as much padding as the last window needs: ceil mode lets it stick out
    reach = {axis: (y[axis] - 1) * w.stride + w.extent - w.before for axis, w in windows.items()}
    pads = [(known(w.before), known(reach[axis] - x[axis])) for axis, w in windows.items()]
    return tm.over_batch(x, tm.Pad(pads), _Sum(**sides))


class _Scaled(nn.Module):
    """A mean as a sum: the share of one input among very many would be taken for a rounding error."""

    def __init__(self, module: nn.Module, factor: int) -> None:
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self.module(*inputs)
        return result * self.factor


class _Double(nn.Module):
    """Interpolation in double precision: scaled, its rounding errors stay small."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.module(x.double())
        return result.to(x.dtype)


class _Sum(nn.Module):
    """The sum under a window, channel by channel."""

    def __init__(self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation = tuple(kernel), tuple(stride), tuple(dilation)

    def forward(self, x: Tensor) -> Tensor:
        convolve = getattr(F, f"conv{len(self.kernel)}d")
        ones = x.new_ones(x.shape[1], 1, *self.kernel)
        return convolve(x, ones, stride=self.stride, dilation=self.dilation, groups=x.shape[1])  # type: ignore[no-any-return]


class _Spread(nn.Module):
    """Each value written to its whole window, then cut or padded: (cut in front, size) for each axis."""

    def __init__(self, kernel: Sequence[int], stride: Sequence[int], cuts: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.kernel, self.stride, self.cuts = tuple(kernel), tuple(stride), tuple(cuts)

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        spread = getattr(F, f"conv_transpose{len(self.kernel)}d")
        y = spread(x, x.new_ones(x.shape[1], 1, *self.kernel), stride=self.stride, groups=x.shape[1])
        amounts = [(-before, before + size - n) for (before, size), n in zip(self.cuts, y.shape[2:], strict=True)]
        padded: Tensor = tm.Pad(amounts)(y)
        return padded


class _Attend(nn.Module):
    """Each query and the sum of all keys, or of those that do not come later. Shapes: (N, …, T, C), (N, …, S, C')."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, x: Tensor, kv: Tensor | None = None) -> Tensor:
        keys = (x if kv is None else kv).sum(-1, keepdim=True)
        scores = torch.ones(x.shape[-2], keys.shape[-2], device=x.device)
        return x.sum(-1, keepdim=True) + ((scores.tril() if self.causal else scores) @ keys).expand_as(x)


class _Normalised(nn.Module):
    """The sum of each group of channels over all positions, at each of its places. Shapes: (N, C, …), unchanged."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        grouped = x.reshape(x.shape[0], self.groups, -1)
        return grouped.sum(2, keepdim=True).expand_as(grouped).reshape(x.shape)


class _Neighbours(nn.Module):
    """The sum of neighbouring channels, so many before and after. Shapes: (N, C, …), unchanged."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        apart = places - places.unsqueeze(1)
        near = (apart >= -self.before) & (apart <= self.after)
        return torch.einsum("oi,ni...->no...", near.to(x.dtype), x)


class _Everything(nn.Module):
    """A volume of the given shape whose every value is the sum of all inputs."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.sizes = tuple(map(known, shape.values()))

    def forward(self, *inputs: Tensor) -> Tensor:
        total = torch.stack([x.flatten(1).sum(1) for x in inputs]).sum(0)
        return total.reshape(-1, *[1] * len(self.sizes)).expand(-1, *self.sizes)
