"""Recurrences: each token's output depends on its own features and on what came before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from archcalc.errors import ShapeError
from archcalc.layers.arguments import Channels, Tensor
from archcalc.layers.attention import token_count
from archcalc.layers.base import Layer, Sentences, layer
from archcalc.layers.kept import Extra, Kept, Moments
from archcalc.layers.reads import Everywhere, From, Reads, UpTo
from archcalc.shape import AXES, Shape, unequal_axes
from archcalc.symbolic import Dim, exceeds, known

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank


class Recurrence(Layer):
    """One layer of a recurrent network over T, from a state of zeros; with `reverse`, from the last token to the first.

    The weights are PyTorch's: of each gate one matrix on the token and one on the state, and two biases.
    """

    hidden: Channels
    bias: bool = True
    reverse: bool = False

    blocks: ClassVar[int]
    """How many gates and candidates are computed from a token and the state."""

    weight_layer = True
    keeps_the_least = True
    uncounted = "gates and activations"
    sentences = Sentences(
        weights="each gate has a matrix on the token and one on the state before it",
        biases="two for each output of each gate",
        macs="every weight is used once for each token",
    )

    def state(self) -> Dim:
        """Features of a token's output, which is the state that the next token sees."""
        return self.hidden

    def memory(self) -> Dim:
        """Features of what is handed on beside the output."""
        return 0

    def steps(self) -> Dim:
        """Values that autograd keeps of each token, beside its features and the state that the next one sees."""
        raise NotImplementedError(self.kind)

    def output_shape(self, x: Shape) -> Shape:
        token_count(x)
        return x.with_(C=self.state())

    def weights(self, x: Shape) -> Dim:
        return self.blocks * self.hidden * (x.C + self.state())

    def biases(self, x: Shape) -> Dim:
        return 2 * self.blocks * self.hidden if self.bias else 0

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        rows = self.blocks * self.hidden
        found: dict[str, tuple[Dim, ...]] = {"weight_ih_l0": (rows, x.C), "weight_hh_l0": (rows, self.state())}
        return {**found, "bias_ih_l0": (rows,), "bias_hh_l0": (rows,)} if self.bias else found

    def macs(self, x: Shape) -> Dim:
        return x.without("C").numel * self.weights(x)

    def reads(self, x: Shape) -> Sequence[Reads]:
        return [Reads({"C": Everywhere(), "T": From() if self.reverse else UpTo()})]

    def kept(self, needs: Sequence[bool], x: Shape) -> Kept:
        """Its input, in the order of the tokens, what each step makes, and the zeros that it starts from.

        So PyTorch computes it step by step. Fused kernels (cuDNN's, oneDNN's) keep memory of their own instead.
        """
        rows, last = x.without("C").numel, x.without("C", "T").numel
        handed_on = rows * self._handed_on() - last * self._handed_on()
        zeros = last * (self.state() + self.memory())
        return Kept(extras=(Extra(x.numel + rows * self.steps() + handed_on + zeros),))

    def _handed_on(self) -> Dim:
        """Values of a step that are kept only because the next one reads them."""
        return self.state() + self.memory()

    def working(self, x: Shape) -> Moments:
        """The input in the order of the tokens; with it the output and the first and last states; two more copies."""
        y = self.output_shape(x).numel
        states = x.without("C", "T").numel * (self.state() + self.memory())
        turned = Extra(2 * x.numel if self.reverse else x.numel)
        return (turned,), (Extra(x.numel + 2 * states + y),), (Extra(2 * y),)

    def program(self, at: Sheet, x: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        projected = getattr(self, "projection", None)
        sizes = known(x.C), known(self.hidden), 0 if projected is None else known(projected)
        module = tm.Recurrent(self.kind.upper(), *sizes, self.bias, self.reverse)
        return tm.Folded(module, 1) if "R" in x else module


@layer("rnn")
class ElmanNetwork(Recurrence):
    """h = tanh(W·x + U·h): the plain recurrence. Shapes: (T, C) → (T, hidden). Source: Elman 1990; torch.nn.RNN.

    >>> ElmanNetwork(128).macs(Shape(T=16, C=64))
    393216
    """

    also = ("simple_rnn", "elman", "recurrent")

    hidden: Channels
    bias: bool = True
    reverse: bool = False

    blocks = 1

    def steps(self) -> Dim:
        return self.hidden

    def _handed_on(self) -> Dim:
        return 0


@layer("lstm")
class LongShortTermMemory(Recurrence):
    """Three gates around a memory cell; a `projection` makes the output narrower. Shapes: (T, C) → (T, hidden).

    Source: Hochreiter & Schmidhuber 1997; projection: Sak et al. 2014; torch.nn.LSTM.

    >>> LongShortTermMemory(128).macs(Shape(T=16, C=64))
    1572864
    """

    also = ("bilstm", "lstm_cell")

    hidden: Channels
    projection: Dim | None = None
    bias: bool = True
    reverse: bool = False

    blocks = 4

    def state(self) -> Dim:
        return self.hidden if self.projection is None else self.projection

    def memory(self) -> Dim:
        return self.hidden

    def output_shape(self, x: Shape) -> Shape:
        if self.projection is not None and exceeds(self.projection + 1, self.hidden):
            raise ShapeError(f"projection={self.projection} is not less than hidden={self.hidden}", code="E211")
        return super().output_shape(x)

    def weights(self, x: Shape) -> Dim:
        return super().weights(x) + (0 if self.projection is None else self.projection * self.hidden)

    def tensors(self, x: Shape) -> Mapping[str, tuple[Dim, ...]]:
        found = super().tensors(x)
        return found if self.projection is None else {**found, "weight_hr_l0": (self.projection, self.hidden)}

    def steps(self) -> Dim:
        return 5 * self.hidden + (0 if self.projection is None else self.hidden)


@layer("gru")
class GatedRecurrentUnit(Recurrence):
    """Two gates around the state. Shapes: (T, C) → (T, hidden). Source: Cho et al. 2014; torch.nn.GRU.

    >>> GatedRecurrentUnit(128).macs(Shape(T=16, C=64))
    1179648
    """

    also = ("bigru", "gru_cell")

    hidden: Channels
    bias: bool = True
    reverse: bool = False

    blocks = 3

    def steps(self) -> Dim:
        return 6 * self.hidden


@layer("selective_scan")
class SelectiveScan(Layer):
    """Each channel keeps a state of N numbers: h = exp(Δ·A)·h + Δ·B·x, and its output is the sum of C·h, plus D·x.

    The step Δ, a number for each channel, and B and C, N numbers for all of them, are other volumes, so that they may
    depend on the token. A, a row of negative numbers for each channel, and D are learned; A by its logarithms.
    Shapes: x and delta (T, C), b and c (T, N), output (T, C). Source: Gu & Dao 2023 (Mamba), algorithm 2.

    >>> tokens, numbers = Shape(T=16, C=64), Shape(T=16, C=8)
    >>> SelectiveScan("delta", "b", "c").macs(tokens, tokens, numbers, numbers)
    8192
    """

    also = ("mamba", "ssm", "state_space_model", "s6", "scan")

    delta: Tensor
    b: Tensor
    c: Tensor
    skip: bool = True

    uncounted = "exponentials and updates of states"
    sentences = Sentences(
        weights="each channel has a rate for each number of its state, and a factor for what goes past it",
        macs="each number of the output is a sum over its channel's state",
    )

    def output_shape(self, x: Shape, delta: Shape, b: Shape, c: Shape) -> Shape:
        token_count(x)
        if unequal_axes(x, delta, AXES):
            raise ShapeError(f"delta is {delta}, the input {x}", code="E208")
        for name, other in (("b", b), ("c", c)):
            token_count(other)
            if unequal_axes(x, other, ["R", "T"]):
                raise ShapeError(f"{name} is {other}, the input {x}: their tokens differ", code="E208")
        if unequal_axes(b, c, ["C"]):
            raise ShapeError(f"b has {b.C} numbers for each token, c has {c.C}", code="E208")
        return x

    def weights(self, x: Shape, delta: Shape, b: Shape, c: Shape) -> Dim:
        return x.C * b.C + (x.C if self.skip else 0)

    def tensors(self, x: Shape, delta: Shape, b: Shape, c: Shape) -> Mapping[str, tuple[Dim, ...]]:
        return {"rates": (x.C, b.C), **({"past": (x.C,)} if self.skip else {})}

    def macs(self, x: Shape, delta: Shape, b: Shape, c: Shape) -> Dim:
        return x.numel * b.C

    def reads(self, x: Shape, delta: Shape, b: Shape, c: Shape) -> Sequence[Reads]:
        """The token and all before it; what the state is read by only at the token."""
        before = Reads({"T": UpTo()})
        return [before, before, Reads({"C": Everywhere(), "T": UpTo()}), Reads({"C": Everywhere()})]

    def kept(self, needs: Sequence[bool], x: Shape, delta: Shape, b: Shape, c: Shape) -> Kept:
        """How much is left of each state, each state before its update, rates, Δ·x, and what the others need.

        So PyTorch computes it step by step. A fused kernel computes states again instead.
        """
        one, rows = self._state(x, b), x["T"]
        states = rows * one + (one if needs[3] else 0)
        rates = x.C * b.C * (2 if needs[1] else 1)
        entering = (needs[1] or self.skip, True, needs[0] or needs[1], True)
        extras = (Extra(rows * one + states + (x.numel if needs[2] else 0)), Extra(rates, per_example=False))
        return Kept(tuple(place for place, is_kept in enumerate(entering) if is_kept), extras=extras)

    def _state(self, x: Shape, b: Shape) -> Dim:
        """Numbers in the states of all channels."""
        return x.without("T").numel * b.C

    def working(self, x: Shape, delta: Shape, b: Shape, c: Shape) -> Moments:
        """What is left of states and what is written to them, of all tokens; two states."""
        one, rows = self._state(x, b), x["T"]
        rates = Extra(x.C * b.C, per_example=False)
        before, made = Extra(2 * rows * one), x.without("T").numel
        return (
            (rates, rates),
            (rates, Extra(rows * one)),
            (before, Extra(x.numel)),
            (before, Extra(2 * one + x.numel - made)),
            (before, Extra(one + 2 * x.numel)),
        )

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        raise at.unknown(self)

    def torch_module(self, x: Shape, delta: Shape, b: Shape, c: Shape) -> nn.Module:
        from archcalc.layers import torch_modules as tm

        module = tm.SelectiveScan(known(x.C), known(b.C), self.skip)
        return tm.Folded(module, 1) if "R" in x else module
