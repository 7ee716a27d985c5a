"""What a network takes while it's trained or run: every byte with a name, at the moment of the most; and what fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from archcalc.analyses.memory import INDEX_BYTES, volume_bytes
from archcalc.analyses.peak import held_bytes
from archcalc.analyses.training import held, peak
from archcalc.errors import UsageError, suggestion
from archcalc.expand import Given, Sizes
from archcalc.quantities import BYTES
from archcalc.questions.budgets import budget
from archcalc.questions.networks import Network, report_of
from archcalc.report import Report
from archcalc.symbolic import Dim, is_symbolic, known
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document
from archcalc.tables.numbers import memory as readable
from archcalc.tables.numbers import percent

PHASES = ("train", "eval")
MOST_EXAMPLES = 1 << 40
"""Larger batches aren't looked for."""


@dataclass(frozen=True)
class Optimizer:
    """Numbers for each parameter: what it keeps between steps, and what a step needs for a while."""

    kept: int
    working: int


OPTIMIZERS = {
    "none": Optimizer(0, 0),
    "sgd": Optimizer(0, 0),
    "momentum": Optimizer(1, 0),
    "adagrad": Optimizer(1, 2),
    "rmsprop": Optimizer(1, 1),
    "adam": Optimizer(2, 1),
    "adamw": Optimizer(2, 1),
}
"""Those of torch.optim as they run on a GPU, over all parameters at once; without decay that's part of a gradient."""


@dataclass(frozen=True)
class Part:
    """So many bytes of what."""

    name: str
    bytes: int


@dataclass(frozen=True, repr=False)
class Memory(Answer):
    """The bytes of one step at its peak, largest part first; iterating gives the parts.

    `layer` runs at the peak, in the backward pass if `is_backward`. `most`, `fits` and `largest_batch` are about the
    budget, if one was given: its bytes, whether it's kept, and the most examples with which it is.
    """

    name: str
    batch: int
    dtype: str
    phase: str
    optimizer: str
    parts: tuple[Part, ...]
    layer: str
    is_backward: bool
    most: int | None = None
    largest_batch: int | None = None

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(part.bytes for part in self.parts)

    @property
    def fits(self) -> bool | None:
        """Whether all bytes are within the budget; None without one."""
        return None if self.most is None else self.total <= self.most

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, name: str) -> int:
        """The bytes of a part, 0 if there is none of it."""
        return next((part.bytes for part in self.parts if part.name == name), 0)

    def table(self) -> Table:
        """A row for each part, and their sum."""
        columns = [Column("part", Kind.NAME), Column("bytes"), Column("size", Kind.SIZES), Column("share", Kind.SHARE)]
        shares = [Fraction(part.bytes, self.total or 1) for part in self.parts]
        rows = [
            [part.name, f"{part.bytes:,}", readable(part.bytes), percent(share)]
            for part, share in zip(self, shares, strict=True)
        ]
        return Table(
            columns,
            lambda: rows,
            self.name,
            self._title(),
            total=lambda: ["total", f"{self.total:,}", readable(self.total), ""],
            facts=self._facts,
            keys=("part", "bytes", "share"),
            values=lambda: [[part.name, part.bytes, float(share)] for part, share in zip(self, shares, strict=True)],
            json=lambda: document(self._document()),
        )

    def _title(self) -> str:
        what = f"a training step with {self.optimizer}" if self.phase == "train" else "a forward pass without gradients"
        return f"{what}, batch {self.batch:,}, {self.dtype}"

    def _facts(self) -> Iterator[tuple[str, str]]:
        backward = "backward at " if self.is_backward else ""
        yield "peak", f"{backward}{self.layer}" if self.layer else "the optimizer's step"
        if self.most is not None:
            margin = self.most - self.total
            verdict = f"yes, {readable(margin)} are left" if margin >= 0 else f"no, by {readable(-margin)}"
            yield f"fits {readable(self.most)}", verdict
            yield "largest batch", f"{self.largest_batch:,}" if self.largest_batch else "none"

    def _document(self) -> dict[str, object]:
        found: dict[str, object] = {
            "name": self.name, "batch": self.batch, "dtype": self.dtype, "phase": self.phase,
            "optimizer": self.optimizer, "total": self.total, "layer": self.layer, "is_backward": self.is_backward,
            "parts": {part.name: part.bytes for part in self.parts},
        }  # fmt: skip
        if self.most is not None:
            found |= {"budget": self.most, "fits": self.fits, "largest_batch": self.largest_batch}
        return found


def memory(
    network: Network,
    batch: Dim = 1,
    dtype: str = "float32",
    *,
    phase: str = "train",
    optimizer: str = "adamw",
    fits: int | str | None = None,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
) -> Memory:
    """What one step takes at its peak, byte by byte: training (`phase="train"`) or a pass without gradients ("eval").

    All values have the dtype: it's no mixed precision. `fits` is a budget, "16GB", for which the largest batch is
    looked for. Of training, the peak is that of a forward and a backward pass of the exported program in PyTorch's
    order, with a loss that keeps nothing, or of the optimiser's step. What kernels need as scratch, and an allocator
    rounds up, comes on top.

    Raises: UsageError: there is no such phase, optimiser or dtype, a size is open, or what a layer holds during its
    backward pass isn't modelled. SpecError: the spec is wrong.

    >>> import archcalc
    >>> found = archcalc.memory("resnet18", batch=32)
    >>> found.total, found["optimizer state"], found.layer
    (872929832, 93516096, 'conv5/1/body/conv')
    """
    for name, given, known_names in (("phase", phase, PHASES), ("optimizer", optimizer, OPTIMIZERS)):
        if given not in known_names:
            raise UsageError(f"unknown {name} '{given}'", suggestion(str(given), known_names))
    report = report_of(network, hparams, sizes, (), batch, dtype)
    graph, count = report.graph, report.batch
    if graph.is_open or is_symbolic(count):
        raise UsageError("memory is calculated for numbers", "give every size a number")
    most = None if fits is None else budget("fits", fits, in_bytes=True)[1]
    parts, layer, is_backward = _parts(report, phase, OPTIMIZERS[optimizer])
    largest = None if most is None else _largest(report, phase, OPTIMIZERS[optimizer], most)
    optimizer = optimizer if phase == "train" else "none"
    return Memory(graph.name, known(count), report.dtype, phase, optimizer, parts, layer, is_backward, most, largest)


def _parts(report: Report, phase: str, optimizer: Optimizer) -> tuple[tuple[Part, ...], str, bool]:
    """The parts, largest first, and at which layer the peak is."""
    found, weights = _stored(report), _stored(report)["weights"]
    if phase == "eval":
        inputs, volumes = sum(known(size) for size in _inputs(report)), known(report.total("peak_bytes"))
        parts, layer, is_backward = {"inputs": inputs, "volumes": volumes - inputs}, _busiest(report), False
    else:
        step, working = held(report.graph, known(report.batch), report.dtype), optimizer.working * weights
        found["optimizer state"] = optimizer.kept * weights
        if working and sum(step.after.values()) + working > step.most:
            parts, layer, is_backward = {**step.after, "optimizer's working": working}, "", False
        else:
            top = peak(report.graph, known(report.batch), report.dtype, step)
            parts, layer, is_backward = dict(top.parts), top.layer, top.is_backward
    sized = [Part(name, size) for name, size in (found | parts).items() if size]
    return tuple(sorted(sized, key=lambda part: -part.bytes)), layer, is_backward


def _stored(report: Report) -> dict[str, int]:
    """The bytes of weights, and of buffers with counters."""
    width = BYTES[report.dtype]
    weights, buffers = (known(report.total(name)) * width for name in ("params", "buffers"))
    counters = sum(known(node.application.copies) * node.layer.counters for node in report.graph.nodes)
    return {"weights": weights, "buffers": buffers + counters * INDEX_BYTES}


def _total(report: Report, phase: str, optimizer: Optimizer) -> int:
    """The sum of all parts."""
    stored = _stored(report)
    if phase == "eval":
        return sum(stored.values()) + known(report.total("peak_bytes"))
    step = held(report.graph, known(report.batch), report.dtype)
    working = optimizer.working * stored["weights"]
    most = max(step.most, sum(step.after.values()) + working if working else 0)
    return sum(stored.values()) + optimizer.kept * stored["weights"] + most


def _inputs(report: Report) -> Iterator[Dim]:
    """The bytes of each input."""
    sizes = volume_bytes(report.graph, report.batch, report.dtype)
    return (sizes[index] for index in range(len(report.graph.inputs)))


def _busiest(report: Report) -> str:
    """The first layer at which a forward pass holds most."""
    moments = [max(map(known, each)) for each in held_bytes(report.graph, report.batch, report.dtype)]
    return report.graph.nodes[moments.index(max(moments))].name


def _largest(report: Report, phase: str, optimizer: Optimizer, most: int) -> int:
    """The most examples that fit, 0 if not even one does: a larger batch never takes less."""

    def fits(batch: int) -> bool:
        return _total(Report(report.graph, batch, report.dtype), phase, optimizer) <= most

    if not fits(1):
        return 0
    least, beyond = 1, 2
    while beyond < MOST_EXAMPLES and fits(beyond):
        least, beyond = beyond, 2 * beyond
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (middle, beyond) if fits(middle) else (least, middle)
    return least
