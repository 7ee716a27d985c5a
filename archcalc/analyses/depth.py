"""Depth: weight layers on the longest path.

The law. A *way* says how long the longest path to a volume is, from each volume that enters and from inside; longer
ways win, and ways one after the other add up. A layer lengthens all that it reads by itself, except what it reads as a
gate. A composite's ways are its items' put together; of its volumes that nobody reads, the ends of paths, only the
longest counts. A repeat's pass lengthens what it hands on by the same each time, or begins anew: with a the way from
pass to pass and b all other ways to what a pass returns, n passes give max(n·a, (n-1)·a + b). What enters the last pass
is never shorter than what entered one before it, except the first. Where a and b change from pass to pass, the a's are
summed up, and the b's are compared.

A path that ends at a volume that somebody reads on it isn't the longest, and where everybody reads it as a gate it
doesn't count: so only volumes that nobody reads are ends.

The depth of a scope is that of the longest path that begins in it, and goes on to an end of the whole, where layers
outside of the scope lengthen nothing. So it's the same law, with nothing that begins outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from archcalc.analyses.registry import of_scope
from archcalc.graph import MAX_LAYERS, Application, Composite, Graph, Repeat, TooManyLayers
from archcalc.graph.composite import OUTPUT, Call, exits, over_passes, passes, shared_exits
from archcalc.symbolic import Dim, is_never_negative, is_symbolic, maximum
from archcalc.symbolic.sums import tidy
from archcalc.work import spend

INSIDE = -1
Way = Mapping[int, Dim]
"""The most weight layers on a path from each entering volume, or from inside (-1)."""
Ways = tuple[Mapping[int, Way], Way]
"""Those to the volumes that are read from outside, and to all that nobody reads."""
NOWHERE: Way = {}
BESIDE = 10
"""Steps for each layer beside the paths."""
Spans = tuple[tuple[int, int], ...]
"""Where a scope lies in a part: its first wire and the first one after it, where names alone make the scope several."""


@of_scope("depth")
def depth(graph: Graph, path: str = "") -> Dim:
    """Weight layers on the longest path through the graph, or through one scope of it; gates are beside it.

    Squeeze and excitation leaves ResNet-50 the 50 layers of its name (Hu et al. 2018, table 1).
    """
    if path != "" and graph.is_open:
        len(graph)  # fails: a scope's depth has no formula
    scope = _spans(graph, path) if path != "" else ((0, graph.tree.body.size),)
    _, ends = graph.in_closed_form("depth", lambda: _ways(graph.tree.body, frozenset(), scope))
    return ends[INSIDE] if ends else _longest_beside(graph, scope)


def _gates(at: Application) -> tuple[int, ...]:
    return at.layer.gates(*at.input_shapes)


def _ways(call: Call, seen: frozenset[int], scope: Spans) -> Ways:
    """The longest ways to what is `seen` from outside, and to the ends of paths."""
    if isinstance(call, Application):
        own, gates = int(bool(scope) and call.layer.weight_layer), call.once(_gates)
        way = {place: own for place in range(len(call.input_shapes)) if place not in gates}
        way |= {INSIDE: own} if scope else {}
        return ({0: way}, NOWHERE) if seen == OUTPUT else ({}, way)
    law = _of_repeat if isinstance(call, Repeat) else _of_composite
    return call.once((_ways, seen, scope), lambda: law(call, seen, scope))  # type: ignore[arg-type]


def _clipped(scope: Spans, start: int, size: int) -> Spans:
    """Where a scope lies in a part of what it lies in."""
    spans = ((max(first - start, 0), min(end - start, size)) for first, end in scope)
    return tuple([span for span in spans if span[0] < span[1]])


def _of_composite(composite: Composite, seen: frozenset[int], scope: Spans) -> Ways:
    spend(2 * len(composite.items), "finding the longest path through so many layers")
    known: dict[int, Way] = {}
    ends = NOWHERE
    for item, start, read in zip(composite.items, composite.starts, exits(composite, seen), strict=True):
        entering = [known[wire] if wire >= 0 else {~wire: 0} for wire in item.read]
        found, ended = _ways(item.call, read, _clipped(scope, start, item.call.size))
        known.update((start + wire, _after(entering, way)) for wire, way in found.items())
        ends = _longer(ends, _after(entering, ended))
    return {wire: known[wire] for wire in seen}, ends


def _of_repeat(repeat: Repeat, seen: frozenset[int], scope: Spans) -> Ways:
    size = repeat.body.size
    entering: list[Way] = [{place: 0} for place in range(repeat.entering)]
    known: dict[int, Way] = {}
    ends, begun = NOWHERE, 0
    others = _clipped(scope, 0, size) if scope == ((0, repeat.size),) else ()
    for number, read in _with_scope(repeat, passes(repeat, seen), () if others else scope).items():
        if number > begun:
            between = repeat.times - 1 if repeat.is_open else number - begun
            ends = _longer(ends, _through(repeat, between, entering, others))
        start = number * size
        found, ended = _ways(repeat.laid(number), read, _clipped(scope, start, size))
        ends = _longer(ends, _after(entering, ended))
        known.update((start + wire, _after(entering, way)) for wire, way in found.items())
        if shared_exits(repeat) and number < repeat.count - 1:
            entering[repeat.chained] = known[start + repeat.output]
        begun = number + 1
    if repeat.is_open and is_symbolic(repeat.times) and not is_never_negative(repeat.times - 1):
        known = {wire: _with_passes(way, repeat.times) for wire, way in known.items()}
        ends = _with_passes(ends, repeat.times)
    return {wire: known[wire] for wire in seen}, ends


def _with_passes(way: Way, times: Any) -> Way:
    """The lengths of a way as they are where there are passes, without the maxima that are decided then.

    Of none, that makes of what begins in them something that isn't longer than nothing.
    """
    import sympy

    def settled(length: Any) -> Dim:
        for symbol in times.free_symbols if is_symbolic(length) and length.has(sympy.Max) else ():
            if isinstance(more := tidy(times - symbol), int):
                there = length.xreplace({symbol: symbol - more}).replace(sympy.Max, maximum)
                return tidy(there.xreplace({symbol: symbol + more}))
        return length  # type: ignore[no-any-return]  # a size

    return {origin: settled(length) for origin, length in way.items()}


def _with_scope(repeat: Repeat, special: dict[int, frozenset[int]], scope: Spans) -> dict[int, frozenset[int]]:
    """The passes that aren't like the others, with those in which a scope lies."""
    size, common = repeat.body.size, shared_exits(repeat)
    inside = {number for first, end in scope for number in range(first // size, (end - 1) // size + 1)}
    return {number: special.get(number, common) for number in sorted({*special, *inside})}


def _through(repeat: Repeat, count: Dim, entering: list[Way], scope: Spans) -> Way:
    """Let `count` passes of which nobody reads anything else lengthen what enters; the ways to their ends."""
    found, ended = _ways(repeat.body, shared_exits(repeat), scope)
    if not shared_exits(repeat):
        return _after(entering, _last(repeat, ended, count))
    ends = _after(entering, _last(repeat, ended, 1))
    step, anew = found[repeat.output].get(repeat.chained), dict(found[repeat.output])
    anew.pop(repeat.chained, None)
    first, others = entering[repeat.chained], _after(entering, anew)

    def after(passes: Dim) -> Way:
        if passes == 0:
            return first
        begun = {origin: _begun(repeat, step, length, passes) for origin, length in others.items()}
        if step is None:
            return begun
        return _longer(_longest_by(first, over_passes(repeat, step, 1, passes)), begun)

    entering[repeat.chained] = after(count - 1)
    ends = _longer(ends, _after(entering, _last(repeat, ended, count)))
    entering[repeat.chained] = after(count)
    return ends


def _last(repeat: Repeat, way: Way, number: Dim) -> Way:
    """The longest way of this kind in the passes up to one of them.

    Raises: NoSum: it isn't known which pass has it.
    """
    if repeat.index is None:
        return way
    from archcalc.symbolic.sums import greatest  # few passes change

    return {origin: greatest(length, repeat.index, 1, number) for origin, length in way.items()}


def _begun(repeat: Repeat, step: Dim | None, length: Dim, count: Dim) -> Dim:
    """The longest of the ways that begin in one of `count` passes, with this length, and go on through those after it.

    Raises: NoSum: it isn't known in which.
    """
    if repeat.index is None:
        return length if step is None else length + (count - 1) * step
    from archcalc.symbolic.sums import NoSum, at, rises

    here, before = at(length, repeat.index, count), at(length, repeat.index, 1)
    if step is None:
        return here
    more = at(length, repeat.index, repeat.index + 1) - length - at(step, repeat.index, repeat.index + 1)
    if rises(-more):
        return before + over_passes(repeat, step, 2, count)
    if rises(more):
        return here
    raise NoSum(f"the longest path may begin in any pass: {length} layers, of {step}")


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


def _spans(graph: Graph, path: str) -> Spans:
    """Where a scope lies in the whole."""
    if place := graph.part(path):
        return ((place.start, place.start + place.call.size),)
    return tuple([(index, index + 1) for index in graph.indices(path)])


def _longest_beside(graph: Graph, scope: Spans) -> int:
    """The most weight layers on a path in a scope that only serves gates: a walk, since any layer may be the last."""
    if (size := sum(end - start for start, end in scope)) > MAX_LAYERS:
        raise TooManyLayers(graph.name, size)
    spend(BESIDE * size, "finding the longest path through so many layers")
    longest: dict[int, int] = {}
    for index in chain.from_iterable(range(*span) for span in scope):
        node = graph.node(index)
        gates = node.application.once(_gates)
        before = max((longest.get(i, 0) for place, i in enumerate(node.inputs) if place not in gates), default=0)
        longest[index] = before + node.layer.weight_layer
    return max(longest.values(), default=0)
