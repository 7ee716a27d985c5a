"""The golden files against what is computed now."""

import json
from pathlib import Path

import pytest

from archcalc.errors import UsageError
from archcalc.golden import check, golden, to_text, update
from archcalc.zoo import load

GOLDEN = Path(__file__).parent.parent / "golden"
SPEC = "archcalc: 1\nname: tiny\ninput: {C: 3, H: 8, W: 8}\nlayers: [conv 4 3x3, relu]\n"


def test_the_zoo_is_as_it_was() -> None:
    """Every zoo name has its golden file, no file is left over, and every value is the same."""
    assert [] == check([], None, GOLDEN)


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of a user's own specs, and one for their golden values."""
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "tiny.yaml").write_text(SPEC)
    return specs, tmp_path / "golden"


def test_missing_changed_and_ownerless_files_are_told(own: tuple[Path, Path]) -> None:
    """A missing file, a changed value and a file that no spec owns are differences; `update` mends and tells them."""
    specs, folder = own
    assert ["tiny: there is no golden file"] == check([], specs, folder)
    assert ["tiny: recorded"] == update([], specs, folder)
    assert [] == check([], specs, folder)

    (specs / "tiny.yaml").write_text(SPEC.replace("conv 4", "conv 5"))
    (folder / "old.json").write_text("{}")
    changes = check([], specs, folder)
    assert "tiny: conv: params was 112, is 140" in changes
    assert "tiny: total: weights was 108, is 135" in changes
    assert f"{folder / 'old.json'}: no spec owns this file" in changes
    assert f"{folder / 'old.json'}: removed, no spec owns it" in update([], specs, folder)
    assert [] == check([], specs, folder)


def test_a_folder_without_specs_is_wrong_usage(tmp_path: Path) -> None:
    """Nothing to check isn't the same as nothing changed: the folder is probably misspelt."""
    with pytest.raises(UsageError, match="there is no spec in"):
        check([], tmp_path, tmp_path)


def test_layers_that_come_and_go_are_named(own: tuple[Path, Path]) -> None:
    """A new layer and one that is gone are told by name."""
    specs, folder = own
    update([], specs, folder)
    (specs / "tiny.yaml").write_text(SPEC.replace("relu", "tanh"))
    assert ["tiny: relu: layer is gone", "tiny: tanh: layer is new"] == check(["tiny"], specs, folder)


def test_a_broken_golden_file_is_an_error(own: tuple[Path, Path]) -> None:
    """A file that is no JSON is refused, with how to get a new one."""
    specs, folder = own
    folder.mkdir()
    (folder / "tiny.json").write_text("{")
    with pytest.raises(UsageError, match="is no golden file"):
        check([], specs, folder)


def test_golden_text_is_json_with_a_line_for_each_layer() -> None:
    """The files are JSON, and a layer's values stand on one line."""
    values = golden(load("vgg16"))
    text = to_text(values)
    assert values == json.loads(text)
    assert len(values["layers"]) == sum(line.startswith("  {") for line in text.splitlines())
    assert 138_357_544 == values["totals"]["params"]
