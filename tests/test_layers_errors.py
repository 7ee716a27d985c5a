"""What layers refuse and remark, word for word."""

from __future__ import annotations

from fractions import Fraction

import pytest

from archcalc.errors import ShapeError, SpecError
from archcalc.layers import REGISTRY, Layer, kind_called
from archcalc.symbolic import collecting_conditions, dim
from tests.helpers import graph_of
from tests.layer_cases import C3_TABLE, make, volume

ERRORS = [
    # E200: no channels at all
    (make("bn"), "T5", "E200", "the input has no axis C; it is 5 (T)", ""),
    (make("fc", 8), "T5", "E200", "the input has no axis C; it is 5 (T)", ""),
    (make("softmax"), "T5", "E200", "the input has no axis C; it is 5 (T)", ""),
    (make("glu"), "T5", "E200", "the input has no axis C; it is 5 (T)", ""),
    (make("chunk", 3, 0), "C8", "E205", "C=8 is not divisible by parts=3", ""),
    (make("pixel_shuffle", 2), "C6 H3 W3", "E205", "6 channels are not divisible by the 4 positions of a block", ""),
    (make("pixel_unshuffle", 2), "C3 H4 W5", "E205", "W=5 is not divisible by factor=2", ""),
    (make("pixel_shuffle", 2), "T5 C8", "E203", "needs a spatial axis (D, H or W); the input is 5x8 (T,C)", ""),
    (make("glu"), "C5", "E205", "5 channels can't be halved", ""),
    # E201: merges
    (make("add"), "C64 H16 W16, C3 H32 W32", "E201", "branches have different shapes", ""),
    (
        make("add"),
        "C64 H16 W16, C64",
        "E201",
        "branches have different shapes",
        "write 'broadcast: true' beside them to stretch axes of size 1 and missing ones",
    ),
    (make("add", broadcast=True), "C64 H16 W16, C32", "E201", "branches have different shapes", ""),
    (make("mul", broadcast=True), "C64 H16 W16, C64 H8 W1", "E201", "branches have different shapes", ""),
    (make("mul"), "C64 H16 W16, C64 H4 W4", "E201", "branches have different shapes", ""),
    (make("mul"), "C64 H16 W16, C32 H1 W1", "E201", "branches have different shapes", ""),
    (
        make("mul"),
        "C64 H16 W16, C64",
        "E201",
        "branches have different shapes",
        "write 'broadcast: true' beside them to stretch axes of size 1 and missing ones",
    ),
    (make("mul"), "C64 H1 W1, C64 H5 W5, C64 H4 W4", "E201", "branches have different shapes", ""),
    (make("concat"), "C64 H16 W16, C64 H8 W16", "E201", "branches have different shapes", ""),
    (make("concat", axis="T"), "T4 C8, C8", "E201", "branches have different shapes", ""),
    # E202: sides against axes
    (
        make("conv", 64, (3, 3)),
        "C3 D8 H8 W8",
        "E202",
        "kernel 3x3 has 2 sides, the input has 3 spatial axes: D, H, W",
        "",
    ),
    (make("conv", 64, 3, (2, 2)), "C3 W8", "E202", "stride 2x2 has 2 sides, the input has 1 spatial axis: W", ""),
    (
        make("maxpool", (1, 2, 2)),
        "C3 H8 W8",
        "E202",
        "kernel 1x2x2 has 3 sides, the input has 2 spatial axes: H, W",
        "",
    ),
    (
        make("crop", like="up"),
        "C3 H8 W8, C3 W4",
        "E202",
        "like is 3x4 (C,W), the input 3x8x8 (C,H,W): their spatial axes differ",
        "",
    ),
    # E203: no spatial axis
    (make("conv", 64, 3), "C3", "E203", "needs a spatial axis (D, H or W); the input is 3 (C)", ""),
    (make("maxpool", 2), "T5 C3", "E203", "needs a spatial axis (D, H or W); the input is 5x3 (T,C)", ""),
    (make("global_avgpool"), "C3", "E203", "needs a spatial axis (D, H or W); the input is 3 (C)", ""),
    (make("tokens"), "C3", "E203", "needs a spatial axis (D, H or W); the input is 3 (C)", ""),
    # E204: the window does not fit
    (make("conv", 64, 7), "C3 H4 W4", "E204", "kernel 7 is larger than the padded input 4", ""),
    (make("conv", 64, 3, dilation=3, padding=1), "C3 W4", "E204", "kernel 7 is larger than the padded input 6", ""),
    (make("maxpool", 3, stride=1, ceil=True), "C3 W2", "E204", "kernel 3 is larger than the padded input 2", ""),
    # E205: divisibility
    (make("conv", 64, 3, groups=2), "C3 H8 W8", "E205", "in_channels=3 is not divisible by groups=2", ""),
    (make("conv", 63, 3, groups=2), "C4 H8 W8", "E205", "out_channels=63 is not divisible by groups=2", ""),
    (make("tconv", 63, 3, groups=2), "C4 H8 W8", "E205", "out_channels=63 is not divisible by groups=2", ""),
    (make("groupnorm", 3), "C8 W4", "E205", "8 channels are not divisible by num_groups=3", ""),
    (make("channel_shuffle", 3), "C8 W4", "E205", "8 channels are not divisible by groups=3", ""),
    (make("attention", 5), "T4 C8", "E205", "C=8 is not divisible by num_heads=5", ""),
    (make("mla", 2, 6, 4, 3), "T4 C8", "E205", "3 numbers of a head can't be turned in pairs", ""),
    (
        make("mla", 2, 6, 4, 2),
        "C8 H2 W2",
        "E210",
        "needs tokens with features (T, C); the input is 8x2x2 (C,H,W)",
        "write 'tokens -> ...'",
    ),
    # E206: connection tables
    (
        make("conv", 16, 5, connect=C3_TABLE),
        "C5 H14 W14",
        "E206",
        "the table is 6x16, the layer connects 5 to 16 channels",
        "",
    ),
    (
        make("conv", 16, 5, groups=2, connect=C3_TABLE),
        "C6 H14 W14",
        "E206",
        "takes either groups or a connection table",
        "",
    ),
    # E211: lengths of kernels
    (
        make("conv", 16, 5, weight_norm="filter", weight_eps=1),
        "C6 H14 W14",
        "E211",
        "weight_eps goes with weight_norm=standard or gain",
        "",
    ),
    (
        make("conv", 16, 5, weight_norm="standard", weight_scale=2),
        "C6 H14 W14",
        "E211",
        "weight_scale goes with weight_norm=gain",
        "",
    ),
    (
        make("conv", 16, 5, connect=C3_TABLE, weight_norm="filter"),
        "C6 H14 W14",
        "E211",
        "weight_norm goes neither with a connection table nor with tie",
        "",
    ),
    (
        make("dwconv", 3, tie="other", weight_norm="filter"),
        "C6 W14",
        "E211",
        "weight_norm goes neither with a connection table nor with tie",
        "",
    ),
    (
        make("dwconv", 1, weight_norm="standard"),
        "C6 W14",
        "E211",
        "weight_norm=standard needs filters of more than one weight",
        "",
    ),
    (
        make("fc", 8, tie="other", weight_norm="filter"),
        "C6",
        "E211",
        "weight_norm=filter doesn't go with tie",
        "",
    ),
    (
        make("fc", 8, weight_norm="tap"),
        "C6",
        "E211",
        "weight_norm=tap is for convolutions; write weight_norm=filter",
        "",
    ),
    (
        make("tconv", 8, 3, tie="other", weight_norm="filter"),
        "C6 W14",
        "E211",
        "weight_norm goes neither with a connection table nor with tie",
        "",
    ),
    (
        make("conv", 8, 3, weight_norm="tap"),
        "C6 H14 W14",
        "E211",
        "weight_norm=tap is for kernels along one axis; the input is 6x14x14 (C,H,W)",
        "",
    ),
    # E207: amounts of padding that PyTorch refuses, too
    (make("maxpool", 3, padding=2), "C3 H8 W8", "E207", "padding 2 is more than half of the kernel 3", ""),
    (make("avgpool", 2, padding=((0, 2),)), "C3 H8 W8", "E207", "padding 2 is more than half of the kernel 2", ""),
    (make("unpool", 2, padding=2), "C3 H8 W8", "E207", "padding 2 is more than half of the kernel 2", ""),
    (
        make("tconv", 3, 3, stride=2, output_padding=2),
        "C3 H8 W8",
        "E207",
        "output_padding 2 must be smaller than the stride 2 or the dilation 1",
        "",
    ),
    # E208: sizes that do not go together
    (make("tconv", 3, 1, padding=1), "C3 W2", "E208", "padding 1 + 1 leaves no output", ""),
    (make("reshape", C=4, H=4, W=4), "C100", "E208", "4x4x4 (C,H,W) has 64 values, the input 100 (C) has 100", ""),
    (make("crop", size=9), "C3 H8 W8", "E208", "can't crop H=8 to 9", ""),
    (make("crop", like="up"), "C3 H8 W8, C3 H8 W9", "E208", "can't crop W=8 to 9", ""),
    (make("zeropad", 8), "C16 H5 W5", "E208", "out_channels=8 is less than the input's 16", ""),
    (make("grid", H=2, W=2), "C8 H2 W2", "E210", "needs tokens with features (T, C); the input is 8x2x2 (C,H,W)", ""),
    (make("grid"), "T4 C8", "E211", "needs either sizes or like", "write 'grid H=14 W=14' or 'grid like=@path'"),
    (make("grid", H=2, W=3), "T5 C8", "E208", "2x3 places for T=5 tokens", ""),
    (
        make("grid", H=2, W=2),
        "T5 C8",
        "E208",
        "2x2 places for T=5 tokens",
        "there is one token more than places: a class token has none",
    ),
    (make("chunk", 2, 2), "C8", "E208", "there is no part 2 among 2", ""),
    (make("chunk", 2, -3), "C8", "E208", "there is no part -3 among 2", ""),
    (make("part", "C", 2, 9), "C8", "E208", "there is no part of C=8 from 2 to 9", ""),
    (make("part", "C", 8), "C8", "E208", "there is no part of C=8 from 8 to 8", ""),
    (make("part", "C", 4, 4), "C8", "E208", "there is no part of C=8 from 4 to 4", ""),
    (make("select", 5), "T5 C8", "E208", "there is no token 5 among 5", ""),
    (make("select", -6), "T5 C8", "E208", "there is no token -6 among 5", ""),
    (make("pos_embed", 4), "T5 C8", "E208", "T=5 exceeds num_positions=4", ""),
    (make("unpool", 2, like="c"), "C3 H4 W4, C3 H8 W6", "E208", "like has W=6, which pools to 3, not to 4", ""),
    (make("unpool", 2, like="c"), "C3 H4, C5 H8", "E208", "like is 5x8 (C,H), which does not pool to 3x4 (C,H)", ""),
    (
        make("unpool", 2, like="c"),
        "R1 C1 H2 W2, C1 H3 W3",
        "E208",
        "like is 1x3x3 (C,H,W), which does not pool to 1x1x2x2 (R,C,H,W)",
        "",
    ),
    (
        make("attention", 2, kv="m"),
        "R3 T5 C8, T5 C8",
        "E208",
        "kv is 5x8 (T,C), the input 3x5x8 (R,T,C): their regions differ",
        "",
    ),
    (
        make("proposals", 10, box="b"),
        "C18 H3 W4, C18 H3 W4",
        "E208",
        "needs 2·A scores and 4·A box numbers for A anchors; they are 18x3x4 (C,H,W) and 18x3x4 (C,H,W)",
        "",
    ),
    (make("proposals", 109, box="b"), "C18 H3 W4, C36 H3 W4", "E208", "there are 108 anchors for 109 proposals", ""),
    # E209: a vector is wanted, the hint says how to get it
    (
        make("fc", 10),
        "C256 H30 W30",
        "E209",
        "input has spatial axes H, W",
        "write 'flatten -> fc ...' (one vector of 230400)",
    ),
    (make("fc", 10), "R9 C2 W3", "E209", "input has spatial axis W", "write 'flatten -> fc ...' (one vector of 6)"),
    (
        make("rbf", 10),
        "C84 H1 W1",
        "E209",
        "input has spatial axes H, W",
        "write 'flatten -> rbf ...' (one vector of 84)",
    ),
    # E210: other axes than the kind works on
    (make("embed", 10, 8), "T5 C8", "E210", "takes token numbers, one for each T; the input is 5x8 (T,C)", ""),
    (
        make("attention", 2),
        "C8 H3 W3",
        "E210",
        "needs tokens with features (T, C); the input is 8x3x3 (C,H,W)",
        "write 'tokens -> ...'",
    ),
    (make("gru", 4), "C8", "E210", "needs tokens with features (T, C); the input is 8 (C)", ""),
    (
        make("rnn", 4),
        "C8 W3",
        "E210",
        "needs tokens with features (T, C); the input is 8x3 (C,W)",
        "write 'tokens -> ...'",
    ),
    (make("cls_token"), "C8", "E210", "needs tokens with features (T, C); the input is 8 (C)", ""),
    (make("pos_embed"), "T8", "E210", "needs tokens with features (T, C); the input is 8 (T)", ""),
    (
        make("resize"),
        "C8 W8",
        "E211",
        "needs a factor, a size or like",
        "write 'resize 3/2', 'resize size=56' or 'resize like=@path'",
    ),
    (
        make("resize", 2, 3),
        "C8 W8",
        "E211",
        "needs a factor, a size or like",
        "write 'resize 3/2', 'resize size=56' or 'resize like=@path'",
    ),
    (make("times", -2, Fraction(1, 2)), "C8", "E211", "factor=-2 has no power of 1/2", ""),
    (make("resize", 0), "C8 W8", "E211", "factor=0 is not greater than 0", ""),
    (make("resize", Fraction(1, 9)), "C8 W8", "E208", "factor=1/9 leaves nothing of W=8", ""),
    (make("resize", 2, align_corners=True), "C8 W8", "E211", "mode=nearest has no corners to align", ""),
    (
        make("resize", 2, mode="bicubic"),
        "C8 W8",
        "E202",
        "mode=bicubic needs two spatial axes; the input is 8x8 (C,W)",
        "",
    ),
    (
        make("resize", like="x"),
        "C8 W8, C8 H8",
        "E202",
        "like is 8x8 (C,H), the input 8x8 (C,W): their spatial axes differ",
        "",
    ),
    (make("resize", 2), "T5 C8", "E203", "needs a spatial axis (D, H or W); the input is 5x8 (T,C)", ""),
    (make("select", 0), "C8", "E210", "the input has no axis T; it is 8 (C)", ""),
    (make("part", "T"), "C8", "E210", "the input has no axis T; it is 8 (C)", ""),
    (make("transpose", "T", "W"), "C8", "E210", "the input has neither axis T nor W; it is 8 (C)", ""),
    (make("transpose", "C", "C"), "C8", "E211", "axis and other are both C", ""),
    (make("param"), "C8", "E211", "needs at least one axis", "write 'param C=64 H=4 W=4'"),
    (make("softmax", "T"), "C8", "E210", "the input has no axis T; it is 8 (C)", ""),
    (make("tokens"), "T2 C8 W3", "E210", "the input has tokens already; it is 2x8x3 (T,C,W)", ""),
    (make("concat", axis="T"), "C8, C8", "E210", "the branches have no axis T; the first is 8 (C)", ""),
    (make("roipool", 7, rois="r"), "C8 W3, R5 C4", "E210", "needs a map (C, H, W); the input is 8x3 (C,W)", ""),
    (
        make("roipool", 7, rois="r"),
        "C8 H3 W3, R5 C5",
        "E210",
        "rois must be R regions of C=4 numbers; they are 5x5 (R,C)",
        "",
    ),
    # E211: arguments that contradict each other or their meaning
    (make("roialign", 7, "r", 0), "C8 H3 W3, R5 C4", "E211", "sampling must be at least 1, not 0", ""),
    (make("dropout", Fraction(3, 2)), "C8", "E211", "p=3/2 is not a probability", ""),
    (make("clamp", 1, 1), "C8", "E211", "low=1 is not less than high=1", ""),
    (make("lstm", 4, 4), "T5 C8", "E211", "projection=4 is not less than hidden=4", ""),
    (
        make("selective_scan", "d", "b", "c"),
        "C8, C8, C2, C2",
        "E210",
        "needs tokens with features (T, C); the input is 8 (C)",
        "",
    ),
    (
        make("selective_scan", "d", "b", "c"),
        "T5 C8, T5 C6, T5 C2, T5 C2",
        "E208",
        "delta is 5x6 (T,C), the input 5x8 (T,C)",
        "",
    ),
    (
        make("selective_scan", "d", "b", "c"),
        "T5 C8, T5 C8, T4 C2, T5 C2",
        "E208",
        "b is 4x2 (T,C), the input 5x8 (T,C): their tokens differ",
        "",
    ),
    (
        make("selective_scan", "d", "b", "c"),
        "T5 C8, T5 C8, T5 C2, T5 C3",
        "E208",
        "b has 2 numbers for each token, c has 3",
        "",
    ),
    (
        make("modconv", 8, 3, "style"),
        "R2 C4 H5 W5, C4",
        "E210",
        "needs one volume for each example; the input is 2x4x5x5 (R,C,H,W)",
        "",
    ),
    (make("modconv", 8, 3, "style"), "C4 H5 W5, C5", "E208", "the style is 5 (C), a vector of C=4 is needed", ""),
    (
        make("modconv", 8, 3, "style"),
        "C4 H5 W5, C4 W1",
        "E208",
        "the style is 4x1 (C,W), a vector of C=4 is needed",
        "",
    ),
    (make("modconv", 8, 7, "style"), "C4 H5 W9, C4", "E204", "kernel 7 is larger than the padded input 5", ""),
    (
        make("deform_conv", 8, 3, "offset"),
        "T2 C4 H5 W5, C18 H3 W3",
        "E210",
        "needs one map for each example, with the axes C, H and W; the input is 2x4x5x5 (T,C,H,W)",
        "",
    ),
    (
        make("deform_conv", 8, 3, "offset"),
        "C4 H5 W5, C18 H5 W5",
        "E208",
        "the offset is 18x5x5 (C,H,W): two for each of 9 taps, 18, or a multiple of that, at 3x3 (H,W) are needed",
        "",
    ),
    (
        make("deform_conv", 8, 3, "offset", padding=1),
        "C4 H5 W5, C9 H5 W5",
        "E208",
        "the offset is 9x5x5 (C,H,W): two for each of 9 taps, 18, or a multiple of that, at 5x5 (H,W) are needed",
        "",
    ),
    (
        make("deform_conv", 8, 3, "offset", padding=1),
        "C4 H5 W5, C54 H5 W5",
        "E208",
        "the offset is for 3 groups, which don't divide 4 channels",
        "",
    ),
    (
        make("deform_conv", 8, 3, "offset", padding=1, mask="mask"),
        "C4 H5 W5, C36 H5 W5, C9 H5 W5",
        "E208",
        "the mask is 9x5x5 (C,H,W); 18x5x5 (C,H,W) is needed",
        "",
    ),
    (
        make("deform_conv", 8, 3, "offset", padding=1, groups=3),
        "C4 H5 W5, C18 H5 W5",
        "E205",
        "in_channels=4 is not divisible by groups=3",
        "",
    ),
    (make("noise"), "T3 C8", "E203", "needs a spatial axis (D, H or W); the input is 3x8 (T,C)", ""),
    (make("celu", 0), "C8", "E211", "alpha=0 divides by zero", ""),
    (make("prelu", 3), "C8", "E211", "num_parameters=3 is neither 1 nor C=8", ""),
    (make("reshape"), "C8", "E211", "needs at least one axis", "write 'reshape C=64 H=4 W=4'"),
    (make("crop"), "C8 W8", "E211", "needs either like or size", "write 'crop like=@path' or 'crop size=56'"),
    (
        make("crop", size=3, like="up"),
        "C8 W8, C8 W8",
        "E211",
        "needs either like or size",
        "write 'crop like=@path' or 'crop size=56'",
    ),
    (make("zeropad", padding="same"), "C8 W8", "E211", "padding=same needs a kernel", "write numbers"),
    (
        make("tconv", 3, 3, padding="same", output_padding=1),
        "C8 W8",
        "E211",
        "takes either output_padding or padding=same",
        "",
    ),
]


@pytest.mark.parametrize(("layer", "inputs", "code", "message", "hint"), ERRORS, ids=lambda value: str(value)[:40])
def test_error(layer: Layer, inputs: str, code: str, message: str, hint: str) -> None:
    """A layer that can't work on a shape says why, in these words."""
    with pytest.raises(ShapeError) as caught:
        layer.output_shape(*map(volume, inputs.split(",")))
    assert (code, message, hint) == (caught.value.code, caught.value.message, caught.value.hint)


REMARKS = [
    (
        make("conv", 96, 11, stride=4),
        "C3 H224 W224",
        ["(224 + 2*0 - 11)/4 + 1 = 54.25 is not an integer; rounded down to 54"],
    ),
    (
        make("conv", 96, 11, stride=4),
        "C3 H224 W226",
        [
            "(224 + 2*0 - 11)/4 + 1 = 54.25 is not an integer; rounded down to 54",
            "(226 + 2*0 - 11)/4 + 1 = 54.75 is not an integer; rounded down to 54",
        ],
    ),
    (make("conv", 96, 11, stride=4), "C3 H227 W227", []),
    (
        make("conv", 8, 5, stride=3, padding=((0, 1),)),
        "C3 W9",
        ["(9 + 0 + 1 - 5)/3 + 1 = 2.66 is not an integer; rounded down to 2"],
    ),
    (make("maxpool", 3, stride=2), "C3 H8 W8", ["(8 + 2*0 - 3)/2 + 1 = 3.5 is not an integer; rounded down to 3"]),
    (make("maxpool", 3, stride=2, ceil=True), "C3 H8 W8", []),
    (make("avgpool", 2), "C3 H7 W7", ["(7 + 2*0 - 2)/2 + 1 = 3.5 is not an integer; rounded down to 3"]),
    (make("maxpool", 3, stride=2, padding="same"), "C3 H8 W8", []),
    # ⌈224 / 2⌉ positions are what stride 2 is meant to give, whatever is left over
    (make("conv", 64, 7, stride=2, padding="half"), "C3 H224 W224", []),
    (make("conv", 64, 7, stride=2, padding=3), "C3 H224 W224", []),
    (make("conv", 64, 1, stride=2, padding="half"), "C3 W224", []),
    (
        make("conv", 96, 7, stride=2, padding=1),
        "C3 H224 W224",
        ["(224 + 2*1 - 7)/2 + 1 = 110.5 is not an integer; rounded down to 110"],
    ),
    (make("tconv", 64, 3, stride=2), "C3 H224 W224", []),
    (
        make("maxpool", 2),
        "C3 W12345677",
        ["(12345677 + 2*0 - 2)/2 + 1 = 6172838.5 is not an integer; rounded down to 6172838"],
    ),
]


@pytest.mark.parametrize(("layer", "inputs", "expected"), REMARKS, ids=lambda value: str(value)[:40])
def test_remarks(layer: Layer, inputs: str, expected: list[str]) -> None:
    """A stride that does not fit is remarked, with its arithmetic, once for equal axes."""
    assert expected == list(layer.remarks(volume(inputs)))


def test_undecided_sizes_become_conditions() -> None:
    """What must hold of symbols is assumed and collected, never dropped."""
    c, h = dim("c"), dim("h")
    with collecting_conditions() as conditions:
        make("conv", 8, 3, groups=4).output_shape(volume("C8 H8 W8").with_(C=c, H=h))
        make("add").output_shape(volume("C8").with_(C=c), volume("C8"))
    assert ["h >= 3", "c == 8"] == list(map(str, conditions))  # 8 is a multiple of 4


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("linear", "fc"), ("Dense", "fc"), ("batchnorm", "bn"), ("BatchNorm2d", "bn"), ("layernorm", "ln"),
        ("swish", "silu"), ("gap", "global_avgpool"), ("GlobalAveragePooling2D", "global_avgpool"), ("deconv", "tconv"),
        ("ConvTranspose2d", "tconv"), ("lrelu", "leaky"), ("LeakyReLU", "leaky"), ("mha", "attention"), ("pool", "maxpool"),
        ("PixelShuffle", "pixel_shuffle"), ("space_to_depth", "pixel_unshuffle"), ("permute", "transpose"),
        ("split", "chunk"), ("narrow", "part"), ("Parameter", "param"), ("Hardtanh", "clamp"), ("SimpleRNN", "rnn"), ("BiLSTM", "lstm"), ("interpolate", "resize"), ("QuickGELU", "quick_gelu"), ("SwiGLU", "glu"), ("squared_relu", "square"), ("Rescaling", "times"),
        ("Conv2D", "conv"), ("ReLU", "relu"), ("Embedding", "embed"), ("cat", "concat"),
    ],
)  # fmt: skip
def test_kinds_are_found_by_the_names_of_other_libraries(word: str, kind: str) -> None:
    """What PyTorch and Keras call a layer leads to its kind, in any case."""
    with pytest.raises(SpecError, match=f"unknown layer kind '{word}'(.|\\n)*hint: did you mean '{kind}'"):
        graph_of(f"layers: [{word} 8]\n")


def test_no_two_kinds_go_by_one_name() -> None:
    """A name of another library leads to one kind alone, and none is that of another kind."""
    names = [name for kind, found in REGISTRY.items() for name in (kind, *found.also)]
    assert len(names) == len(set(names))
    for kind, found in REGISTRY.items():
        assert {kind} == {kind_called(name) for name in (kind, *found.also)}
