"""What a layer keeps for the backward pass, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archcalc.analyses.saved import kept_by_layer, storages, width_bytes
from archcalc.analyses.storages import homes_in_training, places
from archcalc.graph import Graph
from archcalc.layers.kept import Kept, Width
from archcalc.report import Row
from archcalc.tables.numbers import exact

WORDS = {
    Width.value: "values of its own",
    Width.statistic: "statistics",
    Width.index: "places",
    Width.mask: "marks of what is dropped",
}


def kept_sentences(row: Row) -> Iterator[str]:
    """What autograd keeps because of this layer, and what else the layer needs that is kept already."""
    report, index = row.report, row.index
    kept = kept_by_layer(report.graph)[index]
    held = list(storages(report.graph, report.batch, report.dtype))
    for storage, size in held[index].items():
        first = next(i for i, earlier in enumerate(held) if storage in earlier)
        if isinstance(storage, tuple):
            amount, width, per_example = kept.extras[storage[1]]
            amount = amount * report.batch if per_example else amount
            what = f"{exact(amount)} {WORDS[width]}, {written_bytes(width_bytes(width, report.dtype))} each"
        else:
            what = f"{_volume(report.graph, index, kept, storage)}, {written_bytes(size)}"
        already = f", kept by {report.graph.nodes[first].name} already" if first < index else ""
        yield what + already


def _volume(graph: Graph, index: int, kept: Kept, home: Any) -> str:
    """Whose values a memory holds: the layer's own, or those of the last one before it that made them or wrote over."""
    lies_in, overwriting = homes_in_training(graph), places(graph).overwriting
    if kept.output and home == lies_in[index]:
        return "its output"
    makers = (i for i in range(index) if lies_in[i] == home and (i == home or i in overwriting))
    return f"the volume of {graph.nodes[max(makers)].name}"


def written_bytes(amount: Any) -> str:
    """An amount with its unit: 1 byte, 2 bytes."""
    return f"{exact(amount)} byte{'' if amount == 1 else 's'}"
