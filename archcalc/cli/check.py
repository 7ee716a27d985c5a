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

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def check(
    files: Annotated[list[str], subjects("FILE…", "Spec files, folders of them, or zoo names.")],
    form: Annotated[str | None, form_option("text", "github", default="text. github: workflow commands")] = None,
    output: Output = None,
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    against: Annotated[
        str,
        typer.Option(
            metavar="SPEC", help="The spec that says what the files, code or configs must be.", show_default=False,
            autocompletion=complete_name,
        ),
    ] = "",
) -> None:  # fmt: skip
    """Find all errors and warnings of specs, in all of their variants. The exit code is 1 if there are errors.

    Published figures are compared by `archcalc claims`; here is found what no figure could make right: claims about
    layers that aren't there, or errata that hold. With `--symbolic`: for which sizes the architecture works, too.

    With `--against`, each of what is named must be what that spec says, with the values of `--set` and `--input`: layer
    by layer, whatever scopes are called. Code (`models.py:Net`) is traced with the spec's input.

    Examples:
    ```
    archcalc check net.yaml
    archcalc check specs/ --format github
    archcalc check resnet --set classes=10
    archcalc check unet --symbolic H,W
    archcalc check 'models.py:Net(depth=4)' --against net.yaml
    ```
    """
    given, names = read_sets(sets), symbol_names(symbolic)
    refuse_contradictions(given, {}, names)
    chosen = text_format(form, output)
    if chosen == "github" and output is not None:
        raise UsageError("GitHub reads workflow commands from a log, not from a file", "leave out --output")
    refused: list[ArchcalcError] = []
    spec, axes = _spec(against, sizes)
    found = find(*files, hparams=given, symbolic=names, on_error=refused.append, against=spec, sizes=axes)
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
