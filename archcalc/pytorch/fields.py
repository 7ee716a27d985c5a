"""Receptive fields against autograd: the input positions on which one output position depends."""

from __future__ import annotations

from archcalc.analyses.positions import Seen
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.pytorch.compare import Check, Difference
from archcalc.pytorch.gradient import Question, supports
from archcalc.report import Report
from archcalc.symbolic import known

MOST_MACS = 2_000_000_000
"""Of one example: larger nets would take longer here than everything else together."""
LAYERS = 4
"""Layers that are asked, spread over the net; the last one with spatial axes is among them."""


def field_check(report: Report, device: str) -> Check:
    """Ask autograd which input positions the middle of a few layers sees."""
    graph, name = report.graph, "receptive field"
    sources = [index for index, node in enumerate(graph.nodes) if not node.inputs and node.shape.spatial]
    if not sources:
        return Check(name, 0, note="the input has no positions")
    if known(report.total("macs")) > MOST_MACS * known(report.batch):
        return Check(name, 0, note="not compared, the net is too large")
    places = [index for index, node in enumerate(graph.nodes) if node.inputs and node.shape.spatial]
    if not places:
        return Check(name, 0, note="no layer has positions")
    chosen = sorted({places[-1 - number * len(places) // LAYERS] for number in range(LAYERS)})
    questions = [
        Question(i, {axis: known(graph.nodes[i].shape[axis]) // 2 for axis in graph.nodes[i].shape.spatial})
        for i in chosen
    ]
    differences = []
    for source in sources:
        on = f" on {graph.nodes[source].name}" if graph.first_of_several else ""
        for question, found in zip(questions, supports(graph, questions, source, device), strict=True):
            predicted = exact_field(graph, question.node, question.position, source)
            if predicted.positions() != found.positions():
                layer = graph.nodes[question.node].name
                differences.append(Difference(layer, f"{name}{on}", _shown(predicted), _shown(found)))
    return Check(name, len(chosen) * len(sources), differences=tuple(differences))


def _shown(seen: Seen) -> str:
    spans = (f"{axis} {span[0]} to {span[1]}" for axis in seen.sizes if (span := seen.interval(axis)))
    return f"{seen.count} positions ({', '.join(spans)})"
