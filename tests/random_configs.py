"""Random small configs of transformers' model types, and how many parameters their classes have.

`python -m tests.random_configs 20 llama falcon` compares as many of each type, or of all types.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from typing import Any

import archcalc
from archcalc.importers.configs.fields import Fields
from archcalc.importers.configs.model_types import TYPES

NULLABLE = ("n_inner", "intermediate_size", "ffn_hidden_size", "q_lora_rank", "head_dim", "num_ln_in_parallel_attn")
"""Sizes that may be null."""


def fields_of(kind: str) -> dict[str, Any]:
    """The fields that are read of a type's config, with the values that absent ones have."""
    fields = Fields({"num_experts_per_tok": 2} if kind == "deepseek_v2" else {}, kind)
    TYPES[kind].read(fields, TYPES[kind].heads[0])
    return dict(fields.defaults)


def random_config(kind: str, seed: int) -> dict[str, Any]:
    """A config of a type with other sizes, and other values for each flag that it may have."""
    draw = random.Random(f"{kind} {seed}")
    heads = draw.choice([2, 4, 6])
    head, layers = draw.choice([8, 16, 24]), draw.choice([1, 2, 3, 5, 8])
    chosen: dict[str, Any] = {
        "heads": heads, "width": heads * head * draw.choice([1, 1, 2]), "layers": layers,
        "groups": draw.choice([each for each in range(1, heads + 1) if heads % each == 0]), "head": head,
    }  # fmt: skip
    config: dict[str, Any] = {"model_type": kind, "pad_token_id": 0}
    for field, default in fields_of(kind).items():
        if draw.random() < 0.8 or field in ALWAYS:
            value = drawn(field, default, draw, chosen)
            if value is not KEPT:
                config[field] = value
    if kind == "gpt_neo":
        config["attention_types"] = [[["global", "local"], layers // 2], [["local"], layers % 2]]
    return repaired(kind, config, draw)


KEPT = object()
"""Stands for the value that an absent field has."""
ALWAYS = (
    "hidden_size", "n_embd", "dim", "num_attention_heads", "n_head", "n_heads", "num_heads", "num_hidden_layers",
    "n_layer", "n_layers", "num_layers", "vocab_size", "num_key_value_heads", "intermediate_size", "num_kv_heads",
    "num_local_experts", "num_experts", "n_routed_experts", "num_experts_per_tok", "kv_lora_rank", "q_lora_rank",
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "n_group", "topk_group", "moe_intermediate_size",
    "rotary_dim", "attention_types",
)  # fmt: skip
"""Fields without which a model would be large."""


def drawn(field: str, default: Any, draw: random.Random, chosen: dict[str, Any]) -> Any:
    """A value for a field."""
    if field in ("hidden_size", "n_embd", "dim"):
        return chosen["width"]
    if field in ("num_attention_heads", "n_head", "n_heads", "num_heads"):
        return chosen["heads"]
    if field in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"):
        return chosen["layers"]
    if field in ("num_key_value_heads", "num_kv_heads"):
        return chosen["groups"]
    if field in ("head_dim", "v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "rotary_dim"):
        return 4 if field == "rotary_dim" else draw.choice([4, 8, 16])
    if field == "num_ln_in_parallel_attn":
        return draw.choice([None, 1, 2])
    if field == "word_embed_proj_dim":
        return draw.choice([chosen["width"], 12])
    if field in ("n_group", "topk_group"):
        return 2 if field == "n_group" else 1
    if field in ("num_local_experts", "num_experts", "n_routed_experts"):
        return draw.choice([4, 8])
    if field in ("num_experts_per_tok", "first_k_dense_replace", "decoder_sparse_step", "n_shared_experts"):
        return draw.choice([1, 2])
    if field == "mlp_only_layers":
        return draw.choice([[], [0]])
    if field == "layer_types":
        return KEPT
    if isinstance(default, bool):
        return draw.choice([True, False])
    if field in NULLABLE and draw.random() < 0.2 and default is None:
        return None
    if isinstance(default, int) or field in NULLABLE:
        return draw.randint(9, 60)
    return KEPT


FIXED = (
    "qk_layernorm", "use_qk_norm", "apply_residual_connection_post_layernorm", "use_bidirectional_attention",
    "is_decoder", "num_hidden_groups", "inner_group_num",
)  # fmt: skip
"""Fields of which one value is understood."""


def repaired(kind: str, config: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The config with what belongs together."""
    for field in FIXED:
        config.pop(field, None)
    if "bert" in kind:
        config.pop("tie_word_embeddings", None)
    if kind.startswith("deepseek"):
        for field in ("attention_bias", "mlp_bias", "norm_topk_prob" if kind == "deepseek_v2" else "attention_bias"):
            config.pop(field, None)
    if kind == "falcon" and config.get("new_decoder_architecture"):
        config["parallel_attn"] = True
    elif kind == "falcon":
        config.pop("num_ln_in_parallel_attn", None)
    if kind == "vit":
        config["image_size"] = config.get("patch_size", 16) * draw.choice([1, 3]) + draw.choice([0, 1])
        if draw.random() < 0.5:
            config["id2label"] = {str(number): "x" for number in range(draw.choice([3, 10]))}
    if kind == "opt" and "word_embed_proj_dim" not in config:
        config["word_embed_proj_dim"] = config["hidden_size"]
    config["architectures"] = [TYPES[kind].class_name(draw.choice([*TYPES[kind].heads, TYPES[kind].heads[0], "Model"]))]
    return config


def written_by_transformers(config: dict[str, Any]) -> dict[str, Any]:
    """The config as transformers writes it: with all fields, also those that have their defaults."""
    import transformers

    made: dict[str, Any] = json.loads(transformers.AutoConfig.for_model(**config).to_json_string(use_diff=False))
    return made | {"architectures": config["architectures"]}


def params_of(config: dict[str, Any]) -> int:
    """The parameters of transformers' class, built without memory."""
    import torch
    import transformers

    made = transformers.AutoConfig.for_model(**config)
    made._attn_implementation = "eager"
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(transformers, config["architectures"][0])(made)
    return sum(parameter.numel() for parameter in model.parameters())


def main(count: int, kinds: list[str]) -> int:
    """Compare so many configs of each type; how many differ."""
    different = 0
    for kind in kinds or TYPES:
        for seed in range(count):
            config = random_config(kind, seed)
            for each in (config, written_by_transformers(config)):
                ours = archcalc.analyze(archcalc.from_config(each).build()).totals["params"]
                if ours != params_of(config):
                    different += 1
                    print(f"{kind} {seed}: {ours:,}, not {params_of(config):,}: {each}")
        print(f"{kind}: {count} configs")
    return different


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]), sys.argv[2:])))
