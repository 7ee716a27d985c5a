"""What archcalc computes against PyTorch modules that are really built and run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc.errors import UnknownNameError, UsageError, suggestion
from archcalc.expand import Given, Sizes, heeded
from archcalc.expand.given import mapping_of
from archcalc.expand.hparams import is_override
from archcalc.expand.overrides import flat
from archcalc.graph import Graph
from archcalc.language.model import Spec
from archcalc.pytorch import need_torch
from archcalc.pytorch.compare import Check, Verification
from archcalc.questions.networks import report_of
from archcalc.questions.subjects import Named, architectures_of, folder_of, is_folder
from archcalc.report import Report
from archcalc.symbolic import Dim, is_symbolic, known
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Judgement
from archcalc.tables.json import document
from archcalc.work import renewed
from archcalc.zoo import Architecture, architectures, load

DEVICES = ("auto", "cpu", "cuda", "meta")
CHECKS = (
    Column("check", Kind.WORD), Column("layers"), Column("archcalc"), Column("PyTorch"),
    Column("verdict", Kind.VERDICT),
)  # fmt: skip
NETS = (
    Column("net", Kind.NAME), Column("device", Kind.WORD), Column("checks"), Column("differences"),
    Column("verdict", Kind.VERDICT),
)  # fmt: skip
VALUES = ("net", "check", "layers", "archcalc", "pytorch", "verdict")
SHOWN = 20
"""Differences that are printed for each check; JSON has them all."""


class Progress:
    """What is called while networks run, for a progress bar: does nothing, unless a subclass does."""

    def begin(self, layers: int) -> None:
        """So many layers will run, those of all networks together."""

    def layer(self, name: str) -> None:
        """A layer of this network has run."""

    def end(self, found: Verification) -> None:
        """A network is done."""


@dataclass(frozen=True, repr=False)
class Verifications(Judgement):
    """What came of several networks; iterating gives them, and so does a name in brackets.

    `left_out` are those of a folder that have sizes without a value, so that they can't run.
    """

    nets: tuple[Verification, ...]
    left_out: tuple[str, ...] = ()

    def table(self, quiet: bool = False, nets: bool = True) -> Table:
        """A table with the checks of each net, then a row for each net, and a sentence.

        `quiet`: of the nets nothing but what differs. Without `nets` nothing of them at all.
        """
        record = {"archcalc": 1, "nets": [_record(net) for net in self.nets], "left_out": self.left_out}
        summary = [Table(NETS, lambda: map(_net_row, self.nets))] if len(self.nets) > 1 else []
        return Table(
            sections=lambda: [*(net_table(net, quiet) for net in self.nets if nets), *summary],
            summary=_summary(self.nets, self.left_out),
            keys=VALUES,
            values=lambda: (_values(net.name, check) for net in self.nets for check in net.checks),
            json=lambda: document(record),
        )

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return all(net.ok for net in self.nets)

    def save_record(self, path: str | PathLike[str]) -> None:
        """Write what a CUDA device measured to a file, which `verify_against` reads where there is no such device.

        Raises: UsageError: none of the networks ran on one, or the file can't be written.
        """
        from archcalc.pytorch.records import net_record, write_record

        measured = [net_record(net) for net in self.nets if net.figures is not None]
        if not measured:
            raise UsageError(f"no net ran on the device, so {path} stays as it was")
        from archcalc.pytorch.cuda import machine

        write_record(Path(path), machine(), measured)

    def __getitem__(self, name: str) -> Verification:
        """The network of this name.

        Raises: UnknownNameError: there is none.
        """
        found = {net.name: net for net in self.nets}
        if name not in found:
            raise UnknownNameError(f"no network is called '{name}' here", suggestion(str(name), found))
        return found[name]

    def __iter__(self) -> Iterator[Verification]:
        return iter(self.nets)

    def __len__(self) -> int:
        return len(self.nets)


def verify(
    *networks: Named, hparams: Mapping[str, Given] | None = None, sizes: Sizes | None = None,
    batch: Dim = 2, dtype: str = "float32", device: str = "auto", specs: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Verifications:  # fmt: skip
    """Build networks in PyTorch, run them forward and backward, and compare layer by layer with what is computed.

    Compared are shapes, params, buffers, MACs, activations, bytes and receptive fields, of `batch` examples; a report
    keeps its own batch and dtype. A spec or a folder stands for all of its architectures, and no network for those of
    the folder `specs`, by default the zoo; of these, each takes the `hparams` that it has, and what has sizes without a
    value is left out. A layer that PyTorch can't run is a difference.
    `device`: `cpu`, `cuda`, `meta`, where nothing is executed, or `auto`: `cuda` if there is one, else `cpu`. What is
    too large for it goes to `meta`, which the answer says.
    Raises: UsageError: PyTorch isn't installed, there is no such name, hparam, dtype or device, or a size is symbolic.
    SpecError: a spec is wrong.

    >>> import archcalc
    >>> found = archcalc.verify("lenet5", device="meta")
    >>> found.ok, [(check.quantity, check.found) for check in found["lenet5"].checks[1:4]]
    (True, [('params', 60000), ('buffers', 840), ('MACs', 651360)])
    """
    need_torch()
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r:.60}", suggestion(str(device), DEVICES))
    progress = progress or Progress()
    cases, left_out = _cases(networks, hparams, sizes, _Choices(batch, dtype), folder_of(specs))
    progress.begin(sum(len(case.report.graph.nodes) for case in cases))
    return Verifications(tuple(_verified(case, device, progress) for case in cases), tuple(left_out))


def verify_against(
    record: str | PathLike[str], *networks: Named, specs: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Verifications:  # fmt: skip
    """Hold what is computed to the record of a CUDA device: of all of its networks, or of those that are named.

    It needs neither the device nor PyTorch. Batch, dtype and hparams are those of the record.
    Raises: UsageError: the file is no record, or it has no such network.

    >>> import archcalc
    >>> archcalc.verify_against("h100.json", "vgg16")
    Traceback (most recent call last):
    archcalc.errors.UsageError: h100.json is not a record of measurements: there is no such file
        hint: verify writes one, on a CUDA device
    """
    from archcalc.pytorch.records import against, read_record

    if not isinstance(record, (str, PathLike)):
        raise UsageError(f"{record!r:.60} is not the path of a record", "verify writes one, on a CUDA device")
    kept, folder, found = read_record(Path(record)), folder_of(specs), []
    for named in networks or kept["nets"]:
        for architecture in architectures_of(named, folder):
            name = named if isinstance(named, str) and named in kept["nets"] else architecture.name
            if name not in kept["nets"]:
                raise UsageError(f"{record} has no figures of '{name}'", suggestion(name, kept["nets"]))
            net = kept["nets"][name]
            case = _Choices(net["batch"], net["dtype"]).case(architecture, net["sets"])
            checks = tuple(against(case.report, net))
            found.append(case.described(Verification(name, f"record of {kept['device']}", checks)))
            (progress or Progress()).end(found[-1])
    return Verifications(tuple(found))


@dataclass(frozen=True)
class _Case:
    """What to run, and the values that were given."""

    report: Report
    given: Mapping[str, Given] = field(default_factory=dict)
    origin: tuple[Any, tuple[str, ...]] | None = None

    def described(self, found: Verification) -> Verification:
        """What came of it, with what it was about."""
        given = {
            name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in self.given.items()
        }
        return replace(found, dtype=self.report.dtype, batch=known(self.report.batch), hparams=given)


@dataclass(frozen=True)
class _Choices:
    """How many examples, and of which dtype."""

    batch: Dim
    dtype: str

    @renewed()
    def case(
        self, network: Report | Graph | Architecture, given: Mapping[str, Given], sizes: Sizes | None = None
    ) -> _Case:
        """A network with values."""
        origin = network.origin if isinstance(network, Architecture) else None
        return _Case(report_of(network, given, sizes, (), self.batch, self.dtype), given, origin)


def _cases(
    networks: Sequence[Any], hparams: Mapping[str, Given] | None, sizes: Sizes | None, choices: _Choices,
    folder: Path | None,
) -> tuple[list[_Case], list[str]]:  # fmt: skip
    """What to run, and what is left out since it has symbols."""
    given, sides = flat(mapping_of(hparams, "hparams")), mapping_of(sizes, "sizes")
    if not networks:
        return _of_all(architectures(folder), given, sides, choices)
    cases, left_out = [], []
    for named in networks:
        if isinstance(named, Spec) or is_folder(named, folder):
            several, without = _of_all(architectures_of(named, folder), given, sides, choices)
            cases += several
            left_out += without
        else:
            network = load(named, folder) if isinstance(named, (str, PathLike)) else named
            cases.append(choices.case(network, given, sides))
    return cases, left_out


def _of_all(
    every: Iterable[Architecture], given: Mapping[str, Given], sides: Sizes, choices: _Choices
) -> tuple[list[_Case], list[str]]:
    """Those of several architectures that have no symbols, and the names of the others."""
    if sides:
        raise UsageError("sizes are given to single networks, not to all of a folder", "name the network")
    cases = list(_fitting(every, given, choices))
    left_out = [f"{case.report.name} (sizes without a value)" for case in cases if _has_symbols(case.report)]
    return [case for case in cases if not _has_symbols(case.report)], left_out


def _fitting(every: Iterable[Architecture], given: Mapping[str, Given], choices: _Choices) -> Iterator[_Case]:
    """Every architecture, each with those of the values that it has hparams for."""
    used: set[str] = set()
    for architecture in every:
        spec = architecture.spec
        known = {name: value for name, value in given.items() if name in spec.hparams or is_override(name)}
        fitting = heeded(spec, architecture.variant, known)
        used.update(fitting)
        yield choices.case(architecture, fitting)
    if unknown := given.keys() - used:
        what = "a layer for" if is_override(min(unknown)) else "an hparam"
        raise UsageError(f"no spec has {what} '{min(unknown)}'")


def _has_symbols(report: Report) -> bool:
    return any(is_symbolic(size) for node in report.graph.nodes for size in node.shape.values())


@renewed()
def _verified(case: _Case, device: str, progress: Progress) -> Verification:
    found = case.described(_ran(case.report, device, progress))
    if case.origin is not None:
        found = replace(found, checks=(*found.checks, *_origin_checks(case.report, *case.origin)))
    progress.end(found)
    return found


def _origin_checks(report: Report, origin: Any, inputs: tuple[str, ...]) -> Iterator[Check]:
    """What an imported network has in common with the code or the file that it's from."""
    if isinstance(origin, Path):
        from archcalc.pytorch.original_file import file_checks

        return file_checks(report, origin, inputs)
    from archcalc.pytorch.original import original_checks

    return original_checks(report, origin, inputs)


def _ran(report: Report, device: str, progress: Progress) -> Verification:
    from archcalc.pytorch.source.writer import torch_program
    from archcalc.pytorch.verification import verify as run

    return run(report, device, lambda: progress.layer(report.name), torch_program)


def net_table(verification: Verification, quiet: bool = False) -> Table:
    """One net: its checks, and below what differs; or, `quiet`, this alone."""
    notes = list(_remarks(verification))
    if quiet:
        return Table(notes=notes if verification.differences else ())
    where = f"PyTorch {verification.torch} on {verification.device}" if verification.torch else verification.device
    title = f"{where}, {verification.dtype}, batch {verification.batch}"
    return Table(CHECKS, lambda: map(_check_row, verification.checks), verification.name, title, notes=notes)


def _values(name: str, check: Check) -> list[Any]:
    numbers = ("" if value is None else value for value in (check.predicted, check.found))
    return [name, check.quantity, check.layers, *numbers, check.verdict]


def _check_row(check: Check) -> tuple[str, ...]:
    """One check as a line of the table."""
    layers = f"{check.layers:,}" if check.layers > 1 else ""
    return (check.quantity, layers, _number(check.predicted), _number(check.found), check.verdict)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def _remarks(verification: Verification) -> Iterator[str]:
    """What stands below a net's table: what was not executed, and every layer that differs, with both values."""
    if verification.not_executed:
        yield verification.not_executed
    for check in verification.checks:
        yield from (f"{verification.name}: {difference}" for difference in check.differences[:SHOWN])
        if len(check.differences) > SHOWN:
            yield f"{verification.name}: … and {len(check.differences) - SHOWN} more layers differ in {check.quantity}"


def _net_row(verification: Verification) -> tuple[str, ...]:
    """One net as a line of the summary."""
    compared = sum(check.compared for check in verification.checks)
    verdict = "differs" if verification.differences else "equal"
    if verification.not_executed:
        verdict += ", not executed"
    return (verification.name, verification.device, str(compared), str(len(verification.differences)), verdict)


def _summary(verifications: Sequence[Verification], skipped: Sequence[str]) -> str:
    """All nets in one sentence."""
    checks = sum(check.compared for found in verifications for check in found.checks)
    differing = sum(bool(check.differences) for found in verifications for check in found.checks)
    parts = [f"{len(verifications)} net{'' if len(verifications) == 1 else 's'}, {checks} checks: {differing} differ"]
    not_run = [found.name for found in verifications if found.not_executed]
    if not_run:
        parts.append(f"not executed: {', '.join(not_run)}")
    if skipped:
        parts.append(f"left out: {', '.join(skipped)}")
    return "; ".join(parts)


def _record(verification: Verification) -> dict[str, Any]:
    """One net for `--format json`."""
    return {
        "name": verification.name,
        "device": verification.device,
        "torch": verification.torch or None,
        "not_executed": verification.not_executed or None,
        "checks": [
            {
                "check": check.quantity,
                "layers": check.layers,
                "archcalc": check.predicted,
                "pytorch": check.found,
                "verdict": check.verdict,
                "differences": [
                    {"layer": d.layer, "archcalc": d.predicted, "pytorch": d.found} for d in check.differences
                ],
            }
            for check in verification.checks
        ],
    }
