"""Published figures against computed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from archcalc.analyses.cost import depth
from archcalc.errors import LocalError, SpecError, UsageError
from archcalc.expand import build
from archcalc.expand.hparams import make_module
from archcalc.report import Report, analyze
from archcalc.spec.arithmetic import Dims, integer, number
from archcalc.spec.expression import Literal
from archcalc.spec.model import Claim, Spec
from archcalc.spec.tree import Diagnostics
from archcalc.symbolic import is_symbolic

FIELDS = {"rf": "size", "rf_stride": "stride", "rf_padding": "padding"}
"""The quantities that are about a layer's receptive field, and what of it they are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and what archcalc computes: it holds, is a recorded erratum, or is wrong.

    Wrong means either that a claim does not hold, or that a recorded erratum holds after all.
    """

    claim: Claim
    variant: str
    computed: Any
    verdict: str
    problem: str = ""


def check_claims(spec: Spec, variant: str | None = None) -> list[Verdict]:
    """Check the claims of a spec, all of them or those about one variant."""
    return list(_verdicts(spec, variant))


def check_totals(spec: Spec, variant: str, report: Report) -> list[Verdict]:
    """Check the claims about the whole graph of one variant, as it stands in the spec, against its report."""
    return [
        judge(claim, report, spec, variant)
        for claim in spec.claims
        if not claim.path and not claim.at and (claim.variant or spec.default) == variant
    ]


def _verdicts(spec: Spec, variant: str | None) -> Iterator[Verdict]:
    reports: dict[tuple[str, tuple[str, ...]], Report] = {}
    for claim in spec.claims:
        about = claim.variant or spec.default
        if variant is not None and about != variant:
            continue
        key = (about, tuple(f"{name}={value.text}" for name, value in claim.at.items()))
        try:
            if key not in reports:
                reports[key] = analyze(build(spec, about, claim.at))
        except (SpecError, UsageError) as error:
            yield Verdict(claim, claim.variant, None, "wrong", str(error).partition("\n")[0])
        else:
            yield judge(claim, reports[key], spec, about)


def _expected(spec: Spec, variant: str, claim: Claim) -> Any:
    """The claimed value; the hparams that are symbols stay symbols in it."""
    env = make_module(spec, variant, claim.at, Diagnostics()).env
    value = claim.expected.expr.evaluate(env)
    if isinstance(value, (list, tuple)):
        return tuple(integer(size, claim.subject) for size in value)
    return number(value)


def judge(claim: Claim, report: Report, spec: Spec, about: str) -> Verdict:
    """Compare one claim with a report on the variant that it's about."""
    variant = claim.variant
    if claim.path and claim.path not in report.graph:
        return Verdict(claim, variant, None, "wrong", f"no layer named '{claim.path}'")
    try:
        computed = quantity(report, claim.quantity, claim.path)
        agrees = _agree(computed, _expected(spec, about, claim), claim)
    except LocalError as error:
        return Verdict(claim, variant, None, "wrong", error.message)
    if agrees is claim.holds:
        return Verdict(claim, variant, computed, "holds" if agrees else "erratum")
    problem = "recorded as an erratum, but it holds" if agrees else ""
    return Verdict(claim, variant, computed, "wrong", problem)


def quantity(report: Report, name: str, path: str = "") -> Any:
    """The computed value of a claim's quantity, for the whole graph or one of its scopes.

    Returns: a number or expression; for `shape`, and for `rf…` if the axes differ, sizes in the spec's order of axes.
    """
    if name == "depth":
        return depth(report.graph, path)
    if name == "shape":
        return Dims(report.ordered(report.graph[path].shape).values())
    if name in FIELDS:
        sizes = [getattr(field, FIELDS[name]) for field in report.ordered(report[path].fields).values()]
        if not sizes:
            raise LocalError(f"'{path}' has no receptive field: the input has no spatial axis")
        return sizes[0] if len(set(sizes)) == 1 else Dims(sizes)
    return report.total(name, path)


def _agree(computed: Any, expected: Any, claim: Claim) -> bool:
    """Whether a computed value is the claimed one: within `tol`, else as printed, else exactly."""
    if isinstance(computed, tuple) or isinstance(expected, tuple):
        sizes = (computed, expected)
        if not all(isinstance(size, tuple) for size in sizes) or len(computed) != len(expected):
            return False
        return all(_equal(a, b) for a, b in zip(computed, expected, strict=True))
    if is_symbolic(computed) or is_symbolic(expected):
        return _equal(computed, expected)
    if claim.tolerance is not None:
        return bool(abs(computed - expected) <= claim.tolerance * abs(expected))
    literal = claim.expected.expr
    if isinstance(literal, Literal) and literal.rounded:
        half = Fraction(literal.step, 2)
        return bool(expected - half <= computed < expected + half)
    return _equal(computed, expected)


def _equal(a: Any, b: Any) -> bool:
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(a == b)
    from sympy import expand

    return bool(expand(a - b) == 0)


def totals_of(verdicts: list[Verdict]) -> Mapping[str, int]:
    """How many claims hold, are errata, or are wrong."""
    return {kind: sum(v.verdict == kind for v in verdicts) for kind in ("holds", "erratum", "wrong")}
