"""`archcalc check`: everything that is wrong with a spec, for people, editors and GitHub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import read_sets, refuse_contradictions, symbol_names
from archcalc.cli.options import Output, Set, Symbolic, complete_name, form_option
from archcalc.cli.output import text_format, write, write_commands, write_table
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError, Diagnostic, SpecError, UsageError
from archcalc.expand import build
from archcalc.questions.contradictions import claim_findings
from archcalc.spec.model import Spec
from archcalc.spec.reader import load_spec
from archcalc.tables import Column, Kind, Table
from archcalc.tables.json import document
from archcalc.text import github
from archcalc.work import TooMuchWork, budget, spend
from archcalc.zoo import Architecture, load


@dataclass(frozen=True)
class Checked:
    """One spec, how many variants of it were built, and what was found."""

    name: str
    variants: int
    found: tuple[Diagnostic, ...]
    conditions: tuple[str, ...] = ()

    def count(self, severity: str) -> int:
        """How many errors, or warnings."""
        return sum(diagnostic.severity == severity for diagnostic in self.found)


COLUMNS = (
    Column("file", Kind.NAME, drop=1), Column("line"), Column("column"), Column("code", Kind.WORD),
    Column("severity", Kind.VERDICT), Column("message", Kind.TEXT),
)  # fmt: skip
KEYS = (*(column.key for column in COLUMNS), "hint")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def check(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…", help="Spec files, or zoo names.", autocompletion=complete_name, show_default=False
        ),
    ],
    form: Annotated[str | None, form_option("text", "github", default="text. github: workflow commands")] = None,
    output: Output = None,
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
) -> None:
    """Find all errors and warnings of specs, in all of their variants. The exit code is 1 if there are errors.

    Published figures are compared by `archcalc claims`; here is found what no figure could make right: claims about
    layers that aren't there, or errata that hold. With `--symbolic`: for which sizes the architecture works, too.

    Examples:
    ```
    archcalc check net.yaml
    archcalc check specs/*.yaml --format github
    archcalc check resnet --set classes=10
    archcalc check unet --symbolic H,W
    ```
    """
    refuse_contradictions(read_sets(sets), {}, symbol_names(symbolic))
    chosen = text_format(form, output)
    if chosen == "github" and output is not None:
        raise UsageError("GitHub reads workflow commands from a log, not from a file", "leave out --output")
    results: list[Checked] = []
    refused: list[ArchcalcError] = []
    for name in files:
        try:
            with budget():
                results.append(_checked(name, read_sets(sets), symbol_names(symbolic)))
        except (UsageError, TooMuchWork) as error:
            refused.append(error)
    if results and chosen == "github":
        write_commands(_github(results))
    elif results and chosen == "text":
        write(_text(results), output)
    elif results:
        write_table(_table(results), chosen, output)
    refuse(refused)
    if any(result.count("error") for result in results):
        raise typer.Exit(1)


def _checked(name: str, sets: dict[str, str], symbols: Sequence[str]) -> Checked:
    """Check one spec: a variant that is named, or all of them."""
    if symbols:
        from archcalc.formulas.symbols import explained, opened

    found: dict[Any, Diagnostic] = {}
    conditions: dict[str, None] = {}
    built = 0
    try:
        spec, variants = _spec(name)
    except SpecError as error:
        return Checked(name, 0, error.diagnostics)
    for variant in variants:
        try:
            if symbols:
                graph = opened(Architecture(spec, variant), symbols, sets).graph
                conditions.update(dict.fromkeys(explained(graph, variant if len(variants) > 1 else "")))
            else:
                graph = build(spec, variant, sets)
                spend(8 * len(graph.nodes) if built else 0, "building every variant")
            diagnostics = graph.warnings
            built += 1
        except SpecError as error:
            diagnostics = error.diagnostics
        for diagnostic in diagnostics:  # what is wrong in several variants is reported once
            found.setdefault((diagnostic.code, diagnostic.message, diagnostic.mark), diagnostic)
    if not symbols and not sets:  # the claims are about the spec as it stands
        found.update(((d.code, d.message, d.mark), d) for d in claim_findings(spec, variants))
    return Checked(name, built, tuple(sorted(found.values(), key=_place)), tuple(conditions))


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    mark = diagnostic.mark
    return (mark.file, mark.line, mark.column) if mark else ("", 0, 0)


def _spec(name: str) -> tuple[Spec, Sequence[str]]:
    """A spec and the variants to build: the one that the name says, else all."""
    if Path(name).is_file():
        spec = load_spec(Path(name))
        return spec, tuple(spec.variants or ("",))
    architecture = load(name)
    spec = architecture.spec
    whole = name == spec.name or not spec.variants
    return spec, tuple(spec.variants or ("",)) if whole else (architecture.variant,)


def _text(results: list[Checked]) -> Iterator[str]:
    for result in results:
        yield from map(str, result.found)
        yield from result.conditions
        yield _counts(result)


def _counts(result: Checked) -> str:
    errors, warnings = _number(result.count("error"), "error"), _number(result.count("warning"), "warning")
    variants = f", {_number(result.variants, 'variant')} built" if result.variants > 1 else ""
    return f"{result.name}: {errors}, {warnings}{variants}"


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _table(results: list[Checked]) -> Table:
    """A row for each finding; JSON has what stands around it as well."""
    found = [_plain(diagnostic) for result in results for diagnostic in result.found]
    conditions = {result.name: list(result.conditions) for result in results}
    record = {"archcalc": 1, "diagnostics": found, **({"conditions": conditions} if any(conditions.values()) else {})}
    values = [["" if row[key] is None else row[key] for key in KEYS] for row in found]
    return Table(
        COLUMNS if found else (),
        lambda: (list(map(str, row[:-1])) for row in values),
        remarks={number: [f"hint: {row['hint']}"] for number, row in enumerate(found) if row["hint"]},
        title=", ".join(result.name for result in results),
        facts=lambda: [(name, condition) for name, several in conditions.items() for condition in several],
        summary="; ".join(map(_counts, results)),
        keys=KEYS,
        values=lambda: values,
        json=lambda: document(record),
    )


def _plain(diagnostic: Diagnostic) -> dict[str, Any]:
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


def _github(results: list[Checked]) -> Iterator[str]:
    """Workflow commands, one for each finding, and for each condition on sizes."""
    for result in results:
        yield from (github("notice", {"title": result.name}, condition) for condition in result.conditions)
        for diagnostic in result.found:
            mark = diagnostic.mark
            place = {"file": mark.file, "line": mark.line, "col": mark.column} if mark else {}
            hint = f"hint: {diagnostic.hint}" if diagnostic.hint else ""
            lines = filter(None, (diagnostic.message, *diagnostic.details, diagnostic.trace, hint))
            yield github(diagnostic.severity, {**place, "title": diagnostic.code}, "\n".join(lines))
