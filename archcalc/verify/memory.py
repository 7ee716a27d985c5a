"""Whether a network fits: a generous estimate against what the machine has, to choose where it runs."""

from __future__ import annotations

import os
from pathlib import Path

from archcalc.analyses.memory import BYTES
from archcalc.report import Report

SHARE = 0.8
"""How much of the available memory a network may take."""


def room_needed(report: Report) -> int:
    """Bytes for a forward and a backward pass, on the generous side; no prediction.

    Weights and their gradients; three copies of each output, since modules don't compute in place, backward keeps
    some, and gradients are as large; and four of each attention's matrix of probabilities.
    """
    values = 2 * report.total("params") + report.total("buffers")
    for node in report.graph.nodes:
        values += 3 * report.batch * node.shape.numel
        if node.kind == "attention":
            queries, *_ = shapes = node.application.input_shapes
            pairs = queries.without("C").numel * shapes[-1]["T"]
            values += 4 * report.batch * pairs * node.layer.num_heads  # type: ignore[attr-defined]
    return int(values * BYTES[report.dtype])


def available_memory() -> int:
    """Bytes of main memory that a new process can use without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: all there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
