"""Receptive fields: which input positions each output position sees, propagated forward through the graph.

Along one axis a field is periodic: the output positions r, r + P, r + 2P … see the same window, each `advance` input
positions further on. Without upsampling P is 1, and this is the (size, stride, padding) of Araujo, Norris & Sim 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from archcalc.graph import Application, Graph, Node
from archcalc.shape import TransposedWindow, Window
from archcalc.symbolic import is_symbolic, maximum, minimum

Interval: TypeAlias = "tuple[Any, Any] | None"
"""First and last input position, clipping aside; None where nothing is seen."""


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field along one input axis.

    `windows[r]` is what output position r sees; position r + P sees it shifted by `advance`, P = len(windows).
    """

    windows: tuple[Interval, ...]
    advance: Any
    aligned: bool = True
    whole: bool = False  # every position sees the whole input
    flat: bool = False  # the axis was flattened away: positions no longer follow it

    def at(self, position: int) -> Interval:
        """What one output position sees."""
        period, phase = divmod(position, len(self.windows))
        window = self.windows[phase]
        return None if window is None else (window[0] + period * self.advance, window[1] + period * self.advance)

    @property
    def size(self) -> Any:
        """Input positions that a window spans; the widest, where positions differ."""
        return maximum(*(last - first + 1 for first, last in filter(None, self.windows)), 0)

    @property
    def stride(self) -> Any:
        """Input positions from one output position to the next, on average."""
        period = len(self.windows)
        return self.advance if period == 1 else _plain(Fraction(self.advance, period))

    @property
    def padding(self) -> Any:
        """How far the first window reaches over the input's edge."""
        first = self.windows[0]
        return 0 if first is None else -first[0]

    @property
    def centre(self) -> Any:
        """Twice the middle of the first window (twice, so that it stays an integer)."""
        first = self.windows[0]
        return None if first is None else first[0] + first[1]


Fields: TypeAlias = "Mapping[str, Field]"
"""One field for each spatial axis of the input."""


def receptive_fields(graph: Graph) -> list[Fields]:
    """Every node's receptive field on the first input, in time linear in the graph."""
    whole = {axis: _whole(graph.input[axis]) for axis in graph.input.spatial}
    found: list[Fields] = []
    for index, node in enumerate(graph.nodes):
        if index == 0:
            found.append({axis: Field(((0, 0),), 1) for axis in whole})
        else:
            found.append(_through(node, [found[i] for i in node.inputs], whole))
    return found


def _whole(size: Any) -> Field:
    return Field(((0, size - 1),), 0, whole=True)


def _through(node: Node, inputs: list[Fields], whole: Fields) -> Fields:
    """The field behind one layer."""
    seen = [fields for fields in inputs if fields]
    if not seen:
        return {}
    application = node.application
    shapes = application.input_shapes
    if application.once(_sees_everything):
        return whole
    windows = application.once(_windows)
    flat = bool(shapes[0].spatial) and not application.output_shape.spatial
    result = {}
    for axis in seen[0]:
        field = (
            seen[0][axis] if len(shapes) == 1 or not _reads_all(node) else _hull([f[axis] for f in seen if axis in f])
        )
        if axis in windows and not field.whole and not field.flat:
            field = _slide(field, windows[axis])
        if flat and not field.whole:
            field = Field(field.windows, field.advance, field.aligned, flat=True)
        result[axis] = field
    return result


def _windows(at: Application) -> Mapping[str, Window]:
    return at.layer.windows(*at.input_shapes)


def _sees_everything(at: Application) -> bool:
    return at.layer.global_view(*at.input_shapes)


def _reads_all(node: Node) -> bool:
    """Whether all inputs reach the output; `crop like=@p` and `unpool like=@p` use the other one's size only."""
    return getattr(node.layer, "like", None) is None


def _slide(field: Field, window: Window) -> Field:
    """The field behind a sliding window."""
    if isinstance(window, TransposedWindow):
        return _spread(field, window)
    k, s, d, before = window.kernel, window.stride, window.dilation, window.before
    period = len(field.windows)
    if period == 1:
        only = field.windows[0]
        if only is None:
            return field
        first, last = only
        low, high = first - before * field.advance, last + (d * (k - 1) - before) * field.advance
        return Field(((low, high),), field.advance * s, field.aligned)
    phases = period // math.gcd(period, s)
    windows = tuple(_join(field.at(o * s - before + d * t) for t in range(k)) for o in range(phases))
    return Field(windows, field.advance * (phases * s // period), field.aligned)


def _spread(field: Field, window: TransposedWindow) -> Field:
    """The field behind a transposed window: output o sees the inputs i with i*s + d*t = o + before."""
    k, s, d, before = window.kernel, window.stride, window.dilation, window.before
    phases = len(field.windows) * s
    windows = tuple(
        _join(field.at((o + before - d * t) // s) for t in range(k) if (o + before - d * t) % s == 0)
        for o in range(phases)
    )
    return _shortest(Field(windows, field.advance, field.aligned))


def _shortest(field: Field) -> Field:
    """The same field with its least period."""
    total = len(field.windows)
    for period in range(1, total):
        if total % period == 0 and not is_symbolic(field.advance) and field.advance * period % total == 0:
            candidate = Field(field.windows[:period], field.advance * period // total, field.aligned)
            if all(candidate.at(position) == field.windows[position] for position in range(total)):
                return candidate
    return field


def _join(intervals: Any) -> Interval:
    seen = [interval for interval in intervals if interval is not None]
    if not seen:
        return None
    return minimum(*(first for first, _ in seen)), maximum(*(last for _, last in seen))


def _hull(fields: list[Field]) -> Field:
    """What a merge sees: all that any path sees. Paths of unequal stride or centre are misaligned."""
    first = fields[0]
    if all(field == first for field in fields):
        return first
    whole = [field for field in fields if field.whole]
    if whole:
        return whole[0]
    aligned = all(field.aligned for field in fields)
    aligned = aligned and all((f.stride, f.centre) == (first.stride, first.centre) for f in fields)
    period = math.lcm(*(len(field.windows) for field in fields))
    windows = tuple(_join(field.at(position) for field in fields) for position in range(period))
    return _shortest(Field(windows, first.advance * (period // len(first.windows)), aligned, flat=first.flat))


def _plain(value: Fraction) -> int | Fraction:
    return value.numerator if value.denominator == 1 else value
