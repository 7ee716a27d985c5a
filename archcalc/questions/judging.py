"""Claims judged: published figures, and budgets, against what is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from archcalc.data import dataclass
from archcalc.errors import LocalError, SpecError, UsageError, suggestion
from archcalc.expand import build
from archcalc.expand.hparams import make_module
from archcalc.language.arithmetic import Dims, integer, number
from archcalc.language.budgets import Budget
from archcalc.language.expression import Environment
from archcalc.language.model import Claim, Spec, Value
from archcalc.language.printed import Printed
from archcalc.language.tree import Diagnostics
from archcalc.quantities import DTYPE, claimable
from archcalc.report import Report
from archcalc.symbolic import is_symbolic
from archcalc.tables.numbers import exact
from archcalc.work import spend

MISTAKEN = {"flops": "macs", "macs": "flops", "params": "weights", "weights": "params"}
"""What papers call by another name: many write FLOPs for multiply-adds, and leave biases out of params."""

VERDICTS = ("holds", "cut off", "erratum", "wrong", "within", "outside")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and what archcalc computes.

    The verdict on a figure: it `holds`, is `cut off` instead of rounded, is a recorded `erratum`, or is `wrong`, which
    also a recorded erratum is that holds. A budget is `within` its limits, or `outside`.
    """

    claim: Claim
    variant: str
    computed: Any
    verdict: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done about it."""
        return self.verdict not in ("wrong", "outside")


def verdicts_on(spec: Spec, variant: str | None = None) -> tuple[Verdict, ...]:
    """The verdicts on the claims of a spec, on all of them or on those about one variant."""
    return tuple(_verdicts(spec, variant))


def verdicts_on_totals(spec: Spec, variant: str, report: Report) -> list[Verdict]:
    """The verdicts on the claims about the whole graph of one variant, as it stands in the spec."""
    return [judge(claim, report, spec, variant) for claim in spec.claims_on_totals(variant)]


def _verdicts(spec: Spec, variant: str | None) -> Iterator[Verdict]:
    reports = Reports(spec)
    for claim in spec.claims:
        about = claim.variant or spec.default
        if variant is not None and about != variant:
            continue
        try:
            report = reports.of(about, claim.at, claim.dtype)
        except (SpecError, UsageError) as error:
            yield Verdict(claim, claim.variant, None, "wrong", why(error))
        else:
            yield judge(claim, report, spec, about)


class Reports:
    """Reports on the variants of a spec, perhaps with other values (`at`): each is made, or fails, once."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.known: dict[Any, Report | SpecError | UsageError] = {}

    def of(self, variant: str, at: Mapping[str, Any], dtype: str = DTYPE) -> Report:
        """The report on one variant.

        Raises: SpecError, UsageError: it can't be built.
        """
        key = (variant, values_text(at), dtype)
        if key not in self.known:
            try:
                self.known[key] = Report(build(self.spec, variant, at), dtype=dtype)
            except (SpecError, UsageError) as error:
                self.known[key] = error
        found = self.known[key]
        if isinstance(found, Report):
            return found
        raise found


def why(error: SpecError | UsageError) -> str:
    """What is wrong, in one line."""
    return str(error.args[0]) if isinstance(error, UsageError) else error.first.message


def values_text(at: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    """What an `at` says, in an order of its own: equal for equal values."""
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
        computed, found = judged(claim, report, spec, about)
    except LocalError as error:
        problem = f"{error.message}; {error.hint}" if error.hint else error.message
        return Verdict(claim, claim.variant, None, "wrong", problem)
    if problem := no_erratum(claim, found):
        return Verdict(claim, claim.variant, computed, "wrong", problem)
    if not claim.holds:
        return Verdict(claim, claim.variant, computed, "erratum")
    if claim.budget is not None:
        return Verdict(claim, claim.variant, computed, found, _distance(claim.budget, computed))
    problem = _mistaken(claim, report, computed) if found == "wrong" else ""
    return Verdict(claim, claim.variant, computed, found, problem)


def _distance(budget: Budget, computed: Any) -> str:
    """How far a number is outside of a budget, exactly; of several the one that is farthest. Nothing within it."""
    values = computed if isinstance(computed, tuple) else (computed,)
    over = [value - budget.high for value in values if budget.high is not None and budget.over(value)]
    under = [budget.low - value for value in values if budget.low is not None and budget.under(value)]
    found = [f"over by {exact(max(over))}"] if over else []
    found += [f"under by {exact(max(under))}"] if under else []
    return ", ".join(found)


def judged(claim: Claim, report: Report, spec: Spec, about: str) -> tuple[Any, str]:
    """The computed value, and the verdict: a figure `holds`, is `cut off` or `wrong`, a budget `within` or `outside`.

    Raises: LocalError: the two can't be compared.
    """
    computed = quantity(report, claim.quantity, claim.path)
    if claim.budget is not None:
        return computed, _within(computed, claim.budget, claim)
    expected = _expected(spec, about, claim)
    if claimable()[claim.quantity].axis and isinstance(expected, tuple) and not isinstance(computed, tuple):
        computed = Dims([computed] * len(report[claim.path].fields))  # alike along all axes, and claimed for each
    return computed, _compared(computed, expected, claim)


def no_erratum(claim: Claim, found: str) -> str:
    """Why a figure that is recorded as an erratum isn't one; nothing if it is, or isn't recorded so."""
    if claim.holds or found in ("wrong", "outside"):
        return ""
    right = {"holds": "it holds", "cut off": "it is cut off instead of rounded", "within": "it is within"}
    return f"recorded as an erratum, but {right[found]}"


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
    Raises: LocalError: there is no such layer or scope, or it has no such number.
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
    try:
        return report.total(name, path)
    except UsageError as error:
        raise LocalError(error.args[0], code="E035", hint=error.hint) from None


def _within(computed: Any, budget: Budget, claim: Claim) -> str:
    """Whether a number, or each of several, is `within` a budget or `outside` it.

    Raises: LocalError: it depends on a symbol.
    """
    values = computed if isinstance(computed, tuple) else (computed,)
    if any(map(is_symbolic, values)):
        hint = "give the symbols values with 'at'"
        raise LocalError(f"{claim.subject} is {computed}, no number", code="E033", hint=hint)
    return "within" if all(map(budget.allows, values)) else "outside"


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
