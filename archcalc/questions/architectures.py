"""The architectures there are: of the zoo, or of a folder of specs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import Any

from archcalc.errors import SpecError, UnknownNameError, UsageError, reason_of, suggestion
from archcalc.language.reader import load_spec
from archcalc.quantities import QUANTITIES, TOTALLED, known, listed
from archcalc.report import Report
from archcalc.symbolic import Dim, is_symbolic
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.json import document
from archcalc.tables.numbers import decimal, exact
from archcalc.work import TooMuchWork, renewed
from archcalc.zoo import Architecture, spec_files, variants

DEFAULT = ("params", "macs", "activation_bytes", "depth")
MEMORY = "memory: the activations of one example, as float32"
LABELS = {"activation_bytes": "memory"}


@dataclass(frozen=True)
class Entry:
    """One architecture, and what is known about it in its default sizes."""

    architecture: Architecture
    report: Report

    @property
    def name(self) -> str:
        """The name that commands use."""
        return self.architecture.name

    @property
    def family(self) -> str:
        """The name of its spec, whose variant it is."""
        return self.architecture.spec.name

    @property
    def title(self) -> str:
        """One line for people."""
        return self.architecture.spec.title_of(self.architecture.variant)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Further names of the variant."""
        variant = self.architecture.spec.variant(self.architecture.variant)
        return variant.aliases if variant else ()

    @property
    def input(self) -> str:
        """The sizes of its inputs, in the spec's order of axes."""
        return " and ".join(self.report.text(node.shape) for node in self.report.graph.inputs)


@dataclass(frozen=True, repr=False)
class Architectures(Answer):
    """Architectures in the order of their specs; `found["vgg16"].report` is all that is known about one."""

    entries: tuple[Entry, ...]
    refused: tuple[SpecError | TooMuchWork, ...] = field(default=(), compare=False)
    """What is wrong with specs of the folder that can't be listed."""

    def table(self, columns: str | Iterable[str] = DEFAULT, sort: str = "") -> Table:
        """A row for each, with the totals that `columns` names: by family, or from the largest of `sort` to the least.

        Raises: UnknownNameError: there is no such total.
        """
        columns = listed(columns)
        for column in (*columns, *filter(None, [sort])):
            known(column, *TOTALLED)
        entries = self._sorted(sort) if sort else self.entries
        labels = [LABELS.get(column, QUANTITIES[column].heading) for column in columns]
        return Table(
            [
                Column("name", Kind.WORD),
                *(Column(column, label=label) for column, label in zip(columns, labels, strict=True)),
                Column("title", Kind.TEXT, "input and title"),
            ],
            lambda: _rows(entries, columns, families=not sort),
            keys=["name", "input", *columns, "title"],
            values=lambda: ([entry.name, entry.input, *_totals(entry, columns), entry.title] for entry in entries),
            json=lambda: document([_record(entry, columns) for entry in entries]),
            notes=[*[MEMORY] * ("activation_bytes" in columns), *map(_left_out, self.refused)],
        )

    def _sorted(self, sort: str) -> list[Entry]:
        """From the largest value to the least; what depends on a symbol comes last."""
        pairs = [(entry.report.total(sort), entry) for entry in self.entries]
        numbers = sorted((pair for pair in pairs if not is_symbolic(pair[0])), key=itemgetter(0), reverse=True)
        return [entry for _, entry in numbers] + [entry for total, entry in pairs if is_symbolic(total)]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> Entry:
        """The architecture of this name.

        Raises: UnknownNameError: there is none.
        """
        for entry in self.entries:
            if name in (entry.name, *entry.aliases):
                return entry
        raise UnknownNameError(f"no architecture is called '{name}'", suggestion(str(name), [e.name for e in self]))


def architectures(text: str = "", *, specs: str | PathLike[str] | None = None) -> Architectures:
    """The architectures of the zoo, or of a folder of specs, each with its report: those that mention a text, or all.

    The text is looked for in names, aliases and titles, in any case. A spec that is wrong is left out, and is among the
    answer's `refused`.
    Raises: UsageError: nothing mentions the text, or there is no spec in the folder.

    >>> import archcalc
    >>> [entry.name for entry in archcalc.architectures("lenet5")]
    ['lenet5', 'lenet5_modern']
    >>> archcalc.architectures("VGG-19")["vgg19"].report.totals["params"]
    143667240
    """
    if not isinstance(text, str):
        raise UsageError(f"a text is looked for, not {text!r:.60}", "architectures('resnet')")
    found, refused = list[Entry](), list[SpecError | TooMuchWork]()
    every = list(_architectures(_folder(specs), refused))
    for architecture in every:
        if not _mentions(architecture, text):
            continue
        try:
            with renewed():
                entry = Entry(architecture, Report(architecture.build()))
                _totals(entry, DEFAULT)
        except (SpecError, TooMuchWork) as error:
            refused.append(error)
        else:
            found.append(entry)
    if not found and not refused:
        names = [architecture.name for architecture in every]
        raise UsageError(f"no architecture mentions '{text}'", suggestion(text, names))
    return Architectures(tuple(found), tuple(refused))


def _folder(folder: object) -> Path | None:
    if folder is not None and not isinstance(folder, (str, PathLike)):
        raise UsageError(f"a folder of specs is a path, not {folder!r:.60}", "architectures(specs='my/specs')")
    return None if folder is None else Path(folder)


def _architectures(folder: Path | None, refused: list[SpecError | TooMuchWork]) -> Iterator[Architecture]:
    """Every variant of every spec of a folder; what is wrong with others is added to `refused`."""
    for file in spec_files(folder):
        try:
            spec = load_spec(file)
        except (SpecError, TooMuchWork) as error:
            refused.append(error)
        else:
            yield from variants(spec)


def _mentions(architecture: Architecture, text: str) -> bool:
    """Whether a text stands in one of an architecture's names or in its title, in any case."""
    spec = architecture.spec
    variant = spec.variant(architecture.variant)
    aliases = variant.aliases if variant else ()
    names = (architecture.name, spec.name, architecture.variant, *aliases, spec.title_of(architecture.variant))
    return any(text.lower() in name.lower() for name in names)


def _rows(entries: Iterable[Entry], columns: Sequence[str], families: bool) -> Iterator[list[str]]:
    """The rows for people; the variants of one spec stand below its title."""
    for _, group in groupby(entries, key=lambda entry: entry.architecture.spec.source.file):
        variants = list(group)
        spec, below = variants[0].architecture.spec, families and len(variants) > 1
        if below:
            yield [spec.name, *[""] * len(columns), spec.title]
        for entry in variants:
            title = "" if below and entry.title == spec.title else entry.title
            cells = map(_told, columns, _totals(entry, columns))
            yield ["  " * below + entry.name, *cells, ": ".join(filter(None, (entry.input, title)))]


def _left_out(error: SpecError | TooMuchWork) -> str:
    """What is wrong with a spec that isn't listed, and where."""
    if isinstance(error, TooMuchWork):
        return f"left out: {error.args[0]}"
    return f"left out: {error.first.mark}: {reason_of(error)}"


def _told(column: str, total: Dim) -> str:
    """A total; of a formula, what it depends on, and of bytes the first few digits."""
    if is_symbolic(total):
        return f"depends on {', '.join(sorted(map(str, total.free_symbols)))}"
    return f"{decimal(total, 10**6)} MB" if QUANTITIES[column].in_bytes else exact(total)


def _totals(entry: Entry, columns: Sequence[str]) -> list[Dim]:
    return [entry.report.total(column) for column in columns]


def _record(entry: Entry, columns: Sequence[str]) -> Mapping[str, Any]:
    report = entry.report
    return {
        "name": entry.name,
        "spec": entry.family,
        "variant": entry.architecture.variant,
        "aliases": list(entry.aliases),
        "title": entry.title,
        "inputs": {node.name: report.ordered(node.shape) for node in report.graph.inputs},
        **dict(zip(columns, _totals(entry, columns), strict=True)),
    }
