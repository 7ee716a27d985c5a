"""Measurements of a device as a file, and predictions against it where the device isn't."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from archcalc import files
from archcalc.analyses.memory import INDEX_BYTES, volume_bytes
from archcalc.analyses.saved import left_bytes
from archcalc.errors import UsageError
from archcalc.pytorch import need_torch
from archcalc.pytorch.compare import Check, Difference, Verification
from archcalc.quantities import BYTES
from archcalc.report import Report
from archcalc.symbolic import known
from archcalc.zoo import is_path

VERSION = 1
"""Of the form of a record."""
COUNTS = ("params", "buffers", "macs", "activations")
MACHINE = ("device", "driver", "torch", "cuda", "date")
FIGURES = ("bytes", "seconds", "share_of_peak")
FLOATS = ("float64", "float32", "bfloat16", "float16")

KERNELS = "since not every layer is in place, and for what kernels take for a while"
OWN_KERNELS = "which this device's attention and recurrences keep"


def predicted_bytes(report: Report) -> dict[str, int]:
    """The bytes of weights with buffers, of inputs, of what a forward pass in training leaves, and the least peak.

    The peak is that of a pass without a backward pass, layer by layer, in which volumes are freed after their last use.
    """
    graph, size = report.graph, BYTES[report.dtype]
    totals = {name: known(report.total(name)) for name in ("params", "buffers", "least_bytes")}
    counters = sum(known(node.application.copies) * node.layer.counters for node in graph.nodes)
    volumes = volume_bytes(graph, report.batch, report.dtype)
    return {
        "weights": (totals["params"] + totals["buffers"]) * size + counters * INDEX_BYTES,
        "input": sum(known(volumes[index]) for index, node in enumerate(graph.nodes) if not node.inputs),
        "left_by_forward": known(left_bytes(graph, report.batch, report.dtype)),
        "peak_forward": totals["least_bytes"],
    }


def byte_checks(report: Report, bytes_: Mapping[str, int]) -> list[Check]:
    """Predicted bytes against measured ones; what isn't modelled is reported with its size.

    At a peak, kernels may need more for a while. Which attention or recurrence a device runs is PyTorch's choice, so
    is what it keeps beyond the least.
    """
    more = {"peak_forward": KERNELS}
    if any(node.layer.keeps_the_least for node in report.graph.nodes):
        more["left_by_forward"] = OWN_KERNELS
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
    differences = () if predicted == found else (Difference("total", name, f"{predicted:,}", _shown(found)),)
    return Check(name, 1, predicted, found, differences)


def _shown(found: Any) -> str:
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
    """A record: its device, and its nets by name. It may be a stranger's: nothing in it names a file.

    Raises: UsageError: the file isn't one.
    """
    try:
        record = files.read_json(file, floats=True)
    except FileNotFoundError:
        raise _no_record(file, "there is no such file") from None
    except UsageError as error:
        raise _no_record(file, str(error)) from None
    if problem := _problem(record):
        raise _no_record(file, problem)
    return {"device": record["device"], "nets": {net["name"]: net for net in record["nets"]}}


def _no_record(file: Path, problem: str) -> UsageError:
    return UsageError(f"{file} is not a record of measurements: {problem}", "verify writes one, on a CUDA device")


def _problem(record: Any) -> str:
    """Why values are not what `write_record` writes; empty if they are."""
    if not isinstance(record, dict) or not {"archcalc", "device", "nets"} <= record.keys():
        return "it has no version, device or nets"
    if unknown := record.keys() - {"archcalc", *MACHINE, "nets"}:
        return f"unknown key '{min(unknown)}'"
    if type(record["archcalc"]) is not int or record["archcalc"] != VERSION:
        return f"its version is not {VERSION}"
    known = [record["device"], *(record[name] for name in MACHINE if record.get(name) is not None)]
    if not all(isinstance(value, str) for value in known):
        return "what it says about the device is not text"
    nets = record["nets"]
    if not isinstance(nets, list) or not nets or not all(isinstance(net, dict) and _is_net(net) for net in nets):
        return "there is no net, or one that lacks figures or has impossible ones"
    names = [net["name"] for net in nets]
    if paths := [name for name in names if is_path(name)]:
        return f"'{paths[0]}' is a path, not the name of a net"
    return "a net appears twice" if len(set(names)) < len(names) else ""


def _is_net(net: Mapping[str, Any]) -> bool:
    """Whether a record's net has what is needed, nothing else, and numbers that can be."""
    keys = {"name", "batch", "dtype", "sets", "counts", "bytes"}
    if not keys <= net.keys() <= keys | set(FIGURES):
        return False
    counts = [net["counts"], net["bytes"]]
    seconds, shares = (net.get(name, {}) for name in ("seconds", "share_of_peak"))
    return (
        isinstance(net["name"], str)
        and _is_count(net["batch"], 1)
        and net["dtype"] in FLOATS
        and all(isinstance(found, dict) for found in (net["sets"], *counts, seconds, shares))
        and all(isinstance(value, str) for value in net["sets"].values())
        and all(_is_count(value) for found in counts for value in found.values())
        and all(isinstance(value, float) and 0 < value < inf for value in seconds.values())
        and all(isinstance(value, float) and 0 <= value < inf for value in shares.values())
        and seconds.keys() == shares.keys()
    )


def _is_count(value: Any, least: int = 0) -> bool:
    return type(value) is int and value >= least


def write_record(file: Path, machine: Mapping[str, Any], nets: list[dict[str, Any]]) -> None:
    """Write a record, one line for each net, so that a difference reads well under version control."""
    head = json.dumps({"archcalc": VERSION, **machine}, indent=1)[:-2]
    lines = ",\n".join(f"  {json.dumps(net)}" for net in nets)
    files.make_folder(file.parent)
    files.write_text(file, f'{head},\n "nets": [\n{lines}\n ]\n}}\n')


def check_recordable(file: Path, device: str) -> None:
    """Find out before measuring whether there will be something to record, and where.

    Raises: UsageError: the device measures nothing, or the file can't be written.
    """
    need_torch()
    import torch

    if device in ("cpu", "meta"):
        raise UsageError(f"--record keeps what a CUDA device measures, not --device {device}")
    if not torch.cuda.is_available():
        raise UsageError("there is no CUDA device to record", "--against compares with a record of one")
    files.make_folder(file.parent)
    files.check_writable(file)


def net_record(net: Verification) -> dict[str, Any]:
    """What a record keeps of one net: its name, counts as PyTorch found them, the device's figures."""
    found = {check.quantity.lower(): check.found for check in net.checks}
    kept = {"name": net.name, "batch": net.batch, "dtype": net.dtype, "sets": dict(net.hparams)}
    return {**kept, "counts": {name: found[name] for name in COUNTS}, **(net.figures or {})}


def counts(report: Report) -> dict[str, int]:
    """The totals that a record keeps."""
    return {name: known(report.total(name)) for name in COUNTS}


def against(report: Report, net: Mapping[str, Any]) -> list[Check]:
    """Predictions against one net of a record."""
    checks = [_check(name, predicted, net["counts"].get(name)) for name, predicted in counts(report).items()]
    checks += byte_checks(report, net["bytes"])
    return checks + (time_checks(net) if "seconds" in net and "share_of_peak" in net else [])
