"""Published figures against computed ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from archcalc.errors import Diagnostic, LocalError, SpecError, UsageError, suggestion
from archcalc.expand import build
from archcalc.expand.hparams import make_module
from archcalc.quantities import claimable
from archcalc.report import Report, analyze
from archcalc.spec.arithmetic import Dims, integer, number
from archcalc.spec.expression import Environment, Literal
from archcalc.spec.model import Claim, Spec, Value
from archcalc.spec.printed import Printed
from archcalc.spec.tree import Diagnostics
from archcalc.symbolic import is_symbolic
from archcalc.work import spend

MISTAKEN = {"flops": "macs", "macs": "flops", "params": "weights", "weights": "params"}
"""What papers call by another name: many write FLOPs for multiply-adds, and leave biases out of params."""

VERDICTS = ("holds", "cut off", "erratum", "wrong")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and what archcalc computes: it holds, is cut off instead of rounded, is a recorded erratum, or is wrong.

    Wrong means either that a claim does not hold, or that a recorded erratum is none.
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
    reports = _Reports(spec)
    for claim in spec.claims:
        about = claim.variant or spec.default
        if variant is not None and about != variant:
            continue
        try:
            report = reports.of(about, claim.at)
        except (SpecError, UsageError) as error:
            yield Verdict(claim, claim.variant, None, "wrong", _why(error))
        else:
            yield judge(claim, report, spec, about)


class _Reports:
    """Reports on the variants of a spec, perhaps with other values (`at`): each is made, or fails, once."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.known: dict[Any, Report | SpecError | UsageError] = {}

    def of(self, variant: str, at: Mapping[str, Value]) -> Report:
        """The report on one variant.

        Raises: SpecError, UsageError: it can't be built.
        """
        key = (variant, _text(at))
        if key not in self.known:
            try:
                self.known[key] = analyze(build(self.spec, variant, at))
            except (SpecError, UsageError) as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, Report):
            return found
        raise found


def _why(error: SpecError | UsageError) -> str:
    """What is wrong, in one line."""
    if isinstance(error, UsageError):
        return str(error.args[0])
    return next(found.message for found in error.diagnostics if found.severity == "error")


def _text(at: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value.text) for name, value in at.items()))


def _expected(spec: Spec, variant: str, claim: Claim) -> Any:
    """The claimed value; the hparams that are symbols stay symbols in it."""
    expr = claim.expected.expr
    env = make_module(spec, variant, claim.at, Diagnostics()).env if expr.names() else Environment({})
    value = expr.evaluate(env)
    if isinstance(value, (list, tuple)):
        return tuple(integer(size, claim.subject) for size in value)
    return number(value)


def judge(claim: Claim, report: Report, spec: Spec, about: str) -> Verdict:
    """Compare one claim with a report on the variant that it's about."""
    try:
        computed, found = _judged(claim, report, spec, about)
    except LocalError as error:
        problem = f"{error.message}; {error.hint}" if error.hint else error.message
        return Verdict(claim, claim.variant, None, "wrong", problem)
    if problem := _no_erratum(claim, found):
        return Verdict(claim, claim.variant, computed, "wrong", problem)
    if not claim.holds:
        return Verdict(claim, claim.variant, computed, "erratum")
    problem = _mistaken(claim, report, computed) if found == "wrong" else ""
    return Verdict(claim, claim.variant, computed, found, problem)


def _judged(claim: Claim, report: Report, spec: Spec, about: str) -> tuple[Any, str]:
    """The computed value, and whether the figure `holds`, is `cut off` or `wrong`.

    Raises: LocalError: the two can't be compared.
    """
    computed, expected = quantity(report, claim.quantity, claim.path), _expected(spec, about, claim)
    if claimable()[claim.quantity].axis and isinstance(expected, tuple) and not isinstance(computed, tuple):
        computed = Dims([computed] * len(report[claim.path].fields))  # alike along all axes, and claimed for each
    return computed, _compared(computed, expected, claim)


def _no_erratum(claim: Claim, found: str) -> str:
    """Why a figure that is recorded as an erratum isn't one; nothing if it is, or isn't recorded so."""
    if claim.holds or found == "wrong":
        return ""
    return f"recorded as an erratum, but it {'holds' if found == 'holds' else 'is cut off instead of rounded'}"


def _mistaken(claim: Claim, report: Report, computed: Any) -> str:
    """What a wrong figure is right for, where papers often mean one thing and say another."""
    if claim.printed is None or is_symbolic(computed):
        return ""
    other = MISTAKEN.get(claim.quantity, "")
    if other and not is_symbolic(meant := report.total(other, claim.path)) and claim.printed.rounds(meant):
        return f"it is right for '{other}'"
    unit = claim.expected.text[-2:-1].upper()
    if claim.expected.text.endswith("B") and unit in "KMG":
        power = "KMG".index(unit) + 1
        binary = Printed(claim.printed.digits, claim.printed.step * Fraction(1024, 1000) ** power)
        if binary.rounds(computed):
            return f"it is right in {unit}iB"
    return ""


def quantity(report: Report, name: str, path: str = "") -> Any:
    """The computed value of a claim's quantity, for the whole graph or one of its scopes.

    Returns: a number or expression; for `shape`, and for `rf…` if the axes differ, sizes in the spec's order of axes.
    Raises: LocalError: there is no such layer or scope, or it has no receptive field.
    """
    if path:
        spend(len(report.graph), "looking for the layers of claims")
    if path and path not in report.graph:
        hint = suggestion(path, report.graph.places)
        raise LocalError(f"no layer or scope is called '{path}'", code="E035", hint=hint)
    if name == "shape":
        return Dims(report.ordered(report.graph[path].shape).values())
    if claimable()[name].axis:
        fields = report.ordered(report[path].fields)
        if not fields:
            why = "has no spatial axis" if not report.graph.input.spatial else "doesn't reach it"
            first = report.graph.first_of_several
            which = f"the first input, '{first}'," if first else "the input"
            raise LocalError(f"'{path}' has no receptive field: {which} {why}", code="E035")
        if not all(field.follows for field in fields.values()):
            raise LocalError(
                f"'{path}' has no receptive field: its positions don't follow the input's axes", code="E035"
            )
        sizes = list(report[path][claimable()[name].name].values())
        return sizes[0] if len(set(sizes)) == 1 else Dims(sizes)
    return report.total(name, path)


def _compared(computed: Any, expected: Any, claim: Claim) -> str:
    """Whether a figure `holds`, is `cut off` or `wrong`: by its digits, within `tol`, or else exactly."""
    if isinstance(computed, tuple) or isinstance(expected, tuple):
        if not isinstance(computed, tuple) or not isinstance(expected, tuple):
            raise LocalError(f"{claim.subject} is {computed}, which can't be {claim.expected.text}", code="E033")
        if len(computed) != len(expected):
            message = f"{claim.subject} has {len(computed)} sizes, not {len(expected)}: {computed}"
            raise LocalError(message, code="E033")
        return "holds" if all(map(_equal, computed, expected)) else "wrong"
    if is_symbolic(computed) and not is_symbolic(expected):
        hint = "give the symbols values with 'at'"
        raise LocalError(f"{claim.subject} is {computed}, no number", code="E033", hint=hint)
    if not is_symbolic(expected) and expected < 0 and claim.quantity != "rf_padding":
        raise LocalError(f"'{claim.quantity}' is never negative", code="E033")
    if claim.tolerance is not None and not is_symbolic(expected):
        return "holds" if abs(computed - expected) <= claim.tolerance * abs(expected) else "wrong"
    if claim.printed is not None:
        return "holds" if claim.printed.rounds(computed) else "cut off" if claim.printed.cuts(computed) else "wrong"
    return "holds" if _equal(computed, expected) else "wrong"


def _equal(a: Any, b: Any) -> bool:
    if not is_symbolic(a) and not is_symbolic(b):
        return bool(a == b)
    from sympy import expand

    return bool(expand(a - b) == 0)


def totals_of(verdicts: list[Verdict]) -> Mapping[str, int]:
    """How many claims hold, are cut off, are errata, or are wrong."""
    return {kind: sum(v.verdict == kind for v in verdicts) for kind in VERDICTS}


# --- what can't be true, for `archcalc check` -------------------------------------------------------------------------


def claim_findings(spec: Spec, variants: Collection[str]) -> list[Diagnostic]:
    """What is wrong with the claims about these variants whatever their figures: in the order of the file."""
    found = Diagnostics()
    reports = _Reports(spec)
    claims = [claim for claim in spec.claims if (claim.variant or spec.default) in variants]
    for claim in claims:
        _find(claim, spec, reports, found)
    _find_disagreements(claims, spec, found)
    return found.sorted()


def _find(claim: Claim, spec: Spec, reports: _Reports, found: Diagnostics) -> None:
    """Report a claim that can't be compared with anything, or an erratum that is none."""
    about = claim.variant or spec.default
    try:
        reports.of(about, {})
    except (SpecError, UsageError):
        return  # what is wrong with the variant itself is reported elsewhere
    try:
        report = reports.of(about, claim.at)
        _, verdict = _judged(claim, report, spec, about)
    except (SpecError, UsageError) as error:
        mark = next(iter(claim.at.values())).mark
        found.report(spec.source, "E036", f"nothing can be built with this 'at': {_why(error)}", mark)
    except LocalError as error:
        mark = claim.mark if error.code == "E035" else claim.expected.mark
        found.report(spec.source, error.code, error.message, mark, hint=error.hint)
    else:
        if problem := _no_erratum(claim, verdict):
            message = f"{claim.subject} is {problem}"
            found.report(spec.source, "E037", message, claim.mark, hint="leave 'holds: false' out")


def _find_disagreements(claims: Sequence[Claim], spec: Spec, found: Diagnostics) -> None:
    """Report figures that can't all be right (E038), whatever is computed, and those that stand twice (W405)."""
    seen: dict[Any, Claim] = {}
    bounds: dict[Any, _Bounds] = {}
    for claim in claims:
        subject = (claim.subject, claim.variant or spec.default, _text(claim.at))
        first = seen.setdefault((*subject, claim.source, claim.expected.text, claim.holds), claim)
        if first is not claim:
            found.report(spec.source, "W405", f"the same figure stands at line {first.mark.line}", claim.mark)
        elif (values := _range(claim)) is not None:
            other = bounds.setdefault(subject, _Bounds(*values, claim, claim)).narrowed(*values, claim)
            if other is not None:
                message = f"{claim.subject} can't be both {claim.expected.text} and {other.expected.text}"
                detail = f"{other.expected.text} stands at line {other.mark.line}"
                hint = "a printed figure that is wrong is recorded with holds: false"
                found.report(spec.source, "E038", message, claim.mark, details=(detail,), hint=hint)


@dataclass
class _Bounds:
    """The values with which all figures so far are right, and the claims that set the bounds."""

    low: Any
    high: Any
    lowest: Claim
    highest: Claim

    def narrowed(self, low: Any, high: Any, claim: Claim) -> Claim | None:
        """Take in one more figure, unless it contradicts another: then that one."""
        if low > self.high or high < self.low:
            return self.highest if low > self.high else self.lowest
        if low > self.low:
            self.low, self.lowest = low, claim
        if high < self.high:
            self.high, self.highest = high, claim
        return None


def _range(claim: Claim) -> tuple[Any, Any] | None:
    """The least and the largest value with which a figure is right, if it is one number."""
    expr = claim.expected.expr
    if not claim.holds or not isinstance(expr, Literal):
        return None
    if claim.tolerance is not None:
        return expr.value * (1 - claim.tolerance), expr.value * (1 + claim.tolerance)
    return (expr.value, expr.value) if claim.printed is None else (claim.printed.least, claim.printed.end)
