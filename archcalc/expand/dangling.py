"""Volumes that nobody reads.

The law: a layer's volume is read where it stands, or from outside of what it stands in. So what of a composite is read
from outside decides which of its volumes are left over, wherever it is; of a repeat's passes only the first of each
kind counts, since the others are warned of at the same place.
"""

from __future__ import annotations

from collections.abc import Iterable

from archcalc.errors import Mark
from archcalc.graph import Application, Repeat, Tree
from archcalc.graph.composite import OUTPUT, Call, exits, passes, shared_exits
from archcalc.graph.labels import Label

Known = dict[tuple[int, int, Mark | None, frozenset[int]], dict[Mark, int]]


def dangling(tree: Tree, outputs: Iterable[int]) -> list[tuple[Mark, int]]:
    """Where in specs layers are whose volumes nobody reads, with the first such node each, in the order of nodes."""
    found = _left_over(tree.body, None, tree.label, frozenset(outputs), {})
    return sorted(found.items(), key=lambda each: each[1])


def _left_over(
    call: Call, mark: Mark | None, label: Label | None, seen: frozenset[int], known: Known
) -> dict[Mark, int]:
    """The first wire of each place that nobody reads; `seen` are those that are read from outside."""
    if isinstance(call, Application):
        return {mark: 0} if mark is not None and seen != OUTPUT else {}
    key = id(call), id(label), mark, seen
    if key not in known:
        found: dict[Mark, int] = {}
        known[key] = found
        if isinstance(call, Repeat):
            special, common, size = passes(call, seen), shared_exits(call), call.body.size
            first_common = next(number for number in range(len(special) + 1) if number not in special)
            numbers = {*special, first_common} if first_common < call.count else special
            for number in sorted(numbers):
                inner = _left_over(call.body, mark, label, special.get(number, common), known)
                for place, wire in inner.items():
                    found.setdefault(place, number * size + wire)
        else:
            assert label is not None
            parts = zip(call.items, call.starts, label.marks, label.inner, exits(call, seen), strict=True)
            for item, start, its_mark, its_label, its_exits in parts:
                for place, wire in _left_over(item.call, its_mark, its_label, its_exits, known).items():
                    found.setdefault(place, start + wire)
    return known[key]
