"""Language models of Hugging Face's transformers with the sizes of ours, built without downloads.

A row of `FAMILIES` says what a family is called there, and what its configuration takes.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archcalc.graph import Graph
from archcalc.pytorch.network import Network


class Sizes(NamedTuple):
    """What configurations ask for, read off a graph."""

    vocabulary: int
    d: int
    layers: int
    heads: int
    groups: int
    head: int
    ffn: int
    positions: int
    narrow: int
    eps: float
    base: float
    turned: float
    tied: bool
    attention: Any
    windows: tuple[int | None, ...]
    gelu: str

    @classmethod
    def of(cls, graph: Graph) -> Sizes:
        """The sizes that a graph has."""
        layers: dict[str, Any] = {}
        for node in graph.nodes:
            within = "decoder" in node.name or "encoder" in node.name
            layers.setdefault(node.kind if node.kind != "fc" or within else "other", node.layer)
        attentions = [node for node in graph.nodes if node.kind == "attention"]
        first: Any = attentions[0].layer
        d, norm = attentions[0].shape.C, layers.get("rmsnorm") or layers["ln"]
        head = first.head_dim or d // first.num_heads
        return cls(
            vocabulary=layers["embed"].num_embeddings,
            d=d,
            layers=len(attentions),
            heads=first.num_heads,
            groups=first.kv_heads or first.num_heads,
            head=head,
            ffn=layers["fc"].out_features,
            positions=layers["pos_embed"].num_positions if "pos_embed" in layers else 0,
            narrow=layers["embed"].dim,
            eps=float(norm.eps),
            base=max(float(node.layer.rope_base) for node in attentions),
            turned=(first.rotary_dim or head) / head,
            tied=any(node.tied is not None for node in graph.nodes),
            attention=first,
            windows=tuple(node.layer.window for node in attentions),
            gelu="gelu_new" if "gelu" in layers and layers["gelu"].approximate == "tanh" else "gelu",
        )


class Family(NamedTuple):
    """What transformers calls the classes of a family's configuration and model, and what the former takes."""

    config: str
    model: str
    options: Callable[[Sizes], dict[str, Any]]


def plain(s: Sizes) -> dict[str, Any]:
    """What most configurations take."""
    return {
        "vocab_size": s.vocabulary, "hidden_size": s.d, "num_hidden_layers": s.layers, "num_attention_heads": s.heads,
        "intermediate_size": s.ffn, "tie_word_embeddings": s.tied, "pad_token_id": 0,
    }  # fmt: skip


def rotary(s: Sizes) -> dict[str, Any]:
    """The same, with rotary positions and shared keys."""
    return {
        **plain(s), "num_key_value_heads": s.groups, "head_dim": s.head, "rms_norm_eps": s.eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": s.base, "partial_rotary_factor": s.turned},
    }  # fmt: skip


def windowed(s: Sizes) -> dict[str, Any]:
    """The same, with the window of the layers that have one."""
    return {**rotary(s), "sliding_window": next(filter(None, s.windows), None)}


def gemma(s: Sizes) -> dict[str, Any]:
    """Gemma's, whose layers are of two sorts."""
    kinds = ["full_attention" if window is None else "sliding_attention" for window in s.windows]
    scale = {"query_pre_attn_scalar": round(float(s.attention.scale) ** -2), "layer_types": kinds}
    return {**windowed(s), **scale, "hidden_activation": "gelu_pytorch_tanh"}


def gemma3(s: Sizes) -> dict[str, Any]:
    """Gemma 3's, whose sorts of layers have bases of their own."""
    bases = {"full_attention": s.base, "sliding_attention": 10_000}
    return {**gemma(s), "rope_parameters": {k: {"rope_type": "default", "rope_theta": b} for k, b in bases.items()}}


def gpt(s: Sizes) -> dict[str, Any]:
    """What the configurations of GPT-2 and GPT-J take."""
    return {
        "vocab_size": s.vocabulary, "n_embd": s.d, "n_layer": s.layers, "n_head": s.heads, "n_positions": s.positions,
        "n_inner": s.ffn, "activation_function": s.gelu, "tie_word_embeddings": s.tied,
    }  # fmt: skip


FAMILIES: dict[str, Family] = {
    r"gpt1": Family("OpenAIGPTConfig", "OpenAIGPTLMHeadModel", gpt),
    r"bert_": Family("BertConfig", "BertModel", lambda s: {
        **plain(s), "max_position_embeddings": s.positions, "layer_norm_eps": s.eps}),
    r"albert_": Family("AlbertConfig", "AlbertModel", lambda s: {
        **plain(s), "embedding_size": s.narrow, "max_position_embeddings": s.positions, "layer_norm_eps": s.eps}),
    r"t5_": Family("T5Config", "T5ForConditionalGeneration", lambda s: {
        "vocab_size": s.vocabulary, "d_model": s.d, "d_kv": s.head, "d_ff": s.ffn, "num_heads": s.heads,
        "num_layers": s.layers // 3}),  # a decoder's layer has two attentions
    r"gpt2_|gpt3_|cerebras_": Family("GPT2Config", "GPT2LMHeadModel", gpt),
    r"opt_": Family("OPTConfig", "OPTForCausalLM", lambda s: {
        **plain(s), "ffn_dim": s.ffn, "max_position_embeddings": s.positions - 2, "word_embed_proj_dim": s.narrow,
        "do_layer_norm_before": s.narrow == s.d}),
    r"bloom_": Family("BloomConfig", "BloomForCausalLM", plain),
    r"mpt_": Family("MptConfig", "MptForCausalLM", lambda s: {
        "vocab_size": s.vocabulary, "d_model": s.d, "n_layers": s.layers, "n_heads": s.heads}),
    r"gpt_neo_\d.*[mb]$": Family("GPTNeoConfig", "GPTNeoForCausalLM", lambda s: {
        "vocab_size": s.vocabulary, "hidden_size": s.d, "num_layers": s.layers, "num_heads": s.heads,
        "max_position_embeddings": s.positions, "attention_types": [[["global", "local"], s.layers // 2]],
        "window_size": next(filter(None, s.windows)), "activation_function": s.gelu}),
    r"stablelm_": Family("StableLmConfig", "StableLmForCausalLM", rotary),
    r"gptj_": Family("GPTJConfig", "GPTJForCausalLM", lambda s: {
        **gpt(s), "n_positions": 64, "rotary_dim": round(s.turned * s.head)}),
    r"phi[12]": Family("PhiConfig", "PhiForCausalLM", rotary),
    r"gpt_neox_|pythia_": Family("GPTNeoXConfig", "GPTNeoXForCausalLM", lambda s: {**rotary(s), "hidden_act": s.gelu}),
    r"falcon_7b": Family("FalconConfig", "FalconForCausalLM", plain),
    r"falcon_": Family("FalconConfig", "FalconForCausalLM", lambda s: {
        **plain(s), "num_kv_heads": s.groups, "new_decoder_architecture": True}),
    r"olmo_": Family("OlmoConfig", "OlmoForCausalLM", rotary),
    r"olmo2_": Family("Olmo2Config", "Olmo2ForCausalLM", rotary),
    r"gemma_": Family("GemmaConfig", "GemmaForCausalLM", lambda s: {**rotary(s), "hidden_act": "gelu_pytorch_tanh"}),
    r"gemma2_": Family("Gemma2Config", "Gemma2ForCausalLM", gemma),
    r"gemma3_": Family("Gemma3TextConfig", "Gemma3ForCausalLM", gemma3),
    r"llama|tinyllama|smollm|yi_": Family("LlamaConfig", "LlamaForCausalLM", rotary),
    r"mistral_": Family("MistralConfig", "MistralForCausalLM", windowed),
    r"phi[34]": Family("Phi3Config", "Phi3ForCausalLM", windowed),
    r"qwen2.5": Family("Qwen2Config", "Qwen2ForCausalLM", rotary),
    r"qwen3": Family("Qwen3Config", "Qwen3ForCausalLM", rotary),
    r"(distil)?roberta|xlmr_": Family("RobertaConfig", "RobertaForMaskedLM", lambda s: {
        **plain(s), "max_position_embeddings": s.positions, "type_vocab_size": 1, "pad_token_id": 1,
        "layer_norm_eps": s.eps}),
    r"distilbert": Family("DistilBertConfig", "DistilBertForMaskedLM", lambda s: {
        "vocab_size": s.vocabulary, "dim": s.d, "n_layers": s.layers, "n_heads": s.heads, "hidden_dim": s.ffn,
        "max_position_embeddings": s.positions}),
}  # fmt: skip
"""By what a variant's name starts with."""


def family(name: str) -> Family:
    """The family of one of our variants."""
    return next(each for start, each in FAMILIES.items() if re.match(start, name.split(":")[-1]))


def theirs(name: str, graph: Graph) -> nn.Module:
    """Their class, with the sizes that the graph has; in evaluation mode."""
    import transformers

    kind = family(name)
    config = getattr(transformers, kind.config)(**kind.options(Sizes.of(graph)), attn_implementation="eager")
    return getattr(transformers, kind.model)(config).eval()  # type: ignore[no-any-return]


def parts(module: nn.Module) -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    """The parameters of a model in pieces as ours has them: joined projections divided, matrices by their outputs."""
    for name, parameter in module.named_parameters():
        if not is_left_out(name, module):
            owner = module.get_submodule(name.rpartition(".")[0])
            turned = type(owner).__name__ == "Conv1D" and parameter.ndim == 2
            yield name, divided(name, parameter.mT if turned else parameter, module)


def is_left_out(name: str, module: nn.Module) -> bool:
    """Whether ours lacks a parameter of theirs: RoBERTa's class has a vector for segments, of which there is one."""
    return "token_type" in name and module.config.type_vocab_size == 1  # type: ignore[union-attr]


def divided(name: str, tensor: Tensor, module: nn.Module) -> tuple[Tensor, ...]:
    """Queries, keys and values of a joined projection, or the gate and what it weighs; views of the parameter."""
    config: Any = module.config
    if "gate_up_proj" in name:
        return tensor.chunk(2)
    if re.search(r"c_attn|Wqkv|qkv_proj", name):
        heads, groups = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
        size = tensor.shape[0] // (heads + 2 * (groups or heads))
        return tensor.split([heads * size, *[(groups or heads) * size] * 2])
    if "query_key_value" not in name:
        return (tensor,)
    groups = config.num_attention_heads
    if config.model_type == "falcon":
        groups = config.num_kv_heads if config.new_decoder_architecture else 1
    size = config.hidden_size // config.num_attention_heads
    by_group = tensor.unflatten(0, (groups, -1, size))  # in each the queries, a key, a value
    return by_group[:, :-2], by_group[:, -2], by_group[:, -1]


def counts(pieces: Iterator[tuple[str, tuple[Tensor, ...]]]) -> Counter[tuple[str, int, int]]:
    """How many pieces there are of each sort, with so many outputs and numbers."""
    return Counter(sort(name, piece) for name, several in pieces for piece in several)


def sort(name: str, piece: Tensor) -> tuple[str, int, int]:
    """What may be exchanged: weights or biases, of norms or of matrices, of a size."""
    width = piece.shape[-1] if name.endswith("weight") else 1
    return name.rpartition(".")[-1] + ("s of a norm" if piece.ndim == 1 and width > 1 else ""), width, piece.numel()


def run(module: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """What a network makes of tokens, and perhaps of their segments: logits, or a vector for all tokens."""
    if isinstance(module, Network):
        made = module(*inputs)
        return [*made.values()][-1] if isinstance(made, dict) else made
    tokens, *others = inputs
    second = "decoder_input_ids" if module.config.is_encoder_decoder else "token_type_ids"  # type: ignore[union-attr]
    made = module(tokens, **dict(zip([second], others, strict=False)))
    return made.logits if "logits" in made else made.pooler_output


def executed(module: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """The names of a model's parameters in the order in which they are used."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    found: dict[str, None] = {}

    def note(each: nn.Module, *_: Any) -> None:
        own = (parameter for parameter in each.parameters(recurse=False))
        found.update(dict.fromkeys(names[id(parameter)] for parameter in own))

    hooks = [each.register_forward_hook(note) for each in module.modules()]
    run(module, inputs)
    for hook in hooks:
        hook.remove()
    return [*found]


def hand_over(mine: nn.Module, other: nn.Module, inputs: Sequence[Tensor]) -> None:
    """Give ours their weights: those of a sort in the order in which both models use them.

    Raises: AssertionError: a parameter of one of them is left over.
    """
    pieces, waiting = dict(parts(other)), defaultdict(list)
    for name in executed(other, inputs):
        for piece in pieces.pop(name, ()):
            waiting[sort(name, piece)].append(as_ours(name, piece, other))
    own = dict(mine.named_parameters())
    for name in executed(mine, inputs):
        target = own.pop(name)
        target.copy_(waiting[sort(name, target)].pop(0).reshape(target.shape))
    assert ({}, {}, []) == (own, pieces, [key for key, left in waiting.items() if left])


def as_ours(name: str, piece: Tensor, other: nn.Module) -> Tensor:
    """A parameter of theirs as our layers take it."""
    model = other.config.model_type  # type: ignore[union-attr]
    if "gemma" in str(model) and "norm" in name:
        return piece + 1  # theirs is what a factor has more than 1
    if model in ("opt", "roberta") and "position" in name:
        return piece.roll(-2, 0)  # theirs counts positions from 2
    return piece


def multiply_adds(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    """By PyTorch's counter, without the angles of rotary positions, which it takes for a matrix product."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run(module, inputs)
    angles = {
        name: sum(counts.values()) for name, counts in counter.get_flop_counts().items() if name.endswith("rotary_emb")
    }
    return (int(counter.get_total_flops()) - sum(angles.values())) // 2
