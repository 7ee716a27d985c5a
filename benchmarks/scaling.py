"""CPU per layer of building and analysing ever deeper nets: it should stay flat.

CIFAR residual nets of 6n+2 layers: expanding them and adding up all totals, timed inside fresh processes, without the
imports and without reading the spec, which takes its 10 ms whatever n is. Goal: from n = 200 on the time per layer
differs by at most 1.5 times. (n = 18 is shown as well; most of its blocks are expanded, where deeper nets copy.) Then
whole processes that print every row of the deepest net, and of a loop of 120,000 passes that has no block to copy: at
most 10 s and 1 GB each.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import archcalc, in_turns, installation, megabytes, options, ratio, seconds, told

DEPTHS = (18, 200, 2_000, 20_000)
FLAT = 1.5
MOST_SECONDS, MOST_BYTES = 10, 1e9
LOOP = """\
archcalc: 1
name: loop
input: {C: 3, H: 32, W: 32}
layers:
  - for: {i: 1..120000}
    do: conv 16 3x3 p=1 -> bn -> relu
"""


def main() -> None:
    """Print the time per layer at every depth, and what the longest tables cost."""
    arguments = options(__doc__, rounds=5).parse_args()
    with installation(arguments.here) as python, tempfile.TemporaryDirectory() as folder:
        commands = {str(n): [python, __file__, "--child", str(n)] for n in DEPTHS}
        _tell_scaling({int(n): [c.output for c in found] for n, found in in_turns(commands, arguments.rounds).items()})
        spec = Path(folder, "loop.yaml")
        spec.write_text(LOOP, encoding="utf-8")
        deepest = [archcalc(python), "table", "resnet:cifar", "--set", f"n={DEPTHS[-1]}"]
        loop = [archcalc(python), "table", spec]
        commands = {
            f"resnet:cifar n={DEPTHS[-1]}, csv": [*deepest, "--format", "csv"],
            f"resnet:cifar n={DEPTHS[-1]}, plain": deepest,
            "plain loop, csv": [*loop, "--format", "csv"],
            "plain loop, plain": loop,
        }
        for name, found in in_turns(commands, arguments.rounds).items():
            wall = statistics.median(cost.wall for cost in found)
            met = wall <= MOST_SECONDS and statistics.median(cost.peak for cost in found) <= MOST_BYTES
            cpu = seconds([cost.cpu for cost in found])
            print(f"{name:28} {wall:5.2f} s by the clock, {cpu} CPU, {megabytes(found)}", end="")
            print(f", {found[0].lines:,} lines: goal {told(met)}")


def _tell_scaling(outputs: dict[int, list[str]]) -> None:
    """Print the time per layer against the net of n = 200, and what each layer more than the net above costs."""
    spent = {n: [float(text.split()[0]) for text in texts] for n, texts in outputs.items()}
    per_layer = {n: [value / (6 * n + 2) for value in times] for n, times in spent.items()}
    smaller = 0
    for n, times in spent.items():
        each, against = statistics.median(per_layer[n]) * 1e6, ratio(per_layer[n], per_layer[DEPTHS[1]])
        print(f"{6 * n + 2:>7,} layers, {outputs[n][0].split()[1]:>7} nodes: {seconds(times):>9}", end="")
        print(f", {each:5.1f} µs a layer, x n=200: {against}", end="")
        if smaller:
            more = [(a - b) / (6 * (n - smaller)) for a, b in zip(times, spent[smaller], strict=True)]
            print(f"; each further layer {statistics.median(more) * 1e6:.1f} µs", end="")
        print()
        smaller = n
    rounds = list(zip(*per_layer.values(), strict=True))
    worst = {"from n = 200 on": [times[1:] for times in rounds], "n = 18 as well": rounds}
    for which, found in worst.items():
        spread = statistics.median(max(times) / min(times) for times in found)
        goal = f", goal {FLAT}: {told(spread <= FLAT)}" if which.startswith("from") else ""
        print(f"slowest over fastest, {which}: {spread:.2f}{goal}")
    print()


def child(n: int) -> None:
    """Print the seconds of CPU that a net takes, and how many nodes it has."""
    import archcalc as package

    package.analyze(package.load("lenet5").build()).totals  # noqa: B018  # imports all that is needed
    architecture = package.load("resnet:cifar")
    repeats = max(1, 2_000 // n)  # a small net alone would take less than the clock's noise
    started = time.process_time()
    for _ in range(repeats):
        graph = architecture.build(n=n)
        totals = package.analyze(graph).totals
    spent = (time.process_time() - started) / repeats
    if totals["depth"] != 6 * n + 2:
        raise AssertionError(totals)
    print(spent, len(graph.nodes))


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(int(sys.argv[-1]))
    else:
        main()
