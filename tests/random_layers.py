"""Random arguments for every layer kind, as Hypothesis draws them: plausible for the volume that enters."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from archcalc.shape import AXES, Shape

Draw = Callable[..., Any]
Values = dict[str, Any]
"""Arguments of a layer by name, as the layer's class takes them; texts that start with @ are references."""


def number(draw: Draw, low: int, high: int) -> int:
    """A number from `low` to `high`."""
    return draw(st.integers(low, max(low, high)))


def maybe(draw: Draw, values: Values, name: str, strategy: Any) -> None:
    """Give an argument, or leave its default."""
    if draw(st.booleans()):
        values[name] = draw(strategy)


def divisor(draw: Draw, *numbers: int) -> int:
    """A common divisor."""
    common = math.gcd(*numbers)
    return draw(st.sampled_from([d for d in range(1, common + 1) if common % d == 0]))


def extents(rank: int, high: int, low: int = 1) -> Any:
    """One size for all axes, or one each."""
    one = st.integers(low, high)
    return one if rank == 1 else one | st.tuples(*[one] * rank)


def paddings(rank: int, high: int, words: tuple[str, ...] = ("half", "same")) -> Any:
    """Every form of padding: a number, one per axis, a pair for all sides, a pair per axis, a word."""
    pair = st.tuples(st.integers(0, high), st.integers(0, high))
    forms = [extents(rank, high, 0), st.tuples(pair), st.tuples(*[pair] * rank)]
    return st.one_of(*forms, *([st.sampled_from(words)] if words else []))


def kernel(draw: Draw, x: Shape) -> Any:
    """A kernel that mostly fits."""
    return draw(extents(len(x.spatial), min(5, *(x[a] for a in x.spatial)) if draw(st.integers(0, 9)) else 7))


def conv(draw: Draw, x: Shape) -> Values:
    """Every argument of `conv`; a connection table as the value of `connect`."""
    rank = len(x.spatial)
    values: Values = {"out_channels": number(draw, 1, 8), "kernel_size": kernel(draw, x)}
    maybe(draw, values, "stride", extents(rank, 3))
    maybe(draw, values, "padding", paddings(rank, 3))
    if draw(st.integers(0, 3)) == 0:
        values["dilation"] = draw(extents(rank, 3))
    _bias(draw, values)
    choice = draw(st.integers(0, 5))
    if choice == 0:
        values["groups"] = divisor(draw, x.C, x.C)
        values["out_channels"] = values["groups"] * number(draw, 1, 3)
    elif choice == 1 and x.C <= 8:
        values["connect"] = table(draw, x.C, values["out_channels"])
    elif choice == 2:
        _normed(draw, values, x)
    return values


def lengths(draw: Draw, x: Shape) -> str:
    """What parts of a weight have lengths of their own."""
    return draw(st.sampled_from(["filter", "tap"])) if len(x.spatial) == 1 else "filter"


def _normed(draw: Draw, values: Values, x: Shape) -> None:
    """What parts of a weight have lengths of their own, or are standardised."""
    norm = draw(st.sampled_from([lengths(draw, x), "standard", "gain"]))
    values["weight_norm"] = norm
    if norm in ("standard", "gain"):
        maybe(draw, values, "weight_eps", st.sampled_from([Fraction(1, 10**8), Fraction(1, 100)]))
    if norm == "gain":
        maybe(draw, values, "weight_scale", st.sampled_from([2, Fraction(17, 10)]))


def _bias(draw: Draw, values: Values) -> None:
    maybe(draw, values, "bias", st.sampled_from([True, False, "position"]))


def table(draw: Draw, rows: int, columns: int) -> Any:
    """A connection table; at least one link."""
    row = st.tuples(*[st.booleans()] * columns)
    drawn = draw(st.tuples(*[row] * rows))
    return drawn if any(map(any, drawn)) else ((True,) * columns, *drawn[1:])


def dwconv(draw: Draw, x: Shape) -> Values:
    """Every argument of `dwconv`."""
    rank = len(x.spatial)
    values: Values = {"kernel_size": kernel(draw, x)}
    maybe(draw, values, "stride", extents(rank, 3))
    maybe(draw, values, "padding", paddings(rank, 3))
    maybe(draw, values, "dilation", extents(rank, 2))
    maybe(draw, values, "multiplier", st.integers(1, 3))
    if draw(st.integers(0, 3)) == 0:
        _normed(draw, values, x)
    _bias(draw, values)
    return values


def tconv(draw: Draw, x: Shape) -> Values:
    """Every argument of `tconv`, `tie` apart."""
    rank = len(x.spatial)
    values: Values = {"out_channels": number(draw, 1, 6), "kernel_size": draw(extents(rank, 4))}
    maybe(draw, values, "stride", extents(rank, 3))
    maybe(draw, values, "padding", paddings(rank, 2))
    maybe(draw, values, "dilation", extents(rank, 2))
    if values.get("padding") != "same":
        maybe(draw, values, "output_padding", extents(rank, 2, 0))
    _bias(draw, values)
    choice = draw(st.integers(0, 5))
    if choice == 0:
        values["groups"] = divisor(draw, x.C, x.C)
        values["out_channels"] = values["groups"] * number(draw, 1, 3)
    elif choice == 1 and x.C <= 8:
        values["connect"] = table(draw, x.C, values["out_channels"])
    elif choice == 2:
        values["weight_norm"] = lengths(draw, x)
    return values


def pool(draw: Draw, x: Shape) -> Values:
    """What both pools take."""
    rank = len(x.spatial)
    values: Values = {"kernel_size": kernel(draw, x)}
    maybe(draw, values, "stride", extents(rank, 3))
    maybe(draw, values, "padding", paddings(rank, 2))
    maybe(draw, values, "ceil", st.booleans())
    return values


def maxpool(draw: Draw, x: Shape) -> Values:
    """Every argument of `maxpool`."""
    values = pool(draw, x)
    maybe(draw, values, "dilation", extents(len(x.spatial), 2))
    return values


def avgpool(draw: Draw, x: Shape) -> Values:
    """Every argument of `avgpool`."""
    values = pool(draw, x)
    maybe(draw, values, "count_include_pad", st.booleans())
    return values


def unpool(draw: Draw, x: Shape) -> Values:
    """Every argument of `unpool`, `like` apart."""
    rank = len(x.spatial)
    values: Values = {"kernel_size": draw(extents(rank, 3))}
    maybe(draw, values, "stride", extents(rank, 3))
    maybe(draw, values, "padding", paddings(rank, 1))
    return values


def zeropad(draw: Draw, x: Shape) -> Values:
    """Channels, or spatial padding, or both."""
    values: Values = {}
    maybe(draw, values, "out_channels", st.integers(x.C, x.C + 4))
    if x.spatial:
        maybe(draw, values, "padding", paddings(len(x.spatial), 2, ()))
    return values


def reshape(draw: Draw, x: Shape) -> Values:
    """The same values under other axes, C among them: what lacks it is token numbers."""
    rest, values = x.numel, {}
    axes = ["C", *draw(st.lists(st.sampled_from("DHWTR"), max_size=3, unique=True))]
    for axis in axes[:-1]:
        values[axis] = divisor(draw, rest)
        rest //= values[axis]
    return {**values, axes[-1]: rest}


def grid(draw: Draw, x: Shape) -> Values:
    """Places for all tokens, on one to three axes."""
    rest, values = x["T"], {}
    axes = sorted(draw(st.sampled_from(["W", "H", "HW", "DHW"])))
    for axis in axes[:-1]:
        values[axis] = divisor(draw, rest)
        rest //= values[axis]
    return {**values, axes[-1]: rest}


def crop(draw: Draw, x: Shape) -> Values:
    """A size that mostly fits."""
    sizes = tuple(number(draw, 1, x[axis]) for axis in x.spatial)
    return {"size": draw(st.sampled_from([sizes, min(sizes)]))}


def resize(draw: Draw, x: Shape) -> Values:
    """A factor or a size, and every mode."""
    values: Values = {}
    if draw(st.booleans()):
        values["factor"] = Fraction(number(draw, 1, 9), number(draw, 1, 4))
    else:
        values["size"] = draw(extents(len(x.spatial), 9))
    modes = ["nearest", "bilinear", "bilinear", "bicubic"][: 4 if len(x.spatial) == 2 else 3]
    maybe(draw, values, "mode", st.sampled_from(modes))
    if "mode" in values and values["mode"] != "nearest":
        maybe(draw, values, "align_corners", st.booleans())
    return values


def part(draw: Draw, x: Shape) -> Values:
    """Some of the positions along any axis, at least one."""
    axis = draw(st.sampled_from(list(x)))
    values: Values = {"axis": axis}
    maybe(draw, values, "start", st.integers(0, x[axis] - 1))
    maybe(draw, values, "stop", st.integers(values.get("start", 0) + 1, x[axis]))
    maybe(draw, values, "step", st.integers(1, 3))
    maybe(draw, values, "copy", st.booleans())
    return values


def chunk(draw: Draw, x: Shape) -> Values:
    """One of equal parts along any axis."""
    axis = draw(st.sampled_from(list(x)))
    parts = divisor(draw, x[axis])
    return {"parts": parts, "index": number(draw, -parts, parts - 1), "axis": axis}


def transpose(draw: Draw, x: Shape) -> Values:
    """One of the volume's axes, and any other; C stays an axis."""
    axis = draw(st.sampled_from(list(x)))
    others = [other for other in AXES if other != axis and (axis != "C" or other in x)]
    values: Values = {"axis": axis, "other": draw(st.sampled_from(others or ["C"]))}
    maybe(draw, values, "copy", st.booleans())
    return values


def shuffled(draw: Draw, x: Shape) -> Values:
    """Blocks that the channels fill, as often as there are such."""
    rank = len(x.spatial)
    factors = [n for n in range(1, 4) if x.C % n**rank == 0]
    values: Values = {"factor": draw(st.sampled_from(factors))}
    maybe(draw, values, "order", st.sampled_from(["chw", "hwc", "whc"]))
    return values


def unshuffled(draw: Draw, x: Shape) -> Values:
    """Blocks that fill every axis."""
    values: Values = {"factor": tuple(divisor(draw, x[axis]) for axis in x.spatial)}
    maybe(draw, values, "order", st.sampled_from(["chw", "hwc", "whc"]))
    return values


def param(draw: Draw, x: Shape) -> Values:
    """A volume of its own, or one like what enters."""
    own = {axis: number(draw, 1, 6) for axis in ["C", *draw(st.lists(st.sampled_from("DHWTR"), max_size=3))]}
    return draw(st.sampled_from([own, dict(x)]))


def gelu(draw: Draw, x: Shape) -> Values:
    """Both forms."""
    return {"approximate": draw(st.sampled_from(["none", "tanh"]))}


def fractions(name: str) -> Callable[[Draw, Shape], Values]:
    """One argument that is a number between 0 and 1, or its default."""

    def drawn(draw: Draw, x: Shape) -> Values:
        values: Values = {}
        maybe(draw, values, name, st.integers(0, 20).map(lambda n: Fraction(n, 20)))
        return values

    return drawn


def positive(name: str) -> Callable[[Draw, Shape], Values]:
    """One argument that is a number above 0, at most 1, or its default."""

    def drawn(draw: Draw, x: Shape) -> Values:
        values: Values = {}
        maybe(draw, values, name, st.integers(1, 20).map(lambda n: Fraction(n, 20)))
        return values

    return drawn


def times(draw: Draw, x: Shape) -> Values:
    """A factor, perhaps a power of it."""
    values: Values = {"factor": draw(st.sampled_from([2, 48, Fraction(1, 30), -1]))}
    powers = [Fraction(1, 2), Fraction(-1, 2)] if values["factor"] > 0 else []
    maybe(draw, values, "power", st.sampled_from([*powers, 2]))
    return values


def clamp(draw: Draw, x: Shape) -> Values:
    """Two limits."""
    low = number(draw, -20, 20)
    return {"low": Fraction(low, 10), "high": Fraction(number(draw, low + 1, 40), 10)}


def own_axis(draw: Draw, x: Shape) -> Values:
    """One of the volume's axes, or C."""
    values: Values = {}
    maybe(draw, values, "axis", st.sampled_from(list(x)))
    return values


def glu(draw: Draw, x: Shape) -> Values:
    """Every gate."""
    values: Values = {}
    maybe(draw, values, "gate", st.sampled_from(["sigmoid", "silu", "gelu", "relu", "identity"]))
    return values


def flag(name: str) -> Callable[[Draw, Shape], Values]:
    """One argument that is true or false, or its default."""

    def drawn(draw: Draw, x: Shape) -> Values:
        values: Values = {}
        maybe(draw, values, name, st.booleans())
        return values

    return drawn


def features(draw: Draw, x: Shape) -> Values:
    """A matrix product."""
    values: Values = {"out_features": number(draw, 1, 12)}
    maybe(draw, values, "bias", st.booleans())
    if draw(st.integers(0, 5)) == 0:
        values["weight_norm"] = "filter"
    return values


def attention(draw: Draw, x: Shape) -> Values:
    """Self-attention; `kv` comes with references."""
    values: Values = {"num_heads": divisor(draw, x.C)}
    maybe(draw, values, "bias", st.booleans())
    maybe(draw, values, "causal", st.booleans())
    if draw(st.booleans()):
        values |= widths(draw, values["num_heads"])
        for name in ("qkv_bias", "k_bias", "out_bias"):
            maybe(draw, values, name, st.booleans())
        values |= between(draw, x, values["num_heads"], bool(values.get("causal")))
        maybe(draw, values, "qk_norm", st.sampled_from(["none", "rmsnorm", "ln"]))
        maybe(draw, values, "qk_norm_whole", st.booleans())
        maybe(draw, values, "eps", st.just(Fraction(1, 1000)))
        head = values.get("head_dim", x.C // values["num_heads"])
        if head > 1 and draw(st.booleans()):
            values["rope"] = True
            values["rotary_dim"] = 2 * number(draw, 1, head // 2)
            maybe(draw, values, "rope_interleaved", st.booleans())
    return values


def latent(draw: Draw, x: Shape) -> Values:
    """Ranks and widths of any size."""
    values: Values = {name: number(draw, 1, 5) for name in ("num_heads", "kv_rank", "head_dim")}
    values["rope_dim"] = 2 * number(draw, 1, 3)
    for name in ("value_dim", "q_rank"):
        maybe(draw, values, name, st.integers(1, 6))
    for name in ("causal", "absorb"):
        maybe(draw, values, name, st.booleans())
    maybe(draw, values, "scale", st.integers(1, 9).map(lambda n: Fraction(n, 8)))
    maybe(draw, values, "rope_base", st.sampled_from([10, 500_000]))
    maybe(draw, values, "eps", st.just(Fraction(1, 1000)))
    return values


def window_attention(draw: Draw, x: Shape) -> Values:
    """Windows that fill the map or don't, shifted or not, or a grid."""
    rank = len(x.spatial)
    values: Values = {"num_heads": divisor(draw, x.C)}
    if draw(st.integers(0, 2)) == 0:
        values |= {"size": tuple(divisor(draw, x[axis]) for axis in x.spatial), "grid": True}
    else:
        values["size"] = draw(extents(rank, 4))
        sides = values["size"] if isinstance(values["size"], tuple) else (values["size"],) * rank
        maybe(draw, values, "shift", st.tuples(*(st.integers(0, side - 1) for side in sides)))
    for name in ("bias", "k_bias"):
        maybe(draw, values, name, st.booleans())
    more = [{}, {"relative": True}, {"continuous": number(draw, 1, 5)}]
    return values | draw(st.sampled_from(more)) | draw(st.sampled_from([{}, {"cosine": True}, {"scale": 1}]))


def windows(draw: Draw, x: Shape) -> Values:
    """Windows that fill the map."""
    values: Values = {"size": tuple(divisor(draw, x[axis]) for axis in x.spatial)}
    maybe(draw, values, "grid", st.booleans())
    return values


def unwindows(draw: Draw, x: Shape) -> Values:
    """A row of windows, or windows in a row."""
    values: Values = {"size": (1, x["T"]), "H": 1, "W": x["R"] * x["T"]} if "R" in x else {"size": x["T"], "W": x["T"]}
    maybe(draw, values, "grid", st.booleans())
    return values


def roll(draw: Draw, x: Shape) -> Values:
    """Any axis, on or back."""
    axis = draw(st.sampled_from(list(x)))
    return {"axis": axis, "shift": number(draw, -2 * x[axis], 2 * x[axis])}


def widths(draw: Draw, heads: int) -> Values:
    """Heads of keys and values, and what they hold."""
    values: Values = {}
    maybe(draw, values, "kv_heads", st.sampled_from([n for n in range(1, heads + 1) if heads % n == 0]))
    for name in ("head_dim", "value_dim", "out_features"):
        maybe(draw, values, name, st.integers(1, 6))
    return values


def between(draw: Draw, x: Shape, heads: int, causal: bool) -> Values:
    """What is done with scores."""
    values: Values = {}
    maybe(draw, values, "window", st.integers(1, x["T"] + 1))
    maybe(draw, values, "scale", st.integers(1, 9).map(lambda n: Fraction(n, 8)))
    if draw(st.integers(0, 2)) == 0:
        values["softcap"] = draw(st.sampled_from([1, 30, Fraction(5, 2)]))
    if draw(st.integers(0, 2)) == 0:
        values["sinks"] = True
    form = draw(st.integers(0, 5))
    if form == 0:
        values["alibi"] = True
    elif form == 1:
        values["buckets"] = number(draw, 1, 4) * (2 if causal else 4)
        maybe(draw, values, "max_distance", st.integers(5, 30))
    elif form == 2:
        first = divisor(draw, x["T"])
        values["relative"] = draw(st.sampled_from([x["T"], (first, x["T"] // first)]))
        if x["T"] > 1 and draw(st.integers(0, 3)) == 0:
            values |= {"relative": x["T"] - 1, "relative_cls": True}
    return values


def norm(*flags: str) -> Callable[[Draw, Shape], Values]:
    """Arguments that are true or false, and any small number for `eps`."""

    def drawn(draw: Draw, x: Shape) -> Values:
        values: Values = {}
        for name in flags:
            maybe(draw, values, name, st.booleans())
        maybe(draw, values, "eps", st.integers(3, 12).map(lambda digits: Fraction(1, 10**digits)))
        return values

    return drawn


def groupnorm(draw: Draw, x: Shape) -> Values:
    """Groups that divide the channels."""
    return {"num_groups": divisor(draw, x.C), **norm("affine")(draw, x)}


def recurrence(draw: Draw, x: Shape) -> Values:
    """A width, and both directions."""
    values: Values = {"hidden": number(draw, 1, 6)}
    maybe(draw, values, "bias", st.booleans())
    maybe(draw, values, "reverse", st.booleans())
    return values


def lstm(draw: Draw, x: Shape) -> Values:
    """The same, perhaps with a projection."""
    values = recurrence(draw, x)
    maybe(draw, values, "projection", st.integers(1, values["hidden"]))
    return values


def lrn(draw: Draw, x: Shape) -> Values:
    """Every constant."""
    values: Values = {}
    maybe(draw, values, "size", st.integers(1, 6))
    for name in ("alpha", "beta", "k"):
        maybe(draw, values, name, st.integers(1, 20).map(lambda n: Fraction(n, 10)))
    return values


def _none(draw: Draw, x: Shape) -> Values:
    return {}


SPATIAL: dict[str, Callable[[Draw, Shape], Values]] = {
    "conv": conv, "dwconv": dwconv, "tconv": tconv, "maxpool": maxpool, "avgpool": avgpool, "unpool": unpool,
    "global_avgpool": _none, "global_maxpool": _none, "noise": _none, "tokens": _none, "crop": crop,
    "resize": resize, "pixel_shuffle": shuffled, "pixel_unshuffle": unshuffled,
    "window_attention": window_attention, "windows": windows,
    "slice": lambda draw, x: {"stride": draw(extents(len(x.spatial), 3))}, "instancenorm": norm("affine"),
    "adaptive_avgpool": lambda draw, x: {"output_size": draw(extents(len(x.spatial), 5))},
    "adaptive_maxpool": lambda draw, x: {"output_size": draw(extents(len(x.spatial), 5))},
    "upsample": lambda draw, x: {
        "factor": draw(extents(len(x.spatial), 3)), "mode": draw(st.sampled_from(["nearest", "bilinear"])),
    },
}  # fmt: skip
"""Kinds that work on volumes with C and spatial axes."""

FEATURES: dict[str, Callable[[Draw, Shape], Values]] = {
    "bn": norm("affine", "frozen"), "ln": norm("bias", "affine"), "rmsnorm": norm("affine"), "l2norm": norm(), "scale": flag("bias"), "layerscale": fractions("init"), "lrn": lrn,
    "groupnorm": groupnorm,
    "channel_shuffle": lambda draw, x: {"groups": divisor(draw, x.C)},
    "part": part, "chunk": chunk, "transpose": transpose, "param": param, "roll": roll,
    "zeropad": zeropad, "reshape": reshape, "flatten": _none, "identity": _none, "dropout": fractions("p"),
    "times": times, "softmax": own_axis, "log_softmax": own_axis, "clamp": clamp, "celu": positive("alpha"), "glu": glu,
    "leaky": fractions("slope"), "elu": fractions("alpha"), "gelu": gelu,
    "prelu": lambda draw, x: draw(st.sampled_from([{}, {"num_parameters": x.C}])),
    **dict.fromkeys(
        ("relu", "relu6", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus",
         "selu", "quick_gelu", "mish", "softsign", "exp", "square"), _none
    ),
}  # fmt: skip
"""Kinds that work on any volume with C."""

VECTORS: dict[str, Callable[[Draw, Shape], Values]] = {
    "fc": features, "rbf": lambda draw, _: {"out_features": number(draw, 1, 12)},
}  # fmt: skip
"""Kinds that want C without spatial axes."""


def topk(draw: Draw, x: Shape) -> Values:
    """Every argument; groups that the experts can be divided into."""
    values: Values = {"top": number(draw, 1, x.C)}
    maybe(draw, values, "score", st.sampled_from(["softmax", "sigmoid"]))
    maybe(draw, values, "renormalise", st.booleans())
    maybe(draw, values, "factor", st.sampled_from([1, 2, Fraction(5, 2)]))
    maybe(draw, values, "correction", st.booleans())
    if draw(st.booleans()):
        groups = divisor(draw, x.C)
        taken = number(draw, -(-values["top"] * groups // x.C), groups)
        values |= {"groups": groups, "top_groups": taken, "group_best": number(draw, 1, x.C // groups)}
    return values


TOKENS: dict[str, Callable[[Draw, Shape], Values]] = {
    "rnn": recurrence, "lstm": lstm, "gru": recurrence, "attention": attention, "mla": latent, "cls_token": _none, "grid": grid,
    "topk": topk,
    "unwindows": unwindows,
    "pos_embed": lambda draw, x: draw(st.sampled_from([{}, {"num_positions": x["T"] + 3}, {"learned": False}])),
    "select": lambda draw, x: {"index": number(draw, -x["T"], x["T"] - 1)},
}  # fmt: skip
"""Kinds that want tokens with features."""


def embed(draw: Draw, x: Shape) -> Values:
    """A vocabulary and a width."""
    return {"num_embeddings": number(draw, 1, 20), "dim": number(draw, 1, 8)}


def kinds_for(x: Shape) -> list[dict[str, Callable[[Draw, Shape], Values]]]:
    """The families of kinds that may work on a volume, with what draws their arguments."""
    if "C" not in x:
        return [{"embed": embed, "identity": _none}]
    if x.spatial:
        return [FEATURES, SPATIAL, SPATIAL]  # most arguments are there
    return [FEATURES, VECTORS, TOKENS, TOKENS] if "T" in x else [FEATURES, VECTORS]
