"""archcalc: write a neural network down in a few lines, and know everything about it before running it.

>>> import archcalc
>>> graph = archcalc.load("vgg16").build()
>>> archcalc.analyze(graph).totals["macs"]
15470264320
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from archcalc._version import __version__

if TYPE_CHECKING:
    from archcalc.drawings.diagram import Diagram
    from archcalc.drawings.draw import draw
    from archcalc.drawings.drawable import Drawable
    from archcalc.errors import ArchcalcError, ShapeError, SpecError, UnknownNameError, UsageError, VerificationError
    from archcalc.expand import build
    from archcalc.graph import Graph, Node
    from archcalc.language.model import Spec
    from archcalc.pytorch import to_torch
    from archcalc.questions.against import assert_matches
    from archcalc.questions.analyze import analyze
    from archcalc.questions.architectures import Architectures, architectures
    from archcalc.questions.check import check
    from archcalc.questions.claims import Claims, claims
    from archcalc.questions.compare import Comparison, compare
    from archcalc.questions.effective_field import EffectiveField, effective_receptive_field
    from archcalc.questions.explain import Explanation, explain
    from archcalc.questions.explain_steps import Step
    from archcalc.questions.findings import Findings
    from archcalc.questions.formula import Formulas, formula
    from archcalc.questions.golden import GoldenCheck, GoldenUpdate, golden_check, golden_update
    from archcalc.questions.imports import from_config, from_onnx, from_torch
    from archcalc.questions.memory import Memory, memory
    from archcalc.questions.receptive_field import LayerField, ReceptiveFields, receptive_field
    from archcalc.questions.receptive_field_at import PositionField, receptive_field_at
    from archcalc.questions.receptive_field_stack import Stack, receptive_field_stack
    from archcalc.questions.revisions import Differences, diff
    from archcalc.questions.show import Description, show
    from archcalc.questions.solve import Solution, solve
    from archcalc.questions.sweep import Sweep, sweep
    from archcalc.questions.verify import Verifications, verify, verify_against
    from archcalc.report import Report
    from archcalc.shape import Shape
    from archcalc.symbolic import Integers, dim
    from archcalc.tables.answer import Answer
    from archcalc.zoo import Architecture, load

_HOMES = {
    "archcalc.expand": ("build",),
    "archcalc.errors": (
        "ArchcalcError",
        "ShapeError",
        "SpecError",
        "UnknownNameError",
        "UsageError",
        "VerificationError",
    ),
    "archcalc.graph": ("Graph", "Node"),
    "archcalc.questions.analyze": ("analyze",),
    "archcalc.questions.architectures": ("Architectures", "architectures"),
    "archcalc.questions.against": ("assert_matches",),
    "archcalc.questions.check": ("check",),
    "archcalc.questions.claims": ("Claims", "claims"),
    "archcalc.questions.compare": ("Comparison", "compare"),
    "archcalc.questions.effective_field": ("EffectiveField", "effective_receptive_field"),
    "archcalc.questions.golden": ("GoldenCheck", "GoldenUpdate", "golden_check", "golden_update"),
    "archcalc.questions.explain": ("Explanation", "explain"),
    "archcalc.questions.explain_steps": ("Step",),
    "archcalc.questions.receptive_field": ("LayerField", "ReceptiveFields", "receptive_field"),
    "archcalc.questions.receptive_field_at": ("PositionField", "receptive_field_at"),
    "archcalc.questions.receptive_field_stack": ("Stack", "receptive_field_stack"),
    "archcalc.questions.revisions": ("Differences", "diff"),
    "archcalc.questions.findings": ("Findings",),
    "archcalc.questions.formula": ("Formulas", "formula"),
    "archcalc.questions.imports": ("from_config", "from_onnx", "from_torch"),
    "archcalc.questions.memory": ("Memory", "memory"),
    "archcalc.questions.show": ("Description", "show"),
    "archcalc.questions.verify": ("Verifications", "verify", "verify_against"),
    "archcalc.questions.solve": ("Solution", "solve"),
    "archcalc.questions.sweep": ("Sweep", "sweep"),
    "archcalc.drawings.diagram": ("Diagram",),
    "archcalc.drawings.draw": ("draw",),
    "archcalc.drawings.drawable": ("Drawable",),
    "archcalc.report": ("Report",),
    "archcalc.shape": ("Shape",),
    "archcalc.language.model": ("Spec",),
    "archcalc.symbolic": ("Integers", "dim"),
    "archcalc.tables.answer": ("Answer",),
    "archcalc.pytorch": ("to_torch",),
    "archcalc.zoo": ("Architecture", "load"),
}

__all__ = [
    "Answer",
    "ArchcalcError",
    "Architecture",
    "Architectures",
    "Claims",
    "Comparison",
    "Description",
    "Diagram",
    "Differences",
    "Drawable",
    "EffectiveField",
    "Explanation",
    "Findings",
    "Formulas",
    "GoldenCheck",
    "GoldenUpdate",
    "Graph",
    "Integers",
    "LayerField",
    "Memory",
    "Node",
    "PositionField",
    "ReceptiveFields",
    "Report",
    "Shape",
    "ShapeError",
    "Solution",
    "Spec",
    "SpecError",
    "Stack",
    "Step",
    "Sweep",
    "UnknownNameError",
    "UsageError",
    "VerificationError",
    "Verifications",
    "__version__",
    "analyze",
    "architectures",
    "assert_matches",
    "build",
    "check",
    "claims",
    "compare",
    "diff",
    "dim",
    "draw",
    "effective_receptive_field",
    "explain",
    "formula",
    "from_config",
    "from_onnx",
    "from_torch",
    "golden_check",
    "golden_update",
    "load",
    "memory",
    "receptive_field",
    "receptive_field_at",
    "receptive_field_stack",
    "show",
    "solve",
    "sweep",
    "to_torch",
    "verify",
    "verify_against",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import archcalc` costs next to nothing."""
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(home), name)
            return value
    raise AttributeError(f"module 'archcalc' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names, whether or not they have been used yet."""
    return list(__all__)
