"""A short run of the fuzzers; the long ones are `python -m tests.fuzz_inputs` with more examples and other seeds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from archcalc.__main__ import main
from tests.helpers import HEAD

ROOT = Path(__file__).parent.parent
HUGE = "9" * 4299

FOUND: dict[str, tuple[str, str]] = {
    "no inputs": ("inputs: {}\nlayers: conv 8 3x3\n", "table FILE"),
    "no inputs to sweep": ("inputs: {}\nlayers: conv 8 3x3\n", "sweep FILE --set N=1..3"),
    "an input explained": (f"{HEAD}layers: conv 8 3x3\n", "explain FILE input"),
    "an input's formulas": (f"{HEAD}layers: conv 8 3x3\n", "formula FILE input"),
    "a kernel as large as the volume": (f"{HEAD}layers: maxpool x.H\n", "formula FILE"),
    "a padding of half an open kernel": (
        f"{HEAD}hparams: {{k: 3}}\nlayers: avgpool k p=half\n",
        "table FILE --symbolic k",
    ),
    "sizes that are names": (f"{HEAD}layers: conv 8 3x3\n", "sweep FILE --set H=[a,b]"),
    "a batch of nothing": (f"{HEAD}layers: conv 8 3x3\n", "sweep FILE --set N=0"),
    "groups that become 0": (f"{HEAD}hparams: {{g: 1}}\nlayers: conv 8 3x3 g=g-1\n", "table FILE"),
    "a drawing of a layer that is not there": (
        f"{HEAD}layers: conv 8 3x3\n",
        "receptive-field FILE --layer no -o x.svg",
    ),
    "a batch of 4,299 digits": (f"{HEAD}layers: conv 8 3x3\n", f"table FILE --batch {HUGE}"),
    "a deeper depth than C counts": (f"{HEAD}layers: conv 8 3x3\n", f"table FILE --depth {HUGE}"),
    "an effective field of 2^63 positions": (
        "input: {C: 1, H: 2**63, W: 8}\nlayers: conv 8 3x3\n",
        "receptive-field FILE --effective",
    ),
    "sizes beyond PyTorch's, exported": ("input: {C: 1, H: 2**63, W: 8}\nlayers: conv 8 3x3\n", "export FILE"),
    "sizes beyond PyTorch's, verified": (
        "input: {C: 2**62, H: 2**40, W: 8}\nlayers: conv 2**62 3x3\n",
        "verify FILE --device meta",
    ),
    "a batch beyond PyTorch's": (f"{HEAD}layers: conv 8 3x3\n", f"verify FILE --device meta --batch {2**63}"),
}
"""What was "a bug in archcalc", or took memory without end."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_is_answered(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exit code that says who is to blame, and a message: never a bug."""
    text, command = FOUND[name]
    if command.split()[0] in ("export", "verify"):
        pytest.importorskip("torch", reason="export and verify need PyTorch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(text if "archcalc" in text else f"archcalc: 1\nname: t\n{text}", encoding="utf-8")
    code = main(command.replace("FILE", "t.yaml").split())
    out, err = capsys.readouterr()
    assert code in (0, 1, 2)
    assert code == 0 or err.strip() or out.strip()
    assert "bug" not in out + err, err


def test_a_sample_of_hostile_inputs() -> None:
    """Sixty inputs of every sort, some of them right: fitting exit codes, no bug, little time and memory."""
    command = [sys.executable, "-m", "tests.fuzz_inputs", "--examples", "60", "--seed", "7"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr
    answered = re.search(r"exit codes {0: (\d+)", found.stdout)
    assert answered
    assert 6 < int(answered[1])
