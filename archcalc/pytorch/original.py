"""An imported spec against the very module that it was made of: counts, multiply-adds, outputs and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from archcalc.importers.code import import_code, input_sizes
from archcalc.importers.imported import Imported
from archcalc.importers.operations.exported import Stored
from archcalc.importers.sources import BATCH, Source, built, examples
from archcalc.pytorch.compare import Check, Difference
from archcalc.pytorch.network import Network
from archcalc.report import Report
from archcalc.symbolic import known

ROUNDING = 1e-4
"""How much outputs and gradients may differ, as a share of the greatest: sums of floats in another order."""


def original_checks(report: Report, source: Source, inputs: Sequence[str]) -> Iterator[Check]:
    """Compare an imported network with the module that its source builds.

    Params and buffers are those that the module reads while it runs. Its own weights are copied into ours for outputs
    and gradients, which are of float32, on the CPU.
    """
    found, sizes = import_code(source, inputs), input_sizes(source, inputs)
    module = built(source, "cpu").eval()
    yield _params(report, found, module)
    yield _multiply_adds(report, source, sizes)
    network = Network(report.graph).eval()
    with torch.no_grad():
        unlike = list(_copied(network, found, module))
    yield Check("original's weights", len(found.steps), differences=tuple(unlike))
    if not unlike:
        yield from _run(network, module, examples(sizes, "cpu"))


def _params(report: Report, found: Imported, module: nn.Module) -> Check:
    """The parameters that the module reads."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    read = {stored.name for step in found.steps if step for stored in step.stored if stored.learned}
    counted = sum(parameters[name].numel() for name in read)
    total = sum(parameter.numel() for parameter in module.parameters())
    predicted = known(report.total("params"))
    differences = (Difference(report.name, "params", f"{predicted:,}", f"{counted:,}"),) if predicted != counted else ()
    note = f"{total - counted:,} more are never read" if total != counted else ""
    return Check("original's params", len(read), predicted, counted, differences, note)


def _multiply_adds(report: Report, source: Source, sizes: Sequence[tuple[int, ...] | int]) -> Check:
    """What PyTorch's own counter finds, attention by its products."""
    module = built(source, "meta").eval()
    inputs = examples(sizes, "meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), torch.device("meta"):
        module(*inputs)
    counted, predicted = counter.get_total_flops() // 2 // BATCH, known(report.total("macs")) // known(report.batch)
    differences = (Difference(report.name, "MACs", f"{predicted:,}", f"{counted:,}"),) if predicted != counted else ()
    return Check("original's MACs", 1, predicted, counted, differences)


def _copied(network: Network, found: Imported, module: nn.Module) -> Iterator[Difference]:
    """Copy a module's weights into ours; what doesn't fit."""
    values: Mapping[str, Tensor] = dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )
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
    found = values[stored.name].T if stored.turned else values[stored.name]
    return found if stored.rows is None else found[slice(*stored.rows)]


def _run(network: Network, module: nn.Module, inputs: Sequence[Tensor]) -> Iterator[Check]:
    """Outputs and gradients of both on the same inputs."""
    given, theirs = ([_watched(each) for each in inputs] for _ in range(2))
    ours, original = (
        _tensors(run(*(each.clone() for each in side))) for run, side in ((network, given), (module, theirs))
    )
    yield Check("original's outputs", len(original), differences=tuple(_unlike("output", ours, original)))
    if len(ours) == len(original):
        for outputs in (ours, original):
            sum(output.float().square().mean() for output in outputs).backward()  # type: ignore[union-attr]
        mine, other = ([each.grad for each in side if each.requires_grad] for side in (given, theirs))
        yield Check("original's gradients", len(mine), differences=tuple(_unlike("gradient of input", mine, other)))


def _watched(value: Tensor) -> Tensor:
    """A copy that gradients arrive at, if it has any."""
    return value.clone().requires_grad_() if value.is_floating_point() else value.clone()


def _tensors(outputs: object) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    each = outputs.values() if isinstance(outputs, Mapping) else outputs
    return [tensor for one in each for tensor in _tensors(one)]  # type: ignore[attr-defined]


def _unlike(what: str, ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> Iterator[Difference]:
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
