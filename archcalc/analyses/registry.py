"""Which function computes a quantity: each registers itself under the name of one in `quantities.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from archcalc.graph import Application, Graph
from archcalc.quantities import QUANTITIES
from archcalc.symbolic import Dim

Facts: TypeAlias = "Sequence[Any] | Mapping[int, Any] | Collection[int]"
"""Something about each node, or about some, or the nodes of which it holds. Integers in it are nodes."""
OfLayer = Callable[[Application], Dim]
OfPlaces = Callable[[Graph, Dim, str], "list[Dim] | list[tuple[Dim, ...]]"]
OfScope = Callable[[Graph, str], Dim]
Decided = Callable[[Graph], "Iterable[Facts]"]
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

OF_LAYER: dict[str, OfLayer] = {}
"""What equal layers on equal shapes have in common; for one example."""
OF_BATCH: dict[str, OfLayer] = {}
"""The part of a quantity of examples that a batch has but once, however many examples there are."""
OF_PLACES: dict[str, OfPlaces] = {}
"""What depends on a layer's place in the graph: a number for each node, given the graph, the batch and the dtype. Of
those whose largest counts, the numbers of which a node's may be the largest."""
DECIDED: dict[str, Decided] = {}
"""What these numbers follow from beside the layers and their bytes: see `repeats`."""
OF_SCOPE: dict[str, OfScope] = {}
"""What only a graph has, or a scope of it, given by its path; empty for all of it."""


def of_layer(name: str) -> Callable[[F], F]:
    """Register what computes a quantity of a layer on its shapes."""
    return _into(OF_LAYER, name)


def of_batch(name: str) -> Callable[[F], F]:
    """Register what computes the part of a layer's quantity that a batch has once."""
    return _into(OF_BATCH, name)


def of_places(name: str, decided: Decided) -> Callable[[F], F]:
    """Register what computes a quantity that depends on the layer's place in the graph, and what it decides by."""
    DECIDED[name] = decided
    return _into(OF_PLACES, name)


def of_scope(name: str) -> Callable[[F], F]:
    """Register what computes a quantity of a whole graph or of a scope."""
    return _into(OF_SCOPE, name)


def once(function: Callable[[Graph], T]) -> Callable[[Graph], T]:
    """A function of graphs that is computed at most once for each."""

    @wraps(function)
    def computed(graph: Graph) -> T:
        return graph.once(function)

    return computed


def _into(table: dict[str, Any], name: str) -> Callable[[F], F]:
    if name not in QUANTITIES:
        raise LookupError(f"'{name}' is not declared in archcalc/quantities.py")

    def register(function: F) -> F:
        table[name] = function
        return function

    return register
