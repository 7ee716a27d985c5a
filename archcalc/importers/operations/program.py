"""A module's operations, to be searched for what programs spell out in several of them, from the last one back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(self.same, one, other))
        if one == other or not (isinstance(one, Result) and isinstance(other, Result) and one.part == other.part):
            return bool(one == other)
        first, second = (self.original[each.operation] for each in (one, other))
        if (first.name, first.shape, first.named) != (second.name, second.shape, second.named):
            return False
        return len(first.arguments) == len(second.arguments) and all(map(self.same, first.arguments, second.arguments))

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
        known: dict[Any, Any] = {base: value}

        def of(operand: Any) -> Any:
            if operand in known:
                return known[operand]
            found = self.constants.value(operand)
            if found is None and isinstance(operand, Result) and operand._replace(part=0) in known:
                found = known[operand._replace(part=0)][operand.part]
            return found

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
        inside = self._inside(changed)
        readers = Counter(each for made in self.now for each in _results(made))
        readers.update(each.operation for each in self.exported.outputs if isinstance(each, Result))
        for number in reversed(range(len(self.now))):
            made = self.now[number]
            if number in inside and not readers[number] and not made.name.partition(".")[0].endswith("_"):
                self.now[number] = NOTHING
                readers.subtract(_results(made))
        return replace(self.exported, operations=tuple(self.now), original=self.original)

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
