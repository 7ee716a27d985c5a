"""All combinations of some values, measured: one symbolic analysis, then integer arithmetic for every configuration.

What changes the structure (a loop count, a block's name) can't be a symbol: it is built anew for each of its values.
Few configurations are computed by generated Python, many by the same source on NumPy arrays, in blocks that fit the
cache. An upper bound on all intermediate values says beforehand whether 64 bits are enough for a block; where they
aren't, the block is computed in Python's own integers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

from archcalc.errors import SpecError, UsageError, reason_of
from archcalc.expand import build
from archcalc.expand.hparams import OutOfBounds, is_override
from archcalc.expand.overrides import symbol_of
from archcalc.formulas.symbols import opened, placed
from archcalc.graph import NoNumber
from archcalc.questions.choices import combinations, sizes_among
from archcalc.questions.measures import Measure, Missing, NoLayer
from archcalc.report import Report
from archcalc.symbolic import dim, is_symbolic
from archcalc.symbolic.compiled import Program, Uncompilable, compare
from archcalc.symbolic.fractions import as_fraction
from archcalc.work import renewed
from archcalc.workers import Workers
from archcalc.zoo import Architecture

FEW = 20_000
"""Configurations that are computed without NumPy, whose import alone takes as long."""
BLOCK = 1 << 16
PROBES = 12
"""Configurations that break a condition and are built nevertheless, to see whether the condition was needed."""
MOST = 1 << 40

Columns = dict[str, Any]
"""Values by column: lists, or NumPy arrays of the same length."""


def length(block: Columns) -> int:
    """How many configurations a block has."""
    return len(next(iter(block.values()), ()))


@dataclass(frozen=True)
class Grid:
    """All combinations of `choices`; `symbols` are the names that stay symbols, the others change the structure.

    `refused` says of sizes and counts why they aren't among the symbols.
    """

    architecture: Architecture
    choices: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any]
    sizes: Mapping[str, Any]
    symbols: tuple[str, ...]
    measures: tuple[Measure, ...]
    dtype: str = "float32"
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """What the measures are called."""
        return tuple(each.name for each in self.measures)

    @property
    def structural(self) -> tuple[str, ...]:
        """The names whose every value is built by itself."""
        return tuple(name for name in self.choices if name not in self.symbols)

    @property
    def count(self) -> int:
        """How many configurations there are."""
        return math.prod(map(len, self.choices.values()))

    @property
    def inner(self) -> Mapping[str, Sequence[Any]]:
        """The choices of what stays a symbol."""
        return {name: self.choices[name] for name in self.symbols}

    def blocks(
        self, numpy: bool | None = None, left_out: Counter[str] | None = None, jobs: int = 1
    ) -> Iterator[Columns]:
        """The configurations that can be built with their totals, block by block, in order.

        `numpy` forces or forbids arrays; else it depends on how many configurations there are. `left_out` counts those
        that can't be built, by the reason. Up to `jobs` processes build, where it takes longer than a moment.
        """
        left_out = Counter() if left_out is None else left_out
        many = self.count > FEW if numpy is None else numpy
        choices = combinations([self.choices[name] for name in self.structural])
        outers = (dict(zip(self.structural, values, strict=True)) for values in choices)
        with Workers(self, jobs) as workers:
            if self.symbols:
                yield from self._structures(workers, outers, many, left_out)
            else:
                yield from _each(workers, outers, left_out)

    def _structures(
        self, workers: Workers[Grid], outers: Iterable[Mapping[str, Any]], many: bool, left_out: Counter[str]
    ) -> Iterator[Columns]:
        inner = self.inner
        for outer, plan in workers.map(_plan, outers):
            if isinstance(plan, LeftOut):
                left_out[plan.reason] += math.prod(map(len, inner.values()))
            elif plan is None:
                choices = combinations(list(inner.values()))
                each = ({**outer, **dict(zip(inner, numbers, strict=True))} for numbers in choices)
                yield from _each(workers, each, left_out)
            else:
                found = plan.arrays(inner, left_out) if many else plan.lists(inner, left_out)
                yield from (self._ordered(outer, block) for block in found)

    def _ordered(self, outer: Mapping[str, Any], block: Columns) -> Columns:
        """The names in the order of the choices, then the totals."""
        rows = length(block)
        names = {name: [outer[name]] * rows if name in outer else block[name] for name in self.choices}
        return {**names, **{column: block[column] for column in self.columns}}

    def one(self, values: Mapping[str, Any]) -> dict[str, int] | None:
        """One configuration built and analysed by itself; None if it can't be built, or has no such layer."""
        try:
            return self.totals(values)
        except (SpecError, OutOfBounds, Missing):
            return None

    @renewed()
    def totals(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same.

        Raises: SpecError, OutOfBounds: it can't be built. Missing: it has no such layer. UsageError: a number depends
        on a size that is left open.
        """
        report = self.report(values)
        totals: dict[str, Any] = {}
        for each in self.measures:
            total = each.value(report)
            if is_symbolic(total):
                symbol = min(symbol.name for symbol in total.free_symbols)
                raise UsageError(f"{each.name} depends on {symbol}", f"--set {symbol}=…")
            totals[each.name] = total
        return totals

    def report(self, values: Mapping[str, Any]) -> Report:
        """One configuration."""
        sets, sizes, batch = self.given(values)
        return Report(build(self.architecture.spec, self.architecture.variant, sets, sizes), batch, self.dtype)

    @renewed()
    def structure(self, outer: Mapping[str, Any]) -> Report:
        """All configurations with these values, which change the structure, at once: the others are symbols."""
        sets, sizes, batch = self.given(outer)
        found = opened(self.architecture, self.symbols, sets, sizes, batch)
        return Report(found.graph, found.batch, self.dtype)

    def given(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Values as hparams, input sizes and batch."""
        sets, sizes, batch = placed(self.architecture, values)
        given = {name: int(size) for name, size in sizes.items()}
        return {**self.fixed, **sets}, {**self.sizes, **given}, 1 if batch is None else int(batch)


class LeftOut(NamedTuple):
    """Why a configuration can't be built, or has no such layer."""

    reason: str


def _each(
    workers: Workers[Grid], configurations: Iterable[Mapping[str, Any]], left_out: Counter[str]
) -> Iterator[Columns]:
    """Configurations one by one."""
    for _, found in workers.map(_built, configurations):
        if isinstance(found, LeftOut):
            left_out[found.reason] += 1
        else:
            yield found


def _built(grid: Grid, values: Mapping[str, Any]) -> Columns | LeftOut:
    """One configuration as a block of its own."""
    try:
        totals = grid.totals(values)
    except (SpecError, OutOfBounds, Missing) as error:
        return LeftOut(reason_of(error))
    named = {name: int(values[name]) if name in grid.symbols else values[name] for name in grid.choices}
    return {name: [value] for name, value in (*named.items(), *totals.items())}


def _plan(grid: Grid, outer: Mapping[str, Any]) -> _Plan | LeftOut | None:
    """How all configurations of one structure are computed at once; None if they can't be."""
    try:
        plan = _Plan(grid, outer)
        return plan if not plan.program.divides and plan.is_exact(grid, outer) else None
    except NoLayer as error:
        return LeftOut(reason_of(error))
    except (SpecError, OutOfBounds, Missing, NoNumber, Uncompilable, _Unsettled):
        return None  # with these values nothing fits, or it's no integer arithmetic


class _Unsettled(Exception):
    """What a measure is for symbols isn't what it is for all of their numbers."""


class _Plan:
    """The totals and conditions of one structure as a compiled program."""

    def __init__(self, grid: Grid, outer: Mapping[str, Any]) -> None:
        import sympy

        report = grid.structure(outer)
        self.names, self.width = (*grid.symbols, *grid.columns), len(grid.measures)
        conditions: list[Any] = list(report.graph.conditions)
        self.conditions = [(condition.relation, str(condition)) for condition in conditions]
        if not all(each.is_settled(report) for each in grid.measures):
            raise _Unsettled
        totals = [_expanded(each.value(report)) for each in grid.measures]
        differences = [as_fraction(sympy.sympify(c.left) - sympy.sympify(c.right))[0] for c in conditions]
        self.program = Program([*totals, *differences], [dim(symbol_of(name)) for name in grid.symbols])

    def truths(self, results: Sequence[Any]) -> list[Any]:
        """Whether each condition holds, and each division comes out even."""
        ahead, behind = self.width, self.width + len(self.conditions)
        pairs = zip(self.conditions, results[ahead:behind], strict=True)
        found = [compare(difference, relation, 0) for (relation, _), difference in pairs]
        return [*found, *(remainder == 0 for remainder in results[behind:])]

    def reason(self, place: int) -> str:
        """What it means that the truth at this place is false."""
        return f"needs {self.conditions[place][1]}" if place < len(self.conditions) else "a size isn't an integer"

    def is_exact(self, grid: Grid, outer: Mapping[str, Any]) -> bool:
        """Whether the conditions are needed: configurations that break one, here and there, can't be built."""
        if not self.conditions and not self.program.checks:
            return True
        function, probes = self.program.python(), 0
        for numbers in _spread(grid.inner):
            if all(self.truths(function(*numbers))):
                continue
            if grid.one({**outer, **dict(zip(grid.inner, numbers, strict=True))}) is not None:
                return False
            probes += 1
            if probes == PROBES:
                break
        return True

    def lists(self, inner: Mapping[str, Sequence[int]], left_out: Counter[str]) -> Iterator[Columns]:
        """All configurations in Python integers."""
        function, width = self.program.python(), self.width
        rows = []
        for numbers in product(*(map(int, values) for values in inner.values())):
            results = function(*numbers)
            if all(truths := self.truths(results)):
                rows.append((*numbers, *results[:width]))
            else:
                left_out[self.reason(truths.index(False))] += 1
        if rows:
            yield dict(zip(self.names, map(list, zip(*rows, strict=True)), strict=True))

    def arrays(self, inner: Mapping[str, Sequence[int]], left_out: Counter[str]) -> Iterator[Columns]:
        """All configurations in NumPy arrays; each symbol varies along an axis of its own."""
        import numpy

        function = self.program.numpy()
        for part in _blocks([v if isinstance(v, range) else list(map(int, v)) for v in inner.values()]):
            shape = tuple(map(len, part))
            safe = self.program.bound([max(_ends(values)) for values in part]) < 1 << 63
            kind = numpy.int64 if safe else object
            axes = numpy.meshgrid(*(_line(numpy, values, kind) for values in part), indexing="ij", sparse=True)
            results = function(*axes)
            full = [numpy.broadcast_to(_array(numpy, a, kind), shape).ravel() for a in axes]
            full += [numpy.broadcast_to(_array(numpy, r, kind), shape).ravel() for r in results[: self.width]]
            mask = self._mask(numpy, self.truths(results), shape, left_out)
            if mask is not None:
                full = [values[mask] for values in full]
            if len(full[0]):
                yield dict(zip(self.names, full, strict=True))

    def _mask(self, numpy: Any, truths: Sequence[Any], shape: tuple[int, ...], left_out: Counter[str]) -> Any:
        """Where all conditions hold; None for everywhere."""
        mask = None
        for place, truth in enumerate(truths):
            if numpy.all(truth):
                continue
            before = numpy.ones(shape, dtype=bool) if mask is None else mask
            mask = before & numpy.asarray(truth, dtype=bool)
            left_out[self.reason(place)] += int(before.sum() - mask.sum())
        return None if mask is None else mask.ravel()


def _line(numpy: Any, values: Sequence[int], kind: Any) -> Any:
    if isinstance(values, range) and kind is not object:
        return numpy.arange(values.start, values.stop, values.step, dtype=kind)
    return numpy.array(list(values), dtype=kind)


def _array(numpy: Any, value: Any, kind: Any) -> Any:
    return value if isinstance(value, numpy.ndarray) else numpy.array(value, dtype=kind)


def _expanded(total: Any) -> Any:
    """A form that is quick to compute: multiplied out only if that doesn't make it longer."""
    if not is_symbolic(total):
        return total
    import sympy

    return min(sympy.expand(total), total, key=sympy.count_ops)


def _spread(inner: Mapping[str, Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Some hundred configurations from everywhere: the ends, and steps between them."""
    each = max(2, int(400 ** (1 / len(inner))))
    picked = []
    for values in inner.values():
        places = sorted(
            {round(i * (len(values) - 1) / (each - 1)) for i in range(each)} | set(range(min(8, len(values))))
        )
        picked.append([int(values[place]) for place in places])
    return product(*picked)


def _blocks(values: Sequence[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """The grid in pieces of at most `BLOCK` cells, in order: leading axes one by one, then slices, then whole axes."""
    inside = math.prod(map(len, values[1:]))
    if len(values) == 1 or inside <= BLOCK:
        step = max(1, BLOCK // max(inside, 1))
        for start in range(0, len(values[0]), step):
            yield [values[0][start : start + step], *values[1:]]
        return
    for value in values[0]:
        for rest in _blocks(values[1:]):
            yield [[value], *rest]


def _symbols(grid: Grid) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The names that can be symbols, several values, all positive integers, on which no structure depends.

    Of the others with such values, why they can't.
    """
    names = [name for name, values in grid.choices.items() if len(values) > 1 and all(map(_is_size, _ends(values)))]
    if not names or not (together := _refusal(grid, names)):
        return tuple(names), {}
    refused = {name: _refusal(grid, [name]) for name in names} if len(names) > 1 else {names[0]: together}
    alone = [name for name in names if not refused[name]]
    if alone and (together := _refusal(grid, alone)):
        return (), {name: reason or together for name, reason in refused.items()}
    return tuple(alone), {name: reason for name, reason in refused.items() if reason}


def _refusal(grid: Grid, names: Sequence[str]) -> str:
    """Why these can't all be symbols; nothing if they can."""
    first = {name: values[0] for name, values in grid.choices.items() if name not in names}
    sets, sizes, batch = grid.given(first)
    try:
        found = opened(grid.architecture, names, sets, sizes, batch)
        if found.graph.is_open:  # then not every measure has a formula
            report = Report(found.graph, found.batch, grid.dtype)
            for each in grid.measures:
                each.value(report)
    except (SpecError, OutOfBounds, Missing, NoNumber) as error:
        return reason_of(error)
    return f"{found.fixed[0]} can't be left open" if found.fixed else ""


def _ends(values: Sequence[Any]) -> Sequence[Any]:
    return (values[0], values[-1]) if isinstance(values, range) else values


def _is_size(value: Any) -> bool:
    return int(value) > 0 if type(value) is int or str(value).isdecimal() else False


def planned(
    architecture: Architecture,
    choices: Mapping[str, Sequence[Any]],
    fixed: Mapping[str, Any],
    sizes: Mapping[str, Any],
    measures: Sequence[Measure],
    dtype: str = "float32",
) -> Grid:
    """Find out which names can stay symbols.

    Raises: UsageError: a name is unknown, a size isn't one, or there are too many configurations.
    """
    placed(architecture, choices)  # each name means something
    choices = {
        name: values if name in architecture.spec.hparams or is_override(name) else sizes_among(name, values)
        for name, values in choices.items()
    }
    for each in measures:
        if each.name in choices:
            raise UsageError(f"'{each.name}' would be two columns: what is swept, and the total", "columns=…")
    grid = Grid(architecture, choices, fixed, sizes, (), tuple(measures), dtype)
    if grid.count > MOST:
        raise UsageError(f"{grid.count:,} configurations are too many")
    symbols, refused = _symbols(grid)
    return replace(grid, symbols=symbols, refused=refused)
