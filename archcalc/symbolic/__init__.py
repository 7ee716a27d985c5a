"""Sizes that are integers or SymPy expressions, and what is known about the latter.

Every formula in archcalc is written once and runs on both. With integers nothing here imports SymPy.
`arithmetic` calculates; `sums` adds up what passes have; `relations` decides what it can; the rest are `conditions`,
which `notation` writes and `values` evaluates; `compiled` turns expressions into integer arithmetic; `integer_sets` and
`solving` say for which integers a condition holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archcalc.symbolic.arithmetic import (
    Dim,
    ceil_div,
    dim,
    exact,
    floor_div,
    is_never_negative,
    is_never_zero,
    is_symbolic,
    known,
    maximum,
    minimum,
    modest,
    prod,
    shared_out,
    terms,
)
from archcalc.symbolic.conditions import Condition, collecting_conditions
from archcalc.symbolic.relations import (
    agreement,
    as_integer,
    assuming,
    differ,
    exceeds,
    indivisible,
    is_surely_not_negative,
    is_zero,
    none_equal,
    truth,
)

if TYPE_CHECKING:
    from archcalc.symbolic.integer_sets import Integers

__all__ = [
    "Condition",
    "Dim",
    "Integers",
    "agreement",
    "as_integer",
    "assuming",
    "ceil_div",
    "collecting_conditions",
    "differ",
    "dim",
    "exact",
    "exceeds",
    "floor_div",
    "indivisible",
    "is_never_negative",
    "is_never_zero",
    "is_surely_not_negative",
    "is_symbolic",
    "is_zero",
    "known",
    "maximum",
    "minimum",
    "modest",
    "none_equal",
    "prod",
    "shared_out",
    "solve",
    "terms",
    "truth",
]


def __getattr__(name: str) -> Any:
    """Import `Integers` when somebody asks for it: most tables never do."""
    if name == "Integers":
        from archcalc.symbolic.integer_sets import Integers

        return Integers
    raise AttributeError(f"module 'archcalc.symbolic' has no attribute '{name}'")


def solve(left: Any, relation: str, right: Any, symbol: Any) -> Integers | None:
    """All positive integers `symbol` for which `left relation right` (==, <=, >=, !=) holds; None if unsolvable."""
    from archcalc.symbolic.compiled import Uncompilable
    from archcalc.symbolic.integer_sets import Unsolvable
    from archcalc.symbolic.solving import solutions

    try:
        return solutions(left, relation, right, symbol)
    except (Unsolvable, Uncompilable):
        return None
