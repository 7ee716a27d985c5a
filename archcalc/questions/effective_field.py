"""The effective receptive field: which part of it matters, estimated from the graph and measured with PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archcalc.analyses import effective_field as estimate
from archcalc.analyses.effective_field import Grid, Measurement, Profile
from archcalc.analyses.positions import Seen, middle_of
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes
from archcalc.graph import Graph
from archcalc.questions.field_places import Position, last_wide, named, position_of, source_of
from archcalc.questions.networks import Network, report_of
from archcalc.report import Report
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document
from archcalc.tables.numbers import percent

NO_TORCH = "not measured: PyTorch is not installed (pip install 'archcalc[torch]')"


@dataclass(frozen=True, repr=False)
class EffectiveField(Answer):
    """How the gradient of one position is spread over what it sees: per axis, as shares of the squared gradient."""

    report: Report
    index: int
    """The index of the layer's node."""
    position: Mapping[str, int]
    source: int = 0
    """The index of the node that is seen."""
    measure: bool | None = None
    """Whether PyTorch measures it; None: if it's there."""

    @cached_property
    def seen(self) -> Seen:
        """The set of all input positions that matter at all."""
        return exact_field(self.report.graph, self.index, self.position, self.source)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """From the first to the last position that matters at all, per axis: the whole field, inside the borders."""
        windows = {axis: self.seen.interval(axis) or (0, -1) for axis in self.estimated}
        return {axis: last - first + 1 for axis, (first, last) in windows.items()}

    @cached_property
    def estimated(self) -> dict[str, Profile]:
        """The profile along each axis, from the graph alone (Luo et al. 2016)."""
        found = estimate.effective_field(self.report.graph, self.index, self.position, self.source)
        return self.report.ordered(found)

    @property
    def measured(self) -> dict[str, Profile]:
        """The profile along each axis, as the mean of 5 random initialisations; empty if `missing` says why."""
        found = self._measurement
        return {} if isinstance(found, str) else self.report.ordered(found.profiles)

    @property
    def grid(self) -> Grid:
        """What was measured over the last two axes; empty if nothing was."""
        return [] if isinstance(self._measurement, str) else self._measurement.grid

    @property
    def missing(self) -> str:
        """Why nothing was measured."""
        return self._measurement if isinstance(self._measurement, str) else ""

    @cached_property
    def _measurement(self) -> Measurement | str:
        if self.measure is False:
            return "not measured: not asked for"
        return _measured(self.report.graph, self.index, self.position, self.source)

    @property
    def title(self) -> str:
        """Which layer, where."""
        where = ", ".join(f"{axis}={at}" for axis, at in self.report.ordered(self.position).items())
        graph = self.report.graph
        on = f" on {graph.nodes[self.source].name}" if graph.first_of_several or self.source else ""
        return f"effective receptive field of {graph.nodes[self.index].name} at {where}{on}"

    def table(self) -> Table:
        """Per axis the whole field's size, and the effective size and deviation, estimated and measured."""
        keys = ["field", "estimated", "deviation", *(["measured", "deviation"] if self.measured else [])]
        notes = [
            "field: from the first to the last position that matters at all, inside the borders",
            "effective size: the fewest neighbouring positions that hold 95.45 % of the squared gradient",
            "estimated: from the graph alone, by how many paths reach each position (Luo et al. 2016)",
            "measured: by PyTorch, mean of 5 random initialisations" if self.measured else self.missing,
        ]
        return Table(
            [Column("axis", Kind.NAME), *(Column(key, Kind.SIZES) for key in keys)],
            lambda: map(self._cells, self.estimated),
            self.report.name,
            self.title,
            notes=notes,
            json=lambda: document(self._data()),
        )

    def _found(self, axis: str) -> dict[str, Profile]:
        """The profiles along one axis, by how they were found."""
        found = {"estimated": self.estimated[axis]}
        return found | ({"measured": self.measured[axis]} if axis in self.measured else {})

    def _cells(self, axis: str) -> list[str]:
        size, cells = self.sizes[axis], [axis, str(self.sizes[axis])]
        for profile in self._found(axis).values():
            cells += [f"{profile.size} ({percent(profile.size / size, whole=True)})", f"{profile.deviation:.1f}"]
        return cells

    def _record(self, axis: str) -> dict[str, float]:
        record: dict[str, float] = {"field": self.sizes[axis]}
        for name, profile in self._found(axis).items():
            record |= {name: profile.size, f"{name}_deviation": profile.deviation}
        return record

    def _data(self) -> dict[str, Any]:
        graph = self.report.graph
        axes = {axis: self._record(axis) for axis in self.estimated}
        data = {"name": graph.nodes[self.index].name, "position": self.position, "axes": axes}
        return data | ({"from": graph.nodes[self.source].name} if graph.first_of_several else {})

    def _wide(self) -> Table:
        """A row for each axis."""
        records = {axis: self._record(axis) for axis in self.estimated}
        keys = ["axis", *next(iter(records.values()))]
        return Table(keys=keys, values=lambda: ([axis, *record.values()] for axis, record in records.items()))


def effective_receptive_field(
    network: Network,
    layer: str = "",
    *,
    at: Position | None = None,
    from_: str = "",
    measure: bool | None = None,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
) -> EffectiveField:
    """Which part of its receptive field matters most to one position of a layer: by default to the middle one.

    Estimated from the graph, and `measured` with PyTorch where that is installed: when it's asked for, since it takes
    seconds. `measure` false leaves it out, true demands it. Layer, position and `from_` as in `receptive_field_at`.
    Returns: per axis each input position's share of the squared gradient, and the effective size: the fewest
    neighbouring positions that hold 95.45 % of it.
    Raises: UnknownNameError: there is no such layer. UsageError: there is no such position, no path leads from it to
    the input, a size is symbolic, or nothing can be measured though it's demanded. SpecError: the spec is wrong.

    >>> import archcalc
    >>> field = archcalc.effective_receptive_field("vgg16", "conv5/3", measure=False)
    >>> field.sizes["H"], field.estimated["H"].size
    (196, 105)
    """
    report = report_of(network, hparams, sizes)
    graph = report.graph
    source = source_of(graph, from_)
    index = graph.place(layer) if named(layer) else last_wide(report, source)
    position = middle_of(graph.nodes[index].shape) if at is None else position_of(report, index, at)
    found = EffectiveField(report, index, position, source, measure)
    found.seen, found.estimated  # noqa: B018  # what can't be answered is an error here
    if measure and found.missing:
        raise UsageError(found.missing)
    return found


def _measured(graph: Graph, index: int, position: Mapping[str, int], source: int) -> Measurement | str:
    """What PyTorch finds, or why nothing."""
    if graph.nodes[source].inputs:
        return "measured on inputs only, not on an inner layer"
    if importlib.util.find_spec("torch") is None:
        return NO_TORCH
    from archcalc.pytorch.effective import measurement

    found = measurement(graph, index, position, source)
    return found or "not measured: no gradient arrives, whatever the initialisation"
