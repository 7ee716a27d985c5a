"""Which layers share a row: all on their own, those in place with the volume they work on, or whole scopes.

A part is divided up once, wherever it stands and however often.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TypeAlias

from archcalc.graph import MAX_LAYERS, Application, Composite, Graph, Repeat
from archcalc.graph.composite import Call, counts
from archcalc.graph.labels import Label
from archcalc.report.rows import Entry, Line, Row, around, shown, written_out
from archcalc.report.volumes import Volumes

Known: TypeAlias = "dict[tuple[int, int, int], tuple[Row, ...]]"
"""The rows of parts that have been divided up: of a call, with a label, to a depth."""


def entries(graph: Graph, every: bool = False, depth: int = 0) -> Iterator[Entry]:
    """The rows of a table, in the order of the graph; every layer is in exactly one of them.

    With `depth` there's a row for each scope at that depth, with `every` one for each layer, else one for each volume.
    """
    graph.spend(1, "dividing so many layers into rows")
    return written_out(divided(graph, every, depth))


def divided(graph: Graph, every: bool = False, depth: int = 0, folded: bool = False) -> tuple[Row, ...]:
    """The same rows, with those of passes that are alike once; `folded`, what works in each on one volume, too."""
    body, label = graph.tree.body, graph.tree.label
    if depth:
        return _by_scope(body, label, min(depth, sys.maxsize), {})
    if every:
        return _by_layer(body, label, {})
    return Volumes(folded).rows(body, label)


def _by_layer(call: Call, label: Label | None, known: Known) -> tuple[Row, ...]:
    """A row for each layer of a scope or a pass."""
    if isinstance(call, Application):
        return (Line("", 0, (0,), ((call, 1),)),)
    assert isinstance(call, Composite)
    assert label is not None
    key = id(call), id(label), 0
    if key not in known:
        rows: list[Row] = []
        for item, first, name, inner in zip(call.items, call.starts, label.names, label.inner, strict=True):
            if isinstance(item.call, Application):
                rows.append(Line(shown(name), first, (0,), ((item.call, 1),)))
            elif item.call.size:
                body = item.call.body if isinstance(item.call, Repeat) else item.call
                rows.append(around(item.call, name, first, _by_layer(body, inner, known)))
        known[key] = tuple(rows)
    return known[key]


def _by_scope(call: Composite, label: Label, depth: int, known: Known) -> tuple[Row, ...]:
    """A row for each scope at a depth, and for each layer that is in none so deep."""
    key = id(call), id(label), depth
    if key in known:
        return known[key]
    rows: list[Row] = []
    for item, first, name, inner in zip(call.items, call.starts, label.names, label.inner, strict=True):
        if not item.call.size:
            continue
        body, deeper = item.call, depth - 1
        if isinstance(item.call, Repeat):
            body, output = item.call.body, item.call.output
            row = _whole("", 0, body, label)._replace(output=output if output >= 0 else None)
        else:
            head = "/".join(str(name).split("/", depth)[:depth])  # a graph without structure has paths as names
            deeper -= str(name).count("/")
            row = _whole(head, first, body, label)
        if deeper > 0 and isinstance(body, Composite) and not isinstance(item.call, Application):
            assert inner is not None
            rows.append(around(item.call, name, first, _by_scope(body, inner, deeper, known)))
        elif isinstance(item.call, Repeat):
            rows.append(around(item.call, name, first, (row,)))
        elif rows and isinstance(rows[-1], Line) and rows[-1].name == row.name:
            rows[-1] = _together(rows[-1], row)
        else:
            rows.append(row)
    known[key] = tuple(rows)
    return known[key]


def _whole(name: str, first: int, call: Call, label: Label) -> Line:
    """A row for all that is in a part of a scope with this label."""
    output: int | None = call.size - 1
    if name in label.index.volumes:
        wire = label.index.volumes[name]
        output = wire - first if wire is not None and wire >= first else None
    makers = sum(count for layer, count in counts(call).items() if not layer.layer.in_place)
    layers = counts(call).items() if makers != 1 or call.size > MAX_LAYERS else ((each, 1) for each in _in_order(call))
    return Line(name, first, range(call.size), tuple(layers), output)


def _in_order(call: Call) -> Iterator[Application]:
    """Every layer."""
    if isinstance(call, Application):
        yield call
    elif isinstance(call, Repeat):
        for _ in range(call.count):
            yield from _in_order(call.body)
    else:
        for item in call.items:
            yield from _in_order(item.call)


def _together(one: Line, other: Line) -> Line:
    """A row for two that stand one after the other."""
    found = dict(one.layers)
    for application, count in other.layers:
        found[application] = found.get(application, 0) + count
    output = None if other.output is None else other.output + other.first - one.first
    return Line(one.name, one.first, range(len(one.nodes) + len(other.nodes)), tuple(found.items()), output)
