"""What is known about a kind stands with the kind: no other module asks which it is, and what it says of itself is true."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import archcalc
from archcalc.analyses.positions import Seen, read
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.layers import REGISTRY, Layer
from archcalc.shape import Shape
from archcalc.symbolic import prod
from tests.helpers import graph_of
from tests.layer_cases import CASES, Case

ROOT = Path(archcalc.__file__).parent
FAMILIES = {kind.__module__ for kind in REGISTRY.values() if kind.__module__.startswith("archcalc.layers.")}
GIVEN = ("Layer", "Input")
"""What may be asked for anywhere: whether something is a layer, and whether it's an input."""


def classes(base: type = Layer) -> Iterator[str]:
    """The names of all classes of layers, those that kinds share included."""
    for cls in base.__subclasses__():
        yield cls.__name__
        yield from classes(cls)


def asked(code: str) -> list[str]:
    """Where a module asks for concrete kinds, each as code."""
    kinds = {*classes()} - {*GIVEN}
    return [ast.unparse(node) for node in ast.walk(ast.parse(code)) if _asks(node, kinds)]


def _asks(node: ast.AST, kinds: set[str]) -> bool:
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return node.module in FAMILIES or not FAMILIES.isdisjoint(names)
    if isinstance(node, ast.Import):
        return any(alias.name in FAMILIES for alias in node.names)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(map(_is_kind, sides)) and any(_names_kinds(side) for side in sides)
    if isinstance(node, ast.Subscript):
        return _is_kind(node.slice) and _is_table(node.value)
    if isinstance(node, ast.Match):
        return _is_kind(node.subject)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "startswith"):
        looks_up = node.func.attr == "get" and _is_table(node.func.value) and any(map(_is_kind, node.args))
        return looks_up or _is_kind(node.func.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
        named = {ast.unparse(part) for part in ast.walk(node.args[1]) if isinstance(part, (ast.Name, ast.Attribute))}
        return any(name.rpartition(".")[2] in kinds and not name.startswith("sympy.") for name in named)
    return False


def _is_kind(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("kind", "family")


def _is_table(node: ast.AST) -> bool:
    """Whether it's a constant of a module; counters of kinds are variables."""
    return isinstance(node, ast.Dict) or (isinstance(node, ast.Name) and node.id.isupper())


def _names_kinds(node: ast.AST) -> bool:
    """Whether a side of a comparison holds texts other than `input`, or is a constant, which may."""
    texts = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}
    return bool(texts - {"input"}) or (isinstance(node, ast.Name) and node.id.isupper())


def test_no_module_outside_layers_asks_for_a_kind() -> None:
    """Nothing but the package of layers imports one, compares its kind with a text, or asks whether it is one."""
    files = [file for file in ROOT.rglob("*.py") if file.parent.name != "layers"]
    found = {str(file.relative_to(ROOT)): asked(file.read_text(encoding="utf-8")) for file in files}
    assert {} == {name: lines for name, lines in found.items() if lines}
    assert 100 < len(found)


@pytest.mark.parametrize(
    "code",
    [
        "from archcalc.layers.conv import Convolution",
        "from archcalc.layers import pool",
        "import archcalc.layers.norm as norms",
        "def f():\n    from archcalc.layers.merge import Concat",
        "node.kind == 'concat'",
        "'add' == node.application.layer.kind",
        "layer.kind in ('add', 'mul')",
        "layer.kind not in JOINS",
        "layer.family == 'norm'",
        "NAMES.get(layer.kind, '')",
        "SYMBOLS[node.kind]",
        "layer.kind.startswith('global')",
        "match node.kind:\n    case 'add': pass",
        "isinstance(layer, MaxPool)",
        "isinstance(node.layer, (int, layers.View))",
        "issubclass(type(layer), Pool)",
    ],
)
def test_asking_for_a_kind_is_noticed(code: str) -> None:
    """Each way to ask for a kind is found, wherever it stands."""
    assert 1 == len(asked(code))


@pytest.mark.parametrize(
    "code",
    [
        "from archcalc.layers import REGISTRY, Layer",
        "from archcalc.layers.reads import Everywhere",
        "isinstance(layer, Layer) or isinstance(node.layer, Input)",
        "node.kind == 'input'",
        "parameter.kind is parameter.VAR_POSITIONAL",
        "counts[layer.kind] += 1",
    ],
)
def test_what_may_be_asked_is_not_reported(code: str) -> None:
    """Layers as such, inputs, how positions are read, other things that have kinds, and counting by kind."""
    assert [] == asked(code)


@pytest.mark.torch
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.layer.sizes_only != (0,) and case.layer.family not in ("experts", "opaque")],
    ids=str,
)
def test_reads_are_what_the_gradients_of_the_kinds_own_module_show(case: Case) -> None:
    """Which positions and channels an output value reads is what PyTorch's module of the kind says, value by value."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    check_reads(case)


def check_reads(case: Case) -> None:
    """Compare what a layer says that it reads with the gradients of its own module.

    Gradients that depend on values, as those of maxima, are taken of many random examples together. What is read of
    regions, and to unpool without switches, is all that may be, wherever those lie.
    Raises: AssertionError: they differ.
    """
    import torch

    torch.manual_seed(0)
    module = case.layer.torch_module(*case.inputs).double().eval()
    wholly = any(reads and reads.all_of_it for reads in case.layer.reads(*case.inputs))
    largest = max(prod(x.values()) for x in case.inputs)
    examples = 1 if wholly or case.layer.linear else max(1, min(5_000, 400_000 // largest))
    inputs = [torch.rand(examples, *x.values(), dtype=torch.float64, requires_grad=True) for x in case.inputs]
    if case.layer.kind == "deform_conv":  # offsets that move taps all over the map
        inputs[1] = ((inputs[1].detach() - 0.5) * 4 * max(case.inputs[0].values())).requires_grad_()
    y = module(*inputs)
    for place in _places(case.output):
        for reads, x, value in zip(case.layer.reads(*case.inputs), case.inputs, inputs, strict=True):
            seed = torch.zeros_like(y)
            seed[:, *place.values()] = 1
            (gradient,) = torch.autograd.grad(y, value, seed, retain_graph=True, allow_unused=True)
            found = set() if gradient is None else {*map(tuple, (gradient != 0).any(0).nonzero().tolist())}
            seen = Seen.nothing(x) if reads is None else read(reads, Seen.box(case.output, place), x, case.output)
            expected = {*seen.positions()}
            is_bound = (reads is not None and reads.all_of_it) or (
                case.layer.kind == "unpool" and len(case.inputs) == 1
            )
            assert expected == (expected | found if is_bound else found), place


def _places(y: Shape) -> list[dict[str, int]]:
    """A corner, somewhere in the middle, and the opposite corner."""
    return [{axis: (size - 1) * part // 2 for axis, size in y.items()} for part in range(3)]


@pytest.mark.torch
def test_fewer_channels_than_before_still_see_whole_groups() -> None:
    """A grouped convolution from 6 to 4 channels reads all 6, the last of them, with their wider windows, too."""
    pytest.importorskip("torch", reason="gradients need PyTorch")
    from archcalc.pytorch.gradient import Question, supports

    layers = "layers:\n  - concat: [conv 4 1x1, conv 2 5x5 p=2]\n  - conv 4 1x1 g=2\n"
    graph = graph_of(layers, "archcalc: 1\nname: t\ninput: {C: 1, H: 9, W: 9}\n")
    last, place = len(graph.nodes) - 1, {"H": 4, "W": 4}
    assert 25 == exact_field(graph, last, place).count
    assert [exact_field(graph, last, place)] == [*supports(graph, [Question(last, place)])]
