"""Small tables with notes as plain text, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from archcalc.render.markdown import row
from archcalc.render.plain import aligned
from archcalc.text import csv_row, line, markdown

if TYPE_CHECKING:
    from archcalc.render.receptive_field import Sheet


def plain_lines(sheet: Sheet) -> Iterator[str]:
    """The heading, the rows in columns, and the notes."""
    yield line(sheet.title)
    if sheet.rows:
        yield ""
        yield from aligned([sheet.head, *(list(map(line, cells)) for cells in sheet.rows)], sheet.lefts)
    yield ""
    yield from map(line, sheet.notes)


def markdown_lines(sheet: Sheet) -> Iterator[str]:
    """The rows as GitHub's Markdown, the notes as a list."""
    yield f"**{markdown(sheet.title)}**"
    yield ""
    yield row(map(markdown, sheet.head))
    yield row(":--" if left else "--:" for left in sheet.lefts)
    yield from (row(map(markdown, cells)) for cells in sheet.rows)
    yield ""
    yield from (f"- {markdown(note)}" for note in sheet.notes)


def csv_lines(sheet: Sheet) -> Iterator[str]:
    """The head and the rows, no notes; empty where there is no number."""
    yield csv_row(sheet.head)
    yield from (csv_row(["" if cell == "-" else cell for cell in row]) for row in sheet.rows)
