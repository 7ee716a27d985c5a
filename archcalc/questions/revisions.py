"""What changed in a folder of specs between two git revisions: for a reviewer, or a comment on a pull request."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from archcalc import text
from archcalc.errors import SpecError, UsageError, reason_of
from archcalc.files import write_bytes
from archcalc.language.reader import load_spec
from archcalc.language.tree import MAX_BYTES
from archcalc.quantities import QUANTITIES, sums
from archcalc.questions.compare import DEFAULT, Comparison, changes_table, comparison_data
from archcalc.report import Report
from archcalc.tables import Column, Table
from archcalc.tables import Kind as Cells
from archcalc.tables.answer import Answer
from archcalc.tables.numbers import signed
from archcalc.work import TooMuchWork, renewed
from archcalc.zoo import Architecture, spec_files, variants

_BLOB = re.compile(rb"100\d{3} blob (?P<id>[0-9a-f]+) +(?P<size>\d+)\t(?P<name>[^/\0]+\.ya?ml)")
"""A plain file that is a spec, as `git ls-tree` lists it; links have the mode 120000."""


@dataclass(frozen=True, repr=False)
class Differences(Answer):
    """The networks that are new, gone or changed, by name; and files that could not be read or built, with the reason.

    `revisions` says between what; `unchanged` is how many are the same on both sides.
    """

    revisions: str
    added: Mapping[str, Report]
    removed: Mapping[str, Report]
    changed: Mapping[str, Comparison]
    broken: Mapping[str, str]
    unchanged: int

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.added or self.removed or self.changed or self.broken)

    def table(self, columns: str | Iterable[str] = DEFAULT) -> Table:
        """The networks that are new, gone or changed and the difference in these sums, each with what changed in it.

        Raises: UnknownNameError: there is no such quantity, or it isn't a sum.
        """
        columns = sums(columns)
        head = [Column("network", Cells.NAME), Column("change", Cells.WORD)]
        head += [Column(name, label=QUANTITIES[name].heading) for name in columns]
        rows = [(name, "added", [each.totals[column] for column in columns]) for name, each in self.added.items()]
        rows += [(name, "removed", [-each.total(column) for column in columns]) for name, each in self.removed.items()]
        rows += [
            (name, "changed", [each.difference(column) for column in columns]) for name, each in self.changed.items()
        ]
        counts = f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"
        return Table(
            columns=head if rows else (),
            rows=lambda: ([name, kind, *map(signed, costs)] for name, kind, costs in rows),
            values=lambda: ([name, kind, *costs] for name, kind, costs in rows),
            name=self.revisions,
            sections=lambda: (_changed(name, each, columns) for name, each in self.changed.items()),
            notes=[f"{name} can't be compared: {reason}" for name, reason in self.broken.items()],
            summary=f"{counts if self else 'no changes'}, {self.unchanged} unchanged",
            keys=[column.key for column in head],
            json=lambda: [text.json(_differences_data(self), default=str)],
        )


def diff(base: str, head: str = "", *, specs: str | PathLike[str] = ".") -> Differences:
    """Compare the networks of a folder of specs at two git revisions; without `head`, with the files as they are.

    Raises: UsageError: there is no such revision or folder, or git can't be called.

    >>> import archcalc
    >>> archcalc.diff("main", specs="no/such/folder")
    Traceback (most recent call last):
    archcalc.errors.UsageError: there is no folder 'no/such/folder'
        hint: specs='my/specs'
    """
    folder = Path(specs)
    if not folder.is_dir():
        raise UsageError(f"there is no folder '{specs}'", "--specs my/specs")
    with TemporaryDirectory() as scratch:
        before = _networks(_checked_out(base, folder, Path(scratch, "base")), base)
        after = _networks(_checked_out(head, folder, Path(scratch, "head")) if head else folder, head or "now")
    broken = before.broken | after.broken
    changed: dict[str, Comparison] = {}
    unchanged = 0
    for name in [name for name in after.reports if name in before.reports]:
        found = Comparison((before.reports[name], after.reports[name]))
        with _telling(broken, name):
            if found.changes:
                changed[name] = found
            else:
                unchanged += 1
    added, removed = _without(after, before, broken), _without(before, after, broken)
    return Differences(f"{base} to {head or 'the files as they are'}", added, removed, changed, broken, unchanged)


@contextmanager
def _telling(broken: dict[str, str], name: str) -> Iterator[None]:
    """A budget of work for one network; why it can't be looked at goes into `broken`."""
    try:
        with renewed():
            yield
    except SpecError as error:
        broken[name] = _first(error)
    except UsageError as error:
        broken[name] = str(error.args[0])
    except TooMuchWork as error:
        broken[name] = error.message


@dataclass
class _Networks:
    """The networks of a folder; what is wrong with others, and in which files."""

    reports: dict[str, Report] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    incomplete: set[str] = field(default_factory=set)

    def add(self, architecture: Architecture, file: str, revision: str) -> None:
        """Build one more network; a name that two files declare is broken."""
        name = architecture.name
        with _telling(self.broken, f"{name} ({revision})"):
            if (other := self.files.setdefault(name, file)) != file:
                raise UsageError(f"two files declare it, {other} and {file}")
            self.reports[name] = Report(architecture.build())


def _without(one: _Networks, other: _Networks, broken: dict[str, str]) -> dict[str, Report]:
    """The networks that only one side has, analysed; not those that the other side may have, but can't build."""
    found = {}
    for name, report in one.reports.items():
        if name not in other.reports and one.files[name] not in other.incomplete:
            with _telling(broken, name):
                if report.totals:
                    found[name] = report
    return found


def _networks(folder: Path, revision: str) -> _Networks:
    """Every network of a folder and its report."""
    found = _Networks()
    for file in spec_files(folder) if any(folder.iterdir()) else ():
        before = len(found.broken)
        with _telling(found.broken, f"{file.name} ({revision})"):
            spec = load_spec(file)
            for architecture in variants(spec):
                found.add(architecture, file.name, revision)
        if len(found.broken) > before:
            found.incomplete.add(file.name)
    return found


def _first(error: SpecError) -> str:
    place = f"line {error.first.mark.line}: " if error.first.mark else ""
    return f"{place}{reason_of(error)}"


def _checked_out(revision: str, folder: Path, into: Path) -> Path:
    """Write a folder's specs as they were at a revision into another folder: plain files alone, no links."""
    into.mkdir()
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if not commit:
        raise UsageError(f"git knows no revision '{revision}' in '{folder}'", "a branch, a tag or a commit")
    for entry in _git(folder, "ls-tree", "-l", "-z", commit.decode().strip()).split(b"\0"):
        if (match := _BLOB.fullmatch(entry)) and int(match["size"]) <= MAX_BYTES:
            write_bytes(into / os.fsdecode(match["name"]), _git(folder, "cat-file", "blob", match["id"].decode()))
    return into


def _git(folder: Path, *arguments: str) -> bytes:
    """What git prints; nothing if it fails.

    Raises: UsageError: there is no git.
    """
    try:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False).stdout
    except FileNotFoundError:
        raise UsageError("git can't be found", "archcalc compare needs none") from None


def _changed(name: str, found: Comparison, columns: Sequence[str]) -> Table:
    table = changes_table(found.changes, columns)
    return Table(table.columns, table.rows, name=name, title=table.title)


def _differences_data(found: Differences) -> Mapping[str, object]:
    return {
        "archcalc": 1,
        "added": {name: dict(report.totals) for name, report in found.added.items()},
        "removed": {name: dict(report.totals) for name, report in found.removed.items()},
        "changed": {name: comparison_data(each) for name, each in found.changed.items()},
        "broken": dict(found.broken),
        "unchanged": found.unchanged,
    }
