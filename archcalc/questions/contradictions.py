"""What is wrong with claims whatever their figures: layers that aren't there, errata that hold, contradictions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any, TypeAlias

from archcalc.errors import Diagnostic, LocalError, SpecError, UsageError
from archcalc.language.expression import Literal
from archcalc.language.model import Claim, Spec
from archcalc.language.tree import Diagnostics
from archcalc.questions.judging import Reports, judged, no_erratum, values_text, why


def claim_findings(spec: Spec, variants: Collection[str], reports: Reports | None = None) -> list[Diagnostic]:
    """What is wrong with the claims about these variants whatever their figures: in the order of the file.

    `reports` are those that have been made already.
    """
    found, reports = Diagnostics(), reports or Reports(spec)
    claims = [claim for claim in spec.claims if (claim.variant or spec.default) in variants]
    for claim in claims:
        _find(claim, spec, reports, found)
    _find_disagreements(claims, spec, found)
    return found.sorted()


def _find(claim: Claim, spec: Spec, reports: Reports, found: Diagnostics) -> None:
    """Report a claim that can't be compared with anything, or an erratum that is none."""
    about = claim.variant or spec.default
    try:
        reports.of(about, {})
    except (SpecError, UsageError):
        return  # what is wrong with the variant itself is reported elsewhere
    try:
        report = reports.of(about, claim.at, claim.dtype)
        _, verdict = judged(claim, report, spec, about)
    except (SpecError, UsageError) as error:
        mark = next(iter(claim.at.values())).mark
        found.report(spec.source, "E036", f"nothing can be built with this 'at': {why(error)}", mark)
    except LocalError as error:
        mark = claim.mark if error.code == "E035" else claim.expected.mark
        found.report(spec.source, error.code, error.message, mark, hint=error.hint)
    else:
        if problem := no_erratum(claim, verdict):
            message = f"{claim.subject} is {problem}"
            found.report(spec.source, "E037", message, claim.mark, hint="leave 'holds: false' out")


def _find_disagreements(claims: Sequence[Claim], spec: Spec, found: Diagnostics) -> None:
    """Report figures that can't all be right (E038), whatever is computed, and those that stand twice (W405).

    Budgets are compared with each other alone: that a network is beyond one says nothing against the figure.
    """
    seen: dict[Any, Claim] = {}
    bounds: dict[Any, _Bounds] = {}
    for claim in claims:
        subject = (claim.subject, claim.variant or spec.default, values_text(claim.at), claim.dtype)
        first = seen.setdefault((*subject, claim.source, claim.expected.text, claim.holds), claim)
        if first is not claim:
            found.report(spec.source, "W405", f"the same figure stands at line {first.mark.line}", claim.mark)
        elif (values := _range(claim)) is not None:
            among = (*subject, claim.budget is None)
            other = bounds.setdefault(among, _Bounds(*values, claim, claim)).narrowed(*values, claim)
            if other is not None:
                message = f"{claim.subject} can't be both {claim.expected.text} and {other.expected.text}"
                detail = f"{other.expected.text} stands at line {other.mark.line}"
                hint = "" if claim.budget else "a printed figure that is wrong is recorded with holds: false"
                found.report(spec.source, "E038", message, claim.mark, details=(detail,), hint=hint)


_Bound: TypeAlias = tuple[int | Fraction | float, int]
"""A number, and whether the next bound is a bit more (1) or less (-1), since the number itself is excluded."""


@dataclass
class _Bounds:
    """The values with which all figures so far are right, and the claims that set the bounds."""

    low: _Bound
    high: _Bound
    lowest: Claim
    highest: Claim

    def narrowed(self, low: _Bound, high: _Bound, claim: Claim) -> Claim | None:
        """Take in one more figure, unless it contradicts another: then that one."""
        if low > self.high or high < self.low:
            return self.highest if low > self.high else self.lowest
        if low > self.low:
            self.low, self.lowest = low, claim
        if high < self.high:
            self.high, self.highest = high, claim
        return None


def _range(claim: Claim) -> tuple[_Bound, _Bound] | None:
    """The least and the largest value with which a figure is right or a budget kept, if it is about one number."""
    expr = claim.expected.expr
    if not claim.holds:
        return None
    if (budget := claim.budget) is not None:
        low = -inf if budget.low is None else budget.low
        high = inf if budget.high is None else budget.high
        return (low, int(budget.strict)), (high, -int(budget.strict))
    if not isinstance(expr, Literal):
        return None
    if claim.tolerance is not None:
        return (expr.value * (1 - claim.tolerance), 0), (expr.value * (1 + claim.tolerance), 0)
    printed = claim.printed
    return ((expr.value, 0), (expr.value, 0)) if printed is None else ((printed.least, 0), (printed.end, 0))
