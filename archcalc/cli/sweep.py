"""`archcalc sweep`: totals of all combinations of some values."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.completion import complete_layer, complete_set, completed
from archcalc.cli.graphs import LEAVE_OUT, loaded, refuse_contradictions, warn_of_order, warn_of_unread
from archcalc.cli.options import TOTALS, Input, Name, Output, Quiet, described, form_option, no_spec
from archcalc.cli.output import chosen_format, write_table
from archcalc.cli.run import note
from archcalc.errors import UsageError
from archcalc.expand.hparams import is_override
from archcalc.quantities import TOTALLED, names
from archcalc.questions.sizes import sizes_of
from archcalc.shape import BATCH
from archcalc.tables.frames import PARQUET, save_parquet
from archcalc.workers import cores
from archcalc.zoo import Architecture

if TYPE_CHECKING:
    from archcalc.drawings.plot import Scatter
    from archcalc.questions.sweep import Sweep

DEFAULT = "params,macs,activations,activation_bytes"


def _option(metavar: str, meaning: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=meaning, show_default=False, **more)


_COLUMNS = "Totals, or numbers of layers: params,conv5.macs."
_VALUES = "An hparam, an axis of the input, or N: 1..200, in steps 8..128:8, a list (64,128), or a value; repeatable."
Sets = Annotated[list[str], _option("NAME=VALUES", _VALUES, "--set", autocompletion=complete_set)]
Batch = Annotated[str, _option("N", "Examples at once: the same as --set N=…")]
Columns = Annotated[str, typer.Option(metavar="A,B,C", help=_COLUMNS, autocompletion=TOTALS)]
Field = Annotated[list[str], completed("LAYER", "The receptive field of a layer, too; repeatable.", complete_layer)]
Where = Annotated[str, _option("CONDITION", "Keep these: 'params<5M and saved_bytes<64MB'.")]
Pareto = Annotated[str, _option("A,B", "Keep what nothing beats: params,macs:max.")]
Plot = Annotated[Path | None, _option("FILE", "A scatter plot: .svg, .png or .pdf.", callback=no_spec)]
Axes = Annotated[str, _option("X,Y", "What the plot shows. [default: params,macs]", "--axes")]
Dtype = Annotated[str, typer.Option(metavar="TYPE", help="For bytes.")]
Jobs = Annotated[int | None, _option("N", "Processes that build what has no formula. [default: one a core]", min=1)]
Form = Annotated[str | None, form_option("parquet", default="table in a terminal, csv in a pipe")]
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
@described(totals=names(*TOTALLED))
def sweep(
    name: Name,
    sets: Sets = [],  # noqa: B006  # typer copies it
    batch: Batch = "",
    columns: Columns = DEFAULT,
    field: Field = [],  # noqa: B006  # likewise
    where: Where = "",
    pareto: Pareto = "",
    plot: Plot = None,
    axes: Axes = "",
    dtype: Dtype = "float32",
    sizes: Input = [],  # noqa: B006  # likewise
    jobs: Jobs = None,
    form: Form = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Compute the totals of all combinations of some values, exactly; those that can't be built are left out.

    Totals: {totals}. Of a layer LAYER.params, LAYER.rf … N is the batch.

    Examples:
    ```
    archcalc sweep alphago_policy --set k=1..512 --pareto params,macs:max
    archcalc sweep resnet:cifar --set n=1..20 --where 'params<1M'
    archcalc sweep alexnet --set conv1.stride=1..4 --field conv5 --columns macs
    archcalc sweep vgg --set size=128..256:32 -o vgg.csv --plot vgg.svg
    ```
    """
    from archcalc.questions.sweep import sweep as swept

    chosen = chosen_format(form, output, pipe="csv", others={PARQUET: "parquet"})
    if chosen == "parquet" and output is None:
        raise UsageError("Parquet needs a file", "-o sweep.parquet")
    architecture, sizes = loaded(name, sizes)
    points = _scatter(plot, axes, architecture.name)
    given = _given(architecture, sets, batch, sizes, quiet)
    found = swept(architecture, columns, where, pareto, field=field, **given, dtype=dtype, jobs=jobs or cores())
    if not quiet:
        for text in found.told_of_built:
            note(text)
    with _progress(found, quiet) as watch:
        table = (found.through(points) if points else found).table(watch)
        fixed = bool(field) or columns != DEFAULT
        if chosen == "parquet" and output is not None:
            save_parquet(table, output)
        else:
            write_table(table, chosen, output, fixed)
    if points and plot:
        points.save(plot)
    if not quiet:
        for text in found.told_of_left_out:
            note(text)


def _scatter(plot: Path | None, axes: str, title: str) -> Scatter | None:
    """The plot that is asked for."""
    if plot is None:
        if axes:
            raise UsageError("--axes goes with --plot", "--plot sweep.svg")
        return None
    from archcalc.drawings.plot import AXES, check_suffix, scatter

    check_suffix(plot)
    return scatter(axes or AXES, title)


def _given(
    architecture: Architecture, sets: Sequence[str], batch: str, sizes: Sequence[str], quiet: bool
) -> dict[str, Mapping[str, Any]]:
    """What is swept, and what is given beside it; on stderr, warnings about both."""
    from archcalc.questions.choices import alternatives, as_options

    fixed, choices = alternatives(architecture, [*sets, *([f"{BATCH}={batch}"] if batch else [])])
    if batch and any(option.partition("=")[0].strip() == BATCH for option in sets):
        raise UsageError("both --batch and --set say what N is", LEAVE_OUT)
    inputs = sizes_of(architecture, sizes)
    refuse_contradictions({**fixed, **choices}, inputs, ())
    hparams = {key: value for key, value in fixed.items() if key in architecture.spec.hparams or is_override(key)}
    if not quiet:
        first = {key: values[0] for key, values in choices.items() if key in architecture.spec.hparams}
        warn_of_unread(architecture, {**hparams, **first}, inputs)
        warn_of_order(architecture, hparams, inputs, sizes)
    return {"hparams": {**as_options(architecture, fixed), **choices}, "sizes": inputs}


@contextmanager
def _progress(found: Sweep, quiet: bool) -> Iterator[Callable[[int], object] | None]:
    """A progress bar in a terminal: what is called with how many configurations are done."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sweep", total=found.count)
        yield lambda done: bar.update(task, completed=done)
