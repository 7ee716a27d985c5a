"""Whether a network fits: a generous estimate against what the machine has, to choose where it runs."""

from __future__ import annotations

from archcalc.quantities import BYTES
from archcalc.report import Report

SHARE = 0.8
"""How much of the available memory a network may take."""


def room_needed(report: Report) -> int:
    """Bytes for a forward and a backward pass, on the generous side; no prediction.

    Weights and their gradients, what autograd keeps, and three times the most that a forward pass has alive, since
    modules don't compute in place and gradients of volumes are as large as they are.
    """
    weights = (2 * report.total("params") + report.total("buffers")) * BYTES[report.dtype]
    return int(weights + report.total("saved_bytes") + 3 * report.total("peak_bytes"))


def available_memory() -> int:
    """Bytes of main memory that a new process can use without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)
