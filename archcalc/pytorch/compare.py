"""What archcalc predicts against what PyTorch found: one check for each quantity, over all layers. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archcalc.report import Report, Row
from archcalc.symbolic import known


@dataclass(frozen=True, slots=True)
class Measured:
    """What PyTorch found about one layer: the shape with its batch, counts, and the values of new memory.

    `saved` are the bytes that autograd keeps because of it, `least` those of all volumes that are
    alive while it's computed.
    """

    shape: tuple[int, ...]
    params: int
    buffers: int
    flops: int
    activations: int
    saved: int = 0
    least: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """A layer on which archcalc and PyTorch disagree, and both values."""

    layer: str
    quantity: str
    predicted: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.layer}: {self.quantity} is {self.found} in PyTorch, {self.predicted} in archcalc"


@dataclass(frozen=True, slots=True)
class Check:
    """One quantity of one net: totals where they mean something, and the layers that differ.

    `verdict` is `equal`, `differs`, or, where nothing was compared, the reason in words.
    """

    quantity: str
    layers: int
    predicted: Any = None
    found: Any = None
    differences: tuple[Difference, ...] = ()
    note: str = ""

    @property
    def verdict(self) -> str:
        """What came of it."""
        return "differs" if self.differences else self.note or "equal"

    @property
    def compared(self) -> bool:
        """Whether something was compared."""
        return self.layers > 0


@dataclass(frozen=True)
class Verification:
    """All checks of one network; `not_executed` says what was not run and why, `torch` what it was compared with."""

    name: str
    device: str
    checks: tuple[Check, ...]
    not_executed: str = ""
    torch: str = ""
    figures: Mapping[str, Any] | None = None
    """Bytes and times of a CUDA device, as `cuda.figures` measures them."""
    dtype: str = "float32"
    batch: int = 1
    hparams: Mapping[str, str] = field(default_factory=dict)
    """The values that were given, as texts in the spec language."""

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Every disagreement, in the order of the checks."""
        return tuple(difference for check in self.checks for difference in check.differences)


QUANTITIES = ("output shape", "params", "buffers", "MACs", "activations", "saved bytes", "least bytes")
"""What is compared for every layer of every net."""
OUTSIDE = ("output shape", "params", "buffers")
"""What is known, and compared, of opaque layers, too; in other numbers they have no share."""


_TOTALS: Mapping[str, Callable[..., Any]] = {"output shape": lambda _: None, "least bytes": max}


def compare(report: Report, measured: Sequence[Measured]) -> list[Check]:
    """One check for each of `QUANTITIES`, over all nodes; the counts are those of the report's batch."""
    pairs = list(zip((_predicted(row) for row in report.rows), measured, strict=True))
    names = [node.name for node in report.graph.nodes]
    hidden = [node.layer.is_opaque for node in report.graph.nodes]
    checks = []
    for quantity in QUANTITIES:
        values = [(_value(predicted, quantity), _value(found, quantity)) for predicted, found in pairs]
        if quantity not in OUTSIDE:
            values = [(pair[1],) * 2 if opaque else pair for pair, opaque in zip(values, hidden, strict=True)]
        differences = [
            Difference(name, quantity, *map(_shown, pair))
            for name, pair in zip(names, values, strict=True)
            if pair[0] != pair[1]
        ]
        predicted, found = zip(*values, strict=True)
        total = _TOTALS.get(quantity, sum)
        compared = len(pairs) - (0 if quantity in OUTSIDE else sum(hidden))
        checks.append(Check(quantity, compared, total(predicted), total(found), tuple(differences)))
    return checks


def _predicted(row: Row) -> Measured:
    shape = tuple(map(known, (row.report.batch, *row.node.shape.values())))
    saved = row["saved_bytes"] or 0  # integers, of which nothing is saved, have no such number
    counts = (row["params"], row["buffers"], row["flops"], row["activations"], saved, row["least_bytes"])
    return Measured(shape, *map(known, counts))


def _value(measured: Measured, quantity: str) -> Any:
    if quantity == "output shape":
        return measured.shape
    if quantity == "MACs":
        return measured.flops // 2 if measured.flops % 2 == 0 else measured.flops / 2
    return getattr(measured, quantity.removesuffix(" bytes"))


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else f"{value:,}"


def outcome(quantity: str, failures: Iterable[Difference], note: str) -> Check:
    """A check that either holds, as `note` says, or names what failed."""
    return Check(quantity, 1, differences=tuple(failures), note=note)
