"""The layer kinds: one class each, one file per family. Importing this package registers all of them."""

from archcalc.layers import (  # noqa: F401  # importing a family registers its kinds
    activation,
    attention,
    conv,
    deformable,
    experts,
    latent,
    linear,
    merge,
    modulated,
    norm,
    opaque,
    pool,
    recurrent,
    region,
    reshape,
    resize,
    windows,
)
from archcalc.layers.base import REGISTRY, Argument, Layer, kind_called, layer

__all__ = ["REGISTRY", "Argument", "Layer", "kind_called", "layer"]
