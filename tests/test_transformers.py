"""Language models of the zoo against the classes of Hugging Face's transformers, built without downloads."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import pytest

import archcalc
from archcalc.zoo import architectures

torch = pytest.importorskip("torch", reason="the classes are PyTorch's")
pytest.importorskip("transformers", reason="it isn't among archcalc's extras: pip install transformers")
pytestmark = pytest.mark.torch

from tests import language_models  # noqa: E402  # it imports PyTorch

TINY = {"d": 48, "layers": 2, "heads": 4, "vocabulary": 30, "length": 9}
GROUPED = {**TINY, "ffn": 40, "groups": 2}
SPECS = (
    "gpt1",
    "gpt2",
    "bert",
    "albert",
    "t5",
    "gpt3",
    "opt",
    "bloom",
    "gptj",
    "gpt_neo",
    "gpt_neox",
    "stablelm",
    "falcon",
    "olmo",
    "gemma",
    "llama",
    "qwen",
    "roberta",
)
VARIANTS = [each.name for each in architectures() if each.spec.name in SPECS]
SMALL: dict[str, dict[str, Any]] = {
    "gpt1": {},
    "bert:bert_base": {},
    "albert:albert_base": {"layers": 3, "narrow": 24},
    "t5:t5_small": {"head": 16, "ffn": 40},
    "gpt2:gpt2_small": {},
    "gpt3:gpt3_small": {},
    "gpt3:cerebras_111m": {},
    "opt:opt_125m": {},
    "opt:opt_350m": {"narrow": 24},
    "bloom:bloom_560m": {},
    "bloom:mpt_7b": {},
    "gptj:gptj_6b": {"turned": 8},
    "gptj:phi1": {"turned": 6},
    "gpt_neo:gpt_neo_125m": {"window": 3},
    "gpt_neox:gpt_neox_20b": {"d": 64},
    "stablelm:stablelm_3b": {"d": 64, "ffn": 40},
    "gpt_neox:pythia_70m": {"d": 64},
    "falcon:falcon_7b": {},
    "falcon:falcon_40b": {"groups": 2},
    "olmo:olmo_1b": {"ffn": 40},
    "olmo:olmo2_32b": GROUPED,
    "gemma:gemma_2b": {"ffn": 40, "head": 16, "scaled": Fraction(1, 4)},
    "gemma:gemma2_2b": {**GROUPED, "head": 16, "window": 3},
    "gemma:gemma3_1b": {"ffn": 40, "head": 16, "window": 3, "layers": 7},
    "llama:llama_7b": GROUPED,
    "llama:llama3.2_1b": GROUPED,
    "llama:mistral_7b": {**GROUPED, "window": 3},
    "llama:mistral_nemo": {**GROUPED, "head": 16},
    "llama:phi3_mini": {**GROUPED, "window": 3},
    "qwen:qwen2.5_7b": {**GROUPED, "head": 12},
    "qwen:qwen3_0.6b": {**GROUPED, "head": 16},
    "roberta:roberta_base": {"positions": 11},
    "roberta:distilbert": {"positions": 9},
}
"""For each form of a family its sizes beside the tiny ones."""


@pytest.mark.parametrize("name", VARIANTS if os.environ.get("ARCHCALC_WHOLE_ZOO") else SMALL)
def test_every_parameter_has_its_counterpart(name: str) -> None:
    """As many parameters of each sort and size, at the size at which the model was published."""
    graph = archcalc.load(name).build()
    with torch.device("meta"):
        mine, other = archcalc.to_torch(graph), language_models.theirs(name, graph)
    own = ((each, (parameter,)) for each, parameter in mine.named_parameters())
    theirs, found = (language_models.counts(pieces) for pieces in (language_models.parts(other), own))
    assert theirs == found
    assert sum(number * size for (*_, size), number in theirs.items()) == archcalc.analyze(graph).total("params")


@pytest.mark.parametrize("name", SMALL)
def test_outputs_and_multiply_adds_are_theirs(name: str) -> None:
    """On the same random weights, at a small size; norms and angles of theirs are float32 in any case."""
    graph = archcalc.load(name).build(hparams={**TINY, **SMALL[name]})
    mine, other = archcalc.to_torch(graph).eval(), language_models.theirs(name, graph)
    limits = (TINY["vocabulary"], 2)  # of tokens' numbers and those of their segments
    inputs = [
        torch.randint(limit // 10, limit, (2, TINY["length"])) for _, limit in zip(graph.inputs, limits, strict=False)
    ]
    with torch.no_grad():
        for each, parameter in other.named_parameters():
            parameter.normal_(std=0.0 if language_models.is_left_out(each, other) else 0.1)
        language_models.hand_over(mine, other, inputs)
        torch.testing.assert_close(*(language_models.run(network, inputs) for network in (mine, other)))
    assert language_models.multiply_adds(other, inputs) == 2 * archcalc.analyze(graph).total("macs")


MAMBA = {
    "norm": "rmsnorm", "mixer.in_proj": "mixer.both", "mixer.conv1d": "mixer.x.dwconv.1", "mixer.x_proj": "mixer.of_x",
    "mixer.dt_proj": "mixer.delta.fc", "mixer.A_log": "mixer.y.rates", "mixer.D": "mixer.y.past", "mixer.out_proj": "mixer.fc",
}  # fmt: skip
"""What parts of a block are called there and here."""


def test_mamba_is_theirs() -> None:
    """On the same random weights; their convolution goes on for three tokens, which are thrown away."""
    from transformers import MambaConfig, MambaForCausalLM

    given = {"d": 48, "layers": 2, "vocabulary": 30, "length": 9, "states": 4}
    graph = archcalc.load("mamba").build(hparams=given)
    mine = archcalc.to_torch(graph).eval()
    other = MambaForCausalLM(MambaConfig(vocab_size=30, hidden_size=48, num_hidden_layers=2, state_size=4)).eval()
    names = {"backbone.embeddings": "embedding", "backbone.norm_f": "norm"}
    names |= {
        f"backbone.layers.{i}.{theirs}": f"block{i + 1}.body.{ours}" for i in range(2) for theirs, ours in MAMBA.items()
    }
    inputs = [torch.randint(0, 30, (2, 9))]
    with torch.no_grad():
        weights = dict(mine.named_parameters())
        for name, parameter in other.named_parameters():
            parameter.normal_(std=0.3)
            whole = name if name in names else name.rpartition(".")[0]
            weights.pop(names[whole] + name.removeprefix(whole)).copy_(parameter)
        assert not weights
        torch.testing.assert_close(other(*inputs, use_cache=False).logits, mine(*inputs))
    thrown_away = 2 * 3 * 4 * 96
    assert language_models.multiply_adds(other, inputs) == 2 * (archcalc.analyze(graph).total("macs") + thrown_away)
