"""A graph as readable PyTorch code of its own: `archcalc export NAME --to torch`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from types import ModuleType

import torch
from torch import nn

from archcalc._version import __version__
from archcalc.graph import Graph, NoNumber
from archcalc.graph.composite import depth_symbols
from archcalc.graph.shared import owner_of
from archcalc.identifiers import Namespace, docstring, literal
from archcalc.layers import torch_experts, torch_modules, torch_regions, torch_tokens, torch_windows
from archcalc.pytorch.network import check_numbers, refuse_opaque, weighted_path
from archcalc.pytorch.source.check import check_program, loaded
from archcalc.pytorch.source.layout import wrapped
from archcalc.pytorch.source.names import variables
from archcalc.pytorch.source.pieces import Hole
from archcalc.pytorch.source.planner import Definition, Planner, expression, inside_out
from archcalc.pytorch.source.runs import Unrolled
from archcalc.pytorch.source.tree import Laid, Leaf, Part, Run, Scope, Wire, laid, readers, same_code, tree_of, whole
from archcalc.report import Report

HOMES = {home.__name__: home for home in (torch_modules, torch_regions, torch_tokens, torch_experts, torch_windows)}
"""Where the modules are that PyTorch lacks."""


def torch_code(graph: Graph) -> str:
    """The program: helpers that PyTorch lacks, one class for each different scope, and the network itself.

    It's built, counted and followed on the meta device before it's returned, a long one with few passes of each loop; a
    small one is run with the weights of `to_torch`.
    Raises: UsageError: a size is symbolic, or too large for PyTorch. ProgramError: the program isn't the network.
    """
    code, planner = _written(graph)
    check_program(code, planner.definitions[-1].name, graph, planner)
    return code


def torch_program(graph: Graph) -> type[nn.Module]:
    """The class of the network that the program defines; it isn't compared with the graph.

    Raises: UsageError: a size is symbolic, or too large for PyTorch.
    """
    code, planner = _written(graph)
    return loaded(code, planner.definitions[-1].name)


def _written(graph: Graph) -> tuple[str, Planner]:
    """The program, and the plan that it was written by; its last class is the network's."""
    _check_depth(graph)
    check_numbers(graph)
    refuse_opaque(graph, f"{graph.name} can't be written as code")
    try:
        planner = _planned(laid(graph), graph.name)
    except Unrolled:
        planner = _planned(whole(graph), graph.name)
    classes = [*planner.helpers.values(), *(_class(each, planner, graph) for each in planner.definitions)]
    imports = "\n".join(_imports("\n".join(classes)))
    return "\n\n\n".join([f"{_header(graph)}\n\n{imports}", *classes]) + "\n", planner


def _check_depth(graph: Graph) -> None:
    """Check that the number of layers is one.

    Raises: NoNumber: it's a symbol.
    """
    if names := sorted(map(str, depth_symbols(graph.tree.body))):
        message = f"the number of layers of {graph.name} has no value: {', '.join(names)}"
        raise NoNumber(message, f"give it one, as in --set {names[0]}=3")


def _planned(laid: Laid, name: str) -> Planner:
    with torch.device("meta"):
        root = tree_of(laid)
    return Planner(laid, root, name, _helpers(root))


def _header(graph: Graph) -> str:
    params = Report(graph).total("params")
    lines = [f"{_title_of(graph)}.", ""]
    lines += [graph.citation, ""] if graph.citation else []
    inputs = ", ".join(f"{node.name} {node.shape}" for node in graph.inputs)
    lines += [f"Network {graph.name}: {params:,} parameters; batch first, then {inputs}."]
    lines += [f"Written by archcalc {__version__}.", ""]
    return docstring("\n".join(lines))


def _title_of(graph: Graph) -> str:
    """The title in one line, since Python looks for the file's encoding in the first two."""
    return " ".join(graph.title.split()) or graph.name


def _imports(code: str) -> Iterator[str]:
    """What the code uses."""
    names = _names(code)
    yield "from __future__ import annotations\n"
    standard = [("collections.abc", "Sequence"), ("typing", "Any")]
    if used := [f"from {module} import {name}" for module, name in standard if name in names]:
        yield "\n".join(used) + "\n"
    if "torch" in names:
        yield "import torch"
    yield "from torch import Tensor, nn"
    if "F" in names:
        yield "from torch.nn import functional as F"


def _helpers(root: Scope) -> dict[str, str]:
    """The source of every module of archcalc's own that the network uses, each after what it uses itself."""
    found: dict[str, str] = {}
    leaves = (what for what in inside_out(root) if isinstance(what, Leaf) and not what.expression())
    for part in (part for leaf in leaves for part in leaf.module.modules()):
        if (home := HOMES.get(type(part).__module__)) is not None:
            _add_helper(type(part).__name__, home, found)
    return found


def _add_helper(name: str, home: ModuleType, found: dict[str, str]) -> None:
    """Add a class or a function, if it isn't there yet, after those of these modules that it uses."""
    if name not in found:
        source = _source(home, name)
        for other in sorted(_names(source) - {name}):
            origin = HOMES.get(getattr(vars(home).get(other), "__module__", ""))
            if origin is not None:
                _add_helper(other, origin, found)
        found[name] = re.sub(r"  # (type: ignore|noqa).*", "", source)


@cache
def _source(home: ModuleType, name: str) -> str:
    return inspect.getsource(getattr(home, name)).rstrip()


def _names(code: str) -> set[str]:
    """The names that code uses, without attributes."""
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


# --- classes ----------------------------------------------------------------------------------------------------------


def _class(definition: Definition, planner: Planner, graph: Graph) -> str:
    scope = definition.example
    lines = [f"class {definition.name}(nn.Module):"]
    about = _title_of(graph) if scope is planner.root else f"As {scope.path}."
    lines += [f"    {docstring(about)}", ""]
    arguments = ", ".join(["self", *(f"{name}: int" for name in definition.arguments)])
    *first, last = wrapped(f"def __init__({arguments})", 4, " -> None:")
    lines += [*first, last, "        super().__init__()"]
    for name, code in definition.body:
        text = "".join((piece.name or str(piece.value)) if isinstance(piece, Hole) else piece for piece in code)
        lines += wrapped(f"self.{name} = {text}", 8)
    if scope is planner.root:
        lines += [f"        {line}" for line in dict.fromkeys(_ties(planner))]
    lines += ["", *_forward(scope, planner)]
    return "\n".join(lines)


def _ties(planner: Planner) -> Iterator[str]:
    """Shared modules, if not all their calls are one attribute, and shared weights."""
    graph, root = planner.laid.graph, planner.root
    done: set[int] = set()
    for start, size, is_attribute in planner.called_again(root):
        first = owner_of(graph.tree.body, start)
        assert first is not None
        (mine, call), (theirs, holder) = (planner.reach(root, place, size) for place in (start, first))
        if is_attribute or same_code(call, holder):
            done.update(range(start, start + size))
            yield from () if is_attribute else [f"self{mine} = self{theirs}"]
    for index, node in enumerate(graph.nodes):
        if node.tied is not None and index not in done:
            (mine, layer), (theirs, owner) = (planner.reach(root, place) for place in (index, node.tied))
            assert isinstance(layer, Leaf)
            assert isinstance(owner, Leaf)
            if not node.reuses:
                paths = [f"self{path}{weighted_path(leaf.module)}" for path, leaf in ((mine, layer), (theirs, owner))]
                yield f"{paths[0]}.weight = {paths[1]}.weight"
            elif same_code(layer, owner):
                yield f"self{mine} = self{theirs}"
            else:
                yield from (f"self{mine}{name} = self{theirs}{name}" for name in _names_of_tensors(layer.module))


def _names_of_tensors(module: nn.Module) -> Iterator[str]:
    """How to reach the parameters and buffers of a layer's module."""
    for name in (*dict(module.named_parameters()), *dict(module.named_buffers())):
        yield re.sub(r"\.(\d+)", r"[\1]", f".{name}")


def _forward(scope: Scope, planner: Planner) -> Iterator[str]:
    """The method; which variables there are, and so what is held and until when, is a law: `analyses/lifetimes.py`."""
    is_root, parts, graph = scope is planner.root, planner.parts(scope), planner.laid.graph
    names: dict[Wire, str] = {}
    given = variables()
    for wire in scope.reads:
        names[wire] = "x" if len(scope.reads) == 1 else given.name(_last_name(wire, scope, graph), "step")
    result = "Tensor" if len(scope.makes) == 1 else "dict[str, Tensor]" if is_root else "tuple[Tensor, ...]"
    yield f"    def forward(self, {', '.join(f'{names[wire]}: Tensor' for wire in scope.reads)}) -> {result}:"
    reading = readers(parts)
    last_use = {wire: numbers[-1] for wire, numbers in reading.items()}
    last_use |= dict.fromkeys(scope.makes, len(parts))
    for number, (part, attribute) in enumerate(zip(parts, planner.attributes(scope), strict=True)):
        read = [names[wire] for wire in part.reads]
        wanted = [wire for wire in part.makes if wire in last_use]
        main = _main(part.makes)
        joined = main is not None and any(len(parts[other].reads) > 1 for other in reading.get(main, ()))
        handed_on = part.reads[:1] if isinstance(part.what, Run) else part.reads
        heir = _heir(scope, [wire for wire in handed_on if last_use[wire] == number], joined)
        for wire in sorted(wanted, key=lambda wire: wire[1]):  # switches have no heirs
            if wire == _main(wanted) and heir is not None:
                names[wire] = names[heir]
            else:
                names[wire] = given.name(_title(part, wire, scope, graph), "step")
        yield from _statement(part, attribute, read, [names[wire] for wire in wanted], given)
    made = [names[wire] for wire in scope.makes]
    yield from wrapped(f"return {_named(made, graph) if is_root and len(made) > 1 else ', '.join(made)}", 8)


def _heir(scope: Scope, ending: Sequence[Wire], joined: bool) -> Wire | None:
    """Of the volumes that a part is the last to read, the one whose variable its result takes over.

    That is the first of the forward's own. An argument's variable may be taken over or not, since the caller holds it;
    it isn't where the result is joined with others, so that each of those has a name.
    """
    own = [wire for wire in ending if wire not in scope.reads]
    return next(iter(own if own or joined else ending), None)


def _main(makes: Sequence[Wire]) -> Wire | None:
    """Of several results, the last volume: the one that is handed on."""
    return next((wire for wire in reversed(makes) if not wire[1]), makes[-1] if makes else None)


def _statement(part: Part, attribute: str, read: Sequence[str], made: Sequence[str], given: Namespace) -> Iterator[str]:
    """One step, or a loop over equal steps. A result that nobody reads has no variable, lest it's held."""
    targets = ", ".join(made)
    if isinstance(part.what, Run):
        yield from _loop(part.what, attribute, read, targets, given)
        return
    text = f"self.{attribute}({', '.join(read)})" if attribute else expression(part.what, read)
    if len(made) < len(part.makes) == 2 and isinstance(part.what, Leaf):
        text += "[1]" if made else ""
    if text != targets:
        yield from wrapped(f"{targets} = {text}" if targets else text, 8)


def _loop(run: Run, attribute: str, read: Sequence[str], target: str, given: Namespace) -> Iterator[str]:
    """A loop over passes, each of which reads what the one before it made, and what all of them read."""
    if target != read[0]:
        yield f"        {target} = {read[0]}"
    read = [target, *read[1:]]
    if run.is_shared:
        yield f"        for _ in range({sum(part.times for part in run.parts)}):"
        yield f"            {target} = self.{attribute}({', '.join(read)})"
    elif attribute:
        step = given.unused("step")
        yield f"        for {step} in self.{attribute}:"
        yield f"            {target} = {step}({', '.join(read)})"
    elif (text := expression(run, read)) != target:
        yield f"        for _ in range({sum(part.times for part in run.parts)}):"
        yield f"            {target} = {text}"


def _title(part: Part, wire: Wire, scope: Scope, graph: Graph) -> str:
    """What to call a part's result: as the part itself, or, of several, as what they are in it."""
    if wire == _main(part.makes):
        return part.name
    return f"{part.name}_{'switches' if wire[1] and isinstance(part.what, Leaf) else _last_name(wire, scope, graph)}"


def _last_name(wire: Wire, scope: Scope, graph: Graph) -> str:
    return graph.node(scope.node(wire)).name.rpartition("/")[2] + ("_switches" if wire[1] else "")


def _named(made: Sequence[str], graph: Graph) -> str:
    """The network's outputs by their names."""
    return "{" + ", ".join(f"{literal(name)}: {made}" for name, made in zip(graph.outputs, made, strict=True)) + "}"
