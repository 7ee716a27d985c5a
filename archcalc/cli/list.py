"""`archcalc list`: the architectures there are."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import completed
from archcalc.cli.options import TOTALS, Form, Output, Specs
from archcalc.cli.output import chosen_format, write_table
from archcalc.cli.run import refuse

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def list_architectures(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Those that mention it in names or title.", show_default=False)
    ] = "",
    columns: Annotated[str, completed("A,B,C", "Which totals.", TOTALS)] = "",
    sort: Annotated[str, completed("COLUMN", "Largest values first.", TOTALS)] = "",
    specs: Specs = None,
    form: Form = None,
    output: Output = None,
) -> None:
    """List the architectures of the zoo, or of a folder of specs, by family: input, params, MACs, memory and depth.

    Examples:
    ```
    archcalc list
    archcalc list resnet --sort macs
    archcalc list --columns params,saved_bytes --format markdown
    archcalc list --specs my/specs -o specs.csv
    ```
    """
    from archcalc.questions.architectures import DEFAULT, architectures

    chosen = chosen_format(form, output)
    found = architectures(text, specs=specs)
    write_table(found.table(columns or DEFAULT, sort), chosen, output)
    refuse(found.refused)
