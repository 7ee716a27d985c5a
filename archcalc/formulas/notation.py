"""Expressions as people write them: ⌊(H + 2p − d·(k − 1) − 1)/s⌋ + 1, in Unicode, LaTeX or plain characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from archcalc.symbolic import Condition, is_symbolic
from archcalc.text import latex as latex_text

_SUM, _PRODUCT, _POWER, _ATOM = range(4)
GREEK_CAPITALS = ["gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"]
"""Those that LaTeX has a name for; the others look like Latin ones."""
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Notation:
    """How to write: brackets and signs; `values` replaces symbols by texts; `order` says which symbols come first."""

    times: str = "·"
    minus: str = "−"
    floor: tuple[str, str] = ("⌊", "⌋")
    ceiling: tuple[str, str] = ("⌈", "⌉")
    latex: bool = False
    plain: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    order: Sequence[str] = ()

    def write(self, value: Any) -> str:
        """A number or an expression."""
        if isinstance(value, Fraction):
            return self._over(self.number(value.numerator), self.number(value.denominator))
        if not is_symbolic(value):
            return self.number(int(value)) if isinstance(value, int) else str(value)
        return self._write(value)[0]

    def number(self, value: int) -> str:
        """An integer; long ones in groups."""
        text = f"{abs(value):,}" if abs(value) >= 10_000 and not self.plain else str(abs(value))
        if self.latex:
            text = text.replace(",", "{,}")
        return f"{self.minus}{text}" if value < 0 else text

    def symbol(self, name: str) -> str:
        """A symbol's name, or the value that replaces it."""
        if name in self.values:
            return self.values[name]
        return _latex_symbol(name) if self.latex else name

    # Each part below gives a text and how strongly it holds together.

    def _write(self, expr: Any) -> tuple[str, int]:
        if expr.is_Integer:
            return self.number(int(expr)), _ATOM if expr >= 0 else _SUM
        if expr.is_Rational:
            return self._over(self.number(int(expr.p)), self.number(int(expr.q))), _PRODUCT
        if expr.is_Symbol:
            text = self.symbol(expr.name)
            return text, _ATOM if text.isalnum() or expr.name not in self.values else _SUM
        if expr.is_Add:
            return self._sum(expr), _SUM
        if expr.is_Mul:
            return self._product(expr), _PRODUCT
        if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
            return self._power(expr), _POWER
        if expr.is_Pow and expr.exp.is_number:
            return self._product(expr), _PRODUCT
        if expr.is_Pow:
            return self._power(expr), _POWER
        return self._function(expr), _ATOM

    def _inside(self, expr: Any, least: int) -> str:
        text, strength = self._write(expr)
        return text if strength >= least else self._bracketed(text)

    def _bracketed(self, text: str) -> str:
        return rf"\left({text}\right)" if self.latex else f"({text})"

    def _sum(self, expr: Any) -> str:
        texts: list[str] = []
        for term in self._terms(_ceilings(expr)):
            negative = _is_negative(term)
            text = self._inside(_negated(term) if negative else term, _PRODUCT)
            sign = self.minus if negative else "+"
            texts.append(f" {sign} {text}" if texts else f"{self.minus}{text}" if negative else text)
        return "".join(texts)

    def _terms(self, expr: Any) -> list[Any]:
        """The terms in the order to write them; a positive one first, constants last."""
        terms = list(expr.as_ordered_terms())
        if self.order:
            ranks = {name: place for place, name in enumerate(self.order)}

            def rank(term: Any) -> tuple[bool, int]:
                names = [ranks.get(symbol.name, len(ranks)) for symbol in term.free_symbols]
                return not names, min(names, default=0)

            terms.sort(key=rank)
        first = next((place for place, term in enumerate(terms) if not _is_negative(term)), 0)
        return [terms[first], *terms[:first], *terms[first + 1 :]]

    def _product(self, expr: Any) -> str:
        from sympy import fraction

        above, below = fraction(expr)
        if below != 1:
            return self._divided(above, below)
        coefficient, rest = expr.as_coeff_Mul()
        factors = sorted(rest.as_ordered_factors(), key=self._factor_rank)
        texts = [self._inside(factor, _POWER) for factor in factors]
        if coefficient == -1:
            return self.minus + self.times.join(texts)
        if coefficient == 1:
            return self.times.join(texts)
        together = _is_letter(factors[0].as_base_exp()[0]) and not self.values and not self.plain
        return self._inside(coefficient, _POWER) + ("" if together else self.times) + self.times.join(texts)

    def _factor_rank(self, factor: Any) -> tuple[int, int]:
        """Symbols as ordered, then floors and sums, then the number of filters."""
        names = [self.order.index(s.name) for s in factor.free_symbols if s.name in self.order]
        last = factor.is_Symbol and factor.name == "C_out"
        return (2 if last else 0 if factor.is_Symbol or factor.is_Pow else 1), min(names, default=99)

    def _divided(self, above: Any, below: Any) -> str:
        """One expression by another; the bar of a fraction needs no brackets around what stands above and below."""
        least = (_SUM, _SUM) if self.latex else (_PRODUCT, _POWER)
        return self._over(self._inside(above, least[0]), self._inside(below, least[1]))

    def _over(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}" if self.latex else f"{above}/{below}"

    def _power(self, expr: Any) -> str:
        base = self._inside(expr.base, _ATOM)
        if self.latex:
            return f"{base}^{{{self._write(expr.exp)[0]}}}"
        if not self.plain and expr.exp.is_Integer:
            return base + str(expr.exp).translate(_SUPERSCRIPTS)
        return f"{base}{'**' if self.plain else '^'}{self._inside(expr.exp, _ATOM)}"

    def _function(self, expr: Any) -> str:
        import sympy

        if isinstance(expr, sympy.floor):
            return self._floor(expr)
        if isinstance(expr, sympy.ceiling):
            above, below = sympy.fraction(sympy.together(expr.args[0]))
            return self._rounded(above, below, self.ceiling)
        if isinstance(expr, sympy.Mod):
            sides = [self._inside(part, _POWER) for part in expr.args]
            return (r" \bmod " if self.latex else " mod " if not self.plain else " % ").join(sides)
        names = {"Min": "min", "Max": "max"}
        name = names.get(type(expr).__name__, type(expr).__name__)
        arguments = ", ".join(self._write(part)[0] for part in expr.args)
        return rf"\{name}\left({arguments}\right)" if self.latex else f"{name}({arguments})"

    def _floor(self, expr: Any) -> str:
        """⌊n/d⌋, or ⌈m/d⌉ where n = m + d − 1."""
        from sympy import collect, fraction, together

        above, below = fraction(together(expr.args[0]))
        constant, rest = above.expand().as_coeff_Add()
        marks = self.floor
        if below.is_Integer and below > 1 and constant == below - 1:
            above, marks = rest, self.ceiling
        dilation = next((s for s in above.free_symbols if s.name == "d" or s.name.startswith("d_")), None)
        if dilation is not None:
            above = collect(above.expand(), dilation)
        return self._rounded(above, below, marks)

    def _rounded(self, above: Any, below: Any, marks: tuple[str, str]) -> str:
        text = self._write(above)[0]
        if below != 1:
            text = self._divided(above, below)
        return f"{marks[0]}{text}{marks[1]}"


def _latex_symbol(name: str) -> str:
    """C_out as C_{out}; whatever else is in a name is text."""
    parts = name.split("_")
    if not all(parts):
        return _latex_word(name)
    head, *index = parts
    below = ",".join(part if part.isascii() else _latex_word(part) for part in index)
    return f"{_latex_word(head)}_{{{below}}}" if index else _latex_word(head)


def _latex_word(word: str) -> str:
    """A letter as it is, a Greek one by its name, a word in italics."""
    if len(word) == 1 and word.isascii() and word.isalpha():
        return word
    usual = unicodedata.normalize("NFKC", word)
    greek = unicodedata.name(usual, "").split() if len(usual) == 1 else []
    if greek[:1] == ["GREEK"] and greek[2:3] == ["LETTER"] and len(greek) == 4:
        letter = greek[3].lower().replace("lamda", "lambda")
        if greek[1] == "SMALL" and letter != "omicron":
            return f"\\{letter}"
        if letter in GREEK_CAPITALS:
            return f"\\{letter.capitalize()}"
    return rf"\mathit{{{latex_text(word)}}}" if word.isascii() else rf"\textit{{{latex_text(word)}}}"


def _is_letter(expr: Any) -> bool:
    """Whether it's a symbol of one letter, with or without an index: a number may stand right before it."""
    return expr.is_Symbol and len(expr.name.partition("_")[0]) == 1


def _is_negative(term: Any) -> bool:
    """Whether a term is better written with a minus sign: −d·(k − 1), not d·(1 − k)."""
    if term.as_coeff_Mul()[0].is_negative:
        return True
    sums = [factor for factor in term.args if factor.is_Add] if term.is_Mul else []
    return len(sums) == 1 and all(part.as_coeff_Mul()[0].is_negative for part in sums[0].args if not part.is_number)


def _negated(term: Any) -> Any:
    """-term, with the minus sign taken into the sum that has it."""
    if term.as_coeff_Mul()[0].is_negative:
        return -term
    return term.func(*(-factor if factor.is_Add else factor for factor in term.args))


def _ceilings(expr: Any) -> Any:
    """⌊(n − 1)/s⌋ + 1 as ⌈n/s⌉; not where a kernel's k is in n, whose arithmetic people know with the floor."""
    import sympy

    for floor in expr.args:
        if not isinstance(floor, sympy.floor) or not expr.as_coeff_Add()[0].is_positive:
            continue
        above, below = sympy.fraction(sympy.together(floor.args[0]))
        constant, rest = above.expand().as_coeff_Add()
        if constant == -1 and not below.is_Integer and not any(s.name.startswith("k") for s in rest.free_symbols):
            return expr - floor - 1 + sympy.ceiling(rest / below, evaluate=False)
    return expr


UNICODE = Notation()
LATEX = Notation(
    r" \cdot ", "-", (r"\left\lfloor ", r" \right\rfloor"), (r"\left\lceil ", r" \right\rceil"), latex=True
)
PLAIN = Notation("*", "-", ("floor(", ")"), ("ceil(", ")"), plain=True)
SIGNS = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}


def condition_text(condition: Condition, notation: Notation = UNICODE) -> str:
    """A condition as people write it: C_in mod g = 0."""
    return " or ".join(
        f"{notation.write(one.left)} {SIGNS[one.relation]} {notation.write(one.right)}"
        for one in condition.alternatives
    )
