"""What sizes are solved for: budgets, an output, and receptive fields, as conditions on a network's symbols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from archcalc.errors import UsageError, suggestion
from archcalc.graph import Graph, Node
from archcalc.quantities import QUANTITIES, Quantity, Total, names
from archcalc.questions.budgets import Band, Budget, budget, interval
from archcalc.report import Report
from archcalc.shape import SPATIAL
from archcalc.symbolic import Condition, Dim, exact, is_symbolic
from archcalc.symbolic.integer_sets import Unsolvable

Output: TypeAlias = "int | str | Sequence[int] | Mapping[str, int]"
"""Sizes of an output: (7, 7), (512, 7, 7), {"H": 7}, or the same as a text: 7x7, 512x7x7, H=7."""

_FIELD = "conv5=200.., conv5=11, or conv5.H=11..31"


class NotThere(UsageError):
    """What is asked about isn't there, at least with these values: the layer, or its receptive field."""


class NoClosedForm(Unsolvable):
    """With symbols there's no exact number; with integers in their place there is."""


@dataclass(frozen=True)
class Goals:
    """What is wanted: of each total the least and the most (None: any), of each field too, and a layer's output.

    `output` has sizes by axis, or by place, as texts. `fields` are named by a layer, or by a layer, a dot and an axis.
    """

    budgets: Mapping[str, Band] = field(default_factory=dict)
    output: Mapping[str, str] | tuple[str, ...] = ()
    layer: str = ""
    fields: Mapping[str, Band] = field(default_factory=dict)

    def conditions(self, report: Report, tried: Sequence[str], unknown: Sequence[str]) -> tuple[str, list[Condition]]:
        """The layer whose output is meant, and all that is wanted as conditions.

        Raises: NotThere: the report has no such layer or field. NoClosedForm: a field can't be told with the `unknown`
        names as symbols. UsageError: sizes fit no layer.
        """
        found: list[Condition] = []
        where = ""
        if self.output:
            node = _meant(report.graph, self.layer, tried)
            where = node.name
            sizes = _by_axis(self.output, report.ordered(node.shape))
            found += [Condition(node.shape[axis], "==", size) for axis, size in sizes.items()]
        for name, band in self.budgets.items():
            found += _within(report.total(name), band)
        for name, band in self.fields.items():
            found += field_conditions(report, name, band, unknown)
        return where, found

    def texts(self, where: str = "") -> Iterator[str]:
        """What is wanted, for people; `where` is the layer whose output is meant."""
        if isinstance(self.output, Mapping):
            sizes = ",".join(f"{axis}={size}" for axis, size in self.output.items())
            yield f"output of {where or self.layer} = {sizes}"
        elif self.output:
            yield f"output of {where or self.layer} = {'x'.join(self.output)}"
        for name, band in self.budgets.items():
            yield _band_text(name, band)
        for name, band in self.fields.items():
            layer, dot, axis = name.rpartition(".")
            along = dot and axis in SPATIAL
            yield _band_text(f"field of {layer} along {axis}" if along else f"field of {name}", band)


def goals_of(output: Output | None, layer: str, fields: Mapping[str, Budget], budgets: Mapping[str, Budget]) -> Goals:
    """What is wanted, from what people give.

    Raises: UsageError: it can't be read, or there's nothing.
    """
    if not isinstance(fields, Mapping):
        raise UsageError(f"fields are bands by layer, not {fields!r:.60}", "field={'conv5': (200, None)}")
    if not isinstance(layer, str):
        raise UsageError(f"a layer is called by its path, not {layer!r:.60}", "layer='conv5/pool'")
    if output is None and not fields and not budgets:
        raise UsageError("what is to be solved for?", "--output 7x7, --params 5M, --macs 1G, --field conv5=200.. …")
    if layer and output is None:
        raise UsageError("a layer goes with an output", "--output 7x7")
    return Goals(
        {name: budget(name, amount, _quantity(name).in_bytes) for name, amount in budgets.items()},
        () if output is None else _sizes(output),
        layer,
        {str(name): interval(f"the field of {name}", band, _FIELD) for name, band in fields.items()},
    )


def _quantity(name: str) -> Quantity:
    """The quantity that may have a budget."""
    known = names(Total.SUM, Total.LARGEST)
    if name == "memory":
        kinds = "--activation-bytes (volumes), --total-bytes (params, buffers, volumes), --saved-bytes, --peak-bytes"
        raise UsageError("which memory?", kinds)
    if name not in known:
        hint = "field={'conv5': (200, None)}" if name == "receptive_field" else suggestion(name, known)
        raise UsageError(f"there can't be a budget for '{name}'", hint)
    return QUANTITIES[name]


def _within(value: Dim, band: Band) -> Iterator[Condition]:
    """What it means that a value lies within a band."""
    least, most = band
    if least is not None and least == most:
        yield Condition(value, "==", most)
        return
    if most is not None:
        yield Condition(value, "<=", most)
    if least is not None:
        yield Condition(value, ">=", least)


def _band_text(name: str, band: Band) -> str:
    least, most = band
    if most is None:
        return f"{name} >= {least:,}"
    if least == most:
        return f"{name} = {most:,}"
    return f"{name} <= {most:,}" if least is None else f"{least:,} <= {name} <= {most:,}"


# --- outputs ---------------------------------------------------------------------------------------------------------


def _sizes(output: Any) -> Mapping[str, str] | tuple[str, ...]:
    """Sizes by axis or by place, from what people give.

    Raises: UsageError: one can't be read, or is given twice.
    """
    if isinstance(output, str) and "=" in output:
        pairs = [part.partition("=")[::2] for part in output.split(",")]
        sizes: Mapping[str, str] | tuple[str, ...] = {axis.strip(): text.strip() for axis, text in pairs}
        if len(sizes) < len(pairs):
            raise UsageError(f"output '{output}' gives an axis twice", "--output C=512,H=7,W=7")
    elif isinstance(output, str):
        sizes = tuple(output.split("x"))
    elif isinstance(output, Mapping):
        sizes = {str(axis): _text(size) for axis, size in output.items()}
    elif isinstance(output, Sequence) and not isinstance(output, bytes):
        sizes = tuple(map(_text, output))
    else:
        sizes = (_text(output),)
    for text in sizes.values() if isinstance(sizes, Mapping) else sizes:
        if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text)):
            raise UsageError(f"can't read output '{output}': '{text}' is not a size", "--output 7x7")
    if not sizes:
        raise UsageError("the output has no sizes", "--output 7x7")
    return sizes


def _text(size: Any) -> str:
    return str(exact(size, "a size of the output"))


def _meant(graph: Graph, path: str, tried: Sequence[str]) -> Node:
    """The layer whose output is meant.

    Without `path`: the last layer some of whose spatial sizes (or tokens) depend on a symbol; where values are tried,
    the last that has any.
    """
    if path:
        return _node(graph, path)
    open_ones = [n for n in graph.nodes if n.inputs and any(is_symbolic(n.shape.get(a, 1)) for a in "DHWT")]
    if tried and not open_ones:
        open_ones = [n for n in graph.nodes if n.inputs and any(a in n.shape for a in "DHWT")]
    if not open_ones:
        raise UsageError("no layer's size depends on what is open", "--symbolic H,W, or --layer PATH")
    return open_ones[-1]


def _node(graph: Graph, path: str) -> Node:
    if path not in graph:
        raise NotThere(f"{graph.name} has no layer '{path}'", suggestion(path, list(graph.places)))
    return graph[path]


def _by_axis(sizes: Mapping[str, str] | tuple[str, ...], shape: Mapping[str, Any]) -> dict[str, int]:
    """The sizes by axis: those without names are all of the layer's, or its spatial ones.

    Raises: UsageError: there are too few or too many, or the layer has no such axis.
    """
    if not isinstance(sizes, Mapping):
        places = [axis for axis in shape if axis in SPATIAL] or [axis for axis in shape if axis != "C"]
        axes = places if len(sizes) == len(places) else list(shape)
        if len(sizes) != len(axes):
            count = "1 size" if len(sizes) == 1 else f"{len(sizes)} sizes"
            form = "x".join(shape)
            raise UsageError(f"the layer is {form}: '{'x'.join(sizes)}' has {count}", f"--output {form}")
        sizes = dict(zip(axes, sizes, strict=True))
    for axis in sizes:
        if axis not in shape:
            raise UsageError(f"the layer has no axis '{axis}'", f"its axes are {', '.join(shape)}")
    return {axis: int(text) for axis, text in sizes.items()}


# --- receptive fields ------------------------------------------------------------------------------------------------


def field_conditions(report: Report, name: str, band: Band, unknown: Sequence[str] = ()) -> list[Condition]:
    """What it means that a layer's receptive field on the first input lies within a band, along each axis or one.

    Raises: NotThere: there's no such layer, it has no field, or only a bound of it is known. NoClosedForm: the same
    while names are `unknown`, so that with numbers there may be one.
    """
    graph, (path, dot, axis) = report.graph, name.rpartition(".")
    if name in graph or not dot or path not in graph:
        path, axis = name, ""
    row = report[_node(graph, path).name if path not in graph else path]
    fields = report.ordered(row.fields)
    if axis and axis not in fields:
        raise NotThere(f"'{path}' has no receptive field along {axis}", f"its axes are {', '.join(fields)}")
    if not fields:
        raise NotThere(f"'{path}' has no receptive field: it doesn't see the input's positions")
    found: list[Condition] = report.open_fields().needs(row.index) if graph.is_open else []
    for label, each in fields.items():
        if axis not in ("", label):
            continue
        if each.follows and (not each.bounded or _is_decided(each.size, band)):
            found += _within(each.size, band)
        elif unknown:
            hint = f"values within a range are tried one by one: --set {unknown[0]}=1..20"
            raise NoClosedForm(f"the field of '{path}' has no closed form in {', '.join(unknown)}", hint)
        elif not each.follows:
            raise NotThere(f"'{path}' has no receptive field: its positions don't follow the input's axes")
        else:
            raise NotThere(f"of the field of '{path}' only a bound is known: it is at most {each.size}")
    return found


def _is_decided(bound: Any, band: Band) -> bool:
    """Whether it follows from a field's upper bound that it lies within a band, or that it doesn't."""
    least, most = band
    if is_symbolic(bound):
        return False
    return bound < least if least is not None else most is not None and bound <= most
