"""Formulas as lines of text: in general, with the numbers put in, and the result."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archcalc.errors import UsageError
from archcalc.formulas.general import ORDER, Formula, alike_along_all, field_formulas, layer_formulas, put_in
from archcalc.formulas.notation import LATEX, UNICODE, Notation
from archcalc.quantities import QUANTITIES, Total, names
from archcalc.report import Report, Row
from archcalc.symbolic import dim, is_symbolic

FORMATS = ("unicode", "latex", "sympy", "python")


@dataclass(frozen=True)
class Sheet:
    """A heading, its formulas, and what their symbols stand for (nothing, if they have no values)."""

    heading: str
    formulas: tuple[Formula, ...]
    names: Mapping[str, Any]
    conditions: tuple[Any, ...] = ()
    from_zero: Collection[str] = ()
    """The symbols that may be 0; all others are positive."""
    order: Sequence[str] = ORDER


def layer_sheet(row: Row) -> Sheet:
    """A layer's formulas, those of its receptive field included."""
    found = layer_formulas(row.node.application)
    formulas, names = list(found.listed), dict(found.names)
    fields = list(field_formulas(row, found))
    if alike_along_all(row, [axis for axis, _ in fields]):
        fields = fields[:1]  # the other axes follow the same formula
    for axis, steps in fields:
        before = Row(row.report, row.node.inputs[0]).fields[axis]
        end = f"_{axis.lower()}" if len(fields) > 1 else ""
        names |= {f"r_in{end}": before.size, f"j_in{end}": before.stride}
        renamed = {dim(name): dim(f"{name}{end}") for name in ("r_in", "j_in")}
        formulas += [replace(step, name=step.name + end, general=step.general.xreplace(renamed)) for step in steps]
    shapes = row.node.application.input_shapes or (row.node.shape,)
    volumes = " and ".join(row.report.text(shape) for shape in shapes)
    heading = f"{row.node.name}: {row.node.application.text} on {volumes}"
    heading = heading if row.node.inputs else f"{row.node.name}: {volumes}"
    return Sheet(heading, tuple(formulas), names, found.conditions, found.general.from_zero)


def totals_sheet(report: Report, values: Mapping[str, Any], path: str = "") -> Sheet:
    """The totals of a graph, or of one scope of it, as sums of products of its symbols."""
    import sympy

    formulas = []
    for name in names(Total.SUM):
        if QUANTITIES[name].seldom:
            continue
        total = report.total(name, path)
        if is_symbolic(total):
            total = sympy.expand(total)
        if is_symbolic(total) or total:
            formulas.append(Formula(name, total, put_in(total, values)))
    return Sheet(
        f"{report.name}{f'/{path}' if path else ''}, in total", tuple(formulas), values, report.graph.conditions, (), ()
    )


def layer_at(report: Report, path: str) -> Row | None:
    """The layer of this name, or the only one with parameters in the scope of this name; None if there are several.

    Raises: UnknownNameError: there's no such name.
    """
    rows = list(map(report.row, report.graph.indices(path))) or [report.row(report.graph.place(path))]
    if len(rows) == 1:
        return rows[0]
    having = [row for row in rows if is_symbolic(row["params"]) or row["params"]]
    return having[0] if len(having) == 1 else None


def lines(sheet: Sheet, form: str) -> Iterator[str]:
    """The sheet in one of `FORMATS`."""
    if form == "python":
        return _python(sheet)
    if form == "sympy":
        return _sympy(sheet)
    return _latex(sheet) if form == "latex" else _unicode(sheet)


def steps(formula: Formula, notation: Notation, names: Mapping[str, Any]) -> Iterable[str]:
    """The formula, with numbers put in, and its value; no step twice."""
    values = {name: notation.write(value) for name, value in names.items()}
    texts = [notation.write(formula.general)]
    if is_symbolic(formula.general):
        used = {symbol.name for symbol in formula.general.free_symbols}
        if used & values.keys():
            texts.append(replace(notation, values=values).write(formula.general))
    texts.append(notation.write(formula.value))
    return dict.fromkeys(texts)


def _unicode(sheet: Sheet) -> Iterator[str]:
    notation = replace(UNICODE, order=sheet.order)
    yield sheet.heading
    wide = max((len(formula.name) for formula in sheet.formulas), default=0)
    for formula in sheet.formulas:
        yield ""
        for number, text in enumerate(steps(formula, notation, sheet.names)):
            yield f"{formula.name if number == 0 else '':{wide}} = {text}"
    if sheet.conditions:
        yield ""
        yield f"needs {'; '.join(condition_text(condition, notation) for condition in sheet.conditions)}"


SIGNS = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}


def condition_text(condition: Any, notation: Notation = UNICODE) -> str:
    """A condition as people write it: C_in mod g = 0."""
    return " or ".join(
        f"{notation.write(one.left)} {SIGNS[one.relation]} {notation.write(one.right)}"
        for one in condition.alternatives
    )


def _latex(sheet: Sheet) -> Iterator[str]:
    notation = replace(LATEX, order=sheet.order)
    yield r"\begin{aligned}"
    for formula in sheet.formulas:
        name = (
            notation.symbol(formula.name) if "_out" in formula.name else rf"\text{{{formula.name}}}".replace("_", r"\_")
        )
        for number, text in enumerate(steps(formula, notation, sheet.names)):
            yield f"{name if number == 0 else ''} &= {text} \\\\"
    yield r"\end{aligned}"


def _python(sheet: Sheet) -> Iterator[str]:
    from archcalc.formulas.programs import python_code
    from archcalc.symbolic.compiled import Uncompilable

    try:
        yield from python_code(_resolved(sheet.formulas), sheet.conditions, sheet.names, sheet.from_zero)
    except Uncompilable as error:
        raise UsageError(f"no Python for this: {error}", "--format sympy has it") from None


def _sympy(sheet: Sheet) -> Iterator[str]:
    from archcalc.formulas.programs import sympy_code

    yield from sympy_code(_resolved(sheet.formulas), sheet.conditions, sheet.from_zero)


def _resolved(formulas: Sequence[Formula]) -> dict[str, Any]:
    """The formulas by name, H_out and its like replaced by their own."""
    known = {dim(each.name): each.general for each in formulas if each.name.endswith("_out")}
    return {each.name: each.general.xreplace(known) if is_symbolic(each.general) else each.general for each in formulas}
