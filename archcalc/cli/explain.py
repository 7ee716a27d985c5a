"""`archcalc explain`: one layer's arithmetic, worked out."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import complete_layer
from archcalc.cli.graphs import asked, explaining, warn_of_unread
from archcalc.cli.options import Dtype, Input, Name, Output, Set, Symbolic, form_option
from archcalc.cli.output import chosen_format, write, write_table

LAYER = "A layer, or a scope with one that has parameters."
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def explain(
    name: Name,
    layer: Annotated[str, typer.Argument(metavar="LAYER", help=LAYER, autocompletion=complete_layer)],
    dtype: Dtype = "float32",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    symbolic: Symbolic = "",
    form: Annotated[str | None, form_option("text", default="table in a terminal, text in a pipe")] = None,
    output: Output = None,
) -> None:
    """Work out one layer with its numbers: output size, parameters, values, MACs, receptive field, and why.

    Examples:
    ```
    archcalc explain alexnet conv1
    archcalc explain vgg16 conv5/3
    archcalc explain alexnet conv1 --input 224x224x3
    archcalc explain vgg16 conv5/pool --symbolic H,W
    ```
    """
    from archcalc.questions.explain import explain

    chosen = chosen_format(form, output, "text")
    net = asked(name, sets, sizes, symbolic)
    with explaining(net):
        found = explain(net.architecture, layer, dtype=dtype, **net.given)
    warn_of_unread(net.architecture, net.hparams, net.sizes)
    if chosen == "text":
        write(found.lines(), output)
    else:
        write_table(found.table(), chosen, output)
