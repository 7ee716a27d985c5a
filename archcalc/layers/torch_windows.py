"""PyTorch modules for windows of maps; only `torch_module` methods import this file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it

from archcalc.layers.torch_tokens import by_head, displacements


def by_window(x: Tensor, window: Sequence[int], grid: bool) -> Tensor:
    """A map (N, C, H, W) as windows (N, windows, tokens, C), in memory as well."""
    sizes: list[int] = []
    for size, side in zip(x.shape[2:], window, strict=True):
        sizes += [side, size // side] if grid else [size // side, side]
    rank = len(window)
    first, second = range(2, 2 + 2 * rank, 2), range(3, 3 + 2 * rank, 2)
    windows, tokens = (second, first) if grid else (first, second)
    turned = x.reshape(*x.shape[:2], *sizes).permute(0, *windows, *tokens, 1)
    turned = turned.clone(memory_format=torch.contiguous_format)
    return turned.reshape(x.shape[0], -1, torch.Size(window).numel(), x.shape[1])


def as_map(x: Tensor, places: Sequence[int], window: Sequence[int], grid: bool) -> Tensor:
    """The inverse: windows (N, windows, tokens, C) as a map (N, C, H, W), in memory as well."""
    counts = [size // side for size, side in zip(places, window, strict=True)]
    rank = len(window)
    windows, tokens = range(1, 1 + rank), range(1 + rank, 1 + 2 * rank)
    pairs = zip(tokens, windows, strict=True) if grid else zip(windows, tokens, strict=True)
    order = [0, 1 + 2 * rank, *(axis for pair in pairs for axis in pair)]
    turned = x.reshape(x.shape[0], *counts, *window, x.shape[-1]).permute(order)
    return turned.clone(memory_format=torch.contiguous_format).reshape(x.shape[0], x.shape[-1], *places)


class WindowAttention(nn.Module):
    """Attention of the places in each window of a map (N, C, H, W) to each other: four projections around `core`.

    A map of `sizes` is padded with zeros to `places`, and rolled by `shifts`, if there are any. `biases` says whether
    all projections have one, and whether the one to keys has.
    """

    def __init__(
        self,
        channels: int,
        sizes: Sequence[int],
        places: Sequence[int],
        window: Sequence[int],
        shifts: Sequence[int] | None,
        grid: bool,
        heads: int,
        biases: tuple[bool, bool],
        core: nn.Module,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.grid, self.biases = channels, heads, grid, biases
        self.sizes, self.places, self.window = tuple(sizes), tuple(places), tuple(window)
        self.shifts = None if shifts is None else tuple(shifts)
        self.queries = nn.Linear(channels, channels, bias=biases[0])
        self.keys = nn.Linear(channels, channels, bias=biases[1])
        self.values = nn.Linear(channels, channels, bias=biases[0])
        self.mix = nn.Linear(channels, channels, bias=biases[0])
        self.core = core

    def forward(self, x: Tensor) -> Tensor:
        if self.places != self.sizes:
            pairs = zip(self.sizes, self.places, strict=True)
            x = F.pad(x, [amount for size, place in reversed([*pairs]) for amount in (0, place - size)])
        if self.shifts is not None:
            x = self.rolled(x, -1)
        x = by_window(x, self.window, self.grid)
        count = x.shape[1]
        x = x.flatten(0, 1)
        q, k, v = self.by_heads(self.queries(x)), self.by_heads(self.keys(x)), self.by_heads(self.values(x))
        del x
        x = self.mix(self.core(q, k, v))
        x = as_map(x.reshape(-1, count, *x.shape[1:]), self.places, self.window, self.grid)
        if self.shifts is not None:
            x = self.rolled(x, 1)
        if self.places != self.sizes:
            where: Any = (..., *map(slice, self.sizes))
            x = x[where].clone(memory_format=torch.contiguous_format)
        return x

    def by_heads(self, x: Tensor) -> Tensor:
        """The numbers of a token divided among heads."""
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def rolled(self, x: Tensor, way: int) -> Tensor:
        """The map rolled on or back, but along an axis that one window holds."""
        moves = [way * shift for shift in actual(self.shifts or (), self.window, self.places)]
        return x.roll(moves, [*range(2, 2 + len(moves))])


def actual(shifts: Sequence[int], window: Sequence[int], places: Sequence[int]) -> list[int]:
    """By how much a map is shifted along each axis: not at all where one window holds it."""
    sizes = zip(shifts, window, places, strict=True)
    return [shift if side < size else 0 for shift, side, size in sizes]


class WithinWindows(nn.Module):
    """Attention of queries (N·windows, T, heads, size) step by step: scores times `scale`, plus `positions`.

    Without a scale directions are compared, times a learned factor. With `shifts`, places of a rolled map that lay on
    different sides of its end don't see each other.
    """

    def __init__(
        self,
        heads: int,
        scale: float | None,
        positions: nn.Module | None,
        places: Sequence[int],
        window: Sequence[int],
        shifts: Sequence[int] | None,
    ) -> None:
        super().__init__()
        self.heads, self.scale, self.positions = heads, scale, positions
        self.places, self.window = tuple(places), tuple(window)
        self.shifts = None if shifts is None else tuple(shifts)
        self.factor = nn.Parameter(torch.full((heads, 1, 1), 10.0).log()) if scale is None else None

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tokens = q.shape[1]
        scores = self.compared(q, k)
        if self.positions is not None:
            scores = scores + self.positions(tokens, tokens)
        if self.shifts is not None:
            hidden = self.hidden(q.device)
            apart = scores.reshape(-1, len(hidden), *scores.shape[1:])
            scores = apart.masked_fill(hidden.unsqueeze(1), -float("inf")).flatten(0, 1)
            del apart, hidden
        scores = scores.softmax(-1)
        mixed = scores @ by_head(v)
        return mixed.transpose(1, 2).clone(memory_format=torch.contiguous_format).flatten(2)

    def compared(self, q: Tensor, k: Tensor) -> Tensor:
        """Products of queries and keys, or of their directions."""
        if self.factor is None:
            return by_head(q) @ by_head(k).transpose(-1, -2) * self.scale  # type: ignore[operator]
        scores = F.normalize(by_head(q), dim=-1) @ F.normalize(by_head(k), dim=-1).transpose(-1, -2)
        most = 4.605170185988092  # the logarithm of 100
        return scores * self.factor.clamp(max=most).exp()

    def hidden(self, device: torch.device) -> Tensor:
        """Which pairs of places don't see each other: (windows, T, T)."""
        parts = torch.tensor(self.parts(), device=device)
        return parts.unsqueeze(1) != parts.unsqueeze(2)

    def parts(self) -> list[list[int]]:
        """Of each window for each of its places a number that says on which sides of the map's ends it lay."""
        windows = [[0]]
        for size, side, shift in zip(self.places, self.window, self.actual(), strict=True):
            rows = [[int(place >= size - shift) for place in range(at, at + side)] for at in range(0, size, side)]
            windows = [[2 * a + b for a in first for b in row] for first in windows for row in rows]
        return windows

    def actual(self) -> list[int]:
        """By how much the map is rolled along each axis."""
        return actual(self.shifts or (), self.window, self.places)


class Continuous(nn.Module):
    """A number for each head and displacement between places of a window, made of the displacement by two matrices."""

    def __init__(self, sizes: Sequence[int], heads: int, hidden: int) -> None:
        super().__init__()
        self.sizes, self.heads, self.hidden = tuple(sizes), heads, hidden
        self.inner = nn.Linear(len(self.sizes), hidden)
        self.outer = nn.Linear(hidden, heads, bias=False)

    def forward(self, queries: int, keys: int) -> Tensor:
        weight = self.inner.weight
        made = self.inner(torch.tensor(self.logarithms(), dtype=weight.dtype, device=weight.device)).relu_()
        rows = 16 * self.outer(made).sigmoid()
        del made
        found = F.embedding(torch.tensor(displacements(self.sizes), device=weight.device), rows)
        return found.reshape(queries, keys, -1).permute(2, 0, 1)

    def logarithms(self) -> list[list[float]]:
        """Of each displacement along each axis: 8 of them at the window's end, their logarithm to base 8."""
        found: list[list[float]] = [[]]
        for size in self.sizes:
            places = [8 * place / max(size - 1, 1) for place in range(1 - size, size)]
            along = torch.tensor(places, dtype=torch.float64, device="cpu")
            logs = along.sign() * (along.abs() + 1).log2() / 3
            found = [[*row, value] for row in found for value in logs.tolist()]
        return found


class Windows(nn.Module):
    """A map (N, C, H, W) as windows (N, windows, tokens, C)."""

    def __init__(self, window: Sequence[int], grid: bool) -> None:
        super().__init__()
        self.window, self.grid = tuple(window), grid

    def forward(self, x: Tensor) -> Tensor:
        return by_window(x, self.window, self.grid)


class Unwindows(nn.Module):
    """Windows (N, windows, tokens, C) as a map (N, C, H, W) of these `places`."""

    def __init__(self, places: Sequence[int], window: Sequence[int], grid: bool) -> None:
        super().__init__()
        self.places, self.window, self.grid = tuple(places), tuple(window), grid

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return as_map(x, self.places, self.window, self.grid)


class Roll(nn.Module):
    """Positions along one axis moved on; what leaves at the end enters at the start."""

    def __init__(self, axis: int, shift: int) -> None:
        super().__init__()
        self.axis, self.shift = axis, shift

    def forward(self, x: Tensor) -> Tensor:
        return x.roll(self.shift, self.axis)
