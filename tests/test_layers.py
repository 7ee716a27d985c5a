"""Every layer kind against its example rows, against PyTorch, and against itself in symbols."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc.errors import ShapeError
from archcalc.layers import REGISTRY, Layer
from archcalc.layers.base import layer
from archcalc.layers.reads import ALL, Everywhere, Reads, Sampled
from archcalc.shape import Shape
from archcalc.symbolic import Dim, collecting_conditions, dim, is_symbolic
from tests.layer_cases import CASES, Case, make, volume

QUANTITIES = ("weights", "biases", "params", "buffers", "macs", "connections")

each_case = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.mark.parametrize("kind", REGISTRY)
def test_kind_has_an_example(kind: str) -> None:
    """Every kind has a row in layer_cases.py."""
    assert [case for case in CASES if case.layer.kind == kind], f"add a row for '{kind}' to tests/layer_cases.py"


@pytest.mark.parametrize("kind", REGISTRY)
def test_kind_is_documented(kind: str) -> None:
    """Every kind says what it computes."""
    assert is_documented(REGISTRY[kind])


def is_documented(kind: type[Layer]) -> bool:
    """Whether somebody wrote a docstring: `dataclass` writes `Name(field: type)` where nobody did."""
    return bool(kind.__doc__) and not str(kind.__doc__).startswith(f"{kind.__name__}(")


def test_a_kind_without_a_docstring_is_found() -> None:
    """The question can be answered with no."""
    known = dict(REGISTRY)

    @layer("undocumented")
    class Undocumented(Layer):
        size: Dim = 1

    REGISTRY.clear()
    REGISTRY.update(known)
    assert Undocumented.__doc__
    assert not is_documented(Undocumented)


@each_case
def test_example(case: Case) -> None:
    """Shape and counts are those worked out by hand."""
    expected = (case.output, case.weights, case.biases, case.weights + case.biases, case.buffers, case.macs)
    layer, inputs = case.layer, case.inputs
    actual = (
        layer.output_shape(*inputs),
        layer.weights(*inputs),
        layer.biases(*inputs),
        layer.params(*inputs),
        layer.buffers(*inputs),
        layer.macs(*inputs),
    )
    assert expected == actual
    assert case.connections == layer.connections(*inputs)


@each_case
def test_windows_give_the_spatial_sizes(case: Case) -> None:
    """Where a kind has windows, its output's spatial sizes are their numbers of positions."""
    x = case.inputs[0]
    windows = case.layer.windows(*case.inputs)
    assert {axis: case.output[axis] for axis in windows} == {axis: w.positions(x[axis]) for axis, w in windows.items()}


@each_case
def test_uncounted_is_said_of_whoever_computes_without_macs(case: Case) -> None:
    """A layer without MACs either moves values only, or says what it leaves out."""
    moves_only = {
        "identity", "flatten", "reshape", "tokens", "grid", "select", "crop", "slice", "zeropad", "channel_shuffle",
        "concat", "embed", "cls_token", "unpool", "dropout", "part", "chunk", "transpose", "pixel_shuffle",
        "pixel_unshuffle", "param", "dispatch", "windows", "unwindows", "roll",
    }  # fmt: skip
    assert bool(case.macs or case.layer.uncounted) == (case.layer.kind not in moves_only)


def test_in_place_kinds() -> None:
    """Elementwise activations, dropout, softmax and views make no new volume; nothing else is in place."""
    expected = {
        "relu", "relu6", "leaky", "prelu", "elu", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh",
        "softplus", "softmax", "log_softmax", "dropout", "identity", "flatten", "reshape", "tokens", "grid", "select",
        "crop", "slice", "clamp", "selu", "celu", "quick_gelu", "mish", "softsign", "exp", "square",
        "times", "part", "chunk", "transpose",
    }  # fmt: skip
    assert expected == {kind for kind, cls in REGISTRY.items() if cls.in_place}


def test_weight_layers() -> None:
    """Depth counts convolutions, matrix products, attention and recurrences."""
    expected = {
        "conv",
        "dwconv",
        "deform_conv",
        "modconv",
        "tconv",
        "fc",
        "attention",
        "mla",
        "window_attention",
        "rnn",
        "lstm",
        "gru",
    }
    assert expected == {kind for kind, cls in REGISTRY.items() if cls.weight_layer}


def test_positions_that_see_everything() -> None:
    """The kinds of which a position reads all positions, on inputs where it does."""
    expected = {
        "global_avgpool", "global_maxpool", "groupnorm", "instancenorm", "attention", "mla", "sdpa", "matmul", "roipool",
        "deform_conv", "roialign", "proposals", "softmax", "log_softmax", "opaque",
    }  # fmt: skip
    assert expected == {case.layer.kind for case in CASES if any(map(is_global, case.layer.reads(*case.inputs)))}
    assert not any(map(is_global, make("fc", 8).reads(Shape(T=5, C=6))))
    assert not any(map(is_global, make("adaptive_avgpool", 6).reads(Shape(C=256, H=6, W=6))))


def is_global(reads: Reads | None) -> bool:
    """Whether all is read, wherever the output position is."""
    relations = reads.along.items() if reads is not None else ()
    return reads == ALL or any(isinstance(relation, Everywhere) for axis, relation in relations if axis != "C")


def test_tied_weights_are_not_counted_again() -> None:
    """A tied layer keeps its MACs and biases; its weights are counted where they belong."""
    tied, own = make("fc", 1000, tie="wte"), make("fc", 1000)
    x = Shape(T=4, C=16)
    assert (0, 1000, own.macs(x)) == (tied.weights(x), tied.biases(x), tied.macs(x))
    assert make("embed", 1000, 16).weight_shape(Shape(T=4)) == tied.weight_shape(x)
    image = Shape(C=6, H=5, W=5)
    for kind, sizes in (("conv", (4, 3)), ("dwconv", (3,)), ("tconv", (4, 3))):
        shared, alone = make(kind, *sizes, tie="first"), make(kind, *sizes)
        assert (0, alone.biases(image), alone.macs(image)) == (
            shared.weights(image), shared.biases(image), shared.macs(image)
        )  # fmt: skip
    assert 0 == make("embed", 1000, 16, tie="first").params(Shape(T=4))


def test_transposed_weight_has_the_shape_of_the_convolution_that_it_undoes() -> None:
    """`tconv … tie=@conv2` can share conv2's kernels: (out, in, k, k) read as (in, out, k, k)."""
    conv, back = make("conv", 256, 5), make("tconv", 96, 5, tie="conv2")
    down = Shape(C=96, H=27, W=27)
    assert conv.weight_shape(down) == back.weight_shape(conv.output_shape(down))


# ---------------------------------------------------------------- the classes


@each_case
def test_equality_hash_and_repr(case: Case) -> None:
    """Layers are values: a copy by its repr's arguments is equal and has the same hash."""
    values = {name: getattr(case.layer, name) for name in case.layer.arguments()}
    copy = type(case.layer)(**values)
    assert (copy, hash(copy), repr(copy)) == (case.layer, hash(case.layer), repr(case.layer))


def test_layers_are_frozen() -> None:
    """No field can be set or deleted."""
    layer: Any = make("conv", 8, 3)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'stride'"):
        layer.stride = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'stride'"):
        del layer.stride


def test_layers_can_be_replaced_and_pickled() -> None:
    """`dataclasses.replace` and `pickle` treat layers as the values they are."""
    layer = make("conv", 8, 3)
    assert make("conv", 8, 3, stride=2) == replace(layer, stride=2)  # type: ignore[type-var]
    assert layer == pickle.loads(pickle.dumps(layer))


@pytest.mark.parametrize(
    ("values", "named", "message"),
    [
        ((8,), {}, "Conv needs kernel_size"),
        ((8, 3), {"kernel_size": 3}, "does not take"),
        ((8, 3), {"stide": 2}, "does not take"),
        ((1,) * 20, {}, "does not take"),
    ],
)
def test_wrong_arguments_of_a_class(values: tuple[int, ...], named: dict[str, int], message: str) -> None:
    """Missing, double and unknown arguments are a TypeError, as for any Python class."""
    with pytest.raises(TypeError, match=message):
        REGISTRY["conv"](*values, **named)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (make("conv", 64, 3, stride=2), "conv 64 3 s=2"),
        (make("conv", 64, (1, 3), padding=((0, 1),)), "conv 64 1x3 p=[0,1]"),
        (make("maxpool", 3, 2, ceil=True), "maxpool 3 s=2 ceil=true"),
        (make("dropout"), "dropout"),
        (make("zeropad", 64), "zeropad out_channels=64"),
    ],
    ids=str,
)
def test_str_is_the_call_in_a_spec(layer: Layer, text: str) -> None:
    """A layer prints as the call that makes it."""
    assert text == str(layer)


def test_importing_layers_is_cheap() -> None:
    """`import archcalc.layers` loads neither torch nor SymPy nor NumPy."""
    code = "import sys, archcalc.layers; print([m for m in ('torch', 'sympy', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_check_of_imports_can_fail() -> None:
    """The same question finds SymPy once symbols are used."""
    code = "import sys; from archcalc.symbolic import dim; dim('k'); print('sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


# ---------------------------------------------------------------- symbols


def symbol_for(value: int) -> Any:
    """The symbol that stands for `value` wherever it occurs; 1 stays 1, since gates and kernels depend on it."""
    return value if value == 1 else dim(f"n{value}")


def with_symbols(case: Case) -> tuple[Layer, list[Shape]]:
    """The case with a symbol for every size and every count among the arguments."""
    arguments = {
        name: symbol_for(value) if argument.type.name in ("Dim", "Channels") and value is not None else value
        for name, argument in case.layer.arguments().items()
        for value in (getattr(case.layer, name),)
    }
    if arguments.get("connect") is not None:
        arguments = {name: getattr(case.layer, name) for name in arguments}
    inputs = [Shape(**{axis: symbol_for(size) for axis, size in shape.items()}) for shape in case.inputs]
    return type(case.layer)(**arguments), inputs


def replaced(value: Any, values: dict[Any, int]) -> Any:
    """The number that an expression has when its symbols have `values`."""
    return int(value.subs(values)) if is_symbolic(value) else value


def results(layer: Layer, inputs: list[Shape]) -> dict[str, Any]:
    """Everything that a layer computes, by name."""
    output = layer.output_shape(*inputs)
    counts = {name: getattr(layer, name)(*inputs) for name in QUANTITIES}
    return {**output, **counts, "activations": output.numel}


def substituted(layer: Layer, inputs: list[Shape], values: dict[Any, int]) -> tuple[Layer, list[Shape]]:
    """A symbolic layer and its inputs with numbers in place of symbols."""
    arguments = {name: replaced(getattr(layer, name), values) for name in layer.arguments()}
    return type(layer)(**arguments), [Shape(**{a: replaced(n, values) for a, n in x.items()}) for x in inputs]


def numbers_of(case: Case, layer: Layer) -> dict[str, int]:
    """What the symbols of `with_symbols` stand for, by name."""
    found = {f"n{size}": size for x in case.inputs for size in x.values() if size > 1}
    arguments = {name: getattr(case.layer, name) for name in layer.arguments()}
    return found | {f"n{v}": v for v in arguments.values() if type(v) is int and v > 1}


@each_case
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_symbols_then_numbers_is_numbers_at_once(case: Case, data: st.DataObject) -> None:
    """Formulas in symbols, given numbers afterwards, agree with those of the numbers; what numbers refuse, they assume."""
    layer, inputs = with_symbols(case)
    with collecting_conditions() as conditions:
        symbolic = results(layer, inputs)
    own = numbers_of(case, layer)
    factor = data.draw(st.integers(1, 3), label="all sizes times")
    shifts = data.draw(st.dictionaries(st.sampled_from(sorted(own)), st.integers(0, 5), max_size=1), label="plus")
    for values in (own, {name: size * factor + shifts.get(name, 0) for name, size in own.items()}):
        works = all(condition.holds(values) for condition in conditions)
        assert works or values != own  # the example itself works
        numbers = {dim(name): size for name, size in values.items()}
        number_layer, number_inputs = substituted(layer, inputs, numbers)
        if not works:
            with pytest.raises(ShapeError):
                results(number_layer, number_inputs)
            continue
        expected = results(number_layer, number_inputs)
        assert expected == {name: replaced(value, numbers) for name, value in symbolic.items()}


@pytest.mark.parametrize("kind", ["conv", "tconv", "maxpool", "avgpool"])
def test_kernel_stride_and_padding_may_be_symbols(kind: str) -> None:
    """The window's own sizes are symbols, too: a 7-wide kernel, stride 2, padding 3 on 56."""
    arguments = (8,) if kind.endswith("conv") else ()
    k, s, p, n = map(dim, "kspn")
    symbolic = make(kind, *arguments, k, stride=s, padding=p).output_shape(Shape(C=2, W=n))
    numbers = make(kind, *arguments, 7, stride=2, padding=3).output_shape(Shape(C=2, W=56))
    assert numbers["W"] == replaced(symbolic["W"], {k: 7, s: 2, p: 3, n: 56})


# ---------------------------------------------------------------- PyTorch

BATCH = 2


def tensors(case: Case) -> list[Any]:
    """Random inputs of a case, batch first; token numbers where the layer looks them up."""
    import torch

    torch.manual_seed(0)
    if case.layer.kind == "embed":
        return [torch.randint(case.layer.num_embeddings, (BATCH, *case.inputs[0].values()))]  # type: ignore[attr-defined]
    return [torch.rand(BATCH, *shape.values()) for shape in case.inputs]


def standing_in(module: Any) -> Any:
    """A module; one of an operation that can't be run makes zeros."""
    if hasattr(module, "stands_in"):
        module.__dict__["stands_in"] = True
    return module


@pytest.mark.torch
@each_case
def test_tensors_are_those_of_the_torch_module(case: Case) -> None:
    """Parameters and buffers one by one, but for axes of size 1 and the count of batches that a norm has seen."""
    module = case.layer.torch_module(*case.inputs)
    counted = {name: each for name, each in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    expected = sorted([size for size in each.shape if size != 1] for each in counted.values())
    actual = case.layer.tensors(*case.inputs).values()
    assert expected == sorted([size for size in each if size != 1] for each in actual)
    held = case.layer.params(*case.inputs) + case.layer.buffers(*case.inputs)
    assert held == sum(math.prod(each) for each in actual)  # type: ignore[arg-type]  # they are numbers


@pytest.mark.torch
@each_case
def test_torch_module_agrees(case: Case) -> None:
    """Output shape, parameters, buffers and MACs are those that PyTorch finds by running the module."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from archcalc.pytorch.saved import FUSED_FLOPS, FusedKernels

    module = standing_in(case.layer.torch_module(*case.inputs))
    counter = FlopCounterMode(display=False, custom_mapping=FUSED_FLOPS)
    # fused attention and recurrences hide their products from the counter, hence MATH, and steps
    with FusedKernels(), counter, sdpa_kernel(SDPBackend.MATH):
        output = module(*tensors(case))
    # what the counter sees of a kind without MACs is 0 as well, so every kind is compared
    expected = {
        "shape": (BATCH, *output.shape[1:]),
        "params": sum(parameter.numel() for parameter in module.parameters()),
        "buffers": sum(b.numel() for name, b in module.named_buffers() if "num_batches_tracked" not in name),
        "flops": counter.get_total_flops(),
    }
    layer, inputs = case.layer, case.inputs
    actual = {
        "shape": (BATCH, *layer.output_shape(*inputs).values()),
        "params": layer.params(*inputs),
        "buffers": layer.buffers(*inputs),
        "flops": 2 * (BATCH * layer.macs(*inputs) - (BATCH - 1) * layer.macs_of_batch(*inputs)),
    }
    if layer.is_opaque:  # what it multiplies is what it's given
        actual["flops"] -= 2 * BATCH * case.macs
    assert expected == actual


@pytest.mark.torch
@each_case
def test_torch_module_runs_on_meta(case: Case) -> None:
    """Modules work without any memory, as large networks need."""
    import torch

    with torch.device("meta"):
        module = standing_in(case.layer.torch_module(*case.inputs))
    output = module(*(x.to("meta") for x in tensors(case)))
    assert (BATCH, *case.output.values()) == tuple(output.shape)


@pytest.mark.torch
def test_connection_table_is_a_masked_convolution() -> None:
    """The module that holds connected kernels only computes what a dense one with zeros computes."""
    import torch

    case = next(c for c in CASES if getattr(c.layer, "connect", None) and c.layer.kind == "conv")
    module, (x,) = case.layer.torch_module(*case.inputs), tensors(case)
    kernels = next(p for p in module.parameters() if p.ndim == 4)
    bias = next(p for p in module.parameters() if p.ndim == 3)
    dense = torch.zeros(16, 6, 5, 5)
    pairs = [(i, o) for i, row in enumerate(case.layer.connect) for o, linked in enumerate(row) if linked]  # type: ignore[attr-defined]
    for (i, o), kernel in zip(pairs, kernels.detach(), strict=True):
        dense[o, i] = kernel[0]
    torch.testing.assert_close(module(x), torch.conv2d(x, dense, bias.flatten()))


@pytest.mark.torch
def test_unpool_returns_values_to_their_switches() -> None:
    """With `like`, unpooling a pooled volume puts each maximum back in its place, as torch.nn.MaxUnpool2d does."""
    import torch
    from torch.nn import functional

    like = torch.rand(2, 3, 10, 9)
    pooled, switches = functional.max_pool2d(like, 3, 2, 1, return_indices=True)
    layer = make("unpool", 3, stride=2, padding=1, like="conv1")
    actual = layer.torch_module(volume("C3 H5 W5"), volume("C3 H10 W9"))(pooled, like)
    expected = functional.max_unpool2d(pooled, switches, 3, 2, 1, output_size=like.shape)
    torch.testing.assert_close(actual, expected)


@pytest.mark.torch
def test_uneven_average_counts_what_it_should() -> None:
    """Padding in front and behind counts as zeros, or not at all, as `count_include_pad` says."""
    import torch

    x = torch.ones(1, 1, 4)
    counted = make("avgpool", 3, stride=1, padding=((1, 0),)).torch_module(volume("C1 W4"))
    left_out = make("avgpool", 3, stride=1, padding=((1, 0),), count_include_pad=False).torch_module(volume("C1 W4"))
    same = make("avgpool", 2, stride=1, padding="same").torch_module(volume("C1 W4"))
    torch.testing.assert_close(counted(x), torch.tensor([[[2 / 3, 1, 1]]]))
    torch.testing.assert_close(left_out(x), torch.ones(1, 1, 3))
    torch.testing.assert_close(same(x), torch.ones(1, 1, 4))


@pytest.mark.torch
def test_layer_norm_over_channels() -> None:
    """On images, each position is normalised over its channels, as in ConvNeXt."""
    import torch

    y = make("ln").torch_module(volume("C8 H3 W5"))(torch.rand(2, 8, 3, 5))
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 3, 5), atol=1e-6, rtol=0)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        *((kind, sizes) for kind in ("bn", "ln", "groupnorm", "rmsnorm", "l2norm") for sizes in ("T3 C4", "C4 H2 W3")),
        ("instancenorm", "C4 H2 W3"),
    ],
)
def test_eps_is_where_the_papers_have_it(kind: str, sizes: str) -> None:
    """Under the root of the norms by variance and by mean square; the least length of the norm by length."""
    import torch

    x, shape = tensors(Case(make("identity"), (volume(sizes),), volume(sizes)))[0] / 50, volume(sizes)
    x[0, ..., 0] = 0  # a vector without a length
    eps, places = Fraction(1, 1000), tuple(range(-len(shape.spatial), 0))
    channel = -1 - len(places)
    batch = tuple(axis for axis in range(-x.ndim, 0) if axis != channel)
    arguments = {"num_groups": 1} if kind == "groupnorm" else {}
    around = {"bn": batch, "ln": (channel,), "groupnorm": (channel, *places), "instancenorm": places}
    if kind in around:
        variance, mean = torch.var_mean(x, around[kind], correction=0, keepdim=True)
        expected = (x - mean) / (variance + float(eps)).sqrt()
    elif kind == "rmsnorm":
        expected = x / (x.square().mean(channel, keepdim=True) + float(eps)).sqrt()
    else:
        expected = x / x.square().sum(channel, keepdim=True).sqrt().clamp(min=float(eps))
    torch.testing.assert_close(make(kind, **arguments, eps=eps).torch_module(shape)(x), expected)


@pytest.mark.torch
def test_the_kernel_that_stands_for_gpus_rms_norm_is_pytorchs() -> None:
    """Values and gradients, with and without factors; `verify` measures with it what GPUs keep."""
    import torch

    from archcalc.pytorch.saved import FusedKernels

    for affine in (True, False):
        module = make("rmsnorm", affine=affine).torch_module(volume("T3 C4")).double()
        x, given = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True), torch.rand(2, 3, 4).double()
        for parameter in module.parameters():
            torch.nn.init.uniform_(parameter)
        expected, wanted = module(x), (x, *module.parameters())
        with FusedKernels():
            actual = module(x)
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(
            torch.autograd.grad(actual, wanted, given), torch.autograd.grad(expected, wanted, given)
        )


@pytest.mark.torch
def test_lrn_follows_the_paper() -> None:
    """B = a / (k + alpha·Σ a²)^beta, the sum not divided by its length."""
    import torch

    a = torch.rand(1, 3, 2, 2)
    expected = a[:, 1] / (2 + 1e-4 * a.square().sum(1)) ** 0.75
    torch.testing.assert_close(make("lrn", 3).torch_module(volume("C3 H2 W2"))(a)[:, 1], expected)


@pytest.mark.torch
def test_roi_pool_reads_its_region() -> None:
    """The whole image and its lower right quarter, pooled to one value."""
    import torch

    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    rois = torch.tensor([[[0, 0, 1, 1], [0, 0, 0.5, 0.5]]])
    y = make("roipool", 1, rois="rois").torch_module(volume("C1 H4 W4"), volume("R2 C4"))(x, rois)
    assert y.flatten().tolist() == [15, 5]


@pytest.mark.torch
def test_roi_align_takes_means_of_interpolated_values() -> None:
    """Of a map whose values are a plane in x and y: those at the middle of each bin, as long as it's on the map."""
    import torch

    x = (10.0 * torch.arange(8.0)[:, None] + torch.arange(8.0)).reshape(1, 1, 8, 8)
    rois = torch.tensor([[[0.25, 0.125, 0.75, 0.625], [0, 0, 0.01, 0.01]]])
    y = make("roialign", 2, rois="rois").torch_module(volume("C1 H8 W8"), volume("R2 C4"))(x, rois)
    assert [23, 25, 43, 45] == pytest.approx(y[0, 0].flatten().tolist())
    assert [2.75, 3.25, 7.75, 8.25] == pytest.approx(y[0, 1].flatten().tolist())  # never smaller than one position


@pytest.mark.torch
def test_channel_shuffle_is_pytorchs() -> None:
    """The order of channels is that of torch.nn.ChannelShuffle."""
    import torch

    x = torch.rand(1, 6, 2, 2)
    actual = make("channel_shuffle", 3).torch_module(volume("C6 H2 W2"))(x)
    torch.testing.assert_close(actual, torch.nn.ChannelShuffle(3)(x))


@pytest.mark.torch
def test_activations_without_a_class_in_pytorch_compute_their_formulas() -> None:
    """Each against its publication's formula: OpenAI's GELU, powers, and every gate of the second half."""
    import torch
    from torch.nn import functional as F  # noqa: N812  # as PyTorch's own documentation names it

    x = torch.randn(2, 6, 5, 4)
    values, gates = x[:, :3], x[:, 3:]
    expected = {
        make("quick_gelu"): x / (1 + (-1.702 * x).exp()),
        make("exp"): torch.e**x,
        make("square"): x * x,
        make("times", Fraction(1, 4)): x / 4,
        make("times", 48, Fraction(-1, 2)): x / 48**0.5,
        make("times", -2, 3): -8 * x,
        make("glu"): values / (1 + (-gates).exp()),
        make("glu", "silu"): values * F.silu(gates),
        make("glu", "gelu"): values * F.gelu(gates),
        make("glu", "relu"): values * F.relu(gates),
        make("glu", "identity"): values * gates,
    }
    for kind, result in expected.items():
        torch.testing.assert_close(kind.torch_module(volume("C6 H5 W4"))(x), result)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["PixelShuffle", "PixelUnshuffle"])
def test_blocks_along_any_axes_are_in_pytorchs_order(kind: str) -> None:
    """The module for sides of their own, and for other numbers of axes, gives what PyTorch's gives for squares."""
    import torch

    from archcalc.layers import torch_modules

    x = torch.rand(2, 8, 4, 6)
    torch.testing.assert_close(getattr(torch_modules, kind)((2, 2), (0, 1, 2))(x), getattr(torch.nn, kind)(2)(x))


@pytest.mark.torch
def test_parts_are_pytorchs() -> None:
    """Chunks, slices with a step and exchanged axes hold the values that PyTorch's own functions give."""
    import torch

    x = torch.rand(2, 4, 6, 5)
    shape = volume("T4 C6 W5")
    for index in range(-3, 3):
        chunk = make("chunk", 3, index).torch_module(shape)(x)
        torch.testing.assert_close(chunk, x.chunk(3, dim=2)[index], rtol=0, atol=0)
    part = make("part", "W", 1, 4, step=2).torch_module(shape)(x)
    torch.testing.assert_close(part, x[..., 1:4:2], rtol=0, atol=0)
    turned = make("transpose", "T", "W").torch_module(shape)(x)
    torch.testing.assert_close(turned, x.transpose(1, 3), rtol=0, atol=0)
    renamed = make("transpose", "T", "H").torch_module(shape)(x)
    torch.testing.assert_close(renamed, x.transpose(1, 2), rtol=0, atol=0)


@pytest.mark.torch
def test_a_learned_volume_is_the_same_for_each_example() -> None:
    """Whatever enters: of that only the size of the batch matters, and no gradient flows to it."""
    import torch

    module, x = make("param", C=3, H=2).torch_module(volume("C5")), torch.rand(4, 5, requires_grad=True)
    first, *others = module(x)
    assert all(torch.equal(first, other) for other in others)
    assert (None,) == torch.autograd.grad(module(x).sum(), x, allow_unused=True)


@pytest.mark.torch
def test_nearest_positions_are_those_of_single_precision() -> None:
    """PyTorch multiplies by a rounded quotient: for few sizes the position below isn't the one that is exactly below."""
    import torch
    from torch.nn.functional import interpolate

    rounded = {(2, 82), (2, 94), (3, 123), (3, 246), (5, 205), (33, 129)}
    inexact = set()
    for size, count in [*((n, m) for n in range(1, 25) for m in range(1, 60)), *rounded]:
        relation = Sampled(count, 1, False)
        places = interpolate(torch.arange(float(size))[None, None], count)[0, 0].int().tolist()
        assert places == [relation.bounds(place, size)[0] for place in range(count)], (size, count)
        if places != [place * size // count for place in range(count)]:
            inexact.add((size, count))
            assert relation.period(size) is None
        else:
            assert relation.period(size) is not None
    assert (2, 82) in inexact


@pytest.mark.torch
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_resizing_is_pytorchs(mode: str) -> None:
    """By a factor, to a size, or like another volume: the values of `interpolate`, also where regions join the batch."""
    import torch
    from torch.nn.functional import interpolate

    x, shape = torch.rand(2, 3, 4, 6), volume("C3 H4 W6")
    expected = interpolate(x, (6, 9), mode=mode)
    for layer_, inputs in (
        (make("resize", Fraction(3, 2), mode=mode), [x]),
        (make("resize", size=(6, 9), mode=mode), [x]),
        (make("resize", like="other", mode=mode), [x, torch.rand(2, 1, 6, 9)]),
    ):
        shapes = [shape, volume("C1 H6 W9")][: len(inputs)]
        torch.testing.assert_close(layer_.torch_module(*shapes)(*inputs), expected)
    regions = make("resize", Fraction(3, 2), mode=mode).torch_module(volume("R3 C1 H4 W6"))(x[:, :, None])
    torch.testing.assert_close(regions[:, :, 0], expected)


# ---------------------------------------------------------------- recurrences


def recurrent(
    kind: str, features: int, hidden: int, layers: int = 1, both: bool = False
) -> tuple[list[Layer], int, int]:
    """Layers as a spec stacks them, two to a level if it's both directions; their parameters, and MACs for 16 tokens."""
    found, params, macs = [], 0, 0
    for _ in range(layers):
        level = [make(kind, hidden, reverse=reverse) for reverse in ((False, True) if both else (False,))]
        x = Shape(T=16, C=features)
        params += sum(int(each.params(x)) for each in level)
        macs += sum(int(each.macs(x)) for each in level)
        found += level
        features = hidden * len(level)
    return found, params, macs


def test_an_lstm_by_its_definition() -> None:
    """T times, for each of four gates, hidden times input and hidden: no counter of today gets it right."""
    _, _, macs = recurrent("lstm", 64, 128, 2)
    assert 16 * 4 * 128 * (64 + 128) + 16 * 4 * 128 * (128 + 128) == 3_670_016 == macs


@pytest.mark.torch
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_stacked_recurrences_are_pytorchs_layers(kind: str, both: bool) -> None:
    """On the same weights, two levels give what PyTorch's own layer of two levels gives, in both directions, too."""
    import torch

    whole = getattr(torch.nn, kind.upper())(6, 5, num_layers=2, bidirectional=both, batch_first=True)
    layers, params, _ = recurrent(kind, 6, 5, 2, both)
    assert sum(each.numel() for each in whole.parameters()) == params
    value = x = torch.rand(3, 4, 6)
    weights = iter(whole.parameters())
    for level in range(2):
        halves = []
        for each in layers[level * (1 + both) : (level + 1) * (1 + both)]:
            module = each.torch_module(Shape(T=4, C=value.shape[-1]))
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.copy_(next(weights))
            halves.append(module(value))
        value = torch.cat(halves, dim=-1)
    torch.testing.assert_close(value, whole(x)[0])


@pytest.mark.torch
@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_scales_what_enters_and_what_leaves(demodulate: bool) -> None:
    """Channels times their style before, filters over their lengths after: the same, with one weight for all examples."""
    import torch
    from torch.nn.functional import conv2d

    torch.manual_seed(0)
    layer, x = make("modconv", 6, 3, "style", padding=1, demodulate=demodulate), Shape(C=4, H=5, W=6)
    module = layer.torch_module(x, Shape(C=4)).double()
    volume, style = torch.rand(3, 4, 5, 6, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    with torch.no_grad():
        module.bias.uniform_()
    made = conv2d(volume * style[:, :, None, None], module.weight, padding=1)
    if demodulate:
        squares = torch.einsum("oihw,ni->no", module.weight**2, style**2)
        made = made / (squares + 1e-8).sqrt()[:, :, None, None]
    torch.testing.assert_close(made + module.bias[:, None, None], module(volume, style))


@pytest.mark.torch
@pytest.mark.parametrize("masked", [True, False])
def test_a_deformable_convolution_is_its_definition(masked: bool) -> None:
    """Each tap reads between four neighbours, where its offset says, zeros outside, and the mask weighs what it finds."""
    import torch

    torch.manual_seed(0)
    x, y, taps = Shape(C=4, H=5, W=6), Shape(C=6, H=3, W=6), [(i, j) for i in range(2) for j in range(3)]
    words = {"stride": (2, 1), "padding": 1, "dilation": (2, 1), "groups": 2}
    layer = make("deform_conv", 6, (2, 3), "offset", **words, mask="mask" if masked else None)
    shapes = [x, Shape(C=24, H=3, W=6), *([Shape(C=12, H=3, W=6)] if masked else [])]
    assert y == layer.output_shape(*shapes)
    module = layer.torch_module(*shapes).double()
    volume, offset, mask = (
        torch.randn(2, *sizes, dtype=torch.float64) for sizes in ((4, 5, 6), (24, 3, 6), (12, 3, 6))
    )
    with torch.no_grad():
        module.bias.uniform_()
        made = module(volume, 2 * offset, *([mask] if masked else []))
    expected = module.bias.detach()[None, :, None, None].repeat(2, 1, 3, 6)
    for n, o, row, column, (tap, (i, j)) in product(range(2), range(6), range(3), range(6), enumerate(taps)):
        for c in range(2):
            channel = o // 3 * 2 + c
            number = channel // 2 * 6 + tap
            down, right = 2 * offset[n, 2 * number : 2 * number + 2, row, column]
            found = _between(volume[n, channel], row * 2 - 1 + 2 * i + down, column - 1 + j + right)
            share = mask[n, number, row, column] if masked else 1
            expected[n, o, row, column] += module.weight.detach()[o, c, i, j] * found * share
    torch.testing.assert_close(expected, made)


def _between(values: Any, row: Any, column: Any) -> Any:
    """A map's value between four neighbours; zeros lie around it."""
    found = 0
    for i, j in product((math.floor(row), math.floor(row) + 1), (math.floor(column), math.floor(column) + 1)):
        if 0 <= i < values.shape[0] and 0 <= j < values.shape[1]:
            found += (1 - abs(row - i)) * (1 - abs(column - j)) * values[i, j]
    return found


@pytest.mark.torch
@pytest.mark.parametrize(("weight_norm", "axis"), [("filter", 0), ("tap", 2)])
def test_weight_norm_is_pytorchs_parametrization(weight_norm: str, axis: int) -> None:
    """On the same lengths and directions the outputs are equal, and so is what is learned."""
    import torch
    from torch.nn.utils.parametrizations import weight_norm as parametrized

    layer, x = make("conv", 6, 4, padding=2, groups=2, weight_norm=weight_norm), Shape(C=4, W=9)
    module, other = layer.torch_module(x), parametrized(torch.nn.Conv1d(4, 6, 4, padding=2, groups=2), dim=axis)
    assert sum(each.numel() for each in other.parameters()) == layer.params(x)
    lengths, directions = (getattr(other.parametrizations.weight, f"original{number}") for number in (0, 1))
    with torch.no_grad():
        for mine, theirs in zip(
            (module.length, module.module.weight, module.module.bias), (lengths, directions, other.bias), strict=True
        ):
            mine.copy_(theirs.uniform_(0.5, 2))
    value = torch.rand(3, 4, 9)
    torch.testing.assert_close(other(value), module(value))


@pytest.mark.torch
def test_weight_norm_of_other_layers_is_pytorchs() -> None:
    """Of transposed convolutions the input channels have lengths, as the first axis of the weight is theirs."""
    import torch
    from torch.nn.utils.parametrizations import weight_norm as parametrized

    plain = torch.nn.ConvTranspose1d(4, 6, 4, stride=2, padding=1, output_padding=1), torch.nn.Linear(9, 5)
    layers = (
        make("tconv", 6, 4, stride=2, padding=1, output_padding=1, weight_norm="filter"),
        make("fc", 5, weight_norm="filter"),
    )
    for norm, other, x in zip(layers, map(parametrized, plain), (Shape(C=4, W=9), Shape(T=4, C=9)), strict=True):
        module, value = norm.torch_module(x), torch.rand(3, 4, 9)
        assert sum(each.numel() for each in other.parameters()) == norm.params(x)
        with torch.no_grad():
            module.length.copy_(other.parametrizations.weight.original0.uniform_(0.5, 2))
            module.module.weight.copy_(other.parametrizations.weight.original1)
            module.module.bias.copy_(other.bias)
        torch.testing.assert_close(other(value), module(value))


@pytest.mark.torch
def test_sinusoids_are_the_papers() -> None:
    """PE(t, 2i) = sin(t / 10000^(2i/d)), PE(t, 2i+1) = cos(t / 10000^(2i/d)); a longer table has the same rows."""
    import torch

    x = torch.rand(2, 5, 7)
    added = make("pos_embed", 9, learned=False).torch_module(Shape(T=5, C=7))(x) - x
    for t, c in product(range(5), range(7)):
        angle = t / 10000 ** (c // 2 * 2 / 7)
        assert (math.cos(angle) if c % 2 else math.sin(angle)) == pytest.approx(float(added[0, t, c]), abs=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("gain", [False, True])
def test_standardised_filters_have_no_mean_and_one_deviation(gain: bool) -> None:
    """Each is less its mean over its deviation, and with factors those over the root of its size."""
    import torch

    norm = {"weight_norm": "gain", "weight_scale": Fraction(17, 10)} if gain else {"weight_norm": "standard"}
    module = make("conv", 6, 3, groups=2, weight_eps=Fraction(1, 100), **norm).torch_module(Shape(C=4, H=5, W=5))
    weight, value = module.module.weight.detach(), torch.rand(2, 4, 5, 5)
    rows = weight.flatten(1)
    made = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, unbiased=False, keepdim=True) + 0.01).sqrt()
    if gain:
        with torch.no_grad():
            made = made * module.gain.uniform_()[:, None] * 1.7 / 18**0.5
    expected = torch.conv2d(value, made.reshape(weight.shape), module.module.bias, groups=2)
    torch.testing.assert_close(expected, module(value))


@pytest.mark.torch
@pytest.mark.parametrize("skip", [True, False])
def test_a_selective_scan_is_its_closed_form(skip: bool) -> None:
    """Each output is a sum over the tokens up to it, in which what was written decays as by then, for all pairs at once."""
    import torch

    torch.manual_seed(0)
    sizes = Shape(T=6, C=4), Shape(T=6, C=4), Shape(T=6, C=3), Shape(T=6, C=3)
    module = make("selective_scan", "d", "b", "c", skip=skip).torch_module(*sizes).double()
    x, delta, b, c = (torch.rand(2, *size.values(), dtype=torch.float64) for size in sizes)
    rates, *past = module.parameters()
    times = delta.cumsum(1)
    passed = (times[:, :, None] - times[:, None]).unsqueeze(-1)  # batch, until, since, channel, number
    left = torch.exp(-passed * rates.exp()) * torch.ones(6, 6).tril()[None, :, :, None, None]
    expected = torch.einsum("bijcn,bjc,bjc,bjn,bin->bic", left, delta, x, b, c)
    expected = expected + x * past[0] if skip else expected
    torch.testing.assert_close(expected, module(x, delta, b, c))


@pytest.mark.torch
@pytest.mark.parametrize("case", [case for case in CASES if case.layer.kind in ("rnn", "lstm", "gru")], ids=str)
def test_recurrences_keep_what_pytorchs_own_steps_keep(case: Case) -> None:
    """PyTorch without oneDNN's kernel, on the CPU and on the meta device: what autograd keeps is the same, and said."""
    import torch

    from archcalc.pytorch.saved import SavedTensors

    (kept,) = case.layer.kept((True,), *case.inputs).extras
    for device in ("cpu", "meta"):
        with torch.device(device):
            module, (x,) = case.layer.torch_module(*case.inputs), case.inputs
            value = torch.ones(BATCH, *x.values(), requires_grad=True)
        found = SavedTensors(module.parameters())
        torch._C._set_mkldnn_enabled(False)
        try:
            with found:
                output = module(value * 1)
        finally:
            torch._C._set_mkldnn_enabled(True)
        assert output.requires_grad
        assert 4 * BATCH * kept.amount == sum(found.bytes_by_layer().values())
