"""Mixtures of experts: tokens that are put in the order of their experts, products with a matrix of each, and the sums.

How scores become shares is tried out, and compared with what `topk` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

from archcalc.importers.operations.constants import run, tensors
from archcalc.importers.operations.exported import Operation, Result, Stored
from archcalc.importers.operations.lifting import argument
from archcalc.importers.operations.program import Program

GROUPED = ("_grouped_mm", "grouped_mm", "grouped_mm_fallback")
"""Products of stretches of rows, each with a matrix of its own."""
CLOSE = 1e-5


class Choice(NamedTuple):
    """How a token's experts are chosen: from which scores, so many, and with what `topk` says else."""

    scores: Result
    experts: int
    top: int
    arguments: tuple[tuple[str, Any], ...] = ()
    correction: Stored | None = None


class Sorted(NamedTuple):
    """Tokens in the order of their experts: the order, which expert each copy is sent to, and the shares."""

    order: Result
    experts: Any
    shares: Any


def mixture(program: Program, number: int) -> Operation | None:
    """The sum over a token's experts that ends a mixture, if it does; operations inside it are replaced, too."""
    made = program.original[number]
    if program.base_name(number) != "sum" or made.arguments[1:2] != ([1],):
        return None
    back = program.operation(made.arguments[0], "view", "reshape")
    put = back and program.operation(back.arguments[0], "index")
    if back is None or put is None or len(back.shape) != 3:
        return None
    weighted = program.operation(put.arguments[0], "mul")
    sent = _sent(program, weighted.arguments[1]) if weighted else None
    if weighted is None or sent is None or not _is_inverse(program, put.arguments[1], sent.order):
        return None
    choice = _choice(program, sent, back.shape[1])
    if choice is None or not _replace(program, weighted.arguments[0], sent, choice):
        return None
    return made.replaced("from_experts", weighted.arguments[0], choice)


def _sent(program: Program, operand: Any) -> Sorted | None:
    """The order of copies, by the shares that they are multiplied with."""
    column = program.operation(operand, "unsqueeze")
    shares = program.operation(column.arguments[0] if column else None, "index")
    order = shares.arguments[1] if shares else []
    if shares is None or len(order) != 1 or not isinstance(order[0], Result):
        return None
    found = program.original[order[0].operation]
    if found.name not in ("sort", "argsort") or order[0].part != int(found.name == "sort"):
        return None
    return Sorted(order[0], found.arguments[0], shares.arguments[0])


def _is_inverse(program: Program, operand: Any, order: Result) -> bool:
    """Whether places undo an order."""
    if len(operand) != 1:
        return False
    if (again := program.operation(operand[0], "argsort")) is not None:
        return bool(again.arguments[0] == order)
    put = program.operation(operand[0], "index_put")
    if put is None or put.arguments[1] != [order]:
        return False
    row = program.constants.value(put.arguments[2])
    return row is not None and bool((row == row.new_tensor(range(len(row)))).all())


# --- how experts are chosen -------------------------------------------------------------------------------------------


def _choice(program: Program, sent: Sorted, top: int) -> Choice | None:
    """How shares follow from scores, if it's as `topk` says."""
    chosen, shares = (program.operation(each, "reshape", "view", "flatten") for each in (sent.experts, sent.shares))
    if chosen is None or shares is None:
        return None
    pair = shares.arguments[0], chosen.arguments[0]
    scores = {each for operand in pair for each in _scores(program, operand)}
    if len(scores) != 1:
        return None
    (found,) = scores
    last = max(each.operation for each in pair)
    inside = range(found.operation + 1, last + 1)
    key = ("choice", top, program.original[found.operation].shape, program.written(inside, found))
    arguments = program.kept(key, lambda: _arguments(program, found, pair, top))
    correction = _correction(program, inside)
    if arguments is None:
        return None
    held = dict(arguments).get("correction")
    return Choice(found, program.original[found.operation].shape[-1], top, arguments, correction if held else None)


def _scores(program: Program, operand: Any) -> Iterator[Result]:
    """The matrix products that an operand is made of."""
    left, seen = [operand], set[int]()
    while left:
        each = left.pop()
        if not isinstance(each, Result) or each.operation in seen:
            continue
        seen.add(each.operation)
        if program.base_name(each.operation) in ("linear", "addmm"):
            yield each
        else:
            left += program.read(each.operation)


def _correction(program: Program, inside: range) -> Stored | None:
    """What is added to scores that isn't learned."""
    read = (each for at in inside for each in tensors(program.original[at].arguments))
    return next((each for each in read if isinstance(each, Stored) and not each.learned), None)


def _arguments(program: Program, scores: Result, pair: tuple[Any, Any], top: int) -> tuple[tuple[str, Any], ...] | None:
    """What `topk` says that makes the same shares of the same scores."""
    import torch

    shape = program.original[scores.operation].shape
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(*shape, generator=generator)
    last = max(each.operation for each in pair)
    correction = _correction(program, range(scores.operation + 1, last + 1))
    balance = torch.randn(shape[-1], generator=generator) if correction else None
    got = _run(program, scores, values, last, {correction: balance} if correction else {})
    shares, chosen = (got.get(each.operation) for each in pair)
    shares, chosen = (
        value[each.part] if isinstance(value, (list, tuple)) else value
        for value, each in zip((shares, chosen), pair, strict=True)
    )
    if shares is None or chosen is None or shares.shape != chosen.shape != (shape[0], top):
        return None
    spread = torch.zeros(shape).scatter(-1, chosen, shares.float())
    for arguments in _possible(program, shape, range(scores.operation + 1, last + 1), balance is not None):
        if (factor := _factor(values, spread, top, arguments, balance)) is not None:
            return (*arguments.items(), *([("factor", factor)] if factor != 1 else []))
    return None


def _run(program: Program, scores: Result, values: Any, last: int, given: dict[Any, Any]) -> dict[int, Any]:
    """What all operations give that follow from scores, in order, those in place as well."""
    found: dict[int, Any] = {scores.operation: values}
    for at in range(scores.operation + 1, last + 1):
        made = program.original[at]
        read = {}
        for operand in tensors([*made.arguments, *made.named.values()]):
            value = found.get(operand.operation) if isinstance(operand, Result) else given.get(operand)
            if isinstance(operand, Result) and isinstance(value, (list, tuple)):
                value = value[operand.part]
            read[operand] = program.constants.value(operand) if value is None else value
        if made.target is not None and all(value is not None for value in read.values()):
            try:
                found[at] = run(made, read)
            except (RuntimeError, TypeError, IndexError, ValueError):
                continue  # it isn't of the scores alone
    return found


def _possible(program: Program, shape: tuple[int, ...], inside: range, corrected: bool) -> Iterator[dict[str, Any]]:
    """What `topk` may say, by the sizes that are there."""
    sizes = {program.original[at].shape for at in inside}
    groups = {each[1] for each in sizes if len(each) == 3 and each[0] == shape[0] and prod(each) == prod(shape)}
    some: list[dict[str, Any]] = [{}]
    for count in sorted(groups):
        kept = {each[1] for each in sizes if len(each) == 2 and each[0] == shape[0] and each[1] <= count}
        some += [{"groups": count, "top_groups": some, "group_best": best} for some in sorted(kept) for best in (1, 2)]
    for more in some:
        for score in ("softmax", "sigmoid"):
            for renormalise in (False, True):
                said: dict[str, Any] = {"score": score} if score == "sigmoid" else {}
                said |= {"renormalise": True} if renormalise else {}
                yield said | ({"correction": True} if corrected else {}) | more


def _factor(values: Any, spread: Any, top: int, arguments: dict[str, Any], balance: Any) -> Any:
    """What shares are multiplied with to be those that were found; None if they are others."""
    from archcalc.layers import REGISTRY
    from archcalc.shape import Shape

    module: Any = REGISTRY["topk"](top=top, **arguments).torch_module(Shape(T=values.shape[0], C=values.shape[1]))
    if balance is not None:
        module.balance = balance
    expected = module(values)
    factor = float(f"{float(spread.sum() / expected.sum()):.6g}")
    same = bool(((expected * factor - spread).abs() <= CLOSE * factor).all())
    return (int(factor) if factor == int(factor) else factor) if same and factor > 0 else None


# --- what experts do --------------------------------------------------------------------------------------------------


def _replace(program: Program, last: Any, sent: Sorted, choice: Choice) -> bool:
    """Put operations in place of those that send tokens, and of products with the experts' matrices."""
    found: dict[int, Operation] = {}
    left, seen = [last], set[int]()
    while left:
        each = left.pop()
        if not isinstance(each, Result) or each.operation in seen:
            continue
        seen.add(each.operation)
        made = program.now[each.operation]
        if (product := _product(program, made, sent, choice)) is not None:
            found[each.operation] = product
            left.append(product.arguments[0])
        elif made.name.startswith("index.") and _goes(program, made.arguments[1], sent, choice.top):
            found[each.operation] = made.replaced("to_experts", made.arguments[0], choice.scores, choice)
        elif made.name.startswith("index."):
            return False
        else:
            left += [one for one in tensors([*made.arguments, *made.named.values()]) if program.depends(one)]
            if any(isinstance(one, Stored) for one in left):
                return False
    for number, made in found.items():
        program.now[number] = made
        if made.name == "expert_linear":
            _divide(program, number, made)
    return any(made.name == "to_experts" for made in found.values())


def _divide(program: Program, number: int, made: Operation) -> None:
    """Put a product for each part in place of one whose parts are all that is read."""
    x, weight, bias, choice = made.arguments
    readers = [at for at in range(number + 1, len(program.now)) if Result(number) in program.now[at].arguments]
    rows = {at: _parts(program.now[at], made.shape[-1]) for at in readers}
    if not all(rows.values()):
        return
    for at, parts in rows.items():
        own = [[each._replace(rows=(part,), axis=1) if each else None for each in (weight, bias)] for part in parts]
        program.now[at] = program.now[at].replaced("expert_linear", x, *own[0], choice, *own[1:])


def _parts(made: Operation, width: int) -> list[tuple[int, ...]]:
    """Which features an operation takes of the last dimension, for each tensor that it makes; none if it does else."""
    name = made.name.partition(".")[0]
    if name == "chunk" and argument(made, 2, "dim", 0) in (-1, 1) and width % made.arguments[1] == 0:
        size = width // made.arguments[1]
        return [(start, start + size) for start in range(0, width, size)]
    if name == "slice" and argument(made, 1, "dim", 0) in (-1, 1):
        start, stop, step = argument(made, 2, "start") or 0, argument(made, 3, "end"), argument(made, 4, "step", 1)
        return [(start, min(width, stop), step)] if start >= 0 and stop and stop > 0 else []
    return []


def _goes(program: Program, places: Any, sent: Sorted, top: int) -> bool:
    """Whether the tokens at these places are those of the copies in their order."""
    if len(places) != 1:
        return False
    divided = program.operation(places[0], "floor_divide", "div")
    if divided is None:
        return False
    rounded = divided.name.startswith("floor") or divided.named.get("rounding_mode") == "floor"
    return rounded and divided.arguments[0] == sent.order and divided.arguments[1] == top


def _product(program: Program, made: Operation, sent: Sorted, choice: Choice) -> Operation | None:
    """A product with the matrix of each expert, and its bias."""
    name = made.name.partition(".")[0]
    if name in ("add", "add_"):
        for one, other in (made.arguments[:2], made.arguments[1::-1]):
            inner = program.operation(one, *GROUPED)
            bias = _of_experts(program, other, sent)
            if inner is not None and bias is not None and (weight := _weight(program, inner, choice)) is not None:
                return made.replaced("expert_linear", inner.arguments[0], weight, bias, choice)
    if name in GROUPED and (weight := _weight(program, made, choice)) is not None:
        return made.replaced("expert_linear", made.arguments[0], weight, None, choice)
    return None


def _weight(program: Program, made: Operation, choice: Choice) -> Stored | None:
    """The matrices of a grouped product, with outputs as rows."""
    weight, turned = made.arguments[1], True
    other = program.operation(weight, "transpose", "mT")
    if other is not None and set(other.arguments[1:]) in (set(), {-2, -1}, {1, 2}):
        weight, turned = other.arguments[0], False
    if not isinstance(weight, Stored) or not weight.learned or weight.shape[0] != choice.experts:
        return None
    experts, rows, columns = weight.shape
    return weight._replace(shape=(experts, columns, rows), turned=True) if turned else weight


def _of_experts(program: Program, operand: Any, sent: Sorted) -> Stored | None:
    """What is learned of each expert, for each copy."""
    found = program.operation(operand, "index")
    if found is None or not isinstance(found.arguments[0], Stored) or len(found.arguments[1]) != 1:
        return None
    places = found.arguments[1][0]
    in_order = places == sent.order._replace(part=0) and program.original[sent.order.operation].name == "sort"
    return found.arguments[0] if in_order else None
