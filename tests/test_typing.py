"""What a type checker sees: correct uses of the public names pass `mypy --strict`, and each mistake is reported."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import sympy

import archcalc
from archcalc.quantities import QUANTITIES, Largest, Sum, Total, names
from archcalc.symbolic.expression import Expression

RIGHT = """
from fractions import Fraction

import archcalc
from archcalc import Architecture, Graph, Node, Report, Shape, analyze, build, dim, load
from archcalc.symbolic import Dim

architecture: Architecture = load("vgg16")
graph: Graph = architecture.build(sizes={"H": 256, "W": dim("W")}, input_channels=3, dropout=Fraction(1, 2), widths=[64, "w"])
again: Graph = build(architecture.spec, sizes={"H": 2 * dim("H") + 1, "right": {"W": 32}})
report: Report = analyze(graph, batch=dim("N"))
node: Node = graph["conv1"]
shape: Shape = node.shape.with_(C=64)


def half(size: Dim) -> Dim:
    return (size + 1) // 2 - size % 2 + 2**3 * size * 1 - (-size)


sizes: list[Dim] = [half(size) for size in shape.values()]
params: Dim = report["conv1"]["params"]
millions: float = int(report.totals["params"]) / 1e6
bits: int = int(shape.H * shape.numel).bit_length()
everything: Dim = sum(row["macs"] for row in report.rows) + report.total("least_bytes") * params
kind: str = report["conv1"]["kind"].upper()
output: Dim = report["conv1"]["output_shape"].C
limits: list[tuple[Dim, str, Dim]] = [(each.left, each.relation, each.right) for each in graph.conditions]
saved: Dim = report.totals["saved_bytes"] or 0
fields = archcalc.receptive_field("unet", hparams={"classes": 2}, sizes={"H": 572})
widths: dict[str, Dim | None] = fields["down1"].size
steps: list[tuple[str, str]] = [(step.label, step.equation) for step in archcalc.explain(report, "conv1")]
rows: list[float] = [row.touched or 1.0 for row in fields if row.name.startswith("down") and row["H"].aligned]
seen: int = archcalc.receptive_field_at(graph, "conv5", at={"H": 3, "W": 0}).count
weights: int = archcalc.receptive_field_stack([3, (5, 1), "7s2"]).weights
effective: int = archcalc.effective_receptive_field(graph, at=(3, 4), measure=False).estimated["H"].size
wrong: list[str] = [verdict.claim.subject for verdict in archcalc.claims("vgg16", architecture) if not verdict.ok]
codes: set[str] = {found.code for found in archcalc.check(architecture, hparams={"size": 256}, symbolic="H,W")}
equal: bool = archcalc.verify(graph, report, "lenet5", batch=3, device="meta")["vgg16"].ok
against: tuple[str, ...] = archcalc.verify_against("h100.json", "vgg16").left_out
changed: list[str] = [each.recorded for each in archcalc.golden_check("vgg16", golden="golden")]
wider: Graph = build(architecture.spec, hparams={"conv1/1.out_channels": 32, "conv5/*": {"bias": False, "k": (3, 3)}})
other: Graph = architecture.build(hparams={"conv1": {"stride": 3, "bias": False}, "conv5/*.k": 1, "fcn": "true"}, size=64)
texts: list[str] = [f"{each.name}: {each.before} -> {each.after}" for each in (*wider.changes, *other.changes)]
titles: dict[str, str] = {entry.name: entry.title for entry in archcalc.architectures("resnet", specs="specs")}
hparams: list[tuple[str, str]] = [(each.value, each.limits) for each in archcalc.show("vgg16").parameters]
spec_text: str = archcalc.show("vgg16", hparams={"conv1.stride": "2", "size": 448}).text
left: bool = archcalc.golden_update(specs="specs", prune=True).ok
if isinstance(params, int):
    few: bool = params < 1_000_000
else:
    put_in: int = int(params.subs({dim("W"): 8}))
"""

ANSWERS = """
from collections.abc import Sequence
from fractions import Fraction

import archcalc
from archcalc import Answer, Drawable, Integers
from archcalc.symbolic import Dim

heights: Integers = archcalc.solve("vgg16", output=(7, 7)).sizes["H"]
assert 224 in heights and heights.min == 224
widest: Dim | None = archcalc.solve("alphago_policy", params="5M", hparams={"k": "sym"}).largest["k"]
cheap = archcalc.sweep("vgg", columns=["macs"], where="params<130M", size=range(128, 257, 32))
mixed = archcalc.sweep("vgg", hparams={"size": range(128, 257, 32), "fcn": [True, "false"], "conv1/1.bias": False, "N": "1,2"})
for row in cheap:
    assert row["size"] in range(128, 257)
combinations: int = cheap.count
front = archcalc.sweep("alphago_policy", k=[64, 128]).pareto("params,macs:max")
comparison = archcalc.compare("vgg16", "resnet152")
ratio: Sequence[Fraction | None] = comparison.ratios("params")
more: Dim | None = comparison.difference("depth")
fields = archcalc.receptive_field("unet")
size: Dim | None = fields["down1"].size["H"]
position = archcalc.receptive_field_at("lenet5", "C3", at=(3, 4))
stack = archcalc.receptive_field_stack("3x3x3")
effective = archcalc.effective_receptive_field("lenet5", "C3", measure=False)
steps = [step.names for step in archcalc.explain("alexnet", "conv1").steps]
formulas = archcalc.formula("vgg16", symbolic="H,W")
at_224: Dim = formulas.at(H=224, W=224)["macs"]
latex: str = formulas.latex()
verdicts = archcalc.claims("vgg")
right: bool = verdicts.ok and archcalc.check("vgg").ok
lines: list[str] = [entry.name for entry in archcalc.architectures("resnet")]
shown = archcalc.show("vgg16")
graph = archcalc.load("alexnet").build(hparams={"conv1.stride": 3})
report = archcalc.analyze(graph)
answers: list[Answer] = [
    comparison, fields, fields["down1"], position, stack, effective, archcalc.explain("alexnet", "conv1"), verdicts,
    archcalc.check("vgg"), archcalc.architectures("vgg"), shown, report, graph, cheap, front, formulas,
]
for answer in answers:
    text: str = answer.to("markdown") if answer is not formulas else answer.to("latex")
    data: object = answer.to_dict()
pictures: list[Drawable] = [archcalc.draw("lenet5"), archcalc.draw(fields), archcalc.draw(position), archcalc.draw(cheap, axes="size,macs")]
svg: list[str] = [picture.svg for picture in pictures]
"""
"""Every question, as a user's program asks it."""

MISTAKES = """
import archcalc
from archcalc import Shape, analyze, dim, load
from archcalc.symbolic import Dim

graph = load("vgg16").build()
report = analyze(graph)
size: Dim = graph.input.H
size + "px"
"H=" + size
size.rounded
Shape(C=3.5)
graph.input.depth
load("vgg16").build(sizes={"H": 25.6})
load("vgg16").build(width=0.25)
load("vgg16").build(hparams={"width": 0.25})
archcalc.memory(graph, batch="8")
dim(3)
range(size)
size < 224
report["conv1"]["macs"].upper()
report.totals["params"] + "M"
report["conv1"].macs
report.total(3)
graph["conv1"].shape.with_(C="64")
load(3)
archcalc.claims(graph, 3)
archcalc.check("vgg16", hparams=3)
archcalc.golden_check(golden=3)
archcalc.verify("vgg16", device=0)
archcalc.claims("vgg16").ok + "x"
"""


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is a tool of developers")
def test_a_type_checker_knows_right_from_wrong(tmp_path: Path) -> None:
    """Every line of the one file passes, and every line of the other that makes a mistake is reported."""
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "right_answers.py").write_text(ANSWERS)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-sympy.*,torch.*,numpy.*]\nfollow_imports = skip\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", "right.py", "right_answers.py", "mistakes.py"],
        cwd=tmp_path, env={"PYTHONPATH": str(Path(archcalc.__file__).parent.parent)}, capture_output=True, text=True,
    )  # fmt: skip
    found = re.findall(r"^(\w+)\.py:(\d+): error: ", ran.stdout, re.MULTILINE)
    assert [] == [line for line in ran.stdout.splitlines() if line.startswith("right")], ran.stdout
    first = MISTAKES.splitlines().index('size + "px"') + 1
    last = len(MISTAKES.splitlines())
    assert {*range(first, last + 1)} == {int(line) for file, line in found if file == "mistakes"}, ran.stdout


def test_every_question_runs(tmp_path: Path) -> None:
    """The program that asks them all runs to its end; annotations such as `Dim | None` exist at run time, too."""
    environment = {**os.environ, "PYTHONPATH": str(Path(archcalc.__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", ANSWERS], cwd=tmp_path, env=environment, check=True)


def test_expressions_have_what_type_checkers_are_told() -> None:
    """SymPy's expressions have each attribute that the type has."""
    told = [name for name in vars(Expression) if name in dir(sympy.Expr) or name[:1] != "_"]
    assert len(told) > 25
    assert [] == [name for name in told if not hasattr(sympy.Symbol("n"), name)]


def test_type_checkers_know_every_number() -> None:
    """The numbers that are written down for them are those that are declared."""
    always = [each.name for each in QUANTITIES.values() if not (each.trained or each.decoded)]
    assert [name for name in names(Total.SUM) if name in always] == [*get_args(Sum)]
    assert [*names(Total.LARGEST)] == [*get_args(Largest)]
