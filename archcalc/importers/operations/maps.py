"""Operators on maps that aren't products: pools of the greatest values, activations with arguments, moved pixels."""

from __future__ import annotations

from archcalc.importers.operations.exported import Operation
from archcalc.importers.operations.lifting import Lifter, Unknown, argument, extent, number, operator
from archcalc.importers.operations.merging import merged
from archcalc.importers.operations.views import TensorView, whole

# --- pools ----------------------------------------------------------------------------------------------------------


@operator("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(lifter: Lifter, op: Operation) -> list[TensorView]:
    """The greatest values of as many bins as the output has positions, of all positions if that is one."""
    x, size = lifter.as_map(op.arguments[0]), op.arguments[1]
    if all(each == 1 for each in size):
        return [lifter.made("global_maxpool", [x])]
    return [lifter.made("adaptive_maxpool", [x], output_size=extent(size, len(size)))]


@operator("amax")
def greatest(lifter: Lifter, op: Operation) -> TensorView:
    """The greatest value of all positions of a map."""
    return over_positions(lifter, op, "global_maxpool", "the greatest value")


def over_positions(lifter: Lifter, op: Operation, kind: str, what: str) -> TensorView:
    """One value for each channel of a map, whose axes are kept or dropped."""
    x, dims, keep = lifter.view(op.arguments[0]), argument(op, 1, "dim"), argument(op, 2, "keepdim", False)
    shape, places = lifter.shape(x.step), sorted(dim % len(x.dims) for dim in dims or range(len(x.dims)))
    over = [factor for place in places for factor in x.dims[place]]
    spatial = [factor for axis in shape.spatial for factor in whole(axis, shape[axis])]
    if x.starts or not shape.spatial or over != spatial:
        raise Unknown(f"{what} over other axes than all spatial ones")
    found = x._replace(step=lifter.add(kind, [x.step]))
    kept = [() if place in places else dim for place, dim in enumerate(found.dims) if keep or place not in places]
    return found._replace(dims=tuple(kept))


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
    return merged(lifter, "add", lifter.view(one), lifter.along(lifter.view(other).without_copies(), "times", factor=-1))


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
