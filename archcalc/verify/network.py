"""A graph as one PyTorch module."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from archcalc.graph import Graph, Node
from archcalc.shape import Shape


class Network(nn.Module):
    """A graph's layers as submodules, nested as its names are: `conv1/1/conv` is `layers.conv1.1.conv`.

    Sizes must be numbers. A tied layer holds the very parameter of the layer it's tied to.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict()
        self.modules_in_order = [self._place(node) for node in graph.nodes if node.inputs]
        for node, module in zip(graph.nodes[len(graph.inputs) :], self.modules_in_order, strict=True):
            if node.tied is not None:
                _weighted(module).weight = _weighted(self._module_at(node.tied)).weight

    def _place(self, node: Node) -> nn.Module:
        """Build a node's module and hang it under its name."""
        module = node.layer.torch_module(*node.application.input_shapes)
        *scopes, last = map(_attribute, node.name.split("/"))
        holder = self.layers
        for scope in scopes:
            if scope not in holder:
                holder[scope] = nn.ModuleDict()
            holder = holder[scope]  # type: ignore[assignment]
        holder[last] = module
        return module

    def _module_at(self, index: int) -> nn.Module:
        return self.modules_in_order[index - len(self.graph.inputs)]

    def trace(self, *inputs: Tensor) -> Iterator[tuple[Node, Tensor]]:
        """Run the network; each node and what it makes, the inputs first. A value is dropped after its last use."""
        values: dict[int, Tensor] = {}
        last_use = {i: index for index, node in enumerate(self.graph.nodes) for i in node.inputs}
        for index, node in enumerate(self.graph.nodes):
            read = [values[i] for i in node.inputs]
            values[index] = self._module_at(index)(*read) if node.inputs else inputs[index]
            yield node, values[index]
            for i in {*node.inputs, index}:
                if last_use.get(i, index) <= index:
                    del values[i]

    def forward(self, *inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """The graph's output; of several, a dict by name."""
        wanted = {tensor: name for name, tensor in self.graph.outputs.items()}
        found = {wanted[i]: value for i, (_, value) in enumerate(self.trace(*inputs)) if i in wanted}
        return next(iter(found.values())) if len(found) == 1 else found

    def example_inputs(self, batch: int = 1, **like: object) -> tuple[Tensor, ...]:
        """Tensors of the inputs' shapes: noise, or token numbers where an input has no axis C."""
        return tuple(_example(node.shape, batch, like) for node in self.graph.inputs)


def _example(shape: Shape, batch: int, like: dict[str, object]) -> Tensor:
    sizes = (batch, *shape.values())
    if "C" in shape:
        return torch.randn(sizes, **like)  # type: ignore[call-overload,no-any-return]
    return torch.zeros(sizes, dtype=torch.long, device=like.get("device"))  # type: ignore[call-overload,no-any-return]


def _attribute(name: str) -> str:
    """A name that a module can have; PyTorch takes neither dots nor the names of its own methods, such as `double`."""
    name = name.replace(".", "_")
    return f"{name}_" if hasattr(nn.ModuleDict, name) else name


def _weighted(module: nn.Module) -> nn.Module:
    """The submodule that holds the weight."""
    return next(part for part in module.modules() if isinstance(getattr(part, "weight", None), nn.Parameter))
