"""SymPy expressions → straight-line integer arithmetic, for Python or NumPy.

The source that is generated holds nothing but variables v0, v1, …, t0, t1, …, integers and operators: names and texts
from a user never enter it. Division is exact: an expression with fractions is multiplied by their denominator first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from archcalc.symbolic.arithmetic import is_symbolic


class Uncompilable(Exception):
    """An expression that isn't integer arithmetic, such as a root."""


Function = Callable[..., tuple[Any, ...]]


class Program:
    """Several expressions as one function of their variables, common parts computed once.

    `checks` are positions of results that must be 0: remainders of divisions that have to come out even.
    """

    def __init__(self, expressions: Sequence[Any], variables: Sequence[Any]) -> None:
        import sympy

        self.variables = tuple(variables)
        self._names = {variable: f"v{number}" for number, variable in enumerate(variables)}
        exprs = [sympy.sympify(expr) if is_symbolic(expr) else sympy.Integer(int(expr)) for expr in expressions]
        self._uses: Counter[Any] = Counter()
        for expr in exprs:
            self._count(expr)
        self._lines: list[tuple[str, str, str]] = []  # target, source, source of a bound on its absolute value
        self._known: dict[Any, tuple[str, str]] = {}
        self._even: list[tuple[str, str]] = []
        self._peaks: list[int] = []
        self._bound: Callable[..., Any] | None = None
        self._results = [self._integer(expr) for expr in exprs]

    def python(self) -> Function:
        """A function of Python integers, exact, however large. Its results: the values, then the checks."""
        return self._function([*self._results, *self._even], {"min": min, "max": max})

    def numpy(self) -> Function:
        """The same on arrays of int64 or of Python integers; whether int64 is enough `bound` says."""
        import numpy

        return self._function([*self._results, *self._even], {"min": numpy.minimum, "max": numpy.maximum})

    def bound(self, largest: Sequence[int]) -> int:
        """An upper bound on the absolute value of everything computed on the way, for variables up to `largest`."""
        if self._bound is None:
            body = "".join(f"    b{target} = {bound}\n" for target, _, bound in self._lines)
            ends = "".join(f"    peak({bound})\n" for _, bound in [*self._results, *self._even])
            names = ", ".join(f"b{name}" for name in self._names.values())
            source = f"def f({names}):\n{body}{ends}    return peaks"
            self._bound = _compiled(source, {"max": max, "peak": self._peak, "peaks": self._peaks})
        self._peaks[:] = [1]
        self._bound(*largest)
        return max(self._peaks)

    def _peak(self, value: int) -> int:
        self._peaks.append(value)
        return value

    @property
    def checks(self) -> int:
        """How many remainders stand behind the results."""
        return len(self._even)

    def source(self, name: str, parameters: Sequence[str], results: Sequence[str]) -> str:
        """The function as Python source for people; parameters and results have the given names."""
        lines = [f"    {target} = {text}" for target, text, _ in self._lines]
        ends = [f"        {result!r}: {text}," for result, (text, _) in zip(results, self._results, strict=True)]
        body = "\n".join([*lines, "    return {", *ends, "    }"])
        for variable, parameter in zip(self._names.values(), parameters, strict=True):
            body = _renamed(body, variable, parameter)
        return f"def {name}({', '.join(parameters)}):\n{body}"

    def _function(self, results: Sequence[tuple[str, str]], names: dict[str, Any]) -> Function:
        body = "".join(f"    {target} = {text}\n" for target, text, _ in self._lines)
        returned = "".join(f"{text}, " for text, _ in results)
        return _compiled(f"def f({', '.join(self._names.values())}):\n{body}    return ({returned})", names)

    def _count(self, expr: Any) -> None:
        self._uses[expr] += 1
        if self._uses[expr] == 1:
            for part in expr.args:
                self._count(part)

    def _result(self, expr: Any) -> tuple[str, str]:
        (text, bound), denominator = self._ratio(expr)
        if denominator == 1:
            return text, bound
        if expr.is_integer is not True:
            self._even.append((f"{_wrapped(text)} % {denominator}", bound))
        return f"({_wrapped(text)} // {denominator})", bound

    def _integer(self, expr: Any) -> tuple[str, str]:
        """An expression inside another one, which must be an integer by itself."""
        if expr in self._known:
            return self._known[expr]
        text, bound = self._result(expr)
        if self._uses[expr] > 1 and not expr.is_Atom:
            target = f"t{len(self._lines)}"
            self._lines.append((target, text, bound))
            text, bound = target, f"b{target}"
        self._known[expr] = (text, bound)
        return text, bound

    def _ratio(self, expr: Any) -> tuple[tuple[str, str], int]:
        """(n, d) with expr = n / d, d a positive integer."""
        from sympy import fraction

        if expr.is_Rational:
            return (f"({expr.p})" if expr.p < 0 else str(expr.p), str(max(abs(expr.p), 1))), expr.q
        if expr.is_Symbol:
            if expr not in self._names:
                raise Uncompilable(f"{expr} has no value")
            return (self._names[expr], "b" + self._names[expr]), 1
        if expr.is_Add:
            parts = [term.as_coeff_Mul() for term in expr.args]
            common = math.lcm(*(int(factor.q) for factor, _ in parts))
            scaled = [self._times(int(factor * common), rest) for factor, rest in parts]
            return (f"({' + '.join(text for text, _ in scaled)})", f"({' + '.join(b for _, b in scaled)})"), common
        if expr.is_Mul:
            factor, rest = expr.as_coeff_Mul()
            if factor != 1:
                return self._times(int(factor.p), rest), int(factor.q)
            above, below = fraction(expr)
            if below != 1:
                return self._quotient(above, below), 1
            pairs = [self._integer(part) for part in expr.args]
            return (" * ".join(_wrapped(text) for text, _ in pairs), " * ".join(f"({bound})" for _, bound in pairs)), 1
        return self._call(expr), 1

    def _times(self, factor: int, rest: Any) -> tuple[str, str]:
        if rest == 1:
            return f"({factor})" if factor < 0 else str(factor), str(max(abs(factor), 1))
        text, bound = self._integer(rest)
        if factor == 1:
            return text, bound
        return (
            f"({factor}) * {_wrapped(text)}" if factor < 0 else f"{factor} * {_wrapped(text)}",
            f"{abs(factor)} * ({bound})",
        )

    def _quotient(self, above: Any, below: Any) -> tuple[str, str]:
        """A division by a symbol, which has to come out even."""
        (a, bound), (b, _) = self._integer(above), self._integer(below)
        self._even.append((f"{_wrapped(a)} % {_wrapped(b)}", bound))
        return f"({_wrapped(a)} // {_wrapped(b)})", bound

    def _call(self, expr: Any) -> tuple[str, str]:
        """Floors, remainders, extremes and powers."""
        import sympy

        if isinstance(expr, (sympy.floor, sympy.ceiling)):
            return self._rounded(expr)
        if isinstance(expr, sympy.Mod):
            (a, bound_a), (b, bound_b) = (self._integer(part) for part in expr.args)
            return f"({_wrapped(a)} % {_wrapped(b)})", f"max({bound_a}, {bound_b})"
        if isinstance(expr, (sympy.Min, sympy.Max)):
            name = "min" if isinstance(expr, sympy.Min) else "max"
            text, bound = self._integer(expr.args[0])
            for part in expr.args[1:]:
                more, further = self._integer(part)
                text, bound = f"{name}({text}, {more})", f"max({bound}, {further})"
            return text, bound
        if expr.is_Pow and expr.exp.is_Integer and 0 < expr.exp <= 64:
            text, bound = self._integer(expr.base)
            return f"{_wrapped(text)} ** {expr.exp}", f"({bound}) ** {expr.exp}"
        raise Uncompilable(f"{expr} isn't integer arithmetic")

    def _rounded(self, expr: Any) -> tuple[str, str]:
        from sympy import fraction, together

        above, below = fraction(together(expr.args[0], deep=False))
        if below.is_negative:
            above, below = -above, -below
        (a, bound), (b, _) = self._integer(above), self._integer(below)
        at_most = f"peak({bound}) // {b} + 1" if below.is_Integer else bound
        if type(expr).__name__ == "ceiling":
            return f"(-(-{_wrapped(a)} // {_wrapped(b)}))", at_most
        return f"({_wrapped(a)} // {_wrapped(b)})", at_most


def _wrapped(text: str) -> str:
    """In brackets, unless it's one token or has them already."""
    if text.isidentifier() or text.isdecimal():
        return text
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and place < len(text) - 1:
            return f"({text})"
    return text


def _renamed(text: str, variable: str, parameter: str) -> str:
    import re

    return re.sub(rf"\b{variable}\b", parameter, text)


def _compiled(source: str, names: dict[str, Any]) -> Function:
    scope: dict[str, Any] = {**names, "__builtins__": {}}
    exec(compile(source, "<archcalc formula>", "exec"), scope)  # our own text, see the module's docstring
    function: Function = scope["f"]
    return function


def compare(left: Any, relation: str, right: Any) -> Any:
    """A relation between numbers or arrays."""
    if relation == "==":
        return left == right
    if relation == "!=":
        return left != right
    if relation == "<=":
        return left <= right
    return left >= right
