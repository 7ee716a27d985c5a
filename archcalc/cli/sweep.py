"""`archcalc sweep`: totals of all combinations of some values."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import refuse_contradictions, warn_of_order, warn_of_unread
from archcalc.cli.options import Input, Name, Output, Quiet, described, form_option, no_spec
from archcalc.cli.output import chosen_format, write_table
from archcalc.cli.run import note
from archcalc.errors import UsageError
from archcalc.files import replacing
from archcalc.quantities import TOTALLED, names
from archcalc.questions.sizes import sizes_of
from archcalc.tables import Column, Table
from archcalc.tables.numbers import exact
from archcalc.zoo import load

if TYPE_CHECKING:
    from archcalc.formulas.sweep import Columns, Sweep

REASONS = 5
"""How many reasons are given for configurations that can't be built."""
app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
@described(totals=names(*TOTALLED))
def sweep(
    name: Name,
    sets: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUES",
            help="An hparam, an axis of the input, or N: 1..200, in steps 8..128:8, a list (64,128), or a value; "
            "repeatable.",
            show_default=False,
        ),
    ] = [],  # noqa: B006  # typer copies it
    columns: Annotated[
        str, typer.Option(metavar="A,B,C", help="Which totals.")
    ] = "params,macs,activations,activation_bytes",
    where: Annotated[
        str, typer.Option(metavar="CONDITION", help="Keep these: 'params<5M and saved_bytes<64MB'.", show_default=False)
    ] = "",
    pareto: Annotated[
        str, typer.Option(metavar="A,B", help="Keep what nothing beats: params,macs:max.", show_default=False)
    ] = "",
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=no_spec, help="A scatter plot: .svg, .png or .pdf.", show_default=False),
    ] = None,
    axes: Annotated[
        str,
        typer.Option("--axes", metavar="X,Y", help="What the plot shows. [default: params,macs]", show_default=False),
    ] = "",
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="For bytes.")] = "float32",
    sizes: Input = [],  # noqa: B006  # likewise
    form: Annotated[str | None, form_option("parquet", default="table in a terminal, csv in a pipe")] = None,
    output: Output = None,
    quiet: Quiet = False,
) -> None:
    """Compute the totals of all combinations of some values, exactly; those that can't be built are left out.

    Totals: {totals}. N is the batch.

    Examples:
    ```
    archcalc sweep alphago_policy --set k=1..512 --where 'params<5M' --pareto params,macs
    archcalc sweep resnet:cifar --set n=1..20 --columns params,depth
    archcalc sweep vgg --set 'size=[128,160,192,224]' --columns macs -o vgg.csv --plot vgg.svg --axes size,macs
    ```
    """
    from archcalc.formulas.amounts import alternatives
    from archcalc.formulas.selection import condition, objectives
    from archcalc.formulas.selection import pareto as front
    from archcalc.formulas.sweep import planned

    chosen = chosen_format(form, output, pipe="csv", others={".parquet": "parquet"})
    if axes and plot is None:
        raise UsageError("--axes goes with --plot", "--plot sweep.svg")
    axes = axes or "params,macs"
    architecture = load(name)
    fixed, choices = alternatives(architecture, sets)
    given = sizes_of(architecture, sizes)
    if symbols := [str(size) for size in given.values() if not isinstance(size, int)]:
        raise UsageError(f"sweep needs numbers: --input leaves {symbols[0]} open", "--set H=32..64")
    refuse_contradictions({**fixed, **choices}, given, ())
    outside = {key: [value] for key, value in fixed.items() if key not in architecture.spec.hparams}
    choices = {**outside, **choices}
    fixed = {key: value for key, value in fixed.items() if key not in outside}
    shown = [column.strip() for column in columns.split(",")]
    if len(set(shown)) < len(shown):
        raise UsageError("a column can be shown once only")
    asked = [name for name in _asked(where, pareto, axes if plot else "") if name not in choices]
    plan = planned(architecture, choices, fixed, given, [*shown, *(name for name in asked if name not in shown)], dtype)
    if not quiet:
        first = {key: values[0] for key, values in choices.items() if key in architecture.spec.hparams}
        warn_of_unread(architecture, {**fixed, **first}, given)
        warn_of_order(architecture, fixed, given, sizes)
    known = [*plan.choices, *names(*TOTALLED)]
    blocks = _counted(plan, quiet)
    if where:
        keep = condition(where, known)
        blocks = (kept for block in blocks if (kept := keep(block)) and len(kept[shown[0]]))
    if pareto:
        blocks = front(blocks, objectives(pareto, known))
    if plot is not None:
        blocks = _plotted(blocks, plot, axes, known, architecture.name)
    seen = [*plan.choices, *shown]
    found = ({name: block[name] for name in seen} for block in blocks)
    if chosen == "parquet":
        _parquet(found, seen, output)
    else:
        write_table(_table(found, seen, architecture.name, plan.choices), chosen, output)


def _asked(where: str, pareto: str, axes: str) -> list[str]:
    """The totals that are asked about, in the order of all totals."""
    from archcalc.formulas.selection import mentioned

    named = {part.partition(":")[0].strip() for part in f"{pareto},{axes}".split(",")}
    named |= mentioned(where) if where else set()
    return [name for name in names(*TOTALLED) if name in named]


def _counted(plan: Sweep, quiet: bool) -> Iterator[Columns]:
    """The blocks; a progress bar in a terminal, and in the end how many configurations couldn't be built, and why."""
    from contextlib import nullcontext

    progress: Any = nullcontext()
    if sys.stderr.isatty() and not quiet:
        from rich.console import Console
        from rich.progress import Progress

        progress = Progress(console=Console(stderr=True), transient=True)
    built, left_out = 0, Counter[str]()
    with progress as bar:
        task = bar.add_task("sweep", total=plan.count) if bar is not None else None
        for block in plan.blocks(left_out=left_out):
            built += len(block[plan.columns[0]])
            if bar is not None:
                bar.update(task, completed=built + left_out.total())
            yield block
    if left_out and not quiet:
        note(f"{left_out.total():,} of {plan.count:,} configurations can't be built")
        for reason, count in left_out.most_common(REASONS):
            note(f"  {count:,}: {reason}")
        if len(left_out) > REASONS:
            note(f"  {sum(count for _, count in left_out.most_common()[REASONS:]):,}: other reasons")


def _plotted(blocks: Iterable[Columns], path: Path, axes: str, names: list[str], title: str) -> Iterator[Columns]:
    """The blocks again, after all of which the plot is written."""
    from archcalc.errors import suggestion
    from archcalc.render.plot import Scatter

    x, comma, y = (part.strip() for part in axes.partition(","))
    for name in (x, y):
        if not comma:
            raise UsageError(f"a plot has two axes, not '{axes}'", "--axes params,macs")
        if name not in names:
            raise UsageError(f"--axes doesn't know '{name}'", suggestion(name, names))
    scatter = Scatter(x, y)
    for block in blocks:
        scatter.add(block)
        yield block
    scatter.write(path, title)


def _table(blocks: Iterable[Columns], names: Sequence[str], name: str, choices: Iterable[str]) -> Table:
    """A row for each configuration. For programs they are written as they come; a table for people has to hold all."""

    @cache
    def kept() -> list[Columns]:
        return list(blocks)

    return Table(
        [Column(each) for each in names],
        lambda: (list(map(exact, row)) for row in _rows(kept())),
        name,
        f"totals by {', '.join(choices)}",
        values=lambda: _rows(blocks),
    )


def _rows(blocks: Iterable[Columns]) -> Iterator[tuple[Any, ...]]:
    for block in blocks:
        yield from zip(*map(_list, block.values()), strict=True)


def _list(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "dtype") else list(map(_number, values))


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _parquet(blocks: Iterable[Columns], names: list[str], output: Path | None) -> None:
    """A table with 64-bit integers; numbers beyond them, and words, as texts."""
    if output is None:
        raise UsageError("Parquet needs a file", "-o sweep.parquet")
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError("Parquet needs pyarrow", "pip install 'archcalc[parquet]', or write .csv") from None
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for block in blocks:
        for name, values in block.items():
            columns[name] += _list(values)
    table = {
        name: values if all(isinstance(v, int) and abs(v) < 1 << 63 for v in values) else list(map(str, values))
        for name, values in columns.items()
    }
    with replacing(output) as file:
        parquet.write_table(pyarrow.table(table), file)
