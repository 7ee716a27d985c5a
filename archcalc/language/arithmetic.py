"""What the language's values are, and what its operators and functions do with them, exactly."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, NoReturn

from archcalc.data import dataclass
from archcalc.errors import ExpressionError, suggestion
from archcalc.symbolic import (
    as_integer,
    ceil_div,
    floor_div,
    is_never_negative,
    is_never_zero,
    is_symbolic,
    is_zero,
    maximum,
    minimum,
    modest,
    terms,
)
from archcalc.symbolic.arithmetic import MAX_BITS

MAX_TERMS = 200
"""No symbolic size may have more terms: SymPy's questions about nested ones take exponential time."""
MAX_SQUARE = 40
"""Operations of an expression that is looked at for being a square."""
MAX_POWER = 64
"""The greatest exponent of a symbol."""
MAX_RANGE = 1_000_000_000_000
MAX_ITEMS = 50_000


LISTS = (list, tuple, range)
"""The types of a list's value. A range is never written out: `1..1000000` costs nothing."""


class Word(str):
    """A bare word that names nothing in scope: `half`, `same`, `position`; the argument's type decides."""

    __slots__ = ()


class Reference(str):
    """A path to an earlier tensor, written `@path`."""

    __slots__ = ()


class Items(list[Any]):
    """A list's value, which knows how many values it holds, those of lists inside it included.

    Raises: ExpressionError: more than `MAX_ITEMS`; lists of lists of lists double quickly.
    """

    __slots__ = ("size",)

    def __init__(self, values: Iterable[Any]) -> None:
        super().__init__(values)
        self.size = sum(getattr(value, "size", 1) for value in self)
        if self.size > MAX_ITEMS:
            raise ExpressionError(f"a list of more than {MAX_ITEMS:,} values", code="E108")


@dataclass(frozen=True, slots=True)
class OpenRange:
    """`1..n`, n a symbol: a list that only loops and `len` understand."""

    first: int
    last: Any

    @property
    def length(self) -> Any:
        """How many numbers it has."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


class Dims(tuple[Any, ...]):
    """Sizes written with an x between them: `3x3`."""

    __slots__ = ()

    def __str__(self) -> str:
        return "x".join(map(str, self))


def number(value: Any) -> Any:
    """A number to calculate with.

    Raises: ExpressionError: an unknown name, or a value that is not a number.
    """
    if isinstance(value, Word):
        raise UnknownName(value)
    if isinstance(value, bool) or not (isinstance(value, (int, Fraction)) or is_symbolic(value)):
        raise ExpressionError(f"can't calculate with {short(value)}", code="E086")
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that nothing in scope has: the language's word for Python's, else a name like it.

    >>> nearest("False", ["size"])
    "did you mean 'false'?"
    """
    return f"did you mean '{name.lower()}'?" if name in ("True", "False", "None") else suggestion(name, known)


class UnknownName(ExpressionError):
    """A name that nothing in scope has."""

    def __init__(self, name: str, known: set[str] | None = None) -> None:
        hint = nearest(name, known or ())
        super().__init__(f"unknown name '{name}'", code="E090", hint=hint)
        self.name = str(name)


def bounded(value: Any) -> Any:
    """The value; a fraction with denominator 1 as an integer, an expression multiplied out.

    Raises: ExpressionError: it needs more than `MAX_BITS` bits, or has more than `MAX_TERMS` terms.
    """
    if is_symbolic(value):
        if terms(value) > MAX_TERMS:
            raise ExpressionError(f"an expression of more than {MAX_TERMS} terms", code="E108")
        value = modest(modest(value).expand())
        if value.is_Rational:  # symbols that cancel leave a number
            value = Fraction(int(value.p), int(value.q))
        elif value.is_number:
            raise ExpressionError(f"{short(value)} is not a fraction")
    if isinstance(value, Fraction):
        if value.denominator == 1:
            value = value.numerator
        elif max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
            _too_large()
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        _too_large()
    return value


def _too_large() -> NoReturn:
    raise ExpressionError(f"a number of more than {MAX_BITS} bits", code="E108")


def short(value: Any) -> str:
    """A value in a message."""
    text = str(value)
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}…'"


def _check_divisor(value: Any) -> None:
    if is_zero(value):
        raise ExpressionError("division by zero")


def _divide(a: Any, b: Any) -> Any:
    _check_divisor(b)
    return a / b if is_symbolic(a) or is_symbolic(b) else Fraction(a) / b


def _floor(a: Any, b: Any) -> Any:
    _check_divisor(b)
    return floor_div(a, b)


def _modulo(a: Any, b: Any) -> Any:
    _check_divisor(b)
    return a % b


def _power(a: Any, b: Any) -> Any:
    if not is_symbolic(a) and not is_symbolic(b):
        if not isinstance(b, int):
            raise ExpressionError("an exponent must be an integer")
        size = max(Fraction(a).numerator.bit_length(), Fraction(a).denominator.bit_length())
        if abs(b) > MAX_BITS or size * abs(b) > 2 * MAX_BITS:
            _too_large()
        if a == 0 and b < 0:
            raise ExpressionError("division by zero")
        return Fraction(a) ** b
    if isinstance(b, int) and abs(b) > MAX_POWER:
        _too_large()
    return _symbolic_power(a, b)


def _symbolic_power(a: Any, b: Any) -> Any:
    """A power with a symbol; whether it divides by zero must be certain or a matter of its base alone."""
    import sympy

    base, exponent = sympy.sympify(a), as_integer(b)
    if exponent is None:
        raise ExpressionError("an exponent must be an integer")
    most = MAX_POWER if base.free_symbols else 4 * MAX_BITS
    if any(max(abs(n.p), n.q) > most for n in sympy.expand(exponent).atoms(sympy.Rational)):
        _too_large()  # 5**(c + n) is multiplied out, and so is 5**(n*c) where a bound of it is looked for
    if not is_never_negative(sympy.sympify(exponent)):
        if is_symbolic(exponent) and not is_never_zero(base):
            raise ExpressionError("the sign of an exponent needs a number, not a symbol", code="E106")
        _check_divisor(a)
    return base**exponent


def _symbolic_root(value: Any) -> Any:
    """The root of an expression that is a square whatever the symbols are."""
    import sympy

    square = sympy.factor(value) if sympy.count_ops(value) <= MAX_SQUARE else value
    root = sympy.sqrt(square).replace(sympy.Abs, lambda inner: maximum(inner, -inner))
    if any(power.exp.is_integer is not True for power in root.atoms(sympy.Pow)):
        raise ExpressionError("sqrt(...) of what isn't always a square needs a number, not a symbol", code="E106")
    return root


def _range(first: Any, last: Any) -> range | OpenRange:
    if is_symbolic(first):
        raise ExpressionError("a range begins with a number, not with a symbol", code="E106")
    if isinstance(first, int) and is_symbolic(last):
        return OpenRange(first, integer(last, "the end of a range"))
    if not isinstance(first, int) or not isinstance(last, int):
        raise ExpressionError("a range needs integers", code="E088")
    if last - first >= MAX_RANGE:
        raise ExpressionError(
            f"a range of {last - first + 1:,} numbers; at most {MAX_RANGE:,} are allowed", code="E108"
        )
    return range(first, max(last + 1, first))


COMPARISONS = ("<", "<=", ">", ">=")
OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "..": _range,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "//": _floor,
    "%": _modulo,
    "**": _power,
}


def _rounded(value: Any) -> Any:
    """Nearest integer, halves up, as textbooks round."""
    return floor_div(2 * number(value) + 1, 2)


def _round_to(value: Any, unit: Any) -> Any:
    """Nearest multiple, never more than 10 % down (MobileNet's `_make_divisible`)."""
    value, unit = number(value), integer(unit, "the unit")
    if is_symbolic(value) or is_symbolic(unit):
        raise ExpressionError("rounding to multiples needs numbers, not symbols", code="E106")
    if unit < 1:
        raise ExpressionError(f"multiples of {unit} are nothing to round to")
    nearest = max(unit, math.floor(Fraction(value) + Fraction(unit, 2)) // unit * unit)
    return nearest + unit if nearest * 10 < value * 9 else nearest


def _exact_root(value: Any) -> Any:
    value = number(value)
    if is_symbolic(value):
        return _symbolic_root(value)
    root = Fraction(value) if value >= 0 else Fraction(-1)
    numerator, denominator = math.isqrt(max(root.numerator, 0)), math.isqrt(root.denominator)
    if root < 0 or numerator**2 != root.numerator or denominator**2 != root.denominator:
        raise ExpressionError(f"sqrt({value}) is not a fraction")
    return Fraction(numerator, denominator)


def _exact_log2(value: Any) -> Any:
    value = number(value)
    if is_symbolic(value):
        raise ExpressionError("log2(...) needs a number, not a symbol", code="E106")
    if not isinstance(value, int) or value < 1 or value & (value - 1):
        raise ExpressionError(f"log2({value}) is not an integer")
    return value.bit_length() - 1


def _ends(values: tuple[Any, ...]) -> list[Any]:
    """The numbers among which the least and the greatest are: of a range, its two ends."""
    items = values[0] if len(values) == 1 and isinstance(values[0], LISTS) else values
    if not items:
        raise ExpressionError("an empty list has no least or greatest value")
    return [items[0], items[-1]] if isinstance(items, range) else [number(item) for item in items]


def _list(value: Any) -> Any:
    if isinstance(value, OpenRange):
        raise ExpressionError(f"{short(value)} needs a number, not a symbol", code="E106")
    if not isinstance(value, LISTS):
        raise ExpressionError(f"a list is needed, not {short(value)}", code="E086")
    return value


def _sum(values: Any) -> Any:
    if isinstance(values, range):
        return (values[0] + values[-1]) * len(values) // 2 if values else 0
    total: Any = 0
    for item in _list(values):
        total = bounded(total + number(item))
    return total


def _first(values: Any) -> Any:
    if not _list(values):
        raise ExpressionError("an empty list has no first entry")
    return values[0]


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": lambda *values: minimum(*_ends(values)),
    "max": lambda *values: maximum(*_ends(values)),
    "len": lambda values: values.length if isinstance(values, OpenRange) else len(_list(values)),
    "sum": _sum,
    "abs": lambda value: maximum(number(value), -number(value)),
    "ceil": lambda value: ceil_div(number(value), 1),
    "floor": lambda value: floor_div(number(value), 1),
    "round": _rounded,
    "round8": lambda value: _round_to(value, 8),
    "round_to": _round_to,
    "sqrt": _exact_root,
    "log2": _exact_log2,
    "reverse": lambda values: values[::-1] if isinstance(_list(values), range) else Items(reversed(values)),
    "first": _first,
}


def integer(value: Any, what: str) -> Any:
    """The value as an integer size.

    Raises: ExpressionError: it's a fraction, or no number.
    """
    found = as_integer(number(value))
    if found is None:
        raise ExpressionError(f"{what} = {value} is not an integer", hint="use // or ceil(...)")
    return found
