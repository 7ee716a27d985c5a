"""The Python face: what comes in is exact or refused, what comes out can be pickled, compared and read."""

from __future__ import annotations

import copy
import gc
import pickle
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy

import archcalc
from archcalc import ArchcalcError, Shape, UnknownNameError, UsageError, analyze, dim, load
from archcalc.__main__ import main
from archcalc.errors import Diagnostic, Mark
from archcalc.layers.arguments import Dim  # noqa: F401  # a name for the annotation of a kind below
from archcalc.layers.base import REGISTRY, Layer, layer
from archcalc.zoo import specs_folder
from tests.helpers import graph_of, spec_of

NETS = ("resnet18", "unet", "gpt2_small", "alphago_policy")


def nouns(name: str) -> list[Any]:
    """Everything that a user can hold in the hand, of one architecture."""
    architecture = load(name)
    graph = architecture.build()
    report = analyze(graph)
    row = report.row(3)
    node = row.node
    return [architecture, architecture.spec, graph, node, node.application, node.layer, node.shape, report, row]


# --- copies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_nouns_survive_pickle_and_deepcopy(name: str) -> None:
    """A copy is equal, and computes the same."""
    for noun in nouns(name):
        assert noun == pickle.loads(pickle.dumps(noun))
        assert noun == copy.deepcopy(noun)
    report = analyze(name)
    assert report.totals == pickle.loads(pickle.dumps(report)).totals


def test_symbols_and_conditions_survive_pickle() -> None:
    """So do graphs with open sizes; the copy's symbols are ours."""
    graph = load("resnet18").build(sizes={"H": dim("H"), "W": dim("W")})
    again = pickle.loads(pickle.dumps(graph))
    assert graph == again
    assert graph.conditions == again.conditions
    assert analyze(graph).totals == analyze(again).totals


def test_diagnostics_survive_pickle() -> None:
    """What goes between processes may be an error, too."""
    for error in (UsageError("what", "hint"), archcalc.SpecError([Diagnostic("E001", "what", Mark("t.yaml", 1, 2))])):
        assert str(error) == str(pickle.loads(pickle.dumps(error)))


def test_equal_graphs_are_equal_and_others_are_not() -> None:
    """Two builds of one spec are equal; another size, kind or wiring is another graph."""
    assert graph_of("layers: conv 8 3x3") == graph_of("layers: conv 8 3x3")
    others = ("conv 8 3x3 s=2", "conv 9 3x3", "conv 8 3x3 -> relu", "tconv 8 3x3")
    assert not [other for other in others if graph_of("layers: conv 8 3x3") == graph_of(f"layers: {other}")]


# --- what comes in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [2.0, 2.5, True, "3", None, [3], np.float64(3), np.True_, sympy.Float(3), sympy.Rational(1, 2), sympy.oo],
    ids=repr,
)  # fmt: skip
def test_sizes_and_batches_are_exact_integers_or_refused(size: Any) -> None:
    """No float, truth value, text or fraction becomes a size, a batch or an hparam's integer."""
    for ask in (
        lambda: Shape(C=size),
        lambda: load("resnet18").build(sizes={"H": size}),
        lambda: analyze("lenet5", batch=size),
    ):
        with pytest.raises(UsageError, match="exact integer"):
            ask()


@pytest.mark.parametrize("symbol", [sympy.Symbol("H"), sympy.Symbol("H", integer=True), sympy.Dummy("H")], ids=repr)
def test_foreign_symbols_are_refused(symbol: Any) -> None:
    """SymPy takes a symbol with other assumptions for another one, though they print alike."""
    with pytest.raises(UsageError, match="exact integer"):
        load("resnet18").build(sizes={"H": symbol + 32})


def test_numpy_integers_do_not_wrap_around() -> None:
    """What NumPy would compute modulo 2^64 is computed exactly."""
    batch = np.int64(2**40)
    macs = analyze("vgg16").totals["macs"]
    assert macs * 2**40 == analyze("vgg16", batch).totals["macs"]
    assert type(analyze("vgg16", batch).totals["macs"]) is int
    assert load("alphago_policy").build(k=192) == load("alphago_policy").build(k=np.int32(192))
    assert Shape(C=3) == Shape(C=np.uint8(3)) == Shape(C=sympy.Integer(3))


@pytest.mark.parametrize("batch", [0, -3, np.int64(-1)])
def test_a_batch_has_an_example(batch: Any) -> None:
    """A batch below 1 would print negative multiply-adds."""
    with pytest.raises(UsageError, match="the batch must be at least 1"):
        analyze("lenet5", batch)


def test_hparams_from_python_are_exact() -> None:
    """Integers, fractions, lists and texts of the language go in; floats don't, and the hint says how."""
    spec = spec_of("archcalc: 1\nname: t\ninput: {C: 3}\nhparams: {w: [4, 5], p: 0.5}\nlayers: fc w -> dropout p\n")
    spec = spec_of(spec.source.text.replace("fc w", "fc sum(w)"))
    graph = archcalc.build(spec, hparams={"w": [np.int64(6), 7], "p": Fraction(1, 4)})
    assert {"C": 13} == dict(graph.nodes[-1].shape)
    with pytest.raises(UsageError, match=r"p: 0.25 is not exact\n.*p='0.25'"):
        archcalc.build(spec, hparams={"p": 0.25})
    with pytest.raises(UsageError, match="exact integer"):
        archcalc.build(spec, hparams={"w": [None]})


@pytest.mark.parametrize("name", ["sizes", "self", "variant", "spec", "hparams", "graph", "network"])
def test_any_hparam_can_be_given_from_python(name: str, tmp_path: Path) -> None:
    """None of our own parameters' names stands in the way."""
    file = tmp_path / "t.yaml"
    file.write_text(f"archcalc: 1\nname: t\ninput: {{C: 3}}\nhparams: {{{name}: 4}}\nlayers: fc {name}\n")
    architecture = load(file)
    graphs = [architecture.build(hparams={name: 8}), archcalc.build(architecture.spec, hparams={name: 8})]
    if name not in ("sizes", "hparams"):
        graphs.append(architecture.build(**{name: 8}))  # type: ignore[arg-type]  # a name might be that of sizes
    assert [{"C": 8}] * len(graphs) == [dict(graph.nodes[-1].shape) for graph in graphs]


def test_hparams_are_given_once() -> None:
    """In a mapping or by their names; sizes that are no sizes by axis are refused with an example."""
    alexnet = load("alexnet")
    assert alexnet.build(hparams={"size": 199}) == alexnet.build(size=199)
    assert alexnet.build(hparams={"conv1": {"stride": 3}}) == alexnet.build(conv1={"stride": 3})
    with pytest.raises(UsageError, match="'size' is given twice"):
        alexnet.build(hparams={"size": 199}, size=64)
    with pytest.raises(
        UsageError, match=re.escape("hparams are values by name, not 3\n    hint: hparams={'classes': 10}")
    ):
        alexnet.build(hparams=3)  # type: ignore[arg-type]
    for ask in (
        alexnet.build,
        lambda **given: archcalc.sweep(alexnet, **given),
        lambda **given: archcalc.solve(alexnet, **given),
    ):
        with pytest.raises(UsageError, match=re.escape("are called hparams, not sets\n    hint: hparams={'size': 64}")):
            ask(sets={"size": 64})
        with pytest.raises(UsageError, match=re.escape("are called sizes, not input\n    hint: sizes={'H': 64}")):
            ask(input={"H": 64})
    with pytest.raises(UsageError, match=re.escape("build(sizes={'H': 256})")):
        alexnet.build(sizes=3)  # type: ignore[arg-type]


def test_paths_and_names_are_taken_alike() -> None:
    """`load` and `analyze` take a name, a text or a Path, and refuse the rest."""
    path = specs_folder() / "vgg.yaml"
    assert load(str(path)) == load(path)
    assert load(f"{path}:E") == load(Path(f"{path}:E"))
    assert analyze("vgg16") == analyze(load("vgg16")) == analyze(load("vgg16").build())
    for wrong in (3, None, b"vgg16", ["vgg16"]):
        with pytest.raises(UsageError, match=r"name or path|about a Graph"):
            load(wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"name or path|about a Graph"):
            analyze(wrong)  # type: ignore[arg-type]


def test_values_are_given_to_an_analysis() -> None:
    """It's the analysis of what `build` makes of them; a graph and a report have theirs."""
    values: dict[str, Any] = {"hparams": {"size": 64, "conv1/1.stride": 2}, "sizes": {"W": 96}}
    graph = load("vgg16").build(hparams=values["hparams"], sizes={"W": 96})
    assert analyze(graph, 3, "float16") == analyze("vgg16", 3, "float16", **values)
    left_open = analyze("vgg16", symbolic="H,N")
    assert analyze(load("vgg16").build(sizes={"H": dim("H")}), dim("N")).totals == left_open.totals
    report = analyze(graph, 3)
    assert report is analyze(report)
    assert report is analyze(report, 3)
    for ask in (
        lambda: analyze(report, 4),
        lambda: analyze(report, dtype="float16"),
        lambda: analyze(report, hparams={"size": 64}),
        lambda: analyze(graph, sizes={"H": 64}),
        lambda: analyze("vgg16", 4, symbolic="N"),
        lambda: analyze("vgg16", hparams={"sise": 64}),
    ):
        with pytest.raises(UsageError):
            ask()


# --- what is asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda report: report["convv5"],
        lambda report: report.total("params", "convv5"),
        lambda report: report.total("peak_bytes", "convv5"),
        lambda report: report.total("saved_bytes", "convv5"),
        lambda report: report.graph["convv5"],
        lambda report: list(report.graph.within("convv5")),
    ],
)
def test_unknown_layers_are_errors(ask: Callable[[Any], Any]) -> None:
    """A name that isn't there has no total of 0; the message suggests one that is."""
    with pytest.raises(UnknownNameError, match=r"vgg16 has no layer 'convv5'\n.*did you mean 'conv5'"):
        ask(analyze("vgg16"))


def test_unknown_columns_are_errors() -> None:
    """So are columns, whether in a row or in a total; both are KeyErrors, too."""
    report = analyze("vgg16")
    for ask in (lambda: report.total("parms"), lambda: report["conv5"]["parms"]):
        with pytest.raises(KeyError, match="no quantity is called 'parms'"):
            ask()
        with pytest.raises(ArchcalcError):
            ask()


def test_a_row_is_a_mapping() -> None:
    """So `dict(row)`, and any library that makes tables of mappings, has its values."""
    row = analyze("vgg16")["conv1/1/conv"]
    assert {"name": "conv1/1/conv", "kind": "conv", "params": 1792, "macs": 86704128}.items() <= {
        key: value for key, value in row.items() if key != "output_shape"
    }.items()
    assert len(row) == len(dict(row))


# --- what it looks like -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_reprs_are_short(name: str) -> None:
    """Only a report prints as a table."""
    for noun in nouns(name):
        if not isinstance(noun, archcalc.Report):
            assert len(repr(noun)) < 200
            assert " at 0x" not in repr(noun)


def test_dir_lists_the_public_names() -> None:
    """Completion in a REPL offers what is exported, and nothing else."""
    assert sorted(archcalc.__all__) == dir(archcalc)
    assert [] == [name for name in archcalc.__all__ if not hasattr(archcalc, name)]


def test_the_package_says_that_it_is_typed() -> None:
    """Without the marker, type checkers ignore all annotations."""
    assert Path(archcalc.__file__).with_name("py.typed").is_file()


def test_the_garbage_collector_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library must not freeze or stop what belongs to its caller."""
    for switch in ("disable", "freeze"):
        monkeypatch.setattr(gc, switch, lambda: pytest.fail("the collector is touched"))
    assert 0 == main(["table", "lenet5", "--format", "csv"])


def test_an_annotation_without_a_type_is_explained() -> None:
    """A module that forgets `from __future__ import annotations` is told so, and registers nothing."""
    with pytest.raises(TypeError, match=r"the annotation of 'n' names no type of arguments.*from __future__"):

        @layer("wrong_kind")
        class Wrong(Layer):
            """A kind whose annotation was evaluated."""

            __annotations__ = {"n": int}

    assert "wrong_kind" not in REGISTRY


def test_symbols_have_the_names_of_variables() -> None:
    """A symbol that isn't an identifier could not be written anywhere."""
    for wrong in ("a b", "", "2k", 3, None):
        with pytest.raises(UsageError, match="identifier"):
            dim(wrong)  # type: ignore[arg-type]


def test_a_scope_has_what_its_layers_have_together() -> None:
    """`report["conv5"]` is about the scope: sums of its layers, the largest of what counts so, its output's volume."""
    report = archcalc.analyze("vgg16")
    row = report["conv5"]
    assert ("conv5", "scope", Shape(C=512, H=7, W=7)) == (row["name"], row["kind"], row["output_shape"])
    for name in ("params", "macs", "activations", "saved_bytes", "total_bytes", "peak_bytes", "least_bytes"):
        assert report.total(name, "conv5") == row[name], name
    assert 3 * (512 * 512 * 9 + 512) == row["params"]
    assert {"H": 212, "W": 212} == row["receptive_field"]
    assert "Row('conv5': 7 layers -> 512x7x7)" == repr(row)
    assert report.total("params", "fc8") == report["fc8"]["params"] == 4_097_000


def test_rows_are_a_sequence() -> None:
    """They can be counted, indexed, sliced and walked over more than once; so can the report."""
    report = archcalc.analyze("vgg16")
    rows = report.rows
    assert len(rows) == len(report) == len(list(rows)) == len(list(rows)) == len(list(report)) == len(report.graph)
    assert ["input", "conv1/1/conv"] == [row["name"] for row in rows[:2]]
    with pytest.raises(IndexError):
        rows[len(rows)]
