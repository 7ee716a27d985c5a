"""A layer applied to shapes, and a node: that, at one place in a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from archcalc.errors import Mark
from archcalc.layers import Layer
from archcalc.shape import Shape
from archcalc.symbolic import Dim
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

    __slots__ = ("_hash", "_memo", "copies", "entering", "input_shapes", "layer", "output_shape", "remarks")

    size = 1
    """Layers in it, as in a composite's."""

    def __init__(self, layer: Layer, input_shapes: tuple[Shape, ...], output_shape: Shape, copies: Dim = 1) -> None:
        self.layer, self.input_shapes, self.output_shape = layer, input_shapes, output_shape
        self.copies = copies
        """How many sets of its parameters and buffers it holds: 0 where those of another layer are used again."""
        self.entering = len(input_shapes)
        """How many volumes it reads."""
        self.remarks = tuple(layer.remarks(*input_shapes))
        self._hash = hash((layer, input_shapes, output_shape, copies))
        self._memo: dict[Callable[..., Any], Any] = {}

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Application) and self.__reduce__() == other.__reduce__())

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return Application, (self.layer, self.input_shapes, self.output_shape, self.copies)

    def __repr__(self) -> str:
        volumes = " and ".join(shape.text() for shape in self.input_shapes)
        copies = "" if self.copies == 1 else f", {self.copies} copies"
        return f"Application({self.layer}: {f'{volumes} -> ' if volumes else ''}{self.output_shape.text()}{copies})"

    @property
    def text(self) -> str:
        """The layer as a spec would write it for these shapes: `conv 64 3x3 s=2`."""
        return self.layer.text(len(self.input_shapes[0].spatial) if self.input_shapes else 1)

    def held(self, quantity: str) -> Dim:
        """What it has of `params` or a part of these, or of `buffers`: as many sets as there are copies."""
        return self.copies * getattr(self.layer, quantity)(*self.input_shapes)  # type: ignore[no-any-return]

    def once(self, formula: Callable[[Application], T]) -> T:
        """The value of `formula` on this application, computed at most once."""
        if formula not in self._memo:
            spend(FORMULA, "working out so many different layers")
            self._memo[formula] = formula(self)
        return self._memo[formula]  # type: ignore[no-any-return]


class Node(NamedTuple):
    """One layer at one place in the graph.

    A tuple, since there are up to half a million, and frozen dataclasses take three times as long to make.
    `inputs` are indices of earlier nodes, the main input first. `tied` is the node whose weight matrix this one has
    (`tie`), or, in a call of a module after the first, the node whose parameters and buffers it uses again: `reuses`.
    """

    name: str
    application: Application
    inputs: tuple[int, ...]
    mark: Mark | None = None
    tied: int | None = None

    @property
    def reuses(self) -> bool:
        """Whether it holds nothing: all parameters and buffers are those of `tied`."""
        return bool(self.application.copies == 0)

    @property
    def tied_by(self) -> str:
        """What files call `tied`: `tied`, or `shares` where it's all parameters and buffers."""
        return "shares" if self.reuses else "tied"

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
