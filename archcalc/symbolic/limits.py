"""How far unknowns can go: bounds that follow from the form of relations, proved, never sampled.

A relation becomes d <= 0 (an equality: twice), and d is split into grow - fall. Both are sums of products that by their
form never fall in any unknown, so d >= grow(least values) - fall(greatest values): where that is positive, nothing
can be a solution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from archcalc.symbolic.arithmetic import MAX_BITS, canonical_floor, has_no_sign
from archcalc.symbolic.compiled import Function, Program, Uncompilable
from archcalc.symbolic.fractions import as_fraction
from archcalc.work import spend

MAX_STEPS = MAX_BITS
"""Doublings after which an unknown counts as endless: no size has more bits."""

Ends = tuple[int, "int | None"]
"""The least and the greatest value (None: no end)."""


class Limits:
    """Bounds d <= 0 on unknowns, each split into what grows and what falls."""

    def __init__(self, symbols: Sequence[Any], relations: Sequence[Any], least: Sequence[int]) -> None:
        import sympy

        self.least = tuple(least)
        moved = {symbol: sympy.Dummy(symbol.name, integer=True, nonnegative=True) for symbol in symbols}
        shifted = {symbol: moved[symbol] + start for symbol, start in zip(symbols, least, strict=True)}
        places = {dummy: place for place, dummy in enumerate(moved.values())}
        pairs: list[tuple[Any, Any]] = []
        self.of_relation: list[list[int]] = []
        """For each relation its bounds; none if its form says nothing."""
        self.exact: list[bool] = []
        """For each relation whether its bounds say all that it says."""
        for relation in relations:
            found, exact = _split(relation, shifted, list(moved.values()))
            self.exact.append(exact)
            self.of_relation.append(list(range(len(pairs), len(pairs) + len(found))))
            pairs += found
        self.growing = [{places[s] for s in grow.free_symbols} for grow, _ in pairs]
        """For each bound the unknowns with which it gets harder to keep."""
        self.falling = [{places[s] for s in fall.free_symbols} for _, fall in pairs]
        self.grow = Program([grow for grow, _ in pairs], list(moved.values()))
        self.fall = Program([fall for _, fall in pairs], list(moved.values()))
        self._grow, self._fall = self.grow.python(), self.fall.python()

    @cached_property
    def arrays(self) -> tuple[Function, Function]:
        """`grow` and `fall` as functions of NumPy arrays."""
        return self.grow.numpy(), self.fall.numpy()

    def moved(self, values: Sequence[Any]) -> list[Any]:
        """Values (or arrays of them) counted from the least ones, as `grow` and `fall` take them."""
        return [value - start for value, start in zip(values, self.least, strict=True)]

    def usable(self, high: Sequence[int | None], besides: int = -1) -> list[int]:
        """The bounds whose falling part has a greatest value."""
        endless = {place for place, end in enumerate(high) if end is None and place != besides}
        return [bound for bound, uses in enumerate(self.falling) if not uses & endless]

    def upper(self, high: Sequence[int | None], place: int) -> list[int]:
        """The bounds that say how large one unknown can be."""
        return [bound for bound in self.usable(high) if place in self.growing[bound]]

    def lower(self, high: Sequence[int | None], place: int) -> list[int]:
        """The bounds that say how small it can be."""
        return [bound for bound in self.usable(high, place) if place in self.falling[bound]]

    def ends(self, low: Sequence[int], high: Sequence[int | None], place: int) -> Ends | None:
        """Between which values one unknown lies, all being between `low` and `high`; None: there's no solution."""
        tops = [a if b is None else b for a, b in zip(low, high, strict=True)]
        most, least = self._fall(*self.moved(tops)), self._grow(*self.moved(low))
        if any(least[bound] > most[bound] for bound in self.usable(high)):
            return None
        start, end = self.edges(low, high, place)
        return None if end is not None and start > end else (start, end)

    def edges(self, low: Sequence[int], high: Sequence[int | None], place: int) -> Ends:
        """The same if there is a solution; where there's none the first is beyond the last.

        Both move with the other unknowns' limits as if there were some.
        """
        spend(100, "finding how far unknowns can go")
        tops = [a if b is None else b for a, b in zip(low, high, strict=True)]
        most, least = self._fall(*self.moved(tops)), self._grow(*self.moved(low))
        upper, lower = self.upper(high, place), self.lower(high, place)
        first, last = low[place], high[place]

        def fits(value: int) -> bool:
            found = self._grow(*self.moved([*low[:place], value, *low[place + 1 :]]))
            return all(found[bound] <= most[bound] for bound in upper)

        def misses(value: int) -> bool:
            found = self._fall(*self.moved([*tops[:place], value, *tops[place + 1 :]]))
            return any(least[bound] > found[bound] for bound in lower)

        end = last
        if upper and not (last is not None and fits(last)):
            end = _last(fits, first, last) if fits(first) else first - 1
        before = _last(misses, first, end if last is None else last) if lower and misses(first) else first - 1
        return (first if before is None else before + 1), end

    def one_way(self, bounds: Sequence[int], place: int) -> bool:
        """Whether one unknown makes none of these bounds harder to keep, or none of them easier."""
        return not (
            any(place in self.growing[bound] for bound in bounds)
            and any(place in self.falling[bound] for bound in bounds)
        )


def _last(fits: Callable[[int], bool], start: int, end: int | None) -> int | None:
    """The last number that fits, of those from `start` (which does) up to `end`; None: no end was found."""
    step = 1
    while True:
        beyond = start + step if end is None else min(start + step, end)
        if beyond == start:
            return start
        if not fits(beyond):
            break
        start, step = beyond, step * 2
        if step > 1 << MAX_STEPS:
            return None
    while beyond - start > 1:
        middle = (start + beyond) // 2
        start, beyond = (middle, beyond) if fits(middle) else (start, middle)
    return start


def _split(relation: Any, shifted: Mapping[Any, Any], dummies: Sequence[Any]) -> tuple[list[tuple[Any, Any]], bool]:
    """(grow, fall) of each d <= 0 that the relation implies, and whether they say all that it says."""
    import sympy

    difference = sympy.sympify(relation.left) - sympy.sympify(relation.right)
    moved = sympy.expand(difference.xreplace(shifted).replace(sympy.floor, canonical_floor))
    terms = [term.as_coeff_Mul() for term in sympy.Add.make_args(moved)]
    opposite = [(-factor, rest) for factor, rest in terms]
    wanted = {"<=": [terms], ">=": [opposite], "==": [terms, opposite]}.get(relation.relation, [])
    found = [bound for sums in wanted if (bound := _bound(sums, dummies)) is not None]
    exact = bool(wanted) and len(found) == len(wanted) and all(exact for _, _, exact in found)
    return [(grow, fall) for grow, fall, _ in found], exact


def _bound(terms: Sequence[tuple[Any, Any]], dummies: Sequence[Any]) -> tuple[Any, Any, bool] | None:
    """The sum of the terms is at least grow - fall; whether it is just that. None if their form says nothing."""
    import sympy

    grow, fall, exact = sympy.Integer(0), sympy.Integer(0), True
    for factor, rest in terms:
        if never_falls(rest):
            grow, fall = (grow + factor * rest, fall) if factor > 0 else (grow, fall - factor * rest)
            continue
        exact, most = False, _capped(rest)
        if not has_no_sign(rest) or (factor < 0 and not never_falls(most)):
            return None
        if factor < 0:
            fall -= factor * most
    (above, below), (other, divisor) = as_fraction(grow), as_fraction(fall)
    common = math.lcm(below, divisor)
    pair = above * (common // below), other * (common // divisor)
    try:
        Program(pair, dummies)
    except Uncompilable:
        return None
    return (*pair, exact)


def _capped(expr: Any) -> Any:
    """An upper bound on a product of what isn't negative: a minimum with a number in it is at most that."""
    import sympy

    factors = []
    for part in sympy.Mul.make_args(expr):
        numbers = [value for value in part.args if value.is_number] if isinstance(part, sympy.Min) else []
        factors.append(min(numbers) if numbers else part)
    return sympy.Mul(*factors)


def never_falls(expr: Any) -> bool:
    """Whether it is a sum of products of growing parts, none of which is negative, in symbols that aren't either."""
    import sympy

    if expr.is_number:
        return bool(expr.is_nonnegative)
    if expr.is_Symbol:
        return bool(expr.is_nonnegative)
    if expr.is_Add or expr.is_Mul or isinstance(expr, (sympy.floor, sympy.ceiling, sympy.Min, sympy.Max)):
        return all(map(never_falls, expr.args))
    return bool(expr.is_Pow and expr.exp.is_Integer and expr.exp > 0 and never_falls(expr.base))
