"""Submodules of one class that have the same items, as calls of one block; what differs are its arguments."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence, Set
from typing import NamedTuple

from archcalc.errors import UsageError
from archcalc.importers.operations.lifting import Step
from archcalc.importers.writing.outline import UNNAMED, Call, Item, Join, Leaf, Scope, leaves
from archcalc.layers import REGISTRY

FORMALS = {
    "out_channels": "c", "out_features": "c", "kernel_size": "k", "stride": "s", "padding": "p", "dilation": "d",
    "groups": "g", "num_heads": "heads", "num_groups": "groups",
}  # fmt: skip
"""What a block calls an argument."""
FEW = 3
"""Layers that are worth a block."""
MANY = 16
"""The largest multiple of another number that isn't a coincidence."""
Arguments = tuple[tuple[str, str], ...]


class Block(NamedTuple):
    """A block: its formals with their defaults, and its items with expressions for arguments.

    One that is `shared` is one module wherever it's called.
    """

    name: str
    formals: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]
    shared: bool = False


class Blocks:
    """Finds blocks among a module's items, the inner ones first."""

    def __init__(self, steps: Sequence[Step], outputs: Sequence[int]) -> None:
        self.steps = steps
        self.readers = Counter(read for step in steps for read in step.inputs)
        self.readers.update(outputs)
        self.found: list[Block] = []

    def called(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """The items, with calls in place of scopes that are alike."""
        for height in range(max(map(_height, items), default=-1) + 1):
            alike: dict[tuple[str, Hashable], list[Scope]] = defaultdict(list)
            shared: dict[str, list[Scope]] = defaultdict(list)
            for scope in _scopes(items, height):
                if scope.shared:
                    shared[scope.shared].append(scope)
                elif scope.class_name not in UNNAMED and self._is_closed(scope):
                    alike[scope.class_name, self._pattern(scope.items, scope)].append(scope)
            calls: dict[int, Call] = {}
            for (kind, _), scopes in alike.items():
                if len(scopes) > 1 and sum(1 for _ in leaves(scopes[0].items)) >= FEW:
                    self._add(kind, scopes, calls)
            for path, scopes in shared.items():
                self._share(path, scopes, calls)
            items = tuple(_replaced(item, calls) for item in items)
        return items

    def _is_closed(self, scope: Scope) -> bool:
        """Whether nothing but its one volume enters it, and nothing but what it makes is read from outside."""
        inside = {leaf.step for leaf in leaves(scope.items)}
        read = Counter(read for step in inside for read in self.steps[step].inputs)
        if any(volume not in inside and volume != scope.main for volume in read):
            return False
        if any(self.steps[step].tied is not None for step in inside):
            return False
        return all(read[step] == self.readers[step] for step in inside if step != scope.out)

    def _pattern(self, items: Sequence[Item], scope: Scope) -> Hashable:
        """What is the same in scopes that are alike."""
        place = {leaf.step: number for number, leaf in enumerate(leaves(scope.items))} | {scope.main: -1}
        return tuple(_pattern(item, place) for item in items)

    def _add(self, kind: str, scopes: Sequence[Scope], calls: dict[int, Call]) -> None:
        name, formals = self._name(kind), _Formals(self.steps, scopes, set(_names(scopes[0].items)))
        items = tuple(formals.written(item) for item in scopes[0].items)
        self.found.append(Block(name, formals.declared(), items))
        for number, scope in enumerate(scopes):
            calls[scope.out] = Call(scope, name, formals.given(number))

    def _share(self, path: str, scopes: Sequence[Scope], calls: dict[int, Call]) -> None:
        """A submodule that is called several times.

        Raises: UsageError: it does something else when it's called again.
        """
        patterns = {self._pattern(scope.items, scope) for scope in scopes}
        if len(patterns) > 1 or not all(map(self._is_closed, scopes)):
            raise UsageError(f"{path} does something else when it's called again", "a spec can't say that")
        self._add(path.rpartition(".")[2], scopes, calls)
        if self.found[-1].formals:
            raise UsageError(f"{path} has other arguments when it's called again", "a spec can't say that")
        self.found[-1] = self.found[-1]._replace(shared=True)

    def _name(self, kind: str) -> str:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
        name = re.sub(r"\W", "_", name).strip("_")
        return numbered(f"{name}_block" if name in REGISTRY else name, {block.name for block in self.found})


def numbered(base: str, taken: Set[str], gap: str = "_") -> str:
    """A name, with a number if it's taken."""
    name, number = base, 2
    while name in taken:
        name, number = f"{base}{gap}{number}", number + 1
    return name


class _Formals:
    """The arguments of a block: one for each row of values that differ from call to call."""

    def __init__(self, steps: Sequence[Step], scopes: Sequence[Scope], taken: Set[str]) -> None:
        self.steps, self.scopes, self.taken = steps, scopes, taken
        self.names: list[str] = []
        self.rows: list[tuple[str, ...]] = []
        self._each = [list(_arguments(scope.items)) for scope in scopes]
        self._expressions: list[Arguments] = []
        for place in range(len(self._each[0])):
            self._expressions.append(self._expression(place))
        self._next = iter(self._expressions)

    def written(self, item: Item) -> Item:
        """An item with expressions for its arguments; to be asked for all, in order."""
        if isinstance(item, Leaf):
            return item._replace(arguments=next(self._next))
        if isinstance(item, Call):
            return item._replace(arguments=next(self._next))
        if isinstance(item, Scope):
            return item._replace(items=tuple(map(self.written, item.items)))
        branches = tuple(tuple(map(self.written, branch)) for branch in item.branches)
        return Join(item.leaf._replace(arguments=next(self._next)), branches, item.main)

    def declared(self) -> Arguments:
        """The formals, those with a default last."""
        defaults = map(self._default, self.rows)
        return tuple(sorted(zip(self.names, defaults, strict=True), key=lambda formal: formal[1] != ""))

    def given(self, number: int) -> Arguments:
        """What a call gives for each formal, in their order."""
        values = {name: row[number] for name, row in zip(self.names, self.rows, strict=True)}
        return tuple((name, values[name]) for name, _ in self.declared())

    def _default(self, row: Sequence[str]) -> str:
        value, times = Counter(row).most_common(1)[0]
        return value if 2 * times > len(row) and len(row) > 2 else ""

    def _expression(self, place: int) -> Arguments:
        """The arguments of one item as expressions."""
        each = [dict(found[place][2]) for found in self._each]
        kind, item = self._each[0][place][:2]
        names = list(dict.fromkeys(name for found in each for name in found))
        if kind in REGISTRY:
            names = [name for name in REGISTRY[kind].arguments() if name in names]
        if "padding" in names and any(values.get("padding") == "half" for values in each):
            each = [_half(values) for values in each]
        found = []
        for name in names:
            row = tuple(values[name] if name in values else _default_of(kind, name) for values in each)
            found.append((name, row[0] if len(set(row)) == 1 else self._named(name, row, place, item)))
        return tuple(found)

    def _named(self, argument: str, row: tuple[str, ...], place: int, item: Item) -> str:
        """An expression for a row of values: of channels that enter, of a formal, or a formal of its own."""
        if row in self.rows:
            return self.names[self.rows.index(row)]
        known = list(zip(self.names, self.rows, strict=True))
        if argument in ("out_channels", "out_features") and isinstance(item, Leaf):
            known += self._channels(place)
        for name, values in known:
            if times := _multiple(row, values):
                return name if times == 1 else f"{times}*{name}"
        name = numbered(FORMALS.get(argument, argument), {*self.taken, *self.names}, "")
        self.names.append(name)
        self.rows.append(row)
        return name

    def _channels(self, place: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The channels that enter an item, and those that enter the block."""
        yield "x.C", tuple(self._size(found[place][1].main) for found in self._each)
        yield "in.C", tuple(self._size(scope.main) for scope in self.scopes)

    def _size(self, volume: int) -> str:
        return str(self.steps[volume].shape.get("C", 0)) if volume >= 0 else "0"


def _half(values: dict[str, str]) -> dict[str, str]:
    """Arguments with the padding of a kernel of 1, none, as `half`, which it is."""
    kernels = set(values.get("kernel_size", "").split("x"))
    return {**values, "padding": "half"} if kernels == {"1"} and "padding" not in values else values


def _default_of(kind: str, name: str) -> str:
    """The default of a layer's argument as a spec writes it."""
    argument = REGISTRY[kind].arguments()[name]
    return argument.type.write(argument.default)


def _multiple(row: Sequence[str], base: Sequence[str]) -> int:
    """How many times one row of numbers another one is; 0 if it isn't."""
    if not all(value.isdigit() and other.isdigit() and int(other) for value, other in zip(row, base, strict=True)):
        return 0
    times, rest = divmod(int(row[0]), int(base[0]))
    equal = all(int(value) == times * int(other) for value, other in zip(row, base, strict=True))
    return times if equal and not rest and 1 <= times <= MANY else 0


def _arguments(items: Sequence[Item]) -> Iterator[tuple[str, Item, Arguments]]:
    """Whatever has arguments, in order: its kind or its block, itself, and them."""
    for item in items:
        if isinstance(item, Leaf):
            yield item.word, item, item.arguments
        elif isinstance(item, Call):
            yield item.block, item, item.arguments
        elif isinstance(item, Scope):
            yield from _arguments(item.items)
        else:
            for branch in item.branches:
                yield from _arguments(branch)
            yield item.leaf.word, item, item.leaf.arguments


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


def _names(items: Sequence[Item]) -> Iterator[str]:
    """The names of submodules."""
    for item in items:
        if isinstance(item, Join):
            for branch in item.branches:
                yield from _names(branch)
        elif isinstance(item, (Scope, Call)):
            scope = item.scope if isinstance(item, Call) else item
            yield scope.name
            yield from _names(scope.items)


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


def _pattern(item: Item, place: dict[int, int]) -> Hashable:
    """What is the same in items that are alike; volumes by their place."""
    if isinstance(item, Leaf):
        return item.word, place.get(item.main), tuple(place.get(read) for read in item.reads)
    if isinstance(item, Call):
        return item.block, place.get(item.main)
    if isinstance(item, Scope):
        name = "" if item.name.isdigit() else item.name
        return name, tuple(_pattern(each, place) for each in item.items)
    return item.leaf.word, tuple(tuple(_pattern(each, place) for each in branch) for branch in item.branches)
