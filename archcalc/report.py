"""analyze(graph) → Report: a row for each layer, a column for each analysis, and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

from archcalc.analyses import ANALYSES
from archcalc.analyses.cost import depth
from archcalc.analyses.least import largest, least_bytes
from archcalc.analyses.memory import BYTES
from archcalc.analyses.peak import held_bytes
from archcalc.analyses.saved import saved_bytes
from archcalc.errors import UnknownNameError, UsageError, suggestion
from archcalc.graph import Application, Graph, Node
from archcalc.shape import Shape
from archcalc.symbolic import exact
from archcalc.zoo import Architecture, load

if TYPE_CHECKING:
    from archcalc.analyses.receptive_field import Fields

SHARED = (*ANALYSES, "activation_bytes")
"""The columns that equal layers on equal shapes have in common."""
PLACED = ("saved_bytes",)
"""The columns that depend on the layer's place in the graph."""
COLUMNS = (*SHARED, *PLACED)
"""The columns that can be added up."""
LARGEST = ("peak_bytes", "least_bytes")
"""The columns of which the largest value counts."""
IDENTITY = ("name", "kind", "output_shape")
"""What a row is about."""


class Row(Mapping[str, Any]):
    """One layer and its values: `row["macs"]`; as a mapping, its name, kind, output shape and all columns."""

    __slots__ = ("index", "report")

    def __init__(self, report: Report, index: int) -> None:
        self.report, self.index = report, index

    @property
    def node(self) -> Node:
        """The layer's node."""
        return self.report.graph.nodes[self.index]

    @property
    def inputs(self) -> list[Node]:
        """The nodes that it reads."""
        return [self.report.graph.nodes[i] for i in self.node.inputs]

    def __getitem__(self, column: str) -> Any:
        if column in PLACED:
            return self.report.saved[self.index]
        if column in IDENTITY:
            return {"name": self.node.name, "kind": self.node.kind, "output_shape": self.node.shape}[column]
        return self.report.value(self.node.application, column)

    def __iter__(self) -> Iterator[str]:
        return iter((*IDENTITY, *COLUMNS))

    def __len__(self) -> int:
        return len(IDENTITY) + len(COLUMNS)

    def __repr__(self) -> str:
        return f"Row({self.node.name!r}: {self.node.layer} -> {self.report.text(self.node.shape)})"

    @property
    def fields(self) -> Fields:
        """Its receptive field, per input axis."""
        return self.report.receptive_fields[self.index]


@dataclass(frozen=True)
class Report:
    """Everything that is known about a graph, computed when it's asked for."""

    graph: Graph
    batch: Any = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not isinstance(self.graph, Graph):
            raise UsageError(
                f"a report is about a Graph, not {type(self.graph).__name__}",
                "archcalc.load('vgg16').build() makes one",
            )
        if self.dtype not in BYTES:
            raise UsageError(f"unknown dtype '{self.dtype}'", suggestion(str(self.dtype), BYTES))
        object.__setattr__(self, "batch", exact(self.batch, "the batch", least=1))

    @property
    def name(self) -> str:
        """The graph's name."""
        return self.graph.name

    @property
    def rows(self) -> Iterator[Row]:
        """One row for each node, the input first."""
        return map(self.row, range(len(self.graph.nodes)))

    def row(self, index: int) -> Row:
        """The row of the node with this index."""
        return Row(self, index)

    def __getitem__(self, path: str) -> Row:
        """The row of the layer that a name stands for.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        return self.row(self.graph.place(path))

    def value(self, application: Application, column: str) -> Any:
        """A layer's value in one of the `SHARED` columns.

        Raises: UnknownNameError: there is no such column.
        """
        if column == "activation_bytes":
            return self.value(application, "activations") * BYTES[self.dtype]
        if column not in ANALYSES:
            raise UnknownNameError(f"no column is called '{column}'", suggestion(str(column), (*COLUMNS, *LARGEST)))
        analysis = ANALYSES[column]
        value = application.once(analysis.formula)
        return value * self.batch if analysis.per_example else value

    def total(self, column: str, path: str = "") -> Any:
        """A column's sum over all layers, or over those of one scope; of `LARGEST` the largest value.

        Raises: UnknownNameError: there is no such column, layer or scope.
        """
        if column == "peak_bytes":
            return largest(moment for i in self.graph.indices(path) for moment in self.held[i])
        if column == "least_bytes":
            return largest(self.least[i] for i in self.graph.indices(path))
        if column in PLACED:
            counts = Counter(self.saved[i] for i in self.graph.indices(path))
            return sum(count * value for value, count in counts.items())  # equal expressions are added once
        if path:
            return self._sum(column, Counter(node.application for node in self.graph.within(path)))
        return self._sum(column, self._applications)

    def _sum(self, column: str, applications: Mapping[Application, int]) -> Any:
        total: Any = 0
        for application, count in applications.items():
            total = total + count * self.value(application, column)
        return total

    @cached_property
    def _applications(self) -> Counter[Application]:
        return Counter(node.application for node in self.graph.nodes)

    @cached_property
    def totals(self) -> dict[str, Any]:
        """The sums of all columns, the largest values of those in `LARGEST`, and the depth."""
        return {**{column: self.total(column) for column in (*COLUMNS, *LARGEST)}, "depth": depth(self.graph)}

    @cached_property
    def saved(self) -> list[Any]:
        """Each node's `saved_bytes`: what autograd keeps because of it for the backward pass."""
        return saved_bytes(self.graph, self.batch, self.dtype)

    @cached_property
    def held(self) -> list[tuple[Any, ...]]:
        """The bytes that the exported program holds while each node runs, at the moments that may be its most."""
        return held_bytes(self.graph, self.batch, self.dtype)

    @cached_property
    def least(self) -> list[Any]:
        """The bytes of the volumes that have to be alive while each node is computed, with no backward pass to come."""
        return least_bytes(self.graph, self.batch, self.dtype)

    @cached_property
    def receptive_fields(self) -> list[Fields]:
        """Each node's receptive field, in the order of the nodes."""
        from archcalc.analyses.receptive_field import receptive_fields  # most tables have no fields

        return receptive_fields(self.graph)

    @cached_property
    def uncounted(self) -> dict[str, str]:
        """The kinds whose arithmetic `macs` leaves out: how many there are, and of what."""
        counts: Counter[str] = Counter()
        reasons: dict[str, str] = {}
        for application, count in self._applications.items():
            if application.layer.uncounted:
                counts[application.layer.kind] += count
                reasons[application.layer.kind] = application.layer.uncounted
        return {kind: f"{count} x {reasons[kind]}" for kind, count in counts.items()}

    def text(self, shape: Shape) -> str:
        """A volume in the spec's order of axes: 55x55x96."""
        return shape.text(self.graph.layout)

    def ordered(self, sizes: Mapping[str, Any]) -> dict[str, Any]:
        """Sizes per axis, in the spec's order."""
        return {axis: sizes[axis] for axis in self.graph.layout if axis in sizes}

    def __repr__(self) -> str:
        from archcalc.render.plain import plain_text

        return plain_text(self)

    def _repr_html_(self) -> str:
        from archcalc.render.html import html_table

        return html_table(self)


def analyze(what: Graph | Architecture | str | PathLike[str], batch: Any = 1, dtype: str = "float32") -> Report:
    """Analyse a graph, or what a name or path means in its default sizes: nothing is computed before it is asked for.

    Raises: UsageError: there is no such name or dtype, or the batch is not a positive integer. SpecError: the spec is
    wrong.

    >>> import archcalc
    >>> archcalc.analyze("vgg16").totals["params"]
    138357544
    """
    if isinstance(what, (str, PathLike)):
        what = load(what)
    return Report(what.build() if isinstance(what, Architecture) else what, batch, dtype)
