"""Receptive fields of networks as people build them: in seconds each, exact, and no number where there is none."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from archcalc import analyze
from archcalc.__main__ import main
from archcalc.analyses.depth import depth
from archcalc.analyses.field import Field
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.errors import ArchcalcError
from archcalc.graph import Graph
from archcalc.questions.golden_files import golden_values
from archcalc.questions.judging import quantity
from archcalc.questions.receptive_field import receptive_field
from archcalc.zoo import load
from tests.field_networks import SPECS, text
from tests.helpers import graph_of

LINE = "archcalc: 1\nname: t\ninput: {C: 2, W: 64}\n"
IMAGE = "archcalc: 1\nname: t\ninput: {C: 2, H: 20, W: 20}\n"


def network(name: str, folder: Path, size: int) -> Graph:
    """One of the networks on a square image."""
    file = folder / f"{name}.yaml"
    file.write_text(text(name, size))
    return load(file).build()


@pytest.mark.parametrize("name", SPECS)
def test_each_network_takes_seconds(name: str, tmp_path: Path) -> None:
    """The whole table, remarks and touched shares included: in far less than five seconds of this processor."""
    report = analyze(network(name, tmp_path, 224))
    start = time.process_time()
    table = receptive_field(report).table()
    assert time.process_time() - start < 5
    assert len(list(table.rows())) > 30


@pytest.mark.torch
@pytest.mark.parametrize("name", ["se_resnet50", "sknet18", "res2net", "fpn", "vit_dense", "local_tokens", "unetpp"])
def test_networks_fields_are_the_gradients(name: str, tmp_path: Path) -> None:
    """On a small image each single position that a gradient reaches is computed, through gates, groups and grids."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    from archcalc.pytorch.gradient import Question, supports

    graph = network(name, tmp_path, 32 if name != "fpn" else 64)
    wide = [i for i, node in enumerate(graph.nodes) if node.inputs and node.shape.spatial]
    chosen = [wide[-1], wide[len(wide) // 2], wide[len(wide) // 5]]
    questions = [Question(i, {a: n // 2 for a, n in graph.nodes[i].shape.items() if a != "C"}) for i in chosen]
    for question, found in zip(questions, supports(graph, questions), strict=True):
        assert found == exact_field(graph, question.node, question.position), graph.nodes[question.node].name


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints; it must succeed."""
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def field(layers: str, head: str = LINE, path: str = "y") -> Field:
    """The field after the layer called y, along W."""
    graph = graph_of(layers, head)
    return receptive_fields(graph)[graph.places[path]]["W"]


@pytest.mark.parametrize(
    ("layers", "window"),
    [
        ("layers: [{crop: crop size=4}, {y: global_avgpool}]\n", (8, 11)),
        ("layers: [{crop: crop size=4}, {c: conv 2 3 p=1}, {y: global_avgpool}]\n", (8, 11)),
        ("layers: [{a: conv 2 3 s=4}, {y: global_avgpool}]\n", (0, 18)),
        ("layers: [{a: conv 2 3 s=4}, {f: flatten}, {y: fc 3}]\n", (0, 18)),
        ("layers: [{a: maxpool 3}, {y: groupnorm 1}]\n", (0, 17)),
        ("layers: [{a: maxpool 3}, {t: tokens}, {y: attention 1}]\n", (0, 17)),
        ("layers: [{a: conv 2 4 s=4}, {t: tokens}, {y: select 7}]\n", (8, 11)),
        ("layers: [{a: conv 2 3 d=9 p=9}, {y: global_maxpool}]\n", (0, 19)),
    ],
)
def test_what_global_layers_see_is_what_is_read(layers: str, window: tuple[int, int]) -> None:
    """Behind crops and strides with a remainder a global layer sees less than everything, and that is told exactly."""
    found = field(layers, IMAGE)
    assert ((window,), 0) == (found.windows, found.advance)
    assert window[1] - window[0] + 1 == found.size


def test_alexnet_on_224_sees_219() -> None:
    """The slides' AlexNet on 224 leaves five positions over: none of its layers sees more than 219."""
    report = analyze(load("alexnet_slides").build(size=224))
    for path in ("fc6", "fc8"):
        assert [219, 219] == [axis.size for axis in report[path].fields.values()]
    assert (0, 218) == exact_field(report.graph, report.graph.places["fc6"], {}).interval("H")


def test_grid_undoes_tokens() -> None:
    """Positions follow the input again: two 3x3 convolutions see 5, with layers on tokens between them."""
    layers = "layers: [{a: conv 2 3 p=1}, tokens, fc 4, {g: grid H=20 W=20}, {y: conv 2 3 p=1}]\n"
    assert (5, 1, 2) == ((found := field(layers, IMAGE)).size, found.stride, found.padding)
    assert 3 == field(layers, IMAGE, "g").size
    assert 20 == field(layers.replace("fc 4", "attention 1"), IMAGE).size


LOST = {
    "reshape": "layers: [{a: conv 2 3 p=1}, tokens, fc 2, {y: reshape C=2 H=20 W=20}]\n",
    "rows": "layers: [{a: conv 2 3 p=1}, {y: reshape C=2 H=10 W=40}]\n",
    "numbered": "layers: [{a: conv 2 3 p=1}, {y: tokens}]\n",
    "class token": "layers: [{a: conv 2 3 p=1}, tokens, {y: cls_token}]\n",
    "causal": "layers: [{a: conv 2 3 p=1}, tokens, {y: attention 1 causal=true}]\n",
    "other grid": "layers: [{a: conv 2 3 p=1}, tokens, {y: grid H=10 W=40}]\n",
    "side by side": "layers:\n- y:\n    concat: [conv 2 3 p=1, conv 2 5 p=2]\n    axis: W\n",
    "flattened and back": "layers: [{a: conv 2 3 p=1}, flatten, relu, {y: reshape C=2 H=20 W=20}]\n",
    "behind": "layers: [{a: conv 2 3 p=1}, tokens, {r: reshape C=2 H=20 W=20}, {b: conv 2 3 p=1}, {y: maxpool 2}]\n",
}


@pytest.mark.parametrize("name", LOST)
def test_there_is_no_number_where_positions_do_not_follow(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the table, JSON, CSV, claims, golden values and explanations; --at goes on telling what one position sees."""
    file = tmp_path / "t.yaml"
    file.write_text(IMAGE + LOST[name])
    architecture = load(file)
    report = analyze(architecture.build())
    found = report["y"].fields["W"]
    assert (None, None, None, None) == (found.size, found.stride, found.padding, found.centre)
    (record,) = [layer for layer in golden_values(architecture)["layers"] if layer["name"] == report["y"].node.name]
    assert record["receptive_field"] is None or record["receptive_field"]["W"] is None
    with pytest.raises(ArchcalcError, match="positions don't follow the input's axes"):
        quantity(report, "rf", "y")
    columns = ("--columns", "name,receptive_field,effective_stride,effective_padding", "--all")
    rows = {
        layer["name"]: layer for layer in json.loads(printed(capsys, "table", str(file), "--format", "json"))["layers"]
    }
    for column in ("receptive_field", "effective_stride", "effective_padding"):
        assert rows[report["y"].node.name][column]["W"] is None
    if name != "side by side":
        row = printed(capsys, "table", str(file), "--format", "csv", *columns).splitlines()[-1]
        assert row.endswith(",,,")
    assert "receptive field: no number" in printed(capsys, "explain", str(file), report["y"].node.name)


def test_reshaped_tokens_are_warned_of() -> None:
    """`reshape` of tokens to places mixes channels with places; grid doesn't, and one feature can't be mixed."""
    for layers, codes in (
        ("tokens -> reshape C=2 H=20 W=20", ["W407"]),
        ("tokens -> grid H=20 W=20", []),
        ("tokens -> fc 1 -> reshape C=1 H=20 W=20", []),
        ("flatten -> reshape C=2 H=20 W=20", []),
    ):
        graph = graph_of(f"layers: {layers}\n", IMAGE)
        assert codes == [warning.code for warning in graph.warnings]


def test_channels_are_followed_alone() -> None:
    """What flatten and reshape only rename sees what it saw; a matrix product between them mixes everything."""
    for between, count in (("relu", 9), ("bn", 9), ("fc 800", 400), ("ln", 400)):
        layers = f"layers: [conv 2 3 p=1, flatten, {between}, {{y: reshape C=2 H=20 W=20}}]\n"
        graph = graph_of(layers, IMAGE)
        assert count == exact_field(graph, graph.places["y"], {"H": 5, "W": 5}).count


def test_symbolic_arguments_leave_bounds() -> None:
    """Which token is selected may be a symbol: then a field is a bound, and no single position can be followed."""
    head = IMAGE + "hparams: {c: sym}\n"
    graph = graph_of("layers: [conv 2 3 p=1, tokens, {y: select c}]\n", head)
    found = receptive_fields(graph)[graph.places["y"]]["W"]
    assert (20, True) == (found.size, found.bounded)
    with pytest.raises(ArchcalcError, match="symbolic sizes or arguments"):
        exact_field(graph, graph.places["y"], {})


def test_nobody_sees_more_than_everything() -> None:
    """On symbolic sizes attention is a bound, and so is its sum with tokens that follow nothing."""
    head = "archcalc: 1\nname: t\ninput: {C: 2, H: sym, W: sym}\n"
    found = field("layers: [conv 2 4 s=4, tokens, cls_token, {y: {residual: attention 1}}]\n", head)
    assert (True, True) == (found.whole, found.bounded)


def test_huge_volumes_have_bounds_at_once() -> None:
    """A volume of 10^24 positions is not looked at one by one: global layers have a bound, --at says that it can't."""
    head = "archcalc: 1\nname: t\ninput: {C: 3, H: 1000000000000, W: 1000000000000}\n"
    graph = graph_of("layers: [maxpool 2, {c: crop size=99999999999}, {y: global_avgpool}]\n", head)
    start = time.process_time()
    found = receptive_fields(graph)[graph.places["y"]]["W"]
    assert (10**12, True) == (found.size, found.bounded)
    with pytest.raises(ArchcalcError, match="too many positions"):
        exact_field(graph, graph.places["c"], {"H": 5, "W": 5})
    assert time.process_time() - start < 1


def test_second_inputs_see_nothing_of_the_first() -> None:
    """A net with two inputs has fields on the first one; what comes from the second alone has none."""
    head = "archcalc: 1\nname: t\ninputs: {u: {C: 2, H: 8, W: 8}, v: {C: 2, H: 8, W: 8}}\n"
    graph = graph_of("layers:\n- p: from v -> conv 2 3 p=1\n- y: {add: [from p, from u -> conv 2 5 p=2]}\n", head)
    fields = receptive_fields(graph)
    assert {} == fields[graph.places["p"]]
    assert 5 == fields[graph.places["y"]]["W"].size


def test_gates_see_less_than_what_they_weigh() -> None:
    """A gate on a crop beside a wider path: the bound says so, and whole positions stay exact."""
    found = field("layers:\n- y:\n    mul: [conv 2 3 p=1, crop size=4 -> global_avgpool]\n", IMAGE)
    assert (True, (0, 19)) == (found.bounded, found.windows[0])
    same = field("layers:\n- y:\n    mul: [conv 2 3 p=1, global_avgpool -> conv 2 1]\n", IMAGE)
    assert (True, False) == (same.whole, same.bounded)


def test_uneven_bins_have_windows() -> None:
    """Seven bins of twenty positions read three or four neighbours each, in turns; the gradient shows the same."""
    found = field("layers: [{y: adaptive_avgpool 7}]\n", IMAGE)
    expected = [(i * 20 // 7, -(-(i + 1) * 20 // 7) - 1) for i in range(7)]
    assert expected == [found.at(i) for i in range(7)]


def test_gates_are_beside_the_longest_path(tmp_path: Path) -> None:
    """SE-ResNet-50 has 50 weight layers on its path: the gates' two in each block only weigh it."""
    graph = network("se_resnet50", tmp_path, 224)
    assert 50 == depth(graph)
    assert 2 == depth(graph, "conv2/1/body/se/b")
    one: dict[str, Any] = {"head": "archcalc: 1\nname: t\ninput: {C: 2, H: 1, W: 1}\n"}
    assert 1 == depth(graph_of("layers: [{mul: [conv 2 1, conv 2 1 -> conv 2 1 -> conv 2 1]}]\n", **one))
