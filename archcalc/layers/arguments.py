"""The types of layer arguments: how a value written in a spec becomes a field, and how a field is written again.

A field's annotation names its type here, so that the class alone says what a spec may write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, TypeAlias, TypeVar

from archcalc.data import dataclass
from archcalc.errors import ExpressionError, ShapeError
from archcalc.shape import TransposedWindow, Window
from archcalc.symbolic import Dim, agreement, as_integer, exceeds, floor_div, is_symbolic, maximum

T = TypeVar("T")

Channels: TypeAlias = Dim
Extent: TypeAlias = "Dim | tuple[Dim, ...]"
"""A size along every spatial axis: one for all of them, or one each, in the order D, H, W."""
Padding: TypeAlias = "Dim | tuple[Dim, ...] | tuple[tuple[Dim, Dim], ...] | Literal['half', 'same']"
"""One for all sides, one per axis (`1x2`), or (before, after) per axis (`[0,1]`, `[[0,1],[2,3]]`)."""
Bias: TypeAlias = "bool | Literal['position']"
Number: TypeAlias = "int | Fraction"
Factor: TypeAlias = "Dim | Fraction"
Tensor: TypeAlias = str
"""A path to an earlier tensor, `@path` in a spec: the layer's second input."""
Tie: TypeAlias = str
"""A path to an earlier layer whose weights this one shares."""
Table: TypeAlias = "tuple[tuple[bool, ...], ...]"
"""A connection table: one row per input channel, one entry per output channel."""
Operator: TypeAlias = str
"""An operation by PyTorch's name."""
Shapes: TypeAlias = "tuple[tuple[Dim, ...], ...]"
"""Sizes of several tensors: `64x3x3`, `[64x64,64]`."""


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """How values of one type are read from a spec (`convert`), written back, and described to an editor."""

    name: str
    description: str
    convert: Callable[[Any], Any]
    words: tuple[str, ...] = ()
    label: str = ""
    any_word: bool = False
    """Whether any name is a value."""

    def write(self, value: Any) -> str:
        """The value as a spec writes it."""
        return _write_shapes(value) if self.name == "Shapes" and value is not None else _write(value)


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            if isinstance(value[0][0], bool):
                return f"<table {len(value)}x{len(value[0])}>"
            pairs = [f"[{a},{b}]" for a, b in value]
            return pairs[0] if len(pairs) == 1 else f"[{','.join(pairs)}]"
        return "x".join(map(str, value))
    if isinstance(value, Fraction):
        return f"{float(value):g}" if Fraction(f"{float(value):g}") == value else str(value)
    return str(value)


def _write_shapes(value: Shapes) -> str:
    each = ["x".join(map(str, sizes)) for sizes in value]
    return each[0] if len(each) == 1 else f"[{','.join(each)}]"


def _integer(value: Any, least: int | None) -> Dim:
    number = as_integer(value)
    if number is None:
        if isinstance(value, Fraction):
            raise ExpressionError(f"= {value} is not an integer", hint="use // or ceil(...)")
        if is_symbolic(value):
            raise ExpressionError(f"= {value} is not always an integer", hint="use // or ceil(...)")
        raise ExpressionError(f"takes a number, not {describe(value)}", code="E086")
    if least is not None and exceeds(least, number):
        raise ExpressionError(f"= {number} is less than {least}")
    return number


def _size(value: Any) -> Dim:
    return _integer(value, 1)


def _count(value: Any) -> Dim:
    return _integer(value, 0)


def _extent(value: Any) -> Extent:
    return tuple(map(_size, value)) if isinstance(value, (tuple, list)) else _size(value)


def _amounts(value: Any) -> Extent:
    return tuple(map(_count, value)) if isinstance(value, (tuple, list)) else _count(value)


def _padding(value: Any) -> Padding:
    if value == "half":
        return "half"
    if value == "same":
        return "same"
    if isinstance(value, list):
        pairs = value if value and all(isinstance(pair, list) for pair in value) else [value]
        if not all(len(pair) == 2 for pair in pairs):
            raise ExpressionError("takes [before, after], or one such pair per axis", code="E086")
        return tuple((_count(before), _count(after)) for before, after in pairs)
    return _amounts(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError(f"takes true or false, not {describe(value)}", code="E086")
    return value


def _bias(value: Any) -> Bias:
    if value == "position":
        return "position"
    if not isinstance(value, bool):
        raise ExpressionError(f"takes true, false or position, not {describe(value)}", code="E086")
    return value


def _number(value: Any) -> Number:
    if is_symbolic(value):
        raise ExpressionError("takes a number, not a symbol", code="E106")
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise ExpressionError(f"takes a number, not {describe(value)}", code="E086")
    return value


def _factor(value: Any) -> Factor:
    if is_symbolic(value):
        return _size(value)
    number = _number(value)
    if number == 0:
        raise ExpressionError("= 0 leaves nothing")
    return number


def _reference(value: Any) -> str:
    if type(value).__name__ != "Reference":
        raise ExpressionError(f"takes a tensor, not {describe(value)}", code="E086", hint="write @path")
    return str(value)


def _table(value: Any) -> Table:
    if not (isinstance(value, tuple) and value and isinstance(value[0], tuple) and isinstance(value[0][0], bool)):
        raise ExpressionError(f"takes the name of a table, not {describe(value)}", code="E086")
    return value


def _shapes(value: Any) -> Shapes:
    each = value if isinstance(value, list) else [value]
    return tuple(tuple(map(_size, sizes if isinstance(sizes, tuple) else (sizes,))) for sizes in each)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError(f"takes a word, not {describe(value)}", code="E086")
    return str(value)


def describe(value: Any) -> str:
    """A value in an error message: what it is, and the value itself while it is short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "a list" if isinstance(value, list) else _write(value) if len(value) < 9 else "a table"
    text = str(value)
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}…'"


def words(name: str, *choices: str) -> ArgumentType:
    """An argument that takes one of a few words."""
    return ArgumentType(name, "one of: " + ", ".join(choices), _word, choices)


ARGUMENT_TYPES = {
    type_.name: type_
    for type_ in (
        ArgumentType("Dim", "a positive integer", _size),
        ArgumentType("Count", "an integer, 0 or more", _count),
        ArgumentType("Index", "an integer; negative counts from the end", lambda value: _integer(value, None)),
        ArgumentType("Channels", "how many channels or features the output has", _size, label="C"),
        ArgumentType("Extent", "a size, or one per spatial axis (3x3)", _extent),
        ArgumentType("Amounts", "an amount, 0 or more, or one per spatial axis (0x1)", _amounts),
        ArgumentType(
            "Padding",
            "an amount, one per axis (1x2), [before,after], half (⌊k/2⌋) or same (TensorFlow's)",
            _padding,
            ("half", "same"),
        ),
        ArgumentType("bool", "true or false", _flag),
        ArgumentType("Bias", "true, false, or position (one per output position)", _bias, ("position",)),
        ArgumentType("Number", "a number", _number),
        ArgumentType("Factor", "a number other than 0", _factor),
        ArgumentType("Tensor", "an earlier tensor, @path", _reference),
        ArgumentType("Tie", "an earlier layer whose weights are shared, @path", _reference),
        ArgumentType("Table", "the name of a table under 'tables'", _table),
        ArgumentType("Operator", "the name of an operation, as PyTorch has it", _word, any_word=True),
        ArgumentType("Shapes", "the sizes of a tensor (64x3x3), or a list of such", _shapes),
        words("Axis", "R", "T", "C", "D", "H", "W"),
        words("Interpolation", "nearest", "bilinear"),
        words("Sampling", "nearest", "bilinear", "bicubic"),
        words("Approximation", "none", "tanh"),
        words("Gate", "sigmoid", "silu", "gelu", "relu", "identity"),
        words("HeadNorm", "none", "rmsnorm", "ln"),
        words("WeightNorm", "none", "filter", "tap"),
        words("FilterNorm", "none", "filter", "tap", "standard", "gain"),
        words("BlockOrder", "chw", "hwc", "whc"),
        words("Score", "softmax", "sigmoid"),
    )
}
Count: TypeAlias = Dim
Index: TypeAlias = Dim
Amounts: TypeAlias = Extent
Axis: TypeAlias = str
Interpolation: TypeAlias = str
Sampling: TypeAlias = str
Approximation: TypeAlias = str
Gate: TypeAlias = str
HeadNorm: TypeAlias = str
WeightNorm: TypeAlias = str
FilterNorm: TypeAlias = str
BlockOrder: TypeAlias = str
Score: TypeAlias = str


def are_equal(a: Dim, b: Dim, question: str) -> bool:
    """Whether two sizes are equal, where the steps that PyTorch takes, and what they keep, depend on it.

    Raises: ShapeError: that depends on a symbol (E106). A condition would refuse sizes that can be built; and which
    volumes are kept is decided once for the graph, since a volume that several layers keep counts once.
    """
    equal = agreement([(a, b)])
    if is_symbolic(equal):
        why = "PyTorch takes other steps then, which keep other volumes"
        hint = "give the symbol a value; a sweep builds each of several"
        raise ShapeError(f"whether {question} depends on a symbolic value; {why}", code="E106", hint=hint)
    return bool(equal)


def per_axis(value: Extent, axes: Sequence[str], what: str) -> dict[str, Dim]:
    """One size for each axis.

    Raises: ShapeError: the number of sizes is not the number of axes.
    """
    return _shared_out(value, axes, what) if isinstance(value, tuple) else dict.fromkeys(axes, value)


def _shared_out(value: tuple[T, ...], axes: Sequence[str], what: str) -> dict[str, T]:
    """One of the values for each axis."""
    if len(value) != len(axes):
        sides = "1 side" if len(value) == 1 else f"{len(value)} sides"
        found = f"{len(axes)} spatial {'axis' if len(axes) == 1 else 'axes'}: {', '.join(axes)}"
        raise ShapeError(f"{what} {_write(value)} has {sides}, the input has {found}", code="E202")
    return dict(zip(axes, value, strict=True))


def sliding_windows(
    sizes: dict[str, Dim], kernel: Extent, stride: Extent, dilation: Extent, padding: Padding, ceil: bool = False
) -> dict[str, Window]:
    """The window along each axis of `sizes` (axis: input size), from arguments as specs write them."""
    axes = tuple(sizes)
    kernels, strides = per_axis(kernel, axes, "kernel"), per_axis(stride, axes, "stride")
    dilations = per_axis(dilation, axes, "dilation")
    pads = pads_per_axis(padding, kernels)
    found = {}
    for axis, size in sizes.items():
        k, s, d = kernels[axis], strides[axis], dilations[axis]
        if padding == "same":
            found[axis] = Window.for_same(size, k, s, d)
        else:
            found[axis] = Window(k, s, d, *pads[axis], ceil=ceil)
    return found


def transposed_windows(
    sizes: dict[str, Dim], kernel: Extent, stride: Extent, dilation: Extent, padding: Padding, extra: Extent = 0
) -> dict[str, TransposedWindow]:
    """The window that spreads each position along each axis of `sizes`; `same` makes the output size·stride."""
    axes = tuple(sizes)
    kernels, strides = per_axis(kernel, axes, "kernel"), per_axis(stride, axes, "stride")
    dilations, extras = per_axis(dilation, axes, "dilation"), per_axis(extra, axes, "output_padding")
    pads = pads_per_axis(padding, kernels)
    found = {}
    for axis in axes:
        window = TransposedWindow(kernels[axis], strides[axis], dilations[axis], extra=extras[axis])
        if padding == "same":
            cut = maximum(window.extent - window.stride, 0)
            before, added = floor_div(cut, 2), maximum(window.stride - window.extent, 0)
            found[axis] = replace(window, before=before, after=cut - before, extra=window.extra + added, same=True)
        else:
            before, after = pads[axis]
            found[axis] = replace(window, before=before, after=after)
    return found


def pads_per_axis(padding: Padding, kernels: dict[str, Dim]) -> dict[str, tuple[Dim, Dim]]:
    """Padding (before, after) along each axis; none for `same`, which depends on the input's size."""
    if padding == "same":
        return {}
    if padding == "half":
        return {axis: (floor_div(k, 2), floor_div(k, 2)) for axis, k in kernels.items()}
    if not isinstance(padding, tuple):
        return dict.fromkeys(kernels, (padding, padding))
    if pairs := tuple(pair for pair in padding if isinstance(pair, tuple)):
        return _shared_out(pairs * len(kernels) if len(pairs) == 1 else pairs, tuple(kernels), "padding")
    amounts = tuple(amount for amount in padding if not isinstance(amount, tuple))
    return {axis: (p, p) for axis, p in _shared_out(amounts, tuple(kernels), "padding").items()}
