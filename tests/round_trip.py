"""Networks of the zoo through PyTorch and back: `python -m tests.round_trip resnet50 vit_b_16`.

A spec becomes a module, and what is imported of that is compared with what the spec builds: the layers with their
arguments and volumes, the totals, the outputs, and the length of the text. Without names it takes the first variant of
each spec of the zoo, with `--all` every variant.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import NamedTuple

import torch

import archcalc
from archcalc import Graph, analyze
from archcalc.importers.writing.outline import arguments_of
from archcalc.zoo import Architecture, architectures, load, specs_of
from tests.helpers import regions_of

QUANTITIES = ("params", "weights", "biases", "buffers", "macs", "activations", "depth", "attention_macs")
BESIDES = ("claims", "variants", "notes", "title", "default", "source")
"""Keys of a spec that say nothing about the layers of one network."""
LONGER = 2
"""How many times as long as its original a text may be."""


class Trip(NamedTuple):
    """What came back: what is wrong, if anything, and the lines of both texts."""

    name: str
    wrong: str
    lines: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    text: str = ""


def trip(architecture: Architecture) -> Trip:
    """One network, there and back."""
    begun = perf_counter()
    graph = architecture.build(**regions_of(architecture.name))
    try:
        with torch.device("meta"):
            network = archcalc.to_torch(graph)
        found = archcalc.from_torch(network, list(network.example_inputs(2, device="meta")), architecture.spec.name)
    except Exception as error:  # a traceback is a finding like any other
        return Trip(
            architecture.name, f"{type(error).__name__}: {error}".replace("\n", " "), seconds=perf_counter() - begun
        )
    text = found.spec.source.text
    lines = (len_of(architecture.spec.source.text), len_of(text))
    wrong = [*differences(graph, found.build())]
    if lines[1] > LONGER * lines[0]:
        wrong.append(f"{lines[1]} lines, {lines[0]} in the original")
    return Trip(architecture.name, "; ".join(wrong), lines, perf_counter() - begun, text)


def len_of(text: str) -> int:
    """Lines of a spec that say what its layers are: comments, claims and the like apart."""
    kept, count = True, 0
    for line in text.splitlines():
        if line[:1] not in ("", " ", "#"):
            kept = line.partition(":")[0] not in BESIDES
        count += kept and bool(line.strip()) and not line.lstrip().startswith("#")
    return count


def differences(one: Graph, other: Graph) -> Iterator[str]:
    """In what two networks differ: totals, layers, volumes that go out."""
    totals, found = analyze(one).totals, analyze(other).totals
    for name in QUANTITIES:
        if totals.get(name) != found.get(name):
            yield f"{name} {totals.get(name)} became {found.get(name)}"
    layers, others = layers_of(one), layers_of(other)
    gone, new = layers - others, others - layers
    if gone or new:
        texts = (" ".join(f"{number}x {layer}" for layer, number in each.most_common(3)) for each in (gone, new))
        yield "layers {} became {}".format(*texts)
    if outputs_of(one) != outputs_of(other):
        yield f"outputs {outputs_of(one)} became {outputs_of(other)}"


def layers_of(graph: Graph) -> Counter[str]:
    """All layers, with what each makes; those that do nothing apart."""
    found: Counter[str] = Counter()
    for node in graph.nodes[len(graph.inputs) :]:
        if node.layer.kind != "identity":
            arguments = dict(arguments_of(node.layer, node.shape))
            if arguments.get("padding") == "half":
                arguments["padding"] = _half(arguments["kernel_size"])
            if arguments.get("padding") == "0":
                del arguments["padding"]
            said = " ".join(f"{name}={value}" for name, value in sorted(arguments.items()))
            found[f"{node.layer.kind} {said} {node.shape.text()}"] += 1
    return found


def _half(kernel: str) -> str:
    """The padding that `half` means."""
    each = [str(int(size) // 2) for size in kernel.split("x")]
    return each[0] if len(set(each)) == 1 else "x".join(each)


def outputs_of(graph: Graph) -> list[str]:
    """The volumes that go out."""
    return [graph.nodes[index].shape.text() for index in graph.outputs.values()]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks of the zoo")
    parser.add_argument("--all", action="store_true", help="every variant")
    parser.add_argument("--text", action="store_true", help="print what was written")
    options = parser.parse_args()
    if options.names:
        chosen = [load(name) for name in options.names]
    elif options.all:
        chosen = list(architectures())
    else:
        chosen = [load(spec.name) for spec in specs_of()]
    came_back = 0
    for each in chosen:
        found = trip(each)
        came_back += not found.wrong
        print(
            f"{found.name}: {found.wrong or 'equal'} ({found.lines[0]} -> {found.lines[1]}, {found.seconds:.1f} s)",
            flush=True,
        )
        if options.text:
            print(found.text)
    print(f"{came_back} of {len(chosen)} came back")
    return int(came_back < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
