"""Every network of the zoo at every depth: `python -m tests.every_depth [--names A,B] [--numbers 60] [--whole]`.

Which hparams say how many passes there are, is found out: those with which the number of layers is a symbol. What the
formulas say of each number, from 0 on, must be what the network has that is built with it: all totals, and what the
parts see that have names. Of lists of depths one entry changes at a time. Without `--whole` one network of each
structure.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from archcalc import Graph, Report, formula
from archcalc.errors import SpecError, UsageError
from archcalc.expand.hparams import OutOfBounds
from archcalc.formulas.symbols import opened, with_values
from archcalc.graph.composite import depth_symbols
from archcalc.symbolic.values import value_at
from archcalc.zoo import Architecture, load
from archcalc.zoo import architectures as all_architectures
from tests.fuzz_depth import TOTALS, field_formulas
from tests.helpers import some_of_the_zoo

EASY, SAVED = TOTALS[:8], TOTALS[8:]
SOME = (0, 1, 2, 3, 4, 7, 25, 60)
"""Numbers of which what depends on places is compared, too."""
MOST = 3000
"""Layers of a network of which that is compared."""


class Depth(NamedTuple):
    """A network with one hparam open that says how many layers there are, and what numbers its symbols have."""

    architecture: Architecture
    hparam: str
    graph: Graph
    values: Mapping[str, int]


def depths_of(architecture: Architecture) -> Iterator[Depth]:
    """The hparams of a network that may be the number of its layers."""
    graph = architecture.build()
    for name in architecture.spec.hparams:
        try:
            found, values = with_values(architecture, graph, [name], {}, {})
        except (SpecError, UsageError):
            continue
        symbols = {symbol.name for symbol in depth_symbols(found.graph.tree.body)}
        if symbols and not found.fixed:
            yield Depth(architecture, name, found.graph, {each: values[each] for each in symbols})


def check(depth: Depth, numbers: Iterable[int], counted: Counter[str]) -> Iterator[str]:
    """What of the formulas differs from the networks with these numbers."""
    formulas = {name: total for name in TOTALS if (total := _total(Report(depth.graph), name, counted)) is not None}
    fields = field_formulas(depth.graph, counted)
    for symbol in sorted(depth.values):
        for number in numbers:
            values = {**depth.values, symbol: number}
            fits = all(condition.holds(values) for condition in depth.graph.conditions)
            try:
                there = Report(opened(depth.architecture, [], {depth.hparam: _given(depth, values)}).graph)
            except SpecError as error:
                if fits and number:
                    yield f"{values}: {error.diagnostics[0].message}"
                continue
            except OutOfBounds:
                counted["beyond bounds"] += 1
                continue
            if number == 0:
                yield from _without_passes(depth, there, counted)
                continue
            if not fits:
                yield f"{values}: can be built, though {depth.graph.conditions}"
                continue
            yield from _compare(formulas, there, values, counted)
            if number in SOME and there.graph.is_listed and len(there) < MOST:
                yield from fields.wrong(there, values, counted)


def _compare(
    formulas: Mapping[str, Any], there: Report, values: Mapping[str, int], counted: Counter[str]
) -> Iterator[str]:
    for name, total in formulas.items():
        if name in EASY or (len(there.graph.tree.body.items) < MOST and [*values.values()][-1] in SOME):
            counted["compared"] += 1
            if value_at(total, values) != there.totals[name]:
                yield f"{values}: {name} = {total} is {there.totals[name]}"


def _without_passes(depth: Depth, there: Report, counted: Counter[str]) -> Iterator[str]:
    """What differs without passes from the formulas that are shown, if these say that they hold there."""
    found = formula(depth.architecture, symbolic=depth.hparam)
    if found.from_zero:
        counted["compared at 0"] += 1
        for name, amount in found.at(**dict.fromkeys(found.from_zero, 0)).items():
            if amount != there.totals[name]:
                yield f"0: {name} = {found[name]} is {there.totals[name]}"


def _given(depth: Depth, values: Mapping[str, int]) -> Any:
    """The value of the hparam: a number, or a list of them."""
    if [*values] == [depth.hparam]:
        return values[depth.hparam]
    return [values[f"{depth.hparam}_{place}"] for place in range(1, len(values) + 1)]


def _total(report: Report, name: str, counted: Counter[str]) -> Any:
    try:
        return report.totals[name]
    except UsageError:
        counted[f"no formula of {name}"] += 1
        return None


def main() -> int:
    """Run from the command line: a line for each hparam; exit code 1 after a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--names", default="")
    parser.add_argument("--numbers", type=int, default=60)
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    every = [each.name for each in all_architectures()] if given.whole else some_of_the_zoo()
    wrong = 0
    for name in given.names.split(",") if given.names else every:
        for depth in depths_of(load(name)):
            counted = Counter[str]()
            reasons = list(check(depth, range(given.numbers + 1), counted))
            wrong += bool(reasons)
            print(
                name, depth.hparam, "WRONG" if reasons else "equal", dict(counted), *reasons[:5], sep="; ", flush=True
            )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
