"""Which parts of a scope are passes in a row, so that `forward` runs through them in a loop."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

from archcalc.pytorch.source.pieces import construction, numbers
from archcalc.pytorch.source.tree import Leaf, Part, Run, Scope, Wire, readers

Key: TypeAlias = "Callable[[Leaf | Scope | Run], int]"
"""Equal for parts with equal code, numbers apart."""
MOST = 2
"""Numbers that may change from pass to pass in a comprehension."""
FEW = 3
"""Fewer passes are written one by one, unless they are called by numbers alone."""


class Unrolled(Exception):
    """Passes that have to be written one by one, and aren't all there."""


def gathered(scope: Scope, key: Key) -> Iterator[Part]:
    """The parts of a scope, those that are passes in a row as one.

    Passes are called by their numbers, `1`, `2` … or `block1`, `block2` …
    Raises: Unrolled: a part that stands for many passes isn't in a loop.
    """
    start, reading = 0, readers(scope.parts)
    while start < len(scope.parts):
        run = scope.parts[start : _end(scope, start, reading, key)]
        start += len(run)
        for passes in [run] if _is_loop(run) else equal_in_a_row(run, lambda part: part.what):
            if _is_loop(passes):
                yield _looped(passes)
            elif any(part.times > 1 for part in passes):
                raise Unrolled
            else:
                yield from passes


def equal_in_a_row(parts: Iterable[Part], key: Callable[[Part], object]) -> list[list[Part]]:
    """The parts, those together that stand one after the other and have equal keys."""
    return [list(row) for _, row in groupby(parts, key)]


def _end(scope: Scope, start: int, reading: dict[Wire, list[int]], key: Key) -> int:
    """Where the parts end that are numbered and have equal code, each handing on to the next one alone."""
    first, end = scope.parts[start], start + 1
    if len(first.makes) != 1 or not first.reads:
        return end
    for part in scope.parts[end:]:
        (before,) = scope.parts[end - 1].makes
        numbered = _prefix(part.name) == _prefix(first.name) != part.name
        numbered = numbered and part.holder == first.holder
        chained = part.reads == (before, *first.reads[1:]) and reading[before] == [end] and before not in scope.makes
        hands_on = len(part.makes) == 1 and (part.makes[0] in reading or part.makes[0] in scope.makes)
        if not (numbered and chained and hands_on and _are_alike(part.what, first.what, key)):
            break
        end += 1
    return end


def _are_alike(one: Leaf | Scope | Run, other: Leaf | Scope | Run, key: Key) -> bool:
    """Whether two parts can be passes of a loop: scopes with equal code, or the same layer."""
    return one is other or (isinstance(one, Scope) and key(one) == key(other))


def _is_loop(run: Sequence[Part]) -> bool:
    """Whether passes in a row are written as a loop."""
    first, count = run[0], sum(part.times for part in run)
    if len(run) == 1:
        return False
    if isinstance(first.what, Leaf) or len(first.reads) > 1:
        return count >= FEW and (first.name.isdigit() or count > len(run))
    return first.name.isdigit() or (count >= FEW and _few_numbers_change(run))


def _few_numbers_change(run: Sequence[Part]) -> bool:
    """Whether a comprehension over the run would read well."""
    rows = [list(_numbers(part.what)) for part in run]
    columns = zip(*rows, strict=False)
    return len({*map(len, rows)}) == 1 and len({column for column in columns if len(set(column)) > 1}) <= MOST


def _numbers(what: Leaf | Scope | Run) -> Iterator[int]:
    """The numbers in the code of everything in it."""
    if isinstance(what, Leaf):
        yield from (hole.value for hole in numbers(construction(what.module)))
        return
    for part in what.parts:
        yield from _numbers(part.what)


def _looped(run: Sequence[Part]) -> Part:
    """The run as one part."""
    first, last = run[0], run[-1]
    name = "passes" if first.name.isdigit() else f"{first.name}_to_{last.name.removeprefix(_prefix(first.name))}"
    is_shared = first.holder is not None
    what = Run(tuple(run), is_shared)
    return Part(name, what, 0, first.reads, last.makes, module=first.module, holder=first.holder)


def _prefix(name: str) -> str:
    return re.sub(r"\d+$", "", name)
