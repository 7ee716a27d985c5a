"""What is wrong with networks, or different from what they must be: for people, editors and GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archcalc.errors import Diagnostic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Judgement
from archcalc.tables.json import document
from archcalc.text import github

COLUMNS = (
    Column("file", Kind.NAME, drop=1), Column("line"), Column("column"), Column("code", Kind.WORD),
    Column("severity", Kind.VERDICT), Column("message", Kind.TEXT),
)  # fmt: skip
KEYS = (*(column.key for column in COLUMNS), "hint")


@dataclass(frozen=True)
class Checked:
    """One spec, how many variants of it were built, what was found, and for which sizes it works if some are open."""

    name: str
    variants: int
    found: tuple[Diagnostic, ...]
    conditions: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    """What was compared, in sentences."""

    def count(self, severity: str) -> int:
        """How many errors, or warnings."""
        return sum(diagnostic.severity == severity for diagnostic in self.found)

    @property
    def summary(self) -> str:
        """How many errors and warnings, in a sentence."""
        errors, warnings = _number(self.count("error"), "error"), _number(self.count("warning"), "warning")
        variants = f", {_number(self.variants, 'variant')} built" if self.variants > 1 else ""
        return f"{self.name}: {errors}, {warnings}{variants}"


@dataclass(frozen=True, repr=False)
class Findings(Judgement):
    """The errors and warnings of several specs, spec by spec; iterating gives them."""

    specs: tuple[Checked, ...]

    def table(self) -> Table:
        """A row for each error and warning."""
        found = list(map(_record, self))
        conditions = {spec.name: list(spec.conditions) for spec in self.specs}
        facts = {spec.name: list(spec.facts) for spec in self.specs}
        more = {key: value for key, value in (("conditions", conditions), ("facts", facts)) if any(value.values())}
        record = {"archcalc": 1, "diagnostics": found, **more}
        values = [["" if row[key] is None else row[key] for key in KEYS] for row in found]
        return Table(
            COLUMNS if found else (),
            lambda: (list(map(str, row[:-1])) for row in values),
            remarks={number: [f"hint: {row['hint']}"] for number, row in enumerate(found) if row["hint"]},
            title=", ".join(spec.name for spec in self.specs),
            facts=lambda: [
                (name, text) for each in (conditions, facts) for name, several in each.items() for text in several
            ],
            summary="; ".join(spec.summary for spec in self.specs),
            keys=KEYS,
            values=lambda: values,
            json=lambda: document(record),
        )

    @property
    def ok(self) -> bool:
        """Whether there is no error; there may be warnings."""
        return not any(spec.count("error") for spec in self.specs)

    def sentences(self) -> Iterator[str]:
        """Every finding with its line of the file; what holds for the sizes, what was compared, how many there are."""
        for spec in self.specs:
            yield from (*map(str, spec.found), *spec.conditions, *spec.facts, spec.summary)

    def commands(self) -> Iterator[str]:
        """GitHub's workflow commands: one for each finding, and for each condition on sizes."""
        for spec in self.specs:
            yield from (github("notice", {"title": spec.name}, condition) for condition in spec.conditions)
            yield from map(_command, spec.found)

    def __iter__(self) -> Iterator[Diagnostic]:
        return (diagnostic for spec in self.specs for diagnostic in spec.found)

    def __len__(self) -> int:
        return sum(len(spec.found) for spec in self.specs)


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _record(diagnostic: Diagnostic) -> dict[str, Any]:
    mark = diagnostic.mark
    return {
        "file": mark.file if mark else None,
        "line": mark.line if mark else None,
        "column": mark.column if mark else None,
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "details": list(diagnostic.details),
        "trace": diagnostic.trace,
        "hint": diagnostic.hint,
    }


def _command(diagnostic: Diagnostic) -> str:
    mark = diagnostic.mark
    place = {"file": mark.file, "line": mark.line, "col": mark.column} if mark else {}
    hint = f"hint: {diagnostic.hint}" if diagnostic.hint else ""
    lines = filter(None, (diagnostic.message, *diagnostic.details, diagnostic.trace, hint))
    return github(diagnostic.severity, {**place, "title": diagnostic.code}, "\n".join(lines))
