"""A tall picture in columns, like text: where one node feeds all that follows, the picture goes on in the next column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

PAGE = 1.5
"""Width by height of the page that a picture should fill."""
GUTTER, MARGIN, RADIUS, ARROW = 40.0, 14.0, 8.0, 6.0
"""Points between columns, around them, in a line's corners, and of an arrow's length."""
LEAST_HEIGHT, MAX_WAYS = 300.0, 100
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in points; y goes up, as Graphviz has it."""

    left: float
    low: float
    right: float
    high: float

    @property
    def x(self) -> float:
        """Its middle from left to right."""
        return (self.left + self.right) / 2

    @property
    def y(self) -> float:
        """Its middle from low to high."""
        return (self.low + self.high) / 2

    @classmethod
    def around(cls, points: Iterable[Point]) -> Box:
        """The smallest that holds all points."""
        xs, ys = zip(*points, strict=True)
        return cls(min(xs), min(ys), max(xs), max(ys))

    @property
    def corners(self) -> tuple[Point, Point]:
        """Two corners that say it all."""
        return (self.left, self.low), (self.right, self.high)


@dataclass(frozen=True, slots=True)
class Column:
    """What lies between two heights, its extent, and the node above it that feeds it, if there is one."""

    low: float
    high: float
    box: Box
    feeder: str | None = None


def in_columns(graph: Any) -> None:
    """Move a laid-out pygraphviz graph into as many columns as fill a page best; one column may be best."""
    layout = _Layout(graph)
    best = min(layout.ways(), key=_page_height)
    if len(best) > 1:
        layout.move(best)


def _page_height(columns: Sequence[Column]) -> float:
    """How high a page must be to hold the columns; each further column must be worth its while."""
    width = sum(column.box.right - column.box.left + GUTTER for column in columns)
    height = max(column.box.high - column.box.low for column in columns)
    return max(width / PAGE, height) * 1.1 ** (len(columns) > 1)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def _text(*numbers: float) -> str:
    return ",".join(f"{number:.2f}" for number in numbers)


def _spline(text: str) -> list[tuple[str, Point]]:
    """An edge's points, each with the letter before it (`e` at an arrow's tip) if it has one."""
    points = []
    for word in text.split():
        *mark, x, y = word.split(",")
        points.append((mark[0] if mark else "", (float(x), float(y))))
    return points


class _Layout:
    """What Graphviz has laid out, read from its attributes."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.nodes = {str(node): self._node_box(node) for node in graph.nodes()}
        self.frames = [(frame, Box(*_numbers(frame.graph_attr["bb"]))) for frame in self._frames(graph)]
        self.edges = [(edge, _spline(edge.attr["pos"])) for edge in graph.edges()]

    def _node_box(self, node: Any) -> Box:
        (x, y), width, height = _numbers(node.attr["pos"]), float(node.attr["width"]), float(node.attr["height"])
        return Box(x - width * 36, y - height * 36, x + width * 36, y + height * 36)

    def _frames(self, graph: Any) -> Iterator[Any]:
        for frame in graph.subgraphs():
            yield frame
            yield from self._frames(frame)

    def ways(self) -> Iterator[list[Column]]:
        """Some ways to set the picture: one column first, then ever lower ones."""
        everything = self._extent(float("-inf"), float("inf"))
        gaps, known = list(self._gaps()), set()
        height = everything.high - everything.low
        while len(known) < MAX_WAYS and height > LEAST_HEIGHT:
            cuts, start = [], everything.high
            for gap, (below, _) in pairwise([*gaps, (everything.low, "")]):
                if start - below > height:
                    cuts.append(gap)
                    start = gap[0]
            if tuple(cuts) not in known:
                known.add(tuple(cuts))
                yield self._columns(cuts)
            height *= 0.97

    def _columns(self, cuts: Sequence[tuple[float, str]]) -> list[Column]:
        heights = [float("inf"), *(height for height, _ in cuts), float("-inf")]
        feeders = [None, *(feeder for _, feeder in cuts)]
        return [
            Column(low, high, self._extent(low, high, feeder), feeder)
            for (high, low), feeder in zip(pairwise(heights), feeders, strict=True)
        ]

    def _gaps(self) -> Iterator[tuple[float, str]]:
        """Heights at which the picture can be cut, from the top: nothing is there but lines from one node."""
        solid = sorted([*self.nodes.values(), *(box for _, box in self.frames)], key=lambda box: -box.high)
        low = solid[0].low
        for box in solid:
            if box.high < low:
                height = (box.high + low) / 2
                feeders = {edge[0] for edge, _ in self.edges if self._crosses(edge, height)}
                if len(feeders) == 1 and self._is_free_below(feeder := feeders.pop(), height):
                    yield height, feeder
            low = min(low, box.low)

    def _crosses(self, edge: Any, height: float) -> bool:
        return self.nodes[edge[0]].y > height > self.nodes[edge[1]].y

    def _is_free_below(self, node: str, height: float) -> bool:
        """Whether a line can leave a node downwards."""
        x, y = self.nodes[node].x, self.nodes[node].y
        return not any(box.left < x < box.right and height < box.y < y for box in self.nodes.values())

    def _extent(self, low: float, high: float, feeder: str | None = None) -> Box:
        """The box around all that lies between two heights, with what the lines from the feeder need."""
        points = [point for name, box in self.nodes.items() if low < box.y < high or name == feeder for point in box.corners]
        points += [point for _, box in self.frames if low < box.y < high for point in box.corners]
        points += [
            point for edge, spline in self.edges if low < self.nodes[edge[1]].y < high for _, point in self._reach(edge, spline)
        ]
        return Box.around(points)

    def _reach(self, edge: Any, spline: list[tuple[str, Point]]) -> list[tuple[str, Point]]:
        """An edge's points, and the corners of its label."""
        if not edge.attr["lp"]:
            return spline
        (x, y), half = _numbers(edge.attr["lp"]), len(edge.attr["label"]) * 2.6
        return [*spline, ("", (x - half, y - 5)), ("", (x + half, y + 5))]

    def move(self, columns: Sequence[Column]) -> None:
        """Put the columns side by side, their tops at one height, and join them."""
        top, right, shifts = columns[0].box.high, 0.0, []
        for column in columns:
            shifts.append((right - column.box.left, top - column.box.high))
            right += column.box.right - column.box.left + GUTTER
        right -= GUTTER
        for column, shift in zip(columns, shifts, strict=True):
            self._shift(column, shift)
        for (before, _), (column, shift) in pairwise(zip(columns, shifts, strict=True)):
            self._join(before, column, shift)
        self._set_title(right, top, min(top - column.box.high + column.box.low for column in columns) - MARGIN)

    def _shift(self, column: Column, shift: Point) -> None:
        dx, dy = shift
        for name, box in self.nodes.items():
            if column.low < box.y < column.high:
                self.graph.get_node(name).attr["pos"] = _text(box.x + dx, box.y + dy)
        for frame, box in self.frames:
            if column.low < box.y < column.high:
                x, y = _numbers(frame.graph_attr["lp"]) if frame.graph_attr["lp"] else (0, 0)
                frame.graph_attr["lp"] = _text(x + dx, y + dy)
                frame.graph_attr["bb"] = _text(box.left + dx, box.low + dy, box.right + dx, box.high + dy)
        for edge, spline in self.edges:
            if column.low < self.nodes[edge[1]].y < column.high:
                words = (_text(x + dx, y + dy) if not mark else f"{mark},{_text(x + dx, y + dy)}" for mark, (x, y) in spline)
                edge.attr["pos"] = " ".join(words)
                if edge.attr["lp"]:
                    x, y = _numbers(edge.attr["lp"])
                    edge.attr["lp"] = _text(x + dx, y + dy)

    def _join(self, before: Column, column: Column, shift: Point) -> None:
        """Draw the feeder again at the top of its column, as an outline, and the line that leads there."""
        feeder = str(column.feeder)
        box, start = self.nodes[feeder], _numbers(self.graph.get_node(feeder).attr["pos"])
        half = (box.high - box.low) / 2
        x, y = box.x + shift[0], box.y + shift[1]
        low = start[1] - box.y + before.box.low - MARGIN / 2
        gutter = column.box.left + shift[0] - GUTTER / 2
        high = column.box.high + shift[1] + MARGIN
        corners = [(start[0], start[1] - half), (start[0], low), (gutter, low), (gutter, high), (x, high), (x, y + half + ARROW)]
        ghost = f"again {feeder}"
        labels = []
        for edge, _ in self.edges:
            if edge[0] == feeder and edge.attr["label"] and self.nodes[edge[1]].y < column.high:
                labels.append(edge.attr["label"])
                edge.attr["label"] = ""
        width, height = (box.right - box.left) / 72, (box.high - box.low) / 72
        self.graph.add_node(ghost, label=labels[0] if labels else "", pos=_text(x, y), width=width, height=height)
        self.graph.get_node(ghost).attr.update(style="rounded,dashed", color="#999999", fontcolor="#555555", fontsize=8)
        self.graph.add_edge(feeder, ghost, pos=f"e,{_text(x, y + half)} {_rounded(corners)}")

    def _set_title(self, right: float, top: float, low: float) -> None:
        attributes = self.graph.graph_attr
        width, height = float(attributes["lwidth"]) * 72, float(attributes["lheight"]) * 72
        left, right = min(0, (right - width) / 2), max(right, (right + width) / 2)
        attributes["lp"] = _text((left + right) / 2, top + MARGIN + height / 2)
        attributes["bb"] = _text(left, low, right, top + MARGIN + height)


def _rounded(corners: Sequence[Point]) -> str:
    """A spline along straight lines, its corners rounded."""
    points = [corners[0], corners[0]]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        into, out = _near(corner, before), _near(corner, after)
        points += [into, into, corner, corner, out, out]
    points += [corners[-1], corners[-1]]
    return " ".join(_text(*point) for point in points)


def _near(corner: Point, other: Point) -> Point:
    """The point where the line to another begins to bend."""
    (x, y), (to_x, to_y) = corner, other
    length = max(abs(to_x - x), abs(to_y - y))
    part = min(RADIUS / length, 0.5) if length else 0.0
    return x + (to_x - x) * part, y + (to_y - y) * part
