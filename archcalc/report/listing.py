"""A report as a table: its rows, in order, and the text of every cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from fractions import Fraction
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import UsageError, suggestion
from archcalc.graph import Application
from archcalc.quantities import PER_LAYER, QUANTITIES, Total, fields, known, listed, names
from archcalc.report.division import divided
from archcalc.report.facts import facts
from archcalc.report.records import json_lines
from archcalc.report.rows import Entry, Layers, Line, Row, written_out
from archcalc.report.values import Values, shared
from archcalc.symbolic import Dim, is_symbolic
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


Cells: TypeAlias = "dict[Layers | int, list[Any]]"
"""The cells of rows, without those that depend on where a row stands, by their layers and by the `id` of a line."""


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
    _texts: Cells = field(default_factory=dict, repr=False, compare=False)

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

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows, with those of passes that are alike once."""
        return divided(self.report.graph, self.every, self.depth)

    def entries(self) -> Iterator[Entry]:
        """The rows, in the order of the graph, or from the largest value of the `sort` column to the least."""
        graph = self.report.graph
        graph.spend(5, ROWS)
        spend(15 * len(graph.applications()), ROWS)
        rows = written_out(self.rows)
        if not self.sort:
            return rows
        found = [(self.value(entry, self.sort), entry) for entry in rows]
        if any(is_symbolic(value) for value, _ in found):
            raise UsageError(
                f"can't sort by '{self.sort}': it has symbolic values", "give the symbols values, as in --set R=300"
            )
        return (entry for _, entry in sorted(found, key=itemgetter(0), reverse=True))

    def widths(self) -> list[int]:
        """The widest cell of each column; equal rows are looked at once, so this costs little before a long table."""
        if {*self.placed} - {"name"}:
            cells = (list(map(len, map(line, self.cells(entry)))) for entry in self.entries())
            return [max(sizes) for sizes in zip(*cells, strict=True)]
        lines: dict[Layers, Line] = {}
        longest = _measured(self.rows, {}, lines)
        rows = [[len(cell) for cell in self.cells(Entry("", 0, each))] for each in lines.values()]
        widths = [max(sizes) for sizes in zip(*rows, strict=True)]
        return [longest if column == "name" else width for column, width in zip(self.columns, widths, strict=True)]

    @cached_property
    def _in_common(self) -> frozenset[str]:
        return frozenset(shared())

    def value(self, entry: Entry, column: str) -> Any:
        """A row's sum or largest value in a column, or its share."""
        if is_share(column):
            return self._share(entry, column.removesuffix(SHARE))
        counted = self._counted(column)
        if counted in self._in_common:
            return self.report.summed(counted, entry.line.layers)
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
        """The texts of one row."""
        return self._row(entry, self._texts, self.text)

    def values(self) -> Iterator[list[Any]]:
        """The rows for programs: numbers are exact, and not grouped."""
        for column in self.columns:
            self.total(column)  # what is too much work is told before the first row
        known: Cells = {}
        return (self._row(entry, known, self.exact) for entry in self.entries())

    def _row(self, entry: Entry, known: Cells, cell: Callable[[Entry, str], Any]) -> list[Any]:
        """The cells of a row. What equal layers on equal shapes have in common is worked out once."""
        line = entry.line
        if id(line) not in known:  # lines are kept as long as this; equal ones have the same cells
            if line.layers not in known:
                known[line.layers] = [None if column in self.placed else cell(entry, column) for column in self.columns]
            known[id(line)] = known[line.layers]
        cells = known[id(line)].copy()
        for column, place in self.placed.items():
            cells[place] = entry.name if column == "name" else cell(entry, column)
        return cells

    @cached_property
    def placed(self) -> dict[str, int]:
        """The columns that depend on where in the graph a row is."""
        alike = (*shared(), "kind", "layer", *(() if self.depth else ("output_shape",)))
        return {column: at for at, column in enumerate(self.columns) if column.removesuffix(SHARE) not in alike}

    def exact(self, entry: Entry, column: str) -> Any:
        """A cell for programs; a share is the nearest float."""
        if column not in names(Total.SUM, Total.LARGEST) and not is_share(column):
            return self.text(entry, column)
        value = self.value(entry, column)
        return float(value) if isinstance(value, Fraction) and is_share(column) else value

    def text(self, entry: Entry, column: str) -> str:
        """A cell of a table."""
        report, layers = self.report, entry.line.layers
        if column == "name":
            return entry.name
        if column == "output_shape":
            shown = report.graph.node(entry.output(report.graph)).shape if self.depth else layers[0][0].output_shape
            return report.text(shown)
        if column in fields():
            return sizes_text(report.row(entry.output(report.graph))[column].values())
        if column == "kind":
            return kind_of(layers)
        if column == "layer":
            return layers_text(layers)
        return told(self.value(entry, column), column)


def sizes_text(sizes: Iterable[Any]) -> str:
    """A number of a receptive field along all axes."""
    return "x".join("" if size is None else str(size) for size in _unless_equal(list(sizes)))


def told(value: Any, column: str) -> str:
    """A number in words."""
    return "" if value is None else percent(value) if is_share(column) else exact(value)


def _makers(layers: Layers) -> dict[str, Dim]:
    """How many layers of each kind make volumes."""
    found: dict[str, Dim] = {}
    for at, count in layers:
        if not at.layer.in_place:
            found[at.layer.kind] = found.get(at.layer.kind, 0) + count
    return found


def kind_of(layers: Layers) -> str:
    """The kind of what makes a row's volume; `scope` if several layers do."""
    makers = _makers(layers)
    if not makers:
        return layers[0][0].layer.kind
    return next(iter(makers)) if sum(makers.values()) == 1 else "scope"


def layers_text(layers: Layers) -> str:
    """Layers as a spec would write them: `conv 64 3x3 + relu`; how many of each kind, if several make volumes."""
    makers = _makers(layers)
    if makers and sum(makers.values()) != 1:
        return ", ".join(f"{count} {kind}" for kind, count in makers.items())
    told = [layers[0], *(pair for pair in layers[1:] if not pair[0].layer.changes_nothing(*pair[0].input_shapes))]
    return " + ".join(f"{_written(at)} ×{count}" if count != 1 else _written(at) for at, count in told)


def _written(at: Application) -> str:
    return f"{at.text} (shared)" if at.copies == 0 else at.text


def _measured(rows: Sequence[Row], known: dict[int, int], lines: dict[Layers, Line]) -> int:
    """The longest name of rows; `lines` gets a line of each sort, and `known` is what is measured already."""
    if id(rows) not in known:
        longest = 0
        for row in rows:
            if isinstance(row, Line):
                lines.setdefault(row.layers, row)
                longest = max(longest, len(line(row.name)))
            else:
                name = max(len(line(row.name(number))) for number in (0, row.passes - 1))
                inner = _measured(row.rows, known, lines)
                longest = max(longest, name + 1 + inner if inner else name)
        known[id(rows)] = longest
    return known[id(rows)]


def _unless_equal(values: list[Any]) -> list[Any]:
    return values[:1] if all(value == values[0] for value in values) else values
