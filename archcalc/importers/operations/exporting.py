"""A module exported by PyTorch; where that can't be done, why not: the user's own line, and what to do about it."""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archcalc.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

HOME = str(Path(__file__).parents[2])
"""Where this package is, whose lines aren't the user's own."""


class NeedsValues(UsageError):
    """A module can't be followed without values, on PyTorch's meta device."""


def program_of(module: nn.Module, given: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """A module as a `torch.export.ExportedProgram`, and the lines that chose its way by the examples' values.

    Raises: NeedsValues: without memory that can't be known. UsageError: it fails on such inputs, or PyTorch can't
    export it.
    """
    import torch

    first: Exception = UsageError("sizes depend on values")
    try:
        with _silent(given, named):
            program = torch.export.export(module, tuple(given), dict(named), strict=False)
        if not _is_open(program):
            return program, ()
    except Exception as error:  # whatever the module's own code raises
        first = error
    _run(module, given, named)
    try:
        with _silent(given, named):
            program = torch.export.draft_export(module, tuple(given), dict(named))
            program.module()(*given, **named)  # which sees that values choose the same way
    except Exception:
        message = f"PyTorch can't export {type(module).__name__}{_at(first)}: {first_line(first)}"
        raise UsageError(message, "torch.export.export(module, examples) has to work") from first
    return program, tuple(dict.fromkeys(_decisions(program)))


def _is_open(program: Any) -> bool:
    """Whether a size depends on values."""
    made = (node.meta.get("val") for node in program.graph.nodes)
    each = (one for value in made for one in (value if isinstance(value, (list, tuple)) else (value,)))
    return any(not isinstance(size, int) for one in each for size in getattr(one, "shape", ()))


@contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, what a module prints goes to stderr, and PyTorch's log stays empty: errors are raised anyway."""
    disabled = logging.root.manager.disable
    logging.disable()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _silent(given: Sequence[Any], named: Mapping[str, Any]) -> Iterator[None]:
    """While it lasts, nothing is learned, and what is made is made where the inputs are; PyTorch's log is dropped."""
    import torch

    device = next(each.device for each in (*given, *named.values()) if isinstance(each, torch.Tensor))
    told = io.StringIO()
    with ExitStack() as stack:
        for each in (redirect_stderr(told), quiet(), warnings.catch_warnings(), torch.no_grad()):
            stack.enter_context(each)
        if device.type == "meta":  # in others' contexts PyTorch 2.13 misjudges values on which a way depends
            stack.enter_context(device)
        warnings.simplefilter("ignore")
        yield
    sys.stderr.write(told.getvalue())  # where all went well, it's the module's own


def _run(module: nn.Module, given: Sequence[Any], named: Mapping[str, Any]) -> None:
    """See that the module works on such inputs.

    Raises: NeedsValues: that can't be said without memory. UsageError: it doesn't.
    """
    is_meta = any(getattr(each, "is_meta", False) for each in (*given, *named.values()))
    try:
        with _silent(given, named):
            module(*given, **named)
    except Exception as error:
        if is_meta and (isinstance(error, NotImplementedError) or "meta tensor" in str(error)):
            raise NeedsValues(f"{type(module).__name__} needs values{_at(error)}: {first_line(error)}") from error
        sizes = ", ".join(map(_size, (*given, *named.values())))
        message = f"{type(module).__name__} fails on {sizes}{_at(error)}: {first_line(error)}"
        raise UsageError(message, _hint(module, error, given, named)) from error
    if is_meta:
        raise NeedsValues(f"{type(module).__name__} needs values")


def _hint(module: nn.Module, error: Exception, given: Sequence[Any], named: Mapping[str, Any]) -> str:
    """What to do about a module that fails."""
    parameters = signature(module.forward).parameters.values()
    needed = [each.name for each in parameters if each.default is Parameter.empty and each.kind in (0, 1, 3)]
    if isinstance(error, TypeError) and len(needed) != len(given) + len(named):
        return f"forward takes {', '.join(needed)}: as many inputs, in this order"
    if (
        "scalar types: Long" in str(error)
        or "Long, Int" in str(error)
        or "must be tensors used as indices" in str(error)
    ):
        return "token numbers enter as --input T=128"
    return "the sizes of what enters are given by --input, without the batch"


def _size(value: Any) -> str:
    """The size of an input as `--input` has it."""
    sizes = tuple(getattr(value, "shape", ()))[1:]
    whole = not value.is_floating_point() if hasattr(value, "is_floating_point") else False
    return f"T={sizes[0]}" if whole and len(sizes) == 1 else "x".join(map(str, sizes)) or "nothing"


def _at(error: BaseException) -> str:
    """Where the user's own code was when it failed: ` at models.py:12`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return f" at {shortened(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""


def _is_own(file: str) -> bool:
    return "/torch/" not in file and not file.startswith((HOME, "<")) and not file.endswith("/contextlib.py")


def shortened(file: str) -> str:
    """A file as seen from the folder that the user is in."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or what it is."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(":") if lines else type(error).__name__


def _decisions(program: Any) -> Iterator[str]:
    """The lines at which values decided, as file:line."""
    from torch._logging.structured import INTERN_TABLE

    report = program._report
    names = {number: file for file, number in INTERN_TABLE.items()}
    for failure in report.failures if report else ():
        frames = failure.data.get("user_stack") or failure.data.get("stack") or ()
        own = [(names.get(each["filename"], ""), each["line"]) for each in frames]
        own = [(file, line) for file, line in own if file and _is_own(file)]
        if own:
            yield f"{own[-1][0]}:{own[-1][1]}"
