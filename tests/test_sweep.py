"""Sweeps: equal to building each configuration by itself, exactly, whichever way they are computed."""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from archcalc.cli.run import run
from archcalc.drawings.plot import Scatter, check_suffix
from archcalc.errors import UsageError
from archcalc.quantities import QUANTITIES, TOTALLED, names
from archcalc.questions import pareto
from archcalc.questions.choices import alternatives
from archcalc.questions.grid import Grid
from archcalc.questions.pareto import front
from archcalc.questions.selection import Condition
from archcalc.questions.sweep import sweep
from archcalc.zoo import load

COLUMNS = ("params", "macs", "activation_bytes", "saved_bytes", "peak_bytes", "least_bytes", "total_bytes", "depth")


def rows(grid: Grid, numpy: bool | None) -> list[tuple[Any, ...]]:
    """All configurations, with Python's own integers."""
    found = []
    for block in grid.blocks(numpy):
        columns = [values.tolist() if hasattr(values, "dtype") else values for values in block.values()]
        found += list(zip(*columns, strict=True))
    return found


def one_at_a_time(grid: Grid) -> list[tuple[Any, ...]]:
    """Every configuration built and analysed by itself; those that can't be are left out."""
    found = []
    for values in product(*grid.choices.values()):
        totals = grid.one(dict(zip(grid.choices, values, strict=True)))
        if totals is not None:
            numbers = [int(v) if name in grid.symbols else v for name, v in zip(grid.choices, values, strict=True)]
            found.append((*numbers, *totals.values()))
    return found


CHOICES: list[tuple[str, dict[str, Sequence[Any]], tuple[str, ...]]] = [
    ("alphago_policy", {"k": range(1, 40)}, ("k",)),
    ("alphago_policy", {"k": ["7", "192"], "H": range(1, 5), "N": ["1", "32"]}, ("k", "H", "N")),
    ("vgg16", {"H": range(28, 40), "W": ["31", "32", "100"]}, ("H", "W")),
    ("resnet:cifar", {"n": range(1, 4), "classes": ["10", "100"]}, ("n", "classes")),
    ("resnet18", {"body": ["two3x3", "bottleneck"], "H": ["32", "224"]}, ("H",)),
    ("resnet50", {"widths": ["[64,128,256,512]", "[8,8,8,8]"], "e": ["2", "4"]}, ()),
    ("gpt2", {"T": ["1", "1024", "1025"]}, ("T",)),
    ("deconvnet", {"H": range(221, 231)}, ("H",)),
    ("mobilenetv1", {"N": ["1"], "W": range(1, 5)}, ("W",)),
]


@pytest.mark.parametrize(("name", "choices", "symbols"), CHOICES)
def test_a_sweep_is_what_building_gives(name: str, choices: dict[str, Sequence[Any]], symbols: tuple[str, ...]) -> None:
    """Generated Python and NumPy give what one build after the other gives, in the same order."""
    grid = sweep(load(name), COLUMNS, hparams=choices).grid
    assert symbols == grid.symbols
    expected = one_at_a_time(grid)
    assert expected == rows(grid, numpy=False)
    assert expected == rows(grid, numpy=True)


def test_numbers_beyond_64_bits_are_exact() -> None:
    """Where 64 bits aren't enough, Python's integers take over; beyond 2^53 no digit is lost either way."""
    choices = {"k": ["1", "100000000", "94906267", "10000000000"]}
    grid = sweep(load("alphago_policy"), ("params", "macs"), hparams=choices).grid
    expected = one_at_a_time(grid)
    assert expected[-1][1] == 99 * 10**20 + 1213 * 10**10 + 361
    assert expected == rows(grid, numpy=True) == rows(grid, numpy=False)
    blocks = [
        sweep(load("alphago_policy"), ("params",), hparams={"k": [1, k]}).grid.blocks(True) for k in ("9", "9" * 12)
    ]
    assert ["int64", "object"] == [str(next(block)["params"].dtype) for block in blocks]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["n=1..2", "n=1"], ["1", "2"]),
        (["n=[2,2]"], ["2"]),
        (["n=[3, 02, 4/2,2]"], ["3", "02"]),
        (["n=2", "n=2"], ["2"]),
        (["n=1..3", "n=2..4", "n=[6/2, 7]"], ["1", "2", "3", "4", "7"]),
        (["body=[basic,bottleneck, basic]"], ["basic", "bottleneck"]),
        (["bias=[true,True,1]"], ["true", "True", "1"]),  # a word, and a number
        (["a=[0.5,1/2,0.50]"], ["0.5"]),
        (["widths=[[8,16],[16,8],[8, 16],[8]*2]"], ["[8,16]", "[16,8]", "[8]*2"]),
        (["n=[m,m,1*m]"], ["m", "1*m"]),  # what m is depends on the spec
    ],
)
def test_each_value_is_swept_once(sets: list[str], expected: list[str]) -> None:
    """However often it's given, and however it's written."""
    fixed, several = alternatives(load("resnet:cifar"), sets)
    assert ({}, [expected]) == (fixed, [list(map(str, values)) for values in several.values()])


def test_large_grids_come_in_blocks() -> None:
    """Blocks follow each other in order, and cover everything once."""
    grid = sweep(load("vgg16"), ("macs",), hparams={"H": range(32, 332), "W": range(32, 432), "N": ["1", "2"]}).grid
    found = rows(grid, numpy=None)
    assert 300 * 400 * 2 == grid.count == len(found)
    assert list(product(range(32, 332), range(32, 432), (1, 2))) == [row[:3] for row in found]
    for row in found[:: len(found) // 7]:
        assert grid.one({"H": row[0], "W": row[1], "N": row[2]}) == {"macs": row[3]}


def test_small_sweeps_do_not_import_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below some ten thousand configurations NumPy's import would cost more than it saves."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert 99 + 1213 + 361 == rows(sweep(load("alphago_policy"), hparams={"k": range(1, 100)}).grid, None)[0][1]


def test_all_totals_can_be_swept() -> None:
    """Every column has a closed form: those of all networks, and those of texts that grow."""
    always = [name for name in names(*TOTALLED) if not QUANTITIES[name].decoded]
    grid = sweep(load("alexnet"), always, hparams={"H": ["227", "256"]}).grid
    assert one_at_a_time(grid) == rows(grid, numpy=False) == rows(grid, numpy=True)
    small = {"layers": ["2"], "vocabulary": ["50"], "heads": ["2"], "groups": ["1"], "ffn": ["12"], "window": ["5"]}
    grid = sweep(load("llama"), names(*TOTALLED), hparams={**small, "length": ["3", "9"], "d": ["8", "12"]}).grid
    assert one_at_a_time(grid) == rows(grid, numpy=False) == rows(grid, numpy=True)


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize(
    "where",
    [
        "params<1M and macs<300M",
        "not params <= 2M or k == 3",
        "params/k > 9K",
        "macs < 1.5*params",
        "k % 7 == 0 and macs >= 10**8",
        "params < 99999999999999999999",
        "k < 20.5",
    ],
)
def test_conditions_keep_what_python_would_keep(where: str, numpy: bool) -> None:
    """A condition in the spec language selects the same rows, on arrays and on lists."""
    grid = sweep(load("alphago_policy"), ("params", "macs"), hparams={"k": range(1, 300)}).grid
    text = where.replace("1.5*params", "params*3/2")
    keep = Condition(text).keep
    expected = []
    for k, params, macs in rows(grid, False):
        python = text.replace("1M", "10**6").replace("2M", "2*10**6").replace("300M", "3*10**8").replace("9K", "9000")
        if eval(python, {"k": k, "params": params, "macs": macs}):
            expected.append((k, params, macs))
    found = []
    for block in grid.blocks(numpy):
        kept = keep(block)
        found += list(zip(*(v.tolist() if hasattr(v, "dtype") else v for v in kept.values()), strict=True))
    assert expected == found


@pytest.mark.parametrize(
    "where", ["params <", "nothing < 3", "__import__('os').system('true')", "params.real > 1", "k"]
)
def test_bad_conditions_are_refused(where: str) -> None:
    """Nothing is evaluated but the language's own expressions over known columns."""
    block = {"k": [1], "params": [1]}
    with pytest.raises(UsageError):  # noqa: PT012  # where it's refused depends on what is wrong
        Condition(where).check(["k", "params"])
        Condition(where).keep(block)


def test_conditions_compare_given_values_as_numbers() -> None:
    """Values of a list are texts in the spec language; fractions and negative ones are numbers too."""
    block = {"alpha": ["0.25", "0.5", "1", "-2"], "params": [1, 2, 3, 4]}
    assert {"alpha": ["0.25", "-2"], "params": [1, 4]} == Condition("alpha < 0.5").keep(block)


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize("aims", ["params,macs", "params:max,macs", "macs:max,params:max", "params,macs:max,H:max"])
def test_the_front_is_what_nothing_beats(aims: str, numpy: bool) -> None:
    """Each row of the front is beaten by none; each other one is beaten by a row of it."""
    grid = sweep(load("vgg16"), ("params", "macs"), hparams={"H": range(32, 72), "W": range(32, 72, 3)}).grid
    wanted = front(aims)
    everything = rows(grid, False)
    places = [(["H", "W", "params", "macs"].index(name), -1 if more else 1) for name, more in wanted.aims]

    def cost(row: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(sign * row[place] for place, sign in places)

    def beaten(row: tuple[Any, ...]) -> bool:
        mine = cost(row)
        return any(all(a <= b for a, b in zip(cost(o), mine, strict=True)) and cost(o) != mine for o in everything)

    expected = sorted(row for row in everything if not beaten(row))
    found = [r for block in wanted.of(grid.blocks(numpy)) for r in zip(*block.values(), strict=True)]
    assert expected == sorted(found)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("form", ["lists", "arrays", "both", "objects"])
def test_fronts_of_any_blocks_are_exact(count: int, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many aims, equal rows and blocks there are, beyond 64 bits too: as by comparing all rows."""
    numpy = pytest.importorskip("numpy")
    draw = random.Random(f"{count} {form}")
    for _ in range(25):
        for name, values in (("BLOCK", (10, 1 << 16)), ("SMALL", (0, 500)), ("COMPARED", (1, 50)), ("STRONG", (0, 3))):
            monkeypatch.setattr(pareto, name, draw.choice(values))
        most, more = draw.choice((1, 5, 30, 10**6)), 10**25 if form == "objects" else 0
        everything = [
            (*(draw.randint(0, most) + more for _ in range(count)), place) for place in range(draw.randint(1, 90))
        ]
        blocks, rest = [], everything
        while rest:
            length = draw.randint(1, 40)
            columns, rest = list(zip(*rest[:length], strict=True)), rest[length:]
            as_arrays = form != "lists" and (form != "both" or draw.random() < 0.5)
            kinds = [object if form == "objects" and place < count else "int64" for place in range(count + 1)]
            made = [numpy.array(c, k) if as_arrays else list(c) for c, k in zip(columns, kinds, strict=True)]
            blocks.append({f"c{place}": column for place, column in enumerate(made)})
        aims = front([f"c{place}" for place in range(count)])
        found = [row for block in aims.of(blocks) for row in zip(*map(list, block.values()), strict=True)]
        assert found == sorted(found, key=lambda row: row[:count])
        assert [row for row in everything if not _beaten(row, everything, count)] == sorted(found, key=lambda r: r[-1])


def _beaten(row: tuple[int, ...], rows: Sequence[tuple[int, ...]], count: int) -> bool:
    mine = row[:count]
    return any(
        other[:count] != mine and all(a <= b for a, b in zip(other[:count], mine, strict=True)) for other in rows
    )


@pytest.mark.parametrize(("rows", "count"), [(300_000, 2), (100_000, 3), (40_000, 4), (10_000, 6)])
def test_large_fronts_end(rows: int, count: int) -> None:
    """Where no row beats another, the front is everything; to find that must not take the square of the rows."""
    numpy = pytest.importorskip("numpy")
    costs = [numpy.random.default_rng(i).integers(0, 10**6, rows) for i in range(count - 1)]
    columns = {f"c{i}": cost for i, cost in enumerate([*costs, 10**9 - sum(costs)])}
    blocks = ({n: c[i : i + 65536] for n, c in columns.items()} for i in range(0, rows, 65536))
    started = time.process_time()
    assert rows == sum(len(block["c0"]) for block in front(list(columns)).of(blocks))
    assert time.process_time() - started < 30  # about 2 s; comparing all rows takes minutes


def test_plots(tmp_path: Path) -> None:
    """The plot is an SVG with a dot for each point, labelled with its numbers, or a PNG."""
    scatter = Scatter("params", "macs", 'a "title"')
    scatter.add({"params": [1_000, 20_000], "macs": [5, 7]})
    scatter.save(tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert 2 == text.count("<ellipse")
    assert "params 20,000, macs 7" in text
    scatter.save(tmp_path / "plot.png")
    assert b"\x89PNG" == (tmp_path / "plot.png").read_bytes()[:4]
    with pytest.raises(UsageError, match="can't plot"):
        check_suffix(tmp_path / "plot.gif")


def test_many_points_are_thinned() -> None:
    """Of points that fall together one is drawn."""
    scatter = Scatter("x", "y", "t")
    scatter.add({"x": list(range(300_000)), "y": [2 * x for x in range(300_000)]})
    assert len(scatter.points) < 1000


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """A command's exit code, stdout and stderr."""
    code = run(list(arguments))
    return code, *capsys.readouterr()


def test_csv_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Both have the choices, then the totals; what can't be built is counted on stderr."""
    arguments = ["sweep", "vgg16", "--set", "H=31..33", "--columns", "params,macs"]
    code, out, err = printed(capsys, *arguments)
    assert (0, "1 of 3 configurations can't be built\n  1: needs H >= 32\n") == (code, err)
    assert ["H,params,macs", "32"] == [out.splitlines()[0], out.splitlines()[1].split(",")[0]]
    _, out, _ = printed(capsys, *arguments, "--format", "json")
    assert [32, 33] == [row["H"] for row in json.loads(out)]
    _, out, _ = printed(capsys, *arguments, "--format", "json", "--where", "params<1")
    assert [] == json.loads(out)


def test_parquet_needs_its_library(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """Without pyarrow the error says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = printed(capsys, "sweep", "vgg16", "--set", "N=1..2", "-o", str(tmp_path / "a.parquet"))
    assert (2, True) == (code, "pip install pyarrow" in err)


def test_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers come back as they went."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is optional")
    path = tmp_path / "a.parquet"
    assert 0 == printed(capsys, "sweep", "alphago_policy", "--set", "k=1..3", "--columns", "params", "-o", str(path))[0]
    assert [{"k": k, "params": 99 * k * k + 1213 * k + 361} for k in (1, 2, 3)] == parquet.read_table(path).to_pylist()


def test_open_symbols_need_values(capsys: pytest.CaptureFixture[str]) -> None:
    """A size that the spec itself leaves open must be given."""
    code, _, err = printed(capsys, "sweep", "faster_rcnn", "--set", "H=600..601")
    assert (2, True) == (code, "macs depends on R" in err)
    assert 0 == printed(capsys, "sweep", "faster_rcnn", "--set", "H=600..601", "--set", "R=[100,300]")[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "Q=3..4"], "vgg16 has no axis and no hparam 'Q'"),
        (["--set", "H=9..3"], "can't read the range '9..3'"),
        (["--set", "H"], "can't read --set 'H'"),
        (["--columns", "size"], "there's no total 'size'"),
        (["--where", "foo < 1M"], "known: activation_bytes, activations, active_non_embedding_params"),
        (["--pareto", "size"], "pareto doesn't know 'size'"),
        (["--plot", "x.svg", "--axes", "H,macs"], "axes doesn't know 'H'"),
        (["--set", "H=[__import__('os')]"], "H"),
        (["--plot", "x.svg", "--axes", "params"], "a plot has two axes"),
        (
            ["--set", "lrn1=[true,false]", "--plot", "x.svg", "--axes", "lrn1,params"],
            "axes needs whole numbers: lrn1 is 'true'",
        ),
        (["--set", "lrn1=[true,false]", "--pareto", "lrn1,params"], "pareto needs whole numbers: lrn1 is 'true'"),
        (["--input", "3xSxS"], "sweep needs numbers"),
        (["--set", "params=1..2"], "has no axis and no hparam 'params'"),
        (["--set", "H=[a,b]"], "H = a is not a size"),
        (["--set", "N=0"], "N = 0 is not a size"),
        (["--set", "N=-2..1"], "N = -2..1: sizes are at least 1"),
        (["--set", "W=" + "9" * 50], "is not a size"),
        (["--set", "N=" + "9" * 4299], "a number of more than 60 digits"),
        (["--set", "N=1..2", "--columns", "memory"], "total_bytes, activation_bytes, saved_bytes or peak_bytes"),
        (["--set", "size=1..999999999", "--set", "N=1..999999999"], "configurations are too many"),
    ],
)
def test_wrong_usage(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors name what is wrong, with exit code 2."""
    code, _, err = printed(capsys, "sweep", "vgg16", *arguments)
    assert (2, True) == (code, expected in err), err


UNITS: dict[str, Callable[[dict[str, int]], bool]] = {
    "saved_bytes < 3.4MB": lambda row: row["saved_bytes"] < 3_400_000,
    "saved_bytes<3.25 MiB": lambda row: row["saved_bytes"] < 3_407_872,
    "total_bytes > 1kB and peak_bytes <= 4.7GB/1000": lambda row: row["peak_bytes"] <= 4_700_000,
    "saved_bytes >= 3397.904KB": lambda row: row["saved_bytes"] >= 3_397_904,
    "macs < 9.4M or activation_bytes == 2523784B": lambda row: row["macs"] < 9_400_000 or row["N"] == 59,
    "min(saved_bytes, 2MB) == saved_bytes": lambda row: row["saved_bytes"] <= 2_000_000,
    "saved_bytes / params > 40 and depth > 1": lambda row: row["saved_bytes"] > 2_400_000,
    "not macs > 10Mi": lambda row: row["macs"] <= 10 << 20,
}


@pytest.mark.parametrize("numpy", [False, True])
def test_conditions_have_units(numpy: bool) -> None:
    """A condition in units keeps what comparing plain integers keeps."""
    grid = sweep(load("lenet5"), COLUMNS, hparams={"N": range(1, 60)}).grid
    known, every = ["N", *COLUMNS], rows(grid, False)
    for text, keep in UNITS.items():
        kept = Condition(text).keep
        found = [
            row for block in grid.blocks(numpy) for row in zip(*(list(v) for v in kept(block).values()), strict=True)
        ]
        assert [row for row in every if keep(dict(zip(known, row, strict=True)))] == found, text
        assert 0 < len(found) < len(every), text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params < 5MB", "'5MB' is in bytes, and params is not"),
        ("macs/params < 2 KiB", "'2 KiB' is in bytes, and macs and params are not"),
        ("saved_bytes < 5M", "'5M' has no unit of bytes"),
        ("depth < 9 and total_bytes - peak_bytes > 2Ki", "'2Ki' has no unit of bytes"),
        ("1MB < 2MB", "'1MB' is in bytes, and this is not"),
        ("saved_bytes < 5QB", "can't read where 'saved_bytes < 5QB'"),
    ],
)
def test_counts_are_not_bytes(text: str, message: str) -> None:
    """A count in bytes, and bytes without their unit, are refused."""
    with pytest.raises(UsageError, match=re.escape(message)):
        Condition(text).check(["N", *COLUMNS])


def test_hidden_totals_can_be_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--where, --pareto and --axes know totals that --columns doesn't show."""
    lenet = ("sweep", "lenet5", "--set", "N=1..59", "--columns", "params")
    alone = "N,params\n" + "".join(f"{n},60000\n" for n in range(1, 60))
    assert (0, alone, "") == printed(capsys, *lenet, "--plot", str(tmp_path / "x.svg"), "--axes", "N,saved_bytes")
    assert (0, "N,params\n29,60000\n", "") == printed(capsys, *lenet, "--where", "saved_bytes == 3397904")
    assert (0, "N,params\n1,60000\n", "") == printed(capsys, *lenet, "--pareto", "saved_bytes,peak_bytes")
