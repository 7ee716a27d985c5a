"""A layer's formulas in general: its own methods, evaluated on symbols that are named after its arguments.

There is no second copy of any formula here. A layer like the one in question is made, with `C_out` for its channels
and (k_h, k_w) for its kernel, and asked for its shape, weights and MACs on a volume C_in x H x W.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archcalc.analyses.field import Field, slide
from archcalc.errors import LocalError
from archcalc.graph import Application
from archcalc.layers.base import Layer
from archcalc.report import Row
from archcalc.shape import SPATIAL, Shape, Window
from archcalc.symbolic import collecting_conditions, dim, is_symbolic, prod
from archcalc.symbolic.arithmetic import canonical_floor
from archcalc.symbolic.compiled import compare
from archcalc.symbolic.values import value_at

NAMES = {
    "out_channels": "C_out", "out_features": "C_out", "dim": "C_out", "kernel_size": "k", "stride": "s", "padding": "p",
    "output_padding": "a", "dilation": "d", "groups": "g", "num_groups": "g", "multiplier": "m", "num_heads": "h",
    "num_positions": "P", "num_embeddings": "V", "output_size": "m", "factor": "f", "num_parameters": "n",
    "num_proposals": "R_out",
}  # fmt: skip
"""Short names of arguments; others keep their own."""
SELDOM = ("dilation", "groups", "multiplier", "output_padding")
"""Arguments that are left out of a worked example where they are at their defaults."""
ORDER = (
    "N", "r_in", "r_in_d", "r_in_h", "r_in_w", "R", "T", "D_out", "H_out", "W_out", "T_out", "D", "H", "W",
    "p", "p_1", "p_2", "p_d", "p_h", "p_w", "d", "d_d", "d_h", "d_w", "k", "k_d", "k_h", "k_w", "C_in", "C_1", "C_2",
    "C_out", "g", "j_in", "j_in_d", "j_in_h", "j_in_w", "s",
)  # fmt: skip
"""The order in which symbols are written."""
HELD = ("weights", "biases", "params", "buffers")
"""What a layer has for each of its copies."""
QUANTITIES = (*HELD, "macs")


@dataclass(frozen=True)
class Formula:
    """What is computed, in symbols (`general`), and its value on this layer (`value`)."""

    name: str
    general: Any
    value: Any


@dataclass
class Names:
    """The symbols that stand for a layer's arguments and volumes, and what they stand for."""

    values: dict[str, Any] = field(default_factory=dict)
    from_zero: set[str] = field(default_factory=set)
    """Those that may be 0; all others are positive."""

    def amount(self, name: str, value: Any) -> Any:
        """A symbol for what may be 0."""
        symbol = self.symbol(name, value)
        self.from_zero.add(symbol.name)
        return symbol

    def symbol(self, name: str, value: Any) -> Any:
        """A symbol; a second value under a name in use gets a name of its own."""
        if name in self.values and not _same(self.values[name], value):
            name = next(f"{name}_{n}" for n in range(2, 99) if f"{name}_{n}" not in self.values)
        self.values[name] = value
        return dim(name)


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) and type(a) is type(b)


@dataclass(frozen=True)
class General:
    """A layer with symbols for arguments, on volumes of symbols."""

    layer: Layer
    inputs: tuple[Shape, ...]
    names: Mapping[str, Any]
    from_zero: frozenset[str] = frozenset()
    """The symbols that may be 0; all others are positive."""


@dataclass(frozen=True)
class LayerFormulas:
    """A layer's formulas, what their symbols stand for, what they presuppose, and the layer that gave them."""

    listed: tuple[Formula, ...]
    names: Mapping[str, Any]
    conditions: tuple[Any, ...]
    general: General

    def __getitem__(self, name: str) -> Formula | None:
        return next((formula for formula in self.listed if formula.name == name), None)


def layer_formulas(application: Application, usual: bool = False) -> LayerFormulas:
    """All formulas of a layer; `usual` leaves out dilation, groups and such where they are at their defaults.

    They are checked: with this layer's numbers put in, each gives its value.
    """
    if not application.input_shapes:
        return _of_input(application)
    for arguments in (True, False):
        with collecting_conditions() as found:
            try:
                general = generalised(application, arguments, usual)
                formulas = list(_formulas(application, general))
            except (LocalError, TypeError):
                continue
        formulas = [Formula(f.name, tidy(f.general, found), f.value) for f in formulas]
        names = {**general.names, **{f.name: f.value for f in formulas if f.name.endswith("_out")}}
        if all(put_in(formula.general, names) == formula.value for formula in formulas):
            met = tuple(condition for condition in found if _is_met(condition, names))
            return LayerFormulas(tuple(formulas), names, met, general)
    plain = General(application.layer, application.input_shapes, {})
    return LayerFormulas(tuple(_formulas(application, plain)), {}, (), plain)


def _of_input(application: Application) -> LayerFormulas:
    """An input's values, which are all there is to it."""
    names, shape = Names(), application.output_shape
    values = prod(names.symbol(axis, size) for axis, size in shape.items())
    listed = (Formula("activations", values, shape.numel),)
    return LayerFormulas(listed, names.values, (), General(application.layer, (), names.values))


def generalised(application: Application, arguments: bool = True, usual: bool = False) -> General:
    """The layer on symbols; with `arguments`, its own arguments are symbols too."""
    names = Names()
    shapes = _inputs(application, names)
    layer = application.layer
    if not arguments:
        return General(layer, shapes, names.values)
    values = {}
    for name, argument in layer.arguments().items():
        value = getattr(layer, name)
        if usual and name in SELDOM and value == argument.default:
            values[name] = value
            continue
        values[name] = _argument(application, name, argument.type.name, value, names)
    return General(layer.given(**values), shapes, names.values, frozenset(names.from_zero))


def _inputs(application: Application, names: Names) -> tuple[Shape, ...]:
    """The input volumes in symbols; axes of equal size share one, except where they are joined."""
    shapes, joined = [], getattr(application.layer, "axis", None)
    first = application.input_shapes[0] if application.input_shapes else {}
    for number, shape in enumerate(application.input_shapes, 1):
        sizes = {}
        for axis, size in shape.items():
            base = "C_in" if axis == "C" else axis
            if size == 1 and axis in SPATIAL and any(other.get(axis, 1) != 1 for other in application.input_shapes):
                sizes[axis] = size  # a gate
            elif axis == joined or (number > 1 and not (axis in first and _same(first[axis], size))):
                sizes[axis] = names.symbol(f"{axis}_{number}", size)
            else:
                sizes[axis] = names.symbol(base, size)
        shapes.append(Shape(**sizes))
    return tuple(shapes)


def _argument(application: Application, name: str, type_: str, value: Any, names: Names) -> Any:
    short = NAMES.get(name, name)
    if type_ == "Padding" and value != "same":
        return _padding(application, names)
    if name == "stride" and value is None:
        value = application.layer.kernel_size  # type: ignore[attr-defined]
    if value is None or isinstance(value, str) or type_ not in ("Dim", "Count", "Channels", "Extent", "Amounts"):
        return value
    axes = application.input_shapes[0].spatial
    symbol = names.amount if type_ in ("Amounts", "Count") else names.symbol
    if type_ in ("Dim", "Count", "Channels"):
        return symbol(f"{name}_out" if len(name) == 1 else short, value)
    if not axes:  # of a grid that isn't the input's
        sizes = value if isinstance(value, tuple) else (value,)
        found = tuple(symbol(f"{short}_{number}" if len(sizes) > 1 else short, v) for number, v in enumerate(sizes, 1))
        return found if isinstance(value, tuple) else found[0]
    values = value if isinstance(value, tuple) else (value,) * len(axes)
    if len(set(values)) == 1 and (name != "kernel_size" or len(axes) == 1):
        return symbol(short, values[0])
    return tuple(symbol(f"{short}_{axis.lower()}", v) for axis, v in zip(axes, values, strict=True))


def _padding(application: Application, names: Names) -> Any:
    """One symbol for all sides, one per axis, or one per side, as this layer's padding needs."""
    windows = application.layer.windows(*application.input_shapes)
    pads = {axis: (w.before, w.after) for axis, w in windows.items()}
    if not pads:
        return application.layer.padding  # type: ignore[attr-defined]
    if all(before == after for before, after in pads.values()):
        if len(set(pads.values())) == 1:
            return names.amount("p", next(iter(pads.values()))[0])
        return tuple(names.amount(f"p_{axis.lower()}", before) for axis, (before, _) in pads.items())
    if len(set(pads.values())) == 1:
        before, after = next(iter(pads.values()))
        return ((names.amount("p_1", before), names.amount("p_2", after)),)
    return tuple(
        (names.amount(f"p_{axis.lower()}1", before), names.amount(f"p_{axis.lower()}2", after))
        for axis, (before, after) in pads.items()
    )


def _formulas(application: Application, general: General) -> Iterator[Formula]:
    """Sizes of the output, then what the layer has and does, in terms of them."""
    output, inputs = general.layer.output_shape(*general.inputs), application.input_shapes
    sizes: dict[Any, Any] = {}
    for axis, size in output.items():
        name = f"{axis}_out"
        unchanged = axis in general.inputs[0] and size == general.inputs[0][axis]
        if not unchanged and not _is_called(size, name):
            yield Formula(name, size, application.output_shape[axis])
            if getattr(size, "is_Atom", True) is False:
                sizes[size] = dim(name)
    for quantity in QUANTITIES:
        held = application.copies if quantity in HELD else 1
        value = held * getattr(application.layer, quantity)(*inputs)
        if is_symbolic(value) or value:
            found = held * getattr(general.layer, quantity)(*general.inputs)
            yield Formula(quantity, found.xreplace(sizes) if is_symbolic(found) else found, value)
    if not application.layer.in_place:
        values = prod(sizes.get(size, size) for size in output.values())
        yield Formula("activations", values, application.output_shape.numel)


def _is_called(size: Any, name: str) -> bool:
    return bool(getattr(size, "is_Symbol", False) and size.name == name)


def _is_met(condition: Any, names: Mapping[str, Any]) -> bool:
    """Whether this layer meets a condition, as far as that can be said; `n == C_in` is one of two ways at times."""
    left, right = put_in(condition.left, names), put_in(condition.right, names)
    return is_symbolic(left) or is_symbolic(right) or bool(compare(left, condition.relation, right))


def field_formulas(row: Row, found: LayerFormulas) -> Iterator[tuple[str, list[Formula]]]:
    """For each axis how the receptive field r and its stride j follow from those of the layer's input.

    Nothing for merges, and where fields differ from position to position.
    """
    import sympy

    if len(row.node.inputs) != 1:
        return
    windows = found.general.layer.windows(*found.general.inputs)
    before = Row(row.report, row.node.inputs[0]).fields
    for axis, window in windows.items():
        if axis not in before or axis not in row.fields or before[axis].constant or not before[axis].follows:
            continue
        if len(before[axis].windows) != 1 or type(window) is not Window:
            continue
        field = slide(Field(((0, dim("r_in") - 1),), dim("j_in")), window)
        values = {**found.names, "r_in": before[axis].size, "j_in": before[axis].stride}
        grown = sympy.factor(sympy.expand(field.size - dim("r_in")))
        formulas = [
            Formula("r_out", dim("r_in") + grown, row.fields[axis].size),
            Formula("j_out", field.stride, row.fields[axis].stride),
        ]
        if all(put_in(formula.general, values) == formula.value for formula in formulas):
            yield axis, formulas


def alike_along_all(row: Row, axes: Sequence[str]) -> bool:
    """Whether a layer's windows, its field and that of its input are the same along these axes."""
    windows = row.node.layer.windows(*row.node.application.input_shapes)
    before = Row(row.report, row.node.inputs[0]).fields if row.node.inputs else {}
    steps = [(before[a].size, before[a].stride, windows[a].extent, windows[a].stride) for a in axes]
    return all(step == steps[0] for step in steps)


def put_in(expr: Any, names: Mapping[str, Any]) -> Any:
    """An expression with values for its symbols."""
    if not is_symbolic(expr):
        return expr
    if all(isinstance(names.get(symbol.name), int) for symbol in expr.free_symbols):
        return value_at(expr, names)
    import sympy

    found = expr.subs({dim(name): value for name, value in names.items()}, simultaneous=True)
    if any(map(is_symbolic, names.values())):
        found = found.replace(sympy.floor, canonical_floor)
    found = sympy.expand(found)
    return int(found) if found.is_Integer else found


def tidy(expr: Any, conditions: Sequence[Any]) -> Any:
    """A readable form: divisions that come out even without floors, common factors in front."""
    if not is_symbolic(expr):
        return expr
    import sympy

    for condition in conditions:
        if isinstance(condition.left, sympy.Mod) and condition.right == 0:
            above, below = condition.left.args
            expr = expr.subs(sympy.floor(above / below), above / below)
    if expr.has(sympy.floor, sympy.Min, sympy.Max, sympy.Mod) or expr.is_Pow:
        return expr
    if not expr.is_Add:
        return expr
    return min(expr, sympy.factor_terms(sympy.expand(expr)), key=lambda form: (_leaves(form), sympy.count_ops(form)))


def _leaves(expr: Any) -> int:
    """How many symbols are written."""
    return 1 if expr.is_Symbol else sum(map(_leaves, expr.args))
