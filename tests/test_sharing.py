"""Weights that several places of a network use: they are held once, and multiply everywhere."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.graph import Application, Graph, Node
from archcalc.layers import Layer
from archcalc.questions.changes import Kind, changes
from archcalc.shape import Shape
from archcalc.symbolic import Dim, dim
from tests.helpers import HEAD, graph_of, imported, spec_of
from tests.layer_cases import CASES
from tests.random_loops import Loops

HELD = ("params", "weights", "biases", "buffers")


def _with_copies(graph: Graph, copies: dict[str, Dim]) -> Graph:
    """The graph whose layers of these names hold so many sets of weights."""
    nodes = []
    for node in graph.nodes:
        at = node.application
        at = Application(at.layer, at.input_shapes, at.output_shape, copies.get(node.name, 1))
        nodes.append(node._replace(application=at))
    return replace(graph, tree=Graph.of(graph.name, nodes, graph.scopes, graph.outputs).tree)


@pytest.mark.parametrize("copies", [0, 1, 5, dim("E")])
def test_every_count_of_scalars_is_multiplied_by_the_copies(copies: Dim) -> None:
    """Params, weights, biases and buffers, of the layer, its rows, and the totals; multiply-adds and volumes are not."""
    alone = graph_of("layers: [a: conv 4 3x3, b: bn, c: conv 4 3x3]\n")
    one = archcalc.analyze(alone)
    found = archcalc.analyze(_with_copies(alone, {"b": copies, "c": copies}))
    for name in HELD:
        assert [copies * one[each][name] for each in "bc"] == [found[each][name] for each in "bc"], name
        assert one["a"][name] + copies * (one["b"][name] + one["c"][name]) == found.totals[name], name
    for name in ("macs", "activations", "neurons", "connections", "saved_bytes", "depth"):
        assert one.totals[name] == found.totals[name], name


def test_copies_are_part_of_what_an_application_is() -> None:
    """Equality, hash, pickle and text know of them."""
    at = graph_of("layers: conv 4 3x3\n").nodes[-1].application
    none = Application(at.layer, at.input_shapes, at.output_shape, 0)
    assert at != none
    assert none == pickle.loads(pickle.dumps(none))
    assert hash(none) == hash(pickle.loads(pickle.dumps(none)))
    assert 2 == len({at, none})
    assert "Application(conv 4 3x3: 3x32x32 -> 4x30x30, 0 copies)" == repr(none)


def test_formulas_and_records_count_the_copies() -> None:
    """A layer's formulas give what its row has, and JSON has the same."""
    graph = _with_copies(graph_of("layers: [a: conv 4 3x3, c: conv 4 3x3]\n"), {"c": 3})
    report = archcalc.analyze(graph)
    formulas = archcalc.formula(graph, "c").at()
    for name in ("params", "weights", "biases"):
        assert report["c"][name] == formulas[name]
    rows = json.loads(report.to("json"))["layers"]
    assert [0, 112, 3 * 148] == [row["params"] for row in rows]
    assert Node("c", graph["c"].application, (1,)).application.held("params") == 3 * 148


# --- modules ----------------------------------------------------------------------------------------------------------

TOWER = "modules:\n  tower(c): conv c 3x3 p=1 bias=false -> bn -> relu -> conv c 3x3\n"
SIAMESE = f"""archcalc: 1
name: siamese
inputs: {{left: {{C: 3, H: 12, W: 12}}, right: {{C: 3, H: 8, W: 8}}}}
{TOWER}layers:
  - a: tower 4 -> global_avgpool
  - b: from right -> tower 4 -> global_avgpool
  - both: {{add: [from a, from b]}}
"""
LEVELS = """archcalc: 1
name: levels
input: {C: 4, H: 16, W: 16}
modules:
  head(n): (conv 4 3x3 p=1 -> relu)*3 -> conv n 3x3 p=1
layers:
  - p3: conv 4 3x3 s=2 p=1
  - p4: conv 4 3x3 s=2 p=1
  - c{i}: {for: {i: 3..4}, do: "from p{i} -> head 5"}
  - b{i}: {for: {i: 3..4}, do: "from p{i} -> head 2"}
outputs: [c3, c4, b3, b4]
"""
ALBERT = """archcalc: 1
name: albert
hparams: {n: 4}
input: {T: 5, C: 8}
modules:
  layer(): [{residual: attention 2}, ln, {residual: fc 16 -> gelu -> fc 8}, ln]
layers: (layer)*n
"""


def _shared(graph: Graph) -> dict[str, str]:
    """The layers that use the weights of others, and whose."""
    nodes = graph.nodes
    return {node.name: nodes[node.tied].name for node in nodes if node.reuses and node.tied is not None}


def _by_hand(name: str) -> "tuple[object, object]":
    """The network as one writes it in PyTorch, its modules called several times; and archcalc's, with its weights."""
    import torch
    from torch import nn

    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            steps = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)
            self.tower = nn.Sequential(*steps)

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            a, b = self.tower(left), self.tower(right)
            return a.mean((2, 3), keepdim=True) + b.mean((2, 3), keepdim=True)

    class Levels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p3, self.p4 = (nn.Conv2d(4, 4, 3, stride=2, padding=1) for _ in range(2))
            self.classes, self.boxes = self.head(5), self.head(2)

        def head(self, n: int) -> nn.Module:
            steps = [step for _ in range(3) for step in (nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())]
            return nn.Sequential(*steps, nn.Conv2d(4, n, 3, padding=1))

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            p3 = self.p3(x)
            p4 = self.p4(p3)
            return {"c3": self.classes(p3), "c4": self.classes(p4), "b3": self.boxes(p3), "b4": self.boxes(p4)}

    class Albert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, 0, "gelu", batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(4):
                x = self.layer(x)
            return x

    texts = {"siamese": (SIAMESE, Siamese), "levels": (LEVELS, Levels), "albert": (ALBERT, Albert)}
    text, made = texts[name]
    return made(), build(spec_of(text))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["siamese", "levels", "albert"])
def test_a_module_is_what_pytorch_calls_several_times(name: str) -> None:
    """Parameters, buffers, multiply-adds; outputs and running means in training, of both the module and the program."""
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from archcalc.pytorch.saved import FUSED_FLOPS
    from archcalc.pytorch.source.writer import torch_code

    torch.manual_seed(0)
    theirs, graph = _by_hand(name)
    assert isinstance(theirs, nn.Module)
    assert isinstance(graph, Graph)
    report = archcalc.analyze(graph)
    for own in (archcalc.to_torch(graph), imported(torch_code(graph))()):
        sizes = [sum(p.numel() for p in net.parameters()) for net in (theirs, own)]
        assert sizes == [report.total("params")] * 2
        statistics = [[b for b in net.buffers() if b.is_floating_point()] for net in (theirs, own)]
        assert [sum(map(torch.numel, each)) for each in statistics] == [report.total("buffers")] * 2
        with torch.no_grad():
            if name == "albert":
                _copy_encoder_layer(theirs.layer, own)
            else:
                for mine, yours in zip(own.parameters(), theirs.parameters(), strict=True):
                    mine.copy_(yours)
        inputs = [torch.randn(2, *node.shape.values()) for node in graph.inputs]
        before = [b.clone() for b in statistics[0]]
        found = own(*inputs)
        with FlopCounterMode(display=False, custom_mapping=FUSED_FLOPS) as counter:
            expected = theirs(*inputs)
        if name != "albert":  # PyTorch has a fused kernel for whole encoder layers
            assert counter.get_total_flops() == 2 * report.total("flops")
        for key in expected if isinstance(expected, dict) else [None]:
            one, other = (each if key is None else each[key] for each in (expected, found))
            torch.testing.assert_close(other, one)
        for one, other in zip(*statistics, strict=True):
            torch.testing.assert_close(other, one)
        for now, first in zip(statistics[0], before, strict=True):
            now.copy_(first)


def _copy_encoder_layer(theirs: "object", own: "object") -> None:
    """PyTorch's encoder layer into one of ours, by the order of their parameters."""
    import torch

    layer = theirs.state_dict()  # type: ignore[attr-defined]
    projections = [
        *zip(
            *(part.chunk(3) for part in (layer["self_attn.in_proj_weight"], layer["self_attn.in_proj_bias"])),
            strict=True,
        )
    ]
    values: list[torch.Tensor] = [each for pair in projections for each in pair]
    values += [layer[f"self_attn.out_proj.{part}"] for part in ("weight", "bias")]
    values += [
        layer[f"{name}.{part}"] for name in ("norm1", "linear1", "linear2", "norm2") for part in ("weight", "bias")
    ]
    for mine, yours in zip(own.parameters(), values, strict=True):  # type: ignore[attr-defined]
        mine.copy_(yours)


@pytest.mark.torch
def test_exported_code_has_one_attribute_that_is_called_several_times() -> None:
    """Where the calls stand side by side; elsewhere one object is assigned to both places."""
    from archcalc.pytorch.source.writer import torch_code

    code = torch_code(build(spec_of(LEVELS)))
    assert 2 == code.count("self.head(")
    assert 2 == code.count("self.head_2(")
    code = torch_code(build(spec_of(ALBERT)))
    assert "for _ in range(4):\n            x = self.layer(x)" in code
    assert "self.b[0] = self.a[0]" in torch_code(build(spec_of(SIAMESE)))


def test_the_number_of_passes_may_be_a_symbol() -> None:
    """ALBERT's parameters don't depend on its depth; every other total is that of each depth."""
    spec = spec_of(ALBERT)
    formulas = archcalc.formula(build(spec, hparams={"n": dim("n")}))
    for n in range(21):
        totals = archcalc.analyze(build(spec, hparams={"n": n})).totals
        if n == 0:
            assert 0 == totals["params"]
            continue
        found = formulas.at(n=n)
        assert {name: totals[name] for name in found} == found
    assert not getattr(formulas["params"], "free_symbols", set())
    many = archcalc.analyze(build(spec, hparams={"n": 10**9}))
    assert (formulas["params"], 10**9 * 2960) == (many.total("params"), many.total("macs"))


SCOPES = {
    "equal arguments, wherever": (
        "m(c): conv c 1x1",
        "[a: m 3, b: {x: {y: m 3}}, c: m c=3, d: {add: [m 3, identity]}]",
        1,
    ),
    "other arguments": ("m(c, k=1): conv c k p=half", "[a: m 3, b: m 3 3, c: m 3 k=1, d: m 3 k=3]", 2),
    "in a loop": ("m(): conv 3 1x1", "{for: {i: 1..9}, do: [relu, m]}", 1),
    "in a loop within a loop": (
        "m(): conv 3 1x1",
        "{for: {i: 1..3}, do: [{for: {j: 1..3}, do: m}, bn affine=false]}",
        1,
    ),
    "once for each value": ("m(c): conv 3 c p=half", "{for: {i: [1, 3, 1, 3, 5]}, do: m i}", 3),
    "in a module": ("m(): conv 3 1x1\n  two(): m -> m", "[two, m, {a: two}]", 1),
    "in a block": ("m(): conv 3 1x1", "[b, b, {a: b}, m]\nblocks:\n  b(): relu -> m -> bn affine=false", 1),
    "by the name of an hparam": ("m(): conv 3 1x1", "[what, m, what]\nhparams: {what: m}", 1),
    "nothing to share": ("m(): relu", "[m, m]", 0),
    "the inner one first": ("m(): conv 3 1x1\n  two(): m -> conv 3 1x1", "[m, two, {a: two}, m]", 2),
}


@pytest.mark.parametrize(("modules", "layers", "sets"), SCOPES.values(), ids=SCOPES)
def test_one_module_in_the_whole_network(modules: str, layers: str, sets: int) -> None:
    """Calls with equal arguments have the weights of the first, in whatever they stand."""
    graph = graph_of(f"modules:\n  {modules}\nlayers: {layers}\n")
    convolutions = [node for node in graph.nodes if node.kind == "conv"]
    held = [node for node in convolutions if not node.reuses]
    assert sets == len(held)
    for node in convolutions:
        if node.reuses:
            assert node.tied is not None
            owner = graph.nodes[node.tied]
            assert (owner.layer, True) == (node.layer, node.tied < graph.nodes.index(node))
    assert list(graph.nodes) == [graph.tree.node(index) for index in range(len(graph))]
    assert sum(node.application.held("params") for node in held) == archcalc.analyze(graph).total("params")


def test_a_used_spec_has_modules_of_its_own(tmp_path: Path) -> None:
    """Each of its calls is another network; called by a module, it's one again."""
    head = "archcalc: 1\nname: inner\ninput: {C: 3, H: 8, W: 8}\n"
    (tmp_path / "inner.yaml").write_text(f"{head}modules:\n  m(): conv 3 1x1\nlayers: [{{a: m}}, {{b: m}}, {{c: m}}]\n")
    outer = f"{HEAD}use: {{net: {{spec: inner.yaml, upto: b}}}}\n"
    graph = build(spec_of(f"{outer}layers: [{{x: net}}, {{y: net}}]\n", tmp_path))
    assert {"x/b/conv": "x/a/conv", "y/b/conv": "y/a/conv"} == _shared(graph)
    graph = build(spec_of(f"{outer}layers: (net)*1000\n", tmp_path))
    assert 1000 * 12 == archcalc.analyze(graph).total("params")
    graph = build(spec_of(f"{outer}modules:\n  twin(): net\nlayers: [{{x: twin}}, {{y: twin}}]\n", tmp_path))
    assert 12 == archcalc.analyze(graph).total("params")
    assert "x/net/b/conv" == _shared(graph)["y/net/b/conv"]


REFUSED = {
    "weights of other shapes": ("m(): conv 8 3x3", "[{a: m}, {b: m}]", "conv 8 3x3 on 8x30x30 here, conv 8 3x3 on 3x32x32 there"),
    "another argument": ("m(): conv 3 (3 if x.H > 31 else 1)", "[{a: m}, {b: m}]", "conv 3 1x1 on 3x30x30 here, conv 3 3x3 on 3x32x32 there"),
    "another layer": ("m(): {if: x.H > 31, then: bn -> maxpool 2, else: ln -> maxpool 2}", "[{a: m}, {b: m}]", "ln on 3x16x16 here, bn on 3x32x32 there"),
    "fewer layers": ("m(): conv 3 3x3 -> relu if in.H > 31", "[{a: m}, {b: m}]", "nothing more here, relu on 3x30x30 there"),
    "tied to something else": ("m(t): tconv 3 1x1 tie=@t", "[{s: conv 3 1x1}, {t: conv 3 1x1}, {a: m @s}, {b: m @t}]", "its layers are tied to others here"),
}  # fmt: skip


@pytest.mark.parametrize(("modules", "layers", "why"), REFUSED.values(), ids=REFUSED)
def test_weights_that_do_not_fit_are_refused(modules: str, layers: str, why: str) -> None:
    """The error names both places."""
    with pytest.raises(SpecError) as caught:
        graph_of(f"modules:\n  {modules}\nlayers: {layers}\n")
    (error,) = [each for each in caught.value.diagnostics if each.severity == "error"]
    assert ("E076", f"can't use the weights of 'a' again: {why}") == (error.code, error.message)
    assert ("first called at line 6",) == error.details


def test_layers_without_weights_may_differ() -> None:
    """What only follows from sizes may be another argument on another volume."""
    graph = graph_of("modules:\n  m(): conv 3 3x3 p=1 -> avgpool x.H -> dropout x.H/100\nlayers: [{a: m}, {b: m}]\n")
    assert {"b/conv": "a/conv"} == _shared(graph)


def test_arguments_from_outside_are_those_of_all_calls() -> None:
    """One that's given to the layer of one call alone is refused."""
    spec = spec_of(f"{HEAD}modules:\n  m(): conv 3 3x3\nlayers: [{{a: m}}, {{b: m}}]\n")
    graph = build(spec, hparams={"*/conv.bias": False})
    assert [0, 81, 0] == [node.application.held("params") for node in graph.nodes]
    for one in ({"a/conv.bias": False}, {"b/conv.kernel_size": 1}):
        with pytest.raises(SpecError, match="E076"):
            build(spec, hparams=one)


def test_tables_records_and_golden_values_say_whose_weights() -> None:
    """A layer of a later call is marked, and its owner is named for scripts."""
    graph = build(spec_of(SIAMESE))
    report = archcalc.analyze(graph)
    assert "conv 4 3x3 (shared)" in report.to("csv")
    assert "tower (2 calls; weights in a/tower)" in report.to("plain")
    step = archcalc.explain(graph, "b/tower/conv")["weights"]
    assert (0, ("the 108 of a/tower/conv are used again",)) == (step.value, step.sentences)
    rows = {row["name"]: row for row in json.loads(report.to("json"))["layers"]}
    assert "a/tower/bn" == rows["b/tower/bn"]["shares"]
    assert not [name for name, row in rows.items() if "shares" in row and not name.startswith("b/tower")]


def test_changes_say_that_weights_are_shared() -> None:
    """A module made of a block costs what its later calls held, layer by layer; the first call stays what it was."""
    before = archcalc.analyze(build(spec_of(ALBERT.replace("modules:", "blocks:"))))
    after = archcalc.analyze(build(spec_of(ALBERT)))
    found = changes(before, after)
    assert {(Kind.REWIRED, "weights of its own", f"all weights of {change.path}") for change in found} == {
        (change.kind, change.before, change.after) for change in found
    }
    assert {3} == {change.places for change in found}
    assert -3 * after.total("params") == sum(change.cost["params"] for change in found)


@pytest.mark.parametrize("seed", range(40))
def test_a_module_is_its_block_with_the_weights_counted_once(seed: int) -> None:
    """With blocks for modules, random networks have the same layers, volumes and bytes; what's shared is held once."""
    text = Loops(seed).text().replace("blocks:", "modules:", 1)
    try:
        found = build(spec_of(text))
    except SpecError:
        return
    plain = build(spec_of(text.replace("modules:", "blocks:", 1)))
    one, other = archcalc.analyze(plain), archcalc.analyze(found)
    held = 0
    for before, after in zip(plain.nodes, found.nodes, strict=True):
        assert (before.name, before.layer, before.inputs) == (after.name, after.layer, after.inputs)
        held += 0 if after.reuses else before.application.held("params")
    assert held == other.total("params")
    for name in ("macs", "activations", "saved_bytes", "least_bytes", "peak_bytes", "depth"):
        assert one.totals[name] == other.totals[name], name


def _cases() -> Iterator[tuple[Layer, tuple[Shape, ...]]]:
    for case in CASES:
        at = Application(case.layer, case.inputs, case.output)
        if at.held("params") or at.held("buffers"):
            yield case.layer, case.inputs


@pytest.mark.torch
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_parameter_sizes_tell_which_weights_have_other_shapes(data: st.DataObject) -> None:
    """On two volumes they're equal exactly where the shapes of the module's parameters and buffers are."""
    import torch

    layer, inputs = data.draw(st.sampled_from(list(_cases())))
    size = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24])
    others = tuple(Shape(**{axis: data.draw(size) for axis in shape}) for shape in inputs)
    try:
        layer.output_shape(*others)
    except archcalc.ArchcalcError:
        return
    with torch.device("meta"):
        shapes = [
            [tuple(each.shape) for each in (*module.parameters(), *module.buffers())]
            for module in (layer.torch_module(*volumes) for volumes in (inputs, others))
        ]
    sizes = [layer.parameter_sizes(*volumes) for volumes in (inputs, others)]
    assert (shapes[0] == shapes[1]) == (sizes[0] == sizes[1]), (layer, inputs, others, shapes)


# --- tables of positions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["buckets=8 max_distance=16", "relative=6"])
def test_attention_may_have_the_table_of_positions_of_another(table: str) -> None:
    """It has projections of its own, and the numbers of the table are counted where it is."""
    head = "archcalc: 1\nname: t\ninput: {T: 6, C: 16}\n"
    layers = f"[{{a: attention 4 {table}}}, {{b: attention 4 {table} tie=@a}}, {{c: attention 4 causal=true {table} tie=@a}}]"
    graph = graph_of(f"layers: {layers}\n", head)
    report = archcalc.analyze(graph)
    projections = 4 * 16 * 16
    numbers = 4 * (8 if "buckets" in table else 11)
    assert [projections + numbers, projections, projections] == [report[name]["weights"] for name in "abc"]
    assert [graph.places["a"]] * 2 == [graph[name].tied for name in "bc"]
    with pytest.raises(SpecError, match="E074"):
        graph_of(f"layers: [{{a: attention 4 {table}}}, {{b: attention 2 {table} tie=@a}}]\n", head)
    with pytest.raises(SpecError, match=r"E211.*tie is for a table of positions, and there.s none"):
        graph_of(f"layers: [{{a: attention 4 {table}}}, {{b: attention 4 tie=@a}}]\n", head)


@pytest.mark.torch
def test_tables_that_are_tied_are_one_parameter() -> None:
    """In the network and in the program, which are compared with each other."""
    from archcalc.pytorch.source.writer import torch_code

    head = "archcalc: 1\nname: t\ninput: {T: 6, C: 16}\n"
    graph = graph_of("layers: [a: attention 4 buckets=8, ln, b: attention 4 buckets=8 bias=false tie=@a]\n", head)
    report, network = archcalc.analyze(graph), archcalc.to_torch(graph)
    assert report.total("params") == sum(parameter.numel() for parameter in network.parameters())
    assert "self.b.core.positions.table.weight = self.a.core.positions.table.weight" in torch_code(graph)


def test_a_symbol_decides_which_module_is_called() -> None:
    """At n = 2 and 3 both calls are of one module, else of two: no formula is right for both."""
    text = """archcalc: 1
name: t
input: {C: 3, H: 8, W: 8}
hparams: {n: 5}
modules:
  head(k): conv 4 k p=half
layers: [stem: conv 4 1, from stem -> head n//2 -> head 1]
"""
    assert [36, 36, 104] == [
        archcalc.analyze(build(spec_of(text), hparams={"n": n})).totals["params"] for n in (2, 3, 4)
    ]
    with pytest.raises(SpecError, match=r"whether k=1 and k=floor\(n/2\) are one module depends on a symbol"):
        build(spec_of(text), hparams={"n": dim("n")})
