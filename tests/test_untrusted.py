"""Specs, golden files and records of strangers: what docs/security.md promises, through the command line."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from archcalc.__main__ import main
from archcalc._version import ADDRESS
from archcalc.errors import ArchcalcError, Diagnostic, Mark, SpecError, UsageError
from archcalc.zoo import load
from tests import fuzz_texts
from tests.fuzz_texts import ARGUMENT, COMMANDS, NASTY, QUOTED, WITH_FILES, assert_harmless
from tests.fuzz_texts import SPEC as NASTY_SPEC

ROOT = Path(__file__).parent.parent
SPEC = "archcalc: 1\nname: {}\ninput: {{C: 3, H: 8, W: 8}}\nlayers: [conv 4 3x3, relu]\n"
SECRET = "ghp_0123456789abcdef"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of a command."""

    def told(*arguments: object) -> tuple[int, str, str]:
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return told


# --- folders and links --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two sound specs, of both suffixes."""
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "one.yaml").write_text(SPEC.format("one"))
    (specs / "two.yml").write_text(SPEC.format("two"))
    return specs


def test_specs_of_both_suffixes_are_read(folder: Path, run: Run, tmp_path: Path) -> None:
    """No file of a folder is passed over in silence."""
    code, out, _ = run("list", "--specs", folder, "--format", "json")
    assert (0, ["one", "two"]) == (code, [row["name"] for row in json.loads(out)])
    code, out, _ = run("golden", "update", "--specs", folder, "--golden", tmp_path / "golden")
    assert (0, "one: recorded\ntwo: recorded\n") == (code, out)
    assert 0 == run("claims", "two", "--specs", folder)[0]


def _fifo(file: Path) -> None:
    os.mkfifo(file)


@pytest.mark.parametrize(
    "put",
    [
        lambda file: file.symlink_to("/dev/zero"),
        _fifo,
        lambda file: file.symlink_to(file.parent.parent / "secret"),
        lambda file: file.symlink_to("/proc/self/environ"),
        lambda file: file.symlink_to(file),
        lambda file: file.mkdir(),
    ],
    ids=["device", "fifo", "link to a secret", "link to /proc", "link to itself", "folder"],
)
@pytest.mark.parametrize("name", ["a.yaml", "z.yml"])
def test_a_folder_of_specs_is_not_left(put: Callable[[Path], None], name: str, folder: Path, run: Run) -> None:
    """Devices, FIFOs and links that lead out of the folder are errors at once, and nothing of them is shown."""
    (folder.parent / "secret").write_text(f"token: {SECRET}\n")
    put(folder / name)
    for command in (["list"], ["golden", "check"], ["claims", "--all"], ["claims", "two"], ["claims", "nosuch"]):
        code, out, err = run(*command, "--specs", folder)
        assert (2, "") == (code, out)
        assert f"'{folder / name}'" in err
        assert SECRET not in err


@pytest.mark.parametrize(
    "text",
    [SECRET, f"{SECRET}: 1", f"archcalc: 1\nlayers: {SECRET}", f"- {SECRET}", f"'{SECRET}", f"archcalc: {SECRET}"],
)
def test_an_error_shows_nothing_of_what_a_link_leads_to(text: str, folder: Path, run: Run) -> None:
    """A spec that is a link may be read, for the user named it; what is wrong with a file elsewhere isn't quoted."""
    (folder.parent / "secret").write_text(text)
    (folder / "link.yaml").symlink_to("../secret")
    for command in ("check", "table", "render"):
        code, out, err = run(command, folder / "link.yaml")
        assert code == 1
        assert SECRET not in out + err
        assert "symbolic link" in out + err
    (folder / "inner.yaml").symlink_to("one.yaml")
    assert 0 == run("table", folder / "inner.yaml")[0]
    (folder / "outer.yaml").symlink_to(_sound(folder.parent / "sound.yaml"))
    assert 0 == run("table", folder / "outer.yaml")[0]


def _sound(file: Path) -> Path:
    file.write_text(SPEC.format("sound"))
    return file


def test_used_specs_stay_in_the_folder(folder: Path, run: Run) -> None:
    """`use:` reaches no file above, beside or behind a link."""
    (folder.parent / "secret.yaml").write_text(f"token: {SECRET}\n")
    (folder / "link.yaml").symlink_to("../secret.yaml")
    (folder / "up").symlink_to("..")
    for path in ("link.yaml", "up/secret.yaml", "../secret.yaml", str(folder.parent / "secret.yaml")):
        (folder / "user.yaml").write_text(
            f"archcalc: 1\nname: t\ninput: {{C: 3}}\nuse: {{a: {{spec: {path}}}}}\nlayers: [a]\n"
        )
        code, out, err = run("check", folder / "user.yaml")
        assert (1, "") == (code, err)
        assert "E050" in out
        assert SECRET not in out


def test_the_zoo_may_be_installed_as_links(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some installers make a link for each file of a package: archcalc's own specs are trusted."""
    for name in ("vgg.yaml", "fcn.yaml", "alexnet.yaml", "googlenet.yaml"):
        (tmp_path / name).symlink_to(ROOT / "specs" / name)
    monkeypatch.setattr("archcalc.zoo.specs_folder", lambda: tmp_path)
    for name in ("vgg16", "fcn_vgg16"):
        assert 0 == run("table", name)[0]
    assert 0 == run("list")[0]
    assert 2 == run("list", "--specs", tmp_path)[0]


def test_a_record_names_no_file(tmp_path: Path, run: Run) -> None:
    """A record that came with a pull request can't have archcalc read a file of its choice."""
    (tmp_path / "secret.yaml").write_text(f"token: {SECRET}\n")
    net = {"batch": 1, "dtype": "float32", "sets": {}, "counts": {}, "bytes": {}}
    for name in (str(tmp_path / "secret.yaml"), "secret.yaml", "./secret", "a/../secret.yaml", "secret.yml:x"):
        (tmp_path / "r.json").write_text(json.dumps({"archcalc": 1, "device": "d", "nets": [{**net, "name": name}]}))
        code, out, err = run("verify", "--against", tmp_path / "r.json")
        assert (2, "") == (code, out)
        assert "is a path, not the name of a net" in err
        assert SECRET not in err


# --- the current folder -------------------------------------------------------------------------------------------


def test_python_m_runs_nothing_of_the_current_folder(tmp_path: Path) -> None:
    """A stranger's repository may hold a typer.py; `python -m archcalc` is not to run it."""
    for module in ("typer", "yaml", "rich", "sympy", "json", "csv", "archcalc_extra"):
        (tmp_path / f"{module}.py").write_text("print('RUN')\nraise SystemExit(3)\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in (["table", "lenet5"], ["list", "--format", "json"], ["check", "vgg16"]):
        done = subprocess.run(
            [sys.executable, "-m", "archcalc", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (0, "") == (done.returncode, done.stderr)
        assert "RUN" not in done.stdout


def test_python_m_runs_from_a_checkout() -> None:
    """Without being installed, in the root of the repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    program = (
        "import runpy, sys; sys.argv = ['archcalc', '--version']; runpy.run_module('archcalc', run_name='__main__')"
    )
    for command in (["-m", "archcalc", "--version"], ["-P", "-m", "archcalc", "--version"], ["-c", program]):
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert 0 == done.returncode, done.stderr


def test_the_current_folder_may_be_gone(tmp_path: Path) -> None:
    """Somebody else has removed it; archcalc needs nothing from it."""
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && {sys.executable} -m archcalc --version"
    done = subprocess.run(
        ["sh", "-c", command], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_an_exception_is_harmless_too() -> None:
    """In a notebook or a traceback there is nobody to make it so."""
    with pytest.raises(ArchcalcError) as usage:
        load(f"./{NASTY}".replace("\0", ""))
    error = SpecError([Diagnostic("E001", NASTY, Mark(NASTY, 1, 1), NASTY, (NASTY,), NASTY, NASTY)])
    for written in (str(usage.value), str(error), str(UsageError(NASTY, NASTY))):
        assert_harmless(written)


def test_one_address() -> None:
    """The address in messages is the project's in pyproject.toml."""
    assert f'Homepage = "{ADDRESS}"' in (ROOT / "pyproject.toml").read_text()


# --- texts --------------------------------------------------------------------------------------------------------


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """A sound spec with a nasty text wherever there may be one."""
    specs = tmp_path / "nasty"
    specs.mkdir()
    (specs / "nasty.yaml").write_text(NASTY_SPEC.replace("TEXT", QUOTED))
    return specs / "nasty.yaml"


@pytest.mark.parametrize("command", COMMANDS)
def test_no_text_of_a_spec_leaves_its_place(
    command: str, nasty: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A title, a source, a note and a doc in every command and format: on the screen and in a file the same text."""
    if command.startswith(("export", "verify")):
        pytest.importorskip("torch")
    arguments = command.format(nasty, folder=nasty.parent).split()
    code = main(arguments)
    out, err = (stream.decode("utf-8") for stream in capfdbinary.readouterr())
    assert code in (0, 1), err
    assert_harmless(out.replace("\t", "  ") if command.endswith("dot") else out)  # graphviz indents with tabs
    assert_harmless(err)
    COMMANDS[command](out)
    if arguments[0] in WITH_FILES and "table" not in arguments[1:]:
        assert code == main([*arguments, "-o", str(tmp_path / "out")])
        assert out == (tmp_path / "out").read_bytes().decode("utf-8")


@pytest.mark.parametrize("command", ["table", "claims"])
def test_no_line_becomes_a_command_when_it_is_wrapped(
    command: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rich breaks long words anywhere: wherever a `::` stands in one, it doesn't come to the start of a line."""
    monkeypatch.setenv("COLUMNS", "30")
    for before in range(31):
        title = "a" * before + "::stop-commands::x"
        claims = f"claims: [{{source: '{title}', params: 5, note: '{title}'}}]\n"
        (tmp_path / "t.yaml").write_text(SPEC.format("t") + f"title: '{title}'\n" + claims)
        code, out, _ = run(command, tmp_path / "t.yaml", "--format", "table")
        assert code in (0, 1)
        assert "commands" in re.sub(r"\s", "", out)
        assert_harmless(out)


INPUT = "archcalc: 1\ninput: {C: 3}\n"
BROKEN = {
    "name": f"archcalc: 1\nname: {QUOTED}\ninput: {{C: 3}}\nlayers: [relu]\n",
    "key": f"{INPUT}{QUOTED}: 3\nlayers: [relu]\n",
    "version": f"archcalc: {QUOTED}\ninput: {{C: 3}}\nlayers: [relu]\n",
    "axis": f"archcalc: 1\ninput: {{{QUOTED}: 3}}\nlayers: [relu]\n",
    "size": f"archcalc: 1\ninput: {{C: {QUOTED}}}\nlayers: [relu]\n",
    "hparam": f"{INPUT}hparams: {{{QUOTED}: 3}}\nlayers: [relu]\n",
    "value": f"{INPUT}hparams: {{k: {QUOTED}}}\nlayers: [fc k]\n",
    "default": f"{INPUT}defaults: {{{QUOTED}: {{bias: true}}}}\nlayers: [relu]\n",
    "table": f"{INPUT}tables: {{{QUOTED}: [X]}}\nlayers: [relu]\n",
    "use": f"{INPUT}use: {{a: {{spec: {QUOTED}}}}}\nlayers: [a]\n",
    "block": f"{INPUT}blocks: {{{QUOTED}: relu}}\nlayers: [relu]\n",
    "kind": f"{INPUT}layers: [{QUOTED}]\n",
    "layer": f"{INPUT}layers: [{QUOTED}: relu]\n",
    "reference": f"{INPUT}layers: [relu, {{add: [identity, {QUOTED}]}}]\n",
    "output": f"{INPUT}layers: [relu]\noutputs: [{QUOTED}]\n",
    "variant": f"{INPUT}hparams: {{k: 3}}\nlayers: [relu]\nvariants: {{{QUOTED}: {{k: 4}}}}\n",
    "alias": f"{INPUT}hparams: {{k: 3}}\nlayers: [relu]\nvariants: {{a: {{k: 4, as: {QUOTED}}}}}\n",
    "claim": f"{INPUT}layers: [relu]\nclaims: [{{source: a, {QUOTED}: 3}}]\n",
    "figure": f"{INPUT}layers: [relu]\nclaims: [{{source: a, params: {QUOTED}}}]\n",
    "document": QUOTED,
    "raw": "::stop-commands::x\n::error::y ##[set-env] \u202e \u2028 \u2066: [\n",
    "raw line": "archcalc: 1\ninput: {C: 3}\nlayers:\n- ::stop-commands::x ##[set-env] \u202e\u200b\n",
}


@pytest.mark.parametrize("where", BROKEN)
def test_no_text_in_an_error_leaves_its_place(where: str, tmp_path: Path, run: Run) -> None:
    """What a spec says wrongly is quoted, as text, for people, for scripts and for GitHub."""
    file = tmp_path / "bad.yaml"
    file.write_text(BROKEN[where], encoding="utf-8")
    for arguments in (["table", file], ["claims", file], ["check", file], ["check", file, "--format", "json"]):
        _, out, err = run(*arguments)
        assert_harmless(out)
        assert_harmless(err)
    code, out, _ = run("check", file, "--format", "github")
    assert 1 == code
    assert "##[" not in out
    for line in out.splitlines():
        assert re.match(r"::(error|warning) (file=[^:,]*,line=\d+,col=\d+,)?title=[EW]\d+::", line)
        assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in line)


@pytest.mark.parametrize(
    "command",
    [
        "table NASTY", "table vgg16:NASTY", "table nasty/NASTY.yaml", "NASTY", "table vgg16 NASTY", "table vgg16 --NASTY",
        "table vgg16 --set NASTY", "table vgg16 --set NASTY=3", "table vgg16 --set size=NASTY", "table vgg16 --input NASTY",
        "table vgg16 --input H=NASTY", "table vgg16 --symbolic NASTY", "table vgg16 --columns NASTY", "table vgg16 --sort NASTY",
        "table vgg16 --dtype NASTY", "table vgg16 --batch NASTY", "table vgg16 --format NASTY", "explain vgg16 NASTY",
        "formula vgg16 NASTY", "receptive-field vgg16 --layer NASTY", "receptive-field vgg16 --at NASTY",
        "receptive-field vgg16 --from NASTY", "receptive-field --stack NASTY", "solve vgg16 --output NASTY",
        "solve vgg16 --params NASTY", "solve vgg16 --symbolic N --field NASTY=1", "solve vgg16 --symbolic N --field conv5=NASTY",
        "sweep vgg16 --set size=NASTY", "sweep vgg16 --set size=1..3 --where NASTY",
        "sweep vgg16 --set size=1..3 --pareto NASTY", "sweep vgg16 --set size=1..3 --axes NASTY --plot x.svg",
        "golden check NASTY", "golden update NASTY", "verify NASTY", "verify --against NASTY", "claims NASTY", "check NASTY",
        "list --specs NASTY", "table vgg16 -o NASTY/x", "render vgg16 -o x.NASTY", "export NASTY",
    ],
)  # fmt: skip
def test_no_argument_leaves_its_place(command: str, run: Run) -> None:
    """A script may pass on what a stranger typed; the refusal quotes it as text."""
    code, out, err = run(*(word.replace("NASTY", ARGUMENT) for word in command.split()))
    assert code in (1, 2)
    assert_harmless(out)
    assert_harmless(err)
    assert "this is a bug" not in err


def test_no_file_name_leaves_its_place(tmp_path: Path, run: Run) -> None:
    """A file's name may hold anything but a slash and a null."""
    name = re.sub("[\0/]", "", NASTY)[:60]
    file = tmp_path / f"{name}.yaml"
    file.write_text("archcalc: 1\nname: t\ninput: {C: 3}\nlayers: [fc 5/2, rellu]\n", encoding="utf-8")
    for command in ("check", "table", "claims"):
        _, out, err = run(command, file)
        assert_harmless(out)
        assert_harmless(err)
    code, out, _ = run("check", file, "--format", "github")
    assert 1 == code
    assert all(line.startswith("::error file=") for line in out.splitlines())
    target = tmp_path / f"{name}.csv"
    assert 0 == run("table", "lenet5", "-o", target)[0]
    assert target.is_file()


def test_no_text_of_golden_files_and_records_leaves_its_place(tmp_path: Path, run: Run) -> None:
    """Both are quoted where they differ."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "one.yaml").write_text(SPEC.format("one"))
    folders = ("--specs", tmp_path / "specs", "--golden", tmp_path)
    run("golden", "update", *folders)
    values = json.loads((tmp_path / "one.json").read_text())
    values["name"], values["conditions"], values["totals"] = NASTY, [NASTY], {NASTY: NASTY, "params": NASTY}
    values["layers"] += [{"name": NASTY, NASTY: NASTY}]
    values["layers"][1] |= {"kind": NASTY, NASTY: NASTY, "output_shape": {NASTY: NASTY}}
    (tmp_path / "one.json").write_text(json.dumps(values))
    for command in ("check", "update"):
        _, out, err = run("golden", command, *folders)
        assert "stop-commands" in out
        assert_harmless(out + err)
    net = {"name": "lenet5_modern", "batch": 1, "dtype": "float32", "sets": {}, "counts": {}, "bytes": {NASTY: 3}}
    for changed in ({}, {"name": NASTY}, {"sets": {NASTY: NASTY}}, {"dtype": NASTY}, {NASTY: NASTY}):
        record = {"archcalc": 1, "device": NASTY, "nets": [{**net, **changed}]}
        (tmp_path / "record.json").write_text(json.dumps(record))
        for form in ("plain", "table", "json"):
            code, out, err = run("verify", "--against", tmp_path / "record.json", "--format", form)
            assert code in (1, 2)
            assert_harmless(out)
            assert_harmless(err)


DOORS = {
    "cli/run.py": {"print", "open"},  # to stderr; to nowhere
    "tables/terminal.py": {"print"},  # rich's
    "files.py": {"open"},
    "importers/pt2.py": {"open"},  # a member of an archive that files.py opened
}


def test_nothing_is_printed_or_opened_elsewhere() -> None:
    """Text leaves through the functions that make it safe, and files are read and written by one module."""
    forbidden = {"print", "open", "write_text", "write_bytes", "read_text", "read_bytes", "unlink", "rename", "touch"}
    for file in sorted((ROOT / "archcalc").rglob("*.py")):
        module = file.relative_to(ROOT / "archcalc").as_posix()
        called = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called.add(getattr(node.func, "id", "") or getattr(node.func, "attr", ""))
        own = {"read_bytes", "write_bytes", "write_text", "unlink"}  # of archcalc.files; golden's unlink
        assert called & forbidden <= DOORS.get(module, set()) | own, module


def test_a_terminal_gets_no_control_character_of_a_spec(nasty: Path) -> None:
    """In a terminal, with colours: every escape sequence sets a colour or moves nothing."""
    pty = pytest.importorskip("pty")
    broken = nasty.with_name("broken.yaml")
    broken.write_text(BROKEN["kind"])
    for command in (["table", nasty], ["claims", nasty], ["receptive-field", nasty], ["table", broken]):
        main_end, end = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60"}
        environment.pop("NO_COLOR", None)
        running = subprocess.Popen(
            [sys.executable, "-m", "archcalc", *map(str, command)], stdout=end, stderr=end, env=environment
        )
        os.close(end)
        shown = b""
        while True:
            try:
                shown += (part := os.read(main_end, 100_000))
            except OSError:  # Linux says so at the end
                break
            if not part:
                break
        running.wait()
        os.close(main_end)
        text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")
        assert text.strip()
        assert_harmless(text)


def test_promises_name_their_tests() -> None:
    """What docs/security.md points at is there."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\w+\.py)`", text) + [
        f"tests/{name}.py" for name in re.findall(r"-m tests\.(\w+)", text)
    ]
    assert len(named) > 10
    assert [] == [name for name in named if not (ROOT / name).is_file()]


@pytest.mark.torch
def test_random_texts_stay_in_their_places() -> None:
    """A sample of `python -m tests.fuzz_texts`."""
    pytest.importorskip("torch")
    failed, done = fuzz_texts.run(60, seed=1)
    assert (0, True) == (failed, done > 20)
