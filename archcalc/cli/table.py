"""`archcalc table`: volumes, memory, params and MACs of an architecture, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import batch_of, built
from archcalc.cli.options import Input, Name, Output, Quiet, Set, Symbolic, TableFormat, described
from archcalc.cli.output import console, in_terminal, write, writing
from archcalc.errors import UsageError
from archcalc.quantities import PER_LAYER, names
from archcalc.render.listing import DEFAULT, TEXTS, Listing
from archcalc.report import Report, analyze
from archcalc.work import allow_listing
from archcalc.zoo import Architecture

LONG = 300
"""Rows beyond which plain text is printed even in a terminal: rich would take seconds."""


class Style(StrEnum):
    """Which rows and texts: a table, or the lines of the lecture's slides."""

    table = "table"
    slides = "slides"


SUFFIXES = {
    "": TableFormat.plain, ".txt": TableFormat.plain, ".json": TableFormat.json, ".csv": TableFormat.csv,
    ".md": TableFormat.markdown, ".html": TableFormat.html,
}  # fmt: skip

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
@described(columns=(*TEXTS, *names(*PER_LAYER)))
def table(
    name: Name,
    style: Annotated[Style, typer.Option(help="`slides` prints the lecture's lines.")] = Style.table,
    every: Annotated[bool, typer.Option("--all", help="A row for every layer, those in place too.")] = False,
    depth: Annotated[
        int, typer.Option(min=0, metavar="N", help="One row for each scope at this depth.", show_default=False)
    ] = 0,
    columns: Annotated[str, typer.Option(metavar="A,B,C", help="Which columns.", show_default=False)] = "",
    sort: Annotated[str, typer.Option(metavar="COLUMN", help="Largest values first.", show_default=False)] = "",
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Examples at once.")] = 1,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help="float64, float32, bfloat16, float16 or int8.")
    ] = "float32",
    no_bias: Annotated[bool, typer.Option("--no-bias", help="Params are weights only, as on the slides.")] = False,
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    symbolic: Symbolic = "",
    form: Annotated[
        TableFormat | None,
        typer.Option("--format", "-f", help="Default: table in a terminal, plain in a pipe.", show_default=False),
    ] = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Print volumes, memory, parameters and MACs, layer by layer, with exact totals.

    Layers computed in place (relu, dropout, flatten) stand in the row of the volume they work on. Below the table:
    the totals, what MACs leave out, and the published figures about them with their verdicts.

    Columns: {columns}.

    Examples:
    ```
    archcalc table vgg16
    archcalc table vgg16 --style slides
    archcalc table resnet50 --depth 1 --batch 32 --dtype float16
    archcalc table net.yaml --set width=256 --columns name,output_shape,receptive_field
    archcalc table vgg16 --set fcn=true --symbolic H,W,N --format json
    ```
    """
    chosen = _format(form, output)
    shown = tuple(column.strip() for column in columns.split(",")) if columns else DEFAULT
    view: dict[str, Any] = {"columns": shown, "every": every, "depth": depth, "sort": sort, "bias": not no_bias}
    _refuse_unused(style, chosen, [f"--{what}" for what, on in _asked(columns, every, depth, sort, no_bias) if on])
    if no_bias and "params" not in (*shown, sort):
        raise UsageError("--no-bias is about params, and no column shows them", "leave it out")
    if not depth:
        allow_listing()
    architecture, graph = built(name, sets, sizes, quiet, symbolic)
    report = analyze(graph, batch_of(symbolic, batch), dtype)
    changed = bool(sets or sizes or symbolic) or batch != 1 or dtype != "float32"
    verdicts = () if quiet or changed else _verdicts(architecture, report)
    _print(Listing(report, **view, verdicts=verdicts), style, chosen, output, fixed=bool(columns))


def _asked(columns: str, every: bool, depth: int, sort: str, no_bias: bool) -> Iterable[tuple[str, object]]:
    return (("columns", columns), ("all", every), ("depth", depth), ("sort", sort), ("no-bias", no_bias))


def _format(form: TableFormat | None, output: Path | None) -> TableFormat:
    """The format that was asked for, or that the file's suffix or the terminal suggests."""
    if form is not None:
        return form
    if output is None or str(output) == "-":
        return TableFormat.table if in_terminal(output) else TableFormat.plain
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"can't tell the format from '{output}'", "give --format, or a name that ends in .csv, .md …")
    return SUFFIXES[output.suffix.lower()]


def _refuse_unused(style: Style, form: TableFormat, asked: list[str]) -> None:
    """Options that would have no effect are errors."""
    if style is Style.slides and form not in (TableFormat.table, TableFormat.plain):
        raise UsageError(f"--style slides is text, not {form.value}")
    if asked and style is Style.slides and asked != ["--no-bias"]:
        raise UsageError(f"--style slides has its own rows and columns; {asked[0]} does not fit")
    if asked and form is TableFormat.json and asked != ["--all"]:
        raise UsageError(f"JSON has all rows and columns; {asked[0]} does not fit", "--format csv takes it")


def _verdicts(architecture: Architecture, report: Report) -> tuple[Any, ...]:
    from archcalc.claims import check_totals

    return tuple(check_totals(architecture.spec, architecture.variant, report))


def _print(listing: Listing, style: Style, form: TableFormat, output: Path | None, fixed: bool) -> None:
    if style is Style.slides:
        write(_slides(listing), output)
    elif form is TableFormat.table and output is None and not _is_long(listing):
        from archcalc.render.table import print_table

        with writing(None):
            print_table(listing, console(), fixed)
    else:
        write(_lines(listing, form), output)


def _is_long(listing: Listing) -> bool:
    rows = iter(listing.entries())
    return any(number >= LONG for number, _ in enumerate(rows))


def _lines(listing: Listing, form: TableFormat) -> Iterable[str]:
    if form is TableFormat.json:
        from archcalc.render.json import json_lines

        return json_lines(listing.report)
    if form is TableFormat.csv:
        from archcalc.render.csv import csv_lines

        return csv_lines(listing)
    if form is TableFormat.markdown:
        from archcalc.render.markdown import markdown_lines

        return markdown_lines(listing)
    if form is TableFormat.html:
        from archcalc.render.html import html_lines

        return html_lines(listing)
    from archcalc.render.plain import plain_lines

    return plain_lines(listing)


def _slides(listing: Listing) -> Iterable[str]:
    from archcalc.render.plain import claim_lines
    from archcalc.render.slides import slides_lines

    yield from slides_lines(listing.report)
    if listing.verdicts:
        yield ""
        yield from claim_lines(listing.verdicts)
