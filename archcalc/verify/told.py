"""Verifications as rows of text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.report import Report
from archcalc.text import line
from archcalc.verify.compare import Check, Verification

HEAD = ("check", "layers", "archcalc", "PyTorch", "verdict")
LEFTS = (True, False, False, False, True)
SUMMARY_HEAD = ("net", "device", "checks", "differences", "verdict")
SUMMARY_LEFTS = (True, True, False, False, True)
SHOWN = 20
"""Differences that are printed for each check; JSON has them all."""


def heading(verification: Verification, report: Report) -> str:
    """The net, and under what circumstances it was compared."""
    where = f"PyTorch {verification.torch} on {verification.device}" if verification.torch else verification.device
    return line(f"{verification.name}: {where}, {report.dtype}, batch {report.batch}")


def check_row(check: Check) -> tuple[str, ...]:
    """One check as a line of the table."""
    layers = f"{check.layers:,}" if check.layers > 1 else ""
    return (check.quantity, layers, _number(check.predicted), _number(check.found), check.verdict)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def remarks(verification: Verification) -> Iterator[str]:
    """What stands below a net's table: what was not executed, and every layer that differs, with both values."""
    if verification.not_executed:
        yield verification.not_executed
    for check in verification.checks:
        yield from (f"{verification.name}: {difference}" for difference in check.differences[:SHOWN])
        if len(check.differences) > SHOWN:
            yield f"{verification.name}: … and {len(check.differences) - SHOWN} more layers differ in {check.quantity}"


def summary_row(verification: Verification) -> tuple[str, ...]:
    """One net as a line of the summary."""
    compared = sum(check.compared for check in verification.checks)
    verdict = "differs" if verification.differences else "equal"
    if verification.not_executed:
        verdict += ", not executed"
    return (verification.name, verification.device, str(compared), str(len(verification.differences)), verdict)


def summary(verifications: Sequence[Verification], skipped: Sequence[str]) -> str:
    """All nets in one sentence."""
    checks = sum(check.compared for found in verifications for check in found.checks)
    differing = sum(bool(check.differences) for found in verifications for check in found.checks)
    parts = [f"{len(verifications)} net{'' if len(verifications) == 1 else 's'}, {checks} checks: {differing} differ"]
    not_run = [found.name for found in verifications if found.not_executed]
    if not_run:
        parts.append(f"not executed: {', '.join(not_run)}")
    if skipped:
        parts.append(f"left out: {', '.join(skipped)}")
    return "; ".join(parts)


def record(verification: Verification) -> dict[str, Any]:
    """One net for `--format json`."""
    return {
        "name": verification.name,
        "device": verification.device,
        "torch": verification.torch or None,
        "not_executed": verification.not_executed or None,
        "checks": [
            {
                "check": check.quantity,
                "layers": check.layers,
                "archcalc": check.predicted,
                "pytorch": check.found,
                "verdict": check.verdict,
                "differences": [
                    {"layer": d.layer, "archcalc": d.predicted, "pytorch": d.found} for d in check.differences
                ],
            }
            for check in verification.checks
        ],
    }
