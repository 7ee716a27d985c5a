"""The names of a composite's parts: beside it, so that equal composites can be one whatever they are called."""

from __future__ import annotations

from typing import Any, NamedTuple

from archcalc.errors import Mark

UNNAMED = "*"
"""What the names begin with of passes that are laid out of a symbolic number: no spec can say them."""
SHORT = 1000
"""Passes of a repeat whose names are written down where they are looked for."""


class Numbered(NamedTuple):
    """The names of a repeat's passes: `block3`, `block4` …, made when they are asked for."""

    before: str
    numbers: range
    after: str

    @property
    def is_short(self) -> bool:
        """Whether there are so few that each may be written down."""
        return len(self.numbers) <= SHORT

    @property
    def longest(self) -> int:
        """The most characters of a name."""
        return max(len(self.name(0)), len(self.name(-1)))

    def name(self, number: int) -> str:
        """The name of a pass."""
        return f"{self.before}{self.numbers[number]}{self.after}"

    def first(self, count: int) -> Numbered:
        """The names of so many passes, from the first on."""
        return self._replace(numbers=self.numbers[:count])

    def place(self, name: str) -> int | None:
        """The pass of this name."""
        number = self.number_in(name)
        return self.numbers.index(number) if number is not None and number in self.numbers else None

    def number_in(self, name: str) -> int | None:
        """The number in a name that is made like these, whether or not it is one of them."""
        middle = name[len(self.before) : len(name) - len(self.after)]
        if not (name.startswith(self.before) and name.endswith(self.after) and middle.removeprefix("-").isdecimal()):
            return None
        if len(middle) > 30 or str(int(middle)) != middle:
            return None
        return int(middle)


class Alias(NamedTuple):
    """A name that the spec gives to a volume, a layer's or what a scope returned; it's there after `position` items."""

    position: int
    name: str
    wire: int | None


class Label:
    """The names of the items, where the spec has them, the labels of what is inside them, and names for volumes.

    A repeat has a rule for the names of its passes, and one label for all of them.
    """

    __slots__ = ("_index", "_longest", "aliases", "inner", "marks", "names")

    def __init__(
        self,
        names: tuple[str | Numbered, ...],
        marks: tuple[Mark | None, ...],
        inner: tuple[Label | None, ...],
        aliases: tuple[Alias, ...],
    ) -> None:
        self.names, self.marks, self.inner, self.aliases = names, marks, inner, aliases
        self._index: _Index | None = None
        self._longest = -1

    def __reduce__(self) -> tuple[type[Label], tuple[Any, ...]]:
        return Label, (self.names, self.marks, self.inner, self.aliases)

    @property
    def longest(self) -> int:
        """The most characters of a name in it, scopes included."""
        if self._longest < 0:
            lengths = [len(alias.name) for alias in self.aliases]
            for name, inner in zip(self.names, self.inner, strict=True):
                own = len(name) if isinstance(name, str) else name.longest
                lengths.append(own + 1 + inner.longest if inner else own)
            self._longest = max(lengths, default=0)
        return self._longest

    @property
    def index(self) -> _Index:
        """Where each name is, looked up in one go when it's first asked for."""
        if self._index is None:
            self._index = _indexed(self)
        return self._index

    def part(self, head: str) -> tuple[int, int] | None:
        """The number of the item that is called so, and of the pass if it's one of a repeat, else 0."""
        if head in self.index.items:
            return self.index.items[head]
        for number, names in self.index.repeats:
            if (place := names.place(head)) is not None:
                return number, place
        return None


class _Index(NamedTuple):
    """The items and passes by their names, the passes of long repeats apart; and the wires that have names."""

    items: dict[str, tuple[int, int]]
    repeats: list[tuple[int, Numbered]]
    volumes: dict[str, int | None]


def _indexed(label: Label) -> _Index:
    items: dict[str, tuple[int, int]] = {}
    repeats: list[tuple[int, Numbered]] = []
    for number, name in enumerate(label.names):
        if isinstance(name, str):
            items[name] = number, 0
        elif name.is_short:
            items.update((name.name(place), (number, place)) for place in range(len(name.numbers)))
        else:
            repeats.append((number, name))
    return _Index(items, repeats, {alias.name: alias.wire for alias in label.aliases})


def same_labels(one: Label | None, other: Label | None, known: set[tuple[int, int]]) -> bool:
    """Whether two labels are equal; `known` are pairs that are, since labels may be in many places."""
    if one is other or (id(one), id(other)) in known:
        return True
    if one is None or other is None or len(one.inner) != len(other.inner):
        return False
    equal = (one.names, one.marks, one.aliases) == (other.names, other.marks, other.aliases) and all(
        same_labels(a, b, known) for a, b in zip(one.inner, other.inner, strict=True)
    )
    if equal:
        known.add((id(one), id(other)))
    return equal
