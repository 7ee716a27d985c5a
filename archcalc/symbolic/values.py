"""The value of an expression where its symbols are integers: exact, with fractions on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from typing import Any, TypeAlias

Number: TypeAlias = "int | Fraction"


MOST_BITS = 1 << 16
"""Of a power. Sizes have far fewer; powers of powers would fill the memory."""


class NoValue(Exception):
    """An expression has no value at these integers: a division by zero, or a root that isn't exact."""


def value_at(expr: Any, values: Mapping[str, int]) -> Number:
    """The value of `expr` where its symbols, by name, are the given integers.

    Raises: NoValue: there is none. KeyError: a symbol isn't given.
    """
    return _plain(Fraction(expr) if isinstance(expr, (int, Fraction)) else _value(expr, values, {}))


def _plain(value: Number) -> Number:
    return int(value) if value.denominator == 1 else value


def _value(expr: Any, values: Mapping[str, int], known: dict[Any, Number]) -> Number:
    """The value; each common part is computed once."""
    if expr.is_Symbol:
        return values[expr.name]
    if expr.is_Rational:
        return int(expr) if expr.is_Integer else Fraction(int(expr.p), int(expr.q))
    if expr not in known:
        known[expr] = _computed(expr, [_value(part, values, known) for part in expr.args])
    return known[expr]


def _computed(expr: Any, parts: list[Number]) -> Number:
    if expr.is_Add:
        return sum(parts)
    if expr.is_Mul:
        return math.prod(parts)
    if expr.is_Pow:
        return _power(*parts)
    name = type(expr).__name__
    if name == "Mod":
        if parts[1] == 0:
            raise NoValue(f"{expr} divides by zero")
        return parts[0] % parts[1]
    if name in _FUNCTIONS:
        return reduce(_FUNCTIONS[name], parts) if len(parts) > 1 else _FUNCTIONS[name](*parts)
    raise NoValue(f"{expr} is not arithmetic of integers")


_FUNCTIONS: Mapping[str, Any] = {"floor": math.floor, "ceiling": math.ceil, "Min": min, "Max": max, "Abs": abs}


def _power(base: Number, exponent: Number) -> Number:
    if base == 0 and exponent < 0:
        raise NoValue("a division by zero")
    root = Fraction(base)
    if abs(Fraction(exponent)) * max(root.numerator.bit_length(), root.denominator.bit_length()) > MOST_BITS:
        raise NoValue("a number that is not the size of anything")
    if exponent.denominator == 1:
        return root ** int(exponent)
    if exponent.denominator != 2 or base < 0:
        raise NoValue(f"{base} to the power of {exponent}")
    above, below = math.isqrt(root.numerator), math.isqrt(root.denominator)
    if above**2 != root.numerator or below**2 != root.denominator:
        raise NoValue(f"the root of {base} is not a fraction")
    return Fraction(above, below) ** exponent.numerator
