"""Rows of layers in the structure that the graph keeps: those of passes that are alike are there once.

So a listing streams, what its rows have in common is written once, and a repeat can be shown as one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from archcalc.graph import Application, Composite, Graph, Repeat
from archcalc.graph.composite import at_pass, number_of_pass
from archcalc.graph.labels import UNNAMED, Numbered
from archcalc.symbolic import Dim

if TYPE_CHECKING:
    from archcalc.graph.laid import Span

Layers: TypeAlias = "tuple[tuple[Application, Dim], ...]"
"""Layers applied to their shapes, and how often each is there."""


def shown(name: str | Numbered) -> str:
    """A name of a layer or a scope as people see it."""
    return str(name).removeprefix(UNNAMED)


class Line(NamedTuple):
    """One row in a part, wherever that stands: its name there, and its first node, counted from the part's first.

    `nodes` are its layers, counted from `first`, and `output` is the node whose volume it shows; None where that comes
    from outside, and its name has to be looked up. A pass that is one row has no name of its own.
    """

    name: str
    first: int
    nodes: Sequence[int]
    layers: Layers
    output: int | None = 0


class Run(NamedTuple):
    """Rows one level down: those of a scope, or of passes that are alike, one after the other.

    `passes` of `size` nodes each are laid out, from the one numbered `begin` of a repeat. A scope is one pass.
    """

    names: str | Numbered
    first: int
    size: int
    rows: tuple[Row, ...]
    passes: int = 1
    begin: int = 0
    repeat: Repeat | None = None

    def name(self, number: int) -> str:
        """The name of a pass, or of the scope."""
        return shown(self.names) if isinstance(self.names, str) else self.names.name(self.begin + number)

    @property
    def is_open(self) -> bool:
        """Whether it is passes of which a few are laid out."""
        return self.repeat is not None and self.repeat.is_open

    def times(self, number: int, count: int) -> Dim:
        """How many passes those stand for that are laid out from this one on."""
        first, last = self.ends(number, count)
        return last - first + 1

    def ends(self, number: int, count: int) -> tuple[Dim, Dim]:
        """The first and the last pass of those, by their numbers."""
        if not self.is_open:
            return number + 1, number + count
        assert self.repeat is not None
        first = self.begin + number
        inside = [ends for place, ends in self.repeat.stands_for().items() if first <= place < first + count]
        return inside[0][0], inside[-1][1]

    def speaker(self, number: int, count: int) -> int:
        """Which of those passes says what all of them have: of a symbolic number the one that has formulas for it."""
        if self.is_open and self.repeat is not None and number <= self.repeat.between - self.begin < number + count:
            return self.repeat.between - self.begin
        return number

    def rows_of(self, number: int, count: int) -> tuple[Row, ...]:
        """The rows of those passes, with formulas in the number of the pass if they are several."""
        repeat = self.repeat
        if repeat is None or repeat.index is None:
            return self.rows
        which = repeat.number(self.begin + self.speaker(number, count))
        return self.rows if which == repeat.index else put_in(self.rows, repeat.index, which)

    def within(self, number: int, count: int, around: Span) -> Span:
        """Those passes in others, for sums over all of them; a scope is one."""
        if self.repeat is None:
            return around
        return replace(around, passes=((self.repeat, *self.ends(number, count)), *around.passes))

    def spoken(self, number: int, count: int) -> tuple[tuple[Any, Dim], ...]:
        """The symbol for the number of the pass in what those passes have, and that number by the one in the name."""
        if self.repeat is None or isinstance(self.names, str) or self.times(number, count) == 1:
            return ()
        index, numbers = number_of_pass(self.repeat), self.names.numbers
        return ((index, (index - numbers.start) / numbers.step + 1),) if (numbers.start, numbers.step) != (1, 1) else ()

    def span(self, number: int, count: int, told: Callable[[Dim], Dim] = lambda end: end) -> str:
        """What those passes are called together: `2..36`; in steps of two `2..36:2`. `told` spells the ends."""
        if isinstance(self.names, str) or (count == 1 and not self.is_open):
            return self.name(number)
        numbers = self.names.numbers
        begin = 0 if self.is_open else self.begin
        ends = (numbers[0] + (begin + end - 1) * numbers.step for end in self.ends(number, count))
        texts = [str(told(end)).replace(" ", "") for end in dict.fromkeys(ends)]
        step = f":{numbers.step}" if numbers.step != 1 and len(texts) > 1 else ""
        return f"{self.names.before.removeprefix(UNNAMED)}{'..'.join(texts)}{step}{self.names.after}"


Row: TypeAlias = "Line | Run"


class Entry(NamedTuple):
    """A row where it stands: its whole name, its first node, and what it is."""

    name: str
    first: int
    line: Line

    @classmethod
    def of_layer(cls, name: str, index: int, layer: Application) -> Entry:
        """A row for one layer."""
        return cls(name, index, Line(name, 0, (0,), ((layer, 1),)))

    @property
    def nodes(self) -> Sequence[int]:
        """The layers in it, as indices of the graph's nodes."""
        return [self.first + node for node in self.line.nodes]

    def output(self, graph: Graph) -> int:
        """The node whose volume it shows."""
        return graph.place(self.name) if self.line.output is None else self.first + self.line.output


def written_out(rows: Sequence[Row], prefix: str = "", start: int = 0) -> Iterator[Entry]:
    """Every row of a part that starts at a node, those of each pass."""
    for row in rows:
        if isinstance(row, Line):
            yield Entry(prefix + row.name if row.name else prefix[:-1], start + row.first, row)
        else:
            for number in range(row.passes):
                yield from written_out(row.rows, f"{prefix}{row.name(number)}/", start + row.first + number * row.size)


def put_in(rows: Sequence[Row], index: Any, number: Dim) -> tuple[Row, ...]:
    """Rows of pass `index` in the pass of a number."""
    from archcalc.symbolic.sums import at  # few passes change

    found: list[Row] = []
    for row in rows:
        if isinstance(row, Line):
            layers = tuple([(at_pass(layer, index, number), at(times, index, number)) for layer, times in row.layers])
            found.append(row._replace(layers=layers))  # type: ignore[arg-type]  # a layer is one
        else:
            repeat = None if row.repeat is None else at_pass(row.repeat, index, number)
            found.append(row._replace(rows=put_in(row.rows, index, number), repeat=repeat))  # type: ignore[arg-type]  # likewise
    return tuple(found)


def lines(rows: tuple[Row, ...], known: dict[int, int]) -> int:
    """How many lines there are with one pass of each run; `known` are parts that are counted already."""
    if id(rows) not in known:
        known[id(rows)] = sum(lines(row.rows, known) if isinstance(row, Run) else 1 for row in rows)
    return known[id(rows)]


def span_of(rows: Sequence[Row], node: int) -> str:
    """What the row of a layer and those like it in other passes are called together, if each layer has its row."""
    row = rows[bisect_right(rows, node, key=attrgetter("first")) - 1]
    if isinstance(row, Line):
        return row.name
    inner = span_of(row.rows, (node - row.first) % row.size)
    return f"{row.span(0, row.passes)}/{inner}".removesuffix("/")


def around(call: Composite | Repeat, name: str | Numbered, first: int, rows: tuple[Row, ...]) -> Run:
    """The rows of a scope, or of a repeat's body, one level down."""
    if isinstance(call, Repeat):
        return Run(name, first, call.body.size, rows, call.count, repeat=call)
    return Run(name, first, call.size, rows)
