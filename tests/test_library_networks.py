"""Networks that other libraries ship: their classes and ours have the same parameters, multiply-adds and outputs."""

from importlib import import_module
from importlib.util import find_spec
from random import Random

import pytest

if any(find_spec(library) is None for library in ("torchvision", "timm", "transformers")):
    needed = "pip install --no-deps torchvision timm; pip install transformers"
    pytest.skip(f"the classes to compare with: {needed}", allow_module_level=True)

from tests.library_networks import NETWORKS, compare, deformed, differing, sizes, torchvision


@pytest.mark.parametrize("name", NETWORKS)
def test_params_and_multiply_adds_are_those_of_the_library(name: str) -> None:
    """Built without memory: parameters of the same shapes, and what PyTorch's counter finds."""
    assert "" == compare(name, outputs=False).wrong


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenetv3_small", "regnet_y_400mf", "vit_b_32"])
def test_outputs_are_those_of_the_library(name: str) -> None:
    """With the library's weights, each handed to the layer that reads the same values; of all: see the script."""
    assert "" == compare(name).wrong


def needs_compiled_part() -> None:
    """Skip where torchvision has Python alone."""
    torchvision()
    if not import_module("torchvision.extension")._has_ops():
        pytest.skip("torchvision's compiled part, which has deform_conv2d, can't be loaded with this PyTorch")


@pytest.mark.parametrize(("name", "masked"), [("dcn50", False), ("dcnv2_50", True)])
def test_deformable_resnets_are_made_of_torchvisions(name: str, masked: bool) -> None:
    """Torchvision has none; with its deformable convolutions in its ResNet-50, parameters and outputs are ours."""
    from archcalc import load
    from archcalc.pytorch.network import Network

    needs_compiled_part()
    graph, theirs = load(name).build(size=64), deformed(masked)
    assert sizes(theirs) == sizes(Network(graph))
    assert "" == differing(graph, theirs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what torchvision's imports say of torch.jit
@pytest.mark.parametrize("masked", [True, False])
def test_deformable_convolutions_are_torchvisions(masked: bool) -> None:
    """On the same weights, offsets and masks the outputs are equal, whatever the groups, strides and sides."""
    import torch

    from archcalc.layers import REGISTRY
    from archcalc.shape import Shape

    needs_compiled_part()
    deform_conv2d = import_module("torchvision.ops").deform_conv2d
    pick = Random(0)
    for _ in range(40):
        groups, moved = pick.choice([(1, 1), (2, 1), (1, 4), (2, 2), (4, 2), (3, 2), (2, 3)])
        words = {name: (pick.randint(1, 2), pick.randint(1, 2)) for name in ("stride", "padding", "dilation")}
        kernel, x = (pick.randint(1, 3), pick.randint(1, 3)), Shape(C=12, H=pick.randint(5, 9), W=pick.randint(5, 9))
        layer = REGISTRY["deform_conv"](12, kernel, "o", groups=groups, **words, mask="m" if masked else None)
        y = REGISTRY["conv"](kernel[0] * kernel[1] * moved, kernel, **words).output_shape(x)
        shapes = [y.with_(C=2 * y.C), *([y] if masked else [])]
        module = layer.torch_module(x, *shapes).double()
        volume, offset, *mask = (torch.randn(2, *shape.values(), dtype=torch.float64) for shape in (x, *shapes))
        with torch.no_grad():
            module.bias.uniform_()
        expected = deform_conv2d(
            volume, 3 * offset, module.weight, module.bias, **words, mask=mask[0] if masked else None
        )
        torch.testing.assert_close(expected, module(volume, 3 * offset, *mask))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
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
