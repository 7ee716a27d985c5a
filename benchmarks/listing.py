"""Long lists against those of an earlier commit, in pairs in one run.

Whole processes that list the 120,002 layers of a CIFAR residual net, as CSV and as plain text, with the number of lines
that each printed. Goal: CSV at least twice as fast as at the commit before graphs kept their structure, in at most
250 MB.
"""

from __future__ import annotations

import statistics

from measure import archcalc, in_turns, installation, installed_commit, megabytes, options, ratio, seconds, told

COMMIT = "7cbf7112eb00a31af42e08df395206ad582c8dba"
LEAST_TIMES, MOST_BYTES = 2.0, 250e6
FORMATS = ("csv", "plain")


def main() -> None:
    """Print what each costs, and how many times as fast it is."""
    parser = options(__doc__, rounds=7)
    parser.add_argument("--against", default=COMMIT, metavar="COMMIT", help="the other commit (%(default).7s)")
    arguments = parser.parse_args()
    with installation(arguments.here) as python, installed_commit(arguments.against) as other:
        commands = {
            f"{form}{', then' if each is other else ''}": [archcalc(each), *_listing(form)]
            for form in FORMATS
            for each in (python, other)
        }
        found = in_turns(commands, arguments.rounds)
    cpu = {name: [cost.cpu for cost in costs] for name, costs in found.items()}
    for name, costs in found.items():
        print(f"{name:12} {seconds(cpu[name]):>8} CPU, {megabytes(costs)}, {costs[0].lines:,} lines")
    print()
    for form in FORMATS:
        times = ratio(cpu[f"{form}, then"], cpu[form])
        met = times.median >= LEAST_TIMES and statistics.median(cost.peak for cost in found[form]) <= MOST_BYTES
        goal = f": goal {LEAST_TIMES} x, {MOST_BYTES / 1e6:.0f} MB: {told(met)}" if form == "csv" else ""
        print(f"{form} is {times} times as fast{goal}")


def _listing(form: str) -> list[str]:
    return ["table", "resnet:cifar", "--set", "n=20000", "--format", form]


if __name__ == "__main__":
    main()
