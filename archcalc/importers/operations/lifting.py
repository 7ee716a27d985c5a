"""Operations as layers: what PyTorch ran, said with the kinds that specs know."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

from archcalc.errors import ShapeError, UsageError
from archcalc.importers.operations.exported import Around, Entered, Exported, Operation, Result, Stored
from archcalc.importers.operations.views import BATCH, TensorView, of_volume, whole
from archcalc.layers import REGISTRY, Layer
from archcalc.shape import Shape

SPATIAL = {0: (), 1: ("W",), 2: ("H", "W"), 3: ("D", "H", "W")}


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


Lift = Callable[["Lifter", Operation], "TensorView | list[TensorView] | Stored | Constant | Sketch"]
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


class Sketch(NamedTuple):
    """A part of a pattern: what has been done to a tensor, which is no layer by itself, with a number or a constant."""

    what: str
    view: TensorView
    value: Any = None


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
        self.steps: list[Step] = []
        self.shapes = [_input_shape(exported, number) for number in range(len(exported.inputs))]
        self.batch = exported.inputs[0][1][0]
        self.views: list[list[TensorView] | Stored | Constant | Sketch] = []
        self.waiting: dict[int, Waiting] = {}
        self.products: set[int] = set()
        """Steps that are matrix products over C."""
        self.bare: dict[int, Any] = {}
        """Steps that are norms without factors, which they may still get, with their epsilon."""
        self.multiples: dict[int, Any] = {}
        """Steps that multiply by a number, and that."""
        self.operation: Operation | None = None
        self.changed: dict[int, int] = {}
        self.spoiled: dict[int, list[TensorView]] = {}

    def lift(self) -> Lifted:
        """All of them.

        Raises: UsageError: an operation is no layer.
        """
        for operation in self.exported.operations:
            self.operation = operation
            name = operation.name.partition(".")[0]
            lift = OPERATORS.get(name) or OPERATORS.get(name.removesuffix("_"))
            try:
                found: Any = self._computed(operation)
                if found is None and lift is None:
                    raise Unknown(f"{operation.name} isn't a layer that specs know")
                if found is None and lift is not None:
                    found = lift(self, operation)
                if isinstance(found, TensorView):
                    found = [found]
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
        if isinstance(operand, Result):
            operand = self.views[operand.operation]
        if isinstance(operand, Stored) and not operand.learned:
            return self.exported.constants.get(operand.name)
        return operand.value if isinstance(operand, Constant) else None

    def sketch(self, operand: Any, what: str) -> Sketch | None:
        """A part of a pattern."""
        found = self.views[operand.operation] if isinstance(operand, Result) else None
        return found if isinstance(found, Sketch) and found.what == what else None

    def _computed(self, operation: Operation) -> Constant | None:
        """What an operation gives that reads nothing but constants: it's run."""
        tensors = list(_tensors([*operation.arguments, *operation.named.values()]))
        values = [self.constant(each) for each in tensors]
        if operation.target is None or any(value is None for value in values):
            return None
        known_values = iter(values)

        def there(operand: Any) -> Any:
            if isinstance(operand, list):
                return [there(each) for each in operand]
            return next(known_values) if isinstance(operand, (Result, Entered, Stored)) else operand

        arguments = [there(each) for each in operation.arguments]
        named = {key: there(each) for key, each in operation.named.items() if key not in ("device", "pin_memory")}
        return Constant(operation.target(*arguments, **named))

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
        return of_volume(step, self.shape(step), self.batch)

    def volume(self, view: TensorView) -> int:
        """The step whose volume this is, with layers added that make it of the one it's a view of."""
        if view.step in self.waiting:
            view = view._replace(step=self.waiting[view.step].alone(self))
        if view == self.plain(view.step):
            return view.step
        shape = self.shape(view.step)
        if view.dims == (whole(BATCH, self.batch), whole("C", shape.C)) and set(shape) == {"T", "C"}:
            return self.add("select", (view.step,), inner=False, index=dict(view.starts).get("T", 0))
        if not view.starts:
            if view.dims == (whole(BATCH, self.batch), _in_a_row(shape)):
                return self.add("flatten", (view.step,), inner=False)
            spatial = tuple(factor for axis in shape.spatial for factor in whole(axis, shape[axis]))
            if shape.spatial and view.dims == (whole(BATCH, self.batch), spatial, whole("C", shape.C)):
                return self.add("tokens", (view.step,), inner=False)
        if (found := self._rearranged(view, shape)) is not None:
            return self.volume(found)
        sizes = "x".join(map(str, view.sizes()[1:]))
        raise Unknown(f"{shape.text()} in another order, as {sizes}")

    def _rearranged(self, view: TensorView, shape: Shape) -> TensorView | None:
        """The view of a volume that a layer makes which moves values: one of its parts, or with axes exchanged."""
        plain = self.plain(view.step)
        if len(view.starts) <= 1 and len(view.dims) == len(plain.dims):
            unlike = [place for place, dim in enumerate(view.dims) if dim != plain.dims[place]]
            if len(unlike) == 1 and len(view.dims[unlike[0]]) <= 1 and len(plain.dims[unlike[0]]) == 1:
                return self._part(view, plain, unlike[0])
            if len(unlike) == 1 and not view.starts and len(view.dims[unlike[0]]) == 2:
                inner, outer = view.dims[unlike[0]]
                if (inner.axis, inner.stride, outer.axis, outer.stride) == ("C", 1, "C", inner.size):
                    return self.plain(self.add("channel_shuffle", (view.step,), inner=False, groups=outer.size))
        if not view.starts and set(shape) == {"T", "C"} and view.dims == (plain.dims[0], plain.dims[2], plain.dims[1]):
            return self.plain(self.add("transpose", (view.step,), inner=False, axis="T", other="C"))
        return None

    def _part(self, view: TensorView, plain: TensorView, place: int) -> TensorView | None:
        (whole_axis,), size = plain.dims[place], view.sizes()[place]
        factor = view.dims[place][0] if view.dims[place] else whole_axis._replace(size=1)
        start = dict(view.starts).get(whole_axis.axis, 0)
        if factor.axis != whole_axis.axis or factor.axis == BATCH or set(dict(view.starts)) - {factor.axis}:
            return None
        stop = start + (size - 1) * factor.stride + 1
        arguments: dict[str, Any] = {"axis": factor.axis, "start": start, "step": factor.stride}
        if stop != whole_axis.size:
            arguments["stop"] = stop
        return self.plain(self.add("part", (view.step,), inner=False, **arguments))

    def as_map(self, operand: Any) -> int:
        """The step whose volume an operand is, with its channels ahead of spatial axes."""
        return self.volume(self.view(operand))

    # --- what they make -------------------------------------------------------------------------------------------

    def add(
        self, kind: str, inputs: Sequence[int], stored: Sequence[Any] = (), inner: bool = True, **arguments: Any
    ) -> int:
        """Add a layer; defaults may be given, too; `inner`, to the submodule that runs now. Returns: its step."""
        layer = REGISTRY[kind](**arguments)
        shape = layer.output_shape(*map(self.shape, inputs))
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
        shape = self.shape(view.step)
        if not view.is_all_of(self.plain(view.step)):
            view = self.plain(self.volume(view))
        step = self.add(kind, (view.step,), stored, **arguments)
        if self.shape(step) == shape:
            return view._replace(step=step)
        dims = tuple(whole("C", self.shape(step).C) if dim == whole("C", shape.C) else dim for dim in view.dims)
        return TensorView(step, dims)


def _tensors(operands: Any) -> Iterator[Any]:
    """All tensors among operands."""
    for operand in operands:
        if isinstance(operand, list):
            yield from _tensors(operand)
        elif isinstance(operand, (Result, Entered, Stored)):
            yield operand


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
