"""A `Spec`: one file's architecture and its variants, parsed but not yet built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fractions import Fraction
from typing import Any

from archcalc.data import dataclass
from archcalc.errors import Diagnostic, Mark
from archcalc.language.budgets import Budget
from archcalc.language.expression import Expr
from archcalc.language.items import Item, Loop, Template
from archcalc.language.printed import Printed
from archcalc.language.tree import Source
from archcalc.quantities import DTYPE


@dataclass(frozen=True, slots=True)
class Value:
    """An expression where a spec gives a value, with its text and place."""

    expr: Expr
    text: str
    mark: Mark

    def at(self, offset: int) -> Mark:
        """The place of a part of the text."""
        return self.mark.moved(offset)


@dataclass(frozen=True, slots=True)
class Hparam:
    """A hyperparameter: its value, and the bounds that any other value must keep."""

    name: str
    value: Value
    minimum: Value | None = None
    multiple_of: Value | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A named piece with formals, a block or a module; it sees them, the file's hparams and its own names."""

    name: str
    formals: tuple[tuple[str, Expr | None], ...]
    body: Item
    mark: Mark
    is_module: bool = False
    """Whether calls with equal arguments have the same weights: it's declared under `modules`."""

    @property
    def what(self) -> str:
        """`block` or `module`."""
        return "module" if self.is_module else "block"

    @property
    def usage(self) -> str:
        """How it's called: its name and formals."""
        return " ".join([self.name, *(name if default is None else f"[{name}=…]" for name, default in self.formals)])


@dataclass(frozen=True, slots=True)
class Use:
    """Another spec's layers, up to and including a named one, as a block without arguments.

    `values` are for hparams of that spec, in the names of the one that uses it.
    """

    name: str
    spec: str
    variant: str
    upto: str
    mark: Mark
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variant:
    """Values for declared hparams; `aliases` are further names by which people know it, `title` says what it is."""

    name: str
    extends: str
    aliases: tuple[str, ...]
    values: Mapping[str, Value]
    mark: Mark
    title: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A connection table: one row per input channel, one entry per output channel."""

    rows: tuple[tuple[bool, ...], ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Output:
    """A named tensor that the graph gives out, and the condition under which it's there; one for each row of a loop."""

    path: Template
    condition: Expr | None
    text: str
    mark: Mark
    each: Loop | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One published figure, or a budget: a quantity of the whole graph or of one scope, for one variant.

    `printed` are the digits that decide; without them the value itself does, or the tolerance, a share of it.
    `digits` says how many the source means, where trailing zeros are none of them. `budget` is what the quantity has
    to stay within: then `expected` has nothing but its text. `dtype` is that of values, for claims about bytes.
    `holds` is false for an erratum: a printed figure that the mathematics contradicts.
    """

    source: str
    quantity: str
    path: str
    variant: str
    expected: Value
    printed: Printed | None
    digits: int | None
    tolerance: Fraction | None
    at: Mapping[str, Value]
    holds: bool
    note: str
    mark: Mark
    budget: Budget | None = None
    dtype: str = DTYPE

    @property
    def subject(self) -> str:
        """What is claimed: `params(conv1)`."""
        return f"{self.quantity}({self.path})" if self.path else self.quantity

    @property
    def percent(self) -> str:
        """The tolerance as specs write it, `2%`; nothing if there is none."""
        if self.tolerance is None:
            return ""
        return f"{float(100 * self.tolerance):.9f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True, slots=True, repr=False)
class Spec:
    """Everything that one file says. `source` is its text, `citation` the publication it describes."""

    name: str
    source: Source
    layers: Item
    inputs: Mapping[str, Mapping[str, Value]]
    title: str = ""
    citation: str = ""
    notes: str = ""
    default: str = ""
    hparams: Mapping[str, Hparam] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    uses: Mapping[str, Use] = field(default_factory=dict)
    blocks: Mapping[str, Block] = field(default_factory=dict)
    """Modules included."""
    variants: Mapping[str, Variant] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    claims: tuple[Claim, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()

    def __repr__(self) -> str:
        return f"Spec({self.name!r}, {len(self.variants)} variants, {self.source.file!r:.100})"

    @property
    def names(self) -> dict[str, str]:
        """Every name that people may use for this spec or a variant of it, with the variant meant ("" for none).

        The spec's own name means its default variant.
        """
        found = {self.name: self.default}
        for variant in self.variants.values():
            found.setdefault(variant.name, variant.name)
            for alias in variant.aliases:
                found.setdefault(alias, variant.name)
        return found

    @property
    def axes(self) -> dict[str, tuple[str, str]]:
        """Each size of the inputs by the name that it has everywhere: the input's name, and the axis.

        An axis of the first input has its own name, `H`; one of another input that input's as well, `right_H`.
        """
        found: dict[str, tuple[str, str]] = {}
        for number, (name, axes) in enumerate(self.inputs.items(), start=1):
            ahead = f"{name}_" if name.isascii() and name.isidentifier() else f"input{number}_"
            for axis in axes:
                label = axis if number == 1 else f"{ahead}{axis}"
                while label in found:
                    label += "_"
                found[label] = (name, axis)
        return found

    def input_text(self, name: str) -> str:
        """One of the inputs as messages call it: by its name only if there are several."""
        return f"input '{name}' of {self.name}" if len(self.inputs) > 1 else f"the input of {self.name}"

    def variant(self, name: str) -> Variant | None:
        """The variant of this name or alias."""
        for variant in self.variants.values():
            if name == variant.name or name in variant.aliases:
                return variant
        return None

    def title_of(self, name: str) -> str:
        """The title of a variant: its own, or the spec's."""
        variant = self.variant(name)
        return variant.title if variant and variant.title else self.title

    def claims_on_totals(self, name: str) -> list[Claim]:
        """The claims about the whole network of a variant, as it stands here."""
        found = (claim for claim in self.claims if not (claim.path or claim.at) and claim.dtype == DTYPE)
        return [claim for claim in found if (claim.variant or self.default) == name]

    def assigned(self, name: str) -> dict[str, Value]:
        """The hparam values that a variant sets, those of the variants it extends included."""
        values: dict[str, Value] = {}
        seen: set[str] = set()
        variant = self.variant(name)
        while variant is not None and variant.name not in seen:
            seen.add(variant.name)
            values = {**variant.values, **values}
            variant = self.variant(variant.extends)
        return values


def plain(value: Any) -> Any:
    """Lists as tuples, so that a value can be a key."""
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value
