"""`archcalc explain`: one layer's arithmetic, worked out."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import complete_layer
from archcalc.cli.graphs import built, read_sets, warn_of_unread
from archcalc.cli.options import Input, Name, Output, Set, form_option
from archcalc.cli.output import chosen_format, write, write_table
from archcalc.questions.sizes import sizes_of

LAYER = "A layer, or a scope with one that has parameters."
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def explain(
    name: Name,
    layer: Annotated[str, typer.Argument(metavar="LAYER", help=LAYER, autocompletion=complete_layer)],
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    form: Annotated[str | None, form_option("text", default="table in a terminal, text in a pipe")] = None,
    output: Output = None,
) -> None:
    """Work out one layer with its numbers: output size, parameters, values, MACs, receptive field, and why.

    Examples:
    ```
    archcalc explain alexnet conv1
    archcalc explain vgg16 conv5/3
    archcalc explain alexnet conv1 --input 224x224x3
    ```
    """
    from archcalc.questions.explain import explain

    chosen = chosen_format(form, output, "text")
    architecture, graph = built(name, sets, sizes, quiet=True)
    warn_of_unread(architecture, read_sets(sets), sizes_of(architecture, sizes))
    found = explain(graph, layer)
    if chosen == "text":
        write(found.lines(), output)
    else:
        write_table(found.table(), chosen, output)
