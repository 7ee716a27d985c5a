"""Sizes in symbols: extremes, sets of integers, solving, and compiled arithmetic; each against brute force."""

from __future__ import annotations

import itertools
import pickle
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc.errors import UsageError
from archcalc.symbolic import (
    Integers,
    ceil_div,
    collecting_conditions,
    differ,
    dim,
    exceeds,
    floor_div,
    is_zero,
    maximum,
    minimum,
    solve,
)
from archcalc.symbolic.arithmetic import (
    has_no_sign,
    is_always_positive,
    is_never_negative,
    is_never_whole,
    is_never_zero,
)
from archcalc.symbolic.compiled import Program, Uncompilable, compare
from archcalc.symbolic.integer_sets import Segment, Unsolvable
from archcalc.symbolic.solving import sign_pieces
from tests.random_expressions import expression, value

H, W, K = dim("H"), dim("W"), dim("k")
LAST = 300


def linear(draw: Callable[[Any], int]) -> Any:
    """A rounded linear expression in H, perhaps the lesser of two."""
    value = floor_div(draw(st.integers(1, 3)) * H + draw(st.integers(-9, 9)), draw(st.integers(1, 6)))
    if draw(st.booleans()):
        value = minimum(value, H - draw(st.integers(0, 9)))
    return value


@st.composite
def sides(draw: Any) -> Any:
    """An expression in H: rounded, with products and remainders."""
    value = linear(draw)
    if draw(st.booleans()):
        value = value * (H - draw(st.integers(1, 20))) - draw(st.integers(-50, 50))
    if draw(st.booleans()):
        value = value + sympy.Mod(H, draw(st.integers(2, 5)))
    return value


@settings(max_examples=60, deadline=None)
@given(left=sides(), right=sides(), relation=st.sampled_from(["==", "!=", "<=", ">="]), near=st.integers(1, LAST))
def test_solving_is_complete(left: Any, right: Any, relation: str, near: int) -> None:
    """The solutions are those that trying every number finds; so are the nearest ones, and the text's meaning."""
    function = Program([left, right], [H]).python()
    expected = [h for h in range(1, LAST + 1) if compare(*((*function(h)[:1], relation, *function(h)[1:2])))]
    found = solve(left, relation, right, H)
    assert found is not None
    assert expected == list(found.up_to(LAST))
    assert expected == [h for h in range(1, LAST + 1) if h in found]
    if expected:
        assert expected == [h for h in range(1, LAST + 1) if eval(found.text("H"), {"H": h})]
    below, above = [h for h in expected if h <= near][-1:], [h for h in expected if h >= near][:1]
    assert {*below, *above} <= set(found.nearest(near))


@pytest.mark.parametrize(
    ("left", "relation", "right", "expected"),
    [
        (floor_div(H, 32), "==", 7, "224..255"),
        (2 * floor_div(H, 2), "==", H, "multiples of 2"),
        (ceil_div(H, 4), "==", floor_div(H, 4), "multiples of 4"),
        (floor_div(H + 3, 4) - 2, "==", 2 * floor_div(H + 1, 8) - 1, "1, 2, 3, 4 (mod 8)"),
        (99 * H**2 + 1213 * H + 361, "<=", 5_000_000, "1..218"),
        ((H - 30) * (H - 50) * (H - 77), ">=", 0, "30..50; 77 and more"),
        (sympy.Mod(H, 3), "==", 5, "none"),
        (minimum(H, 50), "==", 50, "50 and more"),
    ],
)
def test_solutions_read_well(left: Any, relation: str, right: Any, expected: str) -> None:
    """Solutions are ranges and residue classes."""
    assert expected == str(solve(left, relation, right, H))


@pytest.mark.parametrize("seed", range(120))
def test_solving_is_exact_in_fractions(seed: int) -> None:
    """Whatever is solved has the solutions of exact arithmetic, one by one near the start and far out in the pattern."""
    generator = random.Random(seed)
    expr = sympy.sympify(expression(generator, [H], generator.randint(1, 3)))
    relation, place = generator.choice(["==", "<=", ">="]), generator.randint(1, 40)
    bound = value(expr, {H: place})
    found = solve(expr, relation, sympy.Rational(bound.numerator, bound.denominator), H)
    assert found is not None
    for h in (*range(1, 60), 100, 720, *range(99_990, 100_000)):
        assert compare(value(expr, {H: h}), relation, bound) == (h in found), (expr, h)


def test_what_cannot_be_solved() -> None:
    """A root, a size divided by itself and an endless period have no answer, which isn't an empty one."""
    assert solve(sympy.sqrt(H), "==", 3, H) is None
    assert solve(floor_div(3 * H, H + 5), "==", 1, H) is None
    assert solve(H * floor_div(H, 99_991), "==", 3, H) is None


def test_sets_intersect() -> None:
    """Ranges and residue classes intersect exactly, whatever their periods."""
    generator = random.Random(6)
    for _ in range(40):
        sets = []
        for _ in range(2):
            period = generator.randint(1, 9)
            residues = frozenset(generator.sample(range(period), generator.randint(1, period)))
            first = generator.randint(1, 60)
            last = None if generator.random() < 0.5 else first + generator.randint(0, 90)
            head = [Segment(n, n) for n in range(1, first) if generator.random() < 0.2]
            sets.append(Integers([*head, Segment(first, last, period, residues)]))
        both = sets[0] & sets[1]
        assert [n for n in range(1, 200) if n in sets[0] and n in sets[1]] == list(both.up_to(199))


def test_sets_unite() -> None:
    """The union holds what one or the other holds; sets of numbers are read as ranges and progressions."""
    generator = random.Random(8)
    for _ in range(60):
        sets = []
        for _ in range(2):
            numbers = generator.sample(range(1, 90), generator.randint(0, 40))
            assert sorted(numbers) == list(Integers.of(numbers).up_to(100))
            assert len(numbers) == Integers.of(numbers).count
            period = generator.randint(1, 9)
            residues = frozenset(generator.sample(range(period), generator.randint(1, period)))
            tail = [Segment(100, None, period, residues)] if generator.random() < 0.5 else []
            sets.append(Integers([*Integers.of(numbers).segments, *tail]))
        both = sets[0] | sets[1]
        assert [n for n in range(1, 200) if n in sets[0] or n in sets[1]] == list(both.up_to(199))
    assert "multiples of 16 to 48; 64..65" == str(Integers.of([16, 32, 48, 64, 65]))


def test_many_runs_are_a_pattern() -> None:
    """Runs that repeat are said as residues, whatever the pattern; those that don't stay runs. Nothing is added."""
    generator = random.Random(10)
    patterns = 0
    for _ in range(200):
        period = generator.randint(2, 9)
        residues = generator.sample(range(period), generator.randint(1, period))
        first, last = generator.randint(1, 40), generator.randint(60, 200)
        numbers = [n for n in range(first, last + 1) if n % period in residues]
        if generator.random() < 0.3:
            numbers.remove(generator.choice(numbers))
        found = Integers.of(numbers)
        assert numbers == list(found)
        patterns += len(found.segments) == 1 and found.segments[0].period > 1
    assert patterns > 60
    assert "0, 1, 4 (mod 8) to 80" == str(Integers.of(n for n in range(1, 81) if n % 8 in (0, 1, 4)))
    assert "1..2; 4..5; 7..8" == str(Integers.of([1, 2, 4, 5, 7, 8]))


def test_sets_unite_all_at_once() -> None:
    """The union of many sets is that of one after the other, ranges and residue classes, with and without ends."""
    generator = random.Random(9)
    for _ in range(40):
        sets = []
        for _ in range(generator.randint(0, 12)):
            period = generator.choice([1, 1, 1, 2, 3, 4])
            residues = frozenset(generator.sample(range(period), generator.randint(1, period)))
            first = generator.randint(1, 90)
            last = None if generator.random() < 0.1 else first + generator.randint(0, 9)
            sets.append(Integers([Segment(first, last, period, residues)]))
        expected = [n for n in range(1, 200) if any(n in numbers for numbers in sets)]
        assert expected == list(Integers.union(sets).up_to(199))


def test_sets_behave_like_sets() -> None:
    """What has an end can be listed and counted; what has none says so instead of running for ever."""
    numbers = Integers.of([3, 4, 5, 9])
    assert ([3, 4, 5, 9], 4, 3, 9) == (list(numbers), len(numbers), numbers.min, numbers.max)
    assert "Integers(3..5; 9)" == repr(numbers)
    assert [True, False, False, False] == [each in numbers for each in (4, 6, "4", None)]
    assert [] == list(Integers())
    endless = Integers.between(7)
    for ask in (list, len, min):
        with pytest.raises(UsageError, match="there is no end to '7 and more'"):
            ask(endless)
    assert endless == pickle.loads(pickle.dumps(endless))


def test_patterns_are_not_too_long_to_list() -> None:
    """Sets whose common period would take for ever are refused instead of listed."""
    long, other = (Integers([Segment(1, None, period, frozenset({0}))]) for period in (9973, 9967))
    assert "multiples of 99400891" == str(long & other)
    with pytest.raises(Unsolvable, match="99,400,891"):
        long | other
    long, other = (Integers([Segment(1, None, period, frozenset(range(period - 1)))]) for period in (9973, 9967))
    with pytest.raises(Unsolvable, match="99,400,891"):
        long & other


@pytest.mark.parametrize("modulus", [2, 6, 9, 35, 99_400_891])
def test_congruences(modulus: int) -> None:
    """Remainders of linear expressions are solved by arithmetic, however long the pattern."""
    for a, b in itertools.product((1, 2, 3, 6, 35, -4), (-9, 0, 5)):
        found = solve(sympy.Mod(a * H + b, modulus, evaluate=False), "==", 0, H)
        assert found is not None
        for h in (*range(1, 80), modulus, 3 * modulus + 5, 7 * modulus - 9):
            assert ((a * h + b) % modulus == 0) == (h in found), (a, b, h)


def test_polynomials_change_sign_where_they_do() -> None:
    """The pieces of a polynomial's sign are those of its values."""
    generator = random.Random(7)
    for _ in range(60):
        roots = [generator.randint(-5, 40) for _ in range(generator.randint(1, 4))]
        values = [sympy.prod(n - root for root in roots) for n in range(len(roots) + 1)]
        row, deltas = [int(v) for v in values], []
        while row:
            deltas.append(row[0])
            row = [b - a for a, b in itertools.pairwise(row)]
        pieces = sign_pieces(deltas)
        for n in range(50):
            value = int(sympy.prod(n - root for root in roots))
            assert (value > 0) - (value < 0) == [sign for start, sign in pieces if start <= n][-1]


@settings(max_examples=60, deadline=None)
@given(value=sides(), h=st.integers(1, 10**12), k=st.integers(1, 10**12))
def test_compiled_arithmetic_is_exact(value: Any, h: int, k: int) -> None:
    """Generated Python gives what SymPy gives, for numbers far beyond 2^53; the bound holds."""
    expr = value * K**2 + K * (K + 1) / 2
    program = Program([expr], [H, K])
    expected = int(expr.subs({H: h, K: k}))
    assert expected == program.python()(h, k)[0]
    assert abs(expected) <= program.bound([h, k])


def test_fractions_are_checked() -> None:
    """Where a division doesn't come out even, the check behind the results isn't 0."""
    function = Program([K / 2, H * W / K], [H, K, W]).python()
    assert (3, 5, 0, 0) == function(5, 6, 6)
    assert any(function(5, 5, 6)[2:])


def test_what_is_no_integer_arithmetic_is_not_compiled() -> None:
    """Roots and symbols without a value are refused."""
    with pytest.raises(Uncompilable):
        Program([sympy.sqrt(H)], [H])
    with pytest.raises(Uncompilable):
        Program([H + W], [H])


def test_extremes_drop_what_is_ruled_out() -> None:
    """Of values in a known order one stays; SymPy, which would take minutes over nested floors, isn't asked."""
    assert H + 2 == maximum(H, H + 2, floor_div(H, 2))
    assert floor_div(H, 2) == minimum(H, floor_div(H, 2) + 1, floor_div(H, 2))
    assert {H, W} == set(maximum(H, W).args)


def test_conditions_keep_their_sides() -> None:
    """A condition has a text, and two sides to calculate with, also after pickling."""
    with collecting_conditions() as found:
        assert not differ(K % 2, 0)
    condition = pickle.loads(pickle.dumps(found[0]))
    assert (found[0], "k % 2 == 0", {K}) == (condition, str(condition), condition.symbols)
    assert [4, 6] == [k for k in range(3, 8) if condition.holds({"k": k})]
    assert "multiples of 2" == str(solve(condition.left, condition.relation, condition.right, K))


def test_what_always_differs_is_no_condition() -> None:
    """An equality that no size can meet is decided: it fails."""
    with collecting_conditions() as found:
        assert differ(floor_div(H, 2), H + 1)
    assert [] == found


def test_what_is_certainly_no_integer_or_not_0_never_is() -> None:
    """Where SymPy is wrong too: of what is even by what is odd, such as 6/(2a + 1), and of several reciprocals."""
    draw, misled, certain = random.Random(1), Counter[str](), Counter[str]()
    a, b = symbols = [dim("a"), dim("b")]
    for _ in range(400):
        below = draw.choice([sympy.Integer(draw.choice([3, 5])), 2 * a + 1, a + b + 1, a + draw.randint(0, 3)])
        least = sympy.Min(4 * a, 2 * b - draw.randint(0, 2), evaluate=False)
        above = draw.choice([expression(draw, symbols, 2), draw.randint(1, 12), least])
        size = sympy.expand(above / below - draw.randint(0, 2))
        points = (dict(zip(symbols, numbers, strict=True)) for numbers in itertools.product((1, 2, 3, 5, 12), repeat=2))
        values = [value(size, numbers) for numbers in points]
        claims = {
            "whole": (size.is_integer is False, is_never_whole(size), any(n.denominator == 1 for n in values)),
            "zero": (size.is_zero is False, is_never_zero(size), 0 in values),
            "positive": (bool(size.is_positive), is_always_positive(size), min(values) <= 0),
        }
        for name, (sympys, ours, refuted) in claims.items():
            assert not (ours and refuted), (name, size)
            misled[name] += sympys and refuted
            certain[name] += ours
    assert min(misled.values()) > 2
    assert min(certain.values()) > 10
    assert all(map(is_never_zero, (-2 * a, 2 * a / 3, 4 * a * b, 2 * a + 2, a / 2)))


def test_forms_without_a_sign_are_never_negative() -> None:
    """Of random nested expressions, at many values of their symbols."""
    draw, shown = random.Random(2), Counter[bool]()
    symbols = [dim("a"), dim("b")]
    parts: list[Any] = [*symbols, *map(sympy.Integer, range(-3, 4)), sympy.Rational(1, 2)]
    makers: list[Callable[[Any, Any], Any]] = [
        sympy.Add, lambda x, y: x - y, lambda x, y: x - y, sympy.Mul, sympy.Max, sympy.Min, lambda x, _: sympy.floor(x / 2), lambda x, _: sympy.ceiling(x / 3),
        lambda x, _: sympy.Mod(x, 3), lambda x, _: x**2, lambda x, _: sympy.Max(x, -x), lambda _, y: 2**y if y in symbols else y,
    ]  # fmt: skip
    for _ in range(300):
        made = draw.choice(makers)(draw.choice(parts), draw.choice(parts))
        if made.is_number or made in parts or sympy.count_ops(made) > 6:
            continue
        parts.append(made)
        shown[has_no_sign(made)] += 1
        for numbers in itertools.product((1, 2, 7), repeat=2):
            found = made.subs(dict(zip(symbols, numbers, strict=True)))
            assert not (has_no_sign(made) and found.is_negative), made
    assert min(shown.values()) > 10


def test_signs_that_are_certain_are_right() -> None:
    """Of sums with reciprocals of several symbols too, of which SymPy says wrong things."""
    draw, decided = random.Random(1), Counter[str]()
    symbols = [dim("a"), dim("b")]
    for _ in range(400):
        terms = [draw.randint(-9, 9) * draw.choice([1, 1, *symbols]) for _ in range(draw.randint(1, 3))]
        below = sum(draw.randint(0, 2) * each for each in symbols) + draw.randint(0, 1) * symbols[0] * symbols[1]
        fraction = sympy.Integer(draw.randint(-9, 9)) / (below + draw.randint(1, 2))
        rounded = draw.randint(-2, 2) * floor_div(sum(terms), draw.randint(2, 4))
        bound = sympy.expand(sympy.Add(*terms, draw.choice([0, fraction, rounded])))
        values = [
            bound.subs(dict(zip(symbols, numbers, strict=True)))
            for numbers in itertools.product((1, 2, 3, 10), repeat=2)
        ]
        decided[f"never negative: {is_never_negative(bound)}"] += 1
        assert not is_never_negative(bound) or min(values) >= 0, bound
        assert not is_always_positive(bound) or min(values) > 0, bound
    assert min(decided.values()) > 20
    assert all(map(is_never_negative, (floor_div(H, 2), 3 * floor_div(H, 2) + 1, floor_div(floor_div(H, 3), 2))))
    assert not any(map(is_never_negative, (floor_div(H, 2) - 1, floor_div(H - 2, 2))))
    c, h = dim("c"), dim("h")
    with collecting_conditions() as found:
        assert not exceeds(3, floor_div(8, c * h))
        assert not is_zero(8 / (c + h) - 2)
    assert {(1, 2): True, (1, 3): False} == {p: found[0].holds({"c": p[0], "h": p[1]}) for p in ((1, 2), (1, 3))}
    assert {(1, 3): False, (1, 2): True} == {p: found[1].holds({"c": p[0], "h": p[1]}) for p in ((1, 3), (1, 2))}
