"""`archcalc check`: everything that is wrong with a spec, for people, editors and GitHub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import complete_name
from archcalc.cli.graphs import loaded, read_sets, refuse_contradictions, symbol_names
from archcalc.cli.options import Input, Output, Set, Symbolic, form_option, subjects
from archcalc.cli.output import text_format, write, write_commands, write_table
from archcalc.cli.run import refuse
from archcalc.errors import ArchcalcError, UsageError
from archcalc.questions.check import check as find
from archcalc.questions.sizes import sizes_of
from archcalc.zoo import Architecture

Against = Annotated[
    str,
    typer.Option(
        metavar="SPEC",
        help="The spec that says what the files, code or configs must be.",
        autocompletion=complete_name,
        show_default=False,
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        metavar="PATH",
        help="A checkpoint that must be the network's: safetensors, their index or folder, GGUF.",
        show_default=False,
    ),
]
Ignore = Annotated[
    list[str],
    typer.Option(metavar="PATTERN", help="Tensors of it to pass over: '*.attn.bias'; repeatable.", show_default=False),
]

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def check(
    files: Annotated[list[str], subjects("FILE…", "Spec files, folders of them, or zoo names.")],
    form: Annotated[str | None, form_option("text", "github", default="text. github: workflow commands")] = None,
    output: Output = None,
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    against: Against = "",
    weights: Weights = "",
    ignore: Ignore = [],  # noqa: B006  # likewise
) -> None:
    """Find all errors and warnings of specs, in all of their variants. The exit code is 1 if there are errors.

    Published figures are compared by `archcalc claims`; here is found what no figure could make right: claims about
    layers that aren't there, or errata that hold. With `--symbolic`: for which sizes the architecture works, too.

    With `--against`, each of what is named must be what that spec says, with the values of `--set` and `--input`: layer
    by layer, whatever scopes are called. Code (`models.py:Net`) is traced with the spec's input.

    With `--weights`, all tensors of a checkpoint must be the network's: their shapes, block by block. Only headers are
    read, and nothing is run.

    Examples:
    ```
    archcalc check net.yaml
    archcalc check specs/ --format github
    archcalc check resnet --set classes=10
    archcalc check unet --symbolic H,W
    archcalc check 'models.py:Net(depth=4)' --against net.yaml
    archcalc check llama3_8b --weights Meta-Llama-3-8B/
    ```
    """
    given, names = read_sets(sets), symbol_names(symbolic)
    refuse_contradictions(given, {}, names)
    chosen = text_format(form, output)
    if chosen == "github" and output is not None:
        raise UsageError("GitHub reads workflow commands from a log, not from a file", "leave out --output")
    refused: list[ArchcalcError] = []
    spec, axes = _spec(against, sizes)
    whole = {"against": spec, "sizes": axes, **_checkpoint(weights, ignore)}
    found = find(*files, hparams=given, symbolic=names, on_error=refused.append, **whole)
    if found.specs and chosen == "github":
        write_commands(found.commands())
    elif found.specs and chosen == "text":
        write(found.sentences(), output)
    elif found.specs:
        write_table(found.table(), chosen, output)
    refuse(refused)
    if not found.ok:
        raise typer.Exit(1)


def _spec(against: str, sizes: list[str]) -> tuple[Architecture | None, Mapping[str, Any]]:
    """The spec that says what must be, and the sizes of its input."""
    if not against:
        if sizes:
            raise UsageError("--input goes with --against", "archcalc check models.py:Net --against net.yaml")
        return None, {}
    found, left = loaded(against, sizes)
    return found, sizes_of(found, left)


def _checkpoint(weights: str, ignore: list[str]) -> dict[str, Any]:
    """The checkpoint that networks are compared with."""
    if ignore and not weights:
        raise UsageError("--ignore goes with --weights", "archcalc check net.yaml --weights model.safetensors")
    return {"weights": weights, "ignore": ignore} if weights else {}
