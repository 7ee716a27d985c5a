"""GitHub's Markdown, for a README or an issue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from archcalc.tables import Table
from archcalc.tables.blocks import indented, spaced
from archcalc.text import markdown


def lines(table: Table) -> Iterator[str]:
    """The rows with the total, what stands around them as lists, sections as tables of their own."""
    heading = [f"**{markdown(table.heading)}**"] if table.heading else []
    facts = (f"- {markdown(what)}: {markdown(text)}" for what, text in table.facts())
    notes = (f"- {markdown(note)}" for note in table.notes)
    summary = [markdown(table.summary)] if table.summary else []
    return spaced(chain((heading, _rows(table), facts), map(lines, table.sections()), (notes, summary)), "")


def _rows(table: Table) -> Iterator[str]:
    if not table.columns:
        return
    yield _row(markdown(column.heading) for column in table.columns)
    yield _row(":--" if column.left else "--:" for column in table.columns)
    yield from (_row(indented(cell, "&emsp;", markdown) for cell in cells) for cells in table.told())
    if total := table.total():
        yield _row(f"**{markdown(cell)}**" if cell else "" for cell in total)


def _row(cells: Iterable[str]) -> str:
    """A row, from cells that are Markdown already."""
    return "| " + " | ".join(cells) + " |"
