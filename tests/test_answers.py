"""What every answer can do: each format, a file, a dict, data frames, a notebook; and that it's frozen."""

from __future__ import annotations

import copy
import csv
import io
import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import archcalc
from archcalc.drawings.drawable import Drawable
from archcalc.errors import UsageError
from archcalc.tables import Column, Table, frames
from archcalc.tables.answer import Answer
from archcalc.tables.csv import lines
from archcalc.tables.formats import FORMATS, SUFFIXES

ANSWERS: dict[str, Callable[[], Answer]] = {
    "graph": lambda: archcalc.load("lenet5").build(),
    "report": lambda: archcalc.analyze("lenet5"),
    "symbolic report": lambda: archcalc.analyze(archcalc.load("lenet5").build(), batch=archcalc.dim("N")),
    "report in int8": lambda: archcalc.analyze("lenet5", dtype="int8"),
    "comparison": lambda: archcalc.compare("vgg16", "vgg19"),
    "explanation": lambda: archcalc.explain("alexnet", "conv1"),
    "memory": lambda: archcalc.memory("alexnet", 8, fits="1GB"),
    "explanation with symbols": lambda: archcalc.explain("vgg16", "conv5/pool", symbolic="H,W"),
    "explanation of an input": lambda: archcalc.explain("vgg16", "input"),
    "receptive fields": lambda: archcalc.receptive_field("resnet50_v1"),
    "receptive fields with symbols": lambda: archcalc.receptive_field("fcn_vgg16", symbolic="H,W"),
    "receptive field of a layer": lambda: archcalc.receptive_field("unet")["up1"],
    "receptive field of a position": lambda: archcalc.receptive_field_at("vgg16", at=(3, 0)),
    "receptive field of a stack": lambda: archcalc.receptive_field_stack("3d2,3d2"),
    "effective field": lambda: archcalc.effective_receptive_field("lenet5", "C3", measure=False),
    "golden check": lambda: archcalc.golden_check("lenet5", "vgg16", golden="nowhere"),
    "architectures": lambda: archcalc.architectures("lenet"),
    "findings": lambda: archcalc.check("alexnet", "vgg16", hparams={"size": 200}),
    "verifications": lambda: archcalc.verify("lenet5", "lenet5_modern", device="meta"),
    "claims": lambda: archcalc.claims("vgg16", "alexnet_slides"),
    "comparison of three": lambda: archcalc.compare("vgg16", "vgg19", "lenet5"),
    "description": lambda: archcalc.show("unet"),
    "solution": lambda: archcalc.solve("vgg16", output=(7, 7)),
    "formulas": lambda: archcalc.formula("alphago_policy", symbolic="k,N"),
    "formulas of a layer": lambda: archcalc.formula("alexnet", "conv1"),
    "solution in rows": lambda: archcalc.solve("lenet5", symbolic="H,W", macs="3M"),
    "sweep": lambda: archcalc.sweep("alphago_policy", ["params", "conv2.rf"], k=range(4, 7), N=2),
    "sweep of words": lambda: archcalc.sweep("resnet18", body=["two3x3", "bottleneck"], H=[32, 64]).pareto("macs:max"),
}

each = pytest.mark.parametrize("name", ANSWERS)


@each
def test_every_format(name: str, tmp_path: Path) -> None:
    """A text in each format; a file has the same text by its suffix."""
    answer = ANSWERS[name]()
    for form in FORMATS:
        assert answer.to(form).strip()
    for suffix, form in SUFFIXES.items():
        answer.save(tmp_path / f"answer{suffix}")
        assert answer.to(form) == (tmp_path / f"answer{suffix}").read_text(encoding="utf-8")
    assert json.loads(answer.to("json")) == answer.to_dict()


@each
def test_it_shows_itself(name: str) -> None:
    """In a REPL and in a notebook, which prefers HTML; formulas are typeset."""
    answer = ANSWERS[name]()
    bundle = answer._repr_mimebundle_(include=None, exclude=None)
    assert repr(answer) == bundle.pop("text/plain")
    if isinstance(answer, archcalc.Formulas):
        assert {"text/latex": f"$$\n{answer.to('latex')}$$"} == bundle
    else:
        assert ["text/html"] == list(bundle)
        assert "<table>" in bundle["text/html"]


@each
def test_its_table_shows_itself(name: str) -> None:
    """What `table` gives is shown as the answer is."""
    answer = ANSWERS[name]()
    bundle = answer._shown()._repr_mimebundle_(include=None, exclude=None)
    assert repr(answer._shown()) == bundle["text/plain"]
    assert answer._repr_html_() == bundle["text/html"]


@each
def test_unknown_choices_are_errors_of_ours(name: str) -> None:
    """Wherever a table's choices can be given, one that it hasn't is named."""
    answer = ANSWERS[name]()
    for ask in (lambda: answer.to("csv", colums="params"), lambda: answer.to_pandas(colums="params")):
        with pytest.raises(UsageError, match="this table has no choice 'colums'"):
            ask()


@each
def test_it_is_a_value(name: str) -> None:
    """It can be copied and pickled, is equal to another answer to the same question, and can't be changed."""
    answer = ANSWERS[name]()
    assert ANSWERS[name]() == copy.deepcopy(answer) == pickle.loads(pickle.dumps(answer)) == answer
    with pytest.raises(FrozenInstanceError):
        setattr(answer, fields(answer)[0].name, None)  # type: ignore[arg-type]


@each
def test_data_frames_are_exact(name: str) -> None:
    """pandas, Polars and Arrow have the rows of the CSV file of the same columns, digit by digit."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    answer = ANSWERS[name]()
    found = [answer.to_pandas(), answer.to_polars(), pyarrow.table(answer)]
    header, *rows = csv.reader(io.StringIO("\n".join(lines(answer._wide()))))
    as_rows = [
        [[_text(value) for value in row] for row in found[0].itertuples(index=False)],
        [[_text(value) for value in row] for row in found[1].rows()],
        [[_text(value) for value in row.values()] for row in found[2].to_pylist()],
    ]
    assert [header] * 3 == [list(found[0].columns), found[1].columns, found[2].column_names]
    assert [rows] * 3 == as_rows
    assert isinstance(found[0], pandas.DataFrame)
    assert isinstance(found[1], polars.DataFrame)


def _text(value: Any) -> str:
    return "" if value is None or repr(value) in ("<NA>", "nan") else str(value)


COLUMNS = {
    "small": [1, -2, 3],
    "missing": [1, None, 2**53 + 1],
    "largest": [2**63 - 1, -(2**63), 0],
    "beyond": [2**63, 1, 2],
    "mixed": [1, Fraction(1, 2), None],
    "symbolic": [archcalc.dim("H") + 1, 2, 3],
    "shares": [0.5, 0.1, None],
    "yes": [True, False, None],
    "words": ["a", None, "1"],
}


def test_columns_of_a_data_frame_have_one_type() -> None:
    """Integers of 64 bits stay integers, next to missing ones too; what no data frame has exactly is a text."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = Table([Column(name) for name in COLUMNS], values=lambda: zip(*COLUMNS.values(), strict=True))
    expected = {
        **COLUMNS, "beyond": [str(2**63), "1", "2"], "mixed": ["1", "1/2", None], "symbolic": ["H + 1", "2", "3"],
    }  # fmt: skip
    assert expected == frames.frame(table) == frames.to_polars(table).to_dict(as_series=False)
    found = frames.to_pandas(table)
    assert ["int64", "Int64", "int64"] == [str(kind) for kind in found.dtypes[:3]]
    assert expected == {
        name: [None if value is pandas.NA or value != value else value for value in found[name].astype(object)]
        for name in COLUMNS
    }
    assert polars.Int64 == frames.to_polars(table)["missing"].dtype


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archcalc needs none of them; the hint says what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    report = archcalc.analyze("lenet5")
    ask = {"pandas": report.to_pandas, "polars": report.to_polars, "pyarrow": report.__arrow_c_stream__}[library]
    with pytest.raises(UsageError, match=f"{library} isn't installed\n.*pip install {library}"):
        ask()


def test_choices_have_an_effect() -> None:
    """JSON has everything, so that a choice of rows or columns would be dropped."""
    report = archcalc.analyze("lenet5")
    with pytest.raises(UsageError, match=r"JSON has everything: leave out columns, depth"):
        report.to("json", columns=["name"], depth=1)
    with pytest.raises(UsageError, match=r"no choice 'colums'\n.*did you mean 'columns'"):
        report.to("csv", colums="params")


def test_judgements_are_as_true_as_they_are_ok() -> None:
    """`if archcalc.check(…)` asks whether all is well, however many rows the answer has."""
    assert archcalc.check("lenet5")
    assert 0 == len(archcalc.check("lenet5"))
    assert archcalc.claims("lenet5")
    assert not archcalc.golden_check("lenet5", golden="nowhere")
    assert archcalc.golden_check("lenet5", golden=Path(__file__).parent.parent / "golden")
    for name in ("findings", "claims", "golden check", "verifications"):
        answer: Any = ANSWERS[name]()
        assert answer.ok is bool(answer), name


def test_parquet(tmp_path: Path) -> None:
    """Any answer can be saved so, with the columns of its data frame."""
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("report", "solution", "sweep", "claims"):
        answer = ANSWERS[name]()
        answer.save(tmp_path / "answer.parquet")
        assert frames.frame(answer._wide()) == parquet.read_table(tmp_path / "answer.parquet").to_pydict(), name


def test_runs_of_a_solution_are_its_numbers() -> None:
    """Put together, the runs of a data frame are all numbers of each combination, and no others."""
    pytest.importorskip("pandas")
    for found in (
        archcalc.solve("vgg16", output=(7, 7)),
        archcalc.solve("alphago_policy", params="5M", macs="1G", hparams={"k": range(1, 500, 7)}),
        archcalc.solve("unet", output={"H": 388}, symbolic="H"),
        archcalc.solve("lenet5", macs="1M..2M", hparams={"H": range(32, 60), "W": range(32, 60)}),
        archcalc.solve("resnet18", peak_bytes="40MB", symbolic="H,N"),
        archcalc.solve("vgg16", params=1, hparams={"size": range(32, 60)}),
    ):
        numbers: dict[tuple[int, str], set[int]] = {}
        for number, name, first, last, step in found.to_pandas().itertuples(index=False):
            numbers.setdefault((number, name), set()).update(range(first, last + 1, step))
        expected = {(n, name): set(each) for n, sets in enumerate(found, 1) for name, each in sets.items()}
        assert expected == numbers
        assert len(found) == len(found.to_dict()["rows"])
        assert [*map(set, found)] == [*map(set, found.to_dict()["rows"])]


def test_unknown_formats(tmp_path: Path) -> None:
    """A format or a suffix that isn't known is refused, with those that are; nothing is written."""
    report = archcalc.analyze("lenet5")
    with pytest.raises(UsageError, match=r"unknown format 'marckdown'\n.*markdown"):
        report.to("marckdown")
    with pytest.raises(UsageError, match=r"unknown format 'md'\n.*did you mean 'markdown'"):
        report.to("md")
    with pytest.raises(UsageError, match=r"can't tell the format from .*answer.docx'\n.*\.html"):
        report.save(tmp_path / "answer.docx")
    assert [] == list(tmp_path.iterdir())


PICTURES: dict[str, Callable[[], Drawable]] = {
    "a network": lambda: archcalc.draw("lenet5"),
    "a network by scopes": lambda: archcalc.draw("resnet50", depth=1),
    "a graph": lambda: archcalc.draw(archcalc.load("lenet5").build(), fold=False),
    "a report": lambda: archcalc.draw(archcalc.analyze("lenet5")),
    "fields": lambda: archcalc.draw(archcalc.receptive_field("vgg16"), layers=["conv3", "conv5"]),
    "a position": lambda: archcalc.draw(archcalc.receptive_field_at("vgg16", "conv5", at=(3, 4))),
    "a sweep": lambda: archcalc.draw(archcalc.sweep("lenet5", N=range(1, 9)), axes="N,saved_bytes"),
    "an effective field": lambda: archcalc.draw(archcalc.effective_receptive_field("lenet5", "C3")),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str, tmp_path: Path) -> None:
    """A notebook shows the SVG; files have the format of their suffix; the repr is short."""
    picture = PICTURES[name]()
    assert "svg" == ElementTree.fromstring(picture.svg).tag.rpartition("}")[2]
    assert {"text/plain": repr(picture), "image/svg+xml": picture.svg} == picture._repr_mimebundle_()
    assert len(repr(picture)) < 200
    for form in picture.formats:
        picture.save(tmp_path / f"picture.{form}")
        starts = {"svg": b"<", "pdf": b"%PDF", "png": b"\x89PNG", "dot": b"digraph"}
        assert (tmp_path / f"picture.{form}").read_bytes().startswith(starts[form])
    with pytest.raises(UsageError, match="can't draw 'gif'"):
        picture.save(tmp_path / "picture.gif")


def test_some_answers_have_no_picture() -> None:
    """They're named, with those that have one."""
    with pytest.raises(UsageError, match="Comparison has no picture"):
        archcalc.draw(archcalc.compare("vgg16", "vgg19"))
    with pytest.raises(UsageError, match="no architecture is called 'vgg17'"):
        archcalc.draw("vgg17")
