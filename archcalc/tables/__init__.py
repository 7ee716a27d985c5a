"""One table for every answer, whatever it's about and however it's written. Each writer is a module of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from enum import Enum, auto
from typing import Any

from archcalc.data import dataclass

REPR_ROWS, HTML_ROWS = 60, 300
"""Rows that a table shows in a REPL and in a notebook."""


class Kind(Enum):
    """What a column's texts are. How they are aligned, styled, and shortened in a narrow terminal follows from it."""

    NAME = auto()
    """Where or what something is; it may lose its middle."""
    LAYERS = auto()
    """What a row consists of; it may lose its end."""
    NUMBER = auto()
    """A number, never cut; or a formula, which may be. On the right."""
    SIZES = auto()
    """Sizes such as 3x224x224, or words about numbers, never cut; or formulas, which may be. On the right."""
    SHARE = auto()
    """A share of a sum, whose exact value is a number from 0 to 1; a terminal draws a bar. On the right."""
    WORD = auto()
    """A word or two, never cut."""
    VERDICT = auto()
    """A word that has a colour."""
    TEXT = auto()
    """Sentences: they wrap, or stand below their row. Only the last column may have them."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `key` names it for programs, `label` for people.

    Of those with `drop` a terminal that is too narrow leaves out the one with the least first.
    """

    key: str
    kind: Kind = Kind.NUMBER
    label: str | None = None
    drop: int = 0

    @property
    def heading(self) -> str:
        """What stands above it."""
        return self.key if self.label is None else self.label

    @property
    def left(self) -> bool:
        """Whether it's aligned on the left."""
        return self.kind not in (Kind.NUMBER, Kind.SIZES, Kind.SHARE)


@dataclass(frozen=True, repr=False)
class Table:
    r"""Rows of texts, and what stands around them. What costs something to find is a function, called where it's shown.

    `name` and `title`: what the table is about. `rows`: may be called again; each has a text for each column. `total`:
    the last row. `remarks`: what is to be said about a row, by its number. `facts`: what, and how much. `sections`:
    further tables below. `notes`: sentences. `summary`: the whole answer in a sentence.

    For programs: `values` are the rows with exact values, under `keys`, the columns' unless given; `json` the lines of
    a JSON text, without which it's an array of the values. They're asked for once. `widths`: the widest text of each
    column, where that can be told more cheaply than from the rows.

    >>> from archcalc.tables.formats import lines
    >>> table = Table([Column("name", Kind.NAME), Column("params")], lambda: [["conv1", "1,792"]])
    >>> print("\n".join(lines(table, "markdown")))
    | name | params |
    | :-- | --: |
    | conv1 | 1,792 |
    """

    columns: Sequence[Column] = ()
    rows: Callable[[], Iterable[Sequence[str]]] = tuple
    name: str = ""
    title: str = ""
    total: Callable[[], Sequence[str]] = tuple
    remarks: Mapping[int, Sequence[str]] = field(default_factory=dict)
    facts: Callable[[], Iterable[tuple[str, str]]] = tuple
    sections: Callable[[], Iterable[Table]] = tuple
    notes: Sequence[str] = ()
    summary: str = ""
    keys: Sequence[str] = ()
    values: Callable[[], Iterable[Sequence[Any]]] | None = None
    json: Callable[[], Iterable[str]] | None = None
    widths: Callable[[], Sequence[int]] | None = None

    def __repr__(self) -> str:
        from archcalc.tables.plain import lines

        return "\n".join(lines(self, REPR_ROWS))

    def _repr_html_(self) -> str:
        from archcalc.tables.html import fragment

        return "\n".join(fragment(self, HTML_ROWS))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows: a table, or the text where it shows no HTML."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    @property
    def heading(self) -> str:
        """The name and the title in one line."""
        return ": ".join(filter(None, (self.name, self.title)))

    @property
    def fields(self) -> Sequence[str]:
        """The names of the values in each row."""
        return self.keys or [column.key for column in self.columns]

    def records(self) -> Iterable[Sequence[Any]]:
        """The rows for programs."""
        return (self.values or self.rows)()

    def told(self) -> Iterator[Sequence[str]]:
        """The rows, with their remarks in the last cell: for formats in which nothing can stand below a row."""
        for number, cells in enumerate(self.rows()):
            if found := self.remarks.get(number):
                cells = [*cells[:-1], ". ".join(filter(None, (cells[-1], *found)))]
            yield cells
