"""PyTorch modules for tokens; only `torch_module` methods import this file."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it


class Attention(nn.Module):
    """Multi-head attention to `kv`, or to the input itself."""

    def __init__(self, channels: int, heads: int, source: int, bias: bool, causal: bool) -> None:
        super().__init__()
        self.channels, self.heads, self.source, self.bias, self.causal = channels, heads, source, bias, causal
        self.queries = nn.Linear(channels, channels, bias=bias)
        self.keys = nn.Linear(source, channels, bias=bias)
        self.values = nn.Linear(source, channels, bias=bias)
        self.mix = nn.Linear(channels, channels, bias=bias)

    def forward(self, x: Tensor, kv: Tensor | None = None) -> Tensor:
        source = x if kv is None else kv
        q, k, v = self.queries(x), self.keys(source), self.values(source)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (q, k, v))
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.mix(heads.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class PositionEmbedding(nn.Module):
    """Add a learned vector to each token."""

    def __init__(self, positions: int, channels: int) -> None:
        super().__init__()
        self.positions, self.channels = positions, channels
        self.weight = nn.Parameter(torch.randn(positions, channels) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[: x.shape[-2]]


class ClassToken(nn.Module):
    """Put a learned token in front."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.weight.expand(*x.shape[:-2], 1, -1), x], dim=-2)
