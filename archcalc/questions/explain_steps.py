"""One layer worked out in steps, for a person who is learning it: the numbers, and a sentence on each term.

The arithmetic is that of `general`, with this layer's numbers in it; the sentences are the kinds' own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from archcalc.analyses.field import Field
from archcalc.errors import spelled
from archcalc.formulas.general import HELD, Formula, LayerFormulas, alike_along_all, field_formulas, layer_formulas
from archcalc.formulas.notation import PLAIN, Notation
from archcalc.graph import Application, Graph
from archcalc.graph.labels import UNNAMED
from archcalc.questions.explain_kept import kept_sentences
from archcalc.questions.formula import seen_from_input
from archcalc.report import Row
from archcalc.shape import TransposedWindow
from archcalc.symbolic import Dim, dim, is_symbolic
from archcalc.tables.numbers import exact, memory

LECTURE = (
    "T", "D_out", "H_out", "W_out", "T_out", "D", "H", "W", "d", "k", "d_d", "d_h", "d_w", "k_d", "k_h", "k_w", "p",
    "p_1", "p_2", "p_d", "p_h", "p_w", "C_in", "C_1", "C_2", "C_out",
)  # fmt: skip
"""The order of the lecture: (227 - 11 + 2*0)/4 + 1."""
LABELS = {"activations": "values", "macs": "MACs"}
FIELD = ("receptive_field",)


@dataclass(frozen=True, slots=True)
class Step:
    """How one number of a layer comes about.

    `names`: which quantity, or the axes of the output that have this size. `arithmetic` has the layer's numbers in it;
    it's empty where there is nothing to compute. `result` is the outcome in words, `value` the exact number. Sentences
    say why.
    """

    names: tuple[str, ...]
    label: str
    arithmetic: str
    result: str
    value: Dim | None = None
    sentences: tuple[str, ...] = ()

    @property
    def equation(self) -> str:
        """The arithmetic and its result."""
        return f"{self.arithmetic} = {self.result}" if self.arithmetic else self.result


def steps(row: Row) -> Iterator[Step]:
    """A layer's sizes, quantities, and what it sees, each worked out."""
    at, reuses = row.node.application, row.node.reuses
    found = layer_formulas(Application(at.layer, at.input_shapes, at.output_shape) if reuses else at, usual=True)
    yield from _sizes(row, found)
    for name in ("weights", "biases", "params", "buffers", "activations", "macs"):
        formula = found[name]
        if formula is not None and not (name == "params" and not (found["weights"] and found["biases"])):
            yield _used_again(row, formula) if reuses and name in HELD else _quantity(row, found, formula)
    if at.layer.in_place:
        how = "it works on its input in place" if at.layer.has_inplace() else "its output takes its input's place"
        how = "it is a view of its input" if at.layer.is_view(*at.input_shapes) else how
        yield Step(("activations",), "values", "", f"none of its own; {how}", 0)
    if row.node.inputs and row.report.has("saved_bytes"):
        yield _kept(row)
    yield from _fields(row, found)


def _notation(found: LayerFormulas) -> Notation:
    values = {name: PLAIN.write(value) for name, value in found.names.items()}
    return replace(PLAIN, order=LECTURE, values=values, floor=("floor(", ")"), ceiling=("ceil(", ")"))


def _written(general: Any, found: LayerFormulas) -> str:
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

    rest = sympy.Add(*(term for term in sympy.Add.make_args(general) if not isinstance(term, sympy.floor)))
    return len(general.atoms(sympy.floor)) == 1 and not rest.has(sympy.floor) and bool(rest.is_integer)


def _sizes(row: Row, found: LayerFormulas) -> Iterator[Step]:
    """How each size of the output comes about; axes with the same arithmetic share a step."""
    shown: dict[tuple[str, str], list[Formula]] = {}
    for formula in found.listed:
        if formula.name.endswith("_out") and is_symbolic(formula.general):
            shown.setdefault((_written(formula.general, found), _result(formula, found)), []).append(formula)
    windows = row.node.layer.windows(*row.node.application.input_shapes)
    for (arithmetic, result), alike in shown.items():
        axes = tuple(formula.name.removesuffix("_out") for formula in alike)
        window = windows.get(axes[0])
        why = (_travel(window, row.node.application.input_shapes[0][axes[0]]),) if window else ()
        yield Step(axes, " and ".join(axes), "" if arithmetic == result else arithmetic, result, alike[0].value, why)


def _result(formula: Formula, found: LayerFormulas) -> str:
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


def _quantity(row: Row, found: LayerFormulas, formula: Formula) -> Step:
    name, value, at = formula.name, exact(formula.value), row.node.application
    arithmetic = _arithmetic(formula, found, found["weights"])
    if name == "params":
        parts = [part for each in ("weights", "biases") if (part := found[each])]
        arithmetic = " + ".join(exact(part.value) for part in parts)
    if arithmetic in (value, value.replace(",", "")):
        arithmetic = ""
    sentences = []
    if text := at.layer.sentence(name, *at.input_shapes):
        sentences.append(re.sub(r"{(\w+)}", lambda word: PLAIN.write(found.names.get(word[1], word[1])), text))
    if name == "activations":
        sentences.append("one value for each position and channel of the output")
        sentences.append(f"{memory(row['activation_bytes'])} as {row.report.dtype}")
    return Step((name,), LABELS.get(name, name), arithmetic, value, formula.value, tuple(sentences))


def _used_again(row: Row, formula: Formula) -> Step:
    """What a layer has of it in a call of a module that doesn't hold the weights: none of its own."""
    assert row.node.tied is not None
    owner = row.report.graph.node(row.node.tied).name.replace(UNNAMED, "")
    name = formula.name
    return Step((name,), LABELS.get(name, name), "", "0", 0, (f"the {exact(formula.value)} of {owner} are used again",))


def _arithmetic(formula: Formula, found: LayerFormulas, weights: Formula | None) -> str:
    """A product as the lecture brackets it: (11*11*3)*96, and MACs as positions times weights."""
    notation = _notation(found)
    general = formula.general
    filters = dim("C_out")
    if formula.name in ("weights", "macs") and is_symbolic(general) and general.is_Mul and filters in general.args:
        inner = general / filters
        if inner.is_Mul:
            per_filter = weights.general / filters if weights is not None and is_symbolic(weights.general) else inner
            positions = general / weights.general if formula.name == "macs" and weights is not None else 1
            if is_symbolic(positions) and not positions.is_integer:
                return notation.write(general)  # not all weights multiply: some are lengths of others
            ahead = f"{_factor(notation, positions)}*" if positions != 1 else ""
            return f"{ahead}{_factor(notation, per_filter)}*{notation.write(filters)}"
    return notation.write(general)


def _factor(notation: Notation, expr: Any) -> str:
    text = notation.write(expr)
    return f"({text})" if not text.isalnum() else text


def _kept(row: Row) -> Step:
    """What autograd keeps because of the layer."""
    names, label, report = ("saved_bytes",), "kept for the backward pass", row.report
    if not report.graph.is_open and (few := report.by_passes("saved_bytes", row.index, row.index + 1)):
        row = Row(replace(report, graph=few[0].graph), few[2].start)
    elif not report.graph.is_listed:
        return Step(names, label, "", _too_many(report.graph))
    kept = row["saved_bytes"]
    return Step(names, label, "", f"{exact(kept)} bytes", kept, tuple(kept_sentences(row)))


def _too_many(graph: Graph) -> str:
    """Why what depends on all layers isn't worked out."""
    why = "the number of layers is a symbol" if graph.is_open else f"there are {len(graph):,} layers"
    return f"not worked out: {why}"


def _fields(row: Row, found: LayerFormulas) -> Iterator[Step]:
    """The receptive field on the first input, and how it grew here; a step for each axis if they differ."""
    first = row.report.graph.first_of_several
    label = f"receptive field on {first}" if first else "receptive field"
    if (place := seen_from_input(row)) is None:
        if row.report.graph.input.spatial:
            yield Step(FIELD, label, "", _too_many(row.report.graph))
        return
    row, fields = place, place.report.ordered(place.fields)
    if not fields:
        if first and row.report.graph.input.spatial:
            yield Step(FIELD, label, "", "none, it isn't seen")
    elif not all(field.follows for field in fields.values()):
        numbered = any(field.numbered for field in fields.values())
        one = spelled("what one sees: archcalc receptive-field --at")
        what = "tokens number the input's positions" if numbered else "positions no longer follow the input's axes"
        yield Step(FIELD, label, "", f"no number, {what}; {one}")
    elif all(field.constant for field in fields.values()):
        whole = all(field.whole for field in fields.values())
        seen = "the whole input" if whole else "every position sees the same part"
        yield Step(FIELD, label, "", f"{seen}, {_by_axis(fields, 'size')}")
    else:
        yield from _grown(row, found, fields, label)


def _grown(row: Row, found: LayerFormulas, fields: Mapping[str, Field], label: str) -> Iterator[Step]:
    """A field whose positions see different parts: from that of the layer's input, where one formula says how."""
    size = _by_axis(fields, "size")
    apart = f"neighbouring outputs look {_by_axis(fields, 'stride')} input positions apart"
    why = "each further tap reaches one step on; a step here is that of the layer before, seen on the input"
    before = Row(row.report, row.node.inputs[0]).fields if row.node.inputs else {}
    grown = [(axis, formulas[0]) for axis, formulas in field_formulas(row, found)]
    alike = alike_along_all(row, [axis for axis, _ in grown])
    grown = grown[:1] if alike else grown
    for number, (axis, formula) in enumerate(grown, start=1):
        values = {**_notation(found).values, "r_in": str(before[axis].size), "j_in": str(before[axis].stride)}
        arithmetic = replace(_notation(found), order=("r_in", *LECTURE), values=values).write(formula.general)
        along, in_all = ("", f" ({size} in all)" if len(fields) > 1 else "") if alike else (f" along {axis}", "")
        sentences = (why, apart) if number == len(grown) else ()
        yield Step(FIELD, label + along, arithmetic, f"{formula.value}{in_all}", formula.value, sentences)
    if not grown:
        yield Step(FIELD, label, "", size, sentences=(apart,))


def _by_axis(fields: Mapping[str, Field], what: str) -> str:
    sizes = [getattr(field, what) for field in fields.values()]
    return "x".join(f"({size})" if is_symbolic(size) and size.is_Add and sizes[1:] else str(size) for size in sizes)
