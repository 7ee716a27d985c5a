"""`archcalc claims`: published figures against computed ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from archcalc.claims import check_claims
from archcalc.cli.command import Command
from archcalc.cli.graphs import refuse_unused_folder
from archcalc.cli.options import Form, Output, Specs, complete_name
from archcalc.cli.output import chosen_format, write_table
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError, SpecError, UsageError
from archcalc.render.claims import Judged, claims_table
from archcalc.spec.reader import load_spec
from archcalc.work import TooMuchWork, budget
from archcalc.zoo import load, spec_files

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


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
    form: Form = None,
    output: Output = None,
) -> None:
    """Compare published figures with computed ones.

    Each holds, is cut off instead of rounded, is a recorded erratum, or is wrong (exit code 1).

    Examples:
    ```
    archcalc claims vgg16
    archcalc claims --all
    archcalc claims googlenet --format json
    archcalc claims --all -o claims.html
    ```
    """
    if every is bool(names):
        raise UsageError("name architectures, or give --all", "archcalc claims vgg16")
    refuse_unused_folder(names or [], specs)
    chosen = chosen_format(form, output)
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
    if found or not refused:  # that there are no figures at all, too
        write_table(claims_table(found), chosen, output)
    refuse(refused)
    if any(verdict.verdict == "wrong" for judged in found for verdict in judged.verdicts):
        raise typer.Exit(1)


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
