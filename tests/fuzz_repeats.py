"""Numbers by few passes of each repeat against walks over all layers: `python -m tests.fuzz_repeats --examples 1000`.

Random specs (`random_loops`: loops in loops, skips into passes and out of them, ties, several outputs) get numbers of
passes of which a few stand for all. Bytes of the network and of scopes, receptive fields on the input and on other
layers, and the depth of scopes must be what walks over the flat list say.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from random import Random
from unittest.mock import patch

import archcalc
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.analyses.receptive_field_repeats import receptive_field
from archcalc.errors import SpecError
from archcalc.expand import build
from archcalc.graph import Graph
from tests import random_loops
from tests.helpers import spec_of
from tests.test_tree import depth_of

OF_PLACES = ("saved_bytes", "peak_bytes", "least_bytes")
KEEPING = (*random_loops.LAYERS, "identity", "sigmoid", "gelu", "maxpool 3x3 s=1 p=1", "dropout 0", "relu", "softmax")
SEEING = ("conv 4 3x3 p=1", "conv 4 1x1", "conv 4 3x3 p=2 d=2", "conv 4 2x2 p=same", "maxpool 3x3 s=1 p=1", "relu",
          "conv 4 1x5 p=same", "gated", "updown", "downup", "strided", "adaptive_avgpool 6x6")  # fmt: skip
GATED = (*random_loops.LAYERS, "gated", "gated")
BLOCKS = """\
  gated(): [{sc: conv 4 1x1}, {mul: [identity, {w: [global_avgpool, {mul: [identity, conv 4 1x1]}, relu]}]}]
  updown(): conv 4 2x2 s=2 -> upsample 2
  downup(): maxpool 2x2 s=2 -> tconv 4 2x2 s=2
  strided(): conv 4 1x1 s=2 -> upsample 2
"""
MOST = 2000
"""Layers of a network that is compared."""


def random_graph(seed: int, layers: Sequence[str], most: int = MOST) -> Graph | None:
    """A random network with long repeats; None where the spec is wrong, or there are too many layers."""
    pick = Random(seed)
    with patch.object(random_loops, "LAYERS", layers):
        text = random_loops.Loops(seed).text()
    blocks = "".join(line for line in BLOCKS.splitlines(keepends=True) if line.split("(")[0].strip() in text)
    if blocks:
        text = re.sub("^(blocks:\n|(?=layers:))", f"blocks:\n{blocks}", text, count=1, flags=re.MULTILINE)
    long, middling = pick.choice([9, 11, 20]), pick.choice([5, 10, 30])
    text = re.sub(r"n: \d+, m: \d+", f"n: {pick.randint(7, 13)}, m: {pick.choice([1, 2, 3, 9, 12])}", text)
    text = text.replace("1..7", f"1..{long}").replace("*7", f"*{long}").replace("*5", f"*{middling}")
    try:
        graph = build(spec_of(text))
    except SpecError:
        return None
    return graph if len(graph) <= most else None


def compare_bytes(graph: Graph, paths: Sequence[str] = ("",)) -> int:
    """Compare totals of a graph and of scopes with those of the walk; how many followed from few passes."""
    found, walk = archcalc.analyze(graph), archcalc.analyze(graph)
    short = 0
    for name in OF_PLACES:
        for path in paths:
            inside = [i for i, node in enumerate(graph.nodes) if f"{node.name}/".startswith(f"{path}/" if path else "")]
            if inside:
                assert walk.over(name, inside) == found.total(name, path), (name, path)
                short += name not in found._placed
    return short


def compare_fields(graph: Graph, indices: Sequence[int], source: int = 0) -> int:
    """Compare receptive fields on a layer with those of the walk; how many followed from few passes."""
    walked = receptive_fields(graph, source)
    with patch.object(Graph, "is_listed", False):  # then global layers are followed back through few passes, too
        found = {index: receptive_field(graph, index, source) for index in indices if index >= source}
    for index, fields in found.items():
        assert fields is None or walked[index] == fields, (index, source)
    return sum(fields is not None for fields in found.values())


def compare_depths(graph: Graph, paths: Sequence[str]) -> int:
    """Compare the depth of scopes with that of the walk, and with that of a graph without structure; how many."""
    plain = Graph.of("t", graph.nodes, graph.outputs, graph.scopes)
    for path in paths:
        found = archcalc.analyze(graph).total("depth", path)
        assert depth_of(plain, path) == found == archcalc.analyze(plain).total("depth", path), path
    return len(paths)


def search(examples: int, seed: int, most: int = MOST) -> Counter[str]:
    """Compare networks of so many seeds, from the first on; what was compared how often.

    Raises: AssertionError: something differs.
    """
    counted: Counter[str] = Counter()
    for number in range(seed, seed + examples):
        pick = Random(number)
        try:
            if (graph := random_graph(number, KEEPING, most)) and graph.shortened():
                paths = ["", *pick.sample(list(graph.scopes), min(2, len(graph.scopes)))]
                counted.update({"networks": 1, "bytes": 3 * len(paths), "bytes short": compare_bytes(graph, paths)})
            if (graph := random_graph(number, GATED, most)) and len(graph):
                names = [*pick.sample(list(graph.scopes), min(3, len(graph.scopes))), pick.choice(graph.nodes).name]
                counted["depths"] += compare_depths(graph, names)
            if (
                graph := random_graph(number, pick.sample(SEEING, pick.choice([3, 5, 12])), most)
            ) and graph.shortened():
                last, source = len(graph) - 1, pick.randrange(len(graph))
                indices = [last, *(pick.randrange(source, len(graph)) for _ in range(3))]
                short = compare_fields(graph, indices) + compare_fields(graph, indices, source)
                counted.update({"fields": 2 * len(indices), "fields short": short})
        except AssertionError as error:
            raise AssertionError(f"seed {number}: {error}") from error
    return counted


def main() -> None:
    """Compare, and say how much was compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        print(f"seed {arguments.seed}: {dict(search(arguments.examples, arguments.seed))}, all equal")
    except AssertionError as error:
        sys.exit(f"wrong: {error}")


if __name__ == "__main__":
    main()
