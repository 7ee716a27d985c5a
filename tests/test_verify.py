"""`archcalc verify`: predictions against PyTorch modules that are built and run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archcalc import analyze
from archcalc.errors import UsageError
from archcalc.layers.activation import Activation, ReLU
from archcalc.layers.conv import Conv
from archcalc.pytorch.compare import Check, Difference
from archcalc.pytorch.verification import _as_comparable
from archcalc.pytorch.verification import verify as run_and_compare
from archcalc.symbolic import dim
from tests.helpers import graph_of, regions_of, some_of_the_zoo, verify

torch = pytest.importorskip("torch", reason="verify compares with PyTorch")
pytestmark = pytest.mark.torch


def test_one_line_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    """LeNet-5, executed."""
    code, out, err = verify(capsys, "lenet5", "--device", "cpu", "--batch", 1)
    assert (0, "") == (code, err)
    assert f"lenet5: PyTorch {torch.__version__} on cpu, float32, batch 1" == out.splitlines()[0]
    expected = [
        "check            layers  archcalc  PyTorch  verdict",
        "output shape         17                     equal",
        "params               17    60,000   60,000  equal",
        "buffers              17       840      840  equal",
        "MACs                 17   325,680  325,680  equal",
        "activations          17    10,694   10,694  equal",
        "saved bytes          17   118,096  118,096  equal",
        "least bytes          17    23,520   23,520  equal",
        "peak bytes                 79,840   79,840  equal",
        "receptive field       4                     equal",
        "forward pass                                finite",
        "backward pass                               finite",
        "",
        "1 net, 11 checks: 0 differ",
    ]
    assert expected == out.splitlines()[1:]


def test_several_nets_end_in_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """On the meta device, which executes nothing; with -q only the summary is printed."""
    code, out, _ = verify(capsys, "vgg16", "resnet50", "--device", "meta", "-q")
    expected = [
        "net       device  checks  differences  verdict",
        "vgg16     meta         8            0  equal, not executed",
        "resnet50  meta         8            0  equal, not executed",
        "",
        "2 nets, 16 checks: 0 differ; not executed: vgg16, resnet50",
    ]
    assert (0, expected) == (code, out.splitlines())


@pytest.mark.parametrize("name", some_of_the_zoo())
def test_zoo_agrees_on_the_meta_device(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each spec of the zoo: shapes, params, buffers, MACs, activations, saved, least and peak bytes."""
    more = [f"--set={hparam}={value}" for hparam, value in regions_of(name).items()]
    code, out, _ = verify(capsys, name, "--device", "meta", *more, "--format", "json")
    (net,) = json.loads(out)["nets"]
    assert (0, name) == (code, net["name"])
    assert {"equal"} == {check["verdict"] for check in net["checks"] if check["layers"]}
    assert 8 == sum(1 for check in net["checks"] if check["layers"])


def test_all_leaves_out_what_has_no_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A symbolic net is left out of --all, and named; a value that no spec knows is wrong usage."""
    head = "archcalc: 1\nname: {}\ninput: {{C: 3, W: 8}}\nhparams: {{k: {}}}\nlayers: [conv k 3]\n"
    for name, value in (("a", "2"), ("b", "sym")):
        (tmp_path / f"{name}.yaml").write_text(head.format(name, value), encoding="utf-8")
    code, out, _ = verify(capsys, "--all", "--specs", tmp_path, "-q")
    assert (0, "1 net, 11 checks: 0 differ; left out: b (sizes without a value)") == (code, out.strip())
    code, out, _ = verify(capsys, "--all", "--specs", tmp_path, "--set", "k=3", "-q")
    assert "2 nets, 22 checks: 0 differ" == out.splitlines()[-1]
    assert verify(capsys, "--all", "--specs", tmp_path, "--set", "z=3")[0] == 2


def test_difference_names_the_layer_and_both_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong formula: exit code 1, and every layer that differs below the table."""
    monkeypatch.setattr(Conv, "biases", lambda *_: 0)
    code, out, _ = verify(capsys, "lenet5", "--device", "meta")
    assert code == 1
    assert "params             17    59,858   60,000  differs" in out.splitlines()
    assert "lenet5: C1/conv: params is 156 in PyTorch, 150 in archcalc" in out.splitlines()
    assert "1 net, 8 checks: 1 differ; not executed: lenet5" == out.splitlines()[-1]


def test_wrong_mark_in_place_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Activations compare new memory: views and what could be computed in place make none."""
    monkeypatch.setattr(Activation, "in_place", False)
    code, out, _ = verify(capsys, "lenet5", "--device", "meta")
    assert code == 0  # PyTorch's module really makes a new volume, so both counts are possible
    monkeypatch.setattr("archcalc.layers.reshape.View.in_place", False)
    code, out, _ = verify(capsys, "lenet5", "--device", "meta")
    assert code == 1
    assert "lenet5: F6/flatten: activations is 0 in PyTorch, 240 in archcalc" in out.splitlines()


def test_infinite_values_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A forward pass that overflows is a difference, and no backward pass follows."""
    spec = tmp_path / "t.yaml"
    spec.write_text("archcalc: 1\nname: t\ninput: {C: 2, W: 2}\nlayers: [(lrn k=0 beta=50)*2]\n", encoding="utf-8")
    code, out, _ = verify(capsys, spec, "--device", "cpu")
    assert code == 1
    assert "forward pass is not finite in PyTorch, finite in archcalc" in out
    assert "not executed" in next(line for line in out.splitlines() if line.startswith("backward pass"))


def test_layer_that_pytorch_refuses_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A module that can't run ends in a verdict with PyTorch's reason, not in a traceback."""
    monkeypatch.setattr(Conv, "torch_module", lambda *_: torch.nn.Conv2d(77, 1, 1))
    code, out, err = verify(capsys, "lenet5", "--device", "meta")
    assert (1, "") == (code, err)
    assert "lenet5: C1/conv: execution is" in out


def test_large_nets_go_to_meta(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Too little memory: shapes, counts and bytes only, and the report says what was not executed and why."""
    monkeypatch.setattr("archcalc.pytorch.verification.available_memory", lambda: 1_000_000)
    code, out, _ = verify(capsys, "lenet5", "--device", "cpu")
    assert code == 0
    assert "lenet5: PyTorch" in out
    assert " on meta, " in out
    reason = "forward and backward need about 0.0 GB, there are 0.0 GB"
    assert f"nothing was executed ({reason}): shapes, counts and bytes only" in out.splitlines()
    assert "forward pass                              not executed" in out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name architectures, or give --all"),
        (("lenet5", "--all"), "name architectures, or give --all"),
        (("lenet5", "--dtype", "int8"), "PyTorch's layers don't compute in int8"),
        (("lenet5", "--dtype", "float"), "unknown dtype 'float'"),
        (("--against", "nowhere.json"), "nowhere.json is not a record of measurements"),
        (("--against", "nowhere.json", "--all"), "--against takes everything from the record"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2, and nothing on stdout."""
    code, out, err = verify(capsys, *arguments)
    assert (2, "") == (code, out)
    assert message in err


def test_an_open_batch_is_wrong_usage() -> None:
    """PyTorch needs a number of examples."""
    with pytest.raises(UsageError, match="a number is needed here, not N"):
        run_and_compare(analyze("lenet5", dim("N")), "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("arguments", [("--device", "cuda"), ("--record", "r.json")])
def test_no_cuda_device_is_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """What needs a device says that there is none."""
    code, out, err = verify(capsys, "lenet5", *arguments)
    assert (2, "") == (code, out)
    assert "there is no CUDA device" in err


def test_progress_is_drawn_in_a_terminal_only() -> None:
    """In a pipe nothing but errors goes to stderr."""
    command = [sys.executable, "-m", "archcalc", "verify", "lenet5", "--device", "meta"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "" == done.stderr


def test_what_a_device_has_no_kernel_for_is_not_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing kernel is no difference; the meta device compares what it can."""
    spec = tmp_path / "t.yaml"
    spec.write_text("archcalc: 1\nname: t\ninput: {C: 2, H: 3, W: 3}\nlayers: [conv 4 1 -> lrn]\n", encoding="utf-8")
    code, out, _ = verify(capsys, spec, "--device", "cpu", "--dtype", "bfloat16")
    assert code == 0
    assert "nothing was executed (lrn: " in out
    assert "not implemented for 'BFloat16'): shapes, counts and bytes only" in out


def test_too_little_memory_after_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A device that runs out of memory is no bug: the meta device compares what it can."""

    def run_out(*arguments: Any) -> Any:
        if arguments[1][0].is_meta:
            return run(*arguments)
        raise torch.OutOfMemoryError("out of memory")

    from archcalc.pytorch.measure import run

    monkeypatch.setattr("archcalc.pytorch.verification.run", run_out)
    code, out, _ = verify(capsys, "lenet5", "--device", "cpu")
    assert code == 0
    assert (
        "nothing was executed (the device's memory was too little): shapes, counts and bytes only" in out.splitlines()
    )


def test_kernels_of_a_device_may_keep_other_things(capsys: pytest.CaptureFixture[str]) -> None:
    """On a GPU attention's own bytes are told apart; on the CPU the narrow statistics of narrow dtypes."""
    report = analyze(graph_of("layers: [tokens, a: attention 1, b: fc 2]\n"), 2)
    differences = Difference("a", "saved bytes", "1", "1,009"), Difference("b", "saved bytes", "1", "9")
    check = Check("saved bytes", 3, 2, 18, differences)
    assert differences == _as_comparable(check, report, "cpu").differences
    found = _as_comparable(check, report, "cuda")
    assert differences[1:] == found.differences
    less = Difference("a", "saved bytes", "9", "1")
    assert (less,) == _as_comparable(replace(check, differences=(less,)), report, "cuda").differences
    found = _as_comparable(replace(check, differences=differences[:1]), report, "cuda")
    assert (True, "16 more, which this device's attention and recurrences keep") == (found.compared, found.verdict)
    code, out, _ = verify(capsys, "resnet20", "--dtype", "bfloat16", "--device", "cpu")
    assert (0, True) == (code, "not compared: as on a GPU, not as in bfloat16 here" in out)


def test_wrong_idea_of_what_is_kept_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relu that keeps a copy of its input, not its output, would keep each convolution's output, too."""
    monkeypatch.setattr(ReLU, "from_result", False)
    code, out, _ = verify(capsys, "alexnet_torchvision", "--device", "meta", "--batch", 1)
    assert code == 1
    line = "alexnet_torchvision: pool1: saved bytes is 373,248 in PyTorch, 1,147,648 in archcalc"
    assert line in out.splitlines()
