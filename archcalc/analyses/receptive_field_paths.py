"""What is to be said about receptive fields beside their numbers: paths that disagree, phases, sizes that matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archcalc.analyses.field import Field, Fields, disagreement
from archcalc.analyses.receptive_field_exact import reads_of
from archcalc.graph import Graph
from archcalc.tables.numbers import number


@dataclass(frozen=True, slots=True)
class Misalignment:
    """A merge whose paths have unequal strides or centres along one axis: the first path, and one that disagrees."""

    node: str
    axis: str
    paths: tuple[str, str]
    strides: tuple[Any, Any]
    position: int
    """The first one whose centres differ."""
    centres: tuple[Any, Any]

    def __str__(self) -> str:
        first, second = self.paths
        where = "the first position" if self.position == 0 else f"position {self.position}"
        if self.strides[0] != self.strides[1]:
            told = "strides {} and {}".format(*map(number, self.strides))
        else:
            told = "centres {} and {} of {}".format(*map(number, self.centres), where)
        return f"{self.node}: {first} and {second} are misaligned along {self.axis}: {told}"


def misalignments(graph: Graph, fields: Sequence[Fields]) -> Iterator[Misalignment]:
    """Every merge whose paths disagree, with the two that do; in time linear in the graph."""
    for node in graph.nodes:
        if len(node.inputs) < 2:
            continue
        reads = node.application.once(reads_of)
        paths = [i for i, how in zip(node.inputs, reads, strict=True) if how is not None and fields[i]]
        for axis in fields[paths[0]] if paths else ():
            first = fields[paths[0]][axis]
            for other in paths[1:]:
                field = fields[other][axis]
                position = disagreement(first, field) if first.follows and field.follows else None
                if position is not None:
                    names = (graph.nodes[paths[0]].name, graph.nodes[other].name)
                    centres = (first.centre_at(position), field.centre_at(position))
                    yield Misalignment(node.name, axis, names, (first.stride, field.stride), position, centres)
                    break


def merged(found: Iterator[Misalignment]) -> list[Misalignment]:
    """One entry for axes on which the same paths disagree in the same way."""
    known: dict[tuple[Any, ...], Misalignment] = {}
    for one in found:
        key = (one.node, one.paths, one.strides, one.position, one.centres)
        before = known.get(key)
        axis = one.axis if before is None else f"{before.axis}, {one.axis}"
        known[key] = replace(one, axis=axis)
    return list(known.values())


@dataclass(frozen=True, slots=True)
class Remark:
    """What holds of one layer's field: a word for it, and more than the word where there's more to say."""

    word: str
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.word


def remarks(fields: Mapping[str, Field]) -> list[Remark]:
    """What holds of one layer's field, the most important first."""
    found = list(fields.values())
    told = {
        "everything": any(field.whole for field in found),
        "global": any(field.constant and not field.whole for field in found),
        "lost": any(field.lost for field in found),
        "numbered": any(field.numbered for field in found),
        "misaligned": not all(field.aligned for field in found),
        "first position only": any(field.drifts for field in found),
        "at most": any(field.bounded for field in found),
        "size-dependent": any(field.size_dependent for field in found),
    }
    phases = any(len(field.windows) > 1 for field in found if field.follows)
    words = [Remark(word) for word, holds in told.items() if holds]
    return [*words, *([Remark("phases", _phases(found))] if phases else [])]


def _phases(fields: Sequence[Field]) -> str:
    """How many kinds of positions there are, and what they see where that's not the same."""
    kinds = "x".join(map(str, _once([len(field.windows) for field in fields])))
    ranges = _once([_range(field) for field in fields])
    seen = f", seeing {'x'.join(ranges)}" if any("-" in text for text in ranges) else ""
    return f"{kinds} phases{seen}"


def _range(field: Field) -> str:
    sizes = {str(size): size for size in field.sizes}
    if len(sizes) == 1 or not all(isinstance(size, int) for size in sizes.values()):
        return str(field.size)
    return f"{min(field.sizes)}-{max(field.sizes)}"


def _once(values: list[Any]) -> list[Any]:
    return values[:1] if all(value == values[0] for value in values) else values
