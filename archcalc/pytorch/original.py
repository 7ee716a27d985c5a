"""An imported spec against the very module that it was made of: counts, multiply-adds, outputs and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import torch
from torch import Tensor, nn

from archcalc.graph.opaque import opaque_layers, uncounted
from archcalc.importers.code import import_code, input_sizes
from archcalc.importers.imported import Imported
from archcalc.importers.operations.exported import Inputs, Stored, called
from archcalc.importers.operations.views import of_volume
from archcalc.importers.sources import BATCH, Sizes, Source, built, examples
from archcalc.pytorch.compare import Check, Difference
from archcalc.pytorch.network import Network
from archcalc.pytorch.paths import ROOT, Layers, Ran, macs_apart, ran, saved_by_path, tensors_of, values_apart
from archcalc.report import Report
from archcalc.symbolic import known

ROUNDING = 1e-4
"""How much outputs and gradients may differ, as a share of the greatest: sums of floats in another order."""


def original_checks(report: Report, source: Source, inputs: Sequence[str]) -> Iterator[Check]:
    """Compare an imported network with the module that its source builds."""
    yield from imported_checks(report, import_code(source, inputs), source, input_sizes(source, inputs))


def imported_checks(report: Report, found: Imported, source: Source, sizes: Sizes) -> Iterator[Check]:
    """The same for what was imported: first what the module does without memory, then its values.

    Params are those that the module reads while it runs. Its own weights are copied into ours for outputs and
    gradients, which are of float32, on the CPU.
    """
    device, did = _ran(source, sizes)
    module, layers = built(source, device).eval(), Layers(report, found)
    yield _params(report, found, did, module)
    yield _buffers(report, found)
    yield _multiply_adds(layers, did)
    yield _shapes(layers, did, module)
    yield _saved(layers, source, sizes, device)
    module = _varied(built(source, "cpu").eval())
    network = Network(report.graph).eval()
    with torch.no_grad():
        unlike = list(copied(network, found, _held(module)))
    yield Check("original's weights", len(found.steps), differences=tuple(unlike))
    if unknown := opaque_layers(report.graph):
        reason = f"not compared: what {unknown[0]} computes isn't known"
        yield from (Check(f"original's {what}", 0, note=reason) for what in ("outputs", "gradients"))
    elif not unlike:
        yield from _run(network, module, examples(sizes, "cpu"))


def _ran(source: Source, sizes: Sizes) -> tuple[str, Ran]:
    """What the module does, and on which device: without memory, unless it does what can't be done without values."""
    try:
        return "meta", ran(built(source, "meta").eval(), examples(sizes, "meta"))
    except Exception:
        return "cpu", ran(built(source, "cpu").eval(), examples(sizes, "cpu"))


def _params(report: Report, found: Imported, did: Ran, module: nn.Module) -> Check:
    """The parameters that the module reads: in all, and one by one."""
    parameters = {name: each.numel() for name, each in module.named_parameters()}
    counted, predicted = sum(parameters[name] for name in did.read), known(report.total("params"))
    total = sum(parameters.values())
    differences = [Difference(report.name, "params", f"{predicted:,}", f"{counted:,}")] if predicted != counted else []
    held = {stored.name for step in found.steps if step for stored in step.stored if stored.learned}
    differences += [Difference(name, "params", 0, f"{parameters[name]:,}") for name in sorted(did.read - held)]
    differences += [Difference(name, "what is read", "it", "nothing") for name in sorted(held - did.read)]
    note = f"{total - counted:,} more are never read" if total != counted else ""
    return Check("original's params", len(did.read), predicted, counted, tuple(differences), note)


def _buffers(report: Report, found: Imported) -> Check:
    """The buffers of each layer; others, such as masks, are computed."""
    rows = report.rows[len(report.graph.inputs) :]
    differences, counted, layers = [], 0, 0
    for row, step in zip(rows, found.steps, strict=True):
        if row.node.reuses or step is None:
            continue
        own = {each.name: prod(each.shape) for each in step.stored if not each.learned}
        predicted, held = known(row["buffers"]), sum(own.values())
        if any(each.rows or each.places for each in step.stored):  # parts of them are meant
            held = predicted
        layers, counted = layers + bool(own), counted + held
        if predicted != held:
            path = next(iter(own), "").rpartition(".")[0] or row.node.name
            differences.append(Difference(path, "buffers", f"{predicted:,}", f"{held:,}"))
    return Check("original's buffers", max(layers, 1), known(report.total("buffers")), counted, tuple(differences))


def _multiply_adds(layers: Layers, did: Ran) -> Check:
    """What PyTorch's own counter finds, in all and in each submodule."""
    report = layers.report
    counted, predicted = did.macs.get(ROOT, 0), known(report.total("macs")) // known(report.batch)
    if predicted < counted and (missing := uncounted(report.graph)):
        return Check("original's MACs", 1, predicted, counted, note=f"at least: {missing}")
    differences = [Difference(report.name, "MACs", f"{predicted:,}", f"{counted:,}")] if predicted != counted else []
    differences += macs_apart(layers, did)
    return Check("original's MACs", len(did.values), predicted, counted, tuple(differences))


def _shapes(layers: Layers, did: Ran, module: nn.Module) -> Check:
    """The shapes of what the module gives out, with their batch; of submodules that are one layer, how many values."""
    graph, found = layers.report.graph, layers.found
    ours = tuple(
        found.shapes.get(place) or of_volume(place, graph.nodes[place].shape, BATCH).sizes()
        for place in graph.outputs.values()
    )
    differences = [Difference(graph.name, "output shapes", ours, did.shapes)] if ours != did.shapes else []
    looked, unlike = values_apart(layers, module, did)
    return Check("original's shapes", len(did.shapes) + looked, differences=(*differences, *unlike))


def _saved(layers: Layers, source: Source, sizes: Sizes, device: str) -> Check:
    """The bytes that autograd keeps of the module in training. They depend on how it's written, so they may differ."""
    report, name = layers.report, "original's saved bytes"
    if known(report.batch) != BATCH or report.dtype != "float32":
        return Check(name, 0, note=f"not compared: of {BATCH} examples of float32 alone")
    try:
        kept = saved_by_path(built(source, device).train(), examples(sizes, device))
    except Exception as error:
        return Check(name, 0, note=f"not compared: {type(error).__name__} in training")
    predicted, counted = known(report.total("saved_bytes")), sum(kept.values())
    if predicted == counted:
        return Check(name, len(kept), predicted, counted)
    ours = layers.amounts("saved_bytes")[1]
    path = max(sorted({*ours, *kept}), key=lambda each: abs(ours[each] - kept.get(each, 0)))
    more = f"{abs(counted - predicted):,} {'more' if counted > predicted else 'fewer'}"
    return Check(
        name, len(kept), predicted, counted, note=f"{more} as it's written, most in {path or 'the module itself'}"
    )


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
