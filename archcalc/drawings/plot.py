"""A scatter plot of a sweep as SVG, PNG or PDF: DOT with fixed positions, drawn by the Graphviz that pictures use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from archcalc.drawings.drawable import Drawable
from archcalc.drawings.svg import placed_bytes
from archcalc.errors import UsageError
from archcalc.questions.grid import Columns
from archcalc.questions.measures import column
from archcalc.questions.selection import integers, refuse_unknown
from archcalc.questions.sweep import Sweep
from archcalc.tables.numbers import short
from archcalc.text import dot_quoted

WIDTH, HEIGHT = 640.0, 400.0
"""Of the plotting area, in points."""
GRID = (320, 200)
"""Dots closer than a cell of this grid are drawn as one."""
TICKS = 5
AXES = ("params", "macs")


def plot(found: Sweep, axes: str | Sequence[str] = AXES) -> Scatter:
    """The configurations of a sweep as points.

    Raises: UsageError: it isn't two columns, or they aren't whole numbers.
    """
    points = scatter(axes, found.grid.architecture.name)
    for _ in found.through(points).blocks():
        pass
    return points


def scatter(axes: str | Sequence[str], title: str) -> Scatter:
    """A plot without points yet. `params,macs`: what is to the right, and what goes up.

    Raises: UsageError: it isn't two columns.
    """
    found = axes.split(",") if isinstance(axes, str) else list(axes)
    if len(found) != 2 or not all(isinstance(name, str) for name in found):
        raise UsageError(f"a plot has two axes, not {axes!r:.60}", "axes: params,macs")
    x, y = (column(name.strip()) for name in found)
    return Scatter(x, y, title)


def check_suffix(path: Path) -> None:
    """See that a plot can be written to a file.

    Raises: UsageError: the suffix names no format.
    """
    if path.suffix[1:].lower() not in Scatter.formats:
        known = ", ".join(f".{name}" for name in Scatter.formats)
        raise UsageError(f"can't plot '{path.name}'", f"known: {known}")


class Scatter(Drawable):
    """Points, gathered block by block; of those in one cell of the grid the first is kept."""

    def __init__(self, x: str, y: str, title: str) -> None:
        self.x, self.y, self.title = x, y, title
        self.points: list[tuple[Any, Any]] = []

    def __repr__(self) -> str:
        return f"Scatter({self.title!r}: {self.y} by {self.x})"

    @property
    def names(self) -> tuple[str, str]:
        """The columns that it shows."""
        return self.x, self.y

    def check(self, known: Sequence[str]) -> None:
        """See that both are there.

        Raises: UsageError: one isn't.
        """
        for name in self.names:
            refuse_unknown(name, known, "axes")

    def of(self, blocks: Iterable[Columns]) -> Iterator[Columns]:
        """The same blocks, their points taken."""
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: Columns) -> None:
        """Take the points of a block; thinned out if there are many."""
        xs, ys = (integers(block, name, "axes") for name in self.names)
        self.points.extend(zip(xs, ys, strict=True))
        if len(self.points) > 200_000:
            self.points = self._thinned()

    def _thinned(self) -> list[tuple[int, int]]:
        scales = self._scales()
        cells: dict[tuple[int, int], tuple[int, int]] = {}
        for point in self.points:
            place = tuple(int(scale(value) * cells_) for scale, value, cells_ in zip(scales, point, GRID, strict=True))
            cells.setdefault(place, point)  # type: ignore[arg-type]
        return list(cells.values())

    def _scales(self) -> list[_Scale]:
        return [_Scale([point[axis] for point in self.points]) for axis in (0, 1)]

    def _content(self, form: str) -> bytes:
        if not self.points:
            raise UsageError("there's nothing to plot")
        return placed_bytes("\n".join(self._dot()), form)

    def _dot(self) -> Iterator[str]:
        """The plot as DOT whose nodes have positions."""
        yield 'graph { bgcolor="white"; outputorder=edgesfirst; splines=line;'
        font = 'fontname="DejaVu Sans,Helvetica,sans-serif", fontsize=10'
        yield f'node [shape=plaintext, {font}, label="", width=0, height=0];'
        scales = self._scales()
        corners = {"o": (0.0, 0.0), "e": (WIDTH, 0.0), "n": (0.0, HEIGHT)}
        for name, (x, y) in corners.items():
            yield f'{name} [pos="{x},{y}", style=invis, shape=point];'
        for name, (x, y) in list(corners.items())[1:]:
            line = f"0,0 {x / 3},{y / 3} {2 * x / 3},{2 * y / 3} {x},{y}"
            yield f'o -- {name} [color="#888888", pos="{line}"];'
        for value in scales[0].ticks():
            yield f'"x{value}" [pos="{scales[0](value) * WIDTH:.2f},-14", label="{short(value)}"];'
        for value in scales[1].ticks():
            yield f'"y{value}" [pos="-30,{scales[1](value) * HEIGHT:.2f}", label="{short(value)}"];'
        yield f'"x name" [pos="{WIDTH / 2},-34", label={dot_quoted(self.x)}];'
        yield f'"y name" [pos="-30,{HEIGHT + 20}", label={dot_quoted(self.y)}];'
        yield f'"title" [pos="{WIDTH / 2},{HEIGHT + 36}", label={dot_quoted(self.title)}, fontsize=12];'
        for number, (x, y) in enumerate(self._thinned()):
            place = f"{scales[0](x) * WIDTH:.2f},{scales[1](y) * HEIGHT:.2f}"
            yield (
                f"p{number} [shape=circle, style=filled, fixedsize=true, width=0.05, height=0.05, penwidth=0, "
                f'fillcolor="#1f77b4", pos="{place}", tooltip={dot_quoted(f"{self.x} {x:,}, {self.y} {y:,}")}];'
            )
        yield "}"


class _Scale:
    """Values to 0…1: linear, or logarithmic where they span more than two powers of ten."""

    def __init__(self, values: Sequence[int]) -> None:
        self.low, self.high = min(values), max(values)
        self.logarithmic = self.low > 0 and self.high > 100 * self.low

    def __call__(self, value: int) -> float:
        if self.low == self.high:
            return 0.5
        if self.logarithmic:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[int]:
        """Some values along the axis."""
        if self.low == self.high:
            return [self.low]
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10**power for power in range(first, last + 1)]
        return sorted({self.low + (self.high - self.low) * step // (TICKS - 1) for step in range(TICKS)})
