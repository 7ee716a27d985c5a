"""CPU of the whole process `archcalc table vgg16`, against importing the libraries that any such program imports.

The floor is `python -c "import typer, rich.table, yaml"`; the goal is at most 1.5 times its CPU.
The output is piped, so it's plain text. `archcalc --version` shows what of it is the start alone.
"""

from __future__ import annotations

from measure import archcalc, in_turns, installation, options, ratio, seconds, told

GOAL = 1.5


def main() -> None:
    """Print the ratio to the floor."""
    arguments = options(__doc__, rounds=25).parse_args()
    with installation(arguments.here) as python:
        commands = {
            "floor": [python, "-c", "import typer, rich.table, yaml"],
            "archcalc table vgg16": [archcalc(python), "table", "vgg16"],
            "archcalc table vgg16 --format json": [archcalc(python), "table", "vgg16", "--format", "json"],
            "archcalc --version": [archcalc(python), "--version"],
            "python -c pass": [python, "-c", "pass"],
        }
        costs = in_turns(commands, arguments.rounds)
    cpu = {name: [cost.cpu for cost in found] for name, found in costs.items()}
    for name, times in cpu.items():
        print(f"{name:36} {seconds(times):>9} CPU   x floor: {ratio(times, cpu['floor'])}")
    found = ratio(cpu["archcalc table vgg16"], cpu["floor"]).median
    print(f"\ntable vgg16: {found:.2f} x the floor, goal at most {GOAL}: {told(found <= GOAL)}")


if __name__ == "__main__":
    main()
