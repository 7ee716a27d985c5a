"""A graph as a picture: drawn when it's shown or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc import files
from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes
from archcalc.questions.networks import Network, report_of
from archcalc.render.dot import to_dot
from archcalc.render.svg import FORMATS, picture_bytes
from archcalc.report import Report


@dataclass(frozen=True, repr=False)
class Diagram:
    """A picture of a graph: scopes as boxes, volumes on the edges, kind, kernel and params in the nodes.

    `fold`: equal blocks in a row are drawn once, with their count. `depth`: scopes below it are drawn as one node.
    """

    report: Report
    fold: bool = True
    depth: int | None = None

    @cached_property
    def svg(self) -> str:
        """The picture as SVG."""
        return self.to("svg").decode()

    def to(self, form: str) -> bytes:
        """The picture as a file's content: svg, pdf, png or dot.

        Raises: UsageError: the format is unknown, the graph is too large, or a font is missing.

        >>> import archcalc
        >>> archcalc.draw("lenet5").to("dot").decode().splitlines()[0]
        'digraph lenet5 {'
        """
        if form not in FORMATS:
            raise UsageError(f"can't draw '{form}'", "known: " + ", ".join(FORMATS))
        return picture_bytes(to_dot(self.report, fold=self.fold, depth=self.depth), form)

    def save(self, path: str | PathLike[str], form: str = "") -> None:
        """Write the picture to a file, in a format or in that of the file's suffix; without one, SVG.

        Raises: UsageError: the format is unknown, the graph is too large, or the file can't be written.
        """
        file = Path(path)
        files.write_bytes(file, self.to(form or file.suffix[1:].lower() or "svg"))

    def __repr__(self) -> str:
        return f"Diagram({self.report.name!r})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows."""
        return {"text/plain": repr(self), "image/svg+xml": self.svg}


def draw(
    network: Network,
    *,
    fold: bool = True,
    depth: int | None = None,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
) -> Diagram:
    """A picture of a network, to be shown in a notebook or written to a file.

    `hparams` and `sizes` are those of `Architecture.build`.
    Raises: UsageError: there is no such name, or the depth isn't positive. SpecError: the spec is wrong.

    >>> import archcalc
    >>> picture = archcalc.draw("resnet50", depth=1)
    >>> picture.svg.count("<svg")
    1
    """
    return Diagram(report_of(network, hparams, sizes), fold, depth)
