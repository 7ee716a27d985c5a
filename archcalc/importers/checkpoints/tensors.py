"""A checkpoint's tensors, and what is wrong with a file of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

from archcalc.data import dataclass
from archcalc.errors import UsageError

MAX_TENSORS = 1_000_000
"""In one file; DeepSeek-V3 has 91,991 in all."""
MAX_RANK = 16
MAX_NAME = 1000
MAX_VALUES = 2**63
"""Of one tensor."""


class Tensor(NamedTuple):
    """A tensor's name, its shape as PyTorch has it, its type as the file calls it, and its bytes there."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int

    @property
    def values(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """All tensors of one or several files, by name, and what the files say of themselves."""

    name: str
    tensors: Mapping[str, Tensor]
    about: Mapping[str, str]


def wrong(file: Path, reason: str) -> UsageError:
    """What is raised of a file that isn't what it should be."""
    return UsageError(f"'{file}' is no whole checkpoint: {reason}", "it may be cut off, or another sort of file")


def checked_shape(file: Path, name: str, shape: Iterable[object]) -> tuple[int, ...]:
    """A tensor's shape.

    Raises: UsageError: it can't be one.
    """
    sizes = tuple(shape)
    if len(sizes) > MAX_RANK or not all(type(size) is int and 0 <= size < MAX_VALUES for size in sizes):
        raise wrong(file, f"the shape of {name:.100} is {list(sizes)!s:.100}")
    if prod(sizes) >= MAX_VALUES:  # type: ignore[arg-type]  # they are integers
        raise wrong(file, f"{name:.100} would have {prod(sizes):,} values")  # type: ignore[arg-type]
    return sizes  # type: ignore[return-value]


def refuse_overlaps(file: Path, spans: Iterable[tuple[int, int, str]], end: int) -> None:
    """See that each tensor has bytes of its own, inside the file; `spans` are where they start and end.

    Raises: UsageError: one has those of another, or beyond the end.
    """
    last, before = 0, ""
    for start, stop, name in sorted(spans):
        if start < last:
            raise wrong(file, f"{name:.100} and {before:.100} overlap")
        if stop > end:
            raise wrong(file, f"{name:.100} ends at byte {stop:,}, after the {end:,} that there are")
        last, before = max(stop, last), name
