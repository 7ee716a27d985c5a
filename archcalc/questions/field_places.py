"""What questions about fields are asked of: an input or a layer, and a position, as people give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

from archcalc.analyses.field import Fields
from archcalc.analyses.positions import positions_of
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.graph.labels import UNNAMED
from archcalc.report import Report

Position: TypeAlias = "str | int | Sequence[int] | Mapping[str, int]"
"""Coordinates along the axes but C: `(3, 4)` in the spec's order, `{"H": 3, "W": 4}`, or `"3,4"`, `"H=3,W=4"`."""

EXAMPLE = "3,4 or H=3,W=4; in Python (3, 4) or {'H': 3, 'W': 4}"


def named(path: str | None) -> bool:
    """Whether a layer is given."""
    return not (path is None or (isinstance(path, str) and not path))


def source_of(graph: Graph, start: str) -> int:
    """The index of the node that is seen: by default the first input.

    Raises: UnknownNameError: there is no such layer or scope.
    """
    return graph.place(start) if named(start) else 0


def fields_on(report: Report, source: int) -> Sequence[Fields]:
    """Each node's receptive field on another one's volume."""
    return report.receptive_fields if source == 0 else receptive_fields(report.graph, source)


def place_text(graph: Graph, source: int) -> str:
    """What fields are about: the input, one of several by its name, or a layer."""
    node = graph.node(source)
    if node.inputs:
        return node.name.replace(UNNAMED, "")
    return f"the input {node.name}" if len(graph.inputs) > 1 else "the input"


def last_wide(report: Report, source: int) -> int:
    """The last node that has spatial axes and doesn't see everything."""
    nodes, fields = report.graph.nodes, fields_on(report, source)
    wide = (i for i in range(source + 1, len(nodes)) if nodes[i].shape.spatial and fields[i])
    return max((i for i in wide if not any(field.constant for field in fields[i].values())), default=source)


def position_of(report: Report, index: int, at: Position) -> dict[str, int]:
    """A position of a node, by axis.

    Raises: UsageError: it can't be read, has too few or too many coordinates, or names an axis twice.
    """
    node = report.graph.nodes[index]
    axes = list(report.ordered(positions_of(node.shape)))
    found = _pairs(at, axes)
    if found is None or len(found) != len(axes):
        order = ",".join(axes) or "nothing: it is one vector"
        message = f"can't read the position {at!r:.60} of '{node.name}', whose positions are {order}"
        raise UsageError(message, EXAMPLE)
    if twice := next((axis for axis, count in Counter(axis for axis, _ in found).items() if count > 1), ""):
        where = f"the positions of '{node.name}' are {','.join(axes)}"
        raise UsageError(f"the position '{at}' gives {twice} twice; {where}", EXAMPLE)
    for axis, value in found:
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise UsageError(f"the position along {axis} is an integer, not {value!r:.60}", EXAMPLE)
    return {axis: int(value) for axis, value in found}


def _pairs(at: Any, axes: Sequence[str]) -> list[tuple[str, Any]] | None:
    """Axes and coordinates; None if they can't be read."""
    if isinstance(at, str):
        return _read(at, axes)
    if isinstance(at, Mapping):
        return list(at.items())
    values = list(at) if isinstance(at, (tuple, list)) else [at]
    return list(zip(axes, values, strict=True)) if len(values) == len(axes) else None


def _read(text: str, axes: Sequence[str]) -> list[tuple[str, int]] | None:
    parts = text.replace(" ", "").split(",") if axes else []
    if len(parts) != len(axes):
        return None
    named = [part.partition("=")[::2] if "=" in part else (axis, part) for axis, part in zip(axes, parts, strict=True)]
    if not all(value.isascii() and value.isdecimal() and len(value) < 10 for _, value in named):
        return None
    return [(axis, int(value)) for axis, value in named]
