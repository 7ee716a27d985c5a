"""Attention within windows of a map against its definition, one place at a time; maps divided and put together."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.errors import ShapeError
from archcalc.expand import build
from archcalc.layers.reads import Blocks, Rolled, Spaced
from archcalc.shape import Shape
from tests.helpers import spec_of
from tests.layer_cases import make, volume
from tests.random_layers import window_attention

torch = pytest.importorskip("torch", reason="the modules are PyTorch's")
pytestmark = pytest.mark.torch


def by_the_book(layer: Any, module: Any, x: Any) -> Any:
    """One example's map: each place looks at those of its own window, the zeros that fill the map up among them."""
    given = {name: parameter.detach() for name, parameter in module.named_parameters()}
    sizes, sides, shifts = x.shape[1:], module.window, module.shifts or (0,) * (x.ndim - 1)
    filled = torch.zeros(len(x), *module.places, dtype=x.dtype)
    filled[(slice(None), *map(slice, sizes))] = x
    places = list(product(*map(range, module.places)))
    result = torch.zeros_like(x)
    for place in product(*map(range, sizes)):
        name = window_of(layer, place, module.places, sides, shifts)
        others = [other for other in places if window_of(layer, other, module.places, sides, shifts) == name]
        mixed = [head_at(layer, given, h, filled, place, others, sides, shifts) for h in range(layer.num_heads)]
        result[(slice(None), *place)] = linear(given, "mix", torch.cat(mixed))
    return result


def window_of(layer: Any, place: Any, places: Any, sides: Any, shifts: Any) -> tuple[int, ...]:
    """The name of the window in which a place of the map lies."""
    if layer.grid:
        return tuple(at % (size // side) for at, size, side in zip(place, places, sides, strict=True))
    return tuple(
        (at - shift) // side if size > side else 0
        for at, size, side, shift in zip(place, places, sides, shifts, strict=True)
    )


def in_window(layer: Any, place: Any, places: Any, sides: Any, shifts: Any) -> tuple[int, ...]:
    """Where in its window a place lies once the map is rolled on."""
    if layer.grid:
        return tuple(at // (size // side) for at, size, side in zip(place, places, sides, strict=True))
    return tuple(
        (at - shift * (size > side)) % size % side
        for at, size, side, shift in zip(place, places, sides, shifts, strict=True)
    )


def head_at(layer: Any, given: Any, head: int, filled: Any, place: Any, others: Any, sides: Any, shifts: Any) -> Any:
    """What one head makes at a place."""
    size = len(filled) // layer.num_heads
    own = slice(head * size, (head + 1) * size)
    q = linear(given, "queries", filled[(slice(None), *place)])[own]
    at = in_window(layer, place, filled.shape[1:], sides, shifts)
    scores, values = [], []
    for other in others:
        token = filled[(slice(None), *other)]
        k = linear(given, "keys", token)[own]
        there = in_window(layer, other, filled.shape[1:], sides, shifts)
        away = [a - b for a, b in zip(at, there, strict=True)]
        scores.append(compared(layer, given, head, q, k) + displaced(layer, given, head, away, sides))
        values.append(linear(given, "values", token)[own])
    shares = torch.stack(scores).softmax(0)
    return sum(share * value for share, value in zip(shares, values, strict=True))


def linear(given: Any, name: str, x: Any) -> Any:
    """A projection of one token."""
    return given[f"{name}.weight"] @ x + given.get(f"{name}.bias", torch.zeros((), dtype=x.dtype))


def compared(layer: Any, given: Any, head: int, q: Any, k: Any) -> Any:
    """The score of a query and a key without their places; Liu et al. 2022, equation 2: a cosine."""
    if layer.cosine:
        factor = min(float(given["core.factor"][head].exp()), 100.0)
        lengths = q.norm().clamp(min=1e-12) * k.norm().clamp(min=1e-12)  # zeros have no direction
        return q @ k / lengths * factor
    return q @ k * (len(q) ** -0.5 if layer.scale is None else float(layer.scale))


def displaced(layer: Any, given: Any, head: int, away: Any, sides: Any) -> Any:
    """What is added for a displacement: from a table, or by Liu et al. 2022, equations 3 and 4, as their code has it."""
    if layer.relative:
        row = 0
        for distance, side in zip(away, sides, strict=True):
            row = row * (2 * side - 1) + distance + side - 1
        return given["core.positions.table.weight"][row, head]
    if layer.continuous is None:
        return 0.0
    shares = [8 * distance / max(side - 1, 1) for distance, side in zip(away, sides, strict=True)]
    logs = [math.copysign(math.log2(abs(share) + 1) / 3, share) for share in shares]
    hidden = linear(given, "core.positions.inner", torch.tensor(logs, dtype=torch.float64)).relu()
    return 16 * torch.sigmoid(linear(given, "core.positions.outer", hidden)[head])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_are_the_papers(data: st.DataObject) -> None:
    """Whatever the windows and their forms are, on maps that they fill and on others."""
    sizes = data.draw(st.sampled_from([{"W": 7}, {"H": 3, "W": 5}, {"H": 4, "W": 4}, {"D": 2, "H": 3, "W": 2}]))
    x = Shape(C=data.draw(st.sampled_from([2, 4])), **sizes)
    layer = make("window_attention", **window_attention(data.draw, x))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    module = layer.torch_module(x).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    tensor = torch.randn(2, *x.values(), dtype=torch.float64)
    expected = torch.stack([by_the_book(layer, module, one) for one in tensor])
    torch.testing.assert_close(module(tensor), expected)


@pytest.mark.parametrize("grid", [False, True])
def test_a_divided_map_is_put_together(grid: bool) -> None:
    """Every window holds its own places, and `unwindows` puts them back."""
    tensor = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    layer, back = make("windows", (2, 3), grid), make("unwindows", (2, 3), grid, H=4, W=6)
    windows = layer.torch_module(volume("C3 H4 W6"))(tensor)
    first = tensor[:, :, ::2, ::2] if grid else tensor[:, :, :2, :3]
    assert torch.equal(windows[:, 0], first.flatten(2).transpose(1, 2))
    assert torch.equal(tensor, back.torch_module(layer.output_shape(volume("C3 H4 W6")))(windows))


def test_a_map_is_rolled_by_any_amount() -> None:
    """Positions come from where torch.roll takes them."""
    for shift in range(-7, 8):
        places = torch.arange(5).roll(shift).tolist()
        assert [1 << place for place in places] == [Rolled(shift).read_by(1 << o, 5) for o in range(5)]


def test_blocks_and_gaps() -> None:
    """Which positions are read together, of 7 and of 6."""
    assert [0b1] + 3 * [0b1110] + 3 * [0b1110000] == [Blocks(3, 1).read_by(1 << o, 7) for o in range(7)]
    assert [0b111] * 3 == [Blocks(4, 2).read_by(1 << o, 3) for o in range(3)]
    assert [0b1001, 0b10010, 0b100100] * 2 == [Spaced(2).read_by(1 << o, 6) for o in range(6)]


FIELDS = """
archcalc: 1
name: fields
input: {C: 2, W: 12}
layers:
  - one: window_attention 1 4
  - two: window_attention 1 4 shift=2
  - three: conv 2 3 p=1
  - all: window_attention 1 4 grid=true
"""


def test_fields_of_windows() -> None:
    """A window's places see it all; where windows are shifted, two of them; a convolution the next one as well."""
    fields = [row.fields["W"] for row in archcalc.analyze(build(spec_of(FIELDS))).rows]
    assert [1, 4, 8, 12, 12] == [field.size for field in fields]
    assert [(0, 3), (-4, 3), (-4, 3)] == [fields[1].at(2), fields[2].at(0), fields[2].at(1)]
    assert (0, 7) == fields[2].at(2)
    assert fields[-1].bounded


def test_what_a_batch_has_once() -> None:
    """The numbers of displacements are made once for all examples, so a batch has less than so many times its MACs."""
    layer = make("window_attention", 2, 2, continuous=5)
    x = volume("C4 H4 W4")
    spec = "archcalc: 1\nname: t\ninput: {C: 4, H: 4, W: 4}\nlayers: window_attention 2 2 continuous=5\n"
    once = 9 * 5 * (2 + 2)
    assert (once, 16 * 4 * 8) == (layer.macs_of_batch(x), layer.attention_macs(x))
    expected = [layer.macs(x) + (n - 1) * (16 * 64 + 16 * 4 * 8) for n in (1, 2, 7)]
    reports = [archcalc.analyze(build(spec_of(spec)), batch=n) for n in (1, 2, 7)]
    assert expected == [report.totals["macs"] for report in reports]
    assert [2 * macs for macs in expected] == [report.totals["flops"] for report in reports]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"num_heads": 3, "size": 2}, "E205", "C=4 is not divisible by num_heads=3"),
        ({"num_heads": 2, "size": 3, "grid": True}, "E205", "H=4 is not divisible by grid=3"),
        ({"num_heads": 2, "size": 3, "shift": 3}, "E208", "shift=3 is not less than the 3 places of a window"),
        ({"num_heads": 2, "size": 2, "grid": True, "shift": 1}, "E211", "takes either grid or shift"),
        ({"num_heads": 2, "size": 2, "cosine": True, "scale": 1}, "E211", "takes either cosine or scale"),
        ({"num_heads": 2, "size": 2, "relative": True, "continuous": 3}, "E211", "takes either relative or continuous"),
    ],
)
def test_impossible_windows(arguments: dict[str, Any], code: str, message: str) -> None:
    """What doesn't go together is said."""
    with pytest.raises(ShapeError) as caught:
        make("window_attention", **arguments).output_shape(volume("C4 H4 W6"))
    assert (code, message) == (caught.value.code, str(caught.value))


@pytest.mark.parametrize(
    ("kind", "arguments", "inputs", "code", "message"),
    [
        ("windows", {"size": 3}, "C4 H4 W6", "E205", "H=4 is not divisible by size=3"),
        ("windows", {"size": 2}, "R2 C4 H4 W6", "E210", "the input has regions already; it is 2x4x4x6 (R,C,H,W)"),
        ("windows", {"size": 2}, "T2 C4 H4 W6", "E210", "the input has tokens already; it is 2x4x4x6 (T,C,H,W)"),
        ("unwindows", {"size": 2}, "R6 T4 C3", "E211", "needs either sizes or like"),
        ("unwindows", {"size": 2, "H": 4, "W": 4}, "R6 T4 C3", "E208", "4 windows for R=6"),
        ("unwindows", {"size": 2, "W": 12}, "R6 T4 C3", "E208", "2 places for T=4"),
        ("unwindows", {"size": 2, "W": 8}, "T4 C3", "E210", "needs regions of tokens with features (R, T, C)"),
        ("roll", {"axis": "H", "shift": 1}, "C4 W6", "E210", "the input has no axis H; it is 4x6 (C,W)"),
    ],
)  # fmt: skip
def test_impossible_divisions(kind: str, arguments: dict[str, Any], inputs: str, code: str, message: str) -> None:
    """Windows that don't fill the map, and volumes that have none."""
    with pytest.raises(ShapeError) as caught:
        make(kind, **arguments).output_shape(volume(inputs))
    assert code == caught.value.code
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("order", "parts"), [("hwc", [0, 1, 2, 3]), ("whc", [0, 2, 1, 3])])
def test_channels_of_blocks_in_other_orders(order: str, parts: list[int]) -> None:
    """TensorFlow's space to depth takes a block's places row by row; Swin's patch merging column by column."""
    x = torch.randn(2, 3, 4, 6)
    places = [x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]]
    expected = torch.cat([places[part] for part in parts], 1)
    down = make("pixel_unshuffle", 2, order).torch_module(volume("C3 H4 W6"))
    up = make("pixel_shuffle", 2, order).torch_module(volume("C12 H2 W3"))
    assert torch.equal(expected, down(x))
    assert torch.equal(x, up(expected))
