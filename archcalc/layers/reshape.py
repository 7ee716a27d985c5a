"""Rearranging: the same values, some of them, or zeros added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import (
    Axis,
    BlockOrder,
    Channels,
    Count,
    Extent,
    Index,
    Padding,
    Tensor,
    pads_per_axis,
    per_axis,
)
from archcalc.layers.base import Layer, Sentences, layer, spatial_axes
from archcalc.layers.reads import (
    Factors,
    Groups,
    Only,
    Part,
    Reads,
    Relation,
    Repeated,
    Shuffled,
    Spaced,
    factored,
    over,
    regrouped,
)
from archcalc.layers.sliding import Sliding
from archcalc.shape import AXES, SPATIAL, Shape, TransposedWindow, Window
from archcalc.symbolic import Dim, differ, exceeds, floor_div, is_symbolic, known, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


class View(Layer):
    """The values stay where they are in memory: no new volume."""

    in_place = True
    linear = True

    def is_view(self, *inputs: Shape, training: bool = True) -> bool:
        return True

    def changes_nothing(self, *inputs: Shape) -> bool:
        return self.output_shape(*inputs) == inputs[0]

    def program(self, at: Sheet, x: Blank, *others: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.view(x, at.sizes())


@layer("identity")
class Identity(View):
    """What enters. Shapes: any, unchanged."""

    also = ("skip", "noop", "passthrough")

    def program(self, at: Sheet, x: Blank) -> Blank:
        return x

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        return nn.Identity()

    def expression(self, names: Sequence[str], y: Shape) -> str:
        return names[0]


class Rearranged(View):
    """A view of values that lie side by side."""

    def needs_dense(self, x: Shape) -> bool:
        return True


class Scattered(View):
    """A view of some of the values, or in another order of the axes: they don't lie side by side."""

    is_scattered = True

    def program(self, at: Sheet, x: Blank, *others: Blank) -> Blank:
        """A view, and a copy of it where readers want values side by side."""
        from archcalc.paper import operations as op

        seen = self.seen(at, x)
        return op.copied(seen) if at.copies or self.copy else seen

    def seen(self, at: Sheet, x: Blank) -> Blank:
        """The view: a part, unless the kind says otherwise."""
        from archcalc.paper import operations as op

        return op.cut(x, at.sizes())


@layer("flatten")
class Flatten(Rearranged):
    """All axes but R become one vector of features. Shapes: (C, H, W) → (C·H·W); (R, C, H, W) → (R, C·H·W).

    >>> Flatten().output_shape(Shape(C=512, H=7, W=7))
    Shape(C=25088)
    """

    also = ("ravel",)

    def output_shape(self, x: Shape) -> Shape:
        regions = {axis: x[axis] for axis in ("R",) if axis in x}
        return Shape(**regions, C=x.without("R").numel)

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [regrouped(x, self.output_shape(x))]

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        if tuple(x) == ("R",):  # each region is one number: the axis of the features is new
            return tm.Reshape([*map(known, self.output_shape(x).values())])
        return nn.Flatten(2 if "R" in x else 1)


def given_axes(kind: Layer) -> Shape:
    """The volume whose sizes are given axis by axis.

    Raises: ShapeError: there are none.
    """
    sizes = {axis: getattr(kind, axis) for axis in AXES}
    result = Shape(**{axis: size for axis, size in sizes.items() if size is not None})
    if not result:
        raise ShapeError("needs at least one axis", code="E211", hint=f"write '{kind.kind} C=64 H=4 W=4'")
    return result


@layer("reshape")
class Reshape(Rearranged):
    """The same values under new axes, in the order R, T, C, D, H, W. Shapes: any → the axes that are given."""

    also = ("view",)

    C: Dim | None = None
    D: Dim | None = None
    H: Dim | None = None
    W: Dim | None = None
    T: Dim | None = None
    R: Dim | None = None

    remark_code = "W407"

    def remarks(self, x: Shape) -> Iterable[str]:
        """Tokens with several features don't become places by this, though the sizes may suggest it."""
        y = self.output_shape(x)
        (found,) = self.reads(x)
        if "T" in x and y.spatial and any("C" in mine and "T" in mine and x["C"] != 1 for mine, _ in found.groups):
            return (
                "mixes the tokens' features with places: a token lies side by side in memory; grid puts it in a place",
            )
        return ()

    def output_shape(self, x: Shape) -> Shape:
        result = given_axes(self)
        if differ(result.numel, x.numel):
            raise ShapeError(f"{result} has {result.numel} values, the input {x} has {x.numel}", code="E208")
        return result

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [regrouped(x, self.output_shape(x))]

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Reshape([*map(known, self.output_shape(x).values())])


@layer("tokens")
class Tokens(Scattered):
    """Every spatial position becomes a token. Shapes: (C, H, W) → (T=H·W, C). Source: Dosovitskiy et al. 2021."""

    also = ("to_sequence",)

    copy: bool = False

    is_turned = True

    def needs_dense(self, x: Shape) -> bool:
        return True

    def output_shape(self, x: Shape) -> Shape:
        axes = spatial_axes(x)
        if "T" in x:
            raise ShapeError(f"the input has tokens already; it is {x}", code="E210")
        _ = x.C  # raises if there are no features
        return x.without(*axes).with_(T=prod(x[axis] for axis in axes))

    def reads(self, x: Shape) -> Sequence[Reads]:
        regions = ((("R",), ("R",)),) if "R" in x else ()
        return [Reads(groups=(*regions, (x.spatial, ("T",)), (("C",), ("C",))))]

    def seen(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        first = len(x.sizes) - len(at.shapes[0].spatial)
        flat = op.view(x, (*x.sizes[:first], known(prod(x.sizes[first:]))))
        return op.turned(flat, (*range(first - 1), first, first - 1))

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Tokens(len(x.spatial), self.copy)


@layer("grid")
class Grid(Scattered):
    """The inverse of `tokens`: every token becomes a spatial position. Shapes: (T=H·W, C) → (C, H, W).

    The sizes are given, `grid H=14 W=14`, or another tensor's, `grid like=@path`. `reshape` would keep the order of the
    values in memory, and mix channels with places.

    >>> Grid(H=14, W=14).output_shape(Shape(T=196, C=768))
    Shape(C=768, H=14, W=14)
    """

    also = ("to_image",)

    like: Tensor | None = None
    D: Dim | None = None
    H: Dim | None = None
    W: Dim | None = None
    copy: bool = False

    sizes_only = (1,)
    is_turned = True

    def output_shape(self, x: Shape, like: Shape | None = None) -> Shape:
        given = {axis: size for axis in SPATIAL if (size := getattr(self, axis)) is not None}
        if "T" not in x or "C" not in x or x.spatial:
            raise ShapeError(f"needs tokens with features (T, C); the input is {x}", code="E210")
        if (like is None) == (not given):
            raise ShapeError(
                "needs either sizes or like", code="E211", hint="write 'grid H=14 W=14' or 'grid like=@path'"
            )
        sizes = given if like is None else {axis: like[axis] for axis in spatial_axes(like)}
        if differ(prod(sizes.values()), x["T"]):
            places = "x".join(map(str, sizes.values()))
            more = not is_symbolic(x["T"]) and prod(sizes.values()) + 1 == x["T"]
            hint = "there is one token more than places: a class token has none" if more else ""
            raise ShapeError(f"{places} places for T={x['T']} tokens", code="E208", hint=hint)
        return x.without("T").with_(**sizes)

    def reads(self, x: Shape, like: Shape | None = None) -> Sequence[Reads | None]:
        regions = ((("R",), ("R",)),) if "R" in x else ()
        grid = Reads(groups=(*regions, (("C",), ("C",)), (("T",), self.output_shape(x, like).spatial)))
        return [grid] if like is None else [grid, None]

    def seen(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        last = len(x.sizes) - 1
        return op.view(op.turned(x, (*range(last - 1), last, last - 1)), at.sizes())

    def torch_module(self, x: Shape, like: Shape | None = None) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        y = self.output_shape(x, like)
        return tm.Grid([known(y[axis]) for axis in y.spatial], self.copy)


@layer("select")
class Select(Scattered):
    """One token of many; a negative index counts from the end. Shapes: (T, C) → (C)."""

    index: Index
    copy: bool = False

    takes_all = False

    def output_shape(self, x: Shape) -> Shape:
        if "T" not in x:
            raise ShapeError(f"the input has no axis T; it is {x}", code="E210")
        if exceeds(self.index + 1, x["T"]) or exceeds(-self.index, x["T"]):
            raise ShapeError(f"there is no token {self.index} among {x['T']}", code="E208")
        return x.without("T")

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [over("T", Only(self.index % x["T"]))]

    def seen(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.taken(x, 1 + tuple(at.shapes[0]).index("T"))

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Select(tuple(x).index("T") + 1, known(self.index), self.copy)


@layer("crop")
class Crop(Scattered, Sliding):
    """The centre of the spatial axes, as large as another tensor or a given size; of two centres, the lower.

    Shapes: x (C, H, W), output (C, h, w). Source: Ronneberger et al. 2015, figure 1.

    >>> Crop(size=56).output_shape(Shape(C=512, H=64, W=64))
    Shape(C=512, H=56, W=56)
    """

    like: Tensor | None = None
    size: Extent | None = None
    copy: bool = False

    sizes_only = (1,)
    takes_all = False

    def windows(self, x: Shape, like: Shape | None = None) -> Mapping[str, Window]:
        """Windows of one position, with negative padding."""
        found = {}
        for axis, target in self._targets(x, like).items():
            if exceeds(target, x[axis]):
                raise ShapeError(f"can't crop {axis}={x[axis]} to {target}", code="E208")
            before = floor_div(x[axis] - target, 2)
            found[axis] = Window(1, before=-before, after=target + before - x[axis])
        return found

    def follows_size(self) -> bool:
        return self.size is not None

    def _targets(self, x: Shape, like: Shape | None) -> Mapping[str, Dim]:
        axes = spatial_axes(x)
        if like is None and self.size is not None:
            return per_axis(self.size, axes, "size")
        if like is None or self.size is not None:
            raise ShapeError("needs either like or size", code="E211", hint="write 'crop like=@path' or 'crop size=56'")
        if like.spatial != axes:
            raise ShapeError(f"like is {like}, the input {x}: their spatial axes differ", code="E202")
        return {axis: like[axis] for axis in axes}

    def torch_module(self, x: Shape, like: Shape | None = None) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        cuts = self.windows(x, like)
        return tm.Crop([(known(-w.before), known(x[axis] + w.after)) for axis, w in cuts.items()], self.copy)


@layer("slice")
class Slice(Scattered, Sliding):
    """Every `stride`-th position along each spatial axis, from the first on: `x[:, :, ::2, ::2]`.

    Shapes: (C, H, W) → (C, ⌈H/s⌉, ⌈W/s⌉). Source: He et al. 2016, option A.

    >>> Slice(2).output_shape(Shape(C=64, H=56, W=55))
    Shape(C=64, H=28, W=28)
    """

    stride: Extent
    copy: bool = False

    takes_all = False

    def windows(self, x: Shape) -> Mapping[str, Window]:
        """Windows of one position."""
        steps = per_axis(self.stride, spatial_axes(x), "stride")
        return {axis: Window(1, stride=step) for axis, step in steps.items()}

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Slice([known(w.stride) for w in self.windows(x).values()], self.copy)


class OneAxis(Scattered):
    """Some positions along one axis; which, `window` says."""

    axis: Axis
    copy: bool = False

    takes_all = False

    @property
    def is_turned(self) -> bool:
        return self.axis in ("R", "T")  # they can't join the batch as they lie

    def window(self, x: Shape) -> Window:
        """A window of one position, which starts where the part does."""
        raise NotImplementedError(self.kind)

    def output_shape(self, x: Shape) -> Shape:
        if self.axis not in x:
            raise ShapeError(f"the input has no axis {self.axis}; it is {x}", code="E210")
        return x.with_(**{self.axis: self.window(x).positions(x[self.axis])})

    def windows(self, x: Shape) -> Mapping[str, Window]:
        return {self.axis: self.window(x)} if self.axis in SPATIAL else {}

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [over((self.axis,), self.window(x))]

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        window, size = self.window(x), known(x[self.axis])
        before, after = window.pads
        step = known(window.stride)
        return tm.Part(tuple(x).index(self.axis) + 1, -before, size + after, step, self.copy)


@layer("part")
class PartOfAxis(OneAxis):
    """The positions from `start` up to `stop`, that one left out, along one axis, or every `step`-th of them.

    Shapes: any; along the axis ⌈(stop - start)/step⌉.

    >>> PartOfAxis("C", 16).output_shape(Shape(C=64, H=7, W=7))
    Shape(C=48, H=7, W=7)
    """

    also = ("narrow", "slice_axis", "strided_slice", "getitem")

    axis: Axis
    start: Count = 0
    stop: Dim | None = None
    step: Dim = 1
    copy: bool = False

    def window(self, x: Shape) -> Window:
        size = x[self.axis]
        stop = size if self.stop is None else self.stop
        if exceeds(stop, size) or exceeds(self.start + 1, stop):
            raise ShapeError(f"there is no part of {self.axis}={size} from {self.start} to {stop}", code="E208")
        return Window(1, stride=self.step, before=-self.start, after=stop - size)

    def follows_size(self) -> bool:
        return self.stop is not None


@layer("chunk")
class Chunk(OneAxis):
    """One of `parts` equal parts of an axis; a negative index counts from the end. Source: torch.chunk.

    >>> Chunk(4, -1).output_shape(Shape(C=64, H=7, W=7))
    Shape(C=16, H=7, W=7)
    """

    also = ("split", "tensor_split")

    parts: Dim
    index: Index
    axis: Axis = "C"
    copy: bool = False

    def window(self, x: Shape) -> Window:
        size = x[self.axis]
        if differ(size % self.parts, 0):
            raise ShapeError(f"{self.axis}={size} is not divisible by parts={self.parts}", code="E205")
        if exceeds(self.index + 1, self.parts) or exceeds(-self.index, self.parts):
            raise ShapeError(f"there is no part {self.index} among {self.parts}", code="E208")
        length = floor_div(size, self.parts)
        start = self.index % self.parts * length
        return Window(1, before=-start, after=start + length - size)

    def follows_size(self) -> bool:
        return True


@layer("transpose")
class Transpose(Scattered):
    """What lay along one axis lies along another, and the reverse; an axis that isn't there gives nothing back.

    Shapes: (T, C) → (T=C, C=T); (T, C, H, W) → (C, D=T, H, W). Source: Tolstikhin et al. 2021 (MLP-Mixer), equation 1.

    >>> Transpose("T", "C").output_shape(Shape(T=196, C=768))
    Shape(T=768, C=196)
    """

    also = ("permute", "swapaxes", "swap_axes", "movedim")

    axis: Axis
    other: Axis
    copy: bool = False

    is_turned = True
    takes_turned = True

    def changes_nothing(self, x: Shape) -> bool:
        return False

    def output_shape(self, x: Shape) -> Shape:
        if self.axis == self.other:
            raise ShapeError(f"axis and other are both {self.axis}", code="E211")
        if self.axis not in x and self.other not in x:
            raise ShapeError(f"the input has neither axis {self.axis} nor {self.other}; it is {x}", code="E210")
        return Shape(**{self._origin(axis): size for axis, size in x.items()})

    def _origin(self, axis: str) -> str:
        """Which axis of the input an axis of the output is."""
        return {self.axis: self.other, self.other: self.axis}.get(axis, axis)

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [Reads(groups=tuple(((self._origin(axis),), (axis,)) for axis in self.output_shape(x)))]

    def seen(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.turned(x, (0, *self._places(*at.shapes)))

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Permute(self._places(x), self.copy)

    def _places(self, x: Shape) -> Sequence[int]:
        """Where in the input, counted from the batch, the axes of the output are."""
        return [tuple(x).index(self._origin(axis)) + 1 for axis in self.output_shape(x)]


class Blocks(Layer):
    """Blocks of positions against channels: which end has the positions, the kind says."""

    over_batch = True

    factor: Extent
    order: BlockOrder

    linear = True

    def needs_dense(self, x: Shape) -> bool:
        return True

    def sides(self, x: Shape) -> Mapping[str, Dim]:
        """A block's sides, one per spatial axis."""
        return per_axis(self.factor, spatial_axes(x), "factor")

    def joint(self, few: Shape, wide: Shape) -> tuple[Factors, Factors]:
        """The factors of the channels of `few` positions, and of the positions of a `wide` volume.

        A position in a block is named by the small letters of its axes.
        """
        sides = self.sides(wide)
        inside = {axis.lower(): side for axis, side in sides.items()}
        places = {axis: {axis: few[axis], axis.lower(): side} for axis, side in sides.items()}
        if self.order == "chw":
            return {"C": {"C": wide.C, **inside}}, places
        rows = inside if self.order == "hwc" else dict(reversed(inside.items()))
        return {"C": {**rows, "C": wide.C}}, places

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        sides = [*map(known, self.sides(x).values())]
        if self._has_kernel(x):
            return tm.over_batch(x, getattr(nn, type(self).__name__)(sides[0]))
        return tm.over_batch(x, getattr(tm, type(self).__name__)(sides, self._parts(len(sides))))

    def _parts(self, rank: int) -> list[int]:
        """What numbers the channels of blocks: 0, the channel of a place; 1 to `rank`, the place along each axis."""
        places = [*range(1, 1 + rank)]
        return [0, *places] if self.order == "chw" else [*places, 0] if self.order == "hwc" else [*places[::-1], 0]

    def _has_kernel(self, x: Shape) -> bool:
        """Whether PyTorch has it, as one operation."""
        sides = [*map(known, self.sides(x).values())]
        return len(sides) == 2 and sides[0] == sides[1] and self.order == "chw"


@layer("pixel_shuffle")
class PixelShuffle(Blocks):
    """Channels become blocks of positions. Shapes: (C·r², H, W) → (C, H·r, W·r). Source: Shi et al. 2016.

    Which channels make a block, `order` says: those that lie together (`chw`, as PyTorch has it), or as many for each
    of its places, row after row (`hwc`: TensorFlow, ONNX) or column after column (`whc`: Swin, YOLO's Focus).

    >>> PixelShuffle(2).output_shape(Shape(C=64, H=7, W=7))
    Shape(C=16, H=14, W=14)
    """

    also = ("depth_to_space", "sub_pixel", "subpixel")

    factor: Extent
    order: BlockOrder = "chw"

    def output_shape(self, x: Shape) -> Shape:
        sides = self.sides(x)
        block = prod(sides.values())
        if differ(x.C % block, 0):
            raise ShapeError(f"{x.C} channels are not divisible by the {block} positions of a block", code="E205")
        return x.with_(C=floor_div(x.C, block), **{axis: x[axis] * side for axis, side in sides.items()})

    def windows(self, x: Shape) -> Mapping[str, Window]:
        return {axis: TransposedWindow(side, side) for axis, side in self.sides(x).items()}

    def reads(self, x: Shape) -> Sequence[Reads]:
        y = self.output_shape(x)
        factors = self.joint(x, y)
        groups = tuple(((name,), (name,)) for name in factored(y, factors[1]))
        block = prod(self.sides(x).values())
        channels = Groups(1, block) if self.order == "chw" else Spaced(block)
        return [Reads({**self.windows(x), "C": channels}, groups, factors=factors)]

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        if self._has_kernel(*at.shapes):
            return super().program(at, x)
        rank, sides = len(at.output.spatial), [*map(known, self.sides(*at.shapes).values())]
        parts = self._parts(rank)
        inside = [(x.sizes[1] // known(prod(sides)), *sides)[part] for part in parts]
        places = [1 + parts.index(part) for part in range(rank + 1)]
        pairs = [place for axis in range(rank) for place in (2 + rank + axis, places[1 + axis])]
        return op.rearranged(x, (x.sizes[0], *inside, *x.sizes[2:]), (0, places[0], *pairs), at.sizes())


@layer("pixel_unshuffle")
class PixelUnshuffle(Blocks):
    """Blocks of positions become channels. Shapes: (C, H·r, W·r) → (C·r², H, W). Source: Shi et al. 2016, inverted.

    In which `order`, `pixel_shuffle` says.

    >>> PixelUnshuffle(2).output_shape(Shape(C=3, H=224, W=224))
    Shape(C=12, H=112, W=112)
    """

    also = ("space_to_depth", "focus", "patch_merging", "reorg")

    factor: Extent
    order: BlockOrder = "chw"

    def output_shape(self, x: Shape) -> Shape:
        sides = self.sides(x)
        for axis, side in sides.items():
            if differ(x[axis] % side, 0):
                raise ShapeError(f"{axis}={x[axis]} is not divisible by factor={side}", code="E205")
        places = {axis: floor_div(x[axis], side) for axis, side in sides.items()}
        return x.with_(C=x.C * prod(sides.values()), **places)

    def windows(self, x: Shape) -> Mapping[str, Window]:
        return {axis: Window(side, stride=side) for axis, side in self.sides(x).items()}

    def reads(self, x: Shape) -> Sequence[Reads]:
        y = self.output_shape(x)
        channels, places = self.joint(y, x)
        groups = tuple(((name,), (name,)) for name in factored(y, channels))
        size = prod(self.sides(x).values())
        block = Groups(size, 1) if self.order == "chw" else Repeated(x.C, size)
        return [Reads({**self.windows(x), "C": block}, groups, factors=(places, channels))]

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        if self._has_kernel(*at.shapes):
            return super().program(at, x)
        rank, sides = len(at.output.spatial), [*map(known, self.sides(*at.shapes).values())]
        pairs = [each for size, side in zip(x.sizes[2:], sides, strict=True) for each in (size // side, side)]
        inside = [1 + 2 * part for part in self._parts(rank)]
        return op.rearranged(x, (*x.sizes[:2], *pairs), (0, *inside, *range(2, 2 + 2 * rank, 2)), at.sizes())


@layer("param")
class LearnedVolume(Layer):
    """A learned volume that depends on no input, the same for each example. Shapes: any → the axes that are given.

    Of what enters it only the size of the batch is read. Source: Karras et al. 2019, figure 1; Carion et al. 2020.

    >>> LearnedVolume(T=100, C=256).params(Shape(C=3, H=800, W=800))
    25600
    """

    also = ("parameter", "constant", "const", "learned", "query_embed")

    C: Dim | None = None
    D: Dim | None = None
    H: Dim | None = None
    W: Dim | None = None
    T: Dim | None = None
    R: Dim | None = None

    by_position = True
    linear = True
    sizes_only = (0,)
    sentences = Sentences(weights="every value of the volume is learned")

    def output_shape(self, x: Shape) -> Shape:
        return given_axes(self)

    def weight_shape(self, x: Shape) -> tuple[Dim, ...]:
        """The volume's axes in order."""
        return tuple(self.output_shape(x).values())

    def weights(self, x: Shape) -> Dim:
        return self.output_shape(x).numel

    def gates(self, x: Shape) -> tuple[int, ...]:
        return (0,)  # no path leads through it

    def reads(self, x: Shape) -> Sequence[Reads | None]:
        return [None]

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Learned([*map(known, self.output_shape(x).values())])


@layer("zeropad")
class ZeroPad(Sliding):
    """Zeros around the spatial axes, and zero channels appended until there are `out_channels`.

    Shapes: (C, H, W) → (out_channels, H + 2p, W + 2p). Source: He et al. 2016, option A.
    """

    also = ("pad", "padding", "zero_padding")

    out_channels: Channels | None = None
    padding: Padding = 0

    linear = True

    def windows(self, x: Shape) -> Mapping[str, Window]:
        """Windows of one position, with padding."""
        if self.padding in ("half", "same"):
            raise ShapeError(f"padding={self.padding} needs a kernel", code="E211", hint="write numbers")
        if self.padding == 0 or (not x.spatial and self._pads_nothing()):
            return {}
        pads = pads_per_axis(self.padding, dict.fromkeys(spatial_axes(x), 1))
        return {axis: Window(1, before=before, after=after) for axis, (before, after) in pads.items()}

    def _pads_nothing(self) -> bool:
        """Whether every amount may be 0; of symbols that is assumed, since a volume without places takes no others."""
        return not any(differ(amount, 0) for pair in pads_per_axis(self.padding, {"W": 1}).values() for amount in pair)

    def mixes(self, x: Shape) -> Relation:
        return Part(0)

    def output_shape(self, x: Shape) -> Shape:
        channels = x.C if self.out_channels is None else self.out_channels
        if exceeds(x.C, channels):
            raise ShapeError(f"out_channels={channels} is less than the input's {x.C}", code="E208")
        return super().output_shape(x).with_(C=channels)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        windows = self.windows(x)
        spatial = [windows[axis].pads if windows else (0, 0) for axis in x.spatial]
        return tm.Pad([(0, known(self.output_shape(x).C - x.C)), *spatial])


@layer("channel_shuffle")
class ChannelShuffle(Layer):
    """Channel i of group g goes to place i·groups + g. Shapes: any with C, unchanged. Source: Zhang et al. 2018."""

    over_batch = True

    also = ("shuffle",)

    groups: Dim

    linear = True

    def output_shape(self, x: Shape) -> Shape:
        if differ(x.C % self.groups, 0):
            raise ShapeError(f"{x.C} channels are not divisible by groups={self.groups}", code="E205")
        return x

    def mixes(self, x: Shape) -> Relation:
        return Shuffled(self.groups)

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        groups = known(self.groups)
        factors = (x.sizes[0], groups, x.sizes[1] // groups, *x.sizes[2:])
        return op.rearranged(x, factors, (0, 2, 1, *range(3, len(factors))), x.sizes)

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        return tm.over_batch(
            x, nn.Unflatten(1, (known(self.groups), known(x.C // self.groups))), tm.Swap(), nn.Flatten(1, 2)
        )
