"""The effective field as a picture: the estimate beside what PyTorch measures."""

from __future__ import annotations

from collections.abc import Mapping

from archcalc.analyses.effective_field import Grid, Profile
from archcalc.drawings.drawing import Drawing, Rect, Shape, Text
from archcalc.questions.effective_field import EffectiveField

SIDE, CELLS, MARGIN = 300.0, 60, 36.0
"""Points: a panel's longer side and what is left free around it; and how many cells it has at most."""
LIGHT, DARK = (250, 250, 246), (8, 48, 107)


def effective_drawing(field: EffectiveField) -> Drawing:
    """Both distributions side by side, with the field's frame and the effective size's."""
    title = f"{field.report.name}: {field.title}"
    profiles = list(field.estimated.values())[-2:]
    down = profiles[0].shares if len(profiles) > 1 else (1.0,)
    product: Grid = [[a * b for b in profiles[-1].shares] for a in down]
    panels: list[tuple[str, Grid, Mapping[str, Profile]]] = [("estimated from the graph", product, field.estimated)]
    if field.measured:
        panels.append(("measured with PyTorch", field.grid, field.measured))
    shapes: list[Shape] = [Text(MARGIN, MARGIN - 8, title, 14)]
    left, low = MARGIN, 0.0
    for name, grid, found in panels:
        drawn, width, low = _panel(field, name, grid, found, left)
        shapes += drawn
        left += width + MARGIN
    notes = ["solid: the whole field; dashed: the fewest positions that hold 95.45 % of the squared gradient",
             "darker: more of the gradient, in steps of its square root"]  # fmt: skip
    shapes += [Text(MARGIN, low + 20 + 16 * i, note, 10, "#555555") for i, note in enumerate(notes) if note]
    width = max(left, *(MARGIN * 2 + shape.width for shape in shapes if isinstance(shape, Text)))
    return Drawing(width, low + 20 + 16 * len(notes) + MARGIN / 2, shapes, title)


def _panel(
    field: EffectiveField, name: str, grid: Grid, found: Mapping[str, Profile], left: float
) -> tuple[list[Shape], float, float]:
    """Cells, frames and heading; the panel's width and its lower edge."""
    height, width = len(grid), len(grid[0])
    side = SIDE if field.measured else 2 * SIDE + MARGIN  # alone, a panel takes the page
    scale, top = side / max(height, width), MARGIN + 34
    tall = max(scale, 30 / height)
    shapes: list[Shape] = [Rect(left, top, width * scale, height * tall, "#444444", _colour(0), thickness=0.75)]
    cells = binned(grid, max(1, -(-max(height, width) // CELLS)))
    peak = max(value for _, _, _, _, value in cells)
    for x, y, w, h, value in cells:
        if (depth := (value / peak) ** 0.5) > 0.02:
            shapes.append(Rect(left + x * scale, top + y * tall, w * scale, h * tall, fill=_colour(depth)))
    axes = list(field.report.ordered(found))[-2:]
    whole_field = [field.seen.interval(axis) or (0, 0) for axis in axes]
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
