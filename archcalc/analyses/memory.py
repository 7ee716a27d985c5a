"""Volumes and their bytes."""

from __future__ import annotations

from typing import Any

from archcalc.analyses import analysis
from archcalc.graph import Application

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
"""Bytes of one value of each dtype."""


@analysis("activations", "values", per_example=True)
def activations(at: Application) -> Any:
    """Values of the output volume; layers computed in place and views make none."""
    return 0 if at.layer.in_place else at.output_shape.numel
