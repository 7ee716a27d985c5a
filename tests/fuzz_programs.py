"""Exported programs of random networks: `python -m tests.fuzz_programs --examples 20000 --seed 1`.

Random nestings of loops, groups, branches, blocks, ties, switches, several inputs and outputs, and a fifth as many
random specs of every kind; their names and texts replaced by the nastiest ones that a spec may have. Each program must compile, import PyTorch alone, run no text of the
spec, have as many parameters as its header says, and give the outputs of `to_torch` with its weights, to the last bit.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import keyword
import random
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from archcalc.expand import build
from archcalc.graph import Graph, Tree
from archcalc.graph.labels import Label, Numbered
from tests.helpers import fuzz_options, spec_of
from tests.random_specs import specs, text_of

NAMES = [
    *keyword.kwlist, *keyword.softkwlist, *dir(builtins),
    "self", "forward", "x", "F", "nn", "torch", "Tensor", "Sequence", "Any", "annotations", "super", "training", "double",
    "half", "T_destination", "dump_patches", "add_module", "parameters", "state_dict", "_modules", "_parameters", "pools",
    "graph", "modules_in_order", "_scopes", "module_at", "passes", "passes_2", "passes_", "step", "stepstep", "block",
    "__x", "___", "_", "__init__", "__class__", "a.b", "a-b", "a+b", "a_b", "A_b", "a__b", "..a", "1", "2", "1x1", "+", "-x",
    "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "\N{LATIN SMALL LIGATURE FI}", "fi", "\N{GREEK SMALL LETTER BETA}",
    "\N{LATIN SMALL LETTER LONG S}", "s", "\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}", "\N{VULGAR FRACTION ONE HALF}",
    "\N{ROMAN NUMERAL FOUR}", "IV", "\N{FULLWIDTH LATIN SMALL LETTER A}", "a", "A", "stra\N{LATIN SMALL LETTER SHARP S}e",
    "Pad", "Folded", "Reshape", "Tokens", "Select", "Narrow", "crop", "ConvBlock", "conv_block", "conv-block", "Block2",
    "in_channels", "kernel_size", "c", "d", "conv", "conv_2", "relu", "body", "shortcut", "network", "inputs", "input",
    "concat", "dim", "switches", "n_switches", "block1", "block01", "Block_1", "x1", "x_2", "y" * 60,
]  # fmt: skip
"""What is reserved, used by PyTorch or by the program itself, collides after a change, or is no ASCII."""
LAYERS = 3000
"""Longer networks take too long to be run."""
TRAP = "import builtins; builtins.trapped = True"
TEXTS = [
    "", "A net", f'"""\n{TRAP}\n"""', f"'''\n{TRAP}\n'''", 'ends in "', 'ends in """', "ends in \\", '\\"""', "\\\\",
    f'"\n{TRAP}\n"', "# -*- coding: utf-7 -*-\n# coding: rot13", f"\x00\x0c\x1b[2J\u2028{TRAP}", "\u202e\ud800\r\n\t",
    f"a\n    {TRAP}\n", "{x}{{}}%s%(x)s\\N{DIGIT ONE}\\x41\\", "::stop-commands::x\n  ::error::y ##[group]", '"' * 7,
    "long " * 400,
]  # fmt: skip


# --- random networks --------------------------------------------------------------------------------------------------


@dataclass
class Sketch:
    """A spec in the making: every item keeps volumes of 4 channels and 6 x 6 positions."""

    draw: random.Random
    blocks: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, Any] = field(default_factory=dict)
    named: list[str] = field(default_factory=list)
    weighted: list[str] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def fresh(self) -> str:
        """A name that nothing else has."""
        return f"n{next(self.numbers)}"

    def times(self, least: int = 0) -> int:
        """How often something is repeated: now and then so often that a program has to loop."""
        return self.draw.randint(least, 3) if self.draw.random() < 0.9 else self.draw.randint(8, 30)


STEPS = [
    "conv 4 3 p=1", "conv 4 1", "conv 8 1 -> relu -> conv 4 1", "conv 4 3 p=1 bias=false -> bn -> relu", "relu", "bn",
    "dwconv 3 p=1", "groupnorm 2 -> sigmoid", "prelu 4", "identity", "dropout", "conv 4 5 p=half -> gelu", "add", "concat",
    "tokens -> attention 2 -> reshape C=4 H=6 W=6", "maxpool 3 s=1 p=1", "ln", "scale",
    "channel_shuffle 2", "upsample 2 -> avgpool 2", "conv 4 2x3 p=same bias=position", "lrn", "zeropad 6 -> conv 4 1",
    "maxpool 2 -> unpool 2", "conv 4 3 s=2 p=1 -> tconv 4 2 s=2", "instancenorm", "layerscale 0.5", "mul",
]  # fmt: skip


def chain(sketch: Sketch, depth: int) -> Any:
    """One to four steps; now and then repeated."""
    steps = " -> ".join(sketch.draw.choices(STEPS, k=sketch.draw.randint(1, 3)))
    return f"({steps})*{sketch.times()}" if sketch.draw.random() < 0.4 else steps


def groups(sketch: Sketch, depth: int) -> Any:
    """Several repeated groups in one scope, also one within the other."""
    parts = [f"({chain(sketch, 0)})*{sketch.times()}" for _ in range(sketch.draw.randint(1, 3))]
    return f"({' -> '.join(parts)})*{sketch.times(1)}"


def scope(sketch: Sketch, depth: int) -> Any:
    """A named item."""
    return {sketch.fresh(): item(sketch, depth - 1)}


def sequence(sketch: Sketch, depth: int) -> Any:
    """Items one after the other."""
    return [item(sketch, depth - 1) for _ in range(sketch.draw.randint(1, 4))]


def merge(sketch: Sketch, depth: int) -> Any:
    """Branches, with names or without."""
    kind = sketch.draw.choice(["add", "mul", "concat"])
    branches: Any = [[item(sketch, depth - 1)] for _ in range(sketch.draw.randint(1, 4))]
    if sketch.draw.random() < 0.5:
        branches = {sketch.fresh(): branch for branch in branches}
    return [{kind: branches}, "conv 4 1"] if kind == "concat" else {kind: branches}


def residual(sketch: Sketch, depth: int) -> Any:
    """A body and a shortcut."""
    shortcut = {"shortcut": item(sketch, depth - 1)} if sketch.draw.random() < 0.5 else {}
    return {"residual": [item(sketch, depth - 1)], **shortcut}


def loop(sketch: Sketch, depth: int) -> Any:
    """Equal passes, or passes with numbers of their own; called by their numbers or by their variable."""
    body, draw = item(sketch, depth - 1), sketch.draw
    variable = sketch.fresh()
    ranges: dict[str, Any] = {variable: f"1..{sketch.times()}"}
    if draw.random() < 0.6:
        numbers = draw.choice([[1, 3, 5], [1, 5, 3], [5], [3]])
        change = draw.choice([f"conv 4 {variable} p=half", f"conv 2*{variable} {variable} p=half -> conv 4 1"])
        ranges, body = (
            {variable: numbers},
            draw.choice([[change, body], change, [body, change], {sketch.fresh(): change}]),
        )
    made = {"for": ranges, "do": body}
    return {f"{sketch.fresh()}_{{{variable}}}": made} if draw.random() < 0.3 else made


def block(sketch: Sketch, depth: int) -> Any:
    """A block or a module, called a few times with equal and other numbers, in a row or in scopes and loops."""
    name, kernel = sketch.fresh(), sketch.fresh()
    inner = Sketch(sketch.draw, sketch.blocks, sketch.modules, numbers=sketch.numbers)
    section = sketch.modules if sketch.draw.random() < 0.4 else sketch.blocks
    section[f"{name}({kernel}=3)"] = [f"conv 4 {kernel} p=half", item(inner, depth - 1)]
    calls = [f"{name} {sketch.draw.choice(['1', '3', '5', ''])}".strip() for _ in range(sketch.draw.randint(1, 4))]
    if sketch.draw.random() < 0.5:
        return " -> ".join(calls)
    forms: list[Callable[[str], Any]] = [
        str,
        lambda call: {sketch.fresh(): call},
        lambda call: {sketch.fresh(): [call, chain(sketch, 0)]},
        lambda call: f"({call})*{sketch.times()}",
        lambda call: f"(relu -> {call})*{sketch.times()}",
    ]
    return [sketch.draw.choice(forms)(call) for call in calls]


def condition(sketch: Sketch, depth: int) -> Any:
    """One item of two."""
    return {"if": "x.C > 3", "then": item(sketch, depth - 1), "else": "identity"}


FORMS: list[Callable[[Sketch, int], Any]] = [chain, groups, scope, sequence, merge, residual, loop, block, condition]


def item(sketch: Sketch, depth: int) -> Any:
    """Any item."""
    return (chain if depth <= 0 else sketch.draw.choice(FORMS))(sketch, depth)


def top_level(sketch: Sketch) -> list[Any]:
    """An item, or one that needs names: a reference, a pool and its unpooling, a tie."""
    draw, name = sketch.draw, sketch.fresh()
    choice = draw.randint(0, 9)
    if choice == 0 and sketch.named:
        other = draw.choice(sketch.named)
        return [{name: {"add": [f"from {other}", [item(sketch, 1)]]}}]
    if choice == 1:
        kernel = draw.choice([2, 3])
        between = draw.choice([["relu"], ["conv 4 1"], [{"add": ["relu", "conv 4 1"]}]])
        return [{name: item(sketch, 1)}, f"maxpool {kernel}", *between, f"unpool {kernel} like=@{name}"]
    if choice == 2:
        sketch.weighted.append(name)
        return [{name: "conv 4 3 p=1"}]
    if choice == 3 and sketch.weighted:
        return [f"tconv 4 3 p=1 tie=@{draw.choice(sketch.weighted)}"]
    sketch.named.append(name)
    return [{name: item(sketch, draw.choice([0, 1, 1, 1, 2, 2, 2, 3, 4]))}]


def random_spec(draw: random.Random) -> str:
    """The text of a spec."""
    sketch = Sketch(draw)
    volume = {"C": 4, "H": 6, "W": 6}
    spec: dict[str, Any] = {"archcalc": 1, "name": "t"}
    if draw.random() < 0.3:
        spec["inputs"] = {"one": volume, "two": volume}
        sketch.named += ["one", "two"]
    else:
        spec["input"] = volume
    layers = [each for _ in range(draw.randint(1, 4)) for each in top_level(sketch)]
    if "inputs" in spec:
        layers.append({"add": [["identity"], ["from two -> conv 4 1"], ["from one"]]})
    if sketch.blocks:
        spec["blocks"] = sketch.blocks
    if sketch.modules:
        spec["modules"] = sketch.modules
    spec["layers"] = [*layers, "conv 4 1"]
    outputs = [name for name in sketch.named if name not in ("one", "two")] + sketch.weighted
    if outputs and draw.random() < 0.4:
        spec["outputs"] = draw.sample(outputs, k=draw.randint(1, min(3, len(outputs))))
    return text_of(spec)


# --- nasty names and texts ----------------------------------------------------------------------------------------------


def disguised(graph: Graph, draw: random.Random, share: float) -> Graph:
    """The same network under other names, each as unique among its siblings as before, and with other texts.

    Now and then it's a list of layers without structure, under the names that those had.
    """
    title, source = draw.choice(TEXTS), draw.choice(TEXTS)
    name = draw.choice([name for name in NAMES if re.match(r"\w", name)])
    if draw.random() < 0.1:
        return replace(Graph.of(name, graph.nodes, graph.outputs, {}), title=title, citation=source)
    tree = Tree(graph.tree.body, _renamed(graph.tree.label, draw, share))
    outputs: Mapping[str, int] = {tree.node(index).name: index for index in graph.outputs.values()}
    return replace(graph, name=name, tree=tree, outputs=outputs, title=title, citation=source)


def _renamed(label: Label, draw: random.Random, share: float) -> Label:
    """Other names for the items and for what is inside them; passes remain numbered."""
    used: set[str] = set()

    def fresh(old: str) -> str:
        name = draw.choice(NAMES) if draw.random() < share else old
        while name in used:
            name = draw.choice(NAMES) + (str(draw.randint(0, 99)) if draw.random() < 0.3 else "")
        used.add(name)
        return name

    names: list[str | Numbered] = []
    for name in label.names:
        if isinstance(name, str):
            names.append(fresh(name))
        else:
            before = name._replace(before=draw.choice(NAMES)) if draw.random() < share else name
            clash = {before.name(number) for number in range(len(before.numbers))} & used
            names.append(name._replace(before=f"{len(names)}{name.before}") if clash else before)
            used.update(names[-1].name(number) for number in range(len(name.numbers)))
    inner = tuple(each and _renamed(each, draw, share) for each in label.inner)
    return Label(tuple(names), label.marks, inner, ())


# --- what a program must be ---------------------------------------------------------------------------------------------


class Wrong(AssertionError):
    """A program isn't what it should be."""


def check(graph: Graph) -> None:
    """Write a graph's program, and compare it with the built network; independent of the exporter's own check."""
    import torch

    from archcalc.pytorch.network import Network
    from archcalc.pytorch.source.writer import torch_code

    builtins.trapped = False  # type: ignore[attr-defined]
    code = torch_code(graph)
    scope: dict[str, Any] = {"__name__": "exported"}
    exec(compile(code, "exported.py", "exec"), scope)
    expect("nothing trapped", False, builtins.trapped)  # type: ignore[attr-defined]
    _check_imports(code)
    own = [value for value in scope.values() if isinstance(value, type) and value.__module__ == "exported"][-1]().eval()
    built = Network(graph).eval()
    header = re.search(r"Network .*: ([\d,]+) parameters", ast.get_docstring(ast.parse(code)) or "")
    count = sum(parameter.numel() for parameter in own.parameters())
    expect("parameters of the header", count, int(header[1].replace(",", "")) if header else None)
    mine, theirs = ([*net.parameters(), *net.buffers()] for net in (own, built))
    expect("shapes", [each.shape for each in theirs], [each.shape for each in mine])
    with torch.no_grad():
        for target, source in zip(mine, theirs, strict=True):
            if source.is_floating_point():
                source.uniform_(0.1, 1)
            target.copy_(source)
        inputs = built.example_inputs(2)
        expected, actual = ({"": out} if torch.is_tensor(out) else out for out in (built(*inputs), own(*inputs)))
    expect("outputs", list(expected), list(actual))
    for name, value in expected.items():
        expect(f"output {name}", True, torch.equal(value.nan_to_num(), actual[name].nan_to_num()))


def _check_imports(code: str) -> None:
    found = {
        module
        for statement in ast.walk(ast.parse(code))
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        for module in (
            [statement.module] if isinstance(statement, ast.ImportFrom) else [a.name for a in statement.names]
        )
    }
    expect("imports", set(), found - {"__future__", "collections.abc", "typing", "torch", "torch.nn"})


def expect(what: str, expected: Any, actual: Any) -> None:
    """Raise if two values differ."""
    if expected != actual:
        raise Wrong(f"{what}: expected {str(expected)[:300]}, found {str(actual)[:300]}")


def search(examples: int, seed: int, report_every: int = 0) -> int:
    """Check so many random networks under nasty names; how many that were.

    Raises: Wrong: the first one that fails, with its spec, names and seed.
    """
    import torch

    started, threads = time.monotonic(), torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: more threads wait for one another
    try:
        _search(examples, seed, report_every, started)
    finally:
        torch.set_num_threads(threads)
    return examples


def _search(examples: int, seed: int, report_every: int, started: float) -> None:
    for number in range(examples):
        draw = random.Random(f"{seed}/{number}")
        text = random_spec(draw)
        built = build(spec_of(text))
        if len(built) > LAYERS:
            continue
        graph = disguised(built, draw, draw.choice([0, 0.3, 0.9]))
        try:
            check(graph)
        except Exception as error:
            names = ", ".join(node.name for node in graph.nodes)
            raise Wrong(f"example {number} of seed {seed}\n{text}\nnames: {names}\n{error!r}") from error
        if report_every and (number + 1) % report_every == 0:
            print(f"{number + 1:,} programs in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def search_kinds(examples: int, seed: int) -> int:
    """The same for random specs of every kind; a `Wrong` carries the smallest spec that fails."""
    done = 0

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples, deadline=None, database=None, report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(specs(), st.integers(0, 99_999))
    def every(text: str, number: int) -> None:
        nonlocal done
        draw = random.Random(number)
        try:
            check(disguised(build(spec_of(text)), draw, draw.choice([0, 0.3, 0.9])))
        except Exception as error:
            raise Wrong(f"{text}\nnumber {number}\n{error!r}") from error
        done += 1

    every()
    return done


def main() -> int:
    """The command line."""
    arguments = fuzz_options("Exported programs of random networks with nasty names.", "how many nestings")
    try:
        done = search(arguments.examples, arguments.seed, report_every=500)
        done += search_kinds(arguments.examples // 5, arguments.seed)
    except Wrong as error:
        print(f"seed {arguments.seed}: a program is wrong\n{error}")
        return 1
    print(f"seed {arguments.seed}: {done:,} programs, each compiled, counted and run; none wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
