"""The options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from archcalc.cli.completion import among, complete_name, complete_set
from archcalc.cli.run import note
from archcalc.errors import UsageError
from archcalc.quantities import TOTALLED, Total, names
from archcalc.tables.formats import FORMATS
from archcalc.zoo import SUFFIXES, subfolders

SUMS, TOTALS = among(*names(Total.SUM)), among(*names(*TOTALLED))
"""Completions of quantities that add up, and of all that networks have."""
F = TypeVar("F", bound=Callable[..., Any])


def form_option(*others: str, default: str = "table in a terminal, plain in a pipe") -> Any:
    """`--format`: the formats of all tables, and those that a command has beside them."""
    known = (*others, *FORMATS)

    def checked(form: str) -> str:
        if form not in known:
            raise typer.BadParameter(f"'{form}' is not one of {', '.join(known)}")
        return form

    return typer.Option(
        "--format",
        "-f",
        parser=checked,
        metavar="FORMAT",
        autocompletion=lambda incomplete: [form for form in known if form.startswith(incomplete)],
        help=f"{', '.join(known[:-1])} or {known[-1]}. Default: by the file's suffix, else {default}.",
        show_default=False,
    )


def described(**lists: Iterable[str]) -> Callable[[F], F]:
    """Put lists of names in place of `{…}` in a command's help."""

    def filled(command: F) -> F:
        for place, words in lists.items():
            command.__doc__ = (command.__doc__ or "").replace(f"{{{place}}}", ", ".join(words))
        return command

    return filled


def _name(metavar: str) -> Any:
    return typer.Argument(
        metavar=metavar,
        help="A zoo name (vgg16, resnet:plain34), a spec file (net.yaml, net.yaml:VARIANT), a network in a file "
        "(net.onnx, net.pt2), or a config.json.",
        autocompletion=complete_name,
        show_default=False,
    )


Name = Annotated[str, _name("NAME")]
OptionalName = Annotated[str, _name("[NAME]")]
Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME…", help="Zoo names or spec files.", autocompletion=complete_name, show_default=False),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Give a hyperparameter a value (width=96), or an argument of a layer or of a scope's layers "
        "(conv1.stride=3, '*.bias=false'); repeatable.",
        autocompletion=complete_set,
        show_default=False,
    ),
]
Input = Annotated[
    list[str],
    typer.Option(
        "--input",
        metavar="SIZES",
        help="The input's sizes, in the spec's order of axes (3x224x224), or some of them (H=256,W=256). "
        "A name makes a symbol (3xHxW). Of several inputs the first, or NAME=3x64x64; repeatable.",
        show_default=False,
    ),
]
Symbolic = Annotated[
    str,
    typer.Option(
        "--symbolic",
        metavar="A,B,C",
        help="Leave sizes open: axes of the input (H,W; of another input NAME_H), hyperparameters, N for the batch.",
        show_default=False,
    ),
]


def no_spec(path: Path | None) -> Path | None:
    """A path to write to, if it isn't a spec's: no command writes one, so what is there would be lost.

    Raises: UsageError: it is one.
    """
    if path is not None and path.suffix.lower() in SUFFIXES:
        raise UsageError(f"'{path}' has the name of a spec, which no command writes", "name another file")
    return path


Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        callback=no_spec,
        help="Write to a file instead of stdout.",
        show_default=False,
    ),
]


def _tell_of_subfolders(folder: Path | None) -> Path | None:
    """On stderr, which folders inside have specs that are not read."""
    inner = subfolders(folder) if folder is not None else []
    if inner:
        note(f"specs in subfolders are not read: {', '.join(inner[:5])}{', …' if len(inner) > 5 else ''}")
    return folder


Specs = Annotated[
    Path | None,
    typer.Option(
        "--specs",
        metavar="DIR",
        exists=True,
        file_okay=False,
        callback=_tell_of_subfolders,
        help="A folder of specs instead of the zoo.",
        show_default=False,
    ),
]


def _tell_of_folders(names: list[str] | None) -> list[str] | None:
    """The same for folders among the names."""
    for name in names or ():
        if os.path.isdir(name):
            _tell_of_subfolders(Path(name))
    return names


def subjects(metavar: str = "[NAME…]", help: str = "Zoo names, spec files, or folders of them.") -> Any:
    """Names of networks, or of specs and folders of them."""
    return typer.Argument(
        metavar=metavar, help=help, autocompletion=complete_name, callback=_tell_of_folders, show_default=False
    )


Subjects = Annotated[list[str] | None, subjects()]
Batch = Annotated[int, typer.Option(min=1, metavar="N", help="Examples at once.")]
_DTYPES = ("float64", "float32", "bfloat16", "float16", "int8")
Dtype = Annotated[
    str, typer.Option(metavar="TYPE", help=f"{', '.join(_DTYPES[:-1])} or int8.", autocompletion=among(*_DTYPES))
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No warnings, and no published figures below the table.")]
Form = Annotated[str | None, form_option()]
