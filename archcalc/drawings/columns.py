"""A tall picture in columns, to fill a page.

Where one node feeds all that follows, the picture goes on in the next column, like text; where long skips run past its
middle, the second half goes up again beside the first, like a U.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from archcalc.drawings.geometry import ARROW, SPINE, Box, Point, numbers, rounded, spline, text

PAGE = 1.5
"""Width by height of the page that a picture should fill."""
GUTTER, MARGIN = 40.0, 14.0
"""Points between columns, and above and below them."""
TALL, LEAST_HEIGHT, MAX_WAYS = 750.0, 300.0, 100
"""The height of a picture that needs columns, of the lowest columns, and how many ways are tried."""


@dataclass(frozen=True, slots=True)
class Column:
    """What lies between two heights and its extent, the node above it that feeds it, and the way it is moved."""

    low: float
    high: float
    box: Box
    feeder: str = ""
    turned: bool = False
    mirrored: bool = False
    x: float = 0.0
    y: float = 0.0

    def __contains__(self, box: Box) -> bool:
        return self.low < box.y < self.high

    def place(self, point: Point) -> Point:
        """Where a point goes."""
        x, y = point
        return self.x + (-x if self.mirrored else x), self.y + (-y if self.turned else y)

    def at(self, left: float, edge: float) -> Column:
        """The column with its left side at `left`, and its high side (its first row, if turned) at `edge`."""
        return replace(
            self,
            x=left + (self.box.right if self.mirrored else -self.box.left),
            y=edge + (self.box.high if self.turned else -self.box.high),
        )

    @property
    def placed(self) -> Box:
        """Its extent after the move."""
        return Box.around(map(self.place, self.box.corners))


def in_columns(graph: Any) -> None:
    """Move a laid-out pygraphviz graph into the columns that fill a page best; one column may be best."""
    layout = _Layout(graph)
    best = min(layout.ways(), key=_page_height)
    if len(best) > 1:
        layout.move(best)


def _page_height(columns: Sequence[Column]) -> float:
    """How high a page must be to hold the columns; more than one must be worth its while."""
    width = sum(column.box.right - column.box.left + GUTTER for column in columns)
    height = max(column.box.high - column.box.low for column in columns)
    return max(width / PAGE, height) * 1.1 ** (len(columns) > 1)


class _Layout:
    """What Graphviz has laid out, read from its attributes."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.nodes = {str(node): self._node_box(node) for node in graph.nodes()}
        self.frames = [(frame, Box(*numbers(frame.graph_attr["bb"]))) for frame in _frames(graph)]
        self.edges = [(edge, spline(edge.attr["pos"])) for edge in graph.edges()]
        self.extent = self._column(float("-inf"), float("inf")).box

    def _node_box(self, node: Any) -> Box:
        (x, y), width, height = numbers(node.attr["pos"]), float(node.attr["width"]), float(node.attr["height"])
        return Box(x - width * 36, y - height * 36, x + width * 36, y + height * 36)

    def ways(self) -> Iterator[list[Column]]:
        """Some ways to set the picture: one column first, then a U if it can be one, then ever lower columns."""
        gaps = [(height, self._across(height)) for height in self._gaps()]
        yield [Column(float("-inf"), float("inf"), self.extent)]
        height = self.extent.high - self.extent.low
        if height < TALL:
            return
        turns = [(len(across), -abs(height - self.extent.y), height) for height, across in gaps if self._turns(across)]
        if turns:
            yield self._around(max(turns)[2])
        cuts = [(height, across[0][0]) for height, across in gaps if self._feeds_all(height, across)]
        known: set[tuple[tuple[float, str], ...]] = {()}
        while len(known) < MAX_WAYS and height > LEAST_HEIGHT:
            chosen: list[tuple[float, str]] = []
            for cut, (below, _) in pairwise([*cuts, (self.extent.low, "")]):
                if (chosen[-1][0] if chosen else self.extent.high) - below > height:
                    chosen.append(cut)
            if tuple(chosen) not in known:
                known.add(tuple(chosen))
                yield self._side_by_side(chosen)
            height *= 0.97

    def _gaps(self) -> Iterator[float]:
        """Heights at which there is nothing but lines, from the top."""
        solid = sorted([*self.nodes.values(), *(box for _, box in self.frames)], key=lambda box: -box.high)
        low = solid[0].low
        for box in solid:
            if box.high < low:
                yield (box.high + low) / 2
            low = min(low, box.low)

    def _across(self, height: float) -> list[Any]:
        return [edge for edge, _ in self.edges if self.nodes[edge[0]].y > height > self.nodes[edge[1]].y]

    def _turns(self, across: Sequence[Any]) -> bool:
        """Whether these lines across a gap are the spine and some that run past other nodes."""
        spine = _spine(across)
        apart = len(across) > 1 and len({edge[0] for edge in across}) == len(across) and len(spine) == 1
        return apart and all(self._runs_past(edge) for edge in across if edge is not spine[0])

    def _runs_past(self, edge: Any) -> bool:
        """Whether a node lies between its ends, as in a U; not where resolutions run side by side."""
        source, target = self.nodes[edge[0]], self.nodes[edge[1]]
        return any(source.low > box.high and box.low > target.high for box in self.nodes.values())

    def _feeds_all(self, height: float, across: Sequence[Any]) -> bool:
        """Whether a column can begin here: all lines across come from one node, which a line can leave downwards."""
        if len({edge[0] for edge in across}) != 1 or height - self.extent.low < LEAST_HEIGHT / 2:
            return False
        feeder = self.nodes[across[0][0]]
        return not any(box.left < feeder.x < box.right and height < box.y < feeder.y for box in self.nodes.values())

    def _side_by_side(self, cuts: Sequence[tuple[float, str]]) -> list[Column]:
        heights = [float("inf"), *(height for height, _ in cuts), float("-inf")]
        left, columns = 0.0, []
        for (high, low), feeder in zip(pairwise(heights), ("", *(feeder for _, feeder in cuts)), strict=True):
            columns.append(self._column(low, high, feeder).at(left, 0.0))
            left = columns[-1].placed.right + GUTTER
        return columns

    def _around(self, height: float) -> list[Column]:
        """Down and up again; the second half mirrored where its ends of the long lines are right of its spine."""
        down, up = self._column(height, float("inf")), self._column(float("-inf"), height)
        across = self._across(height)
        spine = self.nodes[_spine(across)[0][1]].x
        mirrored = sum(self.nodes[edge[1]].x - spine for edge in across) > 0
        down = down.at(0.0, 0.0)
        return [down, replace(up, turned=True, mirrored=mirrored).at(down.placed.right + 2 * GUTTER, down.placed.low)]

    def _column(self, low: float, high: float, feeder: str = "") -> Column:
        """What lies between two heights, with what the lines from the feeder need."""
        column = Column(low, high, Box(0, 0, 0, 0), feeder)
        points = [p for name, box in self.nodes.items() if box in column or name == feeder for p in box.corners]
        points += [p for _, box in self.frames if box in column for p in box.corners]
        for edge, line in self.edges:
            tail, head = self.nodes[edge[0]], self.nodes[edge[1]]
            if head in column and (tail in column or edge[0] == feeder):
                points += [point for _, point in line] + _label_corners(edge)
        return replace(column, box=Box.around(points))

    def move(self, columns: Sequence[Column]) -> None:
        """Put everything into its column, and draw what leads from one column to the next."""
        for column in columns:
            self._fill(column)
        for before, column in pairwise(columns):
            if column.turned:
                self._turn(before, column)
            else:
                self._join(before, column)
        self._set_title([column.placed for column in columns])

    def _fill(self, column: Column) -> None:
        for name, box in self.nodes.items():
            if box in column:
                self.graph.get_node(name).attr["pos"] = text(column.place((box.x, box.y)))
        for frame, box in self.frames:
            if box in column:
                attributes, moved = frame.graph_attr, Box.around(map(column.place, box.corners))
                attributes["bb"] = ",".join(map(text, moved.corners))
                if attributes["lp"]:
                    x, y = numbers(attributes["lp"])
                    side = moved.right - (box.right - x)  # a heading stays at the right
                    attributes["lp"] = text((side, column.place((x, y))[1]))
        for edge, line in self.edges:
            if self.nodes[edge[1]] in column:
                edge.attr["pos"] = " ".join(mark + text(column.place(point)) for mark, point in line)
                if edge.attr["lp"]:
                    edge.attr["lp"] = text(column.place(numbers(edge.attr["lp"])))  # type: ignore[arg-type]

    def _join(self, before: Column, column: Column) -> None:
        """Draw the feeder again at the top of its column, as an outline, and the line that leads there."""
        box = self.nodes[column.feeder]
        here, half = column.place((box.x, box.y)), (box.high - box.low) / 2
        there = numbers(self.graph.get_node(column.feeder).attr["pos"])
        volumes = []
        for edge, _ in self.edges:
            if edge[0] == column.feeder and self.nodes[edge[1]] in column and edge.attr["label"]:
                volumes.append(edge.attr["label"])
                edge.attr["label"] = ""
        again = f"again {column.feeder}"
        self.graph.add_node(again, pos=text(here), label=(*volumes, "")[0], fontsize=8, fontcolor="#555555")
        self.graph.get_node(again).attr.update(width=(box.right - box.left) / 72, height=2 * half / 72)
        self.graph.get_node(again).attr.update(style="rounded,dashed", color="#999999")
        low, high = before.placed.low - MARGIN / 2, column.placed.high + MARGIN
        gutter, tip = column.placed.left - GUTTER / 2, (here[0], here[1] + half)
        line = [(there[0], there[1] - half), (there[0], low), (gutter, low), (gutter, high), (here[0], high), tip]
        self.graph.add_edge(column.feeder, again, pos=rounded(line))

    def _turn(self, before: Column, column: Column) -> None:
        """Draw the lines across the middle of a U: the spine below it, the others straight over."""
        across = self._across(column.high)
        for edge in across:
            tail = Box.around(map(before.place, self.nodes[edge[0]].corners))
            head = Box.around(map(column.place, self.nodes[edge[1]].corners))
            low = min(before.placed.low, column.placed.low) - MARGIN
            if edge in _spine(across):
                edge.attr["pos"] = rounded([(tail.x, tail.low), (tail.x, low), (head.x, low), (head.x, head.low)])
                edge.attr["lp"] = text(((tail.x + head.x) / 2, low + 8))
                continue
            start, tip = (tail.right, tail.y), (head.left - ARROW, head.y)
            bends = (before.placed.right + GUTTER / 2, tail.y), (column.placed.left - GUTTER / 2, head.y)
            edge.attr["pos"] = f"e,{text((head.left, head.y))} " + " ".join(map(text, (start, *bends, tip)))

    def _set_title(self, columns: Sequence[Box]) -> None:
        attributes = self.graph.graph_attr
        right, top, low = columns[-1].right, max(box.high for box in columns), min(box.low for box in columns)
        width, height = float(attributes["lwidth"]) * 72, float(attributes["lheight"]) * 72
        sides = (min(0, (right - width) / 2), low - MARGIN), (max(right, (right + width) / 2), top + MARGIN + height)
        attributes["lp"] = text((right / 2, top + MARGIN + height / 2))
        attributes["bb"] = ",".join(map(text, sides))


def _frames(graph: Any) -> Iterator[Any]:
    for frame in graph.subgraphs():
        yield frame
        yield from _frames(frame)


def _spine(edges: Iterable[Any]) -> list[Any]:
    return [edge for edge in edges if edge.attr["weight"] == SPINE]


def _label_corners(edge: Any) -> list[Point]:
    if not edge.attr["lp"]:
        return []
    (x, y), half = numbers(edge.attr["lp"]), len(edge.attr["label"]) * 2.6
    return [(x - half, y - 5), (x + half, y + 5)]
