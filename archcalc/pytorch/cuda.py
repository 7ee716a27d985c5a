"""What a CUDA device does with a network: bytes before, after and at the peak, and time."""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from statistics import median
from typing import Any, Protocol

import torch
from torch import Tensor

from archcalc.errors import UsageError
from archcalc.pytorch.network import Network
from archcalc.report import Report
from archcalc.symbolic import known

REPEATS = 20
"""Timed runs, of which the median counts; as many again come first, so that clocks and caches settle."""
MATRIX = 8192
"""Side of the matrices whose product stands for the machine's peak."""
TRAINING_PASSES = 3
"""A training step's arithmetic in forward passes, by convention: backward derives by inputs and by weights."""


class Meter(Protocol):
    """Says how many bytes tensors have asked for: now, and at most since it was reset."""

    def now(self) -> int:
        """Bytes of what is alive."""

    def peak(self) -> int:
        """The most bytes alive at once."""

    def reset(self) -> None:
        """Start to look for the most anew."""

    def rounding(self) -> int:
        """What the allocator adds to reach its blocks."""


class CudaMeter:
    """PyTorch's allocator, before it rounds up; what CUDA's libraries ask for is in it.

    Raises: UsageError: memory comes from another allocator, which doesn't count what is asked for.
    """

    def __init__(self) -> None:
        if (used := torch.cuda.get_allocator_backend()) != "native":
            hint = f"remove backend:{used} from PYTORCH_CUDA_ALLOC_CONF"
            raise UsageError(f"CUDA's memory can't be measured with the allocator {used}", hint)

    def now(self) -> int:
        """Bytes of what is alive."""
        return int(torch.cuda.memory_stats().get("requested_bytes.all.current", 0))

    def peak(self) -> int:
        """The most bytes alive at once."""
        return int(torch.cuda.memory_stats().get("requested_bytes.all.peak", 0))

    def reset(self) -> None:
        """Start to look for the most anew."""
        torch.cuda.reset_peak_memory_stats()

    def rounding(self) -> int:
        """What the allocator adds to reach its blocks of 512 bytes."""
        return torch.cuda.memory_allocated() - self.now()


def figures(report: Report, device: str = "cuda") -> dict[str, Any]:
    """Bytes and seconds of one network on the device, measured, and what share of its peak that is.

    Raises: UsageError: PyTorch doesn't count the device's memory itself.
    """
    torch.manual_seed(0)
    dtype = getattr(torch, report.dtype)
    free_memory()
    network, bytes_ = measured_bytes(report, device, CudaMeter())
    inputs = network.example_inputs(known(report.batch), device=device, dtype=dtype)
    seconds = {"training_step": median_seconds(training_step(network, inputs), device)}
    network.eval()
    seconds["forward"] = median_seconds(lambda: _inference(network, inputs), device)
    return {"bytes": bytes_, "seconds": seconds, "share_of_peak": shares(report, seconds, matmul_rate(dtype, device))}


def free_memory() -> int:
    """The bytes that are free on the device, after everything that nobody uses any more has been given back."""
    gc.collect()
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info()[0])


def measured_bytes(report: Report, device: str, meter: Meter) -> tuple[Network, dict[str, int]]:
    """Build and run a network; the bytes of its weights, its input, of what passes leave behind, and at the peaks.

    `workspace` is what libraries keep for themselves after a first pass of each kind, `rounding` what the allocator
    adds to all that is alive after a forward pass. Neither is in the other figures; no weights are in those of passes.
    """
    dtype = getattr(torch, report.dtype)
    before = meter.now()
    with torch.device(device):
        network = Network(report.graph).to(dtype)
    bytes_ = {"weights": meter.now() - before}

    def new_inputs() -> tuple[Tensor, ...]:
        return network.example_inputs(known(report.batch), device=device, dtype=dtype)

    network.eval()
    _inference(network, new_inputs())
    training_step(network, new_inputs())()
    network.zero_grad()
    bytes_["workspace"] = meter.now() - before - bytes_["weights"]
    base = meter.now()

    bytes_["peak_forward"] = _peak_of_forward(network, new_inputs, meter) - base
    inputs = new_inputs()
    bytes_["input"] = meter.now() - base
    network.train()
    made = network(*inputs)
    bytes_["left_by_forward"] = meter.now() - base - bytes_["input"]
    bytes_["rounding"] = meter.rounding()
    del made

    meter.reset()
    training_step(network, inputs)()
    bytes_["peak_training"] = meter.peak() - base
    network.zero_grad()
    return network, bytes_


def _peak_of_forward(network: Network, new_inputs: Callable[[], tuple[Tensor, ...]], meter: Meter) -> int:
    """The most bytes alive in a forward pass that nobody derives; outputs are held to its end, inputs aren't."""
    wanted, outputs = set(network.graph.outputs.values()), []
    meter.reset()
    network.eval()
    with torch.no_grad():  # not through `forward`, which holds the inputs
        for index, (_, value) in enumerate(network.trace(*new_inputs())):
            if index in wanted:
                outputs.append(value)
            del value
    return meter.peak()


def _inference(network: Network, inputs: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        network(*inputs)


def training_step(network: Network, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """One step of gradient descent on the mean of all outputs; its rate is 0, so that nothing runs away.

    From now on the network is in training mode.
    """
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0) if any(True for _ in network.parameters()) else None

    def step() -> None:
        made = network(*inputs)
        outputs = [value for value in (made.values() if isinstance(made, dict) else [made]) if value.requires_grad]
        if outputs and optimizer is not None:
            optimizer.zero_grad()
            torch.stack([value.float().mean() for value in outputs]).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return step


def median_seconds(work: Callable[[], object], device: str, repeats: int = REPEATS) -> float:
    """Median time of `work`, each run waited for."""

    def wait() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    times = []
    for _ in range(2 * repeats):
        wait()
        started = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - started)
    return median(times[repeats:])


@cache
def matmul_rate(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of a large product of square matrices: the peak that the machine reaches, not the one that is printed.

    In float32 it is rounded to TF32, as convolutions are by default, lest they come out above it.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        a = torch.randn(MATRIX, MATRIX, device=device, dtype=dtype)
        b = torch.randn(MATRIX, MATRIX, device=device, dtype=dtype)
        seconds = median_seconds(lambda: a @ b, device)
    finally:
        torch.set_float32_matmul_precision(before)
    return 2 * MATRIX**3 / seconds


def shares(report: Report, seconds: dict[str, float], rate: float) -> dict[str, float]:
    """The share of a rate in FLOP/s that was reached in these seconds, to four digits: small networks reach little."""
    flops = known(report.total("flops"))
    passes = {"forward": 1, "training_step": TRAINING_PASSES}
    return {name: float(f"{passes[name] * flops / seconds[name] / rate:.4g}") for name in seconds}


def machine() -> dict[str, Any]:
    """What was measured on, and when."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = "unknown"
    return {
        "device": torch.cuda.get_device_name(),
        "driver": driver.strip(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "date": datetime.now(UTC).date().isoformat(),
    }
