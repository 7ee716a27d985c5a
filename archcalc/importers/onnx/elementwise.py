"""Functions of values, of one volume or of several."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from typing import Any

from archcalc.importers.onnx.patterns import CLOSE
from archcalc.importers.onnx.translation import Site, flat, node, other
from archcalc.importers.operations.exported import Operand, Stored

SAME = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Softsign": "softsign",
    "Selu": "selu", "Mish": "mish", "HardSwish": "hardswish", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs",
    "Erf": "erf", "Neg": "neg", "Reciprocal": "reciprocal", "Floor": "floor", "Ceil": "ceil", "Sin": "sin",
    "Cos": "cos", "Sign": "sign", "Round": "round", "Not": "logical_not",
}  # fmt: skip


@node(*SAME)
def elementwise(site: Site) -> Operand:
    """Of each value the same function."""
    return site.emit(SAME[site.node.op], site.read(0))


@node("silu", "mish", "hardswish", "gelu")
def activation(site: Site) -> Operand:
    """An activation that was spelled out."""
    assert site.found is not None
    for inner in site.found.nodes.values():
        if inner.op == "HardSigmoid" and not _is_sixth(inner.attributes):
            raise site.refusal("a product with a hard sigmoid of another slope")
    return site.emit(site.found.layer, site.read("x"))


def _is_sixth(attributes: Mapping[str, Any]) -> bool:
    return isclose(attributes.get("alpha", 0.2), 1 / 6, rel_tol=CLOSE) and bool(attributes.get("beta", 0.5) == 0.5)


@node("HardSigmoid")
def hard_sigmoid(site: Site) -> Operand:
    """A line between two limits, as PyTorch has it."""
    return site.emit("hardsigmoid", site.read(0)) if _is_sixth(site.node.attributes) else other(site)[0]


@node("Gelu")
def gelu(site: Site) -> Operand:
    """GELU."""
    return site.emit("gelu", site.read(0), approximate=site.given("approximate", "none"))


@node("Swish")
def swish(site: Site) -> Operand:
    """A value times its sigmoid."""
    return site.emit("silu", site.read(0)) if site.given("alpha", 1.0) == 1 else other(site)[0]


@node("LeakyRelu")
def leaky_relu(site: Site) -> Operand:
    """A ReLU with a slope below 0."""
    return site.emit("leaky_relu", site.read(0), site.given("alpha", 0.01))


@node("Elu")
def elu(site: Site) -> Operand:
    """An exponential below 0."""
    return site.emit("elu", site.read(0), site.given("alpha", 1.0))


@node("Celu")
def celu(site: Site) -> Operand:
    """An exponential below 0, smooth at 0."""
    return site.emit("celu", site.read(0), site.given("alpha", 1.0))


@node("PRelu")
def prelu(site: Site) -> Operand:
    """A ReLU with learned slopes below 0."""
    return site.emit("prelu", site.read(0), flat(site.weight(1)))


@node("Clip")
def clip(site: Site) -> Operand:
    """Values within two limits."""
    low, high = (site.number(place) if site.value(place) else None for place in (1, 2))
    return site.emit("clamp", site.read(0), _whole(low), _whole(high))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


@node("Dropout")
def dropout(site: Site) -> Operand:
    """Dropout, which does nothing once a network is trained."""
    return site.emit("dropout", site.read(0), site.number(1) if site.value(1) else 0.5, False)


@node("Softmax", "LogSoftmax")
def softmax(site: Site) -> Operand:
    """A softmax over one axis."""
    name = "softmax.int" if site.node.op == "Softmax" else "log_softmax.int"
    return site.emit(name, site.read(0), site.given("axis", -1) % len(site.shape()))


BINARY = {
    "Add": "add.Tensor", "Mul": "mul.Tensor", "Sub": "sub.Tensor", "Div": "div.Tensor", "Pow": "pow.Tensor_Scalar",
    "Equal": "eq.Tensor", "Less": "lt.Tensor", "Greater": "gt.Tensor", "And": "logical_and", "Or": "logical_or",
    "Mod": "remainder.Tensor", "Max": "maximum", "Min": "minimum",
}  # fmt: skip


@node(*BINARY)
def merge(site: Site) -> Operand:
    """Two volumes value by value, or one and a number."""
    if len(site.names) != 2:
        return other(site)[0]
    one, two = site.scalar(0), site.scalar(1)
    if isinstance(one, (int, float)) and site.node.op in ("Add", "Mul", "Max", "Min"):
        one, two = two, one
    if site.node.op in ("Max", "Min") and isinstance(two, (int, float)):
        limits = (_whole(two), None) if site.node.op == "Max" else (None, _whole(two))
        return site.emit("clamp", one, *limits)
    if site.node.op == "Pow" and two in (2, 3):
        two = int(two)
    own = [
        site.own(each) if isinstance(each, Stored) and each.learned else each for each in map(site.judged, (one, two))
    ]
    return site.emit(BINARY[site.node.op], *own)


@node("Sum")
def total(site: Site) -> Operand:
    """The sum of volumes, one after the other."""
    found = site.read(0)
    for place in range(1, len(site.names)):
        found = site.emit("add.Tensor", found, site.read(place))
    return found


@node("Where")
def where(site: Site) -> Operand:
    """One of two volumes for each value."""
    return site.emit("where.self", site.read(0), site.scalar(1), site.scalar(2))


@node("Concat")
def concat(site: Site) -> Operand:
    """Volumes joined along an axis."""
    read = [site.read(place) for place in range(len(site.names))]
    own = [site.own(each) if isinstance(each, Stored) and each.learned else each for each in read]
    return site.emit("cat", own, site.given("axis") % len(site.out)) if len(own) > 1 else own[0]
