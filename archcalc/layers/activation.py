"""Activations and dropout: value by value (softmax: vector by vector), in place, on any shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Approximation, Number
from archcalc.layers.base import Layer, Sentences, layer
from archcalc.layers.kept import INPUT, NOTHING, OUTPUT, Extra, Kept, Width
from archcalc.layers.reads import Everywhere, Relation
from archcalc.shape import Shape
from archcalc.symbolic import Dim, none_equal

if TYPE_CHECKING:
    from torch import nn


class Activation(Layer):
    """Any shape, unchanged and computed in place. PyTorch's class has the same name and the same arguments."""

    in_place = True
    keeps = INPUT
    uncounted = "elementwise"

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        module: nn.Module = getattr(nn, type(self).__name__)(*self._torch_arguments(x))
        return module

    def _torch_arguments(self, x: Shape) -> Iterable[Any]:
        return (float(value) if isinstance(value, Fraction) else value for value in self._values())


class Overwriting(Activation):
    """An activation that plain code computes in its input's memory.

    Its derivative is taken from the result, or else from a copy of the input, which autograd makes before.
    """

    from_result: ClassVar[bool] = False

    def has_inplace(self) -> bool:
        return True

    def kept_in_place(self, x: Shape) -> Kept:
        return OUTPUT if self.from_result else Kept(extras=(Extra(x.numel),))


@layer("relu")
class ReLU(Overwriting):
    """max(0, x). Source: Nair & Hinton 2010."""

    keeps = OUTPUT
    from_result = True
    uncounted = "comparisons"


@layer("relu6")
class ReLU6(Overwriting):
    """min(max(0, x), 6). Source: Howard et al. 2017."""

    uncounted = "comparisons"


@layer("leaky")
class LeakyReLU(Overwriting):
    """x where it is positive, slope·x elsewhere. Source: Maas et al. 2013."""

    also = ("leaky_relu", "lrelu")

    slope: Number = Fraction(1, 100)

    from_result = True

    def has_inplace(self) -> bool:
        return self.slope >= 0  # else the result doesn't tell which values were positive


@layer("prelu")
class PReLU(Activation):
    """Leaky ReLU whose slope is learned: one for all channels, or one for each. Source: He et al. 2015."""

    also = ("parametric_relu",)

    num_parameters: Dim = 1

    sentences = Sentences(weights="a learned slope for each channel")

    def sentence(self, quantity: str, *inputs: Shape) -> str:
        shared = quantity == "weights" and self.num_parameters == 1
        return "one learned slope for all channels" if shared else super().sentence(quantity, *inputs)

    def output_shape(self, x: Shape) -> Shape:
        if none_equal((self.num_parameters, 1), (self.num_parameters, x.C)):
            raise ShapeError(f"num_parameters={self.num_parameters} is neither 1 nor C={x.C}", code="E211")
        return x

    def weights(self, x: Shape) -> Dim:
        return self.num_parameters

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.over_batch(x, super().torch_module(x))


@layer("elu")
class ELU(Overwriting):
    """x where it is positive, alpha·(eˣ - 1) elsewhere. Source: Clevert et al. 2016."""

    alpha: Number = 1

    from_result = True

    def has_inplace(self) -> bool:
        return self.alpha >= 0  # as for LeakyReLU


@layer("gelu")
class GELU(Activation):
    """x·Φ(x), Φ the normal distribution function; `tanh` approximates it. Source: Hendrycks & Gimpel 2016."""

    approximate: Approximation = "none"


@layer("silu")
class SiLU(Overwriting):
    """x·sigmoid(x), also known as swish. Source: Elfwing et al. 2018."""

    also = ("swish",)


@layer("hardswish")
class Hardswish(Overwriting):
    """x·min(max(0, x + 3), 6)/6. Source: Howard et al. 2019."""

    also = ("hswish", "h_swish")


@layer("hardsigmoid")
class Hardsigmoid(Activation):
    """min(max(0, x + 3), 6)/6. Source: Howard et al. 2019."""

    also = ("hsigmoid",)


@layer("sigmoid")
class Sigmoid(Activation):
    """1/(1 + e⁻ˣ)."""

    keeps = OUTPUT


@layer("tanh")
class Tanh(Activation):
    """Hyperbolic tangent."""

    keeps = OUTPUT


@layer("softplus")
class Softplus(Activation):
    """log(1 + eˣ)."""


@layer("softmax")
class Softmax(Activation):
    """e^x over C, divided by its sum, at each position or token separately."""

    keeps = OUTPUT
    uncounted = "exponentials and sums"

    def mixes(self, x: Shape) -> Relation:
        return Everywhere()

    def output_shape(self, x: Shape) -> Shape:
        _ = x.C  # raises if there are no features
        return x

    def _torch_arguments(self, x: Shape) -> Iterable[Any]:
        return (-1 - len(x.spatial),)


@layer("log_softmax")
class LogSoftmax(Softmax):
    """Logarithm of softmax over C, at each position or token separately."""

    also = ("logsoftmax",)


@layer("dropout")
class Dropout(Activation):
    """Zeroes each value with probability p while training; at inference, nothing. Source: Hinton et al. 2012."""

    also = ("spatial_dropout",)

    p: Number = Fraction(1, 2)

    uncounted = ""

    def output_shape(self, x: Shape) -> Shape:
        if not 0 <= self.p <= 1:
            raise ShapeError(f"p={self.p} is not a probability", code="E211")
        return x

    def is_view(self, x: Shape, training: bool = True) -> bool:
        return self.p == 0 or not training

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """A mask; nothing if nothing is dropped, and one zero if everything is."""
        if self.p == 0:
            return NOTHING
        return Kept(extras=(Extra(1, per_example=False) if self.p == 1 else Extra(x.numel, Width.mask),))
