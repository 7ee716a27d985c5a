"""Published figures: the zoo's claims, and how a claim is judged."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from archcalc.__main__ import main
from archcalc.errors import SpecError
from archcalc.language.expression import Literal
from archcalc.language.grammar import parse_expression
from archcalc.language.model import Spec
from archcalc.language.printed import Printed
from archcalc.language.reader import load_spec
from archcalc.questions import judging
from archcalc.questions.contradictions import claim_findings
from archcalc.questions.judging import verdicts_on
from archcalc.zoo import load, specs_of
from tests import claim_rules
from tests.helpers import HEAD, spec_of

SPECS = {spec.name: spec for spec in specs_of()}


@pytest.mark.parametrize("name", SPECS)
def test_every_published_figure_holds_or_is_a_recorded_erratum(name: str) -> None:
    """No claim of the zoo is wrong."""
    wrong = [v for v in verdicts_on(SPECS[name]) if v.verdict == "wrong"]
    assert [] == [(v.claim.subject, v.claim.expected.text, str(v.computed), v.problem) for v in wrong]


@pytest.mark.parametrize("name", SPECS)
def test_every_spec_says_where_it_comes_from(name: str) -> None:
    """Every zoo spec has a title, a citation and at least one claim."""
    spec = SPECS[name]
    assert spec.title
    assert spec.citation
    assert spec.claims


def test_no_two_specs_share_a_name() -> None:
    """A name, of a spec, a variant or an alias, means one architecture in the whole zoo."""
    names = [name for spec in SPECS.values() for name in spec.names]
    assert sorted(set(names)) == sorted(names)


TINY = "archcalc: 1\nname: tiny\ninput: {C: 3, H: 8, W: 8}\nhparams: {k: 3}\nlayers: [conv 4 k, relu]\n"
"""112 params, 108 weights, 3,888 MACs."""


def tiny(tmp_path: Path, *entries: str, more: str = "") -> Spec:
    """A small spec with claims, each an entry of its own."""
    path = tmp_path / "tiny.yaml"
    lines = "".join(f"  - {{source: somebody, {entry}}}\n" for entry in entries)
    path.write_text(f"{TINY}{more}claims:\n{lines}")
    return load_spec(path)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("params: 112", "holds"),
        ("params: 113", "wrong"),
        ("params: 113, holds: false, note: misprint", "erratum"),
        ("params: 112, holds: false, note: misprint", "wrong"),
        ("macs: 3.8K, holds: false, note: misprint", "wrong"),
        ("params: 0.1K", "holds"),
        ("params: 0.11K", "holds"),
        ("params: 0.12K", "wrong"),
        ("params: 0.10K", "wrong"),
        ("weights: 0.10K", "cut off"),
        ("macs: 3.9K", "holds"),
        ("macs: 3.8K", "cut off"),
        ("macs: 3.88K", "cut off"),
        ("macs: 3.89K", "holds"),
        ("macs: 3K", "cut off"),
        ("macs: 4K", "holds"),
        ("macs: 3888, digits: 3", "E032"),
        ("macs: 3900, digits: 2", "holds"),
        ("macs: 3800, digits: 2", "cut off"),
        ("macs: 3900", "wrong"),
        ("macs: 3.900K, digits: 2", "holds"),
        ("activations: 0.3K", "holds"),
        ("params: 110, tol: 2%", "holds"),
        ("params: 110, tol: 1%", "wrong"),
        ("params: 4*3*9 + 4", "holds"),
        ("weights(conv): 108", "holds"),
        ("params(nothing): 1", "wrong"),
        ("shape(conv): 4x6x6", "holds"),
        ("shape(conv): 4x6", "wrong"),
        ("rf(conv): 3", "holds"),
        ("depth: 1", "holds"),
        ("connections: 4*6*6*28", "holds"),
        ("at: {k: sym}, params: 12*k**2 + 4", "holds"),
        ("at: {k: sym}, params: 0.1K", "wrong"),
        ("activation_bytes: 1.3kB", "holds"),
        ("activation_bytes: 1.31KiB", "holds"),
        ("activation_bytes: 1344B", "holds"),
        ("activation_bytes: 1344", "holds"),
        ("params(relu): 0", "holds"),
    ],
)
def test_how_a_claim_is_judged(tmp_path: Path, claim: str, verdict: str) -> None:
    """Digits decide: plain integers are exact, others round; what is cut off is neither right nor wrong."""
    try:
        assert [verdict] == [v.verdict for v in verdicts_on(tiny(tmp_path, claim))]
    except SpecError as error:
        assert [verdict] == [found.code for found in error.diagnostics]


@pytest.mark.parametrize(
    ("claim", "problem"),
    [
        ("flops: 3.9K", "it is right for 'macs'"),
        ("macs: 7.8K", "it is right for 'flops'"),
        ("params: 0.108K", "it is right for 'weights'"),
        ("activation_bytes: 1.31kB", "it is right in KiB"),
        ("activation_bytes: 1.4kB", ""),
        ("macs: 3.7K", ""),
        ("flops: 3888", ""),
    ],
)
def test_what_a_wrong_figure_is_right_for(tmp_path: Path, claim: str, problem: str) -> None:
    """A rounded figure that is another quantity's, or has another unit, says so."""
    (verdict,) = verdicts_on(tiny(tmp_path, claim))
    assert ("wrong", problem) == (verdict.verdict, verdict.problem)


@pytest.mark.parametrize(
    ("printed", "least", "largest", "last_cut"),
    [
        ("1K", "950", "1499", "1999"),
        ("2K", "1500", "2500", "2999"),
        ("9K", "8500", "9499", "9999"),
        ("10K", "9500", "10500", "10999"),
        ("100M", "99500000", "100500000", "100999999"),
        ("1.0K", "950", "1050", "1099"),
        ("3.8G", "3750000000", "3850000000", "3899999999"),
        ("1Ki", "972.8", "1535", "2047"),
    ],
)
def test_the_range_of_a_figure(printed: str, least: str, largest: str, last_cut: str) -> None:
    """Which values round to a figure: never fewer than their first digit, halfway up or to the even digit."""
    literal = parse_expression(printed)
    assert isinstance(literal, Literal)
    figure = Printed(int(literal.value / literal.step), literal.step)
    values = (Fraction(least), Fraction(largest), Fraction(last_cut), Fraction(last_cut) + 1)
    assert [(True, False), (True, False), (False, True), (False, False)] == [
        (figure.rounds(value), figure.cuts(value)) for value in values
    ]
    assert not figure.rounds(Fraction(least) - Fraction(1, 10**6))


def test_ten_thousand_figures_are_judged_as_decimal_rounds_them() -> None:
    """The rule agrees with Python's decimal arithmetic on random figures and values."""
    assert [] == claim_rules.disagreements(examples=10_000, seed=1)


def test_random_claims_about_random_networks() -> None:
    """Verdicts are those of an independent judge who counts with PyTorch's formulas by hand."""
    assert [] == claim_rules.wrong_verdicts(examples=40, seed=1)


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("tol: ^2, params: 112", "E032"),
        ("tol: ^1000%, params: 112", "E032"),
        ("tol: ^10.1%, params: 112", "E032"),
        ("tol: ^0%, params: 112", "E032"),
        ("tol: 2%, digits: 2, params: 112", "E032"),
        ("tol: 2%, shape(conv): ^4x6x6", "E032"),
        ("digits: ^0, params: 112", "E032"),
        ("digits: 2, params: ^112", "E032"),
        ("digits: 2, params: ^100 + 12", "E032"),
        ("params: ^0M", "E033"),
        ("params: ^0.0K", "E033"),
        ("params: ^-5", "E033"),
        ("params: ^5%", "E033"),
        ("params: ^true", "E033"),
        ("params: ^3x3", "E033"),
        ("params: ^[3, 4]", "E033"),
        ("params: ^5MB", "E034"),
        ("depth: ^5kB", "E034"),
        ("params: ^5k", "E101"),
        ("saved_bytes: ^5M", "E034"),
        ("peak_bytes: ^1.5Mi", "E034"),
        ("^params: {}", "E030"),
        ("params: '^'", "E012"),
        ("params: ^widht", "E090"),
        ("shape(conv): 4x6x^height", "E090"),
        ("^parms: 3", "E031"),
        ("variant: a, ^params: {b: 3}", "E007"),
        ("variant: ^c, params: 112", "E042"),
        ("params: {^c: 112}", "E042"),
        ("at: {kk: ^3}, params: 112", "E043"),
    ],
)
def test_claims_that_cannot_be_read(tmp_path: Path, claim: str, code: str) -> None:
    """What can be seen without building is an error when the file is read; ^ shows its place, else the entry's."""
    column = 24 + claim.index("^") if "^" in claim else 5
    with pytest.raises(SpecError) as caught:
        tiny(tmp_path, claim.replace("^", ""), more="variants: {a: {}, b: {}}\n")
    marks = [(found.code, found.mark and (found.mark.line, found.mark.column)) for found in caught.value.diagnostics]
    assert (code, (8, column)) in marks


@pytest.mark.parametrize(
    ("claims", "code", "hint"),
    [
        (["params(conv1): 112"], "E035", "did you mean 'conv'?"),
        (["shape(relus): 4x6x6"], "E035", "did you mean 'relu'?"),
        (["params(conv): 1, holds: false, note: a", "weights(cv): 1, holds: false, note: no such layer"], "E035", None),
        (["at: {k: 9}, params: 5"], "E036", ""),
        (["at: {k: sym}, params: 5"], "E033", "give the symbols values with 'at'"),
        (["shape(conv): 4x6"], "E033", ""),
        (["shape(conv): 144"], "E033", ""),
        (["rf(conv): 3x3x3, holds: false, note: a"], "E033", ""),
        (["params: 3 - 4"], "E033", ""),
        (["params: 112, holds: false, note: a"], "E037", "leave 'holds: false' out"),
        (["macs: 3.8K, holds: false, note: cut off"], "E037", "leave 'holds: false' out"),
        (["params: 112", "params: 113"], "E038", "a printed figure that is wrong is recorded with holds: false"),
        (["params: 0.1K", "params: 0.3K"], "E038", None),
        (["params: 110, tol: 1%", "params: 0.2K"], "E038", None),
        (["params: 112", "params: 112"], "W405", ""),
    ],
)
def test_check_finds_claims_that_no_figure_could_make_right(
    tmp_path: Path, claims: list[str], code: str, hint: str | None
) -> None:
    """Layers that aren't there, values of `at` that build nothing, errata that hold, contradictions."""
    found = claim_findings(tiny(tmp_path, *claims), ("",))
    assert [code] == [diagnostic.code for diagnostic in found]
    assert hint is None or hint == found[0].hint
    assert found[0].mark is not None
    assert found[0].mark.line == 6 + len(claims)


@pytest.mark.parametrize(
    "claims",
    [
        ["params: 112", "params: 0.1K", "params: 110, tol: 5%"],
        ["params: 112", "params: 113, holds: false, note: misprint"],
        ["params: 112", "at: {k: 1}, params: 16"],
        ["params: 113"],
        ["params: 112", "params(relu): 0", "rf_padding(conv): 0"],
    ],
)
def test_check_has_nothing_to_say_of_sound_claims(tmp_path: Path, claims: list[str]) -> None:
    """Figures that agree, or that only `archcalc claims` can find wrong."""
    assert [] == claim_findings(tiny(tmp_path, *claims), ("",))


@pytest.mark.parametrize("name", SPECS)
def test_no_tolerance_of_the_zoo_replaces_digits(name: str) -> None:
    """A figure of the zoo has a tolerance only if its source says that it's approximate."""
    words = ("about", "roughly", "approximately", "~")
    assert [] == [c.subject for c in SPECS[name].claims if c.tolerance and not any(word in c.source for word in words)]


@pytest.mark.parametrize("name", SPECS)
def test_check_finds_nothing_in_the_claims_of_the_zoo(name: str) -> None:
    """Every claim is about something that is there, no erratum holds, no figure stands twice."""
    spec = SPECS[name]
    assert [] == list(map(str, claim_findings(spec, spec.variants or ("",))))


@pytest.mark.parametrize("form", ["plain", "table", "json", "csv", "markdown", "html"])
def test_tolerances_and_digits_are_shown_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Beside the verdict stands how far the figure may be off, and beside the figure how many digits it means."""
    tiny(tmp_path, "params: 110, tol: 2.5%", "macs: 3800, digits: 2", "at: {k: 1}, params: 16")
    assert 0 == main(["claims", str(tmp_path / "tiny.yaml"), "--format", form])
    out = capsys.readouterr().out
    if form == "json":
        records = json.loads(out)
        assert [("holds", "2.5%", None), ("cut off", "", 2), ("holds", "", None)] == [
            (record["verdict"], record["tolerance"], record["digits"]) for record in records
        ]
        assert [{}, {}, {"k": "1"}] == [record["at"] for record in records]
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [("holds", "2.5%", "", ""), ("cut off", "", "2", ""), ("holds", "", "", "k=1")] == [
            (row["verdict"], row["tolerance"], row["digits"], row["at"]) for row in rows
        ]
    else:
        assert "holds within 2.5%" in out
        assert "3800 (2 digits)" in out.replace("3,800", "3800")
        assert "3 figures: 2 hold, 1 cut off, 0 errata, 0 wrong" in out


@pytest.mark.parametrize("form", ["plain", "markdown", "html", "table"])
def test_tolerances_are_shown_below_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """Where a table has published figures below it, it says how they were judged."""
    tiny(tmp_path, "params: 110, tol: 2%")
    assert 0 == main(["table", str(tmp_path / "tiny.yaml"), "--format", form])
    assert "holds within 2%" in capsys.readouterr().out


def test_why_nothing_can_be_built_is_an_error_not_a_warning(tmp_path: Path) -> None:
    """A spec's warnings don't stand where the reason is asked for."""
    spec = tiny(tmp_path, "at: {k: 9}, params: 5", more="blocks: {b(k): relu}\n")
    assert "W404" in [found.code for found in spec.warnings]
    reason = "conv: kernel 9 is larger than the padded input 8"
    assert [reason] == [verdict.problem for verdict in verdicts_on(spec)]
    assert [f"nothing can be built with this 'at': {reason}"] == [d.message for d in claim_findings(spec, ("",))]


def test_names_that_mean_nothing_do_not_hide_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`claims` judges what it can, and ends with 2 for an unknown name, with 1 for a broken spec."""
    tiny(tmp_path, "params: 112")
    good, broken = str(tmp_path / "tiny.yaml"), tmp_path / "broken.yaml"
    broken.write_text("archcalc: 1\nlayers: rellu\n")
    assert 2 == main(["claims", str(broken), "nosuch", good, "--format", "json"])
    out, err = capsys.readouterr()
    assert [112] == [record["computed"] for record in json.loads(out)]
    assert ("E080" in err, "nosuch" in err) == (True, True)
    assert 1 == main(["claims", str(broken), good])
    capsys.readouterr()
    assert 1 == main(["claims", "--all", "--specs", str(tmp_path), "--format", "json"])
    assert [112] == [record["computed"] for record in json.loads(capsys.readouterr().out)]


def test_a_variant_that_fails_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty claims about what can't be built cost one attempt."""
    built: list[Any] = []
    original = judging.build
    monkeypatch.setattr(judging, "build", lambda *given: built.append(given) or original(*given))
    verdicts = verdicts_on(tiny(tmp_path, *["at: {k: 9}, params: 5"] * 50))
    assert (50, 1) == (sum(v.verdict == "wrong" for v in verdicts), len(built))


def test_a_claim_may_stay_symbolic() -> None:
    """AlphaGo's params are 99k² + 1213k + 361 for every k, as one claim."""
    symbolic = [v for v in verdicts_on(load("alphago_policy").spec) if v.claim.at and "k**2" in v.claim.expected.text]
    assert {"holds"} == {v.verdict for v in symbolic}


def test_fields_may_be_claimed_for_each_axis() -> None:
    """Where both sides are alike, one number and one for each axis say the same; a third axis is none."""
    text = HEAD + "layers: [{a: conv 4 3x3}]\nclaims: [{source: me, rf(a): FIELD}]\n"
    for field, verdict in (("3", "holds"), ("3x3", "holds"), ("3x5", "wrong"), ("3x3x3", "wrong")):
        assert [verdict] == [each.verdict for each in verdicts_on(spec_of(text.replace("FIELD", field)))]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("plain", "no published figures\n"),
        ("markdown", "no published figures\n"),
        ("html", "<body>\n<p>no published figures</p>\n</body>\n</html>\n"),
        ("json", "[]\n"),
    ],
)
def test_no_figures_are_an_answer(form: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`claims --all` of specs without claims says that there are none."""
    (tmp_path / "t.yaml").write_text("archcalc: 1\nname: t\ninput: {C: 3}\nlayers: fc 2\n", encoding="utf-8")
    assert main(["claims", "--all", "--specs", str(tmp_path), "--format", form]) == 0
    printed = capsys.readouterr().out
    assert expected == (printed[-len(expected) :] if form == "html" else printed)


def test_bytes_of_other_dtypes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A claim about bytes says of which values; one about another number of the network isn't changed by it."""
    text = """archcalc: 1
name: lm
input: {T: 8}
layers: [embed 9 4, attention 2 causal=true]
claims:
  - {source: by hand, kv_cache_bytes: 256}
  - {source: by hand, dtype: bfloat16, kv_cache_bytes: 128, params: 116}
  - {source: by hand, dtype: int8, kv_cache_bytes: '<= 64B'}
"""
    (tmp_path / "lm.yaml").write_text(text)
    assert 0 == main(["claims", str(tmp_path / "lm.yaml"), "--format", "plain"])
    out = capsys.readouterr().out
    assert ["kv_cache_bytes, bfloat16", "params, bfloat16", "kv_cache_bytes, int8"] == [
        subject
        for subject in ("kv_cache_bytes, bfloat16", "params, bfloat16", "kv_cache_bytes, int8")
        if subject in out
    ]
    (tmp_path / "lm.yaml").write_text(text.replace("int8", "half"))
    assert 1 == main(["check", str(tmp_path / "lm.yaml")])
    assert "E032 unknown dtype 'half'" in capsys.readouterr().out


def test_a_claim_about_what_a_network_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An encoder has no cache, which is said where the claim stands."""
    text = "archcalc: 1\nname: e\ninput: {T: 8, C: 4}\nlayers: {a: attention 2}\nclaims: [{source: me, kv_cache_bytes: 256}]\n"
    (tmp_path / "e.yaml").write_text(text)
    for command in ("claims", "check"):
        assert 1 == main([command, str(tmp_path / "e.yaml")])
        out, err = capsys.readouterr()
        assert "e doesn't work token by token: 'a' sees later tokens" in out + err
