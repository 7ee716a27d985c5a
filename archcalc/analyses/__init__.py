"""One function per column: what a layer on given shapes has, needs and does.

A function decorated with `analysis` becomes a column in every table, golden file and claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from archcalc.graph import Application

Formula = Callable[[Application], Any]
F = TypeVar("F", bound=Formula)


@dataclass(frozen=True, slots=True)
class Analysis:
    """A column: its name, its unit, its formula, and whether a batch of N examples needs N times as much."""

    name: str
    unit: str
    formula: Formula
    per_example: bool


ANALYSES: dict[str, Analysis] = {}
"""Every column that is a sum over layers, in the order of a report."""


def analysis(name: str, unit: str, per_example: bool = False) -> Callable[[F], F]:
    """Register a formula as a column; totals are sums over the graph's nodes."""

    def register(formula: F) -> F:
        ANALYSES[name] = Analysis(name, unit, formula, per_example)
        return formula

    return register


from archcalc.analyses import cost, memory  # noqa: E402, F401  (they register their formulas here)
