"""What programs add to scores: masks, and learned numbers for positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

from archcalc.importers.operations.drawn import Drawn, drawn_of
from archcalc.importers.operations.exported import Stored
from archcalc.importers.operations.lifting import Lifter

HIDDEN = -99.0
"""What hides a key if it's added to its score: e to the power of that is less than a float's rounding."""


class Around(NamedTuple):
    """The dimensions of scores: sizes ahead of queries and keys, and what they are, the batch apart; how many of each.

    Regions and heads are said in their order, each at most once.
    """

    batch: int
    ahead: tuple[int, ...]
    kinds: tuple[tuple[str, int], ...]
    ends: tuple[int, int]


class Added(NamedTuple):
    """What is added to scores, as attention's arguments, and what it holds for that; a mask for each region is left."""

    arguments: dict[str, Any]
    stored: tuple[Stored, ...] = ()
    regions: Any = None


def added_to(added: Sequence[Any], around: Around) -> Added | None:
    """What is added to scores of such dimensions, in attention's words; None if it has none for that."""
    constants = [each for each in added if not isinstance(each, Drawn)]
    tables = [each for each in added if isinstance(each, Drawn)]
    masked = _masked(constants, around)
    if masked is None or len(tables) > 1:
        return None
    if not tables:
        return masked
    found = _table(tables[0], around)
    if found is None or masked.arguments.get("causal"):
        return None
    return masked._replace(arguments={**masked.arguments, **found[0]}, stored=(found[1],))


def regrouped(value: Any, before: Sequence[int], after: Sequence[int]) -> Any:
    """What is added to a tensor of one shape, for that under another shape; what is stretched stays so."""
    value = value.reshape((1,) * (len(before) - value.dim()) + tuple(value.shape))
    full, made, one, other = list[int](), list[int](), 0, 0
    while one < len(before) or other < len(after):
        start, begin, sizes = one, other, [1, 1]
        while sizes[0] != sizes[1] or (one, other) == (start, begin):
            ahead = sizes[0] <= sizes[1] and one < len(before)
            sizes = [sizes[0] * before[one], sizes[1]] if ahead else [sizes[0], sizes[1] * after[other]]
            one, other = (one + 1, other) if ahead else (one, other + 1)
        stretched = all(size == 1 for size in value.shape[start:one])
        full += value.shape[start:one] if stretched else before[start:one]
        made += [1] * (other - begin) if stretched else after[begin:other]
    return value.expand(full).reshape(made)


def _whole(value: Any, around: Around) -> Any:
    """A tensor as (regions, heads, T, S), each of them or 1; None if it isn't the same for all examples."""
    kinds = [kind for kind, _ in around.kinds]
    value = value.reshape((1,) * (2 - value.dim()) + tuple(value.shape))
    value = value.expand(*value.shape[:-2], *around.ends)
    ahead = [size for _, size in around.kinds]
    value = regrouped(value, (*around.ahead, *around.ends), (around.batch, *ahead, *around.ends))
    if not bool((value == value[:1]).all()):
        return None
    value = value[0]
    if kinds == ["heads", "regions"]:
        value = value.transpose(0, 1)
    for place, kind in enumerate(("regions", "heads")):
        value = value if kind in kinds else value.unsqueeze(place)
    return value


def _masked(constants: Sequence[Any], around: Around) -> Added | None:
    """What masks say: which keys a query sees."""
    import torch

    allowed = torch.ones(1, 1, *around.ends, dtype=torch.bool, device="cpu")
    for each in constants:
        value = _whole(each, around)
        if value is None or not bool(((value == 0) | (value <= HIDDEN)).all()):
            return None
        allowed = allowed & (value == 0)
    if bool(allowed.all()):
        return Added({"causal": False})
    if not bool((allowed == allowed[:1, :1]).all()):
        return Added({"causal": False}, regions=allowed[:, 0]) if bool((allowed == allowed[:, :1]).all()) else None
    return _seen(allowed[0, 0])


def _seen(allowed: Any) -> Added | None:
    """A mask for queries and keys: of those after a query, or outside of a window."""
    import torch

    window = int(allowed[-1].sum())
    seen = torch.ones_like(allowed).tril() & torch.ones_like(allowed).triu(1 - window)
    if bool((seen == allowed).all()):
        return Added({"causal": True, **({"window": window} if window < allowed.shape[1] else {})})
    window = int(allowed[0].sum())
    seen = torch.ones_like(allowed).tril(window - 1) & torch.ones_like(allowed).triu(1 - window)
    return Added({"causal": False, "window": window}) if bool((seen == allowed).all()) else None


def added_by(lifter: Lifter, operand: Any) -> tuple[Any, ...] | None:
    """What may be added to scores: constants, and learned numbers by their places."""
    if (constant := lifter.constant(operand)) is not None:
        return (constant,)
    if (added := lifter.pending(operand, "bias")) is not None:
        return added  # type: ignore[no-any-return]
    drawn = drawn_of(lifter, operand)
    return None if drawn is None else (drawn,)


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(drawn: Drawn, around: Around) -> tuple[dict[str, Any], Stored] | None:
    """A table of displacements between places of a grid, if that is what numbers are drawn from."""
    heads, (tokens, others) = dict(around.kinds).get("heads", 1), around.ends
    places = _whole(drawn.places, around)
    if places is None or places.shape[:2] != (1, heads) or tokens != others:
        return None
    for cls in (False, True):
        for grid in _grids(tokens - cls):
            count = prod(2 * side - 1 for side in grid) + 3 * cls
            if count * heads == prod(drawn.stored.shape):
                order = _order(places[0], grid, cls, count * heads)
                if order is not None:
                    stored = (
                        drawn.stored if order == tuple(range(count * heads)) else drawn.stored._replace(places=order)
                    )
                    relative: dict[str, Any] = {"relative": grid}
                    return {**relative, **({"relative_cls": True} if cls else {})}, stored
    return None


def _grids(places: int) -> Iterator[tuple[int, ...]]:
    """Sizes of maps, and of volumes, that have so many places; squares first."""
    sides = [each for each in range(1, places + 1) if places % each == 0]
    pairs = [(side, places // side) for side in sides]
    yield from sorted(pairs, key=lambda pair: abs(pair[0] - pair[1]))
    yield from ((one, other, places // one // other) for one in sides for other in sides if places % (one * other) == 0)


def _order(places: Any, grid: tuple[int, ...], cls: bool, count: int) -> tuple[int, ...] | None:
    """Where in the parameter our table's numbers are; None if other places have numbers in common."""
    import torch

    from archcalc.layers.torch_tokens import displacements

    heads, tokens = places.shape[:2]
    rows = torch.tensor(displacements(grid, cls)).reshape(1, tokens, tokens)
    ours = rows * heads + torch.arange(heads).reshape(-1, 1, 1)
    order = torch.full((count,), -1)
    order[ours.flatten()] = places.flatten()
    same = bool((order[ours] == places).all()) and bool((order >= 0).all()) and len({*order.tolist()}) == count
    return tuple(order.tolist()) if same else None
