"""What claims, check, golden and verify are about: names, files, folders of specs, and what else Python may give."""

import importlib.util
import json
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import archcalc
from archcalc.__main__ import main
from archcalc.errors import ArchcalcError, SpecError, UsageError
from archcalc.pytorch.compare import Verification
from archcalc.questions.verify import Progress

SPEC = """archcalc: 1
name: NAME
input: {C: 3, H: 8, W: 8}
hparams: {width: 4}
layers: conv width 3 -> relu
variants: {small: {}, large: {width: 8}}
claims: [{source: me, params: {small: 112, large: 224}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with a folder `own` of two specs, each with two variants, and another spec further inside."""
    for name, where in (("one", "own"), ("two", "own"), ("three", "own/more")):
        (tmp_path / where).mkdir(exist_ok=True, parents=True)
        (tmp_path / where / f"{name}.yaml").write_text(SPEC.replace("NAME", name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("given", ["own", "own/", "./own", "../FOLDER/own"])
def test_check_of_a_folder(given: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of its specs, in all of their variants; what isn't read is said."""
    given = given.replace("FOLDER", folder.name)
    assert 0 == main(["check", given])
    out, err = capsys.readouterr()
    place = Path(given)
    assert [
        f"{place / name}: no errors, no warnings, 2 variants built" for name in ("one.yaml", "two.yaml")
    ] == out.splitlines()
    assert "specs in subfolders are not read: more\n" == err


def test_a_broken_spec_of_a_folder_does_not_hide_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its errors stand among the others' answers; and `claims` judges the rest before it ends."""
    (folder / "own" / "one.yaml").write_text("archcalc: 1\nname: one\ninput: {C: 3}\nlayers: rellu\n")
    assert 1 == main(["check", "own", "--format", "json"])
    assert ["E080"] == [found["code"] for found in json.loads(capsys.readouterr().out)["diagnostics"]]
    assert 1 == main(["claims", "own", "--format", "json"])
    out, err = capsys.readouterr()
    assert ["own/two.yaml"] * 2 == [record["name"] for record in json.loads(out)]
    assert "E080" in err


@pytest.mark.parametrize("command", ["check", "claims", "golden check", "golden update"])
def test_a_folder_without_specs_is_wrong_usage(command: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to look at isn't the same as nothing wrong."""
    (folder / "empty").mkdir()
    assert 2 == main([*command.split(), "empty"])
    assert "there is no spec in empty" in capsys.readouterr().err


def test_the_zoo_goes_ahead_of_a_folder_of_the_same_name(folder: Path) -> None:
    """A folder called as a network is: with a slash it's the folder."""
    (folder / "own").rename(folder / "vgg16")
    assert ["vgg16"] == [spec.name for spec in archcalc.check("vgg16").specs]
    assert 2 == len(archcalc.check("vgg16/").specs)
    assert 2 == len(archcalc.check(Path("vgg16")).specs)


def test_what_is_meant_by_a_name(folder: Path) -> None:
    """A spec, its path and its name mean all of its variants; an architecture, and a name of a variant, one."""
    path = folder / "own" / "one.yaml"
    small = archcalc.load(path)
    for whole in (path, str(path), small.spec, "own/one.yaml"):
        assert (2, 2) == (len(archcalc.claims(whole)), archcalc.check(whole).specs[0].variants)
    for single in (small, "own/one.yaml:small", "own/one.yaml:large"):
        assert (1, 1) == (len(archcalc.claims(single)), archcalc.check(single).specs[0].variants)
    assert (2, 2) == (len(archcalc.claims("one", specs="own")), len(archcalc.golden_check(small.spec, golden="none")))
    assert (4, 4) == (len(archcalc.claims(specs="own")), len(archcalc.golden_check("own", golden="none")))
    assert archcalc.claims("own").verdicts == archcalc.claims(specs="own").verdicts


def test_verify_from_python(folder: Path) -> None:
    """A folder's and a spec's architectures, one by one, what has no sizes left out; names and graphs are one network."""
    (folder / "own" / "open.yaml").write_text(SPEC.replace("NAME", "open").replace("H: 8", "H: sym"))
    found = archcalc.verify("own", device="meta", hparams={"width": 5})
    assert ("one", "one:large", "two", "two:large") == tuple(net.name for net in found)
    assert tuple(f"{name} (sizes without a value)" for name in ("open", "open:large")) == found.left_out
    assert (True, {"140"}) == (found.ok, {str(net.checks[1].found) for net in found})
    assert [{"width": "5"}] * 4 == [net.hparams for net in found]
    report = archcalc.analyze(archcalc.load("one", Path("own")).build(width=6), batch=3)
    (net,) = archcalc.verify(report, device="meta")
    assert (3, 168, report.total("macs")) == (net.batch, net.checks[1].found, net.checks[3].found)
    small = archcalc.verify("own/one.yaml", sizes={"H": 5, "W": 5}, batch=1, dtype="float64", device="cpu")["one"]
    assert (True, "float64", 3 * 25 + 4 * 9) == (small.ok, small.dtype, small.checks[4].found)
    with pytest.raises(UsageError, match="no network is called 'tow'"):
        archcalc.verify("own", device="meta")["tow"]


def test_progress_of_a_verification(folder: Path) -> None:
    """How many layers there are, each of them, and each network when it's done."""
    calls: list[Any] = []

    class Told(Progress):
        def begin(self, layers: int) -> None:
            calls.append(layers)

        def layer(self, name: str) -> None:
            calls.append(name)

        def end(self, found: Verification) -> None:
            calls.append(found)

    found = archcalc.verify("own/one.yaml:small", "own/two.yaml:small", device="meta", progress=Told())
    assert [6, *["one"] * 3, found.nets[0], *["two"] * 3, found.nets[1]] == calls


def test_errors_of_one_of_several(folder: Path) -> None:
    """They're raised, unless somebody else takes them; then the others have their answer."""
    refused: list[ArchcalcError] = []
    found = archcalc.claims("own/one.yaml", "nosuch", "own/two.yaml", on_error=refused.append)
    assert (4, True, 1) == (len(found), found.ok, len(refused))
    with pytest.raises(UsageError, match="no architecture is called 'nosuch'"):
        archcalc.claims("own/one.yaml", "nosuch")
    with pytest.raises(UsageError, match="no architecture is called 'nosuch'"):
        archcalc.check("nosuch")


def test_findings_are_data(folder: Path) -> None:
    """Diagnostics with code, place and hint; a spec that can't be read is an answer, not an exception."""
    (folder / "own" / "one.yaml").write_text("archcalc: 1\nname: one\ninput: {C: 3}\nlayers: rellu\n")
    found = archcalc.check("own")
    assert (False, 1) == (found.ok, len(found))
    (wrong,) = found
    assert ("E080", 4, "did you mean 'relu'?") == (wrong.code, wrong.mark and wrong.mark.line, wrong.hint)
    assert archcalc.check("own/two.yaml", hparams={"width": 16}).ok
    assert ("works for all sizes",) == archcalc.check("own/two.yaml:small", symbolic=["width"]).specs[0].conditions
    with pytest.raises(SpecError):
        archcalc.claims("own")


QUESTIONS: dict[str, Callable[..., Any]] = {
    "claims": archcalc.claims,
    "check": archcalc.check,
    "verify": lambda *names, **more: archcalc.verify(*names, **{"device": "meta", **more}),
    "golden_check": lambda *names, **more: archcalc.golden_check(*names, **{"golden": "none", **more}),
    "golden_update": lambda *names, **more: archcalc.golden_update(*names, **{"golden": "none", **more}),
}
ALL = QUESTIONS | {"verify_against": archcalc.verify_against}
GRAPH = "vgg16 is a graph, which is built already"
MISUSE: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    *((name, (given,), {}, reason) for name in QUESTIONS for given, reason in (
        (3, "not by 3"), (None, "not by None"), (["vgg16"], r"not by \['vgg16'\]"), (b"vgg16", "not by b'vgg16'"),
        ("vgg17", "did you mean 'vgg19'"), ("", "no architecture is called ''"), ("vgg:Q", "no variant 'Q'"),
    )),
    *((name, (given,), {}, reason) for name in QUESTIONS if name != "verify" for given, reason in (
        (archcalc.load("vgg16").build(), GRAPH), (archcalc.analyze("vgg16"), "vgg16 is a report"),
    )),
    *((name, ("vgg16",), {"specs": given}, "is not a folder") for name in QUESTIONS for given in (3, "nowhere", ["a"])),
    ("check", ("vgg16",), {"hparams": 3}, "hparams are values by name"),
    ("check", ("vgg16",), {"hparams": ["classes"]}, "hparams are values by name"),
    ("check", ("vgg16",), {"hparams": {3: 4}}, "hparams are values by name"),
    ("check", ("vgg16",), {"hparams": {"clases": 3}}, "vgg has no hparam 'clases'"),
    ("check", ("vgg16",), {"hparams": {"size": 2.5}}, "size"),
    ("check", ("vgg16",), {"hparams": {"size": object()}}, "size"),
    ("check", ("vgg16",), {"symbolic": 3}, "3 is not the name of a size"),
    ("check", ("vgg16",), {"symbolic": "Q"}, "no axis and no hparam 'Q'"),
    ("check", ("vgg16",), {"symbolic": ["H", 3]}, "3 is not the name of a size"),
    ("check", ("vgg16",), {"symbolic": "size", "hparams": {"size": 3}}, "'size' is given a value, and left open"),
    *(("verify", ("lenet5",), {"device": given}, reason) for given, reason in (
        ("gpu", "unknown device 'gpu'"), ("CPU", "did you mean 'cpu'"), (3, "unknown device 3"), (None, "unknown device"),
    )),
    *(("verify", ("lenet5",), {"batch": given}, reason) for given, reason in (
        (0, "batch"), (-2, "batch"), ("x", "batch"), (2.5, "batch"), (None, "batch"),
        (archcalc.dim("N"), "a number is needed here, not N"),
    )),
    *(("verify", ("lenet5",), {"dtype": given}, reason) for given, reason in (
        ("int8", "don't compute in int8"), ("float", "unknown dtype 'float'"), (3, "unknown dtype"), (None, "unknown dtype"),
    )),
    *(("verify", ("lenet5",), {"hparams": given}, reason) for given, reason in (
        (3, "hparams are values by name"), ({"n": 3}, "no hparam 'n'"), ({"classes": None}, "classes"),
    )),
    ("verify", ("lenet5",), {"sizes": 3}, "sizes are values by name"),
    ("verify", ("lenet5",), {"sizes": {"Q": 3}}, "no axis Q"),
    ("verify", ("lenet5",), {"sizes": {"H": "x"}}, "H"),
    ("verify", (archcalc.load("lenet5").build(),), {"hparams": {"classes": 3}}, "lenet5 is a graph"),
    ("verify", (archcalc.load("lenet5").spec,), {"sizes": {"H": 3}}, "sizes are given to single networks"),
    ("verify", (archcalc.load("lenet5").spec,), {"hparams": {"n": 3}}, "no spec has an hparam 'n'"),
    ("verify_against", (3,), {}, "3 is not the path of a record"),
    ("verify_against", ("none.json",), {}, "there is no such file"),
    ("golden_check", ("vgg16",), {"golden": 3}, "3 is not a folder"),
    ("golden_update", ("vgg16",), {"golden": None}, "None is not a folder"),
    ("golden_update", ("vgg16",), {"prune": True}, "'prune' looks at all specs"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "more", "reason"), MISUSE)
def test_misuse_is_an_error_of_ours(
    name: str,
    given: tuple[Any, ...],
    more: dict[str, Any],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wrong types and unknown names say what was wrong, and what there is instead."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArchcalcError) as caught:
        ALL[name](*given, **more)
    assert re.search(reason, str(caught.value)), caught.value


def test_no_module_takes_the_place_of_a_public_name() -> None:
    """Whatever has been imported, `archcalc.claims` is the function: no public name is that of a module."""
    for module in pkgutil.walk_packages(archcalc.__path__, "archcalc."):
        if "torch" not in module.name and module.name != "archcalc.__main__":
            importlib.import_module(module.name)
    assert [] == [name for name in archcalc.__all__ if isinstance(getattr(archcalc, name), ModuleType)]
    assert [] == [name for name in archcalc.__all__ if importlib.util.find_spec(f"archcalc.{name}")]
