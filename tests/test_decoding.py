"""Texts that grow token by token: steps and caches against PyTorch's, and what can't grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

import archcalc
from archcalc import analyze
from archcalc.analyses.decoding import new_tokens
from archcalc.errors import UsageError
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.layers import REGISTRY
from archcalc.layers.reads import UpTo
from archcalc.shape import Shape, Window
from archcalc.symbolic.values import value_at
from tests.helpers import spec_of
from tests.layer_cases import CASES, make
from tests.random_specs import specs

DECODED = ("kv_cache_bytes", "prefill_macs", "decode_macs")
TINY = {"d": 48, "layers": 3, "heads": 4, "vocabulary": 30}


def graph_of(text: str) -> Graph:
    """The graph of a spec without its first two lines."""
    return build(spec_of(f"archcalc: 1\nname: t\n{text}"))


def totals(text: str) -> list[int]:
    """The three numbers of a small network."""
    report = analyze(graph_of(text))
    return [report.total(name) for name in DECODED]


# --- against PyTorch ----------------------------------------------------------------------------------------------


def theirs(name: str, hparams: Mapping[str, int]) -> Any:
    """The class of transformers with these sizes; its attention multiplies matrices, which PyTorch counts."""
    transformers = pytest.importorskip("transformers", reason="it isn't among archcalc's extras")
    d, layers, heads, vocabulary = (hparams[key] for key in TINY)
    same = {"vocab_size": vocabulary, "attn_implementation": "eager"}
    if name == "gpt2":
        config = transformers.GPT2Config(n_embd=d, n_layer=layers, n_head=heads, n_positions=40, **same)
        return transformers.GPT2LMHeadModel(config)
    same |= {
        "hidden_size": d, "num_hidden_layers": layers, "num_attention_heads": heads, "head_dim": hparams.get("head", 12),
        "num_key_value_heads": hparams["groups"], "intermediate_size": hparams["ffn"],
    }  # fmt: skip
    if name.startswith("qwen"):
        return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**same))
    if "window" in hparams:
        return transformers.MistralForCausalLM(transformers.MistralConfig(**same, sliding_window=hparams["window"]))
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**same))


def noted(parts: Any, held: list[int]) -> Any:
    """The keys and values that a layer's cache hands out, whose bytes are noted."""
    held += [part.nbytes for part in parts]
    return parts


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("gpt2", {"context": 40}),
        ("llama", {"groups": 4, "ffn": 40}),
        ("llama", {"groups": 2, "ffn": 64}),
        ("llama:mistral_7b", {"groups": 1, "ffn": 64, "window": 5}),
        ("qwen:qwen3_0.6b", {"groups": 2, "ffn": 40, "head": 16}),
    ],
)
@pytest.mark.parametrize("length", [2, 7])
def test_a_step_and_its_cache_are_transformers(name: str, more: dict[str, int], length: int) -> None:
    """The last token's FLOPs as PyTorch counts them, and the bytes of the tensors that are really remembered."""
    torch = pytest.importorskip("torch", reason="PyTorch counts")
    from torch.utils.flop_counter import FlopCounterMode

    model = theirs(name, {**TINY, **more}).eval()
    report = analyze(archcalc.load(name).build(hparams={**TINY, **more, "length": length}), 2)
    tokens = torch.randint(30, (2, length))
    with torch.no_grad(), FlopCounterMode(display=False) as whole:
        cache = model(tokens[:, :-1], use_cache=True).past_key_values
    held: list[int] = []
    update = cache.update
    cache.update = lambda *args, **more: noted(update(*args, **more), held)
    with torch.no_grad(), FlopCounterMode(display=False) as step:
        model(tokens[:, -1:], past_key_values=cache, use_cache=True)
    assert [sum(held), step.get_total_flops()] == [report.total("kv_cache_bytes"), 2 * report.total("decode_macs")]
    before = analyze(archcalc.load(name).build(hparams={**TINY, **more, "length": length - 1}), 2)
    assert whole.get_total_flops() == 2 * before.total("prefill_macs")


@pytest.mark.torch
def test_a_step_beside_a_memory_is_transformers() -> None:
    """Whisper's decoder finds keys and values of what was heard in its cache, and the encoder doesn't run again."""
    transformers = pytest.importorskip("transformers", reason="it isn't among archcalc's extras")
    torch = pytest.importorskip("torch", reason="PyTorch counts")
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.WhisperConfig(
        vocab_size=30, d_model=48, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=192, decoder_ffn_dim=192, attn_implementation="eager",
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model, tokens = transformers.WhisperForConditionalGeneration(config).eval(), torch.randint(30, (1, 5))
    with torch.no_grad():
        first = model(torch.randn(1, 80, 3000), decoder_input_ids=tokens[:, :-1], use_cache=True)
        heard, cache = (first.encoder_last_hidden_state,), first.past_key_values
        with FlopCounterMode(display=False) as step:
            model(encoder_outputs=heard, decoder_input_ids=tokens[:, -1:], past_key_values=cache, use_cache=True)
    sizes = {"vocabulary": 30, "d": 48, "layers": 2, "heads": 4, "length": 5}
    report = analyze(archcalc.load("whisper").build(hparams=sizes))
    caches = (each for part in (cache.self_attention_cache, cache.cross_attention_cache) for each in part.layers)
    held = sum(part.nbytes for each in caches for part in (each.keys, each.values))
    assert [held, step.get_total_flops()] == [report.total("kv_cache_bytes"), 2 * report.total("decode_macs")]


MIXTURE = """
input: {T: length}
hparams: {length: 7}
defaults: {fc: {bias: false}}
blocks:
  swiglu(): [{mul: {gate: fc 40 -> silu, up: fc 40}}, fc 48]
layers:
  - embed 30 48
  - for: {i: 1..2}
    do:
      - residual: rmsnorm -> attention 4 kv_heads=2 bias=false causal=true rope=true
      - residual: [rmsnorm, {moe: swiglu, experts: 5, top: 2, renormalise: true}]
  - rmsnorm -> fc 30
"""


@pytest.mark.torch
def test_a_step_of_a_mixture_is_transformers() -> None:
    """A token goes through as many experts as ever: Mixtral's router, two of five experts, attention and logits."""
    transformers = pytest.importorskip("transformers", reason="it isn't among archcalc's extras")
    torch = pytest.importorskip("torch", reason="PyTorch counts")
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.MixtralConfig(
        vocab_size=30, hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=5, num_experts_per_tok=2, attn_implementation="eager",
        experts_implementation="eager",
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config).eval()
    with torch.no_grad():
        cache = model(torch.randint(30, (2, 6)), use_cache=True).past_key_values
        with FlopCounterMode(display=False) as step:
            model(torch.randint(30, (2, 1)), past_key_values=cache)
    assert step.get_total_flops() == 2 * 2 * analyze(graph_of(MIXTURE)).total("decode_macs")


@pytest.mark.torch
@pytest.mark.parametrize("rank", [None, 12])
def test_a_step_of_latent_attention_as_stored_is_transformers(rank: int | None) -> None:
    """DeepSeek's class remembers latents, and expands all of them again for each token."""
    transformers = pytest.importorskip("transformers", reason="it isn't among archcalc's extras")
    torch = pytest.importorskip("torch", reason="PyTorch counts")
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.DeepseekV3Config(
        hidden_size=18, num_attention_heads=3, num_key_value_heads=3, kv_lora_rank=8, q_lora_rank=rank,
        qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5, attn_implementation="eager", num_hidden_layers=2,
        first_k_dense_replace=2, intermediate_size=20, vocab_size=30,
    )  # fmt: skip
    model = transformers.DeepseekV3ForCausalLM(config).eval()
    cache = model(torch.randint(30, (2, 6)), use_cache=True).past_key_values
    with torch.no_grad(), FlopCounterMode(display=False) as step:
        model(torch.randint(30, (2, 1)), past_key_values=cache)
    layer = make("mla", 3, 8, 6, 4, value_dim=5, q_rank=rank, causal=True, absorb=False)
    x, others = Shape(T=7, C=18), 3 * 18 * 20 + 18 * 30 // 2  # of one layer, with half the logits
    assert step.get_total_flops() == 2 * 2 * 2 * (layer.macs_of_step((x.with_(T=1),), x) + others)
    kept = sum(part.nbytes for each in cache.layers for part in (each.keys, each.values))
    assert kept == 2 * 2 * 4 * layer.cached((x.with_(T=1),), x)


@pytest.mark.torch
@pytest.mark.parametrize("rank", [None, 12])
def test_absorbed_latent_attention_gives_the_same(rank: int | None) -> None:
    """The last token's output from latents alone, and the multiply-adds of computing it so."""
    torch = pytest.importorskip("torch", reason="PyTorch counts")
    from torch.utils.flop_counter import FlopCounterMode

    layer: Any = make("mla", 3, 8, 6, 4, value_dim=5, q_rank=rank, causal=True)
    module, x = layer.torch_module(Shape(T=7, C=18)).double(), torch.randn(1, 7, 18, dtype=torch.float64)
    compressed = module.compress(x)
    latents = module.norm(compressed[..., :8])[0]
    _, turned = module.rotary(torch.zeros(1, 7, 1, 10, dtype=torch.float64), compressed[..., 8:].unsqueeze(2))
    cos, sin = module.rotary.table(7, x)
    matrices = module.expand.weight.unflatten(0, (3, 11))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.compress(x[:, -1:])  # which the next token finds remembered
        q = module.asked(x[:, -1:]).unflatten(-1, (3, 10))[0, 0]
        places = module.rotary.turned(q[None, None], cos[-1:], sin[-1:])[0, 0, :, 6:]
        absorbed = torch.bmm(q[:, None, :6], matrices[:, :6])[:, 0]
        scores = torch.cat((absorbed, places), -1) @ torch.cat((latents, turned[0, :, 0]), -1).T
        mixed = (scores * 10**-0.5).softmax(-1) @ latents
        values = torch.bmm(mixed[:, None], matrices[:, 6:].mT)
        found = module.mix(values.flatten())
    torch.testing.assert_close(found, module(x)[0, -1])
    assert counter.get_total_flops() == 2 * layer.macs_of_step((Shape(T=1, C=18),), Shape(T=7, C=18))


# --- by the definitions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        # a token costs what it costs, however many there were; 6 tokens of 8 numbers
        ("fc 5 -> relu -> fc 3", [0, 6 * 55, 55]),
        ("lstm 4", [0, 6 * 192, 192]),
        # a causal convolution along what were the tokens
        ("transpose T W -> conv 5 3 p=[2,0] -> transpose T W -> fc 2", [0, 6 * 130, 130]),
        ("pos_embed -> ln -> attention 2 causal=true", [4 * 6 * 16, 6 * 256 + 36 * 16, 256 + 6 * 16]),
        ("attention 4 kv_heads=1 causal=true window=4", [4 * 4 * 4, 6 * 160 + 36 * 16, 160 + 4 * 16]),
        # a token in front is seen by all others
        ("cls_token -> attention 2 causal=true", [4 * 7 * 16, 7 * 256 + 49 * 16, 256 + 7 * 16]),
        # the last token's class
        ("attention 1 causal=true -> select -1 -> fc 3", [4 * 6 * 16, 6 * 256 + 36 * 16 + 24, 256 + 6 * 16 + 24]),
    ],
)
def test_by_hand(layers: str, expected: list[int]) -> None:
    """Bytes remembered, multiply-adds of all tokens, and of the last."""
    assert expected == totals(f"input: {{T: 6, C: 8}}\nlayers: {layers}\n")


KINDS = ("input", "attention")
MEMORY = """
inputs: {{image: {{T: 9, C: 6}}, text: {{T: 4, C: 8}}}}
layers:
  - memory: attention 2
  - from text
  - attention 2 causal=true
  - attention 2 kv=@memory
"""


def test_a_memory_is_computed_once() -> None:
    """An encoder's output doesn't grow: a step reads its keys and values, which are remembered, and makes none."""
    own, encoder = 4 * 64, 9 * 4 * 36 + 2 * 81 * 6
    cached = 4 * (4 * 16 + 9 * 16)
    cross = 4 * 128 + 9 * 6 * 16 + 2 * 4 * 9 * 8
    expected = [cached, encoder + 4 * own + 2 * 16 * 8 + cross, own + 2 * 4 * 8 + 128 + 2 * 9 * 8]
    assert expected == totals(MEMORY.format())


def test_attention_without_projections() -> None:
    """It remembers the keys and values that are given, and counts no projections of its own."""
    layers = (
        "[{q: fc 8}, {k: from input -> fc 4}, {v: from input -> fc 6}, from q -> sdpa 4 @k @v kv_heads=2 causal=true]"
    )
    once = 8 * 8 + 8 * 4 + 8 * 6
    expected = [4 * 6 * 10, 6 * once + 36 * 4 * (2 + 3), once + 6 * 4 * (2 + 3)]
    assert expected == totals(f"input: {{T: 6, C: 8}}\nlayers: {layers}\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("input: {C: 3, H: 8}\nlayers: conv 3 1", "no input has tokens (T)"),
        ("input: {T: 6, C: 8}\nlayers: {a: attention 2}", "'a' sees later tokens"),
        ("input: {T: 6, C: 8}\nlayers: {a: lstm 2 reverse=true}", "'a' sees later tokens"),
        ("input: {T: 6, C: 8}\nlayers: {a: softmax T}", "'a' sees later tokens"),
        ("input: {T: 6, C: 8}\nlayers: {a: flatten}", "'a' reads all tokens at once"),
        ("input: {T: 6, C: 8}\nlayers: {a: transpose T C -> fc 4}", "'a/fc' sees later tokens"),
        ("input: {T: 6, C: 8}\nlayers: {a: transpose T W -> conv 8 3 p=1}", "'a/conv' sees later tokens"),
        ("input: {T: 6, C: 8}\nlayers: {a: transpose T W -> conv 8 2 s=2}", "'a/conv' sees later tokens"),
        ("input: {T: 6, C: 8}\nlayers: {a: transpose T W -> flatten}", "'a/flatten' reads all tokens at once"),
        ("input: {T: 6, C: 8}\nlayers: {a: select 0}", "'a' reads a token that isn't the last one"),
        ("input: {T: 6, C: 8}\nlayers: [{x: identity}, {a: matmul @x transpose=true}]", "'a' reads all tokens at once"),
        (
            "input: {T: 6, C: 8}\nlayers: [{x: identity}, {a: {concat: [from x, param T=2 C=8], axis: T}}]",
            "'a/concat' has tokens after the last one",
        ),
        ("input: {T: 6, C: 8}\nlayers: param T=3 C=8", "no output depends on them"),
    ],
)
def test_what_cannot_grow_says_why(text: str, why: str) -> None:
    """There are no such numbers then, and asking for one is an error."""
    report = analyze(graph_of(f"{text}\n"))
    for name in DECODED:
        assert report.totals[name] is None
        with pytest.raises(UsageError) as caught:
            report.total(name)
        assert f"doesn't work token by token: {why}" in str(caught.value)


def test_steps_add_up_to_what_a_causal_mask_shows() -> None:
    """Of all kinds whose tokens see only earlier ones: one step after the other costs the pairs that are seen."""
    for case in CASES:
        reads = case.layer.reads(*case.inputs) if case.inputs and all("T" in x for x in case.inputs) else ()
        along = [each.along.get("T") for each in reads if each is not None]
        if not any(isinstance(relation, (UpTo, Window)) for relation in along) or getattr(case.layer, "relative", None):
            continue
        length, new = case.inputs[0]["T"], [x.with_(T=1) for x in case.inputs]
        whole, pairs = case.layer.macs(*case.inputs), case.layer.attention_macs(*case.inputs) // length**2
        seen = range(1, length + 1) if pairs else []
        window = getattr(case.layer, "window", None) or length
        steps = [case.layer.macs_of_step(new, *(x.with_(T=t) for x in case.inputs)) for t in range(1, length + 1)]
        if getattr(case.layer, "causal", True) and case.layer.kind != "mla":
            assert sum(steps) == whole - pairs * (length**2 - sum(min(t, window) for t in seen)), case


def test_kinds_whose_steps_depend_on_the_past_say_so() -> None:
    """What a new token costs follows from its own formula only for attention; other kinds cost what one token does."""
    own = {kind for kind, layer in REGISTRY.items() if "macs_of_step" in vars(layer)}
    assert {"attention", "sdpa", "mla"} == own


# --- everywhere ---------------------------------------------------------------------------------------------------


def test_deep_and_open_networks() -> None:
    """A thousand million layers, and a symbol of them, have what one layer has so many times."""

    def found(layers: object) -> list[Any]:
        report = analyze(archcalc.load("gpt2").build(hparams={**TINY, "layers": layers, "length": 5}))
        return [report.total(name) for name in (*DECODED, "embedding_params", "non_embedding_params")]

    one, two, vast = found(1), found(2), found(10**9)
    assert vast == [a + (10**9 - 1) * (b - a) for a, b in zip(one, two, strict=True)]
    assert vast == [value_at(value, {"layers": 10**9}) for value in found("sym")]


@pytest.mark.parametrize("name", ["mamba", "lstm_lm"])
def test_recurrences_take_a_step(name: str) -> None:
    """A token costs the same after any number of others, and nothing is remembered but states."""
    report = analyze(archcalc.load(name).build(length=7))
    assert [0, 7] == [report.total("kv_cache_bytes"), report.total("prefill_macs") // report.total("decode_macs")]
    assert report.total("prefill_macs") == 7 * report.total("decode_macs")


def test_what_grows_is_followed() -> None:
    """Of an encoder and a decoder, only the latter's nodes make anything for a new token."""
    graph = graph_of(MEMORY.format())
    found = [text.new for text, node in zip(new_tokens(graph), graph.nodes, strict=True) if node.kind in KINDS]
    assert [0, 1, 0, 1, 1] == found


def embeddings(names: Sequence[str]) -> list[list[int]]:
    """Embedding and other parameters."""
    reports = [analyze(archcalc.load(name).build()) for name in names]
    return [[r.total("embedding_params"), r.total("non_embedding_params")] for r in reports]


def test_embeddings_of_published_models() -> None:
    """Tables of tokens and of positions, and an output matrix of its own, from the papers' sizes alone."""
    vocabulary, position, segment = 30522 * 768, 512 * 768, 2 * 768
    expected = [
        [50257 * 768 + 1024 * 768, 124439808 - 51281 * 768],
        [vocabulary + position + segment, 109482240 - vocabulary - position - segment],
        [151936 * 896, 494032768 - 151936 * 896],
        [2 * 152064 * 3584, 7615616512 - 2 * 152064 * 3584],
    ]
    assert expected == embeddings(["gpt2", "bert", "qwen:qwen2.5_0.5b", "qwen:qwen2.5_7b"])


def test_what_makes_logits() -> None:
    """A matrix of a table's shape counts with it only where no weights come after it; its biases go with it."""
    text = "input: {T: 6}\nlayers: [{e: embed 9 4}, fc 9, fc 4, {head: fc 9}, softmax]\n"
    report = analyze(graph_of(text))
    assert [36 + 45, 45 + 40] == [report.total(name) for name in ("embedding_params", "non_embedding_params")]
    assert [36, 0, 0, 45] == [report.total("embedding_params", node.name) for node in report.graph.nodes[1:5]]
    tied = analyze(graph_of("input: {T: 6}\nlayers: [{e: embed 9 4}, fc 4, fc 9 tie=@e bias=false]\n"))
    assert [36, 20] == [tied.total(name) for name in ("embedding_params", "non_embedding_params")]


# --- what grows, by changing the last token -----------------------------------------------------------------------


def changed_by_the_last_token(text: str) -> bool | None:
    """Whether another last token changes what should be known before it comes; None if the network has no such thing."""
    torch = pytest.importorskip("torch", reason="the networks are run")
    from archcalc.pytorch.network import Network

    graph = build(spec_of(text))
    if not analyze(graph).has("decode_macs"):
        return None
    texts, network = new_tokens(graph), Network(graph).eval().double()
    before = [x.double() if x.is_floating_point() else x for x in network.example_inputs()]
    after = [x.clone() for x in before]
    for x, other, node, grown in zip(after, network.example_inputs(), graph.inputs, texts, strict=False):
        if grown.new:
            last = list(node.shape).index("T") + 1
            x.narrow(last, x.shape[last] - 1, 1).copy_(other.narrow(last, 0, 1))
    sorted_out: set[int] = set()
    with torch.no_grad():
        for (index, (node, one)), (_, two) in zip(
            enumerate(network.trace(*before)), network.trace(*after), strict=True
        ):
            made, axes = texts[index], [None, *node.shape]
            if node.kind == "dispatch" or (node.kind != "combine" and sorted_out.intersection(node.inputs)):
                sorted_out.add(index)  # the tokens of one expert stand together, wherever they were
            if index in sorted_out or (made.new and not made.axis):
                continue
            if made.axis:
                along = axes.index(made.axis)
                one, two = (x.narrow(along, 0, x.shape[along] - made.new) for x in (one, two))
            if one.isfinite().all() and two.isfinite().all() and not torch.allclose(one, two):
                return True
    return False


@pytest.mark.torch
def test_earlier_tokens_do_not_see_later_ones() -> None:
    """Of random networks that grow token by token: nothing is changed by the last token but what is new with it."""
    found: Counter[bool | None] = Counter()

    @seed(1)
    @settings(max_examples=160, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(specs(3))
    def check(text: str) -> None:
        changed = changed_by_the_last_token(text)
        found[changed] += 1
        assert not changed, text

    check()
    assert found[False] >= 5
