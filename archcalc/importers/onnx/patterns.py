"""Layers that ONNX files spell out in several nodes, found from their last node backwards.

A pattern is written as the expression that it is. What a node's operation and operands have to be is said, and so is
that nothing else reads what lies inside; sizes and axes are looked at where the layer is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from math import isclose, sqrt
from typing import Any, NamedTuple, TypeAlias

from archcalc.importers.onnx.model import Node
from archcalc.importers.onnx.tensors import Value

CLOSE = 1e-4
"""How far numbers may be from those of a pattern, as a share: they are float32, or float16."""
SYMMETRIC = ("Add", "Mul")

Pattern: TypeAlias = Any
"""A name of what is read, which is the same wherever it stands; a number; `Number(name)` for any number; or a row of
an operation and patterns of what it reads."""


class Number(NamedTuple):
    """Any number, by this name."""

    name: str


class Found(NamedTuple):
    """A layer that was spelled out: what it reads, by the names of the pattern, its numbers, and its inner nodes."""

    layer: str
    read: Mapping[str, str]
    numbers: Mapping[str, float]
    nodes: Mapping[str, Node]


def _row(op: str, *of: Pattern) -> tuple[Pattern, ...]:
    return (op, *of)


X, W, B, EPS = "x", "weight", "bias", Number("eps")
MEAN = ("ReduceMean", X)
CENTRED = ("Sub", X, MEAN)
SQUARES = [("Pow", CENTRED, 2.0), ("Mul", CENTRED, CENTRED)]
NORMS = [("Div", CENTRED, ("Sqrt", ("Add", ("ReduceMean", square), EPS))) for square in SQUARES]
ROOTS = [("Sqrt", ("Add", ("ReduceMean", square), EPS)) for square in (("Pow", X, 2.0), ("Mul", X, X))]
RMS = [
    each
    for root in ROOTS
    for each in (("Div", X, root), ("Mul", X, ("Reciprocal", root)), ("Mul", X, ("Div", 1.0, root)))
]
ERFS = [("Erf", ("Div", X, sqrt(2))), ("Erf", ("Mul", X, sqrt(0.5)))]
SCORES: list[Pattern] = [("MatMul", ("Mul", "q", Number("q scale")), ("Mul", "k", Number("k scale")))]
SCORES += [("MatMul", ("Mul", "q", Number("q scale")), "k"), ("MatMul", ("Div", "q", Number("Div scale")), "k")]
SCORES += [(op, ("MatMul", "q", "k"), Number(f"{op} scale")) for op in ("Mul", "Div")] + [("MatMul", "q", "k")]
SOFTMAX: list[Pattern] = [("Softmax", each) for score in SCORES for each in (score, ("Add", score, "mask"))]
SOFTMAX += [("Where", ("IsNaN", each), 0.0, each) for each in SOFTMAX]  # where a mask hides all, it's no number
GROUPS = ("Reshape", ("InstanceNormalization", ("Reshape", X, "to groups"), "ones", "zeros"), "back")

PATTERNS: Sequence[tuple[str, Pattern]] = (
    *(("layer_norm", ("Add", ("Mul", norm, W), B)) for norm in NORMS),
    *(("layer_norm", ("Mul", norm, W)) for norm in NORMS),
    *(("layer_norm", norm) for norm in NORMS),
    *(("rms_norm", ("Mul", norm, W)) for norm in RMS),
    *(("rms_norm", norm) for norm in RMS),
    ("group_norm", ("Add", ("Mul", GROUPS, W), B)),
    *(("gelu", ("Mul", ("Mul", X, ("Add", erf, 1.0)), 0.5)) for erf in ERFS),
    *(("gelu", ("Mul", X, ("Mul", ("Add", erf, 1.0), 0.5))) for erf in ERFS),
    *(("gelu", ("Mul", ("Mul", X, 0.5), ("Add", erf, 1.0))) for erf in ERFS),
    ("mish", ("Mul", X, ("Tanh", ("Softplus", X)))),
    ("silu", ("Mul", X, ("Sigmoid", X))),
    ("hardswish", ("Mul", X, ("HardSigmoid", X))),
    ("hardswish", ("Div", ("Mul", X, ("Clip", ("Add", X, 3.0), 0.0, 6.0)), 6.0)),
    *(("scaled_dot_product_attention", ("MatMul", each, "v")) for each in SOFTMAX),
    ("linear", ("Add", ("MatMul", X, W), B)),
)  # fmt: skip


def found_in(nodes: Sequence[Node], values: Mapping[str, Value], outputs: Sequence[str]) -> dict[str, Found | None]:
    """The layers that nodes spell out, by the output of the last node of each; None by those of the others."""
    search = _Search(nodes, values, outputs)
    found: dict[str, Found | None] = {}
    for node in reversed(nodes):
        if node.out in found:
            continue
        for layer, pattern in PATTERNS:
            if pattern[0] == node.op and (match := search.match(layer, pattern, node)) is not None:
                found[node.out] = match
                found.update(dict.fromkeys(match.nodes.keys() - {node.out}))
                break
    return found


class _Search:
    """Looks for patterns in a graph."""

    def __init__(self, nodes: Sequence[Node], values: Mapping[str, Value], outputs: Sequence[str]) -> None:
        self.made = {node.out: node for node in nodes}
        self.values = values
        self.readers = Counter(name for node in nodes for name in node.inputs)
        self.readers.update(outputs)

    def match(self, layer: str, pattern: Pattern, node: Node) -> Found | None:
        """A pattern that ends in a node."""
        for binding in self._row(pattern, node, Found(layer, {}, {}, {})):
            inside = set(binding.nodes) - {node.out}
            read = Counter(name for each in binding.nodes.values() for name in each.inputs)
            if all(read[name] == self.readers[name] for name in inside) and self._fits(binding):
                return binding
        return None

    def _fits(self, found: Found) -> bool:
        """Whether what the operations don't say is so: that factors are learned, and over which axis means are."""
        learned = [name for key, name in found.read.items() if key in ("weight", "bias")]
        if found.layer == "scaled_dot_product_attention":
            rank = len(self.values[found.read["q"]].shape)
            softmaxes = [node for node in found.nodes.values() if node.op == "Softmax"]
            return rank == 4 and all(node.attributes.get("axis", -1) % rank == rank - 1 for node in softmaxes)
        fits = all(self.values[name].stored and not self.values[name].fixed for name in learned)
        if found.layer == "linear":
            return fits and [len(self.values[found.read[key]].shape) for key in ("weight", "bias")] == [2, 1]
        return fits and self._over_features(found)

    def _over_features(self, found: Found) -> bool:
        """Whether all means of a pattern are over the last axis, and factors have its size."""
        for node in found.nodes.values():
            if node.op == "ReduceMean":
                size = len(self.values[node.inputs[0]].shape)
                axes = node.attributes.get("axes")
                if axes is None and len(node.inputs) > 1 and (given := self.values[node.inputs[1]].array()) is not None:
                    axes = given.tolist()
                if (
                    axes is None
                    or [axis % max(size, 1) for axis in axes] != [size - 1]
                    or not node.attributes.get("keepdims", 1)
                ):
                    return False
        return True

    def _any(self, pattern: Pattern, name: str, found: Found) -> Iterator[Found]:
        """What a name may be for a pattern to be there."""
        if isinstance(pattern, str):
            if found.read.get(pattern, name) == name:
                yield found._replace(read={**found.read, pattern: name})
        elif isinstance(pattern, Number):
            if (value := self._number(name)) is not None:
                yield found._replace(numbers={**found.numbers, pattern.name: value})
        elif isinstance(pattern, float):
            if (value := self._number(name)) is not None and isclose(
                value, float(pattern), rel_tol=CLOSE, abs_tol=CLOSE * CLOSE
            ):
                yield found
        elif name in self.made and self.made[name].op == pattern[0]:
            yield from self._row(pattern, self.made[name], found)

    def _row(self, pattern: Pattern, node: Node, found: Found) -> Iterator[Found]:
        inner = pattern[1:]
        if len(inner) > len(node.inputs):
            return
        orders = permutations(inner) if node.op in SYMMETRIC else (inner,)
        for order in orders:
            begun = [found._replace(nodes={**found.nodes, node.out: node})]
            for each, name in zip(order, node.inputs, strict=False):
                begun = [more for so_far in begun for more in self._any(each, name, so_far)]
            yield from begun

    def _number(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None or not value.fixed or not value.is_small:
            return None
        array = value.array()
        number = array.item() if array is not None and array.size == 1 else None
        return float(number) if isinstance(number, (int, float)) and not isinstance(number, bool) else None
