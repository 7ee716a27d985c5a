"""What autograd keeps, seen through PyTorch's own hooks for saved tensors."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import sdpa_flop

aten = torch.ops.aten
FUSED = aten._scaled_dot_product_flash_attention_for_cpu
FUSED_FLOPS = {FUSED: lambda q, k, v, *_, **__: sdpa_flop(q, k, v)}
"""For PyTorch's flop counter, which doesn't know this kernel's formula."""


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


def _derive(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, Tensor | None, None]:
    x, weight, rstd = ctx.saved_tensors
    unit, outer = x * rstd, gradient if weight is None else gradient * weight
    inner = (outer - unit * (outer * unit).mean(-1, keepdim=True)) * rstd
    of_weight = None if weight is None else (gradient * unit).flatten(0, -2).sum(0).to(weight.dtype)
    return inner.to(x.dtype), of_weight, None


fused_rms_norm.register_autograd(_derive, setup_context=_keep)


class FusedKernels(TorchFunctionMode):
    """Run dropout, RMS norms, and attention without a device, by the kernels that GPUs run.

    On the CPU, PyTorch's dropout keeps its mask as numbers of the net's dtype, on GPUs as bytes; RMS norms keep what
    each of their steps makes. Attention on the meta device would keep all probabilities, which no device with a fused
    kernel does.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.dropout:
            x, p, training = (*args, *kwargs.values())[:3]
            if training and 0 < p < 1:
                return torch.native_dropout(x, p, True)[0]
        if func is F.rms_norm and not args[0].is_cuda:
            return _rms_norm(*args, **kwargs)
        if func is F.scaled_dot_product_attention and args[0].is_meta:
            return FUSED(*args, is_causal=kwargs["is_causal"])[0]
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
