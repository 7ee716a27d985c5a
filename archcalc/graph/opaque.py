"""Layers of which only the outside is known, so that sums over them are less than the truth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from archcalc.graph.application import Application
from archcalc.graph.graph import Graph
from archcalc.graph.labels import UNNAMED
from archcalc.graph.tree import MAX_LAYERS, layers_of
from archcalc.symbolic import Dim

SHOWN = 3
"""Layers that are named where there are more."""


class OpaqueLayer(NamedTuple):
    """One layer: its name, the operation that it stands for, and whether its multiply-adds are known."""

    name: str
    operator: str
    counted: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.operator})"


def opaque_layers(graph: Graph) -> tuple[OpaqueLayer, ...]:
    """All of them, in order; of passes whose number is a symbol the first few."""
    return graph.once(_opaque_layers)


def _opaque_layers(graph: Graph) -> tuple[OpaqueLayer, ...]:
    chosen: dict[Application, None] = {}

    def note(at: Application) -> Dim:
        if at.layer.is_opaque:
            chosen[at] = None
        return 0

    graph.summed(note)
    if not chosen:
        return ()
    found = []
    for place in islice(layers_of(graph.tree.root, chosen.keys()), MAX_LAYERS):
        assert isinstance(place.call, Application)
        found.append(_layer(place.path.replace(UNNAMED, ""), place.call))
    return tuple(found) or tuple(_layer("", at) for at in chosen)  # in passes that change there are no names


def _layer(name: str, at: Application) -> OpaqueLayer:
    return OpaqueLayer(name, str(getattr(at.layer, "operator", at.layer.kind)), at.layer.has_known_macs)


def uncounted(graph: Graph) -> str:
    """What sums of multiply-adds leave out, `2 layers aren't counted: fft (fft_fft2), …`; empty if that's nothing."""
    left_out = [layer for layer in opaque_layers(graph) if not layer.counted]
    if not left_out:
        return ""
    many = f"{len(left_out):,} layers aren't" if len(left_out) > 1 else "1 layer isn't"
    return f"{many} counted: {_told(left_out)}"


def lower_bounds(graph: Graph) -> str:
    """Which sums are less than the truth, and because of which layers; empty if all are exact."""
    layers = opaque_layers(graph)
    if not layers:
        return ""
    kept = f"at least so many bytes are kept and needed: what {_told(layers)} needs isn't known"
    missing = uncounted(graph)
    return f"there are at least so many MACs: {missing}; {kept}" if missing else kept


def _told(layers: Sequence[OpaqueLayer]) -> str:
    more = f" and {len(layers) - SHOWN:,} more" if len(layers) > SHOWN else ""
    return ", ".join(map(str, layers[:SHOWN])) + more
