"""A module's operations, to be searched for what programs spell out in several of them, from the last one back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from archcalc.importers.operations.constants import Constants, run, tensors
from archcalc.importers.operations.exported import NOTHING, Entered, Exported, Operation, Result, Stored

Found = Callable[["Program", int], Operation | None]
"""Looks for a pattern that ends at an operation; what is in its place."""


class Program:
    """The operations, those that stand for others already, and constants."""

    def __init__(self, exported: Exported) -> None:
        self.exported, self.original = exported, exported.operations
        self.constants = Constants(exported.operations, exported.constants, exported.tokens)
        self.now = list(exported.operations)
        self.changed = {made.arguments[0] for made in self.original if made.name.partition(".")[0].endswith("_")}
        self.numbers: dict[int, int] = {}
        self.known: dict[Hashable, int] = {}
        self.findings: dict[Hashable, Any] = {}

    def base_name(self, number: int) -> str:
        """An operation's name without its overload."""
        return self.now[number].name.partition(".")[0]

    def operation(self, operand: Any, *names: str) -> Operation | None:
        """The operation that made an operand, if it's one of these."""
        if not isinstance(operand, Result) or operand.part:
            return None
        found = self.now[operand.operation]
        return found if found.name.partition(".")[0].rstrip("_") in names else None

    def number(self, operand: Any) -> float | None:
        """The number that an operand is, written so or as a constant of one value."""
        if isinstance(operand, (int, float)) and not isinstance(operand, bool):
            return operand
        value = self.constants.value(operand)
        return float(value) if value is not None and value.numel() == 1 and value.is_floating_point() else None

    def same(self, one: Any, other: Any) -> bool:
        """Whether two operands are the same values: one operation's, or those of two that do the same to the same."""
        return one is not None and self.alike(one) == self.alike(other)

    def alike(self, operand: Any) -> Hashable:
        """What operands have in common that are the same values."""
        if isinstance(operand, list):
            return tuple(map(self.alike, operand))
        if not isinstance(operand, Result) or operand in self.changed:
            return operand if isinstance(operand, Hashable) else id(operand)
        if operand.operation not in self.numbers:
            made = self.original[operand.operation]
            named = tuple((name, self.alike(each)) for name, each in made.named.items())
            key = made.name, made.shape, tuple(map(self.alike, made.arguments)), named
            self.numbers[operand.operation] = self.known.setdefault(key, len(self.known))
        return "made", self.numbers[operand.operation], operand.part

    def written(self, cone: Sequence[int], base: Any) -> Hashable:
        """What operations have in common that do the same to their bases, and to what they read besides."""
        places = {number: place for place, number in enumerate(cone)}

        def of(operand: Any) -> Hashable:
            if isinstance(operand, list):
                return tuple(map(of, operand))
            if operand == base:
                return "base"
            if isinstance(operand, Result) and operand.operation in places:
                return "inside", places[operand.operation], operand.part
            return self.alike(operand)

        made = [self.original[number] for number in cone]
        return tuple((each.name, tuple(map(of, each.arguments)), tuple(map(of, each.named.values()))) for each in made)

    def kept(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """What has been found for such a key before, or is found now."""
        if key not in self.findings:
            self.findings[key] = find()
        return self.findings[key]

    def shape(self, operand: Result | Entered) -> tuple[int, ...]:
        """The shape of a tensor."""
        if isinstance(operand, Entered):
            return self.exported.inputs[operand.number][1]
        made = self.original[operand.operation]
        return made.shapes[operand.part] if made.shapes else made.shape

    def depends(self, operand: Any) -> bool:
        """Whether an operand is a tensor that isn't a constant."""
        return isinstance(operand, (Result, Entered, Stored)) and self.constants.value(operand) is None

    def read(self, number: int) -> list[Any]:
        """What an original operation reads that isn't constant."""
        made = self.original[number]
        return [each for each in tensors([*made.arguments, *made.named.values()]) if self.depends(each)]

    def cone(self, number: int, base: Result | Entered) -> list[int]:
        """The original operations between a base and one that is made of it, that one included."""
        found, left = set[int](), [number]
        while left:
            at = left.pop()
            if at not in found:
                found.add(at)
                left += [each.operation for each in self.read(at) if isinstance(each, Result) and each != base]
        return sorted(found)

    def values(self, number: int, base: Result | Entered, value: Any) -> Any:
        """What an original operation gives if a base has this value."""
        known: dict[Result, Any] = {}

        def of(operand: Any) -> Any:
            if operand == base:
                return value
            made = known.get(operand._replace(part=0)) if isinstance(operand, Result) else None
            if made is None:
                return self.constants.value(operand)
            return made[operand.part] if isinstance(made, (list, tuple)) else made

        for at in self.cone(number, base):
            made = self.original[at]
            known[Result(at)] = run(made, {each: of(each) for each in tensors([*made.arguments, *made.named.values()])})
        return known[Result(number)]

    def bases(self, number: int, through: Callable[[Operation], bool]) -> Iterator[Result | Entered]:
        """Tensors that an operation is made of, each of one alone, the nearest first.

        Between are only operations of which `through` is true.
        """
        frontier: set[Any] = set(self.read(number))
        if not through(self.original[number]):
            return
        while frontier and all(isinstance(each, (Result, Entered)) for each in frontier):
            if frontier & self.changed:  # it isn't what it was
                return
            if len(frontier) == 1:
                yield next(iter(frontier))
            results = [each for each in frontier if isinstance(each, Result)]
            last = max(results, key=lambda each: each.operation, default=None)
            if last is None or not through(self.original[last.operation]):
                return
            frontier = {
                each for each in frontier if not (isinstance(each, Result) and each.operation == last.operation)
            }
            frontier |= set(self.read(last.operation))

    def rewritten(self, patterns: Sequence[Found]) -> Exported:
        """The operations with those in place that stand for others; nothing for what is read no more."""
        for number in range(len(self.original)):
            if self.constants.value(Result(number)) is None:
                for pattern in patterns:
                    if (found := pattern(self, number)) is not None:
                        self.now[number] = found
        changed = [number for number, made in enumerate(self.now) if made is not self.original[number]]
        if not changed:
            return self.exported
        alive = self._alive(self._inside(changed))
        operations = tuple(made if number in alive else NOTHING for number, made in enumerate(self.now))
        return replace(self.exported, operations=operations, original=self.original)

    def _alive(self, inside: set[int]) -> set[int]:
        """Operations that are read, whatever isn't inside a pattern, and those that change in place what is read."""
        writers: dict[Any, list[int]] = defaultdict(list)
        for number, made in enumerate(self.now):
            if made.name.partition(".")[0].endswith("_"):
                writers[made.arguments[0]].append(number)
        left = [each.operation for each in self.exported.outputs if isinstance(each, Result)]
        left += [number for number in range(len(self.now)) if number not in inside]
        found = set[int]()
        while left:
            number = left.pop()
            if number not in found:
                found.add(number)
                for each in tensors([*self.now[number].arguments, *self.now[number].named.values()]):
                    left += [each.operation] if isinstance(each, Result) else []
                    left += writers[each]
        return found

    def _inside(self, changed: Sequence[int]) -> set[int]:
        """Operations that were read for those that something stands for now."""
        found, left = set[int](), list(changed)
        while left:
            at = left.pop()
            if at not in found:
                found.add(at)
                made = self.original[at]
                left += _results(made)
        return found


def _results(made: Operation) -> list[int]:
    read = tensors([*made.arguments, *made.named.values()])
    return [each.operation for each in read if isinstance(each, Result)]
