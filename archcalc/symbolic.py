"""Sizes that are integers or SymPy expressions, and the few operations that must treat both alike.

Every formula in archcalc is written once and runs on both. With integers nothing here imports SymPy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    import sympy

Dim: TypeAlias = "int | sympy.Expr"
"""A size: an exact integer, or an expression in symbols made by `dim`."""

T = TypeVar("T")

_conditions: ContextVar[list[str] | None] = ContextVar("conditions", default=None)


@cache
def dim(name: str) -> sympy.Symbol:
    """Return the one symbol called `name`: a positive integer.

    Symbols with different assumptions are unequal in SymPy even under one name, so no other place makes them.
    """
    import sympy

    return sympy.Symbol(name, integer=True, positive=True)


def is_symbolic(value: object) -> bool:
    """Whether `value` is an expression rather than a number."""
    return not isinstance(value, (int, Fraction, float, str, tuple, list)) and hasattr(value, "free_symbols")


def terms(value: Any) -> int:
    """At most how many terms an expression has once it's multiplied out."""
    if not is_symbolic(value) or value.is_Atom:
        return 1
    if value.is_Add:
        return sum(map(terms, value.args))
    if value.is_Mul:
        return math.prod(map(terms, value.args))
    base, exponent = value.as_base_exp()
    if value.is_Pow and exponent.is_Integer and exponent > 0:
        several = terms(base)
        return math.comb(int(exponent) + several - 1, several - 1)
    return 1


def prod(factors: Iterable[Any], start: Any = 1) -> Any:
    """Multiply, for integers and expressions alike."""
    for factor in factors:
        start = start * factor
    return start


def floor_div(a: Any, b: Any) -> Any:
    """⌊a / b⌋ in one canonical form: nested floors collapse, and a constant inside lies between 0 and 1.

    ⌊(⌊u⌋ + n) / b⌋ = ⌊(u + n) / b⌋ for integers n and b > 0; ⌊u + n⌋ = ⌊u⌋ + n.
    """
    if not is_symbolic(a) and not is_symbolic(b):
        return a // b
    import sympy

    inner = sympy.expand(a)
    floors = [term for term in sympy.Add.make_args(inner) if isinstance(term, sympy.floor)]
    if len(floors) == 1 and isinstance(b, int) and (inner - floors[0]).is_integer:
        inner = inner - floors[0] + floors[0].args[0]
    constant, rest = sympy.expand(inner / b).as_coeff_Add()
    whole = sympy.floor(constant)
    return sympy.floor(rest + constant - whole) + whole


def ceil_div(a: Any, b: Any) -> Any:
    """⌈a / b⌉; of integers as ⌊(a + b - 1) / b⌋, so that roundings up and down collapse alike."""
    if not is_symbolic(a) and not is_symbolic(b):
        return -(-a // b)
    if all(isinstance(n, int) or getattr(n, "is_integer", False) for n in (a, b)):
        return floor_div(a + b - 1, b)
    return -floor_div(-a, b)


def minimum(*values: Any) -> Any:
    """Least value; a SymPy Min where that is undecided."""
    if any(map(is_symbolic, values)):
        import sympy

        return sympy.Min(*values)
    return min(values)


def maximum(*values: Any) -> Any:
    """Greatest value; a SymPy Max where that is undecided."""
    if any(map(is_symbolic, values)):
        import sympy

        return sympy.Max(*values)
    return max(values)


@contextmanager
def collecting_conditions() -> Iterator[list[str]]:
    """Collect the relations that `differ` and `exceeds` assume because they can't be decided."""
    found: list[str] = []
    token = _conditions.set(found)
    try:
        yield found
    finally:
        _conditions.reset(token)


def _assume(condition: str) -> None:
    found = _conditions.get()
    if found is not None and condition not in found:
        found.append(condition)


def _assume_bound(name: str, relation: str, limit: Any) -> None:
    """Collect `name >= limit` or `name <= limit`, of several the one that implies the others."""
    found = _conditions.get() or []
    for place, condition in enumerate(found):
        left, operator, right = condition.split(" ", 2)
        if (left, operator) == (name, relation) and right.isdecimal():
            limit = max(int(right), limit) if relation == ">=" else min(int(right), limit)
            found[place] = f"{name} {relation} {limit}"
            return
    _assume(f"{name} {relation} {limit}")


def differ(a: Any, b: Any) -> bool:
    """Whether a and b are known to be unequal; an undecided equality is assumed and becomes a condition."""
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(a != b)
    import sympy

    difference = sympy.expand(a - b)
    if difference.is_zero:
        return False
    if difference.is_number or difference.is_zero is False:
        return True
    _assume(f"{_text(a)} == {_text(b)}")
    return False


def exceeds(a: Any, b: Any) -> bool:
    """Whether a > b is certain; if it's undecided, a <= b is assumed and becomes a condition."""
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(a > b)
    import sympy

    margin = _unwrapped(sympy.expand(b - a))
    if _least(margin).is_nonnegative:
        return False
    if _least(-margin).is_positive:
        return True
    constant, rest = margin.as_coeff_Add()
    factor, symbol = rest.as_coeff_Mul()
    if not symbol.is_Symbol:
        _assume(f"{_text(a)} <= {_text(b)}")
    elif factor > 0:
        _assume_bound(symbol.name, ">=", int(sympy.ceiling(-constant / factor)))
    else:
        _assume_bound(symbol.name, "<=", int(sympy.floor(-constant / factor)))
    return False


def _unwrapped(margin: Any) -> Any:
    """What is negative where `margin` is, without its outer floors: k⌊u⌋ + c >= 0 means u >= ⌈-c/k⌉ for k > 0."""
    import sympy

    constant, rest = margin.as_coeff_Add()
    factor, inner = rest.as_coeff_Mul()
    if not isinstance(inner, sympy.floor) or factor < 0:
        return margin
    return _unwrapped(sympy.expand(inner.args[0] - sympy.ceiling(-constant / factor)))


def _least(value: Any) -> Any:
    """A lower bound without floors, in symbols that start from 0 instead of 1, so that signs show."""
    import sympy

    bound = _below(value)
    return sympy.expand(bound.xreplace({symbol: _from_zero(symbol) + 1 for symbol in bound.free_symbols}))


def _below(value: Any) -> Any:
    """A lower bound without floors: u - 1 < ⌊u⌋ <= u."""
    import sympy

    bound = sympy.Integer(0)
    for term in sympy.Add.make_args(sympy.expand(value)):
        factor, inner = term.as_coeff_Mul()
        if isinstance(inner, sympy.floor):
            bound += _below(factor * (inner.args[0] - (1 if factor > 0 else 0)))
        else:
            bound += term
    return bound


@cache
def _from_zero(symbol: sympy.Symbol) -> sympy.Symbol:
    import sympy

    return sympy.Dummy(symbol.name, integer=True, nonnegative=True)


def _text(value: Any) -> str:
    """A relation's side as the spec language writes it: `k % 2`, not `Mod(k, 2)`."""
    if is_symbolic(value) and type(value).__name__ == "Mod":
        return f"{value.args[0]} % {value.args[1]}"
    return str(value)


def as_integer(value: Any) -> Any:
    """Return `value` as an integer size, or None if it's a fraction or no number at all."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else None
    if is_symbolic(value):
        if value.is_Integer:
            return int(value)
        return value if value.is_integer is not False else None
    return None
