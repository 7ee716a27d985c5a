"""Loops and repeats: passes built one after the other, until those to come are known to be the same.

When a pass has been built, the next one is the same composite, on what this one returned, if

1. this one returned the shape that entered it,
2. nothing in it reads another value of a loop variable (`alike.py`): names of passes, `block{j}`, may be counted up,
3. what its references mean outside of it stays what it is: neither the volume that entered this pass, nor something
   that a pass to come could hide, by its own name,
4. no layer in it has been given arguments from outside by its name,
5. no module was called in it for the first time: the next pass doesn't hold that one's weights.

All passes that this holds for become one `Repeat`, without being built. A thousand million of them cost what one costs.

The number of passes may be a symbol, if all passes from one on are alike or follow a law (`laws.py`), and that one is
always there: see `Repeat`.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Rows
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from archcalc.data import dataclass
from archcalc.errors import ExpressionError, LocalError, Mark
from archcalc.expand.alike import FLIPPED, Reader, Readers, rows_alike
from archcalc.expand.blocks import Place
from archcalc.expand.equal_passes import Passes
from archcalc.expand.nodes import Nodes, Tensor
from archcalc.expand.overrides import Overrides
from archcalc.expand.scope import Context
from archcalc.graph.composite import Repeat, depends_on
from archcalc.graph.labels import Numbered
from archcalc.language.arithmetic import LISTS, MAX_RANGE, OpenRange, integer
from archcalc.language.expression import Axis, Binary, Expr, Name, Reported
from archcalc.language.items import Chain, GroupUnit, Item, Loop, Named, Template
from archcalc.language.tree import Diagnostics
from archcalc.shape import Shape
from archcalc.symbolic import Dim, assuming, collecting_conditions, exceeds, is_never_negative, is_symbolic
from archcalc.symbolic.arithmetic import PRIME, counter
from archcalc.symbolic.conditions import collected, follows

if TYPE_CHECKING:
    from archcalc.expand.laws import State

Column = tuple[tuple[str, ...], Rows[Any]]
TRIES = 8
"""After so many passes in a row that no other is like, only the 16th, 32nd … is compared with those to come."""
LAST = "last"
"""What the last pass is called that differs, where its number has no one name."""
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
    undecided: int
    diagnostics: Diagnostics

    def scoped(
        self, name: Template | str, item: Item, ctx: Context, at: Tensor, mark: Mark, automatic: bool = False
    ) -> Tensor:
        """Build an item under a name."""
        ...

    def last_pass(self, name: str, item: Item, ctx: Context, at: Tensor) -> Tensor:
        """Build an item under a name that nothing can refer to."""
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
    ends_apart: bool = False
    """Whether another pass comes after these, of which comparisons know."""

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
        self._varied = self._tried = 0
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
        run = Run(item.body, times, ctx, item.mark, naming, item, columns)
        if is_symbolic(times) and any(map(_compares, self._readers.of(item.body, columns))):
            return self._run_to_last(run, at)
        return self._run(run, at)

    def _run_to_last(self, run: Run, at: Tensor) -> Tensor:
        """Run passes whose number is a symbol, the last one apart if they can't be run otherwise."""
        from archcalc.expand.laws import State  # few specs have such loops

        builder = self.builder
        state, undecided = State(builder, run.ctx.scope), builder.undecided
        for runs in (self._run, self._run_with_last):
            found = runs(run, at)
            if builder.undecided == undecided:
                return found
            state.restore()
        return self._run(run, at)

    def _run_with_last(self, run: Run, at: Tensor) -> Tensor:
        at = self._run(replace(run, times=run.times - 1, ends_apart=True), at)
        around = _around_number(run.naming)
        if at is None or around is None:
            return self._run(run, at) if at is not None else None  # with its error
        row = {name: values.start + run.times - 1 for (name,), values in run.columns if isinstance(values, range)}
        ctx = run.ctx.bound(row)
        counted = run.times if run.naming is None else _number_in(run.naming).evaluate(ctx.env)
        told = LAST if PRIME in str(counted) else counted  # it's another one in each pass around it
        name = f"{around[0]}{told}{around[1]}".replace(" ", "")
        self._open += 1
        try:
            return self.builder.last_pass(name, run.body, ctx, at)
        finally:
            self._open -= 1

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
        frame = self.builder.made.frames[-1]
        first = len(frame.items)
        try:
            if is_symbolic(run.times):
                return self._run_open(run, at)
            at = self._run_counted(run, at)
        finally:
            self._open -= 1
        if len(frame.items) > first + 1 and (around := _around_number(run.naming)):
            frame.passes.append(Passes(range(first, len(frame.items)), *around))
        return at

    def _run_counted(self, run: Run, at: Tensor) -> Tensor:
        number = one_by_one = 0
        while number < run.count:
            before, at = self._built(run, number, at)
            number += 1
            if self.builder.failures > before.failures:
                return None
            worth_trying = number < run.count and (one_by_one < TRIES or one_by_one & (one_by_one - 1) == 0)
            names = self._names_alike(run, number - 1, before, at) if worth_trying else None
            if names is None:
                one_by_one += 1
                self._check(run, before, run.count - number if one_by_one >= PATIENCE else 0)
                continue
            at = self._repeated(run, names, before, at)
            number, one_by_one = number + len(names.numbers) - 1, 0
        return at

    def _run_open(self, run: Run, at: Tensor) -> Tensor:
        """The same for a symbolic number of them: all from one on must be alike, or follow a law."""
        from archcalc.expand.laws import NoLaw, State  # few specs have such loops

        number = 0
        while True:
            state, entered = State(self.builder, run.ctx.scope), at
            before, at = self._built_if_there(run, number, at)
            if self.builder.failures > before.failures:
                return None
            names = self._names_alike(run, number, before, at)
            if names is not None and number + len(names.numbers) == run.count:
                at = self._repeated(run, names, before, at, run.times - number)
                return at if self._are_there(run, number) else None
            if names is not None:
                at = self._repeated(run, names, before, at)
                number += len(names.numbers)
                continue
            why = ""
            if number < TRIES and entered is not None and at is not None and self._is_chain(before, at):
                try:
                    at = self._by_law(run, number, [entered, at], state)
                    return at if self._are_there(run, number) else None
                except NoLaw as error:
                    why = error.message
                    state.restore()
                    before, at = self._built_if_there(run, number, entered)
            number += 1
            if not is_never_negative(run.times - number):  # all that are surely there differ
                self._refuse(run, self._unlike(before, at, why))
                return None

    def _by_law(self, run: Run, number: int, shown: list[int], state: State) -> Tensor:
        """Make a repeat of the pass that was built last, where passes follow a law from it on.

        `shown` are what entered it, and what it returned; `state` is how things stood before it.
        Raises: NoLaw: there is none.
        """
        from archcalc.expand.laws import NESTED, NoLaw

        if self._tried == NESTED:
            raise NoLaw("too many loops stand in each other")
        self._tried += 1
        shapes = self._shown(run, number, shown)
        state.restore()
        try:
            return self._varying(run, number, shapes, shown[0], state)
        finally:
            self._tried -= 1

    def _shown(self, run: Run, number: int, shown: list[int]) -> list[Shape]:
        """The volumes that enter a pass and some of those after it, as far as they can be built."""
        from archcalc.expand.laws import SHOWN

        made, failures, found = self.builder.made, self.builder.failures, [*shown]
        with collecting_conditions():
            while len(found) < SHOWN:
                _, at = self._built(run, number + len(found) - 1, found[-1])
                if self.builder.failures > failures or at is None:
                    break
                found.append(at)
        return [made.application(tensor).output_shape for tensor in found]

    def _varying(self, run: Run, number: int, shapes: list[Shape], entered: int, state: State) -> Tensor:
        """Build a pass whose sizes are formulas in its number, and make a repeat of it.

        Raises: NoLaw: it isn't what the law says.
        """
        from archcalc.expand.laws import NoLaw, check_next, hold_throughout, shape_law

        index = counter(self._varied)
        shape = shape_law(shapes, index)
        made, found = self.builder.made, len(self.builder.diagnostics.found)
        self._varied += 1
        with collecting_conditions() as conditions, made.posing(entered, shape):
            before, at = self._built(run, number, entered, index)
        self._varied -= 1
        if self.builder.failures > before.failures or at is None:
            news = self.builder.diagnostics.found[found:]
            raise NoLaw(next((each.message for each in news if each.severity == "error"), ""))
        names = self._names_of_chain(run, number, before, at, run.count - number - 1)
        if names is None or number + len(names.numbers) < run.count:
            raise NoLaw("")
        times = run.times - number
        check_next(shape, made.application(at).output_shape if at != entered else shape, index)
        hold_throughout(conditions, index, times)
        state.forget()
        changes = any(depends_on(item.call, index) for item in made.frames[-1].items[before.items :])
        return self._repeated(run, names, before, at, times, index if changes else None)

    def _built(self, run: Run, number: int, at: Tensor, index: Any = None) -> tuple[_Before, Tensor]:
        """Build one pass, for all after it if `index` counts them: where the build stood before it, what it returns."""
        if self._open == 1:
            self.references.clear()
        before = self._now(at)
        self.passed += 1
        with assuming(run.times - number - (1 if index is None else index)) if run.ends_apart else nullcontext():
            return before, self._pass(run, number, at, index)

    def _built_if_there(self, run: Run, number: int, at: Tensor) -> tuple[_Before, Tensor]:
        """The same for a pass of a symbolic number of them, which may not be there.

        What it needs is no condition where it isn't, so it must be met wherever it is.
        """
        if is_never_negative(run.times - number - 1):
            return self._built(run, number, at)
        with collecting_conditions() as needed:
            found = self._built(run, number, at)
        with collecting_conditions() as there:
            exceeds(number + 1, run.times)
        if unmet := [str(each) for each in needed if not follows(each, [*collected(), *there])]:
            self._refuse(run, f"pass {number + 1} may not be there, and needs {unmet[0]}")
        return found

    def _repeated(
        self, run: Run, names: Numbered, before: _Before, at: Tensor, times: Dim | None = None, index: Any = None
    ) -> Tensor:
        """Make a repeat of the pass that was built last; what the last of its passes returns."""
        assert before.entered is not None
        assert at is not None
        at = self.builder.made.repeat(names, before.entered, at, before.items, times, index)
        run.ctx.scope.claim_passes(names, automatic=run.naming is None)
        self.builder.spend(run.ctx, run.mark)
        return at

    def _now(self, entered: Tensor) -> _Before:
        made = self.builder.made
        changes, items, references = len(made.changed), len(made.frames[-1].items), len(self.references)
        counts = made.built, self.passed, self.builder.failures, len(made.modules)
        return _Before(entered, made.size, items, references, changes, *counts)

    def _check(self, run: Run, before: _Before, ahead: int) -> None:
        """Refuse passes to come, each taken to be as large as this one."""
        layers, passes = self.builder.made.built - before.built, self.passed - before.passed
        self.builder.spend(run.ctx, run.mark, layers * ahead, passes * ahead)

    def _are_there(self, run: Run, number: int) -> bool:
        """Whether all passes are always there that the repeat that was made after so many others needs; else say so.

        It needs those before it, and one of its own, if nothing that enters it could be returned in its place.
        """
        repeat = self.builder.made.frames[-1].items[-1].call
        assert isinstance(repeat, Repeat)
        needed = number if repeat.chained >= 0 else number + 1
        if is_never_negative(run.times - needed) or (run.loop is None and not needed and not exceeds(0, run.times)):
            return True
        why = f"the first {needed} are special, and may not all be there"
        self._refuse(run, why if needed else f"{run.times} may be negative")
        return False

    def _unlike(self, before: _Before, at: Tensor, law: str) -> str:
        """Why passes aren't alike; `law` is what is wrong with it."""
        why = "passes differ"
        if before.entered is not None and at is not None:
            shapes = [self.builder.made.shape(tensor) for tensor in (before.entered, at)]
            if shapes[0] != shapes[1]:
                why = f"a pass takes {shapes[0]} and returns {shapes[1]}"
        return f"{why}; {law}" if law else why

    def _refuse(self, run: Run, why: str) -> None:
        """Say why the number of passes can't be a symbol."""
        message = f"a repeat count needs a number, not {run.times}: {why}"
        self.builder.report(run.ctx, LocalError(message, code="E106"), run.mark)

    def _pass(self, run: Run, number: int, at: Tensor, index: Any = None) -> Tensor:
        ctx, name = run.ctx, ""
        if run.loop is not None:
            row = self._row(run.columns, number, run.loop, ctx)
            if row is None:
                return None
            ctx = run.ctx.bound(row)
            if index is not None:
                name = "" if run.naming is None else run.naming.name.render(ctx.env)
                ctx = run.ctx.bound({name: _counted_on(value, index) for name, value in row.items()})
        if run.naming is not None:
            return self.builder.scoped(name or run.naming.name, run.body, ctx, at, run.naming.mark)
        return self.builder.scoped(ctx.scope.next_pass(), run.body, ctx, at, run.mark, automatic=True)

    # --- passes that are alike ------------------------------------------------------------------------------------

    def _names_alike(self, run: Run, number: int, before: _Before, output: Tensor) -> Numbered | None:
        """The names of the pass that was built and of those after it that are like it; None if there are none."""
        made = self.builder.made
        if made.shape(before.entered) != made.shape(output):
            return None
        ahead = run.count - number - 1
        if run.columns and self._is_chain(before, output):
            ahead = min(ahead, rows_alike(run.columns, number, self._readers.of(run.body, run.columns), run.ctx))
        return self._names_of_chain(run, number, before, output, ahead)

    def _is_chain(self, before: _Before, output: Tensor) -> bool:
        """Whether the pass that was built is one part, which reads what entered it and returns what it made of that."""
        made = self.builder.made
        frame = made.frames[-1]
        if before.entered is None or output is None or made.upto or len(made.changed) > before.changes:
            return False
        if len(made.modules) > before.modules:  # the passes to come don't hold their weights
            return False
        if output < before.size and output != before.entered:
            return False
        if len(frame.items) == before.items:
            return True
        item = frame.items[-1]
        return len(frame.items) == before.items + 1 and item.tied is None and item.reads.count(before.entered) <= 1

    def _names_of_chain(self, run: Run, number: int, before: _Before, output: Tensor, ahead: int) -> Numbered | None:
        """The names of a pass and of so many after it, as far as they mean the same and are free; None without any."""
        ctx, frame = run.ctx, self.builder.made.frames[-1]
        if not ahead or not self._is_chain(before, output):
            return None
        names = self._names(run, number, ahead)
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


def _around_number(naming: Named | None) -> tuple[str, str] | None:
    """What is before and after the number in the names of passes; None if there's more in them than one."""
    parts = naming.name.parts if naming is not None else ("", None, "")
    places = [place for place, part in enumerate(parts) if not isinstance(part, str)]
    if len(places) != 1:
        return None
    return "".join(map(str, parts[: places[0]])), "".join(map(str, parts[places[0] + 1 :]))


def _number_in(naming: Named) -> Expr:
    return next(part for part in naming.name.parts if isinstance(part, Expr))


def _compares(reader: Reader) -> bool:
    """Whether an expression compares a loop variable with something else than a number."""
    return any(
        isinstance(part, Binary) and part.operation in FLIPPED and len(part.names()) > 1 for part in reader.expr.walk()
    )


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
    modules: int


def _counted_on(value: Any, index: Any) -> Any:
    """What a loop variable is in pass `index`, counted from 1; in the first it's `value`."""
    return value + (index - 1) if type(value) is int else value


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
