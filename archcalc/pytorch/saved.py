"""What autograd keeps, seen through PyTorch's own hooks for saved tensors."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import sdpa_flop

aten = torch.ops.aten


@torch.library.custom_op("archcalc::rms_norm", mutates_args=())
def fused_rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """What GPUs compute at once: the normalised values, and of each position one over its root mean square."""
    rstd = x.to(_wide(x)).square().mean(-1, keepdim=True).add(eps).rsqrt()
    unit = (x * rstd).to(x.dtype)
    return (unit if weight is None else unit * weight), rstd


@fused_rms_norm.register_fake
def _shapes(x: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty((*x.shape[:-1], 1), dtype=_wide(x))


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _rms_norm(x: Tensor, _: object, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    made: Tensor = fused_rms_norm(x, weight, torch.finfo(x.dtype).eps if eps is None else eps)[0]
    return made


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:2], output[1])


def _derive(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, weight, rstd = ctx.saved_tensors
    unit, outer = x * rstd, gradient if weight is None else gradient * weight
    inner = (outer - unit * (outer * unit).mean(-1, keepdim=True)) * rstd
    of_weight = None if weight is None else (gradient * unit).flatten(0, -2).sum(0).to(weight.dtype)
    return inner.to(x.dtype) if ctx.needs_input_grad[0] else None, of_weight, None


fused_rms_norm.register_autograd(_derive, setup_context=_keep)


@torch.library.custom_op("archcalc::attention", mutates_args=())
def fused_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None
) -> tuple[Tensor, Tensor]:
    """What GPUs compute at once: the mixed values, in the order of tokens, and of each row the logarithm of its sum."""
    return _in_order(_stepwise(q, k, v, mask, causal, scale)), _sums(q)


@fused_attention.register_fake
def _attended(q: Tensor, _: Tensor, v: Tensor, *__: object) -> tuple[Tensor, Tensor]:
    return _in_order(q.new_empty((*q.shape[:-1], v.shape[-1]))), _sums(q)


def _in_order(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).clone(memory_format=torch.contiguous_format).transpose(1, 2)


def _sums(q: Tensor) -> Tensor:
    return q.new_zeros(q.shape[:-1], dtype=_wide(q))


def _stepwise(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float | None) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, scale=scale, enable_gqa=True)


def _keep_attended(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:4], *output)
    ctx.how = inputs[4:]


def _derive_attended(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    q, k, v, mask, *_ = ctx.saved_tensors
    with torch.enable_grad():
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        mixed = _stepwise(q, k, v, mask, *ctx.how)
        return (*torch.autograd.grad(mixed, (q, k, v), gradient), None, None, None)


fused_attention.register_autograd(_derive_attended, setup_context=_keep_attended)

FUSED_FLOPS = dict.fromkeys(
    (aten._scaled_dot_product_flash_attention_for_cpu, torch.ops.archcalc.attention),
    lambda q, k, v, *_, **__: sdpa_flop(q, k, v),
)
"""For PyTorch's flop counter, which doesn't know these kernels' formula."""


RECURRENT: dict[str, Any] = {name: getattr(torch, name) for name in ("rnn_tanh", "lstm", "gru")}
"""PyTorch's recurrent layers by name."""


@torch.library.custom_op("archcalc::recurrence", mutates_args=())
def fused_recurrence(name: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """A recurrent layer at inference in one kernel: its output for every token, and its last states."""
    before = tuple(states) if len(states) > 1 else states[0]
    return list(_by_steps(RECURRENT[name], x, before, weights, len(weights) > 3, 1, 0.0, False, False, False))


@fused_recurrence.register_fake
def _recurrent_shapes(_: str, x: Tensor, states: Sequence[Tensor], __: Sequence[Tensor]) -> list[Tensor]:
    return [x.new_empty((*x.shape[:-1], states[0].shape[-1])), *map(torch.empty_like, states)]


def _by_steps(func: Any, *args: Any) -> Any:
    """A recurrent layer without oneDNN and cuDNN, whose kernels keep memory of their own, and hide their products."""
    enabled = torch._C._get_mkldnn_enabled(), torch._C._get_cudnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    torch._C._set_cudnn_enabled(False)
    try:
        return func(*args)
    finally:
        torch._C._set_mkldnn_enabled(enabled[0])
        torch._C._set_cudnn_enabled(enabled[1])


def _recurrence(func: Any, x: Tensor, states: Any, weights: Sequence[Tensor], *others: Any) -> Any:
    if torch.is_grad_enabled():
        return _by_steps(func, x, states, weights, *others)
    entering = states if isinstance(states, tuple) else (states,)
    return tuple(fused_recurrence(func.__name__, x, entering, weights))


ATTENTION = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
"""What PyTorch's attention takes, in order."""


class FusedKernels(TorchFunctionMode):
    """Run dropout, RMS norms, and attention where the CPU has no fused kernel for it, by kernels as GPUs have them.

    Recurrent layers run in one kernel at inference; where gradients are asked for, they run step by step, since what
    such a kernel keeps is its own affair, and PyTorch's counter doesn't see its products.

    On the CPU, PyTorch's dropout keeps its mask as numbers of the net's dtype, on GPUs as bytes; RMS norms keep what
    each of their steps makes. Attention would keep all probabilities on the meta device, and where values have another
    size than keys.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout:
            x, p, training = (*args, *kwargs.values())[:3]
            if training and 0 < p < 1:
                return torch.native_dropout(x, p, True)[0]
        if RECURRENT.get(getattr(func, "__name__", "")) == func:
            return _recurrence(func, *args)
        if func is F.rms_norm and not args[0].is_cuda:
            return _rms_norm(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            given = dict(zip(ATTENTION, args, strict=False)) | kwargs
            q, k, v = (given[name] for name in ATTENTION[:3])
            if not q.is_cuda and not given.get("dropout_p") and (q.is_meta or q.shape[-1] != v.shape[-1]):
                how = given.get("attn_mask"), given.get("is_causal", False), given.get("scale")
                return fused_attention(q, k, v, *how)[0]
        return func(*args, **kwargs)


class _Held:
    """A saved tensor: alive as long as autograd wants it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class SavedTensors(saved_tensors_hooks):
    """A context that notes what autograd saves, and at which `layer`.

    Parameters and buffers are left out.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.layer = 0
        self._weights = {storage(weight) for weight in weights}
        self._saved: list[tuple[int, weakref.ref[_Held]]] = []
        super().__init__(self._pack, lambda held: held.tensor)

    def _pack(self, tensor: Tensor) -> _Held:
        held = _Held(tensor.detach())  # with its history, an output would keep itself alive
        self._saved.append((self.layer, weakref.ref(held)))
        return held

    def bytes_by_layer(self) -> dict[int, int]:
        """The bytes of the storages that are kept still, each with the first layer that saved it."""
        known = set(self._weights)
        found: dict[int, int] = {}
        for layer, reference in self._saved:
            held = reference()
            if held is not None and storage(held.tensor) not in known:
                known.add(storage(held.tensor))
                found[layer] = found.get(layer, 0) + held.tensor.untyped_storage().nbytes()
        return found


def storage(value: Tensor) -> int:
    """A number that two living tensors share if, and only if, they share their memory; on the meta device as well."""
    return int(value.untyped_storage()._cdata)
