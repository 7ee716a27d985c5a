"""Modules as specs: what is written, and that it is the module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from archcalc import UsageError, analyze, load
from archcalc.__main__ import main
from archcalc.importers.operations.views import Factor, TensorView

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402  # it may not be there

import archcalc  # noqa: E402
from tests.helpers import verify  # noqa: E402
from tests.imported_texts import NAMES, TEXTS, written  # noqa: E402
from tests.modules import MODULES, ResNet, Segmenter, decoder, generator  # noqa: E402
from tests.round_trip import trip  # noqa: E402


def text_of(module: nn.Module, *inputs: Tensor, strict: bool = True) -> str:
    """The spec of a module."""
    return archcalc.from_torch(module, list(inputs), strict=strict).spec.source.text


@pytest.mark.parametrize("name", MODULES)
def test_a_spec_is_the_module_that_it_was_made_of(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its params and multiply-adds are the module's, and with the module's weights so are outputs and gradients."""
    sizes = [f"T={size}" if isinstance(size, int) else "x".join(map(str, size)) for size in MODULES[name].sizes]
    inputs = (word for size in sizes for word in ("--input", size))
    code, out, err = verify(capsys, f"tests.modules:build_{name}", *inputs, "--format", "plain")
    assert (0, "") == (code, err)
    told = [line for line in out.splitlines() if line.startswith("original's") and "saved bytes" not in line]
    assert [] == [line for line in told if not line.endswith(("equal", "never read"))]
    assert 7 == len(told)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_written_as_a_person_would(name: str) -> None:
    """Word by word: submodules are scopes, equal ones blocks and loops, and numbers that recur have names."""
    assert (TEXTS / f"{name}.yaml").read_text(encoding="utf-8") == written(name)


@pytest.mark.parametrize(
    ("source", "lines"), [("resnet50", 22), ("densenet121", 36), ("vit_b_16", 26), ("shufflenet_v2_x1_0", 26)]
)
def test_networks_of_libraries_are_short(source: str, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Their depth is in loops, and what they have in common in blocks."""
    if find_spec("torchvision") is None:
        pytest.skip("torchvision isn't installed, whose networks are imported here")
    assert 0 == main(["import", f"torchvision:{source}"])
    assert capsys.readouterr().out.count("\n") <= lines


@pytest.mark.parametrize(
    ("name", "build", "given"),
    [
        ("segmenter", Segmenter, {"width": 12, "classes": 7}),
        ("generator", generator, {"width": 6}),
        ("decoder", partial(decoder, 99), {"layers": 5, "d": 48, "vocabulary": 70}),
    ],
)
def test_numbers_that_have_names_may_be_others(
    name: str, build: Callable[..., nn.Module], given: dict[str, int]
) -> None:
    """The spec is a family of networks, which are those that the module's own class builds."""
    params = sum(each.numel() for each in build(**given).parameters())
    assert params == analyze(load(str(TEXTS / f"{name}.yaml")).build(**given)).totals["params"]


def test_depth_is_a_loop_and_names_that_count_are_too() -> None:
    """The text doesn't grow with the number of alike submodules."""
    lengths = {text_of(ResNet(depth), torch.randn(2, 3, 16, 16)).count("\n") for depth in (3, 5)}
    assert 1 == len(lengths)

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for number in range(3):
                self.add_module(f"layer_{number}", nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU()))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.children():
                x = x + layer(x)
            return x

    assert "  - layer_{i}:\n" not in text_of(Named(), torch.randn(2, 3, 4, 4))
    assert 1 == text_of(Named(), torch.randn(2, 3, 4, 4)).count("conv 3 1x1")


@pytest.mark.parametrize("name", ["lenet5_modern", "resnet18", "dcgan_generator", "mobilenetv1"])
def test_networks_of_the_zoo_come_back(name: str) -> None:
    """Spec, module, spec: the same layers, totals and outputs, and a text of at most twice the length."""
    assert "" == trip(load(name)).wrong


def test_sizes_stay_open(capsys: pytest.CaptureFixture[str]) -> None:
    """A module that was traced at one size has formulas in all."""
    code = main(["formula", "tests.modules:build_resnet", "--input", "3x16x16", "--symbolic", "H,W"])
    out, err = capsys.readouterr()
    assert (0, "") == (code, err)
    assert "macs             = " in out
    assert "H" in out


# --- names of code ----------------------------------------------------------------------------------------------------


def test_code_is_named_by_its_file_or_its_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever a network is named, and with values for what builds it."""
    file = tmp_path / "nets.py"
    file.write_text(
        "from torch import nn\n"
        "def net(width=8, norm=True):\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width) if norm else nn.ReLU())\n"
        "ready = net(4)\n"
    )
    for name, params in ((f"{file}:net", 240), (f"{file}:net(width=4, norm=False)", 112), (f"{file}:ready", 120)):
        assert 0 == main(["sweep", name, "--input", "3x8x8", "--columns", "params", "--format", "csv"])
        assert [str(params)] == capsys.readouterr().out.splitlines()[1:]
    spec = tmp_path / "net.yaml"
    assert 0 == main(["import", f"{file}:net", "--input", "3x8x8", "-o", str(spec)])
    assert 240 == analyze(load(spec).build()).totals["params"]
    assert 2 == main(["import", f"{file}:ready", "--input", "3x8x8", "-o", str(spec)])
    assert "is there already" in capsys.readouterr().err
    assert 0 == main(["import", f"{file}:ready", "--input", "3x8x8", "-o", str(spec), "--force"])
    assert 120 == analyze(load(spec).build()).totals["params"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.modules:build_nothing", "tests.modules has no 'build_nothing'"),
        ("tests.modules:build_plain(4)", "'4' are no Python values with names"),
        ("tests.modules:build_plain(width=open)", "'width=open' are no Python values with names"),
        ("tests.modules:build_plain(width=3)", "can't be built"),
        ("tests.modules:MODULES", "is no module, nor makes one: dict"),
        ("nowhere.py:build", "there is no file 'nowhere.py'"),
        ("no_such_package:build", "no architecture is called 'no_such_package:build'"),
    ],
)
def test_what_names_no_module_says_why(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence, and with exit code 2."""
    assert 2 == main(["table", name, "--input", "3x16x16"])
    assert message in capsys.readouterr().err


def test_what_enters_has_to_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    """A module doesn't say what it takes."""
    assert 2 == main(["table", "tests.modules:build_plain"])
    assert "nothing says what enters tests.modules:build_plain" in capsys.readouterr().err
    assert 2 == main(["table", "tests.modules:build_plain", "--input", "3xHxW"])
    assert "isn't the size of what enters a network" in capsys.readouterr().err


def test_what_is_no_layer_says_where() -> None:
    """The operation, the submodule, and the user's own line."""

    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(x, 1)

    with pytest.raises(UsageError, match=r"cumsum isn't a layer that specs know") as error:
        archcalc.from_torch(Odd(), torch.randn(2, 3, 4, 4), strict=True)
    assert Path(__file__).name in str(error.value)


def test_parameters_of_two_submodules_are_counted_once() -> None:
    """The second one shares the first one's matrix; where it can't, it's an opaque layer without parameters."""

    class Shared(nn.Module):
        def __init__(self, bias: bool) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.other.weight = self.one.weight
            self.other.bias = self.one.bias if bias else self.other.bias

        def forward(self, x: Tensor) -> Tensor:
            return self.other(self.one(x))  # type: ignore[no-any-return]

    for bias, text in ((False, "conv 3 1x1 tie=@one"), (True, "opaque conv C=3 H=4 W=4 on=3x4x4 products=144")):
        module = Shared(bias)
        found = archcalc.from_torch(module, torch.randn(2, 3, 4, 4))
        totals = archcalc.analyze(found.build()).totals
        assert text in found.spec.source.text
        assert (sum(each.numel() for each in module.parameters()), 288) == (totals["params"], totals["macs"])


def test_what_cant_be_exported_says_so() -> None:
    """Control flow that depends on values, for instance."""

    class Wrong(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x @ y

    with pytest.raises(UsageError, match="forward takes x, y: as many inputs, in this order"):
        archcalc.from_torch(Wrong(), torch.randn(2, 3))
    with pytest.raises(UsageError, match=r"Wrong fails on 3, 3 at .*test_importers.py:\d+: "):
        archcalc.from_torch(Wrong(), (torch.randn(4, 3), torch.randn(4, 3)))
    with pytest.raises(UsageError, match="token numbers enter as"):
        archcalc.from_torch(nn.Embedding(4, 4), torch.randn(2, 3))
    for wrong in ("net", 3):
        with pytest.raises(UsageError, match="is not a module"):
            archcalc.from_torch(wrong, torch.randn(2, 3, 4, 4))
    with pytest.raises(UsageError, match="tensors, with a batch ahead"):
        archcalc.from_torch(nn.ReLU(), [3])


def test_values_choose_the_way_that_the_example_goes() -> None:
    """Control flow that depends on values: the line that decided is said."""

    class Choice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) if x.sum() > 0 else self.other(x)  # type: ignore[no-any-return]

    for sign, features in ((1, 3), (-1, 5)):
        found = archcalc.from_torch(Choice(), sign * torch.rand(2, 3))
        assert features == found.build().nodes[-1].shape.C
        assert [Path(__file__).name] == [Path(line.rpartition(":")[0]).name for line in found.summary.decided]


# --- views ------------------------------------------------------------------------------------------------------------


def test_views_are_what_torch_does() -> None:
    """Reshapes, transpositions and parts name the positions that PyTorch's tensors have."""
    base = torch.arange(2 * 12 * 6).reshape(2, 12, 6)
    view = TensorView(0, ((Factor("N", 1, 2),), (Factor("C", 1, 12),), (Factor("W", 1, 6),)))
    heads = view.reshaped((2, 3, 4, 6))
    assert heads is not None
    assert (Factor("C", 4, 3),) == heads.dims[1]
    turned = heads.transposed(1, 2).reshaped((2, 12, 6))
    assert turned is not None
    assert base.reshape(2, 3, 4, 6).transpose(1, 2).reshape(2, 12, 6).shape == turned.sizes()
    assert (Factor("C", 1, 4), Factor("C", 4, 3)) == turned.dims[1]
    back = turned.reshaped((2, 4, 3, 6))
    assert back is not None
    assert view == back.transposed(1, 2).reshaped((2, 12, 6))
    assert view.reshaped((2, 5, 6)) is None
    part = heads.part(1, 1, 2)
    assert part is not None
    assert (("C", 4),) == part.starts


# --- what used to be another network, or a traceback --------------------------------------------------------------------


class Written(nn.Module):
    """A layer and a parameter, and a way forward that a test gives."""

    def __init__(self, forward: Callable[[Written, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.w, self.way = nn.Conv2d(8, 8, 3, padding=1), nn.Parameter(torch.rand(8)), forward
        self.norm = nn.BatchNorm2d(8, track_running_stats=False)
        self.register_buffer("fixed", torch.rand(8, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, x)


def changed(x: Tensor, what: Callable[[Tensor], object]) -> Tensor:
    """A tensor after something was done to it in place."""
    what(x)
    return x


SAID: dict[str, tuple[Callable[[Written, Tensor], Tensor], str]] = {
    "view in place": (lambda m, x: changed(m.conv(x), lambda y: y.flatten(2).relu_()), "- conv 8 3x3 p=half -> relu"),
    "in place": (lambda m, x: changed(m.conv(x), lambda y: y.sigmoid_()) * 2, "-> sigmoid -> times 2"),
    "lower limit": (lambda m, x: m.conv(x).clamp(min=0), "- conv 8 3x3 p=half -> relu"),
    "scale": (lambda m, x: m.conv(x) * m.w[:, None, None], "-> layerscale"),
    "columns": (lambda m, x: m.conv(x) * m.w, "broadcast: true"),
    "order": (lambda m, x: m.conv(x).permute(0, 2, 3, 1), "-> windows 1x8"),
    "gate": (lambda m, x: x * m.conv(x).mean((2, 3), True).expand_as(x), "- mul:"),
}
UNSAID: dict[str, tuple[Callable[[Written, Tensor], Tensor], str]] = {
    "part in place": (lambda m, x: changed(m.conv(x), lambda y: y[:, :4].relu_()), "a part of it was changed in place"),
    "upper limit": (lambda m, x: m.conv(x).clamp(max=3), "one limit for values"),
    "factor": (lambda m, x: torch.add(m.conv(x), x, alpha=2), "a sum with a factor"),
    "buffer": (lambda m, x: nn.functional.conv2d(x, m.fixed, groups=8), "a weight that isn't a parameter"),  # type: ignore[arg-type]
    "computed": (lambda m, x: nn.functional.conv2d(x, m.w.view(1, 8, 1, 1)), "a weight that isn't a parameter"),
    "batch statistics": (lambda m, x: m.norm(m.conv(x)), "without running statistics"),
    "divisor": (lambda m, x: nn.functional.avg_pool2d(m.conv(x), 2, divisor_override=3), "a divisor of their own"),
}


@pytest.mark.parametrize("name", SAID)
def test_code_that_writes_in_place_or_broadcasts_is_what_it_does(name: str) -> None:
    """A change in place is read through every view, and a parameter scales the axis that it's broadcast along."""
    forward, text = SAID[name]
    assert text in text_of(Written(forward), torch.randn(2, 8, 8, 8))


@pytest.mark.parametrize("name", UNSAID)
def test_what_a_spec_cant_say_is_never_another_network(name: str) -> None:
    """What only resembles a layer, in its axis, its arguments or its weights, is an error."""
    forward, message = UNSAID[name]
    with pytest.raises(UsageError, match=message):
        text_of(Written(forward), torch.randn(2, 8, 8, 8))


class Nearly(nn.Module):
    """What only resembles attention, in the numbers between queries and values."""

    def __init__(self, way: Callable[[Nearly, Tensor], Tensor]) -> None:
        super().__init__()
        self.qkv, self.proj, self.way = nn.Linear(24, 72), nn.Linear(24, 24), way
        self.w, self.table = nn.Parameter(torch.rand(3, 1, 1)), nn.Parameter(torch.rand(9, 3))
        self.register_buffer("odd", torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 0]]).bool())
        self.register_buffer("small", torch.tensor([[0.0, -9, -9], [0, 0, -9], [0, 0, 0]]))
        self.register_buffer("places", torch.tensor([[0, 1, 2], [1, 0, 3], [2, 3, 0]]))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(2, 3, 3, 3, 8).permute(2, 0, 3, 1, 4)
        scores = self.way(self, q @ k.transpose(-1, -2))
        return self.proj((scores @ v).transpose(1, 2).reshape(2, 3, 24))  # type: ignore[no-any-return]


NEARLY: dict[str, Callable[[Nearly, Tensor], Tensor]] = {
    "softmax over queries": lambda _, s: s.softmax(-2),
    "softmax over heads": lambda _, s: s.softmax(1),
    "no softmax": lambda _, s: s / 8,
    "two": lambda _, s: s.softmax(-1).softmax(-1),
    "a factor after it": lambda _, s: s.softmax(-1) * 2,
    "a learned factor": lambda m, s: (s * m.w).softmax(-1),
    "another mask": lambda m, s: s.masked_fill(m.odd, float("-inf")).softmax(-1),  # type: ignore[arg-type]
    "a mask that shows": lambda m, s: (s + m.small).softmax(-1),  # type: ignore[operator]
    "a table of distances": lambda m, s: (s + m.table[m.places].permute(2, 0, 1)).softmax(-1),  # type: ignore[index]
    "a number for each query": lambda m, s: (s + m.table[:3, :1]).softmax(-1),
}


@pytest.mark.parametrize("name", NEARLY)
def test_what_only_resembles_attention_isnt_said_to_be_it(name: str) -> None:
    """Another axis, mask, table or factor: layers of its own say it, or it can't be said."""
    module = Nearly(NEARLY[name])
    try:
        text = text_of(module, torch.randn(2, 3, 24))
    except UsageError:
        return
    assert "attention" not in text
    assert "sdpa" not in text
    assert "matmul" in text


def test_what_attention_has_is_said_as_its_arguments() -> None:
    """Another factor than the root of a head's features, and masks for which it has a word."""
    said: dict[str, Callable[[Nearly, Tensor], Tensor]] = {
        "attention heads scale=0.5": lambda _, s: (s / 2).softmax(-1),
        "attention heads causal=true scale=1": lambda m, s: (s + 1e4 * (m.small / 9)).softmax(-1),  # type: ignore[operator]
    }
    for text, way in said.items():
        assert f"- {text}\n" in text_of(Nearly(way), torch.randn(2, 3, 24))


def test_axes_that_are_tokens_or_examples_are_no_channels() -> None:
    """Attention over the batch isn't that over tokens, and norms of tokens aren't those of channels."""
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=False)
    with pytest.raises(UsageError, match="attention with a mask or heads that specs don't know"):
        text_of(encoder, torch.randn(2, 5, 8))
    text = text_of(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(5)), torch.randn(2, 5, 8))
    assert "  - fc 8 -> reshape C=5 W=8 -> bn\n" in text


def test_code_that_prints_or_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it prints isn't among the data, and it doesn't end the command."""
    (tmp_path / "noisy.py").write_text("from torch import nn\nprint('hello')\nnet = nn.Linear(4, 4)\n")
    code = main(["table", f"{tmp_path}/noisy.py:net", "--input", "4", "--format", "csv"])
    out, err = capsys.readouterr()
    assert (0, False, True) == (code, "hello" in out, "hello" in err)
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)")
    assert 2 == main(["table", f"{tmp_path}/leaves.py:net", "--input", "4"])
    assert "leaves.py fails when it's imported: SystemExit" in capsys.readouterr().err


def test_libraries_come_before_variants_of_their_names() -> None:
    """A variant of the zoo that is called as a library is doesn't stand in the library's way."""
    with pytest.raises(UsageError, match=r"torchvision (has no model|can't be imported)"):
        archcalc.load("torchvision:no_such_net")


def test_inputs_that_no_memory_holds() -> None:
    """They are an error of whoever asks."""
    with pytest.raises(UsageError, match="PyTorch can't make inputs of such sizes"):
        archcalc.load("tests.modules:build_plain", inputs=["3x10000000000x10000000000"])
