"""A layer of which each expert of a mixture has one of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archcalc.errors import ShapeError
from archcalc.layers.arguments import ARGUMENT_TYPES
from archcalc.layers.base import Argument, Layer
from archcalc.layers.kept import Extra, Kept, Moments, Width
from archcalc.layers.reads import Reads, Relation
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, known

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


class PerExpert(Layer):
    """A layer of which each expert has one of its own: `inner`, with `experts` sets of weights.

    A token's copy goes through that of its expert, which the shares that enter second say, so that the arithmetic is
    that of one layer. It's no kind: `moe` makes it of any layer that learns something. What isn't said here is asked of
    the inner layer.
    """

    sizes_only = (1,)
    undrawn = (1,)

    def __init__(self, inner: Layer, experts: Dim, top: Dim) -> None:
        self.__dict__.update(inner=inner, experts=experts, top=top)

    inner: Layer
    experts: Dim
    top: Dim

    def given(self, **values: Any) -> PerExpert:
        own = {name: values.pop(name, getattr(self, name)) for name in ("experts", "top")}
        return PerExpert(self.inner.given(**values), **own)

    def arguments(self) -> Mapping[str, Argument]:
        """The inner layer's, then how many experts there are, and how many of them a token is sent to."""
        size = ARGUMENT_TYPES["Dim"]
        own = {
            "experts": Argument("experts", "experts", size, False, None),
            "top": Argument("top", "top", size, False, self.top),  # not worth telling
        }
        return {**self.inner.arguments(), **own}

    @property
    def sets(self) -> Dim:
        return self.experts

    @property
    def about(self) -> str:
        return f"{self.inner.about} Each of {self.experts} experts has one of its own."

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # while it's being unpickled
            raise AttributeError(name)
        return getattr(self.inner, name)  # its arguments

    def _values(self) -> tuple[Any, ...]:
        return self.inner, self.experts, self.top

    def __repr__(self) -> str:
        return f"PerExpert({self.inner!r}, {self.experts}, {self.top})"

    def text(self, rank: int = 1) -> str:
        return self.inner.text(rank)

    def output_shape(self, x: Shape, router: Shape) -> Shape:
        return self.inner.output_shape(x)

    def weight_shape(self, x: Shape, router: Shape) -> tuple[Dim, ...]:
        """The inner layer's, for each expert."""
        shape = self.inner.weight_shape(x)
        return (self.experts, *shape) if shape else ()

    def parameter_sizes(self, x: Shape, router: Shape) -> tuple[Dim, ...]:
        return self.experts, *self.inner.parameter_sizes(x)

    def weight_factors(self, x: Shape, router: Shape) -> tuple[Dim | tuple[Dim, ...], ...]:
        factors = self.inner.weight_factors(x)
        return (*factors, self.experts) if factors else ()

    def tensors(self, x: Shape, router: Shape) -> Mapping[str, tuple[Dim, ...]]:
        return {name: (self.experts, *sizes) for name, sizes in self.inner.tensors(x).items()}

    def weights(self, x: Shape, router: Shape) -> Dim:
        return self.experts * self.inner.weights(x)

    def biases(self, x: Shape, router: Shape) -> Dim:
        return self.experts * self.inner.biases(x)

    def buffers(self, x: Shape, router: Shape) -> Dim:
        return self.experts * self.inner.buffers(x)

    def active_params(self, x: Shape, router: Shape) -> Dim:
        return self.top * self.inner.params(x)

    def macs(self, x: Shape, router: Shape) -> Dim:
        return self.inner.macs(x)

    def connections(self, x: Shape, router: Shape) -> Dim:
        return self.inner.connections(x)

    def sentence(self, quantity: str, x: Shape, router: Shape) -> str:
        found = self.inner.sentence(quantity, x)
        if quantity == "macs":
            return f"{found}; each token is there once for each of its {self.top} experts" if found else ""
        return f"{found}, for each of {self.experts} experts" if found else ""

    def needs_dense(self, x: Shape) -> bool:
        return True

    def windows(self, x: Shape, router: Shape) -> Mapping[str, Window]:
        return self.inner.windows(x)

    def reads(self, x: Shape, router: Shape) -> Sequence[Reads | None]:
        return (*self.inner.reads(x), None)

    def mixes(self, x: Shape, router: Shape) -> Relation | None:
        return self.inner.mixes(x)

    def gates(self, x: Shape, router: Shape) -> tuple[int, ...]:
        return (1,)

    def remarks(self, x: Shape, router: Shape) -> Iterable[str]:
        return self.inner.remarks(x)

    def kept(self, needs: Sequence[bool], x: Shape, router: Shape) -> Kept:
        """What the inner layer keeps of each expert's tokens; what it makes is kept apart, and joined afterwards."""
        kept = self.inner.kept(needs[:1], x)
        apart = (Extra(self.output_shape(x, router).numel),) if kept.output else ()
        return Kept(kept.inputs, extras=(*kept.extras, *apart))

    def working(self, x: Shape, router: Shape) -> Moments:
        """The greatest shares and their places; what the inner layer makes, and all of that put together.

        What the inner layer needs meanwhile is most where all tokens are sent to the same experts.
        """
        made = self.output_shape(x, router).numel
        copies = x.T * x.get("R", 1)
        return ((Extra(copies), Extra(copies, Width.index)), *self.inner.working(x), (Extra(2 * made),))

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, router: Shape) -> nn.Module:
        from archcalc.layers import torch_experts

        alone = self.inner.torch_module(x.without("R"))  # one region: all tokens of an expert
        return torch_experts.Experts(known(self.top), known(self.experts), alone)


def _of_inner(name: str) -> property:
    return property(lambda self: getattr(self.inner, name))


for _name in (
    "kind", "takes_all", "takes_turned", "copy", "weight_layer", "remark_code", "uncounted", "keeps_the_least",
    "slides_name", "symbol", "normalises", "family",
):  # fmt: skip
    setattr(PerExpert, _name, _of_inner(_name))


def in_expert(inner: Layer, inputs: Sequence[Shape], experts: Dim, top: Dim) -> Layer:
    """A layer as experts have it: each one of its own, if it learns something.

    Raises: ShapeError: it doesn't act on tokens one by one.
    """
    if inner.by_position or any(map(_mixes_tokens, inner.reads(*inputs))):
        raise ShapeError("mixes tokens, or tells them apart by their places; an expert sees one at a time", code="E212")
    if inner.buffers(*inputs) != 0:
        raise ShapeError("has buffers; what each expert has is learned, from one token at a time", code="E212")
    if inner.params(*inputs) == 0:
        return inner
    if len(inputs) > 1 or "T" not in inner.output_shape(*inputs):
        raise ShapeError(
            "learns something, but not from each token by itself; an expert sees one at a time", code="E212"
        )
    return PerExpert(inner, experts, top)


def _mixes_tokens(reads: Reads | None) -> bool:
    if reads is None:
        return False
    moved = {axis for pair in reads.groups if pair[0] != pair[1] for axes in pair for axis in axes}
    return reads.all_of_it or "T" in reads.along or "T" in moved
