"""The inverse question: which sizes give this output, or stay within these budgets. Every one, not just some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from archcalc.analyses.memory import BYTES
from archcalc.errors import UsageError, suggestion
from archcalc.report import Report
from archcalc.symbolic import Condition, Integers, dim, floor_div, is_symbolic, solve
from archcalc.symbolic.compiled import Program, Uncompilable, compare

MAX_PAIRS = 100_000
"""Combinations of all symbols but the last that are looked at one by one."""


@dataclass(frozen=True)
class Row:
    """One range for each symbol but the last, and what the last may be for all of these."""

    ranges: tuple[tuple[int, int], ...]
    last: Integers


@dataclass(frozen=True)
class Solution:
    """All solutions: each symbol by itself; and where they hang together, rows of (ranges, the last symbol's set)."""

    alone: Mapping[str, Integers]
    together: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    largest: Mapping[str, int | None] = field(default_factory=dict)

    def __contains__(self, numbers: Mapping[str, int]) -> bool:
        if not all(numbers[name] in found for name, found in self.alone.items()):
            return False
        if not self.together:
            return True
        *outer, last = (numbers[name] for name in self.together)
        return any(
            all(low <= n <= high for n, (low, high) in zip(outer, row.ranges, strict=True)) and last in row.last
            for row in self.rows
        )


def total_of(report: Report, name: str) -> Any:
    """A quantity with a budget: a total, or `memory`, the bytes of all params, buffers and activations."""
    if name == "memory":
        values = report.total("params") + report.total("buffers") + report.total("activations")
        return values * BYTES[report.dtype]
    return report.total(name)


def output_conditions(report: Report, target: str, path: str = "") -> tuple[str, list[Condition]]:
    """The layer that is meant, and its sizes set equal to those of `target`: 7x7, 512x7x7, or H=7,W=7.

    Without `path`: the last layer some of whose spatial sizes (or tokens) hang on a symbol.
    Raises: UsageError: the target can't be read, or fits no layer.
    """
    graph = report.graph
    if path:
        if path not in graph:
            raise UsageError(f"{graph.name} has no layer '{path}'", suggestion(path, list(graph.places)))
        node = graph[path]
    else:
        open_ones = [n for n in graph.nodes if n.inputs and any(is_symbolic(n.shape.get(a, 1)) for a in "DHWT")]
        if not open_ones:
            raise UsageError("no layer's size hangs on a symbol", "--symbolic H,W")
        node = open_ones[-1]
    sizes = _sizes(target, report.ordered(node.shape))
    return node.name, [Condition(node.shape[axis], "==", size) for axis, size in sizes.items()]


def _sizes(target: str, shape: Mapping[str, Any]) -> dict[str, int]:
    if "=" in target:
        pairs = [part.partition("=")[::2] for part in target.split(",")]
        named = {axis.strip(): text.strip() for axis, text in pairs}
    else:
        texts = target.split("x")
        places = [axis for axis in shape if axis in "DHW"] or [axis for axis in shape if axis != "C"]
        axes = places if len(texts) == len(places) else list(shape)
        if len(texts) != len(axes):
            form = "x".join(places)
            raise UsageError(f"the layer is {'x'.join(shape)}: '{target}' has {len(texts)} sizes", f"--output {form}")
        named = dict(zip(axes, texts, strict=True))
    for axis, text in named.items():
        if axis not in shape:
            raise UsageError(f"the layer has no axis '{axis}'", f"its axes are {', '.join(shape)}")
        if not text.isdecimal() or not 0 < len(text) < 19:
            raise UsageError(f"can't read --output '{target}': '{text}' is no size", "--output 7x7")
    return {axis: int(text) for axis, text in named.items()}


def solved_for(conditions: Sequence[Any], domains: Mapping[str, Integers]) -> Solution:
    """All values of the symbols, each within its domain, that meet all conditions.

    Raises: UsageError: there would be no end to the list, or it would be too long.
    """
    alone, joint = dict(domains), []
    for condition in _apart(conditions):
        symbols = sorted(condition.symbols, key=lambda symbol: symbol.name)
        if not symbols:
            if not compare(condition.left, condition.relation, condition.right):
                alone = dict.fromkeys(alone, Integers())
            continue
        found = None
        if len(symbols) == 1:
            found = solve(condition.left, condition.relation, condition.right, symbols[0])
        if found is None:
            joint.append(condition)
        else:
            name = symbols[0].name
            alone[name] = alone.get(name, Integers.between()) & found
    if not joint or not all(alone.values()):
        return Solution(alone, largest={name: found.greatest for name, found in alone.items()})
    names = sorted({symbol.name for condition in joint for symbol in condition.symbols})
    return _Search(names, joint, {name: alone.get(name, Integers.between()) for name in names}).solution(alone)


def _apart(conditions: Iterable[Any]) -> Iterator[Any]:
    """The conditions, those on a maximum as one on each of its values."""
    import sympy

    for condition in conditions:
        if condition.relation == "<=" and isinstance(condition.left, sympy.Max):
            yield from (Condition(value, "<=", condition.right) for value in condition.left.args)
        else:
            yield condition


class _Search:
    """Symbols that hang together: all values of all but the last are tried, and the last is solved for."""

    def __init__(self, names: Sequence[str], conditions: Sequence[Any], allowed: Mapping[str, Integers]) -> None:
        self.conditions, self.allowed = conditions, dict(allowed)
        symbols = {name: dim(name) for name in names}
        self.least = {symbols[name]: found.least or 1 for name, found in allowed.items()}
        self.grows = [_direction(condition, self.least) for condition in conditions]
        for name in names:
            self.allowed[name] = self.allowed[name] & self._outermost(symbols[name])
        self.names = sorted(names, key=self._count)  # the one with the most values is solved for, not tried
        self.symbols = [symbols[name] for name in self.names]
        try:
            sides = [condition.left - condition.right for condition in conditions]
            self.program = Program(sides, self.symbols)
            self.function = self.program.python()
        except Uncompilable as error:
            raise UsageError(f"can't solve this: {error}") from None

    def _count(self, name: str) -> float:
        greatest = self.allowed[name].greatest
        return float("inf") if self.allowed[name].is_endless else float(greatest or 0)

    def _outermost(self, symbol: Any) -> Integers:
        """A set that holds all solutions of one symbol: those of growing conditions with the others at their least."""
        found = Integers.between()
        others = {other: least for other, least in self.least.items() if other != symbol}
        for condition, grows in zip(self.conditions, self.grows, strict=True):
            if grows and symbol in condition.symbols:
                left, right = (_at(side, others) for side in (condition.left, condition.right))
                found = found & (solve(left, condition.relation, right, symbol) or Integers.between())
        return found

    def solution(self, alone: Mapping[str, Integers]) -> Solution:
        outer = self.names[:-1]
        count = 1.0
        for name in outer:
            if self.allowed[name].is_endless:
                raise UsageError(f"there's no end to what {name} may be", f"give it a range: --set {name}=1..100")
            count *= sum(1 for _ in zip(range(MAX_PAIRS + 1), self._values(name), strict=False))
        if count > MAX_PAIRS:
            raise UsageError(
                f"more than {MAX_PAIRS:,} combinations to look at", f"narrow {outer[0]}: --set {outer[0]}=1..100"
            )
        found = [(numbers, last) for numbers in product(*map(self._values, outer)) if (last := self._last(numbers))]
        rows = tuple(_gathered(found))
        free = {name: numbers for name, numbers in alone.items() if name not in self.names}
        largest: dict[str, int | None] = {name: numbers.greatest for name, numbers in free.items()}
        for place, name in enumerate(outer):
            largest[name] = max((numbers[place] for numbers, _ in found), default=None)
        ends = [last.greatest for _, last in found]
        largest[self.names[-1]] = None if None in ends else max((end for end in ends if end), default=None)
        return Solution(free, tuple(self.names), rows, largest)

    def _values(self, name: str) -> Iterator[int]:
        found = self.allowed[name]
        return found.up_to(found.greatest or 0)

    def _last(self, numbers: tuple[int, ...]) -> Integers:
        """What the last symbol may be: by bisection where all conditions grow with it, else by solving."""
        allowed = self.allowed[self.names[-1]]
        for place, (condition, grows) in enumerate(zip(self.conditions, self.grows, strict=True)):
            if not allowed:
                break
            if grows:
                allowed = allowed & self._bisected(place, condition.relation, numbers, allowed.least or 1)
                continue
            values = dict(zip(self.symbols, numbers, strict=False))
            left, right = (_at(side, values) for side in (condition.left, condition.right))
            symbol = self.symbols[-1]
            if not any(is_symbolic(side) and side.free_symbols for side in (left, right)):
                allowed = allowed if compare(left, condition.relation, right) else Integers()
                continue
            found = solve(left, condition.relation, right, symbol)
            if found is None:
                raise UsageError(f"can't solve {condition} for {symbol}")
            allowed = allowed & found
        return allowed

    def _bisected(self, place: int, relation: str, numbers: tuple[int, ...], least: int) -> Integers:
        """Where a growing difference is at most, or at least, 0."""
        wanted = 1 if relation == ">=" else 0

        def passed(x: int) -> bool:
            difference = self.function(*numbers, x)[place]
            return bool(difference >= 0) if wanted else bool(difference > 0)

        if passed(least):
            return Integers.between(least) if wanted else Integers()
        low, step = least, 1
        while not passed(low + step):
            low, step = low + step, step * 2
            if step > 1 << 62:
                return Integers() if wanted else Integers.between(least)
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if passed(middle) else (middle, high)
        return Integers.between(high) if wanted else Integers.between(least, low)


def _at(side: Any, values: Mapping[Any, int]) -> Any:
    return side.subs(values) if is_symbolic(side) else side


def _direction(condition: Any, least: Mapping[Any, int]) -> bool:
    """Whether it's a bound on something that certainly never falls as symbols grow from their least values."""
    import sympy

    if condition.relation not in ("<=", ">="):
        return False
    difference = sympy.sympify(condition.left) - sympy.sympify(condition.right)
    more = {symbol: sympy.Dummy(integer=True, nonnegative=True) + start for symbol, start in least.items()}
    moved = sympy.expand(difference.xreplace(more).replace(sympy.floor, _canonical))
    return _never_falls(moved - moved.as_coeff_Add()[0])


def _canonical(argument: Any) -> Any:
    import sympy

    return floor_div(*sympy.fraction(sympy.together(argument)))


def _never_falls(expr: Any) -> bool:
    """Whether it is a sum of products of growing parts, none of which is negative."""
    import sympy

    if expr.is_number:
        return bool(expr.is_nonnegative)
    if expr.is_Symbol:
        return True
    if expr.is_Add or expr.is_Mul or isinstance(expr, (sympy.floor, sympy.ceiling, sympy.Min, sympy.Max)):
        return all(map(_never_falls, expr.args))
    return bool(expr.is_Pow and expr.exp.is_Integer and expr.exp > 0 and _never_falls(expr.base))


def _gathered(found: Sequence[tuple[tuple[int, ...], Integers]]) -> Iterator[Row]:
    """Neighbouring values of the first symbol with the same result, as one row (with two symbols)."""
    start: tuple[int, ...] | None = None
    for place, (numbers, last) in enumerate(found):
        start = start or numbers
        follower = found[place + 1] if place + 1 < len(found) else None
        if follower and len(numbers) == 1 and follower[1] == last and follower[0][0] == numbers[0] + 1:
            continue
        yield Row(tuple(zip(start, numbers, strict=True)), last)
        start = None
