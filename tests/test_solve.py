"""The inverse question against brute force: every size up to 1,024, every hparam up to a bound."""

from __future__ import annotations

import contextlib
import itertools
import json
import operator
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archcalc import analyze, work
from archcalc.__main__ import main
from archcalc.cli.run import run
from archcalc.errors import LocalError, SpecError, UsageError
from archcalc.formulas.symbols import opened
from archcalc.graph import Graph
from archcalc.questions.budgets import budget
from archcalc.questions.choices import alternatives
from archcalc.questions.goals import goals_of
from archcalc.questions.solve import solve
from archcalc.shape import Shape
from archcalc.symbolic import Condition, Integers, dim, floor_div, maximum
from archcalc.symbolic.compiled import Program
from archcalc.symbolic.systems import solved_for
from archcalc.work import TooMuchWork
from archcalc.zoo import Architecture, load
from tests.fuzz_solve import search
from tests.helpers import HEAD, spec_of

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
    path, _ = goals_of("1x1", layer, {}, {}).conditions(report, (), ())
    heights = {}
    for size in range(1, LAST + 1):
        shapes = shapes_at(found.graph, H=size, W=other)
        heights[size] = shapes[path]["H"] if shapes else None
    for target in targets:
        where, conditions = goals_of(f"H={target}", layer, {}, {}).conditions(report, (), ())
        solution = solved_for(
            [*found.graph.conditions, *conditions], {"H": Integers.between(), "W": Integers.between()}
        )
        expected = [size for size, height in heights.items() if height == target]
        assert (path, expected) == (where, list(solution.alone["H"].up_to(LAST)))


def test_vgg_ends_in_7x7_from_224_to_255() -> None:
    """The lecture's question."""
    found = opened(load("vgg16"), ["H", "W"])
    _, conditions = goals_of("7x7", "", {}, {}).conditions(analyze(found.graph), (), ())
    solution = solved_for([*found.graph.conditions, *conditions], {})
    assert {"H": "224..255", "W": "224..255"} == {name: str(sizes) for name, sizes in solution.alone.items()}


@pytest.mark.parametrize(
    ("name", "symbol", "last", "budgets"),
    [
        ("alphago_policy", "k", 400, {"params": 5_000_000}),
        ("alphago_policy", "k", 400, {"params": 5_000_000, "macs": 10**9, "activation_bytes": 3_000_000}),
        ("resnet18", "size", 300, {"macs": 10**9}),
        ("vgg16", "size", 300, {"macs": 5 * 10**9, "total_bytes": 300_000_000}),
        ("vgg16", "size", 300, {"params": 100_000_000}),
        ("densenet", "growth", 60, {"params": 5_000_000, "flops": 4 * 10**9}),
        ("resnet18", "size", 300, {"saved_bytes": 10**7, "peak_bytes": 2 * 10**6}),
    ],
)
def test_budgets(name: str, symbol: str, last: int, budgets: dict[str, int]) -> None:
    """The values within all budgets are those that building each one finds."""
    found = opened(load(name), [symbol])
    report = analyze(found.graph)
    conditions: list[Any] = list(found.graph.conditions)
    conditions += [Condition(report.total(column), "<=", most) for column, most in budgets.items()]
    solution = solved_for(conditions, {symbol: Integers.between()}).alone[symbol]
    steps = range(1, last + 1, 5 if name == "alphago_policy" else 11)
    expected = [value for value in steps if within(name, symbol, value, budgets)]
    assert expected == [value for value in steps if value in solution]
    edge = solution.max
    assert edge is not None
    assert within(name, symbol, edge, budgets)
    assert not within(name, symbol, edge + 1, budgets)


def within(name: str, symbol: str, value: int, budgets: dict[str, int]) -> bool:
    """Build with a number, and compare."""
    from archcalc.errors import SpecError

    try:
        report = analyze(load(name).build(**{symbol: value}))
    except SpecError:
        return False
    return all(report.total(column) <= most for column, most in budgets.items())


def test_several_unknowns() -> None:
    """Height and width together: all pairs within the budget, as compiled brute force finds them."""
    found = opened(load("vgg16"), ["H", "W"])
    macs = analyze(found.graph).total("macs")
    conditions = [*found.graph.conditions, Condition(macs, "<=", 2 * 10**9)]
    solution = solved_for(conditions, {"H": Integers.between(), "W": Integers.between()})
    assert ("H", "W") == tuple(sorted(solution.together))
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


@pytest.mark.parametrize("digits", [20, 30, 59, 70])
def test_ends_are_found_however_far_they_are(digits: int) -> None:
    """What has an end isn't endless because it is beyond 2^80."""
    k, m = dim("k"), dim("m")
    most = 10**digits
    found = solved_for([Condition(k * k * m, "<=", most), Condition(m, ">=", most // 8)], {})
    assert {(1, most), (2, most // 4)} == {(row.sets[0].max, row.sets[1].max) for row in found.rows}


def test_what_the_spec_leaves_open_is_open() -> None:
    """A `sym` in the spec or its variant is an unknown without being named; what is given is none any more."""
    text = f"""{HEAD}hparams: {{c: sym, k: 2}}
variants: {{wide: {{}}, fixed: {{c: 5}}, deep: {{c: 5, k: sym}}}}
layers: global_avgpool -> flatten -> fc c -> fc k
"""
    spec = spec_of(text)

    def params(c: int, k: int) -> int:
        return 4 * c + (c + 1) * k

    found = solve(Architecture(spec, "wide"), params=100)
    assert [c for c in range(1, 200) if params(c, 2) <= 100] == list(found.sizes["c"])
    found = solve(Architecture(spec, "deep"), params=100)
    assert [k for k in range(1, 200) if params(5, k) <= 100] == list(found.sizes["k"])
    for variant, given in (("fixed", {}), ("wide", {"c": 7}), ("deep", {"k": 7})):
        with pytest.raises(UsageError, match="nothing is left open"):
            solve(Architecture(spec, variant), params=100, hparams=given)


@pytest.mark.parametrize("most", [10**16, 2**62, 2**63, 10**20, 10**24])
def test_ends_that_64_bits_do_not_hold(most: int) -> None:
    """The last unknown goes as far as it may, however far that is; one more is too much."""
    k, m = dim("k"), dim("m")
    for left in (k * m, k + m, k * k + 3 * m, 5 * m + floor_div(k + m, 7), k * (m + 4) + m):
        condition = Condition(left, "<=", most)
        found = solved_for([condition], {"k": Integers.between(1, 40)})
        assert ("k", "m") == found.together
        for row in found.rows:
            for k_value in row.sets[0]:
                end = row.sets[1].max
                assert end is not None
                assert [True, False] == [condition.holds({"k": k_value, "m": m_value}) for m_value in (end, end + 1)]
        assert 40 == sum(len(row.sets[0]) for row in found.rows)


def test_ends_beyond_64_bits_are_work() -> None:
    """Rows that need Python's integers are counted: there may be very many."""
    k, m, n = dim("k"), dim("m"), dim("n")
    started = time.process_time()
    with pytest.raises(TooMuchWork, match="how far unknowns can go"), work.budget(1):
        solved_for([Condition(maximum(10**6 * n**2, 10**6 * k * m + k + 5 * m), "<=", 4299007907097920)], {})
    assert time.process_time() - started < 10


def test_ranges_that_do_not_only_grow() -> None:
    """Conditions that rise and fall are solved value by value, within given ranges."""
    k, m = dim("k"), dim("m")
    ranges = {"k": Integers.between(1, 30), "m": Integers.between(1, 30)}
    solution = solved_for([Condition((k - 9) * (m - 20), ">=", 40)], ranges)
    for a in range(1, 31):
        for b in range(1, 31):
            assert ((a - 9) * (b - 20) >= 40) == ({"k": a, "m": b} in solution)


@pytest.mark.parametrize(
    ("text", "in_bytes", "expected"),
    [
        ("5M", False, (None, 5_000_000)),
        ("1.5K", False, (None, 1500)),
        ("4M..5M", False, (4_000_000, 5_000_000)),
        ("2*10**6", False, (None, 2_000_000)),
        ("0", False, (None, 0)),
        ("60MB", True, (None, 60_000_000)),
        ("1.5KiB", True, (None, 1536)),
        ("64 kB", True, (None, 64_000)),
        ("12B", True, (None, 12)),
        ("8GB..16GiB", True, (8 * 10**9, 16 * 2**30)),
        ("4M..", False, (4_000_000, None)),
        ("..1.5KB", True, (None, 1500)),
        (16 * 10**9, True, (None, 16 * 10**9)),
        (np.int64(5), False, (None, 5)),
        ((4_000_000, "5M"), False, (4_000_000, 5_000_000)),
        ((None, "8GB"), True, (None, 8 * 10**9)),
        (["8GB", None], True, (8 * 10**9, None)),
    ],
)
def test_budgets_are_read(text: Any, in_bytes: bool, expected: tuple[int | None, int | None]) -> None:
    """Counts are numbers of the spec language, bytes have a unit; both may be bands, and pairs from Python."""
    assert expected == budget("amount", text, in_bytes)


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
@pytest.mark.parametrize(("limit", "value"), [("3", 3), (" 3.5", 3.5), ("7/2", 3.5), ("1", 1)])
def test_budgets_are_comparisons_as_in_claims(sign: str, limit: str, value: float) -> None:
    """What is within them is what Python's operator says."""
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[sign]
    least, most = budget("params", f"{sign}{limit}")
    assert [compare(n, value) for n in range(9)] == [
        (least or 0) <= n <= (8 if most is None else most) for n in range(9)
    ]


def test_comparisons_have_units() -> None:
    """Bytes need theirs, and a comparison that nothing or everything meets is a mistake."""
    assert (None, 2**30 - 1) == budget("peak_bytes", "< 1GiB", in_bytes=True)
    for text, in_bytes in (("<5MB", False), ("<5", True), ("<0", False), ("<", False), ("=5M", False), ("~5M", False)):
        with pytest.raises(UsageError, match="hint: "):
            budget("amount", text, in_bytes)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[1]", "__import__('os')", "..", "1/0", "true", "5MB", "64KiB", "-5M", "5M..4M", "-1..4", "1..2..3",
     5e6, True, None, {}, (1, 2, 3), (None, None), (5, 4), (1.0, 2), -5, dim("k"), b"5M"],
)  # fmt: skip
def test_bad_counts_are_refused(text: Any) -> None:
    """Nothing else is read, let alone run; bytes aren't a count, and a budget that nothing meets is a mistake."""
    with pytest.raises(UsageError) as caught:
        budget("params", text)
    assert "5M, or 4M..5M" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "16", "16G", "1.5K", "8..16GB", "2*8GB", "16GB..8GB", "-1GB", "16 gigabytes", "5iB"]
)
def test_bytes_need_a_unit(text: str) -> None:
    """A bare number of bytes is refused with an example, not taken for single bytes."""
    with pytest.raises(UsageError) as caught:
        budget("peak_bytes", text, in_bytes=True)
    assert "GB" in str(caught.value)


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
    yield "solve vgg16 --macs 5G --set Q=3 --symbolic N", 2, "has no axis and no hparam 'Q'"
    yield "solve vgg16 --output 7x7 --layer fc6", 2, "--output C"
    yield "solve vgg16 --output H=7,H=8", 2, "gives an axis twice"
    yield "solve vgg16 --output 0x7", 2, "'0' is not a size"
    yield "solve vgg16 --macs 5G --input 3xSxS --set S=64..256", 0, "S: 64..127"
    yield "solve vgg16 --params 5M --layer conv5", 2, "a layer goes with an output"
    yield "solve unet --output 389x388", 1, "none: no sizes do that"
    yield "solve resnet50 --macs 2M --symbolic H,W", 1, "none: no sizes do that"
    yield "solve vgg16 --params 1M --symbolic N", 1, "params = 138,357,544, whatever N may be\nnone"
    yield "solve vgg16 --params 200M --symbolic N", 0, "params = 138,357,544, whatever N may be\nN: 1 and more"
    yield "solve vgg16 --saved-bytes 1GB --symbolic N --batch 2", 2, "the batch is given twice"
    yield "solve vgg16 --macs 124G --batch 8 --symbolic H", 0, "largest H 225"
    yield "solve vgg16 --macs 124G --set N=8 --symbolic H", 0, "largest H 225"
    yield "solve vgg16 --macs 124G --set N=1..64", 0, "N: 1..8"
    yield "solve resnet:cifar --params 1M --set n=sym", 0, "n: 1..10\n"
    yield "solve resnet:cifar --peak-bytes 250KB --set n=sym", 0, "n: 1\n"
    yield "solve resnet:cifar --field conv4=100.. --set n=sym", 0, "n: 4 and more\n"
    yield "solve resnet:cifar --params 1M --set n=8..30", 0, "n: 8..10\n"
    yield "solve resnet:cifar --params 100K --set n=2..30", 1, "none"
    yield "solve resnet:cifar --params 1M --set n=0..30", 2, "can't solve for n"
    yield "solve resnet50 --memory 16GB --symbolic N", 2, "which memory?"
    yield "solve resnet50 --saved-bytes 16 --symbolic N", 2, "has no unit of bytes"
    yield "solve resnet50 --params 5MB --symbolic H", 2, "params is a count, '5MB' is in bytes"


@pytest.mark.parametrize(("command", "code", "expected"), list(cases()))
def test_commands(command: str, code: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints ranges and the largest values, or what is wrong with the question."""
    found, text = printed(capsys, *command.split())
    assert (code, True) == (found, expected in text), text


@pytest.mark.parametrize("command", ["solve", "table"])
def test_several_batches_are_tried_by_set(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where `--batch` is one number, a range has a hint that works."""
    assert 2 == run([command, "lenet5", "--batch", "1..64"])
    assert "hint: several are tried by archcalc solve or sweep: --set N=1..64" in capsys.readouterr().err
    assert 0 == run(["solve", "lenet5", "--set", "N=1..64", "--peak-bytes", "1MB"])
    assert 0 == run(["sweep", "lenet5", "--set", "N=1..64"])


def test_bands_with_two_unknowns() -> None:
    """A lower bound holds for both unknowns together, not for each with the other at its least."""
    found = opened(load("resnet50"), ["N", "H"])
    saved = analyze(found.graph, found.batch).total("saved_bytes")
    band = [Condition(saved, "<=", 16 * 10**9), Condition(saved, ">=", 8 * 10**9)]
    solution = solved_for([*found.graph.conditions, *band], {})
    assert {"N": 186, "H": 224} in solution
    function = Program([saved], [dim("N"), dim("H")]).python()
    for batch in (1, 2, 35, 93, 186, 187, 372, 5026, 5027):
        for height in (1, 2, 31, 32, 112, 223, 224, 225, 448, 41_718, 41_719):
            expected = 8 * 10**9 <= function(batch, height)[0] <= 16 * 10**9
            assert expected == ({"N": batch, "H": height} in solution)


def test_three_unknowns() -> None:
    """Three coupled unknowns are listed; brute force over a box finds the same."""
    found = opened(load("alphago_policy"), ["H", "N", "k"])
    macs = analyze(found.graph, found.batch).total("macs")
    conditions = [*found.graph.conditions, Condition(macs, "<=", 2 * 10**6), Condition(macs, ">=", 10**6)]
    solution = solved_for(conditions, {})
    function = Program([macs], [dim("H"), dim("N"), dim("k")]).python()
    for numbers in itertools.product(range(1, 24), range(1, 24, 2), range(1, 24, 3)):
        expected = 10**6 <= function(*numbers)[0] <= 2 * 10**6
        assert expected == (dict(zip("HNk", numbers, strict=True)) in solution)


@pytest.mark.parametrize("names", [("H", "W"), ("H", "N", "W")])
def test_stairs_are_exact(names: tuple[str, ...]) -> None:
    """Heights up to a million aren't tried one by one; just inside and just outside every step the band is kept."""
    found = opened(load("resnet18"), list(names))
    macs = analyze(found.graph, found.batch).total("macs")
    most = 20 * 10**9 if len(names) == 2 else 2 * 10**8
    band = [Condition(macs, "<=", most), Condition(macs, ">=", most // 2)]
    solution = solved_for([*found.graph.conditions, *band], {})
    function = Program([macs], [dim(name) for name in solution.together]).python()
    for row in solution.rows[:: len(solution.rows) // 60]:
        ends = [{numbers.min or 0, numbers.max or 0} for numbers in row.sets]
        near = [{n + step for n in two for step in (-1, 0, 1) if n + step > 0} for two in ends]
        for values in itertools.product(*near):
            expected = most // 2 <= function(*values)[0] <= most
            assert expected == (dict(zip(solution.together, values, strict=True)) in solution)


@pytest.mark.parametrize(("name", "symbol"), [("unet", "H"), ("unet", "W"), ("googlenet", "W")])
def test_the_largest_of_many_amounts_has_a_budget(name: str, symbol: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A peak is the largest of many expressions. One step more for each of them, not twice as many, finds the sizes."""
    assert 0 == run(["solve", name, "--peak-bytes", "2GB", "--symbolic", symbol, "--format", "json"])
    largest = json.loads(capsys.readouterr().out)["largest"][symbol]
    for size in range(largest - 1, largest + 36, 4):
        fits = False
        with contextlib.suppress(SpecError):
            fits = analyze(load(name).build(sizes={symbol: size})).total("peak_bytes") <= 2 * 10**9
        assert size <= largest or not fits, size
    assert analyze(load(name).build(sizes={symbol: largest})).total("peak_bytes") <= 2 * 10**9


def test_large_budgets_with_two_unknowns_are_answered() -> None:
    """Eighty thousand heights, each with its widths, are bisected at once; the ends are exact."""
    found = opened(load("unet"), ["H", "W"])
    peak = analyze(found.graph).total("peak_bytes")
    solution = solved_for([*found.graph.conditions, Condition(peak, "<=", 8 * 10**9)], {})
    function = Program([peak], [dim("H"), dim("W")]).python()
    for row in solution.rows[:: len(solution.rows) // 40]:
        height, width = (found.max or 0 for found in row.sets)
        assert function(height, width)[0] <= 8 * 10**9 < function(height, width + 1)[0]


@pytest.mark.parametrize(("stride", "expected"), [("s=1..64", "s: 5\n"), ("s=sym", "s: 5\n"), ("s=6..64", "none")])
def test_a_stride_is_found(stride: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stride can be the unknown: it stands in a divisor."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "archcalc: 1\nname: net\ninput: {C: 3, H: 32, W: 32}\nhparams: {s: 1}\nlayers: conv 8 3x3 s=s p=1\n"
    )
    assert expected in printed(capsys, "solve", str(path), "--output", "7x7", "--set", stride)[1]


def test_bounds_of_hparams_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`min` and `multiple_of` limit what solve finds and what sweep lists, however values are given."""
    path = tmp_path / "net.yaml"
    hparams = "{w: {value: 8, min: 8, multiple_of: 4}, d: 1}"
    path.write_text(
        f"archcalc: 1\nname: net\ninput: {{C: 3, H: 8, W: 8}}\nhparams: {hparams}\nlayers: (conv w 3x3 p=1)*d\n"
    )
    for given in ("w=sym", "w=1..99"):
        assert (
            "w: multiples of 4 from 8 to 32\n"
            in printed(capsys, "solve", str(path), "--params", "896", "--set", given)[1]
        )
    _, text = printed(capsys, "sweep", str(path), "--set", "w=1..17", "--set", "d=1..2", "--columns", "params")
    rows = [tuple(map(int, line.split(",")[:2])) for line in text.splitlines() if line[0].isdigit() and "," in line]
    assert [(8, 1), (8, 2), (12, 1), (12, 2), (16, 1), (16, 2)] == sorted(rows)
    assert "28 of 34 configurations can't be built" in text


@pytest.mark.parametrize("given", [("--set", "H=sym"), ("--set", "H=8..64"), ("--symbolic", "H")])
def test_hparams_come_before_axes(given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where an hparam sets axes of the same name, it is the unknown, with all that depends on it."""
    head = "input: {C: 3, H: H, W: H}\nhparams: {H: {value: 32, multiple_of: 8}}"
    path = net(tmp_path / "net.yaml", head, "conv 8 3x3 p=1")
    assert "H: multiples of 8 to 64\n" in printed(capsys, "solve", path, "--macs", "1M", *given)[1]
    code, text = printed(capsys, "sweep", path, "--set", "H=7..17", "--columns", "macs")
    assert (0, ["8,13824", "16,55296"]) == (code, text.splitlines()[1:3])


def test_fractions_have_solutions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of an unknown is a size where the unknown is even."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "archcalc: 1\nname: net\ninput: {C: 3}\nhparams: {c: 8}\nlayers: fc c/2 bias=false -> fc c/4 bias=false\n"
    )
    for params in (100, 1000):
        best = max(c for c in range(4, 200, 4) if 3 * c // 2 + c * c // 8 <= params)
        assert (
            f"c: multiples of 4 to {best}"
            in printed(capsys, "solve", str(path), "--params", str(params), "--set", "c=sym")[1]
        )


def net(path: Path, head: str, layers: str) -> str:
    """A spec's file."""
    path.write_text(f"archcalc: 1\nname: net\n{head}\nlayers: {layers}\n")
    return str(path)


def test_values_without_the_layer_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A layer that exists for some values only is looked for where it is; if it's nowhere, that's an error."""
    path = net(tmp_path / "net.yaml", "input: {C: 3, H: 32, W: 32}\nhparams: {d: 1}", "(maxpool 2)*d")
    assert (
        0,
        "net: output of 3 = 4x4\nd: 3..5\nleft out, 2 values of d: net has no layer '3'\n",
    ) == printed(capsys, "solve", path, "--output", "4x4", "--layer", "3", "--set", "d=1..5")
    code, text = printed(capsys, "solve", path, "--output", "4x4", "--layer", "9", "--set", "d=1..5")
    assert (2, True) == (code, "net has no layer '9'" in text)


def test_long_patterns_are_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Divisibility by large numbers is solved without listing the remainders."""
    path = net(tmp_path / "net.yaml", "input: {C: 3}\nhparams: {c: 8}", "fc c/9973 -> fc c/9967")
    for given in ("c=sym", "c=1..300000000"):
        code, text = printed(capsys, "solve", path, "--params", "10**9", "--set", given)
        assert (0, True) == (code, "c: multiples of 99400891 to 298202673\n" in text), text


def test_random_questions() -> None:
    """A short run of the fuzzer: random questions over small specs and the zoo, against building."""
    assert 30 == search(30, seed=1).total()


def test_where_nothing_fits_the_conditions_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second input whose size is kept may leave no other size: what the network needs is said."""
    (tmp_path / "two.yaml").write_text(
        "archcalc: 1\nname: two\ninputs: {image: {C: 3, H: 64, W: 64}, prior: {C: 1, H: 32, W: 32}}\n"
        "layers:\n  - a: conv 8 2x2 s=2\n  - b: from prior -> conv 8 1x1\n  - add: [from a, from b]\n"
    )
    assert 1 == run(["solve", str(tmp_path / "two.yaml"), "--saved-bytes", "1kB", "--symbolic", "H,W"])
    assert (
        "none: no sizes do that\nthe network needs H >= 2; W >= 2; floor(H/2) == 32; floor(W/2) == 32\n"
        in capsys.readouterr().out
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts get segments."""
    _, text = printed(capsys, "solve", "vgg16", "--output", "7x7", "--format", "json")
    segment = {"first": 224, "last": 255, "period": 1, "residues": [0]}
    assert {"H": [segment], "W": [segment]} == json.loads(text)["alone"]


@pytest.mark.parametrize(("name", "most"), [("efficientnet_b0", 60_000_000), ("deconvnet:layer4", 40_000_000)])
def test_squares_within_a_peak_of_many_extremes(name: str, most: int) -> None:
    """Where minima and maxima stand in each other, one unknown that has an end is looked at number by number."""
    architecture = load(name)
    found = solve(architecture, sizes={"H": dim("s"), "W": dim("s")}, peak_bytes=most)["s"]
    assert found.max is not None
    for size in (*range(28, 60), *range(found.max - 9, found.max + 10)):
        try:
            graph = architecture.build(sizes={"H": size, "W": size})
        except SpecError:
            assert size not in found
            continue
        assert (analyze(graph).total("peak_bytes") <= most) == (size in found), size


def test_what_takes_too_many_combinations_is_refused_with_what_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Each height has widths of its own: the refusal says how many heights there are, and what to ask instead."""
    assert 2 == main(["solve", "deconvnet:layer4", "--peak-bytes", "1GB", "--symbolic", "H,W"])
    assert (
        "error: H can be as large as 197,010, and what W may be has to be found for each H: more than 2,000 combinations\n"
        "    hint: squares alone: --square; or a number for one of both: --input H=224\n"
    ) == capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "name", "layers"),
    [
        ({"conv5.out_channels": "sym"}, "conv5_out_channels", 3), ({"conv5.out_channels": range(1, 400)}, "conv5_out_channels", 3),
        ({"conv5.kernel_size": range(1, 6)}, "conv5_kernel_size", 4), ({"conv*.k": range(1, 6)}, "conv_k", 18),
        ({"conv5/1.out_channels": "sym"}, "conv5_1_out_channels", 0), ({"size": "sym"}, "size", 0),
        ({"conv5/1.out_channels": "sym", "conv5/*.k": 1}, "conv5_1_out_channels", 0),  # what is given is no unknown
    ],
)  # fmt: skip
def test_an_unknown_of_several_layers_is_said_to_be_one(given: dict[str, Any], name: str, layers: int) -> None:
    """A scope's or a pattern's argument is one unknown for all of its layers, which the answer names."""
    found = solve("vgg16", params="120M", hparams=given)
    graph = load("vgg16").build()
    if not layers:
        assert {} == found.shared
        return
    pattern, _, word = next(iter(given)).rpartition(".")
    argument = {"k": "kernel_size"}.get(word, word)
    expected = [node.name for node in graph.nodes
                if node.name.startswith(pattern.rstrip("*")) and hasattr(node.layer, argument)]  # fmt: skip
    assert (layers, {name: sorted(expected)}) == (
        len(expected),
        {key: sorted(each) for key, each in found.shared.items()},
    )
    assert f"{name}: the same in {', '.join(found.shared[name][:4])}" in found.text()
