"""Products with what is learned, and normalisation."""

from __future__ import annotations

from math import isclose, prod

from archcalc.importers.onnx.model import shortest
from archcalc.importers.onnx.patterns import CLOSE
from archcalc.importers.onnx.translation import Site, flat, node, other, turned
from archcalc.importers.operations.exported import Operand, Stored


@node("linear")
def linear(site: Site) -> Operand:
    """A product with a matrix, and a bias."""
    weight = site.weight("weight")
    assert weight is not None  # the pattern says so
    return site.emit("linear", site.read("x"), turned(weight), site.weight("bias"))


@node("Gemm")
def general_product(site: Site) -> Operand:
    """A product with a matrix and a bias, with factors of 1."""
    x, weight = site.read(0), site.read(1)
    if site.given("transA", 0) or not isinstance(weight, Stored) or len(weight.shape) != 2:
        return other(site)[0]
    if site.given("alpha", 1.0) != 1 or (site.names[2:] and site.given("beta", 1.0) != 1):
        raise site.refusal("a product with a factor")
    weight, bias = site.own(weight), site.weight(2)
    weight = weight if site.given("transB", 0) else turned(weight)
    if isinstance(bias, Stored):
        if prod(bias.shape) != weight.shape[0]:
            raise site.refusal(f"a product to which a tensor of sizes {list(bias.shape)} is added")
        bias = bias._replace(shape=(weight.shape[0],))
    return site.emit("linear", x, weight, bias)


@node("MatMul")
def product(site: Site) -> Operand:
    """A product of two volumes, or with a matrix that is learned."""
    weight = site.read(1)
    if isinstance(weight, Stored) and weight.learned and len(weight.shape) == 2:
        return site.emit("linear", site.read(0), turned(site.own(weight)), None)
    return site.emit("matmul", site.read(0), weight)


@node("Einsum")
def einsum(site: Site) -> Operand:
    """A product over indices that are named."""
    return site.emit("einsum", site.given("equation", ""), [site.read(place) for place in range(len(site.names))])


@node("scaled_dot_product_attention")
def attention(site: Site) -> Operand:
    """Attention that is spelled out: its keys are transposed already."""
    assert site.found is not None
    numbers = site.found.numbers
    scale = numbers.get("q scale", 1.0) * numbers.get("k scale", 1.0)
    scale *= numbers.get("Mul scale", 1.0) / numbers.get("Div scale", 1.0)
    sizes, usual = site.shape("k"), site.shape("q")[-1] ** -0.5
    scale = usual if isclose(scale, usual, rel_tol=CLOSE) else shortest(scale)
    keys = site.emit("transpose.int", site.read("k"), -2, -1, shape=(*sizes[:-2], sizes[-1], sizes[-2]))
    read = site.read("q"), keys, site.read("v")
    mask = site.judged(site.read("mask")) if "mask" in site.found.read else None
    return site.emit("scaled_dot_product_attention", *read, mask, 0.0, False, scale=scale)


@node("BatchNormalization")
def batch_norm(site: Site) -> Operand:
    """Batch normalisation by statistics that are stored."""
    if site.given("training_mode", 0):
        raise site.refusal(
            "batch normalisation that still computes its statistics: export the model in evaluation mode"
        )
    buffers = [site.weight(place, learned=False) for place in (3, 4)]
    eps = site.given("epsilon", 1e-5)
    return site.emit("batch_norm", site.read(0), site.weight(1), site.weight(2), *buffers, False, 0.1, eps, False)


@node("LayerNormalization")
def layer_norm(site: Site) -> Operand:
    """Layer normalisation over the last axes."""
    axis = site.given("axis", -1) % len(site.shape())
    over = list(site.shape()[axis:])
    return site.emit("layer_norm", site.read(0), over, site.weight(1), site.weight(2), site.given("epsilon", 1e-5))


@node("layer_norm")
def spelled_layer_norm(site: Site) -> Operand:
    """The same spelled out."""
    assert site.found is not None
    eps, over = shortest(site.found.numbers["eps"]), list(site.shape("x")[-1:])
    return site.emit("layer_norm", site.read("x"), over, site.weight("weight"), site.weight("bias"), eps)


@node("RMSNormalization")
def rms_norm(site: Site) -> Operand:
    """Division by the root mean square over the last axes."""
    over = list(site.shape()[site.given("axis", -1) % len(site.shape()) :])
    return site.emit("rms_norm", site.read(0), over, site.weight(1), site.given("epsilon", 1e-5))


@node("rms_norm")
def spelled_rms_norm(site: Site) -> Operand:
    """The same spelled out."""
    assert site.found is not None
    eps, over = shortest(site.found.numbers["eps"]), list(site.shape("x")[-1:])
    return site.emit("rms_norm", site.read("x"), over, site.weight("weight"), eps)


@node("GroupNormalization")
def group_norm(site: Site) -> Operand:
    """Group normalisation."""
    groups, eps = site.given("num_groups"), site.given("epsilon", 1e-5)
    if site.shape(1) != site.shape()[1:2]:
        raise site.refusal("group normalisation with a factor for each group")
    return site.emit("group_norm", site.read(0), groups, site.weight(1), site.weight(2), eps)


@node("group_norm")
def spelled_group_norm(site: Site) -> Operand:
    """The same by a normalisation of groups as if they were channels."""
    assert site.found is not None
    inner = next(each for each in site.found.nodes.values() if each.op == "InstanceNormalization")
    values = site.translator.values
    groups = values[inner.out].shape[1]
    arrays = [values[name].array() for name in inner.inputs[1:3]]
    as_it_was = site.out == site.shape("x") and values[inner.out].shape[0] == site.out[0]
    plain = all(
        array is not None and bool((array == number).all()) for array, number in zip(arrays, (1, 0), strict=True)
    )
    if not plain or not as_it_was or prod(site.shape("weight")) != site.out[1]:
        raise site.refusal("a normalisation of groups with factors of their own")
    eps = inner.attributes.get("epsilon", 1e-5)
    weight, bias = (flat(site.weight(name)) for name in ("weight", "bias"))
    return site.emit("group_norm", site.read("x"), groups, weight, bias, eps)


@node("InstanceNormalization")
def instance_norm(site: Site) -> Operand:
    """Normalisation of each channel by itself."""
    eps = site.given("epsilon", 1e-5)
    read = site.read(0), site.weight(1), site.weight(2)
    return site.emit("instance_norm", *read, None, None, True, 0.1, eps, False)
