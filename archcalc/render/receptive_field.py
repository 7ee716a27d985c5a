"""Receptive fields as rows: of all layers, of one position, of a stack. What a command prints, and in which words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from archcalc.analyses.field import Field, Fields
from archcalc.analyses.positions import Seen, middle_of
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.analyses.receptive_field_exact import exact_field, has_symbols
from archcalc.analyses.receptive_field_paths import Remark, merged, misalignments, quantity, remarks
from archcalc.analyses.receptive_field_stack import Stack, StackLayer, divided_by_x
from archcalc.graph import Graph, Node
from archcalc.report import Report
from archcalc.report.listing import layers_text
from archcalc.report.rows import Entry, applications, entries
from archcalc.shape import TransposedWindow, Window
from archcalc.symbolic import is_symbolic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.json import document, stacked
from archcalc.tables.numbers import exact

COLUMNS = (
    Column("name", Kind.NAME), Column("layer", Kind.LAYERS), Column("output", Kind.SIZES, drop=2),
    Column("size", Kind.SIZES), Column("stride", Kind.SIZES), Column("padding", Kind.SIZES),
    Column("centre", Kind.SIZES, drop=1),
)  # fmt: skip
OPTIONAL = (Column("touched", Kind.SIZES), Column("remarks", Kind.TEXT))
POSITION = (
    Column("axis", Kind.NAME), Column("window", Kind.WORD), Column("size"), Column("without borders", Kind.WORD),
    Column("size"), Column("clipped", Kind.TEXT),
)  # fmt: skip
STACK = (Column("layer"), Column("", Kind.WORD), *(Column(key, Kind.SIZES) for key in ("sees", "stride", "weights")))
MOST_TOUCHED, MOST_TOLD = 300, 10
"""Up to how many rows each position's exact window is looked at, and how many misaligned merges are reported."""

WORDS = {
    "size-dependent": "size-dependent: `same` padding with a stride, or a crop, shifts the windows with the input's "
    "size; padding and centre are those for this input, there are no fixed ones",
    "phases": "phases: positions take turns in what they see; size is that of those that see most, stride the average",
    "misaligned": "misaligned: paths of unequal stride or centre meet; size and padding are those of all paths' hull",
    "first position only": "first position only: paths of unequal stride drift apart; --at gives any position",
    "at most": "at most: a bound, no position sees more than this; some may see less",
    "global": "global: every position sees the same, less than the whole input (a crop or a stride's remainder)",
    "numbered": "numbered: tokens, which follow the input's axes again after grid; until then there are no numbers",
    "not seen": "not seen: nothing of this input reaches the layer, so that there are no numbers",
    "lost": "lost: positions no longer follow the input's axes, so that there are no numbers; --at gives any position",
}


def small_table(
    name: str, title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], records: Any, notes: Iterable[str]
) -> Table:
    """A table whose rows are known, and the same for scripts: an object, or a function that makes one for each row.

    In CSV, what isn't there is empty.
    """
    return Table(
        columns if rows else (),
        lambda: rows,
        name,
        title,
        notes=tuple(notes),
        keys=[column.key for column in columns],
        values=lambda: ([("" if cell == "-" else cell) for cell in row] for row in rows),
        json=lambda: stacked(records()) if callable(records) else document(records),
    )


def layers_table(report: Report, every: bool = False, only: str = "", source: int = 0) -> Table:
    """Size, stride, padding and centre of every layer's field, or of those within one scope.

    On one of several inputs every layer has a row, whether or not it sees that input.
    """
    graph, fields = report.graph, _fields(report, source)
    all_of_them = len(graph.inputs) > 1 and not graph.nodes[source].inputs and any(fields)
    graph.spend(15, "writing the receptive fields of so many layers")
    chosen = [
        (entry, report.ordered(fields[entry.output]))
        for entry in entries(graph, every)
        if _within(graph, entry, only) and (all_of_them or (entry.output >= source and fields[entry.output]))
    ]
    shares = _shares(graph, [entry.output if axes else None for entry, axes in chosen], source)
    told = [remarks(axes) if axes else [Remark("not seen")] for _, axes in chosen]
    optional = [any(share is not None and share < 1 for share in shares), any(told)]
    columns = [*COLUMNS, *(column for column, shown in zip(OPTIONAL, optional, strict=True) if shown)]
    rows = []
    for (entry, axes), share, words in zip(chosen, shares, told, strict=True):
        node = graph.nodes[entry.output]
        texts = [entry.name, layers_text(applications(graph, entry)), report.text(node.shape), *_numbers(axes)]
        extra = [percent(share) if share is not None else "", ", ".join(map(str, words))]
        rows.append(texts + [text for text, shown in zip(extra, optional, strict=True) if shown])
    volume = report.text(graph.nodes[source].shape)
    title = f"receptive fields on {place_text(graph, source)}, {volume}{_others(graph, source)}"
    notes = [*_notes(told, optional[0]), *_disagreements(graph, fields)] if rows else [_nothing(report, only, source)]

    def records() -> Iterator[dict[str, Any]]:
        for (entry, axes), share, words in zip(chosen, shares, told, strict=True):
            yield record(report, graph.nodes[entry.output], axes, words, share, source)

    return small_table(report.name, title, columns, rows, records, notes)


def _within(graph: Graph, entry: Entry, only: str) -> bool:
    """Whether a layer of the row is the one that is asked for, or in that scope."""
    names = (graph.nodes[index].name for index in entry.nodes)
    return not only or any(name == only or name.startswith(f"{only}/") for name in names)


def place_text(graph: Graph, source: int) -> str:
    """What fields are about: the input, one of several by its name, or a layer."""
    if graph.nodes[source].inputs:
        return graph.nodes[source].name
    return f"the input {graph.nodes[source].name}" if len(graph.inputs) > 1 else "the input"


def _others(graph: Graph, source: int) -> str:
    """How to ask about the other inputs, if it's one of several."""
    others = [f"--from {node.name}" for node in graph.inputs if node.name != graph.nodes[source].name]
    if not others or graph.nodes[source].inputs:
        return ""
    return f"; on {'the other' if len(others) == 1 else 'others'}: {', '.join(others[:MOST_TOLD])}"


def _nothing(report: Report, only: str, source: int) -> str:
    place = report.graph.nodes[source]
    if not place.shape.spatial:
        return f"no layer has a receptive field: {place.name} has no spatial axis"
    return f"{only or 'no layer'} does not depend on {place.name}"


def _fields(report: Report, source: int) -> Sequence[Fields]:
    return report.receptive_fields if source == 0 else receptive_fields(report.graph, source)


def record(
    report: Report, node: Node, axes: Mapping[str, Field], words: Sequence[Remark], share: float | None, source: int = 0
) -> dict[str, Any]:
    """One layer's field for scripts; exact fractions and symbolic values are texts. Of several inputs: on which."""
    found: dict[str, Any] = {
        "name": node.name,
        "kind": node.kind,
        "output_shape": {axis: plain(size) for axis, size in report.ordered(node.shape).items()},
    }
    columns = {
        "receptive_field": "size",
        "effective_stride": "stride",
        "effective_padding": "padding",
        "centre": "centre",
    }
    for column, what in columns.items():
        found[column] = {axis: plain(getattr(field, what)) for axis, field in axes.items()}
    found["aligned"] = all(field.aligned for field in axes.values())
    found["touched"] = share
    found["remarks"] = list(map(str, words))
    if len(report.graph.inputs) > 1:
        found["from"] = report.graph.nodes[source].name
    return found


def plain(value: Any) -> Any:
    """A value that JSON can say: an integer, a half as a number, else a text."""
    return value if value is None or isinstance(value, int) else quantity(value)


def joined(values: Sequence[Any]) -> str:
    """One text for all axes: 7, or 7x1 where they differ."""
    texts = list(map(quantity, values)) or ["-"]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)


def _numbers(axes: Mapping[str, Field]) -> list[str]:
    found = list({id(field): field for field in axes.values()}.values())
    if len(found) > 1:
        found = list(axes.values())  # an axis that is like another one is told, too
    return [joined([getattr(field, what) for field in found]) for what in ("size", "stride", "padding", "centre")]


def percent(share: float) -> str:
    """A share with one decimal, or none if it is whole."""
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _shares(graph: Graph, indices: Sequence[int | None], source: int) -> list[float | None]:
    """The touched share of each field, in the middle of the output; None where there can't be gaps, or are too many.

    None instead of an index stands for a layer without a field.
    """
    if len(indices) > MOST_TOUCHED or not _has_gaps(graph):
        return [None] * len(indices)
    return [
        None if index is None or _has_symbols(graph, index, source) else centre_share(graph, index, source)
        for index in indices
    ]


def _has_symbols(graph: Graph, index: int, source: int) -> bool:
    return any(node.application.once(has_symbols) for node in graph.nodes[source : index + 1])


def _has_gaps(graph: Graph) -> bool:
    """Whether some window doesn't read every position: dilated, or with a stride greater than its extent."""
    applications = {node.application for node in graph.nodes if node.inputs}
    windows = [w for at in applications for w in at.layer.windows(*at.input_shapes).values()]
    return any(map(_leaves_gaps, windows))


def _leaves_gaps(window: Window) -> bool:
    kernel, between = window.kernel, window.stride - window.extent
    if not is_symbolic(kernel) and kernel > 1 and window.dilation != 1:
        return True
    return not isinstance(window, TransposedWindow) and not is_symbolic(between) and between > 0


def centre_share(graph: Graph, index: int, source: int = 0) -> float:
    """The share of its field that a layer's middle position really touches."""
    return exact_field(graph, index, middle_of(graph.nodes[index].shape), source).share


def _notes(told: Sequence[Sequence[Remark]], touched: bool) -> Iterator[str]:
    yield "centre: of the first position, in input positions counted from 0"
    if touched:
        yield "touched: the share of its field that the middle position really depends on"
    found = {remark.word for remarks in told for remark in remarks}
    yield from (text for word, text in WORDS.items() if word in found)


def _disagreements(graph: Graph, fields: Sequence[Fields]) -> Iterator[str]:
    found = merged(misalignments(graph, fields))
    yield from map(str, found[:MOST_TOLD])
    if len(found) > MOST_TOLD:
        yield f"and {len(found) - MOST_TOLD:,} more merges with misaligned paths"


def position_table(report: Report, index: int, position: Mapping[str, int], source: int = 0) -> Table:
    """The exact window of one output position, beside the one that goes on past the borders."""
    graph = report.graph
    node, place = graph.nodes[index], graph.nodes[source]
    seen = exact_field(graph, index, position, source)
    fields = report.ordered(_fields(report, source)[index])
    rows, windows = [], {}
    for axis in report.ordered(seen.sizes):
        inside, field = seen.interval(axis), fields.get(axis)
        free = None
        if field is not None and axis in position and _has_one_window(field):
            free = field.at(position[axis])
        rows.append([axis, _interval(inside), _length(inside), _interval(free), _length(free), _clipped(inside, free)])
        windows[axis] = {"window": inside, "unclipped": free}
    where = ", ".join(f"{axis}={at}" for axis, at in report.ordered(position).items()) or "all positions"
    output, volume = report.text(node.shape), report.text(place.shape)
    title = f"{node.name} ({output}) at {where} sees of {place_text(graph, source)} ({volume})"
    records = {
        "name": node.name, "position": dict(report.ordered(position)), "from": place.name, "windows": windows,
        "touched_positions": seen.count, "touched": seen.share,
    }  # fmt: skip
    return small_table(report.name, title, POSITION, rows, records, [_touched(seen)])


def _has_one_window(field: Field) -> bool:
    """Whether the field says exactly what each position sees, borders aside."""
    return field.follows and not (field.constant or field.drifts or field.bounded)


def _touched(seen: Seen) -> str:
    if not seen:
        return "nothing: no path leads there"
    return f"touched: {exact(seen.count)} positions, {percent(seen.share)} of the window"


def _interval(interval: tuple[Any, Any] | None) -> str:
    return "-" if interval is None else f"{interval[0]} to {interval[1]}"


def _length(interval: tuple[Any, Any] | None) -> str:
    return "-" if interval is None else str(interval[1] - interval[0] + 1)


def _clipped(inside: tuple[int, int] | None, free: tuple[Any, Any] | None) -> str:
    """How much of a window lies beyond what is seen of it."""
    if inside is None or free is None:
        return ""
    lost = [(inside[0] - free[0], "before"), (free[1] - inside[1], "after")]
    return ", ".join(f"{count} {side}" for count, side in lost if count > 0)


def stack_table(text: str, stack: Stack) -> Table:
    """Layer by layer what a stack sees, and what one layer with the same field would cost."""
    layers = [("pool" if layer.pool else "conv", joined([w.kernel for w in layer.windows])) for layer in stack.layers]
    shares = list(stack.touched)
    gaps = any(share < 1 for share in shares)
    rows, records = [], []
    for number, ((kind, size), layer, fields, share) in enumerate(
        zip(layers, stack.layers, stack.fields, shares, strict=True), start=1
    ):
        sees, stride = "x".join(str(f.size) for f in fields), joined([f.stride for f in fields])
        weights = "" if layer.pool else f"{layer.taps}C²"
        rows.append([str(number), f"{kind} {_options(layer, size)}", sees, stride, weights, *([percent(share)] * gaps)])
        records.append({"layer": layer.text, "kind": kind, "receptive_field": [f.size for f in fields],
                        "effective_stride": [f.stride for f in fields], "weights": 0 if layer.pool else layer.taps,
                        "touched": share})  # fmt: skip
    columns = [*STACK, *[Column("touched", Kind.SIZES)] * gaps]
    data = {"stack": text, "layers": records, "weights": stack.weights, "weights_of_one": stack.weights_of_one,
            "nonlinearities": stack.nonlinearities}  # fmt: skip
    return small_table(text, _in_words(stack, layers), columns, rows, data, [*_compared(stack), *_other_reading(text)])


def _sides(layer: StackLayer, size: str) -> str:
    """The kernel's size, side by side if it was given so."""
    return "x".join(str(window.kernel) for window in layer.windows) if "x" in layer.text else size


def _other_reading(text: str) -> Iterator[str]:
    """What else a text with an x might be meant to be."""
    sides = text.split("x")
    if divided_by_x(text) and len(sides) == 2:
        one = f"{text}," if len(set(sides)) > 1 else f"{sides[0]} or {text},"
        yield f"x divides layers here; one layer with a {text} kernel is written {one}"


def _options(layer: Any, size: str) -> str:
    window = layer.windows[0]
    stride = f" s={window.stride}" if window.stride != (window.kernel if layer.pool else 1) else ""
    return f"{size}{stride}" + (f" d={window.dilation}" if window.dilation != 1 else "")


def _in_words(stack: Stack, layers: Sequence[tuple[str, str]]) -> str:
    """How the text was read: `three layers of size 3`, `two layers: conv 7 s=2, conv 3`."""
    counts = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    number = counts[len(layers)] if len(layers) < len(counts) else f"{len(layers):,}"
    what = f"{number} layer{'s' if len(layers) > 1 else ''}"
    windows = {window for layer in stack.layers for window in layer.windows}
    plain = len({(layer.pool, layer.windows) for layer in stack.layers}) == 1 and len(windows) == 1
    if plain and not stack.layers[0].pool and (windows.pop().stride, stack.layers[0].windows[0].dilation) == (1, 1):
        return f"{what} of size {_sides(stack.layers[0], layers[0][1])}"
    listed = [
        f"{kind} {_options(layer, _sides(layer, size))}"
        for (kind, size), layer in zip(layers, stack.layers, strict=True)
    ]
    return f"{what}: {', '.join(listed)}" if len(listed) < len(counts) else what


def _compared(stack: Stack) -> Iterator[str]:
    side = "x".join(map(str, stack.size))
    many = len(stack.layers) > 1
    yield f"field: {side}" + (f", after steps of {', '.join(_steps(stack))}" if many else "")
    if many and stack.weights:
        one, all_of_it = f"{exact(stack.weights_of_one)}C²", f"{exact(stack.weights)}C²"
        single = f"one {side} layer with the same field: {one} ({stack.saving})"
        yield f"weights with C channels throughout: {all_of_it}; {single}"
        yield f"non-linearities: {stack.nonlinearities}; one layer: 1"
    if any(layer.pool for layer in stack.layers):
        yield "p: pooling, which has no weights; its stride is its size unless s says otherwise"


def _steps(stack: Stack) -> list[str]:
    return [joined([field.size for field in fields]) for fields in stack.fields]
