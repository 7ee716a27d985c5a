"""`archcalc list`: the architectures there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.options import Format, ListFormat, Specs
from archcalc.cli.output import print_grid
from archcalc.render.figures import exact
from archcalc.report import analyze
from archcalc.text import line
from archcalc.zoo import architectures

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
    found = list(_found(specs))
    rows = [[line(row["name"]), *map(exact, _counts(row)), line(row["title"])] for row in found]
    print_grid(HEAD, rows, LEFTS, form, found)


def _counts(row: dict[str, Any]) -> list[Any]:
    return [row["params"], row["macs"], row["depth"]]


def _found(specs: Any) -> Iterator[dict[str, Any]]:
    for architecture in architectures(specs):
        totals = analyze(architecture.build()).totals
        spec, variant = architecture.spec, architecture.spec.variant(architecture.variant)
        yield {
            "name": architecture.name,
            "spec": spec.name,
            "variant": architecture.variant,
            "aliases": list(variant.aliases) if variant else [],
            "title": spec.title_of(architecture.variant),
            **{column: totals[column] for column in ("params", "macs", "depth")},
        }


__all__ = ["Format", "app"]
