"""`archcalc claims`: published figures and budgets against computed values."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import refuse_unused_folder
from archcalc.cli.options import Form, Output, Specs, Subjects
from archcalc.cli.output import chosen_format, write_table
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError, UsageError
from archcalc.questions.claims import claims as judge

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def claims(
    names: Subjects = None,
    every: Annotated[bool, typer.Option("--all", help="All specs.")] = False,
    specs: Specs = None,
    form: Form = None,
    output: Output = None,
) -> None:
    """Compare published figures and budgets with computed values.

    A figure holds, is cut off instead of rounded, is a recorded erratum, or is wrong (exit code 1). A budget is within
    its limits, or outside (exit code 1).

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
    refused: list[ArchcalcError] = []
    found = judge(*names or [], specs=specs, on_error=refused.append)
    if every:
        found = replace(found, networks=tuple(each for each in found.networks if each.verdicts))
    if found.networks or not refused:  # that there are no figures at all, too
        write_table(found.table(), chosen, output)
    refuse(refused)
    if not found.ok:
        raise typer.Exit(1)
