"""From an ONNX file to a spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from archcalc.errors import UsageError
from archcalc.importers.code import named_size
from archcalc.importers.imported import Imported, imported_operations
from archcalc.importers.onnx import elementwise, maps, products, rearranging
from archcalc.importers.onnx.calls import with_calls
from archcalc.importers.onnx.inference import Inference
from archcalc.importers.onnx.model import BATCH, File, opened
from archcalc.importers.onnx.tensors import FLOATS, Value
from archcalc.importers.onnx.translation import Translator
from archcalc.importers.operations.exported import Exported
from archcalc.importers.writing.formals import numbered
from archcalc.language.model import Spec
from archcalc.layers import REGISTRY

SUFFIX = ".onnx"
TRANSLATIONS = (elementwise, maps, products, rearranging)
"""The modules that say how nodes are translated."""


def spec_of_onnx(path: Path, inputs: Sequence[str] = ()) -> Spec:
    """The spec of an ONNX file; `inputs` are sizes of what enters, where the file leaves them open.

    Raises: UsageError: onnx isn't installed, the file can't be read, or an operation isn't a layer that specs know.
    """
    return import_onnx(path, inputs).spec


def import_onnx(path: Path, inputs: Sequence[str] = (), strict: bool = False) -> Imported:
    """The same with the spec's text, and what each layer is in the file."""
    return imported_operations(opened_network(path, inputs).exported, str(path), strict)


class OnnxNetwork(NamedTuple):
    """A file's operations, as if PyTorch had exported them, and its tensors by the names that layers have for them."""

    exported: Exported
    tensors: Mapping[str, Value]


def opened_network(path: Path, inputs: Sequence[str] = ()) -> OnnxNetwork:
    """What a file holds.

    Raises: UsageError: as `spec_of_onnx`.
    """
    file = opened(path)
    inference = Inference(file, _sizes(file, inputs)).run()
    translator = Translator(inference)
    translator.translate()
    values, aliases = inference.values, translator.aliases
    entering = tuple(
        (name, values[old].shape, values[old].element not in FLOATS)
        for name, old in zip(_free_names(inference.inputs), inference.inputs, strict=True)
    )
    outputs = tuple(translator.operand(each.name) for each in file.graph.output)
    operations = with_calls(translator.operations)
    exported = Exported(_label(path), entering, operations, outputs, _Constants(values, aliases))
    return OnnxNetwork(exported, values | {name: values[old] for name, old in aliases.items()})


class _Constants(Mapping[str, Any]):
    """The values of what depends on nothing, by name, as PyTorch's tensors: made where a layer asks for them."""

    def __init__(self, values: Mapping[str, Value], aliases: Mapping[str, str]) -> None:
        self.values_of, self.aliases = values, aliases

    def __getitem__(self, name: str) -> Any:
        import torch  # attention's masks and rotary positions are understood with it

        value = self.values_of[self.aliases.get(name, name)]
        array = value.array() if value.fixed else None
        if array is None:
            raise KeyError(name)
        return torch.from_numpy(array.copy())

    def __iter__(self) -> Iterator[str]:
        return (name for name, value in self.values_of.items() if value.fixed)

    def __len__(self) -> int:
        return sum(1 for _ in self)


# --- what enters ------------------------------------------------------------------------------------------------------


def _sizes(file: File, inputs: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The sizes of what enters, with a batch ahead: the file's, and where it leaves them open those that are given.

    Raises: UsageError: nothing says one, or the file says another.
    """
    held = {name for name, _ in file.held()}
    entering = [each for each in file.graph.input if each.name not in held]
    if not entering:
        raise UsageError(f"'{file.path}' has no inputs")
    dims = {each.name: _dims(file, each) for each in entering}
    batch = next((first for first, *_ in dims.values() if isinstance(first, int)), BATCH)
    for name, given in _by_name(file, list(dims), inputs).items():
        dims[name] = [dims[name][0], *_given(file, name, dims[name][1:], given)]
    said = {old: new for each, now in zip(entering, dims.values(), strict=True)
            for old, new in zip(_dims(file, each)[1:], now[1:], strict=True) if isinstance(new, int)}  # fmt: skip
    found: dict[str, tuple[int, ...]] = {}
    for name, (first, *rest) in dims.items():
        sizes = [said.get(each, each) for each in rest]
        numbers = [each for each in sizes if isinstance(each, int)]
        if len(numbers) < len(sizes):
            left = ", ".join(str(each) for each in sizes if not isinstance(each, int))
            what = (
                "T=128"
                if len(sizes) == 1
                else "x".join(s if isinstance(s, str) else str(s) for s in map(_shown, sizes))
            )
            raise UsageError(f"'{file.path}' leaves the sizes of what enters open: {left}", f"--input {what}")
        found[name] = (first if isinstance(first, int) else batch, *numbers)
    return found


def _by_name(file: File, names: Sequence[str], inputs: Sequence[str]) -> dict[str, tuple[int, ...] | int]:
    """The sizes that are given, by the file's name of each input; those without a name are of the others, in order."""
    spoken = dict(zip(_free_names(names), names, strict=True))
    each = list(map(named_size, inputs))
    free = iter([name for name in spoken if name not in dict(each)])
    found: dict[str, tuple[int, ...] | int] = {}
    for said, sizes in each:
        name = said or next(free, "")
        if name not in spoken:
            raise UsageError(
                f"'{file.path}' has no input {said:.60}".rstrip(),
                f"its inputs are {', '.join(spoken)}",
            )
        found[spoken[name]] = sizes
    return found


def _shown(size: int | str) -> str:
    return str(size) if isinstance(size, int) else "224"


def _dims(file: File, info: Any) -> list[int | str]:
    """The sizes of an input, with names for those that are open.

    Raises: UsageError: it's no tensor with a batch ahead.
    """
    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type") or not tensor.HasField("shape") or len(tensor.shape.dim) < 2:
        message = f"'{file.path}': its input '{info.name:.80}' isn't a tensor with a batch ahead"
        raise UsageError(message, "only such inputs can be said in a spec")
    found: list[int | str] = []
    for place, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value") and not 0 < dim.dim_value < 2**31:
            raise UsageError(f"'{file.path}': its input '{info.name:.80}' has an axis of {dim.dim_value}")
        found.append(
            dim.dim_value if dim.HasField("dim_value") else re.sub(r"\W", "_", dim.dim_param)[:40] or f"axis {place}"
        )
    return found


def _given(file: File, name: str, sizes: Sequence[int | str], given: tuple[int, ...] | int) -> list[int]:
    """The sizes that are given for an input, held against those of the file."""
    found = [given] if isinstance(given, int) else list(given)
    fits = len(found) == len(sizes) and all(
        isinstance(old, str) or old == new for old, new in zip(sizes, found, strict=True)
    )
    if not fits:
        said = "x".join(map(str, sizes))
        raise UsageError(f"'{file.path}' says that {said} enters as '{name:.80}', not {'x'.join(map(str, found))}")
    return found


def _free_names(names: Sequence[str]) -> list[str]:
    """Names of inputs as specs may have them, in order."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_")[:60]
        plain = plain if plain[:1].isalpha() else f"input_{plain}".strip("_")
        found.append(numbered(plain, set(found) | set(REGISTRY)))
    return found


def _label(path: Path) -> str:
    """A name for the spec: the file's."""
    found = re.sub(r"\W+", "_", path.name.removesuffix(SUFFIX), flags=re.ASCII).strip("_")[:60]
    return found if found[:1].isalpha() else f"net_{found}".strip("_")
