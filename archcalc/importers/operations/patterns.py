"""Rotary positions, which programs spell out in several operations."""

from __future__ import annotations

from math import acos
from typing import Any

from archcalc.importers.operations.exported import Operation
from archcalc.importers.operations.lifting import Lifter, Sketch, Unknown, operator
from archcalc.importers.operations.views import TensorView

CLOSE = 1e-4
"""How far constants may be from those of a pattern: they are float32."""


@operator("neg")
def negative(lifter: Lifter, op: Operation) -> Sketch:
    """A volume with the other sign."""
    return Sketch("negative", lifter.view(op.arguments[0]))


def merged(lifter: Lifter, kind: str, one: Any, other: Any) -> TensorView | Sketch | None:
    """A sum or a product that belongs to a pattern."""
    for first, second in ((one, other), (other, one)):
        if kind == "add":
            cosine, sine = lifter.sketch(first, "cosine"), lifter.sketch(second, "sine")
            if cosine and sine and cosine.view == sine.view:
                return cosine.view._replace(rope=_base(cosine.value, sine.value))
        elif (table := lifter.constant(second)) is not None and table.dim() > 1:
            if turned := lifter.sketch(first, "turned"):
                return Sketch("sine", turned.view, table)
            return Sketch("cosine", lifter.view(first), table)
    return None


def turned(lifter: Lifter, tensors: list[Any]) -> Sketch | None:
    """The second half of features, negated, ahead of the first."""
    if len(tensors) != 2 or (ahead := lifter.sketch(tensors[0], "negative")) is None:
        return None
    first, second = lifter.view(tensors[1]), ahead.view
    (half,) = first.dims[-1]
    whole_of = first._replace(dims=(*first.dims[:-1], (half._replace(size=2 * half.size),)))
    if second != first.moved(half.axis, half.size * half.stride):
        raise Unknown("parts that are exchanged")
    return Sketch("turned", whole_of)


def _base(cosines: Any, sines: Any) -> int:
    """The base of rotary positions.

    Raises: Unknown: the tables are others.
    """
    import torch

    cosines, sines = (table.reshape(-1, *table.shape[-2:])[0] for table in (cosines, sines))
    length, size = cosines.shape
    if length < 2 or size < 4:
        raise Unknown("rotary positions of so few tokens or features")
    base: int = round(acos(float(cosines[1, 1])) ** (-size / 2))
    rates = base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = (torch.arange(length)[:, None] * rates).repeat(1, 2)
    for table, expected in ((cosines, angles.cos()), (sines, angles.sin())):
        if not torch.allclose(expected.float(), table.float(), atol=CLOSE):
            raise Unknown("rotary positions that are scaled")
    return base
