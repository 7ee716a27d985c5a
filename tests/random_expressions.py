"""Random expressions in symbols, with fractions, and their exact values by a second arithmetic."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy


def expression(generator: random.Random, symbols: Sequence[Any], depth: int) -> Any:
    """A sum, product, floor, remainder or extreme of smaller ones; fractions anywhere, a symbol in a divisor."""
    if depth == 0 or generator.random() < 0.25:
        symbol = generator.choice(symbols)
        leaf = [symbol, symbol, sympy.Integer(generator.randint(1, 9)), symbol / generator.randint(2, 6)]
        return generator.choice(leaf)
    a, b = (expression(generator, symbols, depth - 1) for _ in range(2))
    n = generator.randint(2, 6)
    return generator.choice(
        [
            a + b,
            a * b,
            sympy.floor(a / n),
            sympy.ceiling(a / n),
            a - 4 * n,
            sympy.Mod(a, n),
            sympy.Max(a, b, evaluate=False),
            sympy.Min(a, b, evaluate=False),
            sympy.floor(sympy.Integer(10 * n) / (generator.choice(symbols) + n)),
        ]
    )


def value(expr: Any, numbers: Mapping[Any, int]) -> Fraction:
    """The expression's value, in fractions, without SymPy's own simplifications."""
    if expr in numbers:
        return Fraction(numbers[expr])
    if expr.is_Rational:
        return Fraction(int(expr.p), int(expr.q))
    parts = [value(part, numbers) for part in expr.args]
    kind = type(expr).__name__
    if kind in ("Add", "Mul"):
        return sum(parts, Fraction(0)) if kind == "Add" else math.prod(parts, start=Fraction(1))
    if kind == "Pow":
        return parts[0] ** int(parts[1])
    if kind in ("floor", "ceiling"):
        return Fraction(math.floor(parts[0]) if kind == "floor" else math.ceil(parts[0]))
    if kind == "Mod":
        return parts[0] % parts[1]
    return max(parts) if kind == "Max" else min(parts)
