"""Boxes, points and lines as Graphviz writes them; all lengths in points, y upwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ARROW, RADIUS = 6.0, 8.0
"""The length of an arrow, and the radius of a line's corners."""
SPINE = "200"
"""The weight of the spine's edges alone: more than Graphviz gives to compact frames, so that it stays straight."""
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

    @property
    def corners(self) -> tuple[Point, Point]:
        """Two corners that say it all."""
        return (self.left, self.low), (self.right, self.high)

    @classmethod
    def around(cls, points: Iterable[Point]) -> Box:
        """The smallest that holds all points."""
        xs, ys = zip(*points, strict=True)
        return cls(min(xs), min(ys), max(xs), max(ys))


def numbers(written: str) -> tuple[float, ...]:
    """The numbers of a point or a box."""
    return tuple(float(number) for number in written.split(","))


def text(point: Iterable[float]) -> str:
    """A point as Graphviz reads it."""
    return ",".join(f"{number:.2f}" for number in point)


def spline(written: str) -> list[tuple[str, Point]]:
    """An edge's points, each with the mark before it: `e,` at an arrow's tip."""
    points = []
    for word in written.split():
        *mark, x, y = word.split(",")
        points.append(("".join(f"{letter}," for letter in mark), (float(x), float(y))))
    return points


def rounded(corners: Sequence[Point]) -> str:
    """A spline along straight lines with rounded corners, and an arrow at its end."""
    *_, last, tip = corners
    base = _towards(tip, last, ARROW)
    points = [corners[0], corners[0]]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        into, out = _towards(corner, before, RADIUS), _towards(corner, after, RADIUS)
        points += [into, into, corner, corner, out, out]
    return f"e,{text(tip)} " + " ".join(map(text, [*points, base, base]))


def _towards(corner: Point, other: Point, distance: float) -> Point:
    """The point on the way to another, at a distance but no further than half the way."""
    (x, y), (to_x, to_y) = corner, other
    length = max(abs(to_x - x), abs(to_y - y))
    part = min(distance / length, 0.5) if length else 0.0
    return x + (to_x - x) * part, y + (to_y - y) * part
