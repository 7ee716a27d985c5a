"""Attention, in whatever way a program divides features among heads, and places among windows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isclose, prod
from typing import Any, NamedTuple

from archcalc.importers.operations.drawn import Drawn
from archcalc.importers.operations.exported import Operation, Stored
from archcalc.importers.operations.lifting import TOKENS, Lifter, Unknown, Waiting, argument, number, operator
from archcalc.importers.operations.merging import merged
from archcalc.importers.operations.positions import Added, Around, added_by, added_to, regrouped
from archcalc.importers.operations.products import product
from archcalc.importers.operations.views import (
    BATCH,
    COPIES,
    Dimension,
    Factor,
    Norm,
    Rotation,
    TensorView,
    joined,
    whole,
)
from archcalc.importers.operations.windowing import within_windows
from archcalc.shape import Shape

FIRST = 10**9
"""The number of the first attention that waits; steps have smaller ones."""


class Scores(NamedTuple):
    """Products of queries (…, T, D) with keys (…, S, D), times a number, with numbers added; perhaps their softmax.

    What is added are constants and learned numbers; `turned`: keys come ahead of queries.
    """

    queries: TensorView
    keys: TensorView
    scale: float = 1.0
    added: tuple[Any, ...] = ()
    softmax: bool = False
    turned: bool = False

    def times(self, factor: float) -> Scores:
        """The same multiplied."""
        added = tuple(each * factor for each in self.added if not isinstance(each, tuple))
        if len(added) != len(self.added):
            raise Unknown("learned numbers that are multiplied")
        return self._replace(scale=self.scale * float(factor), added=added)

    def hidden(self, mask: Any, value: float) -> Scores:
        """The same with another value where a mask says so."""
        import torch

        return self._replace(added=(*self.added, torch.where(mask.bool(), float(value), 0.0)))

    def reshaped(self, shape: Sequence[int]) -> Scores | None:
        """The same with other dimensions ahead of queries and keys; None if those change."""
        ends = self.queries.sizes()[-2], self.keys.sizes()[-2]
        queries, keys = (each.reshaped((*shape[:-2], *each.sizes()[-2:])) for each in (self.queries, self.keys))
        if tuple(shape[-2:]) != ends or queries is None or keys is None:
            return None
        before = (*self.queries.sizes()[:-2], *ends)
        added = tuple(
            each._replace(places=regrouped(each.places, before, shape))
            if isinstance(each, Drawn)
            else regrouped(each, before, shape)
            for each in self.added
        )
        return self._replace(queries=queries, keys=keys, added=added)


class Divided(NamedTuple):
    """A tensor (…, tokens, features) as a view of the volume that it's of: regions and heads ahead, times a number."""

    view: TensorView
    kinds: tuple[tuple[str, int], ...]
    factor: float

    @property
    def heads(self) -> int:
        """How many there are."""
        return prod(factor.size for factor in self.own)

    @property
    def own(self) -> Dimension:
        """The heads, as stretches of C."""
        return tuple(f for dim in self.view.dims[:-2] for f in dim if f.axis == "C")

    @property
    def regions(self) -> Dimension:
        """What is ahead and neither the batch nor heads."""
        return tuple(f for dim in self.view.dims[:-2] for f in dim if f.axis not in ("C", BATCH, COPIES))

    @property
    def size(self) -> int:
        """Features of a head."""
        return self.view.sizes()[-1]

    def as_tokens(self) -> TensorView:
        """The batch, regions if there are any, tokens, and the features of all heads side by side."""
        *_, tokens, features = self.view.dims
        regions = (joined(self.regions),) if self.regions else ()
        batch = tuple(f for dim in self.view.dims[:-2] for f in dim if f.axis == BATCH)
        return self.view._replace(dims=(batch, *regions, tokens, joined(self.own + features)))


def divided(lifter: Lifter, view: TensorView, heads: bool = True) -> Divided | None:
    """A tensor as queries, keys or values; None if they aren't such; without `heads`, all is regions but the batch."""
    view, factor = _before_factors(lifter, view)
    if view.step in lifter.free:
        view = view._replace(dims=((), *view.dims[1:]) if {f.axis for f in view.dims[0]} <= {COPIES} else view.dims)
    ahead = [f for dim in view.dims[:-2] for f in dim]
    batch = [f for f in ahead if f.axis == BATCH]
    if (batch and ahead[0] != batch[0]) or BATCH in {f.axis for dim in view.dims[-2:] for f in dim}:
        return None
    if batch != list(whole(BATCH, 1 if view.step in lifter.free else lifter.batch)):
        return None
    kinds: list[tuple[str, int]] = []
    for each in ahead[len(batch) :]:
        kind = "heads" if heads and each.axis in ("C", COPIES) else "regions"
        last = kinds.pop() if kinds and kinds[-1][0] == kind else (kind, 1)
        kinds.append((kind, last[1] * each.size))
    return Divided(view, tuple(kinds), factor)


def _before_factors(lifter: Lifter, view: TensorView) -> tuple[TensorView, float]:
    """The tensor before it was multiplied by numbers, or parts of it were taken; and the number."""
    factor = 1.0
    while view.step >= 0 and view.step not in lifter.waiting:
        step = lifter.steps[view.step]
        if view.step in lifter.multiples:
            factor *= lifter.multiples[view.step]
            view = view._replace(step=step.inputs[0])
        elif view.step in lifter.parts:
            view = view._replace(step=step.inputs[0]).moved(*lifter.parts[view.step])
        else:
            break
    return view, factor


# --- what becomes attention -------------------------------------------------------------------------------------------


@operator("scaled_dot_product_attention")
def attention(lifter: Lifter, op: Operation) -> TensorView:
    """Attention by PyTorch's own function."""
    import torch

    queries, keys, values = map(lifter.view, op.arguments[:3])
    scale = argument(op, 6, "scale")
    scores = Scores(queries, keys, queries.sizes()[-1] ** -0.5 if scale is None else scale, softmax=True)
    if argument(op, 5, "is_causal", False):
        hidden = torch.ones(queries.sizes()[-2], keys.sizes()[-2], device="cpu").triu(1).bool()
        scores = scores.hidden(hidden, -float("inf"))
    if (operand := argument(op, 3, "attn_mask")) is not None:
        added = _mask(lifter, operand)
        if added is None:
            return _spelled(lifter, scores, values, lifter.view(operand))
        scores = scores._replace(added=(*scores.added, *added))
    found = attend(lifter, scores, values)
    if found is None:
        raise Unknown("attention with a mask or heads that specs don't know")
    return found


def _mask(lifter: Lifter, operand: Any) -> tuple[Any, ...] | None:
    """What is added to scores by a mask; None if that's a volume."""
    import torch

    mask = lifter.constant(operand)
    if mask is not None and mask.dtype == torch.bool:
        return (torch.where(mask, 0.0, -float("inf")),)
    return added_by(lifter, operand)


def _spelled(lifter: Lifter, scores: Scores, values: TensorView, bias: TensorView) -> TensorView:
    """Attention in layers of its own, with a volume that is added to scores."""
    found = product(lifter, scores.queries, scores.keys.transposed(-1, -2))
    found = merged(lifter, "add", lifter.along(found, "times", factor=number(scores.scale)), bias)
    return product(lifter, lifter.along(lifter.with_features(found), "softmax"), values)


def attend(lifter: Lifter, scores: Scores, values: TensorView) -> TensorView | None:
    """Mixed values, which wait for the product that mixes heads; None if that isn't attention as specs have it."""
    for heads in (True, False):
        parts = [divided(lifter, view, heads) for view in (scores.queries, scores.keys, values)]
        q, k, v = parts
        if q is None or k is None or v is None or v.factor != 1 or v.view.norm or v.view.rope:
            continue
        if q.kinds != k.kinds or q.kinds != v.kinds or len(dict(q.kinds)) != len(q.kinds):
            continue
        ends = q.view.sizes()[-2], k.view.sizes()[-2]
        added = added_to(scores.added, Around(lifter.batch, q.view.sizes()[:-2], q.kinds, ends))
        if added is None:
            return None
        return _waiting(lifter, (q, k, v), scores.scale * q.factor * k.factor, added)
    return None


def _waiting(lifter: Lifter, parts: tuple[Divided, Divided, Divided], scale: float, added: Added) -> TensorView:
    q, k, v = parts
    heads = prod(size for kind, size in q.kinds if kind == "heads")
    arguments: dict[str, Any] = dict(added.arguments)
    arguments |= _turned(q.view.rope, k.view.rope, q.size)
    arguments |= _normed(q.view.norm, k.view.norm)
    if not isclose(scale, q.size**-0.5, rel_tol=1e-5):
        arguments["scale"] = number(scale)
    if k.heads != heads and "heads" in dict(q.kinds):
        arguments["kv_heads"] = k.heads
    regions = prod(size for kind, size in q.kinds if kind == "regions")
    tokens = q.view.sizes()[-2]
    shape = Shape(**({"R": regions} if regions > 1 else {}), T=tokens, C=heads * v.size)
    found = FIRST + len(lifter.waiting)
    alone = partial(_alone, parts=parts, heads=heads, added=added, **arguments)
    lifter.waiting[found] = Waiting(shape, alone, partial(_mixed, parts=parts, heads=heads, added=added, **arguments))
    return TensorView(found, _dims(lifter, q, v.size, heads, tokens))


def _turned(query: Rotation | None, key: Rotation | None, size: int) -> dict[str, Any]:
    """What is said of rotary positions, in heads with so many features."""
    if query != key:
        raise Unknown("rotary positions of queries that aren't those of keys")
    if query is None:
        return {}
    found: dict[str, Any] = {"rope": True, "rope_base": number(query.base)}
    if query.size != size:
        found["rotary_dim"] = query.size
    if query.interleaved:
        found["rope_interleaved"] = True
    return found


def _normed(query: Norm | None, key: Norm | None, whole: bool = False) -> dict[str, Any]:
    """What is said of norms of queries and keys, of each head or of all together.

    Raises: Unknown: they differ, or not all that a norm can learn is there.
    """
    if query is None and key is None:
        return {}
    if query is None or key is None or (query.kind, query.arguments) != (key.kind, key.arguments):
        raise Unknown("norms of queries that aren't those of keys")
    said = dict(query.arguments)
    if not said["affine"] or not said.get("bias", True):
        raise Unknown("norms of queries that learn less than specs' do")
    found: dict[str, Any] = {"qk_norm": query.kind, "eps": said["eps"]}
    return found | ({"qk_norm_whole": True} if whole else {})


@operator("rotation")
def rotation(lifter: Lifter, op: Operation) -> TensorView:
    """Queries or keys that are turned by their positions."""
    x, found, tokens = lifter.view(op.arguments[0]), *op.arguments[1:]
    if x.dims[tokens] != whole("T", lifter.shape(x.step).get("T", 0)):
        raise Unknown("features that are turned, but not by their token's position")
    return x._replace(rope=found)


def _dims(lifter: Lifter, q: Divided, size: int, heads: int, tokens: int) -> tuple[Dimension, ...]:
    """The dimensions of mixed values, those of queries, of a volume (R, T, C)."""
    left = {"R": prod(each for kind, each in q.kinds if kind == "regions"), "C": heads * size}
    found: list[Dimension] = []
    for dim in q.view.dims[:-2]:
        mine: list[Factor] = []
        for factor in dim:
            axis = factor.axis
            if axis != BATCH:
                axis = "C" if factor.axis in ("C", COPIES) and "heads" in dict(q.kinds) else "R"
                left[axis] //= factor.size
            mine.append(Factor(axis, left.get(axis, 1) if axis != BATCH else 1, factor.size))
        found.append(joined(mine))
    if q.view.step in lifter.free:  # then keys have the examples
        found[0] = joined([*whole(BATCH, lifter.batch), *found[0]])
    return (*found, whole("T", tokens), whole("C", size))


# --- layers -----------------------------------------------------------------------------------------------------------


def _alone(lifter: Lifter, parts: tuple[Divided, Divided, Divided], heads: int, added: Added, **arguments: Any) -> int:
    """Attention of volumes that are there."""
    if "rope" in arguments or "qk_norm" in arguments or added.regions is not None:
        raise Unknown("rotary positions, norms, or masks of regions, without projections")
    steps = [lifter.volume(each, TOKENS[-len(each.dims) + 1 :]) for each in (part.as_tokens() for part in parts)]
    return lifter.add("sdpa", steps, added.stored, num_heads=heads, keys="", values="", **arguments)


def _mixed(
    lifter: Lifter,
    weight: Stored,
    bias: Stored | None,
    parts: tuple[Divided, Divided, Divided],
    heads: int,
    added: Added,
    **arguments: Any,
) -> TensorView | None:
    """Attention with its projections, if each of the three is a part of a product that reads what the others read."""
    parts = (_before_norm(lifter, parts[0]), _before_norm(lifter, parts[1]), parts[2])
    q, k, v = parts
    rows = [each for part in parts if (each := _rows(part)) is not None]
    if any(part.view.step not in lifter.products for part in parts) or len(rows) < len(parts):
        return None
    if heads != q.heads or prod(size for kind, size in q.kinds if kind == "heads") != heads:
        return None
    sources = [_source(lifter, part) for part in parts]
    if sources[1] != sources[2]:
        return None
    if "qk_norm" not in arguments:
        arguments |= _normed(q.view.norm, k.view.norm, whole=True)
    projections = [_projection(lifter, part.view.step, own) for part, own in zip(parts, rows, strict=True)]
    stored = [each for projection in projections for each in projection]
    biases = [len(projection) > 1 for projection in projections]
    if biases[2] != biases[0]:
        return None
    norms = [each for part in (q, k) if part.view.norm for each in part.view.norm.stored if each is not None]
    held = [*stored, weight, *([bias] if bias is not None else []), *norms, *added.stored]
    channels = lifter.shape(sources[0].step).C
    arguments |= {"bias": bias is not None}
    if biases[0] != (bias is not None):
        arguments["qkv_bias"] = biases[0]
    if biases[1] != biases[0]:
        arguments["k_bias"] = biases[1]
    if q.heads * q.size != channels:
        arguments["head_dim"] = q.size
    if v.size != q.size:
        arguments["value_dim"] = v.size
    if weight.shape[0] != channels:
        arguments["out_features"] = weight.shape[0]
    if sources[0] == sources[1]:
        found = within_windows(lifter, sources[0], heads, held, added, arguments)
        if found is not None:
            return found
    return None if added.regions is not None else _among_tokens(lifter, sources, heads, held, arguments)


def _rows(part: Divided) -> tuple[tuple[int, int], ...] | None:
    """The features of all heads, as stretches of a projection's; None if those of one don't lie side by side."""
    if part.view.dims[-1] != (Factor("C", 1, part.size),):
        return None
    places = [dict(part.view.starts).get("C", 0)]
    for factor in part.own:
        places = [place + number * factor.stride for place in places for number in range(factor.size)]
    found: list[tuple[int, int]] = []
    for place in places:
        start = found.pop()[0] if found and found[-1][1] == place else place
        found.append((start, place + part.size))
    return tuple(found)


def _before_norm(lifter: Lifter, part: Divided) -> Divided:
    """Queries or keys before a norm of all heads together."""
    view = part.view
    if view.norm or view.step not in lifter.norms:
        return part
    step, norm = lifter.steps[view.step], lifter.norms[view.step]
    before, factor = _before_factors(lifter, view._replace(step=step.inputs[0]))
    if view.starts or part.heads * part.size != step.shape.C or before.step not in lifter.products or factor != 1:
        return part
    return part._replace(view=before._replace(norm=norm))


def _projection(lifter: Lifter, step: int, rows: Sequence[tuple[int, int]]) -> list[Stored]:
    """The rows of a matrix that make queries, keys or values, and their biases, if they have any."""
    found, before = [held.part_of_rows(rows) for held in lifter.steps[step].stored], 0
    start, stop = rows[0][0], rows[-1][1]
    for bias, size in lifter.biases.get(step, ()):
        if before < stop and start < before + size:
            if start < before or stop > before + size or len(rows) > 1:
                raise Unknown("biases of several parameters for the same projection")
            found += [] if bias is None else [bias.part_of_rows([(start - before, stop - before)])]
        before += size
    return found


def _source(lifter: Lifter, part: Divided) -> TensorView:
    """What a projection reads, as tokens with features."""
    view = part.as_tokens()
    (read,) = lifter.steps[view.step].inputs
    starts = tuple(each for each in view.starts if each[0] != "C")
    return TensorView(read, (*view.dims[:-1], whole("C", lifter.shape(read).C)), starts)


def _among_tokens(
    lifter: Lifter, sources: Sequence[TensorView], heads: int, held: Sequence[Stored], arguments: dict[str, Any]
) -> TensorView:
    axes = [TOKENS[-len(each.dims) + 1 :] for each in sources]
    x, memory = (lifter.volume(view, names) for view, names in zip(sources[:2], axes[:2], strict=True))
    if memory != x:
        arguments = {**arguments, "kv": ""}
    reads = [x] if memory == x else [x, memory]
    return lifter.plain(lifter.add("attention", reads, held, num_heads=heads, **arguments))
