"""Operations as layers: what PyTorch ran, said with the kinds that specs know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any, NamedTuple, TypeAlias, TypeVar

from archcalc.errors import ShapeError, UsageError
from archcalc.importers.operations.constants import Constants, tensors
from archcalc.importers.operations.exported import NOTHING, Around, Entered, Exported, Operation, Result, Stored
from archcalc.importers.operations.opaque import (
    held_once,
    learned_volume,
    opaque,
    rearranged,
    standing_for,
    word,
    written_over,
)
from archcalc.importers.operations.rearranging import moves, parts
from archcalc.importers.operations.views import BATCH, COPIES, Dimension, Norm, TensorView, joined, of_volume, whole
from archcalc.importers.summary import NotLifted
from archcalc.layers import REGISTRY, Layer
from archcalc.shape import AXES, Shape
from archcalc.symbolic import known

SPATIAL = {0: (), 1: ("W",), 2: ("H", "W"), 3: ("D", "H", "W")}
TOKENS = ("R", "T", "C")


class Step(NamedTuple):
    """A layer, what it reads (steps by number, ~k for the k-th input), what it makes, and where the module has it.

    `stored` are the module's parameters and buffers that it holds, in the order in which ours has them. Of a layer
    whose matrix is another one's, `tied` is that step.
    """

    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    around: tuple[Around, ...]
    line: str
    stored: tuple[Stored, ...] = ()
    tied: int | None = None


class Lifted(NamedTuple):
    """A whole module as steps."""

    name: str
    inputs: tuple[tuple[str, Shape], ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    not_lifted: tuple[NotLifted, ...] = ()
    shapes: Mapping[int, tuple[int, ...]] = {}
    """The tensors of outputs that PyTorch has in another form than it has such volumes, by step."""


Made: TypeAlias = "list[TensorView] | Stored | Constant | Pending | Weight"
Lift = Callable[["Lifter", Operation], "TensorView | list[TensorView] | Stored | Constant | Pending | Weight"]
L = TypeVar("L", bound=Lift)
OPERATORS: dict[str, Lift] = {}
PATTERNS: dict[str, Callable[[Lifter, Operation], Any]] = {}


def operator(*names: str) -> Callable[[L], L]:
    """Declare how operators with these names are lifted."""

    def declare(lift: L) -> L:
        OPERATORS.update(dict.fromkeys(names, lift))
        return lift

    return declare


def pattern(what: str) -> Callable[[Callable[[Lifter, Operation], Any]], Callable[[Lifter, Operation], Any]]:
    """Declare what recognises operations that may be parts of a pattern: it says what has been done, or nothing."""

    def declare(recognise: Callable[[Lifter, Operation], Any]) -> Callable[[Lifter, Operation], Any]:
        PATTERNS[what] = recognise
        return recognise

    return declare


class Constant(NamedTuple):
    """A tensor that depends on nothing that enters, nor on what is learned."""

    value: Any


class Pending(NamedTuple):
    """What may become a part of a pattern: what was done, to what; and the tensor of layers, if it's read alone."""

    what: str
    value: Any
    make: Callable[[], Any]


class Weight(NamedTuple):
    """What a convolution learns, in the order in which ours has it, if its weight is computed from that.

    `shape` is that of the weight, by now; it's computed for each of so many `filters`, in a way that `arguments` say.
    """

    stored: tuple[Stored, ...]
    shape: tuple[int, ...]
    filters: int
    arguments: Mapping[str, Any]


class Waiting(NamedTuple):
    """Attention that waits for its last projection: what it makes, and how it's added, with that and without.

    With that it's a tensor whose dimensions are the batch, regions if there are any, tokens, and features.
    """

    shape: Shape
    alone: Callable[[Lifter], int]
    mixed: Callable[[Lifter, Stored, Stored | None], TensorView | None]


class Unknown(Exception):
    """An operation that isn't a layer that specs know, or not on such dimensions."""


class Lifter:
    """Lifts operations one after the other; `strict` refuses those that aren't layers."""

    def __init__(self, exported: Exported, strict: bool = False) -> None:
        self.exported, self.strict = exported, strict
        ran = exported.original or exported.operations
        self.constants = Constants(ran, exported.constants, exported.tokens)
        self.steps: list[Step] = []
        self.shapes = [_input_shape(exported, number) for number in range(len(exported.inputs))]
        self.batch = exported.inputs[0][1][0]
        self.views: list[list[TensorView] | Stored | Constant | Pending | Weight | None] = []
        self.waiting: dict[int, Waiting] = {}
        self.alone: dict[int, int] = {}
        """Steps of attention that waited in vain."""
        self.products: set[int] = set()
        """Steps that are matrix products over C."""
        self.plains: dict[int, TensorView] = {}
        """Steps whose volume isn't as PyTorch has such volumes: those of opaque layers."""
        self.not_lifted: dict[int, NotLifted] = {}
        """Operations that became opaque layers, by their number; by ~its number where only what one reads did."""
        self.concatenated: dict[tuple[str, tuple[int, ...]], int] = {}
        """Steps that join volumes, by the axis and the volumes."""
        self.origins: dict[TensorView, tuple[Around, ...]] = {}
        """For views the submodules that made them."""
        self.operation: Operation | None = None
        self.parameters: dict[Stored, int] = {}
        """Steps that have a parameter as a volume."""
        self.moved: dict[tuple[TensorView, tuple[str, ...]], int] = {}
        """Steps that hold what views show, in axes of their own."""
        self.free: set[int] = set()
        """Steps whose volumes are the same for all examples: what is made of parameters alone."""
        self.settled: dict[int, tuple[Pending, list[TensorView]]] = {}
        """What was pending and is read alone, by its identity, with the tensor."""
        self.copied: dict[Stored, int] = {}
        """Steps that have a parameter for each example."""
        self.multiples: dict[int, float] = {}
        """Steps that multiply by a number, and that."""
        self.parts: dict[int, tuple[str, int]] = {}
        """Steps that are all positions of an axis from one to another, the axis, and where they begin."""
        self.biases: dict[int, tuple[tuple[Stored | None, int], ...]] = {}
        """Steps with biases of several parameters one after the other, and how many each has; none for zeros."""
        self.rolled: dict[int, tuple[int, dict[str, int]]] = {}
        """Steps that are rolled, of which steps, and by how much along each axis."""
        self.norms: dict[int, Norm] = {}
        """Steps that are norms of all features."""
        self.chosen: dict[Any, int] = {}
        """Steps that are shares of experts, by how they were chosen."""
        self.changed: dict[int, int] = {}
        self.spoiled: dict[int, list[TensorView]] = {}

    def lift(self) -> Lifted:
        """All of them.

        Raises: UsageError: an operation is no layer.
        """
        for number, operation in enumerate(self.exported.operations):
            self.views.append(None if operation is NOTHING else self._lifted(number, operation))
        try:
            outputs = [self.volume(self.spelled_out(each)) for each in self.exported.outputs]
        except (Unknown, ShapeError) as error:  # if that's what is asked for: see `strict`
            raise UsageError(f"an output can't be said: {error}") from None
        names = [name for name, _, _ in self.exported.inputs]
        inputs = tuple(zip(names, self.shapes, strict=True))
        self._hold_biases()
        steps, given = _needed(self.steps, outputs)
        found = held_once(steps, self.shapes), given, tuple(self._opaque_among(steps))
        shapes = {
            now: self.plains[step].sizes() for now, step in zip(given, outputs, strict=True) if step in self.plains
        }
        return Lifted(self.exported.name, inputs, *found, shapes)

    def _hold_biases(self) -> None:
        """Make opaque layers of those whose biases are parts that no attention took apart."""
        for number, biases in self.biases.items():
            step = self.steps[number]
            read = [self.shape(each) for each in step.inputs]
            stored = (*step.stored, *(each for each, _ in biases if each is not None))
            layer = REGISTRY["opaque"](
                **step.shape, operator="linear", on=tuple(tuple(shape.values()) for shape in read),
                learned=tuple(each.shape for each in stored), products=step.layer.macs(*read),
            )  # fmt: skip
            self.steps[number] = step._replace(layer=layer, stored=stored)

    def _opaque_among(self, steps: Sequence[Step]) -> Iterator[NotLifted]:
        """Of the operations that became opaque layers those whose layers there are."""
        there = {(getattr(step.layer, "operator", ""), step.line) for step in steps}
        return (each for each in self.not_lifted.values() if (word(each.operator), each.line) in there)

    def _lifted(self, number: int, operation: Operation) -> Made:
        """What one operation makes: a layer, another view of one, a part of a pattern; or by an opaque layer.

        Raises: UsageError: it's no layer, and has to be one.
        """
        self.operation = operation
        before = len(self.steps)
        try:
            try:
                return self._known(operation)
            except Exception as error:
                if self.strict:
                    raise
                return self._as_opaque(number, operation, before, str(error))
        except (Unknown, ShapeError) as error:
            at = ".".join(around.path for around in operation.around[-1:])
            raise UsageError(f"{at or 'the network itself'}: {error}", f"at {operation.line}") from None

    def _known(self, operation: Operation) -> Made:
        """What an operation makes that is known.

        Raises: Unknown, ShapeError: it isn't known, or not with such operands.
        """
        value = self.constant(Result(len(self.views)))
        found: Any = self._recognised(operation) if value is None else Constant(value)
        found = self._as_it_is(self._layers(operation) if found is None else found, operation)
        if operation.name.partition(".")[0].endswith("_"):
            self._write(operation.arguments[0], found)
        for view in found if isinstance(found, list) else ():
            self.origins.setdefault(view, operation.around)
        return found  # type: ignore[no-any-return]

    def _check_held(self, before: int) -> None:
        """See that the layers added since have as many parameters as the module has for them.

        Raises: Unknown: one has others.
        """
        for number, step in enumerate(self.steps[before:], before):
            held = sum(self._held(stored) for stored in step.stored if stored.learned)
            made = step.layer.params(*map(self.shape, step.inputs))
            if held != made and step.tied is None and number not in self.biases:
                raise Unknown(f"{step.layer.kind} has {made} params, not {held}")

    def _held(self, stored: Stored) -> int:
        """How many numbers of a parameter are meant."""
        sizes = list(self.whole(stored).shape or (1,))
        if stored.turned:
            sizes[-2:] = sizes[:-3:-1]
        if stored.rows is not None:
            sizes[stored.axis] = sum(len(range(*stretch)) for stretch in stored.rows)
        return prod(sizes)

    def _as_opaque(self, number: int, operation: Operation, before: int, reason: str) -> list[TensorView]:
        """An operation as an opaque layer, in place of the steps that were added for it."""
        self._forget(before)
        found = opaque(self, self._note(number, reason))
        if operation.name.partition(".")[0].endswith("_"):
            self._change(self.spelled_out(operation.arguments[0]), found[0])
        return found

    def _forget(self, count: int) -> None:
        """Take back all steps but so many."""
        del self.steps[count:]
        self.plains = {step: view for step, view in self.plains.items() if step < count}
        self.parameters = {stored: step for stored, step in self.parameters.items() if step < count}
        self.products = {step for step in self.products if step < count}
        self.free = {step for step in self.free if step < count}
        self.moved = {view: step for view, step in self.moved.items() if step < count}
        self.concatenated = {row: step for row, step in self.concatenated.items() if step < count}
        self.alone = {waiting: step for waiting, step in self.alone.items() if step < count}
        self.copied = {stored: step for stored, step in self.copied.items() if step < count}
        self.multiples = {step: each for step, each in self.multiples.items() if step < count}
        self.parts = {step: each for step, each in self.parts.items() if step < count}
        self.biases = {step: each for step, each in self.biases.items() if step < count}
        self.rolled = {step: of for step, of in self.rolled.items() if step < count}
        self.settled = {key: each for key, each in self.settled.items() if all(view.step < count for view in each[1])}
        self.chosen = {choice: step for choice, step in self.chosen.items() if step < count}
        self.norms = {step: norm for step, norm in self.norms.items() if step < count}

    def spelled_out(self, operand: Any) -> TensorView:
        """A tensor as a volume: a parameter, or a constant, too."""
        made = self.views[operand.operation] if isinstance(operand, Result) else None
        stored = made if isinstance(made, Stored) else operand
        if isinstance(stored, Stored):
            return self.plain(learned_volume(self, self.whole(stored)))
        if isinstance(made, (Constant, Weight)):
            what = "a constant" if isinstance(made, Constant) else "a weight that is computed"
            with self._again(operand.operation, what) as operation:
                self.views[operand.operation] = opaque(self, operation)
        return self.view(operand)

    def whole(self, stored: Stored) -> Stored:
        """All of a parameter or buffer of which a part or another view is read."""
        return self._wholes.get(stored.name, stored)

    @cached_property
    def _wholes(self) -> dict[str, Stored]:
        ran = self.exported.original or self.exported.operations
        operands = (each for op in ran for each in (*op.arguments, *op.named.values()))
        return {each.name: each for each in tensors(operands) if isinstance(each, Stored)}

    def sizes(self, operand: Any) -> tuple[int, ...]:
        """The shape of any operand."""
        made = self.views[operand.operation] if isinstance(operand, Result) else operand
        if isinstance(made, Stored):
            return made.shape
        if isinstance(made, Constant):
            return tuple(int(size) for size in made.value.shape)
        if isinstance(operand, Entered):
            return self.exported.inputs[operand.number][1]
        operation: Operation = self.exported.operations[operand.operation]
        return operation.shapes[operand.part] if operation.shapes else operation.shape

    def is_constant(self, operand: Any) -> bool:
        """Whether an operand depends on nothing."""
        return isinstance(operand, Result) and isinstance(self.views[operand.operation], Constant)

    def _layers(self, operation: Operation) -> Any:
        """The layer that an operation is, or what it has instead of one."""
        name = operation.name.partition(".")[0]
        lift = OPERATORS.get(name) or OPERATORS.get(name.removesuffix("_"))
        if lift is None:
            raise Unknown(f"{operation.name} isn't a layer that specs know")
        before = len(self.steps)
        found = lift(self, operation)
        self._check_held(before)
        return found

    def _recognised(self, operation: Operation) -> Pending | None:
        """A part of a pattern; layers, where it's read by what isn't one."""
        for what, recognise in PATTERNS.items():
            value = recognise(self, operation)
            if value is not None:
                read = self._reader([*operation.arguments])
                return Pending(what, value, lambda: self._layers(operation.reading(read())))  # noqa: B023  # it returns
        return None

    def _write(self, operand: Any, found: Any) -> None:
        """An operation in place: what it read is now what it made."""
        if isinstance(found, Pending) and isinstance(operand, Result):
            self.views[operand.operation] = found
        elif isinstance(found, list):
            self._change(self.view(operand), found[0])

    @staticmethod
    def _as_it_is(found: Any, operation: Operation) -> Any:
        """What an operation gives, with the shape that it has.

        Raises: Unknown: it has another one.
        """
        if isinstance(found, TensorView):
            found = [found]
        if isinstance(found, list):
            found = [_regions_joined(each, operation.shape) for each in found]
            if found[0].sizes() != operation.shape:
                raise Unknown(f"{operation.name} whose result has the shape {operation.shape}")
        return found

    def _reader(self, operand: Any) -> Callable[[], Any]:
        """What gives an operand as it is now, for when it's read: an operation in place may change what is pending."""
        if isinstance(operand, list):
            each = [self._reader(one) for one in operand]
            return lambda: [read() for read in each]
        before = self.views[operand.operation] if isinstance(operand, Result) else None
        if isinstance(before, Pending):
            return lambda: self._resolved(operand.operation, before)[operand.part]
        return lambda: operand

    def _resolved(self, number: int, pending: Pending) -> list[TensorView]:
        """The tensor of an operation that is no part of a pattern after all, with layers where it was."""
        if id(pending) not in self.settled:
            now, self.operation, before = self.operation, self.exported.operations[number], len(self.steps)
            try:
                found = self._as_it_is(pending.make(), self.operation)
                if not isinstance(found, list):
                    raise Unknown("reads what is no volume")
            except Exception as error:
                if self.strict:
                    raise
                self._forget(before)
                found = opaque(self, self._note(number, str(error)))
            finally:
                self.operation = now
            self.settled[id(pending)] = pending, found
        return self.settled[id(pending)][1]

    # --- what operations read -------------------------------------------------------------------------------------

    def view(self, operand: Any) -> TensorView:
        """A tensor that was computed."""
        if isinstance(operand, TensorView):
            return operand
        if isinstance(operand, Entered):
            found = of_volume(~operand.number, self.shapes[operand.number], self.batch)
        elif isinstance(operand, Result) and isinstance(made := self.views[operand.operation], list):
            found = made[operand.part]
        elif isinstance(operand, Result) and isinstance(made, Pending):
            found = self._resolved(operand.operation, made)[operand.part]
        elif (stored := self.stored(operand)) is not None and stored.learned and not stored.rows:
            return self._learned(stored)
        else:
            raise Unknown("reads what is no volume")
        if any(found.overlaps(part) for part in self.spoiled.get(found.step, ())):
            raise Unknown("reads a volume after a part of it was changed in place")
        while found.step in self.changed:
            found = found._replace(step=self.changed[found.step])
        return found

    def _learned(self, stored: Stored) -> TensorView:
        """A parameter as a volume, the same for all examples."""
        every = self.whole(stored)
        if every.shape[:1] == (1,) and stored.shape[1:] == every.shape[1:] and stored.shape[0] == self.batch != 1:
            return self._for_each_example(every)
        found = self.plain(learned_volume(self, every)).reshaped(every.shape)
        if found is not None and prod(stored.shape) == prod(every.shape):
            found = found.reshaped(stored.shape)
        elif found is not None and len(found.dims) == len(stored.shape):
            found = found.expanded(stored.shape)
            found = found._replace(dims=((), *found.dims[1:])) if every.shape[0] == 1 else found
        else:
            found = None
        if found is None:
            raise Unknown(f"a part of {stored.name}")
        return found

    def _for_each_example(self, stored: Stored) -> TensorView:
        """A parameter that is copied for each example: as a volume it's there for each."""
        if stored in self.copied:
            return self.plain(self.copied[stored])
        axes = _usual_axes([whole("C", size) for size in stored.shape[1:]])
        given: dict[str, Any] = dict(zip(axes, stored.shape[1:], strict=True))
        step = self.copied[stored] = self.add("param", [~0], [stored], **given)
        self.free.discard(step)
        return self.plain(step)

    def _change(self, before: TensorView, after: TensorView) -> None:
        """An operation in place: whoever reads the volume later, through any view, reads what was made of it."""
        if before.step == after.step:
            return
        if after == before._replace(step=after.step) and before.is_all_of(self.plain(before.step)):
            self.changed[before.step] = after.step
        elif not self.strict and before.step not in self.waiting:
            self.changed[before.step] = written_over(self, before.step, self.volume(after))
        else:
            self.spoiled.setdefault(before.step, []).append(before)

    def weight(self, operand: Any) -> Stored:
        """A parameter as the module has it."""
        if isinstance(operand, Stored) and operand.learned:
            return operand
        raise Unknown("a weight that isn't a parameter, or is computed")

    def computed_weight(self, operand: Any) -> Weight | None:
        """A weight that is computed."""
        found = self.views[operand.operation] if isinstance(operand, Result) else None
        return found if isinstance(found, Weight) else None

    def kernels(self, operand: Any) -> Weight:
        """The weight of a convolution, a parameter or computed from some.

        Raises: Unknown: it's neither.
        """
        if (found := self.computed_weight(operand)) is None:
            stored = self.weight(operand)
            return Weight((stored,), stored.shape, stored.shape[0], {})
        if found.shape[0] != found.filters:
            raise Unknown("a weight that is computed for other parts than filters")
        return found

    def constant(self, operand: Any) -> Any:
        """The value of what depends on nothing; None if it depends on something."""
        return self.constants.value(operand)

    def pending(self, operand: Any, what: str) -> Any:
        """What has been done to what, if that's what an operand is."""
        found = self.views[operand.operation] if isinstance(operand, Result) else None
        return found.value if isinstance(found, Pending) and found.what == what else None

    def stored(self, operand: Any) -> Stored | None:
        """A parameter or a buffer, perhaps of another shape than the module's."""
        if isinstance(operand, Result):
            operand = self.views[operand.operation]
        return operand if isinstance(operand, Stored) else None

    def shape(self, step: int) -> Shape:
        """The volume of a step, of one that waits for another operation, or of an input."""
        if step in self.waiting:
            return self.waiting[step].shape
        return self.steps[step].shape if step >= 0 else self.shapes[~step]

    def plain(self, step: int) -> TensorView:
        """A whole volume as a tensor."""
        if step in self.plains:
            return self.plains[step]
        return of_volume(step, self.shape(step), 1 if step in self.free else self.batch)

    def volume(self, view: TensorView, axes: Sequence[str] = ()) -> int:
        """The step whose volume this is, with layers added that make it of the one it's a view of.

        `axes` are those of the volume, in the order of all volumes; without them they are found by the view's rank.
        """
        view = self._settled(view)
        if view == self.plain(view.step) and tuple(axes or self.shape(view.step)) == tuple(self.shape(view.step)):
            return view.step
        if (done := self.moved.get((view, tuple(axes)))) is not None:
            return done
        before = len(self.steps)
        try:
            step = self._rearranged(view, axes)
        except Exception:  # whatever is too odd for layers that move values
            if self.strict or axes:
                raise
            self._forget(before)
            assert self.operation is not None
            at = self.operation.around[-1].path if self.operation.around else ""
            self.not_lifted[~len(self.views)] = NotLifted("rearrange", "", self.operation.line, at)
            step = rearranged(self, view)
        self.moved[view, tuple(axes)] = step
        return step

    def _alone(self, step: int) -> int:
        """The step of attention that waits for its last projection no longer.

        Raises: Unknown: it's no layer without that.
        """
        before = len(self.steps)
        try:
            return self.waiting[step].alone(self)
        except Exception as error:
            if self.strict:
                raise Unknown(f"attention without projections: {error}") from error
            self._forget(before)
            number = next(n for n, made in enumerate(self.views) if isinstance(made, list) and made[0].step == step)
            with self._again(number, str(error)) as operation:
                return standing_for(self, operation, self.waiting[step].shape)

    @contextmanager
    def _again(self, number: int, reason: str) -> Iterator[Operation]:
        """An earlier operation, of which an opaque layer is made after all."""
        now, self.operation = self.operation, self.exported.operations[number]
        try:
            yield self._note(number, reason)
        finally:
            self.operation = now

    def _note(self, number: int, reason: str) -> Operation:
        """An operation that becomes an opaque layer."""
        operation = self.exported.operations[number]
        path = operation.around[-1].path if operation.around else ""
        self.not_lifted[number] = NotLifted(operation.name, reason, operation.line, path)
        return operation

    def _rearranged(self, view: TensorView, axes: Sequence[str]) -> int:
        """The step whose volume a view is of another one, by layers that move values.

        Raises: Unknown: there are none.
        """
        dims = self._without_batch(view)
        shape, named = self.shape(view.step), axes or _usual_axes(dims)
        found = moves(shape, dims, dict(view.starts), named) if len(named) == len(dims) else None
        if found is None:
            raise Unknown(f"{shape.text()} in another order, as {'x'.join(map(str, view.sizes()[1:]))}")
        step, around = view.step, self._around(view)
        for kind, arguments in found:
            step = self.add(kind, (step,), inner=False, **arguments)
            self.steps[-1] = self.steps[-1]._replace(around=around)
        return step

    def _around(self, view: TensorView) -> tuple[Around, ...]:
        """The submodules around what moves values: those that made the view, if they ran last."""
        assert self.operation is not None
        origin = self.origins.get(view)
        if origin is not None and self.steps and self.steps[-1].around[: len(origin)] == origin:
            return origin
        return self._ahead()

    def _ahead(self) -> tuple[Around, ...]:
        """The submodules around what is done for an operation ahead of it: not the one that is nothing but it."""
        assert self.operation is not None
        around = self.operation.around
        return around if around and self._does[around[-1].path] > 1 else around[:-1]

    @cached_property
    def _does(self) -> Counter[str]:
        """How many operations each submodule runs itself."""
        return Counter(op.around[-1].path for op in self.exported.operations if op is not NOTHING and op.around)

    def _without_batch(self, view: TensorView) -> tuple[Dimension, ...]:
        """A view's dimensions, those without the batch; what it has beside the batch in one comes first.

        Raises: Unknown: it isn't ahead of all others, or values are there several times.
        """
        first, *others = view.dims if view.step not in self.free or not view.dims[0] else ((), *view.dims)
        batch = whole(BATCH, 1 if view.step in self.free else self.batch)
        if first[: len(batch)] != batch or any(factor.axis in (BATCH, COPIES) for dim in others for factor in dim):
            raise Unknown("the batch isn't the first axis, or values are copied")
        return (first[len(batch) :], *others) if first[len(batch) :] else tuple(others)

    def as_map(self, operand: Any) -> int:
        """The step whose volume an operand is, with its channels ahead of spatial axes."""
        view = self.view(operand)
        regions = ("R",) if len(self._without_batch(view)) == len(view.dims) else ()
        return self.volume(view, (*regions, "C", *SPATIAL.get(len(view.dims) - 2, ())) if len(view.dims) > 2 else ())

    def laid(self, view: TensorView, axes: Sequence[str] = ()) -> TensorView:
        """The same tensor, of a volume that has nothing but it."""
        found = self.plain(self.volume(view, axes)).reshaped(view.sizes())
        assert found is not None  # a dimension is an axis, or the batch and regions, or several axes together
        return found

    def cut(self, view: TensorView) -> TensorView:
        """The same tensor, of a volume that has no more than it, in whatever order."""
        view = self._settled(view)
        if view.is_all_of(self.plain(view.step)):
            return view
        found, shape, dims, starts = parts(self.shape(view.step), view.dims, dict(view.starts))
        less = TensorView(view.step, tuple(dims))
        if starts or not less.is_all_of(of_volume(view.step, shape, 1 if view.step in self.free else self.batch)):
            return self.laid(view)
        for kind, arguments in found:
            less = less._replace(step=self.add(kind, (less.step,), inner=False, **arguments))
        return less

    def _settled(self, view: TensorView) -> TensorView:
        """A tensor whose volume is there, and as it is."""
        if view.step in self.waiting:
            if view.step not in self.alone:
                self.alone[view.step] = self._alone(view.step)
            view = view._replace(step=self.alone[view.step])
        if view.norm is not None:
            norm, turned = view.norm, view.rope
            features = self.with_features(view._replace(norm=None, rope=None))
            view = self.along(features, norm.kind, norm.stored, **dict(norm.arguments))._replace(rope=turned)
        return view if view.rope is None else self._turned(view)

    def _turned(self, view: TensorView) -> TensorView:
        """A tensor that is turned by rotary positions, by an opaque layer.

        Raises: Unknown: it would be one.
        """
        reason = "rotary positions outside of attention"
        if self.strict:
            raise Unknown(reason)
        assert self.operation is not None
        plain = self.cut(view._replace(rope=None))
        path = self.operation.around[-1].path if self.operation.around else ""
        self.not_lifted.setdefault(len(self.views), NotLifted("rotation", reason, self.operation.line, path))
        shape: dict[str, Any] = dict(self.shape(plain.step))
        step = self.add("opaque", (plain.step,), operator="rotation", on=(tuple(shape.values()),), products=0, **shape)
        return plain._replace(step=step)

    def with_features(self, view: TensorView) -> TensorView:
        """The same with its last dimension as the features of tokens, C; others are regions and tokens."""
        view = self._settled(view)
        if view.dims[-1] == whole("C", self.shape(view.step).get("C", 1)) and view.is_all_of(self.plain(view.step)):
            return view
        dims, spatial = self._without_batch(view), self.shape(view.step).spatial
        if len(spatial) > 1 and len(dims) == len(view.dims) - 1 == len(spatial) + 1:  # as a map it has them, too
            last = len(view.dims) - 1
            return self.laid(view.permuted([0, last, *range(1, last)]), ("C", *spatial)).permuted(
                [0, *range(2, last + 1), 1]
            )
        if len(dims) <= len(TOKENS):
            return self.laid(view, TOKENS[-len(dims) :])
        middle = tuple(factor for dim in dims[1:-1] for factor in dim)
        few = view._replace(dims=(whole(BATCH, self.batch), dims[0], middle, dims[-1]))
        found = self.laid(few, TOKENS).reshaped(view.sizes())
        assert found is not None  # its middle is an axis that is divided again
        return found

    def distance(self, view: TensorView, axes: Sequence[str]) -> int:
        """How many layers make this volume."""
        view = self._settled(view)
        found = moves(self.shape(view.step), self._without_batch(view), dict(view.starts), axes)
        return 99 if found is None else len(found)

    # --- what they make -------------------------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        stored: Sequence[Any] = (),
        /,
        inner: bool = True,
        around: tuple[Around, ...] | None = None,
        **arguments: Any,
    ) -> int:
        """Add a layer; defaults may be given, too; `inner`, to the submodule that runs now. Returns: its step."""
        if kind == "param" or all(step in self.free for step in inputs):
            self.free.add(len(self.steps))
        assert self.operation is not None
        if around is None:
            around = self.operation.around if inner else self._ahead()
        step = self.add_layer(REGISTRY[kind](**arguments), inputs, stored, around)
        self._remember(kind, step, self.steps[step].layer, self.steps[step].shape)
        return step

    def add_layer(self, layer: Layer, inputs: Sequence[int], stored: Sequence[Any], around: tuple[Around, ...]) -> int:
        """Add a layer that is made already. Returns: its step."""
        shape = layer.output_shape(*map(self.shape, inputs))
        assert self.operation is not None
        kept = tuple(each for each in stored if isinstance(each, Stored))
        self.steps.append(Step(layer, tuple(inputs), shape, around, self.operation.line, kept))
        if inputs and inputs[0] in self.plains and shape == self.shape(inputs[0]):
            self.plains[len(self.steps) - 1] = self.plains[inputs[0]]._replace(step=len(self.steps) - 1)
        return len(self.steps) - 1

    def _remember(self, kind: str, step: int, layer: Any, made: Shape) -> None:
        """What attention looks past: numbers, and parts."""
        if kind == "times":
            self.multiples[step] = float(layer.factor) ** float(layer.power)
        elif kind == "part" and layer.step == 1:
            self.parts[step] = layer.axis, known(layer.start)
        elif kind == "chunk":
            self.parts[step] = layer.axis, known(made[layer.axis]) * known(layer.index)

    def owner(self, weight: Stored) -> int | None:
        """The step that holds a matrix already, if one does."""
        for number, step in enumerate(self.steps):
            if step.stored[:1] == (weight,):
                return number
        return None

    def made(self, kind: str, inputs: Sequence[int], stored: Sequence[Any] = (), **arguments: Any) -> TensorView:
        """Add a layer. Returns: its volume as a tensor."""
        return self.plain(self.add(kind, inputs, stored, **arguments))

    def along(self, view: TensorView, kind: str, stored: Sequence[Any] = (), **arguments: Any) -> TensorView:
        """Add a layer that treats all positions alike, on a tensor with its dimensions in any order."""
        assert self.operation is not None
        plain, in_place = self.plain(view.step), self.operation.name.partition(".")[0].endswith("_")
        is_flat = len(view.dims) == 2 < len(plain.dims) and view.dims[0] == plain.dims[0]
        view = self.laid(view) if is_flat and not in_place else self.cut(view)
        shape = self.shape(view.step)
        step = self.add(kind, (view.step,), stored, **arguments)
        if self.shape(step) == shape:
            return view._replace(step=step)

        def widened(dims: Sequence[Any]) -> TensorView:
            made = whole("C", self.shape(step).C)
            return TensorView(step, tuple(made if dim == whole("C", shape.C) else dim for dim in dims))

        if view.step in self.plains:
            self.plains[step] = widened(self.plains[view.step].dims)
        return widened(view.dims)


def _regions_joined(view: TensorView, shape: Sequence[int]) -> TensorView:
    """A tensor of this shape whose batch holds regions, too."""
    if len(view.dims) != len(shape) + 1 or (view.dims[1] and view.dims[1][0].axis != "R"):
        return view
    return view._replace(dims=(joined(view.dims[0] + view.dims[1]), *view.dims[2:]))


def _usual_axes(dims: Sequence[Dimension]) -> tuple[str, ...]:
    """Axes for so many dimensions: of tokens with features up to three, and of maps where channels come first."""
    if len(dims) == 3 and not (dims[0] and dims[0][0].axis == "C"):
        return TOKENS
    return ((), ("C",), ("T", "C"), ("C", "H", "W"), ("C", "D", "H", "W"), AXES[1:], AXES, ())[min(len(dims), 7)]


def _needed(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[tuple[Step, ...], tuple[int, ...]]:
    """The steps that outputs need, and the outputs, counted among them."""
    needed = set(outputs)
    for number in range(len(steps) - 1, -1, -1):
        if number in needed:
            needed.update(steps[number].inputs)
    now = {step: place for place, step in enumerate(sorted(step for step in needed if step >= 0))}

    def moved(step: Step) -> Step:
        tied = None if step.tied is None else now[step.tied]
        return step._replace(inputs=tuple(now.get(read, read) for read in step.inputs), tied=tied)

    return tuple(moved(steps[step]) for step in now), tuple(now.get(output, output) for output in outputs)


def _input_shape(exported: Exported, number: int) -> Shape:
    """The volume of an input, by its rank and by who reads it."""
    _, (_, *sizes), is_integer = exported.inputs[number]
    if len(sizes) == 1:
        return Shape(T=sizes[0]) if is_integer else Shape(C=sizes[0])
    slides = (each for each in exported.operations if each.name.partition(".")[0] == "conv1d")
    if len(sizes) == 2 and not any(Entered(number) in each.arguments for each in slides):
        return Shape(T=sizes[0], C=sizes[1])
    axes = ("C", *SPATIAL[len(sizes) - 1])
    return Shape(**dict(zip(axes, sizes, strict=True)))


def _in_a_row(shape: Shape) -> tuple[Any, ...]:
    axes = ("R", "T", "C") if not shape.spatial else ("R", "T", "C", *shape.spatial)
    return tuple(factor for axis in axes if axis in shape for factor in whole(axis, shape[axis]))


def extent(sizes: Any, rank: int, default: int = 1) -> Any:
    """A size for each axis, or one where they are equal."""
    sizes = [default] if sizes is None or sizes == [] else [sizes] if isinstance(sizes, int) else list(sizes)
    found = sizes * rank if len(sizes) == 1 else sizes
    return found[0] if len(set(found)) == 1 else tuple(found)


def padding_of(sizes: Any, kernel: Any, rank: int) -> Any:
    """Padding, `half` where it's half the kernel."""
    found, kernel = extent(sizes, rank, 0), extent(kernel, rank)
    each = found if isinstance(found, tuple) else (found,) * rank
    kernels = kernel if isinstance(kernel, tuple) else (kernel,) * rank
    return "half" if any(each) and all(p == k // 2 for p, k in zip(each, kernels, strict=True)) else found


def number(value: float) -> Any:
    """A float as the fraction that people write: 1/100000 for 1e-05."""
    return Fraction(str(value)) if isinstance(value, float) else value


def argument(operation: Operation, place: int, name: str, default: Any = None) -> Any:
    """An operand by its place or its name."""
    if len(operation.arguments) > place:
        return operation.arguments[place]
    return operation.named.get(name, default)
