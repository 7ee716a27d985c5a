"""Language models of the zoo against the classes of Hugging Face's transformers, built without downloads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import archcalc
from archcalc.graph import Graph

torch = pytest.importorskip("torch", reason="the classes are PyTorch's")
transformers = pytest.importorskip("transformers", reason="it isn't among archcalc's extras: pip install transformers")
pytestmark = pytest.mark.torch

TINY = {"d": 48, "layers": 2, "heads": 4, "ffn": 40, "vocabulary": 30, "length": 9}
VARIANTS = [f"{name}:{variant}" for name in ("llama", "qwen") for variant in archcalc.load(name).spec.variants]


def family(name: str) -> str:
    """What transformers calls the classes of a variant's family."""
    words = {"mistral": "Mistral", "qwen2.5": "Qwen2", "qwen3": "Qwen3"}
    return next((title for word, title in words.items() if name.split(":")[1].startswith(word)), "Llama")


def theirs(name: str, graph: Graph) -> Any:
    """Their class, with the sizes that the graph has."""
    layers: dict[str, Any] = {}
    for node in graph.nodes:
        layers.setdefault(node.kind, node.layer)
    attention, embed, title = layers["attention"], layers["embed"], family(name)
    config = getattr(transformers, f"{title}Config")(
        vocab_size=embed.num_embeddings,
        hidden_size=embed.dim,
        intermediate_size=layers["fc"].out_features,
        num_hidden_layers=sum(node.kind == "attention" for node in graph.nodes),
        num_attention_heads=attention.num_heads,
        num_key_value_heads=attention.kv_heads,
        head_dim=attention.head_dim or embed.dim // attention.num_heads,
        rms_norm_eps=float(layers["rmsnorm"].eps),
        rope_parameters={"rope_type": "default", "rope_theta": float(attention.rope_base)},
        tie_word_embeddings=graph.nodes[-1].tied is not None,
        **({"sliding_window": attention.window} if title == "Mistral" else {}),
        attn_implementation="eager",
    )
    return getattr(transformers, f"{title}ForCausalLM")(config)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_has_its_counterpart(name: str) -> None:
    """As many parameters of each shape, at the size at which the model was published."""
    graph = archcalc.load(name).build()
    with torch.device("meta"):
        mine, other = archcalc.to_torch(graph), theirs(name, graph)
    expected, found = (Counter(tuple(each.shape) for each in model.parameters()) for model in (other, mine))
    assert expected == found
    assert sum(each.numel() for each in other.parameters()) == archcalc.analyze(graph).total("params")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("llama:llama_7b", {"groups": 4}),
        ("llama:llama3_8b", {"groups": 2}),
        ("llama:llama3.2_1b", {"groups": 2}),
        ("llama:mistral_7b", {"groups": 2, "window": 3}),
        ("qwen:qwen2.5_7b", {"groups": 2, "head": 12}),
        ("qwen:qwen3_0.6b", {"groups": 2, "head": 16}),
    ],
)
def test_outputs_are_theirs(name: str, more: dict[str, Any]) -> None:
    """On the same random weights, at a small size; norms and angles of theirs are float32 in any case."""
    graph = archcalc.load(name).build(hparams={**TINY, **more})
    mine, other = archcalc.to_torch(graph).eval(), theirs(name, graph).eval()
    given = dict(other.named_parameters())
    with torch.no_grad():
        for parameter in given.values():
            parameter.normal_(std=0.1)
        own = dict(mine.named_parameters())
        for target, source in counterparts(2):
            if target in own:  # a bias or a norm that this family has
                own.pop(target).copy_(given.pop(source))
        assert ({}, {}) == (own, given)
        tokens = torch.randint(TINY["vocabulary"], (2, TINY["length"]))
        torch.testing.assert_close(mine(tokens), other(tokens).logits)


def counterparts(layers: int) -> Iterator[tuple[str, str]]:
    """Names of parameters here and there."""
    yield "embedding.weight", "model.embed_tokens.weight"
    projections = {"queries": "q_proj", "keys": "k_proj", "values": "v_proj", "mix": "o_proj"}
    for number in range(layers):
        there = f"model.layers.{number}"
        for here in (f"decoder.{number + 1}", f"body.decoder.{number + 1}"):
            for name, other in projections.items():
                for kind in ("weight", "bias"):
                    yield f"{here}.body.attention.{name}.{kind}", f"{there}.self_attn.{other}.{kind}"
            yield f"{here}.body.attention.query_norm.weight", f"{there}.self_attn.q_norm.weight"
            yield f"{here}.body.attention.key_norm.weight", f"{there}.self_attn.k_norm.weight"
            yield f"{here}.body.rmsnorm.weight", f"{there}.input_layernorm.weight"
            yield f"{here}.body_2.rmsnorm.weight", f"{there}.post_attention_layernorm.weight"
            yield f"{here}.body_2.swiglu.gate.fc.weight", f"{there}.mlp.gate_proj.weight"
            yield f"{here}.body_2.swiglu.up.weight", f"{there}.mlp.up_proj.weight"
            yield f"{here}.body_2.swiglu.down.weight", f"{there}.mlp.down_proj.weight"
    for norm in ("norm", "body.rmsnorm"):
        yield f"{norm}.weight", "model.norm.weight"
    yield "logits.fc.weight", "lm_head.weight"
