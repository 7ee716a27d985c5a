"""A PyTorch module as the operations that it runs, in order, each with the submodule that runs it.

The module is exported once, with fixed sizes and on PyTorch's meta device where it can be: without memory for weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import UsageError
from archcalc.importers.operations.exporting import program_of

if TYPE_CHECKING:
    from torch import nn
    from torch.fx import Node as FxNode

WITHOUT_EFFECT = re.compile(r"^(_assert|sym_|lift_fresh|detach|alias|contiguous|clone|_guards)")
"""Operations that make no other values of what they read."""
CAST = re.compile(r"^(_to_copy|to\.|type_as|bool$|float$|int$|long$)")
"""Operations that make values of another sort, or of none."""
STATE = re.compile(r"(loss|state|cache_params)$|past_|hidden_states|(cross_)?attentions|encoder_|.*_model_output")
"""Names of what modules give out beside that."""
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')


class Stored(NamedTuple):
    """A parameter or a buffer: the name by which the module has it, and its shape.

    `rows` are those of it that are meant, if not all, and in which order: stretches of them, each from the first to
    the one after the last, perhaps with steps; along another `axis` of matrices that lie together. A matrix that is
    `turned` has its inputs as rows. What is learned is `plus` less than what is meant.
    `places` are those of its numbers in ours, if they are in another order than rows.
    """

    name: str
    shape: tuple[int, ...]
    learned: bool
    rows: tuple[tuple[int, ...], ...] | None = None
    turned: bool = False
    plus: int = 0
    places: tuple[int, ...] = ()
    axis: int = 0

    def part_of_rows(self, stretches: Sequence[tuple[int, int]]) -> Stored:
        """Of the rows that are meant those of some stretches."""
        found = list[tuple[int, int]]()
        for start, stop in stretches:
            before = 0
            for first, last in self.rows or ((0, self.shape[0]),):
                begin, end = max(start, before), min(stop, before + last - first)
                if begin < end:
                    found.append((first + begin - before, first + end - before))
                before += last - first
        count = sum(stop - start for start, stop in stretches)
        return self._replace(rows=tuple(found), shape=(count, *self.shape[1:]))


class Result(NamedTuple):
    """What an operation made: its number among them, and which of its several outputs."""

    operation: int
    part: int = 0


class Entered(NamedTuple):
    """One of the module's inputs."""

    number: int


Inputs: TypeAlias = "Sequence[Any] | Mapping[str, Any]"
"""Example inputs, in order or by name."""
Operand: TypeAlias = Any
"""A `Result`, an `Entered`, a `Stored`, a number or a word, or a list of them."""


class Around(NamedTuple):
    """A submodule that runs an operation: its path, its class's name, and how often it was called before."""

    path: str
    kind: str
    call: int


@dataclass(frozen=True)
class Operation:
    """One of PyTorch's operators with what it read, what it made, and who ran it: `conv2d` in `layer1.0.conv1`.

    `shape` is that of its output, or of its first one; the submodules `around` it stand from the outermost in.
    """

    name: str
    arguments: tuple[Operand, ...]
    named: Mapping[str, Operand]
    shape: tuple[int, ...]
    around: tuple[Around, ...]
    line: str
    target: Any = None
    shapes: tuple[tuple[int, ...], ...] = ()
    """Those of all outputs, if there are several."""

    def replaced(self, name: str, *arguments: Operand, **named: Operand) -> Operation:
        """Another operation in its place."""
        return Operation(name, arguments, named, self.shape, self.around, self.line, shapes=self.shapes)

    def given(self, *arguments: Operand) -> Operation:
        """The same with other operands."""
        return Operation(self.name, arguments, {}, self.shape, self.around, self.line)

    def reading(self, arguments: Sequence[Operand]) -> Operation:
        """The same with operands in the places of its own."""
        return Operation(self.name, tuple(arguments), self.named, self.shape, self.around, self.line, self.target)

    def within(self, around: tuple[Around, ...]) -> Operation:
        """The same in other submodules."""
        return Operation(self.name, self.arguments, self.named, self.shape, around, self.line, self.target)


NOTHING = Operation("", (), {}, (), (), "")
"""What is in the place of an operation that nothing reads any more."""


@dataclass(frozen=True)
class Exported:
    """All operations of a module, the shapes that enter it, and what it gives out."""

    name: str
    inputs: tuple[tuple[str, tuple[int, ...], bool], ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Operand, ...]
    constants: Mapping[str, Any]
    """The values of buffers, where they are known."""
    buffers: frozenset[str] = frozenset()
    """The names of all buffers; other tensors that aren't learned are constants in the code."""
    decided: tuple[str, ...] = ()
    """The lines, as file:line, that chose the way by the examples' values."""
    original: tuple[Operation, ...] = ()
    """Its operations as they ran, where `operations` has others in their place, or nothing."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Which inputs are integers."""
        return tuple(place for place, (_, _, is_integer) in enumerate(self.inputs) if is_integer)


def called(module: nn.Module, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a module is called with: its inputs, in order or by name, and no cache of what it has read."""
    named = dict(inputs) if isinstance(inputs, Mapping) else {}
    caches = {"use_cache": False} if "use_cache" in signature(module.forward).parameters else {}
    return () if isinstance(inputs, Mapping) else tuple(inputs), caches | named


def meant(names: Sequence[Any]) -> list[Any]:
    """Of the names of a module's outputs those of what it's for: scores, or else what isn't a state on the way."""
    scores = [name for name in names if "logits" in str(name)]
    return scores or [name for name in names if not STATE.match(str(name))] or list(names)


def exported(module: nn.Module, inputs: Inputs, name: str = "", constants: Mapping[str, Any] | None = None) -> Exported:
    """Export a module with example inputs, in evaluation mode; `constants` are its buffers, if it has none in memory.

    Raises: NeedsValues: its way depends on values, and it has none. UsageError: it fails on such inputs, gives out no
    tensor, or PyTorch can't export it; the message has the user's own line.
    """
    training = module.training
    module.eval()
    try:
        program, decided = program_of(module, *called(module, inputs))
    finally:
        module.train(training)
    found = _Reader(module, program, constants or {}).read(name or type(module).__name__)
    if not found.outputs:
        raise UsageError(f"{type(module).__name__} gives out no tensor", "what forward returns is the network's output")
    return replace(found, decided=decided)


class _Reader:
    """Reads a `torch.export.ExportedProgram`."""

    def __init__(self, module: nn.Module, program: Any, constants: Mapping[str, Any]) -> None:
        import torch
        from torch.export.graph_signature import InputKind

        self.graph, self.out_spec = program.graph, program.call_spec.out_spec
        self.constants = {name: each for name, each in module.named_buffers() if not each.is_meta} | dict(constants)
        self.buffers = frozenset(name for name, _ in module.named_buffers())
        self.values: dict[str, Operand] = {}
        self.operations: list[Operation] = []
        self.inputs: list[tuple[str, tuple[int, ...], bool]] = []
        shapes = {each.name: each for each in self.graph.nodes if each.op == "placeholder"}
        stored = dict(module.named_parameters(remove_duplicate=False)) | dict(
            module.named_buffers(remove_duplicate=False)
        )
        first: dict[int, str] = {id(each): name for name, each in reversed(stored.items())}
        for spec in program.graph_signature.input_specs:
            at = spec.arg.name
            if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
                known = stored.get(spec.target)
                if known is None:  # a tensor that no module has by a name: perhaps another name of a parameter
                    known = program.constants.get(spec.target)
                    alike = (each for each in stored.values() if _is_same(each, known))
                    known = next(alike, known)
                    if not isinstance(known, torch.nn.Parameter) and known is not None and not known.is_meta:
                        self.constants[spec.target] = known
                owner = first.setdefault(id(known), spec.target)
                self.values[at] = Stored(owner, _shape(shapes[at]), isinstance(known, torch.nn.Parameter))
            elif at in shapes and hasattr(shapes[at].meta.get("val"), "shape"):
                self.values[at] = Entered(len(self.inputs))
                value = shapes[at].meta["val"]
                self.inputs.append((at, _shape(shapes[at]), not value.is_floating_point()))

    def read(self, name: str) -> Exported:
        outputs: tuple[Operand, ...] = ()
        for node in self.graph.nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                flat = [self._operand(each) for each in _meant(node.args[0], self.out_spec)]
                outputs = tuple(each for each in flat if isinstance(each, (Result, Entered)))
        return Exported(name, tuple(self.inputs), tuple(self.operations), outputs, self.constants, self.buffers)

    def _call(self, node: FxNode) -> None:
        name = _name(node.target)
        if _is_number(node.meta.get("val")):
            return  # of a program that asks for values: what it did with them is done
        source: Any = node.args[0] if node.args else None
        if _is_kept_apart(node):
            before, self.values[source.name] = self.values[source.name], self._copy(source, node)
            self._read(node, name)
            self.values[source.name] = before
        else:
            self._read(node, name)

    def _read(self, node: FxNode, name: str) -> None:
        if name == "getitem":
            source = self._operand(node.args[0])
            part: Any = node.args[1]
            self.values[node.name] = source._replace(part=part) if isinstance(source, Result) else source
        elif WITHOUT_EFFECT.match(name) or (CAST.match(name) and not _sorts(node)):
            if node.args and isinstance(source := self._operand(node.args[0]), (Result, Entered, Stored)):
                self.values[node.name] = source
        else:
            self.values[node.name] = Result(len(self.operations))
            arguments = tuple(map(self._operand, node.args))
            named = {key: self._operand(value) for key, value in node.kwargs.items()}
            name, target = _sorts(node) if CAST.match(name) else name, node.target
            made = Operation(name, arguments, named, _shape(node), _around(node), _line(node), target, _shapes(node))
            self.operations.append(made)

    def _copy(self, source: FxNode, node: FxNode) -> Result:
        """Copy what an operation reads, which is changed later, or the operation's own result is."""
        import torch

        made = Operation(
            "clone.default", (self._operand(source),), {}, _shape(source), _around(node), _line(node),
            torch.ops.aten.clone.default, _shapes(source),
        )  # fmt: skip
        self.operations.append(made)
        return Result(len(self.operations) - 1)

    def _operand(self, value: Any) -> Operand:
        if isinstance(value, (list, tuple)):
            return [self._operand(each) for each in value]
        return self.values.get(value.name) if hasattr(value, "op") else value


def _is_kept_apart(node: FxNode) -> bool:
    """Whether it's a copy of what it reads, under whatever name, and either is changed in place later."""
    name, alias = _name(node.target), _alias(node)
    if not (WITHOUT_EFFECT.match(name) or CAST.match(name) or (alias is not None and not alias.is_write)):
        return False
    memories = {_memory(node), _memory(node.args[0] if node.args else None)}
    if None in memories or len(memories) == 1:
        return False
    later: Any = node.next
    while later.op != "root":
        alias = _alias(later)
        if alias is not None and alias.is_write and _memory(later) in memories:
            return True
        later = later.next
    return False


def _memory(node: Any) -> int | None:
    """A number of the memory in which a tensor lies; None of what is no tensor."""
    value: Any = node.meta.get("val") if hasattr(node, "meta") else None
    return value.untyped_storage()._cdata if hasattr(value, "untyped_storage") else None


def _alias(node: FxNode) -> Any:
    """What an operation's schema says about its result and its first input's memory; None if it says nothing."""
    schema = getattr(node.target, "_schema", None)
    return schema.returns[0].alias_info if schema is not None and schema.returns else None


def _is_number(value: Any) -> bool:
    """Whether something made is a number, perhaps one that depends on values."""
    return isinstance(value, (int, float)) or type(value).__name__ in ("SymInt", "SymFloat", "SymBool")


def _is_same(one: Any, other: Any) -> bool:
    """Whether two tensors are one in memory."""
    return other is not None and one.shape == other.shape and one.data_ptr() == other.data_ptr() != 0


def _sorts(node: FxNode) -> str:
    """What a cast does: nothing for floats that stay floats, of integers `cast`, and of floats `rounded`."""
    before, after = (each.meta["val"].dtype for each in (node.args[0], node))  # type: ignore[union-attr]
    if before == after or (before.is_floating_point and after.is_floating_point):
        return ""
    return "rounded" if before.is_floating_point else "cast"


def _meant(flat: Sequence[Any], spec: Any) -> list[Any]:
    """Of all that a module gives out what is meant."""
    if spec is None or not isinstance(spec.type, type) or not issubclass(spec.type, Mapping):
        return list(flat)
    counts = [each.num_leaves for each in spec.children()]
    ends = accumulate(counts)
    parts = {name: flat[end - count : end] for name, count, end in zip(spec.context, counts, ends, strict=True)}
    return [each for name in meant(list(parts)) for each in parts[name]]


def _name(target: Any) -> str:
    """An operator's name without its namespace and its default overload: `conv2d`, `add.Tensor`."""
    if not hasattr(target, "_schema"):
        return getattr(target, "__name__", str(target))
    name = target._schema.name.rpartition("::")[2]
    return f"{name}.{target._overloadname}" if target._overloadname not in ("", "default") else name


def _shape(node: FxNode) -> tuple[int, ...]:
    value: Any = node.meta.get("val")
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return _sizes(value)


def _sizes(value: Any) -> tuple[int, ...]:
    """The shape of a tensor; of one whose shape depends on values, that in the example."""
    return tuple(map(_number, getattr(value, "shape", ())))


def _number(size: Any) -> int:
    if isinstance(size, int):
        return size
    return int(size.node.expr.xreplace(size.node.shape_env.real_tensor_prop_unbacked_vals))


def _shapes(node: FxNode) -> tuple[tuple[int, ...], ...]:
    value: Any = node.meta.get("val")
    several = value if isinstance(value, (list, tuple)) else ()
    return tuple(map(_sizes, several))


def _around(node: FxNode) -> tuple[Around, ...]:
    found = []
    for key, (path, kind) in (node.meta.get("nn_module_stack") or {}).items():
        call = re.search(r"@(\d+)$", key)
        name = kind if isinstance(kind, str) else kind.__qualname__
        found.append(Around(path, name.rpartition(".")[2], int(call[1]) if call else 0))
    return tuple(found[1:])


def _line(node: FxNode) -> str:
    """The innermost line outside PyTorch, as file:line."""
    frames = [match for match in FRAME.finditer(node.meta.get("stack_trace") or "") if "/torch/" not in match["file"]]
    return f"{frames[-1]['file']}:{frames[-1]['line']}" if frames else ""
