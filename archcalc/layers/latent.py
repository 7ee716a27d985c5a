"""Multi-head latent attention: keys and values of all heads are made of a few numbers for each token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Number
from archcalc.layers.attending import Attending, Sizes
from archcalc.layers.attention import token_count
from archcalc.layers.base import Sentences, layer
from archcalc.layers.kept import Extra, Kept, Moments, Width
from archcalc.layers.reads import Everywhere, Reads
from archcalc.shape import Shape
from archcalc.symbolic import Dim, differ, known

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


@layer("mla")
class LatentAttention(Attending):
    """Multi-head latent attention: keys and values are made of a latent of `kv_rank` numbers, which all heads share.

    Shapes: (T, C), unchanged. A query or key has `head_dim` numbers of its head, and `rope_dim` that are turned by the
    position, neighbours in pairs; keys share these. `value_dim` is `head_dim` unless given. With `q_rank` queries are
    made of a latent, too. An RMS norm is applied to each latent. No projection has a bias. When a text is decoded token
    by token, queries `absorb` the keys' matrix, and the mixed latents are expanded instead of all tokens' values.
    Source: DeepSeek-AI 2024 (DeepSeek-V2, arXiv 2405.04434), section 2.1 and appendix C; transformers,
    DeepseekV3Attention.

    >>> LatentAttention(128, 512, 128, 64, q_rank=1536).params(Shape(T=1, C=7168))
    187107328
    """

    also = ("multi_head_latent_attention", "latent_attention")

    num_heads: Dim
    kv_rank: Dim
    head_dim: Dim
    rope_dim: Dim
    value_dim: Dim | None = None
    q_rank: Dim | None = None
    causal: bool = False
    scale: Number | None = None
    rope_base: Number = 10_000
    eps: Number | None = None
    absorb: bool = True

    window = softcap = buckets = relative = None
    alibi = sinks = False
    weight_layer = True
    family = "attention"
    sentences = Sentences(
        weights=(
            "a matrix to the latent and the turned numbers of keys, one from the latent to all heads' keys and values; "
            "queries likewise, or by one matrix; the output; and a factor for each number of the latents"
        ),
        macs="the projections of every token, then both products over all pairs of tokens",
    )

    def sizes(self, x: Shape) -> Sizes:
        """The numbers that all others follow from."""
        tokens, rows = token_count(x), x.without("C").numel
        value = self.head_dim if self.value_dim is None else self.value_dim
        return Sizes(tokens, tokens, rows, rows, self.num_heads, self.num_heads, self.head_dim + self.rope_dim, value)

    def output_shape(self, x: Shape) -> Shape:
        self.check(self.sizes(x))
        if differ(self.rope_dim % 2, 0):
            raise ShapeError(f"{self.rope_dim} numbers of a head can't be turned in pairs", code="E205")
        return x

    @property
    def latents(self) -> Dim:
        """Numbers of a token from which keys and values are made: the latent, and what is turned."""
        return self.kv_rank + self.rope_dim

    def _matrices(self, x: Shape) -> Dim:
        """Numbers in all projections, each used once for each token."""
        sizes, rank = self.sizes(x), self.q_rank
        queries = sizes.heads * sizes.head
        asked = x.C * queries if rank is None else (x.C + queries) * rank
        expanded = self.kv_rank * sizes.heads * (self.head_dim + sizes.value)
        return asked + x.C * self.latents + expanded + sizes.heads * sizes.value * x.C

    def weights(self, x: Shape) -> Dim:
        """The projections' matrices, and the norms' factors."""
        return self._matrices(x) + self.kv_rank + (0 if self.q_rank is None else self.q_rank)

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        sizes, rank = self.sizes(x), self.q_rank
        queries, values = sizes.heads * sizes.head, sizes.heads * sizes.value
        asked: dict[str, tuple[Dim, ...]] = {"queries": (queries, x.C)}
        if rank is not None:
            asked = {"narrow": (rank, x.C), "query_norm": (rank,), "queries": (queries, rank)}
        expand = (sizes.heads * (self.head_dim + sizes.value), self.kv_rank)
        return {
            **asked,
            "compress": (self.latents, x.C),
            "norm": (self.kv_rank,),
            "expand": expand,
            "mix": (x.C, values),
        }

    def macs(self, x: Shape) -> Dim:
        """The projections, keys and values expanded for all heads, and both products over all pairs of tokens."""
        return x.without("C").numel * self._matrices(x) + self.products(self.sizes(x))

    def attention_macs(self, x: Shape) -> Dim:
        return self.products(self.sizes(x))

    def macs_of_step(self, new: Sequence[Shape | None], x: Shape) -> Dim:
        """The projections of new tokens, and, if it absorbs, products of queries and probabilities with latents.

        Else keys and values of all tokens are expanded again.
        """
        sizes, rows = self.sizes(x), (new[0] or x).without("C").numel
        if not self.absorb:
            again = (sizes.read - rows) * self.kv_rank * sizes.heads * (self.head_dim + sizes.value)
            return rows * self._matrices(x) + again + rows * sizes.keys * sizes.heads * (sizes.head + sizes.value)
        return rows * (self._matrices(x) + sizes.keys * sizes.heads * (self.latents + self.kv_rank))

    def cached(self, new: Sequence[Shape | None], x: Shape) -> Dim:
        """Latents, and the keys' turned numbers."""
        return x.without("C").numel * self.latents

    def reads(self, x: Shape) -> Sequence[Reads]:
        """The tokens that a query sees, and all their features."""
        return [Reads({"C": Everywhere(), "T": self.keys_read()})]

    def _expanded(self, sizes: Sizes) -> Dim:
        """Numbers in the keys, without what is turned, and values of all heads."""
        return sizes.read * sizes.heads * (self.head_dim + sizes.value)

    def _angles(self, sizes: Sizes) -> Extra:
        """Cosines and sines of all positions."""
        return Extra(2 * sizes.keys * self.rope_dim, per_example=False)

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """What enters, the latents before and after their norms, angles, and what a kernel keeps."""
        sizes = self.sizes(x)
        latents = self.latents + self.kv_rank + (0 if self.q_rank is None else 2 * self.q_rank)
        values = sizes.asking * latents + sizes.q + sizes.k + self._expanded(sizes) + sizes.mixed
        statistics = sizes.asking * (1 if self.q_rank is None else 2)
        own = Extra(values), Extra(statistics, Width.statistic), self._angles(sizes)
        return Kept((0,), extras=(*own, *self.kept_by_kernel(sizes)))

    def working(self, x: Shape) -> Moments:
        """Queries, the latent, what is made of it, turned queries and keys, what attention makes, its projection."""
        sizes = self.sizes(x)
        before = sizes.asking * self.latents + self._expanded(sizes)
        held = Extra(before + sizes.q + sizes.k + sizes.asking * self.rope_dim)
        inside = tuple((held, *moment) for moment in self.working_inside(sizes))
        return (
            *self._queries(sizes),
            *self._latent(sizes),
            *self._turning(sizes, before),
            *inside,
            (held, Extra(sizes.mixed + x.numel)),
        )

    def _queries(self, sizes: Sizes) -> Iterator[tuple[Extra, ...]]:
        if self.q_rank is not None:
            yield Extra(2 * sizes.asking * self.q_rank), Extra(sizes.asking, Width.statistic)
            yield (Extra(sizes.asking * self.q_rank + sizes.q),)

    def _latent(self, sizes: Sizes) -> Iterator[tuple[Extra, ...]]:
        normed = sizes.q + sizes.asking * (self.latents + self.kv_rank)
        yield Extra(normed), Extra(sizes.asking, Width.statistic)
        yield (Extra(normed + self._expanded(sizes)),)

    def _turning(self, sizes: Sizes, before: Dim) -> Iterator[tuple[Extra, ...]]:
        """While angles are made, queries turned, then the keys' shared numbers; while keys are put together."""
        angles, keys = self._angles(sizes), sizes.asking * self.rope_dim
        queries = keys * sizes.heads
        yield Extra(before + sizes.q), angles, angles._replace(width=Width.statistic)
        yield Extra(before + sizes.q + 3 * queries), angles
        yield Extra(before + 2 * sizes.q + queries), angles
        yield Extra(before + 2 * sizes.q + 3 * keys), angles
        yield (Extra(before + sizes.q + keys + sizes.k),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm
        from archcalc.layers import torch_tokens

        sizes, heads, rank = self.sizes(x), known(self.num_heads), known(self.kv_rank)
        eps = None if self.eps is None else float(self.eps)
        attention = torch_tokens.LatentAttention(
            known(x.C),
            heads,
            rank,
            known(self.head_dim),
            known(sizes.value),
            nn.RMSNorm(rank, eps),
            None if self.q_rank is None else nn.RMSNorm(known(self.q_rank), eps),
            torch_tokens.Rotary(known(self.rope_dim), float(self.rope_base), interleaved=True, last=True),
            self.core(heads, known(sizes.head)),
        )
        return tm.Folded(attention, 1) if "R" in x else attention
