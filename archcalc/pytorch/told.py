"""Verifications as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.pytorch.compare import Check, Verification
from archcalc.report import Report
from archcalc.tables import Column, Kind, Table
from archcalc.tables.json import document

CHECKS = (
    Column("check", Kind.WORD), Column("layers"), Column("archcalc"), Column("PyTorch"),
    Column("verdict", Kind.VERDICT),
)  # fmt: skip
NETS = (
    Column("net", Kind.NAME), Column("device", Kind.WORD), Column("checks"), Column("differences"),
    Column("verdict", Kind.VERDICT),
)  # fmt: skip
VALUES = ("net", "check", "layers", "archcalc", "pytorch", "verdict")
SHOWN = 20
"""Differences that are printed for each check; JSON has them all."""


def net_table(verification: Verification, report: Report, quiet: bool = False) -> Table:
    """One net: its checks, and below what differs; or, `quiet`, this alone."""
    notes = list(_remarks(verification))
    if quiet:
        return Table(notes=notes if verification.differences else ())
    where = f"PyTorch {verification.torch} on {verification.device}" if verification.torch else verification.device
    title = f"{where}, {report.dtype}, batch {report.batch}"
    return Table(CHECKS, lambda: map(_check_row, verification.checks), verification.name, title, notes=notes)


def whole_table(found: Sequence[Verification], nets: Sequence[Table], left_out: Sequence[str]) -> Table:
    """All nets: their own tables, one with a row for each, and a sentence."""
    record = {"archcalc": 1, "nets": [_record(net) for net in found], "left_out": left_out}
    summary = [Table(NETS, lambda: map(_net_row, found))] if len(found) > 1 else []
    return Table(
        sections=lambda: [*nets, *summary],
        summary=_summary(found, left_out),
        keys=VALUES,
        values=lambda: (_values(net.name, check) for net in found for check in net.checks),
        json=lambda: document(record),
    )


def _values(name: str, check: Check) -> list[Any]:
    numbers = ("" if value is None else value for value in (check.predicted, check.found))
    return [name, check.quantity, check.layers, *numbers, check.verdict]


def _check_row(check: Check) -> tuple[str, ...]:
    """One check as a line of the table."""
    layers = f"{check.layers:,}" if check.layers > 1 else ""
    return (check.quantity, layers, _number(check.predicted), _number(check.found), check.verdict)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def _remarks(verification: Verification) -> Iterator[str]:
    """What stands below a net's table: what was not executed, and every layer that differs, with both values."""
    if verification.not_executed:
        yield verification.not_executed
    for check in verification.checks:
        yield from (f"{verification.name}: {difference}" for difference in check.differences[:SHOWN])
        if len(check.differences) > SHOWN:
            yield f"{verification.name}: … and {len(check.differences) - SHOWN} more layers differ in {check.quantity}"


def _net_row(verification: Verification) -> tuple[str, ...]:
    """One net as a line of the summary."""
    compared = sum(check.compared for check in verification.checks)
    verdict = "differs" if verification.differences else "equal"
    if verification.not_executed:
        verdict += ", not executed"
    return (verification.name, verification.device, str(compared), str(len(verification.differences)), verdict)


def _summary(verifications: Sequence[Verification], skipped: Sequence[str]) -> str:
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


def _record(verification: Verification) -> dict[str, Any]:
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
