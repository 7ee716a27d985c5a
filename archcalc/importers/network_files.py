"""Networks in files that other tools write: `net.onnx`, `net.pt2`; and what to do about files that hold none."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from archcalc import files
from archcalc.errors import UsageError
from archcalc.importers.imported import Imported

EXPORT = "torch.export.save(torch.export.export(module, examples), 'net.pt2')"


def import_file(path: Path, inputs: Sequence[str] = (), strict: bool = False) -> Imported:
    """The network in a file, as a spec; `inputs` are the sizes of what enters, where the file leaves them open.

    `strict`: an operation that isn't a layer that specs know is an error.

    Raises: UsageError: it can't be read, holds no network, or one that can't be said as a spec.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from archcalc.importers.onnx.file import import_onnx

        return import_onnx(path, inputs, strict)
    if suffix == ".pt2":
        from archcalc.importers.pt2 import import_pt2

        return import_pt2(path, inputs, strict)
    raise _refused(path)


def _refused(path: Path) -> UsageError:
    """Why a file isn't a network that can be read, and what is."""
    names = _names(path)
    if any(name.endswith("/constants.pkl") and "/code/" in "".join(names) for name in names):
        message = f"'{path}' is TorchScript, whose code isn't read"
        return UsageError(message, f"name the code that builds the module, models.py:build; or {EXPORT}")
    message = f"'{path}' holds weights, not the network that they are of; reading them could run code"
    return UsageError(message, f"name the code that builds the module, models.py:build; or {EXPORT}")


def _names(path: Path) -> list[str]:
    """What a zip archive holds, by name; nothing if it is none."""
    try:
        with files.opened(path) as (file, _), zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (ValueError, zipfile.BadZipFile, NotImplementedError):
        return []
