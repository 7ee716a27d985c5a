"""For which integers a relation between expressions in one symbol holds: every one, proved, not sampled.

Sizes are built from sums, products, floors, remainders and extremes, so on every residue class of some period they
are polynomials, from some number on. A polynomial's sign changes at a few places, which its differences give exactly.
Fractions are exact: c/4 <= 5/2 holds up to 10, whether or not c/4 is a size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

from archcalc.symbolic.compiled import Program, compare
from archcalc.symbolic.fractions import as_fraction
from archcalc.symbolic.integer_sets import EVERYTHING, Integers, Segment, Unsolvable

MAX_PERIOD = 1 << 14
MAX_START = 1 << 17
MAX_CASES = 1 << 10
"""Cases that are told apart for extremes (Max, Min) of products."""


@dataclass(frozen=True)
class Course:
    """A function from `start` on: on each residue class of `period` a polynomial, times `denominator` in integers.

    With a slope, f(x + period) = f(x) + slope·period.
    """

    period: int
    start: int
    degree: int
    slope: Fraction | None
    denominator: int = 1

    def joined(self, other: Course, slope: Fraction | None, degree: int, denominator: int) -> Course:
        """The course of what is made of both."""
        return Course(
            _short(math.lcm(self.period, other.period)), max(self.start, other.start), degree, slope, denominator
        )


CONSTANT = Course(1, 1, 0, Fraction(0))


def solutions(left: Any, relation: str, right: Any, symbol: Any) -> Integers:
    """All positive integers for which `left relation right` (==, <=, >=, !=) holds.

    Raises: Unsolvable: a side isn't made of sums, products, floors, remainders and extremes.
    """
    import sympy

    return _solutions(sympy.sympify(left) - sympy.sympify(right), relation, symbol, [MAX_CASES])


def _solutions(difference: Any, relation: str, symbol: Any, cases: list[int]) -> Integers:
    """Where `difference relation 0` holds; `cases` counts down how many more may be told apart."""
    import sympy

    difference = sympy.expand(difference)
    if not difference.free_symbols:
        return EVERYTHING if compare(difference.doit(), relation, 0) else Integers()
    if relation == "==" and (found := _congruence(difference, symbol)) is not None:
        return found
    try:
        return _along(difference, relation, course_of(difference, symbol), symbol)
    except Unsolvable:
        extremes = difference.atoms(sympy.Min, sympy.Max)
        if not extremes:
            raise
    return _by_cases(difference, relation, symbol, min(extremes, key=sympy.count_ops), cases)


def _congruence(difference: Any, symbol: Any) -> Integers | None:
    """Where (a·x + b) mod m is 0, whatever the period; None if the difference is something else."""
    import sympy

    remainder = difference.as_coeff_Mul()[1]
    if not isinstance(remainder, sympy.Mod) or not remainder.args[1].is_Integer or remainder.args[1] <= 0:
        return None
    constant, rest = remainder.args[0].as_coeff_Add()
    factor, unknown = rest.as_coeff_Mul()
    if unknown != symbol or not (constant.is_Integer and factor.is_Integer):
        return None
    a, b, modulus = int(factor), int(constant), int(remainder.args[1])
    common = math.gcd(a, modulus)
    if b % common:
        return Integers()
    period = modulus // common
    residue = -b // common * pow(a // common, -1, period) % period
    return Integers([Segment(1, None, period, frozenset({residue}))])


def _by_cases(difference: Any, relation: str, symbol: Any, extreme: Any, cases: list[int]) -> Integers:
    """Each value of an extreme in its place, where it's the one."""
    found, least = Integers(), type(extreme).__name__ == "Min"
    for value in extreme.args:
        cases[0] -= 1
        if cases[0] < 0:
            raise Unsolvable(f"more than {MAX_CASES} cases of maxima and minima")
        here = _solutions(difference.xreplace({extreme: value}), relation, symbol, cases)
        for other in extreme.args:
            if here and other is not value:
                here = here & _solutions(value - other, "<=" if least else ">=", symbol, cases)
        found = found | here
    return found


def _along(difference: Any, relation: str, course: Course, symbol: Any) -> Integers:
    """The solutions: one by one before the pattern starts, then class by class."""
    function = Program([as_fraction(difference)[0]], [symbol]).python()

    def value(x: int) -> int | None:
        try:
            result, *checks = function(x)
        except ZeroDivisionError:
            return None
        return None if any(checks) else int(result)

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
        samples = [value(first + residue + n * period) for n in range(course.degree + 2)]
        if all(sample is None for sample in samples):  # no integer there: such a size doesn't exist
            pieces[residue] = [(0, False)]
            continue
        if None in samples or len(deltas := differences(samples)) > course.degree + 1:
            raise Unsolvable("an expression without a pattern")
        pieces[residue] = [(n, bool(compare(sign, relation, 0))) for n, sign in sign_pieces(deltas)]
    turns = sorted({n for found in pieces.values() for n, _ in found})
    for place, n in enumerate(turns):
        residues = frozenset((first + r) % period for r, found in pieces.items() if _at(found, n))
        last = None if place + 1 == len(turns) else first + turns[place + 1] * period - 1
        if residues:
            yield Segment(first + n * period, last, period, residues)


def _at(found: Sequence[tuple[int, bool]], n: int) -> bool:
    return [truth for start, truth in found if start <= n][-1]


def course_of(expr: Any, symbol: Any) -> Course:
    """The pattern of an expression in one symbol.

    Raises: Unsolvable: it has none, or one that is too long.
    """
    import sympy

    expr = expr if expr.free_symbols else expr.doit()
    if expr.is_Rational:
        return replace(CONSTANT, denominator=int(expr.q))
    if expr == symbol:
        return Course(1, 1, 1, Fraction(1))
    if expr.is_Add or expr.is_Mul:
        return _sum_or_product(expr, symbol)
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        base, power = course_of(expr.base, symbol), int(expr.exp)
        return replace(base, degree=base.degree * power, slope=None, denominator=base.denominator**power)
    if isinstance(expr, (sympy.floor, sympy.ceiling)):
        above, below = sympy.fraction(sympy.together(expr.args[0], deep=False))
        if below.free_symbols:
            return _fading(above, below, symbol)
        return replace(_stepped(course_of(expr.args[0], symbol), 1), denominator=1)
    if isinstance(expr, sympy.Mod):
        return _remainder(expr.args[0], expr.args[1], symbol)
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
            common = math.lcm(result.denominator, course.denominator)
            result = result.joined(course, slope, max(result.degree, course.degree), common)
        else:
            both = result.denominator * course.denominator
            result = result.joined(course, None, result.degree + course.degree, both)
    assert result is not None
    slope = None if result.slope is None else result.slope * factor
    return replace(result, slope=slope, denominator=result.denominator * factor.denominator)


def _stepped(course: Course, modulus: int) -> Course:
    """After a floor or a remainder: the period after which the argument has grown by a multiple of `modulus`.

    A polynomial through integers is one in binomials, and C(n, i) mod m repeats after m·lcm(1, …, i).
    """
    if course.slope is not None:
        growth = course.slope * course.period / modulus
        return replace(course, period=_short(course.period * growth.denominator))
    repeats = course.denominator * modulus * math.lcm(*range(1, course.degree + 1))
    return replace(course, period=_short(course.period * repeats))


def _remainder(above: Any, below: Any, symbol: Any) -> Course:
    if below.free_symbols:
        return _fading(above, below, symbol)
    if not (below.is_Integer and below > 0):
        raise Unsolvable(f"a remainder by {below}")
    return replace(_stepped(course_of(above, symbol), int(below)), degree=0, slope=Fraction(0))


def _fading(above: Any, below: Any, symbol: Any) -> Course:
    """A constant divided by something that grows: its floor and its remainder are constant in the end."""
    if not above.is_Rational or above < 0:
        raise Unsolvable(f"a division by {below}")
    course = course_of(below, symbol)
    if course.slope is None or course.slope <= 0:
        raise Unsolvable(f"a division by {below}")
    start = _from_where(below - above - 1, symbol, course, course.slope)
    return replace(CONSTANT, start=start, denominator=int(above.q))


def _extreme(expr: Any, symbol: Any) -> Course:
    """Of two linear courses, the one with the lesser (Max: greater) slope wins from some number on."""
    best, least = expr.args[0], type(expr).__name__ == "Min"
    result = course_of(best, symbol)
    for other in expr.args[1:]:
        course = course_of(other, symbol)
        if result.slope is None or course.slope is None:
            raise Unsolvable("the extreme of products of sizes")
        common = math.lcm(result.denominator, course.denominator)
        both = result.joined(course, result.slope, max(result.degree, course.degree), common)
        if result.slope != course.slope:
            wins = (result.slope < course.slope) == least
            ahead, behind = (best, other) if wins else (other, best)
            gap = behind - ahead if least else ahead - behind
            slope = (result if wins else course).slope
            start = _from_where(gap, symbol, both, abs(result.slope - course.slope))
            both = replace(both, start=start, slope=slope)
        result, best = both, expr.func(best, other, evaluate=False)
    return result


def _from_where(gap: Any, symbol: Any, course: Course, slope: Fraction) -> int:
    """From where on something linear that grows by `slope` is at least 0 for good."""
    above, below = as_fraction(gap)
    function = Program([above], [symbol]).python()
    worst = min(Fraction(function(course.start + r)[0], below) for r in range(course.period))
    start = course.start + max(0, math.ceil(-worst / (slope * course.period))) * course.period
    if start > MAX_START:
        raise Unsolvable(f"a pattern that begins beyond {MAX_START:,}")
    return start


def _short(period: int) -> int:
    if period > MAX_PERIOD:
        raise Unsolvable(f"a pattern of more than {MAX_PERIOD:,} sizes")
    return period


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
