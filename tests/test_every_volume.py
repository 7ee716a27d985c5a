"""Every layer kind on volumes with every set of axes, C or none: refused with a place, or the same as in PyTorch."""

from __future__ import annotations

import random
import re

import pytest

from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.layers import REGISTRY
from tests.every_volume import CHAINS, MERGES, cases, problem, text
from tests.helpers import spec_of

torch = pytest.importorskip("torch", reason="what is built is run")
pytestmark = pytest.mark.torch

SAMPLE = 100
"""Cases in an ordinary test run; `python -m tests.every_volume` goes through all."""


def test_the_cases_have_every_kind() -> None:
    """A new kind without a case fails here."""
    words = set(re.findall(r"\w+", " ".join([*CHAINS, *MERGES])))
    assert [] == sorted(set(REGISTRY) - words - {"input", "opaque"})  # what is opaque can't be run


def test_layers_fit_or_are_refused_on_every_volume() -> None:
    """A sample of all cases, the same ones in each run."""
    draw = random.Random(0)
    for axes, layers in draw.sample(list(cases()), SAMPLE):
        assert not problem(axes, layers), (axes, layers)


WITHOUT_CHANNELS = [
    ("HW", "upsample 2"), ("H", "upsample 2 mode=bilinear"), ("RDHW", "upsample 2 mode=bilinear"), ("TW", "unpool 2"),
    ("HW", "maxpool 3 s=2 -> unpool 3 s=2"), ("DHW", "maxpool 3 s=2 -> unpool 3 s=2 like=@x"), ("R", "flatten"),
    ("HW", "maxpool 2 d=2 ceil=true"), ("RTHW", "maxpool 2 d=2 ceil=true"), ("CHW", "reshape R={numel} -> flatten"),
    ("CHW", "reshape R=2 H=96 -> upsample 2"), ("W", "avgpool 3 s=2 p=same"), ("DHW", "adaptive_maxpool 3"),
]  # fmt: skip


@pytest.mark.parametrize(("axes", "layers"), WITHOUT_CHANNELS)
def test_volumes_without_channels_are_what_pytorch_makes(axes: str, layers: str) -> None:
    """What slides over positions doesn't take one of them for the channels."""
    assert problem(axes, layers.replace("{numel}", "192")) == ""


@pytest.mark.parametrize("axes", ["H", "HW", "DHW", "TW", "RTHW"])
@pytest.mark.parametrize("layer", ["instancenorm", "instancenorm affine=true", "bn", "groupnorm 2", "ln", "lrn"])
def test_norms_of_channels_need_channels(axes: str, layer: str) -> None:
    """The error is the spec's, at the layer."""
    with pytest.raises(SpecError, match="the input has no axis C") as caught:
        build(spec_of(text(axes, layer)))
    assert [6] == [each.mark.line for each in caught.value.diagnostics if each.mark]


@pytest.mark.parametrize("axes", ["TC", "RTC", "TCHW"])
def test_group_normalisation_takes_each_token_by_itself(axes: str) -> None:
    """Mean and deviation of each group of a token's channels, over its positions and no other token's."""
    from archcalc.pytorch.network import Network

    module = Network(build(spec_of(text(axes, "groupnorm 2"))))
    x = torch.randn(3, *({"R": 2, "T": 5, "C": 4, "H": 8, "W": 6}[axis] for axis in axes))
    groups = x.unflatten(axes.index("C") + 1, (2, 2))
    within = tuple(range(axes.index("C") + 2, groups.dim()))
    mean, variance = groups.mean(within, keepdim=True), groups.var(within, correction=0, keepdim=True)
    expected = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
    torch.testing.assert_close(expected, module(x))
