"""The nodes built so far and the names they have; here layers meet shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from archcalc.errors import LocalError, Mark, ShapeError, suggestion
from archcalc.expand.scope import Scope
from archcalc.graph import Application, Node
from archcalc.language.arithmetic import Dims
from archcalc.layers import Layer
from archcalc.shape import Shape
from archcalc.symbolic import differ, is_symbolic, modest
from archcalc.symbolic.arithmetic import MAX_BITS
from archcalc.work import spend

LAYERS = "building so many layers"
"""What `spend` says."""
COPIED, ADDED, NEW = 2, 6, 35
"""Steps for a layer that is copied with its block, for one that is added, and more for one on sizes not seen yet."""
Tensor: TypeAlias = "int | None"
"""Index of the node that makes a tensor; None after an error."""


class Reached(Exception):
    """The layer up to which a spec is used has been built."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@dataclass(frozen=True, slots=True)
class Built:
    """What one call of a block built: ranges of nodes, names and changes, to be copied under another name."""

    path: str
    entered: int
    nodes: slice
    names: slice
    changes: slice
    output: int


class Nodes:
    """A graph in the making: nodes are appended, names settle on them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.scopes: dict[str, Tensor] = {}
        self.settled: list[str] = []
        self.changed: list[tuple[int, str, str, str]] = []
        """Arguments given from outside: the node, the argument's name, its value before and after."""
        self.upto = ""
        """The name at which building a used spec ends."""
        self._by_name: dict[str, int] = {}
        self._owners: dict[str, int] = {}
        self._applications: dict[tuple[Any, ...], Application] = {}

    def shape(self, tensor: Tensor) -> Shape | None:
        """A tensor's shape, if it's known."""
        return None if tensor is None else self.nodes[tensor].application.output_shape

    def add(self, layer: Layer, inputs: tuple[int, ...], path: str, mark: Mark | None, tied: int | None = None) -> int:
        """Append a node.

        Raises: ShapeError: the layer can't work on these shapes, or can't share those weights.
        """
        nodes = self.nodes
        shapes = tuple([nodes[i].application.output_shape for i in inputs])
        key = (id(layer), shapes)
        application = self._applications.get(key)
        if application is None:
            spend(NEW, LAYERS)
            application = Application(layer, shapes, _bounded(layer.output_shape(*shapes)))
            if _is_open(layer, shapes):
                layer.kept([True] * len(shapes), *shapes)  # both raise if symbols leave open how the layer works
                layer.working(*shapes)
            self._applications[key] = application
        if tied is not None:
            _check_tie(application, nodes[tied])
        spend(ADDED + len(inputs) // 2, LAYERS, layers=1)
        nodes.append(Node(path, application, inputs, mark, tied))
        return len(nodes) - 1

    def settle(self, path: str, tensor: Tensor) -> Tensor:
        """Let a name stand for a tensor: its layer's, or its scope's output."""
        if path not in self.scopes:
            self.settled.append(path)
        self.scopes[path] = tensor
        return self.reached(path, tensor)

    def reached(self, path: str, tensor: Tensor) -> Tensor:
        """The tensor, unless building ends here."""
        if path == self.upto:
            raise Reached(tensor)
        return tensor

    def find(self, path: str) -> tuple[Tensor] | None:
        """The tensor of a full name, in a tuple; None if nothing is called so."""
        if path in self.scopes:
            return (self.scopes[path],)
        for index in range(len(self._by_name), len(self.nodes)):  # layers that came since the last question
            self._by_name[self.nodes[index].name] = index
        return (self._by_name[path],) if path in self._by_name else None

    def copy(self, built: Built, path: str, entered: int) -> int:
        """Repeat what a block built: the same layers on the same shapes, under another name."""
        first, last = built.nodes.start, built.nodes.stop
        spend(COPIED * (last - first), LAYERS, layers=last - first)
        nodes, cut, shift = self.nodes, len(built.path), len(self.nodes) - first
        for name, application, inputs, mark, tied in nodes[first:last]:
            moved = tuple([i + shift if i >= first else entered for i in inputs])
            nodes.append(Node(path + name[cut:], application, moved, mark, None if tied is None else tied + shift))

        scopes = self.scopes
        names = [path + name[cut:] for name in self.settled[built.names]]
        for name, old in zip(names, self.settled[built.names], strict=True):
            tensor = scopes[old]
            scopes[name] = entered if tensor == built.entered or tensor is None else tensor + shift
        self.settled += names
        self.changed += [(index + shift, *change) for index, *change in self.changed[built.changes]]
        return entered if built.output == built.entered else built.output + shift

    def visible(self, path: str, scope: Scope) -> Iterator[tuple[str, Tensor]]:
        """What `path` can mean in a scope, innermost first, and first what the spec calls so: names and tensors."""
        for full in scope.meanings(path):
            spend(2, "looking for so many names")
            if found := self.find(full):
                yield full, found[0]

    def unknown(self, path: str, scope: Scope) -> LocalError:
        """The error that nothing is called `path`, with what is called nearly so."""
        known = set()
        names = [*self.settled[-2000:], *(node.name for node in self.nodes[-2000:])]
        for ancestor in scope.ancestors():
            prefix = ancestor.child("")
            known |= {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        return LocalError(f"no layer named '{path}' before this point", code="E071", hint=suggestion(path, known))

    def weight_layer(self, reference: str, path: str) -> int:
        """The one layer with weights of its own that a `tie` names, by what its reference stands for.

        Raises: LocalError: there is none, or there are several.
        """
        if path in self._owners:
            return self._owners[path]
        spend(len(self.nodes) // 5, "looking for layers to share weights with")
        found = [
            index
            for index, node in enumerate(self.nodes)
            if (node.name == path or node.name.startswith(path + "/"))
            and node.tied is None
            and node.layer.weight_shape(*node.application.input_shapes)
        ]
        if len(found) != 1:
            told = f"'{reference}'" if reference == path else f"'{reference}', here '{path}',"
            raise LocalError(f"{told} has {len(found)} layers with weights; a tie needs one", code="E073")
        return self._owners.setdefault(path, found[0])


def _is_open(layer: Layer, shapes: Iterable[Shape]) -> bool:
    """Whether a symbol is among a layer's arguments or its inputs' sizes."""
    values = [getattr(layer, name) for name in layer.arguments()]
    values += [size for shape in shapes for size in shape.values()]
    while values:
        value = values.pop()
        if isinstance(value, tuple):
            values += value
        elif is_symbolic(value):
            return True
    return False


def _bounded(shape: Shape) -> Shape:
    """The shape.

    Raises: ShapeError: one of its sizes is beyond what the language can say.
    """
    for axis, size in shape.items():
        if isinstance(size, int) and size.bit_length() > MAX_BITS:
            raise ShapeError(f"{axis} gets more than {MAX_BITS} bits", code="E108")
        modest(size)
    return shape


def _check_tie(application: Application, owner: Node) -> None:
    mine = application.layer.weight_shape(*application.input_shapes)
    theirs = owner.layer.weight_shape(*owner.application.input_shapes)
    if len(mine) != len(theirs) or any(differ(a, b) for a, b in zip(mine, theirs, strict=True)):
        told = f"{Dims(mine)} here, {Dims(theirs)} there"
        raise ShapeError(f"can't share the weights of '{owner.name}': {told}", code="E074")
