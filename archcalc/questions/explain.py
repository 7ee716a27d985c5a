"""One layer's arithmetic, worked out: output size, parameters, values, MACs, receptive field, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from archcalc.errors import UnknownNameError, UsageError, suggestion
from archcalc.expand import Given, Sizes
from archcalc.graph import Graph
from archcalc.graph.composite import counts
from archcalc.graph.labels import UNNAMED
from archcalc.graph.tree import layers_of
from archcalc.questions.explain_steps import Step, steps
from archcalc.questions.formula import layer_at
from archcalc.questions.networks import Network, names_of, report_of
from archcalc.report import Report, Row
from archcalc.shape import BATCH
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document

MOST_NAMED = 8
"""Layers of a scope that an error names."""


@dataclass(frozen=True, repr=False)
class Explanation(Answer):
    """How a layer's numbers come about, for one example: iterate over the steps, or take one: `found["macs"]`."""

    name: str
    layer: str
    """The layer as specs write it; of an input nothing."""
    inputs: tuple[str, ...]
    """The volumes that it reads, in the spec's order of axes."""
    output: str
    summary: str
    """What its kind does."""
    steps: tuple[Step, ...]
    uncounted: str = ""
    """Which arithmetic of it isn't counted as MACs."""
    warnings: tuple[str, ...] = ()

    @property
    def volumes(self) -> str:
        """What goes in and what comes out: `227x227x3 -> 55x55x96`."""
        return f"{' and '.join(self.inputs)} -> {self.output}"

    def __getitem__(self, name: str) -> Step:
        """The step of a quantity, `params`, `macs`, `receptive_field`, or of an axis of the output.

        Raises: UnknownNameError: there is none.
        """
        found = {each: step for step in reversed(self.steps) for each in step.names}
        if not isinstance(name, str) or name not in found:
            raise UnknownNameError(
                f"the explanation of '{self.name}' has no {name!r:.60}", suggestion(str(name), found)
            )
        return found[name]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def lines(self) -> Iterator[str]:
        """The explanation as a text."""
        yield from (f"{self.name}: {self.layer}", self.volumes) if self.layer else (f"{self.name}: {self.output}",)
        yield from filter(None, [self.summary])
        told: tuple[str, ...] = ()
        for step in self.steps:
            yield from [""] * (step.names != told)
            yield f"{step.label}: {step.equation}"
            yield from (f"  {sentence}" for sentence in step.sentences)
            told = step.names
        for remark in self._remarks():
            yield from ("", remark)

    def _remarks(self) -> Iterator[str]:
        if self.uncounted:
            yield f"not counted as MACs: {self.uncounted}"
        yield from (f"warning: {warning}" for warning in self.warnings)

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def table(self) -> Table:
        """A row for each step, with the sentences below it."""
        title = f"{self.layer}, {self.volumes}" if self.layer else self.output
        return Table(
            [Column("what", Kind.NAME), Column("how it comes about", Kind.TEXT)],
            lambda: ([step.label, step.equation] for step in self),
            self.name,
            title,
            remarks={number: step.sentences for number, step in enumerate(self) if step.sentences},
            notes=[*filter(None, [self.summary]), *self._remarks()],
            keys=["what", "arithmetic", "result", "value", "why"],
            values=lambda: (
                [step.label, step.arithmetic, step.result, step.value, ". ".join(step.sentences)] for step in self
            ),
            json=lambda: document(self._data()),
        )

    def _data(self) -> dict[str, Any]:
        return {
            "name": self.name, "layer": self.layer, "inputs": list(self.inputs), "output": self.output,
            "summary": self.summary,
            "steps": [
                {"names": list(step.names), "label": step.label, "arithmetic": step.arithmetic, "result": step.result,
                 "value": step.value, "sentences": list(step.sentences)}
                for step in self
            ],
            "uncounted": self.uncounted, "warnings": list(self.warnings),
        }  # fmt: skip


def explain(
    network: Network,
    layer: str,
    *,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
    dtype: str = "float32",
) -> Explanation:
    """Work out one layer with its numbers, for one example: each size and quantity, what it keeps and what it sees.

    `layer`: its path, or a scope's with one layer, or with one that has parameters. Sizes and symbols as in
    `Architecture.build`.
    Returns: steps with exact values: params and MACs are counts, `saved_bytes` bytes, the field input positions.
    Raises: UnknownNameError: there is no such layer. UsageError: the scope has several, the batch is open, or there is
    no such network or dtype. SpecError: the spec is wrong.

    >>> import archcalc
    >>> found = archcalc.explain("alexnet", "conv1")
    >>> found["weights"].equation
    '(11*11*3)*96 = 34,848'
    >>> found["H"].value, found["params"].value
    (55, 34944)
    """
    if BATCH in names_of(symbolic):
        raise UsageError("a layer is explained for one example", f"leave {BATCH} out")
    report = report_of(network, hparams, sizes, symbolic, dtype=dtype)
    report = report if report.batch == 1 else replace(report, batch=1)
    row = _row(report, layer)
    node, at = row.node, row.node.application
    return Explanation(
        node.name.replace(UNNAMED, ""),
        at.text if node.inputs else "",
        tuple(report.text(shape) for shape in at.input_shapes),
        report.text(at.output_shape),
        node.layer.about,
        tuple(steps(row)),
        at.layer.uncounted or "",
        tuple(at.remarks),
    )


def _row(report: Report, layer: str) -> Row:
    """The layer of this name, or the one of a scope that is meant.

    Raises: UsageError: there are several.
    """
    row = layer_at(report, layer)
    if row is None:
        raise UsageError(f"'{layer}' has several layers", f"say which: {', '.join(_some_of(report.graph, layer))}")
    return row


def _some_of(graph: Graph, scope: str) -> list[str]:
    """The first layers with weights of a scope, or of all if there are none."""
    if (place := graph.tree.part(graph.tree.spelled(scope))) is None:
        nodes = list(graph.within(scope))
    else:
        there = {*counts(place.call)}
        chosen = {at for at in there if at.layer.weight_layer} or there
        nodes = [graph.node(found.start) for found in islice(layers_of(place, chosen), MOST_NAMED)]
    named = [node for node in nodes if node.layer.weight_layer] or nodes
    return [node.name.replace(UNNAMED, "") for node in named[:MOST_NAMED]]
