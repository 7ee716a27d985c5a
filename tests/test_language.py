"""The spec language: names, scopes, loops, variants, references, and what each form expands to."""

from pathlib import Path
from typing import Any

import pytest

from archcalc import analyze
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.language.reader import load_spec
from archcalc.layers.conv import Conv
from archcalc.questions.contradictions import claim_findings
from archcalc.questions.judging import verdicts_on
from archcalc.symbolic import dim
from archcalc.zoo import load
from tests.helpers import HEAD, graph_of, names_of, spec_of
from tests.test_errors import refused

EXAMPLES = {path.stem: path for path in (Path(__file__).parent / "examples").glob("*.yaml")}
"""The examples with which the language was designed, letter by letter."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_load_expand_and_satisfy_their_claims(name: str) -> None:
    """Each example builds in every variant, and every figure it claims is the computed one."""
    spec = load_spec(EXAMPLES[name])
    for variant in spec.variants or ("",):
        assert build(spec, variant).nodes
    verdicts = verdicts_on(spec)
    assert {"holds"} == {v.verdict for v in verdicts} or (name, []) == ("densenet", list(verdicts))


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("layers: conv 4 3x3 -> relu -> conv 4 3x3\n", ["conv", "relu", "conv_2"]),
        ("layers: [a: conv 4 3x3 -> relu]\n", ["a/conv", "a/relu"]),
        ("layers: [a: conv 4 3x3]\n", ["a"]),
        ("layers: [a: [conv 4 3x3]]\n", ["a/conv"]),
        ("layers: (conv 4 3x3 -> relu)*2\n", ["1/conv", "1/relu", "2/conv", "2/relu"]),
        ("layers: (relu)*2 -> (tanh)*2\n", ["1", "2", "3", "4"]),
        ("layers: (relu -> tanh) -> elu\n", ["relu", "tanh", "elu"]),
        ("layers:\n  - c{i}: {for: {i: 2..4}, do: relu}\n", ["c2", "c3", "c4"]),
        ("layers:\n  - c: {for: {i: 2..4}, do: relu}\n", ["c/1", "c/2", "c/3"]),
        ("layers:\n  for: {i: 1..2}\n  do: [b: relu, tanh]\n", ["1/b", "1/tanh", "2/b", "2/tanh"]),
        ("layers:\n  residual: relu\n", ["body", "add"]),
        ("layers:\n  - residual: relu\n  - residual: tanh\n", ["body", "add", "body_2", "add_2"]),
        ("layers:\n  residual: relu -> tanh\n  shortcut: elu\n", ["body/relu", "body/tanh", "shortcut", "add"]),
        ("layers:\n  concat: [relu, tanh -> elu]\n", ["a", "b/tanh", "b/elu", "concat"]),
        ("layers:\n  - m: {concat: {left: relu, right: tanh}}\n", ["m/left", "m/right", "m/concat"]),
        ("blocks:\n  b(): relu -> tanh\nlayers: b -> b\n", ["b/relu", "b/tanh", "b_2/relu", "b_2/tanh"]),
        ("blocks:\n  b(): relu\nlayers: [a: b]\n", ["a/relu"]),
        ("layers: relu if x.C > 3 -> tanh if x.C == 3\n", ["tanh"]),
        ("layers: {if: x.C == 3, then: relu, else: tanh}\n", ["relu"]),
        ("layers: {if: x.C != 3, then: relu}\n", []),
        ("layers: {for: {i: 1..0}, do: relu}\n", []),
        ("layers: [a: {op: conv, out_channels: 4, k: 3, note: long form}]\n", ["a"]),
        ("layers: [relu, {residual: tanh, from: input}]\noutputs: [relu, add]\n", ["relu", "body", "add"]),
    ],
)
def test_names(layers: str, names: list[str]) -> None:
    """Every layer's name follows from where it stands in the spec."""
    assert names == names_of(graph_of(layers))


def test_a_name_is_its_scopes_output() -> None:
    """`a` is what leaves `a`, and its parameters are the sum of what is in it."""
    graph = graph_of("layers:\n  - a: conv 4 3x3 -> relu\n  - b: from a -> maxpool 2\n")
    assert "a/relu" == graph["a"].name
    assert [graph.places["a"]] == list(graph["b"].inputs)
    assert 112 == analyze(graph).total("params", "a")


def test_references_look_outward_but_not_out_of_a_block() -> None:
    """A path is looked up from the innermost scope outward; a block sees its own names and what it is given."""
    graph = graph_of(
        "blocks:\n  back(skip): up = 2\n".replace("up = 2", "tconv 3 2x2 s=2 -> crop like=@skip")
        + "layers:\n  - a: relu\n  - b: {for: {i: 1..2}, do: [maxpool 2, back skip=@a]}\n"
    )
    assert graph.places["a"] in graph["b/2/back/crop"].inputs
    with pytest.raises(Exception, match="E071 no layer named 'a'"):
        graph_of("blocks:\n  b(): from a -> relu\nlayers: [a: relu, c: b]\n")


def test_in_is_the_blocks_input() -> None:
    """`in` and `in.C` mean the tensor that entered the block."""
    graph = graph_of("blocks:\n  b(): conv 8 1x1 -> conv in.C 1x1 -> from in -> relu\nlayers: b\n")
    assert 3 == graph["b/conv_2"].shape.C
    assert (0,) == graph["b/relu"].inputs


def test_loops_zip_and_unpack() -> None:
    """Lists are walked together, rows are taken apart, and lists may come from hparams and functions."""
    graph = graph_of(
        "hparams: {rows: [[8, 1], [16, 2]]}\n"
        'layers:\n  - l{i}: {for: {i: reverse(1..2), "c s": rows}, do: conv c 3x3 s=s p=half}\n'
    )
    assert ["l2", "l1"] == names_of(graph)
    assert [(node.shape.C, node.shape.H) for node in graph.nodes[1:]] == [(8, 32), (16, 16)]


def test_scalars_are_read_by_context() -> None:
    """What YAML 1.1 would turn into something else stays what it looks like."""
    graph = graph_of("hparams: {on: 010}\nlayers: [no: conv on 3x3]\n")
    assert 10 == graph["no"].shape.C


@pytest.mark.parametrize(
    ("call", "layer"),
    [
        ("conv 64 3x3", Conv(64, (3, 3))),
        ("conv 64 3 s=2 p=1", Conv(64, 3, stride=2, padding=1)),
        ("conv 64 3 stride=2 padding=1", Conv(64, 3, stride=2, padding=1)),
        ("conv 64 kernel_size=3 dilation=2", Conv(64, 3, dilation=2)),
        ("conv 64 5x1 p=2x0", Conv(64, (5, 1), padding=(2, 0))),
        ("conv 64 3 p=half", Conv(64, 3, padding="half")),
        ("conv 64 3 p=[0,1]", Conv(64, 3, padding=((0, 1),))),
        ("conv 64 3 p=[[0,1],[1,1]]", Conv(64, 3, padding=((0, 1), (1, 1)))),
        ("conv 64 3 bias=position", Conv(64, 3, bias="position")),
        ("conv 2*x.C+1 (4 if x.C > 9 else 3) g=1", Conv(7, 3)),
    ],
)
def test_calls(call: str, layer: Conv) -> None:
    """Arguments by position, by long and by short name; sizes per axis; padding in all its forms."""
    assert layer == graph_of(f"layers: {call}\n").nodes[1].layer


TOKENS = "archcalc: 1\nname: t\ninput: {C: 4, T: 8}\n"


def test_defaults_that_do_not_fit_are_told_at_the_call() -> None:
    """A step, and an item of a mixture, whose arguments have places of their own."""
    for layers in ("fc 4 -> topk 2", "{moe: fc 4, experts: 3, top: 2}"):
        with pytest.raises(SpecError, match="factor takes a number, not a symbol"):
            graph_of(f"hparams: {{b: sym}}\ndefaults: {{topk: {{factor: b}}}}\nlayers: {layers}\n", TOKENS)


def test_defaults_fill_in_what_a_call_leaves_out() -> None:
    """`defaults` give arguments to every layer of a kind; a call's own argument wins."""
    graph = graph_of("defaults: {conv: {p: half, bias: false}}\nlayers: conv 4 3 -> conv 4 3 p=0\n")
    assert [Conv(4, 3, padding="half", bias=False), Conv(4, 3, bias=False)] == [n.layer for n in graph.nodes[1:]]


def test_the_inputs_order_is_the_layout() -> None:
    """Sizes are printed in the order in which the spec writes the input's axes."""
    graph = graph_of("layers: conv 96 11x11 s=4\n", "archcalc: 1\nname: t\ninput: {H: 227, W: 227, C: 3}\n")
    assert "55x55x96" == analyze(graph).text(graph.nodes[1].shape)


def test_several_inputs() -> None:
    """The layers start from the first input; the others are reached by name."""
    graph = graph_of(
        "layers:\n  concat: [identity, from b]\n", "archcalc: 1\nname: t\ninputs: {a: {C: 3}, b: {C: 5}}\n"
    )
    assert 8 == graph["concat"].shape.C


def test_shared_weights_are_counted_once() -> None:
    """`tie` shares the weights of an earlier layer, which must have the same form."""
    head = "archcalc: 1\nname: t\ninput: {T: 4}\n"
    graph = graph_of("layers:\n  - wte: embed 10 8\n  - ln\n  - out: fc 10 bias=false tie=@wte\n", head)
    assert 80 + 16 == analyze(graph).total("params")
    with pytest.raises(Exception, match=r"E074 fc: can't share the weights of 'wte': 11x8 here, 10x8 there"):
        graph_of("layers:\n  - wte: embed 10 8\n  - out: fc 11 tie=@wte\n", head)


VARIANTS = (
    f"{HEAD}hparams: {{c: 4, twice: 2*c}}\nlayers: conv twice 3x3\n"
    "variants: {small: {}, big: {c: 8, as: [large, huge]}, bigger: {extends: big, c: 16}, same: {extends: big}}\n"
)


@pytest.mark.parametrize(("variant", "channels"), [("", 8), ("small", 8), ("big", 16), ("bigger", 32), ("same", 16)])
def test_variants(variant: str, channels: int) -> None:
    """A variant sets hparams, over those it extends; expressions follow; the first is the default."""
    assert channels == build(spec_of(VARIANTS), variant).nodes[1].shape.C


DEPENDENT = f"{HEAD}hparams: {{a: 2, b: 2*a, c: b, unread: {{value: 8, min: a, multiple_of: 4}}}}\nlayers: conv c 3x3\n"


@pytest.mark.parametrize(
    ("sets", "channels"),
    [
        ({"a": 4}, 8),
        ({"c": "b + 1", "a": 4}, 9),
        ({"a": 4, "c": "b + 1"}, 9),
        ({"c": "a", "a": "3", "b": "sym"}, 3),
        ({"c": "b", "b": "2*a + 1", "a": 5}, 11),
    ],
)
def test_values_from_outside_see_each_other(sets: dict[str, Any], channels: int) -> None:
    """In whatever order they are given, and through the values that follow from them."""
    assert channels == build(spec_of(DEPENDENT), "", sets).nodes[1].shape.C


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"unread": 6}, "unread = 6 is not a multiple of 4"),
        ({"unread": "0"}, "unread = 0 is less than its min, 2"),
        ({"unread": 4, "a": 5}, "unread = 4 is less than its min, 5"),
        ({"a": 5, "unread": 4}, "unread = 4 is less than its min, 5"),
        ({"a": 9}, "unread = 8 is less than its min, 9"),
        ({"a": "c"}, "hparam 'a' depends on itself"),
    ],
)
def test_bounds_hold_wherever_a_value_comes_from(sets: dict[str, Any], message: str) -> None:
    """In `--set`, in Python and in a claim's `at`, against bounds that follow from other values, read or not."""
    spec = spec_of(DEPENDENT)
    with pytest.raises((UsageError, SpecError), match=message):
        build(spec, "", sets)
    at = ", ".join(f"{name}: {value}" for name, value in sets.items())
    claimed = spec_of(f"{DEPENDENT}claims: [{{source: a talk, at: {{{at}}}, depth: 1}}]\n")
    assert ["E036"] == [found.code for found in claim_findings(claimed, ("",))]
    varied = spec_of(f"{DEPENDENT}variants: {{v: {{{at}}}}}\n")
    with pytest.raises(SpecError, match=message):
        build(varied, "v")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[8, 16]", ""),
        ("[8, 12]", r"w = \[8, 12\] is not a multiple of 8"),
        ("[[8, 16], [24, 30]]", "is not a multiple of 8"),
        ("[0]", "is less than its min, 8"),
        ("8..9", "is not a multiple of 8"),
        ("4x8", "w = 4x8 is less than its min, 8"),
        ("[]", ""),
        ("half", "unknown name 'half'"),
    ],
)
def test_bounds_of_lists_are_about_every_entry(value: str, message: str) -> None:
    """Deep ones too; the spec's own values and those from outside alike."""
    head = f"{HEAD}hparams: {{w: {{value: VALUE, min: 8, multiple_of: 8}}}}\nlayers: conv len(w)+1 3x3\n"
    for spec, sets in ((head.replace("VALUE", value), {}), (head.replace("VALUE", "[8]"), {"w": value})):
        if message:
            with pytest.raises((UsageError, SpecError), match=message):
                build(spec_of(spec), "", sets)
        else:
            assert build(spec_of(spec), "", sets).nodes


def test_values_from_outside() -> None:
    """`sets` are texts of the language, or values; what they can't be is a usage error."""
    spec = spec_of(VARIANTS)
    assert 10 == build(spec, "big", {"c": "2+3"}).nodes[1].shape.C
    assert "2*c" == str(build(spec, "big", {"c": "sym"}).nodes[1].shape.C)
    with pytest.raises(UsageError, match="t has no hparam 'k'"):
        build(spec, "big", {"k": 1})
    with pytest.raises(UsageError, match="unknown name 'nothing'"):
        build(spec, "big", {"c": "nothing"})
    with pytest.raises(UsageError, match="t has no variant 'tiny'"):
        build(spec, "tiny")


def test_using_another_spec(tmp_path: Path) -> None:
    """A used spec is spliced up to a named layer, works on whatever enters, and stays below the folder."""
    (tmp_path / "net.yaml").write_text(f"{HEAD}layers:\n  - a: conv 4 3x3\n  - b: relu\n  - c: tanh\n")
    text = f"{HEAD}use: {{trunk: {{spec: net.yaml, upto: b}}}}\nlayers: [features: trunk, conv 5 3x3]\n"
    graph = build(spec_of(text, tmp_path))
    assert ["features/a", "features/b", "conv"] == names_of(graph)
    with pytest.raises(Exception, match="E051"):
        build(spec_of(text.replace("upto: b", "upto: d"), tmp_path))
    with pytest.raises(Exception, match="E050"):
        spec_of(text.replace("net.yaml", "../net.yaml"), tmp_path)


def test_a_used_spec_has_no_symbols(tmp_path: Path) -> None:
    """Its k would be the same symbol as the using spec's, and nobody could give it a number."""
    (tmp_path / "net.yaml").write_text(
        f"{HEAD}hparams: {{k: sym}}\nvariants: {{a: {{}}, b: {{k: 4}}}}\nlayers: conv k 3x3\n"
    )
    text = f"{HEAD}hparams: {{k: sym}}\nuse: {{trunk: {{spec: net.yaml, variant: VARIANT}}}}\nlayers: [trunk, conv k 1x1]\n"
    with pytest.raises(SpecError, match="E106 hparam 'k' of a used spec must have a value"):
        build(spec_of(text.replace("VARIANT", "a"), tmp_path))
    graph = build(spec_of(text.replace("VARIANT", "b"), tmp_path))
    assert [3, 4, dim("k")] == [node.shape["C"] for node in graph.nodes]


def test_a_used_spec_takes_values(tmp_path: Path) -> None:
    """`at` gives its hparams values, in the user's names: numbers, lists, symbols, and other values to each use."""
    hparams = "hparams: {k: {value: sym, min: 2}, ds: [1], act: relu}"
    (tmp_path / "net.yaml").write_text(f"{HEAD}{hparams}\nlayers: [{{for: {{d: ds}}, do: conv k 3x3 p=d d=d}}, act]\n")
    text = (
        f"{HEAD}hparams: {{c: sym, d: 2}}\nblocks: {{end(): tanh -> sigmoid}}\nuse:\n"
        "  one: {spec: net.yaml, at: {k: c, ds: [1, d]}}\n"
        "  two: {spec: net.yaml, at: {k: 2*d, act: end}}\n"
        "layers: [one, two]\n"
    )
    graph = build(spec_of(text, tmp_path))
    kinds = ["conv c 3x3 p=1", "conv c 3x3 p=2 d=2", "relu", "conv 4 3x3 p=1", "tanh", "sigmoid"]
    assert kinds == [node.layer.text(2) for node in graph.nodes[1:]]
    assert () == graph.warnings
    cases = {
        "k: 1": r"t.yaml:8:33: E046 k = 1 is less than its min, 2",
        "k: sym": r"t.yaml:8:33: E106 hparam 'k' of a used spec must have a value",
        "k: kk": r"t.yaml:8:33: E090 unknown name 'kk'",
        "kk: 1": r"E043 'at' sets 'kk', which is no hparam of 'net.yaml'",
    }
    for given, message in cases.items():
        with pytest.raises(SpecError, match=message):
            build(spec_of(text.replace("k: 2*d, ", f"{given}, "), tmp_path))


def test_outputs_may_have_conditions() -> None:
    """An output with a condition is there when it holds; without a list the last layer is the output."""
    text = "hparams: {aux: false}\nlayers:\n  - a: relu\n  - b: tanh\noutputs: [b, a if aux]\n"
    assert ["b"] == list(graph_of(text).outputs)
    assert ["b", "a"] == list(graph_of(text.replace("aux: false", "aux: true")).outputs)
    assert ["b"] == list(graph_of("layers:\n  - a: relu\n  - b: tanh\n").outputs)


def test_each_merge_has_its_own_arguments() -> None:
    """Two merges of one kind, with and without an axis, are two different layers."""
    head = "archcalc: 1\nname: t\ninput: {T: 4, C: 3}\n"
    graph = graph_of(
        "layers:\n" + "  - {concat: [identity, identity], axis: T}\n  - {concat: [relu, relu]}\n" * 3, head
    )
    assert "TxC 32x24" == f"{'x'.join(graph.nodes[-1].shape)} {graph.nodes[-1].shape.text()}"


def test_copied_blocks_are_those_that_would_be_expanded() -> None:
    """A block called twice alike is copied; the graph is the one that writing everything out gives."""
    blocks = (
        "blocks:\n  unit(c):\n    - m:\n        residual: (conv c 3x3 p=1 -> relu)*2\n"
        "        shortcut: conv c 1x1 if x.C != c\n    - relu\n"
    )
    called = graph_of(f"{blocks}layers:\n  - stem: unit 8\n  - u{{i}}: {{for: {{i: 1..3}}, do: unit 8}}\n")
    # the pass's number as an argument makes every call a different one
    apart = graph_of(
        f"{blocks.replace('unit(c)', 'unit(c, i)')}layers:\n  - stem: unit 8 0\n"
        "  - u{i}: {for: {i: 1..3}, do: unit 8 i}\n"
    )
    as_told = [(node.name, str(node.layer), node.shape, node.inputs) for node in apart.nodes]
    assert [(node.name, str(node.layer), node.shape, node.inputs) for node in called.nodes] == as_told
    assert apart.places == called.places
    assert called["u2/m/body/1/conv"].application is called["u3/m/body/1/conv"].application


def test_a_net_of_a_hundred_and_twenty_thousand_layers_builds() -> None:
    """The limits leave room for CIFAR-120002: 6n+2 weight layers for n = 20,000, some 420,000 layers in all."""
    report = analyze(load("resnet:cifar").build(n=20_000))
    assert 120_002 == report.totals["depth"]
    per_n = 2 * (9 * (16**2 + 32**2 + 64**2) + 2 * (16 + 32 + 64))  # two 3x3 convolutions and norms for each stage
    assert per_n * 20_000 - 21_926 == report.totals["params"]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("a", "{add: [relu, from a -> sigmoid]}"),
        ("b", "{add: [relu, tanh -> elu, from b -> sigmoid]}"),
        ("a", "{mul: {left: {concat: [relu, tanh]}, right: {concat: [from a -> sigmoid, relu]}}}"),
        ("body", "[{residual: relu -> tanh}, from body -> sigmoid]"),
        ("shortcut", "[{residual: relu, shortcut: tanh}, from shortcut -> sigmoid]"),
        ("conv", "[conv 3 1x1, relu, from conv -> sigmoid]"),
        ("concat", "[{concat: [relu, tanh]}, from concat -> sigmoid]"),
        ("add", "[{residual: relu}, from add -> sigmoid]"),
    ],
)
def test_no_automatic_name_hides_one_that_the_spec_gives(name: str, inner: str) -> None:
    """A reference means what the spec calls so, though a nearer branch or step is called so automatically."""
    layers = f"layers:\n  - {name}: conv 8 3x3 p=1\n  - other: conv 8 3x3 p=1\n  - c: {inner}\n"
    built = graph_of(layers)
    reader = next(node for node in built.nodes if node.kind == "sigmoid")
    assert (built.places[name],) == reader.inputs


def test_arguments_mean_the_names_of_the_spec() -> None:
    """`like` and `tie` see names as `from` does."""
    cropped = graph_of("layers:\n  - conv: conv 8 3x3 p=1\n  - c: [conv 8 1x1 p=2, crop like=@conv]\n")
    assert cropped.places["conv"] == cropped.nodes[-1].inputs[1]
    tied = graph_of("layers:\n  - global_avgpool -> flatten\n  - fc: fc 3\n  - c: [fc 3, fc 3 tie=@fc]\n")
    assert tied.places["fc"] == tied.nodes[-1].tied


def test_a_nearer_name_of_the_spec_goes_first() -> None:
    """Of two names that the spec gives, the nearer one is meant, as everywhere."""
    built = graph_of("layers:\n  - a: conv 8 3x3 p=1\n  - c: {add: {a: relu -> tanh, b: from a}}\n")
    assert (built.places["c/a"], built.places["c/a"]) == built.nodes[-1].inputs


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("  - conv 8 3x3 p=1\n  - conv: conv 4 3x3\n", ["conv_2", "conv"]),
        ("  - concat: [identity, relu]\n  - a: conv 4 3x3\n", ["a_2", "b", "concat", "a"]),
        ("  - concat: [identity, {a: relu}]\n", ["a_2", "a", "concat"]),
        ("  - relu\n  - relu\n  - relu_2: relu\n", ["relu", "relu_3", "relu_2"]),
    ],
)
def test_automatic_names_leave_the_spec_its_own(layers: str, expected: list[str]) -> None:
    """A name that a sibling has further down is not taken automatically."""
    assert expected == names_of(graph_of(f"layers:\n{layers}"))


WRITTEN_OUT = {
    "a choice between steps": ("  - conv 4 3 -> relu if x.C == 4 else gelu\n", "  - conv 4 3 -> relu\n"),
    "the other step": ("  - conv 4 3 -> relu if x.C == 3 else gelu -> bn\n", "  - conv 4 3 -> gelu -> bn\n"),
    "a choice between groups": ("  - (bn -> relu) if false else (conv 4 3 -> bn)\n", "  - conv 4 3 -> bn\n"),
    "one of three": ("  - relu if x.C == 1 else gelu if x.C == 2 else silu\n", "  - silu\n"),
    "a choice has a step's name": ("  - a: relu if true else gelu\n", "  - a: relu\n"),
    "no choice": ("  - conv 4 3 -> (relu if x.C == 3 else (identity))\n", "  - conv 4 3 -> identity\n"),
    "a choice of a volume": ("  - a: relu\n  - from a if false else from input\n  - tanh\n",
                             "  - a: relu\n  - from input -> tanh\n"),
    "a volume's size": ("  - a: conv 4 3\n  - conv a.C+a.H 3\n", "  - a: conv 4 3\n  - conv 34 3\n"),
    "the input's size": ("  - conv 4 3 -> conv in.C in.H-2\n", "  - conv 4 3 -> conv 3 30\n"),
    "from the input": ("  - conv 4 3\n  - from in -> relu\n", "  - conv 4 3\n  - from input -> relu\n"),
    "a size in a name": ("  - conv 4 3\n  - a{x.C}: relu\n  - b{a4.C}: from a{x.C} -> bn\n",
                         "  - conv 4 3\n  - a4: relu\n  - b4: bn\n"),
    "names in brackets": ("  - {a<i>: {for: {i: 1..2}, do: relu}}\n  - add: [identity, from a<1>, from a<3-1> -> tanh]\n",
                          "  - a1: relu\n  - a2: relu\n  - add: [identity, from a1, from a2 -> tanh]\n"),
    "branches of a loop": (
        "  - a: conv 4 3\n  - b: conv 5 3 p=1\n  - concat: {for: {k: [1, 3]}, do: from a -> conv k k p=half}\n",
        "  - a: conv 4 3\n  - b: conv 5 3 p=1\n"
        "  - concat: [from a -> conv 1 1 p=half, from a -> conv 3 3 p=half]\n"),
    "named branches of a loop": (
        "  - add: {for: {i: 1..3}, do: {p<i>: conv 4 1}}\n",
        "  - add: {p1: conv 4 1, p2: conv 4 1, p3: conv 4 1}\n"),
    "branches in a loop": (
        "  - for: {j: 1..3}\n    do: {mul: {for: {i: 1..j}, do: conv 4 2*i-1 p=half}}\n",
        "".join(f"  - '{j}': {{mul: [{', '.join(f'conv 4 {2 * i - 1} p=half' for i in range(1, j + 1))}]}}\n"
                for j in (1, 2, 3))),
    "outputs of a loop": (
        "  - a<i>:\n      for: {i: 1..3}\n      do: conv 4 1\noutputs: {for: {i: 1..3}, do: a<i>}\n",
        "  - a1: conv 4 1\n  - a2: conv 4 1\n  - a3: conv 4 1\noutputs: [a1, a2, a3]\n"),
    "some outputs of a loop": (
        "  - a<i>:\n      for: {i: 1..3}\n      do: conv 4 1\noutputs: [input, {for: {i: 1..3}, do: a<i> if i != 2}]\n",
        "  - a1: conv 4 1\n  - a2: conv 4 1\n  - a3: conv 4 1\noutputs: [input, a1, a3]\n"),
}  # fmt: skip


@pytest.mark.parametrize("form", WRITTEN_OUT)
def test_a_form_means_what_is_written_out(form: str) -> None:
    """Choices, sizes of volumes, and branches and outputs of loops are the same graph as without them."""
    short, long = (graph_of(f"layers:\n{layers}") for layers in WRITTEN_OUT[form])
    assert long.nodes == tuple(
        node._replace(mark=other.mark) for node, other in zip(short.nodes, long.nodes, strict=True)
    )
    assert (long.outputs, long.places) == (short.outputs, short.places)


@pytest.mark.parametrize(
    ("layers", "code", "message"),
    [
        ("  - conv a.C 3\n  - a: relu\n", "E071", "no layer named 'a' before this point"),
        ("  - a: relu\n  - conv a.T 3\n", "E092", "'a' has no axis T; it is 3x32x32 (C,H,W)"),
        ("  - a: relu\n  - conv a.Q 3\n", "E092", "unknown axis 'Q'"),
        ("  - concat: {for: {i: 1..0}, do: relu}\n", "E018", "a loop without passes makes no branches"),
        ("  - concat: {for: {i: 1..2}, do: {p: relu}}\n", "E072", "two siblings are called 'p'"),
        ("  - concat: {for: {i: 1..2}, to: relu}\n", "E010", "'do' is missing"),
        ("  - relu\noutputs: {for: {i: 1..2}, do: a<i>}\n", "E071", "no layer named 'a1' before this point"),
        ("  - relu\noutputs: {for: {i: 1..2}, do: [a]}\n", "E012", "an output is a path"),
        ("  - relu if true else rellu\n", "E080", "unknown layer kind 'rellu'"),
        ("  - relu if true else conv widht 3\n", "E090", "unknown name 'widht'"),
    ],
)
def test_what_is_wrong_with_such_forms(layers: str, code: str, message: str) -> None:
    """Wrong sizes, branches, outputs and choices are told where they stand."""
    found = refused(f"{HEAD}layers:\n{layers}")[0]
    assert (code, message) == (found.code, found.message)


def test_a_size_after_an_error_is_no_second_error() -> None:
    """What depends on a volume that couldn't be built is left out, in names, arguments and conditions alike."""
    layers = "  - a: conv 4 99\n  - conv a.C 3\n  - b{x.C}: relu\n  - from a -> (relu if x.C == 3 else conv a.H 1)\n"
    found = refused(f"{HEAD}layers:\n{layers}")
    assert ["E204"] == [each.code for each in found]


def test_one_unknown_name_is_one_error() -> None:
    """A name that nothing has is reported once, with the other lines that have it."""
    layers = "  - conv widht 3\n  - rellu\n  - conv widht 1 -> rellu\n  - conv 4 widht\n"
    found = refused(f"{HEAD}layers:\n{layers}")
    assert [("E090", 5, ("also at line 7, 8",)), ("E080", 6, ("also at line 7",))] == [
        (each.code, each.mark.line if each.mark else 0, each.details) for each in found
    ]


def test_blocks_see_no_sizes_around_their_calls() -> None:
    """A block sees the size of what it's given, and of what is in it, and nothing else; nor do its defaults."""
    blocks = "blocks:\n  good(t): [a: conv t.C 3, conv a.H 1]\n  bad(): conv stem.C 1\n  worse(c=stem.C): conv c 1\n"
    text = blocks + "layers:\n  - stem: conv 5 3\n  - {}\n"
    assert [3, 5, 5, 28] == [node.shape.C for node in graph_of(text.format("good @stem")).nodes]
    for call, code in (("bad", "E071"), ("worse", "E092")):
        assert code in [found.code for found in refused(HEAD + text.format(call))]
