"""A table for a README or an issue, in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from archcalc.render.listing import LEFT, Listing
from archcalc.render.notes import CLAIM_LABELS, CLAIM_LEFTS, claim_cells, facts, heading, remarks
from archcalc.text import markdown

if TYPE_CHECKING:
    from archcalc.claims import Verdict


def markdown_lines(listing: Listing) -> Iterator[str]:
    """The table, the totals as a list, and the published figures as a second table."""
    yield f"**{markdown(heading(listing.report))}**"
    yield ""
    yield from _head([listing.label(column) for column in listing.columns], [c in LEFT for c in listing.columns])
    for entry in listing.entries():
        yield row(map(markdown, listing.cells(entry)))
    yield row([f"**{markdown(cell)}**" if cell else "" for cell in listing.totals()])
    yield ""
    yield from (f"- {what}: {markdown(text)}" for what, text in facts(listing.report))
    if listing.verdicts:
        yield ""
        yield from claim_rows(listing.verdicts)


def claim_rows(verdicts: Sequence[Verdict], variants: bool = False) -> Iterator[str]:
    """Published figures as a table, with what is to be said about them beside the source."""
    yield from _head(CLAIM_LABELS, CLAIM_LEFTS)
    for verdict in verdicts:
        *cells, source = claim_cells(verdict, variants)
        yield row(map(markdown, [*cells, ". ".join([source, *remarks(verdict)])]))


def _head(labels: Sequence[str], lefts: Sequence[bool]) -> Iterator[str]:
    yield row(map(markdown, labels))
    yield "|" + "|".join(" :-- " if left else " --: " for left in lefts) + "|"


def row(cells: Iterable[str]) -> str:
    """A row of a table, from cells that are Markdown already."""
    return "| " + " | ".join(cells) + " |"
