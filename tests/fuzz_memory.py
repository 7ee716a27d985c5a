"""Random specs against a meter of memory: `python -m tests.fuzz_memory --examples 5000 --seed 1`.

Every spec is exported, and the program runs on the CPU without gradients. The most bytes that its tensors ever take at
once must be `peak_bytes`, and no less than `least_bytes`. What fails is shrunk to a small spec, which is printed.
"""

from __future__ import annotations

import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings

from archcalc import analyze
from archcalc.expand import build
from archcalc.graph import Graph
from tests.helpers import fuzz_options, spec_of
from tests.random_specs import specs


class Disagreement(AssertionError):
    """The exported program of a spec holds another number of bytes than predicted."""


def program_peak(graph: Graph, batch: int, device: str = "cpu") -> int:
    """The most bytes that the exported program holds at once."""
    import torch

    from archcalc.pytorch.alive import peak_bytes
    from archcalc.pytorch.network import example_inputs
    from archcalc.pytorch.source.writer import torch_code
    from tests.helpers import imported

    with torch.device(device):
        program = imported(torch_code(graph))()
    return peak_bytes(program, example_inputs(graph, batch, device))


def check(text: str, batch: int = 2) -> None:
    """Raise if the program of a spec holds another number of bytes than predicted."""
    report = analyze(build(spec_of(text)), batch)
    predicted, least = report.total("peak_bytes"), report.total("least_bytes")
    found = program_peak(report.graph, batch)
    if predicted != found or least > found:
        raise Disagreement(f"{text}\npredicted {predicted:,} bytes, at least {least:,}; the program holds {found:,}")


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
        check(text)
        done += 1
        if report_every and done % report_every == 0:
            print(f"{done:,} specs in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    every()
    return done


def main() -> int:
    """The command line."""
    arguments = fuzz_options("Random specs against a meter of memory.", "how many specs")
    try:
        done = search(arguments.examples, arguments.seed, report_every=500)
    except Disagreement as error:
        print(f"seed {arguments.seed}: {error}")
        return 1
    print(f"seed {arguments.seed}: {done:,} specs, every peak as predicted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
