"""The fields of a model's config, each read once, as what it has to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archcalc.errors import UsageError, suggestion

MOST = 10**12
"""The greatest size that a field may have."""
DEPTH = 1000
"""The most layers that a model may have."""
UNCOUNTED = frozenset((
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_experts_implementation",
    "_name_or_path", "architectures", "attention_dropout", "attention_probs_dropout_prob", "attn_implementation",
    "attn_pdrop", "auto_map", "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "chunk_size_feed_forward",
    "classifier_dropout", "cls_token_id", "custom_pipelines", "decoder_start_token_id", "diversity_penalty",
    "do_sample", "dropout", "dtype", "early_stopping", "embd_pdrop", "embed_dropout", "embedding_dropout",
    "encoder_no_repeat_ngram_size", "eos_token_id", "exponential_decay_length_penalty", "finetuning_task",
    "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing", "hidden_dropout", "hidden_dropout_prob",
    "id2label", "initializer_range", "is_decoder", "is_encoder_decoder", "keys_to_ignore_at_inference", "label2id",
    "language", "layerdrop", "length_penalty", "mask_token_id", "max_length", "min_length", "model_type",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_past", "output_router_logits", "output_scores", "pad_token_id", "prefix",
    "pretraining_tp", "problem_type", "quantization_config", "remove_invalid_values", "repetition_penalty",
    "resid_dropout", "resid_pdrop", "residual_dropout", "return_dict", "return_dict_in_generate", "rope_scaling",
    "router_aux_loss_coef", "router_jitter_noise", "sep_token_id", "summary_activation", "summary_first_dropout",
    "summary_proj_to_labels", "summary_type", "summary_use_proj", "suppress_tokens", "task_specific_params",
    "temperature", "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "tokenizer_class_name", "top_k",
    "top_p", "torch_dtype", "torchscript", "transformers_version", "typical_p", "unk_token_id", "unsloth_fixed",
    "unsloth_version", "use_bfloat16", "use_cache", "use_flash_attn",
))  # fmt: skip
"""Fields of all types that change no count: which tokens stand for what, how a text is written, what training does."""
NEUTRAL: Mapping[str, Sequence[Any]] = {
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "position_embedding_type": ("absolute",),
    "pruned_heads": ({}, None),
}
"""Fields of all types that change counts, and the values with which they don't."""


class Fields:
    """A config's fields, and which of them were read; `defaults` are the values that were taken for absent ones.

    Raises: UsageError, from each method: a field's value isn't of its sort; the message names the field.
    """

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        self.values, self.name = values, name
        self.read: set[str] = set()
        self.defaults: dict[str, Any] = {}

    def _value(self, field: str, default: Any) -> Any:
        self.read.add(field)
        self.defaults[field] = default
        return self.values.get(field, default)

    def wrong(self, field: str, needed: str) -> UsageError:
        """What to raise where a field isn't what's needed."""
        value = self.values.get(field, self.defaults.get(field))
        return UsageError(f"{self.name}: {field} is {'null' if value is None else repr(value):.60}, {needed}")

    def maybe(self, field: str, default: int | None = None, least: int = 1, most: int = MOST) -> int | None:
        """A size, or nothing."""
        value = self._value(field, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(field, f"and has to be an integer from {least} to {most:,}")
        return value

    def depth(self, field: str, default: int) -> int:
        """A number of layers."""
        value = self.maybe(field, default, 0, DEPTH)
        if value is None:
            raise self.wrong(field, "and has to be an integer")
        return value

    def size(self, field: str, default: int, least: int = 1) -> int:
        """A size."""
        value = self.maybe(field, default, least)
        if value is None:
            raise self.wrong(field, "and has to be an integer")
        return value

    def flag(self, field: str, default: bool) -> bool:
        """Whether something holds."""
        value = self._value(field, default)
        if not isinstance(value, bool):
            raise self.wrong(field, "and has to be true or false")
        return value

    def number(self, field: str, default: float | None) -> float | None:
        """A positive number, or nothing."""
        value = self._value(field, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
            raise self.wrong(field, "and has to be a number greater than 0")
        return value

    def word(self, field: str, default: str, known: Mapping[str, str]) -> str:
        """A text, as what's known by it."""
        value = self._value(field, default)
        if not isinstance(value, str) or value not in known:
            raise self.wrong(field, f"and may be {', '.join(known)}")
        return known[value]

    def listed(self, field: str) -> list[Any] | None:
        """A list, or nothing."""
        value = self._value(field, None)
        if value is not None and not isinstance(value, list):
            raise self.wrong(field, "and has to be a list")
        return value

    def mapping(self, field: str) -> Mapping[str, Any]:
        """Values by name; none if it's absent."""
        value = self._value(field, None)
        if not isinstance(value, (Mapping, type(None))):
            raise self.wrong(field, "and has to be an object")
        return value or {}

    def must(self, field: str, *values: Any) -> None:
        """See that a field has one of the values that are understood, the first of which is its default."""
        value = self._value(field, values[0])
        if not any(value is known or (type(value) is type(known) and value == known) for known in values):
            said = " or ".join("null" if known is None else str(known).lower() for known in values)
            raise self.wrong(field, f"and nothing but {said} is understood")

    def skip(self, fields: str) -> None:
        """Fields that change no count."""
        self.read.update(fields.split())

    def finish(self) -> None:
        """See that every field was understood.

        Raises: UsageError: some weren't; the message names them.
        """
        for field, values in NEUTRAL.items():
            if field in self.values and field not in self.read:
                self.must(field, *values)
        if unknown := sorted(set(map(str, self.values)) - self.read - UNCOUNTED):
            named = ", ".join(f"'{field:.60}'" for field in unknown[:5]) + (", …" if len(unknown) > 5 else "")
            verb = "are fields that aren't" if len(unknown) > 1 else "is a field that isn't"
            hint = suggestion(unknown[0], self.read) or "leave out what changes no count"
            raise UsageError(f"{self.name}: {named} {verb} understood for this model_type", hint)


def periodic(flags: Iterable[bool]) -> str:
    """A condition on i, counted from 1, that says which of the passes are meant; nothing if all are or none is."""
    flags = list(flags)
    count = sum(flags)
    if count in (0, len(flags)):
        return ""
    if flags == sorted(flags, reverse=True):
        return f"i <= {count}"
    if flags == sorted(flags):
        return f"i > {len(flags) - count}"
    for period in range(2, len(flags) // 2 + 1):
        turns = flags[:period]
        if all(flag is turns[number % period] for number, flag in enumerate(flags)):
            if turns.count(False) == 1:
                return f"i%{period} != {(turns.index(False) + 1) % period}"
            return " or ".join(f"i%{period} == {(at + 1) % period}" for at, flag in enumerate(turns) if flag)
    return " or ".join(f"i == {number}" for number, flag in enumerate(flags, start=1) if flag)
