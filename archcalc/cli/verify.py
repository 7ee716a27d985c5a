"""`archcalc verify`: what archcalc computes against PyTorch modules that are really built and run."""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import read_sets, refuse_unused_folder
from archcalc.cli.options import Form, Input, Output, Set, Specs, Subjects, no_spec
from archcalc.cli.output import chosen_format, write, write_table
from archcalc.errors import UsageError
from archcalc.pytorch.records import check_recordable
from archcalc.questions.networks import report_of
from archcalc.questions.sizes import sizes_of
from archcalc.questions.verify import Progress, Verifications, net_table, verify_against
from archcalc.questions.verify import verify as run
from archcalc.tables import Table
from archcalc.zoo import load

if TYPE_CHECKING:
    import rich.progress

    from archcalc.pytorch.compare import Verification


class Device(StrEnum):
    """Where the networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    meta = "meta"


Record = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=no_spec,
        help="Keep what a CUDA device measured: its name, bytes, times.",
        show_default=False,
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Compare predictions with such a record; runs nothing.", show_default=False),
]

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def verify(
    names: Subjects = None,
    every: Annotated[bool, typer.Option("--all", help="Every variant of every spec.")] = False,
    device: Annotated[
        Device, typer.Option(help="auto: cuda if there is one, else cpu; meta: nothing is executed.")
    ] = Device.auto,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Examples at once.")] = 2,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="float64, float32, bfloat16 or float16.")] = "float32",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    record: Record = None,
    against: Against = None,
    specs: Specs = None,
    form: Form = None,
    output: Output = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the summary, and what differs.")] = False,
) -> None:
    """Build networks in PyTorch, run them forward and backward, and compare layer by layer.

    Compared are output shapes, params, buffers, MACs, activations, the bytes that autograd saves, those that have to
    be alive at once and those that the exported program holds, and receptive fields; the exit code is 1 if anything
    differs. A network that is too large for this machine is followed on PyTorch's meta device: shapes, counts and
    bytes, nothing is executed, and the report says so.

    On a CUDA device, bytes and times are measured as well; what isn't predicted is reported with its size. `--record`
    keeps the figures, and `--against` holds predictions to them where there is no such device, nor PyTorch.

    Examples:
    ```
    archcalc verify lenet5
    archcalc verify --all --device meta --set R=300
    archcalc verify net.yaml --set width=256 --dtype float64 --format json
    archcalc verify vgg16 --device cuda --record golden/measured/h100.json
    archcalc verify --against golden/measured/h100.json
    ```
    """
    chosen = chosen_format(form, output)
    refuse_unused_folder(names or [], specs)
    if quiet and chosen == "json":
        raise UsageError("JSON has everything: --quiet has no effect", "leave it out")
    if against is not None:
        if (every, record, sets, sizes, device, batch, dtype) != (False, None, [], [], Device.auto, 2, "float32"):
            raise UsageError("--against takes everything from the record", "archcalc verify --against FILE")
        ask = partial(verify_against, against, *names or [])
    else:
        _refuse(names or [], every, sizes, record, device)
        asked = _question(names or [], read_sets(sets), sizes, batch, dtype, specs)
        ask = partial(asked, batch=batch, dtype=dtype, device=device.value)
    with _Shown(chosen, output, quiet) as shown:
        found = ask(specs=specs, progress=shown)
    write_table(found.table(quiet, nets=not shown.streams), chosen, output)
    if record is not None:
        found.save_record(record)
    if not found.ok:
        raise typer.Exit(1)


def _refuse(names: list[str], every: bool, sizes: list[str], record: Path | None, device: Device) -> None:
    """See that there is something to verify, and something to record if it shall be recorded."""
    if every is bool(names):
        raise UsageError("name architectures, or give --all", "archcalc verify vgg16")
    if sizes and (every or record is not None):
        raise UsageError(f"--input goes with names, not with {'--all' if every else '--record'}")
    if record is not None:
        check_recordable(record, device.value)


def _question(
    names: list[str], given: dict[str, str], sizes: list[str], batch: int, dtype: str, specs: Path | None
) -> partial[Verifications]:
    """The question about these names; with `--input`, which each network reads in its own way, about reports."""
    if not sizes:
        return partial(run, *dict.fromkeys(names), hparams=given)
    chosen = [load(name, specs, sizes) for name in dict.fromkeys(names)]
    networks = (one if one.origin else report_of(one, given, sizes_of(one, sizes), (), batch, dtype) for one in chosen)
    return partial(run, *networks, hparams=given)


class _Shown(Progress):
    """Nets for people are written as they come, since each may take minutes; on a terminal's stderr there is a bar."""

    def __init__(self, form: str, output: Path | None, quiet: bool) -> None:
        self.form, self.quiet = form, quiet
        self.streams = form in ("table", "plain") and output is None
        self.bar: rich.progress.Progress | None = None

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def begin(self, layers: int) -> None:
        """Draw the bar."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            texts = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%")
            self.bar = Progress(*texts, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
            self.bar.add_task("", total=layers)
            self.bar.start()

    def layer(self, name: str) -> None:
        """A step of the bar."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], advance=1, description=name)

    def end(self, found: Verification) -> None:
        """Write a net that is done."""
        if self.streams and (not self.quiet or not found.ok):
            write_table(Table(sections=lambda: [net_table(found, self.quiet)]), self.form)
            write([""])
