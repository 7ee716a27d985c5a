"""`archcalc receptive-field`: stacks, rows, single positions, pictures, effective fields, and errors."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from archcalc.analyses.effective_field import Profile, effective_field
from archcalc.cli.receptive_field import app
from archcalc.errors import UsageError
from archcalc.questions.effective_field import effective_receptive_field
from archcalc.questions.receptive_field_stack import GRAMMAR, receptive_field_stack
from archcalc.zoo import load


def run(*arguments: str) -> str:
    """What the command prints; errors are raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.stdout


def test_three_small_layers_see_seven() -> None:
    """The stack of the lecture: steps 3, 5, 7; 27C² against 49C², 81 % more; three non-linearities."""
    text = run("--stack", "3x3x3")
    assert "3x3x3: three layers of size 3" in text
    assert "field: 7x7, after steps of 3, 5, 7" in text
    assert "27C²; one 7x7 layer with the same field: 49C² (81 % more)" in text
    assert "non-linearities: 3; one layer: 1" in text


@pytest.mark.parametrize(
    ("text", "sizes", "strides"),
    [
        ("3x3x3", [(3, 3), (5, 5), (7, 7)], (1, 1)),
        ("3", [(3, 3)], (1, 1)),
        ("7s2,3s2,3", [(7, 7), (11, 11), (19, 19)], (4, 4)),
        ("3d2,", [(5, 5)], (1, 1)),
        ("5x1,1x5", [(5, 1), (5, 5)], (1, 1)),
        ("3,p2,3", [(3, 3), (4, 4), (8, 8)], (2, 2)),
        ("p3s2,3x1d2", [(3, 3), (11, 3)], (2, 2)),
        ("3x3x3,1x3x3", [(3, 3, 3), (3, 5, 5)], (1, 1, 1)),
    ],
)
def test_stack_grammar(text: str, sizes: list[tuple[int, ...]], strides: tuple[int, ...]) -> None:
    """Strides, dilation, unequal sides and pools, as their arithmetic says."""
    stack = receptive_field_stack(text)
    assert sizes == [tuple(field.size for field in fields) for fields in stack.fields]
    assert strides == tuple(field.stride for field in stack.fields[-1])


@pytest.mark.parametrize(
    "text",
    ["", "x", "3x", "3q", "3s2s2", "3,,3", "0", "3s0", "3x3,3x3x3", "-3", "99999", "p", ",", "３", "٣x٣", "3x" * 9],
)
def test_wrong_stacks_show_the_grammar(text: str) -> None:
    """What can't be read is refused with the whole grammar."""
    with pytest.raises(UsageError, match="can't read the stack") as error:
        receptive_field_stack(text)
    assert error.value.hint == GRAMMAR


@pytest.mark.parametrize(("text", "meant"), [("3x3 3x3", "3x3,3x3"), ("3 3 3", "3,3,3"), ("3, 3", "3,3"), (" 3", "3")])
def test_spaces_are_refused(text: str, meant: str) -> None:
    """A space divides nothing and joins nothing: what may be meant is in the hint."""
    with pytest.raises(UsageError, match="it has spaces") as error:
        receptive_field_stack(text)
    assert error.value.hint.startswith(f"a comma divides layers, as in {meant}; ")


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("7x7", "two layers of size 7"),
        ("7x7,", "one layer of size 7x7"),
        ("3x3x3s2", "one layer: conv 3x3x3 s=2"),
        ("5x1", "two layers: conv 5, conv 1"),
        ("7s2,p3s2,3", "three layers: conv 7 s=2, pool 3 s=2, conv 3"),
        ("3d2,3d2", "two layers: conv 3 d=2, conv 3 d=2"),
    ],
)
def test_first_line_says_how_a_stack_was_read(text: str, reading: str) -> None:
    """What x and commas divide shows at once."""
    assert f"{text}: {reading}" == run("--stack", text).splitlines()[0]


def test_the_other_reading_of_x_is_told() -> None:
    """7x7 is two layers; how one layer of 7x7 is written stands below, and is true."""
    assert "one layer with a 7x7 kernel is written 7 or 7x7," in run("--stack", "7x7")
    for text in ("7", "7x7,"):
        assert [(7, 7)] == [tuple(field.size for field in fields) for fields in receptive_field_stack(text).fields]
    assert "is written" not in run("--stack", "7x7,")


@pytest.mark.parametrize("text", ["p10000,p10000", ",".join(["9s9"] * 1000), "9999d9999"])
def test_huge_stacks_are_refused(text: str) -> None:
    """A field of more positions than can be counted one by one is refused at once."""
    with pytest.raises(UsageError, match="sees or skips more than 1,000,000 positions"):
        receptive_field_stack(text)


def test_dilated_stack_is_gridded() -> None:
    """Dilation 2 throughout touches every second position of each axis."""
    assert [9 / 25, 25 / 81] == list(receptive_field_stack("3d2,3d2").touched)
    assert "30.9 %" in run("--stack", "3d2,3d2")


def test_rows_of_a_net() -> None:
    """Plain rows in a pipe: size, stride, padding and centre."""
    rows = {line.split()[0]: line.split() for line in run("vgg16").splitlines() if line}
    assert ["212", "32", "90", "15.5"] == rows["conv5/pool"][-4:]
    assert ["224", "0", "0", "111.5", "everything"] == rows["fc6"][-5:]


def test_formats() -> None:
    """JSON, CSV and Markdown hold the same rows."""
    (record,) = [row for row in json.loads(run("vgg16", "--format", "json")) if row["name"] == "conv5/pool"]
    assert {"H": 212, "W": 212} == record["receptive_field"]
    assert {"H": 15.5, "W": 15.5} == {axis: float(value) for axis, value in record["centre"].items()}
    assert any(line.startswith("conv5/pool,") for line in run("vgg16", "--format", "csv").splitlines())
    assert "| conv5/pool |" in run("vgg16", "--format", "markdown")


def test_one_position() -> None:
    """--at shows the exact window, the one without borders, and what is clipped."""
    text = run("vgg16", "--layer", "conv5/pool", "--at", "3,0")
    assert "H     6 to 217   212  6 to 217          212" in text
    assert "W     0 to 121   122  -90 to 121        212  90 before" in text
    assert "touched: 25,864 positions, 100 % of the window" in text
    assert text == run("vgg16", "--at", "W=0,H=3")


def test_relative_to_an_inner_layer() -> None:
    """--from starts at an inner layer."""
    text = run("vgg16", "--from", "conv3", "--layer", "conv4/pool")
    assert "receptive fields on conv3/pool, 256x28x28" in text
    assert ["8", "2", "3", "0.5"] == text.splitlines()[3].split()[-4:]


def test_strided_residual_nets_tell_the_touched_share() -> None:
    """Where 1x1 convolutions with stride 2 skip positions, and it shows, a column says how much is touched."""
    records = json.loads(run("resnet50_v1", "--from", "conv2", "--layer", "conv3/1/body", "--format", "json"))
    assert 0.25 < min(record["touched"] for record in records if record["kind"] == "conv") <= 1


def test_symbolic_sizes_have_fields() -> None:
    """On an input of unknown size sizes and strides are numbers still."""
    text = run("fcn_vgg16", "--input", "3xHxW", "--layer", "score")
    assert ["404", "32", "90", "111.5"] == text.splitlines()[3].split()[-4:]


OPEN_ARGUMENTS = (
    "conv 8 3x3 d=k p=k",
    "conv 8 kernel_size=2*k+1 p=k",
    "dwconv kernel_size=2*k+1 p=k",
    "maxpool kernel_size=2*k+1 s=1 p=k",
    "avgpool kernel_size=2*k+1 s=1 p=k",
    "tconv 8 kernel_size=2*k+1 p=k",
    "tconv 8 3x3 d=k p=k",
)
"""Steps that keep sizes as they are, whatever k is: all sizes are numbers, but not what positions read."""


@pytest.mark.parametrize("step", OPEN_ARGUMENTS)
def test_open_arguments_between_numeric_sizes(step: str, tmp_path: Path) -> None:
    """Rows are listed; what needs numbers says so, and all of it works when the argument has one."""
    file = tmp_path / "t.yaml"
    layers = f"conv 8 3x3 p=1 d=1 -> {step} -> conv 8 3x3 p=2 d=2"
    file.write_text(f"archcalc: 1\nname: t\ninput: {{C: 8, H: 16, W: 16}}\nhparams: {{k: sym}}\nlayers: {layers}\n")
    asked = (["--effective"], ["--at", "5,5"], ["-o", str(tmp_path / "fields.svg")])
    assert 4 == len(json.loads(run(str(file), "--format", "json")))
    for arguments in asked:
        with pytest.raises(UsageError, match="needs numbers"):
            run(str(file), *arguments)
        run(str(file), "--set", "k=1", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name an architecture"),
        (("vgg16", "--stack", "3"), "leave out NAME"),
        (("--stack", "3", "--at", "1,1"), "leave out --at"),
        (("vgg16", "--layer", "conv9"), "has no layer 'conv9'"),
        (("vgg16", "--from", "conv9"), "has no layer 'conv9'"),
        (("vgg16", "--at", "7,7"), "has no position H=7"),
        (("vgg16", "--at", "1"), "can't read the position '1' of 'conv5/pool', whose positions are H,W"),
        (("vgg16", "--at", "a,b"), "can't read the position 'a,b'"),
        (("vgg16", "--at", "D=1,H=1"), "has no position D=1"),
        (("vgg16", "--input", "3xHx224", "--set", "fcn=true", "--at", "1,1"), "symbolic sizes"),
        (("gpt2_small", "--effective"), "has no spatial axes"),
        (("gpt2_small", "-o", "x.svg"), "no spatial axes"),
        (("vgg16", "-o", "/nowhere/x.svg"), "can't write '/nowhere/x.svg'"),
        (("--stack", "3", "-o", "x.svg"), "has no picture"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    """Wrong usage is an error that says what is wrong."""
    with pytest.raises(UsageError, match=message):
        run(*arguments)


def test_nets_without_spatial_axes_say_so() -> None:
    """Token nets have no receptive field, and no crash."""
    assert "no layer has a receptive field: input has no spatial axis" in run("gpt2_small")


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "alexnet", "unet", "c3d", "dcgan_generator"])
def test_picture_has_frames_and_labels(name: str, tmp_path: Path) -> None:
    """The SVG has a labelled frame for the input and for each chosen layer, all of them on the page."""
    from xml.etree import ElementTree

    file = tmp_path / "rf.svg"
    run(name, "--quiet", "-o", str(file))
    root = ElementTree.parse(file).getroot()
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    rects = [item.attrib for item in root if item.tag.endswith("}rect")][1:]
    texts = [item for item in root if item.tag.endswith("}text")]
    assert len(rects) >= 2
    assert len(texts) == len(rects) + 1
    for rect in rects:
        x, y, w, h = (float(rect[side]) for side in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
    ys = sorted(float(text.attrib["y"]) for text in texts)
    assert min(b - a for a, b in itertools.pairwise(ys)) >= 14  # no label covers another


def test_picture_as_png(tmp_path: Path) -> None:
    """PNG goes through Graphviz."""
    file = tmp_path / "rf.png"
    run("vgg16", "--quiet", "--at", "0,3", "-o", str(file))
    assert b"\x89PNG\r\n\x1a\n" == file.read_bytes()[:8]


def test_effective_field_of_a_chain_is_the_convolution_of_its_kernels() -> None:
    """Two 3x3 convolutions: 1, 2, 3, 2, 1 paths of 9 to each offset along an axis."""
    from tests.helpers import graph_of

    graph = graph_of("layers: [(conv 2 3 p=1)*2]\n")
    found = effective_field(graph, 2, {"H": 16, "W": 16})["H"].shares
    assert [1, 2, 3, 2, 1] == [round(9 * share, 9) for share in found[14:19]]
    assert 0 == sum(found[:14]) + sum(found[19:])


def test_effective_size_holds_two_deviations_of_a_normal_distribution() -> None:
    """Of a normal distribution with deviation 10, 41 positions are the fewest that hold 95.45 %."""
    from math import erf, sqrt

    edges = [erf((place - 100.5) / 10 / sqrt(2)) for place in range(202)]
    found = Profile(tuple((b - a) / 2 for a, b in itertools.pairwise(edges)))
    assert 41 == found.size
    assert 10 == round(found.deviation)


@pytest.mark.torch
def test_measured_effective_field_is_near_the_estimate() -> None:
    """On a plain net the deviation that PyTorch measures is that of the estimate, within a tenth."""
    pytest.importorskip("torch", reason="measuring needs PyTorch")
    from archcalc.pytorch.effective import measured_field, profiles

    graph = load("vgg16").build(sizes={"H": 112, "W": 112})
    index = graph.places["conv4/3"]
    position = {"H": 7, "W": 7}
    estimated = effective_field(graph, index, position)
    for axis, measured in profiles(measured_field(graph, index, position, seeds=4), graph.input).items():
        assert abs(measured.deviation / estimated[axis].deviation - 1) < 0.1


@pytest.mark.torch
def test_where_no_gradient_arrives_nothing_is_measured() -> None:
    """A position that sees nothing has no measured field: no division by zero, no nan."""
    pytest.importorskip("torch", reason="measuring needs PyTorch")
    from archcalc.pytorch.effective import measured_field
    from tests.helpers import graph_of

    graph = graph_of("layers: [conv 2 3 p=1, tconv 2 1 s=3]\n")
    assert measured_field(graph, 2, {"H": 1, "W": 0}) is None
    found = measured_field(graph, 2, {"H": 3, "W": 0})
    assert found is not None
    assert not found.isnan().any()


def test_picture_without_measurement_is_one_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyTorch the estimate takes the page, and nothing in the figure says how to install something."""
    from archcalc.drawings.effective_field import effective_drawing

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = effective_receptive_field("lenet5", "C3", at=(5, 5))
    drawing = effective_drawing(found)
    widest = max(shape.x + shape.width for shape in drawing.shapes if hasattr(shape, "height"))
    assert widest > 0.9 * (drawing.width - 36)
    texts = [shape.text for shape in drawing.shapes if hasattr(shape, "text")]
    assert not any("install" in text for text in texts)
    assert any("not measured" in note for note in found.table().notes)


@pytest.mark.torch
def test_effective_command_draws_both(tmp_path: Path) -> None:
    """With PyTorch the picture shows the estimate and the measurement, and the rows have both."""
    pytest.importorskip("torch", reason="measuring needs PyTorch")
    file = tmp_path / "effective.svg"
    text = run("lenet5", "--effective", "-o", str(file))
    assert "measured" in text
    picture = file.read_text()
    assert "estimated from the graph" in picture
    assert "measured with PyTorch" in picture


def test_nothing_heavy_is_imported() -> None:
    """Rows and single positions need neither PyTorch nor SymPy nor NumPy."""
    code = (
        "import sys; from archcalc.cli.app import app; sys.argv = ['archcalc', 'receptive-field', 'vgg16', '--at', '1,1'];"
        "app(standalone_mode=False);"
        "assert not {'torch', 'sympy', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
