"""Every number of the product, declared once: its name, what it counts, and how a network's follows from its layers.

Tables, JSON, totals, claims, golden files, sweeps, budgets and help take their lists from here. What computes a number
stands in `analyses`, under its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Literal, TypeAlias

from archcalc.data import dataclass
from archcalc.errors import UnknownNameError, UsageError, suggestion

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
"""Bytes of one value of each dtype."""
DTYPE = "float32"
"""Unless another one is asked for."""


class Total(Enum):
    """How the number of a whole network, or of a scope, follows from those of its layers."""

    SUM = auto()
    LARGEST = auto()
    OWN = auto()
    """It's a number of the whole, and layers have none."""
    NONE = auto()
    """It's a number of each layer, and there is none of the whole."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number: its name, the unit it's counted in, and what it means, in a few words.

    `per_example`: a batch of N has N times as many. `sum_of`: it's the bytes of the values that these quantities count.
    `one_example`: it's that of one example, whatever the batch. `axis`: the attribute of a `Field` that it is, for each
    axis of the input. `trained`: it's about training, so that where values have no gradients there is no such number.
    `decoded`: it's about texts that grow token by token, so that only networks that can do that have it. `alias`: what
    claims call it. `seldom`: left out where formulas or golden layers list numbers, since it follows from others or few
    papers count it; formulas list it if it isn't as `unlike`. `recorded`: golden files have the total.
    """

    name: str
    unit: str
    meaning: str
    total: Total = Total.SUM
    per_example: bool = False
    one_example: bool = False
    label: str = ""
    sum_of: tuple[str, ...] = ()
    axis: str = ""
    trained: bool = False
    decoded: bool = False
    recorded: bool = True
    alias: str = ""
    seldom: bool = False
    unlike: str = ""

    @property
    def heading(self) -> str:
        """What stands above its column."""
        return self.label or self.name.replace("_", " ")

    @property
    def sentence(self) -> str:
        """What it means, for help."""
        return f"{self.meaning[0].upper()}{self.meaning[1:]}."

    @property
    def claimed(self) -> str:
        """What claims call it."""
        return self.alias or self.name

    @property
    def in_bytes(self) -> bool:
        """Whether it's measured in bytes, rather than counted."""
        return self.unit == "bytes"


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("params", "params", "learnable scalars, weights and biases"),
        Quantity("weights", "params", "learnable scalars that multiply"),
        Quantity("biases", "params", "learnable scalars that are added"),
        Quantity("buffers", "values", "scalars that are stored but not learned"),
        Quantity("embedding_params", "params", "those of tables of tokens and positions, and of what makes logits",
                 seldom=True, recorded=False),
        Quantity("non_embedding_params", "params", "all others", seldom=True, recorded=False),
        Quantity("active_params", "params", "learnable scalars that one token meets: of experts those it's sent to",
                 seldom=True, unlike="params", recorded=False),
        Quantity("active_params_without_embedding", "params", "those of them that aren't looked up in a table",
                 seldom=True, recorded=False),
        Quantity("active_non_embedding_params", "params", "those of them that don't make logits either", seldom=True,
                 recorded=False),
        Quantity("macs", "MACs", "multiply-adds of convolutions and matrix products, excluding biases",
                 per_example=True, label="MACs"),
        Quantity("flops", "FLOPs", "two for each multiply-add", per_example=True, label="FLOPs", seldom=True),
        Quantity("attention_macs", "MACs", "multiply-adds of queries with keys, and of what comes of them with values",
                 per_example=True, label="attention MACs", seldom=True, recorded=False),
        Quantity("neurons", "units", "outputs of weight layers", one_example=True, seldom=True),
        Quantity("connections", "links", "links into units, each counted at every position", one_example=True,
                 seldom=True),
        Quantity("activations", "values", "values of the volumes that are made", per_example=True),
        Quantity("activation_bytes", "bytes", "the bytes of all volumes", sum_of=("activations",)),
        Quantity("total_bytes", "bytes", "the bytes of params, buffers and volumes together",
                 sum_of=("params", "buffers", "activations"), seldom=True),
        Quantity("saved_bytes", "bytes", "what autograd keeps for the backward pass", trained=True),
        Quantity("peak_bytes", "bytes", "the most bytes that plain PyTorch code holds at once, without a backward pass",
                 Total.LARGEST),
        Quantity("least_bytes", "bytes", "the bytes without which no program could do it", Total.LARGEST),
        Quantity("kv_cache_bytes", "bytes", "the keys and values, or their latents, that are remembered of T tokens",
                 decoded=True, seldom=True, recorded=False),
        Quantity("prefill_macs", "MACs", "multiply-adds for T tokens at once", decoded=True, label="prefill MACs",
                 seldom=True, recorded=False),
        Quantity("decode_macs", "MACs", "multiply-adds for the last of T tokens, the others being remembered",
                 decoded=True, label="decode MACs", seldom=True, recorded=False),
        Quantity("depth", "layers", "weight layers on the longest path", Total.OWN),
        Quantity("receptive_field", "positions", "input positions that one output position sees, along each axis",
                 Total.NONE, axis="size", alias="rf"),
        Quantity("effective_stride", "positions", "input positions from one output position to the next",
                 Total.NONE, axis="stride", alias="rf_stride"),
        Quantity("effective_padding", "positions", "how far the first window reaches over the input's edge",
                 Total.NONE, axis="padding", alias="rf_padding"),
    )
}  # fmt: skip
"""In the order in which they are listed."""


Sum: TypeAlias = Literal[
    "params", "weights", "biases", "buffers", "embedding_params", "non_embedding_params", "active_params",
    "active_params_without_embedding", "active_non_embedding_params", "macs", "flops", "attention_macs", "neurons",
    "connections", "activations", "activation_bytes", "total_bytes",
]  # fmt: skip
"""Of `Total.SUM` those that every network has, whatever the dtype, for type checkers, which can't read the list."""
Largest: TypeAlias = Literal["peak_bytes", "least_bytes"]
"""Those of `Total.LARGEST`, for the same reason."""

TOTALLED = (Total.SUM, Total.LARGEST, Total.OWN)
"""A whole network has these."""
PER_LAYER = (Total.SUM, Total.LARGEST, Total.NONE)
"""Each layer has these."""


def names(*totals: Total) -> tuple[str, ...]:
    """The quantities that total in one of these ways."""
    return tuple(name for name, each in QUANTITIES.items() if each.total in totals)


def known(name: str, *totals: Total) -> Quantity:
    """The quantity of this name.

    Raises: UnknownNameError: there is none, or none that totals in one of these ways.
    """
    quantity = QUANTITIES.get(name)
    if quantity is None:
        raise UnknownNameError(f"no quantity is called '{name}'", suggestion(str(name), names(*totals)))
    if quantity.total not in totals:
        raise _unfit(quantity, totals)
    return quantity


def _unfit(quantity: Quantity, totals: tuple[Total, ...]) -> UnknownNameError:
    """The error that a quantity isn't one of those that total in one of these ways."""
    those = {
        Total.OWN: "a number of a whole network, and of nothing else",
        Total.LARGEST: "the largest of its layers, not a sum",
    }
    what = those.get(quantity.total, "a number of a layer, and of nothing else")
    sums = "these are sums" if totals == (Total.SUM,) else "known"
    return UnknownNameError(f"'{quantity.name}' is {what}", f"{sums}: {', '.join(names(*totals))}")


def listed(columns: str | Iterable[str], what: str = "columns", example: str = "['params', 'macs']") -> tuple[str, ...]:
    """`"params,macs"`, or names one by one, in a tuple; `what` asks for them.

    Raises: UsageError: it's something else.

    >>> listed("params, macs"), listed(["params"])
    (('params', 'macs'), ('params',))
    """
    if isinstance(columns, str):
        return tuple(name.strip() for name in columns.split(",")) if columns else ()
    found = tuple(columns) if isinstance(columns, Iterable) else ()
    if not found or not all(isinstance(name, str) for name in found):
        raise UsageError(f"{what} are names, not {columns!r:.60}", f"{what}={example}")
    return found


def sums(columns: str | Iterable[str]) -> tuple[str, ...]:
    """The same, of quantities that add up.

    Raises: UsageError: one is unknown, isn't a sum, or is given twice.
    """
    found = listed(columns)
    for name in found:
        known(name, Total.SUM)
    if len(set(found)) < len(found):
        raise UsageError("a column can be shown once only")
    return found


def principal() -> Iterator[str]:
    """The sums that don't merely say again what others say."""
    return (name for name in names(Total.SUM) if not QUANTITIES[name].seldom and not QUANTITIES[name].sum_of)


def fields() -> dict[str, str]:
    """The quantities of receptive fields: which attribute of a `Field` each of them is."""
    return {name: each.axis for name, each in QUANTITIES.items() if each.axis}


SHAPE = Quantity("shape", "positions", "the sizes of the output", Total.NONE)
"""What claims may be about though it isn't a number."""


def claimable() -> dict[str, Quantity]:
    """What claims may be about, under the names that they have for it."""
    return {each.claimed: each for each in (*QUANTITIES.values(), SHAPE)}
