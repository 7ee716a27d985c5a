"""BERT and its like, as the text of a spec: layers that see the whole text, and a pooler or a head for masked words."""

from __future__ import annotations

from archcalc.data import dataclass
from archcalc.errors import UsageError
from archcalc.importers.configs.fields import Fields

ACTIVATIONS = {
    "gelu": "gelu", "relu": "relu", "silu": "silu", "swish": "silu", "gelu_new": "gelu approximate=tanh",
}  # fmt: skip
MASKED = "ForMaskedLM"


@dataclass(frozen=True)
class Encoder:
    """What a config says.

    `segments` are the rows of the table of segments, 0 for none; `unused` rows of the table of positions stand for no
    token; `masked` says whether words are guessed, `pooled` whether the first token's vector is a sentence's. With
    `narrow`, embeddings have that width, and all layers are one.
    """

    vocabulary: int
    d: int
    layers: int
    heads: int
    ffn: int
    positions: int
    unused: int
    segments: int
    act: str
    head_act: str
    eps: float
    masked: bool
    pooled: bool
    narrow: int | None = None

    def text(self, name: str, source: str) -> str:
        """The spec's text."""
        width = "d" if self.narrow is None else "narrow"
        masked = [f"  - head: fc {width} -> ACT -> ln", "  - logits: fc vocabulary tie=@wte"]
        pooled = ["  - pooler: select 0 -> fc d -> tanh", "outputs: [encoder, pooler]"]
        embedding = [f"  - wte: embed vocabulary {width}", "  - wpe: pos_embed positions"]
        if self.segments:
            embedding += [
                f"  - wse: from segments -> embed segments_known {width}",
                "  - embedding: {add: [from wpe, from wse]}",
            ]
        lines = [
            "archcalc: 1",
            f"name: {name}",
            f"source: {source}",
            "inputs: {words: {T: length}, segments: {T: length}}" if self.segments else "input: {T: length}",
            "hparams:",
            f"  length: {min(512, self.positions - self.unused)}  # tokens read",
            f"  positions: {self.positions}  # rows of the table",
            f"  vocabulary: {self.vocabulary}",
            *([f"  segments_known: {self.segments}"] if self.segments else []),
            *([] if self.narrow is None else [f"  narrow: {self.narrow}  # width of the embeddings"]),
            f"  d: {self.d}  # width",
            f"  layers: {self.layers}",
            f"  heads: {self.heads}",
            f"  ffn: {self.ffn}",
            f"defaults: {{ln: {{eps: {self.eps!r}}}}}",
            *([] if self.narrow is None else ["modules:", "  layer():", *(f"    - {line}" for line in self._layer)]),
            "layers:",
            *embedding,
            "  - norm: ln",
            *(["  - encoder:"] if self.narrow is None else ["  - widened: fc d", "  - encoder: (layer)*layers"]),
            *(self._loop if self.narrow is None else ()),
            *([line.replace("ACT", self.head_act) for line in masked] if self.masked else []),
            *(pooled if self.pooled else []),
        ]
        return "\n".join(lines) + "\n"

    @property
    def _layer(self) -> tuple[str, ...]:
        return "residual: attention heads", "ln", f"residual: fc ffn -> {self.act} -> fc d", "ln"

    @property
    def _loop(self) -> tuple[str, ...]:
        return "      for: {i: 1..layers}", "      do:", *(f"        - {line}" for line in self._layer)


def see_tied(f: Fields, masked: bool) -> None:
    """See that a head has the embedding's matrix; transformers' heads with their own have biases that nothing reads."""
    if masked:
        f.must("tie_word_embeddings", True)
    f.skip("tie_word_embeddings")


def bert(f: Fields, head: str, vocabulary: int = 30522, unused: int = 0) -> Encoder:
    """BERT, with a pooler but where words are guessed."""
    f.must("is_decoder", False)
    act, masked = f.word("hidden_act", "gelu", ACTIVATIONS), head == MASKED
    see_tied(f, masked)
    f.skip("directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head")
    f.skip("pooler_type")
    return Encoder(
        vocabulary=f.size("vocab_size", vocabulary),
        d=f.size("hidden_size", 768),
        layers=f.depth("num_hidden_layers", 12),
        heads=f.size("num_attention_heads", 12),
        ffn=f.size("intermediate_size", 3072),
        positions=f.size("max_position_embeddings", 512, least=unused + 1),
        unused=unused,
        segments=f.size("type_vocab_size", 2),
        act=act,
        head_act=act if unused == 0 else "gelu",
        eps=f.number("layer_norm_eps", 1e-12) or 1e-12,
        masked=masked,
        pooled=not masked,
    )


def roberta(f: Fields, head: str) -> Encoder:
    """RoBERTa, which counts positions from 2, so that two rows of the table are never used."""
    return xlm_roberta(f, head, 50265)


def xlm_roberta(f: Fields, head: str, vocabulary: int = 30522) -> Encoder:
    """The same of many languages."""
    return bert(f, head, vocabulary, unused=2)


def distilbert(f: Fields, head: str) -> Encoder:
    """DistilBERT, without segments and pooler."""
    if f.values.get("sinusoidal_pos_embds") is True:
        f.skip("sinusoidal_pos_embds")  # they begin so, and are parameters all the same
    f.skip("sinusoidal_pos_embds qa_dropout seq_classif_dropout")
    act, masked, d = f.word("activation", "gelu", ACTIVATIONS), head == MASKED, f.size("dim", 768)
    see_tied(f, masked)
    heads = f.size("n_heads", 12)
    if d % heads:
        raise UsageError(f"{f.name}: n_heads is {heads}, which doesn't divide the width, {d}")
    return Encoder(
        vocabulary=f.size("vocab_size", 30522),
        d=d,
        layers=f.depth("n_layers", 6),
        heads=heads,
        ffn=f.size("hidden_dim", 3072),
        positions=f.size("max_position_embeddings", 512),
        unused=0,
        segments=0,
        act=act,
        head_act=act,
        eps=1e-12,
        masked=masked,
        pooled=False,
    )


def albert(f: Fields, head: str) -> Encoder:
    """ALBERT, whose layers are one, and whose embeddings are narrow."""
    act, masked = f.word("hidden_act", "gelu_new", ACTIVATIONS), head == MASKED
    see_tied(f, masked)
    f.must("num_hidden_groups", 1)
    f.must("inner_group_num", 1)
    f.skip("classifier_dropout_prob net_structure_type gap_size num_memory_blocks down_scale_factor")
    d, heads = f.size("hidden_size", 4096), f.size("num_attention_heads", 64)
    if d % heads:
        raise UsageError(f"{f.name}: num_attention_heads is {heads}, which doesn't divide the width, {d}")
    return Encoder(
        vocabulary=f.size("vocab_size", 30000),
        d=d,
        layers=f.size("num_hidden_layers", 12),
        heads=heads,
        ffn=f.size("intermediate_size", 16384),
        positions=f.size("max_position_embeddings", 512),
        unused=0,
        segments=f.size("type_vocab_size", 2),
        act=act,
        head_act=act,
        eps=f.number("layer_norm_eps", 1e-12) or 1e-12,
        masked=masked,
        pooled=not masked,
        narrow=f.size("embedding_size", 128),
    )
