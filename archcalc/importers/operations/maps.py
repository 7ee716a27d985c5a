"""Operators on maps that aren't products: pools of the greatest values, activations with arguments, moved pixels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import Any

from archcalc.importers.operations.exported import Operation
from archcalc.importers.operations.lifting import Lifter, Unknown, argument, extent, number, operator, pattern
from archcalc.importers.operations.merging import merged
from archcalc.importers.operations.views import Dimension, Factor, TensorView, whole
from archcalc.shape import Shape

# --- pools ----------------------------------------------------------------------------------------------------------


@operator("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(lifter: Lifter, op: Operation) -> list[TensorView]:
    """The greatest values of as many bins as the output has positions, of all positions if that is one."""
    x, size = lifter.as_map(op.arguments[0]), op.arguments[1]
    if all(each == 1 for each in size):
        return [lifter.made("global_maxpool", [x])]
    return [lifter.made("adaptive_maxpool", [x], output_size=extent(size, len(size)))]


@operator("mean")
def mean(lifter: Lifter, op: Operation) -> TensorView:
    """The mean along dimensions."""
    if (several := _of_stacked(lifter, op)) is not None:
        return lifter.along(several[0], "times", factor=Fraction(1, several[1]))
    return reduced(lifter, op, "global_avgpool")


@operator("amax")
def greatest(lifter: Lifter, op: Operation) -> TensorView:
    """The greatest value along dimensions."""
    return reduced(lifter, op, "global_maxpool")


@operator("sum")
def total(lifter: Lifter, op: Operation) -> TensorView:
    """The sum along dimensions: so many times the mean."""
    if (several := _of_stacked(lifter, op)) is not None:
        return several[0]
    found = reduced(lifter, op, "global_avgpool")
    count = prod(lifter.view(op.arguments[0]).sizes()) // prod(found.sizes())
    return lifter.along(found, "times", factor=count) if count != 1 else found


def _of_stacked(lifter: Lifter, op: Operation) -> tuple[TensorView, int] | None:
    """The sum of tensors that were stacked along a first dimension, and how many they are."""
    tensors = lifter.pending(op.arguments[0], "stacked")
    if tensors is None or argument(op, 1, "dim") not in (0, [0]) or argument(op, 2, "keepdim", False):
        return None
    found = lifter.view(tensors[0])
    for each in tensors[1:]:
        found = merged(lifter, "add", found, lifter.view(each))
    return found, len(tensors)


@pattern("stacked")
def stacked(_: Lifter, op: Operation) -> list[Any] | None:
    """Tensors that are stacked along a first dimension, such as those of parallel branches that are summed."""
    if op.name != "stack" or argument(op, 1, "dim", 0) not in (0, -len(op.shape)):
        return None
    return list(op.arguments[0])


def reduced(lifter: Lifter, op: Operation, kind: str) -> TensorView:
    """One value, as a pool makes it, for all along some dimensions, which are kept with one value or dropped."""
    x, dims, keep = lifter.view(op.arguments[0]), argument(op, 1, "dim"), argument(op, 2, "keepdim", False)
    over = sorted({dim % len(x.dims) for dim in ([dims] if isinstance(dims, int) else dims or range(len(x.dims)))})
    left = [place for place in range(len(x.dims)) if place not in over]
    if not left or left[0] != 0:
        raise Unknown("a value for all examples")
    once = x.without_copies()
    x = x._replace(dims=tuple((once if place in over else x).dims[place] for place in range(len(x.dims))))
    if (pooled := _pooled(lifter, x, [factor for place in over for factor in x.dims[place]], kind)) is not None:
        return pooled._replace(dims=_kept([pooled.dims[place] for place in left], over, keep))
    sizes = x.sizes()
    counts = [sizes[0], *(prod(sizes[place] for place in places) for places in (left[1:], over))]
    line = x.permuted([*left, *over]).reshaped(counts)
    assert line is not None  # whole dimensions are joined
    step = lifter.add(kind, [lifter.volume(line, ("C", "W"))])
    if over == [1] and lifter.plain(x.step) == x and lifter.shape(x.step).spatial:
        return _of_one_channel(lifter, step, lifter.shape(x.step), keep)
    rest = lifter.plain(step).reshaped([sizes[place] for place in left])
    assert rest is not None  # its channels are what is left
    return rest._replace(dims=_kept(rest.dims, over, keep))


def _pooled(lifter: Lifter, x: TensorView, over: Sequence[Factor], kind: str) -> TensorView | None:
    """A map of which these factors are pooled, if they are spatial axes, all or some; itself if there are none."""
    shape = lifter.shape(x.step)
    axes = [axis for axis in shape.spatial if whole(axis, shape[axis]) and whole(axis, shape[axis])[0] in over]
    if not over:
        return x
    if not x.is_all_of(lifter.plain(x.step)) or len(axes) != len(over):
        return None
    if all(axis in axes or shape[axis] == 1 for axis in shape.spatial):
        return x._replace(step=lifter.add(kind, [x.step]))
    sizes = tuple(1 if axis in axes else shape[axis] for axis in shape.spatial)
    return x._replace(step=lifter.add(kind.replace("global", "adaptive"), [x.step], output_size=sizes))


def _of_one_channel(lifter: Lifter, line: int, shape: Shape, keep: bool) -> TensorView:
    """Values for the positions of a map, which are channels, as a map."""
    sizes: dict[str, Any] = {axis: shape[axis] for axis in shape.spatial}
    found = lifter.plain(lifter.add("reshape", [line], C=1, **sizes))
    return found if keep else found.without(1)


def _kept(dims: Sequence[Dimension], over: Sequence[int], keep: bool) -> tuple[Dimension, ...]:
    """Dimensions with those of one value that are kept."""
    found = list(dims)
    for place in over if keep else ():
        found.insert(place, ())
    return tuple(found)


# --- values by themselves -------------------------------------------------------------------------------------------


@operator("elu")
def elu(lifter: Lifter, op: Operation) -> TensorView:
    """ELU; one that is scaled otherwise isn't."""
    if argument(op, 2, "scale", 1) != 1 or argument(op, 3, "input_scale", 1) != 1:
        raise Unknown("ELU with scales")
    return lifter.along(lifter.view(op.arguments[0]), "elu", alpha=number(argument(op, 1, "alpha", 1)))


@operator("celu")
def celu(lifter: Lifter, op: Operation) -> TensorView:
    """ELU whose slope has no step."""
    return lifter.along(lifter.view(op.arguments[0]), "celu", alpha=number(argument(op, 1, "alpha", 1)))


@operator("softplus")
def softplus(lifter: Lifter, op: Operation) -> TensorView:
    """The smooth ReLU."""
    if argument(op, 1, "beta", 1) != 1 or argument(op, 2, "threshold", 20) != 20:
        raise Unknown("softplus that is scaled")
    return lifter.along(lifter.view(op.arguments[0]), "softplus")


@operator("prelu")
def prelu(lifter: Lifter, op: Operation) -> TensorView:
    """A ReLU whose slope is learned: one, or one for each channel."""
    x, slopes = lifter.view(op.arguments[0]), lifter.weight(op.arguments[1])
    channels = lifter.shape(x.step).C
    if slopes.shape != (1,) and (len(x.dims) < 2 or x.dims[1] != whole("C", channels)):
        raise Unknown("slopes for another axis than C")
    return lifter.along(x, "prelu", [slopes], num_parameters=slopes.shape[0])


@operator("glu")
def gated(lifter: Lifter, op: Operation) -> TensorView:
    """Half of the channels times the sigmoid of the others."""
    x = lifter.view(op.arguments[0])
    channels = lifter.shape(x.step).C
    if x.dims[argument(op, 1, "dim", -1)] != whole("C", channels):
        x = lifter.plain(lifter.volume(x))
        if x.dims[argument(op, 1, "dim", -1)] != whole("C", lifter.shape(x.step).C):
            raise Unknown("a gate along another axis than C")
    return lifter.along(x, "glu")


@operator("sub")
def difference(lifter: Lifter, op: Operation) -> TensorView:
    """A volume less another one: their sum, one of them with the other sign."""
    if op.named.get("alpha", 1) != 1:
        raise Unknown("a difference with a factor")
    one, other = op.arguments[:2]
    if isinstance(one, (int, float)) or isinstance(other, (int, float)):
        raise Unknown("a difference with a number")
    return merged(
        lifter, "add", lifter.view(one), lifter.along(lifter.view(other).without_copies(), "times", factor=-1)
    )


# --- norms ----------------------------------------------------------------------------------------------------------


@operator("instance_norm")
def instance_norm(lifter: Lifter, op: Operation) -> TensorView:
    """Normalisation of each channel of a map by itself."""
    weight, bias, mean = (argument(op, place, "") for place in (1, 2, 3))
    if mean is not None or (weight is None) != (bias is None):
        raise Unknown("instance normalisation with statistics that are kept, or with factors alone")
    stored = [lifter.weight(each) for each in (weight, bias) if each is not None]
    x = lifter.as_map(op.arguments[0])
    return lifter.made("instancenorm", [x], stored, affine=bool(stored), eps=number(op.arguments[7]))


# --- pixels ---------------------------------------------------------------------------------------------------------


@operator("pixel_shuffle", "pixel_unshuffle")
def pixels(lifter: Lifter, op: Operation) -> TensorView:
    """Channels as blocks of positions, or the other way round."""
    return lifter.made(op.name, [lifter.as_map(op.arguments[0])], factor=op.arguments[1])
