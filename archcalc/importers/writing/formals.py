"""The arguments of blocks: what differs from call to call, as expressions of as few formals as there can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from archcalc.importers.operations.lifting import Step
from archcalc.importers.writing.outline import (
    Arguments,
    Call,
    Item,
    Join,
    Leaf,
    Scope,
    shown_names,
    written_default,
)
from archcalc.layers import REGISTRY

FORMALS = {
    "kernel_size": "k", "stride": "s", "padding": "p", "dilation": "d", "groups": "g", "num_heads": "heads",
    "num_groups": "groups", "activation": "act",
}  # fmt: skip
"""What a block calls an argument."""
CHANNELS = ("out_channels", "out_features")
MANY = 16
"""The largest multiple of another number that isn't a coincidence."""
VOLUME = "volume"
"""The role of a formal that stands for an earlier volume."""
ACTIVATION = "activation"
"""The role of a formal that stands for a kind of layer."""


class Formals:
    """The arguments of a block: one for each row of values that differ from call to call."""

    def __init__(
        self,
        steps: Sequence[Step],
        defaults: Mapping[str, Mapping[str, str]],
        roles: Mapping[str, Mapping[str, str]],
        scopes: Sequence[Scope],
        others: Sequence[Sequence[int]],
    ) -> None:
        self.steps, self.defaults, self.scopes, self._roles = steps, defaults, scopes, roles
        self.rows: dict[str, tuple[str, ...]] = {}
        self.roles: dict[str, str] = {}
        self._taken = set(shown_names(scopes[0].items))
        for place in range(len(others[0])):
            name = numbered("t", {*self._taken, *self.rows}, "")
            self.rows[name], self.roles[name] = tuple(f"@{volumes[place]}" for volumes in others), VOLUME
        names = [list(_scope_names(scope.items)) for scope in scopes]
        self._differing = {place for place, row in enumerate(zip(*names, strict=True)) if len(set(row)) > 1}
        self._place = -1
        self._each = [list(_arguments(scope.items)) for scope in scopes]
        self._bases = self._names_of_channels()
        self._next = iter([self._expression(place) for place in range(len(self._each[0]))])

    def written(self, item: Item) -> Item:
        """An item with expressions for its arguments; to be asked for all, in order."""
        if isinstance(item, Leaf):
            arguments = next(self._next)
            if item.is_activation:
                return item._replace(word=arguments[0][1])
            return item._replace(arguments=arguments)
        if isinstance(item, Call):
            return item._replace(scope=self._with_name(item.scope), arguments=next(self._next))
        if isinstance(item, Scope):
            return self._with_name(item)._replace(items=tuple(map(self.written, item.items)))
        branches = tuple(tuple(map(self.written, branch)) for branch in item.branches)
        return Join(item.leaf._replace(arguments=next(self._next)), branches, item.main)

    def _with_name(self, scope: Scope) -> Scope:
        """A scope without its name, if that differs from call to call."""
        self._place += 1
        return scope._replace(name="0") if self._place in self._differing else scope

    def declared(self) -> Arguments:
        """The formals: channels first, and those with a default last."""
        found = [(name, self._default(row)) for name, row in self.rows.items()]
        order = (*CHANNELS, VOLUME)
        return tuple(sorted(found, key=lambda formal: (formal[1] != "", self.roles[formal[0]] not in order)))

    def given(self, number: int) -> Arguments:
        """What a call gives for each formal, in their order."""
        return tuple((name, self.rows[name][number]) for name, _ in self.declared())

    def _default(self, row: Sequence[str]) -> str:
        value, times = Counter(row).most_common(1)[0]
        if value.startswith("@"):
            return ""
        return value if 2 * times > len(row) and len(row) > 2 else ""

    def _values(self, place: int) -> list[dict[str, str]]:
        """The arguments of one item in each scope."""
        each = [dict(found[place][2]) for found in self._each]
        return [_half(values) for values in each] if any(values.get("padding") == "half" for values in each) else each

    def _names(self, place: int) -> list[str]:
        """The arguments of one item that any scope gives."""
        kind = self._each[0][place][0]
        names = {name for values in self._values(place) for name in values}
        if kind == ACTIVATION:
            return [ACTIVATION]
        order = self._roles[kind] if kind in self._roles else REGISTRY[kind].arguments()
        return [name for name in order if name in names]

    def _row(self, place: int, name: str) -> tuple[str, ...]:
        """The values of an argument of one item."""
        kind = self._each[0][place][0]
        values = [each.get(name) for each in self._values(place)]
        return tuple(self._default_of(kind, name) if value is None else value for value in values)

    def _default_of(self, kind: str, name: str) -> str:
        return self.defaults.get(kind, {}).get(name) or written_default(kind, name)

    def _role(self, place: int, name: str) -> str:
        """The argument of a layer that an argument of an item gives."""
        kind = self._each[0][place][0]
        return self._roles[kind][name] if kind in self._roles else name

    def _expression(self, place: int) -> Arguments:
        """The arguments of one item as expressions."""
        rows = ((name, self._row(place, name)) for name in self._names(place))
        return tuple((name, row[0] if len(set(row)) == 1 else self._named(name, row, place)) for name, row in rows)

    def _named(self, argument: str, row: tuple[str, ...], place: int) -> str:
        """An expression for a row of values: of a formal, of channels that enter, or a formal of its own."""
        role = self._role(place, argument)
        if role == VOLUME:
            return row[0]  # the same place in each
        for name, values in self.rows.items():
            if values == row and (role in CHANNELS) is (self.roles[name] in CHANNELS):
                return name
        if role in CHANNELS and (found := self._of_channels(row, place)):
            return found
        for name, values in self.rows.items():
            if self.roles[name] in CHANNELS and role in (*CHANNELS, "groups") and (times := _multiple(row, values)):
                return f"{times}*{name}"
        base = (
            self._bases.get(row, "c") if role in CHANNELS else FORMALS.get(role, "act" if role == ACTIVATION else role)
        )
        name = numbered(base, {*self._taken, *self.rows, *REGISTRY}, "")
        self.rows[name], self.roles[name] = row, role
        return name

    def _of_channels(self, row: tuple[str, ...], place: int) -> str:
        """A row of channels as the channels that enter an item, or the block, or so many times or parts of them."""
        known = list(self._channels(place))
        for name, values in known:
            if row == values:
                return name
        for name, values in known:
            if times := _multiple(row, values):
                return f"{times}*{name}"
        for name, values in known:
            if times := _multiple(values, row):
                return f"{name}//{times}"
        return ""

    def _channels(self, place: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The channels that enter an item, and those that enter the block."""
        yield "x.C", tuple(self._size(found[place][1].main) for found in self._each)
        yield "in.C", tuple(self._size(scope.main) for scope in self.scopes)

    def _size(self, volume: int) -> str:
        return str(self.steps[volume].shape.get("C", 0)) if volume >= 0 else "0"

    def _names_of_channels(self) -> dict[tuple[str, ...], str]:
        """What rows of channels are called: c, those that leave, others by their number if they're many."""
        rows: dict[tuple[str, ...], None] = {}
        for place in range(len(self._each[0])):
            for name in self._names(place):
                row = self._row(place, name)
                if self._role(place, name) in CHANNELS and len(set(row)) > 1 and not self._of_channels(row, place):
                    rows[row] = None
        leaving = tuple(self._size(scope.out) for scope in self.scopes)
        inner = [row for row in rows if row != leaving and not _multiple(leaving, row)]
        names = (
            {row: f"c{number}" for number, row in enumerate(rows, 1)} if len(inner) > 1 else dict.fromkeys(rows, "c")
        )
        if len(inner) == 1 and len(rows) > 1:
            names[inner[0]] = "mid"
        return names


def _half(values: dict[str, str]) -> dict[str, str]:
    """Arguments with the padding of a kernel of 1, none, as `half`, which it is."""
    kernels = set(values.get("kernel_size", "").split("x"))
    return {**values, "padding": "half"} if kernels == {"1"} and "padding" not in values else values


def _scope_names(items: Sequence[Item]) -> Iterator[str]:
    """The names of scopes and calls, in order."""
    for item in items:
        if isinstance(item, Join):
            for branch in item.branches:
                yield from _scope_names(branch)
        elif isinstance(item, Call):
            yield item.scope.name
        elif isinstance(item, Scope):
            yield item.name
            yield from _scope_names(item.items)


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
        if isinstance(item, Leaf) and item.is_activation:
            yield ACTIVATION, item, ((ACTIVATION, item.word),)
        elif isinstance(item, Leaf):
            yield item.word, item, item.arguments
        elif isinstance(item, Call):
            yield item.block, item, item.arguments
        elif isinstance(item, Scope):
            yield from _arguments(item.items)
        else:
            for branch in item.branches:
                yield from _arguments(branch)
            yield item.leaf.word, item, item.leaf.arguments


def numbered(base: str, taken: Set[str], gap: str = "_") -> str:
    """A name, with a number if it's taken."""
    name, number = base, 2
    while name in taken:
        name, number = f"{base}{gap}{number}", number + 1
    return name
