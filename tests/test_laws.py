"""Sizes that change from pass to pass by a law, with a symbolic number of passes: sums in closed form."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
import sympy

from archcalc import Graph, Report, analyze, dim, formula, load
from archcalc.__main__ import main
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.report.folding import Folded
from archcalc.report.listing import Listing
from archcalc.symbolic.arithmetic import counter, is_never_negative
from archcalc.symbolic.sums import NoSum, at, greatest, law, summed, tidy
from archcalc.symbolic.values import value_at
from tests.fuzz_depth import field_formulas, search
from tests.helpers import HEAD, spec_of
from tests.random_laws import Ends, Laws
from tests.test_folding import agrees

EASY = ("params", "biases", "buffers", "macs", "activations", "neurons", "connections", "depth")
MEMORY = ("saved_bytes", "peak_bytes", "least_bytes")
i, n, m, g = counter(0), dim("n"), dim("m"), dim("g")


def numbers_of(report: Report, quantities: tuple[str, ...] = (*EASY, *MEMORY)) -> dict[str, Any]:
    """Some totals."""
    return {quantity: report.totals[quantity] for quantity in quantities}


def put_in(formulas: Mapping[str, Any], **numbers: int) -> dict[str, Any]:
    """Formulas with numbers in place of symbols."""
    return {quantity: value_at(each, numbers) for quantity, each in formulas.items()}


def opened(layers: str, *names: str, head: str = "") -> Graph:
    """A network of some layers, with symbols."""
    names = names or ("n",)
    values = ", ".join(f"{name}: 2" for name in names)
    spec = spec_of(f"{HEAD}hparams: {{{values}}}\n{head}layers: {layers}\n")
    return build(spec, hparams={name: dim(name) for name in names})


# --- sums -------------------------------------------------------------------------------------------------------------


def test_sums_are_what_adding_up_gives() -> None:
    """Of random sums of powers of the number, of powers of numbers and of other symbols; from 1 or further on."""
    random = Random(5)
    for _ in range(60):
        terms = [
            random.randint(-5, 5) * g ** random.randint(0, 2) * i ** random.randint(0, 5)
            * random.choice([1, 2, 3, 6]) ** (i * random.randint(0, 2) + random.randint(0, 2))
            for _ in range(4)
        ]  # fmt: skip
        added, first = sum(terms), random.randint(1, 3)
        found = summed(added, i, first, n - 1)
        for last in range(first, 9):
            expected = sum(value_at(sympy.sympify(added), {"i'": place, "g": 7}) for place in range(first, last))
            assert expected == value_at(found, {"n": last, "g": 7})


@pytest.mark.parametrize("wrong", [1 / i, sympy.floor(g * i / 2), i**i, g**i, sympy.Mod(i, 3), sympy.Max(i, g)])
def test_what_has_no_sum_says_so(wrong: Any) -> None:
    """Nothing is guessed."""
    with pytest.raises(NoSum):
        summed(wrong + i, i, 1, n)


def test_laws_are_read_off_values() -> None:
    """Polynomials and multiples of powers, with numbers or symbols; nothing else."""
    laws = [3 * i + 1, g * i + 64, i**2 - i + 5, 3 * 2**i + g, 5 * 3**i + 1, sympy.Integer(7), g, i**3 + 2]
    for each in laws:
        assert tidy(each) == law([at(each, i, place) for place in range(1, 7)], i)
    for values in ([32, 16, 8, 4, 2, 1], [1, 1, 2, 3, 5, 8], [1, 4, 27, 256], [1, 2, 4], [3, 1, 4, 1, 5, 9]):
        assert law(values, i) is None


def test_the_greatest_is_at_an_end_or_unknown() -> None:
    """What rises is greatest in the last pass, and what falls in the first; else nobody knows."""
    assert (3 * n + 2**n, -g - 1) == (greatest(3 * i + 2**i, i, 1, n), greatest(-g * i - 1, i, 1, n))
    with pytest.raises(NoSum):
        greatest(g * i * (10 - i), i, 1, n)


def test_the_greatest_of_numbers_is_what_trying_all_gives() -> None:
    """Of random polynomials and powers, whose greatest may be in any pass, as long as they don't rise again."""
    random, said = Random(8), 0
    for _ in range(150):
        factors = [random.randint(-9, 9) for _ in range(4)]
        formula = sum(factor * i**power for power, factor in enumerate(factors)) + random.choice((0, 0, 2**i, -(2**i)))
        first, most = random.randint(1, 3), random.choice((None, 6, 9))
        try:
            found = greatest(formula, i, first, n, most)
        except NoSum:
            continue
        said += 1
        for last in range(first, 1 + (most or 14)):
            tried = max(value_at(sympy.sympify(formula), {"i'": place}) for place in range(first, last + 1))
            assert tried == value_at(found, {"n": last}), (formula, first, most)
    assert said > 100


def test_powers_of_numbers_are_integers_and_at_least_one() -> None:
    """SymPy takes 4**n/6 for an integer, and knows no bound of 2**n."""
    assert is_never_negative(2**n * g - 1)
    assert not is_never_negative(2**n - 3)
    assert tidy(2**n * 4 ** (n + 1) - 2 ** (3 * n)) == 3 * 8**n


# --- laws of networks -------------------------------------------------------------------------------------------------


def test_a_dense_block_by_hand() -> None:
    """Of layer l a dense block has C = c + l·k maps to read (Huang et al. 2017): an arithmetic series of parameters."""
    graph = opened(
        "[conv c 1x1 bias=false, (grow)*n]", "n", "k", "c",
        head="blocks:\n  grow(): {concat: [identity, bn -> conv 4*k 1x1 bias=false -> conv k 3x3 p=1 bias=false]}\n",
    )  # fmt: skip
    k, c = dim("k"), dim("c")
    weights = sum((c + layer * k) * (2 + 4 * k) + 36 * k**2 for layer in range(40))
    total = 3 * c + (2 + 4 * k) * (n * c + k * n * (n - 1) / 2) + 36 * k**2 * n
    assert 0 == sympy.expand(total - Report(graph).totals["params"])
    assert 0 == sympy.expand(total.subs({n: 40}) - 3 * c - weights)
    assert c + n * k == graph.node(len(graph.tree.nodes()) - 1).shape.C


def test_densenet_with_every_depth() -> None:
    """Each block of DenseNet with 1 to 60 layers, the others with some."""
    random, formulas = Random(1), numbers_of(Report(load("densenet").build(depths=[dim(f"d{k}") for k in range(4)])))
    for number in range(1, 61):
        depths = [random.choice((1, 2, 3, random.randint(4, 30))) for _ in range(4)]
        depths[number % 4] = number
        quantities = (*EASY, *MEMORY) if number < 8 else EASY
        there = numbers_of(analyze("densenet", hparams={"depths": depths}), quantities)
        found = put_in(formulas, **{f"d{k}": depth for k, depth in enumerate(depths)})
        assert (depths, there) == (depths, {quantity: found[quantity] for quantity in quantities})


@pytest.mark.parametrize(("symbol", "pool"), [("n", True), ("k", True), ("m", False)])
def test_the_pattern_with_every_depth(symbol: str, pool: bool) -> None:
    """Convolutions before each pool, hidden layers, and stages of which each is twice as wide."""
    formulas = numbers_of(Report(load("pattern").build(**{symbol: dim(symbol), "pool": pool})))
    for number in range(1, 61):
        quantities = (*EASY, *MEMORY) if number < 6 else EASY
        there = numbers_of(analyze("pattern", hparams={symbol: number, "pool": pool}), quantities)
        found = put_in(formulas, **{symbol: number})
        assert (number, there) == (number, {quantity: found[quantity] for quantity in quantities})


@pytest.mark.parametrize(
    "layers",
    [
        "{for: {i: 1..n}, do: [conv 16*i 3x3 p=1, bn, relu]}",
        "{for: {i: 1..n}, do: [conv 16+4*i 3x3 p=1 -> relu, conv 16+4*i 3x3 p=1 bias=false]}",
        "(conv 2*x.C 3x3 s=1 p=1 -> relu)*n",
        "{for: {i: 1..n}, do: (conv x.C+i 3x3 p=1)*i}",
        "{for: {i: 1..n}, do: {for: {j: 1..i}, do: conv i*j+1 1x1}}",
        "{for: {i: 0..n}, do: conv 8 3x3 p=1+i d=1+i}",
        "{for: {i: 1..n}, do: conv 12*i 1x1 g=(4 if i > 1 else 1)}",
        "{for: {i: 1..n}, do: (tconv x.C+1 2x2 s=2 -> relu)}",
        "[{for: {i: 1..n}, do: conv 2**i 1x1 bias=false}, conv x.C//2 1x1]",
        "[conv 4*n 1x1, (conv x.C-1 3x3 p=1 -> conv n*n 5x5 p=2)*n]",
    ],
)
def test_passes_of_many_sorts(layers: str) -> None:
    """What formulas say of each number is what the network has that is built one by one."""
    graph = opened(layers)
    formulas = numbers_of(Report(graph))
    assert () == graph.conditions
    for number in range(1, 7):
        spec = spec_of(f"{HEAD}hparams: {{n: {number}}}\nlayers: {layers}\n")
        assert (number, numbers_of(Report(build(spec)))) == (number, put_in(formulas, n=number))


@pytest.mark.parametrize(
    "layers",
    [
        "[conv 8 1x1, {for: {i: 1..n}, do: [conv 8 3x3 p=1, bn if i < n, ln if i >= n]}]",
        "[conv 8 1x1, {for: {i: 0..n-1}, do: conv (8 if i < n-1 else 10) 3x3 p=1}]",
        "{for: {i: 1..n}, do: [conv x.C+i 1x1, bn if i != n, conv 3*n 3x3 if i == n]}",
        "{for: {i: 1..n}, do: (conv x.C 3x3 p=1 -> relu)*(2 if i < n else 3)}",
        "{for: {i: 1..n}, do: {for: {j: 1..i}, do: [conv x.C 1x1, relu if j < i]}}",
        "{'block{i}': {for: {i: 1..n}, do: [bn, {if: i >= n, then: conv 7 1x1, else: conv x.C 3x3 p=1}]}}",
    ],
)
def test_the_last_pass_may_differ(layers: str) -> None:
    """What compares the loop variable with its last value is known in all passes: totals, fields, and rows."""
    graph, counted = opened(layers), Counter[str]()
    formulas, fields = numbers_of(Report(graph)), field_formulas(graph, counted)
    assert () == graph.conditions
    folded = Folded(Listing(Report(graph), ("name", "params", "receptive_field")))
    for number in range(1, 7):
        there = Report(build(spec_of(f"{HEAD}hparams: {{n: {number}}}\nlayers: {layers}\n")))
        assert (number, numbers_of(there)) == (number, put_in(formulas, n=number))
        assert [] == list(fields.wrong(there, {"n": number}, counted))
        if "j" not in layers and "block" not in layers:  # the helper can't read their names
            agrees(folded, Listing(there, folded.listing.columns), {"n": number})


def test_random_specs_with_other_last_passes() -> None:
    """A few of those of `python -m tests.fuzz_depth --ends`."""
    assert search(60, 1, Ends)["open"] > 5


def test_there_are_only_as_many_passes_as_fit() -> None:
    """Sizes that shrink by as much each time say how many there can be."""
    layers = "[(conv x.C+2 5x5)*n, relu]"
    graph = opened(layers)
    formulas = numbers_of(Report(graph))
    assert ["n <= 7"] == [str(condition) for condition in graph.conditions]
    for number in range(1, 8):
        there = Report(build(spec_of(f"{HEAD}hparams: {{n: {number}}}\nlayers: {layers}\n")))
        assert numbers_of(there) == put_in(formulas, n=number)
    with pytest.raises(SpecError):
        build(spec_of(f"{HEAD}hparams: {{n: 8}}\nlayers: {layers}\n"))


@pytest.mark.parametrize(
    ("layers", "number", "needs"),
    [
        ("{for: {i: 1..n}, do: conv m-4 1x1 if i > 1}", 2, "m >= 5"),
        ("(conv 8 1x1 -> conv m-4 1x1)*(n-1)", 1, "m >= 5"),
        ("[conv m 1x1, (conv 8 1x1 g=2)*(n-1)]", 1, "m % 2 == 0"),
    ],
)
def test_what_only_some_numbers_need_is_no_condition(layers: str, number: int, needs: str) -> None:
    """A pass that may not be there can't say of all numbers what it needs itself."""
    message = rf"E106 .*: pass {number} may not be there, and needs {re.escape(needs)}"
    with pytest.raises(SpecError, match=message):
        opened(layers, "n", "m")


def test_what_has_no_closed_form_says_why() -> None:
    """One total may have none though others have."""
    report = Report(opened("(conv x.C+m 5x5)*n", "n", "m"))
    assert n == report.totals["depth"]
    with pytest.raises(UsageError, match=r"no closed form of peak_bytes: .* may be greatest for any i'"):
        _ = report.totals["peak_bytes"]
    with pytest.raises(UsageError, match=r"no closed form of this: .*floor.* can't be summed up over i' = 1, 2"):
        _ = Report(opened("{for: {i: 1..n}, do: conv i*m//2+1 1x1 -> conv 4 1x1}", "n", "m")).totals["params"]
    with pytest.raises(UsageError, match="has other shapes in each pass"):
        report.graph.applications()


def test_such_graphs_are_values() -> None:
    """They can be compared, pickled and shown; another law is another graph."""
    layers = "{? dense : (conv x.C+4 1x1)*n}"
    graph, again, other = opened(layers), opened(layers), opened(layers.replace("4", "5"))
    assert graph == again == pickle.loads(pickle.dumps(graph))
    assert graph != other
    assert numbers_of(Report(graph)) == numbers_of(Report(pickle.loads(pickle.dumps(graph))))
    assert "Graph('t', n + 1 nodes, 3x32x32 (C,H,W) -> dense/*" in repr(graph)
    assert "n layers -> (4*n + 3)x32x32" in repr(Report(graph)["dense"])


def test_passes_that_change_are_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Only layers of the first pass have a name; scopes have no rows."""
    assert 2 == main(["table", "densenet", "--symbolic", "depths", "--depth", "1", "--format", "csv"])
    assert "sizes of densenet121 change from pass to pass" in capsys.readouterr().err
    assert 0 == main(["explain", "densenet", "dense1/1/concat", "--symbolic", "depths"])
    assert "64x56x56 and 32x56x56 -> 96x56x56" in capsys.readouterr().out
    assert 2 == main(["explain", "densenet", "dense1/2/concat", "--symbolic", "depths"])
    assert "no layer 'dense1/2/concat'" in capsys.readouterr().err
    report = Report(load("densenet").build(depths=[dim("a"), 2, 3, 4]))
    assert "dense1/1..a-1/concat" in report.to("csv")
    assert (
        "2*a + 23 x normalisation" == report.uncounted["bn"]
    )  # of the stem, 2 for each layer, 3 transitions, the head


def test_they_are_written_in_every_form() -> None:
    """Powers as people write them, and as a program, which is run."""
    found = formula("pattern", symbolic="m", hparams={"pool": False})
    assert "32·2^m + 234" in found.to("unicode")
    assert r"32 \cdot 2^{m} + 234" in found.to("latex")
    assert "biases = 32*2**m + 234" in found.to("sympy")
    scope: dict[str, Any] = {}
    exec(found.to("python"), scope)
    for number in (1, 2, 5, 40):
        totals = analyze("pattern", hparams={"m": number, "pool": False}).totals
        assert {name: totals[name] for name in found.names} == scope["formulas"](number)


def test_random_specs() -> None:
    """A few of those of `python -m tests.fuzz_depth --laws`."""
    found = search(40, 1, Laws)
    assert found["by a law"] > 5
    assert found["compared"] > 1000
