"""References: `from`, `@path` and `tie` mean what the spec calls so, in merges, blocks and used names."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, count
from json import dumps
from random import Random
from typing import Any, TypeAlias

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
        ("  - add: [relu, {a: tanh}, {a_2: elu}]\n", ["a_3", "a", "a_2", "add"]),
        ("  - relu\n  - {if: 1 == 1, then: [relu: tanh]}\n", ["relu_2", "relu"]),
        ("  - {if: 1 == 1, then: relu, else: [relu: tanh]}\n", ["relu"]),
        ("  - relu\n  - from: input\n    add: {relu: tanh, x: relu}\n", ["relu_2", "relu", "x", "add"]),
    ],
)
def test_automatic_names_leave_every_given_name(layers: str, names: list[str]) -> None:
    """No pass, branch or step takes a name that the spec gives anywhere in the scope."""
    assert names == names_of(graph_of(f"layers:\n{layers}"))


class Wrong(Exception):
    """By the rule a spec is refused; `args[0]` is the code."""


Tree: TypeAlias = "str | list[Tree] | dict[str, Any]"


@dataclass
class Home:
    """A scope of the model: who is called what (`None` until it's complete), which names are given, and by whom."""

    path: str
    around: "Home | None"
    given: set[str]
    names: dict[str, int | None] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def take(self, wish: str, given: bool) -> str:
        """A name for something here: the one that is given, or the first that is free."""
        if given and wish in self.names:
            raise Wrong("E072")
        numbers = (f"{wish}_{number}" for number in count(2))
        names = [wish] if given else chain([wish], numbers)
        name = next(name for name in names if given or (name not in self.names and name not in self.given))
        self.names[name] = None
        return name


class Model:
    """docs/language.md's rules for names and references, once more and as plainly as they are told there."""

    def __init__(self, layers: Tree) -> None:
        self.nodes: list[tuple[str, tuple[int, ...]]] = [("input", ())]
        home = Home("", None, given_by(layers), {"input": 0})
        home.given.add("input")
        self.build(layers, home, 0)

    def build(self, tree: Tree, home: Home, at: int, own: str = "") -> int:
        """Build what a tree says; `own`: the name that its one step takes."""
        if isinstance(tree, str):
            *start, kind = tree.removeprefix("from ").split(" -> ")
            at = self.meaning(start[0], home) if start else at
            name = own or home.take(kind, given=False)
            home.names[name] = self.add(home, name, at)
            return len(self.nodes) - 1
        if isinstance(tree, list):
            for part in tree:
                at = self.build(part, home, at)
            return at
        if "add" in tree:
            return self.join(branches_of(tree), home, at)
        if "residual" in tree:
            return self.join([("body", tree["residual"], False), ("shortcut", tree["shortcut"], False)], home, at)
        ((name, inner),) = tree.items()
        return self.under(home.take(name, given=True), inner, home, at)

    def under(self, name: str, tree: Tree, home: Home, at: int) -> int:
        if isinstance(tree, str):
            return self.build(tree, home, at, own=name)
        path = f"{home.path}{name}/"
        home.names[name] = self.build(tree, Home(path, home, given_by(tree)), at)
        return home.names[name]

    def join(self, branches: Iterable[tuple[str, Tree, bool]], home: Home, at: int) -> int:
        inputs = []
        for key, tree, given in branches:
            name = home.take(key, given)
            if not given:
                home.branches[key] = name
            inputs.append(self.under(name, tree, home, at))
        home.branches = {}
        name = home.take("add", given=False)
        home.names[name] = self.add(home, name, *inputs)
        return len(self.nodes) - 1

    def add(self, home: Home, name: str, *inputs: int) -> int:
        self.nodes.append((home.path + name, inputs))
        return len(self.nodes) - 1

    def meaning(self, name: str, home: Home) -> int:
        homes = [home]
        while (outer := homes[-1].around) is not None:
            homes.append(outer)
        given = [place.names.get(name) for place in homes if name in place.given]
        own = [[place.names.get(place.branches.get(name, "")), place.names.get(name)] for place in homes]
        found = [tensor for tensor in [*given, *chain(*own)] if tensor is not None]
        if not found:
            raise Wrong("E071")
        return found[0]


def given_by(tree: Tree) -> set[str]:
    """The names that a tree gives in the scope that it stands in."""
    if isinstance(tree, list):
        return set().union(*map(given_by, tree))
    if isinstance(tree, str) or "residual" in tree:
        return set()
    return {key for key, _, given in branches_of(tree) if given} if "add" in tree else {*tree}


def branches_of(tree: dict[str, Any]) -> list[tuple[str, Tree, bool]]:
    """The branches of a merge: what each is called, what it is, and whether the spec calls it so."""
    if isinstance(tree["add"], dict):
        return [(key, branch, True) for key, branch in tree["add"].items()]
    return [
        (*next(iter(branch.items())), True)
        if isinstance(branch, dict) and not {"add", "residual"} & {*branch}
        else (letter, branch, False)
        for letter, branch in zip("ab", tree["add"], strict=True)
    ]


def random_tree(draw: Random, depth: int) -> Tree:
    """A step, or a few things with names that are likely to meet."""
    if depth == 0 or draw.random() < 0.3:
        start = f"from {draw.choice(['a', 'b', 'body', 'relu', 'add'])} -> " if draw.random() < 0.4 else ""
        return start + draw.choice(["relu", "tanh"])
    parts = [random_tree(draw, depth - 1) for _ in range(2)]
    match draw.randrange(6):
        case 0:
            return {"add": parts}
        case 1:
            return {"add": dict(zip(draw.sample(["a", "b", "c", "body", "relu"], 2), parts, strict=True))}
        case 2:
            return {"residual": parts[0], "shortcut": parts[1]}
        case 3:
            return {draw.choice(["a", "b", "a_2", "body"]): parts[0]}
        case _:
            return parts


def test_references_against_the_rule() -> None:
    """In small random specs, every layer has the name and reads the volumes that the documented rules say."""
    draw = Random(12)
    found = Counter[str]()
    for _ in range(1500):
        first = draw.sample(["relu", {"add": ["relu", "tanh"]}, {"residual": "relu", "shortcut": "tanh"}], 2)
        layers = [*first, *(random_tree(draw, 2) for _ in range(2))]
        text = f"layers: {dumps(layers)}\n"
        try:
            expected = Model(layers).nodes
        except Wrong as wrong:
            assert {wrong.args[0], "E007"} & {*codes(text)}, text
            found[wrong.args[0]] += 1
            continue
        assert expected == [(node.name, node.inputs) for node in graph_of(text, HEAD).nodes], text
        found["built"] += 1
        found["automatic"] += any("_" in name for name, _ in expected) and "from" in text
    assert min(found[what] for what in ("built", "automatic", "E071", "E072")) > 40, found


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


@pytest.mark.parametrize("body", ["[t: fc t, from t -> tanh]", "{concat: {t: fc t}}", "{if: t > 3, then: {t: fc t}}"])
def test_no_step_has_the_name_of_a_formal(body: str) -> None:
    """What a block is given and what is made in it can't have one name, even where only one of them is a volume."""
    assert ["E093"] == codes(BLOCK.format(body, "4"))


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("blocks:\n  b(c, k): conv c 3\nlayers: b 4 1\n", "W402 formal 'k' of 'b' is never used"),
        ("blocks: {b(c): relu, d(c): conv c 1}\nlayers: b 4 -> d 4\n", "W402 formal 'c' of 'b' is never used"),
        ("blocks: {b(): relu}\nlayers: relu\n", "W402 block 'b' is never used"),
        ("tables: {t: [X, X, X]}\nlayers: relu\n", "W402 table 't' is never used"),
        ("use: {u: {spec: other.yaml}}\nlayers: relu\n", "W402 used spec 'u' is never used"),
        ("layers:\n  - s: relu\noutputs: [s, s]\n", "W408 output 's' is listed twice"),
    ],
)
def test_what_is_declared_in_vain(text: str, told: str) -> None:
    """What nothing uses, and an output that stands twice, are warnings."""
    assert [told] == [f"{found.code} {found.message}" for found in graph_of(text, HEAD).warnings]


@pytest.mark.parametrize(
    "text",
    [
        "blocks: {b(t): from t -> relu}\nlayers: [s: relu, b @s]\n",
        "blocks: {b(t): crop like=@t}\nlayers: [s: relu, b @s]\n",
        "blocks:\n  b(c, k=c): conv k 1\nlayers: b 4\n",
        "blocks: {b(u): u, d(): relu}\nlayers: b d\n",
        "blocks: {b(n): {from: in, add: [{'a{n}': relu}, tanh]}}\nlayers: b 1\n",
        "blocks: {b(n): ['a{i}': {for: {i: 1..n}, do: relu}]}\nlayers: b 1\n",
        "blocks: {b(n): relu if n > 1 -> (tanh)*n}\nlayers: b 1\n",
        "hparams: {norm: d}\nblocks: {d(): relu}\nlayers: norm\n",
        "tables: {t: [X, X, X]}\ndefaults: {conv: {connect: t}}\nlayers: conv 1 1\n",
        "hparams: {n: 1}\nlayers: [s: relu]\noutputs: [s if n == 1, s if n == 2]\n",
    ],
)
def test_what_is_used_is_not_told(text: str) -> None:
    """Formals may be read by references, names, conditions and other formals; blocks and tables by their names."""
    assert () == graph_of(text, HEAD).warnings


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("conv q 1", "conv: C takes a number, not '@x'"),
        ("conv q+1 1", "can't calculate with '@x'"),
        ("relu if q", "a condition must be true or false, not '@x'"),
        ("attention 2 kv=q", "attention: kv takes a tensor, not '@x'"),
    ],
)
def test_a_volume_in_place_of_a_value_is_named_as_it_was_given(step: str, said: str) -> None:
    """A block that takes a volume for a number says which one that was."""
    text = f"blocks:\n  b(q): {step}\nlayers:\n  - x: relu\n  - b @x\n"
    found = refused(f"archcalc: 1\nname: t\ninput: {{T: 4, C: 4}}\n{text}")
    assert [said] == [each.message for each in found]
