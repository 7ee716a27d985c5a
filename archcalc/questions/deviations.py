"""A network against the spec that says what it must stay: layer by layer, whatever its scopes are called.

Names don't matter, nor the order in which branches are written, nor layers that compute nothing when a network runs:
identities, dropout, other views of all values. What is left has to be the same: kinds and arguments, volumes, what a
layer reads and whose weights it has; so are parameters and multiply-adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from archcalc.errors import Diagnostic
from archcalc.graph import Graph, Input, Node
from archcalc.language.tree import MAX_DIAGNOSTICS, Source
from archcalc.layers import Layer
from archcalc.questions.changes import less, pattern, stretches, summary
from archcalc.questions.likeness import is_nothing, said
from archcalc.report import Report
from archcalc.tables.numbers import exact, signed
from archcalc.work import spend

QUANTITIES = {"params": "params", "macs": "MACs"}
STEPS = 20
"""Of work for each layer that is compared."""


def deviations(spec: Report, network: Report, name: str, text: Source | None = None) -> list[Diagnostic]:
    """What is different in a network, called `name`, from what a spec says: in the order of the spec.

    Layers that are the same on other volumes are told of where nothing else differs. `text` is the spec's.
    """
    spend(STEPS * (len(spec.graph) + len(network.graph)), "comparing networks")
    found = list(_found(spec.graph, network.graph))
    causes = [each for each in found if each.code != "E305"] or found[:1]
    groups: dict[object, list[_Found]] = {}
    for each in causes:
        groups.setdefault(_cause(each, spec.graph), []).append(each)
    told = [_diagnostic(group, spec, network, name, text) for group in groups.values()]
    rest = len(told) - MAX_DIAGNOSTICS
    return (
        told if rest <= 0 else [*told[:MAX_DIAGNOSTICS], Diagnostic("E001", f"stopped after {MAX_DIAGNOSTICS} errors")]
    )


def totals(spec: Report, network: Report, name: str) -> Iterator[str]:
    """A sentence for each total: that it's the spec's, or what that is."""
    for quantity, heading in QUANTITIES.items():
        one, other = spec.total(quantity), network.total(quantity)
        yield f"{name}: {exact(other)} {heading}, {'as the spec says' if one == other else f'not {exact(one)}'}"


class _Found(NamedTuple):
    """One difference: what the spec and the network have, as texts and as numbers of nodes, and where."""

    code: str
    before: str
    after: str
    path: str = ""
    spec: tuple[int, ...] = ()
    network: tuple[int, ...] = ()


def _found(spec: Graph, network: Graph) -> Iterator[_Found]:
    """All differences between two networks."""
    known: dict[object, int] = {}
    pairs = list(_paired(spec, _in_order(spec, known), network, _in_order(network, known)))
    matched = _Matched(spec, network, {one: other for one, other in pairs if one is not None and other is not None})
    missing = _scopes(spec, [one for one, other in pairs if other is None and one is not None])
    more = _scopes(network, [other for one, other in pairs if one is None and other is not None])
    for one, other in pairs:
        if one is not None and other is not None:
            if found := matched.difference(one, other):
                yield found
        elif one in missing:
            path, nodes = missing[one]
            yield _Found("E302", summary([spec.nodes[index] for index in nodes]), "", path, spec=nodes)
        elif other in more:
            path, nodes = more[other]
            yield _Found("E303", "", summary([network.nodes[index] for index in nodes]), path, network=nodes)
    yield from matched.outputs()


def _scopes(graph: Graph, alone: Sequence[int]) -> dict[int | None, tuple[str, tuple[int, ...]]]:
    """Layers that only one network has, by the first: one by one, or all of a scope that has no others."""
    inside = Counter(scope for node in graph.nodes if not is_nothing(node.application) for scope in _around(node.name))
    own = Counter(scope for index in alone for scope in _around(graph.nodes[index].name))
    found: dict[str, list[int]] = {}
    for index in alone:
        name = graph.nodes[index].name
        found.setdefault(next((each for each in _around(name) if own[each] == inside[each]), name), []).append(index)
    return {nodes[0]: (path, tuple(nodes)) for path, nodes in found.items()}


def _around(name: str) -> list[str]:
    """The scopes around a layer, from the outermost in."""
    return [name[:place] for place, letter in enumerate(name) if letter == "/"]


# --- which layer stands for which ------------------------------------------------------------------------------------


def _in_order(graph: Graph, known: dict[object, int]) -> list[int]:
    """The layers that compute something, each after what it reads, whatever the order in which branches are written.

    `known` numbers layers with all that they follow from, alike in both networks.
    """
    spend(STEPS * len(graph), "comparing networks")
    below = _below(graph, known)
    order, done = list[int](), set[int]()
    ahead = [index for index, node in enumerate(graph.nodes) if isinstance(node.layer, Input)]
    for end in (*ahead, *graph.outputs.values(), *range(len(graph.nodes))):
        waiting = [end]
        while waiting:
            index = waiting[-1]
            left = [each for each in below[index] if each not in done]
            if left:
                waiting.append(left[0])
                continue
            waiting.pop()
            if index not in done:
                done.add(index)
                order.append(index)
    inner = _inner(graph)
    return [index for index in order if index not in inner and not is_nothing(graph.nodes[index].application)]


def _inner(graph: Graph) -> set[int]:
    """Merges of which nothing but merges of the same sort read: sums of sums."""
    read, kept = set[int](), set(graph.outputs.values())
    for node in graph.nodes:
        for index in node.inputs:
            read.add(index)
            if not (node.layer.merges and node.layer == graph.nodes[index].layer):
                kept.add(index)
    return read - kept


def _below(graph: Graph, known: dict[object, int]) -> list[list[int]]:
    """What each layer reads; where it may come in any order, the longest way from an input first."""
    found, length, number = list[list[int]](), list[int](), list[int]()
    for node in graph.nodes:
        reads = list(node.inputs)
        if node.layer.commutes:
            reads.sort(key=lambda each: (-length[each], number[each]))
        nothing = bool(reads) and is_nothing(node.application)
        length.append(max((length[each] for each in reads), default=0) + (not nothing))
        key = said(node.application), *(number[each] for each in reads)
        number.append(number[reads[0]] if nothing else known.setdefault(key, len(known)))
        found.append(reads)
    return found


def _paired(
    spec: Graph, first: Sequence[int], network: Graph, second: Sequence[int]
) -> Iterator[tuple[int | None, int | None]]:
    """The layers of both, side by side: those that are equal, then of those between them those of one kind."""
    inputs = [
        [each for each in side if isinstance(graph.nodes[each].layer, Input)]
        for graph, side in ((spec, first), (network, second))
    ]
    rest = [
        [each for each in side if each not in ahead]
        for side, ahead in zip((first, second), map(set, inputs), strict=True)
    ]
    for number in range(max(map(len, inputs))):
        yield tuple(side[number] if number < len(side) else None for side in inputs)  # type: ignore[misc]
    one, other = rest
    for same, a, b in stretches(
        [said(spec.nodes[i].application) for i in one], [said(network.nodes[i].application) for i in other]
    ):
        left, right = one[slice(*a)], other[slice(*b)]
        if same:
            yield from zip(left, right, strict=True)
            continue
        for alike, c, d in stretches([spec.nodes[i].kind for i in left], [network.nodes[i].kind for i in right]):
            if alike or c[1] - c[0] == d[1] - d[0]:
                yield from zip(left[slice(*c)], right[slice(*d)], strict=True)
            else:
                yield from ((index, None) for index in left[slice(*c)])
                yield from ((None, index) for index in right[slice(*d)])


# --- what is different -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Matched:
    """Two networks, and for layers of the first those of the second that stand for them."""

    spec: Graph
    network: Graph
    partner: Mapping[int, int]

    def difference(self, one: int, other: int) -> _Found | None:
        """The weightiest of two layers that stand for each other."""
        at: Any = self.network.nodes[other].name, (one,), (other,)
        was, now = self.spec.nodes[one], self.network.nodes[other]
        if said(was.application) != said(now.application) or (not was.inputs and was.shape != now.shape):
            return _Found("E301", _text(was), _text(now), *at)
        if (None if was.tied is None else self.partner.get(was.tied), was.reuses) != (now.tied, now.reuses):
            return _Found("E304", _weights(self.spec, was), _weights(self.network, now), *at)
        if not self._same(was.inputs, now.inputs, was.layer):
            return _Found("E304", f"reads {_list(self.spec, was)}", f"reads {_list(self.network, now)}", *at)
        reads = [was.shape, now.shape] if was.layer.merges else [each.application.input_shapes for each in (was, now)]
        if reads[0] != reads[1] or was.shape != now.shape:
            return _Found("E305", _volumes(was), _volumes(now), *at)
        return None

    def outputs(self) -> Iterator[_Found]:
        """That other volumes are given out."""
        if not self._same([*self.spec.outputs.values()], [*self.network.outputs.values()]):
            texts = (
                f"gives out {', '.join(graph.nodes[i].name for i in graph.outputs.values())}"
                for graph in (self.spec, self.network)
            )
            yield _Found("E304", next(texts), next(texts))

    def _same(self, was: Sequence[int], now: Sequence[int], layer: Layer | None = None) -> bool:
        """Whether volumes stand for each other, but for layers on the way that only one network has."""
        first = [self.partner.get(_origin(self.spec, i, self.partner), -1) for i in _merged(self.spec, was, layer)]
        second = [_origin(self.network, i, self._stand) for i in _merged(self.network, now, layer)]
        return sorted(first) == sorted(second) if layer is not None and layer.commutes else first == second

    @cached_property
    def _stand(self) -> frozenset[int]:
        return frozenset(self.partner.values())


def _origin(graph: Graph, index: int, known: Collection[int]) -> int:
    """The nearest layer that is known, upwards along main inputs."""
    while index not in known and graph.nodes[index].inputs:
        index = graph.nodes[index].inputs[0]
    return index


def _merged(graph: Graph, inputs: Sequence[int], layer: Layer | None) -> list[int]:
    """What is merged in the end: of what a merge of the same sort has made, all that went into that."""
    found, left = list[int](), list(reversed(inputs))
    while left:
        index = left.pop()
        node = graph.nodes[index]
        if is_nothing(node.application) and node.inputs:
            left.append(node.inputs[0])
        elif layer is not None and layer.merges and node.layer == layer:
            left += reversed(node.inputs)
        else:
            found.append(index)
    return found


def _text(node: Node) -> str:
    return node.application.text if node.inputs else f"{node.kind} {node.shape.text()}"


def _list(graph: Graph, node: Node) -> str:
    return " and ".join(graph.nodes[index].name for index in node.inputs)


def _weights(graph: Graph, node: Node) -> str:
    return "has weights of its own" if node.tied is None else f"has the weights of {graph.nodes[node.tied].name}"


def _volumes(node: Node) -> str:
    return f"{' and '.join(shape.text() for shape in node.application.input_shapes)} → {node.shape.text()}"


# --- what is said about it -------------------------------------------------------------------------------------------


def _cause(found: _Found, spec: Graph) -> object:
    """What makes differences one: the place in the spec, or, of what it doesn't have, the place in each pass."""
    place = (spec.nodes[found.spec[0]].mark if found.spec else None) or pattern(found.path)
    texts = (pattern(found.before), pattern(found.after)) if found.code == "E304" else (found.before, found.after)
    return found.code, place, texts


def _diagnostic(group: Sequence[_Found], spec: Report, network: Report, name: str, text: Source | None) -> Diagnostic:
    """The same difference in one place or several."""
    first = group[0]
    mark = spec.graph.nodes[first.spec[0]].mark if first.spec else None
    path = pattern(first.path) if len(group) > 1 else first.path
    line = text.line(mark) if text is not None and mark is not None and mark.file == text.file else ""
    message = {
        "E301": f"{first.before} is {first.after} in {name}: {path}",
        "E302": f"{first.before} isn't in {name}: {path}",
        "E303": f"{first.after} is in {name} alone: {path}",
        "E304": f"{path or name} {first.after}, where the spec's {first.before}",
        "E305": f"{path} is on other volumes in {name}: {first.after}, not {first.before}",
    }[first.code]
    times = "" if len(group) == 1 else f", {len(group):,} times"
    return Diagnostic(first.code, f"{message}{times}{_cost(group, spec, network)}", mark, source_line=line)


def _cost(group: Sequence[_Found], spec: Report, network: Report) -> str:
    """What it changes in the totals, in brackets."""
    one, other = [i for each in group for i in each.spec], [i for each in group for i in each.network]
    shown = []
    for quantity, heading in QUANTITIES.items():
        amount = less(network.over(quantity, other), spec.over(quantity, one))
        shown += [f"{signed(amount)} {heading}"] if amount != 0 else []
    return f" ({', '.join(shown)})" if shown else ""
