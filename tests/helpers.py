"""Small specs for tests."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from archcalc.__main__ import main
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.language.model import Spec
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source

HEAD = "archcalc: 1\nname: t\ninput: {C: 3, H: 32, W: 32}\n"
"""The first three lines of most test specs: errors in the rest start at line 4."""


def spec_of(text: str, folder: Path | None = None) -> Spec:
    """Parse a spec's text; its file is called t.yaml."""
    return parse_spec(Source("t.yaml", text, folder))


def graph_of(layers: str, head: str = HEAD) -> Graph:
    """Build the graph of a spec from its `layers` (and what follows them)."""
    return build(spec_of(f"{head}{layers}"))


def names_of(graph: Graph) -> list[str]:
    """The names of the layers, without the input."""
    return [node.name for node in graph.nodes if node.inputs]


def imported(code: str) -> Any:
    """The class of an exported network, from the code alone."""
    module: dict[str, Any] = {"__name__": "exported"}
    exec(compile(code, "exported.py", "exec"), module)
    return [value for value in module.values() if isinstance(value, type) and value.__module__ == "exported"][-1]


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `archcalc verify`."""
    code = main(["verify", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def fuzz_options(description: str, examples: str) -> argparse.Namespace:
    """The command line of a fuzzer: how many `--examples`, and the `--seed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--examples", type=int, default=1000, help=examples)
    parser.add_argument("--seed", type=int, default=0, help="where the random numbers start")
    return parser.parse_args()
