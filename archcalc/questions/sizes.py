"""Sizes of inputs as people type them, `3x224x224` or `H=256,W=256`, and in which order of axes they were meant.

People write CxHxW and HxWxC; a spec has one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from archcalc.data import dataclass
from archcalc.errors import LocalError, SpecError, UsageError
from archcalc.expand import build
from archcalc.expand.hparams import make_module
from archcalc.language.tree import Diagnostics
from archcalc.shape import BATCH
from archcalc.symbolic import dim
from archcalc.zoo import Architecture

_SIZE = re.compile(r"\d{1,18}")


def sizes_of(architecture: Architecture, texts: Sequence[str]) -> Mapping[str, Any]:
    """What the `--input` options say, by the names of `Spec.axes`.

    Raises: UsageError: an input is given twice, there are too few or too many sizes, or one can't be read.
    """
    taken = {BATCH: "the batch", **dict.fromkeys(architecture.spec.hparams, "an hparam")}
    found: dict[str, Any] = {}
    for source, text in input_texts(architecture, texts).items():
        axes = {axis: label for label, (name, axis) in architecture.spec.axes.items() if name == source}
        sizes = read_sizes(text, source, architecture)
        for axis, size in sizes.items():
            if str(size) in taken and str(size) != axes[axis]:  # left open, both would be one symbol
                raise UsageError(f"--input '{text}': '{size}' is {taken[str(size)]}", f"call the size {axes[axis]}")
        found |= {axes[axis]: size for axis, size in sizes.items()}
    return found


def input_texts(architecture: Architecture, texts: Sequence[str]) -> dict[str, str]:
    """The sizes of each input that is given: of the one whose name stands ahead, `right=3x64x64`, else of the first.

    Raises: UsageError: an input is given twice.
    """
    inputs = architecture.spec.inputs
    first = next(iter(inputs))
    found: dict[str, str] = {}
    for text in texts:
        ahead, equals, rest = text.partition("=")
        name = ahead.strip()
        source, sizes = (name, rest) if equals and name in inputs and name not in inputs[first] else (first, text)
        if source in found:
            which = f"the input '{source}'" if len(inputs) > 1 else "the input"
            raise UsageError(f"{which} is given twice", "all its sizes in one: --input H=256,W=256")
        found[source] = sizes
    return found


def read_sizes(text: str, source: str, architecture: Architecture) -> Mapping[str, Any]:
    """`3x224x224` or `H=256,W=256` as sizes of one input by axis; names become symbols.

    Raises: UsageError: there are too few or too many sizes, or one can't be read.
    """
    inputs = architecture.spec.inputs
    axes, several = list(inputs[source]), len(inputs) > 1
    which = f"input '{source}' of {architecture.name}" if several else f"the input of {architecture.name}"
    if "=" in text:
        pairs = [part.partition("=")[::2] for part in text.split(",")]
        found = {axis.strip(): size.strip() for axis, size in pairs}
        if len(found) < len(pairs):
            raise UsageError(f"--input '{text}' gives an axis twice", "give each axis one size")
        for axis in found:
            if axis not in axes:
                others = f"; the inputs are {', '.join(inputs)}" if several else ""
                raise UsageError(f"{which} has no axis '{axis}'", f"its axes are {', '.join(axes)}{others}")
    else:
        sizes = text.split("x")
        if len(sizes) != len(axes):
            form = "x".join(axes)
            count = "1 size" if len(sizes) == 1 else f"{len(sizes)} sizes"
            ahead = f"{source}=" if several else ""
            raise UsageError(f"{which} is {form}: '{text}' has {count}", f"--input {ahead}{form}")
        found = dict(zip(axes, sizes, strict=True))
    return {axis: _size(size, text) for axis, size in found.items()}


def _size(text: str, whole: str) -> Any:
    if _SIZE.fullmatch(text) and int(text) > 0:
        return int(text)
    if text.isascii() and text.isidentifier():
        return dim(text)
    raise UsageError(f"can't read --input '{whole}': '{text}' is not a size", "--input 3x224x224, --input H=256,W=256")


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
