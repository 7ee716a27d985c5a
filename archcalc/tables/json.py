"""JSON: what an answer has for scripts, or else an array with an object for each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from archcalc import text
from archcalc.tables import Table


def lines(table: Table) -> Iterator[str]:
    """The lines of one JSON text."""
    if table.json is not None:
        return iter(table.json())
    return array(dict(zip(table.fields, row, strict=True)) for row in table.records())


def array(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One array, an object on each line."""
    before = ""
    for record in records:
        if before:
            yield before + ","
        before = (" " if before else "[") + text.json(record, default=str)
    yield (before or "[") + "]"


def stacked(records: Iterable[Any]) -> Iterator[str]:
    """An array as `document` writes it, but record by record."""
    before = ""
    for record in records:
        yield f"{before}," if before else "["
        before = " " + text.json(record, indent=1, default=str).replace("\n", "\n ")
    yield f"{before}\n]" if before else "[]"


def document(value: Any) -> Iterator[str]:
    """A value, indented; what JSON has no form for is a text."""
    yield text.json(value, indent=1, default=str)
