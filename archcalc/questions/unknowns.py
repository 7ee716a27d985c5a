"""What is open in a question that is solved: names without a range, names with one, and what is given beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from archcalc.errors import UsageError
from archcalc.expand import Given, Sizes, by_label
from archcalc.expand.overrides import flat
from archcalc.formulas.symbols import placed
from archcalc.language.expression import Name
from archcalc.questions.choices import is_list, parted, positive_among, sizes_among
from archcalc.questions.networks import names_of
from archcalc.shape import BATCH, SPATIAL
from archcalc.symbolic import Dim, dim, exact, is_symbolic
from archcalc.zoo import Architecture


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
        """The names that stand in what is given as symbols already."""
        given = (*self.sizes.values(), *self.sets.values(), self.batch)
        return {symbol.name for value in given if is_symbolic(value) for symbol in value.free_symbols}

    @property
    def all(self) -> list[str]:
        """All other names."""
        return [name for name in dict.fromkeys([*self.names, *self.ranges]) if name not in self.symbols]

    def given(self, architecture: Architecture, values: Mapping[str, int]) -> Unknowns:
        """The same with some names as numbers."""
        named = {name: value for name, value in values.items() if name not in self.symbols}
        sets, sizes, batch = placed(architecture, named)
        numbers = {dim(name): value for name, value in values.items() if name in self.symbols}

        def known(value: Any) -> Any:
            put_in = value.subs(numbers) if numbers and is_symbolic(value) else value
            return int(put_in) if is_symbolic(put_in) and put_in.is_Integer else put_in

        return replace(
            self,
            ranges={name: numbers for name, numbers in self.ranges.items() if name not in values},
            sets={**{name: known(value) for name, value in self.sets.items()}, **sets},
            sizes={**{axis: known(size) for axis, size in self.sizes.items()}, **sizes},
            batch=known(self.batch) if batch is None else batch,
        )


def unknowns_of(
    architecture: Architecture,
    hparams: Mapping[str, Given],
    sizes: Sizes | None,
    symbolic: str | Iterable[str],
    batch: Dim,
    square: bool,
    axes_if_nothing: bool,
) -> Unknowns:
    """What is open: what `symbolic` names, what has several values or none ("sym"), and the symbols in sizes.

    `square`: of each input the spatial axes are one unknown. `axes_if_nothing`: if nobody names anything, it's the
    inputs' axes but the channels.
    Raises: UsageError: a name or a value means nothing, something is given twice, or nothing is open.
    """
    fixed, several = parted(architecture, flat(hparams))
    for name in several:
        if is_list(architecture, name):
            raise UsageError(
                f"'{name}' is a list, and a range is for one number", f"each entry is opened by --symbolic {name}"
            )
    names = [*names_of(symbolic), *(name for name, value in fixed.items() if value == "sym")]
    by_axis = _sizes(architecture, sizes, several)
    ranges = {name: positive_among(name, values) for name, values in several.items()}
    _refuse_twice(names, {name: value for name, value in {**fixed, **ranges}.items() if value != "sym"}, by_axis)
    given = {name: value for name, value in fixed.items() if value != "sym"}
    sets, axis_sizes, _ = placed(architecture, given)
    numbers = {name: sizes_among(name, [value])[0] for name, value in given.items() if name not in sets}
    by_axis |= {name: numbers[name] for name in axis_sizes}
    if BATCH in {*names, *ranges, *numbers} and BATCH not in architecture.spec.hparams and batch != 1:
        raise UsageError("the batch is given twice, as batch and as N")
    batch = numbers.get(BATCH, exact(batch, "the batch", least=1))
    if square:
        names, ranges, by_axis = _squared(architecture, names, ranges, by_axis, sets)
    found = Unknowns([], ranges, sets, by_axis, batch)
    if not names and not ranges and not found.symbols:
        if not axes_if_nothing and not _leaves_open(architecture, {**sets, **by_axis}):
            raise UsageError("nothing is left open", "--set HPARAM=sym, --symbolic H,W, or N for the batch")
        axes = architecture.spec.axes if axes_if_nothing else {}
        names = [name for name, (_, axis) in axes.items() if axis != "C" and name not in by_axis]
    return replace(found, names=[name for name in dict.fromkeys(names) if name not in ranges])


def _leaves_open(architecture: Architecture, given: Mapping[str, Any]) -> bool:
    """Whether the spec itself leaves a size open (`sym`) that isn't given."""
    spec = architecture.spec
    sizes = {name: spec.inputs[source][axis] for name, (source, axis) in spec.axes.items()}
    hparams = {name: hparam.value for name, hparam in spec.hparams.items()}
    values = {**sizes, **hparams, **spec.assigned(architecture.variant)}
    return any(isinstance(v.expr, Name) and v.expr.name == "sym" for name, v in values.items() if name not in given)


def _sizes(architecture: Architecture, given: Sizes | None, several: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """Sizes by axis; those that are ranges are put among the `several`."""
    by_axis = by_label(architecture.spec, given or {})
    for name in [name for name, size in by_axis.items() if isinstance(size, (range, list, tuple))]:
        if name in several:
            raise UsageError(f"{name} is given twice", "leave one of them out")
        several[name] = by_axis.pop(name)
    return {name: exact(size, f"the size of {name}") for name, size in by_axis.items()}


def _refuse_twice(names: Sequence[str], values: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
    """See that nothing is both open and given, or given in two ways, of which one would be passed over."""
    for name in names:
        if name in values or (name in sizes and str(sizes[name]) != name):
            raise UsageError(f"'{name}' is both given a value and left open", "leave one of them out")
    for name in sizes:
        if name in values:
            raise UsageError(f"both hparams and sizes say what {name} is", "leave one of them out")


def _squared(
    architecture: Architecture,
    names: Sequence[str],
    ranges: Mapping[str, Sequence[int]],
    sizes: Mapping[str, Any],
    sets: Mapping[str, Any],
) -> tuple[list[str], dict[str, Sequence[int]], dict[str, Any]]:
    """The same with the spatial axes of each input as one unknown, which has the first one's name.

    Raises: UsageError: no input has two, one has a size, or two have ranges.
    """
    found = squares(architecture)
    if not found:
        raise UsageError(f"{architecture.name} has no input with several spatial axes", "leave square out")
    names, ranges, sizes = [*names], dict(ranges), dict(sizes)
    for first, *others in found:
        axes = (first, *others)
        if given := [axis for axis in axes if axis in sizes or axis in sets]:
            raise UsageError(f"{given[0]} has a size, and a square's are open", "leave one of them out")
        limited = [axis for axis in axes if axis in ranges]
        if len(limited) > 1:
            raise UsageError(f"{' and '.join(limited)} are one unknown, and have two ranges", "give one range")
        names = [name for name in names if name not in axes]
        if limited:
            ranges[first] = ranges.pop(limited[0])
        sizes |= dict.fromkeys(axes, dim(first))
    return names, ranges, sizes


def squares(architecture: Architecture) -> list[list[str]]:
    """The names of the spatial axes of each input that has several."""
    axes: dict[str, list[str]] = {}
    for name, (source, axis) in architecture.spec.axes.items():
        if axis in SPATIAL:
            axes.setdefault(source, []).append(name)
    return [names for names in axes.values() if len(names) > 1]
