"""`archcalc show` and `archcalc.show`: what a spec says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import archcalc
from archcalc.__main__ import main
from archcalc.errors import UsageError
from archcalc.zoo import Architecture, spec_files
from tests.helpers import HEAD, some_architectures, spec_of

SPECS = [pytest.param(file, id=file.stem) for file in spec_files()]


def as_written(file: Path) -> dict[str, Any]:
    """What a spec says, read by another YAML parser; scalars stay texts."""
    found: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)
    return found


@pytest.mark.parametrize("file", SPECS)
def test_hparams_and_variants_are_those_of_the_file(file: Path) -> None:
    """Names, bounds, comments, aliases and titles, in the file's order."""
    written, shown = as_written(file), archcalc.show(file)
    hparams = written.get("hparams", {})
    assert list(hparams) == [each.name for each in shown.parameters]
    for each in shown.parameters:
        said = hparams[each.name] if isinstance(hparams[each.name], dict) else {}
        assert (said.get("min", ""), said.get("doc", "")) == (each.minimum, each.doc)
    variants = written.get("variants", {})
    assert list(variants) == [each.name for each in shown.variants]
    for each in shown.variants:
        said = variants[each.name] or {}
        names = said.get("as", [])
        assert ([names] if isinstance(names, str) else names) == [*each.aliases]
        assert (said.get("title", ""), said.get("extends", "")) == (each.title, each.extends)
        assert said.keys() - {"as", "title", "extends"} == each.values.keys()


@pytest.mark.parametrize("architecture", [pytest.param(each, id=each.name) for each in some_architectures()])
def test_values_are_those_that_build_the_network(architecture: Architecture) -> None:
    """Given back as texts, all values make the same layers; so do those of each variant over the spec's own."""
    shown = archcalc.show(architecture)
    given = {each.name: each.value for each in shown.parameters if each.written != "sym"}
    graph = architecture.build(**given)
    assert [(node.name, node.application) for node in shown.graph.nodes] == [
        (n.name, n.application) for n in graph.nodes
    ]
    assert tuple(node.name for node in graph.nodes) == shown.layers


@pytest.mark.parametrize("file", SPECS)
def test_the_text_is_the_file(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """--spec prints it byte for byte, so that it can be sent to a file of one's own."""
    assert 0 == main(["show", str(file), "--spec"])
    assert file.read_text(encoding="utf-8") == capfd.readouterr().out == archcalc.show(file).text


def test_values_that_are_given_are_shown() -> None:
    """The network with other values: its hparams and its layers."""
    text = "layers: (conv c 3x3)*n\nhparams: {n: {value: 2, min: 1, doc: how deep}, c: {value: 2*n, multiple_of: 2}}\n"
    shown = archcalc.show(Architecture(spec_of(HEAD + text), ""), hparams={"n": 3, "c": "n+1"}, sizes={"H": 64})
    assert [("n", "3", "3"), ("c", "4", "n+1")] == [(each.name, each.value, each.written) for each in shown.parameters]
    assert ["at least 1", "a multiple of 2"] == [each.limits for each in shown.parameters]
    assert ("input", "1", "2", "3") == shown.layers
    assert [["hparam", "n", "3", "how deep: at least 1"], ["hparam", "c", "4", "a multiple of 2"]] == [
        *shown.table().records()
    ][:2]


def test_a_graph_has_no_spec() -> None:
    """What is built doesn't know what it was built from."""
    with pytest.raises(UsageError, match="built already"):
        archcalc.show(archcalc.load("lenet5").build())


@pytest.mark.parametrize("option", [["--format", "csv"], ["--set", "n=3"], ["--input", "3x8x8"]])
def test_the_text_is_the_files_alone(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Options that would have no effect on it are refused."""
    assert 2 == main(["show", "resnet20", "--spec", *option])
    assert "--spec prints the file as it is" in capsys.readouterr().err
