"""Random mixtures of experts: `python -m tests.fuzz_mixtures --examples 300 --seed 1`.

Each is measured in PyTorch, without memory and with it, exported and run, and built with symbols, whose totals must be
the numbers' own.
"""

from __future__ import annotations

import random

from archcalc.expand import build
from archcalc.questions.analyze import analyze
from archcalc.symbolic import dim
from tests.every_volume import exported
from tests.helpers import fuzz_options, spec_of

TOTALS = ("params", "active_params", "macs", "activations", "saved_bytes", "peak_bytes", "least_bytes", "depth")
ACTIVATIONS = ("relu", "silu", "gelu", "tanh", "dropout", "softmax", "prelu")


class Disagreement(AssertionError):
    """Something about a mixture isn't as predicted."""


def expert(draw: random.Random, features: int, depth: int = 0) -> str:
    """Any item that takes tokens one by one and returns as many features."""
    width, back = draw.randint(1, 6), f"fc {features}"
    forms = [
        back,
        f"fc {width} -> {draw.choice(ACTIVATIONS)} -> {back} bias=false",
        f"[{{mul: {{gate: fc {width} -> silu, up: fc {width} bias=false}}}}, {back}]",
        f"rmsnorm -> fc {2 * width} -> glu -> ln -> {back}",
        f"({back} -> scale)*{draw.randint(1, 4)}",
        f"fc {2 * width} -> chunk 2 {draw.randrange(2)} -> l2norm -> layerscale -> {back}",
        f"{{for: {{j: 1..{draw.randint(1, 3)}}}, do: {{residual: fc {width} -> relu -> {back}}}}}",
    ]
    if depth < 2:
        forms.append(f"{{residual: {expert(draw, features, depth + 1)}}}")
    return draw.choice(forms)


def mixture(draw: random.Random, features: int, experts: int) -> str:
    """A mixture of so many experts, each token being sent to `top`."""
    more = [
        f"{name}: {value}"
        for name, value in (
            ("renormalise", "true"), ("score", "sigmoid"), ("correction", "true"), ("factor", "2.5"),
            ("shared", expert(draw, features)), ("router", f"fc {experts}"),
        )
        if draw.random() < 0.4
    ]  # fmt: skip
    return f"{{{', '.join([f'moe: {expert(draw, features)}', f'experts: {experts}', 'top: top', *more])}}}"


def check(draw: random.Random) -> None:
    """Raise if something is predicted otherwise than it's found."""
    from archcalc.pytorch.verification import verify

    tokens, features, experts = draw.randint(1, 6), draw.randint(1, 6), draw.randint(1, 7)
    top, item = draw.randint(1, experts), mixture(draw, features, experts)
    item = draw.choice(
        [item, f"{{residual: [ln, {item}]}}", f"{{for: {{i: 1..3}}, do: {{residual: [rmsnorm, {item}]}}}}"]
    )
    axes = f"{'R: 2, ' * (draw.random() < 0.2)}T: {tokens}, C: {features}"
    layers = f"layers:\n  - fc {features}\n  - {item}\n  - fc 2\n"
    text = f"archcalc: 1\nname: t\ninput: {{{axes}}}\nhparams: {{top: {top}}}\n{layers}"
    graph = build(spec_of(text))
    report = analyze(graph, draw.randint(1, 3))
    wrong = [str(each) for on in ("meta", "cpu") for done in verify(report, on).checks for each in done.differences]
    wrong += [problem] if (problem := exported(graph)) else []
    opened = analyze(build(spec_of(text), "", {"top": dim("top")}, {"T": dim("T")})).totals
    closed, numbers = analyze(graph).totals, {dim("top"): top, dim("T"): tokens}
    for name in TOTALS:
        found = opened[name] if isinstance(opened[name], int) else opened[name].subs(numbers)
        wrong += [f"{name}: {found} with symbols, {closed[name]} without"] if found != closed[name] else []
    if wrong:
        raise Disagreement("\n".join([text, *wrong]))


def search(examples: int, number: int) -> int:
    """Check so many mixtures; how many they were."""
    for each in range(examples):
        check(random.Random(f"{number}/{each}"))
    return examples


def main() -> int:
    """Check as many as are asked for."""
    options = fuzz_options(__doc__ or "", "how many mixtures")
    print(f"seed {options.seed}: {search(options.examples, options.seed):,} mixtures, all as predicted")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
