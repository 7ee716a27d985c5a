"""Receptive fields of all layers: what their positions see of an input, or of another layer's output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archcalc.analyses.field import Field, Fields
from archcalc.analyses.positions import middle_of
from archcalc.analyses.receptive_field_exact import exact_field, problem_of
from archcalc.analyses.receptive_field_laws import mapped
from archcalc.analyses.receptive_field_paths import Misalignment, Remark, merged, misalignments, remarks
from archcalc.errors import UnknownNameError, spelled, suggestion
from archcalc.expand import Given, Sizes
from archcalc.graph import Graph, Node
from archcalc.questions.field_places import fields_on, named, place_text, source_of
from archcalc.questions.networks import Network, report_of
from archcalc.report import Report
from archcalc.report.division import entries
from archcalc.report.folding import COUNTED, NUMBERED, TIMES, Folded, Shown
from archcalc.report.listing import Listing, layers_text
from archcalc.report.rows import Entry
from archcalc.shape import Shape, TransposedWindow, Window
from archcalc.symbolic import Condition, Dim, is_symbolic
from archcalc.symbolic.arithmetic import PRIME
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document, stacked
from archcalc.tables.numbers import number, percent, sides

NUMBERS = ("size", "stride", "padding", "centre")
COLUMNS = (
    Column("name", Kind.NAME), Column("layer", Kind.LAYERS), Column("output", Kind.SIZES, drop=2),
    *(Column(what, Kind.SIZES, drop=int(what == "centre")) for what in NUMBERS),
)  # fmt: skip
TOUCHED, REMARKS = Column("touched", Kind.SIZES), Column("remarks", Kind.TEXT)
IN_JSON = ("receptive_field", "effective_stride", "effective_padding", "centre")
"""What `NUMBERS` are called there."""
MOST_TOUCHED, MOST_LISTED = 300, 10
"""Up to how many rows each position's exact window is looked at, and how many misaligned merges are listed."""

WORDS = {
    "size-dependent": "size-dependent: `same` padding with a stride, or a crop, shifts the windows with the input's "
    "size; padding and centre are those for this input, there are no fixed ones",
    "phases": "phases: positions take turns in what they see; size is that of those that see most, stride the average",
    "misaligned": "misaligned: paths of unequal stride or centre meet; size and padding are those of all paths' hull",
    "first position only": "first position only: paths of unequal stride drift apart; of any: --at",
    "at most": "at most: a bound, no position sees more than this; some may see less",
    "global": "global: every position sees the same, less than the whole input (a crop or a stride's remainder)",
    "numbered": "numbered: tokens, which follow the input's axes again after grid; until then there are no numbers",
    "not seen": "not seen: nothing of this input reaches the layer, so that there are no numbers",
    "lost": "lost: positions no longer follow the input's axes, so that there are no numbers; of any one: --at",
}


@dataclass(frozen=True, repr=False)
class LayerField(Answer):
    """What the positions of a layer see, or of a scope's output: by axis all together, or one axis: `field["H"]`.

    All numbers are input positions, exact; None where positions no longer follow the axis. Nothing is there for any
    axis if the layer doesn't see the input at all.
    """

    report: Report
    entry: Entry
    source: int
    axes: Mapping[str, Field]
    folded: Shown | None = None
    """The row of passes whose number is a symbol; numbers are formulas in the number of the pass."""

    @property
    def name(self) -> str:
        """The layer's path, or the scope's; of passes whose number is a symbol, of all of them together."""
        return self.entry.name if self.folded is None else self.folded.name

    @property
    def times(self) -> Dim:
        """How often the layer is there: once, unless it stands in passes whose number is a symbol."""
        return 1 if self.folded is None else self.folded.times

    @property
    def node(self) -> Node:
        """The node whose output it is about."""
        return self.report.graph.node(self.entry.first)

    @property
    def shape(self) -> Shape:
        """The volume that it is about."""
        return self.node.shape if self.folded is None else self.entry.line.layers[0][0].output_shape

    @property
    def size(self) -> dict[str, Dim | None]:
        """From the first to the last position that one sees, per axis; of several phases the widest."""
        return {axis: field.size for axis, field in self.axes.items()}

    @property
    def stride(self) -> dict[str, Any]:
        """How far the window moves from one position to the next, per axis; on average, an exact fraction."""
        return {axis: field.stride for axis, field in self.axes.items()}

    @property
    def padding(self) -> dict[str, Any]:
        """How far the first window reaches over the input's edge, per axis; negative if it starts inside."""
        return {axis: field.padding for axis, field in self.axes.items()}

    @property
    def centre(self) -> dict[str, Any]:
        """The middle of the first position's window, per axis, counted from 0."""
        return {axis: field.centre for axis, field in self.axes.items()}

    @property
    def aligned(self) -> bool:
        """Whether no paths of unequal stride or centre have met."""
        return all(field.aligned for field in self.axes.values())

    @cached_property
    def remarks(self) -> list[Remark]:
        """What is to be said about the numbers, the most important first."""
        return remarks(self.axes) if self.axes else [Remark("not seen")]

    @cached_property
    def touched(self) -> float | None:
        """The share of its field that the middle position really depends on.

        None with symbols, in volumes of too many positions to follow single ones, or without a field.
        """
        graph, index = self.report.graph, self.entry.first
        if not self.axes or graph.is_open:
            return None
        if any(node.application.once(problem_of) for node in graph.nodes[self.source : index + 1]):
            return None
        return exact_field(graph, index, middle_of(self.node.shape), self.source).share

    def __getitem__(self, axis: str) -> Field:
        """What is seen along one axis of the input.

        Raises: UnknownNameError: there is no such axis, or nothing is seen.
        """
        if not isinstance(axis, str) or axis not in self.axes:
            raise UnknownNameError(f"'{self.name}' has no field along {axis!r:.60}", suggestion(str(axis), self.axes))
        return self.axes[axis]

    def table(self) -> Table:
        """The layer's row."""
        whole = ReceptiveFields(self.report, self.source)
        return _table(whole, [self], lambda: document(_record(self, self.touched)))


@dataclass(frozen=True, repr=False)
class ReceptiveFields(Answer):
    """What the positions of a network's layers see of an input, or of one layer's output.

    Iterated, it gives the rows of its table; `fields[path]` is any layer's or scope's, whether or not it has a row.
    """

    report: Report
    source: int = 0
    """The index of the node that is seen."""
    only: str = ""
    """The layer or scope whose rows these are; all, if empty."""
    every: bool = False
    """Whether each layer has a row, those in place too."""

    @cached_property
    def rows(self) -> tuple[LayerField, ...]:
        """The layers that see it; of one of several inputs, all layers."""
        graph = self.report.graph
        if graph.is_open:
            return tuple(self._folded())
        fields = self.fields
        all_of_them = len(graph.inputs) > 1 and not graph.nodes[self.source].inputs and any(fields)
        graph.spend(15, "writing the receptive fields of so many layers")
        return tuple(
            self._row(entry)
            for entry in entries(graph, self.every)
            if _within(graph, entry, self.only)
            and (all_of_them or (entry.first >= self.source and fields[entry.first]))
        )

    def _folded(self) -> Iterator[LayerField]:
        """The rows where the number of layers is a symbol: those of passes are there once."""
        rows = Folded(Listing(self.report, ("name",), self.every), seen=self._seen).rows
        shown = [(row, self._seen(row.entry.first)) for row in rows if not row.inside and self._is_within(row.name)]
        several = len(self.report.graph.inputs) > 1 and self.source == 0 and any(fields for _, fields in shown)
        for row, fields in shown:
            if several or (row.entry.first >= self.source and fields):
                told = {axis: mapped(field, row.told) for axis, field in self.report.ordered(fields).items()}
                yield LayerField(self.report, row.told_entry(), self.source, told, row)

    def _is_within(self, name: str) -> bool:
        return not self.only or name == self.only or name.startswith(f"{self.only}/")

    def _seen(self, index: int) -> Fields:
        """What one node sees.

        Raises: NoNumber: the number of layers is a symbol, and it has no closed form.
        """
        graph = self.report.graph
        return self.report.open_fields(self.source).of(index) if graph.is_open else self.fields[index]

    @cached_property
    def fields(self) -> Sequence[Fields]:
        """Of each node of the graph the field along each axis; none of those that don't see it."""
        return fields_on(self.report, self.source)

    def _row(self, entry: Entry) -> LayerField:
        return LayerField(self.report, entry, self.source, self.report.ordered(self._seen(entry.first)))

    @cached_property
    def misalignments(self) -> tuple[Misalignment, ...]:
        """All merges of paths whose strides or centres differ, anywhere in the network."""
        if self.report.graph.is_open:
            return ()
        return tuple(merged(misalignments(self.report.graph, self.fields)))

    @property
    def needs(self) -> list[Condition]:
        """What must hold for the formulas of all rows, where the first of so many passes are special."""
        graph = self.report.graph
        if not graph.is_open:
            return []
        needed = self.report.open_fields(self.source).needs(*(row.entry.first for row in self.rows))
        return [condition for condition in needed if not any(PRIME in symbol.name for symbol in condition.symbols)]

    def __getitem__(self, path: str) -> LayerField:
        """The field of a layer, or of a scope's output.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        index = self.report.graph.place(path)
        return self._row(Entry.of_layer(path, index, self.report.graph.node(index).application))

    def __iter__(self) -> Iterator[LayerField]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> Table:
        """Size, stride, padding and centre of every layer's field; what is to be said about them below."""
        graph = self.report.graph
        shown = len(self.rows) <= MOST_TOUCHED and not graph.is_open and _has_gaps(graph)

        def records() -> Iterator[dict[str, Any]]:
            return (_record(row, row.touched if shown else None) for row in self)

        return _table(self, self.rows, lambda: stacked(records()), shown)

    def _wide(self) -> Table:
        """One column for each number along each axis."""
        axes = [*self.report.ordered(dict.fromkeys(self.report.graph.node(self.source).shape.spatial))]
        numbers = [(what, axis) for what in NUMBERS for axis in axes]
        keys = ["name", "kind", "output", *(f"{what}_{axis}" for what, axis in numbers), "aligned", "remarks"]
        return Table(keys=keys, values=lambda: (_flat(row, numbers) for row in self))


def receptive_field(
    network: Network,
    layer: str = "",
    *,
    from_: str = "",
    all: bool = False,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
) -> ReceptiveFields:
    """What the positions of a network's layers see of its input: size, stride, padding and centre, per axis.

    `layer` picks the rows of one layer or scope; with `from_`, fields are on that layer's output, or on that one of
    several inputs; `all` gives layers in place rows of their own. Sizes and symbols as in `Architecture.build`.
    Returns: exact numbers, in input positions, as in Araujo, Norris & Sim 2019; borders apart, for which there is
    `receptive_field_at`.
    Raises: UnknownNameError: there is no such layer. UsageError: there is no such network. SpecError: the spec is
    wrong.

    >>> import archcalc
    >>> fields = archcalc.receptive_field("unet")
    >>> fields["down1"].size
    {'H': 6, 'W': 6}
    >>> fields["down4"]["H"].stride
    16
    >>> [(row.name, row.size["H"]) for row in archcalc.receptive_field("vgg16", "conv5")][-1]
    ('conv5/pool', 212)
    """
    report = report_of(network, hparams, sizes, symbolic)
    graph = report.graph
    only = ""
    if named(layer):
        only = layer if graph.is_open or any(graph.within(layer)) else graph[layer].name
    return ReceptiveFields(report, source_of(graph, from_), only, all or bool(only))


def _table(
    found: ReceptiveFields, rows: Sequence[LayerField], json: Callable[[], Iterable[str]], touchable: bool = True
) -> Table:
    """Some of the rows; what they touch, if that may be asked for and is less than all."""
    report, source = found.report, found.source
    gaps = touchable and any(row.touched is not None and row.touched < 1 for row in rows)
    optional = ((TOUCHED, gaps), (REMARKS, any(row.remarks for row in rows)))
    columns = [*COLUMNS, *(column for column, shown in optional if shown)]
    if any(row.folded for row in rows):
        columns.insert(1, Column(TIMES, Kind.NUMBER, "×"))
    cells = [_cells(row, row.touched if gaps else None) for row in rows]
    texts = [[each[column.key] for column in columns] for each in cells]
    volume = report.text(report.graph.node(source).shape)
    return Table(
        columns if rows else (),
        lambda: texts,
        report.name,
        f"receptive fields on {place_text(report.graph, source)}, {volume}{_others(report.graph, source)}",
        notes=[*_notes(rows, gaps), *_disagreements(found), *_on_passes(found, cells)] if rows else [_nothing(found)],
        keys=[column.key for column in columns],
        values=lambda: ([("" if text == "-" else text) for text in each] for each in texts),
        json=json,
    )


def _disagreements(found: ReceptiveFields) -> Iterator[str]:
    merges = found.misalignments
    yield from map(str, merges[:MOST_LISTED])
    if len(merges) > MOST_LISTED:
        yield f"and {len(merges) - MOST_LISTED:,} more merges with misaligned paths"


def _nothing(found: ReceptiveFields) -> str:
    place = found.report.graph.node(found.source)
    if not place.shape.spatial:
        return f"no layer has a receptive field: {place.name} has no spatial axis"
    return f"{found.only or 'no layer'} does not depend on {place.name}"


def _cells(row: LayerField, touched: float | None) -> dict[str, str]:
    """The row's texts, by column."""
    return {
        "name": row.name,
        TIMES: "" if row.times == 1 else str(row.times),
        "layer": layers_text(row.entry.line.layers),
        "output": row.report.text(row.shape),
        **{what: _in_one(row, what) for what in NUMBERS},
        TOUCHED.key: "" if touched is None else percent(touched, whole=True),
        REMARKS.key: ", ".join(map(str, row.remarks)),
    }


def _in_one(row: LayerField, what: str) -> str:
    """A number of all axes; where some have a field of their own, of each of them."""
    found = list({id(field): field for field in row.axes.values()}.values())
    found = found if len(found) < 2 else list(row.axes.values())
    return sides([getattr(field, what) for field in found])


def _record(row: LayerField, touched: float | None) -> dict[str, Any]:
    """The row for programs; exact fractions and symbolic values are texts. Of several inputs: on which."""
    shape = row.report.ordered(row.shape)
    found: dict[str, Any] = {"name": row.node.name, "kind": row.node.kind}
    if row.folded is not None:
        found |= {"name": row.name, TIMES: _plain(row.times)}
    found["output_shape"] = {axis: _plain(size) for axis, size in shape.items()}
    for key, what in zip(IN_JSON, NUMBERS, strict=True):
        found[key] = {axis: _plain(getattr(field, what)) for axis, field in row.axes.items()}
    found |= {"aligned": row.aligned, "touched": touched, "remarks": list(map(str, row.remarks))}
    if len(row.report.graph.inputs) > 1:
        found["from"] = row.report.graph.node(row.source).name
    return found


def _within(graph: Graph, entry: Entry, only: str) -> bool:
    """Whether a layer of the row is the one that is asked for, or in that scope."""
    names = (graph.nodes[index].name for index in entry.nodes)
    return not only or any(name == only or name.startswith(f"{only}/") for name in names)


def _others(graph: Graph, source: int) -> str:
    """How to ask about the other inputs, if it's one of several."""
    others = [spelled(f"--from {node.name}") for node in graph.inputs if node.name != graph.node(source).name]
    if not others or graph.node(source).inputs:
        return ""
    return f"; on {'the other' if len(others) == 1 else 'others'}: {', '.join(others[:MOST_LISTED])}"


def _notes(rows: Sequence[LayerField], touched: bool) -> Iterator[str]:
    yield "centre: of the first position, in input positions counted from 0"
    if touched:
        yield "touched: the share of its field that the middle position really depends on"
    found = {remark.word for row in rows for remark in row.remarks}
    yield from (spelled(text) for word, text in WORDS.items() if word in found)


def _on_passes(found: ReceptiveFields, cells: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What is to be said about rows of passes whose number is a symbol."""
    counted = sorted({name for row in cells for text in row.values() for name in COUNTED.findall(text)})
    if counted:
        yield f"{', '.join(counted)}: {NUMBERED}"
    if needs := found.needs:
        yield f"rows as they stand if {' and '.join(map(str, needs))}"


def _flat(row: LayerField, numbers: Sequence[tuple[str, str]]) -> list[Any]:
    fields = row.axes
    found = [_plain(getattr(fields[axis], what)) if axis in fields else None for what, axis in numbers]
    return [row.name, row.node.kind, row.report.text(row.shape), *found, row.aligned,
            ", ".join(map(str, row.remarks))]  # fmt: skip


def _plain(value: Any) -> Any:
    """A value that JSON can say: an integer, else a text."""
    return value if value is None or isinstance(value, int) else number(value)


def _has_gaps(graph: Graph) -> bool:
    """Whether some window doesn't read every position: dilated, or with a stride greater than its extent."""
    applied = {node.application for node in graph.nodes if node.inputs}
    windows = [window for at in applied for window in at.layer.windows(*at.input_shapes).values()]
    return any(map(_leaves_gaps, windows))


def _leaves_gaps(window: Window) -> bool:
    kernel, between = window.kernel, window.stride - window.extent
    if not is_symbolic(kernel) and kernel > 1 and window.dilation != 1:
        return True
    return not isinstance(window, TransposedWindow) and not is_symbolic(between) and between > 0
