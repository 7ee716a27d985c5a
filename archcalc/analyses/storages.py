"""Which volumes lie in whose memory, as plain PyTorch code has it: views, copies, layers that overwrite their input."""

from __future__ import annotations

from collections.abc import Callable, Container

from archcalc.analyses.registry import once
from archcalc.data import dataclass
from archcalc.graph import Application, Graph


@dataclass(frozen=True, slots=True)
class Places:
    """What is written over, and what is copied: the indices of nodes.

    A layer overwrites its input if its kind has that form (`nn.ReLU(inplace=True)`), nothing else reads the input, it's
    no input of the network, and what made it keeps nothing of its result for the backward pass. Views count as what
    they are views of. A scattered view is a copy if a reader needs values that lie side by side.
    """

    overwriting: frozenset[int]
    copied: frozenset[int]
    scattered: frozenset[int]
    """Those that lie scattered in the memory of another volume, under whatever name."""


@once
def places(graph: Graph) -> Places:
    """Decide for each node whether it overwrites its input, and whether it's a view that has to be a copy."""
    scattered = [i for i, node in enumerate(graph.nodes) if node.layer.is_scattered]
    copied = frozenset(_copied(graph, scattered)) if scattered else frozenset()
    views = _under_any_name(graph, [i for i in scattered if i not in copied], copied)
    reads = [0] * len(graph.nodes)
    for node in graph.nodes:
        for i in node.inputs:
            reads[i] += 1
    for i in graph.outputs.values():
        reads[i] += 1
    overwriting: set[int] = set()
    for index, node in enumerate(graph.nodes):
        if node.application.once(_has_inplace) and _may_overwrite(graph, node.inputs[0], reads, views, overwriting):
            overwriting.add(index)
    return Places(frozenset(overwriting), copied, frozenset(views))


def _has_inplace(at: Application) -> bool:
    return bool(at.input_shapes) and at.layer.has_inplace()


def _may_overwrite(graph: Graph, index: int, reads: list[int], views: set[int], overwriting: set[int]) -> bool:
    """Whether a volume that one layer reads may be lost: nothing else needs it, under this or another name."""
    while reads[index] == 1 and graph.nodes[index].inputs and index not in views:
        at = graph.nodes[index].application
        if not at.once(_may_be_view):
            kept_of = at.once(_keeps_result_in_place if index in overwriting else _keeps_result)
            return not kept_of
        index = graph.nodes[index].inputs[0]
    return False


def _may_be_view(at: Application) -> bool:
    """Whether the output is the input's memory while training or at inference."""
    if at.layer.is_scattered:
        return False
    return any(at.layer.is_view(*at.input_shapes, training=training) for training in (True, False))


def _keeps_result(at: Application) -> bool:
    return at.layer.kept((True,) * len(at.input_shapes), *at.input_shapes).output


def _keeps_result_in_place(at: Application) -> bool:
    return at.layer.kept_in_place(*at.input_shapes).output


def _copied(graph: Graph, scattered: list[int]) -> set[int]:
    """The scattered views that are copies: as asked, or since a reader needs dense values.

    What reads the same volume under another name is a reader, too.
    """
    readers: dict[int, list[int]] = {index: [] for index in scattered}
    for index, node in enumerate(graph.nodes):
        for i in node.inputs:
            if i in readers and node.application.once(_hands_on):
                readers[index] = readers[i]  # what reads this, reads that
            elif i in readers:
                readers[i].append(index)
    return {i for i in scattered if graph.nodes[i].layer.copy or _wants_dense(graph, i, readers[i])}


def _hands_on(at: Application) -> bool:
    """Whether at inference the output is the input, as it lies in memory."""
    return _is_view(at) and not at.layer.is_scattered and not at.layer.needs_dense(at.input_shapes[0])


def _wants_dense(graph: Graph, index: int, readers: list[int]) -> bool:
    node = graph.nodes[index]
    layers = (graph.nodes[i].layer for i in readers)
    return any(layer.needs_dense(node.shape) or (node.layer.is_turned and not layer.takes_turned) for layer in layers)


def _under_any_name(graph: Graph, views: list[int], copied: Container[int]) -> set[int]:
    """These views, and what at inference is the same volume."""
    found = set(views)
    for index, node in enumerate(graph.nodes if found else ()):
        if node.inputs and node.inputs[0] in found and index not in copied and node.application.once(_is_view):
            found.add(index)
    return found


@once
def homes(graph: Graph) -> list[int]:
    """For each node the one in whose memory its output lies: itself, or what it's a view of or is written over."""
    return _homes(graph, _is_view)


@once
def homes_in_training(graph: Graph) -> list[int]:
    """The same while training, when fewer layers give out their input."""
    return _homes(graph, _is_view_training)


def _homes(graph: Graph, is_view: Callable[[Application], bool]) -> list[int]:
    where, found = places(graph), list[int]()
    for index, node in enumerate(graph.nodes):
        shares = index in where.overwriting or (node.application.once(is_view) and index not in where.copied)
        found.append(found[node.inputs[0]] if shares else index)
    return found


def _is_view_training(at: Application) -> bool:
    return bool(at.input_shapes) and at.layer.is_view(*at.input_shapes)


def _is_view(at: Application) -> bool:
    return bool(at.input_shapes) and at.layer.is_view(*at.input_shapes, training=False)
