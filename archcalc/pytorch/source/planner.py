"""Which scopes become classes, which stand in place as `nn.Sequential`, and where equal ones become a loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from archcalc.graph import Node
from archcalc.identifiers import Namespace
from archcalc.pytorch.network import Network
from archcalc.pytorch.source.names import IMPORTED, argument, attributes, class_names, class_title, counting, title
from archcalc.pytorch.source.passes import MOST, gather
from archcalc.pytorch.source.pieces import Code, Hole, construction, module_list, numbers, sequential, template, written
from archcalc.pytorch.source.tree import Branch, Leaf, Part, is_chain


@dataclass(eq=False)
class Definition:
    """A class: one scope that stands for all that differ in numbers only, and the names of those numbers."""

    name: str
    example: Branch
    arguments: list[str] = field(default_factory=list)
    body: list[tuple[str, Code]] = field(default_factory=list)
    """Attributes and the code that builds them; a hole's name is the argument that fills it, or empty."""


class Planner:
    """Finds the classes of a tree, from the inside out."""

    def __init__(self, network: Network, root: Branch, name: str, taken: set[str]) -> None:
        self.network, self._classes = network, class_names(taken)
        self._attributes: dict[Branch, dict[Part, str]] = {}
        self._loops = True
        self._keys: dict[Part, Any] = {}
        self._calls: dict[Branch, Code] = {}
        self.definitions: list[Definition] = []
        self._known: dict[Any, int] = {}
        gather(root, self)
        found: dict[Any, list[Branch]] = {}
        for branch in _inside_out(root):
            if branch is not root and not self.in_place(branch):
                found.setdefault(self.key(branch), []).append(branch)
        for branches in found.values():
            self._define(branches)
        body: list[tuple[str, Code]] = [(attribute, (written(code),)) for attribute, code in self._body(root)]
        self.definitions.append(Definition(self._classes.name(class_title(name)), root, body=body))

    # --- equality -------------------------------------------------------------------------------------------------

    def key(self, part: Part) -> int:
        """Equal for parts whose code differs in numbers only."""
        if part not in self._keys:
            structure = self._structure(part)
            self._keys[part] = self._known.setdefault(structure, len(self._known))
        return self._keys[part]  # type: ignore[no-any-return]

    def _structure(self, part: Part) -> Any:
        if isinstance(part, Leaf):
            return (expression(part.node), len(part.node.shape), *template(self.module_code(part)))
        wires = {wire: number for number, wire in enumerate(part.reads)}
        names = self.attributes(part)
        parts = []
        for inner in part.parts:
            reads = tuple(wires[wire] for wire in inner.reads)
            for wire in inner.makes:
                wires[wire] = len(wires)
            parts.append((self.key(inner), names.get(inner), reads))
        return (part.is_run, tuple(parts), tuple(wires[wire] for wire in part.makes))

    def module_code(self, leaf: Leaf) -> Code:
        """The call that builds a layer's module."""
        return construction(self.network.module_at(leaf.index))

    def in_place(self, branch: Branch) -> bool:
        """Whether a scope is a chain of modules, which `nn.Sequential` runs."""
        return is_chain(branch) and all(isinstance(p, Branch) or expression(p.node) in ("", "x") for p in branch.parts)

    # --- code -----------------------------------------------------------------------------------------------------

    def code(self, part: Part) -> Code:
        """What builds a part."""
        if isinstance(part, Leaf):
            return self.module_code(part)
        if part in self._calls:
            return self._calls[part]
        steps = [code for code, _ in self.steps(part)]
        if part.is_run:
            return module_list(steps)
        return steps[0] if len(steps) == 1 and not written(steps[0]).startswith("*") else sequential(steps)

    def steps(self, branch: Branch) -> Iterator[tuple[Code, list[tuple[Part, str]]]]:
        """The arguments of a chain's `nn.Sequential`; with each, the parts that it holds and how to reach them.

        A scope in it stays a module of its own, which holds its input until it returns: see `analyses/lifetimes.py`.
        """
        parts, position, start = branch.parts, 0, 0
        while start < len(parts):
            part = parts[start]
            run = self._run(parts, start)
            if (loop := self._loop(run)) is not None:
                yield loop, [(each, f"[{position + number}]") for number, each in enumerate(run)]
                start, position = start + len(run), position + len(run)
                continue
            yield self.code(part), [(part, f"[{position}]")]
            position += 1
            start += 1

    def _run(self, parts: list[Part], start: int) -> list[Part]:
        """The parts from `start` on that have equal code, numbers apart."""
        end = start + 1
        while end < len(parts) and self.key(parts[end]) == self.key(parts[start]):
            end += 1
        return parts[start:end]

    def _loop(self, run: list[Part]) -> Code | None:
        """The run as a comprehension, if that reads well: few numbers change from pass to pass."""
        is_class = run[0] in self._calls
        if not self._loops or len(run) < (2 if is_class else 3) or isinstance(run[0], Leaf):
            return None
        codes = [self.code(part) for part in run]
        if len({template(code) for code in codes}) > 1:
            return None
        columns = list(zip(*(tuple(hole.value for hole in numbers(code)) for code in codes), strict=True))
        varying = list(dict.fromkeys(column for column in columns if len(set(column)) > 1))
        if len(varying) > MOST or (varying and len(run) < 3):
            return None
        names = dict(zip(varying, ("c", "d"), strict=False))
        holes = iter(columns)
        body = "".join(
            piece if isinstance(piece, str) else names.get(column := next(holes), str(column[0])) for piece in codes[0]
        )
        return (f"*[{body} for {counting(varying, len(run))}]",)

    # --- classes --------------------------------------------------------------------------------------------------

    def _define(self, branches: list[Branch]) -> None:
        """One class for scopes that differ in numbers only."""
        bodies = [self._body(branch) for branch in branches]
        if len({tuple((name, template(code)) for name, code in body) for body in bodies}) > 1:
            bodies = [self._body(branch, loops=False) for branch in branches]
        columns = list(
            zip(*([hole.value for _, code in body for hole in numbers(code)] for body in bodies), strict=True)
        )
        definition = Definition(self._classes.name(class_title(title(branches[0]))), branches[0])
        names: dict[tuple[int, ...], str] = {}
        given = Namespace(IMPORTED)
        holes = iter(columns)
        for name, code in bodies[0]:
            pieces: list[str | Hole] = []
            for piece in code:
                if isinstance(piece, Hole):
                    column = next(holes)
                    changes = len(set(column)) > 1
                    if changes and column not in names:
                        names[column] = argument(piece.name, name, given, names.values())
                    pieces.append(Hole(names[column] if changes else "", piece.value))
                else:
                    pieces.append(piece)
            definition.body.append((name, tuple(pieces)))
        definition.arguments = list(names.values())
        self.definitions.append(definition)
        for number, branch in enumerate(branches):
            call: list[str | Hole] = [f"{definition.name}("]
            for place, (column, filled) in enumerate(names.items()):
                call += [*([", "] if place else []), Hole(filled, column[number])]
            self._calls[branch] = (*call, ")")

    def _body(self, branch: Branch, loops: bool = True) -> list[tuple[str, Code]]:
        """A class's attributes and what builds them."""
        self._loops = loops
        body = [(name, self.code(part)) for part, name in self.attributes(branch).items()]
        self._loops = True
        return body

    def attributes(self, branch: Branch) -> dict[Part, str]:
        """The attributes of a scope's class that hold its parts; parts without a module have none."""
        if branch not in self._attributes:
            built = [part for part in branch.parts if has_module(part)]
            names = attributes([part.name for part in built])
            self._attributes[branch] = dict(zip(built, names, strict=True))
        return self._attributes[branch]

    def access(self, part: Part, index: int) -> str:
        """How to reach the module of a node from the one that a part builds."""
        if isinstance(part, Leaf):
            return ""
        if part in self._calls or part is self.definitions[-1].example:
            inner = next(inner for inner in part.parts if _holds(inner, index))
            return f".{self.attributes(part)[inner]}{self.access(inner, index)}"
        held = [pair for _, pairs in self.steps(part) for pair in pairs]
        inner, path = next((inner, path) for inner, path in held if _holds(inner, index))
        looped = written(next(iter(self.steps(part)))[0]).startswith("*")
        return ("" if len(held) == 1 and not looped else path) + self.access(inner, index)


def has_module(part: Part) -> bool:
    """Whether a part is built, rather than written as an expression."""
    return isinstance(part, Branch) or not expression(part.node)


def expression(node: Node, names: Sequence[str] = ()) -> str:
    """What `forward` writes for volumes of these names instead of calling a module; empty if it calls one."""
    return node.layer.expression(names or ["x"] * len(node.inputs), node.shape)


def _holds(part: Part, index: int) -> bool:
    return part.index == index if isinstance(part, Leaf) else any(_holds(inner, index) for inner in part.parts)


def _inside_out(branch: Branch) -> Iterator[Branch]:
    for part in branch.parts:
        if isinstance(part, Branch):
            yield from _inside_out(part)
    yield branch
