"""A graph's tree as it is drawn: layers put into cells, scopes as blocks, and of equal ones in a row the first alone.

Which passes are equal the tree knows. They are drawn once, however many there are, unless one of them is read from
elsewhere. Beside that, neighbours are equal if they are the same composite, or the same layer, and follow each other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from archcalc.graph import Application, Composite, Graph, Repeat
from archcalc.graph.composite import NONE, exits, passes, shared_exits
from archcalc.graph.labels import UNNAMED, Numbered
from archcalc.graph.tree import Place, inside, one_pass
from archcalc.shape import Shape
from archcalc.symbolic import Dim, is_symbolic
from archcalc.work import spend

DRAWN = 9
"""Steps for each layer, and an eighth of that for each volume that it reads."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One drawn node: a layer with the layers that act on it in place, or a whole scope (`collapsed`).

    `nodes` are those of the first of `count` equal copies; `name` is the path that says it best, `last` the last copy's
    name in its scope. `inside` are a scope's own cells, with how often each is in it.
    """

    path: str
    name: str
    nodes: tuple[int, ...]
    count: Dim = 1
    last: str = ""
    inside: tuple[tuple[Cell, Dim], ...] = ()

    @property
    def collapsed(self) -> bool:
        """Whether it's a scope."""
        return bool(self.inside)


@dataclass(frozen=True, slots=True)
class Block:
    """One scope, in the same words; its `name` is that of a scope around it which holds nothing else."""

    path: str
    name: str
    nodes: tuple[int, ...]
    count: Dim = 1
    last: str = ""
    children: tuple[Item, ...] = ()


Item: TypeAlias = Cell | Block


@dataclass(slots=True, eq=False)
class _Part:
    """A layer, a scope, or passes that are drawn as one of them: where that stands, and how often it's run.

    `nodes` are those drawn in it: its own, and those that act on them in place from outside. With an `index`,
    its sizes are formulas in that, the number of the pass.
    """

    at: Place
    around: _Part | None
    times: Dim
    last: str
    index: Any = None
    parts: list[_Part] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)


class Folding:
    """A graph as blocks and cells, with a note of which nodes are copies of which.

    Nodes are known by their numbers in the graph; of passes that are drawn once, those of the first, or, where sizes
    change by a law, of the one that is laid out for all between.
    """

    def __init__(self, graph: Graph, fold: bool) -> None:
        if not fold:
            graph.spend(1, "drawing so many layers")
        self.graph, self.fold = graph, fold
        self._layers: dict[int, _Part] = {}
        self._tree = self._part(graph.tree.root, None, frozenset(graph.outputs.values()))
        self._sources: dict[int, int] = {}
        self.inputs: dict[int, tuple[int, ...]] = {}
        for i, part in self._layers.items():
            self.inputs[i] = tuple(dict.fromkeys(self.source(j) for j in self._drawn_reads(part.at)))
            self._sources[i] = self.inputs[i][0] if self._changes_nothing(i) else i
        self.readers: dict[int, list[int]] = {i: [] for i in self._layers}
        for i, inputs in self.inputs.items():
            if self._sources[i] == i:
                for j in inputs:
                    self.readers[j].append(i)
        self._outputs = {self.source(i) for i in graph.outputs.values()}
        self._copies: list[tuple[list[int], list[int]]] = []
        self._put_into_cells()
        self.root = Block("", "", tuple(self._tree.nodes), children=self._items(self._tree.parts))

    @staticmethod
    def _drawn_reads(at: Place) -> Sequence[int]:
        """The nodes from which an edge is drawn to a layer."""
        assert isinstance(at.call, Application)
        undrawn = at.call.layer.undrawn
        return [node for place, node in enumerate(at.reads) if place not in undrawn] if undrawn else at.reads

    def source(self, i: int) -> int:
        """The drawn node whose volume a node's volume is: not one that is a view that changes nothing."""
        return self._sources[self._drawn(i)]

    def homes(self, cells: Sequence[Cell]) -> dict[int, int]:
        """The number of the cell that shows each drawn node, itself or its first copy."""
        homes = {node: number for number, cell in enumerate(cells) for node in cell.nodes}
        for first, copy in self._copies:  # inner copies come before the blocks that hold them
            homes.update((b, homes[a]) for a, b in zip(first, copy, strict=True))
        return homes

    # --- what is drawn of the tree --------------------------------------------------------------------------------

    def _part(
        self, at: Place, around: _Part | None, seen: frozenset[int], times: Dim = 1, last: str | None = None
    ) -> _Part:
        """What is drawn of a part of the tree; `seen` are its layers that are read from outside."""
        part = _Part(at, around, times, at.path.rpartition("/")[2] if last is None else last)
        if isinstance(at.call, Application):
            spend(DRAWN + DRAWN * len(at.reads) // 8, "drawing so many layers")
            self._layers[at.start] = part
            return part
        assert isinstance(at.call, Composite)
        for number, outside in enumerate(exits(at.call, seen)):
            inner = inside(at, number)
            if isinstance(inner.call, Repeat):
                part.parts.extend(self._passes(inner, part, outside))
            else:
                part.parts.append(self._part(inner, part, outside))
        return part

    def _passes(self, at: Place, around: _Part, seen: frozenset[int]) -> Iterator[_Part]:
        """The passes of a repeat, those that are drawn once together: all up to one that is read from elsewhere."""
        repeat = at.call
        assert isinstance(repeat, Repeat)
        if not repeat.size:
            return
        if repeat.index is not None:
            place, last = _named(at, repeat.between, repeat.times)
            entered = place._replace(reads=at.reads)  # as the first pass is
            outside = frozenset([repeat.output] if repeat.output >= 0 else [])
            part = self._part(entered, around, outside, repeat.times, last)
            part.index = repeat.index
            yield part
            return
        ends = passes(repeat, seen) if self.fold else dict.fromkeys(range(repeat.count), NONE)
        first = 0
        for end, outside in ends.items():
            times = repeat.times if is_symbolic(repeat.times) else end + 1 - first
            place, last = _named(at, first, times)
            yield self._part(place, around, outside | shared_exits(repeat), times, last)
            first = end + 1

    def _drawn(self, node: int) -> int:
        """The node that is drawn for a node."""
        part = self._tree
        while part.parts:
            part = part.parts[bisect_right(part.parts, node, key=lambda each: each.at.start) - 1]
            node = part.at.start + (node - part.at.start) % part.at.call.size
        return node

    def shape_read(self, source: int, reader: int) -> Shape:
        """The shape of a drawn node's volume as a reader has it: what leaves passes is what the last of them makes."""
        mine, yours = ([*self._by_law(node)] for node in (source, reader))
        if all(part in yours for part in mine):
            return self.application(source).output_shape
        from archcalc.symbolic.sums import at  # few passes change

        reads = [self.source(each) for each in self._layers[reader].at.reads]
        shape = self.application(reader).input_shapes[reads.index(source)]
        for part in yours:
            if part not in mine:  # it enters the first pass
                shape = Shape(**{axis: at(size, part.index, 1) for axis, size in shape.items()})
        return shape

    def _by_law(self, node: int) -> Iterator[_Part]:
        """The passes around a drawn node that stand for others of other sizes, the inner ones first."""
        part: _Part | None = self._layers[node]
        while part is not None:
            if part.index is not None:
                yield part
            part = part.around

    # --- cells ----------------------------------------------------------------------------------------------------

    def _put_into_cells(self) -> None:
        hosts: dict[int, int] = {}
        for i in self._layers:
            if self._sources[i] == i:
                host = hosts[self.inputs[i][0]] if len(self.inputs[i]) == 1 else i
                hosts[i] = host if host != i and self._joins_input(i, host) else i
                around: _Part | None = self._layers[hosts[i]]
                while around is not None:
                    around.nodes.append(i)
                    around = around.around

    def _changes_nothing(self, i: int) -> bool:
        at = self.application(i)
        return len(self.inputs[i]) == 1 and at.layer.changes_nothing(*at.input_shapes)

    def application(self, i: int) -> Application:
        """The layer of a drawn node, applied to its shapes."""
        at = self._layers[i].at.call
        assert isinstance(at, Application)
        return at

    def _joins_input(self, i: int, host: int) -> bool:
        """Whether a node is drawn with the one it acts on; `host` is the first node of that cell.

        Nobody else reads that, and it works in place, or normalises what a weight layer made. It may act on a scope's
        output, but not on that of passes which are drawn once.
        """
        (on,) = self.inputs[i]
        if len(self.readers[on]) != 1 or on in self._outputs or not self.inputs[host]:
            return False
        part: _Part | None = self._layers[on]
        while part is not self._layers[i].around:
            if part is None or part.times != 1:
                return False
            part = part.around
        acts = self.application(i).layer
        return self._layers[i].times == 1 and (
            acts.in_place or (acts.normalises and self.application(on).layer.weight_layer)
        )

    # --- blocks ---------------------------------------------------------------------------------------------------

    def _items(self, parts: Sequence[_Part]) -> tuple[Item, ...]:
        """The parts of a scope, with every run of equal ones folded into its first."""
        items: list[Item] = []
        for run in self._runs([part for part in parts if part.nodes]):
            first = self._item(run[0])
            self._copies.extend((run[0].nodes, copy.nodes) for copy in run[1:])
            items.append(replace(first, count=sum(part.times for part in run), last=run[-1].last))
        return tuple(items)

    def _item(self, part: _Part) -> Item:
        """A part alone; a scope around one item is that item."""
        path, nodes = part.at.path.replace(UNNAMED, ""), tuple(part.nodes)
        if isinstance(part.at.call, Application):
            return Cell(path, path, nodes)
        children = self._items(part.parts)
        if len(children) == 1 and children[0].count == 1:
            return replace(children[0], name=path)
        return Block(path, path, nodes, children=children)

    def _runs(self, parts: Sequence[_Part]) -> list[list[_Part]]:
        runs: list[list[_Part]] = []
        pattern: tuple[int, ...] | None = None
        for part in parts:
            follows = self._follows(runs[-1][-1], part) if runs and self.fold else None
            if follows is not None and (len(runs[-1]) == 1 or follows == pattern):
                runs[-1].append(part)
                pattern = follows
            else:
                runs.append([part])
        return runs

    def _follows(self, a: _Part, b: _Part) -> tuple[int, ...] | None:
        """How `b` continues `a` as its equal; None if it does not.

        Returns: For each volume that enters `b`, the place in `a` that it comes from, or -1 for one that both read.
        """
        if a.at.call is not b.at.call or self._form(a) != self._form(b):
            return None
        within, both = {*a.nodes}, {*a.nodes, *b.nodes}
        if within & self._outputs or any(reader not in both for i in a.nodes for reader in self.readers[i]):
            return None
        pairs = list(zip(self._entering(a), self._entering(b), strict=True))
        if any(y not in within and x != y for x, y in pairs) or not any(y in within for _, y in pairs):
            return None
        return tuple(y - a.at.start if y in within else -1 for _, y in pairs)

    def _form(self, part: _Part) -> tuple[Any, ...]:
        """What equal calls have in common as they're drawn: the layers, what acts on them, what enters repeatedly."""
        start, end, entering = part.at.start, part.at.start + part.at.call.size, self._entering(part)
        acting = [(self.application(i), self.inputs[i][0] - start) for i in part.nodes if i >= end]
        return [i - start for i in part.nodes], acting, list(map(entering.index, entering))

    def _entering(self, part: _Part) -> list[int]:
        """The nodes outside that are read in a part, in order."""
        within = {*part.nodes}
        return [source for i in part.nodes for source in self.inputs[i] if source not in within]


def _named(at: Place, number: int, times: Dim) -> tuple[Place, str]:
    """A pass of a repeat, under a name that a spec would give it, and the name of the last of so many from there on."""
    assert at.label is not None
    (names,) = at.label.names
    assert isinstance(names, Numbered)
    place = one_pass(at, number)
    if not is_symbolic(times):
        return place, names.name(number + times - 1)
    before, after, first = names.before.removeprefix(UNNAMED), names.after, names.numbers[0]
    last = first + (times - 1) * names.numbers.step
    repeat = at.call
    assert isinstance(repeat, Repeat)
    by_law = "" if repeat.index is None else f"{repeat.index} = 1"
    name = f"{before}{first}{after}"
    if by_law:
        name = f"{name}, {by_law}" if before or after or first != 1 else by_law
    named = place._replace(path=f"{at.prefix}{name}")
    return named, f"{before}{{{last}}}{after}" if before or after else str(last)
