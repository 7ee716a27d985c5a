"""The layer graph: nodes in topological order, each a layer applied to the volumes of earlier nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from archcalc.errors import Diagnostic, Mark, UnknownNameError, suggestion
from archcalc.layers import Layer
from archcalc.shape import AXES, Shape
from archcalc.symbolic import Condition
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.work import spend

T = TypeVar("T")


FORMULA = 5
"""Steps of work for one formula of one layer."""


class Input(Layer):
    """A graph's input: it has a shape and computes nothing."""

    kind = "input"

    def _values(self) -> tuple[Any, ...]:
        return ()

    def __str__(self) -> str:
        return self.kind


class Application:
    """A layer applied to shapes.

    Equal layers on equal shapes share one, so what depends on nothing else is computed once.
    """

    __slots__ = ("_hash", "_memo", "input_shapes", "layer", "output_shape", "remarks")

    def __init__(self, layer: Layer, input_shapes: tuple[Shape, ...], output_shape: Shape) -> None:
        self.layer, self.input_shapes, self.output_shape = layer, input_shapes, output_shape
        self.remarks = tuple(layer.remarks(*input_shapes))
        self._hash = hash((layer, input_shapes, output_shape))
        self._memo: dict[Callable[..., Any], Any] = {}

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Application) and self.__reduce__() == other.__reduce__())

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return Application, (self.layer, self.input_shapes, self.output_shape)

    def __repr__(self) -> str:
        volumes = " and ".join(shape.text() for shape in self.input_shapes)
        return f"Application({self.layer}: {f'{volumes} -> ' if volumes else ''}{self.output_shape.text()})"

    @property
    def text(self) -> str:
        """The layer as a spec would write it for these shapes: `conv 64 3x3 s=2`."""
        return self.layer.text(len(self.input_shapes[0].spatial) if self.input_shapes else 1)

    def once(self, formula: Callable[[Application], T]) -> T:
        """The value of `formula` on this application, computed at most once."""
        if formula not in self._memo:
            spend(FORMULA, "working out so many different layers")
            self._memo[formula] = formula(self)
        return self._memo[formula]  # type: ignore[no-any-return]


class Node(NamedTuple):
    """One layer at one place in the graph.

    A tuple, since there are up to half a million, and frozen dataclasses take three times as long to make.
    `inputs` are indices of earlier nodes, the main input first; `tied` is the node whose weights this one shares.
    """

    name: str
    application: Application
    inputs: tuple[int, ...]
    mark: Mark | None = None
    tied: int | None = None

    @property
    def layer(self) -> Layer:
        """The layer's kind and arguments."""
        return self.application.layer

    @property
    def kind(self) -> str:
        """The layer's kind, as specs write it."""
        return self.application.layer.kind

    @property
    def shape(self) -> Shape:
        """The output volume."""
        return self.application.output_shape

    def __repr__(self) -> str:
        return f"Node({self.name!r}: {self.layer} -> {self.shape.text()})"


class Change(NamedTuple):
    """An argument of one layer that was given another value than its spec's; both as a spec writes them.

    `before` is empty where the spec's own value has an error on what enters the layer now.
    """

    name: str
    argument: str
    before: str
    after: str


@dataclass(frozen=True)
class Graph(Answer):
    """An architecture with every size in place.

    `scopes` maps the names in the spec to the nodes whose outputs they stand for; `layout` is the order in
    which the spec writes axes; `conditions` are what symbolic sizes must fulfil; `changes` are the arguments of layers
    that were given from outside.
    """

    name: str
    nodes: tuple[Node, ...]
    outputs: Mapping[str, int]
    scopes: Mapping[str, int]
    layout: tuple[str, ...] = AXES
    conditions: tuple[Condition, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    title: str = ""
    citation: str = ""
    changes: tuple[Change, ...] = ()

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Every name, of layers and of scopes, and the node whose output it stands for."""
        return {**{node.name: index for index, node in enumerate(self.nodes)}, **self.scopes}

    @cached_property
    def inputs(self) -> tuple[Node, ...]:
        """The input nodes."""
        return tuple(node for node in self.nodes if not node.inputs)

    @cached_property
    def first_of_several(self) -> str:
        """The name of the first input where there are others, for what is about that one alone; else nothing."""
        return self.nodes[0].name if len(self.inputs) > 1 else ""

    @property
    def input(self) -> Shape:
        """The shape of the first input."""
        return self.nodes[0].shape

    @cached_property
    def _edges(self) -> int:
        return sum(len(node.inputs) for node in self.nodes)

    def spend(self, steps: int, what: str) -> None:
        """Count the work of looking at every layer: `steps` for each, and an eighth of that for each of its inputs.

        Raises: TooMuchWork: the budget is used up.
        """
        spend(steps * len(self.nodes) + steps * self._edges // 8, what)

    def __getitem__(self, path: str) -> Node:
        """The node that a name stands for: a scope's output, or a layer.

        Raises: UnknownNameError: there is neither.
        """
        return self.nodes[self.place(path)]

    def place(self, path: str) -> int:
        """The index of the node that a name stands for.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        if not isinstance(path, str) or path not in self.places:
            raise UnknownNameError(f"{self.name} has no layer '{path!s:.60}'", suggestion(str(path), self.places))
        return self.places[path]

    def __contains__(self, path: str) -> bool:
        return path in self.places

    def __len__(self) -> int:
        return len(self.nodes)

    def within(self, path: str) -> Iterator[Node]:
        """The nodes of a scope; a layer's own name gives that one.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        return (self.nodes[index] for index in self.indices(path))

    def indices(self, path: str = "") -> Iterator[int]:
        """The indices of a scope's nodes; without a path, all.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        if not isinstance(path, str):
            self.place(path)  # fails, and says what there is
        nodes, scope = self.nodes, path + "/"
        if path:
            spend(len(nodes) // 2, "looking for the layers of a scope")
        if path and path not in self.places and not any(node.name.startswith(scope) for node in nodes):
            self.place(path)  # likewise
        return (i for i, node in enumerate(nodes) if not path or node.name == path or node.name.startswith(scope))

    def table(self) -> Table:
        """What a notebook shows: each node, what it reads, and its output volume."""
        return Table(
            [Column("name", Kind.NAME), Column("layer", Kind.LAYERS), Column("inputs", Kind.LAYERS),
             Column("output_shape", Kind.SIZES, "output")],
            lambda: (
                [node.name, node.application.text, ", ".join(self.nodes[i].name for i in node.inputs),
                 node.shape.text(self.layout)]
                for node in self.nodes
            ),
            self.name,
            self.title,
        )  # fmt: skip

    def __repr__(self) -> str:
        inputs = " and ".join(str(node.shape) for node in self.inputs)
        return f"Graph({self.name!r}, {len(self.nodes)} nodes, {inputs} -> {', '.join(self.outputs)})"


def layout_of(*orders: tuple[str, ...]) -> tuple[str, ...]:
    """All axes, with those of the inputs in the order in which the spec writes them.

    >>> layout_of(("H", "W", "C"))
    ('R', 'T', 'H', 'D', 'W', 'C')
    """
    written = dict.fromkeys(axis for order in orders for axis in order)
    next_written = iter(written)
    return tuple(next(next_written) if axis in written else axis for axis in AXES)
