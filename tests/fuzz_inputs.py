"""Hostile inputs through whole commands: `python -m tests.fuzz_inputs --examples 20000 --seed 1 --what specs`.

Each input runs in a process of its own, forked from this one, which has imported everything; with `--processes`, as a
command line of a fresh Python. Whatever the input: an exit code of 0, 1 or 2 that fits what was printed, no traceback,
no "bug", and never more than 2 s of CPU or 300 MB. `--hunt` looks for slow inputs: it goes on from the slowest so far.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import archcalc
from archcalc.__main__ import main as command
from tests.fuzz_grammar import KINDS, Case, Fuzz

MAX_SECONDS = 2.0
MAX_MEGABYTES = 300
MAX_BYTES = 10_000
"""Four times as much where a file describes very many layers, which all are listed, and where PyTorch is imported."""
KILLED = 12


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float

    def faults(self, case: Case) -> list[str]:
        """What must not be."""
        printed = self.out + self.err
        size = sum(map(len, case.files.values())) + sum(map(len, case.arguments))
        found = []
        if self.code not in (0, 1, 2):
            found.append(f"exit code {self.code}")
        if "Traceback" in printed or "bug in archcalc" in printed:
            found.append("a bug: " + self.err[-300:])
        if self.code == 0 and ("\nerror: " in "\n" + self.err or ": E" in self.err.partition("\n")[0]):
            found.append("exit code 0 beside an error")
        if self.code in (1, 2) and not printed.strip():
            found.append("exit code without a word")
        if self.code == 2 and not self.err.strip() and "Usage: " not in self.out:
            found.append("exit code 2 without a word on stderr")
        if "\x1b" in printed:
            found.append("an escape character was printed")
        large = self.out.count("\n") > 20_000 or bool({"verify", "export"} & {*case.arguments})
        if size < MAX_BYTES and self.seconds > MAX_SECONDS * (4 if large else 1):
            found.append(f"{self.seconds:.1f} s of CPU")
        if size < MAX_BYTES and self.megabytes > MAX_MEGABYTES * (4 if large else 1):
            found.append(f"{self.megabytes:.0f} MB")
        return found


def forked(case: Case, folder: Path) -> Outcome:
    """Run a case in a forked child."""
    child = os.fork()
    if child == 0:
        _child(case, folder)
    _, status, used = os.wait4(child, 0)
    return _outcome(os.waitstatus_to_exitcode(status), folder, used)


def _child(case: Case, folder: Path) -> None:
    """In the child: limits, files, the command, and an end without clean-up."""
    code = 99
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (KILLED, KILLED))
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200 << 20, 200 << 20))
        signal.alarm(600)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder / "work")
        code = command(case.arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 98
    except BaseException as error:
        os.write(2, f"Traceback: {type(error).__name__}: {error}".encode(errors="replace"))
    finally:
        os._exit(code)


def process(case: Case, folder: Path) -> Outcome:
    """Run a case as a command line of a fresh Python."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        limits = [f'ulimit -t {KILLED}; exec "$@"', "sh", sys.executable, "-m", "archcalc", *case.arguments]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        child = subprocess.Popen(["/bin/sh", "-c", *limits], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                 cwd=folder / "work", env=environment)  # fmt: skip
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return _outcome(child.returncode, folder, used)


def _outcome(code: int, folder: Path, used: resource.struct_rusage) -> Outcome:
    out, err = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr"))
    return Outcome(code, out, err, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def run(case: Case, processes: bool = False) -> Outcome:
    """Run a case in a fresh folder; what was slow runs again, since other work on the machine costs time as well."""
    best: Outcome | None = None
    for _ in range(3):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "work").mkdir()
            for name, data in case.files.items():
                file = folder / "work" / name
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(data)
            found = (process if processes else forked)(case, folder)
        best = found if best is None or found.seconds < best.seconds else best
        if best.seconds <= MAX_SECONDS or best.seconds > 2.5 * MAX_SECONDS:
            break
    assert best is not None
    return best


def warm() -> None:
    """Import what commands import when they are called, so that children needn't."""
    importlib.import_module("sympy")
    importlib.import_module("numpy")
    for module in pkgutil.walk_packages(archcalc.__path__, "archcalc."):
        if (
            not module.name.startswith(("archcalc.pytorch.", "archcalc.pytorch.source.", "archcalc.__main__"))
            and "torch_" not in module.name
        ):
            importlib.import_module(module.name)
    gc.freeze()


def cases(what: str, seed: int, first: int, count: int) -> Iterator[tuple[str, Case]]:
    """Inputs, each with the text that draws it again."""
    names = list(KINDS) if what == "all" else [what]
    for number in range(first, first + count):
        name = names[number % len(names)]
        label = f"{name}/{seed}/{number}"
        yield label, KINDS[name](Fuzz(label))


def hunted(seed: int, count: int) -> Iterator[tuple[str, Case, Outcome]]:
    """Specs made from the slowest ones so far."""
    fuzz = Fuzz(f"hunt/{seed}")
    slowest: list[tuple[float, Case]] = []
    for number in range(count):
        if len(slowest) < 20 or fuzz.chance(4):
            case = fuzz.pick((fuzz.specs, fuzz.chains, fuzz.expressions))()
        else:
            old = fuzz.pick(slowest)[1]
            text = fuzz.mutated(old.files["t.yaml"].decode(errors="replace"))[:MAX_BYTES]
            case = Case(
                old.arguments if fuzz.chance(2) else fuzz.asked("t.yaml"), {"t.yaml": text.encode(errors="replace")}
            )
        outcome = run(case)
        slowest = sorted([*slowest, (outcome.seconds, case)], key=lambda found: -found[0])[:20]
        yield f"hunt/{seed}/{number}", case, outcome


def main() -> int:
    """Run the fuzzer; a report on each fault, and how many inputs there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--what", choices=["all", *KINDS], default="all")
    parser.add_argument("--processes", action="store_true", help="a fresh Python for each input")
    parser.add_argument("--hunt", action="store_true", help="go on from the slowest inputs so far")
    given = parser.parse_args()
    warm()
    started, faults, codes, slowest = time.monotonic(), 0, dict.fromkeys((0, 1, 2), 0), (0.0, "")
    if given.hunt:
        found = hunted(given.seed, given.examples)
    else:
        drawn = cases(given.what, given.seed, given.first, given.examples)
        found = ((label, case, run(case, given.processes)) for label, case in drawn)
    for label, case, outcome in found:
        codes[outcome.code] = codes.get(outcome.code, 0) + 1
        slowest = max(slowest, (outcome.seconds, label))
        if problems := outcome.faults(case):
            faults += 1
            print(f"=== {label}: {'; '.join(problems)}\n{case.text()[:2500]}\n", flush=True)
    print(f"{given.examples} inputs ({given.what}), seed {given.seed}, exit codes {codes}, {faults} faults, "
          f"slowest {slowest[0]:.2f} s ({slowest[1]}), {time.monotonic() - started:.0f} s")  # fmt: skip
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
