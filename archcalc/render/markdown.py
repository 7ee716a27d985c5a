"""A table for a README or an issue, in GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archcalc.render.listing import LEFT, Listing
from archcalc.render.notes import CLAIM_LABELS, CLAIM_LEFTS, claim_cells, facts, heading, remarks


def markdown_lines(listing: Listing) -> Iterator[str]:
    """The table, the totals as a list, and the published figures as a second table."""
    yield f"**{_escape(heading(listing.report))}**"
    yield ""
    yield from _head([listing.label(column) for column in listing.columns], [c in LEFT for c in listing.columns])
    for entry in listing.entries():
        yield _row(listing.cells(entry))
    yield _row([f"**{cell}**" if cell else "" for cell in listing.totals()])
    yield ""
    yield from (f"- {what}: {_escape(text)}" for what, text in facts(listing.report))
    if listing.verdicts:
        yield ""
        yield from _head(CLAIM_LABELS, CLAIM_LEFTS)
        for verdict in listing.verdicts:
            *cells, source = claim_cells(verdict)
            yield _row([*cells, ". ".join([source, *remarks(verdict)])])


def _head(labels: Sequence[str], lefts: Sequence[bool]) -> Iterator[str]:
    yield _row(labels)
    yield "|" + "|".join(" :-- " if left else " --: " for left in lefts) + "|"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell if cell.startswith("**") else _escape(cell) for cell in cells) + " |"


def _escape(text: str) -> str:
    for letter in "\\|*_<`":
        text = text.replace(letter, "\\" + letter)
    return text
