"""The zoo's networks follow their sources in what figures at one size can't show."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from archcalc import analyze
from archcalc.__main__ import main
from archcalc.zoo import architectures, load

SOFTMAX = {
    "alexnet": "Sec. 3.5, a 1000-way softmax",
    "alphago_policy": "Methods, a softmax over the board",
    "c3d": "Fig. 3, softmax",
    "densenet": "Table 1, 1000D fully-connected, softmax",
    "darknet53": "cfg/darknet53.cfg in pjreddie/darknet, [softmax]",
    "fast_rcnn": "Fig. 1, softmax",
    "faster_rcnn": "Fast R-CNN, Fig. 1, softmax",
    "googlenet": "Table 1, softmax",
    "inception_v3": "Table 1, softmax, classifier",
    "mobilenetv1": "Table 1, Softmax / s1, Classifier",
    "pattern": "the pattern's last word",
    "resnet": "Table 1, 1000-d fc, softmax",
    "vgg": "Table 1, soft-max",
    "zfnet": "Fig. 3, class softmax",
}
"""The specs whose source lists a softmax at the end, and where."""


@pytest.mark.parametrize("architecture", list(architectures()), ids=lambda architecture: architecture.name)
def test_heads_end_as_their_source_does(architecture: Any) -> None:
    """A classifier ends in a softmax if, and only if, the source's table or figure lists one."""
    graph = architecture.build()
    ends = {graph.nodes[index].kind for index in graph.outputs.values()}
    assert (architecture.spec.name in SOFTMAX) == ("softmax" in ends)


def test_every_variant_has_a_title_of_its_own() -> None:
    """No two architectures have one title, and no title lists several variants."""
    titles = [architecture.build().title for architecture in architectures()]
    assert sorted(set(titles)) == sorted(titles)
    assert "GPT-2 XL, 48 layers" == load("gpt2_xl").build().title
    assert "VGG-16, column D of the configuration table" == load("vgg16").build().title


@pytest.mark.parametrize("command", ["table {} --quiet", "table {} -q -f html", "table {} -q -f markdown", "export {}"])
def test_titles_of_variants_are_printed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A table and exported code say what this variant is."""
    assert 0 == main(command.format("vgg11").split())
    assert "VGG-11, column A of the configuration table" in capsys.readouterr().out


def test_list_shows_the_titles_of_variants(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON of `list` has the title of each variant, and the spec's for those without one."""
    titles = {}
    for text in ("GPT-2", "U-Net"):
        main(["list", text, "--format", "json"])
        titles |= {record["name"]: record["title"] for record in json.loads(capsys.readouterr().out)}
    assert ("GPT-2 XL, 48 layers", "U-Net, as published, without padding") == (titles["gpt2_xl"], titles["unet"])


@pytest.mark.parametrize(("size", "positions"), [(224, 1), (256, 2), (288, 3), (448, 8)])
def test_googlenet_pools_every_position_at_the_end(size: int, positions: int) -> None:
    """Table 1's last pool is 7x7 with stride 1: other sizes leave more than one position."""
    pool = load("googlenet").build(sizes={"H": size, "W": size})["main/avgpool"]
    assert (positions, positions) == (pool.shape["H"], pool.shape["W"])


def test_convnext_takes_other_widths() -> None:
    """The stem has the first stage's width, so that `--set widths` gives another network of the family."""
    widths, depths = [40, 80, 160, 320], [2, 2, 6, 2]
    graph = load("convnext_tiny").build(widths=widths, depths=depths)
    stem, head = 3 * 4 * 4 * 40 + 40 + 2 * 40, 2 * 320 + 320 * 1000 + 1000
    blocks = sum(depth * (8 * c * c + 58 * c) for c, depth in zip(widths, depths, strict=True))
    downs = sum(2 * a + 2 * 2 * a * b + b for a, b in itertools.pairwise(widths))
    assert {"C": 40, "H": 56, "W": 56} == dict(graph["stem"].shape)
    assert stem + blocks + downs + head == analyze(graph).total("params")


@pytest.mark.torch
def test_a_slice_is_what_pytorch_slices() -> None:
    """`slice 2` gives x[:, :, ::2, ::2]."""
    torch = pytest.importorskip("torch", reason="slicing is PyTorch's")
    from archcalc.layers import REGISTRY
    from archcalc.shape import Shape

    x = torch.rand(2, 3, 5, 8)
    for stride, expected in ((2, x[:, :, ::2, ::2]), ((1, 3), x[:, :, :, ::3])):
        module = REGISTRY["slice"](stride).torch_module(Shape(C=3, H=5, W=8))
        assert torch.equal(expected, module(x))


@pytest.mark.torch
def test_option_a_keeps_what_the_usual_code_keeps() -> None:
    """ResNet-20 for CIFAR-10, written by hand with x[:, :, ::2, ::2] and padded channels, keeps the predicted bytes."""
    torch = pytest.importorskip("torch", reason="autograd is PyTorch's")
    from torch import nn
    from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it

    from archcalc.pytorch.saved import SavedTensors

    class Unit(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.one = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.two = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])
            self.stride, self.more = stride, width - before

        def forward(self, x: Any) -> Any:
            y = self.norms[1](self.two(F.relu(self.norms[0](self.one(x)), inplace=True)))
            shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more)) if self.more else x
            return F.relu(y + shortcut, inplace=True)

    units = [Unit(before, width, 2 if before != width else 1) for before, width in
             [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2]  # fmt: skip
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), *units,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1),
    )  # fmt: skip
    image = torch.rand(2, 3, 32, 32)
    with (found := SavedTensors((*net.parameters(), *net.buffers()))):
        output = net(image)
    assert output.requires_grad
    report = analyze(load("resnet20").build(), batch=2)
    assert sum(found.bytes_by_layer().values()) == report.total("saved_bytes")
    assert sum(weight.numel() for weight in net.parameters()) == report.total("params")
