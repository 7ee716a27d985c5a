"""Blocks of lines, one below the other; rows that are part of the one above them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
INDENT = "  "
"""What a name begins with that is part of what the row above it is about."""


def spaced(blocks: Iterable[Iterable[T]], blank: T) -> Iterator[T]:
    """The lines of all blocks, with a blank one between two that aren't empty."""
    started = False
    for block in blocks:
        for number, line in enumerate(block):
            if started and not number:
                yield blank
            started = True
            yield line


def indented(cell: str, blank: str, written: Callable[[str], str]) -> str:
    """A cell in a format where blanks at its beginning are nothing: with `blank` for each step that it's indented."""
    text = cell.lstrip(" ")
    return blank * ((len(cell) - len(text)) // len(INDENT)) + written(text)
