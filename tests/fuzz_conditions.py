"""Random specs in symbols against building with every number: `python -m tests.fuzz_conditions --examples 5000 --seed 1`.

A spec is built once with one to three symbols: axes of the input, and hparams that stand, as sums, fractions, extremes
and remainders, in any argument of any kind. Then it's built with the numbers of a grid. The conditions must be met by
exactly those with which building works; and there every shape and total must be the symbolic one's value.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from archcalc import Report, analyze
from archcalc.errors import ExpressionError, SpecError, UsageError
from archcalc.expand import build
from archcalc.graph import Graph
from archcalc.language.expression import Environment
from archcalc.language.grammar import parse_expression
from archcalc.language.model import Spec
from archcalc.layers import REGISTRY, Argument
from archcalc.quantities import fields
from archcalc.questions.measures import Measure, Missing
from archcalc.symbolic import Condition, dim
from archcalc.symbolic.values import value_at
from tests.helpers import spec_of
from tests.random_specs import specs

GRID = {1: range(1, 41), 2: range(1, 14), 3: range(1, 7)}
"""The numbers that each symbol takes, by how many symbols there are."""
COMPARED = 12
"""Of so many of the numbers that fit, spread over the grid, all sizes and totals are compared."""
TOTALS = ("params", "weights", "biases", "buffers", "macs", "activations", "saved_bytes", "peak_bytes", "least_bytes")
INPUTS = ("CHW", "CHW", "CHW", "CW", "CDHW", "TC", "C", "T", "RCHW")
MERGES = ("add", "mul", "concat")


class Disagreement(AssertionError):
    """Symbols and numbers differ on a spec."""

    def __init__(self, text: str, reasons: list[str]) -> None:
        super().__init__("\n".join([text, *reasons]))


# --- random specs ---------------------------------------------------------------------------------------------------


@dataclass
class Draft:
    """A spec in the making: its symbols, and the axes that its input has."""

    random: Random
    axes: str
    symbols: list[str]

    def one_in(self, n: int) -> bool:
        """True once in n times."""
        return self.random.randrange(n) == 0

    def expression(self) -> str:
        """An integer, or what may be one."""
        pick = self.random.choice
        if self.one_in(3):
            return str(self.random.randint(0 if self.one_in(8) else 1, 5))
        atom = pick([*self.symbols, *self.symbols, f"x.{pick(self.axes)}"])
        other, n = pick([*self.symbols, "2"]), self.random.randint(2, 6)
        forms = [
            atom, atom, f"{atom}+{n}", f"{atom}-{n}", f"{n}-{atom}", f"{atom}/{n}", f"{atom}/{n}", f"{atom}/2",
            f"{atom}//{n}", f"ceil({atom}/{n})", f"max({atom},{n})", f"min({atom},{n})", f"max({atom}/2,{n})",
            f"{atom}%{n}", f"{atom}*{other}", f"({atom}+{other})/{n}", f"abs({atom}-{n})", f"{n}*{atom}",
            f"{atom}-{other}", f"12//{atom}", f"12/{atom}", f"12%{atom}", f"{atom}/{other}", f"{atom}*{atom}/{n}",
            f"12//({atom}-{n})", f"round({atom}/{n})", f"2*{atom}/{n}+1/{n}", f"{atom}**2", f"{n}**2//{atom}",
        ]  # fmt: skip
        return pick(forms)

    def argument(self, argument: Argument, rank: int) -> str:
        """A value of the argument's type as a spec writes it; empty for one that's better left out."""
        kind, pick = argument.type.name, self.random.choice
        if kind in ("Dim", "Count", "Channels", "Index"):
            sign = "-" if kind == "Index" and self.one_in(2) else ""
            return f"{sign}({self.expression()})" if sign else self.expression()
        if kind in ("Extent", "Amounts"):
            return self.extent(rank)
        if kind == "Padding":
            pair = f"[{self.expression()},{self.expression()}]"
            return pick(["half", "same", self.extent(rank), self.expression(), self.expression(), pair])
        if kind in ("bool", "Bias"):
            return pick(["true", "false", *argument.type.words])
        if argument.type.words:
            return pick([word for word in argument.type.words if word in self.axes] or argument.type.words)
        if kind == "Operator":
            return "mine"
        if kind == "Factor":
            return pick(["0", "1/3", "7", *self.symbols])
        return str(self.random.randint(0, 20) / 20) if kind == "Number" else ""

    def extent(self, rank: int) -> str:
        """One size, or small numbers, one for each axis."""
        if rank < 2 or not self.one_in(4):
            return self.expression()
        return "x".join(str(self.random.randint(1, 3)) for _ in range(rank))

    def call(self, kind: str, seldom: int = 3) -> str:
        """A call of a layer with random arguments; optional ones are given now and then."""
        rank, words = len(set(self.axes) & set("DHW")), [kind]
        for name, argument in REGISTRY[kind].arguments().items():
            if argument.required or self.one_in(seldom):
                value = self.argument(argument, rank)
                words += [f"{name}={_tight(value)}"] if value else []
        return " ".join(words)


def _tight(value: str) -> str:
    """An expression as it may stand in a chain."""
    return value if value.replace("_", "").isalnum() or value.startswith("[") else f"({value})"


def text_of(random: Random, kind: str) -> str:
    """A random spec in which a kind is used."""
    axes = random.choice(_inputs(kind))
    count = random.choice([1, 1, 1, 2, 2, 3])
    sides = random.sample(axes, min(len(axes), random.randint(0, count)))
    hparams = ["c", "h", "k"][: count - len(sides)]
    draft = Draft(random, axes, [*(f"x.{axis}" for axis in sides), *hparams])
    sizes = {axis: axis if axis in sides else _size(random, axis) for axis in axes}
    given = ", ".join(f"{axis}: {'sym' if size == axis else size}" for axis, size in sizes.items())
    lines = ["archcalc: 1", "name: random", f"input: {{{given}}}"]
    bounds = ["sym", "sym", "sym", "{value: sym, min: 3}", "{value: sym, multiple_of: 4}"]
    given = [f"{name}: {random.choice(bounds)}" for name in hparams]
    if hparams and draft.one_in(3):  # one that follows from the others
        plain = Draft(random, "C", hparams)
        value = next(text for _ in range(99) if "x." not in (text := plain.expression()))
        given.append(
            f"d: {{value: '{value}', {random.choice(['min: 5/2', 'multiple_of: 3', 'min: 2, multiple_of: 2'])}}}"
        )
        draft.symbols.append("d")
    if hparams:
        lines.append(f"hparams: {{{', '.join(given)}}}")
    return "\n".join([*lines, "layers:", *(f"  - {item}" for item in _items(draft, kind))]) + "\n"


def _size(random: Random, axis: str) -> int:
    return random.choice([4, 6, 8, 12, 16]) if axis in "CT" else random.choice([5, 7, 8, 12, 16])


def _inputs(kind: str) -> tuple[str, ...]:
    """The axes of volumes that a kind can work on."""
    fixed = {
        "embed": ("T",), "attention": ("TC",), "mla": ("TC",), "sdpa": ("TC",), "matmul": ("TC",), "topk": ("TC",), "dispatch": ("TC",), "combine": ("TC",), "selective_scan": ("TC",), "pos_embed": ("TC",), "cls_token": ("TC",), "select": ("TC",),
        "fc": ("C", "TC"), "rbf": ("C",), "roipool": ("CHW",), "roialign": ("CHW",), "deform_conv": ("CHW",), "proposals": ("CHW",),
    }  # fmt: skip
    return fixed.get(kind, INPUTS[:5] if "kernel_size" in REGISTRY[kind].arguments() else INPUTS)


def _items(draft: Draft, kind: str) -> Iterator[str]:
    """The items of `layers`: perhaps a layer before, then the kind, then perhaps another."""
    spatial = bool(set(draft.axes) & set("HW"))
    before = ["conv"] * 3 + ["maxpool"] * 2 + ["tconv", "upsample", "identity"] if spatial else ["fc", "identity"]
    after = ["flatten -> fc 3", "relu", "bn"] + (["conv 2 1", "maxpool 2", "tokens -> attention 1"] if spatial else [])
    if draft.axes != "T" and draft.one_in(2):
        yield draft.call(draft.random.choice(before), seldom=6)
    yield "start: identity"
    yield from _focus(draft, kind)
    if draft.one_in(3):
        yield draft.random.choice(after)


def _focus(draft: Draft, kind: str) -> Iterator[str]:
    """The kind itself, with what it refers to."""
    spatial = bool(set(draft.axes) & set("HW"))
    steps = ["conv", "maxpool", "avgpool", "adaptive_avgpool", "upsample", "crop"] if spatial else ["fc", "ln"]
    branch = f"{draft.call(draft.random.choice(steps), 5)}"
    if kind == "opaque":
        sizes = _tight(draft.expression())
        yield draft.random.choice(
            [
                draft.call(kind),
                f"opaque mine learned=[{sizes},2x3]",
                "opaque mine pointwise=true",
                "opaque mine C=x.C on=4",
            ]
        )
    elif kind in MERGES:
        others = [branch, "identity", "global_avgpool" if spatial else "relu", f"from start -> {branch}"]
        first, second = draft.random.choice([branch, "identity"]), draft.random.choice(others)
        axis = f", axis: {draft.random.choice(draft.axes)}" if kind == "concat" and draft.one_in(3) else ""
        yield f'{{{kind}: ["{first}", "{second}"]{axis}}}'
    elif kind == "unpool":
        arguments = {name: draft.argument(REGISTRY[kind].arguments()[name], 2) for name in ("kernel_size", "stride")}
        words = " ".join(f"{name}={_tight(value)}" for name, value in arguments.items())
        ceil = draft.random.choice(["", " ceil=true"])
        yield f"maxpool {words}{ceil}"
        middle = draft.random.choice(["relu", "relu", draft.call("conv", 6)])
        yield middle
        yield draft.random.choice([f"unpool {words}", f"unpool {words} like=@start", draft.call("unpool")])
    elif kind == "crop" and draft.one_in(2):
        yield branch
        yield "crop like=@start"
    elif kind == "attention" and draft.one_in(2):
        yield f"attention {_tight(draft.expression())} kv=@start"
    elif kind == "sdpa":
        yield f"{draft.call(kind)} keys=@start values=@start"
    elif kind == "modconv":
        yield "style: global_avgpool -> flatten"
        yield f"from start -> {draft.call(kind)} style=@style"
    elif kind == "deform_conv":
        window = f"{draft.random.choice([1, 3])} s={draft.random.choice([1, 2])} p={draft.random.choice([0, 1])}"
        yield f"places: conv {_tight(draft.expression())} {window}"
        yield f"from start -> deform_conv {_tight(draft.expression())} {window[0]} @places {window[2:]} g={_tight(draft.expression())}"
    elif kind == "selective_scan":
        yield draft.call("fc")
        yield f"from start -> selective_scan @start @fc @{draft.random.choice(['fc', 'start'])}"
    elif kind == "topk" and draft.one_in(2):
        expert = draft.random.choice(["fc x.C", f"fc {_tight(draft.expression())} -> relu -> fc x.C"])
        experts, top = draft.expression(), draft.expression()
        yield f"{{moe: '{expert}', experts: '{experts}', top: '{top}'}}"
    elif kind in ("dispatch", "combine"):
        yield f"shares: fc {_tight(draft.expression())}"
        copies = draft.call("dispatch")
        yield f"from start -> {copies} router=@shares"
        if kind == "combine":
            yield f"{copies.replace('dispatch', kind) if draft.one_in(2) else draft.call(kind)} router=@shares"
    elif kind == "matmul":
        yield draft.random.choice(["matmul @start transpose=true", "matmul @start"])
    elif kind in ("roipool", "roialign", "proposals"):
        yield f"scores: conv {_tight(draft.expression())} 1"
        yield f"boxes: from start -> conv {_tight(draft.expression())} 1"
        yield f"rois: from scores -> proposals {_tight(draft.expression())} box=@boxes"
        yield "relu" if kind == "proposals" else f"from start -> {kind} {_tight(draft.expression())} rois=@rois"
    elif kind == "crop":
        yield f"crop size={_tight(draft.expression())}"
    elif kind == "fc" and draft.one_in(3):
        yield f"one: fc {_tight(draft.expression())}"
        yield f"fc {_tight(draft.expression())}"
        yield f"fc {_tight(draft.expression())} tie=@one"
    else:
        yield draft.call(kind)


# --- comparing ------------------------------------------------------------------------------------------------------


def facts(graph: Graph) -> dict[str, Any]:
    """Every size and every total."""
    report = analyze(graph)
    sizes = {f"{node.name}.{axis}": size for node in graph.nodes for axis, size in node.shape.items()}
    return sizes | {name: report.total(name) for name in TOTALS}


def built(spec: Spec, numbers: Mapping[str, Any]) -> Graph | SpecError | UsageError:
    """The graph with these numbers (or symbols), or why there's none."""
    axes = next(iter(spec.inputs.values()))
    sizes = {name: number for name, number in numbers.items() if name in axes}
    try:
        return build(spec, hparams={name: n for name, n in numbers.items() if name not in axes}, sizes=sizes)
    except (SpecError, UsageError) as error:
        return error


def codes(error: SpecError | UsageError) -> set[str]:
    """The codes of the errors; none of wrong usage."""
    found = error.diagnostics if isinstance(error, SpecError) else ()
    return {diagnostic.code for diagnostic in found if diagnostic.severity == "error"}


def check(text: str, symbols: Sequence[str] = ()) -> str:
    """What became of a spec: compared, undecided, refused. The symbols are those that it has itself, or these.

    Raises: Disagreement: symbols and numbers differ.
    """
    spec = spec_of(text)
    symbols = symbols or _opened(spec)
    symbolic = built(spec, {name: dim(name) for name in symbols})
    if not isinstance(symbolic, Graph) and "E106" in codes(symbolic):
        return "undecided"
    reasons: list[str] = []
    fitting: list[dict[str, int]] = []
    grid = product(GRID[len(symbols)], repeat=len(symbols))
    points = [dict(zip(symbols, values, strict=True)) for values in grid]
    for numbers in points:
        concrete = built(spec, numbers)
        if not isinstance(concrete, Graph) and "E108" in codes(concrete):
            continue  # too large is not wrong
        works = isinstance(concrete, Graph)
        allowed = isinstance(symbolic, Graph) and all(c.holds(numbers) for c in symbolic.conditions)
        if works != allowed:
            why = "" if works else str(concrete).splitlines()[0]
            reasons.append(f"{numbers}: building {'works' if works else 'fails'}; {why}")
        fitting += [numbers] if works else []
    if isinstance(symbolic, Graph):
        reasons += _misread(symbolic.conditions, [*points[:: max(1, len(points) // 9)], *fitting[:3]])
        if not reasons and fitting:
            reasons += _differences(spec, symbolic, fitting)
        reasons[:0] = [f"valid if {'; '.join(map(str, symbolic.conditions))}"] if reasons else []
    elif reasons:
        reasons.insert(0, f"refused in symbols: {symbolic}")
    if reasons:
        raise Disagreement(text, reasons[:6])
    return "refused" if not isinstance(symbolic, Graph) else "compared" if fitting else "never valid"


def _opened(spec: Spec) -> list[str]:
    """The names of the symbols."""
    values = {**next(iter(spec.inputs.values())), **{name: hparam.value for name, hparam in spec.hparams.items()}}
    return [name for name, value in values.items() if getattr(value.expr, "name", "") == "sym"]


def _misread(conditions: tuple[Condition, ...], points: list[dict[str, int]]) -> Iterator[str]:
    """The conditions whose text means something else in the spec language."""
    for condition in conditions:
        for numbers in points:
            truth: Any = False
            try:
                truth = parse_expression(str(condition)).evaluate(Environment(dict(numbers)))
            except ExpressionError as error:
                if "E101" in str(error.code):
                    truth = error
            if truth is not condition.holds(numbers):
                yield f"{condition} reads as {truth} at {numbers}"


def settled(graph: Graph) -> Iterator[tuple[Measure, Any]]:
    """What is said of receptive fields in symbols for all of their numbers, layer by layer."""
    report = analyze(graph)
    for node, axis, quantity in product(graph.nodes[1:], graph.input.spatial, fields()):
        measure = Measure(quantity, node.name, axis)
        with suppress(Missing):
            if measure.is_settled(report):
                yield measure, measure.value(report)


def _differences(spec: Spec, symbolic: Graph, fitting: list[dict[str, int]]) -> Iterator[str]:
    general, seen = facts(symbolic), list(settled(symbolic))
    step = max(1, len(fitting) // COMPARED)
    for numbers in fitting[:2] + fitting[2::step]:
        graph = built(spec, numbers)
        assert isinstance(graph, Graph)
        for name, expected in facts(graph).items():
            actual = value_at(general[name], numbers)
            if expected != actual:
                yield f"{numbers}: {name} is {expected}, in symbols {actual} = {general[name]}"
        report = analyze(graph)
        for measure, value in seen:
            expected, actual = _of_layer(measure, report), value_at(value, numbers)
            if expected != actual:
                yield f"{numbers}: {measure.name} is {expected}, in symbols {actual} = {value}"


def _of_layer(measure: Measure, report: Report) -> Any:
    try:
        return measure.value(report)
    except Missing as error:
        return str(error)


def openings(draw: Any, text: str) -> list[str]:
    """One or two of a spec's hparams and of the axes of its first input, to be symbols."""
    spec = spec_of(text)
    names = [*spec.hparams, *next(iter(spec.inputs.values()))]
    return list(draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)))


@st.composite
def opened_specs(draw: Any) -> tuple[str, list[str]]:
    """A random spec of any structure (`tests.random_specs`) with names to open."""
    text = draw(specs())
    return text, openings(draw, text)


def check_structures(examples: int, number: int) -> Counter[str]:
    """Check specs with loops, blocks, references and merges; Hypothesis shrinks what fails.

    Raises: Disagreement: symbols and numbers differ.
    """
    counts = Counter[str]()

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(opened_specs())
    def run(drawn: tuple[str, list[str]]) -> None:
        counts[check(*drawn)] += 1

    run()
    return counts


def example(start: int, number: int) -> str:
    """The text of one example."""
    kinds = sorted(REGISTRY)
    return text_of(Random(f"{start}:{number}"), kinds[number % len(kinds)])


def main() -> int:
    """Check many examples; report every one that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one example")
    parser.add_argument("--structures", action="store_true", help="whole specs with loops, blocks and references")
    options = parser.parse_args()
    if options.structures:
        print(dict(check_structures(options.examples, options.seed)))
        return 0
    started, counts, failed = time.perf_counter(), Counter[str](), []
    for number in [options.only] if options.only is not None else range(options.examples):
        try:
            counts[check(example(options.seed, number))] += 1
        except Exception as error:
            failed.append(number)
            print(f"--- example {number}: {type(error).__name__}\n{error}", flush=True)
    seconds = time.perf_counter() - started
    told = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
    print(f"{sum(counts.values()) + len(failed):,} specs in {seconds:.0f} s: {told}; {len(failed)} fail {failed[:20]}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
