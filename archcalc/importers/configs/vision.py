"""ViT and its like, as the text of a spec: patches of an image as tokens, which all see each other."""

from __future__ import annotations

from archcalc.data import dataclass
from archcalc.errors import UsageError
from archcalc.importers.configs.encoders import ACTIVATIONS
from archcalc.importers.configs.fields import Fields

CLASSIFICATION = "ForImageClassification"


@dataclass(frozen=True)
class VisionEncoder:
    """What a config says; `classes` is None for the body, whose first token is pooled."""

    channels: int
    size: int
    patch: int
    d: int
    layers: int
    heads: int
    ffn: int
    pooled: int
    act: str
    eps: float
    biased: bool
    classes: int | None

    def text(self, name: str, source: str) -> str:
        """The spec's text."""
        attention = "" if self.biased else ", attention: {qkv_bias: false}"
        if self.classes is None:
            head = ["  - pooler: select 0 -> fc pooled -> tanh", "outputs: [norm, pooler]"]
        else:
            head = ["  - logits: select 0 -> fc classes"]
        lines = [
            "archcalc: 1",
            f"name: {name}",
            f"source: {source}",
            "input: {C: channels, H: size, W: size}",
            "hparams:",
            f"  channels: {self.channels}",
            f"  size: {self.size}",
            f"  patch: {self.patch}  # side of what becomes a token",
            f"  d: {self.d}  # width",
            f"  layers: {self.layers}",
            f"  heads: {self.heads}",
            f"  ffn: {self.ffn}",
            f"  pooled: {self.pooled}" if self.classes is None else f"  classes: {self.classes}",
            f"defaults: {{ln: {{eps: {self.eps!r}}}{attention}}}",
            "layers:",
            "  - patches: conv d patch s=patch -> tokens",
            "  - embedding: cls_token -> pos_embed",
            "  - encoder:",
            "      for: {i: 1..layers}",
            "      do:",
            "        - residual: ln -> attention heads",
            f"        - residual: ln -> fc ffn -> {self.act} -> fc d",
            "  - norm: ln",
            *head,
        ]
        return "\n".join(lines) + "\n"


def vit(f: Fields, head: str) -> VisionEncoder:
    """ViT; of its classes `id2label` says how many there are."""
    d, heads = f.size("hidden_size", 768), f.size("num_attention_heads", 12)
    if d % heads:
        raise f.wrong("num_attention_heads", f"which doesn't divide the width, {d}")
    labels = len(f.mapping("id2label")) or f.size("num_labels", 2)
    f.defaults.pop("id2label")
    f.defaults.pop("num_labels", None)
    f.must("pooler_act", "tanh")
    f.skip("encoder_stride")
    size, patch = f.size("image_size", 224), f.size("patch_size", 16)
    if patch > size:
        raise UsageError(f"{f.name}: patch_size is {patch}, and image_size {size}")
    return VisionEncoder(
        channels=f.size("num_channels", 3),
        size=size,
        patch=patch,
        d=d,
        layers=f.depth("num_hidden_layers", 12),
        heads=heads,
        ffn=f.size("intermediate_size", 3072),
        pooled=f.maybe("pooler_output_size") or d,
        act=f.word("hidden_act", "gelu", ACTIVATIONS),
        eps=f.number("layer_norm_eps", 1e-12) or 1e-12,
        biased=f.flag("qkv_bias", True),
        classes=labels if head == CLASSIFICATION else None,
    )
