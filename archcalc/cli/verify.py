"""`archcalc verify`: what archcalc computes against PyTorch modules that are really built and run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archcalc.cli.command import Command
from archcalc.cli.graphs import read_sets, refuse_unused_folder
from archcalc.cli.options import Form, Input, Output, Set, Specs, complete_name, no_spec
from archcalc.cli.output import chosen_format, write, write_table
from archcalc.errors import UsageError, suggestion
from archcalc.expand import build
from archcalc.files import check_writable
from archcalc.pytorch import need_torch
from archcalc.questions.sizes import sizes_of
from archcalc.report import Report, analyze
from archcalc.symbolic import is_symbolic
from archcalc.tables import Table
from archcalc.work import renewed
from archcalc.zoo import Architecture, architectures, load

if TYPE_CHECKING:
    from archcalc.pytorch.compare import Verification

    Net = tuple[Verification, Report]


class Device(StrEnum):
    """Where the networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    meta = "meta"


app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command(cls=Command)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME…]", help="Zoo names or spec files.", autocompletion=complete_name, show_default=False
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every variant of every spec.")] = False,
    device: Annotated[
        Device,
        typer.Option(help="auto: cuda if there is one, else cpu; meta: nothing is executed."),
    ] = Device.auto,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Examples at once.")] = 2,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="float64, float32, bfloat16 or float16.")] = "float32",
    sets: Set = [],  # noqa: B006  # typer copies it
    sizes: Input = [],  # noqa: B006  # likewise
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=no_spec,
            help="Keep what a CUDA device measured: its name, bytes, times.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare predictions with such a record; runs nothing.", show_default=False),
    ] = None,
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
    archcalc verify vgg16 resnet50 --device cuda --record golden/measured/h100.json
    archcalc verify --against golden/measured/h100.json
    ```
    """
    chosen = chosen_format(form, output)
    refuse_unused_folder(names or [], specs)
    if quiet and chosen == "json":
        raise UsageError("JSON has everything: --quiet has no effect", "leave it out")
    if against is not None:
        alone = (every, record, sets, sizes, device, batch, dtype) == (False, None, [], [], Device.auto, 2, "float32")
        if not alone:
            raise UsageError("--against takes everything from the record", "archcalc verify --against FILE")
        found = _show(_compared_with_record(against, names or [], specs), [], chosen, output, quiet)
    else:
        if sizes and (every or record is not None):
            raise UsageError(f"--input goes with names, not with {'--all' if every else '--record'}")
        subjects = _subjects(names or [], every, specs, read_sets(sets), sizes, batch, dtype)
        if record is not None:
            _check_record(record, device)
        found = _compared_with_pytorch(subjects, every, device, chosen, output, quiet)
        if record is not None:
            _write_record(record, found, subjects)
    if any(verification.differences for verification in found):
        raise typer.Exit(1)


@dataclass(frozen=True)
class Subject:
    """What to verify, and the values that were given."""

    report: Report
    sets: dict[str, str]


def _subjects(
    names: list[str], every: bool, specs: Any, sets: dict[str, str], sizes: list[str], batch: int, dtype: str
) -> list[Subject]:
    """What to verify."""
    if every is bool(names):
        raise UsageError("name architectures, or give --all", "archcalc verify vgg16")
    need_torch()
    if every:
        return list(_all(specs, sets, batch, dtype))
    chosen = [load(name, specs) for name in dict.fromkeys(names)]
    return [Subject(_report(one, sets, batch, dtype, sizes_of(one, sizes)), sets) for one in chosen]


def _compared_with_pytorch(
    subjects: list[Subject], every: bool, device: Device, form: str, output: Path | None, quiet: bool
) -> list[Verification]:
    """Run what has numbers for all of its sizes; without --all, everything must."""
    reports = [subject.report for subject in subjects]
    skipped = [report for report in reports if every and _has_symbols(report)]
    chosen = [report for report in reports if not (every and _has_symbols(report))]
    with _progress(chosen) as advance:
        nets = ((_verified(report, device, advance), report) for report in chosen)
        return _show(nets, [f"{report.name} (sizes without a value)" for report in skipped], form, output, quiet)


def _check_record(file: Path, device: Device) -> None:
    """Find out before measuring whether there will be something to record, and where."""
    import torch

    if device in (Device.cpu, Device.meta):
        raise UsageError(f"--record keeps what a CUDA device measures, not --device {device.value}")
    if not torch.cuda.is_available():
        raise UsageError("there is no CUDA device to record", "--against compares with a record of one")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"can't write '{file}': {(error.strerror or str(error)).lower()}") from None
    check_writable(file)


def _write_record(file: Path, found: list[Verification], subjects: list[Subject]) -> None:
    """Keep the figures of the nets that ran."""
    from archcalc.pytorch.cuda import machine
    from archcalc.pytorch.records import net_record, write_record

    known = {subject.report.name: subject for subject in subjects}
    measured = {net.name: net for net in found if net.figures is not None}
    nets = [net_record(net, known[name].report, known[name].sets) for name, net in measured.items()]
    if not nets:
        raise UsageError(f"no net ran on the device, so {file} stays as it was")
    write_record(file, machine(), nets)


def _compared_with_record(file: Path, names: list[str], specs: Any) -> Iterator[Net]:
    """Hold predictions to a record: all of its nets, or those that are named."""
    from archcalc.pytorch.compare import Verification
    from archcalc.pytorch.records import against, read_record

    known = read_record(file)
    for asked in names or known["nets"]:
        architecture = load(asked, specs)
        name = asked if asked in known["nets"] else architecture.name
        if name not in known["nets"]:
            raise UsageError(f"{file} has no figures of '{name}'", suggestion(name, known["nets"]))
        net = known["nets"][name]
        report = _report(architecture, net["sets"], net["batch"], net["dtype"])
        yield Verification(name, f"record of {known['device']}", tuple(against(report, net))), report


def _all(specs: Any, sets: dict[str, str], batch: int, dtype: str) -> Iterator[Subject]:
    """Every architecture, each with those of the values that it has hparams for."""
    known: set[str] = set()
    for architecture in architectures(specs):
        fitting = {name: value for name, value in sets.items() if name in architecture.spec.hparams}
        known.update(fitting)
        yield Subject(_report(architecture, fitting, batch, dtype), fitting)
    if unknown := sets.keys() - known:
        raise UsageError(f"no spec has an hparam '{min(unknown)}'")


@renewed()
def _report(
    architecture: Architecture, sets: dict[str, str], batch: int, dtype: str, sizes: Mapping[str, Any] | None = None
) -> Report:
    # not Architecture.build: a spec may well have an hparam called `sizes`
    graph = replace(build(architecture.spec, architecture.variant, sets, sizes), name=architecture.name)
    return analyze(graph, batch, dtype)


def _has_symbols(report: Report) -> bool:
    return any(is_symbolic(size) for node in report.graph.nodes for size in node.shape.values())


def _verified(report: Report, device: Device, advance: Callable[[str], None]) -> Verification:
    from archcalc.export.writer import torch_program
    from archcalc.pytorch.verification import verify as run

    return run(report, device.value, lambda: advance(report.name), torch_program)


@contextmanager
def _progress(reports: list[Report]) -> Iterator[Callable[[str], None]]:
    """A bar on stderr, a step for each layer; nothing unless stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(len(report.graph.nodes) for report in reports))
        yield lambda name: bar.update(task, advance=1, description=name)


def _show(
    nets: Iterable[Net], left_out: Sequence[str], form: str, output: Path | None, quiet: bool
) -> list[Verification]:
    """Write all nets; those for people as they come, since each may take minutes."""
    from archcalc.pytorch import told

    found, sections = [], []
    for verification, report in nets:
        found.append(verification)
        sections.append(told.net_table(verification, report, quiet))
        if form in ("table", "plain") and output is None and (not quiet or verification.differences):
            write_table(Table(sections=partial(list, [sections.pop()])), form)
            write([""])
    write_table(told.whole_table(found, sections, left_out), form, output)
    return found
