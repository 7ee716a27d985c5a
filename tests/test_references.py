"""References: `from`, `@path` and `tie` mean what the spec calls so, in merges, blocks and used names."""

from itertools import product

import pytest

from archcalc.errors import SpecError
from archcalc.layers import REGISTRY
from archcalc.shape import AXES
from tests.helpers import graph_of, names_of
from tests.test_errors import refused

HEAD = "archcalc: 1\nname: t\ninput: {C: 3, H: 8, W: 8}\n"


def codes(text: str) -> list[str]:
    """The codes of what is wrong with a spec."""
    return [found.code for found in refused(HEAD + text)]


def source(text: str, reader: str) -> str:
    """The name of the layer that one other layer reads first."""
    graph = graph_of(text)
    return graph.nodes[graph[reader].inputs[0]].name


@pytest.mark.parametrize(
    "layers",
    [
        "  - concat: {left: conv 4 1, right: relu}\n  - concat: {left: conv 5 1, right: from left -> relu}\n",
        "  - x1: conv 3 1\n  - add: {x1: conv 3 1, y: from x1 -> relu}\n",
        "  - add: {x1: conv 3 1, y: from x1 -> relu}\n  - x1: conv 3 1\n",
        "  - concat: {a: relu, b: tanh}\n  - if: 1 == 1\n    then: {concat: {a: tanh, c: relu}}\n",
    ],
)
def test_no_given_name_is_changed_in_silence(layers: str) -> None:
    """A key of a branch is a name that the spec gives: a sibling that has it is an error, and no key gets a number."""
    assert {"E072"} == set(codes(f"layers:\n{layers}"))


def test_merges_with_names_have_their_own_branches() -> None:
    """The same keys may stand below different names, and mean the nearest."""
    text = "layers:\n  - m: {concat: {l: conv 4 1, r: relu}}\n  - n: {concat: {l: conv 4 1, r: from l -> relu}}\n"
    assert "n/l" == source(text, "n/r")


@pytest.mark.parametrize(
    ("layers", "reader", "read"),
    [
        ("  - add: [relu, tanh]\n  - add: [elu, from a -> sigmoid]\n", "b_2", "a_2"),
        ("  - a: relu\n  - add: [elu, from a -> sigmoid]\n", "b", "a"),
        ("  - add: [elu, from a -> sigmoid]\n  - a: relu\n", "b", "a_2"),
        ("  - residual: relu\n  - {residual: tanh, shortcut: from body -> elu}\n", "shortcut", "body_2"),
        ("  - residual: relu\n  - {residual: [tanh, elu], shortcut: from body/elu -> elu}\n", "shortcut", "body_2/elu"),
        ("  - add: [relu, tanh]\n  - add: [[elu, from a/elu -> sigmoid], tanh]\n", "a_2/sigmoid", "a_2/elu"),
        ("  - add: [relu, tanh]\n  - add: [elu, [{add: [relu, from a -> sigmoid]}]]\n", "b_2/b", "b_2/a"),
        (
            "  - add: [relu, tanh]\n  - add: [elu, [{residual: relu, shortcut: from a -> tanh}]]\n",
            "b_2/shortcut",
            "a_2",
        ),
        ("  - add: [relu, tanh]\n  - add: [elu, tanh]\n  - s: from a -> relu\n", "s", "a"),
    ],
)
def test_a_merge_sees_its_own_branches_first(layers: str, reader: str, read: str) -> None:
    """Among automatic names those of a merge's own branches come first, while it is built; given ones before all."""
    assert read == source(f"layers:\n{layers}", reader)


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ('  - "1": conv 4 1\n  - (conv 5 1)*2\n', ["1", "2", "3"]),
        ('  - (conv 5 1)*2\n  - "1": conv 4 1\n', ["2", "3", "1"]),
        ('  - {for: {i: 1..2}, do: relu}\n  - "2": conv 4 1\n', ["1", "3", "2"]),
        ("  - add: [relu, tanh]\n  - add: {a: relu, c: tanh}\n", ["a_2", "b", "add", "a", "c", "add_2"]),
        ("  - relu\n  - {if: 1 == 1, then: [relu: tanh]}\n", ["relu_2", "relu"]),
        ("  - {if: 1 == 1, then: relu, else: [relu: tanh]}\n", ["relu"]),
        ("  - relu\n  - from: input\n    add: {relu: tanh, x: relu}\n", ["relu_2", "relu", "x", "add"]),
    ],
)
def test_automatic_names_leave_every_given_name(layers: str, names: list[str]) -> None:
    """No pass, branch or step takes a name that the spec gives anywhere in the scope."""
    assert names == names_of(graph_of(f"layers:\n{layers}"))


def test_references_against_the_rule() -> None:
    """In all small specs of two merges and a step, a reference means what the documented rule says.

    The model knows names as (given, automatic), lists what has been built in order, and picks: a given `a`; else the
    merge's own first branch; else the automatic `a` of before; else nothing.
    """
    steps = {"none": "", "given": "  - a: relu\n", "other": "  - z: relu\n"}
    merges = {"auto": "[tanh, {}]", "keyed": "{{a: tanh, k{n}: {}}}", "far": "{{y{n}: tanh, k{n}: {}}}"}
    for (step, text), place, first, second in product(steps.items(), (0, 1, 2), merges, merges):
        given = (step == "given") + (first == "keyed") + (second == "keyed")
        parts = [
            f"  - add: {merges[kind].format('from a -> sigmoid' if n == 2 else 'elu', n=n)}\n"
            for n, kind in ((1, first), (2, second))
        ]
        parts.insert(place, text)
        if given > 1:
            assert "E072" in codes("layers:\n" + "".join(parts)), parts
            continue
        assert _expected(step, place, first, second) == _read("layers:\n" + "".join(parts)), parts


def _expected(step: str, place: int, first: str, second: str) -> str:
    """What the second merge's `from a` reads, by the rule: the name, or E071."""
    is_given = "given" == step or "keyed" in (first, second)
    if (step == "given" and place < 2) or "keyed" in (first, second):
        return "a"
    automatic = {"auto": ["a"], "far": []}
    taken = ["a"] if is_given else []
    names = []
    for kind in (first, second):
        for name in automatic[kind]:
            free = next(x for x in (name, f"{name}_2", f"{name}_3") if x not in [*taken, *names])
            names.append(free)
    if second == "auto":
        return names[-1]
    return "a" if names[:1] == ["a"] else "E071"


def _read(text: str) -> str:
    try:
        graph = graph_of(text)
    except SpecError as error:
        return error.diagnostics[0].code
    reader = next(node for node in graph.nodes if node.kind == "sigmoid")
    return graph.nodes[reader.inputs[0]].name


BLOCK = "blocks:\n  b(t): {}\nlayers:\n  - global_avgpool -> flatten\n  - s: fc 3\n  - r: relu\n  - b: b {}\n"


@pytest.mark.parametrize(
    "body",
    [
        "[t: relu, from t -> tanh]",
        "{add: {t: relu, u: from t -> tanh}}",
        "[{for: {i: [1]}, do: [t: relu]}, relu]",
        "[in: relu, from in -> tanh]",
    ],
)
def test_no_step_hides_under_a_formal(body: str) -> None:
    """In a block, nothing is called as the volume that a formal stands for, or that entered: both would be meant."""
    assert ["E093"] == codes(BLOCK.format(body, "@s"))


def test_a_formal_that_is_a_number_hides_no_step() -> None:
    """References mean volumes, so a step may have the name of a formal that stands for a number."""
    assert "b/t" == source(BLOCK.format("[t: fc t, from t -> tanh]", "4"), "b/tanh")


@pytest.mark.parametrize("reference", ["t", "in"])
@pytest.mark.parametrize(("given", "found"), [("s", "s"), ("r", ""), ("input", "")])
def test_a_formal_and_in_may_be_tied(reference: str, given: str, found: str) -> None:
    """`tie=@t` and `tie=@in` share the weights of the layer that made the volume; where it has none, that is told."""
    layers = BLOCK.format(f"fc 3 tie=@{reference}", "@s").replace("b: b @s", f"b: from {given} -> b @{given}")
    layers = layers.replace("  - global_avgpool -> flatten\n", "")
    head = "archcalc: 1\nname: t\ninput: {C: 3}\n"
    if found:
        graph = graph_of(layers, head)
        assert graph.places[found] == graph["b/fc"].tied
    else:
        with pytest.raises(SpecError, match=f"'{reference}', here '{given}', has 0 layers with weights"):
            graph_of(layers, head)


def test_a_tie_to_what_enters_is_not_copied() -> None:
    """A block that shares the weights of what enters it shares others at the next call."""
    head = "archcalc: 1\nname: t\ninput: {C: 3}\n"
    blocks = "blocks:\n  b(): fc 3 tie=@in\n  c(): [b, relu]\n"
    graph = graph_of(blocks + "layers: [s: fc 3, p: c, u: fc 3, q: c]\n", head)
    assert [graph.places["s"], graph.places["u"]] == [graph["p/b/fc"].tied, graph["q/b/fc"].tied]
    with pytest.raises(SpecError, match="E073"):
        graph_of(blocks + "layers: [s: fc 3, p: c, q: c]\n", head)


def test_some_output_must_be_there() -> None:
    """Outputs whose conditions are all false are an error with a place, not a network that gives out nothing."""
    text = "hparams: {n: 1}\nlayers:\n  - t: relu\noutputs: [t if n == 2, t if n == 3]\n"
    assert ["E075"] == codes(text)
    assert ["t"] == [*graph_of(text.replace("n == 3", "n == 1")).outputs]


def test_an_error_in_an_output_is_told_alone() -> None:
    """Outputs that can't be found, or whose condition can't be told, are not absent: their own error says enough."""
    assert ["E071"] == codes("layers:\n  - t: relu\noutputs: [u]\n")
    assert ["E071"] == codes("hparams: {n: 1}\nlayers:\n  - t: relu\noutputs: [u, t if n == 2]\n")


WORDS = {
    word: name
    for kind in REGISTRY.values()
    for name, argument in kind.arguments().items()
    for word in argument.type.words
    if word not in AXES
}
DECLARED = {
    "hparam": "hparams: {{{}: 2}}\nlayers: relu\n",
    "block": "blocks: {{{}(): relu}}\nlayers: relu\n",
    "table": "tables: {{{}: [X, X, X]}}\nlayers: relu\n",
    "used spec": "use: {{{}: {{spec: other.yaml}}}}\nlayers: relu\n",
    "formal": "blocks: {{b({}): relu}}\nlayers: b 1\n",
    "loop variable": "layers: {{for: {{{}: 1..2}}, do: relu}}\n",
}


@pytest.mark.parametrize("what", DECLARED)
def test_no_declared_name_changes_a_word(what: str) -> None:
    """Whatever an argument takes as a word, and every layer kind, can't be declared as something else."""
    assert {"half", "same", "position", "nearest", "bilinear", "none", "tanh"} <= {*WORDS}
    for word in {*WORDS, "relu"}:
        found = [error for error in refused(HEAD + DECLARED[what].format(word)) if error.code == "E093"]
        assert ["E093"] == [error.code for error in found], word
        assert what in found[0].message
        assert ("a layer kind" if word in REGISTRY else f"={word}") in found[0].message


@pytest.mark.parametrize("word", ["sym", "in", "x", "true", "if"])
@pytest.mark.parametrize("what", DECLARED)
def test_no_declared_name_is_one_of_the_languages_own(what: str, word: str) -> None:
    """Words of the expressions themselves can't be declared either; a header with `if` can't even be read."""
    assert {*codes(DECLARED[what].format(word))} & {"E014", "E101"}


@pytest.mark.parametrize(
    "names",
    [
        "tables: {t: [X, X, X]}\nhparams: {t: 1}\n",
        "tables: {t: [X, X, X]}\nblocks: {t(): relu}\n",
        "tables: {t: [X, X, X]}\nuse: {t: {spec: other.yaml}}\n",
    ],
)
def test_no_table_has_the_name_of_something_else(names: str) -> None:
    """Tables share their names with hparams, blocks and used specs, and no two may have one."""
    assert "E093" in codes(f"{names}layers: relu\n")


def test_an_axis_means_the_axis() -> None:
    """Sizes may be called as axes are; where an argument takes an axis, its letter means that all the same."""
    graph = graph_of("blocks: {b(C): {concat: [relu, tanh], axis: C}}\nlayers: b H\n")
    assert 6 == graph["b/concat"].shape.C
    graph = graph_of("blocks: {b(C): concat axis=C}\nlayers: b H\n")
    assert "C" == graph["b/concat"].layer.axis
