"""Activations that programs spell out: what is made of one tensor, value by value, is compared with those known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from archcalc.importers.operations.exported import Operation
from archcalc.importers.operations.program import Program

VALUE_BY_VALUE = (
    "add", "sub", "mul", "div", "pow", "tanh", "erf", "sigmoid", "exp", "neg", "softplus", "square", "rsub", "relu",
    "reciprocal", "log1p", "hardtanh", "clamp", "relu6", "hardsigmoid",
)  # fmt: skip
LONGEST = 12
"""Operations in an activation."""
CLOSE = 1e-6
"""How far a spelling's values may be from an activation's: people round constants."""


@cache
def _activations() -> dict[str, tuple[Callable[[Any], Any], dict[str, Any]]]:
    """The operation of each, with its function and what it's called with."""
    from torch.nn import functional

    return {
        "gelu": (functional.gelu, {}),
        "gelu tanh": (lambda x: functional.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
        "quick_gelu": (lambda x: x * (1.702 * x).sigmoid(), {}),
        "silu": (functional.silu, {}),
        "mish": (functional.mish, {}),
        "hardswish": (functional.hardswish, {}),
        "hardsigmoid": (functional.hardsigmoid, {}),
    }


def activation(program: Program, number: int) -> Operation | None:
    """An operation that ends an activation, if it does."""
    made = program.original[number]
    if program.base_name(number) not in ("mul", "div", "add") or not _may_end(program, made):
        return None
    for base in program.bases(number, _through):
        cone = program.cone(number, base)
        if len(cone) > LONGEST:
            return None
        if len(cone) > 1 and (found := _known(program, number, base)) is not None:
            name, named = found
            return made.replaced(name, base, **named)
    return None


def _may_end(program: Program, made: Operation) -> bool:
    """Whether any of the two that it reads is made of other operations on values alone."""
    return any(program.operation(each, *VALUE_BY_VALUE) for each in made.arguments)


def _through(made: Operation) -> bool:
    return made.name.partition(".")[0].rstrip("_") in VALUE_BY_VALUE


def _known(program: Program, number: int, base: Any) -> tuple[str, dict[str, Any]] | None:
    """The activation that has the same values."""
    import torch

    points = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    try:
        values = program.values(number, base, points)
    except (RuntimeError, TypeError, IndexError):  # it takes one shape alone
        return None
    if not isinstance(values, torch.Tensor) or values.shape != points.shape:
        return None
    for name, (function, named) in _activations().items():
        if bool(((function(points) - values).abs() <= CLOSE).all()):
            return name.partition(" ")[0], named
    return None
