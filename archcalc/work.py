"""One budget of work for a command, counted where the work is done.

A few bytes of a spec can ask for hours: nested floors, powers of fractions, loops over long sums. What costs time
counts its steps with `spend`, about one a microsecond, and a command that has used up its budget ends with an error
that says what was too much. Steps are counted, not seconds, so that a result doesn't depend on the machine.

Python users have no budget unless they ask for one, with `budget`.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from archcalc.errors import ArchcalcError, UsageError

STEPS = 1_600_000
"""Steps of one budget. The dearest question about a network of the zoo takes two thirds of them."""
LISTED = 50
"""Further steps for each layer, where a command lists every layer: working out a row and writing it."""
VARIABLE = "ARCHCALC_WORK"
_FACTOR = re.compile(r"([1-9]\d{0,8})x?")


class TooMuchWork(ArchcalcError):
    """A command's budget of work is used up: `what` says on what, `place` where, as far as that is known."""

    def __init__(self, what: str, steps: int) -> None:
        super().__init__(what, steps)
        self.what, self.steps, self.place = what, steps, ""

    @property
    def message(self) -> str:
        """What was too much."""
        return f"too much work: {self.what} takes this beyond {self.steps:,} steps"

    @property
    def hint(self) -> str:
        """How to allow more."""
        return f"{VARIABLE}=10x in the environment allows ten times as much"

    def __str__(self) -> str:
        where = f" ({self.place})" if self.place else ""
        return f"{self.message}{where}\n    hint: {self.hint}"


class _Budget:
    """The steps that are left, those that there were, and how many each layer that is built adds."""

    __slots__ = ("left", "per_layer", "steps")

    def __init__(self, steps: int) -> None:
        self.left = self.steps = steps
        self.per_layer = 0


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


def spend(steps: int, what: str, layers: int = 0) -> None:
    """Count steps of work, about one a microsecond; `what` names the work: "multiplying out products".

    `layers` is how many layers the work has added to a network.
    Raises: TooMuchWork: the budget is used up. Without a budget, never.
    """
    budget = _budget.get()
    if budget is not None:
        budget.left -= steps - layers * budget.per_layer
        budget.steps += layers * budget.per_layer
        if budget.left < 0:
            raise TooMuchWork(what, budget.steps)


def allow_listing() -> None:
    """From here on every layer that is built brings the steps that listing it takes, in this budget."""
    budget = _budget.get()
    if budget is not None:
        budget.per_layer = LISTED * (budget.steps // STEPS)


def has_budget() -> bool:
    """Whether there is one now."""
    return _budget.get() is not None


def spent() -> int:
    """Steps that have been counted in the current budget; 0 without one."""
    budget = _budget.get()
    return budget.steps - budget.left if budget is not None else 0


@contextmanager
def budget(times: int | None = None) -> Iterator[None]:
    """Give what is done inside a budget of its own: `times` the usual one, else as often as ARCHCALC_WORK says.

    A command has one for each network that it's asked about.
    Raises: UsageError: ARCHCALC_WORK can't be read.

    >>> with budget():
    ...     spend(4_000_000, "counting sheep")
    Traceback (most recent call last):
    archcalc.work.TooMuchWork: too much work: counting sheep takes this beyond 1,600,000 steps
        hint: ARCHCALC_WORK=10x in the environment allows ten times as much
    """
    token = _budget.set(_Budget(STEPS * (_times() if times is None else times)))
    _meters.open += 1
    meter_sympy()
    try:
        yield
    finally:
        _budget.reset(token)
        _meters.open -= 1
        if not _meters.open:
            _meters.remove()


class _Meters:
    """SymPy's own steps: it can't be interrupted, but a few of its functions do nearly all that it does."""

    def __init__(self) -> None:
        self.open = 0
        """Budgets that are open now, in all threads."""
        self._originals: list[tuple[Any, str, Any]] = []

    def install(self) -> None:
        """Let SymPy count its steps, from now until `remove`."""
        if self._originals:
            return
        from sympy.core import Add, Basic, Expr, Mul, Pow
        from sympy.core.exprtools import Factors
        from sympy.core.function import Derivative

        self._replace(sys.modules["sympy.core.assumptions"], "_ask", lambda ask: _counting(ask, 15))
        self._replace(Basic, "__new__", lambda new: staticmethod(_counting(new.__func__, 3)))
        self._replace(Derivative, "__new__", lambda new: staticmethod(_counting(new.__func__, 200)))
        self._replace(Expr, "_expand_hint", lambda expand: staticmethod(_counting(expand.__func__, 4)))
        self._replace(Factors, "__init__", lambda init: _counting(init, 20))
        self._replace(Add, "as_numer_denom", lambda split: _counting(split, 30))
        self._replace(Pow, "_eval_expand_multinomial", _counting_powers)
        for kind in (Add, Mul):
            self._replace(kind, "flatten", lambda flatten: classmethod(_counting_terms(flatten.__func__)))

    def _replace(self, owner: Any, name: str, made: Callable[[Any], Any]) -> None:
        original = vars(owner).get(name)
        if original is not None:  # another SymPy may have no such function: then its steps aren't counted
            self._originals.append((owner, name, original))
            setattr(owner, name, made(original))

    def remove(self) -> None:
        """Leave SymPy as it was."""
        while self._originals:
            setattr(*self._originals.pop())


_meters = _Meters()
_SYMBOLS = "calculating with symbols"


def meter_sympy() -> None:
    """Count SymPy's steps, if there is a budget and SymPy has been imported."""
    if _meters.open and "sympy" in sys.modules:
        _meters.install()


def _counting(function: Callable[..., Any], steps: int) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        spend(steps, _SYMBOLS)
        return function(*arguments, **named)

    return counted


def _counting_terms(flatten: Callable[..., Any]) -> Callable[..., Any]:
    def counted(cls: Any, terms: Any) -> Any:
        spend(10 + 5 * len(terms), _SYMBOLS)
        return flatten(cls, terms)

    return counted


def _counting_powers(expand: Callable[..., Any]) -> Callable[..., Any]:
    def counted(power: Any, **hints: Any) -> Any:
        if power.base.is_Add and power.exp.is_Integer:
            several, exponent = len(power.base.args), abs(int(power.exp))
            spend(60 * math.comb(exponent + several - 1, exponent), _SYMBOLS)
        return expand(power, **hints)

    return counted


@contextmanager
def renewed() -> Iterator[None]:
    """A budget of its own for what is done inside, if there is one at all: for one network or configuration of many."""
    if not has_budget():
        yield
        return
    with budget():
        yield


def _times() -> int:
    """What ARCHCALC_WORK says; 1 if it isn't set."""
    text = os.environ.get(VARIABLE, "1").strip()
    found = _FACTOR.fullmatch(text)
    if found is None:
        raise UsageError(f"can't read {VARIABLE}='{text[:40]}'", f"{VARIABLE}=10x allows ten times the usual work")
    return int(found[1])
