"""Processes that share work: what comes of it is the same for any number of them, and none outlives its question."""

from __future__ import annotations

import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import psutil
import pytest

import archcalc
from archcalc import workers
from archcalc.cli.run import run
from archcalc.errors import ArchcalcError
from archcalc.work import TooMuchWork, budget, spend
from archcalc.workers import WorkerLost, Workers
from tests.helpers import HEAD

GROWING = """archcalc: 1
name: growing
input: {C: 3, H: 17, W: 17}
hparams: {n: 3, w: 8, wide: false}
blocks:
  plain(): conv w 3x3 p=1 -> relu
  halving(): conv w 3x3 p=1 -> maxpool 2
layers:
  - all{i}: {for: {i: 1..n}, do: conv w+i*i 3x3 p=1 -> relu}
  - halving if wide
  - maxpool 2x2 if n > 3 -> (maxpool 2x2) * (n - 3) if n > 3
"""
"""The number of layers changes sizes from pass to pass, and what comes after them; too many halve what is nothing."""
POLLS = 400


@pytest.fixture
def growing(tmp_path: Path) -> str:
    """The path of a spec whose loop has no formula."""
    (tmp_path / "growing.yaml").write_text(GROWING)
    return str(tmp_path / "growing.yaml")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No patience: processes are started for the first item."""
    monkeypatch.setattr(workers, "PATIENCE", 0)


def children() -> list[psutil.Process]:
    """The processes that this one has started, and that haven't ended."""
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return [child for child in found if child.status() != psutil.STATUS_ZOMBIE]


SWEEPS = {
    "structures, with what fits nowhere": ["--set", "n=1..9", "--columns", "params,macs,saved_bytes,peak_bytes"],
    "structures and symbols": ["--set", "n=1..3", "--set", "w=[4,8]", "--columns", "params"],
    "layers that aren't always there": ["--set", "n=1..5", "--field", "all4/relu", "--format", "json"],
    "conditions": ["--set", "n=1..8", "--where", "n % 3 == 1", "--pareto", "params:max"],
    "an error in the middle": ["--set", "n=[1,2,300,3]"],
}


@pytest.mark.parametrize("arguments", SWEEPS.values(), ids=SWEEPS)
def test_sweeps_are_the_same_for_any_number_of_processes(
    arguments: list[str],
    growing: str,
    at_once: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """To the byte, on both streams, and with the same exit code."""
    monkeypatch.setattr("archcalc.work.STEPS", 100_000)
    monkeypatch.setenv("ARCHCALC_WORK", "1")
    found = [(run(["sweep", growing, *arguments, "--jobs", jobs]), *capfd.readouterr()) for jobs in ("1", "3")]
    assert found[0] == found[1]
    assert not children()


def test_sweeps_in_python_are_the_same_for_any_number_of_processes(growing: str, at_once: None) -> None:
    """Rows, and what is left out, in order."""
    one, three = (archcalc.sweep(growing, "params,depth", n=range(1, 12), jobs=jobs) for jobs in (1, 3))
    assert list(one) == list(three)
    assert list(one.left_out.items()) == list(three.left_out.items())
    assert one == three


def test_sweeps_say_what_has_no_formula(growing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And why; what has one says nothing."""
    expected = [
        "no formula holds for every n: 3 networks are built one by one",
        "  n: E106 '1..n' needs a number, not a symbol",
    ]
    assert 0 == run(["sweep", growing, "--set", "n=1..3", "--set", "w=[4,8]", "--columns", "params"])
    assert expected[0] in capsys.readouterr().err
    assert 0 == run(["sweep", growing, "--set", "n=1..3", "--columns", "params", "--quiet"])
    assert 0 == run(["sweep", "resnet:cifar", "--set", "n=1..3", "--columns", "params"])
    assert not capsys.readouterr().err


def _counted(most: int, steps: int) -> int:
    if steps > most:
        raise ArchcalcError(f"{steps} steps")
    spend(steps, "counting")
    return -steps


def test_errors_come_in_order(at_once: None) -> None:
    """What stands before an error is there, with its item, and nothing of what comes after."""
    found: list[tuple[int, int]] = []
    with Workers(50, 3) as several, pytest.raises(ArchcalcError, match="60 steps"):
        found.extend(several.map(_counted, range(0, 1000, 10)))
    assert [(steps, -steps) for steps in range(0, 60, 10)] == found
    assert not children()


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_item_has_a_budget(jobs: int, at_once: None) -> None:
    """If there is one at all; and the work of one item isn't counted for another."""
    with budget(1), Workers(10**9, jobs) as several:
        assert 5 == len(list(several.map(_counted, [1_500_000] * 5)))
        with pytest.raises(TooMuchWork, match="counting takes this beyond 1,600,000 steps"):
            list(several.map(_counted, [1_700_000]))
    with Workers(10**9, jobs) as several:
        assert 5 == len(list(several.map(_counted, [1_700_000] * 5)))


def test_items_are_taken_as_they_are_needed(at_once: None) -> None:
    """An endless list of them is no problem; and nobody works on when nobody listens."""

    def endless() -> Iterator[int]:
        while True:
            taken.append(1)
            yield 1

    taken: list[int] = []
    with Workers(1, 2) as several:
        assert [(1, 0)] * 3 == list(islice(several.map(operator.sub, endless()), 3))
        assert 2 * workers.AHEAD + 3 >= len(taken)
        assert children()
    assert not children()


def test_work_of_a_moment_starts_no_process(growing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are allowed."""
    monkeypatch.setattr(workers, "_Process", None)
    assert 3 == len(archcalc.sweep(growing, "params", n=range(1, 4), jobs=64))


def _killed(_: object, item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_killed_processes_are_an_error(at_once: None) -> None:
    """Not a wait without end, and not a row that is missing."""
    with Workers(None, 2) as several, pytest.raises(WorkerLost, match="a process that shared the work was killed"):
        list(several.map(_killed, range(20)))
    assert not children()


def _failed(shared: dict[str, int], item: str) -> int:
    return shared[item]


def test_bugs_in_processes_are_raised_here(at_once: None) -> None:
    """With the traceback of there as a note."""
    with Workers({"a": 1}, 2) as several, pytest.raises(KeyError) as raised:
        list(several.map(_failed, ["a", "b"]))
    assert "return shared[item]" in "".join(raised.value.__notes__)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("sent", "expected"), [("SIGINT", 130), ("SIGTERM", -15), ("SIGKILL", -9)])
def test_no_process_is_left(growing: str, sent: str, expected: int) -> None:
    """Ctrl-C ends with 130, at once and without a traceback; and whatever ends archcalc ends its processes."""
    command = [sys.executable, "-m", "archcalc", "sweep", growing, "--set", "n=1..5000"]
    process = subprocess.Popen(
        [*command, "--columns", "peak_bytes", "--jobs", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
    )  # fmt: skip
    started = psutil.Process(process.pid)
    for _ in range(POLLS):
        if len(both := started.children(recursive=True)) == 2:
            break
        time.sleep(0.05)
    os.killpg(process.pid, getattr(signal, sent))
    _, errors = process.communicate(timeout=60)
    assert expected == process.returncode
    assert "Traceback" not in errors
    assert 2 == len(both)
    assert not psutil.wait_procs(both, timeout=60)[1]


def test_what_is_handed_to_processes_can_be_pickled(tmp_path: Path) -> None:
    """Specs, graphs and errors come out as they went in."""
    (tmp_path / "wrong.yaml").write_text(HEAD + "layers: conv 8 99x99\n")
    graph = archcalc.load("resnet:cifar").build()
    assert graph == pickle.loads(pickle.dumps(graph))
    errors: list[ArchcalcError] = [WorkerLost(), TooMuchWork("counting", 5)]
    for name in ("nowhere", str(tmp_path / "wrong.yaml")):
        with pytest.raises(ArchcalcError) as raised:
            archcalc.analyze(name)
        errors.append(raised.value)
    assert list(map(str, errors)) == [str(pickle.loads(pickle.dumps(error))) for error in errors]
