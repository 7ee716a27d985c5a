"""SymPy expressions → straight-line integer arithmetic, for Python or NumPy.

The source that is generated holds nothing but variables v0, v1, …, t0, t1, …, integers and operators: names and texts
from a user never enter it. Division is exact: an expression with fractions is multiplied by their denominator first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from archcalc.symbolic.arithmetic import is_never_negative, is_symbolic


class Uncompilable(Exception):
    """An expression that isn't integer arithmetic, such as a root."""


Function = Callable[..., tuple[Any, ...]]


DEEP = 20
"""Brackets within brackets in a line; what is deeper gets a line of its own, since Python's parser has an end."""
MANY = 100
"""Terms in a line."""


OPPOSITE = {"==": "!=", "!=": "==", "<=": ">", ">=": "<"}


class Step(NamedTuple):
    """A line of a program: a variable is computed; or, without one, `text` mustn't be true, as `needs` says."""

    target: str
    text: str
    bound: str = ""
    needs: str = ""


class Program:
    """Several expressions as one function of their variables, common parts computed once.

    `checks` are positions of results that must be 0: remainders of divisions that have to come out even. `conditions`
    (with `left`, `relation` and `right`) are steps of the program, in order, before what needs them. `powers`: numbers
    may be raised to symbols, so that nothing should be tried that is far too large.
    Raises: Uncompilable: something isn't integer arithmetic, or is nested too deep.
    """

    def __init__(
        self,
        expressions: Sequence[Any],
        variables: Sequence[Any],
        conditions: Sequence[Any] = (),
        powers: bool = False,
    ) -> None:
        self.variables, self._powers = tuple(variables), powers
        self._names = {variable: f"v{number}" for number, variable in enumerate(variables)}
        self._uses: Counter[Any] = Counter()
        self.steps: list[Step] = []
        self._known: dict[Any, tuple[str, str]] = {}
        self._even: list[tuple[str, str]] = []
        self._ratios: dict[Any, tuple[tuple[str, str], int]] = {}
        self._targets = 0
        self.divides = False
        """Whether there's a division by what isn't a number: it may be 0 somewhere."""
        self._divisors: set[tuple[Any, Any]] = set()  # (c, d): by a condition, d divides c
        self._peaks: list[int] = []
        self._bound: Callable[..., Any] | None = None
        try:
            self._results = self._compile([_expression(expr) for expr in expressions], conditions)
        except RecursionError:
            raise Uncompilable("the expression is nested too deep") from None

    def __getstate__(self) -> dict[str, Any]:
        """What can be run, without what only compiling needed: expressions may be nested too deep to be pickled."""
        dropped: dict[str, Any] = {
            "_uses": Counter[Any](),
            "_known": {},
            "_ratios": {},
            "_divisors": set(),
            "_bound": None,
        }
        return {**vars(self), **dropped}

    def _compile(self, exprs: Sequence[Any], conditions: Sequence[Any]) -> list[tuple[str, str]]:
        for expr in exprs:
            self._count(expr)
        for condition in conditions:
            self._count(_expression(condition.left))
            self._count(_expression(condition.right))
        for condition in conditions:
            self._require(condition)
        for expr in exprs:
            self._prepare(expr)
        return [self._integer(expr) for expr in exprs]

    def _require(self, condition: Any) -> None:
        """A step that says whether a condition holds; without division, so that no fraction is rounded."""
        ((left, _), under_left), ((right, _), under_right) = (
            self._ratio(_expression(side)) for side in (condition.left, condition.right)
        )
        left = left if under_right == 1 else f"{_wrapped(left)} * {under_right}"
        right = right if under_left == 1 else f"{_wrapped(right)} * {under_left}"
        self.steps.append(Step("", f"{left} {OPPOSITE[condition.relation]} {right}", needs=str(condition)))
        if type(condition.left).__name__ == "Mod" and condition.relation == "==" and condition.right == 0:
            self._divisors.add(condition.left.args)

    @property
    def results(self) -> list[str]:
        """What the expressions are, in terms of the variables and of the steps' targets."""
        return [text for text, _ in self._results]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables' names in the steps."""
        return tuple(self._names.values())

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
            body = "".join(f"    b{step.target} = {step.bound}\n" for step in self.steps if step.target)
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
        """How many remainders stand after the results."""
        return len(self._even)

    def _function(self, results: Sequence[tuple[str, str]], names: dict[str, Any]) -> Function:
        body = "".join(f"    {step.target} = {step.text}\n" for step in self.steps if step.target)
        returned = "".join(f"{text}, " for text, _ in results)
        return _compiled(f"def f({', '.join(self._names.values())}):\n{body}    return ({returned})", names)

    def _count(self, expr: Any) -> None:
        """Count how often each part is used, from the outside in."""
        waiting = [expr]
        while waiting:
            part = waiting.pop()
            self._uses[part] += 1
            if self._uses[part] == 1:
                waiting += part.args

    def _prepare(self, expr: Any) -> None:
        """Compile floors, remainders and extremes from the inside out, so that none is found deep inside another."""
        import sympy

        seen, waiting = set(), [(expr, False)]
        while waiting:
            part, ready = waiting.pop()
            if ready:
                self._part(part)
            elif part not in seen:
                seen.add(part)
                if isinstance(part, (sympy.floor, sympy.ceiling, sympy.Mod, sympy.Min, sympy.Max)):
                    waiting.append((part, True))
                waiting += [(inner, False) for inner in part.args]

    def _result(self, expr: Any) -> tuple[str, str]:
        (text, bound), denominator = self._ratio(expr)
        if denominator == 1:
            return text, bound
        if expr.is_integer is not True:
            self._divisible(text, str(denominator), bound, f"an integer as {expr}")
        return f"({_wrapped(text)} // {denominator})", bound

    def _divisible(self, text: str, divisor: str, bound: str, needs: str) -> None:
        """A division that has to come out even."""
        remainder = f"{_wrapped(text)} % {_wrapped(divisor)}"
        self._even.append((remainder, bound))
        self.steps.append(Step("", f"{remainder} != 0", needs=needs))

    def _integer(self, expr: Any) -> tuple[str, str]:
        """An expression inside another one, which must be an integer by itself."""
        if expr in self._known:
            return self._known[expr]
        text, bound = self._shallow(*self._result(expr), named=self._uses[expr] > 1 and not expr.is_Atom)
        self._known[expr] = (text, bound)
        return text, bound

    def _shallow(self, text: str, bound: str, named: bool = False) -> tuple[str, str]:
        """The text, or a variable for it where it's nested deep."""
        if not named and max(_depth(text), _depth(bound)) <= DEEP:
            return text, bound
        target = f"t{self._targets}"
        self._targets += 1
        self.steps.append(Step(target, text, bound))
        return target, f"b{target}"

    def _joined(self, sign: str, parts: list[tuple[str, str]]) -> tuple[str, str]:
        """Terms or factors in one line, or in several where they are many."""
        while len(parts) > MANY:
            rows = [parts[start : start + MANY] for start in range(0, len(parts), MANY)]
            parts = [self._shallow(*self._joined(sign, row), named=True) for row in rows]
        return tuple(f" {sign} ".join(part[place] for part in parts) for place in (0, 1))  # type: ignore[return-value]

    def _ratio(self, expr: Any) -> tuple[tuple[str, str], int]:
        """(n, d) with expr = n / d, d a positive integer."""
        if expr not in self._ratios:
            self._ratios[expr] = self._new_ratio(expr)
        return self._ratios[expr]

    def _new_ratio(self, expr: Any) -> tuple[tuple[str, str], int]:
        if expr.is_Rational:
            return (f"({expr.p})" if expr.p < 0 else str(expr.p), str(max(abs(expr.p), 1))), int(expr.q)
        if expr.is_Symbol:
            if expr not in self._names:
                raise Uncompilable(f"{expr} has no value")
            return (self._names[expr], "b" + self._names[expr]), 1
        if (expr.is_Add or expr.is_Mul) and divides(expr):
            return self._over_symbols(expr)
        if expr.is_Add:
            return self._sum(expr)
        if expr.is_Mul:
            return self._product(expr)
        if expr.is_Pow and expr.exp.is_Integer and 0 < expr.exp <= 64:
            (text, bound), under = self._part(expr.base)
            return (f"{_wrapped(text)} ** {expr.exp}", f"({bound}) ** {expr.exp}"), under ** int(expr.exp)
        if self._powers and expr.is_Pow and expr.base.is_Integer and expr.base > 1 and is_never_negative(expr.exp):
            text, bound = self._integer(expr.exp)
            return (f"{expr.base} ** {_wrapped(text)}", f"{expr.base} ** ({bound})"), 1
        return self._call(expr)

    def _sum(self, expr: Any) -> tuple[tuple[str, str], int]:
        split = [term.as_coeff_Mul() for term in expr.args]
        parts = [(factor / under, part) for (factor, rest) in split for part, under in [self._part(rest)]]
        common = math.lcm(*(int(factor.q) for factor, _ in parts))
        text, bound = self._joined("+", [_times(int(factor * common), part) for factor, part in parts])
        return (f"({text})", f"({bound})"), common

    def _product(self, expr: Any) -> tuple[tuple[str, str], int]:
        factor, rest = expr.as_coeff_Mul()
        if factor != 1:
            part, under = self._part(rest)
            factor = factor / under
            return _times(int(factor.p), part), int(factor.q)
        pairs = [self._part(part) for part in expr.args]
        factors = [(_wrapped(text), f"({bound})") for (text, bound), _ in pairs]
        return self._joined("*", factors), math.prod(under for _, under in pairs)

    def _part(self, expr: Any) -> tuple[tuple[str, str], int]:
        """A factor, a term or a base: a fraction stays one, since the whole may be an integer."""
        ratio = self._ratio(expr)
        return ratio if ratio[1] != 1 else (self._integer(expr), 1)

    def _over_symbols(self, expr: Any) -> tuple[tuple[str, str], int]:
        """A sum or product with symbols in divisors, as one fraction: 12*b/a may be an integer where b/a isn't."""
        from sympy import fraction, together

        above, below = fraction(together(expr, deep=False))
        if not below.is_Integer:
            return self._quotient(above, below), 1
        part, under = self._part(above)
        return part, under * int(below)

    def _quotient(self, above: Any, below: Any) -> tuple[str, str]:
        """A division by a symbol, which has to come out even."""
        self.divides = True
        (a, bound), (b, _) = self._integer(above), self._integer(below)
        if not any((factor, below) in self._divisors for factor in above.as_ordered_factors()):
            self._divisible(a, b, bound, f"an integer as {above / below}")
        return f"({_wrapped(a)} // {_wrapped(b)})", bound

    def _call(self, expr: Any) -> tuple[tuple[str, str], int]:
        """Floors, remainders and extremes; of fractions, as fractions."""
        import sympy

        if isinstance(expr, (sympy.floor, sympy.ceiling)):
            return self._rounded(expr), 1
        if isinstance(expr, sympy.Mod):
            self.divides |= not expr.args[1].is_Integer
            ((a, bound_a), (b, bound_b)), under = self._over_one(expr.args)
            return (f"({_wrapped(a)} % {_wrapped(b)})", f"max({bound_a}, {bound_b})"), under
        if isinstance(expr, (sympy.Min, sympy.Max)):
            name = "min" if isinstance(expr, sympy.Min) else "max"
            ((text, bound), *others), under = self._over_one(expr.args)
            for more, further in others:
                text, bound = self._shallow(f"{name}({text}, {more})", f"max({bound}, {further})")
            return (text, bound), under
        raise Uncompilable(f"{expr} isn't integer arithmetic")

    def _over_one(self, exprs: Sequence[Any]) -> tuple[list[tuple[str, str]], int]:
        """The numerators over one common denominator, and that."""
        parts = [self._part(expr) for expr in exprs]
        common = math.lcm(*(under for _, under in parts))
        return [_times(common // under, part) for part, under in parts], common

    def _rounded(self, expr: Any) -> tuple[str, str]:
        from sympy import fraction, together

        above, below = fraction(together(expr.args[0], deep=False))
        if below.is_negative:
            above, below = -above, -below
        ((a, bound), (b, _)), _ = self._over_one([above, below])
        self.divides |= not below.is_Integer
        at_most = f"peak({bound}) // {_wrapped(b)} + 1" if below.is_Integer else bound
        if type(expr).__name__ == "ceiling":
            return f"(-(-{_wrapped(a)} // {_wrapped(b)}))", at_most
        return f"({_wrapped(a)} // {_wrapped(b)})", at_most


def divides(expr: Any) -> bool:
    """Whether a sum or product divides by something with symbols, outside floors and such."""
    if expr.is_Pow:
        return bool(expr.exp.is_Integer and expr.exp < 0) and not expr.base.is_number
    return bool(expr.is_Add or expr.is_Mul) and any(map(divides, expr.args))


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


def _times(factor: int, part: tuple[str, str]) -> tuple[str, str]:
    """An integer times something."""
    text, bound = part
    if text == "1":
        return f"({factor})" if factor < 0 else str(factor), str(max(abs(factor), 1))
    if factor == 1:
        return part
    return (
        f"({factor}) * {_wrapped(text)}" if factor < 0 else f"{factor} * {_wrapped(text)}",
        f"{abs(factor)} * ({bound})",
    )


def _depth(text: str) -> int:
    """How many brackets enclose the innermost part."""
    depth = deepest = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    return deepest


def _expression(value: Any) -> Any:
    import sympy

    return sympy.sympify(value) if is_symbolic(value) else sympy.Integer(int(value))


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
