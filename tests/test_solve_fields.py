"""Receptive fields and squares solved for, against building each value."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

import archcalc
from archcalc.errors import SpecError, UnknownNameError, UsageError
from archcalc.expand import build
from archcalc.zoo import Architecture
from tests.helpers import spec_of

HEAD = "archcalc: 1\nname: t\ninput: {C: 3, H: 32, W: 32}\nhparams: {k: 3, s: 1, d: 1, n: 2}\n"
BOXES = {1: range(1, 13), 2: range(1, 8), 3: range(1, 5)}
"""The values that are tried, by how many unknowns there are."""

STACKS = {
    "kernel": ("conv 4 k p=half -> a: conv 4 3x3", "k"),
    "kernel after strides": ("conv 4 3x3 s=2 -> maxpool 2 -> a: conv 4 k", "k"),
    "stride": ("conv 4 3x3 s=s p=1 -> relu -> a: conv 4 3x3 p=1", "s"),
    "dilation": ("conv 4 3x3 d=d p=half -> a: conv 4 3x3 d=2*d p=half", "d"),
    "kernel and stride": ("conv 4 k s=s p=half -> a: conv 4 k p=half", "ks"),
    "kernel, stride and dilation": ("conv 4 k p=half -> maxpool s -> a: conv 4 3x3 d=d p=half", "dks"),
    "unequal sides": ("conv 4 [k, 3] p=half -> a: conv 4 [1, k] p=half", "k"),
    "a count": ("(conv 4 3x3 p=1)*n -> a: relu", "n"),
    "a count and a kernel": ("(conv 4 k p=half)*n -> a: relu", "kn"),
    "transposed": ("conv 4 3x3 s=2 p=1 -> tconv 4 k s=2 -> a: conv 4 3x3", "k"),
    "upsampled": ("maxpool 2 -> upsample 2 -> a: conv 4 k p=half", "k"),
    "a whole image": ("conv 4 k p=half -> a: global_avgpool", "k"),
}
MERGES = {
    "the wider of two paths": ("- {add: [conv 3 k p=half, conv 3 5x5 p=2]}\n  - a: conv 4 3x3", "k"),
    "the wider of three paths": (
        "- {concat: [conv 3 k p=half, conv 3 3x3 p=d d=d, identity]}\n  - a: conv 4 3x3", "dk",
    ),
    "unequal strides": ("- {concat: [conv 4 3x3 s=s p=1, conv 4 3x3 s=2 p=1]}\n  - a: conv 4 3x3", "s"),
}  # fmt: skip
SPECS = {
    **{name: (f"{HEAD}layers:\n  - {text.replace(' -> ', chr(10) + '  - ')}\n", names)
       for name, (text, names) in STACKS.items()},
    **{name: (f"{HEAD}layers:\n  {text}\n", names) for name, (text, names) in MERGES.items()},
}  # fmt: skip


def architecture(text: str) -> Architecture:
    """A spec's only variant."""
    return Architecture(spec_of(text), "")


def seen(net: Architecture, values: dict[str, int]) -> dict[str, Any] | None:
    """What layer a sees for numbers; None if it can't be built."""
    try:
        row = archcalc.analyze(net.build(**values))["a"]
    except SpecError:
        return None
    return dict(row["receptive_field"])


@pytest.mark.parametrize("name", SPECS)
def test_fields_are_those_of_every_value(name: str) -> None:
    """At least, at most, exactly and between, along both axes and one: the values that building each one finds."""
    text, names = SPECS[name]
    net = architecture(text)
    box = BOXES[len(names)]
    grid = [dict(zip(names, values, strict=True)) for values in product(box, repeat=len(names))]
    truth = [(values, seen(net, values)) for values in grid]
    sizes = sorted({size for _, fields in truth if fields for size in fields.values()})
    middle = sizes[len(sizes) // 2]
    for band in ((middle, None), (None, middle), (middle, middle), (sizes[0], middle), (sizes[-1] + 1, None)):
        for axes in ("HW", "H"):
            least, most = band
            expected = [
                values
                for values, fields in truth
                if fields and all((least or 0) <= fields[axis] <= (most or fields[axis]) for axis in axes)
            ]
            found = archcalc.solve(
                net, field={"a" if len(axes) == 2 else "a.H": band}, hparams=dict.fromkeys(names, box)
            )
            assert expected == [values for values in grid if values in found], (band, axes)
            assert bool(expected) == bool(found)


@pytest.mark.parametrize(
    ("name", "band", "expected"),
    [
        ("kernel", "9..", "7 and more"),
        ("kernel", 9, "7"),
        ("kernel after strides", (15, 31), "4..7"),
        ("dilation", "..13", "1..2"),
        ("the wider of two paths", 7, "1 (mod 2) to 5"),
    ],
)
def test_fields_without_a_range(name: str, band: Any, expected: str) -> None:
    """Closed forms need no range: r = 1 + Σ (k - 1)·d·∏ s, worked out by hand."""
    text, names = SPECS[name]
    found = archcalc.solve(architecture(text), field={"a": band}, hparams={names: "sym"})
    assert expected == str(found[names])


@pytest.mark.parametrize("kernels", ["sym", range(1, 20)])
def test_arguments_of_layers(kernels: Any) -> None:
    """An argument that is unknown is called as in formulas, however it's looked for, and found as it was given."""
    net = archcalc.load("unet")
    found = archcalc.solve(
        net, field={"down1": (8, 12)}, hparams={"down1/skip/1/conv.kernel_size": kernels}, symbolic="N"
    )
    assert {"down1_skip_1_conv_kernel_size", "N"} == set(found.sizes)
    expected = []
    for kernel in range(1, 20):
        try:
            row = archcalc.analyze(build(net.spec, net.variant, {"down1/skip/1/conv.kernel_size": kernel}))["down1"]
        except SpecError:
            continue
        if all(8 <= size <= 12 for size in row["receptive_field"].values()):
            expected.append(kernel)
    assert (
        expected
        == list(found["down1/skip/1/conv.kernel_size"].up_to(19))
        == list(found["down1_skip_1_conv_kernel_size"].up_to(19))
    )


def test_fields_without_a_closed_form_say_so() -> None:
    """Behind an upsampling there's no formula in the kernel; a range is gone through, and the refusal asks for one."""
    net = architecture(SPECS["upsampled"][0])
    with pytest.raises(UsageError, match=r"has no closed form in k\n.*hparams=\{'k': '1\.\.20'\}"):
        archcalc.solve(net, field={"a": (5, None)}, hparams={"k": "sym"})
    found = archcalc.solve(net, field={"a": (5, None)}, hparams={"k": range(1, 8)}, symbolic="N")
    assert all(seen(net, {"k": k})["H"] >= 5 for k in found["k"])  # type: ignore[index]


@pytest.mark.parametrize(("name", "axes"), [("vgg16", "HW"), ("c3d", "DHW"), ("pair", "HW")])
def test_squares(name: str, axes: str) -> None:
    """One unknown for all spatial axes of each input; the sizes are those of the question without it that are equal."""
    pair = (
        "archcalc: 1\nname: pair\ninputs: {u: {C: 3, H: 8, W: 9}, v: {C: 3, H: 4, W: 4}}\nlayers:\n"
        "  - a: conv 4 2x2 s=2\n  - b: from v -> conv 4 1x1\n  - {add: [from a, from b]}\n"
    )
    net = architecture(pair) if name == "pair" else archcalc.load(name)
    budget = {"params": "1G", "macs": archcalc.analyze(net).totals["macs"]}
    found = archcalc.solve(net, square=True, **budget)  # type: ignore[arg-type]
    unknowns = {"H", "v_H"} if name == "pair" else {axes[0]}
    assert unknowns == set(found.sizes)
    sizes = range(1, 14) if name == "pair" else range(1, 300, 7)
    for values in product(sizes, repeat=len(unknowns)):
        numbers = dict(zip(sorted(unknowns), values, strict=True))
        first = numbers["H" if name == "pair" else axes[0]]
        given: Any = dict.fromkeys(axes, first)
        given |= {"v_H": numbers["v_H"], "v_W": numbers["v_H"]} if name == "pair" else {}
        try:
            expected = archcalc.analyze(net.build(sizes=given)).totals["macs"] <= budget["macs"]
        except SpecError:
            expected = False
        assert expected == (numbers in found), numbers


def test_squares_within_a_range_and_of_an_hparam() -> None:
    """A range of either axis is the square's; an hparam that sets an axis is the unknown, with what depends on it."""
    assert "224..240" == str(archcalc.solve("vgg16", output=(7, 7), square=True, hparams={"W": range(100, 241)})["H"])
    text = "archcalc: 1\nname: t\ninput: {C: 3, H: H, W: 8}\nhparams: {H: 8}\nlayers: conv 4 1x1\n"
    found = archcalc.solve(architecture(text), square=True, macs=1200)
    assert "1..10" == str(found["H"])


MISUSE: list[tuple[dict[str, Any], str]] = [
    ({}, "what is to be solved for"),
    ({"params": "5M"}, "nothing is left open"),
    ({"parms": "5M"}, "there can't be a budget for 'parms'\n    hint: did you mean 'params'"),
    ({"memory": "5GB"}, "which memory"),
    ({"receptive_field": 5}, "hint: field="),
    ({"depth": 5}, "there can't be a budget for 'depth'"),
    ({"params": 5e6, "symbolic": "H"}, "exact integer"),
    ({"params": None, "symbolic": "H"}, "nothing lies within params None"),
    ({"saved_bytes": "16", "symbolic": "N"}, "has no unit of bytes"),
    ({"output": 7.5}, "exact integer"),
    ({"output": "7xx7"}, "'' is not a size"),
    ({"output": ()}, "no sizes"),
    ({"output": (7, 7, 7, 7)}, "'7x7x7x7' has 4 sizes"),
    ({"output": {"Q": 7}}, "has no axis 'Q'"),
    ({"output": (7, -7)}, "'-7' is not a size"),
    ({"output": b"7"}, "exact integer"),
    ({"layer": "conv5", "params": "5M"}, "goes with an output"),
    ({"layer": 5, "output": 7}, "called by its path"),
    ({"layer": "conv9", "output": (7, 7)}, "has no layer 'conv9'\n    hint: did you mean"),
    ({"field": "conv5=200.."}, "bands by layer"),
    ({"field": {"conv9": 3}, "symbolic": "N"}, "has no layer 'conv9'"),
    ({"field": {"conv5": 2.5}, "symbolic": "N"}, "exact integer"),
    ({"field": {"conv5": "x"}, "symbolic": "N"}, "can't read the field of conv5"),
    ({"field": {"conv5": (9, 5)}, "symbolic": "N"}, "nothing lies within"),
    ({"field": {"conv5.D": 3}, "symbolic": "N"}, "has no receptive field along D"),
    ({"field": {3: 3}, "symbolic": "N"}, "has no layer '3'"),
    ({"params": "5M", "hparams": "k=3"}, "hparams are values by name"),
    ({"params": "5M", "hparams": {"k": 3}, "symbolic": "N"}, "has no axis and no hparam 'k'"),
    ({"params": "5M", "hparams": {"size": []}}, "has no values"),
    ({"params": "5M", "hparams": {"size": [1.5]}}, "is not exact"),
    ({"params": "5M", "hparams": {"size": range(9)}}, "can't solve for size"),
    ({"params": "5M", "hparams": {"N": 2}, "batch": 2, "symbolic": "H"}, "given twice"),
    ({"params": "5M", "hparams": {"H": 32}, "symbolic": "H"}, "both given a value and left open"),
    ({"params": "5M", "sizes": {"H": 32}, "hparams": {"H": range(1, 9)}}, "both hparams and sizes"),
    ({"params": "5M", "sizes": [3, 4]}, "sizes are values by name"),
    ({"params": "5M", "sizes": {"Q": 4}, "symbolic": "N"}, "has no axis Q"),
    ({"params": "5M", "sizes": {"H": 2.5}, "symbolic": "N"}, "exact integer"),
    ({"params": "5M", "symbolic": "Q"}, "has no axis and no hparam 'Q'"),
    ({"params": "5M", "symbolic": "a b"}, "not the name of a size"),
    ({"params": "5M", "symbolic": 5}, "not the name of a size"),
    ({"params": "5M", "symbolic": "H", "batch": 0}, "at least 1"),
    ({"params": "5M", "symbolic": "H", "batch": "8"}, "exact integer"),
    ({"params": "5M", "symbolic": "H", "dtype": "float"}, "unknown dtype"),
    ({"params": "5M", "symbolic": "H", "dtype": []}, "unknown dtype"),
    ({"params": "5M", "square": True, "sizes": {"H": 32}}, "H has a size"),
    ({"params": "5M", "square": True, "hparams": {"H": range(1, 9), "W": range(2, 9)}}, "give one range"),
]


@pytest.mark.parametrize(("arguments", "message"), MISUSE, ids=str)
def test_misuse_is_explained(arguments: dict[str, Any], message: str) -> None:
    """Wrong types, unknown names and contradictions are usage errors that say what was wrong."""
    with pytest.raises(UsageError) as caught:
        archcalc.solve("vgg16", **arguments)
    assert message in str(caught.value)


def test_what_cannot_be_solved() -> None:
    """A graph's sizes are given; a network of tokens has no squares."""
    for network in (archcalc.load("vgg16").build(), archcalc.analyze("vgg16")):
        with pytest.raises(UsageError, match="built already"):
            archcalc.solve(network, params="5M", symbolic="H")
    with pytest.raises(UsageError, match="no input with several spatial axes"):
        archcalc.solve("gpt2_small", params="1G", square=True)
    with pytest.raises(UsageError, match="no architecture is called"):
        archcalc.solve("vgg61", output=7)


def test_an_answer_in_python() -> None:
    """Sizes by name, combinations, membership; what is wrong with a look-up is said."""
    found = archcalc.solve("lenet5", macs="1M", symbolic="H,W")
    assert (True, len(found.solutions.rows)) == (bool(found), len(found))
    assert {"H", "W"} == set(found.sizes) == set(found.unknowns)
    for row in list(found)[:5]:
        values = {name: numbers.max for name, numbers in row.items()}
        assert values in found
        assert all(value in found[name] for name, value in values.items())
    assert found.largest == {name: numbers.max for name, numbers in found.sizes.items()}
    with pytest.raises(UnknownNameError, match="no unknown is called 'K'"):
        found["K"]
    with pytest.raises(UsageError, match="a value of W"):
        _ = {"H": 28} in found
    nothing = archcalc.solve("lenet5", macs=1, symbolic="H,W")
    assert (False, 0, []) == (bool(nothing), len(nothing), list(nothing))
    assert [[], []] == [list(numbers) for numbers in nothing.sizes.values()]
