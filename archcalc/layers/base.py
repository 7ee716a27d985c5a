"""What a layer kind is: its arguments, and the formulas that follow from its input's shape.

A kind is one class. Its dataclass fields are the only schema: the spec grammar, validation, the JSON Schema and the
documentation are all derived from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar, dataclass_transform

from archcalc.errors import ShapeError
from archcalc.layers.arguments import ARGUMENT_TYPES, ArgumentType
from archcalc.layers.kept import NOTHING, Extra, Kept, Moments
from archcalc.layers.reads import SAME, Reads, Relation
from archcalc.shape import Shape, Window
from archcalc.symbolic import Dim

if TYPE_CHECKING:
    from torch import nn

    from archcalc.layers.sheet import Sheet
    from archcalc.paper.tensors import Blank

REGISTRY: dict[str, type[Layer]] = {}
"""Every layer kind by its name in a spec."""

SHORTHANDS = {"s": "stride", "p": "padding", "d": "dilation", "g": "groups", "k": "kernel_size"}

L = TypeVar("L", bound="type[Layer]")


class Sentences(NamedTuple):
    """Where a kind's numbers come from, for a person who is learning it; braces hold symbols of its formulas."""

    weights: str = ""
    biases: str = ""
    macs: str = ""
    buffers: str = ""


class Layer:
    """The defaults of a kind: one input, unchanged; no parameters, no arithmetic, no windows.

    Every method takes the input shapes in order: the tensor that enters, then the tensor argument, if one is given.
    """

    kind: ClassVar[str]
    also: ClassVar[tuple[str, ...]] = ()
    """What PyTorch, Keras or papers call it: found by those who look for it there."""
    in_place: ClassVar[bool] = False
    """Computed in place (elementwise) or a view: it makes no new volume."""
    takes_all: ClassVar[bool] = True
    """A layer in place has a value for each that it reads, so that, copied, it might take over their memory."""
    takes_turned: ClassVar[bool] = False
    """Whether values are read, and made dense, in any order of the axes."""
    is_scattered: ClassVar[bool] = False
    """A view whose values don't lie side by side; it's a copy with `copy`, and where a reader needs values that do."""
    copy: bool = False
    """Whether a copy was asked for in place of a view."""
    over_batch: ClassVar[bool] = False
    """Its module takes the batch, channels and spatial axes: regions and tokens join the batch meanwhile."""
    over_planes: ClassVar[bool] = False
    """With one spatial axis, its module gives the input another one meanwhile."""
    is_table: ClassVar[bool] = False
    """Its weights are a learned vector for each token of a vocabulary, or for each position."""
    weight_layer: ClassVar[bool] = False
    """Counts for `depth` and `neurons`."""
    linear: ClassVar[bool] = False
    """Its module is linear: with weights of 1 a gradient arrives at all that it reads, whatever the values are."""
    sizes_only: ClassVar[tuple[int, ...]] = ()
    """The inputs, by position, to which no gradient flows: only their sizes, or places in them, are read."""
    keeps: ClassVar[Kept] = NOTHING
    """What autograd keeps, for the kinds where that doesn't depend on their arguments."""
    keeps_the_least: ClassVar[bool] = False
    """What autograd keeps is the least: which kernel runs is the device's choice, and some keep more."""
    remark_code: ClassVar[str] = "W401"
    """The code of what `remarks` warns about."""
    uncounted: ClassVar[str] = ""
    """The arithmetic that `macs` leaves out, in words; empty if there is none."""
    sentences: ClassVar[Sentences] = Sentences()
    slides_name: ClassVar[str] = ""
    """What the lecture's slides call the kind; empty if they call it by its name."""
    symbol: ClassVar[str] = ""
    """What a picture writes for it; empty if that's its name and arguments."""
    is_residual: ClassVar[bool] = False
    """Its first input is the main path; the others go past that."""
    commutes: ClassVar[bool] = False
    """Its inputs may come in any order."""
    merges: ClassVar[bool] = False
    """Makes one volume of several; of a single one, that; of what its like has made, the same as of all those."""
    undrawn: ClassVar[tuple[int, ...]] = ()
    """The inputs, by position, that a picture leaves out, since what is before the layer reads them as well."""
    is_opaque: ClassVar[bool] = False
    """What it computes isn't known, nor what it keeps or needs meanwhile."""
    by_position: ClassVar[bool] = False
    """Does something else at each token, by its place among the others."""
    normalises: ClassVar[bool] = False
    """Scales and shifts what another layer made: a picture draws it with a weight layer."""

    @property
    def sets(self) -> Dim:
        """How many sets of weights it holds, one beside the other: of a layer in an expert one for each expert."""
        return 1

    @property
    def counters(self) -> int:
        """The 64-bit integers that its module stores beside its buffers."""
        return 0

    @property
    def has_known_macs(self) -> bool:
        """Whether `macs` are all of its multiply-adds."""
        return True

    @property
    def is_turned(self) -> bool:
        """Whether it's a scattered view with axes in another order, or with gaps between regions or tokens."""
        return False

    @property
    def about(self) -> str:
        """What it computes, in a sentence or a few."""
        return " ".join((type(self).__doc__ or "").split("\n")[0].split())

    @property
    def family(self) -> str:
        """The module of this package that defines the kind; the kind itself if it's defined elsewhere."""
        package, _, module = type(self).__module__.rpartition(".")
        return module if package == __package__ else self.kind

    def output_shape(self, *inputs: Shape) -> Shape:
        """Shape of the volume that this layer makes."""
        return inputs[0]

    def weight_shape(self, *inputs: Shape) -> tuple[Dim, ...]:
        """The weight as PyTorch stores it, for the kinds whose weights `tie` can share; empty for the others."""
        return ()

    def parameter_sizes(self, *inputs: Shape) -> tuple[Dim, ...]:
        """Sizes that decide, for equal arguments, which shapes the parameters and buffers have."""
        return *self.weight_shape(*inputs), self.weights(*inputs), self.biases(*inputs), self.buffers(*inputs)

    def weight_factors(self, *inputs: Shape) -> tuple[Dim | tuple[Dim, ...], ...]:
        """The sizes whose product `weights` is, as the lecture orders and brackets them; none if it's no product."""
        return self.weight_shape(*inputs)

    def weights(self, *inputs: Shape) -> Dim:
        """Learnable scalars that multiply; 0 if they are another layer's (`tie`)."""
        return 0

    def biases(self, *inputs: Shape) -> Dim:
        """Learnable scalars that are added."""
        return 0

    def params(self, *inputs: Shape) -> Dim:
        """Learnable scalars: weights and biases."""
        return self.weights(*inputs) + self.biases(*inputs)

    def tensors(self, *inputs: Shape) -> Mapping[str, tuple[Dim, ...]]:
        """What it learns and stores, tensor by tensor, as PyTorch's module has them, but for axes of size 1."""
        found: dict[str, tuple[Dim, ...]] = {}
        if (weights := self.weights(*inputs)) != 0:
            found["weight"] = self.weight_shape(*inputs) or (weights,)
        if (biases := self.biases(*inputs)) != 0:
            found["bias"] = (biases,)
        if (buffers := self.buffers(*inputs)) != 0:
            found["buffer"] = (buffers,)
        return found

    def active_params(self, *inputs: Shape) -> Dim:
        """Learnable scalars that one token, or one example, meets: of experts those of the ones that it's sent to."""
        return self.params(*inputs)

    def buffers(self, *inputs: Shape) -> Dim:
        """Scalars that are stored but not learned."""
        return 0

    def macs(self, *inputs: Shape) -> Dim:
        """Multiply-adds of convolutions and matrix products, excluding biases, per example."""
        return 0

    def attention_macs(self, *inputs: Shape) -> Dim:
        """Of its `macs` those of queries with keys, and of what comes of them with values."""
        return 0

    def macs_of_step(self, new: Sequence[Shape | None], *inputs: Shape) -> Dim:
        """Multiply-adds for the last tokens of a text, where what is needed of earlier ones is remembered; per example.

        `new` is the part of each input that is new; None of what doesn't grow. Unless the kind says otherwise, it costs
        what it would cost alone: what a token costs doesn't depend on how many there were.
        """
        return self.macs(*(part or x for x, part in zip(inputs, new, strict=True)))

    def cached(self, new: Sequence[Shape | None], *inputs: Shape) -> Dim:
        """Numbers of keys and values that are remembered of all tokens, for those to come; per example."""
        return 0

    def macs_of_batch(self, *inputs: Shape) -> Dim:
        """Those of its multiply-adds that are done once for a whole batch, since they read no example."""
        return 0

    def connections(self, *inputs: Shape) -> Dim:
        """Links into this layer's units, biases included, each counted at every position (LeCun et al. 1998)."""
        return 0

    def sentence(self, quantity: str, *inputs: Shape) -> str:
        """The sentence about a number; empty if there's nothing to say."""
        return getattr(self.sentences, quantity, "")

    def vocabulary(self) -> Dim | None:
        """How many different token numbers it looks up; None of the kinds that read values."""
        return None

    def undoes(self, pool: Layer, pooled: Shape, *inputs: Shape) -> Dim:
        """1 if it can put values back where `pool`, which read `pooled`, found its maxima; 0 if not.

        For symbols an expression that is 0 for those sizes for which it doesn't fit. It's asked of layers that read but
        the places in their second input, and of pools that read the same volume.
        """
        return 0

    def changes_nothing(self, *inputs: Shape) -> bool:
        """Whether it's a view of all that enters, under the same axes."""
        return False

    def is_view(self, *inputs: Shape, training: bool = True) -> bool:
        """Whether the output lies in the input's memory, where it is."""
        return False

    def needs_dense(self, x: Shape) -> bool:
        """Whether values must lie side by side to be read: a view with gaps is copied first."""
        return False

    def has_inplace(self) -> bool:
        """Whether plain PyTorch code overwrites the input where it can, as in `nn.ReLU(inplace=True)`."""
        return False

    def kept_in_place(self, *inputs: Shape) -> Kept:
        """What autograd keeps of a layer that overwrites its input; only those with `has_inplace` are asked."""
        raise NotImplementedError(self.kind)

    def working(self, *inputs: Shape) -> Moments:
        """What its module makes at inference, beside what it reads; by default the output alone.

        All that lies in memory at once, of each moment at which that may be most. A kernel's own scratch memory, which
        no tensor holds, isn't in it.
        """
        return ((Extra(self.output_shape(*inputs).numel),),)

    def kept(self, needs: Sequence[bool], *inputs: Shape) -> Kept:
        """What autograd keeps for the backward pass; `needs` says to which inputs a gradient flows.

        It's asked only where a gradient flows to an input or to a parameter. Source: PyTorch's derivatives.yaml.
        """
        return self.keeps

    def is_seen_otherwise(self, x: Shape, *others: Shape) -> bool:
        """Whether its module works on a view of its first input, and makes one."""
        is_plane = self.over_planes and len(x.spatial) == 1
        return is_plane or (self.over_batch and ("R" in x or "T" in x or "C" not in x))

    def program(self, at: Sheet, *inputs: Blank) -> Blank:
        """What its module does in training, on paper.

        By default one kernel forward, which saves what `kept` says, and one back; a view, where it's one.
        """
        needs = [x.needs_grad for x in inputs]
        return at.one_kernel(self, inputs, self.kept(needs, *at.shapes))

    def windows(self, *inputs: Shape) -> Mapping[str, Window]:
        """The sliding window along each spatial axis; none for layers that work on each position alone."""
        return {}

    def follows_size(self) -> bool:
        """Whether its windows start elsewhere on a larger input, for a reason other than `same` padding."""
        return False

    def reads(self, *inputs: Shape) -> Sequence[Reads | None]:
        """What an output position reads of each input; None of those that only lend their size (`like`).

        Unless the kind says otherwise, the positions under its windows, or else the same position; of channels those
        that it `mixes`.
        """
        if not inputs:
            return ()
        mixed = self.mixes(*inputs)
        windows = {**self.windows(*inputs), **({} if mixed is None else {"C": mixed})}
        lends = getattr(self, "like", None) is not None
        first = Reads(windows) if windows else SAME
        return (first, *[None if lends else SAME] * (len(inputs) - 1))

    def mixes(self, *inputs: Shape) -> Relation | None:
        """Which channels of an input an output channel reads; None: the one in the same place."""
        return None

    def gates(self, *inputs: Shape) -> tuple[int, ...]:
        """The inputs, by position, that only weigh the others: `depth` doesn't follow them."""
        return ()

    def remarks(self, *inputs: Shape) -> Iterable[str]:
        """Warnings about this layer on this input, such as a stride that does not fit."""
        return ()

    def torch_module(self, *inputs: Shape) -> nn.Module:
        """The PyTorch module that computes this layer; it takes the input tensors in the order of the shapes."""
        raise NotImplementedError(self.kind)

    def expression(self, names: Sequence[str], y: Shape) -> str:
        """The Python expression of its output for tensors of these names; empty if a module must be built for it."""
        return ""

    def __init__(self, *values: Any, **named: Any) -> None:
        arguments = _arguments(type(self))
        given = dict(zip(arguments, values, strict=False))
        if len(values) > len(arguments) or given.keys() & named or named.keys() - arguments:
            raise TypeError(f"{type(self).__name__}({', '.join(arguments)}) does not take {values} and {named}")
        given.update(named)
        missing = [name for name, argument in arguments.items() if argument.required and name not in given]
        if missing:
            raise TypeError(f"{type(self).__name__} needs {', '.join(missing)}")
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    @classmethod
    def arguments(cls) -> Mapping[str, Argument]:
        """The arguments by name, in the order in which a spec gives them by position."""
        return _arguments(cls)

    def given(self, **values: Any) -> Layer:
        """The same kind with these arguments."""
        return type(self)(**values)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _arguments(type(self)))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def text(self, rank: int = 1) -> str:
        """The call as a spec would write it, `conv 64 3x3 s=2`; a kernel given once is written for `rank` axes."""
        words = [self.kind]
        for name, argument in self.arguments().items():
            value = getattr(self, name)
            if argument.required:
                sides = rank if argument.type.name == "Extent" and not isinstance(value, tuple) else 1
                words.append("x".join([argument.type.write(value)] * sides))
            elif value != argument.default:
                words.append(f"{argument.short}={argument.type.write(value)}")
        return " ".join(words)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.arguments())
        return f"{type(self).__name__}({', '.join(values)})"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a layer kind, as its dataclass field declares it."""

    name: str
    short: str
    type: ArgumentType
    required: bool
    default: Any


_known_arguments: dict[type[Layer], Mapping[str, Argument]] = {}


def _arguments(cls: type[Layer]) -> Mapping[str, Argument]:
    if cls not in _known_arguments:
        declared: Iterable[Field[Any]] = fields(cls) if is_dataclass(cls) else ()
        _known_arguments[cls] = {field.name: _argument(field) for field in declared}
    return _known_arguments[cls]


def _argument(field: Field[Any]) -> Argument:
    shorts = {long: short for short, long in SHORTHANDS.items()}
    declared = str(field.type).removesuffix(" | None")
    if declared not in ARGUMENT_TYPES:
        raise TypeError(
            f"the annotation of '{field.name}' names no type of arguments: '{declared}'. The types are "
            f"{', '.join(ARGUMENT_TYPES)}; annotations stay texts if the module starts with "
            "`from __future__ import annotations`"
        )
    type_ = ARGUMENT_TYPES[declared]
    return Argument(field.name, shorts.get(field.name, field.name), type_, field.default is MISSING, field.default)


@dataclass_transform(frozen_default=True, eq_default=False)
def layer(kind: str) -> Callable[[L], L]:
    """Register a layer kind under the name that specs use; the class becomes a frozen dataclass.

    All methods come from `Layer`: generating them for more than fifty classes would cost 15 ms at every start.
    """

    def register(cls: L) -> L:
        cls.kind = kind
        made = dataclass(init=False, eq=False, repr=False, match_args=False)(cls)
        _arguments(made)  # fails for a type of arguments that there isn't
        REGISTRY[kind] = made
        return cls

    return register


def spatial_axes(x: Shape) -> tuple[str, ...]:
    """The spatial axes of `x`; a layer that slides over them needs at least one."""
    if not x.spatial:
        raise ShapeError(f"needs a spatial axis (D, H or W); the input is {x}", code="E203")
    return x.spatial


def kind_called(word: str) -> str:
    """The kind that another library calls so, in any case and for any number of dimensions; empty if there is none.

    >>> kind_called("BatchNorm2d"), kind_called("swish"), kind_called("nonsense")
    ('bn', 'silu', '')
    """
    known = {_bare(name): kind for kind, found in REGISTRY.items() for name in (kind, *found.also)}
    return known.get(_bare(word), "")


def _bare(word: str) -> str:
    return re.sub(r"[123]d$", "", word.lower().replace("_", ""))
