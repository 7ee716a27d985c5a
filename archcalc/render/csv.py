"""Comma-separated values: plain integers, one row for each row of the table, no totals."""

from __future__ import annotations

from collections.abc import Iterator

from archcalc.quantities import Total, names
from archcalc.render.listing import Listing
from archcalc.text import csv_row


def csv_lines(listing: Listing) -> Iterator[str]:
    """A heading and the rows; the columns are named as `--columns` takes them."""
    for column in listing.columns:
        listing.total(column)  # what is too much work is told before the first row
    yield csv_row(["weights" if name == "params" and not listing.bias else name for name in listing.columns])
    counted = [column in names(Total.SUM, Total.LARGEST) for column in listing.columns]
    for entry in listing.entries():
        cells = zip(listing.columns, listing.cells(entry), counted, strict=True)
        yield csv_row([listing.value(entry, column) if number else cell for column, cell, number in cells])
