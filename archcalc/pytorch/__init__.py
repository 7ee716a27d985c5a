"""Graphs as PyTorch modules, and what PyTorch finds when it runs them. PyTorch itself is imported when it's needed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING

from archcalc.errors import UsageError
from archcalc.graph import Graph
from archcalc.report import Report
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
    network: Report | Graph | Architecture | str | PathLike[str],
    *,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
) -> Network:
    """A network as a `torch.nn.Module` with fresh weights.

    `hparams` and `sizes` are those of `Architecture.build`. Parameters are named after the graph's paths: the layer
    `conv1/1/conv` has `conv1.1.conv.weight`. `forward` takes the graph's inputs, batch first, and returns its output;
    of several outputs, a dict by name.
    Raises: UsageError: PyTorch isn't installed, there's no such name, a size is still symbolic, or a graph or report is
    given other values. SpecError: the spec is wrong.

    >>> import archcalc, torch
    >>> net = archcalc.to_torch("lenet5")
    >>> net(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """
    need_torch()
    from archcalc.pytorch.network import Network

    if isinstance(network, (Graph, Report)):
        if hparams or sizes:
            raise UsageError(f"{network.name} is built already", "give its name, path or Architecture")
        return Network(network if isinstance(network, Graph) else network.graph)
    architecture = network if isinstance(network, Architecture) else load(network)
    return Network(architecture.build(hparams=hparams, sizes=sizes))
