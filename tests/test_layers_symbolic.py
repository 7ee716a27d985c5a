"""Chains of windows in symbols: one canonical size, and conditions that say exactly when the chain works."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc.errors import ShapeError
from archcalc.layers import Layer
from archcalc.shape import Shape
from archcalc.symbolic import Condition, ceil_div, collecting_conditions, differ, dim, exceeds, floor_div
from tests.layer_cases import make

small, stride, amount = st.integers(1, 4), st.integers(1, 3), st.integers(0, 2)
steps = st.one_of(
    st.builds(lambda k, s, p, d: make("conv", 1, k, s, p, d), small, stride, amount | st.just("half"), stride),
    st.builds(lambda k, s: make("conv", 1, k, s, "same"), small, stride),
    st.builds(lambda k, s, c: make("maxpool", k, s, k // 2, ceil=c), small, stride, st.booleans()),
    st.builds(lambda k, s, p: make("tconv", 1, k, s, p), small, stride, amount),
    st.builds(lambda f: make("upsample", f), stride),
)


def chained(layers: list[Layer], size: object) -> object:
    """The size behind all layers of a chain."""
    x = Shape(C=1, W=size)
    for layer in layers:
        x = layer.output_shape(x)
    return x["W"]


@settings(max_examples=200, deadline=None)
@given(layers=st.lists(steps, min_size=1, max_size=5), size=st.integers(1, 40))
def test_conditions_say_when_a_chain_works(layers: list[Layer], size: int) -> None:
    """A chain works on a number where the conditions found in symbols hold, gives that size, and fails elsewhere."""
    w = dim("w")
    with collecting_conditions() as conditions:
        try:
            symbolic = chained(layers, w)
        except ShapeError:
            conditions.append(Condition(w, "<=", 0))  # works for no size
    try:
        expected = chained(layers, size)
    except ShapeError:
        expected = None
    assert (expected is not None) == all(condition.holds({"w": size}) for condition in conditions), conditions
    if expected is not None:
        assert expected == int(symbolic.subs({w: size}))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([make("maxpool", 2)] * 5, "floor(w/32)"),
        ([make("conv", 1, 3, 2, "half")] * 5, "floor(w/32 + 31/32)"),
        ([make("conv", 1, 3, 2, "same")] * 5, "floor(w/32 + 31/32)"),
        ([make("maxpool", 2, ceil=True)] * 5, "floor(w/32 + 31/32)"),
        ([make("conv", 1, 3, 1, "half")] * 5, "w"),
        ([make("upsample", 2), make("maxpool", 2)], "w"),
        ([make("tconv", 1, 4, 2, 1), make("conv", 1, 4, 2, 1)], "w"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_sizes_are_canonical(layers: list[Layer], expected: str) -> None:
    """However a halving is written, five of them are one floor, so that branches compare equal."""
    assert expected == str(chained(layers, dim("w")))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([make("conv", 1, 3, 1, "half")] * 3, []),
        ([make("conv", 1, 3), make("maxpool", 2)], ["w >= 4"]),
        ([make("conv", 1, 3, padding=1), make("maxpool", 2)] * 5, ["w >= 32"]),
        ([make("crop", size=10)], ["w >= 10"]),
        ([make("conv", 1, 3)] * 4, ["w >= 9"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_conditions_are_short(layers: list[Layer], expected: list[str]) -> None:
    """Of the bounds on one symbol the strongest stays; what holds of every positive integer isn't listed."""
    with collecting_conditions() as conditions:
        chained(layers, dim("w"))
    assert expected == list(map(str, conditions))


def test_what_is_certain_is_no_condition() -> None:
    """Relations that hold, or fail, for all positive integers are decided."""
    a, b = dim("a"), dim("b")
    with collecting_conditions() as conditions:
        assert not exceeds(1, a * b)
        assert exceeds(a + b, a)
        assert not exceeds(floor_div(a, 2) * 2, a)
        assert exceeds(a + 1, floor_div(a, 2) * 2)
        assert differ(2 * a, 2 * a + 1)
        assert not differ(ceil_div(a, 2), floor_div(a + 1, 2))
    assert conditions == []


def test_upper_bounds_keep_the_least() -> None:
    """Of several upper bounds the least one implies the others."""
    r = dim("r")
    with collecting_conditions() as conditions:
        for limit in (20, 10, 15):
            exceeds(r, limit)
        exceeds(r, dim("q"))
    assert ["r <= 10", "r <= q"] == list(map(str, conditions))


def test_a_table_of_displacements_and_one_more() -> None:
    """With symbols, too, a grid of g by g and its class token take a table of (2g - 1)² + 3 entries for each head."""
    g = dim("g")
    layer = make("attention", 2, relative=(g, g), relative_cls=True)
    with collecting_conditions() as conditions:
        assert 2 * (2 * g - 1) ** 2 + 6 == layer.params(Shape(C=8, T=g**2 + 1)) - 4 * 8 * 9
    assert [] == conditions
    with pytest.raises(ShapeError, match="places and one"):
        layer.output_shape(Shape(C=8, T=g**2))
