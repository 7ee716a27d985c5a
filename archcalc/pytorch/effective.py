"""The effective receptive field as PyTorch measures it: the squared gradient at every input position."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from archcalc.analyses.effective_field import Measurement, Profile, profile
from archcalc.analyses.positions import positions_of
from archcalc.graph import Graph
from archcalc.pytorch.network import Network, refuse_opaque
from archcalc.shape import Shape

SEEDS = 5


def measured_field(
    graph: Graph, index: int, position: Mapping[str, int], source: int = 0, seeds: int = SEEDS
) -> torch.Tensor | None:
    """The mean squared gradient at each position of an input, by default the first; channels summed, shares of the sum.

    Weights, inputs and the gradient at the output come from normal distributions, anew for each seed; norms and dropout
    work as at inference. Shapes: the input's spatial axes.
    Returns: None where no gradient arrives, or none that is a number, from any initialisation.
    Source: Luo et al. 2016, section 3.
    """
    refuse_opaque(graph, "the effective field can't be measured")
    graph = Graph.of(graph.name, graph.nodes[: index + 1], {"y": index}, {})
    with torch.random.fork_rng():  # the seeds are ours alone
        drawn = [_shares(graph, position, source, seed) for seed in range(seeds)]
    found = [shares for shares in drawn if shares is not None]
    return torch.stack(found).mean(dim=0) if found else None


def _shares(graph: Graph, position: Mapping[str, int], source: int, seed: int) -> torch.Tensor | None:
    """One initialisation's squared gradient, as shares of its sum; None if that isn't a number greater than 0."""
    shape = graph.nodes[-1].shape
    torch.manual_seed(seed)
    network = Network(graph).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.dim() > 1:  # kernels and matrices, so that no layer damps the gradient (He et al. 2015)
            nn.init.kaiming_normal_(parameter, mode="fan_out")
    inputs = network.example_inputs()
    value = network(*(x.requires_grad_() if place == source else x for place, x in enumerate(inputs)))
    gradient = torch.zeros_like(value)
    place = (0, *(position.get(axis, slice(None)) for axis in shape))
    gradient[place] = torch.randn_like(gradient[place])
    (arrived,) = torch.autograd.grad(value, inputs[source], gradient, allow_unused=True)
    if arrived is None or not arrived.isfinite().all() or not arrived.any():
        return None
    energy = (arrived[0].double() / arrived.abs().max()).square()
    if "C" in graph.nodes[source].shape:
        energy = energy.sum(dim=list(graph.nodes[source].shape).index("C"))
    return energy / energy.sum()


def measurement(graph: Graph, index: int, position: Mapping[str, int], source: int = 0) -> Measurement | None:
    """What `measured_field` finds, along each axis of the input and over its last two; None where it finds nothing."""
    shares = measured_field(graph, index, position, source)
    if shares is None:
        return None
    found = profiles(shares, graph.nodes[source].shape)
    while shares.dim() > 2:
        shares = shares.sum(dim=0)
    return Measurement(found, shares.reshape(-1, shares.shape[-1]).tolist())


def profiles(shares: torch.Tensor, volume: Shape) -> dict[str, Profile]:
    """Along each axis of an input's volume the shares, summed over the others."""
    axes = list(positions_of(volume))
    others = {axis: [place for place in range(len(axes)) if axes[place] != axis] for axis in axes}
    return {axis: profile((shares.sum(dim=dims) if dims else shares).tolist()) for axis, dims in others.items()}
