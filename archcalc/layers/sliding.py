"""What every kind that slides over the spatial axes shares: sizes from its windows, and the remark on a bad stride."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from archcalc.layers.arguments import are_equal
from archcalc.layers.base import Layer, spatial_axes
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, ceil_div


def spatial_sizes(x: Shape) -> dict[str, Dim]:
    """The size along each spatial axis of `x`, of which there must be one."""
    return {axis: x[axis] for axis in spatial_axes(x)}


def pads_apart(windows: Mapping[str, Window], padding: Any) -> bool:
    """Whether the volume is padded in a step of its own, since PyTorch's layers pad both sides alike.

    With a stride, `same` may be even for one size and uneven for the next; so that one formula holds for all sizes, it
    always is a step of its own.
    """
    if padding == "same" and not all(are_equal(w.stride, 1, "the stride is 1") for w in windows.values()):
        return True
    return not all(are_equal(w.before, w.after, "both sides are padded alike") for w in windows.values())


def padded(x: Shape, windows: Mapping[str, Window]) -> Shape:
    """The volume with its padding."""
    return x.with_(**{axis: x[axis] + w.before + w.after for axis, w in windows.items()})


class Sliding(Layer):
    """Spatial sizes follow from `windows`; the other axes stay."""

    def output_shape(self, x: Shape, *others: Shape) -> Shape:
        return x.with_(**{axis: w.positions(x[axis]) for axis, w in self.windows(x, *others).items()})

    def remarks(self, x: Shape, *others: Shape) -> Iterable[str]:
        """Say where a stride does not fit, once for axes with the same arithmetic.

        ⌈size / stride⌉ positions, what `half` padding asks for, are no surprise: every ResNet halves 112 so.
        """
        texts = []
        for axis, window in self.windows(x, *others).items():
            arithmetic = window.misfit(x[axis])
            if arithmetic and not window.ceil:
                positions = window.positions(x[axis])
                if positions != ceil_div(x[axis], window.stride):
                    texts.append(f"{arithmetic} is not an integer; rounded down to {positions}")
        return tuple(dict.fromkeys(texts))
