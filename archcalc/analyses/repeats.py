"""The law of repeats for numbers that depend on a layer's place.

What autograd keeps and what is alive is decided step by step: forward, each node from what was decided about the nodes
that it reads; backward, each from what was decided about its readers; and some things, such as which reader is the
last, about a volume as a whole. A law for a composite would need all of these at its borders. So they stay walks over
nodes, but over few passes of each repeat (`Graph.shortened`).

Let two passes in a row be *alike*: each step decided the same about each node of the one and of the other; where it
names a node in a pass, the one that stands there in the next. Then any number of passes that are alike may stand
between them: each reads what is like what it would read without them, and is read likewise, so all steps decide the
same. What all passes read is read more often, which changes nothing: several read it anyway, and the last of them are
still the last. If the numbers of both passes are the same as well, then nothing adds up from pass to pass that they
tell of, bytes alive for instance; so those are the numbers of all passes between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archcalc.analyses.registry import Facts
from archcalc.graph.graph import Shortened


def are_steady(found: Shortened, numbers: Sequence[Any], decided: Iterable[Facts]) -> bool:
    """Whether each pass that stands for others is like the one after it, in its numbers and all that was decided."""
    facts = list(decided)
    for first, second, _ in found.twins:
        if numbers[first:second] != numbers[second : 2 * second - first]:
            return False
        for about in facts:
            for node in range(first, second):
                if not _alike(_of(about, node), _of(about, node + second - first), second - first):
                    return False
                if not _alike(_of(about, ~node), _of(about, ~(node + second - first)), second - first):
                    return False
    return True


def _of(about: Facts, wire: int) -> Any:
    """What is known about a node, or about the switches of a pool, which are ~node."""
    if isinstance(about, Mapping):
        return about.get(wire)
    if isinstance(about, Sequence):
        return about[wire] if wire >= 0 else None
    return wire in about


def _alike(one: Any, other: Any, shift: int) -> bool:
    """Whether two facts are the same, or are about nodes at the same place in two passes."""
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(_alike(a, b, shift) for a, b in zip(one, other, strict=True))
    return one == other or (_is_node(one) and _is_node(other) and other - one == (shift if one >= 0 else -shift))


def _is_node(fact: Any) -> bool:
    return isinstance(fact, (int, float)) and not isinstance(fact, bool)
