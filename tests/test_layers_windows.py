"""Random convolutions, pools and their inverses against PyTorch: the same shapes, and errors in the same cases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archcalc.errors import ShapeError
from archcalc.layers import Layer
from archcalc.shape import Shape, TransposedWindow, Window
from archcalc.symbolic import dim
from tests.layer_cases import make

thorough = settings(max_examples=200, deadline=None)
small, stride, amount = st.integers(1, 4), st.integers(1, 3), st.integers(0, 3)


def image(channels: int, sizes: Sequence[int]) -> Shape:
    """A volume with one to three spatial axes."""
    return Shape(C=channels, **dict(zip(("D", "H", "W")[-len(sizes) :], sizes, strict=True)))


def for_each(rank: int, values: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """One value for all axes, or one for each."""
    return values | st.tuples(*[values] * rank)


def listed(value: Any, rank: int) -> list[Any]:
    """One value for each axis."""
    return list(value) if isinstance(value, tuple) else [value] * rank


def paddings(rank: int) -> st.SearchStrategy[Any]:
    """Padding in every form that a spec can give it."""
    pairs = st.lists(st.tuples(amount, amount), min_size=rank, max_size=rank).map(tuple)
    one_pair = st.tuples(st.tuples(amount, amount))
    return for_each(rank, amount) | pairs | one_pair | st.sampled_from(["half", "same"])


def sides(padding: Any, sizes: Sequence[int], kernel: Any, stride: Any, dilation: Any) -> list[tuple[int, int]]:
    """What the forms of padding mean, (before, after) per axis."""
    rank = len(sizes)
    kernels, strides, dilations = (listed(value, rank) for value in (kernel, stride, dilation))
    if padding == "half":
        return [(k // 2, k // 2) for k in kernels]
    if padding == "same":  # TensorFlow's padding: as much as makes ⌈n/s⌉ positions, the odd one behind
        totals = [
            max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            for n, k, s, d in zip(sizes, kernels, strides, dilations, strict=True)
        ]
        return [(total // 2, total - total // 2) for total in totals]
    if isinstance(padding, tuple) and isinstance(padding[0], tuple):
        return list(padding) * rank if len(padding) == 1 else list(padding)
    return [(p, p) for p in listed(padding, rank)]


def attempt(layer: Layer, x: Shape) -> tuple[Any, ...] | None:
    """The output's sizes, or None if the layer refuses."""
    try:
        return tuple(layer.output_shape(x).values())
    except ShapeError:
        return None


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3))
def test_convolution_is_pytorchs(data: st.DataObject, rank: int) -> None:
    """Random convolutions have PyTorch's shape, parameters and MACs, or both refuse them."""
    import torch
    from torch import nn
    from torch.nn import functional
    from torch.utils.flop_counter import FlopCounterMode

    sizes = data.draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank), label="sizes")
    inputs, outputs, groups = data.draw(st.tuples(small, small, st.integers(1, 2)), label="channels, groups")
    window = {
        "kernel_size": data.draw(for_each(rank, small), label="kernel"),
        "stride": data.draw(for_each(rank, stride), label="stride"),
        "dilation": data.draw(for_each(rank, stride), label="dilation"),
    }
    padding = data.draw(paddings(rank), label="padding")
    layer, x = make("conv", outputs, padding=padding, groups=groups, **window), image(inputs, sizes)
    pads = sides(padding, sizes, window["kernel_size"], window["stride"], window["dilation"])
    try:
        reference = getattr(nn, f"Conv{rank}d")(inputs, outputs, groups=groups, **window)
        padded = functional.pad(torch.rand(1, inputs, *sizes), [n for pair in reversed(pads) for n in pair])
        with FlopCounterMode(display=False) as counter:
            expected = tuple(reference(padded).shape[1:])
    except (RuntimeError, ValueError):
        assert attempt(layer, x) is None
        return
    assert expected == attempt(layer, x)
    assert (expected, sum(p.numel() for p in reference.parameters())) == (
        tuple(layer.torch_module(x)(torch.rand(1, inputs, *sizes)).shape[1:]),
        layer.params(x),
    )
    assert counter.get_total_flops() == 2 * layer.macs(x)


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3))
def test_transposed_convolution_is_pytorchs(data: st.DataObject, rank: int) -> None:
    """Random transposed convolutions have PyTorch's shape, parameters and MACs, or both refuse them."""
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    sizes = data.draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank), label="sizes")
    inputs, outputs, groups = data.draw(st.tuples(small, small, st.integers(1, 2)), label="channels, groups")
    arguments = {
        "kernel_size": data.draw(for_each(rank, small), label="kernel"),
        "stride": data.draw(for_each(rank, stride), label="stride"),
        "dilation": data.draw(for_each(rank, stride), label="dilation"),
        "padding": data.draw(for_each(rank, amount), label="padding"),
        "output_padding": data.draw(for_each(rank, st.integers(0, 2)), label="output padding"),
        "groups": groups,
    }
    layer, x = make("tconv", outputs, **arguments), image(inputs, sizes)
    try:
        reference = getattr(nn, f"ConvTranspose{rank}d")(inputs, outputs, **arguments)
        with FlopCounterMode(display=False) as counter:
            expected = tuple(reference(torch.rand(1, inputs, *sizes)).shape[1:])
    except (RuntimeError, ValueError):
        expected = ()
    if not expected or 0 in expected:  # PyTorch makes a volume without values where archcalc refuses
        assert attempt(layer, x) is None
        return
    assert (expected, sum(p.numel() for p in reference.parameters())) == (attempt(layer, x), layer.params(x))
    assert counter.get_total_flops() == 2 * layer.macs(x)


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3))
def test_transposed_padding_cuts_what_it_says(data: st.DataObject, rank: int) -> None:
    """Uneven padding of a transposed convolution cuts the unpadded output; `same` makes size times stride."""
    import torch

    sizes = data.draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank), label="sizes")
    kernel, step = data.draw(st.tuples(for_each(rank, small), for_each(rank, stride)), label="kernel, stride")
    padding = data.draw(paddings(rank), label="padding")
    layer, x = make("tconv", 2, kernel, stride=step, padding=padding), image(1, sizes)
    strides, full = listed(step, rank), make("tconv", 2, kernel, stride=step).output_shape(x)
    if padding == "same":
        expected = [n * s for n, s in zip(sizes, strides, strict=True)]
    else:
        pads = sides(padding, sizes, kernel, step, 1)
        expected = [full[axis] - sum(pair) for axis, pair in zip(x.spatial, pads, strict=True)]
    if min(expected) < 1:
        assert attempt(layer, x) is None
        return
    assert (2, *expected) == attempt(layer, x)
    assert (2, *expected) == tuple(layer.torch_module(x)(torch.rand(1, 1, *sizes)).shape[1:])


def window_starts(size: int, kernel: int, step: int, dilation: int, pads: tuple[int, int], ceil: bool) -> int:
    """How many windows there are, by laying them out one by one."""
    extent, padded = dilation * (kernel - 1) + 1, size + sum(pads)
    if not ceil:
        return len([start for start in range(0, padded, step) if start + extent <= padded])
    first = [0] if padded - extent > -step else []  # the first may stick out by less than a stride
    later = [start for start in range(step, padded + step, step) if start - step + extent < padded]
    return len([start for start in first + later if start < size + pads[0]])


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3), ceil=st.booleans(), kind=st.sampled_from(["maxpool", "avgpool"]))
def test_pool_is_pytorchs(data: st.DataObject, rank: int, ceil: bool, kind: str) -> None:
    """Random pools have PyTorch's shape, rounded down or up, or both refuse them."""
    import torch
    from torch.nn import functional

    sizes = data.draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank), label="sizes")
    arguments: dict[str, Any] = {
        "kernel_size": data.draw(for_each(rank, small), label="kernel"),
        "stride": data.draw(st.none() | for_each(rank, stride), label="stride"),
        "padding": data.draw(for_each(rank, st.integers(0, 2)), label="padding"),
    }
    if kind == "maxpool":
        arguments["dilation"] = data.draw(for_each(rank, st.integers(1, 2)), label="dilation")
    layer, x = make(kind, ceil=ceil, **arguments), image(1, sizes)
    pool = getattr(functional, f"{'max' if kind == 'maxpool' else 'avg'}_pool{rank}d")
    actual, complaint = attempt(layer, x), ""
    try:
        expected = tuple(pool(torch.rand(1, 1, *sizes), ceil_mode=ceil, **arguments).shape[1:])
    except RuntimeError as error:
        expected, complaint = None, str(error)
    if "smaller than kernel size" in complaint:
        # avg_pool3d alone forgets the padding when it compares the input with the kernel; archcalc doesn't
        expected = actual
    assert expected == actual
    if expected:
        assert expected == tuple(layer.torch_module(x)(torch.rand(1, 1, *sizes)).shape[1:])


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3), ceil=st.booleans(), kind=st.sampled_from(["maxpool", "avgpool"]))
def test_uneven_pool_lays_out_its_windows(data: st.DataObject, rank: int, ceil: bool, kind: str) -> None:
    """Pools with padding that PyTorch lacks have as many positions as windows fit, and their modules agree."""
    import torch

    sizes = data.draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank), label="sizes")
    kernel, step = data.draw(st.tuples(for_each(rank, small), for_each(rank, stride)), label="kernel, stride")
    padding = data.draw(paddings(rank), label="padding")
    layer, x = make(kind, kernel, stride=step, padding=padding, ceil=ceil), image(1, sizes)
    pads, kernels = sides(padding, sizes, kernel, step, 1), listed(kernel, rank)
    if padding not in ("same", "half") and any(max(pad) > k // 2 for pad, k in zip(pads, kernels, strict=True)):
        assert attempt(layer, x) is None
        return
    up = ceil and padding != "same"
    axes = zip(sizes, kernels, listed(step, rank), pads, strict=True)
    expected = [window_starts(size, k, s, 1, pad, up) for size, k, s, pad in axes]
    if 0 in expected:
        assert attempt(layer, x) is None
        return
    assert (1, *expected) == attempt(layer, x)
    output = layer.torch_module(x)(torch.rand(1, 1, *sizes))
    assert (1, *expected) == tuple(output.shape[1:])
    assert torch.isfinite(output).all()  # no window lies in the padding altogether


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3), ceil=st.booleans())
def test_unpool_undoes_every_pool(data: st.DataObject, rank: int, ceil: bool) -> None:
    """With `like`, unpooling any pool's output gives the shape back, and pooling that again changes nothing."""
    import torch

    sizes = data.draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank), label="sizes")
    arguments = {
        "kernel_size": data.draw(for_each(rank, small), label="kernel"),
        "stride": data.draw(st.none() | for_each(rank, stride), label="stride"),
        "padding": data.draw(paddings(rank), label="padding"),
    }
    pool, like = make("maxpool", ceil=ceil, **arguments), image(1, sizes)
    if attempt(pool, like) is None:
        return
    unpool, pooled = make("unpool", like="conv1", **arguments), pool.output_shape(like)
    assert like == unpool.output_shape(pooled, like)
    values = torch.rand(1, 1, *sizes)
    maxima = pool.torch_module(like)(values)
    restored = unpool.torch_module(pooled, like)(maxima, values)
    assert restored.shape == values.shape
    torch.testing.assert_close(pool.torch_module(like)(restored), maxima)


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3))
def test_unpool_has_pytorchs_size(data: st.DataObject, rank: int) -> None:
    """Without `like`, the size is torch.nn.MaxUnpool's."""
    import torch
    from torch.nn import functional

    sizes = data.draw(st.lists(st.integers(1, 5), min_size=rank, max_size=rank), label="sizes")
    kernel, step = data.draw(st.tuples(for_each(rank, small), for_each(rank, stride)), label="kernel, stride")
    padding = data.draw(for_each(rank, st.integers(0, 2)), label="padding")
    layer, x = make("unpool", kernel, stride=step, padding=padding), image(1, sizes)
    actual = attempt(layer, x)
    if actual is None:
        return
    values, switches = torch.rand(1, 1, *sizes), torch.zeros(1, 1, *sizes, dtype=torch.long)
    expected = getattr(functional, f"max_unpool{rank}d")(values, switches, kernel, step, padding)
    assert tuple(expected.shape[1:]) == actual
    assert tuple(layer.torch_module(x)(values).shape[1:]) == actual


@pytest.mark.torch
@thorough
@given(data=st.data(), rank=st.integers(1, 3), kind=st.sampled_from(["adaptive_avgpool", "adaptive_maxpool"]))
def test_equal_bins_are_windows(data: st.DataObject, rank: int, kind: str) -> None:
    """Adaptive pools with windows to show compute what an ordinary pool with those windows computes."""
    import torch

    sizes = data.draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank), label="sizes")
    layer, x = make(kind, data.draw(for_each(rank, small), label="bins")), image(2, sizes)
    windows, values = layer.windows(x), torch.rand(1, 2, *sizes)
    pooled = layer.torch_module(x)(values)
    assert tuple(pooled.shape[1:]) == attempt(layer, x)
    assert bool(windows) or any(x[axis] % m for axis, m in layer.output_shape(x).items() if axis != "C")
    if windows:
        kernel = tuple(window.kernel for window in windows.values())
        plain = make(kind.removeprefix("adaptive_"), kernel).torch_module(x)
        torch.testing.assert_close(plain(values), pooled)


def sees(window: Window, size: int) -> dict[int, set[int]]:
    """For each output position, the input positions that a window says it sees."""
    count, reach = window.positions(size), [window.dilation * tap for tap in range(window.kernel)]
    if isinstance(window, TransposedWindow):
        hits = ((o, (o + window.before - t)) for o in range(count) for t in reach)
        pairs = [(o, hit // window.stride) for o, hit in hits if hit % window.stride == 0]
    else:
        pairs = [(o, o * window.stride - window.before + t) for o in range(count) for t in reach]
    return {o: {i for out, i in pairs if out == o and 0 <= i < size} for o in range(count)}


@pytest.mark.torch
@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(1, 7),
    layer=st.one_of(
        st.builds(
            lambda k, s, p, d: make("conv", 1, k, stride=s, padding=p, dilation=d), small, stride, paddings(1), stride
        ),
        st.builds(lambda k, s, p, d: make("tconv", 1, k, s, p, dilation=d), small, stride, paddings(1), stride),
        st.builds(lambda k, s, p, c: make("avgpool", k, s, p, ceil=c), small, stride, paddings(1), st.booleans()),
        st.builds(lambda f, m: make("upsample", f, m), small, st.sampled_from(["nearest", "bilinear"])),
        st.builds(lambda m: make("adaptive_avgpool", m), small),
        st.builds(lambda p: make("zeropad", padding=p), amount | st.tuples(st.tuples(amount, amount))),
        st.builds(lambda n: make("crop", size=n), small),
    ),
)
@example(size=4, layer=make("upsample", 3, "bilinear"))
def test_windows_say_what_gradients_reach(size: int, layer: Layer) -> None:
    """Positive weights and a gradient from one output: it arrives at no input that the window doesn't name.

    Where interpolation gives a neighbour no weight, or at the borders, the window may name one more.
    """
    import torch

    x = Shape(C=1, W=size)
    if attempt(layer, x) is None or not layer.windows(x):
        return
    module = layer.torch_module(x).double()
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 1.0)
    values = torch.ones(1, 1, size, dtype=torch.double, requires_grad=True)
    output = module(values)
    expected = {}
    for o in range(output.shape[-1]):
        (gradient,) = torch.autograd.grad(output[0, 0, o], values, retain_graph=True)
        expected[o] = set(gradient[0, 0].nonzero().flatten().tolist())
    actual = sees(layer.windows(x)["W"], size)
    if layer.kind == "upsample":
        assert all(expected[o] <= actual[o] for o in expected)
    else:
        assert expected == actual


@pytest.mark.parametrize("kind", [Window, TransposedWindow])
def test_what_certainly_covers_an_input_does(kind: type[Window]) -> None:
    """Every position is under some window where `covers` says so, for numbers, and with one of them left open."""
    ranges = {"kernel": (1, 3), "stride": (1, 2), "dilation": (1, 2), "before": (0, 2), "after": (0, 3)}
    if kind is TransposedWindow:
        ranges["extra"] = (0, 1)
    certain = 0
    for values, size in itertools.product(itertools.product(*ranges.values()), (1, 5)):
        window = kind(**dict(zip(ranges, values, strict=True)))
        try:
            count = window.positions(size)
        except ShapeError:
            continue
        covered = count > 0 and window.read_by((1 << count) - 1, size) == (1 << size) - 1
        windows = [(window, size), (window, dim("n"))]
        windows += [(replace(window, **{name: dim("n")}), size) for name in ranges if getattr(window, name) > 0]
        for open_window, open_size in windows:
            certain += (says := open_window.covers(open_size))
            assert covered or not says, (open_window, open_size, size)
    assert certain > 40
