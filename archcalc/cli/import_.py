"""`archcalc import`: a module as a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.options import Input
from archcalc.cli.output import write
from archcalc.errors import UsageError
from archcalc.pytorch import need_torch

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(name="import", cls=Command)
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="torchvision:MODEL, timm:MODEL, or code: package.models:build, models.py:Net(depth=4).",
        ),
    ],
    sizes: Input = [],  # noqa: B006  # typer copies it
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A new file, net.yaml.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write the spec of a PyTorch module.

    The module is built, without memory for weights, and traced once with an input of `--input`, or of the size that its
    library names. Its operations become layers, its submodules scopes, equal ones blocks and loops. What is written is
    built again and compared with what ran. This runs the code that SOURCE names.

    Wherever a NAME is asked for, such a SOURCE will do: `archcalc table torchvision:resnet50`.

    Examples:
    ```
    archcalc import torchvision:resnet50 -o resnet50.yaml
    archcalc import 'models.py:Net(depth=4)' --input 3x64x64
    ```
    """
    need_torch()
    from archcalc.importers.code import import_code
    from archcalc.importers.sources import source_of

    named = source_of(source)
    if named is None:
        raise UsageError(f"'{source:.80}' names no code", "torchvision:resnet50, or models.py:build")
    if output is not None and output.exists() and not force:
        raise UsageError(f"'{output}' is there already", "--force writes over it")
    write(import_code(named, sizes).text.rstrip("\n").split("\n"), output)
