"""The graph in the making: scopes that are open, what they hold so far, and the names there are; layers meet shapes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from archcalc.errors import LocalError, Mark, ShapeError, suggestion
from archcalc.expand.equal_passes import Passes, put_together
from archcalc.expand.scope import Scope
from archcalc.graph import MAX_LAYERS, Application, Composite, Input, Item, Repeat, Tree
from archcalc.graph.composite import LAID, LAID_VARYING, Call, Module
from archcalc.graph.labels import UNNAMED, Alias, Label, Numbered
from archcalc.graph.shared import again
from archcalc.graph.tree import Place as Part
from archcalc.graph.tree import below, latest, latest_names, layer_at, part_below, placed
from archcalc.language.arithmetic import Dims
from archcalc.layers import Layer
from archcalc.shape import Shape
from archcalc.symbolic import Dim, differ, is_symbolic, modest
from archcalc.symbolic.arithmetic import MAX_BITS
from archcalc.work import spend

LAYERS = "building so many layers"
"""What `spend` says."""
COPIED, ADDED, NEW = 2, 6, 35
"""Steps for what is called again, for a layer that is added, and more for one on sizes not seen yet."""
NEARBY = 2000
"""Of so many names, the latest, an error's hint tells the nearest."""
Tensor: TypeAlias = "int | None"
"""The number of the node that makes a tensor; None after an error."""


class Reached(Exception):
    """The layer up to which a spec is used has been built."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Built(NamedTuple):
    """What one call of a block built, to be there again under another name.

    `entering` is how many volumes enter it, which all are the one that entered the block; `output` is a wire, or None
    for that volume; `changes` are the arguments in it that were given from outside.
    """

    call: Call
    label: Label | None
    entering: int
    output: int | None
    changes: tuple[tuple[int, str, str, str], ...]


class First(NamedTuple):
    """The call of a module that holds its weights: what it built, where and on what, and what it got from outside."""

    built: Built
    path: str
    mark: Mark
    shape: Shape | None
    outside: tuple[frozenset[str], ...]
    ties: tuple[int, ...]
    """The nodes around it whose weights its layers have."""
    in_expert: bool


class Frame:
    """A scope that is being built: its items so far and their names. What they read, are nodes and not yet wires."""

    __slots__ = (
        "_known", "_long", "_looked_at", "aliases", "inner", "items",
        "marks", "names", "passes", "path", "prefix", "start", "starts",
    )  # fmt: skip

    def __init__(self, path: str, start: int) -> None:
        self.path, self.prefix, self.start = path, f"{path}/" if path else "", start
        self.items: list[Item] = []
        self.names: list[str | Numbered] = []
        self.marks: list[Mark | None] = []
        self.inner: list[Label | None] = []
        self.starts: list[int] = []
        self.aliases: dict[str, tuple[int, Tensor]] = {}
        """What names settled on, and after how many items."""
        self.passes: list[Passes] = []
        """The loops that have been run."""
        self._known: dict[str, tuple[int, int]] = {}
        self._long: list[tuple[int, Numbered]] = []
        self._looked_at = 0

    def append(self, item: Item, start: int, name: str | Numbered, mark: Mark | None, inner: Label | None) -> None:
        """Add an item; `name` is its own, without the scope's."""
        self.items.append(item)
        self.names.append(name)
        self.marks.append(mark)
        self.inner.append(inner)
        self.starts.append(start)

    def pop(self) -> tuple[Item, int, Mark | None, Label | None]:
        """Take the last item away again, with its names."""
        if self._looked_at == len(self.names):
            del self._known[str(self.names[-1])]
            self._looked_at -= 1
        self.names.pop()
        return self.items.pop(), self.starts.pop(), self.marks.pop(), self.inner.pop()

    def forget(self) -> None:
        """Look the items up anew, since there are others now."""
        self._known.clear()
        self._long.clear()
        self._looked_at = 0

    def item(self, number: int) -> Part:
        """An item where it stands."""
        name, mark, inner = self.names[number], self.marks[number], self.inner[number]
        return placed(self.items[number], name, mark, inner, self.starts[number], self.path)

    def _item_called(self, head: str) -> tuple[int, int] | None:
        """The number of an item, and of the pass in it, by its name."""
        for number in range(self._looked_at, len(self.names)):  # what came since the last question
            name = self.names[number]
            if isinstance(name, str):
                self._known[name] = number, 0
            elif name.is_short:
                self._known.update((name.name(place), (number, place)) for place in range(len(name.numbers)))
            else:
                self._long.append((number, name))
        self._looked_at = len(self.names)
        if head in self._known:
            return self._known[head]
        places = ((number, name.place(head)) for number, name in self._long)
        return next(((number, place) for number, place in places if place is not None), None)

    def find(self, path: str) -> tuple[Tensor] | None:
        """The tensor of a name below this scope's, in a tuple; None if nothing is called so."""
        if path in self.aliases:
            return (self.aliases[path][1],)
        head, _, rest = path.partition("/")
        found = self._item_called(head)
        return below(self.item(found[0]), found[1], rest) if found else None

    def part(self, path: str) -> Part | None:
        """The part of a tree that has a name below this scope's."""
        head, _, rest = path.partition("/")
        found = self._item_called(head)
        return part_below(self.item(found[0]), found[1], rest) if found else None

    def latest(self) -> Iterator[str]:
        """The names of its layers so far, the last first."""
        for number in range(len(self.items) - 1, -1, -1):
            yield from latest(self.item(number))

    def latest_names(self) -> Iterator[str]:
        """The names that the spec gives in it, the last first."""
        aliases = [(position, name) for name, (position, _) in self.aliases.items()]
        for number in range(len(self.items), -1, -1):
            while aliases and aliases[-1][0] >= number:
                yield self.prefix + aliases.pop()[1]
            if number:
                yield from latest_names(self.item(number - 1))

    def closed(self, known: Known) -> tuple[Composite, Label, tuple[int, ...]]:
        """What it is now that it's complete, and what it reads; what is `known` already, if that is equal."""
        put_together(self, known)
        start = self.start
        read = dict.fromkeys([node for item in self.items for node in item.read if node < start])
        slots = {node: ~number for number, node in enumerate(read)}

        def wire(node: int) -> int:
            return node - start if node >= start else slots.setdefault(node, ~len(slots))

        items = tuple(
            [
                Item(call, tuple(map(wire, reads)), None if tied is None else wire(tied), module)
                for call, reads, tied, module in self.items
            ]
        )
        aliases = tuple(
            [
                Alias(position, name, None if tensor is None else wire(tensor))
                for name, (position, tensor) in self.aliases.items()
            ]
        )
        return known.composite(items, len(read)), known.label(self, aliases), tuple(slots)


class Known:
    """Composites, repeats and labels that were made before: where equal ones are asked for, they are the same."""

    def __init__(self) -> None:
        self._composites: dict[tuple[Item, ...], Composite] = {}
        self._repeats: dict[tuple[Any, ...], Repeat] = {}
        self._labels: dict[tuple[Any, ...], Label] = {}

    def composite(self, items: tuple[Item, ...], entering: int) -> Composite:
        """The composite of these items, whose layers read so many of the volumes that enter."""
        if items not in self._composites:
            self._composites[items] = Composite(items, entering)
        return self._composites[items]

    def repeat(
        self, body: Composite | Application, count: int, chained: int, output: int, times: Dim | None, index: Any
    ) -> Repeat:
        """The repeat of this body."""
        key = id(body), count, chained, output, times, index
        if key not in self._repeats:
            self._repeats[key] = Repeat(body, count, chained, output, times, index)
        return self._repeats[key]

    def label(self, frame: Frame, aliases: tuple[Alias, ...]) -> Label:
        """The names of a scope's items and volumes."""
        names = tuple(frame.names)
        key = names, tuple(map(id, frame.marks)), tuple(map(id, frame.inner)), aliases
        if key not in self._labels:
            self._labels[key] = Label(names, tuple(frame.marks), tuple(frame.inner), aliases)
        return self._labels[key]


class Nodes:
    """A graph in the making: layers, calls and repeats are put into the scope that is open; names settle on tensors."""

    def __init__(self) -> None:
        self.frames = [Frame("", 0)]
        self.size = 0
        """Layers so far, repeated ones included."""
        self.built = 0
        """Those that have been built one by one."""
        self.changed: list[tuple[int, str, str, str]] = []
        """Arguments given from outside: the node, the argument's name, its value before and after."""
        self.ties: list[int] = []
        """The nodes whose weights others share, in the order in which these came."""
        self.modules: dict[tuple[int, int], First] = {}
        """The first calls of modules, by how many used specs are around them and the module's number."""
        self.upto = ""
        """The name at which building a used spec ends."""
        self._made: dict[int, Application] = {}
        self._owners: dict[str, int] = {}
        self.applications: dict[tuple[Any, ...], Application] = {}
        """Those that have been made, by layer and shapes."""
        self._known = Known()

    # --- what there is --------------------------------------------------------------------------------------------

    def _layer_at(self, tensor: int) -> Part:
        frame = next(frame for frame in reversed(self.frames) if tensor >= frame.start)
        return layer_at(frame.item(bisect_right(frame.starts, tensor) - 1), tensor)[0]

    def application(self, tensor: int) -> Application:
        """What makes a tensor."""
        found = self._made.get(tensor)
        if found is None:
            call = self._layer_at(tensor).call
            assert isinstance(call, Application)
            found = self._made[tensor] = call
        return found

    @contextmanager
    def posing(self, tensor: int, shape: Shape) -> Iterator[None]:
        """Let a tensor have another shape meanwhile."""
        made = self.application(tensor)
        self._made[tensor] = Application(Input(), (), shape)
        try:
            yield
        finally:
            self._made[tensor] = made

    def name(self, tensor: int) -> str:
        """The full name of the layer that makes a tensor."""
        return self._layer_at(tensor).path

    def shape(self, tensor: Tensor) -> Shape | None:
        """A tensor's shape, if it's known."""
        return None if tensor is None else self.application(tensor).output_shape

    def tree(self) -> Tree:
        """All that was built."""
        composite, label, _ = self.frames[0].closed(self._known)
        return Tree(composite, label)

    # --- what is added --------------------------------------------------------------------------------------------

    def add_input(self, name: str, shape: Shape) -> int:
        """Append an input of the graph."""
        return self._append(Application(Input(), (), shape), (), name, None, None)

    def add(self, layer: Layer, inputs: tuple[int, ...], path: str, mark: Mark | None, tied: int | None = None) -> int:
        """Append a layer.

        Raises: ShapeError: the layer can't work on these shapes, or can't share those weights.
        """
        shapes = tuple([self.application(i).output_shape for i in inputs])
        key = (id(layer), shapes)
        application = self.applications.get(key)
        if application is None:
            spend(NEW, LAYERS)
            application = Application(layer, shapes, _bounded(layer.output_shape(*shapes)))
            if _is_open(layer, shapes):
                layer.kept([True] * len(shapes), *shapes)  # both raise if symbols leave open how the layer works
                layer.working(*shapes)
            self.applications[key] = application
        if tied is not None:
            _check_tie(application, self.application(tied), self.name(tied))
            self.ties.append(tied)
        spend(ADDED + len(inputs) // 2, LAYERS, layers=1)
        return self._append(application, inputs, path, mark, tied)

    def _append(
        self, application: Application, inputs: tuple[int, ...], path: str, mark: Mark | None, tied: int | None
    ) -> int:
        frame, index = self.frames[-1], self.size
        frame.append(Item(application, inputs, tied), index, path[len(frame.prefix) :], mark, None)
        self._made[index] = application
        self.size += 1
        self.built += 1
        return index

    def begin(self, path: str) -> None:
        """Begin a scope: what comes is in it, until it's closed."""
        self.frames.append(Frame(path, self.size))

    def close(self) -> None:
        """End the scope that was opened last: it's one item of the scope around it."""
        frame = self.frames.pop()
        composite, label, reads = frame.closed(self._known)
        around = self.frames[-1]
        around.append(Item(composite, reads), frame.start, frame.path[len(around.prefix) :], None, label)

    def last(self, output: int, changed: int) -> Built:
        """What was closed last, which returned a tensor; `changed` is how many arguments had been changed before it."""
        frame = self.frames[-1]
        start = frame.starts[-1]
        changes = tuple([(node - start, name, old, new) for node, name, old, new in self.changed[changed:]])
        item, wire = frame.items[-1], output - start if output >= start else None
        return Built(item.call, frame.inner[-1], len(item.reads), wire, changes)

    def ties_out(self, start: int, count: int) -> tuple[int, ...]:
        """The nodes before one whose weights layers have, of those that came since there were so many."""
        return tuple(owner for owner in self.ties[count:] if owner < start)

    @property
    def last_call(self) -> Call:
        """What was closed last."""
        return self.frames[-1].items[-1].call

    def forget_modules(self, count: int) -> None:
        """Forget the modules that have been called since there were so many: what held them is complete."""
        while len(self.modules) > count:
            self.modules.popitem()

    def share(self, module: Module) -> None:
        """Let what was closed last be a call of a module, which holds its weights or uses those of the first one."""
        frame = self.frames[-1]
        item = frame.items[-1]
        frame.items[-1] = item._replace(call=item.call if module.holds else again(item.call), module=module)

    def call(self, built: Built, path: str, entered: int, module: Module | None = None) -> int:
        """Have what was built once more, under another name; the tensor that it returns."""
        frame, start = self.frames[-1], self.size
        spend(COPIED, LAYERS, layers=min(built.call.size, MAX_LAYERS))
        # it reads nothing but what enters it
        reads = (entered,) * built.entering
        item = Item(built.call, reads, module=module)
        frame.append(item, start, path[len(frame.prefix) :], None, built.label)
        self.size += built.call.size
        self.built += 1
        self.changed += [(node + start, name, old, new) for node, name, old, new in built.changes]
        self.built += len(built.changes)
        return entered if built.output is None else start + built.output

    def repeat(
        self, names: Numbered, entered: int, output: int, items: int, times: Dim | None, index: Any = None
    ) -> int:
        """Make of the pass of a loop that was built last as many as there are names; what the last one returns.

        `entered` and `output` are what it read and what it returned, and `items` how many the scope had before it.
        `times` is how often it's run, if that is a symbol; a few passes are laid out then, and none has a name. Its
        sizes may be formulas in the number of the pass, `index`.
        """
        frame = self.frames[-1]
        del frame.aliases[names.name(0)]
        if times is not None:
            names = names.first(LAID if index is None else LAID_VARYING)._replace(before=f"{UNNAMED}{names.before}")
        if len(frame.items) > items:
            item, start, mark, inner = frame.pop()
        else:  # nothing was built
            item, start, mark, inner = Item(Composite(()), ()), self.size, None, Label((), (), (), ())
        reads = item.reads if entered in item.reads or output >= start else (*item.reads, entered)
        chained = reads.index(entered) if entered in reads else -1
        wire = output - start if output >= start else ~chained
        body, count = item.call, len(names.numbers)
        assert not isinstance(body, Repeat)
        repeat = self._known.repeat(body, count, chained, wire, times, index)
        frame.append(item._replace(call=repeat, reads=reads), start, names, mark, inner)
        spend(COPIED, LAYERS, layers=min(repeat.size - body.size, MAX_LAYERS))
        self.size = start + repeat.size
        self.built += 1
        return output + (repeat.size - body.size) if output >= start else output

    # --- names ----------------------------------------------------------------------------------------------------

    def settle(self, path: str, tensor: Tensor) -> Tensor:
        """Let a name stand for a tensor: its layer's, or its scope's output."""
        frame = self.frames[-1]
        name = path[len(frame.prefix) :]
        position = frame.aliases[name][0] if name in frame.aliases else len(frame.items)
        frame.aliases[name] = position, tensor
        return self.reached(path, tensor)

    def reached(self, path: str, tensor: Tensor) -> Tensor:
        """The tensor, unless building ends here."""
        if path == self.upto:
            raise Reached(tensor)
        return tensor

    def find(self, path: str) -> tuple[Tensor] | None:
        """The tensor of a full name, in a tuple; None if nothing is called so."""
        frame = self._around(path)
        return frame.find(path[len(frame.prefix) :])

    def _around(self, path: str) -> Frame:
        """The innermost scope that is open and holds what has this name, if anything does."""
        for frame in reversed(self.frames):
            if path.startswith(frame.prefix):
                break
        return frame

    def unknown(self, path: str, scope: Scope) -> LocalError:
        """The error that nothing is called `path`, with what is called nearly so."""
        known = set()
        names = [
            *islice((name for frame in reversed(self.frames) for name in frame.latest_names()), NEARBY),
            *islice((name for frame in reversed(self.frames) for name in frame.latest()), NEARBY),
        ]
        for ancestor in scope.ancestors():
            prefix = ancestor.child("")
            known |= {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        hint = suggestion(path, {name for name in known if UNNAMED not in name})
        if any(UNNAMED in name and name.replace(UNNAMED, "") == path for name in known):
            hint = "passes whose number is a symbol have no names"
        return LocalError(f"no layer named '{path}' before this point", code="E071", hint=hint)

    def weight_layer(self, reference: str, path: str) -> int:
        """The one layer with weights of its own that a `tie` names, by what its reference stands for.

        Raises: LocalError: there is none, or there are several.
        """
        if path in self._owners:
            return self._owners[path]
        count, first = 0, None
        for at in self._parts(path):
            spend(1, "looking for layers to share weights with")
            more, place = _owners(at.call)
            if more and first is None:
                first = at.start + place
            count += more
        if count != 1 or first is None:
            told = f"'{reference}'" if reference == path else f"'{reference}', here '{path}',"
            raise LocalError(f"{told} has {count} layers with weights; a tie needs one", code="E073")
        return self._owners.setdefault(path, first)

    def _parts(self, path: str) -> Iterator[Part]:
        """What has a name or is below it: a part, or the items so far of a scope that is open; no tied layer alone."""
        for frame in self.frames:
            if frame.path and (frame.path == path or frame.path.startswith(f"{path}/")):
                yield from (frame.item(number) for number, item in enumerate(frame.items) if item.tied is None)
        around = self._around(path)
        found = around.part(path[len(around.prefix) :])
        if found and not (isinstance(found.call, Application) and self._shares(found.start)):
            yield found

    def _shares(self, node: int) -> bool:
        """Whether a layer has the weights of another one."""
        frame = next(frame for frame in reversed(self.frames) if node >= frame.start)
        number = bisect_right(frame.starts, node) - 1
        item = frame.items[number]
        if not isinstance(item.call, Application):
            _, around, number = layer_at(frame.item(number), node)
            if isinstance(around.call, Composite):
                item = around.call.items[number]
        return item.tied is not None


def _owners(call: Call) -> tuple[int, int]:
    """How many layers in it have weights of their own, and where the first is."""
    if isinstance(call, Application):
        return (1 if call.layer.weight_shape(*call.input_shapes) else 0), 0
    return call.once(_owners, lambda: _counted_owners(call))


def _counted_owners(call: Composite | Repeat) -> tuple[int, int]:
    if isinstance(call, Repeat):
        count, first = _owners(call.body)
        return count * call.count, first
    total, place = 0, 0
    for item, start in zip(call.items, call.starts, strict=True):
        count, first = _owners(item.call) if item.tied is None else (0, 0)
        if count and not total:
            place = start + first
        total += count
    return total, place


def _is_open(layer: Layer, shapes: Iterable[Shape]) -> bool:
    """Whether a symbol is among a layer's arguments or its inputs' sizes."""
    sizes = [size for shape in shapes for size in shape.values()]
    return any(map(_has_symbol, sizes)) or any(_has_symbol(getattr(layer, name)) for name in layer.arguments())


def _has_symbol(value: object) -> bool:
    return any(map(_has_symbol, value)) if isinstance(value, tuple) else is_symbolic(value)


def _bounded(shape: Shape) -> Shape:
    """The shape.

    Raises: ShapeError: one of its sizes is beyond what the language can say.
    """
    for axis, size in shape.items():
        if isinstance(size, int) and size.bit_length() > MAX_BITS:
            raise ShapeError(f"{axis} gets more than {MAX_BITS} bits", code="E108")
        modest(size)
    return shape


def _check_tie(application: Application, owner: Application, name: str) -> None:
    mine = application.layer.weight_shape(*application.input_shapes)
    theirs = owner.layer.weight_shape(*owner.input_shapes)
    if len(mine) != len(theirs) or any(differ(a, b) for a, b in zip(mine, theirs, strict=True)):
        told = f"{Dims(mine)} here, {Dims(theirs)} there"
        raise ShapeError(f"can't share the weights of '{name}': {told}", code="E074")
