"""Receptive fields as PyTorch's autograd sees them: where the gradient of one output position arrives.

The truth behind `analyses.receptive_field_exact`: the layers' own modules with every weight 1, and in place of those
that aren't linear sums of what they read, so that no gradient vanishes by chance. On its way each gradient is reduced
to zeros and ones, so that none overflows or underflows in the deepest net.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archcalc.analyses.positions import Seen, positions_of
from archcalc.graph import Application, Graph
from archcalc.layers.reads import Everywhere, Reads, bits_of
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
            value = _module(node.application, device)(*(values[i] for i in node.inputs))
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


def _module(at: Application, device: str | torch.device) -> nn.Module:
    """The layer's own module with weights of 1, if it is linear; else sums of what its positions read."""
    if not at.layer.linear:
        return _Sums(at)
    with torch.device("meta"):  # not initialised first
        module = at.layer.torch_module(*at.input_shapes)
    module.to_empty(device=device)
    for name, parameter in module.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
        parameter.requires_grad_(False)
    means = not at.layer.in_place and next(module.parameters(), None) is None
    return _Scaled(module, at) if means else module


class _Scaled(nn.Module):
    """Means and interpolations, in double precision and scaled: a small share would be taken for a rounding error."""

    def __init__(self, module: nn.Module, at: Application) -> None:
        super().__init__()
        self.module = module
        self.factor = max(known(prod(positions_of(shape).values())) for shape in (*at.input_shapes, at.output_shape))

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = self.module(*(x.double() for x in inputs)) * self.factor
        return result.to(inputs[0].dtype)


class _Sums(nn.Module):
    """At each output position the sum of what it reads, where a layer's own gradient depends on values and may vanish.

    `Layer.reads` is held against the gradients of each kind's own module by the tests.
    """

    def __init__(self, at: Application) -> None:
        super().__init__()
        self.at = at

    def forward(self, *inputs: Tensor) -> Tensor:
        at = self.at
        read = zip(at.layer.reads(*at.input_shapes), inputs, at.input_shapes, strict=True)
        sums = [_sums(how, values, x, at.output_shape) for how, values, x in read if how is not None]
        return sum(sums[1:], start=sums[0]).expand(-1, *map(known, at.output_shape.values()))


def _sums(how: Reads, values: Tensor, x: Shape, y: Shape) -> Tensor:
    """The sums over one input; an axis on which all are equal has size 1."""
    if how.all_of_it:
        return values.flatten(1).sum(1).reshape(-1, *[1] * len(y))
    relations = {place: how.along[axis] for place, axis in enumerate(x, start=1) if axis in how.along}
    whole = [place for place, relation in relations.items() if isinstance(relation, Everywhere)]
    values = values.sum(whole, keepdim=True) if whole else values
    for place in relations.keys() - set(whole):
        axis = tuple(x)[place - 1]
        count, size = known(y[axis]), known(x[axis])
        pairs = [(o, i) for o in range(count) for i in bits_of(relations[place].read_by(1 << o, size))]
        outputs, read = torch.tensor(pairs, dtype=torch.long, device=values.device).reshape(-1, 2).T  # perhaps none
        empty = values.new_zeros([*values.shape[:place], count, *values.shape[place + 1 :]])
        values = empty.index_add(place, outputs, values.index_select(place, read))
    return values[:, *(slice(None) if axis in x else None for axis in y)]
