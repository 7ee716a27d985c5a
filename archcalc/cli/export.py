"""`archcalc export`: the network as a program of its own."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import built
from archcalc.cli.options import Input, Name, Output, Quiet, Set
from archcalc.cli.output import write
from archcalc.pytorch import need_torch


class Target(StrEnum):
    """What to write."""

    torch = "torch"


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def export(
    name: Name,
    target: Annotated[Target, typer.Option("--to", help="torch: a PyTorch module.")] = Target.torch,
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Write the network as readable PyTorch code that does without archcalc.

    It needs the extra `archcalc[torch]`: the program is compared with `archcalc.to_torch(NAME)` before it's written and
    has its parameters in the same order. Scopes become classes, equal ones one class with arguments, chains
    `nn.Sequential`, and repeated passes loops. The file needs PyTorch only; what PyTorch lacks is written out in it.

    Examples:
    ```
    archcalc export resnet50 --to torch -o resnet50.py
    archcalc export vgg16 --set fcn=true --input 3x384x384
    ```
    """
    need_torch()
    from archcalc.pytorch.source.writer import torch_code

    assert target is Target.torch
    _, graph = built(name, sets, sizes, quiet)
    write([torch_code(graph).rstrip("\n")], output)
