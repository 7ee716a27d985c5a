"""The effective receptive field as PyTorch measures it: the squared gradient at every input position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from archcalc.analyses.effective_field import Profile, profile
from archcalc.analyses.positions import positions_of
from archcalc.graph import Graph
from archcalc.verify.network import Network

SEEDS = 5


def measured_field(
    graph: Graph, index: int, position: Mapping[str, int], seeds: int = SEEDS, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """The mean squared gradient at each position of the first input, channels summed, as shares of its sum.

    Weights, inputs and the gradient at the output come from normal distributions, anew for each seed; norms and dropout
    work as at inference. Shapes: the input's spatial axes.
    Source: Luo et al. 2016, section 3.
    """
    graph = replace(graph, nodes=graph.nodes[: index + 1], outputs={"y": index})
    node, total = graph.nodes[index], torch.zeros(())
    for seed in range(seeds):
        torch.manual_seed(seed)
        with torch.device(device):
            network = Network(graph).eval().requires_grad_(False)
            for parameter in network.parameters():
                if parameter.dim() > 1:  # kernels and matrices, so that no layer damps the gradient (He et al. 2015)
                    nn.init.kaiming_normal_(parameter, mode="fan_out")
            inputs = network.example_inputs()
        value = network(inputs[0].requires_grad_(), *inputs[1:])
        gradient = torch.zeros_like(value)
        place = (0, *(position.get(axis, slice(None)) for axis in node.shape))
        gradient[place] = torch.randn_like(gradient[place])
        (found,) = torch.autograd.grad(value, inputs[0], gradient)
        energy = found[0].double().square()
        if "C" in graph.input:
            energy = energy.sum(dim=list(graph.input).index("C"))
        total = total + (energy / energy.sum()).cpu()
    return total / seeds


def profiles(shares: torch.Tensor, graph: Graph) -> dict[str, Profile]:
    """Along each axis the shares, summed over the others."""
    axes = list(positions_of(graph.input))
    others = {axis: [place for place in range(len(axes)) if axes[place] != axis] for axis in axes}
    return {axis: profile((shares.sum(dim=dims) if dims else shares).tolist()) for axis, dims in others.items()}
