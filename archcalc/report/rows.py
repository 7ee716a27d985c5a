"""Which layers share a row: all on their own, those in place with the volume they work on, or whole scopes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from archcalc.graph import Application, Graph


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: the layers in it, as indices of the graph's nodes, and the node whose volume it shows."""

    name: str
    nodes: tuple[int, ...]
    output: int


def entries(graph: Graph, every: bool = False, depth: int = 0) -> Iterator[Entry]:
    """The rows of a table, in the order of the graph; every layer is in exactly one of them.

    With `depth` there's a row for each scope at that depth, with `every` one for each layer, else one for each volume.
    """
    graph.spend(1, "dividing so many layers into rows")
    if depth:
        return _by_scope(graph, depth)
    if every:
        return (Entry(node.name, (index,), index) for index, node in enumerate(graph.nodes))
    return _by_volume(graph)


def applications(graph: Graph, entry: Entry) -> tuple[Application, ...]:
    """The layers of a row, applied to their shapes; equal rows give equal tuples."""
    nodes = graph.nodes
    return tuple([nodes[index].application for index in entry.nodes])


def homes(graph: Graph) -> list[int]:
    """For each node the one that makes its volume: itself, or the one whose volume a layer in place works on."""
    found: list[int] = []
    for index, node in enumerate(graph.nodes):
        in_place = node.application.layer.in_place and node.inputs
        found.append(found[node.inputs[0]] if in_place else index)
    return found


def _by_volume(graph: Graph) -> Iterator[Entry]:
    nodes, home = graph.nodes, homes(graph)
    riders: dict[int, list[int]] = {}
    for index, maker in enumerate(home):
        if maker != index:
            riders.setdefault(maker, []).append(index)
    makers = [index for index, maker in enumerate(home) if maker == index]
    before = ""
    for number, index in enumerate(makers):
        after = nodes[makers[number + 1]].name if number + 1 < len(makers) else ""
        name = nodes[index].name
        yield Entry(_widest_name(graph, home, index, before, after), (index, *riders.get(index, ())), index)
        before = name


def _widest_name(graph: Graph, home: list[int], index: int, before: str, after: str) -> str:
    """The name of the largest scope that makes no other volume and gives out this one: `conv1` for `conv1/conv`.

    A scope's layers stand together, so the neighbours tell whether it makes other volumes.
    """
    name = graph.nodes[index].name
    while "/" in name:
        scope = name.rpartition("/")[0]
        inside = scope + "/"
        if before.startswith(inside) or after.startswith(inside):
            break
        output = graph.places.get(scope)
        if output is None or home[output] != index:
            break
        name = scope
    return name


def _by_scope(graph: Graph, depth: int) -> Iterator[Entry]:
    nodes, depth = graph.nodes, min(depth, max(node.name.count("/") for node in graph.nodes) + 1)
    for name, members in groupby(
        range(len(nodes)), lambda index: "/".join(nodes[index].name.split("/", depth)[:depth])
    ):
        indices = tuple(members)
        yield Entry(name, indices, graph.places.get(name, indices[-1]))
