"""The same values elsewhere: under another shape, in another order, in parts."""

from __future__ import annotations

from archcalc.importers.onnx.tensors import FLOATS
from archcalc.importers.onnx.translation import Site, node, other, turned
from archcalc.importers.operations.exported import Entered, Operand, Stored


@node("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(site: Site) -> Operand:
    """The same values under another shape."""
    return site.emit("reshape", site.read(0), list(site.out))


@node("Transpose")
def transpose(site: Site) -> Operand:
    """Dimensions in another order."""
    rank, read = len(site.shape()), site.read(0)
    order = site.given("perm", list(reversed(range(rank))))
    if isinstance(read, Stored) and order == [1, 0]:
        return turned(read)
    return site.emit("permute", read, order)


@node("Expand", "Tile")
def expand(site: Site) -> Operand:
    """The same values several times."""
    if site.out == site.shape():
        return site.read(0)
    if site.node.op == "Tile" and any(size not in (1, made) for size, made in zip(site.shape(), site.out, strict=True)):
        return site.emit("repeat", site.read(0), site.numbers(1))
    return site.emit("expand", site.read(0), list(site.out))


@node("Slice")
def slice_(site: Site) -> Operand:
    """Some positions along dimensions, one dimension after the other."""
    starts, stops = site.numbers(1) or [], site.numbers(2) or []
    sizes, found = list(site.shape()), site.read(0)
    axes = [axis % len(sizes) for axis in site.numbers(3) or range(len(starts))]
    for axis, start, stop, step in zip(axes, starts, stops, site.numbers(4) or [1] * len(starts), strict=True):
        begin, end, step = slice(start, stop, step).indices(sizes[axis])
        if step < 0:
            return other(site)[0]
        size = len(range(begin, end, step))
        if (begin, size) != (0, sizes[axis]):
            sizes[axis] = size
            found = site.emit("slice.Tensor", found, axis, begin, end, step, shape=sizes)
    return found


@node("Split")
def split(site: Site) -> list[Operand]:
    """Parts of a dimension, one after the other."""
    axis = site.given("axis", 0) % len(site.shape())
    made = site.emit("split_with_sizes", site.read(0), [shape[axis] for shape in site.outs], axis)
    return [made._replace(part=number) for number in range(len(site.node.outputs))]


@node("Gather")
def gather(site: Site) -> Operand:
    """Rows of a table, or positions of a dimension."""
    table, rank = site.value(0), len(site.shape())
    axis = site.given("axis", 0) % rank
    assert table is not None
    places = site.value(1)
    assert places is not None
    if table.stored and not table.fixed and axis == 0 and rank == 2 and not places.fixed:
        return site.emit("embedding", site.weight(0), site.read(1))
    if places.fixed and places.shape == ():
        return site.emit("select.int", site.read(0), axis, site.number(1) % site.shape()[axis])
    if places.fixed and (array := places.array()) is not None and array.size:
        first, size = int(array.flat[0]) % site.shape()[axis], array.size
        if (array.reshape(-1) % site.shape()[axis] == range(first, first + size)).all():
            sizes = [*site.shape()[:axis], size, *site.shape()[axis + 1 :]]
            part = site.emit("slice.Tensor", site.read(0), axis, first, first + size, 1, shape=sizes)
            return part if tuple(sizes) == site.out else site.emit("reshape", part, list(site.out))
    return site.emit("index_select", site.read(0), axis, site.read(1))


@node("Identity")
def identity(site: Site) -> Operand:
    """The same; of a tensor of one axis another of the same values, as exporters hold equal ones once."""
    read = site.read(0)
    if (
        isinstance(read, Stored)
        and not site.node.around
        and sum(size != 1 for size in read.shape) <= 1
        and read.learned
    ):
        site.translator.aliases[site.node.out] = site.translator.aliases.get(read.name, read.name)
        return read._replace(name=site.node.out)
    return read


@node("Cast", "CastLike")
def cast(site: Site) -> Operand:
    """The same values in another type."""
    value = site.value(0)
    kind = site.translator.values[site.node.out].element
    assert value is not None
    return (
        site.read(0) if kind in FLOATS or value.element == kind or isinstance(site.read(0), Entered) else other(site)[0]
    )
