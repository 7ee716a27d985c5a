"""The inverse question against brute force: every size up to 1,024, every hparam up to a bound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from archcalc.cli.run import run
from archcalc.errors import LocalError, UsageError
from archcalc.formulas.amounts import alternatives, budget
from archcalc.formulas.solve import output_conditions, total_of
from archcalc.formulas.symbols import opened
from archcalc.graph import Graph
from archcalc.report import analyze
from archcalc.shape import Shape
from archcalc.symbolic import Condition, Integers, dim
from archcalc.symbolic.systems import solved_for
from archcalc.zoo import load

LAST = 1024


def shapes_at(graph: Graph, **sizes: int) -> dict[str, Shape] | None:
    """Every layer's volume for numbers as input sizes; None if some layer can't work."""
    found: list[Shape] = []
    try:
        for node in graph.nodes:
            inputs = [found[i] for i in node.inputs]
            found.append(node.layer.output_shape(*inputs) if inputs else graph.input.with_(**sizes))
    except LocalError:
        return None
    return {node.name: shape for node, shape in zip(graph.nodes, found, strict=True)}


@pytest.mark.parametrize(
    ("name", "layer", "targets", "other"),
    [
        ("vgg16", "conv5/pool", (1, 7, 31), 224),
        ("resnet50", "conv5", (1, 7, 20), 224),
        ("alexnet", "conv5", (1, 13, 40), 227),
        ("googlenet", "5b", (7, 8), 224),
        ("unet", "out", (4, 388, 389), 572),
        ("inception_v3", "7c", (8,), 299),
        ("zfnet", "pool5", (6,), 224),
    ],
)
def test_every_size_for_an_output(name: str, layer: str, targets: tuple[int, ...], other: int) -> None:
    """The sizes that solve finds are those that brute force finds, up to 1,024, and none is missing."""
    found = opened(load(name), ["H", "W"])
    report = analyze(found.graph)
    path, _ = output_conditions(report, "1x1", layer)
    heights = {}
    for size in range(1, LAST + 1):
        shapes = shapes_at(found.graph, H=size, W=other)
        heights[size] = shapes[path]["H"] if shapes else None
    for target in targets:
        where, conditions = output_conditions(report, f"H={target}", layer)
        solution = solved_for(
            [*found.graph.conditions, *conditions], {"H": Integers.between(), "W": Integers.between()}
        )
        expected = [size for size, height in heights.items() if height == target]
        assert (path, expected) == (where, list(solution.alone["H"].up_to(LAST)))


def test_vgg_ends_in_7x7_from_224_to_255() -> None:
    """The lecture's question."""
    found = opened(load("vgg16"), ["H", "W"])
    _, conditions = output_conditions(analyze(found.graph), "7x7")
    solution = solved_for([*found.graph.conditions, *conditions], {})
    assert {"H": "224..255", "W": "224..255"} == {name: str(sizes) for name, sizes in solution.alone.items()}


@pytest.mark.parametrize(
    ("name", "symbol", "last", "budgets"),
    [
        ("alphago_policy", "k", 400, {"params": 5_000_000}),
        ("alphago_policy", "k", 400, {"params": 5_000_000, "macs": 10**9, "activation_bytes": 3_000_000}),
        ("resnet18", "size", 300, {"macs": 10**9}),
        ("vgg16", "size", 300, {"macs": 5 * 10**9, "memory": 300_000_000}),
        ("vgg16", "size", 300, {"params": 100_000_000}),
        ("densenet", "g", 60, {"params": 5_000_000, "flops": 4 * 10**9}),
        ("resnet18", "size", 300, {"saved_bytes": 10**7, "peak_bytes": 2 * 10**6}),
    ],
)
def test_budgets(name: str, symbol: str, last: int, budgets: dict[str, int]) -> None:
    """The values within all budgets are those that building each one finds."""
    found = opened(load(name), [symbol])
    report = analyze(found.graph)
    conditions: list[Any] = list(found.graph.conditions)
    conditions += [Condition(total_of(report, column), "<=", most) for column, most in budgets.items()]
    solution = solved_for(conditions, {symbol: Integers.between()}).alone[symbol]
    steps = range(1, last + 1, 5 if name == "alphago_policy" else 11)
    expected = [value for value in steps if within(name, symbol, value, budgets)]
    assert expected == [value for value in steps if value in solution]
    edge = solution.greatest
    assert edge is not None
    assert within(name, symbol, edge, budgets)
    assert not within(name, symbol, edge + 1, budgets)


def within(name: str, symbol: str, value: int, budgets: dict[str, int]) -> bool:
    """Build with a number, and compare."""
    from archcalc.errors import SpecError

    try:
        report = analyze(load(name).build(None, **{symbol: value}))
    except SpecError:
        return False
    return all(total_of(report, column) <= most for column, most in budgets.items())


def test_several_unknowns() -> None:
    """Height and width together: all pairs within the budget, as compiled brute force finds them."""
    found = opened(load("vgg16"), ["H", "W"])
    macs = analyze(found.graph).total("macs")
    conditions = [*found.graph.conditions, Condition(macs, "<=", 2 * 10**9)]
    solution = solved_for(conditions, {"H": Integers.between(), "W": Integers.between()})
    assert ("H", "W") == tuple(sorted(solution.together))
    from archcalc.symbolic.compiled import Program

    function = Program([macs], [dim("H"), dim("W")]).python()
    for height in range(1, 400, 3):
        for width in range(1, 400, 5):
            expected = height >= 32 and width >= 32 and function(height, width)[0] <= 2 * 10**9
            assert expected == ({"H": height, "W": width} in solution)


def test_unbounded_questions_say_so() -> None:
    """Where there's no end to the list, a range is asked for."""
    k, m = dim("k"), dim("m")
    with pytest.raises(UsageError, match="there's no end to what"):
        solved_for([Condition(k - m, "<=", 5)], {})


def test_ranges_that_do_not_only_grow() -> None:
    """Conditions that rise and fall are solved value by value, within given ranges."""
    k, m = dim("k"), dim("m")
    ranges = {"k": Integers.between(1, 30), "m": Integers.between(1, 30)}
    solution = solved_for([Condition((k - 9) * (m - 20), ">=", 40)], ranges)
    for a in range(1, 31):
        for b in range(1, 31):
            assert ((a - 9) * (b - 20) >= 40) == ({"k": a, "m": b} in solution)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5M", (None, 5_000_000)),
        ("1.5K", (None, 1500)),
        ("4M..5M", (4_000_000, 5_000_000)),
        ("60MB", (None, 60_000_000)),
        ("1.5KiB", (None, 1536)),
        ("2*10**6", (None, 2_000_000)),
    ],
)
def test_budgets_are_read(text: str, expected: tuple[int | None, int]) -> None:
    """Numbers of the spec language, ranges, and bytes with their units."""
    assert expected == budget(text, "--params")


@pytest.mark.parametrize("text", ["", "x", "[1]", "__import__('os')", "5..", "1/0", "true"])
def test_bad_budgets_are_refused(text: str) -> None:
    """Nothing else is read, let alone run."""
    with pytest.raises(UsageError):
        budget(text, "--params")


def test_alternatives() -> None:
    """Ranges, lists and repeated options give several values; a list hparam needs a list of lists."""
    resnet = load("resnet50")
    given = ["n=1..3", "classes=[10,100]", "body=two3x3", "body=bottleneck", "depths=[1,1,1,1]", "widths=[[1,2],[3,4]]"]
    fixed, several = alternatives(resnet, given)
    assert {"depths": "[1,1,1,1]"} == fixed
    assert {
        "n": range(1, 4),
        "classes": ["10", "100"],
        "body": ["two3x3", "bottleneck"],
        "widths": ["[1,2]", "[3,4]"],
    } == several


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """A command's exit code and its output."""
    code = run(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def cases() -> Iterator[tuple[str, int, str]]:
    """Commands, exit codes, and a part of what is printed."""
    yield "solve vgg16 --output 7x7", 0, "H: 224..255\nW: 224..255"
    yield "solve alphago_policy --params 5M --set k=sym", 0, "k: 1..218\nlargest k 218\n  there params = 4,969,671"
    yield "solve alphago_policy --params 5M --macs 1G --set k=64..512", 0, "k: 64..161"
    yield "solve vgg16 --macs 5G --input 3xSxS", 0, "S: 32..127"
    yield "solve unet --output 389x388", 1, "no sizes do that"
    yield "solve vgg16", 2, "what is to be solved for?"
    yield "solve vgg16 --params 5M", 2, "nothing is left open"
    yield "solve vgg16 --output 7x7x7x7", 2, "'7x7x7x7' has 4 sizes"
    yield "solve vgg16 --output 7x7 --layer conv9", 2, "has no layer 'conv9'"
    yield "solve vgg16 --params 5M --layer conv5", 2, "--layer goes with --output"


@pytest.mark.parametrize(("command", "code", "expected"), list(cases()))
def test_commands(command: str, code: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints ranges and the largest values, or what is wrong with the question."""
    found, text = printed(capsys, *command.split())
    assert (code, True) == (found, expected in text), text


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get segments."""
    _, text = printed(capsys, "solve", "vgg16", "--output", "7x7", "--format", "json")
    segment = {"first": 224, "last": 255, "period": 1, "residues": [0]}
    assert {"H": [segment], "W": [segment]} == json.loads(text)["alone"]
