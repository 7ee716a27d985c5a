"""From a name of code to a spec."""

from __future__ import annotations

import re
from collections.abc import Sequence

from archcalc.errors import UsageError
from archcalc.importers.imported import Imported, imported
from archcalc.importers.sources import Source, buffers, built, examples, usual_sizes
from archcalc.language.model import Spec

SIZES = re.compile(r"\s*\d+(\s*x\s*\d+)*\s*")
TOKENS = re.compile(r"\s*T\s*=\s*(\d+)\s*")
"""So many numbers of tokens."""


def spec_of_code(source: Source, inputs: Sequence[str] = ()) -> Spec:
    """The spec of what a library, or the user's code, builds: exported on PyTorch's meta device, without memory.

    Raises: UsageError: it can't be built, exported or said, or nothing says what enters it.
    """
    return import_code(source, inputs).spec


def import_code(source: Source, inputs: Sequence[str] = ()) -> Imported:
    """The same with the spec's text, and what the module ran."""
    sizes = input_sizes(source, inputs)
    module = built(source, "meta")
    constants = buffers(source) if any(True for _ in module.buffers()) else {}
    return imported(module, examples(sizes, "meta"), source.label, source.name, constants)


def input_sizes(source: Source, inputs: Sequence[str] = ()) -> Sequence[tuple[int, ...] | int]:
    """The sizes of what enters, without the batch: those that are given, or those of the library; a number of tokens.

    Raises: UsageError: nothing says them, or they can't be read.
    """
    return [_sizes(text) for text in inputs] or _usual(source)


def _sizes(text: str) -> tuple[int, ...] | int:
    if tokens := TOKENS.fullmatch(text):
        return int(tokens[1])
    if not SIZES.fullmatch(text):
        raise UsageError(
            f"--input '{text:.60}' isn't the size of what enters a module", "--input 3x224x224, --input T=128"
        )
    return tuple(int(size) for size in text.split("x"))


def _usual(source: Source) -> Sequence[tuple[int, ...] | int]:
    sizes = usual_sizes(source)
    if sizes is None:
        raise UsageError(f"nothing says what enters {source.name}", "--input 3x224x224")
    return sizes
