"""Names while building: which are taken, which can be seen from where, and how the build got there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from archcalc.data import dataclass
from archcalc.errors import LocalError
from archcalc.expand.hparams import Module
from archcalc.graph.labels import Numbered
from archcalc.language.expression import Environment

_NAME = re.compile(r"[\w.+-]+")
MAX_PATH = 400
"""Characters of a name with its scopes; half a million longer ones would fill the memory."""


class Scope:
    """A name and its children. A block's scope has no parent: its body sees no names from outside.

    What nobody named gets a name automatically. Names that the spec gives go first: none is taken automatically that a
    sibling will have (`reserved`), and none is hidden by an automatic one.
    """

    __slots__ = ("branches", "counts", "numbers", "parent", "passes", "path", "reserved", "taken")

    def __init__(self, path: str = "", parent: Scope | None = None) -> None:
        self.path, self.parent = path, parent
        self.taken: dict[str, bool] = {}
        """The names of the children so far, and whether each was given automatically."""
        self.passes: list[tuple[Numbered, bool]] = []
        """The names of long repeats, and whether they were given automatically."""
        self.numbers: set[str] = set()
        """The numbers that the spec gives as names."""
        self.counts: Counter[str] = Counter()
        self.reserved: Counter[str] = Counter()
        """How often the spec gives a name here, by all that is yet to be decided."""
        self.branches: dict[str, str] = {}
        """While a merge is built: the names of its unnamed branches (`a`, `body`), and what they are called here."""

    def child(self, name: str) -> str:
        """The full path of a name in this scope."""
        return f"{self.path}/{name}" if self.path else name

    def claim(self, name: str, automatic: bool = False) -> str:
        """Take a name; an automatic one has been found to be free.

        Raises: LocalError: a sibling has it, or the path gets too long.
        """
        if not _NAME.fullmatch(name) or name in (".", ".."):
            hint = "letters, digits, _ . + and - make a name"
            raise LocalError(f"'{name}' can't be the name of a layer", code="E014", hint=hint)
        if len(self.path) + len(name) > MAX_PATH:
            raise LocalError(f"a name of more than {MAX_PATH} characters, scopes included", code="E001")
        if not automatic and self.is_taken(name):
            where = f" in '{self.path}'" if self.path else ""
            raise LocalError(f"two siblings are called '{name}'{where}", code="E072", hint="names must be unique")
        self.taken[name] = automatic
        if not automatic and name.isdecimal():
            self.numbers.add(name)
        return self.child(name)

    def claim_passes(self, names: Numbered, automatic: bool) -> None:
        """Take the names of a repeat's passes, all of which are free."""
        if names.is_short:
            self.taken.update(dict.fromkeys(map(names.name, range(len(names.numbers))), automatic))
        else:
            self.passes.append((names, automatic))
        if automatic:
            self.counts[""] = names.numbers[-1]

    def is_taken(self, name: str) -> bool:
        """Whether a sibling has a name."""
        return name in self.taken or (
            bool(self.passes) and any(names.place(name) is not None for names, _ in self.passes)
        )

    def is_automatic(self, name: str) -> bool:
        """Whether a sibling has a name that nobody gave it."""
        found = self.taken.get(name)
        if found is None:
            return any(given and names.place(name) is not None for names, given in self.passes)
        return found

    def fits(self, names: Numbered, inner: int) -> bool:
        """Whether the names of a repeat's passes are short enough, and what is in them, of so many characters."""
        return len(self.path) + names.longest + inner <= MAX_PATH

    def free(self, names: Numbered, automatic: bool) -> int:
        """How many names of a repeat's passes can be its children's, one after the other; it has the first."""
        if automatic:
            if any(not given for _, given in self.passes):
                return 1
            kept = [names.place(name) for name in (*self.numbers, *self.reserved)]
        elif any(
            long.before.startswith(names.before) or names.before.startswith(long.before) for long, _ in self.passes
        ):
            return 1
        elif len(names.numbers) < len(self.taken):
            kept = [place for place in range(1, len(names.numbers)) if self.is_taken(names.name(place))]
        else:
            kept = [names.place(name) for name in self.taken]
        return min((place for place in kept if place), default=len(names.numbers))

    def reserve(self, names: Iterable[str]) -> None:
        """Keep names for siblings to come."""
        self.reserved.update(names)

    def release(self, names: Iterable[str]) -> None:
        """Don't keep names any longer: nothing will have them."""
        self.reserved.subtract(names)

    def unused(self, name: str) -> str:
        """`name`, or name_2, name_3 … if siblings have it or will have it."""
        found = name
        while self.is_kept(found):
            self.counts[name] = max(self.counts[name], 1) + 1
            found = f"{name}_{self.counts[name]}"
        return found

    def is_kept(self, name: str) -> bool:
        """Whether a sibling has a name, or will have it."""
        return self.is_taken(name) or self.reserved.get(name, 0) > 0

    def fresh(self, name: str) -> str:
        """Take a name for an anonymous step."""
        return self.claim(self.unused(name), automatic=True)

    def next_pass(self) -> str:
        """The next number that names an anonymous loop pass, but none that the spec gives as a name."""
        self.counts[""] += 1
        while self.is_kept(str(self.counts[""])):
            self.counts[""] = self._after(self.counts[""]) + 1
        return str(self.counts[""])

    def _after(self, number: int) -> int:
        """The last of the numbers in one go that a long repeat has as names from this one on."""
        for names, _ in self.passes:
            if abs(names.numbers.step) == 1 and names.place(str(number)) is not None:
                return max(names.numbers[0], names.numbers[-1])
        return number

    def ancestors(self) -> Iterator[Scope]:
        """The scope itself and those around it, up to the block's boundary."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def meanings(self, path: str) -> Iterator[tuple[str, str]]:
        """The full paths that `path` may stand for here, the nearest first, each after the path of its scope.

        Names that the spec gives go before automatic ones; of these, a merge's own branches before those of others.
        """
        first, slash, rest = path.partition("/")
        for scope in self.ancestors():
            if not scope.is_automatic(first):
                yield scope.path, scope.child(path)
        for scope in self.ancestors():
            if first in scope.branches:
                yield scope.path, scope.child(scope.branches[first] + slash + rest)
            if scope.is_automatic(first):
                yield scope.path, scope.child(path)


@dataclass(frozen=True, slots=True)
class Context:
    """Where the build stands: whose names count, in which scope, and through which calls and loops it came."""

    module: Module
    env: Environment
    scope: Scope
    entered: int | None
    """The tensor that entered the block (`in`)."""
    trace: tuple[Any, ...] | None = None
    depth: int = 0

    def inside(self, path: str) -> Context:
        """The same, in a scope of its own."""
        return Context(self.module, self.env, Scope(path, self.scope), self.entered, self.trace, self.depth)

    def bound(self, names: dict[str, Any]) -> Context:
        """The same, with loop variables."""
        trace = (self.trace, "for", names)
        return Context(self.module, Environment(names, self.env), self.scope, self.entered, trace, self.depth)

    def told(self) -> str:
        """The trace in words: `in bottleneck, i=2 j=1, variant resnet50`."""
        parts: list[str] = []
        loops: list[str] = []
        step = self.trace
        while step is not None:
            step, what, data = step
            if what == "for":
                loops[:0] = [f"{name}={_brief(value)}" for name, value in data.items()]
                continue
            parts += [" ".join(loops)] if loops else []
            loops = []
            parts.append(data)
        parts += [" ".join(loops)] if loops else []
        return ", ".join(parts if len(parts) <= 8 else [*parts[:4], "…", *parts[-3:]])


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:19] + "…"
