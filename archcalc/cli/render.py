"""`archcalc render`: a picture of the layer graph."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import built
from archcalc.cli.options import Input, Name, Output, Quiet, Set
from archcalc.cli.output import writing
from archcalc.errors import UsageError
from archcalc.report import analyze


class PictureFormat(StrEnum):
    """What Graphviz writes."""

    svg = "svg"
    pdf = "pdf"
    png = "png"
    dot = "dot"


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
    quiet: Quiet = False,
) -> None:
    """Draw the layer graph: scopes as boxes, volumes on the edges, kind, kernel and params in the nodes.

    Without a file, SVG or DOT goes to stdout.

    Examples:
    ```
    archcalc render vgg16 -o vgg16.svg
    archcalc render googlenet -o googlenet.pdf
    archcalc render resnet50 --depth 1 --format dot
    ```
    """
    from archcalc.render.svg import render_file

    _, graph = built(name, sets, sizes, quiet)
    path = None if output is None or str(output) == "-" else output
    if path is None and form in (PictureFormat.png, PictureFormat.pdf) and sys.stdout.isatty():
        raise UsageError(f"a {form.value} in a terminal can't be read", f"archcalc render {name} -o FILE.{form.value}")
    with writing(path):
        render_file(analyze(graph), path, form.value if form else None, fold=fold, depth=depth)
