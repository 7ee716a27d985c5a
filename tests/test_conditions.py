"""What symbolic sizes presuppose: the conditions of a graph are met by exactly the numbers that it can be built with."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest

from archcalc import analyze
from archcalc.errors import ExpressionError, SpecError
from archcalc.expand import build
from archcalc.formulas.symbols import opened
from archcalc.graph import Graph
from archcalc.language.expression import Environment
from archcalc.language.grammar import parse_expression
from archcalc.language.model import Spec
from archcalc.layers import REGISTRY
from archcalc.questions.sweep import sweep
from archcalc.symbolic import (
    Condition,
    agreement,
    collecting_conditions,
    dim,
    floor_div,
    indivisible,
    maximum,
    none_equal,
)
from archcalc.symbolic.conditions import _without_redundant
from archcalc.zoo import Architecture, load
from tests.fuzz_conditions import check, example
from tests.helpers import spec_of

H, W = dim("H"), dim("W")
HEAD = """archcalc: 1
name: open
input: {{C: 12, H: 16, W: 16}}
hparams: {{c: {hparam}}}
layers: {layers}
"""

STEPS = [
    ("conv c/6 3", ["c % 6 == 0"]),
    ("conv c 1 -> groupnorm c/4", ["c % 4 == 0"]),
    ("conv 2*c 1 -> conv c/4 1 g=4", ["c % 16 == 0"]),
    ("conv 8 c/2 p=half", ["c % 2 == 0"]),
    ("conv 8 3 s=c/2", ["c % 2 == 0"]),
    ("conv 8 3 p=c/5", ["c % 5 == 0"]),
    ("conv 8 2 d=c/3", ["c % 3 == 0", "c <= 45"]),
    ("maxpool c/3 p=1", ["c % 3 == 0", "c >= 6", "c <= 54"]),
    ("maxpool 4 p=c-3", ["c >= 3", "c <= 5"]),
    ("upsample c/2", ["c % 2 == 0"]),
    ("crop size=c/2", ["c % 2 == 0", "c <= 32"]),
    ("zeropad c", ["c >= 12"]),
    ("prelu c", ["c == 1 or c == 12"]),
    ("channel_shuffle c", ["12 % c == 0"]),
    ("adaptive_maxpool c/2", ["c % 2 == 0"]),
    ("tconv 3 3 s=c output_padding=2", ["c >= 3"]),
    ("tconv 3 3 s=2 output_padding=c-4 p=same", ["c == 4"]),
    ("lrn c/3", ["c % 3 == 0"]),
    ("tokens -> attention c/2", ["c % 2 == 0", "24 % c == 0"]),
    ("tokens -> pos_embed c/2", ["c % 2 == 0", "c >= 512"]),
    ("tokens -> select c-260", ["c <= 515", "c >= 4"]),
    ("flatten -> fc c*(c+1)/2", []),
    ("flatten -> fc c*c/4", ["c % 2 == 0"]),
    ("flatten -> fc 10//(c-4)", ["c != 4", "1 <= floor(10/(c - 4))"]),
    ("flatten -> fc abs(c-7)+1", []),
    ("flatten -> fc max(c/2,5/2)", ["max(5, c) % 2 == 0"]),
    ("flatten -> fc sqrt(c*c+2*c+1)", []),
    ("flatten -> fc 18/(2*c+1)", ["18 % (2*c + 1) == 0", "1 <= 18/(2*c + 1)"]),
    ("[{mul: [upsample c/5, identity]}]", ["c % 5 == 0", "2*max(80, 16*c) == 160"]),
    ("flatten -> reshape C=c/2 T=12 H=4", ["c == 128"]),
]


def spec(layers: str, hparam: str = "sym") -> Spec:
    """A small spec with the hparam c."""
    return spec_of(HEAD.format(layers=layers, hparam=hparam))


def builds(spec: Spec, c: int) -> Graph | None:
    """The graph for a number, if there is one."""
    try:
        return build(spec, hparams={"c": c})
    except SpecError:
        return None


@pytest.mark.parametrize(("layers", "expected"), STEPS, ids=[layers for layers, _ in STEPS])
def test_conditions_are_where_building_works(layers: str, expected: list[str]) -> None:
    """Each kind of argument records what it needs, in few words; that's met where building with a number works."""
    conditions = build(spec(layers)).conditions
    assert expected == list(map(str, conditions))
    for c in (*range(1, 60), 127, 128, 256, 511, 512, 515, 516, 520):
        assert (builds(spec(layers), c) is not None) == all(known.holds({"c": c}) for known in conditions), c
        assert [known.holds({"c": c}) for known in conditions] == [means(str(known), c) for known in conditions]


def means(text: str, c: int) -> bool:
    """A condition's text, read and evaluated in the spec language."""
    try:
        return bool(parse_expression(text).evaluate(Environment({"c": c})))
    except ExpressionError:
        return False


@pytest.mark.parametrize(
    ("hparam", "expected"),
    [
        ("{value: sym, min: 3}", ["c >= 3"]),
        ("{value: sym, multiple_of: 8}", ["c % 8 == 0"]),
        ("{value: sym, min: 9, multiple_of: 8}", ["c >= 9", "c % 8 == 0"]),
        ("{value: sym, min: 7, multiple_of: 8}", ["c % 8 == 0"]),
    ],
)
@pytest.mark.parametrize("sets", [{}, {"c": dim("c")}])
def test_bounds_of_hparams_are_conditions(hparam: str, expected: list[str], sets: dict[str, object]) -> None:
    """`min` and `multiple_of` hold for symbols, too, whether the spec or the caller opens the hparam."""
    assert expected == [str(known) for known in build(spec("conv c 1", hparam), hparams=sets).conditions]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("dropout c/100", "dropout: p takes a number, not a symbol"),
        ("flatten -> fc log2(c)", r"log2\(...\) needs a number"),
        ("flatten -> fc sqrt(c)", r"sqrt\(...\) of what isn't always a square needs a number"),
        ("{'conv{c}': conv 3 1}", "a name depends on a symbolic value"),
        ("conv 3 1 s=c p=same", "conv: whether the stride is 1 depends on a symbolic value"),
        ("conv 3 c p=same", "conv: whether both sides are padded alike depends on a symbolic value"),
        ("adaptive_avgpool c", "adaptive_avgpool: whether there's one bin depends on a symbolic value"),
        ("(conv x.C//2+4 1)*c", "a repeat count needs a number, not c: a pass takes"),
    ],
)
def test_what_is_no_condition_is_refused(layers: str, message: str) -> None:
    """What a symbol leaves open and no condition can say is an error, E106, that asks for a number."""
    with pytest.raises(SpecError, match=message) as refused:
        build(spec(layers))
    assert {"E106"} == {diagnostic.code for diagnostic in refused.value.diagnostics}


@pytest.mark.parametrize("layer", ["conv 3 3x3 s=c p=same", "conv 3 c p=same", "adaptive_avgpool c"])
def test_what_is_refused_as_a_symbol_can_be_swept(layer: str) -> None:
    """What autograd keeps changes with the value, so that no one formula has it: sweep builds each, as the hint says."""
    with pytest.raises(SpecError) as refused:
        build(spec(layer), hparams={"c": "sym"})
    assert "a sweep builds each of several" in str(refused.value)
    plan = sweep(Architecture(spec(layer), ""), ["saved_bytes"], c=range(1, 7))
    rows = [row for block in plan.blocks() for row in zip(*block.values(), strict=True)]
    expected = []
    for size in range(1, 7):
        try:
            expected.append((size, analyze(build(spec(layer), hparams={"c": size})).total("saved_bytes")))
        except SpecError:
            continue
    assert len(expected) > 1
    assert expected == rows


def test_divisibilities_are_merged() -> None:
    """Multiples of 4 and of 6 are multiples of 12; what follows from a larger divisor isn't listed."""
    c, h = dim("c"), dim("h")
    with collecting_conditions() as found:
        assert not indivisible(c / 2, 2)
        assert not indivisible(c, 6)
        assert not indivisible(3 * c + 6 * h, 9)
        assert indivisible(2 * c + 1, 2)
        assert not indivisible(c * (c + 1) * (c + 2), 6)
    assert ["c % 12 == 0", "(c + 2*h) % 3 == 0"] == list(map(str, found))


def test_one_of_several_equalities() -> None:
    """Of two equalities one must hold: a product is 0; what can't hold isn't listed."""
    c, h = dim("c"), dim("h")
    with collecting_conditions() as found:
        assert not none_equal((c, 1), (c, h))
        assert not none_equal((c, c + 1), (h, 5))
        assert none_equal((c, c + 1), (h, -5))
    assert ["c == 1 or c == h", "h == 5"] == list(map(str, found))
    assert [True, True, False] == [found[0].holds({"c": c, "h": 3}) for c in (1, 3, 2)]


def test_agreement_is_1_or_0() -> None:
    """Whether sizes agree is a number, or an expression for one."""
    c, h = dim("c"), dim("h")
    assert (1, 0) == (agreement([(c, c), (3, 3)]), agreement([(c, h), (c, c + 1)]))
    agrees = Condition(agreement([(c, h), (2 * c, 6)]), "==", 1)
    assert [(3, 3)] == [(a, b) for a in range(1, 6) for b in range(1, 6) if agrees.holds({"c": a, "h": b})]


REQUIRED = {
    "out_channels": 4, "kernel_size": 3, "out_features": 4, "num_embeddings": 10, "dim": 4, "num_heads": 2, "num_groups": 2,
    "index": 0, "top": 2, "groups": 2, "output_size": 2, "factor": 2, "num_proposals": 3, "stride": 2,
    "hidden": 4, "parts": 4, "kv_rank": 4, "head_dim": 4, "rope_dim": 4, "axis": "C", "size": 2, "operator": "mine",
}  # fmt: skip
"""Values of arguments that must be given, with which a layer works on a volume of 12 channels."""
BEFORE = {
    "embed": ("T", ""), "attention": ("TC", ""), "mla": ("TC", ""), "sdpa": ("TC", ""), "pos_embed": ("TC", ""), "select": ("TC", ""), "fc": ("C", ""),
    "topk": ("TC", ""), "dispatch": ("TC", ""), "combine": ("TC", "dispatch router=@input top=4"),
    "rbf": ("C", ""), "grid": ("TC", ""), "pixel_shuffle": ("CW", ""), "unwindows": ("TC", "windows: reshape R=4 T=4 C=6"),
    **dict.fromkeys(("rnn", "lstm", "gru"), ("TC", "")),
    **dict.fromkeys(("roipool", "roialign"), ("CHW", "scores: conv 6 1\n  - boxes: from scores -> conv 12 1\n  - rois: from scores -> proposals 3 box=@boxes")),
    "modconv": ("CHW", "style: global_avgpool -> flatten"),
    "deform_conv": ("CHW", "places: conv 2*({kernel_size})*({kernel_size}) {kernel_size} s={stride} p={padding} d={dilation}"),
    "proposals": ("CHW", "scores: conv 6 1\n  - boxes: from scores -> conv 12 1\n  - identity"),
}  # fmt: skip
"""The axes that a kind works on, if not C, H, W, and what must come before it."""
MORE = {
    **{(kind, "padding"): {"kernel_size": "9"} for kind in ("maxpool", "avgpool", "unpool")},
    **{("reshape", axis): {"C" if axis == "T" else "T": "384"} for axis in "CDHWTR"},
    ("tconv", "output_padding"): {"stride": "6"},
    ("lstm", "projection"): {"hidden": "9"},
    ("topk", "groups"): {"top_groups": "1"},
    ("topk", "top_groups"): {"groups": "4"},
    ("topk", "group_best"): {"groups": "2", "top_groups": "1"},
    ("chunk", "index"): {"parts": "6"},
    ("unwindows", "size"): {"H": "4", "W": "4"},
    ("window_attention", "shift"): {"size": "9"},
    **{("unwindows", axis): {"W" if axis != "W" else "H": "4"} for axis in "DHW"},
    ("attention", "rotary_dim"): {"num_heads": "1", "rope": "true"},
    **{(kind, "kv_heads"): {"num_heads": "12"} for kind in ("attention", "sdpa")},
}
"""Values of other arguments, so that some numbers fit."""
SIZES = {"C": 12, "T": 8}
TENSORS = {"roipool": "from scores -> roipool rois=@rois", "roialign": "from scores -> roialign rois=@rois", "proposals": "from scores -> proposals box=@boxes",
           "sdpa": "sdpa keys=@input values=@input", "selective_scan": "selective_scan @input @input @input", "modconv": "from input -> modconv style=@style", "deform_conv": "from input -> deform_conv offset=@places",
           "dispatch": "dispatch router=@input", "combine": "combine router=@input"}  # fmt: skip
INTEGERS = ("Dim", "Count", "Index", "Channels", "Extent", "Amounts", "Padding")
ARGUMENTS = [
    (kind, name)
    for kind, layer in sorted(REGISTRY.items())
    for name, argument in layer.arguments().items()
    if argument.type.name in INTEGERS
]


@pytest.mark.parametrize(("kind", "name"), ARGUMENTS, ids=lambda value: str(value))
@pytest.mark.parametrize("expression", ["c/3", "(c+x.C)/4", "c-2"], ids=["third", "sum", "difference"])
def test_every_integer_argument_takes_expressions(kind: str, name: str, expression: str) -> None:
    """A fraction in any integer argument of any kind is met by exactly those numbers that can be built."""
    axes, before = BEFORE.get(kind, ("CHW", ""))
    expression = expression.replace("x.C", "12" if axes == "T" else "x.C")
    required = (other for other, argument in REGISTRY[kind].arguments().items() if argument.required)
    given = {other: str(REQUIRED[other]) for other in required if other in REQUIRED} | MORE.get((kind, name), {})
    given[name] = f"({expression})"
    call = " ".join([TENSORS.get(kind, kind), *(f"{key}={value}" for key, value in given.items())])
    sizes = ", ".join(f"{axis}: {SIZES.get(axis, 16)}" for axis in axes)
    before = before.format(**{"stride": "1", "padding": "0", "dilation": "1", **given})
    lines = [
        f"input: {{{sizes}}}",
        "hparams: {c: sym}",
        "layers:",
        *([f"  - {before}"] if before else []),
        f"  - {call}",
    ]
    undecided = {("adaptive_avgpool", "output_size"): "c/3 c-2", ("window_attention", "shift"): "c-2"}
    expected = "undecided" if expression in undecided.get((kind, name), "").split() else "compared"
    assert expected == check("\n".join(["archcalc: 1", "name: arguments", *lines]) + "\n")


@pytest.mark.parametrize("number", range(2 * len(REGISTRY)))
def test_random_specs(number: int) -> None:
    """Random specs over all kinds; `python -m tests.fuzz_conditions` checks thousands."""
    check(example(10, number))


def _random_size(draw: random.Random, depth: int = 2) -> Any:
    """A size as layers make them: floors, maxima, sums and products of H and W."""
    if depth == 0:
        return draw.choice([H, W, H + 1, 2 * W, W + H])
    a, b = _random_size(draw, depth - 1), _random_size(draw, depth - 1)
    step = draw.choice(["floor", "max", "sum", "product", "same"])
    if step == "floor":
        return floor_div(a + draw.randint(-2, 2), draw.randint(2, 4))
    return {"max": maximum(draw.randint(1, 3), a), "sum": a + b, "product": a * b, "same": a}[step]


def test_what_always_holds_is_no_condition() -> None:
    """A condition on two sizes that is left out holds for all sizes that the bounds allow; obvious ones are left out."""
    draw, left_out = random.Random(7), 0
    for _ in range(150):
        a, b = _random_size(draw), _random_size(draw)
        relation = draw.choice(["<=", ">=", "=="])
        other = draw.choice([b, draw.randint(0, 9), a - b + draw.randint(0, 3)])
        condition = Condition(maximum(1, a) if relation == "==" else a * b, relation, a if relation == "==" else other)
        least = {H: draw.randint(1, 3), W: draw.randint(1, 3)}
        bounds = [Condition(symbol, ">=", low) for symbol, low in least.items()]
        if len(condition.symbols) < 2 or condition in _without_redundant([*bounds, condition]):
            continue
        left_out += 1
        for h, w in product(range(5), repeat=2):
            assert condition.holds({"H": least[H] + h, "W": least[W] + w}), (str(condition), least)
    assert left_out > 20
    tight = Condition(2, "<=", 4 * floor_div(H, 2) * floor_div(W, 2))
    assert tight in _without_redundant([tight])
    assert [] == _without_redundant([Condition(H, ">=", 2), Condition(W, ">=", 2), tight])[2:]


def test_a_gate_needs_nothing() -> None:
    """EfficientNet's gates agree at every size: no condition is made of max(1, floor(H/2 + 1/2)), which is no maximum."""
    network = load("efficientnet_b0")
    assert () == tuple(opened(network, ["H", "W"]).graph.conditions)
    for size in (1, 2, 3, 5, 8):
        assert network.build(sizes={"H": size, "W": size + 1})
