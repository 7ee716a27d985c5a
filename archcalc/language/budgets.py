"""Budgets in claims: what a number has to stay within. They are exact, and no digits are rounded."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil, floor
from typing import TypeAlias

from archcalc.data import dataclass
from archcalc.errors import LocalError
from archcalc.quantities import Quantity

Amount: TypeAlias = int | Fraction

FORMS = "<10M, <= 2GB, '> 1M', '>= 200' (quoted, for YAML) or 4G..5G"
BUDGET = r"^\s*[<>=!≤≥~]|\.\."
"""What only a budget has: a pattern for regular expressions of any sort."""
_BUDGET = re.compile(BUDGET)
_COMPARED = re.compile(r"\s*([<>=!≤≥~]+)")
_OPERATORS = ("<", "<=", ">", ">=")
_SIGNED = ("effective_padding",)
_FRACTIONS = ("effective_stride", "effective_padding")
"""Quantities of which an upsampling makes fractions; all others are integers."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The least and the most that a number may be, None where there is no bound.

    Of integers the bounds are integers that it may be: `<10M` is at most 9,999,999. `strict`: it may not be a bound
    itself, which is only said of what may be a fraction.
    """

    low: Amount | None
    high: Amount | None
    strict: bool = False

    def allows(self, value: Amount) -> bool:
        """Whether a number is within the budget.

        >>> [Budget(4, 5).allows(value) for value in (3, 4, 5, 6)]
        [False, True, True, False]
        """
        return not self.over(value) and not self.under(value)

    def over(self, value: Amount) -> bool:
        """Whether a number is more than the budget allows."""
        return self.high is not None and (value > self.high or (self.strict and value == self.high))

    def under(self, value: Amount) -> bool:
        """Whether a number is less than the budget asks for."""
        return self.low is not None and (value < self.low or (self.strict and value == self.low))

    @property
    def empty(self) -> bool:
        """Whether no number is within it."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.strict and self.low == self.high)


def is_budget(text: str) -> bool:
    """Whether a text says what a number has to stay within, rather than what it is."""
    return _BUDGET.search(text) is not None


@dataclass(frozen=True, slots=True)
class Written:
    """A budget as it's written: where its limits stand in the text, None where there is none, and whether they count.

    >>> Written.of(">= 5M").low, Written.of("4G..5G").high, Written.of("<10M").strict
    ((2, 5), (4, 6), True)
    """

    text: str
    low: tuple[int, int] | None
    high: tuple[int, int] | None
    strict: bool = False

    @classmethod
    def of(cls, text: str) -> Written:
        """The parts of a text.

        Raises: LocalError: it isn't written as a budget.
        """
        if match := _COMPARED.match(text):
            if match[1] not in _OPERATORS:
                raise LocalError(f"'{match[1]}' doesn't begin a budget", code="E039", hint=f"a budget: {FORMS}")
            limit, strict = (match.end(), len(text)), not match[1].endswith("=")
            return cls(text, None, limit, strict) if match[1].startswith("<") else cls(text, limit, None, strict)
        dots = text.index("..")
        low = (0, dots) if text[:dots].strip() else None
        high = (dots + 2, len(text)) if text[dots + 2 :].strip() else None
        if low is None and high is None:
            raise LocalError("a budget needs a limit", code="E039", hint=f"a budget: {FORMS}")
        return cls(text, low, high)

    def budget(self, low: Amount | None, high: Amount | None, quantity: Quantity) -> Budget:
        """What it allows a quantity to be, with the values of its limits.

        Raises: LocalError: nothing or everything is within it.
        """
        strict = self.strict
        backward = low is not None and high is not None and low > high
        if quantity.name not in _FRACTIONS:
            low = None if low is None else floor(low) + 1 if strict else ceil(low)
            high = None if high is None else ceil(high) - 1 if strict else floor(high)
            strict = False
        found, written = Budget(low, high, strict), self.text.strip()
        if found.empty:
            hint = "the least stands first: 4G..5G" if backward else "only fractions do, and this is an integer"
            raise LocalError(f"nothing lies within '{written}'", code="E039", hint=hint)
        if quantity.name not in _SIGNED:
            negative = f"'{quantity.claimed}' is never negative"
            if found.over(0):
                raise LocalError(f"{negative}: nothing is {written}", code="E039")
            if low is not None and (low < 0 or (high is None and found.allows(0))):
                raise LocalError(f"{negative}: {written} says nothing", code="E039")
        return found
