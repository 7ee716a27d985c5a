"""An imported spec against the very module that it was made of: counts, multiply-adds, outputs and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from archcalc.graph.opaque import opaque_layers, uncounted
from archcalc.importers.code import import_code, input_sizes
from archcalc.importers.imported import Imported
from archcalc.importers.operations.exported import Inputs, Stored, called, meant
from archcalc.importers.operations.views import of_volume
from archcalc.importers.sources import BATCH, Sizes, Source, built, examples
from archcalc.pytorch.compare import Check, Difference
from archcalc.pytorch.network import Network
from archcalc.report import Report
from archcalc.symbolic import known

GROUPED = "grouped_mm"
"""Products of stretches of rows, each with a matrix of its own."""
ROUNDING = 1e-4
"""How much outputs and gradients may differ, as a share of the greatest: sums of floats in another order."""


class Ran(NamedTuple):
    """What a module did when it ran: parameters that were read, multiply-adds, shapes made."""

    read: frozenset[str]
    macs: int
    shapes: tuple[tuple[int, ...], ...]


def original_checks(report: Report, source: Source, inputs: Sequence[str]) -> Iterator[Check]:
    """Compare an imported network with the module that its source builds."""
    yield from imported_checks(report, import_code(source, inputs), source, input_sizes(source, inputs))


def imported_checks(report: Report, found: Imported, source: Source, sizes: Sizes) -> Iterator[Check]:
    """The same for what was imported: first what the module does without memory, then its values.

    Params are those that the module reads while it runs. Its own weights are copied into ours for outputs and
    gradients, which are of float32, on the CPU.
    """
    module = built(source, "meta").eval()
    try:
        ran = _ran(module, examples(sizes, "meta"))
    except Exception:  # it does what can't be done without values
        module = built(source, "cpu").eval()
        ran = _ran(module, examples(sizes, "cpu"))
    yield _params(report, ran, module)
    yield _multiply_adds(report, ran)
    yield _shapes(report, found, ran)
    module = _varied(built(source, "cpu").eval())
    network = Network(report.graph).eval()
    with torch.no_grad():
        unlike = list(copied(network, found, _held(module)))
    yield Check("original's weights", len(found.steps), differences=tuple(unlike))
    if layers := opaque_layers(report.graph):
        reason = f"not compared: what {layers[0]} computes isn't known"
        yield from (Check(f"original's {what}", 0, note=reason) for what in ("outputs", "gradients"))
    elif not unlike:
        yield from _run(network, module, examples(sizes, "cpu"))


def _ran(module: nn.Module, inputs: Inputs) -> Ran:
    """Run a module, attention by its products: on the meta device where its inputs are there."""
    in_order, named = called(module, inputs)
    device = next(each.device for each in (*in_order, *named.values()) if isinstance(each, Tensor))
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    read, uncounted = set[str](), list[int]()

    class Reading(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            read.update(names[id(each)] for each in tree_leaves((args, kwargs)) if id(each) in names)
            if GROUPED in func.__name__:  # PyTorch's counter doesn't know it
                uncounted.append(args[0].shape[0] * args[1].shape[-2:].numel())
            return func(*args, **(kwargs or {}))

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), device, Reading():  # type: ignore[no-untyped-call]
        outputs = module(*in_order, **named)
    shapes = tuple(tuple(each.shape) for each in tensors_of(outputs))
    return Ran(frozenset(read), (counter.get_total_flops() // 2 + sum(uncounted)) // BATCH, shapes)


def _params(report: Report, ran: Ran, module: nn.Module) -> Check:
    """The parameters that the module reads."""
    parameters = dict(module.named_parameters())
    counted = sum(parameters[name].numel() for name in ran.read)
    total = sum(parameter.numel() for parameter in parameters.values())
    predicted = known(report.total("params"))
    differences = (Difference(report.name, "params", f"{predicted:,}", f"{counted:,}"),) if predicted != counted else ()
    note = f"{total - counted:,} more are never read" if total != counted else ""
    return Check("original's params", len(ran.read), predicted, counted, differences, note)


def _multiply_adds(report: Report, ran: Ran) -> Check:
    """What PyTorch's own counter finds."""
    counted, predicted = ran.macs, known(report.total("macs")) // known(report.batch)
    differences = (Difference(report.name, "MACs", f"{predicted:,}", f"{counted:,}"),) if predicted != counted else ()
    if predicted < counted and (missing := uncounted(report.graph)):
        return Check("original's MACs", 1, predicted, counted, note=f"at least: {missing}")
    return Check("original's MACs", 1, predicted, counted, differences)


def _shapes(report: Report, found: Imported, ran: Ran) -> Check:
    """The shapes of what the module gives out, with their batch."""
    graph = report.graph
    ours = tuple(
        found.shapes.get(place) or of_volume(place, graph.nodes[place].shape, BATCH).sizes()
        for place in graph.outputs.values()
    )
    differences = (Difference(report.name, "output shapes", ours, ran.shapes),) if ours != ran.shapes else ()
    return Check("original's shapes", len(ran.shapes), differences=differences)


def _varied(module: nn.Module) -> nn.Module:
    """A module whose fresh weights hide nothing: those that are all alike, as a norm's factors, become unlike.

    Factors of 0 or of a millionth would make any branch equal to any other one, and so would a mean of 0.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            values = parameter.flatten()
            if len(values) and values.is_floating_point() and bool((values == values[0]).all()):
                parameter.add_(torch.randn(parameter.shape, generator=generator) / 10)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer += torch.randn(buffer.shape, generator=generator) / 10
            elif name.endswith("running_var"):
                buffer *= 1 + torch.rand(buffer.shape, generator=generator)
    return module


def _held(module: nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers by all their names."""
    return dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))


def copied(network: Network, found: Imported, values: Mapping[str, Tensor]) -> Iterator[Difference]:
    """Copy weights, which an original has by these names, into ours; what doesn't fit."""
    for number, step in enumerate(found.steps):
        if step is None:
            continue
        own = _own(network.modules_in_order[number])
        if len(own) != len(step.stored):
            yield Difference(
                network.graph.nodes[len(network.graph.inputs) + number].name, "weights", len(own), len(step.stored)
            )
            continue
        for (name, mine), stored in zip(own, step.stored, strict=True):
            theirs = _value(values, stored)
            if mine.numel() != theirs.numel():
                yield Difference(stored.name, name, tuple(mine.shape), tuple(theirs.shape))
            else:
                mine.copy_(theirs.reshape(mine.shape))


def _own(module: nn.Module) -> list[tuple[str, Tensor]]:
    """A layer's parameters, then its buffers, but PyTorch's count of the batches that a norm has seen."""
    buffers = ((name, each) for name, each in module.named_buffers() if not name.endswith("num_batches_tracked"))
    return [*module.named_parameters(), *buffers]


def _value(values: Mapping[str, Tensor], stored: Stored) -> Tensor:
    found = values[stored.name].mT if stored.turned else values[stored.name]
    if stored.places:
        return found.flatten()[list(stored.places)]
    if stored.rows is not None:
        ahead = (slice(None),) * stored.axis
        found = torch.cat([found[*ahead, slice(*stretch)] for stretch in stored.rows], stored.axis)
    return found + stored.plus if stored.plus else found


def _run(network: Network, module: nn.Module, inputs: Inputs) -> Iterator[Check]:
    """Outputs and gradients of both on the same inputs."""
    values = list(inputs.values() if isinstance(inputs, Mapping) else inputs)
    given, theirs = (list(map(_watched, values)) for _ in range(2))
    copies = [each.clone() for each in theirs]
    in_order, named = called(module, dict(zip(inputs, copies, strict=True)) if isinstance(inputs, Mapping) else copies)
    ours = tensors_of(network(*(each.clone() for each in given)))
    original = tensors_of(module(*in_order, **named))
    yield Check("original's outputs", len(original), differences=tuple(unlike_each("output", ours, original)))
    if len(ours) == len(original):
        for outputs in (ours, original):
            sum(output.float().square().mean() for output in outputs).backward()  # type: ignore[union-attr]
        mine, other = ([each.grad for each in side if each.requires_grad] for side in (given, theirs))
        yield Check("original's gradients", len(mine), differences=tuple(unlike_each("gradient of input", mine, other)))


def _watched(value: Tensor) -> Tensor:
    """A copy that gradients arrive at, if it has any."""
    return value.clone().requires_grad_() if value.is_floating_point() else value.clone()


def tensors_of(outputs: object) -> list[Tensor]:
    """What a module gives out, however it's wrapped."""
    if isinstance(outputs, Tensor):
        return [outputs]
    each = [outputs[name] for name in meant(list(outputs))] if isinstance(outputs, Mapping) else outputs
    return [tensor for one in each for tensor in tensors_of(one)]  # type: ignore[attr-defined]


def unlike_each(what: str, ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> Iterator[Difference]:
    """Where tensors of ours and of the original differ by more than rounding."""
    if len(ours) != len(theirs):
        yield Difference("network", f"{what}s", len(ours), len(theirs))
        return
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        assert one is not None
        assert other is not None
        if one.numel() != other.numel():
            yield Difference("network", f"{what} {number}", tuple(one.shape), tuple(other.shape))
            continue
        apart = (one.reshape(other.shape) - other).abs().max() / other.abs().max().clamp_min(1e-30)
        if not apart <= ROUNDING:
            yield Difference("network", f"{what} {number}", "equal", f"{float(apart):.1e} of the greatest apart")
