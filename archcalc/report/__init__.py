"""Report: the values of a graph, and a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from archcalc.graph import TooManyLayers
from archcalc.quantities import PER_LAYER, names
from archcalc.report.listing import DEFAULT, TEXTS, Listing, with_shares
from archcalc.report.values import Row, Values, shared
from archcalc.symbolic import Dim
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer
from archcalc.tables.numbers import exact


@dataclass(frozen=True, repr=False)
class Report(Answer, Values):
    """Everything that is known about a graph, computed when it's asked for; printed, it's a table."""

    def table(
        self,
        columns: str | Iterable[str] = DEFAULT,
        *,
        share: str | Iterable[str] = (),
        all: bool = False,
        depth: int | None = None,
        sort: str = "",
        bias: bool = True,
    ) -> Table:
        """The rows, with a choice of columns: one for each volume, for `all` layers, or for each scope at a `depth`.

        `share`: of which sums each row's share is shown, too. `sort` by a column: largest first. `bias` false: params
        are weights only.
        Raises: UsageError: there is no such column, or the choices don't fit together.
        """
        return Listing(self, with_shares(columns, share), all, depth or 0, sort, bias).table()

    def _shown(self) -> Table:
        """The rows; of a network whose layers can't be listed, the totals that need no list."""
        if self.graph.is_listed:
            return self.table()
        columns = [Column("total", Kind.NAME), Column("value")]
        return Table(columns, lambda: ([name, exact(total)] for name, total in self._without_list()), self.name)

    def _without_list(self) -> Iterator[tuple[str, Dim]]:
        """The totals that need no list; where the number of layers is a symbol, those whose formulas are found soon."""
        for name in (*shared(), "depth") if self.graph.is_open else self.totals:
            with suppress(TooManyLayers):  # few networks have passes that go on changing
                if (total := self.totals[name]) is not None:
                    yield name, total

    def _wide(self) -> Table:
        return self.table((*TEXTS, *filter(self.has, names(*PER_LAYER))), all=True)


__all__ = ["Report", "Row"]
