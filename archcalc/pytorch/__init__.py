"""Graphs as PyTorch modules, and what PyTorch finds when it runs them. PyTorch itself is imported when it's needed."""

from __future__ import annotations

import importlib.util
from os import PathLike
from typing import TYPE_CHECKING

from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.zoo import Architecture, load

if TYPE_CHECKING:
    from archcalc.expand import Given, Sizes
    from archcalc.pytorch.network import Network


def need_torch() -> None:
    """Check that PyTorch is there.

    Raises: UsageError: it isn't installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise UsageError("PyTorch is not installed", "pip install 'archcalc[torch]'")


def to_torch(
    net: str | PathLike[str] | Architecture | Graph, sizes: Sizes | None = None, /, **hparams: Given
) -> Network:
    """An architecture as a `torch.nn.Module` with fresh weights.

    `net` is a graph, an architecture, a path, or a name as on the command line: `vgg16`, `net.yaml:small`; `sizes` and
    `hparams` are those of `Architecture.build`. Parameters are named after the graph's paths: the layer
    `conv1/1/conv` has `conv1.1.conv.weight`. `forward` takes the graph's inputs, batch first, and returns its output;
    of several outputs, a dict by name.
    Raises: UsageError: PyTorch isn't installed, there's no such name, or a size is still symbolic.

    >>> import archcalc, torch
    >>> net = archcalc.to_torch("lenet5")
    >>> net(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """
    need_torch()
    from archcalc.pytorch.network import Network

    if isinstance(net, Graph):
        if sizes or hparams:
            raise UsageError("a graph has its sizes already", "build it with other values instead")
        return Network(net)
    return Network((net if isinstance(net, Architecture) else load(net)).build(sizes, **hparams))
