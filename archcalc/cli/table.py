"""`archcalc table`: volumes, memory, params and MACs of an architecture, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import among, completed
from archcalc.cli.graphs import batch_of, built
from archcalc.cli.options import SUMS, Batch, Dtype, Form, Input, Name, Output, Quiet, Set, Symbolic, described
from archcalc.cli.output import chosen_format, in_terminal, write, write_table
from archcalc.errors import UsageError
from archcalc.graph import TooManyLayers
from archcalc.quantities import PER_LAYER, Total, names
from archcalc.report import Report
from archcalc.report.listing import DEFAULT, SHARE, TEXTS, Listing, with_shares
from archcalc.tables import Table
from archcalc.work import allow_listing
from archcalc.zoo import Architecture

UNCHECKED = "published figures not checked: changed"
"""What stands in place of published figures, where the network isn't the one they're about."""


COLUMNS = among(*TEXTS, *names(*PER_LAYER), *(name + SHARE for name in names(Total.SUM)))
ORDERS = among(*names(Total.SUM, Total.LARGEST))
SHARES = "Each row's share of params, macs …, with a bar."
FOLD = "Equal passes once, with their number; or every pass. Unless said: folded in a terminal, if not sorted or --all."


class Style(StrEnum):
    """Which rows and texts: a table, or the lines of the lecture's slides."""

    table = "table"
    slides = "slides"


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
@described(columns=(*TEXTS, *names(*PER_LAYER)))
def table(
    name: Name,
    style: Annotated[Style, typer.Option(help="`slides` prints the lecture's lines.")] = Style.table,
    every: Annotated[bool, typer.Option("--all", help="A row for every layer, those in place too.")] = False,
    fold: Annotated[bool | None, typer.Option("--fold/--unfold", help=FOLD, show_default=False)] = None,
    depth: Annotated[
        int, typer.Option(min=0, metavar="N", help="One row for each scope at this depth.", show_default=False)
    ] = 0,
    columns: Annotated[str, completed("A,B,C", "Which columns.", COLUMNS)] = "",
    share: Annotated[str, completed("A,B", SHARES, SUMS)] = "",
    sort: Annotated[str, completed("COLUMN", "Largest values first.", ORDERS)] = "",
    batch: Batch = 1,
    dtype: Dtype = "float32",
    no_bias: Annotated[bool, typer.Option("--no-bias", help="Params are weights only, as on the slides.")] = False,
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    symbolic: Symbolic = "",
    form: Form = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Print volumes, memory, parameters and MACs, layer by layer, with exact totals.

    Layers computed in place (relu, dropout, flatten) stand in the row of the volume they work on. Below the table:
    the totals, what MACs leave out, and the published figures about them with their verdicts.

    Columns: {columns}. Of sums also each row's share: params_share.

    Examples:
    ```
    archcalc table vgg16
    archcalc table vgg16 --style slides
    archcalc table resnet50 --depth 1 --share params,macs
    archcalc table resnet50 --batch 32 --dtype float16
    archcalc table net.yaml --set width=256 --columns name,receptive_field
    archcalc table vgg16 --set fcn=true --symbolic H,W,N --format json
    archcalc table vgg16 --format latex-siunitx -o vgg16.tex
    ```
    """
    chosen = chosen_format(form, output)
    asked = {"columns": columns, "share": share, "all": every, "depth": depth, "sort": sort, "no-bias": no_bias}
    folds = {True: ["--fold"], False: ["--unfold"], None: []}[fold]
    _refuse_unused(style, chosen, [*(f"--{what}" for what, on in asked.items() if on), *folds])
    if not depth:
        allow_listing()
    architecture, graph = built(name, sets, sizes, quiet, symbolic)
    report = Report(graph, batch_of(symbolic, batch), dtype)
    changed = bool(sets or sizes or symbolic) or batch != 1 or dtype != "float32"
    figures = [] if quiet or changed else _figures(architecture, report)
    if style is Style.slides:
        write(_slides(report, figures), output)
        return
    listing = Listing(report, with_shares(columns or DEFAULT, share), every, depth, sort, not no_bias)
    to_person = chosen == "table" and in_terminal(output) and not (every or sort)
    found, notes = _table(listing, fold, to_person)
    if sets and not quiet and architecture.spec.claims_on_totals(architecture.variant):
        notes.append(UNCHECKED)
    write_table(replace(found, sections=lambda: figures, notes=notes), chosen, output, fixed=bool(columns))


def _table(listing: Listing, fold: bool | None, to_person: bool) -> tuple[Table, list[str]]:
    """The table, folded if that is asked for, needed, or spares a person lines; and what is to be said about it."""
    graph = listing.report.graph
    if not (fold or (fold is None and (to_person or graph.is_open))):
        try:
            graph.spend(0, "listing so many layers")
        except TooManyLayers as error:
            raise UsageError(error.args[0], "--fold has one row for those that are equal") from None
        return listing.table(), []
    from archcalc.report.folding import Folded  # not for what goes to a pipe

    folded = Folded(listing, every=bool(fold) or not graph.is_listed)
    if fold or not graph.is_listed:
        return folded.table(), []
    return (folded.table(), ["--unfold writes every pass"]) if folded.spares else (listing.table(), [])


def _refuse_unused(style: Style, form: str, asked: list[str]) -> None:
    """Options that would have no effect are errors."""
    if style is Style.slides and form not in ("table", "plain"):
        raise UsageError(f"--style slides is text, not {form}")
    if asked and style is Style.slides and asked != ["--no-bias"]:
        raise UsageError(f"--style slides has its own rows and columns; {asked[0]} does not fit")
    unused = [what for what in asked if what not in ("--all", "--fold", "--unfold")]
    if unused and form == "json":
        raise UsageError(f"JSON has all rows and columns; {unused[0]} does not fit", "--format csv takes it")


def _figures(architecture: Architecture, report: Report) -> list[Table]:
    """The published figures about the whole network, if there are any."""
    if not architecture.spec.claims_on_totals(architecture.variant):
        return []
    from archcalc.questions.claims import Judged
    from archcalc.questions.judging import verdicts_on_totals

    return [Judged("", verdicts_on_totals(architecture.spec, architecture.variant, report)).table()]


def _slides(report: Report, figures: Iterable[Table]) -> Iterable[str]:
    from archcalc.drawings.slides import slides_lines
    from archcalc.tables import plain

    yield from slides_lines(report)
    for figure in figures:
        yield from ("", *plain.lines(figure))
