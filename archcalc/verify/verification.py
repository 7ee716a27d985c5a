"""Verify one network: build it in PyTorch, run it, compare."""

from __future__ import annotations

from dataclasses import replace

import torch

from archcalc.analyses.memory import BYTES
from archcalc.analyses.saved import STATISTIC_BYTES
from archcalc.errors import UsageError
from archcalc.layers.attention import Attention
from archcalc.report import Report
from archcalc.verify import cuda
from archcalc.verify.compare import Check, Difference, Verification, compare, outcome
from archcalc.verify.fields import field_check
from archcalc.verify.measure import LayerRefused, Run, Step, run
from archcalc.verify.memory import SHARE, available_memory, room_needed
from archcalc.verify.network import Network, check_numbers
from archcalc.verify.records import ATTENTION, byte_checks, time_checks


def verify(report: Report, device: str = "auto", step: Step = lambda: None) -> Verification:
    """Compare a report with PyTorch, layer by layer, for the report's batch and dtype.

    A layer that PyTorch can't run is a difference, too.
    Raises: UsageError: there's no such device, or a size is symbolic.
    """
    check_numbers(report.graph)
    chosen, reason = choose_device(report, device)
    torch.manual_seed(0)
    dtype = getattr(torch, report.dtype)
    if not dtype.is_floating_point:
        raise UsageError(f"PyTorch's layers don't compute in {report.dtype}", "float64, float32, bfloat16 or float16")
    with torch.device(chosen):
        network = Network(report.graph).to(dtype)
    inputs = network.example_inputs(report.batch, device=chosen, dtype=dtype)
    try:
        found = run(network, inputs, step)
    except LayerRefused as error:
        refused = Check("execution", 1, differences=(Difference(error.layer, "execution", "possible", error.reason),))
        return Verification(report.name, chosen, (refused,), reason, str(torch.__version__))
    checks = [_as_comparable(check, report, chosen) for check in compare(report, found.layers)]
    if chosen != "meta":
        checks.append(field_check(report, chosen))
    checks += _passes(found, chosen)
    del network, inputs
    figures = cuda.figures(report) if chosen == "cuda" else None
    if figures is not None:
        checks += [*byte_checks(report, figures["bytes"]), *time_checks(figures)]
    return Verification(report.name, chosen, tuple(checks), reason, str(torch.__version__), figures)


def choose_device(report: Report, device: str) -> tuple[str, str]:
    """The device to run on, and, if that's `meta`, why nothing is executed."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "meta":
        return device, "nothing was executed, as asked: shapes and counts only"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here", "--device cpu, or --against a record of one")
    room = torch.cuda.mem_get_info()[0] if device == "cuda" else available_memory()
    needed = room_needed(report)
    if needed > SHARE * room:
        reason = f"forward and backward need about {needed / 1e9:.1f} GB, there are {room / 1e9:.1f} GB"
        return "meta", f"nothing was executed: {reason}; shapes and counts only"
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
        rest = tuple(d for d in check.differences if not isinstance(report.graph[d.layer].layer, Attention))
        more = "" if rest == check.differences else f"{check.found - check.predicted:,} more, {ATTENTION}"
        return replace(check, differences=rest, note=more)
    return check


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
