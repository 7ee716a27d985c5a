"""Comparisons as tables: totals with ratios, scope by scope, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial

from archcalc import text
from archcalc.quantities import QUANTITIES, TOTALLED, names
from archcalc.questions.changes import CONSEQUENCES, Change
from archcalc.questions.compare import Comparison, Part, ratios
from archcalc.questions.revisions import Differences
from archcalc.symbolic import Dim, is_symbolic
from archcalc.tables import Column, Table
from archcalc.tables import Kind as Cells
from archcalc.tables.numbers import decimal, exact

ALIKE = Fraction(1, 2)
"""The share of layers that two networks must have in common for a list of changes to say more than both tables."""
DEFAULT = ("params", "macs")
"""The quantities of which scopes and changes are listed."""


def comparison_table(found: Comparison, columns: Sequence[str] = DEFAULT, changes: bool | None = None) -> Table:
    """Totals, then the scopes that differ; of two networks that are much alike, or on demand, what changed.

    `columns` are the quantities for scopes and changes.
    """
    two = len(found.reports) == 2
    shown = two and (changes if changes is not None else found.alike >= ALIKE)
    notes = []
    if two and changes is None and not shown:
        share = percent(found.alike, places=0)
        notes = [f"{share} of the layers are alike, too few for a list of changes: --changes lists them"]
    sections: list[Callable[[], Table | None]] = [partial(_parts, found, column) for column in columns]
    sections += [partial(changes_table, found.changes, columns)] if shown else []
    return Table(
        columns=_totals_columns(found.names),
        rows=lambda: _totals(found),
        values=lambda: ([name, *found.totals[name]] for name in _listed(found)),
        keys=["quantity", *found.names],
        name=" and ".join(filter(None, (", ".join(found.names[:-1]), found.names[-1]))),
        sections=lambda: (section for make in sections if (section := make()) is not None),
        notes=notes,
        json=lambda: [text.json(comparison_data(found), default=str)],
    )


def _listed(found: Comparison) -> list[str]:
    """The quantities that all networks have and that are worth a line."""
    return [name for name in names(*TOTALLED) if not QUANTITIES[name].seldom and None not in found.totals[name]]


def _totals_columns(networks: Sequence[str]) -> list[Column]:
    columns = [Column("quantity", Cells.NAME, ""), Column(networks[0])]
    for name in networks[1:]:
        columns += [Column(name), Column(f"{name} ratio", Cells.SIZES, "ratio", drop=1)]
    return columns + ([Column("change")] if len(networks) == 2 else [])


def _totals(found: Comparison) -> Iterator[list[str]]:
    for name in _listed(found):
        first, *others = found.totals[name]
        cells = [QUANTITIES[name].heading, exact(first)]
        for amount, ratio in zip(others, found.ratios(name)[1:], strict=True):
            cells += [exact(amount), times(ratio)]
        yield cells + ([signed(found.difference(name))] if len(others) == 1 else [])


def _parts(found: Comparison, quantity: str) -> Table | None:
    """A quantity of every scope that differs in it, and its share of the network's."""
    differing = [part for part in found.parts if len(set(part.amounts[quantity])) > 1]
    if not differing:
        return None
    columns = [Column("scope", Cells.NAME)]
    for name in found.names:
        columns += [Column(name), Column(f"{name} share", Cells.SIZES, "share", drop=1)]
    heading = QUANTITIES[quantity].heading
    return Table(
        columns=columns,
        rows=lambda: (_part(part, quantity, found.totals[quantity]) for part in differing),
        title=f"{heading}, scope by scope where they differ",
    )


def _part(part: Part, quantity: str, totals: Sequence[Dim | None]) -> list[str]:
    cells = [part.name]
    for amount, total in zip(part.amounts[quantity], totals, strict=True):
        share = ratios([total, amount])[1]
        cells += ["" if amount is None else exact(amount), "" if share is None else percent(share)]
    return cells


def changes_table(found: Sequence[Change], columns: Sequence[str] = DEFAULT) -> Table:
    """What changed, where, in how many places, and what it costs."""
    shown = [Column("change", Cells.WORD), Column("where", Cells.NAME), Column("what", Cells.LAYERS)]
    shown += [Column("places", label="×", drop=1), *(Column(name, label=QUANTITIES[name].heading) for name in columns)]
    return Table(
        columns=shown,
        rows=lambda: (_change(change, columns) for change in found),
        values=lambda: (
            [change.kind.value, change.path, _what(change), change.places, *(change.cost[name] for name in columns)]
            for change in found
        ),
        title="what changed, and what it costs" if found else "nothing changed",
    )


def _change(change: Change, columns: Sequence[str]) -> list[str]:
    costs = (signed(change.cost[name]) for name in columns)
    return [change.kind.value, change.path, _what(change), str(change.places), *costs]


def _what(change: Change) -> str:
    if change.kind in CONSEQUENCES:
        return f"{change.layers:,} layers" if change.layers > 1 else "1 layer"
    return " → ".join(filter(None, (change.before, change.after)))


def times(ratio: Fraction | None) -> str:
    """A ratio with three digits.

    >>> times(Fraction(1, 3)), times(Fraction(11, 10)), times(Fraction(24690, 20)), times(None)
    ('0.333x', '1.10x', '1,235x', '')
    """
    if ratio is None:
        return ""
    places = 3 - min(3, len(str(int(ratio))) if ratio >= 1 else 0)
    return f"{decimal(ratio.numerator, ratio.denominator, places)}x"


def percent(share: Fraction, places: int = 1) -> str:
    """A share as a percentage.

    >>> percent(Fraction(1, 3))
    '33.3 %'
    """
    return f"{decimal(100 * share.numerator, share.denominator, places)} %"


def signed(amount: Dim | None) -> str:
    """A difference with its sign; nothing where there is none.

    >>> signed(1234), signed(-5), signed(0)
    ('+1,234', '-5', '0')
    """
    if amount is None:
        return ""
    return str(amount) if is_symbolic(amount) or amount == 0 else f"{amount:+,}"


def comparison_data(found: Comparison) -> Mapping[str, object]:
    """A comparison for programs."""
    data: dict[str, object] = {
        "archcalc": 1,
        "networks": list(found.names),
        "totals": {name: list(amounts) for name, amounts in found.totals.items()},
        "parts": [
            {"name": part.name, **{name: list(each) for name, each in part.amounts.items()}} for part in found.parts
        ],
    }
    if len(found.reports) == 2:
        data["changes"] = [_change_data(change) for change in found.changes]
    return data


def _change_data(change: Change) -> Mapping[str, object]:
    return {
        "change": change.kind.value, "path": change.path, "before": change.before, "after": change.after,
        "layers": change.layers, "places": change.places, "cost": dict(change.cost),
    }  # fmt: skip


def differences_table(found: Differences, title: str, columns: Sequence[str] = DEFAULT) -> Table:
    """The networks that are new, gone or changed, each with what changed in it."""
    head = [Column("network", Cells.NAME), Column("change", Cells.WORD)]
    head += [Column(name, label=QUANTITIES[name].heading) for name in columns]
    rows = [(name, "added", [report.totals[each] for each in columns]) for name, report in found.added.items()]
    rows += [(name, "removed", [-report.total(each) for each in columns]) for name, report in found.removed.items()]
    rows += [(name, "changed", [each.difference(column) for column in columns]) for name, each in found.changed.items()]
    counts = f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed"
    return Table(
        columns=head,
        rows=lambda: ([name, kind, *map(signed, costs)] for name, kind, costs in rows),
        values=lambda: ([name, kind, *costs] for name, kind, costs in rows),
        name=title,
        sections=lambda: (_changed(name, each, columns) for name, each in found.changed.items()),
        notes=[f"{name} can't be compared: {reason}" for name, reason in found.broken.items()],
        summary=f"{counts}, {found.unchanged} unchanged",
        json=lambda: [text.json(_differences_data(found), default=str)],
    )


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
