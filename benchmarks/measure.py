"""What the benchmarks share: whole processes measured in turns, medians of ratios, an ordinary installation.

A machine that others use is now quick, now slow. So what is compared runs in turns (A B A B …), each run is compared
with its neighbour, and the median of these ratios is the result.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes of a unit of `ru_maxrss`."""

KEPT = 1 << 17
"""How much output is kept of a run."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process has cost: seconds of CPU (its children included), seconds by the clock, most bytes resident."""

    cpu: float
    wall: float
    peak: int
    output: str
    """The beginning of what it printed."""
    lines: int


def environment() -> dict[str, str]:
    """The environment of children: none of Python's switches, above all not PYTHONDONTWRITEBYTECODE.

    With it archcalc, which `pip install` has compiled, would still start quickly, but scripts and `--here` would be
    compiled anew in every process.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(command: Sequence[str | Path]) -> Cost:
    """Run a process to its end, its output going to a file.

    A process's peak includes its parent's, until it executes its own program. So we must stay smaller than anything
    that we measure: nothing large is imported here, and no long output kept.
    Raises: RuntimeError: it failed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment(), cwd=tempfile.gettempdir())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # we have waited, subprocess must not
        if process.returncode:
            err.seek(0)
            raise RuntimeError(f"{' '.join(map(str, command))}\n{err.read().decode()}")
        out.seek(0)
        output = out.read(KEPT)
        lines = output.count(b"\n") + sum(chunk.count(b"\n") for chunk in iter(lambda: out.read(KEPT), b""))
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT
    return Cost(cpu, wall, peak, output.decode(errors="ignore"), lines)


def in_turns(commands: Mapping[str, Sequence[str | Path]], rounds: int) -> dict[str, list[Cost]]:
    """Run every command once unmeasured (files get cached, bytecode written), then all in turns, `rounds` times."""
    for command in commands.values():
        run(command)
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(run(command))
    return found


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ratios of neighbouring runs: their median and quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} (quartiles {self.low:.3g} to {self.high:.3g})"


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """How many times as large the values `above` are, pair by pair."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    low, median, high = statistics.quantiles(pairs, n=4, method="inclusive") if len(pairs) > 1 else pairs * 3
    return Ratio(median, low, high)


def seconds(values: Sequence[float]) -> str:
    """The median of some times, as a text."""
    median = statistics.median(values)
    return f"{median:.2f} s" if median >= 1 else f"{median * 1000:.1f} ms"


def megabytes(costs: Sequence[Cost]) -> str:
    """The median of the peaks, as a text."""
    return f"{statistics.median(cost.peak for cost in costs) / 1e6:.0f} MB"


def told(met: bool) -> str:
    """A goal's verdict."""
    return "met" if met else "MISSED"


def options(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """A script's command line: how many rounds, and which installation."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="measured runs of each command (%(default)s)")
    parser.add_argument("--here", action="store_true", help="measure this Python's archcalc, don't install a fresh one")
    return parser


@contextmanager
def installation(here: bool) -> Iterator[Path]:
    """The Python of an ordinary installation of archcalc: a fresh virtual environment, or with `here` our own."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"Python {platform.python_version()}, {machine}, {time.strftime('%Y-%m-%d')}\n")
    if here:
        yield Path(sys.executable)
        return
    with installed(ROOT) as python:
        yield python


@contextmanager
def installed(source: Path) -> Iterator[Path]:
    """The Python of a fresh virtual environment with what is in a folder.

    Ordinarily installed, as an editable installation doubles the interpreter's start. pip compiles what it installs,
    whatever PYTHONDONTWRITEBYTECODE says.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "Scripts" if os.name == "nt" else "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", source], check=True, env=environment())
        yield python


@contextmanager
def installed_commit(commit: str) -> Iterator[Path]:
    """The same with this repository as it was at a commit."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", folder], check=True, input=archive.stdout)
        with installed(Path(folder)) as python:
            yield python


def archcalc(python: Path) -> Path:
    """The command `archcalc` of an installation."""
    return python.with_name("archcalc")
