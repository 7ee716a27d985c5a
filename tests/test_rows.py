"""Rows of a table: read from the graph's tree, they are what a plain walk over all nodes and their names finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import pytest

from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.report.division import entries
from archcalc.zoo import Architecture
from tests.helpers import graph_of, some_architectures, spec_of
from tests.random_loops import Loops

SEEDS = 150
WAYS = [(False, 0), (True, 0), (False, 1), (False, 2), (False, 3)]


def plain_rows(graph: Graph, every: bool, depth: int) -> Iterator[tuple[str, tuple[int, ...], int]]:
    """Name, layers and the node whose volume is shown, of each row, by a walk over nodes and their names."""
    nodes = graph.nodes
    if depth:
        scopes = groupby(range(len(nodes)), lambda index: "/".join(nodes[index].name.split("/")[:depth]))
        for name, members in scopes:
            indices = tuple(members)
            yield name, indices, graph.places.get(name, indices[-1])
    elif every:
        yield from ((node.name, (index,), index) for index, node in enumerate(nodes))
    else:
        yield from _by_volume(graph)


def _by_volume(graph: Graph) -> Iterator[tuple[str, tuple[int, ...], int]]:
    nodes, home = graph.nodes, list[int]()
    for index, node in enumerate(nodes):
        home.append(home[node.inputs[0]] if node.layer.in_place and node.inputs else index)
    makers = [index for index, maker in enumerate(home) if maker == index]
    riders: dict[int, list[int]] = {index: [] for index in makers}
    for index, maker in enumerate(home):
        if maker != index:
            riders[maker].append(index)
    around = [None, *makers, None]
    for index, before, after in zip(makers, around, around[2:], strict=False):
        name = nodes[index].name
        while "/" in name:  # the largest scope that makes no other volume and gives out this one
            scope = name.rpartition("/")[0]
            beside = [nodes[other].name for other in (before, after) if other is not None]
            output = graph.places.get(scope)
            if any(other.startswith(f"{scope}/") for other in beside) or output is None or home[output] != index:
                break
            name = scope
        yield name, (index, *riders[index]), index


def agree(graph: Graph) -> None:
    """In every way of making rows."""
    for every, depth in WAYS:
        found = list(entries(graph, every, depth))
        assert [*plain_rows(graph, every, depth)] == [(row.name, (*row.nodes,), row.output(graph)) for row in found]
        for row in found:
            layers = Counter[object]()
            for layer, count in row.line.layers:
                layers[layer] += int(count)
            assert Counter(graph.nodes[index].application for index in row.nodes) == layers


@pytest.mark.parametrize("architecture", some_architectures(), ids=lambda architecture: architecture.name)
def test_rows_of_the_zoo(architecture: Architecture) -> None:
    """Networks that people built, with their structure, and as a list of nodes without any."""
    graph = architecture.build()
    agree(graph)
    agree(Graph.of(graph.name, graph.nodes, graph.outputs, graph.scopes))


def test_rows_of_random_specs() -> None:
    """Loops in loops, references out of passes, layers in place on volumes from before and of the pass before."""
    compared = 0
    for seed in range(SEEDS):
        try:
            graph = build(spec_of(Loops(seed).text()))
        except SpecError:
            continue
        compared += 1
        agree(graph)
        agree(Graph.of(graph.name, graph.nodes, graph.outputs, graph.scopes))
    assert compared > SEEDS / 2


@pytest.mark.parametrize(
    "layers",
    [
        "(relu -> conv 3 1x1)*5 -> relu",
        "[{a: conv 3 1x1}, (relu)*4, (conv 3 1x1 -> (relu)*3)*3]",
        "[{a: conv 3 1x1}, {for: {i: 1..4}, do: {add: [conv 3 1x1, relu]}}]",
        "[{a: (relu -> conv 3 1x1)*5}, from a/2, relu, from a/4, {b: (relu)*2}]",
        "{a: {b: {c: (conv 3 1x1 -> bn)*1}}}",
    ],
)
def test_layers_in_place_on_other_passes(layers: str) -> None:
    """A pass's first layer may work on what the pass before made, or on what was there before all of them."""
    agree(graph_of(f"layers: {layers}\n"))
