"""Rectangles, lines and texts as SVG written by hand, or as PNG and PDF by the Graphviz inside pygraphviz's wheels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from archcalc import text
from archcalc.drawings.drawable import Drawable
from archcalc.drawings.svg import DPI, placed_bytes

FONT, WIDTH_OF_LETTER = "Helvetica,Arial,sans-serif", 0.56
"""The font, and about how wide a letter is, in units of the font's size."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle, its top left corner at (x, y), y downwards; in points, as everything here."""

    x: float
    y: float
    width: float
    height: float
    stroke: str = ""
    fill: str = ""
    dashed: bool = False
    thickness: float = 1.5


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text that starts at x, centred around y."""

    x: float
    y: float
    text: str
    size: float = 11
    colour: str = "#222222"

    @property
    def width(self) -> float:
        """About how wide it is."""
        return len(self.text) * self.size * WIDTH_OF_LETTER


Shape = Rect | Line | Text


@dataclass(frozen=True, repr=False)
class Drawing(Drawable):
    """Shapes on a white page, the first ones below."""

    width: float
    height: float
    shapes: Sequence[Shape]
    title: str = ""

    def _content(self, form: str) -> bytes:
        if form == "svg":
            return "\n".join(svg_lines(self)).encode()
        return placed_bytes("\n".join(dot_lines(self)), form, "write .svg")

    def __repr__(self) -> str:
        return f"Drawing({self.title!r})"


def svg_lines(drawing: Drawing) -> Iterator[str]:
    """The drawing as an SVG document."""
    width, height = drawing.width, drawing.height
    sides = f'width="{width:g}" height="{height:g}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" {sides}>'
    yield f"<title>{text.xml(drawing.title)}</title>"
    yield f'<rect {sides} fill="white"/>'
    for shape in drawing.shapes:
        if isinstance(shape, Rect):
            dash = ' stroke-dasharray="4 3"' if shape.dashed else ""
            stroke = f' stroke="{shape.stroke}" stroke-width="{shape.thickness:g}"{dash}' if shape.stroke else ""
            sides = f'x="{shape.x:.2f}" y="{shape.y:.2f}" width="{shape.width:.2f}" height="{shape.height:.2f}"'
            yield f'<rect {sides} fill="{shape.fill or "none"}"{stroke}/>'
        elif isinstance(shape, Line):
            ends = f'x1="{shape.x1:.2f}" y1="{shape.y1:.2f}" x2="{shape.x2:.2f}" y2="{shape.y2:.2f}"'
            yield f'<line {ends} stroke="{shape.stroke}" stroke-width="0.75"/>'
        else:
            place = f'x="{shape.x:.2f}" y="{shape.y:.2f}" font-size="{shape.size:g}" fill="{shape.colour}"'
            yield f'<text {place} font-family="{FONT}" dominant-baseline="central">{text.xml(shape.text)}</text>'
    yield "</svg>"


def dot_lines(drawing: Drawing) -> Iterator[str]:
    """The drawing as DOT with every place given; Graphviz's y goes upwards."""
    height = drawing.height
    yield f'graph {{ graph [bb="0,0,{drawing.width:g},{height:g}" dpi={DPI} bgcolor=white outputorder=nodesfirst]'
    yield 'node [label="" shape=box fixedsize=true fontname="Helvetica"]'
    for number, shape in enumerate(drawing.shapes):
        if isinstance(shape, Rect):
            look = f'color="{shape.stroke or shape.fill}" penwidth={shape.thickness if shape.stroke else 0:g}'
            styles = [style for style, on in (("filled", shape.fill), ("dashed", shape.dashed)) if on]
            look += f' style="{",".join(styles)}" fillcolor="{shape.fill or "white"}"'
            centre = f"{shape.x + shape.width / 2:.2f},{height - shape.y - shape.height / 2:.2f}"
            yield f'n{number} [pos="{centre}" width={shape.width / 72:.4f} height={shape.height / 72:.4f} {look}]'
        elif isinstance(shape, Text):
            room = 1.2 * shape.width  # as wide as no font needs: \\l then aligns to the left
            centre = f"{shape.x + room / 2:.2f},{height - shape.y:.2f}"
            label = text.dot_quoted(shape.text)[:-1] + '\\l"'
            look = f'label={label} shape=plaintext margin=0 fontsize={shape.size:g} fontcolor="{shape.colour}"'
            yield f'n{number} [pos="{centre}" width={room / 72:.4f} height={shape.size * 1.4 / 72:.4f} {look}]'
        else:
            ends = [(shape.x1, height - shape.y1), (shape.x2, height - shape.y2)]
            names = [f"n{number}{end}" for end in "ab"]
            for name, (x, y) in zip(names, ends, strict=True):
                yield f'{name} [pos="{x:.2f},{y:.2f}" style=invis width=0.001 height=0.001]'
            points = " ".join(f"{x:.2f},{y:.2f}" for x, y in (ends[0], ends[0], ends[1], ends[1]))
            yield f'{names[0]} -- {names[1]} [pos="{points}" color="{shape.stroke}" penwidth=0.75]'
    yield "}"
