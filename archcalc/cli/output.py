"""Writing results: to stdout or a file, in pieces, and quietly when nobody reads any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from archcalc import text
from archcalc.cli.run import silence
from archcalc.errors import UsageError
from archcalc.files import reason, replacing_text
from archcalc.tables import Table, formats
from archcalc.tables.formats import SUFFIXES

if TYPE_CHECKING:
    from rich.console import Console

LONG = 1_000
"""Rows beyond which plain text is printed even in a terminal: in colour it takes ten times as long."""
CHUNK = 512
"""Lines that are written at once: a long listing must neither wait for its end nor cost a system call a line."""


def write(lines: Iterable[str], path: Path | None = None) -> None:
    """Write lines to a file, or to stdout if there is none. Whatever they hold, they control no terminal and no log.

    Raises: UsageError: they can't be written; a file is then as it was before.
    """
    _write_raw(map(text.lines, lines), path)


def write_commands(commands: Iterable[str]) -> None:
    """Write GitHub's workflow commands, as `text.github` makes them, to stdout."""
    _write_raw(commands, None)


def _write_raw(lines: Iterable[str], path: Path | None) -> None:
    if path is None or str(path) == "-":
        with writing(None):
            _write_to(sys.stdout, lines)
    else:
        with writing(path), replacing_text(path) as file:
            _write_to(file, lines)


def _write_to(file: TextIO, lines: Iterable[str]) -> None:
    rest = iter(lines)
    while chunk := list(islice(rest, CHUNK)):
        file.write("\n".join(chunk) + "\n")
    file.flush()


def in_terminal(path: Path | None = None) -> bool:
    """Whether the output goes to a person's terminal."""
    return path is None and sys.stdout.isatty()


class _Wrapped:
    """A stream for what rich has wrapped: a text that was harmless may have become a line that is a command."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, lines: str) -> int:
        """Write whole lines, as rich does."""
        return self.stream.write(text.wrapped(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def console() -> Console:
    """Rich's console for stdout: without colour where NO_COLOR says so, as wide as COLUMNS or the terminal says."""
    from rich.console import Console

    class QuietConsole(Console):
        """Rich exits with 1 when nobody reads any more."""

        def on_broken_pipe(self) -> None:
            silence()

    colour = None if os.environ.get("NO_COLOR") else "auto"
    wide = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 1000
    quiet = {"highlight": False, "markup": False, "emoji": False}
    return QuietConsole(file=_Wrapped(sys.stdout), color_system=colour, width=wide, **quiet)  # type: ignore[arg-type]


@contextmanager
def writing(path: Path | None) -> Iterator[None]:
    """Turn failures to write into errors that name the file; be quiet when nobody reads any more."""
    try:
        yield
        if path is None:
            sys.stdout.flush()
    except BrokenPipeError:
        silence()
    except OSError as error:
        place = f"'{path}'" if path else "to stdout"
        raise UsageError(f"can't write {place}: {reason(error)}") from None


def is_file(path: Path | None) -> bool:
    """Whether the output goes to a file; `-` is stdout."""
    return path is not None and str(path) != "-"


def chosen_format(
    form: str | None, path: Path | None = None, pipe: str = "plain", others: Mapping[str, str] = {}
) -> str:
    """The format that was asked for, else the one of the file's suffix, or the one that suits a terminal or a pipe.

    `others`: suffixes of formats that a command has beside those of all tables.
    Raises: UsageError: no format has the suffix.
    """
    if form:
        return form
    if path is None or not is_file(path):
        return "table" if in_terminal(path) else pipe
    known = {**SUFFIXES, "": pipe, **others}
    if path.suffix.lower() not in known:
        suffixes = ", ".join(filter(None, known))
        raise UsageError(f"can't tell the format from '{path}'", f"give --format, or one of {suffixes}")
    return known[path.suffix.lower()]


def text_format(form: str | None, path: Path | None = None) -> str:
    """The same for an answer that is told in sentences, `text`, unless somebody asks for its rows."""
    return form or (chosen_format(None, path, "text") if is_file(path) else "text")


def write_table(table: Table, form: str, path: Path | None = None, fixed: bool = False) -> None:
    """Write a table in a format that `chosen_format` gave; a long one as plain text in a terminal, too."""
    if form == "table" and path is None and next(islice(table.rows(), LONG, None), None) is None:
        from archcalc.tables.terminal import show

        with writing(None):
            show(table, console(), fixed)
    else:
        write(formats.lines(table, form), path)
