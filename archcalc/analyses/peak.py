"""What the exported program holds at once when no backward pass follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archcalc.analyses.lifetimes import Wire, held_until
from archcalc.analyses.memory import INDEX_BYTES, token_volumes, undone_pools, volume_bytes
from archcalc.analyses.registry import Facts, of_places, once
from archcalc.analyses.saved import width_bytes
from archcalc.analyses.storages import homes, places
from archcalc.graph import FORMULA, Application, Graph
from archcalc.layers.kept import Moments, Width
from archcalc.symbolic import Dim
from archcalc.work import spend


def _decided(graph: Graph) -> Iterable[Facts]:
    where = places(graph)
    yield from (where.overwriting, where.copied, where.scattered, homes(graph))
    yield from (undone_pools(graph), token_volumes(graph), _lifetimes(graph), _last_moments(graph))


@of_places("peak_bytes", _decided)
def held_bytes(graph: Graph, batch: Dim, dtype: str) -> list[tuple[Dim, ...]]:
    """For each node, the bytes of all tensors that are alive while it runs, at each moment that may be its most.

    The program is the one that `archcalc export` writes, in eval mode and without gradients. Its inputs are there from
    start to end, volumes as long as `lifetimes` says, and views hold all that they are views of. Parameters and buffers
    aren't in it, nor the scratch memory of kernels.
    """
    graph.spend(5, "following the memory of so many layers")
    volumes, undone, tokens = volume_bytes(graph, batch, dtype), undone_pools(graph), token_volumes(graph)
    lies_in = homes(graph)
    sizes = {home: volumes[home] for home in lies_in}
    sizes |= {~pool: graph.nodes[pool].shape.numel * batch * INDEX_BYTES * shared for pool, shared in undone.values()}
    freed_after: list[list[Wire]] = [[] for _ in graph.nodes]
    for home, last in _last_moments(graph).items():
        freed_after[last].append(home)
    widths = {width: width_bytes(width, dtype) for width in Width}
    of_numbers = {**widths, Width.value: INDEX_BYTES}
    known: dict[tuple[Application, bool], tuple[Dim, ...]] = {}
    alive: Dim = sum(size for home, size in sizes.items() if home >= 0 and not graph.nodes[home].inputs)
    result: list[tuple[Dim, ...]] = []
    for index, node in enumerate(graph.nodes):
        if node.inputs and lies_in[index] == index:
            key = node.application, index in tokens
            if key not in known:
                spend(2 * FORMULA, "working out so many different layers")
                known[key] = _moments(node.application, of_numbers if key[1] else widths, batch)
            moments = known[key]
            if index in undone:  # with switches, an unpooling layer makes zeros, and of those its volume
                shared = undone[index][1]
                moments = tuple([2 * volumes[index] * shared + made * (1 - shared) for made in moments])
            result.append(tuple([alive + made for made in moments]))
            alive = alive + sizes[index] + sizes.get(~index, 0)
        else:
            result.append((alive,))
        for home in freed_after[index]:
            alive = alive - sizes[home]
    return result


@once
def _lifetimes(graph: Graph) -> Mapping[Wire, int]:
    return held_until(graph, {unpool: pool for unpool, (pool, _) in undone_pools(graph).items()})


@once
def _last_moments(graph: Graph) -> Mapping[Wire, int]:
    """After which node each memory is free: the last one at which a variable names it, or a view of it."""
    until, last = _lifetimes(graph), dict[Wire, int]()
    for index, home in enumerate(homes(graph)):
        needed = until.get(index, index if graph.nodes[index].inputs else len(graph.nodes) - 1)
        last[home] = max(last.get(home, 0), needed)
    return last | {wire: needed for wire, needed in until.items() if wire < 0}


def _moments(at: Application, widths: Mapping[Width, int], batch: Dim) -> tuple[Dim, ...]:
    """The bytes that a layer makes at each of the moments that may be its most."""
    found = (
        sum(amount * widths[width] * (batch if per_example else 1) for amount, width, per_example in moment)
        for moment in at.once(_working)
    )
    return tuple(dict.fromkeys(found))


def _working(at: Application) -> Moments:
    return at.layer.working(*at.input_shapes)
