"""`archcalc memory`: what training or running a network takes, and whether it fits."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import among, completed
from archcalc.cli.graphs import built
from archcalc.cli.options import Batch, Dtype, Form, Input, Name, Output, Quiet, Set
from archcalc.cli.output import chosen_format, write_table


class Phase(StrEnum):
    """What is done with the network."""

    train = "train"
    eval = "eval"


OPTIMIZERS = ("none", "sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw")
OPTIMIZER = f"What keeps numbers for each parameter: {', '.join(OPTIMIZERS)}."
FITS = "A budget, for which the largest batch is looked for: 16GB (powers of 1000) or 16GiB."
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def memory(
    name: Name,
    batch: Batch = 1,
    dtype: Dtype = "float32",
    phase: Annotated[Phase, typer.Option(help="A training step, or a forward pass without gradients.")] = Phase.train,
    optimizer: Annotated[str, completed("NAME", OPTIMIZER, among(*OPTIMIZERS))] = "adamw",
    fits: Annotated[str, typer.Option(metavar="BYTES", help=FITS, show_default=False)] = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    form: Form = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Print what a training step takes at its peak, every byte with a name, and at which layer that is.

    Exact for the exported program in PyTorch's order, with a loss that keeps nothing, and values all of one dtype (no
    mixed precision). On a device, kernels' workspace and what the allocator rounds up come on top.

    Examples:
    ```
    archcalc memory resnet50 --batch 32
    archcalc memory resnet50 --batch 32 --optimizer momentum --fits 16GB
    archcalc memory gpt2_small --phase eval --dtype bfloat16
    archcalc memory net.yaml --set width=256 --format json
    ```
    """
    from archcalc.questions.memory import memory

    chosen = chosen_format(form, output)
    _, graph = built(name, sets, sizes, quiet)
    found = memory(graph, batch, dtype, phase=phase.value, optimizer=optimizer, fits=fits or None)
    write_table(found.table(), chosen, output)
