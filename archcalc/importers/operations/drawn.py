"""Learned numbers that a program draws from a parameter by their places, such as those of a table of positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from archcalc.importers.operations.exported import Operation, Result, Stored
from archcalc.importers.operations.lifting import Lifter, pattern

MOVES = (
    "view", "reshape", "unsqueeze", "squeeze", "expand", "flatten", "unflatten", "_unsafe_view", "expand_as",
)  # fmt: skip
DRAWS = (
    "index", "permute", "transpose", "t", "select", "slice", "flip", "index_select", "chunk", "split",
    "split_with_sizes", "unbind",
)  # fmt: skip
"""Those that take others of a parameter's numbers than all, or in another order."""
MOST = 1 << 22
"""Numbers of a parameter whose places are followed."""


class Drawn(NamedTuple):
    """Numbers of a parameter: a tensor of their places in it, or several of them."""

    stored: Stored
    places: Any


@pattern("drawn")
def drawn(lifter: Lifter, op: Operation) -> Drawn | None:
    """A parameter's numbers after an operation that only moves them."""
    name = op.name.partition(".")[0]
    if name not in (*MOVES, *DRAWS) or op.target is None or not op.arguments:
        return None
    found = drawn_of(lifter, op.arguments[0])
    if found is None or (name not in DRAWS and lifter.pending(op.arguments[0], "drawn") is None):
        return None
    constants = [lifter.constant(each) for each in _tensors(op.arguments[1:])]
    if any(each is None for each in constants):
        return None
    left = iter(constants)

    def given(operand: Any) -> Any:
        if isinstance(operand, list):
            return [given(each) for each in operand]
        return next(left) if isinstance(operand, (Result, Stored)) else operand

    import torch

    with torch.device("cpu"):
        return found._replace(places=op.target(found.places, *map(given, op.arguments[1:]), **op.named))


def _tensors(operands: Any) -> Iterator[Any]:
    for operand in operands:
        if isinstance(operand, list):
            yield from _tensors(operand)
        elif isinstance(operand, (Result, Stored)):
            yield operand


def drawn_of(lifter: Lifter, operand: Any) -> Drawn | None:
    """Of which parameter an operand's numbers are, and where they are in it."""
    found: Drawn | None = lifter.pending(operand, "drawn")
    if found is not None:
        several = isinstance(found.places, (tuple, list))
        return found._replace(places=found.places[operand.part]) if several else found
    stored = lifter.stored(operand)
    if stored is None or not stored.learned or stored.rows or stored.turned:
        return None
    count = 1
    for size in stored.shape:
        count *= size
    import torch

    return Drawn(stored, torch.arange(count, device="cpu").reshape(stored.shape)) if count <= MOST else None


def first_rows(lifter: Lifter, operand: Any) -> Stored | None:
    """A table of which an operand is so many rows, one after the other, as a parameter of which these are meant."""
    found = lifter.pending(operand, "drawn")
    sizes = [size for size in found.stored.shape if size != 1] if found else []
    if found is None or len(sizes) != 2 or [size for size in found.places.shape if size != 1][1:] != sizes[1:]:
        return None
    import torch

    places = found.places.flatten()
    first, width = int(places[0]), sizes[1]
    if first % width or not torch.equal(places, torch.arange(first, first + len(places), device="cpu")):
        return None
    start, count = first // width, len(places) // width
    rows = ((start, sizes[0]), *([(0, start)] if start else []))
    stored: Stored = found.stored
    axis = next(place for place, size in enumerate(stored.shape) if size == sizes[0])
    return stored._replace(rows=rows, shape=(count, width), axis=axis)


def part_of(lifter: Lifter, operand: Any) -> Stored | None:
    """The parameter whose rows an operand is, from one of them to another; None if it's something else."""
    found = drawn_of(lifter, operand)
    if found is None or not found.places.dim():
        return None
    import torch

    line, width = found.places.flatten(), 1
    for size in found.stored.shape[1:]:
        width *= size
    start, rest = divmod(int(line[0]), width)
    if rest or line.numel() % width or not torch.equal(line, torch.arange(line.numel(), device="cpu") + line[0]):
        return None
    return found.stored._replace(shape=tuple(found.places.shape), rows=((start, start + line.numel() // width),))


@pattern("joined")
def joined_biases(lifter: Lifter, op: Operation) -> tuple[tuple[Stored | None, int], ...] | None:
    """A vector of several parameters one after the other, or zeros in place of some; with how many each has."""
    if op.name != "cat" or len(op.shape) != 1:
        return None
    found: list[tuple[Stored | None, int]] = []
    for operand in op.arguments[0]:
        stored, zeros = lifter.stored(operand), lifter.constant(operand)
        if zeros is not None and not bool(zeros.any()):
            found.append((None, int(zeros.numel())))
        elif stored is not None and stored.learned and len(stored.shape) == 1 and not stored.rows:
            found.append((stored, stored.shape[0]))
        else:
            return None
    return tuple(found) if any(stored is not None for stored, _ in found) else None
