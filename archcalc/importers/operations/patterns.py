"""Layers that programs spell out in several operations: RMSNorm, and rotary positions."""

from __future__ import annotations

from fractions import Fraction
from math import acos, isclose, pi, sqrt
from typing import Any

from archcalc.importers.operations.exported import Operation, Stored
from archcalc.importers.operations.lifting import Lifter, Sketch, Unknown, number, operator
from archcalc.importers.operations.views import TensorView, whole

CLOSE = 1e-4
"""How far constants may be from those of a pattern: they are float32."""
CUBIC = 0.044715
"""GELU's. Source: Hendrycks & Gimpel 2016, section 2."""


@operator("pow")
def power(lifter: Lifter, op: Operation) -> Sketch:
    """A square, or a cube."""
    if op.arguments[1] not in (2, 3):
        raise Unknown(f"a power of {op.arguments[1]}")
    return Sketch("square" if op.arguments[1] == 2 else "cube", lifter.view(op.arguments[0]))


@operator("rsqrt")
def rsqrt(lifter: Lifter, op: Operation) -> Sketch:
    """The inverse of the root of a mean square."""
    found = lifter.sketch(op.arguments[0], "mean square")
    if found is None:
        raise Unknown("the inverse root of a volume")
    return found._replace(what="inverse rms")


@operator("tanh")
def tanh(lifter: Lifter, op: Operation) -> TensorView | Sketch:
    """The hyperbolic tangent, by itself or in GELU's approximation: of √(2/π)·(x + 0.044715·x³)."""
    if found := lifter.sketch(op.arguments[0], "cubic"):
        if not isclose(found.value, sqrt(2 / pi), rel_tol=CLOSE):
            raise Unknown("the tangent of a cubic that isn't GELU's")
        return found._replace(what="tangent")
    return lifter.along(lifter.view(op.arguments[0]), "tanh")


@operator("neg")
def negative(lifter: Lifter, op: Operation) -> Sketch:
    """A volume with the other sign."""
    return Sketch("negative", lifter.view(op.arguments[0]))


def merged(lifter: Lifter, kind: str, one: Any, other: Any) -> TensorView | Sketch | None:
    """A sum or a product that belongs to a pattern."""
    for first, second in ((one, other), (other, one)):
        if (found := _of_gelu(lifter, kind, first, second)) is not None:
            return found
        if kind == "add":
            if (square := lifter.sketch(first, "mean square")) and isinstance(second, (int, float)):
                return square._replace(value=second)
            cosine, sine = lifter.sketch(first, "cosine"), lifter.sketch(second, "sine")
            if cosine and sine and cosine.view == sine.view:
                return cosine.view._replace(rope=_base(cosine.value, sine.value))
        elif rms := lifter.sketch(first, "inverse rms"):
            if lifter.view(second) != rms.view or rms.view.dims[-1] != whole("C", lifter.shape(rms.view.step).C):
                raise Unknown("a norm over other axes than C")
            found = lifter.along(rms.view, "rmsnorm", affine=False, eps=number(rms.value))
            lifter.bare[found.step] = number(rms.value)
            return found
        elif (table := lifter.constant(second)) is not None and table.dim() > 1:
            if turned := lifter.sketch(first, "turned"):
                return Sketch("sine", turned.view, table)
            return Sketch("cosine", lifter.view(first), table)
    return None


def _of_gelu(lifter: Lifter, kind: str, first: Any, second: Any) -> TensorView | Sketch | None:
    """A step of GELU's approximation, x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))."""
    if cube := lifter.sketch(first, "cube"):
        if kind == "mul" and isinstance(second, float) and isclose(second, CUBIC, rel_tol=CLOSE):
            return cube._replace(what="small cube")
    elif small := lifter.sketch(first, "small cube"):
        if kind == "add" and lifter.view(second) == small.view:
            return small._replace(what="cubic", value=1.0)
    elif cubic := lifter.sketch(first, "cubic"):
        if kind == "mul" and isinstance(second, float):
            return cubic._replace(value=cubic.value * second)
    elif tangent := lifter.sketch(first, "tangent"):
        if kind == "add" and second in (1, 1.0):
            return tangent._replace(what="one and a tangent")
    elif gate := lifter.sketch(first, "one and a tangent"):
        half = lifter.view(second).step
        halved = lifter.multiples.get(half) == Fraction(1, 2) and lifter.steps[half].inputs == (gate.view.step,)
        if kind == "mul" and halved:
            return lifter.along(gate.view, "gelu", approximate="tanh")
    else:
        return None
    raise Unknown("an activation that is spelled out, and isn't GELU")


def scaled(lifter: Lifter, x: TensorView, weight: Stored) -> TensorView | None:
    """A norm without factors that gets them."""
    if x.step not in lifter.bare or weight.shape != (lifter.shape(x.step).C,):
        return None
    before = TensorView(lifter.steps[x.step].inputs[0], x.dims)
    return lifter.along(before, "rmsnorm", [weight], eps=lifter.bare[x.step])


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
