"""Recurrences over tokens: PyTorch's layers, of several layers and both directions, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archcalc.importers.operations.constants import tensors
from archcalc.importers.operations.exported import NOTHING, Operation, Result, Stored
from archcalc.importers.operations.lifting import Lifter, Unknown, number, operator
from archcalc.importers.operations.views import BATCH, Factor, TensorView, whole
from archcalc.symbolic import known

KINDS = {"rnn_tanh": "rnn", "lstm": "lstm", "gru": "gru"}
GATES = {"rnn_tanh": 1, "lstm": 4, "gru": 3}
"""Rows of a matrix for each number of the state."""
CELLS = 2
"""Which of an LSTM's results are the states of its memory cells."""


@operator("rnn_tanh", "lstm", "gru")
def recurrence(lifter: Lifter, op: Operation) -> list[TensorView]:
    """All layers, from states of zeros; what is made last of each is a token of what it makes."""
    x, states, parameters, biased, layers, p, _, both, _ = op.arguments
    name = op.name.partition(".")[0]
    _refuse_states(lifter, states if isinstance(states, list) else [states])
    _refuse_cells(lifter)
    view = lifter.cut(lifter.view(x))
    shape = lifter.shape(view.step)
    if set(shape) != {"T", "C"} or view.dims[-1] != whole("C", shape.C) or len(view.dims) != 3:
        raise Unknown("a recurrence over other axes than T")
    held = [lifter.weight(each) for each in parameters]
    each = len(held) // (layers * (1 + both))
    step, last = view.step, list[tuple[int, int]]()
    for layer in range(layers):
        if layer and p:
            step = lifter.add("dropout", [step], p=number(p))
        made = []
        for reverse in (False, True) if both else (False,):
            mine = held[:each]
            del held[:each]
            made.append(_one(lifter, name, step, mine, bool(biased), reverse))
            last.append((made[-1], 0 if reverse else -1))
        step = lifter.add("concat", made, axis="C") if both else made[0]
    out = view._replace(step=step, dims=(*view.dims[:-1], whole("C", lifter.shape(step).C)))
    return [out, _states(lifter, last)]


def _one(lifter: Lifter, name: str, step: int, held: Sequence[Stored], biased: bool, reverse: bool) -> int:
    """One layer in one direction."""
    arguments: dict[str, Any] = {"hidden": held[0].shape[0] // GATES[name], "bias": biased, "reverse": reverse}
    if len(held) == 3 + 2 * biased:
        arguments["projection"] = held[-1].shape[0]
    return lifter.add(KINDS[name], [step], held, **arguments)


def _states(lifter: Lifter, last: Sequence[tuple[int, int]]) -> TensorView:
    """The last state of each layer and direction, layers first, as features side by side."""
    states = [lifter.add("select", [step], index=token) for step, token in last]
    size = known(lifter.shape(states[0]).C)
    step = lifter.add("concat", states, axis="C") if len(last) > 1 else states[0]
    layers = (Factor("C", size, len(last)),) if len(last) > 1 else ()
    return TensorView(step, (layers, whole(BATCH, lifter.batch), whole("C", size)))


def _refuse_states(lifter: Lifter, states: Sequence[Any]) -> None:
    for state in states:
        value = lifter.constant(state)
        if value is None or bool(value.any()):
            raise Unknown("a recurrence that doesn't start from zeros")


def _refuse_cells(lifter: Lifter) -> None:
    """See that nothing reads the states of memory cells."""
    operations = (each for each in lifter.exported.operations if each is not NOTHING)
    read = [each for other in operations for each in tensors([*other.arguments, *other.named.values()])]
    if Result(len(lifter.views), CELLS) in [*read, *lifter.exported.outputs]:
        raise Unknown("the states of memory cells are read")
