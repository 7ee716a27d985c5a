"""analyze(graph) → Report: the values of a graph, and a table of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike

from archcalc.graph import Graph
from archcalc.quantities import PER_LAYER, listed, names
from archcalc.report.listing import DEFAULT, TEXTS, Listing
from archcalc.report.values import Row, Values
from archcalc.symbolic import Dim
from archcalc.tables import Table
from archcalc.tables.answer import Answer
from archcalc.zoo import Architecture, load


@dataclass(frozen=True, repr=False)
class Report(Answer, Values):
    """Everything that is known about a graph, computed when it's asked for; printed, it's a table."""

    def table(
        self,
        columns: str | Iterable[str] = DEFAULT,
        every: bool = False,
        depth: int = 0,
        sort: str = "",
        bias: bool = True,
    ) -> Table:
        """The rows, with a choice of columns: one for each volume, for `every` layer, or for each scope at a `depth`.

        `sort` by a column: largest first. `bias` false: params are weights only.
        Raises: UsageError: there is no such column, or the choices don't fit together.
        """
        return Listing(self, listed(columns), every, depth, sort, bias).table()

    def _wide(self) -> Table:
        return self.table((*TEXTS, *filter(self.has, names(*PER_LAYER))), every=True)


def analyze(what: Graph | Architecture | str | PathLike[str], batch: Dim = 1, dtype: str = "float32") -> Report:
    """Analyse a graph, or what a name or path means in its default sizes: nothing is computed before it is asked for.

    Raises: UsageError: there is no such name or dtype, or the batch is not a positive integer. SpecError: the spec is
    wrong.

    >>> import archcalc
    >>> archcalc.analyze("vgg16").totals["params"]
    138357544
    """
    if isinstance(what, (str, PathLike)):
        what = load(what)
    return Report(what.build() if isinstance(what, Architecture) else what, batch, dtype)


__all__ = ["Report", "Row", "analyze"]
