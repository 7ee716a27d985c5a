"""One random layer of a random spec, as a chain or a mapping would write it, its numbers as expressions or hparams."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from archcalc.errors import ShapeError
from archcalc.layers import REGISTRY, Layer
from archcalc.layers.base import SHORTHANDS
from archcalc.shape import Shape
from tests.random_layers import Draw, Values, kinds_for

LARGEST = 20_000
"""Values that a volume may hold: larger ones take time and find nothing more."""
SHORT = {long: short for short, long in SHORTHANDS.items()}


@dataclass(frozen=True)
class Known:
    """A name that later items can refer to."""

    path: str
    shape: Shape
    layer: Layer | None = None
    inputs: tuple[Shape, ...] = ()


@dataclass
class Draft:
    """A spec in the making."""

    draw: Draw
    names: list[Known] = field(default_factory=list)
    hparams: dict[str, int] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    blocks: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Values] = field(default_factory=dict)
    awkward: list[str] = field(default_factory=lambda: ["double", "forward", "graph", "a.b", "a_b", "1x1"])
    """Names that a module can't have as they are; each is given once."""
    sealed: bool = False
    """Inside a block, whose body sees no names from outside."""
    counter: int = 0

    def fresh(self, letter: str) -> str:
        """A name that nothing else has."""
        self.counter += 1
        return f"{letter}{self.counter}"

    def chance(self, one_in: int) -> bool:
        """True once in a while; false is simpler."""
        return self.draw(st.integers(0, one_in - 1)) == one_in - 1


def layer_step(draft: Draft, x: Shape) -> tuple[Any, Shape, Layer, tuple[Shape, ...]]:
    """A call in the short or long form, the shape behind it, and the layer."""
    kinds = draft.draw(st.sampled_from(kinds_for(x)))
    kind = draft.draw(st.sampled_from(sorted(kinds)))
    values = kinds[kind](draft.draw, x)
    values, others = with_references(draft, kind, values, x)
    given = {**draft.defaults.get(kind, {}), **values}
    try:
        layer = REGISTRY[kind](**given)
        shape = layer.output_shape(x, *others)
        if shape.numel > LARGEST:
            raise ShapeError("too large")
    except ShapeError:
        kind, values, others = "identity", {}, ()
        layer, shape = REGISTRY["identity"](), x
    return call(draft, kind, values, x), shape, layer, (x, *others)


def with_references(draft: Draft, kind: str, values: Values, x: Shape) -> tuple[Values, tuple[Shape, ...]]:
    """Now and then a tensor argument, or a tie, as far as a name fits."""
    if draft.sealed or not draft.names or not draft.chance(2):
        return values, ()
    known = draft.draw(st.sampled_from(draft.names))
    path, like = f"@{known.path}", known.shape
    if kind == "crop" and like.spatial == x.spatial:
        return {"like": path}, (like,)
    if kind == "resize" and like.spatial == x.spatial:
        return {**{name: values[name] for name in values if name not in ("factor", "size")}, "like": path}, (like,)
    if kind == "unpool" and like.spatial == x.spatial:
        return {**values, "like": path}, (like,)
    if kind == "attention" and "T" in like and "C" in like and not like.spatial:
        return {**values, "kv": path}, (like,)
    if kind == "fc" and _ties(known):
        weight = known.layer.weight_shape(*known.inputs)  # type: ignore[union-attr]
        if len(weight) == 2 and weight[1] == x.C:
            return {**values, "out_features": weight[0], "tie": path}, ()
    if kind == "tconv" and _ties(known) and "connect" not in values:
        weight = known.layer.weight_shape(*known.inputs)  # type: ignore[union-attr]
        if len(weight) == 2 + len(x.spatial) and weight[0] == x.C:
            return {**values, "out_channels": weight[1], "kernel_size": weight[2:], "groups": 1, "tie": path}, ()
    return values, ()


def _ties(known: Known) -> bool:
    layer = known.layer
    return layer is not None and getattr(layer, "tie", None) is None and bool(layer.weight_shape(*known.inputs))


def call(draft: Draft, kind: str, values: Values, x: Shape) -> Any:
    """A call as text, by position or by name, or in the long form."""
    texts = {name: value_text(draft, name, value, x) for name, value in values.items()}
    if draft.chance(12):
        return {"op": kind, **texts}
    words, positional = [kind], True
    for name in REGISTRY[kind].arguments():
        if name not in texts:
            positional = False
            continue
        if positional and not draft.chance(6):
            words.append(texts[name])
            continue
        positional = False
        words.append(f"{SHORT.get(name, name) if draft.chance(2) else name}={texts[name]}")
    return " ".join(words)


def value_text(draft: Draft, name: str, value: Any, x: Shape) -> str:
    """A value as a spec may write it: a literal, or now and then an expression that has this value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer(draft, value, x) if value > 0 and draft.chance(5) else str(value)
    if isinstance(value, Fraction):
        return str(float(value)) if Fraction(str(float(value))) == value else str(value)
    if isinstance(value, tuple) and isinstance(value[0], tuple):
        if isinstance(value[0][0], bool):
            table = draft.fresh("table")
            draft.tables[table] = ["".join("X" if linked else "." for linked in row) for row in value]
            return table
        pairs = ",".join(f"[{before},{after}]" for before, after in value)
        return pairs if len(value) == 1 else f"[{pairs}]"
    if isinstance(value, tuple):
        return "x".join(map(str, value)) if len(value) > 1 else str(value[0])
    return str(value)


def _integer(draft: Draft, value: int, x: Shape) -> str:
    forms = [f"{value}*1", f"{value + 2}-2", f"({value} if 2 > 1 else 1)", f"max({value},1)"]
    if x.get("C") == value:
        forms += ["x.C", "x.C"]
    if not draft.chance(2):
        hparam = draft.fresh("h")
        draft.hparams[hparam] = value
        forms += [hparam, hparam, f"{hparam}//1"]
    return draft.draw(st.sampled_from(forms))
