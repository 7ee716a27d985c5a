"""The tensors of a network and those of a checkpoint: which of them stand for each other, by their shapes.

Names are the checkpoint's own, so they prove nothing. Shapes do, block by block: each tensor has to be one of the
network's. It may be stored with its inputs as rows, hold several of the network's in one, or be a part of one.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import NamedTuple, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import UsageError
from archcalc.graph import Application, Graph
from archcalc.importers.checkpoints.tensors import Tensor
from archcalc.symbolic import is_symbolic, known

Sizes: TypeAlias = tuple[int, ...]
NUMBER = re.compile(r"(?:^|(?<=[./]))\d+(?=[./]|$)")
SEPARATOR = re.compile("[./]")
MOST_IN_ONE = 4
"""Tensors that one may hold: queries, keys, values, and a gate."""
CANDIDATES = 8
"""Of one layer or scope, among which those in one are looked for."""


class Part(NamedTuple):
    """A tensor of a network or of a checkpoint, or several that are alike.

    `place` is the scope or module that it's in, `block` the numbered part of the network around that, or nothing.
    `turned`: stored with its inputs as rows.
    """

    name: str
    place: str
    block: str
    shape: Sizes
    many: int = 1
    turned: bool = False

    @property
    def values(self) -> int:
        """Numbers in all of them."""
        return self.many * prod(self.shape)


class Match(NamedTuple):
    """Tensors of the network and of the checkpoint that are the same numbers."""

    own: tuple[Part, ...]
    stored: tuple[Part, ...]


@dataclass(frozen=True)
class Matched:
    """What stands for what, but for tensors that simply have the same shape; and what is left on either side.

    `elsewhere` are blocks that have other shapes than the network's, though all shapes are there.
    """

    special: tuple[Match, ...]
    missing: tuple[Part, ...]
    extra: tuple[Part, ...]
    elsewhere: tuple[tuple[str, str], ...]


def parts_of(graph: Graph) -> list[Part]:
    """What a network learns and stores, tensor by tensor, in the order of its layers.

    Raises: UsageError: a size is a symbol.
    """
    found = []
    for node in graph.nodes:
        application = node.application
        if node.reuses or not (own := application.once(_tensors)):
            continue
        block, sets = block_of(node.name), known(application.layer.sets)
        for name, shape in own:
            found.append(Part(f"{node.name} {name}", node.name, block, shape, sets))
    return found


def _tensors(application: Application) -> list[tuple[str, Sizes]]:
    """A layer's tensors without axes of size 1; of an expert's layer, one expert's."""
    layer, found = application.layer, []
    for name, sizes in layer.tensors(*application.input_shapes).items():
        if any(map(is_symbolic, sizes)):
            raise UsageError(f"{layer} has sizes without a value", "--set gives them values")
        found.append((name, plain(map(known, sizes[1:] if layer.sets != 1 else sizes))))
    return found


def stored_parts(tensors: Iterable[Tensor], names: Mapping[str, Tensor], own: Sequence[Part]) -> list[Part]:
    """A checkpoint's tensors. Of stacked experts, one for each; what has its bias's size as columns is turned."""
    shapes, sets = {part.shape for part in own}, {part.many for part in own if part.many > 1}
    found = []
    for tensor in tensors:
        name, shape = tensor.name, plain(tensor.shape)
        place = name.rpartition(".")[0]
        block, turned, many = block_of(name), False, 1
        if len(shape) == 2 and name.endswith(".weight") and (bias := names.get(f"{place}.bias")):
            turned = shape[0] != shape[1] == prod(bias.shape)
        elif len(shape) > 1 and shape[0] in sets and shape not in shapes:
            many, shape = shape[0], shape[1:]
        found.append(Part(name, place, block, shape[::-1] if turned else shape, many, turned))
    return found


def plain(shape: Iterable[int]) -> Sizes:
    """A shape without axes of size 1."""
    return tuple(size for size in shape if size != 1)


def block_of(name: str) -> str:
    """The first numbered part of a name, with what is ahead of it: `model.layers.7`; nothing if there is none."""
    found = NUMBER.search(name)
    return name[: found.end()] if found else ""


def matched(own: Sequence[Part], stored: Sequence[Part]) -> Matched:
    """Which tensors of both sides stand for each other."""
    special: list[Match] = [Match((), (part,)) for part in stored if part.turned]
    if _counts(own) == _counts(stored):
        return Matched(tuple(special), (), (), tuple(_elsewhere(own, stored)))
    missing, extra = list[Part](), list[Part]()
    for ours, theirs in _side_by_side(own, stored):
        ways = [_Left(list(ours), list(theirs)).after(*steps) for steps in WAYS]
        best = min(ways, key=lambda way: len(way.own) + len(way.stored))
        special += best.special
        missing += best.own
        extra += best.stored
    missing, extra = _unequal(missing, extra)
    return Matched(tuple(special), tuple(missing), tuple(extra), ())


class _Left:
    """What hasn't been matched yet, of both sides, and what has."""

    def __init__(self, own: list[Part], stored: list[Part]) -> None:
        self.own, self.stored, self.special = own, stored, list[Match]()

    def after(self, *steps: Callable[[Sequence[Part], Sequence[Part]], Iterable[Match]]) -> _Left:
        """What is left after some steps."""
        for step in steps:
            found = list(step(self.own, self.stored))
            taken = {id(part) for match in found for side in match for part in side}
            self.special += [match for match in found if not _is_plain(match)]
            self.own = [part for part in self.own if id(part) not in taken]
            self.stored = [part for part in self.stored if id(part) not in taken]
            if step is _alike:
                self.own, self.stored = _unequal(self.own, self.stored)
        return self


def _is_plain(match: Match) -> bool:
    return len(match.own) == len(match.stored) == 1 and match.own[0].shape == match.stored[0].shape


def _counts(parts: Iterable[Part]) -> Counter[Sizes]:
    found = Counter[Sizes]()
    for part in parts:
        found[part.shape] += part.many
    return found


# --- blocks ----------------------------------------------------------------------------------------------------------


def _stacks(parts: Iterable[Part]) -> list[dict[str, list[Part]]]:
    """Blocks by name, in their order; those of one list together, the longest list first."""
    found: dict[str, dict[str, list[Part]]] = defaultdict(lambda: defaultdict(list))
    for part in parts:
        if part.block:
            found[NUMBER.sub("", part.block)][part.block].append(part)
    stacks = [dict(sorted(blocks.items(), key=lambda pair: _number(pair[0]))) for blocks in found.values()]
    return sorted(stacks, key=len, reverse=True)


def _number(block: str) -> int:
    return int(NUMBER.findall(block)[-1])


def _side_by_side(own: Sequence[Part], stored: Sequence[Part]) -> Iterator[tuple[list[Part], list[Part]]]:
    """Blocks of both sides that belong together, and what is outside of them; all at once where there are others."""
    ours, theirs = _stacks(own), _stacks(stored)
    if len(ours) != len(theirs):
        yield list(own), list(stored)
        return
    yield [part for part in own if not part.block], [part for part in stored if not part.block]
    for one, other in zip(ours, theirs, strict=True):
        first, second = list(one.values()), list(other.values())
        for number in range(max(len(first), len(second))):
            yield tuple(each[number] if number < len(each) else [] for each in (first, second))  # type: ignore[misc]


def _elsewhere(own: Sequence[Part], stored: Sequence[Part]) -> Iterator[tuple[str, str]]:
    """Blocks with other shapes, where both sides have as many lists of blocks, as long: their names on both sides."""
    ours, theirs = _stacks(own), _stacks(stored)
    if [len(each) for each in ours] != [len(each) for each in theirs]:
        return
    if len({len(each) for each in ours}) < len(ours):  # which of them belong together isn't known
        return
    for one, other in zip(ours, theirs, strict=True):
        for (name, first), (its, second) in zip(one.items(), other.items(), strict=True):
            if _counts(first) != _counts(second):
                yield name, its


# --- tensors of a block ----------------------------------------------------------------------------------------------


def _unequal(own: Sequence[Part], stored: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """What is left when those of the same shape are taken away, the first ones first."""
    common = _counts(own) & _counts(stored)
    return _without(own, common), _without(stored, common)


def _without(parts: Sequence[Part], common: Counter[Sizes]) -> list[Part]:
    left, found = Counter(common), []
    for part in parts:
        taken = min(left[part.shape], part.many)
        left[part.shape] -= taken
        if taken < part.many:
            found.append(part._replace(many=part.many - taken))
    return found


def _alike(own: Sequence[Part], stored: Sequence[Part]) -> Iterator[Match]:
    """Those of one shape of which there are as many."""
    ours = defaultdict(list)
    for part in reversed(own):
        ours[part.shape, part.many].append(part)
    for part in stored:
        if others := ours[part.shape, part.many]:
            yield Match((others.pop(),), (part,))


def _turned(own: Sequence[Part], stored: Sequence[Part]) -> Iterator[Match]:
    """Matrices that are stored with their inputs as rows, though no bias shows it."""
    ours = defaultdict(list)
    for part in own:
        ours[part.shape[::-1], part.many].append(part)
    for part in stored:
        if len(part.shape) == 2 and (others := ours.get((part.shape, part.many))):
            yield Match((others.pop(0),), (part,))


def _stacked(own: Sequence[Part], stored: Sequence[Part]) -> Iterator[Match]:
    """One for each expert, stored in one."""
    ours = defaultdict(list)
    for part in own:
        if part.many > 1:
            ours[part.many, *part.shape].append(part)
    for part in stored:
        if others := ours.get(part.shape):
            yield Match((others.pop(0),), (part,))


def _joined(own: Sequence[Part], stored: Sequence[Part]) -> Iterator[Match]:
    """Tensors that hold several of the other side's, which are near each other, with their rows in a row."""
    for whole, parts in _wholes(stored, own):
        yield Match(parts, (whole,))
    for whole, parts in _wholes(own, stored):
        yield Match((whole,), parts)


def _wholes(wholes: Sequence[Part], parts: Sequence[Part]) -> Iterator[tuple[Part, tuple[Part, ...]]]:
    """Those of `wholes` that are as large as several of `parts` together, and these; each part is one's alone."""
    used, shapes = set[int](), {part.shape for part in parts}
    for whole in wholes:
        if not whole.shape or whole.shape in shapes:
            continue
        for shape in dict.fromkeys((whole.shape, whole.shape[::-1])):
            fitting = [
                each for each in parts
                if each.shape and each.shape[1:] == shape[1:] and each.many == whole.many and id(each) not in used
            ]  # fmt: skip
            if found := _together(shape[0], fitting):
                used.update(map(id, found))
                yield whole, found
                break


def _together(rows: int, fitting: Sequence[Part]) -> tuple[Part, ...]:
    """Those whose rows add up, of the innermost scope that has some."""
    scopes: dict[str, list[Part]] = defaultdict(list)
    for each in fitting:
        for scope in _scopes(each.place):
            scopes[scope].append(each)
    for _, near in sorted(scopes.items(), key=lambda pair: -len(SEPARATOR.split(pair[0]))):
        for size in range(2, min(MOST_IN_ONE, len(near)) + 1):
            for chosen in combinations(near[:CANDIDATES], size):
                if sum(each.shape[0] for each in chosen) == rows:
                    return chosen
    return ()


def _scopes(place: str) -> list[str]:
    """A place, and the scopes around it."""
    return [place, *(place[: found.start()] for found in SEPARATOR.finditer(place))]


WAYS = ((_alike, _turned, _stacked, _joined), (_joined, _alike, _joined, _turned, _stacked, _joined))
"""In which order tensors are matched: the way is taken that leaves the fewest, the first one of several."""
