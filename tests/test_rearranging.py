"""Views of volumes as layers that move values."""

from __future__ import annotations

import random

import pytest

from archcalc.importers.operations.rearranging import moves
from archcalc.importers.operations.views import TensorView, of_volume
from archcalc.layers import REGISTRY
from archcalc.shape import AXES, Shape

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402  # it may not be there

BATCH = 5


def seen(view: TensorView, tensor: Tensor, chance: random.Random) -> tuple[TensorView, Tensor]:
    """A view and its tensor after one more permutation, reshape or part."""
    what, sizes = chance.choice(["permute", "join", "divide", "part"]), list(tensor.shape[1:])
    place = chance.randrange(len(sizes))
    if what == "permute":
        order = [0, *chance.sample(range(1, tensor.dim()), tensor.dim() - 1)]
        return view.permuted(order), tensor.permute(order)
    if what == "part":
        start = chance.randrange(sizes[place])
        length = chance.randint(1, sizes[place] - start)
        part = view.part(place + 1, start, length)
        return (view, tensor) if part is None else (part, tensor.narrow(place + 1, start, length))
    if what == "divide":
        divisor = chance.choice([each for each in range(1, sizes[place] + 1) if sizes[place] % each == 0])
        sizes[place : place + 1] = [divisor, sizes[place] // divisor]
    elif place:
        sizes[place - 1 : place + 1] = [sizes[place - 1] * sizes[place]]
    other = view.reshaped((BATCH, *sizes))
    return (view, tensor) if other is None else (other, tensor.reshape(BATCH, *sizes))


def random_view(seed: int) -> tuple[Shape, TensorView, Tensor, Tensor]:
    """A volume, a view of it, and both as tensors, with numbers that tell values apart."""
    chance = random.Random(seed)
    axes = chance.sample(AXES, chance.randint(1, 4))
    shape = Shape(**{axis: chance.choice([1, 2, 3, 4, 6]) for axis in axes})
    tensor = torch.arange(float(BATCH * shape.numel)).reshape(BATCH, *shape.values())
    view, other = of_volume(0, shape, BATCH), tensor
    for _ in range(chance.randint(0, 6)):
        view, other = seen(view, other, chance)
    view = view._replace(dims=tuple(tuple(f for f in dim if f.size != 1) for dim in view.dims))
    return shape, view, tensor, other


@pytest.mark.parametrize("seed", range(0, 400, 100))
def test_moves_make_of_a_volume_what_torch_makes(seed: int) -> None:
    """Whatever was permuted, reshaped and left out: layers give the same numbers, in the axes that are asked for."""
    for each in range(seed, seed + 100):
        shape, view, before, after = random_view(each)
        rank = after.dim() - 1
        if rank > len(AXES):
            continue
        axes = sorted(random.Random(each).sample(AXES, rank), key=AXES.index)
        found = moves(shape, view.dims[1:], dict(view.starts), axes)
        assert found is not None
        for kind, arguments in found:
            layer = REGISTRY[kind](**arguments)
            before, shape = layer.torch_module(shape)(before), layer.output_shape(shape)
        assert Shape(**dict(zip(axes, after.shape[1:], strict=True))) == shape
        assert torch.equal(after, before)


@pytest.mark.parametrize(
    ("shape", "divided", "order", "joined", "axes", "expected"),
    [
        ("C=3 H=4 W=6", (3, 24), (1, 0), (24, 3), "TC", ["tokens"]),
        ("T=24 C=3", (24, 3), (1, 0), (3, 4, 6), "CHW", ["grid H=4 W=6"]),
        ("C=3 H=4 W=6", (3, 2, 2, 2, 3), (1, 3, 2, 4, 0), (4, 6, 3), "RTC", ["windows 2x3"]),
        ("C=3 H=4 W=6", (3, 2, 2, 2, 3), (2, 4, 1, 3, 0), (6, 4, 3), "RTC", ["windows 2 grid=true"]),
        ("R=4 T=6 C=3", (2, 2, 2, 3, 3), (4, 0, 2, 1, 3), (3, 4, 6), "CHW", ["unwindows 2x3 H=4 W=6"]),
        ("C=3 H=4 W=6", (3, 2, 2, 2, 3), (4, 2, 0, 1, 3), (18, 2, 2), "CHW", ["pixel_unshuffle 2x3 order=whc"]),
        ("C=6 H=4 W=6", (2, 3, 4, 6), (1, 0, 2, 3), (6, 4, 6), "CHW", ["channel_shuffle 2"]),
        ("C=3 H=4 W=6", (3, 4, 6), (0, 1, 2), (72,), "C", ["flatten"]),
        ("T=4 C=6", (4, 6), (1, 0), (6, 4), "TC", ["transpose T C"]),
        ("T=5 C=6", (5, 2, 3), (1, 0, 2), (2, 5, 3), "RTC", ["reshape C=3 T=2 R=5", "transpose R T"]),
    ],
)
def test_what_has_a_name_is_said_in_one_layer(
    shape: str,
    divided: tuple[int, ...],
    order: tuple[int, ...],
    joined: tuple[int, ...],
    axes: str,
    expected: list[str],
) -> None:
    """Tokens, grids, windows, blocks of places and shuffles of channels; of all else axes are divided and exchanged."""
    volume = Shape(**{axis: int(size) for axis, size in (each.split("=") for each in shape.split())})
    plain = of_volume(0, volume, 1).reshaped((1, *divided))
    assert plain is not None
    view = plain.permuted([0, *(place + 1 for place in order)]).reshaped((1, *joined))
    assert view is not None
    found = moves(volume, view.dims[1:], {}, axes)
    assert found is not None
    assert expected == [REGISTRY[kind](**arguments).text() for kind, arguments in found]
