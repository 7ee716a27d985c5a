"""Rotary positions, however they're spelled: what is linear in a tensor is tried out, and compared with a rotation."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2
from typing import TYPE_CHECKING, Any

from archcalc.importers.operations.exported import Operation
from archcalc.importers.operations.program import Program
from archcalc.importers.operations.views import Rotation

if TYPE_CHECKING:
    from torch import Tensor

LINEAR = (
    "add", "sub", "mul", "neg", "cat", "stack", "slice", "select", "chunk", "split", "split_with_sizes", "unbind",
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "transpose", "permute", "expand",
    "repeat_interleave", "view_as_complex", "view_as_real", "_conj", "cast", "index",
)  # fmt: skip
ENDS = ("add", "cat", "flatten", "view", "reshape", "stack")
LONGEST = 40
"""Operations in a rotation."""
DIGITS = 6
"""Of a base: tables of single precision say no more."""
CLOSE = 1e-4
"""How far tables of cosines may be from a rotation's: they are of single precision."""


def rotation(program: Program, number: int) -> Operation | None:
    """An operation that ends a rotation by positions, if it does."""
    made = program.original[number]
    if program.base_name(number) not in ENDS:
        return None
    last = None
    for base in program.bases(number, lambda each: each.name.partition(".")[0].rstrip("_") in LINEAR):
        cone = program.cone(number, base)
        if len(cone) > LONGEST:
            break
        if program.shape(base) != made.shape or len(made.shape) < 3 or not any(_turns(program, each) for each in cone):
            continue
        key = ("rotation", made.shape, program.written(cone, base))
        found = program.kept(key, lambda base=base: _found(program, number, base, made.shape))  # type: ignore[misc]
        last = made.replaced("rotation", base, *found) if found else last
    return last


def _turns(program: Program, number: int) -> bool:
    """Whether an operation multiplies with a table."""
    if program.base_name(number) != "mul":
        return False
    tables = (program.constants.value(each) for each in program.original[number].arguments[:2])
    return any(table is not None and table.dim() > 1 for table in tables)


def _found(program: Program, number: int, base: Any, shape: Sequence[int]) -> tuple[Rotation, int] | None:
    """The rotation that a linear operation is, and the dimension of tokens, which the tables vary in."""
    import torch

    def turned(x: Tensor) -> Tensor | None:
        try:
            found = program.values(number, base, x)
        except (RuntimeError, TypeError, IndexError, ValueError):
            return None
        return found if isinstance(found, torch.Tensor) and found.shape == x.shape else None

    for tokens in range(len(shape) - 2, 0, -1):
        if shape[tokens] < 2 or (found := _read(turned, shape, tokens)) is None:
            continue
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        got = turned(x)
        if got is not None and torch.allclose(got, _rotated(x, found, tokens), atol=CLOSE):
            return found, tokens
    return None


def _read(turned: Any, shape: Sequence[int], tokens: int) -> Rotation | None:
    """The numbers of a rotation: how many features it turns, in which pairs, and its base."""
    import torch

    def column(feature: int) -> Any:
        x = torch.zeros(*shape)
        x[..., feature] = 1
        found = turned(x)
        return None if found is None else found.movedim(tokens, 0)[1].reshape(-1, shape[-1])[0]

    ones = turned(torch.ones(*shape))
    first, second = column(0), column(1)
    if ones is None or first is None or second is None:
        return None
    at = [place for place in range(1, shape[-1]) if abs(float(first[place])) > CLOSE]
    if len(at) != 1:
        return None
    size = int((ones.movedim(tokens, 0)[-1].reshape(-1, shape[-1])[0] != 1).sum())
    neighbours = at[0] == 1
    permuted = abs(float(second[0])) > CLOSE and not neighbours
    if size < 4 or not (neighbours or at[0] == size // 2):
        return None
    last = size - 2 if neighbours or permuted else size // 2 - 1
    angle = column(last)
    theta = atan2(float(angle[size - 1]), float(angle[last if neighbours else size // 2 - 1]))
    if theta <= 0:
        return None
    base = float(f"{theta ** (-size / (size - 2)):.{DIGITS}g}")
    return Rotation(int(base) if base == int(base) else base, size, neighbours or permuted, permuted)


def _rotated(x: Tensor, rotation: Rotation, tokens: int) -> Tensor:
    """A tensor with its features turned by the positions along a dimension."""
    import torch

    size = rotation.size
    rates = rotation.base ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.arange(x.shape[tokens])[:, None] * rates
    shape = [x.shape[tokens] if place == tokens else 1 for place in range(x.dim() - 1)]
    cosines, sines = (table.float().reshape(*shape, size // 2) for table in (angles.cos(), angles.sin()))
    some, rest = x[..., :size], x[..., size:]
    one, other = (some[..., ::2], some[..., 1::2]) if rotation.interleaved else some.chunk(2, -1)
    pair = one * cosines - other * sines, other * cosines + one * sines
    done = torch.stack(pair, -1).flatten(-2) if rotation.interleaved and not rotation.permuted else torch.cat(pair, -1)
    return torch.cat([done, rest], -1)
