"""Operations that specs don't know: what is said of them, and that importing one never refuses and never drops."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import archcalc
from archcalc.__main__ import main
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.language.reader import parse_spec
from archcalc.language.tree import Source
from tests.helpers import verify

WHAT = ("params", "shapes", "weights")
HEAD = "archcalc: 1\nname: t\ninput: {C: 3, H: 8, W: 8}\nlayers:\n"
FFT = f"{HEAD}  - conv 4 3x3 p=1\n  - fft: opaque fft_rfft2 C=4 H=8 W=5 on=4x8x8 learned=[4x3,2] stored=7\n  - conv 2 1x1\n"


def graph_of(text: str) -> Graph:
    """The graph of a spec."""
    return build(parse_spec(Source("t.yaml", text, None)))


def test_sums_say_that_they_are_the_least() -> None:
    """Params are exact, multiply-adds and bytes are more than what is known."""
    report = archcalc.analyze(graph_of(FFT))
    assert (4 * 28 + 14 + 10, 7) == (report.totals["params"], report.totals["buffers"])
    text = report.to("plain")
    assert "at least 7,232 (14,464 FLOPs): 1 layer isn't counted: fft (fft_rfft2)" in text
    assert "training     at least" in text
    assert "inference    at least" in text
    assert [{"name": "fft", "operator": "fft_rfft2", "counted": False}] == json.loads(report.to("json"))["opaque"]


def test_every_answer_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Formulas, comparisons and what is solved, too."""
    path = tmp_path / "t.yaml"
    path.write_text(FFT)
    told = "1 layer isn't counted: fft (fft_rfft2)"
    assert told in archcalc.formula(path, symbolic="C").left_out
    assert told in archcalc.formula(path, symbolic="C").to("unicode")
    assert any(told in note for note in archcalc.compare(path, "lenet5").table().notes)
    assert ["W409"] == [each.code for each in archcalc.solve(path, symbolic="N", macs="1G").warnings]
    assert 0 == main(["sweep", str(path), "--batch", "1..3", "--columns", "macs"])
    assert "W409 what an opaque layer computes isn't known" in capsys.readouterr().err


def test_what_is_known_counts() -> None:
    """Value by value there are no multiply-adds, whatever the size; others have those that the spec says."""
    text = f"{HEAD}  - {{opaque: [identity, conv 3 1x1], operator: atan2, pointwise: true}}\n  - opaque mm C=2 products=9\n"
    report = archcalc.analyze(graph_of(text.replace("H: 8", "H: sym")))
    assert "H" in str(report.graph.nodes[-2].shape)
    assert "at least" not in next(line for line in report.to("plain").split("\n") if line.startswith("MACs"))
    assert 9 + 9 * 64 == archcalc.analyze(graph_of(text)).totals["macs"]


def test_other_sizes_are_refused() -> None:
    """A shape that was found out on one size says nothing of others; a symbol has to be that size."""
    with pytest.raises(SpecError, match="what fft_rfft2 makes is known on 4x8x8 alone, not on 4x9x8"):
        graph_of(FFT.replace("H: 8, W: 8", "H: 9, W: 8"))
    assert ["H == 8"] == list(map(str, graph_of(FFT.replace("H: 8, W: 8", "H: sym, W: 8")).conditions))
    with pytest.raises(SpecError, match="is known on 1 volumes, not on 2"):
        graph_of(f"{HEAD}  - {{opaque: [identity, identity], operator: mine, C: 2, on: 3x8x8}}\n")


@pytest.mark.torch
def test_it_has_its_parameters_and_cant_be_run() -> None:
    """In PyTorch; programs aren't written of it."""
    torch = pytest.importorskip("torch", reason="opaque layers as modules")
    from archcalc.pytorch.source.writer import torch_code

    net = archcalc.to_torch(graph_of(FFT))
    assert [(4, 3), (2,)] == [tuple(each.shape) for name, each in net.named_parameters() if name.startswith("fft")]
    with pytest.raises(NotImplementedError, match="fft_rfft2 is an operation that specs don't know"):
        net(torch.zeros(2, 3, 8, 8))
    with pytest.raises(UsageError, match=r"t can't be written as code: what fft \(fft_rfft2\) computes isn't known"):
        torch_code(graph_of(FFT))


@pytest.mark.torch
@pytest.mark.parametrize(("name", "sizes"), [("Spectrum", "3x16x16"), ("Ranks", "5x8")])
def test_what_no_layer_is_becomes_an_opaque_one(name: str, sizes: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever it stands: the params are the module's, the outputs' shapes, too; values can't be compared."""
    pytest.importorskip("torch", reason="what is imported")
    code, out, err = verify(capsys, f"tests.modules:{name}", "--input", sizes, "--format", "plain")
    assert (0, True) == (code, "W409" in err or "1 warning" in err or not err)
    assert 3 == sum(f"original's {what}" in line and "equal" in line for what in WHAT for line in out.splitlines())
    assert out.count("computes isn't known") == 2
    assert 0 == main(["import", f"tests.modules:{name}", "--input", sizes])
    assert 3 < capsys.readouterr().out.count("opaque")


@pytest.mark.torch
@pytest.mark.parametrize("start", range(0, 30, 10))
def test_random_programs_are_imported(start: int) -> None:
    """A sample of `python -m tests.fuzz_imports`."""
    pytest.importorskip("torch", reason="what is imported")
    from tests.fuzz_imports import problem

    assert {} == {seed: told for seed in range(start, start + 10) if (told := problem(seed))}


@pytest.mark.torch
def test_a_copy_of_what_changes_later_is_one() -> None:
    """Where the copy or its source is changed in place; elsewhere a copy is the same volume."""
    import torch
    from torch import nn

    class Copied(nn.Module):
        def __init__(self, copy: Callable[[torch.Tensor], torch.Tensor], changed: str) -> None:
            super().__init__()
            self.copy, self.changed = copy, changed

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.sigmoid(x)
            y = self.copy(x)
            {"x": x.flatten(1).relu_, "y": y.relu_}.get(self.changed, y.relu)()
            return torch.tanh(x).sum((1, 2, 3)) + y.flatten(1).sum(1)

    copies = {
        "clone": (lambda x: x.clone(), True),
        "reshape": (lambda x: x.transpose(2, 3).reshape(x.shape[0], 3, -1), True),
        "contiguous": (lambda x: x.permute(0, 2, 3, 1).contiguous(), True),
        "cast": (lambda x: x.to(torch.float64), True),
        "no copy": (lambda x: x.flatten(2), False),
        "no cast": (lambda x: x.to(torch.float32), False),
    }
    for name, (copy, is_one) in copies.items():
        for changed in ("x", "y", ""):
            text = archcalc.from_torch(Copied(copy, changed), torch.randn(2, 3, 8, 8)).spec.source.text
            assert (name, changed, is_one and changed != "") == (name, changed, "opaque clone" in text)
