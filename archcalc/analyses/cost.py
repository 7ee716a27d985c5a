"""Parameters and arithmetic."""

from __future__ import annotations

from archcalc.analyses.registry import of_layer
from archcalc.graph import Application
from archcalc.symbolic import Dim


@of_layer("params")
def params(at: Application) -> Dim:
    """Learnable scalars, weights and biases."""
    return at.held("params")


@of_layer("weights")
def weights(at: Application) -> Dim:
    """Learnable scalars that multiply; batch norm's scale is one."""
    return at.held("weights")


@of_layer("biases")
def biases(at: Application) -> Dim:
    """Learnable scalars that are added; batch norm's shift is one."""
    return at.held("biases")


@of_layer("buffers")
def buffers(at: Application) -> Dim:
    """Scalars that are stored but not learned: running statistics, fixed codes."""
    return at.held("buffers")


@of_layer("macs")
def macs(at: Application) -> Dim:
    """Multiply-adds of convolutions and matrix products, excluding biases."""
    return at.layer.macs(*at.input_shapes)


@of_layer("flops")
def flops(at: Application) -> Dim:
    """Two for each multiply-add, PyTorch's own convention."""
    return 2 * at.once(macs)


@of_layer("neurons")
def neurons(at: Application) -> Dim:
    """Outputs of weight layers (Krizhevsky et al. 2012)."""
    return at.output_shape.numel if at.layer.weight_layer else 0


@of_layer("connections")
def connections(at: Application) -> Dim:
    """Links into units, biases included, each counted at every position (LeCun et al. 1998)."""
    return at.layer.connections(*at.input_shapes)
