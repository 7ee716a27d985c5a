"""Networks of libraries, imported: a sample of `benchmarks/imports.py`, which takes all of them."""

from __future__ import annotations

import warnings
from itertools import islice

import pytest

from archcalc import UsageError, analyze, build

pytest.importorskip("torch")

from archcalc.importers.code import import_code, input_sizes  # torch may not be there
from archcalc.importers.sources import library, source_of
from archcalc.pytorch.original import imported_checks

NAMES = (
    "torchvision:squeezenet1_1", "torchvision:resnet18", "torchvision:mc3_18",
    "timm:test_resnet", "timm:test_nfnet", "timm:test_convnext", "timm:test_byobnet", "timm:test_efficientnet_gn",
)  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_an_imported_network_has_the_librarys_counts(name: str) -> None:
    """Every operation is a layer; params that are read, multiply-adds and shapes are those of the module that runs."""
    source = source_of(name)
    assert source is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            library("torchvision.models" if source.home == "torchvision" else source.home)
        except UsageError as error:
            pytest.skip(str(error))
        found = import_code(source)
        checks = imported_checks(analyze(build(found.spec)), found, source, input_sizes(source))
        unlike = [each for check in islice(checks, 4) for each in check.differences]
    assert [] == unlike
    assert [] == [step.layer.kind for step in found.steps if step and step.layer.kind == "opaque"]
