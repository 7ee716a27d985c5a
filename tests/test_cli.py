"""The commands: what they print and where, how they end, and what they import."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import archcalc
from archcalc.__main__ import main
from archcalc._version import ADDRESS
from archcalc.cli import run as runner
from archcalc.cli.app import COMMANDS, module_name
from archcalc.cli.completion import complete_name
from archcalc.drawings.diagram import Diagram
from archcalc.errors import Diagnostic, Mark, SpecError, UsageError, VerificationError
from archcalc.tables.formats import FORMATS
from tests.helpers import HEAD

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "sympy", "numpy", "graphviz", "pygraphviz", "rich", "jsonschema")

NET = """\
archcalc: 1
name: net
input: {C: 3, H: 8, W: 8}
hparams: {c: 4}
layers:
  - conv c 3x3 -> relu
variants: {small: {}, large: {c: 8, as: big}}
claims:
  - {source: by hand, params: 112}
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A small spec in a folder of its own."""
    path = tmp_path / "specs" / "net.yaml"
    path.parent.mkdir()
    path.write_text(NET, encoding="utf-8")
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run archcalc in a process of its own."""
    command = [sys.executable, "-m", "archcalc", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


# --- help, version, start -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), *[(name,) for name in COMMANDS], ("golden", "check"), ("golden", "update")])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help_with_an_example(
    arguments: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The help of every command shows at least one call of it."""
    code, out, _ = told(capsys, *arguments, option)
    assert 0 == code
    assert re.search(rf"Examples:\s+{' '.join(['archcalc', *arguments])}", out)


def test_examples_can_be_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example of the table's help that needs no file of the user's works."""
    monkeypatch.chdir(tmp_path)
    text = process("table", "--help", env={**os.environ, "COLUMNS": "150"}).stdout
    examples = [line.split()[1:] for line in re.findall(r"^ *(archcalc table .*?) *$", text, re.MULTILINE)]
    assert 7 == len(examples)
    for arguments in examples:
        assert "net.yaml" in arguments or 0 == main([*arguments, "-q"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints name and version."""
    assert (0, f"archcalc {archcalc.__version__}\n", "") == told(capsys, "--version")


def test_the_help_fits_a_terminal_and_says_where_to_ask() -> None:
    """At 80 columns no example breaks; below all commands stands where the documentation is, and where bugs go."""
    for command in COMMANDS:
        module = importlib.import_module(f"archcalc.cli.{module_name(command)}")
        described = module.app.registered_commands[0].callback.__doc__ or ""
        examples = re.findall(r"^ *(archcalc .*)$", described, re.MULTILINE)
        assert examples, command
        assert [] == [line for line in examples if len(line) > 78], command
    text = process("--help", env={**os.environ, "COLUMNS": "80"}).stdout
    assert {"Documentation", f"{ADDRESS}/issues"} <= set(re.findall(r"Documentation|https\S+issues", text))
    assert 80 == max(len(line) for line in text.splitlines())


def test_commands_parse_call_and_print() -> None:
    """None of their functions is longer than 60 lines, options included: what they ask stands in questions/."""
    for path in (ROOT / "archcalc" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert 60 >= (node.end_lineno or 0) - node.lineno + 1, f"{path.name}: {node.name}"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command there's help, and it's wrong usage."""
    code, out, err = told(capsys)
    assert 2 == code
    assert "Commands" in out + err


def test_python_m() -> None:
    """`python -m archcalc` is the command, and its exit code is passed on."""
    found = process("table", "lenet5")
    assert (0, "lenet5: LeNet-5") == (found.returncode, found.stdout[:15])
    assert 2 == process("table", "lenet6").returncode


def imported(*arguments: str) -> set[str]:
    """The packages that a command imports."""
    code = (
        f"import sys; from archcalc.__main__ import main; main({list(arguments)}); print(*sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout
    return {module.partition(".")[0] for module in found.stderr.split()}


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "table"])
def test_the_table_imports_nothing_heavy(form: str) -> None:
    """A table of numbers needs neither torch nor sympy nor numpy nor graphviz nor rich."""
    assert not imported("table", "vgg16", "--format", form) & set(HEAVY)
    assert not imported("table", "vgg16", "--style", "slides") & set(HEAVY)


def test_the_test_for_heavy_imports_can_fail() -> None:
    """Where SymPy and rich are needed, the same look at the imports finds them."""
    assert "sympy" in imported("table", "vgg16", "--set", "fcn=true", "--set", "size=sym")
    assert "rich" in imported("table", "vgg16", "--format", "table")


def test_one_command_imports_no_other() -> None:
    """Only the module of the command that is called is imported."""
    code = "import sys; from archcalc.__main__ import main; main(['table', 'lenet5']); print(*sys.modules, file=sys.stderr)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(found.stderr.split())
    assert {"archcalc.cli.table"} == modules & {f"archcalc.cli.{name}" for name in COMMANDS}


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("tabel", "error: unknown command 'tabel'\n    hint: did you mean 'table'?\n"),
        ("table", "error: missing argument 'NAME'\n    hint: archcalc table --help\n"),
        ("table lenet6", "error: no architecture is called 'lenet6'\n    hint: did you mean 'lenet5'?\n"),
        ("table vgg:Z", "error: vgg has no variant 'Z'\n"),
        ("table vgg16 --batch 0", "error: invalid value for '--batch'"),
        ("table vgg16 --frobnicate", "error: no such option: --frobnicate"),
        ("table vgg16 --format xml", "error: invalid value for '--format'"),
        ("table vgg16 --dtype float23", "error: unknown dtype 'float23'\n    hint: did you mean 'float32'?\n"),
        ("table vgg16 --columns mac", "error: unknown column 'mac'\n    hint: did you mean 'macs'?\n"),
        ("table vgg16 --sort mac", "error: can't sort by 'mac'\n    hint: did you mean 'macs'?\n"),
        ("table vgg16 --set sise=3", "error: vgg has no hparam 'sise'\n    hint: did you mean 'size'?\n"),
        ("table vgg16 --set size", "error: can't read --set 'size'\n    hint: --set width=96, --set conv1.stride=3\n"),
        ("table vgg16 --set size=(", "error: size: "),
        ("table vgg16 --set size=9**9**9", "error: size: "),
        ("table vgg16 --input 224x224", "error: the input of vgg16 is CxHxW: '224x224' has 2 sizes\n"),
        ("table vgg16 --input 3x0x224", "error: can't read --input '3x0x224': '0' is not a size\n"),
        ("table vgg16 --input T=3", "error: the input of vgg16 has no axis 'T'\n    hint: its axes are C, H, W\n"),
        ("table vgg16 --input H=", "error: can't read --input 'H=': '' is not a size\n"),
        ("table vgg16 --all --depth 1", "error: a row for every layer, or one for each scope: not both\n"),
        ("table vgg16 --format json --depth 1", "error: JSON has all rows and columns; --depth does not fit\n"),
        ("table vgg16 --style slides --format csv", "error: --style slides is text, not csv\n"),
        ("table vgg16 --style slides --sort macs", "error: --style slides has its own rows and columns; --sort"),
        ("table vgg16 -o t.docx", "error: can't tell the format from 't.docx'\n"),
        (
            "table vgg16 -o no/such/folder/t.csv",
            "error: can't write 'no/such/folder/t.csv': no such file or directory\n",
        ),
        ("claims", "error: name architectures, or give --all\n"),
        ("claims --all vgg16", "error: name architectures, or give --all\n"),
        ("list --specs no/such/folder", "error: invalid value for '--specs'"),
        ("golden check nosuch", "error: no architecture is called 'nosuch'\n"),
        ("golden chekc", "error: no such command 'chekc'"),
    ],
)
def test_wrong_usage(arguments: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with 2, nothing on stdout, and on stderr what is wrong and how to mend it."""
    code, out, err = told(capsys, *arguments.split())
    assert (2, "") == (code, out)
    assert expected == err[: len(expected)]


def test_an_error_in_a_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong spec ends with 1; the message names the place, shows the line, and says how to mend it."""
    path = tmp_path / "t.yaml"
    path.write_text(NET.replace("relu", "rellu"), encoding="utf-8")
    expected = f"""\
{path}:6:19: E080 unknown layer kind 'rellu'
      - conv c 3x3 -> rellu
                      ^
    hint: did you mean 'relu'?
"""
    assert (1, "", expected) == told(capsys, "table", path)


@pytest.mark.parametrize("name", ["", "no.yaml", "/dev/zero", "/tmp", "x\0.yaml", "a" * 5000, "a/" * 3000, "-", "::"])
@pytest.mark.parametrize("command", ["table", "check", "claims", "render"])
def test_no_name_gives_a_traceback(command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is given as a name, there is a message and an exit code."""
    code, _, err = told(capsys, command, "--", name)
    assert code in (1, 2)
    assert "this is a bug" not in err


def test_a_name_that_is_no_text() -> None:
    """A name that is no UTF-8 is shown with an escape."""
    found = process(b"table", b"\xff")  # type: ignore[arg-type]
    assert 2 == found.returncode
    assert r"error: no architecture is called '\udcff'" in found.stderr


def test_a_bug_says_how_to_report_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen exception is one line that calls it a bug; --debug, anywhere, shows the traceback."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("archcalc.cli.table.built", broken)
    code, out, err = told(capsys, "table", "vgg16")
    assert (1, "") == (code, out)
    assert f"error: ZeroDivisionError: by zero\n    {runner.BUG}\n" == err
    for arguments in (["--debug", "table", "vgg16"], ["table", "vgg16", "--debug"]):
        with pytest.raises(ZeroDivisionError):
            main(arguments)


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (VerificationError("it differs"), 1, "error: it differs\n"),
        (OSError(28, "No space left on device"), 1, "error: no space left on device\n"),
        (FileNotFoundError(2, "No such file", "x"), 1, "error: no such file: 'x'\n"),
        (SpecError([Diagnostic("E001", "too large", Mark("t.yaml", 1, 1))]), 1, "t.yaml:1:1: E001 too large\n"),
        (RecursionError("too deep"), 1, f"error: RecursionError: too deep\n    {runner.BUG}\n"),
        (BrokenPipeError(), 0, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of failure has its exit code and its message on stderr."""

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("archcalc.cli.table.built", broken)
    assert (code, "", expected) == told(capsys, "table", "vgg16")


def test_errors_are_coloured_in_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal the code is red, or yellow for a warning; NO_COLOR forbids it; without escapes it's the same text."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    error = Diagnostic("E080", "unknown", Mark("t.yaml", 1, 3), "did you mean 'relu'?", source_line="- rellu")
    warning = Diagnostic("W401", "rounded")
    for terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        runner.tell_diagnostics((error, warning))
        runner.tell("error: no")
    coloured, plain = (text + "error: no\n" for text in capsys.readouterr().err.split("error\x1b[0m: no\n"))
    assert "\x1b[1;31mE080\x1b[0m unknown" in coloured
    assert "\x1b[1;33mW401\x1b[0m rounded" in coloured
    assert plain.replace("error: no\n", "") == re.sub(r"\x1b\[[0-9;]*m", "", coloured).replace("error: no\n", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    runner.tell("error: no")
    assert "error: no\n" == capsys.readouterr().err


def test_warnings_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A graph's warnings are counted on stderr, with the command that shows them; --quiet says nothing."""
    _, _, err = told(capsys, "table", "fcn_alexnet", "--set", "classes=4")
    assert re.fullmatch(r"(1 warning|\d+ warnings); archcalc check fcn_alexnet --set classes=4 shows (it|them)\n", err)
    assert not told(capsys, "table", "fcn_alexnet", "-q")[2]
    assert not told(capsys, "table", "vgg16")[2]


@pytest.mark.parametrize("form", ["plain", "table", "json", "csv"])
def test_a_reader_may_go_away(form: str) -> None:
    """`archcalc … | head -1` is silent and ends with 0."""
    command = f"set -o pipefail; {sys.executable} -m archcalc table resnet1202 --format {form} -q | head -1"
    found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "", 1) == (found.returncode, found.stderr, len(found.stdout.splitlines()))


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), (">/dev/full", 2)])
def test_streams_may_be_closed_or_full(redirection: str, code: int) -> None:
    """A closed stream is no bug, a full disk is told."""
    command = f"{sys.executable} -m archcalc table lenet5 {redirection}"
    found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    expected = "error: can't write to stdout: no space left on device\n" if code else ""
    assert (code, expected) == (found.returncode, found.stderr)


def test_any_locale_will_do(tmp_path: Path) -> None:
    """Data is UTF-8 whatever the locale says, in both streams; control characters never reach the terminal."""
    path = tmp_path / "t.yaml"
    path.write_text(NET.replace("name: net", 'name: net\ntitle: "Größe \\e[31m"'), encoding="utf-8")
    for form in ("plain", "table"):
        found = process(
            "table", str(path), "-f", form, env={**os.environ, "PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
        )
        assert (0, "") == (found.returncode, found.stderr)
        assert "Größe \\x1b[31m" in found.stdout
    found = process("table", "Größe", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert (2, True) == (found.returncode, "'Größe'" in found.stderr)


# --- check --------------------------------------------------------------------------------------------------------


def test_check_builds_all_variants(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` finds nothing wrong in a sound spec, and says what it has built."""
    assert (0, f"{net}: no errors, no warnings, 2 variants built\n", "") == told(capsys, "check", net)
    assert (0, "vgg16: no errors, no warnings\n", "") == told(capsys, "check", "vgg16")


def test_check_finds_all_errors(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Independent errors, of all variants and of all files, are shown together; exit code 1."""
    bad = net.with_name("bad.yaml")
    bad.write_text(NET.replace("3x3 -> relu", "3x3 stide=2 -> rellu"), encoding="utf-8")
    net.write_text(NET.replace("c: 8,", "c: 1/2,"), encoding="utf-8")
    code, out, err = told(capsys, "check", bad, net, net.with_name("none.yaml"))
    assert (1, "") == (code, err)
    assert [("bad", "E084"), ("bad", "E080"), ("net", "E088"), ("none", "E002")] == re.findall(
        r"(\w+)\.yaml:\d+:\d+: (E\d+)", out
    )
    assert "in variant large" in out
    assert "net.yaml: 1 error, no warnings" in out


def test_check_for_github(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--format github prints workflow commands, with line breaks and separators escaped."""
    net.write_text(NET.replace("relu", "rellu"), encoding="utf-8")
    code, out, _ = told(capsys, "check", net, "--format", "github")
    place = str(net).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    message = "unknown layer kind 'rellu'%0Ahint: did you mean 'relu'?"
    assert (1, f"::error file={place},line=6,col=19,title=E080::{message}\n") == (code, out)
    _, out, _ = told(capsys, "check", "resnet50", "--format", "github")
    assert all(line.startswith("::warning file=") for line in out.splitlines())


def test_check_as_json(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--format json gives every finding's place, code, severity, message and hint."""
    net.write_text(NET.replace("relu", "rellu"), encoding="utf-8")
    code, out, _ = told(capsys, "check", net, "--format", "json")
    expected = {
        "file": str(net), "line": 6, "column": 19, "code": "E080", "severity": "error",
        "message": "unknown layer kind 'rellu'", "details": [], "trace": "", "hint": "did you mean 'relu'?",
    }  # fmt: skip
    assert (1, {"archcalc": 1, "diagnostics": [expected]}) == (code, json.loads(out))


def test_check_with_values(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--set gives values to all variants that are built."""
    assert 1 == told(capsys, "check", net, "--set", "c=1/2")[0]
    assert 2 == told(capsys, "check", net, "--set", "d=1")[0]


def test_check_reports_what_it_can_beside_unknown_names(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that mean nothing don't hide what is wrong with the others; exit code 2 says that some weren't checked."""
    net.write_text(NET.replace("relu", "rellu"), encoding="utf-8")
    code, out, err = told(capsys, "check", "vgg99", net, "nosuch", "vgg16")
    assert (2, 1) == (code, out.count("E080"))
    assert "vgg16: no errors" in out
    assert ["vgg99", "nosuch"] == re.findall("error: no architecture is called '(.+)'", err)
    code, out, _ = told(capsys, "check", net, "nosuch", "--format", "json")
    assert (2, ["E080"]) == (code, [found["code"] for found in json.loads(out)["diagnostics"]])


def test_check_looks_at_claims(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A claim about a layer that isn't there is an error with a place; one about other values isn't `check`'s task."""
    net.write_text(NET + "  - {source: a talk, params(conv1): 112}\n  - {source: a talk, macs: 1}\n", encoding="utf-8")
    code, out, _ = told(capsys, "check", net)
    assert (1, [("10", "22", "E035")]) == (code, re.findall(r":(\d+):(\d+): (E\d+)", out))
    assert "did you mean 'conv'?" in out
    assert 0 == told(capsys, "check", net, "--set", "c=5")[0]


# --- list, claims, golden, schema, render -------------------------------------------------------------------------


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """`list` has a line for every architecture, with exact figures, and one for each family."""
    _, out, _ = told(capsys, "list")
    assert ["vgg16", "138,357,544", "15,470,264,320", "60.95", "MB", "16", "3x224x224:", "VGG-16,"] == next(
        line.split()[:8] for line in out.splitlines() if line.startswith("  vgg16 ")
    )
    records = {record["name"]: record for record in json.loads(told(capsys, "list", "--format", "json")[1])}
    assert len({record["title"] for record in records.values()}) == len(records)
    assert {"params": 138357544, "macs": 15470264320, "depth": 16, "activation_bytes": 60950432} == {
        key: records["vgg16"][key] for key in ("params", "macs", "depth", "activation_bytes")
    }
    assert {"spec": "vgg", "variant": "D", "aliases": ["vgg16"], "inputs": {"input": {"C": 3, "H": 224, "W": 224}}} == {
        key: records["vgg16"][key] for key in ("spec", "variant", "aliases", "inputs")
    }
    families = [record["spec"] for record in records.values()]
    assert len(records) + len({spec for spec in families if families.count(spec) > 1}) == len(out.splitlines()) - 3


def test_list_fits_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In 80 columns nothing is cut or left out: every title is there, and every number."""
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = told(capsys, "list", "--format", "table")
    assert 80 >= max(map(len, out.splitlines()))
    assert "…" not in out
    for entry in archcalc.architectures():
        assert " ".join(entry.title.split()) in " ".join(out.split())
        assert f"  {entry.name} " in "\n" + out.replace("\n", "\n  ")


def test_list_by_text_and_in_another_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that mention a text, from the largest to the least; what depends on a symbol comes last."""
    out = told(capsys, "list", "GPT-2", "--sort", "params", "--format", "csv")[1]
    assert ["name", "gpt2_xl", "gpt2_large", "gpt2_medium", "gpt2_small"] == [
        row.split(",")[0] for row in out.split()[:1]
    ] + [row.split(",")[0] for row in out.splitlines()[1:]]
    out = told(capsys, "list", "--sort", "macs", "--columns", "macs", "--format", "csv")[1]
    found = [line.split(",")[2] for line in out.splitlines()[1:]]
    numbers = [int(macs) for macs in found if macs.isdigit()]
    assert ["R" in macs for macs in found] == [False] * len(numbers) + [True] * (len(found) - len(numbers))
    assert sorted(numbers, reverse=True) == numbers
    code, _, err = told(capsys, "list", "resnt50")
    assert (2, True) == (code, "did you mean 'resnet50'?" in err)


def test_list_leaves_out_what_is_wrong_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One wrong spec of a folder doesn't hide the others."""
    (tmp_path / "a.yaml").write_text(HEAD + "layers: cnv 3\n")
    (tmp_path / "b.yaml").write_text(HEAD.replace("name: t", "name: b") + "layers: relu\n")
    (tmp_path / "c.yaml").write_text(HEAD.replace("name: t", "name: c") + "layers: conv 8 99x99\n")
    code, out, err = told(capsys, "list", "--specs", tmp_path)
    assert 1 == code
    assert ["b", "left", "left"] == [line.split()[0] for line in out.splitlines() if line[:2] in ("b ", "le")]
    assert "E080" in err
    assert "E204" in err


def test_list_of_own_specs(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--specs lists a user's own folder."""
    _, out, _ = told(capsys, "list", "--specs", net.parent, "--columns", "params,macs,depth")
    assert ["net", "net", "112", "3,888", "1", "3x8x8", "big", "224", "7,776", "1", "3x8x8"] == out.split()[7:]


def test_claims(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`claims` shows published beside computed; a wrong figure makes the exit code 1."""
    assert (0, "1 figure: 1 hold, 0 errata, 0 wrong") == (
        (found := told(capsys, "claims", net))[0],
        found[1].splitlines()[-1],
    )
    net.write_text(NET.replace("params: 112", "params: 113"), encoding="utf-8")
    code, out, _ = told(capsys, "claims", net)
    assert 1 == code
    assert "params          113       112  wrong    by hand" in out
    code, out, _ = told(capsys, "claims", net, "--format", "json")
    assert (1, "wrong", 112) == (code, (record := json.loads(out)[0])["verdict"], record["computed"])
    assert 1 == told(capsys, "claims", "--all", "--specs", net.parent, "--format", "table")[0]


def test_claims_of_one_variant_or_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """A variant's name gives its own figures, a spec's name those of all variants, which are named."""
    _, one, _ = told(capsys, "claims", "vgg19")
    assert "143,667,240" in one
    assert "138,357,544" not in one
    _, every, _ = told(capsys, "claims", "vgg")
    assert re.search(r"^params, E +144M +143,667,240  holds +Table 2$", every, re.MULTILINE)
    assert "params, fcn=true, size=384" in every


def test_golden(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`golden` check fails on a missing file and a changed value, golden update records and says what changed."""
    folders = ("--specs", net.parent, "--golden", tmp_path / "golden")
    code, out, _ = told(capsys, "golden", "check", *folders)
    assert (1, "net: there is no golden file") == (code, out.splitlines()[0])
    assert 0 == told(capsys, "golden", "update", *folders)[0]
    assert (0, "all values are as recorded\n", "") == told(capsys, "golden", "check", *folders)
    assert (0, "nothing changed\n", "") == told(capsys, "golden", "update", *folders)
    net.write_text(NET.replace("{c: 4}", "{c: 5}"), encoding="utf-8")
    code, out, _ = told(capsys, "golden", "check", "net", *folders)
    assert 1 == code
    assert "params was 112, is 140" in out


def test_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`schema` prints a valid JSON Schema, or writes it to a file."""
    found = json.loads(told(capsys, "schema")[1])
    jsonschema.Draft202012Validator.check_schema(found)
    assert (0, "", "") == told(capsys, "schema", "-o", tmp_path / "s.json")
    assert found == json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))


def test_render_passes_on_what_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`render` takes file, format and folding; no file, or -, means stdout."""
    report = archcalc.analyze("lenet5")
    assert Diagram(report).svg == told(capsys, "render", "lenet5")[1] == told(capsys, "render", "lenet5", "-o", "-")[1]
    expected = Diagram(report, fold=False, depth=1).to("dot").decode()
    assert expected == told(capsys, "render", "lenet5", "--format", "dot", "--no-fold", "--depth", "1")[1]
    told(capsys, "render", "lenet5", "-o", tmp_path / "net.txt", "--format", "dot")
    assert Diagram(report).to("dot") == (tmp_path / "net.txt").read_bytes()


def test_render_in_a_terminal_writes_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads SVG: a file named after the network is written and named, and no other file is replaced."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert (0, "", "resnet-plain34.svg is written\n") == told(capsys, "render", "resnet:plain34")
    assert (0, "", "lenet5.png is written\n") == told(capsys, "render", "lenet5", "--format", "png")
    assert Diagram(archcalc.analyze("resnet:plain34")).svg == Path("resnet-plain34.svg").read_text(encoding="utf-8")
    code, out, err = told(capsys, "render", "resnet:plain34", "--depth", "1")
    assert (2, "") == (code, out)
    assert "there is a 'resnet-plain34.svg' already\n    hint: -o resnet-plain34.svg replaces it" in err
    assert 0 == told(capsys, "render", "resnet:plain34", "-o", "resnet-plain34.svg")[0]


def test_render_draws(tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`render` writes a picture; a format that nobody can draw is wrong usage."""
    assert 0 == told(capsys, "render", net, "-o", tmp_path / "net.svg")[0]
    assert "<svg" in (tmp_path / "net.svg").read_text(encoding="utf-8")
    assert process("render", str(net), "--format", "dot").stdout.startswith("digraph")
    assert 2 == told(capsys, "render", net, "-o", tmp_path / "net.doc")[0]


# --- completion ---------------------------------------------------------------------------------------------------


def test_names_are_completed_without_parsing_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completion gives names that begin so, and parses only the specs that may declare one."""
    from archcalc.cli import completion

    parsed: list[str] = []
    load_spec = completion.load_spec
    monkeypatch.setattr(completion, "load_spec", lambda file: parsed.append(file.stem) or load_spec(file))  # type: ignore[func-returns-value]
    assert {"vgg", "vgg11", "vgg13", "vgg16", "vgg19"} <= set(complete_name("vg"))
    assert "vgg" in parsed
    assert 8 > len(parsed)
    assert ["vgg:A", "vgg:A-LRN", "vgg:A-BN"] == list(complete_name("vgg:A"))
    assert not list(complete_name("./n"))
    assert not list(complete_name("zzz"))
    assert {"alexnet", "vgg16", "googlenet_aux"} <= set(complete_name(""))


def test_the_shell_asks_for_completions() -> None:
    """The protocol of bash's completion is answered with names and commands."""
    asked = {"_ARCHCALC_COMPLETE": "complete_bash", "COMP_WORDS": "archcalc table goog", "COMP_CWORD": "2"}
    assert {"googlenet", "googlenet_aux"} == set(process(env={**os.environ, **asked}).stdout.split())
    asked = {"_ARCHCALC_COMPLETE": "complete_bash", "COMP_WORDS": "archcalc ren", "COMP_CWORD": "1"}
    assert ["render"] == process(env={**os.environ, **asked}).stdout.split()


COMPLETIONS = {
    "table resnet : pl": ["plain18", "plain20", "plain32", "plain34", "plain44", "plain56"],
    "table resnet :": None,
    "explain alexnet conv1": ["conv1", "conv1/conv", "conv1/lrn", "conv1/relu"],
    "explain vgg16 conv5/1/": ["conv5/1/conv", "conv5/1/relu"],
    "explain vgg16 fc": ["fc6", "fc7", "fc8"],
    "receptive-field unet --layer down1": ["down1", "down1/maxpool", "down1/skip"],
    "table vgg16 --columns na": ["name"],
    "table vgg16 --columns name,params,par": ["name,params,params_share"],
    "table vgg16 --sort ma": ["macs"],
    "list --columns params,dep": ["params,depth"],
    "table alphago_policy --set k": ["k="],
    "table alexnet --set conv1/conv.st": ["conv1/conv.stride="],
    "table alexnet --set conv1/conv.padding =": ["half", "same"],
    "table alexnet --set conv1/conv.padding = h": ["half"],
    "table alexnet --set conv1.bias =": ["false", "position", "true"],
    "table nosuch --set k": [],
}


@pytest.mark.parametrize("line", COMPLETIONS)
def test_the_shell_completes_what_follows_from_the_line(line: str) -> None:
    """Variants, layers, columns and arguments; bash splits words at : and =, and gets what stands after those."""
    words = ["archcalc", *line.split(" ")]
    asked = {"_ARCHCALC_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    found = sorted(process(env={**os.environ, **asked}).stdout.split())
    expected = COMPLETIONS[line]
    assert expected == found if expected is not None else {"plain18", "resnet50_v1", "cifar"} <= set(found)


# --- the order of sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("alphago_policy", "48x19x19", "19x19x48"),
        ("resnet18", "224x224x3", "3x224x224"),
        ("alexnet", "3x224x224", "224x224x3"),
    ],
)
def test_sizes_in_another_order_are_noticed(
    name: str, given: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes are read in the spec's order; where only the other one keeps the channels or fits, the message says so."""
    code = main(["table", name, "--input", given, "--format", "csv"])
    err = capsys.readouterr().err
    assert f"--input {given} is read as " in err
    assert f"write --input {meant}" in err
    assert code == (1 if name == "alexnet" else 0)
    assert 0 == main(["table", name, "--input", meant, "--format", "csv"])
    assert "is read as" not in capsys.readouterr().err


@pytest.mark.parametrize("given", ["19x19x3", "H=48,W=19,C=19", "20x48x19", "19x19x48"])
def test_sizes_without_doubt_are_taken_without_a_word(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named sizes, the spec's own channels, and sizes that fit no order better raise no doubt."""
    assert 0 == main(["table", "alphago_policy", "--input", given, "--format", "csv"])
    assert "is read as" not in capsys.readouterr().err


def test_quiet_keeps_doubts_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The sizes are computed as the spec's order says."""
    assert 0 == main(["table", "alphago_policy", "--input", "48x19x19", "--format", "csv", "--quiet"])
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table", "vgg16", "--set", "fcn=true", "--set", "fcn=false"], "--set says twice what 'fcn' is"),
        (["table", "vgg16", "--input", "H=256,H=224"], "gives an axis twice"),
        (["table", "resnet50", "--input", "3xNx224"], "'N' is the batch"),
        (["table", "alphago_policy", "--input", "19xkx48"], "'k' is an hparam"),
        (["table", "resnet50", "--symbolic", "N", "--batch", "3"], "the batch is given twice"),
        (["solve", "convnext_tiny", "--set", "widths=1..3", "--params", "50"], "'widths' is a list"),
    ],
)
def test_what_would_be_taken_in_silence_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two values none is dropped, two quantities aren't one symbol, and a range isn't of a list."""
    assert 2 == main(arguments)
    assert message in capsys.readouterr().err


def test_a_list_times_two_is_one_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only a list as such is several values of a sweep."""
    file = tmp_path / "t.yaml"
    file.write_text("archcalc: 1\nname: t\nhparams: {k: 1}\ninput: {C: 3}\nlayers: fc k\n")
    assert main(["sweep", str(file), "--set", "k=[8, 16]", "--columns", "params", "--quiet"]) == 0
    assert "k,params\n8,32\n16,64\n" == capsys.readouterr().out
    main(["sweep", str(file), "--set", "k=[8,16]*2", "--columns", "params", "--quiet"])
    assert "8,32" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["list"], ["golden", "check"], ["claims", "--all"]])
def test_specs_in_subfolders_are_not_passed_over_in_silence(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of specs is read, not the folders inside it; that there are specs in them is said on stderr."""
    (tmp_path / "net.yaml").write_text(HEAD + "layers: relu\n")
    for inner in (".git", "empty", "old"):
        (tmp_path / inner).mkdir()
    for inner in (".git", "old"):
        (tmp_path / inner / "other.yaml").write_text("")
    main([*command, "--specs", str(tmp_path), *(["--golden", str(tmp_path / "g")] if command[0] == "golden" else [])])
    assert "specs in subfolders are not read: old\n" in capsys.readouterr().err


def test_quiet_errors_have_no_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """With --quiet what is wrong stands alone; without, warnings stand beside it."""
    for command in ("table", "receptive-field", "render", "compare", "formula"):
        told = {}
        for quiet in ([], ["--quiet"]):
            assert 1 == main([command, "unet", "--input", "1x100x100", *quiet])
            told[bool(quiet)] = capsys.readouterr().err
        assert "E204" in told[False]
        assert "E204" in told[True]
        assert "W401" in told[False]
        assert "W401" not in told[True]


def test_a_layer_is_explained_with_symbols_and_dtypes(capsys: pytest.CaptureFixture[str]) -> None:
    """As every other question; the batch isn't one of them, since it's about one example."""
    assert 0 == main(["explain", "vgg16", "conv1/1", "--symbolic", "H,W", "--dtype", "float16", "--format", "json"])
    assert archcalc.explain("vgg16", "conv1/1", symbolic="H,W", dtype="float16").to_dict() == json.loads(
        capsys.readouterr().out
    )
    assert 2 == main(["explain", "vgg16", "conv1/1", "--symbolic", "N"])
    assert "a layer is explained for one example" in capsys.readouterr().err
    with pytest.raises(UsageError, match="one example"):
        archcalc.explain("vgg16", "conv1/1", symbolic="N")


def test_a_folder_is_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a name or a path, the error names one of its specs; a network of that name goes ahead."""
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "vgg16"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mine" / "net.yaml").write_text(HEAD + "layers: relu\n")
    for named in ("mine", "./mine", f"{tmp_path}/mine"):
        assert 2 == main(["table", named])
        err = capsys.readouterr().err
        assert "is a folder, and a network is meant" in err
        assert "mine/net.yaml" in err
    (tmp_path / "mine" / "net.yaml").unlink()
    with pytest.raises(UsageError, match="there is no spec in it"):
        archcalc.load(tmp_path / "mine")
    assert "vgg16" == archcalc.load("vgg16").name
