"""The number of layers may be a symbol: formulas of totals in it, checked against networks of every number."""

from __future__ import annotations

import json
import pickle
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

import archcalc
from archcalc import Report, analyze, dim, formula, load, solve
from archcalc.__main__ import main
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.symbolic import floor_div, maximum
from archcalc.symbolic.values import value_at
from tests.every_depth import check, depths_of
from tests.fuzz_depth import field_formulas, search
from tests.helpers import HEAD, graph_of, some_of_the_zoo, spec_of
from tests.test_hostile import MAX_SECONDS
from tests.test_work import SLACK

SUMS = ("params", "macs", "activations", "depth")
FAMILIES = [("resnet:cifar", "n"), ("resnet:cifar_plain", "n"), ("gpt2_small", "layers"), ("vit_b_16", "layers")]


@pytest.mark.parametrize(("name", "symbol"), FAMILIES)
def test_every_number_of_layers_up_to_sixty(name: str, symbol: str) -> None:
    """What the formulas say is what each network has that is built one by one."""
    graph = load(name).build(**{symbol: dim(symbol)})
    totals = Report(graph).totals
    assert () == graph.conditions
    for number in range(1, 61):
        there = analyze(name, hparams={symbol: number}).totals
        for quantity in (*SUMS, "saved_bytes") if number in (1, 2, 3, 7, 60) else SUMS:
            assert (quantity, there[quantity]) == (quantity, value_at(totals[quantity], {symbol: number}))


@pytest.mark.parametrize("name", ["resnet50", "convnext_tiny"])
def test_lists_of_depths(name: str) -> None:
    """Each stage's number of blocks is a symbol of its own."""
    found = formula(name, symbolic="depths")
    for depths in ([1, 1, 1, 1], [3, 4, 6, 3], [3, 8, 36, 3], [1, 2, 3, 50]):
        there = analyze(name, hparams={"depths": depths}).totals
        at = found.at(**{f"depths_{place}": number for place, number in enumerate(depths, 1)})
        assert {quantity: there[quantity] for quantity in at} == at


def test_a_paper_s_formula_follows_from_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    """GPT-2 has 12·layers·d² + 13·layers·d parameters beside its embeddings (Kaplan et al. 2020 give 12·layers·d²)."""
    assert 0 == main(["formula", "gpt2", "--symbolic", "layers,d"])
    assert "12d²·layers + 13d·layers + 51,283d" in capsys.readouterr().out
    assert 6 * dim("n") + 2 == Report(load("resnet:cifar").build(n=dim("n"))).totals["depth"]  # He et al. 2016, 4.2


def test_a_volume_that_no_pass_reads_is_the_end_of_a_path() -> None:
    """With n = 1 there are no passes, and the ten layers that only those read are the longest path."""
    text = (
        f"{SPEC}layers: [{{a: (conv 4 1)*10}}, {{b: from in -> conv 4 1}}, "
        "{loop: {for: {i: 1..n-1}, do: {add: [conv 4 1, from a]}}}, {tail: (conv 4 1)*5}]\noutputs: [tail, a]\n"
    )
    formula = Report(build(spec_of(text), hparams={"n": dim("n")})).totals["depth"]
    for number, expected in ((1, 10), (2, 15), (3, 16), (9, 22)):
        assert expected == Report(build(spec_of(text), hparams={"n": number})).totals["depth"]
        assert expected == value_at(formula, {"n": number})


def test_few_passes_for_large_numbers_are_looked_at() -> None:
    """Of 7 // n passes there are none from n = 8 on: a formula that only the first numbers have isn't given."""
    graph = build(spec_of(f"{SPEC}layers: [conv 4 1, '((conv 4 1)*n)*(7//n)']\n"), hparams={"n": dim("n")})
    with pytest.raises(UsageError, match=r"depth has no one formula for every number of layers: .* at n = 8"):
        Report(graph).totals["depth"]
    assert 20 * dim("n") * floor_div(7, dim("n")) + 16 == Report(graph).totals["params"]


def test_random_specs() -> None:
    """A few of those of `python -m tests.fuzz_depth`."""
    found = search(100, 1)
    assert found["open"] > 5
    assert found["compared"] > 300


# --- receptive fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", Random(4).sample(some_of_the_zoo(), 12))
def test_networks_of_the_zoo_at_some_depths(name: str) -> None:
    """Totals and fields of whatever says how many layers there are; `python -m tests.every_depth` takes all numbers."""
    for depth in depths_of(load(name)):
        assert [] == list(check(depth, (0, 1, 2, 5), Counter()))


def test_fields_of_every_number_of_layers() -> None:
    """What each stage of 6n+2 layers sees, of the input and of the stage before."""
    report, counted = Report(load("resnet:cifar").build(n=dim("n"))), Counter[str]()
    fields = field_formulas(report.graph, counted)
    for number in range(1, 61):
        assert [] == list(fields.wrong(analyze("resnet:cifar", hparams={"n": number}), {"n": number}, counted))
    assert counted["fields compared"] == 60 * len(fields.found)
    assert 28 * dim("n") - 3 == report["conv4"]["receptive_field"]["H"]
    within = archcalc.receptive_field(report, "conv4", from_="conv3")["conv4"]["H"].size
    for number in (1, 2, 9):
        there = archcalc.receptive_field("resnet:cifar", "conv4", from_="conv3", hparams={"n": number})
        assert there["conv4"]["H"].size == value_at(within, {"n": number})


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        ("(conv 3 3x3)*n", 2 * dim("n") + 1),
        ("(conv 3 3x3 p=1 -> (conv 3 5x5 p=2)*m)*n", 4 * dim("n") * dim("m") + 2 * dim("n") + 1),
        ("{for: {i: 1..n}, do: conv 3 3x3 p=2**i d=2**i}", 4 * 2 ** dim("n") - 3),
        ("{for: {i: 1..n}, do: (conv 3 3x3 p=1)*i}", dim("n") ** 2 + dim("n") + 1),
        ("{for: {i: 1..n}, do: conv 3 2*i+1 p=i}", dim("n") ** 2 + dim("n") + 1),
        ("{add: [(conv 3 3x3 p=1)*n, conv 3 11x11 p=5]}", 2 * maximum(5, dim("n")) + 1),
        ("(conv 3 3x3 p=1 -> maxpool 2 -> upsample 2)*n", 4 * dim("n")),
    ],
)
def test_laws_of_fields(layers: str, size: object) -> None:
    """As much each time, a polynomial, a power; the same as of every number."""
    symbols = "nm" if "m)" in layers else "n"
    graph, counted = open_graph(f"[{{all: {layers}}}, conv 4 1x1]", *symbols), Counter[str]()
    assert size == Report(graph)["all"]["receptive_field"]["H"]
    fields = field_formulas(graph, counted)
    for numbers in (dict.fromkeys(symbols, number) for number in range(1, 8)):
        there = Report(build(spec_of(f"{SPEC}layers: [{{all: {layers}}}, conv 4 1x1]\n"), hparams=numbers))
        assert [] == list(fields.wrong(there, numbers, counted))
    assert 7 * len(fields.found) == counted["fields compared"]


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ("(tconv 3 2x2 s=2)*n", "positions take turns in what they see: 1, 2, 4, 8, 16, 32, 64 … of them"),
        ("[(conv 3 3x3 p=1)*n, crop size=16x16, global_avgpool]", "sees of part of the input has to be followed back"),
        (
            "\n  - add:\n    - (conv 3 2x2 p=[[0,1],[0,1]])*n\n    - conv 3 8x8 p=[[0,7],[0,7]]",
            "whether paths are aligned depends on whether n - 7 is 0",
        ),
        ("[{a: (conv 3 3x3 p=1)*n}, (conv 3 3x3 p=1)*100001]", "100,001 passes of 1 layers aren't gone through"),
    ],
)
def test_fields_without_a_formula_say_why(layers: str, reason: str) -> None:
    """What isn't the same law for every number is refused; what comes before it isn't."""
    report = Report(open_graph(layers))
    with pytest.raises(UsageError) as error:
        _ = report.row(len(report.graph.tree.nodes()) - 1).fields
    assert reason in str(error.value)
    assert 1 == report["input"]["receptive_field"]["H"]


@pytest.mark.parametrize("before", ["conv 4 1x1", "conv 4 3x3 s=2", "tconv 4 3x3 s=2 p=1"])
def test_fields_of_windows_that_are_shifted_again_and_again(before: str) -> None:
    """As in Swin's stages: positions take turns, and paths meet whose fields are formulas."""
    layers = (
        f"\n  - {before}\n  - b: (both)*n\n  - conv 4 1x1\nblocks:\n"
        "  both(): [{residual: window_attention 1 4}, {residual: window_attention 1 4 shift=2}]"
    )
    fields = field_formulas(open_graph(layers), counted := Counter[str]())
    for number in range(1, 9):
        there = Report(build(spec_of(f"{SPEC}layers: {layers}\n"), hparams={"n": number}))
        assert [] == list(fields.wrong(there, {"n": number}, counted))
    assert "b" in fields.found
    assert 0 < counted["fields compared"] - counted["fields that need more passes"]


def test_few_passes_are_special_for_fields() -> None:
    """What later passes see may be no law for the first of them: then the formulas say what they need."""
    layers = (
        "\n  - a: conv 3 9x9 p=4\n  - b: (both)*n\nblocks:\n  both(): {add: [conv 3 3x3 p=1, from a -> conv 3 5x5 p=2]}"
    )
    fields = field_formulas(open_graph(layers), counted := Counter[str]())
    for number in range(1, 9):
        there = Report(build(spec_of(f"{SPEC}layers: {layers}\n"), hparams={"n": number}))
        assert [] == list(fields.wrong(there, {"n": number}, counted))
    assert 0 < counted["fields compared"] - counted["fields that need more passes"]


def test_depths_with_a_wanted_field() -> None:
    """The same as trying all."""
    tried = [
        n for n in range(1, 40) if analyze("resnet:cifar", hparams={"n": n})["conv3"]["receptive_field"]["H"] <= 99
    ]
    assert tried == list(solve("resnet:cifar", field={"conv3": (None, 99)}, symbolic="n").sizes["n"])
    found = formula("resnet:cifar", "conv3", symbolic="n")
    assert (12 * dim("n") + 1, 6 * dim("n")) == (found["receptive_field"], found["effective_padding"])


def test_the_table_of_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of all passes have formulas in the number that stands in their names."""
    assert 0 == main(["receptive-field", "resnet:cifar", "--symbolic", "n", "--format", "csv"])
    rows = {row.split(",")[0]: row.split(",")[4:7] for row in capsys.readouterr().out.splitlines()}
    assert ["4*n + 8*p' - 3", "2", "2*n + 4*p' - 2"] == rows["conv3/2..n-1/body/conv"]
    for option in (["--at", "1,1"], ["--effective"], ["-o", "f.svg"]):
        assert 2 == main(["receptive-field", "resnet:cifar", "--symbolic", "n", *option])
        assert "give the symbol a value" in capsys.readouterr().err


SPEC = HEAD + "hparams: {n: 3, m: 2}\n"


def open_graph(layers: str, *names: str) -> archcalc.Graph:
    """A graph with symbols for some of n and m."""
    return build(spec_of(f"{SPEC}layers: {layers}\n"), hparams={name: dim(name) for name in names or ("n",)})


def test_loops_in_loops_and_sums_of_symbols() -> None:
    """Passes multiply."""
    graph = open_graph("((conv 3 3x3 p=1 bias=false)*(n+m) -> relu)*m", "n", "m")
    totals = Report(graph).totals
    for numbers in ({"n": 1, "m": 1}, {"n": 4, "m": 3}, {"n": 2, "m": 60}):
        convs = numbers["m"] * (numbers["n"] + numbers["m"])
        assert [81 * convs, convs] == [value_at(totals[name], numbers) for name in ("params", "depth")]


def test_ways_of_which_one_is_longer_for_some_numbers() -> None:
    """Depth is the longer one's, whichever that is."""
    graph = open_graph("{add: [(conv 3 3x3 p=1)*n, (conv 3 3x3 p=1)*5]}")
    depth = Report(graph).totals["depth"]
    for number in range(1, 12):
        assert max(number, 5) == value_at(depth, {"n": number})


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ("(conv x.C//2+4 1x1)*n", "a pass takes 5x32x32 (C,H,W) and returns 6x32x32 (C,H,W); C is 5, 6, 7, 7, 7, 7 …"),
        ("(conv x.C*4+1 1x1)*n", "C is 13, 53, 213, 853, 3413, 13653 …, and follows no law that can be summed up"),
        ("(maxpool 2)*n", "n: a pass takes 3x16x16 (C,H,W) and returns 3x8x8 (C,H,W); H is 16, 8, 4, 2, 1 …, and"),
        ("{for: {i: 1..n}, do: relu if i == 2}", "passes differ; condition 'i == 2' depends on a symbolic value"),
        ("{for: {i: 1..n}, do: conv 3 1x1 p=i if i < n-1}", "condition 'i < n-1' depends on a symbolic value"),
        ("{for: {i: 1..n}, do: conv 2 1x1 if i < n}", "not n - 1: a pass takes 3x32x32 (C,H,W) and returns 2x32x32"),
        ("{for: {i: 1..n}, do: [conv 8 1x1, conv 8 1x1 g=i]}", "every pass i' needs 8 % (i' + 1) == 0"),
        ("{for: {i: 3..n}, do: relu}", "n - 2 may be negative"),
        ("{for: {i: n..9}, do: relu}", "a range begins with a number, not with a symbol"),
        ("{for: {i: 1..n, j: [1, 2, 3]}, do: relu}", "'for' lists differ in length: i has n, j has 3"),
        ("[(conv 3 1x1)*n, from 2]", "passes whose number is a symbol have no names"),
        ("[(conv 3 1x1)*n, (relu)*2, from 2]", "passes whose number is a symbol have no names"),
        ("[(conv 3 1x1 -> relu)*n, from conv]", "no layer named 'conv' before this point"),
        (
            "[{a: (conv 3 1x1)*n}, tconv 3 1x1 tie=@a/1]",
            "passes whose number is a symbol have no names",
        ),
        ("conv sum(1..n) 1x1", "'1..n' needs a number, not a symbol"),
    ],
)
def test_what_needs_a_number_says_why(layers: str, reason: str) -> None:
    """No formula is given where passes differ, or where one of them is meant."""
    with pytest.raises(SpecError) as error:
        open_graph(layers)
    assert reason in str(error.value)


def test_loops_within_loops_within_loops_are_soon_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Three passes of each are laid out, which multiply."""
    for depth in (8, 9, 10, 11, 14):
        path = tmp_path / "nested.yaml"
        path.write_text(f"{SPEC}layers: {'(' * depth}conv 3 1x1{')*n' * depth}\n", encoding="utf-8")
        began = time.process_time()
        code = main(["formula", str(path), "--symbolic", "n"])
        assert (code, "bug" in capsys.readouterr().err) in ((0, False), (1, False), (2, False))
        assert time.process_time() - began < MAX_SECONDS + SLACK


def test_a_length_is_no_list() -> None:
    """`len(1..n)` is n."""
    assert 32 * 32 * dim("n") == open_graph("conv len(1..n) 1x1").nodes[-1].shape["C"] * 32 * 32


def test_few_passes_may_be_special() -> None:
    """Of the first numbers a total may be another one, which the formula says; of two symbols each for itself."""
    peak = Report(load("resnet:cifar").build(n=dim("n"))).totals["peak_bytes"]
    for number in range(1, 12):
        assert analyze("resnet:cifar", hparams={"n": number}).totals["peak_bytes"] == value_at(peak, {"n": number})
    for layers in (
        "[{a: (conv 3 3x3 p=1)*n}, {b: (conv 3 3x3 p=1)*m}]\noutputs: [a, b]",
        "[{a: (conv 9 3x3 p=1)*n}, {b: (conv 9 3x3 p=1)*m}, conv 2 1x1, (conv 12 1x1)*n]\noutputs: [a, b]",
        "(conv 8 3x3 p=1 -> relu)*(n+m)",
    ):
        peak = Report(open_graph(layers, "n", "m")).totals["peak_bytes"]
        for numbers in ({"n": n, "m": m} for n in range(1, 7) for m in range(1, 7)):
            there = Report(build(spec_of(f"{SPEC}layers: {layers}\n"), hparams=numbers)).totals["peak_bytes"]
            assert (numbers, there) == (numbers, value_at(peak, numbers))


def test_exceptions_that_depend_on_more_are_refused() -> None:
    """With three symbols, or where it's more for some others, there's no formula."""
    layers = "[{a: (conv 3 3x3 p=1)*n}, {b: (conv 3 3x3 p=1)*m}, {c: (conv 3 3x3 p=1)*k}]\noutputs: [a, b, c]"
    spec = spec_of(f"{HEAD}hparams: {{n: 1, m: 1, k: 1}}\nlayers: {layers}\n")
    graph = build(spec, hparams={name: dim(name) for name in "nmk"})
    with pytest.raises(UsageError, match=r"no one formula for every number of layers: it's another one at k = 1, m = "):
        Report(graph).totals["peak_bytes"]


def test_no_passes_at_all() -> None:
    """Where a formula holds for 0 passes as well, the symbol may be 0; else it's said that it can't be."""
    for name, symbol in (("gpt2_small", "layers"), ("vit_b_16", "layers")):
        found = formula(name, symbolic=symbol)
        there = analyze(name, hparams={symbol: 0}).totals
        assert {quantity: there[quantity] for quantity in found.names} == found.at(**{symbol: 0})
    hidden = formula("pattern", symbolic="k")
    assert ["k >= 1"] == [str(condition) for condition in hidden.conditions]
    with pytest.raises(UsageError, match="k must be at least 1"):
        hidden.at(k=0)
    assert () == formula("resnet:cifar", symbolic="n").conditions  # which can't be built without


def test_layers_are_not_listed() -> None:
    """What shows layers one by one asks for a number."""
    graph = load("resnet:cifar").build(n=dim("n"))
    for question in (lambda: graph.nodes, lambda: len(graph)):
        with pytest.raises(UsageError, match="no list of layers, since their number is a symbol"):
            question()
    assert "Graph('resnet:cifar', 21*n + 12 nodes, 3x32x32 (C,H,W) -> fc/softmax)" == repr(graph)
    assert graph
    assert "97216*n - 21926" in repr(Report(graph))
    assert "depth" in Report(graph)._repr_html_()
    assert repr(graph) in graph._repr_mimebundle_()["text/plain"]
    assert "7*n layers" in repr(Report(graph)["conv2"])


def test_such_graphs_are_values() -> None:
    """They can be compared and pickled; another number of passes is another graph."""
    graph, again, more = (load("resnet:cifar").build(n=number) for number in (dim("n"), dim("n"), dim("n") + 1))
    assert graph == again == pickle.loads(pickle.dumps(graph))
    assert graph != more
    assert graph != load("resnet:cifar").build(n=3)


def test_backwards(capsys: pytest.CaptureFixture[str]) -> None:
    """How many layers a budget allows, alone and with a width: the same as trying all."""
    found = solve("resnet:cifar", macs="1G", symbolic="n").sizes["n"]
    counts = [n for n in range(1, 90) if analyze("resnet:cifar", hparams={"n": n}).totals["macs"] <= 10**9]
    assert counts == list(found)
    assert 0 == main(["solve", "gpt2", "--params", "1B", "--symbolic", "layers,d", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    most = {d: (10**9 - 51_283 * d) // (12 * d * d + 13 * d) for d in range(12, 20_000, 12)}
    found = {row["d"][0]["first"]: row["layers"][0]["last"] for row in rows if len(row["d"]) == len(row["layers"]) == 1}
    assert {d: layers for d, layers in most.items() if layers > 100} == {d: n for d, n in found.items() if n > 100}
    assert max(d for d, layers in most.items() if layers > 0) == max(row["d"][-1]["last"] for row in rows)


def test_no_path_leads_through_a_learned_volume() -> None:
    """Queries begin anew, wherever they stand: the path to the end is the image's, through the keys and values."""
    image = "image: conv 8 3x3 -> conv 8 3x3 -> conv 8 3x3 -> tokens"
    queries = "queries: param T=5 C=8"
    assert [4, 1] == [
        analyze(graph_of(f"layers: [{image}, {queries}, {last}]\n")).total("depth")
        for last in ("attention 2 kv=@image", "attention 2")
    ]
