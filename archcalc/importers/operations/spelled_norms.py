"""Norms that programs spell out: RMSNorm and LayerNorm over the last dimension, with their factors and summands."""

from __future__ import annotations

from typing import Any

from archcalc.importers.operations.exported import Operation, Stored
from archcalc.importers.operations.lifting import argument
from archcalc.importers.operations.program import Program

NORMS = ("rms_norm", "layer_norm")


def norm(program: Program, number: int) -> Operation | None:
    """An operation that ends a norm: a product or a quotient, or the sum with what is learned."""
    made = program.original[number]
    name = program.base_name(number)
    if name in ("mul", "div", "add") and len(made.arguments) == 2 and not made.named:
        one, other = made.arguments
        if name != "div" and (found := _learned(program, name, made, one, other)):
            return found
        return _normalised(program, name, made)
    if name in NORMS and isinstance(weight := _factors(program, argument(made, 2, "weight")), Stored) and weight.plus:
        return made.replaced(name, made.arguments[0], made.arguments[1], weight, *_rest(made, name))
    return None


def _rest(made: Operation, name: str) -> list[Any]:
    if name == "rms_norm":
        return [argument(made, 3, "eps")]
    return [argument(made, 3, "bias"), argument(made, 4, "eps", 1e-5)]


def _learned(program: Program, name: str, made: Operation, one: Any, other: Any) -> Operation | None:
    """A norm without factors, or without summands, that gets them."""
    for first, second in ((one, other), (other, one)):
        inner = program.operation(first, *NORMS)
        if inner is None or not isinstance(stored := _factors(program, second), Stored):
            continue
        x, sizes, weight, *rest = [*inner.arguments, None, None][:4]
        if stored.shape != tuple(sizes) or not stored.learned:
            continue
        if name == "mul" and weight is None and not (inner.name == "layer_norm" and rest[0] is not None):
            return made.replaced(inner.name, x, sizes, stored, *inner.arguments[3:])
        if name == "add" and inner.name == "layer_norm" and rest[0] is None and weight is not None and not stored.plus:
            return made.replaced(inner.name, x, sizes, weight, stored, *inner.arguments[4:])
    return None


def _factors(program: Program, operand: Any) -> Any:
    """What is learned, perhaps with 1 added."""
    added = program.operation(operand, "add")
    if added is not None and len(added.arguments) == 2:
        for one, other in (added.arguments, added.arguments[::-1]):
            if isinstance(one, Stored) and one.learned and program.number(other) == 1:
                return one._replace(plus=1)
    return operand


def _normalised(program: Program, name: str, made: Operation) -> Operation | None:
    """A product with the inverse root of a mean square, or a quotient by the root."""
    one, other = made.arguments
    root = "sqrt" if name == "div" else "rsqrt"
    for x, scale in ((one, other), (other, one))[: 1 if name == "div" else 2]:
        found = program.operation(scale, root)
        if found is None or (square := _mean_square(program, found.arguments[0])) is None:
            continue
        of, eps = square
        if not program.same(of, x):
            continue
        sizes = [made.shape[-1]]
        centred = program.operation(x, "sub")
        if centred is not None and program.same(_mean(program, centred.arguments[1]), centred.arguments[0]):
            return made.replaced("layer_norm", centred.arguments[0], sizes, None, None, eps)
        return made.replaced("rms_norm", x, sizes, None, eps)
    return None


def _mean_square(program: Program, operand: Any) -> tuple[Any, float] | None:
    """What the mean square is of that something is added to, and that."""
    added = program.operation(operand, "add")
    if added is None or added.named:
        return None
    for mean, eps in (added.arguments, added.arguments[::-1]):
        square = _mean(program, mean)
        number = program.number(eps)
        if number is not None and (of := _square(program, square)) is not None:
            return of, number
    return None


def _mean(program: Program, operand: Any) -> Any:
    """What a mean over the last dimension is of."""
    mean = program.operation(operand, "mean")
    if mean is None or len(mean.shape) == 0:
        return None
    dims, keep = argument(mean, 1, "dim"), argument(mean, 2, "keepdim", False)
    last = dims in ([-1], [len(mean.shape) - 1])
    return mean.arguments[0] if last and keep else None


def _square(program: Program, operand: Any) -> Any:
    power = program.operation(operand, "pow", "mul", "square")
    if power is None:
        return None
    if power.name.startswith("square"):
        return power.arguments[0]
    one, other = power.arguments[:2]
    return one if (other == 2 if power.name.startswith("pow") else program.same(one, other)) else None
