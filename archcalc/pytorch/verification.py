"""Verify one network: build it in PyTorch, run it, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from archcalc.analyses.saved import STATISTIC_BYTES
from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.graph.opaque import opaque_layers
from archcalc.pytorch import cuda
from archcalc.pytorch.alive import peak_bytes
from archcalc.pytorch.compare import Check, Difference, Verification, compare, outcome
from archcalc.pytorch.fields import field_check
from archcalc.pytorch.measure import LayerRefused, Run, Step, run
from archcalc.pytorch.memory import SHARE, available_memory, room_needed
from archcalc.pytorch.network import Network, check_numbers, example_inputs
from archcalc.pytorch.records import OWN_KERNELS, byte_checks, time_checks
from archcalc.quantities import BYTES
from archcalc.report import Report
from archcalc.symbolic import known

NOT_EXECUTED = "nothing was executed ({}): shapes, counts and bytes only"


Program = Callable[[Graph], type[nn.Module]]
"""Writes a graph as a program, and gives the class of its network."""


def verify(
    report: Report, device: str = "auto", step: Step = lambda: None, program: Program | None = None
) -> Verification:
    """Compare a report with PyTorch, layer by layer, for the report's batch and dtype; with `program` its peak, too.

    A layer that PyTorch can't run is a difference, too. Where the device has no kernel for the dtype, or too little
    memory after all, the meta device says what it can.
    Raises: UsageError: there's no such device, or a size is symbolic.
    """
    check_numbers(report.graph, known(report.batch))
    if not getattr(torch, report.dtype).is_floating_point:
        raise UsageError(f"PyTorch's layers don't compute in {report.dtype}", "float64, float32, bfloat16 or float16")
    chosen, reason = choose_device(report, device)
    try:
        return _verified(report, chosen, reason, step, program)
    except torch.OutOfMemoryError:
        reason = "the device's memory was too little"
    except LayerRefused as error:
        if chosen == "meta" or "not implemented for" not in error.reason:
            refused = Check(
                "execution", 1, differences=(Difference(error.layer, "execution", "possible", error.reason),)
            )
            return Verification(report.name, chosen, (refused,), reason, str(torch.__version__))
        reason = f"{error.layer}: {error.reason}"
    return _verified(report, "meta", NOT_EXECUTED.format(reason), step, program)


def _verified(report: Report, device: str, reason: str, step: Step, program: Program | None) -> Verification:
    """Build, run and compare on a device."""
    torch.manual_seed(0)
    dtype = getattr(torch, report.dtype)
    with torch.device(device):
        network = Network(report.graph).to(dtype)
    network.stand_in()
    inputs = network.example_inputs(known(report.batch), device=device, dtype=dtype)
    found = run(network, inputs, step)
    checks = [_as_comparable(check, report, device) for check in compare(report, found.layers)]
    if program is not None and opaque_layers(report.graph):
        checks.append(Check("peak bytes", 0, note="not compared: no program has opaque layers"))
    elif program is not None:
        checks.append(_peak_check(report, device, program))
    if device != "meta":
        checks.append(field_check(report, device))
    checks += _passes(found, device)
    del network, inputs
    figures = cuda.figures(report) if device == "cuda" else None
    if figures is not None:
        checks += [*byte_checks(report, figures["bytes"]), *time_checks(figures)]
    return Verification(report.name, device, tuple(checks), reason, str(torch.__version__), figures)


def _peak_check(report: Report, device: str, program: Program) -> Check:
    """The most that the exported program holds; on devices with kernels of their own it's followed without memory."""
    if BYTES[report.dtype] < STATISTIC_BYTES:
        return Check("peak bytes", 0, note=f"not compared: as on a GPU, not as in {report.dtype} here")
    place = "cpu" if device == "cpu" else "meta"
    dtype = getattr(torch, report.dtype)
    with torch.device(place):
        module = program(report.graph)().to(dtype)
    inputs = example_inputs(report.graph, known(report.batch), place, dtype)
    predicted, found = report.total("peak_bytes"), peak_bytes(module, inputs)
    differences = (Difference("program", "peak bytes", f"{predicted:,}", f"{found:,}"),) if predicted != found else ()
    return Check("peak bytes", 1, predicted, found, differences)


def choose_device(report: Report, device: str) -> tuple[str, str]:
    """The device to run on, and, if that's `meta`, why nothing is executed."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "meta":
        return device, NOT_EXECUTED.format("as asked")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here", "--device cpu, or a record of one: --against FILE")
    room = cuda.free_memory() if device == "cuda" else available_memory()
    needed = room_needed(report)
    if needed > SHARE * room:
        reason = f"forward and backward need about {needed / 1e9:.1f} GB, there are {room / 1e9:.1f} GB"
        return "meta", NOT_EXECUTED.format(reason)
    return device, ""


def _as_comparable(check: Check, report: Report, device: str) -> Check:
    """Without the differences that come from a device's own kernels.

    On the CPU, norms of narrow dtypes keep statistics that are as narrow; on GPUs they are float32. Which attention
    runs on a GPU is PyTorch's choice, and so is what it keeps.
    """
    if check.quantity != "saved bytes":
        return check
    if device == "cpu" and BYTES[report.dtype] < STATISTIC_BYTES:
        return replace(
            check, layers=0, differences=(), note=f"not compared: as on a GPU, not as in {report.dtype} here"
        )
    if device == "cuda":
        rest = tuple(d for d in check.differences if not _is_more_of_attention(d, report))
        more = "" if rest == check.differences else f"{check.found - check.predicted:,} more, {OWN_KERNELS}"
        return replace(check, differences=rest, note=more)
    return check


def _is_more_of_attention(difference: Difference, report: Report) -> bool:
    found, predicted = (int(text.replace(",", "")) for text in (difference.found, difference.predicted))
    return found > predicted and report.graph[difference.layer].layer.keeps_the_least


def _passes(found: Run, device: str) -> list[Check]:
    """Whether the numbers were finite."""
    if device == "meta":
        skipped = Check("forward pass", 0, note="not executed")
        return [skipped, replace(skipped, quantity="backward pass")]
    forward = outcome("forward pass", found.forward, "finite")
    backward = outcome("backward pass", found.backward, "finite")
    if found.forward:
        backward = Check("backward pass", 0, note="not executed")
    return [forward, backward]
