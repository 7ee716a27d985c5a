"""Sums and products of tensors whose dimensions lie differently in their volumes, or are stretched."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from archcalc.importers.operations.lifting import Lifter, Unknown
from archcalc.importers.operations.views import BATCH, Factor, TensorView, whole
from archcalc.shape import Shape
from archcalc.symbolic import known


def merged(lifter: Lifter, kind: str, one: TensorView, other: TensorView) -> TensorView:
    """Two tensors, value by value, each stretched along dimensions where it has one value; a gate comes second.

    The volume is that of the one that needn't be stretched, so that the other's values are moved, if any are.
    """
    views = [each.without_copies() for each in (one, other)]
    rank = max(len(view.dims) for view in views)
    views = [view._replace(dims=((),) * (rank - len(view.dims)) + view.dims) for view in views]
    sizes = tuple(max(pair) for pair in zip(*(view.sizes() for view in views), strict=True))
    whole = [place for place, view in enumerate(views) if view.sizes() == sizes]
    if not whole:
        return _both_stretched(lifter, kind, views, sizes)
    if len(whole) == 2:
        whole.sort(key=lambda place: (views[place].step in lifter.free, not _lies_whole(lifter, views[place])))
    base, small = views[whole[0]], views[1 - whole[0]]
    if not _lies_whole(lifter, base):
        base = lifter.laid(base)
    fitted = _fitted(lifter, base, small)
    if fitted is None:
        base = lifter.laid(base, _axes_of(base))
        fitted = _fitted(lifter, base, small)
    assert fitted is not None  # its dimensions are axes now
    shape = lifter.shape(base.step)
    step = lifter.volume(fitted, tuple(shape))
    pair = (base.step, step) if whole[0] == 0 or lifter.shape(step) != shape else (step, base.step)
    return base._replace(step=lifter.add(kind, pair, **_stretching(kind, [shape, lifter.shape(step)])))


def concatenated(lifter: Lifter, views: Sequence[TensorView], place: int) -> TensorView:
    """Tensors joined along a dimension.

    Raises: Unknown: that's the batch.
    """
    if place == 0:
        raise Unknown("examples that are joined")
    if len(views) == 1:
        return views[0]
    if (found := _blocks_as_channels(lifter, views, place)) is not None:
        return found
    views = [view._replace(dims=((), *view.dims[1:])) if view.step in lifter.free else view for view in views]
    first = next((view for view in views if view.step not in lifter.free), views[0])
    base = lifter.cut(first)
    shape = lifter.shape(base.step)
    if base.dims[place] not in [whole(axis, shape[axis]) for axis in shape] or not base.dims[place]:
        base = lifter.laid(first, _axes_of(first))
        shape = lifter.shape(base.step)
    axes = _axes_of(base) if not base.dims[place] else [factor.axis for factor in base.dims[place]]
    axis = axes[0] if base.dims[place] else axes[place - (len(base.dims) - len(axes))]
    steps = [_beside(lifter, base, axis, place, view) for view in views]
    step = _with_earlier(lifter, tuple(steps), axis)
    dims = [*base.dims]
    dims[place] = whole(axis, lifter.shape(step)[axis])
    return base._replace(step=step, dims=tuple(dims))


def _with_earlier(lifter: Lifter, steps: tuple[int, ...], axis: str) -> int:
    """Volumes joined; the first of them as what they were joined to before: dense blocks do so time and again."""
    row = steps
    for length in range(len(steps) - 1, 1, -1):
        if (before := lifter.concatenated.get((axis, steps[:length]))) is not None:
            row = (before, *steps[length:])
            break
    found = lifter.add("concat", row, axis=axis)
    lifter.concatenated.setdefault((axis, steps), found)
    return found


def _beside(lifter: Lifter, base: TensorView, axis: str, place: int, view: TensorView) -> int:
    """The volume of a tensor with its dimensions where that of another one has them, but for one axis' size."""
    shape = lifter.shape(base.step).with_(**{axis: view.sizes()[place]})
    dims = [*base.dims]
    dims[place] = (Factor(axis, 1, view.sizes()[place]),)
    alike = base._replace(dims=tuple(dims))
    factors = [(at, factor) for at, dim in enumerate(alike.dims) for factor in dim]
    sizes = [1 if at == 0 and view.step in lifter.free else factor.size for at, factor in factors]
    apart = view.reshaped(sizes)
    if apart is None:
        apart = lifter.laid(view).reshaped(sizes)
    assert apart is not None  # each of its dimensions is an axis, or the batch with regions
    order = [BATCH, *shape]
    natural = sorted(range(len(factors)), key=lambda at: _place(factors[at][1], order))
    made = apart.permuted(natural).reshaped(
        [1 if view.step in lifter.free else lifter.batch, *(known(size) for size in shape.values())]
    )
    assert made is not None  # its factors are those of the other
    return lifter.volume(made, tuple(shape))


def _blocks_as_channels(lifter: Lifter, views: Sequence[TensorView], place: int) -> TensorView | None:
    """Every second row and column and so on, one after the other: blocks of places become channels."""
    first, shape = views[0], lifter.shape(views[0].step)
    if first.dims[place] != whole("C", shape.get("C", 1)) or not shape.spatial or {"R", "T"} & {*shape}:
        return None
    gaps = {factor.axis: factor.stride for dim in first.dims for factor in dim if factor.axis in shape.spatial}
    if len(views) != prod(gaps.values()) or len(views) == 1 or any(shape[axis] % gap for axis, gap in gaps.items()):
        return None
    if any((view.step, view.dims) != (first.step, first.dims) for view in views):
        return None
    for order in ("hwc", "whc"):
        axes = shape.spatial if order == "hwc" else shape.spatial[::-1]
        starts = [tuple(sorted(each)) for each in _places([(axis, gaps.get(axis, 1)) for axis in axes])]
        if [view.starts for view in views] == starts:
            gap = [gaps.get(axis, 1) for axis in shape.spatial]
            factor = gap[0] if len({*gap}) == 1 else tuple(gap)
            step = lifter.add("pixel_unshuffle", [first.step], factor=factor, order=order)
            made = lifter.shape(step)
            dims = tuple(
                whole(dim[0].axis, made[dim[0].axis]) if dim and dim[0].axis in made else dim for dim in first.dims
            )
            return TensorView(step, dims)
    return None


def _places(gaps: Sequence[tuple[str, int]]) -> list[tuple[tuple[str, int], ...]]:
    """Where parts of axes start, those of the last axis one after the other; starts of 0 are left out."""
    found: list[tuple[tuple[str, int], ...]] = [()]
    for axis, gap in gaps:
        found = [(*ahead, *([(axis, at)] if at else [])) for ahead in found for at in range(gap)]
    return found


def _lies_whole(lifter: Lifter, view: TensorView) -> bool:
    return view.step not in lifter.waiting and view.is_all_of(lifter.plain(view.step))


def _axes_of(view: TensorView) -> tuple[str, ...]:
    """Axes for a volume whose every dimension is one, whatever lies beside the batch as well."""
    regions = ("R",) if any(factor.axis != BATCH for factor in view.dims[0]) else ()
    names = {1: ("C",), 2: ("T", "C"), 3: ("C", "H", "W"), 4: ("C", "D", "H", "W"), 5: ("T", "C", "D", "H", "W")}
    return (*regions, *names.get(len(view.dims) - 1, ()))


def _fitted(lifter: Lifter, base: TensorView, small: TensorView) -> TensorView | None:
    """Another tensor with its dimensions where the first one's volume has them; None if a part is stretched."""
    factors = [(place, factor) for place, dim in enumerate(base.dims) for factor in dim]
    stretched = [size == 1 for size in small.sizes()]
    sizes = [1 if stretched[place] else factor.size for place, factor in factors]
    apart = small.reshaped(sizes)
    if apart is None:
        apart = lifter.laid(small).reshaped(sizes)
    assert apart is not None  # each of its dimensions is an axis, or the batch with regions
    shape = lifter.shape(base.step)
    order = ["N", *shape]
    natural = sorted(range(len(factors)), key=lambda at: _place(factors[at][1], order))
    inside = [apart.sizes()[at] for at in natural]
    made, place = [], 0
    for axis in order:
        own = [at for at in natural if factors[at][1].axis == axis]
        size, full = prod(inside[place : place + len(own)]), prod(factors[at][1].size for at in own)
        if size not in (1, full):
            return None
        made.append(size)
        place += len(own)
    return apart.permuted(natural).reshaped(made)


def _place(factor: Factor, order: Sequence[str]) -> tuple[int, int]:
    return order.index(factor.axis), -factor.stride


def _stretching(kind: str, shapes: Sequence[Shape]) -> dict[str, Any]:
    """What is said of a merge of such volumes."""
    first, second = shapes
    gates = second.spatial and all(second[axis] == 1 for axis in second.spatial)
    same = all(first[axis] == second[axis] for axis in first if axis not in first.spatial)
    return {} if first == second or (kind == "mul" and gates and same) else {"broadcast": True}


def _both_stretched(lifter: Lifter, kind: str, views: Sequence[TensorView], sizes: Sequence[int]) -> TensorView:
    """Each is stretched along a dimension of the other."""
    axes = _axes_of(TensorView(0, tuple(max(pair) for pair in zip(*(view.dims for view in views), strict=True))))
    steps = [lifter.volume(view, axes) for view in views]
    found = lifter.plain(lifter.add(kind, steps, broadcast=True)).reshaped(sizes)
    assert found is not None  # it has these axes
    return found
