"""Folded tables: every row times how often it is there is the unfolded table, and the amounts add up to the totals."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import pytest
import sympy
from rich.console import Console

import archcalc
from archcalc import Graph, Report, analyze, dim, load
from archcalc.__main__ import main
from archcalc.analyses.least import largest
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.graph import TooManyLayers
from archcalc.graph.composite import number_of_pass
from archcalc.quantities import Total, names
from archcalc.report.folding import ALL, Folded
from archcalc.report.listing import DEFAULT, Listing
from archcalc.symbolic.values import value_at
from archcalc.tables.formats import FORMATS
from archcalc.tables.terminal import show
from archcalc.zoo import Architecture
from tests.helpers import HEAD, graph_of, some_architectures, spec_of
from tests.random_loops import Loops
from tests.readers import csv_rows, html_page, markdown_tables
from tests.test_table import in_terminal

PLACED = ("name", "layer", "params", "saved_bytes", "peak_bytes")


END = r"-?(?:{one})(?:(?:[-+*/]|\*\*)(?:{one}))*"


def valued(text: str, numbers: Mapping[str, int]) -> Any:
    """What a formula is with numbers for its symbols, those of passes included."""
    symbols = {name.replace("'", "_"): Fraction(number) for name, number in numbers.items()}
    found = Fraction(eval(text.replace("'", "_"), {"Max": max}, symbols))
    assert found.denominator == 1
    return found.numerator


def written_out(
    parts: Sequence[str], numbers: Mapping[str, int], symbols: Sequence[str] = ()
) -> Iterator[tuple[str, Mapping[str, int]]]:
    """The names that a folded one stands for: of `conv2/1..n/add` conv2/1/add, conv2/2/add and so on.

    With each the numbers of all symbols; `symbols` are those for the numbers in names, of outer passes first.
    """
    if not parts:
        yield "", numbers
        return
    part, *rest = parts
    one = "|".join([r"\d+", r"[ip]'+", *(name for name in numbers if name.isidentifier())])
    end = f"({END.format(one=one)})"
    if not part.isdecimal() and re.fullmatch(end, part):
        found = [(str(valued(part, numbers)), numbers, symbols)]
    elif several := re.fullmatch(rf"(.*?){end}\.\.{end}(?::(-?\d+))?(.*)", part):
        before, first, last, step, after = several.groups()
        low, high, by = valued(first, numbers), valued(last, numbers), int(step or 1)
        found = [
            (f"{before}{number}{after}", {**numbers, symbols[0]: number} if symbols else numbers, symbols[1:])
            for number in range(low, high + (1 if by > 0 else -1), by)
        ]
    else:
        found = [(part, numbers, symbols)]
    for name, known, others in found:
        for inside, all_known in written_out(rest, known, others):
            yield f"{name}/{inside}".removesuffix("/"), all_known


def at(value: Any, numbers: Mapping[str, int]) -> Any:
    """A value with numbers for its symbols; of texts those of sizes."""
    if not isinstance(value, str) or not value:
        return value if isinstance(value, (str, int, float, type(None))) else value_at(value, numbers)
    sizes = re.split(r"x(?![^(]*\))", value)
    symbols = sorted(map(re.escape, numbers), key=len, reverse=True)
    known = re.compile("|".join([r"\d+", r"[-+*/() ]", *symbols, r"Max\(|,"]))
    if "".join(known.split(value.replace("x", ""))):
        return value
    return "x".join(str(valued(one, numbers)) for one in sizes)


def _written_out(value: Any) -> Any:
    """A text in which layers in place stand as often as they are there: `relu ×2` is `relu + relu`."""
    if not isinstance(value, str):
        return value
    parts = [part.partition(" ×") for part in value.split(" + ")]
    return " + ".join(" + ".join([text] * int(times or 1)) for text, _, times in parts)


def agrees(folded: Folded, plain: Listing, numbers: Mapping[str, int]) -> None:
    """Name by name, a folded table says what an unfolded one does; and what is together, is."""
    keys = folded.table().fields
    each = [place for place, key in enumerate(keys) if key != "times" and not key.endswith(ALL)]
    name, times = keys.index("name"), keys.index("times")
    found: dict[str, list[Any]] = {}
    for shown, row in zip((row for row in folded.rows if not row.inside), folded.values(), strict=True):
        symbols = [str(number_of_pass(repeat)) for repeat, *_ in reversed(shown.span.passes)]
        those = list(written_out(row[name].split("/"), numbers, symbols))
        assert len(those) == at(row[times], numbers), row
        for one, known in those:
            assert one not in found
            found[one] = [at(row[place], known) for place in each if place != name]
        for place, key in enumerate(keys):
            if key.endswith(ALL):
                assert at(row[place], numbers) == sum(at(row[place - 1], known) for _, known in those)
    listed = {row[0]: [at(value, numbers) for value in row[1:]] for row in plain.values()}
    assert listed == {one: [_written_out(value) for value in values] for one, values in found.items()}


def adds_up(folded: Folded, numbers: Mapping[str, int]) -> None:
    """Amounts of rows and of heads that stand at the margin are the totals."""
    totals = folded.listing.report.totals
    for column in folded.listing.columns:
        shown = [folded.together(row, column) for row in folded.rows if not row.label.startswith(" ")] if column in names(Total.SUM, Total.LARGEST) else []  # fmt: skip
        if column in names(Total.SUM):
            assert at(totals[column], numbers) == sum(at(value, numbers) for value in shown)
        elif shown:
            assert at(totals[column], numbers) == at(largest(shown), numbers)


@pytest.mark.parametrize("architecture", some_architectures(), ids=lambda architecture: architecture.name)
def test_networks_of_the_zoo(architecture: Architecture) -> None:
    """By volume, by layer and by scope, with amounts that depend on the place, too."""
    report = Report(architecture.build())
    for columns, every, depth in ((DEFAULT, False, 0), (PLACED, False, 0), (PLACED, True, 0), (DEFAULT, False, 2)):
        listing = Listing(report, columns, every, depth)
        for everything in (True, False):
            folded = Folded(listing, everything)
            agrees(folded, listing, {"R": 300})
            adds_up(folded, {"R": 300})


def test_random_specs() -> None:
    """Loops in loops, with skips out of passes, layers in place on other passes' volumes, several outputs."""
    folds = 0
    for seed in range(150):
        try:
            graph = build(spec_of(Loops(seed).text()))
        except SpecError:
            continue
        for columns, every, depth in ((DEFAULT, False, 0), (PLACED, False, 0), (DEFAULT, True, 0), (DEFAULT, False, 2)):
            folded = Folded(Listing(Report(graph), ("name", "kind", *columns[2:]), every, depth))
            agrees(folded, folded.listing, {})
            adds_up(folded, {})
            folds += any(row.inside for row in folded.rows)
    assert folds > 100


# --- symbols ------------------------------------------------------------------------------------------------------

SEEN = ("name", "output_shape", "receptive_field", "effective_stride", "effective_padding")
CHANGING = ("name", "output_shape", "params", "macs", "receptive_field", "saved_bytes")
FAMILIES = [("resnet:cifar", "n"), ("resnet:cifar_plain", "n"), ("gpt2_small", "layers"), ("vit_b_16", "layers")]


@pytest.mark.parametrize(("name", "symbol"), FAMILIES)
def test_tables_of_a_symbolic_number_of_layers(name: str, symbol: str) -> None:
    """With a number for the symbol, each row is those of the network that has so many."""
    report = Report(load(name).build(**{symbol: dim(symbol)}))
    for columns in (DEFAULT, ("name", "params", "saved_bytes"), SEEN):
        folded = Folded(Listing(report, columns))
        for number in (2, 3, 4, 9):
            there = Listing(analyze(name, hparams={symbol: number}), columns)
            agrees(folded, there, {symbol: number})
            adds_up(folded, {symbol: number})


@pytest.mark.parametrize(
    ("layers", "columns"),
    [
        ("(conv x.C+4 3x3 p=1 -> relu)*n", CHANGING),
        ("{for: {i: 1..n}, do: [conv 2**i 3x3 p=i d=i, bn]}", CHANGING),
        ("[conv 4 1x1, {for: {i: 3..n+2}, do: [conv 4 2*i-1 p=i-1, relu]}]", CHANGING),
        ("{for: {i: 1..n}, do: (bn -> conv x.C+i 3x3 p=1)*i}", CHANGING[:-1]),
        ("{for: {i: 1..n}, do: {for: {j: 1..i+1}, do: conv i+j 1x1}}", CHANGING),
        ("((conv x.C 3x3 p=1)*n -> conv 2*x.C 5x5 p=2)*n", CHANGING),
    ],
)
def test_tables_of_passes_that_change(layers: str, columns: tuple[str, ...]) -> None:
    """A row of so many passes has formulas in the numbers that stand in their names."""
    spec = spec_of(f"{HEAD}hparams: {{n: 3}}\nlayers: {layers}\n")
    folded = Folded(Listing(Report(build(spec, hparams={"n": dim("n")})), columns))
    for number in range(1, 7):
        agrees(folded, Listing(Report(build(spec, hparams={"n": number})), columns), {"n": number})
        adds_up(folded, {"n": number})


def test_random_specs_with_symbols() -> None:
    """The rows with numbers in them are those of the network that is built with these, however they are called."""
    compared = 0
    for seed in range(1_000_000, 1_000_250):
        symbols = Random(seed).choice(["n", "m", "nm"])
        try:
            spec = spec_of(Loops(seed).text())
            graph = build(spec, hparams={name: dim(name) for name in symbols})
        except SpecError:
            continue
        if graph.is_open and not graph.varies:
            compared += 1
            _compare(graph, lambda numbers, spec=spec: build(spec, hparams=numbers), symbols)
    assert compared > 10


def _compare(graph: Graph, there: Callable[[Mapping[str, int]], Graph], symbols: str) -> None:
    columns = ("kind", "output_shape", "params", "macs")
    for every in (False, True):
        folded = Folded(Listing(Report(graph), columns, every))
        for number in (5, 6):
            numbers = dict.fromkeys(symbols, number)
            found = Counter[tuple[Any, ...]]()
            for times, kind, shape, params, _, macs, _ in folded.values():
                found[kind, shape, at(params, numbers), at(macs, numbers)] += at(times, numbers)
            rows = Listing(Report(there(numbers)), columns, every).values()
            assert Counter(map(tuple, rows)) == +found
        adds_up(folded, numbers)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_a_symbolic_number_of_layers(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each layer of a pass, how many passes there are, and what each and all of them have."""
    assert 0 == main(["table", "gpt2_small", "--set", "layers=sym", "--format", form])
    text = capsys.readouterr().out
    all_of_them = "2362368*layers" if form in ("csv", "json") else "7087872*layers"
    assert all_of_them in text.replace("\\", "")
    assert re.search(r"2(\\?,)?362(\\?,)?368", text)


def test_json_of_a_symbolic_number_of_layers(capsys: pytest.CaptureFixture[str]) -> None:
    """A layer's inputs are rows of the same object."""
    assert 0 == main(["table", "resnet:cifar", "--symbolic", "n", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert sum(sympy.sympify(row["times"]) for row in found["layers"]) == 21 * sympy.Symbol("n") + 12
    known = {row["name"] for row in found["layers"]}
    assert {name for row in found["layers"] for name in row["inputs"]} <= known
    for name in ("params", "macs", "activations"):
        rows = sum(sympy.sympify(row[f"{name}_all"]) for row in found["layers"])
        assert 0 == sympy.expand(rows - sympy.sympify(found["totals"][name]))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--columns", "name,peak_bytes"], "peak_bytes of single layers has no one formula for every number of passes"),
        (["--unfold"], "no list of layers, since their number is a symbol"),
        (["--sort", "macs"], "rows that are folded stand in the order of the graph"),
    ],
)
def test_what_has_no_formula_is_refused(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason, and exit code 2."""
    assert 2 == main(["table", "resnet:cifar", "--symbolic", "n", *options])
    assert reason in capsys.readouterr().err


def test_few_passes_are_not_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a row stands for n - 2 passes, the table says from which n on there are so many."""
    assert 0 == main(["table", "resnet:cifar", "--symbolic", "n"])
    assert "rows         as they stand if n >= 2; the totals hold in any case" in capsys.readouterr().out


# --- in a terminal ------------------------------------------------------------------------------------------------


def test_a_terminal_folds_what_spares_lines() -> None:
    """ResNet-152 is a page, VGG-16 what it was; a pipe, `--all` and `--unfold` have everything."""
    page = in_terminal("table", "resnet152", columns=120)
    assert len(page.splitlines()) < 110
    assert "conv4/\x1b" in page or "2..36" in page
    assert "--unfold writes every pass" in page
    whole = in_terminal("table", "resnet152", "--unfold", columns=120)
    assert len(whole.splitlines()) > 380
    assert "2..36" not in whole + in_terminal("table", "resnet152", "--all", columns=120)
    assert in_terminal("table", "vgg16", "--unfold", columns=120) == in_terminal("table", "vgg16", columns=120)


@pytest.mark.parametrize("width", [80, 120])
def test_a_folded_table_fits_a_terminal(width: int) -> None:
    """The number of passes is never cut, and what a head is about stands out."""
    screen = io.StringIO()
    table = Folded(Listing(analyze("resnet152"), DEFAULT), every=False).table()
    show(table, Console(file=screen, width=width, color_system=None, highlight=False, markup=False, emoji=False))
    rows = screen.getvalue().splitlines()
    assert width >= max(map(len, rows))
    (head,) = (row for row in rows if row.startswith("conv4/2..36"))
    assert head.split()[1] == "35"
    assert head.split()[-3:] == ["28,098,560", "39,101,440", "7,642,808,320"]
    assert any(row.startswith("  body/conv_3 ") and " 35 " in row for row in rows)


def test_a_run_is_folded_where_that_spares_two_lines() -> None:
    """(passes - 1) times the rows of one, and a row more for all of them; asked for, every run is folded."""
    for passes, layers, folds in ((2, 3, True), (2, 2, False), (3, 1, False), (4, 1, True), (3, 2, True)):
        graph = graph_of(f"layers: ({' -> '.join(['conv 3 3x3 p=1'] * layers)})*{passes}\n")
        for every in (False, True):
            rows = Folded(Listing(Report(graph)), every).rows
            assert any(row.inside for row in rows) == (folds or every)


# --- formats ------------------------------------------------------------------------------------------------------


def test_every_format_folds_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """People's formats have a row for all passes and indented ones for each; CSV has both in one row."""

    def printed(*options: str) -> str:
        assert 0 == main(["table", "gpt2_small", *options])
        return capsys.readouterr().out

    rows = csv_rows(printed("--fold", "--format", "csv"))
    assert ["name", "times", "layer", "output_shape", "activations", "activations_all"] == rows[0][:6]
    assert ["decoder/1..12/body/ln", "12", "ln", "1024x768", "786432", "9437184"] == rows[4][:6]
    table = markdown_tables(printed("--fold", "--format", "markdown"))[0][0]
    assert ["decoder/1..12", "12", "together", ""] == table[4][:4]
    html = printed("--fold", "--format", "html")
    assert ["\u2003body/ln", "12", "ln"] == html_page(html).tables[0][5][:3]
    assert r"\quad body/ln & 12 & ln" in printed("--fold", "--format", "latex")
    assert "\n  body/ln " in printed("--fold")
    for form in FORMATS:
        assert "1..12" not in printed("--format", form)
        assert printed("--format", form) == printed("--unfold", "--format", form)


def test_networks_that_are_too_long_to_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand million blocks have a table; without folding, the error says how they would."""
    command = ["table", "resnet:cifar", "--set", "n=1000000000"]
    assert 2 == main(command)
    assert "hint: --fold" in capsys.readouterr().err
    assert 0 == main([*command, "--fold"])
    text = capsys.readouterr().out
    assert "conv4/2..1000000000" in text
    assert " 73,983,999,926,016 " in text
    report = Report(load("resnet:cifar").build(n=10**9))
    assert "conv4/2..1000000000" in repr(report)
    adds_up(Folded(Listing(report)), {})


def test_folding_in_python() -> None:
    """`fold` is a choice of the table; of a symbolic number of layers there's no other one."""
    report = archcalc.analyze("gpt2_small")
    assert "1..12" in report.to("markdown", fold=True)
    assert "1..12" not in report.to("markdown")
    frame = Report(load("gpt2").build(layers=dim("layers"))).to("csv")
    assert "decoder/1..layers/add,layers," in frame
    with pytest.raises(UsageError, match="since their number is a symbol"):
        print(Report(load("gpt2").build(layers=dim("layers"))).table(fold=False))


def test_blocks_in_blocks_are_no_repeats() -> None:
    """Two calls of a block that has two calls, twenty times: there's nothing to fold, and too much to list."""
    blocks = "".join(f"  b{n}(): b{n - 1} -> b{n - 1}\n" for n in range(1, 20))
    graph = graph_of(f"blocks:\n  b0(): conv 3 1x1 -> relu\n{blocks}layers: b19\n")
    assert 2**20 + 1 == len(graph)
    with pytest.raises(TooManyLayers):
        Folded(Listing(Report(graph))).rows  # noqa: B018


def test_layers_in_place_on_one_volume_in_many_passes() -> None:
    """They are one rider with its number, however many; with their saved bytes, each is there."""
    text = f"{HEAD}hparams: {{n: 4}}\nlayers: [{{stem: conv 3 3x3 p=1}}, {{for: {{i: 1..n}}, do: {{add: [conv 3 3x3 p=1, from stem -> relu]}}}}]\n"
    spec = spec_of(text)
    for number, times in ((10**9, "1000000000"), (dim("n"), "n")):
        report = Report(build(spec, hparams={"n": number}))
        folded = Folded(Listing(report))
        assert f"conv 3 3x3 p=1 + relu ×{times}" in [folded.cells(row)[2] for row in folded.rows]
        adds_up(folded, {"n": 7})
    there = Listing(Report(build(spec)), ("name", "layer", "saved_bytes"))
    agrees(Folded(there), there, {})
