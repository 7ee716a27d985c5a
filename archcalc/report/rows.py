"""Rows of layers in the structure that the graph keeps: those of passes that are alike are there once.

So a listing streams, what its rows have in common is written once, and a repeat can be shown as one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from archcalc.graph import Application, Composite, Graph, Repeat
from archcalc.graph.labels import UNNAMED, Numbered
from archcalc.symbolic import Dim, is_symbolic

Layers: TypeAlias = "tuple[tuple[Application, Dim], ...]"
"""Layers applied to their shapes, and how often each is there."""


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
        return self.names if isinstance(self.names, str) else self.names.name(self.begin + number)

    @property
    def _is_open(self) -> bool:
        return self.repeat is not None and is_symbolic(self.repeat.times)

    def times(self, number: int, count: int) -> Dim:
        """How many passes those stand for that are laid out from this one on.

        Of a symbolic number the first, one for all between, and the last are laid out.
        """
        if not self._is_open:
            return count
        assert self.repeat is not None
        first = self.begin + number
        return sum(([1, self.repeat.times - 2, 1])[first : first + count])

    def span(self, number: int, count: int) -> str:
        """What those passes are called together: `2..36`; in steps of two `2..36:2`."""
        if isinstance(self.names, str) or (count == 1 and not self._is_open):
            return self.name(number)
        numbers, first, last = self.names.numbers, self.begin + number, self.begin + number + count - 1
        ends: list[Dim] = [numbers[first], numbers[last]]
        if self._is_open:
            assert self.repeat is not None
            end = numbers[0] + (self.repeat.times - 1) * numbers.step
            ends = [(numbers[0], numbers[0] + numbers.step, end)[first], (numbers[0], end - numbers.step, end)[last]]
        told = [str(end).replace(" ", "") for end in dict.fromkeys(ends)]
        step = f":{numbers.step}" if numbers.step != 1 and len(told) > 1 else ""
        return f"{self.names.before.removeprefix(UNNAMED)}{'..'.join(told)}{step}{self.names.after}"


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
