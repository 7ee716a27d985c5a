"""Operations on paper tensors: what each makes and saves, and what its backward pass makes.

`derive` says the latter, from which inputs want a gradient, the gradient of the result, and what was saved. Names that
are bound and not used hold memory as long as PyTorch's own variables do. Source: PyTorch's derivatives.yaml and
FunctionsManual.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from archcalc.paper.tensors import Blank, Sizes, operation, operations

Flows = Sequence[bool]
Gradients = Sequence[Blank | None]
STATISTIC = 4
"""The bytes of a mean or a sum, unless values are wider."""


def kernel(
    inputs: Sequence[Blank],
    sizes: Sizes,
    saved: Sequence[Blank] = (),
    saves_result: bool = False,
    extras: Sequence[tuple[int, int]] = (),
) -> Blank:
    """One kernel forward and one back, which makes all gradients that are wanted at once.

    `extras` are numbers that the forward one makes beside and saves: how many, of how many bytes each.
    """
    made = inputs[0].like() if sizes == inputs[0].sizes else inputs[0].new(sizes)
    more = [made.new((amount,), width) for amount, width in extras]
    shapes = [(x.sizes, x.width) for x in inputs]

    def derive(flows: Flows, g: Blank, *_: Blank) -> Gradients:
        return [g.new(*shape) if flow else None for flow, shape in zip(flows, shapes, strict=True)]

    return operation(made, inputs, [*saved, *([made] if saves_result else []), *more], derive)


# ---------------------------------------------------------------- views, and copies of them


def view(x: Blank, sizes: Sizes) -> Blank:
    """The same values in other sizes: a view, of a copy where strides don't allow one."""
    made, old = x.viewed(sizes), x.sizes
    if made is None:
        return view(copied(x), sizes)
    return operation(made, [x], [], lambda flows, g: [g.reshaped(old)])


def turned(x: Blank, order: Sequence[int]) -> Blank:
    """A view with its dimensions in another order."""
    back = sorted(range(len(order)), key=lambda place: order[place])
    return operation(_permuted(x, order), [x], [], lambda flows, g: [_permuted(g, back)])


def _permuted(x: Blank, order: Sequence[int]) -> Blank:
    return x.seen(tuple([x.sizes[place] for place in order]), tuple([x.strides[place] for place in order]))


def part(x: Blank, axis: int, size: int, step: int = 1) -> Blank:
    """A view of some positions along a dimension, whose gradient is written into zeros."""
    made, old = _narrow(x, axis, size, step), x.sizes
    return operation(made, [x], [], lambda flows, g: [g.new(old)])


def _narrow(x: Blank, axis: int, size: int, step: int = 1) -> Blank:
    strides = list(x.strides)
    strides[axis] *= step
    return x.seen((*x.sizes[:axis], size, *x.sizes[axis + 1 :]), tuple(strides))


def taken(x: Blank, axis: int) -> Blank:
    """A view of one position along a dimension, without that."""
    old = x.sizes
    made = x.seen(x.sizes[:axis] + x.sizes[axis + 1 :], x.strides[:axis] + x.strides[axis + 1 :])
    return operation(made, [x], [], lambda flows, g: [g.new(old)])


def cut(x: Blank, sizes: Sizes) -> Blank:
    """A view of a part, one dimension after the other."""
    for axis, size in enumerate(sizes):
        if x.sizes[axis] != size:
            x = part(x, axis, size)
    return x


def narrowed(x: Blank, sizes: Sizes) -> Blank:
    """The first positions along some dimensions, in memory of their own; the last dimension is cut first."""
    if x.sizes == sizes:
        return x
    for axis in range(len(sizes) - 1, -1, -1):
        x = x if x.sizes[axis] == sizes[axis] else part(x, axis, sizes[axis])
    return copied(x)


def halves(x: Blank, axis: int) -> tuple[Blank, Blank]:
    """Two views, whose gradients are joined."""
    whole, size = x.sizes, x.sizes[axis] // 2
    made = [_narrow(x, axis, size), _narrow(x, axis, size)]
    first, second = operations(made, [x], [], lambda flows, given: [given[0].new(whole)])
    return first, second


def spread(x: Blank, sizes: Sizes) -> Blank:
    """A view that repeats values, whose gradient is summed."""
    made = x.seen(sizes, (0,) * len(sizes))
    return operation(made, [x], [], lambda flows, g: [g.alias()])


def folded(x: Blank) -> Blank:
    """Regions join the batch."""
    return view(x, (x.sizes[0] * x.sizes[1], *x.sizes[2:]))


def copied(x: Blank) -> Blank:
    """The same values, in order in memory of their own."""
    return operation(x.new(), [x], [], lambda flows, g: [g.alias()])


def rearranged(x: Blank, factors: Sizes, order: Sequence[int], sizes: Sizes) -> Blank:
    """Dimensions divided into factors, in another order, in memory of their own; seen in other sizes."""
    return view(copied(turned(view(x, factors), order)), sizes)


def repeated(x: Blank, sizes: Sizes) -> Blank:
    """Copies of the same values, whose gradients are summed."""
    old = x.sizes
    return operation(x.new(sizes), [x], [], lambda flows, g: [g.new(old)])


def resized(x: Blank, sizes: Sizes) -> Blank:
    """Padded or cut, in memory of its own."""
    return kernel([x], sizes)


def joined(parts: Sequence[Blank], axis: int) -> Blank:
    """Along one dimension; the parts' gradients are views of the whole one's."""
    lengths = [x.sizes[axis] for x in parts]
    made = parts[0].new((*parts[0].sizes[:axis], sum(lengths), *parts[0].sizes[axis + 1 :]))

    def derive(flows: Flows, g: Blank) -> Gradients:
        return [_narrow(g, axis, length) if flow else None for flow, length in zip(flows, lengths, strict=True)]

    return operation(made, parts, [], derive)


# ---------------------------------------------------------------- value by value


def added(a: Blank, b: Blank) -> Blank:
    """Broadcast; both have the result's own gradient."""
    return operation(_both(a, b), [a, b], [], lambda flows, g: [g.alias() if flow else None for flow in flows])


def product(a: Blank, b: Blank) -> Blank:
    """Broadcast: each factor is saved for the other one's gradient."""
    saved = [a if b.needs_grad else None, b if a.needs_grad else None]

    def derive(flows: Flows, g: Blank, *_: Blank | None) -> Gradients:
        return [g.like() if flow else None for flow in flows]

    return operation(_both(a, b), [a, b], saved, derive)


def quotient(a: Blank, b: Blank) -> Blank:
    """Broadcast; the divisor's gradient, -g·(a/b)/b, comes first, in four steps."""

    def derive(flows: Flows, g: Blank, *_: Blank | None) -> Gradients:
        of_b = None
        if flows[1]:
            steps = [g.like(), g.like(), g.like()]
            of_b = g.like()
            steps.clear()
        return [g.like() if flows[0] else None, of_b]

    return operation(_both(a, b), [a, b], [a if b.needs_grad else None, b], derive)


def _both(a: Blank, b: Blank) -> Blank:
    """What two tensors make together, in the order of the one that isn't broadcast."""
    rank = max(len(a.sizes), len(b.sizes))
    one, other = ((1,) * (rank - len(x.sizes)) + x.sizes for x in (a, b))
    sizes = tuple([n if m == 1 else m for m, n in zip(one, other, strict=True)])
    return a.like() if sizes == a.sizes else b.like() if sizes == b.sizes else a.new(sizes)


def one_by_one(join: Callable[[Blank, Blank], Blank], inputs: Sequence[Blank]) -> Blank:
    """Two inputs joined, then the result with the next one; a single one is copied."""
    if len(inputs) == 1:
        return copied(inputs[0])
    found = join(inputs[0], inputs[1])
    for each in inputs[2:]:
        found = join(found, each)
    return found


def scaled(x: Blank) -> Blank:
    """Times a number."""
    return operation(x.like(), [x], [], lambda flows, g: [g.like()])


def shifted(x: Blank) -> Blank:
    """Plus a number, or a constant of no more values."""
    return operation(x.like(), [x], [], lambda flows, g: [g.alias()])


def subtracted(x: Blank, sizes: Sizes) -> Blank:
    """Less a constant, to whose sizes it's broadcast."""
    return operation(x.new(sizes), [x], [], lambda flows, g: [g.alias()])


def raised(x: Blank) -> Blank:
    """To a power: its derivative is a power as well, times the exponent."""

    def derive(flows: Flows, g: Blank, _: Blank) -> Gradients:
        lower = g.like()
        factor = lower.like()
        return [factor.like()]

    return operation(x.like(), [x], [x], derive)


def absolute(x: Blank) -> Blank:
    """Its derivative is the sign."""

    def derive(flows: Flows, g: Blank, _: Blank) -> Gradients:
        sign = g.like()
        return [sign.like()]

    return operation(x.like(), [x], [x], derive)


def no_less(x: Blank) -> Blank:
    """Than a number: the gradient is masked, with zeros elsewhere."""

    def derive(flows: Flows, g: Blank, _: Blank) -> Gradients:
        zero, mask = g.new((1,)), g.like(width=1)
        return [g.like()]

    return operation(x.like(), [x], [x], derive)


def from_result(x: Blank) -> Blank:
    """An activation that is undone from its result."""
    return kernel([x], x.sizes, saves_result=True)


def from_input(x: Blank) -> Blank:
    """An activation that is undone from its input."""
    return kernel([x], x.sizes, [x])


def overwritten(x: Blank, from_result: bool) -> Blank:
    """An activation in its input's memory, undone from the result, or else from a copy that is made before.

    In a view, it's the whole tensor that changes: its gradient is copied, with a part made anew.
    """
    if x.node is None:
        return x.alias()
    saved, made, base = x if from_result else x.like(), x.alias(), x.base
    if base is None or base[0] is None:
        return operation(made, [x], [saved], lambda flows, g, _: [g.like()])

    def derive(flows: Flows, g: Blank, _: Blank) -> Gradients:
        whole, seen = g.new(), g.like()
        changed = seen.like()
        return [whole]

    whole = operation(x.alias(), [x], [saved], derive)
    assert whole.node is not None
    whole.node.inputs = [base]
    made = operation(made, [whole], [], lambda flows, g: [g.new(base[1])])
    made.base = whole.node, base[1]
    return made


def bent(x: Blank, slopes: Blank) -> Blank:
    """By learned slopes: both gradients are made, wanted or not, that of the slopes for each value."""
    return operation(x.like(), [x, slopes], [x, slopes], lambda flows, g, *_: [g.like(), g.like()])


# ---------------------------------------------------------------- over dimensions


def summed(x: Blank, sizes: Sizes) -> Blank:
    """Over some dimensions; the gradient is a view that repeats values."""
    old = x.sizes
    return operation(x.new(sizes), [x], [], lambda flows, g: [g.seen(old, (0,) * len(old))])


def length(x: Blank, sizes: Sizes) -> Blank:
    """The Euclidean one, along a dimension."""
    made = x.new(sizes)

    def derive(flows: Flows, g: Blank, x: Blank, made: Blank) -> Gradients:
        unit, mask = x.like(), g.like(width=1)
        return [unit.like()]

    return operation(made, [x], [x, made], derive)


def normalised(x: Blank, own: Sequence[Blank]) -> Blank:
    """Over the last dimension, by deviation and, with two parameters, mean: these are saved."""
    rows = prod(x.sizes[:-1])
    return kernel([x, *own], x.sizes, [x, *own[:1]], extras=[(rows * len(own), max(x.width, STATISTIC))])


def normalised_apart(x: Blank, own: Sequence[Blank], groups: int) -> Blank:
    """By mean and deviation of each group; of the factors and summands each group has a copy."""
    copies = [repeated(each, (groups,)) for each in own]
    made = kernel([x, *copies], x.sizes, [x, *copies[:1]], extras=[(groups, max(x.width, STATISTIC))] * 2)
    return view(made, x.sizes)  # it was one example, of as many channels as there are groups


def fixed_scale(x: Blank, channels: int, affine: bool) -> Blank:
    """Times a factor for each channel, plus a summand, both made of what is stored."""
    factor = x.new((channels,)).new()
    factor = factor.new() if affine else factor
    summand = factor.new().new()
    made, old = x.new(), x.sizes

    def derive(flows: Flows, g: Blank, factor: Blank) -> Gradients:
        value = factor.new()
        return [value.new(old)]

    return operation(made, [x], [factor], derive)


# ---------------------------------------------------------------- by matrices and tables


def linear(x: Blank, weight: Blank, bias: Blank | None = None) -> Blank:
    """Over the last dimension, by a matrix of (outputs, inputs); all other dimensions are one meanwhile."""
    if len(x.sizes) == 2:
        return _linear(x, weight, bias)
    outer = x.sizes[:-1]
    made = _linear(view(x, (prod(outer), x.sizes[-1])), weight, bias)
    found = view(made, (*outer, weight.sizes[0]))
    if bias is None:
        found.base = None  # that product hands its result out as its own
    return found


def _linear(x: Blank, weight: Blank, bias: Blank | None) -> Blank:
    """Of two dimensions. The bias' gradient is summed afterwards; that of the matrix is a view, made the other way."""
    made, old, matrix = x.new((x.sizes[0], weight.sizes[0])), x.sizes, weight.sizes

    def derive(flows: Flows, g: Blank, *_: Blank | None) -> Gradients:
        of_x, of_weight = (g.new(sizes) if flow else None for flow, sizes in zip(flows, (old, matrix), strict=False))
        of_weight = None if of_weight is None else of_weight.reshaped(matrix)
        return [of_x, of_weight, *([g.alias()] if len(flows) > 2 else [])]

    inputs = [x, weight] if bias is None else [x, weight, bias]
    return operation(made, inputs, [x if weight.needs_grad else None, weight if x.needs_grad else None], derive)


def matrices(a: Blank, b: Blank) -> Blank:
    """A product of two matrices for each example, whose gradients are products as well."""
    saved = [a if b.needs_grad else None, b if a.needs_grad else None]
    shapes = a.sizes, b.sizes

    def derive(flows: Flows, g: Blank, *_: Blank | None) -> Gradients:
        return [g.new(shape).reshaped(shape) if flow else None for flow, shape in zip(flows, shapes, strict=True)]

    return operation(a.new((*a.sizes[:-1], b.sizes[-1])), [a, b], saved, derive)


def convolved(x: Blank, weight: Blank, bias: Blank | None, sizes: Sizes) -> Blank:
    """By kernels; input and weight are saved."""
    return kernel([x, weight] if bias is None else [x, weight, bias], sizes, [x, weight])


def normed(weight: Blank, lengths: Blank) -> Blank:
    """A weight of parts with learned lengths; the lengths that they had are saved."""
    extras = [(lengths.numel, max(weight.width, STATISTIC))]
    return kernel([weight, lengths], weight.sizes, [weight, lengths], extras=extras)


def gathered(x: Blank, sizes: Sizes, count: int) -> Blank:
    """The channels at so many places, which are saved."""
    places = x.new((count,), 8)
    return kernel([x], sizes, [places])


def spread_sums(x: Blank, sizes: Sizes, count: int) -> Blank:
    """Channels added to zeros at so many places, which are saved."""
    zeros, places = x.new(sizes), x.new((count,), 8)
    return kernel([x], sizes, [x, places])


def looked_up(tokens: Blank, table: Blank, sizes: Sizes) -> Blank:
    """A vector of a table for each token."""
    own = table.sizes
    return operation(table.new(sizes), [table], [tokens], lambda flows, g, _: [g.new(own)])


# ---------------------------------------------------------------- attention


def attended(q: Blank, k: Blank, v: Blank, sums: int, mask: Blank | None) -> Blank:
    """One kernel's attention, over (N, T, heads, size), which makes all gradients, wanted or not.

    It saves what it reads and makes, and so many logarithms of sums.
    """
    made, totals = q.new((*q.sizes[:3], v.sizes[3])), q.new((sums,), max(q.width, STATISTIC))
    shapes = [x.sizes for x in (q, k, v)]
    derive = lambda flows, g, *_: [g.new(shape) for shape in shapes]  # noqa: E731
    return operation(made, [q, k, v], [q, k, v, made, totals, mask], derive)


def angles(like: Blank, positions: int, size: int) -> tuple[Blank, Blank]:
    """Cosines and sines for the numbers of a head at each position."""
    powers = like.new((size // 2,)).new()
    places = like.new((positions,))
    steps = [powers.new().new().new()]
    table = like.new((positions, size // 2))
    steps.clear()
    table = like.new((positions, size))
    return table.new((positions, 1, size)), table.new((positions, 1, size))


def rotated(x: Blank, cos: Blank, sin: Blank, interleaved: bool) -> Blank:
    """The first numbers of each head turned by angles, in pairs; the others as they are."""
    size, others, last = cos.sizes[-1], x.sizes[-1] - cos.sizes[-1], len(x.sizes) - 1
    rest, turned = (part(x, last, others), part(x, last, size)) if others else (None, x)
    first, second = (part(turned, last, size // 2, 2) for _ in range(2)) if interleaved else halves(turned, last)
    turned = added(product(turned, cos), product(joined([scaled(second), first], last), sin))
    return turned if rest is None else joined([turned, rest], last)


def scores(q: Blank, k: Blank) -> Blank:
    """Products of queries with keys, both (N, heads, T, size)."""
    n, heads, queries, size = q.sizes
    keys = turned(view(k, (n * heads, *k.sizes[2:])), (0, 2, 1))
    return view(matrices(view(q, (n * heads, queries, size)), keys), (n, heads, queries, keys.sizes[2]))


def weighed(shares: Blank, v: Blank) -> Blank:
    """Sums of values, by each query's shares."""
    n, heads, queries, keys = shares.sizes
    rows = view(shares, (n * heads, queries, keys))
    return view(matrices(rows, view(v, (n * heads, *v.sizes[2:]))), (n, heads, queries, v.sizes[3]))


# ---------------------------------------------------------------- the end


def loss(outputs: Sequence[Blank]) -> Blank:
    """One number, whose backward pass makes the gradients of all outputs, and nothing else."""
    shapes = [(x.sizes, x.width) for x in outputs]

    def derive(flows: Flows, g: Blank) -> Gradients:
        return [g.new(*shape) if flow else None for flow, shape in zip(flows, shapes, strict=True)]

    return operation(outputs[0].new((1,)), outputs, [], derive)
