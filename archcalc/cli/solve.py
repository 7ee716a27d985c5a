"""`archcalc solve`: the sizes that give an output, stay within budgets, or see so much of the input."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import complete_layer, completed
from archcalc.cli.graphs import loaded, pairs, refuse_contradictions, symbol_names, warn_of_order
from archcalc.cli.options import Batch, Dtype, Input, Name, Set, Symbolic, form_option, no_spec
from archcalc.cli.output import text_format, write, write_table
from archcalc.cli.run import note, tell_diagnostics
from archcalc.quantities import QUANTITIES, Quantity, Total, names
from archcalc.questions.sizes import sizes_of


def _with_budgets(command: Callable[..., None]) -> Callable[..., None]:
    """Put an option for each quantity that may have a budget in place of `**budgets`, for typer to see."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    first = [each.name for each in own].index("batch")
    options = [_budget(QUANTITIES[name]) for name in names(Total.SUM, Total.LARGEST)]
    command.__signature__ = signature.replace(parameters=[*own[:first], *options, *own[first:]])  # type: ignore[attr-defined]
    return command


def _budget(quantity: Quantity) -> inspect.Parameter:
    """`--saved-bytes AMOUNT`, with what the quantity means as its help."""
    option = typer.Option(
        f"--{quantity.name.replace('_', '-')}", metavar="AMOUNT", help=quantity.sentence,
        show_default=False,
    )  # fmt: skip
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(quantity.name, keyword, default="", annotation=Annotated[str, option])


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
Reached = Annotated[
    str, typer.Option("--output", metavar="SIZES", help="The output to reach: 7x7, 512x7x7, H=7.", show_default=False)
]
Layer = Annotated[str, completed("PATH", "Whose output.", complete_layer)]
Fields = Annotated[
    list[str],
    typer.Option(
        "--field",
        metavar="PATH=BAND",
        help="What a layer is to see of the input: conv5=200.., conv5=11, conv5.H=11..31; repeatable.",
        show_default=False,
    ),
]
Square = Annotated[bool, typer.Option("--square", help="Squares alone: of each input H = W, as one unknown.")]
File = Annotated[
    Path | None,
    typer.Option("-o", metavar="FILE", callback=no_spec, help="Write to a file instead of stdout.", show_default=False),
]


@app.command(cls=Command)
@_with_budgets
def solve(
    name: Name,
    output: Reached = "",
    layer: Layer = "",
    fields: Fields = [],  # noqa: B006  # typer copies it
    square: Square = False,
    memory: Annotated[str, typer.Option("--memory", hidden=True)] = "",
    batch: Batch = 1,
    dtype: Dtype = "float32",
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006
    sizes: Input = [],  # noqa: B006
    form: Annotated[str | None, form_option("text", default="text")] = None,
    file: File = None,
    **budgets: str,
) -> None:
    """Find all sizes that give an output, stay within budgets, or see so much of the input. Exact: no others do.

    A budget (AMOUNT) is the most, 5M or 16GB, or a band, 4M..5M. The unknowns: what `--symbolic` or `--set HPARAM=sym`
    leaves open, and `--set HPARAM=64..512` within a range; N is the batch; for `--output`, if nothing is open, the
    input's axes. Exit code 1: no sizes do it.

    Examples:
    ```
    archcalc solve vgg16 --output 7x7
    archcalc solve resnet50 --output 7x7 --layer conv5
    archcalc solve alphago_policy --params 5M --set k=sym
    archcalc solve alphago_policy --params 5M --macs 1G --set k=1..512
    archcalc solve resnet:cifar --field conv4=100.. --set n=1..20
    archcalc solve resnet50 --saved-bytes 16GB --symbolic N
    archcalc solve resnet50 --peak-bytes 1GB --square
    ```
    """
    from archcalc.questions.choices import alternatives, as_options
    from archcalc.questions.solve import solve as solved

    chosen, open_names = text_format(form, file), symbol_names(symbolic)
    architecture, sizes = loaded(name, sizes)
    fixed, several = alternatives(architecture, sets)
    given = sizes_of(architecture, sizes)
    bands = pairs(fields, "--field", "--field conv5=200.., --field conv5=11")
    refuse_contradictions({**fixed, **several}, given, open_names)
    asked = {column: amount for column, amount in {**budgets, "memory": memory}.items() if amount}
    found = solved(
        architecture, output=output or None, layer=layer, field=bands, square=square, batch=batch, dtype=dtype,
        hparams={**as_options(architecture, fixed), **several}, sizes=given, symbolic=open_names, **asked,
    )  # fmt: skip
    tell_diagnostics(found.warnings)
    warn_of_order(architecture, {name: value for name, value in fixed.items() if value != "sym"}, given, sizes)
    if chosen == "text":
        write([found.text()], file)
    else:
        write_table(found.table(), chosen, file)
    if found.left_out:
        note(found.left_out)
    if not found:
        raise typer.Exit(1)
