"""From a `.pt2` file, which `torch.export.save` writes, to a spec.

It's a zip archive: the graph is JSON, and each weight a row of bytes. PyTorch's own reader also unpickles what may be
in it, which runs code; here the JSON alone is read, and the bytes of those tensors that a layer's arguments depend on.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from archcalc import files
from archcalc.errors import UsageError
from archcalc.importers.code import named_size
from archcalc.importers.imported import Imported, imported_operations
from archcalc.importers.operations.exported import (
    CAST,
    FRAME,
    WITHOUT_EFFECT,
    Around,
    Entered,
    Exported,
    Operand,
    Operation,
    Result,
    Stored,
)
from archcalc.importers.writing.formals import numbered
from archcalc.layers import REGISTRY

MAJOR = 8
"""The schema that PyTorch 2.13 writes; a change that readers have to know of raises it."""
MOST = 256_000_000
"""Bytes of a graph; that of a model with some thousand operations has ten million."""
LARGEST = 2**24
"""Values of a constant that is read or computed."""
TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 12: "bool",
    13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn", 30: "float8_e5m2", 34: "uint32", 35: "uint64",
}  # fmt: skip
"""PyTorch's types by their numbers in such files. Source: torch/_export/serde/schema.py, ScalarType."""
WHOLE = (1, 2, 3, 4, 5, 12, 28, 34, 35)
COMPUTED = re.compile(
    r"torch\.ops\.aten\.(__and__|__or__|__xor__|abs|add|arange|bitwise_(and|not|or)|cat|ceil|clamp|clone|contiguous|cos|cumsum|div|eq|exp|"
    r"expand|expand_as|flatten|floor|full|full_like|ge|gt|index_select|le|linspace|log|logical_(and|not|or|xor)|lt|"
    r"masked_fill|matmul|mean|erf|tanh|gelu|silu|hardtanh|square|exp2|softmax|maximum|minimum|mul|ne|neg|ones|ones_like|outer|permute|pow|reciprocal|remainder|repeat|"
    r"reshape|roll|rsub|select|sin|slice|split|sqrt|squeeze|stack|sub|transpose|tril|triu|unbind|unsqueeze|view|where|"
    r"zeros|zeros_like|unflatten|meshgrid|to|_to_copy|scalar_tensor|rsqrt|sum|t|chunk|softplus|sigmoid)"
    r"\.[A-Za-z_]+"
)
"""Operations that are computed where all that they read is known: those that do nothing but compute."""


def import_pt2(path: Path, inputs: Sequence[str] = (), strict: bool = False) -> Imported:
    """The network in a `.pt2` file as a spec, with the sizes that its examples had.

    Raises: UsageError: it can't be read, was written by another PyTorch, or can't be said as a spec.
    """
    return imported_operations(exported_archive(path, inputs), str(path), strict)


def exported_archive(path: Path, inputs: Sequence[str] = ()) -> Exported:
    """The operations that such a file holds, as if they had been exported just now."""
    archive = _Archive(path)
    try:
        found = _Reader(archive, archive.model()).read(_label(path))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, StopIteration) as error:
        raise UsageError(f"'{path}' isn't as PyTorch writes it: {type(error).__name__}: {error!s:.80}") from None
    _check_sizes(path, found, inputs)
    return found


def _label(path: Path) -> str:
    found = re.sub(r"\W+", "_", path.stem, flags=re.ASCII).strip("_")[:60]
    return found if found[:1].isalpha() else f"net_{found}".strip("_")


def _check_sizes(path: Path, found: Exported, inputs: Sequence[str]) -> None:
    """See that sizes that are given are those that the file has."""
    own = {name: sizes for name, (_, *sizes), _ in found.inputs}
    for text, first in zip(inputs, own, strict=False):
        name, given = named_size(text)
        sizes = own.get(name or first)
        if sizes is None:
            raise UsageError(f"'{path}' has no input '{name:.60}'", f"its inputs are {', '.join(own)}")
        if sizes != ([given] if isinstance(given, int) else list(given)):
            said = "x".join(map(str, sizes))
            raise UsageError(
                f"'{path}' was exported with {said}, and has no other sizes", "export it again with others"
            )


class _Archive:
    """The members of a file, read one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with files.opened(path) as (file, _), zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise UsageError(f"'{path}' isn't a .pt2 file, or is cut off: {files.reason(error)}") from None
        self.root = names[0].partition("/")[0] if names else ""
        self.names = set(names)

    def model(self) -> dict[str, Any]:
        """The JSON of its one network.

        Raises: UsageError: there is none, or several, or another PyTorch wrote it.
        """
        models = sorted(name for name in self.names if re.fullmatch(r"[^/]*/models/[^/]+\.json", name))
        if not models:
            old = any(name.endswith("serialized_exported_program.json") for name in self.names)
            message = "was written by a PyTorch before 2.8" if old else "holds no network of torch.export"
            raise UsageError(f"'{self.path}' {message}", "torch.export.save of PyTorch 2.13 writes what is read")
        if len(models) > 1:
            raise UsageError(f"'{self.path}' holds {len(models)} networks, and one is meant", "save it by itself")
        found = self.json(models[0])
        version = found.get("schema_version", {}).get("major") if isinstance(found, dict) else None
        if version != MAJOR:
            message = f"'{self.path}' has version {version!r:.20} of PyTorch's schema, and {MAJOR} is read"
            raise UsageError(message, "torch.export.save of PyTorch 2.13 writes what is read")
        return found  # type: ignore[no-any-return]

    def json(self, name: str) -> Any:
        """A member that is JSON."""
        try:
            return json.loads(self.bytes(name, MOST).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"'{self.path}': {name:.80} isn't JSON: {error!s:.80}") from None

    def bytes(self, name: str, most: int) -> bytes:
        """A member.

        Raises: UsageError: there is none, it's larger than `most`, or it can't be read.
        """
        import zlib

        try:
            with files.opened(self.path) as (file, _), zipfile.ZipFile(file) as archive, archive.open(name) as member:
                found = member.read(most + 1)
        except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
            raise UsageError(f"'{self.path}': {name:.80} can't be read: {error!s:.80}") from None
        if len(found) > most:
            raise UsageError(f"'{self.path}': {name:.80} has more than {most:,} bytes")
        return found


class _Reader:
    """Reads the graph of such a file."""

    def __init__(self, archive: _Archive, model: Mapping[str, Any]) -> None:
        self.archive, self.graph = archive, model["graph_module"]["graph"]
        self.signature = model["graph_module"]["signature"]
        self.tensors: Mapping[str, Any] = self.graph["tensor_values"]
        self.values: dict[str, Operand] = {}
        self.operations: list[Operation] = []
        self.inputs: list[tuple[str, tuple[int, ...], bool]] = []

    def read(self, name: str) -> Exported:
        """All operations, in order."""
        for spec in self.signature["input_specs"]:
            self._input(*next(iter(spec.items())))
        if not self.inputs:
            raise UsageError(f"'{self.archive.path}' has no inputs")
        for node in self.graph["nodes"]:
            self._node(node)
        given = [self._operand(each) for each in self.graph["outputs"]]
        outputs = tuple(each for each in given if isinstance(each, (Result, Entered)))
        return Exported(name, tuple(self.inputs), tuple(self.operations), outputs, _Constants(self.archive))

    def _input(self, kind: str, spec: Any) -> None:
        at = spec["arg"].get("name") or next(iter(spec["arg"].values())).get("name")
        if kind in ("parameter", "buffer", "tensor_constant"):
            self.values[at] = Stored(str(spec[f"{kind}_name"]), self._shape(at), kind == "parameter")
        elif at in self.tensors:
            shape = self._shape(at)
            if len(shape) < 2:
                raise UsageError(f"'{self.archive.path}': its input '{at:.80}' isn't a tensor with a batch ahead")
            names = {name for name, _, _ in self.inputs}
            own = re.sub(r"\W", "_", at, flags=re.ASCII).strip("_")[:60]
            own = numbered(own if own[:1].isalpha() else f"input_{own}".strip("_"), names | set(REGISTRY))
            self.values[at] = Entered(len(self.inputs))
            self.inputs.append((own, shape, self.tensors[at]["dtype"] in WHOLE))

    def _node(self, node: Mapping[str, Any]) -> None:
        made = list(_made(node["outputs"]))
        name = _name(node["target"])
        arguments = [self._operand(each["arg"]) for each in node["inputs"] if each["kind"] == 1]
        if not made:
            return
        if CAST.match(name):
            name = self._sorts(node["inputs"][0]["arg"], made[0])
        if not name or WITHOUT_EFFECT.match(name):
            if arguments and isinstance(arguments[0], (Result, Entered, Stored)):
                self.values[made[0]] = arguments[0]
            return
        named = {each["name"]: self._operand(each["arg"]) for each in node["inputs"] if each["kind"] != 1}
        for part, each in enumerate(made):
            self.values[each] = Result(len(self.operations), part)
        metadata, shape = node["metadata"], self._shape(made[0])
        target = _target(node["target"]) if COMPUTED.fullmatch(node["target"]) else None
        self.operations.append(
            Operation(name, tuple(arguments), named, shape, _around(metadata), _line(metadata), target)
        )

    def _sorts(self, given: Mapping[str, Any], made: str) -> str:
        """What a cast does: nothing for floats that stay floats, of integers `cast`, and of floats `rounded`."""
        before, after = (self.tensors[name]["dtype"] for name in (next(iter(given.values()))["name"], made))
        if before == after or (before not in WHOLE and after not in WHOLE):
            return ""
        return "rounded" if before not in WHOLE else "cast"

    def _shape(self, name: str) -> tuple[int, ...]:
        """A tensor's sizes; those that were left open as they were in the example."""
        sizes = tuple(_size(size) for size in self.tensors[name]["sizes"])
        if any(size < 0 for size in sizes) or prod(sizes) > 2**48:
            raise UsageError(f"'{self.archive.path}': '{name:.80}' has the sizes {list(sizes)[:8]}")
        return sizes

    def _operand(self, given: Mapping[str, Any]) -> Operand:
        kind, value = next(iter(given.items()))
        if kind == "as_none":
            return None
        if kind in ("as_tensor", "as_optional_tensor"):
            return self._operand(value) if "name" not in value else self.values.get(value["name"])
        if kind in ("as_tensors", "as_optional_tensors"):
            return [self.values.get(each["name"]) if "name" in each else self._operand(each) for each in value]
        if kind == "as_sym_int":
            return self._known(value)
        if kind == "as_sym_ints":
            return [self._known(each) for each in value]
        if kind == "as_scalar_type":
            return _Type(TYPES.get(value, ""))
        return value if kind in PLAIN else None

    def _known(self, given: Mapping[str, Any]) -> int:
        """A size: a number, or the one that a symbol had in the example."""
        return _size(given if "as_int" in given else self.graph["sym_int_values"][given["as_name"]])


PLAIN = ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string", "as_strings")


class _Type(str):
    """The name of one of PyTorch's types."""

    __slots__ = ()


def _size(given: Mapping[str, Any]) -> int:
    found = given["as_int"] if "as_int" in given else given["as_expr"]["hint"]["as_int"]
    if not isinstance(found, int):
        raise TypeError("a size is a number")
    return found


def _made(outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The names of the tensors that an operation makes."""
    for each in outputs:
        kind, value = next(iter(each.items()))
        if kind == "as_tensor":
            yield value["name"]
        elif kind == "as_tensors":
            yield from (one["name"] for one in value)


def _name(target: str) -> str:
    """An operator's name as the importer of modules says it: `conv2d`, `add.Tensor`."""
    *_, name, overload = target.split(".")
    return name if overload == "default" else f"{name}.{overload}"


def _around(metadata: Mapping[str, str]) -> tuple[Around, ...]:
    found = []
    for entry in metadata.get("nn_module_stack", "").split(";"):
        key, _, rest = entry.partition(",")
        path, _, kind = rest.partition(",")
        call = re.search(r"@(\d{1,9})$", key)
        plain = ".".join(re.sub(r"\W", "_", name, flags=re.ASCII) for name in path.split("."))
        if path and not path.startswith("_empty_nn_module_stack"):
            found.append(Around(plain, kind.rpartition(".")[2], int(call[1]) if call else 0))
    return tuple(found)


def _line(metadata: Mapping[str, str]) -> str:
    """The innermost line outside PyTorch, as file:line."""
    frames = [match for match in FRAME.finditer(metadata.get("stack_trace", "")) if "/torch/" not in match["file"]]
    return f"{frames[-1]['file']}:{frames[-1]['line']}" if frames else ""


# --- constants --------------------------------------------------------------------------------------------------------


def _target(name: str) -> Any:
    """One of PyTorch's operators as a function of constants, which isn't run where the result would be large."""

    def run(*arguments: Any, **named: Any) -> Any:
        import torch

        operator: Any = torch.ops
        for part in name.removeprefix("torch.ops.").split("."):
            operator = getattr(operator, part)
        given = [_typed(each) for each in arguments]
        rest = {key: _typed(each) for key, each in named.items() if key not in ("device", "layout", "pin_memory")}
        try:
            with torch.device("meta"):
                sizes = operator(*map(_meta, given), **{key: _meta(each) for key, each in rest.items()})
            made = sizes if isinstance(sizes, (list, tuple)) else [sizes]
            if sum(each.numel() for each in made) > LARGEST:
                raise UsageError(f"{name} computes a constant of more than {LARGEST:,} values")
            return operator(*given, **rest)
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
            raise UsageError(f"{name} can't be computed: {str(error).partition(chr(10))[0]:.80}") from None

    return run


def _typed(value: Any) -> Any:
    import torch

    return getattr(torch, value) if isinstance(value, _Type) and value else value


def _meta(value: Any) -> Any:
    if isinstance(value, list):
        return [_meta(each) for each in value]
    return value.to("meta") if hasattr(value, "numel") else value


class _Constants(Mapping[str, Any]):
    """Buffers and constants of such a file as PyTorch's tensors, read when they're asked for."""

    def __init__(self, archive: _Archive) -> None:
        self.archive = archive
        self.places: dict[str, tuple[str, Any]] | None = None

    def _found(self) -> dict[str, tuple[str, Any]]:
        if self.places is None:
            root, self.places = self.archive.root, {}
            for folder, config in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
                for name in sorted(self.archive.names):
                    if re.fullmatch(rf"[^/]*/data/{folder}/{config}\.json", name):
                        for key, each in self.archive.json(name)["config"].items():
                            self.places[key] = (f"{root}/data/{folder}/{each['path_name']}", each)
        return self.places

    def __getitem__(self, name: str) -> Any:
        try:
            member, entry = self._found()[name]
            return self._tensor(member, entry)
        except (TypeError, ValueError, IndexError, AttributeError, RuntimeError, ImportError) as error:
            raise KeyError(name) from error  # what can't be read isn't known

    def _tensor(self, member: str, entry: Mapping[str, Any]) -> Any:
        import torch

        meta = entry["tensor_meta"]
        if entry["use_pickle"] or meta["layout"] != STRIDED:
            raise ValueError("its bytes aren't those of its values")
        kind = getattr(torch, TYPES[meta["dtype"]])
        sizes, strides = ([_size(each) for each in meta[key]] for key in ("sizes", "strides"))
        offset = _size(meta["storage_offset"])
        if prod(sizes) > LARGEST or any(size < 0 for size in [*sizes, *strides, offset]):
            raise ValueError("no tensor of a model is so large")
        data = bytearray(self.archive.bytes(member, LARGEST * 8))
        flat = torch.frombuffer(data, dtype=kind, count=len(data) // kind.itemsize)
        if offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) >= flat.numel():
            raise ValueError("it's larger than its bytes")
        return flat.as_strided(sizes, strides, offset)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())


STRIDED = 7
"""PyTorch's number for tensors whose values lie at regular distances."""
