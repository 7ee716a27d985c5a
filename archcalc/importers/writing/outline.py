"""Steps as the items of a spec: scopes as the module has submodules, and branches where its operations fork and join.

A spec goes from volume to volume, so each item has one volume that enters it and one that it makes; whatever else it
reads has to be named. Branches are found from their ends: what joins several volumes goes back to the last one that
they all come from, if what lies between is a row of items for each, which nothing else reads.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias

from archcalc.importers.operations.lifting import Lifted, Step
from archcalc.layers import REGISTRY, Layer
from archcalc.shape import Shape

JOINS = ("add", "mul", "concat", "opaque")
COMBINE = "combine"
"""The last layer of a mixture of experts: as a join its branches are the router with its choice, and the experts."""
ACTIVATIONS = (
    "relu", "relu6", "leaky", "elu", "selu", "celu", "gelu", "quick_gelu", "mish", "silu", "hardswish", "hardsigmoid",
    "sigmoid", "tanh", "softplus", "softsign",
)  # fmt: skip
UNNAMED = ("", "Sequential", "ModuleList", "ModuleDict")
"""Classes that say nothing about what is in them."""
EXPONENT = re.compile(r"e-0")
"""What Python writes for 1e-6 before the 6."""
GROUP = "group"
"""The class of layers that stand together under a name, since their volume is read elsewhere."""
FEW = 3
"""Layers that are worth a name."""
FARTHEST = 200
"""Items between a fork and what joins its branches."""


Arguments: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, as a spec writes them."""


class Leaf(NamedTuple):
    """One step as an item, with arguments as a spec writes them; `reads` are volumes besides the one that enters."""

    step: int
    word: str
    arguments: Arguments
    main: int
    reads: tuple[int, ...] = ()
    tied: int | None = None

    @property
    def is_activation(self) -> bool:
        """Whether it's an activation without arguments: one may stand where another one does."""
        return self.word in ACTIVATIONS and not self.arguments

    @property
    def out(self) -> int:
        """The volume that it makes."""
        return self.step


class Join(NamedTuple):
    """Branches that start from one volume and are joined: rows of items, an empty one for the volume itself."""

    leaf: Leaf
    branches: tuple[tuple[Item, ...], ...]
    main: int

    @property
    def out(self) -> int:
        """The volume that it makes."""
        return self.leaf.step


class Scope(NamedTuple):
    """A submodule: its name in the one around it, its class, and what is in it.

    `shared` is the path of one that is called several times and holds parameters.
    """

    name: str
    class_name: str
    items: tuple[Item, ...]
    main: int
    shared: str = ""

    @property
    def out(self) -> int:
        """The volume that it makes."""
        return self.items[-1].out if self.items else self.main


class Call(NamedTuple):
    """A scope that is a call of a block; `reads` are volumes besides the one that enters."""

    scope: Scope
    block: str
    arguments: Arguments
    reads: tuple[int, ...] = ()

    @property
    def main(self) -> int:
        """The volume that enters it."""
        return self.scope.main

    @property
    def out(self) -> int:
        """The volume that it makes."""
        return self.scope.out


Item: TypeAlias = "Leaf | Join | Scope | Call"
Path: TypeAlias = "Sequence[tuple[str, str, str]]"
"""The submodules around a step: the name of each in the one around it, its class, and its path if it's shared."""


class Outline:
    """Arranges the steps of a module."""

    def __init__(self, lifted: Lifted, defaults: Mapping[str, Mapping[str, str]]) -> None:
        self.steps, self.defaults = lifted.steps, defaults
        self.readers = Counter(read for step in lifted.steps for read in step.inputs)
        self.readers.update(lifted.outputs)
        self.owners = {step.tied for step in lifted.steps}
        """Steps whose matrices others share, by a path, which branches have none of."""

    def items(self) -> tuple[Item, ...]:
        """All of them, as the items of the network."""
        shared = shared_paths(self.steps)
        paths = [_path(step, shared) for step in self.steps]
        return self._arranged([self._leaf(number) for number in range(len(self.steps))], paths, 0)

    def _leaf(self, number: int) -> Leaf:
        step = self.steps[number]
        own = self.defaults.get(step.layer.kind, {})
        values = dict(arguments_of(step.layer, step.shape))
        found = []
        for name in step.layer.arguments():
            value = values.get(name)
            if name in own:
                value = None if _means(value, values, own[name]) else value or written_default(step.layer.kind, name)
            if value is not None:
                found.append((name, value))
        reads = () if is_inside(step.layer) else step.inputs[1:]
        return Leaf(number, step.layer.kind, tuple(found), step.inputs[0], reads, step.tied)

    def _arranged(self, leaves: Sequence[Leaf], paths: Sequence[Path], depth: int) -> tuple[Item, ...]:
        """Leaves in one submodule as items: those in a submodule of it together, then branches together."""
        found: list[Item] = []
        for (name, kind, shared), group in _grouped(paths, depth):
            if not name:
                found += [leaves[place] for place in group]
                continue
            while group and not shared and self._enters(leaves, group):
                found.append(leaves[group.pop(0)])
            if not group:
                continue
            inside = self._arranged([leaves[place] for place in group], [paths[place] for place in group], depth + 1)
            found += [_scope(name, kind, inside, shared)] if self._gives_one(inside) else inside
        return self._joined(found)

    def _enters(self, leaves: Sequence[Leaf], group: Sequence[int]) -> bool:
        """Whether a submodule begins by joining volumes: one volume enters what comes after it."""
        first, inside = leaves[group[0]], {leaves[place].step for place in group}
        return first.word in JOINS and bool(first.reads) and not inside & {first.main, *first.reads}

    def _joined(self, items: Sequence[Item]) -> tuple[Item, ...]:
        """Items with branches together; in another order if more of them are found so."""
        found = self._with_joins(items)
        if _left(found):
            other = self._with_joins(_depth_first(items))
            found = other if _left(other) < _left(found) else found
        return found

    def _with_joins(self, items: Sequence[Item]) -> tuple[Item, ...]:
        done: list[Item] = []
        for item in items:
            if isinstance(item, Leaf) and item.word in JOINS and (item.reads or item.word != "opaque"):
                done = self._join(done, item)
            elif isinstance(item, Leaf) and item.word == COMBINE:
                done = self._mixture(done, item)
            else:
                done.append(item)
        return tuple(done)

    def _join(self, done: list[Item], leaf: Leaf) -> list[Item]:
        """The items with a join added, that has taken up the branches that end in it."""
        ends = (leaf.main, *leaf.reads)
        for start in range(len(done), max(-1, len(done) - FARTHEST), -1):
            forks = {done[start - 1].out} if start else {item.main for item in done[:1]} | set(ends)
            for fork in forks:
                branches = self._branches(done[start:], fork, ends)
                if branches is not None:
                    if leaf.word == "add":  # a sum's terms have no order: the longest is what the others go past
                        branches = tuple(sorted(branches, key=lambda branch: -sum(1 for _ in leaves(branch))))
                    return [*done[:start], Join(leaf, branches, fork)]
        return [*done, leaf]

    def _mixture(self, done: list[Item], leaf: Leaf) -> list[Item]:
        """The items with a mixture in place of its router, its choice, and all that its experts do."""
        makes = {item.out: place for place, item in enumerate(done)}
        expert = _back(done, makes, leaf.main, lambda item: isinstance(item, Leaf) and item.word == "dispatch")
        if not expert or not isinstance(first := done[expert[0]], Leaf):
            return [*done, leaf]
        shares = self.steps[first.step].inputs[1]
        router = _back(done, makes, shares, lambda item: item.main == first.main)
        if not router or set(router) & set(expert):
            return [*done, leaf]
        rows = tuple(tuple(done[place] for place in row) for row in (router, expert))
        left = [item for place, item in enumerate(done) if place not in {*router, *expert}]
        return [*left, Join(leaf, rows, first.main)]

    def _branches(self, items: Sequence[Item], fork: int, ends: Sequence[int]) -> tuple[tuple[Item, ...], ...] | None:
        """Items as rows that start from one volume and end in these; None if they aren't."""
        rows: dict[int, tuple[Item, ...]] = {}
        inside = {leaf.step for leaf in leaves(items)}
        for item in items:
            before: tuple[Item, ...] = ()
            if item.main != fork:
                if item.main not in rows or self.readers[item.main] != self._times_read(item, item.main):
                    return None
                before = rows.pop(item.main)
            reads = item.reads if isinstance(item, Leaf) else ()
            if item.out in rows or (reads and isinstance(item, Leaf) and (item.word in JOINS or inside & {*reads})):
                return None
            if not self.owners.isdisjoint(leaf.step for leaf in leaves([item])):
                return None
            rows[item.out] = (*before, item)
        if set(rows) != set(ends) - {fork} or len(set(ends)) != len(ends):
            return None
        if any(self.readers[end] != 1 for end in rows):
            return None
        return tuple(rows.get(end, ()) for end in ends)

    def _times_read(self, item: Item, volume: int) -> int:
        """How many layers in an item read a volume."""
        return sum(self.steps[leaf.step].inputs.count(volume) for leaf in leaves([item]))

    def _gives_one(self, items: Sequence[Item]) -> bool:
        """Whether nothing but what they make last is read from elsewhere."""
        inside = {leaf.step for leaf in leaves(items)} - {items[-1].out}
        read = Counter(read for leaf in leaves(items) for read in self.steps[leaf.step].inputs)
        return all(read[step] == self.readers[step] for step in inside)


def _back(
    done: Sequence[Item], makes: Mapping[int, int], volume: int, is_first: Callable[[Item], bool]
) -> tuple[int, ...]:
    """The places of the items that a volume comes from, one after the other; none if the first one isn't there."""
    found: list[int] = []
    while volume in makes:
        found.insert(0, makes[volume])
        if is_first(done[found[0]]):
            return tuple(found)
        volume = done[found[0]].main
    return ()


def is_inside(layer: Layer) -> bool:
    """Whether a layer reads where tokens are sent, which its mixture says."""
    return "router" in layer.arguments() or hasattr(layer, "inner")


def _left(items: Sequence[Item]) -> int:
    """Merges whose branches aren't together."""
    return sum(isinstance(item, Leaf) and item.word in JOINS and bool(item.reads) for item in items)


def _depth_first(items: Sequence[Item]) -> list[Item]:
    """The same items, each branch from its beginning to its end before the next one."""
    makes = {item.out: place for place, item in enumerate(items)}
    needs: list[list[int]] = []
    for place, item in enumerate(items):
        volumes = [volume for leaf in leaves([item]) for volume in (leaf.main, *leaf.reads, leaf.tied)]
        needs.append([makes[volume] for volume in volumes if volume in makes and makes[volume] < place])
    read = {place for row in needs for place in row}
    found: dict[int, None] = {}
    for last in (place for place in range(len(items)) if place not in read):
        waiting = [last]
        while waiting:
            place = waiting[-1]
            missing = [each for each in needs[place] if each not in found]
            if missing:
                waiting.append(missing[0])
            else:
                found.setdefault(waiting.pop())
    return [items[place] for place in found]


def _scope(name: str, kind: str, items: tuple[Item, ...], shared: str) -> Item:
    """A submodule as an item: what is alone in it has its place, unless it's called several times."""
    if shared:
        return Scope(name, kind, items, items[0].main, shared)
    if len(items) == 1 and isinstance(items[0], Leaf):
        return items[0]
    if len(items) == 1 and isinstance(items[0], Scope) and not items[0].shared:
        inner = items[0]
        return inner._replace(name=name, class_name=kind if kind not in UNNAMED else inner.class_name)
    return Scope(name, kind, items, items[0].main)


def shared_paths(steps: Sequence[Step]) -> set[str]:
    """The paths of submodules that are called several times and hold parameters; of nested ones the outermost."""
    again = [around.path for step in steps if step.stored for around in step.around if around.call]
    return {path for path in again if not any(path.startswith(f"{other}.") for other in again)}


def _path(step: Step, shared: Set[str]) -> Path:
    """Where a step is."""
    found: list[tuple[str, str, str]] = []
    so_far = ""
    for around in step.around:
        inner = around.path[len(so_far) :].lstrip(".") if around.path.startswith(so_far) else around.path
        *outer, last = inner.split(".")
        found += [(name, "", "") for name in outer]
        name = last if not around.call else f"{last}@{around.call}"
        found.append((name, around.kind, around.path if around.path in shared else ""))
        so_far = around.path
    return found


def _grouped(paths: Sequence[Path], depth: int) -> Iterator[tuple[tuple[str, str, str], list[int]]]:
    """Places that stand side by side in one submodule, with what is said of it; no name for those in no deeper one."""
    begun: tuple[tuple[str, str, str], list[int]] | None = None
    for place, path in enumerate(paths):
        around = path[depth] if len(path) > depth else ("", "", "")
        if begun and begun[0][0] == around[0]:
            begun[1].append(place)
        else:
            if begun:
                yield begun
            begun = around, [place]
    if begun:
        yield begun


def own_name(item: Item) -> str:
    """The name that the module has for an item; none for numbers, and for a pair of layers."""
    scope = item.scope if isinstance(item, Call) else item
    if not isinstance(scope, Scope) or scope.name.isdigit() or scope.shared:  # a call has the name of its module
        return ""
    if scope.class_name == GROUP:
        return scope.name
    return "" if len(scope.items) < FEW and all(isinstance(each, Leaf) for each in scope.items) else scope.name


def shown_names(items: Sequence[Item]) -> Iterator[str]:
    """The names of submodules that a text shows."""
    for item in items:
        if isinstance(item, Join):
            for branch in item.branches:
                yield from shown_names(branch)
        elif isinstance(item, (Scope, Call)):
            yield own_name(item)
            yield from shown_names((item.scope if isinstance(item, Call) else item).items)


def arguments_of(layer: Layer, made: Shape) -> tuple[tuple[str, str], ...]:
    """A layer's arguments by name, as a spec writes them: those that have another value than their default.

    Of one that each expert has of its own they are those of one.
    """
    layer = getattr(layer, "inner", layer)
    found, rank = [], len(made.spatial) or 1
    for name, argument in layer.arguments().items():
        value = getattr(layer, name)
        if argument.type.name in ("Tensor", "Tie"):
            continue
        text = EXPONENT.sub("e-", argument.type.write(value))
        if argument.required:
            sides = rank if argument.type.name == "Extent" and not isinstance(value, tuple) else 1
            found.append((name, "x".join([text] * sides)))
        elif value != argument.default:
            found.append((name, text))
    return tuple(found)


def written_default(kind: str, name: str) -> str:
    """The default of a layer's argument as a spec writes it."""
    argument = REGISTRY[kind].arguments()[name]
    return EXPONENT.sub("e-", argument.type.write(argument.default))


def _means(value: str | None, values: Mapping[str, str], default: str) -> bool:
    """Whether a value, or none, is what a default of the spec says: half of a kernel of 1 is no padding."""
    return value == default or (value is None and default == "half" and _is_point(values))


def _is_point(values: Mapping[str, str]) -> bool:
    return set(values.get("kernel_size", "").split("x")) == {"1"}


def usual_arguments(steps: Sequence[Step]) -> Iterator[tuple[str, str, str]]:
    """Arguments that might be said once for all layers of a kind: the kind, the name, and the value of most of them.

    One whose absence has a meaning of its own has to be that of all.
    """
    each: dict[str, list[dict[str, str]]] = defaultdict(list)
    for step in steps:
        if step.layer.is_opaque:  # each is about an operation of its own
            continue
        each[step.layer.kind].append(dict(arguments_of(step.layer, step.shape)))
    for kind, alike in each.items():
        for name, argument in REGISTRY[kind].arguments().items():
            values = Counter(
                arguments.get(name, "") for arguments in alike if name != "padding" or not _is_point(arguments)
            )
            value = max(values, key=lambda one: values[one], default="")
            if (
                value
                and not argument.required
                and (len(values) == 1 or (argument.default is not None and name != "stride"))
            ):
                yield kind, name, value


def leaves(items: Sequence[Item]) -> Iterator[Leaf]:
    """Every leaf, in the order in which a spec builds them."""
    for item in items:
        if isinstance(item, Leaf):
            yield item
        elif isinstance(item, Join):
            for branch in item.branches:
                yield from leaves(branch)
            yield item.leaf
        else:
            yield from leaves((item.scope if isinstance(item, Call) else item).items)


def reads(items: Sequence[Item]) -> Iterator[int]:
    """Volumes that have to be named: those that an item reads which isn't what comes before it."""
    yield from _reads(items, items[0].main if items else 0)


def _reads(items: Sequence[Item], current: int) -> Iterator[int]:
    jumps = False
    for item in items:
        merges = isinstance(item, Leaf) and item.reads and item.word in JOINS
        if isinstance(item, Leaf) and merges:
            yield from (volume for volume in (item.main, *item.reads) if volume != current or jumps)
        elif item.main != current:
            yield item.main
        if isinstance(item, Leaf):
            yield from item.reads if not merges else ()
            if item.tied is not None:
                yield item.tied
        elif isinstance(item, Join):
            for branch in item.branches:
                yield from _reads(branch, item.main)
        elif isinstance(item, Call):
            yield from item.reads
        else:
            yield from _reads(item.items, item.main)
        jumps = not merges and (jumps or item.main != current)
        current = item.out
