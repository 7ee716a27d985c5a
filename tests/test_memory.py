"""What autograd keeps and which volumes are alive at once: by hand, against PyTorch, in symbols."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from archcalc import Report, analyze
from archcalc.errors import UsageError
from archcalc.expand import build
from archcalc.formulas.symbols import opened
from archcalc.layers.kept import Kept, Width
from archcalc.pytorch import records
from archcalc.symbolic import dim
from archcalc.zoo import Architecture, load
from tests.helpers import graph_of, spec_of
from tests.layer_cases import CASES as ALL
from tests.layer_cases import Case

CASES = [case for case in ALL if not case.layer.is_opaque]
"""Those that can be run."""
BATCH = 2
WIDTHS = {Width.value: 4, Width.statistic: 4, Width.index: 8, Width.mask: 1}
"""Bytes of one number in float32."""


def report_of(layers: str, batch: int = 1, dtype: str = "float32") -> Report:
    """The report of a small spec whose input is 3x32x32."""
    return analyze(graph_of(layers), batch, dtype)


def saved(report: Report) -> dict[str, int]:
    """The bytes that each layer is the first to keep, without zeros."""
    return {row.node.name: row["saved_bytes"] for row in report.rows if row["saved_bytes"]}


# ---------------------------------------------------------------- by hand


def test_a_storage_counts_once() -> None:
    """The volume behind the relu is kept by the relu, by the pool and by nobody else again."""
    report = report_of("layers: [conv 4 3 p=1 -> relu -> maxpool 2 -> flatten -> fc 10]\n", batch=2)
    image, volume, pooled = 2 * 4 * 3 * 32 * 32, 2 * 4 * 4 * 32 * 32, 2 * 4 * 4 * 16 * 16
    places = 2 * pooled  # 8 bytes for each value of 4 bytes
    assert {"conv": image, "relu": volume, "maxpool": places, "fc": pooled} == saved(report)
    assert image + volume + places + pooled == report.total("saved_bytes") == report.totals["saved_bytes"]


def test_masks_and_statistics_have_their_own_widths() -> None:
    """In float16 a mask has one byte a value, and the statistics of batch normalisation have four."""
    report = report_of("layers: [a: conv 4 1, b: bn, c: dropout, d: conv 1 1]\n", dtype="float16")
    values = 4 * 32 * 32
    expected = {"a": 2 * 3 * 32 * 32, "b": 2 * values + 2 * 4 * 4, "c": values, "d": 2 * values}
    assert expected == saved(report)


@pytest.mark.parametrize(("tokens", "batch", "width", "heads"), [(64, 1, 64, 4), (8, 3, 96, 2)])
def test_a_transformer_layer_keeps_what_is_published(tokens: int, batch: int, width: int, heads: int) -> None:
    """Korthikanti et al. 2022 (arXiv 2205.05198): 34·s·b·h bytes in float16, where attention is computed again.

    They leave out statistics: mean and deviation of two norms, and a sum for each head, four bytes each.
    """
    layers = f"""archcalc: 1
name: t
input: {{T: {tokens}, C: {width}}}
layers:
  - residual: ln -> attention {heads} causal=true -> dropout 0.1
  - residual: ln -> fc 4*x.C -> gelu -> fc {width} -> dropout 0.1
"""
    statistics = tokens * batch * 4 * (2 * 2 + heads)
    published = 34 * tokens * batch * width
    assert published + statistics == analyze(build(spec_of(layers)), batch, "float16").total("saved_bytes")


def test_nothing_is_kept_where_no_gradient_flows() -> None:
    """In front of the first layer that learns, and of what leads to no output."""
    report = report_of(
        "layers: [gelu, first: conv 4 1, from first -> relu, from first -> conv 2 1]\noutputs: [first]\n"
    )
    assert {"first": 4 * 3 * 32 * 32} == saved(report)


def test_a_gate_keeps_what_the_other_factor_needs() -> None:
    """A product keeps a factor only for the gradient of the other one: the image has none."""
    report = report_of("layers: [a: from input -> conv 3 1, mul: [from a, from input]]\n")
    assert {"a": 4 * 3 * 32 * 32} == saved(report)  # the image again, for the product


def test_the_least_holds_a_shortcut_as_long_as_it_is_needed() -> None:
    """While the second convolution runs, the shortcut, its input and its output are alive."""
    report = report_of("layers: [stem: conv 4 1, residual: conv 4 1 -> relu -> conv 4 1]\n")
    volume = 4 * 4 * 32 * 32
    assert 3 * volume == report.total("least_bytes")
    assert 4 * 3 * 32 * 32 + volume == report.total("least_bytes", "stem")


def test_a_program_holds_its_input_to_the_end() -> None:
    """Besides what is needed, the image that the caller has: in VGG-16, and in front of a shortcut."""
    image, volume = 4 * 3 * 32 * 32, 4 * 4 * 32 * 32
    report = report_of("layers: [stem: conv 4 1, residual: conv 4 1 -> relu -> conv 4 1]\n")
    assert [image + 3 * volume, image + volume] == [report.total("peak_bytes"), report.total("peak_bytes", "stem")]
    vgg = analyze(load("vgg16").build())
    assert 2 * 64 * 224 * 224 * 4 == vgg.total("least_bytes")
    assert 2 * 64 * 224 * 224 * 4 + 3 * 224 * 224 * 4 == vgg.total("peak_bytes")


def test_a_layer_in_place_needs_room_if_its_input_is_read_again() -> None:
    """The relu can't take the volume over, since the sum reads both; nor can a tanh, which has no such form."""
    shared = report_of("layers: [a: conv 4 1, b: relu, add: [from a, from b]]\n")
    alone = report_of("layers: [a: conv 4 1, b: relu, c: tanh]\n")
    image, volume = 4 * 3 * 32 * 32, 4 * 4 * 32 * 32
    assert [3 * volume, volume + image] == [shared.total("least_bytes"), alone.total("least_bytes")]
    assert [image + 3 * volume, image + 2 * volume] == [shared.total("peak_bytes"), alone.total("peak_bytes")]


def test_a_scope_holds_what_it_reads_until_it_returns() -> None:
    """Norms have no form in place: at the second, its caller still has the volume that the scope began with."""
    chain = report_of("layers: [conv 4 1 -> bn -> bn -> bn]\n")
    scope = report_of("layers: [conv 4 1, body: bn -> bn -> bn]\n")
    image, volume = 4 * 3 * 32 * 32, 4 * 4 * 32 * 32
    assert [image + 2 * volume, image + 3 * volume] == [chain.total("peak_bytes"), scope.total("peak_bytes")]


def test_a_variable_stays_unless_the_step_that_reads_it_last_takes_it_over() -> None:
    """The sum takes over the first of what it reads; the second, b, is held to the end."""
    report = report_of("layers: [a: conv 4 1, b: from a -> conv 4 1, c: {add: [from a, from b]}, d: tanh, e: tanh]\n")
    image, volume = 4 * 3 * 32 * 32, 4 * 4 * 32 * 32
    held = [image, image + volume, image + 2 * volume, *[image + 3 * volume] * 3]
    assert held == [max(moments) for moments in report.placed("peak_bytes")]


def test_inputs_wait_and_outputs_stay() -> None:
    """The second input is there from the start, the first output to the end."""
    head = "archcalc: 1\nname: t\ninputs: {x: {C: 4}, y: {C: 8}}\n"
    text = "layers: [a: from x -> fc 2, b: from y -> fc 1]\noutputs: [a, b]\n"
    report = analyze(graph_of(text, head))
    assert [48, 48, 4 * (4 + 8 + 2), 4 * (8 + 2 + 1)] == report.placed("least_bytes")
    assert [(48,), (48,), (4 * (4 + 8 + 2),), (4 * (4 + 8 + 2 + 1),)] == report.placed("peak_bytes")


def test_token_numbers_have_eight_bytes() -> None:
    """They are 64-bit integers, whatever the dtype of the rest."""
    report = analyze(graph_of("layers: [embed 100 8]\n", "archcalc: 1\nname: t\ninput: {T: 5}\n"), dtype="float16")
    assert {"embed": 5 * 8} == saved(report)
    assert [5 * 8, 5 * 8 + 5 * 8 * 2] == report.placed("least_bytes")
    assert [(5 * 8,), (5 * 8 + 5 * 8 * 2,)] == report.placed("peak_bytes")


def test_what_is_made_of_token_numbers_has_eight_bytes_too() -> None:
    """A copy of them that leads to no embedding."""
    head = "archcalc: 1\nname: t\ninput: {T: 7}\n"
    report = analyze(graph_of("layers: [{a: {add: [identity]}}, z: from input -> embed 5 3]\n", head))
    assert [7 * 8, 7 * 8, 2 * 7 * 8, 7 * 8 + 4 * 7 * 3] == report.placed("least_bytes")
    assert [(7 * 8,), (7 * 8,), (2 * 7 * 8,), (7 * 8 + 4 * 7 * 3,)] == report.placed("peak_bytes")


def test_dcgans_discriminator_keeps_what_the_tutorials_code_keeps() -> None:
    """LeakyReLU(0.2, inplace=True) keeps its result, which the next convolution keeps as well."""
    assert 1_547_272 == analyze(load("dcgan_discriminator").build(), 2).total("saved_bytes")


def test_a_selected_token_keeps_all_of_them() -> None:
    """It's a view: as in torchvision's ViT-B/16, whose head reads one of 197 tokens of 768 features."""
    head = "archcalc: 1\nname: t\ninput: {T: 197, C: 768}\n"
    view, copy = (analyze(graph_of(f"layers: [ln -> select 0{more} -> fc 10]\n", head)) for more in ("", " copy=true"))
    assert [4 * 197 * 768, 4 * 768] == [report["fc"]["saved_bytes"] for report in (view, copy)]


def test_a_crop_keeps_what_it_is_cut_from() -> None:
    """The convolution keeps the volume that the relu keeps, and nothing more; flattened, a crop is copied."""
    report = report_of("layers: [conv 4 1 -> relu -> crop size=16 -> conv 2 1]\n")
    assert {"conv": 4 * 3 * 32 * 32, "relu": 4 * 4 * 32 * 32} == saved(report)
    report = report_of("layers: [conv 4 1 -> relu -> crop size=16 -> flatten -> fc 2]\n")
    assert 4 * 4 * 16 * 16 == saved(report)["fc"]


def test_a_part_of_a_volume_cannot_be_taken_over() -> None:
    """Working in place on one token, a layer would hold them all: a new token is less than the floor's old ones."""
    head = "archcalc: 1\nname: t\ninput: {T: 5}\n"
    report = analyze(graph_of("layers: [embed 9 4 -> select 0 -> sigmoid -> tanh]\n", head))
    numbers, tokens, token = 5 * 8, 5 * 4 * 4, 4 * 4
    assert [numbers, numbers + tokens, tokens, tokens + token, token] == report.placed("least_bytes")


def test_linear_layers_read_dense_tokens_of_regions() -> None:
    """A token of each region is copied for a linear layer, which takes regions as a batch; alone it's a view."""
    head = "archcalc: 1\nname: t\ninput: {{{}T: 5, C: 8}}\n"
    kept = [
        report["fc"]["saved_bytes"]
        for report in (
            analyze(graph_of("layers: [ln -> select 0 -> fc 10]\n", head.format(regions))) for regions in ("", "R: 3, ")
        )
    ]
    assert [4 * 5 * 8, 4 * 3 * 8] == kept


def test_integers_have_no_gradients() -> None:
    """With int8 there is no backward pass: saved bytes are null where all is listed, refused where they're asked for."""
    report = report_of("layers: [conv 4 1 -> relu -> conv 2 1]\n", dtype="int8")
    assert report.totals["saved_bytes"] is None
    assert {None} == {row["saved_bytes"] for row in report.rows}
    for ask in (lambda: report.total("saved_bytes"), lambda: report.over("saved_bytes", [1])):
        with pytest.raises(UsageError, match="int8 has no gradients: nothing is kept for a backward pass"):
            ask()
    assert [] == [line for line in repr(report).splitlines() if line.startswith("training")]
    assert any(line.startswith("training") for line in repr(report_of("layers: [conv 4 1]\n")).splitlines())


def test_narrow_types_are_not_autocast() -> None:
    """A table in bfloat16 says that everything is, which autocast isn't."""
    note = "all values and params in bfloat16; autocast, which keeps params and some results in float32, needs more"
    assert note in " ".join(repr(report_of("layers: [conv 4 1]\n", dtype="bfloat16")).split())
    assert "autocast" not in repr(report_of("layers: [conv 4 1]\n"))


@pytest.mark.parametrize("c", [1, 9, 10, 11, 20, 40, 60])
def test_a_symbolic_peak_is_the_peak_for_every_size(c: int) -> None:
    """Also where terms are negative, so that more of them is less."""
    head = "archcalc: 1\nname: t\ninput: {C: 1, T: 7}\nhparams: {c: 3}\n"
    layers = "layers: [a: fc 200+(10-c)//2, b: fc 200+(10-c)//2, d: fc 1, e: fc 200+3*((10-c)//2), f: fc 200+3*((10-c)//2), g: fc 1]\n"
    spec = spec_of(head + layers)
    for column in ("peak_bytes", "least_bytes"):
        symbolic = analyze(build(spec, "", {"c": "sym"})).total(column)
        assert analyze(build(spec, "", {"c": str(c)})).total(column) == symbolic.subs(dim("c"), c)


def test_peaks_of_long_symbolic_nets_are_not_compared_for_ever() -> None:
    """Thousands of volumes of different sizes: all of them stay, in no time."""
    layers = "layers: [{for: {i: 1..2000}, do: conv i+7 1}]\n"
    spec = spec_of("archcalc: 1\nname: t\ninput: {C: 3, H: 32, W: 32}\n" + layers)
    graph = opened(Architecture(spec, ""), ["H"]).graph
    started = time.process_time()
    assert len(analyze(graph).total("peak_bytes").args) > 1000
    assert time.process_time() - started < 5


def test_unknown_dtype() -> None:
    """An unknown dtype is wrong usage before any bytes are counted."""
    with pytest.raises(UsageError, match="unknown dtype 'float8'"):
        report_of("layers: [relu]\n", dtype="float8")


# ---------------------------------------------------------------- against PyTorch, kind by kind


def kept_bytes(case: Case, kept: Kept) -> int:
    """What a layer keeps, as bytes; its volumes are float32 numbers, or 64-bit tokens."""
    volume = {i: 4 * shape.numel for i, shape in enumerate(case.inputs)}
    if case.layer.kind == "embed":
        volume[0] *= 2
    total = sum(BATCH * volume[i] for i in kept.inputs) + kept.output * BATCH * 4 * case.output.numel
    return total + sum(e.amount * WIDTHS[e.width] * (BATCH if e.per_example else 1) for e in kept.extras)


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES, ids=str)
def test_autograd_keeps_what_the_kind_says(case: Case) -> None:
    """For every example row, and whichever of its inputs need a gradient."""
    torch = pytest.importorskip("torch", reason="autograd is PyTorch's")
    from archcalc.pytorch.saved import FusedKernels, SavedTensors

    layer = case.layer
    for needs in itertools.product([False, True], repeat=len(case.inputs)):
        module = layer.torch_module(*case.inputs)
        derived = [need for i, need in enumerate(needs) if i not in layer.sizes_only]
        if not any(derived) and not any(True for _ in module.parameters()):
            continue
        inputs = [
            torch.randint(3, (BATCH, *shape.values()))
            if layer.kind == "embed"
            else torch.rand(BATCH, *shape.values(), requires_grad=need)
            for shape, need in zip(case.inputs, needs, strict=True)
        ]
        found = SavedTensors((*module.parameters(), *module.buffers()))
        with found, FusedKernels():
            output = module(*(x * 1 if x.is_floating_point() else x for x in inputs))
        assert output.requires_grad
        expected = sum(found.bytes_by_layer().values())
        flows = tuple(need and layer.kind != "embed" for need in needs)
        view = layer.is_view(*case.inputs)
        assert (needs, expected) == (needs, 0 if view else kept_bytes(case, layer.kept(flows, *case.inputs)))


@pytest.mark.torch
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_modules_hold_what_their_kind_says(batch: int) -> None:
    """For every example row: beside what is read, the most that is alive at once while the module runs."""
    torch = pytest.importorskip("torch", reason="PyTorch is measured")
    from archcalc.pytorch.alive import peak_bytes

    for case in CASES:
        module = case.layer.torch_module(*case.inputs)
        sizes = [(batch, *shape.values()) for shape in case.inputs]
        inputs = tuple(torch.randint(3, s) if case.layer.kind == "embed" else torch.rand(s) for s in sizes)
        moments = case.layer.working(*case.inputs)
        most = max(sum(e.amount * WIDTHS[e.width] * (batch if e.per_example else 1) for e in m) for m in moments)
        made = 0 if case.layer.is_view(*case.inputs, training=False) else most
        assert (case, made) == (case, peak_bytes(module, inputs) - sum(x.nbytes for x in inputs))


@pytest.mark.torch
def test_what_reads_a_crop_as_it_lies_makes_no_copy() -> None:
    """For every example row on a volume: only modules of kinds that say so copy the part that they read."""
    torch = pytest.importorskip("torch", reason="PyTorch is measured")
    from archcalc.pytorch.alive import peak_bytes

    for case in CASES:
        x, *others = case.inputs
        if tuple(x)[:1] != ("C",) or not x.spatial or case.layer.is_view(*case.inputs, training=False):
            continue
        wide = torch.rand(BATCH, x.C, *(x[axis] + 2 for axis in x.spatial))
        part = wide[(..., *(slice(1, 1 + x[axis]) for axis in x.spatial))]
        inputs = (part, *(torch.rand(BATCH, *shape.values()) for shape in others))
        moments = case.layer.working(*case.inputs)
        most = max(sum(e.amount * WIDTHS[e.width] * (BATCH if e.per_example else 1) for e in m) for m in moments)
        held = sum(y.untyped_storage().nbytes() for y in inputs)
        found = peak_bytes(case.layer.torch_module(*case.inputs), inputs) - held
        assert (case, True) == (case, case.layer.needs_dense(x) or most == found)


@pytest.mark.torch
def test_overwriting_layers_keep_what_their_kind_says() -> None:
    """Those that plain code computes in place keep their result, or a copy of what they overwrite."""
    torch = pytest.importorskip("torch", reason="autograd is PyTorch's")
    from archcalc.pytorch.saved import SavedTensors

    for case in CASES:
        if case.layer.has_inplace():
            module, found = case.layer.torch_module(*case.inputs), SavedTensors(())
            module.inplace = True
            with found:
                output = module(torch.rand(BATCH, *case.inputs[0].values(), requires_grad=True) * 1)
            assert output.requires_grad
            expected = kept_bytes(case, case.layer.kept_in_place(*case.inputs))
            assert (case, expected) == (case, sum(found.bytes_by_layer().values()))


@pytest.mark.torch
def test_programs_of_random_specs_hold_what_is_predicted() -> None:
    """A few of the specs of `python -m tests.fuzz_memory`."""
    pytest.importorskip("torch", reason="PyTorch is measured")
    from tests.fuzz_memory import search

    assert search(25, 7) >= 25


# ---------------------------------------------------------------- what a device would measure, on the CPU


class TensorMeter:
    """Tells the bytes of living tensors, as an allocator without libraries would; looked at after each operation."""

    def __init__(self) -> None:
        from archcalc.pytorch.alive import MostLiving

        self.living = MostLiving()

    def now(self) -> int:
        """Bytes of what is alive."""
        return sum(self.living.bytes().values())

    def peak(self) -> int:
        """The most bytes alive at once."""
        return self.living.most

    def reset(self) -> None:
        """Start to look for the most anew."""
        self.living.most = self.now()

    def rounding(self) -> int:
        """Nothing is rounded."""
        return 0


@contextmanager
def metered() -> Iterator[TensorMeter]:
    """A meter at work, with dropout as on a device."""
    from archcalc.pytorch.saved import FusedKernels

    meter = TensorMeter()
    with meter.living, FusedKernels():
        yield meter


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "size"),
    [("lenet5_modern", 32), ("resnet20", 32), ("alexnet_torchvision", 224), ("densenet121", 64), ("vit_b_16", 64),
     ("deconvnet_layer1", 224)],
)  # fmt: skip
def test_measured_bytes_are_the_predicted_ones(name: str, size: int) -> None:
    """What the CUDA path measures, measured on the CPU: weights, inputs and what a forward pass leaves are exact.

    The peak is no less than predicted; PyTorch's layers aren't in place, and take more for a while.
    """
    pytest.importorskip("torch", reason="PyTorch is measured")
    from archcalc.pytorch.cuda import measured_bytes

    own = {"hparams": {"size": size}} if name.startswith("vit") else {"sizes": {"H": size, "W": size}}
    report = analyze(name, BATCH, **own)
    with metered() as meter:
        _, found = measured_bytes(report, "cpu", meter)
    expected = records.predicted_bytes(report)
    exact = ("weights", "input", "left_by_forward")
    assert {**{key: expected[key] for key in exact}, "workspace": 0} == {
        key: found[key] for key in (*exact, "workspace")
    }
    assert expected["peak_forward"] <= found["peak_forward"]
    assert expected["input"] + expected["left_by_forward"] < found["peak_training"]
