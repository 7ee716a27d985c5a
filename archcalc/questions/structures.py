"""All values of some unknowns that meet some goals: solved on symbols, where these can stay symbols.

Unknowns on which the structure depends can't: each of their values has a network of its own, which is solved by itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from archcalc.errors import Diagnostic, SpecError, UsageError, reason_of
from archcalc.expand.hparams import OutOfBounds
from archcalc.expand.overrides import symbol_of
from archcalc.formulas.symbols import Opened, opened
from archcalc.graph import NoNumber
from archcalc.questions.choices import combinations, is_list
from archcalc.questions.goals import Goals, NoClosedForm, NotThere
from archcalc.questions.unknowns import Unknowns
from archcalc.report import Report
from archcalc.shape import BATCH
from archcalc.symbolic import Dim, Integers, is_symbolic
from archcalc.symbolic.integer_sets import Unsolvable
from archcalc.symbolic.systems import Row, SolutionSet, solved_for
from archcalc.zoo import Architecture

MAX_BUILDS = 2_000
"""Values of unknowns that change the structure, each of which is built."""
TOLD = ("W406", "W409")
"""Warnings about what is asked: values that nothing reads, and sums that are less than the truth."""


@dataclass(frozen=True)
class Found:
    """All solutions, and what is to be said beside them."""

    solutions: SolutionSet
    totals: Mapping[str, Dim]
    """The totals that have a budget; empty if there are as many formulas as structures."""
    conditions: tuple[Any, ...] = ()
    fixed: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    """The unknowns each of whose values was built."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Why values of those couldn't be built, and how many."""
    where: str = ""
    """The layer whose output is meant."""
    warnings: tuple[Diagnostic, ...] = ()
    """About values that nothing reads, and sums that are less than the truth."""
    changed: tuple[tuple[str, str], ...] = ()
    """The arguments of layers, by layer and name, that are unknown, or given otherwise than in the spec."""


def solutions(architecture: Architecture, goals: Goals, unknowns: Unknowns, dtype: str = "float32") -> Found:
    """All values of the unknowns that meet the goals.

    Unknowns on which the structure depends are tried value by value, if they have a range.
    Raises: UsageError: the list would have no end, or the question can't be solved. SpecError: the spec is wrong, or
    its structure depends on an unknown without a range.
    """
    question = _Question(architecture, goals, dtype)
    tried, whole = question.structural(unknowns)
    try:
        return question.one(unknowns, (), whole) if not tried else question.each(unknowns, tried)
    except SpecError as error:
        dependent = _dependent(error)
        if not dependent or not unknowns.names:
            raise
        given = f"--set {unknowns.names[-1]}=1..8"
        hint = f"values within a range are tried one by one: {given}; archcalc sweep {given} --where … lists them"
        raise UsageError(f"the structure depends on what is open: {dependent}", hint) from None
    except NoNumber as error:
        given = f"--set {unknowns.names[-1]}=1..8" if unknowns.names else ""
        raise UsageError(error.args[0], given and f"values within a range are tried one by one: {given}") from None
    except Unsolvable as error:
        left = [name for name in unknowns.ranges if name not in tried]
        if not left or (unknowns.names and not isinstance(error, NoClosedForm)):
            raise
        if math.prod(map(len, unknowns.ranges.values())) > MAX_BUILDS:
            raise
    return question.each(unknowns, list(unknowns.ranges))


@dataclass(frozen=True)
class _Question:
    """What is asked, of which architecture."""

    architecture: Architecture
    goals: Goals
    dtype: str

    def structural(self, unknowns: Unknowns) -> tuple[list[str], Opened | None]:
        """The unknowns with a range that can't stay symbols; if all can, the network in them."""
        if not unknowns.ranges:
            return [], None
        if (whole := self._opened(unknowns, unknowns.all)) is not None:
            return [], whole
        first = {name: values[0] for name, values in unknowns.ranges.items()}
        tried = []
        for name in unknowns.ranges:
            others = {other: value for other, value in first.items() if other != name}
            if self._opened(unknowns.given(self.architecture, others), [name]) is None:
                tried.append(name)
        left = unknowns.given(self.architecture, {name: first[name] for name in tried})
        return (list(unknowns.ranges) if self._opened(left, left.all) is None else tried), None

    def _opened(self, unknowns: Unknowns, names: Sequence[str]) -> Opened | None:
        """The network with symbols; None if they can't all be symbols."""
        try:
            found = opened(self.architecture, names, unknowns.sets, unknowns.sizes, unknowns.batch)
            if found.graph.is_open:  # then not every goal has a formula
                self._wanted(found, unknowns, ())
        except (SpecError, OutOfBounds, NoNumber):
            return None
        return None if found.fixed else found

    def _wanted(self, found: Opened, unknowns: Unknowns, tried: Sequence[str]) -> tuple[Any, Any, dict[str, Dim]]:
        """What the goals ask of a network: where, the conditions, and the totals with a budget."""
        report = Report(found.graph, found.batch, self.dtype)
        unknown = [name for name in (*unknowns.all, *sorted(unknowns.symbols)) if name != BATCH]
        where, wanted = self.goals.conditions(report, tried, unknown)
        return where, wanted, {column: report.total(column) for column in self.goals.budgets}

    def one(self, unknowns: Unknowns, tried: Sequence[str], whole: Opened | None = None) -> Found:
        """The solutions of one structure; `whole` is its network, if it has been built already."""
        found = whole or opened(self.architecture, unknowns.all, unknowns.sets, unknowns.sizes, unknowns.batch)
        where, wanted, totals = self._wanted(found, unknowns, tried)
        conditions = found.graph.conditions
        solved = solved_for([*conditions, *wanted], self._domains(found, unknowns, [*totals.values()]))
        unread = tuple(each for each in found.graph.warnings if each.code in TOLD)
        changed = tuple((change.name, change.argument) for change in found.graph.changes)
        return Found(solved, totals, conditions, found.fixed, tuple(tried), {}, where, unread, changed)

    def each(self, unknowns: Unknowns, tried: Sequence[str]) -> Found:
        """The solutions of each structure, joined."""
        count = math.prod(len(unknowns.ranges[name]) for name in tried)
        if count > MAX_BUILDS:
            raise UsageError(
                f"{count:,} structures would have to be built, {MAX_BUILDS:,} at most",
                f"narrow {tried[0]}: --set {tried[0]}=1..20; or archcalc sweep --set {tried[0]}=… --where …",
            )
        found: list[tuple[tuple[int, ...], Found]] = []
        refused, missing = Counter[str](), None
        for values in combinations([unknowns.ranges[name] for name in tried]):
            numbers = dict(zip(tried, values, strict=True))
            try:
                found.append((values, self.one(unknowns.given(self.architecture, numbers), tried)))
            except (SpecError, OutOfBounds, NotThere) as error:
                if isinstance(error, SpecError) and unknowns.names and _dependent(error):
                    raise  # on what is open without a range, too
                missing = error if isinstance(error, NotThere) else missing
                refused[reason_of(error)] += 1
        if not found and missing is not None:
            raise missing
        called = tuple(map(symbol_of, tried))
        joined = _joined(called, [(values, one.solutions) for values, one in found])
        first = replace(found[0][1] if found else Found(joined, {}), tried=called)
        totals = first.totals if len(found) == 1 else {}
        unread = tuple(w for w in first.warnings if all(w in one.warnings for _, one in found))
        changed = tuple(dict.fromkeys(pair for _, one in found for pair in one.changed))
        return replace(first, solutions=joined, totals=totals, refused=refused, warnings=unread, changed=changed)

    def _domains(self, found: Opened, unknowns: Unknowns, totals: Sequence[Any]) -> dict[str, Integers]:
        """What each symbol may be before anything is asked: a positive integer, or what its range allows."""
        inputs = (node.shape for node in found.graph.inputs)
        sizes = [*(size for shape in inputs for size in shape.values()), found.batch, *totals]
        symbols = {symbol.name for size in sizes if is_symbolic(size) for symbol in size.free_symbols}
        symbols |= {symbol.name for condition in found.graph.conditions for symbol in condition.symbols}
        names = {symbol_of(name) for name in unknowns.names if not is_list(self.architecture, name)}
        domains = {name: Integers.between() for name in sorted(symbols | names)}
        return domains | {symbol_of(name): Integers.of(values) for name, values in unknowns.ranges.items()}


def _dependent(error: SpecError) -> str:
    """What is said where a structure depends on a symbol; nothing if something else is wrong."""
    return next((each.message for each in error.diagnostics if each.code == "E106"), "")


def _joined(tried: Sequence[str], found: Sequence[tuple[tuple[int, ...], SolutionSet]]) -> SolutionSet:
    """The solutions of several structures as one: rows of the values that were tried, then of the rest."""
    rest = sorted({name for _, solved in found for name in (*solved.alone, *solved.together)})
    rows = []
    for _, group in groupby(found, key=lambda pair: (pair[0][:-1], pair[1])):
        members = list(group)
        (*ahead, _), solved = members[0]
        sets = [Integers.of([n]) for n in ahead] + [Integers.of(values[-1] for values, _ in members)]
        rows += [Row((*sets, *inner)) for inner in _products(solved, rest)]
    if len(tried) == 1 and not rest:
        return SolutionSet({tried[0]: Integers.union(row.sets[0] for row in rows)})
    return SolutionSet({}, (*tried, *rest), tuple(rows))


def _products(solved: SolutionSet, names: Sequence[str]) -> Iterator[tuple[Integers, ...]]:
    """The sets of solutions in the order of the names, one row after the other; nothing if there are none."""
    if not solved:
        return
    for row in solved.rows or (Row(()),):
        sets = {**solved.alone, **dict(zip(solved.together, row.sets, strict=True))}
        yield tuple(sets.get(name, Integers.between()) for name in names)
