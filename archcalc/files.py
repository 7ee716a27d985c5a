"""Files: written whole or not at all, read only where they are plain, small and strict.

Writing goes to a new file beside the old one, which takes its place when all is on the disk: whoever interrupts, and
whatever is full, there is the old file or the new one. Symbolic links are not written through, and what a command has
read or written already it doesn't overwrite.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from archcalc.errors import UsageError

MAX_JSON = 64_000_000
"""Bytes of a golden file or a record; those of the zoo's largest network are 1.2 million."""
MAX_DIGITS = 1000
_STREAMS = (Path("/dev"), Path("/proc"))
_used: ContextVar[set[str] | None] = ContextVar("_used", default=None)
"""The files that the command has read or written, by their absolute paths; None outside a command."""


@contextmanager
def keeping_used() -> Iterator[None]:
    """Refuse, within, to write a file that was read or written within."""
    before = _used.set(set())
    try:
        yield
    finally:
        _used.reset(before)


def _use(path: Path) -> None:
    if (used := _used.get()) is not None:
        used.add(os.path.abspath(path))


def _refuse_used(path: Path) -> None:
    """The same file may have several paths, and several names.

    Raises: UsageError: the command needs what it would overwrite.
    """
    if any(_are_same(path, other) for other in _used.get() or ()):
        raise UsageError(f"'{path}' is a file that this command has read or written", "name another file")


def _are_same(path: Path, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):  # one of the two isn't there, or no longer
        return os.path.abspath(path) == other


@contextmanager
def replacing(path: Path, own: bool = False) -> Iterator[BinaryIO]:
    """A file to write bytes to; at the end, if nothing was raised, it takes the place of `path`.

    Devices, FIFOs and /dev/stdout are written as they are. With `own` it may be one that was read to be revised.

    Raises: UsageError: the file can't be written, `path` is a symbolic link, or the command has used the file.
    """
    if not own:
        _refuse_used(path)
    _use(path)
    with _telling(path):
        if _is_stream(path):
            with open(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as stream:  # after what `>> FILE` holds
                yield stream
            return
        mode = _mode_of(path)
        new = path.parent / f".archcalc-{os.urandom(8).hex()}.tmp"
        number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with open(number, "wb") as file:
                yield file
                file.flush()
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(number, mode)
                os.fsync(number)
            os.replace(new, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
    _sync_folder(path.parent)


@contextmanager
def replacing_text(path: Path, own: bool = False) -> Iterator[TextIO]:
    """The same for text: UTF-8, and the line breaks of Unix.

    Raises: UsageError: as `replacing`.
    """
    with replacing(path, own) as file:
        text = TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            text.detach()


def write_bytes(path: Path, data: bytes) -> None:
    """Put a whole file in place.

    Raises: UsageError: as `replacing`.
    """
    with replacing(path) as file:
        file.write(data)


def write_text(path: Path, text: str, own: bool = False) -> None:
    """Put a whole text in place.

    Raises: UsageError: as `replacing`.
    """
    with replacing_text(path, own) as file:
        file.write(text)


def check_writable(path: Path) -> None:
    """Find out before a long computation whether there will be a place for its result; nothing is changed.

    Raises: UsageError: as `replacing`.
    """
    _refuse_used(path)
    with _telling(path):
        if not _is_stream(path):
            _mode_of(path)
            if not os.access(path.parent, os.W_OK):
                raise PermissionError(13, "permission denied")


def make_folder(path: Path) -> None:
    """See that a folder is there, and those around it.

    Raises: UsageError: it can't be made.
    """
    with _telling(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """See that a file is gone.

    Raises: UsageError: it can't be removed.
    """
    with _telling(path, "remove"):
        path.unlink(missing_ok=True)


@contextmanager
def _telling(path: Path, attempt: str = "write") -> Iterator[None]:
    """Failures of the file system as errors that name the file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"can't {attempt} '{path}': {reason(error)}") from None


def reason(error: Exception) -> str:
    """Why a file can't be read or written, as the system says it."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def _is_stream(path: Path) -> bool:
    """Whether a path leads to something that can't be replaced: a device, a FIFO, a standard stream.

    Raises: OSError: it leads to a folder. UsageError: it is a symbolic link.
    """
    if "\0" in str(path):
        raise OSError(22, "a file's name can't hold a null character")
    if path.is_symlink() and not any(path.is_relative_to(folder) for folder in _STREAMS):
        raise UsageError(f"'{path}' is a symbolic link, which is not written through", "name the file it leads to")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "is a directory")
    return path.is_symlink() or not stat.S_ISREG(mode)


def _mode_of(path: Path) -> int | None:
    """The rights that the file has; None if there is none yet.

    Raises: OSError: the file must not be written.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(13, "permission denied")
    return mode


def _sync_folder(folder: Path) -> None:
    """Let the new name reach the disk, where the system can do that."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


# --- reading -----------------------------------------------------------------------------------------------------


def read_bytes(path: Path, most: int, follow: bool = True) -> bytes:
    """The bytes of a regular file; if it is larger, `most` of them and one more.

    With `follow` false, `path` must not be a symbolic link. Nothing else is ever opened: no device, no FIFO.

    Raises: OSError, ValueError: it can't be read.
    """
    _use(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        if path.is_symlink():
            raise OSError(40, "it is a symbolic link")
        flags |= getattr(os, "O_NOFOLLOW", 0)
    _check_regular(os.stat(path))  # before it is opened: opening a device may do something
    with open(os.open(path, flags), "rb") as file:
        _check_regular(os.fstat(file.fileno()))
        return file.read(most + 1)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file to be read in part, and its size in bytes: for files of any size of which the start says all.

    Raises: UsageError: it can't be read; or it's no regular file, which is never opened.
    """
    _use(path)
    with _telling(path, "read"):
        _check_regular(os.stat(path))
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            _check_regular(found)
            yield file, found.st_size


def _check_regular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "it is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(22, "it is not a regular file")


def read_json(path: Path, floats: bool = False, follow: bool = False, most: int = MAX_JSON) -> Any:
    """A JSON file as programs write them: UTF-8, no key twice, no NaN, and no floats unless they are expected.

    It has at most `most` bytes. With `follow` false, symbolic links are not followed.

    Raises: FileNotFoundError: there is none. UsageError: it can't be read, or isn't strict JSON.
    """
    import json

    try:
        data = read_bytes(path, most, follow)
        if len(data) > most:
            raise ValueError(f"it is larger than {most:,} bytes")
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_constant=_refuse_number,
            parse_int=_integer,
            parse_float=_finite if floats else _refuse_number,
        )
    except FileNotFoundError:
        raise
    except RecursionError:
        raise UsageError(f"can't read '{path}': it is nested too deep") from None
    except UnicodeDecodeError:
        raise UsageError(f"can't read '{path}': it is not UTF-8") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"can't read '{path}': {reason(error)}") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number has {len(text):,} digits")
    return int(text)


def _refuse_number(text: str) -> Any:
    raise ValueError(f"{text[:20]} is not an integer")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large")
    return value


def listed(folder: Path, *suffixes: str, own: bool = False) -> list[Path]:
    """The files of a folder that end so, by name.

    In archcalc's `own` folders links are followed: some installers make one for each file.

    Raises: UsageError: one is not a regular file, or a symbolic link that leads out of the folder.
    """
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix in suffixes)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"can't read '{folder}': {reason(error)}") from None
    for file in () if own else found:
        _check_inside(file, folder)
    return found


def names(folder: Path, *suffixes: str) -> Iterator[str]:
    """The names in a folder that end so, whatever they are; none, if it can't be read."""
    try:
        yield from (file.name for file in folder.iterdir() if file.suffix in suffixes)
    except OSError:
        return


def leads_out(file: Path, folder: Path) -> bool:
    """Whether a file is a symbolic link to something outside the folder, or to nothing."""
    try:
        return file.is_symlink() and not file.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return True


def _check_inside(file: Path, folder: Path) -> None:
    try:
        if leads_out(file, folder):
            raise UsageError(
                f"'{file}' is a symbolic link that leads out of the folder", "put a copy of the file there"
            )
        _check_regular(file.stat())
    except OSError as error:
        raise UsageError(f"can't read '{file}': {reason(error)}") from None
