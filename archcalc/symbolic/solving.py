"""For which integers a relation between expressions in one symbol holds: every one, proved, not sampled.

Sizes are built from sums, products, floors, remainders and extremes, so on every residue class of some period they
are polynomials, from some number on. A polynomial's sign changes at a few places, which its differences give exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from archcalc.symbolic.compiled import Program, compare
from archcalc.symbolic.integer_sets import EVERYTHING, Integers, Segment

MAX_PERIOD = 1 << 14
MAX_START = 1 << 17


class Unsolvable(Exception):
    """The expression is of another kind, or its period is too long."""


@dataclass(frozen=True)
class Course:
    """f(x + period) = f(x) + slope·period from x = `start` on; without slope: a polynomial there on each residue."""

    period: int
    start: int
    degree: int
    slope: Fraction | None

    def joined(self, other: Course, slope: Fraction | None, degree: int) -> Course:
        """The course of what is made of both."""
        period = math.lcm(self.period, other.period)
        if period > MAX_PERIOD:
            raise Unsolvable(f"a pattern of more than {MAX_PERIOD} sizes")
        return Course(period, max(self.start, other.start), degree, slope)


def solutions(left: Any, relation: str, right: Any, symbol: Any) -> Integers:
    """All positive integers for which `left relation right` (==, <=, >=, !=) holds.

    Raises: Unsolvable: a side isn't made of sums, products, floors, remainders and extremes.
    """
    import sympy

    difference = sympy.expand(sympy.sympify(left) - sympy.sympify(right))
    if not difference.free_symbols:
        return EVERYTHING if compare(difference, relation, 0) else Integers()
    course = course_of(difference, symbol)
    program = Program([difference], [symbol])
    function = program.python()

    def value(x: int) -> Fraction | int | None:
        result, *checks = function(x)
        return None if any(checks) else result

    found: list[Segment] = []
    for x in range(1, course.start):
        at = value(x)
        if at is not None and compare(at, relation, 0):
            found.append(Segment(x, x))
    return Integers([*found, *_from_start(value, course, relation)])


def _from_start(value: Any, course: Course, relation: str) -> Iterable[Segment]:
    """The segments from the start of the pattern on."""
    first, period = max(course.start, 1), course.period
    pieces: dict[int, list[tuple[int, bool]]] = {}
    for residue in range(period):
        samples = [value(first + residue + n * period) for n in range(course.degree + 1)]
        if None in samples:  # no integer there: such a size doesn't exist
            pieces[residue] = [(0, False)]
            continue
        signs = sign_pieces(differences(samples))
        pieces[residue] = [(n, bool(compare(sign, relation, 0))) for n, sign in signs]
    turns = sorted({n for found in pieces.values() for n, _ in found})
    for place, n in enumerate(turns):
        residues = frozenset((first + r) % period for r, found in pieces.items() if _at(found, n))
        last = None if place + 1 == len(turns) else first + turns[place + 1] * period - 1
        if residues:
            yield Segment(first + n * period, last, period, residues)


def _at(found: Sequence[tuple[int, bool]], n: int) -> bool:
    return [truth for start, truth in found if start <= n][-1]


def course_of(expr: Any, symbol: Any) -> Course:
    """The pattern of an expression in one symbol."""
    import sympy

    if not expr.free_symbols:
        return Course(1, 1, 0, Fraction(0))
    if expr == symbol:
        return Course(1, 1, 1, Fraction(1))
    if expr.is_Add or expr.is_Mul:
        return _sum_or_product(expr, symbol)
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        base = course_of(expr.base, symbol)
        return Course(base.period, base.start, base.degree * int(expr.exp), None)
    if isinstance(expr, (sympy.floor, sympy.ceiling)):
        return _stepped(course_of(expr.args[0], symbol), 1)
    if isinstance(expr, sympy.Mod) and expr.args[1].is_Integer and expr.args[1] > 0:
        stepped = _stepped(course_of(expr.args[0], symbol), int(expr.args[1]))
        return Course(stepped.period, stepped.start, 0, Fraction(0))
    if isinstance(expr, (sympy.Min, sympy.Max)):
        return _extreme(expr, symbol)
    raise Unsolvable(f"can't solve for {symbol} in {expr}")


def _sum_or_product(expr: Any, symbol: Any) -> Course:
    result: Course | None = None
    factor = Fraction(1)
    for part in expr.args:
        if expr.is_Mul and part.is_Rational:
            factor *= Fraction(int(part.p), int(part.q))
            continue
        course = course_of(part, symbol)
        if result is None:
            result = course
        elif expr.is_Add:
            known = result.slope is not None and course.slope is not None
            slope = result.slope + course.slope if known else None  # type: ignore[operator]
            result = result.joined(course, slope, max(result.degree, course.degree))
        else:
            result = result.joined(course, None, result.degree + course.degree)
    assert result is not None
    slope = None if result.slope is None else result.slope * factor
    return Course(result.period, result.start, result.degree, slope)


def _stepped(course: Course, modulus: int) -> Course:
    """Behind a floor: the period after which the argument has grown by a multiple of `modulus`."""
    if course.slope is None:
        raise Unsolvable("a rounded product of sizes")
    growth = course.slope * course.period / modulus
    period = course.period * growth.denominator
    if period > MAX_PERIOD:
        raise Unsolvable(f"a pattern of more than {MAX_PERIOD} sizes")
    return Course(period, course.start, course.degree, course.slope)


def _extreme(expr: Any, symbol: Any) -> Course:
    """Of two linear courses, the one with the lesser (Max: greater) slope wins from some number on."""
    best, least = expr.args[0], type(expr).__name__ == "Min"
    result = course_of(best, symbol)
    for other in expr.args[1:]:
        course = course_of(other, symbol)
        if result.slope is None or course.slope is None:
            raise Unsolvable("the extreme of products of sizes")
        both = result.joined(course, result.slope, max(result.degree, course.degree))
        if result.slope != course.slope:
            wins = (result.slope < course.slope) == least
            ahead, behind = (best, other) if wins else (other, best)
            slope = (result if wins else course).slope
            both = Course(both.period, _overtaken(ahead, behind, both, symbol, least), both.degree, slope)
        result, best = both, expr.func(best, other, evaluate=False)
    return result


def _overtaken(ahead: Any, behind: Any, both: Course, symbol: Any, least: bool) -> int:
    """From where on `ahead` is the extreme for good."""
    gap = behind - ahead if least else ahead - behind
    function = Program([gap], [symbol]).python()
    grows = Fraction(course_of(gap, symbol).slope or 0) * both.period
    worst = min(Fraction(function(both.start + r)[0]) for r in range(both.period))
    start = both.start + max(0, math.ceil(-worst / grows)) * both.period
    if start > MAX_START:
        raise Unsolvable(f"a pattern that begins beyond {MAX_START}")
    return start


def differences(samples: Sequence[Any]) -> list[Any]:
    """The forward differences at 0 of a polynomial, from its values at 0, 1, 2 and so on."""
    row, found = list(samples), []
    while row:
        found.append(row[0])
        row = [b - a for a, b in pairwise(row)]
    while len(found) > 1 and found[-1] == 0:
        found.pop()
    return found


def sign_pieces(deltas: Sequence[Any]) -> list[tuple[int, int]]:
    """Where a polynomial's sign changes on 0, 1, 2, …: (from here on, sign), the last without end."""

    def sign(n: int) -> int:
        value = sum(math.comb(n, i) * delta for i, delta in enumerate(deltas))
        return int(value > 0) - int(value < 0)

    if len(deltas) == 1:
        return [(0, sign(0))]
    found: list[tuple[int, int]] = []
    slopes = sign_pieces(deltas[1:])
    for place, (start, direction) in enumerate(slopes):
        end = slopes[place + 1][0] if place + 1 < len(slopes) else None
        n: int | None = start
        while n is not None:
            here = sign(n)
            if not found or found[-1][1] != here:
                found.append((n, here))
            n = _change(sign, n, end, here, direction)
    return found


def _change(sign: Any, n: int, end: int | None, here: int, direction: int) -> int | None:
    """The first place after n, before `end`, where a monotonous polynomial has another sign."""
    if direction == 0 or here == direction:
        return None
    step = 1
    while end is None and sign(n + step) == here:
        step *= 2
    high = n + step if end is None else end - 1
    if high <= n or sign(high) == here:
        return None
    low = n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sign(middle) == here else (low, middle)
    return high
