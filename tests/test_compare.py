"""`archcalc compare` and `archcalc diff`: networks side by side, and what changed between revisions."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from archcalc.cli.run import run
from archcalc.errors import UsageError
from archcalc.questions.compare import compare
from archcalc.questions.revisions import diff
from tests.helpers import HEAD


def test_totals_and_parts() -> None:
    """Torchvision's parameters of both ResNets, their ratio, and the only scopes that differ."""
    found = compare("resnet50", "resnet101")
    assert (25_557_032, 44_549_160) == found.totals["params"]
    assert (1, Fraction(44_549_160, 25_557_032)) == found.ratios("params")
    assert ["conv4"] == [part.name for part in found.parts]
    assert [("added", "conv4/*", 17)] == [(each.kind.value, each.path, each.places) for each in found.changes]


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
        (["vgg16", "vgg19", "--columns", "depth"], "'depth' is a number of a whole network"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each mistake is named; the exit code is 2."""
    assert 2 == run(["compare", *arguments])
    assert message in capsys.readouterr().err


# --- revisions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with specs in a folder: one changes, one goes, one comes, one breaks, one stays."""
    specs = tmp_path / "specs"
    specs.mkdir()

    def write(name: str, layers: str) -> None:
        (specs / f"{name}.yaml").write_text(HEAD.replace("name: t", f"name: {name}") + f"layers: {layers}\n")

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@t.t", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", *who, "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    for name in ("changes", "goes", "stays", "breaks"):
        write(name, "conv 8 3x3")
    (specs / "link.yaml").symlink_to("/etc/passwd")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    git("tag", "v1")
    (specs / "link.yaml").unlink()
    (specs / "goes.yaml").unlink()
    write("changes", "conv 16 3x3")
    write("comes", "conv 4 3x3")
    write("breaks", "conv 8 99x99")
    git("add", "-A")
    git("commit", "-m", "second")
    return specs


def test_revisions(repository: Path) -> None:
    """Every network is in one list; what can't be built on one side is named with the reason."""
    found = diff("v1", specs=repository)
    assert (["comes"], ["goes"], ["changes"], 1) == (
        [*found.added], [*found.removed], [*found.changed], found.unchanged,
    )  # fmt: skip
    assert ["breaks (now)"] == [*found.broken]
    assert 8 * (27 + 1) == found.changed["changes"].difference("params")
    assert [*found.changed] == [*diff("v1", "HEAD", repository).changed]
    nothing = diff("HEAD", specs=repository)
    assert ({}, {}, {}) == (nothing.added, nothing.removed, nothing.changed)


def test_diff_prints_a_comment(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In Markdown, ready for a pull request; with --exit-code differences are an exit code of 1."""
    text = printed(capsys, "diff", "v1", "--specs", str(repository), "--format", "markdown")
    assert "| changes | changed | +224 | +194,400 |" in text
    assert "| changed | conv | conv 8 3x3 → conv 16 3x3 | 1 | +224 | +194,400 |" in text
    assert "1 added, 1 removed, 1 changed, 1 unchanged" in text
    assert 1 == run(["diff", "v1", "--specs", str(repository), "--exit-code"])
    capsys.readouterr()


@pytest.mark.parametrize("revision", ["nowhere", "--help", "-x", "v1:specs", "$(touch x)"])
def test_a_revision_is_a_revision(revision: str, repository: Path) -> None:
    """What git doesn't know is wrong usage; an option is none, and nothing is run."""
    with pytest.raises(UsageError, match="git knows no revision"):
        diff(revision, specs=repository)


def test_a_folder_outside_of_git(tmp_path: Path) -> None:
    """Where there is no repository there are no revisions."""
    with pytest.raises(UsageError, match="git knows no revision"):
        diff("main", specs=tmp_path)
