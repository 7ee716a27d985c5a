"""A written program against the network that it should be: before anybody gets it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archcalc.graph import Graph
from archcalc.pytorch.network import Network
from archcalc.pytorch.source.fewer import FewPasses, fewer_passes
from archcalc.pytorch.source.planner import Planner
from archcalc.report import Report
from archcalc.symbolic import known

MODULES = ("__future__", "collections.abc", "typing", "torch", "torch.nn")
"""What a program may import."""
RUN = 2_000_000
"""Networks with at most so many multiply-adds, parameters and activations are run, others followed without memory."""

LAYERS = 500
"""And with at most so many layers."""
WHOLE = 2000
"""Networks of more layers are built and followed with a few passes of each loop."""
CHECKED = 240
"""Steps of work for each layer that is built and followed; most of it is PyTorch's."""


class ProgramError(Exception):
    """A written program isn't the network: a bug in archcalc."""


def check_program(code: str, name: str, graph: Graph, planner: Planner) -> None:
    """Check that a program defines and imports, no more; and that its class `name` is the graph's network.

    Its numbers of parameters and buffers, their shapes in order, and the shapes of its outputs are compared with those
    of the built network; of small networks the outputs' values too, on the same weights. Long ones are compared with
    few passes of each loop; parameters are counted as if all were there.
    Raises: ProgramError: something differs.
    """
    fewer, few = fewer_passes(planner) if len(graph) > WHOLE else None, FewPasses()
    built = fewer or graph
    built.spend(CHECKED, "exporting so many layers")
    of = loaded(code, name, {"range": few.range} if fewer else {})
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _check_network(of, few, graph, built)
    except ProgramError:
        raise
    except Exception as error:
        raise ProgramError(f"the program of {graph.name} fails: {type(error).__name__}: {error}") from error


def _check_network(of: type[nn.Module], few: FewPasses, graph: Graph, built: Graph) -> None:
    """Both built: with memory and on the same weights where they are small, else on the meta device."""
    device = "cpu" if _is_small(graph) else "meta"
    with torch.device(device):
        with few.counting():
            own = of()
        network = Network(built)
    promised, held = Report(graph).total("params"), few.params(own)
    if promised != held:
        raise ProgramError(f"the program's header says {promised:,} parameters, its class has {held:,}")
    _check_parameters(own, network)
    pairs = zip((*own.parameters(), *own.buffers()), (*network.parameters(), *network.buffers()), strict=True)
    for target, source in pairs:
        target.copy_(source)
    _check_outputs(own, network, device)


def loaded(code: str, name: str, instead: Mapping[str, Any] = {}) -> type[nn.Module]:
    """The class of this name, from a program that defines and imports, no more; `instead` replaces builtin functions.

    Raises: ProgramError: it does something else.
    """
    tree = _parsed(code)
    _check_statements(tree)
    scope: dict[str, Any] = {"__name__": "exported", **instead}
    exec(compile(tree, f"<{name}>", "exec"), scope)  # imports and definitions alone, as just checked
    return scope[name]  # type: ignore[no-any-return]


def _parsed(code: str) -> ast.Module:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(f"what was written isn't Python: {error}") from error


def _check_statements(tree: ast.Module) -> None:
    """On import nothing runs but imports of PyTorch and of types, and definitions."""
    for statement in _executed(tree):
        match statement:
            case ast.Import(names=names) if all(each.name in MODULES for each in names):
                continue
            case ast.ImportFrom(module=module, level=0) if module in MODULES:
                continue
            case ast.Expr(value=ast.Constant(value=str())) | ast.AnnAssign(value=None):
                continue
            case ast.ClassDef(decorator_list=[], keywords=[]) | ast.FunctionDef():
                continue
        raise ProgramError(f"line {statement.lineno} of the program is neither an import nor a definition")


def _executed(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of the module and of its classes."""
    for statement in tree.body:
        yield statement
        if isinstance(statement, ast.ClassDef):
            yield from statement.body


def _check_parameters(own: nn.Module, network: Network) -> None:
    for what in ("parameters", "buffers"):
        mine, theirs = ([tuple(each.shape) for each in getattr(net, what)()] for net in (own, network))
        if mine != theirs:
            raise ProgramError(f"the {what} of the program differ from those of {network.graph.name}")


def _check_outputs(own: nn.Module, network: Network, device: str) -> None:
    """The outputs' names and shapes, which the graph has; where there is memory, their values to the last bit."""
    own.eval()
    network.eval()
    inputs = network.example_inputs(2, device)
    mine = _by_name(own(*inputs))
    theirs = _promised(network.graph) if device == "meta" else _by_name(network(*inputs))
    if list(mine) != list(theirs):
        raise ProgramError(f"the program's outputs are called {', '.join(mine)}, not {', '.join(theirs)}")
    for name, value in theirs.items():
        if mine[name].shape != value.shape:
            raise ProgramError(f"the program's output {name} is {tuple(mine[name].shape)}, not {tuple(value.shape)}")
        if device != "meta" and not torch.equal(mine[name].nan_to_num(), value.nan_to_num()):
            raise ProgramError(f"the program's output {name} has other values than the network")


def _promised(graph: Graph) -> Mapping[str, Tensor]:
    """The outputs by the graph's shapes, on the meta device, of two examples; `verify` compares PyTorch with them."""
    shapes = {name: graph.nodes[index].shape for name, index in graph.outputs.items()}
    made = {name: torch.empty((2, *map(known, shape.values())), device="meta") for name, shape in shapes.items()}
    return made if len(made) > 1 else {"": next(iter(made.values()))}


def _by_name(outputs: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {"": outputs} if isinstance(outputs, Tensor) else outputs


def _is_small(graph: Graph) -> bool:
    report, amounts = Report(graph), ("macs", "params", "buffers", "activations")
    return len(graph) <= LAYERS and all(known(report.total(amount)) <= RUN for amount in amounts)
