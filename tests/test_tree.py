"""The graph's tree: what is shared and repeated is what building one by one makes, and every law is its plain walk."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

import archcalc
from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.expand.blocks import Blocks
from archcalc.expand.loops import Loops as Passes
from archcalc.expand.modules import Modules
from archcalc.graph import Graph, Repeat, TooManyLayers
from archcalc.graph.composite import Call, Composite
from archcalc.zoo import load
from tests.helpers import HEAD, graph_of, spec_of
from tests.random_loops import Loops

SEEDS = 90
DEEP = ("resnet:cifar", "resnet:cifar_plain", "gpt2", "vit", "convnext", "mobilenetv2", "densenet", "unet", "googlenet", "faster_rcnn")  # fmt: skip


@contextmanager
def one_by_one() -> Iterator[None]:
    """Build every pass of every loop and every call of every block: no repeats, nothing shared."""
    with (
        patch.object(Passes, "_names_alike", lambda *_: None),
        patch.object(Blocks, "_known", lambda *_: None),
        patch.object(Modules, "_known", lambda *_: None),
        patch("archcalc.expand.nodes.put_together", lambda *_: None),
    ):
        yield


def depth_of(graph: Graph, path: str = "") -> int:
    """The longest path by a walk over all nodes, and then over those that aren't beside it, backwards."""
    nodes, scope = graph.nodes, {*graph.indices(path)}
    longest: list[int] = []
    used, on_path = [False] * len(nodes), [False] * len(nodes)
    for index, node in enumerate(nodes):
        gates = node.layer.gates(*node.application.input_shapes)
        before = max((longest[i] for place, i in enumerate(node.inputs) if place not in gates), default=0)
        longest.append(before + (index in scope and node.layer.weight_layer))
    for index in reversed(range(len(nodes))):
        gates = nodes[index].layer.gates(*nodes[index].application.input_shapes)
        on_path[index] = on_path[index] or not used[index]
        for place, i in enumerate(nodes[index].inputs):
            used[i] = True
            on_path[i] = on_path[i] or (on_path[index] and place not in gates)
    return max(longest[index] for index in [i for i in scope if on_path[i]] or range(len(nodes)))


def first_dangling(graph: Graph) -> dict[str, str]:
    """By place in the spec, the first layer whose volume nobody reads."""
    used = {*graph.outputs.values(), *(i for node in graph.nodes for i in node.inputs)}
    found: dict[str, str] = {}
    for index, node in enumerate(graph.nodes):
        if index not in used and node.mark is not None:
            found.setdefault(str(node.mark), f"the output of '{node.name}' is never used")
    return found


def agrees(graph: Graph, plain: Graph) -> None:
    """A graph with repeats is the plain one, and its laws say what walks over that say."""
    assert plain.nodes == graph.nodes
    assert list(plain.scopes.items()) == list(graph.scopes.items())
    assert plain == graph
    assert plain.nodes == tuple(graph.tree.node(index) for index in range(len(graph)))
    assert plain.warnings == graph.warnings
    assert Counter(node.application for node in plain.nodes) == graph.applications()
    assert list(dict.fromkeys(node.application for node in plain.nodes)) == list(graph.applications())
    assert depth_of(plain) == archcalc.analyze(graph).totals["depth"]
    dangling = {str(each.mark): each.message for each in graph.warnings if each.code == "W403"}
    assert first_dangling(plain) == dangling
    for path in [*graph.scopes][::5]:
        inside = [i for i, node in enumerate(plain.nodes) if node.name == path or node.name.startswith(f"{path}/")]
        assert inside == list(graph.indices(path))
        assert graph.scopes[path] == graph.place(path)


@pytest.mark.parametrize("first", range(0, SEEDS, 30))
def test_what_is_shared_is_what_building_one_by_one_makes(first: int) -> None:
    """Nodes, names, order, warnings, errors and traces of random specs, and depth, sums and volumes left over."""
    for seed in range(first, first + 30):
        try:
            spec = spec_of(Loops(seed).text())
        except SpecError:  # what doesn't need building to be wrong
            continue
        try:
            with one_by_one():
                plain = build(spec)
        except SpecError as error:
            with pytest.raises(SpecError) as found:
                build(spec)
            assert error.diagnostics == found.value.diagnostics
        else:
            agrees(build(spec), plain)


def test_what_turned_out_equal_is_what_building_one_by_one_makes() -> None:
    """Likewise if no pass is known to be equal before it's built: most are found to be afterwards."""
    before = after = 0
    for seed in range(30):
        try:
            spec = spec_of(Loops(seed).text())
            with one_by_one():
                plain = build(spec)
        except SpecError:
            continue
        with patch.object(Passes, "_names_alike", lambda *_: None):
            graph = build(spec)
        agrees(graph, plain)
        before, after = (n + sum(1 for _ in repeats(g.tree.body)) for n, g in ((before, build(spec)), (after, graph)))
    assert after > before / 2 > 25


EQUAL = [
    # passes that name the one before them, or a layer in it
    ("[{b0: conv 3 1x1}, {'b{i}': {for: {i: 1..99}, do: [conv 3 1x1, {add: [bn, 'from b{i-1}']}]}}, relu]", 99),
    ("[{b0: {c: conv 3 1x1}}, {'b{i}': {for: {i: 1..99}, do: [{c: conv 3 1x1}, {add: [bn, 'from b{i-1}/c']}]}}]", 0),
    ("[{'x{2*i}y': {for: {i: 1..99}, do: [conv 3 1x1, relu if i > 0, bn]}}, from x8y, relu]", 99),
    # layers that share weights; the first pass does with what enters it
    ("[{a: conv 3 1x1}, {'b{i}': {for: {i: 1..9}, do: [tconv 3 1x1 tie=@a, {add: [bn, from in]}]}}, relu]", 8),
    # values that change what is built, here and there
    ("[{'b{i}': {for: {i: 1..99}, do: 'conv 3 1x1 if i % 50 == 0 else conv 3 3x3 p=1'}}]", 49),
]


@pytest.mark.parametrize(("layers", "longest"), EQUAL)
def test_passes_that_turn_out_equal(layers: str, longest: int) -> None:
    """Those that follow each other are a repeat, whose passes are found by their names."""
    spec = spec_of(f"{HEAD}layers: {layers}\n")
    with one_by_one():
        plain = build(spec)
    graph = build(spec)
    agrees(graph, plain)
    assert longest == max((repeat.count for repeat in repeats(graph.tree.body)), default=0)


def test_passes_around_one_that_is_given_arguments_are_equal() -> None:
    """Those before it and those after it are repeats."""
    graph = load("resnet:cifar").build(n=18, hparams={"conv3/7/body/conv.bias": True})
    assert [18, 5, 11, 17] == [repeat.count for repeat in repeats(graph.tree.body)]
    assert "conv3/12/body/conv" == graph.node(graph.place("conv3/12/body/conv")).name


@pytest.mark.parametrize("name", DEEP)
def test_networks_of_the_zoo_agree(name: str) -> None:
    """Likewise networks that people built."""
    architecture = load(name)
    with one_by_one():
        plain = architecture.build()
    agrees(architecture.build(), plain)


def repeats(call: Call) -> Iterator[Repeat]:
    """The repeats in a call, the inner ones of each once."""
    if isinstance(call, Repeat):
        yield call
        yield from repeats(call.body)
    elif isinstance(call, Composite):
        for item in call.items:
            yield from repeats(item.call)


@pytest.mark.parametrize("n", [1, 2, 3, 18, 1000])
def test_a_thousand_million_blocks_cost_what_eighteen_cost(n: int) -> None:
    """The tree of a deep network has as many parts for any depth, and its sums are linear in it."""
    architecture = load("resnet:cifar")
    deep, vast = (architecture.build(n=number) for number in (18, 10**9))
    found = [sum(1 for _ in repeats(graph.tree.body)) for graph in (deep, vast)]
    assert found[0] == found[1] == 3
    one, two, vast_totals, here = (archcalc.analyze(architecture.build(n=number)).totals for number in (1, 2, 10**9, n))
    for name in ("params", "macs", "activations", "buffers", "depth"):
        law = [one[name] + (number - 1) * (two[name] - one[name]) for number in (10**9, n)]
        assert law == [vast_totals[name], here[name]]
    assert 6 * 10**9 + 2 == vast_totals["depth"]


def test_what_looks_at_every_layer_says_how_many_there_are() -> None:
    """Lists and what follows memory refuse; single layers, names and sums don't."""
    graph = load("resnet:cifar").build(n=10**9)
    with pytest.raises(TooManyLayers, match="21,000,000,012 layers; at most 500,000") as error:
        graph.nodes  # noqa: B018
    assert str(error.value) == str(pickle.loads(pickle.dumps(error.value)))
    with pytest.raises(TooManyLayers):
        archcalc.analyze(graph).placed("saved_bytes")
    assert ("conv3/999999/relu", 32) == (graph["conv3/999999"].name, graph["conv3/999999"].shape.C)
    assert "conv3/1000000001" not in graph
    assert graph == load("resnet:cifar").build(n=10**9)
    assert graph != load("resnet:cifar").build(n=10**9 + 1)
    assert graph == pickle.loads(pickle.dumps(graph))
    assert 10**9 * 2 * 9 * 64**2 > archcalc.analyze(graph).total("weights", "conv4/2")


NAMED = [
    ("layers: [{s: (relu)*1000000}, from s/7 -> bn]\n", "bn", 7),
    ("layers: [{'b{i}': {for: {i: 1..1000000}, do: conv 3 1x1}}, from b77 -> bn]\n", "bn", 77),
    ("layers: [{'b{i+3}': {for: {i: 1..1000000}, do: conv 3 1x1 -> relu}}, from b77/conv -> bn]\n", "bn", 147),
    ("layers: [{for: {i: 1..1000000}, do: conv 3 1x1 -> relu if i < 500000}, from 500000 -> bn]\n", "bn", 999999),
    ("layers: [{'5': conv 3 1x1}, (relu)*3000, bn]\n", "bn", None),
]


@pytest.mark.parametrize(("layers", "name", "read"), NAMED)
def test_passes_have_names_without_being_listed(layers: str, name: str, read: int | None) -> None:
    """What reads a pass by its name reads that one; a name that the spec gives itself is left out."""
    graph = graph_of(layers)
    index = graph.place(name)
    assert (read if read is not None else index - 1,) == graph.node(index).inputs


def test_a_pass_that_has_a_name_already_is_refused() -> None:
    """Names must be unique, however many there are."""
    for layers in (
        "[{'b{i}': {for: {i: 1..1000000}, do: relu}}, {b9999: relu}]",
        "[{b9: relu}, {'b{i}': {for: {i: 1..1000000}, do: relu}}]",
    ):
        with pytest.raises(SpecError, match="E072 two siblings are called"):
            graph_of(f"layers: {layers}\n")


def test_a_tie_counts_the_weights_of_all_passes() -> None:
    """A repeat has as many layers with weights as its passes together."""
    with pytest.raises(SpecError, match="'s' has 1000000 layers with weights"):
        build(spec_of(f"{HEAD}layers: [{{s: (conv 3 1x1)*1000000}}, tconv 3 1x1 tie=@s]\n"))
    graph = graph_of("layers: [{s: (conv 3 1x1)*1000000}, tconv 3 1x1 tie=@s/99]\n")
    assert 99 == graph["tconv"].tied


def test_names_that_get_too_long_are_refused_in_repeats_too() -> None:
    """A pass whose number makes a name inside it too long is an error, although a shorter one was not."""
    for scope, code in ((388, ""), (394, "E001 a name of more than 400 characters")):
        layers = f"layers: {{{'s' * scope}: (conv 3 1x1 -> bn)*200}}\n"
        if code:
            with pytest.raises(SpecError, match=code):
                graph_of(layers)
        else:
            assert 401 == len(graph_of(layers))
