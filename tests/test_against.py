"""Networks held to a spec: what is the same, however it's written, and what isn't."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import archcalc
from archcalc import Architecture, UsageError
from archcalc.__main__ import main
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source
from tests.helpers import some_of_the_zoo

HEAD = "archcalc: 1\nname: t\ninput: {C: 8, H: 16, W: 16}\nlayers:\n"
SAME = {
    "names of scopes": ("  - a: conv 8 3x3 p=1 -> bn\n  - b: relu", "  - conv 8 3x3 p=1 -> bn -> relu"),
    "padding in words": ("  - conv 8 3x3 p=1", "  - conv 8 3x3 p=half"),
    "a kernel for all sides": ("  - conv 8 3x3 s=2", "  - {op: conv, out_channels: 8, kernel_size: 3, stride: 2x2}"),
    "dropout": ("  - conv 8 1x1 -> dropout -> relu", "  - conv 8 1x1 -> relu -> identity"),
    "one vector": ("  - flatten -> reshape C=16 T=128 -> ln", "  - reshape T=128 C=16 -> ln"),
    "the order of a sum": ("  - add: [conv 8 1x1, relu]", "  - add: [relu, conv 8 1x1]"),
    "branches of a product": ("  - mul: [relu, conv 8 1x1 -> sigmoid]", "  - mul: [conv 8 1x1 -> sigmoid, relu]"),
    "joined at once": ("  - concat: [relu, {concat: [conv 4 1x1, tanh]}]", "  - concat: [relu, conv 4 1x1, tanh]"),
    "a pool of one place": ("  - conv 8 1x1 -> adaptive_avgpool 16x16", "  - conv 8 1x1"),
    "halves": ("  - chunk 2 0 -> conv 8 1x1", "  - part C stop=4 -> conv 8 1x1"),
    "heads": ("  - tokens -> attention 2 head_dim=4 kv_heads=2", "  - tokens -> attention 2"),
    "positions": ("  - tokens -> pos_embed 256", "  - tokens -> pos_embed"),
}
DIFFERENT = {
    "E301 conv 8 3x3 is conv 8 5x5": ("  - conv 8 3x3", "  - conv 8 5x5"),
    "E301 conv 8 3x3 is conv 8 3x3 bias=false": ("  - conv 8 3x3", "  - conv 8 3x3 bias=false"),
    "E301 relu is gelu": ("  - relu", "  - gelu"),
    "E301 bn is bn eps=0.001": ("  - bn", "  - bn eps=0.001"),
    "E301 attention 2 is attention 4": ("  - tokens -> attention 2", "  - tokens -> attention 4"),
    "window=16 is attention 2 causal=true": (
        "  - tokens -> attention 2 causal=true window=16", "  - tokens -> attention 2 causal=true",
    ),
    "rotary_dim=2": ("  - tokens -> attention 2 rope=true rotary_dim=2", "  - tokens -> attention 2 rope=true"),
    "E301 chunk 2 0 is chunk 2 1": ("  - chunk 2 0 -> conv 8 1x1", "  - chunk 2 1 -> conv 8 1x1"),
    "E302 bn isn't in": ("  - conv 8 1x1 -> bn -> relu", "  - conv 8 1x1 -> relu"),
    "E303 1 conv, 1 relu is in": ("  - relu", "  - relu\n  - more: conv 8 1x1 -> relu"),
    "E304 b has the weights of a, where the spec's has weights of its own": (
        "  - a: conv 8 1x1\n  - b: conv 8 1x1 bias=false", "  - a: conv 8 1x1\n  - b: conv 8 1x1 bias=false tie=@a",
    ),
    "E304 concat reads": ("  - concat: [relu, tanh]", "  - concat: [tanh, relu]"),
    "E304 t gives out b, where the spec's gives out a": (
        "  - a: relu\n  - b: tanh\noutputs: [a]", "  - a: relu\n  - b: tanh\noutputs: [b]",
    ),
    "E305 relu is on other volumes": ("  - reshape C=8 H=8 W=32 -> relu", "  - relu"),
}  # fmt: skip

CHANGES = {
    "conv": ("bias", False),
    "fc": ("bias", False),
    "maxpool": ("kernel_size", 1),
    "bn": ("eps", "1e-2"),
    "ln": ("eps", "1e-2"),
    "rmsnorm": ("eps", "1e-2"),
    "attention": ("causal", True),
}


def of(layers: str) -> Architecture:
    """The architecture of a few layers."""
    return Architecture(parse_spec(Source("t.yaml", HEAD + layers + "\n", None)), "")


@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_however_it_is_written(name: str) -> None:
    """Both ways; and PyTorch agrees: with the same weights both give out the same."""
    torch = pytest.importorskip("torch")
    one, other = map(of, SAME[name])
    assert [] == [*archcalc.check(one, against=other), *archcalc.check(other, against=one)]
    first, second = (archcalc.to_torch(each.build()).eval() for each in (one, other))
    for mine, its in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        its.copy_(mine)
    x = torch.randn(2, 8, 16, 16)
    assert torch.equal(first(x).flatten(), second(x).flatten())


@pytest.mark.parametrize("message", DIFFERENT)
def test_what_is_different(message: str) -> None:
    """It's told of, whichever of both is the spec."""
    one, other = map(of, DIFFERENT[message])
    found = list(archcalc.check(other, against=one))
    assert any(message in f"{each.code} {each.message}" for each in found)
    assert not archcalc.check(one, against=other)


@pytest.mark.parametrize("name", some_of_the_zoo()[::6])
def test_any_argument_that_changes_is_found(name: str) -> None:
    """A network is what its spec says, under any names; with another value of any argument of a layer it isn't."""
    spec = archcalc.load(name)
    if archcalc.check(spec).ok and not spec.build().is_listed:
        pytest.skip("it has too many layers")
    graph, draw = spec.build(), random.Random(name)
    assert archcalc.check(graph, against=spec).ok
    for node in draw.sample([node for node in graph.nodes if node.kind in CHANGES], 3):
        argument, value = CHANGES[node.kind]
        try:
            changed = spec.build(hparams={f"{node.name}.{argument}": value})
        except archcalc.SpecError:
            continue  # what follows doesn't fit any more
        same = changed.changes == ()
        assert same == archcalc.check(changed, against=spec).ok, (node.name, argument)


MODULES = """
from torch import nn


class Net(nn.Module):
    def __init__(self, depth=4, width=16, kernel=3):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        layers = (nn.Sequential(nn.Conv2d(width, width, kernel, padding=kernel // 2), nn.ReLU()) for _ in range(depth))
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x.mean((2, 3)))
"""
SPEC = """archcalc: 1
name: written
input: {C: 3, H: 32, W: 32}
hparams: {width: 16}
layers:
  - stem: conv width 3x3 p=1
  - (block)*4
  - pool: global_avgpool
  - head: flatten -> dropout -> fc 10
blocks: {block(): {residual: conv width 3x3 p=1 -> relu}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module and a spec that a person wrote."""
    pytest.importorskip("torch")
    (tmp_path / "models.py").write_text(MODULES)
    (tmp_path / "net.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_code_is_held_to_a_spec_by_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code, each difference once with how often it's there, and what the totals are."""
    assert 0 == main(["check", "models.py:Net", "--against", "net.yaml"])
    assert "models.py:Net: 9,879,712 MACs, as the spec says" in capsys.readouterr().out
    assert 1 == main(["check", "models.py:Net", "models.py:Net(kernel=5)", "--against", "net.yaml", "--input", "3x8x8"])
    out = capsys.readouterr().out
    assert "E301 conv 16 3x3 p=1 is conv 16 5x5 p=half in models.py:Net(kernel=5): " in out
    assert ", 4 times (+16,384 params, +1,048,576 MACs)" in out
    assert "models.py:Net: no errors, no warnings\n" in out
    assert "models.py:Net(kernel=5): 1 error, no warnings\n" in out
    assert 0 == main(["check", "models.py:Net(width=8)", "--against", "net.yaml", "--set", "width=8"])
    assert 1 == main(["check", "models.py:Net(depth=3)", "--against", "net.yaml", "--format", "github"])
    assert "::error file=net.yaml,line=10,col=" in capsys.readouterr().out


def test_modules_are_held_to_a_spec(folder: Path) -> None:
    """With inputs of the spec's size, or those that are given; the message says what is different."""
    import torch
    from torch import nn

    names: dict[str, Any] = {}
    exec(MODULES, names)
    archcalc.assert_matches(names["Net"](), "net.yaml")
    archcalc.assert_matches(names["Net"](width=8).train(), archcalc.load("net.yaml"), hparams={"width": 8})
    archcalc.assert_matches(names["Net"](), "net.yaml", torch.randn(1, 3, 9, 9), sizes={"H": 9, "W": 9})
    with pytest.raises(AssertionError, match="Net isn't what the spec says") as raised:
        archcalc.assert_matches(names["Net"](width=17), "net.yaml")
    assert "net.yaml:6:11: E301 conv 16 3x3 p=1 is conv 17 3x3 p=half in Net: " in str(raised.value)
    words = nn.Sequential(nn.Embedding(100, 8), nn.Linear(8, 4))
    archcalc.assert_matches(words, Architecture(parse_spec(Source(
        "t.yaml", "archcalc: 1\ninput: {T: 5}\nlayers: embed 100 8 -> fc 4\n", None)), ""))  # fmt: skip


def test_modules_are_analysed(folder: Path) -> None:
    """With example inputs beside them; a spec's batch isn't one."""
    import torch

    names: dict[str, Any] = {}
    exec(MODULES, names)
    assert 9_879_712 == archcalc.analyze(names["Net"](), torch.randn(8, 3, 32, 32)).totals["macs"]
    with pytest.raises(UsageError, match="with example inputs"):
        archcalc.analyze(names["Net"]())


def test_what_cannot_be_compared(folder: Path) -> None:
    """Symbols, a spec that isn't there, sizes without a spec, an object that is no network."""
    net = archcalc.load("net.yaml")
    with pytest.raises(UsageError, match="the size of input is open"):
        archcalc.check(net, against=net, sizes={"H": archcalc.dim("H")})
    with pytest.raises(UsageError, match="has numbers"):
        archcalc.check(net, against=net, symbolic="H")
    with pytest.raises(UsageError, match="sizes are for comparisons"):
        archcalc.check(net, sizes={"H": 8})
    with pytest.raises(UsageError, match="no architecture is called 'vgg17'"):
        archcalc.check(net, against="vgg17")
    with pytest.raises(UsageError, match="not by 3"):
        archcalc.assert_matches(3, net)  # type: ignore[arg-type]
    assert 2 == main(["check", "net.yaml", "--input", "3x8x8"])


@pytest.mark.parametrize("name", ["alexnet_torchvision", "mobilenetv2"])
def test_torchvisions_networks_are_what_the_zoo_says(name: str) -> None:
    """Specs that people wrote, and the code of others."""
    pytest.importorskip("torchvision")
    code = {"alexnet_torchvision": "torchvision:alexnet", "mobilenetv2": "torchvision:mobilenet_v2"}[name]
    assert [] == list(archcalc.check(code, against=name))


def test_a_great_difference_is_told_in_brief() -> None:
    """At most a hundred differences, and each of a loop once."""
    one = "\n".join(f"  - conv {n} 1x1" for n in range(1, 301))
    other = "\n".join(f"  - conv {n} 1x1" for n in range(301, 601))
    found = list(archcalc.check(of(one), against=of(other)))
    assert (101, "E001") == (len(found), found[-1].code)
    deep, shallow = (of(f"  - (conv 8 1x1 -> relu)*{n}") for n in (300, 400))
    assert 100 >= len(archcalc.check(deep, against=shallow))
