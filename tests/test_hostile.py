"""Bad input through the command line: never a traceback, never more than 2 seconds of CPU or 500 MB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import HEAD

MAX_SECONDS = 2
MAX_KILOBYTES = 500_000

DOUBLING = "".join(f"  b{i}(): b{i + 1} -> b{i + 1}\n" for i in range(50))
TEXTS = {
    "an alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "200,000 brackets": f"{HEAD}layers: {'[' * 200_000}",
    "200,000 braces": f"{HEAD}layers: {'{a: ' * 200_000}",
    "200,000 dashes": f"{HEAD}layers:\n{'- ' * 200_000}",
    "200,000 parentheses": f"{HEAD}layers: {'(' * 200_000}",
    "200,000 minus signs": f"{HEAD}layers: conv {'-' * 200_000}1 3x3",
    "50,000 additions": f"{HEAD}layers: conv {'+'.join('1' * 50_000)} 3x3",
    "a power tower": f"{HEAD}hparams: {{k: 9**9**9}}\nlayers: conv k 3x3",
    "a number of 200,000 digits": f"{HEAD}layers: conv {'9' * 200_000} 3x3",
    "a loop of 10^13": f"{HEAD}layers: {{for: {{i: 1..10**13}}, do: relu}}",
    "loops of layers that differ": f"{HEAD}layers: {{for: {{i: 1..1000}}, do: {{for: {{j: 1..1000}}, do: conv i+j 1x1}}}}",
    "loops of passes that differ": f"{HEAD}layers: {{for: {{i: 1..400000}}, do: '[] if i == x.C'}}",
    "repeats in repeats in repeats": f"{HEAD}layers: ((((((((relu)*1000)*1000)*1000)*1000)*1000)*1000)*1000)*1000",
    "blocks that double with other arguments": f"{HEAD}blocks:\n"
    + "".join(f"  b{i}(k): b{i + 1} 2*k -> b{i + 1} 2*k+1\n" for i in range(50))
    + "  b50(k): relu\nlayers: b0 1\n",
    "blocks that double around an error": f"{HEAD}blocks:\n{DOUBLING}  b50(): conv 8 99x99\nlayers: b0\n",
    "blocks in a circle": f"{HEAD}blocks:\n  a(): b\n  b(): a\nlayers: a\n",
    "an hparam that is a block in a circle": f"{HEAD}hparams: {{u: a}}\nblocks:\n  a(): u\nlayers: u\n",
    "a spec that uses itself twice": f"{HEAD}use: {{me: {{spec: bad.yaml}}}}\nlayers: [me, me]\n",
    "lists that double": f"{HEAD}hparams: {{{', '.join(f'h{i}: [h{i + 1}, h{i + 1}]' for i in range(40))}, h40: 3}}\n"
    "layers: {for: {i: h0}, do: relu}\n",
    "a tower through a symbol": f"{HEAD}hparams: {{w: sym, k: 9**(w/w*9**9)}}\nlayers: conv k 1x1\n",
    "long names": f"{HEAD}layers:\n  ? {'a' * 900}\n  : (relu)*100000\n",
    "sizes that grow": f"{HEAD}layers: (upsample 10**60)*100\n",
    "40,000 dangling outputs": f"{HEAD}layers:\n  - a: relu\n" + "  - from a -> rellu\n" * 40_000,
    "50,000 branches": f"{HEAD}layers: {{concat: [{', '.join(['rellu'] * 49_000)}]}}\n",
    "10,000 choices": f"{HEAD}layers: conv ({'1 if true else ' * 10_000}1) 1x1\n",
    "40,000 unknown kinds": HEAD + "layers:\n" + "".join(f"  - rellu{i}\n" for i in range(40_000)),
    "20,000 unknown references": HEAD + "layers:\n" + "".join(f"  - from q{i} -> relu\n" for i in range(20_000)),
    "a polynomial of degree 4096": f"{HEAD}hparams: {{a: sym, b: (a+1)**64, c: b**64}}\nlayers: conv c 1x1\n",
    "26 symbols to the 8th": f"{HEAD}hparams: {{{', '.join(f'{c}: sym' for c in 'abcdefghijklmnopqrstuvwyz')}}}\n"
    f"layers: conv ({'+'.join('abcdefghijklmnopqrstuvwyz')})**8 1x1\n",
    "huge sizes": f"{HEAD}layers: conv 10**80 1x1\n",
    "more than a megabyte": f"{HEAD}layers: {'relu -> ' * 125_000}relu",
    "tabs": f"{HEAD}layers:\n\t- relu\n",
    "a Python tag": f"{HEAD}layers: !!python/object/apply:os.system [ls]\n",
    "invalid UTF-8": b"archcalc: 1\nname: \xff\xfe\n",
    "binary junk": bytes(range(256)) * 100,
    "nothing": "",
    "null bytes": b"\0" * 1000,
    "a control character": f"{HEAD}layers: re\x07lu",
    "a lone surrogate escape": f'{HEAD}layers: "\\ud800"',
    "keys that are lists": "? [a]\n: b\n",
    "a list": "- archcalc: 1\n",
    "numbers as names": f"{HEAD}layers: [1: relu, 1: relu]\n",
    "layers of a number": f"{HEAD}layers: 3\n",
}


VAST = {
    "a loop of 10^12": f"{HEAD}layers: {{for: {{i: 1..10**12}}, do: relu}}",
    "loops in loops": f"{HEAD}layers: {{for: {{i: 1..1000}}, do: {{for: {{j: 1..1000}}, do: {{for: {{k: 1..1000}}, do: relu}}}}}}",
    "repeats in repeats": f"{HEAD}layers: (((((relu)*1000)*1000)*1000)*1000)*1000",
    "blocks that double": f"{HEAD}blocks:\n{DOUBLING}  b50(): relu\nlayers: b0\n",
    "loops of nothing": f"{HEAD}layers: {{for: {{i: 1..400000}}, do: {{for: {{j: 1..400000}}, do: []}}}}",
}
"""A few lines that describe far more layers than anybody could list, or loops of nothing."""


MEASURE = """
import json, resource, subprocess, sys
found = subprocess.run([sys.executable, "-m", "archcalc", "check", sys.argv[1]], stdout=-1, stderr=-2)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
text = found.stdout.decode(errors="replace")
print(json.dumps([found.returncode, text, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""A small process between the test and archcalc: on Linux a process's peak counts what the one that forked it held."""


def run(argument: str) -> tuple[int, str, float, int]:
    """Run `archcalc check`: exit code, what it printed, CPU seconds and peak kilobytes."""
    # without cached bytecode every process would compile the package anew
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, argument], capture_output=True, check=True, env=environment
    )
    code, printed, seconds, kilobytes = json.loads(measured.stdout)
    return code, printed, seconds, kilobytes


def assert_refused(argument: str) -> None:
    """The input is refused with exit code 1, a message, and little time and memory.

    Time is the least of up to three runs: beside another test on the same core, a process takes up to twice its own.
    """
    least = float("inf")
    for _ in range(3):
        code, printed, seconds, kilobytes = run(argument)
        assert (1, True) == (code, bool(printed.strip())), printed[:2000]
        assert "Traceback" not in printed
        assert "bug" not in printed
        assert kilobytes < MAX_KILOBYTES
        least = min(least, seconds)
        if least < MAX_SECONDS:
            break
    assert least < MAX_SECONDS


@pytest.mark.parametrize("name", TEXTS)
def test_a_bad_file_is_refused_quickly(tmp_path: Path, name: str) -> None:
    """Whatever stands in a file, the answer is an error, soon."""
    text = TEXTS[name]
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_refused(str(path))


@pytest.mark.parametrize("name", VAST)
def test_vast_networks_are_described_but_not_listed(tmp_path: Path, name: str) -> None:
    """Thousands of millions of layers are checked as fast as a few; what would list them says how many there are."""
    path = tmp_path / "vast.yaml"
    path.write_text(VAST[name], encoding="utf-8")
    code, printed, seconds, kilobytes = run(str(path))
    assert (0, f"{path}: no errors, no warnings") == (code, printed.strip())
    assert seconds < MAX_SECONDS
    assert kilobytes < MAX_KILOBYTES
    table = subprocess.run([sys.executable, "-m", "archcalc", "table", str(path)], capture_output=True, text=True)
    if name == "loops of nothing":
        assert 0 == table.returncode
    else:
        assert (2, "") == (table.returncode, table.stdout)
        assert "layers; at most 500,000 can be looked at one by one" in table.stderr


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a device and a FIFO are refused, and not read; so is a folder of specs that holds one."""
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)
    for argument in (
        str(tmp_path / "none.yaml"),
        "/dev/zero",
        str(fifo),
        "a\0b.yaml".replace("\0", "%00"),
    ):
        assert_refused(argument)
    code, printed, *_ = run(f"{tmp_path}/")
    assert (2, True) == (code, "fifo.yaml': it is not a regular file" in printed)
