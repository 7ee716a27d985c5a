"""Weights of convolutions that are computed from parameters: with lengths of their own, or standardised."""

from __future__ import annotations

from math import sqrt
from typing import Any

from archcalc.importers.operations.exported import Operation, Result, Stored
from archcalc.importers.operations.lifting import Lifter, Unknown, Weight, argument, number, operator

VIEWS = ("view", "reshape", "flatten", "squeeze")
DIGITS = 16
"""Of a float, as many as are surely its own."""


@operator("_weight_norm")
def with_lengths(lifter: Lifter, op: Operation) -> Weight:
    """Lengths for filters, or for taps along one axis, beside directions."""
    directions, lengths = (lifter.weight(each) for each in op.arguments[:2])
    dim, rank = argument(op, 2, "dim", 0), len(directions.shape)
    if dim not in (0, 2) or (dim == 2 and rank != 3):
        raise Unknown(f"lengths of a weight along its axis {dim}")
    norm = {"weight_norm": "filter" if dim == 0 else "tap"}
    return Weight((lengths, directions), directions.shape, directions.shape[0], norm)


def standardised(lifter: Lifter, op: Operation) -> Weight:
    """Filters less their means, over their deviations, and with factors: as batch normalisation of what is learned.

    Raises: Unknown: it's a norm of something else.
    """
    weight, factors, bias, eps = (
        lifter.stored(op.arguments[0]),
        argument(op, 1, ""),
        argument(op, 2, ""),
        op.arguments[7],
    )
    if weight is None or bias is not None or not _is_plain(weight) or len(weight.shape) != 3 or weight.shape[0] != 1:
        raise Unknown("batch normalisation without running statistics")
    _, filters, size = weight.shape
    if factors is None:
        return Weight((weight,), weight.shape, filters, {"weight_norm": "standard", "weight_eps": number(eps)})
    gain, factor = _multiple(lifter, factors)
    scale = {
        "weight_norm": "gain",
        "weight_eps": number(eps),
        "weight_scale": _number(factor * sqrt(size), size, factor),
    }
    return Weight((gain, weight), weight.shape, filters, scale)


def _multiple(lifter: Lifter, operand: Any) -> tuple[Stored, float]:
    """A parameter, and the number that it's multiplied by."""
    if (stored := lifter.stored(operand)) is not None and _is_plain(stored):
        return stored, 1.0
    while isinstance(operand, Result):
        op = lifter.exported.operations[operand.operation]
        name, operand = op.name.partition(".")[0], op.arguments[0]
        if name == "mul" and isinstance(operand, Stored) and _is_plain(operand) and isinstance(op.arguments[1], float):
            return operand, op.arguments[1]
        if name not in VIEWS:
            break
    raise Unknown("factors of filters that are computed")


def _is_plain(stored: Stored) -> bool:
    """Whether it's a parameter as the module has it."""
    return stored.learned and stored.rows is None and not stored.turned and not stored.plus


def _number(value: float, size: int, product: float) -> Any:
    """The shortest number that, over the root of a size, is what a program has; floats are rounded at each step."""
    shorter = (float(f"{value:.{digits}g}") for digits in range(1, DIGITS + 1))
    return number(next((each for each in shorter if each * size**-0.5 == product), value))
