"""Sequences that follow a law from pass to pass: what the law is, and sums and extremes over it in closed form.

A formula of pass i is a sum of products of powers of i and of numbers to the power of i, times what doesn't depend on
i. Such a sum has an antidifference F with F(i + 1) - F(i) = f(i) that is found term by term, so f(a) + … + f(b) is
F(b + 1) - F(a): exactly, whatever symbols a and b are (Faulhaber's formulas, and geometric sums).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from archcalc.symbolic.arithmetic import (
    Dim,
    canonical_floor,
    is_never_negative,
    is_power_of_number,
    is_symbolic,
    known,
    maximum,
    minimum,
)
from archcalc.work import spend

MAX_RATIO = 16
"""The most by which a size may be multiplied from pass to pass."""
SHOWN_AT_LEAST = 4
"""Values that show a law, unless they are all the same."""
MAX_CANCELLED = 100
"""Operations of a formula in which divisors are looked for that cancel."""
MAX_SEEN = 100
"""Passes that are looked at one by one for the greatest."""
MAX_DEGREE = 8
"""The highest power of the number of a pass in a formula that is summed."""


class NoSum(Exception):
    """A formula has no sum in closed form, or none that is known here; the text says of what."""


def has(size: object, index: Any) -> bool:
    """Whether a size depends on the number of the pass."""
    return is_symbolic(size) and index in size.free_symbols


def at(size: Dim, index: Any, place: Dim) -> Dim:
    """A size in one pass, by its number."""
    if not has(size, index):
        return size
    import sympy

    there: Any = size.xreplace({index: sympy.sympify(place)})  # type: ignore[union-attr]  # it has the symbol
    return tidy(there.replace(sympy.floor, canonical_floor))


def law(values: Sequence[Dim], index: Any) -> Dim | None:
    """What a sequence is at `index`, whose value is the first where that is 1; None if no law shows.

    A polynomial of low degree, or a constant and multiples of a power: those that the values show with one to spare.
    """
    if not any(map(is_symbolic, values)) and len(set(values)) == 1:
        return values[0]
    import sympy

    rows = [[sympy.expand(value) for value in values]]
    while len(rows[-1]) > 1 and any(value != 0 for value in rows[-1]):
        rows.append([sympy.expand(b - a) for a, b in zip(rows[-1], rows[-1][1:], strict=False)])
    if len(values) < SHOWN_AT_LEAST and any(value != 0 for value in rows[1]):
        return None
    if len(rows[-1]) > 1:  # the differences of differences … are 0
        steps = (row[0] * _choose(index - 1, number) for number, row in enumerate(rows[:-1]))
        return tidy(sum(steps))
    first, *more = rows[1]
    ratio = sympy.cancel(more[0] / first) if first != 0 else sympy.nan
    if not (ratio.is_Integer and 1 < ratio <= MAX_RATIO):
        return None
    if any(sympy.expand(b - ratio * a) != 0 for a, b in zip(rows[1], more, strict=False)):
        return None
    offset = sympy.expand(rows[0][0] - first / (ratio - 1))
    if any(not term.as_coeff_Mul()[0].is_Integer for term in sympy.Add.make_args(offset)):
        return None  # of sums of fractions SymPy is wrong about whether they are integers
    return tidy(offset + first * ratio ** (index - 1) / (ratio - 1))


def tidy(formula: Any) -> Dim:
    """A formula multiplied out, with one power of a number for each symbol: 8**n and not 2**n*4**n."""
    import sympy

    found = sympy.expand(sympy.sympify(formula))
    if any(is_power_of_number(part) for part in found.atoms(sympy.Pow)):
        found = sympy.Add(*map(_with_joint_powers, sympy.Add.make_args(found)))
    return _plain(found)


def _with_joint_powers(term: Any) -> Any:
    import sympy

    powers: dict[Any, Any] = {}
    others = []
    for part in sympy.Mul.make_args(term):
        slope, exponent = part.exp.as_coeff_Mul() if is_power_of_number(part) else (sympy.nan, None)
        if slope.is_Integer and 0 < slope <= MAX_RATIO:
            powers[exponent] = powers.get(exponent, 1) * part.base**slope
        else:
            others.append(part)
    return sympy.Mul(*others, *(base**exponent for exponent, base in powers.items()))


def _choose(of: Any, number: int) -> Any:
    """The binomial coefficient, as a polynomial."""
    return math.prod((of - step for step in range(number)), start=Fraction(1, math.factorial(number)))


def _plain(value: Any) -> Dim:
    return int(value) if value.is_Integer else value


def summed(formula: Dim, index: Any, first: Dim, last: Dim) -> Dim:
    """The sum of a formula where `index` is `first`, and so on until `last`; 0 where that is one less.

    Raises: NoSum: it isn't a sum of powers.

    >>> from archcalc import dim
    >>> i, n = dim("i"), dim("n")
    >>> summed(3 * i + 2**i, i, 1, n)
    2*2**n + 3*n**2/2 + 3*n/2 - 2
    """
    if not has(formula, index):
        return (last - first + 1) * formula
    import sympy

    terms = sympy.Add.make_args(_powers(formula, index))
    spend(20 * len(terms), "summing up formulas over passes")
    parts: dict[tuple[Any, int], Any] = {}
    for term in terms:
        factor, ratio, power = _parted(term, index)
        parts[ratio, power] = parts.get((ratio, power), 0) + factor
    total: Any = 0
    for (ratio, power), factor in parts.items():
        before, after = (_antidifference(ratio, power, sympy.sympify(place)) for place in (first, last + 1))
        total = total + factor * (after - before)
    return tidy(total)


def _powers(formula: Any, index: Any) -> Any:
    """A formula multiplied out, without the extremes that are decided, and the divisors that cancel."""
    import sympy

    if formula.has(sympy.Max):
        formula = formula.replace(sympy.Max, maximum)
    found = sympy.expand(formula)
    divisors = (part for part in found.atoms(sympy.Pow) if part.exp.is_negative and part.has(index))
    if any(part.is_rational_function() for part in divisors) and sympy.count_ops(found) <= MAX_CANCELLED:
        found = sympy.expand(sympy.cancel(found))
    return found


def _parted(term: Any, index: Any) -> tuple[Any, Any, int]:
    """(a, r, k) of a term a * r**index * index**k.

    Raises: NoSum: it's another one.
    """
    import sympy

    factor, rest = term.as_independent(index, as_Add=False)
    ratio, power = sympy.Integer(1), 0
    for part in sympy.Mul.make_args(rest):
        base, exponent = part.as_base_exp()
        if base == index and exponent.is_Integer and 0 < exponent <= MAX_DEGREE:
            power += int(exponent)
            continue
        slope = exponent.coeff(index) if base.is_Integer and base > 1 else sympy.nan
        others = sympy.expand(exponent - slope * index)
        if not (slope.is_Integer and 0 < slope <= MAX_RATIO) or others.has(index):
            if part != 1:
                raise NoSum(f"{part} can't be summed up over i' = 1, 2 …".replace("i'", str(index)))
            continue
        ratio, factor = ratio * base**slope, factor * base**others
    if power > MAX_DEGREE:
        raise NoSum(f"{index}**{power} is too high a power to be summed up")
    return factor, ratio, power


def _antidifference(ratio: Any, power: int, place: Any) -> Any:
    """F(place) of an F with F(i + 1) - F(i) = ratio**i * i**power."""
    import sympy

    factors = _factors(int(ratio), power)
    polynomial = sum(sympy.Rational(f.numerator, f.denominator) * place**exponent for exponent, f in factors.items())
    return sympy.expand(polynomial) * ratio**place


@cache
def _factors(ratio: int, power: int) -> Mapping[int, Fraction]:
    """The polynomial G with ratio * G(i + 1) - G(i) = i**power, as factors by exponent."""
    found: dict[int, Fraction] = {}
    if ratio == 1:  # Faulhaber: from (i + 1)**(k + 1) - i**(k + 1)
        found[power + 1] = Fraction(1, power + 1)
        for lower in range(power):
            for exponent, factor in _factors(1, lower).items():
                less = Fraction(math.comb(power + 1, lower), power + 1) * factor
                found[exponent] = found.get(exponent, Fraction(0)) - less
        return {exponent: factor for exponent, factor in found.items() if factor}
    for exponent in range(power, -1, -1):
        carried = sum(math.comb(higher, exponent) * factor for higher, factor in found.items())
        found[exponent] = (int(exponent == power) - ratio * carried) / Fraction(ratio - 1)
    return found


def greatest(formula: Dim, index: Any, first: Dim, last: Dim, most: int | None = None) -> Dim:
    """The greatest value of a formula where `index` is `first`, and so on until `last`, which is at most `most`.

    Raises: NoSum: it isn't known where that is.

    >>> from archcalc import dim
    >>> i, n = dim("i"), dim("n")
    >>> greatest(3 * i + 2, i, 1, n), greatest((i - 5) ** 2, i, 1, n), greatest(i * (6 - i), i, 1, n)
    (3*n + 2, Max(16, n**2 - 10*n + 25), -Min(3, n)**2 + 6*Min(3, n))
    """
    if not has(formula, index):
        return formula
    formula = tidy(formula)
    more = at(formula, index, index + 1) - formula
    if rises(more):
        return at(formula, index, last)
    if rises(-more):
        return at(formula, index, first)
    if rises(at(tidy(more), index, index + 1) - more):  # it falls, if at all, before it rises
        return maximum(at(formula, index, first), at(formula, index, last))
    if (top := _top(formula, more, index, most)) is not None:
        reached = isinstance(first, int) and first >= top
        return at(formula, index, first if reached else maximum(first, minimum(last, top)))
    raise NoSum(f"{formula} may be greatest for any {index}")


def _top(formula: Any, more: Any, index: Any, most: int | None) -> int | None:
    """From where on a formula never rises, if it never falls before; None if it does, or has other symbols."""
    if formula.free_symbols != {index}:
        return None
    seen = min(MAX_SEEN if most is None else most, MAX_SEEN)
    spend(5 * seen, "looking for the greatest of all passes")
    steps = [known(at(more, index, place)) for place in range(1, seen)]
    top = next((place for place, step in enumerate(steps, 1) if step < 0), None)
    if top is None or any(step > 0 for step in steps[top:]):
        return None
    return top if seen == most or rises(-at(more, index, index + top - 1)) else None


def rises(more: Dim) -> bool:
    """Whether a difference is certainly never negative."""
    more = tidy(more)
    return more >= 0 if isinstance(more, int) else is_never_negative(more)
