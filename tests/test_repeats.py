"""Numbers that depend on a layer's place follow from few passes of each repeat: equal to the walk over all layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

import archcalc
from archcalc.analyses.repeats import are_steady
from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.graph import Graph, TooManyLayers
from archcalc.graph.graph import Shortened
from archcalc.zoo import load
from tests import random_loops
from tests.helpers import graph_of, spec_of
from tests.test_tree import depth_of

GATE = "  gated(): [{sc: conv 4 1x1}, {mul: [identity, {w: [global_avgpool, {mul: [identity, conv 4 1x1]}, relu]}]}]\n"
LAYERS = (*random_loops.LAYERS, "identity", "sigmoid", "gelu", "maxpool 3x3 s=1 p=1", "dropout 0", "relu", "softmax")
OF_PLACES = ("saved_bytes", "peak_bytes", "least_bytes")
MOST = 1000
"""Layers of a network that is compared."""
DEEP = ("resnet:cifar", "resnet:cifar_plain", "resnet152", "gpt2", "vit", "convnext", "mobilenetv2", "densenet", "unet")


def random_graph(seed: int, layers: Sequence[str] = LAYERS) -> Graph | None:
    """A random network with long repeats; None where the spec is wrong, or it's too large."""
    pick = Random(seed)
    with patch.object(random_loops, "LAYERS", layers):
        text = random_loops.Loops(seed).text()
    long, middling = pick.choice([9, 11, 20]), pick.choice([5, 10])
    text = re.sub(r"n: \d+, m: \d+", f"n: {pick.randint(7, 13)}, m: {pick.choice([1, 2, 3, 9, 12])}", text)
    if "gated" in text:
        text = re.sub("^(blocks:\n|(?=layers:))", f"blocks:\n{GATE}", text, count=1, flags=re.MULTILINE)
    text = text.replace("1..7", f"1..{long}").replace("*7", f"*{long}").replace("*5", f"*{middling}")
    try:
        graph = build(spec_of(text))
    except SpecError:
        return None
    return graph if len(graph) <= MOST else None


def compare(graph: Graph, paths: Sequence[str] = ("",)) -> int:
    """Compare totals of a graph and of scopes with those of the walk; how many the law gave."""
    ours, walk = archcalc.analyze(graph), archcalc.analyze(graph)
    laws = 0
    for name in OF_PLACES:
        for path in paths:
            inside = [i for i, node in enumerate(graph.nodes) if f"{node.name}/".startswith(f"{path}/" if path else "")]
            if inside:
                assert walk.over(name, inside) == ours.total(name, path)
                laws += ours._by_passes(name, path) is not None
    return laws


def test_random_networks_with_long_repeats() -> None:
    """Repeats in repeats, skips into passes and out of them, ties, several outputs: totals of networks and of scopes."""
    laws = 0
    for seed in range(120):
        if (graph := random_graph(seed)) is not None and graph.shortened() is not None:
            laws += compare(graph, ("", *Random(seed).sample(list(graph.scopes), min(2, len(graph.scopes)))))
    assert laws > 100


@pytest.mark.parametrize("name", DEEP)
def test_networks_of_the_zoo(name: str) -> None:
    """Likewise networks that people built, with more passes than they have."""
    deeper = {"resnet:cifar": {"n": 12}, "resnet:cifar_plain": {"n": 31}, "gpt2": {"layers": 40}, "vit": {"layers": 17}}
    graph = load(name).build(**deeper.get(name, {}))
    assert bool(compare(graph, ("", *[*graph.scopes][::40]))) == (graph.shortened() is not None)


SPECIAL = [
    # pools that are undone: in each pass, one by all passes, and the first pass's by all
    "[{for: {i: 1..30}, do: [{a: conv 4 3x3 p=1}, maxpool 2x2 s=2, unpool 2x2 s=2 like=@a]}]",
    "[{a: conv 4 3x3 p=1}, maxpool 2x2 s=2, {for: {i: 1..30}, do: [unpool 2x2 s=2 like=@a, maxpool 2x2 s=2]}]",
    "[{a: conv 4 3x3 p=1}, {for: {i: 1..30}, do: {add: [identity, [from a, maxpool 2x2 s=2, unpool 2x2 s=2 like=@a]]}}]",
    # passes that hand on what enters, as it is or as a view
    "[conv 4 3x3 p=1, (identity)*40, relu, (dropout 0.5)*40, relu]",
    "[conv 4 3x3 p=1, (relu)*40, {residual: (relu)*40}]",
    # every pass reads what is outside of the loop; one reads a pass of another loop
    "[{a: conv 4 3x3 p=1}, {for: {i: 1..30}, do: [{add: [conv 4 1x1, from a]}, relu]}]",
    "[{s: (conv 4 1x1 -> relu)*50}, {t: (bn -> relu)*50}, {add: [from t, from s/17, from s/18, from t/40]}]",
    # no gradient flows into the first passes, or there are no parameters at all
    "[(maxpool 3x3 s=1 p=1)*40, conv 4 3x3 p=1, (maxpool 3x3 s=1 p=1)*40]",
    "[(relu -> (maxpool 3x3 s=1 p=1 -> sigmoid)*12)*12]",
    # passes that nobody reads
    "[{a: conv 4 3x3 p=1}, {for: {i: 1..30}, do: [from a, conv 4 1x1]}, from a, relu]",
]


@pytest.mark.parametrize("layers", SPECIAL)
def test_what_passes_may_have_to_do_with_each_other(layers: str) -> None:
    """Switches, views, gradients, skips: each is decided along the passes, and is the same after the first few."""
    graph = graph_of(f"layers: {layers}\n", "archcalc: 1\nname: t\ninput: {C: 4, H: 6, W: 6}\n")
    assert compare(graph, ("", *[*graph.scopes][::7])) > 0


def test_the_layer_of_most_bytes_is_the_first() -> None:
    """The line below a table names the layer that the walk finds first."""
    graph = load("resnet:cifar").build(n=31)
    found, walk = archcalc.analyze(graph), archcalc.analyze(graph)
    held = [max(moments) for moments in walk.placed("peak_bytes")]
    assert graph.nodes[held.index(max(held))].name == found.layer_of_most("peak_bytes").name


@pytest.mark.parametrize("name", OF_PLACES)
def test_a_thousand_million_blocks_keep_what_two_say(name: str) -> None:
    """What is kept grows by the same with each block; the most that is held doesn't."""
    two, three, vast = (archcalc.analyze(load("resnet:cifar").build(n=n)).totals[name] for n in (2, 3, 10**9))
    assert two is not None
    assert three is not None
    assert two + (10**9 - 2) * (three - two) == vast


def test_passes_that_differ_are_walked_through() -> None:
    """The law holds only if two passes in a row decide the same, and have the same numbers; else all are looked at."""
    graph = graph_of("layers: [(conv 3 1x1)*30]\n")
    short = graph.shortened()
    assert isinstance(short, Shortened)
    ((first, second),) = short.twins
    plain: list[Any] = [7] * len(short.graph)
    alike = {node: node - 1 for node in range(len(plain))}
    assert are_steady(short, plain, [alike, [False] * len(plain), {*range(len(plain))}])
    for other in (alike | {second: first - 2}, [place == first for place in range(len(plain))], {first}):
        assert not are_steady(short, plain, [other])
    assert not are_steady(short, [*range(len(plain))], [])
    with patch("archcalc.analyses.repeats.are_steady", lambda *_: False):
        found = archcalc.analyze(graph).totals["saved_bytes"]
        assert archcalc.analyze(graph).over("saved_bytes", range(len(graph))) == found
        with pytest.raises(TooManyLayers):
            archcalc.analyze(load("resnet:cifar").build(n=10**9)).total("saved_bytes")


def test_the_depth_of_scopes_is_the_longest_path_through_each() -> None:
    """By the law of ways, with repeats, and with gates beside the paths; and by a walk over all layers, backwards too."""
    compared = 0
    for seed in range(60):
        if (graph := random_graph(seed, (*random_loops.LAYERS, "gated", "gated"))) is not None:
            pick = Random(seed)
            paths = [*pick.sample(list(graph.scopes), min(4, len(graph.scopes))), pick.choice(graph.nodes).name]
            plain = Graph.of("t", graph.nodes, graph.outputs, graph.scopes)
            for path in paths:
                found = archcalc.analyze(graph).total("depth", path)
                assert depth_of(plain, path) == found == archcalc.analyze(plain).total("depth", path)
                compared += 1
    assert compared > 60
    vast = archcalc.analyze(load("resnet:cifar").build(n=10**9))
    assert [2 * 10**9, 2] == [vast.total("depth", path) for path in ("conv3", "conv3/999999")]
