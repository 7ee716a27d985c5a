"""Budgets in claims: what a number has to stay within, exactly."""

import json
import operator
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path

import jsonschema
import pytest

from archcalc.__main__ import main
from archcalc.errors import SpecError
from archcalc.language.schema import json_schema
from archcalc.questions.contradictions import claim_findings
from archcalc.questions.judging import verdicts_on
from tests.claim_rules import UNITS
from tests.helpers import HEAD, spec_of
from tests.test_claims import tiny

COUNTS = {"params": 112, "macs": 3888, "activations": 336}
"""Of the network in tests/test_claims.py, worked out by hand: 4*(3*9+1), 4*6*6*27 and 3*8*8 + 4*6*6."""
BYTES = {"activation_bytes": 1344}
RELATIONS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def written(value: Decimal, unit: str) -> str:
    """A number in a unit, every digit of it."""
    factor = UNITS[unit.removesuffix("B").replace("k", "K")]
    with localcontext() as context:
        context.prec = 60
        return f"{value / factor:f}{unit}"


def verdicts(tmp_path: Path, claims: list[str]) -> list[str]:
    """What is said of claims about the small network."""
    return [verdict.verdict for verdict in verdicts_on(tiny(tmp_path, *claims))]


@pytest.mark.parametrize("step", ["1", "0.5", "0.001"])
def test_every_operator_and_unit_at_its_limit(tmp_path: Path, step: str) -> None:
    """A limit a bit below the number, at it and a bit above it, in every unit, is kept as Python's operators say."""
    claims, expected = [], []
    for quantity, value in (COUNTS | BYTES).items():
        units = list(UNITS) if quantity in COUNTS else ["", "B", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB"]
        for limit in (value - Decimal(step), Decimal(value), value + Decimal(step)):
            for unit in units:
                text = written(limit, unit)
                for sign, keeps in RELATIONS.items():
                    claims.append(f"{quantity}: '{sign} {text}'")
                    expected.append(keeps(Decimal(value), limit))
                claims += [f"{quantity}: ..{text}", f"{quantity}: {text}.."]
                expected += [value <= limit, value >= limit]
    assert ["within" if keeps else "outside" for keeps in expected] == verdicts(tmp_path, claims)


def test_every_band_around_a_number(tmp_path: Path) -> None:
    """A band keeps both of its ends; one without an integer in it can't be written."""
    ends = [Decimal(112) + Decimal(tenths) / 10 for tenths in range(-20, 21, 5)]
    bands = [(low, high) for low in ends for high in ends if any(low <= value <= high for value in range(109, 116))]
    claims = [f"params: {low}..{written(high, 'K')}" for low, high in bands]
    expected = ["within" if low <= 112 <= high else "outside" for low, high in bands]
    assert expected == verdicts(tmp_path, claims)
    for low, high in {(low, high) for low in ends for high in ends} - set(bands):
        with pytest.raises(SpecError, match="E039 nothing lies within"):
            tiny(tmp_path, f"params: {low}..{high}")


@pytest.mark.parametrize(
    ("claim", "problem"),
    [
        ("params: <112", "over by 1"),
        ("params: <=100", "over by 12"),
        ("macs: '>= 5K'", "under by 1,112"),
        ("params: 113..114", "under by 1"),
        ("activation_bytes: <= 1kB", "over by 344"),
        ("rf_stride(up): '>= 1'", "under by 1/2"),
        ("rf_stride(up): < 1/2", "over by 0"),
        ("rf(up): 5..6", "under by 2"),
        ("rf_padding(up): '>= -1'", ""),
    ],
)
def test_by_how_much_a_budget_is_exceeded(claim: str, problem: str) -> None:
    """The distance from the nearest number that would be within, to the last digit; fractions stay fractions."""
    more = "upsample 2" if "rf" in claim else "relu"
    text = f"archcalc: 1\nname: t\ninput: {{C: 3, H: 8, W: 8}}\nlayers: [conv 4 3, up: {more}]\n"
    (verdict,) = verdicts_on(spec_of(f"{text}claims: [{{{claim}}}]\n"))
    assert ("outside" if problem else "within", problem) == (verdict.verdict, verdict.problem)


@pytest.mark.parametrize(
    ("figure", "code", "message"),
    [
        ("5M..4M", "E039", "nothing lies within '5M..4M'"),
        ("111.2..111.8", "E039", "nothing lies within"),
        ("..", "E039", "a budget needs a limit"),
        ("<0", "E039", "'params' is never negative: nothing is <0"),
        ("<= -1", "E039", "nothing is <= -1"),
        ("'>= 0'", "E039", ">= 0 says nothing"),
        ("'>-1'", "E039", ">-1 says nothing"),
        ("-3..5", "E039", "-3..5 says nothing"),
        ("=10M", "E039", "'=' doesn't begin a budget"),
        ("≤10M", "E039", "'≤' doesn't begin a budget"),
        ("'=> 3'", "E039", "'=>' doesn't begin a budget"),
        ("~60M", "E039", "'~' doesn't begin a budget"),
        ("<k", "E039", "a budget's limit is a number, which 'k' isn't"),
        ("<true", "E039", "not 'true'"),
        ("<3x3", "E039", "not '3x3'"),
        ("<5%", "E039", "not '5%'"),
        ("< 3 < 4", "E039", "not '3 < 4'"),
        ("<10MB", "E034", "counted, not measured in bytes"),
        ("<", "E012", "a value is missing"),
        ("<10X", "E101", ""),
        (">5M", "E002", "broken YAML"),
        (">= 5M", "E002", "broken YAML"),
        ("[<5]", "E101", ""),
    ],
)
def test_what_is_no_budget(tmp_path: Path, figure: str, code: str, message: str) -> None:
    """What nothing or everything would keep, what isn't a number, and other signs, with a reason."""
    with pytest.raises(SpecError) as caught:
        tiny(tmp_path, f"params: {figure}")
    assert code in [found.code for found in caught.value.diagnostics]
    assert message in str(caught.value)


@pytest.mark.parametrize("figure", ["> 5M", ">= 5M", ">5", ">=5"])
def test_yaml_takes_a_greater_sign_for_its_own(tmp_path: Path, figure: str) -> None:
    """Where YAML reads > as the start of a folded text, the error says what to write."""
    with pytest.raises(SpecError, match=r"quote a text that starts with >|a text that starts with > needs quotes"):
        spec_of(f"{HEAD}layers: relu\nclaims:\n  - source: me\n    params: {figure}\n")


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("tol: 2%, params: <10M", "E032"),
        ("digits: 2, params: <10M", "E032"),
        ("saved_bytes: <2G", "E034"),
        ("shape(conv): <3", "E039"),
        ("shape(conv): 3..4", "E039"),
        ("depth: <5kB", "E034"),
        ("rf: <5", "E031"),
    ],
)
def test_what_does_not_go_with_budgets(tmp_path: Path, claim: str, code: str) -> None:
    """Tolerances, digits, shapes, and units that the quantity hasn't."""
    with pytest.raises(SpecError, match=code):
        tiny(tmp_path, claim)


@pytest.mark.parametrize(
    ("claims", "codes"),
    [
        (["params: <10", "params: '>= 10'"], ["E038"]),
        (["params: <10", "params: '> 8'"], []),
        (["params: <10", "params: '> 9'"], ["E038"]),
        (["params: 1..5", "params: 5..9", "params: 6..9"], ["E038"]),
        (["rf_stride(conv): <1", "rf_stride(conv): '>=1'"], ["E038"]),
        (["rf_stride(conv): <=1", "rf_stride(conv): '>=1'"], []),
        (["params: <10", "params: 112"], []),
        (["params: <10, holds: false, note: a", "params: '>20'"], []),
        (["params: <1K", "params: <1K"], ["W405"]),
        (["params(cnv): <10"], ["E035"]),
        (["at: {k: 9}, params: <10"], ["E036"]),
        (["at: {k: sym}, params: <10"], ["E033"]),
        (["at: {k: sym}, params(relu): <10"], []),
        (["params: <1K, holds: false, note: a"], ["E037"]),
        (["params: <1, holds: false, note: a"], []),
    ],
)
def test_what_check_finds_in_budgets(tmp_path: Path, claims: list[str], codes: list[str]) -> None:
    """Two that no number keeps both, layers that aren't there, symbols, errata that are within; an excess isn't one."""
    assert codes == [found.code for found in claim_findings(tiny(tmp_path, *claims), ("",))]


def test_verdicts_on_budgets_that_were_printed(tmp_path: Path) -> None:
    """One that a source prints may be an erratum; with `at` and by variant it's judged as figures are."""
    claims = ["params: <100, holds: false, note: a", "at: {k: 1}, params: <17", "params: {a: <113, b: <=300}"]
    found = verdicts_on(tiny(tmp_path, *claims, more="variants: {a: {}, b: {k: 5}}\n"))
    assert [("erratum", 112), ("within", 16), ("within", 112), ("outside", 304)] == [
        (each.verdict, each.computed) for each in found
    ]


def test_a_budget_needs_no_source() -> None:
    """Nobody has to have printed it; a figure beside it needs one."""
    text = f"{HEAD}layers: conv 4 3\nclaims: [{{params: <10M, depth: FIGURE}}]\n"
    assert ["", ""] == [claim.source for claim in spec_of(text.replace("FIGURE", "..3")).claims]
    with pytest.raises(SpecError, match="a claim needs a 'source'"):
        spec_of(text.replace("FIGURE", "1"))


@pytest.mark.parametrize(
    ("claim", "valid"),
    [
        ({"params": "<10M"}, True),
        ({"params": {"a": "<10M", "b": "4G..5G"}}, True),
        ({"params": {"a": "<10M", "b": "4G"}}, False),
        ({"params": "10M"}, False),
        ({"params": 10}, False),
        ({"params": "<10M", "depth": 3}, False),
        ({"source": "me", "params": "<10M", "depth": 3, "shape(conv)": [4, 6, 6]}, True),
        ({"source": "me", "params": True}, False),
        ({"source": "me", "parms": "<10M"}, False),
        ({}, False),
    ],
)
def test_the_schema_knows_budgets(claim: dict[str, object], valid: bool) -> None:
    """Editors accept a claim without a source if it has nothing but budgets."""
    schema = json_schema()
    assert valid is jsonschema.Draft202012Validator({**schema["$defs"]["claim"], "$defs": schema["$defs"]}).is_valid(
        claim
    )


@pytest.mark.parametrize("form", ["plain", "table", "markdown", "html", "latex", "csv", "json"])
def test_budgets_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """The limit as it's written, every byte of what is computed, the verdict, and by how much."""
    tiny(tmp_path, "activation_bytes: <= 1kB", "params: 100..200", "params: 112")
    assert 1 == main(["claims", str(tmp_path / "tiny.yaml"), "--format", form])
    out = capsys.readouterr().out
    if form == "json":
        assert [
            ("<= 1kB", 1344, "outside", "over by 344"),
            ("100..200", 112, "within", ""),
            ("112", 112, "holds", ""),
        ] == [(each["published"], each["computed"], each["verdict"], each["problem"]) for each in json.loads(out)]
    elif form == "csv":
        assert ",<= 1kB,,1344,outside,," in out
    else:
        assert re.search(r"1\D{1,5}344( |~|\\,)bytes", out)
        assert "over by 344" in out
        assert "1 figure: 1 hold, 0 errata, 0 wrong; 2 budgets: 1 within, 1 outside" in out


def test_the_table_shows_budgets_of_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the table of layers, as published figures are; the exit code is that of the table."""
    tiny(tmp_path, "params: <100", "params(conv): <100")
    assert 0 == main(["table", str(tmp_path / "tiny.yaml")])
    out = capsys.readouterr().out
    assert ("outside" in out, "over by 13" in out, "params(conv)" in out) == (True, True, False)


def test_the_exit_code_is_1_if_a_budget_is_exceeded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one among many as well."""
    tiny(tmp_path, "params: <113", "macs: <=3888")
    assert 0 == main(["claims", str(tmp_path / "tiny.yaml")])
    tiny(tmp_path, "params: <113", "macs: <3888")
    assert 1 == main(["claims", str(tmp_path / "tiny.yaml")])
    assert "2 budgets: 1 within, 1 outside" in capsys.readouterr().out
