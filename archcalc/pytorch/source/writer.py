"""A graph as readable PyTorch code of its own: `archcalc export NAME --to torch`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType

import torch
from torch import nn

from archcalc._version import __version__
from archcalc.graph import Graph
from archcalc.identifiers import Namespace, docstring, literal
from archcalc.layers import torch_modules, torch_regions, torch_tokens
from archcalc.pytorch.network import Network, weighted_path
from archcalc.pytorch.source.check import check_program, loaded
from archcalc.pytorch.source.layout import wrapped
from archcalc.pytorch.source.names import variables
from archcalc.pytorch.source.pieces import Hole
from archcalc.pytorch.source.planner import Definition, Planner, expression
from archcalc.pytorch.source.tree import Branch, Leaf, Part, Wire, readers, tree_of
from archcalc.report import Report

EXPORTED = 300
"""Steps of work for each layer. Most of it is PyTorch's, which builds it and follows the program without memory."""
HOMES = {home.__name__: home for home in (torch_modules, torch_regions, torch_tokens)}
"""Where the modules are that PyTorch lacks."""


def torch_code(graph: Graph) -> str:
    """The program: helpers that PyTorch lacks, one class for each different scope, and the network itself.

    It's built, counted and followed on the meta device before it's returned; a small one is run with the weights of
    `to_torch`.
    Raises: UsageError: a size is symbolic, or too large for PyTorch. ProgramError: the program isn't the network.
    """
    graph.spend(EXPORTED, "exporting so many layers")
    with torch.device("meta"):
        network = Network(graph)
    code, name = _written(graph, network)
    check_program(code, graph, network, name)
    return code


def torch_program(graph: Graph) -> type[nn.Module]:
    """The class of the network that the program defines; it isn't compared with the graph.

    Raises: UsageError: a size is symbolic, or too large for PyTorch.
    """
    with torch.device("meta"):
        network = Network(graph)
    return loaded(*_written(graph, network))


def _written(graph: Graph, network: Network) -> tuple[str, str]:
    """The program, and the name of its last class, which is the network's."""
    root = tree_of(graph, network.pools)
    helpers = _helpers(network)
    planner = Planner(network, root, graph.name, set(helpers))
    classes = [*helpers.values(), *(_class(definition, planner, graph) for definition in planner.definitions)]
    imports = "\n".join(_imports("\n".join(classes)))
    code = "\n\n\n".join([f"{_header(graph)}\n\n{imports}", *classes]) + "\n"
    return code, planner.definitions[-1].name


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
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    yield "from __future__ import annotations\n"
    standard = [("collections.abc", "Sequence"), ("typing", "Any")]
    if used := [f"from {module} import {name}" for module, name in standard if name in names]:
        yield "\n".join(used) + "\n"
    if "torch" in names:
        yield "import torch"
    yield "from torch import Tensor, nn"
    if "F" in names:
        yield "from torch.nn import functional as F"


def _helpers(network: Network) -> dict[str, str]:
    """The source of every module of archcalc's own that the network uses, and of what that uses."""
    found: dict[str, str] = {}

    def need(name: str, home: ModuleType) -> None:
        if name in found:
            return
        source = _source(home, name)
        found[name] = ""  # stands after what it uses
        for other, value in vars(home).items():
            if (
                getattr(value, "__module__", "") == home.__name__
                and other != name
                and re.search(rf"\b{other}\(", source)
            ):
                need(other, home)
        del found[name]
        found[name] = re.sub(r"  # (type: ignore|noqa).*", "", source)

    for index, node in enumerate(network.graph.nodes):
        for part in network.module_at(index).modules() if node.inputs and not expression(node) else ():
            name, home = type(part).__name__, type(part).__module__
            if home in HOMES:
                need(name, HOMES[home])
    return found


@cache
def _source(home: ModuleType, name: str) -> str:
    return inspect.getsource(getattr(home, name)).rstrip()


# --- classes ----------------------------------------------------------------------------------------------------------


def _class(definition: Definition, planner: Planner, graph: Graph) -> str:
    branch = definition.example
    is_root = not branch.path
    lines = [f"class {definition.name}(nn.Module):"]
    about = _title_of(graph) if is_root else f"As {branch.path}."
    lines += [f"    {docstring(about)}", ""]
    arguments = ", ".join(["self", *(f"{name}: int" for name in definition.arguments)])
    *first, last = wrapped(f"def __init__({arguments})", 4, " -> None:")
    lines += [*first, last, "        super().__init__()"]
    for name, code in definition.body:
        text = "".join((piece.name or str(piece.value)) if isinstance(piece, Hole) else piece for piece in code)
        lines += wrapped(f"self.{name} = {text}", 8)
    if is_root:
        lines += [f"        {line}" for line in _ties(planner, branch, graph)]
    lines += ["", *_forward(branch, planner.attributes(branch), graph)]
    return "\n".join(lines)


def _ties(planner: Planner, root: Branch, graph: Graph) -> Iterator[str]:
    """Shared weights."""
    for index, node in enumerate(graph.nodes):
        if node.tied is not None:
            mine, owner = (
                f"self{planner.access(root, i)}{weighted_path(planner.network.module_at(i))}"
                for i in (index, node.tied)
            )
            yield f"{mine}.weight = {owner}.weight"


def _forward(branch: Branch, attributes: Mapping[Part, str], graph: Graph) -> Iterator[str]:
    """The method; which variables there are, and so what is held and until when, is a law: `analyses/lifetimes.py`."""
    names: dict[Wire, str] = {}
    given = variables()
    for wire in branch.reads:
        names[wire] = "x" if len(branch.reads) == 1 else given.name(_last_name(wire, graph), "step")
    result = "Tensor" if len(branch.makes) == 1 else "tuple[Tensor, ...]" if branch.path else "dict[str, Tensor]"
    yield f"    def forward(self, {', '.join(f'{names[wire]}: Tensor' for wire in branch.reads)}) -> {result}:"
    reading = readers(branch)
    last_use = {wire: numbers[-1] for wire, numbers in reading.items()}
    last_use |= dict.fromkeys(branch.makes, len(branch.parts))
    for number, part in enumerate(branch.parts):
        read = [names[wire] for wire in part.reads]
        wanted = [wire for wire in part.makes if wire in last_use]
        main = _main(part.makes)
        joined = main is not None and any(len(branch.parts[other].reads) > 1 for other in reading.get(main, ()))
        heir = _heir(branch, [wire for wire in part.reads if last_use[wire] == number], joined)
        for wire in sorted(wanted, key=lambda wire: wire[1]):  # switches have no heirs
            if wire == _main(wanted) and heir is not None:
                names[wire] = names[heir]
            else:
                names[wire] = given.name(_title(part, wire, graph), "step")
        yield from _statement(part, attributes, read, [names[wire] for wire in wanted], given)
    yield from wrapped(f"return {_results(branch, names, graph)}", 8)


def _heir(branch: Branch, ending: Sequence[Wire], joined: bool) -> Wire | None:
    """Of the volumes that a part is the last to read, the one whose variable its result takes over.

    That is the first of the forward's own. An argument's variable may be taken over or not, since the caller holds it;
    it isn't where the result is joined with others, so that each of those has a name.
    """
    own = [wire for wire in ending if wire not in branch.reads]
    return next(iter(own if own or joined else ending), None)


def _main(makes: Sequence[Wire]) -> Wire | None:
    """Of several results, the last volume: the one that is handed on."""
    return next((wire for wire in reversed(makes) if not wire[1]), makes[-1] if makes else None)


def _statement(
    part: Part, attributes: Mapping[Part, str], read: Sequence[str], made: Sequence[str], given: Namespace
) -> Iterator[str]:
    """One step, or a loop over equal steps. A result that nobody reads has no variable, lest it's held."""
    targets = ", ".join(made)
    if isinstance(part, Branch) and part.is_run:
        if targets != read[0]:
            yield f"        {targets} = {read[0]}"
        step = given.unused("step")
        yield f"        for {step} in self.{attributes[part]}:"
        yield f"            {targets} = {step}({targets})"
        return
    text = _expression(part, attributes, list(read))
    if len(made) < len(part.makes) == 2 and isinstance(part, Leaf):
        text += "[1]" if made else ""
    if text != targets:
        yield from wrapped(f"{targets} = {text}" if targets else text, 8)


def _title(part: Part, wire: Wire, graph: Graph) -> str:
    """What to call a part's result: as the part itself, or, of several, as what they are in it."""
    if wire == _main(part.makes):
        return part.name
    return f"{part.name}_{'switches' if wire[1] and isinstance(part, Leaf) else _last_name(wire, graph)}"


def _last_name(wire: Wire, graph: Graph) -> str:
    return graph.nodes[wire[0]].name.rpartition("/")[2] + ("_switches" if wire[1] else "")


def _expression(part: Part, attributes: Mapping[Part, str], read: list[str]) -> str:
    if isinstance(part, Leaf) and (text := expression(part.node, read)):
        return text
    return f"self.{attributes[part]}({', '.join(read)})"


def _results(branch: Branch, names: dict[Wire, str], graph: Graph) -> str:
    if branch.path or len(graph.outputs) == 1:
        return ", ".join(names[wire] for wire in branch.makes)
    return "{" + ", ".join(f"{literal(name)}: {names[index, 0]}" for name, index in graph.outputs.items()) + "}"
