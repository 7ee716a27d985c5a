"""What a picture shows of a graph: cells in nested blocks, repeated blocks folded into one, deep scopes collapsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.layers import Layer
from archcalc.layers.reshape import View
from archcalc.shape import Shape

READABLE_CELLS = 150
"""With more cells than this, scopes are collapsed unless someone asks for them."""
MAX_CELLS = 1500
"""With more cells than this, Graphviz would seem to hang."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One drawn node: a layer with the layers that act on it in place, or a whole scope (`collapsed`).

    `nodes` are those of the first of `count` equal copies; `name` is the path that says it best, `last` that of the
    last copy.
    """

    path: str
    name: str
    nodes: tuple[int, ...]
    count: int = 1
    last: str = ""
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """One scope, in the same words; its `name` is that of a scope around it which holds nothing else."""

    path: str
    name: str
    nodes: tuple[int, ...]
    count: int = 1
    last: str = ""
    children: tuple[Item, ...] = ()


Item: TypeAlias = Cell | Block


@dataclass(frozen=True, slots=True)
class Edge:
    """A volume on its way from one cell to another, by their numbers.

    `role` is `main`, `skip` (another path leads to the same cell, past other cells) or `like` (it gives a layer its size
    or its switches).
    """

    tail: int
    head: int
    shape: Shape
    role: str


@dataclass(frozen=True)
class Picture:
    """The cells in their blocks, and the edges between them. `depth` tells how deep the scopes are drawn, if not all."""

    root: Block
    edges: tuple[Edge, ...]
    outputs: tuple[tuple[str, int, Shape], ...]
    sums: frozenset[int] = frozenset()
    depth: int | None = None

    @cached_property
    def cells(self) -> tuple[tuple[Cell, int], ...]:
        """Every cell, by number, with how often its layers occur in the graph."""
        return tuple(_cells(self.root, 1))

    @cached_property
    def spine(self) -> frozenset[int]:
        """The cells on every main path to the first output, by number: what a picture draws in one line.

        A sum's main path is that of its first summand, as a residual block writes its body first.
        """
        into: dict[int, list[int]] = {}
        for edge in self.edges:
            if edge.role == "main":
                into.setdefault(edge.head, []).append(edge.tail)
        spine, ahead = set(), [self.outputs[0][1]]
        while ahead:  # every path back has reached the last of these, or an earlier cell
            cell = max(ahead)
            if len(set(ahead)) == 1:
                spine.add(cell)
            tails = into.get(cell, [])
            ahead = [other for other in ahead if other != cell] + (tails[:1] if cell in self.sums else tails)
        return frozenset(spine)


def picture(graph: Graph, *, fold: bool = True, depth: int | None = None) -> Picture:
    """Choose what to draw: repeats once if `fold`, scopes down to `depth`; None chooses a depth that can be read.

    Raises: UsageError: there would be too many cells for Graphviz, or `depth` is less than 1.
    """
    if depth is not None and depth < 1:
        raise UsageError(f"depth {depth} is less than 1")
    folding = _Folding(graph, fold)
    root = folding.root
    if depth is None:
        depth = _readable_depth(root, READABLE_CELLS if fold else MAX_CELLS)
    if depth is not None:
        root = _collapsed(root, depth)
    cells = [cell for cell, _ in _cells(root, 1)]
    if len(cells) > MAX_CELLS:
        hint = "draw fewer scopes with --depth 1" if depth != 1 else "put the layers into scopes: name the chains"
        raise UsageError(f"{len(cells):,} nodes are too many to draw", hint)
    homes = folding.homes(cells)
    edges = _edges(folding, cells, homes)
    outputs = tuple((name, homes[folding.source(i)], graph.nodes[i].shape) for name, i in graph.outputs.items())
    sums = frozenset(i for i, cell in enumerate(cells) if graph.nodes[cell.nodes[0]].kind == "add")
    return Picture(root, edges, outputs, sums, depth)


def family(layer: Layer) -> str:
    """The family of a layer's kind, after the module that defines it."""
    package, _, module = type(layer).__module__.rpartition(".")
    return module if package == "archcalc.layers" else layer.kind


def _cells(item: Item, count: int) -> Iterator[tuple[Cell, int]]:
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
            children.append(Cell(child.path, child.name, child.nodes, child.count, child.last, collapsed=True))
        else:
            children.append(_collapsed(child, depth))
    return replace(block, children=tuple(children))


def _readable_depth(root: Block, limit: int) -> int | None:
    """The greatest depth that needs no more than `limit` cells, at least 1; None if everything fits."""
    if sum(1 for _ in _cells(root, 1)) <= limit:
        return None
    blocks: list[Block] = [root]
    levels = {0}
    for block in blocks:
        inner = [child for child in block.children if isinstance(child, Block)]
        levels.update(map(_level, inner))
        blocks.extend(inner)
    for depth in sorted(levels - {0, 1}, reverse=True):
        if sum(1 for _ in _cells(_collapsed(root, depth), 1)) <= limit:
            return depth
    return 1


def _edges(folding: _Folding, cells: Sequence[Cell], homes: dict[int, int]) -> tuple[Edge, ...]:
    """All edges between cells, each volume once."""
    found: dict[tuple[int, int, Shape], bool] = {}
    for head, cell in enumerate(cells):
        for node in cell.nodes:
            like = getattr(folding.graph.nodes[node].layer, "like", None) is not None
            for place, source in enumerate(folding.inputs[node]):
                if homes[source] != head:
                    found.setdefault((homes[source], head, folding.graph.nodes[source].shape), like and place > 0)
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


class _Folding:
    """The graph as blocks and cells, with a note of which nodes are copies of which."""

    def __init__(self, graph: Graph, fold: bool) -> None:
        self.graph, self.fold = graph, fold
        self._sources = list(range(len(graph.nodes)))
        self.inputs: list[tuple[int, ...]] = []
        for i, node in enumerate(graph.nodes):
            self.inputs.append(tuple(dict.fromkeys(self._sources[j] for j in node.inputs)))
            if self._changes_nothing(i):
                self._sources[i] = self.inputs[i][0]
        self.readers: list[list[int]] = [[] for _ in graph.nodes]
        for i, inputs in enumerate(self.inputs):
            if self.source(i) == i:
                for j in inputs:
                    self.readers[j].append(i)
        self._outputs = {self.source(i) for i in graph.outputs.values()}
        self._copies: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        self.root = Block("", "", tuple(range(len(graph.nodes))), children=self._arranged(self._scopes()))

    def source(self, i: int) -> int:
        """The node whose volume this node's volume is: itself, unless it is a view that changes nothing."""
        return self._sources[i]

    def homes(self, cells: Sequence[Cell]) -> dict[int, int]:
        """The number of the cell that shows each node, itself or its first copy."""
        homes = {node: number for number, cell in enumerate(cells) for node in cell.nodes}
        for first, copy in self._copies:  # inner copies come before the blocks that hold them
            homes.update((b, homes[a]) for a, b in zip(first, copy, strict=True))
        return homes

    def _changes_nothing(self, i: int) -> bool:
        node, inputs = self.graph.nodes[i], self.inputs[i]
        return len(inputs) == 1 and isinstance(node.layer, View) and node.shape == self.graph.nodes[inputs[0]].shape

    def _joins_input(self, i: int, host: int) -> bool:
        """Whether a node is drawn with the one it acts on: nobody else reads that, and it works in place, or normalises
        what a weight layer made; `host` is the first node of that cell. It may act on a scope's output,
        but not on that of a loop's last pass, which then would differ from the others.
        """
        inputs, nodes = self.inputs[i], self.graph.nodes
        if len(inputs) != 1 or len(self.readers[inputs[0]]) != 1 or inputs[0] in self._outputs or not nodes[host].inputs:
            return False
        scope, inner = (nodes[j].name.split("/")[:-1] for j in (i, inputs[0]))
        if scope != inner[: len(scope)] or any(map(str.isdigit, inner[len(scope) :])):
            return False
        normalises = family(nodes[i].layer) == "norm" and nodes[inputs[0]].layer.weight_layer
        return nodes[i].layer.in_place or normalises

    def _scopes(self) -> tuple[Item, ...]:
        """The tree of all scopes and cells, nothing folded yet."""
        members: dict[int, list[int]] = {}
        hosts: dict[int, int] = {}
        for i in range(len(self.graph.nodes)):
            if self.source(i) != i:
                continue
            host = hosts[self.inputs[i][0]] if len(self.inputs[i]) == 1 else i
            hosts[i] = host if host != i and self._joins_input(i, host) else i
            members.setdefault(hosts[i], []).append(i)
        contents: dict[str, list[int | str]] = {"": []}
        for host in members:
            inner: int | str = host
            path = self.graph.nodes[host].name.rpartition("/")[0]
            while path not in contents:
                contents[path], inner, path = [inner], path, path.rpartition("/")[0]
            contents[path].append(inner)
        return self._items(contents, members, "")

    def _items(self, contents: dict[str, list[int | str]], members: dict[int, list[int]], path: str) -> tuple[Item, ...]:
        items: list[Item] = []
        for inner in contents[path]:
            if isinstance(inner, int):
                name = self.graph.nodes[inner].name
                items.append(Cell(name, name, tuple(members[inner])))
            else:
                children = self._items(contents, members, inner)
                items.append(Block(inner, inner, tuple(sorted(n for c in children for n in c.nodes)), children=children))
        return tuple(items)

    def _arranged(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """The items with every run of equal ones folded into its first; a scope around one item becomes that item."""
        arranged: list[Item] = []
        for run in self._runs(items):
            first = run[0]
            if isinstance(first, Block):
                first = replace(first, children=self._arranged(first.children))
                only = first.children[0]
                if len(first.children) == 1 and only.count == 1:
                    first = replace(only, name=first.name)
            self._copies.extend((first.nodes, copy.nodes) for copy in run[1:])
            arranged.append(replace(first, count=len(run), last=run[-1].name))
        return tuple(arranged)

    def _runs(self, items: Sequence[Item]) -> list[list[Item]]:
        runs: list[list[Item]] = []
        pattern: tuple[int, ...] | None = None
        for item in items:
            follows = self._follows(runs[-1][-1], item) if runs and self.fold else None
            if follows is not None and (len(runs[-1]) == 1 or follows == pattern):
                runs[-1].append(item)
                pattern = follows
            else:
                runs.append([item])
        return runs

    def _follows(self, a: Item, b: Item) -> tuple[int, ...] | None:
        """How `b` continues `a` as its equal: for each input of `b` from outside, the place in `a` that it comes from, or
        -1 for a volume that both read; None if it does not.
        """
        nodes = self.graph.nodes
        if type(a) is not type(b) or len(a.nodes) != len(b.nodes):
            return None
        if any(nodes[i].application is not nodes[j].application for i, j in zip(a.nodes, b.nodes, strict=True)):
            return None
        place_a = {node: place for place, node in enumerate(a.nodes)}
        place_b = {node: place for place, node in enumerate(b.nodes)}
        readers = (reader for i in a.nodes for reader in self.readers[i])
        if any(i in self._outputs for i in a.nodes) or any(r not in place_a and r not in place_b for r in readers):
            return None
        pairs: dict[int, int] = {}
        for i, j in zip(a.nodes, b.nodes, strict=True):
            if len(self.inputs[i]) != len(self.inputs[j]):
                return None
            for x, y in zip(self.inputs[i], self.inputs[j], strict=True):
                if x in place_a or y in place_b:
                    if place_a.get(x) != place_b.get(y):
                        return None
                elif (y not in place_a and x != y) or pairs.setdefault(x, y) != y:
                    return None
        if len(set(pairs.values())) != len(pairs) or not any(y in place_a for y in pairs.values()):
            return None
        return tuple(place_a.get(y, -1) for y in pairs.values())
