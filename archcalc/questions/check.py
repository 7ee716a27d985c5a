"""Everything that is wrong with specs, for people, editors and GitHub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc.errors import Diagnostic, SpecError
from archcalc.expand import Given, build, heeded
from archcalc.expand.given import mapping_of
from archcalc.expand.overrides import flat
from archcalc.graph import MAX_LAYERS, Graph
from archcalc.questions.contradictions import claim_findings
from archcalc.questions.judging import Reports
from archcalc.questions.networks import names_of, refuse_both
from archcalc.questions.subjects import InFolder, Named, OnError, answered, subject_of
from archcalc.symbolic import is_symbolic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Judgement
from archcalc.tables.json import document
from archcalc.text import github
from archcalc.work import spend
from archcalc.zoo import Architecture

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
        more = {"conditions": conditions} if any(conditions.values()) else {}
        record = {"archcalc": 1, "diagnostics": found, **more}
        values = [["" if row[key] is None else row[key] for key in KEYS] for row in found]
        return Table(
            COLUMNS if found else (),
            lambda: (list(map(str, row[:-1])) for row in values),
            remarks={number: [f"hint: {row['hint']}"] for number, row in enumerate(found) if row["hint"]},
            title=", ".join(spec.name for spec in self.specs),
            facts=lambda: [(name, condition) for name, several in conditions.items() for condition in several],
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
        """Every finding with its line of the file, then what holds for the sizes, then how many there are."""
        for spec in self.specs:
            yield from (*map(str, spec.found), *spec.conditions, spec.summary)

    def commands(self) -> Iterator[str]:
        """GitHub's workflow commands: one for each finding, and for each condition on sizes."""
        for spec in self.specs:
            yield from (github("notice", {"title": spec.name}, condition) for condition in spec.conditions)
            yield from map(_command, spec.found)

    def __iter__(self) -> Iterator[Diagnostic]:
        return (diagnostic for spec in self.specs for diagnostic in spec.found)

    def __len__(self) -> int:
        return sum(len(spec.found) for spec in self.specs)


def check(
    *networks: Named, hparams: Mapping[str, Given] | None = None, symbolic: str | Iterable[str] = (),
    specs: str | PathLike[str] | None = None, on_error: OnError = None,
) -> Findings:  # fmt: skip
    """Find all errors and warnings of specs, in all of their variants.

    A spec's own name and its path mean all of its variants, other names and architectures one. A folder stands for all
    of its specs, and no network for those of the folder `specs`, by default the zoo; names are looked up there, too.
    Claims are judged only with the spec's own hparams. With `symbolic`, sizes that stay open, the answer says for which
    sizes a network works, too.
    With `on_error`, which is called with them, names that mean nothing don't keep the others from being checked.
    Raises: UsageError: there is no such name, it's a graph, or an hparam or size is unknown, or given and open.

    >>> import archcalc
    >>> archcalc.check("vgg").ok
    True
    >>> archcalc.check("unet", symbolic="H,W").specs[0].conditions
    ('works if H >= 188', 'works if W >= 188')
    """
    names, given = names_of(symbolic), flat(mapping_of(hparams, "hparams"))
    refuse_both(given, names)
    return Findings(answered(partial(_checked, given=given, names=names), networks, specs, on_error))


def _checked(named: Named | InFolder, folder: Path | None, given: Mapping[str, Given], names: Sequence[str]) -> Checked:
    """Check one spec."""
    if isinstance(named, str) and os.path.isfile(named):
        named = Path(named)
    try:
        subject = subject_of(named, folder)
    except SpecError as error:
        name = named.file if isinstance(named, InFolder) else named
        return Checked(str(name), 0, error.diagnostics)
    reports, found = Reports(subject.spec), dict[Any, Diagnostic]()
    conditions: dict[str, None] = {}
    built = 0
    followed: set[str] = set()
    for variant in subject.variants:
        fitting = heeded(subject.spec, variant, given)
        followed |= fitting.keys()
        if variant == subject.variants[-1]:  # what none of them has is an error
            fitting |= {name: value for name, value in given.items() if name not in followed}
        try:
            graph, sizes = _built(reports, variant, fitting, names, len(subject.variants) > 1)
            spend(8 * min(graph.tree.body.size, MAX_LAYERS) if built else 0, "building every variant")
            conditions.update(dict.fromkeys(sizes))
            diagnostics = graph.warnings
            built += 1
        except SpecError as error:
            diagnostics = error.diagnostics
        for diagnostic in diagnostics:  # what is wrong in several variants is reported once
            found.setdefault(_identity(diagnostic), diagnostic)
    if not names and not given:  # the claims are about the spec as it stands
        found.update((_identity(each), each) for each in claim_findings(subject.spec, subject.variants, reports))
    return Checked(subject.name, built, tuple(sorted(found.values(), key=_place)), tuple(conditions))


def _built(
    reports: Reports, variant: str, given: Mapping[str, Given], names: Sequence[str], several: bool
) -> tuple[Graph, Iterable[str]]:
    """The graph of one variant, and for which sizes it works, if some are open."""
    if not names and not given:
        return reports.of(variant, {}).graph, ()
    if not names and not any(is_symbolic(value) or value == "sym" for value in given.values()):
        return build(reports.spec, variant, given), ()
    from archcalc.formulas.symbols import explained, opened

    graph = opened(Architecture(reports.spec, variant), names, given).graph
    return graph, explained(graph, variant if several else "")


def _identity(diagnostic: Diagnostic) -> Any:
    return diagnostic.code, diagnostic.message, diagnostic.mark


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    mark = diagnostic.mark
    return (mark.file, mark.line, mark.column) if mark else ("", 0, 0)


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
