"""Volumes and their bytes."""

from __future__ import annotations

from archcalc.analyses.registry import of_layer, once
from archcalc.graph import Application, Graph
from archcalc.quantities import BYTES
from archcalc.symbolic import Dim, is_symbolic, minimum

UNTRAINED = ("int8",)
"""The dtypes that have no gradients."""
INDEX_BYTES = 8
"""Of the place of a maximum and of a token number, which are 64-bit integers."""


@of_layer("activations")
def activations(at: Application) -> Dim:
    """Values of the output volume; layers computed in place and views make none."""
    return 0 if at.layer.in_place else at.output_shape.numel


def volume_bytes(graph: Graph, batch: Dim, dtype: str) -> list[Dim]:
    """The bytes of each node's output, as if all made a volume of their own."""
    tokens, value_bytes = token_volumes(graph), batch * BYTES[dtype]
    sizes = [node.application.once(volume) * value_bytes for node in graph.nodes]
    for index in tokens:
        sizes[index] = graph.nodes[index].shape.numel * batch * INDEX_BYTES
    return sizes


def volume(at: Application) -> Dim:
    """Values of the output, whether or not they make a volume of their own."""
    return at.output_shape.numel


@once
def token_volumes(graph: Graph) -> dict[int, Dim]:
    """The nodes that hold token numbers, since an embedding reads them, and the smallest vocabulary that does.

    What else is made of them holds them, too.
    """
    found: dict[int, Dim] = {}
    for node in graph.nodes:
        if (size := node.layer.vocabulary()) is not None:
            reads = node.inputs
            while reads:  # they may be rearranged before the look-up
                found[reads[0]] = minimum(size, found.get(reads[0], size))
                reads = graph.nodes[reads[0]].inputs
    for index, node in enumerate(graph.nodes if found else ()):
        if index not in found and 0 not in node.layer.sizes_only and node.inputs and node.inputs[0] in found:
            found[index] = found[node.inputs[0]]
    return found


def switches(graph: Graph) -> dict[int, int]:
    """Of each unpooling node with `like`, the pool that it undoes; that pool remembers where its maxima were."""
    return {index: pool for index, (pool, undoes) in undone_pools(graph).items() if not is_symbolic(undoes)}


@once
def undone_pools(graph: Graph) -> dict[int, tuple[int, Dim]]:
    """The same with symbols: the pool, and 1, or an expression that's 0 for those sizes for which it doesn't fit."""
    places_in = (node.inputs[1] for node in graph.nodes if 1 in node.layer.sizes_only and len(node.inputs) > 1)
    readers: dict[int, list[int]] = {like: [] for like in places_in}
    found: dict[int, tuple[int, Dim]] = {}
    for index, node in enumerate(graph.nodes if readers else ()):
        if 1 in node.layer.sizes_only and len(node.inputs) > 1:
            for pool in readers[node.inputs[1]]:
                at = graph.nodes[pool].application
                undoes = node.layer.undoes(at.layer, at.input_shapes[0], *node.application.input_shapes)
                if is_symbolic(undoes) or undoes:
                    found[index] = pool, undoes
                    break
        if node.inputs and node.inputs[0] in readers:
            readers[node.inputs[0]].append(index)
    return found
