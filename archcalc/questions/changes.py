"""What changed between two networks: which layers are new, gone or different, and what each change costs.

Both graphs are taken as trees of scopes. The children of a scope are aligned with those of the other network's scope:
first those that are equal all the way down, then those of the same name. A layer that nobody named, `conv_2`, goes by
its kind and its place, so a layer that is put in front of it doesn't rename it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias

from archcalc.graph import Graph, Input, Node
from archcalc.quantities import Total, names
from archcalc.report import Report
from archcalc.symbolic import Dim, is_symbolic
from archcalc.work import spend


class Kind(StrEnum):
    """What happened to a layer."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"
    REWIRED = "rewired"
    RESHAPED = "on other volumes"
    SAVED = "saves other bytes"


@dataclass(frozen=True)
class Change:
    """One difference, or the same one in several places: `path` then has `*` for the numbers that tell them apart.

    `before` and `after` are what stood there, as a spec would write it; `layers` says how many layers it is about;
    `cost` is what all of them have more than before, by quantity.
    """

    kind: Kind
    before: str
    after: str
    path: str
    layers: int
    places: int
    cost: Mapping[str, Dim]

    @property
    def is_consequence(self) -> bool:
        """Whether it happens to layers because of changes elsewhere; these are gathered by the scopes at the top."""
        return self.kind in (Kind.RESHAPED, Kind.SAVED)


@dataclass(frozen=True)
class Pair:
    """Two layers that stand for each other, as indices of the nodes; None where one side has none."""

    before: int | None
    after: int | None


@dataclass
class _Scope:
    """A scope's children in order, by the last part of their names."""

    children: dict[str, _Tree] = field(default_factory=dict)


_Tree: TypeAlias = "int | _Scope"
_NUMBERED = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Matching:
    """Which layers of two networks stand for each other: every layer of both is in one group."""

    before: Graph
    after: Graph

    @cached_property
    def groups(self) -> tuple[_Group, ...]:
        """Pairs of layers, and the layers of scopes that only one network has, in the order of the later network."""
        spend(20 * (len(self.before) + len(self.after)), "comparing networks")
        return tuple(_Matcher(self.before, self.after).groups())

    @cached_property
    def partner(self) -> Mapping[int, int]:
        """Of each earlier layer that has one, the later layer that stands in its place."""
        pairs = (pair for group in self.groups for pair in group.pairs)
        return {pair.before: pair.after for pair in pairs if pair.before is not None and pair.after is not None}

    @cached_property
    def alike(self) -> Fraction:
        """The share of the smaller network's layers that stand unchanged in the other one."""
        pairs = self.partner.items()
        same = sum(self.before.nodes[old].layer == self.after.nodes[new].layer for old, new in pairs)
        return Fraction(same, min(len(self.before), len(self.after)))

    @cached_property
    def _kept(self) -> tuple[frozenset[int], frozenset[int]]:
        return frozenset(self.partner), frozenset(self.partner.values())

    def same_sources(self, old: Sequence[int], new: Sequence[int]) -> bool:
        """Whether two lists of volumes are the same but for layers that came or went on the way to them."""
        was = [self._origin(self.before, index, self._kept[0]) for index in old]
        now = [self._origin(self.after, index, self._kept[1]) for index in new]
        return [index if index is None else self.partner[index] for index in was] == now

    @staticmethod
    def _origin(graph: Graph, index: int, kept: frozenset[int]) -> int | None:
        """The nearest layer that has a partner, upwards along main inputs."""
        while index not in kept:
            if not graph.nodes[index].inputs:
                return None
            index = graph.nodes[index].inputs[0]
        return index


def changes(before: Report, after: Report, matching: Matching | None = None) -> list[Change]:
    """The differences in the order of the later network; their costs add up to the difference of the totals.

    >>> import archcalc
    >>> one, other = (archcalc.analyze(archcalc.load("vgg16").build(sizes=sizes)) for sizes in ({}, {"C": 1}))
    >>> [(change.kind.value, change.path, change.cost["params"]) for change in changes(one, other)]
    [('changed', 'input', 0), ('on other volumes', 'conv1/1/conv', -1152)]
    """
    matching = matching or Matching(before.graph, after.graph)
    found = [change for group in matching.groups for change in _described(group, matching, before, after)]
    return _folded([*found, *_outputs(matching, before, after)])


# --- matching --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Group:
    """Layers that are told as one: a pair, or all layers of a scope that only one network has."""

    path: str
    pairs: tuple[Pair, ...]


class _Matcher:
    """Finds for each layer of one graph the layer of the other that stands in its place."""

    def __init__(self, before: Graph, after: Graph) -> None:
        self.graphs = before, after
        self.signatures: dict[int, object] = {}

    def groups(self) -> list[_Group]:
        """All layers of both graphs, each in one group."""
        first, second = (_tree(graph) for graph in self.graphs)
        return list(self._scopes(first, second, ""))

    def _scopes(self, one: _Scope, other: _Scope, path: str) -> Iterator[_Group]:
        """The children of two scopes that stand for each other."""
        a, b = list(one.children.items()), list(other.children.items())
        keys = [self._keys(children, side) for side, children in enumerate((a, b))]
        for same, (a_from, a_to), (b_from, b_to) in stretches(*keys):
            if same:
                for (_, left), (name, right) in zip(a[a_from:a_to], b[b_from:b_to], strict=True):
                    yield from self._both(left, right, path + name)
            else:
                yield from self._gap(a[a_from:a_to], b[b_from:b_to], path)

    def _gap(self, a: list[tuple[str, _Tree]], b: list[tuple[str, _Tree]], path: str) -> Iterator[_Group]:
        """Children of which none is equal to the one in its place: those of the same name are taken for the same."""
        keys = [[self._identity(name, tree, side) for name, tree in part] for side, part in enumerate((a, b))]
        for same, (a_from, a_to), (b_from, b_to) in stretches(*keys):
            left, right = a[a_from:a_to], b[b_from:b_to]
            if same:
                for (_, one), (name, other) in zip(left, right, strict=True):
                    yield from self._both(one, other, path + name)
            else:
                yield from self._renamed(left, right, path)

    def _renamed(self, a: list[tuple[str, _Tree]], b: list[tuple[str, _Tree]], path: str) -> Iterator[_Group]:
        """Children without a namesake: equal ones have a new name, the others are gone or new."""
        keys = [[self._signature(tree, side) for _, tree in part] for side, part in enumerate((a, b))]
        for same, (a_from, a_to), (b_from, b_to) in stretches(*keys):
            if same:
                for (_, one), (name, other) in zip(a[a_from:a_to], b[b_from:b_to], strict=True):
                    yield from self._both(one, other, path + name)
            else:
                yield from (self._alone(tree, path + name, 0) for name, tree in a[a_from:a_to])
                yield from (self._alone(tree, path + name, 1) for name, tree in b[b_from:b_to])

    def _both(self, one: _Tree, other: _Tree, path: str) -> Iterator[_Group]:
        if isinstance(one, _Scope) and isinstance(other, _Scope):
            yield from self._scopes(one, other, path + "/")
        elif isinstance(one, int) and isinstance(other, int):
            yield _Group(path, (Pair(one, other),))
        else:
            yield self._alone(one, path, 0)
            yield self._alone(other, path, 1)

    def _alone(self, tree: _Tree, path: str, side: int) -> _Group:
        nodes = _leaves(tree)
        return _Group(path, tuple(Pair(i, None) if side == 0 else Pair(None, i) for i in nodes))

    def _keys(self, children: list[tuple[str, _Tree]], side: int) -> list[object]:
        return [(self._identity(name, tree, side), self._signature(tree, side)) for name, tree in children]

    def _identity(self, name: str, tree: _Tree, side: int) -> str:
        """What a child is called; one that nobody named, by its kind."""
        if isinstance(tree, int) and _NUMBERED.sub("", name) == (kind := self.graphs[side].nodes[tree].kind):
            return kind
        return name

    def _signature(self, tree: _Tree, side: int) -> object:
        """What a child is, all the way down, whatever it's called itself."""
        if isinstance(tree, int):
            return self.graphs[side].nodes[tree].layer
        if id(tree) not in self.signatures:
            children = tuple(
                (self._identity(name, child, side), self._signature(child, side))
                for name, child in tree.children.items()
            )
            self.signatures[id(tree)] = children
        return self.signatures[id(tree)]


def _tree(graph: Graph) -> _Scope:
    """The graph's names as a tree, with the indices of nodes as leaves."""
    root = _Scope()
    for index, node in enumerate(graph.nodes):
        *scopes, last = node.name.split("/")
        at = root
        for name in scopes:
            inner = at.children.setdefault(name, _Scope())
            at = inner if isinstance(inner, _Scope) else at
        at.children[last] = index
    return root


def _leaves(tree: _Tree) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
    else:
        for child in tree.children.values():
            yield from _leaves(child)


_Span: TypeAlias = tuple[int, int]


def stretches(a: Sequence[object], b: Sequence[object]) -> Iterator[tuple[bool, _Span, _Span]]:
    """Stretches of two sequences, in order: whether they are equal, and where they lie in each."""
    start, least = 0, min(len(a), len(b))
    while start < least and a[start] == b[start]:
        start += 1
    end = 0
    while end < least - start and a[-1 - end] == b[-1 - end]:
        end += 1
    if start:
        yield True, (0, start), (0, start)
    a_rest, b_rest = a[start : len(a) - end], b[start : len(b) - end]
    spend(len(a_rest) * len(b_rest) // 20, "aligning the layers of two scopes")
    # without `autojunk`, which passes over what is frequent: a network's layers are
    for tag, a_from, a_to, b_from, b_to in SequenceMatcher(None, a_rest, b_rest, autojunk=False).get_opcodes():
        yield tag == "equal", (start + a_from, start + a_to), (start + b_from, start + b_to)
    if end:
        yield True, (len(a) - end, len(a)), (len(b) - end, len(b))


# --- describing ------------------------------------------------------------------------------------------------------


def _described(group: _Group, matching: Matching, before: Report, after: Report) -> Iterator[Change]:
    """What happened to the layers of a group; nothing, if they are the same."""
    old = [pair.before for pair in group.pairs if pair.before is not None]
    new = [pair.after for pair in group.pairs if pair.after is not None]
    cost = _cost(before, after, old, new)
    if not old or not new:
        kind, report, nodes = (Kind.ADDED, after, new) if new else (Kind.REMOVED, before, old)
        text = summary([report.graph.nodes[i] for i in nodes])
        yield Change(kind, "" if new else text, text if new else "", group.path, len(nodes), 1, cost)
        return
    one, other = before.graph.nodes[old[0]], after.graph.nodes[new[0]]
    found = _difference(one, other, matching)
    if found is not None or any(amount != 0 for amount in cost.values()):
        yield Change(*(found or (Kind.SAVED, "", "")), group.path, 1, 1, cost)


def _cost(before: Report, after: Report, old: Sequence[int], new: Sequence[int]) -> dict[str, Dim]:
    """What the later layers have more than the earlier ones, of every quantity that both networks have."""
    both = (name for name in names(Total.SUM) if before.has(name) and after.has(name))
    return {name: less(after.over(name, new), before.over(name, old)) for name in both}


def less(amount: Dim, other: Dim) -> Dim:
    """How much more an amount is than another; 0 if they are the same, however their expressions are written."""
    difference = amount - other
    if not is_symbolic(difference):
        return difference
    import sympy

    expanded = sympy.expand(difference)
    return int(expanded) if expanded.is_Integer else expanded


def _outputs(matching: Matching, before: Report, after: Report) -> Iterator[Change]:
    """That other volumes leave the network."""
    a, b = matching.before, matching.after
    if not matching.same_sources([*a.outputs.values()], [*b.outputs.values()]):
        nothing = _cost(before, after, [], [])
        yield Change(Kind.REWIRED, ", ".join(a.outputs), ", ".join(b.outputs), "outputs", 0, 1, nothing)


def _difference(one: Node, other: Node, matching: Matching) -> tuple[Kind, str, str] | None:
    """What is different about two layers that stand for each other: the layer, what it reads, its name, or volumes."""
    a, b = matching.before, matching.after
    if isinstance(one.layer, Input) and isinstance(other.layer, Input):
        if one.shape != other.shape:
            return Kind.CHANGED, one.shape.text(a.layout), other.shape.text(b.layout)
    elif one.layer != other.layer:
        return Kind.CHANGED, one.application.text, other.application.text
    partner = None if one.tied is None else matching.partner.get(one.tied, -1)
    if (partner, one.reuses) != (other.tied, other.reuses):
        return Kind.REWIRED, _weights(a, one), _weights(b, other)
    if not matching.same_sources(one.inputs, other.inputs):
        return Kind.REWIRED, f"reads {_list(a, one)}", f"reads {_list(b, other)}"
    if _NUMBERED.sub("", one.name) != _NUMBERED.sub("", other.name):
        return Kind.RENAMED, one.name, other.name
    if one.application != other.application:
        return Kind.RESHAPED, "", ""
    return None


def _weights(graph: Graph, node: Node) -> str:
    if node.tied is None:
        return "weights of its own"
    return f"{'all' if node.reuses else 'the'} weights of {graph.nodes[node.tied].name}"


def _list(graph: Graph, node: Node) -> str:
    return " and ".join(graph.nodes[i].name for i in node.inputs)


def summary(nodes: Sequence[Node]) -> str:
    """A layer as a spec writes it; of several, how many there are of each kind."""
    if len(nodes) == 1:
        return nodes[0].application.text if nodes[0].inputs else nodes[0].shape.text()
    counts = Counter(node.kind for node in nodes)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


# --- folding ---------------------------------------------------------------------------------------------------------


def _folded(found: Iterable[Change]) -> list[Change]:
    """The same change in several passes of loops as one; layers that only see other volumes, by their scopes."""
    groups: dict[object, list[Change]] = {}
    for change in found:
        if change.is_consequence:
            key: object = change.kind, change.path.partition("/")[0]
        else:
            key = change.kind, pattern(change.path), *_texts(change)
        groups.setdefault(key, []).append(change)
    return [_together(group) for group in groups.values()]


def _together(group: Sequence[Change]) -> Change:
    first = group[0]
    if len(group) == 1:
        return first
    path = first.path.partition("/")[0] if first.is_consequence else pattern(first.path)
    cost = {name: sum((change.cost[name] for change in group), start=0) for name in first.cost}
    before, after = _texts(first)
    places = 1 if first.is_consequence else len(group)
    return Change(first.kind, before, after, path, sum(change.layers for change in group), places, cost)


def _texts(change: Change) -> tuple[str, str]:
    """What stood there and stands there, alike for all passes of a loop: with patterns where it's about names."""
    if change.kind in (Kind.RENAMED, Kind.REWIRED):
        before, after = (" ".join(map(pattern, text.split(" "))) for text in (change.before, change.after))
        return before, after
    return change.before, change.after


def pattern(path: str) -> str:
    """A path with `*` for what is a number only: the passes of loops."""
    return "/".join("*" if part.isdecimal() else part for part in path.split("/"))
