"""Random small specs, many of them impossible, beside what a person would write in PyTorch for them.

Each case is one layer or one merge: the spec's text, and a function that does the same with torch.nn directly, without
archcalc's modules or formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

BATCH = 2
Draw = Callable[..., Any]


@dataclass(frozen=True)
class Trial:
    """A spec, and its twin in PyTorch, which returns a tensor or fails."""

    kind: str
    text: str
    twin: Callable[[], Any]


def spec(shape: dict[str, int], layers: str) -> str:
    """The text of a spec with one input."""
    sizes = ", ".join(f"{axis}: {size}" for axis, size in shape.items())
    return f"archcalc: 1\nname: t\ninput: {{{sizes}}}\nlayers:\n{layers}\n"


def tensor(shape: dict[str, int]) -> Any:
    """Noise of a shape, behind the batch."""
    import torch

    return torch.randn(BATCH, *shape.values())


def volume(draw: Draw) -> dict[str, int]:
    """C and one to three spatial axes."""
    axes = draw(st.sampled_from(["CW", "CHW", "CHW", "CDHW"]))
    return {axis: draw(st.integers(1, 6)) for axis in axes}


def extent(draw: Draw, shape: dict[str, int], low: int, high: int) -> Any:
    """A size, one per axis, or, once in a while, one for too many or too few axes."""
    rank = len(shape) - 1
    sides = draw(st.sampled_from([0, 0, 0, rank, rank, rank % 3 + 1]))
    if sides < 2:
        return draw(st.integers(low, high))
    return tuple(draw(st.integers(low, high)) for _ in range(sides))


def words(value: Any) -> str:
    """An extent as a spec writes it."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def class_of(name: str, shape: dict[str, int]) -> Any:
    """torch.nn's class for the rank of a volume."""
    from torch import nn

    return getattr(nn, f"{name}{len(shape) - 1}d")


def conv(draw: Draw) -> Trial:
    """Kernels too large, groups that don't divide, sides that don't fit the axes, zeros."""
    shape = volume(draw)
    kind = draw(st.sampled_from(["conv", "conv", "tconv"]))
    out, groups = draw(st.integers(1, 6)), draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel, stride = extent(draw, shape, 1, 7), extent(draw, shape, 1, 3)
    padding, dilation = extent(draw, shape, 0, 3), extent(draw, shape, 1, 3)
    call = f"{kind} {out} {words(kernel)} s={words(stride)} p={words(padding)} d={words(dilation)} g={groups}"
    if kind == "conv":
        make = lambda: class_of("Conv", shape)(shape["C"], out, kernel, stride, padding, dilation, groups)  # noqa: E731
    else:
        extra = extent(draw, shape, 0, 2)
        call += f" output_padding={words(extra)}"
        options = {
            "stride": stride,
            "padding": padding,
            "output_padding": extra,
            "groups": groups,
            "dilation": dilation,
        }
        make = lambda: class_of("ConvTranspose", shape)(shape["C"], out, kernel, **options)  # noqa: E731
    return Trial(kind, spec(shape, f"  - {call}"), lambda: make()(tensor(shape)))


def pool(draw: Draw) -> Trial:
    """Windows too large, padding too wide."""
    shape = volume(draw)
    kind = draw(st.sampled_from(["maxpool", "avgpool"]))
    kernel, stride, padding = extent(draw, shape, 1, 5), extent(draw, shape, 1, 3), extent(draw, shape, 0, 3)
    ceil = draw(st.booleans())
    call = f"{kind} {words(kernel)} s={words(stride)} p={words(padding)} ceil={str(ceil).lower()}"
    options: dict[str, Any] = {"stride": stride, "padding": padding, "ceil_mode": ceil}
    if kind == "maxpool":
        options["dilation"] = extent(draw, shape, 1, 2)
        call += f" d={words(options['dilation'])}"
    name = {"maxpool": "MaxPool", "avgpool": "AvgPool"}[kind]
    return Trial(kind, spec(shape, f"  - {call}"), lambda: class_of(name, shape)(kernel, **options)(tensor(shape)))


def adaptive(draw: Draw) -> Trial:
    """Sizes for too many or too few axes."""
    shape, kind = volume(draw), draw(st.sampled_from(["avg", "max"]))
    size = extent(draw, shape, 1, 7)
    name = f"Adaptive{kind.title()}Pool"
    call = f"  - adaptive_{kind}pool {words(size)}"
    return Trial(f"adaptive_{kind}pool", spec(shape, call), lambda: class_of(name, shape)(size)(tensor(shape)))


def norm(draw: Draw) -> Trial:
    """Groups that don't divide, a single position, slopes for other channels."""
    from torch import nn

    shape, number = volume(draw), draw(st.integers(1, 6))
    kind = draw(st.sampled_from(["groupnorm", "instancenorm", "prelu", "channel_shuffle"]))
    make: dict[str, Callable[[], Any]] = {
        "groupnorm": lambda: nn.GroupNorm(number, shape["C"]),
        "instancenorm": lambda: class_of("InstanceNorm", shape)(shape["C"]),
        "prelu": lambda: nn.PReLU(number),
        "channel_shuffle": lambda: nn.Unflatten(1, (number, shape["C"] // number)),
    }
    call = f"  - {kind}" + ("" if kind == "instancenorm" else f" {number}")

    def twin() -> Any:
        result = make[kind]()(tensor(shape))
        return result.flatten(1, 2) if kind == "channel_shuffle" else result

    return Trial(kind, spec(shape, call), twin)


def matrix(draw: Draw) -> Trial:
    """A matrix product on vectors, tokens, and volumes that nobody flattened."""
    from torch import nn

    axes = draw(st.sampled_from(["C", "TC", "CW", "CHW"]))
    shape = {axis: draw(st.integers(1, 5)) for axis in axes}
    return Trial("fc", spec(shape, "  - fc 7"), lambda: nn.Linear(shape["C"], 7)(tensor(shape)))


def tokens(draw: Draw) -> Trial:
    """Heads that don't divide, tables too short, tokens that aren't there."""
    import torch
    from torch import nn

    shape = {axis: draw(st.integers(1, 6)) for axis in "TC"}
    kind = draw(st.sampled_from(["attention", "pos_embed", "select"]))
    number = draw(st.integers(-7 if kind == "select" else 1, 7))

    def twin() -> Any:
        x = tensor(shape)
        if kind == "attention":
            return nn.MultiheadAttention(shape["C"], number, batch_first=True)(x, x, x)[0]
        if kind == "select":
            return x[:, number]
        return x + nn.Embedding(number, shape["C"])(torch.arange(shape["T"]))

    return Trial(kind, spec(shape, f"  - {kind} {number}"), twin)


def rearranged(draw: Draw) -> Trial:
    """Other numbers of values, sizes larger than the volume."""
    shape = volume(draw)
    kind = draw(st.sampled_from(["reshape", "crop"]))
    if kind == "crop":
        size = draw(st.integers(1, 7))
        starts = [(length - size) // 2 for length in list(shape.values())[1:]]

        def crop() -> Any:
            x = tensor(shape)
            for axis, start in enumerate(starts, 2):
                x = x.narrow(axis, start, size)
            return x

        return Trial(kind, spec(shape, f"  - crop size={size}"), crop)
    target = {axis: draw(st.integers(1, 6)) for axis in draw(st.sampled_from(["C", "CW", "TC", "CHW"]))}
    call = " ".join(f"{axis}={size}" for axis, size in target.items())
    return Trial(kind, spec(shape, f"  - reshape {call}"), lambda: tensor(shape).reshape(BATCH, *target.values()))


def merge(draw: Draw) -> Trial:
    """Branches of unequal shapes: another number of channels, other positions, other axes."""
    import torch
    from torch import nn

    shape = {"C": draw(st.integers(1, 4)), "H": draw(st.integers(2, 5)), "W": draw(st.integers(2, 5))}
    kind = draw(st.sampled_from(["add", "mul", "concat"]))
    axis = draw(st.sampled_from("CHW"))
    steps = {
        "identity": lambda: nn.Identity(),
        "flatten": lambda: nn.Flatten(),
        "global_avgpool": lambda: nn.AdaptiveAvgPool2d(1),
        "maxpool 2 s=1": lambda: nn.MaxPool2d(2, 1),
        "maxpool 1x2 s=1": lambda: nn.MaxPool2d((1, 2), 1),
        f"conv {shape['C']} 1": lambda: nn.Conv2d(shape["C"], shape["C"], 1),
        "conv 1 1": lambda: nn.Conv2d(shape["C"], 1, 1),
        "conv 3 1": lambda: nn.Conv2d(shape["C"], 3, 1),
    }
    chosen = draw(st.lists(st.sampled_from(list(steps)), min_size=2, max_size=3))
    branches = "".join(f"      - {step}\n" for step in chosen)
    lines = f"  - {kind}:\n{branches}" + (f"    axis: {axis}\n" if kind == "concat" else "")

    def twin() -> Any:
        x = tensor(shape)
        results = [steps[step]()(x) for step in chosen]
        if kind == "concat":
            return torch.cat(results, dim="CHW".index(axis) + 1)
        total = results[0]
        for result in results[1:]:
            total = total + result if kind == "add" else total * result
        return total

    return Trial(kind, spec(shape, lines), twin)


@st.composite
def trials(draw: Draw) -> Trial:
    """A case of any family."""
    families = [conv, conv, pool, pool, adaptive, norm, matrix, tokens, rearranged, merge, merge]
    return draw(st.sampled_from(families))(draw)


STRICTER = {
    (
        "add",
        "E201",
    ): "PyTorch stretches an axis of size 1, and lets a volume without spatial axes join one with them; here `broadcast` says so",
    (
        "mul",
        "E201",
    ): "PyTorch stretches any axis of size 1; here only a gate, 1 along every spatial axis, is stretched without `broadcast`",
    ("fc", "E209"): "PyTorch multiplies the last axis, W, which is not a feature axis, where it happens to have size C",
    ("tconv", "E208"): "PyTorch returns a volume without positions",
}
"""Where archcalc refuses what PyTorch runs, by kind and error code, and what PyTorch does there."""

LAXER = {
    ("avgpool", "smaller than kernel size"): "PyTorch's 3-d average pool alone ignores its padding in this check",
}
"""Where archcalc accepts what PyTorch refuses, by kind and words of PyTorch's message."""


def verdict(trial: Trial) -> str:
    """What is wrong between archcalc and PyTorch on one case; empty if they agree, or differ where that is known."""
    from archcalc.errors import SpecError
    from archcalc.expand import build
    from tests.helpers import spec_of

    refusal = failure = ""
    try:
        shape = (BATCH, *build(spec_of(trial.text)).nodes[-1].shape.values())
    except SpecError as error:
        refusal = error.diagnostics[0].code
    try:
        found = tuple(trial.twin().shape)
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
        failure = str(error) or type(error).__name__
    if refusal and not failure and (trial.kind, refusal) not in STRICTER:
        return f"archcalc refuses ({refusal}) what PyTorch turns into {found}"
    if failure and not refusal and not any(trial.kind == kind and words in failure for kind, words in LAXER):
        return f"archcalc accepts what PyTorch refuses: {failure}"
    if not refusal and not failure and shape != found:
        return f"archcalc says {shape}, PyTorch {found}"
    return ""
