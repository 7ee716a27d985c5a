"""Comma-separated values: plain integers, one row for each row of the table, no totals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archcalc.quantities import Total, names
from archcalc.render.listing import Listing
from archcalc.render.rows import Entry
from archcalc.text import csv_row


def csv_lines(listing: Listing) -> Iterator[str]:
    """A heading and the rows; the columns are named as `--columns` takes them."""
    for column in listing.columns:
        listing.total(column)  # what is too much work is told before the first row
    yield csv_row(["weights" if name == "params" and not listing.bias else name for name in listing.columns])
    for entry in listing.entries():
        yield csv_row(_values(listing, entry))


def _values(listing: Listing, entry: Entry) -> list[Any]:
    cells = listing.cells(entry)
    return [
        listing.value(entry, column) if column in names(Total.SUM, Total.LARGEST) else cell
        for column, cell in zip(listing.columns, cells, strict=True)
    ]
