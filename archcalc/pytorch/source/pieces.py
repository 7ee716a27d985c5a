"""A built PyTorch module → the code that builds it, its numbers kept apart so that equal code can share a class."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

LONG = 8
"""Lists with more numbers are written out and never become a class's arguments."""
LOOP = "*["
"""What a comprehension begins with, which is written into a call."""
PER_AXIS = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")
"""Arguments where one number stands for all axes."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A number in a constructor's call, and the name of the argument it belongs to."""

    name: str
    value: int


Code: TypeAlias = "tuple[str | Hole, ...]"


def template(code: Code) -> tuple[str, ...]:
    """The code without its numbers: equal templates can become one class or one loop."""
    return tuple("#" if isinstance(piece, Hole) else piece for piece in code)


def numbers(code: Code) -> list[Hole]:
    """The numbers, in order."""
    return [piece for piece in code if isinstance(piece, Hole)]


def written(code: Code) -> str:
    """The code as text."""
    return "".join(str(piece.value) if isinstance(piece, Hole) else piece for piece in code)


def construction(module: nn.Module) -> Code:
    """The call that builds a module, with the arguments that aren't at their defaults."""
    if type(module) is nn.Sequential:
        return sequential([construction(step) for step in module])
    name = type(module).__name__
    name = f"nn.{name}" if type(module).__module__.startswith("torch.") else name
    pieces: list[str | Hole] = [f"{name}("]
    for text, value in _arguments(module):
        if len(pieces) > 1:
            pieces.append(", ")
        pieces += [text, *_value(text.rstrip("=") or "", value)] if text.endswith("=") else _value(text, value)
    return (*pieces, ")")


def sequential(steps: list[Code]) -> Code:
    """`nn.Sequential` of some steps."""
    pieces: list[str | Hole] = ["nn.Sequential("]
    for number, step in enumerate(steps):
        pieces += [*([", "] if number else []), *step]
    return (*pieces, ")")


def module_list(steps: list[Code]) -> Code:
    """`nn.ModuleList` of some steps, or of one comprehension."""
    if len(steps) == 1 and steps[0][0] == LOOP:
        return ("nn.ModuleList([", *steps[0][1:], ")")
    return ("nn.ModuleList([", *sequential(steps)[1:-1], "])")


def _arguments(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and values: a required argument's name, or `name=` for one that differs from its default."""
    is_torch = type(module).__module__.startswith("torch.")
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name == "self" or parameter.kind is parameter.VAR_POSITIONAL or not hasattr(module, name):
            continue
        value = getattr(module, name)
        if name == "bias" and not isinstance(value, bool):
            value = value is not None
        if is_torch and name in PER_AXIS and isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if parameter.default is parameter.empty:
            yield name, value
        elif value != parameter.default and not (name == "stride" and _is_kernel(module, value)):
            yield f"{name}=", value


def _is_kernel(module: nn.Module, stride: Any) -> bool:
    """Whether a pool's stride is its kernel, which is the default."""
    kernel = getattr(module, "kernel_size", None)
    sides = set(kernel) if isinstance(kernel, tuple) else {kernel}
    return "Pool" in type(module).__name__ and (stride == kernel or {stride} == sides)


def _value(name: str, value: Any) -> list[str | Hole]:
    if isinstance(value, nn.Module):
        return list(construction(value))
    if isinstance(value, (tuple, list)) and len(value) <= LONG:
        pieces: list[str | Hole] = ["("]
        for item in value:
            pieces += [*_value(name, item), ", "]
        pieces[-1] = ",)" if len(value) == 1 else ")"
        return pieces if value else ["()"]
    if isinstance(value, float) and value == -float("inf"):
        return ['-float("inf")']
    if isinstance(value, int) and not isinstance(value, bool):
        return [Hole(name, value)]
    return [repr(list(value)) if isinstance(value, (tuple, list)) else repr(value)]
