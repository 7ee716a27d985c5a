"""Networks of symbolic depth against every number: `python -m tests.fuzz_depth --examples 3000 --seed 1 [--laws|--ends]`.

The numbers of passes of a random spec (`random_loops`: loops in loops, skips, ties, several outputs; `random_laws`:
sizes that change from pass to pass, last passes that differ) are symbols. Where that can be built, it's built with every small number as well.
The conditions must be met by exactly those with which building works, and every total and every receptive field that
has a formula must be what the network has.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from random import Random
from typing import Any, NamedTuple

from archcalc import Report, dim
from archcalc.analyses.field import Field, Fields
from archcalc.analyses.receptive_field_laws import mapped
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.graph.composite import varies
from archcalc.language.model import Spec
from archcalc.symbolic import Condition
from archcalc.symbolic.values import value_at
from tests.helpers import spec_of
from tests.random_laws import Ends, Laws
from tests.random_loops import Loops

TOTALS = (
    "params", "biases", "buffers", "macs", "activations", "neurons", "connections", "depth", "saved_bytes", "peak_bytes",
    "least_bytes",
)  # fmt: skip
NUMBERS = range(1, 7)
MOST = 20_000
"""Layers of a network that is compared: these loops multiply."""


class Disagreement(AssertionError):
    """Symbols and numbers differ on a spec."""


def wrong(spec: Spec, names: str, counted: Counter[str]) -> Iterator[str]:
    """What of a spec's totals differs between symbols and numbers, if it can be built with these hparams as symbols."""
    try:
        graph = build(spec, hparams={name: dim(name) for name in names})
    except SpecError as error:
        counted[next(each.code for each in error.diagnostics if each.severity == "error")] += 1
        return
    if not graph.is_open:
        counted["as many layers as ever"] += 1
        return
    counted["open"] += 1
    counted["by a law"] += varies(graph.tree.body)
    formulas, fields = _totals(graph, counted), field_formulas(graph, counted)
    for numbers in (dict(zip(names, each, strict=True)) for each in product(NUMBERS, repeat=len(names))):
        fits = all(c.holds({s.name: numbers[s.name] for s in c.symbols}) for c in graph.conditions)
        try:
            there = Report(build(spec, hparams=numbers))
        except SpecError as error:
            if fits:
                yield f"{numbers}: {error.diagnostics[0].message}"
            continue
        if not fits:
            yield f"{numbers}: can be built, though {graph.conditions}"
            continue
        if len(there) > MOST:
            continue
        yield from fields.wrong(there, numbers, counted)
        for name, formula in formulas.items():
            counted["compared"] += 1
            if value_at(formula, numbers) != there.totals[name]:
                yield f"{numbers}: {name} = {formula} is {there.totals[name]}"


def _totals(graph: Graph, counted: Counter[str]) -> Mapping[str, object]:
    found = {}
    for name in TOTALS:
        try:
            found[name] = Report(graph).totals[name]
        except UsageError:  # of few passes it's another one, which is said
            counted[f"no formula of {name}"] += 1
    return found


class FieldFormulas(NamedTuple):
    """What the volumes with names see, as far as there are formulas, and what these need."""

    graph: Graph
    found: Mapping[str, tuple[Fields, list[Condition]]]

    def wrong(self, there: Report, numbers: Mapping[str, int], counted: Counter[str]) -> Iterator[str]:
        """What differs from the fields of the network with these numbers."""
        for name, (fields, needed) in self.found.items():
            if not all(condition.holds(numbers) for condition in needed):
                counted["fields that need more passes"] += 1
                continue
            counted["fields compared"] += 1
            place = there.graph.outputs[name] if name in self.graph.outputs else there.graph.place(name)
            expected = there.field_of(place)
            found = {axis: at_numbers(field, numbers) for axis, field in fields.items()}
            if found.keys() != expected.keys() or not all(_holds(found[axis], expected[axis]) for axis in found):
                yield f"{numbers}: {name} sees {fields}, and it is {expected}"


def field_formulas(graph: Graph, counted: Counter[str]) -> FieldFormulas:
    """The fields of the outputs and of the scopes of an open graph."""
    report, found = Report(graph), {}
    for name in {**graph.outputs, **{alias.name: 0 for alias in graph.tree.label.aliases}}:
        index = graph.outputs[name] if name in graph.outputs else graph.tree.find(name)
        if index is not None and all(part.isidentifier() for part in name.split("/")):
            try:
                found[name] = report.field_of(index), report.open_fields().needs(index)
            except UsageError as error:
                counted[f"no field: {error.args[0].partition(': ')[2][:40]}"] += 1
    return FieldFormulas(graph, found)


def _holds(said: Field, field: Field) -> bool:
    """Whether a field is what is said of it; what is said to be a bound, as with symbolic sizes, may be more."""
    if not said.bounded or said == field:
        return said == field
    if (said.constant, said.stride, said.follows) != (field.constant, field.stride, field.follows):
        return False
    (window,) = said.windows
    return field.windows[0] is None or (window is not None and _is_within(field.windows[0], window))


def _is_within(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return bool(other[0] <= one[0] and one[1] <= other[1])


def at_numbers(field: Field, numbers: Mapping[str, int]) -> Field:
    """A field with numbers for symbols."""
    return mapped(field, lambda bound: value_at(bound, numbers))


def search(examples: int, seed: int, drawn: type[Loops | Laws] = Loops) -> Counter[str]:
    """Look at so many specs; what was found about them."""
    counted: Counter[str] = Counter()
    for number in range(examples):
        text = drawn(seed * 1_000_000 + number).text()
        try:
            spec = spec_of(text)
        except SpecError:
            counted["no spec"] += 1
            continue
        names = Random(number).choice(["n", "m", "nm"])
        if reasons := list(wrong(spec, names, counted)):
            raise Disagreement("\n".join([f"seed {seed}, example {number}, symbols {names}", text, *reasons[:5]]))
    return counted


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--laws", action="store_true", help="sizes change from pass to pass")
    parser.add_argument("--ends", action="store_true", help="last passes differ")
    given = parser.parse_args()
    try:
        found = search(given.examples, given.seed, Ends if given.ends else Laws if given.laws else Loops)
    except Disagreement as error:
        print(error)
        return 1
    print(f"{given.examples} specs, seed {given.seed}: none differs; {dict(found.most_common())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
