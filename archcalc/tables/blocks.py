"""Blocks of lines, one below the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def spaced(blocks: Iterable[Iterable[T]], blank: T) -> Iterator[T]:
    """The lines of all blocks, with a blank one between two that aren't empty."""
    started = False
    for block in blocks:
        for number, line in enumerate(block):
            if started and not number:
                yield blank
            started = True
            yield line
