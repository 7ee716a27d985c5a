"""Equalities and bounds between sizes: decided where they can be, else assumed and collected as conditions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from archcalc.symbolic.arithmetic import is_symbolic, lower_bound


class Condition(str):
    """A relation that a graph needs, as a text (`k % 2 == 0`), with its two sides for those who calculate with it."""

    __slots__ = ("left", "relation", "right")
    left: Any
    relation: str
    right: Any

    def __new__(cls, left: Any, relation: str, right: Any) -> Condition:
        condition = super().__new__(cls, f"{_text(left)} {relation} {_text(right)}")
        condition.left, condition.relation, condition.right = left, relation, right
        return condition

    def __reduce__(self) -> Any:
        return Condition, (self.left, self.relation, self.right)

    @property
    def symbols(self) -> set[Any]:
        """The symbols that it's about."""
        sides = (side for side in (self.left, self.right) if is_symbolic(side))
        return set().union(*(side.free_symbols for side in sides))


_conditions: ContextVar[list[str] | None] = ContextVar("conditions", default=None)


@contextmanager
def collecting_conditions() -> Iterator[list[str]]:
    """Collect the relations that `differ` and `exceeds` assume because they can't be decided: each is a `Condition`."""
    found: list[str] = []
    token = _conditions.set(found)
    try:
        yield found
    finally:
        _conditions.reset(token)


def _assume(condition: Condition) -> None:
    found = _conditions.get()
    if found is not None and condition not in found:
        found.append(condition)


def _assume_bound(symbol: Any, relation: str, limit: int) -> None:
    """Collect `symbol >= limit` or `symbol <= limit`, of several the one that implies the others."""
    found = _conditions.get()
    for place, known in enumerate(found or ()):
        if not (isinstance(known, Condition) and isinstance(known.right, int)) or found is None:
            continue
        if known.left == symbol and known.relation == relation:
            limit = max(known.right, limit) if relation == ">=" else min(known.right, limit)
            found[place] = Condition(symbol, relation, limit)
            return
    _assume(Condition(symbol, relation, limit))


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
    if _conditions.get() is not None:
        if _fails_everywhere(difference):
            return True
        _assume(Condition(a, "==", b))
    return False


def _fails_everywhere(difference: Any) -> bool:
    """Whether it is certainly never 0, as its sign is always the same."""
    return bool(lower_bound(difference).is_positive or lower_bound(-difference).is_positive)


def exceeds(a: Any, b: Any) -> bool:
    """Whether a > b is certain; if it's undecided, a <= b is assumed and becomes a condition."""
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(a > b)
    import sympy

    margin = _unwrapped(sympy.expand(b - a))
    if lower_bound(margin).is_nonnegative:
        return False
    if lower_bound(-margin).is_positive:
        return True
    constant, rest = margin.as_coeff_Add()
    factor, symbol = rest.as_coeff_Mul()
    if not symbol.is_Symbol:
        _assume(Condition(a, "<=", b))
    elif factor > 0:
        _assume_bound(symbol, ">=", int(sympy.ceiling(-constant / factor)))
    else:
        _assume_bound(symbol, "<=", int(sympy.floor(-constant / factor)))
    return False


def _unwrapped(margin: Any) -> Any:
    """What is negative where `margin` is, without its outer floors: k⌊u⌋ + c >= 0 means u >= ⌈-c/k⌉ for k > 0."""
    import sympy

    constant, rest = margin.as_coeff_Add()
    factor, inner = rest.as_coeff_Mul()
    if not isinstance(inner, sympy.floor) or factor < 0:
        return margin
    return _unwrapped(sympy.expand(inner.args[0] - sympy.ceiling(-constant / factor)))


def _text(value: Any) -> str:
    """A relation's side as the spec language writes it: `k % 2`, not `Mod(k, 2)`."""
    if is_symbolic(value) and type(value).__name__ == "Mod":
        return f"{value.args[0]} % {value.args[1]}"
    return str(value)
