"""Hugging Face configs as specs: they have the parameters of transformers' classes, and what isn't understood is said."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import archcalc
from archcalc import UsageError
from archcalc.__main__ import main
from archcalc.importers.configs.config import MOST
from archcalc.importers.configs.fields import periodic
from archcalc.importers.configs.model_types import TYPES
from tests.random_configs import fields_of, params_of, random_config, written_by_transformers

LLAMA3: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 128000,
    "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 14336, "max_position_embeddings": 8192, "model_type": "llama", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": None, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.40.0.dev0", "use_cache": True, "vocab_size": 128256,
}  # fmt: skip
ZOO: dict[str, dict[str, Any]] = {
    "llama3_8b": LLAMA3,
    "mistral_7b": {"model_type": "mistral"},
    "qwen2.5_7b": {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
                   "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "rope_theta": 1e6},
    "qwen3_8b": {"model_type": "qwen3", "intermediate_size": 12288, "num_hidden_layers": 36, "num_key_value_heads": 8,
                 "rope_theta": 1e6},
    "qwen3_30b_a3b": {"model_type": "qwen3_moe", "num_hidden_layers": 48, "norm_topk_prob": True, "head_dim": 128},
    "qwen1.5_moe_a2.7b": {"model_type": "qwen2_moe"},
    "mixtral_8x7b": {"model_type": "mixtral"},
    "olmo_7b": {"model_type": "olmo"},
    "olmo2_7b": {"model_type": "olmo2", "vocab_size": 100352, "rms_norm_eps": 1e-6, "rope_theta": 500000},
    "olmoe": {"model_type": "olmoe", "intermediate_size": 1024},
    "gpt_oss_120b": {"model_type": "gpt_oss"},
    "deepseek_v3": {"model_type": "deepseek_v3"},
    "deepseek_v2": {"model_type": "deepseek_v2", "hidden_size": 5120, "intermediate_size": 12288, "n_group": 8,
                    "num_hidden_layers": 60, "num_attention_heads": 128, "moe_intermediate_size": 1536,
                    "n_routed_experts": 160, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "topk_group": 3,
                    "topk_method": "group_limited_greedy", "routed_scaling_factor": 16.0},
    "gpt2_small": {"model_type": "gpt2"},
    "gptj_6b": {"model_type": "gptj"},
    "gpt_neox_20b": {"model_type": "gpt_neox", "hidden_act": "gelu_fast"},
    "phi1": {"model_type": "phi"},
    "phi3_mini": {"model_type": "phi3", "sliding_window": 2047},
    "opt_125m": {"model_type": "opt"},
    "opt_350m": {"model_type": "opt", "hidden_size": 1024, "ffn_dim": 4096, "num_hidden_layers": 24,
                 "num_attention_heads": 16, "word_embed_proj_dim": 512, "do_layer_norm_before": False},
    "bloom_176b": {"model_type": "bloom", "hidden_size": 14336, "n_layer": 70, "n_head": 112},
    "falcon_7b": {"model_type": "falcon"},
    "falcon_40b": {"model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128,
                   "num_kv_heads": 8, "new_decoder_architecture": True},
    "bert_base": {"model_type": "bert", "architectures": ["BertModel"]},
    "distilbert": {"model_type": "distilbert"},
    "albert_base": {"model_type": "albert", "architectures": ["AlbertModel"], "hidden_size": 768,
                    "num_attention_heads": 12, "intermediate_size": 3072},
}  # fmt: skip
"""Configs of models that the zoo has."""
WRONG = {
    '{"a": 1}': "has no model_type",
    "[1]": "a config is an object with fields",
    "{": "can't read '.*': expecting property name",
    '{"model_type": "llama", "model_type": "llama"}': "a key appears twice",
    '{"model_type": "lama"}': "model_type 'lama' isn't known",
    '{"model_type": "llama", "hidden_size": -4}': "hidden_size is -4, and has to be an integer from 1 to",
    '{"model_type": "llama", "hidden_size": "4"}': "hidden_size is '4', and has to be an integer",
    '{"model_type": "llama", "hidden_size": null}': "hidden_size is null, and has to be an integer",
    '{"model_type": "llama", "hidden_size": true}': "hidden_size is True, and has to be an integer",
    '{"model_type": "llama", "hidden_size": 1e400}': "1e400 is too large",
    '{"model_type": "llama", "hidden_size": 100}': "num_attention_heads is 32, which doesn't divide the width, 100",
    '{"model_type": "llama", "num_hidden_layers": 1000000000}': "has to be an integer from 0 to 1,000",
    '{"model_type": "llama", "mlp_bias": 1}': "mlp_bias is 1, and has to be true or false",
    '{"model_type": "llama", "hidden_act": "xielu"}': "hidden_act is 'xielu', and may be silu, ",
    '{"model_type": "llama", "ffn_norm": 1, "experts": 2}': "'experts', 'ffn_norm' are fields that aren't understood",
    '{"model_type": "llama", "architectures": ["LlamaForTokenClassification"]}': "LlamaForTokenClassification isn't",
    '{"model_type": "llama", "pruned_heads": {"0": [1]}}': "pruned_heads is .*, and nothing but {} or null",
    '{"model_type": "cohere", "use_qk_norm": true}': "use_qk_norm is True, and nothing but false is understood",
    '{"model_type": "deepseek_v2"}': "num_experts_per_tok is null, and has to be an integer",
    '{"model_type": "mixtral", "num_experts_per_tok": 9}': "topk: top=9 is more than the 8 experts",
    '{"model_type": "gemma2", "layer_types": ["x"]}': "layer_types has to be 26 of full_attention and",
}


def totals(config: Any) -> dict[str, Any]:
    """What a config's model has in all."""
    return dict(archcalc.analyze(archcalc.from_config(config).build()).totals)


@pytest.mark.parametrize("kind", TYPES)
def test_params_are_those_of_transformers_class(kind: str) -> None:
    """For configs drawn at random: heads, groups, widths, layers, biases, tied matrices, places of norms.

    Also when transformers has written the config, with all its fields.
    """
    pytest.importorskip("transformers")
    configs = [random_config(kind, seed) for seed in range(5)]
    expected = [params_of(config) for config in configs]
    assert expected == [totals(config)["params"] for config in configs]
    assert expected == [totals(written_by_transformers(config))["params"] for config in configs]


@pytest.mark.parametrize("kind", [
    "cohere", "gemma3_text", "glm", "glm4", "gpt_neo", "granite", "olmo3", "stablelm", "starcoder2",
])  # fmt: skip
def test_outputs_are_those_of_transformers_class(kind: str) -> None:
    """With its weights, as far as its norms and angles, which are float32, allow; and its multiply-adds."""
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    from tests.language_models import hand_over, multiply_adds, run

    config = random_config(kind, 1) | {"architectures": [TYPES[kind].class_name("ForCausalLM")]}
    made = transformers.AutoConfig.for_model(**config)
    made._attn_implementation = "eager"
    torch.manual_seed(0)
    theirs = getattr(transformers, config["architectures"][0])(made).eval().double()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, int(parameter.ndim == 1), 0.2)
    graph = archcalc.from_config(config).build(hparams={"length": 7})
    ours = archcalc.to_torch(graph).eval().double()
    tokens = [torch.randint(0, config["vocab_size"], (2, 7))]
    with torch.no_grad():
        hand_over(ours, theirs, tokens)
        found, expected = run(ours, tokens), run(theirs, tokens)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert multiply_adds(theirs, tokens) == 2 * archcalc.analyze(graph).totals["macs"]


@pytest.mark.parametrize("kind", TYPES)
def test_absent_fields_have_transformers_defaults(kind: str) -> None:
    """Each that is read; of one that is null what follows from others is transformers' own to say."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoConfig.for_model(kind).to_dict()
    ours = {field: value for field, value in fields_of(kind).items() if value is not None and field in theirs}
    assert {field: theirs[field] for field in ours} == ours


@pytest.mark.parametrize("name", ZOO)
def test_models_of_the_zoo_come_from_their_configs(name: str) -> None:
    """The same parameters and multiply-adds, biases and depth, and what's remembered of a text."""
    expected = dict(archcalc.analyze(archcalc.load(name).build(hparams={"length": 64})).totals)
    found = dict(archcalc.analyze(archcalc.from_config(ZOO[name]).build(hparams={"length": 64})).totals)
    quantities = ("params", "biases", "buffers", "macs", "activations", "depth", "active_params", "kv_cache_bytes")
    assert {each: expected.get(each) for each in quantities} == {each: found.get(each) for each in quantities}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_not_understood_is_an_error(text: str, tmp_path: Path) -> None:
    """It names the field and its value; nothing is guessed."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=WRONG[text]):
        archcalc.load(tmp_path / "config.json")


def test_any_field_may_be_hostile() -> None:
    """Whatever a field is, there is a spec, or an error that is one of usage."""
    draw = random.Random(0)
    values = [None, -1, 0, 3, 10**30, 0.5, 1e300, True, "", "x\x1b", [], [[]], {}, {"rope_theta": []}, [1] * 9]
    for _ in range(300):
        config = random_config(draw.choice([*TYPES]), draw.randrange(9))
        fields = [*config, "rope_parameters", "layer_types", "sliding_window", "architectures"]
        config |= {draw.choice(fields): draw.choice(values) for _ in range(2)}
        try:
            archcalc.from_config(config).build()
        except UsageError as error:
            assert str(error)


def test_layers_in_no_order_may_be_too_many() -> None:
    """A condition that names hundreds of layers is longer than a spec's may be; a few are said one by one."""
    mixed: dict[str, Any] = {"model_type": "qwen3_moe", "num_hidden_layers": 40, "mlp_only_layers": [3, 8, 29]}
    assert "if i == 4 or i == 9 or i == 30 else mixture" in archcalc.from_config(mixed).spec.source.text
    layers = random.Random(1).sample(range(1000), 500)
    with pytest.raises(UsageError, match="the config: ") as raised:
        archcalc.from_config(mixed | {"num_hidden_layers": 1000, "mlp_only_layers": layers})
    assert "never used" not in str(raised.value)


def test_files_that_are_no_configs(tmp_path: Path) -> None:
    """A missing, a huge, a deep one, one that isn't text; and of what a link leads to nothing is told."""
    huge, deep, binary, secret = (tmp_path / f"{name}.json" for name in ("huge", "deep", "binary", "secret"))
    huge.write_text('{"model_type": "' + "a" * MOST + '"}')
    deep.write_text("[" * 100_000)
    binary.write_bytes(b"\xff\xfe\0")
    secret.write_text('{"model_type": "llama", "password": 1}')
    (tmp_path / "inner").mkdir()
    link = tmp_path / "inner" / "link.json"
    link.symlink_to(secret)
    expected = {huge: "it is larger than", deep: "it is nested too deep", binary: "it is not UTF-8", link: "leads out"}
    for path, message in {**expected, tmp_path / "none.json": "there is no file"}.items():
        with pytest.raises(UsageError, match=message) as raised:
            archcalc.load(path)
        assert "password" not in str(raised.value)
    for wrong in (3, "llama", tmp_path):
        with pytest.raises(UsageError, match="config"):
            archcalc.from_config(wrong)  # type: ignore[arg-type]


def test_a_config_stands_wherever_a_name_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file, its folder, a link into a cache; `import` writes a spec that is the same network."""
    (tmp_path / "blob").write_text(json.dumps(LLAMA3))
    folder = tmp_path / "llama"
    folder.mkdir()
    (folder / "config.json").symlink_to(tmp_path / "blob")
    spec = tmp_path / "net.yaml"
    assert 0 == main(["import", str(folder), "-o", str(spec)])
    tables = []
    for name in (folder, folder / "config.json", spec):
        assert 0 == main(["table", str(name), "--input", "T=1024"])
        tables.append(capsys.readouterr().out)
    assert 1 == len(set(tables))
    assert 0 == main(["show", str(folder), "--spec"])
    assert spec.read_text() == capsys.readouterr().out
    assert 2 == main(["import", str(folder), "-o", str(spec)])
    assert 2 == main(["import", str(folder), "--input", "T=3"])


def test_neither_pytorch_nor_sympy_is_needed(tmp_path: Path) -> None:
    """A config is read as data."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA3))
    code = (
        "import sys, archcalc; archcalc.analyze(archcalc.load(sys.argv[1]).build());"
        "print([name for name in ('torch', 'sympy', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_bodies_without_heads() -> None:
    """`architectures` names the class: `LlamaModel` makes no logits."""
    body = LLAMA3 | {"architectures": ["LlamaModel"]}
    assert 128256 * 4096 == totals(LLAMA3)["params"] - totals(body)["params"]


@pytest.mark.parametrize("count", range(1, 10))
def test_conditions_say_which_passes(count: int) -> None:
    """Any choice of layers, as an expression that holds in them alone."""
    for number in range(2**count):
        flags = [bool(number >> at & 1) for at in range(count)]
        text = periodic(flags)
        said = [bool(eval(text, {"i": i})) for i in range(1, count + 1)] if text else [flags[0]] * count
        assert flags == said


def test_the_types_are_documented() -> None:
    """All that are known are listed, and no others."""
    text = (Path(__file__).parent.parent / "docs" / "importing.md").read_text()
    listed = text.partition("values of `model_type` are known: ")[2].partition(".")[0]
    assert [*TYPES] == [each.strip(" `\n") for each in listed.split(",")]
