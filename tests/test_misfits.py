"""The nearest numbers that fit, which an error names, against building with every number around."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from archcalc.cli.run import run
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.formulas.symbols import misfits, placed
from archcalc.questions.check import check
from archcalc.symbolic import dim
from archcalc.zoo import Architecture, load
from tests.helpers import spec_of

POOLED = """archcalc: 1
name: pooled
input: {C: 3, H: 227, W: 227}
hparams: {s1: 4}
layers:
  - conv 8 11x11 s=s1
  - maxpool 3 s=2
  - maxpool 3 s=2
  - maxpool 3 s=2
"""

STEPS = (
    "conv 8 {k} s={s}", "maxpool 3 s=2", "conv 8 3 s={s} -> maxpool 3 s=2", "conv {c} {k} p={p}", "maxpool {k} s={s}", "avgpool {k} s={s}",
    "maxpool {k} p={p}", "conv 8 {k} d={s}", "tconv 8 {k} s={s} p={p}", "upsample 2 -> maxpool {k}", "groupnorm {s}",
    "crop size={k}", "{{add: [conv 8 {k}, conv 8 3]}}", "{{concat: [(maxpool 2)*2 -> upsample 4, identity]}}",
    "conv 12 1 g={s}", "channel_shuffle {s}",
)  # fmt: skip
"""Steps whose arguments are numbers, or an hparam."""


def builds(architecture: Architecture, values: Mapping[str, Any]) -> bool:
    """Whether an architecture can be built with these values, by name."""
    sets, sizes, _ = placed(architecture, values)
    try:
        build(architecture.spec, architecture.variant, sets, sizes)
    except (SpecError, UsageError):
        return False
    return True


def told(architecture: Architecture, name: str, number: int, reach: int = 60) -> str:
    """What's said of one number, after comparing it with building: `nearest`, `none`, `open`, or `fits`.

    What is named builds, and nothing nearer does, 0 and `reach` numbers on both sides at most.
    """
    sets, sizes, _ = placed(architecture, {name: number})
    lines = list(misfits(architecture, sets, sizes))
    if builds(architecture, {name: number}):
        assert [] == lines
        return "fits"
    if not lines:
        return "open"
    (line,) = lines
    assert line.startswith(f"{name} = {number} breaks ")
    found = re.search(r"the nearest that fit: (\d+)(?: and (\d+))?$", line)
    around = range(max(0, number - reach), number + reach + 1)
    fitting = {n for n in around if builds(architecture, {name: n})}
    if not found:
        assert set() == {n for n in fitting if n > 0} or not line.endswith("no positive number fits")
        return "none" if line.endswith("no positive number fits") else "open"
    nearest = {int(text) for text in found.groups() if text}
    assert [] == [n for n in nearest if not builds(architecture, {name: n})], line
    least = min(abs(n - number) for n in nearest)
    on_both = {max(fitting & {*range(number)}, default=number), min(fitting - {*range(number)}, default=number)}
    assert {n for n in on_both - {number} if abs(n - number) <= least} == {
        n for n in nearest if abs(n - number) == least and n in around
    }, line
    assert {n for n in nearest if n in around} <= on_both, line
    return "nearest"


def random_text(random: Random) -> str:
    """A spec with an hparam k in some arguments of layers."""
    steps = []
    for _ in range(random.randint(1, 4)):
        values = (random.choice(["k", "k", "k+1", "2*k", "ceil(k/2)", *"1112233345"]) for _ in "kscp")
        arguments = zip("kscp", values, strict=True)
        steps.append(random.choice(STEPS).format(**{word: f"({text})" for word, text in arguments}))
    size = random.choice([9, 16, 33, 60, 120, 227])
    lines = ["archcalc: 1", "name: random", f"input: {{C: 12, H: {size}, W: {size}}}", "hparams: {k: 1}", "layers:"]
    return "\n".join([*lines, *(f"  - {step}" if step[0] == "{" else f"  - '{step}'" for step in steps)]) + "\n"


def test_the_nearest_build() -> None:
    """Random specs, a number for an hparam or an axis: what's named builds, and nothing nearer does."""
    counts = Counter[str]()
    for number in range(150):
        random = Random(number)
        pooled = Architecture(spec_of(random_text(random)), "")
        counts[told(pooled, random.choice(["k", "k", "H"]), random.randint(1, random.choice([20, 30, 100])))] += 1
    assert counts["nearest"] > 20
    assert counts["open"] < 75  # of most of these, no number at all builds


@pytest.mark.parametrize(
    ("network", "name", "numbers"),
    [
        ("alexnet", "conv1.stride", (15, 16, 36, 37, 109, 500)), ("alexnet", "size", (20, 66, 67)),
        ("alexnet", "conv2.kernel_size", (31, 32, 90)), ("alexnet", "conv2/*.groups", (5, 7, 100)),
        ("alexnet", "pool1.stride", (9, 40)), ("lenet5", "C1.stride", (2, 3, 27, 40)), ("lenet5", "C3.stride", (6, 30)),
        ("lenet5", "C1.kernel_size", (33, 40)), ("vgg16", "H", (5, 31)), ("vgg16", "conv1/*.stride", (9,)),
        ("unet", "H", (187,)),
    ],
)  # fmt: skip
def test_the_nearest_build_in_the_zoo(network: str, name: str, numbers: tuple[int, ...]) -> None:
    """The same of axes, hparams and arguments of layers of published networks."""
    assert {"fits", "nearest", "none"} >= {told(load(network), name, number, reach=25) for number in numbers}


@pytest.mark.parametrize("number", [16, 36, 37, 109, 500, 10**6, 10**12])
def test_conditions_that_are_not_solved_count_too(number: int) -> None:
    """Where `floor(1/2 + 54/s1)`, which isn't solved alone, bounds a stride: also for the first one that's too large."""
    pooled = Architecture(spec_of(POOLED), "")
    assert [15] == [n for n in range(15, 120) if builds(pooled, {"s1": n})]
    (line,) = misfits(pooled, {"s1": number}, {})
    assert line.endswith("; the nearest that fit: 15")


def test_zero_fits() -> None:
    """A symbol is positive; 0 is named if it's the only number that builds."""
    layers = "layers:\n  - maxpool 2 p=s1\n  - conv 8 3 p=s1/2\n"  # s1 <= 1, and even
    padded = Architecture(spec_of(POOLED[: POOLED.index("layers:")] + layers), "")
    assert "nearest" == told(padded, "s1", 7)
    assert ["0"] == [line.rpartition(" ")[2] for line in misfits(padded, {"s1": 7}, {})]


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [(["alexnet", "--set", "conv1.stride=500"], 15), (["alexnet", "--set", "conv1.stride=16"], 15),
     (["lenet5", "--set", "C1.stride=40"], 1)],
)  # fmt: skip
def test_the_command_names_the_nearest(arguments: list[str], nearest: int, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of a command ends with the numbers that fit."""
    assert 1 == run(["table", *arguments, "-q"])
    assert re.search(rf" breaks .*; the nearest that fit: {nearest}$", capsys.readouterr().err, re.MULTILINE)


@pytest.mark.parametrize(
    ("network", "name"), [("alexnet", "size"), ("alexnet_single", "size"), ("alphago_policy", "k"), ("unet", "c")]
)
def test_check_takes_sym_as_symbolic(network: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An hparam that is `sym` is as open as one that `--symbolic` names, in a command and in Python."""
    expected = check(network, symbolic=name)
    assert expected.specs[0].conditions
    for value in ("sym", dim(name)):
        assert expected.specs == check(network, hparams={name: value}).specs
    shown = []
    for options in (["--symbolic", name], ["--set", f"{name}=sym"]):
        assert 0 == run(["check", network, *options])
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert "works " in shown[0]


def test_check_opens_an_argument_of_a_layer() -> None:
    """The conditions on a stride are met by exactly those strides with which each variant builds."""
    found = check("lenet5", hparams={"C1.stride": "sym"}).specs[0].conditions
    assert found
    graph = build(load("lenet5").spec, hparams={"C1.stride": "sym"})
    fitting = [n for n in range(1, 40) if builds(load("lenet5"), {"C1.stride": n})]
    assert fitting == [n for n in range(1, 40) if all(c.holds({"C1_stride": n}) for c in graph.conditions)]
    assert all(str(c) in "\n".join(found) for c in graph.conditions)


@pytest.mark.parametrize(
    ("network", "numbers"),
    [
        ("unet", {"H": 100, "W": 120}), ("vgg16", {"H": 5, "W": 31}), ("alexnet", {"H": 30, "W": 50}),
        ("lenet5", {"H": 7, "W": 9}), ("alexnet", {"conv1.stride": 60, "H": 100}), ("unet", {"H": 185, "W": 3}),
    ],
)  # fmt: skip
def test_numbers_that_are_wrong_together(network: str, numbers: Mapping[str, int]) -> None:
    """Where each is still wrong with the other mended, each has its nearest; they build, and no nearer one ever does."""
    architecture = load(network)
    sets, sizes, _ = placed(architecture, numbers)
    lines = list(misfits(architecture, sets, sizes))
    found = dict(re.findall(r"^(\S+) = .*the nearest that fit: (\d+)", "\n".join(lines), re.MULTILINE))
    nearest = {name: int(fit) for name, fit in found.items()}
    assert nearest
    assert builds(architecture, {**numbers, **nearest})
    for name, fit in nearest.items():
        others = [other for other in numbers if other != name]
        nearer = [n for n in range(1, 2 * numbers[name]) if abs(n - numbers[name]) < abs(fit - numbers[name])]
        for value in (*nearest.values(), *numbers.values(), 400):
            tried = [n for n in nearer if builds(architecture, {name: n, **dict.fromkeys(others, value)})]
            assert not tried or len(nearest) == 1, (name, tried)
