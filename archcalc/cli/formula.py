"""`archcalc formula`: closed forms of a layer, or of a whole architecture's totals."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import complete_layer
from archcalc.cli.graphs import asked, explaining, tell_warnings
from archcalc.cli.options import Dtype, Input, Name, Output, Quiet, Set, Symbolic, form_option
from archcalc.cli.output import chosen_format, is_file, write, write_table
from archcalc.cli.run import note
from archcalc.errors import UsageError
from archcalc.quantities import DTYPE

LAYER = "A layer, or a scope with one."
COLUMNS = "Which totals, numbers of layers (conv5.params), or what is calculated of them: share=attention_macs/macs."
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def formula(
    name: Name,
    layer: Annotated[str, typer.Argument(metavar="[LAYER]", help=LAYER, autocompletion=complete_layer)] = "",
    form: Annotated[str | None, form_option("unicode", "sympy", "python", default="unicode")] = None,
    columns: Annotated[str, typer.Option("--columns", metavar="LIST", help=COLUMNS, show_default=False)] = "",
    symbolic: Symbolic = "",
    dtype: Dtype = DTYPE,
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Print formulas: with names, then with this layer's numbers put in, then the result.

    Without LAYER: the totals in the input's sizes, or in what `--symbolic` leaves open, collected as polynomials. As
    `python` they are a function in exact integers.

    Examples:
    ```
    archcalc formula alexnet conv1
    archcalc formula alphago_policy --symbolic k
    archcalc formula vgg16 fc6 --symbolic H,W
    archcalc formula resnet50 --symbolic H,W,N --format latex
    archcalc formula gpt2 --symbolic d,T --columns attention_macs/macs
    ```
    """
    from archcalc.questions.formula import FORMS, PROGRAMS
    from archcalc.questions.formula import formula as formulas_of

    suffixes = {".txt": "unicode", ".py": "python"}
    chosen = form or (chosen_format(None, output, "unicode", suffixes) if is_file(output) else "unicode")
    net = asked(name, sets, sizes, symbolic)
    with explaining(net, quiet):
        found = formulas_of(net.architecture, layer, **net.given, dtype=dtype, columns=columns)
    if not quiet:
        tell_warnings(found.warnings, net)
    if found.fixed:
        note(f"the structure depends on {', '.join(found.fixed)}: kept as numbers")
    if symbolic and found.single and chosen in PROGRAMS:
        leaves = f"--format {chosen} leaves all sizes of a layer open: --symbolic has no effect"
        raise UsageError(leaves, "leave it out")
    if found.left_open and chosen not in PROGRAMS:
        note(f"no numbers are put in for {symbolic}: the network can't be built with those that it has")
    if chosen in FORMS:
        write([found.to(chosen).removesuffix("\n")], output)
    else:
        write_table(found.table(), chosen, output)
