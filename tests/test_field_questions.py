"""The Python functions about fields and explanations: what they give, in a terminal of 80 columns too; misuse."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import archcalc
from archcalc import ArchcalcError, UnknownNameError, UsageError, analyze
from archcalc.analyses.positions import positions_of
from archcalc.cli.app import app
from archcalc.tables.answer import Answer
from archcalc.tables.plain import lines as plain_lines
from archcalc.tables.terminal import show
from archcalc.zoo import load
from tests.helpers import graph_of, spec_of

LONG = f"archcalc: 1\nname: t\ninput: {{C: 1, W: {1 << 25}}}\n"


def printed(*arguments: str) -> str:
    """What a command prints in a pipe."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout


# --- fields of layers -----------------------------------------------------------------------------------------------


def test_published_fields_by_layer_scope_and_axis() -> None:
    """VGG-16's last pool sees 212 positions, 32 apart (Araujo et al. 2019); U-Net's first level 6."""
    field = archcalc.receptive_field("vgg16")["conv5"]
    assert {"H": 212, "W": 212} == field.size
    assert (212, 32, 90) == (field["H"].size, field["H"].stride, field["H"].padding)
    assert {"H": 6, "W": 6} == archcalc.receptive_field("unet")["down1"].size
    assert "Field(size=212, stride=32, padding=90, centre=31/2)" == repr(field["W"])


def test_a_network_may_be_given_in_any_way() -> None:
    """By name, as an architecture, a graph or a report; with sizes and hparams where it's still to be built."""
    fields = archcalc.receptive_field("vgg16")
    architecture = load("vgg16")
    for network in (architecture, architecture.build(), analyze("vgg16")):
        assert fields == archcalc.receptive_field(network)
    wide = archcalc.receptive_field("vgg16", hparams={"size": 256})
    assert wide == archcalc.receptive_field("vgg16", sizes={"H": 256, "W": 256})
    assert {"H": 256, "W": 256} == wide["fc6"].size


def test_rows_are_those_of_the_table() -> None:
    """Iterated, an answer gives the rows that the command prints; one of them makes the same row alone."""
    fields = archcalc.receptive_field("resnet50_v1")
    names = [line.split()[0] for line in printed("receptive-field", "resnet50_v1").splitlines()[3 : 3 + len(fields)]]
    assert names == [row.name for row in fields]
    assert json.loads(printed("receptive-field", "resnet50_v1", "--format", "json")) == fields.to_dict()
    alone = [row.table().rows() for row in list(fields)[:3]]
    assert [next(iter(rows))[:4] for rows in alone] == [list(row)[:4] for row in fields.table().rows()][:3]


def test_every_place_of_a_network_has_a_field() -> None:
    """Layers and scopes of all names are found, and see what the report says."""
    fields, report = archcalc.receptive_field("googlenet"), analyze("googlenet")
    for path in report.graph.places:
        assert report[path]["receptive_field"] == fields[path].size


def test_volumes_too_large_to_follow_positions_have_fields() -> None:
    """What the middle position touches isn't known there; the fields are."""
    fields = archcalc.receptive_field(graph_of("layers: [conv 1 3 d=2 p=2, conv 1 3 p=1]", LONG))
    assert [1, 5, 7] == [row.size["W"] for row in fields]
    assert "touched" not in repr(fields)
    assert [None] * 3 == [row.touched for row in fields]


def test_data_frames_have_a_column_for_each_axis() -> None:
    """Numbers stay numbers."""
    frame = archcalc.receptive_field("c3d").to_pandas()
    assert ["size_D", "size_H", "size_W"] == [name for name in frame.columns if name.startswith("size")]
    assert {"int64"} == {str(frame[name].dtype) for name in frame.columns if name.startswith("size")}


# --- one position ---------------------------------------------------------------------------------------------------


def test_a_position_may_be_given_in_any_way() -> None:
    """In order, by axis, as a text, by NumPy's integers: one question."""
    expected = archcalc.receptive_field_at("vgg16", "conv5/pool", at=(3, 0))
    ways: tuple[Any, ...] = ([3, 0], {"W": 0, "H": 3}, "3,0", "W=0,H=3", (np.int64(3), np.uint8(0)))
    for at in ways:
        assert expected == archcalc.receptive_field_at("vgg16", "conv5/pool", at=at)
    assert (6, 217) == expected["H"]
    assert json.loads(printed("receptive-field", "vgg16", "--at", "3,0", "--format", "json")) == expected.to_dict()


@pytest.mark.parametrize("name", ["vgg16", "unet", "resnet50_v1", "googlenet"])
def test_exact_windows_lie_in_the_field(name: str) -> None:
    """Borders take something away from a window, and add nothing; in the middle of a large input they take nothing."""
    fields = archcalc.receptive_field(name)
    report, drawn = fields.report, random.Random(1)
    wide = [row for row in fields if row.node.shape.spatial and all(field.follows for field in row.axes.values())]
    for row in drawn.sample(wide, 5):
        at = {axis: drawn.randrange(size) for axis, size in positions_of(row.node.shape).items()}
        found = archcalc.receptive_field_at(report, row.node.name, at=at)
        for axis, free in found.unclipped.items():
            inside = found[axis]
            assert inside is not None
            if free is not None:
                assert free[0] <= inside[0] <= inside[1] <= free[1]
                assert free == row[axis].at(at[axis])


# --- stacks ---------------------------------------------------------------------------------------------------------


def seen_by_brute_force(layers: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    """Of (size, stride, dilation) layers: the span that output 0 sees, how many positions of it, and the stride."""
    seen = [{0}, {1}]
    for size, stride, dilation in reversed(layers):
        seen = [{o * stride + dilation * tap for o in each for tap in range(size)} for each in seen]
    first, second = seen
    return max(first) - min(first) + 1, len(first), min(second) - min(first)


def test_stacks_see_what_their_taps_read() -> None:
    """Random stacks against sets of positions, followed back tap by tap."""
    drawn = random.Random(7)
    for _ in range(60):
        layers = [(drawn.randint(1, 4), drawn.randint(1, 3), drawn.randint(1, 3)) for _ in range(drawn.randint(1, 4))]
        stack = archcalc.receptive_field_stack([f"{k}s{s}d{d}" for k, s, d in layers])
        size, count, stride = seen_by_brute_force(layers)
        assert ((size, size), (stride, stride)) == (stack.size, stack.stride)
        assert (count / size) ** 2 == pytest.approx(stack.touched[-1])


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([3, 3, 3], "3,3,3"), ((7,), "7"), ([(5, 1), (1, 5)], "5x1,1x5"), (["7s2", "p3s2", 3], "7s2,p3s2,3"),
        ([(7, 7)], "7x7,"), (["7x7"], "7x7,"), ([np.int64(3), 3], "3,3"), (range(1, 4), "1,2,3"),
    ],
)  # fmt: skip
def test_lists_are_stacks(layers: Any, text: str) -> None:
    """What is given in Python is the stack that the text means."""
    assert archcalc.receptive_field_stack(text) == archcalc.receptive_field_stack(layers)


# --- the effective field --------------------------------------------------------------------------------------------


def test_an_effective_field_is_measured_only_if_it_may_be() -> None:
    """Left out, it says so; demanded where nothing can be measured, it's an error."""
    found = archcalc.effective_receptive_field("lenet5", "C3", measure=False)
    assert ({}, "not measured: not asked for") == (found.measured, found.missing)
    with pytest.raises(UsageError, match="measured on inputs only"):
        archcalc.effective_receptive_field("lenet5", "C3", from_="C1", measure=True)


@pytest.mark.torch
def test_measuring_leaves_the_users_random_numbers_alone() -> None:
    """The seeds of the initialisations are nobody else's."""
    torch = pytest.importorskip("torch", reason="measuring needs PyTorch")
    torch.manual_seed(3)
    expected = torch.rand(3).tolist()
    torch.manual_seed(3)
    assert archcalc.effective_receptive_field("lenet5", "C3").measured
    assert expected == torch.rand(3).tolist()


# --- explanations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alexnet", "unet", "gpt2_small", "efficientnet_b0"])
def test_steps_have_the_reports_values(name: str) -> None:
    """Each step's value is what the report has, for one layer of each kind."""
    report = analyze(name)
    for row in {row.node.kind: row for row in report.rows if row.node.inputs}.values():
        found = archcalc.explain(report, row.node.name)
        assert printed("explain", name, row.node.name) == repr(found) + "\n"
        for step in found:
            if step.names[0] in ("params", "weights", "biases", "buffers", "macs", "saved_bytes", "activations"):
                assert row[step.names[0]] == step.value
            elif step.names[0] in row.node.shape:
                assert [row.node.shape[axis] for axis in step.names] == [step.value] * len(step.names)


def test_an_explanation_is_about_one_example() -> None:
    """Whatever batch a report is about: the bytes that are kept are one example's, as the values are."""
    assert archcalc.explain("vgg16", "conv1/pool") == archcalc.explain(analyze("vgg16", batch=8), "conv1/pool")
    assert 2 * 6_422_528 == analyze("vgg16", batch=2)["conv1/pool"]["saved_bytes"]
    assert 6_422_528 == archcalc.explain("vgg16", "conv1/pool")["saved_bytes"].value


def test_steps_are_found_by_name() -> None:
    """An axis, a quantity; and what isn't there is an error with a suggestion."""
    found = archcalc.explain("alexnet", "conv1")
    assert ("(227 - 11 + 2*0)/4 + 1 = 55", found["W"]) == (found["H"].equation, found["H"])
    assert 11 == found["receptive_field"].value
    with pytest.raises(UnknownNameError, match="did you mean 'params'"):
        found["param"]


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "layer", "meant"),
    [
        ("vgg16", "pool5", "'conv5/pool'"), ("vgg16", "conv5_3", "'conv5/3'"), ("vgg16", "Conv5/Pool", "'conv5/pool'"),
        ("vgg16", "relu4_2", "'conv4/2/relu'"), ("vgg16", "relu5", "'conv5/1/relu' or 'conv5/2/relu' or"),
        ("vgg16", "conv5/pol", "'conv5/pool'"), ("unet", "maxpool_down2", "'down2/maxpool'"),
    ],
)  # fmt: skip
def test_names_of_other_papers_lead_to_ours(network: str, layer: str, meant: str) -> None:
    """The same words and numbers, in any case and order, are found in a path, wherever layers are looked up."""
    asked: tuple[Callable[[], Any], ...] = (
        lambda: archcalc.explain(network, layer),
        lambda: archcalc.receptive_field(network, layer),
        lambda: archcalc.receptive_field(network)[layer],
        lambda: archcalc.receptive_field_at(network, layer, at=(0, 0)),
        lambda: analyze(network).total("params", layer),
    )
    for ask in asked:
        with pytest.raises(UnknownNameError, match=f"did you mean {re.escape(meant)}"):
            ask()


def test_all_names_of_the_vgg_paper_lead_to_layers() -> None:
    """conv1_1 to conv5_3 and pool1 to pool5, as its configurations are called in Caffe's model zoo."""
    places = load("vgg16").build().places
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        layers = {f"conv{stage}_{number}": f"conv{stage}/{number}" for number in range(1, count + 1)}
        for layer, meant in {**layers, f"pool{stage}": f"conv{stage}/pool"}.items():
            assert meant in places
            with pytest.raises(UnknownNameError, match=f"did you mean '{meant}'"):
                archcalc.explain("vgg16", layer)


WRONG = (
    3, -1, 2.5, True, "nope", b"x", [], [1], (1, 2, 3), ("a", "b"), (1.5, 2), (True, 0), ("1", 0), "３,４", (archcalc.dim("k"), 0), (-1, 0), (0, 99), {"Q": 1}, {"H": 1}, {1: 2},
    {"H": 1, "W": "x"}, {"H": 1, "W": 2, "C": 0}, object(), int, {1, 2}, np.array([1, 2]), archcalc.dim("k"), [[1]],
    10**30, "9" * 5000, [None],
)  # fmt: skip
ASKED: dict[str, Callable[[Any], Any]] = {
    "network of fields": lambda wrong: archcalc.receptive_field(wrong),
    "layer of fields": lambda wrong: archcalc.receptive_field("lenet5", wrong),
    "start of fields": lambda wrong: archcalc.receptive_field("lenet5", from_=wrong),
    "hparams": lambda wrong: archcalc.receptive_field("lenet5", hparams=wrong),
    "sizes": lambda wrong: archcalc.receptive_field("lenet5", sizes={"Q": 1} if isinstance(wrong, dict) else wrong),
    "layer": lambda wrong: archcalc.receptive_field("lenet5")[wrong],
    "axis": lambda wrong: archcalc.receptive_field("lenet5")["C3"][wrong],
    "position": lambda wrong: archcalc.receptive_field_at("lenet5", "C3", at=wrong),
    "layer of a position": lambda wrong: archcalc.receptive_field_at("lenet5", wrong, at=(0, 0)),
    "axis of a position": lambda wrong: archcalc.receptive_field_at("lenet5", at=(0, 0))[wrong],
    "effective layer": lambda wrong: archcalc.effective_receptive_field("lenet5", wrong, measure=False),
    "effective position": lambda wrong: archcalc.effective_receptive_field("lenet5", "C3", at=wrong, measure=False),
    "network of an explanation": lambda wrong: archcalc.explain(wrong, "C3"),
    "layer of an explanation": lambda wrong: archcalc.explain("lenet5", wrong),
    "dtype": lambda wrong: archcalc.explain("lenet5", "C3", dtype=wrong),
    "step": lambda wrong: archcalc.explain("lenet5", "C3")[wrong],
}


@pytest.mark.parametrize("asked", ASKED)
def test_misuse_is_refused(asked: str) -> None:
    """Wrong types, names and values are errors of ours, with what to do instead."""
    for wrong in WRONG:
        with pytest.raises(ArchcalcError) as error:
            ASKED[asked](wrong)
        assert "\n" not in str(error.value.args[0])


@pytest.mark.parametrize("layers", [[], (), {}, {3}, b"3", 3, None, [None], [3, 2.5], [0], [(3,) * 4], [["3"]], [True]])
def test_no_stack(layers: Any) -> None:
    """Neither are these."""
    with pytest.raises(UsageError):
        archcalc.receptive_field_stack(layers)


# --- in a terminal --------------------------------------------------------------------------------------------------


def open_graph() -> archcalc.Graph:
    """A network whose windows depend on its input's sizes, which are open."""
    spec = spec_of("archcalc: 1\nname: t\ninput: {C: 3, H: 64, W: 64}\nlayers: [(conv 8 3x3 s=2 p=same)*3]\n")
    return archcalc.build(spec, sizes={axis: archcalc.dim(axis) for axis in "HW"})


SHOWN: dict[str, Callable[[], Answer]] = {
    "fields": lambda: archcalc.receptive_field("unet"),
    "fields of inputs": lambda: archcalc.receptive_field("alphago_policy"),
    "symbolic fields": lambda: archcalc.receptive_field(open_graph()),
    "position": lambda: archcalc.receptive_field_at("vgg16", at=(3, 0)),
    "stack": lambda: archcalc.receptive_field_stack("7s2,p3s2,3,3,3d2,3x1,1x3"),
    "effective field": lambda: archcalc.effective_receptive_field("lenet5", "C3", measure=False),
    "explanation": lambda: archcalc.explain("alexnet", "conv1"),
    "attention": lambda: archcalc.explain("gpt2_small", "decoder/1/body/attention"),
}


def shown(answer: Answer, width: int) -> list[str]:
    """The lines of a terminal of this width, without colour."""
    page = io.StringIO()
    show(answer.table(), Console(file=page, width=width, color_system=None))
    return page.getvalue().splitlines()


@pytest.mark.parametrize("name", SHOWN)
def test_answers_fit_a_terminal(name: str) -> None:
    """At 80 columns no line is longer, and no number is cut: each is one of those that a pipe gets."""
    answer = SHOWN[name]()
    lines = shown(answer, 80)
    assert max(map(len, lines)) <= 80
    numbers = set(re.findall(r"[\d,.]*\d", "\n".join(plain_lines(answer.table()))))
    assert set(re.findall(r"[\d,.]*\d", "\n".join(lines))) <= numbers


@pytest.mark.parametrize("width", [60, 80])
def test_explanations_wrap_between_words(width: int) -> None:
    """Word by word, a narrow terminal shows what a wide one does."""
    answer = archcalc.explain("vgg16", "conv1/pool")
    words = [[word for word in " ".join(shown(answer, size)).split() if "─" not in word] for size in (width, 1000)]
    assert words[1] == words[0]
    assert max(map(len, shown(answer, width))) <= width


def test_long_headings_wrap() -> None:
    """A heading breaks between words, too."""
    heading = shown(archcalc.explain("densenet121", "dense1/6/concat"), 40)[:3]
    assert max(map(len, heading)) <= 40
