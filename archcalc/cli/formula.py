"""`archcalc formula`: closed forms of a layer, or of a whole architecture's totals."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import batch_of, built, read_sets, symbol_names
from archcalc.cli.options import Input, Name, Output, Quiet, Set, Symbolic
from archcalc.cli.output import write
from archcalc.cli.run import note
from archcalc.errors import SpecError, UsageError
from archcalc.graph import Graph
from archcalc.questions.sizes import sizes_of
from archcalc.report import analyze
from archcalc.shape import BATCH
from archcalc.zoo import Architecture


class FormulaFormat(StrEnum):
    """How formulas are written."""

    unicode = "unicode"
    latex = "latex"
    sympy = "sympy"
    python = "python"


PROGRAMS = (FormulaFormat.python, FormulaFormat.sympy)
"""The formats that show no numbers put in."""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def formula(
    name: Name,
    layer: Annotated[str, typer.Argument(metavar="[LAYER]", help="A layer, or a scope with one.")] = "",
    form: Annotated[
        FormulaFormat, typer.Option("--format", "-f", help="python: a function in exact integers.")
    ] = FormulaFormat.unicode,
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
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

    put_in = not layer and form not in PROGRAMS
    architecture, graph, has_numbers = _built(name, sets, sizes, quiet, symbolic, put_in)
    report = analyze(graph, batch_of(symbolic))
    row = layer_at(report, layer) if layer else None
    if row:
        _refuse_unused(symbol_names(symbolic), form)
        write(lines(layer_sheet(row), form.value), output)
        return
    values: dict[str, Any] = {}
    if has_numbers:
        from archcalc.formulas.symbols import with_values

        given = read_sets(sets)
        opened, values = with_values(architecture, graph, symbol_names(symbolic), given, sizes_of(architecture, sizes))
        report = analyze(opened.graph, batch_of(symbolic))
    write(lines(totals_sheet(report, values, layer), form.value), output)


def _built(
    name: str, sets: list[str], sizes: Sequence[str], quiet: bool, symbolic: str, put_in: bool
) -> tuple[Architecture, Graph, bool]:
    """The graph to ask, and whether it has numbers to put in; they are wanted with `put_in` alone."""
    if not put_in or not symbolic:
        return *built(name, sets, sizes, quiet, symbolic), True
    try:
        return *built(name, sets, sizes, quiet), True
    except SpecError:
        found = built(name, sets, sizes, quiet, symbolic)
    note(f"no numbers are put in for {symbolic}: the network can't be built with those that it has")
    return *found, False


def _refuse_unused(names: Sequence[str], form: FormulaFormat) -> None:
    """A layer's formulas are for one example, and as programs have all sizes open."""
    if BATCH in names:
        raise UsageError("a layer's formulas are for one example", f"leave {BATCH} out of --symbolic")
    if names and form in PROGRAMS:
        raise UsageError(
            f"--format {form.value} leaves all sizes of a layer open: --symbolic has no effect", "leave it out"
        )
