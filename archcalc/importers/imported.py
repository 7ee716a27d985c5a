"""A module as a spec, proved: built again, the spec has the layers and the volumes that the module ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archcalc.data import dataclass
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.importers import attention, operators, patterns
from archcalc.importers.exported import exported
from archcalc.importers.lifting import Lifter, Step
from archcalc.importers.text import spec_text
from archcalc.language.model import Spec
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source as Text
from archcalc.layers import REGISTRY

if TYPE_CHECKING:
    from torch import nn

IDENTITY = REGISTRY["identity"]()
"""What a spec has where a branch is empty; no operation is one."""
OPERATORS = (attention, operators, patterns)
"""The modules that say how operators are lifted."""


@dataclass(frozen=True)
class Imported:
    """A module's spec and its text, and the module's operations in the order of the graph's nodes, inputs apart."""

    spec: Spec
    text: str
    steps: tuple[Step | None, ...]


def imported(
    module: nn.Module, inputs: Sequence[Any], name: str, source: str = "", constants: Mapping[str, Any] | None = None
) -> Imported:
    """A module as a spec, found out by exporting it with example inputs; `constants` are buffers that it has elsewhere.

    Raises: UsageError: PyTorch can't export it, or an operation isn't a layer that specs know.
    """
    found = Lifter(exported(module, inputs, name, constants)).lift()
    text, order = spec_text(found, name, source)
    try:
        spec = parse_spec(Text(f"{name}.yaml", text, None))
        graph = build(spec)
    except SpecError as error:
        raise UsageError(
            f"{name} can't be said as a spec: {error.diagnostics[0].message}", "please report it"
        ) from error
    return Imported(spec, text, _matched(graph, [found.steps[number] for number in order], name))


def _matched(graph: Graph, steps: Sequence[Step], name: str) -> tuple[Step | None, ...]:
    """The step of each node; none for an identity, which the spec has where a branch is empty.

    Raises: UsageError: the spec would be another network.
    """
    left, found = list(reversed(steps)), list[Step | None]()
    for node in graph.nodes[len(graph.inputs) :]:
        if node.layer == IDENTITY:
            found.append(None)
            continue
        step = left.pop() if left else None
        if step is None or (type(step.layer), step.shape) != (type(node.layer), node.shape):
            raise UsageError(f"{name} can't be said as a spec: {node.name} would be another layer", "please report it")
        found.append(step)
    if left:
        raise UsageError(f"{name} can't be said as a spec: {left[-1].layer} would be missing", "please report it")
    return tuple(found)
