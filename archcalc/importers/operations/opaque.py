"""Operations that no layer of specs is: opaque layers, of which what enters, what leaves and what is held is known."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from archcalc.importers.operations.constants import tensors
from archcalc.importers.operations.exported import Entered, Operation, Result, Stored
from archcalc.importers.operations.views import BATCH, COPIES, Dimension, Factor, TensorView, joined, whole
from archcalc.layers import REGISTRY
from archcalc.shape import Shape

if TYPE_CHECKING:
    from archcalc.importers.operations.lifting import Lifter, Step

BY_NUMBER = {0: "C", 1: "C", 2: "TC", 3: "CHW", 4: "CDHW", 5: "RCDHW"}
"""The axes of a tensor, batch apart, whose dimensions have no meaning that is known; with more, the first are one."""
MOST = max(BY_NUMBER)
MOVING = """
alias all amax amin aminmax any arange argmax argmin argsort as_strided bincount bucketize cat clone col2im
concat constant_pad_nd copy count_nonzero cummax cummin cumprod cumsum diagonal diff embedding expand fill flip fold
full gather grid_sampler grid_sampler_2d grid_sampler_3d im2col index index_add index_copy index_fill index_put
index_select kthvalue lift logcumsumexp logsumexp masked_fill masked_scatter masked_select max mean median min mode
movedim narrow new_zeros nonzero norm one_hot ones pad permute prod repeat repeat_interleave reshape roll rot90
scatter scatter_add scatter_reduce searchsorted select select_scatter slice slice_scatter sort split squeeze stack
std std_mean sum swapaxes t take take_along_dim tile topk transpose tril triu unbind unflatten unfold unique
unsqueeze var var_mean view where zeros
"""
"""Operators that move, choose, compare or sum values, and multiply no matrices: words of a text."""


def opaque(lifter: Lifter, op: Operation) -> list[TensorView]:
    """What an operation makes, by an opaque layer for each of its outputs."""
    views, held = _operands(lifter, op)
    learned = [each for each in held if each.learned]
    stored = [each for each in held if not each.learned]
    if not views and learned:
        views, learned = [lifter.plain(learned_volume(lifter, learned[0]))], learned[1:]
    if (found := _pointwise(lifter, op, views, [*learned, *stored])) is not None:
        return [found]
    steps = [lifter.volume(view) for view in views] or [~0]
    seen = [*views, *map(lifter.plain, steps)] if views else []
    made = []
    for number, sizes in enumerate(op.shapes or (op.shape,)):
        labels = _labels(lifter, sizes, seen)
        more: dict[str, Any] = _sizes(labels) | _held(learned, stored)
        more |= {"output": number + 1, "products": 0} if number else _multiplied(lifter, op)
        on = tuple(tuple(lifter.shape(step).values()) for step in steps)
        step = lifter.add(
            "opaque", steps, [*learned, *stored], operator=operator_name(op), on=on if views else None,
            **more,
        )  # fmt: skip
        lifter.plains[step] = TensorView(step, _dimensions(labels))
        made.append(lifter.plains[step])
    return made


def standing_for(lifter: Lifter, op: Operation, shape: Shape) -> int:
    """The step of an opaque layer whose volume has this shape, however PyTorch divides it."""
    views, held = _operands(lifter, op)
    steps = [lifter.volume(view) for view in views]
    learned, stored = ([each for each in held if each.learned is kind] for kind in (True, False))
    more: dict[str, Any] = {**shape, **_held(learned, stored), **_multiplied(lifter, op)}
    on = tuple(tuple(lifter.shape(step).values()) for step in steps)
    return lifter.add("opaque", steps, [*learned, *stored], operator=operator_name(op), on=on, **more)


def operator_name(op: Operation) -> str:
    """The operation's name as a word: `fft_rfft2`, `add` for `add_.Tensor`."""
    return word(op.name)


def word(name: str) -> str:
    """An operator's name without what a spec can't write."""
    name = name.partition(".")[0]
    return "".join(letter if letter.isalnum() else "_" for letter in name.rstrip("_")) or "operation"


def rearranged(lifter: Lifter, view: TensorView) -> int:
    """The step of an opaque layer that makes a volume of any view of another one."""
    labels = _labels(lifter, view.sizes(), [view])
    on = (tuple(lifter.shape(view.step).values()),)
    step = lifter.add("opaque", [view.step], inner=False, operator="rearrange", on=on, products=0, **_sizes(labels))
    lifter.plains[step] = TensorView(step, _dimensions(labels))
    return step


def written_over(lifter: Lifter, before: int, part: int) -> int:
    """The step of a volume a part of which was changed in place: it reads what it was, and what that part is now."""
    read = [before, part]
    on = tuple(tuple(lifter.shape(step).values()) for step in read)
    sizes: dict[str, Any] = dict(lifter.shape(before))
    step = lifter.add("opaque", read, operator="slice_scatter", on=on, products=0, **sizes)
    lifter.plains[step] = lifter.plain(before)._replace(step=step)
    return step


def learned_volume(lifter: Lifter, stored: Stored) -> int:
    """The step that has a parameter as a volume, the same for each example."""
    if stored in lifter.parameters:
        return lifter.parameters[stored]
    ahead = 1 if stored.shape[:1] == (1,) and len(stored.shape) > 1 else 0
    labels = _by_number(stored.shape[ahead:])
    step = lifter.parameters[stored] = lifter.add("param", [~0], [stored], **_sizes(labels))
    lifter.plains[step] = TensorView(step, ((),) * ahead + _dimensions(labels))
    return step


def _operands(lifter: Lifter, op: Operation) -> tuple[list[TensorView], list[Stored]]:
    """The volumes that an operation reads, and the parameters and buffers."""
    views: list[TensorView] = []
    held: dict[str, Stored] = {}
    for operand in tensors([*op.arguments, *op.named.values()]):
        if (stored := lifter.stored(operand)) is not None:
            if stored.learned or stored.name in lifter.exported.buffers:
                held.setdefault(stored.name, lifter.whole(stored))
        elif isinstance(operand, Entered) or not lifter.is_constant(operand):
            views.append(lifter.spelled_out(operand))
    return views, list(held.values())


def _pointwise(lifter: Lifter, op: Operation, views: Sequence[TensorView], held: Sequence[Stored]) -> TensorView | None:
    """An operation that works value by value, on volumes of one shape."""
    import torch

    if not views or torch.Tag.pointwise not in getattr(op.target, "tags", ()):
        return None
    if not all(_is_whole(lifter, view) and view.dims == views[0].dims for view in views):
        views = [lifter.plain(lifter.volume(view)) for view in views]
    if any(view.dims != views[0].dims for view in views) or views[0].sizes() != op.shape:
        return None
    more = _held([each for each in held if each.learned], [each for each in held if not each.learned])
    step = lifter.add("opaque", [view.step for view in views], held, operator=operator_name(op), pointwise=True, **more)
    return views[0]._replace(step=step)


def _is_whole(lifter: Lifter, view: TensorView) -> bool:
    return view.step not in lifter.waiting and view.is_all_of(lifter.plain(view.step))


def _held(learned: Sequence[Stored], stored: Sequence[Stored]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in (("learned", learned), ("stored", stored)):
        if each:
            found[name] = tuple(one.shape or (1,) for one in each)
    return found


def _multiplied(lifter: Lifter, op: Operation) -> dict[str, int]:
    found = multiply_adds(lifter, op)
    return {} if found is None else {"products": found}


# --- what it multiplies ----------------------------------------------------------------------------------------------


def multiply_adds(lifter: Lifter, op: Operation) -> int | None:
    """What PyTorch's own counter finds, for one example; None where it doesn't know the operation."""
    if op.name.partition(".")[0].rstrip("_") in MOVING.split():
        return 0
    if op.target is None:
        return None
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    def there(operand: Any) -> Any:
        if isinstance(operand, list):
            return [there(each) for each in operand]
        if isinstance(operand, (Result, Entered, Stored)):
            return torch.empty(lifter.sizes(operand), device="meta")
        return operand

    arguments = [there(each) for each in op.arguments]
    named = {key: there(each) for key, each in op.named.items()}
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            op.target(*arguments, **named)
    except Exception:  # whatever it wants that these tensors aren't
        return None
    found = counter.get_total_flops() // 2
    return found // lifter.batch if found else None


# --- the axes of what is made ----------------------------------------------------------------------------------------

Label = tuple[tuple[str, int], ...]
"""What one dimension of a tensor is: an axis and its size, or the batch and one."""


def _labels(lifter: Lifter, sizes: Sequence[int], views: Sequence[TensorView]) -> Sequence[Label]:
    """What the dimensions are of a tensor of these sizes, made of these volumes.

    The batch is where it is in one of them. The axes are those of one with as many dimensions, if each of these is a
    whole axis; else their number decides.
    """
    place = _place_of_batch(sizes, views, lifter.batch)
    if place is None:
        if sizes and sizes[0] % lifter.batch == 0 and any(_begins_with_batch(view) for view in views):
            first, *others = _by_number((sizes[0] // lifter.batch, *sizes[1:]))
            return [((BATCH, lifter.batch), *first), *others]
        return _by_number(sizes)
    for view in views:
        axes = _axes(lifter, view)
        if len(axes) == len(sizes) and axes[place] == BATCH and len(set(axes)) == len(axes):
            return [((axis, size),) for axis, size in zip(axes, sizes, strict=True)]
    named = _by_number((*sizes[:place], *sizes[place + 1 :]))
    return [*named[:place], ((BATCH, lifter.batch),), *named[place:]]


def _axes(lifter: Lifter, view: TensorView) -> list[str]:
    """The axis that each dimension is, the batch in front; nothing if it isn't so simple."""
    if view.step in lifter.waiting:
        return []
    shape = list(lifter.shape(view.step))
    if view == lifter.plain(view.step) and len(view.dims) == len(shape) + 1 and view.step not in lifter.plains:
        return [BATCH, *shape]
    axes = [dim[0].axis if len(dim) == 1 else "" for dim in view.dims]
    return axes if all(axis and axis != COPIES for axis in axes) else []


def _place_of_batch(sizes: Sequence[int], views: Sequence[TensorView], batch: int) -> int | None:
    for view in views:
        for place, dim in enumerate(view.dims):
            if dim == whole(BATCH, batch) and place < len(sizes) and sizes[place] == batch:
                return place
    return None


def _begins_with_batch(view: TensorView) -> bool:
    return any(factor.axis == BATCH for dim in view.dims[:1] for factor in dim[:1])


def _by_number(sizes: Sequence[int]) -> Sequence[Label]:
    """Features; tokens and features; channels and places; regions of such."""
    axes = BY_NUMBER[min(len(sizes), MOST)]
    axes = "R" * (len(sizes) - len(axes)) + axes  # the first of many are one
    return [((axis, size),) for axis, size in zip(axes, sizes, strict=False)]


def _dimensions(labels: Sequence[Label]) -> tuple[Dimension, ...]:
    """Labels as factors of axes; of several that are one axis the last is the innermost."""
    inner: dict[str, int] = {}
    dims: list[Dimension] = []
    for label in reversed(labels):
        dim = []
        for axis, size in reversed(label):
            dim.append(Factor(axis, inner.get(axis, 1), size))
            inner[axis] = inner.get(axis, 1) * size
        dims.append(joined([factor for factor in reversed(dim) if factor.size != 1]))
    return tuple(reversed(dims))


def _sizes(labels: Sequence[Label]) -> dict[str, Any]:
    """The sizes of a volume's axes."""
    found: dict[str, int] = {}
    for axis, size in (each for label in labels for each in label):
        if axis != BATCH:
            found[axis] = found.get(axis, 1) * size
    return found or {"C": 1}


# --- what several layers hold -----------------------------------------------------------------------------------------


def held_once(steps: Sequence[Step], inputs: Sequence[Shape]) -> tuple[Step, ...]:
    """The steps, with each parameter counted where it's first read.

    Who reads it again in another submodule shares it by `tie`, or is an opaque layer that holds the rest.
    """
    held: dict[str, set[int]] = {}
    first: dict[Stored, int] = {}
    found: list[Step] = []
    for number, step in enumerate(steps):
        again = any(around.call for around in step.around) or step.tied is not None
        own = [
            left for stored in step.stored if (left := stored if again else _left(stored, held.get(stored.name, set())))
        ]
        if own != list(step.stored):
            owner = first.get(step.stored[0])
            tied = None if owner is None or own != list(step.stored[1:]) else _tied(step, owner, found)
            read = [steps[each].shape if each >= 0 else inputs[~each] for each in step.inputs]
            found.append(tied or _holding(step, own, read))
        else:
            found.append(step)
        for stored in step.stored:
            held.setdefault(stored.name, set()).update(_rows(stored))
        for stored in step.stored[:1]:
            first.setdefault(stored, number)
    return tuple(found)


def _rows(stored: Stored) -> set[int]:
    """The rows of a parameter that are meant."""
    stretches = stored.rows or ((0, (stored.shape or (1,))[0]),)
    return {row for stretch in stretches for row in range(*stretch)}


def _left(stored: Stored, held: Set[int]) -> Stored | None:
    """What is left of a parameter, of which others hold these rows already."""
    mine = _rows(stored) if stored.learned and held else None
    if mine is None or not (left := mine - held):
        return stored if mine is None else None
    return stored if left == mine else stored._replace(shape=(len(left), *stored.shape[1:]), rows=None)


def _tied(step: Step, owner: int, before: Sequence[Step]) -> Step | None:
    """A step that has its matrix from another one, if kinds like these can share one."""
    layer, other = step.layer, before[owner].layer
    if "tie" not in layer.arguments() or type(layer) is not type(other):
        return None
    arguments = {name: getattr(layer, name) for name in layer.arguments()}
    return step._replace(layer=layer.given(**{**arguments, "tie": ""}), tied=owner)


def _holding(step: Step, own: Sequence[Stored], read: Sequence[Shape]) -> Step:
    """A step as an opaque layer that holds these parameters alone."""
    arguments = {name: getattr(step.layer, name) for name in step.layer.arguments()} if step.layer.is_opaque else {}
    if not arguments:
        on = tuple(tuple(shape.values()) for shape in read)
        arguments = {"operator": step.layer.kind, **step.shape, "on": on, "products": step.layer.macs(*read)}
    shapes: dict[str, Any] = {"learned": None, "stored": None}
    shapes |= _held([each for each in own if each.learned], [each for each in own if not each.learned])
    return step._replace(layer=REGISTRY["opaque"](**{**arguments, **shapes}), stored=tuple(own))
