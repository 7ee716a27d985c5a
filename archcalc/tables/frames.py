"""Tables as data frames of pandas, Polars and Arrow, none of which archcalc needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archcalc import files
from archcalc.errors import UsageError
from archcalc.tables import Table

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

_BEYOND = 1 << 63
"""The integers of data frames end before it."""
_ALIKE = (bool, float)
"""Other types that data frames have; a fraction is a text, since no float is exact."""
PARQUET = ".parquet"


def to_pandas(table: Table) -> pandas.DataFrame:
    """A data frame; integers among which some are missing have pandas' own type for that, since floats aren't exact."""
    library = _library("pandas")
    columns = {
        name: library.array(values, dtype="Int64") if None in values and _are_integers(values) else values
        for name, values in frame(table).items()
    }
    made: pandas.DataFrame = library.DataFrame(columns)
    return made


def to_polars(table: Table) -> polars.DataFrame:
    """A data frame."""
    made: polars.DataFrame = _library("polars").DataFrame(frame(table))
    return made


def to_arrow(table: Table) -> pyarrow.Table:
    """An Arrow table."""
    made: pyarrow.Table = _library("pyarrow").table(frame(table))
    return made


def save_parquet(table: Table, file: Path) -> None:
    """Write a Parquet file; integers beyond 64 bits, and words, are texts.

    Raises: UsageError: pyarrow isn't installed, or the file can't be written.
    """
    found = to_arrow(table)
    with files.replacing(file) as stream:
        import_module("pyarrow.parquet").write_table(found, stream)


def frame(table: Table) -> dict[str, list[Any]]:
    """The columns of a table, each of one type: booleans, integers of 64 bits, floats or texts; None is missing."""
    columns: list[list[Any]] = [[] for _ in table.fields]
    for row in table.records():
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return dict(zip(table.fields, map(_of_one_type, columns), strict=True))


def _of_one_type(values: list[Any]) -> list[Any]:
    if _are_integers(values) or any(all(value is None or type(value) is one for value in values) for one in _ALIKE):
        return values
    return [None if value is None else str(value) for value in values]


def _are_integers(values: Sequence[Any]) -> bool:
    """Whether they are integers that data frames have, or missing."""
    return all(value is None or (type(value) is int and -_BEYOND <= value < _BEYOND) for value in values)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise UsageError(f"{name} isn't installed", f"pip install {name}") from None
