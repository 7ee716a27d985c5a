"""What attention does between queries, keys and values: masks, biases, caps, a softmax; and what bytes that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Extent, Number, Tie
from archcalc.layers.base import Layer
from archcalc.layers.kept import Extra, Moments, Width
from archcalc.layers.reads import Everywhere, Relation, UpTo
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, differ, exceeds, floor_div, known, minimum, prod, shared_out

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank

PROJECTIONS = ("queries", "keys", "values", "mix")


class Sizes(NamedTuple):
    """What attention works with, per example: tokens that ask and that are read, and those of all regions together."""

    queries: Dim
    keys: Dim
    asking: Dim
    read: Dim
    heads: Dim
    kv_heads: Dim
    head: Dim
    value: Dim

    @property
    def q(self) -> Dim:
        """Numbers in all queries."""
        return self.asking * self.heads * self.head

    @property
    def k(self) -> Dim:
        """Numbers in all keys."""
        return self.read * self.kv_heads * self.head

    @property
    def v(self) -> Dim:
        """Numbers in all values."""
        return self.read * self.kv_heads * self.value

    @property
    def mixed(self) -> Dim:
        """Numbers in all heads' mixed values."""
        return self.asking * self.heads * self.value

    @property
    def scores(self) -> Dim:
        """A number for each head, query and key."""
        return self.asking * self.keys * self.heads

    @property
    def pairs(self) -> Dim:
        """Queries with keys, those of one region."""
        return self.queries * self.keys

    @property
    def offsets(self) -> Dim:
        """How many distances there are between a query and a key."""
        return self.queries + self.keys - 1


class Attending(Layer):
    """What a softmax over scaled products of queries and keys has to do with: masks, biases, caps; bytes of it all."""

    causal: bool
    scale: Number | None
    window: Dim | None
    alibi: bool
    softcap: Number | None
    sinks: bool
    buckets: Dim | None
    max_distance: Dim
    relative: Extent | None
    relative_cls: bool = False
    tie: Tie | None = None
    """Whose table of positions it has, for the kinds that can share one."""

    keeps_the_least = True
    uncounted = "softmax and scaling"

    def check(self, sizes: Sizes) -> None:
        """Raise if masks, biases or caps don't go together, or not with these tokens."""
        if differ(sizes.heads % sizes.kv_heads, 0):
            raise ShapeError(f"num_heads={sizes.heads} is not divisible by kv_heads={sizes.kv_heads}", code="E205")
        if self.window is not None and exceeds(sizes.queries, sizes.keys + self.window - 1):
            told = f"window={self.window} shows no key to the last of {sizes.queries} tokens: there are {sizes.keys}"
            raise ShapeError(told, code="E208")
        if self.softcap is not None and self.softcap <= 0:
            raise ShapeError(f"softcap={self.softcap} is not positive", code="E211")
        given = [name for name in ("alibi", "buckets", "relative") if getattr(self, name)]
        if len(given) > 1:
            raise ShapeError(f"takes either {given[0]} or {given[1]}", code="E211")
        if self.relative is None and self.relative_cls:
            raise ShapeError("relative_cls is for displacements", code="E211", hint="add relative=MxM")
        if self.relative is not None:
            places, told = prod(self._grid()), "x".join(map(str, self._grid()))
            for tokens in (sizes.queries, sizes.keys):
                if differ(tokens, places + int(self.relative_cls)):
                    more = " and one" if self.relative_cls else ""
                    text = f"relative={told} has {places} places{more}, there are T={tokens} tokens"
                    raise ShapeError(text, code="E208")
        if self.buckets is not None:
            self._check_buckets(self.buckets)
        if self.tie is not None and not self.positions(1):
            hint = "give it buckets=… or relative=…"
            raise ShapeError("tie is for a table of positions, and there's none", code="E211", hint=hint)

    def _check_buckets(self, buckets: Dim) -> None:
        sides = 1 if self.causal else 2
        if differ(buckets % (2 * sides), 0):
            why = "half of them are for keys " + (
                "far away" if self.causal else "after the query, half of each far away"
            )
            raise ShapeError(f"buckets={buckets} is not divisible by {2 * sides}: {why}", code="E205")
        near = floor_div(buckets, 2 * sides)
        if exceeds(near + 1, self.max_distance):
            told = (
                f"max_distance={self.max_distance} is not greater than the {near} near ones, which have buckets alone"
            )
            raise ShapeError(told, code="E208")

    def _grid(self) -> tuple[Dim, ...]:
        return self.relative if isinstance(self.relative, tuple) else (self.relative or 0,)

    def positions(self, heads: Dim) -> Dim:
        """Learned numbers in the table of positions."""
        if self.buckets is not None:
            return self.buckets * heads
        if self.relative is None:
            return 0
        return heads * (prod(2 * size - 1 for size in self._grid()) + 3 * self.relative_cls)

    def own_positions(self, heads: Dim) -> Dim:
        """Those of them that aren't another layer's."""
        return 0 if self.tie is not None else self.positions(heads)

    def shared_tensors(self, heads: Dim) -> Mapping[str, tuple[Dim, ...]]:
        """The table of positions, if it's its own, and the heads' sinks."""
        table = self.table_shape(heads) if self.own_positions(heads) != 0 else ()
        return {**({"positions": table} if table else {}), **({"sinks": (heads,)} if self.sinks else {})}

    def table_shape(self, heads: Dim) -> tuple[Dim, ...]:
        """The table as PyTorch stores it, if there is one."""
        return (rows, heads) if (rows := self.positions(1)) else ()

    def products(self, sizes: Sizes) -> Dim:
        """Multiply-adds of queries with keys and of probabilities with values, over all pairs, masked ones too."""
        return sizes.asking * sizes.keys * sizes.heads * (sizes.head + sizes.value)

    def remembered(self, keys: Dim, new: Shape | None) -> Dim:
        """Of how many tokens keys and values are remembered: where new ones come, no more than a window shows."""
        return minimum(keys, self.window) if new and self.causal and self.window is not None else keys

    def keys_read(self) -> Relation:
        """Of the tokens that may be looked at, those that a query sees."""
        if self.window is None:
            return UpTo() if self.causal else Everywhere()
        after = 0 if self.causal else self.window - 1
        return Window(self.window + after, before=self.window - 1, after=after)

    @property
    def stepwise(self) -> bool:
        """Whether it does with scores what fused kernels don't do."""
        return bool(self.softcap is not None or self.sinks or self.buckets or self.relative)

    def _is_masked(self) -> bool:
        """Whether numbers are added to the scores; a fused kernel knows a causal mask."""
        return bool(self.window is not None or self.alibi or (self.causal and self.stepwise))

    def _mask(self, sizes: Sizes) -> tuple[Extra, Extra]:
        """The rows for all distances, and the mask that is made of them."""
        rows = sizes.heads if self.alibi else 1
        return Extra(rows * sizes.offsets, per_example=False), Extra(rows * sizes.pairs, per_example=False)

    def kept_by_kernel(self, sizes: Sizes) -> tuple[Extra, ...]:
        """What a fused kernel keeps besides queries, keys, values and mixed values.

        Of each row of probabilities the logarithm of its sum, and the mask. The probabilities themselves are computed
        again. Source: Dao et al. 2022 (FlashAttention), algorithm 1.
        """
        sums = Extra(sizes.asking * sizes.heads, Width.statistic)
        return (sums, self._mask(sizes)[1]) if self._is_masked() else (sums,)

    def kept_by_steps(self, sizes: Sizes, needs: Sequence[bool] = (True, True, True)) -> tuple[Extra, ...]:
        """What the steps keep, where `needs` says whether queries, keys and values have gradients.

        Of a product each factor whose other factor has a gradient, by head; what softmax and tanh make; places in a
        table.
        """
        queries, keys, values = needs
        shared, learned = shared_out(sizes.heads, sizes.kv_heads), self.positions(1) != 0 or self.sinks
        scores = queries or keys or learned
        kept = (
            sizes.q * int(keys),
            shared * sizes.k * int(queries),
            sizes.scores * int(self.softcap is not None and (queries or keys)),
            self._probabilities(sizes) * int(scores or values),
            shared * sizes.v * int(scores),
        )
        places = self._places(sizes)
        return (Extra(sum(kept)), *((Extra(places, Width.index, per_example=False),) if places else ()))

    def _places(self, sizes: Sizes) -> Dim:
        """Places in the table of positions, each looked up."""
        return sizes.offsets if self.buckets is not None else sizes.pairs if self.relative is not None else 0

    def _probabilities(self, sizes: Sizes) -> Dim:
        return sizes.scores + (sizes.asking * sizes.heads if self.sinks else 0)

    def working_inside(self, sizes: Sizes) -> Moments:
        """What is made from queries, keys and values on to the mixed values, of each moment."""
        if self.stepwise:
            return tuple(self._steps(sizes))
        made = (Extra(sizes.mixed), Extra(sizes.asking * sizes.heads, Width.statistic))
        return (self._mask(sizes), (self._mask(sizes)[1], *made)) if self._is_masked() else (made,)

    def _steps(self, sizes: Sizes) -> Iterator[tuple[Extra, ...]]:
        shared = shared_out(sizes.heads, sizes.kv_heads)
        one, two = Extra(sizes.scores), Extra(2 * sizes.scores)
        yield Extra(sizes.q + shared * sizes.k), one
        yield (two,)
        if self.softcap is not None:
            yield (Extra(3 * sizes.scores),)
        if self._places(sizes):
            rows = Extra(self._places(sizes) * sizes.heads, per_example=False)
            table = Extra(sizes.pairs * sizes.heads, per_example=False)
            yield one, Extra(self._places(sizes), Width.index, per_example=False), rows
            yield (one, rows, table) if self.buckets is not None else (one, rows)
            yield two, table
        if self._is_masked():
            rows, mask = self._mask(sizes)
            yield one, rows, mask
            yield two, mask
        after = Extra(self._probabilities(sizes))
        yield one, after
        yield after, after
        yield after, Extra(shared * sizes.v + sizes.mixed)
        yield after, Extra(2 * sizes.mixed)

    def mixed(self, at: Sheet, q: Blank, k: Blank, v: Blank, sizes: Sizes) -> Blank:
        """What the core makes of queries, keys and values, divided among heads; side by side again."""
        from archcalc.paper import operations as op

        if self.stepwise:
            return self._mixed_by_steps(at, q, k, v, sizes)
        mask = self._mask_of(q, sizes) if self._is_masked() else None
        made = op.attended(q, k, v, known(sizes.asking * sizes.heads) * at.batch, mask)
        return op.view(made, (*made.sizes[:2], made.sizes[2] * made.sizes[3]))

    def _mask_of(self, like: Blank, sizes: Sizes) -> Blank:
        """What is added to scores, made of a row for each head."""
        _rows, mask = (like.new((known(each.amount),)) for each in self._mask(sizes))
        return mask

    def _mixed_by_steps(self, at: Sheet, q: Blank, k: Blank, v: Blank, sizes: Sizes) -> Blank:
        from archcalc.paper import operations as op

        if self.sinks or self._places(sizes) or sizes.heads != sizes.kv_heads:
            raise at.unknown(self)
        scores = op.scores(self._by_head(q), self._by_head(k))
        scores = op.scaled(scores)
        if self.softcap is not None:
            scores = op.scaled(op.from_result(op.scaled(scores)))
        if self._is_masked():
            scores = op.added(scores, self._mask_of(scores, sizes))
        scores = op.from_result(scores)
        mixed = op.weighed(scores, self._by_head(v))
        mixed = op.copied(op.turned(mixed, (0, 2, 1, 3)))
        return op.view(mixed, (*mixed.sizes[:2], mixed.sizes[2] * mixed.sizes[3]))

    def _by_head(self, x: Blank) -> Blank:
        """Heads in front of tokens, in memory as well."""
        from archcalc.paper import operations as op

        return op.copied(op.turned(x, (0, 2, 1, 3)))

    def core(self, heads: int, head: int) -> nn.Module:
        """The PyTorch module that makes mixed values of queries, keys and values."""
        from archcalc.layers import torch_tokens

        window = None if self.window is None else known(self.window)
        alibi = heads if self.alibi else None
        scale = None if self.scale is None else float(self.scale)
        if not self.stepwise:
            return torch_tokens.Fused(self.causal, window, alibi, scale)
        positions: nn.Module | None = None
        if self.buckets is not None:
            positions = torch_tokens.Buckets(known(self.buckets), heads, known(self.max_distance), self.causal)
        elif self.relative is not None:
            positions = torch_tokens.Displacements([*map(known, self._grid())], heads, self.relative_cls)
        cap = None if self.softcap is None else float(self.softcap)
        factor = head**-0.5 if scale is None else scale
        return torch_tokens.Stepwise(heads, self.causal, factor, window, alibi, cap, self.sinks, positions)
