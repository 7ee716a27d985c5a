"""The inverse question: which sizes give this output, or stay within these budgets. Every one, not just some."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from archcalc.errors import SpecError, UsageError, reason_of, suggestion
from archcalc.expand.hparams import OutOfBounds
from archcalc.formulas.amounts import combinations, is_list
from archcalc.formulas.symbols import Opened, opened, placed
from archcalc.report import Report, analyze
from archcalc.symbolic import Condition, Integers, dim, is_symbolic
from archcalc.symbolic.integer_sets import Unsolvable
from archcalc.symbolic.systems import Row, SolutionSet, solved_for
from archcalc.zoo import Architecture

MAX_BUILDS = 2_000
"""Values of unknowns that change the structure, each of which is built."""


@dataclass(frozen=True)
class Question:
    """What is wanted: budgets, the least and the most (None: any) of each total, and an output as people write it."""

    budgets: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    output: str = ""
    layer: str = ""
    dtype: str = "float32"


@dataclass(frozen=True)
class Unknowns:
    """What is open: names without a range, and names with the values that they may have; and what is given."""

    names: Sequence[str]
    ranges: Mapping[str, Sequence[int]] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    batch: Any = 1

    @property
    def symbols(self) -> set[str]:
        """The names that stand in the sizes as symbols already."""
        return {symbol.name for size in self.sizes.values() if is_symbolic(size) for symbol in size.free_symbols}

    @property
    def all(self) -> list[str]:
        """All other names."""
        return [name for name in dict.fromkeys([*self.names, *self.ranges]) if name not in self.symbols]

    def given(self, architecture: Architecture, values: Mapping[str, int]) -> Unknowns:
        """The same with some names as numbers."""
        named = {name: value for name, value in values.items() if name not in self.symbols}
        sets, sizes, batch = placed(architecture, named)
        numbers = {dim(name): value for name, value in values.items() if name in self.symbols}
        known = {axis: int(s) if is_symbolic(size) and (s := size.subs(numbers)).is_Integer else size
                 for axis, size in self.sizes.items()}  # fmt: skip
        return replace(
            self,
            ranges={name: numbers for name, numbers in self.ranges.items() if name not in values},
            sets={**self.sets, **sets},
            sizes={**known, **sizes},
            batch=self.batch if batch is None else batch,
        )


@dataclass(frozen=True)
class Answer:
    """All solutions, and what is to be said beside them."""

    solution: SolutionSet
    totals: Mapping[str, Any]
    """The totals that have a budget; empty if there are as many formulas as structures."""
    conditions: tuple[Any, ...] = ()
    fixed: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    """The unknowns each of whose values was built."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Why values of those couldn't be built, and how many."""
    where: str = ""
    """The layer whose output is meant."""


class NoLayer(UsageError):
    """There is no layer of the name that was asked for, at least with these values."""


def answered(architecture: Architecture, question: Question, unknowns: Unknowns) -> Answer:
    """All values of the unknowns that the question allows.

    Unknowns on which the structure depends are tried value by value, if they have a range.
    Raises: UsageError: the list would have no end, or the question can't be solved. SpecError: the spec is wrong, or
    its structure depends on an unknown without a range.
    """
    tried = _structural(architecture, unknowns)
    try:
        return _answered(architecture, question, unknowns, tried)
    except SpecError as error:
        found = next((d for d in error.diagnostics if d.code == "E106"), None)
        if found is None or not unknowns.names:
            raise
        hint = f"values within a range are tried one by one: --set {unknowns.names[-1]}=1..8"
        raise UsageError(f"the structure depends on what is open: {found.message}", hint) from None
    except Unsolvable:
        if unknowns.names or len(tried) == len(unknowns.ranges) or not unknowns.ranges:
            raise
        if math.prod(map(len, unknowns.ranges.values())) > MAX_BUILDS:
            raise
    return _answered(architecture, question, unknowns, list(unknowns.ranges))


def _answered(architecture: Architecture, question: Question, unknowns: Unknowns, tried: Sequence[str]) -> Answer:
    if not tried:
        return _one_structure(architecture, question, unknowns, ())
    count = math.prod(len(unknowns.ranges[name]) for name in tried)
    if count > MAX_BUILDS:
        raise UsageError(
            f"{count:,} structures would have to be built, {MAX_BUILDS:,} at most",
            f"narrow {tried[0]}: --set {tried[0]}=1..20",
        )
    found: list[tuple[tuple[int, ...], Answer]] = []
    refused: dict[str, int] = {}
    missing = None
    for values in combinations([unknowns.ranges[name] for name in tried]):
        numbers = dict(zip(tried, values, strict=True))
        try:
            found.append((values, _one_structure(architecture, question, unknowns.given(architecture, numbers), tried)))
        except (SpecError, OutOfBounds, NoLayer) as error:
            missing = error if isinstance(error, NoLayer) else missing
            reason = reason_of(error)
            refused[reason] = refused.get(reason, 0) + 1
    if not found and missing is not None:
        raise missing
    solution = _joined(tried, [(values, answer.solution) for values, answer in found])
    first = found[0][1] if found else Answer(solution, {})
    totals = first.totals if len(found) == 1 else {}
    return replace(first, solution=solution, totals=totals, tried=tuple(tried), refused=refused)


def _structural(architecture: Architecture, unknowns: Unknowns) -> list[str]:
    """The unknowns with a range that can't stay symbols."""
    if not unknowns.ranges or _opens(architecture, unknowns, unknowns.all):
        return []
    first = {name: values[0] for name, values in unknowns.ranges.items()}
    tried = []
    for name in unknowns.ranges:
        others = {other: value for other, value in first.items() if other != name}
        if not _opens(architecture, unknowns.given(architecture, others), [name]):
            tried.append(name)
    left = unknowns.given(architecture, {name: first[name] for name in tried})
    return tried if _opens(architecture, left, left.all) else list(unknowns.ranges)


def _opens(architecture: Architecture, unknowns: Unknowns, names: Sequence[str]) -> bool:
    try:
        return not opened(architecture, names, unknowns.sets, unknowns.sizes, unknowns.batch).fixed
    except (SpecError, OutOfBounds):
        return False


def _one_structure(architecture: Architecture, question: Question, unknowns: Unknowns, tried: Sequence[str]) -> Answer:
    found = opened(architecture, unknowns.all, unknowns.sets, unknowns.sizes, unknowns.batch)
    report = analyze(found.graph, found.batch, question.dtype)
    totals = {column: report.total(column) for column in question.budgets}
    conditions: list[Any] = list(found.graph.conditions)
    where = ""
    if question.output:
        where, equalities = output_conditions(report, question.output, question.layer, tried)
        conditions += equalities
    for column, (least, most) in question.budgets.items():
        if most is not None:
            conditions.append(Condition(totals[column], "<=", most))
        if least is not None:
            conditions.append(Condition(totals[column], ">=", least))
    domains = _domains(architecture, found, unknowns, [*totals.values()])
    solution = solved_for(conditions, domains)
    return Answer(solution, totals, found.graph.conditions, found.fixed, where=where)


def _domains(
    architecture: Architecture, found: Opened, unknowns: Unknowns, totals: Sequence[Any]
) -> dict[str, Integers]:
    """What each symbol may be before anything is asked: a positive integer, or what its range allows."""
    inputs = (node.shape for node in found.graph.inputs)
    sizes = [*(size for shape in inputs for size in shape.values()), found.batch, *totals]
    symbols = {symbol.name for size in sizes if is_symbolic(size) for symbol in size.free_symbols}
    symbols |= {symbol.name for condition in found.graph.conditions for symbol in condition.symbols}
    names = {name for name in unknowns.names if not is_list(architecture, name)}
    domains = {name: Integers.between() for name in sorted(symbols | names)}
    for name, values in unknowns.ranges.items():
        domains[name] = Integers.of(values)
    return domains


def _joined(tried: Sequence[str], found: Sequence[tuple[tuple[int, ...], SolutionSet]]) -> SolutionSet:
    """The solutions of several structures as one: rows of the values that were tried, then of the rest."""
    rest = sorted({name for _, solution in found for name in (*solution.alone, *solution.together)})
    rows = []
    for _, group in groupby(found, key=lambda pair: (pair[0][:-1], pair[1])):
        members = list(group)
        (*ahead, _), solution = members[0]
        sets = [Integers.of([n]) for n in ahead] + [Integers.of(values[-1] for values, _ in members)]
        rows += [Row((*sets, *inner)) for inner in _products(solution, rest)]
    if len(tried) == 1 and not rest:
        values = [value for row in rows for value in row.sets[0].up_to(row.sets[0].max or 0)]
        return SolutionSet({tried[0]: Integers.of(values)})
    return SolutionSet({}, (*tried, *rest), tuple(rows))


def _products(solution: SolutionSet, names: Sequence[str]) -> Iterator[tuple[Integers, ...]]:
    """A solution's sets in the order of the names, one row after the other; nothing if there are no solutions."""
    if not solution:
        return
    for row in solution.rows or (Row(()),):
        sets = {**solution.alone, **dict(zip(solution.together, row.sets, strict=True))}
        yield tuple(sets.get(name, Integers.between()) for name in names)


def output_conditions(
    report: Report, target: str, path: str = "", tried: Sequence[str] = ()
) -> tuple[str, list[Condition]]:
    """The layer that is meant, and its sizes set equal to those of `target`: 7x7, 512x7x7, or H=7,W=7.

    Without `path`: the last layer some of whose spatial sizes (or tokens) depend on a symbol; where values are tried,
    the last that has any.
    Raises: UsageError: the target can't be read, or fits no layer.
    """
    graph = report.graph
    if path:
        if path not in graph:
            raise NoLayer(f"{graph.name} has no layer '{path}'", suggestion(path, list(graph.places)))
        node = graph[path]
    else:
        open_ones = [n for n in graph.nodes if n.inputs and any(is_symbolic(n.shape.get(a, 1)) for a in "DHWT")]
        if tried and not open_ones:
            open_ones = [n for n in graph.nodes if n.inputs and any(a in n.shape for a in "DHWT")]
        if not open_ones:
            raise UsageError("no layer's size depends on what is open", "--symbolic H,W, or --layer PATH")
        node = open_ones[-1]
    sizes = _sizes(target, report.ordered(node.shape))
    return node.name, [Condition(node.shape[axis], "==", size) for axis, size in sizes.items()]


def _sizes(target: str, shape: Mapping[str, Any]) -> dict[str, int]:
    if "=" in target:
        pairs = [part.partition("=")[::2] for part in target.split(",")]
        named = {axis.strip(): text.strip() for axis, text in pairs}
        if len(named) < len(pairs):
            raise UsageError(f"--output '{target}' gives an axis twice", "--output C=512,H=7,W=7")
    else:
        texts = target.split("x")
        places = [axis for axis in shape if axis in "DHW"] or [axis for axis in shape if axis != "C"]
        axes = places if len(texts) == len(places) else list(shape)
        if len(texts) != len(axes):
            count = "1 size" if len(texts) == 1 else f"{len(texts)} sizes"
            raise UsageError(f"the layer is {'x'.join(shape)}: '{target}' has {count}", f"--output {'x'.join(shape)}")
        named = dict(zip(axes, texts, strict=True))
    for axis, text in named.items():
        if axis not in shape:
            raise UsageError(f"the layer has no axis '{axis}'", f"its axes are {', '.join(shape)}")
        if not text.isdecimal() or not 0 < len(text) < 19 or int(text) == 0:
            raise UsageError(f"can't read --output '{target}': '{text}' is not a size", "--output 7x7")
    return {axis: int(text) for axis, text in named.items()}
