"""Totals of graphs whose number of layers is a symbol.

Sums over layers follow from the structure: n passes have n times what one has. Depth follows from its own law, and what
autograd keeps from three passes that are laid out: the first, one for all between, and the last. Few passes may be
special, since one may be the first and the last at once, so these formulas are compared with the networks of the first
few numbers before they're given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from archcalc.graph import Graph
from archcalc.graph.composite import symbolic_times
from archcalc.graph.tree import NoNumber
from archcalc.symbolic import Dim, dim, is_symbolic, maximum, minimum

if TYPE_CHECKING:
    from archcalc.report.values import Values

FIRST = 4
"""So many numbers of each symbol are tried, from the least that fits."""
CERTAIN = 2
"""Of those, the last that are no exceptions."""
FEW = 2
"""Symbols of which all combinations of these are tried; of more, each alone and all together."""
FAR = 100
"""Where the least number isn't found below this, none is tried."""


def proved(report: Values, name: str, formula: Dim) -> Dim:
    """A formula of a total, once it's what the networks of small numbers have.

    The first numbers may be exceptions, which become part of it, if only one symbol says how many layers there are.
    Raises: NoNumber: there are other exceptions.
    """
    graph = report.graph
    formula = _settled(formula, graph) if is_symbolic(formula) else formula
    exceptions: list[tuple[dict[str, int], Any]] = []
    tried = list(_small_numbers(graph))
    for numbers in tried:
        there = type(report)(graph.laid_out(numbers), report.batch, report.dtype).total(name)
        if (more := _difference(there, formula, numbers)) != 0:
            exceptions.append((numbers, more))
    if exceptions and (len(exceptions[0][0]) > 1 or any(numbers in tried[-CERTAIN:] for numbers, _ in exceptions)):
        told = ", ".join(f"{symbol} = {number}" for symbol, number in exceptions[0][0].items())
        message = f"{name} has no one formula for every number of layers: it's another one at {told}"
        raise NoNumber(message, "give the symbol a value")
    for numbers, more in exceptions:
        formula = formula + more * _only_at(*next(iter(numbers.items())))
    return formula


def _difference(found: Dim, formula: Dim, numbers: Mapping[str, int]) -> Any:
    """How much more there is at these numbers than a formula says."""
    import sympy

    places: dict[Any, int] = {dim(name): number for name, number in numbers.items()}
    return sympy.expand(sympy.sympify(found - formula).subs(places))


def _only_at(name: str, number: int) -> Dim:
    """1 where a symbol is this number, else 0."""
    at_least, more = (minimum(1, maximum(0, dim(name) - least + 1)) for least in (number, number + 1))
    return at_least - more


def _settled(formula: Any, graph: Graph) -> Any:
    """A formula without the maxima that are decided where every repeat has passes."""
    import sympy

    later: dict[Any, Any] = {dim(name): dim(name) + least for name, least in _least(graph).items()}
    moved = formula.xreplace(later).replace(sympy.Max, maximum)
    return sympy.expand(moved.xreplace({symbol: symbol - (there - symbol) for symbol, there in later.items()}))


def _small_numbers(graph: Graph) -> Iterator[dict[str, int]]:
    """The first numbers for the symbols that say how many layers there are, as the graph's conditions allow them."""
    least = _least(graph)
    if len(least) <= FEW:
        steps = {*product(range(FIRST), repeat=len(least))}
    else:
        alone = ((at, step, other) for at in range(len(least)) for step in range(FIRST) for other in (0, FIRST - 1))
        steps = {tuple(step if place == at else other for place in range(len(least))) for at, step, other in alone}
        steps |= {(step,) * len(least) for step in range(FIRST)}
    for further in sorted(steps):
        numbers = {name: first + step for (name, first), step in zip(least.items(), further, strict=True)}
        if _fit(graph, numbers):
            yield numbers


def _least(graph: Graph) -> dict[str, int]:
    """For each symbol that says how many passes there are, the least number with which every repeat can be built."""
    names = sorted({symbol.name for times in symbolic_times(graph.tree.body) for symbol in times.free_symbols})
    found = {}
    for name in names:
        others = dict.fromkeys(names, FAR)
        fits = (number for number in range(1, FAR) if _fit(graph, {**others, name: number}))
        if (least := next(fits, None)) is None:
            raise NoNumber(f"no small number fits as {name}", "give it a value")
        found[name] = least
    return found


def _fit(graph: Graph, numbers: Mapping[str, int]) -> bool:
    """Whether numbers meet the conditions that are about nothing else."""
    about = [condition for condition in graph.conditions if {s.name for s in condition.symbols} <= numbers.keys()]
    return all(condition.holds({s.name: numbers[s.name] for s in condition.symbols}) for condition in about)
