"""Writing results: to stdout or a file, in pieces, and quietly when nobody reads any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from archcalc import text
from archcalc.cli.options import Format
from archcalc.cli.run import silence
from archcalc.errors import UsageError
from archcalc.files import replacing_text

if TYPE_CHECKING:
    from rich.console import Console

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


def show(renderable: object) -> None:
    """Print something of rich's."""
    with writing(None):
        console().print(renderable)


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
        raise UsageError(f"can't write {place}: {(error.strerror or str(error)).lower()}") from None


def chosen_format(form: Format | None) -> Format:
    """The format that was asked for, else the one that suits a terminal or a pipe."""
    return form or (Format.table if in_terminal() else Format.plain)


def print_grid(
    head: Sequence[str], rows: Sequence[Sequence[str]], lefts: Sequence[bool], form: Format | None, records: Any
) -> None:
    """Print a short list: as a table, as plain text, or its records as JSON."""
    chosen = chosen_format(form)
    if chosen is Format.json:
        write([text.json(records, indent=1, default=str)])
    elif chosen is Format.plain:
        from archcalc.render.plain import aligned

        write(aligned([head, *([text.line(cell) for cell in row] for row in rows)], lefts))
    else:
        from archcalc.render import table

        with writing(None):
            table.print_grid(console(), head, [[text.line(cell) for cell in row] for row in rows], lefts)
