"""A module or a config at hand as an architecture, of which everything can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archcalc.errors import UsageError
from archcalc.pytorch import need_torch
from archcalc.zoo import Architecture, config_at

if TYPE_CHECKING:
    from torch import Tensor, nn


def from_torch(
    module: nn.Module,
    example_inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor],
    name: str = "",
    *,
    strict: bool = False,
) -> Architecture:
    """A PyTorch module as a spec, found out by exporting it once with example inputs, in order or by name.

    The examples come in batches; of a batch of one, two are made, since it can't be told from an axis of one. The spec
    is `architecture.spec.source.text`. An operation that isn't a layer that specs know is an `opaque` one, and
    `architecture.summary` has all of them: `summary.unknown`, each with its `operator`, `reason`, `line` and `path`.
    Raises: UsageError: PyTorch isn't installed or can't export the module; or, with `strict`, an operation isn't a
    layer that specs know: the message says where.

    >>> import archcalc, torch
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    >>> print(archcalc.from_torch(net, torch.randn(2, 3, 32, 32), "small").spec.source.text)
    archcalc: 1
    name: small
    input: {C: 3, H: 32, W: 32}
    layers:
      - conv 8 3x3 -> relu
    <BLANKLINE>
    """
    need_torch()
    import torch

    from archcalc.importers.imported import imported

    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{module!r:.60} is not a module", "from_torch(module, torch.randn(2, 3, 224, 224))")
    given = example_inputs
    examples = [given] if isinstance(given, torch.Tensor) else list(_values(given))
    if not examples or not all(isinstance(each, torch.Tensor) and each.dim() for each in examples):
        raise UsageError("the example inputs are tensors, with a batch ahead", "torch.randn(2, 3, 224, 224)")
    if examples[0].shape[0] == 1:
        examples = [torch.cat([each, each]) for each in examples]
    inputs = dict(zip(given, examples, strict=True)) if isinstance(given, Mapping) else examples
    found = imported(module, inputs, name or type(module).__name__, strict=strict)
    return Architecture(found.spec, "", summary=found.summary)


def from_config(config: str | PathLike[str] | Mapping[str, Any]) -> Architecture:
    """The model that a Hugging Face config describes: `config.json`, the folder that holds it, or its fields.

    Nothing of it is run, and neither PyTorch nor transformers is needed. The spec is `architecture.spec.source.text`.
    Raises: UsageError: it can't be read, its `model_type` isn't known, or a field isn't understood, which the message
    names.

    >>> import archcalc
    >>> small = {"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8}
    >>> archcalc.analyze(archcalc.from_config(small).build()).totals["params"]
    104600064
    """
    from archcalc.importers.configs.config import spec_of_config, spec_of_fields

    if isinstance(config, Mapping):
        return Architecture(spec_of_fields(config, "the config"), "")
    if not isinstance(config, (str, PathLike)):
        raise UsageError(f"a config is a path or a mapping, not {config!r:.60}", "from_config('llama/config.json')")
    path = config_at(Path(config))
    if path is None:
        raise UsageError(f"'{config!s:.200}' is no config.json, nor a folder that holds one")
    return Architecture(spec_of_config(path), "")


def from_onnx(path: str | PathLike[str], inputs: Sequence[str] = ()) -> Architecture:
    """The network in an ONNX file, which needs `pip install archcalc[onnx]`, and PyTorch for few.

    `inputs` say the sizes of what enters, without the batch, where the file leaves them open: `["3x224x224"]`,
    `["T=128"]`. The file's tensors aren't read. The spec is `architecture.spec.source.text`.
    Raises: UsageError: onnx isn't installed, the file can't be read, sizes are open, or an operation isn't a layer
    that specs know; the message says where.

    >>> import archcalc
    >>> archcalc.from_onnx("weights.txt")
    Traceback (most recent call last):
    ...
    archcalc.errors.UsageError: an ONNX file ends in .onnx, not as 'weights.txt'
    """
    if not isinstance(path, (str, PathLike)):
        raise UsageError(f"an ONNX file is given by its path, not by {path!r:.60}", "from_onnx('net.onnx')")
    if Path(path).suffix.lower() != ".onnx":
        raise UsageError(f"an ONNX file ends in .onnx, not as '{path!s:.200}'")
    from archcalc.importers.onnx.file import spec_of_onnx

    return Architecture(spec_of_onnx(Path(path), inputs), "", (Path(path), tuple(inputs)))


def _values(inputs: Any) -> Sequence[Any]:
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    if not isinstance(inputs, Sequence):
        raise UsageError(f"{inputs!r:.60} are no example inputs", "from_torch(module, torch.randn(2, 3, 224, 224))")
    return inputs
