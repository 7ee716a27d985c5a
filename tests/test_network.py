"""`archcalc.to_torch`: graphs as PyTorch modules."""

from __future__ import annotations

import pytest

import archcalc
from archcalc.errors import UsageError
from tests.helpers import graph_of, verify

torch = pytest.importorskip("torch", reason="modules are PyTorch's")
pytestmark = pytest.mark.torch


def test_parameters_are_named_after_the_paths() -> None:
    """`conv1/1/conv` is `conv1.1.conv`; names that a module can't have get an underscore, and stay apart."""
    with torch.device("meta"):
        vgg = archcalc.to_torch("vgg16")
        layers = "layers: [double: conv 4 1, a.b: conv 4 1, a_b: conv 4 1, graph: conv 4 1]\n"
        awkward = archcalc.to_torch(graph_of(layers))
    assert "conv1.1.conv.weight" == next(name for name, _ in vgg.named_parameters())
    names = [name for name, _ in awkward.named_parameters() if name.endswith("weight")]
    assert ["double_.weight", "a_b.weight", "a_b_.weight", "graph_.weight"] == names


def test_to_torch_takes_names_values_and_graphs() -> None:
    """A zoo name with hparams and sizes, or a graph."""
    assert (3, 10) == tuple(archcalc.to_torch("lenet5")(torch.zeros(3, 1, 32, 32)).shape)
    assert (
        sum(p.numel() for p in archcalc.to_torch("alphago_policy", hparams={"k": 8}).parameters())
        == 99 * 64 + 1213 * 8 + 361
    )
    with pytest.raises(UsageError, match="is built already"):
        archcalc.to_torch(graph_of("layers: [relu]\n"), hparams={"k": 8})


def test_symbols_need_values(capsys: pytest.CaptureFixture[str]) -> None:
    """A symbolic size is wrong usage, and the hint says what to give."""
    with pytest.raises(UsageError, match="faster_rcnn has sizes without a value: R"):
        archcalc.to_torch("faster_rcnn")
    code, out, err = verify(capsys, "faster_rcnn")
    assert (2, "") == (code, out)
    assert "hint: give them numbers, as in --set R=300" in err


def test_several_outputs_are_a_dict() -> None:
    """By the names under `outputs`, one tensor perhaps under two names."""
    net = archcalc.to_torch(graph_of("layers: [a: {b: relu}, conv 2 1]\noutputs: [a, a/b, conv]\n"))
    found = net(torch.rand(2, 3, 4, 4))
    assert ["a", "a/b", "conv"] == list(found)
    assert found["a"] is found["a/b"]
    with pytest.raises(TypeError, match="t takes 1 inputs, not 2"):
        net(torch.rand(2, 3, 4, 4), torch.rand(2))


def test_tied_weights_are_one_parameter() -> None:
    """GPT-2's logits hold the embedding's own Parameter."""
    with torch.device("meta"):
        net = archcalc.to_torch("gpt2")
    assert net.logits.fc.weight is net.wte.weight
    assert 124_439_808 == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("pool", ["2", "3 s=2", "3 s=2 p=1", "3 s=2 p=1 ceil=true"])
def test_unpooling_uses_the_switches_of_its_pool(pool: str) -> None:
    """What the pool kept is what recomputing the maxima gives, and the pool's maxima return to their places."""
    up = pool.replace(" ceil=true", "")
    net = archcalc.to_torch(graph_of(f"layers: [a: relu, maxpool {pool}, unpool {up} like=@a]\n"))
    assert {3: 2} == net.pools
    x = torch.rand(2, 3, 32, 32)
    actual = net(x)
    net.pools.clear()
    assert torch.equal(net(x), actual)
    assert torch.equal(actual[actual != 0], x[actual != 0])


@pytest.mark.parametrize(
    "layers",
    [
        "a: relu\n  - maxpool 3 s=2 p=same\n  - unpool 3 s=2 p=same like=@a",
        "a: relu\n  - avgpool 2\n  - unpool 2 like=@a",
    ],
)
def test_unpooling_without_its_pool_finds_the_maxima_itself(layers: str) -> None:
    """A pool with uneven padding of its own, or none: the maxima are looked for in `like`."""
    net = archcalc.to_torch(graph_of(f"layers:\n  - {layers}\n"))
    assert {} == net.pools
    assert (2, 3, 32, 32) == tuple(net(torch.rand(2, 3, 32, 32)).shape)


def test_failures_name_the_layer() -> None:
    """A wrong input makes PyTorch's own error, with a note of the layer and the shapes."""
    net = archcalc.to_torch(graph_of("layers: [stem: {conv: conv 4 3}]\n"))
    with pytest.raises(RuntimeError) as caught:
        net(torch.rand(2, 5, 8, 8))
    assert ["while running stem/conv (conv 4 3) on (2, 5, 8, 8)"] == caught.value.__notes__


def test_without_pytorch_there_is_a_hint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No PyTorch is wrong usage, not a traceback."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    code, _, err = verify(capsys, "lenet5")
    assert (2, "error: PyTorch is not installed\n    hint: pip install 'archcalc[torch]'\n") == (code, err)
