"""PyTorch modules for tokens; only `torch_module` methods import this file."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it


class Attention(nn.Module):
    """Multi-head attention to `kv`, or to the input itself: four projections around `core`, which attends.

    `biases` says of all projections, or of each, whether it has one: for queries, keys, values and output.
    Norms of queries and keys are of each head by itself, or, if `whole`, of all of them together.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        source: int,
        biases: bool | Sequence[bool],
        core: nn.Module,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        value_dim: int | None = None,
        out: int | None = None,
        query_norm: nn.Module | None = None,
        key_norm: nn.Module | None = None,
        whole: bool = False,
        rotary: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.source, self.biases = channels, heads, source, biases
        self.kv_heads, self.head_dim, self.value_dim, self.out, self.whole = kv_heads, head_dim, value_dim, out, whole
        groups, size = kv_heads or heads, head_dim or channels // heads
        width = value_dim or size
        own = (biases,) * 4 if isinstance(biases, bool) else biases
        self.queries = nn.Linear(channels, heads * size, bias=own[0])
        self.keys = nn.Linear(source, groups * size, bias=own[1])
        self.values = nn.Linear(source, groups * width, bias=own[2])
        self.mix = nn.Linear(heads * width, out or channels, bias=own[3])
        self.query_norm, self.key_norm, self.rotary, self.core = query_norm, key_norm, rotary, core

    def forward(self, x: Tensor, kv: Tensor | None = None) -> Tensor:
        source, groups = x if kv is None else kv, self.kv_heads or self.heads
        q = self.normalised(self.queries(x), self.heads, self.query_norm)
        k = self.normalised(self.keys(source), groups, self.key_norm)
        if self.rotary is not None:
            q, k = self.rotary(q, k)
        v = self.normalised(self.values(source), groups, None)
        return self.mix(self.core(q, k, v))  # type: ignore[no-any-return]

    def normalised(self, x: Tensor, heads: int, norm: nn.Module | None) -> Tensor:
        """The numbers of a token divided among heads, and normalised before or after, if there is a norm."""
        if norm is not None and self.whole:
            x = norm(x)
        x = x.reshape(*x.shape[:2], heads, -1)
        return x if norm is None or self.whole else norm(x)


class LatentAttention(nn.Module):
    """Multi-head latent attention: what `norm` makes of the latent is expanded to keys and values of all heads.

    With `query_norm` queries are made of a latent, too, of as many numbers as it has.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        rank: int,
        head: int,
        value: int,
        norm: nn.Module,
        query_norm: nn.RMSNorm | None,
        rotary: Rotary,
        core: nn.Module,
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.rank, self.head, self.value = channels, heads, rank, head, value
        narrow = None if query_norm is None else query_norm.normalized_shape[0]
        self.narrow = None if narrow is None else nn.Linear(channels, narrow, bias=False)
        self.query_norm = query_norm
        self.queries = nn.Linear(narrow or channels, heads * (head + rotary.size), bias=False)
        self.compress = nn.Linear(channels, rank + rotary.size, bias=False)
        self.norm = norm
        self.expand = nn.Linear(rank, heads * (head + value), bias=False)
        self.mix = nn.Linear(heads * value, channels, bias=False)
        self.rotary, self.core = rotary, core

    def forward(self, x: Tensor) -> Tensor:
        q = self.asked(x).reshape(*x.shape[:2], self.heads, -1)
        latent = self.compress(x)
        kv = self.expand(self.norm(latent[..., : self.rank])).reshape(*x.shape[:2], self.heads, -1)
        q, turned = self.rotary(q, latent[..., self.rank :].unsqueeze(2))
        k = torch.cat((kv[..., : self.head], turned.expand(-1, -1, self.heads, -1)), -1)
        return self.mix(self.core(q, k, kv[..., self.head :]))  # type: ignore[no-any-return]

    def asked(self, x: Tensor) -> Tensor:
        """The queries of all heads, side by side."""
        if self.narrow is None or self.query_norm is None:
            return self.queries(x)  # type: ignore[no-any-return]
        return self.queries(self.query_norm(self.narrow(x)))  # type: ignore[no-any-return]


class Heads(nn.Module):
    """Attention of queries to keys and values whose features are divided among heads, by `core`."""

    def __init__(self, heads: int, kv_heads: int, core: nn.Module) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.core = heads, kv_heads, core

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        counts = (self.heads, self.kv_heads, self.kv_heads)
        q, k, v = (x.reshape(*x.shape[:2], n, -1) for x, n in zip((q, k, v), counts, strict=True))
        return self.core(q, k, v)  # type: ignore[no-any-return]


class Product(nn.Module):
    """The product of two matrices, or of a vector with one."""

    def __init__(self, vector: bool, transpose: bool) -> None:
        super().__init__()
        self.vector, self.transpose = vector, transpose

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        other = other.transpose(-1, -2) if self.transpose else other
        return (x.unsqueeze(-2) @ other).squeeze(-2) if self.vector else x @ other


class Fused(nn.Module):
    """Attention of queries (N, T, heads, size) to keys and values by one kernel, which keeps no probabilities."""

    def __init__(
        self, causal: bool, window: int | None = None, alibi: int | None = None, scale: float | None = None
    ) -> None:
        super().__init__()
        self.causal, self.window, self.alibi, self.scale = causal, window, alibi, scale

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = None
        if self.window or self.alibi:
            mask = distances(q, k.shape[1], self.causal, self.window, self.alibi).unsqueeze(0)
        mixed = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask,
            is_causal=self.causal and mask is None,
            scale=self.scale,
            enable_gqa=q.shape[2] != k.shape[2],
        )
        return mixed.transpose(1, 2).flatten(2)


class Stepwise(nn.Module):
    """Attention step by step, for what fused kernels don't do with scores: caps, sinks, learned biases."""

    def __init__(
        self,
        heads: int,
        causal: bool,
        scale: float,
        window: int | None = None,
        alibi: int | None = None,
        softcap: float | None = None,
        sinks: bool = False,
        positions: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.heads, self.causal, self.window, self.alibi = heads, causal, window, alibi
        self.scale, self.softcap, self.sinks, self.positions = scale, softcap, sinks, positions
        self.sink = nn.Parameter(torch.zeros(heads)) if sinks else None

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        queries, keys, shared = q.shape[1], k.shape[1], q.shape[2] // k.shape[2]
        scores = by_head(q) @ by_head(k, shared).transpose(-1, -2)
        scores = scores * self.scale
        if self.softcap is not None:
            scores = (scores / self.softcap).tanh() * self.softcap
        if self.positions is not None:
            scores = scores + self.positions(queries, keys)
        if self.causal or self.window or self.alibi:
            scores = scores + distances(q, keys, self.causal, self.window, self.alibi)
        if self.sink is not None:
            sinks = self.sink.reshape(-1, 1, 1).expand(len(q), -1, queries, 1)
            scores = torch.cat((scores, sinks), -1)
        scores = scores.softmax(-1)
        mixed = scores[..., :keys] @ by_head(v, shared)
        return mixed.transpose(1, 2).clone(memory_format=torch.contiguous_format).flatten(2)


def by_head(x: Tensor, times: int = 1) -> Tensor:
    """The heads in front of the tokens, in memory as well; each so many times."""
    heads = x.transpose(1, 2)
    if times > 1:
        return heads.repeat_interleave(times, 1)
    return heads.clone(memory_format=torch.contiguous_format)


def distances(q: Tensor, keys: int, causal: bool, window: int | None, alibi: int | None) -> Tensor:
    """What is added to the scores, (heads or 1, queries, keys): ALiBi's slopes, -inf where a key isn't seen."""
    rows = []
    for slope in slopes(alibi) if alibi else [0.0]:
        offsets = range(1 - q.shape[1], keys)
        seen = [not (causal and o > 0) and (window is None or abs(o) < window) for o in offsets]
        rows.append([-slope * abs(o) if sees else -float("inf") for o, sees in zip(offsets, seen, strict=True)])
    return by_offset(torch.tensor(rows, dtype=q.dtype, device=q.device), keys)


def by_offset(rows: Tensor, keys: int) -> Tensor:
    """Rows of numbers for each distance of a key from a query, from the least, as tables: (rows, queries, keys)."""
    return rows.unfold(1, keys, 1).flip(1)


def slopes(heads: int) -> list[float]:
    """ALiBi's: those of the next power of 2 below; then every other one of twice as many heads."""
    even = 1 << (heads.bit_length() - 1)
    first = [2.0 ** (-8 * (i + 1) / even) for i in range(even)]
    return first + [2.0 ** (-4 * (i + 1) / even) for i in range(0, 2 * even, 2)][: heads - even]


class Buckets(nn.Module):
    """A learned number for each head and bucket of distances: near ones alone, far ones by their logarithm."""

    def __init__(self, buckets: int, heads: int, max_distance: int, causal: bool) -> None:
        super().__init__()
        self.buckets, self.heads, self.max_distance, self.causal = buckets, heads, max_distance, causal
        self.table = nn.Embedding(buckets, heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        found = [self.bucket(offset) for offset in range(1 - queries, keys)]
        rows = self.table(torch.tensor(found, device=self.table.weight.device))
        return by_offset(rows.T, keys)

    def bucket(self, offset: int) -> int:
        """The bucket of keys so far after the query."""
        half = self.buckets if self.causal else self.buckets // 2
        start = half if offset > 0 and not self.causal else 0
        away, exact = max(-offset, 0) if self.causal else abs(offset), half // 2
        if away < exact:
            return start + away
        steps, found = half - exact, 0  # the most for which (max_distance / exact) ** (found / steps) is reached
        while found + 1 < steps and self.max_distance ** (found + 1) * exact**steps <= away**steps * exact ** (
            found + 1
        ):
            found += 1
        return start + exact + found


class Displacements(nn.Module):
    """A learned number for each head and displacement between two places of a grid, whose places are the tokens.

    With `cls` a class token is in front of them, with three numbers: for what it sees, what sees it, and itself.
    """

    def __init__(self, sizes: Sequence[int], heads: int, cls: bool = False) -> None:
        super().__init__()
        self.sizes, self.heads, self.cls = tuple(sizes), heads, cls
        count = 1
        for size in sizes:
            count *= 2 * size - 1
        self.table = nn.Embedding(count + 3 * cls, heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        rows: Tensor = self.table(torch.tensor(displacements(self.sizes, self.cls), device=self.table.weight.device))
        return rows.reshape(queries, keys, -1).permute(2, 0, 1)


def displacements(sizes: Sequence[int], cls: bool = False) -> list[int]:
    """For each two places of a grid the number of their displacement, 0 for the one that is least along each axis.

    A class token has the three numbers after those of displacements.
    """
    numbers = [0]
    for size in sizes:  # of a place, such that the difference of two places has a number of its own
        numbers = [number * (2 * size - 1) + place for number in numbers for place in range(size)]
    if not cls:
        return [q - k + numbers[-1] for q in numbers for k in numbers]
    count = 2 * numbers[-1] + 1
    rows = [[count + 1, *(q - k + numbers[-1] for k in numbers)] for q in numbers]
    return [count + 2, *[count] * len(numbers), *(number for row in rows for number in row)]


class Rotary(nn.Module):
    """Turn the first `size` numbers of queries and keys (N, T, heads, …) by angles that grow with their position.

    Pairs are turned: each number of the first half with its partner in the second or, `interleaved`, neighbours.
    `last`: the last `size` numbers.
    """

    def __init__(self, size: int, base: float, interleaved: bool = False, last: bool = False) -> None:
        super().__init__()
        self.size, self.base, self.interleaved, self.last = size, base, interleaved, last

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self.table(max(q.shape[1], k.shape[1]), q)
        return self.turned(q, cos, sin), self.turned(k, cos, sin)

    def table(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, computed in float32 at least."""
        wide = torch.promote_types(like.dtype, torch.float32)
        powers = torch.arange(0, self.size, 2, dtype=wide, device=like.device) / self.size
        places = torch.arange(length, dtype=wide, device=like.device)
        angles = torch.outer(places, 1.0 / self.base**powers)
        angles = self.joined(angles, angles).unsqueeze(1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)

    def turned(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """The numbers, those in pairs turned."""
        length, others = x.shape[1], x.shape[-1] - self.size
        middle = others if self.last else self.size
        rest, turned = (x[..., :middle], x[..., middle:]) if self.last else (x[..., middle:], x[..., :middle])
        first, second = (turned[..., ::2], turned[..., 1::2]) if self.interleaved else turned.chunk(2, -1)
        turned = turned * cos[:length] + self.joined(-second, first) * sin[:length]
        return torch.cat((rest, turned) if self.last else (turned, rest), -1) if others else turned

    def joined(self, first: Tensor, second: Tensor) -> Tensor:
        """The numbers of pairs in their places."""
        return torch.stack((first, second), -1).flatten(-2) if self.interleaved else torch.cat((first, second), -1)


class PositionEmbedding(nn.Module):
    """Add a learned vector to each token."""

    def __init__(self, positions: int, channels: int) -> None:
        super().__init__()
        self.positions, self.channels = positions, channels
        self.weight = nn.Parameter(torch.randn(positions, channels) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[: x.shape[-2]]


class Sinusoids(nn.Module):
    """Add sines and cosines of each token's place, ever slower ones, to pairs of features. Vaswani et al. 2017, 3.5."""

    def __init__(self, positions: int, channels: int) -> None:
        super().__init__()
        self.positions, self.channels = positions, channels
        slower = 10000 ** (-torch.arange(0, channels, 2) / channels)
        angles = torch.arange(positions).unsqueeze(1) * slower
        table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :channels]
        self.register_buffer("table", table.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[: x.shape[-2]]  # type: ignore[index]  # a buffer


class ClassToken(nn.Module):
    """Put a learned token in front."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.weight.expand(*x.shape[:-2], 1, -1), x], dim=-2)
