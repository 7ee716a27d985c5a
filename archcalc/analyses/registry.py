"""Which function computes a quantity: each registers itself under the name of one in `quantities.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from archcalc.graph import Application, Graph
from archcalc.quantities import QUANTITIES
from archcalc.symbolic import Dim

OfLayer = Callable[[Application], Dim]
OfPlaces = Callable[[Graph, Dim, str], "list[Dim] | list[tuple[Dim, ...]]"]
OfScope = Callable[[Graph, str], Dim]
F = TypeVar("F", bound=Callable[..., Any])

OF_LAYER: dict[str, OfLayer] = {}
"""What equal layers on equal shapes have in common; for one example."""
OF_PLACES: dict[str, OfPlaces] = {}
"""What depends on a layer's place in the graph: a number for each node, given the graph, the batch and the dtype. Of
those whose largest counts, the numbers of which a node's may be the largest."""
OF_SCOPE: dict[str, OfScope] = {}
"""What only a graph has, or a scope of it, given by its path; empty for all of it."""


def of_layer(name: str) -> Callable[[F], F]:
    """Register what computes a quantity of a layer on its shapes."""
    return _into(OF_LAYER, name)


def of_places(name: str) -> Callable[[F], F]:
    """Register what computes a quantity that depends on the layer's place in the graph."""
    return _into(OF_PLACES, name)


def of_scope(name: str) -> Callable[[F], F]:
    """Register what computes a quantity of a whole graph or of a scope."""
    return _into(OF_SCOPE, name)


def _into(table: dict[str, Any], name: str) -> Callable[[F], F]:
    if name not in QUANTITIES:
        raise LookupError(f"'{name}' is not declared in archcalc/quantities.py")

    def register(function: F) -> F:
        table[name] = function
        return function

    return register
