"""Comma-separated values: exact, under their names; no totals, and nothing around them."""

from __future__ import annotations

from collections.abc import Iterator

from archcalc.tables import Table
from archcalc.text import csv_row


def lines(table: Table) -> Iterator[str]:
    """The names and the values."""
    yield csv_row(table.fields)
    yield from map(csv_row, table.records())
