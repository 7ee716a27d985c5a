"""Printing long tables: rich against plain text and CSV. It's why only a short table in a terminal goes through rich.

Rich measures, wraps and styles every cell, and prints nothing before it has seen the last row. Timed inside fresh
processes on a report that is built already, rich's import included; the text goes nowhere.
"""

from __future__ import annotations

import os
import sys
import time
from io import TextIOWrapper
from typing import Any

from measure import in_turns, installation, options, ratio, seconds

DEPTHS = (10, 100, 1_000)
WAYS = ("rich", "plain", "csv")


def main() -> None:
    """Print how many times longer rich takes."""
    arguments = options(__doc__, rounds=5).parse_args()
    with installation(arguments.here) as python:
        for n in DEPTHS:
            commands = {way: [python, __file__, "--child", way, str(n)] for way in WAYS}
            costs = in_turns(commands, arguments.rounds)
            times = {way: [float(cost.output.split()[0]) for cost in found] for way, found in costs.items()}
            print(f"{int(costs['csv'][0].output.split()[1]):,} rows")
            print(f"  rich   {seconds(times['rich']):>9}")
            for way in WAYS[1:]:
                against = ratio(times["rich"], times[way])
                print(f"  {way:6} {seconds(times[way]):>9}, rich takes {against} times as long")


def child(way: str, n: int) -> None:
    """Print the seconds of CPU that one way takes, and how many rows there are."""
    import archcalc
    from archcalc.tables.formats import lines

    report = archcalc.analyze(archcalc.load("resnet:cifar").build(n=n))
    report.totals  # noqa: B018  # computed before the clock runs
    table = report.table()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        started = time.process_time()
        if way == "rich":
            _print_rich(table, nowhere)
        else:
            nowhere.writelines(f"{line}\n" for line in lines(table, way))
        spent = time.process_time() - started
    print(spent, sum(1 for _ in table.rows()))


def _print_rich(table: Any, file: TextIOWrapper) -> None:
    from rich.console import Console

    from archcalc.tables.terminal import show

    show(table, Console(file=file, force_terminal=True, width=120, highlight=False, markup=False, emoji=False))


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[-2], int(sys.argv[-1]))
    else:
        main()
