"""A number is declared once: what is derived from the declaration, and that everything is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from archcalc.analyses import OF_LAYER, OF_PLACES, OF_SCOPE
from archcalc.analyses.registry import of_layer
from archcalc.errors import UnknownNameError
from archcalc.quantities import QUANTITIES, Total, known, names
from tests.test_docs import ROOT, extended

NET = """archcalc: 1
name: net
input: {C: 3, H: 8, W: 8}
layers:
  a: conv 4 3x3
claims:
  - {source: by hand, optimizer_values: 224, optimizer_values(a): 224}
"""
ASKED = """
import contextlib, io, json, shlex, sys
from archcalc.__main__ import main

def answer(command):
    sys.argv = ["archcalc", *shlex.split(command)]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit:
            pass
    return out.getvalue()

print(json.dumps([answer(command) for command in json.load(sys.stdin)]))
"""
ANSWERS = {
    "table net.yaml --columns name,optimizer_values --format csv": "input,0\na,224\n",
    "table net.yaml --columns name,optimizer_values --format plain": "total               224\n",
    "table net.yaml --format json": '"optimizer_values": 224',
    "claims net.yaml --format plain": "optimizer_values(a)        224       224  holds    by hand\n",
    "golden update net.yaml --golden .": "net: recorded",
    "sweep net.yaml --set C=[3,4] --columns optimizer_values": "C,optimizer_values\n3,224\n4,296\n",
    "solve net.yaml --symbolic C --optimizer-values 300": "C: 1..4\n",
    "formula net.yaml --symbolic C": "optimizer_values = 72C + 8",
    "schema": "optimizer_values",
    "table --help": "optimizer_values",
    "sweep --help": "optimizer_values",
    "solve --help": "Values that Adam stores, two for each learnable scalar.",
}


def test_every_quantity_is_computed_in_one_way() -> None:
    """Each has one function, or is the bytes of others, or belongs to a receptive field."""
    ways = [*OF_LAYER, *OF_PLACES, *OF_SCOPE]
    ways += [each.name for each in QUANTITIES.values() if each.sum_of or each.axis]
    assert sorted(QUANTITIES) == sorted(ways)
    for name in OF_SCOPE:
        assert Total.OWN is QUANTITIES[name].total
    for each in QUANTITIES.values():
        assert all(QUANTITIES[name].total is Total.SUM and name in OF_LAYER for name in each.sum_of)


def test_an_undeclared_quantity_has_no_function() -> None:
    """A function under a name that nobody declared is refused when it is written, not when it is asked for."""
    with pytest.raises(LookupError, match="'paramz' is not declared"):
        of_layer("paramz")


def test_what_a_number_belongs_to_is_said() -> None:
    """A total that layers don't have, and a layer's number that has no total, are not merely unknown."""
    with pytest.raises(UnknownNameError, match="'depth' is a number of a whole network"):
        known("depth", Total.SUM)
    with pytest.raises(UnknownNameError, match="'receptive_field' is a number of a layer"):
        known("receptive_field", Total.SUM, Total.OWN)
    for name in names(*set(Total) - {Total.SUM}):  # of which nobody can ask for shares
        with pytest.raises(UnknownNameError, match="hint: these are sums: params, weights, ") as error:
            known(name, Total.SUM)
        assert ("the largest of its layers" in str(error.value)) == (QUANTITIES[name].total is Total.LARGEST)


def test_a_declared_number_is_everywhere(tmp_path: Path) -> None:
    """One declaration and one function, as CONTRIBUTING shows them, are a number in every table, format and question."""
    shutil.copytree(ROOT / "archcalc", tmp_path / "archcalc")
    extended(tmp_path / "archcalc")
    (tmp_path / "net.yaml").write_text(NET)
    done = subprocess.run(
        [sys.executable, "-c", ASKED], input=json.dumps(list(ANSWERS)), cwd=tmp_path, capture_output=True, text=True,
        timeout=120, env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
    )  # fmt: skip
    assert ("", 0) == (done.stderr, done.returncode)
    for command, answer in zip(ANSWERS, json.loads(done.stdout), strict=True):
        assert ANSWERS[command] in answer, command
    recorded = json.loads((tmp_path / "net.json").read_text())
    assert ([0, 224], 224) == (
        [layer["optimizer_values"] for layer in recorded["layers"]], recorded["totals"]["optimizer_values"],
    )  # fmt: skip
