"""Every layer kind on volumes with every set of axes: `python -m tests.every_volume`.

The axes are R, T and C, each or not, and any of D, H and W. A layer either doesn't fit, which is an error of the spec
with its place, or it's built, run in PyTorch with `verify` finding every number, and exported as a program that
computes the same, to the last bit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import combinations, product

from archcalc import analyze
from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.graph import Graph
from tests.helpers import imported, spec_of

SIZES = {"R": 2, "T": 5, "C": 4, "D": 4, "H": 8, "W": 6}
VOLUMES = [
    axes
    for parts in product(("", "R"), ("", "T"), ("", "C"), ("", "D"), ("", "H"), ("", "W"))
    if (axes := "".join(parts))
]  # fmt: skip
CHAINS = [
    # windows
    "conv 3 3 p=1", "conv 3 2 p=[0,1] weight_norm=filter", "dwconv 3 p=1 weight_norm=tap", "conv 3 3 weight_norm=standard", "conv 3 3 p=1 weight_norm=gain weight_scale=1.7", "tconv 3 2 s=2 p=[0,1] weight_norm=filter", "fc 3 weight_norm=filter", "{y: global_avgpool -> flatten} | from x -> modconv 3 3 @y p=1", "{y: conv 18 3 p=1} | from x -> deform_conv 3 3 @y p=1", "{y: conv 24 3 s=2 p=1} | {z: chunk 3 2 -> sigmoid} | {o: from y -> part C 0 16} | from x -> deform_conv 4 2x2 @o s=2 g=2 mask=@z bias=false", "conv 4 2 s=2 g=2 bias=false", "conv 3 3 p=same bias=position", "dwconv 3 s=2 p=1", "tconv 3 2 s=2",
    "maxpool 2", "maxpool 3 s=2 p=1", "maxpool 2 d=2 ceil=true", "maxpool 3 s=2 p=same", "avgpool 2",
    "avgpool 3 s=2 p=1 ceil=true", "avgpool 3 s=2 p=1 count_include_pad=false", "avgpool 3 s=2 p=same",
    "global_avgpool", "global_maxpool", "adaptive_avgpool 3", "adaptive_avgpool 1", "adaptive_maxpool 3",
    "unpool 2", "maxpool 2 -> unpool 2 like=@x", "maxpool 3 s=2 -> unpool 3 s=2 like=@x",
    "maxpool 3 s=2 p=1 ceil=true -> unpool 3 s=2 p=1 like=@x", "maxpool 3 s=2 -> unpool 3 s=2", "unpool 3 s=2 p=1",
    "upsample 2", "upsample 2 mode=bilinear", "upsample 3 mode=bilinear -> avgpool 3",
    "resize 3/2", "resize 2/3 mode=bilinear", "resize size=5 mode=bilinear align_corners=true", "resize 1.25 mode=bicubic",
    "{y: slice 2} | resize like=@y", "resize 3 -> resize like=@x mode=bilinear", "slice 2", "slice 2 copy=true",
    "crop size=2", "crop size=2 copy=true", "{y: slice 2} | from x -> crop like=@y", "zeropad 6", "zeropad p=1", "zeropad 6 p=1",
    # features
    "fc 3", "fc 3 bias=false", "rbf 3", "bn", "bn affine=false", "ln", "ln bias=false", "groupnorm 2", "instancenorm",
    "instancenorm affine=true", "lrn", "lrn 3 alpha=0.5", "scale", "scale bias=false", "layerscale 0.5", "noise",
    "channel_shuffle 2", "softmax", "log_softmax", "prelu", "prelu 4", "dropout", "identity", "relu", "relu6", "leaky",
    "elu", "gelu", "gelu tanh", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "softmax T", "softmax H",
    "log_softmax axis=R", "clamp", "clamp -0.5 2", "selu", "celu 0.5", "quick_gelu", "mish", "softsign", "exp", "square",
    "times 5 1/2",
    "glu", "glu silu", "glu identity",
    # rearranged
    "flatten", "flatten -> relu", "tokens", "tokens copy=true", "grid W=5", "grid H=1 W=5", "grid W=5 copy=true",
    "select 0", "select -1 copy=true", "reshape C={numel}", "reshape T={numel}", "reshape H={numel}",
    "reshape H={numel} W=1 -> maxpool 1", "reshape R={numel} -> flatten", "reshape R=2 H={half} -> upsample 2",
    "reshape C={numel} H=1 W=1 -> upsample 2 -> flatten",
    *(f"part {axis} 1 step=2" for axis in SIZES), *(f"chunk 2 -1 axis={axis} copy=true" for axis in SIZES),
    *(f"transpose {axis} {other}" for axis, other in combinations(SIZES, 2)), "transpose W C copy=true",
    "transpose T W -> transpose W H -> flatten", "chunk 2 1 -> fc 3", "pixel_shuffle 2", "pixel_unshuffle 2",
    "pixel_unshuffle 1 -> pixel_shuffle 1", "param C=3 W=4", "param T=5 C=4 -> attention 2 kv=@x",
    "topk 2", "topk 1 score=sigmoid groups=2 top_groups=1", "{y: softmax} | from x -> dispatch @y 2 -> combine @y 2",
    "rnn 3", "lstm 3 reverse=true", "lstm 4 projection=2", "gru 4 bias=false", "(gru 3)*2 -> fc 2",
    "selective_scan @x @x @x", "{y: fc 3} | from x -> selective_scan @x @y @y skip=false",
    # tokens and regions
    "rmsnorm", "rmsnorm affine=false", "l2norm", "matmul @x transpose=true", "{y: transpose T C} | from x -> matmul @y",
    "window_attention 2 2", "window_attention 2 3 shift=1 relative=true", "window_attention 2 2 grid=true continuous=3 cosine=true",
    "windows 2", "windows 2 -> attention 2 relative=2x2 -> unwindows 2 like=@x", "windows 2 grid=true -> unwindows 2 H=8 W=6 grid=true",
    "unwindows 5 W=10", *(f"roll {axis} 3" for axis in SIZES), "sdpa 2 keys=@x values=@x", "attention 2 kv_heads=1 rope=true qk_norm=rms",
    "mla 2 3 2 2 q_rank=3 causal=true", "embed 7 3", "attention 2", "attention 2 causal=true", "attention 2 kv=@x", "pos_embed", "pos_embed 7", "pos_embed learned=false", "cls_token",
    "{y: reshape R={quarter} C=4} | from x -> roipool 2 rois=@y", "{y: reshape R={quarter} C=4} | from x -> roialign 2 rois=@y", "{y: conv 8 1} | from x -> conv 4 1 -> proposals 3 box=@y",
    "flatten | {y: reshape T={numel}} | grid H={numel}", "{y: tokens} | grid like=@x", "from x -> grid like=@x",
    "{y: fc 3} | fc 4 tie=@y", "{y: conv 3 2 s=2} | tconv 4 2 s=2 tie=@y",
]  # fmt: skip
MERGES = [
    "add: [from x, relu]", "mul: [from x, sigmoid]", "concat: [from x, relu]",
    *(f"{kind}: [from x, part {axis} 0 1], broadcast: true" for kind in ("add", "mul") for axis in SIZES),
    "add: [from x, param C=4], broadcast: true", "mul: [param C=4, from x, param C=1 W=6], broadcast: true",
    "moe: fc 4, experts: 3, top: 2", "moe: {residual: glu -> fc 4}, experts: 5, top: 1, shared: prelu, renormalise: true",
    *(f"concat: {{a: from x, b: relu}}, axis: {axis}" for axis in SIZES),
]  # fmt: skip


def cases() -> Iterator[tuple[str, str]]:
    """The axes of every volume, and what is done with it, items separated by bars."""
    for axes in VOLUMES:
        numel = 1
        for axis in axes:
            numel *= SIZES[axis]
        for chain in CHAINS:
            written = chain.replace("{quarter}", str(numel // 4))
            yield axes, written.replace("{numel}", str(numel)).replace("{half}", str(numel // 2))
        for merge in MERGES:
            yield axes, f"{{{merge}}}"


def text(axes: str, layers: str) -> str:
    """The spec; `@x` is what enters."""
    sizes = ", ".join(f"{axis}: {SIZES[axis]}" for axis in axes)
    items = "".join(f"  - {item}\n" for item in layers.split(" | "))
    return f"archcalc: 1\nname: t\ninput: {{{sizes}}}\nlayers:\n  - {{x: identity}}\n{items}"


def problem(axes: str, layers: str) -> str | None:
    """What is wrong with a case; empty if it's right, None if it's rightly refused."""
    written = text(axes, layers)
    try:
        graph = build(spec_of(written))
        report = analyze(graph, 2)
    except SpecError as error:
        places = all(each.mark is not None and each.mark.line > 3 for each in error.diagnostics)
        return None if places else f"an error without its place: {error}"
    try:
        return _verified(report) or exported(graph)
    except Exception as error:  # whatever it is, it's a finding
        return f"{type(error).__name__}: {error}"


def _verified(report: object) -> str:
    from archcalc.pytorch.verification import verify

    found = verify(report, "cpu")  # type: ignore[arg-type]
    return "; ".join(str(difference) for check in found.checks for difference in check.differences)


def exported(graph: Graph) -> str:
    """Whether the program gives what the built module gives."""
    import torch

    from archcalc.pytorch.network import Network
    from archcalc.pytorch.source.writer import torch_code

    built, own = Network(graph).eval(), imported(torch_code(graph))().eval()
    for (_, source), (_, target) in zip(built.state_dict().items(), own.state_dict().items(), strict=True):
        target.copy_(source)
    inputs = built.example_inputs(2)
    with torch.no_grad():
        expected, actual = built(*inputs), own(*inputs)
    return "" if torch.equal(expected.nan_to_num(), actual.nan_to_num()) else "the program gives something else"


def main() -> int:
    """Every case; which ones are wrong."""
    started, wrong, counts = time.monotonic(), 0, [0, 0]
    for axes, layers in cases():
        found = problem(axes, layers)
        counts[found is None] += 1
        if found:
            wrong += 1
            print(f"{axes}: {layers}: {found}", flush=True)
    seconds = time.monotonic() - started
    print(f"{counts[0]:,} built, {counts[1]:,} refused, {wrong:,} wrong, {seconds:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
