"""A module as a spec, proved: built again, the spec has the layers and the volumes that the module ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from archcalc.data import dataclass
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.graph import Graph, Node
from archcalc.importers.operations import (
    attention,
    drawn,
    experts,
    maps,
    operators,
    recurrent,
    scores,
    weights,
    windowing,
)
from archcalc.importers.operations.exported import NOTHING, Exported, Inputs, exported
from archcalc.importers.operations.fusing import fused
from archcalc.importers.operations.lifting import Lifted, Lifter, Step
from archcalc.importers.summary import Summary
from archcalc.importers.writing.outline import arguments_of
from archcalc.importers.writing.text import spec_text
from archcalc.language.model import Spec
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source as Text
from archcalc.layers import REGISTRY

if TYPE_CHECKING:
    from torch import nn

IDENTITY = REGISTRY["identity"]()
"""What a spec has where a branch is empty; no operation is one."""
REPORT = "please report it"
OPERATORS = (attention, drawn, experts, maps, operators, recurrent, scores, weights, windowing)
"""The modules that say how operators are lifted."""


@dataclass(frozen=True)
class Imported:
    """A module's spec and its text, and the module's operations in the order of the graph's nodes, inputs apart."""

    spec: Spec
    text: str
    steps: tuple[Step | None, ...]
    summary: Summary
    shapes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """The tensors, with their batch, of nodes whose volume PyTorch has in another form than it has such volumes."""


def imported(
    module: nn.Module,
    inputs: Inputs,
    name: str,
    source: str = "",
    constants: Mapping[str, Any] | None = None,
    strict: bool = False,
) -> Imported:
    """A module as a spec, found out by exporting it with example inputs; `constants` are buffers that it has elsewhere.

    An operation that isn't a layer that specs know is an opaque layer, or, where that's asked for (`strict`), an error.
    Raises: UsageError: PyTorch can't export it, or an operation isn't a layer that specs know.
    """
    return imported_operations(exported(module, inputs, name, constants), source, strict)


def imported_operations(operations: Exported, source: str = "", strict: bool = False) -> Imported:
    """The same of operations that are at hand, wherever they are from.

    Raises: UsageError: an operation isn't a layer that specs know.
    """
    lifted = fused(operations)
    found, name = Lifter(lifted, strict).lift(), operations.name
    text, order = spec_text(found, name, source)
    try:
        spec = parse_spec(Text(f"{name}.yaml", text, None))
        graph = build(spec)
    except SpecError as error:
        raise UsageError(f"{name} can't be said as a spec: {error.diagnostics[0].message}", REPORT) from error
    steps = _matched(graph, found, order)
    numbers = {step: number for number, step in enumerate(steps, len(graph.inputs)) if step}
    shapes = {numbers[found.steps[place]]: sizes for place, sizes in found.shapes.items()}
    pairs = zip(lifted.operations, operations.operations, strict=True)
    patterns = Counter(now.name for now, before in pairs if now is not before and now is not NOTHING)
    summary = Summary(len(operations.operations), len(found.steps), patterns, found.not_lifted, operations.decided)
    return Imported(spec, text, steps, summary, shapes)


def _matched(graph: Graph, lifted: Lifted, order: Sequence[int]) -> tuple[Step | None, ...]:
    """The step of each node; none for an identity, which the spec has where a branch is empty.

    Each node has its step's kind, arguments and volume, and reads and shares what that does.
    Raises: UsageError: the spec would be another network.
    """
    left, found = list(reversed(order)), list[Step | None]()
    now = {index: ~index for index in range(len(graph.inputs))}
    for index, node in enumerate(graph.nodes[len(graph.inputs) :], len(graph.inputs)):
        if node.layer == IDENTITY:
            now[index] = now[node.inputs[0]]
            found.append(None)
            continue
        step = lifted.steps[left[-1]] if left else None
        reads, tied = tuple(now[read] for read in node.inputs), None if node.reuses else node.tied
        if step is None or not _is_same(step, node, reads) or step.tied != (None if tied is None else now[tied]):
            raise UsageError(f"{lifted.name} can't be said as a spec: {node.name} would be another layer", REPORT)
        now[index] = left.pop()
        found.append(step)
    if left:
        missing = lifted.steps[left[-1]].layer
        raise UsageError(f"{lifted.name} can't be said as a spec: {missing} would be missing", REPORT)
    return tuple(found)


def _is_same(step: Step, node: Node, reads: tuple[int, ...]) -> bool:
    """Whether a node is a step. Terms have no order: the longest branch of a sum is written first."""
    if (type(step.layer), step.layer.kind, step.shape) != (type(node.layer), node.layer.kind, node.shape):
        return False
    if getattr(step.layer, "experts", None) != getattr(node.layer, "experts", None):
        return False
    one, other = (dict(arguments_of(layer, node.shape)) for layer in (step.layer, node.layer))
    for each in (one, other):
        if each.get("padding") == "half" and set(each.get("kernel_size", "").split("x")) == {"1"}:
            del each["padding"]  # half of a kernel of 1 is none
    ordered = sorted if node.layer.is_residual else list
    return one == other and ordered(step.inputs) == ordered(reads)
