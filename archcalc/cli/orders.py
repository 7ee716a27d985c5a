"""In which order sizes without names were meant: people write CxHxW and HxWxC, a spec has one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archcalc.errors import LocalError, SpecError
from archcalc.expand import build
from archcalc.expand.hparams import make_module
from archcalc.spec.tree import Diagnostics
from archcalc.zoo import Architecture


def doubt(architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any], text: str) -> str:
    """What to say where only the other order would have kept the spec's number of channels; else an empty text."""
    other = _other_order(architecture, sizes, text)
    if other is None or sizes["C"] == other["C"]:
        return ""
    channels = _channels(architecture, sets)
    if other["C"] != channels:
        return ""
    return f"{_reading(architecture, sizes, text)}; for C={channels} write {_written(architecture, other)}"


def explained(architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any], text: str) -> str:
    """How sizes that don't fit were read, and how they'd fit if the other order does; empty if they have names."""
    other = _other_order(architecture, sizes, text)
    if other is None:
        return ""
    reading = _reading(architecture, sizes, text)
    fits = _fits(architecture, sets, other)
    return f"{reading}; the other order fits: write {_written(architecture, other)}" if fits else reading


def _other_order(architecture: Architecture, sizes: Mapping[str, Any], text: str) -> Mapping[str, Any] | None:
    """The same sizes with the channels at the other end; None where sizes have names or there are no two orders."""
    axes = _axes(architecture)
    if "=" in text or axes.count("C") != 1 or len(axes) < 2 or axes.index("C") not in (0, len(axes) - 1):
        return None
    rest = [axis for axis in axes if axis != "C"]
    moved = ["C", *rest] if axes[-1] == "C" else [*rest, "C"]
    return dict(zip(moved, (sizes[axis] for axis in axes), strict=True))


def _axes(architecture: Architecture) -> list[str]:
    return list(next(iter(architecture.spec.inputs.values()), {}))


def _reading(architecture: Architecture, sizes: Mapping[str, Any], text: str) -> str:
    order = "x".join(_axes(architecture))
    values = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    return f"--input {text} is read as {order}, the order of {architecture.name}: {values}"


def _written(architecture: Architecture, sizes: Mapping[str, Any]) -> str:
    return f"--input {'x'.join(str(sizes[axis]) for axis in _axes(architecture))}"


def _channels(architecture: Architecture, sets: Mapping[str, Any]) -> Any:
    """The channels that the spec declares, with the user's values in place."""
    env = make_module(architecture.spec, architecture.variant, sets, Diagnostics()).env
    try:
        return next(iter(architecture.spec.inputs.values()))["C"].expr.evaluate(env)
    except LocalError:
        return None


def _fits(architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any]) -> bool:
    try:
        build(architecture.spec, architecture.variant, sets, sizes)
    except SpecError:
        return False
    return True
