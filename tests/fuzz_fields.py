"""Receptive fields of random graphs against PyTorch's gradients: `python -m tests.fuzz_fields --examples 3000 --seed 1`.

Graphs have what makes fields hard: crops, strides with remainders, gates, tokens and grids, reshapes, selected tokens,
joins along space, a second input. Of each, on every input and on some inner volume, masks of gradients must equal the exact sets, and what the table says must hold of every
position's set.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from archcalc.analyses.field import Field
from archcalc.analyses.positions import positions_of
from archcalc.analyses.receptive_field import receptive_fields
from archcalc.analyses.receptive_field_exact import exact_field
from archcalc.graph import Graph
from tests.receptive_field_graphs import graphs

MOST_POSITIONS = 40
"""Of each volume: an exact set is computed for each of so many."""


def check_graph(graph: Graph, source: int = 0) -> int:
    """Compare all that can be said of one graph's fields; how many positions were compared.

    Raises: AssertionError: something differs.
    """
    fields, compared = receptive_fields(graph, source), 0
    for index in range(source, len(graph)):
        sizes = positions_of(graph.nodes[index].shape)
        places = list(product(*map(range, sizes.values())))
        step = max(1, len(places) // MOST_POSITIONS)
        some = [dict(zip(sizes, place, strict=True)) for place in places[::step]]
        compared += _compare_masks(graph, index, some[:: max(1, len(some) // 3)], source)
        for axis, field in fields[index].items():
            seen = [exact_field(graph, index, place, source).interval(axis) for place in some]
            _check_field(field, seen, f"{graph.nodes[index].name} along {axis}")
        if not fields[index]:
            assert not exact_field(graph, index, {}, source), graph.nodes[index].name
    return compared


def _compare_masks(graph: Graph, index: int, places: list[dict[str, int]], source: int) -> int:
    from archcalc.pytorch.gradient import Question, supports

    questions = [Question(index, place) for place in places]
    for question, found in zip(questions, supports(graph, questions, source), strict=True):
        predicted = exact_field(graph, index, question.position, source)
        assert predicted == found, (graph.nodes[index].name, question.position)
    return len(questions)


def _check_field(field: Field, seen: list[tuple[int, int] | None], where: str) -> None:
    """What a field says must hold of each position's exact interval."""
    numbers = (field.size, field.stride, field.padding)
    if not field.follows:
        assert (None, None, None) == numbers, where
        return
    found = [interval for interval in seen if interval is not None]
    if field.constant:
        window = field.windows[0]
        assert window is not None or not found, where
        for first, last in found:
            assert window is not None
            assert window[0] <= first <= last <= window[1], (where, window, first, last)
            assert field.bounded or window == (first, last), (where, window, first, last)
    for first, last in found:
        assert field.drifts or last - first + 1 <= field.size, (where, field, first, last)


def told(graph: Graph) -> str:
    """Each node's layer, inputs and volume in a line."""
    return "\n".join(f"{node.name}: {node.layer} of {node.inputs} -> {node.shape}" for node in graph.nodes)


def run(examples: int, number: int) -> int:
    """Check that many random graphs; how many positions were compared with gradients."""
    total = 0

    @seed(number)
    @settings(
        max_examples=examples, deadline=None, database=None, report_multiple_bugs=False, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data(), graph=graphs(largest=9, merges=2, tails=True, detours=True, several=True))
    def check(data: st.DataObject, graph: Graph) -> None:
        nonlocal total
        wide = [i for i, node in enumerate(graph.nodes) if node.shape.spatial]
        for source in {*range(len(graph.inputs)), data.draw(st.sampled_from(wide))}:
            try:
                total += check_graph(graph, source)
            except AssertionError as error:
                raise AssertionError(f"{error}\nfrom {source}:\n{told(graph)}") from None

    check()
    return total


def main() -> int:
    """The command: prints what was compared; exit code 1 after a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    total = run(arguments.examples, arguments.seed)
    print(f"{arguments.examples:,} graphs, {total:,} gradient masks, seed {arguments.seed}: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
