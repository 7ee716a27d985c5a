"""A stack of layers of attention and MLPs over tokens, as the text of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from archcalc.data import dataclass

TOKENS = 128
"""How many are read unless `--input` says otherwise, or the table of positions has fewer."""
FORMS: Mapping[str, tuple[str, ...]] = {
    "before": ("residual: NORM -> ATTEND", "residual: NORM -> MLP"),
    "after": ("residual: ATTEND -> NORM", "residual: MLP -> NORM"),
    "afterwards": ("residual: ATTEND", "NORM", "residual: MLP", "NORM"),
    "around": ("residual: NORM -> ATTEND -> NORM", "residual: NORM -> MLP -> NORM"),
    "beside": ("residual:", "  - NORM", "  - add: {attention: ATTEND, mlp: MLP}"),
    "beside both": ("residual:", "  - add: {attention: NORM -> ATTEND, mlp: NORM -> MLP}"),
    "beside each": ("add: {skip: identity, attention: NORM -> ATTEND, mlp: NORM -> MLP}",),
}
"""Where a layer's norms are: ahead of attention and MLP, after them, after the sums; with both of them side by side,
one for both, or one for each, summed in two steps or at once."""


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: an expert's MLP, how many there are, how many a token is sent to, and `moe`'s arguments."""

    width: int
    count: int
    top: int
    arguments: Mapping[str, str] = field(default_factory=dict)
    shared: int = 0
    gated: bool = False


@dataclass(frozen=True)
class Decoder:
    """What a config says.

    `act` is the MLP's activation, `gate` whether it weighs another half; `expert` are items of another MLP. `near` is
    the condition on i under which a layer sees `window` tokens, `far` what arguments the others have; `dense` is that
    for an MLP in place of a mixture. `ahead` are items after the embedding, `behind` those after the logits,
    `share` what each branch is multiplied by before it's added.
    """

    vocabulary: int
    d: int
    layers: int
    heads: int
    ffn: int
    act: str
    norm: str = "rmsnorm"
    norm_arguments: Mapping[str, str] = field(default_factory=dict)
    attention: Mapping[str, str] = field(default_factory=dict)
    groups: int | None = None
    head: int | None = None
    gate: bool = True
    biased: bool = False
    form: str = "before"
    tied: bool = False
    logits: bool = True
    logits_bias: bool = False
    positions: int | None = None
    narrow: int | None = None
    ahead: tuple[str, ...] = ()
    behind: str = ""
    final: bool = True
    window: int | None = None
    near: str = ""
    far: str = ""
    experts: Experts | None = None
    dense: str = ""
    attend: str = "attention heads"
    expert: tuple[str, ...] = ()
    causal: bool = True
    share: str = ""

    def text(self, name: str, source: str) -> str:
        """The spec's text."""
        head = ["archcalc: 1", f"name: {name}", f"source: {source}", "input: {T: length}"]
        hparams = [f"  {each}: {value}" for each, value in self._hparams()]
        defaults = [f"  {kind}: {_flow(values)}" for kind, values in self._defaults() if values]
        layers = ["layers:", *(f"    {line}" if line.startswith(" ") else f"  - {line}" for line in self._layers())]
        lines = [*head, "hparams:", *hparams, *(["defaults:", *defaults] if defaults else [])]
        return "\n".join([*lines, "blocks:", *(f"  {line}" for line in self._blocks()), *layers]) + "\n"

    def _hparams(self) -> Iterator[tuple[str, str]]:
        yield "length", f"{min(TOKENS, self.positions or TOKENS)}  # tokens read"
        if self.positions is not None:
            yield "positions", f"{self.positions}  # rows of the table"
        yield "vocabulary", str(self.vocabulary)
        yield "d", f"{self.d}  # width"
        if self.narrow is not None:
            yield "narrow", f"{self.narrow}  # width of the embedding"
        yield "layers", str(self.layers)
        yield "heads", str(self.heads)
        if self.groups is not None:
            yield "groups", f"{self.groups}  # heads of keys and values"
        if self.head is not None:
            yield "head", f"{self.head}  # numbers in each"
        if self._has_mlp:
            yield "ffn", str(self.ffn)
        if self.window is not None:
            yield "window", f"{self.window}  # tokens that a query sees"
        if self.experts is not None:
            yield "experts", str(self.experts.count)
            yield "top", f"{self.experts.top}  # experts that a token is sent to"
            yield "expert", f"{self.experts.width}  # width of each expert"
            if self.experts.shared:
                yield "shared", f"{self.experts.shared}  # width of what all tokens go through"

    @property
    def _has_mlp(self) -> bool:
        return self.experts is None or bool(self.dense)

    def _defaults(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        yield "fc", {} if self.biased else {"bias": "false"}
        yield self.norm, self.norm_arguments
        groups = {} if self.groups is None else {"kv_heads": "groups"}
        head = {} if self.head is None else {"head_dim": "head"}
        causal = {"causal": "true"} if self.causal else {}
        yield self.attend.split()[0], {**groups, **head, **causal, **self.attention}

    def _blocks(self) -> Iterator[str]:
        width = "(n)" if self.experts is not None else "()"
        size = "n" if self.experts is not None else "ffn"
        yield f"mlp{width}:"
        if self.expert:
            yield from (f"  - {line}" for line in self.expert)
        elif self.gate:
            yield from (f"  - mul: {{gate: fc {size} -> {self.act}, up: fc {size}}}", "  - down: fc d")
        else:
            yield f"  - fc {size} -> {self.act} -> fc d"
        if self.experts is not None:
            yield from self._mixture(self.experts)

    @staticmethod
    def _mixture(experts: Experts) -> Iterator[str]:
        arguments = {"moe": "mlp expert", "experts": "experts", "top": "top", **experts.arguments}
        if experts.shared:
            arguments["shared"] = "gated" if experts.gated else "mlp shared"
        if experts.gated:
            yield "gated(): {mul: {expert: mlp shared, gate: fc 1 -> sigmoid}, broadcast: true}"
        yield f"mixture(): {_flow(arguments)}"

    def _layers(self) -> Iterator[str]:
        yield f"embedding: embed vocabulary {'d' if self.narrow is None else 'narrow'}"
        yield from self.ahead
        if self.layers:
            yield "decoder:"
            yield "  for: {i: 1..layers}"
            yield "  do:"
            share = f" -> times {self.share}" if self.share else ""
            words = {"NORM": self.norm, "ATTEND": self._attend() + share, "MLP": self._mlp() + share}
            for line in FORMS[self.form]:
                for word, said in words.items():
                    line = line.replace(word, said)
                yield f"      {line}" if line.startswith(" ") else f"    - {line}"
        if self.final:
            yield f"norm: {self.norm}"
        if self.narrow is not None:
            yield "narrow_again: fc narrow bias=false"
        if self.logits:
            bias = "" if self.logits_bias is self.biased else f" bias={str(self.logits_bias).lower()}"
            behind = f" -> {self.behind}" if self.behind else ""
            yield f"logits: fc vocabulary{bias}{' tie=@embedding' if self.tied else ''}{behind}"

    def _attend(self) -> str:
        if self.window is None:
            return self.attend
        near, far = f"{self.attend} window=window", f"{self.attend}{self.far}"
        return f"{near} if {self.near} else {far}" if self.near else near

    def _mlp(self) -> str:
        if self.experts is None:
            return "mlp"
        return f"mlp ffn if {self.dense} else mixture" if self.dense else "mixture"


def _flow(values: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"
