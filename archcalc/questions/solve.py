"""The inverse question: which sizes give this output, stay within these budgets, or see this much. Every one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from archcalc import text
from archcalc.errors import Diagnostic, UnknownNameError, UsageError, spelled, suggestion
from archcalc.expand import Given, Sizes
from archcalc.expand.given import mapping_of, refuse_options
from archcalc.expand.hparams import is_override
from archcalc.expand.overrides import symbol_of
from archcalc.formulas.general import put_in
from archcalc.layers.base import SHORTHANDS
from archcalc.questions.budgets import Budget
from archcalc.questions.goals import Output, goals_of
from archcalc.questions.networks import Network, architecture_of
from archcalc.questions.structures import solutions
from archcalc.questions.unknowns import squares, unknowns_of
from archcalc.symbolic import Condition, Dim, Integers, is_symbolic
from archcalc.symbolic.systems import SolutionSet
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer

CONDITIONS = 4
"""Conditions that are shown where nothing fulfils them."""
LAYERS = 4
"""Layers that are named where they share an unknown."""
ROWS = 40
"""Lines of a listing for people; a table has all."""


@dataclass(frozen=True, repr=False)
class Solution(Answer):
    """All sizes that meet the goals; what isn't in it doesn't.

    `name`: the network. `goals`: what was asked. `solutions`: which unknowns are free of each other, and combinations
    of the others. `totals`: what the budgets are compared with. `conditions`: what the network needs besides. `fixed`:
    parts of lists that stay numbers. `tried`: the unknowns each of whose values was built. `refused`: why some of those
    can't be built, and how many. `warnings`: about values that nothing reads. `shared`: the layers
    of an unknown that is an argument of several.

    Iterating gives combinations, any of whose sizes go together; `found["H"]` is what H is in any of them. A data frame
    has a row for each run of equal steps: the number of the combination, the unknown, first, last and step.
    """

    name: str
    goals: tuple[str, ...]
    solutions: SolutionSet
    totals: Mapping[str, Dim] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    fixed: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """What is looked for."""
        return (*self.solutions.alone, *self.solutions.together)

    @cached_property
    def sizes(self) -> Mapping[str, Integers]:
        """Of each unknown all values that it has in some solution."""
        if not self.solutions:
            return dict.fromkeys(self.unknowns, Integers())
        rows = self.solutions.rows
        coupled = {name: Integers.union(row.sets[n] for row in rows) for n, name in enumerate(self.solutions.together)}
        return {**self.solutions.alone, **coupled}

    @property
    def largest(self) -> Mapping[str, int | None]:
        """The greatest value of each unknown, by itself; None: there's no end, or no solution."""
        return self.solutions.largest

    def __getitem__(self, name: str) -> Integers:
        called = symbol_of(str(name))
        if called not in self.sizes:
            raise UnknownNameError(f"no unknown is called '{name}'", suggestion(called, self.unknowns))
        return self.sizes[called]

    def __contains__(self, values: Mapping[str, int]) -> bool:
        if missing := [name for name in self.unknowns if name not in values]:
            raise UsageError(f"a solution has a value of {', '.join(missing)}, too", "{'H': 224, 'W': 224} in …")
        return values in self.solutions

    def __iter__(self) -> Iterator[dict[str, Integers]]:
        together = self.solutions.together
        for row in self._rows:
            yield {**self.solutions.alone, **dict(zip(together, row, strict=True))}

    def __len__(self) -> int:
        return len(self._rows)

    def __bool__(self) -> bool:
        return bool(self.solutions)

    @property
    def _rows(self) -> list[tuple[Integers, ...]]:
        """What the unknowns that depend on one another may be; of those that don't there's one row."""
        found = self.solutions
        return [row.sets for row in found.rows] if found.together else [()] if found else []

    @property
    def left_out(self) -> str:
        """How many values of what was tried can't be built or have no such layer, and why; nothing if all can."""
        if not self.refused:
            return ""
        count, names = sum(self.refused.values()), ", ".join(self.tried)
        reason = max(self.refused, key=lambda reason: self.refused[reason])
        others = f" and {len(self.refused) - 1} other reasons" if len(self.refused) > 1 else ""
        return f"left out, {count:,} value{'s' * (count > 1)} of {names}: {reason}{others}"

    def table(self) -> Table:
        """A column for each unknown; any of a row's sizes go together."""
        alone, unknowns = list(map(str, self.solutions.alone.values())), self.unknowns if self else ()
        notes = [*self._settled(), *(self._largest() if self else self._none())]
        return Table(
            [Column(name, Kind.TEXT if name == unknowns[-1] else Kind.WORD) for name in unknowns],
            lambda: ([*alone, *map(str, sets)] for sets in self._rows),
            self.name,
            "; ".join(self.goals),
            notes=[note.strip() for note in notes],
            json=self._json,
        )

    def _wide(self) -> Table:
        """A row for each run of equal steps: of which solution and unknown, from where to where; no end is None."""
        return Table(keys=["solution", "unknown", "first", "last", "step"], values=self._runs)

    def _runs(self) -> Iterator[tuple[Any, ...]]:
        for number, sets in enumerate(self, 1):
            for name, found in sets.items():
                yield from ((number, name, *run) for segment in found.segments for run in segment.runs())

    def text(self) -> str:
        """The answer in a few lines; of very many combinations the first ones.

        >>> import archcalc
        >>> print(archcalc.solve("vgg16", output=(7, 7)).text())
        vgg16: output of conv5/pool = 7x7
        H: 224..255
        W: 224..255
        """
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.name}: {'; '.join(self.goals)}"
        yield from self._settled()
        if not self:
            yield from self._none()
            return
        for name, found in self.solutions.alone.items():
            yield f"{name}: {found}"
        for row in self.solutions.rows[:ROWS]:
            *outer, (last, numbers) = zip(self.solutions.together, row.sets, strict=True)
            yield f"{', '.join(f'{name} {found}' for name, found in outer)}: {last} {numbers}"
        if len(self.solutions.rows) > ROWS:
            yield f"… {len(self.solutions.rows) - ROWS:,} more rows: {spelled('--format plain')} has them"
        yield from self._largest()

    def _settled(self) -> Iterator[str]:
        """What the unknowns are, and what doesn't depend on them."""
        for name, layers in self.shared.items():
            others = f" and {len(layers) - LAYERS} more" if len(layers) > LAYERS else ""
            yield f"{name}: the same in {', '.join(layers[:LAYERS])}{others}"
        if self.fixed:
            yield f"kept as numbers: {', '.join(self.fixed)}"
        for column, total in self.totals.items():
            if not self.tried and not is_symbolic(total):
                yield f"{column} = {total:,}, whatever {' and '.join(self.unknowns) or 'the sizes'} may be"

    def _none(self) -> Iterator[str]:
        """That there is no solution, and what any would have to fulfil besides."""
        yield "none: no sizes do that"
        if self.conditions:
            shown = "; ".join(map(str, self.conditions[:CONDITIONS]))
            yield f"the network needs {shown}{'; …' if len(self.conditions) > CONDITIONS else ''}"

    def _largest(self) -> Iterator[str]:
        """The largest value of each unknown, and with a single one what the budgets then come to."""
        largest = {name: value for name, value in self.largest.items() if value is not None}
        if not self.totals or not largest:
            return
        apart = ", each on its own" if self.solutions.together else ""
        yield "largest " + ", ".join(f"{name} {value:,}" for name, value in largest.items()) + apart
        if len(self.largest) == 1 and not self.solutions.together:
            for column, total in self.totals.items():
                value = put_in(total, largest)
                if is_symbolic(total):
                    yield f"  there {column} = {value:,}" if isinstance(value, int) else f"  there {column} = {value}"

    def _json(self) -> Iterator[str]:
        """One object, a line for each row: there may be very many."""
        found: Mapping[str, Any] = {
            "archcalc": 1,
            "name": self.name,
            "goals": list(self.goals),
            "conditions": [str(condition) for condition in self.conditions],
            "found": bool(self),
            "alone": {name: _segments(numbers) for name, numbers in self.solutions.alone.items()},
            "together": list(self.solutions.together),
            "largest": self.largest,
        }
        yield "{"
        yield from (f" {text.json(key)}: {text.json(value)}," for key, value in found.items())
        yield ' "rows": ['
        for number, sets in enumerate(self, 1):
            row = {name: _segments(numbers) for name, numbers in sets.items()}
            yield f"  {text.json(row)}{',' if number < len(self) else ''}"
        yield " ]"
        yield "}"


def _segments(found: Integers) -> list[dict[str, Any]]:
    """Ranges: from `first` to `last` (null: no end) those whose remainder by `period` is in `residues`."""
    return [
        {"first": s.first, "last": s.last, "period": s.period, "residues": sorted(s.residues)} for s in found.segments
    ]


def solve(
    network: Network,
    *,
    output: Output | None = None,
    layer: str = "",
    field: Mapping[str, Budget] = {},
    square: bool = False,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
    batch: Dim = 1,
    dtype: str = "float32",
    **budgets: Budget,
) -> Solution:
    """Find all sizes that give an output, stay within budgets, or see so much of the input. Exact: the rest doesn't.

    The goals, of which all are met: `output`, the sizes of a `layer` (default: the last one whose sizes are open), as
    `(7, 7)`, `{"H": 7}` or "512x7x7"; `field`, the receptive field of layers in input positions, `{"conv5": 11}` for
    exactly so much or `(200, None)` for at least, "conv5.H" along one axis; `budgets` by the quantity's name, counts or
    bytes, the most (`params="5M"`, `saved_bytes="16GB"`) or a band (`macs=(4 * 10**9, "5G")`).

    The unknowns: what `symbolic` names, axes of the inputs, hparams, or N, the batch; in `hparams`, which may name axes
    and N too, those with "sym" for a value, and those with several, a range or a list, within which they are looked
    for, and then may change the structure; symbols in `sizes`; with `square` the spatial axes of each input as one
    unknown, called as the first. If there are none, and `output` is given: the inputs' axes but the channels.

    Raises: UsageError: a name or value means nothing, nothing is open, or the question can't be answered exactly within
    bounded work. SpecError: the spec is wrong.

    >>> import archcalc
    >>> archcalc.solve("vgg16", output=(7, 7)).sizes["H"]
    Integers(224..255)
    >>> found = archcalc.solve("alphago_policy", params="5M", hparams={"k": "sym"})
    >>> found["k"].max, {"k": 218} in found
    (218, True)
    """
    refuse_options(budgets)
    hparams, sizes = mapping_of(hparams, "hparams"), mapping_of(sizes, "sizes")
    architecture = architecture_of(network)
    goals = goals_of(output, layer, field, budgets)
    unknowns = unknowns_of(architecture, hparams, sizes, symbolic, batch, square, axes_if_nothing=bool(goals.output))
    found = solutions(architecture, goals, unknowns, dtype)
    squared = tuple(" = ".join(axes) for axes in squares(architecture)) if square else ()
    return Solution(
        architecture.name,
        (*goals.texts(found.where), *squared),
        found.solutions,
        found.totals,
        found.conditions,
        found.fixed,
        found.tried,
        found.refused,
        found.warnings,
        dict(_shared((*unknowns.names, *unknowns.ranges), found.changed)),
    )


def _shared(names: Iterable[str], changed: Sequence[tuple[str, str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Of arguments of layers that are unknown, those of several layers."""
    for name in filter(is_override, names):
        pattern, _, word = name.rpartition(".")
        matches = re.compile(re.escape(pattern).replace(r"\*", ".*") + "(/.*)?").fullmatch
        layers = tuple(layer for layer, own in changed if own in (word, SHORTHANDS.get(word)) and matches(layer))
        if len(layers) > 1:
            yield symbol_of(name), layers
