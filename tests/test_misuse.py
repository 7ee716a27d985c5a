"""Wrong types and names in Python: an error that says what was meant, never one from inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import archcalc
from archcalc.errors import ArchcalcError
from archcalc.graph import Change


def build(sizes: Any = None, **hparams: Any) -> Any:
    """VGG-16 with these values."""
    return archcalc.load("vgg16").build(hparams=hparams, sizes=sizes)


CASES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "load a number": (lambda a: a.load(3), "loaded by its name or path"),
    "load nothing": (lambda a: a.load(None), "loaded by its name or path"),
    "load bytes": (lambda a: a.load(b"vgg16"), "loaded by its name or path"),
    "load from a number": (lambda a: a.load("vgg16", specs=3), "a folder of specs is a path"),
    "load in another case": (lambda a: a.load("VGG16"), "did you mean 'vgg16'?"),
    "sizes as a list": (lambda _: build([3]), "sizes by axis"),
    "a size as a text": (lambda _: build({"H": "a"}), "the size of H takes an exact integer"),
    "a size as a float": (lambda _: build({"H": 2.5}), "the size of H takes an exact integer"),
    "an unknown axis": (lambda _: build({"h": 5}), "did you mean 'H'?"),
    "an unknown hparam": (lambda _: build(siz=3), "did you mean 'size'?"),
    "an argument as an hparam": (
        lambda _: build(stride=2),
        "arguments are given to layers: hparams={'conv1/1.stride': 2}",
    ),
    "an hparam without a value": (lambda _: build(size=None), "size takes an exact integer"),
    "an hparam as an object": (lambda _: build(size=object()), "size takes an exact integer"),
    "an hparam as a mapping": (lambda _: build(size={"a": 1}), "size is an hparam, which has one value"),
    "a layer without arguments": (lambda _: build(conv1={}), "'conv1' is given no arguments"),
    "an argument called 3": (lambda _: build(conv1={3: 1}), "'conv1.3' is not an argument of a layer"),
    "an argument as a mapping": (lambda _: build(conv1={"stride": {"a": 1}}), "conv1.stride takes an exact integer"),
    "an argument without a value": (lambda _: build(**{"conv1.stride": None}), "conv1.stride takes an exact integer"),
    "an unknown argument": (lambda _: build(**{"conv1/1/conv.strid": 3}), "did you mean 'stride'?"),
    "an unknown layer": (lambda _: build(**{"conv1/5.stride": 3}), "did you mean 'conv5/1'?"),
    "a layer without it": (lambda _: build(**{"conv1/1/relu.stride": 3}), "relu has no argument 'stride'"),
    "dots alone": (lambda _: build(**{"..": 1}), "'..' is not an argument of a layer"),
    "build a name": (lambda a: a.build("vgg16"), "build takes a Spec"),
    "build with a list": (lambda a: a.build(a.load("vgg16").spec, hparams=[1]), "values are given by name"),
    "build with numbers as names": (
        lambda a: a.build(a.load("vgg16").spec, hparams={3: 1}),
        "values are given by name",
    ),
    "build a variant called 3": (lambda a: a.build(a.load("vgg16").spec, variant=3), "has no variant '3'"),
    "list a number": (lambda a: a.architectures(3), "a text is looked for"),
    "list what isn't there": (lambda a: a.architectures("resnt50"), "did you mean 'resnet50'?"),
    "list a folder called 3": (lambda a: a.architectures(specs=3), "a folder of specs is a path"),
    "list an empty folder": (lambda a: a.architectures(specs="/nowhere"), "there is no spec in /nowhere"),
    "look up what isn't listed": (lambda a: a.architectures("vgg")["vgg15"], "did you mean 'vgg1"),
    "list unknown columns": (lambda a: a.architectures("lenet5").table("param"), "did you mean 'params'?"),
    "list a number as columns": (lambda a: a.architectures("lenet5").table(3), "columns are names, not 3"),
    "list in a wrong order": (lambda a: a.architectures("lenet5").table(sort="mac"), "did you mean 'macs'?"),
    "show a number": (lambda a: a.show(3), "loaded by its name or path"),
    "show with a number": (lambda a: a.show("vgg16", hparams=3), "hparams are values by name"),
    "show with numbers as names": (lambda a: a.show("vgg16", hparams={3: 4}), "hparams are values by name"),
    "show with a number as sizes": (lambda a: a.show("vgg16", sizes=3), "sizes are values by name"),
    "show a graph": (lambda a: a.show(build()), "built already"),
    "a table of a number": (lambda a: a.analyze("vgg16").table(columns=3), "columns are names, not 3"),
    "a table of numbers": (lambda a: a.analyze("vgg16").table(columns=[3]), "columns are names, not [3]"),
    "a table of shares of depth": (lambda a: a.analyze("vgg16").table("depth_share"), "unknown column 'depth_share'"),
    "a table as deep as a text": (lambda a: a.analyze("vgg16").table(depth="a"), "a depth is a number of scopes"),
    "a table of no depth": (lambda a: a.analyze("vgg16").table(depth=-1), "a depth is a number of scopes"),
    "a table in a wrong order": (lambda a: a.analyze("vgg16").table(sort="mac"), "did you mean 'macs'?"),
    "a table sorted by 3": (lambda a: a.analyze("vgg16").table(sort=3), "can't sort by '3'"),
    "saved as 3": (lambda a: a.analyze("vgg16").save(3), "a file is named by its path"),
    "compared with 3": (lambda a: a.compare("vgg16", 3), "loaded by its name or path"),
}


@pytest.mark.parametrize("name", CASES)
def test_misuse_is_explained(name: str) -> None:
    """The error names what was given, or suggests what was meant."""
    ask, told = CASES[name]
    with pytest.raises(ArchcalcError) as raised:
        ask(archcalc)
    assert told in str(raised.value)


def test_what_can_be_meant_is_taken() -> None:
    """Names in one text, paths as texts or paths, and a layer's arguments in a mapping of their own."""
    report = archcalc.analyze("vgg16")
    assert ["name", "params"] == [column.key for column in report.table("name, params").columns]
    given: Any = {"conv1/1": {"out_channels": 32}}
    assert 32 == archcalc.show("vgg16", hparams=given).graph["conv1/1"].shape.C
    assert (Change("conv1/1/conv", "out_channels", "64", "32"),) == archcalc.show("vgg16", hparams=given).graph.changes
