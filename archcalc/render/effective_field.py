"""The effective receptive field: a small table, and a picture of the estimate beside what PyTorch measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from archcalc.analyses.effective_field import Grid, Measurement, Profile, effective_field
from archcalc.analyses.positions import Seen
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.graph import Graph
from archcalc.render.drawing import Drawing, Rect, Shape, Text
from archcalc.render.receptive_field import percent, small_table
from archcalc.report import Report
from archcalc.tables import Column, Kind, Table

Measure = Callable[[Graph, int, Mapping[str, int], int], Measurement | str]
SIDE, CELLS, MARGIN = 300.0, 60, 36.0
"""Points: a panel's longer side and what is left free around it; and how many cells it has at most."""
LIGHT, DARK = (250, 250, 246), (8, 48, 107)


class Effective:
    """One layer's effective field at one position: estimated, and as `measure` finds it, or says why it doesn't."""

    def __init__(self, report: Report, index: int, position: Mapping[str, int], source: int, measure: Measure) -> None:
        graph = report.graph
        self.report, self.index, self.position, self.source = report, index, dict(position), source
        self.estimated = effective_field(graph, index, position, source)
        self.seen: Seen = exact_field(graph, index, position, source)
        measured = measure(graph, index, position, source)
        found = Measurement({}, []) if isinstance(measured, str) else measured
        self.measured, self.grid = found.profiles, found.grid
        self.missing = measured if isinstance(measured, str) else ""

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
        columns = [Column("axis", Kind.NAME), *(Column(key, Kind.SIZES) for key in keys)]
        rows, records = [], {}
        for axis, found in self.report.ordered(self.estimated).items():
            first, last = self.seen.interval(axis) or (0, -1)
            row = [axis, str(last - first + 1)]
            record: dict[str, float] = {"field": last - first + 1}
            for name, of in (("estimated", found), ("measured", self.measured.get(axis))):
                if of is not None:
                    row += [f"{of.size} ({percent(of.size / (last - first + 1))})", f"{of.deviation:.1f}"]
                    record |= {name: of.size, f"{name}_deviation": of.deviation}
            rows.append(row)
            records[axis] = record
        notes = [
            "field: from the first to the last position that matters at all, inside the borders",
            "effective size: the fewest neighbouring positions that hold 95.45 % of the squared gradient",
            "estimated: from the graph alone, by how many paths reach each position (Luo et al. 2016)",
            "measured: by PyTorch, mean of 5 random initialisations" if self.measured else self.missing,
        ]
        name = self.report.graph.nodes[self.index].name
        data = {"name": name, "position": self.position, "axes": records}
        if self.report.graph.first_of_several:
            data["from"] = self.report.graph.nodes[self.source].name
        return small_table(self.report.name, self.title, columns, rows, data, notes)

    def drawing(self) -> Drawing:
        """Both distributions side by side, with the field's frame and the effective size's."""
        title = f"{self.report.name}: {self.title}"
        profiles = list(self.report.ordered(self.estimated).values())[-2:]
        down = profiles[0].shares if len(profiles) > 1 else (1.0,)
        product: Grid = [[a * b for b in profiles[-1].shares] for a in down]
        panels: list[tuple[str, Grid, Mapping[str, Profile]]] = [("estimated from the graph", product, self.estimated)]
        if self.measured:
            panels.append(("measured with PyTorch", self.grid, self.measured))
        shapes: list[Shape] = [Text(MARGIN, MARGIN - 8, title, 14)]
        left, low = MARGIN, 0.0
        for name, grid, found in panels:
            drawn, width, low = self._panel(name, grid, found, left)
            shapes += drawn
            left += width + MARGIN
        notes = ["solid: the whole field; dashed: the fewest positions that hold 95.45 % of the squared gradient",
                 "darker: more of the gradient, in steps of its square root"]  # fmt: skip
        shapes += [Text(MARGIN, low + 20 + 16 * i, note, 10, "#555555") for i, note in enumerate(notes) if note]
        width = max(left, *(MARGIN * 2 + shape.width for shape in shapes if isinstance(shape, Text)))
        return Drawing(width, low + 20 + 16 * len(notes) + MARGIN / 2, shapes, title)

    def _panel(
        self, name: str, grid: Grid, found: Mapping[str, Profile], left: float
    ) -> tuple[list[Shape], float, float]:
        """Cells, frames and heading; the panel's width and its lower edge."""
        height, width = len(grid), len(grid[0])
        side = SIDE if self.measured else 2 * SIDE + MARGIN  # alone, a panel takes the page
        scale, top = side / max(height, width), MARGIN + 34
        tall = max(scale, 30 / height)
        shapes: list[Shape] = [Rect(left, top, width * scale, height * tall, "#444444", _colour(0), thickness=0.75)]
        cells = binned(grid, max(1, -(-max(height, width) // CELLS)))
        peak = max(value for _, _, _, _, value in cells)
        for x, y, w, h, value in cells:
            if (depth := (value / peak) ** 0.5) > 0.02:
                shapes.append(Rect(left + x * scale, top + y * tall, w * scale, h * tall, fill=_colour(depth)))
        axes = list(self.report.ordered(found))[-2:]
        whole_field = [self.seen.interval(axis) or (0, 0) for axis in axes]
        for windows, dashed, colour in (
            (whole_field, False, "#d1495b"),
            ([found[axis].interval for axis in axes], True, "#b36b00"),
        ):
            (y1, y2), (x1, x2) = [(0, 0), *windows][-2:]
            sides = (x2 - x1 + 1) * scale, (y2 - y1 + 1) * tall
            shapes.append(Rect(left + x1 * scale, top + y1 * tall, *sides, colour, dashed=dashed))
        sizes = "x".join(str(found[axis].size) for axis in axes)
        whole = "x".join(str(last - first + 1) for first, last in whole_field)
        shapes.append(Text(left, top - 14, f"{name}: {sizes} of {whole}", 11))
        return shapes, width * scale, top + height * tall


def binned(grid: Grid, step: int) -> list[tuple[int, int, int, int, float]]:
    """Blocks of `step` by `step` positions: x, y, width, height, and the mean of the values.

    >>> binned([[1.0, 3.0, 5.0]], 2)
    [(0, 0, 2, 1, 2.0), (2, 0, 1, 1, 5.0)]
    """
    found = []
    for y in range(0, len(grid), step):
        rows = grid[y : y + step]
        for x in range(0, len(grid[0]), step):
            values = [value for row in rows for value in row[x : x + step]]
            found.append((x, y, min(step, len(grid[0]) - x), len(rows), sum(values) / len(values)))
    return found


def _colour(depth: float) -> str:
    mixed = (round(light + (dark - light) * depth) for light, dark in zip(LIGHT, DARK, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)
