"""Operations as layers: what PyTorch ran, said with the kinds that specs know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

from archcalc.errors import ShapeError, UsageError
from archcalc.importers.operations.constants import Constants
from archcalc.importers.operations.exported import NOTHING, Around, Entered, Exported, Operation, Result, Stored
from archcalc.importers.operations.rearranging import moves
from archcalc.importers.operations.views import BATCH, COPIES, Dimension, TensorView, joined, of_volume, whole
from archcalc.layers import REGISTRY, Layer
from archcalc.shape import AXES, Shape

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


Lift = Callable[["Lifter", Operation], "TensorView | list[TensorView] | Stored | Constant"]
L = TypeVar("L", bound=Lift)
OPERATORS: dict[str, Lift] = {}


def operator(*names: str) -> Callable[[L], L]:
    """Declare how operators with these names are lifted."""

    def declare(lift: L) -> L:
        OPERATORS.update(dict.fromkeys(names, lift))
        return lift

    return declare


class Constant(NamedTuple):
    """A tensor that depends on nothing that enters, nor on what is learned."""

    value: Any


class Waiting(NamedTuple):
    """Attention that waits for its last projection: what it makes, and how it's added, with that and without."""

    shape: Shape
    alone: Callable[[Lifter], int]
    mixed: Callable[[Lifter, Stored, Stored | None], int | None]


class Unknown(Exception):
    """An operation that isn't a layer that specs know, or not on such dimensions."""


class Lifter:
    """Lifts operations one after the other."""

    def __init__(self, exported: Exported) -> None:
        self.exported = exported
        ran = exported.original or exported.operations
        self.constants = Constants(ran, exported.constants, exported.tokens)
        self.steps: list[Step] = []
        self.shapes = [_input_shape(exported, number) for number in range(len(exported.inputs))]
        self.batch = exported.inputs[0][1][0]
        self.views: list[list[TensorView] | Stored | Constant | None] = []
        self.waiting: dict[int, Waiting] = {}
        self.products: set[int] = set()
        """Steps that are matrix products over C."""
        self.operation: Operation | None = None
        self.moved: dict[tuple[TensorView, tuple[str, ...]], int] = {}
        """Steps that hold what views show, in axes of their own."""
        self.free: set[int] = set()
        """Steps whose volumes are the same for all examples: what is made of parameters alone."""
        self.changed: dict[int, int] = {}
        self.spoiled: dict[int, list[TensorView]] = {}

    def lift(self) -> Lifted:
        """All of them.

        Raises: UsageError: an operation is no layer.
        """
        for number, operation in enumerate(self.exported.operations):
            if operation is NOTHING:
                self.views.append(None)
                continue
            self.operation = operation
            name = operation.name.partition(".")[0]
            lift = OPERATORS.get(name) or OPERATORS.get(name.removesuffix("_"))
            try:
                value = self.constant(Result(number))
                if value is None and lift is None:
                    raise Unknown(f"{operation.name} isn't a layer that specs know")
                found: Any = Constant(value) if lift is None or value is not None else lift(self, operation)
                if isinstance(found, TensorView):
                    found = [found]
                if isinstance(found, list):
                    found = [_regions_joined(each, operation.shape) for each in found]
                if isinstance(found, list) and found[0].sizes() != operation.shape:
                    raise Unknown(f"{operation.name} whose result has the shape {operation.shape}")
                if isinstance(found, list) and name.endswith("_"):
                    self._change(self.view(operation.arguments[0]), found[0])
            except (Unknown, ShapeError) as error:
                at = ".".join(around.path for around in operation.around[-1:])
                raise UsageError(f"{at or 'the network itself'}: {error}", f"at {operation.line}") from None
            self.views.append(found)
        try:
            outputs = [self.volume(self.view(each)) for each in self.exported.outputs]
        except (Unknown, ShapeError) as error:
            raise UsageError(f"an output can't be said: {error}") from None
        names = [name for name, _, _ in self.exported.inputs]
        inputs = tuple(zip(names, self.shapes, strict=True))
        steps, given = _needed(self.steps, outputs)
        _refuse_shared(steps)
        return Lifted(self.exported.name, inputs, steps, given)

    # --- what operations read -------------------------------------------------------------------------------------

    def view(self, operand: Any) -> TensorView:
        """A tensor that was computed."""
        if isinstance(operand, Entered):
            found = of_volume(~operand.number, self.shapes[operand.number], self.batch)
        elif isinstance(operand, Result) and isinstance(made := self.views[operand.operation], list):
            found = made[operand.part]
        else:
            raise Unknown("reads what is no volume")
        if any(found.overlaps(part) for part in self.spoiled.get(found.step, ())):
            raise Unknown("reads a volume after a part of it was changed in place")
        while found.step in self.changed:
            found = found._replace(step=self.changed[found.step])
        return found

    def _change(self, before: TensorView, after: TensorView) -> None:
        """An operation in place: whoever reads the volume later, through any view, reads what was made of it."""
        if before.step == after.step:
            return
        if after == before._replace(step=after.step) and before.is_all_of(self.plain(before.step)):
            self.changed[before.step] = after.step
        else:
            self.spoiled.setdefault(before.step, []).append(before)

    def weight(self, operand: Any) -> Stored:
        """A parameter as the module has it."""
        if isinstance(operand, Stored) and operand.learned:
            return operand
        raise Unknown("a weight that isn't a parameter, or is computed")

    def constant(self, operand: Any) -> Any:
        """The value of what depends on nothing; None if it depends on something."""
        return self.constants.value(operand)

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
        return of_volume(step, self.shape(step), 1 if step in self.free else self.batch)

    def volume(self, view: TensorView, axes: Sequence[str] = ()) -> int:
        """The step whose volume this is, with layers added that make it of the one it's a view of.

        `axes` are those of the volume, in the order of all volumes; without them they are found by the view's rank.
        """
        if view.step in self.waiting:
            view = view._replace(step=self.waiting[view.step].alone(self))
        if view == self.plain(view.step) and tuple(axes or self.shape(view.step)) == tuple(self.shape(view.step)):
            return view.step
        if (done := self.moved.get((view, tuple(axes)))) is not None:
            return done
        dims = self._without_batch(view)
        shape, named = self.shape(view.step), axes or _usual_axes(dims)
        found = moves(shape, dims, dict(view.starts), named) if len(named) == len(dims) else None
        if found is None:
            raise Unknown(f"{shape.text()} in another order, as {'x'.join(map(str, view.sizes()[1:]))}")
        step = view.step
        for kind, arguments in found:
            step = self.add(kind, (step,), inner=False, **arguments)
        self.moved[view, tuple(axes)] = step
        return step

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

    def with_features(self, view: TensorView) -> TensorView:
        """The same with its last dimension as the features of tokens, C; others are regions and tokens."""
        if view.step in self.waiting:
            view = view._replace(step=self.waiting[view.step].alone(self))
        if view.dims[-1] == whole("C", self.shape(view.step).get("C", 1)) and view.is_all_of(self.plain(view.step)):
            return view
        dims = self._without_batch(view)
        if len(dims) <= len(TOKENS):
            return self.laid(view, TOKENS[-len(dims) :])
        middle = tuple(factor for dim in dims[1:-1] for factor in dim)
        few = view._replace(dims=(whole(BATCH, self.batch), dims[0], middle, dims[-1]))
        found = self.laid(few, TOKENS).reshaped(view.sizes())
        assert found is not None  # its middle is an axis that is divided again
        return found

    # --- what they make -------------------------------------------------------------------------------------------

    def add(
        self, kind: str, inputs: Sequence[int], stored: Sequence[Any] = (), inner: bool = True, **arguments: Any
    ) -> int:
        """Add a layer; defaults may be given, too; `inner`, to the submodule that runs now. Returns: its step."""
        layer = REGISTRY[kind](**arguments)
        shape = layer.output_shape(*map(self.shape, inputs))
        if kind == "param" or all(step in self.free for step in inputs):
            self.free.add(len(self.steps))
        assert self.operation is not None
        kept = tuple(each for each in stored if isinstance(each, Stored))
        around = self.operation.around if inner else self.operation.around[:-1]
        self.steps.append(Step(layer, tuple(inputs), shape, around, self.operation.line, kept))
        return len(self.steps) - 1

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
        if not view.is_all_of(self.plain(view.step)):
            view = self.laid(view)
        shape = self.shape(view.step)
        step = self.add(kind, (view.step,), stored, **arguments)
        if self.shape(step) == shape:
            return view._replace(step=step)
        dims = tuple(whole("C", self.shape(step).C) if dim == whole("C", shape.C) else dim for dim in view.dims)
        return TensorView(step, dims)


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


def _refuse_shared(steps: Sequence[Step]) -> None:
    """See that no parameter is held twice.

    Raises: UsageError: one is, by layers of different submodules.
    """
    held: dict[tuple[str, Any], Step] = {}
    for step in steps:
        for stored in step.stored:
            again = any(around.call for around in step.around) or step.tied is not None
            if stored.learned and held.setdefault((stored.name, stored.rows), step) is not step and not again:
                hint = "a spec shares modules, and matrices of fc and embed"
                raise UsageError(f"{stored.name} is read by two layers, the second at {step.line}", hint)


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
