"""What a layer is, however a spec writes it: two that are alike make the same of the same volume."""

from __future__ import annotations

from typing import Any

from archcalc.errors import ShapeError
from archcalc.graph import Application
from archcalc.layers import Layer
from archcalc.shape import Shape

GEOMETRY = ("Extent", "Padding")
"""Types of arguments that windows are made of: what counts are the windows."""
REFERENCES = ("Tensor", "Tie")
"""Types of arguments that are names of other layers."""
SIZES = ("Dim", "Count", "Channels")
"""Types of arguments that may be given although they follow from the volume."""


def is_nothing(application: Application) -> bool:
    """Whether all values are what they were when the network runs, in whatever shape."""
    return application.once(_nothing)


def _nothing(application: Application) -> bool:
    layer, inputs, made = application.layer, application.input_shapes, application.output_shape
    if len(inputs) != 1:
        return False
    if layer.merges or (layer.is_view(*inputs, training=False) and made.numel == inputs[0].numel):
        return True
    windows = layer.windows(*inputs).values()  # of 1x1 places, and nothing to learn: a pool that pools nothing
    plain = bool(windows) and made == inputs[0] and all(window.kernel == 1 for window in windows)
    return plain and layer.params(*inputs) == 0 == layer.macs(*inputs)


def said(application: Application) -> tuple[Any, ...]:
    """What a layer is: its kind, windows, and other arguments but for names of layers; of a view, what it shows."""
    return application.once(_said)


def _said(application: Application) -> tuple[Any, ...]:
    layer, inputs = application.layer, application.input_shapes
    if layer.is_scattered and len(inputs) == 1:
        (reads,) = layer.reads(*inputs)
        return "view", repr(reads and (sorted(reads.along.items()), reads.groups, reads.all_of_it, reads.factors))
    windows = layer.windows(*inputs)
    slides = ((axis, w.kernel, w.stride, w.dilation, w.before, w.after) for axis, w in windows.items())
    apart = (*REFERENCES, *GEOMETRY) if windows else REFERENCES
    values = [
        None if each.type.name in SIZES and _follows(layer, name, inputs) else getattr(layer, name)
        for name, each in layer.arguments().items()
        if each.type.name not in apart
    ]
    return layer.kind, tuple(slides), tuple(values)


def _follows(layer: Layer, name: str, inputs: tuple[Shape, ...]) -> bool:
    """Whether an argument is what it would be if it weren't given: one on which sizes depend, all of which stay."""
    value = getattr(layer, name)
    if layer.arguments()[name].default is not None or value is None or layer.arguments()[name].required:
        return False
    now = _sizes(layer, inputs)
    others = (_with(layer, name, other, inputs) for other in (value + 1, 2 * value, 1, 2))
    return now == _with(layer, name, None, inputs) and any(other not in (None, now) for other in others)


def _with(layer: Layer, name: str, value: int | None, inputs: tuple[Shape, ...]) -> Any:
    """The sizes with another value; nothing if there is no such layer."""
    arguments = {each: getattr(layer, each) for each in layer.arguments()} | {name: value}
    try:
        return _sizes(layer.given(**arguments), inputs)
    except ShapeError:
        return None


def _sizes(layer: Layer, inputs: tuple[Shape, ...]) -> Any:
    counts = layer.output_shape(*inputs), layer.parameter_sizes(*inputs), layer.macs(*inputs)
    return *counts, layer.cached(inputs, *inputs), tuple(layer.reads(*inputs))
