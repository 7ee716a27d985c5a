"""Published figures against computed ones, as tables for people and as records for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from archcalc.claims import Verdict, totals_of
from archcalc.quantities import claimable
from archcalc.tables import Column, Kind, Table
from archcalc.tables.json import document
from archcalc.tables.numbers import exact, memory

COLUMNS = (
    Column("quantity", Kind.WORD), Column("published", Kind.SIZES), Column("computed", Kind.NUMBER),
    Column("verdict", Kind.VERDICT), Column("source", Kind.TEXT),
)  # fmt: skip
RECORD = (
    "name", "variant", "at", "subject", "published", "digits", "computed", "verdict", "tolerance", "source", "note",
    "problem",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One name, its verdicts, and whether they are about several variants."""

    name: str
    verdicts: Sequence[Verdict]
    variants: bool = False

    def table(self) -> Table:
        """The figures in rows, and below an erratum why it is one."""
        if not self.verdicts:
            return Table(name=self.name, title="no published figures")
        rows = [_cells(verdict, self.variants) for verdict in self.verdicts]
        remarks = {number: tuple(_remarks(verdict)) for number, verdict in enumerate(self.verdicts)}
        return Table(COLUMNS, lambda: rows, self.name, remarks=remarks)

    def records(self) -> Iterator[dict[str, Any]]:
        """The same for programs."""
        return (_record(self.name, verdict) for verdict in self.verdicts)


def claims_table(found: Sequence[Judged]) -> Table:
    """The figures of several networks, and how many of them hold."""
    counts = totals_of([verdict for judged in found for verdict in judged.verdicts])
    total = sum(counts.values())
    errata = "erratum" if counts["erratum"] == 1 else "errata"
    cut = f", {counts['cut off']} cut off" if counts["cut off"] else ""
    rest = f"{counts['erratum']} {errata}, {counts['wrong']} wrong"
    records = [record for judged in found for record in judged.records()]
    return Table(
        sections=lambda: (judged.table() for judged in found),
        summary=f"{total} figures: {counts['holds']} hold{cut}, {rest}" if total else "no published figures",
        keys=RECORD,
        values=lambda: map(_values, records),
        json=lambda: document(records),
    )


def _cells(verdict: Verdict, variants: bool) -> tuple[str, str, str, str, str]:
    """A published figure: what, perhaps of which variant, as printed, as computed, the verdict, who printed it."""
    claim = verdict.claim
    printed = " ".join(claim.expected.text.split())
    if printed.isdecimal() and claim.quantity != "shape" and len(printed) < 100:
        printed = exact(int(printed))
    if claim.digits is not None:
        printed += f" ({claim.digits} digit{'s' if claim.digits > 1 else ''})"
    about = [claim.subject, *([claim.variant] if variants and claim.variant else [])]
    about += [f"{name}={value.text}" for name, value in claim.at.items()]
    judged = f"{verdict.verdict} within {claim.percent}" if claim.percent else verdict.verdict
    return ", ".join(about), printed, _figure(verdict), judged, claim.source


def _figure(verdict: Verdict) -> str:
    """A computed value as it stands beside a published one."""
    if verdict.computed is None:
        return "none"
    return memory(verdict.computed) if claimable()[verdict.claim.quantity].in_bytes else exact(verdict.computed)


def _remarks(verdict: Verdict) -> Iterator[str]:
    """What is to be said about a verdict: why an erratum is one, what is wrong with a wrong one."""
    if verdict.problem:
        yield verdict.problem
    if verdict.verdict != "holds" and verdict.claim.note:
        yield verdict.claim.note


def _record(name: str, verdict: Verdict) -> dict[str, Any]:
    claim, computed = verdict.claim, verdict.computed
    values = (
        name, claim.variant, {name: value.text for name, value in claim.at.items()}, claim.subject, claim.expected.text,
        claim.digits, computed if isinstance(computed, int) else _figure(verdict), verdict.verdict, claim.percent,
        claim.source, claim.note, verdict.problem,
    )  # fmt: skip
    return dict(zip(RECORD, values, strict=True))


def _values(record: dict[str, Any]) -> list[Any]:
    """A record's values in one line of CSV."""
    at = ", ".join(f"{name}={value}" for name, value in record["at"].items())
    return list({**record, "at": at, "digits": "" if record["digits"] is None else record["digits"]}.values())
