"""What a table shows: its rows, in order, and the text of every cell. The renderers only lay it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archcalc.errors import UsageError, suggestion
from archcalc.graph import Application
from archcalc.layers.reshape import View
from archcalc.render.figures import exact
from archcalc.render.rows import Entry, applications, entries
from archcalc.report import COLUMNS, PLACED, Report
from archcalc.symbolic import is_symbolic
from archcalc.text import line

if TYPE_CHECKING:
    from archcalc.claims import Verdict

DEFAULT = ("name", "layer", "output_shape", "activations", "params", "macs")
TEXTS = ("name", "kind", "layer", "output_shape")
FIELDS = {"receptive_field": "size", "effective_stride": "stride", "effective_padding": "padding"}
KNOWN = (*TEXTS, *COLUMNS, *FIELDS)
TOTALS_ONLY = ("peak_bytes", "least_bytes", "depth")
LEFT = ("name", "kind", "layer")
"""The columns that are aligned on the left."""

LONGEST_TOTAL = 30
TOLD_BELOW = ("params", "weights", "biases", "macs", "flops", "activations", "activation_bytes", "saved_bytes")

PER_NETWORK = ("neurons", "connections")
"""The columns that grow with a batch in no paper, though others of their kind do."""

_LABELS = {"output_shape": "output", "macs": "MACs", "flops": "FLOPs", "activation_bytes": "bytes"}


@dataclass(frozen=True)
class Listing:
    """A choice of rows and columns of a report, and the published figures to show below.

    `every` gives each layer its own row, `depth` each scope; `bias` is false for params without biases.
    """

    report: Report
    columns: tuple[str, ...] = DEFAULT
    every: bool = False
    depth: int = 0
    sort: str = ""
    bias: bool = True
    verdicts: tuple[Verdict, ...] = ()
    _known: dict[tuple[Application, ...], dict[str, str]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for column in self.columns:
            if column in TOTALS_ONLY:
                raise UsageError(f"'{column}' is a total, no column", "it stands below the table, and in --format json")
            if column not in KNOWN:
                raise UsageError(f"unknown column '{column}'", suggestion(column, KNOWN))
        if len(set(self.columns)) < len(self.columns):
            raise UsageError("a column can be shown once only")
        if self.sort and self.sort not in COLUMNS:
            raise UsageError(f"can't sort by '{self.sort}'", suggestion(self.sort, COLUMNS))
        if self.every and self.depth:
            raise UsageError("a row for every layer, or one for each scope: not both")

    def label(self, column: str) -> str:
        """A column's heading."""
        if column == "params" and not self.bias:
            return "params (weights only)"
        if column in PER_NETWORK and self.report.batch != 1:
            return f"{column} per example"  # beside columns that are for the whole batch
        return _LABELS.get(column, column.replace("_", " "))

    def entries(self) -> Iterator[Entry]:
        """The rows, in the order of the graph, or from the largest value of the `sort` column to the least."""
        rows = entries(self.report.graph, self.every, self.depth)
        if not self.sort:
            return rows
        values = {entry: self.value(entry, self.sort) for entry in rows}
        if any(map(is_symbolic, values.values())):
            raise UsageError(
                f"can't sort by '{self.sort}': it has symbolic values", "give the symbols values with --set"
            )
        return iter(sorted(values, key=values.__getitem__, reverse=True))

    @cached_property
    def longest_name(self) -> int:
        """How wide the name column must be."""
        return max(len(entry.name) for entry in entries(self.report.graph, self.every, self.depth))

    def value(self, entry: Entry, column: str) -> Any:
        """A row's value in a column that can be added up."""
        if column in PLACED:
            return sum(self.report.row(index)[column] for index in entry.nodes)
        return self._sum(applications(self.report.graph, entry), column)

    def _sum(self, found: tuple[Application, ...], column: str) -> Any:
        if column == "params" and not self.bias:
            column = "weights"
        total: Any = 0
        for application in found:
            total = total + self.report.value(application, column)
        return total

    def total(self, column: str) -> Any:
        """A column's sum; None for a column that has none."""
        if column not in COLUMNS:
            return None
        return self.report.totals["weights" if column == "params" and not self.bias else column]

    def totals(self) -> list[str]:
        """The cells of the last row."""
        sums = [self.total(column) for column in self.columns]
        cells = ["" if value is None else exact(value) for value in sums]
        for place, cell in enumerate(cells):
            if len(cell) > LONGEST_TOTAL and self.columns[place] in TOLD_BELOW:
                cells[place] = "below"  # an expression that would make its column wider
        if self.columns[0] in TEXTS:
            cells[0] = "total"
        return cells

    def cells(self, entry: Entry) -> list[str]:
        """The texts of one row. What doesn't depend on the place in the graph is written once for equal rows."""
        shared = self.shared(entry)
        return [shared[column] if column in shared else self._placed(entry, column) for column in self.columns]

    def shared(self, entry: Entry) -> dict[str, str]:
        """The cells that equal layers on equal shapes have in common, by column."""
        found = applications(self.report.graph, entry)
        if found not in self._known:
            placed = ("name", *PLACED, *FIELDS, *(TEXTS if self.depth else ()))
            self._known[found] = {column: self._text(found, column) for column in self.columns if column not in placed}
        return self._known[found]

    def _text(self, found: tuple[Application, ...], column: str) -> str:
        """A cell of a row whose first layer makes the volume."""
        if column == "kind":
            return found[0].layer.kind
        if column == "layer":
            return layers_text(found)
        if column == "output_shape":
            return self.report.text(found[0].output_shape)
        return exact(self._sum(found, column))

    def _placed(self, entry: Entry, column: str) -> str:
        """A cell that depends on where in the graph the row is."""
        report = self.report
        if column == "name":
            return line(entry.name)
        if column == "output_shape":
            return report.text(report.graph.nodes[entry.output].shape)
        if column in PLACED:
            return exact(self.value(entry, column))
        if column in FIELDS:
            sizes = _unless_equal(self.field(entry, column))
            return "x".join("" if size is None else str(size) for size in sizes)
        found = applications(report.graph, entry)
        makers = [application for application in found if not application.layer.in_place]
        if len(makers) > 1:
            kinds = Counter(application.layer.kind for application in makers)
            return "scope" if column == "kind" else ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return (makers or found)[0].layer.kind if column == "kind" else layers_text(found)

    def field(self, entry: Entry, column: str) -> list[Any]:
        """A row's receptive field, stride or padding, per input axis in the spec's order."""
        report = self.report
        fields = report.ordered(report.receptive_fields[entry.output])
        return [getattr(axis, FIELDS[column]) for axis in fields.values()]


def layers_text(found: tuple[Application, ...]) -> str:
    """Layers as a spec would write them: `conv 64 3x3 + relu`."""
    told = [found[0], *(at for at in found[1:] if not _does_nothing(at))]
    return " + ".join(at.layer.text(len(at.input_shapes[0].spatial) if at.input_shapes else 1) for at in told)


def _does_nothing(at: Application) -> bool:
    """Whether a layer is a view that changes nothing, such as `flatten` of a vector."""
    return isinstance(at.layer, View) and at.output_shape == at.input_shapes[0]


def _unless_equal(values: list[Any]) -> list[Any]:
    return values[:1] if all(value == values[0] for value in values) else values
