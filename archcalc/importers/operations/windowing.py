"""Attention within windows of a map, shifted or not, and what rolls maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archcalc.importers.operations.exported import Operation, Stored
from archcalc.importers.operations.lifting import TOKENS, Lifter, Unknown, argument, extent, operator
from archcalc.importers.operations.positions import Added
from archcalc.importers.operations.rearranging import moves
from archcalc.importers.operations.views import TensorView, whole
from archcalc.shape import Shape
from archcalc.symbolic import known

SAID = {"causal", "bias", "k_bias", "scale", "relative"}
"""Arguments of attention that attention within windows has, too, or that say nothing."""


def within_windows(
    lifter: Lifter, source: TensorView, heads: int, held: Sequence[Stored], added: Added, arguments: Mapping[str, Any]
) -> TensorView | None:
    """Attention within windows of a map, as a tensor of regions, tokens and features; None if it's something else."""
    shape = lifter.shape(source.step)
    if not shape.spatial or {"R", "T"} & {*shape} or not {*arguments} <= SAID:
        return None
    if len(source.dims) < len(TOKENS) + 1 and "relative" not in arguments:
        return None  # all places see each other, wherever they are
    apart = source._replace(dims=(source.dims[0], (), *source.dims[1:])) if len(source.dims) == len(TOKENS) else source
    found = moves(shape, apart.dims[1:], dict(source.starts), TOKENS)
    if found is None or [kind for kind, _ in found] != ["windows"]:
        return None
    size, grid = found[0].arguments["size"], found[0].arguments.get("grid", False)
    sides = dict(zip(shape.spatial, size if isinstance(size, tuple) else [size] * len(shape.spatial), strict=True))
    given = {name: value for name, value in arguments.items() if name not in ("causal", "relative")}
    if "relative" in arguments:
        if arguments["relative"] != (*sides.values(),):
            return None
        given["relative"] = True
    origin, shifts = lifter.rolled.get(source.step, (source.step, {}))
    if added.regions is None:
        origin, shifts = source.step, {}
    elif grid or not _is_shifted(added.regions, shape, sides, shifts):
        return None
    else:
        given["shift"] = extent([-shifts.get(axis, 0) for axis in sides], len(sides))
    step = lifter.add("window_attention", [origin], held, num_heads=heads, size=size, grid=grid, **given)
    return TensorView(rolled(lifter, step, shifts), (*source.dims[:-1], whole("C", shape.C)))


def _is_shifted(allowed: Any, shape: Shape, sides: Mapping[str, int], shifts: Mapping[str, int]) -> bool:
    """Whether those places of windows see each other that lie side by side on the map before it was rolled."""
    from archcalc.layers.torch_windows import WithinWindows

    moved = [-shifts.get(axis, 0) for axis in sides]
    if any(shift < 0 or shift >= side for shift, side in zip(moved, sides.values(), strict=True)):
        return False
    places = [known(shape[axis]) for axis in sides]
    hidden = WithinWindows(1, 1.0, None, places, [*sides.values()], moved).hidden("cpu")  # type: ignore[arg-type]
    return hidden.shape == allowed.shape and bool((hidden != allowed).all())


# --- rolls ------------------------------------------------------------------------------------------------------------


@operator("roll")
def roll(lifter: Lifter, op: Operation) -> TensorView:
    """A volume whose positions move on along axes, and those that leave at one end enter at the other."""
    x, shifts, dims = lifter.cut(lifter.view(op.arguments[0])), op.arguments[1], argument(op, 2, "dims") or []
    if not dims:
        raise Unknown("a roll of all values in a row")
    shape = lifter.shape(x.step)
    if any(x.dims[dim] not in [whole(axis, shape[axis]) for axis in shape] for dim in dims if x.sizes()[dim] != 1):
        x = lifter.laid(x)
    along = {x.dims[dim][0].axis: shift for dim, shift in zip(dims, shifts, strict=True) if x.dims[dim]}
    return x._replace(step=rolled(lifter, x.step, along))


def rolled(lifter: Lifter, step: int, shifts: Mapping[str, int]) -> int:
    """The step that holds a rolled volume: none is added where it's rolled back."""
    origin, before = lifter.rolled.get(step, (step, {}))
    shape, total = lifter.shape(step), dict[str, int]()
    for axis in shape:
        size = known(shape[axis])
        moved = (before.get(axis, 0) + shifts.get(axis, 0)) % size
        if moved:
            total[axis] = moved if moved <= size // 2 else moved - size
    for made, (of, by) in lifter.rolled.items():
        if (of, by) == (origin, total):
            return made
    found = origin
    for axis, shift in total.items():
        found = lifter.add("roll", [found], inner=False, axis=axis, shift=shift)
    if total:
        lifter.rolled[found] = origin, total
    return found
