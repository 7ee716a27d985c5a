"""What autograd keeps between the forward and the backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archcalc.analyses.memory import INDEX_BYTES, undone_pools, volume_bytes
from archcalc.analyses.registry import Facts, of_places, once
from archcalc.analyses.storages import homes_in_training, places
from archcalc.graph import FORMULA, Application, Graph, Node
from archcalc.layers.kept import NOTHING, Kept, Width
from archcalc.quantities import BYTES
from archcalc.symbolic import Dim, is_symbolic
from archcalc.work import spend

STATISTIC_BYTES = 4
"""Statistics are float32 even where values are narrower."""


def _decided(graph: Graph) -> Iterable[Facts]:
    where = places(graph)
    yield from (where.overwriting, where.copied, where.scattered, homes_in_training(graph), undone_pools(graph))
    yield from (_gradients(graph), _reached(graph))


@of_places("saved_bytes", _decided)
def saved_bytes(graph: Graph, batch: Dim, dtype: str) -> list[Dim]:
    """For each node, the bytes that autograd keeps because of it, and not because of an earlier node already.

    A volume that several layers keep is one storage and counts once, with the first of them; so do the switches that an
    unpooling layer shares with its pool. Parameters and buffers aren't in it, nor what leads to no output.
    """
    graph.spend(4, "finding out what autograd keeps of so many layers")
    counted: set[object] = set()
    result: list[Dim] = []
    for held in storages(graph, batch, dtype):
        result.append(sum(size for storage, size in held.items() if storage not in counted))
        counted.update(held)
    return result


def left_bytes(graph: Graph, batch: Dim, dtype: str) -> Dim:
    """The bytes that a forward pass leaves behind: what autograd keeps, and the outputs; not the inputs."""
    volumes, lies_in = volume_bytes(graph, batch, dtype), homes_in_training(graph)
    left: dict[object, Dim] = {}
    for held in storages(graph, batch, dtype):
        left = held | left
    left |= {lies_in[i]: volumes[lies_in[i]] for i in graph.outputs.values()}
    return sum(size for home, size in left.items() if not (isinstance(home, int) and not graph.nodes[home].inputs))


def storages(graph: Graph, batch: Dim, dtype: str) -> Iterator[dict[object, Dim]]:
    """What each node keeps: the bytes of volumes, under the node that made them, and of its own numbers.

    Those are under the node that has them, and their position among its `Kept.extras`.
    """
    widths = {width: width_bytes(width, dtype) for width in Width}
    volumes, pools, lies_in = volume_bytes(graph, batch, dtype), undone_pools(graph), homes_in_training(graph)
    for index, kept in enumerate(kept_by_layer(graph)):
        held: dict[object, Dim] = {}
        for place in kept.inputs:
            home = lies_in[graph.nodes[index].inputs[place]]
            held[home] = volumes[home]
        if kept.output:
            held[lies_in[index]] = volumes[lies_in[index]]
        for place, (amount, width, per_example) in enumerate(kept.extras):
            size = amount * widths[width] * (batch if per_example else 1)
            pool, shared = pools.get(index, (index, 1))
            held[pool, place] = size * shared
            if is_symbolic(shared):
                held[index, place] = size * (1 - shared)
        yield held


def width_bytes(width: Width, dtype: str) -> int:
    """The bytes of one number of this width in a network of this dtype."""
    known = {Width.value: BYTES[dtype], Width.index: INDEX_BYTES, Width.mask: 1}
    return known.get(width, max(BYTES[dtype], STATISTIC_BYTES))


@once
def kept_by_layer(graph: Graph) -> list[Kept]:
    """What each node keeps; nothing where no gradient flows."""
    flows, overwriting = _gradients(graph), places(graph).overwriting
    found: dict[tuple[Application, Sequence[bool]], Kept] = {}
    result = []
    for index, (node, reached) in enumerate(zip(graph.nodes, _reached(graph), strict=True)):
        if not reached:
            result.append(NOTHING)
            continue
        if index in overwriting:
            result.append(node.application.once(_kept_in_place))
            continue
        key = node.application, tuple([flows[i] for i in node.inputs])
        if key not in found:
            spend(FORMULA, "working out so many different layers")
            found[key] = node.layer.kept(key[1], *node.application.input_shapes)
        result.append(found[key])
    return result


def _kept_in_place(at: Application) -> Kept:
    return at.layer.kept_in_place(*at.input_shapes)


@once
def _gradients(graph: Graph) -> list[bool]:
    """Whether each node's output depends on parameters in a way that has a derivative."""
    flows: list[bool] = []
    for node in graph.nodes:
        has_weight_of_other = node.tied is not None and not node.reuses
        learns = has_weight_of_other or node.application.once(_learns)
        flows.append(learns or any(flows[i] for i in _derived(node)))
    return flows


def _learns(at: Application) -> bool:
    return bool(at.input_shapes) and at.layer.params(*at.input_shapes) != 0


@once
def _reached(graph: Graph) -> list[bool]:
    """The nodes at which a gradient of the outputs arrives."""
    flows = _gradients(graph)
    reached = [False] * len(flows)
    for index in graph.outputs.values():
        reached[index] = flows[index]
    for index in range(len(flows) - 1, -1, -1):
        if reached[index]:
            for i in _derived(graph.nodes[index]):
                reached[i] = reached[i] or flows[i]
    return reached


def _derived(node: Node) -> Sequence[int]:
    """The inputs to which a gradient flows."""
    without = node.application.layer.sizes_only
    return [i for place, i in enumerate(node.inputs) if place not in without] if without else node.inputs
