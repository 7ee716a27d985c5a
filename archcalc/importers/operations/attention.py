"""Attention, in whatever way a program divides features among heads."""

from __future__ import annotations

from functools import partial
from math import isclose
from typing import Any, NamedTuple

from archcalc.importers.operations.exported import Operation, Stored
from archcalc.importers.operations.lifting import Lifter, Unknown, Waiting, argument, number, operator
from archcalc.importers.operations.views import BATCH, COPIES, Factor, Rotation, TensorView, whole
from archcalc.shape import Shape

FIRST = 10**9
"""The number of the first attention that waits; steps have smaller ones."""


class Divided(NamedTuple):
    """Features of tokens, divided among heads: which volume they are of, from where on, and how many each head has."""

    step: int
    start: int
    heads: int
    size: int


def _masked(lifter: Lifter, op: Operation, tokens: Any) -> dict[str, Any]:
    """What a mask says, if it's of a form that attention knows.

    Raises: Unknown: it isn't.
    """
    if (operand := argument(op, 3, "attn_mask")) is None:
        return {"causal": bool(argument(op, 5, "is_causal", False))}
    import torch

    mask = lifter.constant(operand)
    if mask is None:
        raise Unknown("attention with a mask that depends on what enters")
    allowed = mask if mask.dtype == torch.bool else mask == 0
    if not bool((allowed == allowed.reshape(-1, *allowed.shape[-2:])[0]).all()):
        raise Unknown("attention with several masks")
    allowed = allowed.reshape(-1, *allowed.shape[-2:])[0]
    if bool(allowed.all()):
        return {"causal": False}
    window = int(allowed[-1].sum())
    seen = torch.ones_like(allowed).tril() & torch.ones_like(allowed).triu(1 - window)
    if not bool((seen == allowed).all()):
        raise Unknown("attention with a mask that is neither causal nor a window")
    return {"causal": True, **({"window": window} if window < int(tokens) else {})}


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


@operator("rotation")
def rotation(lifter: Lifter, op: Operation) -> TensorView:
    """Queries or keys that are turned by their positions."""
    x, found, tokens = lifter.view(op.arguments[0]), *op.arguments[1:]
    if x.dims[tokens] != whole("T", lifter.shape(x.step).get("T", 0)):
        raise Unknown("features that are turned, but not by their token's position")
    return x._replace(rope=found)


@operator("scaled_dot_product_attention")
def attention(lifter: Lifter, op: Operation) -> TensorView:
    """Attention, which waits for the product that mixes its heads."""
    q, k, v = (_divided(lifter, lifter.view(each)) for each in op.arguments[:3])
    scale = argument(op, 6, "scale")
    arguments = _masked(lifter, op, lifter.shape(q.step)["T"])
    query, key = (lifter.view(each).rope for each in op.arguments[:2])
    arguments |= _turned(query, key, q.size)
    if scale is not None and not isclose(scale, q.size**-0.5):
        arguments["scale"] = number(scale)
    if k.heads != q.heads:
        arguments["kv_heads"] = k.heads
    shape = lifter.shape(q.step).with_(C=q.heads * v.size)
    found = FIRST + len(lifter.waiting)
    alone = partial(_alone, q=q, k=k, v=v, **arguments)
    lifter.waiting[found] = Waiting(shape, alone, partial(_mixed, q=q, k=k, v=v, **arguments))
    batch, _, tokens, _ = lifter.view(op.arguments[0]).dims
    return TensorView(found, (batch, (Factor("C", v.size, q.heads),), tokens, (Factor("C", 1, v.size),)))


def _divided(lifter: Lifter, view: TensorView) -> Divided:
    """A tensor (N, heads, T, features of each)."""
    start = dict(view.starts).get("C", 0)
    if len(view.dims) != 4 or len(view.dims[3]) != 1 or set(dict(view.starts)) - {"C"}:
        raise Unknown("attention over other axes than tokens")
    (features,) = view.dims[3]
    heads = view.dims[1][0] if view.dims[1] else Factor("C", features.size, 1)
    if heads.axis == COPIES:
        heads = Factor("C", features.size, 1)
    if (heads.axis, heads.stride, features.axis, features.stride) != ("C", features.size, "C", 1):
        raise Unknown("heads whose features don't lie side by side")
    shape = lifter.shape(view.step)
    if "T" not in shape or view.dims[2] != whole("T", shape.T) or view.dims[0] != whole(BATCH, lifter.batch):
        raise Unknown("attention over other axes than tokens")
    return Divided(view.step, start, heads.size, features.size)


def _alone(lifter: Lifter, q: Divided, k: Divided, v: Divided, **arguments: Any) -> int:
    """Attention of volumes that are there."""
    q_step, k_step, v_step = (_part(lifter, each) for each in (q, k, v))
    return lifter.add("sdpa", [q_step, k_step, v_step], num_heads=q.heads, keys="", values="", **arguments)


def _part(lifter: Lifter, divided: Divided) -> int:
    width, shape = divided.heads * divided.size, lifter.shape(divided.step)
    if shape.C == width:
        return divided.step
    start, stop = divided.start, divided.start + width
    return lifter.add("part", [divided.step], axis="C", start=start, stop=stop)


def _mixed(
    lifter: Lifter, weight: Stored, bias: Stored | None, q: Divided, k: Divided, v: Divided, **arguments: Any
) -> int | None:
    """Attention with its projections, if each of the three is a part of a product that reads what the others read."""
    steps = [each.step for each in (q, k, v)]
    if any(step < 0 or step in lifter.waiting or step not in lifter.products for step in steps):
        return None
    (x,), (memory,), (other,) = (lifter.steps[step].inputs for step in steps)
    if memory != other:
        return None
    stored: list[Stored] = []
    for each in (q, k, v):
        rows = ((each.start, each.start + each.heads * each.size),)
        stored += [held._replace(rows=rows) for held in lifter.steps[each.step].stored]
    biases = [len(lifter.steps[step].stored) > 1 for step in steps]
    channels: Shape = lifter.shape(x)
    arguments |= {"bias": bias is not None}
    if biases[0] != (bias is not None):
        arguments["qkv_bias"] = biases[0]
    if biases[1] != biases[0]:
        arguments["k_bias"] = biases[1]
    if biases[2] != biases[0]:
        return None
    if q.heads * q.size != channels.C:
        arguments["head_dim"] = q.size
    if v.size != q.size:
        arguments["value_dim"] = v.size
    if weight.shape[0] != channels.C:
        arguments["out_features"] = weight.shape[0]
    held = [*stored, weight, *([bias] if bias is not None else [])]
    reads = [x] if memory == x else [x, memory]
    if memory != x:
        arguments["kv"] = ""
    return lifter.add("attention", reads, held, num_heads=q.heads, **arguments)
