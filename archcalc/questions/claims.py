"""Claims: published figures and budgets against what is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc.data import dataclass
from archcalc.quantities import DTYPE, claimable
from archcalc.questions.judging import VERDICTS, Verdict, verdicts_on
from archcalc.questions.subjects import InFolder, Named, OnError, answered, subject_of
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Judgement
from archcalc.tables.json import document
from archcalc.tables.numbers import exact, memory

COLUMNS = (
    Column("quantity", Kind.WORD), Column("published", Kind.SIZES), Column("computed", Kind.NUMBER),
    Column("verdict", Kind.VERDICT), Column("source", Kind.TEXT),
)  # fmt: skip
RECORD = (
    "name", "variant", "at", "dtype", "subject", "published", "digits", "computed", "verdict", "tolerance", "source",
    "note", "problem",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What one network is called, the verdicts on its claims, and whether they are about several variants."""

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


@dataclass(frozen=True, repr=False)
class Claims(Judgement):
    """The verdicts on the claims of several networks, network by network; iterating gives the verdicts."""

    networks: tuple[Judged, ...]

    def table(self) -> Table:
        """A table for each network, and how many of all figures hold."""
        records = [_record(judged.name, verdict) for judged in self.networks for verdict in judged.verdicts]
        return Table(
            sections=lambda: (judged.table() for judged in self.networks),
            summary=_summary(self.counts),
            keys=RECORD,
            values=lambda: map(_values, records),
            json=lambda: document(records),
        )

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts on all claims."""
        return tuple(verdict for judged in self.networks for verdict in judged.verdicts)

    @property
    def ok(self) -> bool:
        """Whether no figure is wrong, and each budget kept."""
        return all(verdict.ok for verdict in self.verdicts)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many claims have each of the verdicts."""
        return {kind: sum(verdict.verdict == kind for verdict in self.verdicts) for kind in VERDICTS}

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)


def claims(*networks: Named, specs: str | PathLike[str] | None = None, on_error: OnError = None) -> Claims:
    """Judge published figures and budgets: those that the specs of these networks claim.

    A spec's own name and its path mean all of its variants, other names and architectures one. A folder stands for all
    of its specs, and no network for those of the folder `specs`, by default the zoo; names are looked up there, too.
    Bytes are bytes, all else is counted; a budget is exact, and a figure is judged by its digits.
    With `on_error`, which is called with them, errors of one network don't keep the others from being judged.
    Raises: UsageError: there is no such name, or it's a graph. SpecError: a spec is wrong.

    >>> import archcalc
    >>> found = archcalc.claims("alexnet_slides")
    >>> found.ok, found.counts["holds"], found.counts["erratum"]
    (True, 19, 1)
    >>> [(each.claim.subject, each.computed) for each in found if each.verdict == "erratum"]
    [('shape(conv1)', (54, 54, 96))]
    """

    def judged(named: Named | InFolder, folder: Path | None) -> Judged:
        subject = subject_of(named, folder)
        several = subject.variant is None and len(subject.spec.variants) > 1
        return Judged(subject.name, verdicts_on(subject.spec, subject.variant), several)

    return Claims(answered(judged, networks, specs, on_error))


def _summary(counts: Mapping[str, int]) -> str:
    """How many figures hold, and how many budgets are kept."""
    figures = sum(counts[kind] for kind in ("holds", "cut off", "erratum", "wrong"))
    budgets = counts["within"] + counts["outside"]
    parts = []
    if figures:
        errata = "erratum" if counts["erratum"] == 1 else "errata"
        cut = f", {counts['cut off']} cut off" if counts["cut off"] else ""
        rest = f"{counts['erratum']} {errata}, {counts['wrong']} wrong"
        parts.append(f"{figures} figure{'s' * (figures > 1)}: {counts['holds']} hold{cut}, {rest}")
    if budgets:
        parts.append(f"{budgets} budget{'s' * (budgets > 1)}: {counts['within']} within, {counts['outside']} outside")
    return "; ".join(parts) or "no published figures"


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
    about += [claim.dtype] if claim.dtype != DTYPE else []
    judged = f"{verdict.verdict} within {claim.percent}" if claim.percent else verdict.verdict
    return ", ".join(about), printed, _figure(verdict), judged, claim.source


def _figure(verdict: Verdict) -> str:
    """A computed value as it stands beside a published one; beside a budget every byte counts."""
    if verdict.computed is None:
        return "none"
    if not claimable()[verdict.claim.quantity].in_bytes:
        return exact(verdict.computed)
    return f"{exact(verdict.computed)} bytes" if verdict.claim.budget else memory(verdict.computed)


def _remarks(verdict: Verdict) -> Iterator[str]:
    """What is to be said about a verdict: why an erratum is one, what is wrong with a wrong one."""
    if verdict.problem:
        yield verdict.problem
    if verdict.verdict != "holds" and verdict.claim.note:
        yield verdict.claim.note


def _record(name: str, verdict: Verdict) -> dict[str, Any]:
    claim, computed = verdict.claim, verdict.computed
    values = (
        name, claim.variant, {name: value.text for name, value in claim.at.items()}, claim.dtype, claim.subject,
        claim.expected.text, claim.digits, computed if isinstance(computed, int) else _figure(verdict), verdict.verdict,
        claim.percent, claim.source, claim.note, verdict.problem,
    )  # fmt: skip
    return dict(zip(RECORD, values, strict=True))


def _values(record: dict[str, Any]) -> list[Any]:
    """A record's values in one line of CSV."""
    at = ", ".join(f"{name}={value}" for name, value in record["at"].items())
    return list({**record, "at": at, "digits": "" if record["digits"] is None else record["digits"]}.values())
