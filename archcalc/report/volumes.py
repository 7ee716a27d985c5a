"""Which layers work on the same volume, and what their row is called.

A layer in place rides on a volume; the layer that makes it is its *home*, perhaps in another part. The law: a part has
homes for its own wires, which may be volumes that enter it, and riders on these; they ride on whatever enters it where
it stands. So the rows of a part depend on nothing but who rides on its volumes from outside, or in the next pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import NamedTuple, TypeAlias

from archcalc.graph import Application, Composite, Repeat
from archcalc.graph.composite import Call
from archcalc.graph.labels import Label, Numbered
from archcalc.report.rows import Line, Row, Run, shown
from archcalc.symbolic import Dim


class Rider(NamedTuple):
    """A layer in place: the volume that it works on, as a wire, its own number, and how often it's there."""

    on: int
    node: int
    layer: Application
    times: Dim = 1

    def seen_from(self, first: int, on: int) -> Rider:
        """The same in the numbers of a part that starts at `first` in this one, on a volume of that."""
        return Rider(on, self.node - first, self.layer, self.times)


Riders: TypeAlias = "tuple[Rider, ...]"


class Volumes:
    """The rows of parts, a row for each volume.

    `folded` are such where layers of many passes that work on one volume from outside are one rider; else each of them
    is there.
    """

    def __init__(self, folded: bool = False) -> None:
        self.folded = folded
        self._homes: dict[tuple[int, int], int] = {}
        self._riders: dict[int, tuple[Riders, Riders]] = {}
        self._rows: dict[tuple[int, int, Riders], tuple[Row, ...]] = {}

    def rows(self, call: Call, label: Label | None, outside: Riders = ()) -> tuple[Row, ...]:
        """The rows of a scope or a pass, on whose volumes these ride from outside."""
        if isinstance(call, Application):
            return () if call.layer.in_place and call.entering else (_line(call, outside),)
        assert isinstance(call, Composite)
        assert label is not None
        key = id(call), id(label), outside
        if key not in self._rows:
            self._rows[key] = self._divided(call, label, outside)
        return self._rows[key]

    def _divided(self, call: Composite, label: Label, outside: Riders) -> tuple[Row, ...]:
        on_items: dict[int, list[Rider]] = defaultdict(list)
        for rider in (*self._met(call)[0], *outside):
            number = call.place(rider.on)
            first = call.starts[number]
            on_items[number].append(rider.seen_from(first, rider.on - first))
        rows: list[Row] = []
        for number, (item, first) in enumerate(zip(call.items, call.starts, strict=True)):
            riders, name, inner = tuple(on_items.get(number, ())), label.names[number], label.inner[number]
            if isinstance(item.call, Repeat):
                rows += self._passes(item.call, name, first, inner, riders)
                continue
            found = self.rows(item.call, inner, riders)
            if isinstance(item.call, Application):
                rows += [line._replace(name=shown(name), first=first) for line in found if isinstance(line, Line)]
            elif found:
                rows.append(self._scope(call, label, str(name), first, Run(str(name), first, item.call.size, found)))
        if any("/" in name for name in label.names if isinstance(name, str)):
            return tuple(self._named(call, label, rows))
        return tuple(rows)

    def _scope(self, around: Composite, label: Label, name: str, first: int, run: Run) -> Row:
        """The rows of a scope; if that is one row and gives out its volume, that has the scope's name."""
        (row, *others), wire = run.rows, label.index.volumes.get(name)
        if others or not isinstance(row, Line) or "/" in row.name or wire is None:
            return run
        if self._home(around, wire) != first + row.first:
            return run
        return row._replace(name=name, first=first + row.first)

    def _passes(
        self, repeat: Repeat, names: str | Numbered, first: int, label: Label | None, outside: Riders
    ) -> Iterator[Row]:
        """The passes of a repeat, those together that are alike."""
        size, last = repeat.body.size, repeat.count - 1
        onward = tuple(self._onward(repeat))
        on_passes: dict[int, list[Rider]] = {last: []} if onward else {}
        for rider in outside:
            start = rider.on // size * size
            on_passes.setdefault(rider.on // size, []).append(rider.seen_from(start, rider.on - start))
        begin = 0
        for number in (*sorted(on_passes), repeat.count):
            for at, count in ((begin, number - begin), (number, int(number <= last))):
                riders = (*(onward if at < last else ()), *(on_passes.get(at, ()) if at == number else ()))
                if count and (rows := self._pass(repeat, label, riders)):
                    yield Run(names, first + at * size, size, rows, count, at, repeat)
            begin = number + 1

    def _pass(self, repeat: Repeat, label: Label | None, riders: Riders) -> tuple[Row, ...]:
        """The rows of a pass; if that is one row and gives out its volume, that has the pass's name."""
        rows = self.rows(repeat.body, label, riders)
        if len(rows) != 1 or not isinstance(row := rows[0], Line) or "/" in row.name or repeat.output < 0:
            return rows
        return (row._replace(name=""),) if self._home(repeat.body, repeat.output) == row.first else rows

    # --- homes ----------------------------------------------------------------------------------------------------

    def _home(self, call: Call, wire: int) -> int:
        """The wire of a part that makes the volume of another one, or the volume that enters which it works on."""
        if wire < 0:
            return wire
        if isinstance(call, Application):
            return ~0 if call.layer.in_place and call.entering else 0
        key = id(call), wire
        if key not in self._homes:
            self._homes[key] = self._home_in_pass(call, wire) if isinstance(call, Repeat) else self._found(call, wire)
        return self._homes[key]

    def _found(self, call: Composite, wire: int) -> int:
        """The same in a scope, where one layer in place may work on the volume of another one."""
        while wire >= 0 and (id(call), wire) not in self._homes:
            number = call.place(wire)
            item, first = call.items[number], call.starts[number]
            home = self._home(item.call, wire - first)
            if home >= 0:
                return first + home
            wire = item.reads[~home]
        return self._homes[id(call), wire] if wire >= 0 else wire

    def _home_in_pass(self, repeat: Repeat, wire: int) -> int:
        """The same in a repeat, where it may be in the pass before."""
        number, wire = divmod(wire, repeat.body.size)
        home = self._home(repeat.body, wire)
        if home < 0 and home == ~repeat.chained and number and repeat.output >= 0:
            number, home = number - 1, self._home(repeat.body, repeat.output)
        return number * repeat.body.size + home if home >= 0 else home

    # --- riders ---------------------------------------------------------------------------------------------------

    def _met(self, call: Composite) -> tuple[Riders, Riders]:
        """The riders between the items of a scope on its own volumes, and all on volumes that enter it."""
        if id(call) not in self._riders:
            own: list[Rider] = []
            entering: list[Rider] = []
            for item, first in zip(call.items, call.starts, strict=True):
                for rider in self._entering(item.call):
                    home = self._home(call, item.reads[~rider.on])
                    (own if home >= 0 else entering).append(rider._replace(on=home, node=first + rider.node))
            self._riders[id(call)] = tuple(own), tuple(entering)
        return self._riders[id(call)]

    def _entering(self, call: Call) -> Iterable[Rider]:
        """The riders in a part on volumes that enter it."""
        if isinstance(call, Application):
            return (Rider(~0, 0, call),) if call.layer.in_place and call.entering else ()
        if isinstance(call, Composite):
            return self._met(call)[1]
        first = self._entering(call.body)
        later = [rider._replace(on=on) for rider in first if (on := self._on(call, rider)) < 0]
        if self.folded:
            return (*first, *(rider._replace(times=rider.times * (call.times - 1)) for rider in later))
        size = call.body.size
        passes = range(1, call.count) if later else ()
        return chain(first, (each._replace(node=each.node + at * size) for at in passes for each in later))

    def _on(self, repeat: Repeat, rider: Rider) -> int:
        """What a rider in a pass works on in the second pass and those after it: a wire of the pass before, or ~k."""
        chained = rider.on == ~repeat.chained and repeat.output >= 0
        return self._home(repeat.body, repeat.output) if chained else rider.on

    def _onward(self, repeat: Repeat) -> Iterator[Rider]:
        """The riders in a pass on the volumes of the pass before."""
        for rider in self._entering(repeat.body):
            if rider.on == ~repeat.chained and (on := self._on(repeat, rider)) >= 0:
                yield rider._replace(on=on, node=rider.node + repeat.body.size)

    # --- graphs without structure ---------------------------------------------------------------------------------

    def _named(self, call: Composite, label: Label, rows: list[Row]) -> Iterator[Row]:
        """The rows of layers that have paths as names, each with the name of the largest scope that makes no other."""
        names = ["", *(row.name(0) if isinstance(row, Run) else row.name for row in rows), ""]
        for number, row in enumerate(rows):
            name, around = names[number + 1], (names[number], names[number + 2])
            while isinstance(row, Line) and "/" in name:
                scope = name.rpartition("/")[0]
                wire = label.index.volumes.get(scope)
                if any(other.startswith(f"{scope}/") for other in around):
                    break
                if wire is None or self._home(call, wire) != row.first:
                    break
                name = scope
            yield row._replace(name=name) if isinstance(row, Line) else row


def _line(layer: Application, riders: Riders) -> Line:
    """A row for a layer and those that work on its volume."""
    if any(rider.times != 1 for rider in riders):
        alike = ((layer, [*each]) for layer, each in groupby(riders, lambda rider: rider.layer))
        riders = tuple([each[0]._replace(times=sum(rider.times for rider in each)) for _, each in alike])
    nodes, layers = [rider.node for rider in riders], [(rider.layer, rider.times) for rider in riders]
    return Line("", 0, (0, *nodes), ((layer, 1), *layers))
