"""Mixtures of experts of the zoo against the classes of Hugging Face's transformers, which stack experts' weights."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

import archcalc
from archcalc.graph import Graph

torch = pytest.importorskip("torch", reason="the classes are PyTorch's")
transformers = pytest.importorskip("transformers", reason="it isn't among archcalc's extras: pip install transformers")
pytestmark = pytest.mark.torch

from tests import language_models  # noqa: E402  # it imports PyTorch

Values = dict[str, Any]
SMALL = {"d": 32, "layers": 2, "length": 7, "experts": 8, "vocabulary": 30}
SPARSE = {**SMALL, "heads": 4, "ffn": 24}
LATENT = {**SPARSE, "heads": 2, "expert": 12, "shared": 24, "dense": 1, "query_rank": 10}
NETS: dict[str, Values] = {
    "mixtral_8x7b": {**SPARSE, "groups": 2},
    "qwen3_30b_a3b": {**SPARSE, "groups": 2, "head": 8, "top": 3},
    "qwen1.5_moe_a2.7b": {**SPARSE, "groups": 4, "head": 8, "shared": 40},
    "gpt_oss_20b": {**SMALL, "length": 9, "window": 4},
    "olmoe": {**SMALL, "ffn": 24, "top": 2},
    "deepseek_v2_lite": {**LATENT, "query_rank": 0, "top": 3},
    "deepseek_v2": {**LATENT, "groups": 4, "top": 2, "top_groups": 2},
    "deepseek_v3": {**LATENT, "groups": 4, "top": 2, "top_groups": 2, "factor": 3},
}
"""A variant of each form, and its sizes in small."""
WHOLE = ("mixtral_8x22b", "qwen3_235b_a22b", "qwen2_57b_a14b", "gpt_oss_120b")
"""Those that differ from them in sizes."""
PARTS = {
    "queries": ("q_proj", "q_b_proj"), "keys": ("k_proj",), "values": ("v_proj",), "mix": ("o_proj",), "core": ("sinks",),
    "query_norm": ("q_norm", "q_a_layernorm"), "key_norm": ("k_norm",), "narrow": ("q_a_proj",),
    "compress": ("kv_a_proj_with_mqa",), "norm": ("kv_a_layernorm",), "expand": ("kv_b_proj",),
}  # fmt: skip
"""What transformers calls the parts of attention."""


def sizes(graph: Graph) -> Values:
    """What all configurations take, read off a graph."""
    layers: Values = {}
    for node in graph.nodes:
        layers.setdefault(re.sub(r"^decoder/\d+/|body\w*/|mixture/", "", node.name), node)
    attention, shares = (next(n for n in graph.nodes if n.kind in kinds) for kinds in (("attention", "mla"), ("topk",)))
    dense = layers.get("swiglu/gate/fc", layers["expert/gate/fc"]).layer.out_features
    base, layer = float(attention.layer.rope_base), attention.layer
    return {
        "vocab_size": layers["embedding"].layer.num_embeddings, "hidden_size": graph["embedding"].shape.C,
        "num_hidden_layers": sum(n.kind == attention.kind for n in graph.nodes), "num_attention_heads": layer.num_heads,
        "num_key_value_heads": getattr(layer, "kv_heads", None) or layer.num_heads, "intermediate_size": dense,
        "num_experts_per_tok": shares.layer.top, "rms_norm_eps": float(layers["norm"].layer.eps),
        "rope_parameters": {"rope_type": "default", "rope_theta": base}, "tie_word_embeddings": False,
        "pad_token_id": 0, "eos_token_id": 0, "bos_token_id": 0, "attn_implementation": "eager",
        "experts_implementation": "eager",
        "found": {"experts": shares.shape.C, "shares": shares.layer, "attention": layer, "nodes": layers},
    }  # fmt: skip


def theirs(name: str, graph: Graph) -> Any:
    """The class of transformers with the sizes of ours."""
    given = sizes(graph)
    found = given.pop("found")
    experts, layer, nodes = found["experts"], found["attention"], found["nodes"]
    expert = nodes["expert/gate/fc"].layer.out_features
    norms = {"norm_topk_prob": found["shares"].renormalise, "moe_intermediate_size": expert}
    if name.startswith("deepseek"):
        shares = found["shares"]
        own = {
            **norms, "n_routed_experts": experts, "n_group": shares.groups or 1, "topk_group": shares.top_groups or 1,
            "first_k_dense_replace": sum("swiglu/gate/fc" in n.name for n in graph.nodes), "q_lora_rank": layer.q_rank,
            "n_shared_experts": 1, "routed_scaling_factor": float(shares.factor), "kv_lora_rank": layer.kv_rank,
            "qk_nope_head_dim": layer.head_dim, "qk_rope_head_dim": layer.rope_dim, "v_head_dim": layer.head_dim,
            "topk_method": "group_limited_greedy" if shares.groups else "greedy",
        }  # fmt: skip
        own["n_shared_experts"], rest = divmod(nodes["shared/gate/fc"].layer.out_features, expert)
        assert not rest
        kind = "DeepseekV3" if shares.correction else "DeepseekV2"
    elif name.startswith("qwen"):
        kind, own = "Qwen3Moe", {**norms, "num_experts": experts, "head_dim": layer.head_dim}
        if "shared/gate/fc" in nodes:
            kind = "Qwen2Moe"
            own["shared_expert_intermediate_size"] = nodes["shared/expert/gate/fc"].layer.out_features
    elif name.startswith("gpt_oss"):
        kind, own = "GptOss", {"num_local_experts": experts, "head_dim": 64, "sliding_window": layer.window}
    else:
        kind = "Mixtral" if name.startswith("mixtral") else "Olmoe"
        own = {"num_local_experts": experts, "num_experts": experts}
    config = getattr(transformers, f"{kind}Config")(**given, **own)
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


def counterpart(name: str, other: Any, per_pass: int) -> Any:
    """What their model has of a parameter or buffer of ours."""
    if not name.startswith("decoder"):
        last = {"embedding": "model.embed_tokens", "norm": "model.norm", "logits": "lm_head"}[name.partition(".")[0]]
        return other.get_parameter(f"{last}.weight")
    found = re.fullmatch(r"decoder\.(\d+)\.body(?:_(\d+))?\.(\w+)\.(.+)", name)
    assert found
    number, part, rest = int(found[2] or 1), found[3], found[4]
    layer = other.model.layers[(int(found[1]) - 1) * per_pass + (number - 1) // 2]
    if part == "rmsnorm":
        return (layer.input_layernorm if number % 2 else layer.post_attention_layernorm).weight
    if part in ("attention", "mla"):
        first, last = rest.split(".")
        names = (each for each in PARTS[first] if getattr(layer.self_attn, each, None) is not None)
        own = getattr(layer.self_attn, next(names))
        return own if first == "core" else getattr(own, last)
    return of_experts(layer.mlp, rest) if part == "mixture" else of_swiglu(layer.mlp, rest)


def of_swiglu(module: Any, rest: str) -> Any:
    """A matrix of a gated MLP, by the end of our name."""
    return getattr(module, f"{rest.partition('.')[0]}_proj").weight


def of_experts(mlp: Any, rest: str) -> Any:
    """A parameter or buffer of a mixture."""
    first, _, rest = rest.partition(".")
    if first == "router":
        return getattr(mlp.router if hasattr(mlp, "router") else mlp.gate, rest)
    if first == "topk":
        return mlp.gate.e_score_correction_bias
    if first == "shared":
        if rest.startswith("expert."):
            return of_swiglu(mlp.shared_expert, rest.removeprefix("expert."))
        return (
            mlp.shared_expert_gate.weight if hasattr(mlp, "shared_expert_gate") else of_swiglu(mlp.shared_experts, rest)
        )
    found = re.fullmatch(r"(gate|up|down)\.(?:fc\.)?expert\.(weight|bias)", rest)
    assert found
    joined = "down_proj" if found[1] == "down" else "gate_up_proj"
    own = getattr(mlp.experts, joined + ("_bias" if found[2] == "bias" else ""))
    place = {"gate": 0, "up": 1}.get(found[1])
    if hasattr(
        mlp.experts, "gate_up_proj_bias"
    ):  # gpt-oss: stored the other way round, gates and what they weigh in turn
        own = own if place is None else own[..., place::2]
        return own.mT if own.ndim == 3 else own
    return own if place is None else own.chunk(2, dim=1)[place]


@pytest.mark.parametrize("name", (*NETS, *WHOLE) if os.environ.get("ARCHCALC_WHOLE_ZOO") else NETS)
def test_their_class_has_as_many_parameters(name: str) -> None:
    """At the size at which it was published."""
    graph = archcalc.load(name).build()
    with torch.device("meta"):
        other = theirs(name, graph)
    assert sum(parameter.numel() for parameter in other.parameters()) == archcalc.analyze(graph).totals["params"]


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_multiply_adds_are_theirs(name: str) -> None:
    """On the same random weights, each of which is used once, at a small size."""
    graph = archcalc.load(name).build(hparams=NETS[name])
    mine, other = archcalc.to_torch(graph).eval(), theirs(name, graph)
    own = {**dict(mine.named_parameters()), **dict(mine.named_buffers())}
    tokens = torch.randint(30, (2, graph.input.T), generator=torch.Generator().manual_seed(1))
    per_pass = 2 if any("body_4" in each for each in own) else 1
    with torch.no_grad():
        for number, (each, parameter) in enumerate(own.items()):
            parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(number))
            counterpart(each, other, per_pass).copy_(parameter)
        expected = other(tokens).logits
        torch.testing.assert_close(mine(tokens), expected, rtol=1e-4, atol=1e-4)
    assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in mine.parameters())
    assert language_models.multiply_adds(other, [tokens]) == 2 * archcalc.analyze(graph).totals["macs"]
