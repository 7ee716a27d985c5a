"""Reading expressions from text: precedence climbing over one line, with places for errors.

Offsets count from the start of the text; a space outside brackets ends a `tight` expression.
"""

from __future__ import annotations

import re
from fractions import Fraction

from archcalc.errors import LocalError, suggestion
from archcalc.language.arithmetic import FUNCTIONS
from archcalc.language.expression import Axis, Binary, Call, Choice, Expr, Literal, Name, Several, Unary

MAX_NESTING = 30
MAX_TERMS = 100
MAX_ITEMS = 10_000
MAX_DIGITS = 60

_SPACE = re.compile(r"\s*")
_DIMS = re.compile(r"\d+(?:x\d+){1,9}(?!\w)")
_NUMBER = re.compile(r"(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?(Ki|Mi|Gi|K|M|G|%(?![\w(]))?")
_NAME = re.compile(r"[A-Za-z_]\w*")
_AXIS = re.compile(r"([A-Za-z_]\w*)\.([A-Za-z]\w*)")
_OPERATOR = re.compile(r"->|\.\.|==|!=|<=|>=|\*\*|//|[-+*/%<>=()\[\],@]")


def is_name(text: str) -> bool:
    """Whether expressions can mention it: an identifier that starts with a letter from a to z, or _."""
    return _NAME.fullmatch(text) is not None and text.isidentifier()


_SUFFIXES: dict[str, int | Fraction] = {
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "%": Fraction(1, 100),
}
_LETTERS = re.compile(r"[A-Za-z]+(?![A-Za-z0-9])")
_NOT_A_NUMBER = "sizes are written 3x3, names start with a letter"
_LEVELS = (("or",), ("and",), ("==", "!=", "<", "<=", ">", ">="), ("..",), ("+", "-"), ("*", "/", "//", "%"))
_KEYWORDS = {"if", "else", "and", "or", "not", "from"}


class GrammarError(LocalError):
    """A text that the grammar does not allow; `offset` is where reading stopped."""

    def __init__(self, message: str, offset: int, *, code: str = "E101", hint: str = "") -> None:
        super().__init__(message, code=code, hint=hint)
        self.offset = offset


def clip(text: str) -> str:
    """A text short enough for a message."""
    return text if len(text) <= 60 else text[:57] + "…"


class ExpressionParser:
    """Recursive descent over one text."""

    def __init__(self, text: str) -> None:
        self.text, self.position, self.nesting = text, 0, 0

    # --- the text -------------------------------------------------------------------------------------------------

    def skip_space(self) -> bool:
        """Go to the next character that isn't a space; whether there was a space."""
        start = self.position
        match = _SPACE.match(self.text, start)
        self.position = match.end() if match else start
        return self.position > start

    def peek(self) -> str:
        """The next operator, name or single character, without taking it; empty at the end."""
        self.skip_space()
        match = _OPERATOR.match(self.text, self.position) or _NAME.match(self.text, self.position)
        return match[0] if match else self.text[self.position : self.position + 1]

    def take(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.position += len(token)
        return True

    def end(self) -> None:
        if self.peek():
            raise self.unexpected("the end")

    def unexpected(self, wanted: str) -> GrammarError:
        found = self.peek()
        if not found:
            return GrammarError(f"{wanted} missing at end of text", self.position)
        hint = ""
        if found in ("*", "/", "+", "-", "//", "%", "**", "==", "<", ">", "<=", ">="):
            hint = "inside a chain an expression has no spaces, or stands in ( )"
        elif found == ",":
            hint = "arguments are separated by spaces"
        return GrammarError(f"expected {wanted}, found '{found}'", self.position, hint=hint)

    def name(self) -> str:
        self.skip_space()
        match = _NAME.match(self.text, self.position)
        if not match or match[0] in _KEYWORDS:
            raise self.unexpected("a name")
        self.position = match.end()
        return match[0]

    def nest(self) -> None:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise GrammarError(f"nested deeper than {MAX_NESTING} levels", self.position, code="E001")

    # --- expressions ----------------------------------------------------------------------------------------------

    def operator(self, tight: bool) -> str:
        """The operator that comes next; none if a space ends a tight expression."""
        start = self.position
        spaced = self.skip_space()
        if tight and spaced and self.nesting == self.base:
            self.position = start
            return ""
        return self.peek()

    def expression(self, tight: bool) -> Expr:
        """Parse an expression; a tight one ends at a space outside brackets."""
        outer, self.base = getattr(self, "base", -1), self.nesting if tight else -1
        try:
            return self.choice(tight)
        finally:
            self.base = outer

    def choice(self, tight: bool) -> Expr:
        offset = self.position
        value = self.level(0, tight)
        if self.operator(tight) != "if":
            return value
        start = self.position
        self.take("if")
        condition = self.level(0, tight)
        if self.operator(tight) != "else":
            raise GrammarError("'else' missing after 'if'", start) if self.nesting else self.unexpected("'else'")
        self.take("else")
        self.nest()
        other = self.choice(tight)
        self.nesting -= 1
        return Choice(offset, value, condition, other)

    def level(self, index: int, tight: bool) -> Expr:
        if index == len(_LEVELS):
            return self.unary(tight)
        self.skip_space()
        offset = self.position
        left = self.level(index + 1, tight)
        length = 0
        while (found := self.operator(tight)) in _LEVELS[index]:
            self.take(found)
            length += 1
            if length > MAX_TERMS:
                raise GrammarError(f"more than {MAX_TERMS} terms", self.position, code="E001")
            left = Binary(offset, found, left, self.level(index + 1, tight))
        return left

    def unary(self, tight: bool) -> Expr:
        self.skip_space()
        offset = self.position
        for sign in ("-", "not"):
            if self.peek() == sign:
                self.take(sign)
                return Unary(offset, sign, self.operand(tight, negated=sign == "not"))
        base = self.atom()
        if self.operator(tight) == "**":
            self.take("**")
            return Binary(offset, "**", base, self.operand(tight))
        return base

    def operand(self, tight: bool, negated: bool = False) -> Expr:
        """Parse what stands after a sign, one level deeper; a space ends a tight expression there as well."""
        self.nest()
        shift = int(self.base >= 0)
        self.base += shift
        found = self.level(2, tight) if negated else self.unary(tight)
        self.base -= shift
        self.nesting -= 1
        return found

    def atom(self) -> Expr:
        self.skip_space()
        offset = self.position
        if match := _DIMS.match(self.text, offset):
            self.position = match.end()
            sizes = tuple(Literal(offset, self.digits(part, offset)) for part in match[0].split("x"))
            return Several(offset, sizes, dims=True)
        if match := _NUMBER.match(self.text, offset):
            return self.number(match)
        if match := _AXIS.match(self.text, offset):
            self.position = match.end()
            return Axis(offset, match[1], match[2])
        if self.take("("):
            items, several = self.enclosed(")")
            return Several(offset, items) if several or not items else items[0]
        if self.take("["):
            return Several(offset, self.enclosed("]")[0])
        return self.word(offset)

    def word(self, offset: int) -> Expr:
        name = self.name()
        if name in ("true", "false"):
            return Literal(offset, name == "true")
        if self.text[self.position : self.position + 1] != "(":
            return Name(offset, name)
        if name not in FUNCTIONS:
            message = f"unknown function '{name}'"
            raise GrammarError(message, offset, code="E091", hint=suggestion(name, FUNCTIONS))
        self.position += 1
        return Call(offset, name, self.enclosed(")")[0])

    def enclosed(self, closing: str) -> tuple[tuple[Expr, ...], bool]:
        """The expressions up to `closing`, and whether a comma stood between or after them."""
        self.nest()
        items: list[Expr] = []
        several = False
        while not self.take(closing):
            if items and not self.take(","):
                raise self.unexpected(f"'{closing}'")
            several = several or bool(items)
            if items and self.take(closing):
                break
            items.append(self.expression(tight=False))
            if len(items) > MAX_ITEMS:
                raise GrammarError(f"more than {MAX_ITEMS:,} items", self.position, code="E001")
        self.nesting -= 1
        return tuple(items), several

    def digits(self, text: str, offset: int) -> int:
        if len(text) > MAX_DIGITS:
            raise GrammarError(f"a number of more than {MAX_DIGITS} digits", offset, code="E108")
        return int(text)

    def number(self, match: re.Match[str]) -> Literal:
        offset, self.position = match.start(), match.end()
        whole, decimals, exponent, suffix = match[1], match[2] or "", match[3], match[4]
        if self.text[self.position : self.position + 1].isalnum():
            letters = _LETTERS.match(self.text, self.position)
            meant = letters[0].capitalize() if letters and not suffix else ""
            hint = f"did you mean '{match[0]}{meant}'?" if meant in _SUFFIXES else _NOT_A_NUMBER
            raise GrammarError(f"'{clip(self.text[offset:].split()[0])}' is not a number", offset, hint=hint)
        power = self.digits(exponent.lstrip("+-"), offset) if exponent else 0
        if power > MAX_DIGITS:
            raise GrammarError(f"an exponent of more than {MAX_DIGITS}", offset, code="E108")
        scale = Fraction(_SUFFIXES.get(suffix, 1)) * Fraction(10) ** (-power if (exponent or "")[:1] == "-" else power)
        step = scale / 10 ** len(decimals)
        value = self.digits(whole + decimals, offset) * step
        exact = value.numerator if value.denominator == 1 else value
        return Literal(offset, exact, step, rounded=bool(decimals or suffix or exponent))
