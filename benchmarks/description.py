"""Whole processes whose cost should follow the description, not the number of layers.

Totals of CIFAR residual nets of 6n+2 layers for n = 18 and n = 10^9, which are the same description: at most 1.5 times
as much CPU, 0.3 s and 60 MB; sums and depth, and then every total, a scope's, and fields, too. GPT-2's totals as
formulas in its layers, width, tokens and batch: at most 1 s.
"""

from __future__ import annotations

import statistics

from measure import archcalc, in_turns, installation, megabytes, options, ratio, seconds, told

SHALLOW, DEEP = 18, 10**9
MOST_TIMES, MOST_SECONDS, MOST_BYTES = 1.5, 0.3, 60e6
SUMS = "params,macs,depth"
BYTES = "saved_bytes,peak_bytes,least_bytes,conv3.saved_bytes"
ASKED = {"sums, depth": SUMS, "every total": f"{SUMS},{BYTES},conv3.depth,conv4.receptive_field,fc.receptive_field"}
FORMULAS = "formulas in layers, d, T, N"
MOST_SECONDS_OF_FORMULAS = 1.0


def main() -> None:
    """Print what each process costs, and whether the goals are met."""
    arguments = options(__doc__, rounds=15).parse_args()
    with installation(arguments.here) as python:
        commands = {
            _name(what, n): [archcalc(python), "sweep", "resnet:cifar", "--set", f"n={n}", "--columns", columns]
            for what, columns in ASKED.items()
            for n in (SHALLOW, DEEP)
        }
        commands[FORMULAS] = [archcalc(python), "formula", "gpt2", "--symbolic", "layers,d,T,N"]
        costs = in_turns(commands, arguments.rounds)
    cpu = {name: [cost.cpu for cost in found] for name, found in costs.items()}
    for name, found in costs.items():
        print(f"{name:32} {seconds(cpu[name]):>9} CPU, {megabytes(found)}")
    print()
    for what in ASKED:
        shallow, deep = (cpu[_name(what, n)] for n in (SHALLOW, DEEP))
        times = ratio(deep, shallow).median
        peak = statistics.median(cost.peak for cost in costs[_name(what, DEEP)])
        met = times <= MOST_TIMES and statistics.median(deep) <= MOST_SECONDS and peak <= MOST_BYTES
        goal = f"{MOST_TIMES}, {MOST_SECONDS} s, 60 MB"
        print(f"{what}: n = {DEEP:,} costs {times:.2f} x n = {SHALLOW}, goal {goal}: {told(met)}")
    met = statistics.median(cpu[FORMULAS]) <= MOST_SECONDS_OF_FORMULAS
    print(f"{FORMULAS}: goal {MOST_SECONDS_OF_FORMULAS} s: {told(met)}")


def _name(what: str, n: int) -> str:
    return f"{what}, n = {n:,}"


if __name__ == "__main__":
    main()
