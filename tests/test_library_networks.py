"""Networks that other libraries ship: their classes and ours have the same parameters, multiply-adds and outputs."""

from importlib.util import find_spec

import pytest

if any(find_spec(library) is None for library in ("torchvision", "timm", "transformers")):
    needed = "pip install --no-deps torchvision timm; pip install transformers"
    pytest.skip(f"the classes to compare with: {needed}", allow_module_level=True)

from tests.library_networks import NETWORKS, compare


@pytest.mark.parametrize("name", NETWORKS)
def test_params_and_multiply_adds_are_those_of_the_library(name: str) -> None:
    """Built without memory: parameters of the same shapes, and what PyTorch's counter finds."""
    assert "" == compare(name, outputs=False).wrong


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenetv3_small", "regnet_y_400mf", "vit_b_32"])
def test_outputs_are_those_of_the_library(name: str) -> None:
    """With the library's weights, each handed to the layer that reads the same values; of all: see the script."""
    assert "" == compare(name).wrong
