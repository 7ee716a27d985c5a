"""Sizes that are integers or SymPy expressions, and the few operations that must treat both alike.

Every formula in archcalc is written once and runs on both. With integers nothing here imports SymPy.
"""

from __future__ import annotations

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


def prod(factors: Iterable[Any], start: Any = 1) -> Any:
    """Multiply, for integers and expressions alike."""
    for factor in factors:
        start = start * factor
    return start


def floor_div(a: Any, b: Any) -> Any:
    """⌊a / b⌋, with nested floors collapsed: ⌊(⌊u⌋ + n) / b⌋ = ⌊(u + n) / b⌋ for integers n and b > 0."""
    if not is_symbolic(a) and not is_symbolic(b):
        return a // b
    import sympy

    inner = sympy.expand(a)
    floors = [term for term in sympy.Add.make_args(inner) if isinstance(term, sympy.floor)]
    if len(floors) == 1 and isinstance(b, int) and (inner - floors[0]).is_integer:
        inner = inner - floors[0] + floors[0].args[0]
    return sympy.floor(sympy.expand(inner) / b)


def ceil_div(a: Any, b: Any) -> Any:
    """⌈a / b⌉."""
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

    relation = sympy.expand(a - b) > 0
    if relation in (sympy.true, sympy.false):
        return bool(relation)
    _assume(f"{_text(a)} <= {_text(b)}")
    return False


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
