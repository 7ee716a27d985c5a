"""Golden values: what was computed for an architecture when somebody last looked, as files under version control.

They guard against change. Truth comes from PyTorch and from the published figures (claims), not from here. Only what is
recognised as written here is ever removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from itertools import groupby
from os import PathLike
from pathlib import Path

from archcalc import files
from archcalc.errors import UsageError, spelled
from archcalc.questions.golden_files import (
    Difference,
    begins_as_golden,
    differences,
    file_name,
    golden_values,
    is_golden,
    read,
    to_text,
)
from archcalc.questions.subjects import Attempts, Named, OnError, architectures_among, folder_of
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Judgement
from archcalc.zoo import Architecture

COLUMNS = (
    Column("name", Kind.NAME), Column("where", Kind.NAME), Column("what", Kind.WORD), Column("recorded"),
    Column("computed"),
)  # fmt: skip
SHOWN = 20
"""Differences of one network that are listed as sentences."""


@dataclass(frozen=True, repr=False)
class GoldenCheck(Judgement):
    """How what is computed differs from what was recorded; iterating gives the differences."""

    differences: tuple[Difference, ...]

    def table(self) -> Table:
        """A row for each difference."""
        return _table(self.differences, "golden values", "all values are as recorded")

    @property
    def ok(self) -> bool:
        """Whether nothing differs, no file is missing, and none is left over."""
        return not self.differences

    def sentences(self) -> Iterator[str]:
        """The differences, of each network the first ones, and what to do about them."""
        for name, found in groupby(self.differences, key=lambda difference: difference.name):
            several = list(found)
            yield from map(str, several[:SHOWN])
            if len(several) > SHOWN:
                yield f"{name}: {len(several) - SHOWN:,} more differences; {spelled('--format plain')} lists all"
        count = len({difference.name for difference in self.differences})
        if count:
            differ = "1 differs" if count == 1 else f"{count:,} differ"
            yield f"{differ}; archcalc golden update records what is computed now"
        else:
            yield "all values are as recorded"

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    def __len__(self) -> int:
        return len(self.differences)


@dataclass(frozen=True, repr=False)
class GoldenUpdate(Judgement):
    """What was recorded anew; iterating gives the changes. `left` are files that no spec owns, still there."""

    changes: tuple[Difference, ...]
    left: tuple[Difference, ...] = ()

    def table(self) -> Table:
        """A row for each value that changed, and each file that was written or removed."""
        return _table((*self.changes, *self.left), "golden values", "nothing changed")

    @property
    def ok(self) -> bool:
        """Whether the folder is now as `golden_check` wants it."""
        return not self.left

    def sentences(self) -> Iterator[str]:
        """The changes, a line each."""
        yield from map(str, (*self.changes, *self.left) or ("nothing changed",))

    def __iter__(self) -> Iterator[Difference]:
        return iter((*self.changes, *self.left))

    def __len__(self) -> int:
        return len(self.changes) + len(self.left)


def _table(found: Sequence[Difference], title: str, otherwise: str) -> Table:
    keys = [column.key for column in COLUMNS]
    if not found:
        return Table(title=title, keys=keys, summary=otherwise)
    return Table(COLUMNS, lambda: map(astuple, found), title=title, keys=keys)


def golden_check(
    *networks: Named, specs: str | PathLike[str] | None = None, golden: str | PathLike[str] = "golden",
    on_error: OnError = None,
) -> GoldenCheck:  # fmt: skip
    """Compare golden files, those in the folder `golden`, with what is computed now.

    A folder among the networks stands for all of its architectures, and no network for those of `specs`, by default the
    zoo; then files that no spec owns are differences, too. With `on_error`, which is called with them, specs that are
    wrong don't keep the others from being compared; which files no spec owns isn't known then.
    Raises: UsageError: there is no such name, the folder is a symbolic link, or two architectures have one name.
    SpecError: a spec is wrong.

    >>> import archcalc
    >>> archcalc.golden_check("lenet5", golden="nowhere").to_dict()
    [{'name': 'lenet5', 'where': '', 'what': 'there is no golden file', 'recorded': '', 'computed': ''}]
    """
    place = _checked(golden)
    attempts = Attempts(on_error)
    chosen = _chosen(networks, folder_of(specs), attempts)
    found = [each for one in chosen for each in attempts.of(partial(_compared, one, place))]
    if not networks and not attempts.failed:
        found += [Difference(str(file), what="no spec owns this file") for file in _ownerless(place, chosen)]
    return GoldenCheck(tuple(found))


def _compared(architecture: Architecture, folder: Path) -> Iterable[Difference]:
    name = architecture.name
    before, problem = read(folder / file_name(name))
    return [Difference(name, what=problem)] if problem else differences(name, before, golden_values(architecture))


def golden_update(
    *networks: Named, specs: str | PathLike[str] | None = None, golden: str | PathLike[str] = "golden",
    prune: bool = False, on_error: OnError = None,
) -> GoldenUpdate:  # fmt: skip
    """Write the golden files that differ from what is computed now, into the folder `golden`.

    The networks are as for `golden_check`, and so is `on_error`; with errors nothing is removed. Golden files that no
    spec owns are reported, and removed if `prune`; other files are left alone.
    Raises: UsageError: a file can't be written or is in the way, the folder is a symbolic link, two architectures have
    one name, or `prune` is asked for beside networks. SpecError: a spec is wrong.

    >>> import archcalc, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> [str(change) for change in archcalc.golden_update("lenet5", golden=folder)]
    ['lenet5: recorded']
    >>> archcalc.golden_check("lenet5", golden=folder).ok
    True
    """
    if prune and networks:
        raise UsageError("'prune' looks at all specs: leave out the names")
    place = _checked(golden)
    attempts = Attempts(on_error)
    chosen = _chosen(networks, folder_of(specs), attempts)
    files.make_folder(place)
    changes = [change for one in chosen for change in attempts.of(partial(_recorded, one, place))]
    ownerless = [] if networks or attempts.failed else _ownerless(place, chosen)
    if not prune:
        left = spelled("no spec owns this file; --prune removes it")
        return GoldenUpdate(tuple(changes), tuple(Difference(str(file), what=left) for file in ownerless))
    for file in ownerless:
        files.remove(file)
        changes.append(Difference(str(file), what="removed, no spec owns it"))
    return GoldenUpdate(tuple(changes))


def _recorded(architecture: Architecture, folder: Path) -> Iterable[Difference]:
    """Write an architecture's golden file if it differs; what changed."""
    name, values = architecture.name, golden_values(architecture)
    file = folder / file_name(name)
    before, problem = read(file)
    if problem and not begins_as_golden(file):
        raise UsageError(f"{name}: {problem}", f"it stays as it is: remove {file}, or name another folder")
    replaced = Difference(name, what=f"replaced: {problem}")
    found = [replaced] if problem else list(differences(name, before, values))
    if found:
        files.write_text(file, to_text(values), own=True)
    return [Difference(name, what="recorded")] if before is None and not problem else found


def _checked(folder: str | PathLike[str]) -> Path:
    """The folder of golden files, which needn't be there.

    Raises: UsageError: it's no path, or a symbolic link.
    """
    if not isinstance(folder, (str, PathLike)):
        raise UsageError(f"{folder!r:.60} is not a folder", "golden='my/golden'")
    place = Path(folder)
    if place.is_symlink():
        raise UsageError(f"'{place}' is a symbolic link, which is not followed", "name the folder it leads to")
    return place


def _ownerless(folder: Path, chosen: Sequence[Architecture]) -> list[Path]:
    """The golden files, recognised by what is in them, that none of the architectures has written."""
    owned = {file_name(architecture.name) for architecture in chosen}
    return [file for file in sorted(folder.glob("*.json")) if file.name not in owned and is_golden(file)]


def _chosen(networks: Sequence[Named], folder: Path | None, attempts: Attempts) -> list[Architecture]:
    """The architectures that are meant, as far as their specs can be read.

    Raises: UsageError: two of them have one name, so that their files would be one.
    """
    by_name: dict[str, Architecture] = {}
    for architecture in architectures_among(networks, folder, attempts):
        other = by_name.setdefault(architecture.name, architecture)
        first, second = (f"{found.spec.source.file}:{found.variant}".rstrip(":") for found in (other, architecture))
        if first != second:
            raise UsageError(f"two networks are called '{architecture.name}': {first} and {second}")
    return list(by_name.values())
