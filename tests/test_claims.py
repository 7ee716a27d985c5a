"""Published figures: the zoo's claims, and how a claim is judged."""

from pathlib import Path

import pytest

from archcalc.claims import check_claims
from archcalc.spec.reader import load_spec
from archcalc.zoo import declared_names, load

SPECS = {spec.name: spec for spec, _ in declared_names()}


@pytest.mark.parametrize("name", SPECS)
def test_every_published_figure_holds_or_is_a_recorded_erratum(name: str) -> None:
    """No claim of the zoo is wrong."""
    wrong = [v for v in check_claims(SPECS[name]) if v.verdict == "wrong"]
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
    names = [name for _, names in declared_names() for name in names]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("params: 112", "holds"),
        ("params: 113", "wrong"),
        ("params: 113, holds: false, note: misprint", "erratum"),
        ("params: 112, holds: false, note: misprint", "wrong"),
        ("params: 0.1K", "holds"),
        ("params: 0.11K", "holds"),
        ("params: 0.12K", "wrong"),
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
    ],
)
def test_how_a_claim_is_judged(tmp_path: Path, claim: str, verdict: str) -> None:
    """Integers are exact, printed decimals round, `tol` is a share, and an erratum must fail."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "archcalc: 1\nname: tiny\ninput: {C: 3, H: 8, W: 8}\nlayers: [conv 4 3x3, relu]\n"
        f"claims:\n  - {{source: somebody, {claim}}}\n"
    )
    assert [verdict] == [v.verdict for v in check_claims(load_spec(path))]


def test_a_claim_may_stay_symbolic() -> None:
    """AlphaGo's params are 99k² + 1213k + 361 for every k, as one claim."""
    symbolic = [v for v in check_claims(load("alphago_policy").spec) if v.claim.at and "k**2" in v.claim.expected.text]
    assert {"holds"} == {v.verdict for v in symbolic}
