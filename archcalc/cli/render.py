"""`archcalc render`: a picture of the layer graph."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import batch_of, built
from archcalc.cli.options import Input, Name, Output, Quiet, Set, Symbolic
from archcalc.cli.output import writing
from archcalc.cli.run import note
from archcalc.errors import UsageError
from archcalc.report import Report

PictureFormat = StrEnum("PictureFormat", ["svg", "pdf", "png", "dot"])


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def render(
    name: Name,
    output: Output = None,
    form: Annotated[
        PictureFormat | None,
        typer.Option("--format", "-f", help="Default: what the file's name ends in.", show_default=False),
    ] = None,
    fold: Annotated[bool, typer.Option(help="Draw equal blocks in a row once, with their count.")] = True,
    depth: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Draw scopes below this depth as one node.", show_default=False),
    ] = None,
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    symbolic: Symbolic = "",
    quiet: Quiet = False,
) -> None:
    """Draw the layer graph: scopes as boxes, volumes on the edges, kind, kernel and params in the nodes.

    Without `-o` the picture goes to stdout; in a terminal, to a file that is named after the network.

    Examples:
    ```
    archcalc render vgg16
    archcalc render googlenet -o googlenet.pdf
    archcalc render resnet50 --depth 1 --format dot
    archcalc render gpt2 --symbolic layers
    ```
    """
    from archcalc.drawings.diagram import Diagram

    _, graph = built(name, sets, sizes, quiet, symbolic)
    diagram = Diagram(Report(graph, batch_of(symbolic)), fold, depth)
    path = None if output is None or str(output) == "-" else output
    if output is None and sys.stdout.isatty():
        path = _unused(graph.name, form.value if form else "svg")
    if path is not None:
        diagram.save(path, form.value if form else "")
    else:
        with writing(None):
            sys.stdout.flush()
            sys.stdout.buffer.write(diagram.to(form.value if form else "svg"))
            sys.stdout.buffer.flush()
    if output is None and path is not None:
        note(f"{path} is written")


def _unused(name: str, suffix: str) -> Path:
    """The file for a network's picture in the current folder.

    Raises: UsageError: there is such a file; nobody has named it, so nobody wants it replaced.
    """
    path = Path(re.sub(r"[^\w.-]+", "-", name) + f".{suffix}")
    if path.exists():
        raise UsageError(f"there is a '{path}' already", f"-o {path} replaces it")
    return path
