"""Depth: weight layers on the longest path.

The law. A *way* says how long the longest path to a volume is, from each volume that enters and from inside; longer
ways win, and ways one after the other add up. A layer lengthens all that it reads by itself, except what it reads as a
gate. A composite's ways are its items' put together; of its volumes that nobody reads, the ends of paths, only the
longest counts. A repeat's pass lengthens what it hands on by the same each time, or begins anew: with a the way from
pass to pass and b all other ways to what a pass returns, n passes give max(n·a, (n-1)·a + b). What enters the last pass
is never shorter than what entered one before it, except the first.

A path that ends at a volume that somebody reads on it isn't the longest, and where everybody reads it as a gate it
doesn't count: so only volumes that nobody reads are ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archcalc.analyses.registry import of_scope
from archcalc.graph import Application, Composite, Graph, Repeat
from archcalc.graph.composite import OUTPUT, Call, exits, passes, shared_exits
from archcalc.symbolic import Dim, is_symbolic, maximum
from archcalc.work import spend

INSIDE = -1
Way = Mapping[int, Dim]
"""The most weight layers on a path from each entering volume, or from inside (-1)."""
Ways = tuple[Mapping[int, Way], Way]
"""Those to the volumes that are read from outside, and to all that nobody reads."""
NOWHERE: Way = {}


@of_scope("depth")
def depth(graph: Graph, path: str = "") -> Dim:
    """Weight layers on the longest path through the graph, or through one scope of it; gates are beside it.

    Squeeze and excitation leaves ResNet-50 the 50 layers of its name (Hu et al. 2018, table 1).
    """
    if path:
        return _depth_of_scope(graph, path)
    _, ends = _ways(graph.tree.body, frozenset())
    return maximum(*ends.values())


def _gates(at: Application) -> tuple[int, ...]:
    return at.layer.gates(*at.input_shapes)


def _ways(call: Call, seen: frozenset[int]) -> Ways:
    """The longest ways to what is `seen` from outside, and to the ends of paths."""
    if isinstance(call, Application):
        own, gates = int(call.layer.weight_layer), call.once(_gates)
        way = {INSIDE: own} | {place: own for place in range(len(call.input_shapes)) if place not in gates}
        return ({0: way}, NOWHERE) if seen == OUTPUT else ({}, way)
    if isinstance(call, Repeat):
        return call.once((_ways, seen), lambda: _of_repeat(call, seen))
    return call.once((_ways, seen), lambda: _of_composite(call, seen))


def _of_composite(composite: Composite, seen: frozenset[int]) -> Ways:
    spend(2 * len(composite.items), "finding the longest path through so many layers")
    known: dict[int, Way] = {}
    ends = NOWHERE
    for item, start, read in zip(composite.items, composite.starts, exits(composite, seen), strict=True):
        entering = [known[wire] if wire >= 0 else {~wire: 0} for wire in item.read]
        found, ended = _ways(item.call, read)
        known.update((start + wire, _after(entering, way)) for wire, way in found.items())
        ends = _longer(ends, _after(entering, ended))
    return {wire: known[wire] for wire in seen}, ends


def _of_repeat(repeat: Repeat, seen: frozenset[int]) -> Ways:
    entering: list[Way] = [{place: 0} for place in range(repeat.entering)]
    known: dict[int, Way] = {}
    ends, begun = NOWHERE, 0
    for number, read in passes(repeat, seen).items():
        if number > begun:
            between = repeat.times - 1 if is_symbolic(repeat.times) else number - begun
            ends = _longer(ends, _through(repeat, between, entering))
        found, ended = _ways(repeat.body, read)
        ends = _longer(ends, _after(entering, ended))
        start = number * repeat.body.size
        known.update((start + wire, _after(entering, way)) for wire, way in found.items())
        if shared_exits(repeat) and number < repeat.count - 1:
            entering[repeat.chained] = known[start + repeat.output]
        begun = number + 1
    return {wire: known[wire] for wire in seen}, ends


def _through(repeat: Repeat, count: Dim, entering: list[Way]) -> Way:
    """Let `count` passes of which nobody reads anything else lengthen what enters; the ways to their ends."""
    found, ended = _ways(repeat.body, shared_exits(repeat))
    ends = _after(entering, ended)
    if not shared_exits(repeat):
        return ends
    step, anew = found[repeat.output].get(repeat.chained), dict(found[repeat.output])
    anew.pop(repeat.chained, None)
    first, others = entering[repeat.chained], _after(entering, anew)

    def after(passes: Dim) -> Way:
        if passes == 0:
            return first
        if step is None:
            return others
        return _longer(_longest_by(first, passes * step), _longest_by(others, (passes - 1) * step))

    entering[repeat.chained] = after(count - 1)
    ends = _longer(ends, _after(entering, ended))
    entering[repeat.chained] = after(count)
    return ends


def _after(entering: Sequence[Way], way: Way) -> Way:
    """A way, of which each part goes on from the ways by which that volume is reached."""
    found: dict[int, Dim] = {}
    for place, length in way.items():
        for origin, before in ({INSIDE: 0} if place == INSIDE else entering[place]).items():
            longer = before + length
            found[origin] = maximum(found[origin], longer) if origin in found else longer
    return found


def _longest_by(way: Way, more: Dim) -> Way:
    return {place: length + more for place, length in way.items()}


def _longer(one: Way, other: Way) -> Way:
    if not one or not other:
        return one or other
    both = {place: maximum(length, other[place]) for place, length in one.items() if place in other}
    return {**one, **other, **both}


def _depth_of_scope(graph: Graph, path: str) -> int:
    """The same within a scope, whose volumes may only serve gates: a walk."""
    graph.spend(2, "finding the longest path through so many layers")
    scope = {*graph.indices(path)}
    longest: list[int] = []
    for index, node in enumerate(graph.nodes):
        gates = node.application.once(_gates)
        before = max((longest[i] for k, i in enumerate(node.inputs) if k not in gates), default=0)
        longest.append(before + (index in scope and node.layer.weight_layer))
    beside = _beside(graph)
    on_path = [index for index in scope if not beside[index]]
    return max(longest[index] for index in on_path or range(len(longest)))


def _beside(graph: Graph) -> list[bool]:
    """Of each node whether it only serves to compute gates."""
    used, on_path = [False] * len(graph.nodes), [False] * len(graph.nodes)
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        on_path[index] = on_path[index] or not used[index]
        gates = node.application.once(_gates)
        for k, i in enumerate(node.inputs):
            used[i] = True
            on_path[i] = on_path[i] or (on_path[index] and k not in gates)
    return [not on for on in on_path]
