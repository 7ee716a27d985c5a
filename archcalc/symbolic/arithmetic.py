"""The operations that integers and SymPy expressions must share: symbols, floors, and extremes.

With integers nothing here imports SymPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cache, lru_cache
from operator import index
from typing import TYPE_CHECKING, Any, TypeAlias

from archcalc.errors import ExpressionError, UsageError
from archcalc.symbolic.expression import Expression
from archcalc.work import meter_sympy

if TYPE_CHECKING:
    from typing_extensions import TypeIs

MAX_BITS = 256
"""No size, product or power may need more bits: 9**9**9 is refused, not computed."""
MAX_PARTS = 600
"""No symbolic size may have more parts; a network's have some ten."""
MAX_FUNCTIONS = 12
"""Nor nest floors, remainders, powers and extremes deeper: what SymPy asks itself about them doubles each time."""

PRIME = "'"
"""What the names of symbols end with that count passes."""

Dim: TypeAlias = int | Expression
"""A size: an exact integer, or an expression in symbols made by `dim`."""


def dim(name: str) -> Expression:
    """Return the one symbol called `name`: a positive integer.

    Symbols with different assumptions are unequal in SymPy even under one name, so no other place makes them.
    Raises: UsageError: the name is not an identifier.

    >>> import archcalc
    >>> archcalc.load("alphago_policy").build(k=archcalc.dim("k"))["conv1"].shape.C + 1
    k + 1
    """
    return _symbol(name)


@cache
def _symbol(name: str) -> Expression:
    import sympy

    if not (isinstance(name, str) and name.isidentifier()):
        raise UsageError(f"a symbol's name is an identifier, not {name!r:.60}")
    meter_sympy()
    symbol: Expression = sympy.Symbol(name, integer=True, positive=True)
    return symbol


@cache
def counter(level: int, letter: str = "i") -> Expression:
    """The symbol that counts the passes of a loop in so many others, from 1: i', i'' … No spec calls anything so.

    Those of passes that are all alike, but for what they see, are p', p'' …, counted from the innermost loop.
    """
    import sympy

    symbol: Expression = sympy.Symbol(f"{letter}{PRIME * (level + 1)}", integer=True, positive=True)
    return symbol


def exact(value: Any, what: str, least: int | None = None) -> Dim:
    """What comes from outside, as an exact integer or an expression in symbols made by `dim`; `what` names it.

    Raises: UsageError: it's a float, a truth value, a text or a fraction, has foreign symbols, or is less than `least`.

    >>> exact(8, "the batch")
    8
    """
    number = value if type(value) is int else _converted(value)
    if number is None:
        raise UsageError(f"{what} takes an exact integer, not {value!r:.60}", "or a symbol: archcalc.dim('k')")
    if isinstance(number, int) and number.bit_length() > MAX_BITS:
        raise UsageError(f"{what} takes an integer of at most {MAX_BITS} bits")
    if least is not None and not is_symbolic(number) and number < least:
        raise UsageError(f"{what} must be at least {least}, not {number}")
    return number


def _converted(value: Any) -> Dim | None:
    """An int (of NumPy's, too), a whole fraction or an expression of ours; None for anything else."""
    if isinstance(value, bool):
        return None
    if is_symbolic(value):
        return _own_expression(value)
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else None
    try:
        return index(value)
    except TypeError:
        return None


@lru_cache(maxsize=4096)
def _own_expression(value: Any) -> Dim | None:
    import sympy

    if not isinstance(value, sympy.Expr) or is_never_whole(value) or value.atoms(sympy.Float):
        return None
    if not all(map(_is_own, value.free_symbols)):
        return None
    return int(value) if value.is_Integer else value


def _is_own(symbol: Any) -> bool:
    level = symbol.name.count(PRIME)
    return bool(symbol == (counter(level - 1) if level else dim(symbol.name)))


def known(size: Dim) -> int:
    """A size where only a number will do.

    Raises: UsageError: it has no value yet.
    """
    if is_symbolic(size):
        raise UsageError(f"a number is needed here, not {size}", "give the symbols values, as in --set R=300")
    return size


def is_symbolic(value: object) -> TypeIs[Expression]:
    """Whether `value` is an expression rather than a number."""
    return not isinstance(value, (int, Fraction, float, str, tuple, list)) and hasattr(value, "free_symbols")


def modest(value: Any) -> Any:
    """The value, if it's one that can be calculated with in reasonable time.

    Raises: ExpressionError: an expression of more than `MAX_PARTS` parts, or nested deeper than `MAX_FUNCTIONS`.
    """
    if is_symbolic(value):
        parts, nesting = _extent(value)
        if parts > MAX_PARTS:
            raise ExpressionError(f"an expression of more than {MAX_PARTS} parts", code="E108")
        if nesting > MAX_FUNCTIONS:
            raise ExpressionError(f"an expression nested deeper than {MAX_FUNCTIONS} levels", code="E108")
    return value


@lru_cache(maxsize=4096)
def _extent(value: Any) -> tuple[int, int]:
    """How many parts an expression has, and how deep its functions and powers are nested."""
    if not value.args:
        return 1, 0
    parts, nesting = zip(*map(_extent, value.args), strict=True)
    return 1 + sum(parts), max(nesting) + (not (value.is_Add or value.is_Mul))


def terms(value: Any) -> int:
    """At most how many terms an expression has once it's multiplied out."""
    if not is_symbolic(value) or value.is_Atom:
        return 1
    if value.is_Add:
        return sum(map(terms, value.args))
    if value.is_Mul:
        return math.prod(map(terms, value.args))
    base, exponent = value.as_base_exp()
    if value.is_Pow and exponent.is_Integer:  # a denominator is multiplied out as well
        several, power = terms(base), abs(int(exponent))
        return math.comb(power + several - 1, several - 1)
    return 1


def prod(factors: Iterable[Dim], start: Dim = 1) -> Dim:
    """Multiply, for integers and expressions alike."""
    for factor in factors:
        start = start * factor
    return start


def floor_div(a: Dim, b: Dim) -> Dim:
    """⌊a / b⌋ in one canonical form: nested floors collapse, and a constant inside lies between 0 and 1.

    ⌊(⌊u⌋ + n) / b⌋ = ⌊(u + n) / b⌋ for integers n and b > 0; ⌊u + n⌋ = ⌊u⌋ + n.
    """
    if not is_symbolic(a) and not is_symbolic(b):
        return a // b
    return _floor_of(a, int(b) if is_symbolic(b) and b.is_Integer else b)


@lru_cache(maxsize=4096)
def _floor_of(a: Dim, b: Dim) -> Dim:
    import sympy

    inner = sympy.expand(a)
    floors = [term for term in sympy.Add.make_args(inner) if isinstance(term, sympy.floor)]
    if len(floors) == 1 and isinstance(b, int) and (inner - floors[0]).is_integer:
        inner = inner - floors[0] + floors[0].args[0]
    constant, rest = sympy.expand(inner / b).as_coeff_Add()
    whole = sympy.floor(constant)
    found: Dim = sympy.floor(rest + constant - whole) + whole
    return found


def canonical_floor(argument: Any) -> Dim:
    """The floor of a fraction in the form that `floor_div` gives, for SymPy's `replace`."""
    import sympy

    return floor_div(*sympy.fraction(sympy.together(argument)))


def shared_out(amount: Dim, parts: Dim) -> Dim:
    """Amount / parts, where that is known, or presupposed, to be an integer: in symbols without a floor."""
    if is_symbolic(amount):
        return amount / parts
    return amount / parts if is_symbolic(parts) else amount // parts


def ceil_div(a: Dim, b: Dim) -> Dim:
    """⌈a / b⌉; of integers as ⌊(a + b - 1) / b⌋, so that roundings up and down collapse alike."""
    if not is_symbolic(a) and not is_symbolic(b):
        return -(-a // b)
    if all(isinstance(n, int) or getattr(n, "is_integer", False) for n in (a, b)):
        return floor_div(a + b - 1, b)
    return -floor_div(-a, b)


def minimum(*values: Dim) -> Dim:
    """Least value; of expressions, a SymPy Min of those that may be the least."""
    numbers = [value for value in values if not is_symbolic(value)]
    return min(numbers) if len(numbers) == len(values) else _extreme(values, least=True)


def maximum(*values: Dim) -> Dim:
    """Greatest value; of expressions, a SymPy Max of those that may be the greatest."""
    numbers = [value for value in values if not is_symbolic(value)]
    return max(numbers) if len(numbers) == len(values) else _extreme(values, least=False)


def _extreme(values: Sequence[Dim], least: bool) -> Expression:
    """Min or Max without the values that another one rules out.

    SymPy's own search for them takes exponential time where floors are nested, so it is not asked.
    """
    import sympy

    exprs = [sympy.expand(value) for value in values]
    common = math.lcm(*(int(term.as_coeff_Mul()[0].q) for expr in exprs for term in sympy.Add.make_args(expr)))
    if common > 1:  # an extreme of integers, which is all that can be compiled and solved
        return _extreme([expr * common for expr in exprs], least) / common
    samples = _samples(exprs)

    def wins(a: Any, b: Any) -> bool:
        """Whether `a` is certainly the extreme of both."""
        return _ordered(a, b, samples) if least else _ordered(b, a, samples)

    rest: list[Any] = []
    for value in dict.fromkeys(exprs):
        if any(wins(other, value) for other in rest):
            continue
        rest = [other for other in rest if not wins(value, other)]
        rest.append(value)
    found: Expression = rest[0] if len(rest) == 1 else (sympy.Min if least else sympy.Max)(*rest, evaluate=False)
    return found


def _ordered(a: Any, b: Any, samples: Mapping[Any, Sequence[Any]]) -> bool:
    """Whether a <= b is certain: proved, unless a sample says otherwise."""
    pairs = zip(samples[a], samples[b], strict=True)
    return all(x is None or y is None or x <= y for x, y in pairs) and is_never_negative(b - a)


def _samples(exprs: Iterable[Any]) -> dict[Any, list[Any]]:
    """The values of expressions at a few places, None where there is none: cheap to compare, where a proof is dear."""
    from archcalc.symbolic.values import NoValue, value_at

    names = sorted({symbol.name for expr in exprs for symbol in expr.free_symbols})
    places = [{name: at(number) for number, name in enumerate(names)} for at in _PLACES]

    def value(expr: Any, place: Mapping[str, int]) -> Any:
        try:
            return value_at(expr, place)
        except NoValue:
            return None

    return {expr: [value(expr, place) for place in places] for expr in exprs}


_PLACES: Sequence[Callable[[int], int]] = (
    lambda _: 1,
    lambda _: 1000,
    lambda number: 7 * number + 3,
    lambda number: 640 if number % 2 else 1,
    lambda number: 1 if number % 2 else 640,
)
"""The value of the symbol of this number, at each of the places."""


def is_never_negative(value: Any) -> bool:
    """Whether it's certain that an expression is 0 or more."""
    least = _least(value, start=1)
    if least is not None:
        return bool(least >= 0)
    return has_no_sign(value) or _bound_is_never_negative(_lower_bound(value))  # a floor's lower bound may be below 0


def has_no_sign(expr: Any) -> bool:
    """Whether an expression can't be negative where it has a value, as its form shows at a glance."""
    import sympy

    if expr.is_number or expr.is_Symbol:
        return bool(expr.is_nonnegative)
    if isinstance(expr, sympy.Mod):
        return has_no_sign(expr.args[1])
    if isinstance(expr, sympy.Max):
        opposites = any(-value in expr.args for value in expr.args)
        return opposites or any(map(has_no_sign, expr.args))
    if expr.is_Pow:
        return has_no_sign(expr.base)
    known = expr.is_Add or expr.is_Mul or isinstance(expr, (sympy.floor, sympy.ceiling, sympy.Min))
    return known and all(map(has_no_sign, expr.args))


def is_always_positive(value: Any) -> bool:
    """Whether it's certain that an expression is more than 0."""
    least = _least(value, start=1)
    return _bound_is_positive(_lower_bound(value)) if least is None else bool(least > 0)


def _least(value: Any, start: int) -> Any:
    """The least value of a sum of multiples of symbols from `start` on, perhaps -∞; None for another expression.

    Such sums are most of what is asked, and SymPy takes a hundred times as long.
    """
    constant, rest = value.as_coeff_Add()
    multiples = [term.as_coeff_Mul() for term in (rest.args if rest.is_Add else [rest])]
    if not all(symbol.is_Symbol for factor, symbol in multiples if factor):
        return None
    factors = [factor for factor, _ in multiples]
    return -math.inf if min(factors) < 0 else constant + start * sum(factors)


@lru_cache(maxsize=4096)
def _lower_bound(value: Any) -> Any:
    """A lower bound without floors, in symbols that start from 0 instead of 1, so that signs show."""
    import sympy

    bound = _below(value)
    bound = sympy.expand(bound.xreplace({symbol: _from_zero(symbol) + 1 for symbol in bound.free_symbols}))
    powers = {part: _above_one(part) + 1 for part in bound.atoms(sympy.Pow) if is_power_of_number(part)}
    return sympy.expand(bound.xreplace(powers)) if powers else bound


def is_power_of_number(power: Any) -> bool:
    """Whether it's 2, 3 … to the power of something with symbols that is never negative: an integer, at least 1."""
    if not (power.is_Pow and power.base.is_Integer and power.base > 1 and power.exp.free_symbols):
        return False
    return bool(power.exp.is_integer and power.exp.is_nonnegative)


def without_powers(value: Any) -> Any:
    """A value with integers of any kind in place of powers of numbers.

    SymPy takes 4**n/6 for an integer, as both are even (1.14, `Mul._eval_is_integer`).
    """
    import sympy

    powers = {part: _above_one(part) + 1 for part in value.atoms(sympy.Pow) if is_power_of_number(part)}
    return value.xreplace(powers) if powers else value


def _bound_is_never_negative(bound: Any) -> bool:
    least = _least(bound, start=0)
    if least is not None:
        return bool(least >= 0)
    return _terms_are_never_negative(bound) if _misleads(bound) else bool(bound.is_nonnegative)


def _bound_is_positive(bound: Any) -> bool:
    import sympy

    least = _least(bound, start=0)
    if least is not None:
        return bool(least > 0)
    if not (_misleads(bound) or _divides_even_by_odd(bound)):
        return bool(bound.is_positive)
    numerators = (sympy.fraction(term)[0] for term in bound.as_ordered_terms())
    return _terms_are_never_negative(bound) and any(map(is_never_zero, numerators))


def _terms_are_never_negative(bound: Any) -> bool:
    return all(term.is_nonnegative and not _misleads(term) for term in bound.as_ordered_terms())


def _misleads(bound: Any) -> bool:
    """Whether SymPy may be wrong about the sign: of a sum with reciprocals of several symbols.

    It calls 8/(x + y + 1) - 3 positive, since it is where x and y are 0 (1.14, `_monotonic_sign`).
    """
    import sympy

    def reciprocal(part: Any) -> bool:
        return part.is_Pow and len(part.free_symbols) > 1 and not part.exp.is_nonnegative

    return any(any(map(reciprocal, part.atoms(sympy.Pow))) for part in bound.atoms(sympy.Add))


def is_never_whole(value: Any) -> bool:
    """Whether it's certain that an expression isn't an integer, whatever its symbols are."""
    value = without_powers(value)
    return value.is_integer is False and not _divides_even_by_odd(value)


def is_never_zero(value: Any) -> bool:
    """Whether it's certain, without looking for bounds, that an expression isn't 0, whatever its symbols are."""
    return value.is_zero is False and not _misleads(value) and not _divides_even_by_odd(value)


def _divides_even_by_odd(value: Any) -> bool:
    """Whether SymPy may be wrong that it's no integer, and so not 0: it says that of all that is even by what is odd.

    6/(2a + 1) is 2 where a is 1 (1.14, `Mul._eval_is_integer`).
    """
    import sympy

    wrong = (sympy.fraction(part) for part in value.atoms(sympy.Mul) if part.is_integer is False)
    return any(above.free_symbols | below.free_symbols and above.is_even and below.is_odd for above, below in wrong)


def _below(value: Any) -> Any:
    """A lower bound without floors: u - 1 < ⌊u⌋ <= u."""
    import sympy

    bound = sympy.Integer(0)
    for term in sympy.Add.make_args(sympy.expand(value)):
        factor, inner = term.as_coeff_Mul()
        if isinstance(inner, sympy.floor):
            bound += _below(factor * (inner.args[0] - (1 if factor > 0 else 0)))
        else:
            bound += term
    return bound


@cache
def _from_zero(symbol: Any) -> Any:
    import sympy

    return sympy.Dummy(symbol.name, integer=True, nonnegative=True)


@lru_cache(maxsize=4096)
def _above_one(power: Any) -> Any:
    """What a power is more than 1, as a symbol of its own."""
    import sympy

    return sympy.Dummy(str(power), integer=True, nonnegative=True)
