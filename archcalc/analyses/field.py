"""The receptive field along one axis, and what layers make of it.

It is periodic: the output positions r, r + P, r + 2P … see the same window, each `advance` input positions further on.
Without upsampling P is 1, and this is the (size, stride, padding) of Araujo, Norris & Sim 2019. Borders are left out
here: `receptive_field_exact` respects them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

from archcalc.layers.reads import Runs
from archcalc.shape import TransposedWindow, Window
from archcalc.symbolic import is_symbolic, known, maximum, minimum
from archcalc.work import spend

Interval: TypeAlias = "tuple[Any, Any] | None"
"""First and last input position, clipping aside; None where nothing is seen."""

MOST_READS = 200_000
"""What the positions of one layer that take turns may read in all; beyond that a field is bounded, too."""
MAX_PERIOD = 1024
"""With more different positions than this a field is bounded instead: 20 upsamplings by 2 would make a million."""


@dataclass(frozen=True, slots=True, repr=False)
class Field:
    """The receptive field along one input axis.

    `windows[r]` is what output position r sees; position r + P sees it shifted by `advance`, P = len(windows). Where
    all positions see the same, `advance` is 0 and the window is exact, borders respected.
    """

    windows: tuple[Interval, ...]
    advance: Any
    aligned: bool = True  # no merge before it joins paths of unequal stride or centre
    drifts: bool = False  # some merge joins unequal strides: the windows are those of the first position
    whole: bool = False  # every position sees the whole input
    lost: bool = False  # positions don't follow this axis: reshaped, or joined along it
    numbered: tuple[tuple[str, Any], ...] = ()  # tokens number the positions along these axes, of these sizes
    bounded: bool = False  # no position sees more than this, some may see less
    size_dependent: bool = False  # `same` padding with a stride, a crop, bins: other input sizes shift the windows

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={getattr(self, name)}" for name in ("size", "stride", "padding", "centre"))
        return f"Field({numbers})"

    def at(self, position: int) -> Interval:
        """What one output position sees."""
        period, phase = divmod(position, len(self.windows))
        window = self.windows[phase]
        return None if window is None else (window[0] + period * self.advance, window[1] + period * self.advance)

    @property
    def follows(self) -> bool:
        """Whether the output's positions follow this axis; if not, there are no numbers."""
        return not (self.lost or self.numbered)

    @property
    def constant(self) -> bool:
        """Whether all positions see the same."""
        return len(self.windows) == 1 and isinstance(self.advance, int) and self.advance == 0 and not self.lost

    @property
    def sizes(self) -> tuple[Any, ...]:
        """Input positions that a window spans, for each phase."""
        return tuple(0 if window is None else _whole_number(window[1] - window[0]) + 1 for window in self.windows)

    @property
    def size(self) -> Any:
        """Input positions that a window spans, or the widest does; None where positions don't follow the axis."""
        return maximum(*self.sizes) if self.follows else None

    @property
    def stride(self) -> Any:
        """Input positions from one output position to the next, on average; None if they don't follow the axis."""
        if not self.follows:
            return None
        return _step_of(self)

    @property
    def padding(self) -> Any:
        """How far the first window reaches over the input's edge; 0 if it sees nothing, None without a window."""
        first = self.windows[0]
        return (0 if first is None else _whole_number(-first[0])) if self.follows else None

    @property
    def centre(self) -> Any:
        """The middle of the first window, in input positions; None if it sees nothing."""
        return self.centre_at(0)

    def centre_at(self, position: int) -> Any:
        """The middle of one position's window, in input positions; None if it sees nothing."""
        window = self.at(position)
        return None if window is None or not self.follows else _over(window[0] + window[1], 2)


LOST = Field((None,), 1, lost=True)

Fields: TypeAlias = "Mapping[str, Field]"
"""One field for each spatial axis of the input; none where the input isn't seen at all."""


def slide(field: Field, window: Window) -> Field:
    """The field after a sliding window."""
    if isinstance(window, TransposedWindow):
        return _spread(field, window)
    k, s, d, before = window.kernel, window.stride, window.dilation, window.before
    period = len(field.windows)
    if period > 1 and any(map(is_symbolic, (k, s, d, before))):
        return slide(_bounded(field), window)
    if period == 1:
        only = field.windows[0]
        if only is not None:
            only = only[0] - before * field.advance, only[1] + (d * (k - 1) - before) * field.advance
        return replace(field, windows=(only,), advance=field.advance * s)
    k, s, d, before = window.numbers
    phases = period // math.gcd(period, s)
    # of taps that see windows of the same phase, the first and the last reach furthest
    taps = range(k) if k <= 2 * period else (*range(period), *range(k - period, k))
    if phases * len(taps) > MOST_READS:
        return slide(_bounded(field), window)
    spend(phases * len(taps), "positions that take turns in what they see")
    windows = tuple(union(field.at(o * s - before + d * tap) for tap in taps) for o in range(phases))
    return _shortest(replace(field, windows=windows, advance=field.advance * (phases * s // period)))


def _spread(field: Field, window: TransposedWindow) -> Field:
    """The field after a transposed window; bounded where it has too many phases, or symbolic ones."""
    k, s, d, before = window.kernel, window.stride, window.dilation, window.before
    if not any(map(is_symbolic, (k, s, d, before))) and not field.bounded:
        phases, reads = len(field.windows) * known(s), known(k)
        if phases <= MAX_PERIOD and phases * reads <= MOST_READS:
            spend(phases * reads, "positions that take turns in what they see")
            windows = tuple(union(field.at(i) for i in window.reads(o)) for o in range(phases))
            return _shortest(replace(field, windows=windows))
    field = _bounded(field)
    only, step = field.windows[0], _over(field.advance, s)
    if only is not None:
        # output o sees the inputs between (o + before - d(k - 1))/s and (o + before)/s
        only = only[0] + (before - d * (k - 1)) * step, only[1] + before * step
    return replace(field, windows=(only,), advance=step)


def binned(field: Field, bins: Runs, size: Any) -> Field | None:
    """The field after bins, each of which reads a few neighbours; None where there are too many, or symbolic ones."""
    period = len(field.windows)
    if any(map(is_symbolic, (*bins.values, size, field.advance))):
        return None
    regular = bins.period(known(size))
    if regular is None:
        return None
    # after `phases` bins, `shift` positions on, all is as at the start
    turns = period // math.gcd(period, regular[1])
    phases, shift = regular[0] * turns, regular[1] * turns
    if phases > MAX_PERIOD or shift > MAX_PERIOD * 64:
        return None
    windows = tuple(union(field.at(i) for i in range(*bins.bounds(phase, size))) for phase in range(phases))
    moved = replace(field, windows=windows, advance=field.advance * (shift // period))
    return _shortest(replace(moved, size_dependent=True) if bins.follows_size else moved)


def _bounded(field: Field) -> Field:
    """One window for all positions, a steady stride apart, that holds every window of the field."""
    stride = _step_of(field)
    moved = (w and (w[0] - phase * stride, w[1] - phase * stride) for phase, w in enumerate(field.windows))
    return replace(field, windows=(union(moved),), advance=stride, bounded=True)


def _shortest(field: Field) -> Field:
    """The same field with its least period."""
    total = len(field.windows)
    if total == 1 or is_symbolic(field.advance):
        return field
    for period in range(1, total // 2 + 1):
        if total % period == 0 and field.advance * period % total == 0:
            candidate = replace(field, windows=field.windows[:period], advance=field.advance * period // total)
            if all(candidate.at(position) == field.windows[position] for position in range(total)):
                return candidate
    return field


def union(intervals: Iterable[Interval]) -> Interval:
    """The shortest interval that holds all of them; None if all are."""
    seen = [interval for interval in intervals if interval is not None]
    if not seen:
        return None
    return minimum(*(first for first, _ in seen)), maximum(*(last for _, last in seen))


def hull(fields: list[Field]) -> Field:
    """What a merge sees: all that any path sees. Paths of unequal stride or centre are misaligned."""
    first = fields[0]
    if all(field == first for field in fields):
        return first
    strides = all(_step_of(field) == _step_of(first) for field in fields)
    flags: dict[str, Any] = {
        "aligned": all(field.aligned and agree(field, first) for field in fields),
        "drifts": not strides or any(field.drifts for field in fields),
        **{name: any(getattr(f, name) for f in fields) for name in ("bounded", "size_dependent")},
        "numbered": first.numbered,
    }
    period = math.lcm(*(len(field.windows) for field in fields))
    if not strides:  # the hull is not periodic: what the first position sees, and the main path's stride
        return Field((union(field.at(0) for field in fields),), _step_of(first), **flags)
    if period > MAX_PERIOD or flags["bounded"]:
        fields, period, flags["bounded"] = list(map(_bounded, fields)), 1, True
    windows = tuple(union(field.at(position) for field in fields) for position in range(period))
    advance = fields[0].advance * (period // len(fields[0].windows))
    return _shortest(Field(windows, advance, **flags))


def _step_of(field: Field) -> Any:
    """The stride, whether or not positions follow the axis now."""
    return field.advance if len(field.windows) == 1 else _over(field.advance, len(field.windows))


def agree(a: Field, b: Field) -> bool:
    """Whether two paths that meet are aligned: equal strides, and equal centres in every phase."""
    return disagreement(a, b) is None


def disagreement(a: Field, b: Field) -> int | None:
    """The first position whose centres differ on two paths that meet, 0 if their strides do; None if aligned."""
    if a is b or a.constant or b.constant or a.lost or b.lost:
        return None
    if len(a.windows) == len(b.windows) == 1:
        return None if a.advance == b.advance and _same_centre(a.windows[0], b.windows[0]) else 0
    if _step_of(a) != _step_of(b):
        return 0
    period = math.lcm(len(a.windows), len(b.windows))
    positions = range(period if period <= MAX_PERIOD else 1)
    return next((position for position in positions if not _same_centre(a.at(position), b.at(position))), None)


def _same_centre(a: Interval, b: Interval) -> bool:
    return a is None or b is None or bool(a[0] + a[1] == b[0] + b[1])


def _over(a: Any, b: Any) -> Any:
    """The exact quotient; an integer if it is one."""
    if is_symbolic(a) or is_symbolic(b):
        return a / b
    value = Fraction(a) / Fraction(b)
    return value.numerator if value.denominator == 1 else value


def _whole_number(value: Any) -> Any:
    """The integer part of a bound; other values are integers already."""
    return math.floor(value) if isinstance(value, Fraction) else value
