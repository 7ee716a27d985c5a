"""Formulas as code: a Python function in exact integers, and lines that SymPy reads back. Checked before it's shown."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from archcalc.identifiers import Namespace, literal
from archcalc.symbolic import is_symbolic
from archcalc.symbolic.compiled import Program, Step, Uncompilable, divides
from archcalc.symbolic.conditions import Condition
from archcalc.symbolic.values import NoValue, value_at

INDENT = "    "
LARGEST = 4000
"""A symbol without a value is tried with numbers up to this one."""


class FormulaError(Exception):
    """Code that was written isn't the formula: a bug in archcalc."""


# --- Python -----------------------------------------------------------------------------------------------------------


def python_code(
    formulas: Mapping[str, Any],
    conditions: Sequence[Condition],
    values: Mapping[str, Any],
    from_zero: Collection[str] = (),
) -> Iterator[str]:
    """A function of the formulas' symbols that returns them by name, in exact integers.

    It raises ValueError where a condition fails or a size isn't positive (those of `from_zero`, by name: is negative),
    and TypeError for what isn't an integer.
    `values` are numbers of the symbols, by name: there, and at others, the function is run and compared first.
    Raises: Uncompilable: a formula isn't integer arithmetic. FormulaError: the function is wrong.
    """
    symbols = _symbols([*formulas.values(), *(side for each in conditions for side in (each.left, each.right))])
    given = Namespace(["index"])
    parameters = [given.name(symbol.name) for symbol in symbols]
    least = {symbol.name: 0 if symbol.name in from_zero else 1 for symbol in symbols}
    program = Program(list(formulas.values()), symbols, sorted(conditions, key=_rank), powers=True)
    renamed = dict(zip(program.names, parameters, strict=True))
    renamed |= {step.target: given.name(step.target) for step in program.steps if step.target}
    lines = ["from operator import index", "", ""] if symbols else []
    lines.append(f"def formulas({', '.join(parameters)}):")
    lines += [INDENT + line for line in _entry(dict(zip(parameters, least.values(), strict=True)))]
    for step in program.steps:
        lines += [INDENT + line for line in _step(step, renamed)]
    lines += [f"{INDENT}return {{", *_results(formulas, program.results, renamed), f"{INDENT}}}"]
    try:
        _check_python("\n".join(lines), formulas, conditions, least, values)
    except RecursionError:
        raise Uncompilable("the expression is nested too deep") from None
    yield from lines


def _symbols(values: Sequence[Any]) -> list[Any]:
    found = set().union(*(value.free_symbols for value in values if is_symbolic(value)))
    return sorted(found, key=lambda symbol: symbol.name)


def _number(values: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else otherwise


def _rank(condition: Condition) -> int:
    """What must hold before others can be asked comes first.

    Bounds of symbols, divisors that mustn't be 0, other bounds without a division, on which remainders rely; then what
    has to come out even, on which the rest relies.
    """
    if getattr(condition.left, "is_Symbol", False):
        return 0
    if condition.relation == "!=":
        return 1
    if type(condition.left).__name__ == "Mod":
        return 3
    return 4 if any(is_symbolic(side) and divides(side) for side in (condition.left, condition.right)) else 2


def _entry(least: Mapping[str, int]) -> Iterator[str]:
    """The arguments, which must be integers and not too small."""
    if len(least) == 1:
        (name,) = least
        yield f"{name} = index({name})"
    elif least:
        names = ", ".join(least)
        yield f"{names} = map(index, ({names}))"
    for limit in sorted(set(least.values())):
        small = [name for name, value in least.items() if value == limit]
        listed = ", ".join(small)
        yield f"if {listed if len(small) == 1 else f'min({listed})'} < {limit}:"
        yield f"{INDENT}raise ValueError({literal(f'needs {listed} >= {limit}')})"


def _step(step: Step, names: Mapping[str, str]) -> Iterator[str]:
    text = _renamed(step.text, names)
    if step.target:
        yield f"{names[step.target]} = {text}"
        return
    yield f"if {text}:"
    yield f"{INDENT}raise ValueError({literal(f'needs {step.needs}')})"


def _results(formulas: Mapping[str, Any], texts: Sequence[str], names: Mapping[str, str]) -> Iterator[str]:
    for name, text in zip(formulas, texts, strict=True):
        yield f"{INDENT * 2}{name!r}: {_renamed(text, names)},"


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """The program's own v0 and t0 under the names given to them, all at once: one may be another's."""
    import re

    return re.sub(r"\b[vt]\d+\b", lambda match: names[match[0]], text)


# --- checked ----------------------------------------------------------------------------------------------------------


def _check_python(
    code: str,
    formulas: Mapping[str, Any],
    conditions: Sequence[Condition],
    least: Mapping[str, int],
    values: Mapping[str, Any],
) -> None:
    """Run the function at a few places, and compare it with the formulas evaluated one by one."""
    function = _function(code)
    for place in _places(least, values):
        met = all(place[name] >= limit for name, limit in least.items()) and all(c.holds(place) for c in conditions)
        expected = _values(formulas, place) if met else None
        try:
            found = function(*place.values())
        except ValueError as error:
            if expected is not None and not str(error).startswith("needs an integer"):
                raise FormulaError(f"the function refuses {place}: {error}") from None
            continue
        if found != expected:
            raise FormulaError(f"at {place} the function gives {found}, not {expected}")


def _function(code: str) -> Any:
    try:
        tree = ast.parse(code)
        if [type(line) for line in tree.body if not isinstance(line, ast.ImportFrom)] != [ast.FunctionDef]:
            raise FormulaError("the code is more than a function")
        scope: dict[str, Any] = {}
        exec(compile(tree, "<formulas>", "exec"), scope)  # an import and a definition, as just seen
    except (SyntaxError, ValueError, MemoryError) as error:
        raise FormulaError(f"what was written isn't Python: {error}") from error
    return scope["formulas"]


def _places(least: Mapping[str, int], values: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Numbers for the symbols: their own, some near and far, the smallest, and some that are too small."""
    own = {name: _number(values, name, 7 + 3 * number) for number, name in enumerate(least)}
    yield own
    if not least:
        return
    yield {name: 2 * value + number for number, (name, value) in enumerate(own.items())}
    yield {name: 6 * value + 12 for name, value in own.items()}
    yield {name: LARGEST - 97 * number for number, name in enumerate(least)}
    yield dict(least)
    yield {name: limit - 1 for name, limit in least.items()}


def _values(formulas: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, int] | None:
    """The formulas at a place; None if one isn't an integer there."""
    found = {name: _value(expr, place) for name, expr in formulas.items()}
    return found if all(isinstance(value, int) for value in found.values()) else None


# --- SymPy ------------------------------------------------------------------------------------------------------------


def sympy_code(
    formulas: Mapping[str, Any], conditions: Sequence[Condition], from_zero: Collection[str] = ()
) -> Iterator[str]:
    """Python lines for SymPy: the symbols with what is known of them, then `name = expression` for each formula.

    A symbol whose name means something to SymPy or Python (`N`, `beta`, `lambda`) is a variable with an underscore at
    its end, so that `sympify` too reads an expression as it is. The lines are run and compared first.
    Raises: FormulaError: SymPy reads something else.
    """
    import sympy

    symbols = _symbols([*formulas.values(), *(side for each in conditions for side in (each.left, each.right))])
    taken = Namespace(dir(sympy), formulas)
    variables = {symbol: taken.name(symbol.name) for symbol in symbols}
    printer = _printer(variables)
    known = {name: "nonnegative" if name in from_zero else "positive" for name in (s.name for s in symbols)}
    lines = [
        f"{variable} = Symbol({literal(symbol.name)}, integer=True, {known[symbol.name]}=True)"
        for symbol, variable in variables.items()
    ]
    lines += [f"# needs {printer(each.left)} {each.relation} {printer(each.right)}" for each in conditions]
    lines += [f"{name} = {printer(expr)}" for name, expr in formulas.items()]
    used = _used("\n".join(lines)) & set(dir(sympy))
    lines = [f"from sympy import {', '.join(sorted(used))}", "", *lines] if used else lines
    _check_sympy("\n".join(lines), formulas, variables, from_zero)
    yield from lines


def _printer(variables: Mapping[Any, str]) -> Any:
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):  # type: ignore[misc]  # SymPy is untyped
        """SymPy's own, with other names, and fractions that Python doesn't turn into floats."""

        def _print_Symbol(self, expr: Any) -> str:  # noqa: N802  # SymPy's protocol
            return variables[expr]

        def _print_Rational(self, expr: Any) -> str:  # noqa: N802
            return f"Rational({expr.p}, {expr.q})"

        _print_Half = _print_Rational  # noqa: N815

    return Printer().doprint


def _used(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def _check_sympy(
    code: str, formulas: Mapping[str, Any], variables: Mapping[Any, str], from_zero: Collection[str]
) -> None:
    scope: dict[str, Any] = {}
    exec(compile(code, "<formulas>", "exec"), scope)  # texts of ours; names as Namespace gave them
    if any(scope[variable].name != symbol.name for symbol, variable in variables.items()):
        raise FormulaError("SymPy reads other symbols")
    least = {symbol.name: 0 if symbol.name in from_zero else 1 for symbol in variables}
    places = [place for place in _places(least, {}) if all(place[name] >= least[name] for name in least)]
    for name, expr in formulas.items():
        if scope[name] != expr and any(_value(scope[name], place) != _value(expr, place) for place in places):
            raise FormulaError(f"SymPy reads {scope[name]} for {name}, which is {expr}")


def _value(expr: Any, place: Mapping[str, int]) -> Any:
    try:
        return value_at(expr, place)
    except NoValue:
        return None
