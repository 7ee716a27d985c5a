"""Tokens: attention between them, and what is learned about their positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Channels, Extent, HeadNorm, Number, Tensor, Tie
from archcalc.layers.attending import PROJECTIONS, Attending, Sizes
from archcalc.layers.base import Layer, Sentences, layer
from archcalc.layers.kept import Extra, Kept, Moments, Width
from archcalc.layers.reads import ALL, Everywhere, Groups, Part, Reads, Repeated, over
from archcalc.shape import Shape, unequal_axes
from archcalc.symbolic import Dim, differ, exceeds, known, maximum, shared_out

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


def token_count(x: Shape) -> Dim:
    """The size of T; the layer needs tokens with features, and no spatial axes."""
    if "T" not in x or "C" not in x or x.spatial:
        hint = "write 'tokens -> ...'" if x.spatial else ""
        raise ShapeError(f"needs tokens with features (T, C); the input is {x}", code="E210", hint=hint)
    return x["T"]


@layer("attention")
class Attention(Attending):
    """Multi-head scaled dot-product attention with its four projections; `kv` gives the keys and values.

    Shapes: x (T, C), kv (S, C') or absent for self-attention, output (T, C), or (T, out_features). All pairs of tokens
    are computed: no mask saves MACs. Query heads share `kv_heads` keys and values in groups. `head_dim` and `value_dim`
    are C / num_heads unless given. With a causal mask a query sees the last `window` tokens, itself among them; without
    one as many after it. `qk_norm` normalises the queries and keys of each head, or all of them together.
    Source: Vaswani et al. 2017, section 3.2; torch.nn.MultiheadAttention. Shared keys: Ainslie et al. 2023 (GQA).
    `rope`: Su et al. 2021. `alibi`: Press et al. 2022. `buckets`: Raffel et al. 2020 (T5). `relative`: Liu et al. 2021
    (Swin), equation 4; `relative_cls`: Bao et al. 2022 (BEiT). `softcap`: Gemma 2, section 2. `sinks`: gpt-oss. `tie`:
    another's table of positions (T5).

    >>> Attention(num_heads=8).macs(Shape(T=4, C=64), Shape(T=4, C=64))
    67584
    >>> Attention(num_heads=32, kv_heads=8, bias=False).params(Shape(T=4, C=4096))
    41943040
    """

    also = (
        "mha", "multihead_attention", "self_attention", "cross_attention", "gqa", "mqa", "grouped_query_attention",
        "multi_query_attention",
    )  # fmt: skip

    num_heads: Dim
    kv: Tensor | None = None
    bias: bool = True
    causal: bool = False
    kv_heads: Dim | None = None
    head_dim: Dim | None = None
    value_dim: Dim | None = None
    out_features: Channels | None = None
    qkv_bias: bool | None = None
    k_bias: bool | None = None
    out_bias: bool | None = None
    scale: Number | None = None
    window: Dim | None = None
    rope: bool = False
    rotary_dim: Dim | None = None
    rope_base: Number = 10_000
    rope_interleaved: bool = False
    qk_norm: HeadNorm = "none"
    qk_norm_whole: bool = False
    eps: Number | None = None
    alibi: bool = False
    buckets: Dim | None = None
    max_distance: Dim = 128
    relative: Extent | None = None
    relative_cls: bool = False
    softcap: Number | None = None
    sinks: bool = False
    tie: Tie | None = None

    weight_layer = True
    sentences = Sentences(
        weights="query and output take C*C each, key and value C times the channels that they read",
        biases="one for each output of the four projections",
        macs="the four projections of every token, then both products over all pairs of tokens",
    )

    def sentence(self, quantity: str, x: Shape, kv: Shape | None = None) -> str:
        plain = (self.kv_heads, self.head_dim, self.value_dim, self.out_features) == (None,) * 4
        if quantity == "weights" and not (plain and self.qk_norm == "none" and not self.positions(1)):
            return (
                "queries, keys and values take what they read for each number of each of their heads, the output all "
                "heads' values; then the factors of norms, and the table of positions"
            )
        if quantity == "biases" and (len(set(self._biases)) > 1 or self.sinks or self.qk_norm == "ln"):
            return "one for each output of the projections that have them; summands of norms, a sink for each head"
        return super().sentence(quantity, x)

    @property
    def _biases(self) -> tuple[bool, bool, bool, bool]:
        """Whether queries, keys, values and output have them."""
        inner = self.bias if self.qkv_bias is None else self.qkv_bias
        keys = inner if self.k_bias is None else self.k_bias
        return inner, keys, inner, self.bias if self.out_bias is None else self.out_bias

    def sizes(self, x: Shape, kv: Shape | None = None) -> Sizes:
        """The numbers that all others follow from."""
        source, heads = x if kv is None else kv, self.num_heads
        head = shared_out(x.C, heads) if self.head_dim is None else self.head_dim
        return Sizes(
            token_count(x),
            token_count(source),
            x.without("C").numel,
            source.without("C").numel,
            heads,
            heads if self.kv_heads is None else self.kv_heads,
            head,
            head if self.value_dim is None else self.value_dim,
        )

    def output_shape(self, x: Shape, kv: Shape | None = None) -> Shape:
        token_count(x)
        if self.head_dim is None and differ(x.C % self.num_heads, 0):
            raise ShapeError(f"C={x.C} is not divisible by num_heads={self.num_heads}", code="E205")
        if kv is not None:
            token_count(kv)
            if unequal_axes(x, kv, ["R"]):
                raise ShapeError(f"kv is {kv}, the input {x}: their regions differ", code="E208")
        sizes = self.sizes(x, kv)
        self.check(sizes)
        if self.rope:
            self._check_rotary(sizes.head)
        elif self.rotary_dim is not None or self.rope_interleaved:
            name = "rope_interleaved" if self.rotary_dim is None else "rotary_dim"
            raise ShapeError(f"{name} is for rotary positions", code="E211", hint="add rope=true")
        return x if self.out_features is None else x.with_(C=self.out_features)

    def _check_rotary(self, head: Dim) -> None:
        turned = self._turned(head)
        if exceeds(turned, head):
            raise ShapeError(f"rotary_dim={turned} exceeds the {head} numbers of a head", code="E208")
        if differ(turned % 2, 0):
            raise ShapeError(f"{turned} numbers of a head can't be turned in pairs", code="E205")

    def _turned(self, head: Dim) -> Dim:
        """How many numbers of a head are turned by rotary positions."""
        return head if self.rotary_dim is None else self.rotary_dim

    def _widths(self, x: Shape, kv: Shape | None) -> tuple[Dim, Dim, Dim, Dim]:
        """What the four projections make of one token."""
        sizes, out = self.sizes(x, kv), self.out_features
        values = sizes.kv_heads * sizes.value
        return sizes.heads * sizes.head, sizes.kv_heads * sizes.head, values, x.C if out is None else out

    def _normed(self, x: Shape, kv: Shape | None) -> Dim:
        """The numbers of a token's queries and keys that have factors of their own in norms."""
        if self.qk_norm == "none":
            return 0
        queries, keys, *_ = self._widths(x, kv)
        return queries + keys if self.qk_norm_whole else 2 * self.sizes(x, kv).head

    def weights(self, x: Shape, kv: Shape | None = None) -> Dim:
        """The projections' matrices, the factors of norms, and the table of positions."""
        source, sizes = kv if kv is not None else x, self.sizes(x, kv)
        queries, keys, values, out = self._widths(x, kv)
        matrices = x.C * queries + source.C * (keys + values) + sizes.heads * sizes.value * out
        return matrices + self._normed(x, kv) + self.own_positions(sizes.heads)

    def tensors(self, x: Shape, kv: Shape | None = None) -> Mapping[str, tuple[Dim, ...]]:
        source, sizes = kv if kv is not None else x, self.sizes(x, kv)
        found: dict[str, tuple[Dim, ...]] = {}
        reads = (x.C, source.C, source.C, sizes.heads * sizes.value)
        for name, width, read, has in zip(PROJECTIONS, self._widths(x, kv), reads, self._biases, strict=True):
            found |= {f"{name}.weight": (width, read), **({f"{name}.bias": (width,)} if has else {})}
        for name, width in zip(("query_norm", "key_norm"), self._widths(x, kv), strict=False):
            if self.qk_norm != "none":
                own = (width if self.qk_norm_whole else sizes.head,)
                found |= {f"{name}.weight": own, **({f"{name}.bias": own} if self.qk_norm == "ln" else {})}
        return {**found, **self.shared_tensors(sizes.heads)}

    def weight_shape(self, x: Shape, kv: Shape | None = None) -> tuple[Dim, ...]:
        """Of the table of positions: that is what another one can share."""
        return self.table_shape(self.num_heads)

    def weight_factors(self, x: Shape, kv: Shape | None = None) -> tuple[Dim, ...]:
        return ()

    def parameter_sizes(self, x: Shape, kv: Shape | None = None) -> tuple[Dim, ...]:
        return *super().parameter_sizes(x, *([] if kv is None else [kv])), x.C, (x if kv is None else kv).C

    def biases(self, x: Shape, kv: Shape | None = None) -> Dim:
        own = [width for width, has in zip(self._widths(x, kv), self._biases, strict=True) if has]
        norms = self._normed(x, kv) if self.qk_norm == "ln" else 0
        return sum(own) + norms + (self.num_heads if self.sinks else 0)

    def macs(self, x: Shape, kv: Shape | None = None) -> Dim:
        """The four projections, and both products, q·k and attention·v, over all pairs of tokens."""
        source, sizes = kv if kv is not None else x, self.sizes(x, kv)
        queries, keys, values, out = self._widths(x, kv)
        around = sizes.asking * (x.C * queries + sizes.heads * sizes.value * out)
        return around + sizes.read * source.C * (keys + values) + self.products(sizes)

    def attention_macs(self, x: Shape, kv: Shape | None = None) -> Dim:
        return self.products(self.sizes(x, kv))

    def macs_of_step(self, new: Sequence[Shape | None], x: Shape, kv: Shape | None = None) -> Dim:
        """The projections of new tokens, and their products with all that are remembered.

        A memory that doesn't grow has its keys and values already.
        """
        source, sizes = kv if kv is not None else x, self.sizes(x, kv)
        queries, keys, values, out = self._widths(x, kv)
        asking, added = (0 if part is None else part.without("C").numel for part in (new[0], new[-1]))
        products = self.remembered(sizes.keys, new[-1]) * sizes.heads * (sizes.head + sizes.value)
        around = x.C * queries + sizes.heads * sizes.value * out
        return asking * (around + products) + added * source.C * (keys + values)

    def cached(self, new: Sequence[Shape | None], x: Shape, kv: Shape | None = None) -> Dim:
        sizes = self.sizes(x, kv)
        tokens = x.without("T", "C").numel * self.remembered(sizes.keys, new[-1])
        return tokens * sizes.kv_heads * (sizes.head + sizes.value)

    def reads(self, x: Shape, kv: Shape | None = None) -> Sequence[Reads]:
        """The tokens that a query sees, and all their features; of the queries the token itself."""
        keys = Reads({"C": Everywhere(), "T": self.keys_read()})
        return [keys] if kv is None else [over("C", Everywhere()), keys]

    def kept(self, needs: Sequence[bool], x: Shape, kv: Shape | None = None) -> Kept:
        """What enters, what norms and turns need, and what is kept from queries, keys and values on."""
        sizes = self.sizes(x, kv)
        if self.stepwise:
            values, *places = self.kept_by_steps(sizes)
            extras = (Extra(values.amount + sizes.mixed), *places)
        else:
            extras = (Extra(sizes.q + sizes.k + sizes.v + sizes.mixed), *self.kept_by_kernel(sizes))
        if self.qk_norm != "none":
            extras += (Extra(sizes.q + sizes.k), self._statistics(sizes.asking, sizes.heads))
            extras += (self._statistics(sizes.read, sizes.kv_heads),)
        if self.rope:
            extras += (self._angles(sizes),)
        return Kept((0,) if kv is None else (0, 1), extras=extras)

    def _statistics(self, tokens: Dim, heads: Dim) -> Extra:
        rows = tokens if self.qk_norm_whole else tokens * heads
        return Extra(rows * (2 if self.qk_norm == "ln" else 1), Width.statistic)

    def _angles(self, sizes: Sizes) -> Extra:
        """Cosines and sines of all positions."""
        return Extra(2 * maximum(sizes.queries, sizes.keys) * self._turned(sizes.head), per_example=False)

    def working(self, x: Shape, kv: Shape | None = None) -> Moments:
        """Queries, keys and values, what they make, and its projection."""
        sizes, out = self.sizes(x, kv), self.output_shape(x, kv).numel
        held = Extra(sizes.q + sizes.k + sizes.v)
        inside = tuple((held, *moment) for moment in self.working_inside(sizes))
        return (*self._before(sizes), *inside, (held, Extra(sizes.mixed + out)))

    def _before(self, sizes: Sizes) -> Iterator[tuple[Extra, ...]]:
        """What norms and turns make before there are values."""
        if self.qk_norm != "none":
            yield Extra(2 * sizes.q), self._statistics(sizes.asking, sizes.heads)
            yield Extra(sizes.q + 2 * sizes.k), self._statistics(sizes.read, sizes.kv_heads)
        if self.rope:
            angles, turned = self._angles(sizes), self._turned(sizes.head)
            q, k = turned * sizes.asking * sizes.heads, turned * sizes.read * sizes.kv_heads
            yield Extra(sizes.q + sizes.k), angles, angles._replace(width=Width.statistic)
            for before, part, whole in ((0, q, sizes.q), (sizes.q, k, sizes.k)):
                yield Extra(sizes.q + sizes.k + before + 3 * part), angles
                yield Extra(sizes.q + sizes.k + before + part + (whole if self.rotary_dim else 0)), angles

    def program(self, at: Sheet, x: Blank, kv: Blank | None = None) -> Blank:
        from archcalc.paper import operations as op

        if "R" in at.output:
            x, kv = op.folded(x), None if kv is None else op.folded(kv)
        source, sizes = x if kv is None else kv, self.sizes(*at.shapes)
        q = self._heads(at, x, sizes.heads, sizes.head, self._biases[0], normed=True)
        k = self._heads(at, source, sizes.kv_heads, sizes.head, self._biases[1], normed=True)
        if self.rope:
            q, k = self._turned_heads(q, k, known(self._turned(sizes.head)))
        v = self._heads(at, source, sizes.kv_heads, sizes.value, self._biases[2])
        mixed = self.mixed(at, q, k, v, sizes)
        del q, k, v
        weight = at.parameter(at.output.C, mixed.sizes[-1])
        made = op.linear(mixed, weight, at.parameter(at.output.C) if self._biases[3] else None)
        return op.view(made, at.sizes()) if "R" in at.output else made

    def _heads(self, at: Sheet, x: Blank, heads: Dim, size: Dim, bias: bool, normed: bool = False) -> Blank:
        """A projection, divided among heads; queries and keys are normalised before or after."""
        from archcalc.paper import operations as op

        weight = at.parameter(heads * size, x.sizes[-1])
        x = op.linear(x, weight, at.parameter(heads * size) if bias else None)
        if normed and self.qk_norm_whole:
            x = self._normed_heads(at, x)
        x = op.view(x, (*x.sizes[:2], known(heads), known(size)))
        return self._normed_heads(at, x) if normed and not self.qk_norm_whole else x

    def _normed_heads(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        if self.qk_norm == "none":
            return x
        own = [at.parameter(x.sizes[-1]) for _ in range(2 if self.qk_norm == "ln" else 1)]
        return op.normalised(x, own)

    def _turned_heads(self, q: Blank, k: Blank, size: int) -> tuple[Blank, Blank]:
        from archcalc.paper import operations as op

        cos, sin = op.angles(q, max(q.sizes[1], k.sizes[1]), size)
        return op.rotated(q, cos, sin, self.rope_interleaved), op.rotated(k, cos, sin, self.rope_interleaved)

    def torch_module(self, x: Shape, kv: Shape | None = None) -> nn.Module:
        from archcalc.layers import torch_modules as tm
        from archcalc.layers import torch_tokens

        source, sizes = kv if kv is not None else x, self.sizes(x, kv)
        query_norm, key_norm = (self._norm(sizes.head, width) for width in self._widths(x, kv)[:2])
        attention = torch_tokens.Attention(
            known(x.C),
            known(self.num_heads),
            known(source.C),
            self._biases[0] if len(set(self._biases)) == 1 else self._biases,
            self.core(known(self.num_heads), known(sizes.head)),
            _number(self.kv_heads),
            _number(self.head_dim),
            _number(self.value_dim),
            _number(self.out_features),
            query_norm,
            key_norm,
            self.qk_norm_whole,
            self._rotary(sizes.head) if self.rope else None,
        )
        return tm.Folded(attention, 1) if "R" in x else attention

    def _rotary(self, head: Dim) -> nn.Module:
        from archcalc.layers import torch_tokens

        return torch_tokens.Rotary(known(self._turned(head)), float(self.rope_base), self.rope_interleaved)

    def _norm(self, head: Dim, width: Dim) -> nn.Module | None:
        from torch import nn

        size, eps = known(width if self.qk_norm_whole else head), None if self.eps is None else float(self.eps)
        if self.qk_norm == "ln":
            return nn.LayerNorm(size) if eps is None else nn.LayerNorm(size, eps)
        return nn.RMSNorm(size, eps) if self.qk_norm == "rmsnorm" else None


def _number(size: Dim | None) -> int | None:
    return None if size is None else known(size)


@layer("sdpa")
class ScaledDotProduct(Attending):
    """Attention without projections: the heads of queries, which enter, to those of `keys` and `values`.

    Shapes: queries (T, num_heads·D), keys (S, kv_heads·D), values (S, kv_heads·E), output (T, num_heads·E). What the
    arguments mean, `attention` says.
    Source: Vaswani et al. 2017, equation 1; torch.nn.functional.scaled_dot_product_attention.

    >>> ScaledDotProduct(8, "k", "v").macs(Shape(T=4, C=64), Shape(T=4, C=64), Shape(T=4, C=64))
    2048
    """

    also = ("scaled_dot_product_attention", "dot_product_attention", "flash_attention")

    num_heads: Dim
    keys: Tensor
    values: Tensor
    causal: bool = False
    kv_heads: Dim | None = None
    scale: Number | None = None
    window: Dim | None = None
    alibi: bool = False
    buckets: Dim | None = None
    max_distance: Dim = 128
    relative: Extent | None = None
    relative_cls: bool = False
    softcap: Number | None = None
    sinks: bool = False
    tie: Tie | None = None

    sentences = Sentences(
        weights="the table of positions",
        biases="a sink for each head",
        macs="queries with keys and probabilities with values, over all pairs of tokens",
    )

    def sizes(self, x: Shape, keys: Shape, values: Shape) -> Sizes:
        """The numbers that all others follow from."""
        heads = self.num_heads
        groups = heads if self.kv_heads is None else self.kv_heads
        tokens = token_count(x), token_count(keys), x.without("C").numel, keys.without("C").numel
        return Sizes(*tokens, heads, groups, shared_out(x.C, heads), shared_out(values.C, groups))

    def output_shape(self, x: Shape, keys: Shape, values: Shape) -> Shape:
        groups = self.num_heads if self.kv_heads is None else self.kv_heads
        token_count(x)
        if differ(x.C % self.num_heads, 0):
            raise ShapeError(f"C={x.C} is not divisible by num_heads={self.num_heads}", code="E205")
        for name, volume in (("keys", keys), ("values", values)):
            if token_count(volume) is not None and unequal_axes(x, volume, ["R"]):
                raise ShapeError(f"{name} are {volume}, the input {x}: their regions differ", code="E208")
            if differ(volume.C % groups, 0):
                raise ShapeError(f"{volume.C} numbers of {name} can't be divided among {groups} heads", code="E205")
        if unequal_axes(keys, values, ["T"]):
            raise ShapeError(f"keys are {keys}, values {values}: each key needs a value", code="E208")
        sizes = self.sizes(x, keys, values)
        if differ(keys.C, groups * sizes.head):
            told = f"keys have {keys.C} numbers, {groups} heads of queries {groups * sizes.head}"
            raise ShapeError(told, code="E208")
        self.check(sizes)
        return x.with_(C=self.num_heads * sizes.value)

    def weights(self, x: Shape, keys: Shape, values: Shape) -> Dim:
        return self.own_positions(self.num_heads)

    def tensors(self, x: Shape, keys: Shape, values: Shape) -> Mapping[str, tuple[Dim, ...]]:
        return self.shared_tensors(self.num_heads)

    def weight_shape(self, x: Shape, keys: Shape, values: Shape) -> tuple[Dim, ...]:
        return self.table_shape(self.num_heads)

    def biases(self, x: Shape, keys: Shape, values: Shape) -> Dim:
        return self.num_heads if self.sinks else 0

    def macs(self, x: Shape, keys: Shape, values: Shape) -> Dim:
        return self.products(self.sizes(x, keys, values))

    def attention_macs(self, x: Shape, keys: Shape, values: Shape) -> Dim:
        return self.macs(x, keys, values)

    def macs_of_step(self, new: Sequence[Shape | None], x: Shape, keys: Shape, values: Shape) -> Dim:
        return self.macs(new[0] or x, *(y.with_(T=self.remembered(y["T"], new[1])) for y in (keys, values)))

    def cached(self, new: Sequence[Shape | None], x: Shape, keys: Shape, values: Shape) -> Dim:
        return sum(y.with_(T=self.remembered(y["T"], new[1])).numel for y in (keys, values))

    def reads(self, x: Shape, keys: Shape, values: Shape) -> Sequence[Reads]:
        """The tokens that a query sees; of channels the own head's, of values the same number in that head."""
        sizes = self.sizes(x, keys, values)
        shared, seen = shared_out(sizes.heads, sizes.kv_heads), self.keys_read()
        return [
            Reads({"C": Groups(sizes.value, sizes.head)}),
            Reads({"C": Groups(shared * sizes.value, sizes.head), "T": seen}),
            Reads({"C": Repeated(sizes.value, shared), "T": seen}),
        ]

    def kept(self, needs: Sequence[bool], x: Shape, keys: Shape, values: Shape) -> Kept:
        """A kernel keeps what it reads and makes; steps keep copies, by head."""
        sizes = self.sizes(x, keys, values)
        if self.stepwise:
            return Kept(extras=self.kept_by_steps(sizes, needs))
        return Kept((0, 1, 2), output=True, extras=self.kept_by_kernel(sizes))

    def working(self, x: Shape, keys: Shape, values: Shape) -> Moments:
        return self.working_inside(self.sizes(x, keys, values))

    def program(self, at: Sheet, x: Blank, keys: Blank, values: Blank) -> Blank:
        from archcalc.paper import operations as op

        sizes = self.sizes(*at.shapes)
        counts = known(sizes.heads), known(sizes.kv_heads), known(sizes.kv_heads)
        inputs = [op.folded(each) if "R" in at.output else each for each in (x, keys, values)]
        q, k, v = (
            op.view(each, (*each.sizes[:2], n, each.sizes[2] // n)) for each, n in zip(inputs, counts, strict=True)
        )
        made = self.mixed(at, q, k, v, sizes)
        return op.view(made, at.sizes()) if "R" in at.output else made

    def torch_module(self, x: Shape, keys: Shape, values: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm
        from archcalc.layers import torch_tokens

        sizes = self.sizes(x, keys, values)
        heads = known(self.num_heads)
        module = torch_tokens.Heads(heads, known(sizes.kv_heads), self.core(heads, known(sizes.head)))
        return tm.Folded(module, 1) if "R" in x else module


@layer("matmul")
class MatrixProduct(Layer):
    """The product with another volume: each token's features with the other's tokens; transposed, with their features.

    Shapes: (T, C) times (C, C') gives (T, C'); transposed, (T, C) times (T', C) gives (T, C=T'). Regions go in pairs.
    Source: torch.matmul.

    >>> MatrixProduct("b").macs(Shape(T=4, C=64), Shape(T=64, C=32))
    8192
    """

    also = ("bmm", "mm", "batch_matmul", "batch_dot", "einsum")

    other: Tensor
    transpose: bool = False

    sentences = Sentences(macs="each number of the output is a sum of {C_in} products")

    def needs_dense(self, x: Shape) -> bool:
        return "R" in x  # which joins the batch

    def output_shape(self, x: Shape, other: Shape) -> Shape:
        token_count(other)
        if x.spatial:
            raise ShapeError(f"needs features of tokens; the input is {x}", code="E210", hint="write 'tokens -> ...'")
        if unequal_axes(x, other, ["R"]):
            raise ShapeError(f"other is {other}, the input {x}: their regions differ", code="E208")
        rows, made = (other.C, other["T"]) if self.transpose else (other["T"], other.C)
        if differ(x.C, rows):
            axis = "C" if self.transpose else "T"
            hint = "" if self.transpose else "transpose=true multiplies features with features"
            raise ShapeError(f"C={x.C} of the input meets {axis}={rows} of {other}", code="E208", hint=hint)
        return x.with_(C=made)

    def macs(self, x: Shape, other: Shape) -> Dim:
        return self.output_shape(x, other).numel * x.C

    def reads(self, x: Shape, other: Shape) -> Sequence[Reads]:
        """All features of the token; of the other volume a column, or the token that becomes a channel: any of them."""
        if not self.transpose:
            return [over("C", Everywhere()), over("T", Everywhere())]
        return [over("C", Everywhere()), over("TC", Everywhere()) if "R" in x else ALL]

    def kept(self, needs: Sequence[bool], x: Shape, other: Shape) -> Kept:
        """Each factor whose other factor has a gradient."""
        return Kept(tuple(place for place in (0, 1) if needs[1 - place]))

    def program(self, at: Sheet, x: Blank, other: Blank) -> Blank:
        from archcalc.paper import operations as op

        if self.transpose:
            last = len(other.sizes) - 1
            other = op.turned(other, (*range(last - 1), last, last - 1))
        if "T" not in at.output:
            x = op.view(x, (*x.sizes[:-1], 1, x.sizes[-1]))
        made = op.matrices(x, other)
        return made if len(made.sizes) == len(at.sizes()) else op.view(made, at.sizes())

    def torch_module(self, x: Shape, other: Shape) -> nn.Module:
        from archcalc.layers import torch_tokens

        return torch_tokens.Product("T" not in x, self.transpose)


@layer("pos_embed")
class PositionEmbedding(Layer):
    """Adds a vector for each position, learned or of sines; the table may be longer than the input. Shapes: (T, C).

    Source: Vaswani et al. 2017, section 3.5; learned: Dosovitskiy et al. 2021, equation 1.
    """

    also = ("positional_embedding", "position_embedding", "positional_encoding", "sinusoidal", "sinusoids")

    num_positions: Dim | None = None
    learned: bool = True

    by_position = True
    is_table = True
    uncounted = "additions"
    sentences = Sentences(
        weights="a vector of {C_in} numbers for each position",
        buffers="a vector of {C_in} sines and cosines for each position",
    )

    def output_shape(self, x: Shape) -> Shape:
        if exceeds(token_count(x), self.table_length(x)):
            raise ShapeError(f"T={x['T']} exceeds num_positions={self.num_positions}", code="E208")
        return x

    def table_length(self, x: Shape) -> Dim:
        """How many positions the table holds: as many as there are tokens, unless `num_positions` says."""
        return token_count(x) if self.num_positions is None else self.num_positions

    def weights(self, x: Shape) -> Dim:
        return self.table_length(x) * x.C if self.learned else 0

    def buffers(self, x: Shape) -> Dim:
        return 0 if self.learned else self.table_length(x) * x.C

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        return {"weight": (self.table_length(x), x.C)}

    def parameter_sizes(self, x: Shape) -> tuple[Dim, ...]:
        return self.table_length(x), x.C

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        if not self.learned:
            return op.shifted(x)
        table = at.parameter(self.table_length(*at.shapes), at.output.C)
        return op.added(x, op.part(table, 0, x.sizes[-2]))

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_tokens

        make = torch_tokens.PositionEmbedding if self.learned else torch_tokens.Sinusoids
        return make(known(self.table_length(x)), known(x.C))


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

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        token = op.spread(at.parameter(x.sizes[-1]), (*x.sizes[:-2], 1, x.sizes[-1]))
        return op.joined([token, x], len(x.sizes) - 2)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_tokens

        return torch_tokens.ClassToken(known(x.C))
