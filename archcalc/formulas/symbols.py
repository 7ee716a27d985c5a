"""Which sizes stay symbols: axes of the input, hyperparameters, and N, the batch."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import and_
from typing import Any

from archcalc.errors import ArchcalcError, SpecError, UsageError, suggestion
from archcalc.expand import build, instead
from archcalc.expand.hparams import is_override, make_module
from archcalc.expand.overrides import flat, symbol_of
from archcalc.graph import Graph
from archcalc.language.expression import Reported
from archcalc.language.tree import Diagnostics
from archcalc.shape import BATCH
from archcalc.symbolic import Integers, dim, is_symbolic, solve
from archcalc.symbolic.integer_sets import Unsolvable
from archcalc.symbolic.systems import solved_for
from archcalc.zoo import Architecture

MAX_ELEMENTS = 12
"""Elements of a list that are tried as symbols; each may cost a build."""


@dataclass(frozen=True)
class Opened:
    """A graph with some sizes open. `fixed` are the parts of lists that stay numbers, as the structure needs them."""

    graph: Graph
    batch: Any
    fixed: tuple[str, ...] = ()


def opened(
    architecture: Architecture,
    names: Sequence[str],
    sets: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Any] | None = None,
    batch: Any = 1,
) -> Opened:
    """Build with symbols: each name is one of `Spec.axes`, an hparam, N, or an argument of layers.

    An hparam whose value is a list of n numbers becomes n symbols, `widths_1` to `widths_n`; those on which the
    structure depends stay numbers.
    Raises: UsageError: a name means nothing. SpecError: the structure depends on a symbol.
    """
    spec = architecture.spec
    axes = spec.axes
    sides = {axis: size for axis, size in (sizes or {}).items() if axis not in names}
    given, lists = {**flat(sets or {}), **{axis: sides.pop(axis) for axis in [*sides] if axis in spec.hparams}}, {}
    names = [*names, *(name for name, value in given.items() if value == "sym" and name not in names)]
    given = {name: value for name, value in given.items() if name not in names}
    for name in names:
        if name in spec.hparams:  # an axis of its name has its value
            value = _value(architecture, name, given)
            if isinstance(value, (list, tuple)):
                lists[name] = _numbers(name, value, spec.hparams)
            else:
                given[name] = dim(name)
        elif name in axes:
            sides[name] = dim(name)
        elif name == BATCH:
            batch = dim(BATCH)
        elif is_override(name):
            given[name] = dim(symbol_of(name))
        else:
            known = {*axes, *spec.hparams, BATCH}
            hint = instead(spec, architecture.variant, name, "sym") or suggestion(name, known)
            raise UsageError(f"{architecture.name} has no axis and no hparam '{name}'", hint)
    return _built(architecture, given, sides, lists, batch)


def placed(architecture: Architecture, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Values by name: of hparams and layers' arguments, sizes by the names of `Spec.axes`, and the batch if it's given.

    Raises: UsageError: a name means nothing.
    """
    hparams, axes = architecture.spec.hparams, architecture.spec.axes
    known = {*axes, *hparams, BATCH}
    for name in values:
        if name not in known and not is_override(name):
            hint = instead(architecture.spec, architecture.variant, name) or suggestion(name, known)
            raise UsageError(f"{architecture.name} has no axis and no hparam '{name}'", hint)
    sets = {name: value for name, value in values.items() if name in hparams or is_override(name)}
    sizes = {name: value for name, value in values.items() if name in axes and name not in hparams}
    return sets, sizes, None if BATCH in sets else values.get(BATCH)


def with_values(
    architecture: Architecture, graph: Graph, names: Sequence[str], sets: Mapping[str, Any], sizes: Mapping[str, Any]
) -> tuple[Opened, dict[str, Any]]:
    """The graph with symbols, and the numbers that they have in `graph`: those of `names`, else the inputs' axes.

    Axes stay numbers if nobody asked for them and the structure depends on them, or `sizes` has a symbol of their name.
    """
    shapes = dict(zip(architecture.spec.inputs, (node.shape for node in graph.inputs), strict=True))
    known = {name: shapes[source][axis] for name, (source, axis) in architecture.spec.axes.items()}
    taken = {str(size) for size in sizes.values()}
    axes = [name for name, (_, axis) in architecture.spec.axes.items()
            if axis != "C" and isinstance(known[name], int) and name not in taken]  # fmt: skip
    try:
        found = opened(architecture, names or axes, sets, sizes)
    except SpecError:
        if names:
            raise
        return Opened(graph, 1), {}
    values: dict[str, Any] = {}
    for name in names or axes:
        if name in known:  # with the value of the hparam of its name, if there is one
            values |= {name: known[name]} if isinstance(known[name], int) else {}
        elif name in architecture.spec.hparams:
            value = _value(architecture, name, sets)
            numbers = value if isinstance(value, (list, tuple)) else [value]
            labels = [f"{name}_{i + 1}" for i in range(len(numbers))] if isinstance(value, (list, tuple)) else [name]
            values |= {label: n for label, n in zip(labels, numbers, strict=True) if isinstance(n, int)}
    return found, values


def _value(architecture: Architecture, name: str, sets: Mapping[str, Any]) -> Any:
    """An hparam's value as it stands; None if it has an error, which building will report."""
    module = make_module(architecture.spec, architecture.variant, sets, Diagnostics())
    try:
        value = module.env.find(name)
        return value() if callable(value) and not is_symbolic(value) else value
    except Reported:
        return None


def _given(value: Any) -> Any:
    """The number that an argument of layers is given, in a text or not."""
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else value


def _numbers(name: str, value: Sequence[Any], hparams: Container[str]) -> list[Any]:
    if not value or not all(isinstance(number, int) and not isinstance(number, bool) for number in value):
        raise UsageError(f"'{name}' is not a list of integers, so it can't be symbols")
    if len(value) > MAX_ELEMENTS:
        raise UsageError(f"'{name}' has {len(value)} elements; at most {MAX_ELEMENTS} can be symbols")
    for label in (f"{name}_{number}" for number in range(1, len(value) + 1)):
        if label in hparams:
            raise UsageError(f"the elements of '{name}' would be {name}_1 and so on, and '{label}' is an hparam")
    return list(value)


def _built(
    architecture: Architecture, sets: dict[str, Any], sizes: dict[str, Any], lists: dict[str, list[Any]], batch: Any
) -> Opened:
    places = [(name, i) for name, values in lists.items() for i in range(len(values))]
    fixed: list[tuple[str, int]] = []
    while True:
        for extra in _choices(places, fixed):
            numbers = {*fixed, *extra}
            for name, values in lists.items():
                sets[name] = [v if (name, i) in numbers else dim(f"{name}_{i + 1}") for i, v in enumerate(values)]
            try:
                graph = build(architecture.spec, architecture.variant, sets, sizes)
            except SpecError as error:
                failure = error
                if not any(diagnostic.code == "E106" for diagnostic in error.diagnostics):
                    raise
                continue
            told = tuple(f"{name}_{i + 1} = {lists[name][i]}" for name, i in places if (name, i) in numbers)
            return Opened(replace(graph, name=architecture.name), batch, told)
        open_places = [place for place in places if place not in fixed]
        if not open_places:
            raise failure
        fixed.append(open_places[0])


def _choices(places: Sequence[tuple[str, int]], fixed: Sequence[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    """What to keep as numbers besides `fixed`: nothing, else one more."""
    yield []
    for place in places:
        if place not in fixed:
            yield [place]


def solved(condition: Any) -> tuple[Any, Integers] | None:
    """The one symbol of a condition and the numbers that meet it; None if it has several, or can't be solved."""
    symbols = condition.symbols
    if len(symbols) != 1:
        return None
    symbol = next(iter(symbols))
    found = solve(condition.left, condition.relation, condition.right, symbol)
    return None if found is None else (symbol, found)


def explained(graph: Graph, variant: str = "") -> Iterator[str]:
    """The conditions of a graph in words: for each symbol what it may be, and why; then those on several at once."""
    ahead = f"{variant}: " if variant else ""
    alone: dict[str, dict[str, Integers]] = {}
    joint = []
    for condition in graph.conditions:
        if (pair := solved(condition)) is None:
            joint.append(str(condition))
        else:
            alone.setdefault(pair[0].name, {})[str(condition)] = pair[1]
    for name, reasons in sorted(alone.items()):
        meaning = reduce(and_, reasons.values()).text(name)
        why = [reason for reason in reasons if reason != meaning]
        yield f"{ahead}works if {meaning}" + (f" (from {' and '.join(why)})" if why else "")
    yield from (f"{ahead}works if {condition}" for condition in joint)
    if not graph.conditions:
        yield f"{ahead}works for all sizes"


def misfits(architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any]) -> Iterator[str]:
    """Which of the given numbers the architecture can't take, why, and the nearest that it can: one line for each.

    Nothing if the conditions can't be had: the structure depends on a number, or several conflict.
    """
    numbers = {name: size for name, size in sizes.items() if isinstance(size, int)}
    for name in sets:
        value = _given(sets[name]) if is_override(name) else _value(architecture, name, sets)
        if isinstance(value, int) and not isinstance(value, bool):
            numbers[name] = value
    told = False
    for name in numbers:
        for line in _misfits(architecture, sets, sizes, {name: numbers[name]}):
            told = True
            yield line
    if not told and len(numbers) > 1:  # with one of them open, the others are still wrong
        yield from _misfits(architecture, sets, sizes, numbers)


def _misfits(
    architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any], numbers: Mapping[str, int]
) -> list[str]:
    """The lines about some of the numbers, with symbols in place of them all."""
    others = {name: value for name, value in sets.items() if name not in numbers}
    try:
        graph = opened(architecture, [*numbers], others, sizes).graph
        fitting = {name: found for name in numbers if (found := _fitting(graph, name, numbers[name])) is not None}

        def builds(name: str, number: int) -> bool:
            return _builds(architecture, sets, sizes, {**fitting, name: number})

        return [line for name in numbers for line in _misfit(graph, name, numbers[name], partial(builds, name))]
    except ArchcalcError:  # the conditions can't be had or solved, or that takes too much work
        return []


def _builds(
    architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any], numbers: Mapping[str, int]
) -> bool:
    """Whether the architecture can be built with numbers under some names, in place of what is given."""
    sides = {name: numbers.get(name, size) for name, size in sizes.items()}
    given = {name: number for name, number in numbers.items() if name not in sizes}
    try:
        build(architecture.spec, architecture.variant, {**sets, **given}, sides)
    except (SpecError, UsageError):
        return False
    return True


def _about(graph: Graph, name: str) -> tuple[Any, list[Any]]:
    """The symbol of a name, and the conditions about it alone."""
    symbol: Any = dim(symbol_of(name))
    return symbol, [condition for condition in graph.conditions if condition.symbols == {symbol}]


def _fitting(graph: Graph, name: str, number: int) -> int | None:
    """The nearest number that meets the conditions about it alone, if this one doesn't."""
    symbol, about = _about(graph, name)
    if all(condition.holds({symbol.name: number}) for condition in about):
        return None
    return next(iter(_fits(about, symbol, number)[0].nearest(number)), None)


def _misfit(graph: Graph, name: str, number: int, builds: Callable[[int], bool]) -> Iterator[str]:
    """What is to be said of a number that the graph with a symbol in its place can't take; `builds`: which it can."""
    symbol, about = _about(graph, name)
    broken = [condition for condition in about if not condition.holds({symbol.name: number})]
    if not broken or number < 1:  # symbols are positive: nothing is known of other numbers
        return
    texts = ((str(condition), pair[1].text(symbol.name) if (pair := solved(condition)) else "") for condition in broken)
    told = dict.fromkeys(text if meaning in ("", text) else f"{text}, that is {meaning}" for text, meaning in texts)
    yield f"{name} = {number} breaks {'; '.join(told)}{_nearest(about, symbol, number, builds)}"


def _fits(conditions: Sequence[Any], symbol: Any, number: int) -> tuple[Integers, bool | None]:
    """The numbers that meet all conditions, and whether that's all of them; None if they're unknown.

    Where there's no end to solve for, they go up to twice the number, beyond which is nothing nearer than 0.
    """
    for domain in (Integers.between(), Integers.between(1, 2 * number)):
        with suppress(Unsolvable):
            return solved_for(conditions, {symbol.name: domain}).alone[symbol.name], domain.is_endless
    return Integers(), None


def _nearest(conditions: Sequence[Any], symbol: Any, number: int, builds: Callable[[int], bool]) -> str:
    """The nearest numbers that meet all conditions, each of them built before it's named; nothing if they're unknown.

    A symbol is positive, so that 0 is built, too, where nothing between it and the number fits.
    """
    fits, all_tried = _fits(conditions, symbol, number)
    nearest = fits.nearest(number)
    if all_tried is not None and fits.down(number) is None and builds(0):
        nearest = [0, *nearest]
    if not nearest:
        return "; no positive number fits" if all_tried else ""
    return f"; the nearest that fit: {' and '.join(map(str, nearest))}" if all(map(builds, nearest)) else ""
