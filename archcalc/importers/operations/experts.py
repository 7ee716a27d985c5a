"""Mixtures of experts as layers: the choice, copies that are sent, what each expert has of its own, and the sums."""

from __future__ import annotations

from typing import Any

from archcalc.importers.operations.exported import Operation
from archcalc.importers.operations.lifting import Lifter, Unknown, number, operator
from archcalc.importers.operations.spelled_experts import Choice
from archcalc.importers.operations.views import BATCH, TensorView, joined, whole
from archcalc.layers import REGISTRY
from archcalc.layers.per_expert import in_expert


@operator("to_experts")
def to_experts(lifter: Lifter, op: Operation) -> TensorView:
    """A copy of each token for each of its experts, in the volume's own order."""
    x, scores = (lifter.with_features(lifter.view(each)) for each in op.arguments[:2])
    choice: Choice = op.arguments[2]
    for view in (x, scores):
        if set(lifter.shape(view.step)) != {"T", "C"} or not view.is_all_of(lifter.plain(view.step)):
            raise Unknown("experts of other than tokens")
    said: dict[str, Any] = {name: number(value) for name, value in choice.arguments}
    own = op.around[: _common(op, lifter.steps[scores.step].around if scores.step >= 0 else ())]
    shares = lifter.add("topk", [scores.step], [choice.correction], around=own, top=choice.top, **said)
    lifter.chosen[choice] = shares
    step = lifter.add("dispatch", [x.step, shares], around=own, router="", top=choice.top)
    return _rows(lifter, step)


def _common(op: Operation, around: Any) -> int:
    """How many submodules are around both."""
    pairs = zip(op.around, around, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(op.around), len(around)))


def _rows(lifter: Lifter, step: int) -> TensorView:
    """A volume of tokens as a matrix: those of all examples are its rows."""
    shape = lifter.shape(step)
    return TensorView(step, (joined((*whole(BATCH, lifter.batch), *whole("T", shape.T))), whole("C", shape.C)))


@operator("expert_linear")
def expert_linear(lifter: Lifter, op: Operation) -> list[TensorView]:
    """A matrix product, with a matrix for each expert; or one for each part of it that is read."""
    view, *first, choice = op.arguments[:4]
    x = lifter.with_features(lifter.view(view))
    shape = lifter.shape(x.step)
    found = []
    for weight, bias in (first, *op.arguments[4:]):
        width = len(range(*weight.rows[0])) if weight.rows else weight.shape[1]
        inner = REGISTRY["fc"](out_features=width, bias=bias is not None)
        layer = in_expert(inner, [shape], choice.experts, choice.top)
        step = lifter.add_layer(layer, [x.step, lifter.chosen[choice]], [weight, bias], op.around)
        found.append(_rows(lifter, step))
    return found


@operator("from_experts")
def from_experts(lifter: Lifter, op: Operation) -> TensorView:
    """The sum of what a token's experts made of it, each times its share."""
    choice: Choice = op.arguments[1]
    x, shares = lifter.with_features(lifter.view(op.arguments[0])), lifter.chosen[choice]
    around = lifter.steps[shares].around
    return _rows(lifter, lifter.add("combine", [x.step, shares], around=around, router="", top=choice.top))
