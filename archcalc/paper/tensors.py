"""Tensors on paper: sizes and memory, no values; and what autograd makes of the operations on them.

A program in PyTorch holds a tensor as long as something refers to it: a variable, an operation that saved it for the
backward pass, a gradient on its way. The same is true here: a `Blank` refers to its `Storage`, and CPython frees that
with its last reference, as PyTorch does. So a layer's program reads as its PyTorch module does, and what it holds at
which moment follows. Source: PyTorch's derivatives.yaml, and torch/csrc/autograd/engine.cpp and input_buffer.cpp.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import TypeAlias
from weakref import WeakSet

Sizes: TypeAlias = "tuple[int, ...]"
Base: TypeAlias = "tuple[Node | None, Sizes]"
Derive: TypeAlias = "Callable[..., Sequence[Blank | None]]"
"""From the inputs that want a gradient, the gradient of the output, and what was saved, to the inputs' gradients."""


LAST = 1 << 62
"""Larger than the number of any operation."""


class Meter:
    """How many bytes are alive, the most that ever were, and since someone looked; `making`: what new memory is for."""

    def __init__(self, watched: int = -1) -> None:
        self.making = "volumes"
        self.now = self.most = self.most_since = 0
        self.number = self.most_at = 0
        self.at: tuple[str, bool] = ("", False)
        """The layer that runs, and whether backward."""
        self.watched, self.seen, self.seen_at = watched, dict[str, int](), self.at
        """The number of a storage, all that was alive when it had been made, by name, and which layer ran."""
        self.storages = WeakSet[Storage]()

    def made(self, storage: Storage) -> None:
        """Count a new storage."""
        self.now += storage.size
        self.number += 1
        self.storages.add(storage)
        self.most_since = max(self.most_since, self.now)
        if self.now > self.most:
            self.most, self.most_at = self.now, self.number
        if self.number == self.watched:
            self.seen, self.seen_at = self.alive(), self.at

    def freed(self, storage: Storage) -> None:
        """Count it no longer."""
        self.now -= storage.size

    def alive(self) -> dict[str, int]:
        """The bytes of what is alive, by name."""
        found = Counter[str]()
        for storage in self.storages:
            is_saved = storage.savers and storage.name == "volumes"
            found["saved for backward" if is_saved else storage.name] += storage.size
        return dict(found)


class Storage:
    """Memory that a tensor made, and that views of it share: its users, and those of them that are saved tensors."""

    __slots__ = ("__weakref__", "meter", "name", "savers", "size", "users")

    def __init__(self, meter: Meter, size: int, name: str = "") -> None:
        self.meter, self.size, self.name = meter, size, name or meter.making
        self.users = self.savers = 0
        meter.made(self)

    def __del__(self) -> None:
        self.meter.freed(self)


class Blank:
    """Values of some sizes, the batch first, each `width` bytes wide, so many `strides` apart in memory.

    A view refers to its `base`, the tensor that made the memory, so that it's never the view's alone: the operation
    that made that one, and its sizes.
    """

    __slots__ = ("base", "grad", "node", "sizes", "storage", "strides", "width")

    def __init__(
        self, storage: Storage, sizes: Sizes, width: int, strides: Sizes | None = None, base: Base | None = None
    ) -> None:
        self.storage, self.sizes, self.width, self.base = storage, sizes, width, base
        self.strides = in_order(sizes) if strides is None else strides
        self.node: Node | None = None
        self.grad: Blank | None = None
        storage.users += 1

    def __del__(self) -> None:
        self.storage.users -= 1

    @property
    def numel(self) -> int:
        """Values, those of the whole batch."""
        return prod(self.sizes)

    @property
    def needs_grad(self) -> bool:
        """Whether a gradient flows to it."""
        return self.node is not None

    @property
    def is_dense(self) -> bool:
        """Whether its values fill their memory without gaps, in whatever order."""
        expected = 1
        for stride, size in sorted((stride, size) for size, stride in zip(self.sizes, self.strides, strict=True)):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True

    @property
    def is_alone(self) -> bool:
        """Whether nobody else sees its memory, so that it may be written over."""
        return self.is_dense and self.storage.users == 1

    def alias(self) -> Blank:
        """The same tensor under another name, without history."""
        return Blank(self.storage, self.sizes, self.width, self.strides, self.base)

    def seen(self, sizes: Sizes, strides: Sizes) -> Blank:
        """A view, without history."""
        return Blank(self.storage, sizes, self.width, strides, self.base or (self.node, self.sizes))

    def viewed(self, sizes: Sizes) -> Blank | None:
        """A view of other sizes, without history; None if the strides don't allow one."""
        strides = _viewed(self.sizes, self.strides, sizes)
        return None if strides is None else self.seen(sizes, strides)

    def reshaped(self, sizes: Sizes) -> Blank:
        """A view of other sizes, or, where the strides don't allow one, a copy; without history."""
        return self.viewed(sizes) or self.new(sizes)

    def new(self, sizes: Sizes | None = None, width: int = 0) -> Blank:
        """A tensor in memory of its own, its values in order; unless said otherwise of the same sizes and width."""
        sizes, width = self.sizes if sizes is None else sizes, width or self.width
        return Blank(Storage(self.storage.meter, prod(sizes) * width), sizes, width)

    def like(self, width: int = 0) -> Blank:
        """A tensor in memory of its own, its values without gaps in the order of these."""
        made, expected, strides = self.new(width=width), 1, [0] * len(self.sizes)
        for axis in sorted(range(len(self.sizes)), key=lambda axis: (self.strides[axis], -axis)):
            strides[axis] = expected
            expected *= self.sizes[axis]
        made.strides = tuple(strides)
        return made


def in_order(sizes: Sizes) -> Sizes:
    """The strides of values in order."""
    strides, step = [0] * len(sizes), 1
    for axis in range(len(sizes) - 1, -1, -1):
        strides[axis] = step
        step *= sizes[axis]
    return tuple(strides)


def _viewed(sizes: Sizes, strides: Sizes, wanted: Sizes) -> Sizes | None:
    """The strides of a view of other sizes; None if there is none. Source: computeStride in ATen/TensorUtils.cpp."""
    found = [0] * len(wanted)
    last, chunk, step = len(wanted) - 1, 1, strides[-1] if strides else 1
    for axis in range(len(sizes) - 1, -1, -1):
        chunk *= sizes[axis]
        if axis and (sizes[axis - 1] == 1 or strides[axis - 1] == chunk * step):
            continue
        made = 1
        while last >= 0 and (made < chunk or wanted[last] == 1):
            found[last] = made * step
            made *= wanted[last]
            last -= 1
        if made != chunk:
            return None
        if axis:
            chunk, step = 1, strides[axis - 1]
    return tuple(found) if last < 0 else None


class Node:
    """An operation that a backward pass undoes; or a leaf, at which gradients are collected.

    `inputs` are the operations that made what it read, None where no gradient flows, with the sizes of that. One that
    `joins` has several results, whose gradients it's given together.
    """

    __slots__ = ("derive", "inputs", "joins", "layer", "leaf", "number", "saved")

    numbers = itertools.count()

    def __init__(self, inputs: Sequence[Blank], saved: Sequence[Blank | None], derive: Derive | None = None) -> None:
        self.number = next(Node.numbers)
        self.inputs = [(x.node, x.sizes) for x in inputs]
        self.layer = inputs[0].storage.meter.at[0] if inputs else ""
        self.saved = tuple([None if each is None else each.alias() for each in saved])  # without their history
        for each in self.saved:
            if each is not None:
                each.storage.savers += 1
        self.derive = derive
        self.leaf: Blank | None = None
        self.joins = False

    def __lt__(self, other: Node) -> bool:
        return self.number < other.number


def parameter(meter: Meter, sizes: Sizes, width: int) -> Blank:
    """A tensor whose gradient is wanted, and stays with it; its own memory isn't metered."""
    made = Blank(Storage(meter, 0), sizes, width)  # it's there before, and after
    return leaf(made)


def leaf(made: Blank) -> Blank:
    """A tensor at which gradients are collected, before any other operation is undone."""
    made.node = Node((), ())
    made.node.leaf, made.node.number = made.alias(), LAST
    return made


def operation(made: Blank, inputs: Sequence[Blank], saved: Sequence[Blank | None], derive: Derive) -> Blank:
    """Note how a tensor was made, if a gradient flows to anything that it's made of. Returns: that tensor."""
    if any(x.node is not None for x in inputs):
        made.node = Node(inputs, saved, derive)
    return made


def operations(
    made: Sequence[Blank], inputs: Sequence[Blank], saved: Sequence[Blank | None], derive: Derive
) -> Sequence[Blank]:
    """The same for several results; `derive` is given all their gradients. Returns: the results."""
    if any(x.node is not None for x in inputs):
        whole = inputs[0].alias()
        whole.node = Node(inputs, saved, derive)
        whole.node.joins = True
        for each in made:
            each.node = Node([whole], (), lambda flows, g: [g.alias()])
            each.node.inputs = [(whole.node, each.sizes)]
    return made


def backward(loss: Blank) -> None:
    """A backward pass from one number; gradients of parameters stay with them.

    Of the operations whose gradient is complete, the one that ran last is undone first; parameters take theirs before.
    """
    loss.storage.meter.making = "gradients of volumes"
    first = loss.new()  # the caller's
    if loss.node is None:
        return
    missing = _arrivals(loss.node)
    ready, waiting = [(0, loss.node)], {loss.node: [first.alias()]}
    while ready:
        _, node = heapq.heappop(ready)
        if node.leaf is not None:
            _collect(node.leaf, waiting.pop(node))
            continue
        first.storage.meter.at = node.layer, True
        found = _undone(node, waiting.pop(node))
        for before, _ in node.inputs:
            gradient = found.pop(0)
            if before is None or gradient is None:
                continue
            arrived = waiting.setdefault(before, [])
            arrived.append(gradient)
            del gradient
            if len(arrived) > 1 and not before.joins:
                _sum(arrived)
            missing[before] -= 1
            if not missing[before]:
                heapq.heappush(ready, (-before.number, before))


def _arrivals(last: Node) -> Counter[Node]:
    """How many gradients arrive at each operation."""
    found, new = Counter[Node](), [last]
    while new:
        for before, _ in new.pop().inputs:
            if before is not None:
                if before not in found:
                    new.append(before)
                found[before] += 1
    return found


def _undone(node: Node, given: list[Blank]) -> list[Blank | None]:
    """The gradients of what an operation read, summed over what was broadcast.

    The gradient of its result is freed then, and after it what the operation saved.
    """
    assert node.derive is not None
    saved, node.saved = node.saved, ()
    flows = [before is not None for before, _ in node.inputs]
    found = list(node.derive(flows, given if node.joins else given[0], *saved))
    for place, (before, sizes) in enumerate(node.inputs):
        gradient = found[place]
        if before is None:
            found[place] = None
        elif gradient is not None and gradient.sizes != sizes:
            found[place] = gradient.new(sizes)
        gradient = None
    given.clear()
    while saved:
        if saved[0] is not None:
            saved[0].storage.savers -= 1
        saved = saved[1:]
    return found


def _sum(gradients: list[Blank]) -> None:
    """Of two gradients of one tensor, the one that came first takes the sum up, unless others see it."""
    if gradients[0].base is not None or not gradients[0].is_alone:
        gradients.append(gradients[0].new())
        del gradients[0]
        gradients.reverse()
    del gradients[1:]


def _collect(leaf: Blank, gradients: list[Blank]) -> None:
    """A parameter takes its gradient over, unless others see it, or its values are in another order."""
    gradient = gradients.pop()
    strides = zip(leaf.sizes, leaf.strides, gradient.strides, strict=True)
    is_alike = all(size == 1 or own == other for size, own, other in strides)
    leaf.grad = gradient if is_alike and gradient.storage.users == 1 else gradient.new()
    leaf.grad.storage.name = "gradients"
