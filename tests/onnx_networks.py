"""Modules exported to ONNX by both of PyTorch's exporters, and back: the same totals, and outputs as onnxruntime's.

`python -m tests.onnx_networks [NAMES] [--exporter old|new]`: those of tests/modules.py, and `torchvision:NAME`.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archcalc import UsageError, analyze
from archcalc.graph.opaque import opaque_layers
from archcalc.importers.code import input_sizes
from archcalc.importers.imported import imported_operations
from archcalc.importers.onnx.file import opened_network
from archcalc.importers.sources import built, examples, source_of
from archcalc.pytorch.original import copied, tensors_of, unlike_each
from archcalc.pytorch.original_file import entering, weights
from archcalc.questions.imports import from_onnx
from tests.modules import MODULES

OPSETS = {"old": 17, "new": 20}
QUANTITIES = ("params", "macs", "buffers")


def exported(
    module: nn.Module, inputs: Sequence[Tensor], path: Path, exporter: str, opset: int = 0, **more: Any
) -> None:
    """Write a module to an ONNX file, with all its parameters as they are and unlike each other."""
    more = {"training": torch.onnx.TrainingMode.EVAL, "do_constant_folding": False, **more} if exporter == "old" else {
        "dynamic_shapes": [{0: torch.export.Dim("batch")} for _ in inputs], **more
    }  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 10)
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            torch.onnx.export(
                module.eval(), tuple(inputs), path, dynamo=exporter == "new", opset_version=opset or OPSETS[exporter],
                verbose=False, **more,
            )  # fmt: skip
        finally:
            logging.disable(logging.NOTSET)


def compared(path: Path) -> list[str]:
    """What an imported file's outputs are not, with the file's own weights: those of onnxruntime."""
    import onnxruntime

    found = opened_network(path)
    imported = imported_operations(found.exported)
    import archcalc

    network: Any = archcalc.to_torch(archcalc.build(imported.spec)).eval()
    if layers := opaque_layers(network.graph):
        return [f"opaque {layers[0]}"]
    with torch.no_grad():
        unlike = list(copied(network, imported, weights(found, imported)))
        given = entering(found)
        ours = tensors_of(network(*given))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {each.name: value.numpy() for each, value in zip(session.get_inputs(), given, strict=True)}
    theirs = [torch.from_numpy(each) for each in session.run(None, feed)]
    return [str(each) for each in (*unlike, *unlike_each("output", ours, theirs))]


def of_name(name: str, exporter: str, folder: Path) -> str:
    """How a module comes back from ONNX, in a word or an error."""
    source = source_of(name if ":" in name else f"tests.modules:build_{name}")
    assert source is not None
    sizes = input_sizes(source) if ":" in name else MODULES[name].sizes
    path = folder / "net.onnx"
    module, inputs = built(source, "cpu"), examples(sizes, "cpu")
    assert isinstance(inputs, list)
    try:
        exported(module, inputs, path, exporter)
    except Exception as error:
        return f"PyTorch can't export it: {type(error).__name__}"
    began = time.perf_counter()
    try:
        import archcalc

        ours = analyze(from_onnx(path)).totals
        took = time.perf_counter() - began
        theirs = analyze(archcalc.from_torch(module, inputs)).totals
    except UsageError as error:
        return f"refused: {error}"
    unlike = [f"{each} {ours[each]} {theirs[each]}" for each in QUANTITIES if ours[each] != theirs[each]]
    return ", ".join([*unlike, *compared(path)]) or f"equal ({took:.2f} s)"


def main() -> None:
    """Print how each comes back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(MODULES))
    parser.add_argument("--exporter", choices=list(OPSETS), default="old")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in given.names:
            print(f"{name:32}", of_name(name, given.exporter, Path(folder)).replace("\n", " ")[:200], flush=True)


if __name__ == "__main__":
    main()
