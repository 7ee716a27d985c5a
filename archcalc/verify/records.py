"""Measurements of a device as a file, and predictions against it where the device isn't."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archcalc.analyses.memory import BYTES, INDEX_BYTES, volume_bytes
from archcalc.analyses.saved import left_bytes
from archcalc.errors import UsageError
from archcalc.layers.attention import Attention
from archcalc.layers.norm import BatchNorm
from archcalc.report import Report
from archcalc.verify.compare import Check, Difference, Verification

COUNTS = ("params", "buffers", "macs", "activations")

KERNELS = "which its kernels take for a while"
ATTENTION = "which this device's attention keeps"


def predicted_bytes(report: Report) -> dict[str, int]:
    """The bytes of weights with buffers, of inputs, of what a forward pass in training leaves behind, and of its peak.

    The peak is that of a pass without a backward pass, and holds volumes only.
    """
    graph, size = report.graph, BYTES[report.dtype]
    norms = sum(isinstance(node.layer, BatchNorm) for node in graph.nodes)  # each counts the batches it has seen
    volumes = volume_bytes(graph, report.batch, report.dtype)
    return {
        "weights": (report.total("params") + report.total("buffers")) * size + norms * INDEX_BYTES,
        "input": sum(volumes[index] for index, node in enumerate(graph.nodes) if not node.inputs),
        "left_by_forward": left_bytes(graph, report.batch, report.dtype),
        "peak_forward": report.total("peak_bytes"),
    }


def byte_checks(report: Report, bytes_: Mapping[str, int]) -> list[Check]:
    """Predicted bytes against measured ones; what isn't modelled is told with its size.

    At a peak, kernels may need more for a while. Which attention a device runs is PyTorch's choice, and so is what it
    keeps beyond the least.
    """
    more = {"peak_forward": KERNELS}
    if any(isinstance(node.layer, Attention) for node in report.graph.nodes):
        more["left_by_forward"] = ATTENTION
    predicted = predicted_bytes(report)
    checks = [_check(_words(name), value, bytes_.get(name), more.get(name, "")) for name, value in predicted.items()]
    rest = [name for name in bytes_ if name not in predicted]
    return checks + [Check(_words(name), 0, found=bytes_[name], note="measured, not predicted") for name in rest]


def _words(name: str) -> str:
    return f"{name.replace('_', ' ')} bytes"


def _check(name: str, predicted: Any, found: Any, more: str = "") -> Check:
    """Whether a figure is as predicted, or, where `more` says why, larger."""
    if more and found is not None and found > predicted:
        return Check(name, 1, predicted, found, note=f"{found - predicted:,} more, {more}")
    differences = () if predicted == found else (Difference("total", name, f"{predicted:,}", _told(found)),)
    return Check(name, 1, predicted, found, differences)


def _told(found: Any) -> str:
    return "missing" if found is None else f"{found:,}"


def time_checks(figures: Mapping[str, Any]) -> list[Check]:
    """Times and the share of the machine's peak, as measured."""
    return [
        Check(
            f"{name.replace('_', ' ')} time",
            0,
            note=f"{value * 1000:.3f} ms, {figures['share_of_peak'][name]:.1%} of peak",
        )
        for name, value in figures["seconds"].items()
    ]


def read_record(file: Path) -> dict[str, Any]:
    """A record.

    Raises: UsageError: the file isn't one.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if not all(isinstance(net["counts"], dict) and isinstance(net["bytes"], dict) for net in record["nets"]):
            raise ValueError("a net lacks its figures")
        return {"device": str(record["device"]), "nets": {str(net["name"]): net for net in record["nets"]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{file} is no record of measurements: {error}", "archcalc verify --record writes one"
        ) from None


def write_record(file: Path, machine: Mapping[str, Any], nets: list[dict[str, Any]]) -> None:
    """Write a record, one line for each net, so that a difference reads well under version control."""
    head = json.dumps({"archcalc": 1, **machine}, indent=1)[:-2]
    lines = ",\n".join(f"  {json.dumps(net)}" for net in nets)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{head},\n "nets": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def net_record(net: Verification, report: Report, sets: Mapping[str, str]) -> dict[str, Any]:
    """What a record keeps of one net: counts as PyTorch found them, and the device's figures."""
    found = {check.quantity.lower(): check.found for check in net.checks}
    kept = {"name": net.name, "batch": report.batch, "dtype": report.dtype, "sets": dict(sets)}
    return {**kept, "counts": {name: found[name] for name in COUNTS}, **(net.figures or {})}


def counts(report: Report) -> dict[str, int]:
    """The totals that a record keeps."""
    return {name: report.total(name) for name in COUNTS}


def against(report: Report, net: Mapping[str, Any]) -> list[Check]:
    """Predictions against one net of a record."""
    checks = [_check(name, predicted, net["counts"].get(name)) for name, predicted in counts(report).items()]
    checks += byte_checks(report, net["bytes"])
    return checks + (time_checks(net) if "seconds" in net and "share_of_peak" in net else [])
