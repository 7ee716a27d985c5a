"""DOT laid out and drawn by the Graphviz inside pygraphviz's wheels, in this process."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from archcalc.drawings.dot import FRAME_MARGIN
from archcalc.errors import UsageError

MAX_PIXELS, DPI = 32_000, 144
"""The longest side of a PNG (cairo's limit is 32,767), and its resolution where it isn't too long for that."""


def picture_bytes(dot: str, form: str) -> bytes:
    """Lay DOT out and draw it. The same text gives the same SVG, as long as the fonts are the same.

    Raises: UsageError: Graphviz can't.
    """
    if form == "dot":
        return dot.encode()
    from archcalc.drawings.columns import in_columns

    with _graphviz(form, "write .dot") as read:
        graph = read(read(dot).draw(format="dot", prog="dot").decode())
        in_columns(graph)
        if form == "png":
            graph.graph_attr["dpi"] = _resolution(graph)
        data = bytes(graph.draw(format=form, prog="nop2"))
        return _anchored(data.decode()).encode() if form == "svg" else data


def placed_bytes(dot: str, form: str, otherwise: str = "") -> bytes:
    """Draw DOT that says itself where everything lies; `otherwise`: what needs no Graphviz.

    Raises: UsageError: Graphviz can't.
    """
    with _graphviz(form, otherwise) as read:
        return bytes(read(dot).draw(format=form, prog="nop2"))


@contextlib.contextmanager
def _graphviz(form: str, otherwise: str) -> Iterator[Callable[[str], Any]]:
    """What reads DOT, for drawing it in a format; nothing is printed meanwhile. `otherwise`: what else users can do.

    Raises: UsageError: Graphviz can't be loaded, has no font, or fails.
    """
    try:
        from pygraphviz import AGraph
    except ImportError as error:
        hint = ", or ".join(filter(None, ("pip install 'pygraphviz>=2'", otherwise)))
        raise UsageError(f"can't load Graphviz: {error}", hint) from error
    with _quiet() as said:
        try:
            if form != "svg" and b"/FontFile" not in AGraph(string="graph{n}").draw(format="pdf", prog="dot"):
                hint = "install one (Debian, Ubuntu: apt install fonts-dejavu-core), or write .svg"
                raise UsageError(f"there is no font on this machine, and {form} needs one", hint)
            yield lambda dot: AGraph(string=dot)
        except (ValueError, TypeError, OSError) as error:
            raise UsageError(f"Graphviz can't draw this: {said() or error}", otherwise) from error


def _anchored(svg: str) -> str:
    """The SVG with its texts centred in their boxes, headings at the right of their frames, whatever the font's width.

    Graphviz writes where the lines of an HTML-like label start, which is right for the font that it measured only.
    """
    lines, anchor, group = [], "", ""
    for line in svg.splitlines(keepends=True):
        if line.startswith("<g "):
            group, anchor = line, ""
        elif not anchor and (shape := re.match(r'<(?:polygon|path) .*(?:points|d)="([^"]+)"', line)):
            xs = [float(x) for x in re.findall(r"(-?[\d.]+),", shape[1])]
            centre = f'"middle" x="{(min(xs) + max(xs)) / 2:.2f}'
            anchor = f'"end" x="{max(xs) - FRAME_MARGIN:.2f}' if 'class="cluster"' in group else centre
        lines.append(re.sub(r'(?<=^<text xml:space="preserve" text-anchor=)"start" x="[-\d.]+', anchor, line))
    return "".join(lines)


def _resolution(graph: Any) -> int:
    left, low, right, high = map(float, graph.graph_attr["bb"].split(","))
    return min(DPI, int(MAX_PIXELS * 72 / max(right - left, high - low)))


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Keep what C libraries print, such as Fontconfig's warnings about its own files, from stderr."""
    with tempfile.TemporaryFile() as log:

        def said() -> str:
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()
            return "; ".join(line for line in lines if "Fontconfig" not in line)

        sys.stderr.flush()
        saved = os.dup(2)
        try:
            os.dup2(log.fileno(), 2)
            with contextlib.redirect_stderr(io.StringIO()):
                yield said
        finally:
            os.dup2(saved, 2)
            os.close(saved)
