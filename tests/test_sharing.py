"""Weights that several places of a network use: they are held once, and multiply everywhere."""

import json
import pickle
from dataclasses import replace

import pytest

import archcalc
from archcalc.graph import Application, Graph, Node
from archcalc.symbolic import Dim, dim
from tests.helpers import graph_of

HELD = ("params", "weights", "biases", "buffers")


def _with_copies(graph: Graph, copies: dict[str, Dim]) -> Graph:
    """The graph whose layers of these names hold so many sets of weights."""
    nodes = []
    for node in graph.nodes:
        at = node.application
        at = Application(at.layer, at.input_shapes, at.output_shape, copies.get(node.name, 1))
        nodes.append(node._replace(application=at))
    return replace(graph, tree=Graph.of(graph.name, nodes, graph.scopes, graph.outputs).tree)


@pytest.mark.parametrize("copies", [0, 1, 5, dim("E")])
def test_every_count_of_scalars_is_multiplied_by_the_copies(copies: Dim) -> None:
    """Params, weights, biases and buffers, of the layer, its rows, and the totals; multiply-adds and volumes are not."""
    alone = graph_of("layers: [a: conv 4 3x3, b: bn, c: conv 4 3x3]\n")
    one = archcalc.analyze(alone)
    found = archcalc.analyze(_with_copies(alone, {"b": copies, "c": copies}))
    for name in HELD:
        assert [copies * one[each][name] for each in "bc"] == [found[each][name] for each in "bc"], name
        assert one["a"][name] + copies * (one["b"][name] + one["c"][name]) == found.totals[name], name
    for name in ("macs", "activations", "neurons", "connections", "saved_bytes", "depth"):
        assert one.totals[name] == found.totals[name], name


def test_copies_are_part_of_what_an_application_is() -> None:
    """Equality, hash, pickle and text know of them."""
    at = graph_of("layers: conv 4 3x3\n").nodes[-1].application
    none = Application(at.layer, at.input_shapes, at.output_shape, 0)
    assert at != none
    assert none == pickle.loads(pickle.dumps(none))
    assert hash(none) == hash(pickle.loads(pickle.dumps(none)))
    assert 2 == len({at, none})
    assert "Application(conv 4 3x3: 3x32x32 -> 4x30x30, 0 copies)" == repr(none)


def test_formulas_and_records_count_the_copies() -> None:
    """A layer's formulas give what its row has, and JSON has the same."""
    graph = _with_copies(graph_of("layers: [a: conv 4 3x3, c: conv 4 3x3]\n"), {"c": 3})
    report = archcalc.analyze(graph)
    formulas = archcalc.formula(graph, "c").at()
    for name in ("params", "weights", "biases"):
        assert report["c"][name] == formulas[name]
    rows = json.loads(report.to("json"))["layers"]
    assert [0, 112, 3 * 148] == [row["params"] for row in rows]
    assert Node("c", graph["c"].application, (1,)).application.held("params") == 3 * 148
