"""Explanations of single layers in networks that are too long to be listed, or whose depth is a symbol."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest.mock import patch

import pytest

import archcalc
from archcalc import dim, explain, load
from archcalc.errors import UnknownNameError, UsageError
from archcalc.graph import Graph
from archcalc.questions.explain import Explanation
from archcalc.symbolic.values import value_at
from tests.fuzz_repeats import KEEPING, random_graph
from tests.helpers import graph_of

VAST = 10**9


def steps(found: Explanation, *left_out: str) -> list[Any]:
    """How everything comes about but some quantities."""
    return [step for step in found if not {*left_out} & {*step.names}]


def test_random_layers_of_long_networks() -> None:
    """What's said from few passes of each repeat is what's said from all layers: who keeps which volume, and fields."""
    compared = 0
    for seed in range(25):
        if (graph := random_graph(seed, KEEPING)) is None or graph.shortened() is None:
            continue
        for index in Random(seed).sample(range(len(graph)), 2):
            name = graph.node(index).name
            found = explain(archcalc.analyze(graph), name)
            with patch.object(Graph, "shortened", lambda *_: None):
                assert explain(archcalc.analyze(graph), name) == found
            compared += 1
    assert compared > 8


@pytest.mark.parametrize(
    "layer", ["conv2/2/body/conv_2", "conv3/7/body/conv", "conv4/1/shortcut/slice", "conv4/12/add"]
)
def test_layers_of_a_vast_network(layer: str) -> None:
    """Any layer has all that a small network says of it; a receptive field grows by the same with each block."""
    twelve, thirteen, vast = (explain("resnet:cifar", layer, hparams={"n": n}) for n in (12, 13, VAST))
    assert steps(twelve, "receptive_field", "saved_bytes") == steps(vast, "receptive_field", "saved_bytes")
    assert twelve["saved_bytes"].value == vast["saved_bytes"].value
    sizes = [int(found["receptive_field"].result.partition("x")[0].split()[0]) for found in (twelve, thirteen, vast)]
    assert sizes[0] + (VAST - 12) * (sizes[1] - sizes[0]) == sizes[2]
    if layer.startswith("conv2"):
        assert twelve == vast


def test_what_goes_on_changing_is_not_worked_out() -> None:
    """Where no law holds, what would take a walk through all layers is left out, and the reason told."""
    network = load("resnet:cifar").build(n=VAST)
    with (
        patch("archcalc.analyses.repeats.are_steady", lambda *_: False),
        patch("archcalc.analyses.receptive_field_repeats.receptive_field", lambda *_: None),
    ):
        found = explain(network, "conv3/7/body/conv")
    for name in ("saved_bytes", "receptive_field"):
        assert "not worked out: there are 21,000,000,012 layers" == found[name].result
    assert 3 * 3 * 32 * 32 == found["weights"].value


@pytest.mark.parametrize("layer", ["conv1/conv", "conv2/1/body/conv", "conv3/1/relu", "conv3/2/body/conv", "fc/fc"])
def test_layers_of_a_network_whose_depth_is_a_symbol(layer: str) -> None:
    """A layer of a pass has a name that the pass has for every number; only what autograd keeps isn't said."""
    symbol, small = (explain("resnet:cifar", layer, hparams={"n": n}) for n in (dim("n"), 12))
    assert (small.name, small.layer, small.volumes) == (symbol.name, symbol.layer, symbol.volumes)
    assert steps(small, "saved_bytes", "receptive_field") == steps(symbol, "saved_bytes", "receptive_field")
    assert "not worked out: the number of layers is a symbol" == symbol["saved_bytes"].result
    seen = symbol["receptive_field"]
    assert small["receptive_field"].value == (seen.value and value_at(seen.value, {"n": 12}))
    assert small["receptive_field"].result == seen.result or "n" in seen.result
    there, general = (archcalc.formula("resnet:cifar", layer, hparams={"n": n}) for n in (12, dim("n")))
    assert [(each.name, each.general, each.value) for each in there] == [
        (each.name, each.general, value_at(each.value, {"n": 12})) for each in general
    ]


def test_names_in_vast_and_in_open_networks() -> None:
    """A scope is looked through by what it holds, not layer by layer; a name that isn't there is an error."""
    graph = graph_of("layers: [{a: [(relu)*1000000000, conv 3 1x1, (relu)*1000000000]}]\n")
    assert "a/conv" == explain(graph, "a").name
    for given, first in (({"n": VAST}, "conv3/1/body/conv"), ({"n": dim("n")}, "conv3/1/body/conv")):
        network = load("resnet:cifar").build(**given)
        with pytest.raises(UsageError, match=f"'conv3' has several layers\n    hint: say which: {first}, "):
            explain(network, "conv3")
        with pytest.raises(UnknownNameError, match="resnet:cifar has no layer 'conv3/0'"):
            explain(network, "conv3/0")
    with pytest.raises(UsageError, match=r"say which: conv3/2/body/conv, conv3/2/body/conv_2$"):
        explain(load("resnet:cifar").build(n=dim("n")), "conv3/2")
