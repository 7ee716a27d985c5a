"""Which layers move values from where they are in a volume to where a program reads them.

A view of a volume has dimensions that are stretches of its axes, in any order. What can be said in one layer that
people know, such as `tokens` or `windows`, is; all else is a part of an axis, axes taken apart, exchanged, and joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from archcalc.importers.operations.views import Dimension, Factor, joined, whole
from archcalc.shape import AXES, SPATIAL, Shape
from archcalc.symbolic import known


class Move(NamedTuple):
    """A layer that moves values: its kind and its arguments."""

    kind: str
    arguments: Mapping[str, Any]


class Level(NamedTuple):
    """A stretch of an axis, `size` steps of `stride` positions, of which `length` are meant from `start` on."""

    axis: str
    stride: int
    size: int
    start: int
    length: int

    @property
    def is_whole(self) -> bool:
        """Whether all of its steps are meant."""
        return self.length == self.size


def moves(
    shape: Shape, dims: Sequence[Dimension], starts: Mapping[str, int], axes: Sequence[str]
) -> tuple[Move, ...] | None:
    """What makes of a volume one with these axes, each of which has such factors; None if no layers do.

    `dims` and `axes` are without the batch, axes in the order that all volumes have.
    """
    if "T" in shape and (*axes,) == (*shape.without("T"),) and set(starts) <= {"T"} and [*dims] == _plain(shape, axes):
        start = starts.get("T", 0)
        return (Move("select", {"index": -1 if start == known(shape["T"]) - 1 > 0 else start}),)
    cuts, shape, dims, starts = parts(shape, dims, starts)
    found = _in_a_word(shape, dims, axes) if not starts else None
    if found is not None:
        return (*cuts, *found)
    levels = [level for axis in shape if (each := _levels(shape, dims, starts, axis)) is not None for level in each]
    if {level.axis for level in levels} != {axis for axis in shape if shape[axis] != 1}:
        return None
    options = [_exchanged(shape, _atoms(levels, dims, far), dims, axes) for far in (True, False)]
    possible = [option for option in options if option is not None]
    return (*cuts, *min(possible, key=len)) if possible else None


def _plain(shape: Shape, axes: Sequence[str]) -> list[Dimension]:
    return [whole(axis, shape[axis]) for axis in axes]


FEW_PARTS = 4
"""Equal parts of channels that programs divide them into."""

# --- parts ------------------------------------------------------------------------------------------------------------


def parts(
    shape: Shape, dims: Sequence[Dimension], starts: Mapping[str, int]
) -> tuple[list[Move], Shape, Sequence[Dimension], Mapping[str, int]]:
    """Parts of axes that are a stretch of positions with equal gaps; and what is to be done with those."""
    found, left = list[Move](), dict(starts)
    for axis in shape:
        factors = sorted((f for dim in dims for f in dim if f.axis == axis), key=lambda factor: factor.stride)
        gap, size, start = factors[0].stride if factors else 1, known(shape[axis]), left.get(axis, 0)
        length = prod(factor.size for factor in factors)
        in_a_row = all(one.stride * one.size == other.stride for one, other in pairwise(factors))
        if not in_a_row or (length == size and not start):
            continue
        found.append(_part(axis, size, start, length, gap))
        shape = shape.with_(**{axis: length})
        left.pop(axis, None)
        dims = [tuple(_narrowed(f, gap) if f.axis == axis else f for f in dim) for dim in dims]
    return found, shape, dims, left


def _part(axis: str, size: int, start: int, length: int, gap: int) -> Move:
    """Positions along an axis; of channels one of a few equal parts is called so."""
    if axis == "C" and gap == 1 and size % length == start % length == 0 and size // length <= FEW_PARTS:
        return Move("chunk", {"parts": size // length, "index": start // length})
    stop = start + (length - 1) * gap + 1
    to_the_end = -(-(size - start) // gap) == length
    return Move("part", {"axis": axis, "start": start, "step": gap, **({} if to_the_end else {"stop": stop})})


def _narrowed(factor: Factor, gap: int) -> Factor:
    return factor._replace(stride=factor.stride // gap)


def _levels(shape: Shape, dims: Sequence[Dimension], starts: Mapping[str, int], axis: str) -> list[Level] | None:
    """An axis taken apart, from the outermost stretch in; None if its parts don't divide it."""
    factors = sorted((f for dim in dims for f in dim if f.axis == axis), key=lambda factor: factor.stride)
    start, ends = starts.get(axis, 0), [*(f.stride for f in factors[1:]), known(shape[axis])]
    gap = factors[0].stride if factors else 1
    found = [Level(axis, 1, gap, start % gap, 1)] if gap > 1 else []
    for factor, end in zip(factors, ends, strict=False):
        size, rest = divmod(end, factor.stride)
        begin = start // factor.stride % size if size else 0
        if rest or begin + factor.size > size:
            return None
        found.append(Level(axis, factor.stride, size, begin, factor.size))
    return found[::-1]


# --- one layer --------------------------------------------------------------------------------------------------------


def _in_a_word(shape: Shape, dims: Sequence[Dimension], axes: Sequence[str]) -> tuple[Move, ...] | None:
    """Nothing, or the one layer that does it."""
    by_axis = dict(zip(axes, dims, strict=True))
    if (*by_axis,) == (*shape,) and all(by_axis[axis] == whole(axis, shape[axis]) for axis in shape):
        return ()
    if (*axes,) == ("C",) and "R" not in shape:
        return (Move("flatten", {}),) if dims[0] == _in_a_row(shape, shape) else None
    if "C" not in shape or by_axis.get("C") != whole("C", shape.C):
        return _of_blocks(shape, by_axis)
    regions, tokens, places = "R" in shape, "T" in shape, [axis for axis in axes if axis in SPATIAL]
    if (tokens and shape.spatial) or (tokens and not places) or ("T" in by_axis and places):
        return None
    if "R" in axes and not regions:
        return _windows(shape, by_axis) if shape.spatial and "T" in by_axis else None
    if regions and "R" not in axes:
        return _unwindows(shape, by_axis) if tokens else None
    if regions and by_axis["R"] != whole("R", shape.R):
        return None
    if tokens and joined([factor for axis in places for factor in by_axis[axis]]) == whole("T", shape["T"]):
        return (Move("grid", {axis: prod(factor.size for factor in by_axis[axis]) for axis in places}),)
    if shape.spatial and "T" in by_axis and by_axis["T"] == _in_a_row(shape, shape.spatial):
        return (Move("tokens", {}),)
    return None


def _in_a_row(shape: Shape, axes: Iterable[str]) -> Dimension:
    return joined([factor for axis in axes for factor in whole(axis, shape[axis])])


def _windows(shape: Shape, by_axis: Mapping[str, Dimension]) -> tuple[Move, ...] | None:
    sides = {axis: next((f.size for f in by_axis["T"] if f.axis == axis), 1) for axis in shape.spatial}
    for grid in (False, True):
        parts = [_sides(axis, known(shape[axis]), sides[axis], grid) for axis in shape.spatial]
        found = tuple(joined([part[place] for part in parts]) for place in (0, 1))
        if found == (by_axis["R"], by_axis["T"]):
            return (Move("windows", {"size": _extent(sides.values()), **({"grid": True} if grid else {})}),)
    return None


def _sides(axis: str, size: int, side: int, grid: bool) -> tuple[Factor, Factor]:
    """Of an axis which window it is, and the place in a window."""
    if grid:
        return Factor(axis, 1, size // side), Factor(axis, size // side, side)
    return Factor(axis, side, size // side), Factor(axis, 1, side)


def _unwindows(shape: Shape, by_axis: Mapping[str, Dimension]) -> tuple[Move, ...] | None:
    spatial = [axis for axis in by_axis if axis in SPATIAL]
    for grid in (False, True):
        pairs = [_pair(by_axis[axis], grid) for axis in spatial]
        if any(pair is None for pair in pairs):
            continue
        windows, places = ([factor for pair in pairs if pair for factor in pair[place]] for place in (0, 1))
        if (joined(windows), joined(places)) == (whole("R", shape.R), whole("T", shape["T"])):
            sides = [prod(factor.size for factor in pair[1]) for pair in pairs if pair]
            sizes = {axis: prod(factor.size for factor in by_axis[axis]) for axis in spatial}
            return (Move("unwindows", {"size": _extent(sides), **({"grid": True} if grid else {}), **sizes}),)
    return None


def _pair(dim: Dimension, grid: bool) -> tuple[Dimension, Dimension] | None:
    """The factors of an axis that are of regions, and those of tokens; None if they aren't in this order."""
    windows, places = (tuple(f for f in dim if f.axis == axis) for axis in ("R", "T"))
    return (windows, places) if dim == ((*places, *windows) if grid else (*windows, *places)) else None


def _of_blocks(shape: Shape, by_axis: Mapping[str, Dimension]) -> tuple[Move, ...] | None:
    """Blocks of places as channels, or the reverse, in the orders that layers have."""
    if "C" not in shape or tuple(by_axis) != tuple(shape):
        return None
    if len(by_axis["C"]) == 2 and all(by_axis[axis] == whole(axis, shape[axis]) for axis in shape if axis != "C"):
        inner, outer = by_axis["C"]
        if (inner.axis, inner.stride, outer.axis, outer.stride) == ("C", 1, "C", inner.size):
            return (Move("channel_shuffle", {"groups": outer.size}),)
    if not shape.spatial or "T" in shape or "R" in shape:
        return None
    for order in ("chw", "hwc", "whc"):
        axes = shape.spatial if order != "whc" else shape.spatial[::-1]
        sides = {axis: next((f.size for f in by_axis["C"] if f.axis == axis), 1) for axis in shape.spatial}
        inside = [Factor(axis, 1, sides[axis]) for axis in axes]
        places = [_sides(axis, known(shape[axis]), sides[axis], False)[0] for axis in shape.spatial]
        channels = [*whole("C", shape.C), *inside] if order == "chw" else [*inside, *whole("C", shape.C)]
        wanted = (joined(channels), *(joined([place]) for place in places))
        if wanted == tuple(by_axis.values()) and prod(sides.values()) > 1:
            given = {} if order == "chw" else {"order": order}
            return (Move("pixel_unshuffle", {"factor": _extent(sides.values()), **given}),)
    return None


def _extent(sides: Any) -> Any:
    found = tuple(sides)
    return found[0] if len(set(found)) == 1 else found


# --- several layers ---------------------------------------------------------------------------------------------------


def _atoms(levels: Sequence[Level], dims: Sequence[Dimension], far: bool) -> list[list[Level]]:
    """Levels that stay side by side, as one; `far`: even where they are of different axes."""
    order = [(f.axis, f.stride) for dim in dims for f in dim]
    follows = {one: other for dim in dims for one, other in pairwise((f.axis, f.stride) for f in dim)}
    assert len(set(order)) == len(order)
    found: list[list[Level]] = []
    for level in levels:
        last = found[-1][-1] if found else None
        if (
            last is not None
            and last.is_whole
            and level.is_whole
            and (far or last.axis == level.axis)
            and follows.get((last.axis, last.stride)) == (level.axis, level.stride)
        ):
            found[-1].append(level)
        else:
            found.append([level])
    return found


def _exchanged(
    shape: Shape, atoms: Sequence[Sequence[Level]], dims: Sequence[Dimension], axes: Sequence[str]
) -> tuple[Move, ...] | None:
    """Axes taken apart, parts of them, exchanged, and joined."""
    sizes = [prod(level.size for level in atom) for atom in atoms]
    place = {(level.axis, level.stride): number for number, atom in enumerate(atoms) for level in atom}
    rows = [[*dict.fromkeys(place[factor.axis, factor.stride] for factor in dim)] for dim in dims]
    order = [number for row in rows for number in row]
    if len(atoms) > len(AXES):
        return None
    alone = [axis for axis in shape if shape[axis] != 1]
    apart = [[level.axis for level in atom] for atom in atoms] != [[axis] for axis in alone]
    direct = all(len(row) == 1 for row in rows) and len(atoms) == len(order)
    wanted = [*axes] if direct else []
    now = _named(wanted if apart and direct else AXES, len(atoms)) if apart else alone
    found: list[Move] = []
    current = Shape(**dict(zip(now, sizes, strict=True))) if apart else shape
    if apart and current != shape:
        found.append(Move("reshape", dict(current.items())))
    for atom, name in zip(atoms, now, strict=True):
        if not atom[0].is_whole:
            (level,) = atom
            stop = level.start + level.length
            until = {"stop": stop} if stop < level.size else {}
            found.append(Move("part", {"axis": name, "start": level.start, **until}))
            current = current.with_(**{name: level.length})
    names = {number: now[number] for number in order}
    goal = wanted if wanted and order != sorted(order) else sorted(names.values(), key=AXES.index)
    for number, name in zip(order, goal, strict=True):
        if (mine := names[number]) != name:
            pair = sorted((mine, name), key=AXES.index)
            found.append(Move("transpose", {"axis": pair[0], "other": pair[1]}))
            names = {each: {mine: name, name: mine}.get(held, held) for each, held in names.items()}
            current = Shape(**{{mine: name, name: mine}.get(axis, axis): size for axis, size in current.items()})
    made = Shape(**{axis: prod(f.size for f in dim) for axis, dim in zip(axes, dims, strict=True)})
    if current != made and (*made,) == ("C",) and "R" not in current:
        found.append(Move("flatten", {}))
    elif current != made:
        found.append(Move("reshape", dict(made.items())))
    return tuple(found)


def _named(preferred: Sequence[str], count: int) -> list[str]:
    """So many axes, in the order that volumes have."""
    return [axis for axis in AXES if axis in preferred][:count] if len(preferred) >= count else [*AXES[:count]]
