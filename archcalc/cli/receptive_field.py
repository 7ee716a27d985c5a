"""`archcalc receptive-field`: what each output position sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import built
from archcalc.cli.options import Form, Input, Output, Quiet, Set, complete_name
from archcalc.cli.output import chosen_format, write_table
from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.work import allow_listing

if TYPE_CHECKING:
    from archcalc.tables.answer import Answer

PICTURES = (".svg", ".png", ".pdf")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

OptionalName = Annotated[
    str,
    typer.Argument(
        metavar="[NAME]",
        help="A zoo name (vgg16, resnet:plain34) or a spec file (net.yaml, net.yaml:VARIANT).",
        autocompletion=complete_name,
        show_default=False,
    ),
]
Stack = Annotated[
    str | None,
    typer.Option(
        metavar="LAYERS",
        show_default=False,
        help="A stack instead of a net: 3x3x3 is three layers of size 3; 7s2,3s2,3; 3d2; 5x1,1x5; 3,p2,3.",
    ),
]
Layer = Annotated[str, typer.Option(metavar="PATH", help="One layer or scope.", show_default=False)]
At = Annotated[str, typer.Option(metavar="3,4", help="The exact window of one output position.", show_default=False)]
Start = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="PATH",
        help="On an inner layer's output, or on another input, instead of the first input.",
        show_default=False,
    ),
]
Effective = Annotated[
    bool, typer.Option("--effective", help="Which part matters most: estimated, and with PyTorch measured.")
]
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
    archcalc receptive-field vgg16 --layer conv5 --effective -o effective.svg
    ```
    """
    picture = output if output is not None and output.suffix.lower() in PICTURES else None
    chosen = chosen_format(form, None if picture else output)
    asked = {"--layer": layer, "--at": at, "--from": start, "--effective": effective, "--all": every}
    if stack is not None:
        others = {"NAME": name, **asked, "--set": sets, "--input": sizes}
        answer = _stack(stack, [what for what, given in others.items() if given], picture)
    else:
        _check(name, asked, form, picture)
        graph = built(name, sets, sizes, quiet)[1]
        answer = _answer(graph, layer, at, start, effective, every, picture)
    if picture is not None:
        from archcalc.render.draw import draw

        layers = layer.split(",") if layer and not (at or effective) else ()
        draw(answer, layers=layers).save(picture)
    if picture is None or effective:
        write_table(answer.table(), chosen, None if picture else output)


def _check(name: str, asked: dict[str, object], form: str | None, picture: Path | None) -> None:
    """See that the options fit together, and allow for much work where all layers are listed."""
    if not name:
        raise UsageError("name an architecture, or give --stack", "archcalc receptive-field vgg16, or --stack 3x3x3")
    if picture and form is not None:
        raise UsageError(f"--format {form} does not draw", "leave it out: the file's suffix says which picture")
    if asked["--all"] and (picture or asked["--effective"] or asked["--at"]):
        what = "a picture" if picture else "--effective" if asked["--effective"] else "--at"
        raise UsageError(f"{what} is not about rows for every layer", "leave out --all")
    if not (asked["--layer"] or asked["--at"] or asked["--effective"] or picture):
        allow_listing()


def _stack(text: str, others: list[str], picture: Path | None) -> Answer:
    from archcalc.questions.receptive_field_stack import receptive_field_stack

    for what in others:
        raise UsageError(f"--stack describes a net of its own: leave out {what}")
    if picture:
        raise UsageError("--stack has no picture", "archcalc receptive-field NAME -o rf.svg draws a net's fields")
    return receptive_field_stack(text)


def _answer(
    graph: Graph, layer: str, at: str, start: str, effective: bool, every: bool, picture: Path | None
) -> Answer:
    """The answer to the question that the options ask."""
    if effective:
        from archcalc.questions.effective_field import effective_receptive_field

        return effective_receptive_field(graph, layer, at or None, start=start)
    if at:
        from archcalc.questions.receptive_field_at import receptive_field_at

        return receptive_field_at(graph, at, layer, start=start)
    from archcalc.questions.receptive_field import receptive_field

    return receptive_field(graph, "" if picture else layer, start=start, every=every)
