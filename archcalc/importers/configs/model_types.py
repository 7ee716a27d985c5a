"""What the fields of a config mean, for each `model_type` of transformers: which layers, of which sizes.

Absent fields have the defaults of transformers' config classes, and what is built is what its model classes build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import UsageError
from archcalc.importers.configs.decoders import Decoder, Experts
from archcalc.importers.configs.encoders import Encoder, albert, bert, distilbert, roberta, xlm_roberta
from archcalc.importers.configs.fields import Fields, periodic
from archcalc.importers.configs.vision import VisionEncoder, vit

Options: TypeAlias = dict[str, Any]
ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu approximate=tanh",
    "gelu_pytorch_tanh": "gelu approximate=tanh", "gelu_fast": "gelu approximate=tanh", "relu": "relu",
    "quick_gelu": "quick_gelu", "sigmoid": "sigmoid", "tanh": "tanh",
}  # fmt: skip
FULL, NEAR = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class ModelType:
    """How a config of one type is read; `prefix` begins the names of its classes."""

    prefix: str
    read: Callable[[Fields, str], Decoder | Encoder | VisionEncoder]
    heads: tuple[str, ...] = ("ForCausalLM",)
    """What the names of its classes end with that have a head, the usual one first."""
    body: str = "Model"
    """What that ends with which has none."""

    def class_name(self, head: str) -> str:
        """A class by its head."""
        return self.prefix + (self.body if head == "Model" else head)

    def head(self, config: Mapping[str, Any], name: str) -> str:
        """What the class ends with that `architectures` names: `Model` for none but the body.

        Raises: UsageError: it's a class with another head.
        """
        classes = config.get("architectures") or [self.prefix + self.heads[0]]
        known = {self.class_name(end): end for end in (*self.heads, "Model")}
        if not isinstance(classes, list) or len(classes) != 1 or not isinstance(classes[0], str):
            raise UsageError(f"{name}: architectures is {classes!r:.60}, and has to be a list of one class")
        if classes[0] not in known:
            raise UsageError(f"{name}: the class {classes[0]:.60} isn't understood", f"one of {', '.join(known)}")
        return known[classes[0]]


# --- what most have in common -----------------------------------------------------------------------------------------


def bools(**given: bool) -> dict[str, str]:
    """Arguments of layers."""
    return {name: str(value).lower() for name, value in given.items()}


def sizes(f: Fields, vocabulary: int, d: int, layers: int, heads: int, ffn: int) -> Options:
    """The names that most configs have."""
    return {
        "vocabulary": f.size("vocab_size", vocabulary),
        "d": f.size("hidden_size", d),
        "layers": f.depth("num_hidden_layers", layers),
        "heads": f.size("num_attention_heads", heads),
        "ffn": f.size("intermediate_size", ffn),
    }


def grouped(f: Fields, found: Options, groups: int | None, head: int | None = None, own_head: bool = True) -> Options:
    """Heads of keys and values, and the width of a head, where the config says it."""
    head = f.maybe("head_dim", head) if own_head else None
    if head is None and found["d"] % found["heads"]:
        raise f.wrong("num_attention_heads", f"which doesn't divide the width, {found['d']}")
    groups = f.maybe("num_key_value_heads", groups)
    if groups is not None and found["heads"] % groups:
        raise f.wrong("num_key_value_heads", f"which doesn't divide the {found['heads']} heads")
    same = head is None or head * found["heads"] == found["d"]
    return {"groups": None if groups == found["heads"] else groups, "head": None if same else head}


def rotary(f: Fields, base: float = 10_000.0, part: float = 1.0, layer: str = "") -> dict[str, str]:
    """Rotary positions: their base, and the share of a head that they turn; `rope_scaling` changes angles alone."""
    f.skip("max_position_embeddings original_max_position_embeddings rope_scaling rope_interleave")
    angles = f.mapping("rope_parameters")
    if layer and isinstance(angles.get(layer), Mapping):
        angles = angles[layer]
    given = {name: angles[name] for name in ("rope_theta", "partial_rotary_factor") if name in angles}
    inner = Fields({**f.values, **given}, f.name)
    base = inner.number("rope_theta", base) or base
    part = inner.number("partial_rotary_factor", part) or part
    f.skip("rope_theta partial_rotary_factor")
    found = {"rope": "true"} | ({"rope_base": written(base)} if base != 10_000 else {})
    return found | ({"rotary_dim": f"PART {part!r}"} if part != 1 else {})


def written(number: float) -> str:
    """A number as specs have it."""
    return str(int(number)) if number == int(number) else repr(float(number))


def turned(attention: dict[str, str], found: Options) -> dict[str, str]:
    """Arguments of attention, with the share of a head that is turned as a size."""
    if "rotary_dim" not in attention:
        return attention
    head = found.get("head") or found["d"] // found["heads"]
    return {**attention, "rotary_dim": str(int(head * float(attention["rotary_dim"].removeprefix("PART "))))}


def eps(f: Fields, field: str, default: float) -> dict[str, str]:
    """The argument of norms."""
    return {"eps": repr(f.number(field, default) or default)}


def windowed(f: Fields, layers: int, window: int | None, usual: Iterable[bool]) -> Options:
    """Which layers see a few tokens, and how many those are: as `layer_types` says, or as the type usually does."""
    types = f.listed("layer_types")
    if types is not None and (len(types) != layers or not all(each in (FULL, NEAR) for each in types)):
        raise UsageError(f"{f.name}: layer_types has to be {layers} of {FULL} and {NEAR}")
    flags = [each == NEAR for each in types] if types is not None else list(usual)
    if window is None or not any(flags):
        return {}
    return {"window": window, "near": periodic(flags)}


def act(f: Fields, field: str, default: str) -> str:
    """An MLP's activation."""
    return f.word(field, default, ACTIVATIONS)


# --- norms ahead of attention and gated MLPs --------------------------------------------------------------------------


def llama(f: Fields, _: str) -> Decoder:
    """Llama and what is called so: grouped heads, gated MLPs, RMS norms."""
    found = sizes(f, 32000, 4096, 32, 32, 11008)
    found |= grouped(f, found, None)
    bias = f.flag("attention_bias", False)
    biased = f.flag("mlp_bias", False)
    attention = bools(bias=bias) | rotary(f)
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1e-6),
        attention=turned(attention, found), biased=biased, tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def mistral(f: Fields, _: str) -> Decoder:
    """Llama's layers with windows."""
    found = sizes(f, 32000, 4096, 32, 32, 14336)
    found |= grouped(f, found, 8)
    window = f.maybe("sliding_window", 4096)
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1e-6),
        attention=bools(bias=False) | rotary(f), tied=f.flag("tie_word_embeddings", False), window=window)  # fmt: skip


def phi3(f: Fields, _: str) -> Decoder:
    """The same, whose classes join projections."""
    found = sizes(f, 32064, 3072, 32, 32, 8192)
    found |= grouped(f, found, None)
    window = f.maybe("sliding_window", None)
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1e-5),
        attention=turned(bools(bias=False) | rotary(f), found), tied=f.flag("tie_word_embeddings", False),
        window=window)  # fmt: skip


def qwens_window(f: Fields, layers: int) -> Options:
    """Of Qwen's models those layers see few tokens that come after a number of them, if any do."""
    window, first = f.maybe("sliding_window", None, least=0), f.size("max_window_layers", 28, least=0)
    window = window if f.flag("use_sliding_window", False) else None
    return windowed(f, layers, window or None, (number >= first for number in range(layers)))


def qwen2(f: Fields, _: str) -> Decoder:
    """Biases of queries, keys and values; windows in the later layers."""
    found = sizes(f, 151936, 4096, 32, 32, 22016)
    found |= grouped(f, found, 32)
    found |= qwens_window(f, found["layers"])
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1e-6),
        attention=bools(bias=False, qkv_bias=True) | rotary(f), tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def qwen3(f: Fields, _: str) -> Decoder:
    """Norms of queries and keys in place of their biases."""
    found = sizes(f, 151936, 4096, 32, 32, 22016)
    found |= grouped(f, found, 32, 128)
    found |= qwens_window(f, found["layers"])
    norm = eps(f, "rms_norm_eps", 1e-6)
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f) | {"qk_norm": "rmsnorm", **norm}
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=norm, attention=attention,
        tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def olmo(f: Fields, _: str) -> Decoder:
    """Layer norms without numbers of their own."""
    found = sizes(f, 50304, 4096, 32, 32, 11008)
    found |= grouped(f, found, None)
    f.skip("clip_qkv")
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f)
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm="ln", norm_arguments={"affine": "false"},
        attention=attention, tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def olmo2(f: Fields, _: str) -> Decoder:
    """Norms after attention and MLP, and of all queries and keys together."""
    found = sizes(f, 50304, 4096, 32, 32, 11008)
    found |= grouped(f, found, None)
    norm = eps(f, "rms_norm_eps", 1e-5)
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f)
    attention |= {"qk_norm": "rmsnorm", "qk_norm_whole": "true", **norm}
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=norm, attention=attention, form="after",
        tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def stablelm(f: Fields, _: str) -> Decoder:
    """Layer norms, and heads of which a quarter is turned."""
    found = sizes(f, 50304, 2560, 32, 32, 6912)
    found |= grouped(f, found, 32, own_head=False)
    f.must("qk_layernorm", False)
    attention = bools(bias=False, qkv_bias=f.flag("use_qkv_bias", False)) | turned(rotary(f, part=0.25), found)
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm="ln", norm_arguments=eps(f, "layer_norm_eps", 1e-5),
        attention=attention, form="beside" if f.flag("use_parallel_residual", False) else "before",
        tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def cohere(f: Fields, _: str) -> Decoder:
    """Attention and MLP side by side after one norm without biases; logits multiplied by a number."""
    found = sizes(f, 256000, 8192, 40, 64, 22528)
    found |= grouped(f, found, None)
    f.must("use_qk_norm", False)
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f, 500_000.0) | {"rope_interleaved": "true"}
    scale = f.number("logit_scale", 0.0625) or 1
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm="ln",
        norm_arguments={"bias": "false", **eps(f, "layer_norm_eps", 1e-5)}, attention=attention, form="beside",
        tied=f.flag("tie_word_embeddings", True), behind="" if scale == 1 else f"times {written(scale)}")  # fmt: skip


def granite(f: Fields, _: str) -> Decoder:
    """Llama's layers, with numbers that embeddings, scores, branches and logits are multiplied by."""
    found = sizes(f, 32000, 4096, 32, 32, 11008)
    found |= grouped(f, found, None)
    parts = ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling")
    embedded, branch, scores, logits = (f.number(part, 1.0) or 1 for part in parts)
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f) | {"scale": written(scores)}
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1e-6),
        attention=attention, biased=f.flag("mlp_bias", False), tied=f.flag("tie_word_embeddings", False),
        ahead=() if embedded == 1 else (f"scaled: times {written(embedded)}",),
        share="" if branch == 1 else written(branch),
        behind="" if logits == 1 else f"times 1/{written(logits)}")  # fmt: skip


def olmo3(f: Fields, _: str) -> Decoder:
    """OLMo 2's layers, with windows in three of four."""
    found = sizes(f, 50304, 4096, 32, 32, 11008)
    found |= grouped(f, found, None)
    near = ((number + 1) % 4 != 0 for number in range(found["layers"]))
    found |= windowed(f, found["layers"], f.maybe("sliding_window", 4096), near)
    norm = eps(f, "rms_norm_eps", 1e-5)
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f, 500_000.0, layer=FULL)
    attention |= {"qk_norm": "rmsnorm", "qk_norm_whole": "true", **norm}
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=norm, attention=attention, form="after",
        tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def glm(f: Fields, _: str, form: str = "before") -> Decoder:
    """Heads of which half is turned in pairs of neighbours; biases of queries, keys and values."""
    found = sizes(f, 151552, 4096, 40, 32, 13696)
    found |= grouped(f, found, 2, 128)
    attention = bools(bias=False, qkv_bias=f.flag("attention_bias", True), rope_interleaved=True)
    attention |= turned(rotary(f, part=0.5), found)
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1.5625e-07),
        attention=attention, form=form, tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def glm4(f: Fields, _: str) -> Decoder:
    """The same with norms before and after attention and MLP."""
    return glm(f, _, "around")


# --- Gemma ------------------------------------------------------------------------------------------------------------


def gemmas(f: Fields, found: Options, activation: str, scaled: bool) -> Options:
    """What all have: embeddings multiplied by the root of their width, tied logits."""
    attention = bools(bias=f.flag("attention_bias", False))
    if scaled:
        attention["scale"] = repr(float(f.size("query_pre_attn_scalar", 256)) ** -0.5)
    f.must("use_bidirectional_attention", None, False)
    return {
        **found,
        "act": act(f, activation, "gelu_pytorch_tanh"),
        "norm_arguments": eps(f, "rms_norm_eps", 1e-6),
        "attention": attention,
        "tied": f.flag("tie_word_embeddings", True),
        "ahead": ("scaled: times d 1/2",),
    }


def gemma(f: Fields, _: str) -> Decoder:
    """Gemma."""
    found = sizes(f, 256000, 3072, 28, 16, 24576)
    found |= grouped(f, found, 16, 256)
    activation = "hidden_act"
    if f.values.get("hidden_activation") is not None:  # which older configs have beside it, and which counts
        activation = "hidden_activation"
    f.skip("hidden_act hidden_activation")
    found = gemmas(f, found, activation, scaled=False)
    return Decoder(**found | {"attention": found["attention"] | rotary(f)})


def capped(f: Fields, attention: dict[str, str], scores: float | None, logits: float | None) -> str:
    """Add the bound of scores to attention's arguments; what holds logits below theirs."""
    if (most := f.number("attn_logit_softcapping", scores)) is not None:
        attention["softcap"] = written(most)
    most = f.number("final_logit_softcapping", logits)
    return f"times 1/{written(most)} -> tanh -> times {written(most)}" if most is not None else ""


def gemma2(f: Fields, _: str) -> Decoder:
    """A window in every other layer, scores and logits held below a number, norms before and after."""
    found = sizes(f, 256000, 2304, 26, 8, 9216)
    found |= grouped(f, found, 4, 256)
    found |= windowed(f, found["layers"], f.maybe("sliding_window", 4096), (n % 2 == 0 for n in range(found["layers"])))
    found = gemmas(f, found, "hidden_activation", scaled=True)
    f.skip("hidden_act cache_implementation")
    attention = found["attention"] | rotary(f)
    behind = capped(f, attention, 50.0, 30.0)
    return Decoder(**found | {"attention": attention}, form="around", behind=behind)


def gemma3(f: Fields, _: str) -> Decoder:
    """Gemma 3's texts: windows in five of six layers, rotary positions with a base of their own in the sixth."""
    found = sizes(f, 262208, 2304, 26, 8, 9216)
    found |= grouped(f, found, 4, 256)
    every = f.size("sliding_window_pattern", 6)
    near = ((n + 1) % every != 0 for n in range(found["layers"]))
    found |= windowed(f, found["layers"], f.maybe("sliding_window", 4096), near)
    found = gemmas(f, found, "hidden_activation", scaled=True)
    f.skip("_sliding_window_pattern cache_implementation")  # transformers writes the former, and reads the other
    far, near_base = rotary(f, 1_000_000.0, layer=FULL), base_of_windows(f)
    attention = found["attention"] | {"rope": "true", "qk_norm": "rmsnorm", **found["norm_arguments"]}
    behind = capped(f, attention, None, None)
    if "window" not in found:
        return Decoder(**found | {"attention": attention | far}, form="around", behind=behind)
    attention |= {"rope_base": near_base}
    base = f" rope_base={far.get('rope_base', '10000')}"
    return Decoder(**found | {"attention": attention}, form="around", behind=behind, far=base)


def base_of_windows(f: Fields) -> str:
    """The base of rotary positions in layers with windows."""
    angles = f.mapping("rope_parameters").get(NEAR)
    given = {"rope_theta": angles["rope_theta"]} if isinstance(angles, Mapping) and "rope_theta" in angles else {}
    local = f.number("rope_local_base_freq", 10_000.0) or 10_000.0
    return written(Fields(given, f.name).number("rope_theta", local) or local)


# --- mixtures of experts ----------------------------------------------------------------------------------------------


def mixtral(f: Fields, _: str) -> Decoder:
    """A mixture in place of each MLP."""
    found = sizes(f, 32000, 4096, 32, 32, 14336)
    found |= grouped(f, found, 8)
    count = f.size("num_experts" if "num_experts" in f.values else "num_local_experts", 8)
    experts = Experts(found["ffn"], count, f.size("num_experts_per_tok", 2), bools(renormalise=True))
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1e-5),
        attention=bools(bias=False) | rotary(f, 1_000_000.0), tied=f.flag("tie_word_embeddings", False),
        window=f.maybe("sliding_window", None), experts=experts)  # fmt: skip


def sparse(f: Fields, layers: int) -> list[bool]:
    """Which of Qwen's layers have a mixture: each of so many, but for some."""
    step, dense = f.size("decoder_sparse_step", 1), f.listed("mlp_only_layers") or []
    return [number not in dense and (number + 1) % step == 0 for number in range(layers)]


def qwens_experts(f: Fields, layers: int, experts: Experts) -> Options:
    """A mixture in some layers; in the others an MLP."""
    mixed = sparse(f, layers)
    if not any(mixed):
        return {}
    return {"experts": experts, "dense": periodic([not each for each in mixed])}


def qwen2_moe(f: Fields, _: str) -> Decoder:
    """Mixtures with what all tokens go through, weighed by a gate."""
    found = sizes(f, 151936, 2048, 24, 16, 5632)
    found |= grouped(f, found, 16)
    found |= qwens_window(f, found["layers"])
    experts = Experts(f.size("moe_intermediate_size", 1408), f.size("num_experts", 60), f.size("num_experts_per_tok",
    4),
        bools(renormalise=f.flag("norm_topk_prob", False)), f.size("shared_expert_intermediate_size",
        5632), True)  # fmt: skip
    attention = bools(bias=False, qkv_bias=f.flag("qkv_bias", True)) | rotary(f)
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=eps(f, "rms_norm_eps", 1e-6),
        attention=attention, tied=f.flag("tie_word_embeddings", False), **qwens_experts(f,
        found["layers"], experts))  # fmt: skip


def qwen3_moe(f: Fields, _: str) -> Decoder:
    """Mixtures alone; MLPs in the layers that the config names."""
    found = sizes(f, 151936, 2048, 24, 32, 6144)
    found |= grouped(f, found, 4)
    f.skip("max_window_layers")
    window = f.maybe("sliding_window", None, least=0)
    if f.flag("use_sliding_window", False) and window:
        found["window"] = window
    norm = eps(f, "rms_norm_eps", 1e-6)
    count = f.size("num_experts" if "num_experts" in f.values else "num_local_experts", 128)
    experts = Experts(f.size("moe_intermediate_size", 768), count, f.size("num_experts_per_tok", 8),
        bools(renormalise=f.flag("norm_topk_prob", False)))  # fmt: skip
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f) | {"qk_norm": "rmsnorm", **norm}
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=norm, attention=attention,
        tied=f.flag("tie_word_embeddings", False), **qwens_experts(f, found["layers"], experts))  # fmt: skip


def olmoe(f: Fields, _: str) -> Decoder:
    """Mixtures, and norms of all queries and keys together."""
    found = sizes(f, 50304, 2048, 16, 16, 2048)
    found |= grouped(f, found, None, own_head=False)
    f.skip("clip_qkv")
    norm = eps(f, "rms_norm_eps", 1e-5)
    experts = Experts(found["ffn"], f.size("num_experts", 64), f.size("num_experts_per_tok", 8),
        bools(renormalise=f.flag("norm_topk_prob", False)))  # fmt: skip
    attention = bools(bias=f.flag("attention_bias", False)) | rotary(f)
    attention |= {"qk_norm": "rmsnorm", "qk_norm_whole": "true", **norm}
    return Decoder(**found, act=act(f, "hidden_act", "silu"), norm_arguments=norm, attention=attention,
        tied=f.flag("tie_word_embeddings", False), experts=experts)  # fmt: skip


CLAMPED = (  # gate·sigmoid(1.702·gate) times up + 1
    "gate: fc n -> clamp -1e9 7 -> quick_gelu",
    "up: from in -> fc n -> clamp -7 7",
    "{from: gate, residual: {mul: [identity, from up]}}",
    "down: fc d",
)


def gpt_oss(f: Fields, _: str) -> Decoder:
    """Mixtures of clamped MLPs with biases; sinks, and a window in every other layer."""
    found = sizes(f, 201088, 2880, 36, 64, 2880)
    found |= grouped(f, found, 8, 64)
    for field, value in (("hidden_act", "silu"), ("swiglu_alpha", 1.702), ("swiglu_limit", 7.0)):
        f.must(field, value)
    f.skip("initial_context_length experts_per_token")
    usual = (number % 2 == 0 for number in range(found["layers"]))
    found |= windowed(f, found["layers"], f.maybe("sliding_window", 128), usual)
    arguments = {"router": "fc experts", **bools(renormalise=True)}
    count = f.size("num_experts" if "num_experts" in f.values else "num_local_experts", 128)
    experts = Experts(found["ffn"], count, f.size("num_experts_per_tok", 4), arguments)
    attention = bools(bias=f.flag("attention_bias", True), sinks=True) | rotary(f, 150_000.0)
    return Decoder(**found, act="quick_gelu", norm_arguments=eps(f, "rms_norm_eps", 1e-5), attention=attention,
        biased=True, tied=f.flag("tie_word_embeddings", False), experts=experts, expert=CLAMPED)  # fmt: skip


def latent(f: Fields) -> Options:
    """DeepSeek's attention."""
    f.must("attention_bias", False)
    f.skip("num_key_value_heads head_dim qk_head_dim ep_size num_nextn_predict_layers moe_layer_freq scoring_func")
    f.skip("aux_loss_alpha seq_aux")
    f.must("moe_layer_freq", 1)
    f.defaults.pop("moe_layer_freq")
    head, value = f.size("qk_nope_head_dim", 128), f.size("v_head_dim", 128)
    arguments = {
        "kv_rank": str(f.size("kv_lora_rank", 512)),
        "head_dim": str(head),
        "rope_dim": str(f.size("qk_rope_head_dim", 64)),
        **eps(f, "rms_norm_eps", 1e-6),
    }
    arguments |= {"value_dim": str(value)} if value != head else {}
    rank = f.maybe("q_lora_rank", 1536)
    rotary(f)
    return {
        "attend": "mla heads" if rank is None else f"mla heads q_rank={rank}",
        "attention": arguments,
        "norm_arguments": eps(f, "rms_norm_eps", 1e-6),
        "act": act(f, "hidden_act", "silu"),
        "tied": f.flag("tie_word_embeddings", False),
    }


def deepseek(
    f: Fields, found: Options, expert: int, count: int, shared: int, dense: int, arguments: dict[str, str], top: Any
) -> Decoder:
    """Mixtures after a number of MLPs."""
    found |= latent(f)
    dense = f.size("first_k_dense_replace", dense, least=0)
    flags = [number < dense for number in range(found["layers"])]
    width, count = f.size("moe_intermediate_size", expert), f.size("n_routed_experts", count)
    shared = f.size("n_shared_experts", shared) * width
    if all(flags):
        return Decoder(**found)
    if top is None:
        raise f.wrong("num_experts_per_tok", "and has to be an integer")
    return Decoder(**found, experts=Experts(width, count, top, arguments, shared), dense=periodic(flags))


def shares(f: Fields, factor: float) -> dict[str, str]:
    """By what shares are multiplied."""
    factor = f.number("routed_scaling_factor", factor) or 1
    return {"factor": written(factor)} if factor != 1 else {}


def deepseek_v2(f: Fields, _: str) -> Decoder:
    """Scores as a softmax; experts perhaps of a few groups."""
    found = sizes(f, 102400, 4096, 32, 32, 11008)
    f.must("mlp_bias", False)
    limited = f.word("topk_method", "greedy", {"greedy": "", "group_limited_greedy": "groups"})
    groups, best = f.maybe("n_group", None), f.maybe("topk_group", None)
    f.must("norm_topk_prob", False)
    arguments = {"groups": str(groups), "top_groups": str(best)} if limited and groups and best and groups > 1 else {}
    top = f.maybe("num_experts_per_tok", None)
    return deepseek(f, found, 1407, 64, 2, 0, arguments | shares(f, 1.0), top)


def deepseek_v3(f: Fields, _: str) -> Decoder:
    """Scores as sigmoids, balanced by a number for each expert, of a few groups."""
    found = sizes(f, 129280, 7168, 61, 128, 18432)
    f.must("topk_method", "noaux_tc")
    f.defaults.pop("topk_method")
    groups, best = f.size("n_group", 8), f.size("topk_group", 4)
    arguments = {"score": "sigmoid", "correction": "true"}
    arguments |= bools(renormalise=f.flag("norm_topk_prob", True)) | shares(f, 2.5)
    if groups > 1:
        arguments |= {"groups": str(groups), "top_groups": str(best), "group_best": "2"}
    return deepseek(f, found, 2048, 256, 1, 3, arguments, f.size("num_experts_per_tok", 8))


# --- MLPs without gates -----------------------------------------------------------------------------------------------


def gpt_sizes(f: Fields, vocabulary: int, d: int, layers: int, heads: int, positions: str) -> Options:
    """The names that GPT-2's and GPT-J's configs have; the latter's positions are no table."""
    width = f.size("n_embd", d)
    f.skip("n_ctx rotary scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn")
    f.size(positions, 1024)
    f.defaults.pop(positions)
    return {
        "vocabulary": f.size("vocab_size", vocabulary),
        "d": width,
        "layers": f.depth("n_layer", layers),
        "heads": f.size("n_head", heads),
        "ffn": f.maybe("n_inner", None) or 4 * width,
        "act": act(f, "activation_function", "gelu_new"),
        "norm": "ln",
        "norm_arguments": eps(f, "layer_norm_epsilon", 1e-5),
        "gate": False,
        "biased": True,
    }


def gpt2(f: Fields, _: str) -> Decoder:
    """A table of positions, norms ahead."""
    found = gpt_sizes(f, 50257, 768, 12, 12, "n_positions")
    positions = f.size("n_positions", 1024)
    return Decoder(**found, positions=positions, ahead=("positions: pos_embed positions",),
        tied=f.flag("tie_word_embeddings", True))  # fmt: skip


def gptj(f: Fields, _: str) -> Decoder:
    """Attention and MLP side by side after one norm; rotary positions in pairs of neighbours."""
    found = gpt_sizes(f, 50400, 4096, 28, 16, "n_positions")
    part = f.maybe("rotary_dim", 64)
    attention = bools(bias=False, rope=True, rope_interleaved=True) | ({"rotary_dim": str(part)} if part else {})
    return Decoder(**found, attention=attention, form="beside", logits_bias=True,
        tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def gpt_neo(f: Fields, _: str) -> Decoder:
    """GPT-2's layers, of which every other one has a window."""
    d, layers = f.size("hidden_size", 2048), f.depth("num_layers", 24)
    attentions = f.listed("attention_layers")
    types = f.listed("attention_types")
    if attentions is None:
        attentions = kinds_of(f, [[["global", "local"], 12]] if types is None else types)
    if len(attentions) != layers or not all(each in ("global", "local") for each in attentions):
        raise UsageError(f"{f.name}: attention_types has to say global or local for each of {layers} layers")
    near = [each == "local" for each in attentions]
    window = f.size("window_size", 256)
    positions = f.size("max_position_embeddings", 2048)
    return Decoder(vocabulary=f.size("vocab_size", 50257), d=d, layers=layers, heads=f.size("num_heads", 16),
        ffn=f.maybe("intermediate_size", None) or 4 * d, act=act(f, "activation_function", "gelu_new"), norm="ln",
        norm_arguments=eps(f, "layer_norm_epsilon", 1e-5), gate=False, biased=True, positions=positions,
        attention=bools(qkv_bias=False) | {"scale": "1"}, ahead=("positions: pos_embed positions",),
        tied=f.flag("tie_word_embeddings", True), window=window if any(near) else None,
        near=periodic(near))  # fmt: skip


def kinds_of(f: Fields, types: list[Any]) -> list[Any]:
    """GPT-Neo's sorts of layers: each list so many times."""
    found: list[Any] = []
    for each in types:
        pair = each if isinstance(each, list) and len(each) == 2 else [None, None]
        if not isinstance(pair[0], list) or type(pair[1]) is not int or not 0 <= pair[1] * len(pair[0]) <= 1000:
            raise UsageError(f"{f.name}: attention_types is a list of lists such as [['global', 'local'], 12]")
        found += pair[0] * pair[1]
    return found


def gpt_neox(f: Fields, _: str) -> Decoder:
    """Attention and MLP side by side, each with its norm."""
    found = sizes(f, 50432, 6144, 44, 64, 24576)
    f.skip("rotary_emb_base rotary_pct")
    part = f.number("rotary_pct", 0.25) or 0.25
    base = f.number("rotary_emb_base", 10_000.0) or 10_000.0
    for field in ("rotary_pct", "rotary_emb_base"):
        f.defaults.pop(field)
    attention = turned(bools(bias=f.flag("attention_bias", True)) | rotary(f, base, part), found)
    return Decoder(**found, act=act(f, "hidden_act", "gelu"), norm="ln", norm_arguments=eps(f, "layer_norm_eps", 1e-5),
        attention=attention, gate=False, biased=True, tied=f.flag("tie_word_embeddings", False),
        form="beside each" if f.flag("use_parallel_residual", True) else "before")  # fmt: skip


def phi(f: Fields, _: str) -> Decoder:
    """Attention and MLP side by side after one norm, biases everywhere."""
    found = sizes(f, 51200, 2048, 24, 32, 8192)
    found |= grouped(f, found, None)
    f.must("qk_layernorm", False)
    return Decoder(**found, act=act(f, "hidden_act", "gelu_new"), norm="ln", gate=False, biased=True, form="beside",
        norm_arguments=eps(f, "layer_norm_eps", 1e-5), attention=turned(rotary(f, part=0.5), found), logits_bias=True,
        tied=f.flag("tie_word_embeddings", False))  # fmt: skip


def starcoder2(f: Fields, _: str) -> Decoder:
    """Grouped heads and a plain MLP."""
    found = sizes(f, 49152, 3072, 30, 24, 12288)
    found |= grouped(f, found, 2)
    biased = f.flag("use_bias", True)
    f.must("mlp_type", "default")
    f.must("norm_type", "layer_norm")
    for field in ("mlp_type", "norm_type"):
        f.defaults.pop(field)
    return Decoder(**found, act=act(f, "hidden_act", "gelu_pytorch_tanh"), norm="ln", gate=False, biased=biased,
        norm_arguments=eps(f, "norm_epsilon", 1e-5), attention=bools(bias=biased) | rotary(f),
        window=f.maybe("sliding_window", None), tied=f.flag("tie_word_embeddings", True))  # fmt: skip


def opt(f: Fields, _: str) -> Decoder:
    """A table of positions with two rows more, and perhaps a narrow embedding."""
    d, positions = f.size("hidden_size", 768), f.size("max_position_embeddings", 2048)
    narrow = f.size("word_embed_proj_dim", d)
    f.defaults.pop("word_embed_proj_dim")
    first, biased = f.flag("do_layer_norm_before", True), f.flag("enable_bias", True)
    affine = f.flag("layer_norm_elementwise_affine", True)
    final = not f.flag("_remove_final_layer_norm", False) and first
    f.skip("init_std activation_dropout")
    widen = ("widen: fc d bias=false",) if narrow != d else ()
    return Decoder(vocabulary=f.size("vocab_size", 50272), d=d, layers=f.depth("num_hidden_layers", 12),
        heads=f.size("num_attention_heads", 12), ffn=f.size("ffn_dim", 3072), gate=False, biased=biased, norm="ln",
        act=act(f, "activation_function", "relu"), norm_arguments={} if affine else bools(affine=False),
        attention=bools(bias=biased), positions=positions + 2, narrow=narrow if narrow != d else None, final=final,
        ahead=(*widen, "positions: pos_embed positions"), form="before" if first else "afterwards",
        tied=f.flag("tie_word_embeddings", True))  # fmt: skip


def bloom(f: Fields, _: str) -> Decoder:
    """Slopes in place of positions, and a norm after the embedding."""
    d = f.size("n_embed" if f.values.get("n_embed") is not None else "hidden_size", 64)
    f.skip("hidden_size n_embed slow_but_exact skip_bias_add skip_bias_add_qkv attention_softmax_in_fp32")
    f.skip("masked_softmax_fusion bias_dropout_fusion offset_alibi seq_length n_inner num_attention_heads")
    f.must("apply_residual_connection_post_layernorm", False)
    layers = f.depth("num_hidden_layers" if "num_hidden_layers" in f.values else "n_layer", 2)
    heads = f.size("num_attention_heads" if "n_head" not in f.values else "n_head", 8)
    return Decoder(vocabulary=f.size("vocab_size", 250880), d=d, layers=layers, heads=heads, ffn=4 * d, gate=False,
        act="gelu approximate=tanh", norm="ln", norm_arguments=eps(f, "layer_norm_epsilon", 1e-5), biased=True,
        attention=bools(alibi=True), ahead=("embedding_norm: ln",), tied=f.flag("tie_word_embeddings",
        True))  # fmt: skip


def falcon(f: Fields, _: str) -> Decoder:
    """Heads that share keys and values, attention and MLP side by side or not."""
    d, heads = f.size("hidden_size", 4544), f.size("num_attention_heads", 71)
    new, many = f.flag("new_decoder_architecture", False), not f.flag("multi_query", True)
    beside, norms = f.flag("parallel_attn", True), f.maybe("num_ln_in_parallel_attn", None)
    given = f.maybe("num_kv_heads", None) or heads
    groups = given if new else heads if many else 1
    if new and not beside:
        raise f.wrong("parallel_attn", "and has to be true with new_decoder_architecture")
    if beside and not new and norms == 2:
        raise f.wrong("num_ln_in_parallel_attn", "which transformers' class can't run without new_decoder_architecture")
    biased, alibi = f.flag("bias", False), f.flag("alibi", False)
    f.must("apply_residual_connection_post_layernorm", False)
    f.defaults.pop("apply_residual_connection_post_layernorm")
    each = new and norms in (None, 2)
    angles = rotary(f)
    positions = bools(alibi=True) if alibi else angles
    return Decoder(vocabulary=f.size("vocab_size", 65024), d=d, layers=f.depth("num_hidden_layers", 32),
        heads=heads, groups=None if groups == heads else groups, ffn=f.maybe("ffn_hidden_size", None) or 4 * d,
        act=act(f, "activation", "gelu"), norm="ln", norm_arguments=eps(f, "layer_norm_epsilon", 1e-5), gate=False,
        biased=biased, attention=bools(bias=biased) | positions, tied=f.flag("tie_word_embeddings", True),
        form="before" if not beside else "beside both" if each else "beside")  # fmt: skip


TYPES: Mapping[str, ModelType] = {
    "albert": ModelType("Albert", albert, ("ForMaskedLM",)),
    "bert": ModelType("Bert", bert, ("ForMaskedLM",)),
    "bloom": ModelType("Bloom", bloom),
    "camembert": ModelType("Camembert", xlm_roberta, ("ForMaskedLM",)),
    "cohere": ModelType("Cohere", cohere),
    "deepseek_v2": ModelType("DeepseekV2", deepseek_v2),
    "deepseek_v3": ModelType("DeepseekV3", deepseek_v3),
    "distilbert": ModelType("DistilBert", distilbert, ("ForMaskedLM",)),
    "falcon": ModelType("Falcon", falcon),
    "gemma": ModelType("Gemma", gemma),
    "gemma2": ModelType("Gemma2", gemma2),
    "gemma3_text": ModelType("Gemma3", gemma3, body="TextModel"),
    "glm": ModelType("Glm", glm),
    "glm4": ModelType("Glm4", glm4),
    "gpt2": ModelType("GPT2", gpt2, ("LMHeadModel",)),
    "gpt_neo": ModelType("GPTNeo", gpt_neo),
    "gpt_neox": ModelType("GPTNeoX", gpt_neox),
    "gpt_oss": ModelType("GptOss", gpt_oss),
    "gptj": ModelType("GPTJ", gptj),
    "granite": ModelType("Granite", granite),
    "llama": ModelType("Llama", llama),
    "mistral": ModelType("Mistral", mistral),
    "mixtral": ModelType("Mixtral", mixtral),
    "olmo": ModelType("Olmo", olmo),
    "olmo2": ModelType("Olmo2", olmo2),
    "olmo3": ModelType("Olmo3", olmo3),
    "olmoe": ModelType("Olmoe", olmoe),
    "opt": ModelType("OPT", opt),
    "phi": ModelType("Phi", phi),
    "phi3": ModelType("Phi3", phi3),
    "qwen2": ModelType("Qwen2", qwen2),
    "qwen2_moe": ModelType("Qwen2Moe", qwen2_moe),
    "qwen3": ModelType("Qwen3", qwen3),
    "qwen3_moe": ModelType("Qwen3Moe", qwen3_moe),
    "roberta": ModelType("Roberta", roberta, ("ForMaskedLM",)),
    "stablelm": ModelType("StableLm", stablelm),
    "starcoder2": ModelType("Starcoder2", starcoder2),
    "vit": ModelType("ViT", vit, ("ForImageClassification",)),
    "xlm-roberta": ModelType("XLMRoberta", xlm_roberta, ("ForMaskedLM",)),
}
"""By what `model_type` says."""
