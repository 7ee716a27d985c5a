"""`archcalc show`: what a spec says."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import asked
from archcalc.cli.options import Form, Input, Name, Output, Set
from archcalc.cli.output import chosen_format, write, write_table
from archcalc.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def show(
    name: Name,
    spec: Annotated[bool, typer.Option("--spec", help="The spec's text alone, to start one of your own from.")] = False,
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    form: Form = None,
    output: Output = None,
) -> None:
    """Show what a spec says: hyperparameters with values and bounds, variants, the names of its layers; or its text.

    Examples:
    ```
    archcalc show vgg16
    archcalc show resnet50 --format markdown
    archcalc show vgg16 --spec > mine.yaml
    ```
    """
    from archcalc.questions.show import show

    net = asked(name, sets, sizes)
    if spec:
        if form or sets or sizes:
            raise UsageError("--spec prints the file as it is", "leave --format, --set and --input out")
        write(net.architecture.spec.source.text.removesuffix("\n").split("\n"), output)
        return
    found = show(net.architecture, hparams=net.hparams, sizes=net.sizes)
    write_table(found.table(), chosen_format(form, output), output)
