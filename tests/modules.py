"""Modules as people write them, to be imported."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Sample(NamedTuple):
    """A module and the sizes of what enters it, without the batch; a number of tokens."""

    build: Callable[[], nn.Module]
    sizes: tuple[tuple[int, ...] | int, ...] = ((3, 16, 16),)


class Residual(nn.Module):
    """A residual block, with a projection where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.plain = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + (x if self.plain else self.down(x)))


class ResNet(nn.Module):
    """Three stages of residual blocks."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        for stage, width in enumerate((8, 16, 32)):
            first = Residual(8 if stage == 0 else width // 2, width, 1 if stage == 0 else 2)
            self.add_module(f"stage{stage}", nn.Sequential(first, *(Residual(width, width) for _ in range(depth - 1))))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage2(self.stage1(self.stage0(self.stem(x))))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class Mixed(nn.Module):
    """Branches of several sorts: joined, gated, and one that forks again."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 1)
        self.two = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1))
        self.fork = nn.Conv2d(3, 4, 1)
        self.left, self.right = nn.Conv2d(4, 5, (1, 3), padding=(0, 1)), nn.Conv2d(4, 5, (3, 1), padding=(1, 0))
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(20, 5, 1), nn.ReLU(), nn.Conv2d(5, 20, 1))

    def forward(self, x: Tensor) -> Tensor:
        fork = self.fork(x)
        y = torch.cat([self.one(x), self.two(x), torch.cat([self.left(fork), self.right(fork)], 1)], 1)
        return torch.sigmoid(self.squeeze(y)) * y


class Shuffled(nn.Module):
    """Halves of channels, one of them convolved depthwise, shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.stem(x).chunk(2, 1)
        y = torch.cat([left, self.depthwise(right)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class UNet(nn.Module):
    """Skips from far away, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.bottom = nn.Conv2d(8, 8, 3, padding=1)
        self.up2, self.up1 = nn.ConvTranspose2d(8, 8, 2, 2), nn.ConvTranspose2d(16, 4, 2, 2)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        one = functional.relu(self.down1(x))
        two = functional.relu(self.down2(functional.max_pool2d(one, 2)))
        bottom = self.bottom(functional.max_pool2d(two, 2))
        up = torch.cat([self.up2(bottom), two], 1)
        return self.out(torch.cat([self.up1(up), one], 1)), bottom


class Block(nn.Module):
    """A block of a transformer, by PyTorch's attention, or by hand with one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int, own: bool) -> None:
        super().__init__()
        self.heads, self.own = heads, own
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        if own:
            self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        else:
            self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attend(self, x: Tensor) -> Tensor:
        if not self.own:
            return self.attention(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(n, t, c))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class ViT(nn.Module):
    """Patches, a class token, learned positions, blocks, and a head on the token."""

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 12)), nn.Parameter(torch.randn(1, 17, 12))
        self.blocks = nn.ModuleList(Block(12, 3, own) for _ in range(4))
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])  # type: ignore[no-any-return]


class ConvNeXt(nn.Module):
    """Channels last in part: a norm and two matrices on (N, H, W, C), and a learned factor for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8, 1e-6), nn.Linear(8, 32), nn.Linear(32, 8)
        self.factor = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.factor * self.narrow(functional.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


class LanguageModel(nn.Module):
    """Tokens, positions, blocks with a causal mask, a head that is the embedding, and the mean over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(50, 12), nn.Parameter(torch.randn(9, 12))
        self.blocks = nn.Sequential(*(Block(12, 3, own=True) for _ in range(3)))
        self.norm, self.head = nn.RMSNorm(12, 1e-6), nn.Linear(12, 50, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(self.blocks(self.tokens(tokens) * 2 + self.positions))
        return self.head(x), x.mean(1)


class Pyramid(nn.Module):
    """A coarse map enlarged and added to a fine one, with zeros around it."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        coarse = functional.interpolate(self.coarse(fine), scale_factor=2, mode="nearest")
        larger = functional.interpolate(fine + coarse, size=(20, 19), mode="bilinear", align_corners=True)
        return functional.pad(larger / 2, (1, 0, 2, 3))


class SpelledNorm(nn.Module):
    """RMSNorm, operation by operation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


class GroupedBlock(nn.Module):
    """Rotary positions, keys and values that queries share, a mask as a tensor, a gated MLP, everything spelled out."""

    def __init__(self, width: int, heads: int, shared: int, window: int) -> None:
        super().__init__()
        self.heads, self.shared, self.size, self.window = heads, shared, width // heads, window
        self.norm1, self.norm2 = SpelledNorm(width), SpelledNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, n * self.size, bias=False) for n in (heads, shared, shared))
        self.o, self.gate, self.up = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.register_buffer("rates", 500.0 ** (-torch.arange(0, self.size, 2) / self.size), persistent=False)

    def turned(self, x: Tensor, angles: Tensor) -> Tensor:
        half = self.size // 2
        return x * angles.cos() + torch.cat((-x[..., half:], x[..., :half]), -1) * angles.sin()

    def attend(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = (each(x).view(n, t, -1, self.size).transpose(1, 2) for each in (self.q, self.k, self.v))
        angles = torch.arange(t)[:, None] * self.rates  # type: ignore[operator]
        angles = torch.cat([angles, angles], -1)[None]
        q, k = self.turned(q, angles), self.turned(k, angles)
        many = self.heads // self.shared
        k, v = (each[:, :, None].expand(n, self.shared, many, t, -1).reshape(n, -1, t, self.size) for each in (k, v))
        ages = torch.arange(t)[:, None] - torch.arange(t)[None]
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=(ages >= 0) & (ages < self.window))
        return self.o(y.transpose(1, 2).reshape(n, t, c))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        y = self.norm2(x)
        wide = self.up(y)
        curved = 0.5 * wide * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (wide + 0.044715 * wide.pow(3))))
        return x + self.down(functional.silu(self.gate(y)) * curved)  # type: ignore[no-any-return]


def decoder(window: int, layers: int = 3, d: int = 24, vocabulary: int = 50) -> nn.Module:
    """A language model of such blocks."""
    blocks = (GroupedBlock(d, 6, 2, window) for _ in range(layers))
    return nn.Sequential(nn.Embedding(vocabulary, d), *blocks, SpelledNorm(d), nn.Linear(d, vocabulary, bias=False))


class Siamese(nn.Module):
    """One tower for two images, and one head for two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([self.tower(left), self.tower(right)], 1)
        return self.head(both), self.head(functional.max_pool2d(both, 2))


class SharedPerceptron(nn.Module):
    """Linear layers that are called on two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return self.both(left), self.both(right)


class InPlace(nn.Module):
    """Changes in place, read through another view, and a gate that is copied to all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x.flatten(2).relu_()
        gate = self.gate(functional.adaptive_avg_pool2d(x, 1)).sigmoid_()
        return (x * gate.expand_as(x)).clamp(min=0)


class DenseLayer(nn.Module):
    """Reads all that the layers ahead of it made."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.conv(functional.relu(self.norm(torch.cat(features, 1))))  # type: ignore[no-any-return]


class DenseBlock(nn.Module):
    """Layers that each read all before them."""

    def __init__(self, channels: int, growth: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(channels + i * growth, growth) for i in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(features))
        return torch.cat(features, 1)


class DenseNet(nn.Module):
    """Two dense blocks with a transition between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), DenseBlock(16, 8, 2)
        self.transition = nn.Sequential(
            nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 16, 1, bias=False), nn.AvgPool2d(2)
        )
        self.block2, self.norm, self.classifier = DenseBlock(16, 8, 3), nn.BatchNorm2d(40), nn.Linear(40, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.block2(self.transition(self.block1(self.stem(x))))))
        return self.classifier(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))  # type: ignore[no-any-return]


class Gate(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.excite(functional.silu(self.squeeze(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    """An inverted residual: wide, depthwise, gated, narrow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide, self.adds = 4 * channels, stride == 1 and channels == out
        self.expand = nn.Sequential(nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.SiLU()
        )
        self.gate = Gate(wide, channels // 4)
        self.project = nn.Sequential(nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.gate(self.depthwise(self.expand(x))))
        return x + y if self.adds else y  # type: ignore[no-any-return]


def mobile() -> nn.Module:
    """Inverted residuals, some of which add what entered."""
    rows = ((8, 16, 3, 2), (16, 16, 3, 1), (16, 32, 5, 2), (32, 32, 5, 1), (32, 32, 5, 1))
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32, 10))
    return nn.Sequential(stem, *(Inverted(*row) for row in rows), head)


class Twice(nn.Sequential):
    """Two convolutions."""

    def __init__(self, channels: int, out: int) -> None:
        layers = (nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1), nn.ReLU())
        super().__init__(*layers)


class Up(nn.Module):
    """Enlarges a map, and joins it to one that was there before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up, self.both = nn.ConvTranspose2d(channels, channels // 2, 2, 2), Twice(channels, channels // 2)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.both(torch.cat([before, self.up(x)], 1))  # type: ignore[no-any-return]


class Segmenter(nn.Module):
    """A U-Net of blocks, three levels deep."""

    def __init__(self, width: int = 8, classes: int = 5) -> None:
        super().__init__()
        self.first = Twice(3, width)
        self.downs = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), Twice(width << i, 2 * width << i)) for i in range(3))
        self.ups = nn.ModuleList(Up(8 * width >> i) for i in range(3))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for down in self.downs:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in self.ups:
            x = up(x, maps.pop())
        return self.head(x)  # type: ignore[no-any-return]


def generator(latent: int = 32, width: int = 8) -> nn.Module:
    """A GAN's generator of images, of transposed convolutions."""
    widths = [latent, 4 * width, 2 * width, width]
    layers: list[nn.Module] = []
    for number, (channels, out) in enumerate(pairwise(widths)):
        layers += [nn.ConvTranspose2d(channels, out, 4, 2 if number else 1, min(number, 1), bias=False)]
        layers += [nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


class Tagger(nn.Module):
    """A recurrent network in both directions: a class for each token, and one for all, of its last states."""

    def __init__(self, cell: str = "LSTM", layers: int = 2) -> None:
        super().__init__()
        self.embed, self.both = nn.Embedding(50, 12), layers > 1
        self.cells = getattr(nn, cell)(12, 16, layers, batch_first=self.both, dropout=0.1, bidirectional=self.both)
        self.tags, self.topic = nn.Linear(16 * (1 + self.both), 7), nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.embed(tokens)
        made, states = self.cells(x if self.both else x.transpose(0, 1))
        made = made if self.both else made.transpose(0, 1)
        return self.tags(made), self.topic((states[0] if isinstance(states, tuple) else states)[-1])


class Placed(nn.Module):
    """Learned positions, the first ones of many and some later ones, a token in front, and a norm of moved channels."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.others = nn.Parameter(torch.randn(1, 20, 6)), nn.Parameter(torch.randn(30, 6))
        self.token, self.norm, self.head = nn.Parameter(torch.randn(1, 1, 6)), nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.movedim(1, -1)).movedim(-1, 1).flatten(2).transpose(1, 2)
        x = x + self.positions[:, : x.shape[1]]
        x = torch.cat([self.token.repeat(x.shape[0], 1, 1), x], dim=-2)
        return self.head(self.others[3 : 3 + x.shape[1]] + x)  # type: ignore[no-any-return]


SPELLINGS = ("einsum", "bmm", "causal", "turned")
"""Ways in which `ByHand` writes attention."""


class ByHand(nn.Module):
    """Attention as products and a softmax, in one of many spellings, with a projection or without."""

    def __init__(self, spelling: str, mixes: bool = True) -> None:
        super().__init__()
        self.qkv, self.proj, self.spelling = nn.Linear(24, 72), nn.Linear(24, 24) if mixes else None, spelling
        self.register_buffer("mask", torch.ones(5, 5).tril())

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, heads, t, size = q.shape
        if self.spelling == "einsum":
            scores = torch.einsum("bhid,bhjd->bhij", q, k) / size**0.5
            return torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        if self.spelling == "bmm":
            q, k, v = (each.reshape(n * heads, t, size) for each in (q, k, v))
            scores = torch.baddbmm(torch.empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=size**-0.5)
            return (functional.dropout(scores.softmax(2), 0.1, False) @ v).view(n, heads, t, size)
        if self.spelling == "causal":
            scores = (q * 0.25 @ k.transpose(-2, -1)).masked_fill(self.mask == 0, float("-inf"))  # type: ignore[operator]
            return functional.softmax(scores, -1, dtype=torch.float32) @ v
        scores = k @ (q * size**-0.5).transpose(-2, -1)  # keys ahead of queries
        return (v.transpose(-2, -1) @ scores.transpose(-2, -1).softmax(-1).transpose(-2, -1)).transpose(-2, -1)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 3, 8).permute(2, 0, 3, 1, 4).unbind(0)
        y = self.mixed(q, k, v).transpose(1, 2).flatten(2)
        return y if self.proj is None else self.proj(y)


class Windows(nn.Module):
    """Attention within shifted windows of a map whose channels come last, with a table of displacements."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.proj, self.shift = nn.LayerNorm(12), nn.Linear(12, 36), nn.Linear(12, 12), shift
        self.table = nn.Parameter(torch.randn(25, 3))
        places = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None, :] + 2
        self.register_buffer("index", apart[0] * 5 + apart[1])
        parts = torch.zeros(9, 9)
        for number, (rows, columns) in enumerate((r, c) for r in ((0, 8), (8, 9)) for c in ((0, 8), (8, 9))):
            parts[slice(*rows), slice(*columns)] = number
        windows = self.divided(parts[None, :, :, None]).flatten(1)
        self.register_buffer("mask", (windows[:, None] != windows[:, :, None]) * -100.0)

    @staticmethod
    def divided(x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        return x.view(n, h // 3, 3, w // 3, 3, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 9, c)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        y = torch.roll(self.norm(x), (-self.shift, -self.shift), (1, 2))
        q, k, v = self.qkv(self.divided(y)).view(-1, 9, 3, 3, 4).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * 0.5 + self.table[self.index.flatten()].view(9, 9, 3).permute(2, 0, 1)  # type: ignore[index,operator]
        if self.shift:
            scores = (scores.view(-1, 9, 3, 9, 9) + self.mask[:, None]).view(-1, 3, 9, 9)  # type: ignore[index]
        y = self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 9, 12))
        y = y.view(-1, 3, 3, 3, 3, 12).permute(0, 1, 3, 2, 4, 5).reshape(x.shape)
        x = x + torch.roll(y, (self.shift, self.shift), (1, 2))
        blocks = [x[:, row::3, column::3] for column in range(3) for row in range(3)]
        return torch.cat(blocks, -1).permute(0, 3, 1, 2)


class Talking(nn.Module):
    """Heads that talk: their scores are mixed before and after the softmax, so that no kind of attention is it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.before, self.after = nn.Linear(24, 72), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 3, 8).permute(2, 0, 3, 1, 4)
        scores = self.before((q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        return (self.after(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) @ v).transpose(1, 2).reshape(n, t, c)


class Asked(nn.Module):
    """A learned query that asks all tokens, and a decoder layer that looks at them."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.q, self.kv = nn.Parameter(torch.randn(1, 2, 24)), nn.Linear(24, 24), nn.Linear(24, 48)
        self.proj = nn.Linear(24, 24)
        self.decoder = nn.TransformerDecoderLayer(24, 3, 48, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q = self.q(self.query.expand(n, -1, -1)).view(n, 2, 3, 8).transpose(1, 2)
        k, v = self.kv(x).view(n, t, 2, 3, 8).permute(2, 0, 3, 1, 4)
        asked = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, 2, c)
        return self.decoder(self.proj(asked), x)  # type: ignore[no-any-return]


def plain() -> nn.Module:
    """A chain of everything that has no branches."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, groups=2),
        nn.LeakyReLU(0.2), nn.AvgPool2d(2), nn.Hardswish(), nn.Dropout(0.1), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 10), nn.Softmax(-1),
    )  # fmt: skip


class Gated(nn.Module):
    """Channels weighted by what is known of them all: by a perceptron of vectors, and by a filter along channels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 2), nn.Linear(2, 8)
        self.stem, self.along = nn.Conv2d(3, 8, 1), nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.place = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        batch, channels, _, _ = x.size()
        y = torch.sigmoid(self.fc2(functional.relu(self.fc1(x.mean((2, 3))))))
        x = x * y.view(batch, channels, 1, 1)
        y = self.along(functional.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(1, 2)).transpose(1, 2).unsqueeze(-1)
        x = y.sigmoid().expand_as(x) * x
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.place(both))


class Scaled(nn.Module):
    """Attention whose products are scaled by a number of its own; what a layer's argument is called is a kind, too."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.norm, self.qkv, self.out = scale, nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (2, 4)).transpose(1, 2) for each in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return x + self.out(mixed.transpose(1, 2).flatten(2))


class Reduced(nn.Module):
    """Sums and greatest values over several sets of dimensions, and a difference."""

    def forward(self, x: Tensor) -> Tensor:
        y = functional.avg_pool2d(x, 3, 1, 1) - x
        rows, columns = y.amax(3, keepdim=True), 0 + 1 * y.sum(2, keepdim=True)
        spread = (y - rows) * (y - columns)
        return torch.cat([spread.sum((1, 2)), spread.flatten(2).amax(-1), y.amax((2, 3)) - y.mean((-1, -2))], 1)


class Standardised(nn.Conv2d):
    """A convolution whose filters are standardised, and may have factors."""

    def __init__(self, channels: int, out: int, groups: int = 1, gain: float = 0, eps: float = 1e-6) -> None:
        super().__init__(channels, out, 3, padding=1, groups=groups)
        self.scale, self.eps = gain * self.weight[0].numel() ** -0.5, eps
        self.gain = nn.Parameter(torch.ones(out, 1, 1, 1)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        factors = None if self.gain is None else (self.gain * self.scale).view(-1)
        rows = self.weight.reshape(1, self.out_channels, -1)
        weight = functional.batch_norm(rows, None, None, factors, training=True, momentum=0.0, eps=self.eps)
        return functional.conv2d(x, weight.reshape_as(self.weight), self.bias, 1, 1, 1, self.groups)


def normed() -> nn.Module:
    """Convolutions whose weights are made of others."""
    lengths = nn.utils.parametrizations.weight_norm
    return nn.Sequential(
        lengths(nn.Conv1d(3, 4, 3)), lengths(nn.Conv1d(4, 4, 3, groups=2), dim=2), nn.Unflatten(2, (3, 4)),
        Standardised(4, 6, 2), nn.ReLU(), Standardised(6, 6, 6, 1.7, 1e-3), Standardised(6, 4, 1, 1.0),
    )  # fmt: skip


def activations() -> nn.Module:
    """Activations with arguments, norms of instances, pools of the greatest, and pixels that are moved."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ELU(0.5), nn.InstanceNorm2d(8, affine=True), nn.CELU(2), nn.PReLU(), nn.InstanceNorm2d(8),
        nn.PReLU(8), nn.GLU(1), nn.Softplus(), nn.PixelUnshuffle(2), nn.PixelShuffle(2), nn.AdaptiveMaxPool2d((3, 2)),
        nn.SELU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Spectrum(nn.Module):
    """Operations that specs don't know: at the start, in the middle with parameters, and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.filter = nn.Parameter(torch.rand(6, 16, 9))
        self.register_buffer("window", torch.rand(16, 9))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fft.fftshift(x)
        spectrum = torch.fft.rfft2(self.norm(self.conv(x)))
        spectrum = torch.polar(spectrum.abs().lerp(self.filter, 0.5), spectrum.angle() * self.window)
        return torch.fft.irfft2(spectrum).cummax(-1).values


class Ranks(nn.Module):
    """Unknown operations on vectors, tokens, pairs of tokens, and on parameters alone; several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.scale = nn.Linear(8, 8), nn.Parameter(torch.rand(8))
        self.head = nn.Linear(8, 4)
        self.head.bias = nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.linear(x) * torch.cumsum(self.scale.exp(), 0)
        pairs = torch.cdist(x, x).sort(-1)
        near = torch.gather(x, 1, pairs.indices[:, :, :1].expand_as(x))
        return self.head(near.cummax(1).values[:, -1]), pairs.values, torch.histc(self.scale)


MODULES: dict[str, Sample] = {
    "plain": Sample(plain),
    "resnet": Sample(ResNet),
    "mixed": Sample(Mixed),
    "shuffled": Sample(Shuffled),
    "unet": Sample(UNet),
    "vit": Sample(ViT),
    "vit_by_hand": Sample(lambda: ViT(own=True)),
    "convnext": Sample(ConvNeXt),
    "language_model": Sample(LanguageModel, (9,)),
    "pyramid": Sample(Pyramid),
    "decoder": Sample(lambda: decoder(99), (9,)),
    "decoder_with_a_window": Sample(lambda: decoder(4), (9,)),
    "in_place": Sample(InPlace),
    "siamese": Sample(Siamese, ((3, 16, 16), (3, 16, 16))),
    "shared_perceptron": Sample(SharedPerceptron, ((6,), (6,))),
    "one_dimension": Sample(
        lambda: nn.Sequential(nn.Conv1d(4, 8, 5, 2), nn.ReLU(), nn.ConvTranspose1d(8, 2, 4, 2)), ((4, 20),)
    ),
    "three_dimensions": Sample(lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)), ((3, 5, 6, 7),)),
    "gated": Sample(Gated),
    "scaled": Sample(lambda: nn.Sequential(*map(Scaled, (0.5, 0.25, 0.125))), ((5, 8),)),
    "reduced": Sample(Reduced, ((3, 6, 5),)),
    "normed": Sample(normed, ((3, 16),)),
    "activations": Sample(activations),
    "densenet": Sample(DenseNet),
    "mobile": Sample(mobile),
    "segmenter": Sample(Segmenter),
    "generator": Sample(generator, ((32, 1, 1),)),
    "tagger": Sample(Tagger, (9,)),
    "placed": Sample(Placed, ((6, 3, 4),)),
    "gru": Sample(lambda: Tagger("GRU", 1), (9,)),
    "rnn": Sample(lambda: Tagger("RNN", 1), (9,)),
    **{f"by_hand_{name}": Sample(lambda name=name: ByHand(name), ((5, 24),)) for name in SPELLINGS},  # type: ignore[misc]
    "by_hand_alone": Sample(lambda: ByHand("einsum", mixes=False), ((5, 24),)),
    "windows": Sample(lambda: Windows(0), ((12, 9, 9),)),
    "windows_shifted": Sample(lambda: Windows(1), ((12, 9, 9),)),
    "talking_heads": Sample(Talking, ((5, 24),)),
    "asked": Sample(Asked, ((5, 24),)),
    "tokens": Sample(lambda: nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 6)), ((5, 6),)),
}
"""By name; `build_NAME` builds one."""


def __getattr__(name: str) -> Callable[[], nn.Module]:
    """A function that builds one of `MODULES`: what names of code may call."""
    if name.startswith("build_") and name[6:] in MODULES:
        return MODULES[name[6:]].build
    raise AttributeError(name)
