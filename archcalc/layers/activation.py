"""Activations and dropout: value by value (softmax: vector by vector), in place, on any shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Approximation, Axis, Factor, Gate, Number
from archcalc.layers.base import Layer, Sentences, layer
from archcalc.layers.kept import INPUT, NOTHING, OUTPUT, Extra, Kept, Moments, Width
from archcalc.layers.reads import Everywhere, Reads, over
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim, differ, floor_div, is_symbolic, known, none_equal

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


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

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.overwritten(x, self.from_result) if at.overwrites else super().program(at, x)


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


@layer("clamp")
class Hardtanh(Overwriting):
    """x, but no less than `low` and no more than `high`. Source: Collobert 2004; torch.nn.Hardtanh."""

    also = ("hardtanh", "clip")

    low: Number = -1
    high: Number = 1

    uncounted = "comparisons"

    def output_shape(self, x: Shape) -> Shape:
        if self.low >= self.high:
            raise ShapeError(f"low={self.low} is not less than high={self.high}", code="E211")
        return x


@layer("prelu")
class PReLU(Activation):
    """Leaky ReLU whose slope is learned: one for all channels, or one for each. Source: He et al. 2015."""

    over_batch = True

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

    def program(self, at: Sheet, x: Blank) -> Blank:
        """The kernel makes both gradients, wanted or not, that of the slopes for each value."""
        from archcalc.paper import operations as op

        return op.bent(x, at.parameter(self.num_parameters))

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


@layer("selu")
class SELU(Overwriting):
    """ELU with the two constants that keep mean and variance. Source: Klambauer et al. 2017."""

    from_result = True


@layer("celu")
class CELU(Overwriting):
    """x where it is positive, alpha·(e^(x/alpha) - 1) elsewhere. Source: Barron 2017."""

    alpha: Number = 1

    from_result = True

    def output_shape(self, x: Shape) -> Shape:
        if self.alpha == 0:
            raise ShapeError("alpha=0 divides by zero", code="E211")
        return x

    def has_inplace(self) -> bool:
        return self.alpha > 0  # as for LeakyReLU


@layer("gelu")
class GELU(Activation):
    """x·Φ(x), Φ the normal distribution function; `tanh` approximates it. Source: Hendrycks & Gimpel 2016."""

    approximate: Approximation = "none"


@layer("quick_gelu")
class QuickGELU(Activation):
    """x·sigmoid(1.702·x), which approximates GELU. Source: Hendrycks & Gimpel 2016, section 2; Radford et al. 2021."""

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """Both factors."""
        return Kept(inputs=(0,), extras=(Extra(x.numel),))

    def working(self, x: Shape) -> Moments:
        """The sigmoid, and what it is made of or what is made of it."""
        return ((Extra(2 * x.numel),),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.product(x, op.from_result(op.scaled(x)))

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.QuickGELU()


@layer("mish")
class Mish(Overwriting):
    """x·tanh(log(1 + eˣ)). Source: Misra 2019."""


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


@layer("softsign")
class Softsign(Activation):
    """x/(1 + |x|). Source: Glorot & Bengio 2010."""

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """Both terms of the fraction."""
        return Kept(inputs=(0,), extras=(Extra(x.numel),))

    def working(self, x: Shape) -> Moments:
        """The divisor, and |x| or the quotient."""
        return ((Extra(2 * x.numel),),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.quotient(x, op.shifted(op.absolute(x)))


@layer("exp")
class Exp(Activation):
    """eˣ, for sizes of boxes, deviations and the like."""

    also = ("exponential",)

    keeps = OUTPUT

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Exp()


@layer("square")
class Square(Activation):
    """x²; after `relu` it is the squared ReLU. Source: So et al. 2021 (Primer), section 3."""

    also = ("squared_relu", "relu2")

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.raised(x)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        return tm.Square()


@layer("times")
class Times(Activation):
    """x times a fixed number: `factor` to the `power`, which isn't learned. `times d 1/2` is √d times x.

    So embeddings are multiplied (Vaswani et al. 2017, section 3.4), and logits are held below a cap:
    `times 1/30 -> tanh -> times 30` (Gemma 2, section 2). A sum with `times -1` is a difference.
    """

    also = ("rescale", "rescaling", "multiply_by", "logit_scale")

    factor: Factor
    power: Number = 1

    keeps = NOTHING
    linear = True

    def output_shape(self, x: Shape) -> Shape:
        if not is_symbolic(self.factor) and self.factor < 0 and self.power.denominator != 1:
            raise ShapeError(f"factor={self.factor} has no power of {self.power}", code="E211")
        return x

    def program(self, at: Sheet, x: Blank) -> Blank:
        from archcalc.paper import operations as op

        return op.scaled(x)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        factor = self.factor if isinstance(self.factor, Fraction) else known(self.factor)
        return tm.Times(float(factor) ** float(self.power))


@layer("glu")
class GatedLinearUnit(Layer):
    """First half of the channels times the gate, an activation, of the second. Shapes: any with C, half as many out.

    Source: Dauphin et al. 2017; other gates: Shazeer 2020.

    >>> GatedLinearUnit().output_shape(Shape(C=64, H=8, W=8))
    Shape(C=32, H=8, W=8)
    """

    also = ("gated_linear_unit", "swiglu", "geglu", "reglu", "simple_gate")

    gate: Gate = "sigmoid"

    uncounted = "elementwise"

    def output_shape(self, x: Shape) -> Shape:
        if differ(x.C % 2, 0):
            raise ShapeError(f"{x.C} channels can't be halved", code="E205")
        return x.with_(C=floor_div(x.C, 2))

    def mixes(self, x: Shape) -> Window:
        return Window(2, dilation=floor_div(x.C, 2))  # each channel of the output reads two

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """The input, and the gate if it's a step of its own."""
        return Kept(inputs=(0,), extras=(Extra(self.output_shape(x).numel),) if self._has_step() else ())

    def working(self, x: Shape) -> Moments:
        """The product, and the gate if it's a step of its own."""
        return ((Extra(x.numel if self._has_step() else self.output_shape(x).numel),),)

    def _has_step(self) -> bool:
        """Whether the gate is computed apart from the product: PyTorch has both in one for the sigmoid alone."""
        return self.gate not in ("sigmoid", "identity")

    def program(self, at: Sheet, x: Blank) -> Blank:
        """The two halves are views; their gradients are joined again."""
        from archcalc.paper import operations as op

        if self.gate == "sigmoid":
            return super().program(at, x)
        values, gates = op.halves(x, 1 + tuple(at.output).index("C"))
        if self.gate != "identity":
            gates = op.from_result(gates) if self.gate == "relu" else op.from_input(gates)
        return op.product(values, gates)

    def torch_module(self, x: Shape) -> nn.Module:
        from torch import nn

        from archcalc.layers import torch_modules as tm

        axis = -1 - len(x.spatial)
        gates = {"silu": nn.SiLU, "gelu": nn.GELU, "relu": nn.ReLU, "identity": nn.Identity}
        return nn.GLU(axis) if self.gate == "sigmoid" else tm.Gated(gates[self.gate](), axis)


@layer("softmax")
class Softmax(Activation):
    """e^x divided by its sum over one axis, C by default, at each position of the others separately."""

    axis: Axis = "C"

    keeps = OUTPUT
    uncounted = "exponentials and sums"

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [over(self.axis, Everywhere())]

    def output_shape(self, x: Shape) -> Shape:
        if self.axis not in x:
            code = "E200" if self.axis == "C" else "E210"
            raise ShapeError(f"the input has no axis {self.axis}; it is {x}", code=code)
        return x

    def _torch_arguments(self, x: Shape) -> Iterable[Any]:
        return (tuple(x).index(self.axis) - len(x),)


@layer("log_softmax")
class LogSoftmax(Softmax):
    """Logarithm of softmax over one axis, C by default, at each position of the others separately."""

    also = ("logsoftmax",)

    axis: Axis = "C"


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

    def program(self, at: Sheet, x: Blank) -> Blank:
        return x if self.is_view(at.output) else super().program(at, x)
