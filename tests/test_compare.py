"""`archcalc compare` and `archcalc diff`: networks side by side, and what changed between revisions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import pytest

import archcalc
from archcalc.__main__ import main
from archcalc.cli.run import run
from archcalc.errors import UsageError
from archcalc.questions.compare import compare
from archcalc.questions.revisions import diff
from archcalc.work import budget
from archcalc.zoo import architectures, spec_files
from tests.helpers import HEAD


def test_totals_and_parts() -> None:
    """Torchvision's parameters of both ResNets, their ratio, and the only scopes that differ."""
    found = compare("resnet50", "resnet101")
    assert (25_557_032, 44_549_160) == found.totals["params"]
    assert (1, Fraction(44_549_160, 25_557_032)) == found.ratios("params")
    assert ["conv4"] == [part.name for part in found.parts]
    assert [("added", "conv4/*", 17)] == [(each.kind.value, each.path, each.places) for each in found.changes]


def test_networks_that_are_too_long_to_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Totals and scopes are as those of short ones; changes aren't looked for."""
    with patch.object(archcalc.Graph, "is_listed", new_callable=PropertyMock, return_value=False):
        short = compare("resnet:cifar", hparams={"n": 9}).parts
    assert compare("resnet:cifar", hparams={"n": 9}).parts == short
    assert 0 == main(["compare", "resnet:cifar", "--set", "n=1000000000", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert [20, 6 * 10**9 + 2] == found["totals"]["depth"]
    assert (None, ["conv2", "conv3", "conv4"]) == (found["changes"], [part["name"] for part in found["parts"]])
    assert 0 == main(["compare", "resnet:cifar", "--set", "n=1000000000"])
    assert "there are too many layers to say which of them changed" in capsys.readouterr().out
    assert 1 == main(["compare", "resnet:cifar", "--set", "n=1000000000", "--changes"])


def test_parts_add_up_where_nothing_is_alike() -> None:
    """Of two unlike networks all scopes are parts; together they are the totals."""
    found = compare("vgg16", "unet")
    for name, amounts in found.totals.items():
        if all(name in part.amounts for part in found.parts):
            for place, total in enumerate(amounts):
                assert total == sum(part.amounts[name][place] or 0 for part in found.parts), name


def test_equal_names_are_told_apart() -> None:
    """Two networks of one name have numbers, three have one column each."""
    assert ("vgg16 (1)", "vgg16 (2)", "vgg19") == compare("vgg16", "vgg16", "vgg19").names


def test_a_single_network_is_not_compared() -> None:
    """One is too few, and between three there are no changes."""
    with pytest.raises(UsageError, match="two networks"):
        compare("vgg16")
    with pytest.raises(UsageError, match="between two"):
        compare("vgg16", "vgg19", "vgg11").changes  # noqa: B018


def test_values_hold_for_all_networks() -> None:
    """And make of a single one two: as it stands, and changed; as the command does."""
    for values in ({"hparams": {"size": 256}}, {"sizes": {"H": 256, "W": 256}}):
        built = [archcalc.load(name).build(sizes={"H": 256, "W": 256}) for name in ("vgg16", "vgg19")]
        assert compare(*built).totals == compare("vgg16", "vgg19", **values).totals
        found = compare("vgg16", **values)
        assert compare("vgg16", built[0]).totals == found.totals
        assert ("vgg16", f"vgg16 {'size=256' if 'hparams' in values else 'H=256 W=256'}") == found.names
    with pytest.raises(UsageError, match="vgg16 is a graph, which is built already"):
        compare(built[0], "vgg16", hparams={"size": 256})


@pytest.mark.parametrize("values", [{}, {"batch": 4, "dtype": "float16"}])
def test_python_compares_as_the_command_does(values: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Labels included."""
    options = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    for names in (["alexnet"], ["alexnet", "zfnet"], ["alexnet", "alexnet"]):
        text = printed(capsys, "compare", *names, "--set", "conv1.stride=3", *options, "--format", "json")
        assert json.loads(text) == compare(*names, hparams={"conv1.stride": 3}, **values).to_dict()


def test_what_a_dtype_does_not_have_is_left_out() -> None:
    """Integers have no gradients: their networks are compared in everything else, with others too."""
    found = compare("vgg16", "vgg19", dtype="int8")
    assert ((None, None), None) == (found.totals["saved_bytes"], found.difference("saved_bytes"))
    assert "saved_bytes" not in found.parts[0].amounts.keys() | found.changes[0].cost.keys()
    mixed = compare(archcalc.analyze("vgg16"), archcalc.analyze("vgg16", dtype="int8"))
    assert -3 * 15_237_608 == mixed.difference("activation_bytes")
    assert -3 * 15_237_608 == sum(change.cost["activation_bytes"] for change in mixed.changes)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints."""
    assert 0 == run(list(arguments)), capsys.readouterr().err
    return capsys.readouterr().out


def test_compare_prints_the_differences(capsys: pytest.CaptureFixture[str]) -> None:
    """Totals, ratio and change, scope by scope, and the changes with their costs."""
    text = printed(capsys, "compare", "vgg16", "vgg19")
    assert "params               138,357,544     143,667,240  1.04x      +5,309,696\n" in text
    assert "conv3  1,475,328  1.1 %  2,065,408  1.4 %\n" in text
    assert "added   conv3/4  1 conv, 1 relu  1    +590,080  +1,849,688,064\n" in text


def test_a_network_with_and_without_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a single name, the network as it stands and with --set; what was typed is the heading."""
    text = printed(capsys, "compare", "vgg16", "--set", "size=256", "--format", "csv")
    assert "quantity,vgg16,vgg16 size=256" == text.splitlines()[0]
    assert "changed,input,3x224x224 → 3x256x256,1,0,0" not in text  # CSV has the totals
    found = json.loads(printed(capsys, "compare", "vgg16", "--set", "size=256", "--format", "json"))
    assert {"before": "3x224x224", "after": "3x256x256"}.items() <= found["changes"][0].items()


@pytest.mark.parametrize("form", ["plain", "markdown", "html", "latex", "csv", "json"])
def test_every_format(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Three networks, and two that are not alike, in every format."""
    assert "resnet50" in printed(capsys, "compare", "resnet50", "resnet101", "vgg16", "--format", form)
    assert "unet" in printed(capsys, "compare", "unet", "vgg16", "--changes", "--format", form)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg16"], "one network can't be compared"),
        (["vgg16", "vgg19", "vgg11", "--changes"], "changes are between two networks"),
        (["vgg16", "vgg19", "--columns", "parms"], "no quantity is called 'parms'"),
        (["vgg16", "vgg19", "--columns", "macs,macs"], "a column can be shown once only"),
        (["vgg16", "vgg19", "--columns", "saved_bytes", "--dtype", "int8"], "int8 has no gradients"),
        (["vgg16", "vgg19", "--columns", "depth"], "'depth' is a number of a whole network"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake is named; the exit code is 2."""
    assert 2 == run(["compare", *arguments])
    assert message in capsys.readouterr().err


# --- revisions -------------------------------------------------------------------------------------------------------


NEEDS_GIT = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody, whatever the machine's settings are."""
    who = ["-c", "user.name=t", "-c", "user.email=t@t.t", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with specs in a folder: one changes, one goes, one comes, one breaks, one stays."""
    specs = tmp_path / "specs"
    specs.mkdir()

    def write(name: str, layers: str) -> None:
        (specs / f"{name}.yaml").write_text(HEAD.replace("name: t", f"name: {name}") + f"layers: {layers}\n")

    for name in ("changes", "goes", "stays", "breaks"):
        write(name, "conv 8 3x3")
    (specs / "link.yaml").symlink_to("/etc/passwd")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "v1")
    (specs / "link.yaml").unlink()
    (specs / "goes.yaml").unlink()
    write("changes", "conv 16 3x3")
    write("comes", "conv 4 3x3")
    write("breaks", "conv 8 99x99")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "second")
    return specs


@NEEDS_GIT
def test_revisions(repository: Path) -> None:
    """Every network is in one list; what can't be built on one side is named with the reason."""
    found = diff("v1", specs=repository)
    assert (["comes"], ["goes"], ["changes"], 1) == (
        [*found.added], [*found.removed], [*found.changed], found.unchanged,
    )  # fmt: skip
    assert ["breaks (now)"] == [*found.broken]
    assert 8 * (27 + 1) == found.changed["changes"].difference("params")
    assert [*found.changed] == [*diff("v1", "HEAD", specs=repository).changed]
    nothing = diff("HEAD", specs=repository)
    assert ({}, {}, {}) == (nothing.added, nothing.removed, nothing.changed)
    nothing = diff("v1", "v1", specs=repository)
    assert not nothing
    assert "v1 to v1\n\nno changes, 4 unchanged" == repr(nothing)
    assert "**v1 to v1**\n\nno changes, 4 unchanged\n" == nothing.to("markdown")
    assert "network,change,macs\n" == nothing.to("csv", columns="macs")


@NEEDS_GIT
def test_diff_prints_a_comment(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In Markdown, ready for a pull request; with --exit-code differences are an exit code of 1."""
    text = printed(capsys, "diff", "v1", "--specs", str(repository), "--format", "markdown")
    assert "| changes | changed | +224 | +194,400 |" in text
    assert "| changed | conv | conv 8 3x3 → conv 16 3x3 | 1 | +224 | +194,400 |" in text
    assert "1 added, 1 removed, 1 changed, 1 unchanged" in text
    assert 1 == run(["diff", "v1", "--specs", str(repository), "--exit-code"])
    capsys.readouterr()


@NEEDS_GIT
@pytest.mark.parametrize("revision", ["nowhere", "--help", "-x", "v1:specs", "$(touch x)"])
def test_a_revision_is_a_revision(revision: str, repository: Path) -> None:
    """What git doesn't know is wrong usage; an option is none, and nothing is run."""
    with pytest.raises(UsageError, match="git knows no revision"):
        diff(revision, specs=repository)


@NEEDS_GIT
def test_networks_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    """Two files of one network are named; a file whose name isn't UTF-8 is read like any other."""
    (tmp_path / "readme").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    for file in ("one.yaml", "two.yaml"):
        (tmp_path / file).write_text(HEAD + "layers: relu\n")
    (tmp_path / os.fsdecode(b"\xff.yaml")).write_text(HEAD.replace("name: t", "name: odd") + "layers: relu\n")
    with budget():
        found = diff("HEAD", specs=tmp_path)
    assert ["odd", "t"] == sorted(found.added)
    assert ["t (now)"] == [*found.broken]
    assert "two files declare it" in found.broken["t (now)"]
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "second")
    assert ["odd", "t"] == sorted(diff("HEAD~1", "HEAD", specs=tmp_path).added)


@NEEDS_GIT
def test_a_whole_zoo_may_be_new(tmp_path: Path) -> None:
    """Each network has a budget of its own: all that were added are there, with their totals."""
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "nothing")
    for file in spec_files():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with budget():
        found = diff("HEAD", specs=tmp_path)
    assert (len([*architectures()]), {}) == (len(found.added), found.broken)
    assert 138_357_544 == found.added["vgg16"].totals["params"]


@NEEDS_GIT
def test_a_folder_outside_of_git(tmp_path: Path) -> None:
    """Where there is no repository there are no revisions."""
    with pytest.raises(UsageError, match="git knows no revision"):
        diff("main", specs=tmp_path)
