"""What a network knows of its vocabulary: tables of tokens and positions, and matrices that make logits."""

from __future__ import annotations

from archcalc.analyses.registry import once
from archcalc.graph import Graph
from archcalc.work import spend


@once
def tables(graph: Graph) -> frozenset[int]:
    """The nodes that add or look up a learned vector for each token or position."""
    graph.spend(1, "looking for embeddings")
    return frozenset(index for index, node in enumerate(graph.nodes) if node.layer.is_table)


@once
def heads(graph: Graph) -> frozenset[int]:
    """The nodes that make logits: their matrix has the shape of a table of tokens, and no weights come after it.

    A tied one is among them, though it has no weights of its own.
    """
    nodes = (graph.nodes[index] for index in tables(graph))
    shapes = {n.layer.weight_shape(*n.application.input_shapes) for n in nodes if n.layer.vocabulary() is not None}
    waiting, seen, found = [*graph.outputs.values()], set[int](), set[int]()
    while shapes and waiting:
        index = waiting.pop()
        if index in seen:
            continue
        spend(1, "looking for logits")
        seen.add(index)
        layer, at = graph.nodes[index].layer, graph.nodes[index].application
        if not layer.weight_layer and layer.params(*at.input_shapes) == 0:
            waiting += graph.nodes[index].inputs
        elif layer.weight_shape(*at.input_shapes) in shapes:
            found.add(index)
    return frozenset(found) - tables(graph)
