"""What a picture shows of a graph: scopes how deep, which edges between their cells, and which cells form a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from archcalc.drawings.fold import Block, Cell, Folding, Item
from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.shape import Shape
from archcalc.symbolic import Dim

READABLE_CELLS = 125
"""With more cells than this, scopes are collapsed unless someone asks for them."""
MAX_CELLS = 1500
MAX_STRAIN = 250_000
"""With more cells and outputs, or more `strain`, Graphviz would seem to hang: a few seconds become minutes."""
MANY_OUTPUTS = 100
"""With more outputs than this, they may be what makes a picture too large."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A volume on its way from one cell to another, by their numbers.

    `role` is `main`, `skip` (another path leads to the same cell, past other cells) or `like` (it gives a layer its
    size or its switches).
    """

    tail: int
    head: int
    shape: Shape
    role: str


@dataclass(frozen=True)
class Picture:
    """The cells in their blocks, and the edges between them; `depth` tells how deep the scopes are, if not all."""

    root: Block
    edges: tuple[Edge, ...]
    outputs: tuple[tuple[str, int, Shape], ...]
    sums: frozenset[int] = frozenset()
    depth: int | None = None

    @cached_property
    def cells(self) -> tuple[tuple[Cell, Dim], ...]:
        """Every cell, by number, with how often its layers occur in the graph."""
        return tuple(_cells(self.root, 1))

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """The length of the longest path to each cell: its row in the picture, from the top."""
        levels = [0] * len(self.cells)
        for edge in sorted(self.edges, key=lambda edge: edge.head):
            levels[edge.head] = max(levels[edge.head], levels[edge.tail] + 1)
        return tuple(levels)

    @cached_property
    def strain(self) -> int:
        """How hard this is to lay out: the lines that pass a row by and the outputs in it, squared, for all rows."""
        lines = [0] * (max(self.levels) + 3)
        for _, tail, _ in self.outputs:  # each is a cell of its own in the row after
            lines[self.levels[tail] + 1] += 1
            lines[self.levels[tail] + 2] -= 1
        for edge in self.edges:
            lines[self.levels[edge.tail] + 1] += 1
            lines[self.levels[edge.head]] -= 1
        return sum(count * count for count in accumulate(lines))

    @cached_property
    def longest(self) -> int:
        """The output, by its place among them, to which the longest path leads: the one that the spine leads to."""
        return max(range(len(self.outputs)), key=lambda place: (self.levels[self.outputs[place][1]], -place))

    @cached_property
    def spine(self) -> frozenset[int]:
        """The cells on every main path to an output, by number: what a picture draws in one line.

        A sum's main path is that of its first summand, as a residual block writes its body first.
        """
        into: dict[int, list[int]] = {}
        for edge in self.edges:
            if edge.role == "main":
                into.setdefault(edge.head, []).append(edge.tail)
        spine, ahead = set(), {self.outputs[self.longest][1]}
        while ahead:  # every path back has reached the last of these, or an earlier cell
            cell = max(ahead)
            if len(ahead) == 1:
                spine.add(cell)
            tails = into.get(cell, [])
            ahead = ahead - {cell} | set(tails[:1] if cell in self.sums else tails)
        return frozenset(spine)


def picture(graph: Graph, *, fold: bool = True, depth: int | None = None) -> Picture:
    """Choose what to draw: repeats once if `fold`, scopes down to `depth`; None chooses a depth that can be read.

    Raises: UsageError: there would be too much for Graphviz, or `depth` is less than 1.
    """
    if depth is not None and depth < 1:
        raise UsageError(f"depth {depth} is less than 1")
    folding = Folding(graph, fold)
    least = 1 if depth is None else depth
    depths = [None, *sorted(_levels(folding.root) - {0, 1}, reverse=True), 1] if depth is None else [depth]
    for level in depths:
        root = folding.root if level is None else _collapsed(folding.root, level)
        cells = [cell for cell, _ in _cells(root, 1)]
        is_readable = len(cells) <= READABLE_CELLS or not fold or level == least
        if is_readable and len(cells) + len(graph.outputs) <= MAX_CELLS:
            shown = _picture(folding, root, cells, level)
            if shown.strain <= MAX_STRAIN:
                return shown
    nodes = f"{len(cells) + len(graph.outputs):,} nodes and the lines between them"
    raise UsageError(f"{nodes} are too much to draw", _hint(len(graph.outputs), depth))


def _hint(outputs: int, depth: int | None) -> str:
    """What makes a picture smaller."""
    if outputs > MANY_OUTPUTS:
        return f"{outputs:,} of them are outputs, which no depth hides: list fewer under 'outputs'"
    if depth and depth > 1:
        return "a lower depth draws fewer"
    return "scopes can be drawn as one node each: name the chains"


def _picture(folding: Folding, root: Block, cells: Sequence[Cell], depth: int | None) -> Picture:
    homes, layer_of = folding.homes(cells), folding.application
    places = [(name, folding.source(i)) for name, i in folding.graph.outputs.items()]
    outputs = tuple((name, homes[i], layer_of(i).output_shape) for name, i in places)
    sums = (i for i, cell in enumerate(cells) if not cell.collapsed and layer_of(cell.nodes[0]).layer.is_residual)
    return Picture(root, _edges(folding, cells, homes), outputs, frozenset(sums), depth)


def _levels(block: Block) -> set[int]:
    inner = [child for child in block.children if isinstance(child, Block)]
    return set(map(_level, inner)).union(*map(_levels, inner))


def _cells(item: Item, count: Dim) -> Iterator[tuple[Cell, Dim]]:
    if isinstance(item, Cell):
        yield item, count * item.count
        return
    for child in item.children:
        yield from _cells(child, count * item.count)


def _level(item: Item) -> int:
    return item.path.count("/") + 1


def _collapsed(block: Block, depth: int) -> Block:
    """The block with every scope below `depth` as one cell."""
    children: list[Item] = []
    for child in block.children:
        if isinstance(child, Cell):
            children.append(child)
        elif _level(child) >= depth:
            inside = tuple(_cells(replace(child, count=1), 1))
            children.append(Cell(child.path, child.name, child.nodes, child.count, child.last, inside))
        else:
            children.append(_collapsed(child, depth))
    return replace(block, children=tuple(children))


def _edges(folding: Folding, cells: Sequence[Cell], homes: dict[int, int]) -> tuple[Edge, ...]:
    """All edges between cells, each volume once."""
    found: dict[tuple[int, int, Shape], bool] = {}
    for head, cell in enumerate(cells):
        for node in cell.nodes:
            like = getattr(folding.application(node).layer, "like", None) is not None
            for place, source in enumerate(folding.inputs[node]):
                if homes[source] != head:
                    found.setdefault((homes[source], head, folding.shape_read(source, node)), like and place > 0)
    tails: list[dict[int, bool]] = [{} for _ in cells]
    for (tail, head, _), like in found.items():
        tails[head][tail] = like
    above = [0] * len(cells)  # the cells from which a path leads to each, as bits
    for head in sorted(range(len(cells)), key=lambda number: cells[number].nodes[0]):
        for tail, like in tails[head].items():
            above[head] |= 0 if like else above[tail] | 1 << tail
    edges = []
    for (tail, head, shape), like in found.items():
        skip = any(above[other] >> tail & 1 for other in tails[head])
        edges.append(Edge(tail, head, shape, "like" if like else "skip" if skip else "main"))
    return tuple(edges)
