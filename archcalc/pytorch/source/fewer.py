"""Long networks and their programs with few passes of each loop, for a check that builds and follows both.

A loop's passes have the same code, so those that are left out hide nothing but their number. That is counted: what one
of the passes registers counts for all that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from archcalc.graph import Graph, Node
from archcalc.pytorch.source.planner import Planner
from archcalc.pytorch.source.tree import Leaf, Run, Scope

KEPT = 3
"""Passes of a loop: the first, one that stands for all between, and the last."""


class FewPasses:
    """Runs the loops of a program that is built, and counts its parameters as if all passes were there."""

    def __init__(self) -> None:
        self._times = 1
        self._stands_for: dict[nn.Parameter, int] = {}

    def range(self, *numbers: int) -> Iterator[int]:
        """What the program calls in the place of `range`; passes with numbers of their own are all there."""
        if len(numbers) > 1:
            yield from range(*numbers)
            return
        (count,) = numbers
        for number in range(min(count, KEPT)):
            many = count - KEPT + 1 if number == 1 and count > KEPT else 1
            self._times *= many
            yield number
            self._times //= many

    @contextmanager
    def counting(self) -> Iterator[None]:
        """While it's open, parameters are noted that modules get."""

        def note(_: nn.Module, __: str, parameter: nn.Parameter | None) -> None:
            if parameter is not None:
                self._stands_for.setdefault(parameter, self._times)

        hook = register_module_parameter_registration_hook(note)
        try:
            yield
        finally:
            hook.remove()

    def params(self, network: nn.Module) -> int:
        """The parameters of a network that was built, those of all passes together."""
        return sum(self._stands_for[parameter] * parameter.numel() for parameter in network.parameters())


class _Chain(NamedTuple):
    """Modules one after the other: their nodes; those left out; and where volumes of these are read, others instead."""

    nodes: range
    left_out: set[int]
    instead: dict[int, int]


def fewer_passes(planner: Planner) -> Graph | None:
    """The network that a program makes with few passes of each loop.

    None if layers share weights that the program reaches by a number in a chain from which passes are left out.
    """
    laid = planner.laid.graph
    chains = [chain for chain in _chains(planner, planner.root, 0) if chain.left_out]
    tied = {index for i, node in enumerate(laid.nodes) if _has_weight_of_other(node) for index in (i, node.tied)}
    if any(index in chain.nodes for chain in chains for index in tied):
        return None
    left_out = {index for chain in chains for index in chain.left_out}
    instead = {made: kept for chain in chains for made, kept in chain.instead.items()}
    now: dict[int, int] = {}
    nodes: list[Node] = []
    for index, node in enumerate(laid.nodes):
        if index not in left_out:
            now[index] = len(nodes)
            inputs = tuple([now[i] for i in node.inputs])
            if node.tied in left_out:
                return None
            nodes.append(node._replace(inputs=inputs, tied=None if node.tied is None else now[node.tied]))
        elif index in instead:
            now[index] = now[instead[index]]
    return Graph.of(laid.name, nodes, {name: now[index] for name, index in laid.outputs.items()}, {})


def _has_weight_of_other(node: Node) -> bool:
    return node.tied is not None and not node.reuses


def _chains(planner: Planner, what: Leaf | Scope | Run, start: int) -> Iterator[_Chain]:
    """The chains of modules in a part that starts at a node; of loops those in the passes that are kept."""
    if isinstance(what, Leaf):
        return
    parts = kept = list(planner.parts(what))
    if isinstance(what, Run) or not planner.is_class(what):
        kept = []
        chain = _Chain(range(start + parts[0].start, start + parts[-1].wires.stop), set(), {})
        is_shared = isinstance(what, Run) and what.is_shared
        for run, is_counted in [(parts, True)] if is_shared else planner.runs(parts):
            passes = [*run[: KEPT - 1], run[-1]] if is_counted and len(run) > KEPT else run
            kept += passes
            for part in run[KEPT - 1 : -1] if len(passes) < len(run) else ():
                chain.left_out.update(start + wire for wire in part.wires)
                chain.instead[start + part.makes[0][0]] = start + passes[-2].makes[0][0]
        yield chain
    for part in kept:
        yield from _chains(planner, part.what, start if isinstance(part.what, Run) else start + part.start)
