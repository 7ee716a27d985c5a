"""How PyTorch's operators are lifted, each to a layer or to another view of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archcalc.importers.operations import drawn, weights
from archcalc.importers.operations.drawn import part_of
from archcalc.importers.operations.exported import Entered, Operation, Result, Stored
from archcalc.importers.operations.lifting import (
    Lifter,
    Unknown,
    Weight,
    argument,
    extent,
    number,
    operator,
    padding_of,
)
from archcalc.importers.operations.merging import concatenated, merged
from archcalc.importers.operations.views import COPIES, Dimension, Factor, Norm, TensorView, joined, stretch, whole
from archcalc.symbolic import known

# --- products -------------------------------------------------------------------------------------------------------


@operator("conv1d", "conv2d", "conv3d")
def convolution(lifter: Lifter, op: Operation) -> TensorView:
    """A convolution, depthwise where each channel has filters of its own."""
    view, weight, bias = lifter.view(op.arguments[0]), lifter.kernels(op.arguments[1]), argument(op, 2, "bias")
    kernel = weight.shape[2:]
    rank, groups = len(kernel), argument(op, 6, "groups", 1)
    padding = argument(op, 4, "padding", 0)
    is_product = not weight.arguments and set(kernel) == {1} and groups == 1 and op.shape[2:] == view.sizes()[2:]
    if is_product:
        mixed = _mixing(lifter, view, 1, weight.stored[0]._replace(shape=weight.shape[:2]), bias)
        if mixed is not None:
            return mixed
    x = lifter.as_map(op.arguments[0])
    arguments = {
        "kernel_size": extent(kernel, rank),
        "stride": extent(argument(op, 3, "stride"), rank),
        "padding": "same" if padding == "same" else padding_of(padding, kernel, rank),
        "dilation": extent(argument(op, 5, "dilation"), rank),
        "bias": bias is not None,
        **weight.arguments,
    }
    channels = known(lifter.shape(x).C)
    if groups == channels > 1 and weight.shape[0] % channels == 0:
        return lifter.made("dwconv", [x], [*weight.stored, bias], multiplier=weight.shape[0] // channels, **arguments)
    found = lifter.made("conv", [x], [*weight.stored, bias], out_channels=weight.shape[0], groups=groups, **arguments)
    if is_product:
        lifter.products.add(found.step)
    return found


@operator("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed(lifter: Lifter, op: Operation) -> TensorView:
    """A transposed convolution."""
    x, weight, bias = lifter.as_map(op.arguments[0]), lifter.weight(op.arguments[1]), argument(op, 2, "bias")
    kernel = weight.shape[2:]
    rank, groups = len(kernel), argument(op, 6, "groups", 1)
    return lifter.made(
        "tconv", [x], [weight, bias], out_channels=weight.shape[1] * groups, kernel_size=extent(kernel, rank),
        stride=extent(argument(op, 3, "stride"), rank), padding=extent(argument(op, 4, "padding"), rank, 0),
        output_padding=extent(argument(op, 5, "output_padding"), rank, 0), groups=groups,
        dilation=extent(argument(op, 7, "dilation"), rank), bias=bias is not None,
    )  # fmt: skip


@operator("linear")
def linear(lifter: Lifter, op: Operation) -> TensorView:
    """A matrix product over C; on a map a convolution, and the last part of attention that is before it."""
    x, weight, bias = lifter.view(op.arguments[0]), _part_of_weight(lifter, op.arguments[1]), argument(op, 2, "bias")
    joined_biases = lifter.pending(bias, "joined")
    if bias is not None and joined_biases is None:
        bias = _part_of_weight(lifter, bias)
    if joined_biases is not None:
        return _biased_in_parts(lifter, x, weight, joined_biases)
    if (mixed := _mixing(lifter, x, len(x.dims) - 1, weight, bias)) is not None:
        return mixed
    if lifter.shape(x.step).spatial and len(x.dims) == 2:
        x = lifter.laid(x, ("C",)) if x.dims[0] == whole("N", lifter.batch) else x
    x = lifter.with_features(x)
    if lifter.shape(x.step).spatial:
        found = lifter.along(
            x, "conv", [weight, bias], out_channels=weight.shape[0], kernel_size=1, bias=bias is not None
        )
        lifter.products.add(found.step)
        return found
    again = any(around.call for around in op.around)  # then the whole submodule is shared
    owner = None if again else lifter.owner(weight)
    tie = {"tie": ""} if owner is not None else {}
    found = lifter.along(x, "fc", [weight, bias], out_features=weight.shape[0], bias=bias is not None, **tie)
    lifter.steps[-1] = lifter.steps[-1]._replace(tied=owner)
    lifter.products.add(found.step)
    return found


def _biased_in_parts(lifter: Lifter, x: TensorView, weight: Stored, biases: Sequence[Any]) -> TensorView:
    """A linear layer with biases for some of what it makes: what attention makes of one matrix."""
    x = lifter.with_features(x)
    if lifter.shape(x.step).spatial:
        found = lifter.along(x, "conv", [weight], out_channels=weight.shape[0], kernel_size=1)
    else:
        found = lifter.along(x, "fc", [weight], out_features=weight.shape[0])
    lifter.products.add(found.step)
    lifter.biases[found.step] = tuple(biases)
    return found


def _part_of_weight(lifter: Lifter, operand: Any) -> Stored:
    """A parameter, or rows of one."""
    return part_of(lifter, operand) or lifter.weight(operand) if isinstance(operand, Result) else lifter.weight(operand)


def _mixing(lifter: Lifter, x: TensorView, place: int, weight: Stored, bias: Any) -> TensorView | None:
    """Attention with a product over its features, which are this dimension; None if it's something else."""
    waiting = lifter.waiting.get(x.step)
    if waiting is None or x.dims[place] != whole("C", waiting.shape.C) or not x.is_all_of(lifter.plain(x.step)):
        return None
    found = waiting.mixed(lifter, weight, bias)
    if found is None:
        return None
    axes = dict(zip(["N", *waiting.shape], found.dims, strict=True))
    dims = [
        joined([f for factor in dim for f in stretch(axes[factor.axis], factor.stride, factor.size) or ()])
        for dim in x.dims
    ]
    dims[place] = whole("C", weight.shape[0])
    return found._replace(dims=tuple(dims))


def _part_of(axes: Mapping[str, Dimension], factor: Factor) -> Dimension:
    found = stretch(axes[factor.axis], factor.stride, factor.size)
    if found is None:
        raise Unknown("windows of attention that are divided")
    return found


# --- normalisation --------------------------------------------------------------------------------------------------


@operator("batch_norm")
def batch_norm(lifter: Lifter, op: Operation) -> TensorView | Weight:
    """Batch normalisation; without running statistics that of a weight."""
    x, weight, bias, mean, variance, *_, eps, _ = op.arguments
    affine = weight is not None
    if mean is None:
        return weights.standardised(lifter, op)
    return lifter.made("bn", [lifter.as_map(x)], [weight, bias, mean, variance], affine=affine, eps=number(eps))


@operator("layer_norm")
def layer_norm(lifter: Lifter, op: Operation) -> TensorView:
    """Layer normalisation over C, wherever C stands."""
    x, sizes = lifter.view(op.arguments[0]), op.arguments[1]
    weight, bias = argument(op, 2, "weight"), argument(op, 3, "bias")
    if len(sizes) != 1:
        raise Unknown(f"normalises over {len(sizes)} axes at once")
    eps = number(argument(op, 4, "eps", 1e-5))
    return _normed(lifter, x, "ln", [weight, bias], affine=weight is not None, bias=bias is not None, eps=eps)


def _normed(lifter: Lifter, x: TensorView, kind: str, stored: Sequence[Any], **arguments: Any) -> TensorView:
    """A norm of the last dimension: of C, or of each head's part of it, which may be attention's own."""
    features, shape = x.dims[-1], lifter.shape(x.step)
    heads = len(x.dims) == 4 and "T" in shape and not shape.spatial and features != whole("C", shape.C)
    norm = Norm(kind, tuple(stored), tuple(arguments.items()))
    if heads and len(features) == 1 and features[0].axis == "C" and x.norm is None and x.rope is None:
        return x._replace(norm=norm)
    found = lifter.along(lifter.with_features(x), kind, stored, **arguments)
    lifter.norms[found.step] = norm
    return found


@operator("group_norm")
def group_norm(lifter: Lifter, op: Operation) -> TensorView:
    """Group normalisation."""
    weight, bias = argument(op, 2, "weight"), argument(op, 3, "bias")
    eps = number(argument(op, 4, "eps", 1e-5))
    x = lifter.as_map(op.arguments[0])
    return lifter.made("groupnorm", [x], [weight, bias], num_groups=op.arguments[1], affine=weight is not None, eps=eps)


# --- values by themselves -------------------------------------------------------------------------------------------

PLAIN = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "silu": "silu", "mish": "mish",
    "hardswish": "hardswish", "hardsigmoid": "hardsigmoid", "selu": "selu", "softsign": "softsign", "exp": "exp",
    "square": "square",
}  # fmt: skip


@operator(*PLAIN)
def activation(lifter: Lifter, op: Operation) -> TensorView:
    """An activation without arguments."""
    return lifter.along(lifter.view(op.arguments[0]), PLAIN[op.name.partition(".")[0].rstrip("_")])


@operator("gelu")
def gelu(lifter: Lifter, op: Operation) -> TensorView:
    """GELU, exact or approximated."""
    return lifter.along(lifter.view(op.arguments[0]), "gelu", approximate=op.named.get("approximate", "none"))


@operator("pow")
def power(lifter: Lifter, op: Operation) -> TensorView:
    """A square."""
    if op.arguments[1] != 2:
        raise Unknown(f"a power of {op.arguments[1]}")
    return lifter.along(lifter.view(op.arguments[0]), "square")


@operator("tanh")
def tanh(lifter: Lifter, op: Operation) -> TensorView:
    """The hyperbolic tangent."""
    return lifter.along(lifter.view(op.arguments[0]), "tanh")


@operator("cast")
def cast(lifter: Lifter, op: Operation) -> TensorView:
    """Integers as floats, which are the same numbers."""
    return lifter.view(op.arguments[0])


@operator("leaky_relu")
def leaky_relu(lifter: Lifter, op: Operation) -> TensorView:
    """A ReLU with a slope below 0."""
    return lifter.along(lifter.view(op.arguments[0]), "leaky", slope=number(argument(op, 1, "negative_slope", 0.01)))


@operator("hardtanh", "clamp")
def hardtanh(lifter: Lifter, op: Operation) -> TensorView:
    """Values within two limits; ReLU6 if they are 0 and 6."""
    default = (-1, 1) if op.name.startswith("hardtanh") else (None, None)
    low, high = argument(op, 1, "min_val", default[0]), argument(op, 2, "max_val", default[1])
    low, high = op.named.get("min", low), op.named.get("max", high)
    if (low, high) == (0, None):
        return lifter.along(lifter.view(op.arguments[0]), "relu")
    if not all(isinstance(limit, (int, float)) for limit in (low, high)):
        raise Unknown("one limit for values")
    if (low, high) == (0, 6):
        return lifter.along(lifter.view(op.arguments[0]), "relu6")
    return lifter.along(lifter.view(op.arguments[0]), "clamp", low=number(low), high=number(high))


@operator("dropout", "feature_dropout", "alpha_dropout")
def dropout(lifter: Lifter, op: Operation) -> TensorView:
    """Dropout; nothing where nothing is dropped."""
    x, p = lifter.view(op.arguments[0]), number(op.arguments[1])
    return lifter.along(x, "dropout", p=p) if p else x


@operator("softmax", "log_softmax")
def softmax(lifter: Lifter, op: Operation) -> TensorView:
    """A softmax over one axis."""
    x, dim = lifter.view(op.arguments[0]), op.arguments[1]
    shape, place = lifter.shape(x.step), dim % len(x.dims)
    if not x.dims[place]:
        raise Unknown("a softmax of single values")
    if not x.is_all_of(lifter.plain(x.step)) or x.dims[place] not in [whole(axis, shape[axis]) for axis in shape]:
        x = lifter.with_features(x) if place == len(x.dims) - 1 else lifter.laid(x)
    return lifter.along(x, op.name.partition(".")[0], axis=x.dims[place][0].axis)


# --- pools ----------------------------------------------------------------------------------------------------------


@operator("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(lifter: Lifter, op: Operation) -> TensorView:
    """A pool of the greatest values."""
    kernel, rank = op.arguments[1], int(op.name.partition(".")[0][-2])
    return lifter.made(
        "maxpool", [lifter.as_map(op.arguments[0])], kernel_size=extent(kernel, rank), **_stride(op, 2, kernel, rank),
        padding=padding_of(argument(op, 3, "padding"), kernel, rank),
        dilation=extent(argument(op, 4, "dilation"), rank), ceil=bool(argument(op, 5, "ceil_mode", False)),
    )  # fmt: skip


@operator("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(lifter: Lifter, op: Operation) -> TensorView:
    """A pool of means."""
    kernel, rank = op.arguments[1], int(op.name.partition(".")[0][-2])
    if argument(op, 6, "divisor_override") is not None:
        raise Unknown("means with a divisor of their own")
    return lifter.made(
        "avgpool", [lifter.as_map(op.arguments[0])], kernel_size=extent(kernel, rank), **_stride(op, 2, kernel, rank),
        padding=padding_of(argument(op, 3, "padding"), kernel, rank), ceil=bool(argument(op, 4, "ceil_mode", False)),
        count_include_pad=bool(argument(op, 5, "count_include_pad", True)),
    )  # fmt: skip


def _stride(op: Operation, place: int, kernel: Any, rank: int) -> dict[str, Any]:
    stride = argument(op, place, "stride")
    same = stride in (None, []) or extent(stride, rank) == extent(kernel, rank)
    return {} if same else {"stride": extent(stride, rank)}


@operator("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_pool(lifter: Lifter, op: Operation) -> TensorView:
    """Means over as many bins as the output has positions; over all positions if that is one."""
    x, size = lifter.as_map(op.arguments[0]), op.arguments[1]
    if all(each == 1 for each in size):
        return lifter.made("global_avgpool", [x])
    return lifter.made("adaptive_avgpool", [x], output_size=extent(size, len(size)))


@operator("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d", "upsample_bicubic2d")
def upsample(lifter: Lifter, op: Operation) -> TensorView:
    """A map sampled anew, by a factor where that is a whole one."""
    x, align = lifter.as_map(op.arguments[0]), "nearest" not in op.name and bool(op.arguments[2])
    mode = next(mode for mode in ("nearest", "bilinear", "bicubic") if mode in op.name)
    sizes, shape = op.shape[2:], lifter.shape(x)
    factors = [divmod(size, known(shape[axis])) for size, axis in zip(sizes, shape.spatial, strict=True)]
    if not align and mode != "bicubic" and all(factor and not rest for factor, rest in factors):
        return lifter.made("upsample", [x], factor=extent([factor for factor, _ in factors], len(sizes)), mode=mode)
    return lifter.made("resize", [x], size=extent(sizes, len(sizes)), mode=mode, align_corners=align)


@operator("pad", "constant_pad_nd")
def pad(lifter: Lifter, op: Operation) -> TensorView:
    """Zeros around spatial axes."""
    view, amounts = lifter.view(op.arguments[0]), list(op.arguments[1])
    mode, value = argument(op, 2, "mode", "constant"), argument(op, 3, "value", 0)
    if not any(amounts):
        return view
    if mode not in ("constant", 0, 0.0) or value or any(amount < 0 for amount in amounts):
        raise Unknown(f"padding with {mode if mode != 'constant' else value}")
    if (found := _padded_as_it_lies(lifter, view, amounts)) is not None:
        return found
    x = lifter.as_map(op.arguments[0])
    rank = len(lifter.shape(x).spatial)
    if len(amounts) > 2 * rank:
        raise Unknown("zeros along channels")
    amounts += [0] * (2 * rank - len(amounts))
    sides = tuple((amounts[at], amounts[at + 1]) for at in range(2 * rank - 2, -2, -2))
    equal = all(before == after for before, after in sides)
    return lifter.made("zeropad", [x], padding=extent([before for before, _ in sides], rank, 0) if equal else sides)


def _padded_as_it_lies(lifter: Lifter, x: TensorView, amounts: list[int]) -> TensorView | None:
    """Zeros along dimensions that are spatial axes, wherever they are; None if they aren't."""
    x = lifter.cut(x)
    shape, dims, sides = lifter.shape(x.step), list(x.dims), dict[str, tuple[int, int]]()
    for place, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True), 1):
        axis = next((axis for axis in shape.spatial if dims[-place] == whole(axis, shape[axis])), None)
        if (before or after) and axis is None:
            return None
        if axis is not None:
            sides[axis] = before, after
            dims[-place] = whole(axis, known(shape[axis]) + before + after)
    pads = tuple(sides.get(axis, (0, 0)) for axis in shape.spatial)
    equal = all(before == after for before, after in pads)
    padding = extent([before for before, _ in pads], len(pads), 0) if equal else pads
    return TensorView(lifter.add("zeropad", [x.step], padding=padding), tuple(dims))


@operator("embedding")
def embedding(lifter: Lifter, op: Operation) -> TensorView | Stored:
    """A learned vector for each token, or for each position, or the same for all."""
    table, places = lifter.stored(op.arguments[0]), lifter.constant(op.arguments[1])
    if table is None or not table.learned:
        raise Unknown("a table that isn't learned")
    if places is None:
        tokens = lifter.volume(lifter.view(op.arguments[1]))
        return lifter.made("embed", [tokens], [table], num_embeddings=table.shape[0], dim=table.shape[1])
    line = places.reshape(-1, places.shape[-1])
    first, count = int(line[0, 0]), line.shape[1]
    if bool((line == first).all()):
        return _row(lifter, table, first, op.shape)
    if not bool((line == line.new_tensor(range(first, first + count))).all()):
        raise Unknown("rows of a table in another order")
    rows = ((first, table.shape[0]), *([(0, first)] if first else []))
    return table._replace(rows=rows, shape=(count, table.shape[1]))


def _row(lifter: Lifter, table: Stored, place: int, shape: Sequence[int]) -> TensorView:
    """One row of a table, for all positions."""
    rows, width = table.shape
    step = lifter.add("param", [~0], [table], T=rows, C=width)
    copied = [Factor(COPIES, 0, size) for size in shape[:-1]]
    dims = (*((each,) if each.size > 1 else () for each in copied), whole("C", width))
    return TensorView(step, dims).moved("T", place)


@operator("div")
def divided(lifter: Lifter, op: Operation) -> TensorView:
    """A volume divided by a number."""
    if not isinstance(op.arguments[1], (int, float)) or op.named.get("rounding_mode"):
        raise Unknown("a quotient of two volumes")
    return lifter.along(lifter.view(op.arguments[0]), "times", factor=1 / number(op.arguments[1]))


@operator("quick_gelu")
def quick_gelu(lifter: Lifter, op: Operation) -> TensorView:
    """x·sigmoid(1.702·x), where it's spelled out."""
    return lifter.along(lifter.view(op.arguments[0]), "quick_gelu")


@operator("rms_norm")
def rms_norm(lifter: Lifter, op: Operation) -> TensorView:
    """Division by the root mean square over C."""
    x, weight, eps = lifter.view(op.arguments[0]), argument(op, 2, "weight"), argument(op, 3, "eps")
    if len(op.arguments[1]) != 1:
        raise Unknown(f"normalises over {len(op.arguments[1])} axes at once")
    eps = eps if eps is None else number(eps)
    return _normed(lifter, x, "rmsnorm", [weight], affine=weight is not None, eps=eps)


# --- several ---------------------------------------------------------------------------------------------------------


@operator("add", "mul")
def merge(lifter: Lifter, op: Operation) -> TensorView:
    """A sum or a product of two volumes, or of one with what is learned; a gate comes second."""
    kind, (one, other) = op.name.partition(".")[0].rstrip("_"), op.arguments[:2]
    if op.named.get("alpha", 1) != 1:
        raise Unknown("a sum with a factor")
    for x, table in ((one, other), (other, one)) if kind == "add" else ():
        if (rows := drawn.first_rows(lifter, table)) is not None and drawn.drawn_of(lifter, x) is None:
            return _with_constant(lifter, kind, x, rows)
    if not (_is_tensor(lifter, one) and _is_tensor(lifter, other)):
        return _with_constant(lifter, kind, one, other)
    return merged(lifter, kind, lifter.view(one), lifter.view(other))


def _is_tensor(lifter: Lifter, operand: Any) -> bool:
    known = lifter.stored(operand) is not None or lifter.constant(operand) is not None
    return isinstance(operand, (Result, Entered, TensorView)) and not known


def _with_constant(lifter: Lifter, kind: str, one: Any, other: Any) -> TensorView:
    if not _is_tensor(lifter, one):
        one, other = other, one
    x = lifter.view(one)
    other = lifter.stored(other) or other
    if (value := lifter.constant(other)) is not None:
        if kind == "add" and not value.any() and value.dim() <= len(x.dims):
            return x
        other = float(value) if value.numel() == 1 else other
    if isinstance(other, Stored) and not other.learned:
        raise Unknown(f"{kind} with {other.name}, which isn't learned")
    if (kind, other) in (("add", 0), ("mul", 1)):
        return x
    if isinstance(other, (int, float)) and kind == "mul":
        return lifter.along(x, "times", factor=number(other))
    if isinstance(other, Stored) and kind == "mul":
        channels, ahead = lifter.shape(x.step).C, len(x.dims) - len(other.shape)
        wide = [place + ahead for place, size in enumerate(other.shape) if size != 1]
        if len(wide) == 1 and x.dims[wide[0]] == whole("C", channels):
            return lifter.along(x, "layerscale", [other])
    if isinstance(other, Stored) and kind == "add":
        x = lifter.plain(lifter.volume(x))
        shape = lifter.shape(x.step)
        if "T" in shape and [size for size in other.shape if size != 1] == [shape.T, shape.C]:
            there = sum(stretch[1] - stretch[0] for stretch in other.rows or ())
            more = {"num_positions": there} if other.rows and there != shape.T else {}
            return lifter.made("pos_embed", [x.step], [other], **more)
    if isinstance(other, Stored) and not other.rows:
        return merged(lifter, kind, x, lifter.view(other))
    raise Unknown(f"{kind} with {other.name if isinstance(other, Stored) else other}")


@operator("cat")
def concat(lifter: Lifter, op: Operation) -> TensorView:
    """Volumes joined along an axis; a learned token in front of others."""
    tensors, dim = op.arguments[0], argument(op, 1, "dim", 0)
    if len(tensors) == 2 and (token := lifter.stored(tensors[0])) is not None and dim % len(op.shape) == 1:
        return lifter.made("cls_token", [lifter.volume(lifter.view(tensors[1]))], [token])
    views = [lifter.view(each) for each in tensors]
    return concatenated(lifter, views, dim % len(op.shape))


@operator("stack")
def stack(lifter: Lifter, op: Operation) -> TensorView:
    """Tensors joined along a dimension of its own."""
    place = argument(op, 1, "dim", 0) % len(op.shape)
    views = [lifter.view(each) for each in op.arguments[0]]
    apart = [view._replace(dims=(*view.dims[:place], (), *view.dims[place:])) for view in views]
    return concatenated(lifter, apart, place)


# --- views ----------------------------------------------------------------------------------------------------------


@operator("repeat")
def repeat(lifter: Lifter, op: Operation) -> Stored:
    """A parameter once for each example of the batch."""
    stored, times = lifter.stored(op.arguments[0]), op.arguments[1]
    if (
        stored is None
        or len(times) != len(op.shape)
        or times not in ([1] * len(times), [lifter.batch, *[1] * len(times[1:])])
    ):
        raise Unknown("values that are repeated")
    return stored._replace(shape=op.shape)


@operator("movedim")
def moved(lifter: Lifter, op: Operation) -> TensorView:
    """Dimensions elsewhere, those that aren't named in their order."""
    x = lifter.view(op.arguments[0])
    rank = len(x.dims)
    sources, targets = ([each] if isinstance(each, int) else each for each in op.arguments[1:3])
    there = {target % rank: source % rank for source, target in zip(sources, targets, strict=True)}
    others = iter(each for each in range(rank) if each not in there.values())
    return x.permuted([there[place] if place in there else next(others) for place in range(rank)])


@operator("expand", "expand_as")
def expand(lifter: Lifter, op: Operation) -> TensorView | Stored:
    """The same values several times."""
    if (stored := lifter.stored(op.arguments[0])) is not None:
        return stored._replace(shape=op.shape)
    x = lifter.view(op.arguments[0])
    return x if x.sizes() == op.shape else x.expanded(op.shape)


@operator("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "_unsafe_view", "reshape_as", "view_as")
def reshape(lifter: Lifter, op: Operation) -> TensorView | Stored | Weight:
    """The same values under another shape."""
    if (weight := lifter.computed_weight(op.arguments[0])) is not None:
        return weight._replace(shape=op.shape)
    if (stored := lifter.stored(op.arguments[0])) is not None:
        return stored._replace(shape=op.shape)
    found = lifter.view(op.arguments[0]).reshaped(op.shape)
    if found is None:
        raise Unknown(f"a reshape to {op.shape}")
    return found


@operator("permute")
def permute(lifter: Lifter, op: Operation) -> TensorView:
    """Dimensions in another order."""
    return lifter.view(op.arguments[0]).permuted(op.arguments[1])


@operator("transpose")
def transpose(lifter: Lifter, op: Operation) -> TensorView:
    """Two dimensions exchanged."""
    return lifter.view(op.arguments[0]).transposed(*op.arguments[1:3])


@operator("chunk", "split", "split_with_sizes")
def chunk(lifter: Lifter, op: Operation) -> list[TensorView]:
    """Parts of a dimension, one after the other."""
    x, dim = lifter.view(op.arguments[0]), argument(op, 2, "dim", 0)
    place, size = dim % len(x.dims), x.sizes()[dim]
    if op.name.startswith("chunk"):
        each = -(-size // op.arguments[1])
        sizes = [min(each, size - start) for start in range(0, size, each)]
    elif isinstance(op.arguments[1], int):
        sizes = [min(op.arguments[1], size - start) for start in range(0, size, op.arguments[1])]
    else:
        sizes = list(op.arguments[1])
    if len(x.dims[place]) != 1:
        x = lifter.plain(lifter.volume(x))
    found, start = [], 0
    for length in sizes:
        part = x.part(place, start, length)
        if part is None:
            raise Unknown("parts of several axes")
        found.append(part)
        start += length
    return found


@operator("slice")
def slice_(lifter: Lifter, op: Operation) -> TensorView | Stored:
    """Some positions along a dimension."""
    if (stored := lifter.stored(op.arguments[0])) is not None:
        return stored._replace(shape=op.shape)
    x, dim = lifter.view(op.arguments[0]), argument(op, 1, "dim", 0)
    start, step = argument(op, 2, "start") or 0, argument(op, 4, "step", 1)
    place, size = dim % len(x.dims), x.sizes()[dim]
    if (start, op.shape[place]) == (0, size):
        return x
    if len(x.dims[place]) != 1:
        x = lifter.plain(lifter.volume(x))
    ((factor,), start) = x.dims[place], start + size if start < 0 else start
    part = factor._replace(stride=factor.stride * step, size=op.shape[place])
    dims = (*x.dims[:place], (part,) if part.size != 1 else (), *x.dims[place + 1 :])
    return x._replace(dims=dims).moved(factor.axis, start * factor.stride)


@operator("select")
def select(lifter: Lifter, op: Operation) -> TensorView:
    """One position of a dimension."""
    x, dim, index = lifter.view(op.arguments[0]), *op.arguments[1:3]
    return _one(x, dim % len(x.dims), index)


@operator("unbind")
def unbind(lifter: Lifter, op: Operation) -> list[TensorView]:
    """Every position of a dimension."""
    x, dim = lifter.view(op.arguments[0]), argument(op, 1, "dim", 0)
    place = dim % len(x.dims)
    return [_one(x, place, index) for index in range(x.sizes()[place])]


def _one(x: TensorView, place: int, index: int) -> TensorView:
    if not x.dims[place]:
        return x.without(place)
    part = x.part(place, index % x.sizes()[place], 1)
    if part is None:
        raise Unknown("one of several axes at once")
    return part.without(place)


@operator("addmm")
def addmm(lifter: Lifter, op: Operation) -> TensorView:
    """A matrix product with a bias, of a matrix that has its inputs as rows: transformers' Conv1D."""
    bias, x, weight = op.arguments[:3]
    if not (isinstance(bias, Stored) and isinstance(weight, Stored)):
        raise Unknown("a product of two volumes")
    turned = weight._replace(shape=weight.shape[::-1], turned=True)
    return linear(lifter, op.given(x, turned, bias))
