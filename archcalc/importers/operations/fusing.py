"""Patterns: what programs spell out in several operations, as the one operation that it is."""

from __future__ import annotations

from archcalc.importers.operations.exported import Exported
from archcalc.importers.operations.program import Found, Program
from archcalc.importers.operations.spelled_activations import activation
from archcalc.importers.operations.spelled_experts import mixture
from archcalc.importers.operations.spelled_norms import norm
from archcalc.importers.operations.spelled_rotations import rotation

PATTERNS: tuple[Found, ...] = (norm, activation, rotation, mixture)
"""In the order in which they are looked for at each operation."""


def fused(exported: Exported) -> Exported:
    """A module's operations with one in place of each pattern."""
    return Program(exported).rewritten(PATTERNS)
