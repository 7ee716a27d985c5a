"""Which tensors are alive at once while a network runs."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from archcalc.analyses.storages import places
from archcalc.graph import Node
from archcalc.pytorch.network import Network
from archcalc.pytorch.saved import FusedKernels, storage

BATCH_NORM = torch.ops.aten.native_batch_norm.default
"""At inference it makes no statistics on any device, though the meta device says so."""


class LivingTensors(TorchDispatchMode):
    """A context that knows the memory of every tensor that an operation makes, for as long as it's alive.

    That of the tensors in `ignored` is left out.
    """

    def __init__(self, ignored: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ignored = {storage(tensor) for tensor in ignored}
        self._living: dict[int, tuple[Any, int]] = {}
        self._at_most = 0
        """Bytes of what was alive when it was last looked at, and of all that is new since."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.note(made[0] if func is BATCH_NORM and not args[5] else made)
        return made

    def note(self, made: Any) -> None:
        """Look at tensors that are new, perhaps."""
        for value in tree_leaves(made):
            if isinstance(value, Tensor):
                self._add(value)

    def _add(self, value: Tensor) -> None:
        """Note a tensor, unless it's a view of one that is known."""
        key = storage(value)
        known = self._living.get(key)
        if key not in self._ignored and (known is None or known[0].expired()):
            memory = value.untyped_storage()
            # a kernel may make a small volume in the place of a large one, which is then cut to its size
            size = memory.nbytes() if value._is_view() else value.numel() * value.element_size()
            self._living[key] = StorageWeakRef(memory), size  # type: ignore[no-untyped-call]
            self._at_most += size

    def bytes(self) -> dict[int, int]:
        """The bytes of what is alive, by storage."""
        self._living = {key: known for key, known in self._living.items() if not known[0].expired()}
        sizes = {key: size for key, (_, size) in self._living.items()}
        self._at_most = sum(sizes.values())
        return sizes


class MostLiving(LivingTensors):  # type: ignore[no-untyped-call]
    """A context that knows the most bytes that were alive at once, looked at after each operation."""

    def __init__(self, ignored: Iterable[Tensor] = ()) -> None:
        super().__init__(ignored)
        self.most = 0

    def note(self, made: Any) -> None:
        """Look at tensors that are new, perhaps, and at what is alive now."""
        super().note(made)
        if self._at_most > self.most:
            self.most = max(self.most, sum(self.bytes().values()))


class _Constants(TorchFunctionMode):
    """Shows a meter the constants that a module makes, which the meta device makes without an operation."""

    def __init__(self, living: LivingTensors) -> None:
        super().__init__()
        self._living = living

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is torch.tensor:
            self._living.note(made)
        return made


@torch.no_grad()
def peak_bytes(module: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """The most bytes of all tensors that are alive at once when a module runs, at inference; its inputs among them.

    Parameters and buffers aren't in it.
    """
    was_training = module.training
    module.eval()
    with MostLiving((*module.parameters(), *module.buffers())) as living, _Constants(living), FusedKernels():
        living.note(inputs)
        module(*inputs)
    module.train(was_training)
    return int(living.most)


@torch.no_grad()
def least_bytes(network: Network, inputs: tuple[Tensor, ...]) -> list[int]:
    """For each node, the bytes of all tensors that are alive when it has been computed, at inference.

    Volumes are freed after their last use. Where a layer in place has run and its input is freed, the input isn't
    counted, since the result could have taken its place.
    """
    was_training = network.training
    network.eval()
    wanted, scattered = set(network.graph.outputs.values()), places(network.graph).scattered
    found: list[int] = []
    homes: list[int] = []
    outputs = []
    replaced: tuple[int, int] | None = None  # the volume, and its bytes, on which the last layer worked in place
    with LivingTensors((*network.parameters(), *network.buffers())) as living:
        for index, (node, value) in enumerate(network.trace(*(x.clone() for x in inputs))):
            sizes = living.bytes()
            found.append(sum(sizes.values()))
            homes.append(storage(value))
            if replaced is not None and replaced[0] not in sizes:
                found[-2] -= replaced[1]
            replaced = None
            if _is_in_place(node, scattered) and (home := homes[node.inputs[0]]) != homes[-1]:
                replaced = home, sizes[home]
            if index in wanted:
                outputs.append(value)
        del value
        if replaced is not None and replaced[0] not in living.bytes():
            found[-1] -= replaced[1]
    network.train(was_training)
    return found


def _is_in_place(node: Node, scattered: Container[int]) -> bool:
    """Whether the layer's result may take its input's place."""
    return bool(node.inputs) and node.layer.in_place and node.layer.takes_all and node.inputs[0] not in scattered
