"""What a module does, submodule by submodule, and which layers of an imported spec stand for that."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from archcalc.importers.imported import Imported
from archcalc.importers.operations.exported import Inputs, called, meant
from archcalc.importers.operations.lifting import Step
from archcalc.importers.sources import BATCH
from archcalc.pytorch.compare import Difference
from archcalc.pytorch.saved import FusedKernels, SavedTensors
from archcalc.report import Report
from archcalc.symbolic import known

GROUPED = "grouped_mm"
"""Products of stretches of rows, each with a matrix of its own."""
ROOT = ""
"""The path of the module itself."""


@dataclass
class Ran:
    """What a module did when it ran: the parameters that it read; what it made; by path, multiply-adds and values.

    `values` are of each call of a submodule how many numbers it made, None if that wasn't a tensor.
    """

    read: frozenset[str]
    shapes: tuple[tuple[int, ...], ...]
    macs: Mapping[str, int]
    values: Mapping[str, Sequence[int | None]]


def ran(module: nn.Module, inputs: Inputs) -> Ran:
    """Run a module, attention by its products: on the meta device where its inputs are there."""
    in_order, named = called(module, inputs)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    read, values = set[str](), defaultdict[str, list[int | None]](list)
    around, uncounted = [ROOT], Counter[str]()

    class Reading(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            read.update(names[id(each)] for each in tree_leaves((args, kwargs)) if id(each) in names)
            if GROUPED in func.__name__:  # PyTorch's counter doesn't know it
                for path in around:
                    uncounted[path] += args[0].shape[0] * args[1].shape[-2:].numel()
            return func(*args, **(kwargs or {}))

    def note(path: str) -> Callable[..., None]:
        def made(_: nn.Module, __: object, output: object) -> None:
            values[path].append(output.numel() if isinstance(output, Tensor) else None)
            around.pop()

        return made

    counter, learning = FlopCounterMode(display=False), [each for each in module.parameters() if each.requires_grad]
    module.requires_grad_(False)  # the counter asks what else enters a submodule for its gradient, which it hasn't
    hooks = [each.register_forward_hook(note(path)) for path, each in module.named_modules() if path]
    hooks += [
        each.register_forward_pre_hook(lambda *_, path=path: around.append(path))
        for path, each in module.named_modules()
        if path
    ]
    try:
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _device(in_order, named), Reading():  # type: ignore[no-untyped-call]
            outputs = module(*in_order, **named)
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in learning:
            parameter.requires_grad_()
    shapes = tuple(tuple(each.shape) for each in tensors_of(outputs))
    return Ran(frozenset(read), shapes, _by_path(counter, uncounted), values)


def _device(in_order: Sequence[Any], named: Mapping[str, Any]) -> torch.device:
    """Where the inputs are."""
    return next(each.device for each in (*in_order, *named.values()) if isinstance(each, Tensor))


def _by_path(counter: FlopCounterMode, more: Counter[str]) -> dict[str, int]:
    """The multiply-adds of each submodule, for one example; the counter's names begin with the module's class."""
    found = Counter({ROOT: counter.get_total_flops() // 2})
    for name, flops in counter.get_flop_counts().items():
        if path := name.partition(".")[2]:
            found[path] = sum(flops.values()) // 2
    return {path: amount // BATCH for path, amount in (found + more).items()}


def tensors_of(outputs: object) -> list[Tensor]:
    """What a module gives out, however it's wrapped, each tensor once."""
    if isinstance(outputs, Tensor):
        return [outputs]
    each = [outputs[name] for name in meant(list(outputs))] if isinstance(outputs, Mapping) else outputs
    found = [tensor for one in each for tensor in tensors_of(one)] if isinstance(each, Iterable) else []
    return list({id(tensor): tensor for tensor in found}.values())


def saved_by_path(module: nn.Module, inputs: Inputs) -> dict[str, int]:
    """The bytes that autograd keeps of a module in training, by the innermost submodule that keeps them."""
    in_order, named = called(module, inputs)
    paths = [path for path, _ in module.named_modules()]
    numbers = {path: number for number, path in enumerate(paths)}
    around, saved = [ROOT], SavedTensors((*module.parameters(), *module.buffers()))

    def enter(path: str) -> Callable[..., None]:
        def entered(*_: object) -> None:
            around.append(path)
            saved.layer = numbers[path]

        return entered

    def leave(*_: object) -> None:
        around.pop()
        saved.layer = numbers[around[-1]]

    hooks = [each.register_forward_pre_hook(enter(path)) for path, each in module.named_modules() if path]
    hooks += [each.register_forward_hook(leave, always_call=True) for path, each in module.named_modules() if path]
    try:
        with FusedKernels(), saved, _device(in_order, named):
            outputs = module(*in_order, **named)
            kept = saved.bytes_by_layer()
            del outputs
    finally:
        for hook in hooks:
            hook.remove()
    return {paths[number]: held for number, held in kept.items()}


@dataclass(frozen=True)
class Layers:
    """The layers of an imported spec by the submodules that they're from."""

    report: Report
    found: Imported

    def amounts(self, quantity: str) -> tuple[Counter[str], Counter[str]]:
        """Of each path, what is in it in all, and what isn't in a submodule of it."""
        inside, own = Counter[str](), Counter[str]()
        rows = self.report.rows[len(self.report.graph.inputs) :]
        for row, step in zip(rows, self.found.steps, strict=True):
            amount = known(row[quantity] or 0)
            home = _home(step) if step else ROOT
            for path in (ROOT, *accumulate(home.split(".") if home else (), lambda outer, inner: f"{outer}.{inner}")):
                inside[path] += amount
            own[home] += amount
        return inside, own

    def single(self, module: nn.Module) -> Iterator[tuple[str, int]]:
        """The innermost submodules that are one layer, and how many numbers that makes of one example."""
        nodes = self.report.graph.nodes[len(self.report.graph.inputs) :]
        places = defaultdict[str, list[int]](list)
        for number, step in enumerate(self.found.steps):
            if step and step.around:
                places[_home(step)].append(number)
        leaves = {path for path, each in module.named_modules() if not any(True for _ in each.children())}
        for path, (number, *others) in places.items():
            if not others and path in leaves:
                yield path, known(nodes[number].shape.numel)

    def spread(self) -> set[str]:
        """The submodules whose parameters are a layer's, which is one of a module around several such."""
        found = set[str]()
        for step in filter(None, self.found.steps):
            home = _home(step)
            for stored in step.stored:
                path = stored.name.rpartition(".")[0]
                while path and path != home:
                    found.add(path)
                    path = path.rpartition(".")[0]
        return found


def _home(step: Step) -> str:
    """The innermost submodule that runs all of a layer, whose parameters may be those of several."""
    paths = [step.around[-1].path if step.around else ROOT, *(each.name.rpartition(".")[0] for each in step.stored)]
    parts = [path.split(".") if path else [] for path in paths]
    common = takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    return ".".join(level[0] for level in common)


def macs_apart(layers: Layers, ran: Ran) -> Iterator[Difference]:
    """Submodules, the innermost of them, in which other multiply-adds are counted than the spec's layers have there.

    A layer that stands for operations of several submodules is one of the module around them: where that has as many
    as it should, nothing is wrong inside.
    """
    batch = known(layers.report.batch)
    inside, own = ({path: amount // batch for path, amount in each.items()} for each in layers.amounts("macs"))
    macs = ran.macs
    apart = {path for path in ran.values if path != ROOT and inside.get(path, 0) != macs.get(path, 0)}
    spread = layers.spread()
    apart = {path for path in apart if path not in spread and not _explained(path, inside, own, macs)}
    for path in sorted(apart):
        if not any(other.startswith(f"{path}.") for other in apart):
            yield Difference(path, "MACs", f"{inside.get(path, 0):,}", f"{macs.get(path, 0):,}")


def _explained(path: str, inside: Mapping[str, int], own: Mapping[str, int], macs: Mapping[str, int]) -> bool:
    """Whether what a submodule does is a part of a layer of a module around it, which has as much as it should in all.

    Such a submodule has no layer of its own.
    """
    around = "" if inside.get(path, 0) else path
    while around:
        around = around.rpartition(".")[0]
        if own.get(around, 0) and inside.get(around, 0) == macs.get(around, 0):
            return True
    return False


def values_apart(layers: Layers, module: nn.Module, ran: Ran) -> tuple[int, list[Difference]]:
    """How many submodules were looked at that are one layer and are called once, and those that make other volumes."""
    looked, unlike = 0, []
    for path, own in layers.single(module):
        made = ran.values.get(path, ())
        if len(made) == 1 and made[0] is not None:
            looked += 1
            if own * BATCH != made[0]:
                unlike.append(Difference(path, "values", f"{own:,}", f"{made[0] // BATCH:,}"))
    return looked, unlike
