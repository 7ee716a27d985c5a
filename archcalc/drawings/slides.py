"""The lecture's lines: `CONV3-64: [224x224x64]  memory: 224*224*64=3.2M  params: (3*3*3)*64 = 1,728`.

Source: the table of VGG-16 in the slides of Stanford's CS231n, lecture 9. Params are weights, as there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.errors import UsageError
from archcalc.graph import Application, Node
from archcalc.quantities import BYTES
from archcalc.report import Report
from archcalc.report.division import entries
from archcalc.report.rows import Entry
from archcalc.shape import SPATIAL, Shape
from archcalc.symbolic import is_symbolic, prod
from archcalc.tables.numbers import exact, memory, short

LAYOUT = ("R", "T", *SPATIAL, "C")


def slides_lines(report: Report) -> Iterator[str]:
    """A line for each volume, and both totals.

    Raises: UsageError: the report is about a batch; the slides are about one image.
    """
    if report.batch != 1:
        raise UsageError("the slides' table is about one example, not a batch", "leave batch and N out")
    for entry in entries(report.graph):
        node = report.graph.nodes[entry.first]
        note = "  (not counting biases)" if entry.first == 0 else ""
        parts = (f"{label(node.application)}: {_volume(report, node.shape)}", f"memory: {_memory(node.shape)}")
        yield "  ".join([*parts, f"params: {_params(report, entry)}{note}"])
    yield ""
    yield from _totals(report)


def _totals(report: Report) -> Iterator[str]:
    totals = report.totals
    values, weights = totals["activations"], totals["weights"]
    example = "image" if report.graph.input.spatial else "example"
    count = _factor(values) if is_symbolic(values) else exact(values)
    amount = f"{count} * {BYTES[report.dtype]} bytes = {memory(totals['activation_bytes'])}"
    passes = "only forward, ~*2 for bwd" if report.has("saved_bytes") else "only forward"
    yield f"TOTAL memory: {amount} / {example}  ({passes})"
    both = f"{exact(weights)} weights, not counting biases; {exact(totals['params'])} with them"
    rounded = exact(weights) if is_symbolic(weights) else short(weights, digits=3)
    yield f"TOTAL params: {rounded} parameters  ({both})"


def label(at: Application) -> str:
    """A layer as the slides call it: CONV3-64, POOL2, FC; after a slash a stride that doesn't go without saying."""
    layer, arguments = at.layer, at.layer.arguments()
    name, filters, stride = layer.slides_name or layer.kind.upper(), "", ""
    for argument in arguments.values():
        value = getattr(layer, argument.name)
        if argument.required and argument.type.name == "Extent":
            name += _extent(value)
            filters = f"-{layer.out_channels}" if "out_channels" in arguments else ""  # type: ignore[attr-defined]
        elif argument.name == "stride" and value not in (argument.default, getattr(layer, "kernel_size", None)):
            stride = "/" + argument.type.write(value)
    return name + filters + stride


def _extent(size: Any) -> str:
    """3 for 3x3, but 1x7 for 1x7."""
    sides = size if isinstance(size, tuple) else (size,)
    return str(sides[0]) if len(set(sides)) == 1 else "x".join(map(str, sides))


def _volume(report: Report, shape: Shape) -> str:
    """[224x224x64]; a vector in a network that reads images as [1x1x4096]."""
    ones = ["1"] * len(report.graph.input.spatial) if tuple(shape) == ("C",) else []
    return f"[{'x'.join([*ones, shape.text(LAYOUT)])}]"


def _factors(shape: Shape) -> list[Any]:
    return [shape[axis] for axis in LAYOUT if axis in shape]


def _memory(shape: Shape) -> str:
    return _product(_factors(shape), "=", short)


def _params(report: Report, entry: Entry) -> str:
    """The weights of a row's layers, with the factors of those that are products."""
    graph = report.graph
    terms: list[str] = []
    for index in entry.nodes:
        node = graph.nodes[index]
        if node.tied is not None:
            terms.append(f"0 ({'as' if node.reuses else 'tied to'} {graph.nodes[node.tied].name})")
        elif report.value(node.application, "weights") != 0:
            terms.append(_weights(report, node))
    return " + ".join(terms) or "0"


def _weights(report: Report, node: Node) -> str:
    """(3*3*64)*128 = 73,728 for a convolution, 7*7*512*4096 = 102,760,448 for a matrix, else the number alone."""
    at = node.application
    total = exact(report.value(at, "weights"))
    factors = at.layer.weight_factors(*at.input_shapes)
    source = report.graph.nodes[node.inputs[0]]
    if factors[:1] == (source.shape.get("C"),):
        factors = (*_features(source), *factors[1:])
    copies = () if at.copies == 1 else (at.copies,)
    return f"{_times((*copies, *factors))} = {total}" if factors else total


def _features(node: Node) -> list[Any]:
    """The factors of C: what the axes of the volume were that a vector was made of."""
    at = node.application
    for reads, x in zip(at.layer.reads(*at.input_shapes), at.input_shapes, strict=True):
        for before, after in reads.groups if reads else ():
            if after == ("C",):
                return _factors(Shape(**{axis: x[axis] for axis in before}))
    return [node.shape.C]


def _product(factors: Sequence[Any], equals: str, write: Any) -> str:
    """Factors and their product; a single factor is its own, and a product of symbols says no more than its factors."""
    total = prod(factors)
    if len(factors) == 1 or is_symbolic(total):
        return _times(factors)
    return f"{_times(factors)}{equals}{write(total)}"


def _times(factors: Sequence[Any]) -> str:
    return "*".join(map(_factor, factors))


def _factor(value: Any) -> str:
    """A factor; a sum needs brackets, and so do factors that belong together."""
    if isinstance(value, tuple):
        return f"({_times(value)})"
    return f"({value})" if getattr(value, "is_Add", False) else str(value)
