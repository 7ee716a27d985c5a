"""What a training step holds, measured: every allocation and release of PyTorch on the CPU, as its profiler saw them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from archcalc.graph import Graph
from archcalc.pytorch.network import example_inputs
from archcalc.pytorch.saved import FusedKernels
from archcalc.pytorch.source.writer import torch_code
from tests.helpers import imported

MARK = 12_345_678
"""Values of the tensors that say where a pass begins: no network makes one of so many."""
NUMBER = 8
"""Bytes of a Python number that PyTorch wraps, outside of all operations; it isn't memory of the device."""


class Measured(NamedTuple):
    """Bytes: the most in the forward pass, what it leaves, the most in the backward pass, and what that leaves."""

    forward: int
    left: int
    backward: int
    after: int


class Loss(torch.autograd.Function):
    """One number that keeps nothing; its backward pass makes gradients of ones."""

    @staticmethod
    def forward(ctx: Any, *outputs: Tensor) -> Tensor:
        """Zero."""
        ctx.sizes = [output.shape for output in outputs]
        return outputs[0].new_zeros(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Ones, where they are wanted."""
        wanted = zip(ctx.sizes, ctx.needs_input_grad, strict=True)
        return tuple(gradient.new_ones(sizes) if needed else None for sizes, needed in wanted)


def of_program(graph: Graph, batch: int, dtype: torch.dtype = torch.float32) -> Measured:
    """What a step of the exported program holds, with its inputs."""
    program = imported(torch_code(graph))().to(dtype).train()
    inputs = example_inputs(graph, batch, dtype=dtype)
    size = sum(x.nbytes for x in inputs)
    return Measured(*(number + size for number in measured(program, inputs)))


def measured(module: nn.Module, inputs: Iterable[Tensor]) -> Measured:
    """What a step of a module holds, beside what it stores and reads.

    Raises: RuntimeError: nothing in it is learned.
    """
    kept: list[Any] = []

    def step() -> None:
        kept.append(torch.empty(MARK))
        with FusedKernels():
            found = module(*inputs)
        outputs = tuple(found.values()) if isinstance(found, dict) else (found,)
        loss = Loss.apply(*outputs)  # type: ignore[no-untyped-call]
        kept.extend((outputs, loss, torch.empty(MARK + 1)))
        loss.backward()
        kept.append(torch.empty(MARK + 2))

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step()
    series = list(_alive(_events(found.profiler.kineto_results.experimental_event_tree())))
    begin, middle, end = (4 * (MARK + number) for number in range(3))
    sizes = [size for _, size in series]
    first, second, last = (sizes.index(size) for size in (begin, middle, end))
    base, both = series[first][0], series[first][0] + middle
    forward, backward = ([total for total, _ in series[one:other]] for one, other in ((first, second), (second, last)))
    return Measured(max(forward) - base, forward[-1] - base, max(backward) - both, backward[-1] - both)


class _Event(NamedTuple):
    """Memory that was taken, or given back, inside which kernel."""

    kernel: int | None
    place: int
    size: int


def _events(tree: Iterable[Any]) -> list[_Event]:
    found: list[_Event] = []

    def walk(event: Any, kernel: int | None, node: str) -> None:
        kind, fields = event.typed
        if kind.name == "Allocation":
            found.append(_Event(kernel, fields.ptr, fields.alloc_size))
            return
        if kind.name == "TorchOp":
            node = event.name.partition(": ")[2] if event.name.startswith("autograd::engine") else node
            if kernel is None and ((event.name.startswith("aten::") and not _is_composite(event.name))
                or event.name.startswith("archcalc::")
            ):  # fmt: skip
                kernel = id(event)
            elif kernel is None and "archcalc" in node and not event.name.startswith("autograd::engine"):
                kernel = hash(node)  # what stands for a fused kernel of a GPU
        for child in event.children:
            walk(child, kernel, node)

    for event in tree:
        walk(event, None, "")
    return found


@lru_cache(None)
def _is_composite(name: str) -> bool:
    """Whether an operation is made of others, which the dispatcher sees."""
    packet = getattr(torch.ops.aten, name.removeprefix("aten::"), None)
    if packet is None:
        return True
    known = [each for each in packet.overloads() if not each.startswith("prim_")]  # those are TorchScript's
    overloads = ("" if each == "default" else f".{each}" for each in known)
    key = "CompositeImplicitAutograd"
    return all(torch._C._dispatch_has_kernel_for_dispatch_key(name + each, key) for each in overloads)


def _alive(events: list[_Event]) -> Iterator[tuple[int, int]]:
    """After each event, the bytes of all that is alive, and those that it took; without what kernels take for a while.

    That is what's taken and given back inside one kernel.
    """
    taken: dict[int, int] = {}
    left_out: set[int] = set()
    for number, event in enumerate(events):
        if event.size > 0:
            taken[event.place] = number
        elif event.place in taken:
            before = taken.pop(event.place)
            is_scratch = event.kernel is not None and event.kernel == events[before].kernel
            if is_scratch or (events[before].kernel is None and events[before].size == NUMBER):
                left_out |= {number, before}
    left_out |= {n for n in taken.values() if events[n].kernel is None and events[n].size == NUMBER}
    total = 0
    for number, event in enumerate(events):
        if number not in left_out:
            total += event.size
            yield total, event.size
