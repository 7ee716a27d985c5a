"""Passes that were built one by one and turned out equal, as one repeat.

Before a pass is built, `loops.py` often can't know that it'll be like the last one: its references may name the pass
before it, `from block{i-1}`, or a layer in one of all passes has an argument from outside. When the scope is complete,
it shows: they are the same composite, each reads what the one before returned, and all else that they read is the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from archcalc.graph import Repeat
from archcalc.graph.labels import Numbered

if TYPE_CHECKING:
    from archcalc.expand.nodes import Frame, Known


class Passes(NamedTuple):
    """The items of a scope that are passes of a loop, and what stands before and after the number in their names."""

    items: range
    before: str
    after: str


class _Link(NamedTuple):
    """How a pass follows the one before it: the wire that this returned, as which volume it enters, and the numbers."""

    wire: int
    chained: int
    step: int


def put_together(frame: Frame, known: Known) -> None:
    """Make repeats of the passes in a scope that are equal. Their wires stay what they are."""
    named = Counter(position for position, _ in frame.aliases.values()) if frame.passes else Counter[int]()
    taken = [run for passes in frame.passes for run in _runs(frame, passes, named)]
    if not taken:
        return
    for items, link, names in taken:
        first = items[0]
        body = frame.items[first].call
        assert not isinstance(body, Repeat)
        repeat = known.repeat(body, len(items), link.chained, link.wire, None, None)
        for number in items:
            del frame.aliases[str(frame.names[number])]
        frame.items[first], frame.names[first] = frame.items[first]._replace(call=repeat), names
    dropped = {number for items, _, _ in taken for number in items[1:]}
    lists: tuple[list[Any], ...] = (frame.items, frame.names, frame.marks, frame.inner, frame.starts)
    for each in lists:
        each[:] = [part for number, part in enumerate(each) if number not in dropped]
    gone = [*accumulate((len(items) - 1 for items, _, _ in taken), initial=0)]
    ends = [items[-1] + 1 for items, _, _ in taken]
    for name, (position, tensor) in frame.aliases.items():
        frame.aliases[name] = position - gone[bisect_left(ends, position + 1)], tensor
    frame.forget()


def _runs(frame: Frame, passes: Passes, named: Mapping[int, int]) -> Iterator[tuple[range, _Link, Numbered]]:
    """Passes in a row that are equal, how each follows the one before, and their names.

    `named` says how many names there are after so many items: between passes it's one, the pass's own.
    """
    names = Numbered(passes.before, range(0), passes.after)
    first, link = passes.items.start, None
    for number in range(first + 1, passes.items.stop + 1):
        ahead = _link(frame, names, number) if number < passes.items.stop and named[number] == 1 else None
        if ahead is not None and link in (None, ahead):
            link = ahead
            continue
        if link is not None:
            begin = names.number_in(str(frame.names[first]))
            assert begin is not None
            numbers = range(begin, begin + link.step * (number - first), link.step)
            yield range(first, number), link, names._replace(numbers=numbers)
        first, link = number, None


def _link(frame: Frame, names: Numbered, number: int) -> _Link | None:
    """How an item follows the one before it as its equal; None if it doesn't."""
    (one, two), ends = frame.items[number - 1 : number + 1], []
    same = one.call is two.call and frame.inner[number - 1] is frame.inner[number]
    if not same or isinstance(one.call, Repeat) or one.tied is not None or two.tied is not None:
        return None
    if frame.marks[number - 1] != frame.marks[number] or one.module != two.module:
        return None
    for place in (number - 1, number):
        own, returned = names.number_in(str(frame.names[place])), frame.aliases[str(frame.names[place])][1]
        if own is None or returned is None or returned < frame.starts[place]:
            return None
        ends.append((own, returned - frame.starts[place]))
    differing = [place for place, (a, b) in enumerate(zip(one.reads, two.reads, strict=True)) if a != b]
    (before, wire), (after, same_wire) = ends
    if len(differing) != 1 or two.reads[differing[0]] != frame.starts[number - 1] + wire or wire != same_wire:
        return None
    return _Link(wire, differing[0], after - before) if after != before else None
