"""What changed between two networks: matched layers, and costs that add up to the difference of the totals."""

from __future__ import annotations

import pytest
import sympy

from archcalc import analyze
from archcalc.graph import Graph
from archcalc.quantities import Total, names
from archcalc.questions.changes import Kind, Matching, changes
from archcalc.symbolic import dim
from archcalc.zoo import load
from tests.helpers import graph_of


def told(before: Graph, after: Graph) -> list[tuple[Kind, str, str, str]]:
    """The changes, checked: their costs add up to the difference of the totals, in every quantity."""
    one, other = analyze(before), analyze(after)
    found = changes(one, other)
    for name in (each for each in names(Total.SUM) if one.has(each) and other.has(each)):
        assert other.totals[name] - one.totals[name] == sum(change.cost[name] for change in found), name
    return [(change.kind, change.path, change.before, change.after) for change in found]


def of(layers: str) -> Graph:
    """A small network on 3x32x32."""
    return graph_of(f"layers: {layers}\n" if ":" not in layers else f"layers:\n{layers}")


def test_nothing_changed() -> None:
    """A network and itself, read twice, have no difference."""
    for name in ("resnet50", "googlenet", "gpt2_small", "unet"):
        assert [] == told(load(name).build(), load(name).build())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("conv 8 3x3", "conv 16 3x3", [(Kind.CHANGED, "conv", "conv 8 3x3", "conv 16 3x3")]),
        ("conv 8 3x3 -> relu", "conv 8 3x3 -> bn -> relu", [(Kind.ADDED, "bn", "", "bn")]),
        ("conv 8 3x3 -> bn -> relu", "conv 8 3x3 -> relu", [(Kind.REMOVED, "bn", "bn", "")]),
        # a layer in front: the others go by their kind, not by the number that tells them apart
        (
            "conv 8 3x3 -> relu -> conv 16 3x3",
            "conv 3 1x1 -> conv 8 3x3 -> relu -> conv 16 3x3",
            [(Kind.ADDED, "conv", "", "conv 3 1x1")],
        ),
        # named layers go by their names, whatever stands in another one
        (
            "  - a: conv 8 3x3\n  - b: conv 16 3x3",
            "  - a: conv 16 3x3\n  - b: conv 32 3x3",
            [
                (Kind.CHANGED, "a", "conv 8 3x3", "conv 16 3x3"),
                (Kind.CHANGED, "b", "conv 16 3x3", "conv 32 3x3"),
            ],
        ),
        ("  - a: conv 8 3x3", "  - b: conv 8 3x3", [(Kind.RENAMED, "b", "a", "b")]),
        (
            "(conv 8 3x3 p=1 -> relu)*3",
            "(conv 8 3x3 p=1 -> elu)*3",
            [(Kind.REMOVED, "*/relu", "relu", ""), (Kind.ADDED, "*/elu", "", "elu")],
        ),
        (
            "(conv 8 3x3 p=1 -> relu)*2",
            "(conv 8 3x3 p=1 -> relu)*4",
            [(Kind.ADDED, "*", "", "1 conv, 1 relu")],
        ),
        (
            "  - a: conv 8 3x3 p=1\n  - b: conv 8 3x3 p=1\n  - c: {add: [from b, from a]}",
            "  - a: conv 8 3x3 p=1\n  - b: conv 8 3x3 p=1\n  - c: {add: [from b, from b]}",
            [(Kind.REWIRED, "c/add", "reads b and a", "reads b and b")],
        ),
        # the layer that was read is gone: what is read in its place is told, unless it's what that one read
        (
            "  - a: conv 8 3x3 p=1\n  - b: conv 8 3x3 p=1\n  - d: conv 8 1x1\n  - c: {add: [from d, from a]}",
            "  - a: conv 8 3x3 p=1\n  - b: conv 8 3x3 p=1\n  - c: {add: [from a, from a]}",
            [
                (Kind.SAVED, "b", "", ""),  # nothing reads it any more
                (Kind.REMOVED, "d", "conv 8 1x1", ""),
                (Kind.REWIRED, "c/add", "reads d and a", "reads a and a"),
            ],
        ),
        (
            "  - a: conv 8 3x3\n  - b: conv 8 3x3\noutputs: [a, b]",
            "  - a: conv 8 3x3\n  - b: conv 8 3x3\noutputs: [b]",
            [(Kind.REWIRED, "outputs", "a, b", "b")],
        ),
    ],
)
def test_changes_are_named(before: str, after: str, expected: list[tuple[Kind, str, str, str]]) -> None:
    """Of each change what stood there and what stands there, at its place."""
    assert expected == told(of(before), of(after))


def test_equal_formulas_are_no_change() -> None:
    """With sizes left open, a network and itself have no difference, and two cost what their formulas differ by."""
    size = dim("size")
    assert [] == told(load("resnet50").build(size=size), load("resnet50").build(size=size))
    one, other = (analyze(load(name).build(size=size)) for name in ("resnet50", "resnet101"))
    (change,) = changes(one, other)
    assert 0 == sympy.expand(other.totals["macs"] - one.totals["macs"] - change.cost["macs"])


def test_a_larger_input_is_one_change_and_its_consequences() -> None:
    """Layers that merely see other volumes are gathered by their scopes."""
    found = told(load("vgg16").build(), load("vgg16").build(size=256))
    assert (Kind.CHANGED, "input", "3x224x224", "3x256x256") == found[0]
    assert {Kind.RESHAPED} == {kind for kind, *_ in found[1:]}
    assert ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6"] == [path for _, path, *_ in found[1:]]


@pytest.mark.parametrize("second", ["resnet152", "vgg16", "alexnet", "unet"])
@pytest.mark.parametrize("first", ["resnet50", "vgg19", "mobilenetv2", "gpt2_small"])
def test_costs_add_up_between_any_two(first: str, second: str) -> None:
    """Whatever two networks have in common, each layer is in one change or unchanged."""
    told(load(first).build(), load(second).build())
    told(load(second).build(), load(first).build())


def test_a_deeper_network_has_more_of_the_same() -> None:
    """ResNet-152 is ResNet-50 with 34 more blocks."""
    found = changes(analyze("resnet50"), analyze("resnet152"))
    assert [(Kind.ADDED, "conv3/*", 4), (Kind.ADDED, "conv4/*", 30)] == [(c.kind, c.path, c.places) for c in found]
    assert 1 == Matching(load("resnet50").build(), load("resnet152").build()).alike
    assert Matching(load("resnet50").build(), load("gpt2_small").build()).alike < 0.1
