"""Random inverse questions against building: `python -m tests.fuzz_solve --examples 10000 --seed 1`.

One to three unknowns (widths, kernels, strides, loop counts, sizes of one or two inputs, the batch) in small random
specs of many kinds and in networks of the zoo; upper bounds, bands, outputs and receptive fields, one or several at once;
squares; impossible and unbounded ones too. Every configuration of a box, and samples around the ends of the answer and far outside, is built with numbers:
it must be in the answer exactly if it can be built and meets the question. The same grid is swept: the rows must be
those that can be built, with their totals.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from archcalc import Report, analyze
from archcalc.errors import SpecError, UsageError
from archcalc.expand import build
from archcalc.expand.hparams import OutOfBounds
from archcalc.formulas.symbols import BATCH
from archcalc.graph import Graph
from archcalc.questions.goals import NotThere
from archcalc.questions.solve import Solution, solve
from archcalc.questions.sweep import sweep
from archcalc.questions.unknowns import squares
from archcalc.symbolic.integer_sets import Unsolvable
from archcalc.zoo import Architecture, load
from tests.helpers import fuzz_options, spec_of

QUANTITIES = ("params", "macs", "flops", "activations", "activation_bytes", "saved_bytes", "peak_bytes",
              "least_bytes", "total_bytes")  # fmt: skip
STRUCTURAL = ("d",)
MAX_BUILDS = 140
"""Configurations that are built for one question."""

IMAGE = (
    "conv {e} {k} p={p}", "conv {e} 3x3 s={s} p=1", "conv {e} 1x1 g={g}", "dwconv 3x3 p=1", "maxpool 2", "maxpool 3 s={s} p=1",
    "avgpool {k} s=1 p=half", "bn", "relu", "groupnorm {n}", "lrn 5", "dropout", "upsample 2", "crop size={k}",
    "{{add: [identity, conv x.C 3x3 p=1 -> relu]}}", "{{concat: [identity, conv {e} 1x1]}}", "zeropad 1",
    "(conv x.C 3x3 p=1 -> relu)*{d}", "conv {e} {s}x{s} s={s}", "tconv {e} 2 s=2", "conv {e} 3x3 p=same", "scale",
)  # fmt: skip
IMAGE_ENDS = (
    "relu",
    "global_avgpool -> fc {e}",
    "flatten -> fc {e}",
    "tokens -> attention {n}",
    "tokens -> fc {e} -> relu",
)
TOKENS = (
    "fc {e}", "layernorm", "attention {n}", "{{add: [identity, attention {n}]}}", "gelu", "pos_embed", "(fc x.C -> relu)*{d}",
    "{{add: [identity, fc {e} -> gelu -> fc x.C]}}", "select",
)  # fmt: skip
VECTOR = ("fc {e}", "fc {e} bias=false", "relu", "bn", "dropout", "(fc x.C -> relu)*{d}", "softmax")
SECOND = (
    "{{concat: [identity, from v -> conv {e} {k} s={s}]}}", "{{concat: [identity, from v]}}", "{{add: [identity, from v -> conv x.C 1x1]}}",
    "{{add: [identity, from v -> conv x.C 3x3 s={s} p=1 -> relu]}}", "{{mul: [identity, from v -> global_avgpool -> conv x.C 1x1]}}",
    "{{concat: [global_avgpool -> flatten, from v -> conv {e} {k} p=1 -> flatten]}}",
)  # fmt: skip
"""Steps that read a second input, v."""
ZOO: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "alphago_policy": (("k", "H", "N"), (1, 9, 64, 192, 200)),
    "vgg16": (("H", "W", "N"), (1, 31, 32, 64, 225, 250)),
    "resnet18": (("H", "W", "N"), (1, 32, 33, 97, 224)),
    "unet": (("H", "W", "N"), (1, 187, 188, 204, 300)),
    "densenet": (("growth", "H"), (1, 4, 32, 33)),
    "mobilenetv1": (("H", "N"), (1, 32, 96, 224)),
    "gpt2": (("T", "N"), (1, 5, 128, 1024, 1025)),
    "lenet5": (("H", "N"), (1, 28, 32, 40)),
}


@dataclass(frozen=True)
class Question:
    """What is wanted: budgets, an output, and receptive fields; maybe of squares alone."""

    budgets: Mapping[str, tuple[int | None, int]]
    output: str = ""
    layer: str = ""
    fields: Mapping[str, tuple[int | None, int | None]] = field(default_factory=dict)
    square: bool = False


@dataclass(frozen=True)
class Case:
    """A question, and the values of each unknown that are tried."""

    architecture: Architecture
    question: Question
    open: Sequence[str]
    ranges: Mapping[str, Sequence[int]]
    box: Mapping[str, Sequence[int]]
    text: str


class Wrong(AssertionError):
    """An answer that building contradicts."""


# --- random specs ---------------------------------------------------------------------------------------------------


def size(draw: random.Random) -> str:
    """A width: a number, an unknown, or what a spec makes of one."""
    a, b = draw.sample(["a", "b"], 2)
    n = draw.choice([2, 2, 3, 4, 6])
    forms = [str(2 * n), a, a, f"{n}*{a}", f"{a}/{n}", f"{a}+{b}", f"{a}+{n}", f"max({a}/{n}, {n})", f"min({a}, {2 * n})",
             f"{n}*x.C", f"x.C/{n}", f"floor({a}/{n})+1", f"3*{a}/2", f"{a}*{b}"]  # fmt: skip
    return draw.choice(forms)


def step(draw: random.Random, forms: Sequence[str]) -> str:
    """One step with random arguments."""
    return draw.choice(forms).format(
        e=size(draw), k=draw.choice(["1", "2", "3", "k", "k+1"]), p=draw.choice(["0", "1", "half", "k", "k-1"]),
        s=draw.choice(["1", "2", "3", "s", "s+1"]), g=draw.choice(["2", "a", "b", "x.C"]), n=draw.choice(["2", "a", "b", "4"]),
        d=draw.choice(["2", "d", "d+1"]),
    )  # fmt: skip


def spec_text(draw: random.Random) -> str:
    """A small spec of one input or two with the hparams a, b (widths), k (a kernel), s (a stride) and d (a loop count)."""
    kind, head = draw.choice(["image", "image", "image", "tokens", "vector"]), ""
    start = {"image": f"{{C: {draw.choice([1, 2, 3, 'a'])}, H: {draw.randint(4, 14)}, W: {draw.randint(4, 14)}}}",
             "tokens": f"{{T: {draw.randint(2, 9)}, C: {draw.choice([4, 12, 'a'])}}}",
             "vector": f"{{C: {draw.choice([6, 'a'])}}}"}[kind]  # fmt: skip
    forms = {"image": IMAGE, "tokens": TOKENS, "vector": VECTOR}[kind]
    steps = [step(draw, forms) for _ in range(draw.randint(1, 4))]
    if kind == "image" and draw.random() < 0.5:
        other = start if draw.random() < 0.6 else f"{{C: 2, H: {draw.randint(4, 14)}, W: {draw.randint(4, 14)}}}"
        head = f"inputs: {{u: {start}, v: {other}}}"
        steps.insert(draw.choice([0, 0, len(steps)]), step(draw, SECOND))
    if kind == "image":
        steps.append(step(draw, IMAGE_ENDS))
    bounds = draw.choice(["", "", ", min: 3", ", multiple_of: 2", ", min: 4, multiple_of: 4"])
    hparams = f"a: {{value: 8{bounds}}}\n  b: 4\n  k: 3\n  s: 2\n  d: 2"
    layers = "\n".join(f"  - {text[1:-1] if text.startswith('{') else text}" for text in steps)
    head = head or f"input: {start}"
    return f"archcalc: 1\nname: random\n{head}\nhparams:\n  {hparams}\nlayers:\n{layers}\n  - out: identity\n"


# --- random questions -----------------------------------------------------------------------------------------------


def given(architecture: Architecture, values: Mapping[str, int], square: bool = False) -> Graph | None:
    """The graph for numbers; None if it can't be built. Of squares the first axis is given."""
    sizes = {name: value for name, value in values.items() if name in architecture.spec.axes}
    for first, *others in squares(architecture) if square else ():
        sizes |= dict.fromkeys(others, values[first])
    sets = {name: value for name, value in values.items() if name in architecture.spec.hparams}
    try:
        return build(architecture.spec, architecture.variant, sets, sizes)
    except (SpecError, OutOfBounds):
        return None


def case(draw: random.Random) -> Case | None:
    """A random question; None if the spec that was drawn is wrong as it stands."""
    if draw.random() < 0.08:
        name = draw.choice(list(ZOO))
        names, values = ZOO[name]
        architecture, text = load(name), name
        names = tuple(draw.sample(names, draw.randint(1, min(2, len(names)))))
        box = {name: sorted({*values, draw.randint(1, 300)}) for name in names}
    else:
        text = spec_text(draw)
        try:
            architecture = Architecture(spec_of(text), "")
        except SpecError:
            return None
        axes = list(architecture.spec.axes)
        used = [name for name in "abksd" if re.search(rf"(?<![\w]){name}(?![\w])", text.split("layers:")[1])]
        pool = [*used * 3, *axes, BATCH, draw.choice("abksd")]
        names = tuple(dict.fromkeys(draw.choices(pool, k=draw.choice([1, 2, 3, 4]))))[:3]
        wide = {1: 40, 2: 11, 3: 5}[len(names)]
        box = {name: range(1, (5 if name in STRUCTURAL else wide) + 1) for name in names}
    square = architecture.name == "random" and bool(squares(architecture)) and draw.random() < 0.15
    if square:
        axes = [first for first, *_ in squares(architecture)]
        names = (*axes, *(name for name in names[:1] if name not in architecture.spec.axes))
        box = {name: range(1, (5 if name in STRUCTURAL else 24 // len(names)) + 1) for name in names}
    ranges = {}
    for name in names:
        if name in STRUCTURAL or draw.random() < 0.35:
            low = draw.randint(1, 3)
            ranges[name] = range(low, low + draw.randint(1, 5 if name in STRUCTURAL else 12))
    question = asked(draw, architecture, box, square)
    left = [name for name in names if name not in ranges]
    if question is not None and square:
        left = [name for name in left if name not in architecture.spec.axes]  # they're open without being named
    return None if question is None else Case(architecture, question, left, ranges, box, text)


def asked(
    draw: random.Random, architecture: Architecture, box: Mapping[str, Sequence[int]], square: bool = False
) -> Question | None:
    """Budgets, an output and fields around those of some configuration, met by it or not."""
    for _ in range(8):
        values = {name: draw.choice(list(numbers)) for name, numbers in box.items()}
        if (graph := given(architecture, values, square)) is not None:
            break
    else:
        return None
    budgets: dict[str, tuple[int | None, int]] = {}
    report = analyze(graph, values.get(BATCH, 1))
    for column in draw.sample(QUANTITIES, draw.choice([1, 1, 1, 2, 3])):
        total = report.total(column)
        most = draw.choice(
            [total, total + draw.randint(0, 1000), total * 2, total // 2, 0 if draw.random() < 0.1 else total]
        )
        least = None if draw.random() < 0.5 else draw.choice([0, most, max(most - 500, 0), most // 2, most // 10 * 9])
        budgets[column] = (least, most)
    output = layer = ""
    if architecture.name == "random" and draw.random() < 0.3:
        layer = "out"
        axes = draw.sample(list(graph["out"].shape), 1)
        output = ",".join(f"{axis}={graph['out'].shape[axis]}" for axis in axes)
        budgets = budgets if draw.random() < 0.4 else {}
    fields: dict[str, tuple[int | None, int | None]] = {}
    if architecture.name == "random" and graph.input.spatial and draw.random() < 0.3:
        fields = seen(draw, report)
        budgets = budgets if draw.random() < 0.3 else {}
    return Question(budgets, output, layer, fields, square)


def seen(draw: random.Random, report: Report) -> dict[str, tuple[int | None, int | None]]:
    """A band around the field of some layer, along all axes or one."""
    node = draw.choice([node for node in report.graph.nodes if node.inputs])
    sizes = [each.size for each in report[node.name].fields.values() if each.follows]
    if not sizes:
        return {"out": (1, None)}
    size = draw.choice([*sizes, max(sizes) + draw.randint(0, 5), max(min(sizes) - 1, 1)])
    band = draw.choice([(size, size), (size, None), (None, size), (max(size - 3, 0), size + 3)])
    return {draw.choice([node.name, node.name, f"{node.name}.H"]): band}


# --- the truth ------------------------------------------------------------------------------------------------------


def meets(case: Case, values: Mapping[str, int]) -> bool:
    """Whether a configuration can be built, lies in the ranges, and meets the question."""
    if not all(values[name] in numbers for name, numbers in case.ranges.items()):
        return False
    graph = given(case.architecture, values, case.question.square)
    if graph is None:
        return False
    report = analyze(graph, values.get(BATCH, 1))
    if not all(sees(report, name, band) for name, band in case.question.fields.items()):
        return False
    if case.question.output:
        sizes = graph[case.question.layer].shape
        for part in case.question.output.split(","):
            axis, _, number = part.partition("=")
            if sizes.get(axis) != int(number):
                return False
    totals = {column: report.total(column) for column in case.question.budgets}
    return all((least or 0) <= totals[c] <= most for c, (least, most) in case.question.budgets.items())


def sees(report: Report, name: str, band: tuple[int | None, int | None]) -> bool:
    """Whether a layer's field is known to lie within a band, along each axis or the one that is named."""
    layer, _, axis = name.partition(".")
    least, most = band
    if layer not in report.graph or not report[layer].fields:
        return False
    fields = [each for label, each in report[layer].fields.items() if axis in ("", label)]
    return all(
        each.follows
        and (least is None or (not each.bounded and each.size >= least))
        and (most is None or each.size <= most)
        for each in fields
    )


def probes(draw: random.Random, case: Case, answer: Solution | None) -> Iterator[dict[str, int]]:
    """Configurations of the box, and others around the ends of the answer and outside."""
    grid = list(product(*case.box.values()))
    for numbers in draw.sample(grid, min(len(grid), MAX_BUILDS)):
        yield dict(zip(case.box, numbers, strict=True))
    ends = {name: {1, draw.randint(1, 400)} for name in case.box}
    if answer is not None:
        rows = list(answer)
        for found in [answer.solutions.alone, *draw.sample(rows, min(len(rows), 3))]:
            for name, numbers in found.items():
                for segment in numbers.segments[:3]:
                    last = segment.last or segment.first + draw.randint(0, 300)
                    ends[name] |= {segment.first, segment.first - 1, last, last + 1} - {0}
    limit = {name: 12 if name in (*STRUCTURAL, "k", "s") else 5000 for name in case.box}
    for _ in range(12):
        values = {name: draw.choice(sorted(numbers)) for name, numbers in ends.items()}
        if all(value <= limit[name] for name, value in values.items()):
            yield values


def check(draw: random.Random, case: Case) -> str:
    """Ask, and compare with building; what came of it.

    Raises: Wrong: the answer and building disagree.
    """
    answer, outcome = None, "answered"
    try:
        answer = solve(
            case.architecture,
            output=case.question.output or None,
            layer=case.question.layer,
            hparams=case.ranges,
            symbolic=case.open,
            field=case.question.fields,
            square=case.question.square,
            **case.question.budgets,
        )
    except NotThere:
        outcome = "no such layer, or no field"
    except Unsolvable as error:
        return f"refused: {str(error).split(chr(10))[0][:24]}"
    except UsageError as error:
        if "structure depends" in str(error):
            return "structure"
        raise
    except SpecError as error:
        if any(diagnostic.code == "E106" for diagnostic in error.diagnostics):
            return "structure"
        outcome = f"nothing can be built: {error.diagnostics[0].code}"
    hits = 0
    for values in probes(draw, case, answer):
        truth = meets(case, values)
        found = answer is not None and values in answer
        hits += truth
        if truth != found:
            raise Wrong(
                f"{values} {'is a solution' if truth else 'is no solution'}; the answer: {answer and answer.solutions}"
            )
    if answer is not None and not case.question.square and draw.random() < 0.2:
        swept(case)
    return f"{outcome}, {'some' if hits else 'none'}"


def swept(case: Case) -> None:
    """The sweep of the box has a row for each configuration that can be built, with its totals."""
    choices = {name: list(numbers)[:6] for name, numbers in case.box.items()}
    columns = ("params", "macs", "peak_bytes")
    plan = sweep(case.architecture, columns, hparams=choices).grid
    for numpy in (False, True):
        left_out: Counter[str] = Counter()
        rows = set()
        for block in plan.blocks(numpy, left_out):
            rows |= set(zip(*(v.tolist() if hasattr(v, "dtype") else v for v in block.values()), strict=True))
        expected = set()
        for numbers in product(*choices.values()):
            totals = plan.one(dict(zip(choices, numbers, strict=True)))
            if totals is not None:
                expected.add((*numbers, *totals.values()))
        if expected != rows or len(rows) + left_out.total() != plan.count:
            raise Wrong(f"the sweep of {choices}: {sorted(rows ^ expected)[:3]}, {left_out}")


def search(examples: int, seed: int, report_every: int = 0) -> Counter[str]:
    """Ask that many questions; how they ended.

    Raises: Wrong: an answer is wrong; the message has the spec and the question.
    """
    outcomes: Counter[str] = Counter()
    number = 0
    while outcomes.total() < examples:
        number += 1
        draw = random.Random(f"{seed}/{number}")
        found = case(draw)
        if found is None:
            continue
        start = time.process_time()
        try:
            outcomes[check(draw, found)] += 1
        except Exception as error:
            error.add_note(
                f"seed {seed}, number {number}\n{found.text}\n{found.question}\n{found.open}, {found.ranges}"
            )
            raise
        if (took := time.process_time() - start) > 20:
            print(f"number {number} took {took:.0f} s", flush=True)
        if report_every and outcomes.total() % report_every == 0:
            print(f"{outcomes.total():,} questions: {dict(outcomes)}", flush=True)
    return outcomes


def main() -> int:
    """The command line."""
    arguments = fuzz_options("Random inverse questions against building.", "how many questions")
    try:
        outcomes = search(arguments.examples, arguments.seed, report_every=500)
    except Wrong as error:
        print(f"an answer is wrong: {error}\n" + "\n".join(error.__notes__))
        return 1
    print(f"seed {arguments.seed}: {outcomes.total():,} questions, each compared with building; none wrong")
    for outcome, count in outcomes.most_common():
        print(f"  {count:,}: {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
