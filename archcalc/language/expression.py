"""Expressions: the grammar's `expr` as a small tree, evaluated exactly where its names have values.

Nothing here calls Python's `eval` or SymPy's `sympify`; the only functions are those in `FUNCTIONS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from archcalc.data import dataclass
from archcalc.errors import ExpressionError, LocalError
from archcalc.language.arithmetic import (
    COMPARISONS,
    FUNCTIONS,
    OPERATIONS,
    Dims,
    Items,
    OpenRange,
    Word,
    bounded,
    number,
    short,
)
from archcalc.symbolic import is_never_zero, is_surely_not_negative, is_symbolic, truth
from archcalc.work import spend

NAMED = "@"
"""Among an environment's tensors: the function that finds the shape of one by its name."""


class Reported(LocalError):
    """An error that has been reported already: whoever meets it gives up quietly."""

    def __init__(self) -> None:
        super().__init__("already reported")


class Environment:
    """What names stand for: innermost first; the tensors `x`, `in` and earlier ones answer for their axes."""

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
        """The size of `x`, `in` or an earlier tensor along an axis.

        Raises: ExpressionError: there is no such tensor, or it has no such axis. Reported: it's unknown after an error.
        """
        find = self.tensors.get(NAMED)
        shape = self.tensors[tensor] if tensor in self.tensors else find(tensor) if find else None
        if shape is None and tensor in self.tensors:
            raise Reported
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
        """The expression itself and all inside it."""
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
    """`x.C`: a size of the tensor that enters this step; `in.C`: of the block's input; `stem.C`: of an earlier one."""

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
        spend(1 + len(values) // 4, "calculating values")
        return Dims(values) if self.dims else Items(values)


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
        spend(2, "calculating values")
        if self.operation in ("==", "!="):
            return _equal(left, right, self) is (self.operation == "==")
        result = OPERATIONS[self.operation](number(left), number(right))
        if self.operation in COMPARISONS:
            return decide(result, self)  # a truth that isn't known is no value to go on with
        return result if isinstance(result, (range, OpenRange)) else bounded(result)


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function of `FUNCTIONS`."""

    function: str
    arguments: tuple[Expr, ...]

    def children(self) -> tuple[Expr, ...]:
        return self.arguments

    def evaluate(self, env: Environment) -> Any:
        values = [argument.evaluate(env) for argument in self.arguments]
        spend(2 + sum(len(value) for value in values if isinstance(value, (list, tuple))), "calculating values")
        try:
            return bounded(FUNCTIONS[self.function](*values))
        except (TypeError, ValueError):
            raise ExpressionError(f"{self.function}(...) can't take these arguments", code="E086") from None


def decide(value: Any, where: Expr) -> bool:
    """A condition's truth; it must not hang on a symbol.

    Raises: ExpressionError: the condition is undecidable, or not true or false.
    """
    if is_symbolic(value):
        if (found := truth(value)) is None:
            raise Undecidable(where)
        return found
    if not isinstance(value, bool):
        raise ExpressionError(f"a condition must be true or false, not {short(value)}", code="E086")
    return value


class Undecidable(ExpressionError):
    """A condition depends on a symbol; the chain's step, which has the text, names it (E106)."""

    def __init__(self, where: Expr, what: str = "a condition") -> None:
        super().__init__(f"{what} depends on a symbolic value", code="E106", hint="give the symbol a value")
        self.where = where


def _equal(left: Any, right: Any, where: Expr) -> bool:
    if not is_symbolic(left) and not is_symbolic(right):
        return bool(left == right)
    if not all(is_symbolic(side) or type(side) in (int, Fraction) for side in (left, right)):
        return False  # a word, a block, a list
    from sympy import expand

    difference = expand(left - right)
    if difference.is_zero or is_never_zero(difference):
        return bool(difference.is_zero)
    if is_surely_not_negative(difference - 1) or is_surely_not_negative(-difference - 1):
        return False
    raise Undecidable(where)
