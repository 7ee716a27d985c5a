"""Classes of Hugging Face's transformers, and what is written as they are: inputs by name, several outputs, caches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archcalc import UsageError, analyze, load
from archcalc.__main__ import main
from archcalc.importers.code import input_sizes
from archcalc.importers.sources import Source

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402  # it may not be there

import archcalc  # noqa: E402
from archcalc.importers.operations.exported import meant  # noqa: E402
from tests.helpers import verify  # noqa: E402

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 48,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 60,
}  # fmt: skip


class Scores(nn.Module):
    """A model with inputs by name, a cache, and more outputs than one."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(20, 8), nn.Linear(8, 20)

    def forward(
        self, ids: Tensor | None = None, features: Tensor | None = None, use_cache: bool = True
    ) -> dict[str, Any]:
        """Scores of tokens, or of features."""
        x = self.words(ids) if features is None else features
        if use_cache:
            raise ValueError("no cache is meant")
        return {"loss": None, "logits": self.head(x), "hidden_states": (x, x * 2)}


def test_inputs_have_names_and_outputs_what_they_are_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A module is called by name, without a cache, and of what it gives out scores are meant."""
    both = archcalc.from_torch(Scores(), {"features": torch.randn(2, 5, 8)})
    assert both.spec.source.text.endswith("input: {T: 5, C: 8}\nlayers:\n  - fc 20\n")
    name = "tests.test_hugging_face:Scores"
    code, out, err = verify(capsys, name, "--input", "ids=T=6", "--format", "plain")
    told = [line for line in out.splitlines() if line.startswith("original's") and "saved bytes" not in line]
    assert (0, "", 7) == (code, err, sum(line.endswith("equal") for line in told))
    with pytest.raises(UsageError, match="either all inputs have names, or none"):
        load(name, inputs=["ids=T=6", "5x8"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["loss", "logits", "past_key_values"], ["logits"]),
        (["start_logits", "end_logits", "hidden_states"], ["start_logits", "end_logits"]),
        (["last_hidden_state", "pooler_output", "attentions"], ["last_hidden_state", "pooler_output"]),
        (["last_hidden_state", "encoder_last_hidden_state"], ["last_hidden_state"]),
        (["out", "aux"], ["out", "aux"]),
        (["hidden_states"], ["hidden_states"]),
    ],
)
def test_scores_are_meant_or_else_what_is_no_state(names: list[str], expected: list[str]) -> None:
    """Losses, caches and states on the way aren't what a network is for."""
    assert expected == meant(names)


def test_sizes_of_inputs_that_have_names() -> None:
    """A number of tokens may have one, too."""
    source = Source("net.py:net", "net.py", "net", {})
    assert {"image": (3, 8, 8), "text": 5} == input_sizes(source, ["image=3x8x8", "text=T=5"])
    assert [5, (3, 8)] == input_sizes(source, ["T = 5", "3x8"])


def config_of(folder: Path, **fields: Any) -> str:
    """A config's folder."""
    (folder / "config.json").write_text(json.dumps(LLAMA | fields))
    return f"transformers:{folder}"


def test_a_config_names_its_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It's built as transformers has it, from the config's folder or file, with other values for its fields."""
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    name = config_of(tmp_path)
    code, out, err = verify(capsys, name, "--format", "plain")
    told = [line for line in out.splitlines() if line.startswith("original's") and "saved bytes" not in line]
    assert (0, "", 7) == (code, err, sum(line.endswith("equal") for line in told))
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA | {"num_hidden_layers": 3}))
    file = f"{name}/config.json(num_hidden_layers=3, attention_dropout=0.1)"
    assert model.num_parameters() == analyze(load(file, inputs=["T=9"]).build()).totals["params"]
    assert tmp_path.name.replace("-", "_") == load(name).spec.name
    bare = config_of(tmp_path, architectures=None)
    assert model.model.num_parameters() - 60 * 32 > analyze(load(bare).build()).totals["params"]


def test_configs_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that isn't there, and a field that the config doesn't have."""
    pytest.importorskip("transformers", reason="needs transformers")
    assert 2 == main(["table", f"transformers:{tmp_path}/none"])
    assert f"there is no '{tmp_path}/none'" in capsys.readouterr().err
    assert 2 == main(["table", f"{config_of(tmp_path)}(hidden=5)"])
    assert "has no field 'hidden'" in capsys.readouterr().err
