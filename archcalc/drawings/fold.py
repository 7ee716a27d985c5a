"""A graph as a tree of scopes, its layers put into cells, and equal neighbours folded into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeAlias

from archcalc.graph import Graph


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


class Folding:
    """A graph as blocks and cells, with a note of which nodes are copies of which."""

    def __init__(self, graph: Graph, fold: bool) -> None:
        graph.spend(9, "drawing so many layers")
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
        self.root = Block(
            "", "", tuple(range(len(graph.nodes))), children=self._arranged(self._tree(self._made_cells(), ""))
        )

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
        at = self.graph.nodes[i].application
        return len(self.inputs[i]) == 1 and at.layer.changes_nothing(*at.input_shapes)

    def _joins_input(self, i: int, host: int) -> bool:
        """Whether a node is drawn with the one it acts on; `host` is the first node of that cell.

        Nobody else reads that, and it works in place, or normalises what a weight layer made. It may act on a scope's
        output, but not on that of a loop's last pass, which then would differ from the others.
        """
        inputs, nodes = self.inputs[i], self.graph.nodes
        if (
            len(inputs) != 1
            or len(self.readers[inputs[0]]) != 1
            or inputs[0] in self._outputs
            or not nodes[host].inputs
        ):
            return False
        scope, inner = (nodes[j].name.split("/")[:-1] for j in (i, inputs[0]))
        if scope != inner[: len(scope)] or any(map(str.isdigit, inner[len(scope) :])):
            return False
        acts, on = nodes[i].layer, nodes[inputs[0]].layer
        return acts.in_place or (acts.normalises and on.weight_layer)

    def _made_cells(self) -> list[Cell]:
        members: dict[int, list[int]] = {}
        hosts: dict[int, int] = {}
        for i in range(len(self.graph.nodes)):
            if self.source(i) == i:
                host = hosts[self.inputs[i][0]] if len(self.inputs[i]) == 1 else i
                hosts[i] = host if host != i and self._joins_input(i, host) else i
                members.setdefault(hosts[i], []).append(i)
        names = {host: self.graph.nodes[host].name for host in members}
        return [Cell(names[host], names[host], tuple(nodes)) for host, nodes in members.items()]

    def _tree(self, cells: Sequence[Cell], scope: str) -> tuple[Item, ...]:
        """The cells of a scope in their inner scopes, nothing folded yet."""

        def inner_scope(cell: Cell) -> str:
            name, slash, _ = cell.path[len(scope) :].removeprefix("/").partition("/")
            return f"{scope}/{name}".removeprefix("/") if slash else ""

        items: list[Item] = []
        for inner, group in groupby(cells, key=inner_scope):
            if inner:
                held = list(group)
                nodes = tuple(sorted(node for cell in held for node in cell.nodes))
                items.append(Block(inner, inner, nodes, children=self._tree(held, inner)))
            else:
                items.extend(group)
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
        """How `b` continues `a` as its equal; None if it does not.

        Returns: For each input of `b` from outside, the place in `a` that it comes from, or -1 for one that both read.
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
