"""Mixtures of experts against every expert on every token, weighed by hand; their counts, and what an expert can't be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import archcalc
from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.layers.per_expert import PerExpert
from archcalc.questions.analyze import analyze
from archcalc.shape import Shape
from archcalc.symbolic import dim
from tests.every_volume import problem
from tests.helpers import spec_of
from tests.layer_cases import make, volume

EXPERTS = {
    "one matrix": "fc 6",
    "swiglu": "[{mul: {gate: fc 5 bias=false -> silu, up: fc 5 bias=false}}, fc 6 bias=false]",
    "norms": "rmsnorm -> fc 4 -> gelu -> ln -> fc 6",
    "repeats": "(fc 6 -> tanh)*3",
    "a block in a residual": "{residual: wide 7}",
}
SIZES = (5, 6)  # tokens, features


def spec(expert: str, more: str, name: str = "moe") -> str:
    """The text of a spec with one mixture of 4 experts, or of its expert alone."""
    item = f"{{moe: {expert}, experts: 4, {more}}}" if name == "moe" else f"{{expert: {expert}}}"
    blocks = "blocks:\n  wide(n): fc n -> relu -> fc 6\n" if "wide" in expert else ""
    tokens, features = SIZES
    return f"archcalc: 1\nname: t\ninput: {{T: {tokens}, C: {features}}}\n{blocks}layers:\n  - {item}\n"


def graph(expert: str, more: str, name: str = "moe") -> Graph:
    """That spec, built."""
    return build(spec_of(spec(expert, more, name)))


def by_hand(scores: list[float], top: int, options: dict[str, Any], correction: list[float]) -> dict[int, float]:
    """The experts of one token and their shares, from the papers' formulas; `scores` are softmaxes or sigmoids."""
    compared = [score + more for score, more in zip(scores, correction, strict=True)]
    candidates = list(range(len(scores)))
    if groups := options.get("groups"):
        size = len(scores) // groups
        parts = [candidates[i * size : (i + 1) * size] for i in range(groups)]
        best = {
            i: sum(sorted(compared[e] for e in part)[-options.get("group_best", 1) :]) for i, part in enumerate(parts)
        }
        taken = sorted(best, key=best.__getitem__)[-options["top_groups"] :]
        candidates = [e for i in taken for e in parts[i]]
    chosen = sorted(candidates, key=compared.__getitem__)[-top:]
    whole = sum(scores[e] for e in chosen) if options.get("renormalise") else 1.0
    return {e: scores[e] / whole * float(options.get("factor", 1)) for e in chosen}


@pytest.mark.torch
@pytest.mark.parametrize("expert", EXPERTS.values(), ids=EXPERTS)
@pytest.mark.parametrize("top", [1, 3])
def test_a_mixture_is_every_expert_on_every_token_times_its_share(expert: str, top: int) -> None:
    """Values and gradients, of networks that send tokens to modules, and of sums over all experts."""
    torch = pytest.importorskip("torch", reason="the modules are PyTorch's")
    from archcalc.pytorch.network import Network

    torch.manual_seed(top)
    network = Network(graph(expert, f"top: {top}, renormalise: true, shared: fc 6")).double()
    x = torch.randn(3, *SIZES, dtype=torch.float64, requires_grad=True)
    expected = dense(network, expert, x, top)
    actual = network(x)
    torch.testing.assert_close(expected, actual)
    seed = torch.randn_like(actual)
    learned = [x, *network.parameters()]
    wanted = torch.autograd.grad(expected, learned, seed, allow_unused=True)
    for leaf, *found in zip(
        learned, wanted, torch.autograd.grad(actual, learned, seed, allow_unused=True), strict=True
    ):
        torch.testing.assert_close(*(torch.zeros_like(leaf) if each is None else each for each in found))


def dense(network: Any, expert: str, x: Any, top: int) -> Any:
    """The same without sending anything: all experts on all tokens."""
    import torch
    from torch.func import functional_call

    from archcalc.pytorch.network import Network

    alone = Network(graph(expert, "", "expert")).double()
    shares = network.router(x).softmax(-1)
    least = shares.topk(top).values[..., -1:]
    shares = torch.where(shares >= least, shares, 0)
    shares = shares / shares.sum(-1, keepdim=True)
    total = network.shared(x)
    for number in range(4):
        own = {
            name: network.get_parameter(f"{owner}.expert.{last}")[number]
            for name, _ in alone.named_parameters()
            for owner, _, last in [name.rpartition(".")]
        }
        total = total + shares[..., number, None] * functional_call(alone, own, (x,))
    return total


@pytest.mark.torch
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"renormalise": True},
        {"score": "sigmoid", "factor": Fraction(5, 2)},
        {"score": "sigmoid", "renormalise": True, "correction": True},
        {"groups": 4, "top_groups": 2},
        {"score": "sigmoid", "correction": True, "groups": 3, "top_groups": 2, "group_best": 2, "renormalise": True},
    ],
    ids=str,
)
def test_shares_are_those_of_the_formulas(options: dict[str, Any]) -> None:
    """Token by token, of 12 experts, with numbers for the choice alone."""
    torch = pytest.importorskip("torch", reason="the modules are PyTorch's")
    torch.manual_seed(1)
    module = make("topk", 3, **options).torch_module(volume("T7 C12")).double()
    if module.balance is not None:
        module.balance.copy_(torch.randn(12) / 4)
    x = torch.randn(2, 7, 12, dtype=torch.float64)
    scores = x.sigmoid() if options.get("score") == "sigmoid" else x.softmax(-1)
    correction = [0.0] * 12 if module.balance is None else module.balance.tolist()
    expected = torch.zeros_like(x)
    for n, t in [(n, t) for n in range(2) for t in range(7)]:
        for place, share in by_hand(scores[n, t].tolist(), 3, options, correction).items():
            expected[n, t, place] = share
    torch.testing.assert_close(expected, module(x))


@pytest.mark.torch
def test_the_greatest_scores_softmax_is_the_softmax_of_the_greatest() -> None:
    """`renormalise` is Mixtral's and gpt-oss's order: first the greatest scores, then their softmax."""
    torch = pytest.importorskip("torch", reason="the modules are PyTorch's")
    torch.manual_seed(2)
    x = torch.randn(2, 7, 12, dtype=torch.float64)
    shares = make("topk", 3, renormalise=True).torch_module(volume("T7 C12"))(x)
    values, places = x.topk(3)
    torch.testing.assert_close(torch.zeros_like(x).scatter(-1, places, values.softmax(-1)), shares)


@pytest.mark.torch
@pytest.mark.parametrize(("top", "tokens"), [(1, 4), (2, 3), (3, 3)])
def test_copies_of_a_token_are_neighbours_but_for_their_order_in_memory(top: int, tokens: int) -> None:
    """Where that order is the tokens' own, gradients show what `reads` says; shares are read of the same token alone."""
    torch = pytest.importorskip("torch", reason="gradients are PyTorch's")
    experts = tokens * max(1, top - 1) + 1
    router = torch.zeros(1, tokens, experts)
    for t in range(tokens):  # the last expert of a token is the first of the next one
        router[0, t, t * max(1, top - 1) :][:top] = torch.arange(top, 0, -1) + 1.0
    x, shares = volume(f"T{tokens} C2"), Shape(T=tokens, C=experts)
    sent = make("dispatch", "router", top)
    copied = sent.output_shape(x, shares)
    for layer, shape in ((sent, x), (make("combine", "router", top), copied)):
        module = layer.torch_module(shape, shares)
        inputs = torch.rand(1, *shape.values(), requires_grad=True), router.clone().requires_grad_()
        y = module(*inputs)
        along = layer.reads(shape, shares)[0].along["T"]  # type: ignore[union-attr]
        for place in range(layer.output_shape(shape, shares).T):  # type: ignore[call-overload]  # a number
            gradients = torch.autograd.grad(y[0, place, 0], inputs, retain_graph=True, allow_unused=True)
            read = {int(t) for t in gradients[0][0, :, 0].nonzero()}
            assert {t for t in range(shape.T) if along.read_by(1 << place, shape.T) >> t & 1} == read  # type: ignore[call-overload]
            if layer.kind == "combine":
                assert {place} == {int(t) for t, _ in gradients[1][0].nonzero()}


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize("expert", EXPERTS.values(), ids=EXPERTS)
@pytest.mark.parametrize("top", [1, 2, 4])
def test_a_mixture_has_all_experts_and_uses_some(expert: str, top: int) -> None:
    """Params of every expert, active params and multiply-adds of those that a token is sent to, and the router's."""
    alone, mixed = (analyze(graph(expert, f"top: {top}", name)).totals for name in ("expert", "moe"))
    router = (SIZES[1] * 4, SIZES[1] * 4, SIZES[0] * SIZES[1] * 4)
    expected = (4 * alone["params"], top * alone["params"], top * alone["macs"])
    actual = (mixed["params"], mixed["active_params"], mixed["macs"])
    assert expected == tuple(total - own for total, own in zip(actual, router, strict=True))
    assert alone["params"] == alone["active_params"]


def test_a_step_of_decoding_sends_one_token() -> None:
    """Nothing is remembered between tokens, so the last of them costs what each does, with symbols, too."""
    totals = analyze(graph(EXPERTS["swiglu"], "top: 3, shared: fc 6")).totals
    assert (totals["macs"], totals["macs"], 0) == (
        SIZES[0] * totals["decode_macs"], totals["prefill_macs"], totals["kv_cache_bytes"]
    )  # fmt: skip
    text = spec("fc 6", "top: k").replace("layers:", "hparams: {k: 2}\nlayers:")
    opened = analyze(build(spec_of(text), "", {"k": dim("k")})).totals["decode_macs"]
    assert 36 * dim("k") + 24 == opened


@pytest.mark.torch
@pytest.mark.parametrize("expert", EXPERTS.values(), ids=EXPERTS)
@pytest.mark.parametrize("more", ["top: 1", "top: 2, score: sigmoid, correction: true, shared: fc 6 -> relu"])
def test_pytorch_counts_the_same(expert: str, more: str) -> None:
    """Params, buffers, multiply-adds, saved, least and peak bytes of a run; exported code computes the same."""
    pytest.importorskip("torch", reason="PyTorch is measured")
    from archcalc.pytorch.verification import verify
    from tests.every_volume import exported

    made = graph(expert, more)
    assert [] == [difference for check in verify(analyze(made, 2), "meta").checks for difference in check.differences]
    assert "" == exported(made)


@pytest.mark.torch
@pytest.mark.parametrize(
    "inner", [make("fc", 3), make("ln"), make("scale"), make("prelu", 8), make("fc", 4, bias=False)], ids=str
)
def test_a_layer_of_each_expert_is_what_pytorch_says(inner: Any) -> None:
    """Shape, params and multiply-adds, what autograd keeps, and what is alive, where all tokens are at one expert."""
    torch = pytest.importorskip("torch", reason="PyTorch is measured")
    from torch.utils.flop_counter import FlopCounterMode

    from archcalc.pytorch.alive import peak_bytes
    from archcalc.pytorch.saved import SavedTensors
    from tests.test_memory import WIDTHS

    layer, x, router = PerExpert(inner, 5, 2), volume("T6 C8"), volume("T3 C5")
    module, shares = layer.torch_module(x, router), torch.arange(5.0).expand(2, 3, 5).clone()
    entering = torch.rand(2, 6, 8, requires_grad=True)
    found = SavedTensors((*module.parameters(), *module.buffers()))
    with found, FlopCounterMode(display=False) as counter:
        y = module(entering * 1, shares)
    kept = layer.kept((True, False), x, router)
    expected = len(kept.inputs) * entering.nbytes + sum(2 * e.amount * WIDTHS[e.width] for e in kept.extras)
    most = max(sum(2 * e.amount * WIDTHS[e.width] for e in moment) for moment in layer.working(x, router))
    assert (2, *layer.output_shape(x, router).values()) == tuple(y.shape)
    assert (layer.params(x, router), 4 * layer.macs(x, router)) == (
        sum(p.numel() for p in module.parameters()), counter.get_total_flops()
    )  # fmt: skip
    assert expected == sum(found.bytes_by_layer().values())
    alone = torch.zeros(2, 3, 5)
    alone[..., 0] = 1  # two experts have all tokens, one each
    assert most >= peak_bytes(module, (entering, alone)) - entering.nbytes - alone.nbytes


@pytest.mark.torch
def test_random_mixtures_are_what_pytorch_says() -> None:
    """A few of those of `python -m tests.fuzz_mixtures`."""
    pytest.importorskip("torch", reason="PyTorch is measured")
    from tests.fuzz_mixtures import search

    assert 4 == search(4, 7)


def test_numbers_of_experts_may_be_symbols() -> None:
    """Experts, how many a token is sent to, and tokens: formulas with numbers put in are the numbers' own."""
    text = spec(EXPERTS["swiglu"], "top: k, renormalise: true, shared: fc 6").replace("experts: 4", "experts: e")
    text = text.replace("layers:", "hparams: {e: 4, k: 2}\nlayers:")
    opened = analyze(build(spec_of(text), "", {"e": dim("e"), "k": dim("k")}, {"T": dim("T")}))
    names = ("params", "active_params", "macs", "activations", "saved_bytes", "peak_bytes")
    for e, k, t in ((4, 2, 5), (7, 3, 2), (16, 1, 9)):
        closed = analyze(build(spec_of(text), "", {"e": e, "k": k}, {"T": t})).totals
        numbers = {dim("e"): e, dim("k"): k, dim("T"): t}
        assert {name: closed[name] for name in names} == {
            name: int(opened.totals[name].subs(numbers)) for name in names
        }
    assert "k <= e" in [str(each) for each in opened.graph.conditions]


# ---------------------------------------------------------------- what can't be in an expert


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("moe: fc 6, experts: 4, top: 5", "topk: top=5 is more than the 4 experts that there are"),
        ("moe: fc 5, experts: 4, top: 2", "moe: an expert takes 10x6 (T,C) and returns 10x5 (T,C); both must be equal"),
        ("moe: attention 2, experts: 4, top: 2", "attention: mixes tokens, or tells them apart by their places; an expert sees one at a time"),
        ("moe: pos_embed, experts: 4, top: 2", "pos_embed: mixes tokens, or tells them apart by their places; an expert sees one at a time"),
        ("moe: lstm 6, experts: 4, top: 2", "lstm: mixes tokens, or tells them apart by their places; an expert sees one at a time"),
        ("moe: flatten -> fc 6, experts: 4, top: 2", "flatten: mixes tokens, or tells them apart by their places; an expert sees one at a time"),
        ("moe: bn, experts: 4, top: 2", "bn: has buffers; what each expert has is learned, from one token at a time"),
        ("moe: param T=10 C=6, experts: 4, top: 2", "param: mixes tokens, or tells them apart by their places; an expert sees one at a time"),
        ("moe: {add: [fc 6, from a]}, experts: 4, top: 1", "add: an expert reads 'a' from outside, where tokens have other places"),
        ("moe: from a, experts: 4, top: 1", "moe: an expert reads 'a' from outside, where tokens have other places"),
        ("moe: {moe: fc 6, experts: 2, top: 1}, experts: 4, top: 1", "moe: mixes tokens, or tells them apart by their places; an expert sees one at a time"),
        ("moe: fc 6, experts: 4, top: 2, router: fc 5", "moe: the router scores 5 experts, there are experts=4"),
        ("moe: fc 6 tie=@a, experts: 4, top: 2", "fc: a layer of each expert can't share the weights of 'a'"),
        ("moe: fc 6, experts: 4, top: 2, groups: 2", "topk: takes groups and top_groups, or neither"),
        ("moe: fc 6, experts: 4, top: 2, groups: 4, top_groups: 1", "topk: top=2 is more than the 1 that there are to choose from"),
        ("moe: fc 6, experts: 4", "topk: top is missing"),
        ("moe: fc 6, top: 4, shared: relu", "'experts' is missing"),
    ],
)  # fmt: skip
def test_what_an_expert_cannot_be(item: str, message: str) -> None:
    """Each mistake is said where it is."""
    text = f"archcalc: 1\nname: t\ninput: {{T: 5, C: 6}}\nlayers:\n  - a: fc 6\n  - {{{item}}}\n"
    with pytest.raises(SpecError) as caught:
        build(spec_of(text))
    assert message in [found.message for found in caught.value.diagnostics]


def test_a_mixture_needs_tokens() -> None:
    """A vector has no tokens that could be sent anywhere, and a map has none yet."""
    for sizes in ("C: 6", "C: 6, H: 4, W: 4"):
        text = (
            f"archcalc: 1\nname: t\ninput: {{{sizes}}}\nlayers:\n  - {{moe: fc 6, experts: 4, top: 2, router: relu}}\n"
        )
        with pytest.raises(SpecError, match=r"needs a score of each expert for each token \(T, C\)"):
            build(spec_of(text))


@pytest.mark.torch
def test_tokens_of_regions_are_sent_one_by_one() -> None:
    """Regions share the experts, as windows of an image would."""
    pytest.importorskip("torch", reason="PyTorch is measured")
    assert "" == problem("RTC", "{moe: fc 5 -> relu -> fc 4, experts: 3, top: 2, shared: fc 4}")


@pytest.mark.torch
def test_experts_may_be_far_too_many_to_build() -> None:
    """Without memory a layer runs for one of them, however many there are."""
    pytest.importorskip("torch", reason="PyTorch is measured")
    from archcalc.pytorch.verification import verify

    many = build(spec_of(spec("fc 6", "top: 1").replace("experts: 4", "experts: 1000000000000")))
    assert [] == [difference for check in verify(analyze(many), "meta").checks for difference in check.differences]


def test_a_layer_may_be_called_moe() -> None:
    """A name alone stays a name."""
    assert "moe" in build(spec_of("archcalc: 1\nname: t\ninput: {T: 5, C: 6}\nlayers:\n  - moe: fc 6\n"))


# ---------------------------------------------------------------- questions about them


def test_active_params_are_a_number_as_others_are(tmp_path: Path) -> None:
    """In tables, JSON, claims, sweeps, formulas and solving."""
    text = spec(EXPERTS["swiglu"], "top: k").replace("layers:", "hparams: {k: 2}\nlayers:")
    file = tmp_path / "t.yaml"
    file.write_text(text + "claims:\n  - {source: by hand, active_params: 204, 'active_params(expert/up)': <61}\n")
    assert [True, True] == [each.ok for each in archcalc.claims(file)]
    assert [[1, 114], [2, 204], [3, 294]] == [
        [*row] for row in archcalc.sweep(file, "active_params", k="1..3").table().values()
    ]
    assert "90*k + 24" == str(archcalc.formula(file, symbolic="k")["active_params"])
    assert "largest k 3" in str(archcalc.solve(file, symbolic="k", active_params=294))
    assert 204 == archcalc.analyze(file).totals["active_params"]
