"""`archcalc claims`: published figures against computed ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from archcalc import text
from archcalc.claims import Verdict, check_claims, totals_of
from archcalc.cli.options import Format, ListFormat, Specs, complete_name
from archcalc.cli.output import chosen_format, console, show, write
from archcalc.errors import UsageError
from archcalc.render.notes import figure
from archcalc.render.plain import claim_lines
from archcalc.zoo import declared_names, load

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def claims(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME…]", help="Zoo names or spec files.", autocompletion=complete_name, show_default=False
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All specs.")] = False,
    specs: Specs = None,
    form: ListFormat = None,
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
    chosen = chosen_format(form)
    found: list[Verdict] = []
    records: list[dict[str, Any]] = []
    for name, verdicts, variants in _all(specs) if every else _named(names or [], specs):
        found += verdicts
        if chosen is Format.json:
            records += [_plain(name, verdict) for verdict in verdicts]
        else:
            _show(name, verdicts, variants, chosen)
    if chosen is Format.json:
        write([text.json(records, indent=1)])
    else:
        write([_summary(found)])
    if any(verdict.verdict == "wrong" for verdict in found):
        raise typer.Exit(1)


def _summary(found: list[Verdict]) -> str:
    counts = totals_of(found)
    errata = "erratum" if counts["erratum"] == 1 else "errata"
    cut = f", {counts['cut off']} cut off" if counts["cut off"] else ""
    return f"{len(found)} figures: {counts['holds']} hold{cut}, {counts['erratum']} {errata}, {counts['wrong']} wrong"


def _all(specs: Any) -> Iterator[tuple[str, list[Verdict], bool]]:
    """Name, verdicts, and whether they are about several variants."""
    for spec, _ in declared_names(specs):
        if spec.claims:
            yield spec.name, check_claims(spec), len(spec.variants) > 1


def _named(names: list[str], specs: Any) -> Iterator[tuple[str, list[Verdict], bool]]:
    for name in names:
        architecture = load(name, specs)
        spec = architecture.spec
        whole = name == spec.name or name.endswith((".yaml", ".yml"))
        yield name, check_claims(spec, None if whole else architecture.variant), whole and len(spec.variants) > 1


def _show(name: str, verdicts: list[Verdict], variants: bool, form: Format) -> None:
    """Print the claims about one spec."""
    if not verdicts:
        write([f"{name}: no published figures", ""])
    elif form is Format.plain:
        write([name, *claim_lines(verdicts, variants), ""])
    else:
        from rich.text import Text

        from archcalc.render.table import claims_block

        width = console().width
        show(Text(name, "bold"))
        show(claims_block(verdicts, width, variants))
        write([""])


def _plain(name: str, verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    computed = verdict.computed
    return {
        "name": name,
        "variant": claim.variant,
        "subject": claim.subject,
        "published": claim.expected.text,
        "computed": computed if isinstance(computed, int) else figure(claim.quantity, computed),
        "verdict": verdict.verdict,
        "tolerance": claim.percent,
        "digits": claim.digits,
        "source": claim.source,
        "note": claim.note,
        "problem": verdict.problem,
    }
