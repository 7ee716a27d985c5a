"""What a program is made of: a graph's layers and scopes, as its tree has them.

A scope is one object here wherever it's written in the same way: where the same composite stands under the same names,
the same of it is read from outside, and its layers overwrite and copy the same. Of a long repeat few passes are there,
one of which stands for many. So there is as much to write as the spec describes, however often it's repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple, TypeAlias

from torch import nn

from archcalc.analyses.memory import switches
from archcalc.analyses.repeats import are_steady
from archcalc.analyses.storages import places
from archcalc.graph import Application, Composite, Graph
from archcalc.graph.composite import Module, exits
from archcalc.graph.graph import Shortened
from archcalc.graph.tree import Place, inside
from archcalc.pytorch.network import module_of
from archcalc.pytorch.source.pieces import construction
from archcalc.symbolic import known
from archcalc.work import spend

Wire: TypeAlias = "tuple[int, int]"
"""A tensor in a scope: a wire of its composite and 0, or 1 for the switches that a max-pool keeps.

Of those that enter, ~k is the k-th volume, or the switches of the k-th pool outside.
"""
OVERWRITES, COPIES, KEEPS = 1, 2, 4
"""What a layer does where it stands, as bits: writes over its input, copies what it views, keeps a pool's switches."""
PART = 60
"""Steps of work for a part: its module is built, its code is compared and written."""


@dataclass(eq=False)
class Leaf:
    """A layer, and its module as PyTorch has it where the layer stands."""

    application: Application
    module: nn.Module

    def expression(self, names: Sequence[str] = ()) -> str:
        """What `forward` writes for volumes of these names instead of calling a module; empty if it calls one."""
        at = self.application
        return at.layer.expression(names or ["x"] * len(at.input_shapes), at.output_shape)


@dataclass(eq=False)
class Scope:
    """A scope as it stands for the first time: its parts in order, what they read and what is read of them outside."""

    path: str
    start: int
    """Its first node."""
    size: int
    volumes: tuple[int, ...]
    """The nodes whose volumes enter it."""
    pools: tuple[int, ...]
    """The nodes outside whose switches enter it."""
    parts: tuple[Part, ...]
    reads: tuple[Wire, ...]
    makes: tuple[Wire, ...]
    module: str = ""
    """The name of the module that it's a call of."""

    def node(self, wire: Wire) -> int:
        """The node that makes a tensor."""
        place, of_pool = wire
        if place >= 0:
            return self.start + place
        return self.pools[~place] if of_pool else self.volumes[~place]

    @cached_property
    def is_sequential(self) -> bool:
        """Whether it's a chain of modules, which `nn.Sequential` runs.

        Each part reads what the one before it makes, and nothing else leaves or enters.
        """
        if len(self.reads) != 1 or len(self.makes) != 1:
            return False
        entering, reading = self.reads[0], readers(self.parts)
        for part in self.parts:
            is_module = not isinstance(part.what, Leaf) or part.what.expression() in ("", "x")
            is_module = is_module and part.holder is None
            if not is_module or part.reads != (entering,) or len(part.makes) != 1 or len(reading[entering]) > 1:
                return False
            entering = part.makes[0]
        return self.makes == (entering,)


@dataclass(eq=False)
class Run:
    """Passes of equal code that `forward` runs through in a loop, handing on what each makes.

    `is_shared`: all of them are one module.
    """

    parts: tuple[Part, ...]
    is_shared: bool = False


class Part(NamedTuple):
    """A layer, a scope or a run where it stands in a scope, in the wires of that scope.

    With several `times` it stands for as many passes of a repeat. `module` is of which it is a call; where calls of one
    stand in one scope and have equal code, `holder` is the start of the first, whose attribute all of them are.
    """

    name: str
    what: Leaf | Scope | Run
    start: int
    reads: tuple[Wire, ...]
    makes: tuple[Wire, ...]
    times: int = 1
    module: Module | None = None
    holder: int | None = None

    @property
    def is_again(self) -> bool:
        """Whether the weights are in another call."""
        return self.module is not None and not self.module.holds

    @property
    def wires(self) -> range:
        """The wires of its layers."""
        if isinstance(self.what, Run):
            return range(self.what.parts[0].start, self.what.parts[-1].wires.stop)
        return range(self.start, self.start + (self.what.size if isinstance(self.what, Scope) else 1))


class Laid(NamedTuple):
    """A graph without repeats, and for each of its nodes how many it stands for."""

    graph: Graph
    times: Sequence[int]


def laid(graph: Graph) -> Laid:
    """The graph with few passes of each repeat, if all between them are like those that are there; else with all.

    Raises: TooManyLayers: there are too many.
    """
    short = graph.shortened()
    if short is not None:
        pools = switches(short.graph)
        if are_steady(short, _flags(short.graph, pools), [pools]) and _lie_alike(short):
            return Laid(short.graph, [int(known(times)) for times in short.times])
    return whole(graph)


def _lie_alike(short: Shortened) -> bool:
    """Whether the same passes were left out of all calls of a module."""
    nodes, times = short.graph.nodes, short.times
    many: dict[int, Fraction] = {}
    for index, node in enumerate(nodes):
        if node.reuses:
            assert node.tied is not None
            if node.tied >= index or nodes[node.tied].layer != node.layer:
                return False
            ratio = Fraction(int(known(times[index])), int(known(times[node.tied])))
            if many.setdefault(index - node.tied, ratio) != ratio:
                return False
    return True


def whole(graph: Graph) -> Laid:
    """The graph with all passes."""
    everything = graph.laid_out()
    return Laid(everything, [1] * len(everything))


def tree_of(laid: Laid) -> Scope:
    """The whole network as a scope."""
    root, outputs = laid.graph.tree.root, tuple(laid.graph.outputs.values())
    parts = tuple(_Reader(laid).parts(_Around(root, (), 1), frozenset(outputs)))
    reads, makes = ([(node, 0) for node in nodes] for nodes in (range(len(laid.graph.inputs)), outputs))
    return Scope("", 0, root.call.size, (), (), parts, tuple(reads), tuple(makes))


class _Around(NamedTuple):
    """The scope whose parts are read, the nodes of the pools whose switches enter it, and how often it's there."""

    place: Place
    pools: tuple[int, ...]
    times: int

    def switches(self, pool: int) -> Wire:
        """The switches of a pool."""
        return (pool - self.place.start if pool >= self.place.start else ~self.pools.index(pool)), 1


class _Reader:
    """Reads the tree of a graph without repeats."""

    def __init__(self, laid: Laid) -> None:
        self._times = laid.times
        self._pools = switches(laid.graph)
        self._flags = _flags(laid.graph, self._pools)
        self._leaves: dict[tuple[Application, int], Leaf] = {}
        self._scopes: dict[tuple[object, ...], Scope] = {}

    def parts(self, around: _Around, seen: frozenset[int]) -> list[Part]:
        """The parts of a scope of which these wires are read from outside; inputs of the network are none."""
        at = around.place
        assert isinstance(at.call, Composite)
        assert at.label is not None
        found: list[Part] = []
        for number, (item, shown) in enumerate(zip(at.call.items, exits(at.call, seen), strict=True)):
            if item.call.size and (item.reads or not isinstance(item.call, Application)):
                spend(PART, "writing so many layers")
                part = self._part(around, inside(at, number), str(at.label.names[number]), item.reads, shown)
                if item.module is not None and isinstance(part.what, Scope):
                    part.what.module = item.module.name
                found.append(part._replace(module=item.module))
        return _with_holders(found)

    def _part(self, around: _Around, at: Place, name: str, wires: tuple[int, ...], seen: frozenset[int]) -> Part:
        """A layer or a scope that reads these wires of the one around it; `seen` of its own are read from outside."""
        start, times = at.start - around.place.start, self._times[at.start]
        if isinstance(at.call, Application):
            what: Leaf | Scope = self._leaf(at.call, self._flags[at.start])
            undone = [around.switches(self._pools[at.start])] if at.start in self._pools else []
            reads, makes = [*((wire, 0) for wire in wires), *undone], [(start, 0)]
            makes += [(start, 1)] if self._flags[at.start] & KEEPS else []
        else:
            inner = _Around(at, self._undone_in(at), times)
            what = self._scope(inner, seen)
            reads = [around.switches(inner.pools[~wire]) if kind else (wires[~wire], 0) for wire, kind in what.reads]
            makes = [(start + wire, kind) for wire, kind in what.makes]
        return Part(name, what, start, tuple(reads), tuple(makes), times // around.times)

    def _leaf(self, at: Application, flags: int) -> Leaf:
        if (at, flags) not in self._leaves:
            module = module_of(at, bool(flags & OVERWRITES), bool(flags & COPIES), bool(flags & KEEPS))
            self._leaves[at, flags] = Leaf(at, module)
        return self._leaves[at, flags]

    def _scope(self, around: _Around, seen: frozenset[int]) -> Scope:
        at, pools = around.place, around.pools
        end = at.start + at.call.size
        undone = [
            (node - at.start, around.switches(pool)) for node, pool in self._pools.items() if at.start <= node < end
        ]
        shown = {pool - at.start for node, pool in self._pools.items() if at.start <= pool < end <= node}
        key = at.call, id(at.label), seen, tuple(undone), frozenset(shown), self._flags[at.start : end]
        if key not in self._scopes:
            parts = tuple(self.parts(around, seen))
            reads = dict.fromkeys(wire for part in parts for wire in part.reads if wire[0] < 0)
            makes = sorted([*((wire, 0) for wire in seen), *((pool, 1) for pool in shown)])
            self._scopes[key] = Scope(
                at.path, at.start, at.call.size, at.reads, pools, parts, tuple(reads), tuple(makes)
            )
        return self._scopes[key]

    def _undone_in(self, at: Place) -> tuple[int, ...]:
        """The pools outside of a scope that are undone in it, by their nodes."""
        end = at.start + at.call.size
        return tuple(dict.fromkeys(pool for node, pool in self._pools.items() if pool < at.start <= node < end))


def _flags(graph: Graph, pools: Mapping[int, int]) -> bytes:
    """For each node what its layer does where it stands, in bits."""
    where = places(graph)
    flags = bytearray(len(graph))
    for bit, nodes in ((OVERWRITES, where.overwriting), (COPIES, where.copied), (KEEPS, set(pools.values()))):
        for node in nodes:
            flags[node] |= bit
    return bytes(flags)


def _with_holders(parts: list[Part]) -> list[Part]:
    """The parts, with what they are calls of where it's called several times and in the same words."""
    holders: dict[int, Part] = {}
    calls: dict[int, int] = {}
    for part in parts:
        if part.module is not None and part.module.holds:
            holders[part.module.number] = part
        elif part.module is not None and part.module.number in holders:
            holder = holders[part.module.number]
            if same_code(part.what, holder.what):
                calls |= {part.start: holder.start, holder.start: holder.start}
    return [part._replace(holder=calls.get(part.start)) for part in parts]


def same_code(one: Leaf | Scope | Run, other: Leaf | Scope | Run) -> bool:
    """Whether two calls of a module are built and run by the same code, numbers included."""
    if isinstance(one, Leaf) and isinstance(other, Leaf):
        code = one.expression(), other.expression()
        return code[0] == code[1] and (code[0] != "" or construction(one.module) == construction(other.module))
    if not (isinstance(one, Scope) and isinstance(other, Scope) and len(one.parts) == len(other.parts)):
        return False
    return (one.reads, one.makes) == (other.reads, other.makes) and all(
        (a.start, a.reads, a.makes, a.times) == (b.start, b.reads, b.makes, b.times) and same_code(a.what, b.what)
        for a, b in zip(one.parts, other.parts, strict=True)
    )


def readers(parts: Sequence[Part]) -> dict[Wire, list[int]]:
    """Which of a scope's parts read each tensor, by their places."""
    found: dict[Wire, list[int]] = {}
    for number, part in enumerate(parts):
        for wire in dict.fromkeys(part.reads):
            found.setdefault(wire, []).append(number)
    return found
