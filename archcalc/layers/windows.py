"""Windows of a map: attention within them; a map divided into windows, and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Amounts, Axis, Extent, Index, Number, Tensor, are_equal, per_axis
from archcalc.layers.attending import PROJECTIONS, Attending, Sizes
from archcalc.layers.base import Layer, Sentences, layer, spatial_axes
from archcalc.layers.kept import Extra, Kept, Moments, Width
from archcalc.layers.reads import Blocks, Everywhere, Factors, Reads, Relation, Rolled, Spaced, factored, over
from archcalc.shape import SPATIAL, Shape, unequal_axes
from archcalc.symbolic import Dim, ceil_div, differ, exceeds, floor_div, is_symbolic, known, prod, shared_out

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


def map_axes(x: Shape) -> tuple[str, ...]:
    """The spatial axes of a map without tokens."""
    axes = spatial_axes(x)
    if "T" in x:
        raise ShapeError(f"the input has tokens already; it is {x}", code="E210")
    _ = x.C  # raises if there are no features
    return axes


def counts(x: Shape, sides: Mapping[str, Dim], name: str) -> dict[str, Dim]:
    """How many windows of these sides lie along each axis.

    Raises: ShapeError: they don't fill it.
    """
    for axis, side in sides.items():
        if differ(x[axis] % side, 0):
            hint = "zeropad makes it so" if name == "size" else ""
            raise ShapeError(f"{axis}={x[axis]} is not divisible by {name}={side}", code="E205", hint=hint)
    return {axis: floor_div(x[axis], side) for axis, side in sides.items()}


@layer("window_attention")
class WindowAttention(Attending):
    """Attention within windows of a map: its places are tokens, and those of one window see each other.

    Shapes: (C, H, W) or any with spatial axes, unchanged. Where windows of this size don't fill the map, zeros at its
    far ends do; they are tokens as others. With `shift` windows start so many places further on, and what lies before
    the first and after the last is a window of its own, all within the same number of windows, the rest masked; an axis
    that one window holds isn't shifted. With `grid` so many places with equal gaps all over the map make a window.
    Numbers added to scores are, for each displacement, learned (`relative`), or made of it by two matrices with so many
    numbers between them (`continuous`), 16 times their sigmoid. `cosine` compares directions, times a learned factor
    for each head, at most 100.
    Source: Liu et al. 2021 (Swin), section 3.2; Liu et al. 2022 (Swin v2), section 3; Tu et al. 2022 (MaxViT).

    >>> WindowAttention(num_heads=3, size=7, relative=True).params(Shape(C=96, H=56, W=56))
    37755
    """

    also = (
        "shifted_window_attention", "w_msa", "sw_msa", "wmsa", "swmsa", "block_attention", "grid_attention",
        "local_attention",
    )  # fmt: skip

    num_heads: Dim
    size: Extent
    shift: Amounts = 0
    grid: bool = False
    bias: bool = True
    k_bias: bool | None = None
    scale: Number | None = None
    cosine: bool = False
    relative: bool = False
    continuous: Dim | None = None

    causal = False
    window = None
    alibi = False
    softcap = None
    sinks = False
    buckets = None

    family = "attention"
    weight_layer = True
    takes_turned = True
    sentences = Sentences(
        weights="four projections take C*C each; then what positions and heads have of their own",
        biases="one for each output of the projections that have them",
        macs="the four projections of every place, then both products over all pairs of places in a window",
    )

    def sides(self, x: Shape) -> dict[str, Dim]:
        """Of a window, how many places lie along each axis."""
        return per_axis(self.size, map_axes(x), "size")

    def shifts(self, x: Shape) -> dict[str, Dim]:
        """Where windows start along each axis."""
        return per_axis(self.shift, x.spatial, "shift")

    def places(self, x: Shape) -> dict[str, Dim]:
        """The sizes of the map that windows fill."""
        sides = self.sides(x)
        return {axis: x[axis] if self.grid else ceil_div(x[axis], side) * side for axis, side in sides.items()}

    def sizes(self, x: Shape) -> Sizes:
        """The numbers that all others follow from."""
        tokens, asking = prod(self.sides(x).values()), prod(self.places(x).values()) * x.get("R", 1)
        head = shared_out(x.C, self.num_heads)
        return Sizes(tokens, tokens, asking, asking, self.num_heads, self.num_heads, head, head)

    def output_shape(self, x: Shape) -> Shape:
        sides = self.sides(x)
        if differ(x.C % self.num_heads, 0):
            raise ShapeError(f"C={x.C} is not divisible by num_heads={self.num_heads}", code="E205")
        if self.grid:
            counts(x, sides, "grid")
        masked = self._is_masked()
        for axis, shift in self.shifts(x).items():
            if exceeds(shift + 1, sides[axis]):
                raise ShapeError(f"shift={shift} is not less than the {sides[axis]} places of a window", code="E208")
        given = {"shift": masked, "scale": self.scale is not None, "continuous": self.continuous is not None}
        for one, other in (("grid", "shift"), ("cosine", "scale"), ("relative", "continuous")):
            if getattr(self, one) and given[other]:
                raise ShapeError(f"takes either {one} or {other}", code="E211")
        return x

    def needs_dense(self, x: Shape) -> bool:
        return "R" in x  # which joins the batch

    @property
    def stepwise(self) -> bool:
        return bool(self.relative or self.continuous or self.cosine or self._is_masked())

    def _is_masked(self) -> bool:
        amounts = self.shift if isinstance(self.shift, tuple) else (self.shift,)
        return not all(are_equal(amount, 0, "windows are shifted") for amount in amounts)

    def displacements(self, x: Shape) -> Dim:
        """How many there are between the places of a window."""
        return prod(2 * side - 1 for side in self.sides(x).values())

    def weights(self, x: Shape) -> Dim:
        """The projections' matrices, the table of displacements or what makes it, and the heads' factors."""
        table = self.num_heads * self.displacements(x) if self.relative else 0
        made = 0 if self.continuous is None else self.continuous * (len(x.spatial) + self.num_heads)
        return 4 * x.C * x.C + table + made + (self.num_heads if self.cosine else 0)

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        has = (self.bias, self.bias if self.k_bias is None else self.k_bias, self.bias, self.bias)
        found: dict[str, tuple[Dim, ...]] = {}
        for name, biased in zip(PROJECTIONS, has, strict=True):
            found |= {f"{name}.weight": (x.C, x.C), **({f"{name}.bias": (x.C,)} if biased else {})}
        if self.relative:
            found["positions"] = (self.displacements(x), self.num_heads)
        if (inner := self.continuous) is not None:
            found |= {
                "first.weight": (inner, len(x.spatial)),
                "first.bias": (inner,),
                "second": (self.num_heads, inner),
            }
        return {**found, **({"factors": (self.num_heads,)} if self.cosine else {})}

    def biases(self, x: Shape) -> Dim:
        keys = self.bias if self.k_bias is None else self.k_bias
        return x.C * (3 * self.bias + keys) + (0 if self.continuous is None else self.continuous)

    def macs(self, x: Shape) -> Dim:
        """The four projections, both products over all pairs in a window, and what makes numbers of displacements."""
        sizes = self.sizes(x)
        return sizes.asking * 4 * x.C * x.C + self.products(sizes) + self.macs_of_batch(x)

    def attention_macs(self, x: Shape) -> Dim:
        return self.products(self.sizes(x))

    def macs_of_batch(self, x: Shape) -> Dim:
        """Two matrices make numbers of displacements, whatever the examples are."""
        if self.continuous is None:
            return 0
        return self.displacements(x) * self.continuous * (len(x.spatial) + self.num_heads)

    def reads(self, x: Shape) -> Sequence[Reads]:
        """The places of the window, and all their features."""
        shifts = self.shifts(x)
        along = {axis: self._along(side, shifts[axis], x[axis]) for axis, side in self.sides(x).items()}
        return [Reads({"C": Everywhere(), **along})]

    def _along(self, side: Dim, shift: Dim, size: Dim) -> Relation:
        if self.grid:
            return Everywhere() if side == size else Spaced(side)
        one_window = not (is_symbolic(side) or is_symbolic(size)) and side >= size
        return Everywhere() if one_window else Blocks(side, shift)

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The windows, their queries, keys and values, as products need them, what is made of scores, and the rest."""
        sizes = self.sizes(x)
        if not self.stepwise:
            volumes = 2 * sizes.q + sizes.k + sizes.v + sizes.mixed
            return Kept(extras=(Extra(volumes), *self.kept_by_kernel(sizes)))
        products = sizes.q + sizes.k + sizes.v + self._probabilities(sizes)
        extras = [Extra(sizes.q + products + sizes.mixed), *self._kept_of_displacements(x, sizes)]
        if self.cosine:  # what is divided, lengths, and lengths that may divide; scores before they are multiplied
            extras.append(Extra(2 * sizes.q + 4 * sizes.asking * sizes.heads + sizes.scores))
            extras.append(Extra(sizes.heads, per_example=False))
        if self._is_masked():
            extras.append(self._parts(sizes, x)[1])
        return Kept(extras=tuple(extras))

    def _kept_of_displacements(self, x: Shape, sizes: Sizes) -> Iterator[Extra]:
        """Places in the table, and what it's made of."""
        if self.relative or self.continuous:
            yield Extra(sizes.pairs, Width.index, per_example=False)
        if self.continuous is not None:
            numbers = self.displacements(x) * (len(x.spatial) + self.continuous + sizes.heads)
            yield Extra(numbers, per_example=False)

    def _parts(self, sizes: Sizes, x: Shape) -> tuple[Extra, Extra]:
        """To which part of its window a place belongs, and which pairs don't see each other."""
        windows = prod(floor_div(size, self.sides(x)[axis]) for axis, size in self.places(x).items())
        labels = Extra(windows * sizes.keys, Width.index, per_example=False)
        return labels, Extra(windows * sizes.pairs, Width.mask, per_example=False)

    def working(self, x: Shape) -> Moments:
        """The windows' queries, keys and values, what they make, and its projection."""
        sizes = self.sizes(x)
        held = Extra(sizes.q + sizes.k + sizes.v)
        inside = tuple(self._steps_of(sizes, x)) if self.stepwise else self.working_inside(sizes)
        return (*((held, *moment) for moment in inside), (held, Extra(2 * sizes.mixed)))

    def _steps_of(self, sizes: Sizes, x: Shape) -> Iterator[tuple[Extra, ...]]:
        volume, rows, scores = sizes.q, sizes.asking * sizes.heads, sizes.scores
        if self.cosine:
            yield (Extra(3 * volume + rows),)
            yield (Extra(2 * scores), Extra(sizes.heads, per_example=False))
        yield (Extra(2 * volume + scores),)
        yield (Extra(2 * scores),)
        yield from self._steps_of_displacements(sizes, x)
        if self._is_masked():
            labels, mask = self._parts(sizes, x)
            yield Extra(scores), labels, mask
            yield Extra(2 * scores), mask
        yield (Extra(scores + volume + sizes.mixed),)
        yield (Extra(scores + 2 * sizes.mixed),)

    def _steps_of_displacements(self, sizes: Sizes, x: Shape) -> Iterator[tuple[Extra, ...]]:
        scores, places = Extra(sizes.scores), Extra(sizes.pairs, Width.index, per_example=False)
        count, heads = self.displacements(x), sizes.heads
        table = Extra(sizes.pairs * heads, per_example=False)
        if self.continuous is not None:
            yield scores, Extra(count * (len(x.spatial) + self.continuous + heads), per_example=False)
            yield scores, Extra(count * heads * 2, per_example=False)
            yield scores, Extra(count * heads, per_example=False), places, table
        if self.relative:
            yield scores, places, table
        if self.relative or self.continuous:
            yield Extra(2 * sizes.scores), table

    def program(self, at: Sheet, x: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm
        from archcalc.layers import torch_windows

        heads, sides = known(self.num_heads), [*map(known, self.sides(x).values())]
        places = [*map(known, self.places(x).values())]
        keys = self.bias if self.k_bias is None else self.k_bias
        shifts = [known(shift) for shift in self.shifts(x).values()] if self._is_masked() else None
        module = torch_windows.WindowAttention(
            known(x.C),
            [known(x[axis]) for axis in x.spatial],
            places,
            sides,
            shifts,
            self.grid,
            heads,
            (self.bias, keys),
            self._core(heads, known(x.C) // heads, places, sides, shifts),
        )
        return tm.Folded(module, 1) if "R" in x else module

    def _core(
        self, heads: int, head: int, places: Sequence[int], sides: Sequence[int], shifts: Sequence[int] | None
    ) -> nn.Module:
        from archcalc.layers import torch_tokens, torch_windows

        if not self.stepwise:
            return self.core(heads, head)
        positions: nn.Module | None = None
        if self.relative:
            positions = torch_tokens.Displacements(sides, heads)
        elif self.continuous is not None:
            positions = torch_windows.Continuous(sides, heads, known(self.continuous))
        factor = head**-0.5 if self.scale is None else float(self.scale)
        return torch_windows.WithinWindows(heads, None if self.cosine else factor, positions, places, sides, shifts)


class Division(Layer):
    """A map and its windows: which is the input, the kind says."""

    size: Extent
    grid: bool

    linear = True

    def needs_dense(self, x: Shape) -> bool:
        return True

    def sides(self, x: Shape) -> dict[str, Dim]:
        """Of a window, how many places lie along each axis of the map."""
        return per_axis(self.size, spatial_axes(x), "size")

    def windows_of(self, x: Shape) -> Shape:
        """The windows of a map: regions whose places are tokens."""
        sides = self.sides(x)
        return Shape(R=prod(counts(x, sides, "size").values()), T=prod(sides.values()), C=x.C)

    def joint(self, x: Shape) -> tuple[Factors, Factors]:
        """The factors of a map's places, and of its regions and tokens.

        Which window it is along an axis is named as the axis, the place in a window by the axis' small letter.
        """
        sides = self.sides(x)
        windows, places = counts(x, sides, "size"), {axis.lower(): side for axis, side in sides.items()}
        factors: dict[str, Mapping[str, Dim]] = {}
        for axis, side in sides.items():
            pair = {axis: windows[axis], axis.lower(): side}
            factors[axis] = dict(reversed(pair.items())) if self.grid else pair
        return factors, {"R": windows, "T": places}


@layer("windows")
class Windows(Division):
    """A map divided into windows: regions whose places are tokens. Shapes: (C, H, W) → (R=windows, T=places, C).

    With `grid` the places of a window lie all over the map, with equal gaps.
    Source: Liu et al. 2021 (Swin), section 3.2; Tu et al. 2022 (MaxViT), section 3.2.

    >>> Windows(7).output_shape(Shape(C=96, H=56, W=56))
    Shape(R=64, T=49, C=96)
    """

    also = ("window_partition", "unfold_windows", "block_partition", "grid_partition")

    size: Extent
    grid: bool = False

    def output_shape(self, x: Shape) -> Shape:
        map_axes(x)
        if "R" in x:
            raise ShapeError(f"the input has regions already; it is {x}", code="E210")
        return self.windows_of(x)

    def reads(self, x: Shape) -> Sequence[Reads]:
        mine, yours = self.joint(x)
        groups = tuple(((name,), (name,)) for name in factored(self.output_shape(x), yours))
        return [Reads(groups=groups, factors=(mine, yours))]

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        sides, factors = self.sides(*at.shapes).values(), list[int]()
        for size, side in zip(x.sizes[2:], map(known, sides), strict=True):
            factors += [side, size // side] if self.grid else [size // side, side]
        one, other = range(2, 2 + len(factors), 2), range(3, 3 + len(factors), 2)
        order = (0, *other, *one, 1) if self.grid else (0, *one, *other, 1)
        return op.rearranged(x, (*x.sizes[:2], *factors), order, at.sizes())

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_windows

        return torch_windows.Windows([*map(known, self.sides(x).values())], self.grid)


@layer("unwindows")
class Unwindows(Division):
    """The inverse of `windows`: the map that was divided, of given sizes or those of another tensor.

    Shapes: (R=windows, T=places, C) → (C, H, W).

    >>> Unwindows(7, H=56, W=56).output_shape(Shape(R=64, T=49, C=96))
    Shape(C=96, H=56, W=56)
    """

    also = ("window_reverse", "window_merge", "merge_windows", "window_unpartition", "unpartition")

    size: Extent
    grid: bool = False
    like: Tensor | None = None
    D: Dim | None = None
    H: Dim | None = None
    W: Dim | None = None

    sizes_only = (1,)

    def output_shape(self, x: Shape, like: Shape | None = None) -> Shape:
        given = {axis: size for axis in SPATIAL if (size := getattr(self, axis)) is not None}
        if not {"R", "T", "C"} <= {*x} or x.spatial:
            raise ShapeError(f"needs regions of tokens with features (R, T, C); the input is {x}", code="E210")
        if (like is None) == (not given):
            hint = f"write 'unwindows {self.text().partition(' ')[2]} like=@path'"
            raise ShapeError("needs either sizes or like", code="E211", hint=hint)
        y = Shape(C=x.C, **(given if like is None else {axis: like[axis] for axis in spatial_axes(like)}))
        windows = self.windows_of(y)
        if unequal := unequal_axes(windows, x, ["R", "T"]):
            axis = unequal[0]
            what = "windows" if axis == "R" else "places"
            raise ShapeError(f"{windows[axis]} {what} for {axis}={x[axis]}", code="E208")
        return y

    def reads(self, x: Shape, like: Shape | None = None) -> Sequence[Reads | None]:
        y = self.output_shape(x, like)
        yours, mine = self.joint(y)
        groups = tuple(((name,), (name,)) for name in factored(y, yours))
        found = Reads(groups=groups, factors=(mine, yours))
        return [found] if like is None else [found, None]

    def program(self, at: Sheet, x: Blank, *like: Blank) -> Blank:
        from archcalc.paper import operations as op

        sides = [*map(known, self.sides(at.output).values())]
        counts = [size // side for size, side in zip(at.sizes()[2:], sides, strict=True)]
        windows, tokens = range(1, 1 + len(sides)), range(1 + len(sides), 1 + 2 * len(sides))
        pairs = zip(tokens, windows, strict=True) if self.grid else zip(windows, tokens, strict=True)
        order = (0, 1 + 2 * len(sides), *(place for pair in pairs for place in pair))
        return op.rearranged(x, (x.sizes[0], *counts, *sides, x.sizes[-1]), order, at.sizes())

    def torch_module(self, x: Shape, like: Shape | None = None) -> nn.Module:
        from archcalc.layers import torch_windows

        y = self.output_shape(x, like)
        places, sides = [known(y[axis]) for axis in y.spatial], [*map(known, self.sides(y).values())]
        return torch_windows.Unwindows(places, sides, self.grid)


@layer("roll")
class Roll(Layer):
    """All positions along an axis move on by `shift`, or back; what leaves at one end enters at the other.

    Shapes: any, unchanged. Source: torch.roll; Liu et al. 2021 (Swin), section 3.2.
    """

    also = ("cyclic_shift", "circular_shift")

    axis: Axis
    shift: Index

    linear = True

    def needs_dense(self, x: Shape) -> bool:
        return True

    def output_shape(self, x: Shape) -> Shape:
        if self.axis not in x:
            raise ShapeError(f"the input has no axis {self.axis}; it is {x}", code="E210")
        return x

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [over((self.axis,), Rolled(self.shift))]

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_windows

        return torch_windows.Roll(tuple(x).index(self.axis) + 1, known(self.shift))
