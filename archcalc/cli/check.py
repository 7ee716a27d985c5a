"""`archcalc check`: everything that is wrong with a spec, for people, editors and GitHub."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import read_sets, refuse_contradictions, symbol_names
from archcalc.cli.options import Output, Set, Symbolic, form_option, subjects
from archcalc.cli.output import text_format, write, write_commands, write_table
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError, UsageError
from archcalc.questions.check import check as find

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def check(
    files: Annotated[list[str], subjects("FILE…", "Spec files, folders of them, or zoo names.")],
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
    archcalc check specs/ --format github
    archcalc check resnet --set classes=10
    archcalc check unet --symbolic H,W
    ```
    """
    given, names = read_sets(sets), symbol_names(symbolic)
    refuse_contradictions(given, {}, names)
    chosen = text_format(form, output)
    if chosen == "github" and output is not None:
        raise UsageError("GitHub reads workflow commands from a log, not from a file", "leave out --output")
    refused: list[ArchcalcError] = []
    found = find(*files, hparams=given, symbolic=names, on_error=refused.append)
    if found.specs and chosen == "github":
        write_commands(found.commands())
    elif found.specs and chosen == "text":
        write(found.sentences(), output)
    elif found.specs:
        write_table(found.table(), chosen, output)
    refuse(refused)
    if not found.ok:
        raise typer.Exit(1)
