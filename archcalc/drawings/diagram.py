"""A graph as a picture."""

from __future__ import annotations

from dataclasses import dataclass

from archcalc.drawings.dot import to_dot
from archcalc.drawings.drawable import Drawable
from archcalc.drawings.svg import picture_bytes
from archcalc.report import Report


@dataclass(frozen=True, repr=False)
class Diagram(Drawable):
    """A picture of a graph: scopes as boxes, volumes on the edges, kind, kernel and params in the nodes.

    `fold`: equal blocks in a row are drawn once, with their count. `depth`: scopes below it are drawn as one node.
    """

    formats = ("svg", "pdf", "png", "dot")
    report: Report
    fold: bool = True
    depth: int | None = None

    def _content(self, form: str) -> bytes:
        return picture_bytes(to_dot(self.report, fold=self.fold, depth=self.depth), form)

    def __repr__(self) -> str:
        return f"Diagram({self.report.name!r})"
