"""The sizes of all that a graph makes: with sizes for what enters, by ONNX's own rules, and shapes that it computes.

What depends on nothing that enters, nor on what is learned, is computed: that is how graphs work shapes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from archcalc.errors import UsageError
from archcalc.importers.onnx.model import File, Node, node_of
from archcalc.importers.onnx.tensors import FLOATS, LARGEST, Value, sizes_of
from archcalc.work import spend

COMPUTED = {
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos", "CumSum", "Div",
    "Equal", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater",
    "GreaterOrEqual", "Identity", "IsNaN", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not",
    "OneHot", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum",
    "Reshape", "Round", "ScatterElements", "ScatterND", "Shape", "Sign", "Sin", "Size", "Slice", "Split", "Sqrt",
    "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
}  # fmt: skip
"""Operations that are computed where all that they read is known."""
LARGEST_COMPUTED = 2**24
"""Values of a constant: masks of 4096 tokens."""


class Inference:
    """Goes through a graph in order; in the end `values` says what each name stands for, and `nodes` what is left."""

    def __init__(self, file: File, sizes: dict[str, tuple[int, ...]]) -> None:
        self.file, self.values = file, dict[str, Value]()
        self.nodes: list[Node] = []
        self.inputs = tuple(sizes)
        self.schemas: dict[tuple[str, str], Any] = {}
        self.computed: dict[tuple[Any, ...], list[Any]] = {}
        kinds = {each.name: each.type.tensor_type.elem_type for each in file.graph.input}
        for name, shape in sizes.items():
            self.values[name] = Value(kinds[name], shape)
        for name, held in file.held():
            shape = sizes_of(held.proto, file.path)
            learned = held.proto.data_type in FLOATS and prod(shape) != 1 and file.learned.get(name, True)
            self.values[name] = Value(held.proto.data_type, shape, not learned, held, None, name)

    def run(self) -> Inference:
        """Go through it.

        Raises: UsageError: an operation isn't known, or nothing says what it makes.
        """
        self._through(self.file.graph.node)
        return self

    def _through(self, protos: Sequence[Any]) -> None:
        for proto in protos:
            spend(200, "the nodes of an ONNX file")
            node = node_of(proto)
            self._check_attributes(node)
            missing = [name for name in node.inputs if name and name not in self.values]
            if missing:
                raise self._refusal(node, f"reads '{missing[0]:.80}', which nothing before it makes")
            if not node.outputs or not node.out:
                raise self._refusal(node, "makes nothing")
            if node.op == "If" and proto.domain in ("", "ai.onnx"):
                self._branch(node)
            else:
                self._one(node)

    def _schema(self, node: Node) -> Any:
        """What onnx knows of an operation.

        Raises: UsageError: nothing.
        """
        from onnx import defs

        domain = node.proto.domain
        if (node.op, domain) not in self.schemas:
            version = self.file.opsets.get(domain or "ai.onnx", 0)
            try:
                found = defs.get_schema(node.op, version, "" if domain == "ai.onnx" else domain)
            except Exception:  # onnx's own class
                where = f" of '{domain:.60}'" if domain else f" of operator set {version}"
                what = f"operation '{node.op:.60}'{where} isn't one that onnx knows"
                raise self._refusal(node, what) from None
            self.schemas[node.op, domain] = found, {name: int(each.type) for name, each in found.attributes.items()}
        return self.schemas[node.op, domain]

    def _check_attributes(self, node: Node) -> None:
        """See that a node's attributes are of the types that its operation has them of."""
        _, types = self._schema(node)
        for each in node.proto.attribute:
            if types.get(each.name) != each.type:
                raise self._refusal(node, f"{node.op} has no attribute '{each.name:.60}' of this type")

    def _branch(self, node: Node) -> None:
        """A choice that the file itself decides."""
        chosen = self.values[node.inputs[0]].array() if self.values[node.inputs[0]].fixed else None
        if chosen is None or chosen.size != 1:
            raise self._refusal(node, "chooses by what enters")
        branch = node.attributes["then_branch" if chosen.item() else "else_branch"]
        self._through(branch.node)
        for name, inner in zip(node.outputs, branch.output, strict=True):
            self.values[name] = self.values[inner.name]
            self.nodes.append(node._replace(op="Identity", inputs=(inner.name,), outputs=(name,), attributes={}))

    def _one(self, node: Node) -> None:
        read = [self.values[name] if name else None for name in node.inputs]
        if node.op == "Constant" and (value := self._constant(node)) is not None:
            self.values[node.out] = value
            return
        if node.op == "Shape" and read and read[0]:
            self.values[node.out] = self._shape(node, read[0])
            return
        if node.op == "Identity" and read and read[0]:
            self.values[node.out] = read[0]
            self.nodes.append(node)
            return
        made = self._inferred(node, read)
        if node.op in ("Transpose", "Cast") and read[0] and not read[0].fixed:  # of what is learned, it still is
            made[0] = made[0]._replace(stored=read[0].stored)
        if node.op in COMPUTED and all(each is None or each.fixed for each in read):
            self._compute(node, read, made)
        else:
            self.values.update(zip(node.outputs, made, strict=True))
            self.nodes.append(node)

    def _constant(self, node: Node) -> Value | None:
        import numpy

        from archcalc.importers.onnx.tensors import Held

        given = node.attributes
        if "value" in given:
            shape = sizes_of(given["value"], self.file.path)
            return Value(given["value"].data_type, shape, True, Held(given["value"], self.file.path))
        for name, kind, number in (("value_int", "int64", 7), ("value_ints", "int64", 7), ("value_float", "float32", 1),
                                   ("value_floats", "float32", 1)):  # fmt: skip
            if name in given:
                values = numpy.array(given[name], dtype=kind)
                return Value(number, values.shape, True, None, values)
        return None

    def _shape(self, node: Node, of: Value) -> Value:
        import numpy

        values = numpy.array(of.shape[node.attributes.get("start", 0) : node.attributes.get("end")], dtype="int64")
        return Value(7, values.shape, True, None, values)

    def _inferred(self, node: Node, read: Sequence[Value | None]) -> list[Value]:
        """What ONNX's rules say that a node makes.

        Raises: UsageError: the operation isn't known, or its sizes depend on values.
        """
        from onnx import helper, numpy_helper, shape_inference

        schema, _ = self._schema(node)
        types = {
            name: helper.make_tensor_type_proto(each.element, each.shape)
            for name, each in zip(node.inputs, read, strict=True)
            if each
        }
        known = {
            name: numpy_helper.from_array(array, name)
            for name, each in zip(node.inputs, read, strict=True)
            if each and (each.fixed or each.held) and each.is_small and (array := each.array()) is not None
        }
        try:
            found = shape_inference.infer_node_outputs(schema, node.proto, types, known)
        except Exception as error:  # onnx's own classes
            reason = str(error).strip().partition("\n")[0]
            raise self._refusal(node, f"{node.op} can't be: {reason:.200}") from None
        return [
            self._value(node, found.get(name)) if name in found or not place else Value(0, ())
            for place, name in enumerate(node.outputs)
        ]

    def _value(self, node: Node, found: Any) -> Value:
        tensor = found.tensor_type if found is not None else None
        if tensor is None or not found.HasField("tensor_type") or not tensor.HasField("shape"):
            raise self._refusal(node, f"nothing says what {node.op} makes")
        if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            raise self._refusal(node, f"the sizes of what {node.op} makes depend on values")
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        if any(size < 0 for size in shape) or prod(shape) > LARGEST:
            raise self._refusal(node, f"{node.op} makes a tensor of sizes {list(shape)[:8]}")
        return Value(tensor.elem_type, shape)

    def _compute(self, node: Node, read: Sequence[Value | None], made: Sequence[Value]) -> None:
        """The values of what depends on nothing; unless they are many."""
        if any(prod(each.shape) > LARGEST_COMPUTED for each in [*made, *(each for each in read if each)]):
            raise self._refusal(node, f"{node.op} computes a constant of more than {LARGEST_COMPUTED:,} values")
        spend(sum(prod(each.shape) for each in made) // 100, "the constants of an ONNX file")
        arrays = [each.array() if each else None for each in read]
        results = self._results(node, arrays)
        for name, value, result in zip(node.outputs, made, results, strict=False):
            self.values[name] = Value(value.element, tuple(result.shape), True, None, result)

    def _results(self, node: Node, arrays: Sequence[Any]) -> list[Any]:
        import numpy
        from onnx.reference import ReferenceEvaluator

        attributes = tuple(each.SerializeToString() for each in node.proto.attribute)
        few = sum(array.size for array in arrays if array is not None) < 1000
        key = (node.op, attributes, *((a.dtype.str, a.shape, a.tobytes()) if a is not None else None for a in arrays))
        if few and key in self.computed:
            return self.computed[key]
        given = {name: array for name, array in zip(node.inputs, arrays, strict=True) if name}
        try:
            with numpy.errstate(all="ignore"):
                opsets = {domain.replace("ai.onnx", ""): version for domain, version in self.file.opsets.items()}
                found = ReferenceEvaluator(node.proto, opsets=opsets).run(None, given)
        except Exception as error:  # whatever it raises on values that don't fit
            raise self._refusal(node, f"{node.op} can't be computed: {str(error).partition(chr(10))[0]:.200}") from None
        results = [numpy.asarray(each) for each in found]
        if few:
            self.computed[key] = results
        return results

    def _refusal(self, node: Node, what: str) -> UsageError:
        at = node.around[-1].path if node.around else "the network itself"
        return UsageError(f"{at}: {what}", f"at {node.line}")
