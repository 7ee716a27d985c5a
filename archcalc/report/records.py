"""A report as one JSON object for scripts, in pieces, so that a long one streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from archcalc import text
from archcalc.graph import Application, Node
from archcalc.quantities import Total, fields, names
from archcalc.report.values import Row, Values, shared
from archcalc.symbolic import is_symbolic

VERSION = 1
"""Of this form of output."""


def json_lines(report: Values) -> Iterator[str]:
    """The whole report, a line for each layer; joined by line breaks it is one object."""
    graph = report.graph
    graph.spend(12, "writing so many rows")
    head = {
        "archcalc": VERSION,
        "name": report.name,
        "input": report.ordered(graph.input),
        **_inputs(report),
        "batch": report.batch,
        "dtype": report.dtype,
        "conditions": list(map(str, graph.conditions)),
        **({"changes": [change._asdict() for change in graph.changes]} if graph.changes else {}),
    }
    yield _dump(head)[:-1] + ', "layers": ['
    known: dict[Application, tuple[str, str]] = {}
    last = len(graph) - 1
    for index, node in enumerate(graph.nodes):
        before, values = known.get(node.application) or known.setdefault(node.application, _shared(report, node))
        inputs = _dump([graph.nodes[i].name for i in node.inputs])
        fields = _dump(_placed(report.row(index)))[1:]
        comma = "," if index < last else ""
        yield f'  {{"name": {_dump(node.name)}, {before}, "inputs": {inputs}, {values}, {fields}{comma}'
    yield f' ], "totals": {_dump(dict(report.totals))}}}'


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
    values = {
        "input_shapes": [report.ordered(shape) for shape in at.input_shapes],
        "output_shape": report.ordered(at.output_shape),
        **{name: report.value(at, name) for name in shared()},
        "in_place": at.layer.in_place,
    }
    return f'"kind": {_dump(at.layer.kind)}', _dump(values)[1:-1]


def _placed(row: Row) -> Mapping[str, Any]:
    """What depends on the layer's place; the receptive field per axis of the input."""
    sums = (name for name in names(Total.SUM) if name not in shared())
    aligned = all(field.aligned for field in row.fields.values())
    return {**{name: row[name] for name in (*sums, *fields())}, "aligned": aligned}


def _dump(value: Any) -> str:
    return text.json(value, default=_text)


def _text(value: Any) -> str:
    """A symbolic value as a text that SymPy can read, a fraction as 1/2."""
    if isinstance(value, Fraction) or is_symbolic(value):
        return str(value)
    raise TypeError(f"no JSON for {value!r}")
