"""Totals of graphs whose number of layers is a symbol.

Sums over layers follow from the structure: n passes have n times what one has, or the sum over their numbers where
sizes change. Depth follows from its own law, and what autograd keeps from a few passes that are laid out: the first,
one for all between, and the last. Few passes may be special, since one may be the first and the last at once, so these
formulas are compared with the networks of the first few numbers before they're given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

from archcalc.analyses.least import largest
from archcalc.graph import Graph
from archcalc.graph.composite import depth_symbols, numbers_of_passes
from archcalc.graph.laid import Many, Span
from archcalc.graph.tree import NoNumber
from archcalc.quantities import Quantity, Total
from archcalc.symbolic import Dim, dim, is_never_negative, is_symbolic, maximum, minimum, prod
from archcalc.symbolic.sums import tidy
from archcalc.symbolic.values import value_at

if TYPE_CHECKING:
    from archcalc.report.values import Values

Place: TypeAlias = "tuple[tuple[str, int], ...]"
"""Numbers for symbols, by name."""
FIRST = 4
"""So many numbers of each symbol are tried, from the least that fits."""
CERTAIN = 2
"""Of those, the last that are no exceptions."""
FEW = 2
"""Symbols of which all combinations of these are tried; of more, each alone and all together."""
NEAR = 40
"""Where repeats have few passes for other reasons, that's looked for among so many numbers of each symbol."""
FAR = 100
"""Where the least number isn't found below this, none is tried."""


def together(graph: Graph, quantity: Quantity, values: Iterable[tuple[int, Dim | tuple[Dim, ...]]]) -> Dim:
    """One number for several nodes of a graph that is laid out with a few passes each, and all that they stand for.

    Raises: NoNumber: it has no closed form.
    """
    found = _sum if quantity.total is Total.SUM else _largest
    return graph.in_closed_form(quantity.name, lambda: found(graph, values))


def _sum(graph: Graph, values: Iterable[tuple[int, Any]]) -> Dim:
    counts: dict[Many, Counter[Dim]] = {}  # equal expressions are added once, and what stands for as many
    for index, value in values:
        counts.setdefault(graph.times[index], Counter())[value] += 1
    amounts = ((sum(count * value for value, count in each.items()), many) for many, each in counts.items())
    return tidy(sum(many.sum(amount) if isinstance(many, Span) else amount for amount, many in amounts))


def _largest(graph: Graph, values: Iterable[tuple[int, Dim | tuple[Dim, ...]]]) -> Dim:
    distinct: dict[tuple[Dim, Many], None] = {}
    for index, value in values:
        moments = value if isinstance(value, tuple) else (value,)
        distinct.update(((moment, graph.times[index]), None) for moment in moments)
    most = partial(_most, graph)
    found = (many.greatest(moment, most) if isinstance(many, Span) else moment for moment, many in distinct)
    return largest(tidy(value) for value in found if value is not None)


def _most(graph: Graph, number: Dim) -> int | None:
    """How many passes there may be at most, as conditions say it; None if they don't."""
    if not is_symbolic(number):
        return number
    bounds = [
        int(condition.right + more) for condition in graph.conditions
        if condition.relation == "<=" and isinstance(condition.right, int)
        and isinstance(more := tidy(number - condition.left), int)
    ]  # fmt: skip
    return min(bounds, default=None)


def proved(report: Values, name: str, formula: Dim) -> Dim:
    """A formula of a total, once it's what the networks of small numbers have.

    The first numbers may be exceptions, which become part of it, as long as there are no more than two symbols that say
    how many layers there are.
    Raises: NoNumber: there are other exceptions.
    """
    graph = report.graph
    formula = _settled(formula, graph) if is_symbolic(formula) else formula
    more: dict[Place, Any] = {}
    for numbers in _small_numbers(graph):
        there = type(report)(graph.laid_out(numbers), report.batch, report.dtype).total(name)
        more[tuple(numbers.items())] = _difference(there, formula, numbers)
    for place, amount in _exceptions(more, name).items():
        formula = formula + amount * prod(_only_at(*each) for each in place)
    for numbers in _few_passes_far_away(graph):
        there = type(report)(graph.laid_out(numbers), report.batch, report.dtype).total(name)
        if _difference(there, formula, numbers) != 0:
            raise _no_one_formula(name, numbers.items())
    return formula


def _no_one_formula(name: str, place: Iterable[tuple[str, int]]) -> NoNumber:
    told = ", ".join(f"{symbol} = {number}" for symbol, number in place)
    message = f"{name} has no one formula for every number of layers: it's another one at {told}"
    return NoNumber(message, "give the symbol a value")


def _exceptions(more: Mapping[Place, Any], name: str) -> Mapping[Place, Any]:
    """What is to be added where some symbols have small numbers, whatever the others are, given what is at each place.

    Raises: NoNumber: what there is more doesn't depend on small numbers alone.
    """
    found: dict[Place, Any] = {}
    later = {symbol: sorted({dict(place)[symbol] for place in more})[-CERTAIN:] for symbol, _ in next(iter(more), ())}
    for place in sorted(more, key=lambda place: sum(number not in later[symbol] for symbol, number in place)):
        few = tuple([each for each in place if each[1] not in later[each[0]]])
        known = sum(amount for part, amount in found.items() if part != few and set(part) <= set(few))
        amount = more[place] - known
        if found.setdefault(few, amount) != amount or (amount != 0 and (not few or len(place) > FEW)):
            raise _no_one_formula(name, place)
    return {place: amount for place, amount in found.items() if amount != 0}


def _difference(found: Dim, formula: Dim, numbers: Mapping[str, int]) -> Any:
    """How much more there is at these numbers than a formula says."""
    import sympy

    if is_symbolic(formula) and {symbol.name for symbol in formula.free_symbols} <= numbers.keys():
        formula = value_at(formula, numbers)  # type: ignore[assignment]  # a fraction is a difference, too
    places: dict[Any, Any] = {dim(name): sympy.Integer(number) for name, number in numbers.items()}
    return sympy.expand(sympy.sympify(found - formula).xreplace(places))


def _only_at(name: str, number: int) -> Dim:
    """1 where a symbol is this number, else 0."""
    at_least, more = (minimum(1, maximum(0, dim(name) - least + 1)) for least in (number, number + 1))
    return at_least - more


def _settled(formula: Any, graph: Graph) -> Any:
    """A formula without the maxima that are decided where every repeat has passes."""
    import sympy

    later: dict[Any, Any] = {dim(name): dim(name) + least for name, least in _least(graph).items()}
    moved = _replaced(formula, later).replace(sympy.Max, maximum)
    return sympy.expand(_replaced(moved, {symbol: symbol - (there - symbol) for symbol, there in later.items()}))


def _replaced(formula: Any, symbols: Mapping[Any, Any]) -> Any:
    """A formula with other things in place of symbols; which of several is the greatest isn't looked for."""
    import sympy

    if not formula.args:
        return symbols.get(formula, formula)
    parts = [_replaced(part, symbols) for part in formula.args]
    return formula.func(*parts, evaluate=False) if isinstance(formula, (sympy.Max, sympy.Min)) else formula.func(*parts)


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


def _few_passes_far_away(graph: Graph) -> Iterator[dict[str, int]]:
    """Numbers for the symbols with which a repeat has three passes or fewer, though they are large: 18 // n from 6 on.

    Of each number of passes the first place and the last, among the first `NEAR` numbers.
    """
    many = sorted(filter(_may_fall, numbers_of_passes(graph.tree.body)), key=str)
    least = _least(graph) if many else {}
    for times in many:
        names = sorted(symbol.name for symbol in times.free_symbols)
        found: dict[int, list[dict[str, int]]] = {}
        for further in product(range(NEAR), repeat=min(len(names), FEW)):
            more = dict(zip(names, further, strict=False))
            numbers = {name: first + more.get(name, 0) for name, first in least.items()}
            passes = int(value_at(times, numbers))
            if passes < FIRST and _fit(graph, numbers):
                found.setdefault(passes, []).append(numbers)
        for places in found.values():
            yield from (places[0], places[-1])[: len(places)]


def _may_fall(times: Any) -> bool:
    """Whether there may be few passes for large numbers, too; not where these only add to them."""
    more = [tidy(times.xreplace({symbol: symbol + 1}) - times) for symbol in times.free_symbols]
    return any(not is_never_negative(each) if is_symbolic(each) else each < 0 for each in more)


def _least(graph: Graph) -> dict[str, int]:
    """For each symbol that says how many passes there are, the least number with which every repeat can be built."""
    names = sorted(symbol.name for symbol in depth_symbols(graph.tree.body))
    found = {}
    for name in names:
        around = (dict.fromkeys(names, number) for number in (FAR, 1))  # conditions may say how many there are at most
        fits = (number for others in around for number in range(1, FAR) if _fit(graph, {**others, name: number}))
        if (least := next(fits, None)) is None:
            raise NoNumber(f"no small number fits as {name}", "give it a value")
        found[name] = least
    return found


def _fit(graph: Graph, numbers: Mapping[str, int]) -> bool:
    """Whether numbers meet the conditions that are about nothing else."""
    about = [condition for condition in graph.conditions if {s.name for s in condition.symbols} <= numbers.keys()]
    return all(condition.holds({s.name: numbers[s.name] for s in condition.symbols}) for condition in about)
