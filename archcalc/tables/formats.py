"""Which formats there are, and which files have them. A format is a module with `lines(table)`, and a line here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from archcalc.data import dataclass
from archcalc.tables import Table


@dataclass(frozen=True, slots=True)
class Format:
    """The module that writes a format, the function there, and the suffixes of files that are written so."""

    module: str
    suffixes: tuple[str, ...] = ()
    function: str = "lines"


FORMATS = {
    # in a terminal `table` is written by tables.terminal, which needs a console; elsewhere it's plain text
    "table": Format("plain"),
    "plain": Format("plain", ("", ".txt")),
    "markdown": Format("markdown", (".md",)),
    "html": Format("html", (".html", ".htm")),
    "latex": Format("latex", (".tex",)),
    "latex-siunitx": Format("latex", function="siunitx_lines"),
    "csv": Format("csv", (".csv",)),
    "json": Format("json", (".json",)),
}
SUFFIXES = {suffix: name for name, form in FORMATS.items() for suffix in form.suffixes}


def lines(table: Table, form: str) -> Iterator[str]:
    """A table in one of the formats, a line at a time."""
    found = FORMATS[form]
    written: Iterator[str] = getattr(import_module(f"archcalc.tables.{found.module}"), found.function)(table)
    return written
