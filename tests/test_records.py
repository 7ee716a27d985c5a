"""Measurements of a CUDA device as a file, and predictions against it where there is no such device."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import archcalc
from archcalc import analyze
from archcalc.errors import UsageError
from archcalc.pytorch import records
from archcalc.pytorch.compare import Check, Verification
from archcalc.zoo import load
from tests.helpers import graph_of, verify

torch = pytest.importorskip("torch", reason="verify compares with PyTorch")
pytestmark = pytest.mark.torch

MEASURED = Path(__file__).parent.parent / "golden" / "measured"

FIXTURE: dict[str, Any] = {
    "archcalc": 1,
    "device": "a made-up device for this test",
    "driver": "0",
    "torch": "0",
    "cuda": "0",
    "date": "2000-01-01",
    "nets": [
        {
            "name": "lenet5_modern",
            "batch": 2,
            "dtype": "float32",
            "sets": {},
            "counts": {"params": 61_706, "buffers": 0, "macs": 833_040, "activations": 18_416},
            "bytes": {"weights": 246_824, "input": 8192, "workspace": 7, "rounding": 9},
            "seconds": {"forward": 0.001, "training_step": 0.002},
            "share_of_peak": {"forward": 0.25, "training_step": 0.5},
        }
    ],
}


def record_in(folder: Path, **changes: Any) -> Path:
    """The fixture as a file, with some figures of its net changed."""
    net = {**FIXTURE["nets"][0]}
    for name, value in changes.items():
        net[name] = {**net[name], **value}
    file = folder / "device.json"
    file.write_text(json.dumps({**FIXTURE, "nets": [net]}), encoding="utf-8")
    return file


def test_predictions_hold_against_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts and bytes are compared, times and what isn't modelled are told."""
    report = analyze(load("lenet5_modern").build(), 2)
    FIXTURE["nets"][0]["counts"] = records.counts(report)
    FIXTURE["nets"][0]["bytes"] |= records.predicted_bytes(report)
    code, out, _ = verify(capsys, "--against", record_in(tmp_path))
    assert code == 0
    assert "lenet5_modern: record of a made-up device for this test, float32, batch 2" == out.splitlines()[0]
    assert "forward time" in out
    assert "1.000 ms, 25.0% of peak" in out
    assert "measured, not predicted" in out


def test_a_record_that_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, with both values."""
    code, out, _ = verify(capsys, "--against", record_in(tmp_path, bytes={"weights": 1}, counts={"params": 2}))
    assert code == 1
    assert "lenet5_modern: total: weights bytes is 1 in PyTorch, 246,824 in archcalc" in out.splitlines()
    assert "lenet5_modern: total: params is 2 in PyTorch, 61,706 in archcalc" in out.splitlines()


def test_predicted_bytes() -> None:
    """Weights with buffers and the norms' 64-bit counters, input, what a forward pass leaves, and its peak."""
    report = analyze(graph_of("layers: [conv 4 3 p=1 -> bn -> relu -> flatten -> fc 5]\n"), 2, "float16")
    params = 4 * 27 + 4 + 8 + 4 * 1024 * 5 + 5
    volume = 2 * 2 * 4096
    expected = {
        "weights": 2 * (params + 8) + 8,
        "input": 2 * 2 * 3072,
        "left_by_forward": 2 * volume + 2 * 4 * 4 + 2 * 2 * 5,  # read by bn, made by relu; statistics; the output
        "peak_forward": 2 * volume,
    }
    assert expected == records.predicted_bytes(report)


def test_a_record_reads_as_it_was_written(tmp_path: Path) -> None:
    """One line for each net, and nothing lost."""
    checks = tuple(Check(name, 1, 3, 4) for name in ("params", "buffers", "MACs", "activations"))
    net = Verification("t", "cuda", checks, figures={"bytes": {"weights": 5}, "seconds": {}})
    kept = records.net_record(replace(net, batch=2, hparams={"k": "3"}))
    file = tmp_path / "golden" / "device.json"
    records.write_record(file, {"device": "d", "date": "2000-01-01"}, [kept])
    assert {"device": "d", "nets": {"t": kept}} == records.read_record(file)
    assert {"params": 4, "buffers": 4, "macs": 4, "activations": 4} == kept["counts"]


@pytest.mark.parametrize("layers", ["relu", "conv 1 1x1"])
def test_what_reaches_little_of_a_peak_can_be_read_again(layers: str, tmp_path: Path) -> None:
    """A network that multiplies little or nothing has a share of almost 0, which a record may hold."""
    from archcalc.pytorch.cuda import shares

    seconds, flops = {"forward": 0.25, "training_step": 0.5}, 2 * 3 * 32 * 32 if "conv" in layers else 0
    found = shares(analyze(graph_of(f"layers: [{layers}]\n")), seconds, 2.0**50)
    assert {
        name: pytest.approx(n * flops / 2**48, rel=1e-3) for name, n in (("forward", 1), ("training_step", 1.5))
    } == found
    file = record_in(tmp_path, seconds=seconds, share_of_peak=found)
    assert found == records.read_record(file)["nets"]["lenet5_modern"]["share_of_peak"]


def test_only_an_allocator_that_counts_is_a_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA's own allocator says of every network that it takes no memory."""
    from archcalc.pytorch.cuda import CudaMeter

    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "cudaMallocAsync")
    with pytest.raises(UsageError, match="can't be measured with the allocator cudaMallocAsync"):
        CudaMeter()


def test_the_precision_of_products_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring the peak changes it for a while, and not for good if there is too little memory."""
    from archcalc.pytorch import cuda

    def fails(*_: object) -> float:
        assert "high" == torch.get_float32_matmul_precision()
        raise MemoryError

    monkeypatch.setattr(cuda, "MATRIX", 2)
    monkeypatch.setattr(cuda, "median_seconds", fails)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(MemoryError):
            cuda.matmul_rate.__wrapped__(torch.float32, "cpu")
        assert "medium" == torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 0}, {"batch": True}, {"batch": "2"}, {"dtype": "int8"}, {"dtype": None}, {"sets": "a"}, {"sets": {"a": 1}},
        {"bytes": {"weights": -1}}, {"bytes": {"weights": "1"}}, {"bytes": None}, {"counts": {"params": 1.5}}, {"name": 5},
        {"counts": {"params": True}}, {"counts": [1]}, {"bytes": {"weights": 246_824.0}}, {"extra": 1}, {"sets": {}, "sets ": {}},
        {"name": "own.yaml"}, {"name": "own.yml:small"}, {"name": "../vgg16"}, {"name": "/etc/passwd"}, {"name": "./x"},
        {"seconds": {"forward": None}}, {"seconds": {"forward": float("nan")}}, {"seconds": []}, {"share_of_peak": {}},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_figures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    """A record that was edited or cut short is wrong usage, not a traceback, and never passes."""
    file = tmp_path / "device.json"
    file.write_text(json.dumps({**FIXTURE, "nets": [{**FIXTURE["nets"][0], **change}]}), encoding="utf-8")
    code, out, err = verify(capsys, "--against", file)
    assert (2, "") == (code, out)
    assert "is not a record of measurements" in err


@pytest.mark.parametrize(
    "change",
    [
        {"nets": []},
        {"nets": {}},
        {"archcalc": 2},
        {"nets": [FIXTURE["nets"][0]] * 2},
        {"archcalc": True},
        {"archcalc": 1.0},
        {"extra": 1},
        {"device": 1},
        {"device": None},
        {"nets": [1]},
    ],
    ids=str,
)
def test_records_without_nets_or_of_another_version_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    """A check of nothing must not pass."""
    file = tmp_path / "device.json"
    file.write_text(json.dumps({**FIXTURE, **change}), encoding="utf-8")
    assert verify(capsys, "--against", file)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cpu"), "--record keeps what a CUDA device measures, not --device cpu"),
        (("--device", "cuda"), "can't write"),
    ],
)
def test_what_can_not_be_recorded_is_said_before_measuring(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """The device measures nothing, or the file can't be written."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    code, _, err = verify(capsys, "lenet5", "--record", tmp_path, *arguments)
    assert code == 2
    assert message in err


def test_a_spec_file_is_recorded_under_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record names no files: whoever compares names the file again, or the folder. Given values are kept, too."""
    spec = tmp_path / "own.yaml"
    spec.write_text("archcalc: 1\nname: t\ninput: {C: 2}\nhparams: {k: 3}\nlayers: [fc k]\n", encoding="utf-8")
    report = analyze(load(str(spec)).build(k=5), 2)
    figures = {"bytes": records.predicted_bytes(report)}
    checks = tuple(Check({"macs": "MACs"}.get(name, name), 1, n, n) for name, n in records.counts(report).items())
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("archcalc.pytorch.cuda.machine", lambda: {"device": "made up"})
    monkeypatch.setattr("archcalc.questions.verify._ran", lambda *_: Verification("t", "cuda", checks, figures=figures))
    file = tmp_path / "device.json"
    assert verify(capsys, spec, "--set", "k=5", "--record", file)[0] == 0
    for where in ([str(spec)], ["--specs", str(tmp_path)]):
        code, out, _ = verify(capsys, *where, "--against", file)
        assert (0, "t: record of made up, float32, batch 2") == (code, out.splitlines()[0])
    assert 2 == verify(capsys, "--against", file)[0]


@pytest.mark.parametrize("text", ['{"archcalc": 1, "archcalc": 1}', "[" * 100_000, "", "{", '{"a": NaN}', "\udcff"])
def test_what_is_not_strict_json_is_not_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """No traceback, and nothing of the file in the message but its name."""
    file = tmp_path / "device.json"
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    code, out, err = verify(capsys, "--against", file)
    assert (2, "") == (code, out)
    assert "is not a record of measurements" in err
    (tmp_path / "link.json").symlink_to(file)
    assert "symbolic link" in verify(capsys, "--against", tmp_path / "link.json")[2]
    assert "no such file" in verify(capsys, "--against", tmp_path / "none.json")[2]


def test_a_record_with_any_letter_changed_is_read_or_refused(tmp_path: Path) -> None:
    """Nothing but a refusal comes out of what somebody has cut out or put in, and what is read has its form."""
    file = tmp_path / "device.json"
    text = json.dumps(FIXTURE, indent=1)
    draw = random.Random(1)
    refused = 0
    for _ in range(500):
        start = draw.randrange(len(text))
        put = draw.choice(
            ["", "0", "1.0", "true", "null", "-", '"', "{", "}", "[", "]", ",", ":", "NaN", "1e400", "../", "\x00"]
        )
        file.write_text(text[:start] + put + text[start + draw.choice([0, 1, 1, 2, 5]) :])
        try:
            nets = records.read_record(file)["nets"]
        except UsageError:
            refused += 1
        else:
            assert all(type(value) is int for net in nets.values() for value in net["counts"].values())
            assert not any("/" in name for name in nets)
    assert 250 < refused < 500


def test_time_is_a_median() -> None:
    """The clock runs around each call; the first half of the runs warms up."""
    from archcalc.pytorch.cuda import median_seconds, training_step

    net = archcalc.to_torch("lenet5")
    step = training_step(net, net.example_inputs(2))
    calls = []
    seconds = median_seconds(lambda: calls.append(step()), "cpu", repeats=3)
    assert 6 == len(calls)
    assert 0 < seconds < 10


def test_more_than_predicted_is_told_where_kernels_may_take_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the peak more is no difference, but less is; elsewhere both are."""
    report = analyze(load("lenet5_modern").build(), 2)
    FIXTURE["nets"][0]["counts"] = records.counts(report)
    FIXTURE["nets"][0]["bytes"] |= (right := records.predicted_bytes(report))
    more = record_in(tmp_path, bytes={"peak_forward": right["peak_forward"] + 1000})
    code, out, _ = verify(capsys, "--against", more)
    assert code == 0
    assert "1,000 more, since not every layer is in place, and for what kernels take for a while" in out
    for name, change in (("peak_forward", -1), ("left_by_forward", 1)):
        assert verify(capsys, "--against", record_in(tmp_path, bytes={name: right[name] + change}))[0] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.gpu
def test_cuda_runs_and_agrees_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a device: counts, finite passes, bytes as predicted; and the record holds against the predictions."""
    file = tmp_path / "device.json"
    code, out, _ = verify(capsys, "resnet18", "lenet5_modern", "--device", "cuda", "--record", file)
    assert code == 0, out
    assert verify(capsys, "--against", file)[0] == 0


def test_records_are_compared_without_pytorch(tmp_path: Path) -> None:
    """`--against` neither needs nor imports PyTorch, so that any machine can hold predictions to a record."""
    lines = "import sys, archcalc.__main__ as m; m.main(['verify', '--against', sys.argv[1]]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", lines, str(record_in(tmp_path))], capture_output=True, text=True, check=True
    )
    assert "False" == done.stdout.splitlines()[-1]


@pytest.mark.skipif(not MEASURED.exists(), reason="no device has been measured yet")
def test_predictions_hold_against_every_device(capsys: pytest.CaptureFixture[str]) -> None:
    """What was measured on real devices is what is predicted today."""
    for file in sorted(MEASURED.glob("*.json")):
        code, out, _ = verify(capsys, "--against", file, "-q")
        assert (file.name, 0, out) == (file.name, code, out)
