"""The rule for printed digits against Python's decimal arithmetic, and verdicts against a judge of its own.

python -m tests.claim_rules --examples 100000 --seed 7
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from math import prod

from archcalc.language.expression import Literal
from archcalc.language.grammar import parse_expression
from archcalc.language.printed import Printed
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source
from archcalc.questions.judging import verdicts_on

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def judged(printed: str, value: int) -> str:
    """What a figure says about a value, by `decimal` alone: the text is read anew, and rounded by its contexts."""
    digits = printed.rstrip("KMGi")
    unit = UNITS[printed[len(digits) :]]
    figure = Decimal(digits)
    place = Decimal(1).scaleb(int(figure.as_tuple().exponent))
    with localcontext() as context:
        context.prec = 80
        shown = Decimal(value) / Decimal(unit)  # exact: the units are powers of 2 and 10
        if shown and shown < place:  # no digit would be left: rounded to the first one instead
            place = Decimal(1).scaleb(shown.adjusted())
        if figure in (shown.quantize(place, ROUND_HALF_UP), shown.quantize(place, ROUND_HALF_EVEN)):
            return "holds"
        return "cut off" if figure == shown.quantize(place, ROUND_DOWN) else "wrong"


def figures(rng: random.Random) -> Iterator[tuple[str, int]]:
    """Random figures, each with a value near it: within it, at its edges, halfway, or far away."""
    while True:
        decimals = rng.choice([0, 0, 1, 1, 2, 3])
        digits = rng.choice([rng.randint(1, 9), rng.randint(1, 999), 10 ** rng.randint(0, 3), rng.randint(1, 99999)])
        text = f"{digits // 10**decimals}.{digits % 10**decimals:0{decimals}}" if decimals else str(digits)
        suffix = rng.choice([unit for unit in UNITS if unit or decimals])
        step = Fraction(UNITS[suffix], 10**decimals)
        shift = rng.choice(
            [Fraction(-1, 2), Fraction(1, 2), Fraction(-1, 20), 0, 1, -1, Fraction(rng.random() * 4 - 2)]
        )
        value = round((digits + shift) * step) + rng.randint(-1, 1)
        if value >= 0:
            yield text + suffix, value


def disagreements(examples: int, seed: int) -> list[str]:
    """Figures about which the rule and `decimal` disagree."""
    found = []
    for printed, value in (pair for pair, _ in zip(figures(random.Random(seed)), range(examples), strict=False)):
        literal = parse_expression(printed)
        assert isinstance(literal, Literal)
        figure = Printed(int(literal.value / literal.step), literal.step)
        said = "holds" if figure.rounds(value) else "cut off" if figure.cuts(value) else "wrong"
        if said != judged(printed, value):
            found.append(f"{printed} for {value}: {said}, decimal says {judged(printed, value)}")
    return found


def wrong_verdicts(examples: int, seed: int) -> list[str]:
    """Claims about random networks whose verdict isn't that of textbook formulas and `decimal`."""
    rng = random.Random(seed)
    found = []
    for number in range(examples):
        text, expected = _random_spec(rng)
        verdicts = [v.verdict for v in verdicts_on(parse_spec(Source(f"random{number}.yaml", text)))]
        if verdicts != expected:
            found.append(f"{verdicts} instead of {expected}\n{text}")
    return found


def _random_spec(rng: random.Random) -> tuple[str, list[str]]:
    """A chain of convolutions with claims about them, and the verdicts that are right."""
    size, channels = rng.randint(12, 64), rng.randint(1, 64)
    lines, values, macs = [], {}, 0
    head = f"archcalc: 1\nname: random\ninput: {{C: {channels}, H: {size}, W: {size}}}\nlayers:\n"
    for number in range(rng.randint(1, 5)):
        out, kernel = rng.randint(1, 96), rng.choice([1, 3])
        lines.append(f"  - c{number}: conv {out} {kernel}")
        size -= kernel - 1
        weights = prod((out, channels, kernel, kernel))
        values |= {f"weights(c{number})": weights, f"params(c{number})": weights + out}
        values[f"activations(c{number})"] = out * size**2
        macs += weights * size**2
        channels = out
    values |= {"macs": macs, "flops": 2 * macs}
    claims, verdicts = [], []
    for subject, value in values.items():
        claim, verdict = _random_claim(rng, value)
        claims.append(f"  - {{source: a draw, {subject}: {claim}}}")
        verdicts.append(verdict)
    return "\n".join([head.rstrip(), *lines, "claims:", *claims, ""]), verdicts


def _random_claim(rng: random.Random, value: int) -> tuple[str, str]:
    """A figure about a value, and its verdict: exact, rounded, cut off, a bit wrong, or recorded as wrong; a budget."""
    how = rng.choice(["exact", "off", "printed", "printed", "printed", "tolerance", "budget"])
    if how == "budget":
        return _random_budget(rng, value)
    if how in ("exact", "off"):
        wrong = how == "off"
        erratum = rng.random() < 0.5
        verdict = "wrong" if wrong is not erratum else "erratum" if erratum else "holds"
        return f"{value + wrong}{', holds: false, note: a draw' if erratum else ''}", verdict
    if how == "tolerance":
        figure, percent = max(1, round(value * (1 + rng.uniform(-0.1, 0.1)))), rng.randint(1, 10)
        near = abs(value - figure) * 100 <= percent * figure
        return f"{figure}, tol: {percent}%", "holds" if near else "wrong"
    suffix = rng.choice([unit for unit in ("K", "M", "G", "Ki") if UNITS[unit] <= max(value, 1000)])
    decimals = rng.choice([0, 1, 2, 3])
    digits = max(1, value * 10**decimals // UNITS[suffix] + rng.choice([-1, 0, 0, 1]))
    printed = (f"{digits // 10**decimals}.{digits % 10**decimals:0{decimals}}" if decimals else str(digits)) + suffix
    return printed, judged(printed, value)


def _random_budget(rng: random.Random, value: int) -> tuple[str, str]:
    """A budget with limits near a value, and its verdict."""
    low, high = sorted(max(2, value + rng.choice([-100, -1, 0, 1, 100])) for _ in range(2))
    sign = rng.choice(["<", "<=", ">", ">=", ".."])
    if sign == "..":
        return f"{low}..{high}", "within" if low <= value <= high else "outside"
    keeps = {"<": value < low, "<=": value <= low, ">": value > low, ">=": value >= low}
    return f"'{sign}{rng.choice(['', ' '])}{low}'", "within" if keeps[sign] else "outside"


def main() -> int:
    """Report how many examples were compared, and those that differ; the exit code is 1 if any does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    specs = max(1, given.examples // 100)
    found = disagreements(given.examples, given.seed) + wrong_verdicts(specs, given.seed)
    print("\n".join([*found[:20], f"{given.examples} figures, {specs} specs: {len(found)} disagreements"]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
