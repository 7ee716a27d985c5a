"""Aligned plain text, a line at a time: the same in every terminal and pipe, and quick for very long tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from archcalc.tables.blocks import spaced
from archcalc.text import line

if TYPE_CHECKING:
    from archcalc.tables import Table

GAP = "  "


def lines(table: Table, limit: int | None = None) -> Iterator[str]:
    """The whole table. With `limit` the middle rows are left out if there are more."""
    heading, rows, facts, *end = _blocks(table, limit)
    sections = (chain(*_blocks(section)) for section in table.sections())
    return spaced(chain((heading, rows, facts), sections, end), "")


def _blocks(table: Table, limit: int | None = None) -> list[Iterable[str]]:
    """The heading, the rows, the facts, the notes and the summary."""
    facts = [(line(what), line(text)) for what, text in table.facts()]
    width = max((len(what) for what, _ in facts), default=0)
    told = [f"{what:{width}}{GAP}{text}".rstrip() for what, text in facts]
    heading, *notes = [line(text) for text in (table.heading, *table.notes)]
    summary = [line(table.summary)] if table.summary else []
    return [[heading] if heading else [], _rows(table, limit), told, notes, summary]


def _rows(table: Table, limit: int | None) -> Iterator[str]:
    """The labels, the rows with their remarks, and the total; a table with a total is ruled."""
    if not table.columns:
        return
    labels, total = [line(column.heading) for column in table.columns], list(map(line, table.total()))
    found = table.widths() if table.widths else _widest(table)
    widths = [max(map(len, texts)) for texts in zip(labels, *([total] * bool(total)), strict=True)]
    widths = list(map(max, widths, found)) if found else widths
    lefts = [column.left for column in table.columns]
    yield _line(labels, widths, lefts)
    rules = [GAP.join("-" * width for width in widths)] if total else []
    yield from rules
    lines = _told(table, widths, lefts)
    yield from lines if limit is None else _ends(list(lines), limit)
    yield from rules
    if total:
        yield _line(total, widths, lefts)


def _widest(table: Table) -> Sequence[int]:
    """The widest text of each column; empty without rows."""
    widths: list[int] = []
    for row in table.rows():
        sizes = [len(line(cell)) for cell in row]
        widths = list(map(max, widths, sizes)) if widths else sizes
    return widths


def _told(table: Table, widths: Sequence[int], lefts: Sequence[bool]) -> Iterator[str]:
    remarks = table.remarks
    for number, cells in enumerate(table.rows()):
        yield _line(map(line, cells), widths, lefts)
        if number in remarks:
            yield from (f"    {line(remark)}" for remark in remarks[number])


def _line(cells: Iterable[str], widths: Sequence[int], lefts: Sequence[bool]) -> str:
    padded = [
        cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(cells, widths, lefts, strict=True)
    ]
    return GAP.join(padded).rstrip()


def _ends(lines: list[str], limit: int) -> list[str]:
    """The lines, or if they are more than `limit` the first and last of them."""
    if len(lines) <= limit:
        return lines
    tail = limit // 4
    hidden = len(lines) - limit
    return [*lines[: limit - tail], f"... {hidden:,} more rows ...", *lines[-tail:]]
