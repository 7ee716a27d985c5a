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

from archcalc.analyses.field import Field, slide
from archcalc.errors import UsageError
from archcalc.shape import Window, repeated
from archcalc.symbolic import known

GRAMMAR = (
    "3x3x3 is three layers of size 3; with commas each layer is [p]SIZE[sSTRIDE][dDILATION]: "
    "7s2,3s2,3 (strides), 3d2,3 (dilation), 5x1,1x5 (unequal sides), 3,p2,3 (p: pooling)"
)
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
    def taps(self) -> int:
        """The kernel's positions: weights per pair of channels."""
        return prod(known(window.kernel) for window in self.windows)


@dataclass(frozen=True)
class Stack:
    """Layers, the input's side first, without padding."""

    layers: tuple[StackLayer, ...]

    @cached_property
    def fields(self) -> list[tuple[Field, ...]]:
        """Behind each layer the field along each axis."""
        start = (Field(((0, 0),), 1),) * len(self.layers[0].windows)
        steps = accumulate(self.layers, lambda fields, layer: tuple(map(slide, fields, layer.windows)), initial=start)
        return list(steps)[1:]

    @property
    def size(self) -> tuple[int, ...]:
        """What the whole stack sees, per axis."""
        return tuple(field.size for field in self.fields[-1])

    @property
    def touched(self) -> Iterator[float]:
        """Behind each layer the share of the field that is really touched."""
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
        return sum(layer.taps for layer in self.layers if not layer.pool)

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
        percent = (200 * abs(more) + self.weights) // (2 * self.weights)
        return f"{percent} % {'more' if more > 0 else 'fewer'}" if more else "as many"


def read_stack(text: str) -> Stack:
    """A stack as users write it.

    Raises: UsageError: it can't be read; the hint shows the grammar.

    >>> read_stack("3x3x3").size, read_stack("5x1,1x5").size, read_stack("7s2,3s2,3").size
    ((7, 7), (5, 5), (19, 19))
    """
    if len(text.split()) > 1 or text != text.strip():
        hint = f"a comma divides layers, as in {_short(','.join(text.replace(',', ' ').split()))}; {GRAMMAR}"
        raise UsageError(f"can't read the stack '{_short(text)}': it has spaces", hint)
    parts = text.split("x") if _LAYERS.fullmatch(text) else text.removesuffix(",").split(",")
    if len(parts) > MAX_LAYERS:
        raise UsageError(f"a stack of {len(parts):,} layers is too long", f"up to {MAX_LAYERS:,}")
    found = [_read_layer(part, text) for part in parts]
    ranks = {len(layer.windows) for layer in found} - {1}
    if len(ranks) > 1:
        raise UsageError(f"can't read the stack '{_short(text)}': layers have 2 and 3 sides", GRAMMAR)
    rank = max(ranks, default=2)  # images, unless a layer says otherwise
    stack = Stack(tuple(StackLayer(one.text, one.pool, _for_each(one.windows, rank)) for one in found))
    for fields in stack.fields:
        if any(max(field.size, field.stride) > MAX_FIELD for field in fields):
            raise UsageError(
                f"the stack '{_short(text)}' sees or skips more than {MAX_FIELD:,} positions along an axis"
            )
    return stack


def divided_by_x(text: str) -> bool:
    """Whether a text's x divides layers, as in 3x3x3, and not a kernel's sides, as in 5x1,1x5."""
    return "x" in text and _LAYERS.fullmatch(text) is not None


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
