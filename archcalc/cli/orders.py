"""In which order sizes without names were meant: people write CxHxW and HxWxC, a spec has one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archcalc.errors import LocalError, SpecError
from archcalc.expand import build
from archcalc.expand.hparams import make_module
from archcalc.spec.tree import Diagnostics
from archcalc.zoo import Architecture


def doubt(architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any], source: str, text: str) -> str:
    """What to say where only the other order would have kept an input's number of channels; else an empty text."""
    given = _Given(architecture, source, text, sizes)
    other = given.other_order()
    if other is None or given.sizes["C"] == other["C"]:
        return ""
    channels = _channels(given, sets)
    if other["C"] != channels:
        return ""
    return f"{given.reading}; for C={channels} write {given.written(other)}"


def explained(
    architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any], source: str, text: str
) -> str:
    """How sizes that don't fit were read, and how they'd fit if the other order does; empty if they have names."""
    given = _Given(architecture, source, text, sizes)
    other = given.other_order()
    if other is None:
        return ""
    fits = _fits(given, sets, other)
    return f"{given.reading}; the other order fits: write {given.written(other)}" if fits else given.reading


@dataclass(frozen=True)
class _Given:
    """What `--input` says about one input, beside the sizes of all, by the names of `Spec.axes`."""

    architecture: Architecture
    source: str
    text: str
    all: Mapping[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        """The name of each axis among all sizes."""
        return {axis: label for label, (name, axis) in self.architecture.spec.axes.items() if name == self.source}

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes by axis."""
        return {axis: self.all[label] for axis, label in self.labels.items()}

    @property
    def option(self) -> str:
        """What stands before the sizes."""
        return f"--input {self.source}=" if len(self.architecture.spec.inputs) > 1 else "--input "

    @property
    def reading(self) -> str:
        """How the text was read."""
        values = ", ".join(f"{axis}={size}" for axis, size in self.sizes.items())
        order = f"{'x'.join(self.labels)}, the order of {self.architecture.name}"
        return f"{self.option}{self.text} is read as {order}: {values}"

    def written(self, sizes: Mapping[str, Any]) -> str:
        """The option for other sizes."""
        return self.option + "x".join(str(sizes[axis]) for axis in self.labels)

    def other_order(self) -> Mapping[str, Any] | None:
        """The sizes with the channels at the other end; None where they have names or there are no two orders."""
        axes = list(self.labels)
        if "=" in self.text or axes.count("C") != 1 or len(axes) < 2 or axes.index("C") not in (0, len(axes) - 1):
            return None
        rest = [axis for axis in axes if axis != "C"]
        moved = ["C", *rest] if axes[-1] == "C" else [*rest, "C"]
        return dict(zip(moved, self.sizes.values(), strict=True))


def _channels(given: _Given, sets: Mapping[str, Any]) -> Any:
    """The channels that the spec declares for the input, with the user's values in place."""
    spec = given.architecture.spec
    env = make_module(spec, given.architecture.variant, sets, Diagnostics()).env
    try:
        return spec.inputs[given.source]["C"].expr.evaluate(env)
    except LocalError:
        return None


def _fits(given: _Given, sets: Mapping[str, Any], sizes: Mapping[str, Any]) -> bool:
    labels = given.labels
    others = {**given.all, **{labels[axis]: size for axis, size in sizes.items()}}
    try:
        build(given.architecture.spec, given.architecture.variant, sets, others)
    except SpecError:
        return False
    return True
