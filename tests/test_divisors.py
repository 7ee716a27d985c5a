"""Unknowns in divisors: what solve, sweep and formulas say of them is what building says."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from archcalc import analyze
from archcalc.__main__ import main
from archcalc.errors import ArchcalcError
from archcalc.expand import build
from tests.helpers import spec_of

A, B = range(1, 14), range(1, 7)
HEAD = "archcalc: 1\nname: t\nhparams: {a: 2, b: 2}\ninput: {C: 24, H: 8, W: 8}\nlayers: "
LAYERS = [
    "conv 24/a 1 -> conv b 1", "conv 20/(a+3) 1 -> conv b 1", "conv 24 1 g=a -> conv b 1", "conv b/a 1",
    "conv b*a 1 -> conv b*12/a 1", "conv 12*b/a+3 1", "conv (b+a)/a 1", "conv b*(1+12/a) 1", "groupnorm a//2 -> conv b 1",
    "conv 12//(a//2) 1 -> conv b 1", "reshape T=a//2 C=1536//(a//2) -> fc b", "conv 8*(12//(a+3)) 1 g=(4//(a+1)) -> conv b 1",
]  # fmt: skip


def truth(text: str) -> dict[tuple[int, int], int]:
    """The parameters of every configuration that can be built."""
    spec, found = spec_of(text), {}
    for a, b in itertools.product(A, B):
        try:
            found[a, b] = analyze(build(spec, hparams={"a": a, "b": b})).totals["params"]
        except ArchcalcError:
            continue
    return found


def numbers(segments: list[dict[str, Any]], most: int) -> set[int]:
    """What the segments of an answer stand for."""
    return {
        n
        for part in segments
        for n in range(part["first"], (part["last"] or most) + 1)
        if n % part["period"] in part["residues"]
    }


@pytest.mark.parametrize("layers", LAYERS)
def test_unknowns_in_divisors(layers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """12*b/a is an integer where b/a need not be; a divisor that is 0 somewhere is no bug there."""
    file = tmp_path / "t.yaml"
    file.write_text(f"{HEAD}{layers}\n")
    expected = truth(f"{HEAD}{layers}\n")
    ranges = ["--set", "a=1..13", "--set", "b=1..6"]

    assert 0 == main(["sweep", str(file), *ranges, "--columns", "params", "--quiet"])
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert expected == {(int(row["a"]), int(row["b"])): int(row["params"]) for row in rows}

    budget = sorted(expected.values())[len(expected) // 2]
    assert 0 == main(["solve", str(file), *ranges, "--params", str(budget), "--format", "json"])
    answer = json.loads(capsys.readouterr().out)
    together = [{**answer["alone"], **row} for row in answer["rows"] or [{}]]
    solved = {pair for row in together for pair in itertools.product(numbers(row["a"], 13), numbers(row["b"], 6))}
    assert {pair for pair, params in expected.items() if params <= budget} == solved

    assert 0 == main(["formula", str(file), "--symbolic", "a,b", "--format", "python"])
    scope: dict[str, Any] = {}
    exec(capsys.readouterr().out, scope)
    for a, b in itertools.product(A, B):
        try:
            found = scope["formulas"](a=a, b=b)["params"]
        except ValueError:
            found = None
        assert expected.get((a, b)) == found
