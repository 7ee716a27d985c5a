"""ONNX's nodes as PyTorch's operations, so that whatever is lifted of a module is lifted of a file, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias, TypeVar

from archcalc.errors import UsageError
from archcalc.importers.onnx.inference import Inference
from archcalc.importers.onnx.model import Node, shortest
from archcalc.importers.onnx.patterns import Found, found_in
from archcalc.importers.onnx.tensors import FLOATS, Value
from archcalc.importers.operations.exported import Entered, Operand, Operation, Result, Stored

Translation: TypeAlias = "Callable[[Site], Operand | list[Operand]]"
T = TypeVar("T", bound=Translation)
NODES: dict[str, Translation] = {}
FOREIGN = "onnx."
"""What stands ahead of the names of operations that PyTorch hasn't."""


def node(*operations: str) -> Callable[[T], T]:
    """Declare how ONNX's operations of these names are translated."""

    def declare(translation: T) -> T:
        NODES.update(dict.fromkeys(operations, translation))
        return translation

    return declare


class Target(NamedTuple):
    """One of PyTorch's operators, which is looked up when it's called."""

    name: str

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        import torch

        name, _, overload = self.name.partition(".")
        return getattr(getattr(torch.ops.aten, name), overload or "default")(*arguments, **named)


class Translator:
    """Translates the nodes of a graph, in order."""

    def __init__(self, inference: Inference) -> None:
        self.values = inference.values
        self.operations: list[Operation] = []
        self.operands: dict[str, Operand] = {name: Entered(at) for at, name in enumerate(inference.inputs)}
        self.inference = inference
        self.tables = {each.inputs[0] for each in inference.nodes if each.op == "Gather"}
        self.aliases: dict[str, str] = {}
        """Of names of parameters that stand for a tensor which the file calls otherwise: that."""
        self.owners: dict[str, dict[str, list[str]]] = {}
        """Of each tensor the submodules that read it, each with the nodes that do."""

    def translate(self) -> None:
        """All of them.

        Raises: UsageError: one works in a way that isn't understood.
        """
        nodes = self.inference.nodes
        outputs = [each.name for each in self.inference.file.graph.output]
        found = found_in(nodes, self.values, outputs)
        for each in nodes:
            match = found.get(each.out)
            if match is None and each.out in found:
                continue
            site = Site(self, each, match)
            translation = NODES.get(match.layer if match else each.op, other)
            made = translation(site)
            made = made if isinstance(made, list) else [made]
            self.operands.update(zip(each.outputs, made, strict=False))

    def operand(self, name: str) -> Operand:
        """What an operation reads by a name: what was made, or a tensor of the file."""
        if name not in self.operands:
            value, source = self.values[name], self.inference.file.turned.get(name)
            if source is not None:
                self.operands[name] = turned(Stored(source, value.shape[::-1], not value.fixed))
            else:
                self.operands[name] = Stored(name, value.shape, not value.fixed)
        return self.operands[name]


class Site:
    """A node, or the last one of a pattern, as it's translated."""

    def __init__(self, translator: Translator, at: Node, found: Found | None) -> None:
        self.translator, self.node, self.found = translator, at, found
        names = at.inputs if found is None else tuple(found.read.values())
        self.names = list(names)

    # --- what it reads --------------------------------------------------------------------------------------------

    def value(self, place: int | str) -> Value | None:
        """What an input is, by its place, or by the pattern's name; none if it isn't given."""
        name = self._name(place)
        return self.translator.values[name] if name else None

    def read(self, place: int | str) -> Operand:
        """An input as an operand."""
        name = self._name(place)
        return self.translator.operand(name) if name else None

    def weight(self, place: int | str, learned: bool = True) -> Stored | None:
        """A parameter, or a buffer, that a layer has as its own.

        Files hold equal tensors once: layers of different submodules that read one have one each.
        """
        name = self._name(place)
        if not name:
            return None
        operand = self.translator.operand(name)
        if not isinstance(operand, Stored):
            return operand  # type: ignore[no-any-return]  # the lifter says what's wrong with it
        return self.own(operand)._replace(learned=learned)

    def judged(self, operand: Operand) -> Operand:
        """An operand; a table of which nothing says whether it's learned isn't, if it hides positions."""
        value = self.translator.values.get(operand.name) if isinstance(operand, Stored) and operand.learned else None
        if value is None or value.held is None or operand.name in self.translator.inference.file.learned:
            return operand
        if len(value.shape) < 2 or prod(value.shape[:-2]) != 1 or float(value.held.array().min()) > HIDDEN:
            return operand
        self.translator.values[operand.name] = value._replace(fixed=True)
        self.translator.operands[operand.name] = operand._replace(learned=False)
        return self.translator.operands[operand.name]

    def own(self, stored: Stored) -> Stored:
        """A tensor by a name that no layer of another submodule has; a submodule that reads its own is called again.

        A table of embeddings may be another layer's matrix, too.
        """
        if stored.name in self.translator.tables:
            return stored
        path = self.node.around[-1].path if self.node.around else ""
        owners = self.translator.owners.setdefault(stored.name, {})
        again = next((each for each in (path, re.sub(r"_\d+$", "", path)) if path and each in owners), None)
        if again is not None:
            if self.node.out not in owners[again]:
                owners[again].append(self.node.out)
            last = self.node.around[-1]._replace(path=again, call=owners[again].index(self.node.out))
            self.node = self.node._replace(around=(*self.node.around[:-1], last))
        else:
            owners[path] = [self.node.out]
        number = list(owners).index(path if again is None else again)
        if number == 0:
            return stored
        name = f"{stored.name}#{number + 1}"
        self.translator.aliases[name] = self.translator.aliases.get(stored.name, stored.name)
        return stored._replace(name=name)

    def shape(self, place: int | str = 0) -> tuple[int, ...]:
        """The sizes of an input."""
        found = self.value(place)
        return found.shape if found else ()

    def numbers(self, place: int) -> list[Any] | None:
        """The values of an input that says how the operation works; None if it isn't given.

        Raises: UsageError: they aren't known.
        """
        found = self.value(place)
        if found is None:
            return None
        array = found.array() if found.fixed or found.held else None
        if array is None or array.size > MANY:
            raise self.refusal(f"{self.node.op} works in a way that depends on what enters")
        return [shortest(each) if found.element in FLOATS else each for each in array.reshape(-1).tolist()]

    def number(self, place: int) -> Any:
        """A single one of them."""
        found = self.numbers(place)
        return found[0] if found else None

    def scalar(self, place: int) -> Operand:
        """An input as a number, if it's one that is known; else as an operand."""
        found = self.value(place)
        if found and found.fixed and prod(found.shape) == 1 and len(found.shape) <= len(self.out):
            return self.number(place)
        return self.read(place)

    def given(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.node.attributes.get(name, default)

    def axes(self) -> list[int] | None:
        """Axes, which are an input of later operator sets and an attribute of earlier ones."""
        return (
            self.given("axes") if "axes" in self.node.attributes else self.numbers(1) if len(self.names) > 1 else None
        )

    @property
    def out(self) -> tuple[int, ...]:
        """The sizes of its first output."""
        return self.translator.values[self.node.out].shape

    @property
    def outs(self) -> list[tuple[int, ...]]:
        """Those of all."""
        return [self.translator.values[name].shape for name in self.node.outputs if name]

    def _name(self, place: int | str) -> str:
        if isinstance(place, str):
            return self.found.read.get(place, "") if self.found else ""
        return self.names[place] if place < len(self.names) else ""

    # --- what it makes --------------------------------------------------------------------------------------------

    def emit(self, name: str, *arguments: Operand, shape: Sequence[int] | None = None, **named: Operand) -> Result:
        """Add an operation of PyTorch; its sizes are those of the node's output unless they are given."""
        done = self.translator.operations
        made = self.out if shape is None else tuple(shape)
        target = None if name.startswith(FOREIGN) else Target(name)
        done.append(Operation(name, arguments, named, made, self.node.around, self.node.line, target))
        return Result(len(done) - 1)

    def refusal(self, what: str) -> UsageError:
        """What isn't understood."""
        at = self.node.around[-1].path if self.node.around else "the network itself"
        return UsageError(f"{at}: {what}", f"at {self.node.line}")


HIDDEN = -1e4
"""What is added to a score so that its position isn't seen is this or less, down to minus infinity."""
MANY = 4096
"""Numbers that say how an operation works: there are never more."""


def other(site: Site) -> list[Operand]:
    """An operation that has no counterpart: whoever lifts it sees its name and its sizes."""
    made = site.emit(FOREIGN + site.node.op, *map(site.read, range(len(site.names))))
    return [made._replace(part=number) for number in range(len(site.node.outputs))]


def turned(weight: Stored) -> Stored:
    """A matrix whose rows are inputs as PyTorch has it; or one that was transposed, as it was."""
    return weight._replace(shape=weight.shape[::-1], turned=not weight.turned)


def flat(stored: Operand) -> Operand:
    """A tensor without axes of size 1."""
    return stored._replace(shape=(prod(stored.shape),)) if isinstance(stored, Stored) else stored
