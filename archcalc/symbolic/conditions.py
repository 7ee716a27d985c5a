"""Conditions: what the symbols of a graph must fulfil, collected while it's built, and only what says something new."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from archcalc.data import dataclass
from archcalc.symbolic.arithmetic import Dim, is_symbolic, known

if TYPE_CHECKING:
    from archcalc.symbolic.integer_sets import Integers

MAX_SOLVED = 30
"""Operations of a condition that is solved, to see whether it follows from others."""
MAX_SHIFTED = 400
"""Operations of a condition on several symbols that is looked at, to see whether it always holds."""
PLAIN = ("==", "%", ">=", "<=", "!=")
"""The forms of conditions that say what one symbol may be."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`left relation right` (==, !=, <=, >=): what the symbols of a graph must fulfil.

    Divisibility is a remainder equal to 0. Where one of two equalities suffices, their differences' product is 0.
    """

    left: Dim
    relation: str
    right: Dim

    def __str__(self) -> str:
        """The condition in the spec language: `k % 2 == 0`, `n == 1 or n == C`."""
        from archcalc.symbolic.notation import relation_text

        return " or ".join(relation_text(one.left, one.relation, one.right) for one in self.alternatives)

    @property
    def alternatives(self) -> tuple[Condition, ...]:
        """The equalities of which one suffices, where a product must be 0; else the condition itself."""
        factors = self.left.args if is_symbolic(self.left) and self.left.is_Mul else ()
        if self.relation != "==" or self.right != 0 or not factors or not all(factor.is_Add for factor in factors):
            return (self,)
        return tuple(Condition(*_balanced(factor)) for factor in factors)

    @property
    def symbols(self) -> set[Any]:
        """The symbols that it's about."""
        sides = (side for side in (self.left, self.right) if is_symbolic(side))
        return set().union(*(side.free_symbols for side in sides))

    def holds(self, values: Mapping[str, int]) -> bool:
        """Whether it's met where the symbols, by name, are these integers; not where a side has no value."""
        from archcalc.symbolic.compiled import compare
        from archcalc.symbolic.values import NoValue, value_at

        try:
            return bool(compare(value_at(self.left, values), self.relation, value_at(self.right, values)))
        except NoValue:
            return False


_conditions: ContextVar[list[Condition] | None] = ContextVar("conditions", default=None)


@contextmanager
def collecting_conditions() -> Iterator[list[Condition]]:
    """Collect the relations that are assumed because they can't be decided; at the end without the redundant ones."""
    found: list[Condition] = []
    token = _conditions.set(found)
    try:
        yield found
    finally:
        _conditions.reset(token)
        found[:] = _without_redundant(found)


def _balanced(difference: Any) -> tuple[Any, str, Any]:
    """A sum that is 0, as an equality of what is added and what is subtracted."""
    added, subtracted = parted(difference)
    return added, "==", subtracted


def parted(difference: Any) -> tuple[Any, Any]:
    """What is added in a sum, and what is subtracted."""
    import sympy

    terms = sympy.Add.make_args(difference)
    added = sympy.Add(*(term for term in terms if term.as_coeff_Mul()[0] > 0))
    return added, sympy.expand(added - difference)


def is_collecting() -> bool:
    """Whether somebody collects conditions; deciding more than is obvious is worth the time only then."""
    return _conditions.get() is not None


def collected() -> list[Condition]:
    """What has been collected so far; nothing if nobody collects."""
    found = _conditions.get()
    return [] if found is None else found


def collect_again(condition: Condition) -> None:
    """Collect a condition that was collected elsewhere."""
    left, relation, right = condition.left, condition.relation, condition.right
    if (found := _multiple(condition)) is not None:
        assume_multiple(*found)
    elif getattr(left, "is_Symbol", False) and relation in ("<=", ">=") and isinstance(right, int):
        assume_bound(left, relation, right)
    else:
        assume(left, relation, right)


def follows(condition: Condition, others: list[Condition]) -> bool:
    """Whether a condition is certainly met wherever some others are."""
    return condition in others or condition not in _without_redundant([*others, condition])


def assume(left: Any, relation: str, right: Any) -> None:
    """Collect a relation, unless it's there already."""
    found, condition = _conditions.get(), Condition(left, relation, right)
    if found is not None and condition not in found:
        found.append(condition)


def _merged(matches: Callable[[Condition], bool], merge: Callable[[Condition], Condition], new: Condition) -> None:
    """Collect a condition; one that it matches and the new one become a single one."""
    found = _conditions.get()
    for place, other in enumerate(found or ()):
        if found is not None and matches(other):
            found[place] = merge(other)
            return
    assume(new.left, new.relation, new.right)


def assume_bound(symbol: Any, relation: str, limit: int) -> None:
    """Collect `symbol >= limit` or `symbol <= limit`, of several the one that implies the others."""
    strongest = max if relation == ">=" else min
    _merged(
        lambda other: other.left == symbol and other.relation == relation and isinstance(other.right, int),
        lambda other: Condition(symbol, relation, strongest(known(other.right), limit)),
        Condition(symbol, relation, limit),
    )


def assume_multiple(value: Any, modulus: int) -> None:
    """Collect `value % modulus == 0`; with a multiple of another number, that of their least common multiple."""
    import sympy

    def multiple_of(number: int) -> Condition:
        return Condition(sympy.Mod(value, number, evaluate=False), "==", 0)

    _merged(
        lambda known: (found := _multiple(known)) is not None and found[0] == value,
        lambda known: multiple_of(math.lcm(modulus, _multiple(known)[1])),  # type: ignore[index]  # it matches
        multiple_of(modulus),
    )


def _multiple(condition: Condition) -> tuple[Any, int] | None:
    """(u, m) of a condition u % m == 0 with a number m."""
    left = condition.left
    if condition.relation != "==" or condition.right != 0 or not is_symbolic(left) or type(left).__name__ != "Mod":
        return None
    value, modulus = left.args
    return (value, int(modulus)) if modulus.is_Integer else None


def _without_redundant(conditions: list[Condition]) -> list[Condition]:
    """The conditions, less those on one symbol that follow from the plain ones on the same, and those that always hold.

    Always: wherever each symbol is at least what its plain bounds say.
    """
    alone: dict[Any, list[Condition]] = {}
    for condition in conditions:
        if len(symbols := condition.symbols) == 1:
            alone.setdefault(symbols.pop(), []).append(condition)
    dropped = {condition for symbol, found in alone.items() for condition in _following(found, symbol)}
    least = {symbol: max(map(_least, found)) for symbol, found in alone.items()}
    dropped |= {each for each in conditions if len(each.symbols) > 1 and _always_holds(each, least)}
    return [condition for condition in conditions if condition not in dropped]


def _least(condition: Condition) -> int:
    """The least value that a bound of a symbol allows; 1 for what isn't a bound."""
    bound = getattr(condition.left, "is_Symbol", False) and condition.relation == ">="
    return condition.right if bound and isinstance(condition.right, int) else 1


def _always_holds(condition: Condition, least: Mapping[Any, int]) -> bool:
    """Whether the form of a condition on several symbols shows that it's met wherever they are at least so large."""
    import sympy

    from archcalc.symbolic.limits import never_falls

    sides = [sympy.sympify(side) for side in (condition.left, condition.right)]
    if sum(map(sympy.count_ops, sides)) > MAX_SHIFTED:
        return False
    moved = {each: sympy.Dummy(each.name, integer=True, nonnegative=True) for each in condition.symbols}
    shifted = {symbol: dummy + least.get(symbol, 1) for symbol, dummy in moved.items()}
    first = dict.fromkeys(moved.values(), 0)

    def beyond(*values: Any) -> Any:
        """The maximum, without the numbers that another value never falls below."""
        growing = [value for value in values if not value.is_number and never_falls(value)]
        floor = max((value.xreplace(first) for value in growing), default=None)
        kept = [value for value in values if floor is None or not (value.is_number and value <= floor)]
        return sympy.Max(*kept)

    left, right = (side.xreplace(shifted).replace(sympy.Max, beyond) for side in sides)
    if condition.relation == "==":
        return bool(sympy.expand(left - right) == 0)
    if condition.relation not in ("<=", ">="):
        return False
    margin = sympy.expand(right - left if condition.relation == "<=" else left - right)
    constant, growing = margin.as_coeff_Add()
    return never_falls(growing) and bool(constant + growing.xreplace(first) >= 0)


def _following(conditions: list[Condition], symbol: Any) -> Iterator[Condition]:
    """Those of the conditions on a symbol that are met wherever the plain ones before them, and those kept, are."""
    from archcalc.symbolic.integer_sets import EVERYTHING

    allowed = EVERYTHING
    for condition in sorted(conditions, key=_rank):
        found = _solutions(condition, symbol)
        if found is None:
            continue
        if allowed & found == allowed:
            yield condition
        elif _rank(condition) < len(PLAIN):
            allowed = allowed & found


def _rank(condition: Condition) -> int:
    """How strong a condition of this form is: an equality says all; what isn't plain comes last."""
    if getattr(condition.left, "is_Symbol", False) and isinstance(condition.right, int):
        return PLAIN.index(condition.relation)
    return PLAIN.index("%") if _multiple(condition) else len(PLAIN)


def _solutions(condition: Condition, symbol: Any) -> Integers | None:
    """The numbers that meet a condition, where finding them is cheap; nothing is said of divisions by the symbol."""
    import sympy

    from archcalc.symbolic.compiled import Uncompilable
    from archcalc.symbolic.integer_sets import Unsolvable
    from archcalc.symbolic.solving import solutions

    if sympy.count_ops(condition.left) + sympy.count_ops(condition.right) > MAX_SOLVED:
        return None
    try:
        return solutions(condition.left, condition.relation, condition.right, symbol)
    except (Unsolvable, Uncompilable):
        return None
