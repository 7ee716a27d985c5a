"""A report as a picture in Graphviz's DOT language: layers as boxes, scopes as frames, volumes on the edges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import unescape
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from archcalc.drawings.fold import Block, Cell, Item
from archcalc.drawings.geometry import SPINE
from archcalc.drawings.picture import Edge, Picture, picture
from archcalc.errors import UsageError
from archcalc.graph import Application, Node
from archcalc.layers.arguments import per_axis
from archcalc.layers.base import REGISTRY
from archcalc.report import Report
from archcalc.shape import Shape
from archcalc.symbolic import Dim, is_symbolic
from archcalc.text import dot_label

if TYPE_CHECKING:
    from graphviz import Digraph

# Fill and line for each family of kinds: tints after Paul Tol's "light" scheme, which stays distinct for the
# colour-blind; all fills are light enough for black text, in grey print as well
COLOURS = {
    "conv": ("#cfe0f3", "#5b8cc0"),
    "linear": ("#fbd8c6", "#d9825b"),
    "pool": ("#d3ece2", "#4fa98c"),
    "norm": ("#f7eec4", "#c4ad45"),
    "activation": ("#ffdfe4", "#d98a98"),
    "attention": ("#d9f1fb", "#58a9c9"),
    "region": ("#ecebc2", "#9c9a3c"),
    "resize": ("#e2ecb9", "#93a53c"),
    "collapsed": ("#e4e4ec", "#8a8a9c"),
    "input": ("#ffffff", "#444444"),
    "output": ("#ffffff", "#444444"),
}
COLOURS |= {"deformable": COLOURS["conv"], "modulated": COLOURS["conv"], "latent": COLOURS["attention"]}
PLAIN = ("#f4f4f4", "#8c8c8c")
GREY, SIZE, SMALL, FRAME_MARGIN = "#555555", 10, 8, 8
NODE = {
    "shape": "box",
    "style": "rounded,filled",
    "fontname": "sans-serif",
    "fontsize": str(SIZE),
    "margin": "0.1,0.04",
    "height": "0.3",
}
EDGE = {"color": GREY, "fontcolor": GREY, "fontname": "sans-serif", "fontsize": str(SMALL), "arrowsize": "0.6"}
EDGES = {
    "main": {"weight": "8"},
    "skip": {"weight": "1", "style": "dashed"},
    "like": {"weight": "0", "style": "dotted", "arrowhead": "open"},
}
LETTER = 0.53
"""A letter's width in ems in the widest of the usual fonts, so that text fits its box whatever font the reader has."""
UNTOLD = {
    "padding", "output_padding", "bias", "ceil", "count_include_pad", "affine", "alpha", "beta", "k", "init", "eps",
}  # fmt: skip
"""Arguments that a picture leaves out."""
MOST_CALLS = 12
"""Of more layers that act on one volume a node tells these, and how many more there are."""
MAX_LABEL = 16_000
"""Bytes of a label. Graphviz reads 16,384, and calls more a syntax error."""


def to_dot(report: Report, *, fold: bool = True, depth: int | None = None) -> str:
    """The layer graph in DOT.

    If `fold`, equal neighbouring blocks are drawn once with their count; scopes below `depth` are one node each, and
    without a depth it is as deep as a picture can be read.

    Raises: UsageError: there are more nodes than Graphviz can lay out.
    """
    return _Writer(report, picture(report.graph, fold=fold, depth=depth)).source()


class _Writer:
    """Writes one picture. Cells are numbered in the order in which they are written."""

    def __init__(self, report: Report, shown: Picture) -> None:
        self.report, self.shown = report, shown
        self.keys = _keys((cell.path for cell, _ in shown.cells), (name for name, _, _ in shown.outputs))
        self.unnamed = _unnamed(cell.path for cell, _ in shown.cells)
        self.spine = shown.spine | {len(shown.cells) + shown.longest}
        self.written = 0

    def source(self) -> str:
        """The whole text."""
        from graphviz import Digraph

        dot = Digraph(re.sub(r"[^\w.-]", "_", self.report.name), graph_attr=self._graph_attributes())
        dot.attr("node", **NODE)
        dot.attr("edge", **EDGE)
        # what comes first goes to the left: skips and branches, so that the spine has its labels' side for itself
        self._edges(dot, spine=False)
        self._block(dot, self.shown.root, self.shown.root)
        for number, (name, _, _) in self._ends():
            self._node(dot, number, [dot_label("output" if len(self.shown.outputs) == 1 else name)], "output")
        self._edges(dot, spine=True)
        return str(dot.source)

    def _graph_attributes(self) -> dict[str, str]:
        graph, macs = self.report.graph, _count(self.report.total("macs"), "MAC")
        totals = f"{_count(self.report.total('params'), 'param')} · {macs}"
        if self.report.batch != 1:
            totals += f" · batch {self.report.batch}"
        if self.shown.depth is not None:
            totals += f" · scopes drawn to depth {self.shown.depth}"
        conditions = f"if {', '.join(map(str, graph.conditions))}" if graph.conditions else ""
        lines = [f'<FONT POINT-SIZE="14" COLOR="black"><B>{dot_label(self.report.name)}</B></FONT>']
        lines += [dot_label(line) for text in (graph.title, totals, conditions) for line in wrap(text, 90)]
        return {
            "label": _table([*lines, " "], padding=2),
            "labelloc": "t",
            "fontname": "sans-serif",
            "fontsize": str(SIZE),
            "fontcolor": GREY,
            "newrank": "true",  # ranks regardless of frames: branches keep their order, the main path is straight
            "nodesep": "0.3",
            "ranksep": "0.28",
            "pad": "0.2",
        }

    def _block(self, dot: Digraph, block: Block, frame: Block, level: int = 0) -> None:
        """Write what is in a block; `frame` is the innermost block around it that is drawn as a frame."""
        is_branch = block is not frame and all(isinstance(child, Cell) for child in block.children)
        for child in block.children:
            if isinstance(child, Cell):
                self._cell(dot, child, block if is_branch and child is not block.children[0] else frame)
            elif self._is_framed(child, block):
                with dot.subgraph(name=f"cluster {self.written}.{level}") as cluster:
                    label = _heading(_titled(self._name(child, frame), child.count))
                    cluster.attr(label=label, labeljust="r", fontsize=str(SIZE - 1), fontcolor=GREY)
                    fill = ("#fafafa", "#f3f3f3")[level % 2]
                    cluster.attr(style="rounded,filled", color="#d5d5d5", fillcolor=fill, margin=str(FRAME_MARGIN))
                    self._block(cluster, child, child, level + 1)
            else:
                self._block(dot, child, frame, level)

    def _is_framed(self, block: Block, parent: Block) -> bool:
        """Not if nobody named it, nor if it is a plain branch of the scope around it or holds most of the picture."""
        if block.count != 1:
            return True
        if block.name.rpartition("/")[2] in self.unnamed:
            return False
        if parent is self.shown.root:
            return 2 * len(block.nodes) < len(parent.nodes) or all(isinstance(child, Cell) for child in block.children)
        chain = all(isinstance(child, Cell) for child in block.children)
        return not (chain and any(isinstance(child, Cell) and self._merges(child) for child in parent.children))

    def _merges(self, cell: Cell) -> bool:
        return len(self.report.graph.node(cell.nodes[0]).inputs) > 1

    def _name(self, item: Item, frame: Block) -> str:
        """A path as seen from the frame around it, without the names that nobody gave."""
        parts = item.name.removeprefix(frame.path + "/" if frame.path else "").split("/")
        is_layer = isinstance(item, Cell) and not item.collapsed and item.name == item.path
        if is_layer and re.sub(r"_\d+$", "", parts[-1]) in REGISTRY:
            del parts[-1]  # a layer without a name has its kind's
        name = "/".join(part for part in parts if part not in self.unnamed)
        return f"{name} … {item.last}" if item.count != 1 and name and item.last not in self.unnamed else name

    def _cell(self, dot: Digraph, cell: Cell, frame: Block) -> None:
        counts = self._counts(cell)
        kind = "collapsed" if cell.collapsed else next(iter(counts)).layer.family
        name = "" if kind == "input" and len(self.report.graph.inputs) == 1 else self._name(cell, frame)
        lines = [_small(_titled(name, cell.count))] if name or cell.count != 1 else []
        nodes = map(self.report.graph.node, cell.nodes)
        lines.append(dot_label(_contents(counts) if cell.collapsed else _calls(list(nodes))))
        params = sum((count * self.report.value(at, "params") for at, count in counts.items()), start=0)
        if params != 0:
            lines.append(_small(dot_label(_count(params, "param")) + (" each" if cell.count != 1 else "")))
        elif any(at.copies == 0 for at in counts):
            lines.append(_small("shared params"))
        self._node(dot, self.written, lines, kind)
        self.written += 1

    def _counts(self, cell: Cell) -> dict[Application, Dim]:
        """How often each layer is in a cell."""
        found: dict[Application, Dim] = {}
        for each, count in cell.inside or ((cell, 1),):
            for i in each.nodes:
                at = self.report.graph.node(i).application
                found[at] = found.get(at, 0) + count
        return found

    def _node(self, dot: Digraph, number: int, lines: list[str], kind: str) -> None:
        fill, line = COLOURS.get(kind, PLAIN)
        width = f"{max(map(_width, lines)) / 72 + 0.2:.2f}"
        attributes = {"group": "spine"} if number in self.spine else {}
        dot.node(self.keys[number], _table(lines), fillcolor=fill, color=line, width=width, **attributes)

    def _edges(self, dot: Digraph, *, spine: bool) -> None:
        """Write the edges along the spine, or the others; a volume is written at one edge only."""
        outputs = (Edge(tail, head, shape, "main") for head, (_, tail, shape) in self._ends())
        known: set[tuple[int, Shape]] = set()
        for edge in (*self.shown.edges, *outputs):
            style = dict(EDGES[edge.role])
            if edge.role == "main" and (edge.tail, edge.shape) not in known:
                known.add((edge.tail, edge.shape))
                style["label"] = f" {self.report.text(edge.shape)} "
            along = edge.role == "main" and {edge.tail, edge.head} <= self.spine
            if along:
                style["weight"] = SPINE
            if along == spine:
                dot.edge(self.keys[edge.tail], self.keys[edge.head], **style)

    def _ends(self) -> Iterator[tuple[int, tuple[str, int, Shape]]]:
        """The outputs, which are drawn as cells too, by number."""
        return enumerate(self.shown.outputs, start=len(self.shown.cells))


def call(node: Node) -> str:
    """A layer in few words, kernel first: `conv 7x7 s=2, 64`."""
    layer, words, outputs = node.layer, [node.kind], ""
    if layer.symbol:
        return layer.symbol
    for name, argument in layer.arguments().items():
        value = getattr(layer, name)
        if name in UNTOLD or (not argument.required and value == argument.default):
            continue
        if argument.type.name == "Channels":
            outputs = f", {value}"
        elif name == "kernel_size":
            sides = per_axis(value, node.application.input_shapes[0].spatial, "kernel")
            words.append("x".join(map(str, sides.values())))
        elif argument.type.name == "Table":
            words.append("by table")
        elif argument.type.name not in ("Tensor", "Tie"):
            written = argument.type.write(value)
            words.append(written if argument.required else f"{argument.short}={written}")
    return " ".join(words) + (outputs if len(words) > 1 else outputs[1:])


def _calls(nodes: list[Node]) -> str:
    """A layer and those that act on it: `conv 3x3, 64 + relu`."""
    first, *others = map(call, nodes[:MOST_CALLS])
    more = [f"{len(nodes) - MOST_CALLS:,} more layers"] if len(nodes) > MOST_CALLS else []
    return (", " if nodes[0].layer.symbol else " + ").join([first, *others, *more])


def _contents(counts: Mapping[Application, Dim]) -> str:
    """What is in a collapsed scope: its weight layers by kind."""
    kinds: dict[str, Dim] = {}
    for at, count in counts.items():
        if at.layer.weight_layer:
            kinds[at.layer.kind] = kinds.get(at.layer.kind, 0) + count
    kinds = kinds or {"layers": sum(counts.values())}
    return " + ".join(f"{_factor(n)} × {kind}" if is_symbolic(n) else f"{n:,} {kind}" for kind, n in kinds.items())


def _keys(paths: Iterable[str], outputs: Iterable[str]) -> list[str]:
    """A DOT name for each cell and output: its own, or a number where that has letters that DOT reserves."""
    names = [(path, path) for path in paths] + [(name, f"output {name}") for name in outputs]
    return [key if re.fullmatch(r"[\w./-]+", name) else f"#{number}" for number, (name, key) in enumerate(names)]


def _unnamed(paths: Iterable[str]) -> set[str]:
    """The scopes that the language has named: `body`, a merge's `a`, `b`, …, and what it had to number."""
    parted = [path.split("/") for path in paths]
    parts = {part for parts in parted for part in parts}
    numbered = {base for part in parts if (base := re.sub(r"_\d+$", "", part)) + "_2" in parts}
    made_up = {"body"} | numbered
    letters = {part for parts in parted for part in parts[1:] if re.fullmatch("[a-z]", part)}
    return letters | {part for part in parts if re.sub(r"_\d+$", "", part) in made_up}


def _titled(name: str, count: Dim) -> str:
    return f"<B>{dot_label(f'{name} × {_factor(count)}'.strip())}</B>" if count != 1 else dot_label(name)


def _count(number: Any, unit: str) -> str:
    """Exact, with thousands separated; the numbers in an expression likewise."""
    text = re.sub(r"(?<!\w)\d+", lambda digits: f"{int(digits[0]):,}", str(number))
    return f"{text} {unit}{'' if number == 1 else 's'}"


def _factor(count: Dim) -> str:
    """A number of times: with thousands separated, a sum in brackets."""
    if is_symbolic(count):
        return f"({count})" if count.is_Add else str(count)
    return f"{count:,}"


def _small(text: str) -> str:
    return f'<FONT POINT-SIZE="{SMALL}" COLOR="{GREY}">{text}</FONT>'


def _table(lines: list[str], padding: int = 0) -> str:
    """An HTML-like label with a row for each line."""
    rows = "".join(f"<TR><TD>{line}</TD></TR>" for line in lines)
    label = f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">{rows}</TABLE>>'
    if len(label.encode()) > MAX_LABEL:
        texts = [unescape(re.sub(r"<[^>]*>", "", line)) for line in lines]
        longest = max(texts, key=len)
        raise UsageError(
            f"{sum(map(len, texts)):,} letters in one label are too much to draw: '{longest[:40]}…'",
            "a shorter title or name, or fewer lines in it",
        )
    return label


def _heading(line: str) -> str:
    """A frame's name, in its right half: the spine goes down the middle, and skips keep to the left."""
    cell = f'<TD ALIGN="RIGHT" WIDTH="{2 * _width(line) + 8:.0f}">{line}</TD>'
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR>{cell}</TR></TABLE>>'


def _width(line: str) -> float:
    """Points that a line takes, at the most."""
    return len(unescape(re.sub(r"<[^>]*>", "", line))) * SIZE * LETTER
