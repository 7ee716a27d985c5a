"""Expressions: the grammar's `expr`, parsed to a small tree and evaluated exactly, on integers, fractions and symbols.

Nothing here calls Python's `eval` or SymPy's `sympify`; the only functions are the ones in `FUNCTIONS`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NoReturn

from archcalc.errors import ExpressionError, suggestion
from archcalc.symbolic import as_integer, ceil_div, floor_div, is_symbolic, maximum, minimum

MAX_BITS = 256
"""No size, product or power may need more bits: 9**9**9 is refused, not computed."""
MAX_RANGE = 1_000_000


class Word(str):
    """A bare word that names nothing in scope: `half`, `same`, `position`; the argument's type decides."""

    __slots__ = ()


class Reference(str):
    """A path to an earlier tensor, written `@path`."""

    __slots__ = ()


class Dims(tuple[Any, ...]):
    """Sizes written with an x between them: `3x3`."""

    __slots__ = ()

    def __str__(self) -> str:
        return "x".join(map(str, self))


class Environment:
    """What names stand for: innermost first; the tensors `x` and `in` answer for their axes."""

    __slots__ = ("names", "parent", "tensors")

    def __init__(
        self,
        names: Mapping[str, Any],
        parent: Environment | None = None,
        tensors: dict[str, Any] | None = None,
    ) -> None:
        self.names, self.parent = names, parent
        self.tensors: dict[str, Any] = tensors if tensors is not None else parent.tensors if parent else {}

    def find(self, name: str) -> Any:
        """The value of `name`, or None if nothing of that name is in scope."""
        scope: Environment | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def visible(self) -> set[str]:
        """Every name in scope, for suggestions."""
        return set(self.names) | (self.parent.visible() if self.parent else set())

    def axis(self, tensor: str, axis: str) -> Any:
        """The size of `x` or `in` along an axis."""
        shape = self.tensors.get(tensor)
        if shape is None:
            raise ExpressionError(f"'{tensor}.{axis}' has no tensor to refer to here", code="E092")
        if axis not in shape:
            raise ExpressionError(f"'{tensor}' has no axis {axis}; it is {shape}", code="E092")
        return shape[axis]


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression and the place where it starts, as an offset into its text."""

    offset: int

    def evaluate(self, env: Environment) -> Any:
        """The value, exact."""
        raise NotImplementedError

    def children(self) -> tuple[Expr, ...]:
        """The operands."""
        return ()

    def walk(self) -> Iterator[Expr]:
        """This expression and all inside it."""
        yield self
        for child in self.children():
            yield from child.walk()

    def names(self) -> set[str]:
        """The names that this expression reads."""
        return {part.name for part in self.walk() if isinstance(part, Name)}


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """A number, `true` or `false`; `step` is the unit of its last printed digit (138M: a million)."""

    value: Any
    step: Fraction = Fraction(1)
    rounded: bool = False

    def evaluate(self, env: Environment) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A name: a loop variable, formal, hparam, block or table; else a word for the argument's type to accept."""

    name: str

    def evaluate(self, env: Environment) -> Any:
        found = env.find(self.name)
        if callable(found) and not is_symbolic(found):  # an hparam, evaluated when it's first needed
            found = found()
        return Word(self.name) if found is None else found


@dataclass(frozen=True, slots=True)
class Axis(Expr):
    """`x.C`: the size of the tensor that enters this step; `in.C`: of the block's input."""

    tensor: str
    axis: str

    def evaluate(self, env: Environment) -> Any:
        return env.axis(self.tensor, self.axis)


@dataclass(frozen=True, slots=True)
class Several(Expr):
    """A list `[a, b]`, or sizes `axb` (`dims`)."""

    items: tuple[Expr, ...]
    dims: bool = False

    def children(self) -> tuple[Expr, ...]:
        return self.items

    def evaluate(self, env: Environment) -> Any:
        values = [item.evaluate(env) for item in self.items]
        return Dims(values) if self.dims else values


@dataclass(frozen=True, slots=True)
class Choice(Expr):
    """`a if condition else b`."""

    then: Expr
    condition: Expr
    other: Expr

    def children(self) -> tuple[Expr, ...]:
        return (self.condition, self.then, self.other)

    def evaluate(self, env: Environment) -> Any:
        return (self.then if decide(self.condition.evaluate(env), self) else self.other).evaluate(env)


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`-a` or `not a`."""

    operation: str
    operand: Expr

    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    def evaluate(self, env: Environment) -> Any:
        value = self.operand.evaluate(env)
        return not decide(value, self.operand) if self.operation == "not" else -number(value)


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """An operation on two values; `and` and `or` stop at the first that decides."""

    operation: str
    left: Expr
    right: Expr

    def children(self) -> tuple[Expr, ...]:
        return (self.left, self.right)

    def evaluate(self, env: Environment) -> Any:
        left = self.left.evaluate(env)
        if self.operation in ("and", "or"):
            first = decide(left, self.left)
            return first if first is (self.operation == "or") else decide(self.right.evaluate(env), self.right)
        right = self.right.evaluate(env)
        if self.operation in ("==", "!="):
            return _equal(left, right, self) is (self.operation == "==")
        result = _OPERATIONS[self.operation](number(left), number(right))
        return result if self.operation in _COMPARISONS or isinstance(result, list) else bounded(result)


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function of `FUNCTIONS`."""

    function: str
    arguments: tuple[Expr, ...]

    def children(self) -> tuple[Expr, ...]:
        return self.arguments

    def evaluate(self, env: Environment) -> Any:
        values = [argument.evaluate(env) for argument in self.arguments]
        try:
            return bounded(FUNCTIONS[self.function](*values))
        except (TypeError, ValueError):
            raise ExpressionError(f"{self.function}(...) can't take these arguments", code="E086") from None


def decide(value: Any, where: Expr) -> bool:
    """A condition's truth; it must not hang on a symbol.

    Raises: ExpressionError: the condition is undecidable, or not true or false.
    """
    if is_symbolic(value):
        if str(value) in ("True", "False"):
            return str(value) == "True"
        raise Undecidable(where)
    if not isinstance(value, bool):
        raise ExpressionError(f"a condition must be true or false, not {_short(value)}", code="E086")
    return value


class Undecidable(ExpressionError):
    """A condition depends on a symbol; the chain's step, which has the text, names it (E106)."""

    def __init__(self, where: Expr) -> None:
        super().__init__(
            "a condition depends on a symbolic value", code="E106", hint="give the symbol a value with --set"
        )
        self.where = where


def number(value: Any) -> Any:
    """A number to calculate with.

    Raises: ExpressionError: an unknown name, or a value that is no number.
    """
    if isinstance(value, Word):
        raise UnknownName(value)
    if isinstance(value, bool) or not (isinstance(value, (int, Fraction)) or is_symbolic(value)):
        raise ExpressionError(f"can't calculate with {_short(value)}", code="E086")
    return value


class UnknownName(ExpressionError):
    """A name that nothing in scope has."""

    def __init__(self, name: str, known: set[str] | None = None) -> None:
        hint = suggestion(name, known) if known else ""
        super().__init__(f"unknown name '{name}'", code="E090", hint=hint)
        self.name = str(name)


def bounded(value: Any) -> Any:
    """The value, a fraction with denominator 1 as an integer.

    Raises: ExpressionError: it needs more than `MAX_BITS` bits.
    """
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


def _short(value: Any) -> str:
    text = str(value)
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}…'"


def _equal(left: Any, right: Any, where: Expr) -> bool:
    if not is_symbolic(left) and not is_symbolic(right):
        return bool(left == right)
    from sympy import expand

    difference = expand(left - right)
    if difference.is_zero is None:
        raise Undecidable(where)
    return bool(difference.is_zero)


def _divide(a: Any, b: Any) -> Any:
    if not is_symbolic(b) and b == 0:
        raise ExpressionError("division by zero")
    return a / b if is_symbolic(a) or is_symbolic(b) else Fraction(a) / b


def _floor(a: Any, b: Any) -> Any:
    if not is_symbolic(b) and b == 0:
        raise ExpressionError("division by zero")
    return floor_div(a, b)


def _modulo(a: Any, b: Any) -> Any:
    if not is_symbolic(b) and b == 0:
        raise ExpressionError("division by zero")
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
    if isinstance(b, int) and abs(b) > 64:
        _too_large()
    return a**b


def _range(first: Any, last: Any) -> list[int]:
    if is_symbolic(first) or is_symbolic(last):
        raise ExpressionError("a range needs numbers, not symbols", code="E106")
    if not isinstance(first, int) or not isinstance(last, int):
        raise ExpressionError("a range needs integers", code="E088")
    if last - first >= MAX_RANGE:
        raise ExpressionError(
            f"a range of {last - first + 1:,} numbers; at most {MAX_RANGE:,} are allowed", code="E108"
        )
    return list(range(first, last + 1))


_COMPARISONS = ("<", "<=", ">", ">=")
_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
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


def _round8(value: Any) -> Any:
    """Nearest multiple of 8, never more than 10 % down (MobileNet's `_make_divisible`)."""
    value = number(value)
    if is_symbolic(value):
        raise ExpressionError("round8(...) needs a number, not a symbol", code="E106")
    nearest = max(8, math.floor(Fraction(value) + 4) // 8 * 8)
    return nearest + 8 if nearest * 10 < value * 9 else nearest


def _exact_root(value: Any) -> Any:
    value = number(value)
    if is_symbolic(value):
        import sympy

        return sympy.sqrt(value)
    root = Fraction(value) if value >= 0 else Fraction(-1)
    numerator, denominator = math.isqrt(max(root.numerator, 0)), math.isqrt(root.denominator)
    if root < 0 or numerator**2 != root.numerator or denominator**2 != root.denominator:
        raise ExpressionError(f"sqrt({value}) is not a fraction")
    return Fraction(numerator, denominator)


def _exact_log2(value: Any) -> Any:
    value = number(value)
    if is_symbolic(value):
        import sympy

        return sympy.log(value, 2)
    if not isinstance(value, int) or value < 1 or value & (value - 1):
        raise ExpressionError(f"log2({value}) is not an integer")
    return value.bit_length() - 1


def _all_numbers(values: tuple[Any, ...]) -> list[Any]:
    items = values[0] if len(values) == 1 and isinstance(values[0], (list, tuple)) else values
    if not items:
        raise ExpressionError("an empty list has no least or greatest value")
    return [number(item) for item in items]


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": lambda *values: minimum(*_all_numbers(values)),
    "max": lambda *values: maximum(*_all_numbers(values)),
    "len": len,
    "sum": lambda values: sum(number(item) for item in values),
    "abs": lambda value: abs(number(value)),
    "ceil": lambda value: ceil_div(number(value), 1),
    "floor": lambda value: floor_div(number(value), 1),
    "round": _rounded,
    "round8": _round8,
    "sqrt": _exact_root,
    "log2": _exact_log2,
    "reverse": lambda values: values[::-1],
}


def integer(value: Any, what: str) -> Any:
    """The value as an integer size.

    Raises: ExpressionError: it's a fraction, or no number.
    """
    found = as_integer(number(value))
    if found is None:
        raise ExpressionError(f"{what} = {value} is not an integer", hint="use // or ceil(...)")
    return found
