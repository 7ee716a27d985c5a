"""Whole architectures in symbols: with numbers put in, they are what building with those numbers gives."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from archcalc import Report, analyze
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.formulas.symbols import Opened, explained, opened, solved
from archcalc.symbolic import Integers, dim, is_symbolic
from archcalc.symbolic.compiled import Program, compare
from archcalc.zoo import Architecture, architectures, load
from tests.helpers import spec_of

FIRST = {a.spec.name: a for a in reversed(list(architectures())) if a.variant in (a.spec.default, "")}
TOTALS = ("params", "weights", "biases", "buffers", "macs", "flops", "activations", "activation_bytes", "saved_bytes")
OTHERS = {
    "alphago_policy": "k",
    "resnet": "classes",
    "fast_rcnn": "R",
    "faster_rcnn": "R",
    "densenet": "growth",
    "gpt2": "vocab",
    "unet": "c",
}


def in_symbols(architecture: Architecture) -> tuple[Opened, list[str]]:
    """The architecture with its sizes, the batch and one hparam left open, and these names."""
    spec = architecture.spec
    names = [axis for axis in next(iter(spec.inputs.values())) if axis != "C"]
    more = OTHERS.get(spec.name)
    names += [more] if more in spec.hparams else []
    names += ["N"] if "N" not in spec.hparams else []
    return opened(architecture, names), names


def facts(report: Report) -> list[Any]:
    """Totals, all shapes, and all receptive fields that don't hang on the phase."""
    sizes = [size for node in report.graph.nodes for size in node.shape.values()]
    return [
        *(report.total(name) for name in (*TOTALS, "connections")),
        report.total("peak_bytes"),
        report.total("least_bytes"),
        *sizes,
    ]


@pytest.mark.parametrize("name", sorted(FIRST))
def test_numbers_put_in_give_the_numeric_analysis(name: str) -> None:
    """Totals and every volume agree, where the conditions hold; where they don't, building fails."""
    architecture, generator = FIRST[name], random.Random(name)
    symbolic, names = in_symbols(architecture)
    variables = [dim(n) for n in names]
    values = facts(analyze(symbolic.graph, symbolic.batch))
    extra = {s.name for value in values if is_symbolic(value) for s in value.free_symbols} - set(names)
    variables += [dim(n) for n in sorted(extra)]
    conditions = [c for c in symbolic.graph.conditions if all(s in variables for s in c.symbols)]
    program = Program([*values, *(side for c in conditions for side in (c.left, c.right))], variables)
    function, allowed = program.python(), dict.fromkeys(variables, Integers.between())
    for symbol, numbers_that_fit in filter(None, map(solved, conditions)):
        allowed[symbol] = allowed[symbol] & numbers_that_fit
    for attempt in range(4):
        numbers = []
        for variable in variables:
            least = allowed[variable].min or 1
            numbers.append(generator.randint(max(1, least - 2 if attempt == 0 else least), least + 60))
        results = function(*numbers)
        sides = results[len(values) : len(values) + 2 * len(conditions)]
        held = all(compare(sides[2 * i], c.relation, sides[2 * i + 1]) for i, c in enumerate(conditions))
        chosen = dict(zip((v.name for v in variables), numbers, strict=True))
        axes = next(iter(architecture.spec.inputs.values()))
        sets = {n: v for n, v in chosen.items() if n in architecture.spec.hparams and n not in axes}
        sizes = {n: v for n, v in chosen.items() if n in axes}
        try:
            graph = build(architecture.spec, architecture.variant, sets, sizes)
        except SpecError:
            assert not held, chosen
            continue
        assert held, chosen
        expected = facts(analyze(graph, chosen.get("N", 1)))
        assert expected == list(results[: len(values)]), chosen


def test_resnet152_takes_seconds_at_most() -> None:
    """All totals and receptive fields of ResNet-152 in H, W and N: well under 4 s of CPU (0.3 s when alone)."""
    architecture = load("resnet152")
    dim("warm")  # SymPy's import is not what is measured
    started = time.process_time()
    found = opened(architecture, ["H", "W", "N"])
    report = analyze(found.graph, found.batch)
    report.totals, report.receptive_fields  # noqa: B018
    assert time.process_time() - started < 4


def test_unet_in_symbols_takes_seconds_at_most() -> None:
    """U-Net's receptive fields hang on nested floors, over which SymPy's Max took minutes."""
    started = time.process_time()
    found = opened(load("unet"), ["H", "W", "N"])
    analyze(found.graph, found.batch).receptive_fields  # noqa: B018
    assert time.process_time() - started < 6


@pytest.mark.parametrize(
    ("name", "symbols", "column", "expected"),
    [
        ("alphago_policy", ["k"], "params", "99*k**2 + 1213*k + 361"),
        ("vgg16", ["H", "W"], "params", "2097152*floor(H/32)*floor(W/32) + 35597096"),
        ("resnet18", ["classes", "N"], "macs", "512*N*classes + 1813561344*N"),
    ],
)
def test_closed_forms(name: str, symbols: list[str], column: str, expected: str) -> None:
    """Totals are polynomials in the symbols and their floors."""
    found = opened(load(name), symbols)
    assert expected == str(analyze(found.graph, found.batch).total(column).expand())


def test_vgg_ends_in_one_floor() -> None:
    """Five halvings collapse into one floor."""
    graph = opened(load("vgg16"), ["H", "W"]).graph
    assert "512xfloor(H/32)xfloor(W/32) (C,H,W)" == str(graph["conv5/pool"].shape)


def test_lists_open_as_far_as_the_structure_lets_them() -> None:
    """ResNet's first width decides whether its first shortcut is a projection, so it stays a number."""
    found = opened(load("resnet50"), ["widths"])
    assert ("widths_1 = 64",) == found.fixed
    symbols = analyze(found.graph).total("params").free_symbols
    assert {"widths_2", "widths_3", "widths_4"} == {symbol.name for symbol in symbols}


def test_unknown_names_are_refused() -> None:
    """A name must be an axis, an hparam, or N."""
    with pytest.raises(UsageError, match="resnet50 has no axis and no hparam 'width'"):
        opened(load("resnet50"), ["width"])
    with pytest.raises(UsageError, match="is not a list of integers"):
        opened(load("vgg16"), ["stages"])


PADDED = """archcalc: 1
name: padded
input: {C: 4, H: 32, W: 32}
layers:
  - a: conv 8 3x3 p=1
  - down: maxpool 2 -> maxpool 2
  - up: upsample 4
  - both: {concat: [from a, from up]}
"""


def test_a_padded_unet_needs_divisible_sizes() -> None:
    """What is pooled twice and upsampled again fits only if 4 divides the size."""
    found = opened(Architecture(spec_of(PADDED), ""), ["H"])
    assert ["works if H % 4 == 0"] == list(explained(found.graph))


# --- one name, one symbol -----------------------------------------------------------------------------------------

SHARED = """\
archcalc: 1
name: t
hparams: {H: 32, k: 3}
input: {C: 3, H: H, W: 32}
layers: conv k 3x3 -> conv H 1x1
"""
"""The height of the input is an hparam, and the last layer has as many channels."""


@pytest.mark.parametrize(
    ("hparams", "axes"),
    [("{H: 4}", "{C: 3, H: 32, W: 32}"), ("{H: sym}", "{C: 3, H: sym, W: 32}"), ("{N: 4}", "{C: 3, H: 32, W: 32}"),
     ("{C: 8}", "{C: 3, H: 32, W: 32}"), ("{H: 4}", "{C: 3, H: 8*H, W: 32}")],
)  # fmt: skip
def test_an_hparam_is_not_an_axis_nor_the_batch(hparams: str, axes: str) -> None:
    """Left open, both would be one symbol, and every formula with them wrong."""
    name = hparams[1]
    with pytest.raises(SpecError, match=f"E093 hparam '{name}' has the name of"):
        spec_of(f"archcalc: 1\nname: t\nhparams: {hparams}\ninput: {axes}\nlayers: conv {name} 3x3\n")


def test_an_axis_and_the_hparam_that_it_is_are_one() -> None:
    """Whichever is given or left open, the other one follows."""
    architecture = Architecture(spec_of(SHARED), "")
    expected = build(architecture.spec, hparams={"H": 64})
    assert expected == build(architecture.spec, sizes={"H": 64})
    h = dim("H")
    for graph in (opened(architecture, ["H"]).graph, build(architecture.spec, sizes={"H": h})):
        assert (h, h - 2, h) == (graph.input["H"], graph.nodes[-1].shape["H"], graph.nodes[-1].shape["C"])


def test_elements_of_a_list_need_names_of_their_own() -> None:
    """An hparam that is called as an element would be would be the same symbol."""
    layers = "conv sum(widths) 3x3 -> conv widths_1 1x1"
    spec = spec_of(SHARED.replace("k: 3", "k: 3, widths: [4, 5], widths_1: 7").replace("conv k 3x3", layers))
    with pytest.raises(UsageError, match="'widths_1' is an hparam"):
        opened(Architecture(spec, ""), ["widths"])
