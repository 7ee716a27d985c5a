"""`archcalc list`: the architectures there are."""

from __future__ import annotations

from functools import partial
from typing import Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.options import Form, Output, Specs
from archcalc.cli.output import chosen_format, write_table
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError
from archcalc.report import analyze
from archcalc.tables import Column, Kind, Table
from archcalc.tables.json import document
from archcalc.tables.numbers import exact
from archcalc.work import TooMuchWork, renewed
from archcalc.zoo import Architecture, architectures

COLUMNS = (
    Column("name", Kind.NAME), Column("params"), Column("macs", label="MACs"), Column("depth"),
    Column("title", Kind.TEXT),
)  # fmt: skip

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def list_architectures(specs: Specs = None, form: Form = None, output: Output = None) -> None:
    """List every architecture of the zoo, or of a folder of specs: name, params, MACs, depth and title.

    Examples:
    ```
    archcalc list
    archcalc list --format latex
    archcalc list --specs my/specs -o specs.csv
    ```
    """
    chosen = chosen_format(form, output)
    found, refused = list[dict[str, Any]](), list[ArchcalcError]()
    for architecture in architectures(specs):
        try:
            with renewed():
                found.append(_record(architecture))
        except TooMuchWork as error:
            refused.append(error)
    values = [[row[column.key] for column in COLUMNS] for row in found]
    rows = [[name, *map(exact, numbers), title] for name, *numbers, title in values]
    write_table(Table(COLUMNS, lambda: rows, values=lambda: values, json=partial(document, found)), chosen, output)
    refuse(refused)


def _record(architecture: Architecture) -> dict[str, Any]:
    report = analyze(architecture.build())
    spec, variant = architecture.spec, architecture.spec.variant(architecture.variant)
    return {
        "name": architecture.name,
        "spec": spec.name,
        "variant": architecture.variant,
        "aliases": list(variant.aliases) if variant else [],
        "title": spec.title_of(architecture.variant),
        **{column: report.total(column) for column in ("params", "macs", "depth")},
    }
