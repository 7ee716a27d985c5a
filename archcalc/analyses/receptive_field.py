"""Receptive fields: which input positions each output position sees, propagated forward through the graph.

Along one axis a field is periodic: the output positions r, r + P, r + 2P … see the same window, each `advance` input
positions further on. Without upsampling P is 1, and this is the (size, stride, padding) of Araujo, Norris & Sim 2019.
Borders are left out here: `receptive_field_exact` respects them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

from archcalc.graph import Application, Graph
from archcalc.layers.merge import Concat
from archcalc.layers.reshape import Crop, View
from archcalc.shape import TransposedWindow, Window
from archcalc.symbolic import differ, floor_div, is_symbolic, maximum, minimum

Interval: TypeAlias = "tuple[Any, Any] | None"
"""First and last input position, clipping aside; None where nothing is seen."""

MAX_PERIOD = 1024
"""With more different positions than this a field is bounded instead: 20 upsamplings by 2 would make a million."""


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field along one input axis.

    `windows[r]` is what output position r sees; position r + P sees it shifted by `advance`, P = len(windows).
    """

    windows: tuple[Interval, ...]
    advance: Any
    aligned: bool = True  # no merge before it joins paths of unequal stride or centre
    drifts: bool = False  # some merge joins unequal strides: the windows are those of the first position
    whole: bool = False  # every position sees the whole input
    flat: bool = False  # positions no longer follow this axis (flattened, or joined along it)
    bounded: bool = False  # each window lies within this one: too many phases, or symbolic ones
    size_dependent: bool = False  # `same` padding with a stride, or a crop: other input sizes shift the windows

    def at(self, position: int) -> Interval:
        """What one output position sees."""
        period, phase = divmod(position, len(self.windows))
        window = self.windows[phase]
        return None if window is None else (window[0] + period * self.advance, window[1] + period * self.advance)

    @property
    def sizes(self) -> tuple[Any, ...]:
        """Input positions that a window spans, for each phase."""
        return tuple(0 if window is None else _whole_number(window[1] - window[0]) + 1 for window in self.windows)

    @property
    def size(self) -> Any:
        """Input positions that a window spans; the widest, where positions differ."""
        return maximum(*self.sizes, 0)

    @property
    def stride(self) -> Any:
        """Input positions from one output position to the next, on average."""
        return self.advance if len(self.windows) == 1 else _over(self.advance, len(self.windows))

    @property
    def padding(self) -> Any:
        """How far the first window reaches over the input's edge; 0 if it sees nothing."""
        first = self.windows[0]
        return 0 if first is None else _whole_number(-first[0])

    @property
    def centre(self) -> Any:
        """The middle of the first window, in input positions; None if it sees nothing."""
        first = self.windows[0]
        return None if first is None else _over(first[0] + first[1], 2)


Fields: TypeAlias = "Mapping[str, Field]"
"""One field for each spatial axis of the input; none where the input isn't seen at all."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What a layer does to fields, whatever they are."""

    windows: Mapping[str, Window]
    sees_everything: bool
    lost: frozenset[str]  # axes that positions no longer follow behind it
    reads: int | None  # how many of its inputs reach the output; None: all
    passes: bool  # a single input's fields come out as they go in


def receptive_fields(graph: Graph, source: int = 0) -> list[Fields]:
    """Every node's receptive field on the first input, or on another node's output, in time linear in the graph.

    Equal layers on equal fields are computed once.
    """
    shape = graph.nodes[source].shape
    whole = {axis: Field(((0, shape[axis] - 1),), 0, whole=True) for axis in shape.spatial}
    found: list[Fields] = [{}] * source
    found.append(dict.fromkeys(whole, Field(((0, 0),), 1)))
    for node in graph.nodes[source + 1 :]:
        step = node.application.once(_step)
        seen = [found[i] for i in node.inputs[: step.reads] if found[i]]
        if not seen:
            found.append({})
        elif step.passes and all(fields is seen[0] for fields in seen):
            found.append(seen[0])
        else:
            found.append(whole if step.sees_everything else _through(step, node.application, seen))
    return found


def main_inputs(application: Application) -> int | None:
    """How many inputs reach the output, None for all: `crop like=@p` and `unpool like=@p` use the other's size only."""
    return None if getattr(application.layer, "like", None) is None else 1


def _step(at: Application) -> _Step:
    inputs = at.input_shapes
    lost: tuple[str, ...] = ()
    if isinstance(at.layer, Concat) and at.layer.axis in at.output_shape.spatial:
        lost = (at.layer.axis,)
    elif (
        isinstance(at.layer, View)
        and not at.layer.windows(*inputs)
        and _spatial(inputs[0]) != _spatial(at.output_shape)
    ):
        lost = inputs[0].spatial or at.output_shape.spatial
    windows, sees_everything = at.layer.windows(*inputs), at.layer.global_view(*inputs)
    passes = not (windows or sees_everything or lost)
    return _Step(windows, sees_everything, frozenset(lost), main_inputs(at), passes)


def _spatial(shape: Any) -> list[Any]:
    return [(axis, shape[axis]) for axis in shape.spatial]


def _through(step: _Step, at: Application, seen: Sequence[Fields]) -> Fields:
    """The fields behind one layer that reads `seen`."""
    result: dict[str, Field] = {}
    known: dict[tuple[int, ...], tuple[Window | None, Field]] = {}
    for axis in seen[0]:
        inputs, window = [fields[axis] for fields in seen], step.windows.get(axis)
        key = tuple(map(id, inputs))
        if key in known and known[key][0] == window and not step.lost:
            result[axis] = known[key][1]  # height and width are mostly alike
            continue
        field = inputs[0] if len(inputs) == 1 else _hull(inputs)
        if window is not None and not field.whole and not field.flat:
            field = slide(field, window)
            if _depends_on_size(window, at):
                field = replace(field, size_dependent=True)
        if step.lost and not field.whole and (axis in step.lost or not at.output_shape.spatial):
            field = replace(field, flat=True)
        known[key] = window, field
        result[axis] = field
    return result


def _depends_on_size(window: Window, at: Application) -> bool:
    """Whether the padding in front is another for another input size."""
    if isinstance(at.layer, Crop):
        return at.layer.size is not None
    if not window.same or isinstance(window, TransposedWindow):
        return False
    # of n positions, `same` pads max(extent - 1 - (n - 1) % s, 0), half of it in front
    return differ(floor_div(window.extent - 1, 2), floor_div(maximum(window.extent - window.stride, 0), 2))


def slide(field: Field, window: Window) -> Field:
    """The field behind a sliding window."""
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
    phases = period // math.gcd(period, s)
    windows = tuple(_join(field.at(i) for i in window.reads(o)) for o in range(phases))
    return _shortest(replace(field, windows=windows, advance=field.advance * (phases * s // period)))


def _spread(field: Field, window: TransposedWindow) -> Field:
    """The field behind a transposed window; bounded where it has too many phases, or symbolic ones."""
    k, s, d, before = window.kernel, window.stride, window.dilation, window.before
    symbolic = any(map(is_symbolic, (k, s, d, before)))
    if not symbolic and not field.bounded and len(field.windows) * s <= MAX_PERIOD:
        windows = tuple(_join(field.at(i) for i in window.reads(o)) for o in range(len(field.windows) * s))
        return _shortest(replace(field, windows=windows))
    field = _bounded(field)
    only, step = field.windows[0], _over(field.advance, s)
    if only is not None:
        # output o sees the inputs between (o + before - d(k - 1))/s and (o + before)/s
        only = only[0] + (before - d * (k - 1)) * step, only[1] + before * step
    return replace(field, windows=(only,), advance=step)


def _bounded(field: Field) -> Field:
    """One window for all positions, a steady stride apart, that holds every window of the field."""
    stride = field.stride
    moved = (w and (w[0] - phase * stride, w[1] - phase * stride) for phase, w in enumerate(field.windows))
    return replace(field, windows=(_join(moved),), advance=stride, bounded=True)


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


def _join(intervals: Iterable[Interval]) -> Interval:
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
    strides = all(field.stride == first.stride for field in fields)
    flags = {
        "aligned": all(field.aligned and agree(field, first) for field in fields),
        "drifts": not strides or any(field.drifts for field in fields),
        **{name: any(getattr(f, name) for f in fields) for name in ("flat", "bounded", "size_dependent")},
    }
    period = math.lcm(*(len(field.windows) for field in fields))
    if not strides:  # the hull is not periodic: what the first position sees, and the main path's stride
        return Field((_join(field.at(0) for field in fields),), first.stride, **flags)
    if period > MAX_PERIOD or flags["bounded"]:
        fields, period, flags["bounded"] = list(map(_bounded, fields)), 1, True
    windows = tuple(_join(field.at(position) for field in fields) for position in range(period))
    advance = fields[0].advance * (period // len(fields[0].windows))
    return _shortest(Field(windows, advance, **flags))


def agree(a: Field, b: Field) -> bool:
    """Whether two paths that meet are aligned: equal strides, and equal centres in every phase."""
    if a.whole or b.whole or a is b:
        return True
    if len(a.windows) == len(b.windows) == 1:
        return bool(a.advance == b.advance and _same_centre(a.windows[0], b.windows[0]))
    if a.stride != b.stride:
        return False
    period = math.lcm(len(a.windows), len(b.windows))
    if period > MAX_PERIOD:
        return bool(a.centre == b.centre)
    pairs = ((a.at(position), b.at(position)) for position in range(period))
    return all(_same_centre(*pair) for pair in pairs)


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
