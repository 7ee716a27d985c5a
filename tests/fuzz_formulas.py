"""Written formulas against exact fractions: `python -m tests.fuzz_formulas --examples 20000 --seed 1`.

Random expressions with conditions, in symbols with the nastiest names. The Python function must return their values
where all conditions hold and refuse every other place; SymPy must read its lines back; LaTeX must be balanced.
"""

from __future__ import annotations

import ast
import keyword
import random
import re
import sys
import time
from collections.abc import Mapping
from typing import Any

import sympy

from archcalc.formulas.general import Formula
from archcalc.questions.formula import Formulas
from archcalc.symbolic import dim
from archcalc.symbolic.conditions import Condition
from tests.helpers import fuzz_options
from tests.random_expressions import expression, value

NAMES = [
    *keyword.kwlist, *keyword.softkwlist, "t0", "t1", "t2", "v0", "v1", "v2", "bt0", "min", "max", "index", "formulas",
    "map", "ValueError", "N", "S", "I", "E", "Q", "O", "C", "beta", "gamma", "zeta", "pi", "Symbol", "Rational", "floor",
    "ceiling", "Max", "Min", "Mod", "Pow", "params", "macs", "weights", "H_out", "self", "x", "_", "__x", "k_", "a__b",
    "\N{GREEK SMALL LETTER BETA}", "\N{LATIN SMALL LIGATURE FI}", "fi", "\N{LATIN SMALL LETTER E WITH ACUTE}", "H", "W",
    "\N{GREEK CAPITAL LETTER LAMDA}", "lambda_", "\N{CYRILLIC SMALL LETTER A}", "a", "print", "__import__", "__builtins__",
]  # fmt: skip
RESULTS = ["params", "macs", "weights", "biases", "activation_bytes"]
TRIED = 12
"""Places for each function."""


class Wrong(AssertionError):
    """A written formula isn't what it should be."""


def random_sheet(draw: random.Random) -> Formulas:
    """Some formulas of some symbols, with conditions."""
    symbols = [dim(name) for name in draw.sample(NAMES, draw.randint(1, 4))]
    formulas = [
        Formula(name, expression(draw, symbols, draw.randint(0, 4)), 0) for name in RESULTS[: draw.randint(1, 4)]
    ]
    conditions = [_condition(draw, symbols) for _ in range(draw.randint(0, 3))]
    names = {symbol.name: draw.randint(1, 60) for symbol in symbols} if draw.random() < 0.5 else {}
    return Formulas("random", tuple(formulas), names, tuple(conditions))


def _condition(draw: random.Random, symbols: list[Any]) -> Condition:
    if draw.random() < 0.4:
        return Condition(sympy.Mod(draw.choice(symbols), draw.randint(2, 4)), "==", 0)
    side = expression(draw, symbols, 2)
    return Condition(
        side, draw.choice(["<=", ">=", "!=", "=="]), draw.choice([draw.randint(0, 40), draw.choice(symbols)])
    )


def check(sheet: Formulas, draw: random.Random) -> int:
    """Write a sheet in three formats and try each; how many places the function refused though it has values there."""
    _check_latex(sheet.latex())
    _check_sympy(sheet.sympy().splitlines(), sheet)
    return _check_python(sheet.python(), sheet, draw)


def _check_python(code: str, sheet: Formulas, draw: random.Random) -> int:
    scope: dict[str, Any] = {}
    exec(compile(code, "formulas.py", "exec"), scope)
    symbols = sorted(_symbols(sheet), key=lambda symbol: symbol.name)
    strict = 0
    for _ in range(TRIED):
        numbers = {
            symbol: draw.choice([draw.randint(1, 12), draw.randint(-1, 99), 4 * draw.randint(1, 50)])
            for symbol in symbols
        }
        expected = _expected(sheet, numbers)
        try:
            found = scope["formulas"](*numbers.values())
        except ValueError as error:
            if expected is not None and "needs an integer" not in str(error):
                raise Wrong(f"{numbers}: {error}, though the values are {expected}") from None
            strict += expected is not None
            continue
        if found != expected or not all(type(each) is int for each in found.values()):
            raise Wrong(f"{numbers}: {found}, not {expected}")
    for refused in (2.0, "3", None, sympy.Rational(1, 2)):
        if symbols:
            try:
                scope["formulas"](*[refused] * len(symbols))
            except TypeError:
                continue
            raise Wrong(f"{refused!r} was taken for an integer")
    return strict


def _symbols(sheet: Formulas) -> set[Any]:
    sides = [side for each in sheet.conditions for side in (each.left, each.right)]
    return set().union(*(sympy.sympify(each).free_symbols for each in [*(f.general for f in sheet.formulas), *sides]))


def _expected(sheet: Formulas, numbers: Mapping[Any, int]) -> dict[str, int] | None:
    """The values; None where a condition fails, a size isn't positive, or a value is not an integer."""
    if any(number < (symbol.name not in sheet.from_zero) for symbol, number in numbers.items()):
        return None
    for each in sheet.conditions:
        left, right = (value(sympy.sympify(side), numbers) for side in (each.left, each.right))
        holds = {"<=": left <= right, ">=": left >= right, "==": left == right, "!=": left != right}
        if not holds[each.relation]:
            return None
    found = {formula.name: value(formula.general, numbers) for formula in sheet.formulas}
    return {n: int(v) for n, v in found.items()} if all(v.denominator == 1 for v in found.values()) else None


def _check_sympy(written: list[str], sheet: Formulas) -> None:
    """Run as Python, and each line's right side read by `sympify` alone: the same expression."""
    scope: dict[str, Any] = {}
    exec("\n".join(written), scope)
    symbols = {scope[target]: target for target in _targets(written) - {formula.name for formula in sheet.formulas}}
    for formula in sheet.formulas:
        if not _equal(scope[formula.name], formula.general):
            raise Wrong(f"SymPy reads {scope[formula.name]}, not {formula.general}")
        right = next(line for line in reversed(written) if line.startswith(f"{formula.name} = ")).partition(" = ")[2]
        read = sympy.sympify(right)
        plain = {symbol: sympy.Symbol(target) for symbol, target in symbols.items()}
        if not read.free_symbols <= set(plain.values()):
            raise Wrong(f"sympify reads {sympy.srepr(read)} from {right}")
        if not _equal(read.xreplace({new: old for old, new in plain.items()}), formula.general):
            raise Wrong(f"sympify reads {read} from {right}")


def _targets(written: list[str]) -> set[str]:
    tree = ast.parse("\n".join(written))
    return {node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)}  # type: ignore[attr-defined]


def _equal(read: Any, expr: Any) -> bool:
    """The same expression, or, where SymPy has simplified it, the same values."""
    symbols = sorted(sympy.sympify(expr).free_symbols, key=str)
    places = [{symbol: 5 * n + 3 * step for n, symbol in enumerate(symbols, 1)} for step in range(4)]
    return bool(read == expr) or all(value(read, place) == value(expr, place) for place in places)


def _check_latex(text: str) -> None:
    bare = re.sub(r"\\[\\{}$&#_%]", "", text)  # without what is escaped
    outside = re.sub(r"\\text(it|backslash)?\{[^{}]*\}", "", bare)
    if not outside.isascii():
        raise Wrong(f"letters that LaTeX doesn't know in {text}")
    if bare.count("{") != bare.count("}") or bare.count(r"\left") != bare.count(r"\right"):
        raise Wrong(f"brackets don't match in {text}")
    if re.search(r"_(?!\{)|[%#$~]", bare) or re.search(r"\^(?!\{)", bare):
        raise Wrong(f"a sign that means something to LaTeX in {text}")


def search(examples: int, seed: int, report_every: int = 0) -> tuple[int, int]:
    """Check so many random sheets; how many that were, and how many places were refused for a fraction on the way.

    Raises: Wrong: the first one that fails.
    """
    started, strict = time.monotonic(), 0
    for number in range(examples):
        draw = random.Random(f"{seed}/{number}")
        sheet = random_sheet(draw)
        try:
            strict += check(sheet, draw)
        except Exception as error:
            told = "; ".join(f"{f.name} = {f.general}" for f in sheet.formulas)
            needs = "; ".join(map(str, sheet.conditions))
            raise Wrong(f"example {number} of seed {seed}: {told}\nneeds {needs}\n{error!r}") from error
        if report_every and (number + 1) % report_every == 0:
            print(f"{number + 1:,} sheets in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return examples, strict


def main() -> int:
    """The command line."""
    arguments = fuzz_options("Written formulas against exact fractions.", "how many sheets of formulas")
    try:
        done, strict = search(arguments.examples, arguments.seed, report_every=500)
    except Wrong as error:
        print(f"seed {arguments.seed}: a written formula is wrong\n{error}")
        return 1
    print(f"seed {arguments.seed}: {done:,} sheets in Python, SymPy and LaTeX, none wrong; {strict:,} of")
    print(f"{done * TRIED:,} places refused for a fraction on the way to an integer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
