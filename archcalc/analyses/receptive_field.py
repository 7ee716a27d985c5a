"""Receptive fields: which input positions each output position sees, propagated forward through the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from archcalc.analyses.field import LOST, MAX_PERIOD, Field, Fields, Interval, binned, hull, slide, union
from archcalc.analyses.positions import Seen, read
from archcalc.analyses.receptive_field_exact import Walker, problem_of
from archcalc.graph import Application, Graph
from archcalc.layers.reads import (
    NO_FACTORS,
    Everywhere,
    From,
    Linked,
    Only,
    Part,
    Reads,
    Rolled,
    Runs,
    Sampled,
    Spaced,
    UpTo,
)
from archcalc.shape import Shape, TransposedWindow, Window
from archcalc.symbolic import differ, floor_div, is_symbolic, known, maximum


def receptive_fields(graph: Graph, source: int = 0) -> list[Fields]:
    """Every node's receptive field on the first input, or on another node's output.

    Without global layers in time linear in the graph; what those see is followed back position by position.
    """
    graph.spend(6, "receptive fields of so many layers")
    return Forward(graph, source).run()


def may_stretch(graph: Graph) -> bool:
    """Whether an input may be stretched along an axis: its size is a symbol's, and for some number it may be 1.

    Then fields in symbols say nothing about that number.
    """
    nodes = graph.laid_out().nodes if graph.is_open else graph.nodes
    return any(map(_stretches, {node.application for node in nodes if node.inputs}))


def _stretches(at: Application) -> bool:
    y = at.output_shape
    for reads, x in zip(at.layer.reads(*at.input_shapes), at.input_shapes, strict=True):
        if reads is not None and not reads.groups and not reads.all_of_it:
            axes = (axis for axis in x if axis != "C" and axis in y and axis not in reads.along)
            if any(is_symbolic(x[axis]) and x[axis] != y[axis] for axis in axes):
                return True
    return False


@dataclass(frozen=True, slots=True)
class Path:
    """One input of a layer that reaches its output, and how.

    `constant`: every output position reads the same of it; `apart`: except that regions do so each on its own.
    `complete`: some position reads each of its positions, for sure. `mixes`: all channels read the same; `skips`: some
    of its channels may be read by none, or not at each position.
    """

    number: int
    reads: Reads
    x: Shape
    plain: bool
    constant: bool
    apart: bool
    complete: bool
    mixes: bool
    skips: bool


def _paths(at: Application) -> tuple[Path, ...]:
    found = zip(at.layer.reads(*at.input_shapes), at.input_shapes, strict=True)
    return tuple(_path(i, reads, x, at.output_shape) for i, (reads, x) in enumerate(found) if reads is not None)


def _path(number: int, reads: Reads, x: Shape, y: Shape) -> Path:
    axes = [axis for axis in x if axis != "C"]
    same = [axis for axis in axes if not _is_one(reads, x, y, axis)]
    no_positions = all(axis == "C" for axis in y)
    constant = reads.all_of_it or no_positions or (not reads.groups and bool(axes) and set(same) <= {"R"})
    complete = all(_is_complete(relation, axis, x, y) for axis, relation in reads.along.items())
    mixes = reads.all_of_it or isinstance(reads.along.get("C"), Everywhere)
    skips = _leaves_out(reads, x, y)
    plain = not (reads.along.keys() - {"C"} or reads.groups or reads.all_of_it or skips) and same == axes
    apart = "R" in same and not no_positions
    return Path(number, reads, x, plain, constant and not plain, apart, complete, mixes, skips)


def _leaves_out(reads: Reads, x: Shape, y: Shape) -> bool:
    """Whether what a position's channels see together may be less than what those of its input do."""
    relation = reads.along.get("C")
    return bool(reads.factors[0]) or (relation is not None and not _is_complete(relation, "C", x, y))


def _is_one(reads: Reads, x: Shape, y: Shape, axis: str) -> bool:
    """Whether all output positions read the same along one axis."""
    relation = reads.along.get(axis)
    if relation is None:
        single = axis in x and not is_symbolic(x[axis]) and x[axis] == 1
        return single and not reads.groups and axis in y and y[axis] != 1
    return isinstance(relation, (Everywhere, Only))


def _is_complete(relation: Any, axis: str, x: Shape, y: Shape) -> bool:
    if isinstance(relation, (Window, Sampled)):
        return relation.covers(x[axis])
    if isinstance(relation, Linked):
        return all(map(any, relation.links))
    if isinstance(relation, (UpTo, From)):
        return bool(y[axis] == x[axis])
    return not isinstance(relation, Only)


class Propagation:
    """Fields forward through layers, on the volumes of some source; volumes are known by the order of what made them.

    `covers` says of which every position of the source is seen, for sure; `alike` whether all channels of a position
    see the same.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.found: list[Fields] = []
        self.covers: list[bool] = []
        self.alike: list[bool] = []

    def _begin(self) -> None:
        """Add the source."""
        self._add(dict.fromkeys(self.shape.spatial, Field(((0, 0),), 1)), covers=True, alike=True)

    def _add(self, fields: Fields, covers: bool, alike: bool) -> None:
        self.found.append(fields)
        self.covers.append(covers)
        self.alike.append(alike)

    def _go_through(self, at: Application, inputs: Sequence[int]) -> None:
        """Add what a layer makes of some volumes."""
        paths: Sequence[Path] = at.once(_paths)
        if len(paths) == 1 and paths[0].plain:  # most layers: nothing changes
            place = inputs[paths[0].number]
            covers = paths[0].complete and self.covers[place]
            self._add(self.found[place], covers, paths[0].mixes or self.alike[place])
            return
        paths = [path for path in paths if self.found[inputs[path.number]]]
        covers = any(path.complete and self.covers[inputs[path.number]] for path in paths)
        alike = all(self._alike(path, inputs[path.number]) for path in paths) and _one_source(paths)
        self._add(self._after(at, inputs, paths), covers, alike)

    def seen_by(self, place: int, start: Seen | None = None) -> Seen | None:
        """What some positions of a volume see, or all; None where that isn't known."""
        raise NotImplementedError

    def _alike(self, path: Path, place: int) -> bool:
        """Whether all channels of an output position see the same through one of the inputs."""
        if path.mixes:
            return True
        if "C" in path.reads.factors[1]:  # places became channels
            return False
        if not path.reads.groups:
            return self.alike[place]
        constant = all(field.constant for field in self.found[place].values())
        mixed = any("C" in mine and mine != ("C",) for mine, _ in path.reads.groups)
        return self.alike[place] and (constant or not mixed)

    def _after(self, at: Application, inputs: Sequence[int], paths: Sequence[Path]) -> Fields:
        seen = [self.found[inputs[path.number]] for path in paths]
        if not seen:
            return {}
        if all(path.plain for path in paths) and all(fields is seen[0] for fields in seen):
            return seen[0]
        result: dict[str, Field] = {}
        through = [self._through(path, at, inputs[path.number]) for path in paths]
        known: dict[tuple[Any, ...], Field] = {}
        for axis in self.shape.spatial:
            fields = [fields[axis] for fields in through]
            joined = _joined_along(paths, axis)
            key = (self.shape[axis], joined, *fields)
            if len(fields) == 1 and joined != "axis":
                result[axis] = fields[0]
            elif key in known and all(field.follows and not field.constant for field in fields):
                result[axis] = known[key]  # height and width are mostly alike
            else:
                result[axis] = known[key] = self._merged(fields, [inputs[p.number] for p in paths], axis, joined)
        return result

    def _through(self, path: Path, at: Application, place: int) -> Fields:
        """What the output's positions see through one of the inputs."""
        fields = self.found[place]
        only = any(isinstance(relation, Only) for relation in path.reads.along.values())
        if path.plain:
            return fields
        if path.skips and not path.constant and not self.alike[place]:
            fields = {axis: replace(field, bounded=True) for axis, field in fields.items()}
        apart = any("C" in mine and yours != ("C",) for mine, yours in path.reads.groups) and not self.alike[place]
        if apart and not path.constant:  # channels become positions, and each sees what it saw as a channel
            return dict.fromkeys(fields, LOST)
        if not only and all(field.constant for field in fields.values()):
            return {axis: _unsure(field, path, at) for axis, field in fields.items()}
        if path.constant:
            return self._constant(path, at, place)
        known: dict[tuple[int, Any, Any], Field] = {}
        result = {}
        for axis, field in fields.items():
            relation, size = path.reads.along.get(axis), path.x.get(axis)
            key = (id(field), None if isinstance(relation, Runs) else relation, size)
            if key not in known or isinstance(relation, (Runs, Everywhere)):
                known[key] = self._along(path, at, field, place, axis)
            result[axis] = known[key]
        return result

    def _along(self, path: Path, at: Application, field: Field, place: int, axis: str) -> Field:
        relation = path.reads.along.get(axis)
        if field.constant:
            return _unsure(field, path, at)
        if isinstance(relation, Everywhere) or _is_one(path.reads, path.x, at.output_shape, axis):
            whole = self._constant(path, at, place)[axis]  # along the other axes some may see less
            return whole if self.covers[place] and not field.bounded else replace(whole, bounded=True)
        if path.reads.groups and path.reads.factors == NO_FACTORS:
            return _regrouped(field, path, at.output_shape)
        divided = axis in path.reads.factors[0] or axis in path.reads.factors[1]
        if field.lost or (field.numbered and "T" in path.reads.along) or (divided and relation is None):
            return LOST
        if isinstance(relation, Rolled):
            return LOST
        if isinstance(relation, Window):
            moved = slide(field, relation)
            return replace(moved, size_dependent=True) if _depends_on_size(relation, at) else moved
        if isinstance(relation, Spaced):
            return self._whole(axis, bounded=True)
        if isinstance(relation, Runs):
            return binned(field, relation, path.x[axis]) or self._whole(axis, bounded=True)
        return field

    def _constant(self, path: Path, at: Application, place: int) -> Fields:
        """What all output positions see together of one input: of a global layer, what each of them sees."""
        apart = path.apart and not all(field.follows and not field.bounded for field in self.found[place].values())
        if path.complete and self.covers[place]:
            return {axis: self._whole(axis, apart) for axis in self.shape.spatial}
        seen = None
        if not problem_of(at):
            everything = Seen.everything(at.output_shape)
            start = None if path.complete else read(path.reads, everything, path.x, at.output_shape)
            seen = self.seen_by(place, start)
        if seen is None:
            return {axis: self._whole(axis, bounded=True) for axis in self.shape.spatial}
        found = {axis: self._window(axis, seen.interval(axis)) for axis in self.shape.spatial}
        return {axis: replace(field, bounded=True) if apart else field for axis, field in found.items()}

    def _whole(self, axis: str, bounded: bool = False) -> Field:
        return Field(((0, self.shape[axis] - 1),), 0, whole=True, bounded=bounded)

    def _window(self, axis: str, interval: Interval) -> Field:
        return Field((interval,), 0, whole=interval == (0, self.shape[axis] - 1))

    def _merged(self, fields: list[Field], places: Sequence[int], axis: str, joined: str) -> Field:
        """What the paths that meet see together; `joined` says whether they lie side by side along this axis."""
        same = all(field == fields[0] for field in fields)
        constant = [field for field in fields if field.constant]
        moving = [field for field in fields if not field.constant]
        if joined == "axis" and moving:
            return LOST
        if same and not moving:
            return fields[0]
        if joined:
            return fields[0] if same else replace(self._hull(fields, places, axis), bounded=True)
        whole = sorted((field for field in constant if field.whole), key=lambda field: field.bounded)
        return whole[0] if whole else self._hull(fields, places, axis)  # nobody sees more than everything

    def _hull(self, fields: list[Field], places: Sequence[int], axis: str) -> Field:
        moving = [field for field in fields if not field.constant]
        if not moving:
            all_of_it = union(field.windows[0] for field in fields)
            return replace(self._window(axis, all_of_it), bounded=any(field.bounded for field in fields))
        if any(field.lost for field in moving) or len({field.numbered for field in moving}) > 1:
            return LOST
        if len(moving) == len(fields):
            return hull(fields)
        # beside a gate that sees less than the input: what all positions of the others see, mostly less than that
        inside = union(field.windows[0] for field in fields if field.constant)
        others = []
        for place, field in zip(places, fields, strict=True):
            if not field.constant:
                seen = self.seen_by(place)
                if seen is None:
                    return self._whole(axis, bounded=True)
                others.append(seen.interval(axis))
        everything = union([inside, *others])
        unsure = everything != inside or any(field.bounded for field in fields)
        return replace(self._window(axis, everything), bounded=unsure)


class Forward(Propagation):
    """Fields forward through the nodes of a graph, from one of them on."""

    def __init__(self, graph: Graph, source: int) -> None:
        super().__init__(graph.nodes[source].shape)
        self.graph, self.source = graph, source
        self._walker = Walker(graph, source)
        for _ in range(source):
            self._add({}, covers=False, alike=True)

    def run(self) -> list[Fields]:
        """The fields of all nodes."""
        self._begin()
        for node in self.graph.nodes[self.source + 1 :]:
            self._go_through(node.application, node.inputs)
        return self.found

    def seen_by(self, place: int, start: Seen | None = None) -> Seen | None:
        """What some positions of a node see, or all; None where that takes too long, or sizes are symbols."""
        return self._walker.seen(place, start)


def _unsure(field: Field, path: Path, at: Application) -> Field:
    """A field that all positions share, where some may see nothing, and beside another path less than the others."""
    misses = any(_may_miss(path, at.output_shape, axis) for axis in path.reads.along)
    return replace(field, bounded=True) if misses else field


def _may_miss(path: Path, y: Shape, axis: str) -> bool:
    """Whether some window along an axis may hold no input: dilated past it, in the padding, or between strides."""
    window = path.reads.along.get(axis)
    if not isinstance(window, Window):
        return False
    k, s, d, before, after = window.kernel, window.stride, window.dilation, window.before, window.after
    transposed = isinstance(window, TransposedWindow)
    extra = window.extra if isinstance(window, TransposedWindow) else 0
    if not any(map(is_symbolic, (k, s, d, before, after, extra))):
        k, s, d, before, after = map(known, (k, s, d, before, after))
        if d == 1 and (s <= k and before >= 0 and extra == 0 if transposed else before < k and after < k):
            return False
    size, count = path.x[axis], y[axis]
    if any(map(is_symbolic, (k, s, d, before, after, extra, size, count))) or known(count) > MAX_PERIOD:
        return True
    return not all(window.read_by(1 << o, known(size)) for o in range(known(count)))


def _one_source(paths: Sequence[Path]) -> bool:
    """Whether no channels of different inputs lie side by side."""
    return len(paths) < 2 or not any(isinstance(path.reads.along.get("C"), Part) for path in paths)


def _joined_along(paths: Sequence[Path], axis: str) -> str:
    """Whether inputs lie side by side: along this `axis`, along an`other`, or not at all."""
    parts = {
        name
        for path in paths
        for name, relation in path.reads.along.items()
        if isinstance(relation, Part) and name != "C"
    }
    return "axis" if axis in parts else "other" if parts and len(paths) > 1 else ""


def _regrouped(field: Field, path: Path, y: Shape) -> Field:
    """The field where positions are numbered anew: as tokens for a while, or for good."""
    x = path.x
    changed = [
        (mine, yours)
        for mine, yours in path.reads.groups
        if not ({*mine, *yours} <= {"C", "R"} or (mine == yours and all(x[axis] == y[axis] for axis in mine)))
    ]
    if not changed:
        return field
    tokens = ("T",)
    if len(changed) == 1 and not field.lost:
        ((mine, yours),) = changed
        if not field.numbered and mine == x.spatial and yours == tokens:
            return replace(field, numbered=tuple((axis, x[axis]) for axis in mine))
        if field.numbered == tuple((axis, y[axis]) for axis in yours) and mine == tokens:
            return replace(field, numbered=())
    return LOST


def _depends_on_size(window: Window, at: Application) -> bool:
    """Whether the padding in front is another for another input size."""
    if at.layer.follows_size():
        return True
    if not window.same or isinstance(window, TransposedWindow):
        return False
    # of n positions, `same` pads max(extent - 1 - (n - 1) % s, 0), half of it in front
    return differ(floor_div(window.extent - 1, 2), floor_div(maximum(window.extent - window.stride, 0), 2))
