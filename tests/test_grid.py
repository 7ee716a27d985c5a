"""`grid`, the inverse of `tokens`: its values, its bytes, its code, and what `reshape` does instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from archcalc.__main__ import main
from archcalc.layers import REGISTRY
from archcalc.shape import Shape

HEAD = "archcalc: 1\nname: t\ninput: {C: 8, H: 6, W: 4}\n"


@pytest.mark.torch
@pytest.mark.parametrize("x", [Shape(C=3, H=4, W=5), Shape(C=2, D=2, H=3, W=4), Shape(R=2, C=3, W=6)])
def test_grid_puts_each_token_back(x: Shape) -> None:
    """Tokens of an image, put back on its grid, are the image; reshaped they are another one."""
    torch = pytest.importorskip("torch", reason="values need PyTorch")
    tokens = REGISTRY["tokens"]()
    row = tokens.output_shape(x)
    grid = REGISTRY["grid"](**{axis: x[axis] for axis in x.spatial})
    image = torch.randn(2, *x.values())
    found = tokens.torch_module(x)(image)
    assert torch.equal(image, grid.torch_module(row)(found))
    assert x == grid.output_shape(row) == grid.output_shape(row)
    reshaped = REGISTRY["reshape"](**x).torch_module(row)(found)
    assert image.shape == reshaped.shape
    assert not torch.equal(image, reshaped)


NETWORKS = [
    "conv 8 3x3 p=1 -> tokens -> ln -> grid H=6 W=4 -> conv 4 3x3",
    "conv 8 3x3 p=1 -> tokens -> fc 8 -> gelu -> grid H=6 W=4 copy=true -> bn -> relu -> flatten -> fc 3",
    "conv 8 3x3 p=1 -> tokens -> attention 2 -> grid H=6 W=4 -> ln -> conv 4 1x1",
    "conv 8 3x3 p=1 -> tokens -> relu -> grid H=6 W=4 -> tokens -> fc 3",
]


@pytest.mark.torch
@pytest.mark.parametrize("layers", NETWORKS)
def test_grids_keep_what_pytorch_keeps(layers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shapes, saved and peak bytes and receptive fields of networks with grids are those of PyTorch."""
    pytest.importorskip("torch", reason="verifying needs PyTorch")
    file = tmp_path / "t.yaml"
    file.write_text(f"{HEAD}layers: {layers}\n")
    assert 0 == main(["verify", str(file)]), capsys.readouterr().out


@pytest.mark.torch
def test_grid_like_another_volume_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The generated program runs, checks itself, and returns to the shape of the volume that it's like."""
    torch = pytest.importorskip("torch", reason="running a program needs PyTorch")
    file = tmp_path / "t.yaml"
    file.write_text(f"{HEAD}layers: [{{a: conv 5 3x3 s=2 p=1}}, tokens, fc 7, {{y: grid like=@a}}]\n")
    assert 0 == main(["export", str(file)])
    program: dict[str, object] = {"__name__": "t"}
    exec(capsys.readouterr().out, program)  # our own code
    (network,) = [value for value in program.values() if isinstance(value, type) and value.__name__ == "T"]
    assert (1, 7, 3, 2) == tuple(network()(torch.zeros(1, 8, 6, 4)).shape)
