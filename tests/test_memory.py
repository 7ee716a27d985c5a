"""What autograd keeps and which volumes are alive at once: by hand, against PyTorch, in symbols."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from archcalc.errors import UsageError
from archcalc.expand import build
from archcalc.formulas.symbols import opened
from archcalc.layers.kept import Kept, Width
from archcalc.report import Report, analyze
from archcalc.symbolic import dim
from archcalc.verify import records
from archcalc.zoo import Architecture, load
from tests.helpers import graph_of, spec_of
from tests.layer_cases import CASES, Case

BATCH = 2


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


def test_peak_holds_a_shortcut_as_long_as_it_is_needed() -> None:
    """While the second convolution runs, the shortcut, its input and its output are alive."""
    report = report_of("layers: [stem: conv 4 1, residual: conv 4 1 -> relu -> conv 4 1]\n")
    volume = 4 * 4 * 32 * 32
    assert 3 * volume == report.total("peak_bytes")
    assert 4 * 3 * 32 * 32 + volume == report.total("peak_bytes", "stem")


def test_peak_of_vgg16() -> None:
    """conv1/2 reads and writes 64x224x224, in place of which nothing else is alive."""
    assert 2 * 64 * 224 * 224 * 4 == analyze(load("vgg16").build()).total("peak_bytes")


def test_a_layer_in_place_needs_room_if_its_input_is_read_again() -> None:
    """The relu can't take the volume over, since the sum reads both."""
    shared = report_of("layers: [a: conv 4 1, b: relu, add: [from a, from b]]\n")
    alone = report_of("layers: [a: conv 4 1, b: relu, c: tanh]\n")
    volume = 4 * 4 * 32 * 32
    assert [3 * volume, volume + 4 * 3 * 32 * 32] == [shared.total("peak_bytes"), alone.total("peak_bytes")]


def test_inputs_wait_and_outputs_stay() -> None:
    """The second input is there from the start, the first output to the end."""
    head = "archcalc: 1\nname: t\ninputs: {x: {C: 4}, y: {C: 8}}\n"
    text = "layers: [a: from x -> fc 2, b: from y -> fc 1]\noutputs: [a, b]\n"
    report = analyze(graph_of(text, head))
    assert [48, 48, 4 * (4 + 8 + 2), 4 * (8 + 2 + 1)] == report.alive


def test_token_numbers_have_eight_bytes() -> None:
    """They are 64-bit integers, whatever the dtype of the rest."""
    report = analyze(graph_of("layers: [embed 100 8]\n", "archcalc: 1\nname: t\ninput: {T: 5}\n"), dtype="float16")
    assert {"embed": 5 * 8} == saved(report)
    assert [5 * 8, 5 * 8 + 5 * 8 * 2] == report.alive


def test_what_is_made_of_token_numbers_has_eight_bytes_too() -> None:
    """A copy of them that leads to no embedding."""
    head = "archcalc: 1\nname: t\ninput: {T: 7}\n"
    report = analyze(graph_of("layers: [{a: {add: [identity]}}, z: from input -> embed 5 3]\n", head))
    assert [7 * 8, 7 * 8, 2 * 7 * 8, 7 * 8 + 4 * 7 * 3] == report.alive


@pytest.mark.parametrize("c", [1, 9, 10, 11, 20, 40, 60])
def test_a_symbolic_peak_is_the_peak_for_every_size(c: int) -> None:
    """Also where terms are negative, so that more of them is less."""
    head = "archcalc: 1\nname: t\ninput: {C: 1, T: 7}\nhparams: {c: 3}\n"
    layers = "layers: [a: fc 200+(10-c)//2, b: fc 200+(10-c)//2, d: fc 1, e: fc 200+3*((10-c)//2), f: fc 200+3*((10-c)//2), g: fc 1]\n"
    spec = spec_of(head + layers)
    symbolic = analyze(build(spec, "", {"c": "sym"})).total("peak_bytes")
    assert analyze(build(spec, "", {"c": str(c)})).total("peak_bytes") == symbolic.subs(dim("c"), c)


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
    widths = {Width.value: 4, Width.statistic: 4, Width.index: 8, Width.mask: 1}
    total = sum(BATCH * volume[i] for i in kept.inputs) + kept.output * BATCH * 4 * case.output.numel
    return total + sum(e.amount * widths[e.width] * (BATCH if e.per_example else 1) for e in kept.extras)


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES, ids=str)
def test_autograd_keeps_what_the_kind_says(case: Case) -> None:
    """For every example row, and whichever of its inputs need a gradient."""
    torch = pytest.importorskip("torch", reason="autograd is PyTorch's")
    from archcalc.verify.saved import FusedKernels, SavedTensors

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
        assert (needs, expected) == (needs, kept_bytes(case, layer.kept(flows, *case.inputs)))


# ---------------------------------------------------------------- what a device would measure, on the CPU


class TensorMeter:
    """Tells the bytes of living tensors, as an allocator without libraries would; looked at after each operation."""

    def __init__(self) -> None:
        from archcalc.verify.alive import LivingTensors

        meter = self

        class Watched(LivingTensors):
            def __torch_dispatch__(
                self, func: object, types: object, args: tuple = (), kwargs: dict | None = None
            ) -> object:
                made = super().__torch_dispatch__(func, types, args, kwargs)
                meter.most = max(meter.most, meter.now())
                return made

        self.living, self.most = Watched(), 0

    def now(self) -> int:
        """Bytes of what is alive."""
        return sum(self.living.bytes().values())

    def peak(self) -> int:
        """The most bytes alive at once."""
        return self.most

    def reset(self) -> None:
        """Start to look for the most anew."""
        self.most = self.now()

    def rounding(self) -> int:
        """Nothing is rounded."""
        return 0


@contextmanager
def metered() -> Iterator[TensorMeter]:
    """A meter at work, with dropout as on a device."""
    from archcalc.verify.saved import FusedKernels

    meter = TensorMeter()
    with meter.living, FusedKernels():
        yield meter


@pytest.mark.torch
@pytest.mark.parametrize(
    "name", ["lenet5_modern", "resnet20", "alexnet_torchvision", "densenet121", "vit_b_16", "deconvnet_layer1"]
)
def test_measured_bytes_are_the_predicted_ones(name: str) -> None:
    """What the CUDA path measures, measured on the CPU: weights, inputs and what a forward pass leaves are exact.

    The peak is no less than predicted; PyTorch's layers aren't in place, and take more for a while.
    """
    pytest.importorskip("torch", reason="PyTorch is measured")
    from archcalc.verify.cuda import measured_bytes

    report = analyze(load(name).build(), BATCH)
    with metered() as meter:
        _, found = measured_bytes(report, "cpu", meter)
    expected = records.predicted_bytes(report)
    exact = ("weights", "input", "left_by_forward")
    assert {**{key: expected[key] for key in exact}, "workspace": 0} == {
        key: found[key] for key in (*exact, "workspace")
    }
    assert expected["peak_forward"] <= found["peak_forward"]
    assert expected["input"] + expected["left_by_forward"] < found["peak_training"]
