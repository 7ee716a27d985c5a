"""`archcalc compare`: networks side by side, and what changed from one to the other."""

from __future__ import annotations

from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import built
from archcalc.cli.options import SUMS, Batch, Dtype, Form, Input, Names, Output, Quiet, Set
from archcalc.cli.output import chosen_format, write_table
from archcalc.errors import UsageError
from archcalc.report import Report

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def compare(
    names: Names,
    columns: Annotated[
        str, typer.Option(metavar="A,B,C", help="Which quantities of scopes and changes.", autocompletion=SUMS)
    ] = "params,macs",
    changes: Annotated[
        bool | None,
        typer.Option(help="List what changed between two networks. Default: if half of the layers are alike."),
    ] = None,
    batch: Batch = 1,
    dtype: Dtype = "float32",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006
    form: Form = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Compare networks: totals with ratios, the scopes in which they differ, and of two that are alike what changed.

    Of a single NAME, the network as it stands is compared with what `--set` and `--input` make of it; of several, they
    hold for all. The costs of all changes add up to the difference of the totals.

    Examples:
    ```
    archcalc compare vgg16 resnet152
    archcalc compare resnet50 resnet101 resnet152 --columns macs
    archcalc compare old.yaml new.yaml --format markdown
    archcalc compare vgg16 --set size=256
    ```
    """
    from archcalc.questions.compare import side_by_side

    chosen = chosen_format(form, output)
    if len(names) == 1 and not sets and not sizes:
        raise UsageError("one network can't be compared", "name another one, or change it: --set size=256")
    if changes and len(names) > 2:
        raise UsageError("changes are between two networks", "archcalc compare vgg16 vgg19 --changes")
    given = [(names[0], [], []), (names[0], sets, sizes)]
    if len(names) > 1:
        given = [(name, sets, sizes) for name in names]
    graphs = [built(*each, quiet)[1] for each in given]
    typed = [" ".join([name, *own, *more]) for name, own, more in given]
    found = side_by_side([Report(graph, batch, dtype) for graph in graphs], typed)
    write_table(found.table(columns, changes=changes), chosen, output)
