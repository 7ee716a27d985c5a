"""Expressions and relations as texts in the spec language, which its parser reads back."""

from __future__ import annotations

from functools import cache
from typing import Any

from archcalc.symbolic.arithmetic import is_symbolic


def text_of(value: Any) -> str:
    """A size in the spec language: `max(c, floor(h/2) + 1)`.

    >>> from archcalc.symbolic.arithmetic import dim, floor_div
    >>> text_of(floor_div(dim("h") + 3, 2))
    'floor(h/2 + 1/2) + 1'
    """
    return str(_printer().doprint(value)) if is_symbolic(value) else str(value)


def relation_text(left: Any, relation: str, right: Any) -> str:
    """A relation in the spec language.

    >>> relation_text(2, "<=", 3)
    '2 <= 3'
    """
    return f"{_side(left)} {relation} {_side(right)}"


def _side(value: Any) -> str:
    """A side of a relation, where a remainder needs no brackets."""
    return str(_printer().remainder(value)) if type(value).__name__ == "Mod" else text_of(value)


@cache
def _printer() -> Any:
    from sympy.printing.precedence import PRECEDENCE
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):  # type: ignore[misc]  # SymPy is untyped
        """SymPy's own, with the spec language's names and its sign for remainders."""

        def remainder(self, expr: Any) -> str:
            """A remainder without brackets around it."""
            above, below = expr.args
            product = PRECEDENCE["Mul"]
            return f"{self.parenthesize(above, product, strict=True)} % {self.parenthesize(below, product)}"

        def _print_Mod(self, expr: Any) -> str:  # noqa: N802  # SymPy's protocol, like those below
            return f"({self.remainder(expr)})"

        def _called(self, name: str, expr: Any) -> str:
            return f"{name}({', '.join(map(self._print, expr.args))})"

        def _print_Max(self, expr: Any) -> str:  # noqa: N802
            return self._called("max", expr)

        def _print_Min(self, expr: Any) -> str:  # noqa: N802
            return self._called("min", expr)

        def _print_ceiling(self, expr: Any) -> str:
            return self._called("ceil", expr)

        def _print_Abs(self, expr: Any) -> str:  # noqa: N802
            return self._called("abs", expr)

    return Printer()
