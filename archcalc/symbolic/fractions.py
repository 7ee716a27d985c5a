"""An expression as one fraction whose parts are integers throughout, also inside floors, remainders and extremes.

max(c/2, 8) is 8 for c = 3, though c/2 is no integer: as max(c, 16)/2 it can be computed in integers.
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
    if expr.is_Add or isinstance(expr, (sympy.Min, sympy.Max)):
        parts = [_parts(part, known) for part in expr.args]
        common = math.lcm(*(d for _, d in parts))
        scaled = [n * (common // d) for n, d in parts]
        return (expr.func(*scaled) if expr.is_Add else expr.func(*scaled, evaluate=False)), common
    if expr.is_Mul:
        parts = [_parts(part, known) for part in expr.args]
        return expr.func(*(n for n, _ in parts)), math.prod(d for _, d in parts)
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        n, d = _parts(expr.base, known)
        return n**expr.exp, d ** int(expr.exp)
    if isinstance(expr, (sympy.floor, sympy.ceiling)):
        n, d = _parts(expr.args[0], known)
        return expr.func(n / d), 1
    if isinstance(expr, sympy.Mod):
        (n, d), (m, e) = (_parts(part, known) for part in expr.args)
        common = math.lcm(d, e)
        return sympy.Mod(n * (common // d), m * (common // e)), common
    return expr, 1
