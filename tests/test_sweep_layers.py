"""Sweeps of what layers have: numbers of parts, and receptive fields; and what Python users get wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archcalc
from archcalc import ArchcalcError, UnknownNameError, UsageError
from archcalc.cli.run import run
from archcalc.errors import SpecError
from archcalc.quantities import QUANTITIES
from archcalc.questions.measures import measure, measures
from tests.helpers import spec_of

AXES = """archcalc: 1
name: axes
hparams: {k: 3, d: 1, s: 1, up: 2, tall: true}
input: {C: 3, H: 40, W: 40}
layers:
  - a: conv 4 k s=s d=d p=half
  - b: conv 4 (3x5 if tall else 3x3) p=same
  - c: {residual: conv 4 1x3 p=same -> conv 4 3x1 p=same}
  - up: upsample up
  - last: conv 4 3x3
  - all: global_avgpool
  - one: {for: {i: 1..k//3}, do: conv 8 1x1}
"""
WHAT = ("conv5.rf", "conv4.rf_stride", "conv4.rf_padding", "conv3.params", "conv3.saved_bytes", "conv2.depth")
CASES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("vgg16", {"H": range(30, 40), "N": [1, 3]}, WHAT),
    ("alexnet", {"conv1.stride": "1..5", "conv1.padding": [0, 2]}, ("conv5.rf", "conv2.rf_padding", "conv5.macs")),
    ("resnet:cifar", {"n": "1,2,4", "H": [32, 33]}, ("conv4.rf", "conv3.macs", "fc.params")),
    ("resnet50", {"e": [2, 4], "W": [64, 65, 224]}, ("conv5.rf", "conv5.rf_stride")),
    ("mobilenetv1", {"H": range(33, 39), "pad": ["half", "same"]}, ("ds3.rf", "ds3.rf_padding.H")),
    ("unet", {"H": range(180, 220, 8), "W": [188, 572]}, ("down4.rf.H", "up1.rf.W", "up1.rf_stride.H")),
    ("deconvnet", {"H": range(221, 231)}, ("back4.rf", "back2/unpool.rf_stride", "pixels.rf_padding")),
]  # fmt: skip


def swept(what: Any, choices: Mapping[str, Any], columns: tuple[str, ...], numpy: bool) -> list[dict[str, Any]]:
    """The rows, with Python's own numbers."""
    found = archcalc.sweep(what, columns, hparams=choices)
    rows = []
    for block in found.grid.blocks(numpy):
        listed = [values.tolist() if hasattr(values, "dtype") else values for values in block.values()]
        rows += [dict(zip(block, row, strict=True)) for row in zip(*listed, strict=True)]
    return rows


def built(what: Any, choices: Mapping[str, Any], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The same from the table of each configuration, built by itself; those without a number are left out."""
    architecture = archcalc.load(what) if isinstance(what, str) else what
    listed = archcalc.sweep(architecture, hparams=choices).grid.choices
    rows = []
    for values in product(*listed.values()):
        row = dict(zip(listed, values, strict=True))
        sizes = {name: value for name, value in row.items() if name in architecture.spec.axes}
        hparams = {name: value for name, value in row.items() if name not in sizes and name != "N"}
        try:
            report = archcalc.analyze(
                archcalc.build(architecture.spec, architecture.variant, hparams, sizes), row.get("N", 1)
            )
            rows.append(row | {column: _of_table(report, column) for column in columns})
        except (SpecError, UnknownNameError, _NoNumber):
            continue
    return rows


class _NoNumber(Exception):
    """The table has none."""


def _of_table(report: archcalc.Report, column: str) -> Any:
    """What a report says of a layer: of a field along all axes, if they agree."""
    asked = measure(column)
    if not QUANTITIES[asked.quantity].axis:
        return report.total(asked.quantity, asked.path)
    found = report[asked.path][asked.quantity]
    sizes = {found[asked.axis]} if asked.axis else {*found.values()}
    assert len(sizes) <= 1, column
    if not sizes or None in sizes:
        raise _NoNumber
    return sizes.pop()


def _sorted(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The rows without an order: what changes the structure varies slowest."""
    return sorted(tuple(row.values()) for row in rows)


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize(("name", "choices", "columns"), CASES)
def test_numbers_of_layers_are_those_of_each_table(
    name: str, choices: dict[str, Any], columns: tuple[str, ...], numpy: bool
) -> None:
    """Exactly, and under their full names."""
    names = [each.name for each in measures(columns)]
    expected = [{**{k: row[k] for k in choices}, **{n: row[c] for n, c in zip(names, columns, strict=True)}}
                for row in built(name, choices, columns)]  # fmt: skip
    assert expected
    assert _sorted(expected) == _sorted(swept(name, choices, columns, numpy))


@pytest.mark.parametrize("numpy", [False, True])
def test_fields_of_hparams(numpy: bool) -> None:
    """Kernels, strides, dilations, factors of upsampling and what changes the structure, all at once."""
    what = archcalc.Architecture(spec_of(AXES), "")
    choices = {"k": [1, 3, 5, 6], "s": [1, 2, 3], "d": [1, 2], "up": [1, 2, 3], "tall": [False]}
    columns = ("a.rf", "b.rf", "c.rf", "up.rf", "last.rf", "last.rf_stride", "last.rf_padding", "one/1.rf")
    expected = built(what, choices, columns)
    assert 0 < len(expected) < 4 * 3 * 2 * 3
    assert any(isinstance(row["last.rf_stride"], Fraction) for row in expected)
    found = swept(what, choices, columns, numpy)
    assert _sorted(expected) == _sorted(found)


def test_axes_that_differ_have_columns_of_their_own() -> None:
    """Where the first structure has them; where only a later one does, the error says how to ask for one."""
    what = archcalc.Architecture(spec_of(AXES), "")
    found = archcalc.sweep(what, ["b.rf", "a.rf"], k=[3, 5])
    assert ("b.receptive_field.H", "b.receptive_field.W", "a.receptive_field") == found.columns
    assert [(5, 7, 3), (7, 9, 5)] == [tuple(row.values())[1:] for row in found]
    later = archcalc.sweep(what, ["b.rf"], tall=[False, True])
    with pytest.raises(UsageError, match=r"is 5 along H, 7 along W\n.*b\.receptive_field\.H"):
        list(later)
    with pytest.raises(UsageError, match=r"is 5 along H, 7 along W"):
        list(found.where("b.rf > 3"))
    assert 1 == len(found.where("b.rf.W > 8"))


def test_conditions_and_fronts_about_layers() -> None:
    """They may be about numbers that aren't shown, in every spelling; `/` and `-` with spaces calculate."""
    found = archcalc.sweep("resnet:cifar", "params", n=range(1, 8))
    fields = {row["n"]: row["conv3.receptive_field"] for row in archcalc.sweep("resnet:cifar", "conv3.rf", n="1..7")}
    for text in (
        "conv3.rf >= 50",
        "conv3.receptive_field >= 50",
        "conv3.rf.H>=50",
        "conv3.rf - conv2.rf / 9 >= 47.1",
        "2*conv3.rf*conv1.rf>=2*50*conv1.rf",
    ):
        step = found.where(text)
        assert ["n", "params"] == list(step.names)
        assert [n for n, field in fields.items() if field >= 50] == [row["n"] for row in step], text
    assert [7] == [row["n"] for row in found.pareto("conv3.rf:max")]
    assert [3, 4, 5] == [row["n"] for row in found.where("conv3/3.rf > 1").pareto({"params": "min", "n": "max"})][:3]
    front = archcalc.sweep("alexnet", "macs", hparams={"conv1.stride": [1, 2, 3]}, where="conv1.stride > 1")
    assert [2, 3] == [row["conv1.stride"] for row in front]


def test_configurations_without_the_layer_are_left_out() -> None:
    """They're counted with the reason; if none has it, it's an error that suggests a name."""
    found = archcalc.sweep("resnet:cifar", "conv3/3.macs", n=[1, 2, 3, 4])
    assert ([3, 4], 2) == ([row["n"] for row in found], len(found))
    assert {"resnet has no layer 'conv3/3'": 2} == found.left_out
    with pytest.raises(UsageError, match=r"has no layer 'conv33'\n.*conv3"):
        archcalc.sweep("resnet:cifar", "conv33.macs", n=[1, 2])
    with pytest.raises(UsageError, match=r"has no receptive field"):
        archcalc.sweep("gpt2", "decoder.rf", T=[8, 16])


def test_the_command_shows_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """`--field` is a column; the batch has an option, too, but one at a time."""
    sweep = ("sweep", "vgg16", "--set", "H=31..32", "--columns", "params")
    assert 0 == run([*sweep, "--field", "conv3", "--field", "conv1"])
    out, err = capsys.readouterr()
    assert "H,params,conv3.receptive_field,conv1.receptive_field\n32,50277160,44,6\n" == out
    assert "1 of 2 configurations are left out\n  1: needs H >= 32\n" == err
    assert 0 == run([*sweep, "-q", "--batch", "1,4"])
    assert "H,N,params\n32,1,50277160\n32,4,50277160\n" == capsys.readouterr().out
    assert 2 == run([*sweep, "--batch", "4", "--set", "N=2"])
    assert "both --batch and --set say what N is" in capsys.readouterr().err


# --- Python ---------------------------------------------------------------------------------------------------------


def test_values_in_python_are_those_of_the_command() -> None:
    """Ranges, lists and texts, in their order; a list is swept however short, and axes and N are columns anyway."""

    def rows(**hparams: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values())[:-1] for row in archcalc.sweep("resnet50", "params", hparams=hparams)]

    assert [(64,), (48,), (32,)] == rows(H=range(64, 31, -16))
    assert [(32, 1), (32, 2), (48, 1), (48, 2)] == rows(H="32..48:16", N="1,2")
    assert [("bottleneck", 2), ("bottleneck_v15", 2)] == rows(body=["bottleneck", "bottleneck_v15"], N="2")
    assert [([8, 8, 8, 8],)] == rows(widths=[[8, 8, 8, 8]])
    assert [([8, 8, 8, 8],), ("[8,8,8,16]",)] == rows(widths=[[8, 8, 8, 8], "[8,8,8,16]"])
    assert [(10,), (12,)] == rows(classes=[10, "10", "5*2", 12])
    assert [(10,)] == rows(classes=[10]) == rows(classes=range(10, 11))
    assert [()] == rows(classes=10) == rows(widths=[8, 8, 8, 8]) == rows(body="bottleneck")


def test_whatever_can_be_given_can_be_swept() -> None:
    """By its name, in `hparams`, in `sizes` or as `batch`: it's the same sweep."""
    for one, other in (
        ({"size": [64, 96]}, {"hparams": {"size": [64, 96]}}),
        ({"H": [64, 96]}, {"sizes": {"H": [64, 96]}}),
        ({"W": range(64, 66)}, {"hparams": {"W": range(64, 66)}}),
        ({"N": "1,2"}, {"batch": [1, 2]}),
        ({"conv1/1": {"k": [1, 3]}}, {"hparams": {"conv1/1.k": [1, 3]}}),
    ):
        named, given = (archcalc.sweep("vgg16", "macs", **values) for values in (one, other))  # type: ignore[arg-type]
        assert named == given
        assert 2 == len(given)
    unequal = archcalc.sweep("vgg16", "macs", sizes={"H": [64, 96], "W": 64})
    assert [archcalc.analyze("vgg16", sizes={"H": size, "W": 64}).totals["macs"] for size in (64, 96)] == [
        row["macs"] for row in unequal
    ]
    arrays = archcalc.sweep("vgg16", "macs", hparams={"size": np.array([64, 96])}, batch=np.arange(1, 3))  # type: ignore[arg-type]
    assert [(size, batch) for size in (64, 96) for batch in (1, 2)] == [(row["size"], row["N"]) for row in arrays]
    field = archcalc.sweep("vgg16", "params,macs", field=["conv1", "conv2"], size=[64, 96])
    assert archcalc.sweep("vgg16", "params,macs,conv1.rf,conv2.rf", size=[64, 96]) == field


def test_arguments_of_layers_can_be_given_beside() -> None:
    """In every spelling; what is swept can't be given, too."""
    swept = archcalc.sweep("alexnet", "macs", hparams={"conv1.stride": [3], "g": [1, 2]})
    given: Any
    for given in ({"conv1.stride": 3}, {"conv1": {"stride": 3}}, {"conv1": {"k": (11, 11), "stride": (3, 3)}}):
        found = archcalc.sweep("alexnet", "macs", g=[1, 2], hparams=given)
        assert [row["macs"] for row in swept] == [row["macs"] for row in found]
    with pytest.raises(UsageError, match=r"'conv1\.stride' is given twice"):
        archcalc.sweep("alexnet", hparams={"conv1.stride": [3], "conv1": {"stride": 3}})


def test_names_that_are_parameters_stand_in_hparams(tmp_path: Path) -> None:
    """Any hparam can be swept, whatever it's called."""
    file = tmp_path / "net.yaml"
    names = ("columns", "where", "pareto", "field", "hparams", "sizes", "batch", "dtype", "network")
    hparams = ", ".join(f"{name}: 1" for name in names)
    file.write_text(f"archcalc: 1\nname: net\nhparams: {{{hparams}}}\ninput: {{C: 3}}\nlayers: fc {'+'.join(names)}\n")
    found = archcalc.sweep(file, "params", hparams={key: [1, 2] for key in names})
    assert 2 ** len(names) == len(found)
    assert [4 * 9, 4 * 10] == [row["params"] for row in archcalc.sweep(file, "params", network=[1, 2])]


def test_large_sweeps_are_not_gone_through_before_they_are_asked_for() -> None:
    """Making, narrowing and printing one costs nothing, and rows stream."""
    found = archcalc.sweep("alphago_policy", "params", k=range(1, 10**9)).where("params > 100")
    assert "Sweep of alphago_policy by k: 999,999,999 combinations; params" == repr(found)
    assert {"k": 1, "params": 99 + 1213 + 361} == next(iter(found))
    assert found


def test_left_out_is_known_after_one_pass() -> None:
    """And found without one."""
    found = archcalc.sweep("vgg16", "params", H=range(30, 34))
    assert {"needs H >= 32": 2} == found.left_out
    again = archcalc.sweep("vgg16", "params", H=range(30, 34)).where("params < 0")
    assert not list(again)
    assert {"needs H >= 32": 2} == again.left_out


def test_what_is_left_out_stands_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """In a REPL and in a notebook; formats have the rows alone, and the command says it on stderr."""
    found = archcalc.sweep("vgg16", "params", H=range(30, 34))
    told = ["2 of 4 configurations can't be built", "  2: needs H >= 32"]
    assert told == repr(found).splitlines()[-2:]
    assert "<li>2 of 4 configurations can&#x27;t be built</li>" in found._repr_html_()
    assert "built" not in found.to("plain") + found.to("html") + found.to("json")
    run(["sweep", "vgg16", "--set", "H=30..33", "--columns", "params", "--format", "plain"])
    printed = capsys.readouterr()
    assert (found.to("plain"), told) == (printed.out, printed.err.splitlines())
    assert "configurations" not in repr(archcalc.sweep("vgg16", "params", H=[32, 33]))


def test_lists_are_values_of_hparams_that_are_lists(tmp_path: Path) -> None:
    """Of those that are none by default, a list is several values."""
    file = tmp_path / "net.yaml"
    file.write_text("archcalc: 1\nname: net\ninput: {C: 3}\nhparams: {w: [4, 5], k: 1}\nlayers: fc sum(w)*k\n")
    assert [36, 72] == [row["params"] for row in archcalc.sweep(file, "params", k=[1, 2], hparams={"w": [2, 7]})]
    file.write_text(
        "archcalc: 1\nname: net\ninput: {C: 3}\nhparams: {w: none}\nlayers: fc (2 if w == none else sum(w))\n"
    )
    assert [36] == [row["params"] for row in archcalc.sweep(file, "params", hparams={"w": [[2, 7]]})]


MISUSE: dict[str, tuple[Callable[[], Any], str]] = {
    "a number": (lambda: archcalc.sweep(3, k=1), "by its name or path"),  # type: ignore[arg-type]
    "a graph": (lambda: archcalc.sweep(archcalc.load("vgg16").build()), "a graph, which is built already"),
    "a report": (lambda: archcalc.sweep(archcalc.analyze("vgg16")), "a report, which is built already"),
    "an unknown network": (lambda: archcalc.sweep("vgg61", H=[1]), "did you mean 'vgg16'?"),
    "an unknown name": (lambda: archcalc.sweep("vgg16", sise=[1]), "did you mean 'size'?"),
    "an unknown column": (lambda: archcalc.sweep("vgg16", "parms", H=[1]), "did you mean 'params'?"),
    "memory": (lambda: archcalc.sweep("vgg16", "memory", H=[1]), "saved_bytes or peak_bytes"),
    "a column of a layer": (lambda: archcalc.sweep("vgg16", "rf", H=[1]), "conv5.rf"),
    "an unknown number": (lambda: archcalc.sweep("vgg16", "conv5.parms", H=[1]), "did you mean 'params'?"),
    "axes of a sum": (lambda: archcalc.sweep("vgg16", "conv5.params.H", H=[1]), "'params' has no axes"),
    "an axis that isn't there": (lambda: archcalc.sweep("vgg16", "conv5.rf.D", H=[64]), "known: H, W"),
    "no columns": (lambda: archcalc.sweep("vgg16", 3, H=[1]), "columns are names, not 3"),  # type: ignore[arg-type]
    "columns of numbers": (lambda: archcalc.sweep("vgg16", [3], H=[1]), "not [3]"),  # type: ignore[list-item]
    "a column twice": (lambda: archcalc.sweep("vgg16", "macs,macs", H=[1]), "shown once only"),
    "two spellings": (lambda: archcalc.sweep("vgg16", "conv5.rf,conv5.receptive_field"), "shown once only"),
    "a swept column": (lambda: archcalc.sweep("vgg16", "macs", hparams={"macs": [1]}), "has no axis and no hparam"),
    "a float": (lambda: archcalc.sweep("vgg16", H=2.5), "2.5 is not exact"),
    "floats": (lambda: archcalc.sweep("mobilenetv1", alpha=[0.5, 1]), "0.5 is not exact"),
    "nothing": (lambda: archcalc.sweep("vgg16", H=None), "H"),  # type: ignore[arg-type]
    "no values": (lambda: archcalc.sweep("vgg16", H=[]), "H has no values"),
    "an empty range": (lambda: archcalc.sweep("vgg16", H=range(9, 3)), "H has no values"),
    "an empty text": (lambda: archcalc.sweep("vgg16", H=""), "H"),
    "a size below 1": (lambda: archcalc.sweep("vgg16", H=range(3)), "sizes are at least 1"),
    "downwards to 0": (lambda: archcalc.sweep("vgg16", H=range(9, -1, -1)), "sizes are at least 1"),
    "a truth value": (lambda: archcalc.sweep("vgg16", H=[True]), "H = True is not a size"),
    "a tuple": (lambda: archcalc.sweep("vgg16", size=(224, 256)), "[224, 256]"),
    "a dict": (lambda: list(archcalc.sweep("vgg16", H={"a": 1})), "vgg has no layer 'H'"),
    "a symbol": (lambda: archcalc.sweep("vgg16", H=[archcalc.dim("a")]), "a is not a number"),
    "an open size": (lambda: archcalc.sweep("vgg16", sizes={"H": archcalc.dim("a")}), "a sweep needs numbers"),
    "a size twice": (lambda: archcalc.sweep("vgg16", H=[64], sizes={"H": 32}), "'H' is given twice"),
    "an hparam twice": (lambda: archcalc.sweep("vgg16", size=[64], hparams={"size": 32}), "'size' is given twice"),
    "an open hparam": (lambda: archcalc.sweep("alphago_policy", k=archcalc.dim("k")), "a sweep needs numbers"),
    "a true batch": (lambda: archcalc.sweep("vgg16", batch=True), "N = True is not a size"),
    "the batch twice": (lambda: archcalc.sweep("vgg16", batch=3, N=[1, 2]), "'N' is given twice"),
        "no hparams": (lambda: archcalc.sweep("vgg16", hparams="size"), "hparams are values by name"),  # type: ignore[arg-type]
    "an unknown hparam": (lambda: archcalc.sweep("vgg16", hparams={"sise": 3}), "did you mean 'size'?"),
    "an unknown axis": (lambda: archcalc.sweep("vgg16", sizes={"X": 3}), "has no axis X"),
    "an unknown dtype": (lambda: archcalc.sweep("vgg16", dtype="float31", H=[64]), "did you mean 'float32'?"),
    "what int8 doesn't have": (lambda: list(archcalc.sweep("vgg16", "saved_bytes", dtype="int8", H=[64])), "no gradients"),
    "too many": (lambda: archcalc.sweep("vgg16", H=range(1, 10**9), W=range(1, 10**9)), "too many"),
    "a broken condition": (lambda: archcalc.sweep("vgg16", where="macs <", H=[64]), "can't read where"),
    "an unknown condition": (lambda: archcalc.sweep("vgg16", where="mac < 3", H=[64]), "did you mean 'macs'?"),
    "a condition on what isn't there": (lambda: archcalc.sweep("vgg16", H=[64]).where("conv5.mac < 3"), "'macs'"),
    "a number as condition": (lambda: archcalc.sweep("vgg16", H=[64]).where(3), "where is a condition, not 3"),  # type: ignore[arg-type]
    "a condition that's no truth": (lambda: list(archcalc.sweep("vgg16", H=[64]).where("macs")), "macs"),
    "an unknown aim": (lambda: archcalc.sweep("vgg16", pareto="mac", H=[64]), "did you mean 'macs'?"),
    "an aim's way": (lambda: archcalc.sweep("vgg16", H=[64]).pareto({"macs": "most"}), "can't read pareto"),
    "no aims": (lambda: archcalc.sweep("vgg16", H=[64]).pareto([]), "pareto takes columns"),
    "a number as aim": (lambda: archcalc.sweep("vgg16", H=[64]).pareto(3), "pareto takes columns"),  # type: ignore[arg-type]
    "words as aims": (lambda: list(archcalc.sweep("resnet50", body=["two3x3", "bottleneck"]).pareto("body")), "whole numbers"),
    "one axis of a plot": (lambda: archcalc.draw(archcalc.sweep("vgg16", H=[64]), axes="macs"), "two axes"),
    "an unknown axis of a plot": (lambda: archcalc.draw(archcalc.sweep("vgg16", H=[64]), axes="H,mac"), "'macs'"),
    "a list that may be several": (lambda: archcalc.sweep("resnet50", widths="8,16"), "one or several"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSE)
def test_what_is_wrong_is_an_error_of_ours(name: str) -> None:
    """With a message that says what, and mostly what was meant."""
    ask, message = MISUSE[name]
    with pytest.raises(ArchcalcError, match=re.escape(message)):
        ask()
