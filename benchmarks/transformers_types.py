"""Model types of transformers, each with a small config of two layers, for `imports.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

DECODERS = (
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "phi",
    "phi3", "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "falcon", "deepseek_v2", "deepseek_v3", "gpt_oss",
    "olmo", "olmo2", "olmoe", "cohere", "cohere2", "starcoder2", "stablelm", "granite", "glm", "mpt", "codegen",
    "biogpt", "xglm", "nemotron", "persimmon", "mamba", "mamba2", "rwkv",
)  # fmt: skip
ENCODERS = (
    "bert", "roberta", "distilbert", "albert", "electra", "deberta", "deberta-v2", "mobilebert", "camembert",
    "xlm-roberta", "mpnet", "esm",
)  # fmt: skip
BOTH = ("t5", "bart", "mbart", "pegasus", "marian", "whisper")
SOUND = ("wav2vec2", "hubert")
PICTURES = ("vit", "deit", "beit", "swin", "convnext", "segformer", "dinov2")
OTHERS = ("clip_text_model", "clip_vision_model", "siglip")
VOCABULARY = 120
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "num_key_value_heads": 2, "head_dim": 16, "d_kv": 16, "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32, "embedding_size": 64,
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers"), 2),
    "num_decoder_layers": 2,
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "hidden_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"), 96),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 8),
}  # fmt: skip
"""Fields that many types have."""
LATENT = {
    "kv_lora_rank": 16, "q_lora_rank": 24, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
    "num_key_value_heads": 4, "head_dim": 8, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1,
    "num_experts_per_tok": 2,
}  # fmt: skip
TOWER = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
WAVES = {
    "conv_dim": [32] * 7, "num_feat_extract_layers": 7, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
STAGES = ("num_hidden_layers", "hidden_size", "num_layers", "num_attention_heads")
OWN: dict[str, dict[str, Any]] = {
    "deepseek_v2": LATENT, "deepseek_v3": LATENT, "wav2vec2": WAVES, "hubert": WAVES,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 8},
    "codegen": {"rotary_dim": 8},
    "mobilebert": {"intra_bottleneck_size": 32, "true_hidden_size": 32},
    "swin": {"depths": [2, 2], "num_heads": [2, 4], "embed_dim": 32, **dict.fromkeys(STAGES)},
    "convnext": {"depths": [2] * 4, "hidden_sizes": [16, 32, 64, 64], **dict.fromkeys(STAGES)},
    "segformer": {"depths": [1] * 4, "hidden_sizes": [16, 32, 64, 128], "num_attention_heads": [1, 2, 4, 8]},
    "mamba": {"intermediate_size": 128, "time_step_rank": 4, "state_size": 8},
    "mamba2": {"num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 2, "expand": 2},
    "rwkv": {"attention_hidden_size": 64},
    "falcon": {"num_kv_heads": 1, "head_dim": None},
    "esm": {"pad_token_id": 1, "mask_token_id": 32, "hidden_act": "gelu"},
    "siglip": {"text_config": TOWER | {"vocab_size": VOCABULARY, "projection_size": 64}, "vision_config": TOWER},
    "clip_text_model": {"projection_dim": 64},
    "clip_vision_model": {"projection_dim": 64},
    "whisper": {"num_mel_bins": 20, "max_source_positions": 50},
    "marian": {"decoder_vocab_size": VOCABULARY},
}  # fmt: skip
"""Fields of a type's own; None for those that keep their defaults."""
TOKENS = "T=16"


def class_name(library: ModuleType, kind: str) -> str:
    """The class that a type is imported as: with its scores, where there are such."""
    auto: Any = library.models.auto.modeling_auto
    for kinds, mapping in (
        (BOTH, auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES | {"whisper": "WhisperForConditionalGeneration"}),
        (ENCODERS, auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES),
        (SOUND, auto.MODEL_FOR_CTC_MAPPING_NAMES),
        (PICTURES, auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
        (DECODERS, auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
    ):
        if kind in kinds:
            found = mapping[kind]
            return str(found if isinstance(found, str) else found[0])
    return str(auto.MODEL_MAPPING_NAMES[kind])


def config(library: ModuleType, kind: str) -> Any:
    """A type's config, with small sizes."""
    usual = library.AutoConfig.for_model(kind)
    given = {name: value for name, value in SMALL.items() if getattr(usual, name, None) is not None}
    given |= {name: SMALL[name] for name in ("head_dim", "num_key_value_heads") if name in type(usual).__annotations__}
    given = {name: value for name, value in (given | OWN.get(kind, {})).items() if value is not None}
    tokens = ("pad_token_id", "bos_token_id", "eos_token_id")
    known = {name: getattr(usual, name, None) for name in tokens}
    given |= {name: 0 for name, token in known.items() if isinstance(token, int) and token >= VOCABULARY}
    found = library.AutoConfig.for_model(kind, **given)
    found.architectures = [class_name(library, kind)]
    return found


def networks(library: ModuleType) -> list[tuple[str, tuple[str, ...]]]:
    """Names of all types' classes, for which configs are written, and what enters them."""
    found = []
    for kind in (*DECODERS, *ENCODERS, *BOTH, *SOUND, *PICTURES, *OTHERS):
        folder = Path(tempfile.gettempdir()) / "archcalc_types" / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(config(library, kind).to_json_string())
        inputs: tuple[str, ...] = () if kind in PICTURES or kind == "clip_vision_model" else (TOKENS,)
        if kind == "whisper":
            inputs = (f"decoder_input_ids={TOKENS}",)
        found.append((f"transformers:{folder}", ("4000",) if kind in SOUND else inputs))
    return found
