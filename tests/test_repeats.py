"""Numbers that depend on a layer's place follow from few passes of each repeat: equal to the walk over all layers."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

import archcalc
from archcalc import dim
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.analyses.repeats import are_steady
from archcalc.graph import TooManyLayers
from archcalc.graph.graph import Shortened
from archcalc.zoo import load
from tests.fuzz_repeats import OF_PLACES, compare_bytes, compare_fields, search
from tests.helpers import graph_of

DEEP = ("resnet:cifar", "resnet:cifar_plain", "resnet152", "gpt2", "vit", "convnext", "mobilenetv2", "densenet", "unet")


def test_random_networks_with_long_repeats() -> None:
    """Bytes, fields and depths of a few networks of `python -m tests.fuzz_repeats`: most follow from few passes."""
    counted = search(50, seed=0, most=600)
    for number, least in (("bytes", 0.8), ("fields", 0.5)):
        assert counted[number] >= counted[f"{number} short"] > max(30, least * counted[number])
    assert counted["depths"] > 30


@pytest.mark.parametrize("name", DEEP)
def test_networks_of_the_zoo(name: str) -> None:
    """Likewise networks that people built, with more passes than they have."""
    deeper = {"resnet:cifar": {"n": 12}, "resnet:cifar_plain": {"n": 31}, "gpt2": {"layers": 40}, "vit": {"layers": 17}}
    graph = load(name).build(**deeper.get(name, {}))
    assert bool(compare_bytes(graph, ("", *[*graph.scopes][::40]))) == (graph.shortened() is not None)


@pytest.mark.parametrize(
    ("name", "hparams"),
    [
        ("resnet:cifar", {"n": 12, "size": dim("s")}),
        ("resnet:cifar_plain", {"n": 20, "widths": [dim("w"), 2 * dim("w"), 4 * dim("w")]}),
        ("gpt2", {"d": dim("d"), "length": dim("T")}),
    ],
)
def test_symbolic_sizes(name: str, hparams: dict[str, Any]) -> None:
    """Formulas of bytes and fields in sizes are those of the walk."""
    graph = load(name).build(**hparams)
    found, walk = archcalc.analyze(graph), archcalc.analyze(graph)
    for quantity in OF_PLACES:
        short = found.total(quantity)
        assert quantity not in found._placed
        difference: Any = walk.over(quantity, range(len(graph))) - short
        assert difference.expand() == 0
    assert compare_fields(graph, [len(graph) // 2, len(graph) - 1]) == 2


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
    assert compare_bytes(graph, ("", *[*graph.scopes][::7])) > 0


def test_the_layer_of_most_bytes_is_the_first() -> None:
    """The line below a table names the layer that the walk finds first."""
    graph = load("resnet:cifar").build(n=31)
    found, walk = archcalc.analyze(graph), archcalc.analyze(graph)
    held = [max(moments) for moments in walk.placed("peak_bytes")]
    assert graph.nodes[held.index(max(held))].name == found.layer_of_most("peak_bytes").name


@pytest.mark.parametrize("path", ["conv2/7", "conv2/7/body/conv", "conv2/2/add", "conv2/19", "conv1"])
def test_rows_of_a_vast_network(path: str) -> None:
    """A layer and a scope of a network that can't be listed have the numbers that they have in a small one."""
    small, vast = (archcalc.analyze(load("resnet:cifar").build(n=n)) for n in (20, 10**9))
    for name in OF_PLACES:
        small.placed(name)  # the walk
    assert dict(small[path]) == dict(vast[path])
    assert [node.name for node in small[path].inputs] == [node.name for node in vast[path].inputs]


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
    ((first, second, _),) = short.twins
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


def test_the_depth_of_scopes_of_a_vast_network() -> None:
    """A scope's depth follows from the law of ways."""
    vast = archcalc.analyze(load("resnet:cifar").build(n=10**9))
    assert [2 * 10**9, 2] == [vast.total("depth", path) for path in ("conv3", "conv3/999999")]


WIDE = "{a: conv 3 1x1}, {b: conv 3 31x31 p=same}, from a, "
GROWING = [
    # (layers, whether the law holds): a skip from outside is wider than what passes see, for good or for a while
    ("{for: {i: 1..40}, do: [conv 3 3x3 p=1, {add: [identity, from b]}]}", True),
    ("{for: {i: 1..40}, do: {add: [conv 3 3x3 p=1, [from b, conv 3 1x1]]}}", True),
    ("{for: {i: 1..40}, do: [{c: conv 3 3x3 p=1}, {s: {add: [identity, from b]}}, from c]}", False),
    # steps to one side, strides within a pass, positions that take turns
    ("(conv 3 2x2 p=same)*40", True),
    ("(conv 3 3x3 s=2 p=1 -> tconv 3 4x4 s=2 p=1)*40", True),
    ("(conv 3 3x3 p=1 -> maxpool 2x2 s=2 -> upsample 2)*40", True),
    ("upsample 3, (conv 3 3x3 p=1)*40, conv 3 3x3 s=3", False),  # each third pass sees more
    ("{for: {i: 1..40}, do: [conv 3 1x1, {residual: conv 3 3x3 p=2 d=2 -> conv 3 2x2 p=same}]}", True),
    # a stride that grows where one position is left, or where none is
    ("global_avgpool, (maxpool 3x3 s=2 p=1)*40", True),
    ("conv 3 1x1 s=32, (maxpool 3x3 s=2 p=1)*40", False),
    # everything is seen, or so much as is found by going back
    ("(conv 3 3x3 p=1)*40, global_avgpool", True),
    ("conv 3 1x1 s=2, (conv 3 3x3 p=1)*40, global_avgpool", True),
    ("conv 3 1x1 s=2, {for: {i: 1..40}, do: {mul: [conv 3 1x1, global_avgpool -> conv 3 1x1]}}", True),
    ("((conv 3 3x3 p=1 -> relu)*12 -> conv 3 5x5 p=2)*12", True),
]


@pytest.mark.parametrize(("layers", "holds"), GROWING)
def test_fields_that_grow_with_each_pass(layers: str, holds: bool) -> None:
    """Where the law holds, the field is that of the walk; where it may not, all layers are gone through."""
    graph = graph_of(f"layers: [{WIDE if 'from b' in layers else ''}{layers}, relu]\n")
    assert compare_fields(graph, [len(graph) - 1]) == holds
    found = archcalc.analyze(graph).row(len(graph) - 1).fields
    assert receptive_fields(graph)[-1] == found


def test_fields_of_a_thousand_million_blocks() -> None:
    """Each block of two 3x3 convolutions adds four strides; what's global sees everything."""
    report = archcalc.analyze(load("resnet:cifar").build(n=10**9))
    assert {"H": 3 + 4 * 10**9, "W": 3 + 4 * 10**9} == report["conv2"]["receptive_field"]
    assert {"H": 32, "W": 32} == report["fc"]["receptive_field"]
    with pytest.raises(TooManyLayers):
        report.receptive_fields  # noqa: B018
    strided = load("resnet:resnet50_v1")  # whose 1x1 convolutions leave positions out, so that it's found by going back
    few, many = (archcalc.analyze(strided.build(depths=[3, 4, n, 3]))["fc"].fields for n in (30, 10**8))
    assert few == many
