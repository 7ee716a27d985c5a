"""Windows that slide over maps, and maps of other sizes."""

from __future__ import annotations

from collections.abc import Sequence

from archcalc.importers.onnx.translation import Site, node, other
from archcalc.importers.operations.exported import Operand


@node("Conv")
def convolution(site: Site) -> Operand:
    """A convolution, after zeros where they aren't the same on both sides."""
    weight = site.weight(1)
    rank = len(site.shape()) - 2
    kernel = site.shape(1)[2:]
    x, padding = _padded(site, kernel)
    return site.emit(
        f"conv{rank}d", x, weight, site.weight(2), site.given("strides", [1] * rank), padding,
        site.given("dilations", [1] * rank), site.given("group", 1),
    )  # fmt: skip


def _padded(site: Site, kernel: Sequence[int], value: float = 0.0) -> tuple[Operand, list[int]]:
    """What a window slides over, and the padding that it does itself; unequal sides are padded ahead of it."""
    sides = _sides(site, kernel)
    rank = len(kernel)
    if sides[:rank] == sides[rank:]:
        return site.read(0), sides[:rank]
    amounts = [sides[axis + side] for axis in reversed(range(rank)) for side in (0, rank)]
    sizes = site.shape()
    shape = [*sizes[:2], *(size + sides[axis] + sides[axis + rank] for axis, size in enumerate(sizes[2:]))]
    return site.emit("pad", site.read(0), amounts, "constant", value, shape=shape), [0] * rank


def _sides(site: Site, kernel: Sequence[int]) -> list[int]:
    """Padding ahead of each axis, then after each."""
    rank, rule = len(kernel), site.given("auto_pad", "NOTSET")
    if rule in ("NOTSET", "VALID", ""):
        return list(site.given("pads", [0] * 2 * rank)) if rule != "VALID" else [0] * 2 * rank
    strides, dilations = site.given("strides", [1] * rank), site.given("dilations", [1] * rank)
    least: list[int] = []
    for axis, size in enumerate(site.shape()[2:]):
        reach = (site.out[2 + axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        least.append(max(0, reach - size))
    less, more = [each // 2 for each in least], [each - each // 2 for each in least]
    return less + more if rule == "SAME_UPPER" else more + less


@node("ConvTranspose")
def transposed(site: Site) -> Operand:
    """A transposed convolution."""
    rank, sizes, kernel = len(site.shape()) - 2, site.shape()[2:], site.shape(1)[2:]
    strides, dilations = site.given("strides", [1] * rank), site.given("dilations", [1] * rank)
    pads = site.given("pads", [0] * 2 * rank)
    if pads[:rank] != pads[rank:] or site.given("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise site.refusal("a transposed convolution with unequal padding")
    more = [
        made - ((size - 1) * stride - 2 * pad + dilation * (extent - 1) + 1)
        for made, size, stride, pad, dilation, extent in zip(
            site.out[2:], sizes, strides, pads[:rank], dilations, kernel, strict=True
        )
    ]
    return site.emit(
        f"conv_transpose{rank}d", site.read(0), site.weight(1), site.weight(2), strides, pads[:rank], more,
        site.given("group", 1), dilations,
    )  # fmt: skip


@node("MaxPool", "AveragePool")
def pool(site: Site) -> Operand:
    """A pool of the greatest values, or of means."""
    kernel, greatest = site.given("kernel_shape"), site.node.op == "MaxPool"
    rank = len(kernel)
    sides, ceil = _sides(site, kernel), bool(site.given("ceil_mode", 0))
    counted = bool(site.given("count_include_pad", 0))
    dilations = site.given("dilations", [1] * rank)
    if sides[:rank] != sides[rank:] and not greatest and not counted:
        raise site.refusal("means that don't count padding, which differs between sides")
    if len([name for name in site.node.outputs if name]) > 1 or site.given("storage_order", 0):
        return other(site)[0]
    x, padding = _padded(site, kernel, float("-inf") if greatest else 0.0)
    strides = site.given("strides", [1] * rank)
    if greatest:
        return site.emit(f"max_pool{rank}d", x, kernel, strides, padding, dilations, ceil)
    if set(dilations) != {1}:
        raise site.refusal("means of windows with gaps")
    return site.emit(f"avg_pool{rank}d", x, kernel, strides, padding, ceil, counted or not any(padding), None)


@node("GlobalAveragePool", "GlobalMaxPool")
def global_pool(site: Site) -> Operand:
    """The mean, or the greatest value, over all positions."""
    rank = len(site.shape()) - 2
    which = "avg" if site.node.op == "GlobalAveragePool" else "max"
    return site.emit(f"adaptive_{which}_pool{rank}d", site.read(0), [1] * rank)


REDUCED = {"ReduceMean": "mean.dim", "ReduceSum": "sum.dim_IntList", "ReduceMax": "amax", "ReduceMin": "amin"}


@node(*REDUCED)
def reduced(site: Site) -> Operand:
    """One value for all positions of some axes."""
    axes, rank = site.axes(), len(site.shape())
    if axes is None or not axes:
        if site.given("noop_with_empty_axes", 0):
            return site.read(0)
        axes = list(range(rank))
    last = [axis % rank for axis in axes]
    dims = [axis - rank for axis in last] if last == [rank - 1] else last
    return site.emit(REDUCED[site.node.op], site.read(0), dims, bool(site.given("keepdims", 1)))


@node("Resize", "Upsample")
def resize(site: Site) -> Operand:
    """A map sampled anew."""
    mode, how = site.given("mode", "nearest"), site.given("coordinate_transformation_mode", "half_pixel")
    rank, sizes = len(site.shape()) - 2, list(site.out[2:])
    if site.out[:2] != site.shape()[:2]:
        raise site.refusal("a map that is sampled anew along its channels")
    if mode == "nearest":
        if (how, site.given("nearest_mode", "round_prefer_floor")) != ("asymmetric", "floor"):
            whole = all(made % size == 0 for made, size in zip(sizes, site.shape()[2:], strict=True))
            if not whole or how not in ("half_pixel", "asymmetric", "pytorch_half_pixel"):
                raise site.refusal(f"nearest values by the rule {how}")
        return site.emit(f"upsample_nearest{rank}d.vec", site.read(0), sizes, None)
    kind = {
        ("linear", 1): "linear1d",
        ("linear", 2): "bilinear2d",
        ("linear", 3): "trilinear3d",
        ("cubic", 2): "bicubic2d",
    }
    if (mode, rank) not in kind or how not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise site.refusal(f"a map that is sampled anew by the rule {how}, {mode}")
    if site.given("antialias", 0) or site.given("exclude_outside", 0):
        raise site.refusal("a map that is sampled anew with antialiasing")
    return site.emit(f"upsample_{kind[mode, rank]}.vec", site.read(0), sizes, how == "align_corners", None)


@node("Pad")
def pad(site: Site) -> Operand:
    """Values around a volume."""
    rank, amounts = len(site.shape()), site.numbers(1) or []
    axes = [axis % rank for axis in site.numbers(3) or range(rank)]
    ahead, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        ahead[axis], after[axis] = amounts[place], amounts[place + len(axes)]
    sides = [side for axis in reversed(range(rank)) for side in (ahead[axis], after[axis])]
    while len(sides) > 2 and not any(sides[-2:]):
        sides = sides[:-2]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    value = (site.number(2) if site.value(2) else 0) or 0
    return site.emit("pad", site.read(0), sides, mode.get(site.given("mode", "constant"), "?"), value)


@node("DepthToSpace", "SpaceToDepth")
def shuffle(site: Site) -> Operand:
    """Channels as positions, or the other way round."""
    if site.node.op == "DepthToSpace" and site.given("mode", "DCR") == "CRD":
        return site.emit("pixel_shuffle", site.read(0), site.given("blocksize"))
    return other(site)[0]
