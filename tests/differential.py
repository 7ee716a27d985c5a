"""Random valid specs against PyTorch: `python -m tests.differential --examples 20000 --seed 1`.

Every spec goes the whole way: YAML text, graph, modules, a run. Shapes, params, buffers, MACs, activations, saved and
least bytes of each layer must be what PyTorch finds. What fails is shrunk to a small spec, which is printed.
"""

from __future__ import annotations

import argparse
import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from archcalc import analyze
from archcalc.errors import SpecError
from tests.helpers import spec_of
from tests.random_specs import specs

BATCH = 2
EXECUTED = 8
"""One spec in so many is run on the CPU, the others on the meta device: shapes and counts without arithmetic."""


class Disagreement(AssertionError):
    """archcalc and PyTorch differ on a spec."""

    def __init__(self, text: str, reasons: list[str]) -> None:
        super().__init__("\n".join([text, *reasons]))


def disagreements(text: str, device: str) -> list[str]:
    """What archcalc and PyTorch disagree on, a line each; a spec that archcalc refuses is a disagreement, too."""
    import torch

    from archcalc.expand import build
    from archcalc.pytorch.compare import compare
    from archcalc.pytorch.measure import LayerRefused, run
    from archcalc.pytorch.network import Network

    try:
        report = analyze(build(spec_of(text)), BATCH)
    except SpecError as error:
        return [f"refused: {error}"]
    with torch.device(device):
        network = Network(report.graph)
    try:
        found = run(network, network.example_inputs(BATCH, device=device))
    except LayerRefused as error:
        return [str(error)]
    lines = [str(difference) for check in compare(report, found.layers) for difference in check.differences]
    total = sum(parameter.numel() for parameter in network.parameters())
    if total != report.total("params"):
        lines.append(f"total params are {total} in PyTorch, {report.total('params')} in archcalc")
    return lines


def check(text: str, device: str = "meta") -> None:
    """Raise if archcalc and PyTorch disagree on a spec."""
    lines = disagreements(text, device)
    if lines:
        raise Disagreement(text, lines)


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
    @given(specs(), st.integers(0, EXECUTED - 1))
    def every(text: str, share: int) -> None:
        nonlocal done
        check(text, "cpu" if share == 1 else "meta")
        done += 1
        if report_every and done % report_every == 0:
            print(f"{done:,} specs in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)

    every()
    return done


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Random valid specs against PyTorch.")
    parser.add_argument("--examples", type=int, default=1000, help="how many specs")
    parser.add_argument("--seed", type=int, default=0, help="where the random numbers start")
    arguments = parser.parse_args()
    try:
        done = search(arguments.examples, arguments.seed, report_every=500)
    except Disagreement as error:
        print(f"seed {arguments.seed}: archcalc and PyTorch disagree on\n{error}")
        return 1
    print(f"seed {arguments.seed}: {done:,} specs, no disagreement")
    return 0


if __name__ == "__main__":
    sys.exit(main())
