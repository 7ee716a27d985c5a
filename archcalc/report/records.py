"""A report as one JSON object for scripts, in pieces, so that a long one streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from fractions import Fraction
from functools import cache
from typing import Any

from archcalc import text
from archcalc.graph import Application, Node, NoNumber, TooManyLayers
from archcalc.graph.opaque import opaque_layers
from archcalc.quantities import Total, fields, names
from archcalc.report.values import Row, Values, shared
from archcalc.symbolic import is_symbolic

VERSION = 1
"""Of this form of output."""


def json_lines(report: Values) -> Iterator[str]:
    """The whole report, a line for each layer; joined by line breaks it is one object."""
    report.graph.spend(12, "writing so many rows")
    known: dict[Application, tuple[str, str]] = {}
    return framed(report, (_layer(report, index, node, known) for index, node in enumerate(report.graph.nodes)))


def framed(report: Values, layers: Iterable[str]) -> Iterator[str]:
    """The object around layers, each of which is the text of one."""
    graph = report.graph
    head = {
        "archcalc": VERSION,
        "name": report.name,
        "input": report.ordered(graph.input),
        **_inputs(report),
        "batch": report.batch,
        "dtype": report.dtype,
        "conditions": list(map(str, graph.conditions)),
        **({"opaque": [each._asdict() for each in found]} if (found := opaque_layers(graph)) else {}),
        **({"changes": [change._asdict() for change in graph.changes]} if graph.changes else {}),
    }
    before = dump(head)[:-1] + ', "layers": ['
    for layer in layers:
        yield before
        before = f"  {layer},"
    yield before.removesuffix(",")
    yield f' ], "totals": {dump(_totals(report))}}}'


def _totals(report: Values) -> dict[str, Any]:
    """The totals; of a network whose layers can't be listed, those that are known without a list."""
    found = {}
    for name in report.totals:
        with nullcontext() if report.graph.is_listed else suppress(NoNumber, TooManyLayers):
            found[name] = report.totals[name]
    return found


def _layer(report: Values, index: int, node: Node, known: dict[Application, tuple[str, str]]) -> str:
    """The object of one layer."""
    before, values = known.get(node.application) or known.setdefault(node.application, _shared(report, node))
    inputs = dump([report.graph.nodes[i].name for i in node.inputs])
    fields = dump(_placed(report.row(index)))[1:]
    shares = "" if node.tied is None else f'"{node.tied_by}": {dump(report.graph.nodes[node.tied].name)}, '
    return f'{{"name": {dump(node.name)}, {before}, "inputs": {inputs}, {shares}{values}, {fields}'


def _inputs(report: Values) -> dict[str, Any]:
    """Of several inputs, all by their names, and which of them the receptive fields are about."""
    graph = report.graph
    if not graph.first_of_several:
        return {}
    inputs = {node.name: report.ordered(node.shape) for node in graph.inputs}
    return {"inputs": inputs, "receptive_fields_on": graph.first_of_several}


def _shared(report: Values, node: Node) -> tuple[str, str]:
    """What equal layers on equal shapes have in common, as pieces of an object's text: before the inputs, and after."""
    at = node.application
    sums = {name: report.value(at, name) for name in shared()}
    values = {**shapes(report, node.application), **sums, "in_place": at.layer.in_place}
    return f'"kind": {dump(at.layer.kind)}', dump(values)[1:-1]


def shapes(report: Values, application: Application) -> dict[str, Any]:
    """What a layer reads and what it makes."""
    read = [report.ordered(shape) for shape in application.input_shapes]
    return {"input_shapes": read, "output_shape": report.ordered(application.output_shape)}


def _placed(row: Row) -> Mapping[str, Any]:
    """What depends on the layer's place; the receptive field per axis of the input."""
    aligned = all(field.aligned for field in row.fields.values())
    return {**{name: row[name] for name in _own()}, "aligned": aligned}


@cache
def _own() -> tuple[str, ...]:
    """The quantities that each layer has for itself."""
    alike = shared()
    return (*(name for name in names(Total.SUM) if name not in alike), *fields())


def dump(value: Any) -> str:
    """A value as JSON; a symbolic one as a text."""
    return text.json(value, default=_text)


def _text(value: Any) -> str:
    """A symbolic value as a text that SymPy can read, a fraction as 1/2."""
    if isinstance(value, Fraction) or is_symbolic(value):
        return str(value)
    raise TypeError(f"no JSON for {value!r}")
