"""Random specs against PyTorch's own allocations: `python -m tests.fuzz_training --examples 2000 --seed 1`.

Every spec is exported, and the program is trained for a step on the CPU. What its tensors take at once, in the forward
and in the backward pass, must be what a run on paper says. What fails is shrunk to a small spec, which is printed.
"""

from __future__ import annotations

import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings

from archcalc.analyses.training import held
from archcalc.errors import UsageError
from archcalc.expand import build
from tests.helpers import fuzz_options, spec_of
from tests.random_specs import specs


class Disagreement(AssertionError):
    """A training step of a spec's program holds another number of bytes than predicted."""


def check(text: str, batch: int = 3) -> bool:
    """Raise if a step holds another number of bytes than predicted. Returns: whether there was anything to compare.

    There isn't where nothing is learned, nor where a kind's backward pass has no program. Nor is there for transposed
    convolutions along three axes, for which PyTorch's CPU kernel starts from memory of another size.
    """
    from tests.training import of_program

    graph = build(spec_of(text))
    if any(node.kind == "tconv" and len(node.shape.spatial) == 3 for node in graph.nodes):
        return False
    try:
        step = held(graph, batch, "float32")
        found = tuple(of_program(graph, batch))
    except UsageError:
        return False
    except RuntimeError as error:
        if "does not require grad" in str(error):
            return False
        raise
    predicted = step.forward, step.left, step.backward, sum(step.after.values())
    if predicted != found:
        raise Disagreement(f"{text}\npredicted {predicted}, the program holds {found}")
    return True


def search(examples: int, number: int, report_every: int = 0) -> int:
    """Check so many random specs, and return how many that were; a `Disagreement` carries the shrunk spec."""
    done = 0
    started = time.monotonic()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(specs())
    def every(text: str) -> None:
        nonlocal done
        done += check(text)
        if report_every and done and done % report_every == 0:
            print(f"{done:,} specs in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    every()
    return done


def main() -> int:
    """The command line."""
    arguments = fuzz_options("Random specs against PyTorch's own allocations.", "how many specs")
    try:
        done = search(arguments.examples, arguments.seed, report_every=500)
    except Disagreement as error:
        print(f"seed {arguments.seed}: {error}")
        return 1
    print(f"seed {arguments.seed}: {done:,} specs, every step as predicted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
