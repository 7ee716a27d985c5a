"""What a sweep finds of each configuration: a total of the network, or a number of one of its layers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from archcalc.errors import UsageError, suggestion
from archcalc.quantities import PER_LAYER, QUANTITIES, TOTALLED, Quantity, claimable, fields, listed, names
from archcalc.report import Report
from archcalc.shape import AXES
from archcalc.symbolic import Dim, is_symbolic

if TYPE_CHECKING:
    from archcalc.analyses.field import Field

_BY_NAME = {**QUANTITIES, **{name: each for name, each in claimable().items() if each.name in QUANTITIES}}
"""All quantities, under the names that claims have for them, too."""
_QUANTITY = "|".join(sorted(_BY_NAME, key=len, reverse=True))
DOTTED = re.compile(
    rf"(?<![\w.])(?!\d)(?:[\w./+-]{{0,400}}?\w\.(?:{_QUANTITY})(?:\.[A-Z])?|(?:[\w/+-]|\*(?=[./])){{0,400}}[\w*]\.[A-Za-z_]\w*)"
    r"(?![\w.])"
)
"""In the text of a condition, a number of a layer (`conv5/pool.rf`, `conv5.receptive_field.H`), or its argument."""


class Missing(UsageError):
    """A configuration has no such layer, or its layer no such number."""


class NoLayer(Missing):
    """A configuration has no such layer."""


@dataclass(frozen=True)
class Measure:
    """One number of a configuration: of the network, or of the layer or scope at `path`; of a field, along an `axis`.

    Without an axis, a field has a number only where all axes have the same.
    """

    quantity: str
    path: str = ""
    axis: str = ""

    @property
    def name(self) -> str:
        """What its column is called.

        >>> Measure("receptive_field", "conv5", "H").name
        'conv5.receptive_field.H'
        """
        return ".".join(filter(None, (self.path, self.quantity, self.axis)))

    @property
    def label(self) -> str:
        """The same, shorter where claims have a shorter name for it: `conv5.rf`."""
        return ".".join(filter(None, (self.path, QUANTITIES[self.quantity].claimed, self.axis)))

    @property
    def in_bytes(self) -> bool:
        """Whether it's measured in bytes, rather than counted."""
        return QUANTITIES[self.quantity].in_bytes

    def value(self, report: Report) -> Dim | Fraction:
        """The number.

        Raises: Missing: there is no such layer, or it has no such number. UsageError: a field's numbers along the axes
        differ, or a network of this dtype has no such number.
        """
        if self.quantity not in fields():
            self._find(report)
            return report.total(self.quantity, self.path)
        found = {axis: getattr(field, fields()[self.quantity]) for axis, field in self.fields(report).items()}
        if None in found.values():
            raise Missing(f"'{self.path}' has no {self._told}: its positions don't follow the input's axes")
        if len(set(found.values())) > 1:
            told = ", ".join(f"{value} along {axis}" for axis, value in found.items())
            raise UsageError(f"the {self._told} of '{self.path}' is {told}", f"{self.name}.{next(iter(found))}")
        value: Dim | Fraction = next(iter(found.values()))
        return value

    def fields(self, report: Report) -> dict[str, Field]:
        """The layer's receptive field along each axis that is asked for.

        Raises: Missing: it has none.
        """
        self._find(report)
        found = report.ordered(report[self.path].fields)
        if self.axis and found:
            if self.axis not in found:
                raise Missing(f"the input has no axis '{self.axis}' for receptive fields", f"known: {', '.join(found)}")
            return {self.axis: found[self.axis]}
        if not found:
            why = "doesn't reach it" if report.graph.input.spatial else "has no spatial axis"
            raise Missing(f"'{self.path}' has no {self._told}: the input {why}")
        return found

    def is_settled(self, report: Report) -> bool:
        """Whether what it is for symbols is what it is for all of their numbers.

        A field that symbols merely bound isn't, nor one of paths whose strides, or shapes, some numbers make equal.
        """
        if self.quantity not in fields():
            return True
        from archcalc.analyses.receptive_field import may_stretch  # most sweeps have no fields

        if may_stretch(report.graph):
            return False
        for field in self.fields(report).values():
            number: Any = getattr(field, fields()[self.quantity])
            if not field.follows or field.bounded or field.drifts or isinstance(number, Fraction):
                return False
            if is_symbolic(number) and number.is_integer is not True:
                return False
        return True

    def along_each_axis(self, report: Report) -> tuple[Measure, ...]:
        """One measure for each axis where a field's numbers along the axes differ; else this one.

        Raises: Missing: there is no such layer, or it has no such number.
        """
        try:
            self.value(report)
        except Missing:
            raise
        except UsageError:
            if self.quantity in fields():
                return tuple(replace(self, axis=axis) for axis in self.fields(report))
            raise
        return (self,)

    def _find(self, report: Report) -> None:
        if self.path and self.path not in report.graph:
            hint = suggestion(self.path, report.graph.places)
            raise NoLayer(f"{report.name} has no layer '{self.path}'", hint)

    @property
    def _told(self) -> str:
        return self.quantity.replace("_", " ")


def measure(text: str, what: str = "columns") -> Measure:
    """`params`, or of a layer `conv5.params`, `conv5.rf`, `conv5.receptive_field.H`; `what` asks for it.

    Raises: UsageError: it means nothing.

    >>> measure("conv5/pool.rf.H")
    Measure(quantity='receptive_field', path='conv5/pool', axis='H')
    """
    if text in names(*TOTALLED):
        return Measure(text)
    path, dot, last = text.rpartition(".")
    axis = ""
    if dot and last in AXES:
        (path, dot, last), axis = path.rpartition("."), last
    quantity = _BY_NAME.get(last)
    if not path:
        raise UsageError(f"{what}: there's no total '{text}'", _total_hint(text, quantity))
    if quantity is None:
        raise UsageError(f"{what}: there's no number '{last}' of a layer, '{path}'", suggestion(last, _BY_NAME))
    if axis and not quantity.axis:
        raise UsageError(f"{what}: '{quantity.name}' has no axes", f"{path}.{quantity.name}")
    return Measure(quantity.name, path, axis)


def _total_hint(text: str, quantity: Quantity | None) -> str:
    if text == "memory":
        return "total_bytes, activation_bytes, saved_bytes or peak_bytes"
    if quantity is not None and quantity.total in PER_LAYER:
        return f"it's a number of a layer: conv5.{text}"
    return suggestion(text, names(*TOTALLED))


def column(text: str) -> str:
    """The name of the column that is meant: of a number of a layer in full, of anything else as it stands.

    >>> column("conv5.rf"), column("conv5.stride"), column("k")
    ('conv5.receptive_field', 'conv5.stride', 'k')
    """
    try:
        return measure(text).name
    except UsageError:
        return text


def measures(columns: str | Iterable[str], field: str | Iterable[str] = ()) -> tuple[Measure, ...]:
    """`"params,conv5.rf"`, or columns one by one; then the receptive fields of the layers in `field`.

    Raises: UsageError: one means nothing, or is there twice.
    """
    layers = listed(field, "field", "['conv5']") if field else ()
    found = tuple(measure(name) for name in (*listed(columns), *(f"{layer}.rf" for layer in layers)))
    if len(set(found)) < len(found):
        raise UsageError("a column can be shown once only")
    return found
