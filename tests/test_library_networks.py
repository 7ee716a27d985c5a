"""Networks that other libraries ship: their classes and ours have the same parameters, multiply-adds and outputs."""

from importlib import import_module
from importlib.util import find_spec

import pytest

if any(find_spec(library) is None for library in ("torchvision", "timm", "transformers")):
    needed = "pip install --no-deps torchvision timm; pip install transformers"
    pytest.skip(f"the classes to compare with: {needed}", allow_module_level=True)

from tests.library_networks import NETWORKS, compare, torchvision


@pytest.mark.parametrize("name", NETWORKS)
def test_params_and_multiply_adds_are_those_of_the_library(name: str) -> None:
    """Built without memory: parameters of the same shapes, and what PyTorch's counter finds."""
    assert "" == compare(name, outputs=False).wrong


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenetv3_small", "regnet_y_400mf", "vit_b_32"])
def test_outputs_are_those_of_the_library(name: str) -> None:
    """With the library's weights, each handed to the layer that reads the same values; of all: see the script."""
    assert "" == compare(name).wrong


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what torchvision's imports say of torch.jit
def test_roi_align_is_torchvisions() -> None:
    """The values of torchvision's definition in Python, for regions of all sizes, over the edges, too."""
    import torch

    from archcalc.layers import REGISTRY
    from archcalc.shape import Shape

    torchvision()
    define = import_module("torchvision.ops.roi_align")._roi_align
    torch.manual_seed(0)
    corners = torch.rand(2, 30, 2, 2).sort(dim=2).values.flatten(2)
    x = torch.rand(2, 5, 9, 13)
    for sampling in (1, 2, 3):
        layer = REGISTRY["roialign"]((7, 4), rois="rois", sampling=sampling)
        ours = layer.torch_module(Shape(C=5, H=9, W=13), Shape(R=30, C=4))(x, corners)
        numbers = torch.arange(2.0).repeat_interleave(30)[:, None]
        scaled = torch.cat([numbers, corners.flatten(0, 1) * torch.tensor([13.0, 9, 13, 9])], dim=1)
        theirs = define(x, scaled, 1.0, 7, 4, sampling, aligned=False)
        assert torch.allclose(ours.flatten(0, 1), theirs, atol=1e-5)
