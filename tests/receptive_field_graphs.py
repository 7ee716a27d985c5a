"""Random layer graphs for the tests of receptive fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from archcalc.errors import ShapeError
from archcalc.graph import Application, Graph, Input, Node
from archcalc.layers import Layer
from archcalc.shape import Shape
from tests.layer_cases import make

Draw = Callable[..., Any]
small, stride, amount = st.integers(1, 3), st.integers(1, 2), st.integers(0, 2)


def sides(rank: int, values: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """One value for all axes, or one for each."""
    return values | st.tuples(*[values] * rank)


def paddings(rank: int) -> st.SearchStrategy[Any]:
    """Padding in every form that a spec can give it."""
    pairs = st.lists(st.tuples(amount, amount), min_size=rank, max_size=rank).map(tuple)
    return sides(rank, amount) | pairs | st.sampled_from(["half", "same"])


@st.composite
def layers(draw: Draw, rank: int) -> Layer:
    """One layer that keeps the two channels."""
    kind = draw(st.sampled_from(["conv", "conv", "conv", "dwconv", "maxpool", "avgpool", "tconv", "upsample", "relu",
                                 "bn", "crop", "zeropad", "unpool", "global", "adaptive", "resize", "windows"]))  # fmt: skip
    kernel, step, padding = draw(sides(rank, small)), draw(sides(rank, stride)), draw(paddings(rank))
    window: dict[str, Any] = {"kernel_size": kernel, "stride": step, "padding": padding}
    if kind in ("conv", "dwconv", "tconv"):
        window["dilation"] = draw(sides(rank, st.integers(1, 3)))
        return make(kind, **window) if kind == "dwconv" else make(kind, 2, **window)
    if kind in ("maxpool", "avgpool"):
        window["ceil"] = draw(st.booleans())
        return make(kind, **window, **({"dilation": draw(stride)} if kind == "maxpool" else {}))
    if kind == "upsample":
        return make(kind, draw(sides(rank, small)), draw(st.sampled_from(["nearest", "bilinear"])))
    if kind == "unpool":
        return make(kind, **window)
    if kind == "resize":
        mode = draw(st.sampled_from(["nearest", "bilinear", "bicubic"][: 3 if rank == 2 else 2]))
        return make(
            kind, size=draw(sides(rank, st.integers(1, 12))), mode=mode,
            align_corners=mode != "nearest" and draw(st.booleans()),
        )  # fmt: skip
    if kind == "windows":
        size = draw(st.tuples(*[st.integers(1, 4)] * rank))
        if draw(st.integers(0, 2)) == 0:
            return make("window_attention", 1, size, grid=True)
        return make("window_attention", 1, size, shift=tuple(draw(st.integers(0, side - 1)) for side in size))
    if kind == "crop":
        return make(kind, size=draw(sides(rank, st.integers(2, 8))))
    if kind == "zeropad":
        return make(kind, padding=draw(paddings(rank).filter(lambda p: not isinstance(p, str))))
    if kind == "adaptive":
        return make(draw(st.sampled_from(["adaptive_avgpool", "adaptive_maxpool"])), draw(sides(rank, small)))
    return make({"global": "global_avgpool"}.get(kind, kind))


class Builder:
    """A graph that grows node by node; a layer that refuses its input is left out."""

    def __init__(self, draw: Draw, shape: Shape) -> None:
        self.draw, self.nodes = draw, [Node("input", Application(Input(), (), shape), ())]

    def put(self, layer: Layer, *inputs: int) -> int:
        """Add a node; the number of the main input, if the layer refuses or makes too large a volume."""
        shapes = tuple(self.nodes[i].shape for i in inputs)
        try:
            output = layer.output_shape(*shapes)
        except ShapeError:
            return inputs[0]
        if output.numel > 5000:
            return inputs[0]
        self.nodes.append(Node(f"n{len(self.nodes)}", Application(layer, shapes, output), inputs))
        return len(self.nodes) - 1

    def chain(self, start: int, most: int) -> int:
        """Some layers, one behind the other."""
        for _ in range(self.draw(st.integers(0, most))):
            start = self.put(self.draw(layers(len(self.nodes[start].shape.spatial))), start)
        return start

    def merge(self, start: int) -> int:
        """Two or three branches, cropped to the smallest, and joined again."""
        return self.joined([self.chain(start, 3) for _ in range(self.draw(st.integers(2, 3)))])

    def joined(self, ends: list[int]) -> int:
        """Branches cropped to the smallest, and joined; as a gate the last one is seen through its mean."""
        kind = self.draw(
            st.sampled_from(["add", "add", "mul", "concat", "concat", "grouped", "along", "gate", "stretched"])
        )
        if kind == "gate":
            ends = [ends[0], self.draw(st.sampled_from(ends))]
            return self.put(make("mul"), ends[0], self.put(make("global_avgpool"), ends[1]))
        axes = self.nodes[ends[0]].shape.spatial
        if kind == "stretched":
            axis = self.draw(st.sampled_from(("C", *axes)))
            part = make("part", axis, stop=1) if self.draw(st.booleans()) else make("flatten")
            layer = make(self.draw(st.sampled_from(["add", "mul"])), broadcast=True)
            return self.put(layer, ends[0], self.put(part, self.draw(st.sampled_from(ends))))
        least = tuple(min(self.nodes[end].shape[axis] for end in ends) for axis in axes)
        ends = [self.put(make("crop", size=least), end) for end in ends]
        if len({self.nodes[end].shape.C for end in ends}) > 1:
            kind = "concat"
        if kind == "along":
            return self.put(make("concat", axis=self.draw(st.sampled_from(axes))), *ends)
        if kind == "grouped":  # fewer channels leave than enter, and each sees some of the branches only
            return self.put(make("conv", 2, 1, groups=2), self.put(make("concat"), *ends))
        return self.put(make(kind), *ends)

    def detour(self, start: int) -> int:
        """What changes axes in the middle: gates, tokens, regions, reshapes, one position of many."""
        x = self.nodes[start].shape
        kinds = ["gate", "tokens", "regions", "reshape", "flatten", "whole", "small gate", "parts", "turned", "blocks"]
        kind = self.draw(st.sampled_from([*kinds, "divided"]))
        if kind == "gate":
            squeezed = self.put(make("global_avgpool"), self.chain(start, 1))
            return self.put(make("mul"), start, self.put(make("conv", x.C, 1), squeezed))
        if kind == "small gate":  # a convolution as large as the volume
            kernel = tuple(x[axis] for axis in x.spatial)
            return self.put(make("mul"), start, self.put(make("conv", x.C, kernel), start))
        if kind in ("parts", "turned", "blocks", "divided"):
            return getattr(self, kind)(start)  # type: ignore[no-any-return]
        if kind == "regions":
            start = self.put(make("reshape", R=2, **{**x, "C": x.C // 2}), start)
            start = self.chain(start, 1)
            shape = self.nodes[start].shape
            if shape.C != 1 or "R" not in shape:
                return start
            return self.put(make("reshape", C=2, **{axis: shape[axis] for axis in shape.spatial}), start)
        if kind == "reshape":
            total, axes = x.numel, x.spatial
            first = self.draw(st.sampled_from([n for n in range(1, total + 1) if total % n == 0 and n < 9]))
            rest = dict.fromkeys(axes[1:], 1)
            return self.put(make("reshape", **{"C": first, axes[0]: total // first, **rest}), start)
        if kind == "flatten":
            vector = self.put(make("flatten"), start)
            between = self.draw(st.sampled_from([make("fc", x.numel), make("relu"), make("ln"), make("groupnorm", 1)]))
            return self.put(make("reshape", **x), self.put(between, vector))
        if kind == "whole":
            mixing = [make("groupnorm", x.C), make("channel_shuffle", 2), make("ln"), make("lrn", 2)]
            return self.put(self.draw(st.sampled_from(mixing)), start)
        return self.tokens(start)

    def parts(self, start: int) -> int:
        """Some of the channels of two branches, some of the places, and a learned summand."""
        ends = [self.chain(start, 2), self.chain(start, 2)]
        start = self.put(make("chunk", 2, self.draw(st.integers(0, 1))), self.joined(ends))
        axis = self.draw(st.sampled_from(self.nodes[start].shape.spatial))
        start = self.put(make("part", axis, self.draw(amount), step=self.draw(small)), start)
        if self.draw(st.booleans()):
            start = self.put(make("add"), start, self.put(make("param", **self.nodes[start].shape), start))
        return start if self.nodes[start].shape.C == 2 else self.put(make("dwconv", 1), start)

    def turned(self, start: int) -> int:
        """Two axes exchanged, and now and then back again."""
        axes = ["C", "T", *self.nodes[start].shape.spatial]
        one, other = self.draw(st.permutations(axes))[:2]
        found = self.put(make("transpose", one, other), start)
        if self.nodes[found].shape.spatial:
            found = self.put(self.draw(layers(len(self.nodes[found].shape.spatial))), found)
        return self.put(make("transpose", one, other), found)

    def blocks(self, start: int) -> int:
        """Places that become channels, or channels that become places, in blocks."""
        rank = len(self.nodes[start].shape.spatial)
        factor, order = self.draw(sides(rank, stride)), self.draw(st.sampled_from(["chw", "hwc", "whc"]))
        if self.draw(st.booleans()):
            found = self.put(make("pixel_unshuffle", factor, order), self.put(make("upsample", factor), start))
            return self.put(make("chunk", 2, 1), found) if self.draw(st.booleans()) else found
        found = self.put(make("concat"), *[self.chain(start, 1), start] * 2 ** (rank - 1))
        return self.put(make("pixel_shuffle", factor, order), found)

    def divided(self, start: int) -> int:
        """Windows of a map that is rolled on, attention or not, and back again."""
        x, grid = self.nodes[start].shape, self.draw(st.booleans())
        axis, shift = self.draw(st.sampled_from(x.spatial)), self.draw(amount)
        size = tuple(self.draw(st.sampled_from([n for n in range(1, 5) if x[a] % n == 0])) for a in x.spatial)
        found = self.put(make("windows", size, grid), self.put(make("roll", axis, -shift), start))
        found = self.put(self.draw(st.sampled_from([make("attention", 1), make("relu"), make("ln")])), found)
        found = self.put(make("unwindows", size, grid, **{a: x[a] for a in x.spatial}), found)
        return self.put(make("roll", axis, shift), found)

    def tokens(self, start: int) -> int:
        """Tokens, layers on them, and back to a grid of places."""
        x = self.nodes[start].shape
        found = self.put(make("tokens"), start)
        for _ in range(self.draw(st.integers(0, 2))):
            kind = self.draw(st.sampled_from(["fc", "attention", "causal", "cross", "add", "norm", "gru"]))
            before = found
            if kind == "fc":
                found = self.put(make("fc", 2), found)
            elif kind in ("attention", "causal"):
                found = self.put(make("attention", 1, causal=kind == "causal"), found)
            elif kind == "cross":
                found = self.put(make("attention", 1, kv="other"), found, self.put(make("tokens"), start))
            elif kind == "norm":
                found = self.put(make("groupnorm", 1), found)
            elif kind == "gru":
                found = self.put(make("gru", 2, reverse=self.draw(st.booleans())), found)
            if self.nodes[before].shape == self.nodes[found].shape:
                found = self.put(make("add"), before, found)
        if self.draw(st.integers(0, 3)) == 0:
            return self.put(make("reshape", **{**x, "C": self.nodes[found].shape.C}), found)
        return self.put(make("grid", **{axis: x[axis] for axis in x.spatial}), found)

    def tail(self, start: int) -> int:
        """Sometimes what makes other axes: tokens, attention, vectors."""
        kind = self.draw(st.sampled_from(["", "", "", "", "", "tokens", "flatten", "reshape", "norm"]))
        if kind == "tokens":
            start = self.put(make("tokens"), start)
            for layer in (make("cls_token"), make("attention", 1, causal=self.draw(st.booleans())), make("select", 1)):
                start = self.put(layer, start) if self.draw(st.booleans()) else start
        elif kind == "norm":
            norm = make("groupnorm", 1) if self.draw(st.booleans()) else make("instancenorm")
            start = self.put(norm, start)
        elif kind == "reshape":
            shape = self.nodes[start].shape
            start = self.put(make("reshape", C=shape.C, W=shape.without("C").numel), start)
        elif kind:
            start = self.put(make(kind), start)
        return start


@st.composite
def graphs(
    draw: Draw, largest: int = 9, merges: int = 2, tails: bool = True, detours: bool = False, several: bool = False
) -> Graph:
    """A graph with branches, on one to three axes of unequal sizes; with `several`, mostly of two inputs."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    sizes = draw(st.tuples(*[st.integers(3, largest if rank < 3 else 5)] * rank))
    builder = Builder(draw, Shape(C=2, **dict(zip("DHW"[-rank:], sizes, strict=True))))
    several = several and draw(st.integers(0, 2)) > 0
    if several:
        others = draw(st.just(sizes) | st.tuples(*[st.integers(2, largest if rank < 3 else 5)] * rank))
        shape = Shape(C=2, **dict(zip("DHW"[-rank:], others, strict=True)))
        builder.nodes.append(Node("second", Application(Input(), (), shape), ()))
    end = builder.chain(0, 3)
    if several:
        end = builder.chain(builder.joined([end, builder.chain(1, 3)]), 2)
    for _ in range(draw(st.integers(0, merges))):
        end = builder.chain(builder.merge(end), 2)
    if detours:
        end = builder.chain(builder.detour(end), 2)
    end = builder.tail(end) if tails else end
    names = {node.name: index for index, node in enumerate(builder.nodes)}
    return Graph.of("random", tuple(builder.nodes), {"out": end}, names)
