"""From a name of code to a spec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from archcalc.errors import UsageError
from archcalc.importers.imported import Imported, imported
from archcalc.importers.operations.exporting import NeedsValues
from archcalc.importers.sources import Size, Sizes, Source, buffers, built, examples, usual_sizes
from archcalc.language.model import Spec

INPUT = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)??(?:T=(?P<tokens>\d+)|(?P<sizes>\d+(?:x\d+)*))")
"""An input's sizes, or so many numbers of tokens, perhaps with its name."""

MOST_PARAMS = 500_000_000
"""Of a module that is given values, since its way depends on them: four bytes each."""


def spec_of_code(source: Source, inputs: Sequence[str] = ()) -> Spec:
    """The spec of what a library, or the user's code, builds: exported on PyTorch's meta device, without memory.

    Raises: UsageError: it can't be built, exported or said, or nothing says what enters it.
    """
    return import_code(source, inputs).spec


def import_code(source: Source, inputs: Sequence[str] = (), strict: bool = False) -> Imported:
    """The same with the spec's text, and what the module ran; where it's `strict`, all has to be known."""
    sizes = input_sizes(source, inputs)
    module = built(source, "meta")
    constants = buffers(source) if any(True for _ in module.buffers()) else {}
    try:
        return imported(module, examples(sizes, "meta"), source.label, source.name, constants, strict)
    except NeedsValues as error:
        if (params := sum(each.numel() for each in module.parameters())) > MOST_PARAMS:
            raise UsageError(str(error.args[0]), f"with {params:,} params that would take too much memory") from error
    module = built(source, "cpu")
    return imported(module, examples(sizes, "cpu"), source.label, source.name, {}, strict)


def input_sizes(source: Source, inputs: Sequence[str] = ()) -> Sizes:
    """The sizes of what enters, without the batch: those that are given, or those of the library; a number of tokens.

    Raises: UsageError: nothing says them, or they can't be read.
    """
    given = list(map(named_size, inputs))
    known = usual_sizes(source) if source.home == "transformers" or not given else None
    if isinstance(known, Mapping):
        free = iter(name for name in known if name not in dict(given))
        return dict(known) | {name or next(free, ""): sizes for name, sizes in given}
    if not given:
        if known is None:
            raise UsageError(f"nothing says what enters {source.name}", "--input 3x224x224")
        return known
    if len({bool(name) for name, _ in given}) > 1:
        raise UsageError("either all inputs have names, or none", "--input image=3x224x224 --input text=T=64")
    return dict(given) if given[0][0] else [sizes for _, sizes in given]


def named_size(text: str) -> tuple[str, Size]:
    """An input's name, if it's given, and its sizes: `image=3x224x224`, `T=64`.

    Raises: UsageError: they can't be read.
    """
    found = INPUT.fullmatch(re.sub(r"\s", "", text))
    if not found:
        raise UsageError(
            f"--input '{text:.60}' isn't the size of what enters a network", "--input 3x224x224, --input T=128"
        )
    size = int(found["tokens"]) if found["tokens"] else tuple(map(int, found["sizes"].split("x")))
    return found["name"] or "", size
