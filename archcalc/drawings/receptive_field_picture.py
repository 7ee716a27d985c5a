"""The input as a frame, and on it the fields of some layers as nested frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archcalc.analyses.field import Field, Fields, Interval
from archcalc.analyses.positions import middle_of
from archcalc.analyses.receptive_field_exact import has_symbols
from archcalc.drawings.drawing import Drawing, Line, Rect, Shape, Text
from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.questions.field_places import fields_on
from archcalc.questions.receptive_field import ReceptiveFields
from archcalc.questions.receptive_field_at import PositionField
from archcalc.report import Report

COLOURS = ("#1b6ca8", "#d1495b", "#2a9d5c", "#b36b00", "#7b4fa6", "#00838f", "#8d5524", "#c2185b", "#556b2f", "#37474f")
SIDE, MARGIN, ROW = 420.0, 36.0, 18.0
"""Points: the drawn area's longer side, what is left free around it, and a label's height."""
MOST, REACH = 8, 2.0
"""How many layers are chosen, and how far beyond the input's sides frames are drawn, in units of its size."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One layer's window at one position: (first, last) down and across; `exact` is what's inside the borders."""

    label: str
    down: tuple[Any, Any]
    across: tuple[Any, Any]
    exact: tuple[tuple[int, int], tuple[int, int]] | None = None


def fields_drawing(found: ReceptiveFields, layers: Sequence[str] = ()) -> Drawing:
    """The fields of some layers, by default of the last one of every stage; each at its middle position.

    Raises: UsageError: a size is symbolic, the input has no spatial axes, or a layer doesn't see it or isn't there.
    """
    graph = found.report.graph
    _check(graph, found.source)
    chosen = list(map(graph.place, layers)) or stages(found)
    for index in chosen if layers else ():
        _check_seen(found.fields[index], graph, index, found.source)
    frames = [_frame(found.fields[index], _middle(found, index)) for index in chosen]
    return _laid_out(found.report, found.source, frames)


def position_drawing(found: PositionField) -> Drawing:
    """One position's window, what is inside the borders shaded.

    Raises: UsageError: a size is symbolic, the input has no spatial axes, or the layer doesn't see it.
    """
    fields = fields_on(found.report, found.source)[found.index]
    _check(found.report.graph, found.source)
    _check_seen(fields, found.report.graph, found.index, found.source)
    return _laid_out(found.report, found.source, [_frame(fields, found, exact=True)])


def _check(graph: Graph, source: int) -> None:
    if not graph.nodes[source].shape.spatial:
        raise UsageError(f"{graph.name} has nothing to draw: the input has no spatial axes")
    if any(node.application.once(has_symbols) for node in graph.nodes):
        raise UsageError("a picture needs numbers for all sizes and arguments", "give them values, as in --set R=300")


def _check_seen(fields: Fields, graph: Graph, index: int, source: int) -> None:
    if not fields:
        raise UsageError(f"'{graph.nodes[index].name}' does not depend on '{graph.nodes[source].name}'")


def _middle(found: ReceptiveFields, index: int) -> PositionField:
    position = middle_of(found.report.graph.nodes[index].shape)
    return PositionField(found.report, index, position, found.source)


def _laid_out(report: Report, source: int, frames: Sequence[Frame]) -> Drawing:
    graph, shape = report.graph, report.graph.nodes[source].shape
    place = "input" if source == 0 and not graph.first_of_several else graph.nodes[source].name
    return _drawing(f"{report.name}: receptive fields", f"{place} {report.text(shape)}", _sides(shape), frames)


def stages(whole: ReceptiveFields) -> list[int]:
    """The last layer of each stage, a name's first part, that has a field of its own; of many some, evenly."""
    fields, last = whole.fields, {}
    for index, node in enumerate(whole.report.graph.nodes):
        found = fields[index].values()
        if index > whole.source and node.shape.spatial and found and all(map(_moves, found)):
            last[node.name.split("/")[0]] = index
    sizes: dict[tuple[Any, ...], int] = {}
    for index in last.values():
        sizes.setdefault(tuple(field.size for field in fields[index].values()), index)
    chosen = list(sizes.values())
    if len(chosen) <= MOST:
        return chosen
    return [chosen[round(step * (len(chosen) - 1) / (MOST - 1))] for step in range(MOST)]


def _moves(field: Field) -> bool:
    """Whether positions have windows of their own along this axis."""
    return field.follows and not field.constant


def _sides(shape: Any) -> tuple[int, int]:
    """Positions down and across; one down where there is only one axis."""
    *above, across = (shape[axis] for axis in shape.spatial)
    return (above[-1] if above else 1), across


def _frame(fields: Fields, at: PositionField, exact: bool = False) -> Frame:
    """One position's window, as it goes on past the borders where that is known; with what is inside, if `exact`."""
    place, position = at.report.graph.nodes[at.source].shape, at.position
    free: dict[str, Interval] = {}
    plain = fields and all(_moves(field) and not field.drifts for field in fields.values())
    seen = None if plain and not exact else at.seen
    for axis in place.spatial:
        field = fields.get(axis)
        if field is None or not _moves(field) or field.drifts:
            free[axis] = seen.interval(axis) if seen else (0, place[axis] - 1)
        else:
            free[axis] = field.at(position.get(axis, 0))
    inside = {axis: seen.interval(axis) or (0, 0) for axis in place.spatial} if seen else None
    sizes = "x".join("0" if w is None else str(int(w[1] - w[0]) + 1) for w in free.values())
    strides = {str(field.stride) for field in fields.values()}
    stride = f", stride {strides.pop()}" if len(strides) == 1 and all(map(_moves, fields.values())) else ""
    where = f" at {','.join(map(str, at.report.ordered(position).values()))}" if exact else ""
    down, across = _two(free)
    return Frame(f"{at.node.name}{where}: {sizes}{stride}", down, across, _two(inside) if inside else None)


def _two(windows: Mapping[str, Any]) -> tuple[Any, Any]:
    *above, across = [window or (0, 0) for window in windows.values()]
    return (above[-1] if above else (0, 0)), across


def _drawing(title: str, name: str, sides: tuple[int, int], frames: Sequence[Frame]) -> Drawing:
    """Lay out frames around and on the input, the largest below, and their labels beside them."""
    height, width = sides
    # what is drawn: the input, and fields as far as they reach, but not further than REACH input sizes
    high = [_limit(edge, height) for frame in frames for edge in (frame.down[0], frame.down[1] + 1)]
    wide = [_limit(edge, width) for frame in frames for edge in (frame.across[0], frame.across[1] + 1)]
    top, bottom = min([0, *high]), max([height, *high])
    left, right = min([0, *wide]), max([width, *wide])
    scale = SIDE / max(bottom - top, right - left)
    tall = max(scale, 60 / (bottom - top))  # an input of one row is drawn as a strip

    def rect(down: Any, across: Any, **look: Any) -> Rect:
        y1, y2 = (_limit(edge, height) for edge in (down[0], down[1] + 1))
        x1, x2 = (_limit(edge, width) for edge in (across[0], across[1] + 1))
        corner = MARGIN + (x1 - left) * scale, MARGIN + 24 + (y1 - top) * tall
        return Rect(*corner, (x2 - x1) * scale, (y2 - y1) * tall, **look)

    whole = rect((0, height - 1), (0, width - 1), stroke="#444444", fill="#f1f1ee", thickness=1.0)
    shapes: list[Shape] = [Text(MARGIN, MARGIN - 8, title, 14), whole]
    label_x = MARGIN + (right - left) * scale + 44
    order = sorted(range(len(frames)), key=lambda i: -(_area(frames[i])))
    labels: list[tuple[float, float, str, str]] = [(whole.y, whole.x + whole.width, name, "#444444")]
    for rank in order:
        frame, colour = frames[rank], COLOURS[rank % len(COLOURS)]
        if frame.exact:
            shapes.append(rect(*frame.exact, fill="#cfe3f2"))
        drawn = rect(frame.down, frame.across, stroke=colour, dashed=frame.exact is not None)
        shapes.append(drawn)
        labels.append((drawn.y, drawn.x + drawn.width, frame.label + _beyond(frame, sides), colour))
    y, longest = MARGIN + 18 - ROW, 0.0
    for edge_y, edge_x, text, colour in sorted(labels):
        y = max(edge_y, y + ROW)
        shapes += [Line(edge_x, edge_y, label_x - 6, y, colour), Text(label_x, y, text, 11, colour)]
        longest = max(longest, shapes[-1].width)  # type: ignore[union-attr]
    page = max(MARGIN + 24 + (bottom - top) * tall, y) + MARGIN
    return Drawing(label_x + longest + MARGIN, page, shapes, title)


def _limit(edge: Any, size: int) -> float:
    return float(min(max(edge, -REACH * size), (1 + REACH) * size))


def _area(frame: Frame) -> Any:
    return (frame.down[1] - frame.down[0] + 1) * (frame.across[1] - frame.across[0] + 1)


def _beyond(frame: Frame, sides: tuple[int, int]) -> str:
    """A remark on a frame that is too large to be drawn in full."""
    cut = any(
        _limit(edge, size) != edge
        for window, size in zip((frame.down, frame.across), sides, strict=True)
        for edge in (window[0], window[1] + 1)
    )
    return " (drawn in part)" if cut else ""
