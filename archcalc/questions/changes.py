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
from typing import TypeAlias

from archcalc.graph import Graph, Input, Node
from archcalc.quantities import Total, names
from archcalc.report import Report
from archcalc.symbolic import Dim
from archcalc.work import spend


class Kind(StrEnum):
    """What happened to a layer."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"
    REWIRED = "rewired"
    RESHAPED = "on other volumes"


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


def changes(before: Report, after: Report) -> list[Change]:
    """The differences in the order of the later network; their costs add up to the difference of the totals.

    >>> import archcalc
    >>> one, other = (archcalc.analyze(archcalc.load("vgg16").build(sizes)) for sizes in ({}, {"C": 1}))
    >>> [(change.kind.value, change.path, change.cost["params"]) for change in changes(one, other)]
    [('changed', 'input', 0), ('on other volumes', 'conv1/1/conv', -1152)]
    """
    spend(20 * (len(before.graph) + len(after.graph)), "comparing networks")
    groups = _Matcher(before.graph, after.graph).groups()
    partner = {pair.before: pair.after for group in groups for pair in group.pairs if pair.before is not None}
    found = [change for group in groups for change in _described(group, partner, before, after)]
    return _folded(found)


def alike(before: Graph, after: Graph) -> Fraction:
    """The share of the smaller network's layers that stand unchanged in the other one."""
    groups = _Matcher(before, after).groups()
    same = sum(
        pair.before is not None
        and pair.after is not None
        and before.nodes[pair.before].layer == after.nodes[pair.after].layer
        for group in groups
        for pair in group.pairs
    )
    return Fraction(same, min(len(before), len(after)))


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
        for same, (a_from, a_to), (b_from, b_to) in _blocks(*keys):
            if same:
                for (_, left), (name, right) in zip(a[a_from:a_to], b[b_from:b_to], strict=True):
                    yield from self._both(left, right, path + name)
            else:
                yield from self._gap(a[a_from:a_to], b[b_from:b_to], path)

    def _gap(self, a: list[tuple[str, _Tree]], b: list[tuple[str, _Tree]], path: str) -> Iterator[_Group]:
        """Children of which none is equal to the one in its place: those of the same name are taken for the same."""
        keys = [[self._identity(name, tree, side) for name, tree in part] for side, part in enumerate((a, b))]
        for same, (a_from, a_to), (b_from, b_to) in _blocks(*keys):
            left, right = a[a_from:a_to], b[b_from:b_to]
            if same:
                for (_, one), (name, other) in zip(left, right, strict=True):
                    yield from self._both(one, other, path + name)
            else:
                yield from self._renamed(left, right, path)

    def _renamed(self, a: list[tuple[str, _Tree]], b: list[tuple[str, _Tree]], path: str) -> Iterator[_Group]:
        """Children without a namesake: equal ones have a new name, the others are gone or new."""
        keys = [[self._signature(tree, side) for _, tree in part] for side, part in enumerate((a, b))]
        for same, (a_from, a_to), (b_from, b_to) in _blocks(*keys):
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


def _blocks(a: Sequence[object], b: Sequence[object]) -> Iterator[tuple[bool, _Span, _Span]]:
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


def _described(group: _Group, partner: Mapping[int, int | None], before: Report, after: Report) -> Iterator[Change]:
    """What happened to the layers of a group; nothing, if they are the same."""
    old = [pair.before for pair in group.pairs if pair.before is not None]
    new = [pair.after for pair in group.pairs if pair.after is not None]
    cost = {
        name: after.over(name, new) - before.over(name, old) for name in names(Total.SUM) if before.dtype == after.dtype
    }
    if not old or not new:
        kind, report, nodes = (Kind.ADDED, after, new) if new else (Kind.REMOVED, before, old)
        text = _summary([report.graph.nodes[i] for i in nodes])
        yield Change(kind, "" if new else text, text if new else "", group.path, len(nodes), 1, cost)
        return
    one, other = before.graph.nodes[old[0]], after.graph.nodes[new[0]]
    found = _difference(one, other, partner, before.graph, after.graph)
    if found is not None or any(cost.values()):
        yield Change(*(found or (Kind.RESHAPED, "", "")), group.path, 1, 1, cost)


def _difference(
    one: Node, other: Node, partner: Mapping[int, int | None], a: Graph, b: Graph
) -> tuple[Kind, str, str] | None:
    """What is different about two layers that stand for each other: the layer, what it reads, its name, or volumes."""
    if isinstance(one.layer, Input) and isinstance(other.layer, Input):
        if one.shape != other.shape:
            return Kind.CHANGED, one.shape.text(a.layout), other.shape.text(b.layout)
    elif one.layer != other.layer:
        return Kind.CHANGED, one.application.text, other.application.text
    if reads := _rewired(one, other, partner, a, b):
        return Kind.REWIRED, *reads
    if _NUMBERED.sub("", one.name) != _NUMBERED.sub("", other.name):
        return Kind.RENAMED, one.name, other.name
    if one.application != other.application:
        return Kind.RESHAPED, "", ""
    return None


def _rewired(one: Node, other: Node, partner: Mapping[int, int | None], a: Graph, b: Graph) -> tuple[str, str] | None:
    """What two layers read, if both read layers that stand for others; one that is new in between is no new wiring."""
    if (one.tied is None) != (other.tied is None) or (one.tied is not None and partner.get(one.tied) != other.tied):
        return tuple(  # type: ignore[return-value]  # there are two
            "weights of its own" if node.tied is None else f"the weights of {graph.nodes[node.tied].name}"
            for node, graph in ((one, a), (other, b))
        )
    known = set(partner.values())
    moved = [partner.get(i) for i in one.inputs]
    for was, now in zip(moved, other.inputs, strict=False):
        if was is not None and was != now and now in known:
            break
    else:
        if len(one.inputs) == len(other.inputs):
            return None
    return f"reads {_list(a, one)}", f"reads {_list(b, other)}"


def _list(graph: Graph, node: Node) -> str:
    return " and ".join(graph.nodes[i].name for i in node.inputs)


def _summary(nodes: Sequence[Node]) -> str:
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
        if change.kind is Kind.RESHAPED:
            key: object = change.kind, change.path.partition("/")[0]
        else:
            key = change.kind, _pattern(change.path), *_texts(change)
        groups.setdefault(key, []).append(change)
    return [_together(group) for group in groups.values()]


def _together(group: Sequence[Change]) -> Change:
    first = group[0]
    if len(group) == 1:
        return first
    path = first.path.partition("/")[0] if first.kind is Kind.RESHAPED else _pattern(first.path)
    cost = {name: sum((change.cost[name] for change in group), start=0) for name in first.cost}
    before, after = _texts(first)
    places = 1 if first.kind is Kind.RESHAPED else len(group)
    return Change(first.kind, before, after, path, sum(change.layers for change in group), places, cost)


def _texts(change: Change) -> tuple[str, str]:
    """What stood there and stands there, alike for all passes of a loop: with patterns where it's about names."""
    if change.kind in (Kind.RENAMED, Kind.REWIRED):
        before, after = (" ".join(map(_pattern, text.split(" "))) for text in (change.before, change.after))
        return before, after
    return change.before, change.after


def _pattern(path: str) -> str:
    """A path with `*` for what is a number only: the passes of loops."""
    return "/".join("*" if part.isdecimal() else part for part in path.split("/"))
