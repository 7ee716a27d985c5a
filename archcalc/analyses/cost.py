"""Parameters and arithmetic."""

from __future__ import annotations

from collections.abc import Iterable

from archcalc.analyses.registry import Facts, of_batch, of_layer, of_places
from archcalc.graph import Application, Graph
from archcalc.symbolic import Dim


@of_layer("params")
def params(at: Application) -> Dim:
    """Learnable scalars, weights and biases."""
    return at.held("params")


@of_layer("weights")
def weights(at: Application) -> Dim:
    """Learnable scalars that multiply; batch norm's scale is one."""
    return at.held("weights")


@of_layer("biases")
def biases(at: Application) -> Dim:
    """Learnable scalars that are added; batch norm's shift is one."""
    return at.held("biases")


@of_layer("buffers")
def buffers(at: Application) -> Dim:
    """Scalars that are stored but not learned: running statistics, fixed codes."""
    return at.held("buffers")


def _of_vocabulary(graph: Graph) -> Iterable[Facts]:
    from archcalc.analyses.vocabulary import heads, tables  # few networks are asked about theirs

    yield from (tables(graph), heads(graph))


@of_places("embedding_params", _of_vocabulary)
def embedding_params(graph: Graph, *_: object) -> list[Dim]:
    """Those of tables of tokens and positions, and of matrices that make logits of as many tokens as a table has."""
    found = frozenset[int]().union(*_of_vocabulary(graph))
    return [node.application.once(params) if index in found else 0 for index, node in enumerate(graph.nodes)]


@of_places("non_embedding_params", _of_vocabulary)
def non_embedding_params(graph: Graph, *_: object) -> list[Dim]:
    """The params of all other layers (Kaplan et al. 2020, section 2.1)."""
    found = frozenset[int]().union(*_of_vocabulary(graph))
    return [0 if index in found else node.application.once(params) for index, node in enumerate(graph.nodes)]


@of_layer("active_params")
def active_params(at: Application) -> Dim:
    """Learnable scalars that one token meets: of experts' layers the sets of those that it's sent to."""
    return at.held("active_params")


@of_places("active_params_without_embedding", _of_vocabulary)
def active_params_without_embedding(graph: Graph, *_: object) -> list[Dim]:
    """The same without tables, of which a token meets a row, but with one that makes logits, too."""
    tables, heads = _of_vocabulary(graph)
    return _active(graph, frozenset(tables) - {graph.nodes[index].tied for index in heads})


@of_places("active_non_embedding_params", _of_vocabulary)
def active_non_embedding_params(graph: Graph, *_: object) -> list[Dim]:
    """The same without tables, and without matrices that make logits."""
    return _active(graph, frozenset[int]().union(*_of_vocabulary(graph)))


def _active(graph: Graph, without: frozenset[int]) -> list[Dim]:
    return [0 if i in without else node.application.once(active_params) for i, node in enumerate(graph.nodes)]


@of_layer("macs")
def macs(at: Application) -> Dim:
    """Multiply-adds of convolutions and matrix products, excluding biases."""
    return at.layer.macs(*at.input_shapes)


@of_batch("macs")
def macs_of_batch(at: Application) -> Dim:
    """Multiply-adds with what no example changes."""
    return at.layer.macs_of_batch(*at.input_shapes)


@of_layer("flops")
def flops(at: Application) -> Dim:
    """Two for each multiply-add, PyTorch's own convention."""
    return 2 * at.once(macs)


@of_batch("flops")
def flops_of_batch(at: Application) -> Dim:
    """Two for each such multiply-add."""
    return 2 * at.once(macs_of_batch)


@of_layer("attention_macs")
def attention_macs(at: Application) -> Dim:
    """Multiply-adds of queries with keys and of probabilities with values; no projections."""
    return at.layer.attention_macs(*at.input_shapes)


@of_layer("neurons")
def neurons(at: Application) -> Dim:
    """Outputs of weight layers (Krizhevsky et al. 2012)."""
    return at.output_shape.numel if at.layer.weight_layer else 0


@of_layer("connections")
def connections(at: Application) -> Dim:
    """Links into units, biases included, each counted at every position (LeCun et al. 1998)."""
    return at.layer.connections(*at.input_shapes)
