"""The written PyTorch code against the built module: weights copied, outputs equal to the last bit."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from archcalc import analyze
from archcalc.__main__ import main
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.zoo import architectures
from tests.fuzz_memory import program_peak
from tests.fuzz_programs import search
from tests.helpers import graph_of, imported, regions_of, some_of_the_zoo, spec_of
from tests.random_specs import specs

torch = pytest.importorskip("torch", reason="what is exported is PyTorch code")
pytestmark = pytest.mark.torch

ZOO = {architecture.name: architecture for architecture in architectures()}
MACS = 500_000_000
"""Nets with more are followed on the meta device: names, shapes and parameters, no arithmetic."""


def assert_same(graph: Graph, device: str) -> None:
    """The exported class has the built module's parameters, in order, and with them its outputs."""
    from archcalc.pytorch.network import Network
    from archcalc.pytorch.source.writer import torch_code

    torch.manual_seed(0)
    with torch.device(device):
        built, own = Network(graph).eval(), imported(torch_code(graph))().eval()
    assert [p.shape for p in built.parameters()] == [p.shape for p in own.parameters()]
    mine, theirs = ([*net.parameters(), *net.buffers()] for net in (built, own))
    with torch.no_grad():
        for source, target in zip(mine, theirs, strict=True):
            target.copy_(source)
        inputs = built.example_inputs(2, device=device)
        expected, actual = built(*inputs), own(*inputs)
    if not isinstance(expected, dict):
        expected, actual = {"": expected}, {"": actual}
    assert list(expected) == list(actual)
    for name, value in expected.items():
        assert value.shape == actual[name].shape
        # the same operations in the same order: not even a rounding error apart
        assert device == "meta" or torch.equal(value.nan_to_num(), actual[name].nan_to_num()), name


@pytest.mark.parametrize("name", some_of_the_zoo())
def test_exported_zoo_network_computes_what_the_built_one_does(name: str) -> None:
    """Nets of every spec of the zoo: run where that is quick, else followed on the meta device."""
    graph = ZOO[name].build(**regions_of(name))
    assert_same(graph, "cpu" if analyze(graph).total("macs") < MACS and len(graph) < 500 else "meta")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs())
def test_exported_random_network_computes_what_the_built_one_does(text: str) -> None:
    """Branches, loops, blocks and every kind, as Hypothesis puts them together."""
    assert_same(build(spec_of(text)), "cpu")


def test_code_stands_alone() -> None:
    """The code imports PyTorch and the standard library, and says what it is."""
    from archcalc.pytorch.source.writer import torch_code

    code = torch_code(ZOO["deconvnet"].build())
    modules = re.findall(r"^(?:from|import) ([\w.]+)", code, re.MULTILINE)
    assert {"__future__", "collections.abc", "typing", "torch", "torch.nn"} == set(modules)
    assert "Zeiler & Fergus" in (ast.get_docstring(ast.parse(code)) or "")
    assert "Network deconvnet: 3,726,464 parameters" in code


def test_helpers_are_written_only_where_they_are_used() -> None:
    """VGG needs none; U-Net one, for its crops."""
    from archcalc.pytorch.source.writer import torch_code

    assert ["Vgg16"] == re.findall(r"^class (\w+)", torch_code(ZOO["vgg16"].build()), re.MULTILINE)
    found = re.findall(r"^class (\w+)", torch_code(ZOO["unet"].build()), re.MULTILINE)
    assert ["Crop", "DownBlock", "UpBlock", "Unet"] == found


def test_equal_passes_become_a_loop() -> None:
    """Repeated passes are one comprehension; numbers that change become what it counts through."""
    from archcalc.pytorch.source.writer import torch_code

    assert "*[ConvBlock2(1024, 256) for _ in range(22)]" in torch_code(ZOO["resnet101"].build())
    assert "for c in range(64, 256, 32)" in torch_code(ZOO["densenet121"].build())


def test_a_deep_network_has_the_program_of_a_shallow_one() -> None:
    """ResNets of 6n+2 layers differ in the counts of their loops, and in the number of parameters in the header."""
    from archcalc.pytorch.source.writer import torch_code

    def program(n: int) -> str:
        code = torch_code(ZOO["resnet:cifar"].build(hparams={"n": n}))
        assert 1 == code.count(f"*[ConvBlock(16) for _ in range({n})]")
        assert 2 == code.count(f" for _ in range({n - 1})]")
        code = code.replace(f"range({n})", "range(n)").replace(f"range({n - 1})", "range(n - 1)")
        return re.sub(r"[\d,]+ parameters", "so many parameters", code)

    shallow = program(20)
    assert shallow == program(1000) == program(10**9)


def test_passes_that_are_not_built_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop with one pass too few or too many isn't handed out, although few of its passes are built."""
    from archcalc.pytorch.source import planner, writer
    from archcalc.pytorch.source.check import ProgramError

    graph, counting = ZOO["resnet:cifar"].build(hparams={"n": 1000}), planner.counting
    for more in (-1, 1):
        monkeypatch.setattr(planner, "counting", lambda varying, count, more=more: counting(varying, count + more))
        with pytest.raises(ProgramError, match="the program's header says"):
            writer.torch_code(graph)


LONG_LOOPS = {
    "a volume that all passes read": ("[a: conv 4 1x1, {for: {i: 1..12}, do: {add: [conv 4 3x3 p=1, from a]}}]", 1),
    "passes under names": ("['c{i}': {for: {i: 1..12}, do: conv 4 3x3 p=1}, conv 4 1x1]", 1),
    "passes without modules": ("[a: conv 4 1x1, (add)*12, conv 4 1x1, {add: [from a, identity]}]", 1),
    "passes that all read the same": ("[a: conv 4 1x1, {for: {i: 1..12}, do: from a -> conv 4 1x1 -> relu}]", 0),
    "a pass that others read": ("['c{i}': {for: {i: 1..30}, do: conv 4 3x3 p=1 -> bn}, {add: [from c12, relu]}]", 2),
    "passes that overwrite by turns": ("[conv 4 1x1, (leaky 0.1)*20, conv 4 1x1]", 0),
    "loops in loops": ("{for: {i: 1..12}, do: [conv 4 1x1 -> (bn -> relu)*20, s: (conv 4 3x3 p=1)*9]}", 3),
    "a last pass that nobody reads": ("[a: conv 4 1x1, {add: [{p: (relu)*12}, from a]}, from a -> conv 4 1x1]", 1),
    "a pool in each pass": ("(maxpool 2 -> conv 4 1x1 -> upsample 2)*15", 1),
    "weights shared from around a loop": ("[a: conv 4 1x1, (bn -> relu)*20, tconv 4 1x1 tie=@a]", 1),
    "weights shared from within a loop": ("[p: (conv 4 1x1 -> relu)*20, tconv 4 1x1 tie=@p/7]", 1),
}
"""Layers on 4x6x6, and how many loops are written."""


@pytest.mark.parametrize("name", LONG_LOOPS)
@pytest.mark.parametrize("whole", [0, 2000])
def test_long_loops(name: str, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and bytes are those of the network, passes are loops where they hand on; also if few are checked."""
    from archcalc.pytorch.source import check, writer

    monkeypatch.setattr(check, "WHOLE", whole)
    layers, loops = LONG_LOOPS[name]
    graph = graph_of(f"layers: {layers}\n", "archcalc: 1\nname: t\ninput: {C: 4, H: 6, W: 6}\n")
    assert loops == writer.torch_code(graph).count("for _ in range(")
    assert_same(graph, "cpu")
    assert analyze(graph, 2).total("peak_bytes") == program_peak(graph, 2)


def test_random_programs_checked_with_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the networks are, their programs are right, too, if few passes of each loop are compared."""
    from archcalc.pytorch.source import check

    monkeypatch.setattr(check, "WHOLE", 0)
    assert 15 == search(15, 2)


def test_a_list_of_layers_is_written_as_one_class() -> None:
    """A graph without structure has a program without scopes, and `peak_bytes` follows that."""
    from archcalc.pytorch.source.writer import torch_code

    graph = ZOO["unet"].build(sizes={"H": 188, "W": 188})
    flat = Graph.of("flat", graph.nodes, graph.outputs, {})
    assert ["Crop", "Flat"] == re.findall(r"^class (\w+)", torch_code(flat), re.MULTILINE)
    assert_same(flat, "meta")
    structured, listed = (analyze(each, 1).total("peak_bytes") for each in (graph, flat))
    assert listed == program_peak(flat, 1, "meta") < structured == program_peak(graph, 1, "meta")


def test_a_number_of_layers_that_is_a_symbol_has_no_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Export says what is missing."""
    assert main(["export", "resnet:cifar", "--set", "n=sym"]) == 2
    assert (
        "the number of layers of resnet:cifar has no value: n\n    hint: give it one, as in --set n=3"
        in capsys.readouterr().err
    )


def test_shared_weights_are_shared_in_the_code() -> None:
    """GPT-2's logits use the embedding's matrix, one Parameter for both."""
    from archcalc.pytorch.source.writer import torch_code

    code = torch_code(
        graph_of("layers: [wte: embed 9 4, relu, out: fc 9 tie=@wte]\n", "archcalc: 1\nname: t\ninput: {T: 5}\n")
    )
    network = imported(code)()
    assert network.out.weight is network.wte.weight


TWO_LOOPS = """archcalc: 1
name: t
input: {C: 8, H: 16, W: 16}
layers: (conv 8 3x3 p=1 -> relu)*2 -> maxpool 2 -> (conv 8 3x3 p=1 -> relu)*3
"""


def test_two_loops_in_one_scope_are_two_attributes() -> None:
    """Neither run of passes replaces the other: all 2,920 parameters of five convolutions are there."""
    from archcalc.pytorch.source.writer import torch_code

    graph = build(spec_of(TWO_LOOPS))
    assert 2_920 == 5 * (8 * 8 * 9 + 8) == sum(p.numel() for p in imported(torch_code(graph))().parameters())
    assert_same(graph, "cpu")


def test_program_that_is_another_network_is_not_handed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where two parts would share an attribute, exporting fails as a bug, and writes nothing."""
    from archcalc.pytorch.source import planner

    (tmp_path / "t.yaml").write_text(TWO_LOOPS)
    monkeypatch.setattr(planner, "attributes", list)
    assert main(["export", str(tmp_path / "t.yaml"), "-o", str(tmp_path / "t.py")]) == 1
    assert not (tmp_path / "t.py").exists()


def test_texts_of_a_spec_run_nothing(tmp_path: Path) -> None:
    """A title or source that would end the docstring stays within it, to the letter."""
    from archcalc.pytorch.source.writer import torch_code

    trap = f'"""\nopen({str(tmp_path / "ran")!r}, "w")\n"""'
    endings = [trap, 'a "quote"', "a backslash \\", "# -*- coding: utf-7 -*-", "\x00\u2028\x0c\u202e", '""""', "a\n# b"]
    graph = graph_of("layers: fc 2\n", "archcalc: 1\nname: t\ninput: {C: 3}\n")
    for text in endings:
        code = torch_code(replace(graph, title=text, citation=text))
        imported(code)
        assert not (tmp_path / "ran").exists()
        header = ast.literal_eval(ast.parse(code).body[0].value)  # type: ignore[attr-defined]
        assert f"{' '.join(text.split())}.\n\n{text}\n\n" == header[: header.index("Network t: ")]


AWKWARD = [
    "self", "forward", "x", "F", "nn", "torch", "Tensor", "global", "None", "match", "type", "_", "__x", "__debug__",
    "__class__", "a.b", "a-b", "a_b", "a+b", "A_B", "\N{SUPERSCRIPT TWO}", "2", "\N{LATIN SMALL LIGATURE FI}", "fi",
    "\N{LATIN SMALL LETTER LONG S}", "s", "\N{LATIN SMALL LETTER E WITH ACUTE}", "training", "double", "T_destination", "dict",
    "len", "range", "super", "c", "d", "pools", "graph", "modules_in_order", "_modules", "passes", "passes_2", "block",
]  # fmt: skip


def test_names_of_layers_and_scopes_that_mean_something_in_python() -> None:
    """As layers, as scopes, as branches, as inputs and as outputs: the program is the network."""
    head = "archcalc: 1\nname: f\ninput: {C: 3, H: 5, W: 5}\n"
    chain = ", ".join(f"'{name}': conv {3 + number % 2} 1" for number, name in enumerate(AWKWARD))
    assert_same(graph_of(f"layers: [{chain}]\noutputs: {AWKWARD}\n", head), "cpu")
    scopes = ", ".join(f"'{name}': [one: conv 3 1, two: relu, add: [identity, relu]]" for name in AWKWARD)
    assert_same(graph_of(f"layers: [{scopes}]\n", head), "cpu")
    branches = ", ".join(f"'{name}': {'conv 3 1' if n % 2 else 'identity'}" for n, name in enumerate(AWKWARD))
    assert_same(graph_of(f"layers: [add: {{{branches}}}, more: {{concat: {{{branches}}}}}]\n", head), "cpu")
    names = [name for name in AWKWARD if name[0].isalpha() and name not in ("in", "x")]
    inputs = ", ".join(f"'{name}': {{C: 3}}" for name in names)
    layers = f"layers: [{{add: [{', '.join(f'from {name}' for name in names)}]}}, fc 2]\n"
    for name in ("f", "tensor", "any", "F", "none", "2", "module"):
        assert_same(graph_of(layers, f"archcalc: 1\nname: {name}\ninputs: {{{inputs}}}\n"), "cpu")


def test_programs_of_random_networks_with_nasty_names() -> None:
    """A sample of `python -m tests.fuzz_programs`, which says what is asked of a program."""
    assert 25 == search(25, 1)


def test_names_that_python_reserves() -> None:
    """Layers called class, forward and 1x1 are attributes with other names."""
    layers = "layers: [class: conv 4 3, forward: relu, concat: {1x1: conv 2 1, x: identity}]\n"
    assert_same(graph_of(layers), "cpu")


def test_command_writes_a_file_that_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`archcalc export lenet5 --to torch -o net.py`, and the file runs without archcalc."""
    file = tmp_path / "net.py"
    assert main(["export", "lenet5", "--to", "torch", "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    lines = "import torch, net; print(tuple(net.Lenet5()(torch.zeros(3, 1, 32, 32)).shape))"
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "(3, 10)\n" == done.stdout


@pytest.mark.parametrize(
    ("volume", "layer"),
    [
        ("{C: 3, H: 8, W: 8}", "conv 10**19 3"), ("{C: 3000000000, H: 8, W: 8}", "conv 3000000000 3"),
        ("{C: 3, H: 10**19, W: 10}", "conv 3 3"), ("{C: 3, H: 8, W: 8}", "maxpool 2 s=10**19"),
        ("{C: 3, H: 2**40, W: 2**20}", "relu"), ("{C: 1, H: 2, W: 2}", "upsample 2**31"),
        ("{C: 1, H: 4, W: 4}", "conv 1 3 p=2**33 s=2**33"), ("{T: 4}", "embed 2**52 2**10"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["export", "verify"])
def test_sizes_beyond_pytorchs_are_no_bug(
    volume: str, layer: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What doesn't fit into 64 bits is refused with the layer's name, before PyTorch's integers overflow."""
    (tmp_path / "t.yaml").write_text(f"archcalc: 1\nname: t\ninput: {volume}\nlayers: [{layer}]\n")
    assert main([command, str(tmp_path / "t.yaml")]) == 2
    assert "is too large for PyTorch, whose sizes have 64 bits" in capsys.readouterr().err


def test_symbols_need_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Symbolic sizes are refused with the option that gives them values."""
    assert main(["export", "faster_rcnn"]) == 2
    assert (
        "faster_rcnn has sizes without a value: R\n    hint: give them numbers, as in --set R=300"
        in capsys.readouterr().err
    )
