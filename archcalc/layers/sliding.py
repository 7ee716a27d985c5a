"""What every kind that slides over the spatial axes shares: sizes from its windows, and the remark on a bad stride."""

from __future__ import annotations

from collections.abc import Iterable

from archcalc.layers.base import Layer, spatial_axes
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, is_symbolic


def spatial_sizes(x: Shape) -> dict[str, Dim]:
    """The size along each spatial axis of `x`, of which there must be one."""
    return {axis: x[axis] for axis in spatial_axes(x)}


class Sliding(Layer):
    """Spatial sizes follow from `windows`; the other axes stay."""

    def output_shape(self, x: Shape, *others: Shape) -> Shape:
        return x.with_(**{axis: w.positions(x[axis]) for axis, w in self.windows(x, *others).items()})

    def remarks(self, x: Shape, *others: Shape) -> Iterable[str]:
        """Say where a stride does not fit, once for axes with the same arithmetic.

        `half` asks for ⌈size / stride⌉ positions, so it is silent as long as nothing but padding is left over.
        """
        half = getattr(self, "padding", None) == "half"
        texts = (
            f"{arithmetic} is not an integer; rounded down to {w.positions(x[axis])}"
            for axis, w in self.windows(x, *others).items()
            if (arithmetic := w.misfit(x[axis])) and not w.ceil and not (half and _loses_padding_only(w, x[axis]))
        )
        return tuple(dict.fromkeys(texts))


def _loses_padding_only(window: Window, size: Dim) -> bool:
    left_over = window.slack(size) % window.stride
    return not is_symbolic(left_over) and left_over <= window.after
