"""Formulas of famous papers, derived from the graph: `formula` gives each as the paper prints it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import sympy

import archcalc
from archcalc.__main__ import main
from archcalc.errors import UsageError
from archcalc.expand import build
from archcalc.symbolic import dim
from tests.helpers import spec_of

L, d, T, V, ffn, g, head = map(dim, ("layers", "d", "T", "vocabulary", "ffn", "groups", "head"))


def found(network: Any, symbolic: str, columns: str, **choices: Any) -> Any:
    """The formula of one column."""
    (formula,) = archcalc.formula(network, symbolic=symbolic, columns=columns, **choices)
    return formula.general


def equal(expected: Any, actual: Any) -> None:
    """Whatever form they have, the difference of two formulas is 0."""
    assert 0 == sympy.simplify(expected - actual), actual


def test_parameters_of_gpt() -> None:
    """12·L·d²·(1 + 13/(12·d) + (V + P)/(12·L·d)) of Narayanan et al. 2021 (2104.04473), section 5.1, and the last norm.

    Without the tables 12·L·d² to leading order, as in Kaplan et al. 2020 (2001.08361), equation 2.1.
    """
    paper = 12 * L * d**2 * (1 + sympy.Rational(13, 12) / d + (V + 1024) / (12 * L * d))
    equal(paper + 2 * d, found("gpt2", "layers,d,vocabulary", "params"))
    equal(12 * L * d**2 + 13 * L * d + 2 * d, found("gpt2", "layers,d,vocabulary", "non_embedding_params"))


def test_training_flops_of_gpt() -> None:
    """72·L·T·d²·(1 + T/(6·d) + V/(12·L·d)) for a text, Korthikanti et al. 2022 (2205.05198), appendix A."""
    paper = 72 * L * T * d**2 * (1 + T / (6 * d) + V / (12 * L * d))
    equal(paper, found("gpt2", "layers,d,T,vocabulary", "3*flops"))


def test_6nd_and_where_it_is_off() -> None:
    """Training takes 6·N + 12·L·d·T for a token, PaLM's appendix B (2204.02311), if N are the weights of products.

    The 12·L·d·T are attention's; biases, norms and tables that are looked up are multiplied with nothing.
    """
    products = 12 * L * d**2 + V * d
    equal(6 * products + 12 * L * d * T, found("gpt2", "layers,d,T,vocabulary", "3*flops/T"))
    equal(6 * 2 * L * d * T, found("gpt2", "layers,d,T", "3*2*attention_macs/T"))
    off = found("gpt2", "layers,d,T,vocabulary", "6*params - 3*flops/T")
    equal(6 * (13 * L * d + 1024 * d + 2 * d) - 12 * L * d * T, off)
    both = 12 * L * d * T + 24 * L * d**2 + 18 * L * d * ffn + 6 * 32000 * d
    equal(both, found("llama:llama_7b", "layers,d,ffn,T", "3*flops/T"))
    equal(
        6 * (32000 * d + 2 * L * d + d) - 12 * L * d * T,
        found("llama:llama_7b", "layers,d,ffn,T", "6*params - 3*flops/T"),
    )


def test_parameters_of_llama() -> None:
    """Four square matrices, three of the hidden layer and two norms a layer; a norm; and two tables."""
    equal(L * (4 * d**2 + 3 * d * ffn + 2 * d) + d + 2 * 32000 * d, found("llama:llama_7b", "layers,d,ffn", "params"))


@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("bfloat16", 2), ("int8", 1)])
def test_bytes_of_keys_and_values(dtype: str, width: int) -> None:
    """2·L·kv_heads·head_dim·bytes·T, Pope et al. 2022 (2211.05102), section 3.3."""
    equal(
        2 * L * g * head * width * T, found("qwen:qwen2.5_72b", "layers,groups,head,T", "kv_cache_bytes", dtype=dtype)
    )


LATENT = """archcalc: 1
name: latent
input: {T: t, C: 64}
hparams: {t: sym, rank: sym, rope: {value: sym, multiple_of: 2}, absorb: true}
layers: (mla 4 kv_rank=rank head_dim=16 rope_dim=rope causal=true absorb=absorb)*3
"""


def test_bytes_of_latents() -> None:
    """(d_c + d_h^R)·l numbers of a token, DeepSeek-V2 (2405.04434), Table 1, whatever the heads are.

    Absorbed, a step multiplies T latents and their turned numbers for scores, and T latents for what's mixed, for each
    head; as stored, it expands them first.
    """
    t, rank, rope = map(dim, ("t", "rank", "rope"))
    equal(3 * (rank + rope) * 2 * t, found(build(spec_of(LATENT)), "", "kv_cache_bytes", dtype="bfloat16"))
    weights = 3 * (64 * 4 * (16 + rope) + 64 * (rank + rope) + rank * 4 * 32 + 4 * 16 * 64)
    equal(weights + 3 * 4 * t * (2 * rank + rope), found(build(spec_of(LATENT)), "", "decode_macs"))
    stored = build(spec_of(LATENT.replace("absorb: true", "absorb: false")))
    expanded = 3 * (t - 1) * rank * 4 * 32
    equal(weights + expanded + 3 * 4 * t * (32 + rope), found(stored, "", "decode_macs"))


def test_a_window_holds_no_more() -> None:
    """Mistral's rolling buffer (2310.06825, section 2): min(T, 4096) tokens of 2·32·8·128 numbers."""
    equal(2 * 32 * 8 * 128 * 2 * sympy.Min(4096, T), found("llama:mistral_7b", "T", "kv_cache_bytes", dtype="bfloat16"))


def test_a_token_and_those_before_it() -> None:
    """A step multiplies each weight of a product once, and reads all keys and values: 12·L·d² + V·d + 2·L·d·T."""
    equal(12 * L * d**2 + V * d + 2 * L * d * T, found("gpt2", "layers,d,T,vocabulary", "decode_macs"))


def test_attentions_share() -> None:
    """T/(T + 6·d + V/(2·L)): a half where T is 6·d and the logits' part, as Kaplan et al., section 2.1, say of 12·d/2."""
    share = found("gpt2", "layers,d,T,vocabulary", "attention_macs/macs")
    equal(T / (T + 6 * d + V / (2 * L)), share)
    assert sympy.Rational(1, 2) == share.subs({T: 6 * d + V / (2 * L)}).simplify()


# --- what is calculated -------------------------------------------------------------------------------------------


def test_numbers_of_layers_and_names() -> None:
    """A share of a part, with a name of its own; values are exact."""
    formulas = archcalc.formula("gpt2", symbolic="d", columns=["share = decoder.params / params", "wte.params"])
    assert ("share", "wte.params") == formulas.names
    equal((144 * d + 156) / (144 * d + 51439), formulas["share"])
    equal(50257 * d, formulas["wte.params"])
    assert Fraction(85054464, 124439808) == next(iter(formulas)).value
    assert formulas.at(d=12)["share"] == Fraction(144 * 12 + 156, 144 * 12 + 51439)


def test_without_symbols_it_is_a_number() -> None:
    """Of sizes that aren't open, the numbers that the network has."""
    (formula,) = archcalc.formula("gpt2", columns="macs/T", symbolic="N")
    equal(dim("N") * 145824153600 // 1024, formula.general)
    (share,) = archcalc.formula(archcalc.load("gpt2").build(), columns="attention_macs/macs")
    assert Fraction(24576, 185425) == share.value == share.general


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("x/T", "'x/T': there's no number 'x'"),
        ("macs/", "can't read 'macs/'"),
        ("macs/0", "can't calculate 'macs/0': division by zero"),
        ("macs,macs", "a column can be shown once only"),
        ("nowhere.macs", "gpt2_small has no layer 'nowhere'"),
        ("macs < 3", "can't calculate 'macs < 3'"),
    ],
)
def test_what_cannot_be_calculated(columns: str, message: str) -> None:
    """Each mistake is said."""
    with pytest.raises(UsageError) as caught:
        archcalc.formula("gpt2", columns=columns)
    assert message in str(caught.value)


def test_every_form_shows_a_fraction(capsys: pytest.CaptureFixture[str]) -> None:
    """To read, in LaTeX, and for SymPy, where it gets a name that Python can read."""
    asked = ["formula", "gpt2", "--symbolic", "T", "--columns", "attention_macs/macs", "--quiet", "--format"]
    told = {}
    for form in ("unicode", "latex", "sympy", "csv"):
        assert 0 == main([*asked, form])
        told[form] = capsys.readouterr().out
    assert "= 24T/(24T + 160,849)\n" in told["unicode"]
    assert "= 24,576/185,425\n" in told["unicode"]
    assert "≈ 0.1325\n" in told["unicode"]
    assert r"\frac{24{,}576}{185{,}425}" in told["latex"]
    assert "attention_macs_macs = 24*T/(24*T + 160849)" in told["sympy"]
    assert "attention_macs/macs,24576/185425,24*T/(24*T + 160849)\n" in told["csv"]
