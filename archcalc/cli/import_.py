"""`archcalc import`: a module, or a config, as a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.options import Input
from archcalc.cli.output import write
from archcalc.cli.run import note
from archcalc.errors import UsageError
from archcalc.importers.summary import Summary
from archcalc.pytorch import need_torch
from archcalc.zoo import NETWORKS, WEIGHTS, config_at

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(name="import", cls=Command)
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="torchvision:MODEL, timm:MODEL, transformers:MODEL, code (package:build, models.py:Net(depth=4)), "
            "net.onnx, net.pt2, or a config.json.",
        ),
    ],
    sizes: Input = [],  # noqa: B006  # typer copies it
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A new file, net.yaml.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No summary.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse operations that no layer of specs is.")] = False,
) -> None:
    """Write the spec of a PyTorch module, of a network in a file, or of the model that a Hugging Face config describes.

    A config (`config.json`, or the folder that holds it) is read as data: no code runs, and PyTorch isn't needed. A
    module is built, without memory for weights, and traced once with an input of `--input`, or of the size that its
    library names. Its operations become layers, its submodules scopes, equal ones blocks and loops. What is written
    is built again and compared with what ran. An operation that no layer of specs is becomes an `opaque` layer, whose
    shapes and params are known. This runs the code that SOURCE names; a file (`net.onnx`, `net.pt2`) is read as data,
    and its tensors stay where they are.

    Wherever a NAME is asked for, such a SOURCE will do: `archcalc table torchvision:resnet50`.

    Examples:
    ```
    archcalc import torchvision:resnet50 -o resnet50.yaml
    archcalc import 'models.py:Net(depth=4)' --input 3x64x64
    archcalc import net.onnx -o net.yaml
    archcalc import llama/config.json -o llama.yaml
    ```
    """
    if output is not None and output.exists() and not force:
        raise UsageError(f"'{output}' is there already", "--force writes over it")
    text, summary = _text_of(source, sizes, strict)
    write(text.rstrip("\n").split("\n"), output)
    for line in summary.lines() if summary and not quiet else ():
        note(line)


def _text_of(source: str, sizes: Sequence[str], strict: bool) -> tuple[str, Summary | None]:
    """The spec that a source gives, and what came of its operations, if it has some."""
    path = Path(source)
    if path.suffix.lower() in (*NETWORKS, *WEIGHTS):
        from archcalc.importers.network_files import import_file

        found = import_file(path, sizes, strict)
        return found.text, found.summary
    config = config_at(path) if ":" not in source else None
    return (_text_of_config(config, sizes), None) if config else _text_of_code(source, sizes, strict)


def _text_of_config(path: Path, sizes: Sequence[str]) -> str:
    from archcalc.importers.configs.config import spec_of_config

    if sizes:
        raise UsageError("--input is for modules: a config's spec has its length open", "set it where the spec is used")
    return spec_of_config(path).source.text


def _text_of_code(source: str, sizes: Sequence[str], strict: bool) -> tuple[str, Summary]:
    need_torch()
    from archcalc.importers.code import import_code
    from archcalc.importers.sources import source_of

    named = source_of(source)
    if named is None:
        raise UsageError(f"'{source:.80}' names no code", "torchvision:resnet50, models.py:build, or a config.json")
    found = import_code(named, sizes, strict)
    return found.text, found.summary
