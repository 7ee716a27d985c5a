"""Passes of a loop, found again in the graph: runs of equal scopes, put into a scope of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.pytorch.source.pieces import numbers
from archcalc.pytorch.source.tree import Branch, Leaf, Part, Wire, is_chain, readers

if TYPE_CHECKING:
    from archcalc.pytorch.source.planner import Planner

MOST = 2
"""Numbers that may change from pass to pass in a comprehension."""


def gather(branch: Branch, planner: Planner) -> None:
    """Put runs of equal parts (passes of a loop) into a scope of their own, so that they can be written as one."""
    for part in branch.parts:
        if isinstance(part, Branch):
            gather(part, planner)
    if branch.path and is_chain(branch):
        return
    parts: list[Part] = []
    start, reading = 0, readers(branch)
    while start < len(branch.parts):
        run = _passes(branch, start, planner, reading)
        if (len(run) > 1 and run[0].name.isdigit()) or (len(run) > 2 and _few_numbers_change(run, planner)):
            first, last = run[0], run[-1]
            name = "passes" if first.name.isdigit() else f"{first.name}_to_{last.name.removeprefix(_prefix(first))}"
            path = f"{branch.path}/{name}".lstrip("/")
            parts.append(Branch(name, path, run, list(first.reads), list(last.makes), is_run=True))
        else:
            parts += run
        start += len(run)
    branch.parts = parts


def _few_numbers_change(run: list[Part], planner: Planner) -> bool:
    """Whether a comprehension over the run would read well."""
    rows = [[hole.value for leaf in _leaves(part) for hole in numbers(planner.module_code(leaf))] for part in run]
    return len({column for column in zip(*rows, strict=True) if len(set(column)) > 1}) <= MOST


def _leaves(part: Part) -> Iterator[Leaf]:
    if isinstance(part, Leaf):
        yield part
        return
    for inner in part.parts:
        yield from _leaves(inner)


def _prefix(part: Part) -> str:
    return re.sub(r"\d+$", "", part.name)


def _passes(branch: Branch, start: int, planner: Planner, reading: Mapping[Wire, Sequence[int]]) -> list[Part]:
    """The parts from `start` on that are numbered passes with equal code, each reading only the one before it."""
    first = branch.parts[start]
    run = [first]
    if isinstance(first, Leaf) or len(first.reads) != 1 or len(first.makes) != 1:
        return run
    for number, part in enumerate(branch.parts[start + 1 :], start + 1):
        before = run[-1].makes[0]
        read_again = reading.get(before, [number])[-1] > number or before in branch.makes
        numbered = _prefix(part) == _prefix(first) and part.name != _prefix(part)
        chained = part.reads == [before] and len(part.makes) == 1 and not read_again
        if not (numbered and chained and planner.key(part) == planner.key(first)):
            break
        run.append(part)
    return run
