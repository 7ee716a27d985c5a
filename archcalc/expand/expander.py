"""Spec → tree: passes of loops built or repeated, blocks called, names given, shapes computed.

Errors are collected: after one, the tensor is unknown (`None`), what depends on it is skipped, and the rest goes on.
A block called again with equal arguments on an equal shape is the same once more: deep nets cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Rows
from functools import partial
from typing import Any, ClassVar

from archcalc.errors import ExpressionError, LocalError, Mark, ShapeError
from archcalc.expand.blocks import Blocks, Place, TooLarge
from archcalc.expand.calls import Layers, references
from archcalc.expand.hparams import Callee, Module
from archcalc.expand.loops import Loops
from archcalc.expand.mixtures import ADD, Mixtures
from archcalc.expand.nodes import Nodes, Tensor
from archcalc.expand.overrides import Overrides
from archcalc.expand.scope import Context
from archcalc.graph import MAX_LAYERS
from archcalc.graph.labels import UNNAMED
from archcalc.language.arithmetic import UnknownName, Word
from archcalc.language.calls import ArgumentError
from archcalc.language.expression import NAMED, Expr, Reported, Undecidable, decide
from archcalc.language.items import (
    CallUnit,
    Chain,
    FromUnit,
    Given,
    If,
    Item,
    Long,
    Loop,
    Merge,
    Mixture,
    Named,
    Residual,
    Restart,
    Sequence,
    Step,
    Template,
    given_names,
    has_one_call,
)
from archcalc.language.model import Spec, Use
from archcalc.language.tree import Diagnostics
from archcalc.layers import REGISTRY, Layer
from archcalc.layers.arguments import describe
from archcalc.shape import Shape
from archcalc.work import TooMuchWork, spend

MAX_PASSES = 200_000
"""Passes of loops that are built; those that are like them aren't."""
MAX_DESCRIBED = 10**18
"""Layers in all: far more than can be listed, and fewer than Python's lists may have."""
ITEM, SCOPE, PARTS = 1, 5, "expanding so many parts"
"""Steps of work for one part of a spec, and for one with a name, apart from what is in it; and what `spend` says."""


class Expander:
    """Builds nodes from items. Each method takes the tensor that enters and returns the one that leaves."""

    def __init__(
        self,
        layout: tuple[str, ...],
        diagnostics: Diagnostics,
        load: Callable[[Module, Use], Spec],
        overrides: Overrides,
    ) -> None:
        self.layout, self.diagnostics, self.overrides = layout, diagnostics, overrides
        self.made = Nodes()
        self.layers = Layers()
        self.blocks = Blocks(self, load)
        self.loops = Loops(self)
        self.mixtures = Mixtures(self)
        self.failures = 0
        self.undecided = 0
        """Errors of conditions that depend on symbols."""

    # --- errors ---------------------------------------------------------------------------------------------------

    def report(self, ctx: Context, error: LocalError, mark: Mark, prefix: str = "") -> None:
        """Tell an error where it happened; the tensor is unknown from here on."""
        self.failures += 1
        self.undecided += isinstance(error, Undecidable) or isinstance(error.__cause__, Undecidable)
        if isinstance(error, Reported):
            return
        message = f"{prefix}: {error.message}" if prefix else error.message
        source, more = ctx.module.spec.source, {"hint": error.hint, "details": error.details, "trace": ctx.told()}
        self.diagnostics.report(source, error.code, message, mark, **more)

    def spend(self, ctx: Context, mark: Mark, layers: int = 0, passes: int = 0, described: int = 0) -> None:
        """Refuse what is to come if it would be too much in all: layers and passes that are built, and all layers."""
        for count, most, what in (
            (self.made.built + layers, MAX_LAYERS, "layers"),
            (self.loops.passed + passes, MAX_PASSES, "loop passes"),
            (self.made.size + described, MAX_DESCRIBED, "layers"),
        ):
            if count > most:
                self.report(ctx, LocalError(f"expands to more than {most:,} {what}", code="E108"), mark)
                raise TooLarge

    def decided(self, ctx: Context, condition: Expr, at: Tensor, text: str, mark: Mark) -> bool | None:
        """A condition's truth, or None after an error."""
        self.look_at(ctx, at)
        try:
            return decide(self.defined(condition.evaluate(ctx.env), ctx), condition)
        except Undecidable as error:
            self.report(ctx, Undecidable(error.where, f"condition '{text}'"), mark)
        except LocalError as error:
            self.report(ctx, error, mark)
        return None

    def value(self, expr: Expr, ctx: Context, at: Tensor) -> Any:
        """What an expression is where this tensor enters.

        Raises: LocalError: it has no value.
        """
        self.look_at(ctx, at)
        return self.defined(expr.evaluate(ctx.env), ctx)

    @staticmethod
    def defined(value: Any, ctx: Context) -> Any:
        if isinstance(value, Word):
            raise UnknownName(value, ctx.env.visible())
        return value

    def look_at(self, ctx: Context, at: Tensor) -> None:
        """Let `x` mean the tensor that enters this step, and names what they mean from here."""
        ctx.env.tensors.update({"x": self.made.shape(at), NAMED: partial(self.named_shape, ctx)})

    def named_shape(self, ctx: Context, name: str) -> Shape:
        """The shape of an earlier tensor.

        Raises: ExpressionError: there is none of that name. Reported: there was an error in what makes it.
        """
        try:
            _, tensor = self.lookup(name, ctx)
        except LocalError as error:
            raise ExpressionError(error.message, code=error.code, hint=error.hint) from None
        if (shape := self.made.shape(tensor)) is None:
            raise Reported
        return shape

    # --- items ----------------------------------------------------------------------------------------------------

    def item(self, item: Item, ctx: Context, at: Tensor, own: str = "") -> Tensor:
        """Build any item. `own` is the name that its one layer takes, if it is a one-step chain with a name."""
        spend(ITEM, PARTS)
        return self._builders[type(item)](self, item, ctx, at, own)

    def sequence(self, item: Sequence, ctx: Context, at: Tensor, own: str) -> Tensor:
        for part in item.items:
            at = self.item(part, ctx, at)
        return at

    def named(self, item: Named, ctx: Context, at: Tensor, own: str) -> Tensor:
        if isinstance(item.item, Loop) and item.name.names() & item.item.names:
            return self.loops.loop(item.item, ctx, at, naming=item)
        return self.scoped(item.name, item.item, ctx, at, item.mark)

    def scoped(
        self, name: Template | str, item: Item, ctx: Context, at: Tensor, mark: Mark, automatic: bool = False
    ) -> Tensor:
        """Build an item under a name: its layers stand below that name, or its only layer owns it."""
        spend(SCOPE, PARTS)
        try:
            text = name if isinstance(name, str) else self.rendered(name, ctx, at)
            if not automatic:
                _refuse_hidden(text, ctx)
            path = ctx.scope.claim(text, automatic)
        except LocalError as error:
            self.report(ctx, error, mark)
            return None
        return self.made.settle(path, self._below(path, item, ctx, at))

    def last_pass(self, name: str, item: Item, ctx: Context, at: Tensor) -> Tensor:
        """Build an item under a name that stands in tables alone: nothing can refer to it."""
        return self._below(ctx.scope.child(UNNAMED + name), item, ctx, at)

    def _below(self, path: str, item: Item, ctx: Context, at: Tensor) -> Tensor:
        if has_one_call(item):
            return self.item(item, ctx, at, path)
        inner = ctx.inside(path)
        inner.scope.reserve(given_names(item))
        self.made.begin(path)
        try:
            return self.item(item, inner, at)
        finally:
            self.made.close()

    def restart(self, item: Restart, ctx: Context, at: Tensor, own: str) -> Tensor:
        return self.item(item.item, ctx, self.find(item.path, ctx, at, item.mark), own)

    def conditional(self, item: If, ctx: Context, at: Tensor, own: str) -> Tensor:
        truth = self.decided(ctx, item.condition, at, item.text, item.mark)
        if truth is None:
            return None
        chosen, dropped = (item.then, item.other) if truth else (item.other, item.then)
        if dropped is not None:
            ctx.scope.release(given_names(dropped))
        return at if chosen is None else self.item(chosen, ctx, at)

    def loop(self, item: Loop, ctx: Context, at: Tensor, own: str) -> Tensor:
        return self.loops.loop(item, ctx, at)

    def merge(self, item: Merge, ctx: Context, at: Tensor, own: str) -> Tensor:
        branches = [(name, branch, ctx) for name, branch in item.branches]
        if item.each is not None and not (branches := self.loops.branches(item.each, ctx, at)):
            return None
        built = []
        for number, (name, branch, inner) in enumerate(branches):
            mark = getattr(branch, "mark", item.mark)
            letter = chr(ord("a") + number) if number < 26 else f"branch{number + 1}"
            build = self.scoped if name else self.unnamed
            built.append((name or letter, build(name or letter, branch, inner, at, mark), mark))
        return self.join(item.call, built, ctx, item.mark)

    def unnamed(self, name: str, branch: Item, ctx: Context, at: Tensor, mark: Mark) -> Tensor:
        """Build a branch that the spec gives no name; its siblings see it as `name`, though it may get a number."""
        path = ctx.scope.unused(name)
        ctx.scope.branches[name] = path
        return self.scoped(path, branch, ctx, at, mark, automatic=True)

    def residual(self, item: Residual, ctx: Context, at: Tensor, own: str) -> Tensor:
        mark = getattr(item.body, "mark", item.mark)
        body = self.unnamed("body", item.body, ctx, at, mark)
        shortcut, mark = at, item.mark
        if item.shortcut is not None:
            mark = getattr(item.shortcut, "mark", item.mark)
            shortcut = self.unnamed("shortcut", item.shortcut, ctx, at, mark)
        built = [("body", body, getattr(item.body, "mark", item.mark)), ("shortcut", shortcut, mark)]
        return self.join(ADD, built, ctx, item.mark)

    def mixture(self, item: Mixture, ctx: Context, at: Tensor, own: str) -> Tensor:
        return self.mixtures.mixture(item, ctx, at)

    @property
    def in_expert(self) -> bool:
        """Whether an expert is being built, whose layers read where tokens are sent."""
        return self.mixtures.inside is not None

    def join(self, call: CallUnit, branches: list[tuple[str, Tensor, Mark]], ctx: Context, mark: Mark) -> Tensor:
        """The layer that joins branches; if it can't, the error shows every branch."""
        ctx.scope.branches.clear()
        inputs = [tensor for _, tensor, _ in branches]
        path = ctx.scope.fresh(call.name)
        try:
            layer = self.layer_of(call.name, call, ctx, path, mark)
            return self.made.reached(path, self.add(layer, inputs, path, mark, ctx))
        except ShapeError as error:
            told = ";  ".join(
                f"{name}: {self.told(self.made.shape(tensor))} (line {place.line})" for name, tensor, place in branches
            )
            detail = told + (f";  at '{ctx.scope.path}'" if ctx.scope.path else "")
            detailed = ShapeError(error.message, code=error.code, hint=error.hint, details=(detail,))
            self.report(ctx, detailed, mark, call.name)
        except LocalError as error:
            self.report(ctx, error, mark)
        return None

    def told(self, shape: Shape | None) -> str:
        """A shape in this spec's order of axes: 64x16x16 (C,H,W)."""
        assert shape is not None
        return f"{shape.text(self.layout)} ({','.join(axis for axis in self.layout if axis in shape)})"

    # --- chains ---------------------------------------------------------------------------------------------------

    def chain(self, chain: Chain, ctx: Context, at: Tensor, own: str) -> Tensor:
        for step in chain.steps:
            at = self.step(step, chain, ctx, at, own)
        return at

    def step(self, step: Step, chain: Chain, ctx: Context, at: Tensor, own: str) -> Tensor:
        spend(ITEM, PARTS)
        unit = step.unit
        if step.condition is not None:
            mark = chain.at(step.condition.offset)
            truth = self.decided(ctx, step.condition, at, step.condition_text, mark)
            if truth is None:
                return None
            if not truth:
                return at if step.other is None else self.step(step.other, chain, ctx, at, own)
        if isinstance(unit, FromUnit):
            return self.find(unit.path, ctx, at, chain.at(unit.path.offset))
        if isinstance(unit, CallUnit):
            return self.call(unit, ctx, at, own, chain.at(unit.offset), lambda given: chain.at(given.offset))
        if unit.count is None:
            return self.chain(unit.chain, ctx, at, own)
        return self.loops.repeat(unit, chain, ctx, at)

    def long(self, item: Long, ctx: Context, at: Tensor, own: str) -> Tensor:
        marks = dict(zip((id(given) for given in item.call.arguments), item.marks, strict=True))
        return self.call(item.call, ctx, at, own, item.mark, lambda given: marks[id(given)])

    def call(
        self, call: CallUnit, ctx: Context, at: Tensor, own: str, mark: Mark, mark_of: Callable[[Given], Mark]
    ) -> Tensor:
        """One step: a layer, a block, or a used spec."""
        self.look_at(ctx, at)
        try:
            target, name = self.target(call.name, ctx)
            path = own or ctx.scope.fresh(name)
            if isinstance(target, str):
                made = self.layer(target, call, ctx, at, path, mark)
                return self.made.reached(path, made) if made is not None else self.made.settle(path, made)
            return self.made.settle(path, self.blocks.call(target, call, ctx, at, path, mark))
        except ArgumentError as error:
            self.report(ctx, error, mark_of(error.given) if error.given else mark)
        except LocalError as error:
            if self.overrides and isinstance(target, str):
                error.details += self.overrides.details(target, path)
            self.report(ctx, error, mark, call.name if isinstance(error, ShapeError) else "")
        except TooMuchWork as error:
            error.place = error.place or f"at {mark}"
            raise
        return None

    def target(self, name: str, ctx: Context) -> tuple[str | Callee, str]:
        """What a step calls: a layer kind, or a block or used spec; a name in scope may stand for either."""
        if name in REGISTRY:
            return name, name
        found = ctx.env.find(name)
        if callable(found):
            found = found()
        if isinstance(found, Callee):
            return found, found.target.name
        if isinstance(found, Word) and found in REGISTRY:
            return str(found), str(found)
        raise LocalError(f"'{name}' is {describe(found)}, no layer kind or block", code="E080")

    def layer(self, kind: str, call: CallUnit, ctx: Context, at: Tensor, path: str, mark: Mark) -> Tensor:
        """Append the layer that a call means."""
        layer = self.layer_of(kind, call, ctx, path, mark)
        inputs: list[Tensor] = [at]
        tied: int | None = None
        for name, reference in references(layer).items() if call.arguments or self.overrides else ():
            full, tensor = self.lookup(reference, ctx)
            if layer.arguments()[name].type.name != "Tie":
                inputs.append(tensor)
            elif tensor is not None:
                tied = self.made.weight_layer(reference, full)
        return self.add(layer, inputs, path, mark, ctx, tied)

    def add(
        self, layer: Layer, inputs: Rows[Tensor], path: str, mark: Mark, ctx: Context, tied: int | None = None
    ) -> Tensor:
        """Append a node, if all its inputs are known; warn of what the layer remarks on them."""
        known = tuple([tensor for tensor in inputs if tensor is not None])
        if len(known) < len(inputs):
            return None
        self.spend(ctx, mark, layers=1)
        layer, known = self.mixtures.own(layer, known, tied)
        index = self.made.add(layer, known, path, mark, tied)
        for remark in self.made.application(index).remarks:
            source = ctx.module.spec.source
            more: Any = {"details": self.overrides.details(layer.kind, path), "trace": ctx.told()}
            self.diagnostics.report(source, layer.remark_code, f"{layer.kind}: {remark}", mark, **more)
        return index

    def layer_of(self, kind: str, call: CallUnit, ctx: Context, path: str, mark: Mark) -> Layer:
        """The layer that a call means, with the arguments that are given from outside.

        Raises: ArgumentError: an argument is wrong. OutOfBounds: one that is given from outside is.
        """
        own = self.overrides.call(kind, call, path) if self.overrides else call
        if own is call:
            return self.layers.make(kind, call, ctx.module, ctx.env)
        try:
            layer = self.layers.make(kind, own, ctx.module, ctx.env)
        except ArgumentError as error:
            raise self.overrides.refused(error, path, mark) from None
        self.made.changed += self.overrides.changes(layer, self._as_written(kind, call, ctx), self.made.size)
        return layer

    def _as_written(self, kind: str, call: CallUnit, ctx: Context) -> Layer | None:
        """The layer that the spec itself means; None if its arguments have an error on what enters it now."""
        try:
            return self.layers.make(kind, call, ctx.module, ctx.env)
        except ArgumentError:
            return None

    # --- references -----------------------------------------------------------------------------------------------

    def rendered(self, name: Template, ctx: Context, at: Tensor) -> str:
        """A name or path with its expressions' values.

        Raises: LocalError: they have none.
        """
        if name.constant is not None:
            return name.constant
        self.look_at(ctx, at)
        return name.render(ctx.env)

    def find(self, path: Template, ctx: Context, at: Tensor, mark: Mark) -> Tensor:
        """The tensor that a path stands for, seen from here; None after reporting that there is none."""
        try:
            return self.lookup(self.rendered(path, ctx, at), ctx)[1]
        except LocalError as error:
            self.report(ctx, error, mark)
            return None

    def lookup(self, path: str, ctx: Context) -> tuple[str, Tensor]:
        """What a path stands for, in `from`, `@path` and `tie` alike: the full name, and its tensor.

        Raises: LocalError: nothing of that name has been built before this point.
        """
        if path == "in" and ctx.depth:
            self.loops.note(ctx.depth, None, ctx.entered)
            return (path if ctx.entered is None else self.made.name(ctx.entered)), ctx.entered
        given = ctx.env.find(path)
        if isinstance(given, Place):
            self.loops.note(ctx.depth, None, given.tensor)
            return given.path, given.tensor
        missed: list[tuple[str, str]] = []
        for scope, full in ctx.scope.meanings(path):
            spend(3, "looking for so many names")
            if found := self.made.find(full):
                self.loops.note(ctx.depth, scope, found[0], tuple(missed))
                return full, found[0]
            missed.append((scope, full))
        if path == "in" and self.made.size:  # no name of a layer: the network's first input
            return self.made.name(0), 0
        raise self.made.unknown(path, ctx.scope)

    _builders: ClassVar[Mapping[type, Callable[..., Tensor]]] = {
        Chain: chain,
        Sequence: sequence,
        Named: named,
        Merge: merge,
        Residual: residual,
        Mixture: mixture,
        Loop: loop,
        If: conditional,
        Long: long,
        Restart: restart,
    }


def _refuse_hidden(name: str, ctx: Context) -> None:
    """Let no name that the spec gives in a block be hidden by what the block is given.

    Raises: LocalError: references to this name mean the volume that a formal stands for, or that entered the block.
    """
    if ctx.depth and (name == "in" or isinstance(ctx.env.find(name), Place)):
        other = "the volume that enters a block" if name == "in" else "a formal that stands for a volume"
        hint = "give it a name of its own"
        raise LocalError(f"'{name}' has the name of {other}: references would mean that", code="E093", hint=hint)
