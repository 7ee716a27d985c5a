"""Rows of equal passes once: how many there are, the amounts of each of them, and those of all together.

The law: a row's amount times how often it is there, added up over all rows, is the total; and so are the amounts of
runs of passes together with those of the rows in none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from archcalc.analyses.least import largest
from archcalc.errors import UsageError
from archcalc.graph import MAX_LAYERS, NoNumber, TooManyLayers
from archcalc.graph.composite import number_of_pass
from archcalc.graph.laid import Span
from archcalc.quantities import Total, fields, names
from archcalc.report.division import divided
from archcalc.report.facts import facts
from archcalc.report.listing import SHARE, Listing, is_share, sizes_text, told
from archcalc.report.records import dump, framed, shapes
from archcalc.report.rows import Entry, Line, Row, Run, lines, put_in, span_of, written_out
from archcalc.report.values import Values, expanded, shared, weighed
from archcalc.symbolic import Dim, is_symbolic
from archcalc.symbolic.arithmetic import PRIME
from archcalc.symbolic.sums import at as number_at
from archcalc.symbolic.sums import tidy
from archcalc.tables import Column, Kind, Table
from archcalc.tables.blocks import INDENT
from archcalc.tables.numbers import exact
from archcalc.work import spend

if TYPE_CHECKING:
    from archcalc.analyses.field import Fields

TIMES, ALL = "times", "_all"
"""The column that says how many there are, and what comes after the name of a sum that is one of all of them."""
EACH, TOGETHER = "each", "together"
"""What a row is called that is a whole pass, and what one consists of that is about all passes."""
SUMS = names(Total.SUM)
SPARED = 2
"""So many lines folding has to spare, if nobody asked for it."""
TOLD = "so many passes are equal: their row has the amounts of all together, the indented rows those of each"
TOLD_BY_LAW = "so many passes follow a law: their row has the amounts of all together, the indented rows those of one"
COUNTED, NUMBERED = re.compile(f"[ip]{PRIME}+"), "the number in the name of the pass, where passes change by a law"

Spoken: TypeAlias = "tuple[tuple[Any, Dim], ...]"


class Shown(NamedTuple):
    """A row of a folded table: its name in the network and in what it's part of, and how many there are of it.

    `entry` is one of them, and has formulas in the number of its pass where they aren't all alike; `first` is the first
    of them, and `span` all their passes. `spoken` says what such numbers are by those in the names of passes. A head is
    about all passes of a run: the rows `inside` it, which follow.
    """

    name: str
    label: str
    times: Dim
    entry: Entry
    first: Entry
    span: Span
    spoken: Spoken = ()
    inside: tuple[Shown, ...] = ()

    @property
    def ends(self) -> Iterator[Shown]:
        """The rows in it that are no heads, or itself."""
        return (row for row in self.inside if not row.inside) if self.inside else iter([self])

    def told(self, value: Any) -> Any:
        """A value by the numbers in the names of passes."""
        return _told(value, self.spoken)

    def told_entry(self) -> Entry:
        """The row with formulas in the numbers in the names of passes."""
        line = self.entry.line
        for index, number in self.spoken:
            (line,) = put_in([line], index, number)  # type: ignore[assignment]  # a line is one
        return self.entry if line is self.entry.line else self.entry._replace(line=line)


class _At(NamedTuple):
    """Where a part stands: its first node, and what is before the names in it, of nodes, of rows, and of labels.

    `first` is the first node of the first pass, of several that are called so; `span` are the passes.
    """

    start: int = 0
    prefix: str = ""
    name: str = ""
    label: str = ""
    first: int = 0
    span: Span = Span(())
    spoken: Spoken = ()

    def inside(self, run: Run, begin: int, count: int) -> _At:
        """Some passes of a run in this part."""
        start = self.start + run.first + run.speaker(begin, count) * run.size
        prefix, name = f"{self.prefix}{run.name(begin)}/", f"{run.span(begin, count, self.told)}/"
        first = self.first + run.first + begin * run.size
        return _At(start, prefix, self.name + name, self.label + name, first, self.span, self.spoken)

    def told(self, value: Any) -> Any:
        """A value by the numbers in the names of passes."""
        return _told(value, self.spoken)

    def several(self, run: Run, begin: int, count: int) -> _At:
        """In those passes, what they have is told once."""
        return self._replace(
            label="", span=run.within(begin, count, self.span), spoken=(*run.spoken(begin, count), *self.spoken)
        )

    def entries(self, row: Line) -> tuple[Entry, Entry]:
        """A row in it, and that of the first pass."""
        name = (self.prefix + row.name).removesuffix("/")
        return Entry(name, self.start + row.first, row), Entry(name, self.first + row.first, row)


@dataclass(frozen=True)
class Folded:
    """A listing in which passes that are equal are there once; without `every`, only where that spares some lines.

    Where their number is a symbol, passes that change by a law are there once, too, with formulas in the number of the
    pass. `seen` are receptive fields that rows will show.
    """

    listing: Listing
    every: bool = True
    seen: Callable[[int], Fields] | None = None
    _pieces: dict[tuple[str, int], tuple[Dim, int]] = field(default_factory=dict, repr=False, compare=False)
    """Of repeats whose number is a symbol, where they stand: that, and into how many rows its passes are divided."""

    def __post_init__(self) -> None:
        listing, graph = self.listing, self.listing.report.graph
        if listing.sort:
            raise UsageError("rows that are folded stand in the order of the graph", "sort them unfolded")
        if listing.depth and graph.varies:
            message = f"sizes of {graph.name} change from pass to pass, and the number of passes is a symbol"
            raise NoNumber(message, "its layers have rows; of scopes, give the symbol a value")

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
        rows = graph.in_closed_form("its rows", lambda: tuple(self._shown(self._divided, _At(), 0)))
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

    def _shown(self, rows: Sequence[Row], at: _At, level: int) -> Iterator[Shown]:
        """The rows of a part where it stands."""
        for row in rows:
            if isinstance(row, Run):
                yield from self._run(row, at, level)
            else:
                name, label = ((before + row.name).removesuffix("/") for before in (at.name, at.label))
                times = at.span.sum(1)
                yield Shown(name, INDENT * level + (label or EACH), times, *at.entries(row), at.span, at.spoken)

    def _run(self, run: Run, at: _At, level: int) -> Iterator[Shown]:
        """The rows of a scope or of passes."""
        for begin, count in self._alike(run, at):
            many, there = run.times(begin, count), at.inside(run, begin, count)
            if run.repeat and is_symbolic(run.repeat.times):
                place = at.name, id(run.repeat)
                self._pieces[place] = run.repeat.times, self._pieces.get(place, (0, 0))[1] + 1
            if many == 1:
                yield from self._shown(run.rows_of(begin, count), there, level)
                continue
            inside = there.several(run, begin, count)
            rows = tuple(self._shown(run.rows_of(begin, count), inside, level + 1))
            if self.every or is_symbolic(many) or (many - 1) * len(rows) > SPARED:
                label = INDENT * level + there.label.removesuffix("/")
                name, (head, *_) = there.name.removesuffix("/"), rows
                yield Shown(name, label, inside.span.sum(1), head.entry, head.first, inside.span, inside=rows)
                yield from rows
            else:
                for number in range(begin, begin + count):
                    yield from self._shown(run.rows, at.inside(run, number, 1), level)

    def _alike(self, run: Run, at: _At) -> Iterator[tuple[int, int]]:
        """Which passes of a run have equal rows, or rows of which one formula says all: the first, and how many."""
        placed = [column for column in self.listing.placed if column not in ("name", "output_shape")]
        if run.is_open:
            yield from self._follow(run, at, bool(placed or self.seen))
            return
        if not (placed or self.seen) or run.passes == 1:  # all passes return the same shape
            yield 0, run.passes
            return
        for _, equal in groupby(range(run.passes), lambda number: self._values(run, at, number)):
            found = [*equal]
            yield found[0], len(found)

    def _follow(self, run: Run, at: _At, differs: bool) -> Iterator[tuple[int, int]]:
        """The same where few passes are laid out: for which of them the one between the first and the last speaks."""
        assert run.repeat is not None
        index, begin = number_of_pass(run.repeat), 0
        places = [place - run.begin for place in run.repeat.stands_for() if run.begin <= place < run.begin + run.passes]
        between = run.repeat.between - run.begin
        if between not in places:
            yield from ((place, 1) for place in places)
            return
        formulas = self._values(run, at, between) if differs else []
        for place in places if differs else ():
            number = run.repeat.number(run.begin + place)
            if place != between and _put_in(formulas, index, number) != self._values(run, at, place):
                end = place + 1 if place < between else place
                yield begin, end - begin
                begin = end
        yield begin, run.passes - begin

    def _values(self, run: Run, at: _At, number: int) -> list[Any]:
        """What the rows of a pass have that depends on their place."""
        there = at.inside(run, number, 1)
        values: list[Any] = []
        for entry in written_out(run.rows_of(number, 1), there.prefix, there.start):
            for column in self.listing.placed:
                if column in fields():
                    values.append(self.listing.report.row(entry.output(self.listing.report.graph))[column])
                elif column not in ("name", "output_shape"):
                    values.append(self.listing.exact(entry, column))
            values += [self.seen(entry.first)] if self.seen else []
        return values

    # --- amounts --------------------------------------------------------------------------------------------------

    def amount(self, row: Shown, column: str) -> Any:
        """What each of a row's layers has of a sum, a largest value or a share; of a head, what all passes have."""
        if row.inside:
            return self.together(row, column)
        value = self.listing.value(row.entry, column)
        return tidy(value) if self.listing.report.graph.varies and is_symbolic(value) else value

    def together(self, row: Shown, column: str) -> Any:
        """What all that a row stands for have together."""
        if is_share(column):
            return self._share(row, column.removesuffix(SHARE))
        return self._together(row.ends, column)

    def _together(self, rows: Iterable[Shown], column: str) -> Any:
        graph = self.listing.report.graph
        values = [(row, self.listing.value(row.entry, column)) for row in rows]
        if column in names(Total.LARGEST) and graph.varies:
            found = graph.in_closed_form(column, lambda: [row.span.greatest(value) for row, value in values])
            return largest(value for value in found if value is not None)
        if column in names(Total.LARGEST):
            return largest(value for _, value in values)
        if graph.varies:
            return tidy(graph.in_closed_form(column, lambda: sum(row.span.sum(value) for row, value in values)))
        return added((row.times, value) for row, value in values)

    def _share(self, row: Shown, column: str) -> Fraction | None:
        total = self.listing.total(column)
        return Fraction(self.together(row, column), total) if total else None

    def _check(self, rows: Sequence[Shown]) -> None:
        """See that amounts which depend on places add up to the totals; those of rare first passes may not.

        Raises: NoNumber: they don't.
        """
        numbers = [name for name in self.listing.placed if name in names(Total.SUM, Total.LARGEST)]
        for column in numbers if self.listing.report.graph.is_open else ():
            found = self._together((row for row in rows if not row.inside), column)
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
        if column in SUMS or column in names(Total.LARGEST) or is_share(column):
            return told(row.told(self.amount(row, column)), column)
        if column in fields() and not row.inside:
            return self._field(row, column)
        if not row.inside:
            return self.listing.text(row.told_entry(), column)
        return TOGETHER if column in ("kind", "layer") else ""

    def _field(self, row: Shown, column: str) -> str:
        report = self.listing.report
        sizes = report.row(row.entry.output(report.graph))[column].values()
        return sizes_text(map(row.told, sizes))

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield from facts(self.listing.report)
        if self.spares:
            yield "×", TOLD_BY_LAW if self.listing.report.graph.varies else TOLD
        if counted := sorted({name for row in self.rows for cell in self.cells(row) for name in COUNTED.findall(cell)}):
            yield ", ".join(counted), NUMBERED
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
                    values.append(row.name if column == "name" else self._exact(row, column))
                    values += [self.together(row, column)] if column in SUMS else []
                values.insert(self._place, row.times)
                yield values

    def _exact(self, row: Shown, column: str) -> Any:
        value = self.listing.exact(row.told_entry(), column)
        if column in fields():
            return self._field(row, column)
        return row.told(self.amount(row, column)) if is_symbolic(value) else value


def added(values: Iterable[tuple[Dim, Any]]) -> Any:
    """The sum of values, each so many times."""
    return expanded(weighed(values))


def _told(value: Any, spoken: Spoken) -> Any:
    for index, number in spoken if is_symbolic(value) else ():
        value = number_at(value, index, number)
    return value


def _put_in(values: Sequence[Any], index: Any, number: Dim) -> list[Any]:
    """Values of pass `index` in the pass of a number."""
    from archcalc.analyses.receptive_field_laws import mapped  # most tables have no fields

    def there(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {axis: there(one) for axis, one in value.items()}
        if is_symbolic(value):
            return number_at(value, index, number)
        return value if value is None or isinstance(value, (int, str, float, Fraction)) else mapped(value, there)

    return [*map(there, values)]


def json_lines(report: Values) -> Iterator[str]:
    """The report as one JSON object with a line for each layer of equal passes, and how often it's there.

    What depends on the place isn't in it.
    """
    rows = Folded(Listing(report, ("name", *shared()), every=True))
    yield from framed(report, (dump(_record(rows, row)) for row in rows.rows if not row.inside))


def _record(rows: Folded, row: Shown) -> dict[str, Any]:
    """A layer; `inputs` are those of the first of the passes."""
    graph = rows.listing.report.graph
    ((layer, _), *_), first = row.told_entry().line.layers, graph.node(row.first.first)
    sums = {name: row.told(rows.amount(row, name)) for name in shared()}
    return {
        "name": row.name,
        TIMES: row.times,
        "kind": layer.layer.kind,
        "inputs": [span_of(rows.listing.rows, index) for index in first.inputs],
        **shapes(rows.listing.report, layer),
        **{key: value for name in sums for key, value in ((name, sums[name]), (name + ALL, rows.together(row, name)))},
        "in_place": layer.layer.in_place,
    }
