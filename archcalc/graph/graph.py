"""The layer graph: layers applied to the volumes of earlier ones, in the structure that the spec gave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from archcalc.data import dataclass
from archcalc.errors import Diagnostic, UnknownNameError, suggestion
from archcalc.graph.application import Application, Change, Node
from archcalc.graph.composite import Call, counts, is_long, summed, varies
from archcalc.graph.tree import MAX_LAYERS, NoNumber, Place, TooManyLayers, Tree, nodes_like
from archcalc.shape import AXES, Shape
from archcalc.symbolic import Condition, Dim
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.work import spend

if TYPE_CHECKING:
    from archcalc.graph.laid import Laid, Many

T = TypeVar("T")


class Shortened(NamedTuple):
    """A graph with few passes of each repeat, of which one stands for a number of others.

    For each node `times` says how many it stands for. `twins` are the first node of each such pass and of the one after
    it, and for how many passes it stands. `wires` are the nodes of those that were asked for.
    """

    graph: Graph
    times: Sequence[int]
    twins: Sequence[tuple[int, int, int]]
    wires: Mapping[int, int]


@dataclass(frozen=True)
class Graph(Answer):
    """An architecture with every size in place.

    `tree` holds the layers in the structure that the spec gave them; `outputs` are nodes, by name; `layout` is the
    order in which the spec writes axes; `conditions` are what symbolic sizes must fulfil. A node is known by its number
    in the order of computation, in which the flat list `nodes` has them. `changes` are the arguments of layers that
    were given from outside.
    """

    name: str
    tree: Tree
    outputs: Mapping[str, int]
    layout: tuple[str, ...] = AXES
    conditions: tuple[Condition, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    title: str = ""
    citation: str = ""
    changes: tuple[Change, ...] = ()

    @classmethod
    def of(cls, name: str, nodes: Iterable[Node], outputs: Mapping[str, int], scopes: Mapping[str, int]) -> Graph:
        """A graph without structure: a list of nodes, and names in addition to theirs."""
        return cls(name, Tree.of(nodes, scopes), outputs)

    def __eq__(self, other: object) -> bool:
        """Whether all is the same: nodes, names, outputs, conditions … in whatever structure."""
        if not isinstance(other, Graph):
            return NotImplemented
        return self._about() == other._about() and (
            self.tree == other.tree or (not self.is_open and self.nodes == other.nodes and self.scopes == other.scopes)
        )

    __hash__ = None  # type: ignore[assignment]

    def _about(self) -> tuple[object, ...]:
        about = (self.name, self.outputs, self.layout, self.conditions, self.warnings, self.title, self.citation)
        return self.tree.body.size, self.is_open, self.changes, *about

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The flat list of nodes, made when it's first asked for.

        Raises: TooManyLayers: the list would be too long.
        """
        self._check_length()
        return self.tree.nodes()

    def _check_length(self) -> None:
        if self.is_open:
            message = f"{self.name} has no list of layers, since their number is a symbol"
            raise NoNumber(message, "its totals have formulas; give the symbol a value to see layers")
        self._check_size(self.tree.body.size)

    def _check_size(self, layers: int) -> None:
        if layers > MAX_LAYERS:
            raise TooManyLayers(self.name, layers)

    @property
    def is_listed(self) -> bool:
        """Whether its layers can be looked at one by one: their number is one, and not too large."""
        return not self.is_open and self.tree.body.size <= MAX_LAYERS

    @cached_property
    def is_open(self) -> bool:
        """Whether the number of its layers is a symbol."""
        return self.tree.is_open

    def laid_out(self, numbers: Mapping[str, int] | None = None) -> Graph:
        """The layers with these numbers of them, by symbol, or with a few passes each; without names of scopes.

        Sizes stay as they are. See `Repeat`.
        """
        return self._of(self._laid if numbers is None else self._lay(numbers))

    @property
    def times(self) -> Sequence[Many]:
        """For each node that is laid out with a few passes each, the passes that it stands for."""
        return self._laid.times

    @cached_property
    def _laid(self) -> Laid:
        return self._lay(None)

    def _lay(self, numbers: Mapping[str, int] | None) -> Laid:
        from archcalc.graph.laid import Laid, few_of_symbolic, of_numbers  # few graphs are open

        return Laid(
            self.name, self.tree, few_of_symbolic if numbers is None else of_numbers(numbers), self.outputs.values()
        )

    def _of(self, laid: Laid) -> Graph:
        return Graph(self.name, laid.tree, {name: laid.wires[index] for name, index in self.outputs.items()})

    def shortened(self, *seen: int) -> Shortened | None:
        """The graph with few passes of each repeat, and with these nodes; None where there are none to leave out.

        Raises: TooManyLayers: there are too many left.
        """
        if self.is_open or not is_long(self.tree.body):
            return None
        if seen not in self._shortened:
            from archcalc.graph.laid import Laid, few  # few graphs are long

            laid = Laid(self.name, self.tree, few, {*self.outputs.values(), *seen})
            times = [many for many in laid.times if isinstance(many, int)]  # no repeat is open
            self._shortened[seen] = Shortened(self._of(laid), times, laid.twins, laid.wires)
        return self._shortened[seen]

    @cached_property
    def _shortened(self) -> dict[tuple[int, ...], Shortened]:
        return {}

    def once(self, compute: Callable[[Graph], T]) -> T:
        """What a function says of this graph, computed at most once."""
        if compute not in self._memo:
            self._memo[compute] = compute(self)
        return self._memo[compute]  # type: ignore[no-any-return]

    @cached_property
    def _memo(self) -> dict[Callable[[Graph], Any], Any]:
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle holds: what it's made of, and nothing that is worked out."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def varies(self) -> bool:
        """Whether sizes change from pass to pass, and the number of passes is a symbol."""
        return self.is_open and varies(self.tree.body)

    @property
    def number_of_layers(self) -> Dim:
        """How many layers it has, the inputs included; a formula where that is a symbol."""
        return self.summed(lambda _: 1) if self.is_open else self.tree.body.size

    def node(self, index: int) -> Node:
        """One node; the others need not be listed for it."""
        return self.nodes[index] if "nodes" in vars(self) else self.tree.node(index)

    @cached_property
    def scopes(self) -> Mapping[str, int]:
        """The names that the spec gives, and the nodes whose outputs they stand for.

        Raises: TooManyLayers: there are too many.
        """
        self._check_length()
        return self.tree.names()

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Every name, of layers and of scopes, and the node whose output it stands for."""
        return {**{node.name: index for index, node in enumerate(self.nodes)}, **self.scopes}

    @cached_property
    def inputs(self) -> tuple[Node, ...]:
        """The input nodes."""
        items = enumerate(self.tree.body.items)
        return tuple(self.node(self.tree.body.starts[number]) for number, item in items if _is_input(item.call))

    def applications(self, path: str = "") -> Mapping[Application, Dim]:
        """How often each layer on its shapes is in the graph or in one of its scopes, in order.

        Raises: UnknownNameError: there is no such layer or scope. NoNumber: shapes change from pass to pass.
        """
        place = self.part(path)
        if place and self.varies and varies(place.call):
            raise NoNumber(f"{self.name} has other shapes in each pass", "give the symbol a value")
        return counts(place.call) if place else Counter(node.application for node in self.within(path))

    def summed(self, value: Callable[[Application], Dim], path: str = "") -> Dim:
        """What the layers of the graph, or of one of its scopes, have together.

        Raises: UnknownNameError: there is no such layer or scope. NoNumber: it has no closed form.
        """
        place = self.part(path) if self.varies else None
        if not (place and varies(place.call)):
            return sum(count * value(application) for application, count in self.applications(path).items())
        from archcalc.symbolic.sums import tidy

        call = place.call
        return self.in_closed_form("this", lambda: tidy(summed(call, value)))

    def in_closed_form(self, what: str, compute: Callable[[], T]) -> T:
        """What `compute` returns.

        Raises: NoNumber: sizes change from pass to pass, and `what` has no closed form.
        """
        if not self.is_open:
            return compute()
        from archcalc.symbolic.sums import NoSum

        try:
            return compute()
        except NoSum as error:
            message = f"{self.name} has no closed form of {what}: {error}"
            raise NoNumber(message, "give the symbol a value") from None

    def part(self, path: str) -> Place | None:
        """The part of the tree that a scope is; None if it's not one part."""
        return self.tree.part(path) if isinstance(path, str) else None

    @cached_property
    def first_of_several(self) -> str:
        """The name of the first input where there are others, for what is about that one alone; else nothing."""
        return self.node(0).name if len(self.inputs) > 1 else ""

    @property
    def input(self) -> Shape:
        """The shape of the first input."""
        return self.node(0).shape

    @cached_property
    def _edges(self) -> int:
        return int(sum(count * len(each.input_shapes) for each, count in self.applications().items()))  # of numbers

    def spend(self, steps: int, what: str) -> None:
        """Count the work of looking at every layer: `steps` for each, and an eighth of that for each of its inputs.

        Raises: TooMuchWork: the budget is used up. TooManyLayers: there are too many to be looked at one by one.
        """
        self._check_length()
        spend(steps * len(self) + steps * self._edges // 8, what)

    def __getitem__(self, path: str) -> Node:
        """The node that a name stands for: a scope's output, or a layer.

        Raises: UnknownNameError: there is neither.
        """
        return self.node(self.place(path))

    def place(self, path: str) -> int:
        """The index of the node that a name stands for.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        if (found := self.tree.find(path) if isinstance(path, str) else None) is None:
            known = self.places if self.is_listed else ()
            raise UnknownNameError(f"{self.name} has no layer '{path!s:.60}'", suggestion(str(path), known))
        return found

    def __contains__(self, path: str) -> bool:
        return isinstance(path, str) and self.tree.find(path) is not None

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        if self.is_open:
            self._check_length()  # fails
        return self.tree.body.size

    def within(self, path: str) -> Iterator[Node]:
        """The nodes of a scope; a layer's own name gives that one.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        return map(self.node, self.indices(path))

    def indices(self, path: str = "") -> Iterator[int]:
        """The indices of a scope's nodes; without a path, all.

        Raises: UnknownNameError: there is no such layer or scope.
        """
        if not isinstance(path, str):
            self.place(path)  # fails, and says what there is
        if not path:
            return iter(range(self.tree.body.size))
        if place := self.part(path):
            return iter(range(place.start, place.start + place.call.size))
        found: list[int] = []
        if self.is_listed:
            spend(len(self) // 2, "looking for the layers of a scope")
            found = nodes_like(self.nodes, path)
        if not found:
            self.place(path)  # likewise, if there is no such name
        return iter(found)

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

    def _shown(self) -> Table:
        return self.table() if self.is_listed else Table([Column("network", Kind.TEXT)], lambda: [[repr(self)]])

    def __repr__(self) -> str:
        inputs = " and ".join(str(node.shape) for node in self.inputs)
        return f"Graph({self.name!r}, {self.number_of_layers} nodes, {inputs} -> {', '.join(self.outputs)})"


def _is_input(call: Call) -> bool:
    return isinstance(call, Application) and not call.input_shapes


def layout_of(*orders: tuple[str, ...]) -> tuple[str, ...]:
    """All axes, with those of the inputs in the order in which the spec writes them.

    >>> layout_of(("H", "W", "C"))
    ('R', 'T', 'H', 'D', 'W', 'C')
    """
    written = dict.fromkeys(axis for order in orders for axis in order)
    next_written = iter(written)
    return tuple(next(next_written) if axis in written else axis for axis in AXES)
