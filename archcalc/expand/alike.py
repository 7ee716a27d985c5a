"""For how many passes of a loop everything that reads its variables stays what it is.

The law: what doesn't read a loop variable is the same in all passes, whatever it is, as long as the passes enter equal
shapes. A variable is the same as long as its list repeats its value; a comparison of a variable that counts, up to
where its truth changes; `a and b`, if a is false, as long as a is. All else is the same as long as its parts are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from archcalc.errors import LocalError
from archcalc.expand.scope import Context
from archcalc.language.expression import Axis, Binary, Choice, Environment, Expr, Name
from archcalc.language.items import (
    CallUnit,
    Chain,
    FromUnit,
    GroupUnit,
    If,
    Item,
    Long,
    Loop,
    Merge,
    Mixture,
    Named,
    Residual,
    Restart,
    Step,
    Template,
)
from archcalc.language.items import Sequence as Items
from archcalc.symbolic import is_symbolic
from archcalc.work import spend

Columns = Sequence[tuple[tuple[str, ...], Sequence[Any]]]
Part: TypeAlias = "Item | Step | CallUnit | FromUnit | GroupUnit | Template | Expr | None"
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Reader(NamedTuple):
    """An expression that reads a loop variable, and the names that loops inside the pass give other values."""

    expr: Expr
    hidden: frozenset[str]


class Readers:
    """What in the bodies of loops reads their variables."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Reader, ...]] = {}
        self._bodies: list[Item] = []

    def of(self, body: Item, columns: Columns) -> tuple[Reader, ...]:
        """The expressions in a loop's body that read its variables."""
        if id(body) not in self._known:
            variables = {name for names, _ in columns for name in names}
            found = (reader for reader in _expressions(body, frozenset()) if reader.expr.names() & variables)
            self._known[id(body)] = tuple(found)
            self._bodies.append(body)  # so that no other gets its id
        return self._known[id(body)]


def _expressions(item: Part, hidden: frozenset[str]) -> Iterator[Reader]:
    """Every expression in an item, and every name that may be a variable's."""
    if isinstance(item, Expr):
        yield Reader(item, hidden)
    elif isinstance(item, Template):
        for part in item.parts:
            if isinstance(part, Expr):
                yield Reader(part, hidden)
    elif isinstance(item, Chain):
        yield from _all(item.steps, hidden)
    elif isinstance(item, Step):
        yield from _all((item.unit, item.condition, item.other), hidden)
    elif isinstance(item, FromUnit):
        yield from _expressions(item.path, hidden)
    elif isinstance(item, GroupUnit):
        yield from _all((item.chain, item.count), hidden)
    elif isinstance(item, CallUnit):
        yield Reader(Name(item.offset, item.name), hidden)
        yield from _all((given.value for given in item.arguments), hidden)
    elif isinstance(item, Loop):
        yield from _all((expr for _, expr, _ in item.variables), hidden)
        yield from _expressions(item.body, hidden | item.names)
    elif item is not None:
        yield from _all(_parts(item), hidden)


def _all(items: Any, hidden: frozenset[str]) -> Iterator[Reader]:
    for item in items:
        yield from _expressions(item, hidden)


def _parts(item: Item) -> tuple[Part, ...]:
    """What an item without expressions of its own consists of."""
    if isinstance(item, Items):
        return item.items
    if isinstance(item, Named):
        return item.name, item.item
    if isinstance(item, Merge):
        return item.call, item.each, *(branch for _, branch in item.branches)
    if isinstance(item, Residual):
        return item.body, item.shortcut
    if isinstance(item, Mixture):
        return item.experts, item.router, item.choice, item.expert, item.shared
    if isinstance(item, If):
        return item.condition, item.then, item.other
    if isinstance(item, Long):
        return (item.call,)
    assert isinstance(item, Restart)
    return item.path, item.item


def rows_alike(columns: Columns, number: int, readers: Sequence[Reader], ctx: Context) -> int:
    """For how many rows after this one all expressions that read the variables have the values that they have now."""
    ahead = min((len(values) for _, values in columns)) - number - 1
    if not readers:
        return ahead
    row: dict[str, Any] = {}
    for names, values in columns:
        row.update(zip(names, (values[number],) if len(names) == 1 else values[number], strict=True))
    rows = _Rows(columns, number, ctx, Environment(row, ctx.env))
    for reader in readers:
        if not ahead:
            break
        ahead = min(ahead, rows.span(reader.expr, reader.hidden, ahead))
    return ahead


class _Rows:
    """The rows of a loop from one on, and what can be said of expressions in them."""

    def __init__(self, columns: Columns, number: int, ctx: Context, env: Environment) -> None:
        self.columns, self.number, self.ctx, self.env = columns, number, ctx, env
        self.variables = {name for names, _ in columns for name in names}

    def span(self, expr: Expr, hidden: frozenset[str], most: int) -> int:
        """For how many of `most` rows after this one an expression surely has the value that it has now."""
        spend(1 + sum(1 for _ in expr.walk()) // 4, "comparing the passes of loops")
        if not expr.names() & self.variables:
            return most
        if isinstance(expr, Name):
            return self._repeated(expr.name, most)
        if isinstance(expr, Binary) and expr.operation in FLIPPED:
            sides = [(expr.left, expr.operation, expr.right), (expr.right, FLIPPED[expr.operation], expr.left)]
            for variable, operation, other in sides:
                if isinstance(variable, Name) and variable.name in self.variables - hidden:
                    found = self._compared(variable.name, operation, other, hidden, most)
                    if found is not None:
                        return found
        if isinstance(expr, Binary) and expr.operation in ("and", "or"):
            first = self._value(expr.left, hidden)
            if first is (expr.operation == "or"):  # it decides
                return self.span(expr.left, hidden, most)
        if isinstance(expr, Choice):
            truth = self._value(expr.condition, hidden)
            if isinstance(truth, bool):
                chosen = expr.then if truth else expr.other
                return min(self.span(expr.condition, hidden, most), self.span(chosen, hidden, most))
        for part in expr.children():
            most = self.span(part, hidden, most) if most else 0
        return most

    def _value(self, expr: Expr, hidden: frozenset[str]) -> Any:
        """What an expression is in this row, if that doesn't depend on where in the pass it's asked for; else None."""
        names = expr.names()
        own, read = self.ctx.module.spec.hparams, self.ctx.module.read
        unread = any(name in own and name not in read for name in names)
        if unread or names & hidden or any(isinstance(part, Axis) for part in expr.walk()):
            return None
        try:
            return expr.evaluate(self.env)
        except LocalError:
            return None

    def _repeated(self, name: str, most: int) -> int:
        """For how many rows after this one a variable has the value that it has now."""
        values = next(values for names, values in self.columns if name in names)
        if isinstance(values, range):
            return 0
        now = values[self.number]
        following = (place for place in range(most) if not _same(values[self.number + 1 + place], now))
        return next(following, most)

    def _compared(self, name: str, operation: str, other: Expr, hidden: frozenset[str], most: int) -> int | None:
        """For how many rows after this one a comparison has the truth that it has now; None if that can't be said."""
        values = next(values for names, values in self.columns if name in names)
        bound = None if other.names() & self.variables else self._value(other, hidden)
        if not isinstance(values, range) or isinstance(bound, bool) or not isinstance(bound, int):
            return None
        rows = values[self.number : self.number + most + 1]
        if operation in ("==", "!="):
            if rows[0] == bound:
                return 0
            return rows.index(bound) - 1 if bound in rows else most
        truths = {"<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__}
        now = truths[operation](rows[0], bound)
        changes = bisect_left(range(len(rows)), True, key=lambda place: truths[operation](rows[place], bound) != now)
        return changes - 1


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same for everything that may read them."""
    if is_symbolic(one) or is_symbolic(other) or type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
