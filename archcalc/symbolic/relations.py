"""Equalities, bounds and divisibility between sizes: decided where they can be, else assumed, which is a condition.

`differ`, `exceeds`, `indivisible` and `is_zero` ask whether something is certainly wrong, and are true only then. What
depends on the symbols is assumed to be right, and becomes a `Condition` of whoever is collecting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from itertools import product
from typing import Any

from archcalc.symbolic.arithmetic import (
    Dim,
    is_always_positive,
    is_never_negative,
    is_never_whole,
    is_never_zero,
    is_power_of_number,
    is_symbolic,
    maximum,
    minimum,
    without_powers,
)
from archcalc.symbolic.conditions import assume, assume_bound, assume_multiple, is_collecting, parted

MAX_RESIDUES = 4096
"""Remainders that are tried one by one, to see which of them a divisibility means."""
MAX_CANCELLED = 20
"""Terms of an expression whose common factors are looked for."""


# --- equality -----------------------------------------------------------------------------------------------------


def differ(a: Dim, b: Dim) -> bool:
    """Whether a and b are known to be unequal; an undecided equality is assumed and becomes a condition."""
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(a != b)
    import sympy

    difference = sympy.expand(a - b)
    if difference.is_zero:
        return False
    if difference.is_number or is_never_zero(difference):
        return True
    if not is_collecting():
        return False
    if (quotient := _as_quotient(difference)) is not None:
        return indivisible(*quotient)
    if (found := _root(difference)) is not None:
        symbol, number = found
        if number.denominator > 1 or number < 1:
            return True
        assume(symbol, "==", int(number))
        return False
    if _fails_everywhere(difference):
        return True
    _assume_whole(a, "==", b)
    return False


def none_equal(*pairs: tuple[Dim, Dim]) -> bool:
    """Whether all pairs are known to differ; if it's undecided, one of them is assumed to be of equals."""
    if not any(is_symbolic(size) for pair in pairs for size in pair):
        return all(a != b for a, b in pairs)
    import sympy

    differences = []
    for a, b in pairs:
        difference = sympy.expand(a - b)
        if difference.is_zero:
            return False
        if difference.is_number or is_never_zero(difference) or _fails_everywhere(difference):
            continue
        differences.append(difference)
    if not differences:
        return True
    if len(differences) == 1:
        return differ(differences[0], 0)
    assume(sympy.Mul(*map(_whole, differences), evaluate=False), "==", 0)
    return False


def _fails_everywhere(difference: Any) -> bool:
    """Whether it is certainly never 0, as its sign is always the same."""
    return is_always_positive(difference) or is_always_positive(-difference)


def _root(difference: Any) -> tuple[Any, Fraction] | None:
    """The one symbol of a linear expression, and where that is 0."""
    constant, rest = difference.as_coeff_Add()
    factor, symbol = rest.as_coeff_Mul()
    if not symbol.is_Symbol or not constant.is_Rational:
        return None
    number = -constant / factor
    return symbol, Fraction(int(number.p), int(number.q))


def _as_quotient(difference: Any) -> tuple[Any, Any] | None:
    """(u, m), if the expression is 0 exactly where m divides u.

    That are multiples of u mod m, and ⌊u + δ⌋ - u for 0 <= δ < 1, which is how rounded sizes meet exact ones.
    """
    import sympy

    _, rest = difference.as_coeff_Mul()
    if isinstance(rest, sympy.Mod):
        return rest.args[0], rest.args[1]
    floors = [term for term in sympy.Add.make_args(difference) if term.has(sympy.floor)]
    if len(floors) != 1:
        return None
    factor, rounded = floors[0].as_coeff_Mul()
    if not isinstance(rounded, sympy.floor):
        return None
    exact = sympy.expand((floors[0] - difference) / factor)
    offset = sympy.expand(rounded.args[0] - exact)
    return (exact, 1) if offset.is_Rational and 0 <= offset < 1 else None


def agreement(pairs: Iterable[tuple[Dim, Dim]]) -> Dim:
    """1 where all pairs are of equals, else 0: a number, or an expression that has these values."""
    distances = []
    for a, b in pairs:
        if not is_symbolic(difference := a - b):
            if difference != 0:
                return 0
            continue
        if (distance := _distance(difference)) is None:
            return 0
        distances.append(distance)
    return 1 - minimum(1, sum(distances)) if distances else 1


def _distance(difference: Any) -> Any:
    """The absolute value of a difference; None if it's certainly not 0."""
    import sympy

    difference = sympy.expand(difference)
    if is_never_zero(difference) or (not difference.is_zero and _fails_everywhere(difference)):
        return None
    return 0 if difference.is_zero else maximum(difference, -difference)


# --- bounds -------------------------------------------------------------------------------------------------------


def exceeds(a: Dim, b: Dim) -> bool:
    """Whether a > b is certain; if it's undecided, a <= b is assumed and becomes a condition."""
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(a > b)
    import sympy

    margin = _unwrapped(sympy.expand(b - a))
    if is_never_negative(margin):
        return False
    if is_always_positive(-margin):
        return True
    constant, rest = margin.as_coeff_Add()
    factor, symbol = rest.as_coeff_Mul()
    if not symbol.is_Symbol or not constant.is_Rational:
        _assume_whole(a, "<=", b)
    elif factor > 0:
        assume_bound(symbol, ">=", int(sympy.ceiling(-constant / factor)))
    else:
        assume_bound(symbol, "<=", int(sympy.floor(-constant / factor)))
    return False


def _unwrapped(margin: Any) -> Any:
    """What is negative where `margin` is, without its outer floors: k⌊u⌋ + c >= 0 means u >= ⌈-c/k⌉ for k > 0."""
    import sympy

    constant, rest = margin.as_coeff_Add()
    factor, inner = rest.as_coeff_Mul()
    if not isinstance(inner, sympy.floor) or factor < 0 or not constant.is_Rational:
        return margin
    return _unwrapped(sympy.expand(inner.args[0] - sympy.ceiling(-constant / factor)))


def _assume_whole(left: Any, relation: str, right: Any) -> None:
    """Collect a relation; where there are fractions or numbers alone, with integers and nothing negative."""
    import sympy

    plain = is_symbolic(left) and is_symbolic(right)
    if plain and all(_is_whole(sympy.sympify(side)) for side in (left, right)):
        assume(left, relation, right)
        return
    added, subtracted = parted(_whole(sympy.expand(left - right)))
    assume(added, relation, subtracted)


def _whole(expr: Any) -> Any:
    """An expression times the common denominator of its coefficients."""
    import sympy

    factors = [term.as_coeff_Mul()[0] for term in sympy.Add.make_args(expr)]
    return sympy.expand(expr * math.lcm(*(int(factor.q) for factor in factors if factor.is_Rational)))


def _is_whole(expr: Any) -> bool:
    """Whether an expression is an integer wherever it has a value; SymPy says less of what may divide by zero."""
    return _is_whole_form(without_powers(expr))


def _is_whole_form(expr: Any) -> bool:
    if bool(expr.is_integer) or type(expr).__name__ in ("floor", "ceiling"):
        return True
    if expr.is_Add or expr.is_Mul or type(expr).__name__ in ("Mod", "Min", "Max"):
        return all(map(_is_whole_form, expr.args))
    return bool(expr.is_Pow and expr.exp.is_Integer and expr.exp > 0) and _is_whole_form(expr.base)


# --- divisibility -------------------------------------------------------------------------------------------------


def indivisible(a: Any, b: Any) -> bool:
    """Whether b certainly doesn't divide a; if it's undecided, it's assumed to, and that becomes a condition.

    Either may be a fraction: `indivisible(c / 6, 1)` asks whether c / 6 is certainly no integer.
    """
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(Fraction(a) % b != 0)
    import sympy

    above, below = sympy.fraction(sympy.together(_cancelled(a / sympy.sympify(b))))
    above = sympy.expand(above)
    if below.is_Integer:
        return _not_multiple(above, int(below))
    if above.is_zero:
        return False
    assume(sympy.Mod(above, below, evaluate=False), "==", 0)
    return False


def _cancelled(quotient: Any) -> Any:
    """A quotient of polynomials without common factors, where looking for them is cheap."""
    import sympy

    if sympy.fraction(sympy.together(quotient))[1].is_Integer or sympy.count_ops(quotient) > MAX_CANCELLED:
        return quotient
    try:
        return sympy.cancel(quotient)
    except sympy.PolynomialError:
        return quotient


def _not_multiple(value: Any, modulus: int) -> bool:
    """Whether an integer expression is certainly no multiple of a number; else assume that it is."""
    import sympy

    terms = [term.as_coeff_Mul() for term in sympy.Add.make_args(value)]
    if not all(factor.is_Integer and _is_whole(rest) for factor, rest in terms):
        assume(sympy.Mod(value, modulus, evaluate=False), "==", 0)
        return False
    terms = [(int(factor) % modulus, rest) for factor, rest in terms if factor * _divisor(rest) % modulus]
    common = math.gcd(*(factor for factor, _ in terms)) or modulus
    modulus //= math.gcd(modulus, common)
    value = sympy.Add(*(factor // common % modulus * rest for factor, rest in terms))
    if modulus == 1:
        return False
    if value.is_Integer:
        return int(value) % modulus != 0
    symbols = sorted(value.free_symbols, key=lambda symbol: symbol.name)
    if value.is_polynomial(*symbols) and modulus ** len(symbols) <= MAX_RESIDUES:
        return _not_residue(value, modulus, symbols)
    assume_multiple(value, modulus)
    return False


def _divisor(product: Any) -> int:
    """A number that divides a product, as it's in powers of numbers: 4 divides 2**(n + 1)."""
    import sympy

    found = 1
    for factor in sympy.Mul.make_args(product):
        if is_power_of_number(factor):
            least = factor.exp.xreplace(dict.fromkeys(factor.exp.free_symbols, sympy.Integer(1)))
            sure = least.is_Integer and least <= MAX_CANCELLED and is_never_negative(factor.exp - least)
            found *= int(factor.base) ** int(least) if sure else 1
    return found


def _not_residue(value: Any, modulus: int, symbols: list[Any]) -> bool:
    """The same for a polynomial, by trying all remainders: c² is a multiple of 4 where c is one of 2."""
    import sympy

    function = sympy.Poly(value, *symbols)
    residues = product(range(modulus), repeat=len(symbols))
    good = {numbers for numbers in residues if int(function.eval(numbers)) % modulus == 0}
    if not good:
        return True
    if len(good) == modulus ** len(symbols):
        return False
    if len(symbols) == 1:
        step = modulus // len(good)
        if good == {(n,) for n in range(0, modulus, step)}:
            assume_multiple(symbols[0], step)
            return False
    assume_multiple(value, modulus)
    return False


def is_zero(value: Dim) -> bool:
    """Whether a divisor is certainly 0; if it's undecided, it's assumed not to be, which becomes a condition."""
    if not is_symbolic(value):
        return bool(value == 0)
    import sympy

    expanded = sympy.expand(value)
    if expanded.is_zero:
        return True
    if is_never_zero(expanded) or not is_collecting() or _fails_everywhere(expanded):
        return False
    if (found := _root(expanded)) is None:
        assume(_whole(expanded), "!=", 0)
    elif found[1].denominator == 1 and found[1] >= 1:
        assume(found[0], "!=", int(found[1]))
    return False


def as_integer(value: object) -> Dim | None:
    """Return `value` as an integer size, or None if it's a fraction or no number at all.

    An expression that may be an integer is assumed to be one, which becomes a condition: c / 6 needs c % 6 == 0.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else None
    if is_symbolic(value):
        if value.is_Integer:
            return int(value)
        return None if is_never_whole(value) or (not _is_whole(value) and indivisible(value, 1)) else value
    return None


# --- what is known for a while -----------------------------------------------------------------------------------

_assumed: ContextVar[tuple[Any, ...]] = ContextVar("assumed", default=())


@contextmanager
def assuming(margin: Dim) -> Iterator[None]:
    """Take it as known that something is never negative."""
    token = _assumed.set((*_assumed.get(), margin))
    try:
        yield
    finally:
        _assumed.reset(token)


def truth(comparison: Any) -> bool | None:
    """Whether a comparison of SymPy holds for all numbers; None if it's true for some, or that isn't known.

    >>> from archcalc import dim
    >>> i, n = dim("i"), dim("n")
    >>> with assuming(n - i - 1):
    ...     print(truth(i < n), truth(i >= n), truth(i < n - 1))
    True False None
    """
    import sympy

    if comparison in (sympy.true, sympy.false):
        return bool(comparison)
    strict = isinstance(comparison, (sympy.StrictLessThan, sympy.StrictGreaterThan))
    if not (strict or isinstance(comparison, (sympy.LessThan, sympy.GreaterThan))):
        return None
    margin = comparison.gts - comparison.lts  # greater than, less than
    if is_surely_not_negative(margin - int(strict)):
        return True
    return False if is_surely_not_negative(int(strict) - margin - 1) else None


def is_surely_not_negative(value: Any) -> bool:
    """Whether it's certain that an integer polynomial is 0 or more, with what is known for a while."""
    if not (value.is_integer and value.is_polynomial()):
        return False
    margins = (value, *(value - known for known in _assumed.get()))
    return any(is_never_negative(margin) if is_symbolic(margin) else margin >= 0 for margin in margins)
