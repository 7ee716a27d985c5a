"""One or more example rows for every layer kind: a layer, its inputs, and what a person gets with pencil and paper."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from archcalc.layers import REGISTRY, Layer
from archcalc.shape import Shape


@dataclass(frozen=True)
class Case:
    """A layer on inputs, and the expected results; what isn't given is 0."""

    layer: Layer
    inputs: tuple[Shape, ...]
    output: Shape
    weights: int = 0
    biases: int = 0
    buffers: int = 0
    macs: int = 0
    connections: int = 0

    def __str__(self) -> str:
        return f"{self.layer} on {' and '.join(shape.text() for shape in self.inputs)}"


def volume(sizes: str) -> Shape:
    """A shape as `C3 H8 W8`.

    >>> volume("C3 H8 W8")
    Shape(C=3, H=8, W=8)
    """
    return Shape(**{word[0]: int(word[1:]) for word in sizes.split()})


def make(kind: str, *values: object, **named: object) -> Layer:
    """The layer of a kind."""
    return REGISTRY[kind](*values, **named)


def row(layer: Layer, inputs: str, output: str, **expected: int) -> Case:
    """A case, its shapes as text; several inputs are divided by commas."""
    return Case(layer, tuple(map(volume, inputs.split(","))), volume(output), **expected)


def unchanged(layer: Layer, inputs: str, **expected: int) -> Case:
    """A case whose output is like its input."""
    return row(layer, inputs, inputs, **expected)


# LeCun et al. 1998, table I: rows are maps of S2, columns maps of C3; 60 links
C3_TABLE = tuple(
    tuple(mark == "X" for mark in line)
    for line in [
        "X...XXX..XXXX.XX",
        "XX...XXX..XXXX.X",
        "XXX...XXX..X.XXX",
        ".XXX..XXXX..X.XX",
        "..XXX..XXXX.XX.X",
        "...XXX..XXXX.XXX",
    ]
)

CASES = [
    # conv: weights out * in/groups * taps; MACs positions * weights; connections add one bias link per output value
    row(
        make("conv", 8, 3, padding=1),
        "C3 H10 W12",
        "C8 H10 W12",
        weights=8 * 3 * 9,
        biases=8,
        macs=120 * 216,
        connections=120 * 216 + 960,
    ),
    row(
        make("conv", 96, 11, stride=4),
        "C3 H227 W227",
        "C96 H55 W55",
        weights=34_848,
        biases=96,
        macs=105_415_200,
        connections=105_705_600,
    ),
    row(
        make("conv", 6, 5, groups=2, padding="half", bias=False),
        "C4 H6 W6",
        "C6 H6 W6",
        weights=6 * 2 * 25,
        macs=36 * 300,
        connections=36 * 300,
    ),
    # a learned length for each filter, or for each tap, as in wav2vec 2.0
    row(
        make("conv", 6, 3, weight_norm="filter"),
        "C4 H5 W5",
        "C6 H3 W3",
        weights=6 * 36 + 6,
        biases=6,
        macs=9 * 216,
        connections=9 * 216 + 54,
    ),
    row(
        make("conv", 6, 4, groups=2, weight_norm="tap", bias=False),
        "C4 W7",
        "C6 W4",
        weights=6 * 8 + 4,
        macs=4 * 48,
        connections=192,
    ),
    row(
        make("dwconv", 3, padding=1, weight_norm="tap"),
        "R2 C4 W7",
        "R2 C4 W7",
        weights=12 + 3,
        biases=4,
        macs=14 * 12,
        connections=14 * 16,
    ),
    row(
        make("conv", 2, 2, padding=((0, 1),), weight_norm="filter"),
        "C3 W7",
        "C2 W7",
        weights=12 + 2,
        biases=2,
        macs=7 * 12,
        connections=7 * 14,
    ),
    # a length for each of 4 input channels, whose kernels have 6x3 weights
    row(
        make("tconv", 6, 3, stride=2, weight_norm="filter"),
        "C4 W7",
        "C6 W15",
        weights=72 + 4,
        biases=6,
        macs=7 * 72,
        connections=7 * 72 + 15 * 6,
    ),
    row(
        make("fc", 3, weight_norm="filter"),
        "T4 C6",
        "T4 C3",
        weights=18 + 3,
        biases=3,
        macs=72,
        connections=84,
    ),
    # standardised filters, without and with learned factors
    row(
        make("conv", 6, 3, padding=1, groups=2, weight_norm="standard", weight_eps=Fraction(1, 10**8)),
        "C4 H5 W5",
        "C6 H5 W5",
        weights=6 * 18,
        biases=6,
        macs=25 * 108,
        connections=25 * 114,
    ),
    row(
        make("conv", 6, 3, padding="same", weight_norm="gain", weight_scale=Fraction(17, 10), bias=False),
        "C4 W6",
        "C6 W6",
        weights=6 * 12 + 6,
        macs=6 * 72,
        connections=6 * 72,
    ),
    row(
        make("dwconv", 3, padding=1, weight_norm="gain"),
        "C4 H5 W5",
        "C4 H5 W5",
        weights=36 + 4,
        biases=4,
        macs=25 * 36,
        connections=25 * 40,
    ),
    # weights that a style of 4 numbers scales: 6 filters of 3x3 on 4 channels, at 5x3 positions
    row(
        make("modconv", 6, 3, "style", padding=(1, 0)),
        "C4 H5 W5, C4",
        "C6 H5 W3",
        weights=216,
        biases=6,
        macs=15 * 216,
        connections=15 * 222,
    ),
    row(
        make("modconv", 3, 1, "style", demodulate=False, bias=False),
        "C4 W7, C4",
        "C3 W7",
        weights=12,
        macs=84,
        connections=84,
    ),
    # offsets for 9 taps, which are the same for all channels; the map is 5x4, with a stride of 2
    row(
        make("deform_conv", 6, 3, "offset", stride=2, padding=1),
        "C4 H9 W8, C18 H5 W4",
        "C6 H5 W4",
        weights=216,
        biases=6,
        macs=20 * 216,
        connections=20 * 222,
    ),
    # two groups of offsets and masks, four of filters; uneven padding
    row(
        make("deform_conv", 8, (2, 1), "offset", padding=((0, 1), (0, 0)), groups=4, bias=False, mask="mask"),
        "C4 H3 W5, C8 H3 W5, C4 H3 W5",
        "C8 H3 W5",
        weights=16,
        macs=15 * 16,
        connections=15 * 16,
    ),
    # LeNet-5's C3: 60 kernels of 5x5, 16 biases, 10x10 positions; 1,516 parameters, 151,600 connections
    row(
        make("conv", 16, 5, connect=C3_TABLE),
        "C6 H14 W14",
        "C16 H10 W10",
        weights=1500,
        biases=16,
        macs=150_000,
        connections=151_600,
    ),
    # AlphaGo's last layer: one bias for each of 19x19 points
    row(
        make("conv", 1, 1, bias="position"),
        "C192 H19 W19",
        "C1 H19 W19",
        weights=192,
        biases=361,
        macs=192 * 361,
        connections=193 * 361,
    ),
    # TensorFlow's same: ⌈7/2⌉ = 4 positions
    row(
        make("conv", 4, 3, stride=2, padding="same", bias=False),
        "C2 H7 W8",
        "C4 H4 W4",
        weights=72,
        macs=16 * 72,
        connections=16 * 72,
    ),
    # [0,1] on every side: (6 + 1 - 2)/1 + 1 = 6
    row(
        make("conv", 4, 2, padding=((0, 1),)),
        "C2 H6 W6",
        "C4 H6 W6",
        weights=32,
        biases=4,
        macs=36 * 32,
        connections=36 * 32 + 144,
    ),
    # 1-d, dilated: 20 - (2*4 + 1) + 1 = 12
    row(
        make("conv", 5, 5, dilation=2), "C3 W20", "C5 W12", weights=75, biases=5, macs=12 * 75, connections=12 * 75 + 60
    ),
    # 3-d: C3D's first layer on a small clip
    row(
        make("conv", 4, (3, 3, 3), padding=(1, 0, 1)),
        "C3 D4 H6 W5",
        "C4 D4 H4 W5",
        weights=324,
        biases=4,
        macs=80 * 324,
        connections=80 * 324 + 320,
    ),
    # on every region, and on every frame: the same weights, used on each
    row(make("conv", 4, 3), "R5 C2 H3 W3", "R5 C4 H1 W1", weights=72, biases=4, macs=5 * 72, connections=5 * 76),
    row(make("conv", 2, 1), "T3 C4 W6", "T3 C2 W6", weights=8, biases=2, macs=18 * 8, connections=18 * 8 + 36),
    # dwconv: each channel alone, 2 filters each
    row(
        make("dwconv", 3, padding=1, multiplier=2),
        "C5 H6 W6",
        "C10 H6 W6",
        weights=90,
        biases=10,
        macs=36 * 90,
        connections=36 * 90 + 360,
    ),
    row(
        make("dwconv", 3, stride=2, padding="half", bias=False),
        "C32 H7 W7",
        "C32 H4 W4",
        weights=288,
        macs=16 * 288,
        connections=16 * 288,
    ),
    # tconv: (4-1)*2 + 2 = 8; MACs follow the 4x4 input positions
    row(
        make("tconv", 6, 2, stride=2),
        "C8 H4 W4",
        "C6 H8 W8",
        weights=192,
        biases=6,
        macs=16 * 192,
        connections=16 * 192 + 384,
    ),
    # DCGAN: (1-1)*1 + 4 = 4, then (4-1)*2 - 2 + 4 = 8
    row(
        make("tconv", 512, 4, bias=False),
        "C100 H1 W1",
        "C512 H4 W4",
        weights=819_200,
        macs=819_200,
        connections=819_200,
    ),
    # (3-1)*3 - 2 + 2*2 + 1 + 1 = 10, in two groups
    row(
        make("tconv", 4, 3, stride=3, padding=1, output_padding=1, dilation=2, groups=2),
        "C6 W3",
        "C4 W10",
        weights=36,
        biases=4,
        macs=108,
        connections=108 + 40,
    ),
    # same: 5*2 = 10; a kernel of 3 cuts 1, behind; a kernel of 1 adds 1
    row(
        make("tconv", 3, 3, stride=2, padding="same", bias=False),
        "C2 H5 W5",
        "C3 H10 W10",
        weights=54,
        macs=25 * 54,
        connections=25 * 54,
    ),
    row(
        make("tconv", 3, 1, stride=2, padding="same", bias="position"),
        "C2 W5",
        "C3 W10",
        weights=6,
        biases=30,
        macs=30,
        connections=60,
    ),
    # (5-1)*1 + 3 - 0 - 1 = 6
    row(make("tconv", 2, 3, padding=((0, 1),)), "C2 W5", "C2 W6", weights=12, biases=2, macs=60, connections=72),
    row(
        make("tconv", 2, 3, connect=((True, False), (True, True))),
        "C2 W5",
        "C2 W7",
        weights=9,
        biases=2,
        macs=45,
        connections=59,
    ),
    # pools: connections are outputs * taps
    row(make("maxpool", 2), "C4 H8 W9", "C4 H4 W4", connections=64 * 4),
    row(make("maxpool", 3, stride=2, ceil=True), "C4 H8 W8", "C4 H4 W4", connections=64 * 9),  # ⌈5/2⌉ + 1
    row(make("maxpool", 3, stride=2, padding="same"), "C4 H8 W8", "C4 H4 W4", connections=64 * 9),
    row(make("maxpool", (1, 2, 2)), "C4 D3 H4 W6", "C4 D3 H2 W3", connections=72 * 4),
    row(make("maxpool", 3, stride=1, padding=((1, 0),), dilation=2), "C2 W9", "C2 W6", connections=36),
    row(make("maxpool", 1, stride=2), "R3 C2 H5 W5", "R3 C2 H3 W3", connections=54),
    row(make("avgpool", 2), "C6 H28 W28", "C6 H14 W14", connections=4704),  # LeNet-5's S2, without its scale
    row(make("avgpool", 3, stride=2, padding=1, ceil=True, count_include_pad=False), "C2 W8", "C2 W5", connections=30),
    row(make("avgpool", 2, stride=1, padding="same"), "C2 H3 W3", "C2 H3 W3", connections=72),
    row(make("avgpool", 4, stride=3, padding=((1, 2),), ceil=True), "C2 W9", "C2 W4", connections=32),  # ⌈8/3⌉ + 1
    row(make("global_avgpool"), "C5 H7 W6", "C5 H1 W1", connections=210),
    row(make("global_maxpool"), "C5 D2 H3 W4", "C5 D1 H1 W1", connections=120),
    row(make("adaptive_avgpool", 6), "C4 H13 W9", "C4 H6 W6"),
    row(make("adaptive_maxpool", (2, 3)), "C4 H8 W9", "C4 H2 W3"),
    row(make("unpool", 2), "C3 H4 W4", "C3 H8 W8"),
    row(make("unpool", 3, stride=2, padding=1), "C3 W4", "C3 W7"),  # (4-1)*2 - 2 + 3
    row(make("unpool", 3, stride=2, like="conv1"), "C3 H4 W4, C3 H10 W9", "C3 H10 W9"),  # up from 3.5 + 1, and 3 + 1
    row(make("unpool", 3, stride=2, padding="same", like="conv1"), "C3 H4 W4, C3 H8 W7", "C3 H8 W7"),
    row(make("upsample", 2), "C3 H4 W5", "C3 H8 W10"),
    row(make("upsample", (3, 2), mode="bilinear"), "C3 H4 W5", "C3 H12 W10"),
    row(make("upsample", 2, "bilinear"), "C3 W5", "C3 W10"),
    row(make("resize", Fraction(3, 2)), "C3 H4 W5", "C3 H6 W7"),
    row(make("resize", Fraction(3, 4), mode="bilinear"), "C3 H4 W7", "C3 H3 W5"),
    row(make("resize", size=(7, 2), mode="bilinear", align_corners=True), "C3 H4 W5", "C3 H7 W2"),
    row(make("resize", size=(1, 6), mode="bilinear", align_corners=True), "C3 H4 W2", "C3 H1 W6"),
    row(make("resize", size=(7, 10), mode="bicubic"), "C3 H4 W5", "C3 H7 W10"),
    row(make("resize", size=(7, 9), mode="bicubic", align_corners=True), "C3 H4 W5", "C3 H7 W9"),
    row(make("resize", like="x", mode="bilinear"), "C3 D2 H4 W5, C2 D3 H8 W6", "C3 D3 H8 W6"),
    row(make("resize", like="x"), "R2 C3 W5, C2 W8", "R2 C3 W8"),
    # fc: one matrix for all tokens; LeNet-5's F6 has 10,164 parameters and connections
    row(make("fc", 84), "C120", "C84", weights=10_080, biases=84, macs=10_080, connections=10_164),
    row(make("fc", 8, bias=False), "T5 C6", "T5 C8", weights=48, macs=240, connections=240),
    row(make("fc", 8), "R3 T5 C6", "R3 T5 C8", weights=48, biases=8, macs=720, connections=840),
    row(make("rbf", 10), "C84", "C10", buffers=840, connections=840),
    row(make("embed", 1000, 16), "T7", "T7 C16", weights=16_000),
    # recurrences: a matrix on the token and one on the state for each gate, two biases; all weights once a token
    row(make("rnn", 5), "T4 C6", "T4 C5", weights=5 * 11, biases=10, macs=4 * 55),
    row(make("rnn", 5, reverse=True), "R3 T4 C6", "R3 T4 C5", weights=55, biases=10, macs=12 * 55),
    row(make("lstm", 5), "T4 C6", "T4 C5", weights=4 * 5 * 11, biases=40, macs=4 * 220),
    row(make("lstm", 5, 2), "T4 C6", "T4 C2", weights=4 * 5 * 8 + 2 * 5, biases=40, macs=4 * 170),
    row(make("lstm", 5, bias=False, reverse=True), "R3 T4 C6", "R3 T4 C5", weights=220, macs=12 * 220),
    row(make("gru", 5), "R3 T4 C6", "R3 T4 C5", weights=3 * 5 * 11, biases=30, macs=12 * 165),
    row(make("gru", 5, bias=False), "T1 C6", "T1 C5", weights=165, macs=165),
    # a state of 3 numbers for each of 6 channels, each multiplied once for each token when it is read
    row(
        make("selective_scan", "d", "b", "c"), "T4 C6, T4 C6, T4 C3, T4 C3", "T4 C6", weights=6 * 3 + 6, macs=4 * 6 * 3
    ),
    row(make("selective_scan", "d", "b", "c", skip=False), "T1 C2, T1 C2, T1 C5, T1 C5", "T1 C2", weights=10, macs=10),
    row(
        make("selective_scan", "d", "b", "c"), "R2 T3 C2, R2 T3 C2, R2 T3 C1, R2 T3 C1", "R2 T3 C2", weights=4, macs=12
    ),
    # norms: a scale and a shift for each channel
    unchanged(make("bn"), "C6 H5 W5", weights=6, biases=6, buffers=12),
    unchanged(make("bn", affine=False), "T4 C6", buffers=12),
    unchanged(make("bn"), "C6", weights=6, biases=6, buffers=12),
    unchanged(make("ln"), "T5 C8", weights=8, biases=8),
    unchanged(make("ln", bias=False), "C8 H5 W5", weights=8),
    unchanged(make("ln", affine=False, eps=Fraction(1, 10**6)), "T5 C8"),
    unchanged(make("bn", frozen=True), "C8 H5 W5", buffers=32),
    unchanged(make("bn", frozen=True, affine=False), "T5 C8", buffers=16),
    unchanged(make("rmsnorm"), "T5 C8", weights=8),  # no shift
    unchanged(make("rmsnorm", Fraction(1, 10**6), affine=False), "C8 H5 W5"),
    unchanged(make("l2norm"), "C8 H5 W5"),
    unchanged(make("l2norm", Fraction(1, 100)), "R2 T5 C8"),
    unchanged(make("groupnorm", 2), "C8 H5 W5", weights=8, biases=8),
    unchanged(make("groupnorm", 4, affine=False), "C8 H5 W5"),
    unchanged(make("instancenorm", affine=True), "C8 H5 W5", weights=8, biases=8),
    unchanged(make("instancenorm"), "C8 W5"),
    unchanged(make("lrn", 5), "C8 H5 W5"),
    unchanged(make("lrn", size=3, alpha=Fraction(1, 100)), "R2 C8"),
    unchanged(make("scale"), "C6 H14 W14", weights=6, biases=6, connections=1176),  # with avgpool's 4,704: S2's 5,880
    unchanged(make("scale", bias=False), "T3 C6", weights=6),
    unchanged(make("layerscale"), "C6 H5 W5", weights=6),
    unchanged(make("noise"), "C6 H5 W4", weights=1, buffers=20),
    unchanged(make("noise"), "R2 C3 W7", weights=1, buffers=7),
    # activations
    unchanged(make("relu"), "C6 H5 W5"),
    unchanged(make("relu6"), "C6 H5 W5"),
    unchanged(make("leaky", Fraction(1, 5)), "C6 H5 W5"),
    unchanged(make("prelu"), "C6 H5 W5", weights=1),
    unchanged(make("prelu", 6), "T5 C6", weights=6),
    unchanged(make("elu"), "C6"),
    unchanged(make("gelu", "tanh"), "T5 C6"),
    unchanged(make("silu"), "C6 H5 W5"),
    unchanged(make("hardswish"), "C6 H5 W5"),
    unchanged(make("hardsigmoid"), "C6 H5 W5"),
    unchanged(make("sigmoid"), "C6 H5 W5"),
    unchanged(make("tanh"), "C6 H5 W5"),
    unchanged(make("softplus"), "C6 H5 W5"),
    unchanged(make("softmax"), "C6 H5 W5"),
    unchanged(make("softmax", "W"), "C6 H5 W5"),
    unchanged(make("log_softmax"), "T5 C6"),
    unchanged(make("log_softmax", "T"), "T5 C6"),
    unchanged(make("clamp"), "C6 H5 W5"),
    unchanged(make("clamp", Fraction(1, 4), high=Fraction(3, 4)), "T5 C6"),
    unchanged(make("selu"), "C6 H5 W5"),
    unchanged(make("celu", Fraction(1, 10)), "C6 H5 W5"),
    unchanged(make("quick_gelu"), "T5 C6"),
    unchanged(make("mish"), "C6 H5 W5"),
    unchanged(make("softsign"), "C6 H5 W5"),
    unchanged(make("exp"), "C6 H5 W5"),
    unchanged(make("square"), "T5 C6"),
    unchanged(make("times", Fraction(1, 30)), "T5 C6"),
    unchanged(make("times", -1), "T5 C6"),
    unchanged(make("times", 48, Fraction(1, 2)), "C6 H5 W5"),
    # the first half of the channels times the gate of the second
    row(make("glu"), "C6 H5 W5", "C3 H5 W5"),
    row(make("glu"), "T4 C6", "T4 C3"),
    row(make("glu", "silu"), "T4 C6", "T4 C3"),
    row(make("glu", gate="gelu"), "R2 T4 C6", "R2 T4 C3"),
    row(make("glu", "relu"), "C6 H5 W5", "C3 H5 W5"),
    row(make("glu", "identity"), "C6 H5 W5", "C3 H5 W5"),
    unchanged(make("dropout", Fraction(2, 5)), "C6 H5 W5"),
    # merges
    row(make("add"), "C6 H5 W5, C6 H5 W5, C6 H5 W5", "C6 H5 W5"),
    row(make("mul"), "C6 H5 W5, C6 H1 W1", "C6 H5 W5"),
    row(make("mul"), "C6 H1 W1, C6 H5 W4, C6 H5 W4", "C6 H5 W4"),
    row(make("add", broadcast=True), "C6 H5 W5, C6", "C6 H5 W5"),
    row(make("add", broadcast=True), "C6, T4 C1, T4 C6", "T4 C6"),
    row(make("mul", broadcast=True), "C6 H5 W5, C1 H5 W5", "C6 H5 W5"),
    row(make("mul", broadcast=True), "C6 H5 W1, C6 H1 W4, C1 H1 W1", "C6 H5 W4"),
    row(make("mul", broadcast=True), "R3 C6, C6", "R3 C6"),
    row(make("concat"), "C64 H3 W3, C128 H3 W3, C32 H3 W3", "C224 H3 W3"),
    row(make("concat", axis="T"), "T1 C6, T9 C6", "T10 C6"),
    # rearranging
    unchanged(make("identity"), "C6 H5 W5"),
    row(make("flatten"), "C16 H5 W5", "C400"),
    row(make("flatten"), "R3 C4 H7 W7", "R3 C196"),
    row(make("reshape", C=3, H=7, W=5), "C3 H5 W7", "C3 H7 W5"),
    row(make("reshape", C=8, W=2), "C16", "C8 W2"),
    row(make("tokens"), "C8 H3 W5", "T15 C8"),
    row(make("grid", H=3, W=5), "T15 C8", "C8 H3 W5"),
    row(make("grid", D=2, H=1, W=2), "R3 T4 C2", "R3 C2 D2 H1 W2"),
    row(make("grid", like="other"), "T6 C4, C9 H2 W3", "C4 H2 W3"),
    row(make("select", 0), "T5 C8", "C8"),
    row(make("select", -5), "R2 T5 C8", "R2 C8"),
    row(make("crop", like="up"), "C8 H9 W8, C4 H6 W6", "C8 H6 W6"),
    row(make("crop", size=(3, 4)), "C8 H9 W8", "C8 H3 W4"),
    row(make("slice", 2), "C8 H9 W8", "C8 H5 W4"),
    row(make("slice", (1, 3)), "R2 C8 H9 W8", "R2 C8 H9 W3"),
    row(make("zeropad", 32), "C16 H5 W5", "C32 H5 W5"),
    row(make("zeropad", padding=((1, 2), (0, 3))), "C16 H5 W5", "C16 H8 W8"),
    unchanged(make("channel_shuffle", 3), "C6 H5 W5"),
    row(make("part", "C", 2, 6), "C8 H9 W8", "C4 H9 W8"),
    row(make("part", "H", 1, step=3), "C8 H9 W8", "C8 H3 W8"),  # rows 1, 4 and 7
    row(make("part", "T", stop=4), "T5 C8", "T4 C8"),
    row(make("part", "R", 1), "R3 T5 C8", "R2 T5 C8"),
    row(make("chunk", 4, -1), "C8 H9 W8", "C2 H9 W8"),
    row(make("chunk", 2, 0, axis="W"), "C8 H9 W8", "C8 H9 W4"),
    row(make("chunk", 5, 2, axis="T"), "T5 C8", "T1 C8"),
    row(make("transpose", "T", "C"), "T5 C8", "T8 C5"),
    row(make("transpose", "H", "W"), "C8 H9 W3", "C8 H3 W9"),
    row(make("transpose", "T", "D"), "T5 C8 H9 W3", "C8 D5 H9 W3"),
    row(make("transpose", "T", "R"), "R2 T5 C8", "R5 T2 C8"),
    row(make("pixel_shuffle", 2), "C8 H3 W5", "C2 H6 W10"),
    row(make("pixel_shuffle", (3, 1)), "C6 H2 W5", "C2 H6 W5"),
    row(make("pixel_shuffle", 3), "T2 C6 W5", "T2 C2 W15"),
    row(make("pixel_shuffle", (2, 3), "hwc"), "C12 H2 W5", "C2 H4 W15"),
    row(make("pixel_shuffle", 2, "whc"), "C8 D2 H2 W3", "C1 D4 H4 W6"),
    row(make("pixel_unshuffle", 2), "C3 H4 W6", "C12 H2 W3"),
    row(make("pixel_unshuffle", (2, 3), order="hwc"), "C3 H4 W6", "C18 H2 W2"),
    row(make("pixel_unshuffle", 2, "whc"), "C2 H4 W6", "C8 H2 W3"),
    row(make("pixel_unshuffle", (1, 2, 3)), "R2 C2 D2 H4 W6", "R2 C12 D2 H2 W2"),
    # learned, whatever enters
    row(make("param", C=8, H=4, W=3), "C5", "C8 H4 W3", weights=96),
    row(make("param", T=10, C=6), "C3 H9 W8", "T10 C6", weights=60),
    # tokens
    unchanged(make("pos_embed"), "T5 C8", weights=40),
    unchanged(make("pos_embed", 7), "R2 T5 C8", weights=56),
    unchanged(make("pos_embed", 7, learned=False), "T5 C3", buffers=21),
    row(make("cls_token"), "T5 C8", "T6 C8", weights=8),
    # attention: 4C² weights and 4C biases; MACs 4*T*C² + 2*T²*C
    unchanged(make("attention", 4), "T5 C8", weights=256, biases=32, macs=5 * 256 + 2 * 25 * 8),
    unchanged(make("attention", 2, bias=False, causal=True), "R3 T5 C8", weights=256, macs=3 * (5 * 256 + 2 * 25 * 8)),
    # cross-attention: queries and outputs 2*T*C² = 640, keys and values 2*S*C*C' = 336, products 2*T*S*C = 240
    row(make("attention", 4, kv="memory"), "T5 C8, T3 C7", "T5 C8", weights=128 + 112, biases=32, macs=640 + 336 + 240),
    # keys and values of 2 heads for 4 heads of queries, 2 numbers each: 64 + 2*32 + 64
    unchanged(make("attention", 4, kv_heads=2), "T5 C8", weights=192, biases=8 + 4 + 4 + 8, macs=5 * 192 + 2 * 25 * 8),
    # heads of 6 numbers and values of 2, out to 10: 8*12 + 8*12 + 8*4 + 4*10; pairs 3*3*2*(6 + 2)
    row(
        make("attention", 2, head_dim=6, value_dim=2, out_features=10, bias=False),
        "R2 T3 C8",
        "R2 T3 C10",
        weights=264,
        macs=2 * (3 * 264 + 9 * 2 * 8),
    ),
    unchanged(make("attention", 2, bias=False, qkv_bias=True), "T5 C8", weights=256, biases=24, macs=1680),
    unchanged(make("attention", 2, k_bias=False, window=3, causal=True), "T5 C8", weights=256, biases=24, macs=1680),
    unchanged(make("attention", 2, qkv_bias=False, window=2), "T5 C8", weights=256, biases=8, macs=1680),
    # a factor for each number of a head, in queries and in keys; of all heads together 8 and 4
    unchanged(
        make("attention", 4, rope=True, qk_norm="rmsnorm", head_dim=4, bias=False),
        "T5 C8",
        weights=4 * 8 * 16 + 2 * 4,
        macs=5 * 512 + 2 * 25 * 16,
    ),
    unchanged(
        make("attention", 4, kv_heads=2, qk_norm="ln", qk_norm_whole=True, out_bias=False),
        "T5 C8",
        weights=192 + 12,
        biases=8 + 4 + 4 + 12,
        macs=5 * 192 + 400,
    ),
    unchanged(
        make("attention", 2, causal=True, rope=True, rotary_dim=2, alibi=True, scale=Fraction(1, 3)),
        "R2 T5 C8",
        weights=256,
        biases=32,
        macs=2 * 1680,
    ),
    unchanged(
        make("attention", 2, rope=True, rotary_dim=2, rope_interleaved=True),
        "T5 C8",
        weights=256,
        biases=32,
        macs=1680,
    ),
    unchanged(make("attention", 2, softcap=50), "T5 C8", weights=256, biases=32, macs=1680),
    unchanged(
        make("attention", 4, kv_heads=2, sinks=True, causal=True, window=2),
        "R2 T5 C8",
        weights=192,
        biases=24 + 4,
        macs=2 * (5 * 192 + 400),
    ),
    # T5: 8 buckets for each of 2 heads. Swin: 3*5 displacements in a window of 2x3
    unchanged(
        make("attention", 2, bias=False, scale=1, buckets=8, max_distance=16), "T5 C8", weights=256 + 16, macs=1680
    ),
    row(
        make("attention", 2, kv="memory", buckets=4),
        "T5 C8, T3 C7",
        "T5 C8",
        weights=240 + 8,
        biases=32,
        macs=640 + 336 + 240,
    ),
    unchanged(
        make("attention", 2, relative=(2, 3)), "R2 T6 C8", weights=256 + 30, biases=32, macs=2 * (6 * 256 + 2 * 36 * 8)
    ),
    # latents: to 6 + 2 numbers, from 6 to 2 heads' keys of 3 and values of 3, queries 8*2*(3 + 2), output 2*3*8; norm 6
    unchanged(make("mla", 2, 6, 3, 2), "T5 C8", weights=64 + 72 + 80 + 48 + 6, macs=5 * 264 + 25 * 2 * (5 + 3)),
    # queries from a latent of 7: 8*7 + 7*2*(3 + 2); values of 4: 6*2*(3 + 4), output 2*4*8; norms 6 + 7
    unchanged(
        make("mla", 2, 6, 3, 2, value_dim=4, q_rank=7, causal=True, scale=Fraction(1, 3), eps=Fraction(1, 10**6)),
        "R3 T5 C8",
        weights=64 + 84 + 126 + 64 + 13,
        macs=3 * (5 * 338 + 25 * 2 * (5 + 4)),
    ),
    # mixtures: of 6 experts' scores the 2 greatest; 5 tokens become 10 copies, and 5 again
    unchanged(make("topk", 2), "T5 C6"),
    unchanged(make("topk", 2, renormalise=True, factor=Fraction(5, 2)), "T5 C6"),
    unchanged(make("topk", 1, score="sigmoid", correction=True), "T5 C6", buffers=6),
    unchanged(make("topk", 3, "sigmoid", True, 2, True, groups=4, top_groups=2, group_best=2), "T5 C12", buffers=12),
    unchanged(make("topk", 2, groups=3, top_groups=2), "T5 C6"),
    row(make("dispatch", "router", 2), "T5 C8, T5 C6", "T10 C8"),
    row(make("dispatch", "router", 1), "T7 C3, T7 C4", "T7 C3"),
    row(make("dispatch", "router", 2), "R2 T3 C4, R2 T3 C5", "R2 T6 C4"),
    row(make("combine", "router", 2), "R2 T6 C4, R2 T3 C5", "R2 T3 C4"),
    unchanged(make("topk", 2, renormalise=True), "R2 T3 C5"),
    row(make("combine", "router", 2), "T10 C8, T5 C6", "T5 C8"),
    row(make("combine", "router", 3), "T6 C4, T2 C5", "T2 C4"),
    # with a class token in front three numbers more
    unchanged(
        make("attention", 2, relative=(2, 3), relative_cls=True),
        "T7 C8",
        weights=256 + 36,
        biases=32,
        macs=7 * 256 + 49 * 16,
    ),
    # 24 places in windows of 4: 24*64, then pairs 24*4*(4 + 4)
    unchanged(make("window_attention", 2, 2), "C4 H4 W6", weights=64, biases=16, macs=2304),
    # filled up to 6x6 places, in windows of 9; 5*5 displacements
    unchanged(
        make("window_attention", 2, 3, shift=1, relative=True), "C4 H4 W5", weights=64 + 50, biases=16, macs=2304 + 2592
    ),
    # 3*5 displacements, each of 2 numbers, by 5*(2 + 2) weights; a factor for each head
    unchanged(
        make("window_attention", 2, (2, 3), shift=(0, 1), k_bias=False, cosine=True, continuous=5),
        "R2 C4 H4 W6",
        weights=64 + 20 + 2,
        biases=12 + 5,
        macs=48 * 64 + 48 * 6 * 8 + 15 * 20,
    ),
    unchanged(make("window_attention", 2, 2, grid=True, relative=True), "C4 H4 W6", weights=82, biases=16, macs=2304),
    # 4x4x6 places in windows of 12
    unchanged(
        make("window_attention", 1, (2, 2, 3), shift=(1, 0, 1), bias=False, scale=1),
        "C2 D3 H4 W5",
        weights=16,
        macs=96 * 16 + 96 * 12 * 4,
    ),
    row(make("windows", (2, 3)), "C4 H4 W6", "R4 T6 C4"),
    row(make("windows", 2, grid=True), "C4 D2 H4 W6", "R6 T8 C4"),
    row(make("unwindows", (2, 3), H=4, W=6), "R4 T6 C4", "C4 H4 W6"),
    row(make("unwindows", 2, grid=True, like="up"), "R6 T4 C4, C9 H4 W6", "C4 H4 W6"),
    unchanged(make("roll", "H", -1), "C4 H4 W6"),
    unchanged(make("roll", "T", 3), "R2 T4 C6"),
    # without projections: T*S*(D + E) for each head
    row(make("sdpa", 2, "k", "v"), "T5 C8, T3 C8, T3 C6", "T5 C6", macs=5 * 3 * 2 * (4 + 3)),
    row(
        make("sdpa", 4, "k", "v", causal=True, kv_heads=2, sinks=True),
        "R2 T5 C8, R2 T5 C4, R2 T5 C6",
        "R2 T5 C12",
        biases=4,
        macs=2 * 25 * 4 * (2 + 3),
    ),
    row(make("sdpa", 2, "k", "v", relative=(1, 3)), "T3 C4, T3 C4, T3 C2", "T3 C2", weights=10, macs=9 * 2 * 3),
    row(make("matmul", "b"), "T5 C8, T8 C3", "T5 C3", macs=5 * 8 * 3),
    row(make("matmul", "b", transpose=True), "T5 C8, T3 C8", "T5 C3", macs=5 * 8 * 3),
    row(make("matmul", "b"), "R2 C8, R2 T8 C3", "R2 C3", macs=2 * 8 * 3),
    # of operations that specs don't know, the outside
    row(make("opaque", "fft_rfft2", C=4, H=6, W=4, on=((4, 6, 6),)), "C4 H6 W6", "C4 H6 W4"),
    unchanged(make("opaque", "erfinv", pointwise=True), "C4 H6 W6"),
    row(make("opaque", "where", pointwise=True), "C4 H6 W6, C4 H1 W1, C1 H1 W6", "C4 H6 W6"),
    row(
        make("opaque", "mine", T=3, C=2, learned=((4, 3), (2,)), stored=((5, 1),), products=7),
        "T5 C4, C8",
        "T3 C2",
        weights=14,
        buffers=5,
        macs=7,
    ),
    row(make("opaque", "topk", T=3, C=2, output=2), "T5 C2", "T3 C2"),
    # regions
    row(make("roipool", 7, rois="rois"), "C4 H9 W12, R5 C4", "R5 C4 H7 W7"),
    row(make("roialign", 7, rois="rois"), "C4 H9 W12, R5 C4", "R5 C4 H7 W7"),
    row(make("roialign", (2, 1), rois="rois", sampling=3), "C1 H9 W12, R5 C4", "R5 C1 H2 W1"),
    row(make("proposals", 5, box="box", paired=False), "C3 H4 W5, C12 H4 W5", "R5 C4"),
    row(make("proposals", 10, box="box"), "C18 H3 W4, C36 H3 W4", "R10 C4"),
]
