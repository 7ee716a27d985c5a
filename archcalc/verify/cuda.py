"""What a CUDA device does with a network: bytes before, after and at the peak, and time."""

from __future__ import annotations

import statistics as stats
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from archcalc.report import Report
from archcalc.verify.network import Network

REPEATS = 20
"""Timed runs, of which the median counts; as many again come first, so that clocks and caches settle."""
MATRIX = 8192
"""Side of the matrices whose product stands for the machine's peak."""
TRAINING_PASSES = 3
"""A training step's arithmetic in forward passes, by convention: backward derives by inputs and by weights."""


def figures(report: Report, device: str = "cuda") -> dict[str, Any]:
    """Bytes and seconds of one network on the device, measured; the device is left as it was found."""
    torch.manual_seed(0)
    dtype = getattr(torch, report.dtype)
    torch.cuda.empty_cache()
    before = _requested()
    with torch.device(device):
        network = Network(report.graph).to(dtype)
    weights = _requested() - before
    inputs = network.example_inputs(report.batch, device=device, dtype=dtype)
    bytes_ = {"weights": weights, "input": _requested() - before - weights}
    bytes_ |= _forward_bytes(network, inputs, before + sum(bytes_.values()))
    torch.cuda.reset_peak_memory_stats()
    step = training_step(network, inputs)
    step()
    bytes_["peak_training"] = torch.cuda.max_memory_allocated()
    seconds = {"training_step": median_seconds(step, device)}
    network.eval()
    seconds["forward"] = median_seconds(lambda: _inference(network, inputs), device)
    return {"bytes": bytes_, "seconds": seconds, "share_of_peak": _shares(report, seconds, matmul_rate(dtype, device))}


def _requested() -> int:
    """Bytes that tensors asked for, before the allocator rounds them up."""
    return int(torch.cuda.memory_stats().get("requested_bytes.all.current", 0))


def _forward_bytes(network: Network, inputs: tuple[Tensor, ...], base: int) -> dict[str, int]:
    """The bytes of a forward pass that keeps every new volume; what isn't modelled under names of its own.

    `workspace` is what libraries keep for themselves after a first pass, `rounding` what the allocator adds to reach
    its blocks of 512 bytes, `larger_views` the rest of volumes of which a layer hands on a part.
    """
    network.eval()
    _inference(network, inputs)
    workspace = _requested() - base
    torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        kept = [value for node, value in network.trace(*inputs) if node.inputs and not node.layer.in_place]
    new = _requested() - base - workspace
    spare = sum(value.untyped_storage().nbytes() - value.numel() * value.element_size() for value in kept)
    found = {"activations": new - spare, "larger_views": spare, "workspace": workspace}
    found["rounding"] = torch.cuda.memory_allocated() - _requested()
    found["peak_forward"] = torch.cuda.max_memory_allocated()
    return found


def _inference(network: Network, inputs: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        network(*inputs)


def training_step(network: Network, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """One step of gradient descent on the mean of all outputs; its rate is 0, so that nothing runs away."""
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
    import time

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
    return stats.median(times[repeats:])


def matmul_rate(dtype: torch.dtype, device: str, side: int = MATRIX, repeats: int = REPEATS) -> float:
    """FLOP/s of a large product of square matrices: the peak that the machine reaches, not the one that is printed."""
    a = torch.randn(side, side, device=device, dtype=dtype)
    b = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / median_seconds(lambda: a @ b, device, repeats)


def _shares(report: Report, seconds: dict[str, float], rate: float) -> dict[str, float]:
    flops = report.total("flops")
    passes = {"forward": 1, "training_step": TRAINING_PASSES}
    return {name: round(passes[name] * flops / seconds[name] / rate, 4) for name in seconds}


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
