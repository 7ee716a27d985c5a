"""An imported spec against the ONNX file that it was made of, as onnx's own reference evaluator runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archcalc.errors import UsageError
from archcalc.graph.opaque import opaque_layers
from archcalc.importers.imported import Imported, imported_operations
from archcalc.importers.onnx.file import OnnxNetwork, opened_network
from archcalc.importers.sources import FEW_TOKENS
from archcalc.pytorch.compare import Check
from archcalc.pytorch.network import Network
from archcalc.pytorch.original import copied, unlike_each
from archcalc.pytorch.paths import tensors_of
from archcalc.report import Report


def file_checks(report: Report, path: Path, inputs: Sequence[str]) -> Iterator[Check]:
    """Compare an imported network with its file: its weights are copied into ours, and both run on the same input.

    Of other files than ONNX nothing is compared: their readers would run code.
    """
    if path.suffix.lower() != ".onnx":
        return
    found = opened_network(path, inputs)
    imported = imported_operations(found.exported, str(path))
    network = Network(report.graph).eval()
    values = weights(found, imported)
    with torch.no_grad():
        unlike = list(copied(network, imported, values))
    yield Check("file's weights", len(values), differences=tuple(unlike))
    if layers := opaque_layers(report.graph):
        yield Check("file's outputs", 0, note=f"not compared: what {layers[0]} computes isn't known")
    elif not unlike:
        given = entering(found)
        with torch.no_grad():
            ours = tensors_of(network(*given))
        yield Check("file's outputs", len(ours), differences=tuple(unlike_each("output", ours, _ran(path, given))))


def weights(found: OnnxNetwork, imported: Imported) -> dict[str, Tensor]:
    """The tensors of a file that layers hold, by the names that they have for them."""
    names = {stored.name for step in imported.steps if step for stored in step.stored}
    arrays = {name: found.tensors[name].array(None) for name in names}
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if array is not None}


def entering(found: OnnxNetwork) -> list[Tensor]:
    """Inputs as large as those that a file was read with."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(*FEW_TOKENS, shape, generator=generator) if is_whole else torch.randn(shape, generator=generator)
        for _, shape, is_whole in found.exported.inputs
    ]


def _ran(path: Path, given: Sequence[Tensor]) -> list[Tensor]:
    """What the file gives out.

    Raises: UsageError: the evaluator can't run it.
    """
    import numpy
    from onnx.reference import ReferenceEvaluator

    try:
        session: Any = ReferenceEvaluator(str(path))
        kinds = [numpy.int64 if not each.is_floating_point() else numpy.float32 for each in given]
        feed = {
            name: each.numpy().astype(kind) for name, each, kind in zip(session.input_names, given, kinds, strict=True)
        }
        return [torch.from_numpy(numpy.asarray(each)) for each in session.run(None, feed)]
    except Exception as error:  # whatever its operations raise
        raise UsageError(f"onnx can't run '{path}': {str(error).partition(chr(10))[0]:.200}") from None
