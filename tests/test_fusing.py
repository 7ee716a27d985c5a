"""What programs spell out in several operations, and what only resembles it."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402  # it may not be there

from archcalc import UsageError  # noqa: E402
from archcalc.importers.operations.exported import exported  # noqa: E402
from archcalc.importers.operations.fusing import fused  # noqa: E402
from archcalc.pytorch.network import Network  # noqa: E402
from tests.test_importers import text_of  # noqa: E402


class Written(nn.Module):
    """Tokens with 8 features after a matrix product, factors and summands, and a way that a test gives."""

    def __init__(self, way: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.fc, self.way = nn.Linear(8, 8), way
        self.w, self.b = nn.Parameter(torch.randn(8)), nn.Parameter(torch.randn(8))
        self.table = nn.Embedding(9, 8)
        self.register_buffer("root", torch.tensor(8.0).sqrt())
        self.register_buffer("zeros", torch.zeros(1, 8))
        self.register_buffer("places", torch.arange(9))

    def forward(self, x: Tensor) -> Tensor:
        return self.way(self, self.fc(x))


def rms(x: Tensor, eps: float = 1e-6, dim: int = -1) -> Tensor:
    """As Llama's norm is written, without factors."""
    return x * torch.rsqrt(x.float().pow(2).mean(dim, keepdim=True) + eps)  # type: ignore[no-any-return]


def centred(x: Tensor, eps: float = 1e-6) -> Tensor:
    """As Cohere's norm is written, without factors."""
    mean = x.mean(-1, keepdim=True)
    return (x - mean) * torch.rsqrt((x - mean).pow(2).mean(-1, keepdim=True) + eps)  # type: ignore[no-any-return]


def gate(x: Tensor, root: float = 0.7978845608, cubic: float = 0.044715) -> Tensor:
    """As GPT-2's activation is written."""
    return 0.5 * x * (1.0 + torch.tanh(root * (x + cubic * torch.pow(x, 3.0))))  # type: ignore[no-any-return]


SPELLED: dict[str, tuple[Callable[[Written, Tensor], Tensor], str]] = {
    "rms": (lambda m, x: m.w * rms(x), "rmsnorm"),
    "rms of squares": (lambda m, x: x / torch.sqrt((x * x).mean(-1, True) + 1e-6) * m.w, "rmsnorm"),
    "rms without factors": (lambda _, x: rms(x) * 2, "rmsnorm"),
    "one more": (lambda m, x: rms(x) * (1.0 + m.w), "rmsnorm"),
    "centred": (lambda m, x: m.w * centred(x), "ln"),
    "centred and moved": (lambda m, x: m.w * centred(x) + m.b, "ln"),
    "factors of one more": (lambda m, x: nn.functional.layer_norm(x, (8,), m.w + 1, m.b), "ln"),
    "gelu of GPT-2": (lambda _, x: gate(x), "gelu"),
    "gelu of BLOOM": (lambda _, x: x * 0.5 * (1.0 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x))), "gelu"),
    "gelu with erf": (lambda _, x: x * 0.5 * (1.0 + torch.erf(x / 2**0.5)), "gelu"),
    "quick gelu": (lambda _, x: x * torch.sigmoid(1.702 * x), "quick_gelu"),
    "silu": (lambda _, x: x * torch.sigmoid(x), "silu"),
    "mish": (lambda _, x: x * torch.tanh(nn.functional.softplus(x)), "mish"),
    "hardswish": (lambda _, x: x * nn.functional.relu6(x + 3) / 6, "hardswish"),
    "root of width": (lambda m, x: x * m.root, "times"),  # type: ignore[operator]
    "zeros": (lambda m, x: (x + m.zeros).relu(), "relu"),  # type: ignore[operator]
    "positions from the third on": (lambda m, x: x + m.table(torch.arange(5) + 2), "pos_embed"),
    "a row for all": (lambda m, x: x + m.table(torch.zeros(1, 5, dtype=torch.long) + 3), "param"),
}
NEAR: dict[str, tuple[Callable[[Written, Tensor], Tensor], str]] = {
    "rms of tokens": (lambda m, x: m.w * rms(x, dim=1), "rms_norm"),
    "rms of another": (lambda _, x: x * torch.rsqrt((x + 1).pow(2).mean(-1, True) + 1e-6), "rms_norm"),
    "cubes": (lambda _, x: x * torch.rsqrt(x.pow(3).mean(-1, True) + 1e-6), "rms_norm"),
    "another mean": (
        lambda _, x: (x - x.mean(1, True)) * torch.rsqrt((x - x.mean(1, True)).pow(2).mean(-1, True)), "layer_norm"
    ),
    "another cubic": (lambda _, x: gate(x, cubic=0.0448), "gelu"),
    "another root": (lambda _, x: gate(x, root=0.798), "gelu"),
    "another sigmoid": (lambda _, x: x * torch.sigmoid(1.7 * x), "quick_gelu"),
    "a gate of another": (lambda m, x: m.b * torch.sigmoid(x), "silu"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLED)
def test_what_is_spelled_out_is_the_layer_that_it_is(name: str) -> None:
    """However it's written; with the module's weights it gives the same values."""
    import archcalc
    from archcalc.importers.imported import imported
    from archcalc.pytorch.original import copied

    way, kind = SPELLED[name]
    module, x = Written(way).eval(), torch.randn(2, 5, 8)
    found = imported(module, [x], "net")
    assert kind in found.text.partition("layers:")[2]
    network = Network(archcalc.build(found.spec)).eval()
    with torch.no_grad():
        assert [] == list(copied(network, found, dict(module.named_parameters())))
        torch.testing.assert_close(module(x), network(x))


@pytest.mark.parametrize("name", NEAR)
def test_what_only_resembles_it_stays_what_it_is(name: str) -> None:
    """Other axes, other numbers, other tensors."""
    way, operation = NEAR[name]
    made = fused(exported(Written(way), [torch.randn(2, 5, 8)])).operations
    assert operation not in {each.name for each in made}


def test_tokens_are_not_padding() -> None:
    """Masks and positions that depend on where padding is are those without any; where a token is, isn't assumed."""

    class Padded(nn.Module):
        def __init__(self, sought: bool) -> None:
            super().__init__()
            self.words, self.places, self.sought = nn.Embedding(9, 8), nn.Embedding(12, 8), sought

        def forward(self, ids: Tensor) -> Tensor:
            if self.sought:
                return self.words(ids) + self.places((ids == 5).int().argmax(-1, keepdim=True))  # type: ignore[no-any-return]
            mask = ids.ne(1).int()
            return self.words(ids) + self.places((torch.cumsum(mask, 1) * mask).long() + 1)  # type: ignore[no-any-return]

    assert "-> pos_embed num_positions=12" in text_of(Padded(sought=False), torch.ones(2, 5, dtype=torch.long))
    made = fused(exported(Padded(sought=True), [torch.ones(2, 5, dtype=torch.long)])).operations
    assert "argmax" in [each.name for each in made]


# --- rotary positions -------------------------------------------------------------------------------------------------


class Turned(nn.Module):
    """Attention whose queries and keys are turned by functions that a test gives."""

    def __init__(self, query: Callable[[Tensor], Tensor], key: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(24, 24) for _ in range(4))
        self.query, self.key = query, key or query

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each(x).view(*x.shape[:2], 3, 8).transpose(1, 2) for each in (self.q, self.k, self.v))
        y = nn.functional.scaled_dot_product_attention(self.query(q), self.key(k), v)
        return self.o(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def angles(tokens: int, size: int = 8, base: float = 500.0, first: int = 0, factor: float = 1.0) -> Tensor:
    """How far pairs of features are turned at each position."""
    return torch.outer(torch.arange(first, first + tokens) * factor, base ** (-torch.arange(0, size, 2) / size))  # type: ignore[no-any-return]


def halves(x: Tensor, table: Tensor | None = None, scale: float = 1.0) -> Tensor:
    """As Llama turns."""
    table = angles(x.shape[2]) if table is None else table
    cosines, sines = ((torch.cat([each, each], -1) * scale).expand(2, 1, -1, -1) for each in (table.cos(), table.sin()))
    one, other = x.chunk(2, -1)
    return x * cosines + torch.cat([-other, one], -1) * sines  # type: ignore[no-any-return]


def neighbours(x: Tensor) -> Tensor:
    """As GPT-J turns."""
    table = angles(x.shape[2]).repeat_interleave(2, -1)
    return x * table.cos() + torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2) * table.sin()  # type: ignore[no-any-return]


def complex_(x: Tensor) -> Tensor:
    """As Llama's first code turned."""
    table = torch.polar(torch.ones(x.shape[2], 4), angles(x.shape[2]))
    return torch.view_as_real(torch.view_as_complex(x.reshape(*x.shape[:-1], 4, 2)) * table).flatten(3)  # type: ignore[no-any-return]


def some(x: Tensor) -> Tensor:
    """As GPT-NeoX turns: the first half of the features."""
    return torch.cat([halves(x[..., :4], angles(x.shape[2], 4)), x[..., 4:]], -1)  # type: ignore[no-any-return]


def permuted(x: Tensor) -> Tensor:
    """As DeepSeek-V3 turns: neighbours, whose first ones then stand ahead of the others."""
    return halves(x.view(*x.shape[:-1], 4, 2).transpose(-1, -2).reshape(x.shape))


TURNED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "halves": (halves, "rope=true rope_base=500"),
    "neighbours": (neighbours, "rope=true rope_base=500 rope_interleaved=true"),
    "complex": (complex_, "rope=true rope_base=500 rope_interleaved=true"),
    "some": (some, "rope=true rotary_dim=4 rope_base=500"),
    "permuted": (permuted, "rope=true rope_base=500 rope_interleaved=true"),
    "another base": (lambda x: halves(x, angles(x.shape[2], base=26492.8)), "rope=true rope_base=26492.8"),
}
STAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "back": lambda x: halves(x, -angles(x.shape[2])),
    "scaled": lambda x: halves(x, angles(x.shape[2], factor=0.5)),
    "longer": lambda x: halves(x, scale=1.2),
    "later": lambda x: halves(x, angles(x.shape[2], first=1)),
    "features": lambda x: halves(x.transpose(2, 3)[:, :, :6].transpose(2, 3), torch.zeros(6, 3) + 1),
}


@pytest.mark.parametrize("name", TURNED)
def test_rotary_positions_in_their_spellings(name: str) -> None:
    """The same rotation, however it's written; outputs are equal with the module's weights."""
    import archcalc
    from archcalc.importers.imported import imported
    from archcalc.pytorch.original import copied

    way, arguments = TURNED[name]
    module, x = Turned(way).eval(), torch.randn(2, 6, 24)
    found = imported(module, [x], "net")
    assert f"attention heads {arguments}\n" in found.text
    network = Network(archcalc.build(found.spec)).eval()
    with torch.no_grad():
        assert [] == list(copied(network, found, dict(module.named_parameters())))
        torch.testing.assert_close(module(x), network(x))


@pytest.mark.parametrize("name", STAYS)
def test_other_rotations_stay_what_they_are(name: str) -> None:
    """Back, faster, from a later position on, over another axis, or longer."""
    made = fused(
        exported(Turned(STAYS[name], lambda x: x[..., :6] if name == "features" else x), [torch.randn(2, 6, 24)])
    )
    assert "rotation" not in [each.name for each in made.operations]


def test_queries_are_turned_as_keys_are() -> None:
    """A rotation of queries alone isn't that of rotary positions."""
    made = [each.name for each in fused(exported(Turned(halves, lambda x: x), [torch.randn(2, 6, 24)])).operations]
    assert 1 == made.count("rotation")
    with pytest.raises(UsageError, match="queries that aren't those of keys"):
        text_of(Turned(halves, lambda x: x), torch.randn(2, 6, 24))
    with pytest.raises(UsageError, match="not by their token's position"):
        text_of(Turned(lambda x: halves(x.transpose(1, 2), angles(3)).transpose(1, 2)), torch.randn(2, 6, 24))


# --- norms of queries and keys, and how heads lie ---------------------------------------------------------------------


class Heads(nn.Module):
    """Attention whose queries, keys and values are parts of one product, and normalised as a test says."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.qkv, self.o, self.form = nn.Linear(24, 72), nn.Linear(24, 24), form
        size = 24 if form == "whole" else 8
        self.q_norm, self.k_norm, self.v_norm = (nn.RMSNorm(size, 1e-6) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        every = self.qkv(x)
        if self.form == "interleaved":
            q, k, v = every.view(2, 6, 3, 24).transpose(1, 2).chunk(3, -1)
            return self.mixed(self.q_norm(q), self.k_norm(k), v)
        q, k, v = every.chunk(3, -1)
        if self.form == "whole":
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (each.view(2, 6, 3, 8).transpose(1, 2) for each in (q, k, v))
        if self.form == "query":
            q = self.q_norm(q)
        if self.form in ("each", "values"):
            q, k = halves(self.q_norm(q)), halves(self.k_norm(k))
        return self.mixed(q, k, self.v_norm(v) if self.form == "values" else v)

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("each", "attention heads rope=true rope_base=500 qk_norm=rmsnorm eps=1e-6"),
        ("whole", "attention heads qk_norm=rmsnorm qk_norm_whole=true eps=1e-6"),
        ("interleaved", "attention heads qk_norm=rmsnorm eps=1e-6"),
        ("query", ""),
        ("values", ""),
    ],
)
def test_norms_of_queries_and_keys_are_attention_s(form: str, said: str) -> None:
    """Of each head or of all together, wherever features of a head lie; those of one alone, or of values, aren't."""
    import archcalc
    from archcalc.importers.imported import imported
    from archcalc.pytorch.original import copied

    module, x = Heads(form).eval(), torch.randn(2, 6, 24)
    found = imported(module, [x], "net")
    if not said:
        assert "qk_norm" not in found.text
        return
    assert f"{said}\n" in found.text
    network = Network(archcalc.build(found.spec)).eval()
    with torch.no_grad():
        assert [] == list(copied(network, found, dict(module.named_parameters())))
        torch.testing.assert_close(module(x), network(x))


# --- experts ----------------------------------------------------------------------------------------------------------


@torch.library.custom_op("archcalc_tests::grouped_mm", mutates_args=())  # type: ignore[untyped-decorator]
def grouped_mm(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """Stretches of rows, each times a matrix of its own."""
    starts = [0, *ends.tolist()]
    return torch.cat([x[one:other] @ weights[place] for place, (one, other) in enumerate(pairwise(starts))])  # type: ignore[no-any-return]


@grouped_mm.register_fake  # type: ignore[untyped-decorator]
def _(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weights.shape[-1])


class Experts(nn.Module):
    """As transformers writes a mixture: copies are sorted by their experts, whose matrices lie together."""

    def __init__(
        self, choice: Callable[[Tensor], tuple[Tensor, Tensor]], turned: bool = False, wrong: str = ""
    ) -> None:
        super().__init__()
        self.gate, self.choice, self.turned, self.wrong = nn.Linear(8, 6, bias=turned), choice, turned, wrong
        self.up = nn.Parameter(torch.randn((6, 8, 10) if turned else (6, 10, 8)) / 3)
        self.down = nn.Parameter(torch.randn((6, 5, 8) if turned else (6, 8, 5)) / 3)
        self.bias = nn.Parameter(torch.randn(6, 10)) if turned else None

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, 8)
        shares, chosen = self.choice(self.gate(rows))
        experts, top = chosen.reshape(-1), chosen.shape[1]
        experts, order = torch.sort(experts)
        ends = torch.cumsum(torch.histc(experts.float(), 6, 0, 5), 0, dtype=torch.int32)
        sent = rows[order // (top + 1 if self.wrong == "tokens" else top)]
        up, down = (self.up, self.down) if self.turned else (self.up.mT, self.down.mT)
        y = grouped_mm(sent, up, ends)
        if self.bias is not None:
            y = y + self.bias[experts]
            y = y[:, ::2].clamp(-1, 1) * y[:, 1::2]
        else:
            one, other = y.chunk(2, -1)
            y = nn.functional.silu(one) * other
        y = grouped_mm(y, down, ends) * shares.reshape(-1)[order].unsqueeze(-1)
        back = torch.argsort(order) if self.wrong != "order" else order
        y = y[back].view(-1, top, 8).sum(1)
        return y.view(x.shape)  # type: ignore[no-any-return]


def softmax_first(scores: Tensor) -> tuple[Tensor, Tensor]:
    """As Mixtral chooses."""
    shares, chosen = scores.softmax(-1).topk(2)
    shares /= shares.sum(-1, keepdim=True)
    return shares, chosen


def softmax_last(scores: Tensor) -> tuple[Tensor, Tensor]:
    """As gpt-oss chooses."""
    shares, chosen = scores.topk(2)
    return shares.softmax(-1), chosen


def limited(scores: Tensor) -> tuple[Tensor, Tensor]:
    """As DeepSeek-V3 chooses: of the best groups."""
    scores = scores.sigmoid()
    groups = scores.view(-1, 3, 2)
    best = groups.topk(2, -1)[0].sum(-1).topk(2, -1)[1]
    mask = torch.zeros_like(groups[..., 0])
    mask.scatter_(1, best, 1)
    inside = mask.unsqueeze(-1).expand_as(groups).reshape_as(scores)
    chosen = scores.masked_fill(~inside.bool(), -torch.inf).topk(2, -1)[1]
    shares = scores.gather(1, chosen)
    return 2.5 * shares / (shares.sum(-1, keepdim=True) + 1e-20), chosen


CHOSEN: dict[str, tuple[Callable[[Tensor], tuple[Tensor, Tensor]], str]] = {
    "softmax first": (softmax_first, "top: 2\nrenormalise: true"),
    "softmax last": (softmax_last, "top: 2\nrenormalise: true"),
    "shares of all": (lambda scores: scores.softmax(-1).topk(3), "top: 3\n"),
    "limited": (limited, "score: sigmoid\nrenormalise: true\nfactor: 2.5\ngroups: 3\ntop_groups: 2\ngroup_best: 2"),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", CHOSEN)
def test_experts_whose_matrices_lie_together(name: str, turned: bool) -> None:
    """They are a mixture, and how they're chosen is said as `topk` says it; outputs are equal."""
    import archcalc
    from archcalc.importers.imported import imported
    from archcalc.pytorch.original import copied

    choice, text = CHOSEN[name]
    module, x = Experts(choice, turned).eval(), torch.randn(2, 20, 8)
    found = imported(module, [x], "net")
    assert text in re.sub(r"\n +", "\n", found.text.partition("experts: 6")[2])
    network = Network(archcalc.build(found.spec)).eval()
    with torch.no_grad():
        assert [] == list(copied(network, found, dict(module.named_parameters())))
        torch.testing.assert_close(module(x), network(x))


@pytest.mark.parametrize("wrong", ["tokens", "order", "shares"])
def test_what_only_resembles_a_mixture_is_none(wrong: str) -> None:
    """Other tokens, sums of other copies, or shares that don't follow from the scores as `topk` says."""

    def squares(scores: Tensor) -> tuple[Tensor, Tensor]:
        shares, chosen = scores.softmax(-1).topk(2)
        return shares.square(), chosen

    module = Experts(squares if wrong == "shares" else softmax_first, wrong=wrong)
    made = fused(exported(module, [torch.randn(2, 20, 8)])).operations
    assert "from_experts" not in [each.name for each in made]


# --- what is shared ---------------------------------------------------------------------------------------------------


class TiedInSum(nn.Module):
    """As BERT: words and a row for all are added, and words' vectors are the head's matrix, too; one layer runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.kinds, self.head = nn.Embedding(9, 8), nn.Embedding(2, 8), nn.Linear(8, 9)
        self.head.weight = self.words.weight
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.kinds(torch.zeros(1, ids.shape[1], dtype=torch.long))
        return self.head(self.layers[0](self.layers[0](x)))  # type: ignore[no-any-return]


def test_a_matrix_that_is_shared_has_a_name_outside_of_branches() -> None:
    """The head says where its matrix is from, and a module whose name is a number is called as its class is."""
    text = text_of(TiedInSum(), torch.ones(2, 5, dtype=torch.long))
    assert "tie=@words" in text
    assert "  - layers: (unit)*2" in text
