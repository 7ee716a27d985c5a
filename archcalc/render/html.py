"""A table for notebooks: HTML that needs no style sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from archcalc.render.listing import LEFT, Listing
from archcalc.render.notes import CLAIM_LABELS, CLAIM_LEFTS, claim_cells, facts, heading, remarks
from archcalc.report import Report
from archcalc.text import html

if TYPE_CHECKING:
    from archcalc.claims import Verdict

MAX_ROWS = 300


def html_table(report: Report) -> str:
    """A report for a notebook; of a very long one the first rows and the totals."""
    return "\n".join(html_lines(Listing(report), MAX_ROWS))


def html_lines(listing: Listing, limit: int | None = None) -> Iterator[str]:
    """The table with its totals, and what stands below it; no more than `limit` rows, if given."""
    lefts = [column in LEFT for column in listing.columns]
    yield f"<table><caption>{html(heading(listing.report))}</caption>"
    yield f"<thead>{_row([listing.label(column) for column in listing.columns], lefts, 'th')}</thead>"
    yield "<tbody>"
    hidden = 0
    for number, entry in enumerate(listing.entries()):
        if limit is None or number < limit:
            yield _row(listing.cells(entry), lefts)
        else:
            hidden += 1
    if hidden:
        yield f'<tr><td colspan="{len(lefts)}">{hidden:,} more rows</td></tr>'
    yield "</tbody>"
    yield f"<tfoot>{_row(listing.totals(), lefts, 'th')}</tfoot></table>"
    yield "<ul>" + "".join(f"<li>{what}: {html(text)}</li>" for what, text in facts(listing.report)) + "</ul>"
    if listing.verdicts:
        yield "<table>"
        yield from claim_rows(listing.verdicts)


def claim_rows(verdicts: Sequence[Verdict], variants: bool = False) -> Iterator[str]:
    """The rows of a table of published figures, and its end."""
    yield f"<thead>{_row(CLAIM_LABELS, CLAIM_LEFTS, 'th')}</thead><tbody>"
    for verdict in verdicts:
        *cells, source = claim_cells(verdict, variants)
        yield _row([*cells, ". ".join([source, *remarks(verdict)])], CLAIM_LEFTS)
    yield "</tbody></table>"


def _row(cells: Sequence[str], lefts: Sequence[bool], tag: str = "td") -> str:
    sides = ("left" if left else "right" for left in lefts)
    texts = (f'<{tag} style="text-align: {side}">{html(cell)}</{tag}>' for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(texts)}</tr>"
