"""A graph's tree of composites and names, and the flat list of its nodes as a view of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Any, NamedTuple

from archcalc.errors import Mark, UsageError
from archcalc.graph.application import Application, Node
from archcalc.graph.composite import Call, Composite, Item, Module, Repeat, alike, counts, depth_symbols
from archcalc.graph.labels import UNNAMED, Alias, Label, Numbered, same_labels
from archcalc.graph.shared import Around, calls, holder, owner_of
from archcalc.work import spend

MAX_LAYERS = 500_000
"""Layers that are listed, or looked at one by one."""
LISTED = 2
"""Steps for each."""


class TooManyLayers(UsageError):
    """What looks at layers one by one would have to look at too many."""

    def __init__(self, name: str, layers: int) -> None:
        message = f"{name} has {layers:,} layers; at most {MAX_LAYERS:,} can be looked at one by one"
        super().__init__(message, "totals need no list: archcalc.analyze(graph).totals['params']")

    def __reduce__(self) -> tuple[Any, ...]:
        return UsageError, (self.args[0], self.hint)


class NoNumber(UsageError):
    """What needs a number of layers, where that is a symbol."""


class Place(NamedTuple):
    """A part of a tree where it stands: its first node, what enters it as nodes, its path, and its names."""

    call: Call
    label: Label | None
    start: int
    reads: tuple[int, ...]
    path: str

    def node(self, wire: int) -> int:
        """A wire of this part as a node."""
        return self.start + wire if wire >= 0 else self.reads[~wire]

    @property
    def prefix(self) -> str:
        """What the names in it begin with."""
        return f"{self.path}/" if self.path else ""


class Tree:
    """The items of a whole graph, and their names."""

    def __init__(self, body: Composite, label: Label) -> None:
        self.body, self.label = body, label

    def __reduce__(self) -> tuple[type[Tree], tuple[Composite, Label]]:
        return Tree, (self.body, self.label)

    def __eq__(self, other: object) -> bool:
        """Whether the trees are equal; equal graphs may have trees that aren't."""
        if not isinstance(other, Tree):
            return NotImplemented
        return alike(self.body, other.body, set()) and same_labels(self.label, other.label, set())

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_open(self) -> bool:
        """Whether the number of its layers is a symbol."""
        return bool(depth_symbols(self.body))

    @property
    def root(self) -> Place:
        """The tree as a part of itself."""
        return Place(self.body, self.label, 0, (), "")

    @staticmethod
    def of(nodes: Iterable[Node], scopes: Mapping[str, int]) -> Tree:
        """A tree without branches: nodes as they are."""
        nodes = tuple(nodes)
        body = Composite(Item(node.application, node.inputs, node.tied) for node in nodes)
        aliases = (Alias(len(nodes), name, index) for name, index in scopes.items())
        marks = tuple(node.mark for node in nodes)
        return Tree(body, Label(tuple(node.name for node in nodes), marks, (None,) * len(nodes), tuple(aliases)))

    def nodes(self) -> tuple[Node, ...]:
        """Every node, in order."""
        spend(LISTED * self.body.size, "listing so many layers")
        found: list[Node] = []
        _Writer(found).write(self.body, self.label, 0, (), "")
        return tuple(found)

    def node(self, index: int) -> Node:
        """One node, without the others.

        Raises: IndexError: there are not so many.
        """
        if not 0 <= index < self.body.size:
            raise IndexError(index)
        at, around, number = layer_at(self.root, index)
        assert isinstance(at.call, Application)
        assert around.label is not None
        tied = (
            around.call.items[number].tied if isinstance(around.call, Composite) else None
        )  # no repeat is of tied ones
        owner = owner_of(self.body, index) if at.call.copies == 0 else None
        owner = around.node(tied) if tied is not None and owner is None else owner
        return Node(at.path, at.call, at.reads, around.label.marks[number], owner)

    def names(self) -> dict[str, int]:
        """The names that the spec gives, and the nodes whose outputs they stand for."""
        found: dict[str, int] = {}
        _write_names(self.body, self.label, 0, (), "", found)
        return found

    def some_names(self) -> Iterator[str]:
        """Names of layers and scopes, the last first: all of them, or as many as may be listed."""
        yield from islice(latest(self.root), MAX_LAYERS)
        yield from islice(latest_names(self.root), MAX_LAYERS)

    def find(self, path: str) -> int | None:
        """The node that a name stands for, if there is such a name."""
        found = find(self.root, path)
        return found[0] if found else None

    def part(self, path: str) -> Place | None:
        """The part of this path, a scope or a layer, if it's one part."""
        return part(self.root, path)

    def is_in_first_passes(self, index: int) -> bool:
        """Whether a node stands in the first pass of each repeat around it whose number is a symbol."""
        at = self.root
        while not isinstance(at.call, Application):
            if isinstance(at.call, Repeat):
                number = (index - at.start) // at.call.body.size
                if at.call.is_open and number:
                    return False
                at = one_pass(at, number)
            else:
                at = inside(at, at.call.place(index - at.start))
        return True

    def spelled(self, path: str) -> str:
        """A path in the tree's own words: passes that are laid out of a symbolic number have names of their own."""
        found: list[str] = []
        for name in path.split("/"):
            own = "/".join([*found, UNNAMED + name])
            found.append(UNNAMED + name if self.part(own) else name)
        return "/".join(found)


def placed(item: Item, name: str | Numbered, mark: Mark | None, inner: Label | None, start: int, path: str) -> Place:
    """An item where it stands, of what has this path; what it reads is known already. A repeat has the path itself."""
    if isinstance(name, Numbered):
        return Place(item.call, Label((name,), (mark,), (inner,), ()), start, item.reads, path)
    return Place(item.call, inner, start, item.reads, f"{path}/{name}" if path else name)


def inside(at: Place, number: int) -> Place:
    """An item of a composite."""
    assert isinstance(at.call, Composite)
    assert at.label is not None
    item, label = at.call.items[number], at.label
    known = Item(item.call, tuple([at.node(wire) for wire in item.reads]))
    start = at.start + at.call.starts[number]
    return placed(known, label.names[number], label.marks[number], label.inner[number], start, at.path)


def one_pass(at: Place, number: int) -> Place:
    """A pass of a repeat."""
    assert isinstance(at.call, Repeat)
    assert at.label is not None
    (names,), (inner,) = at.label.names, at.label.inner
    assert isinstance(names, Numbered)
    start, reads = at.start + number * at.call.body.size, at.call.reads_of(number, at.start, at.reads)
    return Place(at.call.laid(number), inner, start, reads, at.prefix + names.name(number))


def returned(repeat: Place, number: int) -> int:
    """The node whose output a pass of a repeat returns."""
    assert isinstance(repeat.call, Repeat)
    output = repeat.call.output
    if output < 0:
        return repeat.reads[~output]
    return repeat.start + number * repeat.call.body.size + output


def layer_at(at: Place, index: int) -> tuple[Place, Place, int]:
    """The layer that is a node: itself, what it's in, and its number there."""
    around, number = at, 0
    while not isinstance(at.call, Application):
        around = at
        if isinstance(at.call, Repeat):
            number, at = 0, one_pass(at, (index - at.start) // at.call.body.size)
        else:
            number = at.call.place(index - at.start)
            at = inside(at, number)
    return at, around, number


def layers_of(at: Place, chosen: Set[Application]) -> Iterator[Place]:
    """Where these layers are in a part, in order; what has none of them isn't looked into, nor passes that change."""
    if isinstance(at.call, Application):
        yield at
    elif isinstance(at.call, Repeat):
        for number in range(at.call.count if at.call.index is None else 0):
            yield from layers_of(one_pass(at, number), chosen)
    else:
        for number, item in enumerate(at.call.items):
            if not chosen.isdisjoint(counts(item.call)):
                yield from layers_of(inside(at, number), chosen)


def modules(at: Place) -> Iterator[tuple[int, str, str]]:
    """The modules whose weights are held in a part: number, name, and the call's path; of those in passes the first."""
    if not calls(at.call) or isinstance(at.call, Application):
        return
    if isinstance(at.call, Repeat):
        yield from modules(one_pass(at, 0))
        return
    for number, item in enumerate(at.call.items):
        part = inside(at, number)
        if item.module is not None and item.module.holds:
            yield item.module.number, item.module.name, part.path
        yield from modules(part)


def find(at: Place, path: str) -> tuple[int | None] | None:
    """The node that a name in a composite stands for, in a tuple; None if nothing is called so."""
    label = at.label
    if label is None or not isinstance(at.call, Composite):
        return None
    if path in label.index.volumes:
        wire = label.index.volumes[path]
        return (None if wire is None else at.node(wire),)
    if found := label.part(path):  # all of it is one name
        return below(inside(at, found[0]), found[1], "")
    head, _, rest = path.partition("/")
    found = label.part(head)
    return below(inside(at, found[0]), found[1], rest) if found else None


def below(item: Place, number: int, path: str) -> tuple[int | None] | None:
    """The same for a name in an item, or in the pass of this number."""
    if isinstance(item.call, Repeat):
        if number and item.call.index is not None:  # of passes that change only the first is laid out under its name
            return None
        if not path:
            return (returned(item, number),)
        item = one_pass(item, number)
    if path:
        return find(item, path)
    return (item.start,) if isinstance(item.call, Application) else None


def part(at: Place, path: str) -> Place | None:
    """The part of a path in a composite: a scope, a layer or a pass, if there is one that holds nothing else."""
    if not path:
        return at
    if at.label is None or not isinstance(at.call, Composite):
        return None
    if found := at.label.part(path):  # all of it is one name
        return part_below(inside(at, found[0]), found[1], "")
    head, _, rest = path.partition("/")
    found = at.label.part(head)
    return part_below(inside(at, found[0]), found[1], rest) if found else None


def part_below(item: Place, number: int, path: str) -> Place | None:
    """The same for a path in an item, or in the pass of this number."""
    if not isinstance(item.call, Repeat):
        return part(item, path)
    return None if number and item.call.index is not None else part(one_pass(item, number), path)


class _Writer:
    """Appends the nodes of composites to a list."""

    def __init__(self, found: list[Node]) -> None:
        self._found = found
        self._around: Around = ()
        self._shift: int | None = None
        """In a call of a module whose weights another one holds: how far away its layers are from those of this one."""

    def write(self, call: Composite, label: Label, base: int, entering: tuple[int, ...], prefix: str) -> None:
        """Append those of a composite that starts at a node, in which these enter; names begin with a prefix."""
        around, self._around = self._around, (*self._around, (call, base))
        items = zip(call.items, call.starts, label.names, label.marks, label.inner, strict=True)
        for (what, wires, tied, module), start, name, mark, inner in items:
            at, reads = base + start, tuple([base + wire if wire >= 0 else entering[~wire] for wire in wires])
            if isinstance(what, Application):
                owner = tied if tied is None else base + tied if tied >= 0 else entering[~tied]
                self._add(f"{prefix}{name}", what, reads, mark, owner)
            elif isinstance(what, Repeat):
                assert isinstance(name, Numbered)
                for number in range(what.count if what.size else 0):
                    first, read = at + number * what.body.size, what.reads_of(number, at, reads)
                    self._write_part(what.body, inner, first, read, prefix + name.name(number), mark, module)
            else:
                self._write_part(what, inner, at, reads, f"{prefix}{name}", mark, module)
        self._around = around

    def _write_part(
        self, what: Call, inner: Label | None, at: int, reads: tuple[int, ...], name: str, mark: Mark | None,
        module: Module | None,
    ) -> None:  # fmt: skip
        """Append those of a part that may be a call of a module."""
        shift = self._shift
        if shift is None and module is not None and not module.holds:
            self._shift = holder(module.number, self._around) - at
        if isinstance(what, Application):
            self._add(name, what, reads, mark, None)
        else:
            assert isinstance(what, Composite)
            assert inner is not None
            self.write(what, inner, at, reads, f"{name}/")
        self._shift = shift

    def _add(self, name: str, at: Application, reads: tuple[int, ...], mark: Mark | None, owner: int | None) -> None:
        if self._shift is not None and at.copies == 0:
            owner = len(self._found) + self._shift
        self._found.append(Node(name, at, reads, mark, owner))


def _write_names(
    call: Call, label: Label | None, base: int, entering: tuple[int, ...], prefix: str, found: dict[str, int]
) -> None:
    """Add the names in a composite, in the order in which they were given, and the nodes that they stand for."""
    if label is None or not isinstance(call, Composite):
        return
    queue = [*reversed(label.aliases)]
    for number, (what, wires, *_) in enumerate((*call.items, Item(call, ()))):
        while queue and queue[-1].position <= number:
            _, name, wire = queue.pop()
            if wire is not None:
                found[prefix + name] = base + wire if wire >= 0 else entering[~wire]
        if number == len(call.items) or isinstance(what, Application):
            continue
        name_of, inner, start = label.names[number], label.inner[number], base + call.starts[number]
        reads = tuple([base + wire if wire >= 0 else entering[~wire] for wire in wires])
        if isinstance(what, Composite):
            _write_names(what, inner, start, reads, f"{prefix}{name_of}/", found)
            continue
        assert isinstance(name_of, Numbered)
        for place in range(what.count):
            path, first = prefix + name_of.name(place), start + place * what.body.size
            _write_names(what.body, inner, first, what.reads_of(place, start, reads), path + "/", found)
            found[path] = first + what.output if what.output >= 0 else reads[~what.output]


def latest(at: Place) -> Iterator[str]:
    """The names of the layers of a part, the last first."""
    if isinstance(at.call, Application):
        yield at.path
    elif isinstance(at.call, Repeat):
        for number in range(at.call.count - 1, -1, -1) if at.call.size else ():
            yield from latest(one_pass(at, number))
    else:
        for number in range(len(at.call.items) - 1, -1, -1):
            yield from latest(inside(at, number))


def latest_names(at: Place) -> Iterator[str]:
    """The names that the spec gives in a part, the last first."""
    if isinstance(at.call, Composite) and at.label is not None:
        aliases = list(at.label.aliases)
        for number in range(len(at.call.items), -1, -1):
            while aliases and aliases[-1].position >= number:
                yield at.prefix + aliases.pop().name
            if number:
                yield from latest_names(inside(at, number - 1))
    elif isinstance(at.call, Repeat):
        for number in range(at.call.count - 1, -1, -1):
            each = one_pass(at, number)
            yield each.path
            yield from latest_names(each)


def nodes_like(nodes: Sequence[Node], path: str) -> list[int]:
    """The indices of the nodes of a scope, by their names alone."""
    scope = path + "/"
    return [i for i, node in enumerate(nodes) if node.name == path or node.name.startswith(scope)]
