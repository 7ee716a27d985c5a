"""Finding one architecture of the zoo by name, against reading the whole zoo.

A name leads to its file without parsing the others. Timed inside fresh processes, without the imports.
"""

from __future__ import annotations

import sys
import time

from measure import in_turns, installation, options, ratio, seconds

NAMES = ("vgg16", "vgg:E", "resnet110", "googlenet")
WHOLE = "the whole zoo"


def main() -> None:
    """Print how many times longer the whole zoo takes."""
    arguments = options(__doc__, rounds=9).parse_args()
    with installation(arguments.here) as python:
        commands = {name: [python, __file__, "--child", name] for name in (*NAMES, WHOLE)}
        costs = in_turns(commands, arguments.rounds)
    times = {name: [float(cost.output) for cost in found] for name, found in costs.items()}
    print(f"{WHOLE:16} {seconds(times[WHOLE]):>9}")
    for name in NAMES:
        against = ratio(times[WHOLE], times[name])
        print(f"{name:16} {seconds(times[name]):>9}, the whole zoo takes {against} times as long")


def child(name: str) -> None:
    """Print the seconds of CPU that loading takes: one name, or everything."""
    from archcalc import zoo

    zoo.load("lenet5")  # imports all that is needed
    started = time.process_time()
    if name == WHOLE:
        for _ in zoo.specs_of():
            pass
    else:
        zoo.load(name)
    print(time.process_time() - started)


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(sys.argv[-1])
    else:
        main()
