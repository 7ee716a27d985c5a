"""What autograd keeps between the forward and the backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.analyses.memory import BYTES, INDEX_BYTES, switches, volume_bytes
from archcalc.graph import Application, Graph
from archcalc.layers.kept import Kept, Width

STATISTIC_BYTES = 4
"""Statistics are float32 even where values are narrower."""


def saved_bytes(graph: Graph, batch: Any, dtype: str) -> list[Any]:
    """For each node, the bytes that autograd keeps because of it, and not because of an earlier node already.

    A volume that several layers keep is one storage and counts once, with the first of them; so do the switches that an
    unpooling layer shares with its pool. Parameters and buffers aren't in it, nor what leads to no output.
    """
    counted: set[object] = set()
    result: list[Any] = []
    for held in storages(graph, batch, dtype):
        result.append(sum(size for storage, size in held.items() if storage not in counted))
        counted.update(held)
    return result


def left_bytes(graph: Graph, batch: Any, dtype: str) -> Any:
    """The bytes that a forward pass leaves behind: what autograd keeps, and the outputs; not the inputs."""
    volumes, homes = volume_bytes(graph, batch, dtype), _homes(graph)
    left: dict[object, Any] = {}
    for held in storages(graph, batch, dtype):
        left |= held
    left |= {homes[i]: volumes[homes[i]] for i in graph.outputs.values()}
    return sum(size for home, size in left.items() if not (isinstance(home, int) and not graph.nodes[home].inputs))


def storages(graph: Graph, batch: Any, dtype: str) -> Iterator[dict[object, Any]]:
    """What each node keeps: the bytes of volumes, under the node that made them, and of its own numbers.

    Those are under the node that has them, and their position among its `Kept.extras`.
    """
    widths = {width: width_bytes(width, dtype) for width in Width}
    volumes, homes, pools = volume_bytes(graph, batch, dtype), _homes(graph), switches(graph)
    for index, kept in enumerate(kept_by_layer(graph)):
        whole = [graph.nodes[index].inputs[place] for place in kept.inputs] + [index] * kept.output
        held: dict[object, Any] = {homes[i]: volumes[homes[i]] for i in whole}
        for place, (amount, width, per_example) in enumerate(kept.extras):
            held[pools.get(index, index), place] = amount * widths[width] * (batch if per_example else 1)
        yield held


def width_bytes(width: Width, dtype: str) -> int:
    """The bytes of one number of this width in a network of this dtype."""
    known = {Width.value: BYTES[dtype], Width.index: INDEX_BYTES, Width.mask: 1}
    return known.get(width, max(BYTES[dtype], STATISTIC_BYTES))


def _homes(graph: Graph) -> list[int]:
    """For each node the one in whose memory its output lies: itself, or what a view is a view of."""
    homes: list[int] = []
    for index, node in enumerate(graph.nodes):
        view = node.inputs and node.layer.is_view(*node.application.input_shapes)
        homes.append(homes[node.inputs[0]] if view else index)
    return homes


def kept_by_layer(graph: Graph) -> list[Kept]:
    """What each node keeps; nothing where no gradient flows."""
    flows = _gradients(graph)
    found: dict[tuple[Application, Sequence[bool]], Kept] = {}
    result = []
    for node, reached in zip(graph.nodes, _reached(graph, flows), strict=True):
        key = node.application, tuple([flows[i] for i in node.inputs])
        if not reached:
            result.append(Kept())
            continue
        if key not in found:
            found[key] = node.layer.kept(key[1], *node.application.input_shapes)
        result.append(found[key])
    return result


def _gradients(graph: Graph) -> list[bool]:
    """Whether each node's output depends on parameters in a way that has a derivative."""
    flows: list[bool] = []
    for node in graph.nodes:
        at = node.application
        learns = bool(node.inputs) and (node.tied is not None or at.layer.params(*at.input_shapes) != 0)
        flows.append(learns or any(flows[i] for i in _derived(at, node.inputs)))
    return flows


def _reached(graph: Graph, flows: list[bool]) -> list[bool]:
    """The nodes at which a gradient of the outputs arrives."""
    reached = [False] * len(flows)
    for index in graph.outputs.values():
        reached[index] = flows[index]
    for index in range(len(flows) - 1, -1, -1):
        if reached[index]:
            node = graph.nodes[index]
            for i in _derived(node.application, node.inputs):
                reached[i] = reached[i] or flows[i]
    return reached


def _derived(at: Application, inputs: Sequence[int]) -> list[int]:
    """The inputs to which a gradient flows."""
    without = at.layer.sizes_only
    return [i for place, i in enumerate(inputs) if place not in without] if without else list(inputs)
