"""One layer, worked out for a person who is learning it: the numbers, and a sentence on each term.

The arithmetic is that of `general`, with this layer's numbers in it; the sentences are the kinds' own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from archcalc.formulas.explain_kept import kept_lines
from archcalc.formulas.general import Formula, Formulas, alike_along_all, field_formulas, layer_formulas
from archcalc.formulas.notation import PLAIN, Notation
from archcalc.report import Row
from archcalc.shape import TransposedWindow
from archcalc.symbolic import dim, is_symbolic
from archcalc.tables.numbers import exact, memory

LECTURE = (
    "T", "D_out", "H_out", "W_out", "T_out", "D", "H", "W", "d", "k", "d_d", "d_h", "d_w", "k_d", "k_h", "k_w", "p",
    "p_1", "p_2", "p_d", "p_h", "p_w", "C_in", "C_1", "C_2", "C_out",
)  # fmt: skip
"""The order of the lecture: (227 - 11 + 2*0)/4 + 1."""
LABELS = {"activations": "values", "macs": "MACs"}


def explained(row: Row) -> Iterator[str]:
    """The layer's arithmetic, line by line."""
    node = row.node
    at, report = node.application, row.report
    found = layer_formulas(at, usual=True)
    volumes = " and ".join(report.text(shape) for shape in at.input_shapes)
    if node.inputs:
        yield f"{node.name}: {at.text}"
        yield f"{volumes} -> {report.text(at.output_shape)}"
    else:
        yield f"{node.name}: {report.text(at.output_shape)}"
    summary = " ".join((type(node.layer).__doc__ or "").split("\n")[0].split())
    if summary:
        yield summary
    yield from _sizes(row, found)
    for name in ("weights", "biases", "params", "buffers", "activations", "macs"):
        formula = found[name]
        if formula is not None and not (name == "params" and not (found["weights"] and found["biases"])):
            yield ""
            yield from _quantity(row, found, formula)
    if at.layer.in_place:
        yield ""
        how = "it works on its input in place" if at.layer.has_inplace() else "its output takes its input's place"
        how = "it is a view of its input" if at.layer.is_view(*at.input_shapes) else how
        yield f"values: none of its own; {how}"
    if row.node.inputs and row.report.has("saved_bytes"):
        yield ""
        yield from kept_lines(row)
    yield from _field(row, found)
    if at.layer.uncounted:
        yield ""
        yield f"not counted as MACs: {at.layer.uncounted}"
    for remark in at.remarks:
        yield ""
        yield f"warning: {remark}"


def _notation(found: Formulas) -> Notation:
    values = {name: PLAIN.write(value) for name, value in found.names.items()}
    return replace(PLAIN, order=LECTURE, values=values, floor=("floor(", ")"), ceiling=("ceil(", ")"))


def _written(general: Any, found: Formulas) -> str:
    """A formula with numbers in it; without a bracket for a floor around it all, as `_result` says what is rounded."""
    notation = _notation(found)
    return replace(notation, floor=("", "")).write(general) if _rounds_down_once(general) else notation.write(general)


def _rounds_down_once(general: Any) -> bool:
    """Whether a formula is a sum with a single floor and a whole number: then rounding at the end is the same.

    A floor that is written as a ceiling is none.
    """
    import sympy

    if PLAIN.ceiling[0] in PLAIN.write(general):
        return False

    rest = sum(term for term in sympy.Add.make_args(general) if not isinstance(term, sympy.floor))
    return len(general.atoms(sympy.floor)) == 1 and not rest.has(sympy.floor) and bool(rest.is_integer)


def _sizes(row: Row, found: Formulas) -> Iterator[str]:
    """How each size of the output comes about; axes with the same arithmetic share their lines."""
    shown: dict[tuple[str, str], list[str]] = {}
    for formula in found.listed:
        if formula.name.endswith("_out") and is_symbolic(formula.general):
            key = (_written(formula.general, found), _result(formula, found))
            shown.setdefault(key, []).append(formula.name.removesuffix("_out"))
    windows = row.node.layer.windows(*row.node.application.input_shapes)
    for (arithmetic, result), axes in shown.items():
        yield ""
        yield f"{' and '.join(axes)}: {arithmetic} = {result}"
        if window := windows.get(axes[0]):
            yield f"  {_travel(window, row.node.application.input_shapes[0][axes[0]])}"


def _result(formula: Formula, found: Formulas) -> str:
    """The value; where it was rounded down, what it was before."""
    import sympy

    if not _rounds_down_once(formula.general):
        return PLAIN.write(formula.value)
    exactly = formula.general.replace(sympy.floor, lambda argument: argument)
    exactly = exactly.subs({dim(name): value for name, value in found.names.items()})
    if not exactly.is_Rational or exactly.is_Integer:
        return PLAIN.write(formula.value)
    before = float(Fraction(int(exactly.p), int(exactly.q)))
    return f"{before:.6g}, rounded down to {PLAIN.write(formula.value)}"


def _travel(window: Any, size: Any) -> str:
    if isinstance(window, TransposedWindow):
        return f"each of the {size} positions writes {window.extent} outputs, {window.stride} apart from the next one's"
    padded = f"{size} positions" if window.before == window.after == 0 else f"{size} positions and the padding"
    return (
        f"the window covers {window.extent} of {padded}, so it can move by {window.slack(size)}; "
        f"a step is {window.stride}, and the first place counts too (+ 1)"
    )


def _quantity(row: Row, found: Formulas, formula: Formula) -> Iterator[str]:
    label = LABELS.get(formula.name, formula.name)
    arithmetic = _arithmetic(formula, found, found["weights"])
    value = exact(formula.value)
    if formula.name == "params":
        parts = [f for name in ("weights", "biases") if (f := found[name])]
        arithmetic = " + ".join(exact(part.value) for part in parts)
    yield (
        f"{label}: {arithmetic} = {value}" if arithmetic not in (value, value.replace(",", "")) else f"{label}: {value}"
    )
    at = row.node.application
    if text := at.layer.sentence(formula.name, *at.input_shapes):
        yield "  " + re.sub(r"{(\w+)}", lambda name: PLAIN.write(found.names.get(name[1], name[1])), text)
    if formula.name == "activations":
        yield "  one value for each position and channel of the output"
        yield f"  {memory(row['activation_bytes'])} as {row.report.dtype}"


def _arithmetic(formula: Formula, found: Formulas, weights: Formula | None) -> str:
    """A product as the lecture brackets it: (11*11*3)*96, and MACs as positions times weights."""
    notation = _notation(found)
    general = formula.general
    filters = dim("C_out")
    if formula.name in ("weights", "macs") and is_symbolic(general) and general.is_Mul and filters in general.args:
        inner = general / filters
        if inner.is_Mul:
            per_filter = weights.general / filters if weights is not None and is_symbolic(weights.general) else inner
            positions = general / weights.general if formula.name == "macs" and weights is not None else 1
            ahead = f"{_factor(notation, positions)}*" if positions != 1 else ""
            return f"{ahead}{_factor(notation, per_filter)}*{notation.write(filters)}"
    return notation.write(general)


def _factor(notation: Notation, expr: Any) -> str:
    text = notation.write(expr)
    return f"({text})" if not text.isalnum() else text


def _field(row: Row, found: Formulas) -> Iterator[str]:
    """The receptive field on the first input, and how it grew here."""
    fields, first = row.report.ordered(row.fields), row.report.graph.first_of_several
    label = f"receptive field on {first}" if first else "receptive field"
    if not fields:
        if first and row.report.graph.input.spatial:
            yield from ("", f"{label}: none, it isn't seen")
        return
    yield ""
    if not all(field.follows for field in fields.values()):
        numbered = any(field.numbered for field in fields.values())
        what = "tokens number the input's positions" if numbered else "positions no longer follow the input's axes"
        yield f"{label}: no number, {what}; archcalc receptive-field --at shows what one sees"
        return
    size = "x".join(str(field.size) for field in fields.values())
    if all(field.constant for field in fields.values()):
        whole = all(field.whole for field in fields.values())
        yield f"{label}: {'the whole input' if whole else 'every position sees the same part'}, {size}"
        return
    before = Row(row.report, row.node.inputs[0]).fields if row.node.inputs else {}
    steps = list(field_formulas(row, found))
    alike = alike_along_all(row, [axis for axis, _ in steps])
    for axis, (grown, _) in steps[:1] if alike else steps:
        values = {**_notation(found).values, "r_in": str(before[axis].size), "j_in": str(before[axis].stride)}
        arithmetic = replace(_notation(found), order=("r_in", *LECTURE), values=values).write(grown.general)
        along, in_all = ("", f" ({size} in all)" if len(fields) > 1 else "") if alike else (f" along {axis}", "")
        yield f"{label}{along}: {arithmetic} = {grown.value}{in_all}"
    if steps:
        yield "  each further tap reaches one step on; a step here is that of the layer before, seen on the input"
    else:
        yield f"{label}: {size}"
    stride = "x".join(str(field.stride) for field in fields.values())
    yield f"  neighbouring outputs look {stride} input positions apart"
