"""Products of two volumes as matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from archcalc.importers.operations.lifting import TOKENS, Lifter, Unknown
from archcalc.importers.operations.views import BATCH, TensorView


def product(lifter: Lifter, one: TensorView, other: TensorView) -> TensorView:
    """The layer that multiplies (…, M, K) with (…, K, N).

    Raises: Unknown: the batch isn't ahead, or the dimensions ahead of the matrices differ.
    """
    if min(len(one.dims), len(other.dims)) < 2:
        raise Unknown("a product with a vector")
    one, other = (each.without_copies() if BATCH not in _axes(each.dims[-2:]) else each for each in (one, other))
    rank = max(len(one.dims), len(other.dims))
    one, other = (each._replace(dims=((),) * (rank - len(each.dims)) + each.dims) for each in (one, other))
    regions = [prod(sizes) for sizes in (_regions(each) for each in (one, other))]
    if regions[0] != regions[1]:
        raise Unknown("a product of matrices whose regions differ")
    sizes = tuple(map(max, one.sizes()[:-2], other.sizes()[:-2]))
    names = TOKENS if regions[0] > 1 else TOKENS[1:]
    left = lifter.volume(_as_matrices(one, regions[0] > 1), names)
    options = [_as_matrices(each, regions[0] > 1) for each in (other, other.transposed(-1, -2))]
    turned = lifter.distance(options[1], names) < lifter.distance(options[0], names)
    right = lifter.volume(options[turned], names)
    made = lifter.plain(lifter.add("matmul", [left, right], other="", transpose=turned))
    found = made.reshaped((*sizes, one.sizes()[-2], other.sizes()[-1]))
    assert found is not None  # its axes are these, or several of these
    return found


def _axes(dims: Sequence[Any]) -> set[str]:
    return {factor.axis for dim in dims for factor in dim}


def _regions(view: TensorView) -> list[int]:
    return [factor.size for dim in view.dims[:-2] for factor in dim if factor.axis != BATCH]


def _as_matrices(view: TensorView, regions: bool) -> TensorView:
    """What is ahead of the last two dimensions, in one: beside the batch, as regions."""
    ahead = [factor for dim in view.dims[:-2] for factor in dim]
    batch = tuple(factor for factor in ahead[:1] if factor.axis == BATCH)
    around = (tuple(ahead[len(batch) :]),) if regions else ()
    return view._replace(dims=(batch, *around, *view.dims[-2:]))
