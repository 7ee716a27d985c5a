"""What questions about whole specs are asked about: those of a folder, some that are named, or single variants."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from archcalc.data import dataclass
from archcalc.errors import ArchcalcError, SpecError, UsageError
from archcalc.language.model import Spec
from archcalc.language.reader import load_spec
from archcalc.questions.networks import Network, architecture_of
from archcalc.work import TooMuchWork, renewed
from archcalc.zoo import Architecture, architectures, is_path, load, spec_files, variants

T = TypeVar("T")

Named: TypeAlias = "Network | Spec"
"""What may be named: a spec, a folder of them, or a network, which is one of a spec's variants."""
OnError: TypeAlias = "Callable[[ArchcalcError], object] | None"
"""What to do with the errors of one of several networks, instead of raising them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A spec, what it was called, and its only variant that is meant, None for all of them."""

    name: str
    spec: Spec
    variant: str | None = None

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that are meant; one without a name in a spec that has none."""
        return tuple(self.spec.variants or ("",)) if self.variant is None else (self.variant,)


@dataclass(frozen=True, slots=True)
class InFolder:
    """One of a folder's specs, which is called what it calls itself."""

    file: Path


def subject_of(named: Named | InFolder, folder: Path | None = None) -> Subject:
    """The spec that is named: all of it by its own name or by its path, else one variant.

    Raises: UsageError: there is no such name, or it's a graph, of which no spec is left. SpecError: the spec is wrong.
    """
    if isinstance(named, InFolder):
        spec = load_spec(named.file)
        return Subject(spec.name, spec)
    if isinstance(named, Spec):
        return Subject(named.name, named)
    if not isinstance(named, (str, PathLike)):
        architecture = architecture_of(named)
        return Subject(architecture.name, architecture.spec, architecture.variant)
    architecture, name = load(named, folder), str(named)
    is_file = (isinstance(named, PathLike) or is_path(name)) and os.path.isfile(name)
    whole = is_file or name == architecture.spec.name or not architecture.variant
    return Subject(name, architecture.spec, None if whole else architecture.variant)


def answered(
    ask: Callable[[Named | InFolder, Path | None], T],
    networks: Sequence[Named],
    specs: str | PathLike[str] | None = None,
    on_error: OnError = None,
) -> tuple[T, ...]:
    """The answers about each network; `ask` is given the folder, too, in which names are looked up.

    A folder among the networks stands for all of its specs, and no network for all of `specs`, by default the zoo. Each
    spec has a budget of work of its own.
    Raises: ArchcalcError: whatever is wrong with one of them, unless there is `on_error`.
    """
    folder, attempts = folder_of(specs), Attempts(on_error)
    found = []
    for several in [partial(_specs, named, folder) for named in networks] or [partial(_in_folder, folder)]:
        for each in attempts.of(several):
            found += attempts.of(partial(_once, ask, each, folder))
    return tuple(found)


class Attempts:
    """Steps of which some may fail: whoever asks for errors gets them, and the other steps go on."""

    def __init__(self, on_error: OnError) -> None:
        self.on_error, self.failed = on_error, False

    def of(self, step: Callable[[], Iterable[T]]) -> list[T]:
        """What a step gives, with a budget of work of its own; nothing if it fails.

        Raises: ArchcalcError: it fails, and nobody asks for errors.
        """
        try:
            with renewed():
                return list(step())
        except (UsageError, SpecError, TooMuchWork) as error:
            if self.on_error is None:
                raise
            self.failed = True
            self.on_error(error)
            return []


def _once(ask: Callable[[Any, Path | None], T], named: Any, folder: Path | None) -> list[T]:
    return [ask(named, folder)]


def folder_of(specs: str | PathLike[str] | None) -> Path | None:
    """A folder of specs; None stands for the zoo.

    Raises: UsageError: it's no folder.
    """
    if specs is None:
        return None
    if not isinstance(specs, (str, PathLike)) or not os.path.isdir(specs):
        raise UsageError(f"{specs!r:.60} is not a folder", "specs='my/specs', or leave it out for the zoo")
    return Path(specs)


def is_folder(named: Any, folder: Path | None = None) -> bool:
    """Whether a folder of specs is named: by a path, or by a name that no network has."""
    if not isinstance(named, (str, PathLike)) or not os.path.isdir(named):
        return False
    if isinstance(named, PathLike) or is_path(named):
        return True
    try:
        load(named, folder)
    except UsageError:
        return True
    return False


def architectures_among(networks: Sequence[Named], folder: Path | None, attempts: Attempts) -> Iterator[Architecture]:
    """The architectures that are named, or all of the folder's: those whose specs can be read."""
    if networks:
        parts = [part for named in networks for part in attempts.of(partial(_parts, named, folder))]
    else:
        parts = attempts.of(partial(_in_folder, folder))
    for part in parts:
        yield from attempts.of(partial(architectures_of, part, folder))


def _parts(named: Named, folder: Path | None) -> Iterable[Named | InFolder]:
    if isinstance(named, (str, PathLike)) and is_folder(named, folder):
        return map(InFolder, spec_files(Path(named)))
    return (named,)


def architectures_of(named: Named | InFolder, folder: Path | None = None) -> Iterable[Architecture]:
    """The architectures that are named: one, or all of a spec's or a folder's.

    Raises: UsageError: there is no such name, or it's a graph. SpecError: a spec is wrong.
    """
    if isinstance(named, InFolder):
        return variants(load_spec(named.file))
    if isinstance(named, Spec):
        return variants(named)
    if isinstance(named, (str, PathLike)):
        return architectures(Path(named)) if is_folder(named, folder) else (load(named, folder),)
    return (architecture_of(named),)


def _in_folder(folder: Path | None) -> Iterable[Any]:
    return map(InFolder, spec_files(folder))


def _specs(named: Named, folder: Path | None) -> Iterable[Named | InFolder]:
    """What is named, a folder's specs one by one."""
    if isinstance(named, (str, PathLike)) and is_folder(named, folder):
        return spec_files(Path(named))
    return (named,)
