"""All commands. Only the module of the command that is called is imported: building them all would double the start."""

from __future__ import annotations

import importlib
from keyword import iskeyword
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from archcalc._version import ADDRESS, __version__
from archcalc.errors import UsageError, suggestion

COMMANDS = (
    "table", "compare", "diff", "receptive-field", "render", "list", "show", "check", "formula", "explain", "solve",
    "sweep", "memory", "claims", "golden", "verify", "export", "import", "schema",
)  # fmt: skip
"""Each is a module of this package, with its `app`."""


def module_name(command: str) -> str:
    """The module of this package that has a command's `app`."""
    return f"{command}_" if iskeyword(command) else command.replace("-", "_")


class Commands(TyperGroup):
    """The group of all commands; it builds one when it's asked for it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # the base's signature
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Build one command."""
        if cmd_name not in COMMANDS:
            return None
        command = get_command(importlib.import_module(f"archcalc.cli.{module_name(cmd_name)}").app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names.

        Raises: UsageError: there is none.
        """
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise UsageError(f"unknown command '{args[0]}'", suggestion(args[0], COMMANDS))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    epilog=f"Documentation: {ADDRESS}/tree/main/docs. Questions and bugs: {ADDRESS}/issues.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"archcalc {__version__}")
        raise typer.Exit


@app.callback()
def archcalc(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a bug. Works with any command.")
    ] = False,
) -> None:
    """Write a neural network down in a few lines; know its volumes, parameters, MACs and memory before running it.

    NAME is an architecture of the zoo (vgg16, resnet50, resnet:plain34), a spec file, perhaps with one of its variants
    (net.yaml, net.yaml:small), or a Hugging Face config.json. Data goes to stdout, everything else to stderr. Exit
    codes: 0 fine; 1 the spec, the check or the verification is wrong (or archcalc has a bug); 2 wrong usage; 130
    interrupted.

    Examples:
    ```
    archcalc table vgg16
    archcalc table net.yaml --set width=256 --format json
    archcalc render resnet50 -o resnet50.svg
    ```
    """
