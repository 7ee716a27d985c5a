"""Whole processes whose cost should follow the description, not the number of layers.

Totals of CIFAR residual nets of 6n+2 layers for n = 18 and n = 10^9, which are the same description: at most 1.5 times
as much CPU, 0.3 s and 60 MB. GPT-2's totals as formulas in its layers, width, tokens and batch: at most 1 s.
"""

from __future__ import annotations

import statistics

from measure import archcalc, in_turns, installation, megabytes, options, ratio, seconds, told

SHALLOW, DEEP = 18, 10**9
MOST_TIMES, MOST_SECONDS, MOST_BYTES = 1.5, 0.3, 60e6
FORMULAS = "formulas in layers, d, T, N"
MOST_SECONDS_OF_FORMULAS = 1.0


def main() -> None:
    """Print what each process costs, and whether the goals are met."""
    arguments = options(__doc__, rounds=15).parse_args()
    with installation(arguments.here) as python:
        totals = ["--columns", "params,macs,depth"]
        commands = {
            f"n = {n:,}": [archcalc(python), "sweep", "resnet:cifar", "--set", f"n={n}", *totals]
            for n in (SHALLOW, DEEP)
        }
        commands[FORMULAS] = [archcalc(python), "formula", "gpt2", "--symbolic", "layers,d,T,N"]
        costs = in_turns(commands, arguments.rounds)
    cpu = {name: [cost.cpu for cost in found] for name, found in costs.items()}
    for name, found in costs.items():
        print(f"{name:28} {seconds(cpu[name]):>9} CPU, {megabytes(found)}")
    deep, shallow = cpu[f"n = {DEEP:,}"], cpu[f"n = {SHALLOW:,}"]
    times, peak = ratio(deep, shallow).median, statistics.median(cost.peak for cost in costs[f"n = {DEEP:,}"])
    met = times <= MOST_TIMES and statistics.median(deep) <= MOST_SECONDS and peak <= MOST_BYTES
    print(f"\nn = {DEEP:,} costs {times:.2f} x n = {SHALLOW}, goal {MOST_TIMES}, {MOST_SECONDS} s, 60 MB: {told(met)}")
    met = statistics.median(cpu[FORMULAS]) <= MOST_SECONDS_OF_FORMULAS
    print(f"{FORMULAS}: goal {MOST_SECONDS_OF_FORMULAS} s: {told(met)}")


if __name__ == "__main__":
    main()
