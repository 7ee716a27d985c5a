"""Networks side by side: totals with ratios, the parts that differ, and of two what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from os import PathLike
from typing import TypeAlias

from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.quantities import TOTALLED, Total, names
from archcalc.questions.changes import Change, Matching, changes, less
from archcalc.report import Report, analyze
from archcalc.symbolic import Dim, is_symbolic
from archcalc.zoo import Architecture

Network: TypeAlias = "Report | Graph | Architecture | str | PathLike[str]"


@dataclass(frozen=True)
class Part:
    """A scope that not all networks have alike: its amounts in each of them, None where there is no such scope."""

    name: str
    amounts: Mapping[str, tuple[Dim | None, ...]]


@dataclass(frozen=True)
class Comparison:
    """Two or more networks. `totals[name]` has an amount for each of them, in their order."""

    reports: tuple[Report, ...]

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

        >>> compare("resnet18", "resnet34").ratios("depth")
        (Fraction(1, 1), Fraction(17, 9))
        """
        return ratios(self.totals[name])

    def difference(self, name: str) -> Dim | None:
        """How much more of a quantity the last network has than the first; None where the dtype has none.

        >>> compare("vgg16", "vgg19").difference("params")
        5309696
        """
        first, last = self.totals[name][0], self.totals[name][-1]
        return None if first is None or last is None else less(last, first)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The scopes at the top that differ, in the order of the networks; what is outside of all scopes, by layers."""
        inside = [_by_scope(report.graph) for report in self.reports]
        parts = (self._part(name, inside) for name in dict.fromkeys(name for scopes in inside for name in scopes))
        return tuple(part for part in parts if any(len(set(each)) > 1 for each in part.amounts.values()))

    def _part(self, name: str, inside: Sequence[Mapping[str, Sequence[int]]]) -> Part:
        pairs = [(report, scopes.get(name)) for report, scopes in zip(self.reports, inside, strict=True)]
        counted = (each for each in names(Total.SUM) if all(report.has(each) for report in self.reports))
        amounts = {
            each: tuple(None if indices is None else report.over(each, indices) for report, indices in pairs)
            for each in counted
        }
        return Part(name, amounts)

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
    """The indices of the nodes in each scope at the top."""
    found: dict[str, list[int]] = {}
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


def compare(*networks: Network, batch: Dim = 1, dtype: str = "float32") -> Comparison:
    """Two or more networks side by side, each a name, a path, an architecture, a graph or a report.

    A report keeps its own batch and dtype.
    Raises: UsageError: fewer than two are given, or there is no such name or dtype. SpecError: a spec is wrong.

    >>> found = compare("vgg16", "vgg19")
    >>> found.totals["params"]
    (138357544, 143667240)
    >>> [part.name for part in found.parts]
    ['conv3', 'conv4', 'conv5']
    """
    if len(networks) < 2:
        raise UsageError("a comparison needs two networks", "archcalc.compare('vgg16', 'resnet50')")
    reports = (each if isinstance(each, Report) else analyze(each, batch, dtype) for each in networks)
    return Comparison(tuple(reports))
