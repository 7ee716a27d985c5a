"""The golden files against what is computed now."""

import itertools
import json
import os
import random
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archcalc.cli.run import run
from archcalc.errors import SpecError, UsageError
from archcalc.questions.golden import golden_check, golden_update
from archcalc.questions.golden_files import file_name, golden_values, to_text
from archcalc.zoo import architectures, load

GOLDEN = Path(__file__).parent.parent / "golden"
SPEC = "archcalc: 1\nname: tiny\ninput: {C: 3, H: 8, W: 8}\nlayers: [conv 4 3x3, relu]\n"


def check(names: list[str], specs: Path | None, folder: Path) -> list[str]:
    """The differences as lines."""
    return list(map(str, golden_check(*names, specs=specs, golden=folder)))


def update(names: list[str], specs: Path | None, folder: Path, prune: bool = False) -> list[str]:
    """The changes as lines."""
    return list(map(str, golden_update(*names, specs=specs, golden=folder, prune=prune)))


@pytest.mark.parametrize("part", range(4))
def test_the_zoo_is_as_it_was(part: int) -> None:
    """Every zoo name has its golden file, and every value is the same."""
    names = sorted(architecture.name for architecture in architectures())
    assert [] == check(names[part::4], None, GOLDEN)


def test_no_golden_file_is_left_over() -> None:
    """Each is of a network of the zoo."""
    assert {path.name for path in GOLDEN.glob("*.json")} == {
        file_name(architecture.name) for architecture in architectures()
    }


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
    folder.mkdir()
    assert ["tiny: there is no golden file"] == check([], specs, folder)
    assert ["tiny: recorded"] == update([], specs, folder)
    assert [] == check([], specs, folder)

    (specs / "tiny.yaml").write_text(SPEC.replace("conv 4", "conv 5"))
    changes = check([], specs, folder)
    assert "tiny: conv: params was 112, is 140" in changes
    assert "tiny: total: weights was 108, is 135" in changes

    (specs / "tiny.yaml").write_text(SPEC.replace("tiny", "new"))
    assert f"{folder / 'tiny.json'}: no spec owns this file" in check([], specs, folder)
    told = ["new: recorded", f"{folder / 'tiny.json'}: no spec owns this file; prune=True removes it"]
    assert told == update([], specs, folder)
    assert [f"{folder / 'tiny.json'}: removed, no spec owns it"] == update([], specs, folder, prune=True)
    assert [] == check([], specs, folder)


WIRED = """archcalc: 1
name: tiny
input: {C: 8, H: 8, W: 8}
layers:
  - one: conv 8 3x3 p=1
  - two: conv 8 3x3 p=1
  - join: {concat: [from one, from two]}
  - slope: leaky slope=0.1
  - drop: dropout 0.1
  - tokens: tokens
  - mixed: attention 8
  - head: select 0
outputs: [head, two]
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("[from one, from two]", "[from two, from one]", "tiny: join/concat: inputs was one, two, is two, one"),
        ("[from one, from two]", "[from two, from two]", "tiny: join/concat: inputs was one, two, is two, two"),
        ("slope=0.1", "slope=0.3", "tiny: slope: layer was leaky slope=0.1, is leaky slope=0.3"),
        ("dropout 0.1", "dropout 0.5", "tiny: drop: layer was dropout p=0.1, is dropout"),
        ("attention 8", "attention 8 causal=true", "tiny: mixed: layer was attention 8, is attention 8 causal=true"),
        ("select 0", "select 5", "tiny: head: layer was select 0, is select 5"),
        ("outputs: [head, two]", "outputs: [head, one]", "tiny: file: outputs was head, two, is head, one"),
    ],
)
def test_what_no_number_shows_is_recorded(before: str, after: str, expected: str, own: tuple[Path, Path]) -> None:
    """An argument, a wire or an output that changes no shape and no count is a difference."""
    specs, folder = own
    (specs / "tiny.yaml").write_text(WIRED)
    update([], specs, folder)
    assert before in WIRED
    (specs / "tiny.yaml").write_text(WIRED.replace(before, after))
    assert expected in check([], specs, folder)


def test_files_of_the_first_form_differ_in_one_line(own: tuple[Path, Path]) -> None:
    """A golden file without arguments and inputs is read; that they are missing is said once, not for every layer."""
    specs, folder = own
    update([], specs, folder)
    values = json.loads((folder / "tiny.json").read_text())
    del values["outputs"]
    for layer in values["layers"]:
        del layer["layer"], layer["inputs"]
    (folder / "tiny.json").write_text(json.dumps(values))
    assert ["tiny: file: recorded without the layers' arguments and inputs"] == check([], specs, folder)
    update([], specs, folder)
    assert [] == check([], specs, folder)


def test_many_differences_are_summed_up(own: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Of each network the first differences, how many more there are, and what to do; the other formats list all."""
    specs, folder = own
    (specs / "tiny.yaml").write_text(SPEC.replace("[conv 4 3x3, relu]", "(conv 4 3x3 p=1 -> relu)*30"))
    update([], specs, folder)
    (specs / "tiny.yaml").write_text(SPEC.replace("[conv 4 3x3, relu]", "(conv 5 3x3 p=1 -> relu)*30"))
    asked = ["golden", "check", "--specs", str(specs), "--golden", str(folder)]
    assert 1 == run(asked)
    lines = capsys.readouterr().out.splitlines()
    every = len(check([], specs, folder))
    assert f"tiny: {every - 20:,} more differences; --format plain lists all" == lines[20]
    assert "1 differs; archcalc golden update records what is computed now" == lines[21]
    assert 1 == run([*asked, "--format", "csv"])
    assert 1 + every == len(capsys.readouterr().out.splitlines())


def test_a_folder_that_refuses_says_so(own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be made or removed is an error that names it, not one of Python's."""
    specs, folder = own
    update([], specs, folder)
    (specs / "tiny.yaml").write_text(SPEC.replace("tiny", "new"))

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(UsageError, match=re.escape(f"can't remove '{folder / 'tiny.json'}': permission denied")):
            update([], specs, folder, prune=True)
    below = specs / "tiny.yaml" / "golden"
    with pytest.raises(UsageError, match=re.escape(f"can't write '{below}': not a directory")):
        update([], specs, below)


def test_only_what_was_recorded_is_removed(own: tuple[Path, Path]) -> None:
    """Other people's files stay, whatever they hold, and what another run recorded stays unless it is to be pruned."""
    specs, folder = own
    update([], specs, folder)
    kept = {
        "package.json": '{"name": "tiny", "version": "1"}',
        "empty.json": "",
        "other.json": (folder / "tiny.json").read_text(),  # of this form, but under another name
        "more.json": (folder / "tiny.json").read_text().replace('"name": "tiny"', '"name": "more", "extra": 1'),
    }
    for name, text in kept.items():
        (folder / name).write_text(text)
    (folder / "folder.json").mkdir()
    (specs / "tiny.yaml").rename(specs / "now.yaml")
    (specs / "now.yaml").write_text(SPEC.replace("tiny", "now"))
    update([], specs, folder)
    assert (folder / "tiny.json").is_file()
    update([], specs, folder, prune=True)
    assert not (folder / "tiny.json").exists()
    assert kept == {name: (folder / name).read_text() for name in kept}
    assert [] == check([], specs, folder)


def test_a_file_in_the_way_stays(own: tuple[Path, Path]) -> None:
    """A spec may be called `package`: its golden file doesn't take the place of somebody's package.json."""
    specs, folder = own
    (specs / "tiny.yaml").write_text(SPEC.replace("tiny", "package"))
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "x"}')
    with pytest.raises(UsageError, match="is not a golden file"):
        update([], specs, folder)
    assert '{"name": "x"}' == (folder / "package.json").read_text()


def test_a_folder_without_specs_is_wrong_usage(tmp_path: Path) -> None:
    """Nothing to check isn't the same as nothing changed: the folder is probably misspelt."""
    with pytest.raises(UsageError, match="there is no spec in"):
        check([], tmp_path, tmp_path)


def test_layers_that_come_and_go_are_named(own: tuple[Path, Path]) -> None:
    """A new layer and one that is gone are told by name."""
    specs, folder = own
    update([], specs, folder)
    (specs / "tiny.yaml").write_text(SPEC.replace("relu", "tanh"))
    told = [line for line in check(["tiny"], specs, folder) if ": total: " not in line]
    assert ["tiny: relu: layer is gone", "tiny: tanh: layer is new", "tiny: file: outputs was relu, is tanh"] == told


@pytest.mark.parametrize("part", [0, 1, 5, 20, 200, -1])
def test_a_broken_golden_file_is_a_difference_and_can_be_replaced(own: tuple[Path, Path], part: int) -> None:
    """Half a file, or an empty one, as a full disk once left it: `check` fails, `update` writes a new one."""
    specs, folder = own
    update([], specs, folder)
    whole = (folder / "tiny.json").read_text()
    (folder / "tiny.json").write_text(whole.rstrip()[:part])
    (problem,) = check([], specs, folder)
    assert problem.startswith(f"tiny: can't read '{folder / 'tiny.json'}': ")
    assert [problem.replace("tiny: ", "tiny: replaced: ", 1)] == update([], specs, folder)
    assert whole == (folder / "tiny.json").read_text()


def _spoil(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    """A change to the values of a golden file."""

    def spoiled(text: str) -> str:
        values = json.loads(text)
        change(values)
        return json.dumps(values)

    return spoiled


SPOILED: dict[str, Callable[[str], str]] = {
    "a float for an integer": lambda text: text.replace('"params": 112', '"params": 112.0'),
    "an exponent for an integer": lambda text: text.replace('"params": 112', '"params": 1.12e2'),
    "a text for an integer": lambda text: text.replace('"params": 112', '"params": "112"'),
    "true for 1": lambda text: text.replace('"archcalc": 1', '"archcalc": true'),
    "true for a stride of 1": lambda text: text.replace('"effective_stride": 1', '"effective_stride": true'),
    "false for 0": lambda text: text.replace('"buffers": 0', '"buffers": false'),
    "a key twice": lambda text: text.replace('"archcalc": 1', '"archcalc": 2,\n "archcalc": 1'),
    "a key twice in a layer": lambda text: text.replace('"params": 112', '"params": 9, "params": 112'),
    "NaN": lambda text: text.replace('"params": 112', '"params": NaN'),
    "another top-level key": _spoil(lambda values: values.update(extra=1)),
    "another key in a layer": _spoil(lambda values: values["layers"][0].update(extra=1)),
    "another total": _spoil(lambda values: values["totals"].update(extra=1)),
    "a missing key": _spoil(lambda values: values.pop("conditions")),
    "a missing column": _spoil(lambda values: values["layers"][1].pop("params")),
    "a layer twice": _spoil(lambda values: values["layers"].insert(0, values["layers"][0])),
    "another order": _spoil(lambda values: values["layers"].reverse()),
    "a layer without a name": _spoil(lambda values: values["layers"].append({})),
    "null": _spoil(lambda values: values["totals"].update(params=None)),
    "no layers": _spoil(lambda values: values.update(layers={})),
    "another name": _spoil(lambda values: values.update(name="other")),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_file_edited_by_hand_does_not_pass(own: tuple[Path, Path], how: str) -> None:
    """What JSON or Python takes for the same is another file all the same."""
    specs, folder = own
    update([], specs, folder)
    file = folder / "tiny.json"
    text = file.read_text()
    file.write_text(SPOILED[how](text))
    assert text != file.read_text()
    assert check([], specs, folder)
    update([], specs, folder)
    assert text == file.read_text()


def test_links_are_neither_read_nor_written_through(own: tuple[Path, Path], tmp_path: Path) -> None:
    """A golden file or folder that is a symbolic link may lead anywhere: what is there is neither shown nor changed."""
    specs, folder = own
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_text('{"token": "ghp_secret"}')
    (folder / "tiny.json").symlink_to(secret)
    assert "ghp_secret" not in str(check([], specs, folder))
    with pytest.raises(UsageError, match="symbolic link"):
        update([], specs, folder)
    (tmp_path / "link").symlink_to(folder)
    for call in (check, update):
        with pytest.raises(UsageError, match="symbolic link"):
            call([], specs, tmp_path / "link")
    assert '{"token": "ghp_secret"}' == secret.read_text()


def test_fifos_and_devices_are_refused_at_once(own: tuple[Path, Path]) -> None:
    """Nobody waits for a FIFO in the folder."""
    specs, folder = own
    folder.mkdir()
    os.mkfifo(folder / "tiny.json")
    os.mkfifo(folder / "more.json")
    assert "not a regular file" in str(check([], specs, folder))
    with pytest.raises(UsageError, match="not a regular file"):
        update([], specs, folder)


def test_no_two_names_share_a_file() -> None:
    """Not on file systems that ignore case, nor where letters with accents are written in two ways."""
    parts = ["a", "A", "a.b", "a+b", "e\u0301", "\xe9", "con", "a~b", "\u212a", "k", "K"]
    names = {*parts, *(f"{a}:{b}" for a, b in itertools.product(parts, parts))}
    files = {unicodedata.normalize("NFC", file_name(name).casefold()) for name in names}
    assert len(names) == len(files)
    assert ("vgg16.json", "resnet.plain34.json") == (file_name("vgg16"), file_name("resnet:plain34"))


@pytest.mark.parametrize("name", ["a:b", "net"])
def test_two_networks_of_one_name_are_refused(own: tuple[Path, Path], name: str) -> None:
    """They would write one file in turns, and never be as recorded."""
    specs, folder = own
    several = SPEC.replace("tiny", "net") + "variants: {x: {}, y: {as: net}}\n"
    texts = {"a:b": SPEC.replace("tiny", "a.b"), "net": several}
    (specs / "other.yaml").write_text(texts[name])
    (specs / "third.yaml").write_text(SPEC.replace("tiny", "a") + "variants: {c: {}, b: {}}\n")
    if name == "net":
        with pytest.raises(UsageError, match="two networks are called 'net'"):
            update([], specs, folder)
    else:
        assert {"tiny: recorded", "a: recorded", "a:b: recorded", "a.b: recorded"} == set(update([], specs, folder))
        assert [] == check([], specs, folder)


def test_golden_text_is_json_with_a_line_for_each_layer() -> None:
    """The files are JSON, and a layer's values stand on one line."""
    values = golden_values(load("vgg16"))
    text = to_text(values)
    assert values == json.loads(text)
    assert len(values["layers"]) == sum(line.startswith("  {") for line in text.splitlines())
    assert 138_357_544 == values["totals"]["params"]


MUTATIONS = [
    "",
    "0",
    "1",
    "true",
    "null",
    "1.0",
    "1e0",
    "-",
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "NaN",
    '"a": 1,',
    "\x00",
    "é",
]


def test_no_change_of_a_letter_passes(own: tuple[Path, Path]) -> None:
    """A golden file with something cut out or put in, anywhere, is told, unless only white space is another."""
    specs, folder = own
    update([], specs, folder)
    file = folder / "tiny.json"
    text = file.read_text()
    draw = random.Random(1)
    for _ in range(400):
        start = draw.randrange(len(text))
        changed = text[:start] + draw.choice(MUTATIONS) + text[start + draw.choice([0, 0, 1, 1, 2, 5]) :]
        file.write_text(changed)
        told = check([], specs, folder)
        same = "".join(changed.split()) == "".join(text.split())
        assert same or told, changed


def test_golden_values_from_python(own: tuple[Path, Path]) -> None:
    """Answers say whether all is well, and what isn't; a spec and a folder may be given instead of names."""
    specs, folder = own
    assert not golden_check(specs, golden=folder).ok
    assert golden_update(specs / "tiny.yaml", golden=str(folder)).ok
    assert ["all values are as recorded"] == list(golden_check(specs, golden=folder).sentences())
    assert golden_check(specs=specs, golden=folder) == golden_check(load(specs / "tiny.yaml").spec, golden=folder)
    (specs / "tiny.yaml").write_text(SPEC.replace("conv 4", "conv 5"))
    found = golden_check(specs=str(specs), golden=folder)
    assert ("112", "140") == next((each.recorded, each.computed) for each in found if each.what == "params")
    assert len(found) == len(found.to_dict())
    (specs / "tiny.yaml").write_text(SPEC.replace("tiny", "new"))
    updated = golden_update(specs=specs, golden=folder)
    assert (False, [str(folder / "tiny.json")]) == (updated.ok, [each.name for each in updated.left])
    assert golden_update(specs=specs, golden=folder, prune=True).ok
    assert [] == list(golden_update(specs=specs, golden=folder))


def test_a_broken_spec_does_not_keep_others_from_being_compared(
    own: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are compared and recorded, the error is told, and nothing is taken for a file that no spec owns."""
    specs, folder = own
    (specs / "two.yaml").write_text(SPEC.replace("tiny", "two"))
    update([], specs, folder)
    asked = ["--specs", str(specs), "--golden", str(folder)]
    for broken in (SPEC.replace("tiny", "two").replace("conv 4", "conv 4 99x99"), "name: ["):
        (specs / "two.yaml").write_text(broken)
        (specs / "tiny.yaml").write_text(SPEC)
        update(["tiny"], specs, folder)
        (specs / "tiny.yaml").write_text(SPEC.replace("conv 4", "conv 5"))
        with pytest.raises(SpecError):
            golden_check(specs=specs, golden=folder)
        errors: list[Any] = []
        found = golden_check(specs=specs, golden=folder, on_error=errors.append)
        assert ({"tiny"}, 1) == ({each.name for each in found}, len(errors))
        assert 1 == run(["golden", "check", *asked])
        out, err = capsys.readouterr()
        assert "tiny: conv: params was 112, is 140" in out
        assert "two.yaml:" in err
        assert 1 == run(["golden", "update", *asked, "--prune"])
        assert "tiny: conv: params was 112, is 140" in capsys.readouterr().out
        assert {"tiny.json", "two.json"} == {file.name for file in folder.iterdir()}
        assert 1 == run(["golden", "check", *asked])
        out, err = capsys.readouterr()
        assert ("", True) == (out, "two.yaml:" in err)
