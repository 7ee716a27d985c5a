"""From what a user typed to a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from archcalc.cli.run import note, tell_diagnostics
from archcalc.data import dataclass
from archcalc.errors import Diagnostic, SpecError, UsageError
from archcalc.expand import build
from archcalc.expand.hparams import OutOfBounds
from archcalc.graph import Graph
from archcalc.questions.sizes import input_texts, sizes_of
from archcalc.shape import BATCH
from archcalc.symbolic import dim
from archcalc.zoo import Architecture, is_path, load

LEAVE_OUT = "leave one of them out"


@dataclass(frozen=True)
class Asked:
    """A network as it was typed: options as `sets` and `texts`, what they say as `hparams`, `sizes` and `symbolic`."""

    name: str
    sets: Sequence[str]
    texts: Sequence[str]
    architecture: Architecture
    hparams: dict[str, str]
    sizes: Mapping[str, Any]
    symbolic: list[str]

    @property
    def given(self) -> dict[str, Any]:
        """What questions are given beside the architecture."""
        return {"hparams": self.hparams, "sizes": self.sizes, "symbolic": self.symbolic}


def asked(name: str, sets: Sequence[str] = (), sizes: Sequence[str] = (), symbolic: str = "") -> Asked:
    """Load an architecture and read what is given beside it: `--set`, `--input` and `--symbolic`.

    Raises: UsageError: something can't be read, means nothing, or is given twice. SpecError: the spec is wrong.
    """
    architecture, sizes = loaded(name, sizes)
    found = Asked(
        name, sets, sizes, architecture, read_sets(sets), sizes_of(architecture, sizes), symbol_names(symbolic)
    )
    refuse_contradictions(found.hparams, found.sizes, found.symbolic)
    return found


def loaded(name: str, sizes: Sequence[str]) -> tuple[Architecture, list[str]]:
    """An architecture, and the sizes that are left to be given to it: none to a module that was traced with them."""
    architecture = load(name, inputs=sizes)
    return architecture, [] if architecture.origin else list(sizes)


def built(
    name: str, sets: Sequence[str] = (), sizes: Sequence[str] = (), quiet: bool = False, symbolic: str = ""
) -> tuple[Architecture, Graph]:
    """An architecture, and its graph with the user's values; on stderr, how many warnings there are.

    `symbolic` names sizes that stay open. If a size doesn't fit, the error says which sizes would.
    """
    found = asked(name, sets, sizes, symbolic)
    with explaining(found, quiet):
        graph = _graph(found)
    if not quiet:
        tell_warnings(graph.warnings, found)
    return found.architecture, graph


@contextmanager
def explaining(found: Asked, quiet: bool = False) -> Iterator[None]:
    """If a given size doesn't fit, let the error say which sizes would; `quiet`: errors without the warnings."""
    try:
        yield
    except SpecError as error:
        shown = [each for each in _with_nearest(error, found) if not (quiet and each.severity == "warning")]
        raise SpecError(shown) from None


def tell_warnings(warnings: tuple[Diagnostic, ...], found: Asked) -> None:
    """On stderr, how many warnings there are; the warnings themselves if sizes are given: check doesn't take them."""
    warn_of_order(found.architecture, found.hparams, found.sizes, found.texts)
    if warnings and found.texts:
        tell_diagnostics(warnings)
    elif warnings:
        shows = " ".join(["archcalc check", found.name, *(f"--set {quote(text)}" for text in found.sets)])
        count = len(warnings)
        note(f"1 warning; {shows} shows it" if count == 1 else f"{count} warnings; {shows} shows them")


def _graph(asked: Asked) -> Graph:
    architecture = asked.architecture
    if asked.symbolic or "sym" in asked.hparams.values():
        from archcalc.formulas.symbols import opened

        found = opened(architecture, asked.symbolic, asked.hparams, asked.sizes)
        if found.fixed:
            note(f"the structure depends on {', '.join(found.fixed)}: kept as numbers")
        return found.graph
    return architecture.build(hparams=asked.hparams, sizes=asked.sizes)


def _with_nearest(error: SpecError, asked: Asked) -> Sequence[Diagnostic]:
    """The diagnostics; if a given size doesn't fit, with the condition that it breaks and the nearest that fit.

    Sizes without names may have been meant in another order: then the error says how they were read.
    """
    architecture, sets, sizes = asked.architecture, asked.hparams, asked.sizes
    place = next((i for i, diagnostic in enumerate(error.diagnostics) if diagnostic.code.startswith("E2")), None)
    if place is None or not (sets or sizes):
        return error.diagnostics
    from archcalc.formulas.symbols import misfits
    from archcalc.questions.sizes import explained

    texts = input_texts(architecture, asked.texts).items()
    orders = (explained(architecture, sets, sizes, source, text) for source, text in texts)
    told = (*misfits(architecture, sets, sizes), *filter(None, orders))
    found = list(error.diagnostics)
    found[place] = replace(found[place], details=(*found[place].details, *told))
    return found


def refuse_contradictions(sets: Mapping[str, Any], sizes: Mapping[str, Any], names: Sequence[str]) -> None:
    """See that nobody gives a size in two ways: --set, --input and --symbolic, of which one would be passed over.

    `sets` are values by name, of axes too where a command takes them, or `sym`; `names` stay open.
    Raises: UsageError: something is given twice, and how.
    """
    names = [*names, *(name for name, value in sets.items() if value == "sym")]
    for name in names:
        if sets.get(name, "sym") != "sym":
            raise UsageError(f"--set gives '{name}' a value, and --symbolic leaves it open", LEAVE_OUT)
        if name in sizes and str(sizes[name]) != name:
            raise UsageError(f"--input says {name}={sizes[name]}, and --symbolic leaves {name} open", LEAVE_OUT)
    for axis in sizes:
        if sets.get(axis, "sym") != "sym":
            raise UsageError(f"both --input and --set say what {axis} is", LEAVE_OUT)


def refuse_unused_folder(names: Sequence[str], folder: Path | None) -> None:
    """See that `--specs`, in which names are looked up, has a name to look up.

    Raises: UsageError: all names are paths of files.
    """
    if folder is not None and names and all(map(is_path, names)):
        raise UsageError(f"'{names[0]}' is a file, and --specs is where names are looked up", LEAVE_OUT)


def warn_of_unread(architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any]) -> None:
    """On stderr, the warnings about values of hparams that nothing reads, as far as the network can be built.

    And about layers whose share of sums isn't known.
    """
    try:
        graph = build(architecture.spec, architecture.variant, sets, sizes)
    except (SpecError, OutOfBounds):
        return  # the answer will say so
    tell_diagnostics(tuple(each for each in graph.warnings if each.code in ("W406", "W409")))


def warn_of_order(
    architecture: Architecture, sets: Mapping[str, Any], sizes: Mapping[str, Any], texts: Sequence[str]
) -> None:
    """On stderr, a warning where the sizes of `--input` were probably meant in another order of axes."""
    if texts:
        from archcalc.questions.sizes import doubt

        for source, text in input_texts(architecture, texts).items():
            if warning := doubt(architecture, sets, sizes, source, text):
                note(f"warning: {warning}")


def symbol_names(text: str) -> list[str]:
    """`H,W,N` as names.

    Raises: UsageError: one is not a name.
    """
    names = [name.strip() for name in text.split(",")] if text else []
    for name in names:
        if not (name.isascii() and name.isidentifier()):
            of_axis = f"--symbolic {text.replace('.', '_')}" if name[-2:-1] == "." else f"--set {name}=sym"
            hint = of_axis if "." in name else "--symbolic H,W,N"
            raise UsageError(f"can't read --symbolic '{text}': '{name}' is not a name", hint)
    return names


def batch_of(symbolic: str, batch: int = 1) -> Any:
    """The batch: the symbol N if `--symbolic` has it.

    Raises: UsageError: it's given, too.
    """
    if BATCH not in symbol_names(symbolic):
        return batch
    if batch != 1:
        raise UsageError("the batch is given twice", "--batch, or N in --symbolic")
    return dim(BATCH)


def read_sets(given: Iterable[str]) -> dict[str, str]:
    """`--set` options as a mapping; the values stay texts in the spec language."""
    return pairs(given, "--set", "--set width=96, --set conv1.stride=3")


def pairs(given: Iterable[str], option: str, examples: str) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping.

    Raises: UsageError: one can't be read, or a name is given twice.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"can't read {option} '{text}'", examples)
        if name.strip() in found:
            raise UsageError(f"{option} says twice what '{name.strip()}' is", "give it one value")
        found[name.strip()] = value.strip()
    return found
