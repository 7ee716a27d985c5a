"""All combinations of some values, and what comes of them: totals, numbers of layers, and which are worth keeping."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import islice
from typing import Any

from archcalc.analyses.memory import BYTES
from archcalc.errors import SpecError, UsageError, suggestion
from archcalc.expand import Given, Sizes, by_label
from archcalc.expand.hparams import OutOfBounds, make_module
from archcalc.expand.overrides import flat
from archcalc.language.tree import Diagnostics
from archcalc.quantities import TOTALLED, names
from archcalc.questions.choices import combinations, takes_one, values_of
from archcalc.questions.grid import FEW, Columns, Grid, length, planned
from archcalc.questions.measures import Measure, Missing, measure, measures
from archcalc.questions.networks import Network, architecture_of, mapping_of
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
        for block in self.grid.blocks(left_out=left_out):
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
    choices: Mapping[str, Given] | None = None,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    batch: Given | None = None,
    dtype: str = "float32",
    **named: Given,
) -> Sweep:
    """All combinations of some values, exactly: of hyperparameters, axes of the input, and N, the batch.

    A choice is a range, a list of values, one value, or a text as the command takes it: `"8..128:8"`, `"16,32,64"`.
    It's named, `size=range(128, 257, 32)`, or stands in `choices`, which takes any name: `{"conv1.stride": [1, 2]}`.
    For an hparam that is a list itself, a list is one value, and a list of lists several. `batch` is what N is. What
    isn't swept is given by `hparams` and `sizes`.

    `columns` are totals, in their units (bytes for `…_bytes`), or numbers of layers: `conv5.macs`, and the receptive
    field `conv5.receptive_field`, `conv5.rf` for short, in input positions; where the axes differ there's a column for
    each, `conv5.receptive_field.H`. `where` is a condition and `pareto` aims, as in `Sweep.where` and `Sweep.pareto`.
    Raises: UsageError: a name means nothing, a value isn't exact, or it's a graph, whose sizes are given. SpecError:
    the spec is wrong.

    >>> import archcalc
    >>> archcalc.sweep("alphago_policy", columns="params", where="params < 1M", k=range(64, 257, 32))
    alphago_policy: totals by k
    <BLANKLINE>
     k   params
    64  483,497
    >>> next(iter(archcalc.sweep("vgg16", ["conv3.rf"], size=[224, 256])))
    {'size': 224, 'conv3.receptive_field': 44}
    """
    architecture = architecture_of(network)
    given, fixed = _together(choices, named, batch), flat(mapping_of(hparams, "hparams"))
    inputs = _sizes(architecture, sizes)
    _check_fixed(architecture, given, fixed, inputs)
    if dtype not in BYTES:
        raise UsageError(f"unknown dtype '{dtype}'", suggestion(str(dtype), BYTES))
    listed = {name: values_of(architecture, name, value) for name, value in given.items()}
    grid = planned(architecture, listed, fixed, inputs, measures(columns), dtype)
    shown = tuple(part for each in grid.measures for part in _along_axes(grid, each))
    found = Sweep(replace(grid, measures=shown), tuple(each.name for each in shown))
    found = found.where(where) if where else found
    return found.pareto(pareto) if pareto else found


def _together(choices: Mapping[str, Given] | None, named: Mapping[str, Given], batch: Given | None) -> dict[str, Given]:
    """All that is swept, by name.

    Raises: UsageError: a name is given twice.
    """
    found = mapping_of(choices, "choices")
    for name, value in (*named.items(), *([] if batch is None else [(BATCH, batch)])):
        if name in found:
            raise UsageError(f"'{name}' is given twice", "leave one of them out")
        found[name] = value
    return found


def _sizes(architecture: Architecture, sizes: Sizes | None) -> Mapping[str, Any]:
    """Sizes by the names of `Spec.axes`.

    Raises: UsageError: there is no such axis, or a size is left open.
    """
    found = by_label(architecture.spec, mapping_of(sizes, "sizes"))
    for name, size in found.items():
        _refuse_several("sizes", name, size)
        if is_symbolic(size):
            raise UsageError(f"a sweep needs numbers: {name} is left open, as {size}", f"{name}=range(32, 65)")
    return found


def _check_fixed(
    architecture: Architecture, swept: Mapping[str, Given], hparams: Mapping[str, Given], sizes: Mapping[str, Any]
) -> None:
    """See that what isn't swept means something, and isn't swept, too.

    Raises: UsageError: it doesn't, or is.
    """
    for what, given in (("hparams", hparams), ("sizes", sizes)):
        for name in swept:
            if name in given:
                raise UsageError(f"'{name}' is swept, and given by {what}", "leave one of them out")
    for name, value in hparams.items():
        if takes_one(architecture, name):
            _refuse_several("hparams", name, value)
    with suppress(OutOfBounds):  # which a value that is swept may mend
        make_module(architecture.spec, architecture.variant, hparams, Diagnostics())


def _refuse_several(what: str, name: str, value: Any) -> None:
    """See that a value that isn't swept is one.

    Raises: UsageError: it's a list or a range.
    """
    if isinstance(value, (list, range)):
        hint = f"to sweep it: choices={{'{name}': {value!r:.40}}}"
        raise UsageError(f"'{name}' has one value, and {what} give it {value!r:.60}", hint)


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
