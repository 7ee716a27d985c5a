"""Report: the values of a graph, and a table of them."""

from __future__ import annotations

from collections.abc import Iterable

from archcalc.data import dataclass
from archcalc.graph import NoNumber
from archcalc.quantities import PER_LAYER, names
from archcalc.report.listing import DEFAULT, TEXTS, Listing, with_shares
from archcalc.report.values import Row, Values, shared
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer


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
        fold: bool | None = None,
    ) -> Table:
        """The rows, with a choice of columns: one for each volume, for `all` layers, or for each scope at a `depth`.

        `share`: of which sums each row's share is shown, too. `sort` by a column: largest first. `bias` false: params
        are weights only. `fold`: passes that are equal are there once, with how many they are; unless said otherwise,
        only where their number is a symbol.
        Raises: UsageError: there is no such column, or the choices don't fit together.
        """
        listing = Listing(self, with_shares(columns, share), all, depth or 0, sort, bias)
        if not (self.graph.is_open if fold is None else fold):
            return listing.table()
        from archcalc.report.folding import Folded  # not for what goes to a pipe

        return Folded(listing).table()

    def _shown(self) -> Table:
        """The rows; folded, if there are too many layers to list them. None where they have no closed form."""
        table = self.table(fold=not self.graph.is_listed)
        if self.graph.varies:
            try:
                next(iter(table.rows()))
            except NoNumber:
                return Table([Column("network", Kind.TEXT)], lambda: [[repr(self.graph)]])
        return table

    def _wide(self) -> Table:
        if self.graph.is_open:
            return self.table((*TEXTS, *shared()), all=True)
        return self.table((*TEXTS, *filter(self.has, names(*PER_LAYER))), all=True)


__all__ = ["Report", "Row"]
