"""Networks with several inputs: their sizes, their symbols, and fields on each of them."""

import json
from itertools import product
from pathlib import Path

import pytest

import archcalc
from archcalc.__main__ import main
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.errors import SpecError, UsageError
from archcalc.formulas.symbols import opened
from archcalc.questions.solve import solve
from archcalc.questions.sweep import sweep
from archcalc.symbolic import dim
from archcalc.zoo import Architecture, load
from tests.helpers import spec_of

TEXT = """archcalc: 1
name: two
inputs: {left: {C: 3, H: 32, W: 32}, right: {C: 3, H: 16, W: 16}}
hparams: {c: 8}
layers:
  - a: conv c 3x3 s=2 p=1 -> relu
  - b: from right -> conv c 3x3 p=1 -> relu
  - e: {add: [from a, from b]}
  - f: conv c 3x3 p=1 -> maxpool 2
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A network that adds a strided image and a small one."""
    file = tmp_path / "two.yaml"
    file.write_text(TEXT)
    return file


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes",
    [
        {"H": 40, "W": 40, "right": {"H": 20, "W": 20}},
        {"left": {"H": 40, "W": 40}, "right": {"H": 20, "W": 20}},
        {"H": 40, "W": 40, "right_H": 20, "right_W": 20},
    ],
)
def test_python_takes_sizes_of_any_input(sizes: dict[str, object]) -> None:
    """Sizes of the first input stand alone, those of any input by its name, or by the name of its symbols."""
    graph = Architecture(spec_of(TEXT), "").build(sizes=sizes)
    assert ["3x40x40", "3x20x20"] == [str(node.shape).split()[0] for node in graph.inputs]
    assert "8x20x20" == str(graph["e"].shape).split()[0]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"T": 3}, "input 'left' of two has no axis T"),
        ({"right": {"T": 3}}, "input 'right' of two has no axis T"),
        ({"middle": {"H": 3}}, "two has no input 'middle'"),
        ({"H": 3, "left": {"H": 4}}, "the size H is given twice"),
        ({"right": {"H": 3.5}}, "the size of right_H takes an exact integer, not 3.5"),
    ],
)
def test_python_refuses_sizes_that_no_input_has(sizes: dict[str, object], message: str) -> None:
    """Wrong names of inputs and axes are errors, and so is a size that is given in two ways."""
    with pytest.raises(UsageError) as error:
        Architecture(spec_of(TEXT), "").build(sizes=sizes)
    assert message == error.value.args[0]


@pytest.mark.parametrize(
    "command",
    [
        ("table", "--format", "csv"), ("explain", "e"), ("formula", "b"), ("render", "--format", "dot"), ("export",),
        ("receptive-field", "--format", "csv"), ("verify", "--device", "meta"),
    ],
)  # fmt: skip
def test_every_command_takes_sizes_of_every_input(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """With --input the command prints what it prints for a spec that has these sizes written in it."""
    if command[0] in ("export", "verify"):
        pytest.importorskip("torch", reason="it runs PyTorch")
    written = tmp_path / "written" / "two.yaml"
    written.parent.mkdir()
    written.write_text(TEXT.replace("32", "48").replace("16", "24"))
    given = told(capsys, command[0], two, *command[1:], "--input", "3x48x48", "--input", "right=H=24,W=24")
    assert (0, told(capsys, command[0], written, *command[1:])[1]) == given[:2]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (["right=4x5"], "input 'right' of two is CxHxW: '4x5' has 2 sizes", "--input right=CxHxW"),
        (["middle=3x4x5"], "input 'left' of two has no axis 'middle'", "its axes are C, H, W; the inputs are left, right"),
        (["right=T=4"], "input 'right' of two has no axis 'T'", "its axes are C, H, W; the inputs are left, right"),
        (["3x8x8", "left=3x8x8"], "the input 'left' is given twice", "all its sizes in one: --input H=256,W=256"),
        (["right=3xcx8"], "--input '3xcx8': 'c' is an hparam", "call the size right_H"),
    ],
)  # fmt: skip
def test_input_refuses(
    two: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str, hint: str
) -> None:
    """What --input can't mean is an error that names the input."""
    found = told(capsys, "table", two, *(part for text in options for part in ("--input", text)))
    assert (2, "", f"error: {message}\n    hint: {hint}\n") == found


def test_sizes_in_another_order_are_explained_for_the_input_they_are_about(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """HxWxC where the spec writes CxHxW: the error says how it was read, and which option fits."""
    code, _, err = told(capsys, "table", two, "--input", "right=16x16x3")
    assert 1 == code
    assert "--input right=16x16x3 is read as CxHxW, the order of two: C=16, H=16, W=3" in err
    assert "the other order fits: write --input right=3x16x16" in err


def test_set_of_a_size_points_to_the_input_option(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--set takes hparams in commands that build once; the hint says how to give the other input's size."""
    hint = "sizes have a place of their own: --input right=H=64"
    assert (2, "", f"error: two has no hparam 'right_H'\n    hint: {hint}\n") == told(
        capsys, "table", two, "--set", "right_H=8"
    )


# --- symbols ----------------------------------------------------------------------------------------------------------


def test_sizes_of_different_inputs_are_different_symbols() -> None:
    """What `sym` leaves open in the second input isn't taken to equal the first's: where it must, that's a condition."""
    graph = Architecture(spec_of(TEXT.replace("32", "sym").replace("16", "sym")), "").build()
    assert {"H", "W", "right_H", "right_W"} == {
        str(size) for node in graph.inputs for size in list(node.shape.values())[1:]
    }
    assert "floor(H/2 + 1/2) == right_H" in map(str, graph.conditions)
    assert dim("right_H") == graph["b"].shape.H


def test_one_name_for_two_sizes_says_that_they_are_equal(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Symbols that the user names in --input are one where their names are."""
    code, out, _ = told(capsys, "table", two, "--input", "left=3xsx32", "--input", "right=3xsx16", "--format", "json")
    assert (0, {"C": 3, "H": "s", "W": 16}) == (code, json.loads(out)["inputs"]["right"])
    assert "floor(s/2 + 1/2) == s" in json.loads(out)["conditions"]


def test_names_of_symbols_are_identifiers_and_unequal() -> None:
    """Inputs whose names aren't identifiers are numbered; no two sizes share a name."""
    names = ["a", "b-c", "b.c", "b", "input3", "größe"]
    inputs = ", ".join(f"'{name}': {{C: 3, H: 8}}" for name in names)
    axes = spec_of(f"archcalc: 1\nname: t\ninputs: {{{inputs}}}\nlayers: relu\n").axes
    assert list(product(names, "CH")) == list(axes.values())
    assert all(name.isascii() and name.isidentifier() for name in axes)
    assert {"H", "input2_H", "input3_H", "b_H", "input3_H_", "input6_H"} == {name for name in axes if "H" in name}


def test_an_hparam_is_not_called_as_a_size_of_another_input() -> None:
    """Left open, both would be one symbol; if the size is what the hparam says, they are."""
    with pytest.raises(SpecError, match="hparam 'right_H' has the name of an axis of the input"):
        spec_of(TEXT.replace("{c: 8}", "{c: 8, right_H: 3}"))
    spec = spec_of(TEXT.replace("{c: 8}", "{c: 8, right_H: 16}").replace("H: 16", "H: right_H", 1))
    assert "right_H" in str(opened(Architecture(spec, ""), ["right_H"]).graph["b"].shape)


def test_solve_and_sweep_reach_sizes_of_every_input(two: Path) -> None:
    """The answer has the pairs of sizes that can be built, no others; the sweep has their totals."""
    architecture, most = load(two), 250_000
    expected = {}
    for left, right in product(range(1, 45), range(1, 25)):
        try:
            graph = architecture.build(sizes={"H": left, "right": {"H": right}})
        except SpecError:
            continue
        expected[left, right] = archcalc.analyze(graph).total("macs")
    solution = solve(architecture, symbolic="H,right_H", macs=most)
    pairs = product(range(1, 45), range(1, 25))
    found = {pair for pair in pairs if dict(zip(("H", "right_H"), pair, strict=True)) in solution}
    assert {pair for pair, macs in expected.items() if macs <= most} == found
    plan = sweep(architecture, ["macs"], hparams={"H": range(1, 45), "right_H": range(1, 25)}).grid
    assert ("H", "right_H") == plan.symbols
    rows = [row for block in plan.blocks() for row in zip(*block.values(), strict=True)]
    assert [(*pair, macs) for pair, macs in expected.items()] == rows


def test_an_output_is_solved_for_the_sizes_of_all_inputs(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody says what is open, the axes of every input are; one that is given is not."""
    code, out, _ = told(capsys, "solve", two, "--output", "8x8", "--input", "right=W=16", "--input", "W=32")
    assert (0, "two: output of f/maxpool = 8x8\nright_H 16: H 31..32\nright_H 17: H 33..34\n") == (code, out)


def test_formulas_of_totals_have_the_sizes_of_all_inputs(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --symbolic the axes of every input are left open; with it, those that are named."""
    _, out, _ = told(capsys, "formula", two, "--format", "python")
    space: dict[str, object] = {}
    exec(out, space)
    found = space["formulas"](40, 32, 20, 16)  # type: ignore[operator]
    graph = load(two).build(sizes={"H": 40, "right": {"H": 20}})
    assert archcalc.analyze(graph).total("macs") == found["macs"]
    _, out, _ = told(capsys, "formula", two, "--symbolic", "right_H")
    assert "= 3,456·right_H + 202,752" in out.replace("3456", "3,456").replace("202752", "202,752")
    hint = "error: can't read --symbolic 'right.H': 'right.H' is not a name\n    hint: --symbolic right_H\n"
    assert (2, "", hint) == told(capsys, "formula", two, "--symbolic", "right.H")


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "sizes"), [("left", ["1", "", "3", "", "3", "7", "9"]),
                                               ("right", ["", "1", "", "3", "3", "5", "6"])])  # fmt: skip
def test_fields_are_on_the_input_that_is_named(
    two: Path, capsys: pytest.CaptureFixture[str], source: str, sizes: list[str]
) -> None:
    """The heading says which input; every layer has a row, without numbers where that input isn't seen."""
    options = [] if source == "left" else ["--from", source]
    _, out, _ = told(capsys, "receptive-field", two, *options, "--format", "csv")
    rows = [line.split(",") for line in out.splitlines()[1:]]
    assert ["left", "right", "a", "b", "e", "f/conv", "f/maxpool"] == [row[0] for row in rows]
    assert sizes == [row[3] for row in rows]
    _, out, _ = told(capsys, "receptive-field", two, *options, "--format", "plain")
    other = "right" if source == "left" else "left"
    assert out.startswith(f"two: receptive fields on the input {source}, ")
    assert out.splitlines()[0].endswith(f"; on the other: --from {other}")
    _, out, _ = told(capsys, "receptive-field", two, *options, "--format", "json")
    assert {source} == {record["from"] for record in json.loads(out)}


def test_python_has_fields_on_every_input(two: Path) -> None:
    """`fields_on` takes an input's name; `receptive_fields` are those on the first."""
    graph = load(two).build()
    report = archcalc.analyze(graph)
    assert report.receptive_fields == report.fields_on("left") == receptive_fields(graph, 0)
    assert receptive_fields(graph, 1) == report.fields_on("right")
    assert ("left", "right") == tuple(node.name for node in graph.inputs)
    assert [{}, {"H": 1, "W": 1}] == [
        {axis: field.size for axis, field in fields.items()} for fields in report.fields_on("right")[:2]
    ]
    assert "3x32x32 (C,H,W) and 3x16x16 (C,H,W)" in repr(graph)


def test_tables_say_which_input_their_fields_are_about(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The column's heading names it; JSON has all inputs and the name; of a single input nothing is said."""
    _, out, _ = told(capsys, "table", two, "--columns", "name,receptive_field")
    assert "receptive field on left" in out
    _, out, _ = told(capsys, "table", two, "--format", "json")
    found = json.loads(out)
    assert {"left": {"C": 3, "H": 32, "W": 32}, "right": {"C": 3, "H": 16, "W": 16}} == found["inputs"]
    assert ("left", {}) == (found["receptive_fields_on"], found["layers"][1]["receptive_field"])
    _, out, _ = told(capsys, "table", "lenet5", "--format", "json")
    assert not {"inputs", "receptive_fields_on"} & json.loads(out).keys()
    _, out, _ = told(capsys, "explain", two, "b/conv")
    assert "receptive field on left: none, it isn't seen" in out


def test_pictures_of_what_is_not_seen_are_refused(
    two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A layer that sees nothing of the input has no frame; the input that is drawn is named."""
    file = tmp_path / "fields.svg"
    refused = told(capsys, "receptive-field", two, "--layer", "b", "-o", file)
    assert (2, "", "error: 'b/relu' does not depend on 'left'\n") == refused
    assert 0 == told(capsys, "receptive-field", two, "--layer", "b", "--from", "right", "-o", file)[0]
    assert ">right 3x16x16<" in file.read_text()


@pytest.mark.torch
def test_effective_fields_are_measured_on_the_input_that_is_named(two: Path) -> None:
    """On the second input, too, the gradient arrives only within the exact window."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    from archcalc.analyses.receptive_field_exact import exact_field
    from archcalc.pytorch.effective import measured_field

    graph = load(two).build()
    for source in (0, 1):
        index, position = graph.place("f"), {"H": 3, "W": 4}
        shares = measured_field(graph, index, position, source, seeds=4)
        assert shares is not None
        seen = exact_field(graph, index, position, source)
        assert tuple(graph.nodes[source].shape.values())[1:] == tuple(shares.shape)
        found = shares.nonzero()
        bounds = [(int(found[:, i].min()), int(found[:, i].max())) for i in (0, 1)]
        assert [seen.interval("H"), seen.interval("W")] == bounds
