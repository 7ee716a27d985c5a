"""CPU and peak memory of `archcalc table vgg16`, against printing the same table with torchinfo.

The goals are 12 times less CPU and 10 times less memory. torchinfo runs the network once, as its users do; the second
peer gives it tensors without data (torch's device `meta`), which is the least that torch can do.
The peers need torch and torchinfo: `--peer PYTHON` says which Python has them, if not this one.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from measure import archcalc, in_turns, installation, megabytes, options, ratio, run, seconds, told

LESS_CPU, LESS_MEMORY = 12, 10
PEER = Path(__file__).with_name("torchinfo_vgg16.py")


def main() -> None:
    """Print both ratios, and whether both tables have the same totals."""
    parser = options(__doc__, rounds=7)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has torch and torchinfo")
    arguments = parser.parse_args()
    with installation(arguments.here) as python:
        ours, theirs = [archcalc(python), "table", "vgg16"], [arguments.peer, PEER]
        commands = {"archcalc": ours, "torchinfo": theirs, "torchinfo, meta": [*theirs, "--meta"]}
        costs = in_turns(commands, arguments.rounds)
        totals = json.loads(run([*ours, "--format", "json"]).output)["totals"]
    for name, found in costs.items():
        print(f"{name:16} {seconds([cost.cpu for cost in found]):>9} CPU, {megabytes(found):>8} at most")
    print()
    for name in ("torchinfo", "torchinfo, meta"):
        cpu = ratio([cost.cpu for cost in costs[name]], [cost.cpu for cost in costs["archcalc"]])
        peak = ratio([cost.peak for cost in costs[name]], [cost.peak for cost in costs["archcalc"]])
        print(f"{name}: {cpu} x our CPU, goal {LESS_CPU}: {told(cpu.median >= LESS_CPU)}")
        print(f"{name}: {peak} x our memory, goal {LESS_MEMORY}: {told(peak.median >= LESS_MEMORY)}")
    table = costs["torchinfo"][0].output
    print(f"\nparams by archcalc: {totals['params']:,}; MACs: {totals['macs']:,}")
    print("by torchinfo:", *re.findall(r"Total (?:params|mult-adds).*", table), sep="\n  ")
    print("params are equal" if f"Total params: {totals['params']:,}\n" in table else "PARAMS DIFFER")


if __name__ == "__main__":
    main()
