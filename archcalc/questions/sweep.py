"""All combinations of some values, and what comes of them: totals, numbers of layers, and which are worth keeping."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import islice
from typing import Any

from archcalc.errors import SpecError, UsageError, suggestion
from archcalc.expand import Given, Sizes, by_label
from archcalc.expand.given import mapping_of, together
from archcalc.expand.hparams import OutOfBounds, is_override, make_module
from archcalc.expand.overrides import flat
from archcalc.language.tree import Diagnostics
from archcalc.quantities import BYTES, TOTALLED, names
from archcalc.questions.choices import combinations, parted, values_of
from archcalc.questions.grid import FEW, Columns, Grid, length, planned
from archcalc.questions.measures import Measure, Missing, measure, measures
from archcalc.questions.networks import Network, architecture_of
from archcalc.questions.pareto import Aims, front
from archcalc.questions.selection import Condition, Step
from archcalc.report import Report
from archcalc.shape import BATCH
from archcalc.symbolic import is_symbolic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.numbers import exact
from archcalc.zoo import Architecture

DEFAULT = ("params", "macs", "activations", "activation_bytes")
TOTALS = names(*TOTALLED)
REASONS = 5
"""How many reasons are given for configurations that aren't there."""
TRIED = 200
"""Structures among which a layer is looked for before the sweep begins."""


@dataclass(frozen=True, repr=False)
class Sweep(Answer):
    """Configurations, each with its values and with what was asked about it; computed when they're asked for.

    They come in order; what changes the structure varies slowest. `columns` are what is shown beside the values.
    Iterated, it has a dict for each configuration. Configurations that can't be built are left out, and `left_out` says
    why.
    """

    grid: Grid
    columns: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    jobs: int = field(default=1, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns: the names that are swept, then what is found."""
        return (*self.grid.choices, *self.columns)

    @property
    def count(self) -> int:
        """How many combinations there are, those that can't be built or aren't kept included."""
        return self.grid.count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.names, row, strict=True)) for row in _rows(self.blocks(), self.names))

    def __len__(self) -> int:
        return sum(map(length, self.blocks()))

    def __bool__(self) -> bool:
        return any(map(length, self.blocks()))

    @cached_property
    def left_out(self) -> Mapping[str, int]:
        """Why configurations can't be built, or have no such layer, and how many of them: the most frequent first."""
        for _ in self._few if self.count <= FEW else self._computed():
            pass
        found: Mapping[str, int] = vars(self)["left_out"]
        return found

    @property
    def told_of_left_out(self) -> Sequence[str]:
        """How many configurations aren't there, and the first reasons, in lines for people; none if all are there."""
        if not (reasons := self.left_out):
            return ()
        what = "are left out" if any("." in column for column in self.columns) else "can't be built"
        first = [f"  {count:,}: {reason}" for reason, count in list(reasons.items())[:REASONS]]
        others = sum(list(reasons.values())[REASONS:])
        more = [f"  {others:,}: other reasons"] if others else []
        return [f"{sum(reasons.values()):,} of {self.count:,} configurations {what}", *first, *more]

    @property
    def told_of_built(self) -> Sequence[str]:
        """That there's no formula for all sizes and counts, and why, in lines for people; none where there is one."""
        grid = self.grid
        if not grid.refused:
            return ()
        several = [name for name in grid.structural if len(grid.choices[name]) > 1]
        count = math.prod(len(grid.choices[name]) for name in several)
        first = f"no formula holds for every {' and '.join(several)}: {count:,} networks are built one by one"
        return [first, *(f"  {name}: {reason}" for name, reason in grid.refused.items())]

    def where(self, condition: str) -> Sweep:
        """Those that meet a condition, too, in the spec language: it may be about any total.

        Raises: UsageError: it can't be read, or is about what isn't there.

        >>> import archcalc
        >>> len(archcalc.sweep("alphago_policy", k=range(1, 101)).where("params < 500K and k % 2 == 0"))
        32
        """
        return self.through(Condition(condition))

    def pareto(self, aims: Aims) -> Sweep:
        """Those of them that no other one beats: `"params,macs"` (the less the better), `"params:max"` (the more).

        Raises: UsageError: it can't be read, or is about what isn't there.

        >>> import archcalc
        >>> [row["k"] for row in archcalc.sweep("alphago_policy", k=range(1, 101)).pareto({"params": "max"})]
        [100]
        """
        return self.through(front(aims))

    def through(self, step: Step) -> Sweep:
        """The same, whose blocks go through one more step, which may be about totals that aren't shown.

        Raises: UsageError: it's about what isn't there.
        """
        there = {*self.grid.choices, *self.grid.columns}
        step.check([*there, *TOTALS, *(name for name in step.names if _is_measure(name))])
        asked = [measure(name) for name in step.names if name not in there]
        grid = replace(self.grid, measures=(*self.grid.measures, *asked))
        return replace(self, grid=grid, steps=(*self.steps, step))

    def blocks(self, watch: Callable[[int], object] | None = None) -> Iterator[Columns]:
        """The columns, block by block: lists, or NumPy arrays where there are many.

        Those that only conditions are about are among them. `watch` is called with how many of all combinations are
        done, as blocks are computed.
        Raises: UsageError: a number depends on a size that is left open, or isn't one number.
        """
        return self._kept(watch) if self.count > FEW or watch is not None else iter(self._few)

    @cached_property
    def _few(self) -> Sequence[Columns]:
        return list(self._kept())

    def _kept(self, watch: Callable[[int], object] | None = None) -> Iterator[Columns]:
        """The blocks that are computed, and what the steps keep of them."""
        blocks = self._computed(watch)
        for step in self.steps:
            blocks = step.of(blocks)
        return blocks

    def _computed(self, watch: Callable[[int], object] | None = None) -> Iterator[Columns]:
        done, left_out = 0, Counter[str]()
        for block in self.grid.blocks(left_out=left_out, jobs=self.jobs):
            done += length(block)
            if watch is not None:
                watch(done + left_out.total())
            yield block
        vars(self)["left_out"] = dict(left_out.most_common())  # the property needn't go through them again

    def table(self, watch: Callable[[int], object] | None = None) -> Table:
        """A row for each configuration; `watch` as in `blocks`.

        Formats for programs take the rows as they come; a table for people has to hold all.
        """
        kept = cache(lambda: list(self.blocks(watch)))
        return Table(
            [*map(self._choice, self.grid.choices), *map(self._found, range(len(self.columns)))],
            lambda: (list(map(_text, row)) for row in _rows(kept(), self.names)),
            self.grid.architecture.name,
            f"totals by {', '.join(self.grid.choices)}" if self.grid.choices else "totals",
            values=lambda: _rows(self.blocks(watch), self.names),
        )

    def _choice(self, name: str) -> Column:
        values = self.grid.choices[name]
        numbers = isinstance(values, range) or all(isinstance(value, int) for value in values)
        return Column(name, Kind.NUMBER if numbers else Kind.WORD)

    def _found(self, place: int) -> Column:
        """What a narrow terminal leaves out first is the last one."""
        name = self.columns[place]
        return Column(name, label=measure(name).label, drop=len(self.columns) - place if place else 0)

    def _shown(self) -> Table:
        return replace(self.table(), notes=self.told_of_left_out)

    def __repr__(self) -> str:
        return super().__repr__() if self.count <= FEW else self._summary

    def _repr_html_(self) -> str:
        return super()._repr_html_() if self.count <= FEW else f"<p>{self._summary}</p>"

    @property
    def _summary(self) -> str:
        name, swept, found = self.grid.architecture.name, ", ".join(self.grid.choices), ", ".join(self.columns)
        return f"Sweep of {name} by {swept}: {self.count:,} combinations; {found}"


def sweep(
    network: Network,
    /,
    columns: str | Iterable[str] = DEFAULT,
    where: str = "",
    pareto: Aims = "",
    *,
    field: str | Iterable[str] = (),
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    batch: Given = 1,
    dtype: str = "float32",
    jobs: int = 1,
    **named: Given,
) -> Sweep:
    """All combinations of some values, exactly: of hyperparameters, axes of the input, and N, the batch.

    `hparams` are those of `Architecture.build`, each with one value or with several: a range, a list, or a text as the
    command takes it, `"8..128:8"`, `"16,32,64"`. They may be `named`, too: `size=range(128, 257, 32)`. Axes and N can
    be among them, or are given by `sizes` and `batch`. For an hparam that is a list itself, a list is one value, and a
    list of lists several. What has several values has a column.

    `columns` are totals, in their units (bytes for `…_bytes`), or numbers of layers: `conv5.macs`, and the receptive
    field `conv5.rf`, in input positions, which `field="conv5"` asks for, too. Its column is `conv5.receptive_field`,
    and where the axes differ `conv5.receptive_field.H` and so on. `where` is a condition and `pareto` aims, as in
    `Sweep.where` and `Sweep.pareto`.

    Values for which no formula holds are built one by one, where that takes long by up to `jobs` processes. As for all
    of Python's processes, a script that asks for several does so below `if __name__ == "__main__":`.
    Raises: UsageError: a name means nothing, a value isn't exact, or it's a graph, whose sizes are given. SpecError:
    the spec is wrong.

    >>> import archcalc
    >>> archcalc.sweep("alphago_policy", columns="params", where="params < 1M", k=range(64, 257, 32))
    alphago_policy: totals by k
    <BLANKLINE>
     k   params
    64  483,497
    >>> next(iter(archcalc.sweep("vgg16", "params", field="conv3", hparams={"conv1/1.k": [1, 3]})))
    {'conv1/1.k': 1, 'params': 138356008, 'conv3.receptive_field': 42}
    """
    architecture = architecture_of(network)
    asked = measures(columns, field)
    given = flat(_with_batch(together(hparams, named), batch))
    fixed, several = parted(architecture, given)
    outside = {name for name in fixed if name not in architecture.spec.hparams and not is_override(name)}
    listed = {name: several.get(name) or [fixed.pop(name)] for name in given if name in several or name in outside}
    inputs = _sizes(architecture, sizes, listed)
    _check_fixed(architecture, fixed)
    if dtype not in BYTES:
        raise UsageError(f"unknown dtype '{dtype}'", suggestion(str(dtype), BYTES))
    if type(jobs) is not int or jobs < 1:
        raise UsageError(f"{jobs!r:.60} is not a number of processes", "jobs=4")
    grid = planned(architecture, listed, fixed, inputs, asked, dtype)
    shown = tuple(part for each in grid.measures for part in _along_axes(grid, each))
    found = Sweep(replace(grid, measures=shown), tuple(each.name for each in shown), jobs=jobs)
    found = found.where(where) if where else found
    return found.pareto(pareto) if pareto else found


def _with_batch(given: Mapping[str, Given], batch: Given) -> Mapping[str, Given]:
    """The same with the batch under its name.

    Raises: UsageError: it has that name already.
    """
    if type(batch) is int and batch == 1:
        return given
    if BATCH in given:
        raise UsageError(f"'{BATCH}' is given twice", "leave batch out")
    return {**given, BATCH: batch}


def _sizes(architecture: Architecture, sizes: Sizes | None, listed: dict[str, Sequence[Any]]) -> Mapping[str, Any]:
    """Sizes by the names of `Spec.axes`; those of which there are several are `listed` with what is swept.

    Raises: UsageError: there is no such axis, a size is given twice, or left open.
    """
    found: dict[str, Any] = {}
    for name, size in by_label(architecture.spec, mapping_of(sizes, "sizes")).items():
        if name in listed:
            raise UsageError(f"'{name}' is given twice", "leave it out of hparams, or of sizes")
        if is_symbolic(size):
            raise UsageError(f"a sweep needs numbers: {name} is left open, as {size}", f"{name}=range(32, 65)")
        if isinstance(size, (range, list)):
            listed[name] = values_of(architecture, name, size)
        else:
            found[name] = size
    return found


def _check_fixed(architecture: Architecture, hparams: Mapping[str, Given]) -> None:
    """See that what isn't swept means something.

    Raises: UsageError: it doesn't, or is left open.
    """
    for name, value in hparams.items():
        if is_symbolic(value):
            raise UsageError(f"a sweep needs numbers: {name} is left open, as {value}", f"{name}=range(8, 33, 8)")
    with suppress(OutOfBounds):  # which a value that is swept may mend
        make_module(architecture.spec, architecture.variant, hparams, Diagnostics())


def _along_axes(grid: Grid, each: Measure) -> tuple[Measure, ...]:
    """One measure for each axis, where the layer's field isn't alike along all of them.

    Raises: Missing: none of the structures has such a layer, or such a number of it.
    """
    if not each.path:
        return (each,)
    missing = None
    values = [grid.choices[name] for name in grid.structural]
    for report in _structures(grid, islice(combinations(values), TRIED)):
        try:
            return each.along_each_axis(report)
        except Missing as error:
            missing = missing or error
    if missing is not None and math.prod(map(len, values)) <= TRIED:
        raise missing
    return (each,)


def _structures(grid: Grid, choices: Iterable[Sequence[Any]]) -> Iterator[Report]:
    """Those that can be built."""
    for values in choices:
        with suppress(SpecError, OutOfBounds):
            yield grid.structure(dict(zip(grid.structural, values, strict=True)))


def _is_measure(name: str) -> bool:
    try:
        return bool(measure(name))
    except UsageError:
        return False


def _rows(blocks: Iterable[Columns], names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for block in blocks:
        yield from zip(*(_list(block[name]) for name in names), strict=True)


def _list(values: Any) -> list[Any]:
    found: list[Any] = values.tolist() if hasattr(values, "dtype") else values
    return found


def _text(value: Any) -> str:
    return str(value) if isinstance(value, bool) else exact(value)
