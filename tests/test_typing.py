"""What a type checker sees: correct uses of the public names pass `mypy --strict`, and each mistake is reported."""

from __future__ import annotations

import importlib.util
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
graph: Graph = architecture.build({"H": 256, "W": dim("W")}, input_channels=3, dropout=Fraction(1, 2), widths=[64, "w"])
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
seen: int = archcalc.receptive_field_at(graph, {"H": 3, "W": 0}, "conv5").count
weights: int = archcalc.receptive_field_stack([3, (5, 1), "7s2"]).weights
effective: int = archcalc.effective_receptive_field(graph, at=(3, 4), measure=False).estimated["H"].size
wrong: list[str] = [verdict.claim.subject for verdict in archcalc.claims("vgg16", architecture) if not verdict.ok]
codes: set[str] = {found.code for found in archcalc.check(architecture, hparams={"size": 256}, symbolic="H,W")}
equal: bool = archcalc.verify(graph, report, "lenet5", batch=3, device="meta")["vgg16"].ok
against: tuple[str, ...] = archcalc.verify_against("h100.json", "vgg16").left_out
changed: list[str] = [each.recorded for each in archcalc.golden_check("vgg16", folder="golden")]
left: bool = archcalc.golden_update(specs="specs", prune=True).ok
if isinstance(params, int):
    few: bool = params < 1_000_000
else:
    put_in: int = int(params.subs({dim("W"): 8}))
"""

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
load("vgg16").build({"H": 25.6})
load("vgg16").build(width=0.25)
analyze(graph, batch="8")
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
archcalc.golden_check(folder=3)
archcalc.verify("vgg16", device=0)
archcalc.claims("vgg16").ok + "x"
"""


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is a tool of developers")
def test_a_type_checker_knows_right_from_wrong(tmp_path: Path) -> None:
    """Every line of the one file passes, and every line of the other that makes a mistake is reported."""
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-sympy.*,torch.*,numpy.*]\nfollow_imports = skip\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", "right.py", "mistakes.py"],
        cwd=tmp_path, env={"PYTHONPATH": str(Path(archcalc.__file__).parent.parent)}, capture_output=True, text=True,
    )  # fmt: skip
    found = re.findall(r"^(\w+)\.py:(\d+): error: ", ran.stdout, re.MULTILINE)
    assert [] == [line for line in ran.stdout.splitlines() if line.startswith("right.py")], ran.stdout
    first = MISTAKES.splitlines().index('size + "px"') + 1
    last = len(MISTAKES.splitlines())
    assert {*range(first, last + 1)} == {int(line) for file, line in found if file == "mistakes"}, ran.stdout


def test_expressions_have_what_type_checkers_are_told() -> None:
    """SymPy's expressions have each attribute that the type has."""
    told = [name for name in vars(Expression) if name in dir(sympy.Expr) or name[:1] != "_"]
    assert len(told) > 25
    assert [] == [name for name in told if not hasattr(sympy.Symbol("n"), name)]


def test_type_checkers_know_every_number() -> None:
    """The numbers that are written down for them are those that are declared."""
    assert [name for name in names(Total.SUM) if not QUANTITIES[name].trained] == [*get_args(Sum)]
    assert [*names(Total.LARGEST)] == [*get_args(Largest)]
