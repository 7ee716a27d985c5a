"""The values of a graph: a row for each layer, a column for each analysis, and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from archcalc.analyses import DECIDED, OF_BATCH, OF_LAYER, OF_PLACES, OF_SCOPE
from archcalc.analyses.least import largest
from archcalc.analyses.memory import UNTRAINED
from archcalc.data import dataclass
from archcalc.errors import UsageError, suggestion
from archcalc.graph import Application, Graph, Node
from archcalc.quantities import BYTES, PER_LAYER, QUANTITIES, TOTALLED, Largest, Quantity, Sum, Total, known, names
from archcalc.shape import Shape
from archcalc.symbolic import Dim, exact, is_symbolic

if TYPE_CHECKING:
    from archcalc.analyses.field import Fields
    from archcalc.analyses.receptive_field_laws import OpenFields
    from archcalc.graph.graph import Shortened

T = TypeVar("T")

FEW = 4
"""So many layers' receptive fields are worked out one by one."""
IDENTITY = ("name", "kind", "output_shape")
"""What a row is about."""


def shared() -> tuple[str, ...]:
    """The quantities that equal layers on equal shapes have in common."""
    return tuple(name for name in names(Total.SUM) if name in OF_LAYER or QUANTITIES[name].sum_of)


class Totals(Mapping[str, "Dim | None"]):
    """Every quantity of a whole graph, computed when it's asked for; None for what no network of this dtype has.

    Type checkers know which numbers there always are.
    """

    def __init__(self, report: Values) -> None:
        self._report = report
        self._found: dict[str, Dim | None] = {}

    @overload
    def __getitem__(self, name: Sum | Largest | Literal["depth"], /) -> Dim: ...
    @overload
    def __getitem__(self, name: str, /) -> Dim | None: ...
    def __getitem__(self, name: str, /) -> Dim | None:
        if name not in self._found:
            if name not in names(*TOTALLED):
                raise KeyError(name)
            self._found[name] = self._report.total(name) if self._report.has(name) else None
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(names(*TOTALLED))

    def __len__(self) -> int:
        return len(names(*TOTALLED))

    def __repr__(self) -> str:
        return repr(dict(self))


class Row(Mapping[str, Any]):
    """One layer, or a scope, and its values: `row["macs"]`; as a mapping, its name, kind, shape and all its quantities.

    A scope has what its layers have together, and the volume and the receptive field of its output.
    """

    __slots__ = ("index", "report", "scope")

    def __init__(self, report: Values, index: int, scope: str = "") -> None:
        self.report, self.index, self.scope = report, index, scope

    @property
    def node(self) -> Node:
        """The layer's node; of a scope, the one that makes its output."""
        return self.report.graph.node(self.index)

    @property
    def inputs(self) -> list[Node]:
        """The nodes that it reads."""
        return [self.report.graph.node(i) for i in self.node.inputs]

    @overload
    def __getitem__(self, name: Sum | Largest) -> Dim: ...
    @overload
    def __getitem__(self, name: Literal["saved_bytes"]) -> Dim | None: ...
    @overload
    def __getitem__(self, name: Literal["name", "kind"]) -> str: ...
    @overload
    def __getitem__(self, name: Literal["output_shape"]) -> Shape: ...
    @overload
    def __getitem__(self, name: str) -> Any: ...
    def __getitem__(self, name: str) -> Any:
        if name in IDENTITY:
            kind = "scope" if self.scope else self.node.kind
            return {"name": self.scope or self.node.name, "kind": kind, "output_shape": self.node.shape}[name]
        quantity = known(name, *PER_LAYER)
        if quantity.axis:
            fields = self.report.ordered(self.fields)
            return {axis: getattr(field, quantity.axis) for axis, field in fields.items()}
        if not self.report.has(name):
            return None
        if self.scope:
            return self.report.total(name, self.scope)
        if name in OF_PLACES and not (self.report.graph.is_listed or self.report.graph.is_open):
            return self.report.over_places(name, self.index, self.index + 1)
        return self.report.over(name, (self.index,))

    def __iter__(self) -> Iterator[str]:
        return iter((*IDENTITY, *names(*PER_LAYER)))

    def __len__(self) -> int:
        return len(IDENTITY) + len(names(*PER_LAYER))

    def __repr__(self) -> str:
        layer = f"{self.report.graph.summed(lambda _: 1, self.scope)} layers" if self.scope else self.node.layer
        return f"Row({self['name']!r}: {layer} -> {self.report.text(self.node.shape)})"

    @property
    def fields(self) -> Fields:
        """Its receptive field on the first input, per axis; of others see `Report.fields_on`."""
        return self.report.field_of(self.index)


class Rows(Sequence[Row]):
    """The rows of a report: each is made when it's asked for."""

    def __init__(self, report: Values) -> None:
        self.report = report

    def __len__(self) -> int:
        return len(self.report.graph)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self.report.row(index) for index in range(len(self))[place]]
        return self.report.row(range(len(self))[place])

    def __repr__(self) -> str:
        return f"Rows({self.report.name!r}: {len(self)} layers)"


def _one(quantity: Quantity, values: Iterable[Dim | tuple[Dim, ...]]) -> Dim:
    """One number for several places: their sum, or their largest, of which each may have several moments."""
    if quantity.total is Total.LARGEST:
        return largest(moment for value in values for moment in (value if isinstance(value, tuple) else (value,)))
    counts = Counter(value for value in values if not isinstance(value, tuple))
    return sum(count * value for value, count in counts.items())  # equal expressions are added once


def weighed(values: Iterable[tuple[Dim, Any]]) -> Dim:
    """The sum of values, each so many times; what is there equally often is added up first."""
    found: dict[Dim, Dim] = {}
    for times, value in values:
        found[times] = found.get(times, 0) + value
    return sum(times * value for times, value in found.items())


def expanded(value: Any) -> Any:
    """A formula without brackets around sums; a number as it is."""
    if not is_symbolic(value):
        return value
    import sympy

    return sympy.expand(value)


@dataclass(frozen=True)
class Values:
    """Everything that is known about a graph, computed when it's asked for."""

    graph: Graph
    batch: Dim = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not isinstance(self.graph, Graph):
            raise UsageError(
                f"a report is about a Graph, not {type(self.graph).__name__}",
                "archcalc.load('vgg16').build() makes one",
            )
        if not isinstance(self.dtype, str) or self.dtype not in BYTES:
            raise UsageError(f"unknown dtype '{self.dtype}'", suggestion(str(self.dtype), BYTES))
        object.__setattr__(self, "batch", exact(self.batch, "the batch", least=1))

    @property
    def name(self) -> str:
        """The graph's name."""
        return self.graph.name

    @property
    def rows(self) -> Rows:
        """One row for each node, the input first."""
        return Rows(self)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.graph)

    def row(self, index: int) -> Row:
        """The row of the node with this index."""
        return Row(self, index)

    def __getitem__(self, path: str) -> Row:
        """The row of a layer, or of a scope.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        index = self.graph.place(path)
        return Row(self, index, "" if self.graph.node(index).name == path else path)

    def value(self, application: Application, name: str) -> Dim:
        """A quantity that equal layers on equal shapes have in common.

        Raises: UnknownNameError: there is no such quantity.
        """
        quantity = known(name, Total.SUM)
        if quantity.sum_of:
            total: Dim = 0
            for each in quantity.sum_of:
                total = total + self.value(application, each)
            return total * BYTES[self.dtype]
        value = application.once(OF_LAYER[name])
        if not quantity.per_example or self.batch == 1:
            return value
        once = application.once(OF_BATCH[name]) if name in OF_BATCH else 0
        return (value - once) * self.batch + once

    def has(self, name: str) -> bool:
        """Whether the network has such a quantity at all: integers have no gradients, and not every text can grow."""
        return self._lacking(name) is None

    def _lacking(self, name: str) -> UsageError | None:
        """Why the network has no such quantity, if it hasn't."""
        if QUANTITIES[name].trained and self.dtype in UNTRAINED:
            message = f"{self.dtype} has no gradients: nothing is kept for a backward pass, so there is no {name}"
            return UsageError(message, "--dtype float32, bfloat16 or float16")
        return self._undecodable if QUANTITIES[name].decoded else None

    @cached_property
    def _undecodable(self) -> UsageError | None:
        """Why the network can't be computed token by token, if it can't."""
        from archcalc.analyses.decoding import Undecodable, new_tokens  # few networks are asked

        graph = self.graph.laid_out() if self.graph.is_open else self.graph
        short = graph.shortened()
        try:
            new_tokens(short.graph if short else graph)
        except Undecodable as error:
            return error
        return None

    def check(self, name: str) -> None:
        """See that a quantity can be asked for.

        Raises: UnknownNameError: it isn't known. UsageError: a network of this dtype has no such number.
        """
        known(name, *Total)
        if (error := self._lacking(name)) is not None:
            raise error

    def placed(self, name: str) -> list[Dim] | list[tuple[Dim, ...]]:
        """A quantity that depends on a layer's place in the graph, for each node.

        Of those whose largest counts, each node's may be several: the moments that may be its most.
        Raises: UsageError: a network of this dtype has no such number.
        """
        self.check(name)
        if name not in self._placed:
            graph = self.graph.laid_out() if self.graph.is_open else self.graph
            self._placed[name] = OF_PLACES[name](graph, self.batch, self.dtype)
        return self._placed[name]

    @cached_property
    def _placed(self) -> dict[str, list[Dim] | list[tuple[Dim, ...]]]:
        return {}

    def total(self, name: str, path: str = "") -> Dim:
        """A quantity of the whole graph, or of one scope.

        Raises: UnknownNameError: there is no such quantity, layer or scope. UsageError: none with this dtype.
        """
        known(name, *TOTALLED)
        if name in OF_SCOPE:
            found = OF_SCOPE[name](self.graph, path)
        elif name in OF_PLACES and (place := self.graph.part(path)) is not None:
            found = self.over_places(name, place.start, place.start + place.call.size)
        elif name in OF_PLACES:
            found = self.over(name, self.graph.indices(path))
        else:
            found = self.graph.summed(lambda application: self.value(application, name), path)
            return expanded(found) if self.graph.is_open else found
        if not self.graph.is_open:
            return found
        if path:
            self.total(name)  # fails where there's no formula
            return found
        from archcalc.report.many import proved  # few graphs are open

        return proved(self, name, found)

    def over_places(self, name: str, start: int, end: int) -> Dim:
        """A quantity that depends on places, of the nodes from one to another."""
        times: Sequence[Dim]
        if found := self.by_passes(name, start, end):
            (_, times, _, _), values, inside = found
        elif self.graph.is_open:
            from archcalc.report.many import together  # few graphs are open

            values = self.placed(name)
            return together(self.graph, QUANTITIES[name], ((index, values[index]) for index in range(start, end)))
        else:
            return self.over(name, range(start, end))
        if QUANTITIES[name].total is Total.SUM:
            return weighed((times[index], values[index]) for index in inside)
        return _one(QUANTITIES[name], (values[index] for index in inside))

    def by_passes(self, name: str, start: int, end: int) -> tuple[Shortened, Sequence[Any], range] | None:
        """A graph with few passes of each repeat that has all numbers of this one; those, and where some nodes are."""
        self.check(name)
        edges = tuple([edge for edge in (start, end) if edge < self.graph.tree.body.size])
        if name in self._placed or (short := self.graph.shortened(*edges)) is None:
            return None
        if (name, edges) not in self._steady:
            from archcalc.analyses.repeats import are_steady  # few graphs are long

            values = OF_PLACES[name](short.graph, self.batch, self.dtype)
            steady = are_steady(short, values, DECIDED[name](short.graph))
            self._steady[name, edges] = values if steady else None
        if (found := self._steady[name, edges]) is None:
            return None
        return short, found, range(*(short.wires.get(edge, len(found)) for edge in (start, end)))

    @cached_property
    def _steady(self) -> dict[tuple[str, tuple[int, ...]], Sequence[Any] | None]:
        return {}

    def layer_of_most(self, name: str) -> Node:
        """The first layer at which there's as much of a quantity as anywhere."""
        most = self.totals[name]
        found = self.by_passes(name, 0, self.graph.tree.body.size)
        graph, values = (found[0].graph, found[1]) if found else (self.graph, self.placed(name))
        pairs = zip(graph.nodes, values, strict=True)
        return next(node for node, held in pairs if most in (held if isinstance(held, tuple) else (held,)))

    def over(self, name: str, indices: Iterable[int]) -> Dim:
        """A quantity of several nodes together: the sum, or the largest.

        Raises: UnknownNameError: there is no such quantity. UsageError: none with this dtype.
        """
        quantity = known(name, Total.SUM, Total.LARGEST)
        if name in OF_PLACES:
            values = self.placed(name)
            return _one(quantity, (values[index] for index in indices))
        node = self.graph.node
        return self.summed(name, Counter(node(index).application for index in indices).items())

    def summed(self, name: str, layers: Iterable[tuple[Application, Dim]]) -> Dim:
        """A quantity that equal layers on equal shapes have in common, of layers of which there are so many each."""
        total: Dim = 0
        for application, count in layers:
            total = total + count * self.value(application, name)
        return total

    @cached_property
    def totals(self) -> Totals:
        """Every quantity of the whole graph; None for what a network of this dtype doesn't have."""
        return Totals(self)

    def field_of(self, index: int) -> Fields:
        """One node's receptive field on the first input.

        Few that are asked for follow from few passes of each repeat; of more, all are worked out at once.
        """
        if self.graph.is_open:
            return self.open_fields().of(index)
        if "receptive_fields" in vars(self) or (len(self._single_fields) == FEW and self.graph.is_listed):
            return self.receptive_fields[index]
        if index not in self._single_fields:
            from archcalc.analyses.receptive_field_repeats import receptive_field  # most tables have no fields

            found = receptive_field(self.graph, index)
            self._single_fields[index] = self.receptive_fields[index] if found is None else found
        return self._single_fields[index]

    @cached_property
    def _single_fields(self) -> dict[int, Fields]:
        return {}

    @cached_property
    def receptive_fields(self) -> list[Fields]:
        """Each node's receptive field on the first input, in the order of the nodes."""
        return self.fields_on(self.graph.node(0).name)

    def fields_on(self, path: str) -> list[Fields]:
        """Each node's receptive field on one of the inputs, or on a layer's output; none where it isn't seen.

        Raises: UnknownNameError: there is no such input, layer or scope. NoNumber: some have no closed form.
        """
        from archcalc.analyses.receptive_field import receptive_fields  # most tables have no fields

        source = self.graph.place(path)
        if self.graph.is_open:
            found = self.open_fields(source)
            return list(map(found.of, range(len(found.fields))))
        return receptive_fields(self.graph, source)

    def open_fields(self, source: int = 0) -> OpenFields:
        """The receptive fields on a node where the number of layers is a symbol."""
        if source not in self._open_fields:
            from archcalc.analyses.receptive_field_laws import open_fields  # few graphs are open

            self._open_fields[source] = open_fields(self.graph, source)
        return self._open_fields[source]

    @cached_property
    def _open_fields(self) -> dict[int, OpenFields]:
        return {}

    @cached_property
    def uncounted(self) -> dict[str, str]:
        """The kinds whose arithmetic `macs` leaves out: how many there are, and of what."""
        reasons: dict[str, str] = {}

        def note(application: Application) -> Dim:
            if application.layer.uncounted:
                reasons[application.layer.kind] = application.layer.uncounted
            return 0

        self.graph.summed(note)

        def counted(kind: str) -> Dim:
            return self.graph.summed(lambda application: int(application.layer.kind == kind))

        return {kind: f"{counted(kind)} x {reason}" for kind, reason in reasons.items()}

    def text(self, shape: Shape) -> str:
        """A volume in the spec's order of axes: 55x55x96."""
        return shape.text(self.graph.layout)

    def ordered(self, sizes: Mapping[str, T]) -> dict[str, T]:
        """Sizes per axis, in the spec's order."""
        return {axis: sizes[axis] for axis in self.graph.layout if axis in sizes}
