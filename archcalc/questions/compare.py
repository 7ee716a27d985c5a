"""Networks side by side: totals with ratios, the parts that differ, and of two what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import product
from os import PathLike

from archcalc import text
from archcalc.errors import UsageError, spelled
from archcalc.expand import Given, Sizes
from archcalc.expand.given import mapping_of
from archcalc.graph import Graph
from archcalc.graph.opaque import lower_bounds, opaque_layers
from archcalc.quantities import QUANTITIES, TOTALLED, Total, names, sums
from archcalc.questions.changes import Change, Matching, changes, less
from archcalc.questions.networks import Network, report_of
from archcalc.report import Report
from archcalc.symbolic import Dim, is_symbolic
from archcalc.tables import Column, Table
from archcalc.tables import Kind as Cells
from archcalc.tables.answer import Answer
from archcalc.tables.numbers import exact, percent, signed, times

ALIKE = Fraction(1, 2)
"""The share of layers that two networks must have in common for a list of changes to say more than both tables."""
DEFAULT = ("params", "macs")
"""The quantities of which scopes and changes are listed."""


@dataclass(frozen=True)
class Part:
    """A scope that not all networks have alike: its amounts in each of them, None where there is no such scope."""

    name: str
    amounts: Mapping[str, tuple[Dim | None, ...]]


@dataclass(frozen=True, repr=False)
class Comparison(Answer):
    """Two or more networks. `totals[name]` has an amount for each of them, in their order."""

    reports: tuple[Report, ...]

    def table(self, columns: str | Iterable[str] = DEFAULT, *, changes: bool | None = None) -> Table:
        """Totals, then the scopes that differ; of two networks that are much alike, or on demand, what changed.

        `columns` are the quantities for scopes and changes.
        Raises: UnknownNameError: there is no such quantity, or it isn't a sum. UsageError: none with this dtype, or
        there are more than two networks to list changes of.
        """
        columns = sums(columns)
        for report, column in product(self.reports, columns):
            report.check(column)
        two, listed = len(self.reports) == 2, all(report.graph.is_listed for report in self.reports)
        shown = bool(changes) if changes is not None else two and listed and self.alike >= ALIKE
        notes = [] if listed else ["there are too many layers to say which of them changed"]
        if two and listed and changes is None and not shown:
            share = percent(self.alike, places=0)
            few = f"{share} of the layers are alike, too few for a list of changes"
            notes = [spelled(f"{few}: --changes lists them")]
        notes += [f"{report.name}: {left}" for report in self.reports if (left := lower_bounds(report.graph))]
        sections: list[Callable[[], Table | None]] = [partial(_parts, self, column) for column in columns]
        sections += [partial(changes_table, self.changes, columns)] if shown else []
        return Table(
            columns=_totals_columns(self.names),
            rows=lambda: _totals(self),
            values=lambda: ([name, *self.totals[name]] for name in _listed(self)),
            keys=["quantity", *self.names],
            name=" and ".join(filter(None, (", ".join(self.names[:-1]), self.names[-1]))),
            sections=lambda: (section for make in sections if (section := make()) is not None),
            notes=notes,
            json=lambda: [text.json(comparison_data(self), default=str)],
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What the networks are called; where two have one name, with a number."""
        called = [report.name for report in self.reports]
        numbered = (f"{name} ({number})" for number, name in enumerate(called, start=1))
        return tuple(other if called.count(name) > 1 else name for name, other in zip(called, numbered, strict=True))

    @cached_property
    def totals(self) -> Mapping[str, tuple[Dim | None, ...]]:
        """Every quantity of all networks; None where the dtype has none."""
        return {name: tuple(report.totals[name] for report in self.reports) for name in names(*TOTALLED)}

    def ratios(self, name: str) -> tuple[Fraction | None, ...]:
        """What share each network has of the first one's amount; None where that is 0, or one is symbolic.

        >>> import archcalc
        >>> archcalc.compare("resnet18", "resnet34").ratios("depth")
        (Fraction(1, 1), Fraction(17, 9))
        """
        return ratios(self.totals[name])

    def difference(self, name: str) -> Dim | None:
        """How much more of a quantity the last network has than the first; None where the dtype has none.

        >>> import archcalc
        >>> archcalc.compare("vgg16", "vgg19").difference("params")
        5309696
        """
        first, last = self.totals[name][0], self.totals[name][-1]
        return None if first is None or last is None else less(last, first)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The scopes at the top that differ, in the order of the networks; what is outside of all scopes, by layers.

        Raises: TooManyLayers: a network has passes at the top, of which there are too many.
        """
        inside = [_by_scope(report.graph) for report in self.reports]
        parts = (self._part(name, inside) for name in dict.fromkeys(name for scopes in inside for name in scopes))
        return tuple(part for part in parts if any(len(set(each)) > 1 for each in part.amounts.values()))

    def _part(self, name: str, inside: Sequence[Mapping[str, Sequence[int]]]) -> Part:
        pairs = [(report, scopes.get(name)) for report, scopes in zip(self.reports, inside, strict=True)]
        counted = (each for each in names(Total.SUM) if all(report.has(each) for report in self.reports))

        def amount(each: str, report: Report, indices: Sequence[int] | None) -> Dim | None:
            if indices is None:
                return None
            return report.over(each, indices) if report.graph.is_listed else report.total(each, name)

        return Part(name, {each: tuple(amount(each, *pair) for pair in pairs) for each in counted})

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """What changed from the first network to the second.

        Raises: UsageError: there are more than two.
        """
        if len(self.reports) != 2:
            raise UsageError("changes are between two networks", "compare('vgg16', 'vgg19').changes")
        return tuple(changes(*self.reports, self._matching))

    @cached_property
    def alike(self) -> Fraction:
        """The share of the smaller network's layers that stand unchanged in the other one; of two networks."""
        return self._matching.alike

    @cached_property
    def _matching(self) -> Matching:
        return Matching(*(report.graph for report in self.reports))


def _by_scope(graph: Graph) -> dict[str, list[int]]:
    """The indices of the nodes in each scope at the top; none in those of a graph that is too long to be listed."""
    found: dict[str, list[int]] = {}
    if not graph.is_listed and all(isinstance(name, str) for name in graph.tree.label.names):
        return {str(name): [] for name in graph.tree.label.names}
    for index, node in enumerate(graph.nodes):
        found.setdefault(node.name.partition("/")[0], []).append(index)
    return found


def ratios(amounts: Sequence[Dim | None]) -> tuple[Fraction | None, ...]:
    """What share each amount is of the first; None where that is 0, or one is symbolic or missing."""
    return tuple(map(_ratio, amounts, [amounts[0]] * len(amounts)))


def _ratio(amount: Dim | None, first: Dim | None) -> Fraction | None:
    if amount is None or first is None or is_symbolic(amount) or is_symbolic(first) or first == 0:
        return None
    return Fraction(amount, first)


def compare(
    *networks: Network,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    batch: Dim = 1,
    dtype: str = "float32",
) -> Comparison:
    """Two or more networks side by side, each a name, a path, an architecture, a graph or a report.

    `hparams` and `sizes` hold for all of them. A single network as it stands is compared with what they make of it. A
    report keeps its own batch and dtype.
    Raises: UsageError: a single network is given without values, there is no such name or dtype, or a graph or report
    is given values. SpecError: a spec is wrong.

    >>> import archcalc
    >>> found = archcalc.compare("vgg16", "vgg19")
    >>> found.totals["params"]
    (138357544, 143667240)
    >>> [part.name for part in found.parts]
    ['conv3', 'conv4', 'conv5']
    >>> archcalc.compare("vgg16", hparams={"size": 256}).names
    ('vgg16', 'vgg16 size=256')
    """
    hparams, sizes = mapping_of(hparams, "hparams"), mapping_of(sizes, "sizes")
    changed = [f"{name}={value}" for name, value in (*hparams.items(), *sizes.items())]
    if len(networks) < 2 and not (networks and changed):
        hint = "archcalc.compare('vgg16', 'resnet50'), or archcalc.compare('vgg16', hparams={'size': 256})"
        raise UsageError("a comparison needs two networks", hint)
    reports = [report_of(each, hparams, sizes, batch=batch, dtype=dtype) for each in networks]
    asked = [" ".join([_asked(each), *changed]) for each in networks]
    if len(networks) == 1:
        reports, asked = [report_of(networks[0], batch=batch, dtype=dtype), *reports], [_asked(networks[0]), *asked]
    return side_by_side(reports, asked)


def _asked(network: Network) -> str:
    return str(network) if isinstance(network, (str, PathLike)) else network.name


def side_by_side(reports: Sequence[Report], asked: Sequence[str]) -> Comparison:
    """The comparison; where two networks have one name, each is called what it was asked for by."""
    if len({report.name for report in reports}) < len(reports):
        reports = [
            replace(report, graph=replace(report.graph, name=name)) for report, name in zip(reports, asked, strict=True)
        ]
    return Comparison(tuple(reports))


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
    if change.is_consequence:
        return f"{change.layers:,} layers" if change.layers > 1 else "1 layer"
    return " → ".join(filter(None, (change.before, change.after)))


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
    if any(opaque := [[each._asdict() for each in opaque_layers(report.graph)] for report in found.reports]):
        data["opaque"] = opaque
    if len(found.reports) == 2:
        listed = all(report.graph.is_listed for report in found.reports)
        data["changes"] = [_change_data(change) for change in found.changes] if listed else None
    return data


def _change_data(change: Change) -> Mapping[str, object]:
    return {
        "change": change.kind.value, "path": change.path, "before": change.before, "after": change.after,
        "layers": change.layers, "places": change.places, "cost": dict(change.cost),
    }  # fmt: skip
