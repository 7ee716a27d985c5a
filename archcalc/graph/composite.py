"""What a graph is made of: layers, composites of them, and repeats, without names.

A *wire* says which volume is meant, in the numbers of the composite that it's in: w >= 0 is the output of its layer w,
counted through everything inside it as if it were written out; ~k (-1, -2, …) is the k-th volume that enters. So a wire
of a part that starts at s is s + w in the whole, and what is inside can be read from outside by a number alone.

Equal composites are one object while a graph is built, whatever their names. What an analysis says of one is therefore
computed once, and composed: see `counts` here, and `analyses/depth.py`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias, TypeVar

from archcalc.graph.application import Application
from archcalc.shape import Shape
from archcalc.symbolic import Dim, is_symbolic
from archcalc.symbolic.arithmetic import counter

T = TypeVar("T")
NONE: frozenset[int] = frozenset()
OUTPUT: frozenset[int] = frozenset([0])
LAID, LAID_VARYING = 3, 5
"""Passes that are laid out of those whose number is a symbol: the first, one for all between, and the last.

Where sizes change from pass to pass, there is one more ahead of each of the latter two, that they read from.
"""
BEFORE, AFTER = 3, 3
"""Passes that are laid out of a large number, ahead of the one that stands for all between, and after it."""


class _Shared:
    """What may be in many places, and remembers what is computed of it."""

    __slots__ = ("_memo",)

    def __init__(self) -> None:
        self._memo: dict[Hashable, Any] | None = None

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returns, computed at most once for each key."""
        if self._memo is None:
            self._memo = {}
        if key not in self._memo:
            self._memo[key] = compute()
        return self._memo[key]  # type: ignore[no-any-return]


class Module(NamedTuple):
    """A module that is called: its number, as equal declarations with equal arguments have it, and its name.

    The call that `holds` the weights is the first; the others use them again, layer by layer.
    """

    number: int
    name: str
    holds: bool


class Item(NamedTuple):
    """A part of a composite: what is called, the wires that enter it, and of a layer whose weight matrix it has.

    `module`: the call is one of a module, or of a repeat each pass is. Where it doesn't hold the weights, those are in
    the call that does, in the innermost part around both; see `shared.py`.
    """

    call: Call
    reads: tuple[int, ...]
    tied: int | None = None
    module: Module | None = None

    @property
    def read(self) -> tuple[int, ...]:
        """The wires that layers read, without those that enter for the sake of a name."""
        return self.reads[: self.call.entering]


class Composite(_Shared):
    """Parts one after the other, each reading volumes that enter or that are made before it.

    Of the volumes that enter, the first `entering` are read by layers. There may be more, which only have names inside.
    """

    __slots__ = ("entering", "items", "size", "starts")

    def __init__(self, items: Iterable[Item], entering: int = 0) -> None:
        super().__init__()
        self.items, self.entering = tuple(items), entering
        *starts, size = accumulate([item.call.size for item in self.items], initial=0)
        self.size: int = size
        self.starts = tuple(starts)  # of numbers alone, which the garbage collector leaves alone

    def __reduce__(self) -> Any:
        return Composite, (self.items, self.entering)

    def __repr__(self) -> str:
        return f"Composite({len(self.items)} items, {self.size} layers)"

    def place(self, wire: int) -> int:
        """The number of the item that makes a volume."""
        return bisect_right(self.starts, wire) - 1


class Repeat(_Shared):
    """`count` times the same: each pass is the body, and enters what the pass before returned.

    That is its wire `output`, and enters as the body's `chained`-th volume, or nowhere (-1). What else enters is the
    same for all passes. The passes' layers stand one after the other.

    Where the number of passes is a symbol, `times` is that, and `count` passes are laid out: the first, one for all
    between, and the last. From outside nothing is read of them but what the last one returns. Sizes may then change
    from pass to pass: the body has them with the symbol `index` for the number of the pass, counted from 1.
    """

    __slots__ = ("body", "chained", "count", "entering", "index", "is_open", "output", "size", "times")

    def __init__(
        self,
        body: Composite | Application,
        count: int,
        chained: int,
        output: int,
        times: Dim | None = None,
        index: Any = None,
    ) -> None:
        super().__init__()
        self.body, self.count, self.chained, self.output = body, count, chained, output
        self.times: Dim = count if times is None else times
        self.is_open = times is not None
        self.index = index
        self.size: int = body.size * count
        self.entering = body.entering

    def __reduce__(self) -> Any:
        times = self.times if self.is_open else None
        return Repeat, (self.body, self.count, self.chained, self.output, times, self.index)

    def __repr__(self) -> str:
        return f"Repeat({self.times} times {self.body!r})"

    def numbers(self) -> tuple[Dim, ...]:
        """The numbers of the passes that are laid out where sizes change."""
        return 1, self.index - 1, self.index, self.times - 1, self.times

    def number(self, place: int) -> Dim:
        """Which pass one is that is laid out, counted from 1."""
        if not self.is_open:
            return place + 1
        return self.numbers()[place] if self.index is not None else (1, number_of_pass(self), self.times)[place]

    def stands_for(self) -> dict[int, tuple[Dim, Dim]]:
        """The passes that are laid out, and of each from which to which it stands for, by their numbers.

        In one of the passes around it, a symbolic number of passes may be a small number: then some stand for none.
        """
        if not self.is_open:
            return {place: (place + 1, place + 1) for place in range(self.count)}
        ends = {0: (1, 1), self.between: (2, self.times - 1), self.count - 1: (self.times, self.times)}
        if isinstance(self.times, int) and self.times <= LAID - 1:
            return {place: ends[place] for place in (0, self.count - 1)[: self.times]}
        return ends

    @property
    def between(self) -> int:
        """Of passes whose number is a symbol, the one that is laid out for all between the first and the last."""
        return self.count // 2

    def laid(self, number: int) -> Composite | Application:
        """One of the passes that are laid out, or of as many as there are."""
        return self.body if self.index is None else self.at(self.numbers()[number])

    def at(self, number: Dim) -> Composite | Application:
        """The pass of this number, counted from 1."""
        if self.index is None:
            return self.body
        return self.once((at_pass, number), lambda: at_pass(self.body, self.index, number))  # type: ignore[return-value]  # the same kind

    def reads_of(self, number: int, start: int, reads: tuple[int, ...]) -> tuple[int, ...]:
        """What enters a pass, in the numbers of the whole, of a repeat that starts at `start` and reads `reads`."""
        if number == 0 or self.chained < 0 or self.output < 0:  # a pass that makes nothing returns what entered
            return reads
        before = start + (number - 1) * self.body.size + self.output
        return (*reads[: self.chained], before, *reads[self.chained + 1 :])


Call: TypeAlias = "Application | Composite | Repeat"


def exits(composite: Composite, seen: frozenset[int]) -> list[frozenset[int]]:
    """For each item those of its layers whose outputs are read from outside of it, as its own wires.

    `seen` are those of the composite that are read from outside.
    """
    wanted = set(seen)
    for item in composite.items:
        wanted.update(item.read)
    ordered: list[int] = []
    found = []
    for item, start in zip(composite.items, composite.starts, strict=True):
        if isinstance(item.call, Application):
            found.append(OUTPUT if start in wanted else NONE)
            continue
        ordered = ordered or sorted(wanted)
        first, last = bisect_left(ordered, start), bisect_left(ordered, start + item.call.size)
        found.append(frozenset([wire - start for wire in ordered[first:last]]))
    return found


def passes(repeat: Repeat, seen: frozenset[int]) -> dict[int, frozenset[int]]:
    """The passes of a repeat that aren't like the others: from outside more is read of them than the next pass reads.

    The last one is always among them. Returns: for each what is read of it, by number of pass, in order.
    """
    size, common = repeat.body.size, shared_exits(repeat)
    found: dict[int, set[int]] = {repeat.count - 1: set()}
    for wire in seen:
        found.setdefault(wire // size, set()).add(wire % size)
    return {
        number: frozenset(found[number]) | (common if number < repeat.count - 1 else NONE) for number in sorted(found)
    }


def shared_exits(repeat: Repeat) -> frozenset[int]:
    """What the next pass reads of each pass."""
    return frozenset([repeat.output]) if 0 <= repeat.chained < repeat.entering and repeat.output >= 0 else NONE


def counts(call: Call) -> Mapping[Application, Dim]:
    """How often each layer on its shapes is in it, in the order of the graph.

    The law of all sums: a composite has what its items have together, a repeat `times` what its body has.
    """
    if isinstance(call, Application):
        return {call: 1}
    return call.once(counts, lambda: _counted(call))


def _counted(call: Composite | Repeat) -> dict[Application, Dim]:
    if isinstance(call, Repeat):
        return {application: call.times * number for application, number in counts(call.body).items()}
    found: dict[Application, Dim] = {}
    for item in call.items:
        if isinstance(item.call, Application):
            found[item.call] = found.get(item.call, 0) + 1
        else:
            for application, number in counts(item.call).items():
                found[application] = found.get(application, 0) + number
    return found


def summed(call: Call, value: Callable[[Application], Dim]) -> Dim:
    """The sum of what each layer has, by the same law; where passes change, the sum over their numbers.

    Raises: NoSum: that has no closed form.
    """
    return _summed(call, value, {})


def _summed(call: Call, value: Callable[[Application], Dim], known: dict[int, Dim]) -> Dim:
    if isinstance(call, Application):
        return value(call)
    if id(call) not in known:
        if isinstance(call, Composite):
            known[id(call)] = sum(_summed(item.call, value, known) for item in call.items)
        else:
            known[id(call)] = over_passes(call, _summed(call.body, value, known), 1, call.times)
    return known[id(call)]


def over_passes(repeat: Repeat, amount: Dim, first: Dim, last: Dim) -> Dim:
    """The sum of what passes have, from one number to another.

    Raises: NoSum: it has no closed form.
    """
    if repeat.index is None:
        return (last - first + 1) * amount
    from archcalc.symbolic.sums import summed as summed_up  # few passes change

    return summed_up(amount, repeat.index, first, last)


def at_pass(call: Call, index: Any, number: Dim) -> Call:
    """A part of a pass, whose sizes are formulas in the pass's number, in the pass of this number."""
    return _at_pass(call, index, number, {})


def _at_pass(call: Call, index: Any, number: Dim, known: dict[int, Call]) -> Call:
    if id(call) not in known:
        if isinstance(call, Application):
            found: Call = _applied(call, index, number)
        elif isinstance(call, Composite):
            items = (item._replace(call=_at_pass(item.call, index, number, known)) for item in call.items)
            found = Composite(items, call.entering)
        else:
            from archcalc.symbolic.sums import at

            body, times = _at_pass(call.body, index, number, known), at(call.times, index, number)
            assert not isinstance(body, Repeat)
            found = Repeat(body, call.count, call.chained, call.output, times if call.is_open else None, call.index)
        known[id(call)] = found
    return known[id(call)]


def _applied(application: Application, index: Any, number: Dim) -> Application:
    from archcalc.symbolic.sums import at

    def there(value: Any) -> Any:
        return tuple(map(there, value)) if isinstance(value, tuple) else at(value, index, number)

    layer = application.layer
    arguments = {name: there(getattr(layer, name)) for name in layer.arguments()}
    shapes = [
        Shape(**{axis: there(size) for axis, size in shape.items()})
        for shape in (*application.input_shapes, application.output_shape)
    ]
    return Application(layer.given(**arguments), tuple(shapes[:-1]), shapes[-1], there(application.copies))


def depends_on(call: Call, index: Any) -> bool:
    """Whether something in it depends on the number of the pass that it is."""
    if isinstance(call, Repeat):
        return depends_on(call.body, index) or (is_symbolic(call.times) and index in call.times.free_symbols)
    if isinstance(call, Composite):
        return any(depends_on(item.call, index) for item in call.items)
    sizes = (size for shape in (*call.input_shapes, call.output_shape) for size in shape.values())
    values = (getattr(call.layer, name) for name in call.layer.arguments())
    return any(map(partial(_stands_in, index), (*sizes, *values, call.copies)))


def _stands_in(index: Any, value: Any) -> bool:
    if isinstance(value, tuple):
        return any(map(partial(_stands_in, index), value))
    return is_symbolic(value) and index in value.free_symbols


def varies(call: Call) -> bool:
    """Whether sizes in it change from pass to pass."""
    if isinstance(call, Application):
        return False
    inner = [call.body] if isinstance(call, Repeat) else [item.call for item in call.items]
    own = isinstance(call, Repeat) and call.index is not None
    return own or call.once(varies, lambda: any(map(varies, inner)))


def number_of_pass(repeat: Repeat) -> Any:
    """The symbol for the number of a pass, counted from 1, among passes whose number is a symbol."""
    return counter(_height(repeat) - 1, "p") if repeat.index is None else repeat.index


def _height(call: Call) -> int:
    """How many repeats of alike passes, whose numbers are symbols, stand in each other in it."""
    if isinstance(call, Application):
        return 0
    if isinstance(call, Repeat):
        return _height(call.body) + (call.is_open and call.index is None)
    return call.once(_height, lambda: max((_height(item.call) for item in call.items), default=0))


def depth_symbols(call: Call) -> frozenset[Any]:
    """The symbols that say how many passes there are; nothing if their numbers are known."""
    if isinstance(call, Application):
        return frozenset()
    return call.once(depth_symbols, lambda: _depth_symbols(call))


def _depth_symbols(call: Composite | Repeat) -> frozenset[Any]:
    if isinstance(call, Composite):
        return frozenset().union(*(depth_symbols(item.call) for item in call.items))
    own = call.times.free_symbols if is_symbolic(call.times) else ()
    return depth_symbols(call.body).union(own) - {call.index}


def numbers_of_passes(call: Call) -> frozenset[Any]:
    """The numbers of passes that are formulas in symbols which don't count passes themselves."""
    if isinstance(call, Application):
        return frozenset()
    return call.once(numbers_of_passes, lambda: _numbers_of_passes(call))


def _numbers_of_passes(call: Composite | Repeat) -> frozenset[Any]:
    if isinstance(call, Composite):
        return frozenset().union(*(numbers_of_passes(item.call) for item in call.items))
    inside = (times for times in numbers_of_passes(call.body) if call.index not in times.free_symbols)
    return frozenset([*inside, *([call.times] if is_symbolic(call.times) else [])])


def is_long(call: Call) -> bool:
    """Whether some repeat in it has so many passes that one of them may stand for others."""
    if isinstance(call, Application):
        return False
    if isinstance(call, Repeat):
        return call.count > BEFORE + AFTER + 2 or is_long(call.body)
    return call.once(is_long, lambda: any(is_long(item.call) for item in call.items))


def alike(one: Call, other: Call, known: set[tuple[int, int]]) -> bool:
    """Whether two calls are equal; `known` are pairs that are, since parts may be in many places."""
    if one is other or (id(one), id(other)) in known:
        return True
    if isinstance(one, Composite) and isinstance(other, Composite):
        equal = len(one.items) == len(other.items) and all(
            (a.reads, a.tied, a.module) == (b.reads, b.tied, b.module) and alike(a.call, b.call, known)
            for a, b in zip(one.items, other.items, strict=True)
        )
    elif isinstance(one, Repeat) and isinstance(other, Repeat):
        laws = [(each.count, each.chained, each.output, each.times, each.index) for each in (one, other)]
        equal = laws[0] == laws[1] and alike(one.body, other.body, known)
    else:
        equal = one == other
    if equal:
        known.add((id(one), id(other)))
    return equal
