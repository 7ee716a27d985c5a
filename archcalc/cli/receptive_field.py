"""`archcalc receptive-field`: what each output position sees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import complete_layer, completed
from archcalc.cli.graphs import built
from archcalc.cli.options import Form, Input, OptionalName, Output, Quiet, Set, Symbolic
from archcalc.cli.output import chosen_format, write_table
from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.work import allow_listing

if TYPE_CHECKING:
    from archcalc.tables.answer import Answer

PICTURES = (".svg", ".png", ".pdf")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

Stack = Annotated[
    str | None,
    typer.Option(
        metavar="LAYERS",
        help="A stack instead of a net: 3x3x3 is three layers of size 3; 7s2,3s2,3; 3d2; 5x1,1x5; 3,p2,3.",
        show_default=False,
    ),
]
Layer = Annotated[str, completed("PATH", "One layer or scope.", complete_layer)]
At = Annotated[str, typer.Option(metavar="3,4", help="The exact window of one output position.", show_default=False)]
ON = "On an inner layer's output, or on another input, instead of the first input."
Start = Annotated[str, typer.Option("--from", metavar="PATH", help=ON, show_default=False)]
MATTERS = "Which part matters most: estimated, and with PyTorch measured."
Effective = Annotated[bool, typer.Option("--effective", help=MATTERS)]
Every = Annotated[bool, typer.Option("--all", help="A row for every layer, those in place too.")]


@app.command(cls=Command)
def receptive_field(
    name: OptionalName = "",
    stack: Stack = None,
    layer: Layer = "",
    at: At = "",
    start: Start = "",
    effective: Effective = False,
    every: Every = False,
    symbolic: Symbolic = "",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    form: Form = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Print what an output position sees of the input, layer by layer: size, stride, padding, centre.

    Exact with branches, dilation, transposed convolutions and unequal sides. With --at also at the borders. A file that
    ends in .svg, .png or .pdf gets a picture. In `--stack 3x3x3` there are three layers of size 3; with commas each
    layer is [p]SIZE[sSTRIDE][dDILATION], p for pooling, SIZE 5 or 5x1.

    Examples:
    ```
    archcalc receptive-field --stack 3x3x3
    archcalc receptive-field resnet50
    archcalc receptive-field vgg16 --layer conv5/pool --at 3,4
    archcalc receptive-field unet -o rf.svg
    archcalc receptive-field resnet:cifar --symbolic n
    archcalc receptive-field vgg16 --layer conv5 --effective -o effective.svg
    ```
    """
    picture = output if output is not None and output.suffix.lower() in PICTURES else None
    chosen = chosen_format(form, None if picture else output)
    asked = {"--layer": layer, "--at": at, "--from": start, "--effective": effective, "--all": every}
    if stack is not None:
        _check_stack({"NAME": name, **asked, "--symbolic": symbolic, "--set": sets, "--input": sizes}, picture)
        answer = _stack(stack)
    else:
        _check(name, asked, form, picture)
        graph = built(name, sets, sizes, quiet, symbolic)[1]
        answer = _fields(graph, "" if picture and not (at or effective) else layer, at, start, effective, every)
    if picture is not None:
        from archcalc.drawings.draw import draw

        draw(answer, layers="" if at or effective else layer).save(picture)
    if picture is None or effective:
        write_table(answer.table(), chosen, None if picture else output)


def _check_stack(asked: Mapping[str, object], picture: Path | None) -> None:
    for option, given in asked.items():
        if given:
            raise UsageError(f"--stack describes a net of its own: leave out {option}")
    if picture:
        raise UsageError("--stack has no picture", "archcalc receptive-field NAME -o rf.svg draws a net's fields")


def _check(name: str, asked: Mapping[str, object], form: str | None, picture: Path | None) -> None:
    """See that the options fit together; listing all layers may be much work."""
    single = ["a picture"] * bool(picture) + [option for option in ("--effective", "--at") if asked[option]]
    if not name:
        raise UsageError("name an architecture, or give --stack", "archcalc receptive-field vgg16, or --stack 3x3x3")
    if picture and form is not None:
        raise UsageError(f"--format {form} does not draw", "leave it out: the file's suffix says which picture")
    if asked["--all"] and single:
        raise UsageError(f"{single[0]} is not about rows for every layer", "leave out --all")
    if not (asked["--layer"] or single):
        allow_listing()


def _stack(layers: str) -> Answer:
    from archcalc.questions.receptive_field_stack import receptive_field_stack

    return receptive_field_stack(layers)


def _fields(graph: Graph, layer: str, at: str, start: str, effective: bool, every: bool) -> Answer:
    from archcalc.questions.effective_field import effective_receptive_field
    from archcalc.questions.receptive_field import receptive_field
    from archcalc.questions.receptive_field_at import receptive_field_at

    if effective:
        return effective_receptive_field(graph, layer, at=at or None, from_=start)
    if at:
        return receptive_field_at(graph, layer, at=at, from_=start)
    return receptive_field(graph, layer, from_=start, all=every)
