"""`archcalc list`: the architectures there are."""

from __future__ import annotations

from typing import Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.options import Format, ListFormat, Specs
from archcalc.cli.output import print_grid
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError
from archcalc.render.figures import exact
from archcalc.report import analyze
from archcalc.text import line
from archcalc.work import TooMuchWork, renewed
from archcalc.zoo import Architecture, architectures

HEAD = ("name", "params", "MACs", "depth", "title")
LEFTS = (True, False, False, False, True)

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def list_architectures(specs: Specs = None, form: ListFormat = None) -> None:
    """List every architecture of the zoo, or of a folder of specs: name, params, MACs, depth and title.

    Examples:
    ```
    archcalc list
    archcalc list --format json
    archcalc list --specs my/specs
    ```
    """
    found, refused = list[dict[str, Any]](), list[ArchcalcError]()
    for architecture in architectures(specs):
        try:
            with renewed():
                found.append(_record(architecture))
        except TooMuchWork as error:
            refused.append(error)
    rows = [[line(row["name"]), *map(exact, _counts(row)), line(row["title"])] for row in found]
    print_grid(HEAD, rows, LEFTS, form, found)
    refuse(refused)


def _counts(row: dict[str, Any]) -> list[Any]:
    return [row["params"], row["macs"], row["depth"]]


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


__all__ = ["Format", "app"]
