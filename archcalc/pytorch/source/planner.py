"""Which scopes become classes, which stand in place as `nn.Sequential`, and where equal parts become a loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archcalc.identifiers import Namespace
from archcalc.pytorch.source.names import IMPORTED, argument, attributes, class_names, class_title, counting, title
from archcalc.pytorch.source.pieces import (
    LOOP,
    Code,
    Hole,
    construction,
    module_list,
    numbers,
    sequential,
    template,
    written,
)
from archcalc.pytorch.source.runs import FEW, MOST, equal_in_a_row, gathered
from archcalc.pytorch.source.tree import Laid, Leaf, Part, Run, Scope


@dataclass(eq=False)
class Definition:
    """A class: one scope that stands for all that differ in numbers only, and the names of those numbers."""

    name: str
    example: Scope
    arguments: list[str] = field(default_factory=list)
    body: list[tuple[str, Code]] = field(default_factory=list)
    """Attributes and the code that builds them; a hole's name is the argument that fills it, or empty."""


class Planner:
    """Finds the classes of a network, from the inside out."""

    def __init__(self, laid: Laid, root: Scope, name: str, helpers: Mapping[str, str]) -> None:
        self.laid, self.root, self.helpers = laid, root, helpers
        self._classes = class_names(helpers)
        self._parts: dict[Scope, tuple[Part, ...]] = {}
        self._keys: dict[Leaf | Scope | Run, int] = {}
        self._known: dict[Any, int] = {}
        self._calls: dict[Leaf | Scope | Run, Code] = {}
        self.definitions: list[Definition] = []
        found: dict[int, list[Scope]] = {}
        for scope in inside_out(root):
            if isinstance(scope, Scope) and scope is not root and self.is_class(scope):
                found.setdefault(self.key(scope), []).append(scope)
        for scopes in found.values():
            self._define(scopes)
        body: list[tuple[str, Code]] = [(attribute, (written(code),)) for attribute, code in self._body(root)]
        self.definitions.append(Definition(self._classes.name(class_title(name)), root, body=body))

    def parts(self, what: Scope | Run) -> tuple[Part, ...]:
        """The parts as they are written: of a class, whose `forward` has loops, passes in a row are one."""
        if isinstance(what, Run) or not self.is_class(what):
            return what.parts
        if what not in self._parts:
            self._parts[what] = tuple(gathered(what, self.key))
        return self._parts[what]

    # --- equality -------------------------------------------------------------------------------------------------

    def key(self, what: Leaf | Scope | Run) -> int:
        """Equal for parts whose code differs in numbers only."""
        if what not in self._keys:
            structure = self._structure(what)
            self._keys[what] = self._known.setdefault(structure, len(self._known))
        return self._keys[what]

    def _structure(self, what: Leaf | Scope | Run) -> Any:
        if isinstance(what, Leaf):
            return (what.expression(), len(what.application.output_shape), *template(construction(what.module)))
        if isinstance(what, Run) or not self.is_class(what):
            rows = equal_in_a_row(what.parts, lambda part: self.key(part.what))
            how = isinstance(what, Run) and what.is_shared
            return (type(what), how, *((self.key(row[0].what), sum(part.times for part in row)) for row in rows))
        wires = {wire: number for number, wire in enumerate(what.reads)}
        parts = []
        for part, name in zip(self.parts(what), self.attributes(what), strict=True):
            reads = tuple(wires[wire] for wire in part.reads)
            for wire in part.makes:
                wires[wire] = len(wires)
            parts.append((self.key(part.what), name, reads))
        return (tuple(parts), tuple(wires[wire] for wire in what.makes))

    def is_class(self, scope: Scope) -> bool:
        """Whether a scope has a class: it's the network, or no chain of modules."""
        return scope is self.root or not scope.is_sequential

    # --- code -----------------------------------------------------------------------------------------------------

    def code(self, what: Leaf | Scope | Run) -> Code:
        """What builds a part."""
        if isinstance(what, Leaf):
            return construction(what.module)
        if what in self._calls:
            return self._calls[what]
        if isinstance(what, Run) and what.is_shared:
            return self.code(what.parts[0].what)
        steps = list(self._steps(self.parts(what)))
        if isinstance(what, Run):
            return module_list(steps)
        return steps[0] if len(steps) == 1 and steps[0][0] != LOOP else sequential(steps)

    def _steps(self, parts: Sequence[Part]) -> Iterator[Code]:
        """What builds the modules of a chain, one after the other; several in a comprehension, where that reads well.

        A scope in it stays a module of its own, which holds its input until it returns: see `analyses/lifetimes.py`.
        """
        for run in self._rows(parts):
            loop = self._loop(run)
            yield from [self.code(part.what) for part in run] if loop is None else [loop]

    def _rows(self, parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
        """The parts of a chain, those together that may be a loop."""
        for run in equal_in_a_row(parts, lambda part: self.key(part.what)):
            if self._loop(run) is not None:
                yield run
            else:
                yield from equal_in_a_row(run, lambda part: self.code(part.what))

    def runs(self, parts: Sequence[Part]) -> Iterator[tuple[Sequence[Part], bool]]:
        """The same, and whether they are a loop that only counts its passes."""
        for run in self._rows(parts):
            yield run, self._loop(run) is not None and len({self.code(part.what) for part in run}) == 1

    def _loop(self, run: Sequence[Part]) -> Code | None:
        """The run as a comprehension, if that reads well: few numbers change from pass to pass."""
        first, count = run[0], sum(part.times for part in run)
        if count < (2 if first.what in self._calls else FEW):
            return None
        codes = [self.code(part.what) for part in run]
        if len({template(code) for code in codes}) > 1:
            return None
        columns = list(zip(*(tuple(hole.value for hole in numbers(code)) for code in codes), strict=True))
        varying = list(dict.fromkeys(column for column in columns if len(set(column)) > 1))
        if varying and (len(varying) > MOST or count < FEW or count > len(run) or isinstance(first.what, Leaf)):
            return None
        names = dict(zip(varying, ("c", "d"), strict=False))
        holes = iter(columns)
        body = [piece if isinstance(piece, str) else names.get(next(holes), piece) for piece in codes[0]]
        return (LOOP, *body, f" for {counting(varying, count)}]")

    # --- classes --------------------------------------------------------------------------------------------------

    def _define(self, scopes: list[Scope]) -> None:
        """Classes for scopes that differ in numbers only: one, unless loops over these are written differently."""
        bodies: dict[Any, list[tuple[Scope, list[tuple[str, Code]]]]] = {}
        for scope in scopes:
            body = self._body(scope)
            bodies.setdefault(tuple([(name, template(code)) for name, code in body]), []).append((scope, body))
        for alike in bodies.values():
            self._define_one(*zip(*alike, strict=True))

    def _define_one(self, scopes: Sequence[Scope], bodies: Sequence[list[tuple[str, Code]]]) -> None:
        columns = list(
            zip(*([hole.value for _, code in body for hole in numbers(code)] for body in bodies), strict=True)
        )
        definition = Definition(self._classes.name(class_title(scopes[0].module or title(scopes[0].path))), scopes[0])
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
        for number, scope in enumerate(scopes):
            call: list[str | Hole] = [f"{definition.name}("]
            for place, (column, filled) in enumerate(names.items()):
                call += [*([", "] if place else []), Hole(filled, column[number])]
            self._calls[scope] = (*call, ")")

    def _body(self, scope: Scope) -> list[tuple[str, Code]]:
        """A class's attributes and what builds them, each once."""
        found: dict[str, Code] = {}
        for part, name in zip(self.parts(scope), self.attributes(scope), strict=True):
            if name and name not in found:
                found[name] = self.code(part.what)
        return [*found.items()]

    def attributes(self, scope: Scope) -> list[str]:
        """For each part of a scope the attribute of its class that holds it; nothing where an expression is written.

        Calls of one module have one.
        """
        titles: dict[int, str] = {}
        for number, part in enumerate(self.parts(scope)):
            if not expression(part.what):
                title = part.name if part.holder is None or part.module is None else part.module.name
                titles.setdefault(_holding(number, part), title)
        names = dict(zip(titles, attributes([*titles.values()]), strict=True))
        return [names.get(_holding(number, part), "") for number, part in enumerate(self.parts(scope))]

    def reach(self, what: Leaf | Scope | Run, wire: int, size: int = 0) -> tuple[str, Leaf | Scope]:
        """How to reach a layer from a part, by its wire in it, or the scope of this size that begins there."""
        if isinstance(what, Leaf) or (isinstance(what, Scope) and (wire, size) == (0, what.size)):
            return "", what
        parts = self.parts(what)
        number = next(number for number, part in enumerate(parts) if wire in part.wires)
        part, before = parts[number], sum(part.times for part in parts[:number])
        below, found = self.reach(part.what, wire if isinstance(part.what, Run) else wire - part.start, size)
        if isinstance(what, Scope) and self.is_class(what):
            below = f".{self.attributes(what)[number]}{below}"
        elif not (isinstance(what, Run) and what.is_shared) and not (isinstance(what, Scope) and len(parts) == 1):
            below = f"[{before}]{below}"
        return below, found

    def called_again(self, what: Leaf | Scope | Run, start: int = 0) -> Iterator[tuple[int, int, bool]]:
        """The later calls of modules in a part: where they start, their size, and if they're the first's attribute."""
        for part in () if isinstance(what, Leaf) else what.parts:
            if part.is_again and isinstance(part.what, Scope):
                yield start + part.start, part.what.size, part.holder is not None
            else:
                yield from self.called_again(part.what, start + part.start)


def _holding(number: int, part: Part) -> int:
    """What tells the attributes of a scope's parts apart: the holder's start; of what isn't shared its number."""
    return ~number if part.holder is None else part.holder


def expression(what: Leaf | Scope | Run, names: Sequence[str] = ()) -> str:
    """What `forward` writes for volumes of these names instead of calling a module; empty if it calls one."""
    if isinstance(what, Run):
        what = what.parts[0].what
    return what.expression(names) if isinstance(what, Leaf) else ""


def inside_out(scope: Scope) -> Iterator[Leaf | Scope]:
    """A scope and all that is in it, each once, what is inside first."""
    known: set[Leaf | Scope] = set()

    def walk(what: Leaf | Scope | Run) -> Iterator[Leaf | Scope]:
        if what in known or isinstance(what, Run):
            return
        known.add(what)
        if isinstance(what, Scope):
            for part in what.parts:
                yield from walk(part.what)
        yield what

    yield from walk(scope)
