"""Nothing that a user types is dropped in silence: options given twice, empty, contradictory, or of no use in a mode."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import pytest

from archcalc.__main__ import main

SPEC = """\
archcalc: 1
name: t
input: {C: 3, H: 8, W: 8}
hparams: {k: 4, n: 1}
layers:
  - a: conv k 3x3 p=1
  - r: relu
  - b: (conv k 3x3 p=1 -> relu)*n
  - c: conv 4 3x3 s=2
  - d: global_avgpool
  - flatten
  - e: fc 5
claims:
  - {source: me, params: 1}
"""
"""With a warning, a wrong claim, and no size on which nothing depends."""

NET = {"--set": "k=7", "--input": "3x10x10"}
FIELDS = {
    "--layer": "a",
    "--at": "1,0",
    "--from": "r",
    "--effective": "",
    "--all": "",
    "--format": "csv",
    "--set": "n=2",
}
TABLE = {
    "--style": "slides", "--all": "", "--depth": "1", "--columns": "name,params", "--sort": "macs", "--batch": "3",
    "--dtype": "float16", "--no-bias": "", "--symbolic": "W", "-o": "out.txt", **NET,
}  # fmt: skip
BUDGETS = {"--macs": "11K..50K", "--saved-bytes": "1KB..3KB"}
SWEEP = {
    "--columns": "params,macs,total_bytes", "--where": "macs<9K", "--pareto": "params:max",
    "--axes": "k,params", "--dtype": "float16", "--set": "n=2", "--input": "3x10x10", "--format": "json",
    "-o": "out.csv",
}  # fmt: skip

MODES: Mapping[str, Mapping[str, str]] = {
    "table t.yaml": {**TABLE, "--format": "csv"},
    "table t.yaml -f json": TABLE,
    "receptive-field t.yaml": {key: FIELDS[key] for key in ("--layer", "--at", "--effective", "--all", "--format")},
    "receptive-field t.yaml -o out.svg": FIELDS,
    "receptive-field --stack 3x3x3": {**FIELDS, "t.yaml": "", "--input": "3x10x10", "-o": "out.txt"},
    "render t.yaml -f dot --set n=3": {"-o": "out.dot", "--no-fold": "", "--depth": "1", "--input": "3x10x10"},
    "formula t.yaml": {"a": "", "--format": "latex", "--symbolic": "k", **NET},
    "formula t.yaml a": {"--format": "latex", "--symbolic": "k", **NET},
    "formula t.yaml -f python": {"a": "", "--symbolic": "k", "-o": "out.txt", **NET},
    "formula t.yaml a -f sympy": {"--symbolic": "k", "-o": "out.txt", **NET},
    "explain t.yaml a": {"--set": "k=7", "--input": "3x10x10", "-o": "out.txt"},
    "solve t.yaml --output 3x3": {
        **BUDGETS, "--layer": "a", "--field": "c=3..", "--square": "", "--batch": "2", "--symbolic": "H", "--format": "json",
    },
    "solve t.yaml --macs 1K..50K --set k=sym": {
        "--params": "20..2K", "--output": "7x7", "--batch": "2", "--dtype": "float16", "--set": "n=2", "--input": "H=10",
        "--symbolic": "W", "--field": "b.H=3..11", "--square": "", "--format": "json",
    },
    "sweep t.yaml --set k=1..3": {**SWEEP, "--plot": "out.svg"},
    "check t.yaml": {"--format": "json", "--symbolic": "H", "--set": "k=7"},
    "check t.yaml -f github": {"--symbolic": "H", "--set": "k=7"},
    "claims t.yaml": {"--all": "", "--specs": ".", "--format": "json"},
    "claims --all --specs .": {"t": "", "--format": "json"},
}  # fmt: skip
"""Ways to call the commands, and what else each may be given."""

RESTATED = "says what holds anyway"
SAME_ANSWER = "the value is used, and the answer doesn't depend on it"
RIGHT = {
    ("table t.yaml", "--no-bias", "--style"): RESTATED,
    ("table t.yaml", "--dtype", "--format"): SAME_ANSWER,
    ("table t.yaml -f json", "--all", ""): RESTATED,
    ("receptive-field t.yaml", "--all", "--layer"): RESTATED,
    ("receptive-field t.yaml -o out.svg", "--set", "--layer"): SAME_ANSWER,
    ("render t.yaml -f dot --set n=3", "--no-fold", "--depth"): SAME_ANSWER,
    ("formula t.yaml -f python", "--input", ""): SAME_ANSWER,
    ("formula t.yaml -f python", "--set", "a"): SAME_ANSWER,
    ("formula t.yaml a -f sympy", "--set", ""): SAME_ANSWER,
    ("formula t.yaml a -f sympy", "--input", ""): SAME_ANSWER,
    ("solve t.yaml --output 3x3", "--batch", ""): SAME_ANSWER,
    ("solve t.yaml --output 3x3", "--symbolic", "--square"): RESTATED,
    ("solve t.yaml --macs 1K..50K --set k=sym", "--symbolic", "--square"): RESTATED,
    ("solve t.yaml --macs 1K..50K --set k=sym", "--dtype", ""): SAME_ANSWER,
    ("check t.yaml", "--set", ""): SAME_ANSWER,
    ("check t.yaml -f github", "--set", ""): SAME_ANSWER,
}
"""Where an option changes nothing (in a mode, beside another option or alone), and why that is right."""

Seen = tuple[int, str, Mapping[str, bytes]]


class _Stdout(io.StringIO):
    """A stdout that takes bytes as well, as pictures are written."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = io.BytesIO()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the spec in it."""
    (tmp_path / "t.yaml").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def seen(folder: Path, words: Sequence[str]) -> Seen:
    """The exit code of a command, what it prints on stdout, and the files that it writes."""
    for file in folder.glob("out.*"):
        file.unlink()
    out = _Stdout()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main(list(words))
    files = {file.name: file.read_bytes() for file in folder.glob("out.*")}
    return code, out.getvalue() + out.buffer.getvalue().decode(), files


def without_effect(folder: Path, mode: str) -> Iterator[tuple[str, str]]:
    """The options that are taken in a mode and change nothing: alone ("") or beside another one."""
    options = MODES[mode]

    def called(*names: str) -> Seen:
        return seen(folder, [*mode.split(), *(word for name in names for word in (name, options[name]) if word)])

    bare, alone = called(), {name: called(name) for name in options}
    for name in options:
        if alone[name] == bare:
            yield name, ""
    for pair in combinations(options, 2):
        both = called(*pair)
        for name, other in (pair, pair[::-1]):
            if both[0] != 2 and both == alone[other] and alone[name] != bare:
                yield name, other


@pytest.mark.parametrize("mode", MODES)
def test_every_option_has_an_effect_or_is_refused(folder: Path, mode: str) -> None:
    """Alone and beside each other one, an option changes the output, or ends with exit code 2."""
    expected = {(name, other) for known, name, other in RIGHT if known == mode}
    assert expected == set(without_effect(folder, mode))


UNTRAINED = "int8 has no gradients: nothing is kept for a backward pass, so there is no saved_bytes"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table t.yaml --batch 2 --batch 3", "--batch is given twice"),
        ("table t.yaml --symbolic H --symbolic W --symbolic N", "--symbolic is given 3 times"),
        ("render t.yaml --fold --no-fold", "--fold/--no-fold is given twice"),
        ("sweep t.yaml --set k=1..3 --pareto params,params:max", "pareto names 'params' twice"),
        ("table t.yaml --columns=", "--columns is empty"),
        ("explain t.yaml --set= a", "--set is empty"),
        ("sweep t.yaml --set k=1..3 --columns params,macs,params", "a column can be shown once only"),
        ("sweep t.yaml --set k=1..3 --axes k,params", "--axes goes with --plot"),
        ("sweep t.yaml --set H=7..9 --input H=20", "both --input and --set say what H is"),
        ("solve t.yaml --macs 1M --set W=1..9 --input H=20,W=20", "both --input and --set say what W is"),
        ("solve t.yaml --macs 1M --set H=sym --input H=20", "--input says H=20, and --symbolic leaves H open"),
        ("solve t.yaml --macs 1M --symbolic H --input H=20", "--input says H=20, and --symbolic leaves H open"),
        ("solve t.yaml --macs 1M --symbolic k --set k=7", "--set gives 'k' a value, and --symbolic leaves it open"),
        ("table t.yaml --symbolic k --set k=7", "--set gives 'k' a value, and --symbolic leaves it open"),
        ("table t.yaml --symbolic H --input 3xAx8", "--input says H=A, and --symbolic leaves H open"),
        ("check t.yaml --symbolic k --set k=7", "--set gives 'k' a value, and --symbolic leaves it open"),
        ("formula t.yaml a --symbolic k --set k=7", "--set gives 'k' a value, and --symbolic leaves it open"),
        ("formula t.yaml a --symbolic N", "a layer's formulas are for one example"),
        (
            "formula t.yaml a --symbolic k -f python",
            "--format python leaves all sizes of a layer open: --symbolic has no effect",
        ),
        (
            "receptive-field t.yaml --layer a --at H=3,H=4",
            "the position 'H=3,H=4' gives H twice; the positions of 'a' are H,W",
        ),
        (
            "receptive-field t.yaml --layer a --at W=3,4",
            "the position 'W=3,4' gives W twice; the positions of 'a' are H,W",
        ),
        ("receptive-field t.yaml --at 1,1 --all", "--at is not about rows for every layer"),
        ("receptive-field --stack 3x3 --set k=7", "--stack describes a net of its own: leave out --set"),
        ("table t.yaml --dtype int8 --columns saved_bytes", UNTRAINED),
        ("table t.yaml --dtype int8 --sort saved_bytes", UNTRAINED),
        ("solve t.yaml --dtype int8 --saved-bytes 1MB --symbolic k", UNTRAINED),
        ("sweep t.yaml --dtype int8 --columns saved_bytes --set k=1..3", UNTRAINED),
        ("sweep t.yaml --dtype int8 --columns saved_bytes --set k=1..30000", UNTRAINED),
        ("table t.yaml --no-bias --columns name,macs", "no column shows params, with or without biases"),
        ("claims t.yaml --specs .", "'t.yaml' is a file, and --specs is where names are looked up"),
        ("golden check t.yaml --specs .", "'t.yaml' is a file, and --specs is where names are looked up"),
        ("verify t.yaml --specs .", "'t.yaml' is a file, and --specs is where names are looked up"),
        ("verify t.yaml --format json --quiet", "JSON has everything: --quiet has no effect"),
    ],
)
def test_what_would_be_dropped_is_refused(
    folder: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What contradicts itself, is given twice, is empty or of no use is wrong usage, and the message says how."""
    code = main(words.split())
    assert (2, "", f"error: {message}") == (code, *_first_lines(capsys))


def _first_lines(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    out, err = capsys.readouterr()
    return out, next(line for line in err.splitlines() if line.startswith("error"))


def test_totals_are_open_where_the_default_cannot_be_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`formula --symbolic a` has formulas though the spec's own a fits nothing: then no numbers are put in."""
    spec = tmp_path / "g.yaml"
    spec.write_text(
        "archcalc: 1\nname: g\nhparams: {a: 5}\ninput: {C: 12, H: 8, W: 8}\nlayers: [conv 4*a 3x3 g=a]\n",
        encoding="utf-8",
    )
    assert main(["formula", str(spec), "--symbolic", "a"]) == 0
    out, err = capsys.readouterr()
    assert err == "no numbers are put in for a: the network can't be built with those that it has\n"
    assert "params           = 4a + 432\n\n" in out
    assert "needs 12 mod a = 0" in out


def test_values_that_nothing_reads_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`sweep`, `solve` and `explain` say so where the sizes of --input leave an hparam without effect."""
    spec = tmp_path / "u.yaml"
    text = "archcalc: 1\nname: u\nhparams: {size: 8, k: 2}\ninput: {C: 3, H: size, W: size}\nlayers: [a: conv k 3x3]\n"
    spec.write_text(text, encoding="utf-8")
    both = ["--set", "size=9", "--input", "3x12x12"]
    for command in (["sweep", str(spec), "--set", "k=1..2"], ["solve", str(spec), "--macs", "9K", "--symbolic", "k"]):
        assert main([*command, *both]) == 0
        assert "W406 nothing reads hparam 'size': its value has no effect" in capsys.readouterr().err
    assert main(["explain", str(spec), "a", *both]) == 0
    assert "W406 nothing reads hparam 'size': its value has no effect" in capsys.readouterr().err


def test_conditions_reach_github(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check --symbolic H -f github` has a notice for each condition, which only text and JSON had."""
    assert main(["check", "t.yaml", "--symbolic", "H", "-f", "github"]) == 0
    assert "::notice title=t.yaml::works if H >= 3\n" in capsys.readouterr().out
