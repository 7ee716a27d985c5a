"""Configurations a second: sweeps through compiled formulas against building one net after the other.

CPU seconds of fresh processes, without imports and without planning (one symbolic analysis, printed beside): AlphaGo's
width k, and VGG-16's input sizes. The same process counts configurations built and analysed one at a time, so the ratio
holds on any machine. Goal: 5 million configurations a second and core. A small sweep by generated Python, without
NumPy, is shown as well.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from measure import in_turns, installation, options, ratio, told

GOAL = 5e6
COLUMNS = ("params", "macs", "activations")
SWEEPS: dict[str, tuple[str, dict[str, range], tuple[str, ...]]] = {
    "AlphaGo's k, params": ("alphago_policy", {"k": range(1, 10_000_001)}, ("params",)),
    "AlphaGo's k, params, macs, activations": ("alphago_policy", {"k": range(1, 10_000_001)}, COLUMNS),
    "VGG-16's H and W, params, macs, activations": ("vgg16", {"H": range(32, 3032), "W": range(32, 3032)}, COLUMNS),
}
SMALL = 10_000
SINGLE = 200


def main() -> None:
    """Print the speeds and their ratios."""
    arguments = options(__doc__, rounds=5).parse_args()
    with installation(arguments.here) as python:
        commands = {name: [python, __file__, "--child", name] for name in SWEEPS}
        for name, costs in in_turns(commands, arguments.rounds).items():
            found = [json.loads(cost.output) for cost in costs]
            speeds, singles = ([run[key] for run in found] for key in ("numpy", "single"))
            speed = statistics.median(speeds)
            plain = statistics.median(run["python"] for run in found)
            planning = statistics.median(run["planning"] for run in found)
            print(f"{name} ({found[0]['count']:,} configurations)")
            print(f"  {speed / 1e6:.1f} million a second, goal {GOAL / 1e6:.0f} million: {told(speed >= GOAL)}")
            print(f"  generated Python, {SMALL:,} of them: {plain / 1e6:.2f} million a second")
            print(f"  one at a time: {statistics.median(singles):,.0f} a second; ratio {ratio(speeds, singles)}")
            print(f"  planning, symbolic analysis included: {planning:.2f} s")


def child(name: str) -> None:
    """Print one sweep's speeds as JSON."""
    import numpy  # noqa: F401  # so that its import isn't measured
    import sympy  # noqa: F401

    from archcalc.questions.sweep import sweep
    from archcalc.zoo import load

    spec, choices, columns = SWEEPS[name]
    architecture = load(spec)
    started = time.process_time()
    grid = sweep(architecture, columns, hparams=choices).grid
    planning = time.process_time() - started
    few = {axis: values[: int(SMALL ** (1 / len(choices)))] for axis, values in choices.items()}
    small = sweep(architecture, columns, hparams=few).grid
    started = time.process_time()
    singles = [grid.one({axis: values[place] for axis, values in choices.items()}) for place in range(SINGLE)]
    alone = SINGLE / (time.process_time() - started)
    if None in singles:
        raise AssertionError("a configuration can't be built")
    print(json.dumps({
        "count": grid.count, "planning": planning, "single": alone,
        "numpy": _speed(grid, columns[0], True), "python": _speed(small, columns[0], False),
    }))  # fmt: skip


def _speed(grid: Any, column: str, numpy: bool) -> float:
    started = time.process_time()
    done = sum(len(block[column]) for block in grid.blocks(numpy))
    spent = time.process_time() - started
    if done != grid.count:
        raise AssertionError(f"{done} of {grid.count}")
    return done / spent


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[-1])
    else:
        main()
