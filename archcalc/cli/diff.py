"""`archcalc diff`: what changed in a folder of specs between two git revisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.options import SUMS, Form, Output
from archcalc.cli.output import chosen_format, write_table

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def diff(
    base: Annotated[str, typer.Argument(metavar="BASE", help="A git revision: main, v1.0, HEAD~3.")],
    head: Annotated[
        str,
        typer.Argument(metavar="[HEAD]", help="Another one; without it, the files as they are.", show_default=False),
    ] = "",
    specs: Annotated[Path, typer.Option(metavar="DIR", help="The folder of specs.")] = Path(),
    columns: Annotated[
        str, typer.Option(metavar="A,B,C", help="Which quantities.", autocompletion=SUMS)
    ] = "params,macs",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if there are differences.")] = False,
    form: Form = None,
    output: Output = None,
) -> None:
    """Compare the networks of a folder of specs at two git revisions: new, gone, and what changed at what cost.

    In Markdown it is ready for a pull request's comment. What can't be read or built on one side is named with the
    reason.

    Examples:
    ```
    archcalc diff main --specs specs
    archcalc diff v1.0 v1.1 --specs specs --format markdown
    archcalc diff origin/main --specs specs --exit-code
    ```
    """
    from archcalc.questions.revisions import diff as differences

    chosen = chosen_format(form, output)
    found = differences(base, head, specs=specs)
    write_table(found.table(columns), chosen, output)
    if exit_code and found:
        raise typer.Exit(1)
