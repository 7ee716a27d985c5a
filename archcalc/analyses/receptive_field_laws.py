"""Receptive fields where the number of passes of a repeat is a symbol: formulas in the number of the pass.

The law. What enters a pass is followed through a few passes, which show how its bounds and its stride go on: by as much
each time, as a polynomial, or by a factor. That it goes on so is proved, not taken for granted: on what the law says of
pass i', whatever number that is, the pass must return what it says of pass i' + 1. The few passes are compared as well.
All else about a field must be the same in all passes, but for the first few, which may be special.

Whether two paths are aligned, or as long, is asked of formulas only where the answer is the same for all numbers. What
all positions see together isn't followed back through passes: a global layer sees everything, or has no formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import Any

from archcalc.analyses.field import Field, Fields
from archcalc.analyses.positions import Seen
from archcalc.analyses.receptive_field import Path, Propagation
from archcalc.errors import ShapeError
from archcalc.graph import Application, Graph, NoNumber, Repeat
from archcalc.graph.composite import Call, number_of_pass
from archcalc.symbolic import Condition, Dim, collecting_conditions, is_never_negative, is_never_zero, is_symbolic
from archcalc.symbolic.sums import SHOWN_AT_LEAST, at, has, law, tidy
from archcalc.work import spend

SHOWN = 6
"""So many passes are gone through for a law."""
SPECIAL = SHOWN + 1 - SHOWN_AT_LEAST
"""At most so many passes at the beginning may be special."""
MOST = 100_000
"""Layers of all passes of a repeat that are gone through one by one."""
TOLD = SHOWN + 1
"""So many sizes are told that follow no law."""
UNSEEN = 0
"""The place of all that stands before the source."""


class NoLaw(Exception):
    """Fields follow no law from pass to pass, or none that is known here; the text says of what."""


@dataclass(frozen=True, repr=False)
class OpenFields:
    """The fields of all nodes of a graph whose number of layers is a symbol.

    A pass that is laid out between the first and the last has formulas in its number. Some nodes are `refused`, with
    the reason. `needed` is what must hold for some others.
    """

    graph: Graph
    fields: Sequence[Fields]
    refused: Mapping[int, str]
    needed: Mapping[int, frozenset[Condition]]

    def of(self, index: int) -> Fields:
        """One node's.

        Raises: NoNumber: it has no formula.
        """
        if index in self.refused:
            message = f"{self.graph.name} has no closed form of this receptive field: {self.refused[index]}"
            raise NoNumber(message, "give the symbol a value")
        return self.fields[index]

    def needs(self, *indices: int) -> list[Condition]:
        """How many passes some nodes' formulas need, of which the first ones are special."""
        return sorted(frozenset().union(*(self.needed.get(index, ()) for index in indices)), key=str)


def open_fields(graph: Graph, source: int = 0) -> OpenFields:
    """What the nodes of a graph whose number of layers is a symbol see of the first input, or of another node."""
    found = _ByLaw(graph, source)
    places = found.through(graph.tree.body, (), 0)
    fields = [found.found[place] for place in places]
    refused = {index: found.refused[place] for index, place in enumerate(places) if place in found.refused}
    needed = {index: found.needs(place) for index, place in enumerate(places) if found.needs(place)}
    return OpenFields(graph, fields, refused, needed)


class _ByLaw(Propagation):
    """Fields forward through a tree; a volume is known by its place in `found`."""

    def __init__(self, graph: Graph, source: int) -> None:
        super().__init__(graph.tree.node(source).shape)
        self.source = source
        self.refused: dict[int, str] = {}
        self._needed: dict[int, frozenset[Condition]] = {}
        self._add({}, covers=False, alike=True)

    def through(self, call: Call, entering: Sequence[int], start: int) -> list[int]:
        """The places of all volumes that a part makes which starts at a node, given the places of what enters it."""
        if isinstance(call, Application):
            return [self._layer(call, entering, start)]
        if isinstance(call, Repeat):
            return self._repeat(call, entering, start)
        places: list[int] = []
        for item, first in zip(call.items, call.starts, strict=True):
            reads = [places[wire] if wire >= 0 else entering[~wire] for wire in item.reads]
            places += self.through(item.call, reads, start + first)
        return places

    # --- layers ---------------------------------------------------------------------------------------------------

    def _layer(self, application: Application, entering: Sequence[int], start: int) -> int:
        if start < self.source:
            return UNSEEN
        spend(6, "receptive fields of so many layers")
        if start == self.source:
            self._begin()
            return len(self.found) - 1
        if why := next((self.refused[place] for place in entering if place in self.refused), ""):
            return self._refuse(why)
        try:
            with collecting_conditions() as unknown:
                self._go_through(application, entering)
            if unknown:
                raise NoLaw(f"it depends on whether {unknown[0]}")
        except NoLaw as error:
            return self._refuse(str(error))
        return self._needing(self.needs(*entering))

    def _refuse(self, why: str) -> int:
        self._add({}, covers=False, alike=True)
        self.refused[len(self.found) - 1] = why
        return len(self.found) - 1

    def seen_by(self, place: int, start: Seen | None = None) -> Seen | None:  # noqa: ARG002  # it's what all share
        """What some positions see together: never known.

        Raises: NoLaw: always.
        """
        raise NoLaw("what a global layer sees of part of the input has to be followed back through all passes")

    def _constant(self, path: Path, at: Application, place: int) -> Fields:
        fields = self.found[place]
        if all(field.constant and field.follows and not field.bounded for field in fields.values()):
            return fields  # whichever positions are read
        return super()._constant(path, at, place)

    def _merged(self, fields: list[Field], places: Sequence[int], axis: str, joined: str) -> Field:
        """What paths that meet see together.

        Raises: NoLaw: whether they are aligned isn't the same for all numbers.
        """
        fields = [mapped(field, tidy) if _is_symbolic(field) else field for field in fields]
        for one, other in combinations([field for field in fields if not field.constant], 2):
            _check_comparable(one, other)
        return mapped(super()._merged(fields, places, axis, joined), _by_maxima)

    # --- passes ---------------------------------------------------------------------------------------------------

    def _repeat(self, repeat: Repeat, entering: Sequence[int], start: int) -> list[int]:
        if start + repeat.size <= self.source:
            return [UNSEEN] * repeat.size
        try:
            if not repeat.is_open:
                return self._one_by_one(repeat, entering, start)
            if start <= self.source:
                return self._begin_after(repeat, start)
            return self._laid_out(repeat, entering, start)
        except NoLaw as error:
            return [self._refuse(str(error))] * repeat.size

    def _begin_after(self, repeat: Repeat, start: int) -> list[int]:
        """The same if what the last pass returns is the source.

        Raises: NoLaw: the source is something else in them.
        """
        if self.source != start + repeat.size - 1 or repeat.output != repeat.body.size - 1:
            raise NoLaw("what is to be seen stands in one of many passes")
        self._begin()
        return [*[UNSEEN] * (repeat.size - 1), len(self.found) - 1]

    def _one_by_one(self, repeat: Repeat, entering: Sequence[int], start: int) -> list[int]:
        """Passes whose number is known.

        Raises: NoLaw: there are too many.
        """
        if repeat.size > MOST:
            raise NoLaw(f"{repeat.count:,} passes of {repeat.body.size:,} layers aren't gone through beside it")
        places: list[int] = []
        for number in range(repeat.count):
            found = self.through(repeat.body, entering, start + number * repeat.body.size)
            entering = _entering_next(repeat, entering, found)
            places += found
        return places

    def _laid_out(self, repeat: Repeat, entering: Sequence[int], start: int) -> list[int]:
        """The passes that are laid out of a symbolic number.

        Raises: NoLaw: they follow none.
        """
        index = number_of_pass(repeat)
        shown, entered = [], [entering]
        with suppress(ShapeError):  # there are only as many passes as fit
            for passed in range(1, SHOWN + 1):
                shown.append(self.through(repeat.at(passed), entered[-1], start))
                entered.append(_entering_next(repeat, entered[-1], shown[-1]))
        special, posed = self._first_that_follow(repeat, index, shown, entered, start)
        laid: list[int] = []
        for place_laid in range(repeat.count):
            number = repeat.number(place_laid)
            if isinstance(number, int) and number <= len(shown):  # so many are there in a pass of a loop around it
                laid += shown[number - 1] if number else _entering_as_returned(repeat, entering)
                continue
            for wire, place in enumerate(posed):
                there = self._put_in(place, index, number - special)
                returned: Dim = number + int(wire == repeat.output)
                if special and is_symbolic(number) and not is_never_negative(returned - special - 1):
                    there = self._copy(there, Condition(returned, ">=", special + 1))
                laid.append(there)
        return laid

    def needs(self, *places: int) -> frozenset[Condition]:
        """What must hold for what is known of volumes."""
        return frozenset().union(*(self._needed.get(place, ()) for place in places))

    def _first_that_follow(
        self, repeat: Repeat, index: Any, shown: Sequence[list[int]], entered: Sequence[Sequence[int]], start: int
    ) -> tuple[int, list[int]]:
        """How many passes are special, and the places of what pass `index` of those after them makes.

        Raises: NoLaw: none of them follows one.
        """
        errors = []
        for special in range(max(min(SPECIAL + 1, len(shown)), 1)):
            try:
                return special, self._posed(repeat, index, special, shown, entered, start)
            except NoLaw as error:
                errors.append(error)
        raise errors[0]

    def _posed(
        self, repeat: Repeat, index: Any, special: int, shown: Sequence[list[int]], entered: Sequence[Sequence[int]],
        start: int,
    ) -> list[int]:  # fmt: skip
        """The places of what a pass makes of what enters it by the law; it returns what by the law enters the next.

        Raises: NoLaw: there's none that holds after so many special passes.
        """
        entering, chained, body = entered[special], _chained(repeat), repeat.at(index + special)
        if chained is not None:
            known = self._law([each[chained] for each in entered[special:]], index)
            entering = [*entering[:chained], known, *entering[chained + 1 :]]
        places = self.through(body, entering, start)
        if chained is not None:
            returned = places[repeat.output]
            if self.covers[known] and not self.covers[returned]:  # it isn't known of all passes
                self.covers[known] = False
                places = self.through(body, entering, start)
            if not self._same(returned, self._put_in(known, index, index + 1)):
                raise NoLaw("what passes see grows in a way that changes later")
        if any(index in condition.symbols for condition in self.needs(*places)):
            raise NoLaw("some passes have too few passes in them")
        for number, found in enumerate(shown[special:], 1):
            for posed, there in zip(places, found, strict=True):
                if posed not in self.refused and not self._same(self._put_in(posed, index, number), there):
                    raise NoLaw("passes see different things")
        return places

    def _law(self, places: Sequence[int], index: Any) -> int:
        """The place of what follows from what enters a few passes, the first of them where `index` is 1.

        Raises: NoLaw: no law shows.
        """
        if why := next((self.refused[place] for place in places if place in self.refused), ""):
            raise NoLaw(why)
        first = places[0]
        if len({(self.alike[place], tuple(self.found[place])) for place in places}) > 1:
            raise NoLaw("passes see different parts of the input")
        fields = {axis: _law([self.found[place][axis] for place in places], index) for axis in self.found[first]}
        self._add(fields, all(self.covers[place] for place in places), self.alike[first])
        return self._needing(self.needs(*places))

    def _put_in(self, place: int, index: Any, number: Dim) -> int:
        """The place of a volume in the pass of a number."""
        if place in self.refused:
            return place
        fields = self.found[place]
        if not any(_has(field, index) for field in fields.values()):
            return place
        there = {axis: mapped(field, lambda bound: at(bound, index, number)) for axis, field in fields.items()}
        self._add(there, self.covers[place], self.alike[place])
        return self._needing(self.needs(place))

    def _copy(self, place: int, needed: Condition) -> int:
        """The place of the same volume where that needs something else besides."""
        if place in self.refused:
            return place
        self._add(self.found[place], self.covers[place], self.alike[place])
        return self._needing(self.needs(place) | {needed})

    def _needing(self, needs: frozenset[Condition]) -> int:
        """The last place, once it's noted what must hold for what is known of it."""
        if needs:
            self._needed[len(self.found) - 1] = needs
        return len(self.found) - 1

    def _same(self, one: int, other: int) -> bool:
        """Whether the same is known of two volumes, but for whether all of the source is seen."""
        if one in self.refused or other in self.refused:
            return False
        fields = [{axis: mapped(field, tidy) for axis, field in self.found[at].items()} for at in (one, other)]
        return self.alike[one] == self.alike[other] and fields[0] == fields[1]


def _chained(repeat: Repeat) -> int | None:
    """Which of the volumes that enter a pass the one before returned."""
    return repeat.chained if repeat.chained >= 0 and repeat.output >= 0 else None


def _entering_next(repeat: Repeat, entering: Sequence[int], places: Sequence[int]) -> Sequence[int]:
    if (chained := _chained(repeat)) is None:
        return entering
    return [*entering[:chained], places[repeat.output], *entering[chained + 1 :]]


def _entering_as_returned(repeat: Repeat, entering: Sequence[int]) -> list[int]:
    """The places of a pass that isn't there: what enters it is returned, and nothing else is read."""
    chained = _chained(repeat)
    return [entering[chained] if chained is not None and wire == repeat.output else UNSEEN
            for wire in range(repeat.body.size)]  # fmt: skip


def _law(fields: Sequence[Field], index: Any) -> Field:
    """What a field is in pass `index`, given those of the first few.

    Raises: NoLaw: no law shows.
    """
    first = fields[0]
    if all(field == first for field in fields):
        return first
    if any(replace(field, windows=first.windows, advance=first.advance) != first for field in fields):
        raise NoLaw("what is said of fields differs from pass to pass")
    if len({tuple(window is None for window in field.windows) for field in fields}) > 1:
        phases = ", ".join(str(len(field.windows)) for field in fields[:TOLD])
        raise NoLaw(f"positions take turns in what they see: {phases} … of them")

    def follows(values: Sequence[Any]) -> Any:
        found = law(values, index)
        if found is None:
            sizes = ", ".join(str(field.size) for field in fields[:TOLD])
            raise NoLaw(f"passes see {sizes} …, which follows no law")
        return found

    windows = tuple(
        window and (follows([field.windows[phase][0] for field in fields]),  # type: ignore[index]  # all or none is None
                    follows([field.windows[phase][1] for field in fields]))  # type: ignore[index]  # likewise
        for phase, window in enumerate(first.windows)
    )  # fmt: skip
    return replace(first, windows=windows, advance=follows([field.advance for field in fields]))


def _bounds(field: Field) -> list[Any]:
    """All that may be a formula in a field."""
    return [field.advance, *(bound for window in field.windows if window for bound in window)]


def _is_symbolic(field: Field) -> bool:
    return any(map(is_symbolic, _bounds(field)))


def _has(field: Field, index: Any) -> bool:
    return any(has(value, index) for value in (*_bounds(field), *(size for _, size in field.numbered)))


def mapped(field: Field, change: Callable[[Any], Any]) -> Field:
    """The field with other numbers; fractions stay exact."""

    def changed(value: Any) -> Any:
        found = change(value) if is_symbolic(value) else value
        return Fraction(found.p, found.q) if getattr(found, "is_Rational", False) else found

    windows = tuple([window and (changed(window[0]), changed(window[1])) for window in field.windows])
    numbered = tuple((axis, changed(size)) for axis, size in field.numbered)
    return replace(field, windows=windows, advance=changed(field.advance), numbered=numbered)


def _by_maxima(bound: Any) -> Any:
    """A formula in which the least of some is minus the greatest of what they are with the other sign."""
    import sympy

    return bound.replace(sympy.Min, lambda *parts: -sympy.Max(*(-part for part in parts)))


def _check_comparable(one: Field, other: Field) -> None:
    """See that two paths are aligned for all numbers, or for none.

    Raises: NoLaw: it depends on them.
    """
    if one == other or not (_is_symbolic(one) or _is_symbolic(other)):
        return
    differences = [one.advance * len(other.windows) - other.advance * len(one.windows)]
    for position in range(lcm(len(one.windows), len(other.windows))):
        if (seen := one.at(position)) and (beside := other.at(position)):
            differences.append(sum(seen) - sum(beside))
    for difference in map(tidy, differences):
        if is_symbolic(difference) and not is_never_zero(difference):
            raise NoLaw(f"whether paths are aligned depends on whether {difference} is 0")
