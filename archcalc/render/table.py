"""The table in a terminal. Names are folded and columns left out until it fits; a number is never cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from archcalc.render.listing import LEFT, Listing
from archcalc.render.notes import CLAIM_LABELS, CLAIM_LEFTS, claim_cells, facts, heading, remarks

if TYPE_CHECKING:
    from rich.console import RenderableType

    from archcalc.claims import Verdict

GAP = 2
LEAST = {"layer": 12, "name": 12}
"""How far the columns of text may shrink."""
DROPPED_FIRST = ("layer", "activations", "output_shape", "macs")
VERDICTS = {"holds": "green", "cut off": "cyan", "erratum": "yellow", "wrong": "bold red"}


def print_table(listing: Listing, console: Console, fixed: bool = False) -> None:
    """Print a table and what stands below it. `fixed` columns are all shown, even if the terminal is too narrow."""
    rows = [listing.cells(entry) for entry in listing.entries()]
    shown, widths = fitted(listing, rows, console.width, fixed)
    hidden = [listing.label(column) for column in listing.columns if column not in shown]
    natural = sum(widths.values()) + GAP * (len(widths) - 1)
    name, _, title = heading(listing.report).partition(": ")
    console.print(Text.assemble((name, "bold"), f"  {title}" if title else ""), end="\n\n")
    _print_whole(console, _table(listing, rows, widths), natural)
    if hidden:
        console.print(Text(f"\n{', '.join(hidden)}: not shown, the terminal is too narrow", style="dim"))
    console.print()
    console.print(_facts(listing))
    if listing.verdicts:
        console.print()
        console.print(claims_block(listing.verdicts, console.width))


def fitted(
    listing: Listing, rows: Sequence[Sequence[str]], width: int, fixed: bool = False
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The columns that fit into `width`, and how wide each of them is."""
    cells = [[listing.label(column) for column in listing.columns], *rows, listing.totals()]
    full = dict(zip(listing.columns, (max(map(len, column)) for column in zip(*cells, strict=True)), strict=True))
    chosen = list(listing.columns)
    droppable = [] if fixed else [column for column in DROPPED_FIRST if column in chosen]
    while True:
        widths = _shrunk({column: full[column] for column in chosen}, width)
        if widths is not None or not droppable:
            widths = widths or {column: min(full[column], LEAST.get(column, full[column])) for column in chosen}
            return tuple(chosen), widths
        chosen.remove(droppable.pop(0))


def _shrunk(widths: Mapping[str, int], width: int) -> dict[str, int] | None:
    """The widths with texts shortened as far as needed, layers before names; None if that's not enough."""
    found = dict(widths)
    excess = sum(found.values()) + GAP * (len(found) - 1) - width
    for column, least in LEAST.items():
        if excess > 0 and found.get(column, 0) > least:
            cut = min(excess, found[column] - least)
            found[column] -= cut
            excess -= cut
    return found if excess <= 0 else None


def _table(listing: Listing, rows: Sequence[Sequence[str]], widths: Mapping[str, int]) -> Table:
    # the box draws a blank between columns: with one more they stand GAP apart
    table = Table(
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
        show_footer=True,
        border_style="dim",
    )
    totals = dict(zip(listing.columns, listing.totals(), strict=True))
    for column, width in widths.items():
        side = "left" if column in LEFT else "right"
        table.add_column(
            Text(listing.label(column)),
            Text(totals[column], "bold"),
            justify=side,  # type: ignore[arg-type]
            width=width,
            no_wrap=True,
        )
    for row in rows:
        cells = dict(zip(listing.columns, row, strict=True))
        table.add_row(*(_cell(column, cells[column], width) for column, width in widths.items()))
    return table


def _cell(column: str, text: str, width: int) -> Text:
    """A cell's text, shortened where it may be: names in the middle, layers at the end."""
    if column == "name":
        scope, slash, last = folded(text, width).rpartition("/")
        return Text.assemble((scope + slash, "dim"), (last, "cyan"))
    if column == "layer":
        own, plus, riders = _shortened(text, width).partition(" + ")
        return Text.assemble(own, (plus + riders, "dim"))
    return Text(text, "dim" if text == "0" else "")


def folded(name: str, width: int) -> str:
    """A name in at most `width` letters, its middle left out.

    >>> folded("conv2/1/residual_unit/body/conv", 21)
    'conv2/1/re…/body/conv'
    """
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return name[: width - 1 - tail] + "…" + name[len(name) - tail :]


def _facts(listing: Listing) -> Table:
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for what, text in facts(listing.report):
        grid.add_row(Text(what), Text(text))
    return grid


def claims_block(verdicts: Sequence[Verdict], width: int, variants: bool = False) -> Group:
    """The published figures: a line each, and below the errata why they are."""
    rows = [CLAIM_LABELS, *(claim_cells(verdict, variants) for verdict in verdicts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    room = width - sum(widths) - GAP * len(widths)
    beside = room >= 24
    if room + GAP < 0:
        widths = [0] * len(widths)  # better out of line than cut
    blocks: list[RenderableType] = [_claim(CLAIM_LABELS, widths, beside, "", "dim")]
    for verdict, cells in zip(verdicts, rows[1:], strict=True):
        blocks.append(_claim(cells, widths, beside, VERDICTS[verdict.verdict]))
        below = [] if beside else [cells[-1]]
        blocks += [Padding(Text(text, "dim"), (0, 0, 0, 4), expand=False) for text in (*below, *remarks(verdict))]
    return Group(*blocks)


def _claim(
    cells: Sequence[str], widths: Sequence[int], beside: bool, style: str, all_style: str = ""
) -> RenderableType:
    """One line; the source `beside` the figures where there's room."""
    pairs = zip(cells, widths, CLAIM_LEFTS, strict=False)
    *texts, verdict = (cell.ljust(width) if left else cell.rjust(width) for cell, width, left in pairs)
    gap = " " * GAP
    figures = Text.assemble(gap.join(texts), gap, (verdict, style), style=all_style, no_wrap=beside, overflow="fold")
    if not beside:
        return figures
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row(figures, Text(cells[-1], all_style))
    return grid


def print_grid(console: Console, head: Sequence[str], rows: Sequence[Sequence[str]], lefts: Sequence[bool]) -> None:
    """Print a short list: the first column stands out, the last one is cut where it must be, the others never are."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    before = sum(widths[:-1]) + GAP * (len(widths) - 1)
    last = max(min(widths[-1], console.width - before), len(head[-1]))
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), border_style="dim")
    for number, (label, left, width) in enumerate(zip(head, lefts, [*widths[:-1], last], strict=True)):
        style, side = ("cyan" if number == 0 else ""), ("left" if left else "right")
        table.add_column(Text(label), style=style, justify=side, width=width, no_wrap=True)  # type: ignore[arg-type]
    for *cells, text in rows:
        table.add_row(*map(Text, cells), Text(_shortened(text, last)))
    _print_whole(console, table, before + last)


def _print_whole(console: Console, table: Table, width: int) -> None:
    """Print a table that may be wider than the console, in which rich would cut numbers."""
    narrow = console.width
    console.width = max(width, narrow)
    console.print(table, crop=False)
    console.width = narrow


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"
