"""Tokens: attention between them, and what is learned about their positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Tensor
from archcalc.layers.base import Layer, Sentences, layer
from archcalc.layers.kept import Extra, Kept, Moments, Width
from archcalc.layers.reads import Everywhere, Part, Reads, UpTo, over
from archcalc.shape import Shape, unequal_axes
from archcalc.symbolic import Dim, differ, exceeds, known

if TYPE_CHECKING:
    from torch import nn


def token_count(x: Shape) -> Dim:
    """The size of T; the layer needs tokens with features, and no spatial axes."""
    if "T" not in x or "C" not in x or x.spatial:
        hint = "write 'tokens -> ...'" if x.spatial else ""
        raise ShapeError(f"needs tokens with features (T, C); the input is {x}", code="E210", hint=hint)
    return x["T"]


@layer("attention")
class Attention(Layer):
    """Multi-head scaled dot-product attention with its four projections; `kv` gives the keys and values.

    Shapes: x (T, C), kv (S, C') or absent for self-attention, output (T, C). `causal` masks, it doesn't save MACs.
    Source: Vaswani et al. 2017, section 3.2; torch.nn.MultiheadAttention.

    >>> Attention(num_heads=8).macs(Shape(T=4, C=64), Shape(T=4, C=64))
    67584
    """

    also = ("mha", "multihead_attention", "self_attention", "sdpa")

    num_heads: Dim
    kv: Tensor | None = None
    bias: bool = True
    causal: bool = False

    weight_layer = True
    keeps_the_least = True
    uncounted = "softmax and scaling"
    sentences = Sentences(
        weights="query and output take C*C each, key and value C times the channels that they read",
        biases="one for each output of the four projections",
        macs="the four projections of every token, then both products over all pairs of tokens",
    )

    def output_shape(self, x: Shape, kv: Shape | None = None) -> Shape:
        token_count(x)
        if differ(x.C % self.num_heads, 0):
            raise ShapeError(f"C={x.C} is not divisible by num_heads={self.num_heads}", code="E205")
        if kv is not None:
            token_count(kv)
            if unequal_axes(x, kv, ["R"]):
                raise ShapeError(f"kv is {kv}, the input {x}: their regions differ", code="E208")
        return x

    def weights(self, x: Shape, kv: Shape | None = None) -> Dim:
        """Query and output: C² each; key and value: C·C' each."""
        source = kv if kv is not None else x
        return 2 * x.C * x.C + 2 * x.C * source.C

    def biases(self, x: Shape, kv: Shape | None = None) -> Dim:
        return 4 * x.C if self.bias else 0

    def macs(self, x: Shape, kv: Shape | None = None) -> Dim:
        """The four projections, and both products, q·k and attention·v, over all pairs of tokens."""
        source = kv if kv is not None else x
        queries, keys = x.without("C").numel, token_count(source)
        projections = 2 * queries * x.C * x.C + 2 * source.without("C").numel * x.C * source.C
        return projections + 2 * queries * keys * x.C

    def reads(self, x: Shape, kv: Shape | None = None) -> Sequence[Reads]:
        """Every token of the keys, or with a causal mask none that comes later; of the queries the token itself."""
        keys = Reads({"C": Everywhere(), "T": UpTo() if self.causal else Everywhere()})
        return [keys] if kv is None else [over("C", Everywhere()), keys]

    def kept(self, needs: Sequence[bool], x: Shape, kv: Shape | None = None) -> Kept:
        """What enters, the four projections' other ends, and of each row of probabilities the logarithm of its sum.

        The probabilities themselves are computed again. Source: Dao et al. 2022 (FlashAttention), algorithm 1.
        """
        source = kv if kv is not None else x
        values = 2 * x.numel + 2 * source.without("C").numel * x.C
        sums = x.without("C").numel * self.num_heads
        return Kept((0,) if kv is None else (0, 1), extras=(Extra(values), Extra(sums, Width.statistic)))

    def working(self, x: Shape, kv: Shape | None = None) -> Moments:
        """Queries, keys and values, what they make, and its projection."""
        source = kv if kv is not None else x
        return ((Extra(3 * x.numel + 2 * source.without("C").numel * x.C),),)

    def torch_module(self, x: Shape, kv: Shape | None = None) -> nn.Module:
        from archcalc.layers import torch_modules as tm
        from archcalc.layers import torch_tokens

        source = kv if kv is not None else x
        sizes = known(x.C), known(self.num_heads), known(source.C)
        attention = torch_tokens.Attention(*sizes, self.bias, self.causal)
        return tm.Folded(attention, 1) if "R" in x else attention


@layer("pos_embed")
class PositionEmbedding(Layer):
    """Adds a learned vector for each position; the table may be longer than the input. Shapes: (T, C), unchanged.

    Source: Vaswani et al. 2017, section 3.5; learned: Dosovitskiy et al. 2021, equation 1.
    """

    also = ("positional_embedding", "position_embedding", "positional_encoding")

    num_positions: Dim | None = None

    uncounted = "additions"
    sentences = Sentences(weights="a vector of {C_in} numbers for each position")

    def output_shape(self, x: Shape) -> Shape:
        if exceeds(token_count(x), self.table_length(x)):
            raise ShapeError(f"T={x['T']} exceeds num_positions={self.num_positions}", code="E208")
        return x

    def table_length(self, x: Shape) -> Dim:
        """How many positions the table holds: as many as there are tokens, unless `num_positions` says."""
        return token_count(x) if self.num_positions is None else self.num_positions

    def weights(self, x: Shape) -> Dim:
        return self.table_length(x) * x.C

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_tokens

        return torch_tokens.PositionEmbedding(known(self.table_length(x)), known(x.C))


@layer("cls_token")
class ClassToken(Layer):
    """Puts one learned token before the others. Shapes: (T, C) → (T + 1, C).

    Source: Devlin et al. 2019; Dosovitskiy et al. 2021, equation 1.
    """

    also = ("class_token",)

    takes_turned = True
    linear = True
    sentences = Sentences(weights="one learned vector")

    def output_shape(self, x: Shape) -> Shape:
        return x.with_(T=token_count(x) + 1)

    def weights(self, x: Shape) -> Dim:
        return x.C

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [over("T", Part(1))]

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_tokens

        return torch_tokens.ClassToken(known(x.C))
