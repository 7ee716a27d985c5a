"""Work is bounded: one budget for a command, counted where work is done, and never more than a few seconds of it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archcalc import work
from archcalc.__main__ import main
from archcalc.errors import UsageError
from archcalc.expand import build
from archcalc.symbolic import dim, maximum
from archcalc.work import LISTED, STEPS, TooMuchWork, budget, renewed, spend, spent
from archcalc.zoo import load
from tests.helpers import HEAD, spec_of
from tests.test_hostile import MAX_KILOBYTES, MAX_SECONDS, MEASURE, run

ALL_OPEN = "archcalc: 1\nname: t\ninput: {C: sym, H: sym, W: sym}\n"
SLACK = 1.5
"""Seconds more than 2 for what is refused at its budget's end: on a busy machine a process takes up to twice its own."""


def chained(step: str, count: int) -> str:
    """A spec whose channels are what `step` makes of its own last value, {p}, over and over; {n} counts."""
    values = [step.replace("{p}", f"h{n - 1}" if n else "a").replace("{n}", str(n + 2)) for n in range(count)]
    hparams = ", ".join(f"h{n}: '{value}'" for n, value in enumerate(values))
    return f"{HEAD}hparams: {{a: sym, b: sym, c: sym, {hparams}}}\nlayers: conv h{count - 1} 3x3\n"


SLOW = {
    "nested floors": chained("({p}*{n}+1)//{n}", 60),
    "floors of floors": chained("{p}//{n} + {p}", 30),
    "floors of quotients of symbols": chained("({p}+b)//c", 60),
    "nested maxima": chained("max({p}, b+{n}, {n}*c)", 30),
    "maxima of minima": chained("min(max({p}*2, {p}+b*c), c+{n})", 12),
    "remainders": chained("({p}*b+c) % (b*{p}+{n}) + 1", 12),
    "roots": chained("{p} + sqrt(a+{n})*sqrt(b+{n})", 60),
    "fractions of fractions": chained("1/({p}+b/{n})", 60),
    "powers of sums of fractions": chained("((a+b)/(a+c)+(b+c)/(a+b))**-12", 1),
    "products of powers": chained("*".join(f"(a+{n}*b)**-64" for n in range(1, 40)), 1),
    "powers of powers": chained("({p}+1)**b", 5),
    "a power of a symbol to a symbol": chained("({p}+1)**b", 30),
    "an exponent of thirty digits": f"{ALL_OPEN}hparams: {{c: 5, k: c ** (x.C * 10**30)}}\nlayers: conv k 3\n",
    "thirty digits added to an exponent": f"{ALL_OPEN}hparams: {{c: 5, k: c ** (x.C + 10**30)}}\nlayers: conv k 3\n",
    "thirty digits in a floor": f"{ALL_OPEN}hparams: {{c: 5, k: c ** floor(10**30*x.C/7)}}\nlayers: conv k 3\n",
    "a sum to a hidden power": f"{ALL_OPEN}hparams: {{b: sym, k: (x.C+x.H*x.W+1)**(b*64)}}\nlayers: conv k 3\n",
    "a thousand sizes that shrink": f"{ALL_OPEN.replace('C: sym', 'C: 3')}layers: (softmax -> conv 3 3)*1000\n",
    "powers of a thousand floors": f"{HEAD}hparams: {{a: sym}}\n"
    "layers: (ln -> conv (a*x.C) 1 -> maxpool 1 ceil=true s=2 -> bn)*1000 -> avgpool (ceil(a/2)) p=half\n",
    "many maxima": chained("max(" + ",".join(f"a*b*{n}//3+b*{40 - n}-c*{n * n % 7}" for n in range(90)) + ")", 1),
    "maxima as channels": f"{ALL_OPEN}layers: (conv max(x.C,x.H,x.W) 3 s=2 p=1)*20\n",
    "kernels of open sizes": f"{ALL_OPEN}layers: (maxpool x.H//2+1 s=1)*30\n",
    "long sums in loops": f"{HEAD}layers: {{for: {{i: 1..199999}}, do: 'relu if {'+'.join(f'i*{n}' for n in range(99))} == 1'}}\n",
    "long lists in loops": f"{HEAD}hparams: {{a: [{','.join(map(str, range(1500)))}]}}\n"
    "layers: {for: {i: 1..100000}, do: 'relu if len(reverse(a)) + i == 1'}\n",
    "variants times layers": f"{HEAD}hparams: {{n: 1}}\nlayers: (conv 8 1x1)*2000\n"
    f"variants: {{{', '.join(f'v{n}: {{n: {n}}}' for n in range(400))}}}\n",
}


def test_a_table_of_powers_of_powers_is_soon_there(tmp_path: Path) -> None:
    """Values at a few places stay numbers of a size that sizes have."""
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW["powers of powers"], encoding="utf-8")
    began = time.process_time()
    main(["table", str(path), "-q"])
    assert time.process_time() - began < MAX_SECONDS + SLACK


@pytest.mark.parametrize("name", SLOW)
def test_few_bytes_never_take_long(tmp_path: Path, name: str) -> None:
    """What a few bytes could make last for hours ends soon: with an answer or with an error that says what was too much."""
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW[name], encoding="utf-8")
    code, printed, seconds, kilobytes = run(str(path))
    assert code in (0, 1), printed[-2000:]
    assert "bug" not in printed
    assert seconds < MAX_SECONDS + SLACK
    assert kilobytes < MAX_KILOBYTES


def test_an_error_says_what_was_too_much_and_how_to_allow_more(tmp_path: Path) -> None:
    """Exit code 1, and the way out; with it, the command gets further."""
    path = tmp_path / "slow.yaml"
    path.write_text(SLOW["long lists in loops"].replace("100000", "2000"), encoding="utf-8")
    command = [sys.executable, "-m", "archcalc", "check", str(path)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (1, "", True) == (found.returncode, found.stdout, "too much work: calculating values" in found.stderr)
    assert "hint: ARCHCALC_WORK=10x" in found.stderr
    more = subprocess.run(["/usr/bin/env", "ARCHCALC_WORK=10x", *command], capture_output=True, text=True)
    assert (0, "") == (more.returncode, more.stderr)
    path.write_text(SLOW["maxima as channels"], encoding="utf-8")
    where = subprocess.run(command, capture_output=True, text=True)
    assert f"steps (at {path}:4:10)" in where.stderr


def test_a_budget_is_counted_and_renewed() -> None:
    """Work counts within a budget alone; a renewed one leaves the outer one as it was."""
    spend(10 * STEPS, "sheep")
    with budget(times=2):
        spend(STEPS + 1, "sheep")
        with renewed():
            assert spent() == 0
        assert spent() == STEPS + 1
        with pytest.raises(TooMuchWork, match="too much work: sheep"):
            spend(STEPS, "sheep")
    assert spent() == 0


def test_a_factor_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCHCALC_WORK is a whole number, perhaps with an x."""
    for text in ("", "0", "-1", "ten", "1e9", "10xx", "9" * 40):
        monkeypatch.setenv("ARCHCALC_WORK", text)
        with pytest.raises(UsageError, match="ARCHCALC_WORK"), budget():
            pass


def test_sympy_counts_while_a_budget_is_open_and_is_left_as_it_was() -> None:
    """Inside a budget SymPy's own steps count; afterwards its functions are the ones that they were."""
    import sympy
    from sympy.core.exprtools import Factors

    owners = [(sympy.Basic, "__new__"), (sympy.Expr, "_expand_hint"), (sympy.Add, "flatten"), (sympy.Mul, "flatten"),
              (sympy.Pow, "_eval_expand_multinomial"), (sympy.Add, "as_numer_denom"), (Factors, "__init__"), (sys.modules["sympy.core.assumptions"], "_ask")]  # fmt: skip
    before = [vars(owner)[name] for owner, name in owners]
    with budget():
        sympy.expand((dim("a") + dim("b")) ** 9)
        assert spent() > 0
        with pytest.raises(TooMuchWork):
            build(spec_of(SLOW["maxima of minima"]))
    assert before == [vars(owner)[name] for owner, name in owners]


def test_an_extreme_is_the_same_whatever_is_tried_before_it_is_proved() -> None:
    """Samples only spare proofs: what can be ruled out still is, and what can't be stays."""
    a, b = dim("a"), dim("b")
    assert 3 * a + b == maximum(a, 2 * a, 3 * a + b, a + b, 3 * a)
    assert {a * a, 100 * a} == set(maximum(a * a, 100 * a).args)


LOOP = "archcalc: 1\nname: t\ninput: {C: 3, H: 32, W: 32}\nlayers: [{start: relu}, {for: {i: 1..50000}, do: BODY}]\n"
MANY = {
    "equal layers": "conv 16 3x3 p=1 -> bn -> relu",
    "layers that differ": "conv i 3x3 p=1 -> bn -> relu",
    "branches": "{concat: [conv 8 1x1, maxpool 3 s=1 p=1]}",
    "thousands of branches": f"{{add: [{', '.join(['[]'] * 1500)}]}}",
    "references": f"[{', '.join(['from start'] * 900)}]",
    "nothing": f"[{', '.join(['[]'] * 2000)}]",
}
"""150,000 layers, or as much work, in a few lines."""
SHORT = (
    "check", "list", "explain", "formula", "formula LAYER", "claims", "golden", "render", "table --depth 1",
    "receptive-field --layer LAYER", "solve --macs 500000G --symbolic N",
)  # fmt: skip
"""Commands whose answer doesn't list every layer."""


def cost(folder: Path, *arguments: str) -> tuple[int, str, float, int]:
    """Run a command in a process of its own: exit code, what it said on stderr, CPU seconds and peak kilobytes."""
    program = MEASURE.replace('"check", sys.argv[1]', "*sys.argv[1:]").replace("stderr=-2", "stderr=-1")
    program = program.replace("found.stdout", "found.stderr")
    measured = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True, cwd=folder)
    return tuple(json.loads(measured.stdout))  # type: ignore[return-value]


@pytest.mark.parametrize("body", MANY)
def test_building_very_many_layers_is_soon_over(tmp_path: Path, body: str) -> None:
    """Whatever there is too much of, an answer or an error comes soon."""
    (tmp_path / "t.yaml").write_text(LOOP.replace("BODY", MANY[body]), encoding="utf-8")
    code, said, seconds, kilobytes = cost(tmp_path, "check", "t.yaml")
    assert (True, code == 1) == (code in (0, 1), "too much work" in said)
    assert seconds < MAX_SECONDS + SLACK
    assert kilobytes < 300_000


@pytest.mark.parametrize("command", SHORT)
def test_an_answer_that_lists_no_layers_is_soon_there(tmp_path: Path, command: str) -> None:
    """Of 150,000 layers, what isn't a listing comes soon or is refused, with a way out."""
    (tmp_path / "t.yaml").write_text(LOOP.replace("BODY", MANY["equal layers"]), encoding="utf-8")
    name, *rest = command.replace("LAYER", "1/conv").split()
    arguments = {"list": ["--specs", "."], "golden": ["check", "--specs", "."], "render": ["t.yaml", "-o", "t.svg"],
                 "explain": ["t.yaml", "1/conv"], "claims": ["t.yaml"]}  # fmt: skip
    code, said, seconds, kilobytes = cost(tmp_path, name, *arguments.get(name, ["t.yaml", *rest]))
    assert (True, True) == (code in (0, 1), code == 0 or "hint: " in said), said
    assert seconds < MAX_SECONDS + SLACK
    assert kilobytes < 300_000


@pytest.mark.parametrize("command", ["table t.yaml -f csv", "table t.yaml -f json", "receptive-field t.yaml -f json"])
def test_a_listing_may_take_as_long_as_there_are_layers(tmp_path: Path, command: str) -> None:
    """A table of 45,000 layers is printed whole, in 50 µs a layer beyond the budget, and 1 kB."""
    (tmp_path / "t.yaml").write_text(LOOP.replace("BODY", MANY["equal layers"]).replace("50000", "15000"), "utf-8")
    code, said, seconds, kilobytes = cost(tmp_path, *command.split())
    assert (0, "") == (code, said)
    assert seconds < MAX_SECONDS + SLACK + 45_000 * LISTED / 1e6
    assert kilobytes < 300_000 + 45_000


def test_a_listing_that_is_refused_has_not_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that is too much work is refused before its first row."""
    path = tmp_path / "t.yaml"
    path.write_text(LOOP.replace("BODY", MANY["layers that differ"]).replace("50000", "8000"), encoding="utf-8")
    monkeypatch.setattr(work, "LISTED", 0)
    assert main(["table", str(path), "-f", "csv"]) == 1
    out, err = capsys.readouterr()
    assert ("", True) == (out, "too much work" in err)


DRAWN = {
    "20,000 layers in place": f"{HEAD}layers: conv 3 1x1 -> {' -> '.join(['relu'] * 20_000)}\n",
    "150,000 layers in place": f"{HEAD}layers: (relu)*150000\n",
    "150,000 nodes": f"{HEAD}layers: (conv 3 1x1)*150000\n",
    "20,000 nodes": f"{HEAD}layers: (conv 3 1x1)*20000\n",
    "a title of 100,000 letters": f"archcalc: 1\nname: t\ntitle: {'word ' * 20_000}\ninput: {{C: 3, H: 8, W: 8}}\nlayers: relu\n",
    "many outputs": f"{HEAD}layers: conv 3 1x1\noutputs: [{', '.join(['conv'] * 3000)}]\n",
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_too_much_to_draw_is_said_by_archcalc(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A picture, or an error that says of what there is too much: Graphviz never has to refuse it."""
    path = tmp_path / "t.yaml"
    path.write_text(DRAWN[name], encoding="utf-8")
    code = main(["render", str(path), "--no-fold", "-o", str(tmp_path / "t.svg")])
    said = capsys.readouterr().err
    assert "Graphviz" not in said
    assert (code == 0) is (tmp_path / "t.svg").exists()
    assert code == 0 or "too m" in said or "E0" in said


def test_a_node_tells_some_of_very_many_layers_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first dozen, and how many more there are."""
    path = tmp_path / "t.yaml"
    path.write_text(f"{HEAD}layers: conv 3 1x1 -> {' -> '.join(['relu'] * 20)}\n", encoding="utf-8")
    assert main(["render", str(path), "-f", "dot"]) == 0
    assert f"conv 1x1, 3{' + relu' * 11} + 9 more layers" in capsys.readouterr().out


def test_exporting_very_many_layers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What export does itself is counted, before PyTorch has begun: 20,000 different layers took 17 s."""
    pytest.importorskip("torch", reason="export needs PyTorch")
    path = tmp_path / "t.yaml"
    path.write_text(f"{HEAD}layers: {{for: {{i: 1..20000}}, do: conv i 1x1}}\n", encoding="utf-8")
    began = time.process_time()
    assert main(["export", str(path)]) == 1
    assert "too much work: writing so many layers" in capsys.readouterr().err
    assert time.process_time() - began < 2 * MAX_SECONDS + SLACK


def test_exporting_a_deep_network_is_as_much_work_as_a_shallow_one() -> None:
    """Writing and checking ResNets of 6n+2 layers takes as many steps for n = 10^9 as for n = 10^3, give or take 1 %."""
    pytest.importorskip("torch", reason="export needs PyTorch")
    from archcalc.pytorch.source.writer import torch_code

    steps = []
    for n in (1000, 10**9):
        with budget(times=1):
            torch_code(load("resnet:cifar").build(hparams={"n": n}))
            steps.append(spent())
    assert 0.99 * steps[0] < steps[1] < 1.01 * steps[0] < STEPS / 20
