"""A tree laid out with few passes of each repeat, and how many each of them stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from archcalc.errors import Mark
from archcalc.graph.application import Application
from archcalc.graph.composite import AFTER, BEFORE, Composite, Item, Repeat, exits, over_passes, passes
from archcalc.graph.labels import Label, Numbered
from archcalc.graph.tree import MAX_LAYERS, TooManyLayers, Tree
from archcalc.symbolic import Dim
from archcalc.symbolic.values import value_at
from archcalc.work import spend

LAID_OUT = 12
"""Steps for each layer that is laid out."""


@dataclass(frozen=True)
class Span:
    """The passes that one stands for: of each repeat around it, the inner ones first, from which number to which."""

    passes: tuple[tuple[Repeat, Dim, Dim], ...]

    def __mul__(self, outer: Many) -> Many:
        return Span((*self.passes, *outer.passes)) if isinstance(outer, Span) else self

    def __rmul__(self, _: int) -> Many:
        return self

    def sum(self, amount: Dim) -> Dim:
        """What all these passes have together, given what the one has.

        Raises: NoSum: it has no closed form.
        """
        for repeat, first, last in self.passes:
            amount = over_passes(repeat, amount, first, last)
        return amount

    def greatest(self, amount: Dim, most: Callable[[Dim], int | None] = lambda _: None) -> Dim | None:
        """The most that one of these passes has; None if there are none. `most` bounds numbers of passes.

        Raises: NoSum: it isn't known in which.
        """
        from archcalc.symbolic.sums import greatest

        for repeat, first, last in self.passes:
            if (first, last) == NONE:
                return None
            if repeat.index is not None:
                amount = greatest(amount, repeat.index, first, last, most(last))
        return amount


Many: TypeAlias = "int | Span"
"""How many passes one stands for: so many, or those of a symbolic number."""
NONE = (1, 0)
Passes: TypeAlias = "Callable[[Repeat, Iterable[int]], Iterable[tuple[int, Many, Composite | Application]]]"
"""The passes of a repeat that are laid out, and how many each stands for, given those that aren't like the others."""


def of_numbers(numbers: Mapping[str, int]) -> Passes:
    """All passes, with numbers in place of symbols."""

    def passes(repeat: Repeat, _: Iterable[int]) -> Iterable[tuple[int, Many, Composite | Application]]:
        times = int(value_at(repeat.times, numbers))
        return ((number, 1, repeat.at(number + 1)) for number in range(times))

    return passes


def few_of_symbolic(repeat: Repeat, _: Iterable[int]) -> Iterable[tuple[int, Many, Composite | Application]]:
    """All passes, or of a symbolic number the first, one for all between, and the last."""
    many: Sequence[Many] = [1] * repeat.count
    if repeat.is_open:
        none, between = Span(((repeat, *NONE),)), Span(((repeat, 2, repeat.times - 1),))
        # where sizes change, what a pass reads is as large as in the pass before
        many = [1, between, 1] if repeat.index is None else [1, none, between, none, 1]
    return ((number, times, repeat.laid(number)) for number, times in enumerate(many))


def few(repeat: Repeat, special: Iterable[int]) -> Iterable[tuple[int, Many, Composite | Application]]:
    """The passes that aren't like the others, and of those between them a few."""
    return ((number, many, repeat.body) for number, many in _few(special))


def _few(special: Iterable[int]) -> Iterable[tuple[int, int]]:
    begun = 0
    for number in special:
        many = max(number - begun - BEFORE - AFTER, 1)
        for place in range(begun, min(begun + BEFORE, number)):
            yield place, 1
        if begun + BEFORE < number:
            yield begun + BEFORE, many
        for place in range(begun + BEFORE + many, number):
            yield place, 1
        yield number, 1
        begun = number + 1


class _Part(NamedTuple):
    """An item of a composite, with its name and all that goes with it."""

    item: Item
    name: str | Numbered
    mark: Mark | None
    inner: Label | None


@dataclass(slots=True)
class _Parts:
    """A composite that is laid out: its parts, how often each layer is there, and what the wires seen outside are now.

    `twins` are as in `Laid`, counted from its first layer.
    """

    parts: list[_Part] = field(default_factory=list)
    times: list[Many] = field(default_factory=list)
    twins: list[tuple[int, int, int]] = field(default_factory=list)
    wires: dict[int, int] = field(default_factory=dict)

    def now(self, wire: int) -> int:
        """A wire as it is now; what enters stays what it is."""
        return self.wires[wire] if wire >= 0 else wire

    def add(self, part: _Part, inside: _Parts, entered: Sequence[int], start: int, many: Many = 1) -> None:
        """Add a part that started at a wire, that these wires entered, and that is there so many times."""
        size = len(self.times)
        for wire, there in inside.wires.items():
            self.wires[start + wire] = size + there if there >= 0 else entered[~there]
        self.parts.append(part)
        products = {times: times * many for times in {*inside.times}} if many != 1 else {}
        self.times += [products[times] for times in inside.times] if products else inside.times
        self.twins += [(first + size, second + size, many) for first, second, many in inside.twins]

    def closed(self) -> tuple[Composite, Label, tuple[int, ...]]:
        """All of it as a composite, its names, and which volumes enter: first those that its layers read.

        What only passes read may enter for nothing, since there may be none of them.
        """
        items, names, marks, inner = zip(*self.parts, strict=True) if self.parts else ((),) * 4
        read = {~wire for item in items for wire in item.read if wire < 0}
        named = {~wire for item in items for wire in (*item.reads, item.tied) if wire is not None and wire < 0}
        entering = (*sorted(read), *sorted(named - read))
        now = {~place: ~number for number, place in enumerate(entering)}
        moved = [
            item._replace(reads=tuple([now.get(wire, wire) for wire in item.reads]), tied=now.get(item.tied, item.tied))
            for item in items
        ]
        return Composite(moved, len(read)), Label(names, marks, inner, ()), entering


LAYER = _Parts(times=[1], wires={0: 0})


class Laid:
    """What is laid out as a tree without repeats; how many each node stands for; and the node of each wire.

    `seen` are the wires of the whole that are wanted. Of passes whose number is a symbol only the last one's have a
    node: nothing else is read from outside. `twins` are the first node of each pass that stands for several, the first
    of the pass after it, which is like it, and for how many it stands.
    Raises: TooManyLayers: of the network of this name so much is laid out that it can't be looked at one by one.
    """

    def __init__(self, name: str, tree: Tree, layout: Passes, seen: Iterable[int]) -> None:
        self._layout, self._too_many = layout, TooManyLayers(name, tree.body.size)
        self._known: dict[Any, tuple[Composite, Label, tuple[int, ...], _Parts]] = {}
        body, label, _, found = self._lay(tree.body, tree.label, frozenset(seen))
        self.tree, self.times, self.twins, self.wires = Tree(body, label), found.times, found.twins, found.wires

    def _lay(
        self, call: Composite, label: Label, seen: frozenset[int]
    ) -> tuple[Composite, Label, tuple[int, ...], _Parts]:
        """A composite laid out, once for all places where it has these names and is read alike; and what enters it."""
        key = call, label, seen
        if key not in self._known:
            found = self._composed(call, label, seen)
            found.wires = {wire: found.wires[wire] for wire in seen}
            spend(LAID_OUT * len(found.parts) + len(found.times), "laying out so many layers")
            if len(found.times) > MAX_LAYERS:
                raise self._too_many
            self._known[key] = *found.closed(), found
        return self._known[key]

    def _composed(self, call: Composite, label: Label, seen: frozenset[int]) -> _Parts:
        found = _Parts()
        ties = {item.tied for item in call.items if item.tied is not None}
        wanted = exits(call, seen.union(ties, *(item.reads for item in call.items)))
        labels = zip(label.names, label.marks, label.inner, strict=True)
        for item, start, exit, named in zip(call.items, call.starts, wanted, labels, strict=True):
            reads, tied = tuple(map(found.now, item.reads)), item.tied
            part = _Part(item._replace(reads=reads, tied=tied if tied is None else found.now(tied)), *named)
            put = self._put_passes if isinstance(item.call, Repeat) else self._put
            put(found, part, start, exit)
        return found

    def _put(self, found: _Parts, part: _Part, start: int, seen: frozenset[int], many: Many = 1) -> None:
        """Add a layer or a composite that started at a wire."""
        call = part.item.call
        if isinstance(call, Composite):
            assert part.inner is not None
            laid, label, entering, inside = self._lay(call, part.inner, seen)
            entered = part.item.reads
            item = part.item._replace(call=laid, reads=tuple([entered[place] for place in entering]))
            found.add(part._replace(item=item, inner=label), inside, entered, start, many)
        else:
            found.add(part, LAYER, part.item.reads, start, many)

    def _put_passes(self, found: _Parts, part: _Part, start: int, seen: frozenset[int]) -> None:
        """Add passes of a repeat. Whatever a pass hands on is seen, so that the next one finds it."""
        repeat, names, reads = part.item.call, part.name, part.item.reads
        assert isinstance(repeat, Repeat)
        assert isinstance(names, Numbered)
        special, handed_on = passes(repeat, seen), frozenset([repeat.output] if repeat.output >= 0 else [])
        chained = repeat.chained if handed_on else -1
        if repeat.is_open and chained >= 0:  # without passes, what enters is returned
            found.wires[start + repeat.size - repeat.body.size + repeat.output] = reads[chained]
        for number, many, body in self._layout(repeat, special):
            name = f"{names.before}{names.numbers.start + number * names.numbers.step}{names.after}"
            begun, at = len(found.times), start + (repeat.count - 1 if repeat.is_open else number) * repeat.body.size
            one = _Part(part.item._replace(call=body, reads=reads), name, part.mark, part.inner)
            self._put(found, one, at, special.get(number, handed_on) | handed_on, many)
            if isinstance(many, int) and many != 1 and len(found.times) > begun:
                found.twins.append((begun, len(found.times), many))
            if chained >= 0:
                reads = (*reads[:chained], found.wires[at + repeat.output], *reads[chained + 1 :])
