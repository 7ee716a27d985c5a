"""Names for volumes that are read from elsewhere: the module's own, of what makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

from archcalc.importers.operations.lifting import Lifted
from archcalc.importers.writing.outline import GROUP, Call, Item, Join, Leaf, Scope, own_name

MERGED = {"add": "sum", "mul": "product", "concat": "joined", "combine": "mixture"}
"""What a merge is called whose volume has no other name."""


class Namer:
    """Knows what the module calls its layers, and puts together what stands under one name."""

    def __init__(self, lifted: Lifted, wanted: Set[int]) -> None:
        self.steps, self.wanted = lifted.steps, wanted
        self._layers = Counter(around.path for step in lifted.steps for around in step.around)
        self._inputs = {~number: name for number, (name, _) in enumerate(lifted.inputs)}
        self._again = Counter[str]()
        self._names: dict[int, str] = {}

    def name(self, item: Item) -> str:
        """A name for what an item makes."""
        if item.out not in self._names:
            self._names[item.out] = self._name(item)
        return self._names[item.out]

    def _name(self, item: Item) -> str:
        if own := own_name(item) or self._submodule(item):
            return own
        if isinstance(item, Call) and item.scope.shared:
            if len(self._inputs) > 1 and item.main in self._inputs:
                return f"{self._inputs[item.main]}_{item.block}"
            self._again[item.block] += 1
            return f"{item.block}_{self._again[item.block]}"
        leaf = item.leaf if isinstance(item, Join) else item
        if isinstance(leaf, Leaf) and (operator := dict(leaf.arguments).get("operator")):
            return f"{operator}_out"
        if isinstance(item, Join) or (isinstance(item, Leaf) and item.word in MERGED):
            return MERGED[(item.leaf if isinstance(item, Join) else item).word]
        if isinstance(item, Leaf):
            return item.word
        return self._numbered(item.scope if isinstance(item, Call) else item)

    def _numbered(self, scope: Scope) -> str:
        """The name of a submodule that its list numbers: `downs_0`."""
        around = self.steps[scope.out].around if scope.items else ()
        path = next((each.path for each in around if each.path.rpartition(".")[2] == scope.name), "")
        holder = path.rpartition(".")[0].rpartition(".")[2]
        return f"{holder}_{scope.name}" if holder.isidentifier() else "part"

    def _submodule(self, item: Item) -> str:
        """The name of a layer that is a submodule by itself."""
        around = self.steps[item.step].around if isinstance(item, Leaf) and not item.reads else ()
        name = around[-1].path.rpartition(".")[2] if around and self._layers[around[-1].path] == 1 else ""
        return name if name.isidentifier() else ""

    def grouped(self, items: Sequence[Item], around: int | None = None) -> tuple[Item, ...]:
        """Items with those together that make a volume which is read elsewhere, from the last that has a name on.

        The volume of what is `around` them has its name there.
        """
        done: list[Item] = []
        for item in map(self._inside, items):
            wanted = item.out in self.wanted and item.out != around
            if wanted:
                self.name(item)
            start = self._start(done, item) if wanted else len(done)
            if start < len(done):
                group = (*done[start:], item)
                if named := next((name for each in group if (name := own_name(each) or self._submodule(each))), ""):
                    self._names[item.out] = named
                done[start:] = [Scope(self.name(item), GROUP, group, group[0].main)]
            else:
                done.append(item)
        return tuple(done)

    def _inside(self, item: Item) -> Item:
        if isinstance(item, Scope):
            return item._replace(items=self.grouped(item.items, item.out))
        if isinstance(item, Join):
            return item._replace(branches=tuple(map(self.grouped, item.branches)))
        return item

    def _start(self, done: Sequence[Item], item: Item) -> int:
        """From where on items belong to one that makes a volume which is read elsewhere."""
        if not isinstance(item, (Leaf, Call)) or (isinstance(item, Leaf) and item.reads):
            return len(done)
        start = len(done)
        first: Item = item
        named = bool(own_name(item) or self._submodule(item))
        while start and done[start - 1].out == first.main and first.main not in self.wanted:
            first = done[start - 1]
            if not isinstance(first, (Leaf, Call)) or (isinstance(first, Leaf) and first.reads) or own_name(first):
                break
            start -= 1
            if not named and self._submodule(first):
                return start
        jumps = start and start < len(done) and done[start - 1].out != first.main
        return start if jumps else len(done)
