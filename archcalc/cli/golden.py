"""`archcalc golden`: exact values under regression test, for the zoo and for anybody's own specs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import refuse_unused_folder
from archcalc.cli.options import Output, Specs, form_option, subjects
from archcalc.cli.output import text_format, write, write_table
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError
from archcalc.questions.golden import golden_check, golden_update

Chosen = Annotated[list[str] | None, subjects(help="Names, or folders of specs. Default: all architectures.")]
Folder = Annotated[Path, typer.Option("--golden", metavar="DIR", help="The folder of golden files.")]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Compare exact values with recorded ones, one file for each architecture, or record them anew.

    Examples:
    ```
    archcalc golden check
    archcalc golden update vgg16
    archcalc golden check --specs my/specs --golden my/golden
    ```
    """,
)


@app.command(cls=Command)
def check(
    names: Chosen = None,
    specs: Specs = None,
    folder: Folder = Path("golden"),
    form: Annotated[str | None, form_option("text", default="text")] = None,
    output: Output = None,
) -> None:
    """Compare; exit code 1 if a value differs, a file is missing, or no spec owns a file.

    Examples:
    ```
    archcalc golden check
    archcalc golden check vgg16 resnet50
    archcalc golden check --specs my/specs --golden my/golden
    ```
    """
    refuse_unused_folder(names or [], specs)
    refused: list[ArchcalcError] = []
    found = golden_check(*names or [], specs=specs, golden=folder, on_error=refused.append)
    chosen = text_format(form, output)
    if chosen != "text":
        write_table(found.table(), chosen, output)
    elif found.differences or not refused:
        write(found.sentences(), output)
    refuse(refused)
    if not found.ok:
        raise typer.Exit(1)


@app.command(cls=Command)
def update(
    names: Chosen = None,
    specs: Specs = None,
    folder: Folder = Path("golden"),
    prune: Annotated[bool, typer.Option("--prune", help="Remove golden files that no spec owns.")] = False,
) -> None:
    """Record the values of today, and print what changed. Files that archcalc hasn't written are never touched.

    Examples:
    ```
    archcalc golden update
    archcalc golden update vgg16
    archcalc golden update --specs my/specs --golden my/golden --prune
    ```
    """
    refuse_unused_folder(names or [], specs)
    refused: list[ArchcalcError] = []
    found = golden_update(*names or [], specs=specs, golden=folder, prune=prune, on_error=refused.append)
    if found.changes or found.left or not refused:
        write(found.sentences())
    refuse(refused)
