"""What a picture draws of repeats: each once, with its number of passes, which may be vast or a symbol."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, product
from random import Random
from typing import Any

import pytest

from archcalc import Report, dim, draw, load
from archcalc.drawings.fold import Block, Cell, Folding, Item
from archcalc.drawings.picture import Picture, picture
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.graph import Graph, NoNumber, TooManyLayers
from archcalc.symbolic.values import value_at
from tests.helpers import HEAD, graph_of, spec_of
from tests.random_loops import Loops
from tests.test_svg import shows_all

SPECS = 60


def random_specs() -> Iterator[tuple[int, Any]]:
    """Specs of loops in loops, skips, ties and several outputs."""
    for seed in range(SPECS):
        try:
            yield seed, spec_of(Loops(seed).text())
        except SpecError:  # what doesn't need building to be wrong
            continue


def folded(item: Item) -> Iterator[set[int]]:
    """The nodes of what is drawn once for several."""
    if item.count != 1:
        yield set(item.nodes)
    if isinstance(item, Block):
        yield from chain.from_iterable(map(folded, item.children))


def lines_are_right(graph: Graph) -> None:
    """Every volume that is read is a line, unless it goes from pass to pass of a repeat; and there's no other line."""
    shown, folding = picture(graph), Folding(graph, fold=True)
    homes = folding.homes([cell for cell, _ in shown.cells])
    edges, passes = {(edge.tail, edge.head) for edge in shown.edges}, list(folded(shown.root))
    found = set()
    for index, node in enumerate(graph.nodes):
        if len(node.inputs) == 1 and node.layer.changes_nothing(*node.application.input_shapes):
            continue
        head = folding.source(index)
        for tail in map(folding.source, node.inputs):
            line = homes[tail], homes[head]
            at = {shown.cells[number][0].nodes[0] for number in line}
            assert line in edges or line[0] == line[1] or any(at <= inside for inside in passes)
            found.add(line)
    assert edges <= found


def test_random_specs_show_every_layer_and_every_line() -> None:
    """Of passes that are read from elsewhere, of loops in loops, and of passes that differ."""
    drawn = 0
    for _, spec in random_specs():
        try:
            graph = build(spec)
            shown = picture(graph)
        except (SpecError, UsageError):  # too much to draw
            continue
        shows_all(shown, graph)
        shows_all(picture(graph, depth=1), graph)
        if len(graph) < 5000:
            lines_are_right(graph)
            drawn += 1
    assert drawn > SPECS / 3


def outline(shown: Picture) -> list[Any]:
    """What is in a picture, without the numbers of passes and of nodes."""
    cells = [(cell.path, cell.name, len(cell.nodes), cell.count == 1) for cell, _ in shown.cells]
    return [cells, shown.edges, [cell for _, cell, _ in shown.outputs], shown.spine]


def counts(shown: Picture, numbers: dict[str, int]) -> list[Any]:
    """How often everything in a picture occurs, where symbols are these numbers."""
    return [
        [value_at(more, numbers) for _, more in [*cell.inside, (cell, cell.count), (cell, count)]]
        for cell, count in shown.cells
    ]


@pytest.mark.parametrize("depth", [None, 1, 2])
def test_a_vast_number_of_passes_is_drawn_like_a_few(depth: int | None) -> None:
    """So is a symbol, which is every number; what is said of how often layers occur is linear in it."""
    few, many, vast = (picture(load("resnet:cifar").build(n=n), depth=depth) for n in (4, 5, 10**9))
    graph = load("resnet:cifar").build(n=dim("n"))
    symbol = picture(graph, depth=depth)
    assert outline(few) == outline(many) == outline(vast) == outline(symbol)
    assert [counts(few, {}), counts(many, {}), counts(vast, {})] == [counts(symbol, {"n": n}) for n in (4, 5, 10**9)]
    shows_all(vast, load("resnet:cifar").build(n=10**9))


def test_random_specs_of_symbolic_depth_are_drawn_like_those_of_every_number() -> None:
    """Cells, lines, and how often each occurs."""
    compared = 0
    for seed, spec in random_specs():
        names = Random(seed).choice(["n", "m", "nm"])
        try:
            graph = build(spec, hparams={name: dim(name) for name in names})
            shown = picture(graph)
        except (SpecError, UsageError):
            continue
        for numbers in (dict(zip(names, each, strict=True)) for each in product((4, 5), repeat=len(names))):
            if graph.is_open and all(c.holds({s.name: numbers[s.name] for s in c.symbols}) for c in graph.conditions):
                there = picture(build(spec, hparams=numbers))
                assert outline(there)[1:] == outline(shown)[1:]
                assert counts(there, {}) == counts(shown, numbers)
                compared += 1
    assert compared > 4


@pytest.mark.parametrize("path", ["gpt2", "vit_b_16"])
def test_names_of_passes_whose_number_is_a_symbol(path: str) -> None:
    """The first has its name, the last the symbol for its number."""
    text = draw(path, symbolic="layers").to("dot").decode()
    assert "1 … layers × layers" in text
    assert "*1" not in text
    layers = "layers: [conv 4 3x3, {'b{i}': {for: {i: 2..n}, do: [conv 4 1x1, {skip: relu}]}}]\n"
    graph = build(spec_of(f"{HEAD}hparams: {{n: 9}}\n{layers}"), hparams={"n": dim("n")})
    (repeat,) = (child for child in picture(graph).root.children if child.count != 1)
    assert ("b2", "b{n}", dim("n") - 1) == (repeat.name, repeat.last, repeat.count)


def named(graph: Graph) -> list[tuple[str, Any, str]]:
    """What is in a picture, how often, and the last copy's name."""
    return [(item.name, item.count, item.last) for item in picture(graph).root.children]


def test_passes_up_to_one_that_is_read_from_elsewhere_are_drawn_together() -> None:
    """The line starts at that one; without another reader all are one."""
    loop = "layers: [{a: conv 3 1x1}, {'b{i}': {for: {i: 1..1000000}, do: conv 3 1x1 -> bn}}"
    assert [("b1", 10**6, "b1000000")] == named(graph_of(f"{loop}]\n"))[2:]
    split = [("b1", 700, "b700"), ("b701", 300, "b1000"), ("b1001", 10**6 - 1000, "b1000000")]
    graph = graph_of(f"{loop}, add: [from b700, from b1000/conv, from b1000000]]\n")
    assert split == named(graph)[2:5]
    shown = picture(graph)
    cells = [cell.path for cell, _ in shown.cells]
    assert ["b1/conv", "b701/conv", "b1001/conv"] == [cells[edge.tail] for edge in shown.edges if edge.head == 6]


def test_loops_one_after_the_other_are_one_if_their_passes_are_equal() -> None:
    """They count together, and so does a block that is called by hand."""
    head = HEAD + "blocks: {b(): conv 3 1x1 -> relu}\n"
    graph = graph_of("layers: ['(b)*1000000 -> (b)*2000000']\n", head)
    assert [("input", 1, "input"), ("1", 3 * 10**6, "3000000")] == named(graph)
    graph = graph_of("layers: [b -> b -> b -> bn]\n", head)
    assert [("input", 1, "input"), ("b", 3, "b_3"), ("bn", 1, "bn")] == named(graph)
    graph = graph_of("layers: ['b -> bn -> b']\n", head)
    assert [1, 1, 1, 1] == [count for _, count, _ in named(graph)]


def test_what_acts_on_all_passes_is_not_drawn_in_one() -> None:
    """A layer in place after a loop isn't part of its last pass, which is drawn for all; nor are passes of one."""
    graph = graph_of("layers: [conv 3 1x1, (relu)*1000000, (conv 3 1x1)*5, relu]\n")
    found = [(len(item.nodes), item.count) for item in picture(graph).root.children]
    assert [(1, 1), (1, 1), (1, 10**6), (1, 5), (1, 1)] == found


def test_passes_that_read_the_same_are_one() -> None:
    """Passes that don't read one another are a repeat as well, as the spec says."""
    graph = graph_of("layers: [{a: conv 3 1x1}, (from a -> conv 3 1x1)*1000000]\n")
    shown = picture(graph)
    assert [1, 1, 1, 999999] == [cell.count for cell, _ in shown.cells]
    assert {(0, 1), (1, 2), (1, 3)} == {(edge.tail, edge.head) for edge in shown.edges}


def test_without_structure_there_is_nothing_to_fold() -> None:
    """A flat list of nodes is drawn as it is."""
    graph = load("resnet:cifar").build(n=3)
    flat = picture(Graph.of("flat", graph.nodes, graph.outputs, {}))
    assert {1} == {count for _, count in flat.cells}
    assert all(isinstance(item, Cell) for item in flat.root.children)
    assert sum(count for _, count in picture(graph).cells) == len(flat.cells)


def test_what_can_not_be_unfolded() -> None:
    """Passes are drawn one by one if asked, so there must be a number of them, and not too large a one."""
    with pytest.raises(NoNumber, match="resnet:cifar has no list of layers, since their number is a symbol"):
        picture(load("resnet:cifar").build(n=dim("n")), fold=False)
    with pytest.raises(TooManyLayers, match="21,000,000,012 layers"):
        picture(load("resnet:cifar").build(n=10**9), fold=False)


def test_passes_that_change_by_a_law_are_drawn_as_one() -> None:
    """Its sizes are formulas in the number of the pass, those of all passes; what leaves them is the last one's."""
    text = f"""{HEAD}hparams: {{n: 3}}
layers:
  - stem: conv 16 3x3 p=1
  - dense: {{for: {{i: 1..n}}, do: {{concat: [identity, bn -> conv 4 3x3 p=1]}}}}
  - wide: {{for: {{i: 1..n}}, do: conv 2*x.C 3x3 p=1 -> relu}}
  - fc: global_avgpool -> flatten -> fc 10
"""
    graph = build(spec_of(text), hparams={"n": dim("n")})
    shown = picture(graph)
    cells = [cell for cell, _ in shown.cells]
    size = graph.input["H"]
    leaving = [(cells[edge.tail].path, cells[edge.head].path, edge.shape.C) for edge in shown.edges]
    assert ("dense/i' = 1/concat", "wide/i' = 1/conv", 4 * dim("n") + 16) in leaving
    assert ("stem", "dense/i' = 1/b/bn", 16) in leaving
    compared = 0
    for number, cell in product((3, 6), cells):
        there = build(spec_of(text), hparams={"n": number})
        for passed in range(1, number + 1) if "i' = 1" in cell.path else ():
            path = cell.path.replace("i' = 1", str(passed))
            drawn, node = graph.node(cell.nodes[0]), there[path]
            numbers = {"i'": passed, "n": number}
            assert (node.shape.C, size) == (value_at(drawn.shape.C, numbers), drawn.shape["H"])
            found = [value_at(Report(graph).value(drawn.application, "params"), numbers)]
            assert [Report(there).value(node.application, "params")] == found
            compared += 1
    assert 4 * (3 + 6) == compared
    assert "depths_1" in draw("densenet", symbolic="depths").to("dot").decode()
