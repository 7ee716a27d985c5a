"""Loops and repeats: passes built one after the other, until those to come are known to be the same.

When a pass has been built, the next one is the same composite, on what this one returned, if

1. this one returned the shape that entered it,
2. nothing in it reads another value of a loop variable (`alike.py`): names of passes, `block{j}`, may be counted up,
3. what its references mean outside of it stays what it is: neither the volume that entered this pass, nor something
   that a pass to come could hide, by its own name,
4. no layer in it has been given arguments from outside by its name.

All passes that this holds for become one `Repeat`, without being built. A thousand million of them cost what one costs.

The number of passes may be a symbol, if all passes are alike from one on, and that one is always there: see `Repeat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from archcalc.errors import ExpressionError, LocalError, Mark
from archcalc.expand.alike import Readers, rows_alike
from archcalc.expand.blocks import Place
from archcalc.expand.nodes import Nodes, Tensor
from archcalc.expand.overrides import Overrides
from archcalc.expand.scope import Context
from archcalc.graph.composite import Repeat
from archcalc.graph.labels import Numbered
from archcalc.language.arithmetic import LISTS, MAX_RANGE, OpenRange, integer
from archcalc.language.expression import Axis, Binary, Expr, Name, Reported
from archcalc.language.items import Chain, GroupUnit, Item, Loop, Named, Template
from archcalc.symbolic import Dim, exceeds, is_never_negative, is_symbolic

Column = tuple[tuple[str, ...], Rows[Any]]
TRIES = 8
"""After so many passes in a row that no other is like, only the 16th, 32nd … is compared with those to come."""
PATIENCE = 3
"""Passes that are built before the passes to come are taken to be as large as the last one."""


class Reference(NamedTuple):
    """A name that was looked up: how deep in calls, in whose scope it was found, and the tensor that it stands for.

    `missed` are the scopes and full names in which it was looked for before, in vain.
    """

    depth: int
    scope: str | None
    tensor: Tensor
    missed: tuple[tuple[str, str], ...]


class Builder(Protocol):
    """What running passes needs from the expander."""

    made: Nodes
    overrides: Overrides
    failures: int

    def scoped(
        self, name: Template | str, item: Item, ctx: Context, at: Tensor, mark: Mark, automatic: bool = False
    ) -> Tensor:
        """Build an item under a name."""
        ...

    def look_at(self, ctx: Context, at: Tensor) -> None:
        """Let `x` mean the tensor that enters this step."""
        ...

    def rendered(self, name: Template, ctx: Context, at: Tensor) -> str:
        """A name with its expressions' values."""
        ...

    def report(self, ctx: Context, error: LocalError, mark: Mark) -> None:
        """Tell an error where it happened."""
        ...

    def spend(self, ctx: Context, mark: Mark, layers: int = 0, passes: int = 0, described: int = 0) -> None:
        """Refuse what would be too many."""
        ...

    def defined(self, value: Any, ctx: Context) -> Any:
        """A value that isn't an unknown name."""
        ...


@dataclass(frozen=True, slots=True)
class Run:
    """One loop where it stands: its body, how often, the rows of its variables, and what names the passes."""

    body: Item
    times: Dim
    ctx: Context
    mark: Mark
    naming: Named | None = None
    loop: Loop | None = None
    columns: tuple[Column, ...] = ()

    @property
    def count(self) -> int:
        """How many passes there are; of those whose number is a symbol, more than can be built."""
        return MAX_RANGE if is_symbolic(self.times) else self.times


class Loops:
    """Runs loops, and notes what the names in their passes mean."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.passed = 0
        """Passes that have been built."""
        self.references: list[Reference] = []
        """The names that were looked up in the passes that are being built."""
        self._open = 0
        self._readers = Readers()

    def note(self, depth: int, scope: str | None, tensor: Tensor, missed: tuple[tuple[str, str], ...] = ()) -> None:
        """Remember a name that was looked up, if a pass is being built."""
        if self._open:
            self.references.append(Reference(depth, scope, tensor, missed))

    def loop(self, item: Loop, ctx: Context, at: Tensor, naming: Named | None = None) -> Tensor:
        """`for`: one pass for each row of its lists; named by `naming`, if that reads its variables."""
        self.builder.look_at(ctx, at)
        if (found := self._columns(item, ctx)) is None:
            return None
        times, columns = found
        return self._run(Run(item.body, times, ctx, item.mark, naming, item, columns), at)

    def branches(self, item: Loop, ctx: Context, at: Tensor) -> list[tuple[str, Item, Context]]:
        """A merge's branches, one for each row of a loop's lists: its name, if it has one; none after an error."""
        self.builder.look_at(ctx, at)
        body, found = item.body, []
        try:
            for inner in self.rows(item, ctx):
                name = self.builder.rendered(body.name, inner, at) if isinstance(body, Named) else ""
                found.append((name, body.item if isinstance(body, Named) else body, inner))
            if not found:
                raise LocalError("a loop without passes makes no branches", code="E018", hint="a merge needs one")
        except LocalError as error:
            self.builder.report(ctx, error, item.mark)
            return []
        return found

    def rows(self, item: Loop, ctx: Context) -> Iterator[Context]:
        """A context for each row of a loop's lists, of what stands side by side.

        Raises: LocalError: they have no rows; Reported, if that has been said.
        """
        if (found := self._columns(item, ctx)) is None:
            raise Reported
        times, columns = found
        if is_symbolic(times):
            raise LocalError(f"this loop needs a number of passes, not {times}", code="E106")
        self.builder.spend(ctx, item.mark, passes=times)
        self.passed += times
        for number in range(times):
            if (row := self._row(columns, number, item, ctx)) is None:
                raise Reported
            yield ctx.bound(row)

    def repeat(self, unit: GroupUnit, chain: Chain, ctx: Context, at: Tensor) -> Tensor:
        """`(…)*n`."""
        assert unit.count is not None
        mark = chain.at(unit.count.offset)
        self.builder.look_at(ctx, at)
        try:
            count = self.builder.defined(unit.count.evaluate(ctx.env), ctx)
            if is_symbolic(count):
                count = integer(count, "a repeat count")
            elif not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ExpressionError(f"a repeat count must be an integer, 0 or more, not {count}", code="E064")
        except LocalError as error:
            self.builder.report(ctx, error, mark)
            return None
        return self._run(Run(unit.chain, count, ctx, mark), at)

    def _run(self, run: Run, at: Tensor) -> Tensor:
        """Run the passes; stop at the first with an error, and before they get too many."""
        self._open += 1
        try:
            number = one_by_one = 0
            while number < run.count:
                if self._open == 1:
                    self.references.clear()
                before = self._now(at)
                self.passed += 1
                at = self._pass(run, number, at)
                number += 1
                if self.builder.failures > before.failures:
                    return None
                worth_trying = number < run.count and (one_by_one < TRIES or one_by_one & (one_by_one - 1) == 0)
                names = self._names_alike(run, number - 1, before, at) if worth_trying else None
                if names is None:
                    one_by_one += 1
                    if is_symbolic(run.times):
                        if not is_never_negative(run.times - number):  # all that are surely there differ
                            self._refuse(run, self._unlike(before, at))
                            return None
                    else:
                        self._check(run, before, run.count - number if one_by_one >= PATIENCE else 0)
                    continue
                assert before.entered is not None
                assert at is not None
                times, alike = None, len(names.numbers)
                if is_symbolic(run.times) and number - 1 + alike == run.count:
                    times = run.times - (number - 1)
                at = self.builder.made.repeat(names, before.entered, at, before.items, times)
                run.ctx.scope.claim_passes(names, automatic=run.naming is None)
                self.builder.spend(run.ctx, run.mark)
                if times is not None and (why := self._missing(run, number)):
                    self._refuse(run, why)
                    return None
                number, one_by_one = number + alike - 1, 0
            return at
        finally:
            self._open -= 1

    def _now(self, entered: Tensor) -> _Before:
        made = self.builder.made
        changes, items, references = len(made.changed), len(made.frames[-1].items), len(self.references)
        return _Before(entered, made.size, items, references, changes, made.built, self.passed, self.builder.failures)

    def _check(self, run: Run, before: _Before, ahead: int) -> None:
        """Refuse passes to come, each taken to be as large as this one."""
        layers, passes = self.builder.made.built - before.built, self.passed - before.passed
        self.builder.spend(run.ctx, run.mark, layers * ahead, passes * ahead)

    def _missing(self, run: Run, number: int) -> str:
        """Why there may be fewer passes than the repeat that was made needs; nothing if they are always there.

        It needs those before it, and one of its own, if nothing that enters it could be returned in its place.
        """
        repeat = self.builder.made.frames[-1].items[-1].call
        assert isinstance(repeat, Repeat)
        needed = number - 1 if repeat.chained >= 0 else number
        if is_never_negative(run.times - needed) or (run.loop is None and not needed and not exceeds(0, run.times)):
            return ""
        return f"the first {needed} are special, and may not all be there" if needed else f"{run.times} may be negative"

    def _unlike(self, before: _Before, at: Tensor) -> str:
        """Why passes aren't alike."""
        if before.entered is not None and at is not None:
            shapes = [self.builder.made.shape(tensor) for tensor in (before.entered, at)]
            if shapes[0] != shapes[1]:
                return f"a pass takes {shapes[0]} and returns {shapes[1]}"
        return "passes differ"

    def _refuse(self, run: Run, why: str) -> None:
        """Say why the number of passes can't be a symbol."""
        message = f"a repeat count needs a number, not {run.times}: {why}"
        self.builder.report(run.ctx, LocalError(message, code="E106"), run.mark)

    def _pass(self, run: Run, number: int, at: Tensor) -> Tensor:
        ctx = run.ctx
        if run.loop is not None:
            row = self._row(run.columns, number, run.loop, ctx)
            if row is None:
                return None
            ctx = ctx.bound(row)
        if run.naming is not None:
            return self.builder.scoped(run.naming.name, run.body, ctx, at, run.naming.mark)
        return self.builder.scoped(ctx.scope.next_pass(), run.body, ctx, at, run.mark, automatic=True)

    # --- passes that are alike ------------------------------------------------------------------------------------

    def _names_alike(self, run: Run, number: int, before: _Before, output: Tensor) -> Numbered | None:
        """The names of the pass that was built and of those after it that are like it; None if there are none."""
        made, ctx = self.builder.made, run.ctx
        frame = made.frames[-1]
        if before.entered is None or output is None or made.upto or len(made.changed) > before.changes:
            return None
        if output < before.size and output != before.entered:
            return None
        if len(frame.items) > before.items:
            item = frame.items[-1]
            if len(frame.items) > before.items + 1 or item.tied is not None or item.reads.count(before.entered) > 1:
                return None
        if made.shape(before.entered) != made.shape(output):
            return None
        ahead = run.count - number - 1
        if run.columns:
            ahead = min(ahead, rows_alike(run.columns, number, self._readers.of(run.body, run.columns), ctx))
        names = self._names(run, number, ahead) if ahead else None
        inner = frame.inner[-1] if len(frame.items) > before.items else None
        if names is None or not ctx.scope.fits(names, inner.longest + 1 if inner else 0):
            return None
        if not self._stays(names, ctx, before):
            return None
        names = names.first(ctx.scope.free(names, automatic=run.naming is None))
        return names if len(names.numbers) > 1 else None

    def _names(self, run: Run, number: int, ahead: int) -> Numbered | None:
        """The names of a pass and of those ahead, if they are numbered one after the other."""
        name = next(reversed(self.builder.made.frames[-1].aliases))
        if run.naming is None:
            return Numbered("", range(int(name), int(name) + ahead + 1), "")
        parts = run.naming.name.parts
        (place, counted), *others = [(at, part) for at, part in enumerate(parts) if isinstance(part, Expr)]
        if others or not _counts(counted, run.columns):
            return None
        first, second = (self._value(run, row, counted) for row in (number, number + 1))
        if not (type(first) is type(second) is int):
            return None
        before, after = "".join(map(str, parts[:place])), "".join(map(str, parts[place + 1 :]))
        step = second - first
        return Numbered(before, range(first, first + step * (ahead + 1), step), after)

    def _value(self, run: Run, number: int, counted: Expr) -> Any:
        assert run.loop is not None
        row = self._row(run.columns, number, run.loop, run.ctx)
        return None if row is None else counted.evaluate(run.ctx.bound(row).env)

    def _stays(self, names: Numbered, ctx: Context, before: _Before) -> bool:
        """Whether the passes ahead mean by their references what the one that was built means by them."""
        if not self.builder.overrides.spare(ctx.scope.path):
            return False
        known = ctx.env.visible() if ctx.depth else ()
        if any(names.number_in(name) is not None and isinstance(ctx.env.find(name), Place) for name in known):
            return False
        inside, around = f"{ctx.scope.child(names.name(0))}/", ctx.scope.child("")
        for depth, scope, tensor, missed in self.references[before.references :]:
            if depth > ctx.depth or (scope is not None and f"{scope}/".startswith(inside)):
                continue
            if tensor is None or tensor >= before.size or tensor == before.entered:
                return False
            elsewhere = (full for searched, full in missed if not f"{searched}/".startswith(inside))
            heads = (full[len(around) :].partition("/")[0] for full in elsewhere if full.startswith(around))
            if any(names.number_in(head) is not None for head in heads):
                return False
        return True

    # --- the rows of a loop ---------------------------------------------------------------------------------------

    def _columns(self, item: Loop, ctx: Context) -> tuple[Dim, tuple[Column, ...]] | None:
        """The length of the lists, and the loop variables with them; None after an error.

        A range up to a symbol is as long as any may be.
        """
        columns: list[Column] = []
        lengths: list[Dim] = []
        for names, expr, mark in item.variables:
            try:
                values = self.builder.defined(expr.evaluate(ctx.env), ctx)
                if isinstance(values, OpenRange):
                    lengths.append(values.length)
                    columns.append((names, range(values.first, values.first + MAX_RANGE)))
                elif isinstance(values, LISTS):
                    lengths.append(len(values))
                    columns.append((names, values))
                else:
                    raise LocalError(f"'for' needs a list for {' '.join(names)}", code="E062", hint="count with 1..n")
            except LocalError as error:
                self.builder.report(ctx, error, mark)
                return None
        if len({*lengths}) > 1:
            told = ", ".join(f"{' '.join(names)} has {n}" for (names, _), n in zip(columns, lengths, strict=True))
            self.builder.report(ctx, LocalError(f"'for' lists differ in length: {told}", code="E061"), item.mark)
            return None
        return lengths[0], tuple(columns)

    def _row(self, columns: Rows[Column], number: int, item: Loop, ctx: Context) -> dict[str, Any] | None:
        """The values of the loop variables in one pass; None after an error."""
        row: dict[str, Any] = {}
        for names, values in columns:
            value = values[number]
            if len(names) == 1:
                row[names[0]] = value
            elif isinstance(value, LISTS) and len(value) == len(names):
                row.update(zip(names, value, strict=True))
            else:
                message = f"row {number + 1} has no {len(names)} values for {' '.join(names)}"
                self.builder.report(ctx, LocalError(message, code="E063"), item.mark)
                return None
        return row


class _Before(NamedTuple):
    """Where the build stands before a pass: what enters it, and how much there is of all that may get more."""

    entered: Tensor
    size: int
    items: int
    references: int
    changes: int
    built: int
    passed: int
    failures: int


def _counts(expr: Expr, columns: Rows[Column]) -> bool:
    """Whether an expression is a loop variable that counts, or one plus or minus what none of them changes."""
    if isinstance(expr, Name):
        return any(names == (expr.name,) and isinstance(values, range) for names, values in columns)
    if not isinstance(expr, Binary) or expr.operation not in ("+", "-"):
        return False
    variables = {name for names, _ in columns for name in names}
    sides = [bool(side.names() & variables) for side in (expr.left, expr.right)]
    if any(isinstance(part, Axis) for part in expr.walk()):
        return False
    if sides == [True, False]:
        return _counts(expr.left, columns)
    return sides == [False, True] and expr.operation == "+" and _counts(expr.right, columns)
