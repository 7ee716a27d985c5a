"""What every answer can do, since it has a table: print, show itself in a notebook, be written, become a data frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archcalc import files
from archcalc.errors import UsageError, suggestion
from archcalc.tables import Table, formats, frames

if TYPE_CHECKING:
    import pandas
    import polars


class Answer:
    """What has a table, as every answer has; printed, it is that table.

    In a condition an answer that judges (of `check`, `claims`, `verify` and about golden files) is as true as its `ok`;
    another one is true if it has rows.

    `choices` are what its `table` takes, columns for instance. In a data frame an expression, a fraction and an integer
    beyond 64 bits are texts, so that every number is exact.
    """

    table: Callable[..., Table]
    """The rows and what stands around them; what it takes depends on the answer."""

    def _wide(self) -> Table:
        """The table that becomes a data frame: with more columns, where people are shown a few."""
        return self.table()

    def to(self, form: str, **choices: Any) -> str:
        """The answer as a text in one of the formats: plain, markdown, html, latex, latex-siunitx, csv, json.

        Raises: UsageError: there is no such format, or choices would have no effect, since JSON has everything.

        >>> import archcalc
        >>> print(archcalc.analyze("lenet5").to("csv", columns=["name", "params"], depth=1).splitlines()[1])
        input,0
        """
        if form not in formats.FORMATS:
            meant = formats.SUFFIXES.get(f".{form}", "")
            hint = f"did you mean '{meant}'?" if meant else suggestion(str(form), formats.FORMATS)
            raise UsageError(f"unknown format '{form}'", hint)
        table = self._with(choices)
        if choices and form == "json" and table.json is not None:
            raise UsageError(f"JSON has everything: leave out {', '.join(choices)}", "to('csv') takes them")
        return "\n".join(formats.lines(table, form)) + "\n"

    def save(self, path: str | PathLike[str], **choices: Any) -> None:
        """Write the answer to a file, in the format of its suffix: .txt, .md, .html, .tex, .csv, .json or .parquet.

        Raises: UsageError: no format has the suffix, pyarrow isn't installed, which Parquet needs, or the file can't be
        written; what was there is then still there.
        """
        if not isinstance(path, (str, PathLike)):
            raise UsageError(f"a file is named by its path, not by {path!r:.60}")
        file = Path(path)
        if file.suffix.lower() == frames.PARQUET:
            frames.save_parquet(self._framed(choices), file)
        elif (form := formats.SUFFIXES.get(file.suffix.lower())) is not None:
            files.write_text(file, self.to(form, **choices))
        else:
            known = ", ".join((*filter(None, formats.SUFFIXES), frames.PARQUET))
            raise UsageError(f"can't tell the format from '{path}'", f"a file's name ends in one of {known}")

    def to_dict(self) -> Any:
        """What `--format json` prints: an object; of an answer that is rows alone, a list with an object for each.

        >>> import archcalc
        >>> archcalc.analyze("lenet5").to_dict()["totals"]["depth"]
        4
        """
        return json.loads(self.to("json"))

    def to_pandas(self, **choices: Any) -> pandas.DataFrame:
        """The rows as a data frame of pandas; without choices, all columns.

        Raises: UsageError: pandas isn't installed.
        """
        return frames.to_pandas(self._framed(choices))

    def to_polars(self, **choices: Any) -> polars.DataFrame:
        """The rows as a data frame of Polars; without choices, all columns.

        Raises: UsageError: Polars isn't installed.
        """
        return frames.to_polars(self._framed(choices))

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The rows for whatever reads Arrow's streams (DuckDB, Polars, pandas …).

        Raises: UsageError: pyarrow isn't installed.
        """
        return frames.to_arrow(self._framed({})).__arrow_c_stream__(requested_schema)

    def _framed(self, choices: dict[str, Any]) -> Table:
        return self._with(choices) if choices else self._wide()

    def _with(self, choices: dict[str, Any]) -> Table:
        """The table with these choices.

        Raises: UsageError: it takes no such choice.
        """
        known = signature(self.table).parameters
        for name in choices:
            if name not in known:
                raise UsageError(f"this table has no choice '{name}'", suggestion(name, known) or "it takes none")
        return self.table(**choices)

    def _shown(self) -> Table:
        """What a REPL and a notebook show: where a command says something on stderr, with that as notes."""
        return self.table()

    def __repr__(self) -> str:
        return repr(self._shown())

    def _repr_html_(self) -> str:
        return self._shown()._repr_html_()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows: a table, or the text where it shows no HTML."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


class Judgement(Answer):
    """An answer that says whether all is well; in a condition it's as true as its `ok`."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        raise NotImplementedError

    def __bool__(self) -> bool:
        return self.ok
