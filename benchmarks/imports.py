"""How much of the libraries is imported as it is: a table of networks, each imported and compared with its module.

    python benchmarks/imports.py torchvision timm transformers   # whole sets
    python benchmarks/imports.py timm:resnet50 torchvision:vgg16 --outputs
    python benchmarks/imports.py timm --jobs 2 --results timm.jsonl    # goes on where it was stopped

Needs torch and the libraries of the sets; a set whose library isn't there is passed over. Each network is imported in
a process of its own, forked from one that has loaded torch and the library, so that neither a crash nor memory of one
meets another. Parameters, shapes and multiply-adds are those that the module itself has while it runs on PyTorch's
meta device, whatever was imported.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import resource
import statistics
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers_types

from archcalc import analyze, build
from archcalc.errors import ArchcalcError, UsageError
from archcalc.importers.code import import_code, input_sizes
from archcalc.importers.imported import Imported, imported
from archcalc.importers.operations.exported import quiet
from archcalc.importers.sources import LIBRARIES, Source, built, library, source_of
from archcalc.pytorch.original import imported_checks

TIMM = 300
"""Names of timm's in its set."""
OP = "opaque"
"""The kind of layer that stands for an operation that specs don't know."""
MiB = 1 << 20
CHECKED = ("params", "shapes", "MACs", "outputs", "gradients")


class Network(NamedTuple):
    """A name, and what enters it, if nothing else says so: `("models.py:Net", ("T=64",))`."""

    name: str
    inputs: tuple[str, ...] = ()


# --- sets -------------------------------------------------------------------------------------------------------------


def torchvision_networks() -> list[Network]:
    """All that torchvision has, but those of integers."""
    models = library("torchvision.models")
    homes = (models, models.segmentation, models.video, models.optical_flow, models.detection)
    return [Network(f"torchvision:{name}") for home in homes for name in models.list_models(module=home)]


def timm_networks() -> list[Network]:
    """Some of each of timm's files: of all of them in turn one more, those between others that were taken."""
    timm = library("timm")
    families = [timm.list_models(module=module) for module in timm.list_modules()]
    rows = [iter(_spread(family)) for family in families]
    found: list[str] = []
    while rows and len(found) < TIMM:
        taken = [(row, next(row, None)) for row in rows]
        found += [name for _, name in taken if name and name not in found]
        rows = [row for row, name in taken if name]
    return [Network(f"timm:{name}") for name in sorted(found[:TIMM])]


def _spread(names: Sequence[str]) -> Iterator[str]:
    """The first of names, the last, the middle one, and so on."""
    yield from dict.fromkeys([*names[:1], *names[-1:]])
    parts = [(0, len(names) - 1)]
    while parts:
        low, high = parts.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            yield names[middle]
            parts += [(low, middle), (middle, high)]


def transformers_networks() -> list[Network]:
    """Its model types, of two small layers each."""
    return [Network(*each) for each in transformers_types.networks(library("transformers"))]


SETS: dict[str, Callable[[], Iterable[Network]] | Sequence[Network]] = {
    "torchvision": torchvision_networks,
    "timm": timm_networks,
    "transformers": transformers_networks,
}
"""The networks of each set, or what lists them; it may raise an ArchcalcError where its library isn't there."""


def networks(names: Sequence[str], inputs: Sequence[str]) -> list[Network]:
    """What sets and names stand for."""
    found: list[Network] = []
    for name in names:
        if name not in SETS:
            found.append(Network(name, tuple(inputs)))
            continue
        chosen = SETS[name]
        try:
            found += chosen() if callable(chosen) else chosen
        except ArchcalcError as error:
            print(f"{name} is passed over: {error}", file=sys.stderr)
    return list(dict.fromkeys(found))


# --- one network ------------------------------------------------------------------------------------------------------


def measured(network: Network, outputs: bool) -> dict[str, Any]:
    """What comes of importing a network: a row of the table; seconds are of CPU."""
    started = time.process_time()
    row: dict[str, Any] = {"name": network.name, "imported": False}
    source = source_of(network.name)
    try:
        if source is None:
            raise UsageError(f"{network.name} names no code")
        found = import_code(source, network.inputs)
    except UsageError as error:
        return row | {
            "why": str(error).partition("\n")[0],
            "hint": error.hint,
            "seconds": time.process_time() - started,
            "peak": _peak(),
        }
    except Exception as error:  # what this is to find out
        return row | {"why": f"TRACEBACK {type(error).__name__}: {error} {_place(error)}", "crashed": True}
    seconds, peak = time.process_time() - started, _peak()
    kinds = Counter(step.layer.kind for step in found.steps if step)
    row |= {"imported": True, "seconds": seconds, "peak": peak, "lines": found.text.count("\n")}
    row |= {"layers": sum(kinds.values()), "ops": kinds[OP]}
    if kinds[OP]:
        row["opaque"] = sorted({f"{each.operator}: {each.reason} at {each.line}" for each in found.not_lifted})
    try:
        return row | _compared(found, source, network.inputs, outputs)
    except Exception as error:  # of our own graph, or of the library's module
        return row | {"why": f"can't be compared: {type(error).__name__}: {error} {_place(error)}"}


def _compared(found: Imported, source: Source, inputs: Sequence[str], outputs: bool) -> dict[str, Any]:
    """Whether params, output shapes, multiply-adds and, if asked for, outputs are the module's; what isn't."""
    row: dict[str, Any] = {}
    unlike = []
    for check in imported_checks(analyze(build(found.spec)), found, source, input_sizes(source, inputs)):
        what = check.quantity.removeprefix("original's ")
        row[what] = not check.differences if check.compared else None
        unlike += [f"{what}: {check.differences[0]}"] if check.differences else []
        if what == "shapes" and not outputs:
            break
    return row | ({"unlike": "; ".join(unlike)} if unlike else {})


def _place(error: BaseException) -> str:
    """The innermost line of a traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"at {Path(last.filename).name}:{last.lineno}"


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# --- all of them ------------------------------------------------------------------------------------------------------


def run(todo: Sequence[Network], jobs: int, limit: float, outputs: bool) -> Iterator[dict[str, Any]]:
    """Rows as they get ready, with so many processes at once, each for at most so many seconds."""
    waiting, running = list(reversed(todo)), dict[Connection, tuple[Network, Any, float]]()
    context = multiprocessing.get_context("fork")
    while waiting or running:
        while waiting and len(running) < jobs:
            network = waiting.pop()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(network, outputs, theirs), daemon=True)
            process.start()
            theirs.close()
            running[ours] = network, process, time.monotonic() + limit
        ready = wait(list(running), timeout=1)
        for end, (network, process, until) in list(running.items()):
            if end in ready or time.monotonic() > until:
                del running[end]
                yield _row(network, end, end in ready, limit)
                process.kill()
                process.join()


def _row(network: Network, end: Connection, ready: bool, limit: float) -> dict[str, Any]:
    """What a process has sent."""
    lost = {"name": network.name, "imported": False}
    if not ready:
        return lost | {"why": f"not done in {limit:g} s"}
    try:
        row: dict[str, Any] = end.recv()
    except EOFError:
        return lost | {"why": "TRACEBACK the process died", "crashed": True}
    return row


def _work(network: Network, outputs: bool, end: Connection) -> None:
    warnings.simplefilter("ignore")
    with quiet():
        row = measured(network, outputs)
    end.send(row)


def _ready(todo: Sequence[Network]) -> None:
    """Load what every process needs: PyTorch with all that an import takes, and libraries."""
    torch.set_num_threads(1)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imported(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), [torch.randn(2, 3, 4, 4, device="meta")], "ready")
        for name in {network.name.partition(":")[0]: network.name for network in todo}.values():
            source = source_of(name)
            if source is not None and source.home in LIBRARIES:
                with suppress(UsageError):
                    built(source, "meta")


# --- what came of it --------------------------------------------------------------------------------------------------


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    name = f"{row['name']:<48}"
    if not row["imported"]:
        return f"{name} {row['why']} {row.get('hint') or ''}".rstrip()
    counts = f"{row['lines']:5} {row['layers']:6} {row['ops']:4}"
    marks = " ".join(f"{MARKS[row.get(what)]:>{len(what)}}" for what in CHECKED)
    wrong = row.get("why") or row.get("unlike") or "; ".join(row.get("opaque", []))
    return f"{name} {counts}  {marks}  {row['seconds']:6.1f} {row['peak'] / MiB:6.0f}  {wrong}".rstrip()


HEAD = f"{'':<48} lines layers  ops  {' '.join(CHECKED)} seconds    MiB"
MARKS = {True: "=", False: "DIFF", None: "-"}


def summary(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Shares of all rows, and the causes, the most frequent first."""
    done = [row for row in rows if row["imported"]]
    yield _share("imported", len(done), len(rows))
    yield _share("of these without op layers", sum(not row["ops"] for row in done), len(done))
    for what in CHECKED:
        compared = [row[what] for row in done if row.get(what) is not None]
        yield _share(f"{what} equal", sum(compared), len(compared))
    yield _share("tracebacks", sum("crashed" in row for row in rows), len(rows))
    if done:
        seconds = sorted(row["seconds"] for row in done)
        yield f"{'seconds':<28} median {statistics.median(seconds):.1f}, most {seconds[-1]:.1f}"
        yield f"{'lines':<28} median {statistics.median(row['lines'] for row in done):.0f}"
    causes: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        for text in filter(None, (row.get("why"), row.get("unlike"), *row.get("opaque", []))):
            causes[_cause(text)][row["name"]] = None
    for cause, names in sorted(causes.items(), key=lambda each: -len(each[1])):
        yield f"{len(names):4}  {cause}: {', '.join(list(names)[:3])}{' …' if len(names) > 3 else ''}"


def _share(what: str, some: int, of: int) -> str:
    return f"{what:<28} {some} of {of}" + (f" ({100 * some / of:.1f} %)" if of else "")


def _cause(text: str) -> str:
    """A message without the submodule and the numbers in it."""
    told = text if text.startswith(("TRACEBACK", "can't be compared")) else text.partition(": ")[2] or text
    return re.sub(r"\d[\d,.x]*", "#", told)[:110]


def main() -> None:
    """Import the networks that are named, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help=f"names of code, or sets: {', '.join(SETS)}")
    parser.add_argument("--few", type=int, help="only so many of all, evenly spread")
    parser.add_argument("--input", action="append", default=[], help="what enters networks that are named: 3x32x32")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--limit", type=float, default=120, help="seconds for one network")
    parser.add_argument("--outputs", action="store_true", help="compare outputs and gradients with copied weights")
    parser.add_argument("--results", type=Path, help="a file for rows (lines of JSON), and those done already")
    parser.add_argument("--failed", action="store_true", help="do again what failed or differs in the results")
    given = parser.parse_args()
    found = networks(given.names, given.input)
    if given.few and given.few < len(found):
        found = [found[number * len(found) // given.few] for number in range(given.few)]
    before = _kept(given.results)
    if given.failed:
        before = {name: row for name, row in before.items() if not (row.get("why") or row.get("unlike"))}
    todo = [network for network in found if network.name not in before]
    rows = [before[network.name] for network in found if network.name in before]
    _ready(todo)
    print(HEAD)
    for number, row in enumerate(run(todo, given.jobs, given.limit, given.outputs), 1):
        rows.append(row)
        print(line(row), flush=True)
        print(f"{number} of {len(todo)}", end="\r", file=sys.stderr, flush=True)
        if given.results:
            with given.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print("\n".join(["", *summary(rows)]))


def _kept(path: Path | None) -> dict[str, dict[str, Any]]:
    """The last row of each name."""
    if path is None or not path.exists():
        return {}
    return {row["name"]: row for row in map(json.loads, path.read_text().splitlines())}


if __name__ == "__main__":
    main()
