"""Arguments of layers that are given from outside: `--set conv1.stride=3`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.__main__ import main
from archcalc.cli.graphs import symbol_names
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build, heeded
from archcalc.graph import Change, Graph
from archcalc.layers import REGISTRY
from archcalc.zoo import Architecture, load
from tests.helpers import HEAD, spec_of
from tests.random_overrides import Changed, changes, outcome, substance
from tests.random_specs import specs


@given(changes(specs()))
@settings(max_examples=100, deadline=None)
def test_an_argument_from_outside_is_the_argument_in_the_text(change: Changed | None) -> None:
    """With another value in its text, or given this value, a spec is the same network, or has an error."""
    if change is None:
        return
    written, given = outcome(change.rewritten), outcome(change.text, change.sets)
    assert (written == given) or (isinstance(written, list) and given == [])


NESTED = """archcalc: 1
name: nested
input: {C: 4, H: 16, W: 16}
blocks:
  unit(c): conv c 3x3 p=1 -> bn -> relu
  pair(c): {residual: 'unit c -> unit c', shortcut: conv c 1x1}
layers:
  - stem: unit 4
  - stage{i}:
      for: {i: 1..3}
      do: [(pair 4)*2, {add: {left: 'unit 4 -> unit 4', right: unit 4}}]
  - (pair 4 -> unit 4)*3
"""
PATTERNS = ["stem", "stem/conv", "stage2", "stage*/1", "*", "*conv", "stage?/1", "*/left/*", "2/pair*", "stage1/left/unit_2",
            "3", "*_2/conv", "s*/s*/conv", "stage3/*/body", "*t*/*i*"]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("argument", "value"), [("bias", False), ("groups", 2), ("affine", False)])
def test_a_pattern_changes_the_layers_that_it_matches_and_no_others(pattern: str, argument: str, value: Any) -> None:
    """In loops, blocks and repeats alike, also where equal blocks would be copied: every name is tried by itself."""
    spec = spec_of(NESTED)
    plain, label = build(spec), f"{pattern}.{argument}"
    expected = recomputed(plain, pattern, argument, value)
    if expected is None:
        with pytest.raises(UsageError, match=re.escape(f"{label}: ")):
            build(spec, hparams={label: value})
        return
    graph = build(spec, hparams={label: value})
    assert expected == [(node.name, node.layer, node.shape) for node in graph.nodes]
    changed = [a.name for a, b in zip(plain.nodes, graph.nodes, strict=True) if a.layer != b.layer]
    assert changed == [change.name for change in graph.changes]


def recomputed(graph: Graph, pattern: str, argument: str, value: Any) -> list[Any] | None:
    """The layers and shapes of a graph with an argument changed, node by node; None if there's nothing to change."""
    matches = re.compile("[^\n]*".join(map(re.escape, pattern.split("*"))) + "(/.*)?")
    found: list[Any] = []
    any_changed = False
    for node in graph.nodes:
        layer = node.layer
        if argument in layer.arguments() and matches.fullmatch(node.name):
            any_changed = True
            values = {name: getattr(layer, name) for name in layer.arguments()}
            layer = REGISTRY[node.kind](**{**values, argument: value})
        shapes = [found[index][2] for index in node.inputs]
        found.append((node.name, layer, layer.output_shape(*shapes) if shapes else node.shape))
    return found if any_changed else None


LAYERS = "layers: [{a: conv 8 5x5 -> relu}, {b: (conv 8 3x3)*2}, {c: maxpool 2 -> flatten -> fc 10}]\n"
ERRORS = {
    ("d.stride", "2"): ("t has no layer 'd'", "known: "),
    ("b/3.stride", "2"): ("t has no layer 'b/3'", "did you mean 'b/2'?"),
    ("a/relu.stride", "2"): ("relu has no argument 'stride'", "relu takes no arguments"),
    ("a.strid", "2"): ("nothing in 'a' has an argument 'strid'", "did you mean 'stride'?"),
    ("b.strid", "2"): ("conv has no argument 'strid'", "did you mean 'stride'?"),
    ("a/conv.stride", "0"): ("conv: stride = 0 is less than 1 (a/conv, t.yaml:4:14)", ""),
    ("a/conv.stride", "7/2"): ("conv: stride = 7/2 is not an integer (a/conv, t.yaml:4:14)", "use // or ceil(...)"),
    ("a/conv.padding", "hlf"): ("unknown name 'hlf' (a/conv, t.yaml:4:14)", "did you mean 'half'?"),
    ("a/conv.stride", "(2"): ("')' missing at end of text", ""),
    ("a.stride", "2 3"): ("expected the end, found '3'", ""),
    (".stride", "2"): ("'.stride' is not an argument of a layer", "NAME.ARGUMENT"),
    ("a.", "2"): ("'a.' is not an argument of a layer", "NAME.ARGUMENT"),
    ("a.stride", 2.5): ("2.5 is not exact", "as a text"),
    ("a.stride", None): ("", ""),
    ("a.stride", Ellipsis): ("", ""),
    ("stride", "2"): ("t has no hparam 'stride'", "arguments are given to layers: --set a.stride=2"),
    ("k", "2"): ("t has no hparam 'k'", "arguments are given to layers: --set a.k=2"),
}


@pytest.mark.parametrize(("given", "expected"), ERRORS.items(), ids=[f"{name}={value}" for name, value in ERRORS])
def test_what_cannot_be_followed_is_refused_with_a_suggestion(given: Any, expected: tuple[str, str]) -> None:
    """Unknown layers and arguments, kinds without them, and values that no layer can take."""
    name, value = given
    spec = spec_of(HEAD + LAYERS)
    with pytest.raises(UsageError) as raised:
        build(spec, hparams={name: value})
    message, hint = expected
    assert message in str(raised.value.args[0])
    assert hint in raised.value.hint


def test_what_does_not_fit_is_an_error_at_the_layer() -> None:
    """Of the spec's own place, with what was given from outside."""
    with pytest.raises(SpecError) as raised:
        load("alexnet").build(**{"conv2.g": 5})
    (error,) = raised.value.diagnostics
    assert "E205" == error.code
    assert ("with conv2.g=5",) == error.details


def test_values_see_what_the_text_around_a_layer_sees() -> None:
    """Hparams, loop variables, formals of blocks, the volume that enters, the network's input and earlier volumes."""
    text = """archcalc: 1
name: t
hparams: {width: 3}
input: {C: 2, H: 9, W: 9}
blocks: {unit(c): conv c 1x1}
layers: ['s{i}': {for: {i: 1..2}, do: conv 4 1x1}, {b: unit 5}, {last: conv 7 1x1}, zeropad 10*width]
"""
    sets = {"s*.out_channels": "width*i", "b.out_channels": "c+x.C", "last.out_channels": "2*x.C+in.C-s1.C"}
    with pytest.raises(UsageError, match=r"last\.out_channels"):
        build(spec_of(text), hparams={**sets, "last.out_channels": "s3.C"})
    graph = build(spec_of(text), hparams=sets)
    assert [2, 3, 6, 11, 21, 30] == [node.shape.C for node in graph.nodes]


def test_references_can_be_given_from_outside() -> None:
    """A tensor argument is a path, as in specs."""
    layers = "layers:\n  - up: conv 8 5x5\n  - down: conv 8 9x9\n  - from up -> crop like=@up\n"
    assert 20 == build(spec_of(HEAD + layers),
                       hparams={"crop.like": "@down"}).nodes[-1].shape.H  # fmt: skip


def test_the_last_of_several_values_counts() -> None:
    """A pattern first, then the exception from it."""
    first, then = {"*.bias": False}, {"conv1.bias": True}
    graph = load("vgg16").build(**first, **{"conv1/1.bias": True})
    biased = [node.name for node in graph.nodes if getattr(node.layer, "bias", False)]
    assert ["conv1/1/conv"] == biased
    assert [] == [n.name for n in load("vgg16").build(**then, **first).nodes if getattr(n.layer, "bias", False)]


def test_python_takes_arguments_layer_by_layer() -> None:
    """A mapping for a layer, values of Python, and symbols."""
    given: Any = {"conv1": {"stride": 3, "p": (2, 2)}, "conv2.k": (3, 3), "conv3.padding": "half"}
    graph = load("alexnet").build(**given)
    changes = {(change.name, change.argument): (change.before, change.after) for change in graph.changes}
    assert {
        ("conv1/conv", "stride"): ("4", "3"),
        ("conv1/conv", "padding"): ("0", "2x2"),
        ("conv2/conv", "kernel_size"): ("5x5", "3x3"),
        ("conv3/conv", "padding"): ("1", "half"),
    } == changes
    opened = load("alexnet").build(**{"conv1.out_channels": archcalc.dim("c"), "conv2.g": 1})
    assert "c" == str(opened["conv1"].shape.C)
    with pytest.raises(UsageError, match=r"'conv1\.stride' is given twice"):
        load("alexnet").build(**{"conv1": {"stride": 3}, "conv1.stride": 3})


def test_a_value_that_is_left_open_has_a_name_of_its_own() -> None:
    """`sym` makes one symbol for all layers of a pattern; it can't have the name of an hparam."""
    graph = load("vgg16").build(**{"conv1/*.out_channels": "sym"})
    assert {"conv1_out_channels"} == {str(s) for s in graph["conv1"].shape.C.free_symbols}
    text = "archcalc: 1\nname: t\nhparams: {a_k: 3}\ninput: {C: 2, H: 9, W: 9}\nlayers: {a: conv 4 a_k}\n"
    with pytest.raises(UsageError, match="a_k, as something else is"):
        build(spec_of(text), hparams={"a.k": "sym"})


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_symbols_then_numbers_are_numbers_from_the_start(channels: int, kernel: int, padding: int) -> None:
    """An argument left open, with a number put in, is the network with that number."""
    layers = "layers: [{a: conv 8 5x5}, {b: conv 4 3x3}]\n"
    spec = spec_of(HEAD + layers)
    numbers = {"a.out_channels": channels, "a.k": kernel, "b.p": padding + 1}
    opened = archcalc.analyze(build(spec, hparams=dict.fromkeys(numbers, "sym")))
    values = {archcalc.dim(name): value for name, value in
              {"a_out_channels": channels, "a_k": kernel, "b_p": padding + 1}.items()}  # fmt: skip
    exact = archcalc.analyze(build(spec, hparams=numbers))
    for name in ("params", "macs", "activations"):
        assert exact.total(name) == opened.total(name).subs(values)


def test_a_short_form_means_the_long_one_in_scopes_where_a_layer_has_it() -> None:
    """`k` is kernel_size, but lrn has an argument `k`; `p` is padding, but dropout has a `p`."""
    alexnet = load("alexnet")
    changed = {(change.name, change.argument) for change in alexnet.build(**{"conv2.k": 3}).changes}
    assert {("conv2/conv", "kernel_size")} == changed
    changed = {(change.name, change.argument) for change in alexnet.build(**{"*/lrn.k": 3}).changes}
    assert {("conv1/lrn", "k"), ("conv2/lrn", "k")} == changed
    changed = {
        (change.name, change.argument) for change in alexnet.build(**{"conv2/lrn.k": 3, "fc6.p": "0.25"}).changes
    }
    assert {("conv2/lrn", "k"), ("fc6/dropout", "p")} == changed


def test_an_equal_value_changes_nothing() -> None:
    """What is given as it was is no change, and a network without changes has none."""
    assert () == load("alexnet").build(**{"conv1.stride": 4}).changes
    assert () == load("alexnet").build().changes
    assert (Change("conv1/conv", "stride", "4", "3"),) == load("alexnet").build(**{"conv1.s": 3}).changes


def test_equal_blocks_that_follow_unequal_values_are_not_copies() -> None:
    """Nor are those copies that follow the same."""
    text = "archcalc: 1\nname: t\ninput: {C: 4, H: 9, W: 9}\nblocks: {u(): conv 4 3x3 p=1}\nlayers: (u)*4\n"
    graph = build(spec_of(text), hparams={"3.bias": "false"})
    assert [True, True, False, True] == [node.layer.bias for node in graph.nodes[1:]]  # type: ignore[attr-defined]
    assert substance(build(spec_of(text.replace("p=1", "p=1 bias=false")))) == substance(
        build(spec_of(text), hparams={"*.bias": False})
    )


def test_deep_networks_stay_cheap() -> None:
    """Blocks that follow the same overrides are copied: a pattern for all of 30,000 blocks takes seconds, not minutes."""
    text = "archcalc: 1\nname: t\ninput: {C: 4, H: 9, W: 9}\nblocks: {u(): {residual: conv 4 3x3 p=1 -> relu}}\nlayers: (u)*30000\n"
    graph = build(spec_of(text), hparams={"*.bias": "false"})
    assert 30_000 == len(graph.changes)


NET = """archcalc: 1
name: net
input: {C: 3, H: 64, W: 64}
hparams: {c: 8}
layers:
  - a: conv c 5x5%s -> relu
  - b: maxpool 3 s=2
  - head: global_avgpool -> flatten -> fc 10
"""
COMMANDS = [
    "table {} --format csv", "table {} --symbolic H,W --format csv", "receptive-field {} --format json",
    "receptive-field {} --layer b --at 1,1", "explain {} a/conv --format text", "explain {} b --format json",
    "formula {} a", "formula {}", "formula {} --format python", "solve {} --output 5x5", "solve {} --params 1K --set c=sym",
    "solve {} --macs 1M --set c=1..64", "sweep {} --set c=1..9 --format csv", "sweep {} --set H=60..70", "export {}",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_it(command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What it says about a network with --set is what it says about a spec with that text."""
    found = []
    for folder, text, option in (
        ("plain", "", " --set a.stride=3 --set a/conv.p=half"),
        ("written", " s=3 p=half", ""),
    ):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "net.yaml"
        file.write_text(NET % text)
        assert 0 == main([*command.format(file).split(), *option.split()])
        found.append(capfd.readouterr().out.replace(str(tmp_path / folder), ""))
    assert found[1] == found[0]


def test_a_value_may_be_swept_and_solved_for() -> None:
    """A range of an argument, of each value what building it gives; what is solved for builds to it."""
    spec = spec_of(NET % "")
    architecture = Architecture(spec, "")
    for name, values in {"a.stride": range(1, 7), "a.out_channels": range(3, 40, 5), "a/*.k": range(1, 9)}.items():
        swept = archcalc.sweep(architecture, hparams={name: values}, columns=["params", "macs"])
        built = [archcalc.analyze(build(spec, hparams={name: value})) for value in values]
        pairs = zip(values, built, strict=True)
        expected = [{name: value, "params": r.totals["params"], "macs": r.totals["macs"]} for value, r in pairs]
        assert expected == swept.to_dict()
    fits = [
        value
        for value in range(1, 41)
        if archcalc.analyze(build(spec, hparams={"a.out_channels": value})).totals["params"] <= 2000
    ]
    assert fits == list(
        archcalc.solve(architecture, params=2000, hparams={"a.out_channels": range(1, 41)}).sizes["a_out_channels"]
    )
    open_ended = archcalc.solve(architecture, params=2000, hparams={"a.out_channels": "sym"})
    assert fits == list(open_ended.sizes["a_out_channels"])


def test_of_several_networks_each_follows_what_it_can(capfd: pytest.CaptureFixture[str]) -> None:
    """`check` builds all variants of a spec, of which some have the layer; an override that none has is an error."""
    assert 0 == main(["check", "vgg", "--set", "conv3/4.bias=false"])
    assert "10 variants built" in capfd.readouterr().out
    assert 2 == main(["check", "vgg", "--set", "conv3/5.bias=false"])
    assert "vgg has no layer 'conv3/5'" in capfd.readouterr().err
    assert 1 == main(["check", "vgg", "--set", "conv3/4.k=99", "--set", "conv3/4.p=0"])
    assert "kernel 99" in capfd.readouterr().out
    spec = load("vgg19").spec
    assert {"conv3/4.bias": False, "*.bias": True, "fcn": True} == heeded(
        spec, "E", {"conv3/4": {"bias": False}, "*.bias": True, "conv9.s": 3, "fcn": True}
    )
    assert {"*.bias": True} == heeded(spec, "D", {"conv3/4.bias": False, "*.bias": True, "conv1.bais": True})


def test_what_cannot_be_a_name_of_a_symbol_is_set() -> None:
    """--symbolic opens sizes and hparams; an argument of a layer is opened by --set."""
    with pytest.raises(UsageError) as raised:
        symbol_names("H,conv1.out_channels")
    assert "--set conv1.out_channels=sym" == raised.value.hint
