"""`archcalc explain`: one layer's arithmetic, worked out."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import built, read_sets, warn_of_unread
from archcalc.cli.options import Input, Name, Output, Set
from archcalc.cli.output import write
from archcalc.errors import UsageError
from archcalc.questions.sizes import sizes_of
from archcalc.report import analyze

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def explain(
    name: Name,
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="A layer, or a scope with one that has parameters.")],
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
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
    from archcalc.formulas.explain import explained
    from archcalc.formulas.told import layer_at

    architecture, graph = built(name, sets, sizes, quiet=True)
    warn_of_unread(architecture, read_sets(sets), sizes_of(architecture, sizes))
    row = layer_at(analyze(graph), layer)
    if row is None:
        inside = list(graph.within(layer))
        named = [node.name for node in inside if node.layer.weight_layer] or [node.name for node in inside]
        raise UsageError(f"'{layer}' has several layers", f"say which: {', '.join(named[:8])}")
    write(explained(row), output)
