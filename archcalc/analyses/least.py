"""The least that a forward pass needs at once, when no backward pass follows: a floor under what programs hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from archcalc.analyses.lifetimes import Wire
from archcalc.analyses.memory import INDEX_BYTES, token_volumes, undone_pools, volume_bytes
from archcalc.analyses.registry import Facts, of_places, once
from archcalc.analyses.storages import places
from archcalc.graph import Application, Graph
from archcalc.symbolic import Dim, is_symbolic, maximum
from archcalc.symbolic.arithmetic import has_no_sign

COMPARED, LISTED = 16, 300
"""Of at most so many expressions it's found out which may be the largest, as well as can be and at a glance."""


class Lives(NamedTuple):
    """For each node whose memory its volume takes, how long that is used, and what is used no more after the node.

    How long is as far as it's known when the node has run. A pool's switches are under ~index.
    """

    homes: list[int]
    until: list[float]
    freed: list[list[Wire]]


def _decided(graph: Graph) -> Iterable[Facts]:
    where, lives = places(graph), _lives(graph)
    yield from (where.copied, where.scattered, undone_pools(graph), token_volumes(graph), _last_uses(graph))
    yield from lives


@of_places("least_bytes", _decided)
def least_bytes(graph: Graph, batch: Dim, dtype: str) -> list[Dim]:
    """For each node, the bytes of the volumes that have to be alive while it's computed, its own among them.

    All inputs are there at the start, layers are computed in the order of the graph. Volumes are freed after their last
    use, outputs never; every elementwise layer takes over a volume that nothing else will read. Weights aren't in it,
    nor what a layer needs for a while.
    """
    graph.spend(2, "following the memory of so many layers")
    own, lives = volume_bytes(graph, batch, dtype), _lives(graph)
    switches: dict[int, Dim] = {}
    for pool, shared in undone_pools(graph).values():  # of several that undo a pool the last one counts
        switches[pool] = graph.nodes[pool].shape.numel * batch * INDEX_BYTES * shared
    alive: Dim = sum(own[index] for index, node in enumerate(graph.nodes) if not node.inputs)
    result: list[Dim] = []
    for index, node in enumerate(graph.nodes):
        if node.inputs and lives.homes[index] == index:
            alive = alive + own[index]
        if index in switches:
            alive = alive + switches[index]
        result.append(alive)
        for wire in lives.freed[index]:
            alive = alive - (own[wire] if wire >= 0 else switches[~wire])
    return result


@once
def _lives(graph: Graph) -> Lives:
    where, uses, pools = places(graph), _last_uses(graph), undone_pools(graph)
    undone = {pool: unpool for unpool, (pool, _) in pools.items()}
    found, until, gone = Lives([], [], []), dict[Wire, float](), set[Wire]()
    for index, node in enumerate(graph.nodes):
        home = index
        if node.inputs:
            stays, fits = node.application.once(_in_place)
            read = found.homes[node.inputs[0]]
            if (stays and index not in where.copied) or (
                fits and until[read] <= index and node.inputs[0] not in where.scattered
            ):
                home = read
        until[home] = max(until.get(home, 0), uses[index])
        if index in undone:
            until[~index] = undone[index]
        touched = [home, *[found.homes[i] for i in node.inputs], *([~pools[index][0]] if index in pools else ())]
        freed = [wire for wire in dict.fromkeys(touched) if until[wire] <= index and wire not in gone]
        gone.update(freed)
        found.homes.append(home)
        found.until.append(until[home])
        found.freed.append(freed)
    return found


def _in_place(at: Application) -> tuple[bool, bool]:
    """Whether the output lies in the input's memory, and whether it may take its place."""
    return at.layer.is_view(*at.input_shapes, training=False), at.layer.in_place and at.layer.takes_all


def largest(values: Iterable[Dim]) -> Dim:
    """The most of several numbers of bytes; of expressions, a SymPy Max of those that may be the most.

    Which of two expressions is larger is a slow question. So those that have no larger term than another one go first,
    and if many are left, all of them stay.
    """
    distinct = dict.fromkeys(values)
    numbers = [value for value in distinct if not is_symbolic(value)]
    if len(numbers) == len(distinct):
        return max(numbers)
    import sympy

    distinct = dict.fromkeys(
        part for value in distinct for part in (value.args if isinstance(value, sympy.Max) else (value,))
    )
    rest = _undominated(list(dict.fromkeys(map(sympy.expand, distinct)))) if len(distinct) <= LISTED else distinct
    if len(rest) <= COMPARED:
        return maximum(*rest)
    found: Dim = sympy.Max(*rest, evaluate=False)
    return found


def _undominated(values: Sequence[Any]) -> list[Any]:
    """The values but those of which another one has at least as much of every term, as far as terms have a sign."""
    terms = [value.as_coefficients_dict() for value in values]
    positive = {term: has_no_sign(term) for several in terms for term in several}

    def is_below(own: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
        more = {term: other[term] - own[term] for term in {*own, *other}}
        return all(amount == 0 or (amount > 0 and positive[term]) for term, amount in more.items())

    return [
        value
        for value, own in zip(values, terms, strict=True)
        if not any(own is not other and is_below(own, other) for other in terms)
    ]


@once
def _last_uses(graph: Graph) -> list[float]:
    """After which node each volume is read no more; an output is read for ever."""
    uses: list[float] = list(range(len(graph.nodes)))
    for index, node in enumerate(graph.nodes):
        for i in node.inputs:
            uses[i] = index
    for index in graph.outputs.values():
        uses[index] = float("inf")
    return uses
