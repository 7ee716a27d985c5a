"""A table in a terminal. Texts are shortened and columns left out until it fits; a number is never cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from archcalc.tables import Column, Kind, Table
from archcalc.tables.blocks import spaced
from archcalc.text import line

GAP = 2
LEAST, BESIDE = 12, 24
"""How far names and layers may shrink, and how much room sentences need beside their row."""
BAR, BLOCKS = 10, " ▏▎▍▌▋▊▉█"
"""The cells of the longest bar, and its pieces."""
COLOURS = {"holds": "green", "equal": "green", "cut off": "cyan", "erratum": "yellow", "wrong": "bold red",
           "differs": "bold red", "within": "green", "outside": "bold red"}  # fmt: skip
_REST, _NUMBER = re.compile(r"(?<=\d)[.,x]?\d|(?<=\dx)\d"), re.compile(r"\d[\d.,x]*$")
_FORMULA = re.compile(r"\*|\w\(| [-+] |[A-Za-z]/")


def show(table: Table, console: Console, fixed: bool = False) -> None:
    """Print a table and what stands around it. `fixed` columns are all shown, even if the terminal is too narrow."""
    for text in _lines(table, console, fixed):
        console.print(text, soft_wrap=True)


def _lines(table: Table, console: Console, fixed: bool) -> Iterator[Text]:
    heading, rows, facts, *end = _blocks(table, console, fixed)
    sections = (chain(*_blocks(section, console, fixed, inner=True)) for section in table.sections())
    return spaced(chain((heading, rows, facts), sections, end), Text())


def _blocks(table: Table, console: Console, fixed: bool, inner: bool = False) -> list[Iterable[Text]]:
    """The heading, the rows, the facts, the notes and the summary; of an `inner` table there's no line between."""
    name, title = line(table.name), line(table.title)
    head = Text.assemble((name, "bold"), "  " if name and title else "", title)
    heading = _wrapped(head, console) if head else []
    notes = (row for note in table.notes for row in _wrapped(Text(line(note), "dim"), console))
    summary = _wrapped(Text(line(table.summary)), console) if table.summary else []
    return [heading, _Grid(table, console, fixed).lines(inner), _facts(table, console), notes, summary]


def _facts(table: Table, console: Console) -> Iterator[Text]:
    found = [(line(what), line(text)) for what, text in table.facts()]
    indent = max((cell_len(what) for what, _ in found), default=0) + GAP
    for what, text in found:
        # a word alone, such as a path, is left to the terminal to break, so that it can be copied
        shown = Text(text) if " " in text else Text(text, overflow="ignore", no_wrap=True)
        yield from _hanging(Text(what.ljust(indent), "dim"), shown, console)


def _hanging(head: Text, text: Text, console: Console) -> Iterator[Text]:
    """A text after what stands before it, and below itself where it wraps."""
    indent = cell_len(head.plain)
    first, *others = _wrapped(text, console, max(console.width - indent, BESIDE)) or [Text()]
    whole = Text.assemble(head, first)
    whole.rstrip()
    yield whole
    yield from (Text(" " * indent).append_text(other) for other in others)


def _wrapped(text: Text, console: Console, width: int = 0) -> list[Text]:
    """A text in lines."""
    lines = list(text.wrap(console, width or console.width))
    for each in lines:
        each.rstrip()
    return lines


class _Grid:
    """The rows, laid out."""

    def __init__(self, table: Table, console: Console, fixed: bool) -> None:
        self.table, self.console, self.width = table, console, console.width
        self.columns = table.columns
        self.rows = [list(map(line, cells)) for cells in table.rows()]
        self.total = list(map(line, table.total()))
        self.labels = [line(column.heading) for column in self.columns]
        self.full = self._widest(self.rows)
        sentences = bool(self.columns) and self.columns[-1].kind is Kind.TEXT
        self.widths = self._fitted(range(len(self.columns) - sentences), fixed)
        self._draw_bars(fixed)
        self.room = self.width - sum(self.widths.values()) - GAP * len(self.widths) if sentences else 0
        self.beside = sentences and self.room >= min(BESIDE, self.full[-1])
        self.below = sentences and not self.beside

    def _widest(self, rows: Sequence[Sequence[str]]) -> list[int]:
        whole = [self.labels, *rows, *([self.total] if self.total else [])]
        return [max(map(cell_len, cells)) for cells in zip(*whole, strict=True)]

    def _draw_bars(self, fixed: bool) -> None:
        """Put a bar beside each share, if no more than one column has to be left out for them."""
        rows = _with_bars(self.table, self.rows)
        if not rows:
            return
        without, self.full = self.full, self._widest(rows)
        widths = self._fitted([*self.widths], fixed)
        if len(widths) + 1 >= len(self.widths) and sum(widths.values()) + GAP * (len(widths) - 1) <= self.width:
            self.rows, self.widths = rows, widths
        else:
            self.full = without

    def lines(self, inner: bool) -> Iterator[Text]:
        """The labels, the rows with their remarks, and the total."""
        if not self.columns:
            return
        yield from self._row(self.labels, "dim" if inner else "bold")
        rule = Text("─" * min(sum(self.widths.values()) + GAP * (len(self.widths) - 1) + self._tail, self.width), "dim")
        yield from [] if inner else [rule]
        for number, cells in enumerate(self.rows):
            yield from self._row(cells, "bold" if self._is_head(number) else "")
            remarks = map(line, self.table.remarks.get(number, ()))
            for text in filter(None, (cells[-1], *remarks) if self.below else remarks):
                yield from _hanging(Text("    "), Text(text, "dim"), self.console)
        if self.total:
            yield rule
            yield from self._row(self.total, "bold")
        if hidden := [label for place, label in enumerate(self.labels) if place not in self._shown]:
            yield Text()
            yield Text(f"{', '.join(hidden)}: not shown, the terminal is too narrow", "dim")

    def _is_head(self, number: int) -> bool:
        """Whether the row below is part of what this one is about."""
        steps = [len(name) - len(name.lstrip(" ")) for name, *_ in self.rows[number : number + 2]]
        return len(steps) == 2 and steps[0] < steps[1]

    @property
    def _tail(self) -> int:
        return min(self.room, self.full[-1]) + GAP if self.beside else 0

    @property
    def _shown(self) -> set[int]:
        return {*self.widths, *([len(self.columns) - 1] if self.beside or self.below else [])}

    def _row(self, cells: Sequence[str], style: str = "") -> Iterator[Text]:
        texts = [self._cell(self.columns[place], cells[place], width, style) for place, width in self.widths.items()]
        figures = Text(" " * GAP).join(texts)
        if self.beside:
            yield from _hanging(figures.append(" " * GAP * bool(texts)), Text(cells[-1], style), self.console)
        else:
            figures.rstrip()
            yield figures

    def _cell(self, column: Column, text: str, width: int, style: str) -> Text:
        """A cell's text, shortened where it may be, and as wide as its column."""
        short = folded(text, width) if column.kind is Kind.NAME else shortened(text, width)
        blank = " " * (width - cell_len(short))
        if style:
            parts: list[tuple[str, str]] = [(short, style)]
        elif column.kind is Kind.NAME:
            scope, slash, last = short.rpartition("/")
            parts = [(scope + slash, "dim"), (last, "cyan")]
        elif column.kind is Kind.LAYERS:
            own, plus, riders = short.partition(" + ")
            parts = [(own, ""), (plus + riders, "dim")]
        elif column.kind is Kind.VERDICT:
            parts = [(short, next((colour for word, colour in COLOURS.items() if text.startswith(word)), ""))]
        else:
            parts = [(short, "dim" if text == "0" else "")]
        return Text.assemble(*parts, blank) if column.left else Text.assemble(blank, *parts)

    def _fitted(self, places: Iterable[int], fixed: bool) -> Mapping[int, int]:
        """The columns that fit, and how wide each of them is."""
        chosen = list(places)
        dropped = (
            [] if fixed else sorted((p for p in chosen if self.columns[p].drop), key=lambda p: self.columns[p].drop)
        )
        widths, excess = self._shrunk(chosen, [Kind.LAYERS, Kind.NAME])
        while excess > 0 and dropped:
            chosen.remove(dropped.pop(0))
            widths, excess = self._shrunk(chosen, [Kind.LAYERS, Kind.NAME])
        formulas = [Kind.NUMBER, Kind.SIZES]
        return widths if excess <= 0 else self._shrunk(chosen, [Kind.LAYERS, Kind.NAME, *formulas])[0]

    def _shrunk(self, chosen: Sequence[int], kinds: Sequence[Kind]) -> tuple[dict[int, int], int]:
        """The widths with texts of these kinds shortened as far as needed, and how much they're too wide even so."""
        widths = {place: self.full[place] for place in chosen}
        excess = sum(widths.values()) + GAP * (len(widths) - 1) - self.width
        for kind in kinds:
            for place in chosen:
                if self.columns[place].kind is kind and excess > 0:
                    cut = max(0, min(excess, widths[place] - self._least(place)))
                    widths[place] -= cut
                    excess -= cut
        return widths, excess

    def _least(self, place: int) -> int:
        if self.columns[place].kind not in (Kind.NUMBER, Kind.SIZES):
            return LEAST
        cells = [self.labels[place], *(row[place] for row in [*self.rows, *([self.total] if self.total else [])])]
        return max(LEAST, *(cell_len(cell) for cell in cells if not _FORMULA.search(cell)), 0)


def _with_bars(table: Table, rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows with a bar beside each share: its part of the column's largest. None if no column has shares."""
    places = [place for place, column in enumerate(table.columns) if column.kind is Kind.SHARE]
    found = [list(cells) for cells in rows] if places else []
    records = list(table.records()) if places else []
    for place in places:
        at = list(table.fields).index(table.columns[place].key)
        shares = [record[at] if isinstance(record[at], float) else 0.0 for record in records]
        width, most = max((cell_len(cells[place]) for cells in rows), default=0), max(shares, default=0.0)
        for cells, share in zip(found, shares, strict=True):
            cells[place] = f"{cells[place]:>{width}} {bar(share / most if most else 0)}"
    return found


def bar(part: float) -> str:
    """A bar as long as a part of the longest one, to an eighth of a cell.

    >>> bar(1), bar(0.33), bar(0)
    ('██████████', '███▎      ', '          ')
    """
    eighths = round(8 * BAR * part)
    return (BLOCKS[-1] * (eighths // 8) + BLOCKS[eighths % 8].strip()).ljust(BAR)


def shortened(text: str, width: int) -> str:
    """A text in at most `width` cells, its end left out; a number or a size before the cut is whole.

    >>> shortened("floor(H/2) + 1024", 16), shortened("conv 128 1x1 + relu", 12)
    ('floor(H/2) +…', 'conv 128…')
    """
    if cell_len(text) <= width:
        return text
    start = set_cell_size(text, width - 1)
    if _REST.match(text, len(start)):  # half a number is another number
        start = _NUMBER.sub("", start)
    return start.rstrip() + "…"


def folded(name: str, width: int) -> str:
    """A name in at most `width` cells, its middle left out.

    >>> folded("conv2/1/residual_unit/body/conv", 21)
    'conv2/1/re…/body/conv'
    """
    if cell_len(name) <= width:
        return name
    tail = (width - 1) // 2
    return set_cell_size(name, width - 1 - tail) + "…" + set_cell_size(name[::-1], tail)[::-1]
