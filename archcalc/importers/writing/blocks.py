"""Submodules of one class that have the same items, as calls of one block; what differs are its arguments."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from archcalc.errors import UsageError
from archcalc.importers.operations.lifting import Step
from archcalc.importers.writing.formals import ACTIVATION, VOLUME, Formals, numbered
from archcalc.importers.writing.outline import (
    UNNAMED,
    Call,
    Item,
    Join,
    Leaf,
    Scope,
    leaves,
)
from archcalc.layers import REGISTRY

FEW = 3
"""Layers that are worth a block."""
SEVERAL = 6
"""Layers that are worth one that has no name of its own, and no branches."""
COUNT = re.compile(r"[\W_]*\d+")
"""What counts submodules in their names."""
UNIT = "unit"
"""What such a block is called."""


class Block(NamedTuple):
    """A block: its formals with their defaults, and its items with expressions for arguments.

    Several may have one `base` for a name; `traits` tell them apart. One that is `shared` is one module wherever it's
    called.
    """

    name: str
    formals: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]
    roles: Mapping[str, str]
    """For each formal the argument of a layer that it gives."""
    base: str
    traits: tuple[str, ...]
    others: tuple[tuple[str, int], ...] = ()
    """The formals that are volumes, with those of the first call."""
    shared: bool = False


class Blocks:
    """Finds blocks among a module's items, the inner ones first."""

    def __init__(
        self, steps: Sequence[Step], outputs: Sequence[int], defaults: Mapping[str, Mapping[str, str]]
    ) -> None:
        self.steps, self.defaults = steps, defaults
        self.readers = Counter(read for step in steps for read in step.inputs)
        self.readers.update(outputs)
        self.found: dict[str, Block] = {}
        self._inline: set[tuple[int, ...]] = set()

    def called(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """The items, with calls in place of scopes that are alike; a block that one place alone calls is none."""
        while True:
            self.found, self._groups, self._unnamed = {}, dict[str, tuple[int, ...]](), set[str]()
            found = self._called(items)
            times = self._sites((found, *(block.items for block in self.found.values())))
            once = {group for name, group in self._groups.items() if times[name] == 1 and not self.found[name].shared}
            if not once:
                return self._renamed(found)
            self._inline |= once

    def _called(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        for height in range(max(map(_height, items), default=-1) + 1):
            alike: dict[tuple[str, Hashable], list[Scope]] = defaultdict(list)
            shared: dict[str, list[Scope]] = defaultdict(list)
            for scope in _scopes(items, height):
                if scope.shared:
                    shared[scope.shared].append(scope)
                elif self._is_closed(scope):
                    alike[scope.class_name, self._pattern(scope.items, scope)].append(scope)
            calls: dict[int, Call] = {}
            for (kind, _), scopes in alike.items():
                if self._is_worth(kind, scopes):
                    name = self._add(_block_name(kind), scopes, calls)
                    self._groups[name] = tuple(scope.out for scope in scopes)
                    if kind in UNNAMED:
                        self._unnamed.add(name)
            for path, scopes in shared.items():
                self._share(path, scopes, calls)
            items = tuple(_replaced(item, calls) for item in items)
        return items

    def _renamed(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        names = _names(list(self.found.values()))
        self.found = {
            names[block.name]: block._replace(
                name=names[block.name], items=tuple(_with_names(item, names) for item in block.items)
            )
            for block in self.found.values()
        }
        return tuple(_with_names(item, names) for item in items)

    def _is_worth(self, kind: str, scopes: Sequence[Scope]) -> bool:
        """Whether scopes that are alike are to be calls of a block."""
        number = sum(1 for _ in leaves(scopes[0].items))
        if kind in UNNAMED and any(isinstance(item, Call) for item in scopes[0].items):
            return False
        few = FEW if kind not in UNNAMED or any(_joins(scopes[0].items)) else SEVERAL
        return len(scopes) > 1 and number >= few and tuple(scope.out for scope in scopes) not in self._inline

    def _sites(self, rows: Sequence[Sequence[Item]]) -> Counter[str]:
        """How many places call each block; for one that has no name of its own, calls in a row are one place."""
        found: Counter[str] = Counter()
        for row in rows:
            before: object = None
            for call in _calls(row):
                found[call.block] += call.block not in self._unnamed or before != (call.block, call.arguments)
                before = call.block, call.arguments
        return found

    def _is_closed(self, scope: Scope) -> bool:
        """Whether nothing but what it makes is read from outside; a module that is shared takes one volume."""
        inside = {leaf.step for leaf in leaves(scope.items)}
        read = Counter(read for step in inside for read in self.steps[step].inputs)
        if scope.shared and self._others(scope):
            return False
        if any(self.steps[step].tied is not None for step in inside):
            return False
        return all(read[step] == self.readers[step] for step in inside if step != scope.out)

    def _others(self, scope: Scope) -> tuple[int, ...]:
        """The volumes that enter a scope, besides its main one."""
        inside = {leaf.step for leaf in leaves(scope.items)} | {scope.main}
        read = (read for leaf in leaves(scope.items) for read in self.steps[leaf.step].inputs)
        return tuple(dict.fromkeys(volume for volume in read if volume not in inside))

    def _pattern(self, items: Sequence[Item], scope: Scope) -> Hashable:
        """What is the same in scopes that are alike."""
        place = {leaf.step: number for number, leaf in enumerate(leaves(scope.items))} | {scope.main: -1}
        place |= {volume: -2 - number for number, volume in enumerate(self._others(scope))}
        return tuple(_pattern(item, place) for item in items)

    def _add(self, base: str, scopes: Sequence[Scope], calls: dict[int, Call]) -> str:
        """Add a block of scopes that are alike, and its calls. Returns: its name, with a number if it's taken."""
        name = numbered(base, set(self.found))
        roles = {block.name: block.roles for block in self.found.values()}
        others = list(map(self._others, scopes))
        formals = Formals(self.steps, self.defaults, roles, scopes, others)
        items = tuple(formals.written(item) for item in scopes[0].items)
        volumes = [name for name, role in formals.roles.items() if role == VOLUME]
        named = tuple(zip(volumes, others[0], strict=True))
        self.found[name] = Block(name, formals.declared(), items, formals.roles, base, _traits(scopes[0]), named)
        for number, scope in enumerate(scopes):
            calls[scope.out] = Call(scope, name, formals.given(number), others[number])
        return name

    def _share(self, path: str, scopes: Sequence[Scope], calls: dict[int, Call]) -> None:
        """A submodule that is called several times.

        Raises: UsageError: it does something else when it's called again.
        """
        patterns = {self._pattern(scope.items, scope) for scope in scopes}
        if len(patterns) > 1 or not all(map(self._is_closed, scopes)):
            raise UsageError(f"{path} does something else when it's called again", "a spec can't say that")
        last = path.rpartition(".")[2]
        name = self._add(_block_name(scopes[0].class_name if last.isdigit() else last), scopes, calls)
        if self.found[name].formals:
            raise UsageError(f"{path} has other arguments when it's called again", "a spec can't say that")
        self.found[name] = self.found[name]._replace(shared=True)


def _names(blocks: Sequence[Block]) -> dict[str, str]:
    """What blocks are called in the end: as their class is, and after what they have that others of it haven't."""
    found: dict[str, str] = {}
    for block in sorted(blocks, key=lambda block: len(block.traits)):
        plain = min((other.traits for other in blocks if other.base == block.base), key=len)
        own = [trait for trait in block.traits if trait not in plain and trait not in block.base]
        found[block.name] = numbered("_".join([block.base, *own[:1]]), set(found.values()))
    return found


def _with_names(item: Item, names: Mapping[str, str]) -> Item:
    """An item with other names for the blocks that it calls."""
    if isinstance(item, Call):
        return item._replace(block=names[item.block])
    if isinstance(item, Scope):
        return item._replace(items=tuple(_with_names(each, names) for each in item.items))
    if isinstance(item, Join):
        branches = tuple(tuple(_with_names(each, names) for each in branch) for branch in item.branches)
        return item._replace(branches=branches)
    return item


def _traits(scope: Scope) -> tuple[str, ...]:
    """What a block may be called after, beside its class."""
    found = []
    joins = [join for join in _joins(scope.items) if join.leaf.word == "add"]
    if any(all(join.branches) for join in joins):
        found.append("projected")
    if joins:
        found.append("residual")
    if any(leaf.word == "dwconv" for leaf in leaves(scope.items)):
        found.append("depthwise")
    return tuple(found)


def _joins(items: Sequence[Item]) -> Iterator[Join]:
    """Every merge of branches."""
    for item in items:
        if isinstance(item, Join):
            yield item
            for branch in item.branches:
                yield from _joins(branch)
        elif isinstance(item, (Scope, Call)):
            yield from _joins((item.scope if isinstance(item, Call) else item).items)


def _block_name(kind: str) -> str:
    """A class's name as a block's."""
    if kind in UNNAMED:
        return UNIT
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
    name = re.sub(r"\W", "_", name).strip("_")
    return f"{name}_block" if name in REGISTRY else name


def _calls(items: Sequence[Item]) -> Iterator[Call]:
    """The calls of blocks among items."""
    for item in items:
        if isinstance(item, Call):
            yield item
        elif isinstance(item, Scope):
            yield from _calls(item.items)
        elif isinstance(item, Join):
            for branch in item.branches:
                yield from _calls(branch)


def _height(item: Item) -> int:
    """How many scopes are in each other, at most: 0 for one without others in it, -1 for what is none."""
    if isinstance(item, Call):
        return _height(item.scope)
    if isinstance(item, Scope):
        return 1 + max(map(_height, item.items), default=-1)
    if isinstance(item, Join):
        return max((_height(each) for branch in item.branches for each in branch), default=-1)
    return -1


def _scopes(items: Sequence[Item], height: int) -> Iterator[Scope]:
    """Scopes of a height, in order."""
    for item in items:
        if isinstance(item, Scope):
            if _height(item) == height:
                yield item
            else:
                yield from _scopes(item.items, height)
        elif isinstance(item, Join):
            for branch in item.branches:
                yield from _scopes(branch, height)


def _replaced(item: Item, calls: dict[int, Call]) -> Item:
    """An item with calls in place of scopes."""
    if isinstance(item, Scope):
        if item.out in calls and calls[item.out].scope is item:
            return calls[item.out]
        return item._replace(items=tuple(_replaced(each, calls) for each in item.items))
    if isinstance(item, Join):
        branches = tuple(tuple(_replaced(each, calls) for each in branch) for branch in item.branches)
        return item._replace(branches=branches)
    return item


def _said(leaf: Leaf) -> tuple[str, ...]:
    """Arguments that a layer has, and that no value stands for where it hasn't: no formal can say both."""
    declared = REGISTRY[leaf.word].arguments()
    return tuple(name for name, _ in leaf.arguments if declared[name].default is None and not declared[name].required)


def _pattern(item: Item, place: dict[int, int]) -> Hashable:
    """What is the same in items that are alike; volumes by their place."""
    if isinstance(item, Leaf):
        word = ACTIVATION if item.is_activation else item.word
        return word, _said(item), place.get(item.main), tuple(place.get(read) for read in item.reads)
    if isinstance(item, Call):
        return COUNT.sub("", item.scope.name), item.block, *(place.get(read) for read in (item.main, *item.reads))
    if isinstance(item, Scope):
        return COUNT.sub("", item.name), tuple(_pattern(each, place) for each in item.items)
    return item.leaf.word, tuple(tuple(_pattern(each, place) for each in branch) for branch in item.branches)
