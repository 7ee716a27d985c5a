"""`archcalc claims`: published figures against computed ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from archcalc import text
from archcalc.claims import Verdict, check_claims, totals_of
from archcalc.cli.command import Command
from archcalc.cli.graphs import refuse_unused_folder
from archcalc.cli.options import Specs, TableFormat, complete_name
from archcalc.cli.output import console, in_terminal, show, write
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError, SpecError, UsageError
from archcalc.render.notes import figure
from archcalc.render.plain import claim_lines
from archcalc.spec.reader import load_spec
from archcalc.work import TooMuchWork, budget
from archcalc.zoo import load, spec_files

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@dataclass(frozen=True)
class Judged:
    """One name, its verdicts, and whether they are about several variants."""

    name: str
    verdicts: list[Verdict]
    variants: bool


@app.command(cls=Command)
def claims(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME…]", help="Zoo names or spec files.", autocompletion=complete_name, show_default=False
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All specs.")] = False,
    specs: Specs = None,
    form: Annotated[
        TableFormat | None,
        typer.Option("--format", "-f", help="Default: table in a terminal, plain in a pipe.", show_default=False),
    ] = None,
) -> None:
    """Compare published figures with computed ones.

    Each holds, is cut off instead of rounded, is a recorded erratum, or is wrong (exit code 1).

    Examples:
    ```
    archcalc claims vgg16
    archcalc claims --all
    archcalc claims googlenet --format json
    ```
    """
    if every is bool(names):
        raise UsageError("name architectures, or give --all", "archcalc claims vgg16")
    refuse_unused_folder(names or [], specs)
    chosen = form or (TableFormat.table if in_terminal() else TableFormat.plain)
    found: list[Judged] = []
    refused: list[ArchcalcError] = []
    for judged in _of_folder(specs) if every else [partial(_of_name, name, specs) for name in names or []]:
        try:
            with budget():
                found.append(judged())
        except (UsageError, SpecError, TooMuchWork) as error:
            refused.append(error)
    if every:
        found = [judged for judged in found if judged.verdicts]
    says = bool(found) or not refused  # that there are no figures at all, too
    if says and chosen is TableFormat.table:
        _show(found)
    elif says:
        write(_WRITERS[chosen](found))
    refuse(refused)
    if totals_of(_verdicts(found))["wrong"]:
        raise typer.Exit(1)


def _verdicts(found: list[Judged]) -> list[Verdict]:
    return [verdict for judged in found for verdict in judged.verdicts]


def _of_folder(specs: Path | None) -> list[Callable[[], Judged]]:
    return [partial(_of_spec, file) for file in spec_files(specs)]


def _of_spec(file: Path) -> Judged:
    spec = load_spec(file)
    return Judged(spec.name, check_claims(spec), len(spec.variants) > 1)


def _of_name(name: str, specs: Path | None) -> Judged:
    architecture = load(name, specs)
    spec = architecture.spec
    whole = name == spec.name or name.endswith((".yaml", ".yml"))
    verdicts = check_claims(spec, None if whole else architecture.variant)
    return Judged(name, verdicts, whole and len(spec.variants) > 1)


def _summary(found: list[Judged]) -> str:
    counts = totals_of(_verdicts(found))
    if not any(counts.values()):
        return "no published figures"
    errata = "erratum" if counts["erratum"] == 1 else "errata"
    cut = f", {counts['cut off']} cut off" if counts["cut off"] else ""
    all_of_them = f"{sum(counts.values())} figures: {counts['holds']} hold{cut}"
    return f"{all_of_them}, {counts['erratum']} {errata}, {counts['wrong']} wrong"


def _plain(found: list[Judged]) -> Iterator[str]:
    for judged in found:
        if judged.verdicts:
            yield from (judged.name, *claim_lines(judged.verdicts, judged.variants), "")
        else:
            yield from (f"{judged.name}: no published figures", "")
    yield _summary(found)


def _markdown(found: list[Judged]) -> Iterator[str]:
    from archcalc.render.markdown import claim_rows

    for judged in found:
        rows = claim_rows(judged.verdicts, judged.variants) if judged.verdicts else ["no published figures"]
        yield from (f"**{text.markdown(judged.name)}**", "", *rows, "")
    yield text.markdown(_summary(found))


def _html(found: list[Judged]) -> Iterator[str]:
    from archcalc.render.html import claim_rows

    for judged in found:
        if judged.verdicts:
            yield f"<table><caption>{text.html(judged.name)}</caption>"
            yield from claim_rows(judged.verdicts, judged.variants)
        else:
            yield f"<p>{text.html(judged.name)}: no published figures</p>"
    yield f"<p>{text.html(_summary(found))}</p>"


def _json(found: list[Judged]) -> Iterator[str]:
    yield text.json([_record(judged.name, verdict) for judged in found for verdict in judged.verdicts], indent=1)


def _csv(found: list[Judged]) -> Iterator[str]:
    yield text.csv_row(RECORD)
    for judged in found:
        for verdict in judged.verdicts:
            values = _record(judged.name, verdict)
            at = ", ".join(f"{name}={value}" for name, value in values["at"].items())
            digits = "" if verdict.claim.digits is None else verdict.claim.digits
            yield text.csv_row({**values, "at": at, "digits": digits}.values())


def _show(found: list[Judged]) -> None:
    """Print the figures in a terminal."""
    from rich.text import Text

    from archcalc.render.table import claims_block

    width = console().width
    for judged in found:
        if judged.verdicts:
            show(Text(text.line(judged.name), "bold"))
            show(claims_block(judged.verdicts, width, judged.variants))
            write([""])
        else:
            write([f"{judged.name}: no published figures", ""])
    write([_summary(found)])


RECORD = (
    "name", "variant", "at", "subject", "published", "digits", "computed", "verdict", "tolerance", "source", "note",
    "problem",
)  # fmt: skip


def _record(name: str, verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    computed = verdict.computed
    values = (
        name, claim.variant, {name: value.text for name, value in claim.at.items()}, claim.subject, claim.expected.text,
        claim.digits, computed if isinstance(computed, int) else figure(claim.quantity, computed), verdict.verdict,
        claim.percent, claim.source, claim.note, verdict.problem,
    )  # fmt: skip
    return dict(zip(RECORD, values, strict=True))


_WRITERS = {
    TableFormat.plain: _plain,
    TableFormat.json: _json,
    TableFormat.csv: _csv,
    TableFormat.markdown: _markdown,
    TableFormat.html: _html,
}
