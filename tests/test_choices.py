"""Several values of one name, as people type them: ranges, ranges with steps, and lists of both."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from archcalc.__main__ import main
from archcalc.errors import UsageError
from archcalc.questions.choices import alternatives
from archcalc.symbolic import Integers
from archcalc.zoo import load


def _typed(draw: random.Random) -> tuple[str, list[int]]:
    """A list as it's typed, and its numbers as Python has them."""
    parts, numbers = [], []
    for _ in range(draw.randint(1, 4)):
        first, length, step = draw.randint(-5, 90), draw.randint(0, 30), draw.choice((1, 1, 2, 3, 7, 64))
        kind = draw.choice(("one", "range", "steps"))
        parts.append({"one": f"{first}", "range": f"{first}..{first + length}",
                      "steps": f"{first} .. {first}+{length} : {step}"}[kind])  # fmt: skip
        last, by = (first, 1) if kind == "one" else (first + length, step if kind == "steps" else 1)
        number = first
        while number <= last:
            numbers.append(number)
            number += by
    return draw.choice((",", ", ")).join(parts), numbers


def test_lists_and_steps_are_what_counting_gives() -> None:
    """Each number once, in the order in which they are typed, in brackets and without."""
    draw = random.Random(1)
    alphago = load("alphago_policy")
    for _ in range(300):
        typed, numbers = _typed(draw)
        text = f"[{typed}]" if draw.random() < 0.3 else typed
        fixed, several = alternatives(alphago, [f"k={text}"])
        found = several["k"] if several else [fixed["k"]]
        assert list(dict.fromkeys(numbers)) == list(map(int, found)), text


def test_a_single_range_stays_one() -> None:
    """It may be far longer than what is listed."""
    assert range(8, 10**8 + 1, 8) == alternatives(load("alphago_policy"), ["k=8..10**8:8"])[1]["k"]


def test_lists_of_lists_and_of_words() -> None:
    """Commas inside brackets belong to a value; a name whose own value is a list takes lists."""
    expected = {"widths": ["[1,2]", "[3, 4]"], "body": ["two3x3", "bottleneck"], "n": ["max(1, 2)", "3"]}
    given = ["widths=[1,2],[3, 4]", "body=two3x3, bottleneck", "n=max(1, 2),3"]
    assert ({}, expected) == alternatives(load("resnet50"), given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k=9..3", "can't read the range '9..3'"),
        ("k=3..9:0", "can't read the range '3..9:0'"),
        ("k=3..9:-1", "can't read the range '3..9:-1'"),
        ("k=9..3:-1", "can't read the range '9..3:-1'"),
        ("k=3..9:1/2", "can't read the range '3..9:1/2'"),
        ("k=3..9.5", "can't read the range '3..9.5'"),
        ("k=3..9:2:2", "expected the end, found ':'"),
        ("k=3:9:2", "a range with steps: 8..128:8"),
        ("k=3..9:", "a range with steps: 8..128:8"),
        ("k=1,,2", "a value is missing"),
        ("k=1,2,", "a value is missing"),
        ("k=[1,2,]", ""),
        ("k=[]", "a value is missing"),
        ("k=,1", "a value is missing"),
        ("k=1..10**5,7", "more than 100,000 values"),
        ("k=1..10**5", ""),
        ("k=1..10**12", "the range '1..10**12' is too long"),
        ("k=1..10**12:100", "the range '1..10**12:100' is too long"),
        ("k=1..10**12:10000", ""),
        ("widths=8,16", "'widths' is a list, and '8,16' may be one or several"),
        ("widths=[8,16],32", "'widths' is a list"),
    ],
)
def test_what_cant_be_read(text: str, message: str) -> None:
    """Errors say what is wrong, or how ranges are written; long ranges are no error as long as nobody lists them."""
    name = "resnet50" if text.startswith("widths") else "alphago_policy"
    if not message:
        assert alternatives(load(name), [text])[1]
        return
    with pytest.raises(UsageError, match=re.escape(message)):
        alternatives(load(name), [text])


WORD = """archcalc: 1
name: words
input: {C: 3, H: 8, W: 8}
hparams: {w: none, k: 4}
blocks:
  row():
    for: {i: w}
    do: conv i 1x1
layers: row if w != none -> conv k 1x1
"""


@pytest.mark.parametrize("command", [["sweep", "--columns", "params"], ["solve", "--params", "1M", "--set", "k=sym"]])
def test_what_stands_for_none_may_be_a_list(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So brackets around it are one value, and around numbers an error: they might be either."""
    path = tmp_path / "words.yaml"
    path.write_text(WORD)
    name, *options = command
    assert 0 == main([name, str(path), "--set", "w=[[8,16]]", *options])
    one = capsys.readouterr().out
    assert 2 == main([name, str(path), "--set", "w=[8,16]", *options])
    assert "'w' is none, and '[8,16]' may be one or several" in capsys.readouterr().err
    if name == "sweep":
        assert main(["table", str(path), "--set", "w=[8,16]", "--format", "csv"]) == 0
        params = [int(row.split(",")[4]) for row in capsys.readouterr().out.splitlines()[1:]]
        assert f"params\n{sum(params)}\n" == one
        assert 0 == main([name, str(path), "--set", "w=[none,[8,16],[4]]", *options])
        assert ["w,params", "none,16", '"[8,16]",244', "[4],36"] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("values", ["16,32", "8..16:2", "8, 1..3"])
def test_where_one_value_is_meant_several_are_refused(values: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The hint says which command takes them."""
    assert 2 == main(["table", "alphago_policy", "--set", f"k={values}"])
    assert f"several values are for sweep: archcalc sweep … --set k={values}" in capsys.readouterr().err


def test_sets_of_ranges() -> None:
    """A range as a set of integers has its members, whatever its step."""
    for first in (1, 2, 7):
        for step in (1, 2, 5, 40):
            for last in range(first, first + 60):
                numbers = range(first, last, step)
                assert Integers.of(list(numbers)) == Integers.of(numbers)


@pytest.mark.parametrize(("budget", "ranges"), [
    ("--params 700K", ("k=8..128:8",)),
    ("--params 300K..700K", ("k=1..9,40..80:5,73",)),
    ("--activations 90K", ("k=1..40:3", "N=1,2,4..6")),
])  # fmt: skip
def test_solve_and_sweep_take_the_same_steps(
    budget: str, ranges: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What solve finds within them is what each value, built by itself, gives."""
    option, amount = budget.split()
    low, _, high = amount.replace("K", "000").rpartition("..")
    sets = [word for each in ranges for word in ("--set", each)]
    condition = f"{low or 0} <= {option[2:]} and {option[2:]} <= {high}"
    assert 0 == main(["sweep", "alphago_policy", *sets, "--columns", "params", "--where", condition])
    swept = [tuple(map(int, row.split(",")[: len(ranges)])) for row in capsys.readouterr().out.splitlines()[1:]]
    assert 0 == main(["solve", "alphago_policy", *sets, option, amount, "--format", "json"])
    solved = _members(capsys.readouterr().out, [each.partition("=")[0] for each in ranges])
    assert swept
    assert sorted(swept) == sorted(solved)


def _members(text: str, names: list[str]) -> list[tuple[int, ...]]:
    """The solutions that a JSON answer describes, one by one."""
    import json
    from itertools import product

    answer = json.loads(text)
    rows = answer["rows"] or [{}]
    sets = [[_numbers({**answer["alone"], **row}[name]) for name in names] for row in rows]
    return [numbers for each in sets for numbers in product(*each)]


def _numbers(segments: list[dict[str, object]]) -> list[int]:
    return [n for s in segments for n in range(s["first"], s["last"] + 1) if n % s["period"] in s["residues"]]  # type: ignore[call-overload,operator]
