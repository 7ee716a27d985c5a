"""Stacks of small kernels: what they see, and what one layer with the same field would cost.

`3x3x3` is three layers of size 3; a comma divides layers that say more: `7s2,3s2,3`, `3d2`, `5x1,1x5`, `p2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import Any

from archcalc.analyses.field import Field, slide
from archcalc.errors import UsageError
from archcalc.shape import Window, repeated
from archcalc.symbolic import exact, known
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document
from archcalc.tables.numbers import exact as digits
from archcalc.tables.numbers import percent, sides

GRAMMAR = (
    "3x3x3 is three layers of size 3; with commas each layer is [p]SIZE[sSTRIDE][dDILATION]: "
    "7s2,3s2,3 (strides), 3d2,3 (dilation), 5x1,1x5 (unequal sides), 3,p2,3 (p: pooling)"
)
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
MAX_LAYERS, MAX_SIZE = 1000, 10_000
MAX_FIELD = 1_000_000
"""Input positions along an axis, and steps: more are not counted one by one."""

_LAYER = re.compile(r"(p?)([0-9]{1,5}(?:x[0-9]{1,5}){0,2})((?:[sd][0-9]{1,5}){0,2})")
_LAYERS = re.compile(r"[0-9]{1,5}(?:x[0-9]{1,5})*")


@dataclass(frozen=True, slots=True)
class StackLayer:
    """One layer: its text, and for each axis its window; a pool has no weights, and its stride is its size."""

    text: str
    pool: bool
    windows: tuple[Window, ...]

    @property
    def kind(self) -> str:
        """Whether it's a conv or a pool."""
        return "pool" if self.pool else "conv"

    @property
    def weights(self) -> int:
        """Weights for each pair of channels: the kernel's positions; a pool has none."""
        return 0 if self.pool else prod(known(window.kernel) for window in self.windows)

    @property
    def size(self) -> str:
        """The kernel's size: 3, or 5x1 where the sides differ."""
        return sides([window.kernel for window in self.windows])

    @property
    def written_sides(self) -> str:
        """The kernel's size, side by side if it was given so."""
        return "x".join(str(window.kernel) for window in self.windows) if "x" in self.text else self.size

    @property
    def options(self) -> str:
        """The stride and the dilation, as specs write them, where they don't go without saying."""
        window = self.windows[0]
        stride = f" s={window.stride}" if window.stride != (window.kernel if self.pool else 1) else ""
        return stride + (f" d={window.dilation}" if window.dilation != 1 else "")


@dataclass(frozen=True, repr=False)
class Stack(Answer):
    """Layers, the input's side first, without padding; `text` is how they were written."""

    text: str
    layers: tuple[StackLayer, ...]

    @cached_property
    def fields(self) -> list[tuple[Field, ...]]:
        """After each layer the field along each axis."""
        start = (Field(((0, 0),), 1),) * len(self.layers[0].windows)
        steps = accumulate(self.layers, lambda fields, layer: tuple(map(slide, fields, layer.windows)), initial=start)
        return list(steps)[1:]

    @property
    def size(self) -> tuple[int, ...]:
        """What the whole stack sees, per axis."""
        return tuple(field.size for field in self.fields[-1])

    @property
    def stride(self) -> tuple[int, ...]:
        """How far the window moves from one output to the next, per axis."""
        return tuple(field.stride for field in self.fields[-1])

    @cached_property
    def touched(self) -> tuple[float, ...]:
        """After each layer the share of the field that is really touched."""
        return tuple(self._touched())

    def _touched(self) -> Iterator[float]:
        seen, jumps = [1] * len(self.layers[0].windows), [1] * len(self.layers[0].windows)
        for layer, fields in zip(self.layers, self.fields, strict=True):
            for axis, window in enumerate(layer.windows):
                kernel, stride, dilation, _ = window.numbers
                seen[axis] = repeated(seen[axis], kernel, dilation * jumps[axis])  # a set's bits
                jumps[axis] *= stride
            yield prod(bits.bit_count() for bits in seen) / prod(field.size for field in fields)

    @property
    def weights(self) -> int:
        """Weights for C channels throughout, in units of C²; excluding biases."""
        return sum(layer.weights for layer in self.layers)

    @property
    def weights_of_one(self) -> int:
        """Weights of one convolution with the same field, in units of C²."""
        return prod(self.size)

    @property
    def nonlinearities(self) -> int:
        """One after each convolution."""
        return sum(not layer.pool for layer in self.layers)

    @property
    def saving(self) -> str:
        """How the single layer compares: `81 % more`.

        Source: Simonyan & Zisserman 2015, section 2.3: 49C² against 27C².
        """
        if not self.weights:
            return ""
        more = self.weights_of_one - self.weights
        share = (200 * abs(more) + self.weights) // (2 * self.weights)
        return f"{share} % {'more' if more > 0 else 'fewer'}" if more else "as many"

    def table(self) -> Table:
        """Layer by layer what it sees; below that, what one layer with the same field would cost."""
        gaps = any(share < 1 for share in self.touched)
        columns = [Column("layer"), Column("", Kind.WORD)]
        columns += [Column(key, Kind.SIZES) for key in ("sees", "stride", "weights", *["touched"] * gaps)]
        return Table(
            columns,
            lambda: (self._cells(number)[: len(columns)] for number in range(len(self.layers))),
            self.text,
            _in_words(self.layers),
            notes=[*_compared(self), *_other_reading(self.text)],
            json=lambda: document(self._data()),
        )

    def _cells(self, number: int) -> list[str]:
        layer, fields = self.layers[number], self.fields[number]
        what = f"{layer.kind} {layer.size}{layer.options}"
        weights = f"{layer.weights}C²" if layer.weights else ""
        sees, stride = "x".join(str(field.size) for field in fields), sides([field.stride for field in fields])
        return [str(number + 1), what, sees, stride, weights, percent(self.touched[number], whole=True)]

    def _data(self) -> dict[str, Any]:
        steps = zip(self.layers, self.fields, self.touched, strict=True)
        layers = [
            {"layer": layer.text, "kind": layer.kind, "receptive_field": [field.size for field in fields],
             "effective_stride": [field.stride for field in fields], "weights": layer.weights, "touched": share}
            for layer, fields, share in steps
        ]  # fmt: skip
        return {"stack": self.text, "layers": layers, "weights": self.weights, "weights_of_one": self.weights_of_one,
                "nonlinearities": self.nonlinearities}  # fmt: skip


def receptive_field_stack(stack: str | Sequence[int | Sequence[int] | str]) -> Stack:
    """What a stack of layers sees, without padding, and what it costs; the input's side first.

    A text is read as the command reads it: `"3x3x3"`, `"7s2,3s2,3"`, `"3,p2,3"`. In a list each layer is its size, a
    tuple of unequal sizes, or a text: `[3, 3]`, `[(5, 1), (1, 5)]`, `["7s2", "p2", 3]`.
    Returns: fields in input positions along each axis (two axes unless a layer has three sides); weights in units of
    C², for C channels throughout.
    Raises: UsageError: it can't be read, or it's too large.

    >>> import archcalc
    >>> stack = archcalc.receptive_field_stack("3x3x3")
    >>> stack.size, stack.weights, stack.weights_of_one
    ((7, 7), 27, 49)
    >>> archcalc.receptive_field_stack(["7s2", 3]).size
    (11, 11)
    """
    if isinstance(stack, str):
        return _read(stack)
    if not isinstance(stack, Sequence) or isinstance(stack, bytes) or not stack:
        raise UsageError(f"{stack!r:.60} is not a stack of layers", "'3x3x3', or [3, 3, 3]")
    parts = list(map(_written, stack))
    return _stack(",".join(parts) + ("," if len(parts) == 1 and "x" in parts[0] else ""), parts)


def _written(layer: Any) -> str:
    """A layer that was given in Python as the text that it would be."""
    if isinstance(layer, str):
        return layer
    sizes = layer if isinstance(layer, (tuple, list)) else [layer]
    return "x".join(str(exact(size, "a layer's size", least=1)) for size in sizes)


def _read(text: str) -> Stack:
    """A stack as users write it."""
    if len(text.split()) > 1 or text != text.strip():
        hint = f"a comma divides layers, as in {_short(','.join(text.replace(',', ' ').split()))}; {GRAMMAR}"
        raise UsageError(f"can't read the stack '{_short(text)}': it has spaces", hint)
    return _stack(text, text.split("x") if _divided_by_x(text) else text.removesuffix(",").split(","))


def _stack(text: str, parts: Sequence[str]) -> Stack:
    if len(parts) > MAX_LAYERS:
        raise UsageError(f"a stack of {len(parts):,} layers is too long", f"up to {MAX_LAYERS:,}")
    found = [_read_layer(part, text) for part in parts]
    ranks = {len(layer.windows) for layer in found} - {1}
    if len(ranks) > 1:
        raise UsageError(f"can't read the stack '{_short(text)}': layers have 2 and 3 sides", GRAMMAR)
    rank = max(ranks, default=2)  # images, unless a layer says otherwise
    stack = Stack(text, tuple(StackLayer(one.text, one.pool, _for_each(one.windows, rank)) for one in found))
    for fields in stack.fields:
        if any(max(field.size, field.stride) > MAX_FIELD for field in fields):
            raise UsageError(
                f"the stack '{_short(text)}' sees or skips more than {MAX_FIELD:,} positions along an axis"
            )
    return stack


def _divided_by_x(text: str) -> bool:
    """Whether a text's x divides layers, as in 3x3x3, and not a kernel's sides, as in 5x1,1x5."""
    return _LAYERS.fullmatch(text) is not None and "x" in text


def _for_each(windows: Sequence[Window], rank: int) -> tuple[Window, ...]:
    return tuple(windows) * rank if len(windows) == 1 else tuple(windows)


def _read_layer(part: str, whole: str) -> StackLayer:
    match = _LAYER.fullmatch(part)
    options = re.findall(r"([sd])(\d+)", match[3]) if match else []
    if not match or len(dict(options)) < len(options):
        what = f"'{_short(part)}' is not a layer" if part else "a layer is missing"
        raise UsageError(f"can't read the stack '{_short(whole)}': {what}", GRAMMAR)
    given = {letter: int(number) for letter, number in options}
    sizes = [int(size) for size in match[2].split("x")]
    for number in (*sizes, *given.values()):
        if not 0 < number <= MAX_SIZE:
            raise UsageError(f"can't read the stack '{_short(whole)}': {number} isn't from 1 to {MAX_SIZE:,}", GRAMMAR)
    pool = bool(match[1])
    windows = tuple(Window(size, given.get("s", size if pool else 1), given.get("d", 1)) for size in sizes)
    return StackLayer(part, pool, windows)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _in_words(layers: Sequence[StackLayer]) -> str:
    """How the text was read: `three layers of size 3`, `two layers: conv 7 s=2, conv 3`."""
    first, number = layers[0], COUNTS[len(layers)] if len(layers) < len(COUNTS) else f"{len(layers):,}"
    what = f"{number} layer{'s' if len(layers) > 1 else ''}"
    alike = all((layer.pool, layer.windows) == (first.pool, first.windows) for layer in layers)
    if alike and not first.pool and not first.options and len(set(first.windows)) == 1:
        return f"{what} of size {first.written_sides}"
    listed = ", ".join(f"{layer.kind} {layer.written_sides}{layer.options}" for layer in layers)
    return f"{what}: {listed}" if len(layers) < len(COUNTS) else what


def _compared(stack: Stack) -> Iterator[str]:
    """The stack beside one layer with the same field."""
    side = "x".join(map(str, stack.size))
    many = len(stack.layers) > 1
    steps = ", ".join(sides([field.size for field in fields]) for fields in stack.fields)
    yield f"field: {side}" + (f", after steps of {steps}" if many else "")
    if many and stack.weights:
        one, all_of_it = f"{digits(stack.weights_of_one)}C²", f"{digits(stack.weights)}C²"
        single = f"one {side} layer with the same field: {one} ({stack.saving})"
        yield f"weights with C channels throughout: {all_of_it}; {single}"
        yield f"non-linearities: {stack.nonlinearities}; one layer: 1"
    if any(layer.pool for layer in stack.layers):
        yield "p: pooling, which has no weights; its stride is its size unless s says otherwise"


def _other_reading(text: str) -> Iterator[str]:
    """What else a text with an x might be meant to be."""
    sizes = text.split("x")
    if _divided_by_x(text) and len(sizes) == 2:
        one = f"{text}," if len(set(sizes)) > 1 else f"{sizes[0]} or {text},"
        yield f"x divides layers here; one layer with a {text} kernel is written {one}"
