"""What one position sees, exactly: with the borders of every volume on the way respected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archcalc.analyses.field import Field, Interval
from archcalc.analyses.positions import Seen
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.errors import UnknownNameError, suggestion
from archcalc.expand import Given, Sizes
from archcalc.graph import Node
from archcalc.questions.field_places import Position, fields_on, last_wide, named, place_text, position_of, source_of
from archcalc.questions.networks import Network, report_of
from archcalc.report import Report
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document
from archcalc.tables.numbers import exact, percent

COLUMNS = (
    Column("axis", Kind.NAME), Column("window", Kind.WORD), Column("size"), Column("without borders", Kind.WORD),
    Column("size"), Column("clipped", Kind.TEXT),
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class PositionField(Answer):
    """The window of one position of a layer, per axis: first and last input position, counted from 0."""

    report: Report
    index: int
    """The index of the layer's node."""
    position: Mapping[str, int]
    source: int = 0
    """The index of the node that is seen."""

    @property
    def node(self) -> Node:
        """The layer's node."""
        return self.report.graph.nodes[self.index]

    @cached_property
    def seen(self) -> Seen:
        """The set of all input positions on which it depends."""
        return exact_field(self.report.graph, self.index, self.position, self.source)

    @cached_property
    def windows(self) -> dict[str, Interval]:
        """From the first to the last position on which it depends, per axis; None if it depends on nothing."""
        return {axis: self.seen.interval(axis) for axis in self.report.ordered(self.seen.sizes)}

    @cached_property
    def unclipped(self) -> dict[str, Interval]:
        """The windows as if there were no borders; None where that isn't known, or is the same for all positions."""
        fields = fields_on(self.report, self.source)[self.index]
        return {
            axis: fields[axis].at(self.position[axis])
            if axis in fields and axis in self.position and _has_one_window(fields[axis])
            else None
            for axis in self.windows
        }

    @property
    def count(self) -> int:
        """How many input positions it depends on."""
        return self.seen.count

    @property
    def touched(self) -> float:
        """The share of its window on which it really depends."""
        return self.seen.share

    def __getitem__(self, axis: str) -> Interval:
        """The window along one axis.

        Raises: UnknownNameError: the input has no such axis.
        """
        if not isinstance(axis, str) or axis not in self.windows:
            name = self.report.graph.nodes[self.source].name
            raise UnknownNameError(f"'{name}' has no positions along {axis!r:.60}", suggestion(str(axis), self.windows))
        return self.windows[axis]

    def __iter__(self) -> Iterator[str]:
        return iter(self.windows)

    def __len__(self) -> int:
        return len(self.windows)

    def table(self) -> Table:
        """The window along each axis, beside the one that goes on past the borders."""
        report, place = self.report, self.report.graph.nodes[self.source]
        where = ", ".join(f"{axis}={at}" for axis, at in report.ordered(self.position).items()) or "all positions"
        title = (
            f"{self.node.name} ({report.text(self.node.shape)}) at {where} "
            f"sees of {place_text(report.graph, self.source)} ({report.text(place.shape)})"
        )
        rows = [_cells(axis, inside, self.unclipped[axis]) for axis, inside in self.windows.items()]
        return Table(
            COLUMNS if rows else (),
            lambda: rows,
            report.name,
            title,
            notes=[_touched(self.seen)],
            keys=[column.key for column in COLUMNS],
            values=lambda: ([("" if text == "-" else text) for text in row] for row in rows),
            json=lambda: document(self._record()),
        )

    def _record(self) -> dict[str, Any]:
        windows = {axis: {"window": inside, "unclipped": self.unclipped[axis]} for axis, inside in self.windows.items()}
        return {
            "name": self.node.name, "position": self.report.ordered(self.position),
            "from": self.report.graph.nodes[self.source].name, "windows": windows,
            "touched_positions": self.count, "touched": self.touched,
        }  # fmt: skip

    def _wide(self) -> Table:
        """Columns for the ends of each window."""
        keys = ["axis", "first", "last", "unclipped_first", "unclipped_last"]
        ends = {axis: (inside, self.unclipped[axis]) for axis, inside in self.windows.items()}
        none = (None, None)
        rows = [[axis, *(inside or none), *(free or none)] for axis, (inside, free) in ends.items()]
        return Table(keys=keys, values=lambda: rows)


def receptive_field_at(
    network: Network,
    layer: str = "",
    *,
    at: Position,
    from_: str = "",
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
) -> PositionField:
    """What one position of a layer sees of the input, exactly: with the borders of every volume on the way respected.

    `at`: coordinates in the spec's order of axes, `(3, 4)`, or by axis, `{"H": 3, "W": 4}`, counted from 0. Without a
    `layer` it's the last one with spatial axes that doesn't see everything. With `from_`, what it sees of that layer's
    output, or of that input.
    Returns: first and last input position, per axis; and the set of all positions on which it depends.
    Raises: UnknownNameError: there is no such layer. UsageError: there is no such position, a size is symbolic, or a
    volume is too large. SpecError: the spec is wrong.

    >>> import archcalc
    >>> field = archcalc.receptive_field_at("vgg16", "conv5/pool", at=(3, 0))
    >>> field.windows
    {'H': (6, 217), 'W': (0, 121)}
    >>> field.unclipped["W"], field.count
    ((-90, 121), 25864)
    """
    report = report_of(network, hparams, sizes)
    graph = report.graph
    source = source_of(graph, from_)
    index = graph.place(layer) if named(layer) else last_wide(report, source)
    found = PositionField(report, index, position_of(report, index, at), source)
    found.seen  # noqa: B018  # what can't be answered is an error here
    return found


def _has_one_window(field: Field) -> bool:
    """Whether the field says exactly what each position sees, borders aside."""
    return field.follows and not (field.constant or field.drifts or field.bounded)


def _cells(axis: str, inside: Interval, free: Interval) -> list[str]:
    return [axis, _ends(inside), _length(inside), _ends(free), _length(free), _clipped(inside, free)]


def _ends(interval: Interval) -> str:
    return "-" if interval is None else f"{interval[0]} to {interval[1]}"


def _length(interval: Interval) -> str:
    return "-" if interval is None else str(interval[1] - interval[0] + 1)


def _clipped(inside: Interval, free: Interval) -> str:
    """How much of a window lies beyond what is seen of it."""
    if inside is None or free is None:
        return ""
    lost = [(inside[0] - free[0], "before"), (free[1] - inside[1], "after")]
    return ", ".join(f"{count} {side}" for count, side in lost if count > 0)


def _touched(seen: Seen) -> str:
    if not seen:
        return "nothing: no path leads there"
    return f"touched: {exact(seen.count)} positions, {percent(seen.share, whole=True)} of the window"
