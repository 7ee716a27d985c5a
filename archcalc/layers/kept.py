"""What PyTorch's autograd keeps of a layer between the forward and the backward pass."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias

from archcalc.symbolic import Dim


class Width(Enum):
    """What one kept number is, since that decides its bytes."""

    value = "value"
    """As wide as the network's dtype."""
    statistic = "statistic"
    """A mean, a deviation, a logarithm of a sum: at least float32."""
    index = "index"
    """The place of a maximum: int64."""
    mask = "mask"
    """Kept or dropped: one byte."""


class Extra(NamedTuple):
    """Numbers that a layer keeps apart from volumes: so many for each example, or, if not, for the whole batch."""

    amount: Dim
    width: Width = Width.value
    per_example: bool = True


class Kept(NamedTuple):
    """What one layer keeps: some of the volumes it reads, by position, the one it makes, or numbers of its own.

    Parameters and buffers are left out, since they exist anyway.
    """

    inputs: tuple[int, ...] = ()
    output: bool = False
    extras: tuple[Extra, ...] = ()


Moments: TypeAlias = "tuple[tuple[Extra, ...], ...]"
"""Of each moment, all that lies in memory."""

NOTHING = Kept()
INPUT = Kept(inputs=(0,))
OUTPUT = Kept(output=True)


def value_and_place(maxima: Dim) -> Moments:
    """What a layer that takes so many maxima makes: their values, and where they were, wanted or not."""
    return ((Extra(maxima), Extra(maxima, Width.index)),)


def input_and_places(maxima: Dim) -> Kept:
    """What a layer that takes so many maxima keeps: its input, and where each of them was."""
    return Kept(inputs=(0,), extras=(Extra(maxima, Width.index),))
