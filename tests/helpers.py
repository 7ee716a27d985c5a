"""Small specs for tests."""

import argparse
import os
from pathlib import Path
from typing import Any

import pytest

from archcalc.__main__ import main
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.language.model import Spec
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source
from archcalc.questions.golden_files import file_name
from archcalc.zoo import Architecture, architectures, load

HEAD = "archcalc: 1\nname: t\ninput: {C: 3, H: 32, W: 32}\n"
"""The first three lines of most test specs: errors in the rest start at line 4."""


OF_OTHER_STRUCTURE = (
    *("deconvnet_layer1", "deconvnet_layer3", "densenet:cifar40", "fcn_alexnet", "fcn_googlenet", "googlenet_aux"),
    *(
        "gemma2_2b",
        "gemma3_270m",
        "inception_naive",
        "mobilenetv3_small",
        "olmo2_1b",
        "opt_350m",
        "r2plus1d_18",
        "regnet_y_400mf",
        "resnet18_a",
        "resnet20",
        "resnet50_v1",
    ),
    *("resnet:plain18", "resnext50_32x4d", "rpn_zf", "seresnet50", "vgg11_bn", "vgg11_lrn", "zfnet_slides"),
)
"""Variants that differ from the others of their spec by more than sizes and numbers of layers."""
GOLDEN = Path(__file__).parent.parent / "golden"
MANY_LAYERS = 80_000
"""Bytes of a golden file, which has some 200 for each layer: tests that go through all layers take long."""
DEEPER = ("bloom_176b", "gpt3_175b", "gpt_neox_20b", "olmo_7b", "palm_540b")
"""Default variants that differ from the first of their spec by sizes and numbers of layers alone."""


def spec_of(text: str, folder: Path | None = None) -> Spec:
    """Parse a spec's text; its file is called t.yaml."""
    return parse_spec(Source("t.yaml", text, folder))


def graph_of(layers: str, head: str = HEAD) -> Graph:
    """Build the graph of a spec from its `layers` (and what follows them)."""
    return build(spec_of(f"{head}{layers}"))


REGIONS: dict[str, Any] = {"R": 20, "regions": [5, 4, 3, 2]}
"""Numbers of regions where a network leaves them open, and few where it has many: PyTorch takes them one by one."""


def regions_of(name: str) -> dict[str, Any]:
    """Values for the hyperparameters of a network of the zoo that say how many regions there are."""
    hparams = load(name).spec.hparams
    return {hparam: value for hparam, value in REGIONS.items() if hparam in hparams}


def some_architectures() -> list[Architecture]:
    """Some of the zoo, loaded."""
    names = set(some_of_the_zoo())
    return [architecture for architecture in architectures() if architecture.name in names]


def some_of_the_zoo() -> list[str]:
    """Each spec's first variant, its default if it isn't just deeper, and those of other structure, without the deepest.

    All, if `ARCHCALC_WHOLE_ZOO` is set.
    """
    whole, found, seen = bool(os.environ.get("ARCHCALC_WHOLE_ZOO")), [], set()
    for architecture in architectures():
        spec, name = architecture.spec, architecture.name
        by_default = architecture.variant == spec.default and name not in DEEPER
        if whole or spec.name not in seen or by_default or name in OF_OTHER_STRUCTURE:
            found.append(name)
        seen.add(spec.name)
    return [name for name in found if whole or (GOLDEN / file_name(name)).stat().st_size < MANY_LAYERS]


def names_of(graph: Graph) -> list[str]:
    """The names of the layers, without the input."""
    return [node.name for node in graph.nodes if node.inputs]


def imported(code: str) -> Any:
    """The class of an exported network, from the code alone."""
    module: dict[str, Any] = {"__name__": "exported"}
    exec(compile(code, "exported.py", "exec"), module)
    return [value for value in module.values() if isinstance(value, type) and value.__module__ == "exported"][-1]


def verify(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `archcalc verify`."""
    code = main(["verify", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def fuzz_options(description: str, examples: str) -> argparse.Namespace:
    """The command line of a fuzzer: how many `--examples`, and the `--seed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--examples", type=int, default=1000, help=examples)
    parser.add_argument("--seed", type=int, default=0, help="where the random numbers start")
    return parser.parse_args()
