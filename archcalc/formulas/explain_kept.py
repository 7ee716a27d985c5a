"""What a layer keeps for the backward pass, worked out for a person who is learning it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archcalc.analyses.saved import kept_by_layer, storages, width_bytes
from archcalc.analyses.storages import places
from archcalc.layers.kept import Width
from archcalc.render.figures import exact
from archcalc.report import Row

WORDS = {
    Width.value: "values of its own",
    Width.statistic: "statistics",
    Width.index: "places",
    Width.mask: "marks of what is dropped",
}


def kept_lines(row: Row) -> Iterator[str]:
    """The bytes that autograd keeps because of this layer, and what else it needs that is kept already."""
    report, index = row.report, row.index
    yield f"kept for the backward pass: {exact(row['saved_bytes'])} bytes"
    extras = kept_by_layer(report.graph, places(report.graph))[index].extras
    held = list(storages(report.graph, report.batch, report.dtype))
    for storage, size in held[index].items():
        first = next(i for i, earlier in enumerate(held) if storage in earlier)
        if isinstance(storage, tuple):
            amount, width, per_example = extras[storage[1]]
            amount = amount * report.batch if per_example else amount
            what = f"{exact(amount)} {WORDS[width]}, {_bytes(width_bytes(width, report.dtype))} each"
        else:
            what = f"{_volume(row, storage)}, {_bytes(size)}"
        already = f", kept by {report.graph.nodes[first].name} already" if first < index else ""
        yield f"  {what}{already}"


def _volume(row: Row, home: Any) -> str:
    return "its output" if home == row.index else f"the volume of {row.report.graph.nodes[home].name}"


def _bytes(amount: Any) -> str:
    return f"{exact(amount)} byte{'' if amount == 1 else 's'}"
