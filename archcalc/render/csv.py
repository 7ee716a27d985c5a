"""Comma-separated values: plain integers, one row for each row of the table, no totals."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

from archcalc.render.listing import Listing
from archcalc.render.rows import Entry
from archcalc.report import COLUMNS


def csv_lines(listing: Listing) -> Iterator[str]:
    """A heading and the rows; the columns are named as `--columns` takes them."""
    names = ["weights" if name == "params" and not listing.bias else name for name in listing.columns]
    yield _line(names)
    for entry in listing.entries():
        yield _line(_values(listing, entry))


def _values(listing: Listing, entry: Entry) -> list[Any]:
    cells = listing.cells(entry)
    return [
        listing.value(entry, column) if column in COLUMNS else cell
        for column, cell in zip(listing.columns, cells, strict=True)
    ]


def _line(cells: list[Any]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
