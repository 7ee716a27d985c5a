"""Closed forms of a network's totals or of one layer, with its numbers put in: to read, in LaTeX, and as programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from archcalc import text
from archcalc.errors import Diagnostic, SpecError, UnknownNameError, UsageError, suggestion
from archcalc.expand import Given, Sizes, by_label
from archcalc.expand.given import mapping_of
from archcalc.formulas.general import (
    ORDER,
    Formula,
    LayerFormulas,
    alike_along_all,
    field_formulas,
    layer_formulas,
    put_in,
)
from archcalc.formulas.notation import LATEX, UNICODE, Notation, condition_text
from archcalc.formulas.programs import python_code, sympy_code
from archcalc.formulas.symbols import opened, with_values
from archcalc.graph import Graph
from archcalc.graph.composite import counts, depth_symbols
from archcalc.graph.labels import UNNAMED
from archcalc.graph.opaque import lower_bounds
from archcalc.graph.tree import NoNumber, TooManyLayers, layers_of
from archcalc.identifiers import Namespace
from archcalc.quantities import DTYPE, QUANTITIES, Total, fields
from archcalc.quantities import names as quantities
from archcalc.questions.calculated import Calculated, all_calculated, calculated
from archcalc.questions.networks import Network, architecture_of, names_of, refuse_both, report_of
from archcalc.report import Report, Row
from archcalc.shape import BATCH
from archcalc.symbolic import Condition, Dim, dim, exact, is_symbolic
from archcalc.symbolic.compiled import Uncompilable
from archcalc.symbolic.values import NoValue, value_at
from archcalc.tables import Column, Kind, Table
from archcalc.tables.answer import Answer


@dataclass(frozen=True, repr=False)
class Formulas(Answer):
    """Formulas by name, and what their symbols stand for.

    `found["params"]` is an expression, or an integer; iterating gives each formula with its value. `values`: the
    numbers that the symbols have, by name. `conditions`: what the symbols must fulfil. `single`: they are of one layer.
    `fixed`: parts of lists that stay numbers, as the structure needs them. `left_open`: symbols for whose numbers the
    network can't be built. `warnings`: about the spec.
    """

    heading: str
    formulas: tuple[Formula, ...]
    values: Mapping[str, Dim] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    from_zero: Collection[str] = ()
    """The symbols that may be 0; all others are positive."""
    order: Sequence[str] = ()
    """In which symbols are written."""
    single: bool = False
    fixed: tuple[str, ...] = ()
    left_open: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    left_out: str = ""
    """What isn't in totals, where they are less than the truth."""

    def __getitem__(self, name: str) -> Dim:
        found: Mapping[str, Dim] = {each.name: each.general for each in self.formulas}
        if name not in found:
            raise UnknownNameError(f"there is no formula of '{name}'", suggestion(str(name), found))
        return found[name]

    def __iter__(self) -> Iterator[Formula]:
        return iter(self.formulas)

    def __len__(self) -> int:
        return len(self.formulas)

    @property
    def names(self) -> tuple[str, ...]:
        """What there are formulas of."""
        return tuple(each.name for each in self.formulas)

    def at(self, **numbers: Dim) -> dict[str, Dim]:
        """All values where symbols are these numbers; of those that aren't given, what they are in this network.

        Raises: UsageError: there's no such symbol, a number isn't exact, or the network can't be built with them.

        >>> import archcalc
        >>> archcalc.formula("alphago_policy", symbolic="k").at(k=256)["params"]
        6798953
        """
        known = {symbol.name for each in self.formulas for symbol in getattr(each.general, "free_symbols", ())}
        known |= {symbol.name for condition in self.conditions for symbol in condition.symbols}
        for name in numbers:
            if name not in known:
                raise UnknownNameError(f"no formula has the symbol '{name}'", suggestion(name, known))
        given = {**self.values, **{name: exact(number, name) for name, number in numbers.items()}}
        for name in sorted(known & given.keys()):
            least = 0 if name in self.from_zero else 1
            exact(given[name], name, least)
        for condition in self.conditions:
            settled = all(isinstance(given.get(symbol.name), int) for symbol in condition.symbols)
            if settled and not condition.holds({symbol.name: given[symbol.name] for symbol in condition.symbols}):  # type: ignore[misc]  # settled
                raise UsageError(f"the formulas need {condition_text(condition)}")
        return {name: put_in(expr, given) for name, expr in self._resolved().items()}

    def table(self) -> Table:
        """A row for each formula, with its value in this network."""
        notation = replace(UNICODE, order=self.order)
        return Table(
            [Column("name", Kind.NAME), Column("value"), Column("formula", Kind.TEXT)],
            lambda: ([each.name, notation.write(each.value), notation.write(each.general)] for each in self),
            self.heading,
            values=lambda: ([each.name, each.value, each.general] for each in self),
            notes=self._needs(notation),
            json=self._json,
        )

    def to(self, form: str, **choices: Any) -> str:
        """The formulas as a text: unicode, latex, sympy or python, else their table in one of the other formats.

        Raises: UsageError: there is no such format, or there's no Python for one of the formulas.

        >>> import archcalc
        >>> print(archcalc.formula("alphago_policy", symbolic="k").to("sympy").splitlines()[3])
        params = 99*k**2 + 1213*k + 361
        """
        written = FORMS.get(form)
        return super().to(form, **choices) if written is None else written(self)

    def unicode(self) -> str:
        """Each formula with names, then with this network's numbers put in, then the result."""
        notation = replace(UNICODE, order=self.order)
        wide = max((len(each.name) for each in self), default=0)
        blocks = [[self.heading]]
        for each in self:
            steps = self._steps(each, notation)
            blocks.append([f"{'' if number else each.name:{wide}} = {step}" for number, step in enumerate(steps)])
            if isinstance(each.value, Fraction):
                blocks[-1].append(f"{'':{wide}} ≈ {float(each.value):.4g}")
        return _text("\n\n".join("\n".join(block) for block in [*blocks, self._needs(notation)] if block).split("\n"))

    def latex(self) -> str:
        """The same as lines of an `aligned` environment."""
        notation = replace(LATEX, order=self.order)
        lines = []
        for each in self:
            escaped = each.name.replace("_", r"\_")
            name = notation.symbol(each.name) if "_out" in each.name else rf"\text{{{escaped}}}"
            steps = self._steps(each, notation)
            lines += [f"{'' if number else name} &= {step} \\\\" for number, step in enumerate(steps)]
        return _text([r"\begin{aligned}", *lines, r"\end{aligned}"])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows: typeset formulas, or their table as text."""
        return {"text/plain": repr(self), "text/latex": f"$$\n{self.latex()}$$"}

    def sympy(self) -> str:
        """Lines for SymPy: the symbols, then each formula; read back before they're shown."""
        from sympy import sympify

        taken = Namespace()
        formulas = {taken.name(name): sympify(value) for name, value in self._resolved().items()}
        return _text(sympy_code(formulas, self.conditions, self.from_zero))

    def python(self) -> str:
        """A function in exact integers that refuses what can't be built; run and compared before it's shown.

        Raises: UsageError: a formula isn't integer arithmetic.
        """
        try:
            return _text(python_code(self._resolved(), self.conditions, self.values, self.from_zero))
        except Uncompilable as error:
            raise UsageError(f"no Python for this: {error}", "there is SymPy for it: --format sympy") from None

    def _needs(self, notation: Notation) -> list[str]:
        needs = "; ".join(condition_text(condition, notation) for condition in self.conditions)
        return [f"needs {needs}"] * bool(needs) + [self.left_out] * bool(self.left_out)

    def _steps(self, formula: Formula, notation: Notation) -> Iterable[str]:
        """The formula, with numbers put in, and its value; no step twice."""
        values = {name: notation.write(value) for name, value in self.values.items()}
        texts = [notation.write(formula.general)]
        if is_symbolic(formula.general) and {each.name for each in formula.general.free_symbols} & values.keys():
            texts.append(replace(notation, values=values).write(formula.general))
        texts.append(notation.write(formula.value))
        return dict.fromkeys(texts)

    def _resolved(self) -> dict[str, Any]:
        """The formulas by name, H_out and its like replaced by their own."""
        known = {dim(each.name): each.general for each in self if each.name.endswith("_out")}
        return {each.name: each.general.xreplace(known) if is_symbolic(each.general) else each.general for each in self}

    def _json(self) -> Iterator[str]:
        found = {
            "archcalc": 1,
            "name": self.heading,
            "formulas": {each.name: each.general for each in self},
            "values": {each.name: each.value for each in self},
            "symbols": dict(self.values),
            "conditions": [str(condition) for condition in self.conditions],
            **({"left_out": self.left_out} if self.left_out else {}),
        }
        yield text.json(found, default=str)


FORMS: Mapping[str, Callable[[Formulas], str]] = {
    "unicode": Formulas.unicode,
    "latex": Formulas.latex,
    "sympy": Formulas.sympy,
    "python": Formulas.python,
}
"""How formulas are written, beside their table."""
PROGRAMS = ("sympy", "python")


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def formula(
    network: Network,
    layer: str = "",
    *,
    hparams: Mapping[str, Given] | None = None,
    sizes: Sizes | None = None,
    symbolic: str | Iterable[str] = (),
    batch: Dim = 1,
    dtype: str = DTYPE,
    columns: str | Iterable[str] = (),
) -> Formulas:
    """Formulas of one layer, in its arguments and sizes; without `layer`, or for a scope, of the totals.

    Totals are in the inputs' sizes, or in what `symbolic` names: axes, hparams, or N, the batch. The numbers that the
    network has are put in. Counts are counts, bytes are those of a dtype; a layer's are for one example. `columns`: of
    which totals, numbers of layers (`conv5.params`), or what is calculated from them: `attention_macs/macs`, or with a
    name of its own `share = attention_macs/macs`.
    Raises: UsageError: a name means nothing, or the batch is open for a single layer. SpecError: the spec is wrong, or
    its structure depends on a symbol.

    >>> import archcalc
    >>> found = archcalc.formula("alphago_policy", symbolic="k")
    >>> found["params"], found["macs"]
    (99*k**2 + 1213*k + 361, 35739*k**2 + 433561*k)
    >>> archcalc.formula("alexnet", "conv1")["params"]
    C_out*(C_in*k_h*k_w/g + 1)
    """
    if not isinstance(layer, str):
        raise UsageError(f"a layer is called by its path, not {layer!r:.60}", "archcalc.formula('alexnet', 'conv1')")
    names, hparams, sizes = names_of(symbolic), mapping_of(hparams, "hparams"), mapping_of(sizes, "sizes")
    wanted = all_calculated(columns) if columns else ()
    refuse_both({**hparams, **sizes}, names)
    if isinstance(network, (Graph, Report)):
        report = report_of(network, hparams, sizes, names, batch, dtype)
        return (None if wanted else _of_layer(report, layer, names)) or of_totals(report, {}, layer, wanted, names)
    architecture = architecture_of(network)
    by_axis = by_label(architecture.spec, sizes)
    if layer and not wanted:
        found = opened(architecture, names, hparams, by_axis, batch)
        if (alone := _of_layer(Report(found.graph, found.batch), layer, names)) is not None:
            return replace(alone, fixed=found.fixed)
    batch = dim(BATCH) if BATCH in names else batch
    try:
        graph = opened(architecture, (), hparams, by_axis).graph
    except SpecError:
        if not names:
            raise
        found = opened(architecture, names, hparams, by_axis)
        totals = of_totals(Report(found.graph, batch, dtype), {}, layer, wanted, names)
        return replace(totals, fixed=found.fixed, left_open=tuple(names))
    found, values = with_values(architecture, graph, names, hparams, by_axis)
    formulas = of_totals(Report(found.graph, batch, dtype), values, layer, wanted, names)
    if found.graph.is_open and not layer:

        def without(name: str) -> Report:
            graph = opened(architecture, (), {**hparams, name: 0}, by_axis).graph
            return Report(graph, 1 if is_symbolic(batch) else batch, dtype)

        depths = {s.name for s in depth_symbols(found.graph.tree.body)} & {*names}
        formulas = _without_passes(formulas, depths, without, wanted)
    return replace(formulas, fixed=found.fixed, warnings=graph.warnings)


def _without_passes(
    formulas: Formulas, numbers: Collection[str], built: Callable[[str], Report], wanted: Sequence[Calculated]
) -> Formulas:
    """The formulas, with whether they hold where a number of passes is 0, as far as the network can be `built` so.

    It may then be 0, if it's the only symbol; where they don't hold, it's said that it must be 1 or more.
    """
    for name in sorted(numbers):
        known = {symbol: value for symbol, value in formulas.values.items() if isinstance(value, int)}
        values = {BATCH: 1, **known, name: 0}
        try:
            there = built(name)
            totals = {each.name: each.value(there, symbols=known) for each in wanted or _usual(there)}
            holds = all(value_at(each.general, values) == put_in(totals[each.name], values) for each in formulas)
        except (SpecError, UsageError, KeyError, NoValue):  # no such network, or other symbols have no numbers
            continue
        if not holds:
            formulas = replace(formulas, conditions=(*formulas.conditions, Condition(dim(name), ">=", 1)))
        elif [*formulas.values] == [name]:
            formulas = replace(formulas, from_zero=(name,))
    return formulas


def _of_layer(report: Report, layer: str, names: Sequence[str]) -> Formulas | None:
    """The formulas of the layer that is meant, if it's a single one."""
    row = layer_at(report, layer) if layer else None
    if row is None:
        return None
    if BATCH in names:
        raise UsageError("a layer's formulas are for one example", f"leave {BATCH} out")
    return of_layer(row)


def of_layer(row: Row) -> Formulas:
    """A layer's formulas, those of its receptive field included."""
    found = layer_formulas(row.node.application)
    formulas, names = list(found.listed), dict(found.names)
    if (seen := seen_from_input(row)) is not None:
        growth, sizes = _of_fields(seen, found)
        formulas += growth
        names |= sizes
    shapes = row.node.application.input_shapes or (row.node.shape,)
    volumes = " and ".join(row.report.text(shape) for shape in shapes)
    name = row.node.name.replace(UNNAMED, "")
    heading = f"{name}: {row.node.application.text} on {volumes}" if row.node.inputs else f"{name}: {volumes}"
    return Formulas(
        heading, tuple(formulas), names, found.conditions, found.general.from_zero, ORDER, single=True,
        warnings=row.report.graph.warnings,
    )  # fmt: skip


def _of_fields(row: Row, found: LayerFormulas) -> tuple[list[Formula], dict[str, Any]]:
    """The formulas of a layer's receptive field, and the numbers that they take."""
    formulas: list[Formula] = []
    names: dict[str, Any] = {}
    growing = list(field_formulas(row, found))
    if alike_along_all(row, [axis for axis, _ in growing]):
        growing = growing[:1]  # the other axes follow the same formula
    for axis, steps in growing:
        before = Row(row.report, row.node.inputs[0]).fields[axis]
        end = f"_{axis.lower()}" if len(growing) > 1 else ""
        names |= {f"r_in{end}": before.size, f"j_in{end}": before.stride}
        renamed = {dim(name): dim(f"{name}{end}") for name in ("r_in", "j_in")}
        formulas += [replace(step, name=step.name + end, general=step.general.xreplace(renamed)) for step in steps]
    return formulas, names


def of_totals(
    report: Report,
    values: Mapping[str, Any],
    path: str = "",
    wanted: Sequence[Calculated] = (),
    names: Iterable[str] = (),
) -> Formulas:
    """The totals of a graph, or of one scope of it, as sums of products of its symbols; or what is `wanted`.

    `names` are symbols that may stand in it.
    """
    formulas = []
    for each in wanted or _usual(report, path):
        total = each.value(report, path, names)
        if wanted or is_symbolic(total) or total:
            formulas.append(Formula(each.name, total, put_in(total, values)))
    where, graph, needs = f"{report.name}{f'/{path}' if path else ''}", report.graph, list[Condition]()
    if path and not wanted:
        with suppress(NoNumber, TooManyLayers):  # totals have formulas nevertheless
            row = report[path]
            formulas += [Formula(name, size, put_in(size, values)) for name, size in _seen(row)]
            needs = report.open_fields().needs(row.index) if graph.is_open else []
    conditions = (*graph.conditions, *needs)
    return Formulas(
        f"{where}, in total", tuple(formulas), values, conditions, warnings=graph.warnings, left_out=lower_bounds(graph)
    )


def _seen(row: Row) -> Iterator[tuple[str, Dim]]:
    """What a scope's output sees, where that depends on symbols: one number if it's the same along all axes."""
    for name in fields():
        sizes = row[name]
        if len({*sizes.values()}) == 1:
            sizes = dict(list(sizes.items())[:1])
        for axis, size in sizes.items():
            if is_symbolic(size) and size.is_integer:
                yield (f"{name}_{axis.lower()}" if len(sizes) > 1 else name), size


def _usual(report: Report, path: str = "") -> Iterator[Calculated]:
    """The totals that are listed where nobody says which."""
    for name in quantities(Total.SUM):
        other = QUANTITIES[name].unlike
        if not QUANTITIES[name].seldom or (other and report.total(name, path) != report.total(other, path)):
            yield calculated(name)


def layer_at(report: Report, path: str) -> Row | None:
    """The layer of this name, or the only one with parameters in the scope of this name; None if there are several.

    Of passes whose number is a symbol, the first few are known by their names.
    Raises: UnknownNameError: there's no such name.
    """
    graph = report.graph
    place = graph.tree.part(graph.tree.spelled(path)) if isinstance(path, str) else None
    if place is None or not place.call.size:
        rows = list(map(report.row, graph.indices(path))) or [report.row(graph.place(path))]
        having = [row for row in rows if row["params"] != 0]
        return rows[0] if len(rows) == 1 else having[0] if len(having) == 1 else None
    there = counts(place.call)
    for chosen in ({*there}, {at for at in there if report.value(at, "params") != 0}):
        if sum(there[at] for at in chosen) == 1:
            return report.row(next(layers_of(place, chosen)).start)
    return None


def seen_from_input(row: Row) -> Row | None:
    """The layer where its receptive field can be worked out; None if there are too many layers before it.

    Of passes whose number is a symbol, that is the first: what the others see has formulas in their number.
    """
    graph = row.report.graph
    if graph.is_open and not graph.tree.is_in_first_passes(row.index):
        return None
    with suppress(NoNumber, TooManyLayers):
        return row if row.fields is not None else None
    return None
