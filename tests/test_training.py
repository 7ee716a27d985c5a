"""What a training step holds: PyTorch's own allocations against a run on paper; and what `memory` makes of it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

import archcalc
from archcalc import UsageError, analyze
from archcalc.analyses.training import held, peak
from archcalc.layers.sheet import Sheet
from archcalc.paper import operations as op
from archcalc.paper.tensors import Blank, Meter, Storage, backward, leaf
from archcalc.zoo import load
from tests.helpers import graph_of
from tests.layer_cases import CASES, Case

torch = pytest.importorskip("torch", reason="PyTorch is measured")
pytestmark = pytest.mark.torch

BATCH = 3
"""Not 2: two float32 numbers would be as many bytes as a number of Python's."""
NOT_MODELLED = {
    "combine", "deform_conv", "dispatch", "gru", "lstm", "mla", "modconv", "noise", "opaque", "proposals", "rnn", "roialign", "roipool", "selective_scan",
    "topk", "unpool", "window_attention",
}  # fmt: skip
"""Kinds whose backward passes have no program yet."""
OTHERWISE_ON_CPUS = {"bn", "instancenorm", "ln", "lrn"}
"""In bfloat16: their statistics are bfloat16 as well, where GPUs keep float32; LRN isn't there at all."""


def on_paper(case: Case, needs: tuple[bool, ...], width: int, overwritten: bool) -> tuple[int, int, int, int]:
    """What a step of one layer holds, as `measured` says it; perhaps a relu overwrites its result."""
    meter = Meter()
    at = Sheet(meter, case.inputs, case.output, BATCH, width, ())
    at.copies = case.layer.copy
    inputs = []
    for shape, needed in zip(case.inputs, needs, strict=True):
        size = 8 if case.layer.kind == "embed" else width
        sizes = (BATCH, *shape.values())
        x = Blank(Storage(meter, BATCH * shape.numel * size), sizes, size)
        inputs.append(leaf(x) if needed else x)
    base = meter.now
    made = at.run(case.layer, *inputs)
    loss = op.loss([op.overwritten(made, from_result=True) if overwritten else made])
    forward, left, meter.most_since = meter.most - base, meter.now - base, 0
    backward(loss)
    return forward, left, meter.most_since - base, meter.now - base


def in_torch(case: Case, needs: tuple[bool, ...], dtype: Any, overwritten: bool) -> tuple[int, int, int, int]:
    """The same, measured."""
    from tests.training import measured

    module = case.layer.torch_module(*case.inputs).to(dtype).train()
    inputs = [
        torch.randint(3, (BATCH, *shape.values()))
        if case.layer.kind == "embed"
        else torch.rand(BATCH, *shape.values(), dtype=dtype).requires_grad_(needed)
        for shape, needed in zip(case.inputs, needs, strict=True)
    ]
    return measured(_Overwritten(module) if overwritten else module, inputs)


class _Overwritten(torch.nn.Module):
    """A module, and a relu in place."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        return torch.relu_(self.module(*inputs))


def needed(case: Case) -> list[tuple[bool, ...]]:
    """Which inputs may need a gradient, so that anything has one."""
    layer = case.layer
    fixed = {place for place in range(len(case.inputs)) if place in layer.sizes_only or layer.kind == "embed"}
    learns = any(True for _ in layer.torch_module(*case.inputs).parameters())
    found = itertools.product([True, False], repeat=len(case.inputs))
    return [needs for needs in found if not any(needs[place] for place in fixed) and (learns or any(needs))]


def is_modelled(case: Case) -> bool:
    """Whether the layer has a program for its backward pass; if not, the error names it."""
    try:
        on_paper(case, needed(case)[0], 4, overwritten=False)
    except UsageError as error:
        assert f"what {case.layer.kind} holds during its backward pass isn't modelled yet" in str(error)
        return False
    return True


MODELLED = [case for case in CASES if needed(case) and is_modelled(case)]
FIRST = list({case.layer.kind: case for case in reversed(MODELLED)}.values())
"""The first row of each kind."""


def test_few_kinds_lack_a_program() -> None:
    """All others have one, but for standardised filters, and attention's learned tables, sinks and groups."""
    assert NOT_MODELLED | {"attention", "conv", "dwconv", "sdpa"} == {
        case.layer.kind for case in CASES if needed(case) and case not in MODELLED
    }


@pytest.mark.parametrize("case", MODELLED, ids=str)
def test_every_kind_holds_what_its_program_says(case: Case) -> None:
    """For every example row, and whichever of its inputs need a gradient: both passes, at their peaks and ends."""
    for needs in needed(case):
        expected = on_paper(case, needs, 4, overwritten=False)
        assert (needs, expected) == (needs, tuple(in_torch(case, needs, torch.float32, overwritten=False)))


@pytest.mark.parametrize("case", [case for case in FIRST if case.layer.kind not in OTHERWISE_ON_CPUS], ids=str)
def test_narrow_values_hold_what_programs_say(case: Case) -> None:
    """The same in bfloat16, with a row of each kind."""
    needs = needed(case)[0]
    expected = on_paper(case, needs, 2, overwritten=False)
    assert expected == tuple(in_torch(case, needs, torch.bfloat16, overwritten=False))


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_what_overwrites_a_result_sees_views(case: Case) -> None:
    """A relu in place after every example row, where PyTorch lets it: in a view it costs more."""
    for needs in needed(case):
        try:
            found = in_torch(case, needs, torch.float32, overwritten=True)
        except RuntimeError as error:
            assert "place" in str(error)  # the layer keeps its result, or is a view
            continue
        assert (needs, on_paper(case, needs, 4, overwritten=True)) == (needs, tuple(found))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("lenet5_modern", {}), ("resnet18", {"H": 64, "W": 64}), ("densenet121", {"H": 32, "W": 32}),
        ("mobilenetv2", {"H": 64, "W": 64}), ("efficientnet_b0", {"H": 64, "W": 64}), ("ssd300_vgg16", {}),
        ("convnext_tiny", {"H": 64, "W": 64}), ("vit_b_16", {"size": 32}), ("gpt2_small", {"length": 8}),
        ("llama_7b", {"layers": 1, "length": 8, "d": 64}),
    ],
)  # fmt: skip
def test_networks_hold_what_is_predicted(name: str, given: dict[str, int]) -> None:
    """To the byte, at the peaks of both passes and at their ends."""
    from tests.training import of_program

    axes = {axis: size for axis, size in given.items() if axis.isupper()}
    graph = load(name).build(
        sizes=axes or None, hparams={key: value for key, value in given.items() if key not in axes}
    )
    step = held(graph, 2, "float32")
    assert (step.forward, step.left, step.backward, sum(step.after.values())) == tuple(of_program(graph, 2))
    assert step.most == max(step.forward, step.backward) == sum(peak(graph, 2, "float32", step).parts.values())


def test_random_specs_hold_what_is_predicted() -> None:
    """A few of those of `python -m tests.fuzz_training`."""
    from tests.fuzz_training import search

    assert search(25, 3) > 5


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "adagrad": (torch.optim.Adagrad, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_keep_and_need_what_is_said(name: str) -> None:
    """What PyTorch's keep for each parameter, and the most that a step takes beside it, all parameters at once."""
    from archcalc.pytorch.alive import MostLiving
    from archcalc.questions.memory import OPTIMIZERS as SAID

    kind, options = OPTIMIZERS[name]
    network = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Linear(32, 10))
    params = sum(p.numel() for p in network.parameters())
    optimizer = kind(network.parameters(), lr=0.1, foreach=True, **options)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    assert SAID[name].kept * params == sum(value.numel() for value in states if value.numel() > 1)
    with MostLiving() as living:
        optimizer.step()
    assert 4 * SAID[name].working * params == living.most // 4 // params * 4 * params


def test_memory_adds_up_every_byte() -> None:
    """Weights, buffers, state, and what a step holds at its peak: AdamW on a small ResNet."""
    found = archcalc.memory("resnet18", batch=4, sizes={"H": 64, "W": 64})
    report = analyze("resnet18", batch=4, sizes={"H": 64, "W": 64})
    step = held(report.graph, 4, "float32")
    weights = 4 * report.totals["params"]
    assert [weights, 2 * weights, 4 * report.totals["buffers"] + 20 * 8] == [
        found["weights"], found["optimizer state"], found["buffers"]
    ]  # fmt: skip
    working = weights + sum(step.after.values())
    assert 3 * weights + found["buffers"] + max(step.most, working) == found.total == sum(p.bytes for p in found)


def test_the_largest_batch_is_the_largest() -> None:
    """One more doesn't fit, in training and without gradients."""
    for phase in ("train", "eval"):
        found = archcalc.memory("lenet5_modern", fits="8MB", phase=phase)
        assert found.fits
        assert found.largest_batch is not None
        fitting, beyond = (
            archcalc.memory("lenet5_modern", found.largest_batch + more, phase=phase).total for more in (0, 1)
        )
        assert fitting <= 8_000_000 < beyond
    assert 0 == archcalc.memory("vgg16", fits="1GB").largest_batch


def test_answers_say_where_the_peak_is() -> None:
    """The layer, forward or backward; at the optimiser's step none; JSON has it all."""
    small = archcalc.memory("vgg16")
    large = archcalc.memory("vgg16", batch=32, optimizer="sgd", fits="16GB")
    assert ("", True) == (small.layer, small["optimizer's working"] > 0)
    assert dict(large.table().facts())["peak"].startswith("backward at conv")
    found = json.loads(large.to("json"))
    assert [large.total, True, large.largest_batch] == [found["total"], found["fits"], found["largest_batch"]]
    assert sum(found["parts"].values()) == found["total"]


def test_the_command_knows_all_optimizers() -> None:
    """It lists them without importing what knows them."""
    from archcalc.cli.memory import OPTIMIZERS as LISTED
    from archcalc.questions.memory import OPTIMIZERS as SAID

    assert list(LISTED) == list(SAID)


def test_wrong_questions() -> None:
    """Words that mean nothing, budgets without a unit, sizes that are open, kinds without a program."""
    for options, message in (
        ({"phase": "test"}, "unknown phase 'test'"), ({"optimizer": "adamz"}, "unknown optimizer 'adamz'"),
        ({"fits": "16"}, "16"), ({"dtype": "int4"}, "int4"), ({"batch": 0}, "batch"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            archcalc.memory("lenet5", **options)
    with pytest.raises(UsageError, match="what lstm holds during its backward pass isn't modelled yet"):
        archcalc.memory("lstm_lm")
    graph = graph_of("layers: [conv n 3]\n", "archcalc: 1\nname: t\ninput: {C: 3, H: 8, W: 8}\nhparams: {n: 4}\n")
    assert archcalc.memory(graph).total
