"""`archcalc golden`: exact values under regression test, for the zoo and for anybody's own specs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from archcalc import golden
from archcalc.cli.command import Command
from archcalc.cli.graphs import refuse_unused_folder
from archcalc.cli.options import Output, Specs, complete_name, form_option
from archcalc.cli.output import text_format, write, write_table
from archcalc.errors import UsageError
from archcalc.tables import Column, Kind, Table

Chosen = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME…]", help="Default: all architectures.", autocompletion=complete_name, show_default=False
    ),
]
Folder = Annotated[Path, typer.Option("--golden", metavar="DIR", help="The folder of golden files.")]

COLUMNS = (
    Column("name", Kind.NAME), Column("where", Kind.NAME), Column("what", Kind.WORD), Column("recorded"),
    Column("computed"),
)  # fmt: skip
SAME = "all values are as recorded"
SHOWN = 20
"""Differences of one network that are listed as sentences."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Compare exact values with recorded ones, one file for each architecture, or record them anew.

    Examples:
    ```
    archcalc golden check
    archcalc golden update vgg16
    archcalc golden check --specs my/specs --golden my/golden
    ```
    """,
)


@app.command(cls=Command)
def check(
    names: Chosen = None,
    specs: Specs = None,
    folder: Folder = Path("golden"),
    form: Annotated[str | None, form_option("text", default="text")] = None,
    output: Output = None,
) -> None:
    """Compare; exit code 1 if a value differs, a file is missing, or no spec owns a file.

    Examples:
    ```
    archcalc golden check
    archcalc golden check vgg16 resnet50
    archcalc golden check --specs my/specs --golden my/golden
    ```
    """
    refuse_unused_folder(names or [], specs)
    differences = golden.check(names or [], specs, folder)
    chosen = text_format(form, output)
    if chosen == "text":
        write(_told(differences) if differences else [SAME], output)
    else:
        rows = [astuple(difference) for difference in differences]
        keys = [column.key for column in COLUMNS]
        table = Table(COLUMNS, lambda: rows, title="golden values", keys=keys)
        write_table(table if rows else replace(table, columns=(), summary=SAME), chosen, output)
    if differences:
        raise typer.Exit(1)


def _told(differences: Sequence[golden.Difference]) -> Iterator[str]:
    """The differences, of each network the first ones, and what to do about them."""
    for name, found in groupby(differences, key=lambda difference: difference.name):
        several = list(found)
        yield from map(str, several[:SHOWN])
        if len(several) > SHOWN:
            yield f"{name}: {len(several) - SHOWN:,} more differences; --format plain lists all"
    count = len({difference.name for difference in differences})
    yield f"{'1 differs' if count == 1 else f'{count:,} differ'}; archcalc golden update records what is computed now"


@app.command(cls=Command)
def update(
    names: Chosen = None,
    specs: Specs = None,
    folder: Folder = Path("golden"),
    prune: Annotated[bool, typer.Option("--prune", help="Remove golden files that no spec owns.")] = False,
) -> None:
    """Record the values of today, and print what changed. Files that archcalc hasn't written are never touched.

    Examples:
    ```
    archcalc golden update
    archcalc golden update vgg16
    archcalc golden update --specs my/specs --golden my/golden --prune
    ```
    """
    if prune and names:
        raise UsageError("--prune looks at all specs: leave out the names")
    refuse_unused_folder(names or [], specs)
    write(golden.update(names or [], specs, folder, prune) or ["nothing changed"])
