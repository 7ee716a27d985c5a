"""What is calculated from a network's numbers: a share, a product, what one token costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archcalc.errors import LocalError, UsageError, suggestion
from archcalc.language.arithmetic import number
from archcalc.language.expression import Environment, Expr, Name
from archcalc.language.grammar import parse_expression
from archcalc.quantities import TOTALLED, listed, names
from archcalc.questions.measures import DOTTED, Measure, measure
from archcalc.report import Report
from archcalc.shape import BATCH
from archcalc.symbolic import dim, is_symbolic

EXAMPLE = "'attention_macs/macs', 'training = 3*flops/T', 'decoder.params'"
_NAMED = re.compile(r"\s*([^\W\d]\w{0,99})\s*=(?!=)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Calculated:
    """An expression in totals, numbers of layers and scopes, and sizes, and what it's called.

    `layers` are the numbers of layers in it, under the names that stand for them in the expression.
    """

    name: str
    text: str
    expr: Expr
    layers: Mapping[str, Measure]

    def value(self, report: Report, path: str = "", symbols: Iterable[str] = ()) -> Any:
        """Its value on a network, where totals are those of the scope at `path`; `symbols` are names of its own.

        Raises: UsageError: a name means nothing there, or it can't be calculated.
        """
        sizes = {BATCH: report.batch, **_sizes(report), **{name: dim(name) for name in symbols}}
        known = {}
        for name in self.expr.names():
            if name in self.layers:
                known[name] = self.layers[name].value(report)
            elif name in names(*TOTALLED):
                known[name] = report.total(name, path)
            elif name in sizes:
                known[name] = sizes[name]
            else:
                hint = suggestion(name, [*names(*TOTALLED), *sizes])
                raise UsageError(f"'{self.text}': there's no number '{name}'", hint)
        try:
            found = number(self.expr.evaluate(Environment(known)))
        except LocalError as error:
            raise UsageError(f"can't calculate '{self.text}': {error.message}") from None
        return _simplest(found, isinstance(self.expr, Name))


def calculated(text: str) -> Calculated:
    """What is meant by `params`, `decoder.params`, `attention_macs/macs` or `share = attention_macs/macs`.

    Raises: UsageError: it can't be read.
    """
    layers: dict[str, Measure] = {}

    def replaced(match: re.Match[str]) -> str:
        name = f"_{len(layers)}_of_a_layer"
        layers[name] = measure(match[0])
        return name

    named = _NAMED.fullmatch(text)
    name, what = (named[1], named[2]) if named else (text.strip(), text)
    try:
        expr = parse_expression(DOTTED.sub(replaced, what).strip())
    except LocalError as error:
        raise UsageError(f"can't read '{text}': {error.message}", EXAMPLE) from None
    return Calculated(name, what.strip(), expr, layers)


def all_calculated(columns: str | Iterable[str]) -> tuple[Calculated, ...]:
    """The same of several, as a text with commas, or one by one.

    Raises: UsageError: one can't be read, or two have the same name.
    """
    found = tuple(map(calculated, listed(columns, example="['attention_macs/macs']")))
    if len({each.name for each in found}) < len(found):
        raise UsageError("a column can be shown once only")
    return found


def _sizes(report: Report) -> Mapping[str, Any]:
    """The sizes of the inputs: of the first by their axes, of others with their names in front."""
    first, *others = report.graph.inputs
    found: dict[str, Any] = dict(first.shape)
    return found | {f"{node.name}_{axis}": size for node in others for axis, size in node.shape.items()}


def _simplest(value: Any, given: bool) -> Any:
    """A sum without brackets, as numbers that are `given`; what is calculated as a quotient without common factors."""
    if not is_symbolic(value):
        return value
    import sympy

    if given or value.has(sympy.floor, sympy.Min, sympy.Max, sympy.Mod):
        return sympy.expand(value)
    return sympy.expand(value) if sympy.denom(sympy.together(value)).is_number else sympy.cancel(value)
