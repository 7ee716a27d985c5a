"""Formulas of every layer kind from its own methods, and how they are written and explained."""

from __future__ import annotations

import inspect
import math
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import archcalc
from archcalc import Report, analyze
from archcalc.cli.run import run
from archcalc.errors import LocalError, UnknownNameError, UsageError
from archcalc.formulas.general import LayerFormulas, layer_formulas, put_in
from archcalc.formulas.notation import LATEX, UNICODE, condition_text
from archcalc.graph import Application, Graph, Input, Node
from archcalc.layers import REGISTRY
from archcalc.quantities import QUANTITIES
from archcalc.questions.explain import explain
from archcalc.questions.formula import FORMS, Formulas, layer_at, of_layer, of_totals
from archcalc.report import Row
from archcalc.shape import Shape
from archcalc.symbolic import ceil_div, dim, floor_div, is_symbolic, maximum, minimum
from archcalc.zoo import load
from tests.fuzz_formulas import search
from tests.helpers import graph_of
from tests.layer_cases import CASES, Case

H, K = dim("H"), dim("k")


def application(case: Case) -> Application:
    """A case's layer on its inputs."""
    return Application(case.layer, case.inputs, case.output)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_kind_has_formulas(case: Case) -> None:
    """With this layer's numbers put in, every formula gives its value; what has a value has a formula."""
    found = layer_formulas(application(case))
    for formula in found.listed:
        assert formula.value == put_in(formula.general, found.names)
    for name in ("weights", "biases", "buffers", "macs"):
        formula = found[name]
        assert (getattr(case, name) or None) == (formula and formula.value)
        is_fixed = case.layer.is_opaque or not case.inputs[0] or case.layer.kind == "noise"  # a number, whatever enters
        assert formula is None or is_symbolic(formula.general) or is_fixed


def test_all_kinds_are_among_the_cases() -> None:
    """No kind is left out."""
    assert set(REGISTRY) == {case.layer.kind for case in CASES}


@pytest.mark.parametrize(
    ("name", "layer", "expected"),
    [
        ("alexnet", "conv1", {"H_out": "⌊(H + 2p − d·(k_h − 1) − 1)/s⌋ + 1", "params": "(k_h·k_w·C_in/g + 1)·C_out"}),
        ("alexnet", "conv1", {"macs": "H_out·W_out·k_h·k_w·C_in·C_out/g", "r_out": "r_in + d·j_in·(k_h − 1)"}),
        ("alexnet", "fc6", {"weights": "C_in·C_out", "params": "(C_in + 1)·C_out"}),
        ("unet", "up4/up", {"H_out": "s·(H − 1) − 2p + d·(k_h − 1) + a + 1", "macs": "H·W·k_h·k_w·C_in·C_out/g"}),
        ("unet", "up4/concat", {"C_out": "C_1 + C_2"}),
        ("vgg16", "conv1/pool", {"H_out": "⌊(H + 2p − d·(k_h − 1) − 1)/s⌋ + 1", "j_out": "j_in·s"}),
        ("gpt2", "decoder/1/body/attention", {"weights": "4C_in²", "macs": "2T·C_in·(T + 2C_in)"}),
        ("resnet50", "fc/global_avgpool", {"activations": "C_in"}),
    ],
)
def test_formulas_read_as_in_books(name: str, layer: str, expected: dict[str, str]) -> None:
    """The names are those of the lecture, the sums are collected."""
    report = analyze(load(name).build())
    row = layer_at(report, layer)
    assert row is not None
    sheet = of_layer(row)
    written = {formula.name: line_of(formula.general) for formula in sheet.formulas}
    assert expected == {name: written[name] for name in expected}


def line_of(expr: Any) -> str:
    """In the order of a layer's formulas."""
    from dataclasses import replace

    from archcalc.formulas.general import ORDER

    return replace(UNICODE, order=ORDER).write(expr)


@pytest.mark.parametrize(
    ("expr", "unicode", "latex"),
    [
        (99 * K**2 + 1213 * K + 361, "99k² + 1213k + 361", "99k^{2} + 1213k + 361"),
        (floor_div(H, 32), "⌊H/32⌋", r"\left\lfloor \frac{H}{32} \right\rfloor"),
        (ceil_div(H, 32), "⌈H/32⌉", r"\left\lceil \frac{H}{32} \right\rceil"),
        (
            minimum(H, floor_div(H, 2) + K),
            "min(H, k + ⌊H/2⌋)",
            r"\min\left(H, k + \left\lfloor \frac{H}{2} \right\rfloor\right)",
        ),
        (K - 1234567, "k − 1,234,567", "k - 1{,}234{,}567"),
        (dim("C_out") * (H - 1), "(H − 1)·C_out", r"\left(H - 1\right) \cdot C_{out}"),
        (
            (H - K * (dim("d") + 1)) / (H + 1),
            "(H − k·(d + 1))/(H + 1)",
            r"\frac{H - k \cdot \left(d + 1\right)}{H + 1}",
        ),
        (H * K / 2, "H·k/2", r"\frac{H \cdot k}{2}"),
    ],
)
def test_notations(expr: Any, unicode: str, latex: str) -> None:
    """Unicode for people, LaTeX for papers."""
    assert (unicode, latex) == (UNICODE.write(expr), LATEX.write(expr))


def test_python_source_computes_the_totals() -> None:
    """`--format python` is a function that gives the totals, in exact integers."""
    report = analyze(load("alphago_policy").build(k="sym"))
    scope: dict[str, Any] = {}
    exec(of_totals(report, {}).python(), scope)
    assert 99 * 10**40 + 1213 * 10**20 + 361 == scope["formulas"](10**20)["params"]


def test_python_source_refuses_what_cannot_be_built() -> None:
    """U-Net needs H >= 188, GPT's heads divide its width; a float is not a size, though 512.0 is one number with 512."""
    scope: dict[str, Any] = {}
    exec(of_totals(analyze(load("unet").build(sizes={"H": H, "W": dim("W")})), {}).python(), scope)
    built = analyze(load("unet").build(sizes={"H": 188, "W": 572}))
    assert built.total("macs") == scope["formulas"](188, 572)["macs"]
    for sizes, message in (((187, 572), "needs H >= 188"), ((572, 0), "needs H, W >= 1")):
        with pytest.raises(ValueError, match=message):
            scope["formulas"](*sizes)
    for size in (572.0, "572"):
        with pytest.raises(TypeError):
            scope["formulas"](size, 572)


def written(formulas: dict[str, Any], form: str, conditions: tuple[Any, ...] = ()) -> str:
    """Formulas in one of the formats."""
    from archcalc.formulas.general import Formula

    return Formulas("", tuple(Formula(n, expr, 0) for n, expr in formulas.items()), {}, conditions).to(form)


def test_symbols_called_like_variables_of_the_function() -> None:
    """t0, v1, v0, min and index are names like any other: 1 + 2·t0 + (t0·v1 + v0)² + max(v0, min), each where it belongs."""
    t0, v1, v0, least, index = (dim(name) for name in ("t0", "v1", "v0", "min", "index"))
    common = t0 * v1 + v0
    scope: dict[str, Any] = {}
    exec(written({"a": common**2 + 2 * t0 + 1, "b": common + maximum(v0, least) * index}, "python"), scope)
    # in the order of the names: index, min, t0, v0, v1
    assert {"a": (5 * 11 + 7) ** 2 + 11, "b": 5 * 11 + 7 + 7 * 2} == scope["formulas"](2, 3, 5, 7, 11)


def test_deep_and_long_expressions_are_python() -> None:
    """60 floors within one another, 600 terms, an extreme of 300: more than Python's parser takes in one line."""
    import sympy

    deep, long = H, sympy.Add(*(K * floor_div(H, n) for n in range(2, 600)))
    for number in range(60):
        deep = sympy.floor((3 * deep + number) / 2, evaluate=False)
    many = sympy.Max(*(floor_div(H, n) + 3 * n for n in range(2, 300)), evaluate=False)
    scope: dict[str, Any] = {}
    exec(written({"deep": deep, "long": long, "many": many}, "python"), scope)
    expected = 100
    for number in range(60):
        expected = (3 * expected + number) // 2
    found = scope["formulas"](100, 3)
    assert expected == found["deep"]
    assert sum(3 * (100 // n) for n in range(2, 600)) == found["long"]
    assert max(100 // n + 3 * n for n in range(2, 300)) == found["many"]


def test_sympy_reads_its_lines_back() -> None:
    """Names that mean something to SymPy, and halves that Python would make floats of."""
    import sympy

    names = [dim(name) for name in ("N", "S", "I", "E", "Q", "beta", "gamma", "pi", "lambda", "floor", "a")]
    expr = sum(n * symbol for n, symbol in enumerate(names, 2)) + floor_div(names[0] + 1, 2) * names[-1]
    scope: dict[str, Any] = {}
    text = written({"params": expr, "half": sympy.Rational(1, 2) + names[0] / 2}, "sympy")
    exec(text, scope)
    assert expr == scope["params"]
    assert names[0] / 2 + sympy.Rational(1, 2) == scope["half"]
    right = next(line for line in text.splitlines() if line.startswith("params = ")).removeprefix("params = ")
    assert sorted(f"{symbol}_" if symbol.name != "a" else "a" for symbol in names) == sorted(
        map(str, sympy.sympify(right).free_symbols)
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C_out", "C_{out}"), ("widths_1", r"\mathit{widths}_{1}"), ("_x", r"\mathit{\_x}"), ("k_", r"\mathit{k\_}"),
        ("\N{GREEK SMALL LETTER BETA}", r"\beta"), ("\N{GREEK CAPITAL LETTER LAMDA}", r"\Lambda"),
        ("stra\N{LATIN SMALL LETTER SHARP S}e", "\\textit{stra\N{LATIN SMALL LETTER SHARP S}e}"),
    ],
)  # fmt: skip
def test_names_in_latex(name: str, expected: str) -> None:
    """What means something to LaTeX is escaped, Greek letters have their names."""
    assert expected == LATEX.write(dim(name))


def test_formulas_of_random_expressions() -> None:
    """A sample of `python -m tests.fuzz_formulas`; no place is refused without need."""
    assert (25, 0) == search(25, 1)


@pytest.mark.parametrize("form", FORMS)
def test_formulas_of_an_input(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An input has values and nothing else; asking for it, or for its explanation, is no mistake."""
    assert run(["formula", "vgg16", "input", "--format", form]) == 0
    out = capsys.readouterr().out
    assert "activations" in out
    assert "150,528" in out.replace("{,}", ",") or form in ("python", "sympy")
    assert run(["explain", "vgg16", "input"]) == 0
    assert "values: 224*224*3 = 150,528" in capsys.readouterr().out


@pytest.mark.parametrize("case", {case.layer.kind: case for case in CASES}.values(), ids=str)
def test_formulas_of_every_kind_are_written(case: Case) -> None:
    """An example of each kind in each format; the Python function is run where the layer has its numbers."""
    found = layer_formulas(application(case))
    sheet = Formulas(str(case), found.listed, found.names, found.conditions, found.general.from_zero)
    for form in FORMS:
        assert len(found.listed) <= len(sheet.to(form).splitlines())
    scope: dict[str, Any] = {}
    exec(sheet.python(), scope)
    parameters = list(inspect.signature(scope["formulas"]).parameters)
    assert {formula.name: formula.value for formula in found.listed} == scope["formulas"](
        *(found.names[name.removesuffix("_") if name not in found.names else name] for name in parameters)
    )


def built_at(found: LayerFormulas, numbers: dict[str, int]) -> dict[str, int] | None:
    """A layer's numbers where its formulas' symbols are these integers, from the layer itself; None: it can't be."""

    def put(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(put, value))
        return put_in(value, numbers) if is_symbolic(value) else value

    general = found.general
    layer = type(general.layer)(**{name: put(getattr(general.layer, name)) for name in general.layer.arguments()})
    shapes = [Shape(**{axis: put(size) for axis, size in shape.items()}) for shape in general.inputs]
    try:
        output = layer.output_shape(*shapes)
        sizes = {"activations": output.numel, **{f"{axis}_out": size for axis, size in output.items()}}
        others = {each.name: getattr(layer, each.name)(*shapes) for each in found.listed if each.name not in sizes}
        return {each.name: (sizes | others)[each.name] for each in found.listed}
    except LocalError:
        return None


@pytest.mark.parametrize("case", [case for case in CASES if case.inputs], ids=str)
def test_functions_know_their_domain(case: Case) -> None:
    """Where a layer can be built, padding 0 included, its function is right; where it can't, the function refuses."""
    found, draw = layer_formulas(application(case)), random.Random(str(case))
    if not found.names:
        return
    scope: dict[str, Any] = {}
    sheet = Formulas(str(case), found.listed, found.names, found.conditions, found.general.from_zero)
    exec(sheet.python(), scope)
    parameters = list(inspect.signature(scope["formulas"]).parameters)
    names = [name.removesuffix("_") if name not in found.names else name for name in parameters]
    least = {name: 0 if name in found.general.from_zero else 1 for name in found.names}
    places = [{**found.names, **dict.fromkeys(found.general.from_zero, 0)}]
    for _ in range(8):
        near = {name: draw.choice([own, own, max(least[name], own + draw.randint(-2, 3)), draw.randint(least[name], 4)])
                for name, own in found.names.items()}  # fmt: skip
        places.append(near)
    for numbers in places:
        try:
            written = scope["formulas"](*(numbers[name] for name in names))
        except ValueError:
            written = None
        assert built_at(found, numbers) == written, numbers
    for name in names:
        with pytest.raises(ValueError, match=f"needs .*{name}.* >= {least[name]}"):
            scope["formulas"](
                *(found.names[other] - (found.names[other] - least[name] + 1) * (other == name) for other in names)
            )


def test_unlike_axes_have_a_field_each() -> None:
    """Where kernels, strides or fields differ from axis to axis, each has its own line, which says which it is."""
    layers = "layers: [a: conv 3 1x5 p=0x2, b: conv 4 3 s=1x2, c: conv 4 3x3 s=2]\n"
    report = analyze(graph_of(layers))
    sheets = {name: of_layer(report.row(report.graph.place(name))) for name in "abc"}
    for name, sheet in sheets.items():
        values = {f.name: f.value for f in sheet.formulas if f.name[:2] in ("r_", "j_")}
        fields = report[name].fields
        assert {f"{letter}_out_{axis.lower()}": getattr(fields[axis], what) for axis in "HW"
                for letter, what in (("r", "size"), ("j", "stride"))} == values  # fmt: skip
        assert all(put_in(f.general, sheet.values) == f.value for f in sheet.formulas)
        scope: dict[str, Any] = {}
        exec(sheet.python(), scope)
        numbers = {key: sheet.values[key] for key in inspect.signature(scope["formulas"]).parameters}
        assert values.items() <= scope["formulas"](**numbers).items()
    assert "r_out_w     = r_in_w + d·j_in_w·(k_w − 1)" in sheets["b"].unicode().splitlines()
    told = explained(report["b"])
    assert "receptive field along H: 1 + 1*(3 - 1) = 3" in told
    assert "receptive field along W: 5 + 1*(3 - 1) = 7" in told
    square = analyze(graph_of("layers: [a: conv 3 5 p=2]\n"))["a"]
    assert ["r_out", "j_out"] == [f.name for f in of_layer(square).formulas][-2:]


def test_padding_may_be_0() -> None:
    """SymPy's lines know that padding isn't always positive, in layers that have some as in those that haven't."""
    for name, layer in (("alexnet", "conv1"), ("alexnet", "conv2"), ("unet", "up4/up")):
        row = layer_at(analyze(load(name).build()), layer)
        assert row is not None
        written = of_layer(row).sympy().splitlines()
        assert 'p = Symbol("p", integer=True, nonnegative=True)' in written
        assert 's = Symbol("s", integer=True, positive=True)' in written


def test_hparam_called_like_a_total() -> None:
    """An hparam `params` is a number of channels, not the total of the same name."""
    from tests.helpers import graph_of

    head = "archcalc: 1\nname: t\nhparams: {params: sym}\ninput: {C: 3}\n"
    scope: dict[str, Any] = {}
    exec(of_totals(analyze(graph_of("layers: fc params\n", head)), {}).python(), scope)
    assert {"params": 20, "weights": 15, "biases": 5} == {
        name: scope["formulas"](5)[name] for name in ("params", "weights", "biases")
    }


def test_explanations_are_the_lectures() -> None:
    """AlexNet's first layer, worked out as on the slides."""
    report = analyze(load("alexnet").build())
    row = layer_at(report, "conv1")
    assert row is not None
    told = explained(row)
    for line in (
        "H and W: (227 - 11 + 2*0)/4 + 1 = 55",
        "weights: (11*11*3)*96 = 34,848",
        "biases: 96",
        "params: 34,848 + 96 = 34,944",
        "values: 55*55*96 = 290,400",
        "MACs: (55*55)*(11*11*3)*96 = 105,415,200",
        "receptive field: 1 + 1*(11 - 1) = 11 (11x11 in all)",
    ):
        assert line in told


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            "conv1/pool",
            [
                "kept for the backward pass: 6,422,528 bytes",
                "  the volume of conv1/2/relu, 12,845,056 bytes, kept by conv1/2/relu already",
                "  802,816 places, 8 bytes each",
            ],
        ),
        ("conv1/2/relu", ["kept for the backward pass: 12,845,056 bytes", "  its output, 12,845,056 bytes"]),
        ("fc6/dropout", ["kept for the backward pass: 4,096 bytes", "  4,096 marks of what is dropped, 1 byte each"]),
        ("conv5/pool", ["kept for the backward pass: 200,704 bytes"]),
        ("fc6/dense/flatten", ["kept for the backward pass: 0 bytes"]),
    ],
)
def test_what_is_kept_is_explained(layer: str, expected: list[str]) -> None:
    """What the layer needs for the backward pass, and which of it another layer keeps already."""
    report = analyze(load("vgg16").build())
    told = explained(report[layer])
    start = told.index(expected[0])
    assert expected == told[start : start + len(expected)]


def test_a_stride_that_does_not_fit_is_explained() -> None:
    """The famous 224 gives 54.25, and a warning."""
    row = layer_at(analyze(load("alexnet").build(sizes={"H": 224, "W": 224})), "conv1")
    assert row is not None
    told = explained(row)
    assert "H and W: (224 - 11 + 2*0)/4 + 1 = 54.25, rounded down to 54" in told
    assert "warning: (224 + 2*0 - 11)/4 + 1 = 54.25 is not an integer; rounded down to 54" in told


@pytest.mark.parametrize("name", ["lenet5", "deconvnet", "faster_rcnn", "vit", "gpt2", "unet", "efficientnet_b0"])
def test_every_kind_can_be_explained(name: str) -> None:
    """Whatever the kind, there's something to say about it, and the numbers are the report's."""
    report = analyze(load(name).build())
    for row in {row.node.kind: row for row in report.rows if row.node.inputs}.values():
        told = "\n".join(explained(row))
        if not is_symbolic(row["macs"]) and row["macs"]:
            assert f"{row['macs']:,}" in told


def test_conditions_are_written() -> None:
    """A condition as people write it."""
    found = layer_formulas(analyze(load("alexnet").build())["conv1/conv"].node.application)
    assert "C_in mod g = 0" == condition_text(found.conditions[0])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["formula", "alphago_policy", "--symbolic", "k"], "params           = 99k² + 1213k + 361"),
        (["formula", "vgg16", "fc6", "--symbolic", "H,W"], "= 2,097,152·⌊H/32⌋·⌊W/32⌋ + 4096"),
        (["formula", "vgg16", "conv5/pool", "--symbolic", "H,W"], "            = ⌊H/32⌋"),
        (["formula", "vgg16", "--format", "sympy"], "params = 2097152*floor(H/32)*floor(W/32) + 35597096"),
        (["formula", "vgg16", "conv5"], "vgg16/conv5, in total"),
        (["formula", "resnet50", "--symbolic", "H,W,N", "-q"], "= 4,089,184,256N"),
        (["explain", "vgg16", "fc6"], "weights: 25088*4096 = 102,760,448"),
        (["table", "alphago_policy", "--symbolic", "k,N"], "99*k**2 + 1213*k + 361"),
        (["check", "unet", "--symbolic", "H,W"], "works if H >= 188"),
        (["check", "deconvnet", "--symbolic", "H"], "works if H >= 31 and H % 8 in (0, 1, 2, 3, 4, 7)"),
    ],
)
def test_commands(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands print what the functions give."""
    assert 0 == run(arguments)
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["formula", "vgg16", "conv9"], 2, "vgg16 has no layer 'conv9'"),
        (["explain", "vgg16", "conv5"], 2, "'conv5' has several layers"),
        (["formula", "vgg16", "--symbolic", "__import__('os')"], 2, "is not a name"),
        (["table", "unet", "--input", "H=187", "-q"], 1, "H = 187 breaks H >= 188; the nearest that fit: 188"),
        (["table", "vgg16", "--set", "size=31", "-q"], 1, "size = 31 breaks size >= 32; the nearest that fit: 32"),
    ],
)
def test_errors(arguments: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong is said, with what would be right."""
    assert code == run(arguments)
    assert expected in capsys.readouterr().err


def explained(row: Row) -> list[str]:
    """What `explain` says of a layer, line by line."""
    assert isinstance(row.report, Report)
    return list(explain(row.report, row.node.name).lines())


def explanation(layers: str) -> str:
    """What `explain` says of the last layer."""
    graph = graph_of(f"layers: {layers}")
    return "\n".join(explained(analyze(graph).row(len(graph) - 1)))


def test_sentences_are_about_this_layer() -> None:
    """One slope isn't one for each channel, a plain convolution has no table, a view doesn't compute in place."""
    assert "one learned slope for all channels" in explanation("prelu")
    assert "a learned slope for each channel" in explanation("prelu 3")
    assert "table" not in explanation("conv 8 3x3")
    assert "it is a view of its input" in explanation("flatten")
    assert "it works on its input in place" in explanation("relu")


EQUATION = re.compile(r"[\w ]+: (?P<arithmetic>[^=]+) = (?P<result>[\d.,]+)(?:, rounded down to (?P<rounded>[\d,]+))?")


def value_of(arithmetic: str) -> Fraction:
    """What a line of arithmetic comes to, exactly."""
    text = re.sub(r"\d{1,3}(?:,\d{3})+|\d+", lambda digits: f"Fraction({digits[0].replace(',', '')})", arithmetic)
    functions = {"floor": math.floor, "ceil": math.ceil, "min": min, "max": max, "Fraction": Fraction}
    return Fraction(eval(text.replace("·", "*").replace("−", "-"), {"__builtins__": {}}, functions))


def equations(row: Row) -> Iterator[tuple[str, Fraction, Fraction]]:
    """Each equation in an explanation: its line, its left side's value, and what stands on its right."""
    for line in explained(row):
        if found := EQUATION.fullmatch(line):
            value = value_of(found["arithmetic"])
            if found["rounded"]:
                assert float(found["result"].replace(",", "")) == pytest.approx(float(value), rel=1e-5)
                value = Fraction(math.floor(value))
            yield line, value, Fraction((found["rounded"] or found["result"]).replace(",", ""))


@pytest.mark.parametrize("name", ["zfnet", "alexnet", "dcgan_generator"])
def test_explained_arithmetic_is_true(name: str) -> None:
    """Every line of arithmetic comes to the number on its right, ceil mode and roundings included."""
    report, seen, count = analyze(name), set(), 0
    for row in report.rows:
        if row.inputs and row.node.application not in seen:
            seen.add(row.node.application)
            for line, value, result in equations(row):
                assert result == value, line
                count += 1
    assert count > 20


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_kind_is_explained_in_true_arithmetic(case: Case) -> None:
    """Likewise for each kind's example rows."""
    inputs = {f"x{number}": shape for number, shape in enumerate(case.inputs)}
    nodes = [Node(name, Application(Input(), (), shape), ()) for name, shape in inputs.items()]
    nodes.append(Node("layer", application(case), tuple(range(len(nodes)))))
    graph = Graph.of("t", tuple(nodes), {"layer": len(nodes) - 1}, {})
    for line, value, result in equations(analyze(graph)["layer"]):
        assert result == value, line


def test_explain_says_which_layers_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A scope of several layers lists those with weights, or all where none has any."""
    assert 2 == run(["explain", "rpn_zf", "features/pool2"])
    assert "say which: features/pool2/maxpool" in capsys.readouterr().err


def test_no_two_names_look_alike_in_latex() -> None:
    """Each letter of a name is seen: x and x_ are two symbols, and an underscore alone is one."""
    names = ["x", "x_", "_x", "__x", "_", "__", "x__y", "x_y", "x_y_z", "xy", "xy_", "xy_z"]
    written = [LATEX.write(dim(name)) for name in names]
    assert len(names) == len(set(written))
    assert [name.replace("_", "") for name in names] == [
        "".join(letter for letter in text.replace(r"\mathit", "") if letter.isalnum()) for text in written
    ]


NETS: list[tuple[str, str, dict[str, Any]]] = [
    ("alphago_policy", "", {"symbolic": "k,H"}), ("unet", "", {}), ("alexnet", "conv1", {}), ("vgg16", "conv5", {}),
    ("resnet18", "conv4", {"symbolic": ["H", "W"]}), ("gpt2_small", "", {"symbolic": "T"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "layer", "asked"), NETS)
def test_formulas_in_python(name: str, layer: str, asked: dict[str, Any]) -> None:
    """Expressions by name, each with its value; at the network's own numbers they are those of its report."""
    found = archcalc.formula(name, layer, **asked)
    report = analyze(name)
    assert [each.name for each in found] == list(found.names)
    assert len(found) == len(found.formulas) > 2
    row = layer_at(report, layer) if layer else None
    for each in found:
        assert each.general == found[each.name]
        if each.name in QUANTITIES:
            assert (row[each.name] if row else report.total(each.name, layer)) == each.value
    assert {each.name: each.value for each in found} == found.at()


def test_formulas_at_other_numbers() -> None:
    """What building with those numbers gives; what can't be built is refused, as is what is no number."""
    found = archcalc.formula("unet")
    for height, width in ((188, 572), (604, 220)):
        built = analyze(load("unet").build(sizes={"H": height, "W": width}))
        assert {name: built.total(name) for name in found.names} == found.at(H=height, W=width)
    with pytest.raises(UsageError, match="the formulas need H ≥ 188"):
        found.at(H=187)
    for wrong in (0, -5, 2.5, "8"):
        with pytest.raises(UsageError, match=r"exact integer|at least 1"):
            found.at(H=wrong)
    with pytest.raises(UnknownNameError, match="no formula has the symbol 'Q'"):
        found.at(Q=5)
    assert 2 * found.at(H=188)["macs"] == archcalc.formula("unet", symbolic="N,H,W").at(H=188, W=572, N=2)["macs"]


def test_formulas_of_what_is_built() -> None:
    """A graph and a report have their own symbols, and no numbers to put in."""
    graph = load("alphago_policy").build(k="sym")
    for network in (graph, analyze(graph)):
        found = archcalc.formula(network)
        assert ({}, 99 * K**2 + 1213 * K + 361) == (found.values, found["params"])
        assert found.names == archcalc.formula("alphago_policy", symbolic="k").names
        with pytest.raises(UsageError, match="built already"):
            archcalc.formula(network, symbolic="H")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg61",), "no architecture is called 'vgg61'"),
        ((3,), "by its name or path"),
        (("vgg16", "conv9"), "has no layer 'conv9'"),
        (("vgg16", 5), "called by its path"),
        (("vgg16", "fc6", {"symbolic": "N"}), "for one example"),
        (("vgg16", "", {"symbolic": "Q"}), "has no axis and no hparam 'Q'"),
        (("vgg16", "", {"symbolic": 5}), "not the name of a size"),
        (("vgg16", "", {"hparams": "k=3"}), "hparams are values by name"),
        (("vgg16", "", {"hparams": {"k": 3}}), "has no hparam 'k'"),
        (("vgg16", "", {"sizes": [3]}), "sizes are values by name"),
        (("vgg16", "", {"sizes": {"Q": 3}}), "has no axis Q"),
        (("vgg16", "", {"batch": 2.5}), "exact integer"),
        (("vgg16", "", {"hparams": {"size": 32}, "symbolic": "size"}), "given a value, and left open"),
        (("vgg16", "", {"sizes": {"H": 32}, "symbolic": "H"}), "given a value, and left open"),
    ],
)
def test_misuse_is_explained(arguments: tuple[Any, ...], message: str) -> None:
    """Wrong types and unknown names are usage errors."""
    *places, named = (*arguments, {}) if not isinstance(arguments[-1], dict) else arguments
    with pytest.raises(UsageError) as caught:
        archcalc.formula(*places, **named)
    assert message in str(caught.value)


def test_what_there_is_no_formula_of() -> None:
    """Said with what is meant; so is a format that there isn't."""
    found = archcalc.formula("lenet5")
    with pytest.raises(UnknownNameError, match="did you mean 'params'"):
        found["parms"]
    with pytest.raises(UsageError, match="unknown format 'sumpy'"):
        found.to("sumpy")


@pytest.mark.parametrize("form", ["csv", "markdown", "html", "json", "plain"])
def test_formulas_are_a_table_too(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command has all formats of tables, and what it writes is the answer's."""
    assert 0 == run(["formula", "lenet5", "--symbolic", "H", "--format", form])
    assert archcalc.formula("lenet5", symbolic="H").to(form) == capsys.readouterr().out


@pytest.mark.parametrize(("suffix", "form"), [("txt", "unicode"), ("tex", "latex"), ("py", "python"), ("csv", "csv")])
def test_a_file_has_the_format_of_its_suffix(suffix: str, form: str, tmp_path: Path) -> None:
    """A text, LaTeX, a function, a table."""
    file = tmp_path / f"f.{suffix}"
    assert 0 == run(["formula", "lenet5", "-o", str(file)])
    assert archcalc.formula("lenet5").to(form) == file.read_text(encoding="utf-8")
