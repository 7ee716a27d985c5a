"""Rows of equal passes once: how many there are, the amounts of each of them, and those of all together.

The law: a row's amount times how often it is there, added up over all rows, is the total; and so are the amounts of
runs of passes together with those of the rows in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from archcalc.analyses.least import largest
from archcalc.errors import UsageError
from archcalc.graph import MAX_LAYERS, NoNumber, TooManyLayers
from archcalc.quantities import Total, fields, names
from archcalc.report.division import divided
from archcalc.report.facts import facts
from archcalc.report.listing import SHARE, Listing, is_share, told
from archcalc.report.records import dump, framed, shapes
from archcalc.report.rows import Entry, Row, Run, lines, span_of, written_out
from archcalc.report.values import Values, expanded, shared, weighed
from archcalc.symbolic import Dim, is_symbolic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.blocks import INDENT
from archcalc.tables.numbers import exact
from archcalc.work import spend

TIMES, ALL = "times", "_all"
"""The column that says how many there are, and what comes after the name of a sum that is one of all of them."""
EACH, TOGETHER = "each", "together"
"""What a row is called that is a whole pass, and what one consists of that is about all passes."""
SUMS = names(Total.SUM)
SPARED = 2
"""So many lines folding has to spare, if nobody asked for it."""
TOLD = "so many passes are equal: their row has the amounts of all together, the indented rows those of each"


class Shown(NamedTuple):
    """A row of a folded table: its name in the network and in what it's part of, and how many there are of it.

    `entry` is one of them. A head is about all passes of a run: the rows `inside` it, which follow.
    """

    name: str
    label: str
    times: Dim
    entry: Entry
    inside: tuple[Shown, ...] = ()

    @property
    def ends(self) -> Iterator[Shown]:
        """The rows in it that are no heads, or itself."""
        return (row for row in self.inside if not row.inside) if self.inside else iter([self])


class _At(NamedTuple):
    """Where a part stands: its first node, and what is before the names in it, of nodes, of rows, and of labels."""

    start: int = 0
    prefix: str = ""
    name: str = ""
    label: str = ""

    def inside(self, run: Run, number: int, span: str) -> _At:
        """A pass of a run in this part, or several that are called so."""
        start, prefix = self.start + run.first + number * run.size, f"{self.prefix}{run.name(number)}/"
        return _At(start, prefix, f"{self.name}{span}/", f"{self.label}{span}/")


@dataclass(frozen=True)
class Folded:
    """A listing in which passes that are equal are there once; without `every`, only where that spares some lines."""

    listing: Listing
    every: bool = True
    _pieces: dict[tuple[str, int], tuple[Dim, int]] = field(default_factory=dict, repr=False, compare=False)
    """Of repeats whose number is a symbol, where they stand: that, and into how many rows its passes are divided."""

    def __post_init__(self) -> None:
        listing, graph = self.listing, self.listing.report.graph
        if listing.sort:
            raise UsageError("rows that are folded stand in the order of the graph", "sort them unfolded")
        if graph.varies:
            message = f"sizes of {graph.name} change from pass to pass, and the number of passes is a symbol"
            raise NoNumber(message, "its totals have formulas; give the symbol a value to see layers")
        if graph.is_open and (grown := {*fields()}.intersection(listing.columns)):
            message = f"{min(grown)} differs from pass to pass, and the number of passes is a symbol"
            raise NoNumber(message, "give the symbol a value, or leave the column out")

    def table(self) -> Table:
        """The table; nothing is computed before it's asked for."""
        whole = self.listing.table()
        columns = [*whole.columns]
        columns.insert(self._place, Column(TIMES, Kind.NUMBER, "×"))
        return replace(
            whole, columns=columns, rows=lambda: map(self.cells, self.rows), total=self._totals, widths=None,
            keys=self._keys, values=self.values, facts=self._facts, json=lambda: json_lines(self.listing.report),
        )  # fmt: skip

    # --- rows -----------------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> tuple[Shown, ...]:
        """The rows, each head before those of a pass."""
        graph, many = self.listing.report.graph, lines(self._divided, {})
        if many > MAX_LAYERS:
            raise TooManyLayers(graph.name, graph.tree.body.size)
        spend(20 * many, "folding so many rows")
        rows = tuple(self._shown(self._divided, _At(), 1, 0))
        self._check(rows)
        return rows

    @cached_property
    def _divided(self) -> tuple[Row, ...]:
        """The rows that are folded. Each layer has its own number where amounts depend on that."""
        graph, each = self.listing.report.graph, {*self.listing.placed} - {"name", "output_shape"}
        return divided(graph, self.listing.every, self.listing.depth, folded=graph.is_open or not each)

    @property
    def spares(self) -> bool:
        """Whether there are passes that are folded."""
        return any(row.inside for row in self.rows)

    def _shown(self, rows: Sequence[Row], at: _At, times: Dim, level: int) -> Iterator[Shown]:
        """The rows of a part where it stands, which is there so many times."""
        for row in rows:
            if isinstance(row, Run):
                yield from self._run(row, at, times, level)
            else:
                entry = Entry((at.prefix + row.name).removesuffix("/"), at.start + row.first, row)
                name, label = ((before + row.name).removesuffix("/") for before in (at.name, at.label))
                yield Shown(name, INDENT * level + (label or EACH), times, entry)

    def _run(self, run: Run, at: _At, times: Dim, level: int) -> Iterator[Shown]:
        """The rows of a scope or of passes."""
        for begin, count in self._alike(run, at):
            many, there = run.times(begin, count), at.inside(run, begin, run.span(begin, count))
            if run.repeat and is_symbolic(run.repeat.times):
                place = at.name, id(run.repeat)
                self._pieces[place] = run.repeat.times, self._pieces.get(place, (0, 0))[1] + 1
            if many == 1:
                yield from self._shown(run.rows, there, times, level)
                continue
            rows = tuple(self._shown(run.rows, there._replace(label=""), times * many, level + 1))
            if self.every or is_symbolic(many) or (many - 1) * len(rows) > SPARED:
                label = INDENT * level + there.label.removesuffix("/")
                yield Shown(there.name.removesuffix("/"), label, times * many, rows[0].entry, rows)
                yield from rows
            else:
                for number in range(begin, begin + count):
                    yield from self._shown(run.rows, at.inside(run, number, run.name(number)), times, level)

    def _alike(self, run: Run, at: _At) -> Iterator[tuple[int, int]]:
        """Which passes of a run have equal rows: the first of them, and how many."""
        placed = [column for column in self.listing.placed if column not in ("name", "output_shape")]
        if not placed or run.passes == 1:  # all passes return the same shape
            yield 0, run.passes
            return

        def cells(number: int) -> list[Any]:
            there = at.inside(run, number, "")
            rows = written_out(run.rows, there.prefix, there.start)
            return [self.listing.exact(entry, column) for entry in rows for column in placed]

        for _, equal in groupby(range(run.passes), cells):
            found = [*equal]
            yield found[0], len(found)

    # --- amounts --------------------------------------------------------------------------------------------------

    def amount(self, row: Shown, column: str) -> Any:
        """What each of a row's layers has of a sum, a largest value or a share; of a head, what all passes have."""
        return self.together(row, column) if row.inside else self.listing.value(row.entry, column)

    def together(self, row: Shown, column: str) -> Any:
        """What all that a row stands for have together."""
        if is_share(column):
            return self._share(row, column.removesuffix(SHARE))
        values = [(end.times, self.listing.value(end.entry, column)) for end in row.ends]
        if column in names(Total.LARGEST):
            return largest(value for _, value in values)
        return added(values)

    def _share(self, row: Shown, column: str) -> Fraction | None:
        total = self.listing.total(column)
        return Fraction(self.together(row, column), total) if total else None

    def _check(self, rows: Sequence[Shown]) -> None:
        """See that amounts which depend on places add up to the totals; those of rare first passes may not.

        Raises: NoNumber: they don't.
        """
        numbers = [name for name in self.listing.placed if name in names(Total.SUM, Total.LARGEST)]
        for column in numbers if self.listing.report.graph.is_open else ():
            values = [(row.times, self.listing.value(row.entry, column)) for row in rows if not row.inside]
            found = largest(value for _, value in values) if column in names(Total.LARGEST) else added(values)
            if added([(1, found), (-1, self.listing.total(column))]) != 0:
                message = f"{column} of single layers has no one formula for every number of passes"
                raise NoNumber(message, "give the symbol a value, or leave the column out")

    # --- cells ----------------------------------------------------------------------------------------------------

    @cached_property
    def _place(self) -> int:
        """The number of the column that says how many there are."""
        columns = self.listing.columns
        return columns.index("name") + 1 if "name" in columns else 0

    def _totals(self) -> list[str]:
        cells = self.listing.totals()
        return [*cells[: self._place], "", *cells[self._place :]]

    def cells(self, row: Shown) -> list[str]:
        """The texts of a row."""
        cells = [self._text(row, column) for column in self.listing.columns]
        cells.insert(self._place, "" if row.times == 1 else exact(row.times))
        return cells

    def _text(self, row: Shown, column: str) -> str:
        if column == "name":
            return row.label
        if not row.inside:
            return self.listing.text(row.entry, column)
        if column in ("kind", "layer"):
            return TOGETHER
        shown = column != "output_shape" and column not in fields()
        return told(self.amount(row, column), column) if shown else ""

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield from facts(self.listing.report)
        if self.spares:
            yield "×", TOLD
        if needed := list(self._needed()):
            yield "rows", f"as they stand if {' and '.join(needed)}; the totals hold in any case"

    def _needed(self) -> Iterator[str]:
        """How many passes there have to be for all rows: `n >= 2`."""
        least: dict[Any, Any] = {}
        for times, pieces in self._pieces.values():
            constant, rest = times.as_coeff_Add()  # type: ignore[union-attr]  # of symbolic numbers
            least[rest] = max(least.get(rest, 0), pieces - 1 - constant)
        return (f"{rest} >= {number}" for rest, number in least.items() if number > 0)

    # --- for programs ---------------------------------------------------------------------------------------------

    @property
    def _keys(self) -> list[str]:
        """The names of the values: of sums each, and all together."""
        keys = [name for column in self.listing.columns for name in (column, column + ALL)[: 1 + (column in SUMS)]]
        keys.insert(self._place, TIMES)
        return keys

    def values(self) -> Iterator[list[Any]]:
        """The rows that are no heads, with exact values."""
        for row in self.rows:
            if not row.inside:
                values: list[Any] = []
                for column in self.listing.columns:
                    values.append(row.name if column == "name" else self.listing.exact(row.entry, column))
                    values += [self.together(row, column)] if column in SUMS else []
                values.insert(self._place, row.times)
                yield values


def added(values: Iterable[tuple[Dim, Any]]) -> Any:
    """The sum of values, each so many times."""
    return expanded(weighed(values))


def json_lines(report: Values) -> Iterator[str]:
    """The report as one JSON object with a line for each layer of equal passes, and how often it's there.

    What depends on the place isn't in it.
    """
    rows = Folded(Listing(report, ("name", *shared()), every=True))
    yield from framed(report, (dump(_record(rows, row)) for row in rows.rows if not row.inside))


def _record(rows: Folded, row: Shown) -> dict[str, Any]:
    """A layer; `inputs` are those of the first of the passes."""
    graph = rows.listing.report.graph
    node = graph.node(row.entry.first)
    sums = {name: rows.listing.value(row.entry, name) for name in shared()}
    return {
        "name": row.name,
        TIMES: row.times,
        "kind": node.kind,
        "inputs": [span_of(rows.listing.rows, index) for index in node.inputs],
        **shapes(rows.listing.report, node),
        **{key: value for name in sums for key, value in ((name, sums[name]), (name + ALL, rows.together(row, name)))},
        "in_place": node.layer.in_place,
    }
