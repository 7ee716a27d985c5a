"""Random specs against PyTorch: valid ones must agree in every number, impossible ones must fail on both sides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from archcalc.expand import build
from archcalc.layers import REGISTRY
from archcalc.layers.conv import Conv
from tests import differential
from tests.helpers import graph_of, spec_of
from tests.random_specs import specs
from tests.refusals import LAXER, STRICTER, Trial, trials, verdict

torch = pytest.importorskip("torch", reason="random specs are checked against PyTorch")
pytestmark = pytest.mark.torch

EXAMPLES = 150
"""Specs in an ordinary test run; `python -m tests.differential --examples 20000` checks more."""


def test_random_specs_agree_with_pytorch() -> None:
    """Shapes, params, buffers, MACs and activations of random specs are what PyTorch finds."""
    assert differential.search(EXAMPLES, number=0) == EXAMPLES


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(trials())
def test_impossible_specs_fail_on_both_sides(trial: Trial) -> None:
    """Archcalc refuses a layer exactly where PyTorch does, but for the places that are listed."""
    assert verdict(trial) == ""


def test_random_specs_contain_every_kind() -> None:
    """Whatever is registered is drawn sooner or later: a new kind without a strategy fails here."""
    found: Counter[str] = Counter()
    drawn = {kind for kind, layer in REGISTRY.items() if not layer.is_opaque}  # what can be run
    for number in range(10):
        _draw(number, found)
        if drawn <= set(found):
            break
    assert drawn == set(found) - {"input"}


def _draw(number: int, found: Counter[str]) -> None:
    """Count the kinds in some random specs, others for each number."""

    @seed(number)
    @settings(
        max_examples=200,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(specs())
    def draw(text: str) -> None:
        found.update(node.kind for node in build(spec_of(text)).nodes)

    draw()


@pytest.mark.parametrize(
    ("cls", "formula", "wrong", "said"),
    [
        (Conv, "macs", lambda self, *inputs: self.output_shape(*inputs).numel, "MACs is"),
        (Conv, "biases", lambda *_: 0, "params is"),
    ],
)
def test_wrong_formula_is_found_and_shrunk(
    monkeypatch: pytest.MonkeyPatch, cls: type, formula: str, wrong: object, said: str
) -> None:
    """A mistake in a formula makes the search fail, and the search ends with a small spec."""
    monkeypatch.setattr(cls, formula, wrong)
    with pytest.raises(differential.Disagreement) as caught:
        differential.search(400, number=1)
    text = str(caught.value)
    assert said in text
    assert "conv" in text
    assert len(text.splitlines()) < 20


def test_command_line_says_how_many(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m tests.differential --examples 5 --seed 3`."""
    monkeypatch.setattr("sys.argv", ["differential", "--examples", "5", "--seed", "3"])
    assert differential.main() == 0
    assert "seed 3: 5 specs, no disagreement\n" == capsys.readouterr().out


def test_condition_behind_a_negative_argument() -> None:
    """Found by random specs: `select -1 if …` was read as the start of a choice."""
    layers = "layers: [tokens, select -1 if 2 > 1, fc 2**2 if 1 > 2]\n"
    assert ["input", "tokens", "select -1"] == [str(node.layer) for node in graph_of(layers).nodes]


def test_instance_norm_needs_two_positions() -> None:
    """Found by random specs: PyTorch refuses to normalise a single value."""
    text = "archcalc: 1\nname: t\ninput: {C: 3, H: 1, W: 1}\nlayers: [instancenorm]\n"
    lines = differential.disagreements(text, "meta")
    assert "E208 instancenorm: needs more than one position; the input is 3x1x1 (C,H,W)" in lines[0]


def test_every_known_difference_is_documented() -> None:
    """docs/verify.md lists each place where archcalc and PyTorch refuse different things."""
    text = (Path(__file__).parent.parent / "docs" / "verify.md").read_text(encoding="utf-8")
    for (kind, what), reason in {**STRICTER, **LAXER}.items():
        assert f"`{kind}`" in text
        assert reason in text, what
