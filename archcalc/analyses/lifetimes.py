"""How long an exported program holds each volume, by the law that programs are written by.

- Every scope of the graph's tree is a module with a `forward` of its own. What it reads from outside are its
  arguments, which its caller holds until it returns; the network's inputs are held to the end.
- A step's result takes over the variable of the first of the forward's own volumes, in the order in which the step
  reads, that nothing later in the forward needs. Of several results the last one does; one that nobody reads has no
  variable.
- Any other variable stays until the forward returns.

`pytorch/source/writer.py` writes by this law, and tests hold both to it with a meter of memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from archcalc.graph import Application, Graph, Node, Repeat
from archcalc.graph.composite import Call

Wire: TypeAlias = int
"""A node's output as its index, and the switches of a max-pool as ~index."""
Part: TypeAlias = int
"""A step of a forward: a layer as its index, a scope as ~number."""


@dataclass(slots=True)
class Scopes:
    """The scopes of a graph's tree, by number, the whole network as 0: in which one each lies, and which nodes."""

    of_node: list[int] = field(default_factory=list)
    outer: list[int] = field(default_factory=lambda: [0])
    depth: list[int] = field(default_factory=lambda: [0])
    first: list[int] = field(default_factory=lambda: [0])
    last: list[int] = field(default_factory=lambda: [0])

    def meeting(self, maker: int, reader: int) -> tuple[int, Part]:
        """The innermost scope with both nodes, and the step of its forward that reads."""
        outer, depth = self.outer, self.depth
        above, below, reading = self.of_node[maker], self.of_node[reader], reader
        while above != below:
            if depth[above] > depth[below]:
                above = outer[above]
            else:
                reading, below = ~below, outer[below]
        return above, reading


def scopes_of(graph: Graph) -> Scopes:
    """The scopes of a graph; the nodes of each stand one after the other."""
    found = Scopes(last=[len(graph) - 1])
    for item in graph.tree.body.items:
        _enter(item.call, 0, found)
    return found


def _enter(call: Call, around: int, found: Scopes) -> None:
    """Note the layers and scopes of a part that lies in a scope."""
    if isinstance(call, Application):
        found.of_node.append(around)
    elif isinstance(call, Repeat):
        for _ in range(call.count if call.size else 0):
            _enter(call.body, around, found)
    elif call.size:
        number, first = len(found.outer), len(found.of_node)
        found.outer.append(around)
        found.depth.append(found.depth[around] + 1)
        found.first.append(first)
        found.last.append(first + call.size - 1)
        for item in call.items:
            _enter(item.call, number, found)


def held_until(graph: Graph, pools: Mapping[int, int]) -> dict[Wire, int]:
    """Of each volume and of the switches that an unpooling layer reads, the last node to run while it is held.

    `pools` maps unpooling layers to the pools that they undo.
    """
    nodes, scopes, end = graph.nodes, scopes_of(graph), len(graph.nodes) - 1
    last_use = {wire: index for index, node in enumerate(nodes) for wire in _reads(index, node, pools)}
    last_use |= dict.fromkeys(graph.outputs.values(), end + 1)
    until: dict[Wire, int] = {}
    last_step: dict[Wire, Part] = {}
    with_result: set[Part] = {max(wire, ~wire) for wire in last_use}  # layers that somebody reads, and scopes
    for wire, reader in last_use.items():
        maker = max(wire, ~wire)
        scope, reading = (0, 0) if reader > end else scopes.meeting(maker, reader)
        until[wire] = scopes.last[scope]
        inner = scopes.of_node[maker]
        while inner != scope:
            with_result.add(~inner)
            inner = scopes.outer[inner]
        if reader <= end and nodes[maker].inputs:
            last_step[wire] = reading
    for wire in _taken_over(nodes, pools, scopes, last_step, with_result):
        step = last_step[wire]
        until[wire] = step if step >= 0 else scopes.last[~step]
    return until


def _taken_over(
    nodes: Sequence[Node],
    pools: Mapping[int, int],
    scopes: Scopes,
    last_step: Mapping[Wire, Part],
    with_result: set[Part],
) -> Iterator[Wire]:
    """The volumes whose variable goes over to the result of the last step that reads them."""
    done: set[Part] = set()
    for index, node in enumerate(nodes):
        for wire in _reads(index, node, pools):
            step = last_step.get(wire)
            if step is None or step in done or step not in with_result:
                continue
            if index >= (step if step >= 0 else scopes.first[~step]):
                done.add(step)
                yield wire


def _reads(index: int, node: Node, pools: Mapping[int, int]) -> tuple[Wire, ...]:
    return (*node.inputs, ~pools[index]) if index in pools else node.inputs
