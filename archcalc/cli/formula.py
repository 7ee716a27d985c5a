"""`archcalc formula`: closed forms of a layer, or of a whole architecture's totals."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from archcalc.cli.graphs import batch_of, built, read_sets, sizes_of, symbol_names
from archcalc.cli.options import Input, Name, Output, Quiet, Set, Symbolic
from archcalc.cli.output import write
from archcalc.report import analyze


class FormulaFormat(StrEnum):
    """How formulas are written."""

    unicode = "unicode"
    latex = "latex"
    sympy = "sympy"
    python = "python"


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def formula(
    name: Name,
    layer: Annotated[str, typer.Argument(metavar="[LAYER]", help="A layer, or a scope with one.")] = "",
    form: Annotated[
        FormulaFormat, typer.Option("--format", "-f", help="python: a function in exact integers.")
    ] = FormulaFormat.unicode,
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = "",
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Print formulas: with names, then with this layer's numbers put in, then the result.

    Without LAYER: the totals in the input's sizes, or in what `--symbolic` leaves open, collected as polynomials.

    Examples:
    ```
    archcalc formula alexnet conv1
    archcalc formula alphago_policy --symbolic k
    archcalc formula vgg16 fc6 --symbolic H,W
    archcalc formula resnet50 --symbolic H,W,N --format latex
    ```
    """
    from archcalc.formulas.told import layer_at, layer_sheet, lines, totals_sheet

    architecture, graph = built(name, sets, sizes, quiet, symbolic if layer else "")
    report = analyze(graph, batch_of(symbolic))
    row = layer_at(report, layer) if layer else None
    if row:
        write(lines(layer_sheet(row), form.value), output)
        return
    from archcalc.formulas.symbols import with_values

    given = read_sets(sets)
    opened, values = with_values(architecture, graph, symbol_names(symbolic), given, sizes_of(architecture, sizes))
    write(lines(totals_sheet(analyze(opened.graph, batch_of(symbolic)), values, layer), form.value), output)
