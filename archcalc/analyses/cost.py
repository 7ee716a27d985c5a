"""Parameters and arithmetic."""

from __future__ import annotations

from archcalc.analyses.registry import of_layer, of_scope
from archcalc.graph import Application, Graph
from archcalc.symbolic import Dim


@of_layer("params")
def params(at: Application) -> Dim:
    """Learnable scalars, weights and biases."""
    return at.layer.params(*at.input_shapes)


@of_layer("weights")
def weights(at: Application) -> Dim:
    """Learnable scalars that multiply; batch norm's scale is one."""
    return at.layer.weights(*at.input_shapes)


@of_layer("biases")
def biases(at: Application) -> Dim:
    """Learnable scalars that are added; batch norm's shift is one."""
    return at.layer.biases(*at.input_shapes)


@of_layer("buffers")
def buffers(at: Application) -> Dim:
    """Scalars that are stored but not learned: running statistics, fixed codes."""
    return at.layer.buffers(*at.input_shapes)


@of_layer("macs")
def macs(at: Application) -> Dim:
    """Multiply-adds of convolutions and matrix products, excluding biases."""
    return at.layer.macs(*at.input_shapes)


@of_layer("flops")
def flops(at: Application) -> Dim:
    """Two for each multiply-add, PyTorch's own convention."""
    return 2 * at.layer.macs(*at.input_shapes)


@of_layer("neurons")
def neurons(at: Application) -> Dim:
    """Outputs of weight layers (Krizhevsky et al. 2012)."""
    return at.output_shape.numel if at.layer.weight_layer else 0


@of_layer("connections")
def connections(at: Application) -> Dim:
    """Links into units, biases included, each counted at every position (LeCun et al. 1998)."""
    return at.layer.connections(*at.input_shapes)


def _gates(at: Application) -> tuple[int, ...]:
    return at.layer.gates(*at.input_shapes)


@of_scope("depth")
def depth(graph: Graph, path: str = "") -> int:
    """Weight layers on the longest path through the graph, or through one scope of it; gates are beside it.

    Squeeze and excitation leaves ResNet-50 the 50 layers of its name (Hu et al. 2018, table 1).
    """
    graph.spend(2, "finding the longest path through so many layers")
    longest: list[int] = []
    chosen = [not path or node.name == path or node.name.startswith(path + "/") for node in graph.nodes]
    for node, counts in zip(graph.nodes, chosen, strict=True):
        gates = node.application.once(_gates)
        before = max((longest[i] for k, i in enumerate(node.inputs) if k not in gates), default=0)
        longest.append(before + (counts and node.layer.weight_layer))
    beside = _beside(graph)
    on_path = [i for i, counts in enumerate(chosen) if counts and not beside[i]]
    return max(longest[i] for i in on_path or range(len(longest)))


def _beside(graph: Graph) -> list[bool]:
    """Of each node whether it only serves to compute gates."""
    used, on_path = [False] * len(graph.nodes), [False] * len(graph.nodes)
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        on_path[index] = on_path[index] or not used[index]
        gates = node.application.once(_gates)
        for k, i in enumerate(node.inputs):
            used[i] = True
            on_path[i] = on_path[i] or (on_path[index] and k not in gates)
    return [not on for on in on_path]
