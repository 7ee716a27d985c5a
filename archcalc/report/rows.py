"""Rows of layers in the structure that the graph keeps: those of passes that are alike are there once.

So a listing streams, what its rows have in common is written once, and a repeat can be shown as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from archcalc.graph import Application, Composite, Graph, Repeat
from archcalc.graph.labels import Numbered
from archcalc.symbolic import Dim

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


def around(call: Composite | Repeat, name: str | Numbered, first: int, rows: tuple[Row, ...]) -> Run:
    """The rows of a scope, or of a repeat's body, one level down."""
    if isinstance(call, Repeat):
        return Run(name, first, call.body.size, rows, call.count, repeat=call)
    return Run(name, first, call.size, rows)
