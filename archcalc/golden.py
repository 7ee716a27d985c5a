"""Golden values: what archcalc computed for an architecture when somebody last looked, as files under version control.

They guard against change. Truth comes from PyTorch and from the published figures (claims), not from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from archcalc.errors import UsageError
from archcalc.report import Report, Row, analyze
from archcalc.symbolic import is_symbolic
from archcalc.zoo import Architecture, architectures, load

LAYER_COLUMNS = ("params", "weights", "biases", "buffers", "macs", "activations", "saved_bytes")

FIELD_COLUMNS = {"receptive_field": "size", "effective_stride": "stride", "effective_padding": "padding"}


def golden(architecture: Architecture) -> dict[str, Any]:
    """The values that are kept: every layer's shape and counts, and the totals."""
    report = analyze(architecture.build())
    layers = [
        {
            "name": row.node.name,
            "kind": row.node.kind,
            "output_shape": _plain(report.ordered(row.node.shape)),
            **{column: _plain(row[column]) for column in LAYER_COLUMNS},
            **{column: _field(report, row, what) for column, what in FIELD_COLUMNS.items()},
        }
        for row in report.rows
    ]
    totals = {name: _plain(value) for name, value in report.totals.items() if name != "activation_bytes"}
    return {
        "archcalc": 1,
        "name": architecture.name,
        "conditions": list(report.graph.conditions),
        "layers": layers,
        "totals": totals,
    }


def _field(report: Report, row: Row, what: str) -> Any:
    """A number for the whole receptive field if the axes agree, else one per axis; none without spatial axes."""
    values = {axis: _plain(getattr(field, what)) for axis, field in report.ordered(row.fields).items()}
    return next(iter(values.values())) if len(set(values.values())) == 1 else values


def _plain(value: Any) -> Any:
    """An exact integer; a fraction's or a symbolic value's text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if is_symbolic(value) or isinstance(value, Fraction) else value


def check(names: Sequence[str], specs: Path | None, folder: Path) -> list[str]:
    """Compare golden files with what is computed now; with no names, those of all architectures.

    Returns: the differences, a line each: changed values, missing files, and files that no spec owns.
    """
    chosen = _chosen(names, specs)
    found: list[str] = []
    for architecture in chosen:
        file = _file(folder, architecture)
        found.extend(f"{architecture.name}: {line}" for line in _differences(_read(file), golden(architecture)))
    if not names:
        owned = {_file(folder, architecture).name for architecture in chosen}
        found += [f"{file}: no spec owns this file" for file in sorted(folder.glob("*.json")) if file.name not in owned]
    return found


def update(names: Sequence[str], specs: Path | None, folder: Path) -> list[str]:
    """Write the golden files that differ from what is computed now; with no names, all, removing those no spec owns.

    Returns: what changed, a line each.
    """
    chosen = _chosen(names, specs)
    changed: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    for architecture in chosen:
        file, values = _file(folder, architecture), golden(architecture)
        before = _read(file)
        lines = [f"{architecture.name}: {line}" for line in _differences(before, values)]
        if lines:
            file.write_text(to_text(values), encoding="utf-8")
        if before is None:
            lines = [f"{architecture.name}: recorded"]
        changed += lines
    if not names:
        owned = {_file(folder, architecture).name for architecture in chosen}
        for file in sorted(folder.glob("*.json")):
            if file.name not in owned:
                file.unlink()
                changed.append(f"{file}: removed, no spec owns it")
    return changed


def _chosen(names: Sequence[str], specs: Path | None) -> list[Architecture]:
    """The architectures that are meant.

    Raises: UsageError: two of them have one name, so that their files would be one.
    """
    chosen = [load(name, specs) for name in names] if names else list(architectures(specs))
    by_name: dict[str, Architecture] = {}
    for architecture in chosen:
        other = by_name.setdefault(architecture.name, architecture)
        if other.spec.source.file != architecture.spec.source.file:
            files = f"{other.spec.source.file} and {architecture.spec.source.file}"
            raise UsageError(f"two specs are called '{architecture.name}': {files}")
    return chosen


def _file(folder: Path, architecture: Architecture) -> Path:
    return folder / f"{architecture.name.replace(':', '.')}.json"


def _read(file: Path) -> Any:
    """The file's values, or None if there is no such file.

    Raises: UsageError: it's not a golden file.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no golden file: {error}", "archcalc golden update writes a new one") from None


def _differences(old: Any, new: Mapping[str, Any]) -> Iterator[str]:
    if old is None:
        yield "there is no golden file"
        return
    if not _well_formed(old):
        yield "the golden file has another form"
        return
    before = {layer.get("name"): layer for layer in old["layers"]}
    after = {layer["name"]: layer for layer in new["layers"]}
    yield from _changed("total", old.get("totals", {}), new["totals"])
    yield from (f"{name}: layer is gone" for name in before if name not in after)
    for name, layer in after.items():
        if name not in before:
            yield f"{name}: layer is new"
            continue
        yield from _changed(name, before[name], layer)
    if list(before) != list(after) and before.keys() == after.keys():
        yield "the layers stand in another order"
    rest = ("archcalc", "name", "conditions")
    yield from _changed("file", {key: old.get(key) for key in rest}, {key: new[key] for key in rest})


def _well_formed(old: Any) -> bool:
    """Whether a file's values have the form that `golden` writes."""
    if not isinstance(old, dict) or not isinstance(old.get("totals", {}), dict):
        return False
    layers = old.get("layers")
    return isinstance(layers, list) and all(isinstance(v, dict) and isinstance(v.get("name"), str) for v in layers)


def _changed(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield f"{where}: {key} was {_told(old.get(key))}, is {_told(new.get(key))}"


def _told(value: Any) -> str:
    """A value in a difference; sizes as 64x112x112."""
    return "x".join(map(str, value.values())) if isinstance(value, dict) else str(value)


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
