"""`archcalc verify` and `archcalc.to_torch`: predictions against PyTorch modules that are built and run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import archcalc
from archcalc.__main__ import main
from archcalc.errors import UsageError
from archcalc.layers.activation import Activation, ReLU
from archcalc.layers.conv import Conv
from archcalc.layers.kept import INPUT
from archcalc.report import analyze
from archcalc.verify import records
from archcalc.verify.compare import Check, Difference, Verification
from archcalc.verify.verification import _as_comparable
from archcalc.zoo import load
from tests.helpers import graph_of

torch = pytest.importorskip("torch", reason="verify compares with PyTorch")
pytestmark = pytest.mark.torch

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `archcalc verify`."""
    code = main(["verify", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


# ---------------------------------------------------------------- modules


def test_parameters_are_named_after_the_paths() -> None:
    """`conv1/1/conv` is `conv1.1.conv`; names that a module can't have get an underscore, and stay apart."""
    with torch.device("meta"):
        vgg = archcalc.to_torch("vgg16")
        layers = "layers: [double: conv 4 1, a.b: conv 4 1, a_b: conv 4 1, graph: conv 4 1]\n"
        awkward = archcalc.to_torch(graph_of(layers))
    assert "conv1.1.conv.weight" == next(name for name, _ in vgg.named_parameters())
    names = [name for name, _ in awkward.named_parameters() if name.endswith("weight")]
    assert ["double_.weight", "a_b.weight", "a_b_.weight", "graph_.weight"] == names


def test_to_torch_takes_names_values_and_graphs() -> None:
    """A zoo name with hparams and sizes, or a graph."""
    assert (3, 10) == tuple(archcalc.to_torch("lenet5")(torch.zeros(3, 1, 32, 32)).shape)
    assert sum(p.numel() for p in archcalc.to_torch("alphago_policy", k=8).parameters()) == 99 * 64 + 1213 * 8 + 361
    with pytest.raises(UsageError, match="a graph has its sizes already"):
        archcalc.to_torch(graph_of("layers: [relu]\n"), k=8)


def test_symbols_need_values(capsys: pytest.CaptureFixture[str]) -> None:
    """A symbolic size is wrong usage, and the hint says what to give."""
    with pytest.raises(UsageError, match="faster_rcnn has sizes without a value: R"):
        archcalc.to_torch("faster_rcnn")
    code, out, err = told(capsys, "faster_rcnn")
    assert (2, "") == (code, out)
    assert "hint: give them numbers, as in --set R=300" in err


def test_several_outputs_are_a_dict() -> None:
    """By the names under `outputs`, one tensor perhaps under two names."""
    net = archcalc.to_torch(graph_of("layers: [a: {b: relu}, conv 2 1]\noutputs: [a, a/b, conv]\n"))
    found = net(torch.rand(2, 3, 4, 4))
    assert ["a", "a/b", "conv"] == list(found)
    assert found["a"] is found["a/b"]
    with pytest.raises(TypeError, match="t takes 1 inputs, not 2"):
        net(torch.rand(2, 3, 4, 4), torch.rand(2))


def test_tied_weights_are_one_parameter() -> None:
    """GPT-2's logits hold the embedding's own Parameter."""
    with torch.device("meta"):
        net = archcalc.to_torch("gpt2")
    assert net.logits.fc.weight is net.wte.weight
    assert 124_439_808 == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("pool", ["2", "3 s=2", "3 s=2 p=1", "3 s=2 p=1 ceil=true"])
def test_unpooling_uses_the_switches_of_its_pool(pool: str) -> None:
    """What the pool kept is what recomputing the maxima gives, and the pool's maxima return to their places."""
    up = pool.replace(" ceil=true", "")
    net = archcalc.to_torch(graph_of(f"layers: [a: relu, maxpool {pool}, unpool {up} like=@a]\n"))
    assert {3: 2} == net.pools
    x = torch.rand(2, 3, 32, 32)
    actual = net(x)
    net.pools.clear()
    assert torch.equal(net(x), actual)
    assert torch.equal(actual[actual != 0], x[actual != 0])


@pytest.mark.parametrize(
    "layers",
    [
        "a: relu\n  - maxpool 3 s=2 p=same\n  - unpool 3 s=2 p=same like=@a",
        "a: relu\n  - avgpool 2\n  - unpool 2 like=@a",
    ],
)
def test_unpooling_without_its_pool_finds_the_maxima_itself(layers: str) -> None:
    """A pool with uneven padding of its own, or none: the maxima are looked for in `like`."""
    net = archcalc.to_torch(graph_of(f"layers:\n  - {layers}\n"))
    assert {} == net.pools
    assert (2, 3, 32, 32) == tuple(net(torch.rand(2, 3, 32, 32)).shape)


def test_failures_name_the_layer() -> None:
    """A wrong input makes PyTorch's own error, with a note of the layer and the shapes."""
    net = archcalc.to_torch(graph_of("layers: [stem: {conv: conv 4 3}]\n"))
    with pytest.raises(RuntimeError) as caught:
        net(torch.rand(2, 5, 8, 8))
    assert ["while running stem/conv (conv 4 3) on (2, 5, 8, 8)"] == caught.value.__notes__


def test_without_pytorch_there_is_a_hint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No PyTorch is wrong usage, not a traceback."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    code, _, err = told(capsys, "lenet5")
    assert (2, "error: PyTorch is not installed\n    hint: pip install 'archcalc[torch]'\n") == (code, err)


# ---------------------------------------------------------------- the command


def test_one_line_for_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    """LeNet-5, executed."""
    code, out, err = told(capsys, "lenet5", "--device", "cpu", "--batch", 1)
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
        "alive bytes          17    23,520   23,520  equal",
        "receptive field       4                     equal",
        "forward pass                                finite",
        "backward pass                               finite",
        "",
        "1 net, 10 checks: 0 differ",
    ]
    assert expected == out.splitlines()[1:]


def test_several_nets_end_in_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """On the meta device, which executes nothing; with -q only the summary is printed."""
    code, out, _ = told(capsys, "vgg16", "resnet50", "--device", "meta", "-q")
    expected = [
        "net       device  checks  differences  verdict",
        "vgg16     meta         7            0  equal, not executed",
        "resnet50  meta         7            0  equal, not executed",
        "",
        "2 nets, 14 checks: 0 differ; not executed: vgg16, resnet50",
    ]
    assert (0, expected) == (code, out.splitlines())


def test_whole_zoo_agrees_on_the_meta_device(capsys: pytest.CaptureFixture[str]) -> None:
    """Every variant of every spec: shapes, params, buffers, MACs, activations, saved and alive bytes of each layer."""
    code, out, _ = told(capsys, "--all", "--device", "meta", "--set", "R=300", "--format", "json")
    nets = json.loads(out)["nets"]
    assert 0 == code
    assert {"equal"} == {c["verdict"] for net in nets for c in net["checks"] if c["layers"]}
    assert {7} == {sum(1 for c in net["checks"] if c["layers"]) for net in nets}
    assert "faster_rcnn" in {net["name"] for net in nets}


def test_all_leaves_out_what_has_no_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A symbolic net is left out of --all, and named; a value that no spec knows is wrong usage."""
    head = "archcalc: 1\nname: {}\ninput: {{C: 3, W: 8}}\nhparams: {{k: {}}}\nlayers: [conv k 3]\n"
    for name, value in (("a", "2"), ("b", "sym")):
        (tmp_path / f"{name}.yaml").write_text(head.format(name, value), encoding="utf-8")
    code, out, _ = told(capsys, "--all", "--specs", tmp_path, "-q")
    assert (0, "1 net, 10 checks: 0 differ; left out: b (sizes without a value)") == (code, out.strip())
    code, out, _ = told(capsys, "--all", "--specs", tmp_path, "--set", "k=3", "-q")
    assert "2 nets, 20 checks: 0 differ" == out.splitlines()[-1]
    assert told(capsys, "--all", "--specs", tmp_path, "--set", "z=3")[0] == 2


def test_difference_names_the_layer_and_both_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong formula: exit code 1, and every layer that differs below the table."""
    monkeypatch.setattr(Conv, "biases", lambda *_: 0)
    code, out, _ = told(capsys, "lenet5", "--device", "meta")
    assert code == 1
    assert "params             17    59,858   60,000  differs" in out.splitlines()
    assert "lenet5: C1/conv: params is 156 in PyTorch, 150 in archcalc" in out.splitlines()
    assert "1 net, 7 checks: 1 differ; not executed: lenet5" == out.splitlines()[-1]


def test_wrong_mark_in_place_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Activations compare new memory: views and what could be computed in place make none."""
    monkeypatch.setattr(Activation, "in_place", False)
    code, out, _ = told(capsys, "lenet5", "--device", "meta")
    assert code == 0  # PyTorch's module really makes a new volume, so both counts are possible
    monkeypatch.setattr("archcalc.layers.reshape.View.in_place", False)
    code, out, _ = told(capsys, "lenet5", "--device", "meta")
    assert code == 1
    assert "lenet5: F6/flatten: activations is 0 in PyTorch, 240 in archcalc" in out.splitlines()


def test_infinite_values_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A forward pass that overflows is a difference, and no backward pass follows."""
    spec = tmp_path / "t.yaml"
    spec.write_text("archcalc: 1\nname: t\ninput: {C: 2, W: 2}\nlayers: [(lrn k=0 beta=50)*2]\n", encoding="utf-8")
    code, out, _ = told(capsys, spec, "--device", "cpu")
    assert code == 1
    assert "forward pass is not finite in PyTorch, finite in archcalc" in out
    assert "not executed" in next(line for line in out.splitlines() if line.startswith("backward pass"))


def test_layer_that_pytorch_refuses_is_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A module that can't run ends in a verdict with PyTorch's reason, not in a traceback."""
    monkeypatch.setattr(Conv, "torch_module", lambda *_: torch.nn.Conv2d(77, 1, 1))
    code, out, err = told(capsys, "lenet5", "--device", "meta")
    assert (1, "") == (code, err)
    assert "lenet5: C1/conv: execution is" in out


def test_large_nets_go_to_meta(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Too little memory: shapes and counts only, and the report says what was not executed and why."""
    monkeypatch.setattr("archcalc.verify.verification.available_memory", lambda: 1_000_000)
    code, out, _ = told(capsys, "lenet5", "--device", "cpu")
    assert code == 0
    assert "lenet5: PyTorch" in out
    assert " on meta, " in out
    reason = "nothing was executed: forward and backward need about 0.0 GB, there are 0.0 GB; shapes and counts only"
    assert reason in out.splitlines()
    assert "forward pass                              not executed" in out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name architectures, or give --all"),
        (("lenet5", "--all"), "name architectures, or give --all"),
        (("lenet5", "--dtype", "int8"), "PyTorch's layers don't compute in int8"),
        (("lenet5", "--dtype", "float"), "unknown dtype 'float'"),
        (("--against", "nowhere.json"), "nowhere.json is no record of measurements"),
        (("--against", "nowhere.json", "--all"), "--against takes everything from the record"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2, and nothing on stdout."""
    code, out, err = told(capsys, *arguments)
    assert (2, "") == (code, out)
    assert message in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("arguments", [("--device", "cuda"), ("--record", "r.json")])
def test_no_cuda_device_is_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """What needs a device says that there is none."""
    code, out, err = told(capsys, "lenet5", *arguments)
    assert (2, "") == (code, out)
    assert "there is no CUDA device" in err


def test_progress_is_drawn_in_a_terminal_only() -> None:
    """In a pipe nothing but errors goes to stderr."""
    command = [sys.executable, "-m", "archcalc", "verify", "lenet5", "--device", "meta"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "" == done.stderr


# ---------------------------------------------------------------- records of a device

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
    code, out, _ = told(capsys, "--against", record_in(tmp_path))
    assert code == 0
    assert "lenet5_modern: record of a made-up device for this test, float32, batch 2" == out.splitlines()[0]
    assert "forward time" in out
    assert "1.000 ms, 25.0% of peak" in out
    assert "measured, not predicted" in out


def test_a_record_that_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, with both values."""
    code, out, _ = told(capsys, "--against", record_in(tmp_path, bytes={"weights": 1}, counts={"params": 2}))
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
    kept = records.net_record(net, analyze(graph_of("layers: [relu]\n"), 2), {"k": "3"})
    file = tmp_path / "golden" / "device.json"
    records.write_record(file, {"device": "d", "date": "2000-01-01"}, [kept])
    assert {"device": "d", "nets": {"t": kept}} == records.read_record(file)
    assert {"params": 4, "buffers": 4, "macs": 4, "activations": 4} == kept["counts"]


def test_time_is_a_median() -> None:
    """The clock runs around each call; the first half of the runs warms up."""
    from archcalc.verify.cuda import median_seconds, training_step

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
    FIXTURE["nets"][0]["bytes"] |= (right := records.predicted_bytes(report))
    more = record_in(tmp_path, bytes={"peak_forward": right["peak_forward"] + 1000})
    code, out, _ = told(capsys, "--against", more)
    assert code == 0
    assert "1,000 more, which its kernels take for a while" in out
    for name, change in (("peak_forward", -1), ("left_by_forward", 1)):
        assert told(capsys, "--against", record_in(tmp_path, bytes={name: right[name] + change}))[0] == 1


def test_kernels_of_a_device_may_keep_other_things(capsys: pytest.CaptureFixture[str]) -> None:
    """On a GPU attention's own bytes are told apart; on the CPU the narrow statistics of narrow dtypes."""
    report = analyze(graph_of("layers: [tokens, a: attention 1, b: fc 2]\n"), 2)
    differences = Difference("a", "saved bytes", "1", "9"), Difference("b", "saved bytes", "1", "9")
    check = Check("saved bytes", 3, 2, 18, differences)
    assert differences == _as_comparable(check, report, "cpu").differences
    found = _as_comparable(check, report, "cuda")
    assert differences[1:] == found.differences
    found = _as_comparable(replace(check, differences=differences[:1]), report, "cuda")
    assert (True, "16 more, which this device's attention keeps") == (found.compared, found.verdict)
    code, out, _ = told(capsys, "resnet20", "--dtype", "bfloat16", "--device", "cpu")
    assert (0, True) == (code, "not compared: as on a GPU, not as in bfloat16 here" in out)


def test_wrong_idea_of_what_is_kept_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relu that keeps its input, not its output, would keep each convolution's output, too."""
    monkeypatch.setattr(ReLU, "keeps", INPUT)
    code, out, _ = told(capsys, "alexnet_torchvision", "--device", "meta", "--batch", 1)
    assert code == 1
    line = "alexnet_torchvision: pool1: saved bytes is 373,248 in PyTorch, 1,147,648 in archcalc"
    assert line in out.splitlines()


@gpu
@pytest.mark.gpu
def test_cuda_runs_and_agrees_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a device: counts, finite passes, bytes as predicted; and the record holds against the predictions."""
    file = tmp_path / "device.json"
    code, out, _ = told(capsys, "resnet18", "lenet5_modern", "--device", "cuda", "--record", file)
    assert code == 0, out
    assert told(capsys, "--against", file)[0] == 0


def test_records_are_compared_without_pytorch(tmp_path: Path) -> None:
    """`--against` neither needs nor imports PyTorch, so that any machine can hold predictions to a record."""
    lines = "import sys, archcalc.__main__ as m; m.main(['verify', '--against', sys.argv[1]]); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", lines, str(record_in(tmp_path))], capture_output=True, text=True, check=True
    )
    assert "False" == done.stdout.splitlines()[-1]
