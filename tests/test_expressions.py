"""Expressions: precedence and values against Python's own, exactness, limits."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import archcalc
from archcalc.errors import ExpressionError, LocalError, Mark, SpecError, UsageError
from archcalc.expand import build
from archcalc.language.arithmetic import FUNCTIONS, OPERATIONS, Dims
from archcalc.language.expression import Environment, Literal
from archcalc.language.grammar import parse_chain, parse_expression
from archcalc.language.items import CallUnit
from archcalc.symbolic import dim
from tests.helpers import HEAD, graph_of, spec_of

ENV = Environment({"k": 5, "rows": [1, 2, 3], "half_k": Fraction(5, 2)})


def value(text: str) -> object:
    """The value of an expression."""
    return parse_expression(text).evaluate(ENV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2*3", 7),
        ("-2**2", -4),
        ("2**-1", Fraction(1, 2)),
        ("7/2", Fraction(7, 2)),
        ("8/2", 4),
        ("7//2", 3),
        ("-7//2", -4),
        ("7 % 4", 3),
        ("7%4", 3),
        ("50%", Fraction(1, 2)),
        ("3K", 3000),
        ("2Ki", 2048),
        ("1.5M", 1_500_000),
        ("1e3", 1000),
        ("3x5", Dims((3, 5))),
        ("1..3", range(1, 4)),
        ("1..0", range(0)),
        ("len(1..k)", 5),
        ("sum(1..100)", 5050),
        ("max(1..7)", 7),
        ("min(3, k, 4)", 3),
        ("[1, k, 2*k]", [1, 5, 10]),
        ("reverse(rows)", [3, 2, 1]),
        ("ceil(half_k)", 3),
        ("floor(half_k)", 2),
        ("round(half_k)", 3),
        ("round8(33)", 32),
        ("round_to(11, 4)", 12),
        ("round_to(33, 16)", 32),
        ("round_to(17, 16)", 16),
        ("round_to(7/2, 4)", 4),
        ("round_to(2, 5)", 5),
        ("round8(11)", 16),
        ("sqrt(49/4)", Fraction(7, 2)),
        ("log2(1024)", 10),
        ("abs(-3)", 3),
        ("1 if k > 3 else 2", 1),
        ("not k == 5 or k != 4 and true", True),
        ("1 < 2 and 2 <= 2", True),
    ],
)
def test_values(text: str, expected: object) -> None:
    """Every operator, function and literal has its exact value."""
    assert expected == value(text)


NUMBERS = st.integers(0, 99).map(str)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%", " + ", " - "]), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
        st.tuples(inner, inner, inner).map(lambda t: "({} if {} > 0 else {})".format(*t)),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_arithmetic_is_pythons(text: str) -> None:
    """On integers, precedence, rounding and values are those of Python; only percent signs need care."""
    text = text.replace("%", " % ")
    try:
        expected = eval(text, {"__builtins__": {}})  # digits, operators and brackets only
    except ZeroDivisionError:
        with pytest.raises(LocalError, match="division by zero"):
            value(text)
        return
    assert expected == value(text)


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text makes the parser fail in any way but its own."""
    for parse in (parse_expression, lambda t: parse_chain(t, Mark("t", 1, 1))):
        try:
            parse(text)
        except LocalError as error:
            assert error.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("9**9**9", "a number of more than 256 bits"),
        ("1..10**13", "a range of 10,000,000,000,000 numbers; at most 1,000,000,000,000 are allowed"),
        ("1" * 100, "a number of more than 60 digits"),
        ("1e100", "an exponent of more than 60"),
        ("(" * 50, "nested deeper than 30 levels"),
        ("-" * 50 + "1", "nested deeper than 30 levels"),
        ("+".join("1" * 200), "more than 100 terms"),
        ("sqrt(2)", "sqrt(2) is not a fraction"),
        ("log2(3)", "log2(3) is not an integer"),
        ("max([])", "an empty list has no least or greatest value"),
        ("len(3)", "a list is needed, not '3'"),
        ("open(3)", "unknown function 'open'"),
        ("k +", "a name missing at end of text"),
        ("k k", "expected the end, found 'k'"),
        ("3y", "'3y' is not a number"),
        ("rows + 1", "can't calculate with '[1, 2, 3]'"),
        ("nothing + 1", "unknown name 'nothing'"),
        ("1/0", "division by zero"),
        ("1 if k else 2", "a condition must be true or false, not '5'"),
    ],
)
def test_what_has_no_value_says_why(text: str, told: str) -> None:
    """A limit, a wrong type or a wrong form is an error with its reason."""
    with pytest.raises(LocalError) as error:
        value(text)
    assert told == error.value.message


def test_a_printed_figure_knows_its_precision() -> None:
    """138M rounds to a million, 0.27M to ten thousand; a bare integer is exact."""
    steps = {text: parse_expression(text) for text in ("138M", "0.27M", "138357544")}
    assert all(isinstance(expr, Literal) for expr in steps.values())
    assert [(e.step, e.rounded) for e in steps.values()] == [(10**6, True), (10**4, True), (1, False)]  # type: ignore[attr-defined]


def test_offsets_point_into_the_text() -> None:
    """Every part of a chain knows where it stands."""
    text = "conv 64 3x3 s=2 -> relu if k > 3"
    chain = parse_chain(text, Mark("t", 1, 1))
    first, second = (step.unit for step in chain.steps)
    assert isinstance(first, CallUnit)
    assert isinstance(second, CallUnit)
    assert [text[given.offset :].split()[0] for given in first.arguments] == ["64", "3x3", "s=2"]
    assert text.index("relu") == second.offset
    assert "k > 3" == chain.steps[1].condition_text


@pytest.mark.parametrize("name", ["Λ", "ﬁ", "²", "2a", "é"])
def test_a_name_that_no_expression_can_mention_is_refused(name: str) -> None:
    """Whatever is declared can be referred to: hparams, tables, loop variables and used specs have one rule."""
    for text in (f"hparams: {{'{name}': 4}}", f"tables: {{'{name}': [X]}}", f"use: {{'{name}': {{spec: a.yaml}}}}"):
        with pytest.raises(SpecError, match="E014"):
            spec_of(f"{HEAD}{text}\nlayers: relu\n")
    with pytest.raises(SpecError, match="E014"):
        spec_of(f"{HEAD}layers: {{for: {{'{name}': 1..2}}, do: relu}}\n")


def test_names_may_have_any_letter_after_the_first() -> None:
    """What the grammar reads can be declared."""
    assert 4 == graph_of("hparams: {größe: 4}\nlayers: conv größe 3x3\n").nodes[-1].shape["C"]


def test_what_differs_for_every_symbol_is_decided() -> None:
    """Positive symbols decide some equalities, those of even multiples too, but not what a number may make equal."""
    env = Environment({"b": dim("b"), "c": dim("c")})
    for text in ("2*b == 4*b", "2*b == 6*b + 2", "4*b*c == 2*b*c", "b + 1 == b", "2*b/3 == 0", "-4*b == 2*c"):
        assert False is parse_expression(text).evaluate(env), text
        assert True is parse_expression(text.replace("==", "!=")).evaluate(env), text
    for text in ("6/(2*b + 1) == 2", "max(80, 16*b)/5 == 16", "8/(b + c + 1) == 2", "2*b == c", "4*b == 8"):
        with pytest.raises(ExpressionError, match="depends on a symbolic value"):
            parse_expression(text).evaluate(env)


UNKNOWN = ("(1 < b)", "(b == 3)", "(b < c)", "not (1 < b)", "(1 < b and b < 3)", "(1 < b or b == 3)")
"""Conditions that depend on the symbol b."""


@pytest.mark.parametrize("truth", UNKNOWN)
def test_a_truth_that_is_not_known_is_no_value(truth: str) -> None:
    """Whatever is done with a condition on a symbol, and wherever it stands: an error of the spec, never a fault."""
    used = [f"{truth} {op} {other}" for op in (*OPERATIONS, "==", "!=", "and", "or") for other in ("1", "b", "true")]
    used += [f"{other} {op} {truth}" for op in (*OPERATIONS, "==", "!=") for other in ("1", "b", "(b < 2)")]
    used += [f"{function}({inner})" for function in FUNCTIONS for inner in (truth, f"{truth}, 2", f"[{truth}, b]")]
    used += [f"-{truth}", f"not {truth}", f"{truth} if {truth} else 2", f"[{truth}]", f"[{truth}]*2"]
    head = "archcalc: 1\nname: t\ninput: {C: 3, H: 32, W: 32}\nhparams: {b: sym, c: 5}\n"
    for text in used:
        for layers in (f"conv ({text}) 3", f"conv 8 3 -> relu if {text}", f"conv 8 3 s=first([{text}, 2])"):
            with pytest.raises(SpecError):
                build(spec_of(f'{head}layers: "{layers}"\n'))


def test_a_symbol_is_a_number() -> None:
    """It's no truth, and neither a word nor a block."""
    head = f"{HEAD}hparams: {{b: sym}}\nblocks: {{one(): 'conv 4 1x1'}}\n"
    for text in ("relu if b", "relu if not b", "conv (1 if b else 2) 1x1", "relu if b and true"):
        with pytest.raises(SpecError, match="depends on a symbolic value"):
            build(spec_of(f'{head}layers: ["conv b 1x1", one, "{text}"]\n'))
    for text in ("one == b", "b == one", "b == [1, 2]", "b == relu"):
        graph = build(spec_of(f'{head}layers: ["conv b 1x1", one, "relu if {text}"]\n'))
        assert "relu" not in [node.kind for node in graph.nodes], text


@pytest.mark.parametrize("suffix", ["K", "M", "G", "Ki", "Mi", "Gi"])
def test_small_suffixes_are_mended(suffix: str) -> None:
    """The hint has the whole number as it should be."""
    with pytest.raises(LocalError) as caught:
        parse_expression(f"2*(1.5{suffix.lower()}+1)")
    assert f"did you mean '1.5{suffix}'?" == caught.value.hint


@pytest.mark.parametrize("word", ["True", "False", "None"])
def test_words_of_python_are_mended(word: str) -> None:
    """In a spec, and in what is given from outside."""
    with pytest.raises(SpecError, match=f"did you mean '{word.lower()}'?"):
        spec_of(f"archcalc: 1\nname: t\ninput: {{C: 3, H: 8}}\nlayers: conv 4 3 bias={word}\n")
    for name in ("size", "conv1.bias"):
        with pytest.raises(UsageError, match=f"did you mean '{word.lower()}'?"):
            archcalc.load("alexnet").build(**{name: word})
