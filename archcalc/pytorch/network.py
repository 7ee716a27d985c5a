"""A graph as one PyTorch module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from archcalc.analyses.memory import switches, token_volumes
from archcalc.analyses.storages import places
from archcalc.errors import UsageError
from archcalc.graph import Application, Graph, Node
from archcalc.graph.opaque import opaque_layers
from archcalc.symbolic import Dim, is_symbolic, known


class Scope(nn.Module):
    """Holds the modules of one scope of the graph's names."""


class Network(nn.Module):
    """A graph's layers as submodules, nested as its names are: `conv1/1/conv` is `conv1.1.conv`.

    A tied layer holds the very parameter of the layer it's tied to; a layer in a later call of a module all parameters
    and buffers of the one in the first. An unpooling layer puts values where the pool that
    it undoes found its maxima, if that pool is in the graph.
    Raises: UsageError: a size is symbolic.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        check_numbers(graph)
        self.graph = graph
        self._first = len(graph.inputs)
        self._scopes: dict[str, nn.Module] = {}
        self.pools = switches(graph)
        undone_pools = set(self.pools.values())
        self.modules_in_order: list[nn.Module] = []  # before the layers, one of which may be called like it
        where = places(graph)
        for index, node in enumerate(graph.nodes[self._first :], self._first):
            undone = index in undone_pools
            module = module_of(node.application, index in where.overwriting, index in where.copied, undone)
            self.modules_in_order.append(module)
            self._place(module, node.name)
        for node, module in zip(graph.nodes[self._first :], self.modules_in_order, strict=True):
            if node.tied is not None and node.reuses:
                share(module, self.module_at(node.tied))
            elif node.tied is not None:
                weighted(module).weight = weighted(self.module_at(node.tied)).weight

    def _place(self, module: nn.Module, name: str) -> None:
        """Hang a layer's module under its name."""
        scope, _, last = name.rpartition("/")
        holder = self._scope(scope)
        holder.add_module(_attribute(holder, last), module)

    def _scope(self, path: str) -> nn.Module:
        if not path:
            return self  # not among the scopes: in a cycle, the network would outlive its last use
        if path not in self._scopes:
            outer, _, last = path.rpartition("/")
            holder, self._scopes[path] = self._scope(outer), Scope()
            holder.add_module(_attribute(holder, last), self._scopes[path])
        return self._scopes[path]

    def stand_in(self) -> None:
        """Let opaque layers, which can't be run, make zeros, so that all others can be."""
        for module in self.modules_in_order:
            if hasattr(module, "stands_in"):
                module.__dict__["stands_in"] = True

    def module_at(self, index: int) -> nn.Module:
        """The module of the node with this index."""
        return self.modules_in_order[index - self._first]

    def trace(self, *inputs: Tensor) -> Iterator[tuple[Node, Tensor]]:
        """Run the network; each node and what it makes, the inputs first. A value is dropped after its last use.

        So are the inputs, unless the caller holds them.
        """
        if len(inputs) != len(self.graph.inputs):
            raise TypeError(f"{self.graph.name} takes {len(self.graph.inputs)} inputs, not {len(inputs)}")
        entering = list(reversed(inputs))
        del inputs
        values: dict[int, Tensor] = {}
        places: dict[int, Tensor] = {}
        last_use = {i: index for index, node in enumerate(self.graph.nodes) for i in node.inputs}
        last_undone = {pool: index for index, pool in self.pools.items()}
        for index, node in enumerate(self.graph.nodes):
            if node.inputs:
                read = [values[i] for i in node.inputs]
                if index in self.pools:
                    read.append(places[self.pools[index]])
                    if last_undone[self.pools[index]] == index:
                        del places[self.pools[index]]
                made = self._run(index, node, read)
                if isinstance(made, tuple):
                    made, places[index] = made
                values[index] = made
                del made
            else:
                values[index] = entering.pop()
            yield node, values[index]
            for i in {*node.inputs, index}:
                if last_use.get(i, index) <= index:
                    del values[i]

    def _run(self, index: int, node: Node, read: list[Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        try:
            return self.module_at(index)(*read)  # type: ignore[no-any-return]
        except Exception as error:
            shapes = " and ".join(str(tuple(x.shape)) for x in read)
            error.add_note(f"while running {node.name} ({node.layer}) on {shapes}")
            raise

    def forward(self, *inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """The graph's output; of several, a dict by name."""
        wanted = set(self.graph.outputs.values())
        found = {i: value for i, (_, value) in enumerate(self.trace(*inputs)) if i in wanted}
        outputs = {name: found[index] for name, index in self.graph.outputs.items()}
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def example_inputs(
        self, batch: int = 1, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, ...]:
        """Tensors that the network takes: see the function of this name."""
        return example_inputs(self.graph, batch, device, dtype)


def example_inputs(
    graph: Graph, batch: int = 1, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> tuple[Tensor, ...]:
    """Tensors of the inputs' shapes: noise, or token numbers where an embedding looks them up."""
    vocabularies = token_volumes(graph)
    found = []
    for index, node in enumerate(graph.inputs):
        sizes = (batch, *map(known, node.shape.values()))
        if index in vocabularies:
            found.append(torch.randint(known(vocabularies[index]), sizes, device=device))
        else:
            found.append(torch.randn(sizes, device=device, dtype=dtype))
    return tuple(found)


def refuse_opaque(graph: Graph, what: str) -> None:
    """See that every layer can be run.

    Raises: UsageError: there are opaque ones; `what` can't be done with them.
    """
    if layers := opaque_layers(graph):
        raise UsageError(f"{what}: what {layers[0]} computes isn't known", "it's an opaque layer")


def module_of(at: Application, overwrites: bool, copies: bool, keeps_switches: bool) -> nn.Module:
    """A layer's module where it writes over its input, copies what it views, or its maxima are put back later."""
    module = at.layer.torch_module(*at.input_shapes)
    for flag, is_set in (("inplace", overwrites), ("copy", copies), ("return_indices", keeps_switches)):
        if is_set:
            setattr(module, flag, True)
    return module


def share(module: nn.Module, holder: nn.Module) -> None:
    """Let a module have the very parameters and buffers of an equal one."""
    for mine, theirs in zip(module.modules(), holder.modules(), strict=True):
        for name, parameter in theirs.named_parameters(recurse=False):
            mine.register_parameter(name, parameter)
        for name, buffer in theirs.named_buffers(recurse=False):
            mine.register_buffer(name, buffer, name not in theirs._non_persistent_buffers_set)


def check_numbers(graph: Graph, batch: int = 2) -> None:
    """Check that every size is a number, and none too large for PyTorch, whose integers have 64 bits.

    Raises: UsageError: some are symbols, or too large.
    """
    for at in graph.applications():
        arguments = [getattr(at.layer, name) for name in at.layer.arguments()]
        shape, sizes = at.output_shape, list(_flat([*arguments, at.copies]))
        symbols = {str(s) for size in (*shape.values(), *sizes) if is_symbolic(size) for s in size.free_symbols}
        if symbols:
            names = ", ".join(sorted(symbols))
            raise UsageError(f"{graph.name} has sizes without a value: {names}", "give them numbers, as in --set R=300")
        if any(isinstance(size, int) and abs(size) > LARGEST for size in (*sizes, *_storages(at, batch))):
            name = next(node.name for node in graph.nodes if node.application == at)
            shapes = " and ".join(map(str, (*at.input_shapes, shape)))
            raise UsageError(f"{name} ({at.layer}, {shapes}) is too large for PyTorch, whose sizes have 64 bits")


LARGEST = 2**63 - 1
"""PyTorch's greatest integer: of arguments, and of bytes in a storage."""
BYTES = 8
"""Of a value, at most."""


def _storages(application: Application, batch: int) -> Iterator[Dim]:
    """Bytes of what a layer needs: its parameters and buffers, and its volumes with their padding."""
    layer, inputs = application.layer, application.input_shapes
    yield BYTES * batch * application.output_shape.numel
    if inputs:
        yield BYTES * (application.held("params") + application.held("buffers"))
        windows = layer.windows(*inputs)
        for shape in (inputs[0], application.output_shape):
            padded = {axis: shape[axis] + w.before + w.after for axis, w in windows.items() if axis in shape}
            yield BYTES * batch * shape.with_(**padded).numel


def _flat(value: Any) -> Iterator[Any]:
    """Everything in an argument, however nested."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _attribute(holder: nn.Module, name: str) -> str:
    """A name that the holder's child can have: no dots, and none that the holder has already, such as `double`."""
    name = name.replace(".", "_")
    while hasattr(holder, name):
        name += "_"
    return name


def weighted(module: nn.Module) -> nn.Module:
    """The submodule that holds the weight that layers can share: a table, or the first that has one."""
    parts: dict[str, nn.Module] = {
        name: part for name, part in module.named_modules() if isinstance(getattr(part, "weight", None), nn.Parameter)
    }
    return parts[next((name for name in parts if name.endswith("table")), next(iter(parts)))]


def weighted_path(module: nn.Module) -> str:
    """How to reach that submodule in Python: `[1]`, `.module`, or an empty text for the module itself."""
    owner = weighted(module)
    path = next(name for name, part in module.named_modules() if part is owner)
    return "".join(f"[{name}]" if name.isdigit() else f".{name}" for name in path.split(".") if name)
