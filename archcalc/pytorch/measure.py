"""Running a network in PyTorch and writing down, layer by layer, what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archcalc.errors import VerificationError
from archcalc.graph import Node
from archcalc.pytorch.alive import least_bytes
from archcalc.pytorch.compare import Difference, Measured
from archcalc.pytorch.network import Network, weighted
from archcalc.pytorch.saved import FUSED_FLOPS, FusedKernels, SavedTensors, storage
from archcalc.symbolic import known

Step = Callable[[], None]
"""Called after each layer, for a progress bar."""


class LayerRefused(VerificationError):
    """PyTorch can't run a layer that archcalc accepts: it refuses the shape, or has no kernel for the dtype."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(f"{layer}: PyTorch can't run it: {reason}")
        self.layer, self.reason = layer, reason


@dataclass(frozen=True)
class Run:
    """One pass through a network: what each layer did, and what was not finite (unknown on the meta device)."""

    layers: list[Measured]
    forward: list[Difference]
    backward: list[Difference]


def run(network: Network, inputs: tuple[Tensor, ...], step: Step = lambda: None) -> Run:
    """Run forward and, unless on the meta device, backward.

    Raises: LayerRefused: there is a layer that PyTorch can't run.
    """
    real = not any(x.is_meta for x in inputs)
    wanted = set(network.graph.outputs.values())
    layers: list[Measured] = []
    bad: list[Difference] = []
    outputs: list[Tensor] = []
    saved = SavedTensors((*network.parameters(), *network.buffers()))
    with saved:
        for index, (node, value, measured) in enumerate(_measured(network, inputs)):
            layers.append(measured)
            if real and not is_finite(value):
                bad.append(Difference(node.name, "forward pass", "finite", "not finite"))
            if index in wanted and value.requires_grad:
                outputs.append(value)
            saved.layer = index + 1
            step()
    del value  # what leads to no output is kept no longer
    kept = saved.bytes_by_layer()
    underivable = _backward(network, outputs) if real and not bad else []
    outputs.clear()
    least = least_bytes(network, inputs)
    layers = [replace(layer, saved=kept.get(i, 0), least=least[i]) for i, layer in enumerate(layers)]
    return Run(layers, bad, underivable)


def _measured(network: Network, inputs: tuple[Tensor, ...]) -> Iterator[tuple[Node, Tensor, Measured]]:
    """Each node, its value, and what PyTorch counted while it ran."""
    storages: list[int] = []
    counted = 0
    nodes = network.graph.nodes
    with FusedKernels(), FlopCounterMode(display=False, custom_mapping=FUSED_FLOPS) as counter:
        try:
            for index, (node, value) in enumerate(network.trace(*inputs)):
                storages.append(storage(value))
                shared = any(storages[index] == storages[i] for i in node.inputs)  # those are alive still
                total = counter.get_total_flops()
                yield node, value, _layer(network, index, value, shared, total - counted)
                counted = total
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise LayerRefused(nodes[len(storages)].name, reason) from error


def _layer(network: Network, index: int, value: Tensor, shared: bool, flops: int) -> Measured:
    node = network.graph.nodes[index]
    shape = tuple(value.shape)
    if not node.inputs:
        return Measured(shape, 0, 0, 0, value.numel())
    module = network.module_at(index)
    new = 0 if shared else value.numel()
    if node.layer.in_place and value.numel() <= known(node.application.input_shapes[0].numel) * shape[0]:
        new = 0  # the module leaves its input alone, but the result fits into the input's place
    return Measured(shape, own_params(module, node), 0 if node.reuses else statistics(module), flops, new)


def own_params(module: nn.Module, node: Node) -> int:
    """Scalars of the module's parameters, without those that belong to another layer: a weight, or all."""
    if node.reuses:
        return 0
    others = [] if node.tied is None else [weighted(module).weight]
    return sum(p.numel() for p in module.parameters() if not any(p is other for other in others))


def statistics(module: nn.Module) -> int:
    """Scalars of the module's buffers, without PyTorch's count of the batches that a norm has seen."""
    return sum(b.numel() for name, b in module.named_buffers() if not name.endswith("num_batches_tracked"))


def is_finite(value: Tensor) -> bool:
    """Whether there is no infinity and no NaN; integers have neither."""
    return not value.is_floating_point() or bool(value.isfinite().all())


def _backward(network: Network, outputs: list[Tensor]) -> list[Difference]:
    """Derive the mean of all outputs; the parameters whose gradient isn't finite."""
    if not outputs:
        return []
    sum(output.float().mean() for output in outputs).backward()  # type: ignore[union-attr]
    return [
        Difference(name, "backward pass", "finite", "not finite")
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and not is_finite(parameter.grad)
    ]
