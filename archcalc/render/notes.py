"""What stands below a table: the totals in words, what is not counted, conditions, and the published figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from archcalc.analyses.memory import BYTES, UNTRAINED
from archcalc.quantities import claimable
from archcalc.render.figures import exact, memory
from archcalc.symbolic import is_symbolic
from archcalc.text import line

if TYPE_CHECKING:
    from archcalc.claims import Verdict
    from archcalc.report import Report

ALL_NARROW = "all values and params in {}; autocast, which keeps params and some results in float32, needs more"
LONGEST = 300
"""Characters of a formula that stands below a table."""


def facts(report: Report) -> Iterator[tuple[str, str]]:
    """(what, how much) about the whole graph."""
    totals = report.totals
    counts = {name: exact(value) for name, value in totals.items() if value is not None}
    weights = memory(totals["params"] * BYTES[report.dtype])
    yield "params", f"{counts['params']} ({counts['weights']} weights, {counts['biases']} biases), {weights}"
    if totals["buffers"] != 0:
        buffers = memory(totals["buffers"] * BYTES[report.dtype])
        yield "buffers", f"{counts['buffers']} stored but not learned, {buffers}"
    yield "MACs", f"{counts['macs']} ({counts['flops']} FLOPs)"
    yield "memory", f"{counts['activations']} activations, {memory(totals['activation_bytes'])} as {report.dtype}"
    if report.has("saved_bytes"):
        kept = memory(totals["saved_bytes"])
        yield "training", f"{kept} kept for the backward pass; params and gradients come on top"
    yield "inference", _peak(report)
    if BYTES[report.dtype] < BYTES["float32"] and report.dtype not in UNTRAINED:
        yield "dtype", ALL_NARROW.format(report.dtype)
    yield "depth", f"{counts['depth']} weight layers on the longest path"
    if report.batch != 1:
        yield "batch", f"{report.batch}; MACs, FLOPs and memory are for all examples together"
    if report.uncounted:
        kinds = (f"{kind} ({what})" for kind, what in report.uncounted.items())
        yield "not in MACs", ", ".join(kinds)
    if report.graph.conditions:
        yield "valid if", "; ".join(map(str, report.graph.conditions))


def _peak(report: Report) -> str:
    """The most that the exported program holds, and at which layer; the floor. A long formula is left to JSON."""
    peak, least = report.totals["peak_bytes"], report.totals["least_bytes"]
    if not is_symbolic(peak):
        pairs = zip(report.graph.nodes, report.placed("peak_bytes"), strict=True)
        at = next(node.name for node, held in pairs if peak in (held if isinstance(held, tuple) else (held,)))
        return f"{memory(peak)} held at once, at {at}; the floor is {memory(least)}"
    if len(text := memory(peak)) > LONGEST:
        return f"the largest of {len(peak.args)} sums of bytes, which --format json shows"
    return f"{text} held at once"


def heading(report: Report) -> str:
    """The name, and the title if there is one."""
    title = report.graph.title
    return line(f"{report.name}: {title}" if title else report.name)


def figure(quantity: str, value: Any) -> str:
    """A computed value as it stands beside a published one."""
    if value is None:
        return "none"
    return memory(value) if claimable()[quantity].in_bytes else exact(value)


CLAIM_LABELS = ("quantity", "published", "computed", "verdict", "source")
CLAIM_LEFTS = (True, False, False, True, True)


def claim_cells(verdict: Verdict, variants: bool = False) -> tuple[str, str, str, str, str]:
    """A published figure: what, perhaps of which variant, as printed, as computed, the verdict, who printed it."""
    claim = verdict.claim
    printed = " ".join(claim.expected.text.split())
    printed = (
        exact(int(printed)) if printed.isdecimal() and claim.quantity != "shape" and len(printed) < 100 else printed
    )
    if claim.digits is not None:
        printed += f" ({claim.digits} digit{'s' if claim.digits > 1 else ''})"
    computed = figure(claim.quantity, verdict.computed)
    about = [claim.subject, *([claim.variant] if variants and claim.variant else [])]
    about += [f"{name}={value.text}" for name, value in claim.at.items()]
    judged = f"{verdict.verdict} within {claim.percent}" if claim.percent else verdict.verdict
    return line(", ".join(about)), line(printed), computed, judged, line(claim.source)


def remarks(verdict: Verdict) -> Iterator[str]:
    """What is to be said about a verdict: why an erratum is one, what is wrong with a wrong one."""
    if verdict.problem:
        yield line(verdict.problem)
    if verdict.verdict != "holds" and verdict.claim.note:
        yield line(verdict.claim.note)
