"""An ONNX file as nodes and names: what it holds, checked, with sizes for what enters and names for submodules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from archcalc.data import dataclass
from archcalc.errors import UsageError
from archcalc.importers.onnx.tensors import Held
from archcalc.importers.onnx.wire import without_tensors
from archcalc.importers.operations.exported import FRAME, Around

OLDEST = 13
"""Of the operator sets that are read: since then axes and sizes have been written as they are today."""
BATCH = 2
"""Examples that enter where a file leaves their number open."""
LISTED = 4000
"""Characters of a list of names in a node's metadata."""
METADATA = "pkg.torch.onnx."
FOLDED = "pkg.onnxscript.optimizer.folded_from"
SIGNATURE = "pkg.torch.export.graph_signature.InputSpec.kind"


class Node(NamedTuple):
    """An operation: its name among ONNX's, the names of what it reads and makes, and who ran it."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    around: tuple[Around, ...]
    line: str
    proto: Any

    @property
    def out(self) -> str:
        """The name of its first output."""
        return self.outputs[0]


@dataclass(frozen=True)
class File:
    """A file's graph, its operator sets by domain, and what its exporter says of tensors.

    That is which are learned and which aren't, and which are others transposed.
    """

    path: Path
    graph: Any
    opsets: Mapping[str, int]
    learned: Mapping[str, bool]
    turned: Mapping[str, str]

    def held(self) -> Iterator[tuple[str, Held]]:
        """Its tensors by name."""
        for proto in self.graph.initializer:
            yield proto.name, Held(proto, self.path)


def need_onnx() -> None:
    """See that there is a reader of ONNX.

    Raises: UsageError: there is none.
    """
    try:
        import onnx  # noqa: F401  # is it there?
    except ImportError as error:
        if error.name and not error.name.startswith("onnx"):
            raise UsageError(f"onnx can't be imported: {error}", "pip install 'archcalc[onnx]'") from None
        raise UsageError("this needs onnx", "pip install 'archcalc[onnx]'") from None


def opened(path: Path) -> File:
    """A file's graph, without its large tensors.

    Raises: UsageError: it can't be read, isn't ONNX, or of an operator set that isn't known.
    """
    need_onnx()
    import onnx

    slim = without_tensors(path)
    try:
        model = onnx.ModelProto.FromString(slim)
        opsets = {each.domain or "ai.onnx": each.version for each in model.opset_import}
        if not model.graph.node or not opsets:
            raise UsageError(f"'{path}' isn't an ONNX file: it has no {'nodes' if opsets else 'operator set'}")
        _check_opset(path, opsets)
        if model.functions:
            import onnx.inliner

            model = onnx.inliner.inline_local_functions(model)
    except UsageError:
        raise
    except Exception as error:  # protobuf's own classes, and whatever the inliner raises
        raise UsageError(f"'{path}' isn't an ONNX file: {str(error).partition(chr(10))[0]:.200}") from None
    return File(path, model.graph, opsets, _learned(model.graph), _turned(model.graph))


def _check_opset(path: Path, opsets: Mapping[str, int]) -> None:
    from onnx import __version__, defs

    found, newest = opsets.get("ai.onnx", 0), defs.onnx_opset_version()
    if found < OLDEST:
        hint = f"export it again, or convert it: onnx.version_converter.convert_version(model, {OLDEST})"
        raise UsageError(f"'{path}' has operator set {found}, and {OLDEST} is the oldest that is read", hint)
    if found > newest:
        hint = "pip install --upgrade onnx"
        raise UsageError(f"'{path}' has operator set {found}, and onnx {__version__} knows {newest}", hint)


def _learned(graph: Any) -> dict[str, bool]:
    """Which tensors are parameters and which are not, where PyTorch's newer exporter has written it down.

    A tensor that it computed of a single other one is that one's transposition: a parameter.
    """
    said = {info.name: {pair.key: pair.value for pair in info.metadata_props} for info in graph.value_info}
    found = {name: each[SIGNATURE] == "PARAMETER" for name, each in said.items() if SIGNATURE in each}
    if not any(found.values()):
        return {}
    alone = {name for name, each in said.items() if len(_names(each.get(FOLDED, ""))) == 1}
    return {each.name: found.get(each.name, each.name in alone and len(each.dims) > 1) for each in graph.initializer}


def _turned(graph: Any) -> dict[str, str]:
    """Of matrices that the file has twice, transposed, too, the one as which the network has it."""
    sizes = {proto.name: list(proto.dims) for proto in graph.initializer}
    found = {}
    for info in graph.value_info:
        metadata = {pair.key: pair.value for pair in info.metadata_props}
        source = next(iter(_names(metadata.get(FOLDED, ""))), "")
        if info.name in sizes and len(sizes[info.name]) == 2 and sizes.get(source) == sizes[info.name][::-1]:
            found[info.name] = source
    return found


def node_of(proto: Any) -> Node:
    """A node with its attributes as Python has them."""
    attributes = {each.name: _attribute(each) for each in proto.attribute}
    metadata = {pair.key.removeprefix(METADATA): pair.value for pair in proto.metadata_props}
    around = tuple(_around(proto.name, metadata))
    return Node(
        proto.op_type, tuple(proto.input), tuple(proto.output), attributes, around, _line(proto.name, metadata), proto
    )


def _attribute(proto: Any) -> Any:
    from onnx import helper

    value = helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return shortest(value)
    return value if isinstance(value, (int, str)) or not isinstance(value, Sequence) else list(value)


def shortest(value: float) -> float:
    """A float of 32 bits as people write it: 1e-05, not 9.999999747378752e-06."""
    import numpy

    return float(str(numpy.float32(value)))


# --- submodules ---------------------------------------------------------------------------------------------------


def _around(name: str, metadata: Mapping[str, str]) -> Iterator[Around]:
    """The submodules that a node is of: PyTorch's newer exporter lists them, and its older one's names are paths."""
    scopes, classes = (_names(metadata.get(key, "")) for key in ("name_scopes", "class_hierarchy"))
    if scopes and len(scopes) == len(classes):
        for path, kind in zip(scopes[1:-1], classes[1:-1], strict=True):
            yield Around(_dotted(path), kind.rpartition(".")[2], 0)
        return
    path = ""
    for part in name.strip("/").split("/")[:-1]:
        path = _below(path, part)
        yield Around(path, _class_of(path), 0)


def _below(path: str, part: str) -> str:
    """A submodule's path: `layer1.0` within `layer1` is itself, `conv1` within `layer1.0` is `layer1.0.conv1`."""
    before, names = path.split("."), _dotted(part).split(".")
    again = (size for size in range(len(names) - 1, 0, -1) if before[-size:] == names[:size])
    return ".".join([*before, *names[next(again, 0) :]]).strip(".")


def _class_of(path: str) -> str:
    """What to call the class of a submodule of which only the path is known: `layer1.0` is a layer."""
    names = [re.sub(r"[_\d]+$", "", name) for name in path.split(".")]
    return next((name for name in reversed(names) if name), "")


def _dotted(path: str) -> str:
    """A path whose parts can be names."""
    return ".".join(re.sub(r"\W", "_", part, flags=re.ASCII) for part in path.split(".") if part)


def _names(text: str) -> list[str]:
    """A list of names as PyTorch's exporter writes it into metadata; none if it's something else."""
    try:
        found = ast.literal_eval(text) if text.startswith("[") and len(text) < LISTED else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else []


def _line(name: str, metadata: Mapping[str, str]) -> str:
    """The innermost line outside PyTorch, if the exporter has kept it; else the node."""
    frames = [match for match in FRAME.finditer(metadata.get("stack_trace", "")) if "/torch/" not in match["file"]]
    return f"{frames[-1]['file']}:{frames[-1]['line']}" if frames else f"node '{name:.100}'"
