"""Golden files: what is kept of an architecture, under which name, and how a file differs from what is computed.

A file may come from a stranger: it is read strictly, and no link is followed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from archcalc import files
from archcalc.errors import UsageError, printable
from archcalc.quantities import QUANTITIES, Quantity, fields, principal
from archcalc.report import Report
from archcalc.symbolic import is_symbolic
from archcalc.work import renewed
from archcalc.zoo import Architecture

_KEYS = dict.fromkeys(("archcalc", "name", "conditions", "outputs", "layers", "totals")).keys()
_LATER = ("outputs", "layer", "inputs")
"""What the first golden files don't have: they are still read as such, and differ."""
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_+-]{0,99}(:[a-z0-9][a-z0-9_+-]{0,99})?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(:|$)")
"""What Windows takes for a device."""


@renewed()
def golden_values(architecture: Architecture) -> dict[str, Any]:
    """What is kept: every layer with its arguments, what it reads, its shape and counts; the outputs and the totals."""
    report = Report(architecture.build())
    nodes = report.graph.nodes
    layers = [
        {
            "name": row.node.name,
            "kind": row.node.kind,
            "layer": row.node.application.text,
            "inputs": ", ".join(node.name for node in row.inputs),
            **({} if row.node.tied is None else {row.node.tied_by: nodes[row.node.tied].name}),
            "output_shape": _plain(report.ordered(row.node.shape)),
            **{name: _plain(row[name]) for name in principal()},
            **{name: _field(row[name]) for name in fields()},
        }
        for row in report.rows
    ]
    totals = {name: _plain(value) for name, value in report.totals.items() if _is_recorded(QUANTITIES[name])}
    return {
        "archcalc": 1,
        "name": architecture.name,
        "conditions": list(map(str, report.graph.conditions)),
        "outputs": {name: nodes[index].name for name, index in report.graph.outputs.items()},
        "layers": layers,
        "totals": totals,
    }


def _is_recorded(quantity: Quantity) -> bool:
    return quantity.recorded and not quantity.sum_of


def _field(sizes: Mapping[str, Any]) -> Any:
    """A number for the whole receptive field if the axes agree, else one per axis; none without spatial axes."""
    values = {axis: _plain(size) for axis, size in sizes.items()}
    return next(iter(values.values())) if len(set(values.values())) == 1 else values


def _plain(value: Any) -> Any:
    """An exact integer; a fraction's or a symbolic value's text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if is_symbolic(value) or isinstance(value, Fraction) else value


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs: of which network or file, at which layer or in the totals, in which value, and how.

    Without `recorded` and `computed`, `what` is a sentence.
    """

    name: str
    where: str = ""
    what: str = ""
    recorded: str = ""
    computed: str = ""

    def __str__(self) -> str:
        change = f" was {self.recorded}, is {self.computed}" if self.recorded or self.computed else ""
        return ": ".join(filter(None, (self.name, self.where, self.what + change)))


def is_golden(file: Path) -> bool:
    """Whether a file is as `update` writes it: of its form, and under the name that follows from what is in it."""
    values, problem = read(file)
    return values is not None and not problem and file.name in (file_name(values["name"]), _old_name(values["name"]))


def begins_as_golden(file: Path) -> bool:
    """Whether a file that can't be read is what is left of a golden file: cut short, or with a mistake further on."""
    start = '{"archcalc": '
    try:
        found = files.read_bytes(file, 1000, follow=False).decode(errors="replace").strip()
    except OSError:
        return False
    return found.startswith(start) or start.startswith(found)


def file_name(name: str) -> str:
    """The golden file of an architecture. No two names share one, not even where file systems ignore case.

    A name of small letters, digits, _, + and - is its own file name, with `.` for the colon of a variant. To others a
    part of their hash is added.

    >>> file_name("resnet:plain34"), file_name("MyNet")
    ('resnet.plain34.json', 'MyNet~8b5962b6.json')
    """
    if _PLAIN.fullmatch(name) and not _RESERVED.match(name):
        return _old_name(name)
    return f"{name.replace(':', '.')}~{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"


def _old_name(name: str) -> str:
    """The name that every file had once; two names could share one."""
    return f"{name.replace(':', '.')}.json"


def read(file: Path) -> tuple[Any, str]:
    """The file's values, or None if there is no such file; and what is wrong with it."""
    try:
        values = files.read_json(file)
    except FileNotFoundError:
        return None, ""
    except UsageError as error:
        return None, f"{error}"
    problem = _problem(values)
    return (None, f"'{file}' is not a golden file: {problem}") if problem else (values, "")


def _problem(values: Any) -> str:
    """Why values don't have the form that `golden` writes; empty if they do."""
    if not isinstance(values, dict) or {*values, "outputs"} != _KEYS:
        return f"it must have {', '.join(_KEYS)}, and nothing else"
    if type(values["archcalc"]) is not int or not isinstance(values["name"], str):
        return "its version must be an integer, its name a text"
    if not isinstance(values["conditions"], list) or not all(isinstance(c, str) for c in values["conditions"]):
        return "its conditions must be a list of texts"
    layers = values["layers"]
    if not isinstance(layers, list) or not all(
        _is_layer(layer) and isinstance(layer.get("name"), str) for layer in layers
    ):
        return "a layer must have a name, and hold nothing but integers and texts"
    if len({layer["name"] for layer in layers}) < len(layers):
        return "two layers have one name"
    if not _is_record({"outputs": values.get("outputs", {})}):
        return "its outputs must be names"
    return "" if _is_record(values["totals"]) else "its totals must be integers and texts"


def _is_layer(found: Any) -> bool:
    """Whether it is a record in which receptive fields may be null: where positions don't follow the input's axes."""
    if not isinstance(found, dict):
        return False
    known = [found.get(name, 0) for name in fields()]
    axes = [value for field in known for value in (field.values() if isinstance(field, dict) else [field])]
    rest = {key: value for key, value in found.items() if key not in fields()}
    return _is_record(rest) and all(value is None or type(value) in (int, str) for value in axes)


def _is_record(found: Any) -> bool:
    """Whether it is a mapping to integers and texts, or to mappings of these: no floats, no true, no null."""
    return isinstance(found, dict) and all(
        type(value) in (int, str) or (isinstance(value, dict) and all(type(v) in (int, str) for v in value.values()))
        for value in found.values()
    )


def differences(name: str, old: Any, new: Mapping[str, Any]) -> Iterator[Difference]:
    """What changed from the values of a file, None if there is none, to those that are computed."""
    if old is None:
        yield Difference(name, what="there is no golden file")
        return
    if "outputs" not in old or any("layer" not in layer or "inputs" not in layer for layer in old["layers"]):
        yield Difference(name, "file", "recorded without the layers' arguments and inputs")
        new = {**_without_later(new), "layers": list(map(_without_later, new["layers"]))}
        old = {**_without_later(old), "layers": list(map(_without_later, old["layers"]))}
    before = {layer["name"]: layer for layer in old["layers"]}
    after = {layer["name"]: layer for layer in new["layers"]}
    yield from _changed(name, "total", old["totals"], new["totals"])
    yield from (Difference(name, layer, "layer is gone") for layer in before if layer not in after)
    for layer, values in after.items():
        if layer not in before:
            yield Difference(name, layer, "layer is new")
            continue
        yield from _changed(name, layer, before[layer], values)
    if list(before) != list(after) and before.keys() == after.keys():
        yield Difference(name, what="the layers stand in another order")
    rest = ("archcalc", "name", "conditions", "outputs")
    yield from _changed(name, "file", *({key: each.get(key) for key in rest} for each in (old, new)))


def _without_later(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _LATER}


def _changed(name: str, where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            between = ", " if key == "outputs" else "x"
            yield Difference(name, where, key, *(_shown(each.get(key), between) for each in (old, new)))


def _shown(value: Any, between: str) -> str:
    """A value in a difference; sizes as 64x112x112."""
    return printable(between.join(map(str, value.values())) if isinstance(value, dict) else str(value))


def to_text(values: Mapping[str, Any]) -> str:
    """JSON with one line for each layer, so that a difference reads well under version control."""
    parts = []
    for key, value in values.items():
        if key == "layers":
            lines = ",\n".join(f"  {json.dumps(layer)}" for layer in value)
            parts.append(f'"layers": [\n{lines}\n ]')
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{" + ",\n ".join(parts) + "}\n"
