"""Which axes of a volume the dimensions of a tensor are.

A tensor is a volume that some layer made, seen through transpositions, views and parts. Each of its dimensions is a row
of *factors*, from the outermost to the innermost; a factor is a stretch of a volume's axis. A reshape takes factors
apart and puts them together, so that heads of attention are known as parts of C, and positions of a map as H and W,
however a program got there.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from archcalc.shape import Shape
from archcalc.symbolic import Dim, known

BATCH = "N"
COPIES = "copies"
"""What stands for an axis where the same values are there several times."""


class Factor(NamedTuple):
    """`size` steps of `stride` positions along an axis."""

    axis: str
    stride: int
    size: int


Dimension = tuple[Factor, ...]


class Rotation(NamedTuple):
    """How features are turned by their token's position: the first `size` of each head, in pairs.

    Pairs are of a feature in the first half and one in the second, or of neighbours; after the latter features may be
    `permuted`, the first ones of pairs ahead of the others.
    """

    base: float
    size: int
    interleaved: bool = False
    permuted: bool = False


class Norm(NamedTuple):
    """A norm of the features of each head: its kind, what is learned, its arguments."""

    kind: str
    stored: tuple[Any, ...]
    arguments: tuple[tuple[str, Any], ...]


class TensorView(NamedTuple):
    """A volume, by the number of the step that made it (or ~k for the k-th input), as a tensor with these dimensions.

    `starts` says where a part of an axis begins; `norm` is how features were normalised that aren't all of C, and
    `rope` how they were turned then, if they were; both become layers only where what isn't attention reads them.
    """

    step: int
    dims: tuple[Dimension, ...]
    starts: tuple[tuple[str, int], ...] = ()
    rope: Rotation | None = None
    norm: Norm | None = None

    def sizes(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(prod(factor.size for factor in dim) for dim in self.dims)

    def is_all_of(self, plain: TensorView) -> bool:
        """Whether its dimensions are those of a whole volume, or stretches of them, in some order."""
        one, other = (
            joined(sorted((f for dim in view.dims for f in dim), key=lambda f: (f.axis, -f.stride)))
            for view in (self, plain)
        )
        return not self.starts and one == other

    def overlaps(self, other: TensorView) -> bool:
        """Whether it and another view of the same volume may share values."""
        return all(
            one[0] < two[1] and two[0] < one[1]
            for axis in dict(self.starts + other.starts)
            for one, two in [(self._stretch(axis), other._stretch(axis))]
        )

    def _stretch(self, axis: str) -> tuple[int, int]:
        start = dict(self.starts).get(axis, 0)
        return start, start + 1 + sum((f.size - 1) * f.stride for dim in self.dims for f in dim if f.axis == axis)

    def permuted(self, order: Sequence[int]) -> TensorView:
        """The same with its dimensions in another order."""
        return self._replace(dims=tuple(self.dims[number] for number in order))

    def transposed(self, one: int, other: int) -> TensorView:
        """The same with two dimensions exchanged."""
        order = list(range(len(self.dims)))
        order[one], order[other] = order[other], order[one]
        return self.permuted(order)

    def reshaped(self, shape: Sequence[int]) -> TensorView | None:
        """The same values under another shape; None if factors don't divide so."""
        factors, dims = [factor for dim in self.dims for factor in dim if factor.size != 1], []
        for size in shape:
            dim: list[Factor] = []
            while size != 1:
                if not factors:
                    return None
                factor = factors.pop(0)
                if size % factor.size == 0:
                    dim.append(factor)
                    size //= factor.size
                elif factor.size % size == 0:
                    inner = factor.size // size
                    dim.append(factor._replace(stride=factor.stride * inner, size=size))
                    factors.insert(0, factor._replace(size=inner))
                    size = 1
                else:
                    return None
            dims.append(joined(dim))
        return None if factors else self._replace(dims=tuple(dims))

    def expanded(self, shape: Sequence[int]) -> TensorView:
        """The same with dimensions of size 1 copied."""
        dims = (
            dim if size == 1 or dim else (Factor(COPIES, 0, size),) for dim, size in zip(self.dims, shape, strict=True)
        )
        return self._replace(dims=tuple(dims))

    def without_copies(self) -> TensorView:
        """The same as before it was copied along dimensions of size 1: what a merge does by itself."""
        return self._replace(dims=tuple(() if dim and dim[0].axis == COPIES else dim for dim in self.dims))

    def part(self, dim: int, start: int, size: int) -> TensorView | None:
        """Some positions along a dimension; None if they aren't a part of one axis."""
        if len(self.dims[dim]) != 1:
            return None
        (factor,) = self.dims[dim]
        found = self._replace(dims=(*self.dims[:dim], (factor._replace(size=size),), *self.dims[dim + 1 :]))
        return found.moved(factor.axis, start * factor.stride)

    def without(self, dim: int) -> TensorView:
        """The same without a dimension."""
        return self._replace(dims=(*self.dims[:dim], *self.dims[dim + 1 :]))

    def moved(self, axis: str, by: int) -> TensorView:
        """The same from a later place of an axis on."""
        starts = dict(self.starts)
        starts[axis] = starts.get(axis, 0) + by
        return self._replace(starts=tuple(sorted((name, start) for name, start in starts.items() if start)))


def joined(factors: Sequence[Factor]) -> Dimension:
    """Factors of one dimension, with neighbours together that are one stretch, and none of size 1."""
    found: list[Factor] = []
    for factor in factors:
        if found and found[-1].axis == factor.axis and found[-1].stride == factor.stride * factor.size:
            found[-1] = factor._replace(size=found[-1].size * factor.size)
        elif factor.size != 1:
            found.append(factor)
    return tuple(found)


def stretch(dim: Dimension, stride: int, size: int) -> Dimension | None:
    """So many positions of a dimension, with so many between one and the next; None if its factors don't divide so."""
    found: list[Factor] = []
    inner, left = 1, size
    for factor in reversed(dim):
        skipped = max(1, stride // inner)
        if stride % inner and inner % stride:
            return None
        if factor.size % skipped or left == 1:
            if skipped % factor.size or left == 1:
                return None if left != 1 else joined(found[::-1])
            inner *= factor.size
            continue
        taken = min(factor.size // skipped, left)
        if left % taken or (factor.size // skipped) % taken:
            return None
        if taken > 1:
            found.append(factor._replace(stride=factor.stride * skipped, size=taken))
        left //= taken
        inner *= factor.size
    return joined(found[::-1]) if left == 1 else None


def whole(axis: str, size: Dim) -> Dimension:
    """A dimension that is one axis."""
    return (Factor(axis, 1, known(size)),) if size != 1 else ()


def of_volume(step: int, shape: Shape, batch: int) -> TensorView:
    """A volume as PyTorch has it: the batch, then its axes in their order."""
    return TensorView(step, (whole(BATCH, batch), *(whole(axis, size) for axis, size in shape.items())))
