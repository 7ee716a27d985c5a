"""Layers that compare the whole feature vector with learned or fixed ones, and the lookup of such vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Channels, Tie, WeightNorm
from archcalc.layers.base import Layer, Sentences, layer
from archcalc.layers.kept import INPUT, Extra, Kept, Moments, Width
from archcalc.layers.reads import Everywhere, Relation
from archcalc.shape import Shape
from archcalc.symbolic import Dim, known, prod

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


class OverFeatures(Layer):
    """Every output feature reads all features (C) of one token or region; there are no spatial axes."""

    out_features: Channels

    def output_shape(self, x: Shape) -> Shape:
        if x.spatial:
            plural = "axes" if len(x.spatial) > 1 else "axis"
            raise ShapeError(
                f"input has spatial {plural} {', '.join(x.spatial)}",
                code="E209",
                hint=f"write 'flatten -> {self.kind} ...' (one vector of {x.without('R').numel})",
            )
        _ = x.C  # raises if there are no features
        return x.with_(C=self.out_features)

    def mixes(self, x: Shape) -> Relation:
        return Everywhere()


@layer("fc")
class FullyConnected(OverFeatures):
    """Matrix product over C, the same for every token and region. Shapes: (C), (T, C) or (R, C); C → out_features.

    Source: torch.nn.Linear.

    >>> FullyConnected(4096).params(Shape(C=25088))
    102764544
    """

    also = ("linear", "dense", "fully_connected")

    out_features: Channels
    bias: bool = True
    tie: Tie | None = None
    weight_norm: WeightNorm = "none"

    weight_layer = True
    linear = True
    sentences = Sentences(
        weights="each of the {C_out} outputs has a weight for each of the {C_in} inputs",
        biases="one for each output",
        macs="every weight is used once (for each token or region, if there are several)",
    )

    def output_shape(self, x: Shape) -> Shape:
        if self._is_normed() and (self.tie or self.weight_norm == "tap"):
            wrong = "doesn't go with tie" if self.tie else "is for convolutions; write weight_norm=filter"
            raise ShapeError(f"weight_norm={self.weight_norm} {wrong}", code="E211")
        return super().output_shape(x)

    def sentence(self, quantity: str, x: Shape) -> str:
        more = "; a learned length for each output" if quantity == "weights" and self._is_normed() else ""
        return super().sentence(quantity, x) + more

    def needs_dense(self, x: Shape) -> bool:
        return len(x) > 1  # other axes join the batch first

    def _is_normed(self) -> bool:
        return self.weight_norm != "none"

    def weight_shape(self, x: Shape) -> tuple[Dim, ...]:
        """(out, in)."""
        return () if self._is_normed() else (self.out_features, x.C)  # what has lengths apart can't be shared

    def weight_factors(self, x: Shape) -> tuple[Dim, ...]:
        return self.weight_shape(x)[::-1]

    def weights(self, x: Shape) -> Dim:
        lengths = self.out_features if self._is_normed() else 0
        return 0 if self.tie else self.out_features * x.C + lengths

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        found = super().tensors(x)
        if self._is_normed():
            return {**found, "weight": (self.out_features, x.C), "length": (self.out_features,)}
        return found

    def biases(self, x: Shape) -> Dim:
        return self.out_features if self.bias else 0

    def macs(self, x: Shape) -> Dim:
        return self.output_shape(x).numel * x.C

    def connections(self, x: Shape) -> Dim:
        return self.macs(x) + (self.output_shape(x).numel if self.bias else 0)

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input; with `weight_norm` the lengths that it had, and, for the input's gradient, the weight."""
        return Kept((0,), extras=self._normed(x)[0 if needs[0] else 1 :])

    def working(self, x: Shape) -> Moments:
        made = (Extra(self.output_shape(x).numel),)
        return (self._normed(x), (*made, self._normed(x)[0])) if self._is_normed() else (made,)

    def _normed(self, x: Shape) -> tuple[Extra, ...]:
        if not self._is_normed():
            return ()
        weight = Extra(self.out_features * x.C, per_example=False)
        return weight, Extra(self.out_features, Width.statistic, per_example=False)

    def program(self, at: Sheet, x: Blank) -> Blank:
        """The bias' gradient is summed after the matrices' products."""
        from archcalc.paper import operations as op

        weight = at.parameter(self.out_features, x.sizes[-1])
        if self._is_normed():
            weight = op.normed(weight, at.parameter(self.out_features))
        return op.linear(x, weight, at.parameter(self.out_features) if self.bias else None)

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        module = nn.Linear(known(x.C), known(self.out_features), bias=self.bias)
        return tm.WeightNorm(module) if self._is_normed() else module


@layer("rbf")
class RadialBasis(OverFeatures):
    """Squared Euclidean distance to fixed codes, one for each output; the codes are stored, not learned.

    Shapes: (C) → (out_features). Source: LeCun et al. 1998, section II.B, equation 7.

    >>> RadialBasis(10).connections(Shape(C=84))
    840
    """

    out_features: Channels

    uncounted = "squared distances"
    sentences = Sentences(buffers="fixed codes, one for each output")

    def buffers(self, x: Shape) -> Dim:
        return self.out_features * x.C

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        return {"codes": (self.out_features, x.C)}

    def connections(self, x: Shape) -> Dim:
        return self.output_shape(x).numel * x.C

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The differences, which are squared."""
        return Kept(extras=(Extra(self.output_shape(x).numel * x.C),))

    def working(self, x: Shape) -> Moments:
        """The differences and their squares."""
        return ((Extra(2 * self.output_shape(x).numel * x.C),),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        wide = (*x.sizes[:-1], known(self.out_features), x.sizes[-1])
        one = op.view(x, (*x.sizes[:-1], 1, x.sizes[-1]))
        return op.summed(op.raised(op.subtracted(one, wide)), wide[:-1])

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.RadialBasis(known(x.C), known(self.out_features))


@layer("embed")
class Embedding(Layer):
    """A learned vector for each token number, looked up. Shapes: (T) → (T, C=dim).

    Source: torch.nn.Embedding.

    >>> Embedding(50257, 768).params(Shape(T=1024))
    38597376
    """

    also = ("embedding",)

    num_embeddings: Dim
    dim: Channels
    tie: Tie | None = None

    is_table = True
    sizes_only = (0,)
    keeps = INPUT
    sentences = Sentences(weights="a vector of {C_out} numbers for each entry of the table")

    def output_shape(self, x: Shape) -> Shape:
        if "C" in x or x.spatial:
            raise ShapeError(f"takes token numbers, one for each T; the input is {x}", code="E210")
        return x.with_(C=self.dim)

    def weight_shape(self, x: Shape) -> tuple[Dim, ...]:
        """(num_embeddings, dim)."""
        return (self.num_embeddings, self.dim)

    def weights(self, x: Shape) -> Dim:
        return 0 if self.tie else prod(self.weight_shape(x))

    def vocabulary(self) -> Dim:
        return self.num_embeddings

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.looked_up(x, at.parameter(*self.weight_shape(*at.shapes)), at.sizes())

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        return nn.Embedding(known(self.num_embeddings), known(self.dim))
