"""Running a command, and telling what went wrong: on stderr, in colour only in a terminal, never as a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Any

from archcalc import text
from archcalc._version import ADDRESS
from archcalc.errors import ArchcalcError, Diagnostic, SpecError, UsageError, by_command
from archcalc.files import keeping_used, reason
from archcalc.work import budget

BUG = f"""this is a bug in archcalc: please report it, with the command and the spec, at {ADDRESS}/issues
    (--debug shows the traceback)"""


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code. With `--debug`, a bug's traceback is shown after all."""
    debug = "--debug" in _options(arguments)
    if debug:
        arguments = [word for word in arguments if word != "--debug"]
    _prepare_streams()
    try:
        return _call(arguments)
    except BrokenPipeError:
        silence()
        return 0
    except Exception as error:
        if debug and not isinstance(error, ArchcalcError):
            raise
        return explained(error)


def explained(error: Exception) -> int:
    """Tell what went wrong; the exit code that goes with it."""
    if isinstance(error, SpecError):
        tell_diagnostics(error.diagnostics)
    elif isinstance(error, UsageError):
        tell(f"error: {error.told(error.hint)}")
    elif isinstance(error, ArchcalcError):
        tell(f"error: {error}")
    elif isinstance(error, OSError):
        place = f": '{error.filename}'" if error.filename else ""
        tell(f"error: {reason(error)}{place}")
    else:
        tell(f"error: {type(error).__name__}: {str(error)[:200]}\n    {BUG}")
    return 2 if isinstance(error, UsageError) else 1


def _prepare_streams() -> None:
    """Streams that were closed (`>&-`) lead nowhere; what is written is UTF-8, whatever the locale says."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _options(arguments: list[str]) -> list[str]:
    """The arguments before `--`."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _call(arguments: list[str]) -> int:
    """Run typer's command; its own complaints become ours."""
    from typer.main import get_command

    from archcalc.cli.app import app

    def called() -> Any:
        return get_command(app).main(arguments, prog_name="archcalc", standalone_mode=False)

    try:
        with budget(), keeping_used(), by_command():
            asks = os.environ.get("_ARCHCALC_COMPLETE") == "complete_bash"
            result = _completed(called) if asks else called()
        return result if isinstance(result, int) else 0
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's and click's complaints have it, wherever they live
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "archcalc"
        message = error.format_message()
        if not message:  # no command: typer has printed the help
            return 2
        several = "--batch" in message and ".." in message
        hint = "several are tried by archcalc solve or sweep: --set N=1..64" if several else f"{command} --help"
        raise UsageError(message[:1].lower() + message[1:].rstrip("."), hint) from None


def _completed(command: Callable[[], Any]) -> Any:
    from archcalc.cli.completion import for_bash

    return for_bash(command)


def refuse(errors: Sequence[ArchcalcError]) -> None:
    """End with the errors of some of several names, after the others have been answered.

    Raises: ArchcalcError: the last of them, wrong usage rather than a wrong spec; the others are reported.
    """
    for error in (ranked := sorted(errors, key=lambda error: isinstance(error, UsageError)))[:-1]:
        explained(error)
    if ranked:
        raise ranked[-1]


def tell(message: str) -> None:
    """Print a message on stderr; in a terminal its first word is red."""
    head, colon, rest = text.lines(message).partition(": ")
    _print(f"{_colour(head, '1;31')}{colon}{rest}")


def note(message: str) -> None:
    """Print a remark on stderr."""
    _print(text.lines(message))


def tell_diagnostics(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Print a spec's errors and warnings on stderr."""
    for diagnostic in diagnostics:
        _print(coloured(diagnostic) if _is_terminal() else text.lines(str(diagnostic)))


def coloured(diagnostic: Diagnostic) -> str:
    """A diagnostic with its place in bold, and its code in red or yellow."""
    first, *others = text.lines(str(diagnostic)).split("\n")
    place, code, message = first.partition(f"{diagnostic.code} ")
    style = "1;33" if diagnostic.severity == "warning" else "1;31"
    lines = [_colour(place, "1") + _colour(code.rstrip(), style) + " " + message]
    return "\n".join([*lines, *(_colour(line, "2") if "hint: " not in line else line for line in others)])


def _colour(part: str, style: str) -> str:
    return f"\x1b[{style}m{part}\x1b[0m" if part and _is_terminal() else part


def _is_terminal() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(safe: str) -> None:
    try:
        print(safe, file=sys.stderr, flush=True)
    except OSError:
        silence()


def silence() -> None:
    """Nobody reads our output any more: send the rest to nowhere, so that Python doesn't complain at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
