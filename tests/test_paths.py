"""What a module does, submodule by submodule, against the layers of its spec."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="modules are run")

from torch import Tensor, nn  # noqa: E402

import archcalc  # noqa: E402
from archcalc.expand import build  # noqa: E402
from archcalc.importers.imported import Imported, imported  # noqa: E402
from archcalc.pytorch.paths import Layers, Ran, macs_apart, ran, saved_by_path, values_apart  # noqa: E402


class Block(nn.Module):
    """Attention by hand, over projections of its own, and a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.mix = nn.Linear(16, 48), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 4, 4).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, 16)
        x = x + self.mix(mixed)
        return x + self.mlp(x)


class Net(nn.Module):
    """Two blocks in a list, which is never called itself, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture(scope="module")
def net() -> Iterator[tuple[nn.Module, Layers, Ran]]:
    """A module, the layers of its spec, and what it did."""
    with torch.device("meta"):
        module, x = Net().eval(), torch.randn(2, 5, 16)
        found: Imported = imported(module, [x], "net")
        yield module, Layers(archcalc.analyze(build(found.spec), 2), found), ran(module, [x])


def test_each_submodule_does_what_its_layers_say(net: tuple[nn.Module, Layers, Ran]) -> None:
    """Multiply-adds of all paths; attention, which spans two of them, is its block's."""
    module, layers, did = net
    assert {"blocks.0.qkv": 5 * 16 * 48, "blocks.0.mix": 5 * 16 * 16} == {
        path: did.macs[path] for path in ("blocks.0.qkv", "blocks.0.mix")
    }
    assert [] == list(macs_apart(layers, did))
    looked, unlike = values_apart(layers, module, did)
    assert ([], 9) == (unlike, looked)  # the perceptrons' four layers each, and the head


def test_what_differs_is_named_by_its_path(net: tuple[nn.Module, Layers, Ran]) -> None:
    """The innermost submodule, though its parents differ with it."""
    module, layers, did = net
    more = dict.fromkeys(("", "blocks.1", "blocks.1.mlp", "blocks.1.mlp.3"), 7)
    wrong = replace(did, macs={path: macs + more.get(path, 0) for path, macs in did.macs.items()})
    assert ["blocks.1.mlp.3: MACs is 2,567 in PyTorch, 2,560 in archcalc"] == list(map(str, macs_apart(layers, wrong)))
    elsewhere = {
        path: macs + {"blocks.0.mlp.1": 8, "blocks.0.mlp.3": -8}.get(path, 0) for path, macs in did.macs.items()
    }
    assert ["blocks.0.mlp.1", "blocks.0.mlp.3"] == [
        each.layer for each in macs_apart(layers, replace(did, macs=elsewhere))
    ]
    (unlike,) = values_apart(layers, module, replace(did, values={**did.values, "head": [31]}))[1]
    assert ("head", "15", "15") == (unlike.layer, unlike.predicted, unlike.found)


def test_saved_bytes_are_those_of_their_submodule() -> None:
    """What autograd keeps is kept where it was computed; the sum is the spec's."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    with torch.device("meta"):
        x = torch.randn(2, 3, 8, 8)
        kept = saved_by_path(module.to("meta").train(), [x])
    volume = 4 * 2 * 4 * 36
    assert {"0": 4 * math.prod(x.shape), "1": volume + 4 * 2 * 4, "2": volume} == {
        key: kept[key] for key in ("0", "1", "2")
    }
    report = archcalc.analyze(build(imported(module, [x], "net").spec), 2)
    assert report.total("saved_bytes") == sum(kept.values())
