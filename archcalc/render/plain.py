"""Aligned plain text, a line at a time: the same in every terminal and pipe, and quick for very long tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from archcalc.render.listing import LEFT, Listing
from archcalc.render.notes import CLAIM_LABELS, CLAIM_LEFTS, claim_cells, facts, heading, remarks
from archcalc.report import Report

if TYPE_CHECKING:
    from archcalc.claims import Verdict

GAP = "  "
REPR_ROWS = 60


def plain_text(report: Report) -> str:
    """A report for the REPL; of a long one the first and last rows."""
    return "\n".join(plain_lines(Listing(report), REPR_ROWS))


def plain_lines(listing: Listing, limit: int | None = None) -> Iterator[str]:
    """The whole table. With `limit` the middle rows are left out if there are more."""
    yield heading(listing.report)
    yield ""
    labels = [listing.label(column) for column in listing.columns]
    widths = [max(sizes) for sizes in zip(map(len, labels), _widths(listing), strict=True)]
    lefts = [column in LEFT for column in listing.columns]
    yield _line(labels, widths, lefts)
    yield GAP.join("-" * width for width in widths)
    rows = _rows(listing, widths, lefts)
    yield from rows if limit is None else _ends(list(rows), limit)
    yield GAP.join("-" * width for width in widths)
    yield _line(listing.totals(), widths, lefts)
    yield ""
    yield from note_lines(listing)


def note_lines(listing: Listing) -> Iterator[str]:
    """What stands below the table."""
    found = list(facts(listing.report))
    width = max(len(what) for what, _ in found)
    yield from (f"{what:{width}}{GAP}{text}" for what, text in found)
    if listing.verdicts:
        yield ""
        yield from claim_lines(listing.verdicts)


def claim_lines(verdicts: Sequence[Verdict], variants: bool = False) -> Iterator[str]:
    """The published figures with their verdicts, and below each erratum why it is one."""
    lines = aligned([CLAIM_LABELS, *(claim_cells(verdict, variants) for verdict in verdicts)], CLAIM_LEFTS)
    yield next(lines)
    for verdict, line in zip(verdicts, lines, strict=True):
        yield line
        yield from (f"    {remark}" for remark in remarks(verdict))


def aligned(rows: Sequence[Sequence[str]], lefts: Sequence[bool]) -> Iterator[str]:
    """Rows of texts in columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return (_line(row, widths, lefts) for row in rows)


def _line(cells: Iterable[str], widths: Sequence[int], lefts: Sequence[bool]) -> str:
    padded = [
        cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(cells, widths, lefts, strict=True)
    ]
    return GAP.join(padded).rstrip()


def _widths(listing: Listing) -> list[int]:
    """The widest cell of each column; equal rows are looked at once, so that this costs little before a long table."""
    totals = listing.totals()
    shared: set[int] = set()
    widths = list(map(len, totals))
    for entry in listing.entries():
        known = listing.shared(entry)
        if id(known) in shared and known.keys() >= {*listing.columns} - {"name"}:
            continue
        shared.add(id(known))
        widths = [max(width, len(cell)) for width, cell in zip(widths, listing.cells(entry), strict=True)]
    if "name" in listing.columns:
        place = listing.columns.index("name")
        widths[place] = max(widths[place], listing.longest_name)
    return widths


def _rows(listing: Listing, widths: Sequence[int], lefts: Sequence[bool]) -> Iterator[str]:
    return (_line(listing.cells(entry), widths, lefts) for entry in listing.entries())


def _ends(lines: list[str], limit: int) -> list[str]:
    """The lines, or if they are more than `limit` the first and last of them."""
    if len(lines) <= limit:
        return lines
    tail = limit // 4
    hidden = len(lines) - limit
    return [*lines[: limit - tail], f"... {hidden:,} more rows ...", *lines[-tail:]]
