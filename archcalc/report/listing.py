"""A report as a table: its rows, in order, and the text of every cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from archcalc.errors import UsageError, suggestion
from archcalc.graph import Application
from archcalc.quantities import PER_LAYER, QUANTITIES, Total, fields, known, listed, names
from archcalc.report.facts import facts
from archcalc.report.records import json_lines
from archcalc.report.rows import Entry, applications, entries
from archcalc.report.values import Values, shared
from archcalc.symbolic import is_symbolic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.numbers import exact, percent
from archcalc.text import line
from archcalc.work import spend

DEFAULT = ("name", "layer", "output_shape", "activations", "params", "macs")
TEXTS = ("name", "kind", "layer", "output_shape")
KINDS = {"name": Kind.NAME, "kind": Kind.WORD, "layer": Kind.LAYERS,
         **dict.fromkeys(("output_shape", *fields()), Kind.SIZES)}  # fmt: skip
DROPPED = ("layer", "activations", "output_shape", "macs")
"""In which order a narrow terminal leaves columns out."""

SHARE = "_share"
"""After the name of a sum: each row's share of it."""
ROWS = "writing so many rows"
"""What `spend` says."""
LONGEST_TOTAL = 30
TOLD_BELOW = ("params", "weights", "biases", "macs", "flops", "activations", "activation_bytes", "saved_bytes")


def known_columns() -> tuple[str, ...]:
    """What a table can show."""
    return (*TEXTS, *names(*PER_LAYER), *(name + SHARE for name in names(Total.SUM)))


def with_shares(columns: str | Iterable[str], share: str | Iterable[str]) -> tuple[str, ...]:
    """Columns with those of some sums' shares, each after what it's a share of, or at the end.

    >>> with_shares(["name", "params", "macs"], ["params", "weights"])
    ('name', 'params', 'params_share', 'macs', 'weights_share')
    """
    shown = list(listed(columns))
    for column in listed(share, "share") if share else ():
        known(column, Total.SUM)
        place = shown.index(column) + 1 if column in shown else len(shown)
        shown.insert(place, column + SHARE)
    return tuple(shown)


def is_share(column: str) -> bool:
    """Whether a column shows shares of a sum."""
    return column.endswith(SHARE) and column.removesuffix(SHARE) in names(Total.SUM)


@dataclass(frozen=True)
class Listing:
    """A choice of rows and columns of a report.

    `every` gives each layer its own row, `depth` each scope; `bias` is false for params without biases.
    """

    report: Values
    columns: tuple[str, ...] = DEFAULT
    every: bool = False
    depth: int = 0
    sort: str = ""
    bias: bool = True
    _known: dict[tuple[Application, ...], dict[str, str]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for column in self.columns:
            if column in names(Total.OWN):
                hint = "it stands below the table, and in --format json"
                raise UsageError(f"'{column}' is a total, not a column", hint)
            if column not in known_columns():
                raise UsageError(f"unknown column '{column}'", suggestion(str(column), known_columns()))
        for column in (*self.columns, *([self.sort] if self.sort in QUANTITIES else [])):
            if column not in TEXTS:
                self.report.check(column.removesuffix(SHARE))
        if len(set(self.columns)) < len(self.columns):
            raise UsageError("a column can be shown once only")
        if not isinstance(self.depth, int) or self.depth < 0:
            raise UsageError(f"a depth is a number of scopes, not {self.depth!r:.60}", "depth=1")
        if self.sort and self.sort not in names(Total.SUM, Total.LARGEST):
            hint = suggestion(self.sort, names(Total.SUM, Total.LARGEST))
            raise UsageError(f"can't sort by '{self.sort}'", hint)
        if not self.bias and not {"params", "params_share"} & {*self.columns, self.sort}:
            raise UsageError("no column shows params, with or without biases", "--columns name,params")
        if self.every and self.depth:
            raise UsageError("a row for every layer, or one for each scope: not both")

    def table(self) -> Table:
        """The table; nothing is computed before it's asked for."""
        report = self.report
        return Table(
            [self._column(column) for column in self.columns],
            lambda: map(self.cells, self.entries()),
            report.name,
            report.graph.title,
            total=self.totals,
            facts=lambda: facts(report),
            values=self.values,
            json=lambda: json_lines(report),
            widths=self.widths,
        )

    def _column(self, name: str) -> Column:
        drop = DROPPED.index(name) + 1 if name in DROPPED else 0
        kind = Kind.SHARE if is_share(name) else KINDS.get(name, Kind.NUMBER)
        return Column(self._counted(name), kind, self.label(name), drop)

    def label(self, column: str) -> str:
        """A column's heading."""
        if is_share(column):
            of, place = column.removesuffix(SHARE), self.columns.index(column)
            return "share" if of in self.columns[:place][-1:] else f"{self.label(of)} share"
        if column == "params" and not self.bias:
            return "params (weights only)"
        if column in TEXTS:
            return column.removesuffix("_shape")
        if QUANTITIES[column].one_example and self.report.batch != 1:
            return f"{column} per example"  # beside columns that are for the whole batch
        if column in fields() and self.report.graph.first_of_several:
            return f"{QUANTITIES[column].heading} on {line(self.report.graph.first_of_several)}"
        return QUANTITIES[column].heading

    def entries(self) -> Iterator[Entry]:
        """The rows, in the order of the graph, or from the largest value of the `sort` column to the least."""
        graph = self.report.graph
        graph.spend(4, ROWS)
        spend(15 * len({node.application for node in graph.nodes}), ROWS)
        rows = entries(graph, self.every, self.depth)
        if not self.sort:
            return rows
        values = {entry: self.value(entry, self.sort) for entry in rows}
        if any(map(is_symbolic, values.values())):
            raise UsageError(
                f"can't sort by '{self.sort}': it has symbolic values", "give the symbols values, as in --set R=300"
            )
        return iter(sorted(values, key=values.__getitem__, reverse=True))

    def widths(self) -> list[int]:
        """The widest cell of each column; equal rows are looked at once, so this costs little before a long table."""
        looked_at: set[int] = set()
        widths, longest = [0] * len(self.columns), 0
        for entry in entries(self.report.graph, self.every, self.depth):
            longest = max(longest, len(line(entry.name)))
            known = self.shared(entry)
            if id(known) in looked_at and known.keys() >= {*self.columns} - {"name"}:
                continue
            looked_at.add(id(known))
            widths = [max(width, len(cell)) for width, cell in zip(widths, self.cells(entry), strict=True)]
        return [longest if column == "name" else width for column, width in zip(self.columns, widths, strict=True)]

    @cached_property
    def _in_common(self) -> frozenset[str]:
        return frozenset(shared())

    def value(self, entry: Entry, column: str) -> Any:
        """A row's sum or largest value in a column, or its share."""
        if is_share(column):
            return self._share(entry, column.removesuffix(SHARE))
        counted = self._counted(column)
        if len(entry.nodes) == 1 and counted in self._in_common:
            return self.report.value(self.report.graph.nodes[entry.nodes[0]].application, counted)
        return self.report.over(counted, entry.nodes)

    def _share(self, entry: Entry, column: str) -> Fraction | None:
        """A row's share of a column's sum; None if that is 0.

        Raises: UsageError: one of them depends on a symbol.
        """
        value, total = self.value(entry, column), self.total(column)
        if is_symbolic(value) or is_symbolic(total):
            raise UsageError(f"shares of {column} depend on a symbol", "give the symbols values, as in --set R=300")
        return Fraction(value, total) if total else None

    def _counted(self, column: str) -> str:
        return "weights" if column == "params" and not self.bias else column

    def total(self, column: str) -> Any:
        """A column's sum or largest value; None for a column that has none."""
        if column not in self._totals:
            has_one = column in names(Total.SUM, Total.LARGEST)
            self._totals[column] = self.report.total(self._counted(column)) if has_one else None
        return self._totals[column]

    @cached_property
    def _totals(self) -> dict[str, Any]:
        return {}

    def totals(self) -> list[str]:
        """The cells of the last row."""
        sums = [self.total(column) for column in self.columns]
        cells = ["" if value is None else exact(value) for value in sums]
        for place, cell in enumerate(cells):
            if len(cell) > LONGEST_TOTAL and self.columns[place] in TOLD_BELOW:
                cells[place] = "below"  # an expression that would make its column wider
        if self.columns[0] in TEXTS:
            cells[0] = "total"
        return cells

    def cells(self, entry: Entry) -> list[str]:
        """The texts of one row. What doesn't depend on the place in the graph is written once for equal rows."""
        known = self.shared(entry)
        return [known[column] if column in known else self._placed(entry, column) for column in self.columns]

    def values(self) -> Iterator[list[Any]]:
        """The rows for programs: numbers are exact, and not grouped."""
        for column in self.columns:
            self.total(column)  # what is too much work is told before the first row
        counted = [is_share(column) or column in names(Total.SUM, Total.LARGEST) for column in self.columns]
        for entry in self.entries():
            cells = zip(self.columns, self.cells(entry), counted, strict=True)
            yield [self._number(entry, column) if number else cell for column, cell, number in cells]

    def _number(self, entry: Entry, column: str) -> Any:
        """A cell for programs; a share is the nearest float."""
        value = self.value(entry, column)
        return float(value) if isinstance(value, Fraction) and is_share(column) else value

    def shared(self, entry: Entry) -> dict[str, str]:
        """The cells that equal layers on equal shapes have in common, by column."""
        found = applications(self.report.graph, entry)
        if found not in self._known:
            alike = (*shared(), *(() if self.depth else ("kind", "layer", "output_shape")))
            self._known[found] = {
                column: self._text(entry, found, column)
                for column in self.columns
                if column.removesuffix(SHARE) in alike
            }
        return self._known[found]

    def _text(self, entry: Entry, found: tuple[Application, ...], column: str) -> str:
        """A cell of a row whose first layer makes the volume."""
        if column == "kind":
            return found[0].layer.kind
        if column == "layer":
            return layers_text(found)
        if column == "output_shape":
            return self.report.text(found[0].output_shape)
        return self._told(entry, column)

    def _told(self, entry: Entry, column: str) -> str:
        """A number in words."""
        value = self.value(entry, column)
        return "" if value is None else percent(value) if is_share(column) else exact(value)

    def _placed(self, entry: Entry, column: str) -> str:
        """A cell that depends on where in the graph the row is."""
        report = self.report
        if column == "name":
            return entry.name
        if column == "output_shape":
            return report.text(report.graph.nodes[entry.output].shape)
        if column in fields():
            sizes = _unless_equal(list(report.row(entry.output)[column].values()))
            return "x".join("" if size is None else str(size) for size in sizes)
        if column not in TEXTS:
            return self._told(entry, column)
        found = applications(report.graph, entry)
        makers = [application for application in found if not application.layer.in_place]
        if len(makers) > 1:
            kinds = Counter(application.layer.kind for application in makers)
            return "scope" if column == "kind" else ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return (makers or found)[0].layer.kind if column == "kind" else layers_text(found)


def layers_text(found: tuple[Application, ...]) -> str:
    """Layers as a spec would write them: `conv 64 3x3 + relu`."""
    told = [found[0], *(at for at in found[1:] if not at.layer.changes_nothing(*at.input_shapes))]
    return " + ".join(at.text for at in told)


def _unless_equal(values: list[Any]) -> list[Any]:
    return values[:1] if all(value == values[0] for value in values) else values
