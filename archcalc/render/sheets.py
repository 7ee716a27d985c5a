"""Small tables with notes as plain text, Markdown and CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING

from archcalc.render.figures import clean
from archcalc.render.plain import aligned

if TYPE_CHECKING:
    from archcalc.render.receptive_field import Sheet


def plain_lines(sheet: Sheet) -> Iterator[str]:
    """The heading, the rows in columns, and the notes."""
    yield clean(sheet.title)
    if sheet.rows:
        yield ""
        yield from aligned([sheet.head, *sheet.rows], sheet.lefts)
    yield ""
    yield from map(clean, sheet.notes)


def markdown_lines(sheet: Sheet) -> Iterator[str]:
    """The rows as GitHub's Markdown, the notes as a list."""
    yield f"**{_escape(clean(sheet.title))}**"
    yield ""
    yield _row(map(_escape, sheet.head))
    yield _row(":--" if left else "--:" for left in sheet.lefts)
    yield from (_row(map(_escape, row)) for row in sheet.rows)
    yield ""
    yield from (f"- {_escape(clean(note))}" for note in sheet.notes)


def csv_lines(sheet: Sheet) -> Iterator[str]:
    """The head and the rows, no notes."""
    for row in (sheet.head, *sheet.rows):
        text = StringIO()
        csv.writer(text, lineterminator="").writerow(row)
        yield text.getvalue()


def _row(cells: Iterator[str] | map[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(text: str) -> str:
    for letter in "\\|*_<`":
        text = text.replace(letter, "\\" + letter)
    return text
