"""Attention's numbers against the papers' formulas, one query and one key at a time; its forms against each other."""

from __future__ import annotations

import cmath
import importlib
import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archcalc import analyze, to_torch
from archcalc.errors import ShapeError
from archcalc.expand import build
from archcalc.layers import Layer
from archcalc.shape import Shape
from tests.helpers import spec_of
from tests.layer_cases import make, volume
from tests.random_layers import Draw, attention, between, latent

torch = pytest.importorskip("torch", reason="the modules are PyTorch's")
pytestmark = pytest.mark.torch


def random_attention(draw: Draw) -> tuple[Layer, tuple[Shape, ...]]:
    """Any attention, to itself or to others, that works on its input."""
    x = Shape(T=draw(st.integers(1, 6)), C=draw(st.integers(1, 8)))
    given = attention(draw, x)
    others: tuple[Shape, ...] = ()
    if draw(st.integers(0, 2)) == 0:
        given, others = {**given, "kv": "memory"}, (Shape(T=draw(st.integers(1, 6)), C=draw(st.integers(1, 5))),)
    layer = make("attention", **given)
    try:
        layer.output_shape(x, *others)
    except ShapeError:  # a table of another size, or a window that shows nothing
        given = {
            name: value
            for name, value in given.items()
            if name not in ("relative", "relative_cls", "window", "buckets")
        }
        layer = make("attention", **given)
    return layer, (x, *others)


def by_the_book(layer: Any, module: Any, x: Any, source: Any) -> Any:
    """One example's result: every score by itself, from the module's parameters alone."""
    given = dict(module.named_parameters())
    heads, groups = layer.num_heads, layer.kv_heads or layer.num_heads
    q, k, v = (
        (tokens @ given[f"{name}.weight"].T + given.get(f"{name}.bias", torch.zeros(()))).reshape(len(tokens), n, -1)
        for name, tokens, n in (("queries", x, heads), ("keys", source, groups), ("values", source, groups))
    )
    q, k = (prepared(layer, given, name, y) for name, y in (("query_norm", q), ("key_norm", k)))
    return mixed(layer, given, q, k, v) @ given["mix.weight"].T + given.get("mix.bias", torch.zeros(()))


def mixed(layer: Any, given: Any, q: Any, k: Any, v: Any) -> Any:
    """The heads' mixed values, side by side, of queries, keys and values (T, heads, size)."""
    rows, shared = [], q.shape[1] // k.shape[1]
    for t in range(len(q)):
        heads = []
        for h in range(q.shape[1]):
            scores = [score(layer, given, h, q[t, h], k[s, h // shared], t, s) for s in range(len(k))]
            sinks = [given["core.sink"][h]] if layer.sinks else []
            shares = torch.stack([*scores, *sinks]).softmax(0)
            heads.append(sum(share * value for share, value in zip(shares, v[:, h // shared], strict=False)))
        rows.append(torch.cat(heads))
    return torch.stack(rows)


def prepared(layer: Any, given: Any, name: str, y: Any) -> Any:
    """Heads (T, heads, size), normalised and turned."""
    if layer.qk_norm != "none":
        flat = y.flatten(1) if layer.qk_norm_whole else y
        eps = float(layer.eps or (Fraction(1, 10**5) if layer.qk_norm == "ln" else torch.finfo(y.dtype).eps))
        if layer.qk_norm == "ln":
            flat = (flat - flat.mean(-1, keepdim=True)) / (flat.var(-1, correction=0, keepdim=True) + eps).sqrt()
        else:
            flat = flat / (flat.square().mean(-1, keepdim=True) + eps).sqrt()
        y = (flat * given[f"{name}.weight"] + given.get(f"{name}.bias", 0)).reshape(y.shape)
    if not layer.rope:
        return y
    turned, half = y.clone(), (layer.rotary_dim or y.shape[-1]) // 2
    apart, step = (1, 2) if layer.rope_interleaved else (half, 1)
    for place in range(len(y)):
        for i in range(half):  # pairs are complex numbers, turned by place·base^(-2i/size)
            angle = place * float(layer.rope_base) ** (-i / half)
            one, other = step * i, step * i + apart
            pair = torch.complex(y[place, :, one], y[place, :, other]) * cmath.exp(1j * angle)
            turned[place, :, one], turned[place, :, other] = pair.real, pair.imag
    return turned


def score(layer: Any, given: Any, head: int, q: Any, k: Any, t: int, s: int) -> Any:
    """Of one query and key; -inf where it isn't seen."""
    value = (q @ k) * (len(q) ** -0.5 if layer.scale is None else float(layer.scale))
    if layer.softcap is not None:
        value = float(layer.softcap) * torch.tanh(value / float(layer.softcap))
    if layer.buckets is not None:
        value = value + given["core.positions.table.weight"][t5_bucket(layer, s - t), head]
    if layer.relative is not None:
        table = given["core.positions.table.weight"]
        row = beit_index(layer.relative, t, s) if layer.relative_cls else swin_index(layer.relative, t, s)
        value = value + table[row, head]
    if layer.alibi:
        value = value - alibi_slope(layer.num_heads, head) * abs(t - s)
    seen = not (layer.causal and s > t) and (layer.window is None or abs(t - s) < layer.window)
    return value if seen else torch.tensor(-torch.inf, dtype=q.dtype)


def t5_bucket(layer: Any, distance: int) -> int:
    """The formula of Raffel et al.'s code (mesh_tensorflow, _relative_position_bucket)."""
    buckets, start, away = layer.buckets, 0, max(-distance, 0)
    if not layer.causal:
        buckets, away = buckets // 2, abs(distance)
        start = buckets if distance > 0 else 0
    exact = buckets // 2
    if away < exact:
        return start + away
    far = math.log(away / exact) / math.log(layer.max_distance / exact) * (buckets - exact)
    return start + min(exact + int(far + 1e-9), buckets - 1)


def swin_index(sizes: Any, t: int, s: int) -> int:
    """The row of Swin's table for two tokens: displacements along each axis, each moved to start at 0."""
    found = 0
    sizes = sizes if isinstance(sizes, tuple) else (sizes,)
    for size, rest in zip(sizes, (math.prod(sizes[i + 1 :]) for i in range(len(sizes))), strict=True):
        found = found * (2 * size - 1) + t // rest % size - s // rest % size + size - 1
    return found


def beit_index(sizes: Any, t: int, s: int) -> int:
    """The same with a class token in front: the last rows are for what it sees, what sees it, and itself."""
    sizes = sizes if isinstance(sizes, tuple) else (sizes,)
    count = math.prod(2 * size - 1 for size in sizes)
    if t and s:
        return swin_index(sizes, t - 1, s - 1)
    return count + 2 if t == s else count + (t > 0)


def alibi_slope(heads: int, head: int) -> float:
    """Press et al.'s get_slopes: a geometric sequence, for other numbers than powers of 2 from two of them."""
    if heads & (heads - 1) == 0:
        return float(2 ** (-8 * (head + 1) / heads))
    below = 1 << (heads.bit_length() - 1)
    return alibi_slope(below, head) if head < below else alibi_slope(2 * below, 2 * (head - below))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_are_the_papers(data: st.DataObject) -> None:
    """Whatever the arguments are: heads that share keys, turns, norms, masks, biases, caps and sinks."""
    layer, inputs = random_attention(data.draw)
    torch.manual_seed(data.draw(st.integers(0, 99)))
    module = layer.torch_module(*inputs).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    tensors = [torch.randn(2, *shape.values(), dtype=torch.float64) for shape in inputs]
    expected = [by_the_book(layer, module, x, source) for x, source in zip(tensors[0], tensors[-1], strict=True)]
    torch.testing.assert_close(module(*tensors), torch.stack(expected))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_of_latent_attention_are_the_papers(data: st.DataObject) -> None:
    """DeepSeek-V2's equations, appendix C, one token and one head at a time: only latents and turned keys are shared."""
    x = Shape(T=data.draw(st.integers(1, 5)), C=data.draw(st.integers(1, 6)))
    layer: Any = make("mla", **latent(data.draw, x))
    module = layer.torch_module(x).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randn(2, *x.values(), dtype=torch.float64)
    parameters = dict(module.named_parameters())
    torch.testing.assert_close(module(tokens), torch.stack([latent_by_the_book(layer, parameters, h) for h in tokens]))


def latent_by_the_book(layer: Any, given: Any, h: Any) -> Any:
    """One example's result; rows of the matrices are those of one head after the other, keys ahead of values."""
    heads, size, value = layer.num_heads, layer.head_dim, layer.value_dim or layer.head_dim

    def normed(name: str, y: Any) -> Any:
        eps = float(layer.eps or torch.finfo(y.dtype).eps)
        return y / (y.square().mean(-1, keepdim=True) + eps).sqrt() * given[f"{name}.weight"]

    def turned(y: Any) -> Any:
        """(T, n) as complex numbers, turned by place·base^(-2i/n)."""
        pairs = torch.complex(y[:, ::2], y[:, 1::2])
        for place, i in itertools.product(*map(range, pairs.shape)):
            pairs[place, i] *= cmath.exp(1j * place * float(layer.rope_base) ** (-2 * i / y.shape[1]))
        return pairs

    asked = h if layer.q_rank is None else normed("query_norm", h @ given["narrow.weight"].T)
    latents, keys = (h @ given["compress.weight"].T).split((layer.kv_rank, layer.rope_dim), -1)
    latents, keys, mixed = normed("norm", latents), turned(keys), []
    for head in range(heads):
        q = asked @ given["queries.weight"].unflatten(0, (heads, -1))[head].T
        k, v = (latents @ given["expand.weight"].unflatten(0, (heads, -1))[head].T).split((size, value), -1)
        scores = q[:, :size] @ k.T + (turned(q[:, size:]) @ keys.conj().T).real
        scores *= (size + layer.rope_dim) ** -0.5 if layer.scale is None else float(layer.scale)
        if layer.causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
        mixed.append(scores.softmax(-1) @ v)
    return torch.cat(mixed, -1) @ given["mix.weight"].T


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_values_without_projections(data: st.DataObject) -> None:
    """The same between queries, keys and values that are given; heads lie side by side among the features."""
    draw = data.draw
    heads, size, width, tokens = (draw(st.integers(1, 4)) for _ in range(4))
    groups = draw(st.sampled_from([n for n in range(1, heads + 1) if heads % n == 0]))
    causal = draw(st.booleans())
    inside = between(draw, Shape(T=tokens), heads, causal)
    layer: Any = make("sdpa", heads, "k", "v", causal=causal, kv_heads=groups, **inside)
    shapes = [Shape(T=tokens, C=n) for n in (heads * size, groups * size, groups * width)]
    module = layer.torch_module(*shapes).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    tensors = [torch.randn(2, *shape.values(), dtype=torch.float64) for shape in shapes]
    parameters, counts = dict(module.named_parameters()), (heads, groups, groups)
    expected = [
        mixed(layer, parameters, *(x.reshape(tokens, n, -1) for x, n in zip(volumes, counts, strict=True)))
        for volumes in zip(*tensors, strict=True)
    ]
    torch.testing.assert_close(module(*tensors), torch.stack(expected))


@pytest.mark.parametrize("regions", ["", "R3 "])
@pytest.mark.parametrize("tokens", ["", "T4 "])
@pytest.mark.parametrize("transpose", [False, True])
def test_products_are_einsums(regions: str, tokens: str, transpose: bool) -> None:
    """Of matrices and of vectors, for each region."""
    other = volume(f"{regions}{'T6 C5' if transpose else 'T5 C6'}")
    x = volume(f"{regions}{tokens}C5")
    module = make("matmul", "other", transpose=transpose).torch_module(x, other)
    a, b = torch.randn(2, *x.values()), torch.randn(2, *other.values())
    letters = f"b{'r' * bool(regions)}"
    form = f"{letters}{'t' * bool(tokens)}c,{letters}{'kc' if transpose else 'ck'}->{letters}{'t' * bool(tokens)}k"
    torch.testing.assert_close(module(a, b), torch.einsum(form, a, b))


@pytest.mark.parametrize(
    ("layer", "inputs", "code", "message"),
    [
        (make("sdpa", 3, "k", "v"), "T5 C8, T5 C8, T5 C8", "E205", "C=8 is not divisible by num_heads=3"),
        (make("sdpa", 2, "k", "v"), "T5 C8, T5 C6, T5 C8", "E208", "keys have 6 numbers, 2 heads of queries 8"),
        (make("sdpa", 2, "k", "v"), "T5 C8, T5 C8, T4 C8", "E208", "keys are 5x8 (T,C), values 4x8 (T,C): each key"),
        (
            make("sdpa", 2, "k", "v"),
            "T5 C8, T5 C8, T5 C7",
            "E205",
            "7 numbers of values can't be divided among 2 heads",
        ),
        (make("sdpa", 2, "k", "v"), "T5 C8, R2 T5 C8, T5 C8", "E208", "keys are 2x5x8 (R,T,C), the input 5x8 (T,C)"),
        (make("matmul", "b"), "T5 C8, T5 C8", "E208", "C=8 of the input meets T=5 of 5x8 (T,C)"),
        (make("matmul", "b", transpose=True), "T5 C8, T8 C5", "E208", "C=8 of the input meets C=5 of 8x5 (T,C)"),
        (make("matmul", "b"), "C8 H2 W2, T8 C3", "E210", "needs features of tokens; the input is 8x2x2 (C,H,W)"),
        (make("matmul", "b"), "T5 C8, C8", "E210", "needs tokens with features (T, C); the input is 8 (C)"),
        (make("matmul", "b"), "R2 T5 C8, R3 T8 C2", "E208", "other is 3x8x2 (R,T,C), the input 2x5x8 (R,T,C): their"),
    ],
)
def test_impossible_products(layer: Layer, inputs: str, code: str, message: str) -> None:
    """Volumes that don't go together are refused, with both."""
    with pytest.raises(ShapeError) as caught:
        layer.output_shape(*map(volume, inputs.split(",")))
    assert (code, True) == (caught.value.code, caught.value.message.startswith(message)), caught.value.message


def test_positions_of_the_papers_tables() -> None:
    """T5's 32 buckets up to 128 tokens away, as its code computes them in float32; Swin's 169 displacements."""
    from archcalc.layers.torch_tokens import Buckets, Displacements

    for causal in (True, False):
        table = Buckets(32, 1, 128, causal)
        offsets = torch.arange(-300, 300)
        half = 32 if causal else 16
        away = (-offsets).clamp(min=0) if causal else offsets.abs()
        far = half // 2 + (torch.log(away.float() / (half // 2)) / math.log(256 / half) * (half - half // 2)).long()
        found = torch.where(away < half // 2, away, far.clamp(max=half - 1))
        expected = found if causal else found + 16 * (offsets > 0)
        assert expected.tolist() == [table.bucket(int(offset)) for offset in offsets]
    assert 169 * 3 == Displacements((7, 7), 3).table.weight.numel()


def test_the_kernel_that_stands_for_gpus_attention_is_pytorchs() -> None:
    """Values and gradients where values have another size than keys, with shared keys and a mask."""
    from archcalc.pytorch.saved import FusedKernels

    layer = make("attention", 4, kv_heads=2, head_dim=3, value_dim=2, window=2)
    module, x = layer.torch_module(volume("T5 C8")).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    given = torch.randn(2, 5, 8, dtype=torch.float64)
    expected = module(x)
    with FusedKernels():
        actual = module(x)
    torch.testing.assert_close(actual, expected)
    wanted = tuple(module.parameters())
    torch.testing.assert_close(torch.autograd.grad(actual, wanted, given), torch.autograd.grad(expected, wanted, given))


@pytest.mark.parametrize(
    ("named", "inputs", "code", "message"),
    [
        ({"kv_heads": 3}, "T5 C8", "E205", "num_heads=4 is not divisible by kv_heads=3"),
        ({"kv_heads": 8}, "T5 C8", "E205", "num_heads=4 is not divisible by kv_heads=8"),
        ({"rope": True, "head_dim": 3}, "T5 C8", "E205", "3 numbers of a head can't be turned in pairs"),
        ({"rope": True, "rotary_dim": 4}, "T5 C8", "E208", "rotary_dim=4 exceeds the 2 numbers of a head"),
        ({"rotary_dim": 2}, "T5 C8", "E211", "rotary_dim is for rotary positions"),
        ({"rope_interleaved": True}, "T5 C8", "E211", "rope_interleaved is for rotary positions"),
        ({"softcap": 0}, "T5 C8", "E211", "softcap=0 is not positive"),
        ({"alibi": True, "buckets": 8}, "T5 C8", "E211", "takes either alibi or buckets"),
        ({"buckets": 6}, "T5 C8", "E205", "buckets=6 is not divisible by 4: half of them are for keys after the query,"),
        ({"buckets": 5, "causal": True}, "T5 C8", "E205", "buckets=5 is not divisible by 2: half of them are for keys far away"),
        ({"buckets": 64, "max_distance": 16}, "T5 C8", "E208", "max_distance=16 is not greater than the 16 near ones"),
        ({"relative": (2, 2)}, "T5 C8", "E208", "relative=2x2 has 4 places, there are T=5 tokens"),
        ({"relative": 5, "relative_cls": True}, "T5 C8", "E208", "relative=5 has 5 places and one, there are T=5 tokens"),
        ({"relative_cls": True}, "T5 C8", "E211", "relative_cls is for displacements"),
        ({"relative": 5, "kv": "m"}, "T5 C8, T4 C8", "E208", "relative=5 has 5 places, there are T=4 tokens"),
        ({"window": 2, "kv": "m"}, "T5 C8, T3 C8", "E208", "window=2 shows no key to the last of 5 tokens: there are 3"),
    ],
)  # fmt: skip
def test_impossible_attention(named: dict[str, Any], inputs: str, code: str, message: str) -> None:
    """What doesn't go together is refused, with the numbers."""
    with pytest.raises(ShapeError) as caught:
        make("attention", 4, **named).output_shape(*map(volume, inputs.split(",")))
    assert (code, True) == (caught.value.code, caught.value.message.startswith(message)), caught.value.message


def test_a_window_as_long_as_the_text_is_a_causal_mask() -> None:
    """And with a window of one token, only values matter."""
    x = torch.randn(1, 5, 8)
    module = make("attention", 2, causal=True).torch_module(volume("T5 C8"))
    wide = make("attention", 2, causal=True, window=5).torch_module(volume("T5 C8"))
    alone = make("attention", 2, window=1).torch_module(volume("T5 C8"))
    wide.load_state_dict(module.state_dict())
    torch.testing.assert_close(wide(x), module(x))
    torch.testing.assert_close(alone(x), alone.mix(alone.values(x)))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("rank", [None, 12])
def test_latent_attention_is_transformers(version: int, rank: int | None) -> None:
    """DeepSeek's classes with the same weights give the same values, and PyTorch counts the same multiply-adds."""
    transformers = pytest.importorskip("transformers", reason="it isn't among archcalc's extras")
    from torch.utils.flop_counter import FlopCounterMode

    name = f"deepseek_v{version}"
    classes = vars(importlib.import_module(f"transformers.models.{name}.modeling_{name}"))
    config = getattr(transformers, f"DeepseekV{version}Config")(
        hidden_size=18, num_attention_heads=3, num_key_value_heads=3, kv_lora_rank=8, q_lora_rank=rank,
        qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5, attn_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )  # fmt: skip
    layer: Any = make("mla", 3, 8, 6, 4, value_dim=5, q_rank=rank, causal=True, rope_base=500, eps=Fraction(1, 10**6))
    theirs = classes[f"DeepseekV{version}Attention"](config, 0)
    mine, x = layer.torch_module(volume("T7 C18")), torch.randn(2, 7, 18)
    names = {"kv_a_proj_with_mqa": "compress", "kv_a_layernorm": "norm", "kv_b_proj": "expand", "o_proj": "mix"}
    names |= {"q_proj": "queries", "q_a_proj": "narrow", "q_a_layernorm": "query_norm", "q_b_proj": "queries"}
    given = {f"{names[key.removesuffix('.weight')]}.weight": p for key, p in theirs.named_parameters()}
    with torch.no_grad():
        for key, parameter in mine.named_parameters():
            parameter.copy_(given.pop(key).normal_(std=0.2))
    turns = classes[f"DeepseekV{version}RotaryEmbedding"](config)(x, torch.arange(7)[None])
    mask = torch.full((7, 7), -torch.inf).triu(1)[None, None]
    with FlopCounterMode(display=False) as counter:
        expected = theirs(x, position_embeddings=turns, attention_mask=mask)[0]
    torch.testing.assert_close(mine(x), expected)
    assert ({}, counter.get_total_flops()) == (given, 2 * 2 * layer.macs(volume("T7 C18")))


GRAPH = """
archcalc: 1
name: graph
inputs: {nodes: {T: 5, C: 7}, links: {T: 5, C: 5}}
layers:
  - features: fc 3 bias=false
  - hidden: from links -> matmul @features -> relu
"""


def test_a_product_with_a_given_matrix_is_a_graph_convolution() -> None:
    """Kipf & Welling 2017, equation 2: the links times the nodes times the weights; the links are an input."""
    graph = build(spec_of(GRAPH))
    network = to_torch(graph)
    nodes, links = torch.randn(2, 5, 7), torch.rand(2, 5, 5)
    (weight,) = network.parameters()
    torch.testing.assert_close(network(nodes, links), (links @ nodes @ weight.T).relu())
    assert 5 * 7 * 3 + 5 * 5 * 3 == analyze(graph).totals["macs"]
