"""`archcalc receptive-field`: what each output position sees."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import built
from archcalc.cli.options import Form, Input, Output, Quiet, Set, complete_name
from archcalc.cli.output import chosen_format, write_table
from archcalc.errors import UsageError, suggestion
from archcalc.graph import Graph
from archcalc.report import Report, analyze
from archcalc.tables import Table
from archcalc.work import allow_listing

if TYPE_CHECKING:
    from archcalc.analyses.effective_field import Measurement
    from archcalc.render.effective_field import Effective

PICTURES = (".svg", ".png", ".pdf")

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def receptive_field(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]",
            help="A zoo name (vgg16, resnet:plain34) or a spec file (net.yaml, net.yaml:VARIANT).",
            autocompletion=complete_name,
            show_default=False,
        ),
    ] = "",
    stack: Annotated[
        str | None,
        typer.Option(
            metavar="LAYERS",
            show_default=False,
            help="A stack instead of a net: 3x3x3 is three layers of size 3; 7s2,3s2,3; 3d2; 5x1,1x5; 3,p2,3.",
        ),
    ] = None,
    layer: Annotated[str, typer.Option(metavar="PATH", help="One layer or scope.", show_default=False)] = "",
    at: Annotated[
        str, typer.Option(metavar="3,4", help="The exact window of one output position.", show_default=False)
    ] = "",
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PATH",
            help="On an inner layer's output, or on another input, instead of the first input.",
            show_default=False,
        ),
    ] = "",
    effective: Annotated[
        bool, typer.Option("--effective", help="Which part matters most: estimated, and with PyTorch measured.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="A row for every layer, those in place too.")] = False,
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
    picture = output is not None and output.suffix.lower() in PICTURES
    chosen = chosen_format(form, None if picture else output)
    if stack is not None:
        others = {
            "NAME": name, "--layer": layer, "--at": at, "--from": start, "--effective": effective, "--all": every,
            "--set": sets, "--input": sizes,
        }  # fmt: skip
        write_table(_stack(stack, [what for what, given in others.items() if given], picture), chosen, output)
        return
    if not name:
        raise UsageError("name an architecture, or give --stack", "archcalc receptive-field vgg16, or --stack 3x3x3")
    if picture and form is not None:
        raise UsageError(f"--format {form} does not draw", "leave it out: the file's suffix says which picture")
    if every and (picture or effective or at):
        what = "a picture" if picture else "--effective" if effective else "--at"
        raise UsageError(f"{what} is not about rows for every layer", "leave out --all")
    if not (layer or at or effective or picture):
        allow_listing()
    _, graph = built(name, sets, sizes, quiet)
    report = analyze(graph)
    source = _index(report, start) if start else 0
    if effective:
        field = _effective(report, layer, at, source)
        if picture and output is not None:
            field.drawing().save(output)
            output = None
        write_table(field.table(), chosen, output)
    elif picture and output is not None:
        from archcalc.render.receptive_field_picture import draw_fields

        draw_fields(
            report,
            output,
            layer.split(",") if layer and not at else [],
            _at(report, layer, at, source) if at else None,
            source,
        )
    else:
        write_table(_table(report, layer, at, source, every), chosen, output)


def _stack(text: str, others: Iterable[str], picture: bool) -> Table:
    from archcalc.analyses.receptive_field_stack import read_stack
    from archcalc.render.receptive_field import stack_table

    for what in others:
        raise UsageError(f"--stack describes a net of its own: leave out {what}")
    if picture:
        raise UsageError("--stack has no picture", "archcalc receptive-field NAME -o rf.svg draws a net's fields")
    return stack_table(text, read_stack(text))


def _table(report: Report, layer: str, at: str, source: int, every: bool) -> Table:
    from archcalc.render.receptive_field import layers_table, position_table

    if at:
        index, position = _at(report, layer, at, source)
        return position_table(report, index, position, source)
    only = ""
    if layer:
        index = _index(report, layer)
        only = layer if any(report.graph.within(layer)) else report.graph.nodes[index].name
    return layers_table(report, every or bool(only), only, source)


def _index(report: Report, path: str) -> int:
    """The node that a name stands for.

    Raises: UsageError: there is none.
    """
    places = report.graph.places
    if path not in places:
        raise UsageError(f"{report.name} has no layer '{path}'", suggestion(path, places))
    return places[path]


def _at(report: Report, layer: str, text: str, source: int) -> tuple[int, Mapping[str, int]]:
    """A node, by default the last one with spatial axes, and a position: 3,4 in the spec's order, or H=3,W=4."""
    from archcalc.analyses.positions import positions_of

    index = _index(report, layer) if layer else _last_wide(report, source)
    node = report.graph.nodes[index]
    axes = list(report.ordered(positions_of(node.shape)))
    parts = text.replace(" ", "").split(",") if axes else []
    named = [part.partition("=")[::2] if "=" in part else (axis, part) for axis, part in zip(axes, parts, strict=False)]
    position = dict(named)
    if len(parts) != len(axes) or not all(value.isdecimal() and len(value) < 10 for value in position.values()):
        order = ",".join(axes) or "nothing: it is one vector"
        raise UsageError(f"can't read --at '{text}' for '{node.name}', whose positions are {order}", "--at 3,4")
    if twice := next((axis for axis, count in Counter(axis for axis, _ in named).items() if count > 1), ""):
        where = f"the positions of '{node.name}' are {','.join(axes)}"
        raise UsageError(f"--at '{text}' gives {twice} twice; {where}", "--at H=3,W=4")
    return index, {axis: int(value) for axis, value in position.items()}


def _last_wide(report: Report, source: int) -> int:
    """The last node that has spatial axes and doesn't see everything."""
    nodes = report.graph.nodes
    fields = report.fields_on(nodes[source].name)
    wide = (i for i in range(source + 1, len(nodes)) if nodes[i].shape.spatial and fields[i])
    return max((i for i in wide if not any(field.constant for field in fields[i].values())), default=source)


def _effective(report: Report, layer: str, at: str, source: int) -> Effective:
    from archcalc.analyses.positions import middle_of
    from archcalc.render.effective_field import Effective

    if at:
        index, position = _at(report, layer, at, source)
    else:
        index = _index(report, layer) if layer else _last_wide(report, source)
        position = middle_of(report.graph.nodes[index].shape)
    return Effective(report, index, position, source, _measured)


def _measured(graph: Graph, index: int, position: Mapping[str, int], source: int) -> Measurement | str:
    """What PyTorch finds, or why nothing."""
    if graph.nodes[source].inputs:
        return "measured on inputs only, not on an inner layer"
    if importlib.util.find_spec("torch") is None:
        return "not measured: PyTorch is not installed (pip install 'archcalc[torch]')"
    from archcalc.pytorch.effective import measurement

    found = measurement(graph, index, position, source)
    return found or "not measured: no gradient arrives, whatever the initialisation"
