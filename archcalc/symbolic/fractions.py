"""An expression as one fraction whose parts are integers throughout, also inside floors, remainders and extremes.

max(c/2, 8) is 8 for c = 3, though c/2 is not an integer: as max(c, 16)/2 it can be computed in integers.
"""

from __future__ import annotations

import math
from typing import Any


def as_fraction(expr: Any) -> tuple[Any, int]:
    """(n, d) with expr = n / d: d is a positive integer, n an integer wherever its symbols are.

    >>> from archcalc.symbolic import dim
    >>> import sympy
    >>> as_fraction(sympy.Max(dim("c") / 2, 8, evaluate=False) + sympy.Rational(1, 3))
    (3*Max(16, c) + 2, 6)
    """
    return _parts(expr, {})


def _parts(expr: Any, known: dict[Any, tuple[Any, int]]) -> tuple[Any, int]:
    if expr not in known:
        known[expr] = _computed(expr, known)
    return known[expr]


def _computed(expr: Any, known: dict[Any, tuple[Any, int]]) -> tuple[Any, int]:
    import sympy

    if expr.is_Rational:
        return sympy.Integer(expr.p), int(expr.q)
    kind = type(expr).__name__
    if not (expr.is_Add or expr.is_Mul or expr.is_Pow or kind in ("Min", "Max", "floor", "ceiling", "Mod")):
        return expr, 1
    if expr.is_Pow and not (expr.exp.is_Integer and expr.exp > 0):
        return expr, 1
    parts = [_parts(part, known) for part in expr.args]
    if all(d == 1 for _, d in parts) and all(n is part for (n, _), part in zip(parts, expr.args, strict=True)):
        return expr, 1
    if expr.is_Mul:
        return expr.func(*(n for n, _ in parts)), math.prod(d for _, d in parts)
    if expr.is_Pow:
        return parts[0][0] ** expr.exp, parts[0][1] ** int(expr.exp)
    if kind in ("floor", "ceiling"):
        return expr.func(parts[0][0] / parts[0][1]), 1
    common = math.lcm(*(d for _, d in parts))
    scaled = [n * (common // d) for n, d in parts]
    return (expr.func(*scaled) if expr.is_Add else expr.func(*scaled, evaluate=False)), common
