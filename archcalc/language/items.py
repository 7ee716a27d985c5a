"""What a spec's layers are made of: the items of the grammar, as data. Every item maps one tensor to one tensor."""

from __future__ import annotations

from dataclasses import field
from typing import TypeAlias

from archcalc.data import dataclass
from archcalc.errors import ExpressionError, Mark
from archcalc.language.arithmetic import Word
from archcalc.language.expression import Environment, Expr
from archcalc.symbolic import is_symbolic


@dataclass(frozen=True, slots=True)
class Template:
    """A name or path, perhaps with expressions in brackets: `down{i}/skip`, `down<i>/skip`."""

    parts: tuple[str | Expr, ...]
    offset: int = 0

    @property
    def constant(self) -> str | None:
        """The text, if there is no expression in it."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], str) else None

    def names(self) -> set[str]:
        """The names that its expressions read."""
        return {name for part in self.parts if isinstance(part, Expr) for name in part.names()}

    def render(self, env: Environment) -> str:
        """The text with every expression's value in its place.

        Raises: ExpressionError: a value is an unknown name, or depends on a symbol, so that the name would, too.
        """
        return "".join(part if isinstance(part, str) else _plain(part.evaluate(env)) for part in self.parts)

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else "{…}" for part in self.parts)


def _plain(value: object) -> str:
    from archcalc.language.arithmetic import UnknownName

    if isinstance(value, Word):
        raise UnknownName(value)
    if is_symbolic(value):
        raise ExpressionError("a name depends on a symbolic value", code="E106", hint="give the symbol a value")
    return str(value)


@dataclass(frozen=True, slots=True)
class Given:
    """One argument of a call: by name or, if `name` is empty, by position; an expression or a `@path`."""

    name: str
    value: Expr | Template
    offset: int


@dataclass(frozen=True, slots=True)
class CallUnit:
    """A layer kind or block by name, with its arguments."""

    name: str
    arguments: tuple[Given, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class FromUnit:
    """`from path`: restart from an earlier tensor."""

    path: Template
    offset: int


@dataclass(frozen=True, slots=True)
class GroupUnit:
    """`( chain ) * count`; without a count, its steps belong to the chain around it."""

    chain: Chain
    count: Expr | None
    offset: int


@dataclass(frozen=True, slots=True)
class Step:
    """A unit of a chain, the condition under which it's there, and the step that is there otherwise."""

    unit: CallUnit | FromUnit | GroupUnit
    condition: Expr | None
    condition_text: str = ""
    other: Step | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps joined by arrows; `text` starts at `mark`."""

    steps: tuple[Step, ...]
    text: str
    mark: Mark
    _marks: dict[int, Mark] = field(default_factory=dict, init=False, repr=False, compare=False)

    def at(self, offset: int) -> Mark:
        """The place of a part of the text, each time the same object: a layer of a loop has it in every pass."""
        if offset not in self._marks:
            self._marks[offset] = self.mark.moved(offset)
        return self._marks[offset]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Items one after the other."""

    items: tuple[Item, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Named:
    """An item with a name of its own: a scope."""

    name: Template
    item: Item
    mark: Mark


@dataclass(frozen=True, slots=True)
class Merge:
    """Branches that share the input, and the layer kind that joins them (add, mul, concat).

    Branches have the names that the spec gives, or none (`""`); then they're called a, b, c … by their places. With
    `each`, they are that loop's passes instead, which all read what enters.
    """

    call: CallUnit
    branches: tuple[tuple[str, Item], ...]
    mark: Mark
    each: Loop | None = None


@dataclass(frozen=True, slots=True)
class Residual:
    """`body` plus `shortcut`; no shortcut is the identity."""

    body: Item
    shortcut: Item | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mixture:
    """`router` scores `experts`, `choice` makes shares of that, and each token goes through the experts that have some.

    What they make is summed, and what `shared` makes of all tokens is added.
    """

    expert: Item
    experts: Expr
    router: Item
    choice: Long
    shared: Item | None
    mark: Mark


@dataclass(frozen=True, slots=True)
class Loop:
    """One pass of `body` for each row of the zipped lists; each entry binds one or several variables."""

    variables: tuple[tuple[tuple[str, ...], Expr, Mark], ...]
    body: Item
    mark: Mark

    @property
    def names(self) -> set[str]:
        """The loop variables."""
        return {name for names, _, _ in self.variables for name in names}


@dataclass(frozen=True, slots=True)
class If:
    """`then` or, if the condition is false, `other`."""

    condition: Expr
    then: Item
    other: Item | None
    mark: Mark
    text: str


@dataclass(frozen=True, slots=True)
class Long:
    """The long form of a call: `{op: NAME, ARG: expr}`. Offsets don't apply: each argument has its own place."""

    call: CallUnit
    marks: tuple[Mark, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Restart:
    """A struct with a `from`: its item works on an earlier tensor."""

    path: Template
    item: Item
    mark: Mark


Item: TypeAlias = "Chain | Sequence | Named | Merge | Residual | Mixture | Loop | If | Long | Restart"


def has_one_call(item: Item) -> bool:
    """Whether an item is a chain of one step, so that the step owns the item's name."""
    if isinstance(item, Restart):
        return has_one_call(item.item)
    if not isinstance(item, Chain):
        return isinstance(item, Long)
    steps = [step for step in item.steps if step.other is not None or not isinstance(step.unit, FromUnit)]
    return len(steps) == 1 and _is_one_call(steps[0])


def _is_one_call(step: Step) -> bool:
    if step.other is not None and not _is_one_call(step.other):
        return False
    if isinstance(step.unit, GroupUnit):
        return step.unit.count is None and has_one_call(step.unit.chain)
    return isinstance(step.unit, CallUnit)


def given_names(item: Item) -> list[str]:
    """The names that a spec gives in the scope that an item stands in, by whatever condition."""
    if isinstance(item, Named):
        return [item.name.constant] if item.name.constant is not None else []
    if isinstance(item, Merge):
        return [name for name, _ in item.branches if name]
    inner: tuple[Item | None, ...] = ()
    if isinstance(item, Sequence):
        inner = item.items
    elif isinstance(item, If):
        inner = (item.then, item.other)
    elif isinstance(item, Restart):
        inner = (item.item,)
    return [name for part in inner if part is not None for name in given_names(part)]
