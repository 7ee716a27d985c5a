"""Matrix products of two volumes, and what programs do with products of queries and keys until they're attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archcalc.importers.operations.attention import Scores, attend
from archcalc.importers.operations.exported import Operation
from archcalc.importers.operations.lifting import OPERATORS, Lifter, Unknown, number, operator, pattern
from archcalc.importers.operations.merging import merged
from archcalc.importers.operations.positions import added_by
from archcalc.importers.operations.products import product
from archcalc.importers.operations.views import TensorView

# --- products ---------------------------------------------------------------------------------------------------------


def multiplied(lifter: Lifter, one: Any, other: Any) -> TensorView:
    """The product of two operands: attention, if the first are probabilities."""
    for place, operand in enumerate((one, other)):
        scores: Scores | None = lifter.pending(operand, "scores")
        if scores is not None and scores.softmax and scores.turned == bool(place):
            values = lifter.view((other, one)[place])
            found = attend(lifter, scores, values.transposed(-1, -2) if place else values)
            if found is not None:
                return found.transposed(-1, -2) if place else found
    return product(lifter, lifter.view(one), lifter.view(other))


@operator("matmul", "bmm", "mm")
def matmul(lifter: Lifter, op: Operation) -> Any:
    """A product of two tensors; with a matrix that is learned a linear layer."""
    one, other = op.arguments[:2]
    if (weight := lifter.stored(other)) is not None and weight.learned and len(weight.shape) == 2:
        turned = weight._replace(shape=weight.shape[::-1], turned=not weight.turned)
        return OPERATORS["linear"](lifter, op.given(one, turned, None))
    return multiplied(lifter, one, other)


@operator("baddbmm")
def product_and_sum(lifter: Lifter, op: Operation) -> Any:
    """A product with something added."""
    added, one, other = op.arguments[:3]
    beta, alpha = op.named.get("beta", 1), op.named.get("alpha", 1)
    found = product(lifter, lifter.view(one), lifter.view(other))
    if alpha != 1:
        found = lifter.along(found, "times", factor=number(alpha))
    return merged(lifter, "add", found, lifter.view(added)) if beta else found


@operator("einsum")
def einsum(lifter: Lifter, op: Operation) -> Any:
    """A product of two tensors whose dimensions have names."""
    named = _named(op)
    if named is None:
        raise Unknown(f"einsum {op.arguments[0]}")
    (first, second, made), (one, other) = named, op.arguments[1]
    both = [name for name in made if name in first and name in second]
    summed = [name for name in first if name in second and name not in made]
    left, right = ([name for name in each if name not in (*both, *summed)] for each in (first, second))
    order = [*both, *left, *right]
    right_view = _ordered(lifter.view(other), second, [both, summed, right])
    found = None
    scores: Scores | None = lifter.pending(one, "scores")
    if scores is not None and scores.softmax and not scores.turned and [*first] == [*both, *left, *summed]:
        found = attend(lifter, scores, right_view) if len(left) == len(summed) == 1 else None
    if found is None:
        found = product(lifter, _ordered(lifter.view(one), first, [both, left, summed]), right_view)
    sizes = dict(zip(made, op.shape, strict=True))
    apart = found.reshaped([sizes[name] for name in order])
    assert apart is not None  # its dimensions are these
    return apart.permuted([order.index(name) for name in made])


def _named(op: Operation) -> tuple[str, str, str] | None:
    """The names of dimensions of both factors and of the result; None if it's no product of matrices."""
    names, _, made = op.arguments[0].replace(" ", "").partition("->")
    first, _, second = names.partition(",")
    once = all(len(set(each)) == len(each) for each in (first, second, made))
    if not once or "." in names or not second or len(op.arguments[1]) != 2:
        return None
    return (first, second, made) if {*first} ^ {*second} <= {*made} <= {*first, *second} else None


def _ordered(view: TensorView, names: str, groups: Sequence[Sequence[str]]) -> TensorView:
    """A tensor with its dimensions in groups: each of the first one by itself, each other group as one."""
    dims = dict(zip(names, view.dims, strict=True))
    first, *others = groups
    joined = [tuple(factor for name in group for factor in dims[name]) for group in others]
    return view._replace(dims=(*(dims[name] for name in first), *joined))


# --- what becomes of scores -------------------------------------------------------------------------------------------


@pattern("scores")
def scores_of(lifter: Lifter, op: Operation) -> Scores | None:
    """Products that may be those of queries and keys, and what is done to them that attention does, too."""
    name = op.name.partition(".")[0].rstrip("_")
    if name in ("matmul", "bmm", "baddbmm", "einsum"):
        return _begun(lifter, name, op)
    for place, operand in enumerate(op.arguments[:3]):
        scores: Scores | None = lifter.pending(operand, "scores")
        if scores is not None:
            return _after(lifter, name, scores, op, place)
    return None


def _begun(lifter: Lifter, name: str, op: Operation) -> Scores | None:
    """A product of two volumes, of neither of which it's known what it is."""
    operands = op.arguments[1] if name == "einsum" else op.arguments[1:3] if name == "baddbmm" else op.arguments[:2]
    if any(lifter.stored(each) is not None or lifter.constant(each) is not None for each in operands):
        return None
    if any(lifter.pending(each, "scores") is not None for each in operands):
        return None
    one, other = map(lifter.view, operands)
    if name == "einsum":
        return _named_product(op, one, other)
    if len(op.shape) < 3:
        return None
    scores = Scores(one, other.transposed(-1, -2))
    if name != "baddbmm":
        return scores
    beta, alpha = op.named.get("beta", 1), op.named.get("alpha", 1)
    mask = lifter.constant(op.arguments[0])
    if not beta:
        return scores.times(alpha)
    return None if mask is None else scores.times(alpha)._replace(added=(mask * beta,))


def _named_product(op: Operation, one: TensorView, other: TensorView) -> Scores | None:
    """Products of two tensors whose result has what both have first, then a dimension of each."""
    named = _named(op)
    if named is None:
        return None
    first, second, made = named
    both = [name for name in made if name in first and name in second]
    summed = [name for name in first if name in second and name not in made]
    left, right = ([name for name in each if name not in (*both, *summed)] for each in (first, second))
    if [*made] != [*both, *left, *right] or len(left) != 1 or len(right) != 1:
        return None
    return Scores(_ordered(one, first, [both, left, summed]), _ordered(other, second, [both, right, summed]))


def _after(lifter: Lifter, name: str, scores: Scores, op: Operation, place: int) -> Scores | None:
    """Scores after an operation; None if it isn't one that attention has."""
    other = op.arguments[1 - place] if len(op.arguments) > 1 and place < 2 else None
    if name == "softmax":
        last = op.arguments[1] in (-1, len(op.shape) - 1)
        return scores._replace(softmax=True) if last and not scores.softmax and not scores.turned else None
    if name == "transpose":
        ends = {each % len(op.shape) for each in op.arguments[1:3]} == {len(op.shape) - 1, len(op.shape) - 2}
        if ends and not (scores.softmax or scores.turned or scores.added):
            return scores._replace(queries=scores.keys, keys=scores.queries)
        return scores._replace(turned=not scores.turned) if ends else None
    if name == "dropout":
        return scores
    if scores.turned:
        return None
    if name in ("view", "reshape", "unsqueeze", "squeeze", "_unsafe_view", "unflatten", "flatten"):
        return scores.reshaped(op.shape)
    if scores.softmax:
        return None
    if name in ("mul", "div") and isinstance(other, (int, float)) and not op.named.get("rounding_mode"):
        if name == "div" and place:
            return None
        return scores.times(other if name == "mul" else 1 / other)
    if name == "add" and op.named.get("alpha", 1) == 1 and (bias := added_by(lifter, other)) is not None:
        return scores._replace(added=(*scores.added, *bias))
    if name == "masked_fill" and not place and (mask := lifter.constant(op.arguments[1])) is not None:
        return scores.hidden(mask, op.arguments[2])
    if name == "where" and place == 1 and (mask := lifter.constant(op.arguments[0])) is not None:
        value = lifter.constant(op.arguments[2])
        return None if value is None or value.numel() != 1 else scores.hidden(~mask, float(value))
    return None


@pattern("bias")
def bias(lifter: Lifter, op: Operation) -> tuple[Any, ...] | None:
    """A sum of learned numbers and constants, such as are added to scores."""
    if op.name.partition(".")[0] != "add" or op.named.get("alpha", 1) != 1:
        return None
    first, second = (added_by(lifter, operand) for operand in op.arguments[:2])
    gathered = any(lifter.pending(each, what) is not None for each in op.arguments[:2] for what in ("drawn", "bias"))
    return None if first is None or second is None or not gathered else (*first, *second)
