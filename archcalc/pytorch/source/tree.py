"""The graph's names as a tree of scopes, each with the tensors that enter and leave it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from archcalc.graph import Graph, Node

Wire: TypeAlias = "tuple[int, int]"
"""A tensor: the index of its node, and 0, or 1 for the switches that a max-pool keeps."""


@dataclass(eq=False)
class Leaf:
    """One layer."""

    name: str
    node: Node
    index: int
    reads: list[Wire]
    makes: list[Wire]


@dataclass(eq=False)
class Branch:
    """A scope: its parts in order, what they read from outside, and which of their results are read outside."""

    name: str
    path: str
    parts: list[Part] = field(default_factory=list)
    reads: list[Wire] = field(default_factory=list)
    makes: list[Wire] = field(default_factory=list)
    is_run: bool = False
    """No scope of the names, but equal scopes that `forward` runs through in a loop, handing on what each makes."""


Part: TypeAlias = "Leaf | Branch"


def tree_of(graph: Graph, pools: dict[int, int]) -> Branch:
    """The tree of a graph's scopes; `pools` maps each unpooling node to the pool whose switches it reads."""
    root = Branch("", "")
    scopes = {"": root}
    for index, node in enumerate(graph.nodes):
        if not node.inputs:
            continue
        scope, _, name = node.name.rpartition("/")
        reads = [(i, 0) for i in node.inputs] + ([(pools[index], 1)] if index in pools else [])
        makes = [(index, 0)] + ([(index, 1)] if index in pools.values() else [])
        _scope(scopes, scope).parts.append(Leaf(name, node, index, reads, makes))
    wanted = [(index, 0) for index in graph.outputs.values()]
    _connect(root, set(wanted))
    root.reads = [(index, 0) for index in range(len(graph.inputs))]
    root.makes = wanted
    return root


def _scope(scopes: dict[str, Branch], path: str) -> Branch:
    if path not in scopes:
        outer, _, name = path.rpartition("/")
        scopes[path] = Branch(name, path)
        _scope(scopes, outer).parts.append(scopes[path])
    return scopes[path]


def _connect(branch: Branch, wanted: set[Wire]) -> None:
    """Find what each scope reads and makes; `wanted` is what is read after or around it."""
    later = set(wanted)
    for part in reversed(branch.parts):
        if isinstance(part, Branch):
            _connect(part, later)
        later |= set(part.reads)
    inside = set(made_in(branch))
    reads = (wire for part in branch.parts for wire in part.reads if wire not in inside)
    branch.reads = list(dict.fromkeys(reads))
    branch.makes = [wire for wire in made_in(branch) if wire in wanted]


def made_in(part: Part) -> Iterator[Wire]:
    """Everything that is made inside a scope."""
    if isinstance(part, Leaf):
        yield from part.makes
        return
    for inner in part.parts:
        yield from made_in(inner)


def readers(branch: Branch) -> dict[Wire, list[int]]:
    """Which of a scope's parts read each volume, by their places."""
    found: dict[Wire, list[int]] = {}
    for number, part in enumerate(branch.parts):
        for wire in dict.fromkeys(part.reads):
            found.setdefault(wire, []).append(number)
    return found


def is_chain(branch: Branch) -> bool:
    """Whether each part reads what the one before it makes, and nothing else leaves or enters."""
    if len(branch.reads) != 1 or len(branch.makes) != 1:
        return False
    entering, reading = branch.reads[0], readers(branch)
    for part in branch.parts:
        if part.reads != [entering] or len(part.makes) != 1 or len(reading[entering]) > 1:
            return False
        entering = part.makes[0]
    return branch.makes == [entering]
